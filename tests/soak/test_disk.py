"""Disks that are full, broken, read-only, slow or gone: the server says so, keeps what it can, and recovers."""

import errno
import os
import shutil
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

from sipflow.errors import StorageError
from sipflow.storage.contents import Contents
from sipflow.storage.layout import find_buckets
from soak import tally
from soak.faults import Faults, Op
from soak.traffic import Traffic, burst, hours_ago
from soak.verdict import judge, settle, taken_in
from soak.victim import Victim

INDEX, CATALOG = "*sipflow.db*", "catalog.db*"


class Fault(NamedTuple):
    """What the disk refuses, and with which error."""

    ops: Op
    pattern: str
    error: int
    chance: int = 1_000_000


FAULTS = {
    "data-full": Fault(Op.WRITE, "*data.raw", errno.ENOSPC),
    "data-broken": Fault(Op.WRITE, "*data.raw", errno.EIO),
    "index-full": Fault(Op.WRITE, INDEX, errno.ENOSPC),
    "index-broken": Fault(Op.WRITE | Op.READ, INDEX, errno.EIO),
    "index-quota": Fault(Op.WRITE, INDEX, errno.EDQUOT),
    "all-read-only": Fault(Op.STORE, "20*", errno.EROFS),
    "all-flickering": Fault(Op.STORE | Op.READ, "20*", errno.EIO, chance=300_000),
}


@pytest.mark.timeout(900)
def test_a_failing_disk_is_told_and_survived(victim: Victim, faults: Faults, long: bool) -> None:
    """One fault after the other under load; after each the server is healthy again without help."""
    rounds = 10 if long else 1
    struck = 0
    with Traffic(victim.udp, calls=60, seconds=len(FAULTS) * 20 * rounds) as traffic:
        victim.start()
        for name, fault in list(FAULTS.items()) * rounds:
            before = victim.stored()
            victim.until(lambda before=before: victim.stored() > before, f"storing before {name}")  # type: ignore[misc]
            rule = faults.fail(fault.ops, fault.pattern, fault.error, chance=fault.chance)
            victim.until(lambda rule=rule: rule.hit > 0, f"struck by {name}")  # type: ignore[misc]
            victim.until(lambda: victim.sick_of("append", "open", "storage"), f"sick of {name}")
            struck += faults.clear()
            victim.until(victim.healthy, f"healthy after {name}")
        traffic.quit()
        settle(victim)
    found = judge(victim, traffic)
    assert "nothing is lost while the pool has room" in victim.said()
    tally.tell(
        "disk-faults",
        f"{len(FAULTS) * rounds} faults, {struck:,} calls failed, {taken_in(victim):,} records taken, "
        f"{found.stored:,} stored, 0 lost",
        struck=struck,
    )


def test_short_and_slow_writes_lose_nothing(victim: Victim, faults: Faults, long: bool) -> None:
    with Traffic(victim.udp, calls=100, seconds=300) as traffic:
        victim.start()
        faults.shorten("*data.raw", chance=500_000)
        rules = [faults.delay(Op.WRITE | Op.SYNC, pattern, 60, chance=500_000) for pattern in ("*data.raw", INDEX)]
        time.sleep(60 if long else 5)
        waits = sum(rule.hit for rule in rules)
        struck = faults.clear()
        assert waits > 10
        assert struck > waits
        traffic.quit()
        settle(victim)
    found = judge(victim, traffic)
    tally.tell(
        "slow-disk",
        f"{waits} waits of 60 ms and {struck - waits} short writes, {taken_in(victim):,} records taken, "
        f"{found.stored:,} stored, 0 lost",
        struck=struck,
    )


def test_a_catalog_that_cannot_be_written_holds_up_no_open_bucket(tmp_path: Path, faults: Faults) -> None:
    """A new hour needs the catalog; it waits in the pool until the catalog can be written again."""
    # The packer opens the catalog every now and then.
    with Victim(tmp_path / "data", "--flush-interval", "1", "--no-pack", faults=faults) as victim:
        victim.start()
        first = burst(victim, start_us=hours_ago(3))
        rule = faults.fail(Op.WRITE, CATALOG, errno.EIO)
        second = burst(victim, start_us=hours_ago(3), first=1000)
        assert rule.hit == 0, "an open bucket has no need of the catalog"
        with Traffic(victim.udp, calls=5, seconds=4, talk=3, start_us=hours_ago(5), first=2000, speed=None) as third:
            third.join()
        victim.until(lambda: victim.sick_of("catalog.db"), "sick of the catalog")
        struck = faults.clear()
        victim.until(victim.healthy, "healthy again")
        settle(victim)
        found = judge(victim, first, second, third)
        assert found.unstored == 0
        tally.tell("catalog", f"{struck} calls failed, {found.stored:,} records stored, 0 lost", struck=struck)


