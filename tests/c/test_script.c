/*
 * Scripts: order, bounds, and what a network does to a stream, against a plain second writing of
 * the rule in script.h that keeps every packet in one list and sorts it.
 */
#include "draw.h"
#include "guard.h"
#include "script.h"

#include <string.h>

#define MOST 20000

static struct sf_step expected[2 * MOST];
static size_t expected_n;

static uint64_t share(uint64_t half, uint64_t of)
{
    return half * of >> 32;
}

static void expect(const struct sf_script *s)
{
    const struct sf_impairment *n = &s->network;
    uint64_t interval = s->samples * 125u, queue = 0;
    bool lost = false;
    expected_n = 0;
    for (uint32_t i = 0; i < s->count; i++) {
        uint64_t d[4];
        for (unsigned k = 0; k < 4; k++) {
            d[k] = sf_draw(s->chance, 4ull * i + k);
        }
        bool end = i == 0 || i + 1 == s->count;
        lost = !end && d[0] >> 32 < (lost ? n->burst : n->loss);
        if (lost) {
            continue;
        }
        uint64_t at =
            i * interval + share(d[1] & 0xffffffffu, 500) + share(d[1] >> 32, n->jitter_us + 1ull);
        if (n->jitter_us > 0 && at < queue) {
            at = queue;
        }
        if (d[2] >> 32 < n->reorder) {
            at += interval * 13 / 10 + share(d[2] & 0xffffffffu, interval * 13 / 10);
        } else {
            queue = at;
        }
        expected[expected_n++] = (struct sf_step){.at_us = at, .sequence = (uint16_t)i};
        if (d[3] >> 32 < n->duplicate) {
            at += 200 + share(d[3] & 0xffffffffu, 2800);
            expected[expected_n++] = (struct sf_step){.at_us = at, .sequence = (uint16_t)i};
        }
    }
}

static bool is_expected(struct sf_step step)
{
    for (size_t i = 0; i < expected_n; i++) {
        if (expected[i].at_us == step.at_us && expected[i].sequence == step.sequence) {
            expected[i] = expected[--expected_n];
            return true;
        }
    }
    return false;
}

static void follow(struct sf_script *s)
{
    uint64_t before = 0;
    uint32_t most = 0;
    bool more = sf_script_begin(s);
    while (more) {
        CHECK(s->step.at_us >= before);
        CHECK(s->step.media == (uint32_t)s->step.sequence * s->samples);
        CHECK(is_expected(s->step));
        before = s->step.at_us;
        most = s->waiting_n > most ? s->waiting_n : most;
        more = sf_script_next(s);
    }
    CHECK(expected_n == 0 && s->waiting_n == 0);
    CHECK(most + 2 < SF_SCRIPT_WAITING);
    CHECK(!sf_script_next(s));
}

static void every_network_is_as_the_rule_says(void)
{
    static const uint32_t chances[] = {0, 1u << 25, 1u << 28, 1u << 31, UINT32_MAX};
    static const uint32_t jitters[] = {0, 3000, 40000, SF_SCRIPT_JITTER_US};
    for (unsigned k = 0; k < 5 * 5 * 5 * 4; k++) {
        struct sf_script *s = calloc(1, sizeof *s); /* the sanitizer guards its end */
        CHECK(s != NULL);
        s->chance = 1000 + k;
        s->count = 400;
        s->samples = k % 2 ? 80 : 480;
        s->network = (struct sf_impairment){.loss = chances[k % 5] / 2,
                                            .burst = chances[k / 5 % 5] / 2,
                                            .reorder = chances[k / 25 % 5],
                                            .duplicate = chances[(k + 2) % 5],
                                            .jitter_us = jitters[k / 125]};
        expect(s);
        follow(s);
        free(s);
    }
}

/* Shares are met, and losses of a burst stand together. */
static void losses_are_as_frequent_as_asked(void)
{
    struct sf_script s = {.chance = 3, .count = MOST, .samples = 160};
    /* 5 percent, in bursts of 4: one begins at 5 / 95 / 4 of the packets that arrive. */
    s.network.burst = (uint32_t)(0.75 * 4294967296.0);
    s.network.loss = (uint32_t)(0.05 * 0.25 / 0.95 * 4294967296.0);
    uint32_t lost = 0, bursts = 0, before = 0;
    bool more = sf_script_begin(&s);
    CHECK(more && s.step.sequence == 0);
    while ((more = sf_script_next(&s))) {
        uint32_t gap = s.step.sequence - before - 1;
        lost += gap;
        bursts += gap > 0;
        before = s.step.sequence;
    }
    CHECK(before == MOST - 1);
    CHECK(lost > MOST * 4 / 100 && lost < MOST * 6 / 100);
    CHECK(lost > 3 * bursts && lost < 5 * bursts);
}

static void silence_and_brevity(void)
{
    static uint8_t activity[20];
    activity[5] = 1;
    struct sf_script s = {.count = 100, .samples = 160, .activity = activity, .loop = 1600};
    uint32_t sent = 0;
    bool more = sf_script_begin(&s);
    CHECK(more && s.step.media == 0 && s.step.flags == SF_STEP_MARKER);
    while ((more = sf_script_next(&s))) {
        sent++;
        CHECK(s.step.sequence == sent && s.step.media / 160 % 10 == 2);
        CHECK(s.step.flags == SF_STEP_MARKER);
    }
    CHECK(sent == 10);
    struct sf_script none = {.count = 0, .samples = 160};
    CHECK(!sf_script_begin(&none));
    struct sf_script one = {.count = 1, .samples = 160, .digits_n = 4};
    one.network.loss = UINT32_MAX;
    CHECK(sf_script_begin(&one) && !sf_script_next(&one));
}

int main(void)
{
    every_network_is_as_the_rule_says();
    losses_are_as_frequent_as_asked();
    silence_and_brevity();
    puts("ok script");
    return 0;
}
