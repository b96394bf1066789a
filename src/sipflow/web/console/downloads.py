"""What can be taken home of a call: one line here is one entry of the menu."""

from collections.abc import Callable
from typing import Final, NamedTuple

from sipflow.web.console.ladder_file import png_possible


class Download(NamedTuple):
    """One file of a call: `view` is its address under /api/v1/calls/ID/.

    `sound` tells that it needs a recording, `possible` whether it can be written here, None for everywhere.
    """

    name: str
    view: str
    about: str
    sound: bool = False
    possible: Callable[[], bool] | None = None


DOWNLOADS: Final[tuple[Download, ...]] = (
    Download("WAV", "media.wav", "both legs, uncompressed", sound=True),
    Download("Opus", "media.opus", "both legs, small", sound=True),
    Download("MP3", "media.mp3", "both legs, plays everywhere", sound=True),
    Download("FLAC", "media.flac", "both legs, lossless", sound=True),
    Download("Capture", "call.pcapng", "SIP and RTP for Wireshark"),
    Download("Page", "bundle.html", "ladder, messages and sound in one file"),
    Download("Page, pseudonyms", "bundle.html?pseudonyms=1", "the same without names and numbers"),
    Download("Capture, pseudonyms", "call.pcapng?pseudonyms=1", "the same without names and numbers"),
    Download("Text", "call.txt", "the messages"),
    Download("JSONL", "call.jsonl", "the messages, one JSON object per line"),
    Download("SVG", "ladder.svg", "the ladder as a picture"),
    Download("PNG", "ladder.png", "the ladder as a picture", possible=png_possible),
    Download("JSON", "", "everything but the sound"),
)


def offered(*, playable: bool) -> list[Download]:
    """Choose the entries that work here: with a recording or without, with what is installed."""
    return [each for each in DOWNLOADS if (playable or not each.sound) and (each.possible is None or each.possible())]
