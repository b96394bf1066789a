"""A packed bucket: the same answers to every question, each call in one place, an index of the same data."""

import os
import sqlite3
from collections.abc import Iterator
from contextlib import ExitStack, closing
from itertools import groupby, islice
from pathlib import Path

import pytest

from answers import Answers, ask_all, call_ids_of
from buckets import T0_US, call, record
from capture_writer import sip
from captures import CAPTURES, need
from older import strip_seal, write_v1
from reference import block as reference
from sipflow._fast import Intake, Pool
from sipflow.config import Retention
from sipflow.errors import CannotPack, PartBusy, StorageError
from sipflow.importer import import_files
from sipflow.load.bank import VoiceBank
from sipflow.load.call import Call
from sipflow.load.scenario import Scenario
from sipflow.query.history import History
from sipflow.storage.block import Block, iter_blocks
from sipflow.storage.catalog import Catalog, Part
from sipflow.storage.layout import DATA, DATABASE, HOLD, HOUR_US, PACKED, PACKING, Subdirs
from sipflow.storage.listing import renew_catalog
from sipflow.storage.packing import pack_part
from sipflow.storage.part_lock import copy_lock
from sipflow.storage.reindex import reindex
from sipflow.storage.seal import read_seal, write_seal
from sipflow.storage.sealed import is_sealed, packed_us
from sipflow.storage.store import Store
from sipflow.storage.swap import pair_of
from sipflow.storage.sweep import Sweep
from sipflow.storage.verify import find_all, verify_bucket, verify_catalog
from sipflow.wire.datagram import same_family
from sipflow.wire.packet import Packet

_SHORT_OCTETS = 60_000


def parts_of(root: Path) -> list[Part]:
    with closing(Catalog(root, readonly=True)) as catalog:
        return catalog.parts()


def pack_all(root: Path) -> None:
    for part in parts_of(root):
        assert pack_part(root, part) is not None


def findings(root: Path) -> list[object]:
    found: list[object] = []
    known = find_all(root, found)  # type: ignore[arg-type]
    for path in known:
        found += verify_bucket(root, path).findings
    return [*found, *verify_catalog(root, known)]


@pytest.fixture
def talk(tmp_path: Path) -> Path:
    """A bucket of twelve calls side by side, each with six seconds of media one way."""
    root = tmp_path / "root"
    record(root, [one for n in range(12) for one in call(f"call-{n}", T0_US + n * 700_000, packets=300)])
    return root


@pytest.fixture
def part(talk: Path) -> Part:
    (found,) = parts_of(talk)
    return found


@pytest.mark.parametrize("path", CAPTURES, ids=lambda path: path.name)
def test_every_capture_answers_the_same(path: Path, tmp_path: Path) -> None:
    root = tmp_path / "root"
    import_files([need(path)], root)
    before = ask_all(root)
    short = _short(root)
    plain = _records(root, short)
    pack_all(root)
    assert ask_all(root) == before
    assert findings(root) == []
    assert _records(root, short) == plain
    for bucket in find_all(root, []):
        (root / bucket / DATABASE).unlink()
    reindex(root)
    assert ask_all(root) == before
    assert findings(root) == []


def test_generated_load_answers_the_same(tmp_path: Path) -> None:
    root = tmp_path / "root"
    _store_generated(root, calls=24, rtp_packets=130)
    before = ask_all(root)
    short = _short(root)
    plain = _records(root, short)
    assert len(before.calls) >= 24
    assert plain
    pack_all(root)
    assert ask_all(root) == before
    assert _records(root, short) == plain
    assert findings(root) == []


def _store_generated(root: Path, calls: int, rtp_packets: int) -> None:
    """Store calls of every scenario of the load generator side by side, late packets and an earlier hour among them."""
    bank = VoiceBank.make(7)
    packets: list[Packet] = []
    for number in range(calls):
        scenario = list(Scenario)[number % len(Scenario)]
        script = Call(7, number, scenario, T0_US + HOUR_US - 20_000_000, 30_000_000).script()
        packets += script.messages
        for stream in script.streams:
            packets += islice(stream.packets(bank), rtp_packets)
    pool = Pool.open(str(root.parent / "pool"), 64 << 20, T0_US)
    store = Store(root, pool, Subdirs.HOURLY, encoders=2, owner=os.getpid())
    store.start()
    intake = Intake(pool, 0, 1_000_000, 0, media=True, trust_time=True)
    for packet in sorted(packets, key=lambda one: one.time_us):
        src, dst = same_family(packet.src, packet.dst)
        intake.put(
            packet.kind, src.family, src.packed, src.port, dst.packed, dst.port, packet.time_us, packet.client_id,
            packet.call_id.encode(), packet.leg, packet.payload, packet.time_us + 700,
        )  # fmt: skip
    intake.drain()
    store.stop()


