#define _GNU_SOURCE
#include "messages.h"

#include <stdlib.h>

#include "arrival.h"
#include "hash.h"
#include "little.h"

enum { HAS_LEG = 1, CLOCK_SKEW = 2 };

/* Behind each payload, so that no two messages stand at one position and text reads as text. */
#define PAYLOAD_END '\n'
#define CALL_MIN    4    /* a call takes an octet each of four columns at least */
#define MESSAGE_MIN 5    /* a message of four, and the end of its payload */
#define PLACES      1024 /* ends that are looked for among those before; some may stand twice */

static int compare_slices(struct sf_slice a, struct sf_slice b)
{
    size_t n = a.n < b.n ? a.n : b.n;
    int difference = n == 0 ? 0 : memcmp(a.p, b.p, n);
    return difference != 0 ? difference : (a.n > b.n) - (a.n < b.n);
}

static struct sf_arena_message message_at(const struct sf_slice *arena, uint32_t source)
{
    struct sf_cursor c = sf_cursor(arena->p + source, arena->n - source);
    struct sf_arena_message message;
    sf_arena_next(&c, &message);
    return message;
}

static uint64_t prefix_of(struct sf_slice call_id)
{
    uint8_t octets[8] = {0};
    if (call_id.n > 0) {
        memcpy(octets, call_id.p, call_id.n < sizeof octets ? call_id.n : sizeof octets);
    }
    return sf_load_be64(octets);
}

static int compare_entries(const void *left, const void *right)
{
    const struct sf_message_entry *a = left, *b = right;
    if (a->prefix != b->prefix) {
        return a->prefix < b->prefix ? -1 : 1;
    }
    int difference = compare_slices(a->call_id, b->call_id);
    if (difference != 0) {
        return difference;
    }
    if (a->time_us != b->time_us) {
        return a->time_us < b->time_us ? -1 : 1;
    }
    return a->order < b->order ? -1 : a->order > b->order;
}

static uint8_t *put_octets(uint8_t *p, const void *octets, size_t n)
{
    if (n > 0) {
        memcpy(p, octets, n);
    }
    return p + n;
}

static void write_ends(uint8_t *p, const struct sf_pool_sip *record)
{
    p = sf_store_le32(p, record->client_id);
    p = sf_store_le32(p, (uint32_t)record->leg);
    p = sf_store_le16(p, record->src_port);
    p = sf_store_le16(p, record->dst_port);
    *p++ = record->family;
    *p++ = (uint8_t)((record->has_leg ? HAS_LEG : 0) | (record->clock_skew ? CLOCK_SKEW : 0));
    p = sf_store_le16(p, 0);
    p = put_octets(p, record->src, sizeof record->src);
    put_octets(p, record->dst, sizeof record->dst);
}

/* Writes the ends of all messages, each once, and in entries[i].ends which are those of i. */
static uint8_t *put_ends(uint8_t *p, struct sf_slice arena, unsigned count,
                         struct sf_message_entry *entries)
{
    uint32_t places[PLACES] = {0}; /* number of the ends plus one */
    uint8_t *first = p + SF_VARINT_MAX;
    uint32_t written = 0;
    for (unsigned i = 0; i < count; i++) {
        uint8_t ends[SF_MESSAGE_ENDS];
        struct sf_arena_message message = message_at(&arena, entries[i].source);
        write_ends(ends, &message.record);
        uint32_t *place = &places[sf_hash(ends, sizeof ends, 0) % PLACES];
        if (*place == 0 ||
            memcmp(first + (size_t)(*place - 1) * sizeof ends, ends, sizeof ends) != 0) {
            memcpy(first + (size_t)written * sizeof ends, ends, sizeof ends);
            *place = ++written;
        }
        entries[i].ends = *place - 1;
    }
    p = sf_store_varint(p, written);
    memmove(p, first, (size_t)written * SF_MESSAGE_ENDS);
    return p + (size_t)written * SF_MESSAGE_ENDS;
}

