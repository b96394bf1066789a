/*
 * A small mould for tests: two messages and a stream between them.
 *
 * Owns:    its arrays, which are static.
 * Lends:   the mould,
 * Until:   the end of the program.
 * Threads: one.
 */
#ifndef SF_TEST_CAST_H
#define SF_TEST_CAST_H

#include "mould.h"
#include "packet.h"

#define CAST_LOOP  1600u
#define CAST_FIRST "INVITE sip:0000@h SIP/2.0\r\nCall-ID: XXXXXXXXXXXXXXXX\r\n\r\n"
#define CAST_LAST  "BYE sip:0000@h SIP/2.0\r\nCall-ID: XXXXXXXXXXXXXXXX\r\n\r\n"

/* Everything may be changed by a test before it is asked for. */
struct cast {
    uint8_t octets[1024];
    struct sf_field fields[4];
    struct sf_patch patches[16];
    struct sf_saying sayings[2];
    struct sf_role roles[1];
    struct sf_line lines[1];
    struct sf_voice voices[3];
    uint8_t audio[CAST_LOOP + SF_TALKER_TAIL];
    uint8_t activity[CAST_LOOP / SF_TALKER_WINDOW];
    size_t octets_n, patches_n;
    struct sf_mould mould;
};

static inline void cast_hole(struct cast *c, const uint8_t *frame, const uint8_t *from,
                             const char *text, size_t n, uint16_t field)
{
    const uint8_t *at = memmem(from, (size_t)(c->octets + sizeof c->octets - from), text, n);
    c->patches[c->patches_n++] = (struct sf_patch){.at = (uint16_t)(at - frame), .field = field};
}

/* Appends a frame; gives its size. */
static inline uint32_t cast_frame(struct cast *c, uint8_t kind, struct sf_slice payload)
{
    struct sf_packet packet = {
        .leg = 1,
        .kind = kind,
        .family = SF_IPV4,
        .has_metadata = true,
        .src_port = 5060,
        .src = {192, 0, 2, 1},
        .dst = {192, 0, 2, 2},
        .call_id = sf_slice("XXXXXXXXXXXXXXXX", 16),
        .payload = payload,
    };
    uint8_t *at = c->octets + c->octets_n;
    uint32_t n = (uint32_t)(sf_packet_encode(&packet, 3, at) - at);
    c->octets_n += n;
    return n;
}

static inline struct cast *cast_make(void)
{
    static struct cast c;
    static const char *texts[] = {CAST_FIRST, CAST_LAST};
    memset(&c, 0, sizeof c);
    for (unsigned i = 0; i < sizeof c.audio; i++) {
        c.audio[i] = (uint8_t)(i % CAST_LOOP * 7 + i % CAST_LOOP / 256);
    }
    for (unsigned i = 0; i < 3; i++) {
        c.voices[i] =
            (struct sf_voice){.audio = c.audio, .activity = c.activity, .loop = CAST_LOOP};
    }
    c.fields[0] = (struct sf_field){.draw = 16, .form = SF_HEX, .width = 16};
    c.fields[1] = (struct sf_field){
        .low = 1000, .count = 9000, .step = 1, .draw = 17, .form = SF_DECIMAL, .width = 4};
    c.fields[2] = (struct sf_field){
        .low = 30000, .count = 15000, .step = 2, .draw = 18, .form = SF_BINARY, .width = 2};
    for (unsigned i = 0; i < 2; i++) {
        const uint8_t *at = c.octets + c.octets_n;
        uint32_t octets_at = (uint32_t)c.octets_n, patches_at = (uint32_t)c.patches_n;
        uint32_t n = cast_frame(&c, SF_SIP, sf_slice(texts[i], strlen(texts[i])));
        cast_hole(&c, at, at, "XXXX", 4, 0);
        cast_hole(&c, at, at + 60, "XXXX", 4, 0);
        cast_hole(&c, at, at, "0000", 4, 1);
        c.sayings[i] = (struct sf_saying){
            .octets_at = octets_at, .n = n, .patches_at = patches_at, .patches_n = 3};
    }
    c.sayings[1].when = (struct sf_moment){.at_us = 1000, .share = 1000, .from_end = 1};
    static const uint8_t rtp[SF_TALKER_RTP] = {0x80};
    const uint8_t *at = c.octets + c.octets_n;
    c.roles[0] = (struct sf_role){
        .octets_at = (uint32_t)c.octets_n,
        .patches_at = (uint32_t)c.patches_n,
        .patches_n = 2,
        .lag_us = 10000,
        .begin = 0,
        .end = 1,
        .samples = 160,
        .draw = 20,
        .payload_type = 8,
        .speaker = SF_CALLER,
        .quarters = 4,
        .ticks = 1,
        .event_type = 101,
    };
    c.roles[0].n = cast_frame(&c, SF_RTP, sf_slice(rtp, sizeof rtp));
    sf_store_be32(c.octets + c.octets_n - SF_TALKER_RTP - 4, SF_TALKER_RTP + 160);
    cast_hole(&c, at, at, "XXXX", 4, 0);
    c.patches[c.patches_n++] = (struct sf_patch){.at = 9, .field = 2}; /* the source's port */
    c.lines[0] = (struct sf_line){.octets_at = (uint32_t)c.octets_n,
                                  .n = 16,
                                  .patches_at = (uint32_t)c.patches_n,
                                  .patches_n = 1};
    memcpy(c.octets + c.octets_n, "XXXXXXXXXXXXXXXX", 16);
    c.octets_n += 16;
    c.patches[c.patches_n++] = (struct sf_patch){.at = 0, .field = 0};
    c.mould = (struct sf_mould){
        .octets = c.octets,
        .fields = c.fields,
        .patches = c.patches,
        .sayings = c.sayings,
        .roles = c.roles,
        .lines = c.lines,
        .voices = c.voices,
        .octets_n = c.octets_n,
        .fields_n = 3,
        .patches_n = c.patches_n,
        .sayings_n = 2,
        .roles_n = 1,
        .lines_n = 1,
        .voices_n = 3,
        .speakers = 2,
        .time_at = 17,
    };
    return &c;
}

#endif
