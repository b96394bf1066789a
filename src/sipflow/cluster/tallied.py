"""Counts as nodes send them to each other, so that they add up to what one node would have counted."""

from collections import Counter
from typing import Final

from sipflow.cluster.exchange import CountNote, TallyNote
from sipflow.query.census import Tallied
from sipflow.query.counting import Count
from sipflow.query.tally import Span, Tally

# Calls whose end is not known are sent one by one, as another node may know it: only a change of the list of nodes
# parts a call. The oldest of so many are counted as they are.
UNFINISHED_MAX: Final = 20_000


def count_note(tallied: Tallied) -> CountNote:
    """Write what a place counts."""
    count = tallied.total
    return CountNote(
        {int(key): _noted(tally) for key, tally in count.hours.items()},
        {str(key): _noted(tally) for key, tally in count.sources.items()},
        {str(key): _noted(tally) for key, tally in count.destinations.items()},
        {str(key): _noted(tally) for key, tally in count.agents.items()},
        list(count.unfinished.values()),
        tallied.faults,
        tallied.counting,
    )


def noted_count(note: CountNote) -> Tallied:
    """Read what a place counts."""
    count = Count(
        {key: _read(tally) for key, tally in note.hours.items()},
        {key: _read(tally) for key, tally in note.sources.items()},
        {key: _read(tally) for key, tally in note.destinations.items()},
        {key: _read(tally) for key, tally in note.agents.items()},
        {digest.call_id: digest for digest in note.unfinished},
    )
    return Tallied(count, note.faults, note.counting)


def _noted(tally: Tally) -> TallyNote:
    response, refusal, ringing, talk, disconnect = (
        (span.count, span.sum_us)
        for span in (tally.response, tally.refusal, tally.ringing, tally.talk, tally.disconnect)
    )
    return TallyNote(
        list(tally.statuses.items()), tally.answered, tally.completed, response, refusal, ringing, talk,
        disconnect, tally.undisconnected, tally.mos_count, tally.mos_sum,
    )  # fmt: skip


def _read(note: TallyNote) -> Tally:
    return Tally(
        Counter(dict(note.statuses)), note.answered, note.completed, Span(*note.response), Span(*note.refusal),
        Span(*note.ringing), Span(*note.talk), Span(*note.disconnect), note.undisconnected,
        note.mos_count, note.mos_sum,
    )  # fmt: skip
