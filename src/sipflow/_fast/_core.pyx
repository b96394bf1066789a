# cython: language_level=3
"""Glue between the C core and Python: takes octets, gives values, and decides nothing."""

import os

from cpython cimport array
from cpython.buffer cimport PyBUF_SIMPLE, PyBuffer_Release, PyObject_GetBuffer
from cpython.bytearray cimport PyByteArray_AS_STRING, PyByteArray_FromStringAndSize
from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize
from libc.errno cimport errno
from libc.stdlib cimport calloc, free, malloc
from libc.string cimport memcpy, memset
from posix.time cimport CLOCK_REALTIME, clock_gettime, timespec

import array


cdef inline sf_slice slice_of(bytes octets):
    return sf_slice_of(PyBytes_AS_STRING(octets), len(octets))


cdef inline bytes octets_of(sf_slice s):
    return PyBytes_FromStringAndSize(<const char *>s.p, s.n) if s.n > 0 else b""


# ---- frames and datagrams ----

cdef tuple packet_tuple(const sf_packet *packet):
    cdef size_t octets = 16 if packet.family == 6 else 4
    return (
        packet.kind,
        packet.family,
        PyBytes_FromStringAndSize(<const char *>packet.src, octets),
        packet.src_port,
        PyBytes_FromStringAndSize(<const char *>packet.dst, octets),
        packet.dst_port,
        packet.time_us,
        packet.client_id,
        bool(packet.has_metadata),
        packet.leg,
        octets_of(packet.call_id),
        octets_of(packet.payload),
    )


def parse_datagram(bytes octets):
    cdef sf_datagram datagram
    cdef sf_slice frame
    cdef sf_packet packet
    cdef sf_status status = sf_datagram_open(slice_of(octets), &datagram)
    if status != SF_OK:
        return None, [(<bytes>sf_status_name(status)).decode()]
    packets = []
    refused = []
    while sf_datagram_next(&datagram, &frame):
        status = sf_packet_parse(frame, &packet)
        if status == SF_OK:
            packets.append(packet_tuple(&packet))
        else:
            refused.append((<bytes>sf_status_name(status)).decode())
    return packets, refused


def encode_frame(unsigned version, uint8_t kind, uint8_t family, bytes src, uint16_t src_port, bytes dst,
                 uint16_t dst_port, uint64_t time_us,
                 uint32_t client_id, bytes call_id, leg, bytes payload):
    cdef sf_packet packet
    cdef size_t octets = 16 if family == 6 else 4
    if len(src) != octets or len(dst) != octets:
        raise ValueError(f"family {family} takes addresses of {octets} octets")
    memset(&packet, 0, sizeof(packet))
    packet.time_us = time_us
    packet.client_id = client_id
    packet.leg = 0 if leg is None else leg
    packet.kind = kind
    packet.family = family
    packet.has_metadata = leg is not None or len(call_id) > 0
    packet.src_port = src_port
    packet.dst_port = dst_port
    memcpy(packet.src, <const char *>src, octets)
    memcpy(packet.dst, <const char *>dst, octets)
    packet.call_id = slice_of(call_id)
    packet.payload = slice_of(payload)
    out = PyBytes_FromStringAndSize(NULL, sf_packet_size(&packet, version))
    sf_packet_encode(&packet, version, <uint8_t *>PyBytes_AS_STRING(out))
    return out


# ---- HEP ----

cdef class HepReader:
    """Owns one sf_hep_reader; see _core.pyi."""

    cdef sf_hep_reader *reader

    def __cinit__(self, bytes key=b""):
        self.reader = sf_hep_reader_new(slice_of(key))
        if self.reader is NULL:
            raise MemoryError

    def __dealloc__(self):
        self.reader = sf_hep_reader_free(self.reader)

    def read(self, bytes octets, uint64_t arrival_us):
        cdef sf_packet packet
        cdef sf_status status
        sf_hep_reader_clear(self.reader)
        status = sf_hep_read(self.reader, slice_of(octets), arrival_us, &packet)
        return packet_tuple(&packet) if status == SF_OK else (<bytes>sf_status_name(status)).decode()


def hep_looks_like(bytes octets):
    return bool(sf_hep_reader_knows(slice_of(octets)))


# ---- SIP, RTP ----

def sip_head(bytes message):
    cdef sf_sip head
    sf_sip_scan(slice_of(message), &head)
    return (
        bool(head.is_request),
        octets_of(head.method),
        octets_of(head.uri),
        head.status if head.is_response else None,
        octets_of(head.reason),
        octets_of(head.call_id) if head.has_call_id else None,
        octets_of(head.sender.uri),
        octets_of(head.sender.user),
        octets_of(head.sender.tag),
        octets_of(head.to.uri),
        octets_of(head.to.user),
        octets_of(head.to.tag),
        head.cseq if head.has_cseq else None,
        octets_of(head.cseq_method),
        octets_of(head.user_agent),
        octets_of(head.branch),
        octets_of(head.content_type),
        head.content_length if head.has_content_length else None,
        head.body,
    )


def sip_looks_like(bytes octets):
    return bool(sf_sip_looks_like(slice_of(octets)))


def rtp_kind(bytes packet):
    return <int>sf_rtp_kind_of(slice_of(packet))


def rtp_head(bytes packet):
    cdef sf_rtp head
    if not sf_rtp_parse(slice_of(packet), &head):
        return None
    return (bool(head.marker), head.payload_type, head.sequence, head.timestamp, head.ssrc, octets_of(head.payload))


# ---- G.711, checksum, placement ----

cdef enum:
    ULAW = 0
    ALAW = 1


def g711_decode(bytes codes, int law):
    cdef size_t n = len(codes)
    out = PyBytes_FromStringAndSize(NULL, 2 * n)
    cdef int16_t *samples = <int16_t *>PyBytes_AS_STRING(out)
    cdef const uint8_t *p = <const uint8_t *>PyBytes_AS_STRING(codes)
    with nogil:
        if law == ALAW:
            sf_alaw_decode(p, samples, n)
        else:
            sf_ulaw_decode(p, samples, n)
    return out


def g711_encode(bytes samples, int law):
    cdef size_t n = len(samples) // 2
    out = PyBytes_FromStringAndSize(NULL, n)
    cdef uint8_t *codes = <uint8_t *>PyBytes_AS_STRING(out)
    cdef const int16_t *p = <const int16_t *>PyBytes_AS_STRING(samples)
    with nogil:
        if law == ALAW:
            sf_alaw_encode(p, codes, n)
        else:
            sf_ulaw_encode(p, codes, n)
    return out


# Below so many octets giving the interpreter's lock away costs more than the checksum.
cdef Py_ssize_t WORTH_THE_LOCK = 4096


def crc32c(octets, uint32_t crc=0):
    cdef Py_buffer view
    PyObject_GetBuffer(octets, &view, PyBUF_SIMPLE)
    if view.len < WORTH_THE_LOCK:
        crc = sf_crc32c(crc, view.buf, <size_t>view.len)
    else:
        with nogil:
            crc = sf_crc32c(crc, view.buf, <size_t>view.len)
    PyBuffer_Release(&view)
    return crc


def jump_node(bytes call_id, int nodes):
    return sf_jump(slice_of(call_id), nodes)


# --- blocks of data.raw ---

BLOCK_HEAD_LENGTH = SF_BLOCK_HEAD
BLOCK_VERSION = SF_BLOCK_VERSION
BLOCK_SKIPPABLE = SF_BLOCK_SKIPPABLE
BLOCK_RAW_MAX = SF_BLOCK_RAW_MAX
BLOCK_NEWER = <int>SF_BLOCK_NEWER
BLOCK_UNKNOWN = <int>SF_BLOCK_UNKNOWN
BLOCK_FIELDS = {
    "skippable": SF_BLOCK_AT_SKIPPABLE,
    "size": SF_BLOCK_AT_SIZE,
    "magic": SF_BLOCK_AT_MAGIC,
    "version": SF_BLOCK_AT_VERSION,
    "kind": SF_BLOCK_AT_KIND,
    "transform": SF_BLOCK_AT_TRANSFORM,
    "flags": SF_BLOCK_AT_FLAGS,
    "reserved": SF_BLOCK_AT_RESERVED,
    "records": SF_BLOCK_AT_RECORDS,
    "raw_length": SF_BLOCK_AT_RAW_LENGTH,
    "frame_length": SF_BLOCK_AT_FRAME_LENGTH,
    "frame_crc": SF_BLOCK_AT_FRAME_CRC,
    "chunk": SF_BLOCK_AT_CHUNK,
    "t0_us": SF_BLOCK_AT_T0,
    "t1_us": SF_BLOCK_AT_T1,
    "header_crc": SF_BLOCK_AT_HEADER_CRC,
}


