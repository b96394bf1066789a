/*
 * The index of one open bucket, sipflow.db (docs/FORMAT.md), as it is written: portions of blocks
 * go into data.raw and their rows into SQLite, as one.
 *
 * Owns:    the database connection; what it remembers of recent calls, streams and paths; its
 *          keeper (keeper.h).
 * Lends:   nothing.
 * Threads: one at a time. No other copy of SQLite in the process may have the same file open:
 *          POSIX locks belong to the process.
 */
#ifndef SF_INDEX_H
#define SF_INDEX_H

#include "portion.h"

struct sf_index;

struct sf_index_error {
    int code; /* an errno, or a result code of SQLite as a negative number */
    char text[200];
};

enum sf_index_durability {
    SF_INDEX_PROCESS, /* a commit survives the end of the process */
    SF_INDEX_DISK,    /* a commit is on the disk: data first, then the rows that speak of it */
};

/*
 * Opens the database at `path`, whose schema stands, and takes over from an earlier writer. `fd`
 * is data.raw and stays the caller's; -1 for a reindex, whose blocks stand there already. NULL
 * and `error`.
 */
struct sf_index *sf_index_open(const char *path, int fd, enum sf_index_durability durability,
                               struct sf_index_error *error);
/* Always NULL. What was not committed is not there. */
struct sf_index *sf_index_free(struct sf_index *index);

/*
 * Appends portions to data.raw and commits their rows: all of them or, on false, none; then the
 * same portions may be given again. With fd -1 block offsets are taken as they are. `replay_from`
 * is remembered: chunks of the pool that might come again after a crash have their blocks there
 * or behind.
 */
bool sf_index_append(struct sf_index *index, const struct sf_portion *const *portions, size_t count,
                     uint64_t replay_from, struct sf_index_error *error);

/* Runs statements that give no rows, with the file to itself: what it is sealed with. */
bool sf_index_run(struct sf_index *index, const char *sql, struct sf_index_error *error);

/* Writes into call_meta how bad the media of each call was (worst.h), with the file to itself. */
bool sf_index_judge(struct sf_index *index, struct sf_index_error *error);

/* Where in data.raw the last block that the index knows ends. */
uint64_t sf_index_end(const struct sf_index *index);
/* How many blocks it knows. */
uint64_t sf_index_blocks(const struct sf_index *index);
/* How many octets of data.raw its stream blocks take. */
uint64_t sf_index_rtp_octets(const struct sf_index *index);
/* Where the blocks begin that a replay has to look at. */
uint64_t sf_index_replay_from(const struct sf_index *index);
/* Rows committed since it was opened, of SIP messages and of media chunks. */
uint64_t sf_index_sip_rows(const struct sf_index *index);
uint64_t sf_index_media_rows(const struct sf_index *index);

#endif
