/*
 * What the index says of a stream chunk, gathered in one pass over its packets.
 *
 * Owns:    nothing.
 * Lends:   nothing.
 * Threads: any.
 */
#ifndef SF_FACTS_H
#define SF_FACTS_H

#include <stdbool.h>

#include <assert.h>

#include "columns.h"

struct sf_chunk_facts {
    uint64_t id;
    int64_t filed_us; /* filing time of the first packet */
    int64_t t0_us;    /* first and last filing time */
    int64_t t1_us;
    uint32_t chunk;
    uint32_t packets;
    uint32_t lost;      /* holes in the sequence between its lowest and highest number */
    uint32_t jitter_us; /* RFC 3550 A.8 after the last packet */
    uint32_t ssrc;
    uint32_t client_id;
    int32_t leg;
    uint16_t first_seq;
    uint16_t last_seq;
    uint16_t src_port;
    uint16_t dst_port;
    uint16_t call_id_length;
    uint8_t payload_type; /* the most frequent one */
    uint8_t family;
    uint8_t has_ssrc;
    uint8_t clock_skew;
    uint8_t src[16];
    uint8_t dst[16];
    uint8_t pad[6];
};

static_assert(sizeof(struct sf_chunk_facts) == 112, "read as a numpy record");

/* False when the records do not fill `used` octets as `count` says: the chunk is damaged. */
bool sf_chunk_facts(const uint8_t *chunk, size_t used, uint32_t count, struct sf_chunk_facts *out);

/* The same from decoded rows; has_ssrc and clock_skew of `out` are set by the caller, the rest 0.
 */
bool sf_rows_facts(const struct sf_rtp_row *rows, size_t count, struct sf_slice data,
                   struct sf_chunk_facts *out);

#endif
