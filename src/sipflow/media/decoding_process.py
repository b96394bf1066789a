"""Decoding in a process of its own: what a hostile payload does to a decoder never becomes the reader's end."""

import contextlib
import itertools
import os
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from types import TracebackType
from typing import Final

import msgspec
import numpy as np
from numpy.typing import NDArray

from sipflow.errors import DecodingFault, Undecodable
from sipflow.media.codec import Codec
from sipflow.media.decoding_frames import Answer, Batch, Patience, receive, send

MEMORY_OCTETS: Final = 1 << 30
TIMEOUT_SECONDS: Final = 20.0
# A message: some seconds of work at most, some MB of samples.
MOST_PAYLOADS: Final = 1000
_BUFFER_OCTETS: Final = 1 << 20  # fewer turns between the two; the kernel may give less
_START_SECONDS: Final = 30.0  # imports on a machine that is busy


@dataclass(frozen=True, slots=True, eq=False)
class Decoded:
    """Samples (mono int16 at `rate` Hz) of a batch, `counts` of them per payload; `bad` payloads were malformed."""

    rate: int
    samples: NDArray[np.int16]
    counts: NDArray[np.uint32]
    bad: int


class DecodingProcess:
    """Keeps one decoding process, started when it is first needed and again after it died. Any thread.

    It ends with this one: its socket closes, and a batch that hangs has its own end (see decoding_worker.work). The
    kernel's parent-death signal would come when the *thread* that started it ends, which in a pool is any time.
    """

    def __init__(self, timeout_seconds: float = TIMEOUT_SECONDS, memory_octets: int = MEMORY_OCTETS) -> None:
        """Allow `timeout_seconds` for each MOST_PAYLOADS and `memory_octets` of address space; starts nothing yet."""
        self._timeout_seconds = timeout_seconds
        self._memory_octets = memory_octets
        self._process: subprocess.Popen[bytes] | None = None
        self._channel: socket.socket | None = None
        self._lock = threading.Lock()
        self._numbers = itertools.count()
        self.deaths = 0

    def __enter__(self) -> "DecodingProcess":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    @property
    def pid(self) -> int | None:
        """Tell the process id; None while none runs."""
        return None if self._process is None else self._process.pid

    def open(self, codec: Codec) -> "DecodingStream":
        """Begin a stream. Raises Undecodable when there is no decoder for it, DecodingFault."""
        number = next(self._numbers)
        answer, _ = self._ask(Batch(number, codec, 0))
        return DecodingStream(self, number, codec, answer.rate)

    def close(self) -> None:
        """End the process, if one runs."""
        with self._lock:
            self._end()

    def _ask(self, batch: Batch, *body: memoryview | bytes) -> tuple[Answer, bytearray]:
        with self._lock:
            try:
                channel = self._running()
                patience = Patience(self._timeout_seconds)
                send(channel, batch, *body, patience=patience)
                head, got = receive(channel, patience)
            except (OSError, EOFError) as error:
                raise DecodingFault(batch.codec.name, batch.payloads, self._died(error)) from error
        answer = msgspec.msgpack.decode(head, type=Answer)
        if answer.fault:
            raise Undecodable(answer.fault)
        return answer, got

    def _running(self) -> socket.socket:
        if self._channel is None or self._process is None or self._process.poll() is not None:
            self._end()
            self._channel = self._start()
        return self._channel

    def _start(self) -> socket.socket:
        ours, theirs = socket.socketpair()
        for end in (ours, theirs):
            end.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, _BUFFER_OCTETS)
        with theirs:
            try:
                self._process = subprocess.Popen(
                    [
                        *(sys.executable, "-m", "sipflow.media.decoding_worker"),
                        *(str(theirs.fileno()), str(self._memory_octets), str(2 * self._timeout_seconds)),
                    ],
                    stdin=subprocess.DEVNULL,
                    pass_fds=[theirs.fileno()],
                    # Its arrays are small, and each thread of a BLAS would take address space from the decoders.
                    env={**os.environ, "OPENBLAS_NUM_THREADS": "1"},
                )
            except OSError:
                ours.close()
                raise
        # The first answer shows that it has started; until then the time of a batch does not run.
        patience = Patience(_START_SECONDS)
        try:
            send(ours, Batch(-1, Codec("", 0), 0, last=True), patience=patience)
            receive(ours, patience)
        except (OSError, EOFError):
            ours.close()
            raise
        return ours

    def _died(self, error: OSError | EOFError) -> str:
        """Say how it ended, and see to it that it has."""
        self.deaths += 1
        if isinstance(error, TimeoutError):
            self._end()
            return f"the decoding process gave no answer for {self._timeout_seconds:g} s"
        process = self._process
        if process is None:
            return f"the decoding process cannot be started ({error})"
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(1.0)
        status = process.returncode
        self._end()
        return f"the decoding process {f'died of signal {-status}' if (status or 0) < 0 else f'ended with {status}'}"

    def _end(self) -> None:
        if self._channel is not None:
            self._channel.close()
        if self._process is not None:
            self._process.kill()
            self._process.wait()
        self._channel = self._process = None


class DecodingStream:
    """One stream's decoder in a DecodingProcess. One thread at a time."""

    def __init__(self, process: DecodingProcess, number: int, codec: Codec, rate: int) -> None:
        """Belong to a process; made by DecodingProcess.open."""
        self._process = process
        self._number = number
        self.codec = codec
        self.rate = rate

    def decode(self, payloads: bytes | memoryview, lengths: NDArray[np.uint32]) -> Decoded:
        """Decode payloads that lie one after the other, `lengths` octets each, in order.

        Raises DecodingFault when the process died or hung: none of these payloads is decoded then, and the next begin
        with a decoder that knows nothing of the stream.
        """
        answers = [self._part(*part) for part in _parts(memoryview(payloads), lengths)]
        if len(answers) == 1:
            return answers[0]
        return Decoded(
            self.rate,
            np.concatenate([part.samples for part in answers]) if answers else np.zeros(0, np.int16),
            np.concatenate([part.counts for part in answers]) if answers else np.zeros(0, np.uint32),
            sum(part.bad for part in answers),
        )

    def close(self) -> None:
        """Let the decoder go."""
        with contextlib.suppress(DecodingFault):
            self._process._ask(Batch(self._number, self.codec, 0, last=True))  # the two are one module's

    def _part(self, payloads: memoryview, lengths: NDArray[np.uint32]) -> Decoded:
        batch = Batch(self._number, self.codec, len(lengths))
        answer, body = self._process._ask(batch, lengths.astype("<u4", copy=False).tobytes(), payloads)
        counts = np.frombuffer(body, "<u4", len(lengths))
        return Decoded(answer.rate, np.frombuffer(body, "<i2", offset=4 * len(lengths)), counts, answer.bad)


def _parts(payloads: memoryview, lengths: NDArray[np.uint32]) -> Iterator[tuple[memoryview, NDArray[np.uint32]]]:
    ends = np.append(0, np.cumsum(lengths, dtype=np.int64))
    for first in range(0, len(lengths), MOST_PAYLOADS):
        stop = min(first + MOST_PAYLOADS, len(lengths))
        yield payloads[ends[first] : ends[stop]], lengths[first:stop]
