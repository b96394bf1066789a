"""What goes out on the socket is what was planned: every frame parses, counts are true, the pace is kept."""

import json
import socket
import struct
import time
from collections import Counter
from collections.abc import Iterator

import numpy as np
import pytest
from click.testing import CliRunner

from sink import Sink
from sipflow._fast import SENDER_BUDGET, Sender
from sipflow.errors import ConfigError
from sipflow.load import cli
from sipflow.load.bank import VoiceBank
from sipflow.load.batch import SENT_CALL
from sipflow.load.call import Call
from sipflow.load.play import CLIENT_ID, Sending, play
from sipflow.load.samples import SAMPLES_SPAN_US, sample_calls
from sipflow.load.scenario import USUAL, Scenario
from sipflow.load.schedule import Schedule
from sipflow.load.style import Style
from sipflow.load.target import Target
from sipflow.wire.datagram import decode_datagram
from sipflow.wire.packet import Kind, Packet

START = 1_780_000_000_000_000
_UDP_GRO = 104  # linux/udp.h; the module socket has no name for it


@pytest.fixture
def sink() -> Iterator[Sink]:
    it = Sink()
    yield it
    it.close()


def planned(calls: list[Call], *, sip_only: bool = False) -> Counter[Packet]:
    bank = VoiceBank.make(calls[0].seed)
    packets: Counter[Packet] = Counter()
    for call in calls:
        script = call.script()
        # On the wire a call id makes metadata, and metadata without a leg says 0 (docs/WIRE.md).
        for message in script.messages:
            packets[
                Packet(Kind.SIP, message.src, message.dst, message.time_us, message.payload, message.call_id, 0)
            ] += 1
        for stream in () if sip_only else script.streams:
            packets.update(stream.packets(bank))
    return packets


def received(packets: list[Packet]) -> Counter[Packet]:
    assert {packet.client_id for packet in packets} == {CLIENT_ID}
    return Counter(Packet(p.kind, p.src, p.dst, p.time_us, p.payload, p.call_id, p.leg) for p in packets)


PACKINGS = [(single, offload) for single in (False, True) for offload in (False, True)]


@pytest.mark.parametrize(("single", "offload"), PACKINGS)
def test_every_scenario_arrives_octet_by_octet(sink: Sink, single: bool, offload: bool) -> None:
    calls = [Call(1, n, scenario, START + n * 1000, 3_000_000) for n, scenario in enumerate(Scenario)]
    report = play(calls, sink.address, Sending(speed=10, single=single, offload=offload, tick_us=10_000))
    sink.close()
    packets = sink.packets()
    assert received(packets) == planned(calls)
    kinds = Counter(packet.kind for packet in packets)
    assert (report.sip, report.rtp) == (kinds[Kind.SIP], kinds[Kind.RTP])
    assert (report.errors, report.unsent) == (0, 0)
    assert report.datagrams == len(sink.datagrams)
    assert report.octets == sum(len(octets) for _, octets in sink.datagrams)
    assert report.scenarios == {scenario.value: 1 for scenario in Scenario}
    magics = {octets[:2] for _, octets in sink.datagrams}
    assert magics == ({b"\x53\x46"} if single else {b"\x53\x47"})
    if not single:
        oversize = [o for _, o in sink.datagrams if len(o) > SENDER_BUDGET]
        assert all(len(decode_datagram(o).packets) == 1 for o in oversize)


@pytest.mark.parametrize(("single", "offload"), PACKINGS)
def test_each_stream_and_dialog_is_sent_in_its_order(sink: Sink, single: bool, offload: bool) -> None:
    calls = [Call(2, n, scenario, START, 3_000_000) for n, scenario in enumerate(Scenario)]
    # A tick is a fifth of a second of the calls: ten packets of a stream, and audio next to telephone events.
    play(calls, sink.address, Sending(speed=20, single=single, offload=offload, tick_us=10_000))
    sink.close()
    packets = sink.packets()
    bank = VoiceBank.make(2)
    lengths: list[int] = []
    for call in calls:
        script = call.script()
        own = [p for p in packets if p.call_id in call.call_ids]
        assert [p.payload for p in own if p.kind is Kind.SIP] == [m.payload for m in script.messages]
        for stream in script.streams:
            expected = [p.payload for p in stream.packets(bank)]
            ssrc = expected[0][8:12]
            assert [p.payload for p in own if p.kind is Kind.RTP and p.payload[8:12] == ssrc] == expected
            lengths.append(len({len(payload) for payload in expected}))
    assert max(lengths) > 1


