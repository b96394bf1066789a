"""What is stored under a root, packet by packet, held against what was sent."""

import shutil
import sqlite3
import subprocess
import sys
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from sipflow.load.bank import VoiceBank
from sipflow.load.call import Call
from sipflow.query.history import History
from sipflow.storage.block import KIND_MESSAGES, Block, Damage, iter_blocks
from sipflow.storage.layout import CATALOG, DATA, DATABASE, find_buckets
from soak.victim import Life

# The sender sends what is due in a tick stream by stream: so close, packets may change places.
_TICK_US = 20_000
# The pool counts what it took batch by batch (SF_INTAKE_BATCH): so many may lie in it uncounted when it is killed.
UNCOUNTED = 512
# A datagram of the load harness holds at most so many packets: the kernel drops all of them together.
_PER_DATAGRAM = 8

_Place = tuple[str, int | None, int | None]  # Call-ID, leg, SSRC; a call's signalling has neither
_Seen = tuple[int, int]  # capture time, hash of the octets


@dataclass
class Comparison:
    """Stored packets against those sent. `missing` are capture times of packets sent and not stored; `faults` sentences."""

    stored: int = 0
    twice: int = 0
    foreign: int = 0
    damaged: int = 0
    missing: NDArray[np.int64] = field(default_factory=lambda: np.empty(0, np.int64))
    captured: NDArray[np.int64] = field(default_factory=lambda: np.empty(0, np.int64))
    arrived: NDArray[np.int64] = field(default_factory=lambda: np.empty(0, np.int64))
    faults: list[str] = field(default_factory=list)

    def lost(self, lives: Sequence[Life]) -> int:
        """Count packets that a life must have taken and that are not stored; says which life in `faults`.

        What arrived between the first and the last stored packet of a life was received by it, because one socket gives
        packets in the order of sending. The pool's own count tells of those at the end.
        """
        lost = 0
        for number, life in enumerate(lives, start=1):
            own = (self.arrived >= life.began_us) & (self.arrived <= life.ended_us)
            stored = int(own.sum())
            excuse = life.dropped + life.kernel_drops * _PER_DATAGRAM
            holes = 0
            if stored:
                low, high = self.captured[own].min() + _TICK_US, self.captured[own].max() - _TICK_US
                holes = int(((self.missing > low) & (self.missing < high)).sum())
            short = max(life.taken - stored, holes - excuse, 0)
            if short:
                self.faults.append(f"life {number}: {short} lost: took {life.taken}, {stored} stored, {holes} holes")
            if stored > life.taken + UNCOUNTED:
                self.faults.append(f"life {number}: took {life.taken}, but {stored} are stored")
            lost += short
        return lost


def compare(root: Path, calls: Iterable[Call], *, sip_only: bool = False) -> Comparison:
    """Read every block under `root` and look every packet up among those of `calls`."""
    stored: dict[_Place, list[_Seen]] = {}
    result = Comparison()
    captured: list[int] = []
    arrived: list[int] = []
    for found in blocks(root):
        if isinstance(found, Damage):
            result.damaged += 1
            result.faults.append(f"{found.what} ({found.length} octets at {found.offset})")
            continue
        for place, time_us, arrival_us, octets in _packets(found):
            stored.setdefault(place, []).append((time_us, hash(octets)))
            captured.append(time_us)
            arrived.append(arrival_us)
    result.stored = len(captured)
    result.captured, result.arrived = np.array(captured, np.int64), np.array(arrived, np.int64)
    missing: list[int] = []
    for call in calls:
        for place, sent in _sent(call, sip_only=sip_only):
            here = Counter(stored.pop(place, ()))
            missing += [time_us for time_us, _ in (sent - here).elements()]
            for seen, count in (here - sent).items():
                result.twice += count if seen in sent else 0
                result.foreign += count if seen not in sent else 0
    result.missing = np.array(missing, np.int64)
    for place, strangers in stored.items():
        result.foreign += len(strangers)
        result.faults.append(f"stored, never sent: {len(strangers)} packets of {place}")
    return result


def blocks(root: Path) -> Iterator[Block | Damage]:
    """Walk every data.raw under a root."""
    for bucket in find_buckets(root, DATA):
        yield from iter_blocks(root / bucket / DATA)


