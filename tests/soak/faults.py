"""Faults of the disk and leaps of the clock for a running server: the control file of shim.c.

Rules strike calls on files below the server's root whose name matches a pattern. They may be armed and disarmed while
the server runs, and every call that is struck is counted.
"""

import enum
import errno
import mmap
import os
import struct
import subprocess
from pathlib import Path
from typing import Self

_MAGIC = 0x4B414F53
_RULES = 16
_HEAD = struct.Struct("<IIq")
_RULE = struct.Struct("<IIIiQQIIQQ200s")
_SEEN, _HIT = 40, 48  # where these counters stand in a rule
SHIM = Path(__file__).with_name("shim.c")
ALWAYS = 1_000_000  # chances are per million


class Op(enum.IntFlag):
    """Kinds of calls; the bits are those of enum op in shim.c."""

    OPEN = 1
    READ = 2
    WRITE = 4
    SYNC = 8
    RENAME = 16
    TRUNCATE = 32
    ALLOCATE = 64
    UNLINK = 128
    MKDIR = 256
    CHMOD = 512
    # What a full or broken disk refuses; reading and giving back go on.
    STORE = OPEN | WRITE | SYNC | RENAME | TRUNCATE | ALLOCATE | MKDIR


class _Action(enum.IntEnum):
    FAIL = 0
    SHORT = 1
    DELAY = 2
    KILL_BEFORE = 3
    KILL_AFTER = 4


def build_shim(directory: Path) -> Path:
    """Compile shim.c into `directory`. Raises CalledProcessError, and FileNotFoundError without a C compiler."""
    library = directory / "shim.so"
    flags = ["-shared", "-fPIC", "-O1", "-Wall", "-Wextra", "-Werror"]
    subprocess.run([os.environ.get("CC", "cc"), *flags, "-o", str(library), str(SHIM), "-ldl"], check=True)
    return library


class Rule:
    """One armed rule; `seen` are the calls that matched since then, `hit` those that were struck."""

    def __init__(self, faults: "Faults", at: int) -> None:
        self._faults = faults
        self._at = at

    @property
    def seen(self) -> int:
        """Count the calls that matched."""
        return self._faults.number(self._at + _SEEN)

    @property
    def hit(self) -> int:
        """Count the calls that were struck."""
        return self._faults.number(self._at + _HIT)

    def disarm(self) -> None:
        """Strike no more; the counts stay."""
        self._faults.switch_off(self._at)


class Faults:
    """The control file at `path`, and what the server must be started with to obey it."""

    def __init__(self, path: Path, library: Path) -> None:
        """Make the file, with no rule armed and the true clock."""
        self._path = path
        self._library = library
        octets = _HEAD.size + _RULES * _RULE.size
        path.write_bytes(_HEAD.pack(_MAGIC, 0, 0) + bytes(octets - _HEAD.size))
        with path.open("r+b") as file:
            self._map = mmap.mmap(file.fileno(), octets)
        self._used = 0

    def close(self) -> None:
        """Unmap the file."""
        self._map.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def environment(self, root: Path) -> dict[str, str]:
        """Give the variables that put a process under this control."""
        return {"LD_PRELOAD": str(self._library), "SOAK_CONTROL": str(self._path), "SOAK_ROOT": str(root)}

    def fail(self, ops: Op, pattern: str, error: int = errno.EIO, *, nth: int = 1, most: int = 0, chance: int = ALWAYS
             ) -> Rule:  # fmt: skip
        """Let calls fail with `error`: from the `nth` on, at most `most` of them (0 for all), each with a chance."""
        return self._arm(_Action.FAIL, ops, pattern, error=error, nth=nth, most=most, chance=chance)

    def shorten(self, pattern: str, *, chance: int = ALWAYS, most: int = 0) -> Rule:
        """Let writes and reads do half of what was asked."""
        return self._arm(_Action.SHORT, Op.WRITE, pattern, chance=chance, most=most)

    def delay(self, ops: Op, pattern: str, milliseconds: int, *, chance: int = ALWAYS) -> Rule:
        """Let calls wait before they are done."""
        return self._arm(_Action.DELAY, ops, pattern, delay_ms=milliseconds, chance=chance)

    def kill(self, ops: Op, pattern: str, *, nth: int = 1, after: bool = False) -> Rule:
        """Kill the process with SIGKILL at the `nth` call, before or after it is done."""
        return self._arm(_Action.KILL_AFTER if after else _Action.KILL_BEFORE, ops, pattern, nth=nth, most=1)

    def _arm(self, action: _Action, ops: Op, pattern: str, *, error: int = 0, nth: int = 1, most: int = 0,
             delay_ms: int = 0, chance: int = ALWAYS) -> Rule:  # fmt: skip
        assert self._used < _RULES, "no rule left: clear() first"
        at = _HEAD.size + self._used * _RULE.size
        self._used += 1
        fields = (ops, action, error, nth, most, chance, delay_ms, 0, 0, pattern.encode())
        self._map[at : at + _RULE.size] = _RULE.pack(0, *fields)
        self._map[at : at + 4] = struct.pack("<I", 1)
        return Rule(self, at)

    def clear(self) -> int:
        """Disarm every rule and forget their counts; gives how many calls were struck."""
        struck = 0
        for number in range(self._used):
            at = _HEAD.size + number * _RULE.size
            self.switch_off(at)
            struck += self.number(at + _HIT)
        self._used = 0
        return struck

    def switch_off(self, at: int) -> None:
        """Disarm the rule at an offset of the file."""
        self._map[at : at + 4] = bytes(4)

    def number(self, at: int) -> int:
        """Read a counter of the file."""
        return int.from_bytes(self._map[at : at + 8], "little")

    def leap(self, offset_us: int) -> None:
        """Set the wall clock so far ahead of the true one, or behind it [us]."""
        self._map[8:16] = struct.pack("<q", offset_us)

    def be_unprivileged(self) -> None:
        """Let read-only files refuse writers, as they do for every user but root."""
        self._map[4:8] = struct.pack("<I", 1)
