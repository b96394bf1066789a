"""Questions to a root whose files are in an archive, a real S3 server: the same answers, few requests, named faults."""

import itertools
import shutil
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from itertools import groupby
from pathlib import Path

import httpx
import pytest
from click.testing import CliRunner

from archive.test_archiver import parts_of
from archived_root import NODE, archive_parts, everything
from buckets import T0_US, call, record
from captures import CAPTURES, need
from damage import TOKEN, overwrite
from faulty_proxy import Chooser, FaultyProxy, faulty_proxy
from memory_history import Served, SteadyRecorder
from s3_server import ACCESS_KEY, SECRET_KEY, S3Server
from sipflow.archive.manifest import MANIFEST
from sipflow.archive.objects import Objects
from sipflow.archive.remote_parts import ArchivedParts
from sipflow.archive.remote_spans import JOINED_OCTETS
from sipflow.cli import main
from sipflow.config import Settings
from sipflow.errors import StorageError
from sipflow.importer import import_files
from sipflow.query.answer import Criteria
from sipflow.query.history import History
from sipflow.query.window import Window
from sipflow.storage.block import KIND_STREAM, Block, iter_blocks
from sipflow.storage.catalog import Catalog
from sipflow.storage.layout import CACHE, DATA, DATABASE, HOUR_US
from sipflow.storage.packing import pack_part
from sipflow.web.app import build

MIB = 1 << 20
PAGES = (
    "/flow?callid=both@h", "/media?callid=both@h&stats=1", "/media?callid=both@h", "/diag?callid=both@h",
    "/api/v1/calls", "/api/v1/calls/both@h", "/api/v1/calls/both@h/flow", "/calls", "/calls/both@h",
)  # fmt: skip
PLAYED = "/api/v1/calls/both@h/media.wav"


def sound(_method: str, _path: str) -> None:
    """Choose no fault."""


class Archived:
    """A root whose parts are in an archive, and the proxy through which it reads them."""

    def __init__(self, root: Path, objects: Objects, proxy: FaultyProxy, directory: Path) -> None:
        self.root = root
        self.objects = objects
        self.proxy = proxy
        # Where the server keeps the objects of this root, as files.
        self.directory = directory

    @contextmanager
    def history(self, cache: int = 256 * MIB, patience_s: float = 10.0) -> Iterator[History]:
        with closing(History.open(self.root, ArchivedParts(self.objects, self.root / CACHE, cache, patience_s))) as one:
            yield one

    def requests(self) -> list[str]:
        """Give the objects that were asked for since the last time."""
        made = [path.rpartition("/")[2] for _, path in self.proxy.requests]
        self.proxy.requests.clear()
        return made

    def object(self, name: str) -> Path:
        """Find the file in which the server keeps the one object of a name."""
        (found,) = self.directory.rglob(name)
        return found


Archiving = Callable[..., Archived]


