#include "columns.h"

#include "arrival.h"
#include "g711.h"
#include "little.h"
#include "rtp.h"

enum { HAS_SSRC = 1, HAS_LEG = 2, CLOCK_SKEW = 4, SPLIT = 8 };

#define RECORD_MIN 3 /* capture time, arrival and length take an octet each at least */

/* Arithmetic that wraps, because the numbers may be anything a sender wrote. */

static int64_t add(int64_t a, int64_t b)
{
    return (int64_t)((uint64_t)a + (uint64_t)b);
}

static int64_t subtract(int64_t a, int64_t b)
{
    return (int64_t)((uint64_t)a - (uint64_t)b);
}

/* Reads the low `bits` of v as a signed number. */
static int64_t wrap(int64_t v, unsigned bits)
{
    return (int64_t)((uint64_t)v << (64 - bits)) >> (64 - bits);
}

/* Delta of deltas: the first value is written as it is, the second as a step from it, every
 * further one as the change of the step. */
struct steps {
    int64_t value;
    int64_t step;
    bool begun;
    unsigned bits;
};

static uint8_t *steps_put(struct steps *s, uint8_t *p, int64_t value)
{
    int64_t step = s->begun ? wrap(subtract(value, s->value), s->bits) : 0;
    int64_t change = s->begun ? wrap(subtract(step, s->step), s->bits) : wrap(value, s->bits);
    *s = (struct steps){value, step, true, s->bits};
    return sf_store_varint(p, sf_zigzag(change));
}

static int64_t steps_get(struct steps *s, struct sf_cursor *c)
{
    int64_t change = wrap(sf_unzigzag(sf_read_varint(c)), s->bits);
    if (!s->begun) {
        s->begun = true;
        s->value = change;
    } else {
        s->step = wrap(add(s->step, change), s->bits);
        s->value = wrap(add(s->value, s->step), s->bits);
    }
    return s->value;
}

static int64_t delay_ms(const struct sf_pool_rtp *record)
{
    return sf_delay_ms((int64_t)record->time_us, (int64_t)record->arrival_us);
}

static int64_t kept_arrival(const struct sf_pool_rtp *record)
{
    return sf_kept_arrival((int64_t)record->time_us, (int64_t)record->arrival_us);
}

/* Companded delta: mu-law and A-law octets in the order of the levels they stand for. */

enum law { NOT_G711, MU_LAW, A_LAW };

static enum law law_of(uint8_t second)
{
    uint8_t payload_type = second & 0x7f;
    return payload_type == 0 ? MU_LAW : payload_type == 8 ? A_LAW : NOT_G711;
}

static uint8_t delta_encode(uint8_t *restrict dst, struct sf_slice octets, enum law law,
                            uint8_t last)
{
    if (octets.n == 0) {
        return last;
    }
    const uint8_t *p = octets.p;
    size_t n = octets.n;
    if (law == MU_LAW) {
        dst[0] = (uint8_t)(sf_ulaw_index(p[0]) - last);
        for (size_t i = 1; i < n; i++) {
            dst[i] = (uint8_t)(sf_ulaw_index(p[i]) - sf_ulaw_index(p[i - 1]));
        }
        return sf_ulaw_index(p[n - 1]);
    }
    dst[0] = (uint8_t)(sf_alaw_index(p[0]) - last);
    for (size_t i = 1; i < n; i++) {
        dst[i] = (uint8_t)(sf_alaw_index(p[i]) - sf_alaw_index(p[i - 1]));
    }
    return sf_alaw_index(p[n - 1]);
}

static uint8_t delta_decode(uint8_t *dst, struct sf_slice deltas, enum law law, uint8_t last)
{
    for (size_t i = 0; i < deltas.n; i++) {
        last = (uint8_t)(last + deltas.p[i]);
        dst[i] = last;
    }
    for (size_t i = 0; i < deltas.n; i++) {
        dst[i] = law == MU_LAW ? sf_ulaw_code(dst[i]) : sf_alaw_code(dst[i]);
    }
    return last;
}

