"""What is stored under a root, packet by packet, held against what was sent."""

import shutil
import sqlite3
import subprocess
import sys
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
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

# SIP messages and RTP packets of a call, and a sum over their octets and times.
Held = tuple[int, int, int]
_Place = tuple[str, int | None, int | None]  # Call-ID, leg, SSRC; a call's signalling has neither
_Seen = tuple[int, int]  # capture time, hash of the octets


@dataclass
class Comparison:
    """Stored packets against those sent: `calls` is what the blocks hold of each call, `faults` are sentences.

    `captured` and `arrived` are times of stored packets and `plan` the plan they come from; `missing` are capture times
    of packets that were sent and are not stored, by plan.
    """

    stored: int = 0
    twice: int = 0
    foreign: int = 0
    damaged: int = 0
    missing: list[NDArray[np.int64]] = field(default_factory=list)
    plan: NDArray[np.int64] = field(default_factory=lambda: np.empty(0, np.int64))
    captured: NDArray[np.int64] = field(default_factory=lambda: np.empty(0, np.int64))
    arrived: NDArray[np.int64] = field(default_factory=lambda: np.empty(0, np.int64))
    faults: list[str] = field(default_factory=list)
    calls: dict[str, Held] = field(default_factory=dict)

    @property
    def unstored(self) -> int:
        """Count packets that were sent and are not stored."""
        return sum(missing.size for missing in self.missing)

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
            holes = sum(self._holes(number, own) for number in range(len(self.missing)))
            short = max(life.taken - stored, holes - excuse, 0)
            if short:
                self.faults.append(f"life {number}: {short} lost: took {life.taken}, {stored} stored, {holes} holes")
            if stored > life.taken + UNCOUNTED:
                self.faults.append(f"life {number}: took {life.taken}, but {stored} are stored")
            lost += short
        return lost

    def _holes(self, plan: int, own: NDArray[np.bool_]) -> int:
        captured, missing = self.captured[own & (self.plan == plan)], self.missing[plan]
        if not captured.size:
            return 0
        return int(((missing > captured.min() + _TICK_US) & (missing < captured.max() - _TICK_US)).sum())


def compare(root: Path, *plans: Sequence[Call]) -> Comparison:
    """Read every block under `root` and look every packet up among those of the planned calls."""
    result = Comparison()
    stored = _read(root, {call.call_id: number for number, plan in enumerate(plans) for call in plan}, result)
    for plan in plans:
        missing: list[int] = []
        for call in plan:
            for place, sent in _sent(call):
                here = Counter(stored.pop(place, ()))
                missing += [time_us for time_us, _ in (sent - here).elements()]
                for seen, count in (here - sent).items():
                    result.twice += count if seen in sent else 0
                    result.foreign += count if seen not in sent else 0
        result.missing.append(np.array(missing, np.int64))
    for place, strangers in stored.items():
        result.foreign += len(strangers)
        result.faults.append(f"stored, never sent: {len(strangers)} packets of {place}")
    return result


def _read(root: Path, plan_of: Mapping[str, int], result: Comparison) -> dict[_Place, list[_Seen]]:
    stored: dict[_Place, list[_Seen]] = {}
    captured: list[int] = []
    arrived: list[int] = []
    plans: list[int] = []
    for found in _blocks(root):
        if isinstance(found, Damage):
            result.damaged += 1
            result.faults.append(f"{found.what} ({found.length} octets at {found.offset})")
            continue
        for place, time_us, arrival_us, octets in _packets(found):
            stored.setdefault(place, []).append((time_us, hash(octets)))
            captured.append(time_us)
            arrived.append(arrival_us)
            plans.append(plan_of.get(place[0], -1))
    result.stored = len(captured)
    result.plan = np.array(plans, np.int64)
    result.captured, result.arrived = np.array(captured, np.int64), np.array(arrived, np.int64)
    for (call_id, leg, _), seen in stored.items():
        sip, rtp, total = result.calls.get(call_id, (0, 0, 0))
        for one in seen:
            total ^= hash(one)
        sip, rtp = (sip + len(seen), rtp) if leg is None else (sip, rtp + len(seen))
        result.calls[call_id] = (sip, rtp, total)
    return stored


def _blocks(root: Path) -> Iterator[Block | Damage]:
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


def _sent(call: Call) -> Iterator[tuple[_Place, Counter[_Seen]]]:
    script = call.script()
    yield (call.call_id, None, None), Counter((packet.time_us, hash(packet.payload)) for packet in script.messages)
    bank = VoiceBank.make(call.seed)
    for stream in script.streams:
        packets = stream.talker(bank).packets()
        yield (
            (call.call_id, stream.leg, stream.ssrc),
            Counter((time_us, hash(octets)) for time_us, octets in packets),
        )


def index_faults(root: Path, truth: Mapping[str, Held]) -> list[str]:
    """Hold every index under a root against its data: SQLite's own check, and every answer against the blocks.

    The answers are asked for once more after `sipflow reindex` in a copy. `truth` says what the blocks hold of a call.
    """
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
    copy = root.with_name("reindexed")
    shutil.copytree(root, copy, symlinks=True, ignore=shutil.ignore_patterns(".pool", ".lock"))
    try:
        command = [sys.executable, "-m", "sipflow", "reindex", "--dir", str(copy)]
        run = subprocess.run(command, capture_output=True, text=True, check=False)
        if run.returncode != 0:
            faults.append(f"reindex: status {run.returncode}: {run.stdout[-500:]}{run.stderr[-500:]}")
        for what, place in (("answered", root), ("answered after reindex", copy)):
            answers = _answered(place, truth)
            faults += [
                f"{call}: stored {truth[call]}, {what} {answers[call]}"
                for call in truth
                if truth[call] != answers[call]
            ]
    finally:
        shutil.rmtree(copy)
    return faults[:20]


def _answered(root: Path, call_ids: Iterable[str]) -> dict[str, Held]:
    """Ask the history what it has of each call; a sum of -1 tells that its answers disagree."""
    answered = {}
    history = History.open(root)
    try:
        for call_id in call_ids:
            flow, media, known = history.flow(call_id), history.media(call_id), history.call(call_id)
            total = packets = 0
            for message in flow.messages:
                total ^= hash((message.time_us, hash(message.payload)))
            for chunk in media.chunks:
                columns = (chunk.rows[name].tolist() for name in ("time_us", "offset", "length"))
                for time_us, offset, length in zip(*columns, strict=True):
                    total ^= hash((time_us, hash(chunk.data[offset : offset + length])))
                    packets += 1
            agreed = (known.sip_messages, known.rtp_packets) == (len(flow.messages), packets)
            sound = agreed and not flow.faults and not media.faults
            answered[call_id] = (len(flow.messages), packets, total if sound else -1)
    finally:
        history.close()
    return answered
