"""Sealed parts archived to a real S3 server: what stands there, what the catalog says, and what a failure changes."""

import os
import re
import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

import httpx
import pytest

from buckets import call, hours, record
from faulty_proxy import Fault, at_step, faulty_proxy, once_each
from s3_server import BUCKET, SECRET_KEY, S3Server
from sipflow._fast import crc32c
from sipflow.archive import leftovers
from sipflow.archive.archiver import LOOK_SECONDS, Archiver
from sipflow.archive.manifest import MANIFEST, PRINTS, Manifest, decode_manifest
from sipflow.archive.objects import Objects
from sipflow.archive.opening import open_place
from sipflow.archive.place import PIECE, Stored
from sipflow.archive.sending import Sender, read_manifest
from sipflow.archive.state import read_state, scratch_of
from sipflow.clock import DAY_US, now_us
from sipflow.config import Retention
from sipflow.destination import Upload
from sipflow.errors import ObjectDamaged, PartBusy, StorageError
from sipflow.storage.call_hash import call_hash
from sipflow.storage.catalog import Catalog, Part
from sipflow.storage.layout import DATA, DATABASE, HOUR_US
from sipflow.storage.packing import pack_part
from sipflow.storage.part_lock import swap_lock
from sipflow.storage.sweep import Sweep

KEPT = Retention()


def parts_of(root: Path) -> list[Part]:
    catalog = Catalog(root, readonly=True)
    try:
        return sorted(catalog.standing(), key=lambda part: part.path)
    finally:
        catalog.close()


def archiver(root: Path, upload: Upload) -> Archiver:
    return Archiver(root, upload, "pbx-1", open_place(upload))


def objects_in(s3: S3Server, upload: Upload) -> dict[str, bytes]:
    top = s3.directory / BUCKET / upload.root
    return {file.relative_to(top).as_posix(): file.read_bytes() for file in top.rglob("*") if file.is_file()}


def expected_of(root: Path, parts: Iterable[Part]) -> dict[str, bytes]:
    return {
        f"pbx-1/{part.path}/{name}": (root / part.path / name).read_bytes()
        for part in parts
        for name in (DATA, DATABASE)
    }


def unfinished(s3: S3Server, upload: Upload) -> list[str]:
    """List the uploads in pieces that the store has and nobody finished, by key."""
    signer = leftovers._signer_of(upload)
    assert signer is not None
    with httpx.Client() as client:
        return [key for key, _ in leftovers._unfinished(client, signer, f"{upload.root}/")]


def test_sealed_hours_stand_in_the_archive_as_they_stand_here(root: Path, s3: S3Server, upload: Upload) -> None:
    worker = archiver(root, upload)
    assert worker.turn() == LOOK_SECONDS
    parts = parts_of(root)
    found = objects_in(s3, upload)
    files = expected_of(root, parts)
    assert {key: found[key] for key in files} == files
    for hour, part in enumerate(parts):
        assert part.archive_key == f"pbx-1/{part.path}"
        assert part.archived_us is not None
        assert part.evicted_us is None
        manifest = decode_manifest(found.pop(f"{part.archive_key}/{MANIFEST}"), "manifest")
        assert (manifest.node, manifest.path, manifest.calls, manifest.sip_messages, manifest.rtp_packets) == (
            "pbx-1", part.path, 1, 3, 100
        )  # fmt: skip
        assert [(file.name, file.octets, file.crc32c) for file in manifest.files] == [
            (name, len(found[f"{part.archive_key}/{name}"]), crc32c(found.pop(f"{part.archive_key}/{name}")))
            for name in (DATA, DATABASE)
        ] + [(PRINTS, 8, crc32c(call_hash(f"call-{hour}@h")))]
        assert found.pop(f"{part.archive_key}/{PRINTS}") == call_hash(f"call-{hour}@h")
    assert found == {}
    state = read_state(root)
    assert state is not None
    assert (state.parts, state.octets, state.archived_parts, state.failures, state.error) == (0, 0, 2, 0, "")
    assert not scratch_of(root).exists()
    # Archived once, and never again.
    before = {file: file.stat().st_mtime_ns for file in (s3.directory / BUCKET / upload.root).rglob("*.*")}
    worker.turn()
    assert {file: file.stat().st_mtime_ns for file in (s3.directory / BUCKET / upload.root).rglob("*.*")} == before


