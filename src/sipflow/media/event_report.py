"""Reports of telephone events (RFC 4733, section 2.3) read out of a stream, all its packets at once."""

from typing import Final

import numpy as np
from numpy.typing import NDArray

from sipflow.clock import SECOND_US
from sipflow.media.codec import DEFAULT_CLOCK, STATIC, Payloads, codec_of, is_comfort_noise, is_event
from sipflow.media.redundancy import REDUNDANT, blocks_of
from sipflow.media.stream import Stream

REPORT_OCTETS: Final = 4
# One report; `duration` in units of `clock` [Hz], `volume` in -dBm0, `assumed` when no SDP named the payload type.
REPORT: Final = np.dtype(
    [
        ("time_us", "<i8"),
        ("clock", "<i8"),
        ("duration", "<i8"),
        ("timestamp", "<u4"),
        ("event", "u1"),
        ("volume", "u1"),
        ("end", "?"),
        ("assumed", "?"),
    ]
)
_DYNAMIC: Final = range(96, 128)
_FLASH_CODE: Final = 16


def event_types(payloads: Payloads | None) -> dict[int, int]:
    """Map the payload types that `payloads` says are telephone events to their clocks [Hz]."""
    named = {number: codec_of(number, payloads) for number in payloads or ()}
    return {number: codec.clock for number, codec in named.items() if is_event(codec)}


def assumed_types(stream: Stream, packets: NDArray[np.void], payloads: Payloads | None) -> dict[int, int]:
    """Map the payload types of `packets` that nobody announced but that behave like events to the audio's clock [Hz].

    Such a type is dynamic, its payloads are all of four octets, its events are keys or flash, and packets share a
    timestamp only for the same event, which happens at least once. None when SDP announced events of another type.
    """
    if event_types(payloads):
        return {}
    unknown = [n for n in np.unique(packets["payload_type"]).tolist() if n in _DYNAMIC and n not in (payloads or ())]
    clock = _audio_clock(packets, payloads)
    return {number: clock for number in unknown if _looks_like_events(stream, packets, number)}


def reports_of(stream: Stream, packets: NDArray[np.void], payloads: Payloads | None) -> NDArray[np.void]:
    """Read the reports (REPORT) in these packets of a stream, also inside RFC 2198 payloads, in no particular order."""
    announced = event_types(payloads)
    types = announced or assumed_types(stream, packets, payloads)
    if not types:
        return np.zeros(0, REPORT)
    packets, earlier = _unfold(stream, packets, payloads)
    found = []
    for number, clock in types.items():
        own = (packets["payload_type"] == number) & (packets["length"] == REPORT_OCTETS)
        reports, _ = _read(stream, packets[own], clock)
        reports["assumed"] = not announced
        # A repeated report was true when its event had lasted that long.
        late = np.where(earlier[own] > 0, earlier[own] - reports["duration"], 0)
        reports["time_us"] -= late * SECOND_US // clock
        found.append(reports)
    return np.concatenate(found)


def carriers_of(stream: Stream, payloads: Payloads | None) -> NDArray[np.void]:
    """Give the rows (PACKET) of a stream that carry events, whatever is in them, RFC 2198 blocks as rows of their own.

    `offset` and `length` of a row are the event's payload or block.
    """
    types = event_types(payloads) or assumed_types(stream, stream.packets, payloads)
    rows, _ = _unfold(stream, stream.packets, payloads)
    kept: NDArray[np.void] = rows[np.isin(rows["payload_type"], list(types))]
    return kept


def _audio_clock(packets: NDArray[np.void], payloads: Payloads | None) -> int:
    seen = np.bincount(packets["payload_type"], minlength=128)
    known = [n for n in np.flatnonzero(seen).tolist() if n in STATIC or (payloads and n in payloads)]
    audio = [n for n in known if not is_comfort_noise(codec_of(n, payloads))]
    return codec_of(max(audio, key=lambda n: int(seen[n])), payloads).clock if audio else DEFAULT_CLOCK


def _looks_like_events(stream: Stream, packets: NDArray[np.void], payload_type: int) -> bool:
    """Tell payloads of exactly one report each that repeat a timestamp with the same event and a length that grows."""
    own = packets[packets["payload_type"] == payload_type]
    if (own["length"] != REPORT_OCTETS).any():
        return False
    reports, reserved = _read(stream, own, DEFAULT_CLOCK)
    if reserved.any() or (reports["event"] > _FLASH_CODE).any():
        return False
    again = reports["timestamp"][1:] == reports["timestamp"][:-1]
    same = reports["event"][1:] == reports["event"][:-1]
    return bool(again.any() and (same | ~again).all())


def _unfold(
    stream: Stream, packets: NDArray[np.void], payloads: Payloads | None
) -> tuple[NDArray[np.void], NDArray[np.int64]]:
    """Put the blocks of RFC 2198 payloads in the place of their packets; tells how much earlier each is [units]."""
    redundant = [number for number in payloads or () if codec_of(number, payloads).name.lower() == REDUNDANT]
    if not redundant:
        return packets, np.zeros(len(packets), np.int64)
    folded = np.isin(packets["payload_type"], redundant)
    found = [packets[~folded]]
    earlier = [np.zeros(len(found[0]), np.int64)]
    for index, chunk in enumerate(stream.chunks):
        own = packets[folded & (packets["chunk"] == index)]
        data = np.frombuffer(chunk.data, np.uint8)
        blocks = blocks_of(data, own["offset"].astype(np.int64), own["length"].astype(np.int64), own["timestamp"])
        rows = own[blocks["packet"]]
        earlier.append((rows["timestamp"] - blocks["timestamp"]).astype(np.int64))
        for column in ("payload_type", "timestamp", "offset", "length"):
            rows[column] = blocks[column]
        found.append(rows)
    return np.concatenate(found), np.concatenate(earlier)


def _read(stream: Stream, packets: NDArray[np.void], clock: int) -> tuple[NDArray[np.void], NDArray[np.bool_]]:
    """Read payloads of four octets; gives the reports, and which have the reserved bit set."""
    octets = np.zeros((len(packets), REPORT_OCTETS), np.uint8)
    for index in np.unique(packets["chunk"]).tolist():
        own = np.flatnonzero(packets["chunk"] == index)
        data = np.frombuffer(stream.chunks[index].data, np.uint8)
        octets[own] = data[packets["offset"][own, None].astype(np.int64) + np.arange(REPORT_OCTETS)]
    reports = np.zeros(len(packets), REPORT)
    reports["time_us"] = packets["time_us"]
    reports["clock"] = clock
    reports["timestamp"] = packets["timestamp"]
    reports["event"] = octets[:, 0]
    reports["end"] = octets[:, 1] >= 0x80
    reports["volume"] = octets[:, 1] & 0x3F
    reports["duration"] = octets[:, 2].astype(np.int64) << 8 | octets[:, 3]
    return reports, (octets[:, 1] & 0x40) != 0
