/*
 * How arrival times are kept: as a delay after capture, to the nearest millisecond. The arrival
 * clock is not better than that.
 *
 * Owns:    nothing.
 * Lends:   nothing.
 * Until:   -
 * Threads: any; arithmetic wraps, because the numbers may be anything a sender wrote.
 */
#ifndef SF_ARRIVAL_H
#define SF_ARRIVAL_H

#include <stdint.h>

/* From capture to arrival in milliseconds, halves up. */
static inline int64_t sf_delay_ms(int64_t time_us, int64_t arrival_us)
{
    int64_t delay = (int64_t)((uint64_t)arrival_us - (uint64_t)time_us);
    int64_t whole = delay / 1000, rest = delay % 1000;
    if (rest < 0) {
        whole--;
        rest += 1000;
    }
    return rest >= 500 ? whole + 1 : whole;
}

static inline int64_t sf_arrival_of(int64_t time_us, int64_t delay_ms)
{
    return (int64_t)((uint64_t)time_us + (uint64_t)delay_ms * 1000u);
}

/* The arrival time a reader will see, of a sealed packet and of a live one. */
static inline int64_t sf_kept_arrival(int64_t time_us, int64_t arrival_us)
{
    return sf_arrival_of(time_us, sf_delay_ms(time_us, arrival_us));
}

#endif
