"""How much memory the WAV of a call of hours takes, from stored blocks to the last octet: peak of RssAnon."""

import subprocess
import sys
import tempfile
import threading
import time
from contextlib import closing
from pathlib import Path

import msgspec
import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests"))

from capture_writer import frame, pcap, sdp, sip
from sipflow.importer import import_files
from sipflow.query.history import History
from sipflow.web.recorded import Recordings

CALL_ID = "long@bench"
T0_US = 1_728_000_000_000_000
_ENDS = (("192.0.2.1", 40_000), ("192.0.2.2", 40_002))
_SIP = (("192.0.2.1", 5060), ("192.0.2.2", 5060))
_STEP = 3000


class LongCall(msgspec.Struct, frozen=True):
    """What one export took: `growth_mb` is the peak of private anonymous memory over that of the idle process."""

    packets: int
    growth_mb: float
    first_octet_s: float
    total_s: float
    octets: int


def store(root: Path, hours: float) -> None:
    """Import a two-legged G.711 call of noise at 20 ms."""
    with tempfile.TemporaryDirectory(prefix="sipflow-bench-") as scratch:
        file = Path(scratch) / "long.pcap"
        with file.open("wb") as out:
            a, b = _ENDS
            messages = [
                (0, frame(_SIP[0], _SIP[1], sip("INVITE sip:b@example.com SIP/2.0", CALL_ID, "1 INVITE", sdp(*a)))),
                (9, frame(_SIP[1], _SIP[0], sip("SIP/2.0 200 OK", CALL_ID, "1 INVITE", sdp(*b), to_tag="b"))),
            ]
            out.write(pcap([(T0_US + at, octets) for at, octets in messages]))
            chance = np.random.default_rng(1)
            for at in range(0, round(hours * 180_000), _STEP):
                out.write(_frames(at, chance))
        import_files([file], root)


def _frames(first: int, chance: np.random.Generator) -> bytes:
    """Write _STEP packets of both legs as they stand in a capture file."""
    whole = b""
    heads = [np.frombuffer(frame(src, dst, bytes(172))[:42], np.uint8) for src, dst in (_ENDS, _ENDS[::-1])]
    records = np.zeros(
        (_STEP, 2),
        [("s", "<u4"), ("us", "<u4"), ("n", "<u4"), ("m", "<u4"), ("head", "u1", 42), ("v", "u1"), ("pt", "u1"),
         ("seq", ">u2"), ("ts", ">u4"), ("ssrc", ">u4"), ("audio", "u1", 160)],
    )  # fmt: skip
    number = np.arange(first, first + _STEP)[:, None]
    time_us = T0_US + 100_000 + number * 20_000 + np.array([0, 7_000])
    records["s"], records["us"] = time_us // 1_000_000, time_us % 1_000_000
    records["n"] = records["m"] = 214
    records["head"] = np.stack(heads)
    records["v"], records["seq"], records["ts"] = 0x80, number & 0xFFFF, (number * 160) & 0xFFFFFFFF
    records["ssrc"] = [1, 2]
    records["audio"] = chance.integers(0, 256, (_STEP, 2, 160), dtype=np.uint8)
    whole += records.tobytes()
    return whole


def measure(hours: float, directory: Path | None = None) -> LongCall:
    """Store a call and export it in a process of its own."""
    with tempfile.TemporaryDirectory(prefix="sipflow-bench-", dir=directory) as scratch:
        root = Path(scratch) / "root"
        store(root, hours)
        told = subprocess.run(
            [sys.executable, "-m", "bench.long_call", str(root)], check=True, capture_output=True, text=True
        )
        return msgspec.json.decode(told.stdout, type=LongCall)


def export(root: Path) -> LongCall:
    """Read the call's WAV from its first octet to the last, and watch this process."""
    history = History.open(root)
    history.media("none@bench")
    idle, peak, done = _anonymous_kb(), [0], threading.Event()

    def watch() -> None:
        while not done.wait(0.005):
            peak[0] = max(peak[0], _anonymous_kb())

    watcher = threading.Thread(target=watch)
    watcher.start()
    start = time.perf_counter()
    parts = history.media(CALL_ID)
    assert not parts.faults
    # As the server opens it, keys and all.
    with closing(Recordings(history)) as recordings:
        wav = recordings.open(parts).wav
    pieces = wav.iterate()
    octets = len(next(pieces))
    first = time.perf_counter() - start
    octets += sum(len(piece) for piece in pieces)
    total = time.perf_counter() - start
    done.set()
    watcher.join()
    packets = sum(chunk.packets for chunk in parts.chunks)
    return LongCall(packets, (peak[0] - idle) / 1024, first, total, octets)


def _anonymous_kb() -> int:
    line = next(line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("RssAnon"))
    return int(line.split()[1])


if __name__ == "__main__":
    print(msgspec.json.encode(export(Path(sys.argv[1]))).decode())
