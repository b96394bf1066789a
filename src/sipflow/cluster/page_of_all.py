"""A page of the calls of all nodes: merged in order, each call once, where it began, with all that is known of it."""

from collections import defaultdict, deque
from collections.abc import Callable, Iterable, Sequence

import msgspec

from sipflow.cluster.gathering import Gathered, Member, Question, placed
from sipflow.cluster.union import union_of_listed
from sipflow.errors import StorageError
from sipflow.query.answer import CallPage, CallSummary, Criteria, Fault
from sipflow.query.asking import summary
from sipflow.query.cursor import read_cursor, write_cursor
from sipflow.query.descent import Began
from sipflow.query.listed import Known, Listed
from sipflow.query.selection import fits, has_status, matches
from sipflow.query.source import Holding

# How long nodes look for calls that fit before they say how far they came; whoever has no patience asks again.
STEP_S = 1.0

AskPages = Callable[[Sequence[Member], Callable[[Member], Question[CallPage]]], Gathered[CallPage]]
AskKnown = Callable[[Sequence[Member], Callable[[Member], Question[Known]]], Gathered[Known]]


class _Node:
    """What a node has listed and nobody has taken yet."""

    def __init__(self, member: Member, after: str | None) -> None:
        self.member = member
        self.after = after
        self.listed: deque[CallSummary] = deque()
        self.ended = False
        # Where it gave up for want of time: what began before was not looked at there.
        self.stopped: Began | None = None

    def take(self, page: CallPage, patient: bool) -> None:
        self.listed.extend(page.calls)
        self.after = page.next
        self.ended = page.next is None
        if page.stopped_us is not None and not patient:
            self.stopped, self.ended = read_cursor(page.next), True

    @property
    def next(self) -> Began | None:
        return _began(self.listed[0]) if self.listed else None


