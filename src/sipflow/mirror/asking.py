"""Questions about captured calls: to the data root that a capture writes, or to the nodes it sends to."""

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from pathlib import Path
from typing import NamedTuple, Protocol, TypedDict, TypeVar, Unpack

from sipflow.client import SipflowClient
from sipflow.cluster.cluster import MILLISECONDS, Cluster
from sipflow.cluster.union import union_of_flows
from sipflow.config import Settings
from sipflow.errors import ConfigError, QueryError, ServerUnreachable, SipflowError
from sipflow.mirror.heard import Heard
from sipflow.mirror.told import ToldCall, ToldStreams, told_call, told_streams
from sipflow.node import Node, NodeList
from sipflow.origin import LocalOrigin, Origin
from sipflow.query.answer import CallPage, CallSummary, Fault, Flow, together
from sipflow.query.cursor import write_cursor
from sipflow.query.descent import Began
from sipflow.query.history import History
from sipflow.query.question import parse_criteria
from sipflow.query.wanted import Wanted
from sipflow.query.window import Window

T = TypeVar("T")


class Asked(TypedDict):
    """What a list of calls is narrowed by, as query.question reads it."""

    user: str | None
    status: str | None
    limit: int
    after: str | None


class Answers(Protocol):
    """What can be asked; every method raises CallUnknown for a call nobody knows."""

    def flow(self, call_id: str) -> Flow:
        """Give the messages of a call."""
        ...

    def media(self, call_id: str) -> ToldStreams:
        """Measure the streams of a call."""
        ...

    def call(self, call_id: str) -> ToldCall:
        """Sum a call up."""
        ...

    def wav(self, call_id: str) -> Iterator[bytes]:
        """Give the sound of a call in parts."""
        ...

    def calls(self, window: Window | None, **asked: Unpack[Asked]) -> CallPage:
        """List calls, newest first."""
        ...


class LocalAnswers:
    """Asks the data root; opened for each question, because what may be read changes while it is written."""

    def __init__(self, root: Path) -> None:
        self._root = root

    def flow(self, call_id: str) -> Flow:
        """Give the messages of a call. Raises CallUnknown, StorageError."""
        return self._ask(lambda origin: origin.flow(call_id))

    def media(self, call_id: str) -> ToldStreams:
        """Measure the streams of a call. Raises CallUnknown, StorageError."""
        return self._ask(lambda origin: _report(origin, call_id))

    def call(self, call_id: str) -> ToldCall:
        """Sum a call up. Raises CallUnknown, StorageError."""
        return self._ask(lambda origin: told_call(origin.call(call_id), []))

    def wav(self, call_id: str) -> Iterator[bytes]:
        """Give the sound of a call in parts. Raises CallUnknown, NothingToPlay."""
        with closing(LocalOrigin(History.open(self._root))) as origin:
            yield from origin.audio(call_id, "wav", Wanted())

    def calls(self, window: Window | None, **asked: Unpack[Asked]) -> CallPage:
        """List calls, newest first. Raises BadQuery, StorageError."""
        criteria = parse_criteria(window=window or Window(), **asked)
        return self._ask(lambda origin: origin.calls(criteria))

    def _ask(self, question: Callable[[Origin], T]) -> T:
        with closing(LocalOrigin(History.open(self._root))) as origin:
            return question(origin)


class Knower(NamedTuple):
    """Who knows most of a call, what it says of the call, and what is missing there."""

    origin: Origin
    summary: CallSummary
    faults: list[Fault]


