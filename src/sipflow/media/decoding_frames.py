"""What the reader and its decoding process say to each other over a socket: length-prefixed messages."""

import select
import socket
import struct
import time
from typing import Final

import msgspec

from sipflow.media.codec import Codec

_LENGTH: Final = struct.Struct("<II")
_TURN_SECONDS: Final = 0.5
# Time in which this process itself did not run (a frozen machine) is no silence of the other end.
_LONGEST_TURN_SECONDS: Final = 1.0


class Batch(msgspec.Struct, frozen=True, array_like=True):
    """Payloads of one stream to decode, concatenated in the message's body after their lengths (uint32).

    `stream` names the decoder whose state goes on; with `last` it is dropped and nothing is decoded.
    """

    stream: int
    codec: Codec
    payloads: int
    last: bool = False


class Answer(msgspec.Struct, frozen=True, array_like=True):
    """What came of a Batch: its body holds a count of samples per payload (uint32), then the samples (int16).

    `fault` says why there is nothing; `bad` counts the malformed payloads of this batch.
    """

    rate: int = 0
    bad: int = 0
    fault: str = ""


class Patience:
    """How long one exchange of messages may still wait for the other end."""

    def __init__(self, seconds: float) -> None:
        """Allow `seconds`, of which only those count in which this process ran."""
        self._left = seconds

    def wait(self, channel: socket.socket, *, to_write: bool = False) -> None:
        """Wait until the channel is ready. Raises TimeoutError when patience is at its end."""
        waiter = select.poll()
        waiter.register(channel, select.POLLOUT if to_write else select.POLLIN)
        while True:
            began = time.monotonic()
            if waiter.poll(1000 * min(_TURN_SECONDS, max(self._left, 0.0))):
                return
            self._left -= min(time.monotonic() - began, _LONGEST_TURN_SECONDS)
            if self._left <= 0:
                raise TimeoutError


def send(
    channel: socket.socket, head: Batch | Answer, *body: bytes | memoryview, patience: Patience | None = None
) -> None:
    """Write a message; without patience, for as long as it takes. Raises OSError (TimeoutError among them)."""
    encoded = msgspec.msgpack.encode(head)
    size = sum(len(piece) for piece in body)
    # Samples are megabytes: they are not copied into one message with their head.
    for piece in (_LENGTH.pack(len(encoded), size) + encoded, *body):
        _write(channel, memoryview(piece), patience)


def receive(channel: socket.socket, patience: Patience | None = None) -> tuple[bytes, bytearray]:
    """Read a message: its encoded head and its body; without patience, for as long as it takes.

    Raises EOFError when the other end is gone, OSError (TimeoutError among them).
    """
    head_octets, body_octets = _LENGTH.unpack(_read(channel, _LENGTH.size, patience))
    return bytes(_read(channel, head_octets, patience)), _read(channel, body_octets, patience)


def _write(channel: socket.socket, octets: memoryview, patience: Patience | None) -> None:
    flags = 0 if patience is None else socket.MSG_DONTWAIT
    while octets:
        if patience is not None:
            patience.wait(channel, to_write=True)
        octets = octets[channel.send(octets, flags) :]


def _read(channel: socket.socket, octets: int, patience: Patience | None) -> bytearray:
    buffer = bytearray(octets)
    view = memoryview(buffer)
    while view:
        if patience is not None:
            patience.wait(channel)
        got = channel.recv_into(view)
        if got == 0:
            raise EOFError
        view = view[got:]
    return buffer
