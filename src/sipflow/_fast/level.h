/*
 * How loud G.711 packets and 16-bit samples are: energy, peak and clipping, without decoding them.
 *
 * Owns:    nothing.
 * Lends:   nothing; reads data, writes `out`.
 * Until:   the call returns.
 * Threads: any, on different `out`.
 */
#ifndef SF_LEVEL_H
#define SF_LEVEL_H

#include <stdbool.h>

#include "cursor.h"
#include "g711.h"

/* So loud that it is clipped, when it lasts: the loudest code of mu-law. */
#define SF_LEVEL_CLIP 32124
/* So many loud samples in a row are clipping; speech at full scale touches the top for fewer. */
#define SF_LEVEL_RUN 3

/* The numpy dtype LEVEL of sipflow.media.level. */
struct sf_level {
    uint64_t energy;  /* the sum of the squares of its samples */
    uint32_t samples; /* 0 for a packet that was refused */
    uint32_t clipped; /* samples in runs of at least SF_LEVEL_RUN at SF_LEVEL_CLIP or more */
    uint32_t peak;    /* the largest magnitude, up to 32768 */
    uint32_t unused;
};

/* One packet of G.711, one octet per sample; `alaw` tells which law. */
struct sf_level sf_level_g711(struct sf_slice codes, bool alaw);

/* `count` packets at offset[i], length[i] of `data`. What does not lie there is refused: it gets a
 * level of no samples. Gives the number of those. */
size_t sf_levels_g711(const uint32_t *offset, const uint32_t *length, size_t count,
                      struct sf_slice data, bool alaw, struct sf_level *out);

/* Linear samples. */
struct sf_level sf_level_pcm(const int16_t *samples, size_t n);

#endif