/* Where a call id stands in the payload of its first message, plus one; 0: nowhere. */
static uint32_t place_of(struct sf_slice arena, const struct sf_message_entry *entry)
{
    struct sf_slice payload = message_at(&arena, entry->source).payload;
    if (entry->call_id.n == 0 || payload.n < entry->call_id.n) {
        return 0;
    }
    const uint8_t *at = memmem(payload.p, payload.n, entry->call_id.p, entry->call_id.n);
    return at == NULL ? 0 : (uint32_t)(at - payload.p) + 1;
}

/* Finds the first message of each call; gives the calls. */
static unsigned part_calls(struct sf_slice arena, unsigned count, struct sf_message_entry *entries)
{
    unsigned calls = 0, first = 0;
    for (unsigned i = 0; i < count; i++) {
        if (i == 0 || !sf_slice_eq(entries[i].call_id, entries[first].call_id)) {
            first = i;
            calls++;
            entries[i].place = place_of(arena, &entries[i]);
        }
        entries[first].messages++;
    }
    return calls;
}

enum call_column { MESSAGES, ID_LENGTHS, ID_PLACES, IDS };

static uint8_t *put_calls(uint8_t *p, unsigned count, const struct sf_message_entry *entries,
                          enum call_column which)
{
    for (unsigned i = 0; i < count; i += entries[i].messages) {
        const struct sf_message_entry *first = &entries[i];
        if (which == MESSAGES) {
            p = sf_store_varint(p, first->messages);
        } else if (which == ID_LENGTHS) {
            p = sf_store_varint(p, first->call_id.n);
        } else if (which == ID_PLACES) {
            p = sf_store_varint(p, first->place);
        } else if (first->place == 0) {
            p = put_octets(p, first->call_id.p, first->call_id.n);
        }
    }
    return p;
}

static uint8_t *put_times(uint8_t *p, unsigned count, const struct sf_message_entry *entries,
                          int64_t base_us)
{
    int64_t last = base_us;
    for (unsigned i = 0; i < count; i++) {
        last = entries[i].messages > 0 ? base_us : last;
        p = sf_store_varint(p, sf_zigzag((int64_t)((uint64_t)entries[i].time_us - (uint64_t)last)));
        last = entries[i].time_us;
    }
    return p;
}

/* Reads the records into entries; false when the arena contradicts itself. */
static bool gather(struct sf_slice arena, unsigned count, struct sf_message_entry *entries,
                   struct sf_block *block)
{
    struct sf_cursor c = sf_cursor(arena.p, arena.n);
    struct sf_arena_message message;
    for (unsigned i = 0; i < count; i++) {
        uint32_t source = (uint32_t)(c.p - arena.p);
        if (!sf_arena_next(&c, &message)) {
            return false;
        }
        entries[i] = (struct sf_message_entry){.prefix = prefix_of(message.call_id),
                                               .call_id = message.call_id,
                                               .time_us = (int64_t)message.record.time_us,
                                               .source = source,
                                               .order = i};
        const struct sf_pool_sip *record = &message.record;
        int64_t filed = (int64_t)record->time_us;
        if (record->clock_skew) {
            filed = sf_kept_arrival((int64_t)record->time_us, (int64_t)record->arrival_us);
        }
        block->t0_us = i == 0 || filed < block->t0_us ? filed : block->t0_us;
        block->t1_us = i == 0 || filed > block->t1_us ? filed : block->t1_us;
        block->flags |= record->clock_skew ? SF_BLOCK_CLOCK_SKEW : 0;
    }
    qsort(entries, count, sizeof *entries, compare_entries);
    return true;
}

