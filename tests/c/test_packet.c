/* Frames and batches: the vectors of docs/WIRE.md, every truncation, every flipped octet. */
#include "guard.h"
#include "packet.h"

#define SIP_TEXT "4f5054494f4e53207369703a68205349502f322e300d0a43616c6c2d49443a206b310d0a0d0a"

static const char A[] = "5346 03 01 04 c000020a 0fa0 00000000 0000 00063a581e4c7240 01020304"
                        "0000000f 00000001 00000007 6162632d314068"
                        "00000010 80000001000000a0cafebabeffffffff";
static const char B[] = "5346 03 00 04 c6336407 13c4 cb007109 13d8 00063a581e4c7240 01020304"
                        "00000000 00000026" SIP_TEXT;
static const char C[] = "5346 02 00 04 c6336407 13c4 cb007109 13d8 00063a581e4c7240"
                        "00000000 00000026" SIP_TEXT;
static const char D[] = "5346 03 00 06 20010db8000000000000000000000001 13c4"
                        "20010db8000000000000000000000002 13c5"
                        "0000000000000001 00000000 00000000 00000001 58";
static const char E1[] = "53460301040a00000100010a0000020002000000000000000300000005"
                         "00000009 ffffffff 00000001 63 00000001 80";
static const char E2[] = "53460300040a00000113c40a00000213c4000000000000000400000005"
                         "00000000 00000004 693a630a";

static uint8_t scratch[SF_DATAGRAM_MAX];

static struct sf_slice hex(const char *digits)
{
    return guarded(scratch, unhex(digits, scratch));
}

/* A batch of E1 and E2 as they are in the published vector. */
static size_t vector_e(uint8_t *out)
{
    size_t n = unhex("5347 01 0002 0000002f", out);
    n += unhex(E1, out + n);
    n += unhex("00000029", out + n);
    return n + unhex(E2, out + n);
}

static enum sf_status parse_hex(const char *digits)
{
    struct sf_packet packet;
    return sf_packet_parse(hex(digits), &packet);
}

static void fields_of_the_vectors(void)
{
    struct sf_packet p;
    struct sf_slice in = hex(A);
    CHECK(in.n == 68);
    CHECK(sf_packet_parse(in, &p) == SF_OK);
    CHECK(p.kind == SF_RTP && p.family == SF_IPV4);
    CHECK(memcmp(p.src, "\xc0\x00\x02\x0a\0\0\0\0\0\0\0\0\0\0\0\0", 16) == 0 && p.src_port == 4000);
    CHECK(memcmp(p.dst, "\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0", 16) == 0 && p.dst_port == 0);
    CHECK(p.time_us == 1753000000123456u && p.client_id == 0x01020304);
    CHECK(p.has_metadata && p.leg == 1);
    CHECK_TEXT(p.call_id, "abc-1@h");
    CHECK(p.payload.n == 16 && p.payload.p == in.p + 52);

    in = hex(B);
    CHECK(in.n == 75 && sf_packet_parse(in, &p) == SF_OK);
    CHECK(p.kind == SF_SIP && !p.has_metadata && p.leg == 0 && p.call_id.n == 0);
    CHECK(p.src_port == 5060 && p.dst_port == 5080 && p.client_id == 0x01020304);
    CHECK_TEXT(p.payload, "OPTIONS sip:h SIP/2.0\r\nCall-ID: k1\r\n\r\n");

    in = hex(C);
    CHECK(in.n == 71 && sf_packet_parse(in, &p) == SF_OK);
    CHECK(p.client_id == 0 && p.payload.n == 38);

    in = hex(D);
    CHECK(in.n == 62 && sf_packet_parse(in, &p) == SF_OK);
    CHECK(p.family == SF_IPV6 && p.src[0] == 0x20 && p.src[15] == 1 && p.dst[15] == 2);
    CHECK(p.src_port == 5060 && p.dst_port == 5061 && p.time_us == 1);
    CHECK_TEXT(p.payload, "X");
}