/* Walks records whose lengths sf_chunk_data_length has proved. */
struct walk {
    const uint8_t *next;
    struct sf_pool_rtp record;
    struct sf_slice packet;
};

static struct walk walk_from(const struct sf_chunk *chunk)
{
    return (struct walk){.next = chunk->records.p};
}

static inline void step(struct walk *w)
{
    memcpy(&w->record, w->next, sizeof w->record);
    w->packet = sf_slice(w->next + sizeof w->record, w->record.length);
    w->next += sizeof w->record + sf_align8(w->record.length);
}

/* Splitting pays only while one SSRC stands for all; anything else is kept octet by octet. */
static bool may_split(const struct sf_chunk *chunk, unsigned count)
{
    struct walk w = walk_from(chunk);
    for (unsigned i = 0; i < count; i++) {
        step(&w);
        if (w.packet.n >= SF_RTP_HEAD && sf_load_be32(w.packet.p + 8) != chunk->identity.ssrc) {
            return false;
        }
    }
    return chunk->identity.has_ssrc != 0;
}

static uint8_t *put_octets(uint8_t *p, const void *octets, size_t n)
{
    if (n > 0) {
        memcpy(p, octets, n);
    }
    return p + n;
}

static uint8_t *put_identity(uint8_t *p, const struct sf_chunk *chunk, bool split, unsigned count)
{
    const struct sf_chunk_identity *id = &chunk->identity;
    size_t ip_octets = id->family == 6 ? 16 : 4;
    *p++ = (uint8_t)((id->has_ssrc ? HAS_SSRC : 0) | (id->has_leg ? HAS_LEG : 0) |
                     (id->clock_skew ? CLOCK_SKEW : 0) | (split ? SPLIT : 0));
    *p++ = id->family;
    p = sf_store_le32(p, id->client_id);
    p = sf_store_le32(p, (uint32_t)id->leg);
    p = sf_store_le32(p, id->ssrc);
    p = sf_store_le16(p, id->src_port);
    p = sf_store_le16(p, id->dst_port);
    p = put_octets(p, id->src, ip_octets);
    p = put_octets(p, id->dst, ip_octets);
    p = sf_store_le16(p, id->call_id_length);
    p = put_octets(p, chunk->call_id.p, chunk->call_id.n);
    return sf_store_varint(p, count);
}

static uint8_t *put_times(uint8_t *p, const struct sf_chunk *chunk, unsigned count,
                          struct sf_block *block)
{
    struct steps times = {.bits = 64};
    struct walk w = walk_from(chunk);
    for (unsigned i = 0; i < count; i++) {
        step(&w);
        int64_t filed =
            chunk->identity.clock_skew ? kept_arrival(&w.record) : (int64_t)w.record.time_us;
        block->t0_us = i == 0 || filed < block->t0_us ? filed : block->t0_us;
        block->t1_us = i == 0 || filed > block->t1_us ? filed : block->t1_us;
        p = steps_put(&times, p, (int64_t)w.record.time_us);
    }
    return p;
}

static uint8_t *put_arrivals(uint8_t *p, const struct sf_chunk *chunk, unsigned count)
{
    struct walk w = walk_from(chunk);
    int64_t last = 0;
    for (unsigned i = 0; i < count; i++) {
        step(&w);
        int64_t delay = delay_ms(&w.record);
        p = sf_store_varint(p, sf_zigzag(subtract(delay, last)));
        last = delay;
    }
    return p;
}

static uint8_t *put_lengths(uint8_t *p, const struct sf_chunk *chunk, unsigned count)
{
    struct walk w = walk_from(chunk);
    int64_t last = 0;
    for (unsigned i = 0; i < count; i++) {
        step(&w);
        p = sf_store_varint(p, sf_zigzag(w.record.length - last));
        last = w.record.length;
    }
    return p;
}

