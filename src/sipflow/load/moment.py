"""When something happens in a call, however long the call is."""

from dataclasses import dataclass

from sipflow.load.draw import Draw, draw

WHOLE = 65536  # the share that is all of a span


@dataclass(frozen=True)
class Moment:
    """So long after the begin of a call, or before its end, but no more than a share of its span [1/65536].

    A call's tempo stretches `at_us` by up to a quarter, so that calls of one mould do not run alike.
    """

    at_us: int
    share: int
    from_end: bool = False

    def time(self, key: int, start_us: int, span_us: int) -> int:
        """Give the time in one call [us since the epoch]."""
        tempo = 49152 + (draw(key, Draw.TEMPO) >> 49)
        reach = min(self.at_us * tempo >> 16, span_us * self.share >> 16)
        return start_us + span_us - reach if self.from_end else start_us + reach


@dataclass(frozen=True)
class Progress:
    """How far a call that is being written has come; going on gives later moments, however long the call is."""

    at_us: float = 0.0
    share: float = 0.0
    from_end: bool = False

    @property
    def moment(self) -> Moment:
        """Give the moment that has been reached."""
        return Moment(int(self.at_us), int(self.share * WHOLE), self.from_end)

    def on(self, more_us: float, share: float) -> "Progress":
        """Go on by a time, but by no more than a share (0 to 1) of the span."""
        sign = -1 if self.from_end else 1
        return Progress(self.at_us + sign * more_us, self.share + sign * share, self.from_end)
