"""Pages of live calls: what C gathers is what the messages say, and what is committed meanwhile is listed too."""

import random
from pathlib import Path

import pytest
from msgspec import structs

from portions import invite, media
from sipflow._fast import Intake, Pool
from sipflow.query.answer import CallSummary, Criteria
from sipflow.query.descent import Began
from sipflow.query.history import History
from sipflow.query.live import ALWAYS, Called, LiveCalls, LivePool, list_live
from sipflow.query.window import Window
from sipflow.storage.bucket import Bucket
from sipflow.storage.catalog import Catalog
from sipflow.storage.encoder import Encoder
from sipflow.storage.layout import HOUR_US, Subdirs
from sipflow.storage.store import open_pool
from sipflow.wire.packet import Packet

T0 = 480_000 * HOUR_US
STARTS = [b"INVITE sip:x SIP/2.0", b"BYE sip:x SIP/2.0", b"ACK sip:x SIP/2.0", b"SIP/2.0 200 OK", b"SIP/2.0 486 No",
          b"REGISTER sip:x SIP/2.0", b"no start line"]  # fmt: skip
USERS = [b"alice", b"bob", b"\xff\xc3\xa4", b""]


def put(intake: Intake, packet: Packet, *, call_id: bytes | None = None, payload: bytes | None = None) -> None:
    intake.put(
        packet.kind, packet.src.family, packet.src.packed, packet.src.port, packet.dst.packed, packet.dst.port,
        packet.time_us, packet.client_id, packet.call_id.encode() if call_id is None else call_id, packet.leg,
        packet.payload if payload is None else payload, packet.time_us,
    )  # fmt: skip


def filled(root: Path, chance: random.Random, messages: int) -> Pool:
    """Make a pool of messages of few calls, whatever they say, in chunks that end anywhere."""
    pool = open_pool(root, 64, root)
    intake = Intake(pool, 0, 1_000_000, 0, media=True, trust_time=True)
    call_ids = [b"a", b"ab", b"\xff", b"\xfe", b"\xc3\xa4", "\U0001f600".encode(), "\ufffd".encode(), b"\xe2\x82"]
    for _ in range(messages):
        call_id, tag = chance.choice(call_ids), chance.choice([b"", b";tag=1"])
        one, other = chance.choice(USERS), chance.choice(USERS)
        text = b"%s\r\nCall-ID: %s\r\nFrom: <sip:%s@h>;tag=2\r\nTo: <sip:%s@h>%s\r\nCSeq: 1 INVITE\r\n\r\n" % (
            chance.choice(STARTS), call_id, one, other, tag,
        )  # fmt: skip
        put(intake, invite("", T0 + chance.randrange(50)), call_id=b"", payload=text)
        if chance.random() < 0.1:
            intake.drain()
    return pool


@pytest.mark.parametrize("seed", range(20))
def test_the_roster_says_what_the_messages_say(tmp_path: Path, seed: int) -> None:
    chance = random.Random(seed)
    pool = filled(tmp_path, chance, chance.choice([0, 1, 5, 60]))
    live = LivePool(tmp_path)
    messages = live.messages(None, ALWAYS)
    digests = list_live([message for _, message in messages])
    expected = [
        Called(one.first_us, one.call_id, one.last_us, one.begins, one.from_user, one.to_user)
        for one in sorted(digests.values(), key=lambda one: (one.first_us, one.call_id), reverse=True)
    ]
    calls = live.calls(heads=True)
    assert calls.newest(None, 1000) == expected
    for call in expected:
        assert calls.find(call.call_id) == call
        assert calls.messages(call.call_id) == [one for one in messages if one[1].call_id == call.call_id]
        assert calls.newest(Began(*call[:2]), 2) == expected[expected.index(call) + 1 :][:2]
    plain = [call._replace(begins=False, from_user="", to_user="") for call in expected]
    assert live.calls(heads=False).newest(None, 1000) == plain
    assert pool.pending() == len(messages)


def test_any_number_is_before_or_behind(tmp_path: Path) -> None:
    pool = filled(tmp_path, random.Random(1), 20)
    calls = LivePool(tmp_path).calls(heads=False)
    every = calls.newest(None, 1000)
    assert len(every) > 3
    assert calls.newest(Began(1 << 70, ""), 1000) == every
    assert calls.newest(Began(-(1 << 70), "z"), 1000) == []
    assert calls.find("\ud800") is None
    assert calls.messages("\ud800") == []
    calls.close()
    assert calls.newest(None, 1000) == []
    assert calls.find("a") is None
    assert pool.pending() == 20


@pytest.mark.parametrize("criteria", [
    Criteria(limit=3), Criteria(limit=3, user="al*"), Criteria(limit=3, window=Window(T0 + 2, T0 + 40)),
    Criteria(limit=3, call_id="call-07"),
])  # fmt: skip
def test_what_is_committed_under_a_page_is_on_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, criteria: Criteria
) -> None:
    pool = open_pool(tmp_path, 64, tmp_path)
    intake = Intake(pool, 0, 1_000_000, 0, media=True, trust_time=True)
    catalog = Catalog(tmp_path)
    for n in range(50):
        put(intake, invite(f"call-{n:02d}", T0 + n))
        put(intake, media(f"call-{n:02d}", T0 + n))
    history = History.open(tmp_path)

    def pages() -> list[CallSummary]:
        found, after = [], None
        while True:
            page = history.calls(structs.replace(criteria, after=after))
            assert page.faults == []
            found += page.calls
            after = page.next
            if after is None:
                return found

    before = pages()
    assert len(before) == (1 if criteria.call_id else 39 if criteria.window.start_us else 50)
    look = LivePool.calls

    def commit_then_give(pool_of: LivePool, *, heads: bool) -> LiveCalls:
        calls = look(pool_of, heads=heads)
        intake.drain()
        while chunks := pool.take(64, 0):
            for period, portion in Encoder(pool, Subdirs.HOURLY).encode(chunks).portions:
                part = catalog.claim(period)
                bucket = Bucket(tmp_path / part.path)
                catalog.made(part)
                bucket.append([portion])
                bucket.close()
            pool.release(chunks)
        # Others have the chunks now.
        put(intake, invite("later", T0 + 1_000_000))
        put(intake, media("later", T0 + 1_000_000))
        return calls

    monkeypatch.setattr(LivePool, "calls", commit_then_give)
    first = history.calls(criteria)
    assert first.calls == before[: len(first.calls)]
    assert first.calls
    assert pool.pending() == 2
    monkeypatch.undo()
    assert [one for one in pages() if one.call_id != "later"] == before
    history.close()
    catalog.close()