enum header_column { FIRST, SECOND, SEQUENCE, TIMESTAMP };

static uint8_t *put_headers(uint8_t *p, const struct sf_chunk *chunk, unsigned count,
                            enum header_column which)
{
    struct steps steps = {.bits = which == SEQUENCE ? 16 : 32};
    struct walk w = walk_from(chunk);
    for (unsigned i = 0; i < count; i++) {
        step(&w);
        if (w.packet.n < SF_RTP_HEAD) {
            continue;
        }
        if (which == FIRST || which == SECOND) {
            *p++ = w.packet.p[which];
        } else {
            p = steps_put(&steps, p,
                          which == SEQUENCE ? sf_load_be16(w.packet.p + 2)
                                            : sf_load_be32(w.packet.p + 4));
        }
    }
    return p;
}

static uint8_t *put_payload(uint8_t *p, const struct sf_chunk *chunk, unsigned count, bool split)
{
    struct walk w = walk_from(chunk);
    uint8_t last = 128;
    for (unsigned i = 0; i < count; i++) {
        step(&w);
        struct sf_slice packet = w.packet;
        if (!split || packet.n < SF_RTP_HEAD) {
            p = put_octets(p, packet.p, packet.n);
            continue;
        }
        enum law law = law_of(packet.p[1]);
        struct sf_slice rest = sf_slice(packet.p + SF_RTP_HEAD, packet.n - SF_RTP_HEAD);
        if (law == NOT_G711) {
            p = put_octets(p, rest.p, rest.n);
        } else {
            last = delta_encode(p, rest, law, last);
            p += rest.n;
        }
    }
    return p;
}

size_t sf_columns_encode(const void *memory, size_t used, unsigned count, uint8_t *dst,
                         struct sf_block *block, size_t *payload_at)
{
    struct sf_chunk chunk;
    if (used > SF_BLOCK_RAW_MAX - 64 || sf_chunk_data_length(memory, used, count) < 0 ||
        !sf_chunk_open(memory, used, &chunk)) {
        return 0;
    }
    bool split = may_split(&chunk, count);
    *block = (struct sf_block){.version = SF_BLOCK_VERSION,
                               .kind = SF_BLOCK_STREAM,
                               .transform = SF_TRANSFORM_COMPANDED,
                               .flags = chunk.identity.clock_skew ? SF_BLOCK_CLOCK_SKEW : 0,
                               .records = count};
    uint8_t *p = put_identity(dst, &chunk, split, count);
    p = put_times(p, &chunk, count, block);
    p = put_arrivals(p, &chunk, count);
    p = put_lengths(p, &chunk, count);
    if (split) {
        p = put_headers(p, &chunk, count, FIRST);
        p = put_headers(p, &chunk, count, SECOND);
        p = put_headers(p, &chunk, count, SEQUENCE);
        p = put_headers(p, &chunk, count, TIMESTAMP);
    }
    *payload_at = (size_t)(p - dst);
    p = put_payload(p, &chunk, count, split);
    block->raw_length = (uint32_t)(p - dst);
    return (size_t)(p - dst);
}

static void get_identity(struct sf_cursor *c, struct sf_columns *out, uint8_t flags)
{
    struct sf_chunk_identity *id = &out->identity;
    *id = (struct sf_chunk_identity){.family = sf_read_u8(c)};
    size_t ip_octets = id->family == 6 ? 16 : 4;
    id->has_ssrc = (flags & HAS_SSRC) != 0;
    id->has_leg = (flags & HAS_LEG) != 0;
    id->clock_skew = (flags & CLOCK_SKEW) != 0;
    id->client_id = sf_read_le32(c);
    id->leg = (int32_t)sf_read_le32(c);
    id->ssrc = sf_read_le32(c);
    id->src_port = sf_read_le16(c);
    id->dst_port = sf_read_le16(c);
    const uint8_t *addresses = sf_take(c, 2 * ip_octets);
    if (addresses != NULL) {
        memcpy(id->src, addresses, ip_octets);
        memcpy(id->dst, addresses + ip_octets, ip_octets);
    }
    id->call_id_length = sf_read_le16(c);
    out->call_id = sf_take_slice(c, id->call_id_length);
}

