"""The times of one session as RFC 6076 measures them, from its messages."""

import msgspec

from sipflow.diagnose.dialogue import Dialogue


class SessionTimes(msgspec.Struct, frozen=True):
    """Spans of one call [us], None where the call never got there.

    `srd_us` INVITE to the first provisional response other than 100, or the 2xx when none came; `srd_failed_us` to the
    refusal; `pdd_us` to the first 180; `sdt_us` 2xx to BYE; `sdd_us` BYE to its 200.
    """

    srd_us: int | None = None
    srd_failed_us: int | None = None
    pdd_us: int | None = None
    sdt_us: int | None = None
    sdd_us: int | None = None


def session_times(dialogue: Dialogue) -> SessionTimes:
    """Measure a call on its first hop."""
    begun_us, outcome, answer, bye = dialogue.invited_us, dialogue.outcome, dialogue.answer, dialogue.bye
    if begun_us is None:
        return SessionTimes()
    responses = [step for one in dialogue.attempts for step in one.responses]
    rung_us = next((step.time_us for step in responses if step.status == 180), None)
    sign = dialogue.ring or answer
    failed = outcome is not None and outcome.status >= 400 and outcome.status not in (401, 402, 407)
    ended_us = next(
        (s.time_us for one in dialogue.of("BYE") for s in one.responses if 200 <= s.status < 300), None
    )  # fmt: skip
    return SessionTimes(
        srd_us=None if sign is None else sign.time_us - begun_us,
        srd_failed_us=outcome.time_us - begun_us if failed and outcome is not None else None,
        pdd_us=None if rung_us is None else rung_us - begun_us,
        sdt_us=bye.time_us - answer.time_us if bye is not None and answer is not None else None,
        sdd_us=ended_us - bye.time_us if bye is not None and ended_us is not None else None,
    )
