/* CRC-32C: the vectors of RFC 3720, B.4, and hardware against the table at every length and offset.
 */
#include "crc32c.h"
#include "guard.h"

static void published(void)
{
    uint8_t octets[48];
    memset(octets, 0, 32);
    CHECK(sf_crc32c(0, octets, 32) == 0x8a9136aa);
    memset(octets, 0xff, 32);
    CHECK(sf_crc32c(0, octets, 32) == 0x62a8ab43);
    for (int i = 0; i < 32; i++) {
        octets[i] = (uint8_t)i;
    }
    CHECK(sf_crc32c(0, octets, 32) == 0x46dd794e);
    for (int i = 0; i < 32; i++) {
        octets[i] = (uint8_t)(31 - i);
    }
    CHECK(sf_crc32c(0, octets, 32) == 0x113fdb5c);
    size_t n = unhex("01c00000000000000000000000000000140000000000040000000014"
                     "0000001828000000000000000200000000000000",
                     octets);
    CHECK(n == 48 && sf_crc32c(0, octets, n) == 0xd9963a56);
    CHECK(sf_crc32c(0, "123456789", 9) == 0xe3069283);
    CHECK(sf_crc32c(0, octets, 0) == 0);
}

/* One bit at a time, from the polynomial alone. */
static uint32_t by_definition(uint32_t crc, const uint8_t *p, size_t n)
{
    crc = ~crc;
    while (n-- > 0) {
        crc ^= *p++;
        for (int bit = 0; bit < 8; bit++) {
            crc = crc & 1 ? crc >> 1 ^ 0x82f63b78u : crc >> 1;
        }
    }
    return ~crc;
}

static void every_way_agrees(void)
{
    uint8_t octets[300];
    uint64_t state = 42;
    for (size_t i = 0; i < sizeof octets; i++) {
        octets[i] = (uint8_t)roll(&state);
    }
    for (size_t n = 0; n <= sizeof octets; n++) {
        struct sf_slice in = guarded(octets, n);
        uint32_t wanted = by_definition(0, octets, n);
        CHECK(sf_crc32c(0, in.p, in.n) == wanted);
        CHECK(sf_crc32c_table(0, in.p, in.n) == wanted);
        size_t cut = n > 0 ? roll(&state) % n : 0;
        CHECK(sf_crc32c(sf_crc32c(0, in.p, cut), in.p + cut, n - cut) == wanted);
        CHECK(sf_crc32c_table(sf_crc32c_table(0, in.p, cut), in.p + cut, n - cut) == wanted);
    }
}

int main(void)
{
    published();
    every_way_agrees();
    puts("ok crc32c");
    return 0;
}
