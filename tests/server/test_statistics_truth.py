"""Statistics of a server in operation, held against what was sent to it: generated calls, gone through by hand."""

import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

import pytest

from running import RunningServer
from sipflow.clock import SECOND_US, now_us
from sipflow.load.call import Call
from sipflow.load.scenario import Scenario
from sipflow.storage.layout import HOUR_US
from sipflow.wire.datagram import encode_batch, encode_packet
from sipflow.wire.packet import Packet

KINDS = (Scenario.ANSWERED, Scenario.BUSY, Scenario.UNANSWERED, Scenario.CHALLENGED, Scenario.REFUSED, Scenario.DIGITS)
CALLS = 60


@dataclass
class Seen:
    """What a call shows to whoever reads its messages in order."""

    agent: str
    source: str
    begun_us: int
    answer_us: int | None = None
    bye_us: int | None = None
    gone_us: int | None = None
    finals: list[int] = field(default_factory=list)

    @property
    def status(self) -> str:
        good = [status for status in self.finals if status < 300]
        return str(good[0]) if good else str(self.finals[-1]) if self.finals else "none"


def header(text: str, name: str) -> str:
    found = re.search(rf"(?mi)^{name}\s*:\s*(.*?)\r?$", text)
    return found.group(1) if found else ""


def read(messages: Iterable[Packet]) -> Seen:
    seen: Seen | None = None
    for packet in messages:
        text = packet.payload.decode("utf-8", "replace")
        first, method = text.split("\r\n", 1)[0], header(text, "CSeq").split()[1]
        if first.startswith("INVITE ") and seen is None:
            seen = Seen(header(text, "User-Agent"), str(packet.src).rsplit(":", 1)[0], packet.time_us)
        assert seen is not None
        if first.startswith("BYE ") and seen.bye_us is None:
            seen.bye_us = packet.time_us
        elif first.startswith("SIP/2.0 ") and (status := int(first.split()[1])) >= 200:
            if method == "INVITE":
                seen.finals.append(status)
                seen.answer_us = seen.answer_us or (packet.time_us if status < 300 else None)
            elif method == "BYE" and status < 300:
                seen.gone_us = seen.gone_us or packet.time_us
    assert seen is not None
    return seen


def is_answer_to_bye(packet: Packet) -> bool:
    text = packet.payload.decode("utf-8", "replace")
    return text.startswith("SIP/2.0 ") and header(text, "CSeq").endswith("BYE")


@pytest.fixture(scope="module")
def sent() -> list[list[Packet]]:
    """Write calls of three hours; every fifth loses the answer to its BYE, if it has one."""
    start_us = now_us() - 3 * HOUR_US
    calls = [
        Call(5, number, KINDS[number % len(KINDS)], start_us + number * 170 * SECOND_US, 20 * SECOND_US)
        for number in range(CALLS)
    ]
    found = [call.messages() for call in calls]
    return [
        [one for one in messages if number % 5 or not is_answer_to_bye(one)] for number, messages in enumerate(found)
    ]


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory, sent: list[list[Packet]]) -> Iterator[RunningServer]:
    with RunningServer(tmp_path_factory.mktemp("truth") / "root") as server:
        for messages in sent:
            server.send(encode_batch([encode_packet(one) for one in messages]))
        wanted = expected([read(messages) for messages in sent])
        # What is wrong for good is told by the tests, with the difference.
        with suppress(AssertionError):
            server.until(lambda: shown(total(server)) == wanted, "counted", 60)
        yield server


def total(server: RunningServer) -> Any:
    return server.get("/api/v1/statistics").json()["total"]


def mean(values: list[int]) -> Any:
    return pytest.approx(sum(values) / len(values) / SECOND_US) if values else None


def expected(calls: list[Seen]) -> dict[str, Any]:
    answered = [one for one in calls if one.answer_us is not None]
    ended = [one for one in calls if one.bye_us is not None]
    gone = [one.gone_us - one.bye_us for one in ended if one.gone_us is not None and one.bye_us is not None]
    talks = [one.bye_us - one.answer_us for one in answered if one.bye_us is not None and one.answer_us is not None]
    return {
        "attempts": len(calls),
        "answered": len(answered),
        "completed": sum(one.gone_us is not None for one in answered),
        "disconnected": len(gone),
        "undisconnected": len(ended) - len(gone),
        "statuses": dict(Counter(one.status for one in calls)),
        "sdd_s": mean(gone),
        "sdt_s": mean(talks),
        "acd_s": pytest.approx(sum(talks) / len(answered) / SECOND_US) if answered else None,
        "asr": pytest.approx(100 * len(answered) / len(calls)),
        "scr": pytest.approx(100 * sum(one.gone_us is not None for one in answered) / len(calls)),
    }


def shown(ratios: dict[str, Any]) -> dict[str, Any]:
    return {name: ratios[name] for name in expected([Seen("", "", 0)])}


def test_all_calls(server: RunningServer, sent: list[list[Packet]]) -> None:
    calls = [read(messages) for messages in sent]
    wanted = expected(calls)
    assert wanted["disconnected"] > wanted["undisconnected"] > 3
    assert shown(total(server)) == wanted


@pytest.mark.parametrize("by", ["agent", "source"])
def test_each_group_hour_by_hour(server: RunningServer, sent: list[list[Packet]], by: str) -> None:
    groups: defaultdict[str, defaultdict[int, list[Seen]]] = defaultdict(lambda: defaultdict(list))
    for call in (read(messages) for messages in sent):
        groups[getattr(call, by)][call.begun_us // HOUR_US * HOUR_US].append(call)
    assert len(groups) > 3
    assert any(len(hours) > 1 for hours in groups.values()) or by == "source"
    listed = {one["name"]: one["ratios"] for one in server.get("/api/v1/statistics").json()[f"{by}s"]}
    assert listed.keys() == groups.keys()
    for name, hours in groups.items():
        told = server.get("/api/v1/statistics", of=f"{by}:{name}").json()
        assert {one["time_us"]: shown(one["ratios"]) for one in told["hours"]} == {
            time_us: expected(calls) for time_us, calls in hours.items()
        }
        assert shown(told["total"]) == expected([call for calls in hours.values() for call in calls])
        assert told["total"] == listed[name]
