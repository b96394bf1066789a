#include "messages.h"

#include <stdlib.h>

#include "little.h"

enum { HAS_LEG = 1, CLOCK_SKEW = 2 };

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

static uint8_t *put_message(uint8_t *p, const struct sf_arena_message *message)
{
    const struct sf_pool_sip *record = &message->record;
    size_t ip_octets = record->family == 6 ? 16 : 4;
    p = sf_store_le64(p, record->time_us);
    p = sf_store_le64(p, record->arrival_us);
    p = sf_store_le32(p, record->client_id);
    p = sf_store_le32(p, (uint32_t)record->leg);
    p = sf_store_le16(p, record->src_port);
    p = sf_store_le16(p, record->dst_port);
    *p++ = record->family;
    *p++ = (uint8_t)((record->has_leg ? HAS_LEG : 0) | (record->clock_skew ? CLOCK_SKEW : 0));
    p = sf_store_le16(p, record->call_id_length);
    p = sf_store_le32(p, record->payload_length);
    p = put_octets(p, record->src, ip_octets);
    p = put_octets(p, record->dst, ip_octets);
    p = put_octets(p, message->call_id.p, message->call_id.n);
    return put_octets(p, message->payload.p, message->payload.n);
}

size_t sf_messages_encode(const void *memory, size_t used, unsigned count,
                          struct sf_message_entry *entries, uint8_t *dst, struct sf_block *block)
{
    struct sf_slice arena = sf_slice(memory, used);
    struct sf_cursor c = sf_cursor(memory, used);
    struct sf_arena_message message;
    *block = (struct sf_block){.version = SF_BLOCK_VERSION,
                               .kind = SF_BLOCK_MESSAGES,
                               .transform = SF_TRANSFORM_NONE,
                               .records = count};
    if (used > SF_BLOCK_RAW_MAX) {
        return 0;
    }
    for (unsigned i = 0; i < count; i++) {
        uint32_t source = (uint32_t)(c.p - arena.p);
        if (!sf_arena_next(&c, &message)) {
            return 0;
        }
        entries[i] = (struct sf_message_entry){.prefix = prefix_of(message.call_id),
                                               .call_id = message.call_id,
                                               .time_us = (int64_t)message.record.time_us,
                                               .source = source,
                                               .order = i};
        const struct sf_pool_sip *record = &message.record;
        int64_t filed = (int64_t)(record->clock_skew ? record->arrival_us : record->time_us);
        block->t0_us = i == 0 || filed < block->t0_us ? filed : block->t0_us;
        block->t1_us = i == 0 || filed > block->t1_us ? filed : block->t1_us;
        block->flags |= record->clock_skew ? SF_BLOCK_CLOCK_SKEW : 0;
    }
    qsort(entries, count, sizeof *entries, compare_entries);
    uint8_t *p = dst;
    for (unsigned i = 0; i < count; i++) {
        message = message_at(&arena, entries[i].source);
        entries[i].position = (uint32_t)(p - dst);
        p = put_message(p, &message);
    }
    block->raw_length = (uint32_t)(p - dst);
    return (size_t)(p - dst);
}

enum sf_block_status sf_message_read(struct sf_slice content, size_t position,
                                     struct sf_message *out)
{
    if (position >= content.n) {
        return SF_BLOCK_TRUNCATED;
    }
    struct sf_cursor c = sf_cursor(content.p + position, content.n - position);
    *out = (struct sf_message){.time_us = (int64_t)sf_read_le64(&c)};
    out->arrival_us = (int64_t)sf_read_le64(&c);
    out->client_id = sf_read_le32(&c);
    out->leg = (int32_t)sf_read_le32(&c);
    out->src_port = sf_read_le16(&c);
    out->dst_port = sf_read_le16(&c);
    out->family = sf_read_u8(&c);
    uint8_t flags = sf_read_u8(&c);
    size_t call_id_length = sf_read_le16(&c);
    size_t payload_length = sf_read_le32(&c);
    if (c.bad) {
        return SF_BLOCK_TRUNCATED;
    }
    if ((out->family != 4 && out->family != 6) || flags > (HAS_LEG | CLOCK_SKEW)) {
        return SF_BLOCK_BAD_CONTENT;
    }
    out->has_leg = (flags & HAS_LEG) != 0;
    out->clock_skew = (flags & CLOCK_SKEW) != 0;
    size_t ip_octets = out->family == 6 ? 16 : 4;
    const uint8_t *addresses = sf_take(&c, 2 * ip_octets);
    out->call_id = sf_take_slice(&c, call_id_length);
    out->payload = sf_take_slice(&c, payload_length);
    if (c.bad) {
        return SF_BLOCK_TRUNCATED;
    }
    memcpy(out->src, addresses, ip_octets);
    memcpy(out->dst, addresses + ip_octets, ip_octets);
    out->next = (size_t)(c.p - content.p);
    return SF_BLOCK_OK;
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
    *out = (struct sf_message){.time_us = (int64_t)record->time_us,
                               .arrival_us = (int64_t)record->arrival_us,
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
