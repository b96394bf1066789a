"""Sent is what was stored and what was counted, also when the kernel has no room."""

import os
import signal
import socket
from pathlib import Path

import pytest

from sipflow.clock import now_us
from sipflow.wire.datagram import encode_packet
from sipflow.wire.endpoint import Endpoint
from sipflow.wire.packet import Kind, Packet
from soak import tally
from soak.verdict import settle
from soak.victim import Victim

SENT = 4000


def _flood(victim: Victim) -> None:
    """Send more than the socket holds while the server stands still."""
    a, b = Endpoint("192.0.2.1", 4000), Endpoint("192.0.2.2", 4000)
    frame = encode_packet(Packet(Kind.RTP, a, b, now_us(), b"\x80" + bytes(171), "c", 0))
    os.kill(victim.process.pid, signal.SIGSTOP)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        for _ in range(SENT):
            sock.sendto(frame, victim.udp)
    os.kill(victim.process.pid, signal.SIGCONT)


@pytest.mark.parametrize("followed", [True, False])
def test_what_the_kernel_drops_is_counted(tmp_path: Path, *, followed: bool) -> None:
    with Victim(tmp_path / "data", "--recv-buffer-mb", "1") as victim:
        victim.start()
        _flood(victim)
        victim.until(lambda: victim.taken() > 0, "taking")
        if followed:
            victim.udp_send(b"no frame")
        victim.until(
            lambda: victim.taken() + victim.metric("sipflow_kernel_drops_total") == SENT, "all accounted for", 5
        )
        drops = victim.metric("sipflow_kernel_drops_total")
        assert drops > 0
        settle(victim)
        (life,) = victim.lives
        assert life.taken + drops == SENT
        tally.tell("kernel-drops", f"{SENT} sent, {life.taken} taken, {drops} dropped by the kernel, 0 lost")