cdef class Octets:
    """Holds one Py_buffer for as long as the object lives."""

    cdef Py_buffer view
    cdef bint held

    def __cinit__(self, source):
        PyObject_GetBuffer(source, &self.view, PyBUF_SIMPLE)
        self.held = True

    def __dealloc__(self):
        if self.held:
            PyBuffer_Release(&self.view)

    cdef const uint8_t *at(self) noexcept nogil:
        return <const uint8_t *>self.view.buf

    cdef size_t length(self) noexcept nogil:
        return <size_t>self.view.len

    cdef size_t items(self, size_t size, str name) except? 0:
        if self.length() % size != 0:
            raise ValueError(f"{name}: found {self.length()} octets; allowed: a multiple of {size}")
        return self.length() // size


cdef str text_of(sf_slice octets):
    return octets.p[:octets.n].decode("utf-8", "replace")


cdef bytes address_of(const uint8_t *ip, uint8_t family):
    return ip[:16 if family == 6 else 4]


cdef tuple identity_of(const sf_chunk_identity *identity, sf_slice call_id):
    return (
        text_of(call_id),
        identity.leg if identity.has_leg else None,
        identity.client_id,
        address_of(identity.src, identity.family),
        identity.src_port,
        address_of(identity.dst, identity.family),
        identity.dst_port,
        identity.ssrc if identity.has_ssrc else None,
        bool(identity.clock_skew),
    )


cdef tuple message_of(const sf_message *message):
    return (
        text_of(message.call_id),
        message.time_us,
        message.arrival_us,
        address_of(message.src, message.family),
        message.src_port,
        address_of(message.dst, message.family),
        message.dst_port,
        message.payload.p[:message.payload.n],
        message.leg if message.has_leg else None,
        message.client_id,
        bool(message.clock_skew),
    )


cdef Exception refusal(sf_block_status status):
    return MemoryError() if status == SF_BLOCK_NO_MEMORY else ValueError(sf_block_status_text(status).decode())


def block_status_text(int status):
    return sf_block_status_text(<sf_block_status>status).decode()


def block_header_encode(head):
    cdef Octets source = Octets(head)
    if source.length() != sizeof(sf_block):
        raise ValueError(f"head: found {source.length()} octets; allowed: {sizeof(sf_block)}")
    cdef uint8_t octets[SF_BLOCK_HEAD]
    sf_block_encode(<const sf_block *>source.at(), octets)
    return (<const uint8_t *>octets)[:SF_BLOCK_HEAD]


def block_header_decode(octets):
    cdef Octets source = Octets(octets)
    cdef sf_block block
    cdef sf_block_status status = sf_block_decode(sf_slice_of(source.at(), source.length()), &block)
    if status != SF_BLOCK_OK and status != SF_BLOCK_UNKNOWN:
        return <int>status, None
    return <int>status, (
        block.version,
        block.kind,
        block.transform,
        block.flags,
        block.records,
        block.raw_length,
        block.frame_length,
        block.frame_crc,
        block.chunk,
        block.t0_us,
        block.t1_us,
    )


def block_verify(octets):
    cdef Octets source = Octets(octets)
    cdef sf_block block
    cdef sf_slice whole = sf_slice_of(source.at(), source.length())
    cdef sf_block_status status
    with nogil:
        status = sf_block_decode(whole, &block)
        if status == SF_BLOCK_OK:
            status = sf_block_verify(&block, sf_slice_of(whole.p + SF_BLOCK_HEAD, whole.n - SF_BLOCK_HEAD))
    return <int>status


def block_find(octets, size_t start=0):
    cdef Octets source = Octets(octets)
    cdef sf_slice whole = sf_slice_of(source.at(), source.length())
    cdef size_t found
    with nogil:
        found = sf_block_find(whole, start)
    return found


def blocks_assemble(heads, frames):
    cdef list views = [Octets(frame) for frame in frames]
    cdef size_t count = len(views)
    cdef Octets source = Octets(heads)
    if source.items(sizeof(sf_block), "heads") != count:
        raise ValueError(f"heads: found {source.length() // sizeof(sf_block)}; allowed: one for each of {count} frames")
    cdef bytes filled = PyBytes_FromStringAndSize(<char *>source.at(), source.length())
    cdef bytes offsets = PyBytes_FromStringAndSize(NULL, count * sizeof(uint64_t))
    cdef sf_slice *slices = <sf_slice *>malloc((count + 1) * sizeof(sf_slice))
    if slices is NULL:
        raise MemoryError
    cdef Octets view
    cdef size_t i
    cdef bytes out
    cdef sf_block *blocks = <sf_block *>PyBytes_AS_STRING(filled)
    cdef uint64_t *places = <uint64_t *>PyBytes_AS_STRING(offsets)
    cdef uint8_t *dst
    try:
        for i in range(count):
            view = views[i]
            if view.length() > SF_BLOCK_FRAME_MAX:
                raise ValueError(f"frame {i}: found {view.length()} octets; allowed: {SF_BLOCK_FRAME_MAX} or fewer")
            slices[i] = sf_slice_of(view.at(), view.length())
        out = PyBytes_FromStringAndSize(NULL, sf_block_assembled(slices, count))
        dst = <uint8_t *>PyBytes_AS_STRING(out)
        with nogil:
            sf_block_assemble(blocks, slices, count, places, dst)
    finally:
        free(slices)
    return out, offsets, filled


def columns_encode_batch(pool, offsets, used, counts, chunks):
    cdef Octets memory = Octets(pool)
    cdef Octets at = Octets(offsets)
    cdef Octets lengths = Octets(used)
    cdef Octets records = Octets(counts)
    cdef Octets ids = Octets(chunks)
    cdef size_t count = at.items(sizeof(uint64_t), "offsets")
    if (
        lengths.items(sizeof(uint32_t), "used") != count
        or records.items(sizeof(uint32_t), "counts") != count
        or ids.items(sizeof(uint64_t), "chunks") != count
    ):
        raise ValueError(f"found {count} offsets; allowed: as many of used, counts and chunks")
    cdef const uint64_t *starts = <const uint64_t *>at.at()
    cdef const uint32_t *sizes = <const uint32_t *>lengths.at()
    cdef const uint32_t *numbers = <const uint32_t *>records.at()
    cdef const uint64_t *names = <const uint64_t *>ids.at()
    cdef const uint8_t *base = memory.at()
    cdef size_t pool_length = memory.length()
    cdef size_t capacity = 0
    cdef size_t i
    for i in range(count):
        if starts[i] > pool_length or pool_length - starts[i] < sizes[i]:
            raise ValueError(f"chunk {i}: found octets {starts[i]} to {starts[i] + sizes[i]}; allowed: within the pool")
        capacity += sf_columns_bound(sizes[i])
    cdef bytes out = PyBytes_FromStringAndSize(NULL, capacity)
    cdef bytes segments = PyBytes_FromStringAndSize(NULL, count * 2 * sizeof(uint64_t))
    cdef bytes heads = PyBytes_FromStringAndSize(NULL, count * sizeof(sf_block))
    cdef uint8_t *dst = <uint8_t *>PyBytes_AS_STRING(out)
    cdef uint64_t *places = <uint64_t *>PyBytes_AS_STRING(segments)
    cdef sf_block *blocks = <sf_block *>PyBytes_AS_STRING(heads)
    cdef size_t position = 0
    cdef size_t kept = 0
    cdef size_t length
    cdef size_t payload_at
    cdef list refused = []
    with nogil:
        for i in range(count):
            length = sf_columns_encode(base + starts[i], sizes[i], numbers[i], dst + position, &blocks[kept], &payload_at)
            if length == 0:
                with gil:
                    refused.append(i)
                continue
            blocks[kept].chunk = names[i]
            places[2 * kept] = position
            places[2 * kept + 1] = length
            position += length
            kept += 1
    if refused:
        segments = segments[:kept * 2 * sizeof(uint64_t)]
        heads = heads[:kept * sizeof(sf_block)]
    return out, segments, heads, refused


def columns_decode(content):
    cdef Octets source = Octets(content)
    cdef sf_columns columns
    cdef sf_block_status status = sf_columns_open(sf_slice_of(source.at(), source.length()), &columns)
    if status != SF_BLOCK_OK:
        raise refusal(status)
    cdef bytes rows = PyBytes_FromStringAndSize(NULL, columns.count * sizeof(sf_rtp_row))
    cdef bytes data = PyBytes_FromStringAndSize(NULL, columns.data_length)
    cdef sf_rtp_row *row = <sf_rtp_row *>PyBytes_AS_STRING(rows)
    cdef uint8_t *dst = <uint8_t *>PyBytes_AS_STRING(data)
    with nogil:
        sf_columns_decode(&columns, row, dst)
    return identity_of(&columns.identity, columns.call_id), rows, data


