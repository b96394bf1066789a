"""How bad the media of each call was, as a sealed bucket says it."""

import random
import struct
from pathlib import Path
from typing import Any

import pytest

from captures import SHARED, need
from portions import A, B, invite, portions_of
from sipflow._fast import worst_opinion
from sipflow.importer import import_files
from sipflow.media.codec import STATIC
from sipflow.media.emodel import impairment_of, score
from sipflow.media.statistics import statistics
from sipflow.query.answer import Criteria
from sipflow.query.parts import OpenPart
from sipflow.storage.block import KIND_MESSAGES, Block, iter_blocks
from sipflow.storage.bucket import Bucket
from sipflow.storage.layout import DATA, Subdirs, find_buckets
from sipflow.storage.reindex import reindex_bucket
from sipflow.wire.endpoint import Endpoint
from sipflow.wire.packet import Kind, Packet
from storage.test_index import T0, ask

COLUMNS = "loss_percent, jitter_us, mos, mos_scale, one_way"


def talk(
    call_id: str,
    numbers: range | list[int],
    *,
    leg: int = 0,
    payload_type: int = 0,
    ends: tuple[Endpoint, Endpoint] = (A, B),
    late_us: int = 0,
) -> list[Packet]:
    """A stream at a steady pace; every second packet comes `late_us` late."""
    return [
        Packet(
            Kind.RTP,
            *ends,
            T0 + 20_000 * n + late_us * (n % 2),
            struct.pack(">BBHII", 0x80, payload_type, n % 65536, 160 * n, 7 + leg) + bytes(160),
            call_id,
            leg=leg,
            client_id=1,
        )
        for n in numbers
    ]


def answered(call_id: str) -> list[Packet]:
    asked = invite(call_id, T0)
    reply = asked.payload.replace(b"INVITE sip:bob@example.com SIP/2.0", b"SIP/2.0 200 OK", 1)
    return [asked, Packet(Kind.SIP, B, A, T0 + 1, reply, call_id, leg=0, client_id=1)]


def both(call_id: str, numbers: range | list[int], **more: Any) -> list[Packet]:
    return talk(call_id, numbers, **more) + talk(call_id, numbers, leg=1, **more)


