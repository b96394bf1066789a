/*
 * Jump consistent hash of a Call-ID: which of n nodes stores the call (placement.py).
 *
 * Owns:    nothing.
 * Lends:   nothing.
 * Threads: any.
 */
#ifndef SF_JUMP_H
#define SF_JUMP_H

#include "cursor.h"

/* The node, 0 to nodes - 1; -1 when nodes is less than 1. */
int32_t sf_jump(struct sf_slice call_id, int32_t nodes);

#endif