static unsigned count_frames(struct sf_slice octets, unsigned *refused)
{
    struct sf_datagram datagram;
    struct sf_slice frame;
    struct sf_packet packet;
    unsigned good = 0;
    *refused = 0;
    CHECK(sf_datagram_open(octets, &datagram) == SF_OK);
    while (sf_datagram_next(&datagram, &frame)) {
        CHECK(lies_inside(frame, octets));
        if (sf_packet_parse(frame, &packet) == SF_OK) {
            good++;
        } else {
            ++*refused;
        }
    }
    return good;
}

static void batches(void)
{
    unsigned refused;
    uint8_t octets[256];
    size_t n = vector_e(octets);
    CHECK(n == 101);
    struct sf_slice in = guarded(octets, n);
    struct sf_datagram datagram;
    struct sf_slice frame;
    struct sf_packet p;
    CHECK(sf_datagram_open(in, &datagram) == SF_OK && datagram.batch);
    CHECK(sf_datagram_next(&datagram, &frame) && sf_packet_parse(frame, &p) == SF_OK);
    CHECK(p.kind == SF_RTP && p.leg == -1 && p.client_id == 5 && p.time_us == 3);
    CHECK_TEXT(p.call_id, "c");
    CHECK_TEXT(p.payload, "\x80");
    CHECK(sf_datagram_next(&datagram, &frame) && sf_packet_parse(frame, &p) == SF_OK);
    CHECK(p.kind == SF_SIP && !p.has_metadata && p.time_us == 4);
    CHECK_TEXT(p.payload, "i:c\n");
    CHECK(!sf_datagram_next(&datagram, &frame));

    CHECK(count_frames(hex("5347 01 0000"), &refused) == 0 && refused == 0);
    CHECK(count_frames(hex("53470100010000002b53460300040a00000113c40a00000213c4000000000000000400"
                           "0000000000000000000004693a630aeeee"),
                       &refused) == 1 &&
          refused == 0);

    /* One bad frame costs itself, wherever it stands. */
    for (unsigned bad = 0; bad < 2; bad++) {
        n = vector_e(octets);
        octets[bad == 0 ? 9 + 2 : 9 + 47 + 4 + 2] = 9;
        CHECK(count_frames(guarded(octets, n), &refused) == 1 && refused == 1);
    }
    /* A batch inside a batch is a frame of a wrong magic. */
    CHECK(count_frames(hex("5347 01 0001 00000005 5347010000"), &refused) == 0 && refused == 1);
}

static void whole_datagrams_refused(void)
{
    struct sf_datagram d;
    uint8_t octets[256];
    size_t n = vector_e(octets);
    CHECK(sf_datagram_open(guarded("", 0), &d) == SF_TRUNCATED);
    CHECK(sf_datagram_open(hex("53"), &d) == SF_TRUNCATED);
    CHECK(sf_datagram_open(hex("5348 01 0000"), &d) == SF_BAD_MAGIC);
    CHECK(sf_datagram_open(hex("5347 02 0001"), &d) == SF_BAD_VERSION);
    CHECK(sf_datagram_open(hex("5347 01 00"), &d) == SF_TRUNCATED);
    CHECK(
        sf_datagram_open(hex("53470100010000002953460300040a00000113c40a00000213c40000000000000004"
                             "000000000000000000000004693a630a00"),
                         &d) == SF_BAD_BATCH);
    for (size_t cut = SF_BATCH_HEAD; cut < n; cut++) {
        CHECK(sf_datagram_open(guarded(octets, cut), &d) == SF_BAD_BATCH);
    }
    CHECK(sf_datagram_open(guarded(octets, 9 + 47), &d) == SF_BAD_BATCH); /* count 2, one frame */
    octets[5] = 0xff;
    CHECK(sf_datagram_open(guarded(octets, n), &d) == SF_BAD_BATCH); /* a length of 4 GB */
}

