#include "talker.h"

#define EVENT_OCTETS 4
#define EVENT_VOLUME 10 /* -10 dBm0, what most telephones say */

static bool speaks(const struct sf_talker *t)
{
    for (uint32_t i = 0; i < t->samples; i += SF_TALKER_WINDOW) {
        if (t->activity[(t->place + i) / SF_TALKER_WINDOW % (t->loop / SF_TALKER_WINDOW)]) {
            return true;
        }
    }
    return false;
}

void sf_talker_skip(struct sf_talker *t)
{
    while (t->at < t->count && !speaks(t)) {
        uint32_t place = t->place + t->samples;
        t->place = place >= t->loop ? place - t->loop : place;
        t->timestamp += t->samples;
        t->type |= 0x80; /* the first packet of a talkspurt (RFC 3551, section 4.1) */
        t->at++;
    }
}

uint8_t *sf_talker_write_step(struct sf_talker *t, uint8_t *dst)
{
    const struct sf_step *step = &t->steps[t->at];
    bool event = (step->flags & SF_STEP_EVENT) != 0;
    size_t payload = event ? EVENT_OCTETS : t->samples;
    uint8_t *end = dst + t->head_octets;
    memcpy(dst, t->head, t->head_octets);
    sf_store_be64(dst + t->time_at, sf_talker_time(t));
    sf_store_be32(end - SF_TALKER_RTP - 4, (uint32_t)(SF_TALKER_RTP + payload));
    end[1 - SF_TALKER_RTP] = (uint8_t)((step->flags & SF_STEP_MARKER ? 0x80 : 0) |
                                       (event ? t->event_type : (t->type & 0x7f)));
    sf_store_be16(end + 2 - SF_TALKER_RTP, (uint16_t)(t->sequence + step->sequence));
    sf_store_be32(end + 4 - SF_TALKER_RTP, t->timestamp + step->media);
    if (event) {
        end[0] = step->event;
        end[1] = (uint8_t)((step->flags & SF_STEP_END ? 0x80 : 0) | EVENT_VOLUME);
        sf_store_be16(end + 2, step->duration);
    } else {
        memcpy(end, t->audio + ((uint64_t)t->place + step->media) % t->loop, t->samples);
    }
    t->at++;
    return end + payload;
}