def chunk_rows(memory, unsigned count):
    cdef Octets source = Octets(memory)
    cdef sf_chunk chunk
    cdef int64_t length = sf_chunk_data_length(source.at(), source.length(), count)
    if length < 0 or not sf_chunk_open(source.at(), source.length(), &chunk):
        raise ValueError(f"not a chunk of {count} records in {source.length()} octets")
    cdef bytes rows = PyBytes_FromStringAndSize(NULL, count * sizeof(sf_rtp_row))
    cdef bytes data = PyBytes_FromStringAndSize(NULL, length)
    cdef sf_rtp_row *row = <sf_rtp_row *>PyBytes_AS_STRING(rows)
    cdef uint8_t *dst = <uint8_t *>PyBytes_AS_STRING(data)
    cdef const uint8_t *base = source.at()
    cdef size_t used = source.length()
    cdef bint sound
    with nogil:
        sound = sf_chunk_rows(base, used, count, row, dst, <size_t>length)
    if not sound:
        raise ValueError(f"a chunk of {count} records changed while it was read")
    return identity_of(&chunk.identity, chunk.call_id), rows, data


cdef tuple encoded_messages(arena, unsigned count):
    """Gives content, block head, where payload begins, and the entries of a message block."""
    cdef Octets source = Octets(arena)
    cdef size_t used = source.length()
    # A record takes more octets than its entry: an arena that cannot hold `count` is refused before memory is asked for.
    if count > used // 80:
        raise ValueError(f"not an arena of {count} messages in {used} octets")
    cdef bytes entries = PyBytes_FromStringAndSize(NULL, count * sizeof(sf_message_entry))
    cdef bytes out = PyBytes_FromStringAndSize(NULL, sf_messages_bound(used))
    cdef sf_message_entry *places = <sf_message_entry *>PyBytes_AS_STRING(entries)
    cdef uint8_t *dst = <uint8_t *>PyBytes_AS_STRING(out)
    cdef const uint8_t *base = source.at()
    cdef sf_block block
    cdef size_t length
    cdef size_t payload_at
    with nogil:
        length = sf_messages_encode(base, used, count, places, dst, &block, &payload_at)
    if length == 0:
        raise ValueError(f"not an arena of {count} messages in {used} octets")
    return out[:length], (<const uint8_t *>&block)[:sizeof(sf_block)], payload_at, entries


def messages_encode(arena, unsigned count):
    content, head, _, entries = encoded_messages(arena, count)
    cdef const sf_message_entry *places = <const sf_message_entry *>PyBytes_AS_STRING(entries)
    fields = messages_decode_all(content, (<const sf_block *>PyBytes_AS_STRING(head)).transform)
    return content, head, [(places[i].position, places[i].order, one) for i, (_, one) in enumerate(fields)]


def messages_block(arena, unsigned count):
    return encoded_messages(arena, count)[:3]


def messages_decode_at(content, unsigned transform, size_t position):
    cdef Octets source = Octets(content)
    cdef sf_message message
    cdef sf_block_status status = sf_message_at(
        sf_slice_of(source.at(), source.length()), transform, position, &message)
    if status != SF_BLOCK_OK:
        raise refusal(status)
    return message_of(&message)


def messages_lift(content, unsigned transform, runs):
    cdef Octets source = Octets(content)
    cdef Octets wanted = Octets(runs)
    cdef size_t count = wanted.items(sizeof(sf_run), "runs")
    cdef bytes ends = PyBytes_FromStringAndSize(NULL, count * sizeof(uint64_t))
    cdef uint64_t *at = <uint64_t *>PyBytes_AS_STRING(ends)
    cdef const sf_run *first = <const sf_run *>wanted.at()
    cdef sf_slice octets = sf_slice_of(source.at(), source.length())
    cdef sf_octets arena
    cdef sf_block_status status
    arena.p = NULL
    arena.n = arena.room = 0
    try:
        with nogil:
            status = sf_lift(octets, transform, first, count, &arena, at)
        if status != SF_BLOCK_OK:
            raise refusal(status)
        return arena.p[:arena.n] if arena.n > 0 else b"", ends
    finally:
        sf_octets_free(&arena)


def messages_decode_all(content, unsigned transform):
    cdef Octets source = Octets(content)
    cdef sf_messages messages
    cdef sf_message message
    cdef sf_block_status status = sf_messages_open(
        sf_slice_of(source.at(), source.length()), transform, &messages)
    if status != SF_BLOCK_OK:
        raise refusal(status)
    cdef list found = []
    while sf_messages_next(&messages, &message):
        found.append((message.position, message_of(&message)))
    return found


def arena_messages(memory, unsigned count):
    cdef Octets source = Octets(memory)
    cdef sf_message message
    cdef size_t position = 0
    cdef list found = []
    cdef unsigned i
    for i in range(count):
        if not sf_message_of_arena(source.at(), source.length(), position, &message):
            raise ValueError(f"not an arena of {count} messages in {source.length()} octets")
        found.append(message_of(&message))
        position = message.next
    return found


# ---- pool, intake, receiver ----

LEDGERS = <int>SF_POOL_RECEIVERS
POOL_MAGIC = int(SF_POOL_MAGIC)
POOL_VERSION = <int>SF_POOL_VERSION

cdef object _errno_error(str path):
    return OSError(errno, os.strerror(errno), path)


