/* The DTMF receiver: keys of every kind that Q.24 asks for, what it must not take for one, and rows
 * that lie. Talk-off over hours of speech is measured in tests/media/test_inband.py. */
#include "tone.h"
#include "guard.h"

#include <math.h>

static const double ROWS[4] = {697, 770, 852, 941};
static const double COLUMNS[4] = {1209, 1336, 1477, 1633};

struct sound {
    uint8_t codes[60000];
    size_t n;
};

/* Adds samples of two sines, each of this level; a level below -90 is silence. */
static void play(struct sound *to, int row, int column, double off, double row_dbm0,
                 double column_dbm0, size_t samples, int law)
{
    int16_t pcm[8000];
    for (size_t i = 0; i < samples; i++) {
        double low = row_dbm0 < -90 ? 0 : 22300 * pow(10, row_dbm0 / 20);
        double high = column_dbm0 < -90 ? 0 : 22300 * pow(10, column_dbm0 / 20);
        double t = 2 * M_PI * (double)i / 8000 * (1 + off);
        double x = low * sin(t * ROWS[row] + 1) + high * sin(t * COLUMNS[column] + 2);
        pcm[i] = (int16_t)(x > 32767 ? 32767 : x < -32768 ? -32768 : x);
    }
    CHECK(to->n + samples <= sizeof to->codes);
    (law ? sf_alaw_encode : sf_ulaw_encode)(pcm, to->codes + to->n, samples);
    to->n += samples;
}

/* Hears a sound cut into packets of `size`, except packet `lost`. */
static size_t hear(const struct sound *sound, uint32_t law, uint32_t size, size_t lost,
                   struct sf_tone_key *keys, size_t room)
{
    struct sf_tone receiver;
    size_t found = 0;
    static uint8_t octets[60000];
    sf_tone_begin(&receiver);
    memcpy(octets, sound->codes, sound->n);
    for (size_t at = 0; at < sound->n; at += size) {
        uint32_t length = (uint32_t)(sound->n - at < size ? sound->n - at : size);
        struct sf_spoken row = {(int64_t)at - 1000, (uint32_t)at, length, law, 0};
        if (at / size != lost) {
            found += sf_tone_hear(&receiver, &row, 1, sf_slice(octets, sound->n), keys + found,
                                  room - found);
        }
    }
    return found + sf_tone_end(&receiver, keys + found);
}

#define NEVER ((size_t)-1)

static void every_key(double off, double row_dbm0, double column_dbm0, uint32_t law)
{
    static const uint32_t sizes[] = {1, 80, 160, 161, 240};
    static struct sound sound;
    struct sf_tone_key keys[40];
    for (size_t s = 0; s < sizeof sizes / sizeof *sizes; s++) {
        sound.n = 0;
        play(&sound, 0, 0, 0, -99, -99, 400 + 11 * s, (int)law);
        for (int key = 0; key < 16; key++) {
            play(&sound, key / 4, key % 4, off, row_dbm0, column_dbm0, 320, (int)law);
            play(&sound, 0, 0, 0, -99, -99, 320, (int)law);
        }
        CHECK(hear(&sound, law, sizes[s], NEVER, keys, 39) == 16);
        for (uint32_t key = 0; key < 16; key++) {
            int64_t begun = 400 + 11 * (int64_t)s + 640 * (int64_t)key - 1000;
            CHECK(keys[key].row == key / 4 && keys[key].column == key % 4);
            CHECK(llabs(keys[key].start - begun) < 60 && llabs(keys[key].stop - begun - 320) < 60);
            double level = 10 * log10(keys[key].power / (22300.0 * 22300.0 / 2));
            double sent = 10 * log10(pow(10, row_dbm0 / 10) + pow(10, column_dbm0 / 10));
            CHECK(fabs(level - sent) < 1.0);
        }
    }
}

static size_t count(int row, int column, double off, double row_dbm0, double column_dbm0, size_t n)
{
    static struct sound sound;
    struct sf_tone_key keys[4];
    sound.n = 0;
    play(&sound, 0, 0, 0, -99, -99, 333, 0);
    play(&sound, row, column, off, row_dbm0, column_dbm0, n, 0);
    play(&sound, 0, 0, 0, -99, -99, 800, 0);
    return hear(&sound, 0, 160, NEVER, keys, 3);
}

