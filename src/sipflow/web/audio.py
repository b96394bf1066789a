"""Views of a call's sound under /api/v1/calls/ID: files of it in several forms, its outline, its streams."""

import hashlib
from collections.abc import Callable
from functools import partial
from typing import Final, NamedTuple

import msgspec
from starlette.requests import Request
from starlette.responses import Response

from sipflow.media.assessment import Assessment
from sipflow.media.digit import Digit
from sipflow.media.encoder import FORMS, Form, form_of
from sipflow.media.figures import StreamReport
from sipflow.media.peaks import MAX_WIDTH, peaks
from sipflow.media.rendering import Rendering
from sipflow.media.riff import Riff
from sipflow.media.sounding import Sounding
from sipflow.query.answer import Fault
from sipflow.query.remembered import Remembered
from sipflow.query.source import CallSource
from sipflow.query.wanted import Wanted, parse_wanted, parse_width
from sipflow.web.asked import only, window
from sipflow.web.download import download
from sipflow.web.recorded import Recorded, Recordings
from sipflow.web.renderings import Renderings
from sipflow.web.reply import reply
from sipflow.web.sound import Sound, described

USUAL_WIDTH: Final = 1000
_OUTLINES_REMEMBERED: Final = 64
_WINDOW = ("since", "until")
_SHAPE = ("leg", "mix", "start", "end", "conceal")


class Postponed(NamedTuple):
    """An answer that takes a processor for a while: `work` gives it, and only a few may work at once."""

    work: Callable[[], Response]


View = Callable[[Request, str], Response | Postponed]


class ChannelPeaks(msgspec.Struct, frozen=True):
    """The outline of one channel: the least and greatest sample of each bucket, -32768 to 32767.

    `leg` is the leg heard there, None where several are mixed.
    """

    leg: int | None
    min: list[int]
    max: list[int]


class PeaksAnswer(msgspec.Struct, frozen=True):
    """The outline of `samples` samples per channel at `rate` Hz, the first at `start_us`, in equal buckets."""

    rate: int
    samples: int
    start_us: int
    channels: list[ChannelPeaks]
    partial: bool
    faults: list[str]


class StreamsAnswer(StreamReport, frozen=True):
    """A StreamReport, and what could not be read for it."""

    partial: bool
    faults: list[Fault]


class QualityAnswer(Assessment, frozen=True):
    """An Assessment, and what could not be read for it."""

    partial: bool
    faults: list[Fault]


class Pressed(msgspec.Struct, frozen=True):
    """A Digit as JSON has it: `src` is "ip:port", `source` one of rfc4733, info, inband."""

    symbol: str
    time_us: int
    duration_ms: float | None
    source: str
    leg: int | None
    src: str
    ssrc: int | None
    volume_dbm0: int | None
    complete: bool
    assumed: bool


class DigitsAnswer(msgspec.Struct, frozen=True):
    """The keys pressed in a call, by time; a mark stands for each where digits are hidden."""

    call_id: str
    digits: list[Pressed]
    partial: bool
    faults: list[Fault]