static void frames_refused(void)
{
    CHECK(parse_hex("53460301040a00000100010a000002000200000000000000030000000000000004"
                    "0000000100000000") == SF_BAD_METADATA);
    CHECK(parse_hex("53460301040a00000100010a00000200020000000000000003000000000000000a"
                    "0000000000000001615a00000000") == SF_BAD_METADATA);
    CHECK(parse_hex("53460301040a00000100010a000002000200000000000000030000000000000009"
                    "0000000000000001ff00000000") == SF_BAD_CALL_ID);
    for (unsigned length = 1; length < 8; length++) {
        size_t n = unhex("53460301040a00000100010a0000020002000000000000000300000000", scratch);
        n = (size_t)(sf_store_be32(scratch + n, length) - scratch);
        memset(scratch + n, 0, length + 4);
        struct sf_packet p;
        CHECK(sf_packet_parse(guarded(scratch, n + length + 4), &p) == SF_BAD_METADATA);
    }
    static const struct {
        size_t at;
        uint8_t octet;
        enum sf_status status;
    } changes[] = {
        {0, 0x52, SF_BAD_MAGIC},  {1, 0x47, SF_BAD_MAGIC},     {2, 1, SF_BAD_VERSION},
        {2, 4, SF_BAD_VERSION},   {3, 2, SF_BAD_KIND},         {4, 5, SF_BAD_FAMILY},
        {51, 0x11, SF_TRUNCATED}, {32, 0x7f, SF_TRUNCATED},    {40, 8, SF_BAD_METADATA},
        {40, 6, SF_BAD_METADATA}, {37, 0xff, SF_BAD_METADATA}, {32, 14, SF_BAD_METADATA},
    };
    for (size_t i = 0; i < sizeof changes / sizeof *changes; i++) {
        size_t n = unhex(A, scratch);
        scratch[changes[i].at] = changes[i].octet;
        struct sf_packet p;
        CHECK(sf_packet_parse(guarded(scratch, n), &p) == changes[i].status);
    }
}

static void tolerated(void)
{
    struct sf_packet p;
    size_t n = unhex(A, scratch);
    n += unhex("000102", scratch + n);
    CHECK(sf_packet_parse(guarded(scratch, n), &p) == SF_OK && p.payload.n == 16);
    CHECK(sf_packet_parse(hex("53460301040a00000100010a00000200020000000000000003000000000000000800"
                              "000000000000000000000180"),
                          &p) == SF_OK);
    CHECK(p.has_metadata && p.leg == 0 && p.call_id.n == 0);
    n = unhex(A, scratch);
    memset(scratch + 48, 0, 4); /* payload length 0 */
    CHECK(sf_packet_parse(guarded(scratch, n), &p) == SF_OK && p.payload.n == 0);
}

static void truncations(void)
{
    static const char *const vectors[] = {A, B, C, D, E1, E2};
    for (size_t i = 0; i < sizeof vectors / sizeof *vectors; i++) {
        uint8_t octets[128];
        size_t n = unhex(vectors[i], octets);
        for (size_t cut = 0; cut < n; cut++) {
            struct sf_packet p;
            CHECK(sf_packet_parse(guarded(octets, cut), &p) == SF_TRUNCATED);
        }
    }
}

/* What parses is written again as it was: a frame has one form, and only octets behind it are lost.
 */
static void round_trips(struct sf_slice in)
{
    struct sf_packet p, again;
    if (sf_packet_parse(in, &p) != SF_OK) {
        return;
    }
    CHECK(lies_inside(p.call_id, in) && lies_inside(p.payload, in));
    unsigned version = in.p[2];
    size_t size = sf_packet_size(&p, version);
    uint8_t *out = malloc(size);
    CHECK(sf_packet_encode(&p, version, out) == out + size);
    CHECK(size <= in.n && memcmp(out, in.p, size) == 0);
    CHECK(sf_packet_parse(sf_slice(out, size), &again) == SF_OK);
    CHECK(again.time_us == p.time_us && again.client_id == p.client_id && again.leg == p.leg);
    CHECK(sf_slice_eq(again.call_id, p.call_id) && sf_slice_eq(again.payload, p.payload));
    free(out);
}

