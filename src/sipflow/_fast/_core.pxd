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


cdef extern from "sip.h" nogil:
    struct sf_sip_party:
        sf_slice uri
        sf_slice user
        sf_slice tag
    struct sf_sip:
        c_bool is_request
        c_bool is_response
        sf_slice method
        sf_slice uri
        unsigned status
        sf_slice reason
        sf_slice call_id
        c_bool has_call_id
        sf_sip_party sender "from"
        sf_sip_party to
        c_bool has_cseq
        uint32_t cseq
        sf_slice cseq_method
        sf_slice user_agent
        sf_slice branch
        sf_slice content_type
        size_t body
    c_bool sf_sip_scan(sf_slice message, sf_sip *out)
    c_bool sf_sip_looks_like(sf_slice octets)


cdef extern from "rtp.h" nogil:
    struct sf_rtp:
        c_bool marker
        uint8_t payload_type
        uint16_t sequence
        uint32_t timestamp
        uint32_t ssrc
        sf_slice payload
    int sf_rtp_kind_of "sf_rtp_kind" (sf_slice packet)
    c_bool sf_rtp_parse(sf_slice packet, sf_rtp *out)


cdef extern from "g711.h" nogil:
    void sf_ulaw_decode(const uint8_t *codes, int16_t *samples, size_t n)
    void sf_alaw_decode(const uint8_t *codes, int16_t *samples, size_t n)
    void sf_ulaw_encode(const int16_t *samples, uint8_t *codes, size_t n)
    void sf_alaw_encode(const int16_t *samples, uint8_t *codes, size_t n)


cdef extern from "crc32c.h" nogil:
    uint32_t sf_crc32c(uint32_t crc, const void *octets, size_t n)


cdef extern from "jump.h" nogil:
    int32_t sf_jump(sf_slice call_id, int32_t nodes)


# ---- load: talker.h, sender.h ----

cdef extern from "talker.h" nogil:
    enum:
        SF_TALKER_HEAD
        SF_TALKER_TAIL
    struct sf_step:
        uint8_t flags
    struct sf_talker:
        const uint8_t *audio
        const sf_step *steps
        uint64_t start_us
        uint64_t capture_us
        uint32_t count
        uint32_t at
        uint32_t loop
        uint32_t position
        uint32_t ssrc
        uint32_t timestamp
        uint32_t interval_us
        uint16_t sequence
        uint16_t samples
        uint8_t payload_type
        uint8_t event_type
        uint8_t head_octets
        uint8_t time_at
        uint8_t head[124]
    size_t sf_talker_size(const sf_talker *talker)
    uint8_t *sf_talker_write(sf_talker *talker, uint8_t *dst)
    uint64_t sf_talker_time(const sf_talker *talker)


cdef extern from "sender.h" nogil:
    enum:
        SF_SENDER_BUDGET
    struct sf_sender_settings:
        int fd
        c_bool single
        c_bool offload
        uint32_t budget
        uint32_t tick_us
        double speed
    struct sf_sent:
        uint64_t sip
        uint64_t rtp
        uint64_t datagrams
        uint64_t octets
        uint64_t errors
        uint64_t unsent
        uint64_t ticks
        uint64_t late_ticks
        uint64_t worst_us
        uint64_t cpu_ns
        uint64_t wall_ns
        int last_errno
    struct sf_sender:
        pass
    sf_sender *sf_sender_new(const sf_sender_settings *settings)
    sf_sender *sf_sender_free(sf_sender *sender)
    c_bool sf_sender_add_talker(sf_sender *sender, const sf_talker *talker)
    c_bool sf_sender_add_frame(sf_sender *sender, uint64_t due_us, sf_slice frame)
    c_bool sf_sender_run(sf_sender *sender, uint64_t until_us)
    size_t sf_sender_left(const sf_sender *sender)
    const sf_sent *sf_sender_sent(const sf_sender *sender)
