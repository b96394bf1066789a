/*
 * Blocks of data.raw: a zstd skippable frame that holds our header, then a standard zstd
 * frame that holds the content. Byte tables and the recovery rule: docs/FORMAT.md.
 *
 * Owns:    nothing.
 * Lends:   nothing.
 * Until:   -
 * Threads: any; all functions are pure.
 */
#ifndef SF_BLOCK_H
#define SF_BLOCK_H

#include "cursor.h"

#define SF_BLOCK_SKIPPABLE 0x184D2A50u /* RFC 8878, section 3.1.2 */
#define SF_BLOCK_VERSION   1

/* Where each field of the header starts; little-endian throughout. */
#define SF_BLOCK_AT_SKIPPABLE    0
#define SF_BLOCK_AT_SIZE         4
#define SF_BLOCK_AT_MAGIC        8
#define SF_BLOCK_AT_VERSION      10
#define SF_BLOCK_AT_KIND         11
#define SF_BLOCK_AT_TRANSFORM    12
#define SF_BLOCK_AT_FLAGS        13
#define SF_BLOCK_AT_RESERVED     14
#define SF_BLOCK_AT_RECORDS      16
#define SF_BLOCK_AT_RAW_LENGTH   20
#define SF_BLOCK_AT_FRAME_LENGTH 24
#define SF_BLOCK_AT_FRAME_CRC    28
#define SF_BLOCK_AT_CHUNK        32
#define SF_BLOCK_AT_T0           40
#define SF_BLOCK_AT_T1           48
#define SF_BLOCK_AT_HEADER_CRC   56
#define SF_BLOCK_HEAD            60

/* No writer makes larger ones; a reader never allocates more for one block. */
#define SF_BLOCK_RAW_MAX   (16u << 20)
#define SF_BLOCK_FRAME_MAX (SF_BLOCK_RAW_MAX + (1u << 16))

enum sf_block_kind { SF_BLOCK_MESSAGES = 1, SF_BLOCK_STREAM = 2 };
enum sf_block_transform {
    SF_TRANSFORM_NONE = 0,
    SF_TRANSFORM_COMPANDED = 1,
    SF_TRANSFORM_HEADS = 2
};
enum sf_block_flags { SF_BLOCK_CLOCK_SKEW = 1 };

enum sf_block_status {
    SF_BLOCK_OK,
    SF_BLOCK_TRUNCATED,   /* octets end inside the block or a record */
    SF_BLOCK_BAD_MAGIC,   /* no block starts here */
    SF_BLOCK_BAD_HEADER,  /* header checksum, length or a limit does not hold */
    SF_BLOCK_NEWER,       /* sound, but of a later version than this one reads */
    SF_BLOCK_UNKNOWN,     /* sound and of this version, but a kind or transform made up later */
    SF_BLOCK_BAD_FRAME,   /* checksum of the zstd frame does not hold */
    SF_BLOCK_BAD_CONTENT, /* the decompressed octets contradict themselves */
    SF_BLOCK_NO_MEMORY,   /* says nothing of the block */
    SF_BLOCK_STATUS_COUNT
};

/* A stable text for `status`, used in error texts; never NULL. */
const char *sf_block_status_text(enum sf_block_status status);

/* The header without its constants; an array of these is BLOCK_HEAD of storage/block.py. */
struct sf_block {
    int64_t t0_us; /* earliest and latest filing time of the records */
    int64_t t1_us;
    uint64_t chunk; /* the pool chunk the records came from; 0: none */
    uint32_t records;
    uint32_t raw_length;   /* decompressed */
    uint32_t frame_length; /* of the zstd frame that follows the header */
    uint32_t frame_crc;    /* crc32c of that frame */
    uint8_t version;
    uint8_t kind;
    uint8_t transform;
    uint8_t flags;
    uint32_t reserved;
};

_Static_assert(sizeof(struct sf_block) == 48, "BLOCK_HEAD of storage/block.py has this layout");

/* Writes SF_BLOCK_HEAD octets to `dst`, of the current version whatever block->version says. */
uint8_t *sf_block_encode(const struct sf_block *block, uint8_t *dst);

/*
 * Reads and verifies the header at the start of `octets`, which may go on behind it. `out` is
 * filled when the answer is SF_BLOCK_OK or SF_BLOCK_UNKNOWN.
 */
enum sf_block_status sf_block_decode(struct sf_slice octets, struct sf_block *out);

/* Holds the frame, `block->frame_length` octets or more, against its checksum. */
enum sf_block_status sf_block_verify(const struct sf_block *block, struct sf_slice frame);

/*
 * Finds the first octet at or after `from` where a header stands whose checksum holds and
 * whose frame is there and sound; gives octets.n when there is none.
 */
size_t sf_block_find(struct sf_slice octets, size_t from);

/* Octets that sf_block_assemble will write. */
size_t sf_block_assembled(const struct sf_slice *frames, size_t count);

/*
 * Writes `count` blocks one behind the other. Fills frame_length, frame_crc and version of each
 * header and gives its place in `dst` in offsets[i].
 */
uint8_t *sf_block_assemble(struct sf_block *blocks, const struct sf_slice *frames, size_t count,
                           uint64_t *offsets, uint8_t *dst);

#endif
