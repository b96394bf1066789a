"""Everything that is known of one call, gathered once for its page."""

from dataclasses import dataclass
from functools import cached_property

from sipflow.diagnose import Call, diagnose
from sipflow.media.announcement import Announcements
from sipflow.media.assessment import MeasuredMedia, measure_media
from sipflow.media.completeness import Completeness
from sipflow.media.verdict import Verdict
from sipflow.query.answer import CallSummary, Fault, Flow, MediaParts, together
from sipflow.query.diagnosed import Entry, entries
from sipflow.query.dialogs import dialogs
from sipflow.query.ending import Ending, ending
from sipflow.query.ladder import Ladder, draw
from sipflow.query.source import CallSource
from sipflow.web.console.media_band import MediaBand, media_bands
from sipflow.web.derived import Derived
from sipflow.web.sound import Sound
from sipflow.wire.packet import Message


@dataclass(frozen=True)
class Dossier:
    """A call as its page needs it: what was stored of it, and what follows from that.

    `completeness` is that of its recording, None when there is nothing to play; `note` says it, or why not, in a line.
    """

    call: CallSummary
    messages: list[Message]
    media: MediaParts
    faults: list[Fault]
    completeness: Completeness | None
    note: str

    @classmethod
    def of(cls, call: CallSummary, flow: Flow, media: MediaParts, sound: Sound) -> "Dossier":
        """Put together what was read of a call."""
        if media.chunks:
            completeness, note = sound.completeness(media)
        else:
            gone = "; ".join(fault.what for fault in media.faults)
            completeness, note = None, gone or "no RTP of this call was captured"
        return cls(call, flow.messages, media, together(flow.faults, media.faults), completeness, note)

    @cached_property
    def ladder(self) -> Ladder:
        """Lay the messages out."""
        return draw(self.messages)

    @cached_property
    def dialogs(self) -> list[int]:
        """Number the dialog of each message."""
        return dialogs(self.messages)

    @cached_property
    def measured(self) -> MeasuredMedia:
        """Measure and judge the media."""
        return measure_media(self.media.chunks, self.messages)

    @property
    def announcements(self) -> Announcements:
        """Give what was said of the media."""
        return self.measured.announced

    @property
    def verdict(self) -> Verdict:
        """Give the judgement on the media."""
        return self.measured.verdict

    @cached_property
    def bands(self) -> list[MediaBand]:
        """Write the streams for people."""
        return media_bands(self.call.call_id, self.measured.quality, self.announcements)

    @cached_property
    def findings(self) -> list[Entry]:
        """Diagnose the call."""
        figures = tuple(each.statistics for each in self.measured.quality)
        call = Call(self.call.call_id, tuple(self.messages), figures, self.verdict.findings)
        return entries(call, diagnose(call))

    @cached_property
    def ending(self) -> Ending:
        """Tell who ended it."""
        return ending(self.messages)

    @property
    def first_us(self) -> int:
        """Tell when the first packet of any kind was captured."""
        return min([self.call.first_us, *(band.first_us for band in self.bands)])

    @property
    def last_us(self) -> int:
        """Tell when the last packet of any kind was captured."""
        return max([self.call.last_us, *(band.last_us for band in self.bands)])

    @property
    def worst_mos(self) -> float | None:
        """Give the lowest listening quality of its streams."""
        return min((band.mos for band in self.bands if band.mos is not None), default=None)

    @property
    def worst_loss(self) -> float | None:
        """Give the highest loss of its streams [percent]."""
        return max((band.loss_percent for band in self.bands), default=None)


class Dossiers:
    """The dossiers of a history's calls, kept as long as nothing of them has changed."""

    def __init__(self, history: CallSource, sound: Sound) -> None:
        self._history = history
        self._sound = sound
        self._kept: Derived[Dossier] = Derived()

    def of(self, call_id: str) -> Dossier:
        """Read a call. Raises CallUnknown, or StorageError when nothing of it could be read."""
        call = self._history.call(call_id)
        flow = self._history.flow(call_id)
        media = self._history.media(call_id)
        return self._kept.of(call, media, flow, lambda: Dossier.of(call, flow, media, self._sound))
