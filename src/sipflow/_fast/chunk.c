#include "chunk.h"

/* The padding behind the last record may lie outside `used`: nothing is ever read from it. */
static void skip_padding(struct sf_cursor *c, size_t n)
{
    size_t padding = sf_align8(n) - n;
    size_t left = sf_left(c);
    sf_take(c, padding < left ? padding : left);
}

bool sf_chunk_open(const void *memory, size_t used, struct sf_chunk *out)
{
    struct sf_cursor c = sf_cursor(memory, used);
    const uint8_t *head = sf_take(&c, sizeof out->identity);
    if (head == NULL) {
        return false;
    }
    memcpy(&out->identity, head, sizeof out->identity);
    size_t call_id_length = out->identity.call_id_length;
    out->call_id = sf_take_slice(&c, call_id_length);
    skip_padding(&c, sizeof out->identity + call_id_length);
    out->records = c;
    return !c.bad && (out->identity.family == 4 || out->identity.family == 6);
}

bool sf_chunk_next(struct sf_chunk *chunk, struct sf_pool_rtp *record, struct sf_slice *packet)
{
    struct sf_cursor *c = &chunk->records;
    const uint8_t *head = sf_take(c, sizeof *record);
    if (head == NULL) {
        return false;
    }
    memcpy(record, head, sizeof *record);
    *packet = sf_take_slice(c, record->length);
    skip_padding(c, record->length);
    return !c->bad;
}

bool sf_arena_next(struct sf_cursor *arena, struct sf_arena_message *out)
{
    const uint8_t *head = sf_take(arena, sizeof out->record);
    if (head == NULL) {
        return false;
    }
    memcpy(&out->record, head, sizeof out->record);
    out->call_id = sf_take_slice(arena, out->record.call_id_length);
    out->payload = sf_take_slice(arena, out->record.payload_length);
    if (arena->bad || (out->record.family != 4 && out->record.family != 6)) {
        return false;
    }
    skip_padding(arena, out->call_id.n + out->payload.n);
    return true;
}

uint32_t sf_chunk_sound(const void *memory, uint32_t *used, uint32_t count, uint64_t chunk_id)
{
    const uint8_t *base = memory;
    size_t head = sizeof(struct sf_chunk_identity);
    struct sf_chunk chunk;
    struct sf_pool_rtp record;
    struct sf_slice packet;
    if (!sf_chunk_open(memory, *used, &chunk) ||
        chunk.identity.crc != sf_chunk_crc(chunk_id, memory, head + chunk.call_id.n)) {
        return 0;
    }
    uint32_t sound = 0;
    while (sound < count) {
        const uint8_t *at = chunk.records.p;
        if (!sf_chunk_next(&chunk, &record, &packet) ||
            record.crc != sf_chunk_crc(chunk_id, at, sizeof record + packet.n)) {
            *used = (uint32_t)(at - base);
            break;
        }
        sound++;
    }
    return sound;
}

uint32_t sf_arena_sound(const void *memory, uint32_t *used, uint32_t count, uint64_t chunk_id)
{
    const uint8_t *base = memory;
    struct sf_cursor c = sf_cursor(memory, *used);
    struct sf_arena_message message;
    uint32_t sound = 0;
    while (sound < count) {
        const uint8_t *at = c.p;
        if (!sf_arena_next(&c, &message) ||
            message.record.crc !=
                sf_chunk_crc(chunk_id, at,
                             sizeof message.record + message.call_id.n + message.payload.n)) {
            *used = (uint32_t)(at - base);
            break;
        }
        sound++;
    }
    return sound;
}