class PageOfAll:
    """One page in the making. One thread."""

    def __init__(self, members: Sequence[Member], criteria: Criteria, ask: AskPages, ask_known: AskKnown) -> None:
        """List what fits the criteria. Raises BadQuery for a cursor that is none of ours."""
        self._criteria = criteria
        self._before = read_cursor(criteria.after)
        self._patient = criteria.patience_s is None
        self._asked = msgspec.structs.replace(
            criteria, limit=criteria.limit + 1, patience_s=STEP_S if self._patient else criteria.patience_s
        )
        self._ask, self._ask_known = ask, ask_known
        self._nodes = {member.name: _Node(member, criteria.after) for member in members}
        self._members = list(members)
        # Calls of which all is known that any node knows, the newest last; and all that were ever taken.
        self._summed: list[CallSummary] = []
        self._seen: set[str] = set()
        self._faults: list[Fault] = []
        # Who gave no answer is not waited for again on this page.
        self._silent: set[str] = set()
        self._answered = False

    def page(self) -> CallPage:
        """Take as many calls as a page has, and one to see whether there are more. Raises StorageError, BadQuery."""
        limit = self._criteria.limit
        chosen: list[CallSummary] = []
        while len(chosen) <= limit:
            self._fetch()
            heads = [node.next for node in self._nodes.values() if node.next is not None]
            newest = _began(self._summed[-1]) if self._summed else None
            best = max([*heads, *([] if newest is None else [newest])], default=None)
            if best is None or (self._stopped is not None and best < self._stopped):
                break
            if best == newest:
                # Whatever is still to be listed began earlier.
                chosen.append(self._summed.pop())
            else:
                self._sum_up(self._take(limit + 1))
        faults = list(dict.fromkeys(self._faults))
        if not self._answered:
            raise StorageError("ask", "the cluster", "; ".join(fault.what for fault in faults))
        page = chosen[:limit]
        if len(chosen) > limit:
            return CallPage(page, write_cursor(_began(page[-1])), faults)
        stopped = self._stopped
        if stopped is None:
            return CallPage(page, None, faults)
        return CallPage(page, write_cursor(stopped), faults, stopped.first_us)

    @property
    def _stopped(self) -> Began | None:
        return max((node.stopped for node in self._nodes.values() if node.stopped is not None), default=None)

    def _fetch(self) -> None:
        """Have something listed by each node that has more."""
        while due := [node for node in self._nodes.values() if not node.listed and not node.ended]:
            afters = {node.member.name: node.after for node in due}

            def question(member: Member, afters: dict[str, str | None] = afters) -> Question[CallPage]:
                criteria = msgspec.structs.replace(self._asked, after=afters[member.name])
                return lambda holding: holding.calls(criteria)

            found = self._ask([node.member for node in due], question)
            self._faults += found.faults
            for node in due:
                node.ended = True
            self._silent |= {node.member.name for node in due} - {member.name for member, _ in found.answers}
            for member, page in found.answers:
                self._answered = True
                self._faults += placed(member, page.faults)
                self._nodes[member.name].take(page, self._patient)

    def _take(self, most: int) -> dict[str, tuple[CallSummary, set[str]]]:
        """Take the next calls that nodes list, each with those that do; not beyond what each has listed."""
        taken: dict[str, tuple[CallSummary, set[str]]] = {}
        while len(taken) < most and not any(not node.listed and not node.ended for node in self._nodes.values()):
            head = max(((node.next, name) for name, node in self._nodes.items() if node.next), default=None)
            if head is None:
                break
            name = head[1]
            call = self._nodes[name].listed.popleft()
            if call.call_id in taken:
                taken[call.call_id][1].add(name)
            elif call.call_id not in self._seen:
                taken[call.call_id] = call, {name}
        return taken

    def _sum_up(self, taken: dict[str, tuple[CallSummary, set[str]]]) -> None:
        """Put calls together from all nodes that know them, and keep those that fit in the order of their beginning."""
        listed = {call_id: names for call_id, (_, names) in taken.items()}
        known: dict[str, dict[str, Listed]] = defaultdict(dict)
        self._learn(known, {name: [one for one in taken if name not in listed[one]] for name in self._nodes})
        several = {one for one in taken if known[one] or len(listed[one]) > 1}
        self._learn(known, {name: [one for one in several if name in listed[one]] for name in self._nodes})
        for call_id, (call, _) in taken.items():
            nodes = known[call_id]
            one = summary(union_of_listed([nodes[m.name] for m in self._members if m.name in nodes])) if nodes else call
            if (self._before is None or _began(one) < self._before) and (one is call or self._fits(one)):
                self._summed.append(one)
        self._seen.update(taken)
        self._summed.sort(key=_began)

    def _learn(self, known: dict[str, dict[str, Listed]], wanted: dict[str, list[str]]) -> None:
        def question(member: Member) -> Question[Known]:
            call_ids = wanted[member.name]
            return lambda holding: _known(holding, call_ids)

        asked = [member for member in self._members if wanted[member.name] and member.name not in self._silent]
        found = self._ask_known(asked, question)
        self._faults += found.faults
        self._silent |= {member.name for member in asked} - {member.name for member, _ in found.answers}
        for member, answer in found.answers:
            self._faults += placed(member, answer.faults)
            for listed in answer.calls:
                known[listed.digest.call_id][member.name] = listed

    def _fits(self, call: CallSummary) -> bool:
        """Tell whether a call fits that a node knew only in part; texts were looked for there."""
        criteria = self._criteria
        users = (call.from_user, call.to_user)
        if criteria.user is not None and not any(matches(criteria.user, user) for user in users):
            return False
        if criteria.mos_below is not None and (call.mos is None or call.mos >= criteria.mos_below):
            return False
        if criteria.loss_above is not None and (call.loss_percent is None or call.loss_percent <= criteria.loss_above):
            return False
        return has_status(call, criteria.status) and fits(call, criteria.terms)


def _known(holding: Holding, call_ids: Iterable[str]) -> Known:
    return holding.known(list(call_ids))


def _began(call: CallSummary) -> Began:
    return Began(call.first_us, call.call_id)
