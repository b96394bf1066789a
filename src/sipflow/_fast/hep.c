#include "hep.h"

#include "rtp.h"
#include "sip.h"

#define SECOND_US 1000000u
/* Linux's numbers of address families, which the format took over. */
#define INET  2
#define INET6 10
/* Fixed parts of versions 1 and 2, addresses and all; the time of version 2 follows. */
#define OLD_IPV4 16
#define OLD_IPV6 40
/* The time of version 2: senders copy a struct of 12 octets in their own order, the text has 10. */
#define OLD_STRUCT 12
#define OLD_TEXT   10
/* A time of version 2 between 2001 and 2096 was read in the right order. */
#define SECONDS_MIN 1000000000u
#define SECONDS_MAX 4000000000u

enum chunk {
    CHUNK_FAMILY = 1,
    CHUNK_SRC4 = 3,
    CHUNK_DST4,
    CHUNK_SRC6,
    CHUNK_DST6,
    CHUNK_SRC_PORT,
    CHUNK_DST_PORT,
    CHUNK_SECONDS,
    CHUNK_MICROSECONDS,
    CHUNK_PROTOCOL,
    CHUNK_AGENT,
    CHUNK_KEY = 14,
    CHUNK_PAYLOAD,
    CHUNK_PACKED,
    CHUNK_CORRELATION,
};

/* An end as the chunks tell it, which may name it in both families. */
struct end {
    const uint8_t *ip4;
    const uint8_t *ip6;
};

/* What is put together once all chunks are read, as they come in any order. */
struct told {
    uint8_t family;
    struct end src, dst;
    uint32_t seconds, microseconds;
};

static bool is_version_3(struct sf_slice octets)
{
    return octets.n >= 4 && (memcmp(octets.p, "HEP3", 4) == 0 || memcmp(octets.p, "EEP3", 4) == 0);
}

static bool is_older(struct sf_slice octets)
{
    return octets.n >= 2 && (octets.p[0] == 1 || octets.p[0] == 2) &&
           (octets.p[1] == OLD_IPV4 || octets.p[1] == OLD_IPV6);
}

bool sf_hep_looks_like(struct sf_slice octets)
{
    return is_version_3(octets) || is_older(octets);
}

enum sf_status sf_hep_frame(struct sf_slice octets, struct sf_slice *frame)
{
    size_t seen = octets.n < 4 ? octets.n : 4;
    if (seen > 0 && memcmp(octets.p, "HEP3", seen) != 0 && memcmp(octets.p, "EEP3", seen) != 0) {
        return SF_BAD_MAGIC;
    }
    if (octets.n < SF_HEP_HEAD) {
        return SF_TRUNCATED;
    }
    size_t length = sf_load_be16(octets.p + 4);
    if (length < SF_HEP_HEAD) {
        return SF_BAD_HEP;
    }
    if (length > octets.n) {
        return SF_TRUNCATED;
    }
    *frame = sf_slice(octets.p, length);
    return SF_OK;
}

static uint64_t time_of(uint32_t seconds, uint32_t microseconds)
{
    if (seconds == 0) {
        return 0;
    }
    uint32_t within = microseconds < SECOND_US ? microseconds : SECOND_US - 1;
    return (uint64_t)seconds * SECOND_US + within;
}

static void set_end(const struct end *end, uint8_t family, bool prefer6, uint8_t *ip)
{
    memset(ip, 0, 16);
    bool six = end->ip6 != NULL && (end->ip4 == NULL || prefer6);
    if (six) {
        memcpy(ip, end->ip6, 16);
    } else if (end->ip4 != NULL && family == SF_IPV4) {
        memcpy(ip, end->ip4, 4);
    } else if (end->ip4 != NULL) {
        ip[10] = ip[11] = 0xff;
        memcpy(ip + 12, end->ip4, 4);
    }
}

