/*
 * Messages of a block as records of an arena again, a run of one call's at a time: what packing
 * puts together anew.
 *
 * Owns:    nothing; the records it writes are the caller's.
 * Lends:   nothing.
 * Threads: any; all functions are pure.
 */
#ifndef SF_LIFT_H
#define SF_LIFT_H

#include "messages.h"
#include "octets.h"

/* So many messages of one call, the first at this position of the content. */
struct sf_run {
    uint32_t position;
    uint32_t messages;
};

_Static_assert(sizeof(struct sf_run) == 8, "packed_data.py has rows of this layout");

/*
 * Appends the records of `count` runs, which are in the order of the content, to `arena`; ends[i]
 * is where those of run i end there. A run that is not there, or that is of several calls, is
 * SF_BLOCK_BAD_CONTENT. Arrival times are written as a reader of the block sees them.
 */
enum sf_block_status sf_lift(struct sf_slice content, unsigned transform, const struct sf_run *runs,
                             size_t count, struct sf_octets *arena, uint64_t *ends);

#endif