@pytest.mark.parametrize("single", [False, True])
@pytest.mark.parametrize("offload", [False, True])
def test_messages_without_media_arrive_octet_by_octet_in_their_order(sink: Sink, single: bool, offload: bool) -> None:
    calls = [Call(5, n, scenario, START + n * 1000, 3_000_000) for n, scenario in enumerate([*Scenario] * 30)]
    sending = Sending(speed=20, single=single, offload=offload, sip_only=True, tick_us=10_000)
    report = play(calls, sink.address, sending)
    sink.close()
    packets = sink.packets()
    assert {packet.kind for packet in packets} == {Kind.SIP}
    assert received(packets) == planned(calls, sip_only=True)
    for call in calls:
        own = [packet.payload for packet in packets if packet.call_id in call.call_ids]
        assert own == [message.payload for message in call.script().messages]
    assert report.sip == len(packets)
    assert (report.errors, report.unsent) == (0, 0)
    assert report.datagrams == len(sink.datagrams)
    assert report.octets == sum(len(octets) for _, octets in sink.datagrams)
    assert (report.datagrams < report.sip) is not single


def test_single_datagrams_are_the_same_whether_the_kernel_cuts_them_or_not() -> None:
    plan = Schedule(4, USUAL, START, 2_000_000, 2_000_000, lines=50)
    came = []
    for offload in (False, True):
        sink = Sink()
        play(plan, sink.address, Sending(speed=4, single=True, offload=offload))
        sink.close()
        came.append([octets for _, octets in sink.datagrams])
    assert came[0] != came[1]  # the order between streams is another, so something was gathered
    assert Counter(came[0]) == Counter(came[1])


@pytest.mark.parametrize("how", ["--single", "--sip-only"])
def test_the_command_lets_the_kernel_cut_what_goes_out_by_length(how: str) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 8 << 20)
        sock.setsockopt(socket.IPPROTO_UDP, _UDP_GRO, 1)  # what goes out as one message comes as one
        sock.bind(("127.0.0.1", 0))
        to = f"127.0.0.1:{sock.getsockname()[1]}"
        arguments = [
            "--to",
            to,
            "--calls",
            "30",
            "--duration",
            "0.5",
            "--talk",
            "2",
            "--rate",
            "3000",
            "--tick-ms",
            "5",
        ]
        done = CliRunner().invoke(cli.main, [*arguments, how, "--offload", "--json", "-"])
        assert done.exit_code == 0, done.output
        sent = json.loads(done.output)["sent"]
        messages = 0
        datagrams: list[bytes] = []
        sock.setblocking(False)
        while len(datagrams) < sent["datagrams"]:
            octets, control, _, _ = sock.recvmsg(65535, 64)
            step = struct.unpack("i", control[0][2])[0] if control else len(octets)
            datagrams += [octets[at : at + step] for at in range(0, len(octets), step)]
            messages += 1
        assert messages < len(datagrams)
        assert sum(len(decode_datagram(octets).packets) for octets in datagrams) == sent["sip"] + sent["rtp"]


def test_messages_larger_than_a_datagram_of_the_budget_go_alone(sink: Sink) -> None:
    calls = [Call(1, 0, Scenario.ANSWERED, START, 2_500_000)]
    play(calls, sink.address, Sending(speed=10, budget=400))
    sink.close()
    assert received(sink.packets()) == planned(calls)
    large = [octets for _, octets in sink.datagrams if len(octets) > 400]
    assert large
    assert all(len(decode_datagram(octets).packets) == 1 for octets in large)


def test_ipv6_calls_to_an_ipv6_recorder() -> None:
    sink = Sink(socket.AF_INET6)
    calls = [Call(1, n, Scenario.ANSWERED, START, 2_500_000, Style(ipv6=True)) for n in range(2)]
    play(calls, sink.address, Sending(speed=10))
    sink.close()
    assert received(sink.packets()) == planned(calls)
    assert {p.src.family for p in sink.packets()} == {6}


