/*
 * Puts G.711 packets onto a time line of 16-bit samples, adding where they overlap.
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

/* One packet on the time line; the numpy dtype PLACED of sipflow.media.placing. */
struct sf_placed {
    int64_t start;   /* sample of its first octet */
    uint32_t chunk;  /* whose data `offset` counts in; not looked at here */
    uint32_t offset; /* of the payload in that data [octets] */
    uint32_t length; /* one octet per sample (ITU-T G.711) */
    uint8_t law;     /* 0 mu-law, 1 A-law */
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

#endif