def test_one_failing_bucket_holds_up_no_other(victim: Victim, faults: Faults) -> None:
    victim.start()
    first = burst(victim, start_us=hours_ago(3))
    (bad,) = find_buckets(victim.root)
    faults.fail(Op.WRITE, f"{bad}/data.raw", errno.EIO)
    with Traffic(victim.udp, calls=5, seconds=4, talk=3, start_us=hours_ago(3), first=1000, speed=None) as held:
        held.join()
    victim.until(lambda: victim.sick_of("append"), "sick of the bad bucket")
    try:
        second = burst(victim, start_us=hours_ago(5), first=2000, seconds=5)
    finally:
        struck = faults.clear()
    victim.until(victim.healthy, "healthy again")
    settle(victim)
    found = judge(victim, first, held, second)
    assert found.unstored == 0
    tally.tell("bad-bucket", f"{struck} calls failed, {found.stored:,} records stored, 0 lost", struck=struck)


def test_a_damaged_open_bucket_stops_no_start(victim: Victim) -> None:
    """Killed with packets in the pool, one index damaged: the server starts, makes it anew, and nothing is lost."""
    victim.start()
    lost = burst(victim, start_us=hours_ago(3))
    (bad,) = find_buckets(victim.root)
    kept = Traffic(victim.udp, calls=5, seconds=4, talk=3, start_us=hours_ago(5), first=1000, speed=None)
    kept.start()
    kept.join()
    victim.until(lambda: victim.taken() == lost.sent + kept.sent, "taken")
    victim.kill()
    for log in (victim.root / bad).glob("sipflow.db-*"):
        log.unlink()
    (victim.root / bad / "sipflow.db").write_bytes(b"no index any more" * 1000)
    victim.start(healthy=False)

    def indexed() -> int:
        others = [victim.root / bucket for bucket in find_buckets(victim.root) if bucket != bad]
        try:
            held = [Contents(other, sealed=False).totals() for other in others]
        except StorageError:
            return 0  # it is being made
        return sum(totals.sip_messages + totals.rtp_packets for totals in held)

    victim.until(lambda: indexed() == kept.sent, "storing the other hour", 8)
    victim.until(victim.healthy, "healthy")
    settle(victim)
    found = judge(victim, lost, kept)
    assert found.unstored == 0
    tally.tell("damaged-index", f"{found.stored:,} records stored, 0 lost")


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """Mount a file system of 160 MB; needs the right to mount."""
    place = tmp_path / "disk"
    place.mkdir()
    mount = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=160m", "none", str(place)], capture_output=True, text=True, check=False
    )
    if mount.returncode != 0:
        pytest.skip(f"SKIPPED a full disk: cannot mount: {mount.stderr.strip()}")
    yield place
    subprocess.run(["umount", "--lazy", str(place)], check=True)


def _fill(place: Path) -> Path:
    filler = place / "filler"
    with filler.open("wb") as file:
        while True:
            room = os.statvfs(place)
            octets = os.fstat(file.fileno()).st_size + room.f_bavail * room.f_frsize
            try:
                os.posix_fallocate(file.fileno(), 0, max(1, octets))
            except OSError as error:
                # The server has written meanwhile: there is less room than there was.
                if error.errno != errno.ENOSPC:
                    raise
                continue
            return filler


def test_a_full_disk_is_told_and_survived_and_space_given_back_is_used(
    small_disk: Path, tmp_path: Path, faults: Faults
) -> None:
    pool = tmp_path / "pool"
    pool.mkdir()
    with (
        Victim(small_disk / "data", "--flush-interval", "1", "--pool-dir", str(pool), faults=faults) as victim,
        Traffic(victim.udp, calls=200, seconds=120) as traffic,
    ):
        victim.start()
        victim.until(lambda: victim.stored() > 3000, "storing")
        filler = _fill(small_disk)
        victim.until(lambda: victim.sick_of("0B left on the disk"), "sick of the full disk")
        victim.until(lambda: victim.sick_of("append"), "sick of what it cannot write")
        time.sleep(1)
        dropped = victim.metric("sipflow_items_dropped_total")
        filler.unlink()
        victim.until(victim.healthy, "healthy again")
        before = victim.stored()
        victim.until(lambda: victim.stored() > before + 5000, "storing again")
        traffic.quit()
        settle(victim)
        found = judge(victim, traffic)
        tally.tell(
            "full-disk", f"{taken_in(victim):,} records taken, {found.stored:,} stored, {dropped} dropped, 0 lost"
        )


def test_a_server_without_a_disk_drops_media_before_signalling(victim: Victim, faults: Faults) -> None:
    with Traffic(victim.udp, calls=300, seconds=120) as traffic:
        victim.start()
        victim.until(lambda: victim.stored() > 1000, "storing")
        faults.fail(Op.WRITE, "20*", errno.ENOSPC)
        victim.until(lambda: _dropped(victim, "rtp") > 0 or _dropped(victim, "sip") > 0, "dropping", 60)
        victim.until(lambda: victim.sick_of("no room for RTP", "no room for SIP"), "sick of the full pool")
        try:
            victim.until(lambda: _dropped(victim, "rtp") > 5000, "dropping RTP", 20)
            dropped_sip = _dropped(victim, "sip")
        finally:
            struck = faults.clear()
        victim.until(victim.healthy, "healthy again")
        traffic.quit()
        settle(victim)
    found = judge(victim, traffic)
    assert dropped_sip == 0
    tally.tell("no-disk", f"{victim.lives[-1].dropped:,} RTP packets dropped and counted, {found.stored:,} stored",
               struck=struck)  # fmt: skip


