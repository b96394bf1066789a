#include "jump.h"

int32_t sf_jump(struct sf_slice call_id, int32_t nodes)
{
    uint64_t state = 0;
    for (size_t i = 0; i < call_id.n; i++) {
        state = state * 31 + call_id.p[i];
    }
    int64_t bucket = -1, jump = 0;
    while (jump < nodes) {
        bucket = jump;
        state = state * 2862933555777941757u + 1;
        /* Product first, then the division: the order decides the low bits of the double. */
        jump = (int64_t)((double)(bucket + 1) * 2147483648.0 / (double)((state >> 33) + 1));
    }
    return (int32_t)bucket;
}
