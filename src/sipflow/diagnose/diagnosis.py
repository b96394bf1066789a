"""The diagnosis: every rule asked, what they found in order of gravity."""

from collections.abc import Callable, Iterator, Sequence
from typing import Final

import msgspec

from sipflow.diagnose.address import nat_in_via, private_contact
from sipflow.diagnose.authentication import authentication
from sipflow.diagnose.call import Call
from sipflow.diagnose.codecs import no_common_codec, packet_times, refused_media
from sipflow.diagnose.dialogue import Dialogue
from sipflow.diagnose.ending import end, failed_requests, outcome, post_dial_delay, reasons, registration, short_call
from sipflow.diagnose.offering import early_media, glare, late_offer, unacknowledged_progress, unsupported_extension
from sipflow.diagnose.own_rule import Rule, apply, registered
from sipflow.diagnose.routing import forks, hops_run_out, loops
from sipflow.diagnose.session import interval_too_small, session_timer
from sipflow.diagnose.timing import acknowledgement, dropped_after_32_s, retransmitted, unanswered
from sipflow.diagnose.words import printable
from sipflow.media.finding import Finding, Severity

# A forged call can break every rule a thousand times.
FINDINGS_MAX: Final = 300
PER_RULE_MAX: Final = 50
_RANK: Final = {Severity.ERROR: 0, Severity.WARNING: 1, Severity.NOTE: 2}
# How a call came out is the first thing to know, who ended it the second, however grave the rest is.
_FIRST: Final = {"final-status": 0, "answered": 0, "ended-by": 1, "cancelled": 1, "no-end": 1, "registered": 0}
# The verdict on the media says this too, in fewer words.
_SAID_BETTER: Final = frozenset({"not-answered"})

_RULES: Final[tuple[Callable[[Dialogue], Iterator[Finding]], ...]] = (
    outcome, registration, end, reasons, unanswered, acknowledgement, dropped_after_32_s, retransmitted, authentication,
    refused_media, no_common_codec, packet_times, private_contact, nat_in_via, session_timer, interval_too_small,
    glare, late_offer, early_media, unacknowledged_progress, unsupported_extension, loops, hops_run_out, forks,
    failed_requests, post_dial_delay, short_call,
)  # fmt: skip


def diagnose(call: Call, rules: Sequence[Rule] | None = None) -> list[Finding]:
    """Say why a call went as it did: the outcome first, then the gravest.

    Depends on nothing but the call and the rules: `rules` are those of one's own, by default the registered ones. Never
    raises, whatever the messages are. Each finding has the times of its messages or packets [us] as evidence.
    """
    dialogue = Dialogue(call)
    found: list[Finding] = []
    for built_in in _RULES:
        found += _some(built_in(dialogue)) if dialogue.steps else []
    said = _SAID_BETTER if dialogue.outcome is not None else frozenset()
    found += [finding for finding in call.media if finding.code not in (said or _about_calls(dialogue))]
    for own in registered() if rules is None else rules:
        found += apply(own, call)
    found = [_plain(finding) for finding in found]
    found.sort(key=lambda finding: (_FIRST.get(finding.code, 2), _RANK[finding.severity]))
    return found[:FINDINGS_MAX]


def _about_calls(dialogue: Dialogue) -> frozenset[str]:
    """Give what need not be said of a registration or a subscription: that it is no call."""
    return frozenset({"no-invite"}) if dialogue.steps and not dialogue.of("INVITE") else frozenset()


def _plain(finding: Finding) -> Finding:
    """Keep control characters, which any message may hold, out of what people and terminals are shown."""
    if finding.sentence.isprintable():
        return finding
    return msgspec.structs.replace(finding, sentence=printable(finding.sentence))


def _some(findings: Iterator[Finding]) -> list[Finding]:
    return [finding for finding, _ in zip(findings, range(PER_RULE_MAX), strict=False)]