def test_sip_only_sends_no_media(sink: Sink) -> None:
    calls = sample_calls(START)
    report = play(calls, sink.address, Sending(speed=None, sip_only=True))
    sink.close()
    assert report.rtp == 0
    assert report.sip == len(sink.packets()) == sum(len(call.messages()) for call in calls)


def test_the_samples_can_be_sent_at_once(sink: Sink) -> None:
    # Without pace a socket overflows: a modest speed stays well within what loopback keeps.
    calls = sample_calls(START)
    began = time.monotonic()
    report = play(calls, sink.address, Sending(speed=40))
    assert time.monotonic() - began < SAMPLES_SPAN_US / 1e6 / 3
    sink.close()
    assert received(sink.packets()) == planned(calls)
    assert report.calls == 6


def test_pace_is_kept_and_smooth(sink: Sink) -> None:
    calls = list(Schedule(1, USUAL, START, 2_000_000, 2_000_000, lines=50).calls())
    began = time.monotonic()
    report = play(calls, sink.address, Sending(speed=1))
    sink.close()
    assert 1.9 < report.wall_s < 3.0
    # A datagram leaves when its packets were captured, not much before: the lag behind the plan is never negative.
    lags = [
        (at - began) - (packet.time_us - START) / 1e6
        for at, octets in sink.datagrams
        for packet in decode_datagram(octets).packets
    ]
    assert max(lags) - min(lags) < 1.0
    # No burst: a hundredth of a second never carries more than a tenth of everything.
    bins = Counter(int(at * 100) for at, _ in sink.datagrams)
    assert max(bins.values()) < len(sink.datagrams) / 10


def test_progress_is_told_and_ends_with_the_total(sink: Sink) -> None:
    told: list[tuple[int, int]] = []
    report = play(
        sample_calls(START), sink.address, Sending(speed=40), lambda so_far, clock: told.append((so_far.records, clock))
    )
    assert told[-1][0] == report.records
    assert told == sorted(told)
    assert told[-1][1] >= START + SAMPLES_SPAN_US


def test_nobody_listening_is_counted_not_raised() -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as closed:
        closed.bind(("127.0.0.1", 0))
        address = closed.getsockname()
    report = play(sample_calls(START), address, Sending(speed=20, sip_only=True))
    assert report.errors > 0
    assert report.last_error == "Connection refused"
    assert report.sip == sum(len(call.messages()) for call in sample_calls(START))


def test_a_failing_plan_is_raised_and_no_calls_are_no_error(sink: Sink) -> None:
    def broken() -> Iterator[Call]:
        yield sample_calls(START)[1]
        raise RuntimeError("the plan failed")

    with pytest.raises(RuntimeError, match="the plan failed"):
        play(broken(), sink.address, Sending(speed=40))
    assert play([], sink.address).records == 0


@pytest.mark.parametrize("text", ["", "host", "host:", ":3000", "host:0", "host:65536", "host:x"])
def test_a_destination_that_is_none_says_what_is_allowed(text: str) -> None:
    with pytest.raises(ConfigError, match=r"HOST:PORT, port 1 to 65535"):
        Target(text).route(1)


def test_the_sender_refuses_what_it_cannot_send() -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        with pytest.raises(ValueError, match="speed: found -1"):
            Sender(sock.fileno(), 0, speed=-1)
        with pytest.raises(ValueError, match="budget: found 10; allowed: 64"):
            Sender(sock.fileno(), 0, speed=1, budget=10)
        sender = Sender(sock.fileno(), START, speed=0)
        planned = np.zeros(1, SENT_CALL)
        planned["start_us"] = START - 1
        with pytest.raises(ValueError, match=f"time: found {START - 1}; allowed: {START} or later"):
            sender.add_calls(planned.view("u1"))
        planned["start_us"] = START
        with pytest.raises(ValueError, match="mould: found number 0; allowed: below 0"):
            sender.add_calls(planned.view("u1"))
        with pytest.raises(ValueError, match="found 39 octets of records of 32"):
            sender.add_calls(bytes(39))
        assert sender.left == 0