cdef class Pool:
    """Owns one sf_pool; see _core.pyi."""

    cdef sf_pool *pool
    cdef readonly bint readonly

    def __cinit__(self):
        self.pool = NULL

    def __dealloc__(self):
        self.pool = sf_pool_free(self.pool)

    @staticmethod
    def open(str path, size_t octets, uint64_t epoch_us):
        cdef Pool self = Pool.__new__(Pool)
        cdef bytes name = os.fsencode(path)
        cdef const char *c_name = name
        with nogil:
            self.pool = sf_pool_open(c_name, octets, epoch_us)
        if self.pool is NULL:
            raise _errno_error(path)
        return self

    @staticmethod
    def attach(str path):
        cdef Pool self = Pool.__new__(Pool)
        cdef bytes name = os.fsencode(path)
        cdef const char *c_name = name
        with nogil:
            self.pool = sf_pool_attach(c_name)
        if self.pool is NULL:
            raise _errno_error(path)
        self.readonly = True
        return self

    def occupied(self):
        cdef uint32_t chunk
        return [chunk for chunk in range(sf_pool_chunks(self.pool)) if sf_pool_desc(self.pool, chunk).state != SF_FREE]

    def recover(self):
        cdef uint64_t packets
        cdef unsigned chunks = sf_pool_recover(self.pool, &packets)
        return chunks, packets

    def take(self, unsigned most, int timeout_ms):
        cdef array.array chunks = array.array("I", bytes(4 * most))
        cdef uint32_t *at = <uint32_t *>chunks.data.as_uints
        cdef unsigned n
        with nogil:
            n = sf_pool_take(self.pool, at, most, timeout_ms)
        return chunks[:n].tolist()

    def wake(self):
        sf_pool_wake(self.pool)

    def release(self, list chunks):
        cdef uint32_t chunk
        for chunk in chunks:
            if chunk >= sf_pool_chunks(self.pool):
                raise IndexError(chunk)
            sf_pool_release(self.pool, chunk)

    def chunk_id(self, uint32_t chunk):
        if chunk >= sf_pool_chunks(self.pool):
            raise IndexError(chunk)
        return sf_pool_desc(self.pool, chunk).id

    def free_chunks(self):
        return (sf_pool_free_chunks(self.pool, SF_STREAM_CLASS), sf_pool_free_chunks(self.pool, SF_SIP_CLASS))

    def total_chunks(self):
        cdef sf_pool_head *head = sf_pool_head_of(self.pool)
        return (head.chunks[<int>SF_STREAM_CLASS], head.chunks[<int>SF_SIP_CLASS])

    def octets(self):
        return sf_pool_head_of(self.pool).octets

    def pending(self):
        return sf_pool_head_of(self.pool).pending

    def queued(self):
        return sf_pool_queued(self.pool)

    def client_taken(self, uint32_t client_id):
        return sf_pool_client_taken(self.pool, client_id)

    def write_note(self, bytes note):
        return sf_pool_write_note(self.pool, sf_slice_of(<const char *>note, len(note)))

    def read_note(self):
        cdef bytearray note = bytearray(SF_POOL_NOTE_OCTETS)
        cdef uint8_t *dst = <uint8_t *>PyByteArray_AS_STRING(note)
        cdef uint32_t n
        with nogil:
            n = sf_pool_read_note(self.pool, dst)
        return bytes(note[:n])

    def ledger(self):
        """Sums the ledgers of all receivers."""
        cdef sf_pool_head *head = sf_pool_head_of(self.pool)
        cdef sf_ledger *one
        cdef int i, reason
        names = ("datagrams", "octets", "kernel_drops", "frames", "sip", "rtp", "clock_skew", "unidentified",
                 "refused_datagrams")
        sums = dict.fromkeys(names, 0)
        refused = {(<bytes>sf_status_name(<sf_status>reason)).decode(): 0 for reason in range(1, SF_STATUS_COUNT)}
        for i in range(SF_POOL_RECEIVERS):
            one = &head.ledgers[i]
            values = (one.datagrams, one.octets, one.kernel_drops, one.frames, one.taken[0], one.taken[1],
                      one.clock_skew, one.unidentified, one.refused_datagrams)
            for name, value in zip(names, values):
                sums[name] += value
            for reason in range(1, SF_STATUS_COUNT):
                refused[(<bytes>sf_status_name(<sf_status>reason)).decode()] += one.refused[reason]
        return sums, refused

    def heartbeats(self):
        cdef sf_pool_head *head = sf_pool_head_of(self.pool)
        cdef int i
        return [head.ledgers[i].heartbeat_us for i in range(SF_POOL_RECEIVERS) if head.ledgers[i].heartbeat_us]

    def live(self, bytes call_id, bint sip, bint streams):
        cdef sf_slice wanted = slice_of(call_id)
        cdef uint64_t call_hash = sf_pool_call_hash(self.pool, wanted)
        cdef bytearray scratch = bytearray(sf_pool_sip_chunk(self.pool))
        cdef uint8_t *dst = <uint8_t *>PyByteArray_AS_STRING(scratch)
        cdef uint32_t chunk, count, octets, total = sf_pool_chunks(self.pool)
        cdef uint64_t id
        cdef size_t used
        cdef bint one_call = len(call_id) > 0
        cdef c_bool is_sip
        found = []
        chunk = 0
        while chunk < total:
            used = 0
            with nogil:
                while chunk < total and used == 0:
                    is_sip = sf_pool_desc(self.pool, chunk).kind == SF_SIP_CLASS
                    if is_sip and sip and one_call:
                        used = sf_pool_call_records(self.pool, chunk, wanted, dst, &id, &count)
                    elif (is_sip and sip) or (not is_sip and streams):
                        used = sf_pool_snapshot(self.pool, chunk, call_hash, dst, &id, &count)
                    if used > 0:
                        octets = <uint32_t>used
                        count = (sf_arena_sound if is_sip else sf_chunk_sound)(dst, &octets, count, id)
                        used = octets if count > 0 else 0
                    chunk += 1
            if used > 0:
                found.append((bool(is_sip), id, count, bytes(scratch[:used])))
        return found

    def sync(self):
        cdef int code
        with nogil:
            code = sf_pool_sync(self.pool)
        if code != 0:
            raise OSError(code, os.strerror(code))

    @property
    def pressure(self):
        return sf_pool_head_of(self.pool).pressure

    @pressure.setter
    def pressure(self, uint32_t level):
        if self.readonly:
            raise ValueError("the pool is mapped read-only")
        sf_pool_head_of(self.pool).pressure = level

    def short_of_sip(self):
        return bool(sf_pool_head_of(self.pool).short_of_sip)

    def sources(self):
        cdef sf_pool_head *head = sf_pool_head_of(self.pool)
        cdef sf_source *one
        cdef int i
        found = []
        for i in range(SF_POOL_SOURCES):
            one = &head.sources[i]
            if one.family:
                found.append((address_of(one.ip, <uint8_t>one.family), one.datagrams, one.octets, one.taken[0],
                              one.taken[1], one.refused, one.seen_us))
        return found

    def clients(self):
        cdef sf_pool_head *head = sf_pool_head_of(self.pool)
        cdef int i
        return [
            (head.clients[i].client_id, head.clients[i].taken, head.clients[i].seen_us)
            for i in range(SF_POOL_CLIENTS) if head.clients[i].client_id
        ]


cdef class Roster:
    """Owns one sf_roster; see _core.pyi."""

    cdef sf_roster *roster
    cdef Pool pool

    def __cinit__(self, Pool pool not None, bint heads):
        cdef sf_pool *mapped = pool.pool
        self.pool = pool
        with nogil:
            self.roster = sf_roster_read(mapped, heads)
        if self.roster is NULL:
            raise MemoryError

    def __dealloc__(self):
        self.roster = sf_roster_free(self.roster)

    def __len__(self):
        return sf_roster_count(self.roster)

    cdef tuple called(self, uint32_t number):
        cdef sf_roster_call call = sf_roster_call_of(self.roster, number)
        return (call.first_us, text_of(call.call_id), call.last_us, bool(call.begins), text_of(call.from_user),
                text_of(call.to_user))

    def newest(self, before, uint32_t most):
        cdef array.array numbers = array.array("I", bytes(4 * most))
        cdef uint32_t *at = <uint32_t *>numbers.data.as_uints
        cdef sf_slice call_id = sf_slice_of(NULL, 0)
        cdef int64_t first_us = 0
        cdef bytes name
        cdef uint32_t n, i
        if before is not None:
            first_us, name = before
            call_id = sf_slice_of(PyBytes_AS_STRING(name), len(name))
        with nogil:
            n = sf_roster_newest(self.roster, first_us, call_id, at, most)
        return [self.called(at[i]) for i in range(n)]

    def find(self, bytes call_id):
        cdef uint32_t number = sf_roster_find(self.roster, slice_of(call_id))
        return None if number == SF_ROSTER_END else self.called(number)

    def messages(self, bytes call_id):
        cdef uint32_t number = sf_roster_find(self.roster, slice_of(call_id)), at = 0
        cdef sf_roster_packets packets
        cdef c_bool more
        found = []
        while number != SF_ROSTER_END:
            with nogil:
                more = sf_roster_messages(self.roster, number, &at, &packets)
            if not more:
                break
            found.append((packets.chunk_id, packets.count, octets_of(packets.octets)))
        return found

    def media(self, bytes call_id):
        cdef sf_slice wanted = slice_of(call_id)
        cdef uint32_t at = 0
        cdef sf_roster_packets packets
        cdef c_bool more
        found = []
        while True:
            with nogil:
                more = sf_roster_media(self.roster, wanted, &at, &packets)
            if not more:
                return found
            found.append((packets.chunk_id, packets.count, octets_of(packets.octets)))


cdef sf_peer peer_at(bytes ip):
    cdef sf_peer peer
    memset(&peer, 0, sizeof(peer))
    if len(ip) in (4, 16):
        peer.family = 6 if len(ip) == 16 else 4
        memcpy(peer.ip, <const char *>ip, len(ip))
    return peer


cdef class Intake:
    """Owns one sf_intake; see _core.pyi."""

    cdef sf_intake *intake
    cdef Pool pool
    cdef HepReader hep

    def __cinit__(self, Pool pool, unsigned slot, uint64_t flush_interval_us, uint64_t flush_count, bint media,
                  bint trust_time):
        cdef sf_intake_limits limits
        limits.flush_interval_us = flush_interval_us
        limits.flush_count = flush_count
        limits.media = media
        limits.trust_time = trust_time
        self.pool = pool
        self.intake = sf_intake_new(pool.pool, slot, limits)
        if self.intake is NULL:
            raise MemoryError

    def __dealloc__(self):
        self.intake = sf_intake_free(self.intake)

    def put(self, int kind, int family, bytes src, int src_port, bytes dst, int dst_port, uint64_t time_us,
            uint32_t client_id, bytes call_id, leg, bytes payload, uint64_t now_us):
        cdef sf_packet packet
        cdef size_t octets = 16 if family == 6 else 4
        if len(src) != octets or len(dst) != octets:
            raise ValueError(f"family {family} takes addresses of {octets} octets")
        memset(&packet, 0, sizeof(packet))
        packet.time_us = time_us
        packet.client_id = client_id
        packet.leg = 0 if leg is None else leg
        packet.kind = kind
        packet.family = family
        packet.has_metadata = leg is not None or len(call_id) > 0
        packet.src_port = src_port
        packet.dst_port = dst_port
        memcpy(packet.src, <const char *>src, octets)
        memcpy(packet.dst, <const char *>dst, octets)
        packet.call_id = sf_slice_of(<const char *>call_id, len(call_id))
        packet.payload = sf_slice_of(<const char *>payload, len(payload))
        sf_intake_put(self.intake, &packet, 1, now_us)

    def datagram(self, bytes octets, uint64_t now_us):
        cdef sf_peer unknown
        memset(&unknown, 0, sizeof(unknown))
        sf_intake_datagram(self.intake, sf_slice_of(<const char *>octets, len(octets)), &unknown, now_us)
        sf_intake_flush_batch(self.intake, now_us)

    def take_hep(self, HepReader reader not None, bint alone):
        self.hep = reader
        sf_intake_take_hep(self.intake, reader.reader, alone)

    def stream(self, const uint8_t[::1] octets not None, bytes ip, uint64_t now_us):
        cdef sf_peer peer = peer_at(ip)
        cdef sf_slice given = sf_slice_of(NULL, 0)
        cdef sf_status status
        cdef size_t taken
        if octets.shape[0] > 0:
            given = sf_slice_of(&octets[0], octets.shape[0])
        with nogil:
            status = sf_intake_stream(self.intake, given, &peer, now_us, &taken)
        return taken, "" if status == SF_OK else (<bytes>sf_status_name(status)).decode()

    def refuse_cut(self, bytes octets, bytes ip, uint64_t now_us):
        cdef sf_peer peer = peer_at(ip)
        sf_intake_refuse(self.intake, slice_of(octets), &peer, SF_TRUNCATED, now_us)

    def refuse_foreign(self, bytes ip, uint64_t now_us):
        cdef sf_peer peer = peer_at(ip)
        sf_intake_refuse(self.intake, sf_slice_of(NULL, 0), &peer, SF_FOREIGN_SOURCE, now_us)

    def beat(self):
        sf_intake_beat(self.intake)

    def sweep(self):
        sf_intake_sweep(self.intake)

    def drain(self):
        sf_intake_drain(self.intake)


