"""Retention applied: what stands in a root is counted, planned for and dealt with, by one process at a time."""

import logging
from collections.abc import Callable
from contextlib import AbstractContextManager
from functools import partial
from pathlib import Path

from sipflow.clock import now_us
from sipflow.config import Retention
from sipflow.destination import Upload
from sipflow.errors import StorageError
from sipflow.storage.catalog import Catalog, Part
from sipflow.storage.contents import Contents
from sipflow.storage.disk import disk_of
from sipflow.storage.erasure import erase_media
from sipflow.storage.given_up import read_given_up
from sipflow.storage.hold import held_parts, holds
from sipflow.storage.layout import DATA, DATABASE, DELETED, HOLD, SWEEP_LOCK
from sipflow.storage.lock import exclusive
from sipflow.storage.packed_part import settle_part
from sipflow.storage.removal import remove_bucket
from sipflow.storage.retention import Action, Holding, Plan, Step, plan
from sipflow.storage.sealed import Octets, is_sealed, octets_listed, octets_of

LOG = logging.getLogger("sipflow.retention")

Pace = Callable[[], None]


def sweep_lock(root: Path) -> AbstractContextManager[None]:
    """Hold the right to erase and delete under a root. Raises RootBusy when another process has it, StorageError."""
    busy = "another process erases, deletes or reindexes here; try again later"
    return exclusive(root / SWEEP_LOCK, root, busy)


