"""What is kept of an archive: bounded, whole after a kill, never another object's octets."""

import contextlib
import itertools
import os
import signal
import subprocess
import sys
import threading
from pathlib import Path
from typing import BinaryIO

import pytest
from hypothesis import given
from hypothesis import strategies as st

from archived_root import archive_parts
from buckets import T0_US, call, record
from sipflow.archive.cache import FileCache
from sipflow.archive.objects import Objects
from sipflow.archive.remote_parts import ArchivedParts
from sipflow.archive.remote_ring import Ring
from sipflow.archive.remote_spans import EXTRA_OCTETS, JOINED_OCTETS, PIECE_OCTETS, REQUESTS_MOST, join, join_few
from sipflow.errors import StorageError
from sipflow.query.history import History
from sipflow.storage.layout import CACHE, HOUR_US
from sipflow.storage.source import Span

SIZE = 5000


def write(octets: bytes, file: BinaryIO) -> None:
    file.write(octets)


def put(cache: FileCache, name: str, octets: int = 1000) -> Path:
    return cache.put(name, octets, lambda file: write(bytes(octets), file))


def names(directory: Path) -> set[str]:
    return {path.name for path in directory.iterdir()}


def test_the_longest_unused_make_room(tmp_path: Path) -> None:
    cache = FileCache(tmp_path / "cache", 3000)
    for number, name in enumerate(("a", "b", "c")):
        os.utime(put(cache, name), ns=(number, number))
    assert cache.find("a") == tmp_path / "cache" / "a"
    put(cache, "d")
    assert names(tmp_path / "cache") == {"a", "c", "d"}
    assert cache.find("b") is None
    put(cache, "large", 5000)
    assert names(tmp_path / "cache") == {"large"}
    put(cache, "e", 10)
    assert names(tmp_path / "cache") == {"e"}


def test_what_cannot_be_written_is_not_kept_and_costs_nothing_else(tmp_path: Path) -> None:
    cache = FileCache(tmp_path, 3000)
    put(cache, "a")

    def broken(file: BinaryIO) -> None:
        file.write(b"half")
        raise StorageError("read", "there", "it went away")

    with pytest.raises(StorageError, match="it went away"):
        cache.put("b", 1000, broken)
    assert names(tmp_path) == {"a"}
    (tmp_path / "file").touch()
    with pytest.raises(StorageError, match=r"write .*: "):
        put(FileCache(tmp_path / "file" / "below", 3000), "a")


def test_what_a_killed_process_left_unfinished_is_removed_and_what_another_writes_is_not(tmp_path: Path) -> None:
    program = (
        "import sys, time; from pathlib import Path; from sipflow.archive.cache import FileCache\n"
        "def slow(file): file.write(b'half'); print('writing', flush=True); time.sleep(60)\n"
        "FileCache(Path(sys.argv[1]), 3000).put('a', 1000, slow)"
    )
    writers = [subprocess.Popen([sys.executable, "-c", program, tmp_path], stdout=subprocess.PIPE) for _ in range(2)]
    for writer in writers:
        assert writer.stdout is not None
        assert writer.stdout.readline() == b"writing\n"
    writers[0].kill()
    assert writers[0].wait() == -signal.SIGKILL
    try:
        cache = FileCache(tmp_path, 3000)
        assert cache.find("a") is None
        put(cache, "b")
        assert len(names(tmp_path) - {"b"}) == 1
        assert str(writers[1].pid) in next(iter(names(tmp_path) - {"b"}))
    finally:
        for writer in writers:
            writer.kill()
            writer.communicate()


objects = st.sampled_from(["one", "two"])
spans = st.tuples(st.integers(0, SIZE - 1), st.integers(1, 900)).map(lambda at: Span(at[0], min(at[1], SIZE - at[0])))
steps = st.lists(st.tuples(st.sampled_from(["put", "get", "forget"]), objects, spans), max_size=60)


@given(steps)
def test_a_ring_gives_the_octets_of_the_object_or_none(
    tmp_path_factory: pytest.TempPathFactory, taken: list[tuple[str, str, Span]]
) -> None:
    content = {"one": bytes(n * 7 % 251 for n in range(SIZE)), "two": bytes(n * 11 % 241 for n in range(SIZE))}
    ring = Ring(tmp_path_factory.getbasetemp() / "ring", 2000)
    for step, key, span in taken:
        if step == "put":
            fresh = ring.missing(key, span) == [span]
            ring.put(key, span.offset, content[key][span.offset : span.end])
            # What was held of it already may be the oldest, and make room for the rest.
            assert not fresh or ring.get(key, span) == content[key][span.offset : span.end]
        elif step == "forget":
            ring.forget(key, span)
            assert ring.missing(key, span) == [span]
        found, lacks = ring.get(key, span), ring.missing(key, span)
        assert (found is None) == bool(lacks)
        assert found in (None, content[key][span.offset : span.end])
    ring.close()


def test_a_ring_leaves_no_file_and_keeps_what_came_last(tmp_path: Path) -> None:
    ring = Ring(tmp_path, 1000)
    for number in range(100):
        ring.put("key", number * 300, bytes([number]) * 300)
    assert list(tmp_path.iterdir()) == []
    assert ring.get("key", Span(99 * 300, 300)) == bytes([99]) * 300
    assert [n for n in range(100) if ring.get("key", Span(n * 300, 300)) is not None] == [97, 98, 99]
    ring.put("key", 10**9, bytes(1001))
    assert ring.get("key", Span(10**9, 1001)) is None
    ring.close()


