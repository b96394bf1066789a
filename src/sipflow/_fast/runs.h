/*
 * Runs: datagrams of one length, one behind the other, which go out as one message that the kernel
 * cuts (UDP_SEGMENT). Many runs are filled side by side, and go out in the order in which they were
 * begun.
 *
 * Frames of one length have a run of their own, a frame a datagram. Messages have any length: they
 * are put into batches, and batches into runs of a length that holds them. What is left of a batch
 * is zeros behind its last packet, in the same frame, which every collector ignores
 * (docs/WIRE.md); so it is with what an sf_lane sends.
 *
 * Owns:    the octets of what waits.
 * Lends:   the place of a frame,
 * Until:   the next call; it must be filled by then.
 * Threads: one at a time.
 */
#ifndef SF_RUNS_H
#define SF_RUNS_H

#include "outlet.h"

struct sf_runs;

/* Whoever writes a frame may touch so many octets from its place on, though it is shorter. */
#define SF_RUNS_SLACK 1024

/* For datagrams of up to `budget` octets; NULL when memory is short. */
struct sf_runs *sf_runs_new(uint32_t budget);
struct sf_runs *sf_runs_free(struct sf_runs *runs);

/* Gives where a frame of `n` octets goes that is a datagram by itself. May send all. */
uint8_t *sf_runs_frame(struct sf_runs *runs, size_t n, struct sf_outlet *outlet);

/*
 * Gives where the frame of a message goes, or NULL when no batch of the budget holds `n` octets.
 * Messages that share a `turn` keep their order; it begins as 0 and is changed here. May send all.
 */
uint8_t *sf_runs_message(struct sf_runs *runs, size_t n, uint32_t *turn, struct sf_outlet *outlet);

/* Sends all that waits. */
void sf_runs_send(struct sf_runs *runs, struct sf_outlet *outlet);

#endif
