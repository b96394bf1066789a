"""RTCP: the reports that phones send about the media they receive (RFC 3550, section 6; RFC 3611)."""

import struct
from typing import Final

import msgspec

SENDER_REPORT: Final = 200
RECEIVER_REPORT: Final = 201
SOURCE_DESCRIPTION: Final = 202
GOODBYE: Final = 203
EXTENDED_REPORT: Final = 207
# What begins an RTCP packet, by its second octet (RFC 5761, section 4).
PACKET_TYPES: Final = range(192, 224)
_VOIP_METRICS: Final = 7  # RFC 3611, section 4.7
_CNAME: Final = 1
_HEAD: Final = struct.Struct(">BBH")
_BLOCK: Final = struct.Struct(">IIIIII")
_SENDER: Final = struct.Struct(">IQIII")
_VOIP: Final = struct.Struct(">I4B4H2b7Bx3H")
_UNKNOWN: Final = 127  # a level or score that the phone does not know
_NTP_UNITS: Final = 65536


class ReportBlock(msgspec.Struct, frozen=True):
    """What the sender of a report received of one stream.

    `fraction` is the share lost since the report before, of 256. `lost` goes below 0 where duplicates came.
    `jitter` is in units of the stream's clock. `lsr` and `dlsr` are in 1/65536 s; `lsr` 0 when it saw no SR yet.
    """

    ssrc: int
    fraction: int
    lost: int
    highest: int
    jitter: int
    lsr: int
    dlsr: int


class SenderInfo(msgspec.Struct, frozen=True):
    """What a sender says of its own stream: an instant by both its clocks, and what it has sent."""

    ntp: int
    timestamp: int
    packets: int
    octets: int

    @property
    def ntp_middle(self) -> int:
        """Give the middle 32 bits of the NTP time, which reports about it return as `lsr` [1/65536 s]."""
        return ntp_middle(self.ntp)


class Report(msgspec.Struct, frozen=True):
    """A sender report (with `sender`) or a receiver report."""

    ssrc: int
    sender: SenderInfo | None
    blocks: tuple[ReportBlock, ...]


class VoipMetrics(msgspec.Struct, frozen=True):
    """What a phone reckoned of a stream it played (RFC 3611, section 4.7); None where it says it does not know.

    Rates and densities are of 256, times in ms, levels in dBm0, MOS 1 to 5.
    """

    ssrc: int
    loss_rate: int
    discard_rate: int
    burst_density: int
    gap_density: int
    burst_ms: int
    gap_ms: int
    round_trip_ms: int
    end_system_ms: int
    signal_level: int | None
    noise_level: int | None
    echo_return_loss: int | None
    gmin: int
    r: int | None
    external_r: int | None
    mos_lq: float | None
    mos_cq: float | None
    config: int
    buffer_nominal_ms: int
    buffer_maximum_ms: int
    buffer_absolute_ms: int


class Compound(msgspec.Struct, frozen=True):
    """One datagram of RTCP: its reports, names (SSRC to CNAME), farewells and XR blocks.

    `fault` says what was wrong with the octets, empty for nothing; what stood before the fault is kept. Encrypted RTCP
    has one nearly always, as its packets do not fit together.
    """

    reports: tuple[Report, ...]
    names: dict[int, str]
    gone: tuple[int, ...]
    voip: tuple[VoipMetrics, ...]
    fault: str = ""


class _Fault(ValueError):
    """Octets that are not what their packet type says."""


class _Parts:
    """A compound in the making."""

    def __init__(self) -> None:
        self.reports: list[Report] = []
        self.names: dict[int, str] = {}
        self.gone: list[int] = []
        self.voip: list[VoipMetrics] = []

    def add(self, packet_type: int, count: int, body: bytes) -> None:
        """Read a packet without its head. Raises _Fault."""
        if packet_type in (SENDER_REPORT, RECEIVER_REPORT):
            self.reports.append(_report(packet_type, count, body))
        elif packet_type == SOURCE_DESCRIPTION:
            self.names.update(_names(count, body))
        elif packet_type == GOODBYE:
            if 4 * count > len(body):
                raise _Fault(f"a BYE of {count} sources in {len(body)} octets")
            self.gone += struct.unpack_from(f">{count}I", body)
        elif packet_type == EXTENDED_REPORT:
            self.voip += _extended(body)


