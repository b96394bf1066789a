"""Scripted streams: which packets go out and when, where they are not simply one after the other.

Every function takes and gives an array of STEP, in the C layout of struct sf_step (talker.h), in order of capture.
"""

import numpy as np
from numpy.typing import NDArray

STEP = np.dtype(
    [
        ("at_us", "<u4"),
        ("media", "<u4"),
        ("sequence", "<u2"),
        ("duration", "<u2"),
        ("event", "u1"),
        ("flags", "u1"),
        ("unused", "<u2"),
    ]
)
MARKER, EVENT, END = 1, 2, 4
EVENTS = "0123456789*#ABCD"  # RFC 4733, table 3
LONGEST_US = 4_000_000_000  # what at_us can hold: over an hour

Steps = NDArray[np.void]

_END_PACKETS = 3  # the last report of a digit is sent three times (RFC 4733, section 2.5.1.4)


def plain_steps(rng: np.random.Generator, count: int, samples: int) -> Steps:
    """Script `count` audio packets in order, with up to half a millisecond of capture jitter."""
    index = np.arange(count, dtype=np.int64)
    if count * samples * 125 > LONGEST_US:
        raise ValueError(f"scripted stream: found {count} packets; allowed: up to {LONGEST_US // (samples * 125)}")
    steps = np.zeros(count, STEP)
    steps["at_us"] = index * samples * 125 + rng.integers(0, 500, count)
    steps["media"] = index * samples
    steps["sequence"] = index & 0xFFFF
    steps["flags"][:1] = MARKER
    return steps


def with_digits(steps: Steps, digits: str, samples: int, length_ms: int = 160) -> Steps:
    """Replace audio by telephone events, the digits spread evenly; audio after a digit begins a new talkspurt."""
    steps = steps.copy()
    per_digit = max(2, length_ms * 8 // samples) + _END_PACKETS - 1
    spacing = steps.size // (len(digits) + 1)
    if spacing <= per_digit:
        return steps
    for place, digit in enumerate(digits, start=1):
        at = place * spacing
        press = steps[at : at + per_digit]
        reported = np.minimum(np.arange(1, per_digit + 1), per_digit - _END_PACKETS + 1)
        press["media"] = press["media"][0]
        press["duration"] = reported * samples
        press["event"] = EVENTS.index(digit)
        press["flags"] = EVENT
        press["flags"][0] |= MARKER
        press["flags"][-_END_PACKETS:] |= END
        steps["flags"][at + per_digit] |= MARKER
    return steps


def impaired(rng: np.random.Generator, steps: Steps, samples: int) -> Steps:
    """Send the stream through a poor network: bursts of loss, delay jitter, overtaking, duplicates.

    The first and the last packet always arrive, so that what is missing can be told from what arrived.
    """
    count = steps.size
    lost = _bursts(rng, count)
    lost[:1] = lost[-1:] = False
    delay_us = rng.gamma(2.0, 1500.0, count)
    delay_us += np.where(rng.random(count) < 0.01, samples * 125 * rng.uniform(1.3, 2.6, count), 0.0)
    delay_us[-1:] = 40_000.0
    arrived = steps.copy()
    arrived["at_us"] = arrived["at_us"] + delay_us.astype(np.uint32)
    arrived = arrived[~lost]
    again = arrived[rng.random(arrived.size) < 0.008].copy()
    again["at_us"] += rng.integers(200, 3000, again.size).astype(np.uint32)
    together = np.concatenate((arrived, again))
    together = together[np.argsort(together["at_us"], kind="stable")]
    together["at_us"] -= together["at_us"][0]
    return together


def lost_sequences(steps: Steps) -> int:
    """Count the sequence numbers between the smallest and the largest sent that were never sent."""
    # Streams of over 65536 packets wrap: capture time tells in which round a number belongs.
    numbers = _unwrapped(steps["sequence"].astype(np.int64))
    return int(numbers.max() - numbers.min() + 1 - np.unique(numbers).size)


def _unwrapped(numbers: NDArray[np.int64]) -> NDArray[np.int64]:
    change = np.diff(numbers, prepend=numbers[:1])
    return np.asarray(np.cumsum((change + 32768) % 65536 - 32768) + numbers[0])


def _bursts(rng: np.random.Generator, count: int) -> NDArray[np.bool_]:
    # Gilbert's model: a burst begins at one packet in 80 and lasts 3 on average.
    lost = np.zeros(count, bool)
    starts = np.flatnonzero(rng.random(count) < 1 / 80)
    lengths = rng.geometric(1 / 3, starts.size)
    for start, length in zip(starts, lengths, strict=True):
        lost[start : start + length] = True
    return lost
