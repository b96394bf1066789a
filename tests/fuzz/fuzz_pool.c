/* Any octets as the memory of a chunk: only what its checksums prove is taken, and what is taken
 * encodes. */
#include <stdlib.h>

#include "columns.h"
#include "facts.h"
#include "messages.h"
#include "portion.h"

int LLVMFuzzerTestOneInput(const uint8_t *octets, size_t n);

/* Writes the checksums that the records ask for, so that some get past them. */
static void mend(uint8_t *memory, size_t n, uint64_t id)
{
    struct sf_chunk chunk;
    struct sf_pool_rtp record;
    struct sf_slice packet;
    if (!sf_chunk_open(memory, n, &chunk)) {
        return;
    }
    uint32_t crc = sf_chunk_crc(id, memory, sizeof chunk.identity + chunk.call_id.n);
    memcpy(memory, &crc, sizeof crc);
    for (;;) {
        uint8_t *at = memory + (chunk.records.p - memory);
        if (!sf_chunk_next(&chunk, &record, &packet)) {
            return;
        }
        crc = sf_chunk_crc(id, at, sizeof record + packet.n);
        memcpy(at, &crc, sizeof crc);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *octets, size_t n)
{
    uint64_t id = n > 0 ? octets[0] : 0;
    uint8_t *memory = malloc(n + 1);
    uint8_t *content = malloc(sf_columns_bound(n) + 1);
    struct sf_portion *portion = sf_portion_new(0);
    if (memory == NULL || content == NULL || portion == NULL) {
        abort();
    }
    if (n > 0) {
        memcpy(memory, octets, n);
    }
    for (int turn = 0; turn < 2; turn++) {
        uint32_t used = (uint32_t)n;
        uint32_t sound = sf_arena_sound(memory, &used, 1000, id);
        struct sf_cursor c = sf_cursor(memory, used);
        struct sf_arena_message message;
        for (uint32_t i = 0; i < sound; i++) {
            if (!sf_arena_next(&c, &message)) {
                abort();
            }
        }
        used = (uint32_t)n;
        sound = sf_chunk_sound(memory, &used, 1000, id);
        struct sf_chunk_facts facts;
        struct sf_block head;
        if (sound > 0) {
            size_t payload_at;
            size_t length = sf_columns_encode(memory, used, sound, content, &head, &payload_at);
            if (!sf_chunk_facts(memory, used, sound, &facts) || facts.packets != sound ||
                length == 0 || length > sf_columns_bound(used) ||
                sf_portion_read(portion, &head, 0, sf_slice(content, length)) != SF_BLOCK_OK) {
                abort();
            }
        }
        mend(memory, n, id);
    }
    /* And as the content of a block. */
    struct sf_block block = {.kind = n % 2 == 0 ? SF_BLOCK_MESSAGES : SF_BLOCK_STREAM,
                             .records = n > 1 ? octets[1] : 0};
    sf_portion_read(portion, &block, 0, sf_slice(octets, n));
    sf_portion_free(portion);
    free(content);
    free(memory);
    return 0;
}
