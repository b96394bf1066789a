"""The cluster as one source of answers: every node is asked, and what they know is put together."""

from collections.abc import Callable, Sequence
from typing import Final, NamedTuple, TypeVar

from sipflow.cluster.fetched import Fetched
from sipflow.cluster.gathering import Enough, Gathered, Member, Question, gather, placed
from sipflow.cluster.media_union import union_of_media
from sipflow.cluster.page_of_all import STEP_S, PageOfAll
from sipflow.cluster.peer import LONG, Peer, PeerHealth
from sipflow.cluster.unchanged import Unchanged, are_the_very_same
from sipflow.cluster.union import union_of_flows, union_of_listed
from sipflow.config import Settings
from sipflow.errors import CallUnknown, StorageError
from sipflow.node import Node
from sipflow.placement import Placement
from sipflow.query.answer import CallPage, CallSummary, Criteria, Flow, MediaParts, together
from sipflow.query.asking import summary
from sipflow.query.census import Statistics, Tallied, statistics_of
from sipflow.query.counting import GroupKey
from sipflow.query.expiry import expired, have_expired
from sipflow.query.listed import Known
from sipflow.query.registrations import USERS_MAX, Enrolled, Registrations
from sipflow.query.registrations import together as listed_together
from sipflow.query.share import Share
from sipflow.query.source import Holding
from sipflow.query.window import Window

T = TypeVar("T")

MILLISECONDS: Final = 1000
_ALWAYS = Window()


def _has_messages(flow: Flow) -> bool:
    return bool(flow.messages)


def _has_media(parts: MediaParts) -> bool:
    return bool(parts.chunks)


def _knows(known: Known) -> bool:
    return bool(known.calls)


class Roll(NamedTuple):
    """The nodes as they are listed, those of them that are there, and where they keep calls."""

    nodes: tuple[Node | None, ...]
    members: list[Member]
    placement: Placement

    @property
    def peers(self) -> list[Peer]:
        """Give those that are other nodes."""
        return [member.peer for member in self.members if member.peer is not None]