class Sweep:
    """Makes plans for one root and carries them out. One thread at a time."""

    def __init__(
        self,
        root: Path,
        limits: Retention,
        clock: Callable[[], int] = now_us,
        pace: Pace = lambda: None,
        upload: Upload | None = None,
    ) -> None:
        """Prepare; opens nothing yet. `pace` is called between pieces of work of about a millisecond.

        Where there is an `upload`, nothing goes before it is archived; what expires in the archive is planned here and
        done by the archiver.
        """
        self._upload = upload
        self._root = root
        self._limits = limits
        self._clock = clock
        self._pace = pace

    def plan(self, held_by_age: Callable[[], str] = lambda: "") -> Plan:
        """Count what stands and decide. Writes nothing. Raises StorageError.

        `held_by_age` says why nothing may be deleted for its age; empty when it may. It is asked after the clock: a
        leap that it does not see yet is none of the time that counts.
        """
        catalog = Catalog(self._root, readonly=True)
        try:
            kept = held_parts(catalog, holds(self._root))
            holdings = [self._holding(part, kept.get(part.id, "")) for part in catalog.standing()]
        finally:
            catalog.close()
        now = self._clock()
        given_up = () if self._upload is None else read_given_up(self._root).parts
        return plan(holdings, self._limits, disk_of(self._root), now, held_by_age(), self._upload, given_up)

    def run(
        self, held_by_age: Callable[[], str] = lambda: "", stopped: Callable[[], bool] = lambda: False
    ) -> tuple[Plan, list[str]]:
        """Plan, and do what was planned; gives the plan and what could not be done, in sentences.

        A step that fails costs no other; it is planned again by the next run. Raises RootBusy, StorageError.
        """
        failures: list[str] = []
        with sweep_lock(self._root):
            catalog = Catalog(self._root)
            try:
                for part in catalog.standing():
                    settle_part(catalog, part)
                self._count(catalog)
                decided = self.plan(held_by_age)
                for step in decided.steps:
                    if stopped():
                        break
                    if step.action is Action.EXPIRE:
                        continue
                    try:
                        self._do(catalog, step)
                    except StorageError as error:
                        failures.append(str(error))
                        LOG.error("could not %s: %s", step.action, error)
                catalog.forget_expired(self._clock())
            finally:
                catalog.close()
        return decided, failures

    def newest_us(self) -> int | None:
        """Tell the newest time of packets recorded here, imports apart; None for none. Raises StorageError."""
        catalog = Catalog(self._root, readonly=True)
        try:
            recorded = [part for part in catalog.standing() if part.imported_us is None and part.owner == 0]
        finally:
            catalog.close()
        # An open part holds what comes now: whatever time it is, it is recorded under the clock as it goes.
        return max((part.end_us if part.t1_us is None else part.t1_us for part in recorded), default=None)

    def _count(self, catalog: Catalog) -> None:
        """Fill in the octets by kind of parts where nobody has counted them."""
        for part in catalog.standing():
            if (
                part.sealed
                and part.evicted_us is None
                and part.rtp_octets is None
                and (octets := self._octets(part)) is not None
            ):
                catalog.counted(part, *octets)

    def _octets(self, part: Part) -> Octets | None:
        """Count a part by its index, else by the headers of its blocks; None when it can be read in neither way."""
        directory = self._root / part.path
        counts: tuple[Callable[[], Octets | None], ...] = (
            partial(octets_listed, directory),
            partial(octets_of, directory, self._pace),
        )
        for count in counts:
            try:
                if (octets := count()) is not None:
                    return octets
            except StorageError as error:
                LOG.warning("%s", error)
        return None

    def _holding(self, part: Part, held: str) -> Holding:
        half_evicted = part.evicted_us is not None and (self._root / f"{DELETED}{part.id}").exists()
        if part.state == "deleting" or half_evicted:
            return Holding(part, part.sip_octets or 1, part.rtp_octets or 0)
        directory = self._root / part.path
        held = held or _held(directory)
        if part.state == "unlisted":
            # Its index cannot be read, or has not been yet: it can only be deleted whole.
            return Holding(part, _size(directory / DATA) + _size(directory / DATABASE), 0, held)
        if not part.sealed:
            # How much of it is media nobody has counted yet; all of data.raw is nearly right.
            return Holding(part, _size(directory / DATABASE), _size(directory / DATA), "open buckets")
        if not (directory / DATA).exists():
            # Somebody removed it: it takes no room, and its row goes when its time is over.
            return Holding(part, 0, 0, held)
        if part.sip_octets is None or part.rtp_octets is None:
            # What cannot be read is planned by its size: it can still be deleted.
            octets = self._octets(part) or Octets(_size(directory / DATA) + _size(directory / DATABASE), 0)
            return Holding(part, *octets, held)
        return Holding(part, part.sip_octets, part.rtp_octets, held)

    def _do(self, catalog: Catalog, step: Step) -> None:
        part, directory = step.part, self._root / step.part.path
        if step.action is Action.EVICT:
            # What is not archived any more, as another process may have found out meanwhile, stays.
            if not catalog.evicting(part, part.evicted_us or self._clock()):
                return
            remove_bucket(self._root, part.path, part.id)
        elif step.action is Action.ERASE_RTP:
            when_us = part.erased_us or self._clock()
            catalog.erasing(part, when_us)
            catalog.counted(part, *erase_media(directory, when_us, self._pace))
        else:
            if part.state != "deleting":
                catalog.deleting(part, self._clock(), _readable_calls(directory))
            remove_bucket(self._root, part.path, part.id)
            catalog.deleted(part)
        LOG.info("%s %s: %d octets, %s", _DONE[step.action], part.path, step.octets, step.why)


_DONE = {Action.ERASE_RTP: "erased RTP of", Action.DELETE: "deleted", Action.EVICT: "evicted"}


def _readable_calls(directory: Path) -> list[str] | None:
    try:
        return list(Contents(directory, sealed=is_sealed(directory)).call_ids())
    except StorageError:
        return None


def _held(directory: Path) -> str:
    return f"buckets with a file named {HOLD}" if (directory / HOLD).exists() else ""


def _size(file: Path) -> int:
    try:
        return file.stat().st_size
    except FileNotFoundError:
        return 0
    except OSError as error:
        raise StorageError("read", file, error.strerror or str(error)) from None
