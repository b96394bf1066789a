"""One question to several nodes at once: what they answered in time, and who did not."""

import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future
from concurrent.futures import TimeoutError as Late
from typing import Final, Generic, NamedTuple, TypeVar

from sipflow.cluster.peer import Peer
from sipflow.errors import ServerUnreachable, StorageError
from sipflow.query.answer import Fault
from sipflow.query.source import Holding

T = TypeVar("T")

Question = Callable[[Holding], T]

# When all is answered that is needed, a tardy node has so many times as long, and this long at least.
_GRACE: Final = 3
_GRACE_S: Final = 0.1


class Member(NamedTuple):
    """A node of the cluster: `peer` is None for this one, whose `holding` is its own history."""

    name: str
    slot: int
    holding: Holding
    peer: Peer | None = None


class Gathered(NamedTuple, Generic[T]):
    """Answers in the order of those who were asked; `faults` name those who gave none."""

    answers: list[tuple[Member, T]]
    faults: list[Fault]


class Enough(NamedTuple, Generic[T]):
    """When the answer is good without tardy nodes: those named have answered, and one of them has something."""

    names: frozenset[str]
    is_something: Callable[[T], bool]

    def reached(self, found: Mapping[str, T]) -> bool:
        """Tell whether it is."""
        return self.names <= found.keys() and any(self.is_something(found[name]) for name in self.names)


def gather(
    members: Sequence[Member],
    question: Callable[[Member], Question[T]],
    limit_s: float,
    enough: Enough[T] | None = None,
) -> Gathered[T]:
    """Ask each member its `question`; others are asked while this node asks itself.

    With `enough` a tardy node is not waited for once that is reached, and named. Raises BadQuery when one of them does.
    """
    return _Gathering(members, question, limit_s).gathered(enough)


class _Gathering(Generic[T]):
    """One question under way."""

    def __init__(self, members: Sequence[Member], question: Callable[[Member], Question[T]], limit_s: float) -> None:
        self._members = members
        self._limit_s = limit_s
        self._begun_s = time.monotonic()
        self._found: dict[str, T] = {}
        self._faults: dict[str, Fault] = {}
        self._asked: list[tuple[Member, Peer, Future[T]]] = []
        for member in members:
            if member.peer is None:
                continue
            fault = member.peer.fault
            if fault:
                self._faults[member.name] = Fault(member.name, f"node {member.name} {fault}")
            else:
                future = member.peer.pool.submit(question(member), member.holding)
                self._asked.append((member, member.peer, future))
        for member in members:
            if member.peer is None:
                try:
                    self._found[member.name] = question(member)(member.holding)
                except StorageError as error:
                    self._faults[member.name] = Fault(member.name, str(error))

    def gathered(self, enough: Enough[T] | None) -> Gathered[T]:
        """Wait, for the tardy last."""
        tardy = {member.name for member, peer, _ in self._asked if enough is not None and peer.is_tardy}
        if enough is not None:
            tardy -= enough.names
        for member, _, future in self._asked:
            if member.name not in tardy:
                self._take(member, future, self._limit_s, f"no answer within {self._limit_s:g} s")
        limit_s, why = self._limit_s, f"no answer within {self._limit_s:g} s"
        if enough is not None and enough.reached(self._found):
            grace_s = max(_GRACE_S, _GRACE * (time.monotonic() - self._begun_s))
            limit_s, why = min(limit_s, grace_s), "answers slowly of late, and was not waited for"
        for member, _, future in self._asked:
            if member.name in tardy:
                self._take(member, future, limit_s, why)
        answers = [(one, self._found[one.name]) for one in self._members if one.name in self._found]
        return Gathered(answers, list(self._faults.values()))

    def _take(self, member: Member, future: Future[T], limit_s: float, late: str) -> None:
        try:
            self._found[member.name] = future.result(max(0.0, self._begun_s + limit_s - time.monotonic()))
        except Late:
            future.cancel()
            self._faults[member.name] = Fault(member.name, f"node {member.name}: {late}")
        except ServerUnreachable as error:
            self._faults[member.name] = Fault(member.name, f"node {member.name}: {error}")
        except StorageError as error:
            self._faults[member.name] = Fault(member.name, f"node {member.name}: {error.hint}")


def placed(member: Member, faults: Sequence[Fault]) -> list[Fault]:
    """Say which node it is that could not read something."""
    return [Fault(f"{member.name}: {one.where}", one.what, one.expired_us) for one in faults]