@given(st.lists(st.tuples(st.integers(0, 1 << 26), st.integers(0, 1 << 23)).map(lambda at: Span(*at)), max_size=20))
def test_spans_are_joined_where_that_costs_less(wanted: list[Span]) -> None:
    end = 1 << 26
    pieces = join(wanted, end)
    for before, after in itertools.pairwise(pieces):
        gap = after.offset - before.end
        assert gap > JOINED_OCTETS or (gap == 0 and before.length == PIECE_OCTETS)
    assert all(0 < piece.length <= PIECE_OCTETS and piece.end <= end for piece in pieces)
    for span in wanted:
        at = span.offset
        while at < min(span.end, end):
            at = next(piece.end for piece in pieces if piece.offset <= at < piece.end)


def test_neighbours_come_in_one_request() -> None:
    assert join([Span(0, 10), Span(10, 10), Span(20 + JOINED_OCTETS, 5)], 1 << 20) == [Span(0, 25 + JOINED_OCTETS)]
    assert len(join([Span(0, 10), Span(11 + JOINED_OCTETS, 5)], 1 << 20)) == 2
    assert join([Span(0, 100)], 40) == [Span(0, 40)]
    assert join([Span(50, 100)], 40) == []


@given(
    st.lists(st.tuples(st.integers(0, 1 << 28), st.integers(1, 1 << 18)).map(lambda at: Span(*at)), max_size=40),
    st.integers(0, 1 << 28),
)
def test_few_requests_read_all_that_is_wanted_and_little_else(wanted: list[Span], room: int) -> None:
    end = 1 << 28
    usual, few = join(wanted, end), join_few(wanted, end, room)
    asked, needed = (sum(piece.length for piece in pieces) for pieces in (few, usual))
    if few != usual:
        assert len(few) <= REQUESTS_MOST < len(usual)
        assert asked - needed <= EXTRA_OCTETS
        assert asked <= room
    for before, after in itertools.pairwise(few):
        assert before.end <= after.offset
    for span in wanted:
        at = span.offset
        while at < min(span.end, end):
            at = next(piece.end for piece in few if piece.offset <= at < piece.end)


def test_the_widest_gaps_are_not_read() -> None:
    mib = 1 << 20
    wanted = [Span(at * mib, 100) for at in (0, 1, 2, 200, 201, 500, 501, 900)]
    assert [(piece.offset // mib, -(-piece.length // mib)) for piece in join_few(wanted, 1 << 30, 1 << 30)] == [
        (0, 3), (200, 2), (500, 2), (900, 1)
    ]  # fmt: skip
    # One gap too many, all of the same width: nothing is read along.
    wide = [Span(at * EXTRA_OCTETS // 2, 100) for at in range(REQUESTS_MOST + 1)]
    assert join_few(wide, 1 << 30, 1 << 30) == join(wide, 1 << 30)
    assert len(join_few(wanted, 1 << 30, 3 * mib)) == len(wanted)


def test_indexes_stay_within_their_room_and_none_that_went_is_kept_open(tmp_path: Path) -> None:
    root = tmp_path / "root"
    record(root, [frame for hour in range(6) for frame in call(f"{hour}@h", T0_US + hour * HOUR_US, 20)])
    place = Objects.local(tmp_path / "archive")
    size = max(path.stat().st_size for path in root.rglob("sipflow.db"))
    archive_parts(root, place)
    ring = 16 << 20
    history = History.open(root, ArchivedParts(place, root / CACHE, ring + 3 * size))
    for hour in range(6):
        assert history.call(f"{hour}@h").sip_messages == 3
    kept = list((root / CACHE).glob("*.db"))
    assert 0 < len(kept) <= 3
    held = set()
    for descriptor in Path("/proc/self/fd").iterdir():
        with contextlib.suppress(OSError):
            held.add(str(descriptor.readlink()))
    assert {name for name in held if str(root / CACHE) in name and ".db" in name} <= {str(path) for path in kept}
    assert history.call("0@h").sip_messages == 3
    history.close()


def test_two_questions_fetch_an_index_once(tmp_path: Path) -> None:
    root = tmp_path / "root"
    record(root, call("a@h", T0_US, 20))
    place = Objects.local(tmp_path / "archive")
    archive_parts(root, place)
    asked: list[str] = []
    both = threading.Barrier(2)
    entered, go_on = threading.Event(), threading.Event()
    get_range = place.get_range

    def slow(key: str, start: int, length: int) -> bytes:
        asked.append(key)
        entered.set()
        assert go_on.wait(20)
        return get_range(key, start, length)

    place.get_range = slow  # type: ignore[method-assign]
    history = History.open(root, ArchivedParts(place, root / CACHE, 64 << 20))
    found: list[int] = []

    def question() -> None:
        both.wait(20)
        found.append(history.call("a@h").sip_messages)

    threads = [threading.Thread(target=question) for _ in range(2)]
    for thread in threads:
        thread.start()
    assert entered.wait(20)
    go_on.set()
    for thread in threads:
        thread.join(20)
    history.close()
    assert (found, len(asked)) == ([3, 3], 1)
