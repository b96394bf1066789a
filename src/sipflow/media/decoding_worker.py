"""The program that decodes for a reader, and may die of what it decodes: python -m sipflow.media.decoding_worker FD."""

import contextlib
import resource
import signal
import socket
import sys
from collections import OrderedDict
from typing import Final

import msgspec
import numpy as np

from sipflow.errors import Undecodable
from sipflow.media.codec import Codec
from sipflow.media.decoder import Decoder, decoder_of
from sipflow.media.decoding_frames import Answer, Batch, receive, send

# Streams beyond these begin anew when they come again; each holds some KB to some hundred KB.
MOST_STREAMS: Final = 256


class DecodingWorker:
    """The decoders of all streams, by the number that the reader gave them."""

    def __init__(self) -> None:
        """Begin without streams."""
        self._decoders: OrderedDict[int, tuple[Codec, Decoder]] = OrderedDict()

    def answer(self, batch: Batch, body: bytearray) -> tuple[Answer, bytes, memoryview | bytes]:
        """Decode a batch: the answer, the counts of samples (uint32), the samples (int16)."""
        if batch.last:
            self._decoders.pop(batch.stream, None)
            return Answer(), b"", b""
        try:
            decoder = self._decoder(batch)
        except Undecodable as error:
            return Answer(fault=error.reason), b"", b""
        lengths = np.frombuffer(body, "<u4", batch.payloads)
        ends = np.cumsum(lengths, dtype=np.int64) + 4 * batch.payloads
        bad = decoder.bad
        view = memoryview(body)
        pieces = [
            decoder.decode(bytes(view[end - length : end]))
            for end, length in zip(ends.tolist(), lengths.tolist(), strict=True)
        ]
        counts = np.array([len(piece) for piece in pieces], "<u4")
        samples = np.concatenate(pieces) if pieces else np.zeros(0, np.int16)
        return (
            Answer(decoder.rate, decoder.bad - bad),
            counts.tobytes(),
            samples.astype("<i2", copy=False).view(np.uint8).data,
        )

    def _decoder(self, batch: Batch) -> Decoder:
        known = self._decoders.get(batch.stream)
        if known is None or known[0] != batch.codec:
            known = self._decoders[batch.stream] = (batch.codec, decoder_of(batch.codec))
            if len(self._decoders) > MOST_STREAMS:
                self._decoders.popitem(last=False)
        self._decoders.move_to_end(batch.stream)
        return known[1]


def confine(memory_octets: int) -> None:
    """Bound what this process may take, and leave no core file: it would hold the audio of a call."""
    resource.setrlimit(resource.RLIMIT_AS, (memory_octets, memory_octets))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


def work(channel: socket.socket, patience_seconds: float) -> None:
    """Answer batches until the reader is gone.

    A batch that computes for longer than `patience_seconds` ends the process, by the kernel: a decoder that hangs runs
    no Python, and its reader may have died before it could kill it.
    """
    worker = DecodingWorker()
    with contextlib.suppress(EOFError, ConnectionError):
        while True:
            head, body = receive(channel)
            signal.setitimer(signal.ITIMER_PROF, patience_seconds)
            batch = msgspec.msgpack.decode(head, type=Batch)
            send(channel, *worker.answer(batch, body))
            signal.setitimer(signal.ITIMER_PROF, 0)


def main() -> None:
    """Read the arguments (socket, octets of memory, seconds per batch) and work."""
    signal.signal(signal.SIGPROF, signal.SIG_DFL)
    # Ctrl-C at a terminal reaches the whole group; the end of the socket is what ends this process.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    fd, memory_octets, patience_seconds = int(sys.argv[1]), int(sys.argv[2]), float(sys.argv[3])
    confine(memory_octets)
    with socket.socket(fileno=fd) as channel:
        work(channel, patience_seconds)


if __name__ == "__main__":
    main()
