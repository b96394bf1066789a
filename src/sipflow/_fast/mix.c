#include "mix.h"

_Static_assert(sizeof(struct sf_placed) == 24, "sf_placed is the numpy dtype PLACED");

static inline int16_t saturated(int32_t sum)
{
    return (int16_t)(sum > INT16_MAX ? INT16_MAX : sum < INT16_MIN ? INT16_MIN : sum);
}

static bool lies_in(const struct sf_placed *row, struct sf_slice data)
{
    return row->law < 2 && row->offset <= data.n && row->length <= data.n - row->offset;
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
        if (row->start >= start + (int64_t)frames || row->start < start - (int64_t)row->length) {
            continue;
        }
        int64_t at = row->start - start;
        uint32_t skipped = at < 0 ? (uint32_t)-at : 0;
        size_t first = at < 0 ? 0 : (size_t)at;
        size_t samples = row->length - skipped;
        if (samples > frames - first) {
            samples = frames - first;
        }
        const uint8_t *octet = data.p + row->offset + skipped;
        const int16_t *law = row->law == 0 ? sf_ulaw_linear : sf_alaw_linear;
        int16_t *to = out + first * stride;
        for (size_t i = 0; i < samples; i++, to += stride) {
            *to = saturated(*to + law[octet[i]]);
        }
    }
    return refused;
}
