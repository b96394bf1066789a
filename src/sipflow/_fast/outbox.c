#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include "outbox.h"

#include <errno.h>
#include <linux/futex.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "hash.h"

#define MS             1000000u
#define NAP_NS         (2 * MS + MS / 2)
#define HURRY_NS       (MS / 5)   /* between two looks while somebody waits for a flush */
#define IDLE_NS        (200 * MS) /* an intake is swept so often */
#define LINGER_TURNS   40 /* naps before it sleeps until woken: 50 packets a second need no wake */
#define VOLLEYS_A_TURN 8
#define RECONNECT_NS   (1000 * MS)
#define SEND_BUFFER    (4 << 20)
#define LANE_SEED      0x5346u
#define INTAKE_A_TURN  64u

enum doze { AWAKE, NAPPING, IDLE, DORMANT };

struct node {
    pthread_mutex_t lock;
    struct sockaddr_storage address;
    socklen_t length; /* 0: not known yet */
    _Atomic uint64_t version;
};

/* A lane and where it leads; all but `lane` and `posted` is the thread's. */
struct line {
    struct sf_lane lane;
    struct sf_posted posted;
    int fd; /* -1: none */
    bool cut;
    uint64_t version; /* of the address it is connected to */
    uint64_t not_before_ns;
};

struct sf_outbox {
    struct sf_outbox_settings settings;
    uint32_t client_id;
    uint32_t lines_n;
    struct line *lines; /* those of a node side by side */
    struct node *nodes;
    _Atomic uint32_t doze; /* enum doze; a futex */
    _Atomic uint32_t flushers;
    _Atomic bool stopping;
    _Atomic uint64_t give_up_ns;
    unsigned quiet_turns;
};

