#include "mix.h"

#include <string.h>

_Static_assert(sizeof(struct sf_placed) == 24, "sf_placed is the numpy dtype PLACED");

/* The part of a packet that lies in a window. */
struct part {
    size_t at;      /* in the window [frames] */
    size_t skipped; /* samples of the packet before the window */
    size_t samples; /* 0: none of it */
};

static inline int16_t saturated(int32_t sum)
{
    return (int16_t)(sum > INT16_MAX ? INT16_MAX : sum < INT16_MIN ? INT16_MIN : sum);
}

static bool lies_in(const struct sf_placed *row, struct sf_slice data)
{
    size_t samples = row->law == SF_PLACED_LINEAR ? data.n / sizeof(int16_t) : data.n;
    return row->law <= SF_PLACED_LINEAR && row->offset <= samples &&
           row->length <= samples - row->offset;
}

static struct part part_of(const struct sf_placed *row, int64_t start, size_t frames)
{
    struct part part = {0, 0, 0};
    if (row->start >= start + (int64_t)frames || row->start < start - (int64_t)row->length) {
        return part;
    }
    int64_t at = row->start - start;
    part.skipped = at < 0 ? (size_t)-at : 0;
    part.at = at < 0 ? 0 : (size_t)at;
    part.samples = row->length - part.skipped;
    if (part.samples > frames - part.at) {
        part.samples = frames - part.at;
    }
    return part;
}

static void add_codes(const uint8_t *codes, const int16_t *law, size_t samples, int16_t *to,
                      size_t stride)
{
    for (size_t i = 0; i < samples; i++, to += stride) {
        *to = saturated(*to + law[codes[i]]);
    }
}

/* `from` may be unaligned. */
static void add_linear(const uint8_t *from, size_t samples, int16_t *to, size_t stride)
{
    for (size_t i = 0; i < samples; i++, to += stride) {
        int16_t sample;
        memcpy(&sample, from + i * sizeof sample, sizeof sample);
        *to = saturated(*to + sample);
    }
}

size_t sf_mix(const struct sf_placed *rows, size_t count, struct sf_slice data, int64_t start,
              int16_t *out, size_t frames, size_t stride)
{
    size_t refused = 0;
    for (const struct sf_placed *row = rows; row < rows + count; row++) {
        if (!lies_in(row, data)) {
            refused++;
            continue;
        }
        struct part part = part_of(row, start, frames);
        size_t first = row->offset + part.skipped;
        int16_t *to = out + part.at * stride;
        if (part.samples == 0) {
            continue;
        }
        if (row->law == SF_PLACED_LINEAR) {
            add_linear(data.p + first * sizeof(int16_t), part.samples, to, stride);
        } else {
            const int16_t *law = row->law == SF_PLACED_ULAW ? sf_ulaw_linear : sf_alaw_linear;
            add_codes(data.p + first, law, part.samples, to, stride);
        }
    }
    return refused;
}

size_t sf_mix_codes(const struct sf_placed *rows, size_t count, struct sf_slice data, int64_t start,
                    uint8_t *out, size_t frames, size_t stride)
{
    size_t refused = 0;
    for (const struct sf_placed *row = rows; row < rows + count; row++) {
        if (row->law == SF_PLACED_LINEAR || !lies_in(row, data)) {
            refused++;
            continue;
        }
        struct part part = part_of(row, start, frames);
        const uint8_t *code = data.p + row->offset + part.skipped;
        uint8_t *to = out + part.at * stride;
        for (size_t i = 0; i < part.samples; i++, to += stride) {
            *to = code[i];
        }
    }
    return refused;
}
