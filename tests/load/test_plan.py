"""When calls begin and how long they last: ramps, steps, distributions, profiles; and where they go."""

import sys
from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from sink import Sink
from sipflow.errors import ConfigError
from sipflow.load.call import Call
from sipflow.load.length import Length
from sipflow.load.pace import Pace
from sipflow.load.play import Sending, play
from sipflow.load.profile import PROFILES, profile_of
from sipflow.load.report import report_of
from sipflow.load.route import Route
from sipflow.load.scenario import Mix, Scenario
from sipflow.load.schedule import Schedule
from sipflow.load.target import Target
from sipflow.load.totals import Ledger
from sipflow.load.view import Lines, Standing
from sipflow.node import read_nodes
from sipflow.placement import Placement, node_index

START = 1_780_000_000_000_000
SECOND = 1_000_000


def begun(pace: Pace, seconds: int, stretch_us: int = SECOND) -> list[int]:
    plan = Schedule(7, Mix.parse("options"), START, (seconds + 3) * SECOND, 2 * SECOND, pace=pace)
    found = Counter((int(us) - START) // SECOND for part in plan.stretches(stretch_us) for us in part["start_us"])
    return [found[second] for second in range(seconds)]


def test_a_ramp_rises_evenly_and_stays() -> None:
    counts = begun(Pace(10, 110, 10 * SECOND), 14)
    assert counts[:10] == pytest.approx([15 + 10 * k for k in range(10)], abs=1)
    assert counts[10:] == pytest.approx([110] * 4, abs=1)


def test_a_ramp_in_steps() -> None:
    counts = begun(Pace(20, 100, 10 * SECOND, 5), 12)
    assert counts == pytest.approx([20, 20, 40, 40, 60, 60, 80, 80, 100, 100, 100, 100], abs=1)


def test_a_ramp_falls_and_may_begin_with_nothing() -> None:
    assert begun(Pace(50, 10, 4 * SECOND), 6) == pytest.approx([45, 35, 25, 15, 10, 10], abs=1)
    assert begun(Pace(0, 40, 4 * SECOND), 5) == pytest.approx([5, 15, 25, 35, 40], abs=1)


def test_the_rate_of_the_moment_is_the_one_that_calls_begin_at() -> None:
    for pace in (Pace(10, 110, 10 * SECOND), Pace(20, 100, 10 * SECOND, 5), Pace(5, 5)):
        for after_us in range(0, 12 * SECOND, 333_000):
            measured = pace.count(after_us + 1000) - pace.count(after_us)
            assert measured * 1000 == pytest.approx(pace.rate(after_us), rel=0.01)
        numbers = np.array([1.0, 7.5, 40.0])
        assert [pace.count(float(us)) for us in pace.times_us(numbers)] == pytest.approx(numbers, rel=1e-6)


def test_a_plan_does_not_depend_on_how_much_is_planned_at_once() -> None:
    for schedule in (
        Schedule(7, Mix.parse("mix"), START, 20 * SECOND, 4 * SECOND, pace=Pace(3, 40, 9 * SECOND)),
        Schedule(7, Mix.parse("mix"), START, 20 * SECOND, 4 * SECOND, lines=30),
    ):
        one = np.concatenate(list(schedule.stretches(SECOND)))
        other = np.concatenate(list(schedule.stretches(370_000)))
        assert sorted(one.tolist()) == sorted(other.tolist())


def test_a_pace_names_what_is_wrong_with_it() -> None:
    assert Pace.parse("5..50", 3 * SECOND, 4, 100) == Pace(5, 50, 3 * SECOND, 4)
    assert Pace.parse("5", 3 * SECOND, 0, 100) == Pace(5, 5)
    for text in ("", "x", "5..", "-1", "101", "0", "0..0", "nan"):
        with pytest.raises(ConfigError, match=r"calls per second, or FROM\.\.TO"):
            Pace.parse(text, 0, 0, 100)


def test_lengths_have_the_mean_and_the_shape_of_their_distribution() -> None:
    chances = (np.arange(200_000) + 0.5) / 200_000
    even, exponential, lognormal = (length.of(chances) for length in Length)
    assert even.min() == pytest.approx(0.7, abs=0.001)
    assert even.max() == pytest.approx(1.3, abs=0.001)
    assert even.mean() == pytest.approx(1, abs=0.001)
    assert exponential.mean() == pytest.approx(1, abs=0.01)
    assert np.median(exponential) == pytest.approx(np.log(2), abs=0.001)
    assert lognormal.mean() == pytest.approx(1, abs=0.04)  # less its cut tail
    assert np.median(lognormal) == pytest.approx(np.exp(-0.5), abs=0.002)
    assert np.std(np.log(lognormal)) == pytest.approx(1, abs=0.02)
    assert max(exponential.max(), lognormal.max()) == 10


@pytest.mark.parametrize("name", PROFILES)
def test_a_profile_has_what_its_mix_says(name: str) -> None:
    profile = profile_of(name)
    plan = Schedule(5, profile.mix, START, 400 * SECOND, 10 * SECOND, pace=Pace(10, 10), length=profile.length)
    made = Counter(call.scenario for call in plan.calls())
    total = sum(weight for _, weight in profile.mix.weights)
    for scenario, weight in profile.mix.weights:
        assert made[scenario] / made.total() == pytest.approx(weight / total, abs=0.025)


def test_refusals_take_their_share_of_all_calls() -> None:
    mix = Mix.parse("answered=3,busy=1").refusing(20)
    weights = dict(mix.weights)
    assert weights == {Scenario.ANSWERED: 60, Scenario.BUSY: 20, Scenario.REFUSED: 20}


def three(replicas: int = 1, *, removed: bool = False) -> tuple[list[Sink], Route]:
    sinks = [Sink() for _ in range(3)]
    nodes: list[dict[str, object] | str] = [
        {"udp": f"127.0.0.1:{s.address[1]}", "name": f"n{i}"} for i, s in enumerate(sinks)
    ]
    if removed:
        nodes[1] = "-"
    return sinks, Route(read_nodes(nodes, replicas), senders=2)


CALLS = [
    Call(1, number, scenario, START + number, 2_500_000)
    for number, scenario in enumerate(
        [Scenario.ATTENDED, Scenario.B2BUA, Scenario.ANSWERED, Scenario.LOSSY, Scenario.DIGITS, Scenario.REGISTER] * 5
    )
]


def test_each_dialog_goes_whole_to_the_node_of_its_call_id() -> None:
    sinks, route = three()
    report = play(CALLS, route, Sending(speed=10))
    bank = CALLS[0].bank()
    kept: list[Counter[bytes]] = [Counter(), Counter(), Counter()]
    split = 0
    for call in CALLS:
        script = call.script()
        for packet in (*script.messages, *(p for s in script.streams for p in s.packets(bank))):
            kept[node_index(packet.call_id, 3)][packet.payload] += 1
        split += len({node_index(call_id, 3) for call_id in call.call_ids}) > 1
    assert split > 3  # calls whose dialogs go to different nodes
    total = 0
    for sink, own in zip(sinks, kept, strict=True):
        sink.close()
        packets = sink.packets()
        assert Counter(p.payload for p in packets) == own
        assert len(sink.senders) == 2
        total += len(packets)
    assert total == report.records
    assert report.calls == len(CALLS)
    assert report.senders == 6


@pytest.mark.parametrize(("replicas", "removed"), [(2, False), (1, True)])
def test_replicas_and_removed_nodes_are_placed_as_the_cluster_does(replicas: int, removed: bool) -> None:
    sinks, route = three(replicas, removed=removed)
    play(CALLS, route, Sending(speed=20, sip_only=True))
    placement = Placement(["n0", None if removed else "n1", "n2"], replicas)
    for number, sink in enumerate(sinks):
        sink.close()
        came = {p.call_id for p in sink.packets()}
        own = {call_id for call in CALLS for call_id in call.call_ids if f"n{number}" in placement.owners(call_id)}
        assert came == own


def test_nodes_come_from_options_and_files(tmp_path: Path) -> None:
    route = Target(nodes=("udp=10.0.0.1:3000,http=http://10.0.0.1:3001,name=a", "-", "udp=[::1]:3000")).route(1)
    assert [node.name for node in route.nodes] == ["a", "[::1]:3000"]
    assert len(route.cluster.nodes) == 3
    file = tmp_path / "config.toml"
    tables = [f'[[sipflow.nodes]]\nudp = "10.0.0.{n}:3000"\nhttp = "http://10.0.0.{n}:3001"\n' for n in (1, 2)]
    file.write_text('[sipflow]\ntype = "remote"\n' + "".join(tables))
    assert [node.udp for node in Target(config=file).route(2).lanes] == ["10.0.0.1:3000"] * 2 + ["10.0.0.2:3000"] * 2
    with pytest.raises(ConfigError, match="found 'tcp=1'"):
        Target(nodes=("tcp=1",)).route(1)
    with pytest.raises(ConfigError, match="no URL with several nodes"):
        Target(config=file, http="http://x").route(1)
    with pytest.raises(ConfigError, match="one server, not several"):
        Target(config=file).route(1, root=tmp_path)


def test_lines_tell_how_a_run_goes(capsys: pytest.CaptureFixture[str]) -> None:
    clock = [0.0]
    lines = Lines(sys.stderr, lambda: clock[0])
    counts = ["sip", "rtp", "datagrams", "octets", "errors", "unsent"]
    pace = ["ticks", "late_ticks", "worst_us", "cpu_ns", "wall_ns", "last_errno"]
    sent = dict.fromkeys([*counts, *pace], 0)
    for second in range(1, 8):
        clock[0] = second
        sent.update(sip=100 * second, rtp=900 * second)
        stored = Ledger(800 * second, {"dropped: pool_full_rtp": 3})
        lines.show(Standing(second * SECOND, 7 * SECOND, 12.5, report_of([sent], {"answered": second}), stored))
    lines.compare(1, 3)
    lines.compare(1, 3)
    lines.compare(3, 3)
    assert capsys.readouterr().err == (
        "5 of 7 s: rate 1,000 packets/s, ramp 12.5 calls/s asked now, sent 5,000 (5 calls, 500 SIP, 4,500 RTP), "
        "stored 4,000 (1,000 not yet), lost 3 (3 dropped: pool_full_rtp), errors 0\n"
        "7 of 7 s: rate 1,000 packets/s, ramp 12.5 calls/s asked now, sent 7,000 (7 calls, 700 SIP, 6,300 RTP), "
        "stored 5,600 (1,400 not yet), lost 3 (3 dropped: pool_full_rtp), errors 0\n"
        "comparing: 1 of 3 calls as sent\ncomparing: 3 of 3 calls as sent\n"
    )
