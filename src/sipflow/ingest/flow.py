"""The packets from one peer to another, and which call owns them at what time (the rule stands in dialogs)."""

from bisect import bisect_right
from collections.abc import Iterator
from heapq import heappop, heappush
from itertools import groupby

from sipflow.ingest.call import LATE_US, Call, Owner
from sipflow.ingest.datagram import Peer


class Flow:
    """The calls that may own the packets from one peer to another.

    Between two of `edges` the set of calls going on and the order of their announcements do not change: `running`
    holds the best of them for each span, None where there is none. Many calls may follow each other on two ports.
    """

    def __init__(self, src: Peer, dst: Peer, calls: list[Call]) -> None:
        self.src, self.dst = src, dst
        self.edges: list[int] = []
        self.running: list[Owner | None] = [None]
        self._sweep([_Candidate(number, call, src, dst) for number, call in enumerate(calls)])
        strongest = max(call.strength(src, dst) for call in calls)
        nearest = [call for call in calls if call.strength(src, dst) == strongest]
        self.by_first = sorted(nearest, key=lambda call: call.first_us)
        self.by_last = sorted(nearest, key=lambda call: call.last_us)

    def owner(self, time_us: int) -> Owner | None:
        """Find the owner of a packet of that time; None when no call is near enough."""
        running = self.running[bisect_right(self.edges, time_us)]
        if running is not None:
            return running
        nearest = self._nearest(time_us)
        both = self.src in nearest.claims and self.dst in nearest.claims
        return nearest.owner(self.src, self.dst) if both or nearest.distance(time_us) <= LATE_US else None

    def _nearest(self, time_us: int) -> Call:
        after = bisect_right(self.by_first, time_us, key=lambda call: call.first_us)
        before = bisect_right(self.by_last, time_us, key=lambda call: call.last_us)
        close = self.by_first[max(after - 1, 0) : after + 1] + self.by_last[max(before - 1, 0) : before]
        return min(close, key=lambda call: call.distance(time_us))

    def _sweep(self, candidates: list["_Candidate"]) -> None:
        """Go through all edges in order of time with the calls going on in a heap, the best on top."""
        events = sorted((event for candidate in candidates for event in candidate.events()), key=lambda event: event[0])
        heap: list[tuple[_Rank, _Candidate]] = []
        for time_us, edge in groupby(events, key=lambda event: event[0]):
            for _, candidate in edge:
                rank = candidate.rank_at(time_us)
                if rank is not None:
                    heappush(heap, (rank, candidate))
            # A rank that was left behind, by a newer announcement or by the end of the call, goes when it comes up.
            while heap and heap[0][0] != heap[0][1].rank:
                heappop(heap)
            best = heap[0][1].call.owner(self.src, self.dst) if heap else None
            if time_us == _EVER:
                self.running[0] = best
            else:
                self.edges.append(time_us)
                self.running.append(best)


# Smaller is better: strength, whether announced by then, when, and the call seen first; turned round for the heap.
_Rank = tuple[int, bool, int, int]
_EVER = -(1 << 63)


class _Candidate:
    """A call on its way through the sweep; `rank` is None while it does not go on."""

    def __init__(self, number: int, call: Call, src: Peer, dst: Peer) -> None:
        self.number, self.call = number, call
        self.strength = call.strength(src, dst)
        self.times = sorted({claim.time_us for peer in (src, dst) for claim in call.claims.get(peer, ())})
        self.rank: _Rank | None = None

    def events(self) -> Iterator[tuple[int, "_Candidate"]]:
        """List the times at which its rank changes."""
        yield (_EVER if self.call.from_ever else self.call.first_us), self
        yield from ((time, self) for time in self.times)
        if self.call.over_us is not None:
            yield self.call.over_us + LATE_US + 1, self

    def rank_at(self, time_us: int) -> _Rank | None:
        """Move on to a time and give the rank from there on."""
        if not self.call.going_on(time_us):
            self.rank = None
        elif known := bisect_right(self.times, time_us):
            self.rank = (-self.strength, False, -self.times[known - 1], self.number)
        else:
            self.rank = (-self.strength, True, self.times[0], self.number)
        return self.rank