static void flips(void)
{
    static const char *const vectors[] = {A, B, C, D, E1, E2};
    for (size_t i = 0; i < sizeof vectors / sizeof *vectors; i++) {
        uint8_t octets[128];
        size_t n = unhex(vectors[i], octets);
        round_trips(guarded(octets, n));
        for (size_t at = 0; at < n; at++) {
            for (unsigned bit = 0; bit < 8; bit++) {
                octets[at] ^= (uint8_t)(1u << bit);
                round_trips(guarded(octets, n));
                octets[at] ^= (uint8_t)(1u << bit);
            }
        }
    }
    uint8_t octets[256];
    size_t n = vector_e(octets);
    for (size_t at = 0; at < n; at++) {
        for (unsigned bit = 0; bit < 8; bit++) {
            struct sf_datagram d;
            struct sf_slice frame;
            octets[at] ^= (uint8_t)(1u << bit);
            struct sf_slice in = guarded(octets, n);
            if (sf_datagram_open(in, &d) == SF_OK) {
                while (sf_datagram_next(&d, &frame)) {
                    CHECK(lies_inside(frame, in));
                    round_trips(frame);
                }
            }
            octets[at] ^= (uint8_t)(1u << bit);
        }
    }
}

static void utf8(void)
{
    static const char *const good[] = {"",
                                       "abc",
                                       "\xc2\x80",
                                       "\xdf\xbf",
                                       "\xe0\xa0\x80",
                                       "\xed\x9f\xbf",
                                       "\xee\x80\x80",
                                       "\xef\xbf\xbd",
                                       "\xf0\x90\x80\x80",
                                       "\xf4\x8f\xbf\xbf",
                                       "\xe5\x91\xbc\xe5\x8f\xab-1",
                                       "12345678\xc3\xa9"};
    static const char *const bad[] = {"\x80",
                                      "\xbf",
                                      "\xc0\x80",
                                      "\xc1\xbf",
                                      "\xc2",
                                      "\xc2\x41",
                                      "\xe0\x9f\xbf",
                                      "\xe0\xa0",
                                      "\xed\xa0\x80",
                                      "\xed\xbf\xbf",
                                      "\xf0\x8f\xbf\xbf",
                                      "\xf0\x90\x80",
                                      "\xf4\x90\x80\x80",
                                      "\xf5\x80\x80\x80",
                                      "\xff",
                                      "1234567\xff",
                                      "123456789\xe5\x91"};
    for (size_t i = 0; i < sizeof good / sizeof *good; i++) {
        CHECK(sf_utf8_valid(guarded(good[i], strlen(good[i]))));
    }
    CHECK(sf_utf8_valid(sf_slice(NULL, 0)));
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        CHECK(!sf_utf8_valid(guarded(bad[i], strlen(bad[i]))));
    }
}

static void names(void)
{
    for (int s = 0; s < SF_STATUS_COUNT; s++) {
        const char *name = sf_status_name((enum sf_status)s);
        CHECK(name != NULL && name[0] >= 'a' && name[0] <= 'z');
        for (int other = 0; other < s; other++) {
            CHECK(strcmp(name, sf_status_name((enum sf_status)other)) != 0);
        }
    }
    CHECK(strcmp(sf_status_name((enum sf_status)9999), "unknown") == 0);
}

int main(void)
{
    fields_of_the_vectors();
    batches();
    whole_datagrams_refused();
    frames_refused();
    tolerated();
    truncations();
    flips();
    utf8();
    names();
    puts("ok packet");
    return 0;
}
