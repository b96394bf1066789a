/*
 * Bounds-checked reading and writing with a sticky error: a decoder reads as a
 * list of fields and asks once, at the end, whether all of them were there.
 *
 * Owns:    nothing.
 * Lends:   slices that point into the buffer it walks,
 * Until:   that buffer changes or goes.
 * Threads: one per cursor.
 *
 * After a read past the end, `bad` is set, the cursor stays where it was and
 * every further read gives 0 or an empty slice.
 */
#ifndef SF_CURSOR_H
#define SF_CURSOR_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

struct sf_slice {
    const uint8_t *p;
    size_t n;
};

static inline struct sf_slice sf_slice(const void *p, size_t n)
{
    return (struct sf_slice){(const uint8_t *)p, n};
}

static inline bool sf_slice_eq(struct sf_slice a, struct sf_slice b)
{
    return a.n == b.n && (a.n == 0 || memcmp(a.p, b.p, a.n) == 0);
}

struct sf_cursor {
    const uint8_t *p;
    const uint8_t *end;
    bool bad;
};

static inline struct sf_cursor sf_cursor(const void *p, size_t n)
{
    const uint8_t *start = (const uint8_t *)p;
    return (struct sf_cursor){start, n > 0 ? start + n : start, false}; /* NULL + 0 is undefined */
}

static inline size_t sf_left(const struct sf_cursor *c)
{
    return (size_t)(c->end - c->p);
}

/* Gives the next `n` octets and moves past them, or NULL. */
static inline const uint8_t *sf_take(struct sf_cursor *c, size_t n)
{
    const uint8_t *at = c->p;
    if (c->bad || sf_left(c) < n) {
        c->bad = true;
        return NULL;
    }
    c->p += n;
    return at;
}

static inline struct sf_slice sf_take_slice(struct sf_cursor *c, size_t n)
{
    const uint8_t *at = sf_take(c, n);
    return at == NULL ? sf_slice(NULL, 0) : sf_slice(at, n);
}

/* Big-endian, as on the wire. */

static inline uint16_t sf_load_be16(const uint8_t *p)
{
    return (uint16_t)((p[0] << 8) | p[1]);
}

static inline uint32_t sf_load_be32(const uint8_t *p)
{
    return ((uint32_t)p[0] << 24) | ((uint32_t)p[1] << 16) | ((uint32_t)p[2] << 8) | p[3];
}

static inline uint64_t sf_load_be64(const uint8_t *p)
{
    return ((uint64_t)sf_load_be32(p) << 32) | sf_load_be32(p + 4);
}

static inline uint8_t *sf_store_be16(uint8_t *p, uint16_t v)
{
    p[0] = (uint8_t)(v >> 8);
    p[1] = (uint8_t)v;
    return p + 2;
}

static inline uint8_t *sf_store_be32(uint8_t *p, uint32_t v)
{
    p[0] = (uint8_t)(v >> 24);
    p[1] = (uint8_t)(v >> 16);
    p[2] = (uint8_t)(v >> 8);
    p[3] = (uint8_t)v;
    return p + 4;
}

static inline uint8_t *sf_store_be64(uint8_t *p, uint64_t v)
{
    return sf_store_be32(sf_store_be32(p, (uint32_t)(v >> 32)), (uint32_t)v);
}

static inline uint8_t sf_read_u8(struct sf_cursor *c)
{
    const uint8_t *p = sf_take(c, 1);
    return p == NULL ? 0 : *p;
}

static inline uint16_t sf_read_be16(struct sf_cursor *c)
{
    const uint8_t *p = sf_take(c, 2);
    return p == NULL ? 0 : sf_load_be16(p);
}

static inline uint32_t sf_read_be32(struct sf_cursor *c)
{
    const uint8_t *p = sf_take(c, 4);
    return p == NULL ? 0 : sf_load_be32(p);
}

static inline uint64_t sf_read_be64(struct sf_cursor *c)
{
    const uint8_t *p = sf_take(c, 8);
    return p == NULL ? 0 : sf_load_be64(p);
}

/* Unsigned LEB128, at most ten octets; the tenth may only be 0 or 1. */

#define SF_VARINT_MAX 10

static inline uint64_t sf_read_varint(struct sf_cursor *c)
{
    uint64_t value = 0;
    for (unsigned shift = 0; shift < 64; shift += 7) {
        const uint8_t *p = sf_take(c, 1);
        if (p == NULL) {
            return 0;
        }
        if (shift == 63 && *p > 1) {
            break;
        }
        value |= (uint64_t)(*p & 0x7f) << shift;
        if ((*p & 0x80) == 0) {
            return value;
        }
    }
    c->bad = true;
    return 0;
}

static inline uint8_t *sf_store_varint(uint8_t *p, uint64_t v)
{
    while (v >= 0x80) {
        *p++ = (uint8_t)(v | 0x80);
        v >>= 7;
    }
    *p++ = (uint8_t)v;
    return p;
}

/* Zigzag: small magnitudes of either sign become small unsigned numbers. */

static inline uint64_t sf_zigzag(int64_t v)
{
    return ((uint64_t)v << 1) ^ (uint64_t)(v >> 63);
}

static inline int64_t sf_unzigzag(uint64_t v)
{
    return (int64_t)(v >> 1) ^ -(int64_t)(v & 1);
}

#endif