size_t sf_messages_encode(const void *memory, size_t used, unsigned count,
                          struct sf_message_entry *entries, uint8_t *dst, struct sf_block *block,
                          size_t *payload_at)
{
    struct sf_slice arena = sf_slice(memory, used);
    *block = (struct sf_block){.version = SF_BLOCK_VERSION,
                               .kind = SF_BLOCK_MESSAGES,
                               .transform = SF_TRANSFORM_HEADS,
                               .records = count};
    if (sf_messages_bound(used) > SF_BLOCK_RAW_MAX || !gather(arena, count, entries, block)) {
        return 0;
    }
    int64_t base_us = count > 0 ? entries[0].time_us : 0;
    uint8_t *p = sf_store_le64(dst, (uint64_t)base_us);
    p = put_ends(p, arena, count, entries);
    p = sf_store_varint(p, part_calls(arena, count, entries));
    p = put_calls(p, count, entries, MESSAGES);
    p = put_calls(p, count, entries, ID_LENGTHS);
    p = put_calls(p, count, entries, ID_PLACES);
    p = put_calls(p, count, entries, IDS);
    for (unsigned i = 0; i < count; i++) {
        p = sf_store_varint(p, entries[i].ends);
    }
    p = put_times(p, count, entries, base_us);
    for (unsigned i = 0; i < count; i++) {
        struct sf_pool_sip record = message_at(&arena, entries[i].source).record;
        p = sf_store_varint(
            p, sf_zigzag(sf_delay_ms((int64_t)record.time_us, (int64_t)record.arrival_us)));
    }
    for (unsigned i = 0; i < count; i++) {
        p = sf_store_varint(p, message_at(&arena, entries[i].source).payload.n);
    }
    *payload_at = (size_t)(p - dst);
    for (unsigned i = 0; i < count; i++) {
        struct sf_slice payload = message_at(&arena, entries[i].source).payload;
        entries[i].position = (uint32_t)(p - dst);
        p = put_octets(p, payload.p, payload.n);
        *p++ = PAYLOAD_END;
    }
    block->raw_length = (uint32_t)(p - dst);
    return (size_t)(p - dst);
}

/* Gives a cursor over the next `count` varints, and their sum, which stops growing at `most`. */
static struct sf_cursor take_column(struct sf_cursor *c, size_t count, size_t most, size_t *sum)
{
    const uint8_t *start = c->p;
    *sum = 0;
    for (size_t i = 0; i < count && !c->bad; i++) {
        uint64_t value = sf_read_varint(c);
        *sum = value > most - *sum ? most : *sum + (size_t)value;
    }
    return sf_cursor(start, (size_t)(c->p - start));
}

static bool sound_ends(const struct sf_messages *m, size_t ends)
{
    for (size_t i = 0; i < ends; i++) {
        const uint8_t *one = m->ends + i * SF_MESSAGE_ENDS;
        if ((one[12] != 4 && one[12] != 6) || one[13] > (HAS_LEG | CLOCK_SKEW)) {
            return false;
        }
    }
    struct sf_cursor which = m->which;
    for (size_t i = 0; i < m->count; i++) {
        if (sf_read_varint(&which) >= ends) {
            return false;
        }
    }
    return true;
}

/* Proves that each call has messages, and its id a place in the first of them or among the ids. */
static bool sound_calls(const struct sf_messages *m, size_t calls)
{
    struct sf_cursor per_call = m->per_call, id_lengths = m->id_lengths, id_places = m->id_places;
    struct sf_cursor ids = m->ids, lengths = m->lengths;
    for (size_t i = 0; i < calls; i++) {
        size_t messages = sf_read_varint(&per_call), id_length = sf_read_varint(&id_lengths);
        size_t place = sf_read_varint(&id_places), first = sf_read_varint(&lengths);
        for (size_t other = 1; other < messages; other++) {
            sf_read_varint(&lengths);
        }
        if (messages == 0 || id_length > UINT16_MAX ||
            (place > 0 && (place - 1 > first || id_length > first - (place - 1)))) {
            return false;
        }
        if (place == 0) {
            sf_take(&ids, id_length);
        }
    }
    return !ids.bad && sf_left(&ids) == 0;
}

/* Proves that the payloads are all of the rest, each with its end. */
static bool sound_payloads(const struct sf_messages *m)
{
    struct sf_cursor lengths = m->lengths, payloads = m->payloads;
    for (size_t i = 0; i < m->count; i++) {
        sf_take(&payloads, sf_read_varint(&lengths));
        if (sf_read_u8(&payloads) != PAYLOAD_END) {
            return false;
        }
    }
    return !payloads.bad && sf_left(&payloads) == 0;
}

