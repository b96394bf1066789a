"""DTMF heard in the G.711 audio of a stream, for digits that nobody signalled."""

import math
from typing import Final

import numpy as np
from numpy.typing import NDArray

from sipflow._fast import ToneReceiver
from sipflow.media.codec import Payloads, codec_of, law_of
from sipflow.media.digit import Digit, Source
from sipflow.media.stream import Stream
from sipflow.media.tone import COLUMNS_HZ, FREQUENCIES, PEAK_0_DBM0, ROWS_HZ

# In the C layout of struct sf_spoken and struct sf_tone_key (tone.h): samples, octets of the data, mean square.
SPOKEN: Final = np.dtype([("start", "<i8"), ("offset", "<u4"), ("length", "<u4"), ("law", "<u4"), ("unused", "<u4")])
PRESSED: Final = np.dtype([("start", "<i8"), ("stop", "<i8"), ("power", "<f8"), ("row", "<u4"), ("column", "<u4")])
_RATE: Final = 8000
# A longer step of the timestamp is a pause, or no step at all: the audio before and after is heard apart.
_APART: Final = 10 * _RATE
_SYMBOLS: Final = {hertz: key for key, hertz in FREQUENCIES.items()}


def heard(stream: Stream, payloads: Payloads | None = None) -> list[Digit]:
    """List the digits that sound in the G.711 packets of a stream, by time; `payloads` is what SDP announced.

    The audio is heard in the order of its numbers, what is missing as silence. Times are those of the packet in which
    the tone began. Follows ITU-T Q.24, see tone.h.
    """
    laws = {number: law_of(codec_of(number, payloads)) for number in np.unique(stream.packets["payload_type"]).tolist()}
    table = np.array([-1 if (law := laws.get(number)) is None else law for number in range(256)])
    packets = stream.unique
    packets = packets[(table[packets["payload_type"]] >= 0) & (packets["length"] > 0)]
    if not len(packets):
        return []
    rows = np.zeros(len(packets), SPOKEN)
    rows["start"] = _starts(packets)
    rows["law"] = table[packets["payload_type"]]
    rows["offset"], rows["length"] = packets["offset"], packets["length"]
    pressed = np.frombuffer(_receive(stream, packets["chunk"], rows), PRESSED)
    at = np.searchsorted(rows["start"], pressed["start"], "right") - 1
    began_us = packets["time_us"][at] + (pressed["start"] - rows["start"][at]) * 1_000_000 // _RATE
    return [_digit(stream, row, time_us) for row, time_us in zip(pressed, began_us.tolist(), strict=True)]


def _starts(packets: NDArray[np.void]) -> NDArray[np.int64]:
    """Give the sample at which each packet begins, always rising: where timestamps do not, the audio is set apart."""
    step = np.diff(packets["timestamp"]).astype(np.int32).astype(np.int64)
    length = packets["length"][:-1].astype(np.int64)
    sound = (step > 0) & (step <= _APART) & (np.diff(packets["segment"]) == 0)
    return np.append(0, np.cumsum(np.where(sound, step, length + _APART)))


def _receive(stream: Stream, chunk: NDArray[np.uint32], rows: NDArray[np.void]) -> bytes:
    receiver = ToneReceiver()
    edges = np.flatnonzero(np.diff(chunk)) + 1
    found = [
        receiver.hear(part.view(np.uint8), stream.chunks[int(index)].data)
        for index, part in zip(chunk[np.append(0, edges)], np.split(rows, edges), strict=True)
    ]
    return b"".join([*found, receiver.end()])


def _digit(stream: Stream, row: np.void, time_us: int) -> Digit:
    symbol = _SYMBOLS[ROWS_HZ[int(row["row"])], COLUMNS_HZ[int(row["column"])]]
    return Digit(
        symbol=symbol,
        time_us=time_us,
        duration_ms=int(row["stop"] - row["start"]) * 1000 / _RATE,
        source=Source.INBAND,
        leg=stream.key.leg,
        src=stream.key.src,
        ssrc=stream.key.ssrc,
        volume_dbm0=min(round(10 * math.log10(float(row["power"]) / (PEAK_0_DBM0**2 / 2))), 0),
    )
