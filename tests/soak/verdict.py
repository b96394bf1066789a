"""The end of every scenario: the server is stopped in order, and all it stored is compared with what was sent."""

from pathlib import Path

from sipflow.storage.layout import DATA, DATABASE, find_buckets
from soak.traffic import Traffic
from soak.truth import Comparison, compare, index_faults
from soak.victim import Victim


def settle(victim: Victim) -> None:
    """Stop the server with SIGTERM; it must write everything and end with status 0."""
    dropped = victim.metric("sipflow_items_dropped_total")
    status = victim.stop()
    victim.ended(dropped=dropped)
    assert status == 0, f"status {status}:\n{victim.said()}"


def judge(victim: Victim, *traffics: Traffic, lossless: bool = True) -> Comparison:
    """Compare the root of a stopped server with what was sent, packet by packet, and every index with its data.

    Nothing may be stored twice, under another call or with other octets; `lossless` also asks that everything that was
    taken is there.
    """
    found = compare(victim.root, *(traffic.calls() for traffic in traffics))
    lost = found.lost(victim.lives) if lossless else 0
    said = (found.twice, found.foreign, found.damaged, lost, found.faults)
    assert said == (0, 0, 0, 0, []), f"twice, foreign, damaged, lost: {said}"
    assert index_faults(victim.root, found.calls) == []
    return found


def taken_in(victim: Victim) -> int:
    """Sum what all lives took."""
    return sum(life.taken for life in victim.lives)


def all_sealed(root: Path) -> bool:
    """Tell whether every bucket on disk is read-only, as sealing leaves it."""
    files = [root / bucket / name for bucket in find_buckets(root) for name in (DATA, DATABASE)]
    return all(file.stat().st_mode & 0o200 == 0 for file in files)
