"""A disk that fills up under a running server: media is refused first, signalling last, and both come back."""

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from running import RunningServer
from sipflow.clock import now_us
from sipflow.wire.datagram import encode_packet
from sipflow.wire.endpoint import Endpoint
from sipflow.wire.packet import Kind, Packet

ALICE, BOB = Endpoint("192.0.2.1", 5060), Endpoint("192.0.2.2", 5060)
DISK_MB = 50  # RTP stops below 2 MB and SIP below 1 MB
QUICK = ("--flush-interval", "1", "--min-free", "5%")


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    """A small disk of its own."""
    directory = tmp_path / "disk"
    directory.mkdir()
    size = f"size={DISK_MB}m,mode=0700"
    done = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", size, "none", directory], check=False, capture_output=True, text=True
    )
    if done.returncode != 0:
        pytest.skip(f"no disk can be filled without the right to mount one: {done.stderr.strip()}")
    yield directory
    subprocess.run(["umount", "-l", directory], check=True)


def leave(disk: Path, octets: int) -> None:
    """Fill the disk up to so many free octets."""
    filler = disk / "filler"
    filler.unlink(missing_ok=True)
    room = os.statvfs(disk)
    filler.write_bytes(bytes(room.f_bavail * room.f_frsize - octets))


def sip(call_id: str) -> bytes:
    text = f"OPTIONS sip:b SIP/2.0\r\nCall-ID: {call_id}\r\nCSeq: 1 OPTIONS\r\n\r\n"
    return encode_packet(Packet(Kind.SIP, ALICE, BOB, now_us(), text.encode()))


def rtp(call_id: str, sequence: int) -> bytes:
    octets = b"\x80\0" + sequence.to_bytes(2, "big") + bytes(4) + b"\0\0\0\7" + bytes(160)
    return encode_packet(Packet(Kind.RTP, ALICE, BOB, now_us(), octets, call_id, 0, 77))


def reasons(server: RunningServer) -> list[str]:
    answer = httpx.get(server.url + "/health", headers={"Accept": "application/json"}, timeout=10)
    found: list[str] = answer.json()["reasons"]
    assert answer.status_code == (503 if found else 200)
    return found


def dropped(server: RunningServer, reason: str) -> int:
    for line in server.get("/metrics").text.splitlines():
        if f'reason="{reason}"' in line:
            return int(line.rsplit(" ", 1)[1])
    return 0


def received(server: RunningServer, packets: int) -> None:
    server.until(lambda: server.metric("sipflow_packets_received_total") == packets, f"{packets} received")


def test_media_is_refused_before_signalling_and_both_come_back(disk: Path) -> None:
    with RunningServer(disk, *QUICK) as server:
        server.send(sip("a"), rtp("a", 1))
        received(server, 2)
        leave(disk, 1_600_000)
        server.until(lambda: any(one.startswith("RTP is not recorded") for one in reasons(server)), "refusing RTP")
        server.send(sip("b"), rtp("b", 1))
        server.until(lambda: dropped(server, "disk_low_rtp") == 1, "RTP refused")
        server.until(lambda: len(server.get("/flow", callid="b").json().get("flow", [])) == 1, "SIP recorded")
        assert dropped(server, "disk_low_sip") == 0
        leave(disk, 600_000)
        server.until(lambda: any(one.startswith("nothing is recorded") for one in reasons(server)), "refusing SIP")
        server.send(sip("c"))
        server.until(lambda: dropped(server, "disk_low_sip") == 1, "SIP refused")
        (disk / "filler").unlink()
        server.until(lambda: reasons(server) == [], "recording again")
        server.send(sip("d"), rtp("d", 1))
        server.until(lambda: len(server.get("/flow", callid="d").json().get("flow", [])) == 1, "SIP recorded again")
        server.until(lambda: server.metric("sipflow_pool_packets") == 0, "all written")
        server.until(lambda: server.metric("sipflow_unaccounted") == 0, "all accounted for")
        assert (dropped(server, "disk_low_rtp"), dropped(server, "disk_low_sip")) == (1, 1)
        assert server.get("/flow", callid="c").json().get("flow", []) == []
    said = server.log.read_text()
    assert said.count("RTP is not recorded: ") == 1
    assert said.count("nothing is recorded: ") == 1
    assert said.count("the disk has room: all is recorded") == 1


def test_a_root_that_vanished_is_said_and_does_not_end_the_recorder(tmp_path: Path) -> None:
    root, away = tmp_path / "data", tmp_path / "away"
    with RunningServer(root) as server:
        root.rename(away)
        server.until(lambda: reasons(server) != [] and "No such file" in server.log.read_text(), "missing its root")
        away.rename(root)
        server.until(lambda: reasons(server) == [], "well again")
        server.send(sip("a"))
        server.until(lambda: len(server.get("/flow", callid="a").json().get("flow", [])) == 1, "recorded")
        assert server.stop() == 0
