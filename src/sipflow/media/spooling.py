"""Decodes what needs its order: each run of packets once, into a spool, as samples at the recording's rate."""

import itertools
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from sipflow._fast import g711_decode
from sipflow.errors import DecodingFault
from sipflow.media.carried import Carried, Contents, Law
from sipflow.media.comfort import ComfortNoise
from sipflow.media.concealment import HISTORY_MS, conceal
from sipflow.media.decoding import Decoding, StreamDecoder
from sipflow.media.placed import PLACED
from sipflow.media.resampling import Resampler
from sipflow.media.spool import Spool, rows
from sipflow.media.srtp import Unprotect
from sipflow.media.stream import Stream
from sipflow.wire.packet import ROW_VALID
from sipflow.wire.sdp import Crypto

# Packets decoded at a time: some seconds, some hundred kilobytes of samples.
_BATCH: Final = 250
# Lost audio is concealed up to this, noise is rendered up to this; beyond it nobody would take it for the call [s].
_CONCEAL_S: Final = 1
_NOISE_S: Final = 3600
_NOISE_STEP: Final = 1 << 16


class Spooled(NamedTuple):
    """Rows (PLACED) that know their samples, but neither start nor cause; the spool that holds them, if any does.

    `joined` tells per packet whether its samples go on from those of the packet before, without a border.
    """

    placed: NDArray[np.void]
    spool: Spool | None
    joined: NDArray[np.bool_] | None


@dataclass(frozen=True, slots=True, eq=False)
class Sounding:
    """The packets of one stream that are audio (PACKET, in order of number), what they carry and in which epoch.

    `ticks` is how far the RTP clock goes until whatever packet follows, 0 where none does.
    """

    stream: Stream
    audio: NDArray[np.void]
    contents: Contents
    epoch: NDArray[np.int32]
    ticks: NDArray[np.int32]


def spool(sounding: Sounding, rate: int, decoding: Decoding) -> Spooled:
    """Find the samples of packets.

    G.711 stays where it is when `rate` is its own and nothing is concealed: it is decoded when it is heard. Raises
    OSError when there is no room for the rest.
    """
    audio, kinds = sounding.audio, sounding.contents.kinds
    placed = rows(len(audio), PLACED)
    for name in ("chunk", "offset", "length"):
        placed[name] = audio[name]
    placed["law"] = sounding.contents.select([kind.law for kind in kinds])
    there = [kind.law != Law.LINEAR and kind.rate == rate and not kind.cryptos for kind in kinds]
    here = sounding.contents.select([not (plain and not decoding.conceal) for plain in there]).view(bool)
    if not here.any():
        return Spooled(placed, None, None)
    run = _Run(sounding, rate, decoding)
    for start, stop in _batches(here, sounding):
        run.take(start, stop)
    run.end()
    placed["chunk"][here] = len(sounding.stream.chunks)
    placed["law"][here] = Law.LINEAR
    placed["offset"][here] = run.offset[here]
    placed["length"][here] = run.length[here]
    return Spooled(placed, run.spool, run.joined)


def _batches(here: NDArray[np.bool_], sounding: Sounding) -> Iterator[tuple[int, int]]:
    """Give bounds of packets that are of one kind and epoch and can be decoded at once."""
    of, epoch = sounding.contents.of, sounding.epoch
    turns = np.flatnonzero((of[1:] != of[:-1]) | (epoch[1:] != epoch[:-1])) + 1
    for begin, end in zip([0, *turns.tolist()], [*turns.tolist(), len(of)], strict=True):
        if here[begin]:
            for start in range(begin, end, _BATCH):
                yield start, min(start + _BATCH, end)


