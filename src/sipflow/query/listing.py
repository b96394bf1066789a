"""Pages of calls: those of all places in order, each call once, where it began."""

import time
from collections.abc import Callable, Sequence
from functools import partial

from sipflow.errors import StorageError
from sipflow.query.answer import CallPage, CallSummary, Criteria, Fault
from sipflow.query.asking import Asking, line_of, summary
from sipflow.query.cursor import read_cursor, write_cursor
from sipflow.query.descent import Began, Descent, Place
from sipflow.query.listed import Row
from sipflow.query.live import ALWAYS, Called, LiveCalls
from sipflow.query.parts import NAMED_AT_ONCE, OpenPart
from sipflow.query.selection import fits, has_status, matches, may_fit
from sipflow.query.window import Window
from sipflow.storage.catalog import Part

_ROWS_MAX = 1000


class Listing:
    """One page of calls in the making."""

    def __init__(
        self, asking: Asking, criteria: Criteria, live: LiveCalls, says: Callable[[str, Criteria], bool]
    ) -> None:
        """List what fits the criteria; `live` is what was live before the parts are asked. Raises BadQuery.

        `says` tells whether the messages of a call contain what the criteria want of them.
        """
        self._asking = asking
        self._criteria = criteria
        self._says = says
        # Begins with the first place that is looked at, so that every page comes further.
        self._until_s: float | None = None
        # What began earlier was not looked at, for want of time.
        self._stopped: Began | None = None
        self._before = read_cursor(criteria.after)
        self._live = live
        self._listed: dict[str, tuple[Part, Row]] = {}
        self._done: set[str] = set()
        self._every = asking.parts() if criteria.call_id is None else asking.parts_with(criteria.call_id)
        self.parts = [part for part in self._every if _may_list(part, criteria.window, self._before)]
        places = [Place(None, _Live(self, live, criteria, self._before).page)]
        places += [Place(part.t1_us, _Rows(self, part, criteria, self._before).page) for part in self.parts]
        self._descent = Descent(places)

    def page(self) -> CallPage:
        """Take as many calls as a page has, and one to see whether there are more."""
        limit = self._criteria.limit
        chosen = self._choose(limit + 1)
        page = chosen[:limit]
        faults = list(dict.fromkeys(self._asking.faults))
        if len(chosen) > limit:
            return CallPage(page, write_cursor(Began(page[-1].first_us, page[-1].call_id)), faults)
        if self._stopped is None:
            return CallPage(page, None, faults)
        return CallPage(page, write_cursor(self._stopped), faults, self._stopped.first_us)

    def is_late(self, at: Began) -> bool:
        """Tell whether there is no time left to look at what began before `at`: the page then ends there."""
        patience_s = self._criteria.patience_s
        if patience_s is None:
            return False
        if self._until_s is None:
            self._until_s = time.monotonic() + patience_s
            return False
        # A page that ended where it began would have no end.
        if time.monotonic() < self._until_s or (self._before is not None and at >= self._before):
            return False
        self._stopped = at if self._stopped is None else max(at, self._stopped)
        return True

    def _choose(self, most: int) -> list[CallSummary]:
        chosen: list[CallSummary] = []
        held: dict[str, CallSummary] = {}
        while len(chosen) < most and (found := self._descent.next()) is not None:
            if self._stopped is not None and found < self._stopped:
                break
            call_id = found.call_id
            if call_id in self._done:
                continue
            one = held.get(call_id)
            if one is None:
                one = self._summed(call_id)
            if one is None:
                continue
            began = Began(one.first_us, call_id)
            if began < found:
                # A place that holds its later part only: the call is listed where it began.
                if call_id not in held:
                    held[call_id] = one
                    self._descent.put_back(began)
                continue
            self._done.add(call_id)
            if self._before is not None and began >= self._before:
                continue  # on an earlier page
            if self._fits(one):
                chosen.append(one)
            # The next one is looked at on the next page.
            self.is_late(began)
        return chosen

    def _fits(self, call: CallSummary) -> bool:
        criteria = self._criteria
        if not has_status(call, criteria.status) or not fits(call, criteria.terms):
            return False
        return not criteria.texts or self._says(call.call_id, criteria)

    def _summed(self, call_id: str) -> CallSummary | None:
        live_messages = self._live.messages(call_id)
        at, row = self._listed.get(call_id, (None, None))
        if at is not None and row is not None and at.sealed and not live_messages:
            alone = self._alone(call_id, at, row)
            if alone is not None:
                return alone
        try:
            listed = self._asking.whole_call(call_id, live_messages)
        except StorageError as error:
            # A call that cannot be read must not hide the others of its page.
            self._asking.faults.append(Fault("" if at is None else at.path, str(error)))
            return None
        return None if listed is None else summary(listed)

    def _alone(self, call_id: str, at: Part, row: Row) -> CallSummary | None:
        """Sum up a call from the one row of a sealed part; None when more is known of it, or may be, elsewhere."""
        if row.rtp_packets is None or row.rtp_streams is None or self._live.chunks(call_id, ALWAYS):
            return None
        for part in self._asking.parts_with(call_id):
            if part.path != at.path:
                try:
                    if self._asking.ask(part, lambda opened: opened.knows(call_id)):
                        return None
                except StorageError:
                    return None
        return line_of(
            row.digest, row.rtp_packets, row.rtp_streams, at.erased_us if row.rtp_packets else None, row.worst
        )

    def ask(self, part: Part, question: Callable[[OpenPart], list[Row]]) -> list[Row]:
        """Read rows of a part; none when it cannot be read, which is a fault."""
        try:
            rows = self._asking.ask(part, question)
        except StorageError as error:
            fault = self._asking.fault(part, str(error))
            if fault.expired_us is None:  # what has expired is simply no longer listed
                self._asking.faults.append(fault)
            return []
        self._listed.update((row.digest.call_id, (part, row)) for row in rows)
        return rows

    def parts_before(self, place: Part | None) -> list[Part]:
        """List the parts a call of this place may well have begun in: of the same period or the one before it.

        None is the live pool.
        """
        if place is None:
            return [part for part in self._every if not part.sealed]
        start_us = place.start_us
        return [part for part in self._every if part.start_us <= start_us <= part.end_us and part.path != place.path]

    def settle(self, calls: Sequence[Began], parts: Sequence[Part]) -> list[Began]:
        """Put the calls back that one of the parts knows from earlier; gives the others.

        Calls that go on when an hour begins stand first in its part, and those about to end first in the pool, by the
        thousand: summing up each of them only to find that it began earlier would take seconds.
        """
        earlier: dict[str, int] = {}
        for part in parts:
            for at in range(0, len(calls), NAMED_AT_ONCE):
                names = [one.call_id for one in calls[at : at + NAMED_AT_ONCE]]
                try:
                    found = self._asking.ask(part, partial(OpenPart.began, call_ids=names))
                except StorageError:
                    break  # whoever sums such a call up says so
                for first_us, call_id in found:
                    earlier[call_id] = min(first_us, earlier.get(call_id, first_us))
        own = []
        for one in calls:
            began = Began(earlier.get(one.call_id, one.first_us), one.call_id)
            if began < one:
                self._descent.put_back(began)
            else:
                own.append(one)
        return own


