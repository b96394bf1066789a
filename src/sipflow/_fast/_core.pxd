# The C headers as Cython sees them: declarations only.
from libc.stdint cimport int16_t, int32_t, int64_t, uint8_t, uint16_t, uint32_t, uint64_t


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


# --- media: mix.h ---


cdef extern from "mix.h" nogil:
    struct sf_placed:
        int64_t start
    size_t sf_mix(const sf_placed *rows, size_t count, sf_slice data, const int16_t (*laws)[256], int64_t start,
                  int16_t *out, size_t frames, size_t stride)
