"""Any order, duplication and loss of packets gives the WAV that the sorted packets give."""

import random
from typing import NamedTuple

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from chunks import T0_US, Rtp, make_chunks, make_key, talk
from sipflow.media.recording import Recording
from sipflow.media.wav import WavFile

AUDIO = bytes(np.random.default_rng(7).integers(0, 256, 12_000, dtype=np.uint8))


class Network(NamedTuple):
    """What is sent, and what becomes of it: shares lost and doubled, and by how much each may be delayed [ms]."""

    samples: int
    sequence: int
    timestamp: int
    law: int
    seed: int
    lost: float
    twice: float
    delay_ms: int
    size: int


NETWORKS = st.builds(
    Network,
    samples=st.sampled_from([80, 160, 240, 320, 480]),
    sequence=st.integers(0, 65535),
    timestamp=st.integers(0, 2**32 - 1),
    law=st.sampled_from([0, 8]),
    seed=st.integers(0, 2**32),
    lost=st.floats(0, 0.4),
    twice=st.floats(0, 0.4),
    # Beyond a quarter of a second a delay cannot be told from a pause of the sender (media/epoch.py).
    delay_ms=st.integers(0, 200),
    size=st.integers(1, 60),
)


def file_of(packets: list[Rtp], size: int) -> bytes:
    return WavFile(Recording.open("c", make_chunks(make_key(), packets, size))).read()


@settings(max_examples=150, deadline=None)
@given(NETWORKS)
def test_the_network_changes_nothing_but_what_it_loses(net: Network) -> None:
    chance = random.Random(net.seed)
    sent = talk(AUDIO, samples=net.samples, sequence=net.sequence, timestamp=net.timestamp, payload_type=net.law)
    # The ends stay, so that both calls are of one length; what a stream lost at its ends nobody can know.
    kept = [packet for at, packet in enumerate(sent) if at in (0, len(sent) - 1) or chance.random() >= net.lost]
    copies = [packet for packet in kept for _ in range(1 + (chance.random() < net.twice))]
    # The first is on time, since it is the anchor.
    delayed = [
        packet._replace(time_us=packet.time_us + chance.randint(0, net.delay_ms * 1000) * (at > 0))
        for at, packet in enumerate(copies)
    ]
    received = sorted(delayed, key=lambda packet: packet.time_us)
    heard = file_of(received, net.size)
    assert heard[-4 * len(AUDIO) :] == file_of(kept, 50)[-4 * len(AUDIO) :]


@settings(max_examples=100, deadline=None)
@given(
    samples=st.sampled_from([80, 160, 240, 320, 480]),
    law=st.sampled_from([0, 8]),
    start=st.integers(0, 60_000),
    length=st.integers(0, 5_000),
    copy=st.booleans(),
)
def test_any_range_is_the_octets_of_the_whole(samples: int, law: int, start: int, length: int, copy: bool) -> None:
    packets = talk(AUDIO, samples=samples, payload_type=law)
    del packets[3]
    wav = WavFile(Recording.open("c", make_chunks(make_key(), packets)), copy=copy)
    whole = wav.read()
    assert wav.read(start, start + length) == whole[start : start + length]
    assert len(whole) == wav.length_octets
    assert wav.recording.start_us == T0_US
