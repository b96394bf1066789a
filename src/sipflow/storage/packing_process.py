"""The program that builds one packed pair for a recorder: python -m sipflow.storage.packing_process.

It takes its orders as a line of JSON on standard input and answers with one on standard output. It writes nothing but
the directory `.packing` of the part, and holds nothing that anybody waits for: it may be stopped, continued or killed
at any instant. When the recorder is gone, so is it.
"""

import contextlib
import ctypes
import os
import signal
import sys
from pathlib import Path

import msgspec

from sipflow.errors import CannotPack, SipflowError
from sipflow.storage.packing import Built, build
from sipflow.storage.part import Part

_PR_SET_PDEATHSIG = 1  # prctl(2)
# ioprio_set(2): this process, by its id 0; class idle.
_IOPRIO_SET = {"x86_64": 251, "aarch64": 30}
_IOPRIO_WHO_PROCESS, _IOPRIO_IDLE = 1, 3 << 13
_NICEST = 19


class PackOrders(msgspec.Struct, frozen=True):
    """What to build: a part of a root, for the process `recorder`."""

    root: str
    part: Part
    recorder: int


class PackAnswer(msgspec.Struct, frozen=True):
    """What came of it: the pair that was built, or why there is none; `refused` when the part must stay as it is."""

    built: Built | None = None
    why: str = ""
    refused: bool = False


def main() -> None:
    """Build what is ordered."""
    orders = msgspec.json.decode(sys.stdin.buffer.readline(), type=PackOrders)
    _step_back(orders.recorder)
    try:
        answer = PackAnswer(build(Path(orders.root), orders.part, lambda: None, lambda: False))
    except CannotPack as error:
        answer = PackAnswer(why=str(error), refused=True)
    except SipflowError as error:
        answer = PackAnswer(why=str(error))
    sys.stdout.buffer.write(msgspec.json.encode(answer) + b"\n")


def _step_back(recorder: int) -> None:
    """Take only the time and the disk that nobody else wants, and end when the recorder does."""
    libc = ctypes.CDLL(None, use_errno=True)
    libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != recorder:
        sys.exit(1)  # it went before that was said
    os.nice(_NICEST)
    with contextlib.suppress(OSError, AttributeError):
        os.sched_setscheduler(0, os.SCHED_IDLE, os.sched_param(0))
    number = _IOPRIO_SET.get(os.uname().machine)
    if number is not None:
        libc.syscall(number, _IOPRIO_WHO_PROCESS, 0, _IOPRIO_IDLE)


if __name__ == "__main__":
    main()
