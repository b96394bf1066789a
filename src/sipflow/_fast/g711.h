/*
 * G.711 both ways, and the monotonic index behind the companded delta.
 *
 * Owns:    nothing.
 * Lends:   nothing.
 * Threads: any.
 */
#ifndef SF_G711_H
#define SF_G711_H

#include <stddef.h>
#include <stdint.h>

/* Code to 16-bit linear (ITU-T G.711 tables 1a to 2b, left-justified). */
extern const int16_t sf_ulaw_linear[256];
extern const int16_t sf_alaw_linear[256];

void sf_ulaw_decode(const uint8_t *codes, int16_t *samples, size_t n);
void sf_alaw_decode(const uint8_t *codes, int16_t *samples, size_t n);
void sf_ulaw_encode(const int16_t *samples, uint8_t *codes, size_t n);
void sf_alaw_encode(const int16_t *samples, uint8_t *codes, size_t n);

/* The rank of a code by its linear value, 0 the most negative; and back. */

static inline uint8_t sf_ulaw_index(uint8_t code)
{
    return (uint8_t)(code < 0x80 ? code : 383 - code);
}

static inline uint8_t sf_ulaw_code(uint8_t index)
{
    return (uint8_t)(index < 0x80 ? index : 383 - index);
}

static inline uint8_t sf_alaw_index(uint8_t code)
{
    uint8_t y = code ^ 0x55;
    return (uint8_t)(y & 0x80 ? 128 + (y & 0x7f) : 127 - y);
}

static inline uint8_t sf_alaw_code(uint8_t index)
{
    uint8_t y = (uint8_t)(index & 0x80 ? index : 127 - index);
    return y ^ 0x55;
}

#endif
