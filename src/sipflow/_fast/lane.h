/*
 * A lane of datagrams on their way out: writers append frames to the datagram being filled, one
 * reader takes those that are closed. A writer never waits for the reader: both change the state
 * of a slot by one compare-and-swap, and a full lane refuses the newest.
 *
 * A slot holds one batch datagram (docs/WIRE.md), or a single frame that exceeds the budget in
 * memory of its own. It carries the number of the datagram it is for, which grows by the number
 * of slots each time it is used again, so that neither side takes an old one for its own.
 *
 * Owns:    its slots and the large datagrams in them.
 * Lends:   datagrams to the reader,
 * Until:   sf_lane_free_first.
 * Threads: any number of writers, one reader.
 */
#ifndef SF_LANE_H
#define SF_LANE_H

#include <pthread.h>
#include <stdatomic.h>

#include "packet.h"

enum sf_lane_drop {
    SF_LANE_TAKEN,     /* not dropped */
    SF_LANE_FULL,      /* the bound of packets or of datagrams is reached */
    SF_LANE_TOO_LARGE, /* no UDP datagram holds the frame, or no memory does */
    SF_LANE_DROPS,
};

/* A frame without its payload: everything up to the payload length (docs/WIRE.md). */
struct sf_frame_head {
    struct sf_slice octets;
    uint32_t time_at; /* where the time stands; the client id of version 3 follows it */
};

struct sf_slot {
    _Atomic uint64_t word; /* number of the datagram and state */
    uint64_t opened_ns;    /* CLOCK_MONOTONIC_COARSE */
    uint8_t *large;        /* NULL: the octets are in the slot */
    uint32_t used;
    uint32_t last_at; /* where the length of the last frame stands */
    uint16_t frames;
};

struct sf_lane {
    pthread_mutex_t writers;
    struct sf_slot *slots;
    uint8_t *octets;
    uint32_t count; /* slots */
    uint32_t budget;
    uint64_t most;          /* packets that may wait */
    uint64_t put_at;        /* number of the datagram being filled; writers' */
    _Atomic uint64_t taken; /* number of the next datagram to take; the reader's */
    _Atomic uint64_t accepted;
    _Atomic uint64_t dropped[SF_LANE_DROPS];
    _Atomic uint64_t done; /* packets whose slot was given back */
};

/* One datagram as the reader sees it. */
struct sf_ready {
    uint8_t *octets;
    uint32_t n;
    uint32_t last_at;
    uint32_t frames;
    bool large;
};

/* False: out of memory, nothing is left behind. `budget` holds a batch of at least one frame. */
bool sf_lane_open(struct sf_lane *lane, uint32_t slots, uint32_t budget, uint64_t most);
void sf_lane_close(struct sf_lane *lane);

/* Forgets all it holds and all it counted; for the child of a fork, where no other thread is. */
void sf_lane_reset(struct sf_lane *lane);

/* Appends a frame; `waiting` is how many datagrams wait with this one when it begins one, else 0.
 */
enum sf_lane_drop sf_lane_put(struct sf_lane *lane, struct sf_frame_head head, uint64_t time_us,
                              uint32_t client_id, struct sf_slice payload, uint32_t *waiting);

/*
 * Gives the datagram `ahead` places after the first that is not taken, closing it when it was
 * opened before `before_ns`; false when there is none to take now.
 */
bool sf_lane_ready(struct sf_lane *lane, uint32_t ahead, uint64_t before_ns, struct sf_ready *out);

/* Gives the first `n` slots back. */
void sf_lane_free_first(struct sf_lane *lane, uint32_t n);

/* Packets that wait. */
uint64_t sf_lane_queued(const struct sf_lane *lane);

/* True when nothing waits, not even in an open datagram; the reader's question. */
bool sf_lane_empty(const struct sf_lane *lane);

uint64_t sf_coarse_ns(void);

#endif
