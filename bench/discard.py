"""The bare receive-and-discard loop: a socket emptied by recvmmsg, 64 datagrams at a time, and nothing else.

PYTHONPATH=src python -m bench.discard [--port 3000] [--seconds 10]

It is the least a recorder can spend, so other benchmarks give their costs as ratios to it.
"""

import argparse
import contextlib
import ctypes
import multiprocessing
import socket
import time
from collections.abc import Callable, Iterator
from multiprocessing.connection import Connection
from pathlib import Path
from typing import NamedTuple

_DATAGRAMS = 64
_ROOM = 2048  # octets of a datagram; what is longer is cut, which costs the kernel no less
_NAP_S = 0.0002  # after a batch that was short, as the recorder does it
_NAPS_A_LOOK = 50  # naps after which it is asked whether to go on: looking costs more than receiving
_BUFFER = 32 << 20
_SO_RCVBUFFORCE = 33
_MSG_DONTWAIT = 0x40


class _Slice(ctypes.Structure):
    _fields_ = (("base", ctypes.c_void_p), ("length", ctypes.c_size_t))


class _Head(ctypes.Structure):
    """struct msghdr (recvmsg(2)); ctypes pads as the compiler does."""

    _fields_ = (
        ("name", ctypes.c_void_p),
        ("name_length", ctypes.c_uint32),
        ("slices", ctypes.POINTER(_Slice)),
        ("slices_count", ctypes.c_size_t),
        ("control", ctypes.c_void_p),
        ("control_length", ctypes.c_size_t),
        ("flags", ctypes.c_int),
    )


class _Message(ctypes.Structure):
    """struct mmsghdr (recvmmsg(2))."""

    _fields_ = (("head", _Head), ("received", ctypes.c_uint))


class Discarded(NamedTuple):
    """What a receiver took and threw away; `cpu_s` is the processor time of its process while it received."""

    datagrams: int
    kernel_drops: int
    cpu_s: float


class Discarding:
    """A receiver in a process of its own, on a free port of loopback."""

    def __init__(self) -> None:
        """Start the process and wait until it listens."""
        context = multiprocessing.get_context("spawn")
        self._line, other = context.Pipe()
        self._process = context.Process(target=_serve, args=(other,), daemon=True)
        self._process.start()
        self.port: int = self._line.recv()

    def stop(self) -> Discarded:
        """Let the receiver take what has arrived, end it, and give its counts."""
        self._line.send(None)
        found: Discarded = self._line.recv()
        self._process.join()
        return found

    def kill(self) -> None:
        """End the receiver whatever it does."""
        self._process.kill()


@contextlib.contextmanager
def discarding() -> Iterator[Discarding]:
    """Run a receiver; it is gone afterwards, whatever happened."""
    receiver = Discarding()
    try:
        yield receiver
    finally:
        receiver.kill()


def _serve(line: Connection) -> None:
    with _listen(0) as sock:
        line.send(sock.getsockname()[1])
        line.send(discard(sock, line.poll))


def discard(sock: socket.socket, ended: Callable[[], bool]) -> Discarded:
    """Receive and discard until `ended`, which is asked now and then, says so; gives what came until then."""
    libc = ctypes.CDLL(None, use_errno=True)
    room = ctypes.create_string_buffer(_DATAGRAMS * _ROOM)
    slices = (_Slice * _DATAGRAMS)()
    messages = (_Message * _DATAGRAMS)()
    for i in range(_DATAGRAMS):
        slices[i] = _Slice(ctypes.addressof(room) + i * _ROOM, _ROOM)
        messages[i].head.slices = ctypes.pointer(slices[i])
        messages[i].head.slices_count = 1
    fd, datagrams, began = sock.fileno(), 0, time.process_time()
    naps = 0
    last = False
    while True:
        taken = libc.recvmmsg(fd, messages, _DATAGRAMS, _MSG_DONTWAIT, None)
        datagrams += max(0, taken)
        if taken == _DATAGRAMS:
            continue
        if last and taken < 0:
            break
        time.sleep(_NAP_S)
        naps += 1
        if naps % _NAPS_A_LOOK == 0:
            last = ended()
    return Discarded(datagrams, _drops(sock.getsockname()[1]), time.process_time() - began)


def _listen(port: int) -> socket.socket:
    sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    try:
        sock.setsockopt(socket.SOL_SOCKET, _SO_RCVBUFFORCE, _BUFFER)
    except PermissionError:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _BUFFER)
    sock.bind(("127.0.0.1", port))
    return sock


def _drops(port: int) -> int:
    for line in Path("/proc/net/udp").read_text("ascii").splitlines()[1:]:
        fields = line.split()
        if int(fields[1].rpartition(":")[2], 16) == port:
            return int(fields[-1])
    return 0


def main() -> None:
    """Receive for some seconds on a port and say what came."""
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--port", type=int, default=3000)
    options.add_argument("--seconds", type=float, default=10.0)
    asked = options.parse_args()
    with _listen(asked.port) as sock:
        until = time.monotonic() + asked.seconds
        found = discard(sock, lambda: time.monotonic() > until)
    per = 1e6 * found.cpu_s / max(1, found.datagrams)
    print(f"{found.datagrams} datagrams, {found.kernel_drops} dropped by the kernel, {per:.3f} us of CPU each")


if __name__ == "__main__":
    main()
