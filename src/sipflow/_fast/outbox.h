/*
 * The outbox of a capture client: packets in, datagrams out to the nodes of a cluster, or into the
 * pool of a data root. What is put waits in lanes, several for each node, each with a socket of its
 * own, so that a server which receives through several sockets gets to use them all; a call stays
 * in one lane and keeps its order. One thread sends: a datagram leaves when it is full or when its
 * first packet has waited for SF_OUTBOX_AGE_NS. Nobody who puts ever waits; what has no room is
 * dropped and counted.
 *
 * Owns:    lanes and sockets.
 * Lends:   nothing; borrows the intake, which its thread alone uses,
 * Until:   sf_outbox_free.
 * Threads: put, direct, flush, stop, sum: any; run: one.
 */
#ifndef SF_OUTBOX_H
#define SF_OUTBOX_H

#include "intake.h"
#include "volley.h"

/* The coarse clock and the naps of the thread add a few ms: what waits is gone within 20 ms. */
#define SF_OUTBOX_AGE_NS 10000000u

struct sf_outbox_settings {
    uint32_t nodes;
    uint32_t sockets;         /* lanes of a node */
    uint32_t budget;          /* octets of a datagram */
    uint32_t slots;           /* datagrams that wait in a lane at most, */
    uint32_t most;            /* and packets */
    bool offload;             /* let the kernel cut datagrams where it can */
    struct sf_intake *intake; /* not NULL: the only node, and there are no sockets */
};

struct sf_outbox_sum {
    uint64_t queued, sent, datagrams, octets;
    uint64_t dropped[SF_LANE_DROPS];
    uint64_t lost; /* the socket refused it, twice */
    uint64_t errors;
    int last_errno;
};

struct sf_outbox;

/* NULL: out of memory. */
struct sf_outbox *sf_outbox_new(const struct sf_outbox_settings *settings, uint32_t client_id);
struct sf_outbox *sf_outbox_free(struct sf_outbox *outbox); /* always NULL; no thread may run */

/* Makes it empty, as if new, in the child of a fork: sockets are closed, addresses are kept. */
void sf_outbox_forked(struct sf_outbox *outbox, uint32_t client_id);

/* Sends what is for a node to this address from now on; `ip` has 4 or 16 octets. */
void sf_outbox_direct(struct sf_outbox *outbox, uint32_t node, uint8_t family, const uint8_t *ip,
                      uint16_t port, uint32_t scope);

/* The lane of a call at a node. */
uint32_t sf_outbox_lane(const struct sf_outbox *outbox, uint32_t node, struct sf_slice call_id);

/* Puts one packet, stamped with `time_us` and the client id. */
enum sf_lane_drop sf_outbox_put(struct sf_outbox *outbox, uint32_t lane, struct sf_frame_head head,
                                uint64_t time_us, struct sf_slice payload);

/* True while no thread runs it. */
bool sf_outbox_dormant(const struct sf_outbox *outbox);

/* Sends until stopped. */
void sf_outbox_run(struct sf_outbox *outbox);

/* Sends what waits now; false when it is not gone after `timeout_ms`. */
bool sf_outbox_flush(struct sf_outbox *outbox, uint32_t timeout_ms);

/* Lets `run` send what waits, for so long at most, and return. */
void sf_outbox_stop(struct sf_outbox *outbox, uint32_t timeout_ms);

/* Adds up what became of the packets for a node. */
struct sf_outbox_sum sf_outbox_sum_of(const struct sf_outbox *outbox, uint32_t node);

#endif
