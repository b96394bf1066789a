#define _GNU_SOURCE
#include "receiver.h"

#include <errno.h>
#include <linux/filter.h>
#include <linux/sock_diag.h>
#include <netinet/in.h>
#include <poll.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <time.h>

#define SLOTS       64
#define SLOT_OCTETS 65536
#define NAP_NS      200000
#define IDLE_MS     20 /* how often an idle receiver looks for old chunks */
/* What the largest socket buffer holds is taken in a fraction of this. */
#define DRAIN_US 5000000
#define CONTROL  64

struct sf_receiver {
    int fd;
    struct sf_intake *intake;
    struct sf_network *networks;
    unsigned network_count;
    atomic_bool stop;
    uint32_t dropped; /* the kernel's running count, which wraps */
    struct mmsghdr heads[SLOTS];
    struct iovec vectors[SLOTS];
    struct sockaddr_storage peers[SLOTS];
    _Alignas(8) uint8_t control[SLOTS][CONTROL];
    uint8_t *arena;
};

static uint64_t wall_us(void)
{
    struct timespec t;
    clock_gettime(CLOCK_REALTIME, &t);
    return (uint64_t)t.tv_sec * 1000000 + (uint64_t)t.tv_nsec / 1000;
}

static uint64_t monotonic_us(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000 + (uint64_t)t.tv_nsec / 1000;
}

struct sf_receiver *sf_receiver_new(int fd, struct sf_intake *intake,
                                    const struct sf_network *networks, unsigned count)
{
    struct sf_receiver *r = calloc(1, sizeof *r);
    if (r == NULL) {
        return NULL;
    }
    r->fd = fd;
    r->intake = intake;
    r->arena = malloc((size_t)SLOTS * SLOT_OCTETS);
    r->networks = calloc(count > 0 ? count : 1, sizeof *networks);
    if (r->arena == NULL || r->networks == NULL) {
        return sf_receiver_free(r);
    }
    if (count > 0) {
        memcpy(r->networks, networks, count * sizeof *networks);
    }
    r->network_count = count;
    for (unsigned i = 0; i < SLOTS; i++) {
        r->vectors[i] = (struct iovec){r->arena + (size_t)i * SLOT_OCTETS, SLOT_OCTETS};
        r->heads[i].msg_hdr = (struct msghdr){
            .msg_iov = &r->vectors[i],
            .msg_iovlen = 1,
            .msg_name = &r->peers[i],
            .msg_namelen = sizeof r->peers[i],
            .msg_control = r->control[i],
            .msg_controllen = CONTROL,
        };
    }
    int on = 1;
    setsockopt(fd, SOL_SOCKET, SO_RXQ_OVFL, &on, sizeof on);
    return r;
}

struct sf_receiver *sf_receiver_free(struct sf_receiver *r)
{
    if (r != NULL) {
        free(r->arena);
        free(r->networks);
        free(r);
    }
    return NULL;
}

static bool same_bits(const uint8_t *a, const uint8_t *b, unsigned bits)
{
    unsigned whole = bits / 8, rest = bits % 8;
    if (memcmp(a, b, whole) != 0) {
        return false;
    }
    uint8_t mask = (uint8_t)(0xff00 >> rest);
    return rest == 0 || ((a[whole] ^ b[whole]) & mask) == 0;
}

static struct sf_peer peer_of(const struct sockaddr_storage *name)
{
    static const uint8_t mapped[12] = {[10] = 0xff, [11] = 0xff};
    struct sf_peer peer = {.family = SF_IPV4};
    const uint8_t *ip = (const uint8_t *)&((const struct sockaddr_in *)name)->sin_addr;
    if (name->ss_family == AF_INET6) {
        ip = (const uint8_t *)&((const struct sockaddr_in6 *)name)->sin6_addr;
        if (memcmp(ip, mapped, sizeof mapped) == 0) {
            ip += sizeof mapped;
        } else {
            peer.family = SF_IPV6;
        }
    }
    memcpy(peer.ip, ip, peer.family == SF_IPV6 ? 16 : 4);
    return peer;
}

static bool welcome(const struct sf_receiver *r, const struct sf_peer *peer)
{
    for (unsigned i = 0; i < r->network_count; i++) {
        if (r->networks[i].family == peer->family &&
            same_bits(peer->ip, r->networks[i].ip, r->networks[i].bits)) {
            return true;
        }
    }
    return r->network_count == 0;
}

static void add(_Atomic uint64_t *counter, uint64_t n)
{
    atomic_store_explicit(counter, atomic_load_explicit(counter, memory_order_relaxed) + n,
                          memory_order_relaxed);
}

static void note_kernel_drops(struct sf_receiver *r, struct sf_ledger *ledger, uint32_t now)
{
    add(&ledger->kernel_drops, (uint32_t)(now - r->dropped));
    r->dropped = now;
}

