/* Talkers: every packet of a stream as RFC 3550 has it, and nothing touched beyond the stated room.
 */
#include "guard.h"
#include "packet.h"
#include "rtp.h"
#include "talker.h"

#define LOOP  1600u
#define START 1780000000000000ull
#define HEAD  65 /* of the frame below, without the RTP packet */

static uint8_t audio[LOOP + SF_TALKER_TAIL];
static uint8_t activity[LOOP / SF_TALKER_WINDOW];

/* A frame of version 3 without its payload, as encode_frame makes it, and the RTP header. */
static struct sf_talker talker(uint16_t samples, uint32_t count)
{
    struct sf_packet packet = {
        .client_id = 7,
        .leg = 1,
        .kind = SF_RTP,
        .family = SF_IPV4,
        .has_metadata = true,
        .src_port = 4000,
        .dst_port = 4002,
        .src = {192, 0, 2, 1},
        .dst = {192, 0, 2, 2},
        .call_id = sf_slice("0123456789abcdefghij", 20),
    };
    struct sf_talker t = {
        .audio = audio,
        .capture_us = START,
        .count = count,
        .loop = LOOP,
        .place = 1500,
        .ssrc = 0xcafebabe,
        .timestamp = 0xffffff00,
        .sequence = 65530,
        .samples = samples,
        .type = 0x80 | 8,
        .event_type = 101,
        .ticks = 1,
        .time_at = 17,
    };
    uint8_t *end = sf_packet_encode(&packet, 3, t.head);
    sf_store_be32(end - 4, SF_TALKER_RTP + (uint32_t)samples);
    *end = 0x80;
    sf_store_be32(end + 8, t.ssrc);
    t.head_octets = (uint8_t)(end - t.head + SF_TALKER_RTP);
    CHECK(t.head_octets == HEAD + SF_TALKER_RTP);
    return t;
}

/* Writes the next packet into memory that ends where the room does, and reads it back. */
static struct sf_packet next(struct sf_talker *t, struct sf_rtp *rtp)
{
    static uint8_t *room;
    free(room);
    room = malloc(SF_TALKER_ROOM);
    CHECK(room != NULL);
    size_t size = sf_talker_size(t);
    struct sf_packet packet;
    CHECK(sf_talker_write(t, room) == room + size);
    CHECK(sf_packet_parse(sf_slice(room, size), &packet) == SF_OK);
    CHECK(packet.kind == SF_RTP && packet.leg == 1 && packet.client_id == 7);
    CHECK(packet.src_port == 4000 && packet.dst_port == 4002);
    CHECK_TEXT(packet.call_id, "0123456789abcdefghij");
    CHECK(sf_rtp_parse(packet.payload, rtp) && rtp->ssrc == 0xcafebabe);
    return packet;
}

static void plain_streams_count_on_through_every_wrap(void)
{
    static const uint16_t lengths[] = {80, 160, 240, 320, 480};
    for (unsigned k = 0; k < sizeof lengths / sizeof *lengths; k++) {
        uint16_t samples = lengths[k];
        struct sf_talker t = talker(samples, 40);
        for (uint32_t i = 0; i < 40; i++) {
            CHECK(t.at == i && t.at < t.count);
            CHECK(sf_talker_due(&t) == START + i * samples * 125ull);
            uint64_t time_us = sf_talker_time(&t);
            CHECK(time_us >= sf_talker_due(&t) && time_us < sf_talker_due(&t) + 512);
            struct sf_rtp rtp;
            struct sf_packet packet = next(&t, &rtp);
            CHECK(packet.time_us == time_us);
            CHECK(rtp.marker == (i == 0) && rtp.payload_type == 8);
            CHECK(rtp.sequence == (uint16_t)(65530 + i));
            CHECK(rtp.timestamp == 0xffffff00u + i * samples);
            CHECK(rtp.payload.n == samples);
            uint32_t place = (1500 + i * samples) % LOOP;
            CHECK(memcmp(rtp.payload.p, audio + place, samples) == 0);
        }
        CHECK(t.at == t.count);
    }
}

static void silence_is_left_out_and_time_goes_on(void)
{
    /* Windows of 10 ms; a packet of 20 ms begins at place 1500, in window 18. */
    memset(activity, 0, sizeof activity);
    activity[3] = 1;
    struct sf_talker t = talker(160, 30);
    t.activity = activity;
    uint32_t sent = 0, before = 0;
    while (t.at < t.count) {
        uint32_t i = t.at;
        struct sf_rtp rtp;
        struct sf_packet packet = next(&t, &rtp);
        CHECK(rtp.sequence == (uint16_t)(65530 + sent));
        CHECK(rtp.timestamp == 0xffffff00u + i * 160);
        CHECK(rtp.marker == (sent == 0 || i != before + 1));
        CHECK(packet.time_us - (START + i * 20000ull) < 512);
        uint32_t place = (1500 + i * 160) % LOOP;
        bool loud = place / 80 == 3 || (place + 80) / 80 == 3;
        CHECK(sent == 0 || loud);
        CHECK(memcmp(rtp.payload.p, audio + place, 160) == 0);
        before = i;
        sent++;
    }
    CHECK(sent == 1 + 3); /* once a loop of ten packets */
    memset(activity, 0, sizeof activity);
    t = talker(160, 30);
    t.activity = activity;
    struct sf_rtp rtp;
    next(&t, &rtp);
    CHECK(t.at == t.count); /* all silent: the first packet, and no more */
}

