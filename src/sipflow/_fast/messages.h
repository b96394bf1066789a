/*
 * The content of a message block: SIP messages one behind the other, a call's together, each
 * complete in itself so that its position is all a reader needs. Byte table: docs/FORMAT.md.
 *
 * Owns:    nothing.
 * Lends:   call id and payload, which point into the content or the arena,
 * Until:   that memory changes or goes.
 * Threads: any; all functions are pure.
 */
#ifndef SF_MESSAGES_H
#define SF_MESSAGES_H

#include "block.h"
#include "chunk.h"

#define SF_MESSAGE_HEAD 36 /* what stands before the addresses */

/* Where a message went, and what it is sorted by. */
struct sf_message_entry {
    uint64_t prefix; /* the first eight octets of its call id, as a number */
    struct sf_slice call_id;
    int64_t time_us;
    uint32_t source;   /* where its record starts in the arena */
    uint32_t order;    /* the how manieth of the arena it is, from 0 */
    uint32_t position; /* where it starts in the content */
};

/* What sf_messages_encode writes at most for `used` octets of arena. */
static inline size_t sf_messages_bound(size_t used)
{
    return used;
}

/*
 * Encodes the first `count` records of an arena into `dst`, sorted by call id, capture time and
 * place in the arena; gives the octets written, or 0 when the arena contradicts itself. Fills
 * `count` entries in the order of the content, and t0_us, t1_us, records, raw_length, kind,
 * transform and flags of `block`.
 */
size_t sf_messages_encode(const void *arena, size_t used, unsigned count,
                          struct sf_message_entry *entries, uint8_t *dst, struct sf_block *block);

struct sf_message {
    int64_t time_us;
    int64_t arrival_us;
    uint32_t client_id;
    int32_t leg;
    uint16_t src_port;
    uint16_t dst_port;
    uint8_t family;
    bool has_leg;
    bool clock_skew;
    uint8_t src[16];
    uint8_t dst[16];
    struct sf_slice call_id;
    struct sf_slice payload;
    size_t next; /* where the message behind this one starts; content.n after the last */
};

/* Reads the message at `position`. */
enum sf_block_status sf_message_read(struct sf_slice content, size_t position,
                                     struct sf_message *out);

/* Reads the record of an arena as the message it will become; next is where the arena goes on. */
bool sf_message_of_arena(const void *arena, size_t used, size_t position, struct sf_message *out);

#endif