class _Live:
    """The live calls as a place that lists calls."""

    def __init__(self, listing: Listing, live: LiveCalls, criteria: Criteria, before: Began | None) -> None:
        self._listing = listing
        self._live = live
        self._criteria = criteria
        self._before = before
        # Everything from here on, or earlier; in a window a call may be listed though it goes on behind the cursor.
        end_us, start_us = criteria.window.end_us, criteria.window.start_us
        bounds = [] if end_us is None else [Began(end_us + 1, "")]
        bounds += [] if before is None or start_us is not None else [before]
        self._after = min(bounds, default=None)
        self._ended = False

    def page(self, _after: Began | None) -> list[Began]:
        """Give the next calls that began here."""
        while not self._ended:
            some = [Began(*one[:2]) for one in self._next() if _fits(one, self._criteria, self._before)]
            own = self._listing.settle(some, self._listing.parts_before(None)) if some else []
            if own:
                return own
        return []

    def _next(self) -> list[Called]:
        if self._criteria.call_id is not None:
            self._ended = True
            found = self._live.find(self._criteria.call_id)
            return [] if found is None else [found]
        some = self._live.newest(self._after, NAMED_AT_ONCE)
        self._ended = len(some) < NAMED_AT_ONCE
        self._after = Began(*some[-1][:2]) if some else self._after
        return some


