"""Calls are what a telephone and an exchange would say: valid dialogs, SDP that matches the RTP, sound RTP streams."""

import hashlib
import itertools
import re
from collections import Counter

import pytest

from sipflow._fast import rtp_head
from sipflow.errors import ConfigError
from sipflow.load.bank import VoiceBank
from sipflow.load.call import Call
from sipflow.load.pace import Pace
from sipflow.load.samples import SAMPLES_SPAN_US, sample_calls
from sipflow.load.scenario import USUAL, Mix, Scenario
from sipflow.load.schedule import Schedule
from sipflow.load.stream import EVENT_TYPE, Stream
from sipflow.load.style import Style
from sipflow.load.vendor import TELEPHONES
from sipflow.wire.endpoint import Endpoint
from sipflow.wire.packet import Packet
from sipflow.wire.sip import SipHead, parse_head

START = 1_780_000_000_000_000
SPAN = 12_000_000
PCMU, PCMA = 0, 8  # payload types
NUMBERS = range(24)  # enough for every vendor to have called
FULL_NAMES = {
    "v": "via",
    "f": "from",
    "t": "to",
    "i": "call-id",
    "m": "contact",
    "c": "content-type",
    "l": "content-length",
}


@pytest.fixture(scope="module")
def bank() -> VoiceBank:
    return VoiceBank.make(1)


def call_of(scenario: Scenario, number: int = 0, *, ipv6: bool = False) -> Call:
    return Call(1, number, scenario, START, SPAN, Style(ipv6=ipv6))


def heads(call: Call) -> list[SipHead]:
    return [parse_head(packet.payload) for packet in call.messages()]


def labels(call: Call) -> list[str]:
    return [head.label for head in heads(call)]


def headers(packet: Packet) -> dict[str, str]:
    """Read headers by their long names, independently of the code under test."""
    text = packet.payload.partition(b"\r\n\r\n")[0].decode()
    found = {}
    for line in text.split("\r\n")[1:]:
        name, _, value = line.partition(": ")
        found[FULL_NAMES.get(name, name.lower())] = value
    return found


def audio_of(packet: Packet) -> tuple[Endpoint, list[int], int]:
    """Read address, payload types and packet time from the session description of a message."""
    body = packet.payload.partition(b"\r\n\r\n")[2].decode()
    ip = re.search(r"^c=IN IP[46] (\S+)\r$", body, re.MULTILINE)
    media = re.search(r"^m=audio (\d+) RTP/AVP ([\d ]+)\r$", body, re.MULTILINE)
    ptime = re.search(r"^a=ptime:(\d+)\r$", body, re.MULTILINE)
    assert ip
    assert media
    assert ptime
    return Endpoint(ip[1], int(media[1])), [int(t) for t in media[2].split()], int(ptime[1])


@pytest.mark.parametrize("number", NUMBERS)
@pytest.mark.parametrize("scenario", Scenario)
def test_every_message_is_a_valid_part_of_its_dialog(scenario: Scenario, number: int) -> None:
    call = call_of(scenario, number, ipv6=number % 5 == 0)
    messages = call.messages()
    assert all(a.time_us < b.time_us for a, b in itertools.pairwise(messages))
    assert messages[0].time_us >= START
    assert messages[-1].time_us <= call.end_us
    assert {packet.call_id for packet in messages} == set(call.call_ids)
    requests: dict[tuple[str, str], SipHead] = {}
    for packet in messages:
        head, found = parse_head(packet.payload), headers(packet)
        body = packet.payload.partition(b"\r\n\r\n")[2]
        assert head.call_id == packet.call_id
        assert int(found["content-length"]) == len(body)
        assert ("content-type" in found) == bool(body)
        assert head.branch.startswith("z9hG4bK")
        assert head.from_tag
        if head.is_request:
            assert head.cseq_method == head.method
            assert found["max-forwards"] == "70"
            sent_by = re.match(r"SIP/2\.0/UDP (\S+);branch", found["via"])
            assert sent_by is not None
            assert sent_by[1] == str(packet.src)
            requests[head.branch, head.method] = head
        else:
            asked = requests[head.branch, head.cseq_method]  # a response belongs to a request that was seen
            assert (head.cseq, head.from_tag, head.from_uri, head.to_uri) == (
                asked.cseq,
                asked.from_tag,
                asked.from_uri,
                asked.to_uri,
            )
            assert bool(head.to_tag) == (head.status != 100)


