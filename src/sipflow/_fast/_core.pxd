# The C headers as Cython sees them: declarations only.
from libc.stdint cimport int16_t, int32_t, int64_t, uint8_t, uint16_t, uint32_t, uint64_t


cdef extern from "stdbool.h":
    ctypedef bint c_bool "bool"


cdef extern from "status.h" nogil:
    enum sf_status:
        SF_OK
        SF_STATUS_COUNT
        SF_TRUNCATED
        SF_FOREIGN_SOURCE
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


cdef extern from "hep_reader.h" nogil:
    struct sf_hep_reader:
        pass
    sf_hep_reader *sf_hep_reader_new(sf_slice key)
    sf_hep_reader *sf_hep_reader_free(sf_hep_reader *reader)
    c_bool sf_hep_reader_has_room(const sf_hep_reader *reader)
    void sf_hep_reader_clear(sf_hep_reader *reader)
    c_bool sf_hep_reader_knows(sf_slice octets)
    sf_status sf_hep_read(sf_hep_reader *reader, sf_slice octets, uint64_t arrival_us, sf_packet *out)


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
        c_bool has_content_length
        uint32_t content_length
        size_t body
    c_bool sf_sip_scan(sf_slice message, sf_sip *out)
    c_bool sf_sip_call_id(sf_slice message, sf_slice *out)
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
        SF_BLOCK_NO_MEMORY
        SF_BLOCK_NEWER
        SF_BLOCK_UNKNOWN
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
    size_t sf_columns_encode(
        const void *chunk, size_t used, unsigned count, uint8_t *dst, sf_block *block, size_t *payload_at)
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
        size_t position
        size_t next
    struct sf_messages:
        pass
    size_t sf_messages_bound(size_t used)
    size_t sf_messages_encode(
        const void *arena, size_t used, unsigned count, sf_message_entry *entries, uint8_t *dst, sf_block *block,
        size_t *payload_at
    )
    sf_block_status sf_messages_open(sf_slice content, unsigned transform, sf_messages *out)
    c_bool sf_messages_next(sf_messages *messages, sf_message *out)
    sf_block_status sf_message_at(sf_slice content, unsigned transform, size_t position, sf_message *out)
    c_bool sf_message_of_arena(const void *arena, size_t used, size_t position, sf_message *out)


