/*
 * The sender against a socket of our own: everything handed over goes out once, in order, in sound
 * datagrams within the budget, however it is packed; what the kernel cuts apart arrives as it was
 * written, and so it does when it refuses; and places are used again.
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include "cast.h"
#include "crc32c.h"
#include "guard.h"
#include "loopback.h"
#include "rtp.h"
#include "sender.h"

#include <netinet/udp.h>

#define START 1780000000000000ull
#define CALLS 200

/* Takes what came as one message into `octets`, of 65536; gives its length, -1 when nothing is
 * left, and the length of the datagrams in it: of one, or with UDP_GRO of many of which the last is
 * shorter. */
static ssize_t take(uint8_t *octets, size_t *length)
{
    _Alignas(struct cmsghdr) char control[CMSG_SPACE(sizeof(int))];
    struct iovec vector = {.iov_base = octets, .iov_len = 65536};
    struct msghdr message = {.msg_iov = &vector,
                             .msg_iovlen = 1,
                             .msg_control = control,
                             .msg_controllen = sizeof control};
    ssize_t n = recvmsg(in, &message, MSG_DONTWAIT);
    if (n < 0) {
        return n;
    }
    *length = (size_t)n;
    struct cmsghdr *head = CMSG_FIRSTHDR(&message);
    if (head != NULL && head->cmsg_level == IPPROTO_UDP && head->cmsg_type == UDP_GRO) {
        int cut;
        memcpy(&cut, CMSG_DATA(head), sizeof cut);
        *length = (size_t)cut;
        CHECK(((size_t)n + *length - 1) / *length <= 64);
    }
    return n;
}

/* What came, and how far each call has come. */
struct heard {
    uint64_t sip, rtp, datagrams;
    uint64_t uncut; /* messages of several datagrams */
    uint32_t sum;   /* of all datagrams and their lengths, in the order they came */
    size_t largest;
    bool in_order;              /* whether each of them must come in order */
    uint64_t last_us[CALLS][2]; /* of its dialog and of its stream */
};

static unsigned number_of(struct sf_slice call_id)
{
    for (unsigned i = 0; i < CALLS; i++) {
        char id[17];
        snprintf(id, sizeof id, "%016llx", (unsigned long long)sf_draw(i, 16));
        if (sf_slice_eq(call_id, sf_slice(id, 16))) {
            return i;
        }
    }
    CHECK(false);
    return 0;
}

static void hear_one(struct heard *heard, const uint8_t *datagram, size_t n)
{
    struct sf_datagram opened;
    struct sf_slice octets;
    uint32_t length = (uint32_t)n;
    CHECK(sf_datagram_open(sf_slice(datagram, n), &opened) == SF_OK);
    heard->datagrams++;
    heard->largest = n > heard->largest ? n : heard->largest;
    heard->sum = sf_crc32c(heard->sum, &length, sizeof length);
    heard->sum = sf_crc32c(heard->sum, datagram, n);
    while (sf_datagram_next(&opened, &octets)) {
        struct sf_packet packet;
        CHECK(sf_packet_parse(octets, &packet) == SF_OK);
        unsigned i = number_of(packet.call_id);
        CHECK(!heard->in_order || packet.time_us >= heard->last_us[i][packet.kind]);
        CHECK(!heard->in_order || packet.kind == SF_SIP || heard->last_us[i][SF_SIP] != 0);
        heard->last_us[i][packet.kind] = packet.time_us;
        heard->sip += packet.kind == SF_SIP;
        heard->rtp += packet.kind == SF_RTP;
    }
}

static void hear(struct heard *heard)
{
    static uint8_t octets[65536];
    ssize_t n;
    size_t length;
    while ((n = take(octets, &length)) >= 0) {
        heard->uncut += length < (size_t)n;
        for (size_t at = 0; at < (size_t)n; at += length) {
            size_t left = (size_t)n - at;
            hear_one(heard, octets + at, left < length ? left : length);
        }
    }
}

static struct sf_sender_settings settings(void)
{
    return (struct sf_sender_settings){
        .fd = out, .budget = SF_SENDER_BUDGET, .tick_us = 1000, .origin_us = START};
}

