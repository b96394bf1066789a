/*
 * The content of a stream block: one chunk of one stream, turned into columns so that zstd
 * sees like beside like. Byte table: docs/FORMAT.md.
 *
 * Owns:    nothing.
 * Lends:   the call id that sf_columns_open gives, which points into the content,
 * Until:   the content goes.
 * Threads: any; all functions are pure.
 */
#ifndef SF_COLUMNS_H
#define SF_COLUMNS_H

#include "block.h"
#include "chunk.h"

/* One packet of a stream, as Python sees it: RTP_ROW of wire/packet.py. */
struct sf_rtp_row {
    int64_t time_us;
    int64_t arrival_us;
    uint32_t offset; /* of the whole packet in the chunk's data */
    uint32_t length;
    uint32_t payload_offset; /* without header, CSRC list, extension, padding (RFC 3550, 5.1) */
    uint32_t payload_length;
    uint32_t timestamp;
    uint16_t sequence;
    uint8_t payload_type;
    uint8_t flags; /* enum sf_row_flags */
};

_Static_assert(sizeof(struct sf_rtp_row) == 40, "RTP_ROW of wire/packet.py has this layout");

enum sf_row_flags { SF_ROW_MARKER = 1, SF_ROW_VALID = 2 };

/* What sf_columns_encode writes at most for a chunk of `used` octets. */
static inline size_t sf_columns_bound(size_t used)
{
    return used + 64;
}

/*
 * Encodes the first `count` records of a chunk into `dst`; gives the octets written, or 0 when
 * the chunk contradicts itself. Fills t0_us, t1_us, records, raw_length, kind, transform and
 * flags of `block`. Payload begins at `payload_at`: what stands before it is of another nature.
 */
size_t sf_columns_encode(const void *chunk, size_t used, unsigned count, uint8_t *dst,
                         struct sf_block *block, size_t *payload_at);

/* A stream's content opened for reading, every length in it proved. */
struct sf_columns {
    struct sf_chunk_identity identity;
    struct sf_slice call_id;
    unsigned count;
    size_t data_length; /* octets of all packets together */
    bool split;         /* RTP headers are columns */
    struct sf_slice times, arrivals, lengths, first, second, sequences, timestamps, payload;
};

/* Proves `content` and finds its columns. At most content.n / 3 records, 5 * content.n data. */
enum sf_block_status sf_columns_open(struct sf_slice content, struct sf_columns *out);

/* Rebuilds all packets: `rows` has room for count, `data` for data_length. */
void sf_columns_decode(const struct sf_columns *columns, struct sf_rtp_row *rows, uint8_t *data);

/* Octets of the first `count` packets of a live chunk; -1 when it contradicts itself. */
int64_t sf_chunk_data_length(const void *chunk, size_t used, unsigned count);

/* The same rows and data straight from a live chunk; false when it contradicts itself. */
bool sf_chunk_rows(const void *chunk, size_t used, unsigned count, struct sf_rtp_row *rows,
                   uint8_t *data, size_t data_length);

#endif