def test_messages_of_one_instant_keep_their_order(tmp_path: Path) -> None:
    root = tmp_path / "root"
    pool = Pool.open(str(tmp_path / "pool"), 64 << 20, T0_US)
    store = Store(root, pool, Subdirs.HOURLY, encoders=1, owner=os.getpid())
    store.start()
    intake = Intake(pool, 0, 1_000_000, 0, media=True, trust_time=True)
    ends = (bytes([192, 0, 2, 1]), 5060, bytes([192, 0, 2, 2]), 5060)
    for number in (3, 1, 2, 5, 4):
        for call_id in ("one", "other"):
            payload = sip("OPTIONS sip:b SIP/2.0", call_id, f"{number} OPTIONS")
            intake.put(0, 4, *ends, T0_US, 0, call_id.encode(), None, payload, T0_US)
        intake.drain()  # blocks of their own
    store.stop()
    before = ask_all(root)
    assert [message.text.split("CSeq: ")[1][0] for message in before.flows["one"].messages] == list("31254")
    pack_all(root)
    assert ask_all(root) == before


def _short(root: Path) -> list[Path]:
    """Choose the buckets that the reference reader, which is slow, reads in no time."""
    return [path for path in find_all(root, []) if (root / path / DATA).stat().st_size <= _SHORT_OCTETS]


def _records(root: Path, paths: list[Path]) -> list[str]:
    """Read every message and packet of some buckets with the reference reader, in no order."""
    found: list[str] = []
    for path in paths:
        for block in reference.read((root / path / DATA).read_bytes()):
            found += [repr(message) for _, message in block.messages]
            found += [repr((block.stream, packet)) for packet in block.packets]
    return sorted(found)


def test_each_call_lies_in_one_place(talk: Path, part: Part) -> None:
    directory = talk / part.path
    before = _places(directory)
    assert max(before.values()) > 2
    pack_part(talk, part)
    after = _places(directory)
    # One stretch of messages and one of media.
    assert max(after.values()) == 2
    assert before.keys() == after.keys()


def _places(directory: Path) -> dict[str, int]:
    """Count, by call, the stretches of data.raw that hold nothing but what has something of it."""
    order: list[set[str]] = []
    for found in iter_blocks(directory / DATA):
        assert isinstance(found, Block)
        ids = {m.call_id for _, m in found.messages()} if found.header.kind == 1 else {found.chunk().key.call_id}
        order.append(ids)
    return {one: sum(inside for inside, _ in groupby(one in ids for ids in order)) for one in set().union(*order)}


def test_its_messages_share_blocks_and_media_is_moved_as_it_is(talk: Path, part: Part) -> None:
    directory = talk / part.path
    media = sorted(_frames(directory, 2))
    assert pack_part(talk, part) is not None
    assert sorted(_frames(directory, 2)) == media
    assert len(_frames(directory, 1)) == 1


def _frames(directory: Path, kind: int) -> list[bytes]:
    octets = (directory / DATA).read_bytes()
    blocks = [found for found in iter_blocks(directory / DATA) if isinstance(found, Block)]
    return [octets[one.offset : one.offset + one.header.length] for one in blocks if one.header.kind == kind]


def test_the_catalog_and_the_index_tell_that_it_is_packed(talk: Path, part: Part) -> None:
    packed = pack_part(talk, part)
    assert packed is not None
    (now,) = parts_of(talk)
    octets = sum((talk / part.path / name).stat().st_size for name in (DATA, DATABASE))
    assert (now.packed_us, now.octets, packed.after) == (packed.packed_us, octets, octets)
    assert now.octets == (now.sip_octets or 0) + (now.rtp_octets or 0)
    assert now.revision != part.revision
    assert packed_us(talk / part.path) == packed.packed_us
    assert is_sealed(talk / part.path)
    with pytest.raises(CannotPack, match="it is packed"):
        pack_part(talk, now)
    # A catalog made anew knows it too.
    (talk / "catalog.db").unlink()
    renew_catalog(talk)
    reindex(talk)
    assert [one.packed_us for one in parts_of(talk)] == [packed.packed_us]


