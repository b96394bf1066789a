#include "tone.h"

#include <math.h>
#include <string.h>

#define BLOCK  SF_TONE_BLOCK
#define WINDOW (2 * BLOCK)
#define NONE   SF_TONE_NONE

_Static_assert(sizeof(struct sf_spoken) == 24, "sf_spoken is the numpy dtype SPOKEN");
_Static_assert(sizeof(struct sf_tone_key) == 32, "sf_tone_key is the numpy dtype PRESSED");

static const double RATE = 8000.0;
static const double TONES[8] = {697, 770, 852, 941, 1209, 1336, 1477, 1633};

/* A sine of 0 dBm0 has a peak of 22300 (ITU-T G.711); each tone must reach -42 dBm0. */
static const float LEAST_PEAK = 177.0f;
static const float TWIST = 20.0f; /* 13 dB in a window, where one tone still disturbs the other */
static const float APART = 2.5f;  /* 4 dB above every other tone of the group */
static const float SHARE = 0.66f; /* of a window's energy: the two tones, measured off their peak */
static const double RUN_SHARE = 0.92; /* of the run's inner windows, measured at their peak */
static const double RUN_TWIST = 8.9;  /* 9.5 dB: 8 dB, and some tolerance */
static const double OFF = 0.022;      /* from the nominal frequency: between 1.5 and 3.5 % */
static const double STEADY = 0.90;    /* how much of the phase's advance is one advance */
static const double COLUMN_HARMONIC = 0.032; /* -15 dB */
static const double ROW_HARMONIC = 0.25;     /* -6 dB */
static const double ROW_CLEAR_HZ = 150.0;    /* nearer to the column it cannot be told apart */

enum {
    SHORTEST = 200, /* samples, 25 ms: between 23 and 40 ms */
    HITS = 4,       /* windows that make a key: 40 ms have at least 5 */
    MISSES = 6,     /* windows that end it: a pause of 40 ms has 7, a lost packet of 20 ms 4 */
    GAP_MAX = 480   /* samples that are heard as silence */
};

void sf_tone_begin(struct sf_tone *it)
{
    memset(it, 0, sizeof *it);
    it->run.key = NONE;
    for (int i = 0; i < 16; i++) {
        double turn = 2.0 * M_PI * (i < 8 ? TONES[i] : 2.0 * TONES[i - 8]) / RATE;
        it->cosine[i] = (float)cos(turn);
        it->sine[i] = (float)sin(turn);
        it->twice[i] = (float)(2.0 * cos(turn));
        it->step_re[i] = (float)cos(turn * BLOCK);
        it->step_im[i] = (float)-sin(turn * BLOCK);
        for (int from = 0; from < 8; from++) {
            double apart = 2.0 * M_PI * TONES[from] / RATE - turn;
            double kernel = from == i ? 1.0 : sin(apart * BLOCK) / (WINDOW * sin(apart / 2.0));
            it->leak_re[from][i] = (float)(kernel * cos(apart / 2.0));
            it->leak_im[from][i] = (float)(kernel * sin(apart / 2.0));
        }
    }
}

/* Goertzel over one block: amplitudes with the phase at the block's first sample, turned by a
 * constant per tone, which no comparison between blocks sees. */
static void measure(const struct sf_tone *it, struct sf_tone_half *half)
{
    float s1[16] = {0}, s2[16] = {0}, energy = 0.0f;
    for (int n = 0; n < BLOCK; n++) {
        float x = it->samples[n];
        energy += x * x;
        for (int i = 0; i < 16; i++) {
            float s0 = x + it->twice[i] * s1[i] - s2[i];
            s2[i] = s1[i];
            s1[i] = s0;
        }
    }
    half->energy = energy;
    for (int i = 0; i < 16; i++) {
        half->re[i] = s1[i] - it->cosine[i] * s2[i];
        half->im[i] = it->sine[i] * s2[i];
    }
}

/* Adds two halves to a window: the amplitude of tone i. */
static void join(const struct sf_tone *it, const struct sf_tone_half *a,
                 const struct sf_tone_half *b, int i, float out[2])
{
    out[0] = a->re[i] + b->re[i] * it->step_re[i] - b->im[i] * it->step_im[i];
    out[1] = a->im[i] + b->re[i] * it->step_im[i] + b->im[i] * it->step_re[i];
}

static float power_of(const float amplitude[2])
{
    return amplitude[0] * amplitude[0] + amplitude[1] * amplitude[1];
}

