/*
 * A portion: blocks of one bucket on their way to data.raw, with what its index will say of them.
 *
 * Owns:    the octets of the blocks, the call id of each stream chunk, the gist of all messages.
 * Lends:   nothing.
 * Threads: one at a time; the encoder that fills it, then the committer.
 */
#ifndef SF_PORTION_H
#define SF_PORTION_H

#include "block.h"
#include "facts.h"
#include "gist.h"
#include "octets.h"

struct sf_portion_block {
    struct sf_block head;
    uint64_t at; /* of its header; in `data`, or in the file of a reindex */
    union {
        struct { /* of a stream chunk */
            struct sf_chunk_facts facts;
            uint32_t call_id; /* in `call_ids` */
            uint32_t call_id_length;
        };
        struct {           /* of messages */
            uint32_t call; /* the first of its calls in the gist */
            uint32_t calls;
        };
    };
};

struct sf_portion {
    int64_t period_us; /* start of the period its records are filed in */
    struct sf_octets data;
    struct sf_octets call_ids;
    struct sf_octets blocks; /* struct sf_portion_block */
    struct sf_gist gist;
    size_t count; /* of blocks */
    uint64_t sip_messages;
    uint64_t rtp_packets;
};

struct sf_portion *sf_portion_new(int64_t period_us);
struct sf_portion *sf_portion_free(struct sf_portion *portion); /* always NULL */

const struct sf_portion_block *sf_portion_block(const struct sf_portion *portion, size_t block);

/*
 * Adds what is to be known of a block that stands at `at` in `data`, or will in a moment. On
 * anything but SF_BLOCK_OK nothing was added.
 */
enum sf_block_status sf_portion_add_messages(struct sf_portion *portion,
                                             const struct sf_block *head, uint64_t at,
                                             struct sf_slice content);
enum sf_block_status sf_portion_add_stream(struct sf_portion *portion, const struct sf_block *head,
                                           uint64_t at, struct sf_slice call_id,
                                           const struct sf_chunk_facts *facts);

/*
 * Adds a block that stands in a file already, at `at`, from its decompressed content: what a
 * reindex does. SF_BLOCK_OK, or why not.
 */
enum sf_block_status sf_portion_read(struct sf_portion *portion, const struct sf_block *head,
                                     uint64_t at, struct sf_slice content);

/* Writes the data at `offset` of the file; 0 or the errno. */
int sf_portion_write(const struct sf_portion *portion, int fd, uint64_t offset);

/* The memory it takes until it is committed [octets]. */
size_t sf_portion_held(const struct sf_portion *portion);

#endif