cdef extern from "pool.h" nogil:
    enum sf_chunk_class:
        SF_STREAM_CLASS
        SF_SIP_CLASS
    enum sf_chunk_state:
        SF_FREE
    enum:
        SF_POOL_RECEIVERS
        SF_POOL_VERSION
        SF_POOL_NOTE_OCTETS
        SF_STREAM_CHUNK
    const uint64_t SF_POOL_MAGIC
    struct sf_ledger:
        uint64_t datagrams
        uint64_t octets
        uint64_t kernel_drops
        uint64_t frames
        uint64_t *taken
        uint64_t clock_skew
        uint64_t unidentified
        uint64_t refused_datagrams
        uint64_t *refused
        uint64_t heartbeat_us
    struct sf_chunk_desc:
        uint64_t id
        uint64_t fill
        uint32_t state
        uint32_t kind
        int64_t filed_us
    struct sf_source:
        uint32_t family
        uint8_t *ip
        uint64_t datagrams
        uint64_t octets
        uint64_t *taken
        uint64_t refused
        uint64_t seen_us
    struct sf_client:
        uint32_t client_id
        uint64_t taken
        uint64_t seen_us
    enum:
        SF_POOL_SOURCES
        SF_POOL_CLIENTS
    struct sf_pool_head:
        uint64_t pending
        uint32_t pressure
        uint32_t short_of_sip
        sf_source *sources
        sf_client *clients
        uint64_t octets
        uint32_t *chunks
        uint32_t recorder_pid
        sf_ledger *ledgers
    struct sf_pool:
        pass
    sf_pool *sf_pool_open(const char *path, size_t octets, uint64_t epoch_us)
    sf_pool *sf_pool_attach(const char *path)
    sf_pool *sf_pool_free(sf_pool *pool)
    sf_pool_head *sf_pool_head_of "sf_pool_head" (sf_pool *pool)
    uint32_t sf_pool_chunks(const sf_pool *pool)
    size_t sf_pool_sip_chunk(const sf_pool *pool)
    sf_chunk_desc *sf_pool_desc(sf_pool *pool, uint32_t chunk)
    uint8_t *sf_pool_data(sf_pool *pool, uint32_t chunk)
    uint64_t sf_pool_call_hash(const sf_pool *pool, sf_slice call_id)
    unsigned sf_pool_take(sf_pool *pool, uint32_t *chunks, unsigned max, int timeout_ms)
    void sf_pool_wake(sf_pool *pool)
    void sf_pool_release(sf_pool *pool, uint32_t chunk)
    unsigned sf_pool_recover(sf_pool *pool, uint64_t *packets)
    uint32_t sf_pool_free_chunks(sf_pool *pool, int kind)
    uint32_t sf_pool_queued(sf_pool *pool)
    uint64_t sf_pool_client_taken(const sf_pool *pool, uint32_t client_id)
    c_bool sf_pool_write_note(sf_pool *pool, sf_slice note)
    uint32_t sf_pool_read_note(const sf_pool *pool, uint8_t *dst)
    int sf_pool_sync(sf_pool *pool)
    size_t sf_pool_call_records(sf_pool *pool, uint32_t chunk, sf_slice call_id, uint8_t *dst, uint64_t *id,
                                uint32_t *count)
    uint32_t sf_chunk_sound(const void *memory, uint32_t *used, uint32_t count, uint64_t chunk_id)
    uint32_t sf_arena_sound(const void *memory, uint32_t *used, uint32_t count, uint64_t chunk_id)
    size_t sf_pool_snapshot(sf_pool *pool, uint32_t chunk, uint64_t call_hash, uint8_t *dst, uint64_t *id,
                            uint32_t *count)


cdef extern from "roster.h" nogil:
    const uint32_t SF_ROSTER_END
    struct sf_roster:
        pass
    struct sf_roster_call:
        int64_t first_us
        int64_t last_us
        sf_slice call_id
        sf_slice from_user
        sf_slice to_user
        uint32_t messages
        c_bool begins
    struct sf_roster_packets:
        uint64_t chunk_id
        uint32_t count
        sf_slice octets
    sf_roster *sf_roster_read(sf_pool *pool, c_bool heads)
    sf_roster *sf_roster_free(sf_roster *roster)
    uint32_t sf_roster_count(const sf_roster *roster)
    sf_roster_call sf_roster_call_of "sf_roster_call" (const sf_roster *roster, uint32_t call)
    uint32_t sf_roster_find(const sf_roster *roster, sf_slice call_id)
    uint32_t sf_roster_newest(const sf_roster *roster, int64_t first_us, sf_slice call_id, uint32_t *calls,
                              uint32_t most)
    c_bool sf_roster_messages(sf_roster *roster, uint32_t call, uint32_t *at, sf_roster_packets *out)
    c_bool sf_roster_media(sf_roster *roster, sf_slice call_id, uint32_t *at, sf_roster_packets *out)


cdef extern from "facts.h" nogil:
    struct sf_chunk_facts:
        uint8_t has_ssrc
        uint8_t clock_skew
    c_bool sf_rows_facts(const sf_rtp_row *rows, size_t count, sf_slice data, sf_chunk_facts *out)


cdef extern from "portion.h" nogil:
    struct sf_octets:
        uint8_t *p
        size_t n
        size_t room
    struct sf_portion:
        int64_t period_us
        sf_octets data
        size_t count
        uint64_t sip_messages
        uint64_t rtp_packets
    sf_portion *sf_portion_new(int64_t period_us)
    sf_portion *sf_portion_free(sf_portion *portion)
    sf_block_status sf_portion_read(sf_portion *portion, const sf_block *head, uint64_t at, sf_slice content)
    size_t sf_portion_held(const sf_portion *portion)


