/*
 * Moulds: what is stamped is a sound frame whose holes hold what was drawn, whatever the form and
 * width; and a mould that would read or write elsewhere is refused.
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include "cast.h"
#include "guard.h"
#include "jump.h"
#include "rtp.h"

#include <inttypes.h>

#define START 1780000000000000ull

static const struct sf_call call = {.key = 42, .start_us = START, .span_us = 1000000};

/* The generator's published first outputs for a seed of 0. */
static void draws_are_splitmix64(void)
{
    CHECK(sf_draw(0, 0) == 0xe220a8397b1dcdafu);
    CHECK(sf_draw(0, 1) == 0x6e789e6aa1b965f4u);
    CHECK(sf_draw(0, 2) == 0x06c45d188009454fu);
    for (uint64_t k = 0; k < 10000; k++) {
        CHECK(sf_draw_below(7, k, 10) < 10);
    }
}

static struct sf_packet frame(const struct cast *c, size_t i)
{
    static uint8_t *room;
    free(room);
    room = malloc(c->mould.sayings[i].n); /* the sanitizer guards its end */
    CHECK(room != NULL);
    CHECK(sf_mould_write(&c->mould, &call, i, room) == room + c->mould.sayings[i].n);
    struct sf_packet packet;
    CHECK(sf_packet_parse(sf_slice(room, c->mould.sayings[i].n), &packet) == SF_OK);
    return packet;
}

static void messages_are_filled(void)
{
    struct cast *c = cast_make();
    char id[17], first[128], last[128];
    CHECK(sf_mould_fault(&c->mould) == NULL);
    snprintf(id, sizeof id, "%016" PRIx64, sf_draw(call.key, 16));
    uint32_t user = 1000 + sf_draw_below(call.key, 17, 9000);
    snprintf(first, sizeof first, "INVITE sip:%u@h SIP/2.0\r\nCall-ID: %s\r\n\r\n", user, id);
    snprintf(last, sizeof last, "BYE sip:%u@h SIP/2.0\r\nCall-ID: %s\r\n\r\n", user, id);

    struct sf_packet packet = frame(c, 0);
    CHECK(packet.kind == SF_SIP && packet.time_us == START && packet.src_port == 5060);
    CHECK_TEXT(packet.call_id, id);
    CHECK_TEXT(packet.payload, first);
    packet = frame(c, 1);
    uint64_t early = START + call.span_us - packet.time_us;
    CHECK(early >= 750 && early < 1250); /* a millisecond before the end, by the call's tempo */
    CHECK_TEXT(packet.call_id, id);
    CHECK_TEXT(packet.payload, last);
}

/* What a field writes, against printf, at every width. */
static void fields_of_every_form_and_width(void)
{
    uint64_t limit = 1;
    for (uint8_t width = 1; width <= SF_FIELD_WIDTH; width++) {
        limit *= width <= 9 ? 10 : 1;
        for (uint64_t key = 0; key < 300; key++) {
            struct cast *c = cast_make();
            struct sf_call own = {.key = key, .start_us = START, .span_us = 1000000};
            uint8_t out[1024];
            char expected[24];
            uint8_t *hole = out + c->patches[0].at;
            c->fields[0] = (struct sf_field){.draw = 30, .form = SF_HEX, .width = width};
            CHECK(sf_mould_fault(&c->mould) == NULL);
            sf_mould_write(&c->mould, &own, 0, out);
            snprintf(expected, sizeof expected, "%0*" PRIx64, width,
                     sf_draw(key, 30) >> (64 - 4 * width));
            CHECK(memcmp(hole, expected, width) == 0);
            CHECK(width == 16 || hole[width] == 'X');

            uint32_t count = width <= 9 ? (uint32_t)limit : UINT32_MAX;
            c->fields[0] = (struct sf_field){
                .count = count, .step = 1, .draw = 30, .form = SF_DECIMAL, .width = width};
            bool fits = width >= 10 || count == limit;
            CHECK((sf_mould_fault(&c->mould) == NULL) == fits);
            sf_mould_write(&c->mould, &own, 0, out);
            snprintf(expected, sizeof expected, "%0*" PRIu32, width, sf_draw_below(key, 30, count));
            CHECK(memcmp(hole, expected, width) == 0);
            CHECK(width == 16 || hole[width] == 'X');
        }
    }
}

