# The only glue between Python and the C files: bytes in, plain values out, no logic.
from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize
from libc.stdint cimport int32_t, uint8_t, uint16_t, uint32_t, uint64_t
from libc.string cimport memcpy, memset

from sipflow._fast._core cimport *


# --- load: frames, talkers, the sender ---

cdef sf_slice _slice(bytes octets):
    return sf_slice_of(PyBytes_AS_STRING(octets), len(octets))


def frame_encode(unsigned kind, bytes src, unsigned src_port, bytes dst, unsigned dst_port, uint64_t time_us,
                 bytes payload, bytes call_id=b"", leg=None, uint32_t client_id=0):
    cdef sf_packet packet
    cdef bytes out
    if len(src) != len(dst) or len(src) not in (4, 16):
        raise ValueError(f"addresses: found {len(src)} and {len(dst)} octets; allowed: both 4 or both 16")
    memset(&packet, 0, sizeof(packet))
    packet.kind = kind
    packet.family = 4 if len(src) == 4 else 6
    memcpy(packet.src, PyBytes_AS_STRING(src), len(src))
    memcpy(packet.dst, PyBytes_AS_STRING(dst), len(dst))
    packet.src_port = src_port
    packet.dst_port = dst_port
    packet.time_us = time_us
    packet.client_id = client_id
    packet.has_metadata = leg is not None or len(call_id) > 0
    packet.leg = 0 if leg is None else leg
    packet.call_id = _slice(call_id)
    packet.payload = _slice(payload)
    out = PyBytes_FromStringAndSize(NULL, sf_packet_size(&packet, 3))
    sf_packet_encode(&packet, 3, <uint8_t *>PyBytes_AS_STRING(out))
    return out


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

    def __cinit__(self, int fd, uint64_t origin_us, *, double speed, bint single=False,
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
        if not sf_sender_add_frame(self.it, self.due(time_us), _slice(frame)):
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
