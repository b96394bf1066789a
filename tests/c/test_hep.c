/* HEP: frames as real senders write them, every truncation, every changed octet, streams. */
#include "guard.h"
#include "hep.h"
#include "hep_reader.h"

#include <zlib.h>

#include "unpack.h"

/* OPTIONS by UDP and IPv4, agent 2001. */
static const char PLAIN[] =
    "48455033 0100 0000 0001 0007 02 0000 0002 0007 11 0000 0003 000a 0a000001"
    "0000 0004 000a 0a000002 0000 0007 0008 13c4 0000 0008 0008 13d8"
    "0000 0009 000a 6955b900 0000 000a 000a 0003d090 0000 000b 0007 01"
    "0000 000c 000a 000007d1 0000 000f 00a3"
    "4f5054494f4e53207369703a614062205349502f322e300d0a5669613a20534950"
    "2f322e302f5544502031302e302e302e313b6272616e63683d7a39684734624b310d0a46726f6d3a203c7369"
    "703a7840623e3b7461673d310d0a546f3a203c7369703a6140623e0d0a43616c6c2d49443a2063310d0a4353"
    "65713a2031204f5054494f4e530d0a436f6e74656e742d4c656e6774683a20300d0a0d0a";
/* A report as JSON, packed, by IPv6, with a key and a correlation id. */
static const char REPORT[] =
    "48455033 0145 0000 0001 0007 0a 0000 0002 0007 11"
    "0000 0005 0016 20010db8000000000000000000000001"
    "0000 0006 0016 20010db8000000000000000000000002"
    "0000 0007 0008 7531 0000 0008 0008 9c41 0000 0009 000a 6955b901 0000 000a 000a 00000001"
    "0000 000b 0007 05 0000 000c 000a 000007d1 0000 000e 000c 733363726574"
    "0000 0011 0008 6331 0000 0013 000c 656467652d31 0000 0010 00b0"
    "78da458ecb0e82301045ff65d65db43c2af4578c"
    "69b08c5ac10eb6e3c210fedd224477f79ee49e9919f83d2198424a01294507a69475a5daa6d51960e8315a1f"
    "2e141f1d7b0a6066983a372027306a1d91e3ad6829e52220e24491ed792437647c9c21d12b3ab49bbd280eaa"
    "d6b26a94804becdc2ab52325069365bbfa0f6efe7ac3c436e1d306da4ffacede3d33c6dc0b01635a8380fe1b"
    "745d977a39fd1e71f40ad9a5960fcfdf4bff";
/* The same OPTIONS as older versions have it. */
static const char OLD[] = "10 02 11 13c4 13d8 0a000001 0a000002";

static uint8_t scratch[1 << 17];
static uint8_t written[1 << 17];

static struct sf_slice hex(const char *digits)
{
    return guarded(scratch, unhex(digits, scratch));
}

static size_t chunk(uint8_t *at, unsigned vendor, unsigned type, const void *body, size_t n)
{
    sf_store_be16(sf_store_be16(sf_store_be16(at, (uint16_t)vendor), (uint16_t)type),
                  (uint16_t)(n + SF_HEP_HEAD));
    memcpy(at + SF_HEP_HEAD, body, n);
    return n + SF_HEP_HEAD;
}

static size_t number(uint8_t *at, unsigned type, size_t octets, uint64_t value)
{
    uint8_t body[8];
    for (size_t i = 0; i < octets; i++) {
        body[i] = (uint8_t)(value >> 8 * (octets - 1 - i));
    }
    return chunk(at, 0, type, body, octets);
}

/* Puts the head before chunks that were written from written + SF_HEP_HEAD on. */
static struct sf_slice framed(size_t n)
{
    memcpy(written, "HEP3", 4);
    sf_store_be16(written + 4, (uint16_t)(n + SF_HEP_HEAD));
    return guarded(written, n + SF_HEP_HEAD);
}

static struct sf_packet packet_of(struct sf_slice frame)
{
    struct sf_hep hep;
    struct sf_packet packet;
    CHECK(sf_hep_parse(frame, &hep) == SF_OK);
    CHECK(sf_hep_packet(&hep, &packet) == SF_OK);
    CHECK(lies_inside(packet.payload, frame) && lies_inside(packet.call_id, frame));
    return packet;
}

