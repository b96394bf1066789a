"""A diagnosis in the form that leaves the process: findings whose evidence is message numbers, times and streams."""

from collections.abc import Sequence

import msgspec

from sipflow.clock import format_time
from sipflow.diagnose import Call, Figure, Finding, Severity, call_of, diagnose
from sipflow.diagnose.dialogue import Dialogue
from sipflow.errors import CallUnknown
from sipflow.query.answer import Fault, together
from sipflow.query.expiry import have_expired
from sipflow.query.session_times import SessionTimes, session_times
from sipflow.query.source import CallSource


class EvidencedStream(msgspec.Struct, frozen=True):
    """A stream a finding is about; `src` and `dst` are "ip:port"."""

    leg: int
    src: str
    dst: str
    ssrc: int | None


class Entry(msgspec.Struct, frozen=True):
    """One finding: what it says, the rule it rests on, and its evidence.

    `messages` are the places of messages in the flow of the call, from 1; `times` are `times_us` in RFC 3339.
    """

    code: str
    severity: Severity
    sentence: str
    reference: str
    messages: list[int]
    times: list[str]
    times_us: list[int]
    streams: list[EvidencedStream]
    figures: list[Figure]


class Diagnosis(msgspec.Struct, frozen=True):
    """What was found of a call, the outcome first, then the gravest; `partial` when `faults` hid some of it."""

    call_id: str
    times: SessionTimes
    findings: list[Entry]
    partial: bool
    faults: list[Fault]


def diagnosed(history: CallSource, call_id: str) -> Diagnosis:
    """Diagnose a call of a history. Raises CallUnknown, Expired, StorageError."""
    flow, parts = history.flow(call_id), history.media(call_id)
    faults = together(flow.faults, parts.faults)
    if not flow.messages and not parts.chunks and (not faults or have_expired(faults)):
        history.call(call_id)
        raise CallUnknown(call_id)
    call = call_of(call_id, flow.messages, parts.chunks)
    return Diagnosis(call_id, session_times(Dialogue(call)), entries(call, diagnose(call)), bool(faults), faults)


def entries(call: Call, findings: Sequence[Finding]) -> list[Entry]:
    """Write findings for JSON and pages."""
    places: dict[int, int] = {}
    for index, message in enumerate(call.messages, 1):
        places.setdefault(message.time_us, index)
    return [_entry(finding, places) for finding in findings]


def _entry(finding: Finding, places: dict[int, int]) -> Entry:
    return Entry(
        finding.code,
        finding.severity,
        finding.sentence,
        finding.reference,
        [places[time_us] for time_us in finding.times_us if time_us in places],
        [format_time(time_us) for time_us in finding.times_us],
        list(finding.times_us),
        [EvidencedStream(key.leg, str(key.src), str(key.dst), key.ssrc) for key in finding.streams],
        list(finding.figures),
    )