def test_each_scenario_takes_its_course() -> None:
    assert labels(call_of(Scenario.ANSWERED)) == [
        "INVITE",
        "100 Trying",
        "180 Ringing",
        "200 OK",
        "ACK",
        "BYE",
        "200 OK",
    ]
    assert labels(call_of(Scenario.BUSY)) == ["INVITE", "100 Trying", "486 Busy Here", "ACK"]
    assert labels(call_of(Scenario.UNANSWERED)) == [
        "INVITE",
        "100 Trying",
        "180 Ringing",
        "CANCEL",
        "200 OK",
        "487 Request Terminated",
        "ACK",
    ]
    assert labels(call_of(Scenario.CHALLENGED))[:5] == ["INVITE", "401 Unauthorized", "ACK", "INVITE", "100 Trying"]
    assert labels(call_of(Scenario.EARLY_MEDIA))[1:4] == ["100 Trying", "183 Session Progress", "200 OK"]
    assert labels(call_of(Scenario.REGISTER)) == ["REGISTER", "401 Unauthorized", "REGISTER", "200 OK"]
    assert labels(call_of(Scenario.OPTIONS)) == ["OPTIONS", "200 OK"]


@pytest.mark.parametrize("number", NUMBERS)
def test_transactions_follow_the_rules_of_rfc_3261(number: int) -> None:
    answered = heads(call_of(Scenario.ANSWERED, number))
    invite, accepted, ack, bye = answered[0], answered[3], answered[4], answered[5]
    assert (ack.cseq, ack.cseq_method, ack.to_tag) == (invite.cseq, "ACK", accepted.to_tag)
    assert ack.branch != invite.branch  # 13.2.2.4: a transaction of its own
    assert {bye.from_tag, bye.to_tag} == {invite.from_tag, accepted.to_tag}
    if bye.from_tag == invite.from_tag:
        assert bye.cseq == (invite.cseq or 0) + 1

    cancelled = heads(call_of(Scenario.UNANSWERED, number))
    invite, cancel, ack = cancelled[0], cancelled[3], cancelled[6]
    assert (cancel.branch, cancel.cseq, cancel.uri, cancel.to_tag) == (
        invite.branch,
        invite.cseq,
        invite.uri,
        "",
    )  # 9.1
    assert (ack.branch, ack.cseq, ack.uri) == (invite.branch, invite.cseq, invite.uri)  # 17.1.1.3


@pytest.mark.parametrize("scenario", [Scenario.CHALLENGED, Scenario.REGISTER])
def test_a_challenge_is_answered_in_a_new_transaction_with_a_digest(scenario: Scenario) -> None:
    messages = call_of(scenario).messages()
    first = parse_head(messages[0].payload)
    challenge = headers(messages[1])["www-authenticate"]
    second_packet = next(p for p in messages[1:] if "authorization" in headers(p))
    second, answer = parse_head(second_packet.payload), headers(second_packet)["authorization"]
    assert second.cseq == (first.cseq or 0) + 1
    assert second.branch != first.branch
    assert second.from_tag == first.from_tag
    given = dict(re.findall(r'(\w+)="?([^",]+)"?', answer))
    asked = dict(re.findall(r'(\w+)="?([^",]+)"?', challenge))
    assert (given["realm"], given["nonce"], given["uri"]) == (asked["realm"], asked["nonce"], second.uri)
    assert len(given["response"]) == hashlib.md5(b"", usedforsecurity=False).digest_size * 2


@pytest.mark.parametrize("number", NUMBERS)
@pytest.mark.parametrize("scenario", [s for s in Scenario if s.talks])
def test_rtp_goes_where_the_session_descriptions_say(scenario: Scenario, number: int) -> None:
    call = call_of(scenario, number, ipv6=number % 5 == 0)
    script = call.script()
    described: dict[str, list[Packet]] = {}
    for packet in script.messages:
        if b"\r\nv=0\r\n" in packet.payload:
            described.setdefault(packet.call_id, []).append(packet)
    for stream in script.streams:
        offer, answer = (audio_of(described[stream.call_id][end]) for end in (0, -1))
        assert set(answer[1]) <= set(offer[1])  # RFC 3264, section 6
        own, other = (offer, answer) if stream.leg == 0 else (answer, offer)
        assert (stream.src, stream.dst) == (own[0], other[0])
        assert stream.payload_type in answer[1]
        assert stream.samples == own[2] * 8
        assert stream.src.port % 2 == 0


