/*
 * The keeper of an open bucket: a thread that folds the write-ahead log into sipflow.db and has
 * data.raw written out, a little at a time, while the writer goes on. Waiting for the disk is its
 * part; without it the writer would wait, and the pool fill.
 *
 * Owns:    the thread, and a connection of its own to the database.
 * Lends:   nothing.
 * Threads: all functions are the writer's. The descriptor stays the caller's, open until
 * sf_keeper_stop.
 */
#ifndef SF_KEEPER_H
#define SF_KEEPER_H

#include <stdbool.h>
#include <stdint.h>

/* Pages in the log from which on it is folded. */
#define SF_KEEPER_PAGES 32768

struct sf_keeper;

/*
 * Starts it for the database at `path` and data.raw as `fd`, of which nothing before `written` is
 * looked after. NULL: it cannot be, and the writer has to fold the log itself.
 */
struct sf_keeper *sf_keeper_start(const char *path, int fd, uint64_t written);
/* Always NULL; returns when the thread has ended and the database is closed. */
struct sf_keeper *sf_keeper_stop(struct sf_keeper *keeper);

/* The writer's transactions stand between these; NULL is no keeper. */
void sf_keeper_begin(struct sf_keeper *keeper);
/* `pages` are now in the log, and data.raw ends at `end`. */
void sf_keeper_end(struct sf_keeper *keeper, int pages, uint64_t end);

#endif
