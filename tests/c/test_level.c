/* Levels of G.711 and of linear samples against sums over the decoded samples. */
#include "guard.h"
#include "level.h"

static uint32_t state = 1;

static uint8_t draw(void)
{
    state = state * 1664525u + 1013904223u;
    return (uint8_t)(state >> 24);
}

static struct sf_level plainly(const int16_t *x, size_t n)
{
    struct sf_level level = {.samples = (uint32_t)n};
    for (size_t i = 0; i < n; i++) {
        uint32_t m = (uint32_t)abs(x[i]);
        level.energy += (uint64_t)m * m;
        level.peak = m > level.peak ? m : level.peak;
        size_t first = i, last = i;
        while (first > 0 && abs(x[first - 1]) >= SF_LEVEL_CLIP) {
            first--;
        }
        while (last + 1 < n && abs(x[last + 1]) >= SF_LEVEL_CLIP) {
            last++;
        }
        level.clipped += m >= SF_LEVEL_CLIP && last - first + 1 >= SF_LEVEL_RUN;
    }
    return level;
}

static bool same(struct sf_level a, struct sf_level b)
{
    return a.energy == b.energy && a.samples == b.samples && a.peak == b.peak &&
           a.clipped == b.clipped;
}

static void every_length(void)
{
    uint8_t codes[300];
    int16_t x[300];
    for (size_t n = 0; n <= sizeof codes; n++) {
        for (int alaw = 0; alaw < 2; alaw++) {
            for (size_t i = 0; i < n; i++) {
                /* The loudest code often enough to make runs. */
                codes[i] = draw() < 100 ? (alaw ? 0xaa : 0x80) : draw();
            }
            (alaw ? sf_alaw_decode : sf_ulaw_decode)(codes, x, n);
            struct sf_level expected = plainly(x, n);
            CHECK(same(sf_level_g711(guarded(codes, n), alaw), expected));
            CHECK(same(sf_level_pcm(x, n), expected));
        }
    }
}

static void every_code(void)
{
    for (int code = 0; code < 256; code++) {
        uint8_t octet = (uint8_t)code;
        int u = sf_ulaw_linear[code], a = sf_alaw_linear[code];
        struct sf_level level = sf_level_g711(guarded(&octet, 1), false);
        CHECK(level.energy == (uint64_t)(u * u) && level.peak == (uint32_t)abs(u));
        level = sf_level_g711(guarded(&octet, 1), true);
        CHECK(level.energy == (uint64_t)(a * a) && level.peak == (uint32_t)abs(a));
    }
}

static void runs(void)
{
    const uint8_t u[] = {0x80, 0x00, 0xff, 0x80, 0x00, 0x80, 0xff, 0x00, 0x80, 0x00, 0x80};
    CHECK(sf_level_g711(guarded(u, sizeof u), false).clipped == 7);
    CHECK(sf_level_g711(guarded(u, 5), false).clipped == 0);
    const int16_t x[] = {32124, -32768, 32767, 32123};
    struct sf_level level = sf_level_pcm(x, 4);
    CHECK(level.clipped == 3 && level.peak == 32768);
}

static void many(void)
{
    const uint8_t data[] = {0xff, 0xff, 0x80, 0x80, 0x8f};
    const uint32_t offset[] = {0, 2, 4, 5, 4, UINT32_MAX, 6}, length[] = {2, 2, 1, 0, 2, 2, 0};
    struct sf_level out[7];
    CHECK(sf_levels_g711(offset, length, 7, guarded(data, sizeof data), false, out) == 3);
    CHECK(out[0].energy == 0 && out[0].samples == 2 && out[0].peak == 0);
    CHECK(out[1].energy == 2ull * 32124 * 32124 && out[1].clipped == 0);
    CHECK(out[2].peak == 16764);
    CHECK(out[3].samples == 0 && out[3].peak == 0);
    CHECK(out[4].samples == 0 && out[5].samples == 0 && out[6].samples == 0);
}

int main(void)
{
    every_length();
    every_code();
    runs();
    many();
    puts("ok level");
    return 0;
}