class _Run:
    """Batches one after the other; a run ends where a packet is not the continuation of the last."""

    def __init__(self, sounding: Sounding, rate: int, decoding: Decoding) -> None:
        count = len(sounding.audio)
        self.spool = Spool()
        self.joined = np.zeros(count, bool)
        self.offset = np.zeros(count, np.uint32)
        self.length = np.zeros(count, np.uint32)
        self._sounding = sounding
        self._rate = rate
        self._decoding = decoding
        self._voices: dict[Carried, _Voice] = {}
        self._payloads = _Payloads(sounding.stream)
        self._voice: _Voice | None = None
        self._stop = -1  # the packet that would go on
        self._due = 0  # its timestamp, in ticks times the voice's rate: no division, no rounding
        self._began = 0  # where the run begins in the spool

    def take(self, start: int, stop: int) -> None:
        """Decode packets [start, stop), which are of one kind and epoch."""
        audio = self._sounding.audio[start:stop]
        kind = self._sounding.contents.kinds[self._sounding.contents.of[start]]
        payloads = self._payloads.of(audio, kind)
        if kind.is_noise:
            self.end()
            self._noise(start, audio, payloads, kind)
            return
        voice = self._voices.get(kind)
        if voice is None:
            voice = self._voices[kind] = _Voice(kind, self._rate, self._decoding)
        voice.follow(int(audio["segment"][0]))
        samples, counts = voice.decode(payloads)
        if voice is not self._voice or start != self._stop or self._crosses(start):
            self.end()
        self._add(start, audio, voice, samples, counts)

    def end(self) -> None:
        """End the run: what a filter still holds belongs to it."""
        if self._voice is not None:
            self.spool.append(self._voice.finish())
            self._voice = None

    def _crosses(self, start: int) -> bool:
        return bool(self._sounding.epoch[start] != self._sounding.epoch[start - 1])

    def _add(
        self,
        start: int,
        audio: NDArray[np.void],
        voice: "_Voice",
        samples: NDArray[np.int16],
        counts: NDArray[np.int64],
    ) -> None:
        """Put samples into the spool, run by run."""
        clock, rate = voice.kind.codec.clock, voice.kind.rate
        steps = np.diff(audio["timestamp"]).astype(np.int32).astype(np.int64)
        goes_on = np.append(False, steps * rate == counts[:-1] * clock)
        early = (int(audio["timestamp"][0]) * rate - self._due) % (rate << 32)
        goes_on[0] = self._voice is not None and early == 0
        ends = np.cumsum(counts)
        firsts = np.flatnonzero(~goes_on).tolist()
        bounds = [0, *firsts, len(counts)] if goes_on[0] else [*firsts, len(counts)]
        self.joined[start : start + len(counts)] = goes_on
        for first, stop in itertools.pairwise(bounds):
            filled = 0
            if not goes_on[first]:
                filled = self._fill(start + first, voice)
                if not filled:
                    self.end()
                    self._began = len(self.spool)
                    voice.begin()
                self.joined[start + first] = bool(filled)
            self._voice = voice
            before = ends[first:stop] - counts[first:stop] - (ends[first] - counts[first])
            at = voice.total_of(voice.decoded + before)
            after = voice.total_of(voice.decoded + before + counts[first:stop])
            if filled:
                at[0] = voice.total_of(voice.decoded - filled)
            self.spool.append(voice.feed(samples[ends[first] - counts[first] : ends[stop - 1]]))
            self.offset[start + first : start + stop] = self._began + at
            self.length[start + first : start + stop] = after - at
            self._due = int(audio["timestamp"][stop - 1]) * rate + int(counts[stop - 1]) * clock
        self._stop = start + len(counts)

    def _fill(self, at: int, voice: "_Voice") -> int:
        """Conceal what was lost before a packet, if that is wanted; gives the samples it took, at the voice's rate."""
        audio = self._sounding.audio
        if not self._decoding.conceal or self._voice is not voice or at == 0:
            return 0
        lost = int(audio["extended"][at]) - int(audio["extended"][at - 1]) - 1
        rate, clock = voice.kind.rate, voice.kind.codec.clock
        missing = (int(audio["timestamp"][at]) * rate - self._due) % (rate << 32) // clock
        if lost <= 0 or not 0 < missing <= _CONCEAL_S * rate:
            return 0
        self.spool.append(voice.feed(conceal(voice.history, missing, rate)))
        return missing

    def _noise(self, start: int, audio: NDArray[np.void], payloads: list[bytes], kind: Carried) -> None:
        """Render the noise between each packet and whatever follows it."""
        for at, payload, timestamp in zip(
            range(start, start + len(payloads)), payloads, audio["timestamp"].tolist(), strict=True
        ):
            ticks = max(int(self._sounding.ticks[at]), 0)
            count = min(ticks * self._rate // kind.codec.clock, _NOISE_S * self._rate) if payload else 0
            noise = ComfortNoise(payload, timestamp)
            self.offset[at] = len(self.spool)
            self.length[at] = count
            for begin in range(0, count, _NOISE_STEP):
                self.spool.append(noise.samples(begin, min(begin + _NOISE_STEP, count)))


class _Voice:
    """One codec of one stream: its decoder, and the way from the decoder's rate to the recording's."""

    def __init__(self, kind: Carried, rate: int, decoding: Decoding) -> None:
        self.kind = kind
        self.decoded = 0  # samples of the run, at the decoder's rate
        self.history = np.zeros(0, np.int16)
        self._kept = kind.rate * HISTORY_MS // 1000
        self._decoding = decoding
        self._decoder: StreamDecoder | None = None
        self._resampler = Resampler(kind.rate, rate) if kind.rate != rate else None
        self._segment = -1

    def follow(self, segment: int) -> None:
        """Begin anew where the sender did."""
        if segment != self._segment and self._decoder is not None:
            self._decoder.close()
            self._decoder = None
        self._segment = segment

    def total_of(self, decoded: NDArray[np.int64] | int) -> NDArray[np.int64]:
        """Tell how many samples of the recording so many of the run become."""
        return np.asarray(decoded if self._resampler is None else self._resampler.total_of(decoded))

    def decode(self, payloads: list[bytes]) -> tuple[NDArray[np.int16], NDArray[np.int64]]:
        """Decode payloads; gives their samples and how many each has: none where it is not to be decoded."""
        lengths = np.array([len(payload) for payload in payloads], np.uint32)
        if self.kind.law != Law.LINEAR:
            octets = g711_decode(b"".join(payloads), int(self.kind.law))
            return np.frombuffer(octets, np.int16), lengths.astype(np.int64)
        if self._decoder is None:
            self._decoder = self._decoding.open(self.kind.codec)
        try:
            decoded = self._decoder.decode(b"".join(payloads), lengths)
        except DecodingFault as error:
            self._decoding.reasons.append(str(error))
            return np.zeros(0, np.int16), np.zeros(len(payloads), np.int64)
        return decoded.samples, decoded.counts.astype(np.int64)

    def begin(self) -> None:
        """Begin a run."""
        self.decoded = 0

    def feed(self, samples: NDArray[np.int16]) -> NDArray[np.int16]:
        """Take samples of the run; gives what can be given by now, at the recording's rate."""
        self.decoded += len(samples)
        self.history = np.append(self.history, samples[-self._kept :])[-self._kept :]
        return samples if self._resampler is None else self._resampler.feed(samples)

    def finish(self) -> NDArray[np.int16]:
        """End the run; gives the rest of it."""
        self.decoded = 0
        return np.zeros(0, np.int16) if self._resampler is None else self._resampler.finish()


class _Payloads:
    """The payloads of a stream, decrypted where they must be."""

    def __init__(self, stream: Stream) -> None:
        self._stream = stream
        self._keys: dict[tuple[Crypto, ...], Unprotect] = {}

    def of(self, audio: NDArray[np.void], kind: Carried) -> list[bytes]:
        """Give the payloads of packets of one kind; one that does not open is empty."""
        found: list[bytes] = []
        edges = [0, *(np.flatnonzero(np.diff(audio["chunk"])) + 1).tolist(), len(audio)]
        for first, stop in itertools.pairwise(edges):
            found += self._of_chunk(audio[first:stop], kind)
        return found

    def _of_chunk(self, audio: NDArray[np.void], kind: Carried) -> list[bytes]:
        chunk_rows, data = self._stream.chunks[int(audio["chunk"][0])].content()
        begins = audio["offset"].tolist()
        if not kind.cryptos:
            return [data[at : at + length] for at, length in zip(begins, audio["length"].tolist(), strict=True)]
        unprotect = self._keys.get(kind.cryptos)
        if unprotect is None:
            unprotect = self._keys[kind.cryptos] = Unprotect(kind.cryptos)
        valid = chunk_rows[(chunk_rows["flags"] & ROW_VALID) != 0]
        whole = {
            payload: data[at : at + length]
            for payload, at, length in valid[["payload_offset", "offset", "length"]].tolist()
        }
        return [unprotect.payload(whole[at]) or b"" for at in begins]