def parse_rtcp(packet: bytes) -> Compound:
    """Read a datagram of RTCP; any octets are survived, see Compound.fault."""
    parts = _Parts()
    fault = ""
    at = 0
    while at < len(packet) and not fault:
        if len(packet) - at < _HEAD.size:
            fault = f"{len(packet) - at} octets are left at octet {at}; a packet has 4 or more"
            break
        first, packet_type, words = _HEAD.unpack_from(packet, at)
        end = at + 4 * (words + 1)
        if first >> 6 != 2 or packet_type not in PACKET_TYPES:
            fault = f"no RTCP packet begins at octet {at}"
        elif end > len(packet):
            fault = f"the packet at octet {at} says it has {end - at} octets; {len(packet) - at} are left"
        else:
            try:
                parts.add(packet_type, first & 31, packet[at + 4 : end - _padding(first, packet[at:end])])
            except _Fault as error:
                fault = f"the packet at octet {at}: {error}"
        at = end
    return Compound(tuple(parts.reports), parts.names, tuple(parts.gone), tuple(parts.voip), fault)


def _padding(first: int, packet: bytes) -> int:
    if not first & 32:
        return 0
    padding = packet[-1]
    if padding == 0 or padding % 4 or padding > len(packet) - 4:
        raise _Fault(f"padding of {padding} in {len(packet)} octets")
    return padding


def _report(packet_type: int, count: int, body: bytes) -> Report:
    head = 24 if packet_type == SENDER_REPORT else 4
    if head + _BLOCK.size * count > len(body):
        raise _Fault(f"a report with {count} blocks in {len(body)} octets")
    ssrc: int
    sender = None
    if packet_type == SENDER_REPORT:
        ssrc, *fields = _SENDER.unpack_from(body)
        sender = SenderInfo(*fields)
    else:
        (ssrc,) = struct.unpack_from(">I", body)
    return Report(ssrc, sender, tuple(_block(body, head + _BLOCK.size * index) for index in range(count)))


def _block(body: bytes, at: int) -> ReportBlock:
    ssrc, losses, highest, jitter, lsr, dlsr = _BLOCK.unpack_from(body, at)
    lost = losses & 0xFFFFFF
    return ReportBlock(ssrc, losses >> 24, lost - (lost >> 23 << 24), highest, jitter, lsr, dlsr)


def _names(count: int, body: bytes) -> dict[int, str]:
    names: dict[int, str] = {}
    at = 0
    for _ in range(count):
        if at + 4 > len(body):
            raise _Fault("source descriptions end in the middle")
        (ssrc,) = struct.unpack_from(">I", body, at)
        at += 4
        while at < len(body) and body[at]:
            if at + 2 > len(body) or at + 2 + body[at + 1] > len(body):
                raise _Fault("source descriptions end in the middle")
            if body[at] == _CNAME:
                names[ssrc] = body[at + 2 : at + 2 + body[at + 1]].decode("utf-8", "replace")
            at += 2 + body[at + 1]
        at += 4 - at % 4  # at least one zero, then up to the next word
    return names


def _extended(body: bytes) -> list[VoipMetrics]:
    found = []
    at = 4
    while at < len(body):
        if at + 4 > len(body):
            raise _Fault("extended reports end in the middle")
        kind, _, words = _HEAD.unpack_from(body, at)
        if at + 4 * (words + 1) > len(body):
            raise _Fault(f"an extended report of {4 * (words + 1)} octets; {len(body) - at} are left")
        if kind == _VOIP_METRICS and 4 * words >= _VOIP.size:
            found.append(_voip(body, at + 4))
        at += 4 * (words + 1)
    return found


def _voip(body: bytes, at: int) -> VoipMetrics:
    fields = list(_VOIP.unpack_from(body, at))
    for index in (9, 10, 11, 13, 14, 15, 16):
        fields[index] = None if fields[index] == _UNKNOWN else fields[index]
    for index in (15, 16):
        fields[index] = None if fields[index] is None else fields[index] / 10
    return VoipMetrics(*fields)


def ntp_middle(ntp: int) -> int:
    """Give the middle 32 of the 64 bits of an NTP time [1/65536 s]."""
    return ntp >> 16 & 0xFFFFFFFF


def round_trip(arrival: int, lsr: int, dlsr: int) -> int:
    """Give the round trip as the sender of an SR reckons it (RFC 3550, section 6.4.1) [1/65536 s], signed.

    `arrival` is when the report came that answers it, as ntp_middle.
    """
    trip = (arrival - lsr - dlsr) & 0xFFFFFFFF
    return trip - (trip >> 31 << 32)


def fraction_lost(expected: int, received: int) -> int:
    """Give the share lost of an interval as a report carries it, of 256; 0 where duplicates outnumber the lost."""
    return 256 * (expected - received) // expected if expected > 0 and received < expected else 0


def cumulative_lost(lost: int) -> int:
    """Hold a number of lost packets within the 24 bits, signed, that a report has for it."""
    return min(max(lost, -(1 << 23)), (1 << 23) - 1)


def seconds(units: int) -> float:
    """Turn units of `lsr` and `dlsr` into seconds."""
    return units / _NTP_UNITS
