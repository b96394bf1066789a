/*
 * Pool memory: how captured packets lie in a chunk before they are encoded.
 *
 * A chunk of one stream is a struct sf_chunk_identity, the octets of its call id, and
 * records; an arena of SIP messages is records alone. Every record starts at a multiple of
 * eight from the start of the chunk, in the byte order of the machine.
 *
 * Identity and records begin with a CRC-32C of all that follows in them, padding left out, that
 * starts from the low half of the chunk's id: what an earlier use of the chunk left behind, or a
 * page that a power cut kept from the disk, is told from what belongs there.
 *
 * Owns:    nothing.
 * Lends:   call id and packet octets, which point into the chunk,
 * Until:   the chunk is reused.
 * Threads: any; a chunk may grow while it is read, as long as `used` and `count` were read
 *          together after the records they cover were written.
 */
#ifndef SF_CHUNK_H
#define SF_CHUNK_H

#include "crc32c.h"
#include "cursor.h"

struct sf_chunk_identity {
    uint32_t crc; /* of the rest and the call id */
    uint32_t client_id;
    int32_t leg;
    uint32_t ssrc;
    uint16_t src_port;
    uint16_t dst_port;
    uint8_t family; /* 4 or 6; IPv4 addresses fill the first four octets, the rest is 0 */
    uint8_t has_ssrc;
    uint8_t clock_skew; /* filed by arrival time, because capture time was not believable */
    uint8_t has_leg;
    uint8_t src[16];
    uint8_t dst[16];
    uint16_t call_id_length;
    uint8_t pad[6];
}; /* the call id follows, zero-padded to eight octets */

struct sf_pool_rtp {
    uint32_t crc;        /* of the rest and the packet */
    uint16_t length;     /* of the whole packet, RTP header included */
    uint16_t flags;      /* not stored */
    uint64_t time_us;    /* capture, as the sender says; a signed number in disguise */
    uint64_t arrival_us; /* when this machine received it */
};                       /* the packet follows, padded to eight octets */

struct sf_pool_sip {
    uint32_t crc; /* of the rest, the call id and the payload */
    uint32_t payload_length;
    uint64_t time_us;
    uint64_t arrival_us;
    uint32_t client_id;
    int32_t leg;
    uint16_t src_port;
    uint16_t dst_port;
    uint16_t call_id_length;
    uint8_t family;
    uint8_t has_leg;
    uint8_t src[16];
    uint8_t dst[16];
    uint8_t clock_skew;
    uint8_t pad[7];
}; /* the call id follows, then the payload, then padding to eight octets */

_Static_assert(sizeof(struct sf_chunk_identity) == 64, "the pool and the encoder agree on this");
_Static_assert(sizeof(struct sf_pool_rtp) == 24, "the pool and the encoder agree on this");
_Static_assert(sizeof(struct sf_pool_sip) == 80, "the pool and the encoder agree on this");

static inline size_t sf_align8(size_t n)
{
    return (n + 7) & ~(size_t)7;
}

/* Where the first record of a stream's chunk starts. */
static inline size_t sf_chunk_head(size_t call_id_length)
{
    return sf_align8(sizeof(struct sf_chunk_identity) + call_id_length);
}

/* The checksum of `octets` of an identity or record; the first four are where it is kept. */
static inline uint32_t sf_chunk_crc(uint64_t chunk_id, const void *octets, size_t n)
{
    return sf_crc32c((uint32_t)chunk_id, (const uint8_t *)octets + 4, n - 4);
}

/*
 * Gives how many of the first `count` records of a chunk of one stream are as they were written;
 * cuts `used` behind the last of them. 0 also when its identity is not.
 */
uint32_t sf_chunk_sound(const void *memory, uint32_t *used, uint32_t count, uint64_t chunk_id);

/* The same of an arena of SIP messages. */
uint32_t sf_arena_sound(const void *memory, uint32_t *used, uint32_t count, uint64_t chunk_id);

/* Walks the records of a stream's chunk. */
struct sf_chunk {
    struct sf_chunk_identity identity;
    struct sf_slice call_id;
    struct sf_cursor records;
};

/* False when `used` octets cannot hold what they claim, or the family is not 4 or 6. */
bool sf_chunk_open(const void *memory, size_t used, struct sf_chunk *out);

/* Gives the next record and its packet; false when it does not fit what is left. */
bool sf_chunk_next(struct sf_chunk *chunk, struct sf_pool_rtp *record, struct sf_slice *packet);

/* One SIP record of an arena. */
struct sf_arena_message {
    struct sf_pool_sip record;
    struct sf_slice call_id;
    struct sf_slice payload;
};

/* Gives the record at the cursor and moves past it; false when it does not fit what is left. */
bool sf_arena_next(struct sf_cursor *arena, struct sf_arena_message *out);

#endif
