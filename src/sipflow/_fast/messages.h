/*
 * The content of a message block: what is known of the messages as columns, then the messages
 * themselves one behind the other, a call's together. Byte table: docs/FORMAT.md.
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

#define SF_MESSAGE_ENDS 48 /* octets that say where a message came from and went */

/* Where a message went, and what it is sorted by. */
struct sf_message_entry {
    uint64_t prefix; /* the first eight octets of its call id, as a number */
    struct sf_slice call_id;
    int64_t time_us;
    uint32_t source;   /* where its record starts in the arena */
    uint32_t order;    /* the how manieth of the arena it is, from 0 */
    uint32_t ends;     /* number of its ends */
    uint32_t messages; /* of its call, at the first of them; at others 0 */
    uint32_t place;    /* at the first: where in its payload the call id stands, plus one; or 0 */
    uint32_t position; /* where its payload starts in the content */
};

/* What sf_messages_encode writes at most for `used` octets of arena. */
static inline size_t sf_messages_bound(size_t used)
{
    return used + used / 16 + 64;
}

/*
 * Encodes the first `count` records of an arena into `dst`, sorted by call id, capture time and
 * place in the arena; gives the octets written, or 0 when the arena contradicts itself. Fills
 * `count` entries in the order of the content, and t0_us, t1_us, records, raw_length, kind,
 * transform and flags of `block`. The columns end at `payload_at`.
 */
size_t sf_messages_encode(const void *arena, size_t used, unsigned count,
                          struct sf_message_entry *entries, uint8_t *dst, struct sf_block *block,
                          size_t *payload_at);

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
    size_t position; /* where its payload starts in the content, its head if that is within */
    size_t next;     /* of an arena: where the record behind this one starts */
};

/* A content opened for reading, every length in it proved. */
struct sf_messages {
    struct sf_slice content;
    bool heads_within; /* as version 0.1.0 wrote it */
    size_t count, left;
    const uint8_t *ends;
    struct sf_cursor per_call, id_lengths, id_places, ids, which, times, delays, lengths, payloads;
    size_t left_in_call;
    struct sf_slice call_id;
    int64_t base_us, time_us;
};

/* `transform` is SF_TRANSFORM_HEADS, or SF_TRANSFORM_NONE of version 0.1.0. */
enum sf_block_status sf_messages_open(struct sf_slice content, unsigned transform,
                                      struct sf_messages *out);

/* Gives the next message; false after the last one. */
bool sf_messages_next(struct sf_messages *messages, struct sf_message *out);

/* Gives the message of that position. */
enum sf_block_status sf_message_at(struct sf_slice content, unsigned transform, size_t position,
                                   struct sf_message *out);

/* Reads the record of an arena as the message it will become; next is where the arena goes on. */
bool sf_message_of_arena(const void *arena, size_t used, size_t position, struct sf_message *out);

#endif
