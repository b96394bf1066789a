/*
 * A connected UDP socket of the load harness: what goes out through it, and what went.
 *
 * Owns:    nothing.
 * Lends:   nothing; borrows the socket and the octets of each call,
 * Until:   the call returns.
 * Threads: one at a time.
 */
#ifndef SF_OUTLET_H
#define SF_OUTLET_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/socket.h>

/* All grow from 0. */
struct sf_sent {
    uint64_t sip; /* frames handed to the socket */
    uint64_t rtp;
    uint64_t datagrams; /* that the kernel took */
    uint64_t octets;    /* of those datagrams, without IP and UDP headers */
    uint64_t errors;    /* send calls that failed */
    uint64_t unsent;    /* datagrams given up after an error */
    uint64_t ticks;
    uint64_t late_ticks; /* begun more than one tick after their time */
    uint64_t worst_us;   /* the latest of them */
    uint64_t cpu_ns;     /* of the running thread */
    uint64_t wall_ns;    /* spent in sf_sender_run */
    int last_errno;      /* of the last failed send, 0: none */
};

struct sf_outlet {
    int fd;
    bool cuts; /* the kernel is asked to cut datagrams (UDP_SEGMENT) */
    struct sf_sent sent;
};

/* Room to ask the kernel to cut a message into datagrams. */
union sf_cut {
    struct cmsghdr head;
    char room[CMSG_SPACE(sizeof(uint16_t))];
};

/* What every kernel with UDP_SEGMENT cuts from one message. */
#define SF_CUT_MAX 64

/* `wanted` unless the kernel cannot cut. */
struct sf_outlet sf_outlet(int fd, bool wanted);

/* Asks for datagrams of `octets`. */
void sf_outlet_cut(union sf_cut *cut, size_t octets);

/* After a message that was to be cut failed (errno): a kernel or device that cannot do it is not
 * asked again, anything else is an error like any other. */
void sf_outlet_cut_failed(struct sf_outlet *outlet);

/*
 * Sends datagrams of one vector each. An error of a connected socket may belong to an earlier
 * datagram (ICMP port unreachable) and is cleared by being told, so the datagram at hand is tried
 * once more before it is given up.
 */
void sf_outlet_send(struct sf_outlet *outlet, struct mmsghdr *heads, unsigned count);

/* Sends one datagram, likewise. */
void sf_outlet_send_one(struct sf_outlet *outlet, const uint8_t *octets, size_t n);

#endif
