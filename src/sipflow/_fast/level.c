#include "level.h"

#include <pthread.h>

_Static_assert(sizeof(struct sf_level) == 24, "sf_level is the numpy dtype LEVEL");

/* What turns an octet of a law so that its low seven bits rise with the magnitude (ITU-T G.711). */
#define ULAW_TURN 0xff
#define ALAW_TURN 0x55
#define MAGNITUDE 0x7f
#define LANES     4

static uint32_t squares[2][256];
static pthread_once_t once = PTHREAD_ONCE_INIT;

static void fill(void)
{
    for (int code = 0; code < 256; code++) {
        squares[0][code] = (uint32_t)(sf_ulaw_linear[code] * sf_ulaw_linear[code]);
        squares[1][code] = (uint32_t)(sf_alaw_linear[code] * sf_alaw_linear[code]);
    }
}

static uint64_t energy_of(struct sf_slice codes, const uint32_t *square)
{
    uint64_t sum[LANES] = {0};
    size_t i = 0;
    for (; i + 8 <= codes.n; i += 8) {
        uint64_t eight;
        memcpy(&eight, codes.p + i, 8);
        sum[0] += (uint64_t)square[eight & 0xff] + square[eight >> 8 & 0xff];
        sum[1] += (uint64_t)square[eight >> 16 & 0xff] + square[eight >> 24 & 0xff];
        sum[2] += (uint64_t)square[eight >> 32 & 0xff] + square[eight >> 40 & 0xff];
        sum[3] += (uint64_t)square[eight >> 48 & 0xff] + square[eight >> 56];
    }
    for (; i < codes.n; i++) {
        sum[0] += square[codes.p[i]];
    }
    return sum[0] + sum[1] + sum[2] + sum[3];
}

static uint8_t loudest_of(struct sf_slice codes, uint8_t turn)
{
    uint8_t loudest = 0;
    for (size_t i = 0; i < codes.n; i++) {
        uint8_t magnitude = (uint8_t)((codes.p[i] ^ turn) & MAGNITUDE);
        loudest = magnitude > loudest ? magnitude : loudest;
    }
    return loudest;
}

/* Samples in runs; `run` is carried from sample to sample. */
static uint32_t counted(uint32_t run)
{
    return run == SF_LEVEL_RUN ? SF_LEVEL_RUN : run > SF_LEVEL_RUN;
}

static struct sf_level level_of(struct sf_slice codes, bool alaw)
{
    uint8_t turn = alaw ? ALAW_TURN : ULAW_TURN;
    uint8_t loudest = loudest_of(codes, turn);
    int linear = (alaw ? sf_alaw_linear : sf_ulaw_linear)[loudest ^ turn];
    struct sf_level level = {.energy = energy_of(codes, squares[alaw]),
                             .samples = (uint32_t)codes.n,
                             .peak = (uint32_t)(linear < 0 ? -linear : linear)};
    if (level.peak >= SF_LEVEL_CLIP) {
        uint32_t run = 0;
        for (size_t i = 0; i < codes.n; i++) {
            run = ((codes.p[i] ^ turn) & MAGNITUDE) == MAGNITUDE ? run + 1 : 0;
            level.clipped += counted(run);
        }
    }
    if (codes.n == 0) {
        level.peak = 0;
    }
    return level;
}

struct sf_level sf_level_g711(struct sf_slice codes, bool alaw)
{
    pthread_once(&once, fill);
    return level_of(codes, alaw);
}

size_t sf_levels_g711(const uint32_t *offset, const uint32_t *length, size_t count,
                      struct sf_slice data, bool alaw, struct sf_level *out)
{
    size_t refused = 0;
    pthread_once(&once, fill);
    for (size_t i = 0; i < count; i++) {
        if (offset[i] > data.n || length[i] > data.n - offset[i]) {
            out[i] = (struct sf_level){0};
            refused++;
        } else {
            out[i] = level_of(sf_slice(data.p + offset[i], length[i]), alaw);
        }
    }
    return refused;
}

struct sf_level sf_level_pcm(const int16_t *samples, size_t n)
{
    struct sf_level level = {.samples = n < UINT32_MAX ? (uint32_t)n : UINT32_MAX};
    uint32_t run = 0;
    for (size_t i = 0; i < level.samples; i++) {
        int32_t x = samples[i];
        uint32_t magnitude = (uint32_t)(x < 0 ? -x : x);
        level.energy += (uint64_t)magnitude * magnitude;
        level.peak = magnitude > level.peak ? magnitude : level.peak;
        run = magnitude >= SF_LEVEL_CLIP ? run + 1 : 0;
        level.clipped += counted(run);
    }
    return level;
}