class RemoteAnswers:
    """Asks the nodes of a cluster about a call: its owners and the first slot, where RustPBX keeps SIP; then the rest.

    Nodes that know each other answer alike, and for nodes that this list does not have. What others know in part is put
    together here. A node that is silent is passed over, and named in the answer, or when nobody else knows the call.
    """

    def __init__(self, cluster: NodeList, timeout_secs: float, token: str | None) -> None:
        self._cluster = cluster
        self._timeout_secs = timeout_secs
        self._token = token

    def flow(self, call_id: str) -> Flow:
        """Give the messages of a call. Raises CallUnknown, ServerUnreachable, QueryError."""
        heard = self._of_call(call_id, lambda origin: origin.flow(call_id))
        flows = [flow for _, flow in heard.answers]
        return union_of_flows(call_id, [*flows, Flow(call_id, [], heard.faults)])

    def media(self, call_id: str) -> ToldStreams:
        """Measure the streams of a call. Raises CallUnknown, ServerUnreachable, QueryError."""
        with self._knowing(call_id) as knower:
            report, faults = knower.origin.streams(call_id)
            return told_streams(report, together(faults, knower.faults))

    def call(self, call_id: str) -> ToldCall:
        """Sum a call up. Raises CallUnknown, ServerUnreachable, QueryError."""
        with self._knowing(call_id) as knower:
            return told_call(knower.summary, knower.faults)

    def wav(self, call_id: str) -> Iterator[bytes]:
        """Give the sound of a call. Raises CallUnknown, NothingToPlay, ServerUnreachable, QueryError."""
        with self._knowing(call_id) as knower:
            yield from knower.origin.audio(call_id, "wav", Wanted())

    def calls(self, window: Window | None, **asked: Unpack[Asked]) -> CallPage:
        """List calls of all nodes, newest first; a silent node is a fault.

        Raises BadQuery, ServerUnreachable when all are silent.
        """
        criteria = parse_criteria(window=window or Window(), **asked)

        def page_of(node: Node) -> CallPage | Fault:
            try:
                return self._ask(node, lambda origin: origin.calls(criteria))
            except ServerUnreachable as error:
                return Fault(node.name, str(error))

        nodes = self._asked(self._cluster.present)
        with ThreadPoolExecutor(len(nodes)) as pool:
            answers = list(pool.map(page_of, nodes))
        pages = [answer for answer in answers if isinstance(answer, CallPage)]
        faults = [answer for answer in answers if isinstance(answer, Fault)]
        if not pages:
            raise ServerUnreachable("; ".join(fault.what for fault in faults))
        return _merged(pages, faults, criteria.limit)

    @contextmanager
    def _knowing(self, call_id: str) -> Iterator[Knower]:
        """Give who knows most of a call: a node, or all of them put together when each knows but a part."""
        heard = self._of_call(call_id, lambda origin: origin.call(call_id))
        node, fullest = max(heard.answers, key=lambda answer: _packets(answer[1]))
        faults = heard.faults
        if any(one != fullest for _, one in heard.answers):
            with closing(LocalOrigin(self._joined())) as joined:
                try:
                    whole = joined.call(call_id)
                    lacking = joined.flow(call_id).faults
                except SipflowError as error:
                    faults = [*faults, Fault("", f"nodes know different parts of this call: {error}")]
                else:
                    if _covers(whole, fullest):
                        yield Knower(joined, whole, together(faults, lacking))
                        return
                    if not _covers(fullest, whole):
                        faults = [*faults, Fault("", "nodes know different parts of this call, and more nodes than we")]
        with closing(self._client(node)) as client:
            yield Knower(client, fullest, faults)

    def _joined(self) -> Cluster:
        # One for each question: nobody here watches whether a node that was silent is back.
        nodes = tuple(node if node is not None and node.http else None for node in self._cluster.nodes)
        return Cluster(
            Settings(
                type="remote", nodes=nodes, replicas=self._cluster.placement.replicas, token=self._token,
                peer_timeout_ms=int(self._timeout_secs * MILLISECONDS),
            ),
            None,
        )  # fmt: skip

    def _of_call(self, call_id: str, question: Callable[[Origin], T]) -> Heard[T]:
        """Ask those who should know a call, and when none does the others. Raises as `flow` does."""
        heard: Heard[T] = Heard()
        for nodes in self._in_order(call_id):
            self._hear(nodes, question, heard)
            if heard.answers:
                return heard
        raise heard.refusal

    def _hear(self, nodes: list[Node], question: Callable[[Origin], T], heard: Heard[T]) -> None:
        def answer_of(node: Node) -> T | SipflowError:
            try:
                return self._ask(node, question)
            except (QueryError, ServerUnreachable) as error:
                return error

        with ThreadPoolExecutor(max(1, len(nodes))) as pool:
            for node, answer in zip(nodes, pool.map(answer_of, nodes), strict=True):
                heard.add(node, answer)

    def _in_order(self, call_id: str) -> tuple[list[Node], list[Node]]:
        slots = dict.fromkeys((*self._cluster.placement.owner_slots(call_id), 0))
        likely = [node for slot in slots if (node := self._cluster.nodes[slot]) is not None]
        nodes = self._asked(self._cluster.present)
        return [node for node in likely if node.http], [node for node in nodes if node not in likely]

    def _asked(self, nodes: list[Node]) -> list[Node]:
        found = [node for node in nodes if node.http]
        if not found:
            raise ConfigError("http", "", "http://HOST:PORT of at least one node, to ask it about calls", "nodes")
        return found

    def _ask(self, node: Node, question: Callable[[Origin], T]) -> T:
        with closing(self._client(node)) as client:
            return question(client)

    def _client(self, node: Node) -> SipflowClient:
        # A client for each question: it must not be shared between threads.
        return SipflowClient(node.http, node.token or self._token, self._timeout_secs)


def _report(origin: Origin, call_id: str) -> ToldStreams:
    # Measured streams of an unknown call are none: the summary tells which it is.
    report, faults = origin.streams(call_id)
    if not report.streams:
        origin.call(call_id)
    return told_streams(report, faults)


def _packets(call: CallSummary) -> int:
    return call.sip_messages + call.rtp_packets


def _covers(call: CallSummary, other: CallSummary) -> bool:
    return call.sip_messages >= other.sip_messages and call.rtp_packets >= other.rtp_packets


def _merged(pages: list[CallPage], faults: list[Fault], limit: int) -> CallPage:
    """Put pages together, each call once; the cursor is a place in time, which every node understands."""
    by_id = {call.call_id: call for page in reversed(pages) for call in page.calls}
    calls = sorted(by_id.values(), key=lambda call: (call.first_us, call.call_id), reverse=True)
    more = len(calls) > limit or any(page.next is not None for page in pages)
    shown = calls[:limit]
    faults += [fault for page in pages for fault in page.faults]
    return CallPage(
        shown, write_cursor(Began(shown[-1].first_us, shown[-1].call_id)) if more and shown else None, faults
    )
