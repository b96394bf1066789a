"""Searches over a data root give exactly the calls that fit, whatever the index makes of the terms."""

import fnmatch
import re
from collections.abc import Callable, Iterator
from ipaddress import ip_address, ip_network

import pytest

from capture_writer import frame, pcap, sip
from sample_root import BEGIN_US, make_sample
from sipflow.clock import SECOND_US
from sipflow.importer import import_files
from sipflow.query.answer import CallSummary, Criteria
from sipflow.query.history import History
from sipflow.query.search import parse_search

HOUR_US = 3600 * SECOND_US
ENDS = (("10.1.2.3", 5060), ("10.200.0.1", 5070), ("192.0.2.9", 5060), ("2001:db8::7", 5060), ("2001:db9::7", 5060))
USERS = ("alice", "bob", "+4930123", "a%b", "under_score", "star*", "[x]", "Alice")
AGENTS = ("Yealink SIP-T46S 66.85", "100%_real", "linphone/5", "")
ANSWERS = ("200 OK", "486 Busy Here", "404 Not Found", "503 Service Unavailable")


def message(start: str, number: int, sender: str, callee: str, agent: str, extra: str = "") -> bytes:
    octets = sip(start, f"call-{number}@h", "1 INVITE" if "OPTIONS" not in start else "1 OPTIONS", to_tag=extra)
    head = octets.decode()
    head = re.sub(r"From: .*", f"From: <sip:{sender}@example.com:5070;user=phone>;tag=f\r", head)
    head = re.sub(r"To: .*", f"To: <sip:{callee}@example.net>{';tag=t' if extra else ''}\r", head)
    return head.replace("CSeq:", f"User-Agent: {agent}\r\nCSeq:" if agent else "CSeq:").encode()