/* Takes what tone `from` adds to the amplitudes [first, first + 4) out of them. */
static void silence(const struct sf_tone *it, float waves[16][2], int from, int first)
{
    const float *strong = waves[from];
    for (int i = first; i < first + 4; i++) {
        float re = it->leak_re[from][i], im = it->leak_im[from][i];
        waves[i][0] -= strong[0] * re - strong[1] * im;
        waves[i][1] -= strong[0] * im + strong[1] * re;
    }
}

/* Frees rows and columns of what the other group's strongest tone adds to them, the stronger first.
 */
static void separate(const struct sf_tone *it, float waves[16][2])
{
    int row = 0, column = 4;
    for (int i = 1; i < 4; i++) {
        row = power_of(waves[i]) > power_of(waves[row]) ? i : row;
        column = power_of(waves[4 + i]) > power_of(waves[column]) ? 4 + i : column;
    }
    bool high = power_of(waves[column]) > power_of(waves[row]);
    if (!high) {
        silence(it, waves, row, 4);
    }
    silence(it, waves, column, 0);
    silence(it, waves, column, 8);
    if (high) {
        silence(it, waves, row, 4);
    }
}

/* The strongest of four tones; NONE when it does not stand out. */
static uint32_t strongest(const float power[4])
{
    uint32_t best = 0;
    for (uint32_t i = 1; i < 4; i++) {
        best = power[i] > power[best] ? i : best;
    }
    for (uint32_t i = 0; i < 4; i++) {
        if (i != best && power[i] * APART > power[best]) {
            return NONE;
        }
    }
    return best;
}

/* The key of a window by level, twist and share of energy; NONE is most of all sound. */
static uint32_t key_of(float waves[16][2], float energy)
{
    float power[8];
    for (int i = 0; i < 8; i++) {
        power[i] = power_of(waves[i]);
    }
    uint32_t row = strongest(power), column = strongest(power + 4);
    if (row == NONE || column == NONE) {
        return NONE;
    }
    float low = power[row], high = power[4 + column];
    const float least = LEAST_PEAK * BLOCK * LEAST_PEAK * BLOCK;
    bool loud = low >= least && high >= least;
    bool level = low <= high * TWIST && high <= low * TWIST;
    bool pure = low + high >= SHARE * BLOCK * energy;
    return loud && level && pure ? 4 * row + column : NONE;
}

/* What a tone loses in a window when it is off by `hertz`. */
static double loss(double hertz)
{
    double x = M_PI * hertz * WINDOW / RATE;
    double sinc = fabs(x) < 1e-6 ? 1.0 : sin(x) / x;
    return sinc * sinc;
}

/* Judges a run as a whole; true when it was a key. */
static bool was_key(const struct sf_tone_run *run, struct sf_tone_key *out)
{
    if (run->key == NONE || run->windows < HITS || run->stop - run->start < SHORTEST) {
        return false;
    }
    const double hertz[2] = {TONES[run->key / 4], TONES[4 + run->key % 4]};
    double tones[2];
    for (int i = 0; i < 2; i++) {
        double length = hypot(run->turn[i][0], run->turn[i][1]);
        double off = atan2(run->turn[i][1], run->turn[i][0]) * RATE / (2.0 * M_PI * BLOCK);
        if (length < STEADY * run->weight[i] || fabs(off) > OFF * hertz[i]) {
            return false;
        }
        tones[i] = run->power[i] / loss(off);
    }
    double both = tones[0] + tones[1];
    bool near = fabs(2.0 * hertz[0] - hertz[1]) < ROW_CLEAR_HZ;
    bool speech = run->harmonic[1] > COLUMN_HARMONIC * run->power[1] ||
                  (!near && run->harmonic[0] > ROW_HARMONIC * run->power[0]);
    bool level = tones[0] <= tones[1] * RUN_TWIST && tones[1] <= tones[0] * RUN_TWIST;
    if (speech || !level || both < RUN_SHARE * BLOCK * run->energy) {
        return false;
    }
    out->start = run->start;
    out->stop = run->stop;
    out->power = both / (2.0 * BLOCK * BLOCK) / (run->windows - 2);
    out->row = run->key / 4;
    out->column = run->key % 4;
    return true;
}

/* Where keys go. */
struct keys {
    struct sf_tone_key *out;
    size_t room;
    size_t n;
};

/* Ends the run, and keeps it when it was a key. */
static void finish(struct sf_tone *it, struct keys *keys)
{
    struct sf_tone_key key;
    if (was_key(&it->run, &key) && keys->n < keys->room) {
        keys->out[keys->n++] = key;
    }
    memset(&it->run, 0, sizeof it->run);
    it->run.key = NONE;
    it->turning = false;
}

