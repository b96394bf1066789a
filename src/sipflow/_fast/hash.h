/*
 * A fast keyed 64-bit hash for short strings: table places, never identity.
 *
 * Owns:    nothing.
 * Lends:   nothing.
 * Threads: any.
 */
#ifndef SF_HASH_H
#define SF_HASH_H

#include <stddef.h>
#include <stdint.h>
#include <string.h>

static inline uint64_t sf_hash_mix(uint64_t a, uint64_t b)
{
    unsigned __int128 product = (unsigned __int128)a * b;
    return (uint64_t)product ^ (uint64_t)(product >> 64);
}

static inline uint64_t sf_hash(const void *octets, size_t n, uint64_t seed)
{
    const uint8_t *p = (const uint8_t *)octets;
    uint64_t h = seed ^ 0x9e3779b97f4a7c15u;
    size_t left = n;
    uint64_t a, b;
    for (; left >= 16; p += 16, left -= 16) {
        memcpy(&a, p, 8);
        memcpy(&b, p + 8, 8);
        h = sf_hash_mix(a ^ h, b ^ 0xe7037ed1a0b428dbu);
    }
    a = b = 0;
    if (left > 8) {
        memcpy(&a, p, 8);
        memcpy(&b, p + 8, left - 8);
    } else if (left > 0) {
        memcpy(&a, p, left);
    }
    h = sf_hash_mix(a ^ h, b ^ 0x8ebc6af09c88c6e3u);
    return sf_hash_mix(h ^ (uint64_t)n, 0x589965cc75374cc3u);
}

#endif