cdef class Receiver:
    """Owns one sf_receiver; see _core.pyi."""

    cdef sf_receiver *receiver
    cdef Intake intake

    def __cinit__(self, int fd, Intake intake, list networks):
        cdef size_t n = len(networks), i
        cdef bytearray table = bytearray((n + 1) * sizeof(sf_network))
        cdef sf_network *network = <sf_network *>PyByteArray_AS_STRING(table)
        cdef bytes ip
        for i in range(n):
            ip = networks[i][0]
            network[i].family = 6 if len(ip) == 16 else 4
            network[i].bits = networks[i][1]
            memcpy(network[i].ip, <const char *>ip, len(ip))
        self.intake = intake
        self.receiver = sf_receiver_new(fd, intake.intake, network, n)
        if self.receiver is NULL:
            raise MemoryError

    def __dealloc__(self):
        self.receiver = sf_receiver_free(self.receiver)

    def run(self):
        cdef int result
        with nogil:
            result = sf_receiver_run(self.receiver)
        if result < 0:
            raise OSError(-result, os.strerror(-result))

    def stop(self):
        sf_receiver_stop(self.receiver)


def receive_buffer(int fd, int octets):
    return sf_receive_buffer(fd, octets)


def rows_facts(bytes rows, bytes data, bint is_rtp, bint clock_skew):
    cdef sf_chunk_facts facts
    memset(&facts, 0, sizeof(facts))
    facts.has_ssrc = is_rtp
    facts.clock_skew = clock_skew
    if len(rows) % 40 != 0 or not sf_rows_facts(<const sf_rtp_row *>PyBytes_AS_STRING(rows), len(rows) // 40,
                                                slice_of(data), &facts):
        raise ValueError("rows do not fit their data")
    return PyBytes_FromStringAndSize(<const char *>&facts, sizeof(facts))


# ---- storing: portions, the encoder, the index ----

cdef class Portion:
    """Owns one sf_portion; see _core.pyi."""

    cdef sf_portion *portion

    def __cinit__(self, int64_t period_us=0):
        self.portion = sf_portion_new(period_us)
        if self.portion is NULL:
            raise MemoryError

    def __dealloc__(self):
        self.portion = sf_portion_free(self.portion)

    def add(self, uint64_t offset, bytes header, content):
        cdef Octets octets = Octets(content)
        cdef sf_block block
        cdef sf_block_status status = sf_block_decode(slice_of(header), &block)
        if status == SF_BLOCK_OK:
            with nogil:
                status = sf_portion_read(self.portion, &block, offset, sf_slice_of(octets.at(), octets.length()))
        if status != SF_BLOCK_OK:
            raise refusal(status)

    @property
    def period_us(self):
        return self.portion.period_us

    @property
    def data(self):
        return PyBytes_FromStringAndSize(<const char *>self.portion.data.p, self.portion.data.n)

    @property
    def octets(self):
        return self.portion.data.n

    @property
    def held(self):
        return sf_portion_held(self.portion)

    @property
    def blocks(self):
        return self.portion.count

    @property
    def sip_messages(self):
        return self.portion.sip_messages

    @property
    def rtp_packets(self):
        return self.portion.rtp_packets


cdef class Encoder:
    """Owns one sf_encoder; see _core.pyi."""

    cdef sf_encoder *encoder
    cdef Pool pool

    def __cinit__(self, Pool pool not None, int64_t period_us, list known):
        cdef size_t n = len(known), i
        cdef bytearray table = bytearray((n + 1) * sizeof(sf_known))
        cdef sf_known *at = <sf_known *>PyByteArray_AS_STRING(table)
        for i in range(n):
            at[i].period_us, at[i].chunk = known[i]
        self.pool = pool
        self.encoder = sf_encoder_new(period_us, at, n)
        if self.encoder is NULL:
            raise MemoryError

    def __dealloc__(self):
        self.encoder = sf_encoder_free(self.encoder)

    def encode(self, list chunks):
        cdef size_t n = len(chunks), i
        cdef array.array wanted = array.array("I", chunks)
        cdef uint32_t *at = <uint32_t *>wanted.data.as_uints
        cdef sf_encoded encoded
        cdef c_bool done
        cdef Portion portion
        for i in range(n):
            if at[i] >= sf_pool_chunks(self.pool.pool):
                raise IndexError(at[i])
        with nogil:
            done = sf_encoder_encode(self.encoder, self.pool.pool, at, n, &encoded)
        if not done:
            raise MemoryError
        found = []
        try:
            for i in range(encoded.count):
                portion = Portion()
                portion.portion, encoded.portions[i] = encoded.portions[i], portion.portion
                found.append(portion)
        finally:
            lost = (encoded.damaged_chunks, encoded.damaged_packets, encoded.known_packets)
            sf_encoded_clear(&encoded)
        return found, *lost


cdef class IndexWriter:
    """Owns one sf_index; see _core.pyi."""

    cdef sf_index *index

    def __cinit__(self, str path, int fd, bint sync):
        cdef bytes name = os.fsencode(path)
        cdef const char *c_name = name
        cdef sf_index_error error
        with nogil:
            self.index = sf_index_open(c_name, fd, SF_INDEX_DISK if sync else SF_INDEX_PROCESS, &error)
        if self.index is NULL:
            raise OSError(error.code, error.text.decode("utf-8", "replace"), path)

    def __dealloc__(self):
        self.index = sf_index_free(self.index)

    cdef sf_index *opened(self) except NULL:
        if self.index is NULL:
            raise ValueError("the index is closed")
        return self.index

    def append(self, list portions, uint64_t replay_from):
        cdef size_t n = len(portions), i
        cdef sf_index *index = self.opened()
        cdef sf_portion **at = <sf_portion **>malloc((n + 1) * sizeof(sf_portion *))
        cdef sf_index_error error
        cdef c_bool done
        if at is NULL:
            raise MemoryError
        try:
            for i in range(n):
                at[i] = (<Portion?>portions[i]).portion
            with nogil:
                done = sf_index_append(index, <const sf_portion *const *>at, n, replay_from, &error)
        finally:
            free(at)
        if not done:
            raise OSError(error.code, error.text.decode("utf-8", "replace"))

    def run(self, str sql):
        cdef bytes text = sql.encode()
        cdef const char *statements = text
        cdef sf_index *index = self.opened()
        cdef sf_index_error error
        cdef c_bool done
        with nogil:
            done = sf_index_run(index, statements, &error)
        if not done:
            raise OSError(error.code, error.text.decode("utf-8", "replace"))

    def judge(self):
        cdef sf_index *index = self.opened()
        cdef sf_index_error error
        cdef c_bool done
        with nogil:
            done = sf_index_judge(index, &error)
        if not done:
            raise OSError(error.code, error.text.decode("utf-8", "replace"))

    def close(self):
        cdef sf_index *index = self.index
        self.index = NULL
        with nogil:
            sf_index_free(index)

    @property
    def end(self):
        return sf_index_end(self.opened())

    @property
    def blocks(self):
        return sf_index_blocks(self.opened())

    @property
    def rtp_octets(self):
        return sf_index_rtp_octets(self.opened())

    @property
    def replay_from(self):
        return sf_index_replay_from(self.opened())

    @property
    def sip_rows(self):
        return sf_index_sip_rows(self.opened())

    @property
    def media_rows(self):
        return sf_index_media_rows(self.opened())


