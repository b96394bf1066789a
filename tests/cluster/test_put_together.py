"""Two nodes count what one would have counted; what they tell of a call is the same object until it grows."""

from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path

import pytest

from capture_writer import frame, pcap, sip
from growing_root import T0, Root, call
from memory_history import Served, SteadyRecorder
from portions import invite, media
from sipflow.clock import SECOND_US
from sipflow.cluster.cluster import Cluster
from sipflow.config import Address, Settings
from sipflow.importer import import_files
from sipflow.node import Node
from sipflow.query.census import Tallied, statistics_of
from sipflow.query.counting import Count, GroupKey
from sipflow.query.history import History
from sipflow.query.registrations import Enrolled, together
from sipflow.query.window import Window
from sipflow.web.app import build

HERE = Settings(http=Address("127.0.0.1", 0))
PHONE, REGISTRAR = ("192.0.2.10", 5060), ("192.0.2.20", 5060)


@contextmanager
def asked(*roots: Path) -> Iterator[Cluster]:
    """Give the view of one who stores nothing of nodes that answer from these roots."""
    with ExitStack() as stack:
        nodes = []
        for number, root in enumerate(roots):
            history = stack.enter_context(closing(History.open(root)))
            url = stack.enter_context(Served(build(history, SteadyRecorder(), HERE, own=history)))
            nodes.append(Node(f"n{number}", "127.0.0.1", 1 + number, url))
        settings = Settings(type="remote", nodes=tuple(nodes), peer_timeout_ms=60_000)
        yield stack.enter_context(closing(Cluster(settings, None)))


def registering(call_id: str, user: str, at_s: float, took_s: float, status: str) -> list[tuple[int, bytes]]:
    at_us, to = T0 + round(at_s * SECOND_US), f"<sip:{user}@example.com>"
    request = sip("REGISTER sip:example.com SIP/2.0", call_id, "1 REGISTER").replace(
        b"To: <sip:bob@example.com>", f"To: {to}".encode()
    )
    answer = sip(f"SIP/2.0 {status}", call_id, "1 REGISTER", to_tag="r").replace(
        b"To: <sip:bob@example.com>", f"To: {to}".encode()
    )
    assert to.encode() in request
    assert to.encode() in answer
    return [
        (at_us, frame(PHONE, REGISTRAR, request)),
        (at_us + round(took_s * SECOND_US), frame(REGISTRAR, PHONE, answer)),
    ]


def imported(root: Path, frames: list[tuple[int, bytes]]) -> Path:
    capture = root.with_suffix(".pcap")
    capture.write_bytes(pcap(sorted(frames)))
    import_files([capture], root)
    return root


def test_attempts_to_register_add_up_over_nodes(tmp_path: Path) -> None:
    # Means and percentages of the nodes would not: one has three attempts, the other one.
    one = [
        *registering("a", "alice", 0, 0.1, "200 OK"),
        *registering("b", "alice", 60, 0.2, "503 Service Unavailable"),
        *registering("c", "bob", 70, 0.3, "200 OK"),
    ]
    other = registering("d", "alice", 90, 0.8, "200 OK")
    both = imported(tmp_path / "both", one + other)
    with (
        closing(History.open(both)) as history,
        asked(imported(tmp_path / "one", one), imported(tmp_path / "other", other)) as cluster,
    ):
        found, expected = cluster.registrations(Window()), history.registrations(Window())
        assert (found.attempts, found.ineffective, found.ira) == (4, 1, 25.0)
        assert found.rrd_s == pytest.approx(0.4)
        assert found == expected
        assert cluster.statistics(Window()) == history.statistics(Window())


def talking(call_id: str, at_s: float, agent: str, gone_s: float | None) -> list[tuple[int, bytes]]:
    """Write a call of ten seconds; its BYE is answered after `gone_s`, or never."""
    at_us = T0 + round(at_s * SECOND_US)

    def of(start: str, number: str, to_tag: str = "b") -> bytes:
        return sip(start, call_id, number, to_tag=to_tag).replace(
            b"\r\nCSeq:", f"\r\nUser-Agent: {agent}\r\nCSeq:".encode()
        )

    frames = [
        (at_us, frame(PHONE, REGISTRAR, of("INVITE sip:bob@example.com SIP/2.0", "1 INVITE", ""))),
        (at_us + SECOND_US, frame(REGISTRAR, PHONE, of("SIP/2.0 200 OK", "1 INVITE"))),
        (at_us + 11 * SECOND_US, frame(PHONE, REGISTRAR, of("BYE sip:bob@example.com SIP/2.0", "2 BYE"))),
    ]
    if gone_s is not None:
        gone_us = at_us + 11 * SECOND_US + round(gone_s * SECOND_US)
        frames.append((gone_us, frame(REGISTRAR, PHONE, of("SIP/2.0 200 OK", "2 BYE"))))
    return frames


def test_a_group_adds_up_over_nodes(tmp_path: Path) -> None:
    one = [*talking("a", 0, "pbx", 0.1), *talking("b", 60, "<i>phone", 0.5), *talking("c", 90, "pbx", None)]
    other = talking("d", 3700, "pbx", 0.7)
    # A call whose end another node has, as after a change of the list of nodes.
    parted = talking("e", 120, "pbx", 0.4)
    one += parted[:2]
    other += parted[2:]
    both = imported(tmp_path / "both", one + other)
    with (
        closing(History.open(both)) as history,
        asked(imported(tmp_path / "one", one), imported(tmp_path / "other", other)) as cluster,
    ):
        pbx = GroupKey("agent", "pbx")
        found = cluster.statistics(Window(), pbx)
        assert found == history.statistics(Window(), pbx)
        assert [hour.ratios.attempts for hour in found.hours] == [3, 1]
        assert (found.total.completed, found.total.disconnected, found.total.undisconnected) == (3, 3, 1)
        assert found.total.sdd_s == pytest.approx(0.4)
        assert found.sources == []
        phone = cluster.statistics(Window(), GroupKey("agent", "<i>phone"))
        assert phone.total == next(one.ratios for one in cluster.statistics(Window()).agents if one.name == "<i>phone")


def test_parts_that_are_not_counted_yet_add_up() -> None:
    found = statistics_of([Tallied(Count(), [], 2), Tallied(Count(), [], 1)], Window(), [])
    assert (found.counting, found.partial) == (3, True)
    enrolled = together([Enrolled([], [], 2), Enrolled([], [], 1)], 10)
    assert (enrolled.counting, enrolled.partial) == (3, True)


def test_an_answer_of_nodes_is_the_same_until_something_of_the_call_changes(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    with (
        closing(Root(tmp_path / "a")) as a,
        closing(Root(tmp_path / "b")) as b,
    ):
        a.write(0, [*call("x", T0, 3), *call("y", T0, 1)])
        b.write(0, [media("x", T0 + 20, 20)])
        with asked(a.path, b.path) as cluster:
            flow, parts = cluster.flow("x"), cluster.media("x")
            assert (len(flow.messages), sum(chunk.packets for chunk in parts.chunks)) == (1, 4)
            a.write(0, call("y", T0 + 50, 2, "BYE"))
            assert cluster.flow("x") is flow
            assert cluster.media("x") is parts
            b.write(0, [media("x", T0 + 30, 21)])
            assert cluster.flow("x") is flow
            assert sum(chunk.packets for chunk in cluster.media("x").chunks) == 5
            a.write(0, [invite("x", T0 + 70, "BYE")])
            assert len(cluster.flow("x").messages) == 2
            a.seal(0)
            assert [message.payload for message in cluster.flow("x").messages][:1] == [flow.messages[0].payload]