def _packets(block: Block) -> Iterator[tuple[_Place, int, int, bytes]]:
    if block.header.kind == KIND_MESSAGES:
        for _, message in block.messages():
            yield (message.call_id, None, None), message.time_us, message.arrival_us, message.payload
        return
    chunk = block.chunk()
    place = (chunk.key.call_id, chunk.key.leg, chunk.key.ssrc)
    columns = (chunk.rows[name].tolist() for name in ("time_us", "arrival_us", "offset", "length"))
    for time_us, arrival_us, offset, length in zip(*columns, strict=True):
        yield place, time_us, arrival_us, chunk.data[offset : offset + length]


def _sent(call: Call, *, sip_only: bool) -> Iterator[tuple[_Place, Counter[_Seen]]]:
    script = call.script()
    yield (call.call_id, None, None), Counter((packet.time_us, hash(packet.payload)) for packet in script.messages)
    if not sip_only:
        bank = VoiceBank.make(call.seed)
        for stream in script.streams:
            packets = stream.talker(bank).packets()
            yield (call.call_id, stream.leg, stream.ssrc), Counter((time_us, hash(octets)) for time_us, octets in packets)


def index_faults(root: Path) -> list[str]:
    """Hold every index under a root against its data: SQLite's own check, and the answers against the blocks."""
    faults = []
    for database in [root / CATALOG, *(root / bucket / DATABASE for bucket in find_buckets(root))]:
        index = sqlite3.connect(f"{database.as_uri()}?mode=ro", uri=True)
        try:
            said = index.execute("PRAGMA integrity_check").fetchall()
        except sqlite3.Error as error:
            said = [(str(error),)]
        finally:
            index.close()
        if said != [("ok",)]:
            faults.append(f"{database}: {said[:3]}")
    truth = _counted(root)
    answered = _answered(root, truth)
    faults += [f"{call}: stored {truth[call]}, answered {answered[call]}" for call in truth if truth[call] != answered[call]]
    return faults[:20]


def reindex_faults(root: Path, copy: Path) -> list[str]:
    """Rebuild every index in a copy of the root by `sipflow reindex`, and compare the answers of both."""
    shutil.copytree(root, copy, symlinks=True, ignore=shutil.ignore_patterns(".pool", ".lock"))
    try:
        run = subprocess.run(
            [sys.executable, "-m", "sipflow", "reindex", "--dir", str(copy)], capture_output=True, text=True, check=False
        )
        if run.returncode != 0:
            return [f"reindex: status {run.returncode}: {run.stdout[-500:]}{run.stderr[-500:]}"]
        truth = _counted(root)
        before, after = _answered(root, truth), _answered(copy, truth)
        return [f"{call}: {before[call]}, reindexed {after[call]}" for call in truth if before[call] != after[call]][:20]
    finally:
        shutil.rmtree(copy)


def _counted(root: Path) -> dict[str, tuple[int, int, int]]:
    """Count messages and packets of each call from the blocks alone, with a sum over their octets."""
    counted: dict[str, list[int]] = {}
    for found in blocks(root):
        if isinstance(found, Block):
            for (call_id, leg, _), time_us, _, octets in _packets(found):
                one = counted.setdefault(call_id, [0, 0, 0])
                one[leg is not None] += 1
                one[2] ^= hash((time_us, octets))
    return {call_id: (sip, rtp, total) for call_id, (sip, rtp, total) in counted.items()}


def _answered(root: Path, call_ids: Iterable[str]) -> dict[str, tuple[int, int, int]]:
    """Ask the history for each call what `_counted` counts."""
    answered = {}
    history = History.open(root)
    try:
        for call_id in call_ids:
            flow, media = history.flow(call_id), history.media(call_id)
            total = 0
            for message in flow.messages:
                total ^= hash((message.time_us, message.payload))
            packets = 0
            for chunk in media.chunks:
                columns = (chunk.rows[name].tolist() for name in ("time_us", "offset", "length"))
                for time_us, offset, length in zip(*columns, strict=True):
                    total ^= hash((time_us, chunk.data[offset : offset + length]))
                    packets += 1
            known = history.call(call_id)
            counts = (known.sip_messages, known.rtp_packets)
            found = (len(flow.messages), packets)
            answered[call_id] = (*found, total) if counts == found and not flow.faults + media.faults else (*counts, -1)
    finally:
        history.close()
    return answered
