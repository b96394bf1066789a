/*
 * G.711 against the intervals of the recommendation: a code stands for the samples from one
 * decision value to the next, and decodes to the middle of them.
 */
#include "g711.h"
#include "guard.h"

/* Samples at or above zero that the code of segment s and step m stands for: [low, high). */
static int ulaw_low(int s, int m)
{
    int low = ((16 + m) << (s + 3)) - 132;
    return low < 0 ? 0 : low;
}

static int ulaw_high(int s, int m)
{
    return ((17 + m) << (s + 3)) - 132;
}

static int alaw_low(int s, int m)
{
    return s == 0 ? m << 4 : (16 + m) << (s + 3);
}

static int alaw_high(int s, int m)
{
    return s == 0 ? (m + 1) << 4 : (17 + m) << (s + 3);
}

static uint8_t ulaw_of(int sample)
{
    int16_t in = (int16_t)sample;
    uint8_t out;
    sf_ulaw_encode(&in, &out, 1);
    return out;
}

static uint8_t alaw_of(int sample)
{
    int16_t in = (int16_t)sample;
    uint8_t out;
    sf_alaw_encode(&in, &out, 1);
    return out;
}

static void every_sample(void)
{
    for (int s = 0; s < 8; s++) {
        for (int m = 0; m < 16; m++) {
            uint8_t code = (uint8_t)(s << 4 | m);
            uint8_t up = (uint8_t)~code, down = (uint8_t)(~code ^ 0x80);
            int low = ulaw_low(s, m), high = ulaw_high(s, m);
            if (code == 0x7f) {
                high = 32768; /* louder samples are clipped */
            }
            for (int x = low; x < high; x++) {
                CHECK(ulaw_of(x) == up && ulaw_of(-1 - x) == down);
            }
            int middle = (ulaw_high(s, m) + ((16 + m) << (s + 3)) - 132) / 2;
            CHECK(sf_ulaw_linear[up] == middle && sf_ulaw_linear[down] == -middle);

            up = (uint8_t)((code | 0x80) ^ 0x55);
            down = code ^ 0x55;
            for (int x = alaw_low(s, m); x < alaw_high(s, m); x++) {
                CHECK(alaw_of(x) == up && alaw_of(-1 - x) == down);
            }
            middle = (alaw_low(s, m) + alaw_high(s, m)) / 2;
            CHECK(sf_alaw_linear[up] == middle && sf_alaw_linear[down] == -middle);
        }
    }
}

static void golden(void)
{
    CHECK(sf_ulaw_linear[0x00] == -32124 && sf_ulaw_linear[0x80] == 32124);
    CHECK(sf_ulaw_linear[0x7f] == 0 && sf_ulaw_linear[0xff] == 0);
    CHECK(sf_ulaw_linear[0x8f] == 16764 && sf_ulaw_linear[0xd5] == 716);
    CHECK(sf_alaw_linear[0xd5] == 8 && sf_alaw_linear[0x55] == -8);
    CHECK(sf_alaw_linear[0xaa] == 32256 && sf_alaw_linear[0x2a] == -32256);
    CHECK(sf_alaw_linear[0x80] == 5504 && sf_alaw_linear[0x00] == -5504);
    CHECK(ulaw_of(0) == 0xff && alaw_of(0) == 0xd5);
    long u = 0, a = 0;
    for (int i = 0; i < 256; i++) {
        u += labs(sf_ulaw_linear[i]);
        a += labs(sf_alaw_linear[i]);
    }
    CHECK(u == 1532928 && a == 1564672);
}

static void arrays(void)
{
    uint8_t codes[256], again[256];
    int16_t samples[256];
    for (int i = 0; i < 256; i++) {
        codes[i] = (uint8_t)i;
    }
    struct sf_slice in = guarded(codes, sizeof codes);
    sf_ulaw_decode(in.p, samples, 256);
    sf_ulaw_encode(samples, again, 256);
    for (int i = 0; i < 256; i++) {
        CHECK(samples[i] == sf_ulaw_linear[i]);
        CHECK(again[i] == (i == 0x7f ? 0xff : i)); /* both zeros come back as the positive one */
    }
    sf_alaw_decode(in.p, samples, 256);
    sf_alaw_encode(samples, again, 256);
    CHECK(memcmp(again, codes, 256) == 0);
    in = guarded(codes, 0);
    sf_ulaw_decode(in.p, samples, 0);
    sf_alaw_decode(in.p, samples, 0);
}

static void indexes_rise(void)
{
    for (int i = 0; i < 256; i++) {
        CHECK(sf_ulaw_index(sf_ulaw_code((uint8_t)i)) == i);
        CHECK(sf_alaw_index(sf_alaw_code((uint8_t)i)) == i);
        if (i > 0) {
            int before = sf_ulaw_linear[sf_ulaw_code((uint8_t)(i - 1))];
            CHECK(sf_ulaw_linear[sf_ulaw_code((uint8_t)i)] > before || (i == 128 && before == 0));
            before = sf_alaw_linear[sf_alaw_code((uint8_t)(i - 1))];
            CHECK(sf_alaw_linear[sf_alaw_code((uint8_t)i)] > before);
        }
    }
}

int main(void)
{
    golden();
    every_sample();
    arrays();
    indexes_rise();
    puts("ok g711");
    return 0;
}
