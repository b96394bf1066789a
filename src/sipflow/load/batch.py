"""Planned calls made ready for the sender, many at a time."""

import time
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import islice

import numpy as np
from numpy.typing import NDArray

from sipflow._fast import Mould, Talker
from sipflow.load.bank import VoiceBank
from sipflow.load.call import Call
from sipflow.load.course import VARIANTS, mould_of
from sipflow.load.draw import Draw, draws_below
from sipflow.load.scenario import SCENARIOS, Scenario
from sipflow.load.schedule import PLANNED, Planned, Schedule

# struct sf_planned (sender.h)
SENT_CALL = np.dtype([("key", "<u8"), ("start_us", "<u8"), ("span_us", "<u8"), ("mould", "<u4"), ("unused", "<u4")])

_AT_ONCE = 500  # calls of a list that are made ready together
_SCRIPTED = frozenset((Scenario.LOSSY, Scenario.DIGITS))

_Kind = tuple[int, int, int, bool]  # seed, place in SCENARIOS, variant, IPv6


@dataclass(frozen=True)
class Batch:
    """Calls for the sender: `moulds` it must be given first, in this order, then `calls` (SENT_CALL) and `talkers`.

    All calls that begin before `until_us` have been in this batch or an earlier one; the last of them ends at `end_us`.
    `busy_s` is the processor time that it took to make.
    """

    scenarios: Counter[str]
    moulds: list[Mould]
    calls: NDArray[np.void]
    talkers: list[Talker]
    until_us: int
    end_us: int
    busy_s: float


class Batcher:
    """Makes batches; knows which moulds the sender has."""

    def __init__(self, client_id: int, *, sip_only: bool) -> None:
        """Begin with a sender that has no moulds."""
        self._client_id = client_id
        self._sip_only = sip_only
        self._numbers: dict[_Kind, int] = {}
        self._new: list[Mould] = []

    def of_schedule(self, schedule: Schedule, stretch_us: int) -> Iterator[Batch]:
        """Make a batch of every stretch of a schedule."""
        until_us = schedule.start_us
        stretches = schedule.stretches(stretch_us)
        while True:
            began = time.thread_time()
            planned = next(stretches, None)
            if planned is None:
                return
            until_us += stretch_us
            yield self._batch(planned, schedule.seed, until_us, began, ipv6=schedule.ipv6)

    def of_calls(self, calls: Iterable[Call]) -> Iterator[Batch]:
        """Make batches of calls in order of their start."""
        rest = iter(calls)
        while some := list(islice(rest, _AT_ONCE)):
            for seed, ipv6 in sorted({(call.seed, call.ipv6) for call in some}):
                began = time.thread_time()
                own = [call for call in some if (call.seed, call.ipv6) == (seed, ipv6)]
                rows = [
                    (call.number, call.key, call.start_us, call.span_us, SCENARIOS.index(call.scenario)) for call in own
                ]
                yield self._batch(np.array(rows, PLANNED), seed, some[0].start_us, began, ipv6=ipv6)

    def _batch(self, planned: Planned, seed: int, until_us: int, began: float, *, ipv6: bool) -> Batch:
        variants = draws_below(planned["key"], Draw.VARIANT, VARIANTS)
        kinds = planned["scenario"].astype(np.int64) * VARIANTS + variants
        present, where = np.unique(kinds, return_inverse=True)
        moulds = np.array([self._mould((seed, *divmod(int(kind), VARIANTS), ipv6)) for kind in present], np.uint32)
        calls = np.zeros(planned.size, SENT_CALL)
        for name in ("key", "start_us", "span_us"):
            calls[name] = planned[name]
        if planned.size:
            calls["mould"] = moulds[where]
        scenarios, counts = np.unique(planned["scenario"], return_counts=True)
        batch = Batch(
            Counter({SCENARIOS[scenario].value: int(count) for scenario, count in zip(scenarios, counts, strict=True)}),
            self._new,
            calls,
            [] if self._sip_only else self._talkers(planned, seed, ipv6=ipv6),
            until_us,
            int((planned["start_us"] + planned["span_us"]).max()) if planned.size else 0,
            time.thread_time() - began,
        )
        self._new = []
        return batch

    def _mould(self, kind: _Kind) -> int:
        number = self._numbers.get(kind)
        if number is None:
            number = self._numbers[kind] = len(self._numbers)
            seed, scenario, variant, ipv6 = kind
            mould = mould_of(seed, SCENARIOS[scenario], variant, ipv6=ipv6)
            self._new.append(mould.frames(VoiceBank.make(seed), self._client_id))
        return number

    def _talkers(self, planned: Planned, seed: int, *, ipv6: bool) -> list[Talker]:
        """Prepare the streams that follow a script."""
        places = [SCENARIOS.index(scenario) for scenario in _SCRIPTED]
        talkers = []
        for number, _, start_us, span_us, scenario in planned[np.isin(planned["scenario"], places)].tolist():
            call = Call(seed, number, SCENARIOS[scenario], start_us, span_us, ipv6)
            bank = VoiceBank.make(seed)
            talkers += [stream.talker(bank, self._client_id) for stream in call.streams() if stream.manner.scripted]
        return talkers
