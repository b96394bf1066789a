/*
 * Runs against a socket of our own: messages of any length arrive as they were written, those of
 * one dialog in their order, whether the kernel cuts or refuses; what fills a batch up is zeros.
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include "guard.h"
#include "loopback.h"
#include "packet.h"
#include "runs.h"

#include <netinet/udp.h>
#include <unistd.h>

#define BUDGET   1472
#define LONGEST  (BUDGET - SF_BATCH_HEAD - 4)
#define DIALOGS  30
#define MESSAGES 4000
#define HEAD     12 /* dialog, number, length */

static uint32_t chance = 1;

static uint32_t draw(uint32_t below)
{
    chance = chance * 1664525 + 1013904223;
    return (uint32_t)((uint64_t)chance * below >> 32);
}

static void write_message(uint8_t *at, uint32_t dialog, uint32_t number, uint32_t n)
{
    uint8_t *p = sf_store_be32(sf_store_be32(sf_store_be32(at, dialog), number), n);
    memset(p, (int)(1 + number % 255), n - HEAD);
}

struct heard {
    uint32_t next[DIALOGS];
    uint64_t messages, datagrams, octets, padded;
    uint64_t uncut; /* messages of several datagrams */
};

static void hear_frame(struct heard *heard, struct sf_slice frame)
{
    static uint8_t expected[LONGEST];
    CHECK(frame.n >= HEAD);
    uint32_t dialog = sf_load_be32(frame.p), number = sf_load_be32(frame.p + 4);
    uint32_t n = sf_load_be32(frame.p + 8);
    CHECK(dialog < DIALOGS && number == heard->next[dialog]++ && n >= HEAD && n <= frame.n);
    write_message(expected, dialog, number, n);
    CHECK(memcmp(frame.p, expected, n) == 0);
    for (size_t i = n; i < frame.n; i++) {
        CHECK(frame.p[i] == 0);
    }
    heard->padded += frame.n > n;
    heard->messages++;
}

static void hear_datagram(struct heard *heard, const uint8_t *octets, size_t n)
{
    struct sf_datagram datagram;
    struct sf_slice frame;
    size_t behind = SF_BATCH_HEAD;
    CHECK(n <= BUDGET && sf_datagram_open(sf_slice(octets, n), &datagram) == SF_OK);
    while (sf_datagram_next(&datagram, &frame)) {
        hear_frame(heard, frame);
        behind = (size_t)(frame.p - octets) + frame.n;
    }
    CHECK(behind == n); /* every octet belongs to a frame */
    heard->datagrams++;
    heard->octets += n;
}

static void hear(struct heard *heard)
{
    static uint8_t octets[65536];
    _Alignas(struct cmsghdr) char control[CMSG_SPACE(sizeof(int))];
    struct iovec vector = {.iov_base = octets, .iov_len = sizeof octets};
    for (;;) {
        struct msghdr message = {.msg_iov = &vector,
                                 .msg_iovlen = 1,
                                 .msg_control = control,
                                 .msg_controllen = sizeof control};
        ssize_t n = recvmsg(in, &message, MSG_DONTWAIT);
        if (n < 0) {
            return;
        }
        size_t length = (size_t)n;
        struct cmsghdr *head = CMSG_FIRSTHDR(&message);
        if (head != NULL && head->cmsg_level == IPPROTO_UDP && head->cmsg_type == UDP_GRO) {
            int cut;
            memcpy(&cut, CMSG_DATA(head), sizeof cut);
            length = (size_t)cut;
        }
        heard->uncut += length < (size_t)n;
        for (size_t at = 0; at < (size_t)n; at += length) {
            hear_datagram(heard, octets + at, (size_t)n - at < length ? (size_t)n - at : length);
        }
    }
}

/* Messages of a few lengths that are frequent, and of any. */
static uint32_t length_of_one(void)
{
    static const uint32_t usual[] = {330, 345, 351, 702, 731, 1100, LONGEST};
    return draw(4) > 0 ? usual[draw(7)] : HEAD + draw(LONGEST - HEAD + 1);
}

