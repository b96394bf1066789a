"""Small data roots for tests: sealed ones made by an import, and an open bucket."""

from collections.abc import Sequence
from ipaddress import ip_address
from pathlib import Path

from capture_writer import frame, pcap, rtp, sdp, sip
from sipflow._fast import Intake, Pool
from sipflow.clock import SECOND_US
from sipflow.importer import import_files
from sipflow.storage.layout import HOUR_US, Subdirs
from sipflow.storage.store import Store

BEGIN_US = 1_780_272_600_000_000  # 2026-06-01T00:10:00Z
ALICE, BOB = ("192.0.2.1", 5060), ("192.0.2.2", 5060)


def call(call_id: str, at_us: int, port: int) -> list[tuple[int, bytes]]:
    """Write the frames of an answered call with four seconds of audio."""
    offer, answer = sdp("192.0.2.1", port), sdp("192.0.2.2", port + 2)
    frames = [
        (0, frame(ALICE, BOB, sip("INVITE sip:bob@example.com SIP/2.0", call_id, "1 INVITE", offer))),
        (90_000, frame(BOB, ALICE, sip("SIP/2.0 200 OK", call_id, "1 INVITE", answer, to_tag="b"))),
        *(
            (100_000 + n * 20_000, frame(("192.0.2.1", port), ("192.0.2.2", port + 2), rtp(n, ssrc=port)))
            for n in range(200)
        ),
        (5_000_000, frame(ALICE, BOB, sip("BYE sip:bob@example.com SIP/2.0", call_id, "2 BYE", to_tag="b"))),
    ]
    return [(at_us + offset, octets) for offset, octets in frames]


def make_sample(root: Path, hours: int = 1) -> Path:
    """Import an hour or more with two calls each, `early-N` and `late-N`; every hour is a sealed bucket."""
    frames = []
    for hour in range(hours):
        start = BEGIN_US + hour * HOUR_US
        frames += call(f"early-{hour}", start, 4000) + call(f"late-{hour}", start + 60_000_000, 4100)
    root.parent.mkdir(parents=True, exist_ok=True)
    capture = root.parent / "sample.pcap"
    capture.write_bytes(pcap(sorted(frames)))
    import_files([capture], root)
    return root


def make_open(root: Path, call_ids: Sequence[str] = ("open",)) -> Path:
    """Record one message of each call, in a block of its own, into a bucket that stays open; gives its directory."""
    pool = Pool.open(str(root.parent / f"{root.name}.pool"), 16 << 20, BEGIN_US)
    store = Store(root, pool, Subdirs.HOURLY, encoders=1)
    store.start()
    intake = Intake(pool, 0, SECOND_US, 0, media=True, trust_time=True)
    for number, call_id in enumerate(call_ids):
        payload = sip("OPTIONS sip:bob@example.com SIP/2.0", call_id, "1 OPTIONS")
        ends = (ip_address(ALICE[0]).packed, ALICE[1], ip_address(BOB[0]).packed, BOB[1])
        at_us = BEGIN_US + number * 1000
        intake.put(0, 4, *ends, at_us, 0, call_id.encode(), None, payload, at_us)
        intake.drain()  # a block of its own for each
    store.stop()
    (root.parent / f"{root.name}.pool").unlink()
    return root / "2026/06/01/00"


def write(path: Path, octets: bytes) -> None:
    """Write a file that may be read-only, and leave its mode as it is."""
    mode = path.stat().st_mode
    path.chmod(0o600)
    path.write_bytes(octets)
    path.chmod(mode)
