#include "heap.h"

#include <malloc.h>

#define LARGE_OCTETS (256 << 10)
#define ARENAS       2

void sf_heap_stay_small(void)
{
    /* Set by hand, the threshold no longer rises with the blocks that are freed. */
    mallopt(M_MMAP_THRESHOLD, LARGE_OCTETS);
    mallopt(M_TRIM_THRESHOLD, LARGE_OCTETS);
    mallopt(M_ARENA_MAX, ARENAS);
}