def heap_stay_small():
    sf_heap_stay_small()


# ---- media ----

cdef size_t placed_count(const uint8_t[::1] rows, Py_ssize_t channel, Py_ssize_t channels) except? 0:
    """Tell how many packets `rows` holds, once `channel` is found to be one."""
    if <size_t>rows.shape[0] % sizeof(sf_placed):
        raise ValueError(f"rows: found {rows.shape[0]} octets; allowed: a multiple of {sizeof(sf_placed)}")
    if not 0 <= channel < channels:
        raise ValueError(f"channel: found {channel}; allowed: 0 to {channels - 1}")
    return <size_t>rows.shape[0] // sizeof(sf_placed)


def mix_placed(const uint8_t[::1] rows not None, data, int64_t start, int16_t[:, ::1] out not None,
               Py_ssize_t channel):
    cdef Octets source = Octets(data)
    cdef sf_slice octets = sf_slice_of(source.at(), source.length())
    cdef size_t count = placed_count(rows, channel, out.shape[1])
    cdef size_t refused
    if count == 0 or out.shape[0] == 0:
        return 0
    with nogil:
        refused = sf_mix(<const sf_placed *>&rows[0], count, octets, start, &out[0, channel], out.shape[0],
                         out.shape[1])
    return refused


def mix_codes(const uint8_t[::1] rows not None, data, int64_t start, uint8_t[:, ::1] out not None,
              Py_ssize_t channel):
    cdef Octets source = Octets(data)
    cdef sf_slice octets = sf_slice_of(source.at(), source.length())
    cdef size_t count = placed_count(rows, channel, out.shape[1])
    cdef size_t refused
    if count == 0 or out.shape[0] == 0:
        return 0
    with nogil:
        refused = sf_mix_codes(<const sf_placed *>&rows[0], count, octets, start, &out[0, channel], out.shape[0],
                               out.shape[1])
    return refused


# ---- load: talkers, moulds and the sender ----

TALKER_HEAD = SF_TALKER_HEAD
TALKER_TAIL = SF_TALKER_TAIL
SENDER_BUDGET = SF_SENDER_BUDGET
JITTER_MAX_US = SF_SCRIPT_JITTER_US
LINES_MAX = SF_LINES


cdef class Voices:
    cdef sf_voice *list
    cdef size_t count
    cdef const uint8_t[::1] octets
    cdef const uint8_t[::1] activity
    cdef const uint32_t[::1] frames

    def __cinit__(self, const uint8_t[::1] octets, const uint8_t[::1] activity, const uint32_t[::1] frames, places):
        cdef size_t start, loop, windows, first, samples, i
        self.octets = octets
        self.activity = activity
        self.frames = frames
        self.count = len(places)
        self.list = <sf_voice *>calloc(max(1, self.count), sizeof(sf_voice))
        if self.list == NULL:
            raise MemoryError
        for i in range(self.count):
            start, loop, windows, first, samples = places[i]
            if loop == 0 or loop % SF_TALKER_WINDOW or loop > 0x7fffffff:
                raise ValueError(f"voice {i}: found a loop of {loop}; allowed: multiples of {SF_TALKER_WINDOW}")
            if windows > <size_t>activity.shape[0] or \
                    <size_t>activity.shape[0] - windows < loop // SF_TALKER_WINDOW:
                raise ValueError(f"voice {i}: activity at {windows} ends behind {activity.shape[0]}")
            if samples:
                self.check_frames(i, loop, first, samples)
                self.list[i].frames = &frames[first]
                self.list[i].samples = <uint32_t>samples
                self.list[i].audio = &octets[0]
            else:
                if start > <size_t>octets.shape[0] or <size_t>octets.shape[0] - start < loop + SF_TALKER_TAIL:
                    raise ValueError(f"voice {i}: found {loop} samples at {start} of {octets.shape[0]}; "
                                     "a tail must follow")
                self.list[i].audio = &octets[start]
            self.list[i].activity = &activity[windows]
            self.list[i].loop = <uint32_t>loop

    cdef int check_frames(self, size_t i, size_t loop, size_t first, size_t samples) except -1:
        cdef size_t count = loop // samples
        cdef size_t k
        if loop % samples:
            raise ValueError(f"voice {i}: found a loop of {loop}; allowed: multiples of its frames of {samples}")
        if first > <size_t>self.frames.shape[0] or <size_t>self.frames.shape[0] - first < count + 1:
            raise ValueError(f"voice {i}: frames at {first} end behind {self.frames.shape[0]}")
        for k in range(first, first + count):
            if self.frames[k] > self.frames[k + 1] or self.frames[k + 1] - self.frames[k] > SF_TALKER_TAIL or \
                    self.frames[k + 1] > <size_t>self.octets.shape[0]:
                raise ValueError(f"voice {i}: found a frame from {self.frames[k]} to {self.frames[k + 1]}; "
                                 f"allowed: up to {SF_TALKER_TAIL} octets of {self.octets.shape[0]}")
        return 0

    def __dealloc__(self):
        free(self.list)


cdef class Talker:
    cdef sf_talker state
    cdef sf_script script
    cdef Voices voices

    def __cinit__(self, bytes head, Voices voices not None, size_t voice, uint32_t position, *,
                  uint64_t capture_us, uint32_t count, uint32_t ssrc, uint32_t timestamp, uint16_t sequence,
                  uint16_t samples, uint8_t payload_type, uint8_t ticks=1, uint8_t event_type=101,
                  bint suppressed=False, bytes digits=b"", network=(0, 0, 0, 0, 0), uint64_t chance=0):
        # What follows the capture time in a frame of version 3: client id, metadata, payload length.
        cdef size_t length = len(head)
        if length < 37 or length + SF_TALKER_RTP > SF_TALKER_HEAD:
            raise ValueError(f"frame head: found {length} octets; allowed: 37 to {SF_TALKER_HEAD - SF_TALKER_RTP}")
        if voice >= voices.count or position >= voices.list[voice].loop:
            raise ValueError(f"voice: found number {voice}, position {position}; the bank has {voices.count}")
        if samples == 0 or samples > SF_TALKER_TAIL or samples % SF_TALKER_WINDOW:
            raise ValueError(f"samples per packet: found {samples}; allowed: 80 to {SF_TALKER_TAIL}, by 80")
        if voices.list[voice].frames != NULL and voices.list[voice].samples != samples:
            raise ValueError(f"samples per packet: found {samples}; allowed: {voices.list[voice].samples}, its frames'")
        if len(digits) > SF_SCRIPT_DIGITS or network[2] > SF_SCRIPT_JITTER_US:
            raise ValueError(f"script: found {len(digits)} digits, {network[2]} us of jitter; "
                             f"allowed: {SF_SCRIPT_DIGITS}, {SF_SCRIPT_JITTER_US}")
        memset(&self.state, 0, sizeof(self.state))
        memset(&self.script, 0, sizeof(self.script))
        self.voices = voices
        self.state.audio = voices.list[voice].audio
        self.state.frames = voices.list[voice].frames
        if suppressed:
            self.state.activity = voices.list[voice].activity
        self.state.capture_us = capture_us
        self.state.count = count
        self.state.loop = voices.list[voice].loop
        self.state.place = position
        self.state.ssrc = ssrc
        self.state.timestamp = timestamp
        self.state.sequence = sequence
        self.state.samples = samples
        self.state.type = 0x80 | payload_type
        self.state.ticks = ticks
        self.state.event_type = event_type
        self.state.head_octets = <uint8_t>(length + SF_TALKER_RTP)
        self.state.time_at = 17 if head[4] == 4 else 41
        if ticks != 1 or self.state.frames != NULL:
            self.state.flags |= SF_TALKER_FRAMED
        memcpy(self.state.head, PyBytes_AS_STRING(head), length)
        cdef uint8_t *rtp = self.state.head + length
        sf_store_be32(rtp - 4, <uint32_t>SF_TALKER_RTP + samples)
        rtp[0] = 0x80
        sf_store_be32(rtp + 8, ssrc)
        if digits or any(network):
            self.begin(digits, network, chance)

    cdef int begin(self, bytes digits, network, uint64_t chance) except -1:
        self.script.chance = chance
        loss, burst, jitter_us, reorder, duplicate = network
        self.script.network = sf_impairment(loss, burst, jitter_us, reorder, duplicate)
        self.script.activity = self.state.activity
        self.script.loop = self.state.loop
        self.script.place = self.state.place
        self.script.count = self.state.count
        self.script.samples = self.state.samples
        self.script.digits_n = <uint8_t>len(digits)
        for i in range(len(digits)):
            self.script.digits[i] = digits[i]
        self.state.activity = NULL
        self.state.flags |= SF_TALKER_SCRIPTED
        if self.state.count and not sf_script_begin(&self.script):
            raise ValueError("script: found no packet")
        return 0

    def packets(self):
        cdef sf_talker t = self.state
        cdef sf_script script = self.script
        if t.flags & SF_TALKER_SCRIPTED:
            t.script = &script
        return packets_of(&t)


