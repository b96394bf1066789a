"""The archiver at work: one part after the other to its place, for as long as it takes; then what expires there."""

import logging
import os
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import msgspec

from sipflow.amount import size_text
from sipflow.archive.backlog import Backlog, Trend, backlog, excess
from sipflow.archive.backoff import Backoff
from sipflow.archive.leftovers import abort_uploads
from sipflow.archive.manifest import part_key
from sipflow.archive.place import Place
from sipflow.archive.reading import Throttle
from sipflow.archive.remote_adoption import adopt_missing, another_has
from sipflow.archive.sending import Maker, Sender, read_prints, remove
from sipflow.archive.state import ArchiveState, Lag, scratch_of, write_state
from sipflow.clock import DAY_US, SECOND_US, now_us
from sipflow.config import Retention
from sipflow.destination import Upload
from sipflow.errors import ArchiveError, ObjectDamaged, ObjectMissing, PartBusy, SipflowError, StorageError
from sipflow.storage.catalog import Catalog, Part
from sipflow.storage.given_up import GivenUp, read_given_up, write_given_up
from sipflow.storage.layout import CATALOG, DATA, HOUR_US
from sipflow.storage.part_lock import copy_lock
from sipflow.storage.removal import remove_bucket
from sipflow.storage.retention import Action, Step
from sipflow.storage.sweep import Sweep

LOG = logging.getLogger("sipflow.archive")

# How often the catalog is looked at, and how often the state is told while a large file travels.
LOOK_SECONDS = 5.0
_TOLD_EVERY_US = SECOND_US
_LOOK_EVERY_US = 60 * SECOND_US
_EXPIRY_EVERY_US = 60 * SECOND_US
Wait = Callable[[float], bool]
Progress = Callable[[str, int, int], None]


