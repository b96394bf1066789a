/*
 * How a process that must stay small asks for memory.
 *
 * Owns:    nothing.
 * Lends:   nothing.
 * Threads: once, at start.
 */
#ifndef SF_HEAP_H
#define SF_HEAP_H

/*
 * Has large blocks given back to the kernel the moment they are freed, and small ones of all
 * threads kept together. Portions are made on one thread and freed on another: glibc would keep
 * many times of what is ever in use.
 */
void sf_heap_stay_small(void);

#endif