/* Sends calls of different lengths, unpaced, a little at a time so that the socket keeps them. */
static struct heard send_calls(struct sf_sender_settings set, uint64_t *expected_rtp)
{
    struct cast *c = cast_make();
    struct sf_sender *sender = sf_sender_new(&set);
    struct heard heard = {.in_order = true};
    CHECK(sender != NULL && sf_sender_add_mould(sender, &c->mould));
    CHECK(sf_sender_moulds(sender) == 1);
    *expected_rtp = 0;
    for (uint64_t i = 0; i < CALLS; i++) {
        struct sf_planned planned = {
            .call = {.key = i, .start_us = START + i * 25000, .span_us = 100000 + i * 1000},
            .lines = 1};
        struct sf_talker t;
        struct sf_script script;
        CHECK(sf_sender_add_call(sender, &planned));
        if (!set.sip_only && sf_mould_cast(&c->mould, &planned.call, 0, &t, &script)) {
            *expected_rtp += t.count;
        }
    }
    CHECK(sf_sender_left(sender) == CALLS);
    for (uint64_t clock = START; sf_sender_left(sender) > 0; clock += 20000) {
        CHECK(clock < START + 20000000);
        CHECK(sf_sender_run(sender, clock));
        hear(&heard);
    }
    const struct sf_sent *sent = sf_sender_sent(sender);
    CHECK(sent->sip == heard.sip && sent->rtp == heard.rtp && sent->datagrams == heard.datagrams);
    CHECK(sent->errors == 0 && sent->unsent == 0);
    sf_sender_free(sender);
    return heard;
}

static void all_of_it_goes_out_however_it_is_packed(void)
{
    for (unsigned mode = 0; mode < 7; mode++) {
        struct sf_sender_settings set = settings();
        set.single = mode == 1 || mode >= 5;
        set.offload = mode == 2 || mode >= 5;
        set.sip_only = mode == 3;
        set.budget = mode == 4 ? 100 : SF_SENDER_BUDGET;
        set.speed = mode == 6 ? 100 : 0; /* a tick holds a message and what follows it */
        uint64_t rtp;
        struct heard heard = send_calls(set, &rtp);
        CHECK(heard.sip == 2 * CALLS && heard.rtp == rtp);
        CHECK(mode == 3 ? rtp == 0 : rtp > 5 * CALLS);
        if (mode == 1 || mode >= 4) { /* 4: no frame fits: each goes alone */
            CHECK(heard.datagrams == heard.sip + heard.rtp);
        } else {
            CHECK(heard.largest <= SF_SENDER_BUDGET && heard.datagrams < heard.sip + heard.rtp);
        }
    }
}

/* The same datagrams in the same order, octet by octet, whoever cuts them. */
static void batches_arrive_as_written_when_the_kernel_cuts_them(void)
{
    uint64_t rtp;
    struct sf_sender_settings set = settings();
    struct heard plain = send_calls(set, &rtp);
    CHECK(plain.uncut == 0 && plain.datagrams > 100);
    set.offload = true;
    for (int gro = 0; gro < 2; gro++) {
        CHECK(setsockopt(in, IPPROTO_UDP, UDP_GRO, &gro, sizeof gro) == 0);
        struct heard cut = send_calls(set, &rtp);
        CHECK(cut.datagrams == plain.datagrams && cut.sum == plain.sum);
        CHECK(gro ? cut.uncut > 0 && cut.uncut < cut.datagrams / 2 : cut.uncut == 0);
    }
    int off = 0;
    CHECK(setsockopt(in, IPPROTO_UDP, UDP_GRO, &off, sizeof off) == 0);
}

