/*
 * The encoder: full chunks of the pool into portions, compressed.
 *
 * Owns:    the compressors and its working memory.
 * Lends:   nothing; the portions it makes are the caller's.
 * Threads: one per encoder; several may share a pool.
 */
#ifndef SF_ENCODER_H
#define SF_ENCODER_H

#include "pool.h"
#include "portion.h"

/* A chunk that is committed in the bucket of a period: a replay after a crash skips it there. */
struct sf_known {
    int64_t period_us;
    uint64_t chunk;
};

struct sf_encoder;

/*
 * `period_us` is the length of a bucket's period, 0 for one period without end, which starts at
 * INT64_MIN. `known` is copied. NULL: out of memory.
 */
struct sf_encoder *sf_encoder_new(int64_t period_us, const struct sf_known *known, size_t count);
struct sf_encoder *sf_encoder_free(struct sf_encoder *encoder); /* always NULL */

/* What came of some chunks. */
struct sf_encoded {
    struct sf_portion **portions; /* one per period; the caller frees each, then the array */
    size_t count;
    uint64_t damaged_chunks;  /* chunks or parts of them that contradicted themselves */
    uint64_t damaged_packets; /* what those held, as far as is known: counted, not stored */
    uint64_t known_packets;   /* what was committed before the crash */
};

/*
 * Encodes chunks as sf_pool_take hands them out. False: out of memory; the chunks are as they
 * were and `out` is empty.
 */
bool sf_encoder_encode(struct sf_encoder *encoder, struct sf_pool *pool, const uint32_t *chunks,
                       size_t count, struct sf_encoded *out);
void sf_encoded_clear(struct sf_encoded *encoded);

/* The start of the period that a filing time belongs to. */
int64_t sf_period_of(int64_t filed_us, int64_t period_us);

#endif
