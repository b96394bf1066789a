/*
 * The sender against a socket of our own: everything handed over goes out once, in order, in sound
 * datagrams within the budget, however it is packed; and places are used again.
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include "cast.h"
#include "guard.h"
#include "rtp.h"
#include "sender.h"

#include <arpa/inet.h>
#include <sys/socket.h>

#define START 1780000000000000ull
#define CALLS 200

static int out, in;

static void open_sockets(void)
{
    struct sockaddr_in at = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t size = sizeof at;
    int room = 8 << 20;
    in = socket(AF_INET, SOCK_DGRAM, 0);
    out = socket(AF_INET, SOCK_DGRAM, 0);
    CHECK(in >= 0 && out >= 0);
    setsockopt(in, SOL_SOCKET, SO_RCVBUF, &room, sizeof room);
    CHECK(bind(in, (struct sockaddr *)&at, sizeof at) == 0);
    CHECK(getsockname(in, (struct sockaddr *)&at, &size) == 0);
    CHECK(connect(out, (struct sockaddr *)&at, sizeof at) == 0);
}

/* What came, and how far each call has come. */
struct heard {
    uint64_t sip, rtp, datagrams;
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

static void hear(struct heard *heard)
{
    static uint8_t datagram[65536];
    ssize_t n;
    while ((n = recv(in, datagram, sizeof datagram, MSG_DONTWAIT)) >= 0) {
        struct sf_datagram opened;
        struct sf_slice octets;
        CHECK(sf_datagram_open(sf_slice(datagram, (size_t)n), &opened) == SF_OK);
        heard->datagrams++;
        heard->largest = (size_t)n > heard->largest ? (size_t)n : heard->largest;
        while (sf_datagram_next(&opened, &octets)) {
            struct sf_packet packet;
            CHECK(sf_packet_parse(octets, &packet) == SF_OK);
            unsigned i = number_of(packet.call_id);
            CHECK(!heard->in_order || packet.time_us >= heard->last_us[i][packet.kind]);
            heard->last_us[i][packet.kind] = packet.time_us;
            heard->sip += packet.kind == SF_SIP;
            heard->rtp += packet.kind == SF_RTP;
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
            .call = {.key = i, .start_us = START + i * 25000, .span_us = 100000 + i * 1000}};
        struct sf_talker t;
        CHECK(sf_sender_add_call(sender, &planned));
        if (!set.sip_only && sf_mould_cast(&c->mould, &planned.call, 0, &t)) {
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
    for (unsigned mode = 0; mode < 5; mode++) {
        struct sf_sender_settings set = settings();
        set.single = mode == 1;
        set.offload = mode == 2;
        set.sip_only = mode == 3;
        set.budget = mode == 4 ? 100 : SF_SENDER_BUDGET;
        uint64_t rtp;
        struct heard heard = send_calls(set, &rtp);
        CHECK(heard.sip == 2 * CALLS && heard.rtp == rtp);
        CHECK(mode == 3 ? rtp == 0 : rtp > 5 * CALLS);
        if (mode == 1 || mode == 4) { /* no frame fits: each goes alone */
            CHECK(heard.datagrams == heard.sip + heard.rtp);
        } else {
            CHECK(heard.largest <= SF_SENDER_BUDGET && heard.datagrams < heard.sip + heard.rtp);
        }
    }
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
        struct sf_step *steps = calloc(3, sizeof *steps);
        struct sf_talker t;
        CHECK(steps != NULL && sf_mould_cast(&c->mould, &call, 0, &t));
        steps[1].at_us = 100;
        steps[2].at_us = 9000000; /* more than twice around */
        t.steps = i % 2 ? steps : NULL;
        t.count = 3;
        t.capture_us = START + (i % 3 == 0 ? 0 : 5000);
        CHECK(sf_sender_add_talker(sender, &t));
        free(steps); /* the sender has its own */
    }
    for (uint64_t clock = START; sf_sender_left(sender) > 0; clock += 1000) {
        CHECK(clock < START + 10000000);
        CHECK(sf_sender_run(sender, clock));
        hear(&heard);
    }
    CHECK(heard.rtp == 3 * STREAMS && heard.sip == 0);
    sf_sender_free(sender);
}

/* What is still to be sent is freed with the sender. */
static void a_sender_can_go_at_any_time(void)
{
    struct cast *c = cast_make();
    struct sf_sender_settings set = settings();
    struct sf_sender *sender = sf_sender_new(&set);
    struct sf_step steps[2] = {{.at_us = 0}, {.at_us = 1000}};
    struct sf_call call = {.key = 1, .start_us = START, .span_us = 90000};
    struct sf_talker t;
    CHECK(sf_mould_cast(&c->mould, &call, 0, &t));
    t.steps = steps;
    t.count = 2;
    CHECK(sf_sender_add_mould(sender, &c->mould));
    CHECK(sf_sender_add_talker(sender, &t));
    CHECK(sf_sender_add_call(sender, &(struct sf_planned){.call = call}));
    CHECK(sf_sender_run(sender, START + 1000));
    CHECK(sf_sender_left(sender) > 0);
    CHECK(sf_sender_free(sender) == NULL && sf_sender_free(NULL) == NULL);
}

int main(void)
{
    open_sockets();
    all_of_it_goes_out_however_it_is_packed();
    many_streams_at_once_and_late_ones();
    a_sender_can_go_at_any_time();
    puts("ok sender");
    return 0;
}