/* The octets of ids that stand in no payload. */
static size_t ids_apart(const struct sf_messages *m, size_t calls, size_t most)
{
    struct sf_cursor lengths = m->id_lengths, places = m->id_places;
    size_t sum = 0;
    for (size_t i = 0; i < calls; i++) {
        uint64_t length = sf_read_varint(&lengths);
        if (sf_read_varint(&places) == 0) {
            sum = length > most - sum ? most : sum + (size_t)length;
        }
    }
    return sum;
}

static enum sf_block_status open_columns(struct sf_slice content, struct sf_messages *out)
{
    struct sf_cursor c = sf_cursor(content.p, content.n);
    size_t most = content.n + 1, ignored;
    *out = (struct sf_messages){.content = content, .base_us = (int64_t)sf_read_le64(&c)};
    uint64_t ends = sf_read_varint(&c);
    if (ends > content.n / SF_MESSAGE_ENDS) {
        return SF_BLOCK_TRUNCATED;
    }
    out->ends = sf_take(&c, (size_t)ends * SF_MESSAGE_ENDS);
    uint64_t calls = sf_read_varint(&c);
    if (c.bad || calls > content.n / CALL_MIN) {
        return SF_BLOCK_TRUNCATED;
    }
    out->per_call = take_column(&c, calls, most, &out->count);
    out->id_lengths = take_column(&c, calls, most, &ignored);
    out->id_places = take_column(&c, calls, most, &ignored);
    if (c.bad || out->count > content.n / MESSAGE_MIN) {
        return SF_BLOCK_TRUNCATED;
    }
    size_t apart = ids_apart(out, calls, most);
    out->ids = sf_cursor(c.p, apart <= sf_left(&c) ? apart : 0);
    sf_take(&c, apart);
    out->which = take_column(&c, out->count, most, &ignored);
    out->times = take_column(&c, out->count, most, &ignored);
    out->delays = take_column(&c, out->count, most, &ignored);
    out->lengths = take_column(&c, out->count, most, &ignored);
    if (c.bad) {
        return SF_BLOCK_TRUNCATED;
    }
    out->payloads = c;
    out->left = out->count;
    return sound_ends(out, ends) && sound_calls(out, calls) && sound_payloads(out)
               ? SF_BLOCK_OK
               : SF_BLOCK_BAD_CONTENT;
}

/* A message as version 0.1.0 wrote it: its head, then call id and payload. */
static enum sf_block_status read_whole(struct sf_cursor *c, struct sf_message *out)
{
    *out = (struct sf_message){.time_us = (int64_t)sf_read_le64(c)};
    out->arrival_us = (int64_t)sf_read_le64(c);
    out->client_id = sf_read_le32(c);
    out->leg = (int32_t)sf_read_le32(c);
    out->src_port = sf_read_le16(c);
    out->dst_port = sf_read_le16(c);
    out->family = sf_read_u8(c);
    uint8_t flags = sf_read_u8(c);
    size_t call_id_length = sf_read_le16(c);
    size_t payload_length = sf_read_le32(c);
    if (c->bad) {
        return SF_BLOCK_TRUNCATED;
    }
    if ((out->family != 4 && out->family != 6) || flags > (HAS_LEG | CLOCK_SKEW)) {
        return SF_BLOCK_BAD_CONTENT;
    }
    out->has_leg = (flags & HAS_LEG) != 0;
    out->clock_skew = (flags & CLOCK_SKEW) != 0;
    size_t ip_octets = out->family == 6 ? 16 : 4;
    const uint8_t *addresses = sf_take(c, 2 * ip_octets);
    out->call_id = sf_take_slice(c, call_id_length);
    out->payload = sf_take_slice(c, payload_length);
    if (c->bad) {
        return SF_BLOCK_TRUNCATED;
    }
    memcpy(out->src, addresses, ip_octets);
    memcpy(out->dst, addresses + ip_octets, ip_octets);
    return SF_BLOCK_OK;
}

static enum sf_block_status open_whole(struct sf_slice content, struct sf_messages *out)
{
    struct sf_cursor c = sf_cursor(content.p, content.n);
    struct sf_message message;
    *out = (struct sf_messages){.content = content, .heads_within = true, .payloads = c};
    for (; sf_left(&c) > 0; out->count++) {
        enum sf_block_status status = read_whole(&c, &message);
        if (status != SF_BLOCK_OK) {
            return status;
        }
    }
    out->left = out->count;
    return SF_BLOCK_OK;
}