static void fields_of_a_frame(void)
{
    struct sf_packet p = packet_of(hex(PLAIN));
    CHECK(p.kind == SF_SIP && p.family == SF_IPV4 && !p.has_metadata && p.call_id.n == 0);
    CHECK(memcmp(p.src, "\x0a\0\0\x01\0\0\0\0\0\0\0\0\0\0\0\0", 16) == 0 && p.src_port == 5060);
    CHECK(memcmp(p.dst, "\x0a\0\0\x02\0\0\0\0\0\0\0\0\0\0\0\0", 16) == 0 && p.dst_port == 5080);
    CHECK(p.time_us == 1767225600250000u && p.client_id == 2001 && p.payload.n == 157);

    struct sf_hep hep;
    CHECK(sf_hep_parse(hex(REPORT), &hep) == SF_OK);
    CHECK(hep.packed && hep.protocol == SF_HEP_RTCP && hep.family == SF_IPV6);
    CHECK(hep.src[0] == 0x20 && hep.src[15] == 1 && hep.dst[15] == 2 && hep.dst_port == 40001);
    CHECK(hep.time_us == 1767225601000001u && hep.payload.n == 170);
    CHECK_TEXT(hep.key, "s3cret");
    CHECK_TEXT(hep.correlation, "c1");
}

static void older_versions(void)
{
    static const char *const times[] = {
        "",
        "00b95569 90d00300 d107 0000", /* a struct of a little-endian machine */
        "6955b900 0003d090 07d1",      /* as the text has it */
        "6955b900 0003d090 07d1 0000",
    };
    for (unsigned i = 0; i < 4; i++) {
        uint8_t octets[512];
        octets[0] = i == 0 ? 1 : 2;
        size_t n = 1 + unhex(OLD, octets + 1);
        n += unhex(times[i], octets + n);
        size_t head = n;
        n += unhex(strchr(PLAIN, 0) - 314, octets + n);
        CHECK(n == head + 157);
        struct sf_packet p = packet_of(guarded(octets, n));
        CHECK(p.kind == SF_SIP && p.src_port == 5060 && p.dst_port == 5080 && p.dst[3] == 2);
        CHECK(p.payload.n == 157 && memcmp(p.payload.p, "OPTIONS ", 8) == 0);
        CHECK(p.time_us == (i == 0 ? 0 : 1767225600250000u));
        CHECK(p.client_id == (i == 0 ? 0 : 2001));
        for (size_t cut = 0; cut < head; cut++) {
            struct sf_hep hep;
            struct sf_slice part = guarded(octets, cut);
            CHECK(sf_hep_parse(part, &hep) != SF_OK || cut >= 16 + 10);
        }
    }
    /* Neither order makes sense: the time is not known, the message is. */
    uint8_t octets[64];
    size_t n = unhex("02 10 02 11 13c4 13d8 0a000001 0a000002 00000000 00000000 0000 0000", octets);
    memcpy(octets + n, "SIP/2.0 200 OK\r\n\r\n", 18);
    CHECK(packet_of(guarded(octets, n + 18)).time_us == 0);
}

static void every_truncation_is_refused(void)
{
    static const char *const vectors[] = {PLAIN, REPORT};
    for (unsigned i = 0; i < 2; i++) {
        uint8_t octets[512];
        size_t n = unhex(vectors[i], octets);
        for (size_t cut = 0; cut < n; cut++) {
            struct sf_hep hep;
            struct sf_slice frame;
            CHECK(sf_hep_parse(guarded(octets, cut), &hep) == SF_TRUNCATED);
            CHECK(sf_hep_frame(guarded(octets, cut), &frame) == SF_TRUNCATED);
            /* Cut by a sender who says so: a chunk ends too early, unless it ends there. */
            if (cut >= SF_HEP_HEAD) {
                memcpy(written, octets, cut);
                enum sf_status status = sf_hep_parse(framed(cut - SF_HEP_HEAD), &hep);
                CHECK(status == SF_OK || status == SF_BAD_HEP);
            }
        }
    }
}

