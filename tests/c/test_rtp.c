/* The RTP header (RFC 3550, 5.1), RTCP on the same port (RFC 5761), serial numbers (RFC 1982). */
#include "guard.h"
#include "rtp.h"

static const uint8_t PLAIN[] = {0x80, 0x80, 0x12, 0x34, 0, 0, 0, 0xa0,
                                0xca, 0xfe, 0xba, 0xbe, 1, 2, 3, 4};
/* Two CSRCs, an extension of one word, three octets of payload, two of padding. */
static const uint8_t FULL[] = {0xb2, 0x08, 0xff, 0xff, 0xff, 0xff, 0xff, 0xfe, 0, 0,    0,
                               1,    0,    0,    0,    9,    0,    0,    0,    8, 0xbe, 0xde,
                               0,    1,    0x10, 0xaa, 0,    0,    7,    8,    9, 0,    2};

static void fields(void)
{
    struct sf_rtp r;
    struct sf_slice in = guarded(PLAIN, sizeof PLAIN);
    CHECK(sf_rtp_kind(in) == SF_RTP_PACKET && sf_rtp_parse(in, &r));
    CHECK(r.marker && r.payload_type == 0 && r.sequence == 0x1234);
    CHECK(r.timestamp == 160 && r.ssrc == 0xcafebabe);
    CHECK(r.payload.p == in.p + 12 && r.payload.n == 4);

    in = guarded(FULL, sizeof FULL);
    CHECK(sf_rtp_parse(in, &r));
    CHECK(!r.marker && r.payload_type == 8 && r.sequence == 65535);
    CHECK(r.timestamp == 0xfffffffe && r.ssrc == 1);
    CHECK(r.payload.p == in.p + 28 && r.payload.n == 3);

    in = guarded(PLAIN, 12);
    CHECK(sf_rtp_parse(in, &r) && r.payload.n == 0);
}

static void padding(void)
{
    struct sf_rtp r;
    uint8_t octets[sizeof PLAIN];
    memcpy(octets, PLAIN, sizeof octets);
    octets[0] = 0xa0;
    static const struct {
        uint8_t last;
        bool good;
        size_t payload;
    } cases[] = {{0, false, 0}, {1, true, 3}, {4, true, 0}, {5, false, 0}, {255, false, 0}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        octets[sizeof octets - 1] = cases[i].last;
        CHECK(sf_rtp_parse(guarded(octets, sizeof octets), &r) == cases[i].good);
        CHECK(!cases[i].good || r.payload.n == cases[i].payload);
    }
    CHECK(!sf_rtp_parse(guarded(octets, 12), &r));
}

static void kinds(void)
{
    uint8_t octets[12] = {0x80};
    for (unsigned second = 0; second < 256; second++) {
        octets[1] = (uint8_t)second;
        enum sf_rtp_kind wanted = second >= 192 && second <= 223 ? SF_RTP_CONTROL : SF_RTP_PACKET;
        CHECK(sf_rtp_kind(guarded(octets, 12)) == wanted);
    }
    for (unsigned version = 0; version < 4; version++) {
        octets[0] = (uint8_t)(version << 6);
        octets[1] = 0;
        CHECK((sf_rtp_kind(guarded(octets, 12)) == SF_RTP_PACKET) == (version == 2));
        octets[1] = 200;
        CHECK((sf_rtp_kind(guarded(octets, 12)) == SF_RTP_CONTROL) == (version == 2));
    }
    struct sf_rtp r;
    octets[0] = 0x80;
    CHECK(!sf_rtp_parse(guarded(octets, 12), &r));
    CHECK(sf_rtp_kind(guarded(octets, 8)) == SF_RTP_CONTROL);
    octets[1] = 0;
    for (size_t n = 0; n < 12; n++) {
        CHECK(sf_rtp_kind(guarded(octets, n)) == SF_RTP_OTHER);
        CHECK(!sf_rtp_parse(guarded(octets, n), &r));
    }
}

static void truncations_and_flips(void)
{
    struct sf_rtp r;
    uint8_t octets[sizeof FULL];
    memcpy(octets, FULL, sizeof octets);
    for (size_t cut = 0; cut < 28; cut++) {
        CHECK(!sf_rtp_parse(guarded(octets, cut), &r));
    }
    for (size_t at = 0; at < sizeof octets; at++) {
        for (unsigned bit = 0; bit < 8; bit++) {
            octets[at] ^= (uint8_t)(1u << bit);
            struct sf_slice in = guarded(octets, sizeof octets);
            if (sf_rtp_parse(in, &r)) {
                CHECK(lies_inside(r.payload, sf_slice(in.p + 12, in.n - 12)));
            }
            octets[at] ^= (uint8_t)(1u << bit);
        }
    }
}

static void distances(void)
{
    CHECK(sf_sequence_distance(1, 0) == 1 && sf_sequence_distance(0, 1) == -1);
    CHECK(sf_sequence_distance(0, 65535) == 1 && sf_sequence_distance(65535, 0) == -1);
    CHECK(sf_sequence_distance(32767, 0) == 32767 && sf_sequence_distance(32768, 0) == -32768);
    CHECK(sf_timestamp_distance(96, 0xffffffc0) == 160);
    CHECK(sf_timestamp_distance(0xffffffc0, 96) == -160);
    CHECK(sf_timestamp_distance(7, 7) == 0);
}

int main(void)
{
    fields();
    padding();
    kinds();
    truncations_and_flips();
    distances();
    puts("ok rtp");
    return 0;
}