cdef extern from "lift.h" nogil:
    cdef struct sf_run:
        uint32_t position
        uint32_t messages

    void sf_octets_free(sf_octets *octets)
    sf_block_status sf_lift(
        sf_slice content, unsigned transform, const sf_run *runs, size_t count, sf_octets *arena, uint64_t *ends
    )


cdef extern from "encoder.h" nogil:
    struct sf_known:
        int64_t period_us
        uint64_t chunk
    struct sf_encoder:
        pass
    struct sf_encoded:
        sf_portion **portions
        size_t count
        uint64_t damaged_chunks
        uint64_t damaged_packets
        uint64_t known_packets
    sf_encoder *sf_encoder_new(int64_t period_us, const sf_known *known, size_t count)
    sf_encoder *sf_encoder_free(sf_encoder *encoder)
    c_bool sf_encoder_encode(sf_encoder *encoder, sf_pool *pool, const uint32_t *chunks, size_t count, sf_encoded *out)
    void sf_encoded_clear(sf_encoded *encoded)


cdef extern from "index.h" nogil:
    enum sf_index_durability:
        SF_INDEX_PROCESS
        SF_INDEX_DISK
    struct sf_index:
        pass
    struct sf_index_error:
        int code
        char *text
    sf_index *sf_index_open(const char *path, int fd, sf_index_durability durability, sf_index_error *error)
    sf_index *sf_index_free(sf_index *index)
    c_bool sf_index_append(sf_index *index, const sf_portion *const *portions, size_t count, uint64_t replay_from,
                           sf_index_error *error)
    c_bool sf_index_run(sf_index *index, const char *sql, sf_index_error *error)
    c_bool sf_index_judge(sf_index *index, sf_index_error *error)
    uint64_t sf_index_end(const sf_index *index)
    uint64_t sf_index_blocks(const sf_index *index)
    uint64_t sf_index_rtp_octets(const sf_index *index)
    uint64_t sf_index_replay_from(const sf_index *index)
    uint64_t sf_index_sip_rows(const sf_index *index)
    uint64_t sf_index_media_rows(const sf_index *index)


cdef extern from "intake.h" nogil:
    struct sf_intake_limits:
        uint64_t flush_interval_us
        uint64_t flush_count
        c_bool media
        c_bool trust_time
    struct sf_intake:
        pass
    sf_intake *sf_intake_new(sf_pool *pool, unsigned slot, sf_intake_limits limits)
    sf_intake *sf_intake_free(sf_intake *intake)
    sf_ledger *sf_intake_ledger(sf_intake *intake)
    void sf_intake_put(sf_intake *intake, const sf_packet *packets, unsigned count, uint64_t now_us)
    struct sf_peer:
        uint8_t family
        uint8_t ip[16]
    void sf_intake_take_hep(sf_intake *intake, sf_hep_reader *reader, c_bool alone)
    sf_status sf_intake_stream(sf_intake *intake, sf_slice octets, const sf_peer *peer, uint64_t now_us, size_t *taken)
    void sf_intake_refuse(sf_intake *intake, sf_slice octets, const sf_peer *peer, sf_status status, uint64_t now_us)
    void sf_intake_beat(sf_intake *intake)
    void sf_intake_datagram(sf_intake *intake, sf_slice octets, const sf_peer *peer, uint64_t now_us)
    void sf_intake_flush_batch(sf_intake *intake, uint64_t now_us)
    void sf_intake_sweep(sf_intake *intake)
    void sf_intake_drain(sf_intake *intake)


cdef extern from "receiver.h" nogil:
    struct sf_network:
        uint8_t family
        uint8_t bits
        uint8_t ip[16]
    struct sf_receiver:
        pass
    sf_receiver *sf_receiver_new(int fd, sf_intake *intake, const sf_network *networks, unsigned count)
    sf_receiver *sf_receiver_free(sf_receiver *receiver)
    int sf_receiver_run(sf_receiver *receiver)
    void sf_receiver_stop(sf_receiver *receiver)
    int sf_receive_buffer(int fd, int octets)


cdef extern from "heap.h" nogil:
    void sf_heap_stay_small()