static void no_changed_octet_leads_outside(void)
{
    static const char *const vectors[] = {PLAIN, REPORT};
    unsigned refused = 0;
    for (unsigned i = 0; i < 2; i++) {
        uint8_t octets[512];
        size_t n = unhex(vectors[i], octets);
        for (size_t at = 0; at < n; at++) {
            for (unsigned value = 0; value < 256; value++) {
                uint8_t before = octets[at];
                octets[at] = (uint8_t)value;
                struct sf_hep hep;
                struct sf_slice frame = guarded(octets, n);
                if (sf_hep_parse(frame, &hep) == SF_OK) {
                    CHECK(lies_inside(hep.payload, frame) && lies_inside(hep.key, frame));
                    CHECK(lies_inside(hep.correlation, frame));
                } else {
                    refused++;
                }
                octets[at] = before;
            }
        }
    }
    CHECK(refused > 1000);
}

static void chunks_in_any_order_and_of_any_kind(void)
{
    uint8_t *at = written + SF_HEP_HEAD;
    size_t n = chunk(at, 0, 15, "SIP/2.0 100 Trying\r\n\r\n", 22);
    n += number(at + n, 11, 1, 1);
    n += number(at + n, 8, 2, 7);
    n += number(at + n, 10, 4, 5000000); /* no second has so many microseconds */
    n += number(at + n, 9, 4, 1767225600);
    n += number(at + n, 12, 2, 99);           /* two octets instead of four */
    n += number(at + n, 7, 4, 5060);          /* four instead of two: passed over */
    n += number(at + n, 3, 1, 1);             /* an address of one octet */
    n += number(at + n, 200, 8, ~0ull);       /* not assigned */
    n += chunk(at + n, 2, 15, "not ours", 8); /* another vendor's 15 is no payload */
    n += chunk(at + n, 2, 3, "\1\2\3\4", 4);
    n += chunk(at + n, 0, 0x010f, "nor this", 8);
    n += chunk(at + n, 0, 15, "second", 6); /* the first payload counts */
    n += number(at + n, 8, 2, 8);           /* the last number does */
    n += chunk(at + n, 0, 1, "", 0);
    struct sf_packet p = packet_of(framed(n));
    CHECK(p.kind == SF_SIP && p.client_id == 99 && p.src_port == 0 && p.dst_port == 8);
    CHECK(p.time_us == 1767225600999999u && p.family == SF_IPV4 && p.src[0] == 0);
    CHECK_TEXT(p.payload, "SIP/2.0 100 Trying\r\n\r\n");
}

static struct sf_packet between(unsigned family, const char *src, const char *dst)
{
    uint8_t *at = written + SF_HEP_HEAD;
    size_t n = number(at, 1, 1, family);
    n += strlen(src) == 4 ? chunk(at + n, 0, 3, src, 4) : chunk(at + n, 0, 5, src, 16);
    n += strlen(dst) == 4 ? chunk(at + n, 0, 4, dst, 4) : chunk(at + n, 0, 6, dst, 16);
    n += number(at + n, 11, 1, 1);
    n += chunk(at + n, 0, 15, "x", 1);
    return packet_of(framed(n));
}

static void addresses_decide_the_family(void)
{
    static const char six[] = "0123456789abcdef";
    CHECK(between(23, six, six).family == SF_IPV6); /* Windows' number */
    CHECK(between(0, "abcd", "efgh").family == SF_IPV4);
    struct sf_packet p = between(2, "abcd", six);
    CHECK(p.family == SF_IPV6 && memcmp(p.src,
                                        "\0\0\0\0\0\0\0\0\0\0\xff\xff"
                                        "abcd",
                                        16) == 0);
    CHECK(memcmp(p.dst, six, 16) == 0);
}

static enum sf_status carrying(unsigned protocol, const void *payload, size_t n,
                               const char *correlation, struct sf_packet *p)
{
    uint8_t *at = written + SF_HEP_HEAD;
    size_t length = protocol == 0 ? 0 : number(at, 11, 1, protocol);
    length += chunk(at + length, 0, 15, payload, n);
    length += chunk(at + length, 0, 17, correlation, strlen(correlation));
    struct sf_hep hep;
    CHECK(sf_hep_parse(framed(length), &hep) == SF_OK);
    return sf_hep_packet(&hep, p);
}

