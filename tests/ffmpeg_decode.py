"""The ffmpeg command line as the judge of our decoders, and how two decodes of the same audio are compared."""

import os
import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

FRAME_SECONDS = 0.02


def run_ffmpeg(*arguments: str) -> bytes:
    """Run ffmpeg and give what it wrote to its output; skips where it is not installed, but never in CI."""
    program = shutil.which("ffmpeg")
    if program is None:
        if os.environ.get("CI") == "true":
            pytest.fail("ffmpeg is not installed")
        pytest.skip("SKIPPED comparison with ffmpeg: it is not installed")
    command = [program, "-hide_banner", "-loglevel", "error", "-nostdin", "-threads", "1", *arguments]
    done = subprocess.run(command, capture_output=True, check=False, timeout=120)
    assert done.returncode == 0, done.stderr.decode()
    return done.stdout


def decoded_by_ffmpeg(
    octets: bytes, folder: Path, rate: int, form: str, options: Sequence[str] = ()
) -> NDArray[np.int16]:
    """Decode a file of the given format to mono samples at `rate`."""
    path = folder / f"payloads.{form}"
    path.write_bytes(octets)
    out = run_ffmpeg("-f", form, *options, "-i", str(path), "-f", "s16le", "-ac", "1", "-ar", str(rate), "-")
    return np.frombuffer(out, "<i2").astype(np.int16)


def envelope(samples: NDArray[np.int16], rate: int) -> NDArray[np.float64]:
    """Give the RMS of each 20 ms."""
    size = round(rate * FRAME_SECONDS)
    whole = samples[: len(samples) // size * size].reshape(-1, size).astype(np.float64)
    rms: NDArray[np.float64] = np.sqrt((whole**2).mean(axis=1))
    return rms


def assert_alike(ours: NDArray[np.int16], theirs: NDArray[np.int16], rate: int, *, slack: int = 0) -> None:
    """Hold two decodes against each other: length, loudness, and the course of the energy."""
    assert abs(len(ours) - len(theirs)) <= slack
    mine, judge = envelope(ours, rate), envelope(theirs, rate)
    size = min(len(mine), len(judge))
    mine, judge = mine[:size], judge[:size]
    assert judge.max() > 100, "silence proves nothing"
    assert np.corrcoef(mine, judge)[0, 1] > 0.99
    assert 0.97 < mine.mean() / judge.mean() < 1.03