class Audio:
    """The views, by the last part of their paths.

    `start` and `end` are seconds from the first sample of the recording, `since` and `until` times that choose the
    packets it is made of.
    """

    def __init__(
        self, history: CallSource, sound: Sound, recordings: Recordings, renderings: Renderings | None = None
    ) -> None:
        self._history = history
        self._sound = sound
        self._recordings = recordings
        self._renderings = renderings or Renderings()
        self._outlines: Remembered[str, PeaksAnswer] = Remembered(_OUTLINES_REMEMBERED)
        self.views: dict[str, View] = {
            "media.wav": self.wav,
            **{f"media.{name}": partial(self.compressed, name) for name in FORMS},
            "peaks": self.peaks,
            "streams": self.streams,
            "quality": self.quality,
            "dtmf": self.dtmf,
        }

    def wav(self, request: Request, call_id: str) -> Response:
        """Answer a call as a WAV file, any range of it rendered on its own."""
        wanted = _wanted(request, "copy")
        parts = self._history.media(call_id, window(request, *_WINDOW))
        if wanted.whole:
            return self._sound.play(request, parts, wanted)
        found = self._recordings.open(parts, wanted)
        sounding = found.shaped(wanted)
        headers = described(sounding, found.faults, _etag(call_id, "wav", wanted, found))
        return download(request, Riff(call_id, sounding), f"{call_id}.wav", "audio/wav", headers)

    def compressed(self, name: str, request: Request, call_id: str) -> Response | Postponed:
        """Answer a call as a compressed file; its length and ranges are known once it is encoded whole."""
        form = form_of(name)
        wanted = _wanted(request)
        found = self._recordings.open(self._history.media(call_id, window(request, *_WINDOW)), wanted)
        sounding = found.shaped(wanted)
        key = _etag(call_id, form.name, wanted, found)

        def answer(rendering: Rendering) -> Response:
            headers = described(sounding, found.faults, key)
            return download(request, rendering, f"{call_id}.{form.name}", form.media_type, headers)

        kept = self._renderings.find(key)
        if kept is not None:
            return answer(kept)
        return Postponed(lambda: answer(self._render(key, sounding, form, call_id)))

    def peaks(self, request: Request, call_id: str) -> Response | Postponed:
        """Answer the outline of a call's sound."""
        only(request, ("width", *_SHAPE, *_WINDOW))
        width = parse_width(request.query_params.get("width"), MAX_WIDTH, USUAL_WIDTH)
        wanted = _wanted(request, "width")
        found = self._recordings.open(self._history.media(call_id, window(request, *_WINDOW)), wanted)
        sounding = found.shaped(wanted)
        key = _etag(call_id, f"peaks {width}", wanted, found)

        def work() -> Response:
            outline = self._outlines.find(key)
            if outline is None:
                outline = _outline(sounding, width, wanted, found.faults)
                self._outlines.keep(key, outline)
            return reply(outline)

        return Postponed(work)

    def streams(self, request: Request, call_id: str) -> Response | Postponed:
        """Answer the figures of each stream of a call, and how complete its recording is."""
        only(request, _WINDOW)
        span = window(request, *_WINDOW)

        def work() -> Response:
            report, faults = self._sound.report(self._history.media(call_id, span))
            return reply(StreamsAnswer(**msgspec.structs.asdict(report), partial=bool(faults), faults=faults))

        return Postponed(work)

    def quality(self, request: Request, call_id: str) -> Response | Postponed:
        """Answer the quality of each stream, second by second, and why there is no sound where there is none."""
        only(request, _WINDOW)
        span = window(request, *_WINDOW)

        def work() -> Response:
            assessment, faults = self._sound.assess(call_id, span)
            return reply(QualityAnswer(**msgspec.structs.asdict(assessment), partial=bool(faults), faults=faults))

        return Postponed(work)

    def dtmf(self, request: Request, call_id: str) -> Response | Postponed:
        """Answer the keys that were pressed in a call, by whatever way they were sent."""
        only(request, _WINDOW)
        span = window(request, *_WINDOW)

        def work() -> Response:
            found, faults = self._sound.digits(call_id, span)
            return reply(DigitsAnswer(call_id, [_pressed(digit) for digit in found], bool(faults), faults))

        return Postponed(work)

    def _render(self, key: str, sounding: Sounding, form: Form, call_id: str) -> Rendering:
        return self._renderings.make(key, lambda: Rendering.of(sounding, form, call_id))


def _pressed(digit: Digit) -> Pressed:
    return Pressed(**{**msgspec.structs.asdict(digit), "src": str(digit.src), "source": str(digit.source)})


def _wanted(request: Request, *others: str) -> Wanted:
    only(request, (*_SHAPE, *_WINDOW, *others))
    asked = request.query_params
    return parse_wanted(*(asked.get(name) for name in (*_SHAPE, "copy")))


def _etag(call_id: str, form: str, wanted: Wanted, found: Recorded) -> str:
    """Name a file by everything that its octets depend on."""
    facts = (
        call_id,
        form,
        wanted,
        found.recording.start_us,
        found.recording.samples,
        found.last_us,
        found.packets,
        found.faults,
    )
    return hashlib.blake2s(repr(facts).encode("utf-8", "surrogatepass"), digest_size=16).hexdigest()


def _outline(sounding: Sounding, width: int, wanted: Wanted, faults: list[str]) -> PeaksAnswer:
    found = peaks(sounding, width)
    # Left is the caller and whoever else is not the callee, right is the callee.
    legs = [wanted.leg if wanted.leg is not None or wanted.mono else 0] if sounding.channels == 1 else [0, 1]
    channels = [
        ChannelPeaks(leg, least.tolist(), greatest.tolist())
        for leg, least, greatest in zip(legs, found.least, found.greatest, strict=True)
    ]
    return PeaksAnswer(sounding.rate, sounding.samples, sounding.start_us, channels, bool(faults), faults)
