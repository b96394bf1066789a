"""Which parts may answer a question: by the catalog, or by walking the tree when the catalog cannot be believed."""

import threading
from collections.abc import Callable
from pathlib import Path

from sipflow.errors import StorageError
from sipflow.query.answer import Fault
from sipflow.query.soundness import Soundness
from sipflow.storage.catalog import Catalog, Part, found_part
from sipflow.storage.layout import CATALOG, DATA, DATABASE, find_buckets, is_bucket

_INSTEAD = "every bucket is asked instead; `sipflow reindex` makes the catalog anew"
# Of an audit beside questions: it takes a tenth of the interpreter's time then, and half a minute for a month of
# 40,000 calls an hour.
_REST_SECONDS = 0.002


class Whereabouts:
    """Finds the parts of a data root. Safe to ask from several threads."""

    def __init__(self, root: Path, soundness: Soundness) -> None:
        """Open nothing yet."""
        self._root = root
        self._soundness = soundness
        self._lock = threading.Lock()
        self._audited: set[int] = set()
        # Of its own: small catalogs are audited while a question holds the other.
        self._audit_lock = threading.Lock()
        self._auditing: Catalog | None = None
        self._catalog: Catalog | None = None
        self._identity: tuple[int, int] | None = None

    def close(self) -> None:
        """Close the catalog; an audit of it ends early."""
        with self._lock:
            self._close()
        with self._audit_lock:
            if self._auditing is not None:
                self._auditing.interrupt()

    def _close(self) -> None:
        self._audited.clear()
        if self._catalog is not None:
            self._catalog.close()
            self._catalog = None

    def with_call(self, call_id: str, faults: list[Fault]) -> list[Part]:
        """List the parts that may hold a call; what is wrong with the catalog or the tree is added to `faults`."""
        return self._parts(lambda catalog: catalog.parts_with(call_id), faults)

    def all(self, faults: list[Fault]) -> list[Part]:
        """List all parts, as `with_call` does."""
        return self._parts(Catalog.parts, faults)

    def now(self, part: Part) -> Part | None:
        """Give a part as the catalog has it now; None when it does not tell."""
        with self._lock:
            try:
                catalog = self._believed()
                return None if catalog is None else catalog.part(part.id)
            except StorageError:
                return None  # whoever asks for parts names the damage

    def deleted_with(self, call_id: str, near: tuple[int, int] | None, faults: list[Fault]) -> list[Part]:
        """List the deleted parts that held a call, only those that touch the times `near` if given."""
        with self._lock:
            try:
                catalog = self._believed()
                return [] if catalog is None else catalog.expired_with(call_id, near)
            except StorageError as error:
                faults.append(Fault(CATALOG, error.hint))
                return []

    def _believed(self) -> Catalog | None:
        catalog = self._open()
        return None if catalog is None or self._wrong(catalog) else catalog

    def _parts(self, ask: Callable[[Catalog], list[Part]], faults: list[Fault]) -> list[Part]:
        with self._lock:
            found = self._listed(ask, faults)
        return self._walk(faults) if found is None else found

    def _listed(self, ask: Callable[[Catalog], list[Part]], faults: list[Fault]) -> list[Part] | None:
        try:
            catalog = self._open()
            if catalog is not None:
                wrong = self._wrong(catalog)
                if not wrong:
                    # Whether an unlisted part is sealed only its files tell.
                    return [
                        found_part(self._root, Path(part.path), part.id)
                        if part.state == "unlisted" and part.evicted_us is None
                        else part
                        for part in ask(catalog)
                    ]
                faults.append(Fault(CATALOG, f"{wrong}: {_INSTEAD}"))
        except StorageError as error:
            self._close()
            faults.append(Fault(CATALOG, f"{error.hint}: {_INSTEAD}"))
        return None

    def _open(self) -> Catalog | None:
        """Open the catalog, anew when another file stands in its place; None when there is none."""
        try:
            stat = (self._root / CATALOG).stat()
        except FileNotFoundError:
            # A root that a server has just made, or a bucket that was copied here, has no catalog.
            self._close()
            return None
        except OSError as error:
            raise StorageError("open", self._root / CATALOG, error.strerror or str(error)) from None
        identity = (stat.st_dev, stat.st_ino)
        if self._catalog is None or identity != self._identity:
            self._close()
            self._catalog = Catalog(self._root, readonly=True)
            self._identity = identity
        return self._catalog

    def _wrong(self, catalog: Catalog) -> str:
        # An audit makes an object of every row: an octet takes it as long as sixteen of an index take its checksum.
        octets = 16 * (self._root / CATALOG).stat().st_size
        return self._soundness.wrong(
            (CATALOG, self._identity, id(catalog), catalog.version()),
            octets,
            self._audit,
            lambda: self._audit(_REST_SECONDS),
        )

    def _audit(self, rest_seconds: float = 0) -> str:
        # On a connection of its own: it may run on another thread.
        try:
            catalog = Catalog(self._root, readonly=True, rest_seconds=rest_seconds)
        except StorageError as error:
            return error.hint
        with self._audit_lock:
            self._auditing = catalog
        try:
            found = {path.as_posix() for path in find_buckets(self._root, DATABASE, DATA)}
            unknown = sorted(path for path in found - catalog.paths() if is_bucket(self._root / path))
            return catalog.audit(self._audited) or (f"it does not list {', '.join(unknown[:3])}" if unknown else "")
        except StorageError as error:
            return error.hint
        finally:
            with self._audit_lock:
                if self._auditing is catalog:  # a later one may have taken its place
                    self._auditing = None
            catalog.close()

    def _walk(self, faults: list[Fault]) -> list[Part]:
        def unreadable(error: OSError) -> None:
            faults.append(Fault(str(error.filename), error.strerror or str(error)))

        found = find_buckets(self._root, DATABASE, DATA, on_error=unreadable)
        return [found_part(self._root, path) for path in found]