static void streams_are_cast_between_their_messages(void)
{
    struct cast *c = cast_make();
    struct sf_talker t;
    struct sf_script script;
    CHECK(sf_mould_cast(&c->mould, &call, 0, &t, &script));
    uint64_t until = sf_mould_time(&c->mould, &call, 1);
    CHECK(t.capture_us == START + 10000);
    CHECK(t.count == (until - t.capture_us) / 20000);
    CHECK(t.place < CAST_LOOP && t.activity == NULL && t.script == NULL && t.flags == 0);
    uint8_t room[SF_TALKER_ROOM];
    for (uint32_t sent = 0; t.at < t.count; sent++) {
        struct sf_packet packet;
        struct sf_rtp rtp;
        size_t size = sf_talker_size(&t);
        CHECK(sf_talker_write(&t, room) == room + size);
        CHECK(sf_packet_parse(sf_slice(room, size), &packet) == SF_OK);
        CHECK(sf_rtp_parse(packet.payload, &rtp));
        CHECK(packet.src_port == 30000 + 2 * sf_draw_below(call.key, 18, 15000));
        CHECK(rtp.ssrc == sf_draw(call.key, 20) >> 32 && rtp.payload_type == 8);
        CHECK(rtp.sequence == (uint16_t)((sf_draw(call.key, 21) >> 48) + sent));
        CHECK(rtp.timestamp == (uint32_t)((sf_draw(call.key, 22) >> 32) + sent * 160));
    }
    c->roles[0].quarters = 1;
    CHECK(sf_mould_cast(&c->mould, &call, 0, &t, &script));
    CHECK(t.count == (until - t.capture_us) / 4 / 20000);
    c->roles[0].suppressed = 1;
    CHECK(sf_mould_cast(&c->mould, &call, 0, &t, &script) && t.activity == c->activity);
    struct sf_call brief = {.key = 42, .start_us = START, .span_us = 20000};
    CHECK(!sf_mould_cast(&c->mould, &brief, 0, &t, &script)); /* no time for a packet */
    c->roles[0].suppressed = 0;
    c->roles[0].tail_us = 25000;
    CHECK(sf_mould_cast(&c->mould, &call, 0, &t, &script));
    CHECK(t.count == (until - 25000 - t.capture_us) / 4 / 20000);
}

/* A role with digits or a poor network has a script, which says the same whenever it is begun. */
static void scripted_streams_have_their_digits_and_their_losses(void)
{
    struct cast *c = cast_make();
    struct sf_call brief = {.key = 42, .start_us = START, .span_us = 3000000};
    struct sf_talker t;
    struct sf_script script;
    uint64_t chance = sf_draw(42, 23);
    c->roles[0].scripted = 1;
    c->roles[0].digits = 4;
    CHECK(sf_mould_fault(&c->mould) == NULL);
    CHECK(sf_mould_cast(&c->mould, &brief, 0, &t, &script));
    CHECK(t.flags == SF_TALKER_SCRIPTED && t.script == &script && script.digits_n == 4);
    for (unsigned i = 0; i < 4; i++) {
        CHECK(script.digits[i] == (chance >> (4 * i) & 15) % 12);
    }
    uint8_t room[SF_TALKER_ROOM];
    unsigned events = 0, all = 0;
    while (t.at < t.count) {
        struct sf_packet packet;
        struct sf_rtp rtp;
        size_t size = sf_talker_size(&t);
        CHECK(sf_talker_write(&t, room) == room + size);
        CHECK(sf_packet_parse(sf_slice(room, size), &packet) == SF_OK);
        CHECK(sf_rtp_parse(packet.payload, &rtp) && rtp.sequence == (uint16_t)(t.sequence + all));
        events += rtp.payload_type == 101;
        all++;
    }
    CHECK(all == script.count && events == 4 * 10);
    c->roles[0].digits = 0;
    c->roles[0].network = (struct sf_impairment){.loss = UINT32_MAX, .burst = UINT32_MAX};
    CHECK(sf_mould_cast(&c->mould, &brief, 0, &t, &script));
    for (all = 0; t.at < t.count; all++) {
        sf_talker_write(&t, room);
    }
    CHECK(all == 2); /* the first and the last */
}