enum sf_block_status sf_messages_open(struct sf_slice content, unsigned transform,
                                      struct sf_messages *out)
{
    return (transform == SF_TRANSFORM_NONE ? open_whole : open_columns)(content, out);
}

static void read_ends(const uint8_t *ends, struct sf_message *out)
{
    out->client_id = sf_load_le32(ends);
    out->leg = (int32_t)sf_load_le32(ends + 4);
    out->src_port = sf_load_le16(ends + 8);
    out->dst_port = sf_load_le16(ends + 10);
    out->family = ends[12];
    out->has_leg = (ends[13] & HAS_LEG) != 0;
    out->clock_skew = (ends[13] & CLOCK_SKEW) != 0;
    memcpy(out->src, ends + 16, sizeof out->src);
    memcpy(out->dst, ends + 32, sizeof out->dst);
}

static void begin_call(struct sf_messages *m, struct sf_slice first)
{
    size_t length = sf_read_varint(&m->id_lengths), place = sf_read_varint(&m->id_places);
    m->left_in_call = sf_read_varint(&m->per_call);
    m->call_id = place > 0 ? sf_slice(first.p + place - 1, length) : sf_take_slice(&m->ids, length);
    m->time_us = m->base_us;
}

bool sf_messages_next(struct sf_messages *m, struct sf_message *out)
{
    if (m->left == 0) {
        return false;
    }
    m->left--;
    size_t position = (size_t)(m->payloads.p - m->content.p);
    if (m->heads_within) {
        read_whole(&m->payloads, out);
        out->position = position;
        return true;
    }
    struct sf_slice payload = sf_take_slice(&m->payloads, sf_read_varint(&m->lengths));
    sf_take(&m->payloads, 1);
    if (m->left_in_call == 0) {
        begin_call(m, payload);
    }
    m->left_in_call--;
    m->time_us = (int64_t)((uint64_t)m->time_us + (uint64_t)sf_unzigzag(sf_read_varint(&m->times)));
    *out = (struct sf_message){
        .time_us = m->time_us, .call_id = m->call_id, .payload = payload, .position = position};
    out->arrival_us = sf_arrival_of(m->time_us, sf_unzigzag(sf_read_varint(&m->delays)));
    read_ends(m->ends + sf_read_varint(&m->which) * SF_MESSAGE_ENDS, out);
    return true;
}

enum sf_block_status sf_message_at(struct sf_slice content, unsigned transform, size_t position,
                                   struct sf_message *out)
{
    struct sf_messages messages;
    enum sf_block_status status = sf_messages_open(content, transform, &messages);
    if (status != SF_BLOCK_OK) {
        return status;
    }
    while (sf_messages_next(&messages, out)) {
        if (out->position == position) {
            return SF_BLOCK_OK;
        }
    }
    return SF_BLOCK_BAD_CONTENT;
}

bool sf_message_of_arena(const void *arena, size_t used, size_t position, struct sf_message *out)
{
    if (position >= used) {
        return false;
    }
    struct sf_cursor c = sf_cursor((const uint8_t *)arena + position, used - position);
    struct sf_arena_message message;
    if (!sf_arena_next(&c, &message)) {
        return false;
    }
    const struct sf_pool_sip *record = &message.record;
    *out = (struct sf_message){
        .time_us = (int64_t)record->time_us,
        .arrival_us = sf_kept_arrival((int64_t)record->time_us, (int64_t)record->arrival_us),
        .client_id = record->client_id,
        .leg = record->leg,
        .src_port = record->src_port,
        .dst_port = record->dst_port,
        .family = record->family,
        .has_leg = record->has_leg != 0,
        .clock_skew = record->clock_skew != 0,
        .call_id = message.call_id,
        .payload = message.payload,
        .next = (size_t)(c.p - (const uint8_t *)arena)};
    memcpy(out->src, record->src, sizeof out->src);
    memcpy(out->dst, record->dst, sizeof out->dst);
    return true;
}
