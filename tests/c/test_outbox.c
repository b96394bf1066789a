/*
 * The outbox against sockets of our own: everything put goes out once, in order within its lane, in
 * sound datagrams within the budget; what has no room is refused and counted; an open datagram
 * leaves by its age; the child of a fork begins anew.
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include "guard.h"
#include "outbox.h"

#include <arpa/inet.h>
#include <errno.h>
#include <pthread.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>

#define BUDGET 1452

static const uint8_t loopback[16] = {[15] = 1}, loopback4[4] = {127, 0, 0, 1};

/* interop vector A without payload, its time and client id zero. */
static size_t head_of(const char *call_id, uint8_t *out, struct sf_frame_head *head)
{
    struct sf_packet packet = {.kind = SF_RTP,
                               .family = SF_IPV4,
                               .leg = 1,
                               .has_metadata = true,
                               .src_port = 4000,
                               .src = {192, 0, 2, 10},
                               .call_id = text_slice(call_id)};
    size_t n = sf_packet_size(&packet, 3) - 4;
    uint8_t whole[256];
    CHECK(n + 4 <= sizeof whole);
    sf_packet_encode(&packet, 3, whole);
    memcpy(out, whole, n);
    *head = (struct sf_frame_head){.octets = {out, n}, .time_at = 17};
    return n;
}

static int listen_at(int family, uint16_t *port)
{
    int fd = socket(family, SOCK_DGRAM, 0), room = 8 << 20;
    struct timeval patience = {.tv_sec = 5};
    struct sockaddr_storage at = {.ss_family = (sa_family_t)family};
    socklen_t size = family == AF_INET6 ? sizeof(struct sockaddr_in6) : sizeof(struct sockaddr_in);
    if (family == AF_INET6) {
        ((struct sockaddr_in6 *)&at)->sin6_addr = in6addr_loopback;
    } else {
        ((struct sockaddr_in *)&at)->sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    }
    if (fd < 0 || bind(fd, (struct sockaddr *)&at, size) != 0) {
        return -1;
    }
    setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &room, sizeof room);
    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
    CHECK(getsockname(fd, (struct sockaddr *)&at, &size) == 0);
    *port = ntohs(family == AF_INET6 ? ((struct sockaddr_in6 *)&at)->sin6_port
                                     : ((struct sockaddr_in *)&at)->sin_port);
    return fd;
}

static void *run(void *outbox)
{
    sf_outbox_run(outbox);
    return NULL;
}

static struct sf_outbox *outbox_of(uint32_t nodes, uint32_t sockets, uint32_t most, bool offload)
{
    struct sf_outbox_settings settings = {.nodes = nodes,
                                          .sockets = sockets,
                                          .budget = BUDGET,
                                          .slots = most,
                                          .most = most,
                                          .offload = offload};
    struct sf_outbox *outbox = sf_outbox_new(&settings, 0x01020304);
    CHECK(outbox != NULL);
    return outbox;
}

static void the_golden_frame(void)
{
    uint8_t head_octets[64], want[128], got[2048];
    struct sf_frame_head head;
    uint16_t port;
    int in = listen_at(AF_INET, &port);
    struct sf_outbox *outbox = outbox_of(1, 1, 16, true);
    pthread_t thread;
    size_t n = unhex("5346030104c000020a0fa000000000000000063a581e4c724001020304"
                     "0000000f00000001000000076162632d314068"
                     "0000001080000001000000a0cafebabeffffffff",
                     want);
    head_of("abc-1@h", head_octets, &head);
    sf_outbox_direct(outbox, 0, SF_IPV4, loopback4, port, 0);
    struct sf_slice payload = guarded(want + n - 16, 16);
    CHECK(sf_outbox_put(outbox, 0, head, 1753000000123456u, payload) == SF_LANE_TAKEN);
    CHECK(sf_outbox_dormant(outbox));
    pthread_create(&thread, NULL, run, outbox);
    /* Nobody flushes: it leaves by its age. */
    CHECK(recv(in, got, sizeof got, 0) == (ssize_t)(SF_BATCH_HEAD + 4 + n));
    CHECK(memcmp(got, "SG\x01\x00\x01\x00\x00\x00\x44", 9) == 0 && n == 0x44);
    CHECK(memcmp(got + 9, want, n) == 0);
    sf_outbox_stop(outbox, 1000);
    pthread_join(thread, NULL);
    struct sf_outbox_sum sum = sf_outbox_sum_of(outbox, 0);
    CHECK(sum.sent == 1 && sum.datagrams == 1 && sum.octets == n + 9 && sum.queued == 0);
    sf_outbox_free(outbox);
    close(in);
}

#define WRITERS 4
#define EACH    20000

struct writer {
    struct sf_outbox *outbox;
    unsigned number;
    uint64_t refused;
};

