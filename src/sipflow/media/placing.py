"""Where each packet of a stream belongs on the call's time line, sample by sample."""

from collections import Counter
from dataclasses import dataclass
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from sipflow.clock import SECOND_US
from sipflow.media.carried import Cause, Contents
from sipflow.media.correction import correct
from sipflow.media.decoding import Decoding
from sipflow.media.epoch import Epochs, epochs
from sipflow.media.placed import PLACED
from sipflow.media.spool import Spool, rows, taken
from sipflow.media.spooling import Sounding, spool
from sipflow.media.stream import Stream

_AUDIO: Final = 255  # beside the Causes: a packet that is played


class Heard(NamedTuple):
    """A stream that is RTP: its packets, each number once and in order (PACKET), and what they carry."""

    stream: Stream
    packets: NDArray[np.void]
    contents: Contents


@dataclass(frozen=True, slots=True, eq=False)
class Placing:
    """The packets of one stream that can be played (PLACED, in order of number), and what stands beside them.

    A row's chunk is an index of the stream's chunks, or one more: `spool`. `played` counts packets, as a correction of
    drift adds rows. `silent` counts the other packets per encoding name; `silent_us` and `silent_cause` tell when
    packets without audio came last, so that a leg's silent end has a reason. `drift_ppm` is of the longest stretch that
    tells, `corrected` the samples taken out or put in because of it.
    """

    placed: NDArray[np.void]
    spool: Spool | None
    played: int
    silent: Counter[str]
    unclocked: int
    silent_us: int | None
    silent_cause: Cause
    drift_ppm: float | None
    corrected: int


def place(heard: Heard, rate: int, t0_us: int, decoding: Decoding) -> Placing:
    """Place a stream: sample = round((capture of the epoch's first packet - t0) * rate) + d32(timestamp - its own).

    Where a clock does not hold (see epoch.py) packets follow each other by length, none before its capture time; where
    it drifts, see correction.py. Raises OSError when there is no room for decoded samples.
    """
    packets, contents = heard.packets, heard.contents
    kind = contents.select([_AUDIO if one.cause is None else one.cause for one in contents.kinds])
    kind[(kind == _AUDIO) & (packets["length"] == 0)] = Cause.PAUSE
    played = np.flatnonzero(kind == _AUDIO)
    whole = len(played) == len(packets)
    audio = packets if whole else taken(packets, played)
    carried = Contents(contents.kinds, contents.of if whole else contents.of[played])
    silence = _Silence(contents.silent, *_last_silent(packets, kind))
    if not len(audio):
        return Placing(rows(0, PLACED), None, 0, silence.names, 0, silence.last_us, silence.cause, None, 0)
    cause = _causes(packets, kind, played)
    ticks = _ticks(packets, played) if any(one.is_noise for one in contents.kinds) else np.zeros(0, np.int32)
    del kind, played
    clock = _clocks(carried)
    split = epochs(audio, clock)
    placed, spooled, joined = spool(Sounding(heard.stream, audio, carried, split.epoch, ticks), rate, decoding)
    placed["cause"] = cause
    unclocked = _start(placed, audio, clock, split, rate, t0_us, joined)
    refused = silence.add(placed, audio, carried) if spooled is not None else 0
    noises = sum(count for one, count in carried.counted if one.is_noise)
    corrected = correct(placed, audio["time_us"], split, rate)
    return Placing(
        _sounding(corrected.placed) if spooled is not None else corrected.placed,
        spooled,
        len(audio) - noises - refused,
        silence.names,
        unclocked,
        silence.last_us,
        silence.cause,
        corrected.drift_ppm,
        corrected.samples,
    )


def _sounding(placed: NDArray[np.void]) -> NDArray[np.void]:
    sounds = placed["length"] > 0
    return placed if sounds.all() else taken(placed, sounds)


