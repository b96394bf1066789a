/*
 * A portion: blocks of one bucket on their way to data.raw, with what its index will say of them.
 *
 * Owns:    the octets of the blocks, the call id of each stream chunk, and the content of each
 *          message block until its rows are written.
 * Lends:   nothing.
 * Threads: one at a time; the encoder that fills it, then the committer. Memory of portions that
 *          were freed is kept for others, up to 48 MB, behind a lock.
 */
#ifndef SF_PORTION_H
#define SF_PORTION_H

#include "block.h"
#include "facts.h"

/* Octets that grow. */
struct sf_octets {
    uint8_t *p;
    size_t n;
    size_t room;
};

/* Makes room for `more` octets behind the last; false: out of memory, nothing changed. */
bool sf_octets_room(struct sf_octets *octets, size_t more);

struct sf_portion_block {
    struct sf_block head;
    uint64_t at; /* of its header; in `data`, or in the file of a reindex */
    size_t text; /* in `texts`: the call id, or the content of messages */
    size_t text_length;
    struct sf_chunk_facts facts; /* of a stream chunk */
};

struct sf_portion {
    int64_t period_us; /* start of the period its records are filed in */
    struct sf_octets data;
    struct sf_octets texts;
    struct sf_portion_block *blocks;
    size_t count;
    size_t room;
    uint64_t sip_messages;
    uint64_t rtp_packets;
};

struct sf_portion *sf_portion_new(int64_t period_us);
struct sf_portion *sf_portion_free(struct sf_portion *portion); /* always NULL */

/* Gives the next block to be filled, its texts copied; NULL: out of memory, nothing changed. */
struct sf_portion_block *sf_portion_add(struct sf_portion *portion, const struct sf_block *head,
                                        uint64_t at, struct sf_slice text);

/*
 * Adds a block that stands in a file already, at `at`, from its decompressed content: what a
 * reindex does. SF_BLOCK_OK, or why the content cannot be read.
 */
enum sf_block_status sf_portion_read(struct sf_portion *portion, const struct sf_block *head,
                                     uint64_t at, struct sf_slice content);

/* Writes the data at `offset` of the file; 0 or the errno. */
int sf_portion_write(const struct sf_portion *portion, int fd, uint64_t offset);

#endif
