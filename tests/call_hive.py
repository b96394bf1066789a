"""A tree of call tables as an archive has it, of two nodes: answered, refused and one-way calls, one of two hours."""

from pathlib import Path

from capture_writer import frame, pcap, rtp, sdp, sip
from sipflow.archive.columns import partition_of
from sipflow.archive.parquet import write_calls
from sipflow.clock import SECOND_US
from sipflow.importer import import_files
from sipflow.storage.layout import DATABASE, find_buckets

BEGIN_US = 1_780_272_000_000_000  # 2026-06-01T00:00:00Z
NODES = ("pbx-1", "pbx-2")
ALICE, BOB = ("192.0.2.1", 5060), ("192.0.2.2", 5060)
MS = 1000
ACROSS = "across@h"


def answered(call_id: str, seconds: int, port: int, *, both: bool = True) -> list[tuple[int, bytes]]:
    """Write a call of so many seconds, its media in both directions or in one; ten packets a second."""
    offer, answer = sdp("192.0.2.1", port), sdp("192.0.2.2", port + 2)
    ends = (("192.0.2.1", port), ("192.0.2.2", port + 2))
    ways = (ends, ends[::-1]) if both else (ends,)
    return [
        (0, frame(ALICE, BOB, sip("INVITE sip:bob@example.com SIP/2.0", call_id, "1 INVITE", offer))),
        (200 * MS, frame(BOB, ALICE, sip("SIP/2.0 180 Ringing", call_id, "1 INVITE", to_tag="b"))),
        (1200 * MS, frame(BOB, ALICE, sip("SIP/2.0 200 OK", call_id, "1 INVITE", answer, to_tag="b"))),
        *(
            (1300 * MS + n * 20 * MS, frame(src, dst, rtp(n, ssrc=port + way)))
            for way, (src, dst) in enumerate(ways)
            for n in range(50)
        ),
        (
            1200 * MS + seconds * SECOND_US,
            frame(ALICE, BOB, sip("BYE sip:bob@h SIP/2.0", call_id, "2 BYE", to_tag="b")),
        ),
    ]


def refused(call_id: str, status: str) -> list[tuple[int, bytes]]:
    return [
        (0, frame(ALICE, BOB, sip("INVITE sip:bob@example.com SIP/2.0", call_id, "1 INVITE"))),
        (300 * MS, frame(BOB, ALICE, sip(f"SIP/2.0 {status}", call_id, "1 INVITE", to_tag="b"))),
    ]


def calls_of(node: str) -> list[tuple[int, list[tuple[int, bytes]]]]:
    """List the calls of a node, each with the second it begins at."""
    hour = 3600
    if node == NODES[0]:
        return [
            (60, answered("a-1@h", 30, 4000)), (70, answered("a-2@h", 60, 4100)),
            (80, refused("a-3@h", "486 Busy Here")),
            (hour - 30, answered(ACROSS, 90, 4200)),
            (hour + 60, answered("a-4@h", 20, 4300, both=False)), (hour + 70, refused("a-5@h", "503 Overloaded")),
        ]  # fmt: skip
    return [(80, answered("b-1@h", 10, 5000)), (95, refused("b-2@h", "486 Busy Here"))]


def make_root(root: Path, node: str) -> Path:
    """Import the calls of a node into a data root."""
    frames = [(BEGIN_US + at * SECOND_US + after, octets) for at, call in calls_of(node) for after, octets in call]
    capture = root.parent / f"{node}.pcap"
    capture.write_bytes(pcap(sorted(frames)))
    import_files([capture], root)
    return root


def make_hive(directory: Path, roots: dict[str, Path]) -> Path:
    """Write the tables of sealed parts of each node's root below a directory, under the keys of the archive."""
    for node, root in roots.items():
        for part in find_buckets(root):
            target = directory / partition_of(node, part.as_posix()).key
            target.parent.mkdir(parents=True)
            write_calls(root / part / DATABASE, node, target)
    return directory