/* The addresses decide the family, as not every sender writes Linux's numbers. */
static void set_ends(const struct told *told, struct sf_hep *out)
{
    bool prefer6 = told->family == INET6;
    bool six[2];
    const struct end *ends[2] = {&told->src, &told->dst};
    for (int i = 0; i < 2; i++) {
        six[i] = ends[i]->ip6 != NULL && (ends[i]->ip4 == NULL || prefer6);
    }
    bool none = told->src.ip4 == NULL && told->dst.ip4 == NULL && !six[0] && !six[1];
    out->family = six[0] || six[1] || (none && prefer6) ? SF_IPV6 : SF_IPV4;
    set_end(&told->src, out->family, prefer6, out->src);
    set_end(&told->dst, out->family, prefer6, out->dst);
}

static void set_payload(struct sf_hep *out, struct sf_slice body, bool packed)
{
    if (!out->has_payload) {
        out->payload = body;
        out->packed = packed;
        out->has_payload = true;
    }
}

/* One chunk of the generic vendor; `body` points at no octet when it has none. */
static void read_chunk(unsigned type, struct sf_slice body, struct told *told, struct sf_hep *out)
{
    const uint8_t *p = body.p;
    switch (type) {
    case CHUNK_PAYLOAD:
    case CHUNK_PACKED:
        set_payload(out, body, type == CHUNK_PACKED);
        return;
    case CHUNK_CORRELATION:
        out->correlation = body;
        return;
    case CHUNK_KEY:
        out->key = body;
        return;
    default:
        break;
    }
    switch (body.n << 8 | type) {
    case 1 << 8 | CHUNK_FAMILY:
        told->family = *p;
        break;
    case 1 << 8 | CHUNK_PROTOCOL:
        out->protocol = *p;
        break;
    case 2 << 8 | CHUNK_SRC_PORT:
        out->src_port = sf_load_be16(p);
        break;
    case 2 << 8 | CHUNK_DST_PORT:
        out->dst_port = sf_load_be16(p);
        break;
    case 2 << 8 | CHUNK_AGENT: /* some write the 16 bits of version 2 */
        out->agent = sf_load_be16(p);
        break;
    case 4 << 8 | CHUNK_AGENT:
        out->agent = sf_load_be32(p);
        break;
    case 4 << 8 | CHUNK_SRC4:
        told->src.ip4 = p;
        break;
    case 4 << 8 | CHUNK_DST4:
        told->dst.ip4 = p;
        break;
    case 4 << 8 | CHUNK_SECONDS:
        told->seconds = sf_load_be32(p);
        break;
    case 4 << 8 | CHUNK_MICROSECONDS:
        told->microseconds = sf_load_be32(p);
        break;
    case 16 << 8 | CHUNK_SRC6:
        told->src.ip6 = p;
        break;
    case 16 << 8 | CHUNK_DST6:
        told->dst.ip6 = p;
        break;
    default:
        break;
    }
}

static enum sf_status parse_3(struct sf_slice octets, struct sf_hep *out)
{
    struct sf_slice frame;
    enum sf_status status = sf_hep_frame(octets, &frame);
    if (status != SF_OK) {
        return status;
    }
    struct told told = {0};
    struct sf_cursor c = sf_cursor(frame.p + SF_HEP_HEAD, frame.n - SF_HEP_HEAD);
    while (sf_left(&c) > 0) {
        unsigned vendor = sf_read_be16(&c);
        unsigned type = sf_read_be16(&c);
        size_t length = sf_read_be16(&c); /* of the chunk, these six octets included */
        if (c.bad || length < SF_HEP_HEAD) {
            return SF_BAD_HEP;
        }
        struct sf_slice body = sf_take_slice(&c, length - SF_HEP_HEAD);
        if (c.bad) {
            return SF_BAD_HEP;
        }
        if (vendor == 0 && type <= 0xff) {
            read_chunk(type, body, &told, out);
        }
    }
    out->time_us = time_of(told.seconds, told.microseconds);
    set_ends(&told, out);
    return SF_OK;
}

static uint32_t load_32(const uint8_t *p, bool little)
{
    return little ? (uint32_t)p[3] << 24 | (uint32_t)p[2] << 16 | (uint32_t)p[1] << 8 | p[0]
                  : sf_load_be32(p);
}

static bool plausible(const uint8_t *p, bool little)
{
    uint32_t seconds = load_32(p, little);
    return seconds >= SECONDS_MIN && seconds < SECONDS_MAX && load_32(p + 4, little) < SECOND_US;
}