static uint64_t fine_ns(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

static uint64_t wall_us(void)
{
    struct timespec t;
    clock_gettime(CLOCK_REALTIME, &t);
    return (uint64_t)t.tv_sec * 1000000u + (uint64_t)t.tv_nsec / 1000;
}

struct sf_outbox *sf_outbox_new(const struct sf_outbox_settings *settings, uint32_t client_id)
{
    struct sf_outbox *o = calloc(1, sizeof *o);
    if (o == NULL) {
        return NULL;
    }
    o->settings = *settings;
    o->client_id = client_id;
    uint32_t lines = settings->nodes * settings->sockets;
    o->lines = calloc(lines, sizeof *o->lines);
    o->nodes = calloc(settings->nodes, sizeof *o->nodes);
    if (o->lines == NULL || o->nodes == NULL) {
        return sf_outbox_free(o);
    }
    for (uint32_t i = 0; i < settings->nodes; i++) {
        pthread_mutex_init(&o->nodes[i].lock, NULL);
    }
    for (; o->lines_n < lines; o->lines_n++) {
        struct line *line = &o->lines[o->lines_n];
        line->fd = -1;
        if (!sf_lane_open(&line->lane, settings->slots, settings->budget, settings->most)) {
            return sf_outbox_free(o);
        }
    }
    atomic_init(&o->doze, DORMANT);
    return o;
}

static void hang_up(struct line *line)
{
    if (line->fd >= 0) {
        close(line->fd);
    }
    line->fd = -1;
    line->version = 0;
}

struct sf_outbox *sf_outbox_free(struct sf_outbox *o)
{
    if (o != NULL) {
        for (uint32_t i = 0; i < o->lines_n; i++) {
            hang_up(&o->lines[i]);
            sf_lane_close(&o->lines[i].lane);
        }
        free(o->lines);
        free(o->nodes);
        free(o);
    }
    return NULL;
}

void sf_outbox_forked(struct sf_outbox *o, uint32_t client_id)
{
    o->client_id = client_id;
    for (uint32_t i = 0; i < o->settings.nodes; i++) {
        pthread_mutex_init(&o->nodes[i].lock, NULL);
    }
    for (uint32_t i = 0; i < o->lines_n; i++) {
        struct line *line = &o->lines[i];
        hang_up(line); /* our copy of the descriptor; the parent's stays open */
        sf_lane_reset(&line->lane);
        memset(&line->posted, 0, sizeof line->posted);
        line->not_before_ns = 0;
    }
    atomic_store(&o->flushers, 0);
    atomic_store(&o->doze, DORMANT);
    o->quiet_turns = 0;
}

void sf_outbox_direct(struct sf_outbox *o, uint32_t node, uint8_t family, const uint8_t *ip,
                      uint16_t port, uint32_t scope)
{
    struct node *n = &o->nodes[node];
    pthread_mutex_lock(&n->lock);
    memset(&n->address, 0, sizeof n->address);
    if (family == SF_IPV6) {
        struct sockaddr_in6 *six = (struct sockaddr_in6 *)&n->address;
        six->sin6_family = AF_INET6;
        six->sin6_port = htons(port);
        six->sin6_scope_id = scope;
        memcpy(&six->sin6_addr, ip, 16);
        n->length = sizeof *six;
    } else {
        struct sockaddr_in *four = (struct sockaddr_in *)&n->address;
        four->sin_family = AF_INET;
        four->sin_port = htons(port);
        memcpy(&four->sin_addr, ip, 4);
        n->length = sizeof *four;
    }
    atomic_fetch_add(&n->version, 1);
    pthread_mutex_unlock(&n->lock);
}

uint32_t sf_outbox_lane(const struct sf_outbox *o, uint32_t node, struct sf_slice call_id)
{
    uint64_t hash = sf_hash(call_id.p, call_id.n, LANE_SEED);
    return node * o->settings.sockets + (uint32_t)(hash % o->settings.sockets);
}

/* --- sleeping and waking --- */

static void wake(struct sf_outbox *o)
{
    uint32_t state = atomic_load(&o->doze);
    if ((state == NAPPING || state == IDLE) &&
        atomic_compare_exchange_strong(&o->doze, &state, AWAKE)) {
        syscall(SYS_futex, &o->doze, FUTEX_WAKE_PRIVATE, 1, NULL, NULL, 0);
    }
}

static void sleep_as(struct sf_outbox *o, uint32_t state, uint64_t ns)
{
    struct timespec t = {.tv_sec = (time_t)(ns / 1000000000u), .tv_nsec = (long)(ns % 1000000000u)};
    syscall(SYS_futex, &o->doze, FUTEX_WAIT_PRIVATE, state, &t, NULL, 0);
    atomic_store(&o->doze, AWAKE);
}

static bool all_empty(const struct sf_outbox *o)
{
    for (uint32_t i = 0; i < o->lines_n; i++) {
        if (!sf_lane_empty(&o->lines[i].lane)) {
            return false;
        }
    }
    return true;
}

static void doze(struct sf_outbox *o)
{
    o->quiet_turns = all_empty(o) ? o->quiet_turns + 1 : 0;
    bool idle = o->quiet_turns > LINGER_TURNS;
    atomic_store(&o->doze, idle ? IDLE : NAPPING);
    /* Looked at after the state was told: whoever comes now either is seen or sees it. */
    atomic_thread_fence(memory_order_seq_cst);
    if (atomic_load(&o->flushers) > 0 || atomic_load(&o->stopping)) {
        sleep_as(o, idle ? IDLE : NAPPING, HURRY_NS);
    } else if (idle && !all_empty(o)) {
        atomic_store(&o->doze, AWAKE);
    } else {
        sleep_as(o, idle ? IDLE : NAPPING, idle ? IDLE_NS : NAP_NS);
    }
}

enum sf_lane_drop sf_outbox_put(struct sf_outbox *o, uint32_t lane, struct sf_frame_head head,
                                uint64_t time_us, struct sf_slice payload)
{
    struct sf_lane *it = &o->lines[lane].lane;
    uint32_t waiting;
    enum sf_lane_drop drop = sf_lane_put(it, head, time_us, o->client_id, payload, &waiting);
    if (waiting > 0) {
        atomic_thread_fence(memory_order_seq_cst);
        uint32_t state = atomic_load_explicit(&o->doze, memory_order_relaxed);
        if (state == IDLE || (state == NAPPING && waiting > it->count / 4)) {
            wake(o);
        }
    }
    return drop;
}

bool sf_outbox_dormant(const struct sf_outbox *o)
{
    return atomic_load_explicit(&o->doze, memory_order_relaxed) == DORMANT;
}

/* --- the thread --- */

/* Gives a connected socket, or -1 with errno. */
static int dial(const struct node *node)
{
    int fd = socket(node->address.ss_family, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    if (fd < 0) {
        return -1;
    }
    int room = SEND_BUFFER;
    if (setsockopt(fd, SOL_SOCKET, SO_SNDBUFFORCE, &room, sizeof room) != 0) {
        setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &room, sizeof room);
    }
    if (connect(fd, (const struct sockaddr *)&node->address, node->length) != 0) {
        int why = errno;
        close(fd);
        errno = why;
        return -1;
    }
    return fd;
}

static bool connected(struct sf_outbox *o, struct line *line, struct node *node)
{
    uint64_t version = atomic_load_explicit(&node->version, memory_order_acquire);
    if (line->version == version && (line->fd >= 0 || version == 0)) {
        return line->fd >= 0;
    }
    if (line->version == version && sf_coarse_ns() < line->not_before_ns) {
        return false;
    }
    hang_up(line);
    pthread_mutex_lock(&node->lock);
    line->version = atomic_load(&node->version);
    line->fd = dial(node);
    pthread_mutex_unlock(&node->lock);
    if (line->fd < 0) {
        atomic_fetch_add(&line->posted.errors, 1);
        atomic_store(&line->posted.last_errno, errno);
        line->not_before_ns = sf_coarse_ns() + RECONNECT_NS;
        return false;
    }
    line->cut = o->settings.offload && sf_volley_can_cut(line->fd);
    return true;
}

/* Stores what is ready in the pool; true when there may be more. */
static bool store(struct sf_outbox *o, struct line *line, uint64_t before_ns)
{
    static const struct sf_peer nobody = {0};
    struct sf_ready ready;
    uint64_t packets = 0, octets = 0, now_us = wall_us();
    uint32_t n = 0;
    for (; n < INTAKE_A_TURN && sf_lane_ready(&line->lane, n, before_ns, &ready); n++) {
        sf_intake_datagram(o->settings.intake, sf_slice(ready.octets, ready.n), &nobody, now_us);
        packets += ready.frames;
        octets += ready.n;
    }
    if (n > 0) {
        sf_intake_flush_batch(o->settings.intake, now_us);
        atomic_fetch_add(&line->posted.packets, packets);
        atomic_fetch_add(&line->posted.octets, octets);
        atomic_fetch_add(&line->posted.datagrams, n);
        sf_lane_free_first(&line->lane, n);
    }
    return n == INTAKE_A_TURN;
}

/* Sends what is ready in a lane, so much at a time that other lanes get their turn. */
static bool serve(struct sf_outbox *o, uint32_t i, uint64_t before_ns)
{
    struct line *line = &o->lines[i];
    if (o->settings.intake != NULL) {
        return store(o, line, before_ns);
    }
    if (!connected(o, line, &o->nodes[i / o->settings.sockets])) {
        return false;
    }
    for (unsigned n = 0; n < VOLLEYS_A_TURN; n++) {
        if (!sf_volley_send(line->fd, &line->cut, &line->lane, before_ns, &line->posted)) {
            return false;
        }
    }
    return true;
}

void sf_outbox_run(struct sf_outbox *o)
{
    atomic_store(&o->doze, AWAKE);
    for (;;) {
        bool stopping = atomic_load(&o->stopping);
        bool hurry = stopping || atomic_load(&o->flushers) > 0;
        uint64_t before_ns = hurry ? UINT64_MAX : sf_coarse_ns() - SF_OUTBOX_AGE_NS;
        bool more = false;
        for (uint32_t i = 0; i < o->lines_n; i++) {
            more |= serve(o, i, before_ns);
        }
        if (o->settings.intake != NULL) {
            sf_intake_sweep(o->settings.intake);
        }
        if (stopping && (all_empty(o) || fine_ns() > atomic_load(&o->give_up_ns))) {
            break;
        }
        if (!more) {
            doze(o);
        }
    }
    if (o->settings.intake != NULL) {
        sf_intake_drain(o->settings.intake);
    }
    atomic_store(&o->doze, DORMANT);
}

/* --- from outside --- */

bool sf_outbox_flush(struct sf_outbox *o, uint32_t timeout_ms)
{
    uint64_t end_ns = fine_ns() + (uint64_t)timeout_ms * MS;
    bool gone = true;
    atomic_fetch_add(&o->flushers, 1);
    wake(o);
    for (uint32_t i = 0; i < o->lines_n && gone; i++) {
        const struct sf_lane *lane = &o->lines[i].lane;
        uint64_t wanted = atomic_load(&lane->accepted);
        while ((gone = atomic_load(&lane->done) >= wanted) == false && fine_ns() < end_ns) {
            nanosleep(&(struct timespec){.tv_nsec = HURRY_NS}, NULL);
        }
    }
    atomic_fetch_sub(&o->flushers, 1);
    return gone;
}

void sf_outbox_stop(struct sf_outbox *o, uint32_t timeout_ms)
{
    atomic_store(&o->give_up_ns, fine_ns() + (uint64_t)timeout_ms * MS);
    atomic_store(&o->stopping, true);
    wake(o);
}

struct sf_outbox_sum sf_outbox_sum_of(const struct sf_outbox *o, uint32_t node)
{
    struct sf_outbox_sum sum = {0};
    for (uint32_t i = node * o->settings.sockets; i < (node + 1) * o->settings.sockets; i++) {
        const struct line *line = &o->lines[i];
        sum.queued += sf_lane_queued(&line->lane);
        sum.sent += atomic_load(&line->posted.packets);
        sum.datagrams += atomic_load(&line->posted.datagrams);
        sum.octets += atomic_load(&line->posted.octets);
        sum.lost += atomic_load(&line->posted.lost);
        sum.errors += atomic_load(&line->posted.errors);
        if (atomic_load(&line->posted.last_errno) != 0) {
            sum.last_errno = atomic_load(&line->posted.last_errno);
        }
        for (int k = 0; k < SF_LANE_DROPS; k++) {
            sum.dropped[k] += atomic_load(&line->lane.dropped[k]);
        }
    }
    return sum;
}
