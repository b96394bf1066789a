"""Planned calls made ready for the senders, many at a time."""

import time
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import islice

import numpy as np
from numpy.typing import NDArray

from sipflow._fast import Mould
from sipflow.load.bank import VoiceBank
from sipflow.load.call import Call
from sipflow.load.course import VARIANTS, mould_of
from sipflow.load.draw import Draw, draws_below
from sipflow.load.framing import Framing
from sipflow.load.route import Route
from sipflow.load.scenario import SCENARIOS, Scenario
from sipflow.load.schedule import PLANNED, Planned, Schedule
from sipflow.load.style import Style

# struct sf_planned (sender.h)
SENT_CALL = np.dtype([("key", "<u8"), ("start_us", "<u8"), ("span_us", "<u8"), ("mould", "<u4"), ("lines", "<u4")])

_AT_ONCE = 500  # calls of a list that are made ready together
_REFUSED = SCENARIOS.index(Scenario.REFUSED)

SentCalls = NDArray[np.void]
_Kind = tuple[int, Style, int, int, int]  # seed, style, place in SCENARIOS, status, variant


@dataclass(frozen=True)
class Batch:
    """Calls for the senders: `moulds` they must all be given first, in this order, then each its `parts` (SENT_CALL).

    All calls that begin before `until_us` have been in this batch or an earlier one; the first of all begins at
    `origin_us`, the last of these ends at `end_us`. `busy_s` is the processor time that it took to make.
    """

    scenarios: Counter[str]
    moulds: list[Mould]
    parts: list[SentCalls]
    origin_us: int
    until_us: int
    end_us: int
    busy_s: float


class Batcher:
    """Makes batches; knows which moulds the senders have."""

    def __init__(self, route: Route, client_id: int, *, clients: int = 1, framing: Framing = Framing.SF) -> None:
        """Begin with senders that have no moulds."""
        self._route = route
        self._client_id = client_id
        self._clients = clients
        self._framing = framing
        self._numbers: dict[_Kind, int] = {}
        self._moulds: list[Mould] = []
        self._new: list[Mould] = []
        self._origin_us = 0

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
            yield self._batch(planned, schedule.seed, schedule.style, until_us, began)

    def of_calls(self, calls: Iterable[Call]) -> Iterator[Batch]:
        """Make batches of calls in order of their start."""
        rest = iter(calls)
        while some := list(islice(rest, _AT_ONCE)):
            for seed, style in dict.fromkeys((call.seed, call.style) for call in some):
                began = time.thread_time()
                own = [call for call in some if (call.seed, call.style) == (seed, style)]
                rows = [
                    (call.number, call.key, call.start_us, call.span_us, SCENARIOS.index(call.scenario)) for call in own
                ]
                yield self._batch(np.array(rows, PLANNED), seed, style, some[0].start_us, began)

    def _batch(self, planned: Planned, seed: int, style: Style, until_us: int, began: float) -> Batch:
        variants = draws_below(planned["key"], Draw.VARIANT, VARIANTS)
        drawn = draws_below(planned["key"], Draw.STATUS, 1 << 32)
        statuses = np.minimum(np.searchsorted(style.limits, drawn, side="right"), len(style.refusals) - 1)
        statuses = np.where(planned["scenario"] == _REFUSED, statuses, 0)
        kinds = (planned["scenario"].astype(np.int64) * len(style.refusals) + statuses) * VARIANTS + variants
        present, where = np.unique(kinds, return_inverse=True)
        moulds = np.array([self._mould(seed, style, int(kind)) for kind in present], np.uint32)
        calls = np.zeros(planned.size, SENT_CALL)
        for name in ("key", "start_us", "span_us"):
            calls[name] = planned[name]
        if planned.size:
            calls["mould"] = moulds[where]
            self._origin_us = self._origin_us or int(planned["start_us"].min())
        scenarios, counts = np.unique(planned["scenario"], return_counts=True)
        batch = Batch(
            Counter({SCENARIOS[scenario].value: int(count) for scenario, count in zip(scenarios, counts, strict=True)}),
            self._new,
            self._route.divide(calls, planned["number"], self._moulds),
            self._origin_us,
            until_us,
            int((planned["start_us"] + planned["span_us"]).max()) if planned.size else 0,
            time.thread_time() - began,
        )
        self._new = []
        return batch

    def _mould(self, seed: int, style: Style, kind: int) -> int:
        outcome, variant = divmod(kind, VARIANTS)
        scenario, place = divmod(outcome, len(style.refusals))
        status = style.refusals[place][0] if scenario == _REFUSED else 0
        known = (seed, style, scenario, status, variant)
        number = self._numbers.get(known)
        if number is None:
            number = self._numbers[known] = len(self._numbers)
            mould = mould_of(seed, SCENARIOS[scenario], variant, style, status)
            bank = VoiceBank.make(seed, style.codings)
            frames = mould.frames(bank, self._client_id, clients=self._clients, framing=self._framing)
            self._moulds.append(frames)
            self._new.append(frames)
        return number
