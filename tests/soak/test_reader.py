"""The reader may die in any way: no packet is lost, it comes back, and it never outlives the recorder."""

import os
import resource
import signal
import socket
import time
from pathlib import Path

import httpx
import pytest

from sipflow.clock import SECOND_US, now_us
from soak import tally
from soak.traffic import Traffic
from soak.verdict import judge, settle, taken_in
from soak.victim import Victim


def _renewed(victim: Victim, old: int) -> float:
    """Wait for another reader than `old`; gives the seconds until it was there."""
    began = time.monotonic()
    victim.until(lambda: victim.reader() not in (None, old), "another reader")
    return time.monotonic() - began


@pytest.mark.timeout(600)  # the long form has eighty deaths
def test_a_reader_that_dies_costs_no_packet(victim: Victim, long: bool) -> None:
    deaths = [signal.SIGKILL, signal.SIGSEGV, signal.SIGABRT, signal.SIGTERM] * (20 if long else 1)
    longest = 0.0
    with Traffic(victim.udp, calls=200, seconds=len(deaths) * 10 + 30) as traffic:
        victim.start()
        victim.until(lambda: victim.taken() > 3000, "recording")
        for how in deaths:
            reader = victim.reader()
            assert reader is not None
            os.kill(reader, how)
            longest = max(longest, _renewed(victim, reader))
            victim.until(victim.healthy, "healthy again")
        traffic.quit()
        settle(victim)
    found = judge(victim, traffic)
    tally.tell(
        "reader-deaths",
        f"{len(deaths)} deaths, started again within {longest:.1f} s, {found.stored:,} records stored, 0 lost",
        ends=len(deaths),
    )


def test_a_reader_out_of_memory_costs_no_packet_and_answers_again(victim: Victim) -> None:
    """It may fail the question or die of it; either way the next ones are answered and recording goes on."""
    with Traffic(victim.udp, calls=200, seconds=60) as traffic:
        victim.start()
        victim.until(lambda: victim.taken() > 10_000, "recording")
        reader = victim.reader()
        assert reader is not None
        mapped = int(Path(f"/proc/{reader}/statm").read_text().split()[0]) * resource.getpagesize()
        resource.prlimit(reader, resource.RLIMIT_AS, (mapped, resource.RLIM_INFINITY))
        answers = []
        for call in traffic.calls()[:40]:
            try:
                answers.append(victim.get("/media", callid=call.call_id).status_code)
            except httpx.TransportError:
                answers.append(0)
        if victim.reader() == reader:
            resource.prlimit(reader, resource.RLIMIT_AS, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
        victim.until(victim.healthy, "healthy again")
        traffic.quit()
        settle(victim)
    found = judge(victim, traffic)
    failed = sum(code not in (200, 404) for code in answers)
    tally.tell("reader-memory", f"{failed} of {len(answers)} questions failed, {found.stored:,} records stored, 0 lost")


def test_the_kernel_takes_the_reader_before_the_recorder(victim: Victim) -> None:
    victim.start()

    def badness(process: int) -> int:
        return int(Path(f"/proc/{process}/oom_score_adj").read_text())

    reader = victim.reader()
    assert reader is not None
    assert badness(reader) >= 500
    assert badness(victim.process.pid) < badness(reader)
    settle(victim)


def test_a_killed_recorder_leaves_no_process_and_no_port(victim: Victim) -> None:
    """Also when it is killed while its reader starts; both ports are free a moment later."""
    for delay in (0.3, 0.4, 0.5, 2.0):
        victim.start(healthy=False)
        time.sleep(delay)
        reader = victim.reader()
        victim.kill()
        began = time.monotonic()
        while not _free(victim.http, socket.SOCK_STREAM) or not _free(victim.udp[1], socket.SOCK_DGRAM):
            assert time.monotonic() - began < 10, f"the ports are still taken, killed after {delay} s"
            time.sleep(0.01)
        while reader is not None and _lives(reader):
            assert time.monotonic() - began < 10, f"the reader lives on, killed after {delay} s"
            time.sleep(0.01)
    tally.tell("orphans", "recorder killed 4 times, no reader and no port left", ends=4)


def _lives(process: int) -> bool:
    try:
        return Path(f"/proc/{process}/cmdline").read_bytes() != b""  # empty once it has ended, reaped or not
    except (FileNotFoundError, ProcessLookupError):
        return False


def _free(port: int, kind: socket.SocketKind) -> bool:
    with socket.socket(socket.AF_INET, kind) as sock:
        if kind == socket.SOCK_STREAM:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            sock.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True


def test_a_server_started_at_once_after_kill_9_waits_for_its_port(victim: Victim) -> None:
    """A supervisor restarts without delay, while the reader of the killed recorder may still be starting."""
    for _ in range(3):
        victim.start(healthy=False)
        victim.until(lambda: "records to" in victim.said(), "listening")
        victim.kill()
    victim.start()
    settle(victim)


def test_sigterm_under_load_stores_everything_sent_before_it(victim: Victim) -> None:
    with Traffic(victim.udp, calls=250, seconds=60) as traffic:
        victim.start()
        time.sleep(3)
        clock_us = traffic.clock_us
        settle(victim)
        traffic.quit()
    found = judge(victim, traffic)
    # What comes before the server is there is nobody's; from then on nothing is missing until the signal.
    began_us = found.captured.min() + SECOND_US // 50
    (missing,) = found.missing
    early = ((missing > began_us) & (missing < clock_us - SECOND_US // 50)).sum()
    (life,) = victim.lives
    assert early <= life.dropped + 8 * life.kernel_drops
    assert found.stored == taken_in(victim)
    assert now_us() - clock_us < 30 * SECOND_US
    tally.tell("sigterm", f"{taken_in(victim):,} records taken, {found.stored:,} stored, 0 lost, status 0", ends=1)
