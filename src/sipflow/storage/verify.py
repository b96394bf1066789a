"""Verification: every octet of a data root that can be checked, and what is wrong with it."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

from sipflow.errors import DamagedBlock, DamagedSeal, NewerFormat, StorageError
from sipflow.storage.block import Block, Damage, iter_blocks
from sipflow.storage.catalog import Catalog, Part
from sipflow.storage.comparison import Comparison, Lost, Mismatch, media_in, sip_in
from sipflow.storage.contents import Contents
from sipflow.storage.finding import Finding
from sipflow.storage.layout import CATALOG, DATA, DATABASE, find_buckets, is_bucket
from sipflow.storage.seal import Seal, checksum, index_against, read_seal

T = TypeVar("T")
Progress = Callable[[Path, int, int], None]

FOREVER = (1 << 63) - 1

# Of what is wrong with one index so much is told one by one; the rest is counted.
_TOLD = 20
REINDEX = "`sipflow reindex` makes the index anew"
LOST = "these octets are lost unless a copy of the file has them; `sipflow reindex` takes them out of the index"
NEWER = "read it with the version that wrote it"
RESEAL = "if the file is whole, `sipflow reindex` seals it again; else restore it from a copy"
ABSENT = "restore the file from a copy, or remove the directory and run `sipflow reindex`"
FORBIDDEN = "let the user of the server read it"
NEW_CATALOG = "`sipflow reindex` makes the catalog anew"


class Checked(NamedTuple):
    """What was verified of a bucket, and what is wrong with it; `path` is relative to the root."""

    path: str
    sealed: bool
    blocks: int
    records: int
    octets: int
    findings: list[Finding]


def verify_bucket(root: Path, path: Path, progress: Progress | None = None) -> Checked:
    """Verify data, seal and index of the bucket at `path` under `root`; of one still open, what its index knows.

    What retention does to it meanwhile is no damage: it is verified again when its media was erased, and nothing is
    told of one that is being erased or is deleted.
    """
    before = _listed(root, path)
    checked = _BucketCheck(root, path, progress).run()
    now = _listed(root, path) if checked.findings else None
    if now is None or (now.erased_us, now.deleted_us) == (None, None):
        return checked
    if now.deleted_us is None and now.rtp_octets == 0:
        unchanged = before is not None and before.revision == now.revision
        return checked if unchanged else _BucketCheck(root, path, progress).run()
    return checked._replace(findings=[])


def _listed(root: Path, path: Path) -> Part | None:
    """Give what the catalog says of a bucket; None when it says nothing."""
    try:
        catalog = Catalog(root, readonly=True)
    except StorageError:
        return None
    try:
        return catalog.part_at(path.as_posix())
    except StorageError:
        return None
    finally:
        catalog.close()


class _BucketCheck:
    """One bucket being verified."""

    def __init__(self, root: Path, path: Path, progress: Progress | None) -> None:
        self._directory = root / path
        self._path = path
        self._progress = progress
        self._findings: list[Finding] = []
        self._untold = 0
        self._blocks = self._records = self._octets = 0
        self._damaged = False
        self._comparison: Comparison | None = None

    def run(self) -> Checked:
        data = self._directory / DATA
        try:
            stat = data.stat()
        except OSError as error:
            self._note(DATA, error.strerror or str(error), ABSENT)
            return self._checked(sealed=False)
        sealed = stat.st_mode & 0o200 == 0
        seal = self._seal(data) if sealed else None
        contents = self._contents(seal, sealed=sealed)
        end = stat.st_size if seal is None else seal.end
        known = end
        if contents is not None:
            known = self._asked(contents.end, end)
            self._comparison = self._asked(lambda: Comparison(contents), None)
        if not sealed:
            end = min(end, known)  # what its index does not know yet is being written
        try:
            self._walk(data, end)
        except OSError as error:
            self._note(DATA, error.strerror or str(error), FORBIDDEN)
            return self._checked(sealed=sealed)
        self._behind(end, FOREVER if sealed else known)
        if seal is not None and not self._damaged and (seal.blocks, seal.records) != (self._blocks, self._records):
            held = f"{seal.blocks} blocks of {seal.records} records"
            self._note(DATA, f"it holds {self._blocks} of {self._records}; when it was sealed it held {held}", LOST)
        return self._checked(sealed=sealed)

    def _checked(self, *, sealed: bool) -> Checked:
        if self._untold:
            self._note(DATABASE, f"{self._untold} further blocks are listed wrongly", REINDEX)
        return Checked(self._path.as_posix(), sealed, self._blocks, self._records, self._octets, self._findings)

    def _note(self, name: str, what: str, remedy: str, **more: Any) -> None:
        self._findings.append(Finding((self._path / name).as_posix(), what, remedy, **more))

    def _asked(self, ask: Callable[[], T], otherwise: T) -> T:
        """Ask the index; when it cannot be read, that is noted and it is asked no more."""
        try:
            return ask()
        except StorageError as error:
            self._note(DATABASE, error.hint, REINDEX)
            self._comparison = None
            return otherwise

    def _seal(self, data: Path) -> Seal | None:
        try:
            return read_seal(data)
        except DamagedSeal as error:
            self._note(DATA, f"{error.hint}: cut off, or sealed by a version that had no seals", RESEAL)
        except NewerFormat as error:
            self._note(DATA, error.hint, NEWER)
        except StorageError as error:
            self._note(DATA, error.hint, FORBIDDEN)
        return None

    def _contents(self, seal: Seal | None, *, sealed: bool) -> Contents | None:
        database = self._directory / DATABASE
        wrong = ""
        try:
            wrong = "" if seal is None else index_against(seal, *checksum(database))
            if wrong:
                self._note(DATABASE, wrong, REINDEX)
            contents = Contents(self._directory, sealed=sealed)
            broken = contents.integrity()
            if broken:
                self._note(DATABASE, broken, REINDEX)
            miscounted = contents.miscounted()
            if miscounted:
                what = "the counts of some calls are not those of their rows"
                self._note(DATABASE, what, REINDEX, calls=miscounted, call_count=len(miscounted))
        except NewerFormat as error:
            self._note(DATABASE, error.hint, REINDEX if wrong else f"{NEWER}, or {REINDEX}")
        except StorageError as error:
            self._note(DATABASE, error.hint, REINDEX)
        except OSError as error:
            self._note(DATABASE, error.strerror or str(error), REINDEX)
        else:
            return contents
        return None

    def _walk(self, data: Path, end: int) -> None:
        for found in iter_blocks(data, end):
            if isinstance(found, Damage):
                self._damage(found.offset, found.length, found.what, NEWER if found.newer else LOST)
                self._octets += found.length
            else:
                self._block(found)
                self._octets += found.header.length
            if self._progress is not None:
                self._progress(data, found.offset, end)
        if self._progress is not None:
            self._progress(data, end, end)

    def _block(self, block: Block) -> None:
        try:
            sip, media = sip_in(block), media_in(block)
        except DamagedBlock as error:
            self._damage(block.offset, block.header.length, error.hint, LOST)
            return
        self._blocks += 1
        self._records += block.header.records
        comparison = self._comparison
        if comparison is not None:
            self._mismatches(self._asked(lambda: comparison.block(block, sip, media), []))

    def _damage(self, offset: int, length: int, what: str, remedy: str) -> None:
        self._damaged = True
        comparison = self._comparison
        if comparison is None:
            lost = Lost(0, None, None, [], 0)
        else:
            lost = self._told(lambda: comparison.damage(offset, offset + length))
        self._lost(offset, length, what, remedy, lost)

    def _told(self, ask: Callable[[], tuple[Lost, list[Mismatch]]]) -> Lost:
        nothing: tuple[Lost, list[Mismatch]] = (Lost(0, None, None, [], 0), [])
        lost, found = self._asked(ask, nothing)
        self._mismatches(found)
        return lost

    def _lost(self, offset: int, length: int | None, what: str, remedy: str, lost: Lost) -> None:
        self._note(
            DATA, what, remedy, offset=offset, length=length, since_us=lost.since_us, until_us=lost.until_us,
            calls=lost.calls, call_count=lost.call_count,
        )  # fmt: skip

    def _behind(self, end: int, known: int) -> None:
        """Look for rows of blocks behind the end of the data."""
        comparison = self._comparison
        if comparison is None:
            return
        lost = self._told(lambda: comparison.damage(end, known))
        if lost.rows:
            self._damaged = True
            length = None if known == FOREVER else known - end
            self._lost(end, length, f"the data ends at octet {end}; the index knows blocks behind it", LOST, lost)

    def _mismatches(self, found: list[Mismatch]) -> None:
        for one in found:
            if len(self._findings) < _TOLD:
                self._note(DATABASE, f"block at octet {one.offset} of {DATA}: {one.what}", REINDEX)
            else:
                self._untold += 1


def verify_catalog(root: Path, found: list[Path]) -> list[Finding]:
    """Hold the catalog against the tree, whose buckets were `found`, and against their indexes."""
    if not (root / CATALOG).exists():
        return [Finding(CATALOG, "it is missing", NEW_CATALOG)] if found else []
    try:
        catalog = Catalog(root, readonly=True)
    except NewerFormat as error:
        return [Finding(CATALOG, error.hint, f"{NEWER}, or {NEW_CATALOG}")]
    except StorageError as error:
        return [Finding(CATALOG, error.hint, NEW_CATALOG)]
    try:
        wrong = catalog.audit()
        if wrong:
            return [Finding(CATALOG, wrong, NEW_CATALOG)]
        return list(_against_tree(root, catalog, {path.as_posix() for path in found}))
    except StorageError as error:
        return [Finding(CATALOG, error.hint, NEW_CATALOG)]
    finally:
        catalog.close()


def _against_tree(root: Path, catalog: Catalog, found: set[str]) -> Iterator[Finding]:
    # A part is listed before its directory is made, so everything that was found must be listed by now.
    for path in sorted(found - catalog.paths()):
        if is_bucket(root / path):  # else it was deleted meanwhile
            yield Finding(CATALOG, f"it does not list the bucket {path}", NEW_CATALOG)
    for part in catalog.parts():
        if part.evicted_us is not None:
            continue  # `sipflow archive verify` looks after what an archive has
        if not (root / part.path).is_dir():
            yield Finding(CATALOG, f"the bucket {part.path} that it lists is not there", ABSENT)
        elif part.state == "damaged":
            yield Finding(CATALOG, f"the bucket {part.path} could not be read when the catalog was made", NEW_CATALOG)
        elif part.sealed:
            yield from _against_index(root, catalog, part)


def _against_index(root: Path, catalog: Catalog, part: Part) -> Iterator[Finding]:
    try:
        contents = Contents(root / part.path, sealed=True)
        totals = contents.totals()
        missing = catalog.missing_calls(part, contents.call_ids())
    except StorageError:
        return  # of the bucket itself more is said elsewhere
    listed = (part.calls, part.sip_messages, part.rtp_packets)
    if listed != totals[:3]:
        what = "{} calls, {} SIP messages and {} RTP packets"
        yield Finding(
            CATALOG,
            f"it says that {part.path} holds {what.format(*listed)}; its index {what.format(*totals)}",
            NEW_CATALOG,
        )
    if missing:
        yield Finding(
            CATALOG, f"its filter does not know all calls of {part.path}", NEW_CATALOG,
            calls=missing[:_TOLD], call_count=len(missing),
        )  # fmt: skip


def find_all(root: Path, findings: list[Finding]) -> list[Path]:
    """Find every bucket under a root by either of its files; a directory that cannot be read becomes a finding."""

    def unreadable(error: OSError) -> None:
        path = Path(error.filename or root)
        name = path.relative_to(root).as_posix() if path.is_relative_to(root) else str(path)
        findings.append(Finding(name, error.strerror or str(error), FORBIDDEN))

    return list(find_buckets(root, DATABASE, DATA, on_error=unreadable))