static void read_kernel_drops(struct sf_receiver *r, struct msghdr *head, struct sf_ledger *ledger)
{
    for (struct cmsghdr *c = CMSG_FIRSTHDR(head); c != NULL; c = CMSG_NXTHDR(head, c)) {
        if (c->cmsg_level == SOL_SOCKET && c->cmsg_type == SO_RXQ_OVFL) {
            uint32_t now;
            memcpy(&now, CMSG_DATA(c), sizeof now);
            note_kernel_drops(r, ledger, now);
        }
    }
}

/* The same count, asked for: what was dropped behind the last datagram comes with no other. */
static void ask_kernel_drops(struct sf_receiver *r, struct sf_ledger *ledger)
{
    uint32_t found[SK_MEMINFO_VARS];
    socklen_t size = sizeof found;
    if (getsockopt(r->fd, SOL_SOCKET, SO_MEMINFO, found, &size) == 0 &&
        size > SK_MEMINFO_DROPS * sizeof *found) {
        note_kernel_drops(r, ledger, found[SK_MEMINFO_DROPS]);
    }
}

/* From now on the kernel drops, and counts, whatever comes. */
static void shut_door(int fd)
{
    struct sock_filter nothing = BPF_STMT(BPF_RET | BPF_K, 0);
    struct sock_fprog filter = {.len = 1, .filter = &nothing};
    setsockopt(fd, SOL_SOCKET, SO_ATTACH_FILTER, &filter, sizeof filter);
}

/* Receives and stores one batch; gives its size or -errno. */
static int turn(struct sf_receiver *r)
{
    struct sf_ledger *ledger = sf_intake_ledger(r->intake);
    int n = recvmmsg(r->fd, r->heads, SLOTS, MSG_DONTWAIT, NULL);
    if (n <= 0) {
        return n == 0 || errno == EAGAIN || errno == EINTR || errno == ECONNREFUSED ? 0 : -errno;
    }
    uint64_t now = wall_us();
    uint64_t octets = 0;
    for (int i = 0; i < n; i++) {
        struct msghdr *head = &r->heads[i].msg_hdr;
        unsigned length = r->heads[i].msg_len;
        octets += length;
        struct sf_peer peer = peer_of(&r->peers[i]);
        struct sf_slice datagram = sf_slice(r->vectors[i].iov_base, length);
        if (welcome(r, &peer)) {
            sf_intake_datagram(r->intake, datagram, &peer, now);
        } else {
            sf_intake_refuse(r->intake, datagram, &peer, SF_FOREIGN_SOURCE, now);
        }
        if (i == n - 1) {
            read_kernel_drops(r, head, ledger);
        }
        head->msg_controllen = CONTROL;
        head->msg_namelen = sizeof r->peers[i];
    }
    sf_intake_flush_batch(r->intake, now);
    add(&ledger->datagrams, (uint64_t)n);
    add(&ledger->octets, octets);
    return n;
}

int sf_receiver_run(struct sf_receiver *r)
{
    struct sf_ledger *ledger = sf_intake_ledger(r->intake);
    uint64_t swept = 0;
    int n = 0;
    while (n >= 0 && !atomic_load_explicit(&r->stop, memory_order_relaxed)) {
        n = turn(r);
        if (n == 0) {
            struct pollfd wait = {.fd = r->fd, .events = POLLIN};
            poll(&wait, 1, IDLE_MS);
        } else if (n > 0 && n < SLOTS) {
            nanosleep(&(struct timespec){.tv_nsec = NAP_NS}, NULL);
        }
        uint64_t now = monotonic_us();
        if (now - swept >= IDLE_MS * 1000) {
            sf_intake_sweep(r->intake);
            ask_kernel_drops(r, ledger);
            atomic_store_explicit(&ledger->heartbeat_us, now, memory_order_relaxed);
            swept = now;
        }
    }
    /* A sender that goes on at full rate must not keep us from stopping. */
    shut_door(r->fd);
    uint64_t until = monotonic_us() + DRAIN_US;
    while (n >= 0 && (n = turn(r)) > 0 && monotonic_us() < until) {
    }
    ask_kernel_drops(r, ledger);
    sf_intake_drain(r->intake);
    return n < 0 ? n : 0;
}

void sf_receiver_stop(struct sf_receiver *r)
{
    atomic_store(&r->stop, true);
}

int sf_receive_buffer(int fd, int octets)
{
    int got = 0;
    socklen_t size = sizeof got;
    if (setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, &octets, sizeof octets) != 0) {
        setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &octets, sizeof octets);
    }
    getsockopt(fd, SOL_SOCKET, SO_RCVBUF, &got, &size);
    return got / 2; /* the kernel counts its own overhead and doubles what was asked for */
}