static struct heard send_messages(bool cuts, int gro, int no_check)
{
    struct heard heard = {{0}, 0, 0, 0, 0, 0};
    uint32_t turns[DIALOGS] = {0}, numbers[DIALOGS] = {0};
    CHECK(setsockopt(in, IPPROTO_UDP, UDP_GRO, &gro, sizeof gro) == 0);
    CHECK(setsockopt(out, SOL_SOCKET, SO_NO_CHECK, &no_check, sizeof no_check) == 0);
    struct sf_outlet outlet = sf_outlet(out, cuts);
    struct sf_runs *runs = sf_runs_new(BUDGET);
    CHECK(runs != NULL);
    for (uint32_t i = 0; i < MESSAGES; i++) {
        uint32_t dialog = draw(DIALOGS), n = length_of_one();
        uint8_t *at = sf_runs_message(runs, n, &turns[dialog], &outlet);
        CHECK(at != NULL);
        write_message(at, dialog, numbers[dialog]++, n);
        if (draw(200) == 0) {
            sf_runs_send(runs, &outlet);
        }
        hear(&heard);
    }
    sf_runs_send(runs, &outlet);
    hear(&heard);
    CHECK(heard.messages == MESSAGES);
    CHECK(outlet.sent.datagrams == heard.datagrams && outlet.sent.octets == heard.octets);
    CHECK(outlet.sent.unsent == 0 && outlet.sent.errors == 0);
    uint64_t before = heard.datagrams;
    sf_runs_send(runs, &outlet); /* nothing waits */
    hear(&heard);
    CHECK(heard.datagrams == before);
    CHECK(sf_runs_free(runs) == NULL && sf_runs_free(NULL) == NULL);
    return heard;
}

static void messages_arrive_as_written_in_the_order_of_their_dialogs(void)
{
    struct heard apart = send_messages(false, 1, 0);
    CHECK(apart.uncut == 0 && apart.datagrams < MESSAGES);
    CHECK(send_messages(true, 0, 0).uncut == 0);
    struct heard cut = send_messages(true, 1, 0);
    CHECK(cut.uncut > 50 && cut.padded > MESSAGES / 4);
    /* The kernel cuts nothing for a socket without checksums. */
    CHECK(send_messages(true, 1, 1).uncut == 0);
}

static void what_no_batch_holds_is_refused(void)
{
    struct sf_outlet outlet = sf_outlet(out, true);
    struct sf_runs *runs = sf_runs_new(BUDGET);
    struct heard heard = {{0}, 0, 0, 0, 0, 0};
    uint32_t turn = 0;
    CHECK(runs != NULL);
    CHECK(sf_runs_message(runs, LONGEST + 1, &turn, &outlet) == NULL);
    CHECK(sf_runs_message(runs, SIZE_MAX, &turn, &outlet) == NULL);
    write_message(sf_runs_message(runs, LONGEST, &turn, &outlet), 0, 0, LONGEST);
    sf_runs_send(runs, &outlet);
    hear(&heard);
    CHECK(heard.messages == 1 && heard.octets == BUDGET);
    sf_runs_free(runs);
}

/* More lengths than there are runs: all goes out to make room. */
static void frames_of_many_lengths_find_room(void)
{
    static uint8_t octets[65536];
    struct sf_outlet outlet = sf_outlet(out, true);
    struct sf_runs *runs = sf_runs_new(BUDGET);
    unsigned came = 0;
    CHECK(runs != NULL);
    for (unsigned i = 0; i < 3000; i++) {
        size_t n = 20 + i % 100;
        memset(sf_runs_frame(runs, n, &outlet), (int)n, n);
        if (i % 500 == 499) {
            sf_runs_send(runs, &outlet);
        }
        ssize_t length;
        while ((length = recv(in, octets, sizeof octets, MSG_DONTWAIT)) >= 0) {
            CHECK(length >= 20 && octets[0] == length && octets[length - 1] == length);
            came++;
        }
    }
    CHECK(came == 3000 && outlet.sent.datagrams == 3000);
    sf_runs_free(runs);
}

int main(void)
{
    open_sockets();
    messages_arrive_as_written_in_the_order_of_their_dialogs();
    what_no_batch_holds_is_refused();
    int off = 0;
    CHECK(setsockopt(in, IPPROTO_UDP, UDP_GRO, &off, sizeof off) == 0);
    CHECK(setsockopt(out, SOL_SOCKET, SO_NO_CHECK, &off, sizeof off) == 0);
    frames_of_many_lengths_find_room();
    close(in);
    close(out);
    puts("ok runs");
    return 0;
}