def test_its_index_is_dense(talk: Path, part: Part) -> None:
    pack_part(talk, part)
    with closing(sqlite3.connect(talk / part.path / DATABASE)) as index:
        assert index.execute("PRAGMA freelist_count").fetchone() == (0,)
        assert index.execute("SELECT sum(length(spare)) FROM call_meta").fetchone() == (0,)
        blocks = [block for (block,) in index.execute("SELECT block FROM media_msgs ORDER BY id")]
        assert blocks == sorted(blocks)


def test_whoever_has_it_open_goes_on(talk: Path, part: Part) -> None:
    with closing(History.open(talk)) as history:
        before = ask_all(talk, history)
        parts = {one: history.media(one) for one in before.calls}
        pack_part(talk, part)
        # Media that is read when it is looked at comes from the file that was open then.
        for one, media in parts.items():
            assert [chunk.data for chunk in media.chunks] == [chunk[3] for chunk in before.media[one][1]]
        assert ask_all(talk, history) == before


def test_a_reader_that_meets_the_exchange_sees_one_pair(
    talk: Path, part: Part, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = ask_all(talk)
    asked: list[Answers] = []
    rename = Path.rename

    def asking(self: Path, target: Path) -> Path:
        done = rename(self, target)
        asked.append(ask_all(talk))
        return done

    monkeypatch.setattr(Path, "rename", asking)
    pack_part(talk, part)
    assert len(asked) == 3
    assert asked == [before] * 3


# --- what stays as it is ---


def test_an_open_bucket_is_left_alone(talk: Path, part: Part) -> None:
    (talk / part.path / DATA).chmod(0o600)
    _refused(talk, part, "not sealed")


def test_a_held_bucket_is_left_alone(talk: Path, part: Part) -> None:
    (talk / part.path / HOLD).touch()
    _refused(talk, part, "held by a file named hold")


def test_an_erased_bucket_is_left_alone(talk: Path, part: Part) -> None:
    Sweep(talk, Retention(rtp_age=1)).run()
    (now,) = parts_of(talk)
    assert now.erased_us is not None
    _refused(talk, now, "its media is erased")


def test_a_packed_bucket_can_be_erased(talk: Path, part: Part) -> None:
    before = ask_all(talk)
    pack_part(talk, part)
    Sweep(talk, Retention(rtp_age=1)).run()
    (now,) = parts_of(talk)
    assert now.erased_us is not None
    assert now.rtp_octets == 0
    assert ask_all(talk).flows == before.flows
    assert findings(talk) == []


def test_an_index_of_version_1_is_left_alone(talk: Path, part: Part) -> None:
    write_v1(talk / part.path)
    _refused(talk, part, "index is of version 1")


def test_messages_of_version_0_1_0_are_left_alone(talk: Path, part: Part) -> None:
    # Their arrival times are finer than those that are written today.
    write_v1(talk / part.path)
    reindex(talk)
    (now,) = parts_of(talk)
    _refused(talk, now, "to the microsecond, as version 0.1.0 wrote")


def test_a_bucket_without_a_seal_is_left_alone(talk: Path, part: Part) -> None:
    strip_seal(talk / part.path)
    _refused(talk, part, "does not end in a seal")


def test_an_archived_bucket_is_left_alone(talk: Path, part: Part) -> None:
    _refused(talk, part._replace(archived_us=1), "archived")


@pytest.mark.parametrize("where", ["frame", "header", "seal of the index"])
def test_a_damaged_bucket_is_left_alone_and_says_why(talk: Path, part: Part, where: str) -> None:
    file = talk / part.path / (DATABASE if where == "seal of the index" else DATA)
    octets = bytearray(file.read_bytes())
    octets[{"frame": 100, "header": 20, "seal of the index": -100}[where]] ^= 1
    file.chmod(0o600)
    file.write_bytes(octets)
    file.chmod(0o400)
    _refused(talk, part, "damaged" if where == "seal of the index" else "block at octet 0", StorageError)


def test_an_index_that_lacks_a_call_is_found_out(talk: Path, part: Part) -> None:
    from_index = "DELETE FROM sip_msgs WHERE id >> 32 = 3"
    _change_index(talk / part.path, from_index)
    _refused(talk, part, "does not know all of its messages|records", StorageError)


def test_an_index_that_says_otherwise_is_found_out(talk: Path, part: Part) -> None:
    _change_index(talk / part.path, "UPDATE call_meta SET status = 404 WHERE id = 3")
    _refused(talk, part, "it does not say what the data says, for instance of call 'call-", StorageError)


def test_media_of_no_stream_is_found_out(talk: Path, part: Part) -> None:
    _change_index(talk / part.path, "DELETE FROM streams WHERE id = 2")
    _refused(talk, part, "belong to no stream", StorageError)


def _change_index(directory: Path, statement: str) -> None:
    """Change an index, and seal it as if that were right."""
    for name in (DATA, DATABASE):
        (directory / name).chmod(0o600)
    with closing(sqlite3.connect(directory / DATABASE)) as index:
        index.execute(statement)
        index.commit()
    seal = read_seal(directory / DATA)
    write_seal(directory, seal.blocks, seal.records)
    for name in (DATA, DATABASE):
        (directory / name).chmod(0o400)


def _refused(root: Path, part: Part, why: str, kind: type[StorageError] = CannotPack) -> None:
    directory = root / part.path
    before = {name: (directory / name).read_bytes() for name in (DATA, DATABASE)}
    with pytest.raises(kind, match=why):
        pack_part(root, part)
    assert {name: (directory / name).read_bytes() for name in (DATA, DATABASE)} == before
    assert not (directory / PACKING).exists()
    assert not (directory / PACKED).exists()


# --- others at work ---


def test_it_stops_when_asked_and_leaves_nothing(talk: Path, part: Part) -> None:
    asked = iter(range(1000))
    before = pair_of(talk / part.path).identity
    assert pack_part(talk, part, stopped=lambda: next(asked) > 5) is None
    assert pair_of(talk / part.path).identity == before
    assert sorted(file.name for file in (talk / part.path).iterdir()) == [DATA, DATABASE]


def test_what_retention_touched_meanwhile_is_not_exchanged(talk: Path, part: Part) -> None:
    def erase() -> None:
        Sweep(talk, Retention(rtp_age=1)).run()

    paces = once(erase)
    with pytest.raises((PartBusy, StorageError)):
        pack_part(talk, part, pace=lambda: next(paces, None))
    (now,) = parts_of(talk)
    assert now.erased_us is not None
    assert now.packed_us is None
    assert findings(talk) == []


def test_a_part_that_is_deleted_meanwhile_goes(talk: Path, part: Part) -> None:
    def delete() -> None:
        Sweep(talk, Retention(sip_age=1)).run()

    paces = once(delete)
    with pytest.raises(StorageError):
        pack_part(talk, part, pace=lambda: next(paces, None))
    assert not (talk / part.path / DATA).exists()
    assert [one.state for one in parts_of(talk)] == []


def once(act: object) -> Iterator[None]:
    act()  # type: ignore[operator]
    yield None


def test_two_do_not_pack_one_part(talk: Path, part: Part) -> None:
    refused: list[str] = []

    def again() -> None:
        try:
            pack_part(talk, part)
        except PartBusy as error:
            refused.append(str(error))

    paces = once(again)
    assert pack_part(talk, part, pace=lambda: next(paces, None)) is not None
    assert "another process packs or copies it" in refused[0]


def test_files_that_somebody_began_to_copy_meanwhile_are_not_exchanged(talk: Path, part: Part) -> None:
    before = pair_of(talk / part.path).identity
    with ExitStack() as copying:
        paces = once(lambda: copying.enter_context(copy_lock(talk / part.path)))
        with pytest.raises(PartBusy, match="another process packs or copies it"):
            pack_part(talk, part, pace=lambda: next(paces, None))
    assert pair_of(talk / part.path).identity == before
    assert sorted(file.name for file in (talk / part.path).iterdir()) == [DATA, DATABASE]
    assert pack_part(talk, part) is not None


def test_calls_are_found_by_name(talk: Path, part: Part) -> None:
    pack_part(talk, part)
    assert call_ids_of(talk) == sorted(f"call-{n}" for n in range(12))
