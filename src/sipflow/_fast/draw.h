/*
 * Random numbers that depend on what they are for and on nothing else (SplitMix64).
 *
 * Owns:    nothing.
 * Lends:   nothing.
 * Threads: any.
 */
#ifndef SF_DRAW_H
#define SF_DRAW_H

#include <stdint.h>

/* Draw `k` of a key: 64 random bits, the same whenever they are asked for. */
static inline uint64_t sf_draw(uint64_t key, uint64_t k)
{
    uint64_t z = key + (k + 1) * 0x9e3779b97f4a7c15u;
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    return z ^ (z >> 31);
}

/* A number below `count`. */
static inline uint32_t sf_draw_below(uint64_t key, uint64_t k, uint32_t count)
{
    return (uint32_t)(((sf_draw(key, k) >> 32) * count) >> 32);
}

#endif