/* Payloads of several lengths, so that neighbours are padded, and now and then one beyond the
 * budget. */
static void *write_all(void *it)
{
    struct writer *w = it;
    uint8_t octets[64], payload[4000] = {0};
    struct sf_frame_head head;
    char id[32];
    snprintf(id, sizeof id, "call-%u", w->number);
    head_of(id, octets, &head);
    uint32_t lane = sf_outbox_lane(w->outbox, w->number % 2, text_slice(id));
    for (uint32_t i = 0; i < EACH; i++) {
        sf_store_be32(payload, i);
        size_t n = i % 1000 == 7 ? sizeof payload : 160 + i % 5 * 4;
        while (sf_outbox_put(w->outbox, lane, head, i, sf_slice(payload, n)) == SF_LANE_FULL) {
            w->refused++;
            nanosleep(&(struct timespec){.tv_nsec = 200000}, NULL);
        }
    }
    return NULL;
}

struct heard {
    int fd;
    uint32_t next[WRITERS];
    uint64_t packets, datagrams, large;
};

static void *hear(void *it)
{
    struct heard *h = it;
    static _Thread_local uint8_t datagram[65536];
    while (h->packets < WRITERS / 2 * EACH) {
        ssize_t n = recv(h->fd, datagram, sizeof datagram, 0);
        CHECK(n > 0);
        struct sf_datagram opened;
        struct sf_slice octets;
        struct sf_packet packet;
        CHECK(sf_datagram_open(sf_slice(datagram, (size_t)n), &opened) == SF_OK);
        CHECK(n <= BUDGET || opened.left == 1);
        h->large += n > BUDGET;
        h->datagrams++;
        while (sf_datagram_next(&opened, &octets)) {
            CHECK(sf_packet_parse(octets, &packet) == SF_OK && packet.client_id == 0x01020304);
            unsigned writer = packet.call_id.p[5] - '0';
            CHECK(packet.time_us == h->next[writer] &&
                  sf_load_be32(packet.payload.p) == packet.time_us);
            h->next[writer]++;
            h->packets++;
        }
    }
    return NULL;
}

static void everything_goes_once_and_in_order(bool offload)
{
    struct sf_outbox *outbox = outbox_of(2, 3, 256, offload);
    struct heard heard[2] = {0};
    struct writer writers[WRITERS];
    pthread_t threads[WRITERS], ears[2], runner;
    for (uint32_t node = 0; node < 2; node++) {
        uint16_t port;
        heard[node].fd = listen_at(AF_INET, &port);
        sf_outbox_direct(outbox, node, SF_IPV4, loopback4, port, 0);
        pthread_create(&ears[node], NULL, hear, &heard[node]);
    }
    pthread_create(&runner, NULL, run, outbox);
    for (unsigned i = 0; i < WRITERS; i++) {
        writers[i] = (struct writer){.outbox = outbox, .number = i};
        pthread_create(&threads[i], NULL, write_all, &writers[i]);
    }
    uint64_t refused = 0;
    for (unsigned i = 0; i < WRITERS; i++) {
        pthread_join(threads[i], NULL);
        refused += writers[i].refused;
    }
    CHECK(sf_outbox_flush(outbox, 5000));
    for (uint32_t node = 0; node < 2; node++) {
        pthread_join(ears[node], NULL);
        struct sf_outbox_sum sum = sf_outbox_sum_of(outbox, node);
        CHECK(heard[node].packets == WRITERS / 2 * EACH &&
              heard[node].large == WRITERS / 2 * EACH / 1000);
        CHECK(sum.sent == heard[node].packets && sum.datagrams == heard[node].datagrams);
        CHECK(sum.queued == 0 && sum.lost == 0 && sum.dropped[SF_LANE_TOO_LARGE] == 0);
        CHECK(sum.datagrams < sum.sent / 3);
        refused -= sum.dropped[SF_LANE_FULL];
        close(heard[node].fd);
    }
    CHECK(refused == 0);
    sf_outbox_stop(outbox, 1000);
    pthread_join(runner, NULL);
    sf_outbox_free(outbox);
}

