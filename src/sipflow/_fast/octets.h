/*
 * Octets that grow: buffers of portions, used again by the next ones.
 *
 * Owns:    its memory; and that of buffers which were freed, up to 32 MB in the whole process,
 *          because the kernel clears every page that it gives out, which costs as much as filling
 * it. Lends:   nothing. Threads: one at a time for each; the freed ones are shared, behind a lock.
 */
#ifndef SF_OCTETS_H
#define SF_OCTETS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "cursor.h"

/* All zero is empty. */
struct sf_octets {
    uint8_t *p;
    size_t n;
    size_t room;
};

/* Makes room for `more` octets behind the last; false: out of memory, nothing changed. */
bool sf_octets_room(struct sf_octets *octets, size_t more);

/* Empties it and gives its memory away. */
void sf_octets_free(struct sf_octets *octets);

#endif
