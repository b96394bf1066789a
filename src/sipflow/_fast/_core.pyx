# cython: language_level=3
"""Glue between the C core and Python: takes octets, gives values, and decides nothing."""

import os

from cpython cimport array
from cpython.bytearray cimport PyByteArray_AS_STRING, PyByteArray_FromStringAndSize
from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize
from libc.errno cimport errno
from libc.string cimport memcpy, memset

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


def encode_frame(int version, int kind, int family, bytes src, int src_port, bytes dst, int dst_port, uint64_t time_us,
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


def crc32c(bytes octets, uint32_t crc=0):
    return sf_crc32c(crc, PyBytes_AS_STRING(octets), len(octets))


def jump_node(bytes call_id, int nodes):
    return sf_jump(slice_of(call_id), nodes)


# ---- load: talkers and the sender ----

TALKER_TAIL = SF_TALKER_TAIL
SENDER_BUDGET = SF_SENDER_BUDGET


cdef class Talker:
    cdef sf_talker state
    cdef const uint8_t[::1] bank
    cdef const uint8_t[::1] script

    def __cinit__(self, bytes head, const uint8_t[::1] bank, size_t start, uint32_t loop, uint32_t position, *,
                  uint64_t capture_us, uint32_t count, uint32_t ssrc, uint32_t timestamp, uint16_t sequence,
                  uint16_t samples, uint8_t payload_type, uint8_t event_type=101, const uint8_t[::1] steps=None):
        # What follows the capture time in a frame of version 3: client id, metadata, payload length.
        cdef size_t length = len(head)
        if length < 37 or length - 4 > SF_TALKER_HEAD:
            raise ValueError(f"frame head: found {length} octets; allowed: 37 to {SF_TALKER_HEAD + 4}")
        if loop == 0 or start > <size_t>bank.shape[0] or <size_t>bank.shape[0] - start < <size_t>loop + SF_TALKER_TAIL:
            raise ValueError(f"audio: found {loop} samples at {start} of {bank.shape[0]}; a tail must follow them")
        if samples == 0 or samples > SF_TALKER_TAIL:
            raise ValueError(f"samples per packet: found {samples}; allowed: 1 to {SF_TALKER_TAIL}")
        if steps is not None and <size_t>steps.shape[0] < <size_t>count * sizeof(sf_step):
            raise ValueError(f"steps: found {steps.shape[0]} octets for {count} packets of {sizeof(sf_step)} each")
        memset(&self.state, 0, sizeof(self.state))
        self.bank = bank
        self.script = steps
        self.state.audio = &bank[start]
        if steps is not None and count > 0:
            self.state.steps = <const sf_step *>&steps[0]
        self.state.capture_us = capture_us
        self.state.count = count
        self.state.loop = loop
        self.state.position = position
        self.state.ssrc = ssrc
        self.state.timestamp = timestamp
        self.state.interval_us = samples * 125
        self.state.sequence = sequence
        self.state.samples = samples
        self.state.payload_type = payload_type
        self.state.event_type = event_type
        self.state.head_octets = <uint8_t>(length - 4)
        self.state.time_at = 17 if head[4] == 4 else 41
        memcpy(self.state.head, PyBytes_AS_STRING(head), length - 4)

    def packets(self):
        cdef sf_talker t = self.state
        cdef uint8_t frame[1024]
        cdef uint8_t *end
        cdef uint64_t time_us
        cdef size_t before = t.head_octets + 4
        out = []
        while t.at < t.count:
            time_us = sf_talker_time(&t)
            end = sf_talker_write(&t, frame)
            out.append((time_us, PyBytes_FromStringAndSize(<char *>frame + before, end - frame - before)))
        return out


cdef class Sender:
    cdef sf_sender *it
    cdef uint64_t origin_us
    cdef bint running
    cdef list banks

    def __cinit__(self, int fd, uint64_t origin_us, *, double speed, bint single=False, bint offload=False,
                  uint32_t budget=SF_SENDER_BUDGET, uint32_t tick_us=1000):
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
        settings.budget = budget
        settings.tick_us = tick_us
        settings.speed = speed
        self.origin_us = origin_us
        self.banks = []
        self.it = sf_sender_new(&settings)
        if self.it == NULL:
            raise MemoryError

    def __dealloc__(self):
        sf_sender_free(self.it)

    cdef uint64_t due(self, uint64_t time_us) except? 0:
        if self.running:
            raise RuntimeError("the sender is running in another thread")
        if time_us < self.origin_us:
            raise ValueError(f"time: found {time_us}; allowed: {self.origin_us} or later")
        return time_us - self.origin_us

    def add_talker(self, Talker talker not None):
        cdef sf_talker state = talker.state
        state.start_us = self.due(state.capture_us)
        if not any(bank is talker.bank.base for bank in self.banks):
            self.banks.append(talker.bank.base)
        if not sf_sender_add_talker(self.it, &state):
            raise MemoryError

    def add_frame(self, uint64_t time_us, bytes frame not None):
        if len(frame) + 9 > 65507:
            raise ValueError(f"frame: found {len(frame)} octets; allowed: up to 65498")
        if not sf_sender_add_frame(self.it, self.due(time_us), slice_of(frame)):
            raise MemoryError

    def run(self, uint64_t until_us):
        cdef uint64_t until = self.due(until_us)
        cdef bint fine
        self.running = True
        try:
            with nogil:
                fine = sf_sender_run(self.it, until)
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
