"""A decoder that dies or hangs costs its batch; the reader goes on, and the next batch is decoded."""

import os
import resource
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from payloads import encoded, tone
from sipflow.errors import DecodingFault, Undecodable
from sipflow.media.codec import Codec
from sipflow.media.decoder import decoder_of
from sipflow.media.decoding_process import MEMORY_OCTETS, MOST_PAYLOADS, DecodingProcess

G722 = Codec("G722", 8000)
OPUS = Codec("opus", 48000, 2)


@pytest.fixture
def process() -> Iterator[DecodingProcess]:
    with DecodingProcess(timeout_seconds=20) as made:
        yield made


def batch_of(payloads: list[bytes]) -> tuple[bytes, NDArray[np.uint32]]:
    return b"".join(payloads), np.array([len(payload) for payload in payloads], np.uint32)


def noise(count: int, size: int = 160, seed: int = 1) -> list[bytes]:
    return [row.tobytes() for row in np.random.default_rng(seed).integers(0, 256, (count, size), np.uint8)]


def pid_of(process: DecodingProcess) -> int:
    pid = process.pid
    assert pid is not None
    return pid


def gone(pid: int, seconds: float = 5.0) -> bool:
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        try:
            # A child that nobody waited for is dead too.
            if Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z":
                return True
        except FileNotFoundError:
            return True
        time.sleep(0.02)
    return False


def test_it_decodes_as_in_this_process_over_batches_and_streams(process: DecodingProcess) -> None:
    """State goes on from batch to batch, and streams do not mix."""
    payloads, others = noise(MOST_PAYLOADS + 234), noise(50, seed=2)
    stream, other = process.open(G722), process.open(G722)
    assert stream.rate == 16000
    pieces = []
    for start, stop in ((0, 10), (10, 11), (11, MOST_PAYLOADS + 234)):
        decoded = stream.decode(*batch_of(payloads[start:stop]))
        assert decoded.counts.tolist() == [320] * (stop - start)
        pieces.append(decoded.samples)
        beside = other.decode(*batch_of(others))
    alone = decoder_of(G722)
    assert np.array_equal(np.concatenate(pieces), np.concatenate([alone.decode(one) for one in payloads]))
    alone.reset()
    for _ in range(3):
        expected = np.concatenate([alone.decode(one) for one in others])
    assert np.array_equal(beside.samples, expected)
    stream.close()
    assert process.deaths == 0


def test_counts_tell_whose_samples_are_whose(process: DecodingProcess) -> None:
    frames = encoded("libopus", tone(48000, 0.2), 48000)
    decoded = process.open(OPUS).decode(*batch_of([frames[0], b"", b"\xff" * 7, frames[1]]))
    assert decoded.counts.tolist() == [960, 0, 0, 960]
    assert (decoded.bad, len(decoded.samples), decoded.rate) == (1, 1920, 48000)
    nothing = process.open(OPUS).decode(b"", np.zeros(0, np.uint32))
    assert (len(nothing.samples), len(nothing.counts), nothing.rate) == (0, 0, 48000)


def test_what_cannot_be_decoded_is_said_without_harm(process: DecodingProcess) -> None:
    with pytest.raises(Undecodable, match="BV32") as refused:
        process.open(Codec("BV32", 16000))
    assert not isinstance(refused.value, DecodingFault)
    pid = process.pid
    process.open(G722)
    assert process.pid == pid


def kill_stopped(pid: int, death: signal.Signals) -> None:
    """Send a signal that takes effect although the process is stopped."""
    os.kill(pid, death)
    os.kill(pid, signal.SIGCONT)


@pytest.mark.parametrize("death", [signal.SIGSEGV, signal.SIGABRT, signal.SIGKILL])
def test_a_process_that_dies_costs_its_batch(process: DecodingProcess, death: signal.Signals) -> None:
    stream = process.open(G722)
    first = stream.decode(*batch_of(noise(5)))
    pid = pid_of(process)
    # Stopped first, so that it dies in the middle of the batch.
    os.kill(pid, signal.SIGSTOP)
    killer = threading.Timer(0.3, kill_stopped, (pid, death))
    killer.start()
    with pytest.raises(DecodingFault, match=f"G722: the decoding process died of signal {death.value} .* 5 packets"):
        stream.decode(*batch_of(noise(5)))
    killer.join()
    assert process.deaths == 1
    again = stream.decode(*batch_of(noise(5)))
    assert np.array_equal(again.samples, first.samples)  # a new decoder, which begins as the first did
    assert process.pid != pid


def test_one_that_died_between_batches_is_started_again(process: DecodingProcess) -> None:
    stream = process.open(G722)
    pid = pid_of(process)
    os.kill(pid, signal.SIGKILL)
    assert gone(pid)
    assert len(stream.decode(*batch_of(noise(3))).samples) == 960


def test_one_that_hangs_is_killed() -> None:
    with DecodingProcess(timeout_seconds=0.5) as process:
        stream = process.open(G722)
        pid = pid_of(process)
        os.kill(pid, signal.SIGSTOP)
        began = time.monotonic()
        # More than a socket takes at once, so that writing hangs too.
        with pytest.raises(DecodingFault, match=r"no answer for 0\.5 s .* 900 packets") as fault:
            stream.decode(*batch_of(noise(900, 4000)))
        assert time.monotonic() - began < 5
        assert fault.value.packets == 900
        assert gone(pid)


def test_it_may_take_no_more_than_its_share(process: DecodingProcess) -> None:
    process.open(OPUS)
    assert resource.prlimit(pid_of(process), resource.RLIMIT_AS) == (MEMORY_OCTETS, MEMORY_OCTETS)
    assert resource.prlimit(pid_of(process), resource.RLIMIT_CORE) == (0, 0)


def test_too_little_memory_is_a_fault_and_no_end() -> None:
    """Decoding to more samples than fit: the process fails or dies, its reader hears of it."""
    with DecodingProcess(timeout_seconds=20, memory_octets=400 << 20) as process:
        stream = process.open(Codec("G726-16", 8000))
        with pytest.raises(DecodingFault, match="G726-16"):
            stream.decode(*batch_of([bytes(60_000)] * MOST_PAYLOADS))
        assert len(stream.decode(*batch_of([bytes(40)])).samples) == 160


PARENT = """
import os, signal, sys
from sipflow.media.decoding_process import DecodingProcess
from sipflow.media.codec import Codec
process = DecodingProcess(timeout_seconds=0.5)
process.open(Codec("G722", 8000))
print(process.pid, flush=True)
sys.stdin.read()
"""


def test_it_ends_with_its_parent() -> None:
    parent = subprocess.Popen([sys.executable, "-c", PARENT], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert parent.stdin is not None
    assert parent.stdout is not None
    with parent.stdin, parent.stdout:
        pid = int(parent.stdout.readline())
        assert not gone(pid, 0.2)
        parent.kill()
        parent.wait()
        assert gone(pid)


def test_the_thread_that_started_it_may_end(process: DecodingProcess) -> None:
    starter = threading.Thread(target=process.open, args=(G722,))
    starter.start()
    starter.join()
    pid = process.pid
    time.sleep(0.1)
    process.open(OPUS)
    assert process.pid == pid
    assert process.deaths == 0