def test_late_packets_are_a_further_part_and_nothing_is_written_again(
    root: Path, s3: S3Server, upload: Upload, tmp_path: Path
) -> None:
    archiver(root, upload).turn()
    before = objects_in(s3, upload)
    (first, _) = parts_of(root)
    record(root, call("late@h", first.start_us + HOUR_US // 2))
    archiver(root, upload).turn()
    after = objects_in(s3, upload)
    assert {key: after[key] for key in before} == before
    late = f"pbx-1/{first.path}/part-0001"
    assert {key.rpartition("/")[0] for key in after if key not in before} == {late}
    assert read_manifest(open_place(upload), late).path == f"{first.path}/part-0001"


def test_a_large_part_travels_in_pieces(s3: S3Server, upload: Upload, tmp_path: Path) -> None:
    root = tmp_path / "large"
    record(root, call("long@h", 480_000 * HOUR_US, packets=PIECE * 5 // 4 // 1200, octets=1200))
    parts = parts_of(root)
    sizes = [(root / part.path / DATA).stat().st_size for part in parts]
    assert max(sizes) > PIECE
    with faulty_proxy(s3.url, lambda _method, _path: None) as proxy:
        near = Upload(**{**vars(upload), "endpoint": proxy.url})
        assert archiver(root, near).turn() == LOOK_SECONDS
    assert [part.archived_us is not None for part in parts_of(root)] == [True] * len(parts)
    pieces = [path for method, path in proxy.requests if method == "PUT" and "partNumber" in path]
    assert len(pieces) == sum(-(-size // PIECE) for size in sizes if size > PIECE)
    # Proved by the mark that the store made of the pieces, without reading anything back.
    assert not any(method == "GET" and path.endswith((DATA, DATABASE)) for method, path in proxy.requests)
    found = objects_in(s3, upload)
    assert expected_of(root, parts).items() <= found.items()


def test_what_is_wrong_with_the_settings_is_said_and_costs_nothing(root: Path, s3: S3Server, upload: Upload) -> None:
    for wrong, words in (
        ({"secret_key": "not-the-secret"}, "SignatureDoesNotMatch|privileges"),
        ({"bucket": "nobody"}, "NoSuchBucket"),
        ({"endpoint": "http://127.0.0.1:9", "connect_timeout_secs": 1}, "127.0.0.1:9"),
    ):
        worker = archiver(root, Upload(**{**vars(upload), **wrong}))
        seconds = [worker.turn() for _ in range(2)]
        assert all(seconds)
        state = read_state(root)
        assert state is not None
        assert (state.parts, state.failures, state.archived_parts) == (2, 2, 0)
        assert state.oldest_us == parts_of(root)[0].start_us
        assert state.octets == sum(part.octets or 0 for part in parts_of(root))
        assert re.search(words, state.error), state.error
        assert not re.search(f"{SECRET_KEY}|not-the-secret", state.error)
        assert state.next_us is not None
        assert {part.archived_us for part in parts_of(root)} == {None}
    worker = archiver(root, upload)
    worker.turn()
    assert all(part.archived_us for part in parts_of(root))


@pytest.mark.parametrize("fault", ["answer", "stall", "cut", "lose", "loris", "skewed"])
def test_a_store_that_fails_at_every_point_once(hour: Path, s3: S3Server, upload: Upload, fault: Fault) -> None:
    with faulty_proxy(s3.url, once_each(fault)) as proxy:
        worker = archiver(hour, Upload(**{**vars(upload), "endpoint": proxy.url, "timeout_secs": 0.4}))
        eager = Sweep(hour, KEPT, upload=Upload(**{**vars(upload), "keep_local": 0}))
        for _ in range(40):
            worker.turn()
            done = [part for part in parts_of(hour) if part.archived_us is not None]
            here = expected_of(hour, done)
            assert here.items() <= objects_in(s3, upload).items()
            if len(done) == 1:
                break
            # What is not archived is never let go of, however little is to be kept.
            assert {step.part.path for step in eager.plan().steps} == {part.path for part in done}
        else:
            pytest.fail(f"never archived: {worker.state.error}")
        assert len(proxy.faults) >= 5
        assert SECRET_KEY not in worker.state.error


def until_archived(root: Path, worker: Archiver, stored: Callable[[], dict[str, bytes]]) -> int:
    """Take turns until the one part of a root is archived; gives how many failed. What is not archived never goes."""
    eager = Sweep(root, KEPT, upload=Upload("s3", keep_local=0))
    (part,) = parts_of(root)
    for failed in range(20):
        seconds = worker.turn()
        assert seconds > 0
        if parts_of(root)[0].archived_us is not None:
            assert expected_of(root, [part]).items() <= stored().items()
            return failed
        assert worker.state.error
        assert f"pbx-1/{part.path}/{MANIFEST}" not in stored()
        assert eager.plan().steps == []
    pytest.fail(f"never archived: {worker.state.error}")


@pytest.mark.parametrize("step", ["partNumber=2", "complete"])
@pytest.mark.parametrize("fault", ["answer", "stall", "cut", "lose"])
def test_a_large_part_whose_upload_fails_in_the_middle(
    large: Path, s3: S3Server, upload: Upload, fault: Fault, step: str
) -> None:
    # More often than the client repeats a request by itself.
    with faulty_proxy(s3.url, at_step(fault, step, 4)) as proxy:
        worker = archiver(large, Upload(**{**vars(upload), "endpoint": proxy.url, "timeout_secs": 1.5}))
        failed = until_archived(large, worker, lambda: objects_in(s3, upload))
        assert failed == 1
        assert proxy.faults
    assert unfinished(s3, upload) == []


def once(_seconds: float) -> bool:
    """Wait for no second turn."""
    return True


def test_what_a_store_that_was_down_could_not_abort_is_aborted_when_it_is_back(
    large: Path, s3: S3Server, upload: Upload
) -> None:
    down = [True]

    def chooser(method: str, path: str) -> Fault | None:
        return "answer" if down[0] and (method == "DELETE" or "partNumber=2" in path) else None

    with faulty_proxy(s3.url, chooser) as proxy:
        worker = archiver(large, Upload(**{**vars(upload), "endpoint": proxy.url, "timeout_secs": 1.5}))
        worker.run(once)
        assert worker.state.error
        (part,) = parts_of(large)
        assert unfinished(s3, upload) == [f"{upload.root}/pbx-1/{part.path}/{DATA}"]
        down[0] = False
        worker.run(once)
        assert worker.state.error == ""
    assert parts_of(large)[0].archived_us is not None
    assert unfinished(s3, upload) == []


def test_an_upload_that_nobody_knows_of_is_aborted_within_a_day(large: Path, s3: S3Server, upload: Upload) -> None:
    now = [now_us()]

    def first_of_an_upload() -> Iterator[bool]:
        yield True
        while True:
            yield False

    chosen = first_of_an_upload()

    def chooser(method: str, path: str) -> Fault | None:
        begins = method == "POST" and path.endswith(("?uploads", "?uploads="))
        return "lose" if begins and next(chosen) else None

    with faulty_proxy(s3.url, chooser) as proxy:
        near = Upload(**{**vars(upload), "endpoint": proxy.url})
        worker = Archiver(large, near, "pbx-1", open_place(near), lambda: now[0])
        worker.run(once)
        assert proxy.faults, proxy.requests
        assert parts_of(large)[0].archived_us is not None
        assert len(unfinished(s3, upload)) == 1
        worker.run(once)
        assert len(unfinished(s3, upload)) == 1
        now[0] += DAY_US
        worker.run(once)
    assert unfinished(s3, upload) == []
    assert objects_in(s3, upload)[f"pbx-1/{parts_of(large)[0].path}/{DATA}"]


class Tampering(Objects):
    """A store that keeps something else than it was given, of the same length, and says so of nobody."""

    wanted = DATA
    directory = Path()

    def put(self, key: str, octets: bytes) -> Stored:
        stored = super().put(key, octets)
        if key.endswith(self.wanted):
            file = self.directory / key
            with file.open("r+b") as there:
                there.seek(len(octets) // 2)
                there.write(bytes([octets[len(octets) // 2] ^ 1]))
        return stored

    def head(self, key: str) -> Stored:
        return super().head(key)._replace(etag=None)


@pytest.mark.parametrize("wanted", [DATA, DATABASE, PRINTS, MANIFEST])
def test_what_was_kept_wrongly_is_found_and_never_let_go_of_here(
    root: Path, s3: S3Server, upload: Upload, wanted: str
) -> None:
    place = Tampering.open(upload)
    place.wanted, place.directory = wanted, s3.directory / BUCKET / upload.root
    worker = Archiver(root, upload, "pbx-1", place)
    worker.turn()
    assert "what was read back is not what was put" in worker.state.error
    assert {part.archived_us for part in parts_of(root)} == {None}
    key = f"pbx-1/{parts_of(root)[0].path}"
    assert f"{key}/{wanted}" not in objects_in(s3, upload)
    assert f"{key}/{MANIFEST}" not in objects_in(s3, upload)
    # A sound store mends it.
    archiver(root, upload).turn()
    assert all(part.archived_us for part in parts_of(root))
    assert expected_of(root, parts_of(root)).items() <= objects_in(s3, upload).items()


def test_an_index_that_is_not_the_one_its_data_was_sealed_with_is_not_archived(root: Path, upload: Upload) -> None:
    first, second = parts_of(root)
    database = root / first.path / DATABASE
    database.chmod(0o600)
    octets = bytearray(database.read_bytes())
    octets[-1] ^= 1
    database.write_bytes(octets)
    with pytest.raises(StorageError, match="its checksum is not the one it was sealed with"):
        Sender(root, open_place(upload), "pbx-1").send(first, scratch_of(root))
    worker = archiver(root, upload)
    assert worker.turn() == LOOK_SECONDS  # it holds up no other part
    assert [part.archived_us is not None for part in parts_of(root)] == [False, True]
    assert (worker.state.parts, len(worker.state.refused)) == (1, 1)
    assert "sealed with" in worker.state.refused[0]
    assert second.path == parts_of(root)[1].path


def test_a_part_waits_to_be_packed_and_travels_in_that_form(root: Path, s3: S3Server, upload: Upload) -> None:
    parts = parts_of(root)
    patient = Upload(**{**vars(upload), "pack_wait": HOUR_US})
    os.utime(root / parts[1].path / DATA, (1, 1))  # sealed long ago
    worker = archiver(root, patient)
    worker.turn()
    assert [part.archived_us is not None for part in parts_of(root)] == [False, True]
    assert worker.state.parts == 1
    before = expected_of(root, parts[:1])
    assert pack_part(root, parts[0]) is not None
    packed = expected_of(root, parts[:1])
    assert all(packed[key] != before[key] for key in before)
    worker.turn()
    assert all(part.archived_us for part in parts_of(root))
    assert expected_of(root, parts).items() <= objects_in(s3, patient).items()
    manifest: Manifest = read_manifest(open_place(upload), f"pbx-1/{parts[0].path}")
    assert manifest.packed
    assert not read_manifest(open_place(upload), f"pbx-1/{parts[1].path}").packed


class Packing(Objects):
    """A store beside which somebody packs whenever something is put."""

    root = Path()
    part: Part
    refused: list[str]

    def put(self, key: str, octets: bytes) -> Stored:
        try:
            pack_part(self.root, self.part)
        except PartBusy as error:
            self.refused.append(str(error))
        return super().put(key, octets)


def test_nobody_packs_a_part_on_its_way(hour: Path, s3: S3Server, upload: Upload) -> None:
    (part,) = parts_of(hour)
    files = expected_of(hour, [part])
    place = Packing.open(upload)
    place.root, place.part, place.refused = hour, part, []
    worker = Archiver(hour, upload, "pbx-1", place)
    assert worker.turn() == LOOK_SECONDS
    assert len(place.refused) == 4
    assert {"another process packs or copies it" in one for one in place.refused} == {True}
    assert files == expected_of(hour, [part])
    assert files.items() <= objects_in(s3, upload).items()
    (now,) = parts_of(hour)
    assert (now.archived_us is not None, now.packed_us) == (True, None)


def test_a_part_that_is_being_packed_goes_as_it_is_and_is_not_exchanged(
    root: Path, s3: S3Server, upload: Upload
) -> None:
    parts = parts_of(root)
    files = expected_of(root, parts)
    worker = archiver(root, upload)

    def meanwhile() -> Iterator[None]:
        assert worker.turn() == LOOK_SECONDS
        yield

    paces = meanwhile()
    with pytest.raises(PartBusy, match="archived or held meanwhile"):
        pack_part(root, parts[0], pace=lambda: next(paces, None))
    assert [(part.archived_us is not None, part.packed_us) for part in parts_of(root)] == [(True, None)] * 2
    assert expected_of(root, parts) == files
    assert files.items() <= objects_in(s3, upload).items()


def test_a_part_whose_files_are_being_exchanged_goes_after_that_and_holds_up_no_other(
    root: Path, s3: S3Server, upload: Upload
) -> None:
    parts = parts_of(root)
    worker = archiver(root, upload)
    with swap_lock(root / parts[0].path):
        assert worker.turn() == LOOK_SECONDS
    assert [part.archived_us is not None for part in parts_of(root)] == [False, True]
    assert ["its files are being exchanged" in one for one in worker.passed] == [True]
    assert (worker.state.refused, worker.state.error, worker.state.failures) == ([], "", 0)
    assert not [key for key in objects_in(s3, upload) if parts[0].path in key]
    worker.turn()
    assert worker.passed == []
    assert all(part.archived_us for part in parts_of(root))
    assert expected_of(root, parts).items() <= objects_in(s3, upload).items()


class Slow(Objects):
    """A store to which each data.raw takes three hours, of a clock that is moved."""

    root = Path()
    now_us = 0
    told: list[tuple[str, str, int]]

    def put(self, key: str, octets: bytes) -> Stored:
        state = read_state(self.root)
        assert state is not None
        self.told.append((key.removeprefix("pbx-1/"), str(state.lag), state.parts))
        if key.endswith(DATA):
            self.now_us += 3 * HOUR_US
        return super().put(key, octets)


def test_a_line_that_is_too_slow_is_told_from_one_that_fails(root: Path, upload: Upload) -> None:
    first, second = (part.path for part in parts_of(root))
    for path in (first, second):
        os.utime(root / path / DATA, (1_000_000, 1_000_000))
    place = Slow.open(upload)
    place.root, place.now_us, place.told = root, 1_000_000_000_000, []
    worker = Archiver(root, upload, "pbx-1", place, lambda: place.now_us)
    assert worker.turn() == LOOK_SECONDS
    assert place.told == [
        (f"{first}/{DATA}", "", 2),
        (f"{first}/{DATABASE}", "falling behind", 2),
        (f"{first}/{PRINTS}", "falling behind", 2),
        (f"{first}/{MANIFEST}", "falling behind", 2),
        (f"{second}/{DATA}", "catching up", 1),
        (f"{second}/{DATABASE}", "catching up", 1),
        (f"{second}/{PRINTS}", "catching up", 1),
        (f"{second}/{MANIFEST}", "catching up", 1),
    ]
    state = read_state(root)
    assert state is not None
    assert (state.lag, state.parts, state.waiting_us, state.failures) == ("", 0, None, 0)
    # What fails does not fall behind: it is an outage, with its reason.
    again = Archiver(root, upload, "pbx-1", place, lambda: place.now_us)
    catalog = Catalog(root)
    catalog.unarchived(parts_of(root)[0])
    catalog.close()
    again._place = open_place(Upload(**{**vars(upload), "endpoint": "http://127.0.0.1:9", "connect_timeout_secs": 1}))
    again.turn()
    again.turn()
    assert again.state.error
    assert (again.state.lag, again.state.parts) == ("", 1)


def test_what_exceeds_the_queue_is_given_up_and_said_while_the_store_is_down(
    s3: S3Server, upload: Upload, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    root = tmp_path / "four"
    record(root, hours(4))
    parts = parts_of(root)
    paths = [part.path for part in parts]
    files = expected_of(root, parts)
    limited = Upload(**{**vars(upload), "queue_limit": sum(part.octets or 0 for part in parts[2:])})
    down = Upload(**{**vars(limited), "endpoint": "http://127.0.0.1:9", "connect_timeout_secs": 1})
    worker = archiver(root, Upload(**{**vars(down), "queue_limit": None}))
    worker.turn()
    assert (worker.state.parts, worker.state.given_up) == (4, [])
    sweep = Sweep(root, Retention(sip_age=1), upload=limited)
    assert sweep.plan().steps == []
    for _ in range(2):  # a restart gives up nothing twice
        worker = archiver(root, down)
        worker.turn()
        assert worker.state.error
        assert (worker.state.parts, worker.state.given_up) == (2, paths[:2])
        assert worker.state.given_up_parts == 2
        assert worker.state.given_up_octets == sum(part.octets or 0 for part in parts[:2])
    said = [one.getMessage() for one in caplog.records if "gave up archiving" in one.getMessage()]
    assert [f"gave up archiving {path}, " in line for path, line in zip(paths[:2], said, strict=True)] == [True, True]
    # Nothing is deleted for it: they are as without an archive, and the others still wait.
    assert files == expected_of(root, parts_of(root))
    assert Sweep(root, KEPT, upload=limited).plan().steps == []
    assert [step.part.path for step in sweep.plan().steps] == paths[:2]
    archiver(root, limited).turn()
    assert [part.archived_us is not None for part in parts_of(root)] == [False, False, True, True]
    assert expected_of(root, parts[2:]).items() <= objects_in(s3, upload).items()
    sweep.run()
    assert [part.path for part in parts_of(root)] == paths[2:]
    worker = archiver(root, limited)
    worker.turn()
    assert (worker.state.given_up, worker.state.given_up_parts, worker.state.parts) == ([], 2, 0)


def test_what_was_given_up_is_archived_by_hand(root: Path, s3: S3Server, upload: Upload) -> None:
    parts = parts_of(root)
    limited = Upload(**{**vars(upload), "queue_limit": 1})
    worker = archiver(root, limited)
    worker.turn()
    assert worker.state.given_up == [parts[0].path]
    assert [part.archived_us is not None for part in parts_of(root)] == [False, True]
    by_hand = archiver(root, upload)
    by_hand.take_back()
    by_hand.turn()
    assert all(part.archived_us for part in parts_of(root))
    assert (by_hand.state.given_up, by_hand.state.given_up_parts, by_hand.state.parts) == ([], 1, 0)
    assert expected_of(root, parts).items() <= objects_in(s3, upload).items()


def test_what_was_sent_before_it_was_packed_is_sent_anew_as_it_is_now(hour: Path, s3: S3Server, upload: Upload) -> None:
    (part,) = parts_of(hour)
    # It stands there as it was, and the catalog does not know: the process was killed in between.
    Sender(hour, open_place(upload), "pbx-1").send(part, scratch_of(hour))
    assert pack_part(hour, part) is not None
    worker = archiver(hour, upload)
    # A file of the same size is taken for the one that stands there, found to be another, and sent in the next turn:
    # the data too, whose CRC-32C is still the same.
    for _ in range(4):
        worker.turn()
    assert parts_of(hour)[0].archived_us is not None
    assert expected_of(hour, [part]).items() <= objects_in(s3, upload).items()
    assert read_manifest(open_place(upload), f"pbx-1/{part.path}").packed


def test_a_manifest_that_leads_out_of_its_part_is_refused() -> None:
    for name in ("../x", "a/b", "", ".."):
        text = (
            '{"version":1,"node":"n","path":"2026/06/01/00","start_us":0,"end_us":1,"t0_us":0,"t1_us":1,"calls":0,'
            '"sip_messages":0,"rtp_packets":0,"packed":false,"files":[{"name":"data.raw","octets":1,"crc32c":1},'
            '{"name":"sipflow.db","octets":1,"crc32c":1},{"name":"NAME","octets":1,"crc32c":1}],"written_us":1}'
        ).replace("NAME", name)
        with pytest.raises(ObjectDamaged, match="outside of its part"):
            decode_manifest(text.encode(), "k")
    with pytest.raises(ObjectDamaged, match="outside of its part"):
        decode_manifest(text.replace('"..","octets"', '"x","octets"').replace("2026/06", "../06").encode(), "k")
    with pytest.raises(ObjectDamaged, match="later sipflow"):
        decode_manifest(b'{"version": 2}', "k")
    with pytest.raises(ObjectDamaged, match="no manifest"):
        decode_manifest(b"<html>", "k")


def sound(_method: str, _path: str) -> None:
    """Choose no fault."""


def test_settings_of_objects_reach_the_store(s3: S3Server, upload: Upload) -> None:
    for number, (setting, header, value) in enumerate(
        (
            ({"storage_class": "STANDARD_IA"}, "x-amz-storage-class", "STANDARD_IA"),
            ({"encryption": "aes256"}, "x-amz-server-side-encryption", "AES256"),
            ({"encryption": "aws:kms", "kms_key": "key-1"}, "x-amz-server-side-encryption", "aws:kms"),
            ({"encryption": "aws:kms", "kms_key": "key-1"}, "x-amz-server-side-encryption-aws-kms-key-id", "key-1"),
        )
    ):
        with faulty_proxy(s3.url, sound) as proxy:
            place = open_place(Upload(**{**vars(upload), **setting, "endpoint": proxy.url}))
            octets = bytes(PIECE + 1)
            place.put(f"small-{number}", b"x")
            place.put_pieces(f"large-{number}", [octets[:PIECE], octets[PIECE:]], len(octets))
        carried = [
            path.rpartition("/")[2].partition("?")[0]
            for (method, path), headers in zip(proxy.requests, proxy.headers, strict=True)
            if headers.get(header) == value and (method == "PUT" or path.endswith(("?uploads", "?uploads=")))
        ]
        assert {f"small-{number}", f"large-{number}"} <= set(carried), proxy.requests


def test_credentials_come_from_the_environment(
    hour: Path, s3: S3Server, upload: Upload, monkeypatch: pytest.MonkeyPatch
) -> None:
    bare = Upload(**{**vars(upload), "access_key": "", "secret_key": ""})
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", upload.access_key)
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "not-the-secret")
    worker = archiver(hour, bare)
    worker.turn()
    assert "SignatureDoesNotMatch" in worker.state.error
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", SECRET_KEY)
    archiver(hour, bare).turn()
    assert all(part.archived_us for part in parts_of(hour))
    assert expected_of(hour, parts_of(hour)).items() <= objects_in(s3, upload).items()


@pytest.mark.parametrize("proof", ["auto", "read", "size"])
def test_what_was_put_is_read_back_as_it_is_set(hour: Path, s3: S3Server, upload: Upload, proof: str) -> None:
    with faulty_proxy(s3.url, sound) as proxy:
        near = Upload(**{**vars(upload), "endpoint": proxy.url, "verify": proof})
        assert archiver(hour, near).turn() == LOOK_SECONDS
    assert all(part.archived_us for part in parts_of(hour))
    read = {path.rpartition("/")[2] for method, path in proxy.requests if method == "GET" and "?" not in path}
    # The manifest is read back always.
    assert read == {MANIFEST, *((DATA, DATABASE, PRINTS) if proof == "read" else ())}


def test_the_bandwidth_is_kept_on_the_whole(large: Path, s3: S3Server, upload: Upload) -> None:
    (part,) = parts_of(large)
    octets = (large / part.path / DATA).stat().st_size
    began = time.monotonic()
    assert archiver(large, Upload(**{**vars(upload), "bandwidth": 4_000_000})).turn() == LOOK_SECONDS
    took = time.monotonic() - began
    assert parts_of(large)[0].archived_us is not None
    # The first piece goes at once, the others wait for those before them.
    assert PIECE / 4_000_000 <= took < 10 * octets / 4_000_000
