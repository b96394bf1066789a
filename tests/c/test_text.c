/* Text as the index keeps it: well-formed whatever came, endpoints both ways. */
#include "guard.h"
#include "packet.h"
#include "text.h"

static void expect_clean(const char *octets, size_t n, const char *text)
{
    uint8_t out[256];
    struct sf_slice in = guarded(octets, n);
    size_t length = sf_text_clean(in, out);
    CHECK(length <= sf_text_bound(n));
    CHECK(sf_utf8_valid(sf_slice(out, length)));
    CHECK(length == strlen(text) && memcmp(out, text, length) == 0);
}

#define CLEAN(octets, text) expect_clean(octets, sizeof octets - 1, text)
#define BAD                 "\xef\xbf\xbd"

static void what_is_no_utf8_becomes_a_mark_for_each_maximal_part(void)
{
    CLEAN("", "");
    CLEAN("alice", "alice");
    CLEAN("J\xc3\xbcrgen \xf0\x9f\x98\x80", "J\xc3\xbcrgen \xf0\x9f\x98\x80");
    CLEAN("J\xfcrgen", "J" BAD "rgen");
    CLEAN("\x80\x81", BAD BAD);
    CLEAN("a\xe2\x82", "a" BAD);        /* cut off: one mark for the part that is there */
    CLEAN("\xe2\x28\xa1", BAD "(" BAD); /* broken off in the middle */
    CLEAN("\xc0\xaf", BAD BAD);         /* overlong */
    CLEAN("\xed\xa0\x80", BAD BAD BAD); /* a surrogate */
    CLEAN("\xf4\x90\x80\x80", BAD BAD BAD BAD);
    CLEAN("\xf0\x9f\x98", BAD);
}

static void expect_endpoint(uint8_t family, const char *ip, uint16_t port, const char *text)
{
    uint8_t octets[16] = {0}, out[SF_TEXT_ENDPOINT], back[16], found_family = 0;
    uint16_t found_port = 0;
    memcpy(octets, ip, family == 6 ? 16 : 4);
    size_t n = sf_text_endpoint(family, octets, port, out);
    CHECK(n == strlen(text) && memcmp(out, text, n) == 0);
    CHECK(sf_text_read_endpoint(guarded(text, n), &found_family, back, &found_port));
    CHECK(found_family == family && found_port == port && memcmp(back, octets, 16) == 0);
    for (size_t cut = 0; cut < n; cut++) {
        struct sf_slice part = guarded(text, cut);
        sf_text_read_endpoint(part, &found_family, back, &found_port);
    }
}

static void endpoints_are_written_and_read(void)
{
    expect_endpoint(4, "\xc0\x00\x02\x01", 5060, "192.0.2.1:5060");
    expect_endpoint(4, "\0\0\0\0", 0, "0.0.0.0:0");
    expect_endpoint(4, "\xff\xff\xff\xff", 65535, "255.255.255.255:65535");
    expect_endpoint(6, "\x20\x01\x0d\xb8\0\0\0\0\0\0\0\0\0\0\0\x01", 5061, "[2001:db8::1]:5061");
    expect_endpoint(6, "\0\0\0\0\0\0\0\0\0\0\xff\xff\xc0\0\x02\x01", 1, "[::ffff:192.0.2.1]:1");
    static const char *const wrong[] = {"",          ":",           "1.2.3.4",  "1.2.3.4:",
                                        "1.2.3:5",   "[::1]",       "::1:5060", "1.2.3.4:65536",
                                        "1.2.3.4:x", "[1.2.3.4]:5", "[::1:5060"};
    uint8_t ip[16], family;
    uint16_t port;
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        CHECK(!sf_text_read_endpoint(guarded(wrong[i], strlen(wrong[i])), &family, ip, &port));
    }
}

int main(void)
{
    what_is_no_utf8_becomes_a_mark_for_each_maximal_part();
    endpoints_are_written_and_read();
    puts("ok text");
    return 0;
}