/* Jump hash of the Call-ID that the frames have. */
static void a_line_is_placed_by_its_call_id(void)
{
    struct cast *c = cast_make();
    uint8_t call_id[SF_CALL_ID];
    unsigned at[3] = {0};
    for (uint64_t key = 0; key < 300; key++) {
        char id[17];
        snprintf(id, sizeof id, "%016" PRIx64, sf_draw(key, 16));
        CHECK(sf_mould_call_id(&c->mould, key, 0, call_id) == 16 && memcmp(call_id, id, 16) == 0);
        int32_t node = sf_mould_node(&c->mould, key, 0, 3);
        CHECK(node == sf_jump(sf_slice(id, 16), 3));
        at[node]++;
    }
    CHECK(at[0] > 60 && at[1] > 60 && at[2] > 60);
}

static void refused(const char *what, struct cast *c)
{
    const char *fault = sf_mould_fault(&c->mould);
    if (fault == NULL) {
        fprintf(stderr, "taken: %s\n", what);
        exit(1);
    }
}

#define REFUSED(change)                                                                            \
    do {                                                                                           \
        struct cast *c = cast_make();                                                              \
        change;                                                                                    \
        refused(#change, c);                                                                       \
    } while (0)

static void what_leaves_its_array_is_refused(void)
{
    REFUSED(c->mould.sayings_n = 0);
    REFUSED(c->mould.octets_n -= 1);
    REFUSED(c->mould.patches_n -= 1);
    REFUSED(c->mould.fields_n = 2);
    REFUSED(c->mould.voices_n = 2);
    REFUSED(c->mould.speakers = 1);
    REFUSED(c->mould.time_at = 2000);
    REFUSED(c->sayings[1].octets_at = UINT32_MAX);
    REFUSED(c->sayings[1].n = UINT32_MAX);
    REFUSED(c->sayings[1].n = 10);
    REFUSED(c->sayings[1].patches_at = UINT32_MAX);
    REFUSED(c->sayings[1].patches_n = 100);
    REFUSED(c->patches[0].at = (uint16_t)c->sayings[0].n);
    REFUSED(c->patches[0].at = (uint16_t)(c->sayings[0].n - 15));
    REFUSED(c->patches[0].field = 3);
    REFUSED(c->fields[0].width = 0);
    REFUSED(c->fields[0].width = 17);
    REFUSED(c->fields[1].width = 3);
    REFUSED(c->fields[1].count = 9001);
    REFUSED(c->fields[1].count = 0);
    REFUSED(c->fields[2].step = 5);
    REFUSED(c->fields[2].form = 3);
    REFUSED(c->roles[0].n = SF_TALKER_HEAD + 1);
    REFUSED(c->roles[0].n = 40);
    REFUSED(c->roles[0].begin = 2);
    REFUSED(c->roles[0].end = 2);
    REFUSED(c->roles[0].samples = 0);
    REFUSED(c->roles[0].samples = 100);
    REFUSED(c->roles[0].samples = 560);
    REFUSED(c->roles[0].quarters = 5);
    REFUSED(c->roles[0].quarters = 0);
    REFUSED(c->roles[0].speaker = 3);
    REFUSED(c->roles[0].first_voice = 1);
    REFUSED(c->roles[0].ticks = 0);
    REFUSED(c->roles[0].digits = SF_SCRIPT_DIGITS + 1);
    REFUSED(c->roles[0].network.jitter_us = SF_SCRIPT_JITTER_US + 1);
    REFUSED(c->sayings[0].line = 1);
    REFUSED(c->sayings[1].line = 1);
    REFUSED(c->mould.lines_n = 0);
    REFUSED(c->mould.lines_n = SF_LINES + 1);
    REFUSED(c->lines[0].n = SF_CALL_ID + 1);
    REFUSED(c->lines[0].n = 15);
    REFUSED(c->lines[0].octets_at = UINT32_MAX);
    REFUSED(c->lines[0].patches_at = UINT32_MAX);
    REFUSED(c->voices[1].frames = &(uint32_t){0});
}

int main(void)
{
    draws_are_splitmix64();
    messages_are_filled();
    fields_of_every_form_and_width();
    streams_are_cast_between_their_messages();
    scripted_streams_have_their_digits_and_their_losses();
    a_line_is_placed_by_its_call_id();
    what_leaves_its_array_is_refused();
    puts("ok mould");
    return 0;
}