@pytest.fixture
def archived(s3: S3Server, tmp_path: Path) -> Iterator[Archiving]:
    """Give what archives a root and reads it through a proxy that counts."""
    with faulty_proxy(s3.url, sound) as proxy:

        def archive(root: Path, chooser: Chooser = sound, **changed: object) -> Archived:
            below = f"sipflow/{tmp_path.name}"
            archive_parts(root, Objects.open(s3.upload(root=below)))
            proxy.chooser = chooser
            objects = Objects.open(s3.upload(root=below, endpoint=proxy.url, **changed))
            return Archived(root, objects, proxy, s3.directory / "archive" / below)

        yield archive


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Record two hours: a call in each, and one that lies in both."""
    path = tmp_path / "one"
    late = T0_US + HOUR_US - 1_000_000
    record(path, [*call("a@h", T0_US), *call("b@h", T0_US + HOUR_US + 60_000_000), *call("both@h", late, 150)])
    return path


def answers(root: Path) -> list[object]:
    """Ask a root that is whole."""
    with closing(History.open(root)) as history:
        return everything(history)


def test_every_answer_is_the_same_from_the_archive(tmp_path: Path, archived: Archiving) -> None:
    captures = [need(path) for path in CAPTURES]
    root = tmp_path / "root"
    import_files(captures, root)
    before = answers(root)
    assert len(before) > 100
    place = archived(root)
    assert not list(root.rglob(DATA))
    with place.history() as history:
        assert everything(history) == before
        assert place.requests()
        assert everything(history) == before
        assert place.requests() == []
    with place.history() as history:
        # Another process: the indexes are still here.
        assert [history.calls(Criteria(limit=1000)), history.statistics(Window())] == before[:2]
        assert place.requests() == []


def test_a_call_of_three_minutes_opens_in_ten_requests(tmp_path: Path, archived: Archiving) -> None:
    root = tmp_path / "root"
    record(root, call("long@h", T0_US, 9000))
    before = answers(root)
    place = archived(root)
    with place.history() as history:
        assert everything(history) == before
        made = place.requests()
    assert made.count(MANIFEST) == made.count(DATABASE) == 1
    assert len(made) <= 10


def test_a_call_of_three_minutes_opens_in_ten_requests_from_a_packed_part(tmp_path: Path, archived: Archiving) -> None:
    root = tmp_path / "root"
    # Side by side, so that each is in many blocks between those of the others until they are packed.
    others = [frame for n in range(6) for frame in call(f"{n}@h", T0_US + n * 1000, 9000)]
    record(root, [*others, *call("long@h", T0_US, 9000)])
    (part,) = parts_of(root)
    assert stretches_of_media(root) > 14
    with closing(History.open(root)) as history:
        before = of_call(history, "long@h")
    assert pack_part(root, part) is not None
    assert stretches_of_media(root) == 7
    place = archived(root)
    assert not list(root.rglob(DATA))
    with place.history() as history:
        assert of_call(history, "long@h") == before
        made = place.requests()
        assert sum(len(chunk.rows) for chunk in history.media("long@h").chunks) == 9000
    assert made.count(MANIFEST) == made.count(DATABASE) == 1
    assert len(made) <= 10


def test_a_call_of_three_minutes_opens_in_ten_requests_where_nobody_had_time_to_pack(
    tmp_path: Path, archived: Archiving
) -> None:
    root = tmp_path / "root"
    # As many octets each, in larger packets, which are sooner recorded.
    others = [frame for n in range(20) for frame in call(f"{n}@h", T0_US + n * 1000, 1500, 120_000, 960)]
    record(root, [*others, *call("long@h", T0_US, 9000)])
    with closing(History.open(root)) as history:
        before = of_call(history, "long@h")
    (data,) = root.rglob(DATA)
    blocks = [one for one in iter_blocks(data) if isinstance(one, Block) and one.header.kind == KIND_STREAM]
    own = [(one.offset, one.header.length) for one in blocks if one.chunk().key.call_id == "long@h"]
    apart = [start - (at + length) for (at, length), (start, _) in itertools.pairwise(own)]
    assert sum(gap > JOINED_OCTETS for gap in apart) > 20
    place = archived(root)
    with place.history(Settings().archive_cache_mb * MIB) as history:
        assert of_call(history, "long@h") == before
        made = place.requests()
        assert sum(len(chunk.rows) for chunk in history.media("long@h").chunks) == 9000
        assert place.requests() == []
    assert made.count(MANIFEST) == made.count(DATABASE) == 1
    assert len(made) <= 10
    # Without room for what lies between, more requests, and the same answer.
    shutil.rmtree(root / CACHE)
    with place.history(cache=0) as history:
        assert of_call(history, "long@h") == before
        assert len(place.requests()) > 10


def of_call(history: History, call_id: str) -> list[object]:
    """Ask what a call is opened with: its row, its messages, its media."""
    media = history.media(call_id)
    assert media.faults == []
    chunks = sorted((str(chunk.key), chunk.rows.tobytes(), chunk.data) for chunk in media.chunks)
    return [history.call(call_id), history.flow(call_id), chunks]


def stretches_of_media(root: Path) -> int:
    """Count in how many stretches the media of the calls lies: blocks of one call that follow each other are one."""
    (data,) = root.rglob(DATA)
    blocks = [one for one in iter_blocks(data) if isinstance(one, Block) and one.header.kind == KIND_STREAM]
    return sum(1 for _ in groupby(block.chunk().key.call_id for block in blocks))


def test_a_call_between_others_is_read_without_them(tmp_path: Path, archived: Archiving) -> None:
    root = tmp_path / "root"
    record(root, [frame for n in range(20) for frame in call(f"{n}@h", T0_US + n * 1000, 500)])
    with closing(History.open(root)) as history:
        before = [history.flow("7@h"), [chunk.data for chunk in history.media("7@h").chunks]]
    size = sum(path.stat().st_size for path in root.rglob(DATA))
    read: list[int] = []
    place = archived(root)
    get_range = place.objects.get_range

    def counted(key: str, start: int, length: int) -> bytes:
        read.append(length if key.endswith(DATA) else 0)
        return get_range(key, start, length)

    place.objects.get_range = counted  # type: ignore[method-assign]
    with place.history() as history:
        assert [history.flow("7@h"), [chunk.data for chunk in history.media("7@h").chunks]] == before
    assert 0 < sum(read) < size / 2


def test_every_page_of_a_call_is_read_once(root: Path, archived: Archiving) -> None:
    place = archived(root)
    seen = []
    with place.history() as history, Served(build(history, SteadyRecorder(), Settings(token=TOKEN))) as url:
        for _ in range(2):
            answers = [httpx.get(url + path, headers={"Authorization": f"Bearer {TOKEN}"}) for path in PAGES]
            answers.append(
                httpx.get(url + PLAYED, headers={"Authorization": f"Bearer {TOKEN}", "Range": "bytes=99-999"})
            )
            assert [answer.status_code for answer in answers] == [200] * len(PAGES) + [206]
            assert not any("Sipflow-Faults" in answer.headers for answer in answers)
            seen.append([answer.content for answer in answers])
            assert bool(place.requests()) == (len(seen) == 1)
    assert seen[0] == seen[1]


def test_questions_side_by_side_fetch_once(root: Path, archived: Archiving) -> None:
    before = answers(root)
    place = archived(root)
    with place.history() as history, ThreadPoolExecutor(8) as threads:
        assert list(threads.map(lambda _: everything(history), range(8))) == [before] * 8
    made = place.requests()
    assert (made.count(MANIFEST), made.count(DATABASE)) == (2, 2)


def test_half_here_and_half_there(root: Path, archived: Archiving) -> None:
    before = answers(root)
    place = archived(root)
    catalog = Catalog(root)
    part = catalog.part_at("2024/10/04/01")
    assert part is not None
    newer = root / part.path
    with place.history() as history:
        assert everything(history) == before
        # It comes back from the archive while the history is open.
        newer.mkdir(exist_ok=True)
        for name in (DATA, DATABASE):
            shutil.copy(place.directory / NODE / part.path / name, newer / name)
            (newer / name).chmod(0o400)
        catalog.returned(part)
        assert everything(history) == before
    catalog.close()


def test_what_went_while_it_was_asked_is_read_from_the_archive(root: Path, archived: Archiving) -> None:
    with closing(History.open(root)) as history:
        flow = history.flow("both@h")
    place = archived(root)
    stale = Catalog(root, readonly=True)
    listed = [part._replace(archived_us=None, archive_key=None, evicted_us=None) for part in stale.parts()]
    stale.close()
    with place.history() as history:
        asking = history._asking
        with asking() as one:
            found = [one.ask(part, lambda opened: opened.knows("both@h")) for part in listed]
        assert found == [True, True]
        assert history.flow("both@h") == flow


def test_without_an_archive_the_answer_says_where_the_part_is(root: Path, archived: Archiving) -> None:
    place = archived(root)
    with closing(History.open(root)) as history:
        with pytest.raises(
            StorageError, match=f"{NODE}/2024/10/04/00: it is in the archive since .* not configured here"
        ):
            history.flow("a@h")
        with pytest.raises(StorageError, match="in the archive since"):
            history.calls(Criteria())
        assert history.statistics(Window()).partial
    assert place.requests() == []


@pytest.mark.parametrize("name", [MANIFEST, DATABASE, DATA])
def test_an_object_that_is_missing_is_named(tmp_path: Path, archived: Archiving, name: str) -> None:
    root = tmp_path / "root"
    record(root, call("a@h", T0_US))
    before = answers(root)
    place = archived(root)
    octets = place.object(name).read_bytes()
    place.object(name).unlink()
    missing = f"{NODE}/2024/10/04/00/{name}: in the archive: there is no such object"
    with place.history() as history, pytest.raises(StorageError, match=missing):
        history.flow("a@h")
    place.directory.joinpath(NODE, "2024/10/04/00", name).write_bytes(octets)
    with place.history() as history:
        assert everything(history) == before


def test_half_a_call_is_told_from_a_whole_one(root: Path, archived: Archiving) -> None:
    with closing(History.open(root)) as history:
        whole = history.media("both@h")
    place = archived(root)
    (place.directory / NODE / "2024/10/04/01" / DATA).unlink()
    with place.history() as history:
        media = history.media("both@h")
        assert 0 < len(media.chunks) < len(whole.chunks)
        (fault,) = media.faults
        assert fault.where == "2024/10/04/01"
        assert "there is no such object" in fault.what
        page = history.calls(Criteria())
        assert len(page.calls) == 3


def test_a_damaged_index_is_not_believed_and_not_kept(tmp_path: Path, archived: Archiving) -> None:
    root = tmp_path / "root"
    record(root, call("a@h", T0_US))
    before = answers(root)
    place = archived(root)
    index = place.object(DATABASE)
    octets = index.read_bytes()
    overwrite(index, octets[:-100] + bytes([octets[-100] ^ 1]) + octets[-99:])
    with place.history() as history, pytest.raises(StorageError, match="its checksum is not the one in its manifest"):
        history.call("a@h")
    assert not list((root / CACHE).glob("*.db"))
    overwrite(index, octets)
    with place.history() as history:
        assert everything(history) == before


def test_an_index_that_was_damaged_in_the_cache_is_fetched_anew(tmp_path: Path, archived: Archiving) -> None:
    root = tmp_path / "root"
    record(root, call("a@h", T0_US))
    before = answers(root)
    place = archived(root)
    with place.history() as history:
        assert everything(history) == before
    (kept,) = (root / CACHE).glob("*.db")
    overwrite(kept, bytes(kept.stat().st_size))
    place.requests()
    with place.history() as history:
        assert everything(history) == before
    assert place.requests().count(DATABASE) == 1


def test_a_damaged_block_is_named_and_read_anew_afterwards(tmp_path: Path, archived: Archiving) -> None:
    root = tmp_path / "root"
    record(root, call("a@h", T0_US, 500))
    before = answers(root)
    place = archived(root)
    data = place.object(DATA)
    octets = data.read_bytes()
    block = [one for one in iter_blocks(data) if isinstance(one, Block)][-1]
    overwrite(data, octets[: block.offset + 100] + bytes(4) + octets[block.offset + 104 :])
    with place.history() as history:
        media = history.media("a@h")
        assert [f"block at octet {block.offset}" in fault.what for fault in media.faults] == [True]
        assert f"{NODE}/2024/10/04/00/{DATA}" in media.faults[0].what
        overwrite(data, octets)
        assert everything(history) == before


@pytest.mark.parametrize("fault", ["answer", "stall", "cut", "loris"])
def test_an_archive_that_fails_is_named_and_a_page_answers_even_so(
    tmp_path: Path, archived: Archiving, fault: str
) -> None:
    root = tmp_path / "root"
    record(root, [*call("a@h", T0_US), *call("b@h", T0_US + HOUR_US)])
    before = answers(root)
    failing = [True]

    def chooser(_method: str, _path: str) -> str | None:
        return fault if failing[0] else None

    place = archived(root, chooser, timeout_secs=2)
    with place.history(patience_s=0.5) as history:
        with pytest.raises(StorageError, match=r"read .*: (the archive did not|in the archive: )"):
            history.calls(Criteria())
        assert [one.where for one in history.statistics(Window()).faults] == ["2024/10/04/01", "2024/10/04/00"]
    failing[0] = False
    with place.history() as history:
        assert everything(history) == before


def test_an_archive_that_refuses_is_named_without_its_keys(root: Path, archived: Archiving) -> None:
    place = archived(root, secret_key="wrong-" * 6)
    with place.history() as history, pytest.raises(StorageError, match="in the archive: ") as refused:
        history.flow("a@h")
    assert "wrong-" not in str(refused.value)


def test_commands_read_the_archive_of_the_settings(root: Path, archived: Archiving, tmp_path: Path) -> None:
    whole = ask("calls", "--json", "--dir", root), ask("flow", "both@h", "--dir", root)
    place = archived(root)
    config = settings_file(tmp_path, root, place)
    assert (ask("calls", "--json", "--config", config), ask("flow", "both@h", "--config", config)) == whole
    status, said = ask("flow", "both@h", "--dir", root)
    assert status == 1
    assert "it is in the archive since" in said


def test_the_past_of_a_lost_machine_opens_from_the_archive_alone(
    root: Path, archived: Archiving, tmp_path: Path
) -> None:
    before = answers(root)
    listed = ask("calls", "--json", "--dir", root)
    place = archived(root)
    shutil.rmtree(root)
    assert ask("calls", "--json", "--config", settings_file(tmp_path, root, place)) == listed
    with place.history() as history:
        assert everything(history) == before


def settings_file(directory: Path, root: Path, place: Archived) -> Path:
    """Write the settings of a server that archives to a place."""
    file = directory / "sipflow.toml"
    file.write_text(
        f'[sipflow]\nroot = "{root}"\nnode = "{NODE}"\n[sipflow.upload]\ntype = "s3"\nvendor = "minio"\n'
        f'bucket = "archive"\nregion = "us-east-1"\naccess_key = "{ACCESS_KEY}"\nsecret_key = "{SECRET_KEY}"\n'
        f'endpoint = "{place.proxy.url}"\nroot = "sipflow/{directory.name}"\n'
    )
    return file


def ask(*arguments: str | Path) -> tuple[int, str]:
    """Run `sipflow`; gives its status and what it said."""
    result = CliRunner().invoke(main, [str(each) for each in arguments])
    assert result.exception is None or isinstance(result.exception, SystemExit), result.output
    return result.exit_code, result.output