static void scripts_are_followed(void)
{
    struct sf_script script = {
        .chance = 7, .count = 60, .samples = 160, .digits_n = 1, .digits = {11}};
    struct sf_talker t = talker(160, 60);
    CHECK(sf_script_begin(&script));
    struct sf_script again = script;
    t.script = &script;
    t.flags = SF_TALKER_SCRIPTED;
    uint32_t events = 0;
    for (uint32_t i = 0; i < 60; i++) {
        struct sf_step step = again.step;
        CHECK(sf_talker_due(&t) == START + step.at_us && sf_talker_time(&t) == sf_talker_due(&t));
        struct sf_rtp rtp;
        struct sf_packet packet = next(&t, &rtp);
        bool event = i >= 30 && i < 40;
        CHECK(packet.time_us == START + step.at_us);
        CHECK(rtp.marker == (i == 0 || i == 30 || i == 40));
        CHECK(rtp.payload_type == (event ? 101 : 8));
        CHECK(rtp.sequence == (uint16_t)(65530 + i));
        CHECK(rtp.timestamp == 0xffffff00u + (event ? 30 : i) * 160);
        if (event) {
            uint16_t duration = (uint16_t)((i < 38 ? i - 29 : 8) * 160);
            uint8_t expected[] = {11, i < 37 ? 0x0a : 0x8a, (uint8_t)(duration >> 8),
                                  (uint8_t)duration};
            CHECK(rtp.payload.n == 4 && memcmp(rtp.payload.p, expected, 4) == 0);
            events++;
        } else {
            CHECK(rtp.payload.n == 160);
            CHECK(memcmp(rtp.payload.p, audio + (1500 + i * 160) % LOOP, 160) == 0);
        }
        CHECK(sf_script_next(&again) == (i < 59));
    }
    CHECK(t.at == t.count && events == 10);
}

/* Frames of their own lengths, and a clock of 48 kHz. */
static void frames_are_sent_whole_by_their_own_clock(void)
{
    uint32_t frames[LOOP / 160 + 1];
    for (uint32_t i = 0; i <= LOOP / 160; i++) {
        frames[i] = i * (i + 3); /* 4, 6, 8 octets and so on; the last ends at 130 */
    }
    struct sf_talker t = talker(160, 25);
    t.frames = frames;
    t.place = 1440;
    t.ticks = 6;
    t.flags = SF_TALKER_FRAMED;
    for (uint32_t i = 0; i < 25; i++) {
        struct sf_rtp rtp;
        uint32_t frame = (9 + i) % 10;
        next(&t, &rtp);
        CHECK(rtp.timestamp == 0xffffff00u + i * 960);
        CHECK(rtp.payload.n == frames[frame + 1] - frames[frame]);
        CHECK(memcmp(rtp.payload.p, audio + frames[frame], rtp.payload.n) == 0);
    }
    CHECK(t.at == t.count);
}

/* HEP: lengths and times stand elsewhere; what is behind the head is the same. */
static void frames_of_hep_have_their_lengths_and_times(void)
{
    static const uint8_t head[] = {
        'H', 'E', 'P', '3', 0, 0,                          /* total length */
        0,   0,   0,   9,   0, 10, 0xff, 0xff, 0xff, 0xff, /* seconds */
        0,   0,   0,   10,  0, 10, 0xff, 0xff, 0xff, 0xff, /* microseconds */
        0,   0,   0,   15,  0, 0,                          /* payload */
    };
    struct sf_script script = {.chance = 7, .count = 60, .samples = 160, .digits_n = 1};
    struct sf_talker t = talker(160, 60);
    CHECK(sf_script_begin(&script));
    t.script = &script;
    t.flags = SF_TALKER_SCRIPTED | SF_TALKER_HEP;
    t.capture_us = START + 999999;
    t.time_at = 12;
    memset(t.head, 0x80, sizeof t.head);
    memcpy(t.head, head, sizeof head);
    t.head_octets = sizeof head + SF_TALKER_RTP;
    for (uint32_t i = 0; i < 60; i++) {
        uint8_t *room = malloc(SF_TALKER_ROOM);
        CHECK(room != NULL);
        size_t size = sf_talker_size(&t);
        uint64_t time_us = sf_talker_time(&t);
        bool event = i >= 30 && i < 40;
        CHECK(size == sizeof head + SF_TALKER_RTP + (event ? 4 : 160));
        CHECK(sf_talker_write(&t, room) == room + size);
        CHECK(sf_load_be16(room + 4) == size);
        CHECK(sf_load_be32(room + 12) == time_us / 1000000);
        CHECK(sf_load_be32(room + 22) == time_us % 1000000);
        CHECK(sf_load_be16(room + 30) == size - 26);
        free(room);
    }
}

int main(void)
{
    for (unsigned i = 0; i < sizeof audio; i++) {
        audio[i] = (uint8_t)(i % LOOP * 7 + i % LOOP / 256);
    }
    plain_streams_count_on_through_every_wrap();
    silence_is_left_out_and_time_goes_on();
    scripts_are_followed();
    frames_are_sent_whole_by_their_own_clock();
    frames_of_hep_have_their_lengths_and_times();
    puts("ok talker");
    return 0;
}
