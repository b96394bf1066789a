"""type = "http": the same parts to a real HTTP server, which may fail at every point once."""

import gc
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from archive.http_store import http_store
from archive.test_archiver import archiver, expected_of, parts_of, until_archived
from faulty_proxy import Fault, faulty_proxy, once_each
from sipflow.archive.archiver import LOOK_SECONDS
from sipflow.archive.http_objects import HttpObjects
from sipflow.archive.manifest import MANIFEST, PRINTS
from sipflow.archive.place import PIECE
from sipflow.archive.sending import read_manifest, remove
from sipflow.destination import Upload
from sipflow.errors import ArchiveDenied, ArchiveError, ObjectMissing, StorageError
from sipflow.storage.layout import DATA, DATABASE

TOKEN = "Bearer a-secret-of-this-test"


def upload_to(url: str, **more: object) -> Upload:
    usual: dict[str, object] = {"root": "a b", "pack_wait": 0, "timeout_secs": 5, "connect_timeout_secs": 2}
    usual["headers"] = (("Authorization", TOKEN),)
    return Upload("http", url=f"{url}/sip", **{**usual, **more})  # type: ignore[arg-type]


def files_in(directory: Path) -> dict[str, bytes]:
    top = directory / "sip" / "a%20b"
    return {file.relative_to(top).as_posix(): file.read_bytes() for file in top.rglob("*") if file.is_file()}


@pytest.mark.parametrize("marks", [True, False])
@pytest.mark.parametrize("method", ["put", "post"])
def test_files_are_put_proved_and_announced(root: Path, tmp_path: Path, method: str, marks: bool) -> None:
    with http_store(tmp_path / "store", token=TOKEN, marks=marks) as store:
        upload = upload_to(store.url, method=method)
        assert archiver(root, upload).turn() == LOOK_SECONDS
        parts = parts_of(root)
        assert all(part.archived_us for part in parts)
        found = files_in(store.directory)
        assert expected_of(root, parts).items() <= found.items()
        names = (DATA, DATABASE, PRINTS, MANIFEST)
        assert set(found) == {f"pbx-1/{part.path}/{name}" for part in parts for name in names}
        # A server that reports no checksum has everything read back: three files and the manifest of each part.
        assert store.methods.count("GET") == len(parts) * (1 if marks else 4)
        assert store.methods.count(method.upper()) == len(parts) * 4
        place = HttpObjects.open(upload)
        key = f"pbx-1/{parts[0].path}"
        assert read_manifest(place, key).path == parts[0].path
        data = found[f"{key}/{DATA}"]
        assert place.get_ranges(f"{key}/{DATA}", [0, 5], [4, 3]) == [data[:4], data[5:8]]
        remove(place, key)
        with pytest.raises(ObjectMissing):
            read_manifest(place, key)
        assert {name.rpartition("/")[0] for name in files_in(store.directory)} == {f"pbx-1/{parts[1].path}"}


@pytest.mark.parametrize(("end", "before"), [("", ""), ("/", ""), ("/sip/", "sip/")])
def test_the_url_may_have_a_path_or_none(tmp_path: Path, end: str, before: str) -> None:
    with http_store(tmp_path / "store") as store:
        place = HttpObjects.open(Upload("http", url=store.url + end, root=""))
        place.put("n/one", b"octets")
        assert place.get("n/one") == b"octets"
        assert (store.directory / f"{before}n/one").read_bytes() == b"octets"


