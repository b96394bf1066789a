"""Calls of several dialogs: what joins them is in their headers, and each is whole by itself."""

import re

import pytest

from sipflow.load.call import Call
from sipflow.load.scenario import Scenario
from sipflow.load.style import Style
from sipflow.wire.packet import Packet
from sipflow.wire.sip import parse_head

START = 1_780_000_000_000_000
JOINED = {Scenario.B2BUA: 2, Scenario.TRANSFER: 2, Scenario.ATTENDED: 3}


def call_of(scenario: Scenario, number: int) -> Call:
    return Call(1, number, scenario, START, 20_000_000, Style(ipv6=number % 4 == 0))


def header(packet: Packet, name: str) -> str:
    found = re.search(rf"^{name}: (.*)\r$", packet.payload.decode(), re.MULTILINE | re.IGNORECASE)
    return found[1] if found else ""


def first(call: Call, method: str, line: int = 0) -> Packet:
    return next(
        m for m in call.messages() if m.payload.startswith(f"{method} ".encode()) and m.call_id == call.call_ids[line]
    )


@pytest.mark.parametrize("number", range(12))
@pytest.mark.parametrize("scenario", JOINED)
def test_every_dialog_is_whole_and_named_by_the_session(scenario: Scenario, number: int) -> None:
    call = call_of(scenario, number)
    assert len(call.call_ids) == len(set(call.call_ids)) == JOINED[scenario]
    sessions = set()
    for call_id in call.call_ids:
        own = [m for m in call.messages() if m.call_id == call_id]
        labels = [parse_head(m.payload).label for m in own]
        assert labels[0] == "INVITE"
        assert labels[-2:] == ["BYE", "200 OK"]
        assert "ACK" in labels
        for message in own:
            one, other = re.fullmatch(r"([0-9a-f]{32});remote=([0-9a-f]{32})", header(message, "Session-ID")).groups()  # type: ignore[union-attr]
            sessions |= {one, other}
        streams = [s for s in call.streams() if s.call_id == call_id]
        assert [s.leg for s in streams] == [0, 1]
    assert len(sessions - {"0" * 32}) == 2  # one of each end, in every dialog (RFC 7989)


def test_a_back_to_back_user_agent_carries_the_caller_on() -> None:
    call = call_of(Scenario.B2BUA, 3)
    first_leg, second_leg = first(call, "INVITE"), first(call, "INVITE", 1)
    assert first_leg.dst == second_leg.src  # the exchange
    user = re.search(r"<sip:([^@]+)@", header(first_leg, "From"))
    assert user is not None
    assert f"<sip:{user[1]}@" in header(second_leg, "From")


def test_a_transfer_refers_and_is_told() -> None:
    call = call_of(Scenario.TRANSFER, 3)
    refer = first(call, "REFER")
    target = re.fullmatch(r"<sip:([^@]+)@.*>", header(refer, "Refer-To"))
    onward = first(call, "INVITE", 1)
    assert target is not None
    assert onward.payload.startswith(f"INVITE sip:{target[1]}@".encode())
    assert header(onward, "Referred-By") == header(refer, "Referred-By") != ""
    assert refer.time_us < onward.time_us
    told = [m for m in call.messages() if m.payload.startswith(b"NOTIFY")]
    assert [m.payload.partition(b"\r\n\r\n")[2] for m in told] == [b"SIP/2.0 100 Trying\r\n", b"SIP/2.0 200 OK\r\n"]
    assert [header(m, "Subscription-State") for m in told] == ["active;expires=60", "terminated;reason=noresource"]
    assert {header(m, "Event") for m in told} == {"refer"}
    # The first dialog is over when the second one talks on.
    bye = first(call, "BYE")
    assert bye.time_us < first(call, "BYE", 1).time_us


@pytest.mark.parametrize("number", range(12))
def test_replaces_names_the_dialog_that_was_held(number: int) -> None:
    call = call_of(Scenario.ATTENDED, number)
    by_id = dict(enumerate(call.call_ids))
    onward = next(m for m in call.messages() if header(m, "Replaces"))
    call_id, *tags = header(onward, "Replaces").split(";")
    # RFC 3891, section 3: the tags are those of the dialog as the party sees it that is called now.
    held = [m for m in call.messages() if m.call_id == call_id]
    accepted = parse_head(next(m for m in held if m.payload.startswith(b"SIP/2.0 200")).payload)
    assert call_id in by_id.values()
    assert onward.call_id != call_id
    assert tags == [f"to-tag={accepted.to_tag}", f"from-tag={accepted.from_tag}"]
    refer = first(call, "REFER")
    asked = header(refer, "Refer-To")
    escaped = call_id.replace("@", "%40")
    assert f"?Replaces={escaped}%3Bto-tag%3D{accepted.to_tag}%3Bfrom-tag%3D{accepted.from_tag}>" in asked
    # The party that is called hangs up the dialog that is replaced (section 3).
    bye = next(m for m in held if m.payload.startswith(b"BYE"))
    assert bye.src == onward.dst


def test_info_digits_are_pressed_one_by_one() -> None:
    call = call_of(Scenario.INFO_DIGITS, 1)
    keys = []
    for message in call.messages():
        if message.payload.startswith(b"INFO"):
            assert b"application/dtmf-relay" in message.payload
            found = re.search(rb"\r\n\r\nSignal=([0-9*#])\r\nDuration=160\r\n$", message.payload)
            assert found is not None
            keys.append(found[1])
    assert len(keys) == 4


def test_refusals_have_the_shares_of_the_style() -> None:
    style = Style(refusals=((486, 3.0), (503, 1.0)))
    calls = [Call(1, n, Scenario.REFUSED, START, 1_500_000, style) for n in range(800)]
    statuses = [call.status for call in calls]
    assert set(statuses) == {486, 503}
    assert 0.2 < statuses.count(503) / len(statuses) < 0.3
    for call in calls[:20]:
        last = call.messages()[-2]
        assert last.payload.startswith(f"SIP/2.0 {call.status} ".encode())
        assert header(last, "Retry-After") == "30"
