"""Packing: a sealed bucket rewritten with each call's blocks together, in place of what the recorder wrote."""

from collections.abc import Callable
from pathlib import Path

import msgspec

from sipflow.clock import now_us
from sipflow.errors import CannotPack, PartBusy, StorageError
from sipflow.storage.catalog import Catalog, Part
from sipflow.storage.contents import UNREADABLE
from sipflow.storage.layout import DATA, DATABASE, HOLD
from sipflow.storage.packed_data import write_packed
from sipflow.storage.packed_index import make_index
from sipflow.storage.packed_part import tell_packed, unfit
from sipflow.storage.part_lock import part_lock, swap_lock
from sipflow.storage.seal import SEAL_LENGTH, broken_seal, write_seal
from sipflow.storage.swap import Identity, discard, make_room, pair_of, swap_in
from sipflow.storage.sweep import sweep_lock

Progress = Callable[[Path, int, int], None]


class Stopped(Exception):
    """Packing was asked to end."""


class Packed(msgspec.Struct, frozen=True):
    """What packing a part came to: octets of both files before and after, and its blocks and records now."""

    path: str
    before: int
    after: int
    blocks: int
    records: int
    packed_us: int


class Built(msgspec.Struct, frozen=True):
    """A new pair that stands beside the old one, and which old one it was made of."""

    made_of: tuple[Identity, Identity]
    packed: Packed


def pack_part(
    root: Path,
    part: Part,
    pace: Callable[[], None] = lambda: None,
    stopped: Callable[[], bool] = lambda: False,
    progress: Progress | None = None,
) -> Packed | None:
    """Pack a sealed part: write it anew beside itself, then put that in its place; None when `stopped` said so.

    `pace` is called between pieces of work of some milliseconds. Until the exchange the part is as it was, and what was
    begun is thrown away; a reader that has the old files open goes on with them. Raises CannotPack with the reason when
    the part must stay as it is, PartBusy, RootBusy, StorageError.
    """
    directory = root / part.path
    with part_lock(directory):
        with swap_lock(directory):
            pass  # while somebody copies it, the work would be for nothing
        try:
            built = build(root, part, pace, stopped, progress)
            put_in_place(root, part, built)
        except Stopped:
            return None
        finally:
            discard(directory)
    return built.packed


def build(
    root: Path,
    part: Part,
    pace: Callable[[], None],
    stopped: Callable[[], bool],
    progress: Progress | None = None,
) -> Built:
    """Write the new pair of a part into `.packing`; whoever calls has its lock. Raises Stopped and as `pack_part`."""
    directory = root / part.path
    try:
        if why := unfit(root, part) or broken_seal(directory):
            raise CannotPack("pack", directory, why)
        made_of = pair_of(directory).identity
        before = made_of[0][2] + made_of[1][2]
        turn = _Turn(directory / DATA, made_of[0][2], pace, stopped, progress)
        beside = make_room(directory)
        write_packed(directory, beside / DATA, turn)
        when_us = now_us()
        blocks, records = make_index(beside, directory / DATABASE, when_us, turn)
        write_seal(beside, blocks, records)
        for name in (DATA, DATABASE):
            (beside / name).chmod(0o400)
        after = sum((beside / name).stat().st_size for name in (DATA, DATABASE))
    except OSError as error:
        raise StorageError("pack", directory, error.strerror or str(error)) from None
    except UNREADABLE as error:
        raise StorageError("pack", directory / DATABASE, str(error)) from None
    return Built(made_of, Packed(part.path, before, after, blocks, records, when_us))


class _Turn:
    """Stands between two pieces of work: rests, tells how far it is, ends it."""

    def __init__(
        self,
        file: Path,
        octets: int,
        pace: Callable[[], None],
        stopped: Callable[[], bool],
        progress: Progress | None,
    ) -> None:
        self._file = file
        # Every octet is moved once, and read once to make the index.
        self._total = 2 * (octets - SEAL_LENGTH)
        self._done = 0
        self._pace = pace
        self._stopped = stopped
        self._progress = progress

    def __call__(self, octets: int) -> None:
        if self._stopped():
            raise Stopped
        self._pace()
        self._done = min(self._done + octets, self._total)
        if self._progress is not None:
            self._progress(self._file, self._done, self._total)


def put_in_place(root: Path, part: Part, built: Built) -> None:
    """Exchange the files of a part for those that were built of them, and tell the catalog; takes milliseconds.

    Nothing happens to a part that retention has touched meanwhile: RootBusy while it is at work, else PartBusy; nor to
    one that somebody copies. Raises StorageError.
    """
    directory = root / part.path
    with sweep_lock(root), swap_lock(directory):
        catalog = Catalog(root)
        try:
            now = catalog.part(part.id)
            if now is None or now.revision != part.revision or not now.sealed or (directory / HOLD).exists():
                raise PartBusy("pack", directory, "it was erased, deleted, archived or held meanwhile")
            if pair_of(directory).identity != built.made_of:
                raise PartBusy("pack", directory, "its files were replaced meanwhile")
            swap_in(directory)
            tell_packed(catalog, part, built.packed.packed_us)
        except OSError as error:
            raise StorageError("pack", directory, error.strerror or str(error)) from None
        finally:
            catalog.close()
