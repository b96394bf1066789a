"""Reads a capture file (pcap, pcapng) as packets of calls.

The file is read twice: first the calls and their session descriptions are gathered, then the packets are given out in
file order. So media that was captured before its description still finds its call, and memory grows with calls and
streams, never with packets.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import lru_cache
from pathlib import Path
from typing import BinaryIO

from sipflow.clock import format_time
from sipflow.errors import BadCapture, StorageError
from sipflow.ingest.call import Owner
from sipflow.ingest.content import Content, recognise, rtp_head
from sipflow.ingest.datagram import Datagram, Peer, Refused, datagrams
from sipflow.ingest.dialogs import Dialogs
from sipflow.ingest.frame import Frame
from sipflow.ingest.hep import unwrapped
from sipflow.ingest.import_report import ImportReport
from sipflow.ingest.pcap import HEADER, MAGICS, PcapFrames
from sipflow.ingest.pcapng import SECTION, PcapngFrames
from sipflow.ingest.streams import Streams
from sipflow.wire.endpoint import Endpoint, from_packed
from sipflow.wire.packet import UNIDENTIFIED, Kind, Packet
from sipflow.wire.sdp import find_descriptions
from sipflow.wire.sip import parse_head

# Told how many octets of how many were read; the file counts twice, as it is read twice.
Progress = Callable[[int, int], None]
Frames = PcapFrames | PcapngFrames
FRAMES_PER_PROGRESS = 1024
ALLOWED = "pcap (microseconds or nanoseconds, either byte order) or pcapng, not compressed"
# Synthetic ids carry the file's name; a longer one adds nothing.
NAME_MAX = 100


def read_packets(path: Path | str, progress: Progress | None = None) -> Iterator[Packet]:
    """Give the packets of a capture file in file order; use CaptureFile to learn what was left out. Raises like it."""
    return CaptureFile(path, progress).packets()


class CaptureFile:
    """One capture file: `packets()` gives what is in it, `report` then says what became of every frame.

    Owns nothing between calls: the file is open only while packets are being taken.
    """

    def __init__(self, path: Path | str, progress: Progress | None = None) -> None:
        """Check the file's first octets. Raises BadCapture for what is no capture file, StorageError if unreadable."""
        self.path = Path(path)
        self.progress = progress
        with self._open() as (_, octets):
            self.report = ImportReport(str(self.path), octets)

    def packets(self) -> Iterator[Packet]:
        """Give all SIP and RTP over UDP, HEP unwrapped, in file order, each tied to its call; may be called again.

        RTP that no description announces comes under an id made of its two peers, those of the first packet's
        source first, and the file's name: rtp-10.1.3.143:5000-10.1.6.18:2006@call.pcap. Raises StorageError when the
        file becomes unreadable.
        """
        self.report = ImportReport(str(self.path), self.report.octets)
        calls = _Calls(self.path.name)
        with self._open() as (frames, octets):
            for datagram in unwrapped(datagrams(self._watched(frames, 0, octets))):
                if isinstance(datagram, Datagram):
                    calls.note(datagram)
        calls.close()
        report = self.report
        report.calls = calls.count
        streams: set[tuple[Peer, Peer, int]] = set()
        with self._open() as (frames, octets):
            for datagram in unwrapped(datagrams(self._watched(frames, octets, octets))):
                report.frames += datagram.frames
                if isinstance(datagram, Refused):
                    detail = datagram.why.detail
                    report.skip(
                        datagram.why.reason, datagram.frames, _example(datagram.number, datagram.time_us, detail)
                    )
                    continue
                packet = calls.packet(datagram, report)
                if packet is None:
                    continue
                if packet.kind is Kind.RTP:
                    streams.add((datagram.src, datagram.dst, rtp_head(packet.payload).ssrc))
                    report.streams = len(streams)
                yield packet
            report.damage = frames.damage

    @contextmanager
    def _open(self) -> Iterator[tuple[Frames, int]]:
        try:
            if not self.path.is_file():
                hint = "not a file that can be read twice" if self.path.exists() else "no such file"
                raise StorageError("read", self.path, f"{hint}; allowed: {ALLOWED}")
            stream = self.path.open("rb")
        except OSError as error:
            raise self._unreadable(error) from error
        with stream:
            try:
                octets = self.path.stat().st_size
                frames = _frames(self.path, stream)
            except OSError as error:
                raise self._unreadable(error) from error
            yield frames, octets

    def _unreadable(self, error: OSError) -> StorageError:
        return StorageError("read", self.path, error.strerror or str(error))

    def _watched(self, frames: Frames, before: int, octets: int) -> Iterator[Frame]:
        """Pass frames through, telling the progress every so often and at the end."""
        count = 0
        following = iter(frames)
        while True:
            try:
                frame = next(following, None)
            except OSError as error:
                raise self._unreadable(error) from error
            if frame is None:
                break
            if self.progress is not None and count % FRAMES_PER_PROGRESS == 0:
                self.progress(before + min(frames.offset, octets), 2 * octets)
            count += 1
            yield frame
        if self.progress is not None:
            self.progress(before + octets, 2 * octets)


