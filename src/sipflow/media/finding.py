"""What can be found wrong, or right, with the media of a call, and the evidence for it."""

import enum

import msgspec

from sipflow.wire.packet import StreamKey


class Severity(enum.StrEnum):
    """How much a finding explains: an ERROR is why there is no sound, a WARNING may be, a NOTE is worth knowing."""

    ERROR = "error"
    WARNING = "warning"
    NOTE = "note"


class Figure(msgspec.Struct, frozen=True):
    """One number of the evidence; `unit` as it is written after the number, empty for counts."""

    name: str
    value: float
    unit: str = ""


class Finding(msgspec.Struct, frozen=True):
    """One cause: `code` names it for programs, `sentence` says it to a person, `reference` is the rule it rests on.

    The evidence: capture times of messages or packets [us], the streams concerned, and numbers.
    """

    code: str
    severity: Severity
    sentence: str
    reference: str
    times_us: tuple[int, ...] = ()
    streams: tuple[StreamKey, ...] = ()
    figures: tuple[Figure, ...] = ()