@pytest.mark.parametrize("number", NUMBERS)
@pytest.mark.parametrize("scenario", [s for s in Scenario if s.talks])
def test_media_lies_between_answer_and_hang_up(scenario: Scenario, number: int, bank: VoiceBank) -> None:
    call = call_of(scenario, number)
    script = call.script()
    for stream in script.streams:
        own = [p for p in script.messages if p.call_id == stream.call_id]
        bye = next(p for p in own if p.payload.startswith(b"BYE"))
        begin = next(p for p in own if b"m=audio" in p.payload and p.payload.startswith(b"SIP/2.0"))
        times = [p.time_us for p in stream.packets(bank)]
        assert times == sorted(times)
        assert begin.time_us < times[0]
        assert times[-1] < bye.time_us + 1000


def rtp(stream: Stream, bank: VoiceBank) -> list[tuple[int, bool, int, int, int, bytes]]:
    """Give (capture time, marker, payload type, sequence, timestamp, payload) of every packet, checked for its SSRC."""
    out = []
    for packet in stream.packets(bank):
        head = rtp_head(packet.payload)
        assert head is not None
        marker, payload_type, sequence, timestamp, ssrc, payload = head
        assert ssrc == stream.ssrc
        out.append((packet.time_us, marker, payload_type, sequence, timestamp, payload))
    return out


def test_a_plain_stream_counts_by_one_and_by_its_samples_through_the_wrap(bank: VoiceBank) -> None:
    stream = Stream(
        call_id="wrap@test", leg=0, src=Endpoint("10.0.0.1", 4000), dst=Endpoint("10.0.0.2", 4002), start_us=START,
        count=300, samples=160, payload_type=PCMU, ssrc=0xCAFEBABE, sequence=65_400, timestamp=2**32 - 1600, voice=3,
        position=63_900,
    )  # fmt: skip
    packets = rtp(stream, bank)
    loop = bank.loop(PCMU, 3)
    assert len(packets) == 300
    for i, (time_us, marker, payload_type, sequence, timestamp, payload) in enumerate(packets):
        assert 0 <= time_us - (START + i * 20_000) < 512
        assert marker == (i == 0)
        assert payload_type == PCMU
        assert sequence == (65_400 + i) % 65536
        assert timestamp == (2**32 - 1600 + 160 * i) % 2**32
        at = (63_900 + 160 * i) % len(loop)
        own = (loop * 2)[at : at + 160]
        assert payload == own


