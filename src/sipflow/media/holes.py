"""Where a time line has no sound: per leg with its reason, and on all legs at once for so long that it is shortened."""

from collections.abc import Sequence
from typing import Final, NamedTuple

import msgspec
import numpy as np
from numpy.typing import NDArray

from sipflow.clock import SECOND_US

# Silence on every leg at once longer than MAX_SILENCE_US is shortened to KEPT_SILENCE_US and listed as "cut":
# one stray packet hours later must not make hours of file.
MAX_SILENCE_US: Final = 600 * SECOND_US
KEPT_SILENCE_US: Final = 1 * SECOND_US
CUT: Final = "cut"


class Gap(msgspec.Struct, frozen=True):
    """A stretch without audio; `leg` None means every leg, `reason` one of REASONS, starts-late, ends-early, cut."""

    leg: int | None
    start_us: int
    duration_us: int
    reason: str


class Islands(NamedTuple):
    """Stretches of samples [begin, end) without a hole, in order; `cause` is why there was none before each."""

    begin: NDArray[np.int64]
    end: NDArray[np.int64]
    cause: NDArray[np.uint8]


def islands(rows: NDArray[np.void]) -> Islands:
    """Join the packets (PLACED, by start) of one leg that leave no hole between them."""
    if not len(rows):
        return Islands(np.zeros(0, np.int64), np.zeros(0, np.int64), np.zeros(0, np.uint8))
    stop = rows["start"] + rows["length"]
    np.maximum.accumulate(stop, out=stop)
    hole = np.flatnonzero(rows["start"][1:] > stop[:-1])
    first = np.append(0, hole + 1)
    return Islands(rows["start"][first], stop[np.append(hole, len(rows) - 1)], rows["cause"][first])


class Cuts(NamedTuple):
    """What was taken out of a time line: `length` samples before each of `resumes`, both counted before any cut."""

    resumes: NDArray[np.int64]
    length: NDArray[np.int64]

    @property
    def removed(self) -> int:
        """Tell how many samples are gone."""
        return int(self.length.sum())

    def gaps(self, start_us: int, rate: int) -> tuple[Gap, ...]:
        """Name the cuts of a line that begins at `start_us`."""
        return tuple(
            Gap(None, start_us + us_of(resume - length, rate), us_of(length, rate), CUT)
            for resume, length in zip(self.resumes.tolist(), self.length.tolist(), strict=True)
        )

    def move(self, rows: NDArray[np.void]) -> None:
        """Move packets (PLACED) to where they are after the cuts."""
        if len(self.resumes):
            gone = np.append(0, np.cumsum(self.length))
            rows["start"] -= gone[np.searchsorted(self.resumes, rows["start"], "right")]

    def after(self, sample: int) -> int:
        """Tell where a sample is after the cuts; one that was taken out is where it would have been."""
        gone = 0
        for resume, length in zip(self.resumes.tolist(), self.length.tolist(), strict=True):
            gone += min(max(sample - (resume - length), 0), length)
        return sample - gone

    def before(self, sample: int) -> int:
        """Tell where a sample was before the cuts."""
        for resume, length in zip(self.resumes.tolist(), self.length.tolist(), strict=True):
            if sample + length < resume:
                break
            sample += length
        return sample


def cuts(legs: Sequence[Islands], rate: int) -> Cuts:
    """Find where all legs are silent for too long."""
    begin = np.concatenate([leg.begin for leg in legs]) if legs else np.zeros(0, np.int64)
    end = np.concatenate([leg.end for leg in legs]) if legs else np.zeros(0, np.int64)
    order = np.argsort(begin, kind="stable")
    heard_to = np.maximum.accumulate(np.append(0, end[order]))[:-1]
    hole = begin[order] - heard_to
    at = np.flatnonzero(hole > MAX_SILENCE_US * rate // SECOND_US)
    return Cuts(begin[order][at], hole[at] - KEPT_SILENCE_US * rate // SECOND_US)


def us_of(samples: int, rate: int) -> int:
    """Tell how long so many samples last [us]."""
    return samples * SECOND_US // rate
