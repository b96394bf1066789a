"""Pages of calls: those of all places in order, each call once, where it began."""

import base64
from collections.abc import Callable, Sequence
from functools import partial

import msgspec

from sipflow.errors import BadQuery, StorageError
from sipflow.query.answer import CallPage, CallSummary, Criteria, Fault
from sipflow.query.asking import Asking, line_of, summary
from sipflow.query.descent import Began, Descent, Place
from sipflow.query.live import ALWAYS, Called, LiveCalls
from sipflow.query.parts import NAMED_AT_ONCE, OpenPart, Row
from sipflow.query.window import Window
from sipflow.storage.catalog import Part

_ROWS_MAX = 1000


class Listing:
    """One page of calls in the making."""

    def __init__(self, asking: Asking, criteria: Criteria, live: LiveCalls) -> None:
        """List what fits the criteria; `live` is what was live before the parts are asked. Raises BadQuery."""
        self._asking = asking
        self._criteria = criteria
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
        following = write_cursor(page[-1]) if len(chosen) > limit and page else None
        return CallPage(page, following, list(dict.fromkeys(self._asking.faults)))

    def _choose(self, most: int) -> list[CallSummary]:
        chosen: list[CallSummary] = []
        held: dict[str, CallSummary] = {}
        while len(chosen) < most and (found := self._descent.next()) is not None:
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
            if _has_status(one, self._criteria.status):
                chosen.append(one)
        return chosen

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
        return line_of(row.digest, row.rtp_packets, row.rtp_streams, at.erased_us if row.rtp_packets else None)

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
            rows = self._next()
            own = [_began(row) for row in rows if row.digest.begins]
            going_on = [_began(row) for row in rows if not row.digest.begins]
            if going_on:
                own += self._listing.settle(going_on, self._listing.parts_before(self._part))
            if own:
                return sorted(own, reverse=True)
            self._limit = min(2 * self._limit, _ROWS_MAX)
        return []

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
    return criteria.user is not None or (criteria.after is not None and criteria.window.start_us is not None)


def _fits(call: Called, criteria: Criteria, before: Began | None) -> bool:
    """Tell whether a live call may be listed."""
    window = criteria.window
    if window.start_us is not None and call.last_us < window.start_us:
        return False
    if window.end_us is not None and call.first_us > window.end_us:
        return False
    # In a window nothing but this, its later part, lists a call that began outside.
    if before is not None and call[:2] >= before and (window.start_us is None or call.begins):
        return False
    return criteria.user is None or _matches(criteria.user, call.from_user, call.to_user)


def _matches(pattern: str, *texts: str) -> bool:
    start, *rest = pattern.split("*")
    for text in texts:
        if not rest:
            if text == start:
                return True
            continue
        at = len(start) if text.startswith(start) else -1
        for piece in rest[:-1]:
            at = text.find(piece, at) + len(piece) if at >= 0 and piece in text[at:] else -1
        if at >= 0 and text.endswith(rest[-1]) and len(text) - len(rest[-1]) >= at:
            return True
    return False


def _has_status(call: CallSummary, wanted: str | None) -> bool:
    if wanted is None or wanted == call.state:
        return True
    if call.status is None:
        return False
    return wanted == str(call.status) or (wanted.endswith("xx") and wanted[0] == str(call.status)[0])


def write_cursor(call: CallSummary) -> str:
    """Write down where a page ended."""
    return base64.urlsafe_b64encode(msgspec.json.encode((call.first_us, call.call_id))).decode().rstrip("=")


def read_cursor(text: str | None) -> Began | None:
    """Read where a page ended; None for the first page. Raises BadQuery for what is no cursor of ours."""
    if text is None:
        return None
    try:
        octets = base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))
        return msgspec.json.decode(octets, type=Began)
    except (ValueError, msgspec.MsgspecError):
        raise BadQuery(f"after: found {text!r}; allowed: the `next` of an earlier answer") from None
