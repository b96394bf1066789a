# The C headers as Cython sees them: declarations only.
from libc.stdint cimport int32_t, int64_t, uint8_t, uint16_t, uint32_t, uint64_t


cdef extern from "stdbool.h":
    ctypedef bint c_bool "bool"


cdef extern from "status.h" nogil:
    enum sf_status:
        SF_OK
        SF_STATUS_COUNT
    const char *sf_status_name(sf_status status)


cdef extern from "cursor.h" nogil:
    struct sf_slice:
        const uint8_t *p
        size_t n
    sf_slice sf_slice_of "sf_slice" (const void *p, size_t n)


cdef extern from "packet.h" nogil:
    struct sf_packet:
        uint64_t time_us
        uint32_t client_id
        int32_t leg
        uint8_t kind
        uint8_t family
        c_bool has_metadata
        uint16_t src_port
        uint16_t dst_port
        uint8_t src[16]
        uint8_t dst[16]
        sf_slice call_id
        sf_slice payload
    struct sf_datagram:
        pass
    sf_status sf_packet_parse(sf_slice octets, sf_packet *out)
    size_t sf_packet_size(const sf_packet *packet, unsigned version)
    uint8_t *sf_packet_encode(const sf_packet *packet, unsigned version, uint8_t *dst)
    sf_status sf_datagram_open(sf_slice octets, sf_datagram *out)
    c_bool sf_datagram_next(sf_datagram *datagram, sf_slice *frame)
    uint8_t *sf_batch_head(uint8_t *dst, uint16_t count)


# --- blocks of data.raw ---

cdef extern from "chunk.h" nogil:
    struct sf_chunk_identity:
        uint32_t client_id
        int32_t leg
        uint32_t ssrc
        uint16_t src_port
        uint16_t dst_port
        uint8_t family
        uint8_t has_ssrc
        uint8_t clock_skew
        uint8_t has_leg
        uint8_t src[16]
        uint8_t dst[16]
    struct sf_chunk:
        sf_chunk_identity identity
        sf_slice call_id
    c_bool sf_chunk_open(const void *memory, size_t used, sf_chunk *out)


cdef extern from "block.h" nogil:
    enum:
        SF_BLOCK_SKIPPABLE, SF_BLOCK_VERSION, SF_BLOCK_HEAD, SF_BLOCK_RAW_MAX, SF_BLOCK_FRAME_MAX
        SF_BLOCK_AT_SKIPPABLE, SF_BLOCK_AT_SIZE, SF_BLOCK_AT_MAGIC, SF_BLOCK_AT_VERSION, SF_BLOCK_AT_KIND
        SF_BLOCK_AT_TRANSFORM, SF_BLOCK_AT_FLAGS, SF_BLOCK_AT_RESERVED, SF_BLOCK_AT_RECORDS
        SF_BLOCK_AT_RAW_LENGTH, SF_BLOCK_AT_FRAME_LENGTH, SF_BLOCK_AT_FRAME_CRC, SF_BLOCK_AT_CHUNK
        SF_BLOCK_AT_T0, SF_BLOCK_AT_T1, SF_BLOCK_AT_HEADER_CRC
    enum sf_block_status:
        SF_BLOCK_OK
        SF_BLOCK_NEWER
    struct sf_block:
        int64_t t0_us
        int64_t t1_us
        uint64_t chunk
        uint32_t records
        uint32_t raw_length
        uint32_t frame_length
        uint32_t frame_crc
        uint8_t version
        uint8_t kind
        uint8_t transform
        uint8_t flags
    const char *sf_block_status_text(sf_block_status status)
    uint8_t *sf_block_encode(const sf_block *block, uint8_t *dst)
    sf_block_status sf_block_decode(sf_slice octets, sf_block *out)
    sf_block_status sf_block_verify(const sf_block *block, sf_slice frame)
    size_t sf_block_find(sf_slice octets, size_t start)
    size_t sf_block_assembled(const sf_slice *frames, size_t count)
    uint8_t *sf_block_assemble(sf_block *blocks, const sf_slice *frames, size_t count, uint64_t *offsets, uint8_t *dst)


cdef extern from "columns.h" nogil:
    struct sf_rtp_row:
        pass
    struct sf_columns:
        sf_chunk_identity identity
        sf_slice call_id
        unsigned count
        size_t data_length
    size_t sf_columns_bound(size_t used)
    size_t sf_columns_encode(const void *chunk, size_t used, unsigned count, uint8_t *dst, sf_block *block)
    sf_block_status sf_columns_open(sf_slice content, sf_columns *out)
    void sf_columns_decode(const sf_columns *columns, sf_rtp_row *rows, uint8_t *data)
    int64_t sf_chunk_data_length(const void *chunk, size_t used, unsigned count)
    c_bool sf_chunk_rows(
        const void *chunk, size_t used, unsigned count, sf_rtp_row *rows, uint8_t *data, size_t data_length
    )


cdef extern from "messages.h" nogil:
    struct sf_message_entry:
        uint32_t source
        uint32_t order
        uint32_t position
    struct sf_message:
        int64_t time_us
        int64_t arrival_us
        uint32_t client_id
        int32_t leg
        uint16_t src_port
        uint16_t dst_port
        uint8_t family
        c_bool has_leg
        c_bool clock_skew
        uint8_t src[16]
        uint8_t dst[16]
        sf_slice call_id
        sf_slice payload
        size_t next
    size_t sf_messages_bound(size_t used)
    size_t sf_messages_encode(
        const void *arena, size_t used, unsigned count, sf_message_entry *entries, uint8_t *dst, sf_block *block
    )
    sf_block_status sf_message_read(sf_slice content, size_t position, sf_message *out)
    c_bool sf_message_of_arena(const void *arena, size_t used, size_t position, sf_message *out)