/* Gives the octets of the next `count` varints. */
static struct sf_slice take_varints(struct sf_cursor *c, size_t count)
{
    const uint8_t *start = c->p;
    for (size_t i = 0; i < count && !c->bad; i++) {
        sf_read_varint(c);
    }
    return sf_slice(start, (size_t)(c->p - start));
}

enum sf_block_status sf_columns_open(struct sf_slice content, struct sf_columns *out)
{
    struct sf_cursor c = sf_cursor(content.p, content.n);
    uint8_t flags = sf_read_u8(&c);
    *out = (struct sf_columns){.split = (flags & SPLIT) != 0};
    get_identity(&c, out, flags);
    uint64_t count = sf_read_varint(&c);
    if (c.bad) {
        return SF_BLOCK_TRUNCATED;
    }
    bool family = out->identity.family == 4 || out->identity.family == 6;
    if (content.n > SF_BLOCK_RAW_MAX || flags >= 2 * SPLIT || !family ||
        (out->split && !out->identity.has_ssrc) || count > content.n / RECORD_MIN) {
        return SF_BLOCK_BAD_CONTENT;
    }
    out->count = (unsigned)count;
    out->times = take_varints(&c, count);
    out->arrivals = take_varints(&c, count);
    struct sf_cursor lengths = c;
    out->lengths = take_varints(&c, count);
    if (c.bad) {
        return SF_BLOCK_TRUNCATED;
    }
    size_t headers = 0;
    int64_t length = 0;
    for (size_t i = 0; i < count; i++) {
        length = add(length, sf_unzigzag(sf_read_varint(&lengths)));
        if (length < 0 || length > UINT16_MAX) {
            return SF_BLOCK_BAD_CONTENT;
        }
        out->data_length += (size_t)length;
        headers += out->split && length >= SF_RTP_HEAD;
    }
    out->first = sf_take_slice(&c, headers);
    out->second = sf_take_slice(&c, headers);
    out->sequences = take_varints(&c, headers);
    out->timestamps = take_varints(&c, headers);
    out->payload = sf_take_slice(&c, out->data_length - SF_RTP_HEAD * headers);
    if (c.bad) {
        return SF_BLOCK_TRUNCATED;
    }
    return sf_left(&c) == 0 ? SF_BLOCK_OK : SF_BLOCK_BAD_CONTENT;
}

/* Fills what RFC 3550 says of the packet at `offset`; times and place are set by the caller. */
static void describe(struct sf_rtp_row *row, const uint8_t *packet, bool may_be_rtp)
{
    struct sf_rtp rtp;
    if (!may_be_rtp || !sf_rtp_parse(sf_slice(packet, row->length), &rtp)) {
        return;
    }
    row->payload_offset = row->offset + (uint32_t)(rtp.payload.p - packet);
    row->payload_length = (uint32_t)rtp.payload.n;
    row->timestamp = rtp.timestamp;
    row->sequence = rtp.sequence;
    row->payload_type = rtp.payload_type;
    row->flags = (uint8_t)(SF_ROW_VALID | (rtp.marker ? SF_ROW_MARKER : 0));
}

static struct sf_cursor column(struct sf_slice octets)
{
    return sf_cursor(octets.p, octets.n);
}

/* Rebuilds the fixed header and the rest of a packet whose header was split into columns. */
struct headers {
    const uint8_t *first, *second;
    struct sf_cursor sequences, timestamps;
    struct steps sequence, timestamp;
    uint32_t ssrc;
    uint8_t last;
};