@pytest.fixture(scope="module")
def history(tmp_path_factory: pytest.TempPathFactory) -> Iterator[History]:
    """Three hours of calls of all mixtures, some answered in the next hour."""
    root = tmp_path_factory.mktemp("selection") / "root"
    make_sample(root, 1)
    frames = []
    for n in range(160):
        at_us = BEGIN_US + n * 61 * SECOND_US
        src, dst = ENDS[n % 3], ENDS[(n + 1) % 3]
        if n % 7 == 0:
            src, dst = ENDS[3], ENDS[4]
        sender, callee, agent = USERS[n % 8], USERS[(n // 3) % 8], AGENTS[n % 4]
        method = "OPTIONS" if n % 11 == 0 else "INVITE"
        late_us = 3 * HOUR_US if n % 13 == 0 else SECOND_US  # the answer comes in another bucket
        frames.append((at_us, frame(src, dst, message(f"{method} sip:{callee}@h SIP/2.0", n, sender, callee, agent))))
        if n % 5:
            answer = ANSWERS[n % 4]
            text = message(f"SIP/2.0 {answer}", n, sender, callee, "", ";tag=t")
            if method == "OPTIONS":
                text = text.replace(b"1 INVITE", b"1 OPTIONS")
            frames.append((at_us + late_us, frame(dst, src, text)))
    capture = root.parent / "mixed.pcap"
    capture.write_bytes(pcap(sorted(frames)))
    import_files([capture], root)
    history = History.open(root)
    yield history
    history.close()


def every(history: History, criteria: Criteria) -> list[CallSummary]:
    found, after = [], None
    for _ in range(2000):
        page = history.calls(Criteria(
            window=criteria.window, call_id=criteria.call_id, limit=7, after=after, terms=criteria.terms,
            patience_s=criteria.patience_s, mos_below=criteria.mos_below, loss_above=criteria.loss_above,
        ))  # fmt: skip
        found += page.calls
        after = page.next
        if after is None:
            return found
    raise AssertionError("the pages have no end")


def user(pattern: str, *names: str) -> bool:
    return any(fnmatch.fnmatchcase(name, pattern.replace("[", "[[]").replace("?", "[?]")) for name in names)


def within(network: str, *ends: str) -> bool:
    return any(ip_address(end.rpartition(":")[0].strip("[]")) in ip_network(network) for end in ends)


Fits = Callable[[CallSummary], bool]
SEARCHES: dict[str, Fits] = {
    "": lambda _: True,
    "from:alice": lambda c: c.from_user == "alice",
    "from:a*": lambda c: user("a*", c.from_user),
    "-from:alice": lambda c: c.from_user != "alice",
    "to:+49*": lambda c: c.to_user.startswith("+49"),
    "user:[x]": lambda c: "[x]" in (c.from_user, c.to_user),
    "from:alice@example.com": lambda c: c.from_user == "alice" and "example.com" in c.from_uri,
    "to:*@example.net": lambda c: "example.net" in c.to_uri,
    "alice": lambda c: "alice" in f"{c.from_user} {c.to_user}".lower(),
    "_scor": lambda c: "_scor" in c.from_user + " " + c.to_user,
    "a%b": lambda c: "a%b" in (c.from_user, c.to_user),
    "call-17@h": lambda c: c.call_id == "call-17@h",
    "callid:call-1*": lambda c: c.call_id.startswith("call-1"),
    "ua:YEALINK": lambda c: "Yealink" in c.user_agent,
    "ua:0%_r": lambda c: "100%_real" in c.user_agent,
    "-ua:yealink": lambda c: "Yealink" not in c.user_agent,
    "ip:10.0.0.0/8": lambda c: within("10.0.0.0/8", c.src, c.dst),
    "ip:10.0.0.0/9": lambda c: within("10.0.0.0/9", c.src, c.dst),
    "ip:10.1.2.3": lambda c: within("10.1.2.3/32", c.src, c.dst),
    "ip:0.0.0.0/0": lambda c: "." in c.src,
    "ip:2001:db8::/32": lambda c: within("2001:db8::/32", c.src, c.dst),
    "ip:2001:db8::7": lambda c: within("2001:db8::7/128", c.src, c.dst),
    "-ip:10.0.0.0/8": lambda c: not within("10.0.0.0/8", c.src, c.dst),
    "method:options": lambda c: c.method == "OPTIONS",
    "status:486": lambda c: c.status == 486,
    "status:4xx": lambda c: c.status is not None and 400 <= c.status < 500,
    "-status:4xx": lambda c: c.status is None or not 400 <= c.status < 500,
    "status:failed": lambda c: c.state == "failed",
    "status:answered": lambda c: c.state == "answered",
    "status:completed": lambda c: c.state == "completed",
    "status:trying": lambda c: c.state == "trying",
    "status:other": lambda c: c.state == "other",
    "from:bob status:486": lambda c: c.from_user == "bob" and c.status == 486,
    "from:b* -status:failed ip:10.0.0.0/8": lambda c: (
        c.from_user == "bob" and c.state != "failed" and within("10.0.0.0/8", c.src, c.dst)
    ),
    "text:linphone": lambda c: "linphone" in c.user_agent,
    'text:"BUSY here"': lambda c: c.status == 486,
    '-text:"Busy Here" status:4xx': lambda c: c.status == 404,
    "since:2026-06-01T01:00:00Z from:bob": lambda c: (
        c.last_us >= BEGIN_US + 50 * 60 * SECOND_US and c.from_user == "bob"
    ),
}


@pytest.mark.parametrize("text", SEARCHES)
def test_exactly_the_calls_that_fit(history: History, text: str) -> None:
    wanted = [call for call in every(history, Criteria()) if SEARCHES[text](call)]
    found = every(history, parse_search(text))
    assert [call.call_id for call in found] == [call.call_id for call in wanted]
    assert wanted, "the test has nothing to find"


@pytest.mark.parametrize("text", ["from:bob status:486", "text:linphone", ""])
def test_a_page_without_time_says_how_far_it_came_and_loses_nothing(history: History, text: str) -> None:
    criteria = parse_search(text, Criteria(patience_s=0.0))
    first = history.calls(criteria)
    assert first.stopped_us is not None
    assert len(first.calls) <= 1
    assert [call.call_id for call in every(history, criteria)] == [
        call.call_id for call in every(history, parse_search(text))
    ]
