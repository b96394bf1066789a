"""The pace of a stream: its audio packets in order of capture, and how each was delayed against its own clock."""

from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from sipflow.media.codec import Payloads, codec_of, is_comfort_noise, is_event, is_known
from sipflow.media.epoch import epochs
from sipflow.media.jitter import jitter_series, smooth

# Clocks drift apart by less than this [share], and no fit over a shorter stretch is worth anything.
_DRIFT_MAX: Final = 1e-3
_DRIFT_LEAST_MS: Final = 60_000.0
_DRIFT_WINDOW_MS: Final = 10_000.0


class Pace(NamedTuple):
    """Audio packets (PACKET), each number once, in order of capture; the epoch of each; the clock of all [Hz].

    Left out are events, comfort noise, types nobody announced beside the dominant one (they may be events),
    duplicates and strays. `sequence` is the place of each in Stream.unique. Per epoch, `anchor` is the packet whose
    time holds and `settled` tells that the first was not held up itself (see Epochs).
    """

    packets: NDArray[np.void]
    sequence: NDArray[np.int64]
    epoch: NDArray[np.int32]
    anchor: NDArray[np.int64]
    settled: NDArray[np.bool_]
    clock: int


def pace(unique: NDArray[np.void], dominant: int, payloads: Payloads | None = None) -> Pace:
    """Find the packets whose times and timestamps can be compared.

    `unique` is that of a Stream, `dominant` the payload type of most audio.
    """
    clock = codec_of(dominant, payloads).clock
    types = np.flatnonzero(np.bincount(unique["payload_type"], minlength=1)).tolist()
    timed = [number for number in types if number == dominant or _is_timed(number, clock, payloads)]
    sequence, packets = np.arange(len(unique)), unique
    if len(timed) < len(types):
        sequence = _of_types(unique, timed)
        packets = unique[sequence]
    if not len(packets):
        none = np.zeros(0, np.int64)
        return Pace(packets, sequence, none.astype(np.int32), none, none.astype(bool), clock)
    split = epochs(packets, np.full(len(packets), clock, np.int64))
    time_us = np.ascontiguousarray(packets["time_us"])
    if (time_us[1:] >= time_us[:-1]).all():
        return Pace(packets, sequence, split.epoch, split.anchor, split.settled, clock)
    order = np.argsort(time_us, kind="stable")
    captured = np.empty(len(order), np.int64)
    captured[order] = np.arange(len(order))
    return Pace(packets[order], sequence[order], split.epoch[order], captured[split.anchor], split.settled, clock)


def is_media(payload_type: int, payloads: Payloads | None = None) -> bool:
    """Tell audio and video from events and comfort noise, which keep no pace."""
    codec = codec_of(payload_type, payloads)
    return not (is_event(codec) or is_comfort_noise(codec))


def _is_timed(number: int, clock: int, payloads: Payloads | None) -> bool:
    return is_media(number, payloads) and is_known(number, payloads) and codec_of(number, payloads).clock == clock


def _of_types(unique: NDArray[np.void], timed: list[int]) -> NDArray[np.int64]:
    wanted = np.zeros(256, bool)
    wanted[timed] = True
    return np.flatnonzero(wanted[unique["payload_type"]])


class Jitter(NamedTuple):
    """The jitter filter's state after each step [ms], and when that was [us]."""

    time_us: NDArray[np.int64]
    value_ms: NDArray[np.float64]


def jitter_of(paced: Pace) -> Jitter:
    """Filter (RFC 3550, appendix A.8) over a stream, never across a restart, a new clock, or a pause.

    A pause is a jump after which packets come at their pace; one that ends in a burst was a stall, and is jitter.
    Packets that share their timestamp with the one before (frames of video) are left out.
    """
    packets, epoch = paced.packets, paced.epoch
    if len(packets) < 2:
        return Jitter(np.zeros(0, np.int64), np.zeros(0))
    fresh = np.append(True, packets["timestamp"][1:] != packets["timestamp"][:-1])
    if not fresh.all():
        packets, epoch = packets[fresh], epoch[fresh]
    difference = jitter_series(packets["time_us"], packets["timestamp"], paced.clock)
    held_up = ~paced.settled[epoch[1:]] & (epoch[1:] > epoch[:-1])
    counted = (epoch[1:] == epoch[:-1]) | held_up
    return Jitter(packets["time_us"][1:][counted], smooth(difference[counted]))


def delays_ms(paced: Pace) -> NDArray[np.float64]:
    """Give per packet how much later it came than the first one of its epoch, by the sender's clock [ms].

    Where that first one was held up itself, in a stall that ended in a burst, the least delayed one after it takes its
    place. The drift between the two clocks is taken out where an epoch is long enough to show it, as a phone's buffer
    follows it too; what is left is the network's doing. Negative for a packet that was faster than the first.
    """
    packets, epoch = paced.packets, paced.epoch
    delay = np.zeros(len(packets))
    if not len(packets):
        return delay
    order = np.argsort(epoch, kind="stable") if (epoch[1:] < epoch[:-1]).any() else np.arange(len(epoch))
    bounds = np.append(np.flatnonzero(np.diff(epoch[order], prepend=-1)), len(order))
    origin = np.where(paced.settled, order[bounds[:-1]], paced.anchor)[epoch]
    ticks = (packets["timestamp"] - packets["timestamp"][origin]).astype(np.int32)
    elapsed = (packets["time_us"] - packets["time_us"][origin]) / 1000.0
    delay[:] = elapsed - ticks * (1000.0 / paced.clock)
    span = elapsed[order[bounds[1:] - 1]] - elapsed[order[bounds[:-1]]]
    for at in np.flatnonzero(span >= _DRIFT_LEAST_MS).tolist():
        own = order[bounds[at] : bounds[at + 1]]
        delay[own] -= _drift(elapsed[own], delay[own]) * elapsed[own]
    return delay


def _drift(elapsed: NDArray[np.float64], delay: NDArray[np.float64]) -> float:
    """Compare the least delay at both ends of an epoch: delay can only add, so the floor shows the clocks."""
    early = elapsed <= elapsed[0] + _DRIFT_WINDOW_MS
    late = elapsed >= elapsed[-1] - _DRIFT_WINDOW_MS
    a, b = np.flatnonzero(early)[np.argmin(delay[early])], np.flatnonzero(late)[np.argmin(delay[late])]
    slope = float((delay[b] - delay[a]) / (elapsed[b] - elapsed[a]))
    return slope if abs(slope) <= _DRIFT_MAX else 0.0