def _frames(path: Path, stream: BinaryIO) -> Frames:
    head = stream.read(HEADER)
    if head[:4] == SECTION and len(head) >= 12:
        return PcapngFrames(stream, head)
    if head[:4] in MAGICS and len(head) == HEADER:
        return PcapFrames(stream, head)
    if len(head) < HEADER:
        raise BadCapture(path, f"a file of {len(head)} octets", ALLOWED)
    found = _KNOWN.get(head[:2]) or f"{head[:4].hex(' ')}"
    raise BadCapture(path, found, ALLOWED)


_KNOWN = {
    b"\x1f\x8b": "gzip (1f 8b): unpack it first",
    b"\x28\xb5": "zstd (28 b5): unpack it first",
    b"BZ": "bzip2 (42 5a): unpack it first",
}


class _Calls:
    """The calls and streams of one file, and what they make of each of its datagrams."""

    def __init__(self, file_name: str) -> None:
        self.file_name = file_name.encode("utf-8", "replace")[-NAME_MAX:].decode("utf-8", "replace")
        self.dialogs = Dialogs()
        # Where a proxy that mirrors was captured, its messages are there twice. Those on the wire count.
        self.wrapped = Dialogs()
        self.streams = Streams()
        self.endpoint = lru_cache(maxsize=65_536)(_endpoint)

    @property
    def count(self) -> int:
        return len(self.dialogs) + sum(call_id not in self.dialogs for call_id in self.wrapped)

    def note(self, datagram: Datagram) -> None:
        """The first time a datagram is seen: learn from it."""
        kind = _recognise(datagram)
        if kind is Content.SIP:
            head = parse_head(datagram.payload)
            # What follows the announced length is no body (RFC 3261, section 18.3).
            end = None if head.content_length is None else head.body + head.content_length
            found = find_descriptions(head.content_type, datagram.payload[head.body : end])
            dialogs = self.wrapped if datagram.wrapped else self.dialogs
            dialogs.note(head, found, datagram.time_us, datagram.src, datagram.dst)
        elif kind is Content.RTP:
            self.streams.note(datagram.src, datagram.dst, rtp_head(datagram.payload), datagram.time_us)

    def close(self) -> None:
        self.streams.close()

    def packet(self, datagram: Datagram, report: ImportReport) -> Packet | None:
        """The second time: make a packet of it, or count why not."""
        kind = _recognise(datagram)
        if kind is Content.SIP:
            return self._sip(datagram, report)
        if kind is Content.RTP:
            return self._rtp(datagram, report)
        reason = kind.value
        if kind is Content.OTHER:
            owner = self._owner(datagram)
            reason = "t38" if owner is not None and owner.t38 else reason
        self._skip(datagram, reason, report)
        return None

    def _owner(self, datagram: Datagram) -> Owner | None:
        ends = datagram.src, datagram.dst, datagram.time_us
        return self.dialogs.owner(*ends) or self.wrapped.owner(*ends)

    def _sip(self, datagram: Datagram, report: ImportReport) -> Packet | None:
        call_id = parse_head(datagram.payload).call_id
        if datagram.wrapped and call_id in self.dialogs:
            self._skip(datagram, "hep_copy", report)
            return None
        report.sip += 1
        report.unidentified += not call_id
        return self._packet(datagram, report, Kind.SIP, call_id or UNIDENTIFIED, None)

    def _rtp(self, datagram: Datagram, report: ImportReport) -> Packet | None:
        src, dst = datagram.src, datagram.dst
        owner = self._owner(datagram)
        if datagram.call_id:
            # Its sender knows the call; the leg only its description does.
            leg = owner.leg if owner is not None and owner.call_id == datagram.call_id else 0
            report.rtp += 1
            return self._packet(datagram, report, Kind.RTP, datagram.call_id, leg)
        if owner is not None:
            report.rtp += 1
            return self._packet(datagram, report, Kind.RTP, owner.call_id, owner.leg)
        pair = self.streams.pair(src, dst, rtp_head(datagram.payload).ssrc)
        if pair is None:
            self._skip(datagram, "rtp_unproven", report)
            return None
        report.rtp += 1
        report.rtp_untied += 1
        first, second = (self.endpoint(peer) for peer in pair)
        call_id = f"rtp-{first}-{second}@{self.file_name}"
        return self._packet(datagram, report, Kind.RTP, call_id, 0 if src == pair[0] else 1)

    def _packet(self, datagram: Datagram, report: ImportReport, kind: Kind, call_id: str, leg: int | None) -> Packet:
        report.joined += datagram.frames - 1
        report.cut += datagram.cut
        report.imported(datagram.time_us)
        src, dst = self.endpoint(datagram.src), self.endpoint(datagram.dst)
        return Packet(kind, src, dst, datagram.time_us, datagram.payload, call_id, leg, datagram.client_id)

    def _skip(self, datagram: Datagram, reason: str, report: ImportReport) -> None:
        ends = f"{self.endpoint(datagram.src)} > {self.endpoint(datagram.dst)}, {len(datagram.payload)} octets"
        report.skip(reason, datagram.frames, _example(datagram.number, datagram.time_us, ends))


def _recognise(datagram: Datagram) -> Content:
    return recognise(datagram.payload, (datagram.src[1], datagram.dst[1]), datagram.cut)


def _endpoint(peer: Peer) -> Endpoint:
    return from_packed(*peer)


def _example(number: int, time_us: int, detail: str) -> str:
    return f"frame {number} at {format_time(time_us)}" + (f": {detail}" if detail else "")