cdef list packets_of(sf_talker *t):
    cdef uint8_t frame[1024]
    cdef uint8_t *end
    cdef uint64_t time_us
    cdef size_t before = t.head_octets - SF_TALKER_RTP
    out = []
    while t.at < t.count:
        time_us = sf_talker_time(t)
        end = sf_talker_write(t, frame)
        out.append((time_us, PyBytes_FromStringAndSize(<char *>frame + before, end - frame - before)))
    return out


cdef class Mould:
    cdef sf_mould it
    cdef Voices voices
    cdef const uint8_t[::1] octets
    cdef const uint8_t[::1] fields
    cdef const uint8_t[::1] patches
    cdef const uint8_t[::1] sayings
    cdef const uint8_t[::1] roles
    cdef const uint8_t[::1] lines

    def __cinit__(self, Voices voices not None, uint32_t speakers, uint32_t time_at, *, const uint8_t[::1] octets,
                  const uint8_t[::1] fields, const uint8_t[::1] patches, const uint8_t[::1] sayings,
                  const uint8_t[::1] roles, const uint8_t[::1] lines, bint hep=False):
        cdef const char *fault
        self.voices = voices
        self.octets, self.fields, self.patches, self.sayings, self.roles = octets, fields, patches, sayings, roles
        self.lines = lines
        self.it.octets_n = octets.shape[0]
        self.it.fields_n = counted(fields, sizeof(sf_field))
        self.it.patches_n = counted(patches, sizeof(sf_patch))
        self.it.sayings_n = counted(sayings, sizeof(sf_saying))
        self.it.roles_n = counted(roles, sizeof(sf_role))
        self.it.lines_n = counted(lines, sizeof(sf_line))
        if self.it.octets_n:
            self.it.octets = &octets[0]
        if self.it.fields_n:
            self.it.fields = <const sf_field *>&fields[0]
        if self.it.patches_n:
            self.it.patches = <const sf_patch *>&patches[0]
        if self.it.sayings_n:
            self.it.sayings = <const sf_saying *>&sayings[0]
        if self.it.roles_n:
            self.it.roles = <const sf_role *>&roles[0]
        if self.it.lines_n:
            self.it.lines = <const sf_line *>&lines[0]
        self.it.voices = voices.list
        self.it.voices_n = voices.count
        self.it.speakers = speakers
        self.it.time_at = time_at
        self.it.hep = hep
        fault = sf_mould_fault(&self.it)
        if fault != NULL:
            raise ValueError(f"mould: {fault.decode()}")

    def frames(self, uint64_t key, uint64_t start_us, uint64_t span_us):
        cdef sf_call call = sf_call(key, start_us, span_us)
        cdef size_t i
        cdef bytes frame
        out = []
        for i in range(self.it.sayings_n):
            frame = PyBytes_FromStringAndSize(NULL, self.it.sayings[i].n)
            sf_mould_write(&self.it, &call, i, <uint8_t *>PyBytes_AS_STRING(frame))
            out.append(frame)
        return out

    def streams(self, uint64_t key, uint64_t start_us, uint64_t span_us):
        cdef sf_call call = sf_call(key, start_us, span_us)
        cdef sf_talker talker
        cdef sf_script script
        cdef size_t i
        out = []
        for i in range(self.it.roles_n):
            out.append(packets_of(&talker) if sf_mould_cast(&self.it, &call, i, &talker, &script) else [])
        return out

    def call_ids(self, uint64_t key):
        cdef uint8_t room[SF_CALL_ID]
        cdef size_t i
        return [PyBytes_FromStringAndSize(<char *>room, sf_mould_call_id(&self.it, key, i, room))
                for i in range(self.it.lines_n)]

    def place(self, const uint64_t[::1] keys not None, uint32_t[:, ::1] lines not None):
        cdef int32_t nodes = <int32_t>lines.shape[1]
        cdef Py_ssize_t i
        cdef size_t line
        if nodes < 1 or lines.shape[0] != keys.shape[0]:
            raise ValueError(f"lines: found {lines.shape[0]} x {lines.shape[1]}; allowed: calls x nodes")
        with nogil:
            for i in range(keys.shape[0]):
                for line in range(self.it.lines_n):
                    lines[i, sf_mould_node(&self.it, keys[i], line, nodes)] |= <uint32_t>1 << line


cdef size_t counted(const uint8_t[::1] octets, size_t size) except? 0:
    if octets.shape[0] % size:
        raise ValueError(f"mould: found {octets.shape[0]} octets of records of {size}")
    return octets.shape[0] // size


cdef class Sender:
    cdef sf_sender *it
    cdef uint64_t origin_us
    cdef bint running
    cdef dict borrowed

    def __cinit__(self, int fd, uint64_t origin_us, *, double speed, bint single=False, bint offload=False,
                  bint sip_only=False, uint32_t budget=SF_SENDER_BUDGET, uint32_t tick_us=1000):
        cdef sf_sender_settings settings
        if not 0 <= speed <= 1e6:
            raise ValueError(f"speed: found {speed}; allowed: 0 (unpaced) to 1000000")
        if not 64 <= budget <= 65507:
            raise ValueError(f"budget: found {budget}; allowed: 64 to 65507 octets")
        if not 100 <= tick_us <= 1000000:
            raise ValueError(f"tick_us: found {tick_us}; allowed: 100 to 1000000")
        settings.fd = fd
        settings.single = single
        settings.offload = offload
        settings.sip_only = sip_only
        settings.budget = budget
        settings.tick_us = tick_us
        settings.speed = speed
        settings.origin_us = origin_us - origin_us % 1000
        self.origin_us = origin_us
        self.borrowed = {}
        self.it = sf_sender_new(&settings)
        if self.it == NULL:
            raise MemoryError

    def __dealloc__(self):
        sf_sender_free(self.it)

    cdef int idle(self) except -1:
        if self.running:
            raise RuntimeError("the sender is running in another thread")
        return 0

    cdef int due(self, uint64_t time_us) except -1:
        if time_us < self.origin_us:
            raise ValueError(f"time: found {time_us}; allowed: {self.origin_us} or later")
        return 0

    def add_mould(self, Mould mould not None):
        self.idle()
        self.borrowed[id(mould)] = mould
        if not sf_sender_add_mould(self.it, &mould.it):
            raise MemoryError
        return sf_sender_moulds(self.it) - 1

    def add_calls(self, const uint8_t[::1] planned not None):
        cdef size_t count = counted(planned, sizeof(sf_planned))
        cdef size_t moulds = sf_sender_moulds(self.it)
        cdef const sf_planned *calls
        cdef size_t i
        self.idle()
        if count == 0:
            return
        calls = <const sf_planned *>&planned[0]
        for i in range(count):
            self.due(calls[i].call.start_us)
            if calls[i].mould >= moulds:
                raise ValueError(f"mould: found number {calls[i].mould}; allowed: below {moulds}")
        for i in range(count):
            if not sf_sender_add_call(self.it, &calls[i]):
                raise MemoryError

    def run(self, uint64_t until_us):
        cdef bint fine
        self.idle()
        self.due(until_us)
        self.running = True
        try:
            with nogil:
                fine = sf_sender_run(self.it, until_us)
        finally:
            self.running = False
        if not fine:
            raise MemoryError

    @property
    def left(self):
        return sf_sender_left(self.it)

    @property
    def sent(self):
        return sf_sender_sent(self.it)[0]


# ---- capture clients ----

cdef uint64_t wall_us() noexcept nogil:
    cdef timespec t
    clock_gettime(CLOCK_REALTIME, &t)
    return <uint64_t>t.tv_sec * 1000000 + <uint64_t>t.tv_nsec // 1000


