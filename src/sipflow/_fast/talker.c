#include "talker.h"

#define RTP_HEAD     12
#define EVENT_OCTETS 4
#define EVENT_VOLUME 10 /* -10 dBm0, what most telephones say */

static inline const struct sf_step *step_of(const struct sf_talker *t)
{
    return t->steps == NULL ? NULL : &t->steps[t->at];
}

static inline uint64_t offset_us(const struct sf_talker *t)
{
    const struct sf_step *step = step_of(t);
    return step == NULL ? (uint64_t)t->at * t->interval_us : step->at_us;
}

/* Up to half a millisecond of capture jitter, the same on every replay; scripts bring their own. */
static inline uint32_t jitter_us(const struct sf_talker *t)
{
    return t->steps == NULL ? ((t->at ^ t->ssrc) * 2654435761u) >> 23 : 0;
}

uint64_t sf_talker_due(const struct sf_talker *t)
{
    return t->start_us + offset_us(t);
}

uint64_t sf_talker_time(const struct sf_talker *t)
{
    return t->capture_us + offset_us(t) + jitter_us(t);
}

static inline size_t payload_octets(const struct sf_talker *t)
{
    const struct sf_step *step = step_of(t);
    return step != NULL && (step->flags & SF_STEP_EVENT) ? EVENT_OCTETS : t->samples;
}

size_t sf_talker_size(const struct sf_talker *t)
{
    return (size_t)t->head_octets + 4 + RTP_HEAD + payload_octets(t);
}

/* RFC 3550, section 5.1: version 2, no padding, no extension, no CSRC. */
static inline uint8_t *store_rtp(const struct sf_talker *t, bool marker, uint8_t type,
                                 uint16_t sequence, uint32_t media, uint8_t *p)
{
    *p++ = 0x80;
    *p++ = (uint8_t)((marker ? 0x80 : 0) | type);
    p = sf_store_be16(p, (uint16_t)(t->sequence + sequence));
    p = sf_store_be32(p, t->timestamp + media);
    return sf_store_be32(p, t->ssrc);
}

static inline uint8_t *store_audio(const struct sf_talker *t, uint32_t media, uint8_t *p)
{
    uint32_t from = (uint32_t)(((uint64_t)t->position + media) % t->loop);
    memcpy(p, t->audio + from, t->samples);
    return p + t->samples;
}

uint8_t *sf_talker_write(struct sf_talker *t, uint8_t *dst)
{
    const struct sf_step *step = step_of(t);
    memcpy(dst, t->head, t->head_octets);
    sf_store_be64(dst + t->time_at, sf_talker_time(t));
    uint8_t *p = sf_store_be32(dst + t->head_octets, (uint32_t)(RTP_HEAD + payload_octets(t)));
    if (step == NULL) {
        uint32_t media = t->at * t->samples;
        p = store_rtp(t, t->at == 0, t->payload_type, (uint16_t)t->at, media, p);
        p = store_audio(t, media, p);
    } else if (step->flags & SF_STEP_EVENT) {
        p = store_rtp(t, step->flags & SF_STEP_MARKER, t->event_type, step->sequence, step->media,
                      p);
        *p++ = step->event;
        *p++ = (uint8_t)((step->flags & SF_STEP_END ? 0x80 : 0) | EVENT_VOLUME);
        p = sf_store_be16(p, step->duration);
    } else {
        p = store_rtp(t, step->flags & SF_STEP_MARKER, t->payload_type, step->sequence, step->media,
                      p);
        p = store_audio(t, step->media, p);
    }
    t->at++;
    return p;
}
