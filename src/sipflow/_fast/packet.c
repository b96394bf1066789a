#include "packet.h"

bool sf_utf8_valid(struct sf_slice text)
{
    if (text.n == 0) {
        return true;
    }
    const uint8_t *p = text.p;
    const uint8_t *end = text.p + text.n;
    while (p < end) {
        if (end - p >= 8) {
            uint64_t eight;
            memcpy(&eight, p, 8);
            if ((eight & 0x8080808080808080u) == 0) {
                p += 8;
                continue;
            }
        }
        uint8_t lead = *p++;
        if (lead < 0x80) {
            continue;
        }
        unsigned more = lead >= 0xf0 ? 3 : lead >= 0xe0 ? 2 : 1;
        if (lead < 0xc2 || lead > 0xf4 || (size_t)(end - p) < more) {
            return false;
        }
        /* The second octet alone decides overlong forms, surrogates and the upper bound. */
        uint8_t low = lead == 0xe0 ? 0xa0 : lead == 0xf0 ? 0x90 : 0x80;
        uint8_t high = lead == 0xed ? 0x9f : lead == 0xf4 ? 0x8f : 0xbf;
        if (*p < low || *p > high) {
            return false;
        }
        for (p++, more--; more > 0; more--, p++) {
            if ((*p & 0xc0) != 0x80) {
                return false;
            }
        }
    }
    return true;
}

static void read_address(struct sf_cursor *c, size_t octets, uint8_t *ip, uint16_t *port)
{
    const uint8_t *at = sf_take(c, octets);
    memset(ip, 0, 16);
    if (at != NULL) {
        memcpy(ip, at, octets);
    }
    *port = sf_read_be16(c);
}

static enum sf_status read_metadata(struct sf_cursor *c, struct sf_packet *out)
{
    uint32_t length = sf_read_be32(c);
    out->has_metadata = false;
    out->leg = 0;
    out->call_id = sf_slice(NULL, 0);
    if (c->bad || length == 0) {
        return SF_OK;
    }
    struct sf_slice block = sf_take_slice(c, length);
    if (c->bad) {
        return SF_TRUNCATED;
    }
    struct sf_cursor inner = sf_cursor(block.p, block.n);
    out->leg = (int32_t)sf_read_be32(&inner);
    uint32_t id_length = sf_read_be32(&inner);
    out->call_id = sf_take_slice(&inner, id_length);
    if (inner.bad || sf_left(&inner) != 0) {
        return SF_BAD_METADATA;
    }
    if (!sf_utf8_valid(out->call_id)) {
        return SF_BAD_CALL_ID;
    }
    out->has_metadata = true;
    return SF_OK;
}

enum sf_status sf_packet_parse(struct sf_slice octets, struct sf_packet *out)
{
    struct sf_cursor c = sf_cursor(octets.p, octets.n);
    uint16_t magic = sf_read_be16(&c);
    if (!c.bad && magic != SF_FRAME_MAGIC) {
        return SF_BAD_MAGIC;
    }
    uint8_t version = sf_read_u8(&c);
    if (!c.bad && version != 2 && version != 3) {
        return SF_BAD_VERSION;
    }
    out->kind = sf_read_u8(&c);
    if (!c.bad && out->kind > SF_RTP) {
        return SF_BAD_KIND;
    }
    out->family = sf_read_u8(&c);
    if (!c.bad && out->family != SF_IPV4 && out->family != SF_IPV6) {
        return SF_BAD_FAMILY;
    }
    size_t ip_octets = out->family == SF_IPV6 ? 16 : 4;
    read_address(&c, ip_octets, out->src, &out->src_port);
    read_address(&c, ip_octets, out->dst, &out->dst_port);
    out->time_us = sf_read_be64(&c);
    out->client_id = version == 3 ? sf_read_be32(&c) : 0;
    enum sf_status status = read_metadata(&c, out);
    if (status != SF_OK) {
        return status;
    }
    out->payload = sf_take_slice(&c, sf_read_be32(&c));
    return c.bad ? SF_TRUNCATED : SF_OK;
}

size_t sf_packet_size(const struct sf_packet *packet, unsigned version)
{
    size_t addresses = 2 * ((packet->family == SF_IPV6 ? 16 : 4) + 2);
    size_t metadata = packet->has_metadata ? 8 + packet->call_id.n : 0;
    return 5 + addresses + 8 + (version == 3 ? 4 : 0) + 4 + metadata + 4 + packet->payload.n;
}

static uint8_t *store_octets(uint8_t *p, const void *octets, size_t n)
{
    if (n > 0) {
        memcpy(p, octets, n);
    }
    return p + n;
}

uint8_t *sf_packet_encode(const struct sf_packet *packet, unsigned version, uint8_t *dst)
{
    size_t ip_octets = packet->family == SF_IPV6 ? 16 : 4;
    uint8_t *p = sf_store_be16(dst, SF_FRAME_MAGIC);
    *p++ = (uint8_t)version;
    *p++ = packet->kind;
    *p++ = packet->family;
    p = sf_store_be16(store_octets(p, packet->src, ip_octets), packet->src_port);
    p = sf_store_be16(store_octets(p, packet->dst, ip_octets), packet->dst_port);
    p = sf_store_be64(p, packet->time_us);
    if (version == 3) {
        p = sf_store_be32(p, packet->client_id);
    }
    if (packet->has_metadata) {
        p = sf_store_be32(p, (uint32_t)(8 + packet->call_id.n));
        p = sf_store_be32(p, (uint32_t)packet->leg);
        p = sf_store_be32(p, (uint32_t)packet->call_id.n);
        p = store_octets(p, packet->call_id.p, packet->call_id.n);
    } else {
        p = sf_store_be32(p, 0);
    }
    p = sf_store_be32(p, (uint32_t)packet->payload.n);
    return store_octets(p, packet->payload.p, packet->payload.n);
}

uint8_t *sf_batch_head(uint8_t *dst, uint16_t count)
{
    uint8_t *p = sf_store_be16(dst, SF_BATCH_MAGIC);
    *p++ = SF_BATCH_VERSION;
    return sf_store_be16(p, count);
}

enum sf_status sf_datagram_open(struct sf_slice octets, struct sf_datagram *out)
{
    struct sf_cursor c = sf_cursor(octets.p, octets.n);
    uint16_t magic = sf_read_be16(&c);
    *out = (struct sf_datagram){.rest = sf_cursor(octets.p, octets.n), .left = 1, .batch = false};
    if (c.bad) {
        return SF_TRUNCATED;
    }
    if (magic == SF_FRAME_MAGIC) {
        return SF_OK;
    }
    if (magic != SF_BATCH_MAGIC) {
        return SF_BAD_MAGIC;
    }
    uint8_t version = sf_read_u8(&c);
    if (!c.bad && version != SF_BATCH_VERSION) {
        return SF_BAD_VERSION;
    }
    unsigned count = sf_read_be16(&c);
    if (c.bad) {
        return SF_TRUNCATED;
    }
    *out = (struct sf_datagram){.rest = c, .left = count, .batch = true};
    for (unsigned i = 0; i < count && !c.bad; i++) {
        sf_take(&c, sf_read_be32(&c));
    }
    return c.bad || sf_left(&c) != 0 ? SF_BAD_BATCH : SF_OK;
}

bool sf_datagram_next(struct sf_datagram *datagram, struct sf_slice *frame)
{
    if (datagram->left == 0) {
        return false;
    }
    datagram->left--;
    size_t length = datagram->batch ? sf_read_be32(&datagram->rest) : sf_left(&datagram->rest);
    *frame = sf_take_slice(&datagram->rest, length);
    return true;
}
