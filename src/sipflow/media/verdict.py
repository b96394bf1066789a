"""Why is there no sound? A verdict on the media of a call, each finding with its evidence."""

from collections.abc import Mapping, Sequence
from typing import Final

import msgspec

from sipflow.media.agreement import agreement
from sipflow.media.announcement import Announcements
from sipflow.media.case import Case, Undecodable, listed, make_case
from sipflow.media.codec import is_signal
from sipflow.media.content import content
from sipflow.media.delivery import delivery
from sipflow.media.finding import Figure, Finding, Severity
from sipflow.media.statistics import StreamStatistics
from sipflow.wire.packet import Message, StreamKey

FLOWS: Final = "media-flows"
# A forged call can have a thousand streams, each with its findings.
FINDINGS_MAX: Final = 200
_RANK: Final = {Severity.ERROR: 0, Severity.WARNING: 1, Severity.NOTE: 2}


class Verdict(msgspec.Struct, frozen=True):
    """The findings on a call, the gravest first; `flows` tells that audio flows both ways and nothing is against it."""

    flows: bool
    findings: tuple[Finding, ...]

    @property
    def text(self) -> str:
        """Write the verdict as one paragraph, the gravest first."""
        return " ".join(finding.sentence for finding in self.findings)

    def find(self, code: str) -> tuple[Finding, ...]:
        """Give the findings with this code."""
        return tuple(finding for finding in self.findings if finding.code == code)


def judge(
    messages: Sequence[Message],
    announcements: Announcements,
    streams: Sequence[StreamStatistics],
    energies: Mapping[StreamKey, float] | None = None,
    undecodable: Undecodable | None = None,
) -> Verdict:
    """Judge the media of a call by its messages, what they announce, and what was measured of its streams.

    `energies` are mean levels [dBFS] per stream; streams that are not in it are not judged by ear. `undecodable` says
    why a codec cannot be decoded, None when it can; without it only codecs that nobody named count as undecodable.
    """
    call_id = messages[0].call_id if messages else next((key.call_id for key in energies or ()), "")
    case = make_case(announcements, streams, energies, call_id, undecodable)
    found = [*agreement(case), *delivery(case), *content(case)]
    against = any(finding.severity is not Severity.NOTE for finding in found)
    flows = case.both_ways and not against
    if flows:
        found.append(_flows(case))
    found.sort(key=lambda finding: (_RANK[finding.severity], finding.code != FLOWS))
    return Verdict(flows, tuple(found[:FINDINGS_MAX]))


def _flows(case: Case) -> Finding:
    names = dict.fromkeys(heard.codec.name for heard in case.audio if not is_signal(heard.codec))
    return Finding(
        FLOWS,
        Severity.NOTE,
        f"Media flows both ways: {', '.join(names)}.",
        "RFC 3264 section 6.1",
        streams=listed(case.audio),
        figures=(Figure("packets", sum(heard.measured.packet_count for heard in case.audio)),),
    )
