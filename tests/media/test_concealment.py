"""A lost packet sounds like what was before it, and fades."""

import numpy as np

from payloads import tone
from sipflow.media.codec import Codec
from sipflow.media.concealment import conceal
from sipflow.media.decoder import decoder_of


def test_a_tone_goes_on_for_ten_milliseconds_and_fades_to_silence_at_sixty() -> None:
    # 100 Hz: a period of 80 samples is within the lags that are tried.
    sent = np.rint(8000 * np.sin(2 * np.pi * 100 * np.arange(1600) / 8000)).astype(np.int16)
    heard = conceal(sent[:800], 800, 8000)
    assert np.abs(heard[:80] - sent[800:880].astype(int)).max() < 20
    gain = [np.abs(heard[at : at + 80]).max() / 8000 for at in range(0, 480, 80)]
    assert gain[0] > 0.99
    assert gain == sorted(gain, reverse=True)
    assert not heard[480:].any()
    assert heard[470] != 0 or heard[460] != 0


def test_a_loss_in_pieces_sounds_like_one() -> None:
    history = tone(16000, 0.2, 150)
    whole = conceal(history, 960, 16000)
    parts = [conceal(history, 320, 16000, after) for after in (0, 320, 640)]
    assert np.array_equal(np.concatenate(parts), whole)


def test_without_history_it_is_silent() -> None:
    assert not conceal(np.zeros(0, np.int16), 160, 8000).any()
    assert not decoder_of(Codec("G722", 8000)).conceal(320).any()


def test_a_decoder_fades_over_one_loss_and_begins_anew_after_it() -> None:
    decoder = decoder_of(Codec("L16", 8000))
    sent = tone(8000, 0.2, 150)
    for at in range(0, 1600, 160):
        decoder.decode(sent[at : at + 160].astype(">i2").tobytes())
    first, second, third, fourth = (decoder.conceal(160) for _ in range(4))
    assert np.array_equal(np.concatenate([first, second, third]), conceal(sent, 480, 8000))
    assert not fourth.any()
    decoder.decode(sent[:160].astype(">i2").tobytes())
    assert decoder.conceal(160).any()