static void what_is_taken(void)
{
    static const char rtp[] = "\x80\0\0\1\0\0\0\1\0\0\0\7abcd", rtcp[] = "\x80\xc9\0\1\0\0\0\7";
    struct sf_packet p;
    CHECK(carrying(4, rtp, 16, "c1", &p) == SF_OK && p.kind == SF_RTP && !p.has_metadata);
    CHECK_TEXT(p.call_id, "c1");
    CHECK(carrying(5, rtcp, 8, "c1", &p) == SF_OK && p.kind == SF_RTP);
    CHECK(carrying(5, "{\"ssrc\":1}", 10, "c1", &p) == SF_HEP_OTHER);
    CHECK(carrying(100, "SIP/2.0 200 OK\r\n", 16, "c1", &p) == SF_HEP_OTHER);
    CHECK(carrying(1, "", 0, "c1", &p) == SF_HEP_OTHER);
    CHECK(carrying(4, rtp, 16, "\xff", &p) == SF_BAD_CALL_ID);
    CHECK(carrying(4, rtp, 16, "", &p) == SF_OK && p.call_id.n == 0); /* for the intake to drop */
    /* What is SIP names its call itself: correlation ids of some senders are their own. */
    CHECK(carrying(1, "SIP/2.0 200 OK\r\ni: c2\r\n\r\n", 25, "c1", &p) == SF_OK &&
          p.kind == SF_SIP && p.call_id.n == 0);
    CHECK(carrying(0, "SIP/2.0 200 OK\r\n", 16, "", &p) == SF_OK && p.kind == SF_SIP);
    CHECK(carrying(0, "{}", 2, "", &p) == SF_HEP_OTHER);
}

static void a_stream_is_read_at_every_octet(void)
{
    uint8_t octets[1024];
    size_t first = unhex(PLAIN, octets), n = first + unhex(REPORT, octets + first);
    for (size_t have = 0; have <= n; have++) {
        struct sf_slice rest = guarded(octets, have), frame;
        unsigned frames = 0;
        while (sf_hep_frame(rest, &frame) == SF_OK) {
            rest = sf_slice(rest.p + frame.n, rest.n - frame.n);
            frames++;
        }
        CHECK(frames == (have < first ? 0u : have < n ? 1u : 2u));
    }
    struct sf_slice frame;
    CHECK(sf_hep_frame(hex("48"), &frame) == SF_TRUNCATED);
    CHECK(sf_hep_frame(hex("49"), &frame) == SF_BAD_MAGIC);
    CHECK(sf_hep_frame(hex("48455034"), &frame) == SF_BAD_MAGIC);
    CHECK(sf_hep_frame(hex("48455033 0005"), &frame) == SF_BAD_HEP);
    CHECK(sf_hep_frame(hex("45455033 0006"), &frame) == SF_OK && frame.n == 6); /* EEP3 */
}

static void keys(void)
{
    CHECK(sf_hep_key_fits(text_slice("s3cret"), text_slice("s3cret")));
    CHECK(!sf_hep_key_fits(text_slice("s3creT"), text_slice("s3cret")));
    CHECK(!sf_hep_key_fits(text_slice("s3cre"), text_slice("s3cret")));
    CHECK(!sf_hep_key_fits(text_slice("s3crets"), text_slice("s3cret")));
    CHECK(!sf_hep_key_fits(sf_slice("s3cret\0", 7), text_slice("s3cret")));
    CHECK(!sf_hep_key_fits(text_slice(""), text_slice("s3cret")));

    struct sf_packet p;
    struct sf_hep_reader *open = sf_hep_reader_new(text_slice(""));
    struct sf_hep_reader *guarding = sf_hep_reader_new(text_slice("s3cret"));
    CHECK(sf_hep_read(guarding, hex(REPORT), 1, &p) == SF_HEP_OTHER);
    CHECK(sf_hep_read(guarding, hex(PLAIN), 1, &p) == SF_HEP_KEY);
    CHECK(sf_hep_read(open, hex(PLAIN), 1, &p) == SF_OK);
    sf_hep_reader_free(open);
    sf_hep_reader_free(guarding);
}

