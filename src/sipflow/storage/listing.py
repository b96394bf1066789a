"""The catalog made anew from the tree: the parts at once, the filter of their calls bucket by bucket."""

import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

from sipflow.errors import NewerFormat, StorageError
from sipflow.storage.aside import move_aside
from sipflow.storage.catalog import Catalog, Part
from sipflow.storage.contents import Contents
from sipflow.storage.layout import CATALOG, DATA, DATABASE, find_buckets
from sipflow.storage.sealed import is_sealed, octets_listed, octets_of, packed_us

Progress = Callable[[Path, int, int], None]

# Calls hashed between two pauses, when a recorder does its own work beside: a tenth of one processor.
_CALLS_A_TURN = 1_000
_PAUSE_SECONDS = 0.02


def renew_catalog(root: Path, *, newer: bool = False, filters: bool = True) -> tuple[str, Path | None]:
    """Make the catalog anew when it is missing, damaged or not that of this tree; nobody else may write the root.

    Gives what was wrong, empty for nothing, and where the old one is now. Sealed buckets are left unlisted:
    `list_calls` completes them. Without `filters` those of calls are not read: `renew_filters` does that. Raises
    StorageError; NewerFormat for a catalog of a later version, unless `newer` renews it too.
    """
    wrong = catalog_damage(root, newer=newer, filters=filters)
    if not wrong:
        return "", None
    aside = move_aside(root / CATALOG) if (root / CATALOG).exists() else None
    catalog = Catalog(root)
    try:
        catalog.reconcile()
    finally:
        catalog.close()
    return wrong, aside


def catalog_damage(root: Path, *, newer: bool = False, filters: bool = True) -> str:
    """Tell in a sentence why the catalog of a root cannot be gone on with; empty when it can, or when there is no data.

    Raises NewerFormat for one of a later version, unless `newer` counts that as damage too. `filters` has those of the
    calls read row by row.
    """
    try:
        octets = (root / CATALOG).stat().st_size
    except FileNotFoundError:
        octets = 0
    if octets == 0:
        return "" if next(find_buckets(root, DATABASE, DATA), None) is None else "it is missing or empty"
    try:
        catalog = Catalog(root, readonly=True)
    except OSError as error:
        return error.strerror or str(error)
    except NewerFormat as error:
        if newer:
            return error.hint
        raise
    except StorageError as error:
        return error.hint
    try:
        return catalog.audit() if filters else catalog.damage()
    finally:
        catalog.close()


def renew_filters(catalog: Catalog) -> str:
    """Drop the filters of calls when one is damaged, so that `list_calls` makes them anew; gives what was wrong.

    Others may read and write the catalog meanwhile. Raises StorageError.
    """
    wrong = catalog.audit()
    if wrong:
        catalog.forget_filters()
    return wrong


def list_calls(
    catalog: Catalog, parts: Iterable[Part], progress: Progress | None = None, *, beside: bool = False
) -> list[tuple[Part, str]]:
    """Complete the rows and the filter of sealed parts from their indexes; gives those that could not be read, and why.

    With `beside` it takes its time, so that a recorder in the same process is not held up.
    """
    failed = []
    for part in parts:
        directory = catalog.root / part.path
        try:
            contents = Contents(directory, sealed=True)
            erased = contents.erased_us is not None
            octets = octets_of(directory) if erased else octets_listed(directory)
            totals = contents.totals()
            if octets is not None:
                totals = totals._replace(octets=sum(octets))
            call_ids = _told(contents.call_ids(), directory / DATABASE, totals.calls, progress)
            catalog.sealed(
                part, totals, _paced(call_ids) if beside else call_ids, None if octets is None else octets.rtp
            )
            if contents.erased_us is not None:
                catalog.erasing(part, contents.erased_us)
            elif octets is not None and (when_us := packed_us(directory)) is not None:
                catalog.packed(part, totals, octets.rtp, when_us)
        except StorageError as error:
            catalog.unlisted(part)
            failed.append((part, error.hint))
    return failed


def unlisted(catalog: Catalog) -> list[Part]:
    """List the sealed parts whose calls the filter does not know."""
    return [part for part in catalog.parts() if part.state == "unlisted" and is_sealed(catalog.root / part.path)]


def _told(call_ids: Iterator[str], file: Path, total: int, progress: Progress | None) -> Iterator[str]:
    for count, call_id in enumerate(call_ids):
        if progress is not None and count % _CALLS_A_TURN == 0:
            progress(file, count, total)
        yield call_id
    if progress is not None:
        progress(file, total, total)


def _paced(call_ids: Iterator[str]) -> Iterator[str]:
    for count, call_id in enumerate(call_ids):
        if count % _CALLS_A_TURN == 0:
            time.sleep(_PAUSE_SECONDS)
        yield call_id