/* Adds a window to the run of its key. `a` began BLOCK samples before `from`. */
static void add(struct sf_tone *it, const struct sf_tone_half *a, const struct sf_tone_half *b,
                float waves[16][2], int64_t from)
{
    struct sf_tone_run *run = &it->run;
    const uint32_t at[2] = {run->key / 4, 4 + run->key % 4};
    if (run->windows == 0) {
        /* How much of the half the tone fills. */
        float share = a->energy < b->energy ? a->energy / b->energy : 1.0f;
        run->start = from - (int64_t)(share * BLOCK);
    }
    float share = b->energy < a->energy ? b->energy / a->energy : 1.0f;
    run->stop = from + (int64_t)(share * BLOCK);
    bool inner = ++run->windows > 2;
    run->misses = 0;
    run->energy += inner ? run->last_energy : 0.0;
    run->last_energy = (double)a->energy + b->energy;
    for (int i = 0; i < 2; i++) {
        const float *now = waves[at[i]], *before = it->window[i];
        if (inner) {
            run->power[i] += run->last_power[i];
            run->harmonic[i] += run->last_harmonic[i];
        }
        run->last_power[i] = power_of(now);
        run->last_harmonic[i] = power_of(waves[8 + at[i]]);
        if (it->turning) {
            /* now * conj(before), less what the nominal frequency advances in a block */
            float re = now[0] * before[0] + now[1] * before[1];
            float im = now[1] * before[0] - now[0] * before[1];
            float step_re = it->step_re[at[i]], step_im = it->step_im[at[i]];
            run->turn[i][0] += re * step_re - im * step_im;
            run->turn[i][1] += re * step_im + im * step_re;
            run->weight[i] += sqrt((double)power_of(now) * power_of(before));
        }
        it->window[i][0] = now[0];
        it->window[i][1] = now[1];
    }
    it->turning = true;
}

/* Takes the block that has just been filled. */
static void take_block(struct sf_tone *it, struct keys *keys)
{
    struct sf_tone_half half;
    float waves[16][2];
    uint32_t key = NONE;
    measure(it, &half);
    it->filled = 0;
    float energy = half.energy + it->half.energy;
    if (it->halved && energy >= SHARE * BLOCK * LEAST_PEAK * LEAST_PEAK) {
        for (int i = 0; i < 16; i++) {
            join(it, &it->half, &half, i, waves[i]);
        }
        separate(it, waves);
        key = key_of(waves, energy);
    }
    struct sf_tone_run *run = &it->run;
    if (key == NONE || key != run->key) {
        it->turning = false;
        bool over = run->key != NONE && (run->windows < HITS || ++run->misses >= MISSES);
        if (over || (key != NONE && run->key != NONE && run->misses >= 2)) {
            finish(it, keys);
        }
        if (key != NONE && run->key == NONE) {
            run->key = key;
        }
    }
    if (key != NONE && key == run->key) {
        add(it, &it->half, &half, waves, it->at - BLOCK);
    }
    it->half = half;
    it->halved = true;
}

static void take(struct sf_tone *it, float sample, struct keys *keys)
{
    it->samples[it->filled++] = sample;
    it->at++;
    if (it->filled == BLOCK) {
        take_block(it, keys);
    }
}

static void end(struct sf_tone *it, struct keys *keys)
{
    while (it->filled > 0) {
        take(it, 0.0f, keys);
    }
    finish(it, keys);
    it->begun = it->halved = false;
}

size_t sf_tone_end(struct sf_tone *it, struct sf_tone_key *out)
{
    struct keys keys = {out, 1, 0};
    end(it, &keys);
    return keys.n;
}

static bool lies_in(const struct sf_spoken *row, struct sf_slice data)
{
    bool inside = row->offset <= data.n && row->length <= data.n - row->offset;
    return inside && row->law < 2 && row->start > INT64_MIN / 2 && row->start < INT64_MAX / 2;
}

size_t sf_tone_hear(struct sf_tone *it, const struct sf_spoken *rows, size_t count,
                    struct sf_slice data, struct sf_tone_key *out, size_t room)
{
    struct keys keys = {out, room, 0};
    for (const struct sf_spoken *row = rows; row < rows + count; row++) {
        if (!lies_in(row, data)) {
            continue;
        }
        if (it->begun && row->start - it->at > GAP_MAX) {
            end(it, &keys);
        }
        if (!it->begun) {
            it->begun = true;
            it->at = row->start;
        }
        while (it->at < row->start) {
            take(it, 0.0f, &keys);
        }
        const int16_t *law = row->law == 0 ? sf_ulaw_linear : sf_alaw_linear;
        for (int64_t i = it->at - row->start; i < (int64_t)row->length; i++) {
            take(it, (float)law[data.p[row->offset + i]], &keys);
        }
    }
    return keys.n;
}