def sealed(directory: Path, packets: list[Packet], *, append: int = 1) -> dict[str, tuple[Any, ...]]:
    """Seal a bucket of these packets, committed in `append` pieces."""
    bucket = Bucket(directory)
    size = -(-len(packets) // append)
    for at in range(0, len(packets), size):
        bucket.append([portion for _, portion in portions_of(packets[at : at + size], Subdirs.NONE)])
    bucket.seal()
    return worst_of(directory)


def worst_of(directory: Path) -> dict[str, tuple[Any, ...]]:
    return {row[0]: tuple(row[1:]) for row in ask(directory, f"SELECT call_id, {COLUMNS} FROM call_meta")}


@pytest.mark.parametrize("payload_type", range(128))
def test_an_opinion_is_that_of_the_e_model(payload_type: int) -> None:
    codec = STATIC.get(payload_type)
    row = None if codec is None else impairment_of(codec.name)
    for loss in (0.0, 0.5, 1.0, 5.0, 37.0, 100.0):
        found = worst_opinion(payload_type, loss)
        if row is None:
            assert found is None
        else:
            one = score(row, loss)
            assert found is not None
            assert found[0] == str(one.scale)
            assert found[1] == pytest.approx(one.mos, abs=1e-12)


def test_calls_of_each_kind(tmp_path: Path) -> None:
    every_tenth = [n for n in range(500) if n % 10 != 5]
    found = sealed(
        tmp_path,
        answered("good") + both("good", range(500))
        + answered("lossy") + both("lossy", range(500)) + talk("lossy", [n + 500 for n in every_tenth])
        + answered("bad leg") + talk("bad leg", range(500)) + talk("bad leg", every_tenth, leg=1)
        + answered("jitter") + both("jitter", range(500), late_us=5000)
        + answered("dynamic") + both("dynamic", every_tenth, payload_type=96, late_us=5000)
        + answered("wide") + both("wide", every_tenth, payload_type=9)
        + answered("silent leg") + talk("silent leg", range(500))
        + talk("ringing", range(500))
        + answered("both on one leg") + talk("both on one leg", range(500))
        + talk("both on one leg", range(500), ends=(B, A))
        + answered("short") + talk("short", [1, 1000])
        + answered("no media"),
        append=5,
    )  # fmt: skip
    good, ten = score_of(0, 0.0), score_of(0, 10.0)
    assert found["good"] == (0.0, 0, good, "NB", 0)
    assert found["lossy"][0] == pytest.approx(100 * 50 / 1000)
    assert found["bad leg"] == (pytest.approx(10.0), 0, ten, "NB", 0)
    assert found["jitter"] == (0.0, pytest.approx(5000, rel=0.01), good, "NB", 0)
    assert found["dynamic"] == (pytest.approx(10.0), None, None, None, 0)
    assert found["wide"] == (pytest.approx(10.0), 0, score_of(9, 10.0), "WB", 0)
    assert found["silent leg"] == (0.0, 0, good, "NB", 1)
    assert found["ringing"] == (0.0, 0, good, "NB", None)
    assert found["both on one leg"][4] == 0
    assert found["short"] == found["no media"] == (None,) * 5


def score_of(payload_type: int, loss: float) -> Any:
    row = impairment_of(STATIC[payload_type].name)
    assert row is not None
    return pytest.approx(score(row, loss).mos, abs=1e-9)


def test_loss_between_chunks_counts_and_restarts_do_not(tmp_path: Path) -> None:
    # More than a chunk holds is missing, so that the hole lies between two.
    hole = [*range(300), *range(1300, 1600)]
    restart = [*range(300), *range(40_000, 40_300)]
    wrap = range(65_300, 65_900)
    found = sealed(tmp_path, both("hole", hole) + both("restart", restart) + both("wrap", wrap))
    assert [found[name][0] for name in ("hole", "restart", "wrap")] == [pytest.approx(62.5), 0.0, 0.0]


def test_chunks_committed_out_of_order_are_no_loss(tmp_path: Path) -> None:
    packets = talk("call", range(1000))
    found = sealed(tmp_path, packets[600:] + packets[:600], append=5)
    assert found["call"][0] == 0.0


def test_an_open_bucket_says_nothing_yet(tmp_path: Path) -> None:
    bucket = Bucket(tmp_path)
    bucket.append([portion for _, portion in portions_of(both("call", range(100)), Subdirs.NONE)])
    bucket.close()
    assert worst_of(tmp_path) == {"call": (None,) * 5}
    assert reindex_bucket(tmp_path).failed == ""
    assert worst_of(tmp_path) == {"call": (None,) * 5}
    bucket = Bucket(tmp_path)
    bucket.seal()
    assert worst_of(tmp_path)["call"][0] == 0.0


def test_a_rebuilt_index_says_the_same(tmp_path: Path) -> None:
    chance = random.Random(3)
    packets = []
    for n in range(20):
        kept = [number for number in range(400) if chance.random() > n / 100]
        packets += answered(f"call-{n}") + both(f"call-{n}", kept, late_us=100 * n)
    before = sealed(tmp_path, packets, append=3)
    assert reindex_bucket(tmp_path).failed == ""
    assert worst_of(tmp_path) == before
    assert len({row[2] for row in before.values()}) > 15


def test_it_is_near_what_is_measured_on_demand(tmp_path: Path) -> None:
    import_files(sorted(need(SHARED).glob("*.pcap*")), tmp_path, Subdirs.DAILY)
    compared = 0
    for path in find_buckets(tmp_path):
        chunks: dict[str, list[Any]] = {}
        for block in iter_blocks(tmp_path / path / DATA):
            assert isinstance(block, Block)
            if block.header.kind != KIND_MESSAGES:
                chunk = block.chunk()
                chunks.setdefault(chunk.key.call_id, []).append(chunk)
        for call_id, (loss, *_) in worst_of(tmp_path / path).items():
            streams = [one for one in statistics(chunks.get(call_id, [])) if one.packet_count >= 25]
            if loss is not None and streams and not any(one.duplicates or one.resets for one in streams):
                assert loss == pytest.approx(max(one.loss_percent for one in streams), abs=0.6), call_id
                compared += 1
    assert compared > 10


def test_calls_are_found_by_how_bad_they_were(tmp_path: Path) -> None:
    bucket = tmp_path / "2026/06/01/00"
    sealed(bucket, both("good", range(100)) + both("bad", [n for n in range(500) if n % 10 != 5]))
    part = OpenPart(tmp_path, "2026/06/01/00", sealed=True)
    try:
        for criteria, names in (
            (Criteria(), {"good", "bad"}),
            (Criteria(mos_below=4.0), {"bad"}),
            (Criteria(mos_below=4.5), {"good", "bad"}),
            (Criteria(loss_above=9.0), {"bad"}),
            (Criteria(loss_above=11.0), set()),
            (Criteria(mos_below=4.5, loss_above=0.5), {"bad"}),
        ):
            assert {row.digest.call_id for row in part.newest(criteria, None, 10)} == names
    finally:
        part.close()
