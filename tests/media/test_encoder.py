"""What is encoded is heard again: the same length, the same energy, the same tags, in the memory of a window."""

import gc
import io
import resource
from pathlib import Path

import numpy as np
import pytest

from chunks import T0_US, make_chunks, make_key, talk
from sipflow.clock import format_time
from sipflow.errors import BadQuery, StorageError
from sipflow.media.encoder import FORMS, WINDOW_SAMPLES, Form, encode, form_of
from sipflow.media.recording import Recording
from sipflow.media.rendering import Rendering
from sipflow.media.sounding import MonoMix
from sounds import Speech, hear, likeness, mu_law

LOSSY = [FORMS["opus"], FORMS["mp3"]]
ALL = list(FORMS.values())


def octets_of(sounding: Speech | Recording | MonoMix, form: Form) -> bytes:
    return b"".join(Rendering.of(sounding, form, "call@test").iterate())


@pytest.mark.parametrize("channels", [1, 2])
@pytest.mark.parametrize("rate", [8000, 16000, 44100, 48000])
@pytest.mark.parametrize("form", ALL, ids=lambda form: form.name)
def test_what_is_encoded_is_heard(form: Form, rate: int, channels: int) -> None:
    speech = Speech(12.345, rate, channels)
    meant = speech.pcm(0, speech.samples)
    heard = hear(octets_of(speech, form))
    assert heard.pcm.shape[1] == channels
    # Decoders cut the encoder's delay away, as the file tells them; the last frame may be padded.
    assert abs(len(heard.pcm) / heard.rate - 12.345) < 0.08
    for channel in range(channels):
        assert likeness(heard, meant, rate, channel) > 0.98


@pytest.mark.parametrize("form", ALL, ids=lambda form: form.name)
def test_left_stays_left(form: Form) -> None:
    speech = Speech(10)
    heard, meant = hear(octets_of(speech, form)), speech.pcm(0, speech.samples)
    assert likeness(heard, meant[:, ::-1], 8000, 0) < 0.5


@pytest.mark.parametrize("rate", [8000, 16000, 44100])
def test_flac_is_exact(rate: int) -> None:
    speech = Speech(20, rate)
    octets = octets_of(speech, FORMS["flac"])
    heard = hear(octets)
    assert heard.rate == rate
    assert np.array_equal(heard.pcm, speech.pcm(0, speech.samples))
    # STREAMINFO (RFC 9639, 8.2): the number of samples in its last 36 bits before the checksum, which is not 0
    assert int.from_bytes(octets[18:26], "big") & ((1 << 36) - 1) == speech.samples
    assert octets[26:42] != bytes(16)


@pytest.mark.parametrize("form", LOSSY, ids=lambda form: form.name)
def test_compressed_is_small(form: Form) -> None:
    assert len(octets_of(Speech(60), form)) < 60 * 8000 * 4 / 3.5


@pytest.mark.parametrize("form", ALL, ids=lambda form: form.name)
def test_a_call_is_heard_with_its_tags(form: Form) -> None:
    packets = talk(mu_law(Speech(6).pcm(0, 48_000)[:, 0]))
    del packets[7]
    wav = Recording.open("Zoë@[::1]", make_chunks(make_key(1), packets))
    heard = hear(b"".join(Rendering.of(wav, form, wav.call_id).iterate()))
    assert heard.tags["title"] == "Zoë@[::1]"
    assert heard.tags["date"].startswith(format_time(T0_US)[: 4 if form.name == "mp3" else 19])
    assert heard.tags["comment"] == wav.completeness.text
    assert "1 packets lost before capture" in heard.tags["comment"]
    # MP3 rounds with a little noise.
    assert np.abs(heard.pcm[:, 0].astype(int)).max() < 150
    assert likeness(heard, wav.pcm(0, wav.samples), 8000, 1) > 0.98


@pytest.mark.parametrize("form", ALL, ids=lambda form: form.name)
def test_the_same_audio_gives_the_same_octets(form: Form) -> None:
    assert octets_of(Speech(9), form) == octets_of(Speech(9), form)


@pytest.mark.parametrize("form", ALL, ids=lambda form: form.name)
def test_very_short_audio_is_a_file(form: Form) -> None:
    heard = hear(octets_of(Speech(0.02), form))
    assert len(heard.pcm) / heard.rate < 0.2


def test_a_rate_that_a_form_has_not_becomes_the_next_it_has() -> None:
    assert [FORMS["opus"].rate_for(rate) for rate in (8000, 11025, 44100, 48000, 96000)] == [
        8000, 12000, 48000, 48000, 48000,
    ]  # fmt: skip
    assert [FORMS["mp3"].rate_for(rate) for rate in (8000, 44100, 96000)] == [8000, 44100, 48000]
    assert FORMS["flac"].rate_for(11000) == 11000


def test_an_unknown_form_is_refused_with_those_there_are() -> None:
    with pytest.raises(BadQuery, match=r"'ogg'; allowed: wav, opus, mp3, flac"):
        form_of("ogg")
    assert form_of("OPUS") is FORMS["opus"]


def test_a_mix_is_the_sum_and_never_wraps() -> None:
    loud = Speech(1)
    loud.pcm = lambda start, stop: np.full((min(stop, 8000) - start, 2), 30_000, np.int16)  # type: ignore[method-assign]
    assert np.array_equal(MonoMix(loud).pcm(0, 8000), np.full((8000, 1), 32_767))
    speech = Speech(1)
    assert np.array_equal(MonoMix(speech).pcm(0, 99)[:, 0], speech.pcm(0, 99).sum(axis=1))
    assert hear(octets_of(MonoMix(speech), FORMS["flac"])).pcm.shape == (8000, 1)


def test_progress_is_told_to_the_end() -> None:
    told: list[tuple[int, int]] = []
    Rendering.of(Speech(30), FORMS["flac"], "c", lambda *now: told.append(now))
    assert told == [(min(n * WINDOW_SAMPLES, 240_000), 240_000) for n in range(1, 5)]


@pytest.mark.parametrize("form", ALL, ids=lambda form: form.name)
def test_a_full_disk_is_said(form: Form) -> None:
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, before[1]))
    try:
        with pytest.raises(StorageError, match=r"write .*: File too large, while encoding"):
            Rendering.of(Speech(60), form, "c")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


@pytest.mark.parametrize("form", ALL, ids=lambda form: form.name)
def test_an_hour_takes_the_memory_of_a_window(form: Form) -> None:
    for _ in encode(Speech(20), form, "warm", io.BytesIO()):
        pass
    gc.collect()
    hour, most = Speech(3600), 0
    before = _anonymous()

    def watch(_done: int, _total: int) -> None:
        nonlocal most
        most = max(most, _anonymous())

    rendering = Rendering.of(hour, form, "hour", watch)
    assert hour.longest_asked <= WINDOW_SAMPLES
    assert rendering.length_octets > 3600 * 1000
    assert most - before < 32 << 20


def _anonymous() -> int:
    """Give the anonymous memory of this process in octets."""
    line = next(line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("RssAnon"))
    return int(line.split()[1]) << 10
