# The only glue between Python and the C files: bytes in, plain values out, no logic.
from cpython.buffer cimport PyBUF_SIMPLE, PyBuffer_Release, PyObject_GetBuffer
from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize
from libc.stdint cimport int64_t, uint8_t, uint32_t, uint64_t
from libc.stdlib cimport free, malloc

from sipflow._fast._core cimport *


# --- blocks of data.raw ---

BLOCK_HEAD_LENGTH = SF_BLOCK_HEAD
BLOCK_VERSION = SF_BLOCK_VERSION
BLOCK_SKIPPABLE = SF_BLOCK_SKIPPABLE
BLOCK_RAW_MAX = SF_BLOCK_RAW_MAX
BLOCK_NEWER = <int>SF_BLOCK_NEWER
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

    cdef const uint8_t *at(self) noexcept:
        return <const uint8_t *>self.view.buf

    cdef size_t length(self) noexcept:
        return <size_t>self.view.len

    cdef size_t items(self, size_t size, str name) except? 0:
        if self.length() % size != 0:
            raise ValueError(f"{name}: found {self.length()} octets; allowed: a multiple of {size}")
        return self.length() // size


cdef str text_of(sf_slice octets):
    return octets.p[:octets.n].decode("utf-8", "backslashreplace")


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


cdef ValueError refusal(sf_block_status status):
    return ValueError(sf_block_status_text(status).decode())


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
    if status != SF_BLOCK_OK:
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
    cdef list refused = []
    with nogil:
        for i in range(count):
            length = sf_columns_encode(base + starts[i], sizes[i], numbers[i], dst + position, &blocks[kept])
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


def messages_encode(arena, unsigned count):
    cdef Octets source = Octets(arena)
    cdef size_t used = source.length()
    # A record takes more octets than its entry: an arena that cannot hold `count` is refused before memory is asked for.
    if count > used // 72:
        raise ValueError(f"not an arena of {count} messages in {used} octets")
    cdef bytes entries = PyBytes_FromStringAndSize(NULL, count * sizeof(sf_message_entry))
    cdef bytes out = PyBytes_FromStringAndSize(NULL, sf_messages_bound(used))
    cdef sf_message_entry *places = <sf_message_entry *>PyBytes_AS_STRING(entries)
    cdef uint8_t *dst = <uint8_t *>PyBytes_AS_STRING(out)
    cdef const uint8_t *base = source.at()
    cdef sf_block block
    cdef size_t length
    with nogil:
        length = sf_messages_encode(base, used, count, places, dst, &block)
    if length == 0 and count > 0:
        raise ValueError(f"not an arena of {count} messages in {used} octets")
    cdef sf_message message
    cdef list index = []
    cdef unsigned i
    for i in range(count):
        sf_message_read(sf_slice_of(dst, length), places[i].position, &message)
        index.append((places[i].position, places[i].order, message_of(&message)))
    return out[:length], (<const uint8_t *>&block)[:sizeof(sf_block)], index


def messages_decode_at(content, size_t position):
    cdef Octets source = Octets(content)
    cdef sf_message message
    cdef sf_block_status status = sf_message_read(sf_slice_of(source.at(), source.length()), position, &message)
    if status != SF_BLOCK_OK:
        raise refusal(status)
    return message_of(&message)


def messages_decode_all(content):
    cdef Octets source = Octets(content)
    cdef sf_slice octets = sf_slice_of(source.at(), source.length())
    cdef sf_message message
    cdef sf_block_status status
    cdef size_t position = 0
    cdef list found = []
    while position < octets.n:
        status = sf_message_read(octets, position, &message)
        if status != SF_BLOCK_OK:
            raise refusal(status)
        found.append((position, message_of(&message)))
        position = message.next
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