/* Far more than a block of the wheel holds, due together and due behind the wheel's horizon. */
static void many_streams_at_once_and_late_ones(void)
{
    enum { STREAMS = 1000 };
    struct cast *c = cast_make();
    struct sf_sender_settings set = settings();
    struct sf_sender *sender = sf_sender_new(&set);
    struct heard heard = {0};
    for (unsigned i = 0; i < STREAMS; i++) {
        struct sf_call call = {.key = i % CALLS, .start_us = START, .span_us = 90000};
        struct sf_script *script = calloc(1, sizeof *script);
        struct sf_talker t;
        CHECK(script != NULL && sf_mould_cast(&c->mould, &call, 0, &t, script));
        t.count = 3;
        t.capture_us = START + (i % 3 == 0 ? 0 : i % 3 == 1 ? 5000 : 9000000); /* twice around */
        if (i % 2) {
            *script = (struct sf_script){.chance = i, .count = 3, .samples = 160};
            CHECK(sf_script_begin(script));
            t.script = script;
            t.flags = SF_TALKER_SCRIPTED;
        }
        CHECK(sf_sender_add_talker(sender, &t));
        free(script); /* the sender has its own */
    }
    for (uint64_t clock = START; sf_sender_left(sender) > 0; clock += 1000) {
        CHECK(clock < START + 10000000);
        CHECK(sf_sender_run(sender, clock));
        hear(&heard);
    }
    CHECK(heard.rtp == 3 * STREAMS && heard.sip == 0);
    sf_sender_free(sender);
}

enum { MANY = 240, ALIKE = 100 };

/* Streams of many lengths, ALIKE of them of one, some with packets of two lengths. The capture
 * times of most of them have several packets in a millisecond. */
static void make_streams(struct sf_talker *talkers, struct sf_script *scripts)
{
    struct cast *c = cast_make();
    for (uint32_t i = 0; i < MANY; i++) {
        struct sf_call call = {.key = i % CALLS, .start_us = START, .span_us = 90000};
        struct sf_talker *t = &talkers[i];
        CHECK(sf_mould_cast(&c->mould, &call, 0, t, &scripts[i]));
        t->samples = (uint16_t)(i < ALIKE ? 80 : 2 + i % 70);
        t->count = i < ALIKE ? 2 : 5;
        t->capture_us = START + i % 7 * 100;
        t->ssrc = i;
        sf_store_be32(t->head + t->head_octets - 4, i);
        uint32_t payload = SF_TALKER_RTP + t->samples;
        sf_store_be32(t->head + t->head_octets - SF_TALKER_RTP - 4, payload);
        if (i % 3 == 0) {
            t->count = 30;
            scripts[i] = (struct sf_script){
                .chance = i,
                .count = 30,
                .samples = t->samples,
                .digits_n = 1,
                .network = {.jitter_us = 9000, .reorder = 1u << 31, .duplicate = 1u << 30}};
            CHECK(sf_script_begin(&scripts[i]));
            t->script = &scripts[i];
            t->flags = SF_TALKER_SCRIPTED;
        }
    }
}

static unsigned packets_of(const struct sf_talker *talker)
{
    struct sf_talker t = *talker;
    uint8_t frame[SF_TALKER_ROOM];
    struct sf_script script;
    unsigned n = 0;
    if (t.script != NULL) {
        script = *t.script;
        t.script = &script;
    }
    for (; t.at < t.count; n++) {
        sf_talker_write(&t, frame);
    }
    return n;
}

/* Compares a datagram with the next frame of the stream that it says it is of. */
static void expect(struct sf_talker *talkers, const uint8_t *datagram, size_t n)
{
    uint8_t frame[SF_TALKER_ROOM + 64];
    struct sf_packet packet;
    CHECK(sf_packet_parse(sf_slice(datagram, n), &packet) == SF_OK);
    CHECK(packet.payload.n >= SF_TALKER_RTP);
    uint32_t i = sf_load_be32(packet.payload.p + 8);
    CHECK(i < MANY && talkers[i].at < talkers[i].count);
    size_t size = (size_t)(sf_talker_write(&talkers[i], frame) - frame);
    CHECK(n == size && memcmp(datagram, frame, n) == 0);
}

