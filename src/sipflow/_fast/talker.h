/*
 * One RTP stream being spoken: gives its packets one after the other, each as a complete
 * SipFlow frame (version 3) whose payload is the RTP packet.
 *
 * A plain stream sends an audio packet every interval, `count` in all. One with `activity` leaves
 * out the intervals in which its voice is silent, except the first: timestamps jump, sequence
 * numbers do not. One with steps (losses, duplicates, reordering, telephone events) sends
 * steps[0..count).
 *
 * Owns:    nothing.
 * Lends:   nothing; borrows audio, activity and steps,
 * Until:   the talker is not used any more.
 * Threads: one per talker.
 */
#ifndef SF_TALKER_H
#define SF_TALKER_H

#include "cursor.h"

#define SF_TALKER_HEAD   128 /* octets of frame up to the audio: call ids of up to 47 octets */
#define SF_TALKER_RTP    12  /* of them the RTP header, RFC 3550, section 5.1, without extras */
#define SF_TALKER_TAIL   480 /* samples repeated after an audio loop: the longest packet, 60 ms */
#define SF_TALKER_ROOM   (SF_TALKER_HEAD + SF_TALKER_TAIL) /* what a write may touch */
#define SF_TALKER_WINDOW 80                                /* samples of an activity flag: 10 ms */

enum sf_step_flag {
    SF_STEP_MARKER = 1,
    SF_STEP_EVENT = 2, /* a telephone event (RFC 4733) instead of audio */
    SF_STEP_END = 4,   /* its end bit */
};

/* One packet of a scripted stream. */
struct sf_step {
    uint32_t at_us;    /* capture time after the first packet's, never falling */
    uint32_t media;    /* RTP timestamp after the first packet's [samples] */
    uint16_t sequence; /* sequence number after the first packet's */
    uint16_t duration; /* of the telephone event so far [samples] */
    uint8_t event;     /* telephone event code */
    uint8_t flags;     /* enum sf_step_flag */
    uint16_t unused;
};

/* A loop of speech in G.711, and which of its windows are loud. */
struct sf_voice {
    const uint8_t *audio;    /* `loop` octets and SF_TALKER_TAIL more */
    const uint8_t *activity; /* an octet per window of the loop, not 0 where somebody speaks */
    uint32_t loop;           /* a multiple of SF_TALKER_WINDOW */
    uint32_t unused;
};

/* The numbers fill one cache line and the head two: one packet costs three, and the audio. */
struct sf_talker {
    const uint8_t *audio;
    const uint8_t *activity; /* NULL: sends all the time */
    const struct sf_step *steps;
    uint64_t capture_us; /* of interval 0, since the epoch */
    uint32_t count;      /* intervals, or steps, in all */
    uint32_t at;         /* the next one */
    uint32_t loop;
    uint32_t place; /* where in the loop the next packet begins; of steps: the first one */
    uint32_t ssrc;
    uint32_t timestamp; /* of the next packet; of steps: of the first one */
    uint16_t sequence;  /* likewise */
    uint16_t samples;   /* per packet, which are also its octets */
    uint8_t type;       /* payload type; the marker bit of the next packet is on top of it */
    uint8_t event_type; /* payload type of telephone events */
    uint8_t head_octets;
    uint8_t time_at;              /* where in head the capture time stands */
    uint8_t head[SF_TALKER_HEAD]; /* frame up to and with the RTP header */
} __attribute__((aligned(64)));

/* Moves to the next interval in which there is something to say; only for `activity`. */
void sf_talker_skip(struct sf_talker *talker);

uint8_t *sf_talker_write_step(struct sf_talker *talker, uint8_t *dst);

static inline uint64_t sf_talker_offset(const struct sf_talker *t)
{
    return t->steps == NULL ? (uint64_t)t->at * t->samples * 125 : t->steps[t->at].at_us;
}

/* When the next packet is due, as time since the epoch; only while at < count. */
static inline uint64_t sf_talker_due(const struct sf_talker *t)
{
    return t->capture_us + sf_talker_offset(t);
}

/* Capture time of the next packet, since the epoch; only while at < count. */
static inline uint64_t sf_talker_time(const struct sf_talker *t)
{
    /* Up to half a millisecond of jitter, the same on every replay; scripts bring their own. */
    uint32_t jitter = t->steps == NULL ? ((t->at ^ t->ssrc) * 2654435761u) >> 23 : 0;
    return sf_talker_due(t) + jitter;
}

/* Octets of the next frame; only while at < count. */
static inline size_t sf_talker_size(const struct sf_talker *t)
{
    bool event = t->steps != NULL && (t->steps[t->at].flags & SF_STEP_EVENT);
    return t->head_octets + (event ? 4u : t->samples);
}

/*
 * Writes the next frame to `dst`, moves on, gives the end; only while at < count. Up to
 * SF_TALKER_ROOM octets are touched, whatever the size: copies of a constant length are cheaper.
 */
static inline uint8_t *sf_talker_write(struct sf_talker *t, uint8_t *dst)
{
    if (t->steps != NULL) {
        return sf_talker_write_step(t, dst);
    }
    if (t->head_octets <= 96) {
        memcpy(dst, t->head, 96);
    } else {
        memcpy(dst, t->head, SF_TALKER_HEAD);
    }
    sf_store_be64(dst + t->time_at, sf_talker_time(t));
    uint8_t *end = dst + t->head_octets;
    end[1 - SF_TALKER_RTP] = t->type;
    sf_store_be16(end + 2 - SF_TALKER_RTP, t->sequence);
    sf_store_be32(end + 4 - SF_TALKER_RTP, t->timestamp);
    uint32_t samples = t->samples;
    if (samples == 160) {
        memcpy(end, t->audio + t->place, 160);
    } else {
        memcpy(end, t->audio + t->place, samples);
    }
    uint32_t place = t->place + samples;
    t->place = place >= t->loop ? place - t->loop : place;
    t->timestamp += samples;
    t->sequence++;
    t->type &= 0x7f;
    t->at++;
    if (t->activity != NULL) {
        sf_talker_skip(t);
    }
    return end + samples;
}

#endif
