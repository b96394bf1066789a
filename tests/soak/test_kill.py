"""kill -9 of the recorder, at random instants and at exact ones: what was taken is stored once, and nothing else is."""

import errno
import random
import subprocess
import time
from typing import NamedTuple

import pytest

from sipflow.clock import SECOND_US, now_us
from sipflow.storage.layout import HOUR_US
from soak import tally
from soak.faults import Faults, Op
from soak.traffic import Traffic, burst
from soak.verdict import all_sealed, judge, settle, taken_in
from soak.victim import Victim


@pytest.mark.timeout(3600)
def test_kill_9_at_random_instants_loses_nothing_that_was_taken(victim: Victim, faults: Faults, long: bool) -> None:
    """Under load across the border of an hour; some kills strike a server that still starts, or whose disk flickers."""
    kills = 300 if long else 20
    struck = 0
    chance = random.Random(20_260_601)
    border_us = now_us() // HOUR_US * HOUR_US
    with Traffic(victim.udp, calls=200, seconds=kills * 3 + 30, start_us=border_us - kills // 2 * SECOND_US) as traffic:
        for _ in range(kills):
            early = chance.random() < 0.3
            if chance.random() < 0.3:
                faults.fail(Op.STORE | Op.READ, "20*", errno.EIO, chance=100_000)
            victim.start(healthy=False)
            time.sleep(chance.uniform(0.0, 0.7) if early else chance.uniform(0.5, 1.6))
            victim.kill()
            struck += faults.clear()
        victim.start()
        time.sleep(1)
        traffic.quit()
        settle(victim)
    found = judge(victim, traffic)
    assert found.stored > 1000 * kills, "the storm never met a server that was recording"
    tally.tell(
        "kill-storm",
        f"{kills} kills, {taken_in(victim):,} records taken, {found.stored:,} stored, 0 lost, 0 twice",
        ends=kills,
        struck=struck,
    )


class Instant(NamedTuple):
    """The `nth` call of a kind on a file: the kill falls before it, after it, or when half of it is written."""

    ops: Op
    pattern: str
    nth: int = 1
    when: str = "before"


def _around(ops: Op, pattern: str, *nth: int) -> list[Instant]:
    return [Instant(ops, pattern, n, when) for n in nth or (1,) for when in ("before", "after")]


DATA, INDEX, WAL, CATALOG_WAL = "*data.raw", "*sipflow.db", "*sipflow.db-wal", "catalog.db-wal"
COMMITTING = [
    *_around(Op.WRITE, DATA, 1, 2, 7),
    Instant(Op.WRITE, DATA, 1, "half"),
    Instant(Op.WRITE, DATA, 3, "half"),
    *_around(Op.WRITE, WAL, 1, 9),
    Instant(Op.WRITE, WAL, 12, "half"),
    *_around(Op.WRITE, INDEX),
    *_around(Op.SYNC, WAL),
    *_around(Op.SYNC, INDEX),
    Instant(Op.OPEN, DATA),
    Instant(Op.OPEN, INDEX),
    *_around(Op.TRUNCATE, DATA),
    *_around(Op.WRITE, CATALOG_WAL),
    Instant(Op.MKDIR, "20*"),
    *_around(Op.OPEN, ".pool/*"),
]
# Sealing folds the write-ahead log in; it writes nothing into it any more.
SEALING = [
    *_around(Op.WRITE, INDEX, 1, 4),
    *_around(Op.SYNC, WAL),
    *_around(Op.SYNC, INDEX),
    *_around(Op.TRUNCATE, WAL),
    *_around(Op.UNLINK, WAL),
    *_around(Op.SYNC, DATA),
    Instant(Op.CHMOD, DATA),
]
# From here on the files are read-only while the catalog has the bucket as open.
HALF_SEALED = [
    Instant(Op.CHMOD, DATA, 1, "after"),
    Instant(Op.CHMOD, INDEX, 1, "after"),
    Instant(Op.WRITE, CATALOG_WAL, 1),
]


def _two_thirds(instants: list[Instant]) -> list[Instant]:
    return [instant for number, instant in enumerate(instants) if number % 3 != 1]


def _arm(faults: Faults, instant: Instant) -> None:
    if instant.when == "half":
        faults.shorten(instant.pattern)
    faults.kill(instant.ops, instant.pattern, nth=instant.nth, after=instant.when != "before")


def _dies(victim: Victim, seconds: float) -> bool:
    """Wait for the kill; a server that never comes to the instant is killed without it."""
    try:
        victim.ended(seconds)
    except subprocess.TimeoutExpired:
        victim.kill()
        return False
    assert victim.process.returncode == -9, victim.said()
    return True


@pytest.mark.timeout(900)
def test_kill_9_at_the_instants_of_a_commit_loses_nothing_that_was_taken(
    victim: Victim, faults: Faults, long: bool
) -> None:
    """Before, after and in the middle of every call that a commit sends to the disk, with the load going on."""
    instants = COMMITTING * 5 if long else _two_thirds(COMMITTING)
    reached = 0
    seconds = len(instants) * 4 + 30
    # Of two hours at once: what the second call of a commit meets, the first hour has already.
    with (
        Traffic(victim.udp, calls=75, seconds=seconds) as now,
        Traffic(victim.udp, calls=75, seconds=seconds, start_us=now_us() - 4 * HOUR_US, first=100_000) as then,
    ):
        for instant in instants:
            _arm(faults, instant)
            victim.start(healthy=False)
            reached += _dies(victim, 4)
            faults.clear()
        victim.start()
        now.quit()
        then.quit()
        settle(victim)
    found = judge(victim, now, then)
    assert reached > len(instants) * 3 // 4, f"only {reached} of {len(instants)} instants were come to"
    tally.tell(
        "kill-commit",
        f"{reached} kills at exact calls, {taken_in(victim):,} records taken, {found.stored:,} stored, 0 lost, 0 twice",
        ends=reached,
    )


@pytest.mark.timeout(900)
@pytest.mark.parametrize("instants", [pytest.param(SEALING, id="sealing"), pytest.param(HALF_SEALED, id="half-sealed")])
def test_kill_9_at_the_instants_of_a_seal_leaves_a_bucket_that_is_sealed_later(
    victim: Victim, faults: Faults, instants: list[Instant], long: bool
) -> None:
    """As a user other than root, to whom read-only means read-only. Each life seals a bucket of an hour of its own."""
    faults.be_unprivileged()
    instants = instants if long else instants[::3]
    traffics = []
    reached = 0
    for hour, instant in enumerate(instants):
        victim.start()
        traffics.append(burst(victim, start_us=now_us() - (hour + 2) * HOUR_US, first=hour * 1000))
        _arm(faults, instant)
        faults.leap(300 * SECOND_US)
        reached += _dies(victim, 6)
        faults.clear()
        faults.leap(0)
    victim.start()
    faults.leap(300 * SECOND_US)
    victim.until(lambda: all_sealed(victim.root), "sealed", 6)
    settle(victim)
    found = judge(victim, *traffics)
    assert found.unstored == 0
    assert reached > len(instants) * 3 // 4, f"only {reached} of {len(instants)} instants were come to"
    tally.tell(
        "kill-seal",
        f"{reached} kills at exact calls, {taken_in(victim):,} records taken, {found.stored:,} stored, 0 lost, 0 twice",
        ends=reached,
    )