/* Compares what came with the streams; gives how many messages came uncut (UDP_GRO). */
static unsigned hear_uncut(struct sf_talker *talkers, unsigned *datagrams)
{
    static uint8_t octets[65536];
    unsigned uncut = 0;
    ssize_t n;
    size_t length;
    while ((n = take(octets, &length)) >= 0) {
        uncut += length < (size_t)n;
        for (size_t at = 0; at < (size_t)n; at += length) {
            size_t left = (size_t)n - at;
            expect(talkers, octets + at, left < length ? left : length);
            ++*datagrams;
        }
    }
    return uncut;
}

/* With `gro` the socket shows what came in one piece; without, it is given every datagram. */
static unsigned send_streams(bool offload, int gro, int no_check)
{
    static struct sf_talker talkers[MANY];
    static struct sf_script scripts[MANY];
    struct sf_sender_settings set = settings();
    unsigned uncut = 0, datagrams = 0, packets = 0;
    set.single = true;
    set.offload = offload;
    make_streams(talkers, scripts);
    CHECK(setsockopt(in, IPPROTO_UDP, UDP_GRO, &gro, sizeof gro) == 0);
    CHECK(setsockopt(out, SOL_SOCKET, SO_NO_CHECK, &no_check, sizeof no_check) == 0);
    struct sf_sender *sender = sf_sender_new(&set);
    CHECK(sender != NULL);
    for (unsigned i = 0; i < MANY; i++) {
        CHECK(sf_sender_add_talker(sender, &talkers[i]));
        packets += packets_of(&talkers[i]);
    }
    for (uint64_t clock = START; sf_sender_left(sender) > 0; clock += 1000) {
        CHECK(clock < START + 1000000);
        CHECK(sf_sender_run(sender, clock));
        uncut += hear_uncut(talkers, &datagrams);
    }
    const struct sf_sent *sent = sf_sender_sent(sender);
    CHECK(sent->rtp == packets && sent->datagrams == packets && datagrams == packets);
    CHECK(sent->errors == 0 && sent->unsent == 0);
    sf_sender_free(sender);
    int off = 0;
    CHECK(setsockopt(in, IPPROTO_UDP, UDP_GRO, &off, sizeof off) == 0);
    CHECK(setsockopt(out, SOL_SOCKET, SO_NO_CHECK, &off, sizeof off) == 0);
    return uncut;
}

static void single_frames_are_cut_by_the_kernel_and_arrive_as_written(void)
{
    CHECK(send_streams(true, 0, 0) == 0);
    /* ALIKE frames of one millisecond are more than one message takes. */
    CHECK(send_streams(true, 1, 0) >= 2);
    CHECK(send_streams(false, 1, 0) == 0);
    /* The kernel cuts nothing for a socket without checksums. */
    CHECK(send_streams(true, 1, 1) == 0);
}

/* What is still to be sent is freed with the sender. */
static void a_sender_can_go_at_any_time(void)
{
    struct cast *c = cast_make();
    struct sf_sender_settings set = settings();
    struct sf_sender *sender = sf_sender_new(&set);
    struct sf_script script = {.chance = 1, .count = 2, .samples = 160};
    struct sf_script other;
    struct sf_call call = {.key = 1, .start_us = START, .span_us = 90000};
    struct sf_talker t;
    CHECK(sf_mould_cast(&c->mould, &call, 0, &t, &other));
    CHECK(sf_script_begin(&script));
    t.script = &script;
    t.flags = SF_TALKER_SCRIPTED;
    t.count = 2;
    CHECK(sf_sender_add_mould(sender, &c->mould));
    CHECK(sf_sender_add_talker(sender, &t));
    CHECK(sf_sender_add_call(sender, &(struct sf_planned){.call = call, .lines = 1}));
    CHECK(sf_sender_run(sender, START + 1000));
    CHECK(sf_sender_left(sender) > 0);
    CHECK(sf_sender_free(sender) == NULL && sf_sender_free(NULL) == NULL);
}

int main(void)
{
    open_sockets();
    all_of_it_goes_out_however_it_is_packed();
    batches_arrive_as_written_when_the_kernel_cuts_them();
    many_streams_at_once_and_late_ones();
    single_frames_are_cut_by_the_kernel_and_arrive_as_written();
    a_sender_can_go_at_any_time();
    puts("ok sender");
    return 0;
}