class Cluster:
    """Answers from all nodes. Safe to ask from several threads, which are answered side by side.

    A node that is silent is a fault in every answer, never a reason for none: what it holds is missing, and named.
    Whatever a node answers about itself only goes out by its `Holding`, so a node that is asked by a node asks nobody.
    """

    def __init__(self, settings: Settings, own: Holding | None) -> None:
        """Know the nodes of the settings; `own` is this node's history, None for one that stores nothing.

        Nobody is asked yet, and nobody watched before `start`.
        """
        self._settings = settings
        self._own = own
        self._limit_s = settings.peer_timeout_ms / MILLISECONDS
        self._fetched = Fetched()
        self._flows: Unchanged[list[Flow], Flow] = Unchanged()
        self._media: Unchanged[list[MediaParts], MediaParts] = Unchanged()
        self.name = settings.node
        self._roll = self._enrol(settings.nodes, {})

    def _enrol(self, nodes: Sequence[Node | None], known: dict[Node, Peer]) -> Roll:
        """Find who is asked for what: those known already, and new ones."""
        settings = self._settings
        members: list[Member] = []
        for slot, node in enumerate(nodes):
            if node is None:
                continue
            if node.name == settings.node and self._own is not None:
                members.append(Member(node.name, slot, self._own))
            else:
                peer = known.get(node) or Peer(
                    node, settings.token, self._limit_s, self._fetched, printed=settings.replicas > 1
                )
                members.append(Member(node.name, slot, peer, peer))
        names = [None if node is None else node.name for node in nodes]
        return Roll(tuple(nodes), members, Placement(names, settings.replicas))

    def start(self) -> None:
        """Begin to watch the other nodes."""
        for peer in self._roll.peers:
            peer.start()

    def renew(self, nodes: Sequence[Node | None]) -> None:
        """Take another list of nodes; a question that is under way ends with the list it began with.

        One thread at a time.
        """
        known = {peer.node: peer for peer in self._roll.peers}
        roll = self._enrol(nodes, known)
        for peer in roll.peers:
            if peer.node not in known:
                peer.start()
        self._roll = roll
        for peer in known.values():
            if peer not in roll.peers:
                peer.leave()

    def close(self) -> None:
        """Stop watching, and let go of all connections."""
        for peer in self._roll.peers:
            peer.close()

    def health(self) -> list[PeerHealth]:
        """Tell how the other nodes are, in the order of their slots."""
        return [peer.health() for peer in self._roll.peers]

    @property
    def nodes(self) -> tuple[Node | None, ...]:
        """Give the nodes by slot."""
        return self._roll.nodes

    @property
    def names(self) -> list[str]:
        """Name the nodes by slot, an empty slot by a dash."""
        return [name or "-" for name in self._roll.placement.slots]

    def owners(self, call_id: str) -> tuple[str, ...]:
        """Name the nodes that keep a call, the first owner first."""
        return self._roll.placement.owners(call_id)

    # ---- one call ----

    def flow(self, call_id: str, window: Window = _ALWAYS) -> Flow:
        """Give the SIP messages of a call, by capture time; none when it is unknown."""
        found = self._of_call(call_id, lambda holding: holding.flow(call_id, window), _has_messages)

        def union() -> Flow:
            flows = [Flow(call_id, flow.messages, placed(member, flow.faults)) for member, flow in found.answers]
            return union_of_flows(call_id, [*flows, Flow(call_id, [], found.faults)])

        answers = [flow for _, flow in found.answers]
        if found.faults:
            return union()
        return self._flows.of((call_id, window), answers, union, are_the_very_same)

    def media(self, call_id: str, window: Window = _ALWAYS) -> MediaParts:
        """Give the media of a call, chunk by chunk; none when it has none. Other nodes' chunks stay there."""
        found = self._of_call(call_id, lambda holding: holding.media(call_id, window), _has_media, LONG)

        def union() -> MediaParts:
            parts = [
                (member.name, MediaParts(call_id, parts.chunks, placed(member, parts.faults)))
                for member, parts in found.answers
            ]
            return union_of_media(call_id, [*parts, ("", MediaParts(call_id, [], found.faults))])

        answers = [parts for _, parts in found.answers]
        if found.faults:
            return union()
        return self._media.of((call_id, window), answers, union, are_the_very_same)

    def call(self, call_id: str) -> CallSummary:
        """Sum a call up. Raises CallUnknown, Expired when all of it was deleted, StorageError."""
        found = self._of_call(call_id, lambda holding: holding.known([call_id]), _knows)
        listed = [one for _, known in found.answers for one in known.calls]
        if listed:
            return summary(union_of_listed(listed))
        faults = together(found.faults, self.flow(call_id).faults)
        if have_expired(faults):
            raise expired(faults)
        if faults:
            raise StorageError("ask", "the cluster", "; ".join(dict.fromkeys(one.what for one in faults)))
        raise CallUnknown(call_id)

    def _of_call(
        self, call_id: str, question: Question[T], is_something: Callable[[T], bool], patience: float = 1.0
    ) -> Gathered[T]:
        """Ask all, at once; the answers of the owners come first, then that of the first slot, then the rest.

        The first slot is where RustPBX 0.5 senders put all SIP. The rest may hold what came before the list of nodes
        was changed: what is tardy of it is not waited for when the others have something, and named.
        """
        roll = self._roll
        owners = roll.placement.owner_slots(call_id)
        rank = {slot: number for number, slot in enumerate(dict.fromkeys((*owners, 0)))}
        members = sorted(roll.members, key=lambda member: (rank.get(member.slot, len(rank)), member.slot))
        enough = Enough(frozenset(one.name for one in members if one.slot in rank), is_something)
        return gather(members, lambda _: question, patience * self._limit_s, enough)

    # ---- many calls ----

    def calls(self, criteria: Criteria) -> CallPage:
        """List calls, newest first; a call is listed once, where it began. Raises BadQuery, StorageError.

        What a search says of a call must hold on one node and for the whole: a call that a change of the list of nodes
        parted while it lasted may not be found by what only both parts say together.
        """
        extra_s = STEP_S if criteria.patience_s is None else criteria.patience_s

        def pages(members: Sequence[Member], question: Callable[[Member], Question[CallPage]]) -> Gathered[CallPage]:
            return gather(members, question, self._limit_s + extra_s)

        return PageOfAll(self._roll.members, criteria, pages, self._gather).page()

    def statistics(self, window: Window, only: GroupKey | None = None) -> Statistics:
        """Count the calls that began in a window, all or those of one group, by outcome. Raises StorageError."""
        roll = self._roll
        share = self._shares(roll)

        def question(member: Member) -> Question[Tallied]:
            return lambda holding: holding.count(window, share(member), only)

        found = self._needed(self._gather(roll.members, question, LONG))
        faults = together(*(placed(member, one.faults) for member, one in found.answers), found.faults)
        return statistics_of([one for _, one in found.answers], window, faults, only)

    def registrations(self, window: Window, user: str | None = None, limit: int = USERS_MAX) -> Registrations:
        """List the users that registered, or tried to, the latest first; contacts of each. Raises StorageError."""
        most = min(limit, USERS_MAX)
        roll = self._roll
        share = self._shares(roll)

        def question(member: Member) -> Question[Enrolled]:
            return lambda holding: holding.enrolled(window, user, most, share(member))

        found = self._needed(self._gather(roll.members, question, LONG))
        enrolled = [Enrolled(one.users, placed(member, one.faults), one.counting) for member, one in found.answers]
        return listed_together([*enrolled, Enrolled([], found.faults)], most)

    @property
    def share(self) -> Share | None:
        """Give what this node counts, None for all that it has."""
        roll = self._roll
        return next((self._shares(roll)(one) for one in roll.members if one.peer is None), None)

    @staticmethod
    def _shares(roll: Roll) -> Callable[[Member], Share | None]:
        """Tell each node which calls to count where senders keep copies: the next owner stands in for a silent one."""
        placement = roll.placement
        if placement.replicas == 1:
            return lambda _: None
        answering = tuple(one.name for one in roll.members if one.peer is None or not one.peer.fault)
        return lambda member: Share(placement.slots, placement.replicas, member.name, answering)

    def _gather(
        self, members: Sequence[Member], question: Callable[[Member], Question[T]], patience: float = 1.0
    ) -> Gathered[T]:
        return gather(members, question, patience * self._limit_s)

    @staticmethod
    def _needed(found: Gathered[T]) -> Gathered[T]:
        if not found.answers:
            raise StorageError("ask", "the cluster", "; ".join(fault.what for fault in found.faults))
        return found