static void rebuild(struct headers *h, uint8_t *packet, struct sf_slice rest)
{
    packet[0] = *h->first++;
    packet[1] = *h->second++;
    sf_store_be16(packet + 2, (uint16_t)steps_get(&h->sequence, &h->sequences));
    sf_store_be32(packet + 4, (uint32_t)steps_get(&h->timestamp, &h->timestamps));
    sf_store_be32(packet + 8, h->ssrc);
    enum law law = law_of(packet[1]);
    if (law == NOT_G711) {
        put_octets(packet + SF_RTP_HEAD, rest.p, rest.n);
    } else {
        h->last = delta_decode(packet + SF_RTP_HEAD, rest, law, h->last);
    }
}

void sf_columns_decode(const struct sf_columns *columns, struct sf_rtp_row *rows, uint8_t *data)
{
    struct sf_cursor times = column(columns->times), arrivals = column(columns->arrivals);
    struct sf_cursor lengths = column(columns->lengths), payload = column(columns->payload);
    struct headers headers = {.first = columns->first.p,
                              .second = columns->second.p,
                              .sequences = column(columns->sequences),
                              .timestamps = column(columns->timestamps),
                              .sequence = {.bits = 16},
                              .timestamp = {.bits = 32},
                              .ssrc = columns->identity.ssrc,
                              .last = 128};
    struct steps time = {.bits = 64};
    int64_t delay = 0, length = 0;
    size_t offset = 0;
    for (unsigned i = 0; i < columns->count; i++) {
        struct sf_rtp_row *row = &rows[i];
        int64_t time_us = steps_get(&time, &times);
        delay = add(delay, sf_unzigzag(sf_read_varint(&arrivals)));
        length = add(length, sf_unzigzag(sf_read_varint(&lengths)));
        *row = (struct sf_rtp_row){.time_us = time_us,
                                   .arrival_us = sf_arrival_of(time_us, delay),
                                   .offset = (uint32_t)offset,
                                   .length = (uint32_t)length};
        bool split = columns->split && length >= SF_RTP_HEAD;
        size_t kept = (size_t)length - (split ? SF_RTP_HEAD : 0);
        struct sf_slice rest = sf_take_slice(&payload, kept);
        if (split) {
            rebuild(&headers, data + offset, rest);
        } else {
            put_octets(data + offset, rest.p, rest.n);
        }
        describe(row, data + offset, columns->identity.has_ssrc);
        offset += (size_t)length;
    }
}

int64_t sf_chunk_data_length(const void *memory, size_t used, unsigned count)
{
    struct sf_chunk chunk;
    struct sf_pool_rtp record;
    struct sf_slice packet;
    if (!sf_chunk_open(memory, used, &chunk)) {
        return -1;
    }
    int64_t octets = 0;
    for (unsigned i = 0; i < count; i++) {
        if (!sf_chunk_next(&chunk, &record, &packet)) {
            return -1;
        }
        octets += (int64_t)packet.n;
    }
    return octets;
}

bool sf_chunk_rows(const void *memory, size_t used, unsigned count, struct sf_rtp_row *rows,
                   uint8_t *data, size_t data_length)
{
    struct sf_chunk chunk;
    struct sf_pool_rtp record;
    struct sf_slice packet;
    if (!sf_chunk_open(memory, used, &chunk)) {
        return false;
    }
    size_t offset = 0;
    for (unsigned i = 0; i < count; i++) {
        if (!sf_chunk_next(&chunk, &record, &packet) || data_length - offset < packet.n) {
            return false;
        }
        rows[i] = (struct sf_rtp_row){.time_us = (int64_t)record.time_us,
                                      .arrival_us = kept_arrival(&record),
                                      .offset = (uint32_t)offset,
                                      .length = (uint32_t)packet.n};
        put_octets(data + offset, packet.p, packet.n);
        describe(&rows[i], data + offset, chunk.identity.has_ssrc);
        offset += packet.n;
    }
    return offset == data_length;
}
