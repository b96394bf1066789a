/*
 * Little-endian loads and stores, as on disk.
 *
 * Owns:    nothing.
 * Lends:   nothing.
 * Until:   -
 * Threads: any.
 */
#ifndef SF_LITTLE_H
#define SF_LITTLE_H

#include "cursor.h"

static inline uint16_t sf_load_le16(const uint8_t *p)
{
    return (uint16_t)(p[0] | (p[1] << 8));
}

static inline uint32_t sf_load_le32(const uint8_t *p)
{
    return p[0] | ((uint32_t)p[1] << 8) | ((uint32_t)p[2] << 16) | ((uint32_t)p[3] << 24);
}

static inline uint64_t sf_load_le64(const uint8_t *p)
{
    return sf_load_le32(p) | ((uint64_t)sf_load_le32(p + 4) << 32);
}

static inline uint8_t *sf_store_le16(uint8_t *p, uint16_t v)
{
    p[0] = (uint8_t)v;
    p[1] = (uint8_t)(v >> 8);
    return p + 2;
}

static inline uint8_t *sf_store_le32(uint8_t *p, uint32_t v)
{
    return sf_store_le16(sf_store_le16(p, (uint16_t)v), (uint16_t)(v >> 16));
}

static inline uint8_t *sf_store_le64(uint8_t *p, uint64_t v)
{
    return sf_store_le32(sf_store_le32(p, (uint32_t)v), (uint32_t)(v >> 32));
}

static inline uint16_t sf_read_le16(struct sf_cursor *c)
{
    const uint8_t *p = sf_take(c, 2);
    return p == NULL ? 0 : sf_load_le16(p);
}

static inline uint32_t sf_read_le32(struct sf_cursor *c)
{
    const uint8_t *p = sf_take(c, 4);
    return p == NULL ? 0 : sf_load_le32(p);
}

static inline uint64_t sf_read_le64(struct sf_cursor *c)
{
    const uint8_t *p = sf_take(c, 8);
    return p == NULL ? 0 : sf_load_le64(p);
}

#endif
