"""A data root to show pages of: a million calls of the last day and four that are hard to draw.

An hour-long call, two of very many messages, and the registrations of a town.
"""

import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import msgspec
from bench import long_call
from bench.archive import build

from capture_writer import frame, pcap, sip
from sipflow.clock import SECOND_US, now_us
from sipflow.importer import import_files
from sipflow.load.scenario import Scenario

HOUR_LONG: Final = long_call.CALL_ID
MANY: Final = {1000: "thousand@bench", 5000: "five-thousand@bench"}
USERS: Final = 4_000
# What a day sees: mostly calls that were answered, some that were not, and no registrations, which come apart.
_SCENARIOS: Final = (
    *[Scenario.ANSWERED] * 12, Scenario.BUSY, Scenario.BUSY, Scenario.UNANSWERED, Scenario.UNANSWERED,
    Scenario.CHALLENGED, Scenario.CHALLENGED, Scenario.EARLY_MEDIA, Scenario.DIGITS,
)  # fmt: skip
_MEDIA_ROWS: Final = 4
_PHONE, _REGISTRAR = ("192.0.2.10", 5060), ("192.0.2.20", 5060)
_LEFT_OUT: Final = ".bench.json"


class Showpieces(msgspec.Struct, frozen=True):
    """What stands in a root; `calls` are those of the day that can be asked for, oldest first."""

    calls: list[str]
    stored_calls: int
    index_octets: int
    seconds: float


def stand(root: Path, hours: int, calls_per_hour: int) -> Showpieces:
    """Give what stands in a root, which is filled if it does not exist yet."""
    note = root / _LEFT_OUT
    if note.exists():
        return msgspec.json.decode(note.read_bytes(), type=Showpieces)
    archive = build(root, hours, calls_per_hour, hours, _MEDIA_ROWS, _SCENARIOS)
    long_call.store(root, 1.0)
    newest = now_us() - 2 * 3600 * SECOND_US
    with tempfile.TemporaryDirectory(prefix="sipflow-bench-") as scratch:
        file = Path(scratch) / "showpieces.pcap"
        for frames in (*(_messages(call_id, count, newest) for count, call_id in MANY.items()), _registered(newest)):
            file.write_bytes(pcap(sorted(frames)))
            import_files([file], root)
    made = Showpieces(archive.calls, archive.stored_calls, archive.index_octets, archive.seconds)
    note.write_bytes(msgspec.json.encode(made))
    return made


def _messages(call_id: str, count: int, begin_us: int) -> Iterator[tuple[int, bytes]]:
    """Write a call of so many messages: requests inside of a dialog, and their answers."""
    for number in range(count // 2):
        at_us = begin_us + number * 200_000
        cseq = f"{number + 1} INFO"
        yield at_us, frame(_PHONE, _REGISTRAR, sip("INFO sip:bob@example.com SIP/2.0", call_id, cseq, to_tag="b"))
        yield at_us + 9000, frame(_REGISTRAR, _PHONE, sip("SIP/2.0 200 OK", call_id, cseq, to_tag="b"))


def _registered(begin_us: int) -> Iterator[tuple[int, bytes]]:
    """Write one registration of each of USERS users: challenged, then answered."""
    for number in range(USERS):
        call_id, user = f"register-{number}@bench", b"user%05d" % number
        for turn, answer in enumerate(("401 Unauthorized", "200 OK"), 1):
            at_us = begin_us + number * 500_000 + turn * 20_000
            ask = sip("REGISTER sip:example.com SIP/2.0", call_id, f"{turn} REGISTER")
            said = sip(f"SIP/2.0 {answer}", call_id, f"{turn} REGISTER", to_tag="r")
            yield at_us, frame(_PHONE, _REGISTRAR, ask.replace(b"bob", user).replace(b"alice", user))
            yield at_us + 8000, frame(_REGISTRAR, _PHONE, said.replace(b"bob", user).replace(b"alice", user))