static void a_full_lane_refuses_the_newest(void)
{
    uint8_t octets[64], payload[65507] = {0}, got[2048];
    struct sf_frame_head head;
    uint16_t port;
    int in = listen_at(AF_INET, &port);
    struct sf_outbox *outbox = outbox_of(1, 1, 16, false);
    pthread_t thread;
    head_of("c", octets, &head);
    for (uint32_t i = 0; i < 20; i++) {
        sf_store_be32(payload, i);
        enum sf_lane_drop drop = sf_outbox_put(outbox, 0, head, i, sf_slice(payload, 1300));
        CHECK(drop == (i < 16 ? SF_LANE_TAKEN : SF_LANE_FULL));
    }
    CHECK(sf_outbox_put(outbox, 0, head, 0, sf_slice(payload, sizeof payload)) ==
          SF_LANE_TOO_LARGE);
    struct sf_outbox_sum sum = sf_outbox_sum_of(outbox, 0);
    CHECK(sum.queued == 16 && sum.dropped[SF_LANE_FULL] == 4 &&
          sum.dropped[SF_LANE_TOO_LARGE] == 1);
    /* The address comes late; what waited is sent then, the oldest first. */
    pthread_create(&thread, NULL, run, outbox);
    CHECK(!sf_outbox_flush(outbox, 20));
    sf_outbox_direct(outbox, 0, SF_IPV4, loopback4, port, 0);
    CHECK(sf_outbox_flush(outbox, 5000));
    for (uint32_t i = 0; i < 16; i++) {
        CHECK(recv(in, got, sizeof got, 0) > 0);
        CHECK(sf_load_be32(got + 9 + head.octets.n + 4) == i);
    }
    /* Nobody listens any more: the kernel says so, and nothing waits for it. */
    close(in);
    for (uint32_t i = 0; i < 10; i++) {
        sf_outbox_put(outbox, 0, head, i, sf_slice(payload, 1300));
        CHECK(sf_outbox_flush(outbox, 5000));
    }
    sum = sf_outbox_sum_of(outbox, 0);
    CHECK(sum.errors > 0 && sum.last_errno == ECONNREFUSED && sum.sent + sum.lost == 26);
    sf_outbox_stop(outbox, 1000);
    pthread_join(thread, NULL);
    sf_outbox_free(outbox);
}

static void six_and_a_new_address(void)
{
    uint8_t octets[64], got[2048];
    struct sf_frame_head head;
    uint16_t four, six;
    int in4 = listen_at(AF_INET, &four), in6 = listen_at(AF_INET6, &six);
    if (in6 < 0) {
        puts("outbox: SKIPPED IPv6: this machine has none");
        return;
    }
    struct sf_outbox *outbox = outbox_of(1, 1, 16, true);
    pthread_t thread;
    head_of("c", octets, &head);
    sf_outbox_direct(outbox, 0, SF_IPV4, loopback4, four, 0);
    pthread_create(&thread, NULL, run, outbox);
    sf_outbox_put(outbox, 0, head, 0, text_slice("four"));
    CHECK(recv(in4, got, sizeof got, 0) > 0);
    sf_outbox_direct(outbox, 0, SF_IPV6, loopback, six, 0);
    sf_outbox_put(outbox, 0, head, 0, text_slice("six"));
    CHECK(recv(in6, got, sizeof got, 0) > 0);
    sf_outbox_stop(outbox, 1000);
    pthread_join(thread, NULL);
    sf_outbox_free(outbox);
    close(in4);
    close(in6);
}

static void a_child_begins_anew(void)
{
    uint8_t octets[64], got[2048];
    struct sf_frame_head head;
    uint16_t port;
    int in = listen_at(AF_INET, &port);
    struct sf_outbox *outbox = outbox_of(1, 1, 64, true);
    head_of("c", octets, &head);
    sf_outbox_direct(outbox, 0, SF_IPV4, loopback4, port, 0);
    for (int i = 0; i < 5; i++) {
        sf_outbox_put(outbox, 0, head, 1, text_slice("the parent's"));
    }
    pid_t child = fork();
    if (child == 0) {
        pthread_t thread;
        sf_outbox_forked(outbox, 9);
        bool fine = sf_outbox_sum_of(outbox, 0).queued == 0 && sf_outbox_dormant(outbox);
        sf_outbox_put(outbox, 0, head, 2, text_slice("the child's"));
        pthread_create(&thread, NULL, run, outbox);
        fine = fine && sf_outbox_flush(outbox, 5000) && sf_outbox_sum_of(outbox, 0).sent == 1;
        sf_outbox_stop(outbox, 1000);
        pthread_join(thread, NULL);
        _exit(fine ? 0 : 1);
    }
    int status;
    CHECK(waitpid(child, &status, 0) == child && status == 0);
    struct sf_packet packet;
    ssize_t n = recv(in, got, sizeof got, 0);
    CHECK(n > 9 && sf_packet_parse(sf_slice(got + 9, (size_t)n - 9), &packet) == SF_OK);
    CHECK(packet.client_id == 9 && packet.time_us == 2);
    CHECK(recv(in, got, sizeof got, MSG_DONTWAIT) < 0);
    CHECK(sf_outbox_sum_of(outbox, 0).queued == 5);
    sf_outbox_free(outbox);
    close(in);
}

int main(void)
{
    the_golden_frame();
    everything_goes_once_and_in_order(true);
    everything_goes_once_and_in_order(false);
    a_full_lane_refuses_the_newest();
    six_and_a_new_address();
    a_child_begins_anew();
    puts("ok outbox");
    return 0;
}