# ---- media ----

cdef extern from "mix.h" nogil:
    struct sf_placed:
        int64_t start
    size_t sf_mix(const sf_placed *rows, size_t count, sf_slice data, int64_t start, int16_t *out, size_t frames,
                  size_t stride)
    size_t sf_mix_codes(const sf_placed *rows, size_t count, sf_slice data, int64_t start, uint8_t *out,
                        size_t frames, size_t stride)


# ---- load: script.h, talker.h, mould.h, sender.h ----

cdef extern from "script.h" nogil:
    enum:
        SF_SCRIPT_DIGITS
        SF_SCRIPT_JITTER_US
    struct sf_impairment:
        uint32_t loss
        uint32_t burst
        uint32_t jitter_us
        uint32_t reorder
        uint32_t duplicate
    struct sf_step:
        uint64_t at_us
        uint32_t media
        uint16_t sequence
        uint16_t duration
        uint8_t event
        uint8_t flags
    struct sf_script:
        sf_step step
        uint64_t chance
        sf_impairment network
        const uint8_t *activity
        uint32_t loop
        uint32_t place
        uint32_t count
        uint16_t samples
        uint8_t digits_n
        uint8_t digits[16]
    c_bool sf_script_begin(sf_script *script)


cdef extern from "talker.h" nogil:
    enum:
        SF_TALKER_HEAD
        SF_TALKER_RTP
        SF_TALKER_ROOM
        SF_TALKER_TAIL
        SF_TALKER_WINDOW
        SF_TALKER_FRAMED
        SF_TALKER_SCRIPTED
    struct sf_voice:
        const uint8_t *audio
        const uint8_t *activity
        const uint32_t *frames
        uint32_t loop
        uint32_t samples
    struct sf_talker:
        const uint8_t *audio
        const uint8_t *activity
        sf_script *script
        uint64_t capture_us
        uint32_t count
        uint32_t at
        uint32_t loop
        uint32_t place
        uint32_t ssrc
        uint32_t timestamp
        uint16_t sequence
        uint16_t samples
        uint8_t type
        uint8_t flags
        uint8_t head_octets
        uint8_t time_at
        uint8_t head[192]
        const uint32_t *frames
        uint8_t event_type
        uint8_t ticks
    uint8_t *sf_store_be32(uint8_t *p, uint32_t v)
    uint8_t *sf_talker_write(sf_talker *talker, uint8_t *dst)
    uint64_t sf_talker_time(const sf_talker *talker)


cdef extern from "mould.h" nogil:
    enum:
        SF_LINES
        SF_CALL_ID
    struct sf_field:
        uint64_t low
    struct sf_patch:
        uint16_t at
    struct sf_saying:
        uint32_t n
    struct sf_line:
        uint32_t n
    struct sf_role:
        uint32_t n
    struct sf_mould:
        const uint8_t *octets
        const sf_field *fields
        const sf_patch *patches
        const sf_saying *sayings
        const sf_role *roles
        const sf_line *lines
        const sf_voice *voices
        size_t octets_n
        size_t fields_n
        size_t patches_n
        size_t sayings_n
        size_t roles_n
        size_t lines_n
        size_t voices_n
        uint32_t speakers
        uint32_t time_at
        c_bool hep
    struct sf_call:
        uint64_t key
        uint64_t start_us
        uint64_t span_us
    const char *sf_mould_fault(const sf_mould *mould)
    uint8_t *sf_mould_write(const sf_mould *mould, const sf_call *call, size_t i, uint8_t *dst)
    c_bool sf_mould_cast(const sf_mould *mould, const sf_call *call, size_t i, sf_talker *out, sf_script *script)
    size_t sf_mould_call_id(const sf_mould *mould, uint64_t key, size_t line, uint8_t *dst)
    int32_t sf_mould_node(const sf_mould *mould, uint64_t key, size_t line, int32_t nodes)