@dataclass(slots=True)
class _Silence:
    """What of a stream is no audio: packets by encoding name, and when and why the last of them was silent."""

    names: Counter[str]
    last_us: int | None
    cause: Cause

    def add(self, placed: NDArray[np.void], audio: NDArray[np.void], carried: Contents) -> int:
        """Add packets that should have been audio and gave no samples; gives how many, but for noise of no length."""
        refused = np.flatnonzero(placed["length"] == 0)
        if not len(refused):
            return 0
        why = carried.select([one.refused for one in carried.kinds])[refused]
        after = refused + 1
        follows = after < len(placed)
        paused = follows & (placed["cause"][np.minimum(after, len(placed) - 1)] == Cause.PAUSE)
        placed["cause"][after[paused]] = why[paused]
        noises = 0
        for one, count in Contents(carried.kinds, carried.of[refused]).counted:
            if one.is_noise:
                noises += count
            elif count:
                self.names[one.written] += count
        time_us = audio["time_us"][refused]
        if self.last_us is None or time_us.max() > self.last_us:
            self.last_us, self.cause = int(time_us.max()), Cause(int(why[np.argmax(time_us)]))
        return len(refused) - noises


def _ticks(packets: NDArray[np.void], played: NDArray[np.int64]) -> NDArray[np.int32]:
    """Tell how far the clock goes from each played packet to whatever packet of its segment follows, 0 for none."""
    ahead = np.zeros(len(packets), np.int32)
    ahead[:-1] = np.diff(packets["timestamp"]).astype(np.int32)
    ahead[:-1][np.diff(packets["segment"]) != 0] = 0
    return ahead[played]


def _clocks(carried: Contents) -> NDArray[np.int64]:
    clocks = {kind.codec.clock for kind, count in carried.counted if count}
    if len(clocks) == 1:
        return np.broadcast_to(np.int64(clocks.pop()), carried.of.shape)
    return np.array([kind.codec.clock for kind in carried.kinds], np.int64)[carried.of]


def _last_silent(packets: NDArray[np.void], kind: NDArray[np.uint8]) -> tuple[int | None, Cause]:
    silent = np.flatnonzero((kind >= Cause.EVENT) & (kind != _AUDIO))
    if not len(silent):
        return None, Cause.PAUSE
    last = silent[np.argmax(packets["time_us"][silent])]
    return int(packets["time_us"][last]), Cause(int(kind[last]))


def _causes(packets: NDArray[np.void], kind: NDArray[np.uint8], played: NDArray[np.int64]) -> NDArray[np.uint8]:
    """Tell for each played packet what could have kept the audio before it away."""
    cause = np.full(len(played), Cause.PAUSE, np.uint8)
    if not len(played):
        return cause
    between = np.diff(played) - 1
    cause[1:] = np.where(between > 0, kind[played[1:] - 1], Cause.PAUSE)
    cause[1:][np.diff(packets["extended"][played]) - 1 > between] = Cause.LOST
    del between
    cause[1:][np.diff(packets["segment"][played]) != 0] = Cause.RESTART
    if played[0] > 0:
        cause[0] = kind[played[0] - 1]
    return cause


def _start(
    placed: NDArray[np.void],
    audio: NDArray[np.void],
    clock: NDArray[np.int64],
    split: Epochs,
    rate: int,
    t0_us: int,
    joined: NDArray[np.bool_] | None,
) -> int:
    """Fill in where each packet starts; gives how many have no clock to go by. `joined` is of Decoded."""
    captured = audio["time_us"] - t0_us
    captured *= rate
    captured += SECOND_US // 2
    captured //= SECOND_US
    anchor = split.anchor[split.epoch]
    ticks = (audio["timestamp"] - audio["timestamp"][anchor]).astype(np.int32)
    if (clock == rate).all():
        start = captured[anchor] + ticks
    else:
        start = captured[anchor] + np.rint(ticks * (rate / clock)).astype(np.int64)
    del ticks, anchor
    if joined is not None:
        # What was decoded in one go stays in one piece: a rate that does not divide would tear it by a sample.
        head = np.maximum.accumulate(np.where(joined, 0, np.arange(len(joined))))
        offset = placed["offset"].astype(np.int64)
        start = start[head] + offset - offset[head]
    unclocked = ~split.clocked[split.epoch]
    if unclocked.any():
        lengths = placed["length"][unclocked].astype(np.int64)
        played_before = np.cumsum(lengths) - lengths
        start[unclocked] = played_before + np.maximum.accumulate(captured[unclocked] - played_before)
    placed["start"] = start
    return int(np.count_nonzero(unclocked))