/* Gives how long the time of version 2 is, by where SIP begins behind it; reads what it says. */
static size_t read_old_time(struct sf_slice rest, struct sf_hep *out)
{
    struct sf_slice behind = sf_slice(rest.p + OLD_TEXT, rest.n - OLD_TEXT);
    bool as_text = sf_sip_looks_like(behind);
    if (!as_text && rest.n < OLD_STRUCT) {
        return OLD_TEXT;
    }
    /* The order that goes with the length comes first. */
    bool little = as_text ? !plausible(rest.p, false) : plausible(rest.p, true);
    if (plausible(rest.p, little)) {
        out->time_us = time_of(load_32(rest.p, little), load_32(rest.p + 4, little));
    }
    out->agent = little ? (uint32_t)rest.p[9] << 8 | rest.p[8] : sf_load_be16(rest.p + 8);
    return as_text ? OLD_TEXT : OLD_STRUCT;
}

static enum sf_status parse_older(struct sf_slice octets, struct sf_hep *out)
{
    struct sf_cursor c = sf_cursor(octets.p, octets.n);
    uint8_t version = sf_read_u8(&c);
    size_t ip_octets = sf_read_u8(&c) == OLD_IPV6 ? 16 : 4;
    sf_take(&c, 2); /* family, which the length tells as well, and IP protocol */
    out->src_port = sf_read_be16(&c);
    out->dst_port = sf_read_be16(&c);
    const uint8_t *src = sf_take(&c, ip_octets);
    const uint8_t *dst = sf_take(&c, ip_octets);
    if (c.bad || (version == 2 && sf_left(&c) < OLD_TEXT)) {
        return SF_TRUNCATED;
    }
    out->family = ip_octets == 16 ? SF_IPV6 : SF_IPV4;
    memcpy(out->src, src, ip_octets);
    memcpy(out->dst, dst, ip_octets);
    struct sf_slice rest = sf_slice(c.p, sf_left(&c));
    if (version == 2) {
        size_t time = read_old_time(rest, out);
        rest = sf_slice(rest.p + time, rest.n - time);
    }
    out->protocol = SF_HEP_SIP;
    set_payload(out, rest, false);
    return SF_OK;
}

enum sf_status sf_hep_parse(struct sf_slice octets, struct sf_hep *out)
{
    memset(out, 0, sizeof *out);
    return is_older(octets) ? parse_older(octets, out) : parse_3(octets, out);
}

enum sf_status sf_hep_packet(const struct sf_hep *hep, struct sf_packet *out)
{
    bool is_sip = hep->protocol == SF_HEP_SIP ||
                  (hep->protocol == SF_HEP_UNTOLD && sf_sip_looks_like(hep->payload));
    /* What RTCP reports say as JSON is no RTCP. */
    bool is_rtp = hep->protocol == SF_HEP_RTP ||
                  (hep->protocol == SF_HEP_RTCP && sf_rtp_kind(hep->payload) == SF_RTP_CONTROL);
    if (hep->payload.n == 0 || (!is_sip && !is_rtp)) {
        return SF_HEP_OTHER;
    }
    if (is_rtp && !sf_utf8_valid(hep->correlation)) {
        return SF_BAD_CALL_ID;
    }
    *out = (struct sf_packet){
        .time_us = hep->time_us,
        .client_id = hep->agent,
        .kind = is_rtp ? SF_RTP : SF_SIP,
        .family = hep->family,
        .src_port = hep->src_port,
        .dst_port = hep->dst_port,
        .call_id = is_rtp ? hep->correlation : sf_slice(NULL, 0),
        .payload = hep->payload,
    };
    memcpy(out->src, hep->src, 16);
    memcpy(out->dst, hep->dst, 16);
    return SF_OK;
}

bool sf_hep_key_fits(struct sf_slice given, struct sf_slice wanted)
{
    unsigned differ = given.n != wanted.n;
    for (size_t i = 0; i < given.n; i++) {
        differ |= given.p[i] ^ (i < wanted.n ? wanted.p[i] : 0u);
    }
    return differ == 0;
}
