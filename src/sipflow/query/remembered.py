"""A bounded memory of answers, the longest unused forgotten first."""

import threading
import time
from collections import OrderedDict
from typing import Generic, NamedTuple, TypeVar

K = TypeVar("K")
V = TypeVar("V")


class _Kept(NamedTuple, Generic[V]):
    """A value, since when it is kept (monotonic clock), and its weight."""

    since_s: float
    value: V
    weight: int


class Remembered(Generic[K, V]):
    """Keeps values up to a total weight, each of weight 1 unless told. Safe to use from several threads."""

    def __init__(self, most: int) -> None:
        """Keep values of a weight of `most` together."""
        self._most = most
        self._lock = threading.Lock()
        self._kept: OrderedDict[K, _Kept[V]] = OrderedDict()
        self._weight = 0

    def find(self, key: K, age_seconds: float | None = None) -> V | None:
        """Give the value of a key, None when it is not kept or older than `age_seconds`."""
        with self._lock:
            found = self._kept.get(key)
            if found is None or (age_seconds is not None and time.monotonic() - found.since_s >= age_seconds):
                return None
            self._kept.move_to_end(key)
            return found.value

    def keep(self, key: K, value: V, weight: int = 1) -> None:
        """Keep a value in place of what its key had; one heavier than all that may be kept is not."""
        with self._lock:
            self._drop(key)
            if weight > self._most:
                return
            self._kept[key] = _Kept(time.monotonic(), value, weight)
            self._weight += weight
            while self._weight > self._most:
                self._drop(next(iter(self._kept)))

    def _drop(self, key: K) -> None:
        gone = self._kept.pop(key, None)
        if gone is not None:
            self._weight -= gone.weight
