"""One stream as a person reads it: where it went, in which codec, how much of it, and how well."""

from collections.abc import Sequence
from typing import Literal

import msgspec

from sipflow.clock import SECOND_US
from sipflow.media.announcement import Announcements
from sipflow.media.codec import codec_of, is_signal
from sipflow.media.quality import StreamQuality
from sipflow.wire.endpoint import Endpoint
from sipflow.wire.packet import StreamKey
from sipflow.wire.visible import visible

Tone = Literal["good", "warn", "bad", "quiet"]
# ITU-T G.107, annex B: below 4.0 some users are dissatisfied, below 3.6 many.
_WARN_MOS, _BAD_MOS = 4.0, 3.6
_WARN_LOSS, _BAD_LOSS = 0.5, 3.0


class MediaBand(msgspec.Struct, frozen=True):
    """A stream: `codec` names all that it carried, `early` tells that it began before the answer, `mos` is listening
    quality.
    """

    leg: int
    src: Endpoint
    dst: Endpoint
    ssrc: int | None
    codec: str
    packets: int
    lost: int
    loss_percent: float
    jitter_ms: float | None
    mos: float | None
    first_us: int
    last_us: int
    early: bool
    tone: Tone

    @property
    def first_line(self) -> str:
        """Say what it is."""
        return f"{self.codec} · {self.packets:,} packets"

    @property
    def second_line(self) -> str:
        """Say how it went."""
        said = [f"{self.loss_percent:.1f} % lost" if self.lost else "no loss"]
        if self.mos is not None:
            said.append(f"MOS {self.mos:.1f}")
        if self.early:
            said.append("early")
        return " · ".join(said)

    @property
    def seconds(self) -> float:
        """Tell how long it lasted."""
        return (self.last_us - self.first_us) / SECOND_US


def media_bands(call_id: str, measured: Sequence[StreamQuality], announcements: Announcements) -> list[MediaBand]:
    """Write the RTP streams of a call, in order of their first packet; what is no RTP is left out."""
    answered_us = announcements.negotiation.answered_us
    found = [_band(call_id, each, announcements, answered_us) for each in measured if each.statistics.ssrc is not None]
    return sorted(found, key=lambda band: band.first_us)


def _band(call_id: str, measured: StreamQuality, announcements: Announcements, answered_us: int | None) -> MediaBand:
    figures = measured.statistics
    key = StreamKey(call_id, figures.leg, figures.src, figures.dst, figures.ssrc, figures.client_id)
    mos = measured.lq.mos if measured.lq is not None else None
    return MediaBand(
        figures.leg,
        figures.src,
        figures.dst,
        figures.ssrc,
        _codecs(figures.payload_types, announcements, key),
        figures.packet_count,
        figures.lost,
        figures.loss_percent,
        figures.jitter_max_ms,
        mos,
        figures.first_us,
        figures.last_us,
        answered_us is None or figures.first_us < answered_us,
        _tone(mos, figures.loss_percent),
    )


def _codecs(types: dict[int, int], announcements: Announcements, key: StreamKey) -> str:
    """Name what a stream carried, most first; events and comfort noise only when there is nothing else."""
    spans = announcements.spans(key)
    names: list[str] = []
    signals: list[str] = []
    for number in sorted(types, key=lambda number: -types[number]):
        span = next((span for span in spans if number in span.announced), spans[-1])
        codec = codec_of(number, span.payloads)
        (signals if is_signal(codec) else names).append(codec.name)
    return visible(", ".join(dict.fromkeys(names or signals)) or "no codec")


def _tone(mos: float | None, loss_percent: float) -> Tone:
    if loss_percent >= _BAD_LOSS or (mos is not None and mos < _BAD_MOS):
        return "bad"
    if loss_percent >= _WARN_LOSS or (mos is not None and mos < _WARN_MOS):
        return "warn"
    return "quiet" if mos is None else "good"
