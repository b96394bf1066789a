"""Whether a machine has time for what can wait: the share of its processors that nobody needs."""

from pathlib import Path
from typing import Final

_STAT: Final = Path("/proc/stat")
# Below so much idle time, work that can wait is in somebody's way: caches, memory, the disk are shared (proc(5)).
IDLE_LEAST: Final = 0.25
# The fields of the first line: user, nice, system, idle, iowait, and so on; what is niced can wait as well as we.
_NICE, _IDLE, _FIELDS = 1, 3, 8


class Idleness:
    """Looks at the processors from time to time; one thread."""

    def __init__(self, stat: Path = _STAT) -> None:
        """Begin to look."""
        self._stat = stat
        self._last = self._times()
        self.share = 1.0

    def look(self) -> float:
        """Tell what share of the time since the last look nobody needed, 0 to 1; a niced process counts as nobody.

        Where the kernel does not tell, it is 1.
        """
        now = self._times()
        spent = [after - before for before, after in zip(self._last, now, strict=True)]
        self._last = now
        if (total := sum(spent)) > 0:
            self.share = (spent[_NICE] + spent[_IDLE]) / total
        return self.share

    def _times(self) -> list[int]:
        try:
            line = self._stat.read_text("ascii").split("\n", 1)[0].split()[1 : 1 + _FIELDS]
            return [int(field) for field in line] if len(line) == _FIELDS else [0] * _FIELDS
        except (OSError, ValueError):
            return [0] * _FIELDS
