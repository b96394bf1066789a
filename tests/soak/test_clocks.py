"""Clocks that lie: capture times far off, backwards or absurd, and a machine clock that leaps under the server."""

import os
import signal
import time
from collections.abc import Iterator

from sipflow.clock import DAY_US, SECOND_US, now_us
from sipflow.query.history import History
from sipflow.storage.layout import HOUR_US, find_buckets
from sipflow.wire.datagram import encode_batch, encode_packet
from sipflow.wire.endpoint import Endpoint
from sipflow.wire.packet import Kind, Packet
from soak import tally
from soak.faults import Faults, Op
from soak.traffic import Traffic, burst, hours_ago
from soak.truth import compare, index_faults
from soak.verdict import all_sealed, judge, settle, taken_in
from soak.victim import Victim

ALICE, BOB = Endpoint("192.0.2.1", 5060), Endpoint("192.0.2.2", 5060)
YEAR_US = 365 * DAY_US


def _call(call_id: str, *times_us: int) -> Iterator[bytes]:
    """Make a call of a message and two RTP packets at each of the times, in this order."""
    for number, time_us in enumerate(times_us):
        text = (
            f"OPTIONS sip:b@h SIP/2.0\r\nFrom: <sip:a@h>;tag=1\r\nTo: <sip:b@h>\r\nCall-ID: {call_id}\r\n"
            f"CSeq: {number} OPTIONS\r\n\r\n"
        )
        yield encode_packet(Packet(Kind.SIP, ALICE, BOB, time_us, text.encode(), call_id, 0))
        for sequence in (2 * number, 2 * number + 1):
            head = b"\x80\x00" + sequence.to_bytes(2, "big") + (160 * sequence).to_bytes(4, "big") + b"\0\0\0\7"
            yield encode_packet(Packet(Kind.RTP, ALICE, BOB, time_us, head + bytes(160), call_id, 0))


def test_every_capture_time_is_kept_and_found(victim: Victim) -> None:
    """Within a day a call is filed and found by its capture time, beyond it by the time of its arrival, flagged."""
    victim.start()
    now = now_us()
    near = {f"near{hours:+d}h": [now + hours * HOUR_US] for hours in (-23, -3, 0, 3, 23)}
    near["backwards"] = [now - second * SECOND_US for second in range(20)]
    near["alternating"] = [now + (-1) ** n * 7 * HOUR_US for n in range(20)]
    far = {f"far{hours:+d}h": [now + hours * HOUR_US] for hours in (-25, 25, -87_600, 87_600)}
    far |= {f"absurd-{t}": [t] for t in (0, 1, 2**31, 2**53, 2**62, 2**63 - 1, 2**63, 2**63 + 1, 2**64 - 1)}
    far["absurd-alternating"] = [t for n in range(10) for t in (n, 2**63 - 1 - n, 2**63 + n)]
    for call_id, times in (near | far).items():
        for start in range(0, len(times), 5):
            victim.udp_send(encode_batch(list(_call(call_id, *times[start : start + 5]))))
    sent = 3 * sum(len(times) for times in (near | far).values())
    victim.until(lambda: victim.taken() == sent, "taken")
    for stored in (False, True):
        if stored:
            victim.until(lambda: victim.stored() == sent, "stored")
        for call_id, times in (near | far).items():
            listed = victim.get("/api/v1/calls", call_id=call_id).json()["calls"]
            assert [(one["call_id"], one["sip_messages"], one["rtp_packets"]) for one in listed] == [
                (call_id, len(times), 2 * len(times))
            ]
            assert len(victim.get("/flow", callid=call_id).json()["flow"]) == len(times), call_id
    by_capture = _listed(victim, now - 24 * HOUR_US, now - 20 * HOUR_US)
    by_arrival = _listed(victim, now - 60 * SECOND_US, now_us())
    assert by_capture == {"near-23h"}
    assert by_arrival == {"near+0h", "backwards", *far}
    settle(victim)
    history = History.open(victim.root)
    for call_id, times in (near | far).items():
        flow, media = history.flow(call_id), history.media(call_id)
        assert {message.clock_skew for message in flow.messages} == {call_id in far}, call_id
        assert {chunk.clock_skew for chunk in media.chunks} == {call_id in far}, call_id
        found = sorted(message.time_us % 2**64 for message in flow.messages)
        assert found == sorted(times), call_id
        packets = sorted(t % 2**64 for chunk in media.chunks for t in chunk.rows["time_us"].tolist())
        assert packets == sorted(times * 2), call_id
    history.close()
    assert index_faults(victim.root, compare(victim.root, []).calls) == []
    tally.tell("capture-times", f"{len(near | far)} calls with {sent} packets, all found, 0 lost")


