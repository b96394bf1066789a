/* The cursor reads what is there, and says so once when something is not. */
#include "guard.h"

static void reads_big_endian(void)
{
    static const uint8_t octets[] = {1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15};
    struct sf_slice in = guarded(octets, sizeof octets);
    struct sf_cursor c = sf_cursor(in.p, in.n);
    CHECK(sf_read_u8(&c) == 1);
    CHECK(sf_read_be16(&c) == 0x0203);
    CHECK(sf_read_be32(&c) == 0x04050607);
    CHECK(sf_read_be64(&c) == 0x08090a0b0c0d0e0fu);
    CHECK(!c.bad && sf_left(&c) == 0);
    CHECK(sf_take_slice(&c, 0).n == 0 && !c.bad);
}

static void sticks_after_a_short_read(void)
{
    static const uint8_t octets[] = {0xaa, 0xbb, 0xcc};
    struct sf_slice in = guarded(octets, sizeof octets);
    struct sf_cursor c = sf_cursor(in.p, in.n);
    CHECK(sf_read_be32(&c) == 0);
    CHECK(c.bad);
    CHECK(sf_left(&c) == 3);
    CHECK(sf_read_u8(&c) == 0);
    CHECK(sf_take_slice(&c, 0).n == 0);
    c = sf_cursor(in.p, in.n);
    CHECK(sf_take(&c, SIZE_MAX) == NULL && c.bad);
    c = sf_cursor(NULL, 0);
    CHECK(sf_left(&c) == 0 && sf_read_u8(&c) == 0 && c.bad);
}

static void stores_what_it_reads(void)
{
    uint8_t octets[14];
    uint8_t *end = sf_store_be64(sf_store_be32(sf_store_be16(octets, 0xfffe), 0x80000001u),
                                 0x8000000000000001u);
    CHECK(end == octets + sizeof octets);
    struct sf_cursor c = sf_cursor(octets, sizeof octets);
    CHECK(sf_read_be16(&c) == 0xfffe);
    CHECK(sf_read_be32(&c) == 0x80000001u);
    CHECK(sf_read_be64(&c) == 0x8000000000000001u);
}

static void varints_come_back(void)
{
    for (unsigned bit = 0; bit < 64; bit++) {
        for (int step = -1; step <= 1; step++) {
            uint64_t v = (1ull << bit) + (uint64_t)(int64_t)step;
            uint8_t octets[SF_VARINT_MAX];
            size_t n = (size_t)(sf_store_varint(octets, v) - octets);
            struct sf_slice in = guarded(octets, n);
            struct sf_cursor c = sf_cursor(in.p, in.n);
            CHECK(sf_read_varint(&c) == v && !c.bad && sf_left(&c) == 0);
            in = guarded(octets, n - 1);
            c = sf_cursor(in.p, in.n);
            CHECK(sf_read_varint(&c) == 0 && c.bad);
        }
    }
    static const uint8_t longest[] = {255, 255, 255, 255, 255, 255, 255, 255, 255, 1};
    static const uint8_t too_big[] = {255, 255, 255, 255, 255, 255, 255, 255, 255, 2};
    static const uint8_t too_long[] = {128, 128, 128, 128, 128, 128, 128, 128, 128, 128, 0};
    struct sf_cursor c = sf_cursor(longest, sizeof longest);
    CHECK(sf_read_varint(&c) == UINT64_MAX && !c.bad);
    c = sf_cursor(too_big, sizeof too_big);
    CHECK(sf_read_varint(&c) == 0 && c.bad);
    c = sf_cursor(too_long, sizeof too_long);
    CHECK(sf_read_varint(&c) == 0 && c.bad);
}

static void zigzag_keeps_small_numbers_small(void)
{
    static const int64_t signs[] = {0, -1, 1, -2, 2, INT64_MAX, INT64_MIN};
    static const uint64_t folded[] = {0, 1, 2, 3, 4, UINT64_MAX - 1, UINT64_MAX};
    for (size_t i = 0; i < sizeof signs / sizeof *signs; i++) {
        CHECK(sf_zigzag(signs[i]) == folded[i]);
        CHECK(sf_unzigzag(folded[i]) == signs[i]);
    }
}

int main(void)
{
    reads_big_endian();
    sticks_after_a_short_read();
    stores_what_it_reads();
    varints_come_back();
    zigzag_keeps_small_numbers_small();
    puts("ok cursor");
    return 0;
}
