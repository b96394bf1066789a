#include "script.h"

#include <stddef.h>
#include <string.h>

#include "draw.h"

#define CAPTURE_US 500u /* of jitter between a packet and its capture */

bool sf_script_speaks(const uint8_t *activity, uint32_t loop, uint32_t place, uint32_t samples)
{
    for (uint32_t i = 0; i < samples; i += SF_SCRIPT_WINDOW) {
        if (activity[(place + i) / SF_SCRIPT_WINDOW % (loop / SF_SCRIPT_WINDOW)]) {
            return true;
        }
    }
    return false;
}

/* Turns interval `i` into a telephone event, if a key is pressed then. */
static void press(const struct sf_script *s, uint32_t i, struct sf_step *step)
{
    uint32_t held = SF_SCRIPT_PRESS / s->samples > 2 ? SF_SCRIPT_PRESS / s->samples : 2;
    uint32_t packets = held + SF_SCRIPT_ENDS - 1;
    uint32_t spacing = s->count / (s->digits_n + 1u);
    if (s->digits_n == 0 || spacing <= packets || i / spacing == 0 || i / spacing > s->digits_n) {
        return;
    }
    uint32_t within = i % spacing;
    if (within == packets) {
        step->flags |= SF_STEP_MARKER; /* what is said after a key is a new talkspurt */
    } else if (within < packets) {
        step->media = (i - within) * s->samples;
        step->duration = (uint16_t)((within < held ? within + 1 : held) * s->samples);
        step->event = s->digits[i / spacing - 1];
        step->flags = SF_STEP_EVENT | (within == 0 ? SF_STEP_MARKER : 0) |
                      (within + 1 >= held ? SF_STEP_END : 0);
    }
}

/* Goes on to the next interval in which something is said. */
static void go_on(struct sf_script *s)
{
    s->interval++;
    while (s->activity != NULL && s->interval < s->count &&
           !sf_script_speaks(s->activity, s->loop,
                             (uint32_t)((s->place + (uint64_t)s->interval * s->samples) % s->loop),
                             s->samples)) {
        s->interval++;
        s->marked = true;
    }
}

static void wait_for(struct sf_script *s, struct sf_step step)
{
    uint32_t at = s->waiting_n++;
    while (at > 0 && s->waiting[at - 1].at_us <= step.at_us) {
        s->waiting[at] = s->waiting[at - 1];
        at--;
    }
    s->waiting[at] = step;
}

/* Says the next packet, and lets the network have it. */
static void say(struct sf_script *s)
{
    uint64_t interval_us = s->samples * 125u;
    uint64_t k = 4ull * s->said;
    struct sf_step step = {
        .at_us = s->interval * interval_us,
        .media = s->interval * s->samples,
        .sequence = (uint16_t)s->said,
        .flags = s->said == 0 || s->marked ? SF_STEP_MARKER : 0,
    };
    press(s, s->interval, &step);
    bool first = s->said == 0;
    s->marked = false;
    s->said++;
    go_on(s);

    const struct sf_impairment *n = &s->network;
    uint32_t chance = s->lost ? n->burst : n->loss;
    s->lost =
        chance > 0 && !first && s->interval < s->count && sf_draw(s->chance, k) >> 32 < chance;
    if (s->lost) {
        return;
    }
    uint64_t delay = sf_draw(s->chance, k + 1);
    step.at_us +=
        ((delay & 0xffffffffu) * CAPTURE_US >> 32) + ((delay >> 32) * (n->jitter_us + 1ull) >> 32);
    if (n->jitter_us > 0 && step.at_us < s->queue_us) {
        step.at_us = s->queue_us;
    }
    uint64_t held = n->reorder > 0 ? sf_draw(s->chance, k + 2) : UINT64_MAX;
    if (held >> 32 < n->reorder) {
        uint64_t least = interval_us * 13 / 10;
        step.at_us += least + ((held & 0xffffffffu) * least >> 32);
    } else {
        s->queue_us = step.at_us;
    }
    wait_for(s, step);
    uint64_t again = n->duplicate > 0 ? sf_draw(s->chance, k + 3) : UINT64_MAX;
    if (again >> 32 < n->duplicate) {
        step.at_us += 200 + ((again & 0xffffffffu) * 2800 >> 32);
        wait_for(s, step);
    }
}

/* True when nothing that is still to be said can come before what waits. */
static bool is_next(const struct sf_script *s)
{
    if (s->waiting_n == 0) {
        return false;
    }
    uint64_t at_us = s->waiting[s->waiting_n - 1].at_us;
    uint64_t least_us = (uint64_t)s->interval * s->samples * 125u;
    if (s->network.jitter_us > 0 && least_us < s->queue_us) {
        least_us = s->queue_us;
    }
    return s->interval >= s->count || at_us <= least_us || s->waiting_n + 2 > SF_SCRIPT_WAITING;
}

bool sf_script_next(struct sf_script *s)
{
    while (!is_next(s)) {
        if (s->interval >= s->count) {
            return false;
        }
        say(s);
    }
    s->step = s->waiting[--s->waiting_n];
    return true;
}

bool sf_script_begin(struct sf_script *s)
{
    return sf_script_next(s);
}