def test_all_packet_times_and_both_laws_occur() -> None:
    streams = [s for n in range(200) for s in call_of(Scenario.ANSWERED, n).streams()]
    assert {s.samples // 8 for s in streams} == {v.packet_ms for v in TELEPHONES} == {10, 20, 30, 40, 60}
    assert {s.payload_type for s in streams} == {PCMU, PCMA}
    assert len({s.ssrc for s in streams}) == len(streams)
    assert len({(s.voice, s.position) for s in streams}) == len(streams)


def test_digits_are_events_as_rfc_4733_has_them(bank: VoiceBank) -> None:
    stream = next(s for s in call_of(Scenario.DIGITS).streams() if s.digits)
    packets = rtp(stream, bank)
    sequences = [p[3] for p in packets]
    assert all((b - a) % 65536 == 1 for a, b in itertools.pairwise(sequences))
    presses: list[list[tuple[int, bool, int, int, int, bytes]]] = []
    for before, packet in zip([None, *packets], packets, strict=False):
        if packet[2] == EVENT_TYPE:
            if before is None or before[2] != EVENT_TYPE:
                presses.append([])
            presses[-1].append(packet)
        elif before is not None and before[2] == EVENT_TYPE:
            assert packet[1]  # audio after a digit is a new talkspurt
    assert "".join("0123456789*#"[press[0][5][0]] for press in presses) == stream.digits
    for press in presses:
        assert len({p[4] for p in press}) == 1  # one timestamp for the whole event
        assert [p[1] for p in press] == [True] + [False] * (len(press) - 1)
        assert [bool(p[5][1] & 0x80) for p in press] == [False] * (len(press) - 3) + [True] * 3
        durations = [int.from_bytes(p[5][2:]) for p in press]
        assert durations[0] == stream.samples
        assert durations == sorted(durations)
        assert len(set(durations[-3:])) == 1


def test_a_lossy_stream_loses_doubles_and_reorders(bank: VoiceBank) -> None:
    lost = doubled = reordered = 0
    for number in range(12):
        for stream in call_of(Scenario.LOSSY, number).streams():
            sequences = [(p[3] - stream.sequence) % 65536 for p in rtp(stream, bank)]
            missing = set(range(min(sequences), max(sequences) + 1)) - set(sequences)
            assert stream.lost(bank) == len(missing)
            assert stream.sent(bank) == len(sequences)
            lost += len(missing)
            doubled += len(sequences) - len(set(sequences))
            reordered += sum(b < a for a, b in itertools.pairwise(sequences))
    assert min(lost, doubled, reordered) > 10


def test_a_suppressed_stream_jumps_in_time_but_not_in_number(bank: VoiceBank) -> None:
    streams = [s for n in range(60) for s in call_of(Scenario.ANSWERED, n).streams() if s.suppressed]
    assert streams
    for stream in streams:
        packets = rtp(stream, bank)
        assert len(packets) < stream.count * 0.9
        for before, packet in itertools.pairwise(packets):
            assert (packet[3] - before[3]) % 65536 == 1
            jump = (packet[4] - before[4]) % 2**32 != stream.samples
            assert packet[1] == jump  # the marker begins a talkspurt (RFC 3551, section 4.1)


def test_one_way_calls_lack_one_direction_or_lose_it() -> None:
    kinds: Counter[str] = Counter()
    for number in NUMBERS:
        streams = call_of(Scenario.ONE_WAY, number).streams()
        kinds["never" if len(streams) == 1 else "stops"] += 1
        if len(streams) == 2:
            first, second = (s.count * s.samples for s in streams)
            assert first < second / 3
    assert set(kinds) == {"never", "stops"}


@pytest.mark.parametrize("scenario", Scenario)
def test_a_call_is_the_same_whenever_it_is_made(scenario: Scenario, bank: VoiceBank) -> None:
    one, again, other = call_of(scenario, 5), call_of(scenario, 5), call_of(scenario, 6)
    assert one.messages() == again.messages()
    assert [s.packets(bank) for s in one.streams()] == [s.packets(bank) for s in again.streams()]
    assert one.call_id != other.call_id


def test_a_schedule_keeps_its_lines_busy_and_ends_in_time() -> None:
    plan = Schedule(7, USUAL, START, 60_000_000, 10_000_000, lines=20)
    calls = list(plan.calls())
    assert calls == list(plan.calls())
    assert [c.start_us for c in calls] == sorted(c.start_us for c in calls)
    assert len({c.call_id for c in calls}) == len(calls)
    assert max(c.end_us for c in calls) <= START + 60_000_000
    for at_us in range(START + 5_000_000, START + 50_000_000, 1_000_000):
        assert 16 <= sum(c.start_us <= at_us < c.end_us for c in calls) <= 20


def test_a_schedule_by_rate_begins_so_many_calls_a_second() -> None:
    calls = list(Schedule(7, USUAL, START, 20_000_000, 5_000_000, pace=Pace(25, 25)).calls())
    begun = Counter((c.start_us - START) // 1_000_000 for c in calls)
    assert all(23 <= begun[second] <= 27 for second in range(17))


def test_the_foretold_rate_is_what_a_plan_makes(bank: VoiceBank) -> None:
    plan = Schedule(3, USUAL, START, 120_000_000, 10_000_000, lines=30)
    made = sum(len(c.messages()) + sum(s.sent(bank) for s in c.streams()) for c in plan.calls()) / 120
    assert plan.records_per_second(bank) == pytest.approx(made, rel=0.15)


def test_the_six_sample_calls() -> None:
    calls = sample_calls(START)
    assert [c.scenario.value for c in calls] == ["answered", "busy", "unanswered", "challenged", "one-way", "lossy"]
    assert all(c.start_us >= START and c.end_us <= START + SAMPLES_SPAN_US for c in calls)
    assert {c.call_id for c in calls}.isdisjoint(c.call_id for c in sample_calls(START + 1_000_000))


def test_a_mix_names_what_is_wrong_with_it() -> None:
    assert Mix.parse("busy=2,answered").weights == ((Scenario.BUSY, 2.0), (Scenario.ANSWERED, 1.0))
    with pytest.raises(ConfigError, match=r"found 'bussy'; allowed: mix, or NAME"):
        Mix.parse("answered,bussy")
    with pytest.raises(ConfigError, match="one of them above 0"):
        Mix.parse("busy=0")