static void what_is_no_key(void)
{
    for (int key = 0; key < 16; key++) {
        int row = key / 4, column = key % 4;
        CHECK(count(row, column, 0, -10, -10, 400) == 1);
        CHECK(count(row, column, 0, -10, -10, 184) == 0);     /* 23 ms */
        CHECK(count(row, column, 0.035, -10, -10, 800) == 0); /* of another frequency */
        CHECK(count(row, column, -0.035, -10, -10, 800) == 0);
        CHECK(count(row, column, 0, -10, -99, 800) == 0); /* one tone */
        CHECK(count(row, column, 0, -99, -10, 800) == 0);
        CHECK(count(row, column, 0, -10, -24, 800) == 0); /* twist */
        CHECK(count(row, column, 0, -24, -10, 800) == 0);
        CHECK(count(row, column, 0, -55, -55, 800) == 0); /* crosstalk */
    }
}

/* The same key again after 40 ms is another; what is missing for 20 ms does not part it. */
static void pauses(void)
{
    static struct sound sound;
    struct sf_tone_key keys[40];
    for (size_t at = 0; at < 102; at += 7) {
        sound.n = 0;
        play(&sound, 0, 0, 0, -99, -99, 400 + at, 0);
        for (int i = 0; i < 10; i++) {
            play(&sound, 1, 1, 0, -10, -10, 800, 0);
            play(&sound, 0, 0, 0, -99, -99, 320, 0);
        }
        CHECK(hear(&sound, 0, 160, NEVER, keys, 39) == 10);
        CHECK(hear(&sound, 0, 160, (400 + at + 300) / 160, keys, 39) == 10);
    }
}

/* A second harmonic, as a voice has it, and noise. */
static void speech_like(void)
{
    static struct sound sound;
    struct sf_tone_key keys[40];
    int16_t pcm[4000];
    uint64_t dice = 7;
    for (int i = 0; i < 4000; i++) {
        double t = 2 * M_PI * i / 8000;
        pcm[i] = (int16_t)(5000 * (sin(t * 770) + sin(t * 1336) + 0.25 * sin(t * 2672)));
    }
    sound.n = 4000;
    sf_ulaw_encode(pcm, sound.codes, 4000);
    CHECK(hear(&sound, 0, 160, NEVER, keys, 39) == 0);
    sound.n = sizeof sound.codes;
    for (size_t i = 0; i < sound.n; i++) {
        sound.codes[i] = (uint8_t)roll(&dice);
    }
    CHECK(hear(&sound, 0, 160, NEVER, keys, 39) == 0 && hear(&sound, 1, 160, NEVER, keys, 39) == 0);
}

static void rows_that_lie(void)
{
    struct sf_tone receiver;
    struct sf_tone_key keys[8];
    uint8_t codes[160] = {0};
    struct sf_slice data = guarded(codes, sizeof codes);
    const struct sf_spoken rows[] = {
        {0, 0, 161, 0, 0},
        {0, 160, 1, 0, 0},
        {0, UINT32_MAX, UINT32_MAX, 0, 0},
        {0, 0, 160, 2, 0},
        {INT64_MIN, 0, 160, 0, 0},
        {INT64_MAX, 0, 160, 0, 0},
        {100, 0, 160, 0, 0},
        {0, 0, 160, 0, 0},
        {150, 0, 160, 1, 0},
        {1LL << 61, 0, 160, 0, 0},
        {(1LL << 61) + 1, 160, 0, 0, 0},
    };
    sf_tone_begin(&receiver);
    CHECK(sf_tone_hear(&receiver, rows, sizeof rows / sizeof *rows, data, keys, 8) == 0);
    CHECK(receiver.at == (1LL << 61) + 160);
    CHECK(sf_tone_hear(&receiver, rows, 0, data, keys, 0) == 0 &&
          sf_tone_end(&receiver, keys) == 0);
    CHECK(sf_tone_end(&receiver, keys) == 0);
}

int main(void)
{
    for (uint32_t law = 0; law < 2; law++) {
        for (int off = -1; off <= 1; off++) {
            every_key(0.015 * off, -3, -3, law);
            every_key(0.015 * off, -15, -15, law);
            every_key(0.015 * off, -33, -33, law);
            every_key(0.015 * off, -10, -18, law);
            every_key(0.015 * off, -14, -10, law);
        }
    }
    what_is_no_key();
    pauses();
    speech_like();
    rows_that_lie();
    puts("ok tone");
    return 0;
}