def _listed(victim: Victim, since_us: int, until_us: int) -> set[str]:
    answer = victim.get("/api/v1/calls", since=str(since_us), until=str(until_us), limit="100")
    return {one["call_id"] for one in answer.json()["calls"]}


def test_leaps_of_the_machine_clock_lose_nothing(victim: Victim, faults: Faults, long: bool) -> None:
    leaps = [3 * HOUR_US, -3 * HOUR_US, 10 * YEAR_US, -10 * YEAR_US, 0] * (10 if long else 1)
    victim.start()
    with Traffic(victim.udp, calls=60, seconds=5 * len(leaps) + 10) as traffic:
        for leap_us in leaps:
            time.sleep(1)
            faults.leap(leap_us)
            victim.until(victim.healthy, f"healthy after a leap to {leap_us // SECOND_US:+d} s")
            assert victim.metric("sipflow_heartbeat_age_seconds") <= 2
        traffic.quit()
    sent = traffic.sent
    settle(victim)
    found = judge(victim, traffic, lossless=False)
    # More was planned than sent: what is stored came from the plan, and it is as much as was sent.
    assert found.stored == taken_in(victim) >= sent
    buckets = len(list(find_buckets(victim.root)))
    assert buckets <= 3 * len(leaps) + 2, "a bucket is sealed again and again"
    tally.tell(
        "clock-leaps", f"{len(leaps)} leaps, {found.stored:,} records taken and stored, {buckets} buckets, 0 lost"
    )


def test_a_leap_of_the_clock_hides_no_dead_recorder(victim: Victim, faults: Faults) -> None:
    victim.start()
    os.kill(victim.process.pid, signal.SIGSTOP)
    try:
        faults.leap(-10 * YEAR_US)
        victim.until(lambda: victim.sick_of("no sign of life"), "sick of the silence")
    finally:
        os.kill(victim.process.pid, signal.SIGCONT)
    victim.until(victim.healthy, "healthy again")
    settle(victim)


def test_a_seal_that_failed_is_made_later_and_health_is_green_again(victim: Victim, faults: Faults) -> None:
    victim.start()
    traffic = burst(victim, start_us=hours_ago(3))
    faults.fail(Op.WRITE | Op.SYNC | Op.CHMOD, "20*")
    faults.leap(300 * SECOND_US)
    victim.until(lambda: victim.sick_of("seal"), "sick of what it cannot seal")
    struck = faults.clear()
    faults.leap(900 * SECOND_US)
    victim.until(lambda: all_sealed(victim.root), "sealed", 8)
    victim.until(victim.healthy, "healthy again", 8)
    settle(victim)
    found = judge(victim, traffic)
    assert found.unstored == 0
    tally.tell("seal-fault", f"{struck} calls failed, sealed later, {found.stored:,} records stored", struck=struck)


def test_a_bucket_that_the_reader_looks_at_is_sealed_all_the_same(victim: Victim, faults: Faults) -> None:
    victim.start()
    traffic = burst(victim, start_us=hours_ago(3))
    for call in traffic.calls():
        assert victim.get("/flow", callid=call.call_id).json()["flow"]
    faults.leap(300 * SECOND_US)
    victim.until(lambda: all_sealed(victim.root), "sealed", 15)
    victim.until(victim.healthy, "healthy")
    for call in traffic.calls():
        assert victim.get("/flow", callid=call.call_id).json()["flow"]
    settle(victim)
    found = judge(victim, traffic)
    assert found.unstored == 0


def test_a_bucket_that_cannot_be_read_for_its_seal_stops_nothing(victim: Victim, faults: Faults) -> None:
    """The seal reads the whole index, and fails at another place each time; the committer has to outlive that."""
    traffics = []
    struck = 0
    for nth in (3, 5, 7):
        victim.start()
        traffics.append(burst(victim, start_us=hours_ago(3), first=2000 * nth))
        settle(victim)
        victim.start()
        rule = faults.fail(Op.READ, "20*sipflow.db", nth=nth)
        faults.leap(300 * SECOND_US)
        victim.until(lambda rule=rule: rule.hit > 0, "struck")  # type: ignore[misc]
        time.sleep(0.5)
        struck += faults.clear()
        faults.leap(0)
        traffics.append(burst(victim, start_us=hours_ago(5), first=2000 * nth + 1000, seconds=8))
        settle(victim)
    found = judge(victim, *traffics)
    assert found.unstored == 0
    tally.tell("seal-unreadable", f"{struck} calls failed, {found.stored:,} records stored", struck=struck)
