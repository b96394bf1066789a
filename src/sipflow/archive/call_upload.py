"""Uploads single calls when they end, or when somebody asks: sound and messages, until the destination has them."""

import contextlib
import logging
import sqlite3
import tempfile
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import BinaryIO, Final, NamedTuple, Protocol

from sipflow.archive.call_upload_ends import CallEnds
from sipflow.archive.call_upload_name import KINDS, CallName, Kind, name_of
from sipflow.archive.call_upload_queue import CallFile, UploadCounts, UploadQueue, Waiting, enter
from sipflow.archive.call_upload_target import Target
from sipflow.clock import DAY_US, SECOND_US, now_us
from sipflow.destination import Upload
from sipflow.errors import ArchiveError, CallUnknown, Expired, StorageError
from sipflow.storage.part import Part

LOG = logging.getLogger("sipflow.call_upload")

# How often ends of calls are looked for, and how many uploads are under way at once.
_LOOK_SECONDS: Final = 2.0
_AT_ONCE: Final = 4
_DUE_AT_ONCE: Final = 64
# Between tries of one file: twice as long each time, and never longer than the last.
_FIRST_RETRY_US: Final = 2 * SECOND_US
_LAST_RETRY_US: Final = 900 * SECOND_US
# An outage of a long weekend and the week after it.
GIVE_UP_US: Final = 10 * DAY_US


class CallContent(Protocol):
    """Makes the files of a call, piece by piece. Any number of threads."""

    def pieces(self, call_id: str, kind: Kind) -> Iterator[bytes] | None:
        """Give the octets of a file, None when the call has no sound or no messages.

        Raises CallUnknown, Expired when the call is not here, StorageError when it cannot be read.
        """
        ...


class Uploaded(NamedTuple):
    """A file of a call that has arrived: where, and how many octets; neither for one that there is nothing of."""

    url: str | None
    octets: int


class CallUploads:
    """The uploads of one data root. `start` it, and `stop` it before the history it reads is closed."""

    def __init__(
        self,
        root: Path,
        upload: Upload,
        target: Target,
        content: CallContent,
        parts: Callable[[], Sequence[Part]],
        is_ours: Callable[[str], bool] = lambda _call_id: True,
    ) -> None:
        """Upload what `content` gives of calls to `target`; `parts` lists the parts that stand here.

        Of the calls that end `is_ours` tells by its Call-ID whether one is uploaded by us. Raises StorageError when
        the queue cannot be opened.
        """
        self.upload = upload
        self._target = target
        self._content = content
        self._parts = parts
        self._is_ours = is_ours
        self._queue = UploadQueue(root)
        self._ends = CallEnds(root, self._queue, self._take)
        self._pool = ThreadPoolExecutor(_AT_ONCE, "call-upload")
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="call-upload", daemon=True)
        self._complaint = ""

    def start(self) -> None:
        """Begin to look for ends of calls, if that is set, and to upload what waits."""
        self._thread.start()

    def stop(self) -> None:
        """End after what is under way; the rest waits on the disk."""
        self._stop.set()
        if self._thread.ident is not None:
            self._thread.join()
        self._pool.shutdown(cancel_futures=True)
        self._queue.close()
        self._target.close()

    def counts(self) -> UploadCounts:
        """Tell what became of all files. Raises StorageError."""
        return self._queue.counts()

    def kinds(self) -> list[Kind]:
        """List what is uploaded of a call."""
        return [kind for kind in KINDS if getattr(self.upload, kind)]

    def send(self, file: CallFile) -> Uploaded:
        """Upload a file of a call now. Raises ArchiveError, CallUnknown, Expired, StorageError."""
        kind: Kind = "media" if file.kind == "media" else "signaling"
        pieces = self._content.pieces(file.call_id, kind)
        if pieces is None:
            return Uploaded(None, 0)
        with self._spooled(pieces) as spool:
            octets = spool.seek(0, 2)
            spool.seek(0)
            return Uploaded(self._target.put(kind, CallName(file.key, file.name), spool, octets), octets)

    def send_or_wait(self, file: CallFile) -> Uploaded | str:
        """Upload a file of a call now, or say in a sentence why it has to wait: it is tried again until it arrives.

        Raises CallUnknown, Expired; StorageError when it cannot even wait.
        """
        try:
            sent = self.send(file)
        except (ArchiveError, StorageError) as error:
            at_us = now_us()
            self._queue.count("failures")
            if not self._queue.add(file, at_us, at_us + _FIRST_RETRY_US):
                raise StorageError("write", self._queue.directory, "too many uploads wait already") from None
            return str(error)
        self._queue.count(file.kind if sent.url is not None else "nothing")
        return sent

    @contextlib.contextmanager
    def _spooled(self, pieces: Iterator[bytes]) -> Iterator[BinaryIO]:
        """Write pieces to a file without a name: a recording may be larger than memory."""
        try:
            with tempfile.TemporaryFile(dir=self._queue.directory) as file:
                for piece in pieces:
                    file.write(piece)
                file.flush()
                yield file
        except OSError as error:
            raise StorageError("write", self._queue.directory, error.strerror or str(error)) from None

    def _take(self, queue: sqlite3.Connection, call_id: str, start_us: int) -> None:
        if not self._is_ours(call_id):
            return
        at_us = now_us()
        for kind in self.kinds():
            enter(queue, CallFile(call_id, start_us, kind, *name_of(call_id, start_us, kind)), at_us, at_us)

    def _run(self) -> None:
        while not self._stop.is_set():
            try:
                self._turn()
            except StorageError as error:
                self._complain(str(error))
            self._stop.wait(_LOOK_SECONDS)

    def _turn(self) -> None:
        """Look for ends, then upload what is due."""
        if self.upload.calls and self._queue.room:
            faults = self._ends.look(self._parts(), now_us())
            self._complain("; ".join(faults))
        while not self._stop.is_set() and (due := self._queue.due(now_us(), _DUE_AT_ONCE)):
            list(self._pool.map(self._try, due))

    def _try(self, one: Waiting) -> None:
        """Upload one file that waits, and say what became of it."""
        if self._stop.is_set():
            return
        call_id = one.file.call_id
        try:
            sent = self.send(one.file)
        except (CallUnknown, Expired) as error:
            LOG.warning("upload of call %r given up: %s", call_id, error)
            self._queue.done(one.id, "given_up")
        except (ArchiveError, StorageError) as error:
            self._again(one, str(error))
        except Exception:
            # A call that breaks what renders it must not keep the others waiting.
            LOG.exception("upload of call %r failed", call_id)
            self._again(one, "it failed")
        else:
            self._queue.done(one.id, one.file.kind if sent.url is not None else "nothing")

    def _again(self, one: Waiting, why: str) -> None:
        at_us, call_id = now_us(), one.file.call_id
        if at_us - one.since_us > GIVE_UP_US:
            LOG.error("upload of call %r given up after %d tries: %s", call_id, one.attempts + 1, why)
            self._queue.done(one.id, "given_up")
            return
        if one.attempts == 0:
            LOG.warning("upload of call %r failed, will be tried again: %s", call_id, why)
        wait_us = min(_FIRST_RETRY_US << min(one.attempts, 20), _LAST_RETRY_US)
        self._queue.failed(one.id, at_us + wait_us)

    def _complain(self, what: str) -> None:
        """Log what is wrong once, not every two seconds."""
        if what and what != self._complaint:
            LOG.error("uploads of calls: %s", what)
        self._complaint = what