static size_t pack(const void *octets, size_t n, int form, uint8_t *out)
{
    z_stream s = {0};
    CHECK(deflateInit2(&s, 9, Z_DEFLATED, form, 8, Z_DEFAULT_STRATEGY) == Z_OK);
    s.next_in = (z_const Bytef *)octets;
    s.avail_in = (uInt)n;
    s.next_out = out;
    s.avail_out = 1 << 16;
    CHECK(deflate(&s, Z_FINISH) == Z_STREAM_END);
    deflateEnd(&s);
    return s.total_out;
}

static void what_is_packed(void)
{
    static const char message[] =
        "SIP/2.0 200 OK\r\nCall-ID: c1\r\nX: aaaaaaaaaaaaaaaaaaaaaaaaa\r\n\r\n";
    static uint8_t packed[1 << 16], zeros[SF_UNPACKED_MAX + 1];
    static const int forms[] = {MAX_WBITS, MAX_WBITS + 16, -MAX_WBITS};
    struct sf_hep_reader *reader = sf_hep_reader_new(text_slice(""));
    struct sf_packet p;
    for (unsigned i = 0; i < 3; i++) {
        size_t n = pack(message, strlen(message), forms[i], packed);
        for (size_t cut = 0; cut <= n; cut++) {
            size_t length = number(written + SF_HEP_HEAD, 11, 1, 1);
            length += chunk(written + SF_HEP_HEAD + length, 0, 16, packed, cut);
            sf_hep_reader_clear(reader);
            enum sf_status status = sf_hep_read(reader, framed(length), 5, &p);
            CHECK(status == (cut == n ? SF_OK : SF_BAD_HEP));
        }
        CHECK_TEXT(p.payload, message);
        CHECK(p.time_us == 5);
    }
    /* A whole frame as gzip. */
    uint8_t octets[512];
    size_t n = pack(octets, unhex(PLAIN, octets), MAX_WBITS + 16, packed);
    CHECK(sf_hep_reader_knows(guarded(packed, n)));
    CHECK(sf_hep_read(reader, guarded(packed, n), 5, &p) == SF_OK && p.payload.n == 157);
    CHECK(sf_hep_read(reader, guarded(packed, n - 1), 5, &p) == SF_BAD_HEP);
    n = pack("no frame", 8, MAX_WBITS + 16, packed);
    CHECK(sf_hep_read(reader, guarded(packed, n), 5, &p) == SF_BAD_MAGIC);
    sf_hep_reader_free(reader);

    /* Bombs cost no more than their bound, and the largest that fits fits. */
    struct sf_unpacker *unpacker = sf_unpacker_new();
    struct sf_slice out;
    n = pack(zeros, sizeof zeros, MAX_WBITS, packed);
    CHECK(n < 1000 && sf_unpack(unpacker, guarded(packed, n), &out) == SF_TOO_LARGE);
    n = pack(zeros, SF_UNPACKED_MAX, MAX_WBITS, packed);
    unsigned taken = 0;
    while (sf_unpacker_has_room(unpacker, 1)) {
        CHECK(sf_unpack(unpacker, guarded(packed, n), &out) == SF_OK && out.n == SF_UNPACKED_MAX);
        taken++;
    }
    CHECK(taken >= 2 && sf_unpack(unpacker, guarded(packed, n), &out) == SF_TOO_LARGE);
    sf_unpacker_clear(unpacker);
    CHECK(sf_unpack(unpacker, guarded(packed, n), &out) == SF_OK);
    sf_unpacker_free(unpacker);
}

int main(void)
{
    fields_of_a_frame();
    older_versions();
    every_truncation_is_refused();
    no_changed_octet_leads_outside();
    chunks_in_any_order_and_of_any_kind();
    addresses_decide_the_family();
    what_is_taken();
    a_stream_is_read_at_every_octet();
    keys();
    what_is_packed();
    puts("ok hep");
    return 0;
}
