/*
 * One RTP stream being spoken: gives its packets one after the other, each as a complete frame,
 * of SipFlow (version 3) or of HEP (version 3), whose payload is the RTP packet.
 *
 * A plain stream sends an audio packet every interval, `count` in all. One with `activity` leaves
 * out the intervals in which its voice is silent, except the first: timestamps jump, sequence
 * numbers do not. One with a script (telephone events, a poor network) sends what that says.
 *
 * Audio is counted in samples of 8 kHz, whatever the codec's own clock is: an interval of 20 ms
 * has 160. In G.711 and G.722 (RFC 3551, section 4.5.2) each is an octet; a codec of frames has one
 * frame of its own length in each packet.
 *
 * Owns:    nothing.
 * Lends:   nothing; borrows audio, activity, frames and script,
 * Until:   the talker is not used any more.
 * Threads: one per talker.
 */
#ifndef SF_TALKER_H
#define SF_TALKER_H

#include "cursor.h"
#include "script.h"

#define SF_TALKER_HEAD   192 /* octets of frame up to the audio: call ids of up to 47 octets */
#define SF_TALKER_RTP    12  /* of them the RTP header, RFC 3550, section 5.1, without extras */
#define SF_TALKER_TAIL   480 /* samples repeated after an audio loop: the longest packet, 60 ms */
#define SF_TALKER_ROOM   (SF_TALKER_HEAD + SF_TALKER_TAIL) /* what a write may touch */
#define SF_TALKER_WINDOW SF_SCRIPT_WINDOW
#define SF_TALKER_EVENT  4 /* octets of a telephone event */

/* A loop of speech in one codec, and which of its windows are loud. */
struct sf_voice {
    const uint8_t *audio;    /* `loop` octets and SF_TALKER_TAIL more; or frames end to end */
    const uint8_t *activity; /* an octet per window of the loop, not 0 where somebody speaks */
    const uint32_t *frames;  /* where each frame of the loop begins, and where the last one ends;
                                NULL: an octet is a sample */
    uint32_t loop;           /* samples, a multiple of SF_TALKER_WINDOW */
    uint32_t samples;        /* of a frame */
};

/* What keeps a talker from the shortest way. */
enum sf_talker_flag {
    SF_TALKER_HEP = 1,
    SF_TALKER_FRAMED = 2, /* packets have frames of any length, or a clock of their own */
    SF_TALKER_SCRIPTED = 4,
};

/* The numbers fill one cache line and the head two or three: one packet costs them, and the audio.
 */
struct sf_talker {
    const uint8_t *audio;
    const uint8_t *activity; /* NULL: sends all the time, or has a script */
    struct sf_script *script;
    uint64_t capture_us; /* of interval 0, since the epoch */
    uint32_t count;      /* intervals */
    uint32_t at;         /* the next one; of a script: 0 until it is over, then `count` */
    uint32_t loop;
    uint32_t place; /* where in the loop the next packet begins; of a script: the first one */
    uint32_t ssrc;
    uint32_t timestamp; /* of the next packet; of a script: of the first one */
    uint16_t sequence;  /* likewise */
    uint16_t samples;   /* per packet */
    uint8_t type;       /* payload type; the marker bit of the next packet is on top of it */
    uint8_t flags;      /* enum sf_talker_flag */
    uint8_t head_octets;
    uint8_t time_at;              /* where in head the capture time stands */
    uint8_t head[SF_TALKER_HEAD]; /* frame up to and with the RTP header */

    const uint32_t *frames;
    uint8_t event_type; /* payload type of telephone events */
    uint8_t ticks;      /* of the codec's clock in a sample of 8 kHz; read only with flags */
} __attribute__((aligned(64)));

/* Moves to the next interval in which there is something to say; only for `activity`. */
void sf_talker_skip(struct sf_talker *talker);

uint8_t *sf_talker_write_special(struct sf_talker *talker, uint8_t *dst);
size_t sf_talker_special_size(const struct sf_talker *talker);

/* Writes a capture time where a frame has it: microseconds since the epoch, or, of HEP, seconds in
 * one chunk and microseconds in the next. */
static inline void sf_frame_stamp(uint8_t *at, bool hep, uint64_t time_us)
{
    if (hep) {
        sf_store_be32(at, (uint32_t)(time_us / 1000000));
        sf_store_be32(at + 10, (uint32_t)(time_us % 1000000));
    } else {
        sf_store_be64(at, time_us);
    }
}

/* When the next packet is due, as time since the epoch; only while at < count. */
static inline uint64_t sf_talker_due(const struct sf_talker *t)
{
    if (t->flags & SF_TALKER_SCRIPTED) {
        return t->capture_us + t->script->step.at_us;
    }
    return t->capture_us + (uint64_t)t->at * t->samples * 125;
}

/* Capture time of the next packet, since the epoch; only while at < count. */
static inline uint64_t sf_talker_time(const struct sf_talker *t)
{
    /* Up to half a millisecond of jitter, the same on every replay; scripts bring their own. */
    uint32_t jitter = t->flags & SF_TALKER_SCRIPTED ? 0 : ((t->at ^ t->ssrc) * 2654435761u) >> 23;
    return sf_talker_due(t) + jitter;
}

/* Octets of the next frame; only while at < count. */
static inline size_t sf_talker_size(const struct sf_talker *t)
{
    if (t->flags & (SF_TALKER_FRAMED | SF_TALKER_SCRIPTED)) {
        return sf_talker_special_size(t);
    }
    return (size_t)t->head_octets + t->samples;
}

/*
 * Writes the next frame to `dst`, moves on, gives the end; only while at < count. Up to
 * SF_TALKER_ROOM octets are touched, whatever the size: copies of a constant length are cheaper.
 */
static inline uint8_t *sf_talker_write(struct sf_talker *t, uint8_t *dst)
{
    if (t->flags != 0) {
        return sf_talker_write_special(t, dst);
    }
    if (t->head_octets <= 96) {
        memcpy(dst, t->head, 96);
    } else if (t->head_octets <= 128) {
        memcpy(dst, t->head, 128);
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
