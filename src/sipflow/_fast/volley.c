#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include "volley.h"

#include <errno.h>
#include <netinet/in.h>
#include <netinet/udp.h>
#include <sys/socket.h>

#define DATAGRAMS 64
#define SEGMENTS  64 /* what every kernel with UDP_SEGMENT cuts from one message */
#define PAD_PART  8  /* padding may add one part in so many */

/* Asks the kernel to cut a message into datagrams. */
union cut {
    struct cmsghdr head;
    char room[CMSG_SPACE(sizeof(uint16_t))];
};

/* Datagrams that are sent as one message: `n` from `first` on, each but the last `length` octets.
 */
struct group {
    uint32_t first, n, length;
};

bool sf_volley_can_cut(int fd)
{
    /* A kernel without UDP_SEGMENT would not refuse the control message, but send all as one. */
    int none = 0;
    return setsockopt(fd, IPPROTO_UDP, UDP_SEGMENT, &none, sizeof none) == 0;
}

static void add(_Atomic uint64_t *counter, uint64_t n)
{
    atomic_fetch_add_explicit(counter, n, memory_order_relaxed);
}

static void count_error(struct sf_posted *posted)
{
    add(&posted->errors, 1);
    atomic_store_explicit(&posted->last_errno, errno, memory_order_relaxed);
}

/* Lets the last frame end with the datagram: what follows a packet in its frame is padding. */
static void settle(struct sf_ready *datagram)
{
    sf_store_be32(datagram->octets + datagram->last_at, datagram->n - datagram->last_at - 4);
}

static void pad(struct sf_ready *datagram, uint32_t length)
{
    memset(datagram->octets + datagram->n, 0, length - datagram->n);
    datagram->n = length;
    settle(datagram);
}

/* The longest group that begins at `first`: one datagram when there is nothing to gain. */
static struct group group_at(const struct sf_ready *ready, uint32_t first, uint32_t count)
{
    struct group group = {first, 1, ready[first].n};
    uint64_t octets = ready[first].n;
    while (first + group.n < count && group.n < SEGMENTS) {
        const struct sf_ready *next = &ready[first + group.n];
        uint32_t length = next->n > group.length ? next->n : group.length;
        uint64_t padded = (uint64_t)length * (group.n + 1);
        octets += next->n;
        if (next->large || ready[first].large || padded > SF_DATAGRAM_MAX ||
            padded - octets > octets / PAD_PART) {
            break;
        }
        group.length = length;
        group.n++;
    }
    return group;
}

static void took(struct sf_posted *posted, const struct sf_ready *ready, uint32_t n)
{
    uint64_t packets = 0, octets = 0;
    for (uint32_t i = 0; i < n; i++) {
        packets += ready[i].frames;
        octets += ready[i].n;
    }
    add(&posted->packets, packets);
    add(&posted->octets, octets);
    add(&posted->datagrams, n);
}

static bool is_full(void)
{
    return errno == EAGAIN || errno == EWOULDBLOCK || errno == ENOBUFS;
}

/*
 * Sends datagrams one by one; gives how many are done with, which is fewer when the socket is
 * full. An error of a connected socket may belong to an earlier datagram (ICMP port unreachable)
 * and is cleared by being told, so the datagram at hand is tried once more before it is given up.
 */
static uint32_t send_each(int fd, const struct sf_ready *ready, uint32_t n,
                          struct sf_posted *posted)
{
    uint32_t at = 0;
    bool tried = false;
    while (at < n) {
        if (send(fd, ready[at].octets, ready[at].n, MSG_DONTWAIT | MSG_NOSIGNAL) >= 0) {
            took(posted, &ready[at++], 1);
            tried = false;
        } else if (is_full()) {
            break;
        } else if (errno != EINTR) {
            count_error(posted);
            if (tried) {
                add(&posted->lost, ready[at++].frames);
            }
            tried = !tried;
        }
    }
    return at;
}

/* Sends groups until one fails; gives how many went. */
static uint32_t send_groups(int fd, struct sf_ready *ready, const struct group *groups, uint32_t n)
{
    struct mmsghdr heads[DATAGRAMS];
    struct iovec vectors[DATAGRAMS];
    union cut cuts[DATAGRAMS];
    for (uint32_t g = 0; g < n; g++) {
        struct group group = groups[g];
        uint16_t length = (uint16_t)group.length;
        for (uint32_t i = 0; i < group.n; i++) {
            struct sf_ready *datagram = &ready[group.first + i];
            if (i + 1 < group.n && datagram->n < group.length) {
                pad(datagram, group.length);
            }
            vectors[group.first + i] =
                (struct iovec){.iov_base = datagram->octets, .iov_len = datagram->n};
        }
        heads[g] =
            (struct mmsghdr){.msg_hdr = {.msg_iov = &vectors[group.first], .msg_iovlen = group.n}};
        if (group.n > 1) {
            cuts[g].head.cmsg_level = IPPROTO_UDP;
            cuts[g].head.cmsg_type = UDP_SEGMENT;
            cuts[g].head.cmsg_len = CMSG_LEN(sizeof length);
            memcpy(CMSG_DATA(&cuts[g].head), &length, sizeof length);
            heads[g].msg_hdr.msg_control = &cuts[g];
            heads[g].msg_hdr.msg_controllen = sizeof cuts[g];
        }
    }
    int went = sendmmsg(fd, heads, n, MSG_DONTWAIT | MSG_NOSIGNAL);
    return went < 0 ? 0 : (uint32_t)went;
}

/* Sends as many groups as the socket takes; gives the datagrams that are done with. */
static uint32_t send_all(int fd, bool *cut, struct sf_ready *ready, uint32_t count,
                         struct sf_posted *posted)
{
    struct group groups[DATAGRAMS];
    uint32_t n = 0, at = 0;
    while (at < count) {
        groups[n] = *cut ? group_at(ready, at, count) : (struct group){at, 1, ready[at].n};
        at += groups[n++].n;
    }
    uint32_t went = 0;
    while (went < n) {
        uint32_t more = send_groups(fd, ready, groups + went, n - went);
        for (uint32_t g = went; g < went + more; g++) {
            took(posted, &ready[groups[g].first], groups[g].n);
        }
        went += more;
        if (went == n) {
            break;
        }
        /* sendmmsg tells the error of a message only when it is the first: ask it alone. */
        struct group group = groups[went];
        if (more > 0) {
            continue;
        }
        if (is_full()) {
            return group.first;
        }
        if (group.n > 1 &&
            (errno == EIO || errno == EINVAL || errno == EOPNOTSUPP || errno == EMSGSIZE)) {
            *cut = false;
        } else if (errno != EINTR) {
            count_error(posted);
        }
        uint32_t done = send_each(fd, &ready[group.first], group.n, posted);
        if (done < group.n) {
            return group.first + done;
        }
        went++;
    }
    return count;
}

bool sf_volley_send(int fd, bool *cut, struct sf_lane *lane, uint64_t before_ns,
                    struct sf_posted *posted)
{
    struct sf_ready ready[DATAGRAMS];
    uint32_t n = 0;
    while (n < DATAGRAMS && sf_lane_ready(lane, n, before_ns, &ready[n])) {
        settle(&ready[n++]); /* it may have been padded for a socket that was full then */
    }
    if (n == 0) {
        return false;
    }
    uint32_t done = send_all(fd, cut, ready, n, posted);
    sf_lane_free_first(lane, done);
    return done == DATAGRAMS;
}
