/*
 * Puts packets onto a time line: G.711 decoded on the way, samples decoded before as they are.
 * Samples add where packets overlap; codes are copied.
 *
 * Owns:    nothing.
 * Lends:   nothing; reads rows and data, writes `out`.
 * Until:   the call returns.
 * Threads: any, on different `out`.
 */
#ifndef SF_MIX_H
#define SF_MIX_H

#include "cursor.h"
#include "g711.h"

enum sf_placed_law { SF_PLACED_ULAW = 0, SF_PLACED_ALAW = 1, SF_PLACED_LINEAR = 2 };

/* One packet on the time line; the numpy dtype PLACED of sipflow.media.placing. */
struct sf_placed {
    int64_t start;  /* its first sample */
    uint32_t chunk; /* whose data `offset` counts in; not looked at here */
    uint32_t
        offset; /* of its samples in that data: an octet each, but 16 bits of SF_PLACED_LINEAR */
    uint32_t length; /* samples */
    uint8_t law;     /* enum sf_placed_law (ITU-T G.711); any other is refused */
    uint8_t cause;   /* not looked at here */
    uint16_t unused;
};

/*
 * Adds `count` packets of one chunk to samples [start, start + frames) of one channel; `out` is the
 * first sample of that channel, `stride` the number of channels. Sums saturate. What lies outside
 * the window is left out, a row that does not lie in `data` too. Gives the rows refused for that.
 */
size_t sf_mix(const struct sf_placed *rows, size_t count, struct sf_slice data, int64_t start,
              int16_t *out, size_t frames, size_t stride);

/*
 * Copies the codes of G.711 packets in the same way; where packets overlap the last one stays.
 * Rows of SF_PLACED_LINEAR are refused.
 */
size_t sf_mix_codes(const struct sf_placed *rows, size_t count, struct sf_slice data, int64_t start,
                    uint8_t *out, size_t frames, size_t stride);

#endif
