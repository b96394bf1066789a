/*
 * A receiver of DTMF keys in G.711 audio, along the guidance of ITU-T Q.24 and the figures that
 * administrations give there: tones of 40 ms with pauses of 40 ms are received, such of 23 ms are
 * not; frequencies off by 1.5 % are received, by 3.5 % not; levels of a tone may differ by 8 dB.
 *
 * The two strongest tones are measured over windows of 12.75 ms, every 6.375 ms (Goertzel). A key
 * is a row of windows in which the same two tones hold nearly all of the energy, keep their phase,
 * that is a frequency near the nominal one, and have no second harmonic, as speech has.
 *
 * Owns:    nothing.
 * Lends:   nothing; reads rows and data, writes `out`.
 * Until:   the call returns.
 * Threads: any, on different receivers.
 */
#ifndef SF_TONE_H
#define SF_TONE_H

#include "cursor.h"
#include "g711.h"

#define SF_TONE_BLOCK 51  /* samples of half a window */
#define SF_TONE_LEAST 255 /* fewer samples never make a key */
#define SF_TONE_NONE  UINT32_MAX

/* One packet of the audio; the numpy dtype SPOKEN of sipflow.media.inband. */
struct sf_spoken {
    int64_t start;   /* sample of its first octet; from row to row it rises */
    uint32_t offset; /* of the payload in the data [octets] */
    uint32_t length; /* one octet per sample (ITU-T G.711) */
    uint32_t law;    /* 0 mu-law, 1 A-law */
    uint32_t unused;
};

/* One key; the numpy dtype PRESSED of sipflow.media.inband. */
struct sf_tone_key {
    int64_t start; /* samples [start, stop) */
    int64_t stop;
    double power;    /* mean square of both tones together, of samples of 16 bits */
    uint32_t row;    /* 0 to 3: 697, 770, 852, 941 Hz */
    uint32_t column; /* 0 to 3: 1209, 1336, 1477, 1633 Hz */
};

/* One half of a window: its energy, and the amplitudes of 8 tones and their second harmonics. */
struct sf_tone_half {
    float energy;
    float re[16];
    float im[16];
};

/* What is known of the key that sounds at the moment. */
struct sf_tone_run {
    uint32_t key;     /* 4 * row + column; SF_TONE_NONE: silence or speech */
    uint32_t windows; /* in which it was found */
    uint32_t misses;  /* windows since */
    int64_t start;
    int64_t stop;
    double last_energy, last_power[2], last_harmonic[2]; /* of the last window: row and column */
    double energy, power[2], harmonic[2];                /* of all between the first and the last */
    double turn[2][2], weight[2]; /* how the phase of row and column advances between windows */
};

struct sf_tone {
    int64_t at; /* of the next sample */
    bool begun;
    uint32_t filled;
    float samples[SF_TONE_BLOCK];
    bool halved; /* `half` is the block before */
    struct sf_tone_half half;
    bool turning; /* `window` is the window before, and a hit */
    float window[2][2];
    struct sf_tone_run run;
    float cosine[16], sine[16], twice[16]; /* of the advance per sample; twice the cosine */
    float step_re[16], step_im[16];        /* of the advance per block, backwards */
    float leak_re[8][16], leak_im[8][16];  /* what a tone adds to the amplitude of another */
};

void sf_tone_begin(struct sf_tone *it);

/*
 * Hears `count` packets, given in the order of their samples; what overlaps the one before is left
 * out, and so is a row that does not lie in `data`. A short gap is silence, a longer one ends the
 * key. Writes the keys that ended to `out`, at most `room`, and gives their number: never more than
 * one per SF_TONE_LEAST samples heard so far, and one.
 */
size_t sf_tone_hear(struct sf_tone *it, const struct sf_spoken *rows, size_t count,
                    struct sf_slice data, struct sf_tone_key *out, size_t room);

/* Ends the audio; gives 1 and writes the key that still sounded, or gives 0. */
size_t sf_tone_end(struct sf_tone *it, struct sf_tone_key *out);

#endif