cdef extern from "sender.h" nogil:
    enum:
        SF_SENDER_BUDGET
    struct sf_sender_settings:
        int fd
        c_bool single
        c_bool offload
        c_bool sip_only
        uint32_t budget
        uint32_t tick_us
        double speed
        uint64_t origin_us
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
    struct sf_planned:
        sf_call call
        uint32_t mould
        uint32_t lines
    struct sf_sender:
        pass
    sf_sender *sf_sender_new(const sf_sender_settings *settings)
    sf_sender *sf_sender_free(sf_sender *sender)
    c_bool sf_sender_add_mould(sf_sender *sender, const sf_mould *mould)
    c_bool sf_sender_add_call(sf_sender *sender, const sf_planned *planned)
    size_t sf_sender_moulds(const sf_sender *sender)
    c_bool sf_sender_run(sf_sender *sender, uint64_t until_us)
    size_t sf_sender_left(const sf_sender *sender)
    const sf_sent *sf_sender_sent(const sf_sender *sender)


# ---- capture clients: outbox.h ----

cdef extern from "lane.h" nogil:
    enum sf_lane_drop:
        SF_LANE_TAKEN, SF_LANE_FULL, SF_LANE_TOO_LARGE, SF_LANE_DROPS
    struct sf_frame_head:
        sf_slice octets
        uint32_t time_at


cdef extern from "outbox.h" nogil:
    struct sf_outbox_settings:
        uint32_t nodes
        uint32_t sockets
        uint32_t budget
        uint32_t slots
        uint32_t most
        c_bool offload
        sf_intake *intake
    struct sf_outbox_sum:
        uint64_t queued
        uint64_t sent
        uint64_t datagrams
        uint64_t octets
        uint64_t dropped[3]
        uint64_t lost
        uint64_t errors
        int last_errno
    struct sf_outbox:
        pass
    sf_outbox *sf_outbox_new(const sf_outbox_settings *settings, uint32_t client_id)
    sf_outbox *sf_outbox_free(sf_outbox *outbox)
    void sf_outbox_forked(sf_outbox *outbox, uint32_t client_id)
    void sf_outbox_direct(
        sf_outbox *outbox, uint32_t node, uint8_t family, const uint8_t *ip, uint16_t port, uint32_t scope
    )
    uint32_t sf_outbox_lane(const sf_outbox *outbox, uint32_t node, sf_slice call_id)
    sf_lane_drop sf_outbox_put(
        sf_outbox *outbox, uint32_t lane, sf_frame_head head, uint64_t time_us, sf_slice payload
    )
    c_bool sf_outbox_dormant(const sf_outbox *outbox)
    void sf_outbox_run(sf_outbox *outbox)
    c_bool sf_outbox_flush(sf_outbox *outbox, uint32_t timeout_ms)
    void sf_outbox_stop(sf_outbox *outbox, uint32_t timeout_ms)
    sf_outbox_sum sf_outbox_sum_of(const sf_outbox *outbox, uint32_t node)


# ---- level.h ----

cdef extern from "level.h" nogil:
    struct sf_level:
        uint64_t energy
        uint32_t samples
        uint32_t clipped
        uint32_t peak
    size_t sf_levels_g711(const uint32_t *offset, const uint32_t *length, size_t count, sf_slice data, c_bool alaw,
                          sf_level *out)
    sf_level sf_level_pcm(const int16_t *samples, size_t n)


# ---- worst.h ----

cdef extern from "worst.h" nogil:
    struct sf_opinion:
        int scale
        double mos
    sf_opinion sf_worst_opinion(unsigned payload_type, double loss_percent)


cdef extern from "tone.h" nogil:
    enum:
        SF_TONE_LEAST
    ctypedef struct sf_spoken "struct sf_spoken":
        uint32_t length
    ctypedef struct sf_tone_key "struct sf_tone_key":
        pass
    ctypedef struct sf_tone "struct sf_tone":
        pass
    void sf_tone_begin(sf_tone *it)
    size_t sf_tone_hear(sf_tone *it, const sf_spoken *rows, size_t count, sf_slice data, sf_tone_key *out, size_t room)
    size_t sf_tone_end(sf_tone *it, sf_tone_key *out)
