#include "lift.h"

#include <string.h>

static bool put_record(struct sf_octets *arena, const struct sf_message *message)
{
    struct sf_pool_sip record = {
        .payload_length = (uint32_t)message->payload.n,
        .time_us = (uint64_t)message->time_us,
        .arrival_us = (uint64_t)message->arrival_us,
        .client_id = message->client_id,
        .leg = message->leg,
        .src_port = message->src_port,
        .dst_port = message->dst_port,
        .call_id_length = (uint16_t)message->call_id.n,
        .family = message->family,
        .has_leg = message->has_leg,
        .clock_skew = message->clock_skew,
    };
    memcpy(record.src, message->src, sizeof record.src);
    memcpy(record.dst, message->dst, sizeof record.dst);
    size_t n = sizeof record + message->call_id.n + message->payload.n;
    size_t whole = sf_align8(n);
    if (!sf_octets_room(arena, whole)) {
        return false;
    }
    uint8_t *p = arena->p + arena->n;
    memcpy(p, &record, sizeof record);
    p += sizeof record;
    if (message->call_id.n > 0) {
        memcpy(p, message->call_id.p, message->call_id.n);
        p += message->call_id.n;
    }
    if (message->payload.n > 0) {
        memcpy(p, message->payload.p, message->payload.n);
        p += message->payload.n;
    }
    memset(p, 0, whole - n);
    arena->n += whole;
    return true;
}

enum sf_block_status sf_lift(struct sf_slice content, unsigned transform, const struct sf_run *runs,
                             size_t count, struct sf_octets *arena, uint64_t *ends)
{
    struct sf_messages messages;
    struct sf_message message;
    enum sf_block_status status = sf_messages_open(content, transform, &messages);
    if (status != SF_BLOCK_OK) {
        return status;
    }
    bool any = sf_messages_next(&messages, &message);
    for (size_t i = 0; i < count; i++) {
        while (any && message.position < runs[i].position) {
            any = sf_messages_next(&messages, &message);
        }
        if (!any || message.position != runs[i].position || runs[i].messages == 0) {
            return SF_BLOCK_BAD_CONTENT;
        }
        struct sf_slice call_id = message.call_id;
        for (uint32_t k = 0; k < runs[i].messages; k++) {
            if (!any || !sf_slice_eq(call_id, message.call_id)) {
                return SF_BLOCK_BAD_CONTENT;
            }
            if (!put_record(arena, &message)) {
                return SF_BLOCK_NO_MEMORY;
            }
            any = sf_messages_next(&messages, &message);
        }
        ends[i] = arena->n;
    }
    return SF_BLOCK_OK;
}