cdef class Outbox:
    cdef sf_outbox *it
    cdef readonly uint32_t nodes
    cdef readonly uint32_t client_id
    cdef object intake
    cdef object start
    cdef object shut
    cdef uint64_t refused

    def __cinit__(self, uint32_t client_id, *, uint32_t nodes, uint32_t sockets, uint32_t budget, uint32_t packets,
                  bint offload, start, Intake intake=None):
        cdef sf_outbox_settings settings
        if not 1 <= nodes <= 4096 or not 1 <= sockets <= 64:
            raise ValueError(f"nodes, sockets: found {nodes}, {sockets}; allowed: 1 to 4096, 1 to 64")
        if not 256 <= budget <= 65507:
            raise ValueError(f"budget: found {budget}; allowed: 256 to 65507 octets")
        if packets < 1:
            raise ValueError(f"packets: found {packets}; allowed: 1 or more")
        settings.nodes = nodes
        settings.sockets = sockets
        settings.budget = budget
        # A datagram holds four packets of audio or more. Where it holds fewer, memory is the bound.
        settings.slots = max(16, packets // 4)
        settings.most = packets
        settings.offload = offload
        settings.intake = NULL if intake is None else intake.intake
        self.intake = intake
        self.nodes = nodes
        self.start = start
        self.client_id = client_id
        self.it = sf_outbox_new(&settings, client_id)
        if self.it is NULL:
            raise MemoryError

    def __dealloc__(self):
        sf_outbox_free(self.it)

    def direct(self, uint32_t node, bytes ip, uint16_t port, uint32_t scope=0):
        if node >= self.nodes or len(ip) not in (4, 16):
            raise ValueError(f"node, ip: found {node}, {len(ip)} octets; allowed: below {self.nodes}, 4 or 16 octets")
        sf_outbox_direct(self.it, node, 6 if len(ip) == 16 else 4, <const uint8_t *>PyBytes_AS_STRING(ip), port, scope)

    def run(self):
        with nogil:
            sf_outbox_run(self.it)

    def flush(self, uint32_t timeout_ms):
        cdef bint gone
        with nogil:
            gone = sf_outbox_flush(self.it, timeout_ms)
        return gone

    def stop(self, uint32_t timeout_ms):
        self.shut = "closed"
        sf_outbox_stop(self.it, timeout_ms)

    def forked(self, uint32_t client_id, shut):
        sf_outbox_forked(self.it, client_id)
        self.client_id = client_id
        self.refused = 0
        if self.shut is None:
            self.shut = shut

    def sums(self):
        cdef sf_outbox_sum found
        listed = []
        for node in range(self.nodes):
            found = sf_outbox_sum_of(self.it, node)
            listed.append({
                "queued": found.queued, "sent": found.sent, "datagrams": found.datagrams, "octets": found.octets,
                "full": found.dropped[<int>SF_LANE_FULL], "too_large": found.dropped[<int>SF_LANE_TOO_LARGE],
                "lost": found.lost, "errors": found.errors, "last_errno": found.last_errno,
            })
        return listed

    @property
    def refusals(self):
        return (self.shut or "closed", self.refused)


cdef class Outlet:
    cdef Outbox outbox
    cdef bytes head
    cdef uint32_t lanes[2]
    cdef uint32_t copies
    cdef sf_frame_head frame_head

    def __cinit__(self, Outbox outbox not None, list nodes, bytes key, bytes head, uint32_t time_at):
        if not 1 <= len(nodes) <= 2:
            raise ValueError(f"nodes: found {len(nodes)}; allowed: 1 or 2")
        if time_at + 16 > <size_t>len(head):
            raise ValueError(f"time_at: found {time_at}; allowed: 16 octets or more before the end of the head")
        self.outbox = outbox
        self.head = head
        self.frame_head.octets = slice_of(head)
        self.frame_head.time_at = time_at
        for node in nodes:
            if not 0 <= node < outbox.nodes:
                raise ValueError(f"node: found {node}; allowed: below {outbox.nodes}")
            self.lanes[self.copies] = sf_outbox_lane(outbox.it, node, slice_of(key))
            self.copies += 1

    cdef inline int ready(self) except -1:
        """Tell whether packets are taken; begins the sending when it has not begun."""
        if self.outbox.shut is None and sf_outbox_dormant(self.outbox.it):
            self.outbox.start()
        return self.outbox.shut is None

    cdef inline void post(self, uint64_t time_us, sf_slice payload) noexcept:
        cdef uint32_t i
        for i in range(self.copies):
            sf_outbox_put(self.outbox.it, self.lanes[i], self.frame_head, time_us, payload)

    cdef int put(self, payload, uint64_t time_us) except -1:
        cdef Py_buffer view
        if type(payload) is bytes:
            self.post(time_us, slice_of(<bytes>payload))
            return 0
        PyObject_GetBuffer(payload, &view, PyBUF_SIMPLE)
        self.post(time_us, sf_slice_of(<const char *>view.buf, view.len))
        PyBuffer_Release(&view)
        return 0

    def send(self, payload, time_us=None):
        cdef uint64_t at = wall_us() if time_us is None else time_us
        if self.ready():
            self.put(payload, at)
        else:
            self.outbox.refused += self.copies

    def send_batch(self, payloads, times_us=None):
        cdef uint64_t at = wall_us()
        cdef list listed = payloads if type(payloads) is list else list(payloads)
        cdef list times = None if times_us is None else list(times_us)
        cdef Py_ssize_t i
        if times is not None and len(times) != len(listed):
            raise ValueError(f"times_us: found {len(times)}; allowed: {len(listed)}, one for each payload")
        if not self.ready():
            self.outbox.refused += self.copies * len(listed)
            return
        for i in range(len(listed)):
            self.put(listed[i], at if times is None else <uint64_t>times[i])


def sip_call_id(bytes message):
    cdef sf_slice found
    return octets_of(found) if sf_sip_call_id(slice_of(message), &found) else None


# ---- levels ----

def levels_g711(const uint32_t[::1] offset not None, const uint32_t[::1] length not None, bytes data not None, int law,
                uint8_t[::1] out not None):
    cdef size_t count = <size_t>offset.shape[0]
    cdef sf_slice octets = slice_of(data)
    cdef size_t refused
    if <size_t>length.shape[0] != count or <size_t>out.shape[0] != count * sizeof(sf_level):
        raise ValueError(f"found {length.shape[0]} lengths and {out.shape[0]} octets of levels; "
                         f"allowed: {count} and {count * sizeof(sf_level)}, as there are offsets")
    if law not in (ULAW, ALAW):
        raise ValueError(f"law: found {law}; allowed: {ULAW} (mu-law), {ALAW} (A-law)")
    if count == 0:
        return 0
    with nogil:
        refused = sf_levels_g711(&offset[0], &length[0], count, octets, law == ALAW, <sf_level *>&out[0])
    return refused


def level_pcm(const int16_t[::1] samples not None):
    cdef sf_level level
    cdef size_t n = <size_t>samples.shape[0]
    if n == 0:
        return 0, 0, 0, 0
    with nogil:
        level = sf_level_pcm(&samples[0], n)
    return level.energy, level.samples, level.clipped, level.peak


def worst_opinion(unsigned payload_type, double loss_percent):
    cdef sf_opinion opinion = sf_worst_opinion(payload_type, loss_percent)
    return (("NB", "WB")[opinion.scale - 1], opinion.mos) if opinion.scale else None


# ---- DTMF in the audio ----

cdef class ToneReceiver:
    cdef sf_tone it

    def __cinit__(self):
        sf_tone_begin(&self.it)

    def hear(self, const uint8_t[::1] rows not None, bytes data not None):
        cdef sf_slice octets = slice_of(data)
        cdef size_t count = <size_t>rows.shape[0] // sizeof(sf_spoken)
        cdef const sf_spoken *row
        cdef uint64_t samples = 0
        cdef size_t i, room, found
        cdef bytearray keys
        cdef sf_tone_key *out
        if count * sizeof(sf_spoken) != <size_t>rows.shape[0]:
            raise ValueError(f"rows: found {rows.shape[0]} octets; allowed: a multiple of {sizeof(sf_spoken)}")
        if count == 0:
            return b""
        row = <const sf_spoken *>&rows[0]
        for i in range(count):
            samples += min(<size_t>row[i].length, octets.n)
        room = <size_t>(samples // SF_TONE_LEAST) + 2
        keys = PyByteArray_FromStringAndSize(NULL, room * sizeof(sf_tone_key))
        out = <sf_tone_key *>PyByteArray_AS_STRING(keys)
        with nogil:
            found = sf_tone_hear(&self.it, row, count, octets, out, room)
        return bytes(keys[:found * sizeof(sf_tone_key)])

    def end(self):
        cdef sf_tone_key key
        if not sf_tone_end(&self.it, &key):
            return b""
        return PyBytes_FromStringAndSize(<const char *>&key, sizeof(key))
