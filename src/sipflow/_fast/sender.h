/*
 * Sends many streams and messages at their times: a wheel of slots, datagrams filled frame by
 * frame, sendmmsg of 64. The clock of the sender starts at 0 with the first run.
 *
 * Pacing: every tick sends what fell due in it and then sleeps to the next. A sender that was
 * kept from running catches up at no more than twice its pace, so that there is no burst.
 *
 * Owns:    copies of talkers, their steps, and of frames.
 * Lends:   nothing; borrows the talkers' audio and the socket,
 * Until:   sf_sender_free.
 * Threads: one at a time.
 */
#ifndef SF_SENDER_H
#define SF_SENDER_H

#include "talker.h"

#define SF_SENDER_BUDGET                                                                           \
    1472 /* octets of a datagram: Ethernet's 1500 less IPv4 and UDP headers                        \
          */

struct sf_sender_settings {
    int fd;       /* a connected, blocking UDP socket */
    bool single;  /* one frame per datagram instead of batches */
    bool offload; /* let the kernel cut datagrams (UDP_SEGMENT); batches are padded to the budget */
    uint32_t budget;  /* octets of a batch datagram */
    uint32_t tick_us; /* of real time */
    double speed;     /* sender's clock per real time; 0: as fast as the socket takes it */
};

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

struct sf_sender;

/* NULL when memory is short. */
struct sf_sender *sf_sender_new(const struct sf_sender_settings *settings);
struct sf_sender *sf_sender_free(struct sf_sender *sender);

/* Copies the talker and its steps; false when memory is short. */
bool sf_sender_add_talker(struct sf_sender *sender, const struct sf_talker *talker);

/* Copies a frame to be sent once at `due_us` of the sender's clock; false when memory is short. */
bool sf_sender_add_frame(struct sf_sender *sender, uint64_t due_us, struct sf_slice frame);

/* Runs until the clock stands at `until_us`; false when memory is short. */
bool sf_sender_run(struct sf_sender *sender, uint64_t until_us);

/* Streams and frames not yet done. */
size_t sf_sender_left(const struct sf_sender *sender);

const struct sf_sent *sf_sender_sent(const struct sf_sender *sender);

#endif