class _Rows:
    """A part as a place that lists calls."""

    def __init__(self, listing: Listing, part: Part, criteria: Criteria, before: Began | None) -> None:
        self._listing = listing
        self._part = part
        self._criteria = criteria
        self._after = before
        self._limit = criteria.limit + 1
        # In a window a part may know the end of a call that the cursor has not reached yet.
        self._continued = before is not None and criteria.window.start_us is not None
        self._ended = False

    def page(self, _after: Began | None) -> list[Began]:
        """Give the next calls that began here, as far as the parts before tell."""
        while not self._ended:
            reached = self._reached()
            if reached is not None and self._listing.is_late(reached):
                return []
            rows = self._next()
            own = [_began(row) for row in rows if row.digest.begins]
            going_on = [_began(row) for row in rows if not row.digest.begins]
            if going_on:
                own += self._listing.settle(going_on, self._listing.parts_before(self._part))
            if own:
                return sorted(own, reverse=True)
            self._limit = min(2 * self._limit, _ROWS_MAX)
        return []

    def _reached(self) -> Began | None:
        """Tell what the newest call may be that was not looked at yet."""
        newest = None if self._part.t1_us is None else Began(self._part.t1_us + 1, "")
        return min((one for one in (self._after, newest) if one is not None), default=None)

    def _next(self) -> list[Row]:
        after, limit, criteria = self._after, self._limit, self._criteria
        if self._continued and after is not None:
            self._continued = False
            rows = self._listing.ask(self._part, lambda opened: opened.continued(criteria, after))
            if rows:
                return rows
        rows = self._listing.ask(self._part, lambda opened: opened.newest(criteria, after, limit))
        self._ended = len(rows) < limit
        self._after = _began(rows[-1]) if rows else after
        return rows


def _began(row: Row) -> Began:
    return Began(row.digest.first_us, row.digest.call_id)


def _may_list(part: Part, window: Window, before: Began | None) -> bool:
    """Tell whether a part can hold calls of a window that began before a certain one; one without times can."""
    if part.t0_us is None or part.t1_us is None:
        return True
    return (
        (window.start_us is None or part.t1_us >= window.start_us)
        and (window.end_us is None or part.t0_us <= window.end_us)
        # In a window it may know the end of a call that began earlier, in a part outside.
        and (before is None or part.t0_us <= before.first_us or window.start_us is not None)
    )


def asks_heads(criteria: Criteria) -> bool:
    """Tell whether `_fits` needs to know what the heads of live messages say."""
    if criteria.user is not None or any(term.field in ("any", "user", "from", "to") for term in criteria.terms):
        return True
    return criteria.after is not None and criteria.window.start_us is not None


def _fits(call: Called, criteria: Criteria, before: Began | None) -> bool:
    """Tell whether a live call may be listed."""
    if criteria.asks_quality:
        return False
    window = criteria.window
    if window.start_us is not None and call.last_us < window.start_us:
        return False
    if window.end_us is not None and call.first_us > window.end_us:
        return False
    # In a window nothing but this, its later part, lists a call that began outside.
    if before is not None and call[:2] >= before and (window.start_us is None or call.begins):
        return False
    if criteria.user is not None and not any(matches(criteria.user, user) for user in (call.from_user, call.to_user)):
        return False
    return may_fit(call.call_id, call.from_user, call.to_user, criteria.terms)