@pytest.mark.parametrize("fault", ["answer", "stall", "cut", "lose", "loris"])
def test_a_server_that_fails_at_every_point_once(hour: Path, tmp_path: Path, fault: Fault) -> None:
    with (
        http_store(tmp_path / "store", token=TOKEN, marks=False) as store,
        faulty_proxy(store.url, once_each(fault)) as proxy,
    ):
        worker = archiver(hour, upload_to(proxy.url, timeout_secs=0.3))
        turns = 0
        while not all(part.archived_us for part in parts_of(hour)):
            turns += 1
            assert turns < 60, worker.state.error
            seconds = worker.turn()
            assert seconds > 0
            done = [part for part in parts_of(hour) if part.archived_us is not None]
            assert expected_of(hour, done).items() <= files_in(store.directory).items()
            for secret in (TOKEN, "a-secret"):
                assert secret not in worker.state.error
        # Every method and every file failed once.
        assert {method for method, _, _ in proxy.faults} >= {"HEAD", "PUT", "GET"}
        assert len({path for _, path, _ in proxy.faults}) == 4
        assert worker.state.failures >= 4


@pytest.mark.parametrize("after", [PIECE + PIECE // 8, 1 << 40], ids=["second piece", "whole"])
@pytest.mark.parametrize("fault", ["answer", "stall", "cut", "lose"])
def test_a_large_part_whose_upload_fails_in_the_middle(large: Path, tmp_path: Path, fault: Fault, after: int) -> None:
    failing = [fault, fault]

    def chooser(method: str, path: str) -> Fault | None:
        return failing.pop() if failing and method == "PUT" and path.endswith(DATA) else None

    with (
        http_store(tmp_path / "store", token=TOKEN, marks=False) as store,
        faulty_proxy(store.url, chooser, after) as proxy,
    ):
        worker = archiver(large, upload_to(proxy.url, timeout_secs=1))
        failed = until_archived(large, worker, lambda: files_in(store.directory))
        # One whose answer alone was lost stands there, and is proved instead of sent again.
        stood = fault == "lose" and after > 2 * PIECE
        assert len(proxy.faults) == (1 if stood else 2)
        assert failed >= len(proxy.faults)
        sent = sum(method == "PUT" and path.endswith(DATA) for method, path in proxy.requests)
        assert sent == 1 if stood else sent >= 3


def test_what_cannot_be_read_here_ends_the_upload_of_a_large_file(tmp_path: Path) -> None:
    def broken() -> Iterator[bytes]:
        yield bytes(PIECE)
        raise StorageError("read", "data.raw", "the disk is gone")

    with http_store(tmp_path / "store", token=TOKEN) as store:
        place = HttpObjects.open(upload_to(store.url))
        with pytest.raises(StorageError, match="the disk is gone"):
            place.put_pieces("large", broken(), 2 * PIECE)
        with pytest.raises(ObjectMissing):
            place.head("large")


def test_what_a_server_refuses_is_said_without_secrets(tmp_path: Path) -> None:
    with http_store(tmp_path / "store", token=TOKEN) as store:
        wrong = upload_to(store.url, headers=(("Authorization", "Bearer hunter2"),))
        for upload, kind, words in (
            (wrong, ArchiveDenied, "PUT was answered 401 Unauthorized"),
            (
                upload_to("http://user:hunter2@127.0.0.1:9", connect_timeout_secs=0.5),
                ArchiveError,
                "connection attempts failed",
            ),
        ):
            with pytest.raises(kind, match=words) as raised:
                HttpObjects.open(upload).put("k", b"x")
            assert "hunter2" not in str(raised.value) + repr(raised.value)
        with pytest.raises(ArchiveError, match="cannot be asked for a list"):
            next(HttpObjects.open(wrong).walk())


def test_what_nobody_uses_any_more_ends_without_waiting_for_itself(tmp_path: Path) -> None:
    with http_store(tmp_path / "store", token=TOKEN) as store:
        before = set(threading.enumerate())
        place = HttpObjects.open(upload_to(store.url))
        (thread,) = (one for one in threading.enumerate() if one.name == "http-archive" and one not in before)
        place.put("k", b"octets")
        unused, loop, collected = [place], place._loop, threading.Event()
        del place

        def collect() -> None:
            unused.clear()
            gc.collect()
            collected.set()

        # Garbage is collected wherever it happens to be, on this loop too.
        loop.call_soon_threadsafe(collect)
        assert collected.wait(20)
        thread.join(20)
        assert not thread.is_alive()
