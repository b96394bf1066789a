/*
 * What a stream that is out of the ordinary sends, packet by packet: telephone events among the
 * audio (RFC 4733), silence left out, and what a poor network makes of it: losses, delays,
 * overtaking, duplicates. All of it follows from `chance`, so that the same stream is the same
 * whenever it is made.
 *
 * The network, for packet i of what is said, in draws 4i to 4i + 3 of `chance` (mould.h):
 * 4i, lost: its upper half is below `loss`, or below `burst` when the packet before was lost. The
 *   first and the last packet always arrive, so that what is missing can be told from what came.
 * 4i + 1, delay: in its upper half 0 to `jitter_us`, behind whatever is in the queue already: a
 *   delay alone never changes the order. In the lower half 0 to 499 us of the capture itself.
 * 4i + 2, overtaken: its upper half is below `reorder`; then it is held for another 1.3 to 2.6
 *   intervals, outside the queue.
 * 4i + 3, twice: its upper half is below `duplicate`; then it comes again 200 to 2999 us later.
 *
 * Owns:    nothing.
 * Lends:   nothing; borrows the activity,
 * Until:   the script is not used any more.
 * Threads: one per script.
 */
#ifndef SF_SCRIPT_H
#define SF_SCRIPT_H

#include <stdbool.h>
#include <stdint.h>

#define SF_SCRIPT_DIGITS    16
#define SF_SCRIPT_WAITING   128    /* more than the longest delay can keep back */
#define SF_SCRIPT_JITTER_US 500000 /* the longest */
#define SF_SCRIPT_PRESS     1280   /* samples a key is pressed: 160 ms */
#define SF_SCRIPT_ENDS      3      /* times its end is sent (RFC 4733, section 2.5.1.4) */
#define SF_SCRIPT_WINDOW    80     /* samples of an activity flag: 10 ms */

/* Chances are shares of 2^32. */
struct sf_impairment {
    uint32_t loss;
    uint32_t burst;
    uint32_t jitter_us;
    uint32_t reorder;
    uint32_t duplicate;
};

enum sf_step_flag {
    SF_STEP_MARKER = 1,
    SF_STEP_EVENT = 2, /* a telephone event instead of audio */
    SF_STEP_END = 4,   /* its end bit */
};

/* One packet. */
struct sf_step {
    uint64_t at_us;    /* capture time after the first interval's begin */
    uint32_t media;    /* samples of 8 kHz before it */
    uint16_t sequence; /* sequence number after the first packet's */
    uint16_t duration; /* of the telephone event so far [samples] */
    uint8_t event;     /* telephone event code */
    uint8_t flags;     /* enum sf_step_flag */
    uint16_t unused;
    uint32_t unused2;
};

struct sf_script {
    struct sf_step step; /* the next packet */
    uint64_t chance;
    struct sf_impairment network;
    const uint8_t *activity; /* NULL: speaks all the time; else an octet per window of the loop */
    uint32_t loop;
    uint32_t place;
    uint32_t count; /* intervals */
    uint16_t samples;
    uint8_t digits_n; /* pressed keys, spread evenly; none when there is no room for them */
    uint8_t digits[SF_SCRIPT_DIGITS];

    uint64_t queue_us; /* when the last packet left the queue */
    uint32_t interval; /* of the next packet that is said */
    uint32_t said;
    uint32_t waiting_n;
    bool lost; /* the packet before */
    bool marked;
    struct sf_step waiting[SF_SCRIPT_WAITING]; /* by time, the next one last */
};

/* Begins a script whose upper part is filled in, the rest being 0; false: there is no packet. */
bool sf_script_begin(struct sf_script *script);

/* Moves on to the next packet; false when that was the last one. */
bool sf_script_next(struct sf_script *script);

/* Tells whether a voice is heard in a packet of `samples` from `place` on. */
bool sf_script_speaks(const uint8_t *activity, uint32_t loop, uint32_t place, uint32_t samples);

#endif
