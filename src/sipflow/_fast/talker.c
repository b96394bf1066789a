#include "talker.h"

#define EVENT_VOLUME 10 /* -10 dBm0, what most telephones say */

void sf_talker_skip(struct sf_talker *t)
{
    uint32_t ticks = t->flags & SF_TALKER_FRAMED ? t->ticks : 1;
    while (t->at < t->count && !sf_script_speaks(t->activity, t->loop, t->place, t->samples)) {
        uint32_t place = t->place + t->samples;
        t->place = place >= t->loop ? place - t->loop : place;
        t->timestamp += t->samples * ticks;
        t->type |= 0x80; /* the first packet of a talkspurt (RFC 3551, section 4.1) */
        t->at++;
    }
}

/* Where in the loop the next packet begins. */
static uint32_t place_of(const struct sf_talker *t)
{
    if (t->flags & SF_TALKER_SCRIPTED) {
        return (uint32_t)(((uint64_t)t->place + t->script->step.media) % t->loop);
    }
    return t->place;
}

static bool is_event(const struct sf_talker *t)
{
    return t->flags & SF_TALKER_SCRIPTED && t->script->step.flags & SF_STEP_EVENT;
}

size_t sf_talker_special_size(const struct sf_talker *t)
{
    if (is_event(t)) {
        return (size_t)t->head_octets + SF_TALKER_EVENT;
    }
    if (t->frames != NULL) {
        const uint32_t *frame = t->frames + place_of(t) / t->samples;
        return (size_t)t->head_octets + (frame[1] - frame[0]);
    }
    return (size_t)t->head_octets + t->samples;
}

static void put_event(const struct sf_talker *t, uint32_t ticks, uint8_t *dst)
{
    const struct sf_step *step = &t->script->step;
    dst[0] = step->event;
    dst[1] = (uint8_t)((step->flags & SF_STEP_END ? 0x80 : 0) | EVENT_VOLUME);
    sf_store_be16(dst + 2, (uint16_t)(step->duration * ticks));
}

static void go_on(struct sf_talker *t, uint32_t ticks)
{
    if (t->flags & SF_TALKER_SCRIPTED) {
        t->at = sf_script_next(t->script) ? 0 : t->count;
        return;
    }
    uint32_t place = t->place + t->samples;
    t->place = place >= t->loop ? place - t->loop : place;
    t->timestamp += t->samples * ticks;
    t->sequence++;
    t->type &= 0x7f;
    t->at++;
    if (t->activity != NULL) {
        sf_talker_skip(t);
    }
}

uint8_t *sf_talker_write_special(struct sf_talker *t, uint8_t *dst)
{
    bool event = is_event(t);
    bool hep = (t->flags & SF_TALKER_HEP) != 0;
    uint32_t ticks = t->flags & SF_TALKER_FRAMED ? t->ticks : 1;
    uint8_t type = t->type;
    uint16_t sequence = t->sequence;
    uint32_t timestamp = t->timestamp;
    if (t->flags & SF_TALKER_SCRIPTED) {
        const struct sf_step *step = &t->script->step;
        type = (uint8_t)((event ? t->event_type : type & 0x7f) |
                         (step->flags & SF_STEP_MARKER ? 0x80 : 0));
        sequence = (uint16_t)(sequence + step->sequence);
        timestamp += step->media * ticks;
    }
    size_t size = sf_talker_special_size(t);
    size_t payload = size - t->head_octets;
    uint8_t *end = dst + t->head_octets;
    memcpy(dst, t->head, SF_TALKER_HEAD);
    sf_frame_stamp(dst + t->time_at, hep, sf_talker_time(t));
    if (hep) {
        /* The chunk's length counts its own six octets. */
        sf_store_be16(dst + 4, (uint16_t)size);
        sf_store_be16(end - SF_TALKER_RTP - 2, (uint16_t)(6 + SF_TALKER_RTP + payload));
    } else {
        sf_store_be32(end - SF_TALKER_RTP - 4, (uint32_t)(SF_TALKER_RTP + payload));
    }
    end[1 - SF_TALKER_RTP] = type;
    sf_store_be16(end + 2 - SF_TALKER_RTP, sequence);
    sf_store_be32(end + 4 - SF_TALKER_RTP, timestamp);
    if (event) {
        put_event(t, ticks, end);
    } else if (t->frames != NULL) {
        memcpy(end, t->audio + t->frames[place_of(t) / t->samples], payload);
    } else {
        memcpy(end, t->audio + place_of(t), payload);
    }
    go_on(t, ticks);
    return end + payload;
}
