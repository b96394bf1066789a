"""A call as sound: every leg on one time line, rendered wherever it is asked for."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from sipflow._fast import mix_codes, mix_placed
from sipflow.errors import NothingToPlay
from sipflow.media.always import Always, Announced
from sipflow.media.carried import Law
from sipflow.media.codec import Payloads
from sipflow.media.completeness import Completeness, assess
from sipflow.media.decoding import Decoding
from sipflow.media.hidden import Silence
from sipflow.media.holes import Gap, us_of
from sipflow.media.timeline import Timeline, lay_out
from sipflow.media.track import Track
from sipflow.wire.packet import Chunk

RIGHT_LEG: Final = 1
# What a G.711 decoder turns into the sample nearest to zero: silence of a copy.
ZERO_CODE: Final = {Law.ULAW: 0xFF, Law.ALAW: 0xD5}


class Overlay(NamedTuple):
    """Sound to be added to a leg: `make` gives mono samples at the rate [Hz] it is called with, from `start_us` on."""

    leg: int
    start_us: int
    make: Callable[[int], NDArray[np.int16]]


@dataclass(frozen=True, slots=True, eq=False)
class Recording:
    """A call's audio at one rate, random access in constant memory.

    Left is every leg but RIGHT_LEG, right is RIGHT_LEG; one channel when one leg or a mono mix was asked for.
    `samples` are counted per channel, the first is at `start_us`. `invite_offset_us` is how long after the INVITE that
    is, None when no INVITE time was given. `law` is set when every sound of the recording was sent in that one law and
    nothing overlaps, so that codes() can give the octets as captured. `completeness` is of the whole call.
    """

    call_id: str
    rate: int
    channels: int
    samples: int
    start_us: int
    invite_offset_us: int | None
    law: Law | None
    completeness: Completeness
    timeline: Timeline
    _tracks: tuple[Track, ...]
    _first: int
    _overlays: tuple["_Laid", ...]
    _muted: tuple["_Muted", ...]
    _faults: tuple[str, ...]

    @classmethod
    def open(  # noqa: PLR0913 - one keyword for each thing a listener may ask for
        cls,
        call_id: str,
        chunks: Sequence[Chunk],
        announced: Announced | Payloads | None = None,
        *,
        leg: int | None = None,
        mix: bool = False,
        start_us: int | None = None,
        end_us: int | None = None,
        invite_us: int | None = None,
        faults: Sequence[str] = (),
        overlays: Sequence[Overlay] = (),
        silences: Sequence[Silence] = (),
        decoding: Decoding | None = None,
    ) -> "Recording":
        """Lay a call out and decode what needs its order, once.

        `announced` is what SDP said, over time or once and for all; `leg` asks for one leg, `mix` for all legs in one
        channel, `start_us` and `end_us` for what sounds in between; in `silences` nothing is heard. `decoding` says how
        payloads become samples, in this process unless told. Raises NothingToPlay, whose text names what there was
        instead of audio; StorageError when a chunk cannot be read any more; OSError when there is no room for what was
        decoded.
        """
        timeline = lay_out(chunks, _spans(announced), decoding or Decoding())
        tracks = tuple(track for track in timeline.tracks if leg is None or track.leg == leg)
        if not any(len(track.placed) for track in tracks):
            raise NothingToPlay(_nothing(call_id, timeline, leg, faults))
        first = 0 if start_us is None else min(max(timeline.sample_at(start_us), 0), timeline.samples)
        last = timeline.samples if end_us is None else min(timeline.sample_at(end_us), timeline.samples)
        if last <= first:
            raise NothingToPlay(f"call {call_id!r} has nothing to play: its audio lies outside of the time asked for")
        laid = tuple(
            _Laid(overlay, timeline.sample_at(overlay.start_us)) for overlay in overlays if leg in (None, overlay.leg)
        )
        muted = tuple(
            _Muted(
                None if mix or leg is not None else one.leg,
                timeline.sample_at(one.from_us),
                timeline.sample_at(one.to_us),
            )
            for one in silences
            if leg is None or one.leg in (None, leg)
        )
        channels = 1 if mix or leg is not None else 2
        begins_us = timeline.time_at(first)
        return cls(
            call_id=call_id,
            rate=timeline.rate,
            channels=channels,
            samples=last - first,
            start_us=begins_us,
            invite_offset_us=None if invite_us is None else begins_us - invite_us,
            law=None if laid or muted else _law(tracks, channels),
            completeness=assess(timeline, faults),
            timeline=timeline,
            _tracks=tracks,
            _first=first,
            _overlays=laid,
            _muted=muted,
            _faults=tuple(faults),
        )

    @property
    def duration_us(self) -> int:
        """Tell how long it plays."""
        return us_of(self.samples, self.rate)

    def gaps(self, limit: int = 1000) -> list[Gap]:
        """List where the recording is silent for want of audio, see Timeline.gaps."""
        return self.timeline.gaps(limit)

    def completeness_of(self, samples: int) -> Completeness:
        """Judge what is left when only the first `samples` find room."""
        truncated_us = us_of(self.samples - samples, self.rate)
        return assess(self.timeline, self._faults, truncated_us=truncated_us) if truncated_us else self.completeness

    def pcm(self, start: int, stop: int) -> NDArray[np.int16]:
        """Render samples [start, stop) as an array (samples, channels), left before right. Raises StorageError."""
        out = np.zeros((max(min(stop, self.samples) - start, 0), self.channels), np.int16)
        first = self._first + start
        for track in self._tracks:
            channel = channel_of(track.leg, self.channels)
            for rows, source in track.runs(first, first + len(out)):
                mix_placed(rows.view(np.uint8), source.data, first, out, channel)
        for laid in self._overlays:
            laid.add(self.rate, first, out[:, channel_of(laid.overlay.leg, self.channels)])
        for leg, begin, end in self._muted:
            part = out[max(begin - first, 0) : max(end - first, 0)]
            (part if leg is None else part[:, channel_of(leg, self.channels)])[...] = 0
        return out

    def codes(self, start: int, stop: int) -> NDArray[np.uint8]:
        """Render G.711 codes as captured, (samples, channels); silence is the law's zero.

        Raises ValueError where `law` is None, StorageError.
        """
        if self.law is None:
            raise ValueError("codes: the audio of this call is not all of one G.711 law, one packet at a time")
        shape = (max(min(stop, self.samples) - start, 0), self.channels)
        out = np.full(shape, ZERO_CODE[self.law], np.uint8)
        first = self._first + start
        for track in self._tracks:
            for rows, source in track.runs(first, first + len(out)):
                mix_codes(rows.view(np.uint8), source.data, first, out, channel_of(track.leg, self.channels))
        return out


class _Muted(NamedTuple):
    """Samples [begin, end) in which a leg is silent, None every channel."""

    leg: int | None
    begin: int
    end: int


@dataclass(slots=True, eq=False)
class _Laid:
    """An overlay at its sample of the time line; made when it is first heard."""

    overlay: Overlay
    start: int
    samples: NDArray[np.int16] | None = None

    def add(self, rate: int, first: int, out: NDArray[np.int16]) -> None:
        if self.start >= first + len(out):
            return
        if self.samples is None:
            self.samples = self.overlay.make(rate)
        begin, end = max(self.start, first), min(self.start + len(self.samples), first + len(out))
        if begin < end:
            total = out[begin - first : end - first].astype(np.int32)
            total += self.samples[begin - self.start : end - self.start]
            out[begin - first : end - first] = total.clip(-32768, 32767)


def channel_of(leg: int, channels: int) -> int:
    """Tell on which channel a leg is heard."""
    return 1 if channels == 2 and leg == RIGHT_LEG else 0


def _spans(announced: Announced | Payloads | None) -> Announced:
    if announced is None:
        return Always({})
    return Always(announced) if isinstance(announced, Mapping) else announced


def _law(tracks: Sequence[Track], channels: int) -> Law | None:
    """Give the one law of all packets, when each channel holds one leg and no leg overlaps itself."""
    sounding = [track for track in tracks if len(track.placed)]
    places = [channel_of(track.leg, channels) for track in sounding]
    if len(set(places)) < len(places) or any(track.overlaps for track in sounding):
        return None
    laws = {law for track in sounding for law in np.flatnonzero(np.bincount(track.placed["law"])).tolist()}
    law = Law(laws.pop()) if len(laws) == 1 else Law.LINEAR
    return None if law == Law.LINEAR else law


def _nothing(call_id: str, timeline: Timeline, leg: int | None, faults: Sequence[str]) -> str:
    """Say why there is no audio: what was asked for, what there is instead."""
    legs = [track.leg for track in timeline.tracks]
    if leg is not None and leg not in legs and legs:
        why = f"no RTP of leg {leg} was captured, only of leg {', '.join(map(str, legs))}"
    elif timeline.undecoded:
        found = ", ".join(f"{name} ({count} packets)" for name, count in sorted(timeline.undecoded.items()))
        why = f"none of its audio can be decoded here; found {found}"
        why += "".join(f"; {reason}" for reason in timeline.reasons)
    elif timeline.received:
        why = "its RTP packets carry no audio"
    elif timeline.other:
        why = f"its {timeline.other} media datagrams are not RTP"
    else:
        why = "no RTP of it was captured, only SIP"
    unread = f"; could not be read: {'; '.join(faults)}" if faults else ""
    return f"call {call_id!r} has nothing to play: {why}{unread}"