class Archiver:
    """Archives the parts of one root. One thread; the state it writes is for everybody.

    Nothing here is remembered but in the catalog and the archive: it may be killed at any instant.
    """

    def __init__(
        self,
        root: Path,
        upload: Upload,
        node: str,
        place: Place,
        clock: Callable[[], int] = now_us,
        makers: tuple[Maker, ...] = (),
        progress: Progress | None = None,
    ) -> None:
        """Prepare; opens nothing yet. `progress` is told how far a part has travelled: path, octets, all of them."""
        self._progress = progress
        self._total = 0
        self._root = root
        self._upload = upload
        self._node = node
        self._place = place
        self._clock = clock
        self._throttle = Throttle(upload.bandwidth)
        self._sender = Sender(root, place, node, upload.verify, self._pace, makers)
        self._backoff = Backoff()
        # Whether uploads in pieces may have been left unfinished: by an earlier process, or by what failed.
        self._left = True
        self._aborted_us = clock()
        self._trend = Trend()
        self._looked_us = 0
        # Parts that cannot be read here: each waits for itself, and holds up no other.
        self._unreadable: dict[int, tuple[Backoff, int, str]] = {}
        # Why parts were passed by in the last turn: their files were just being exchanged for packed ones.
        self.passed: list[str] = []
        self._expired_us = 0
        self._adopted = False
        self.state = ArchiveState(upload.where, os.getpid(), clock())

    def run(self, wait: Wait, held_by_age: Callable[[], str] = lambda: "") -> None:
        """Archive and expire until `wait`, which is told how long to wait [s], gives True.

        Nobody else may be sending anything of this node: what is half sent between two turns is aborted.
        """
        while True:
            if not self.state.error:
                self._abort_left()
            seconds = self.turn(held_by_age)
            if self._left and not self.state.error:
                self._abort_left()
            if wait(seconds):
                return

    def take_back(self) -> None:
        """Let what was given up wait again, as far as it is still here. Raises StorageError."""
        given_up = read_given_up(self._root)
        if given_up.parts:
            write_given_up(self._root, given_up.only(()))

    def turn(self, held_by_age: Callable[[], str] = lambda: "") -> float:
        """Archive what is due, and let go of what has expired; gives the seconds until the next turn."""
        self.passed = []
        try:
            self._archive_due()
            self._expire(held_by_age)
        except ArchiveError as error:
            return self._failed(error)
        except StorageError as error:
            # The root or its catalog, not one part: as with a destination that fails.
            return self._failed(error)
        if self.state.error:
            LOG.info("archiving to %s goes on", self._place.where)
        self._backoff.succeeded()
        self._tell(error="", next_us=None, sending="", sent_octets=0)
        return LOOK_SECONDS

    def _abort_left(self) -> None:
        """Abort what was left half sent; once a day also what nobody knows of, as an answer that was lost leaves it."""
        now = self._clock()
        if not self._left and abs(now - self._aborted_us) < DAY_US:
            return
        self._left, self._aborted_us = False, now
        try:
            aborted = abort_uploads(self._upload, self._node)
        except ArchiveError as error:
            LOG.warning("unfinished uploads are not aborted: %s", error)
        else:
            if aborted:
                LOG.info("aborted %d uploads that nobody had finished", aborted)

    def _failed(self, error: SipflowError) -> float:
        self._left = True
        seconds = self._backoff.failed()
        reason = str(error)
        if reason != self.state.error:
            LOG.error("%s; trying again in %.0f s, nothing is deleted meanwhile", reason, seconds)
        now = self._clock()
        self._tell(
            error=reason, failures=self.state.failures + 1, failed_us=now, next_us=now + int(seconds * SECOND_US),
            sending="", sent_octets=0,
        )  # fmt: skip
        return seconds

    # --- there ---

    def _adopt(self) -> None:
        """List what the archive has of this node and the catalog does not, once, before anything is put beside it."""
        if self._adopted or self._upload.type == "http":  # HTTP has no list of what is there
            return
        adopted = adopt_missing(self._root, self._place, self._node)
        for fault in adopted.faults:
            LOG.warning("%s: %s", self._place.where, fault)
        if adopted.parts:
            LOG.info("%d parts that are in %s only are listed again", adopted.parts, self._place.where)
        self._adopted = True

    def _archive_due(self) -> None:
        if not (self._root / CATALOG).exists():
            self._adopt()
            return
        catalog = Catalog(self._root)
        try:
            self._look(catalog)
            self._adopt()
            waiting = self._look(catalog)
            self._relist(catalog)
            for part in waiting.due:
                _, until, _ = self._unreadable.get(part.id, (None, 0, ""))
                if self._clock() >= until and part.path not in self.state.given_up:
                    self._archive(catalog, part)
                    self._look(catalog)
        finally:
            catalog.close()

    def _look(self, catalog: Catalog) -> Backlog:
        parts = catalog.standing()
        before = read_given_up(self._root)
        given_up = before.only(part.path for part in parts if part.archived_us is None)
        found = self._waiting(parts, given_up)
        if self._upload.queue_limit is not None:
            given_up = self._give_up(given_up, excess(found, self._upload.queue_limit))
            found = self._waiting(parts, given_up)
        if given_up != before:
            write_given_up(self._root, given_up)
        known = {part.id for part in (*found.due, *found.waiting)}
        self._unreadable = {part: what for part, what in self._unreadable.items() if part in known}
        self._tell_of(
            found, refused=[reason for _, _, reason in self._unreadable.values()], given_up=sorted(given_up.parts),
            given_up_parts=given_up.parts_ever, given_up_octets=given_up.octets_ever,
        )  # fmt: skip
        return found

    def _waiting(self, parts: list[Part], given_up: GivenUp) -> Backlog:
        return backlog(parts, self._clock(), self._upload.pack_wait, self._sealed_us, given_up.parts)

    def _give_up(self, given_up: GivenUp, chosen: dict[str, int]) -> GivenUp:
        for path, octets in chosen.items():
            limit = size_text(self._upload.queue_limit or 0)
            LOG.error("gave up archiving %s, %s: more than queue_limit = %s waits", path, size_text(octets), limit)
        return given_up.more(chosen, self._clock())

    def _tell_of(self, found: Backlog, **more: object) -> None:
        self._looked_us = now = self._clock()
        shrinks = self._trend.shrinks(now, found.octets, found.late_period_us or HOUR_US)
        late = found.late_period_us and not (self.state.error or self._unreadable)
        lag = Lag.NONE if not late else Lag.CATCHING_UP if shrinks else Lag.FALLING_BEHIND
        if lag is not self.state.lag and lag is not Lag.NONE:
            LOG.warning("archiving to %s is %s: %s wait", self._place.where, lag, size_text(found.octets))
        self._tell(
            parts=found.parts, octets=found.octets, oldest_us=found.oldest_us, waiting_us=found.since_us, lag=lag,
            **more,
        )  # fmt: skip

    def _relist(self, catalog: Catalog) -> None:
        """Fetch the filters of evicted parts that a damaged catalog dropped: nobody else can make them anew."""
        for part in catalog.standing():
            if part.state == "unlisted" and part.evicted_us is not None and part.archive_key is not None:
                try:
                    catalog.relisted(part, read_prints(self._place, part.archive_key))
                except (ObjectDamaged, ObjectMissing) as error:
                    LOG.debug("%s", error)  # it is asked for every call, and holds up nothing

    def _sealed_us(self, part: Part) -> int | None:
        try:
            return (self._root / part.path / DATA).stat().st_mtime_ns // 1000
        except OSError:
            return None

    def _archive(self, catalog: Catalog, part: Part) -> None:
        self._tell(sending=part.path, sent_octets=0)
        self._total = part.octets or 0
        try:
            if another_has(catalog, part, part_key(self._node, part.path)):
                raise StorageError(
                    "archive", self._root / part.path,
                    f"{self._place.where} has another part of that name, of a machine that was {self._node} before: it "
                    "stays here; a `node` of its own keeps the next ones apart",
                )  # fmt: skip
            with copy_lock(self._root / part.path):
                sent = self._sender.send(part, scratch_of(self._root))
                listed = catalog.archived(part, sent.key, self._clock())
        except PartBusy as error:
            self.passed.append(str(error))
            return
        except StorageError as error:
            now = catalog.part(part.id)
            if now is None or now.revision != part.revision:
                return  # packed, erased or deleted meanwhile: it is looked at again as it is now
            backoff = self._unreadable.get(part.id, (Backoff(), 0, ""))[0]
            again_us = self._clock() + int(backoff.failed() * SECOND_US)
            if backoff.failures == 1:
                LOG.error("%s cannot be archived: %s", part.path, error)
            self._unreadable[part.id] = (backoff, again_us, str(error))
            return
        if not listed:
            return
        self._unreadable.pop(part.id, None)
        octets = sent.manifest.octets
        LOG.info("archived %s: %d octets to %s", part.path, octets, self._place.where)
        self._tell(
            archived_parts=self.state.archived_parts + 1, archived_octets=self.state.archived_octets + octets,
            archived_us=self._clock(), error="", next_us=None,
        )  # fmt: skip
        self._backoff.succeeded()

    def _pace(self, octets: int) -> None:
        self._throttle(octets)
        self.state = msgspec.structs.replace(self.state, sent_octets=self.state.sent_octets + octets)
        if self._progress is not None:
            # The filter of calls is not counted in the size of a part.
            sent = self.state.sent_octets
            self._progress(self.state.sending, sent, max(sent, self._total))
        if self._clock() - self._looked_us >= _LOOK_EVERY_US:
            self._look_along()
        if self._clock() - self.state.updated_us >= _TOLD_EVERY_US:
            self._tell()

    def _look_along(self) -> None:
        """Look what waits while a part travels, which on a slow line takes as long as others need to be sealed."""
        # A connection of its own: pieces are asked for by threads of the object library.
        try:
            with closing(Catalog(self._root, readonly=True)) as catalog:
                self._tell_of(self._waiting(catalog.standing(), read_given_up(self._root)))
        except StorageError as error:
            LOG.debug("%s", error)  # whoever needs the catalog to go on says so

    # --- and away again ---

    def _expire(self, held_by_age: Callable[[], str]) -> None:
        now = self._clock()
        if not (self._root / CATALOG).exists() or abs(now - self._expired_us) < _EXPIRY_EVERY_US:
            return
        self._expired_us = now
        # The recorder looks after the local disk; here only what is to go from the archive counts.
        sweep = Sweep(self._root, Retention(), self._clock, upload=self._upload)
        steps = [step for step in sweep.plan(held_by_age).steps if step.action is Action.EXPIRE]
        if not steps:
            return
        catalog = Catalog(self._root)
        try:
            for step in steps:
                self._let_go(catalog, step)
        finally:
            catalog.close()

    def _let_go(self, catalog: Catalog, step: Step) -> None:
        part = step.part
        key = part.archive_key or part_key(self._node, part.path)
        if part.state != "deleting":
            try:
                hashes: bytes | None = read_prints(self._place, key)
            except ObjectMissing:
                hashes = None
            catalog.expiring(part, now_us(), hashes)
        remove(self._place, key)
        remove_bucket(self._root, part.path, part.id)
        catalog.deleted(part)
        LOG.info("expired %s in %s: %s", part.path, self._place.where, step.why)

    def _tell(self, **changed: object) -> None:
        self.state = msgspec.structs.replace(self.state, updated_us=self._clock(), **changed)
        try:
            write_state(self._root, self.state)
        except StorageError as error:
            LOG.debug("%s", error)
