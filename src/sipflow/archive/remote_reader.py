"""Reads spans of objects: several at once, each once however many ask for it, none waited for beyond a time."""

import logging
import threading
import time
from collections.abc import Sequence
from concurrent.futures import FIRST_EXCEPTION, Future, ThreadPoolExecutor, wait
from typing import Final

from sipflow.archive.place import Place
from sipflow.archive.remote_ring import Ring
from sipflow.errors import ArchiveError, StorageError
from sipflow.storage.source import Span

LOG = logging.getLogger("sipflow.archive")

# Requests under way at once: more gain nothing from one object store, and a slow one shall not hold many threads.
REQUESTS: Final = 16
# An archive that did not answer in time is given so much less time by those who ask within a while of that [s].
_WARY_S, _WARY_PATIENCE_S = 15.0, 1.0


class SpanReader:
    """The requests to one archive. Safe to use from several threads."""

    def __init__(self, place: Place, ring: Ring) -> None:
        """Read `place`, keeping what was read in `ring`."""
        self._place = place
        self.ring = ring
        self._pool = ThreadPoolExecutor(REQUESTS, "archive")
        self._lock = threading.Lock()
        self._flights: dict[tuple[str, Span], Future[bytes]] = {}
        self._silent_since = -_WARY_S

    def close(self) -> None:
        """Begin no more requests."""
        self._pool.shutdown(wait=False, cancel_futures=True)
        self.ring.close()

    def patience(self, seconds: float) -> float:
        """Tell how long to wait of the time there is [s]: an archive that was silent a moment ago may still be."""
        wary = time.monotonic() - self._silent_since < _WARY_S
        return min(seconds, _WARY_PATIENCE_S) if wary else seconds

    def silent(self) -> None:
        """Note that the archive did not answer in time."""
        self._silent_since = time.monotonic()

    def fetch(self, key: str, spans: Sequence[Span], seconds: float, *, keep: bool = True) -> list[bytes]:
        """Give the octets of each span of an object, and `keep` them. Raises StorageError, also after so long [s]."""
        flights = [self._begin(key, span, keep) for span in spans]
        done, late = wait(flights, seconds, FIRST_EXCEPTION)
        for flight in done:
            if not flight.cancelled() and (error := flight.exception()) is not None:
                raise error
        if late or any(flight.cancelled() for flight in done):
            self.silent()
            raise StorageError("read", key, f"the archive did not answer within {seconds:.0f} s")
        return [flight.result() for flight in flights]

    def _begin(self, key: str, span: Span, keep: bool) -> "Future[bytes]":
        with self._lock:
            flight = self._flights.get((key, span))
            if flight is None:
                try:
                    flight = self._pool.submit(self._read, key, span, keep)
                except RuntimeError:
                    raise StorageError("read", key, "the history is closed") from None
                self._flights[key, span] = flight
            return flight

    def _read(self, key: str, span: Span, keep: bool) -> bytes:
        try:
            octets = self._place.get_range(key, span.offset, span.length)
            if len(octets) != span.length:
                what = f"{len(octets)} octets came from octet {span.offset} on; its manifest has {span.length} there"
                raise StorageError("read", key, f"in the archive: {what}")
            if keep:
                self._keep(key, span, octets)
            return octets
        except ArchiveError as error:
            raise StorageError("read", key, f"in the archive: {error.reason}") from None
        finally:
            with self._lock:
                del self._flights[key, span]

    def _keep(self, key: str, span: Span, octets: bytes) -> None:
        try:
            self.ring.put(key, span.offset, octets)
        except OSError as error:
            LOG.warning("what is read from the archive cannot be kept: %s", error.strerror or error)