def _dropped(victim: Victim, kind: str) -> int:
    return victim.metric("sipflow_dropped_total", f'reason="pool_full_{kind}"')


def test_a_bucket_removed_under_the_server_costs_only_itself(victim: Victim) -> None:
    victim.start()
    hour = hours_ago(3)
    burst(victim, start_us=hour)
    (bucket,) = find_buckets(victim.root)
    shutil.rmtree(victim.root / bucket)
    after = burst(victim, start_us=hour, first=1000)
    settle(victim)
    found = judge(victim, after, lossless=False)
    assert found.unstored == 0, f"{found.unstored} packets that came after the removal are not stored"


@pytest.fixture
def apart(tmp_path: Path, faults: Faults) -> Iterator[Victim]:
    """Give a server whose pool lies where no other server sweeps."""
    pool = tmp_path / "pool"
    pool.mkdir()
    with Victim(tmp_path / "data", "--flush-interval", "1", "--pool-dir", str(pool), faults=faults) as server:
        yield server


def test_a_root_that_is_away_for_a_while_is_told_and_nothing_is_lost(apart: Victim) -> None:
    apart.start()
    with Traffic(apart.udp, calls=50, seconds=60) as traffic:
        apart.until(lambda: apart.stored() > 0, "storing")
        apart.root.rename(apart.root.with_name("away"))
        apart.until(lambda: apart.get("/health").status_code == 503, "sick")
        time.sleep(1)
        assert apart.process.poll() is None, apart.said()
        apart.root.with_name("away").rename(apart.root)
        apart.until(apart.healthy, "healthy again")
        traffic.quit()
        settle(apart)
    found = judge(apart, traffic)
    tally.tell("root-away", f"{taken_in(apart):,} records taken, {found.stored:,} stored, 0 lost")


def test_a_root_that_is_gone_is_told_and_the_server_still_stops_in_order(apart: Victim) -> None:
    apart.start()
    with Traffic(apart.udp, calls=20, seconds=60):
        apart.until(lambda: apart.stored() > 0, "storing")
        shutil.rmtree(apart.root)
        apart.until(lambda: apart.get("/health").status_code == 503, "sick")
        time.sleep(1)
        assert apart.process.poll() is None, apart.said()
        assert apart.stop() == 0, apart.said()


def test_another_server_leaves_the_pool_of_a_living_one_alone(victim: Victim, tmp_path: Path) -> None:
    """The root of the first is away for a moment, as a disk that is mounted again, while the second starts."""
    victim.start()
    pool = (victim.root / ".pool" / "pool").resolve()
    victim.root.rename(victim.root.with_name("away"))
    with Victim(tmp_path / "second") as second:
        second.start()
        second.stop()
    victim.root.with_name("away").rename(victim.root)
    assert pool.exists()
    victim.until(victim.healthy, "healthy again")
    settle(victim)


@pytest.mark.parametrize(
    ("ops", "pattern", "error"),
    [
        (Op.OPEN, ".lock", errno.EROFS),
        (Op.MKDIR, ".pool", errno.EROFS),
        (Op.ALLOCATE, "*pool", errno.ENOSPC),
        (Op.OPEN, "catalog.db", errno.EROFS),
        (Op.WRITE, "catalog.db*", errno.EIO),
    ],
)
def test_a_start_without_a_disk_is_refused_in_one_line(
    tmp_path: Path, faults: Faults, ops: Op, pattern: str, error: int
) -> None:
    root = tmp_path / "data"
    with Victim(root, "--pool-dir", str(root / ".pool"), faults=faults) as victim:
        faults.fail(ops, pattern, error)
        victim.start(healthy=False)
        victim.ended()
        assert victim.process.returncode == 1, victim.said()
        assert victim.said().splitlines()[-1].startswith("sipflow-server: ")
        assert "Traceback" not in victim.said()
        assert faults.clear() > 0
        victim.start()
        settle(victim)


@pytest.mark.timeout(300)
def test_sigterm_on_a_full_disk_leaves_the_packets_for_the_next_start(
    victim: Victim, faults: Faults, long: bool
) -> None:
    if not long:
        pytest.skip("SKIPPED: the server tries for half a minute; --soak-long runs this")
    # It runs first: every packet that is sent reaches it then.
    victim.start()
    with Traffic(victim.udp, calls=20, seconds=10) as traffic:
        faults.fail(Op.WRITE, "20*", errno.ENOSPC)
        traffic.join()
    victim.until(lambda: victim.taken() >= 1000, "taking")
    assert victim.stop(60) == 0, victim.said()
    victim.ended()
    struck = faults.clear()
    victim.start()
    settle(victim)
    found = judge(victim, traffic)
    assert found.stored == traffic.sent
    tally.tell("sigterm-full-disk", f"{found.stored:,} records kept for the next start, 0 lost", struck=struck)
