/*
 * One RTP stream being spoken: gives its packets one after the other, each as a complete
 * SipFlow frame (version 3) whose payload is the RTP packet.
 *
 * A plain stream sends `count` audio packets in order, one per interval. A stream with steps
 * (losses, duplicates, reordering, telephone events, silence suppression) sends steps[0..count).
 *
 * Owns:    nothing.
 * Lends:   nothing; borrows audio and steps,
 * Until:   the talker is not used any more.
 * Threads: one per talker.
 */
#ifndef SF_TALKER_H
#define SF_TALKER_H

#include "cursor.h"

#define SF_TALKER_HEAD                                                                             \
    124                    /* octets of frame before the payload length: call ids up to 55 octets  \
                            */
#define SF_TALKER_TAIL 480 /* samples repeated after an audio loop: the longest packet, 60 ms */

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

struct sf_talker {
    const uint8_t *audio;        /* G.711 loop of `loop` octets and SF_TALKER_TAIL more */
    const struct sf_step *steps; /* NULL: a plain stream */
    uint64_t start_us;           /* when the first packet is due, on the sender's clock */
    uint64_t capture_us;         /* its capture time, since the epoch */
    uint32_t count;              /* packets in all */
    uint32_t at;                 /* packets given so far */
    uint32_t loop;
    uint32_t position; /* where in the loop the first packet begins */
    uint32_t ssrc;
    uint32_t timestamp;
    uint32_t interval_us;
    uint16_t sequence;
    uint16_t samples; /* per packet, which are also its octets */
    uint8_t payload_type;
    uint8_t event_type; /* payload type of telephone events */
    uint8_t head_octets;
    uint8_t time_at; /* where in head the capture time stands */
    uint8_t head[SF_TALKER_HEAD];
};

/* When the next packet is due on the sender's clock; only while at < count. */
uint64_t sf_talker_due(const struct sf_talker *talker);

/* Octets that sf_talker_write will write; only while at < count. */
size_t sf_talker_size(const struct sf_talker *talker);

/* Writes the next frame to `dst`, moves on, gives the end; only while at < count. */
uint8_t *sf_talker_write(struct sf_talker *talker, uint8_t *dst);

/* Capture time of the next packet, since the epoch; only while at < count. */
uint64_t sf_talker_time(const struct sf_talker *talker);

#endif
