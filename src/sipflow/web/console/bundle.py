"""A call as one HTML file that needs nothing else: ladder, messages, diagnosis and player, to be sent by mail."""

import base64
import hashlib
from collections.abc import Iterable
from typing import Final, NamedTuple

from markupsafe import Markup

from sipflow.diagnose import call_of, diagnose
from sipflow.errors import NoEncoder
from sipflow.export.parcel import Parcel
from sipflow.export.sound import recording_of
from sipflow.media.encoder import form_of
from sipflow.media.rendering import Rendering
from sipflow.media.wav import WavFile
from sipflow.query.answer import Flow
from sipflow.query.transcript import Entry, transcribe
from sipflow.web.console.ladder_file import ladder_svg
from sipflow.web.console.render import fragment
from sipflow.web.console.static_files import STATIC
from sipflow.wire.visible import visible

# Browsers take far more, mail does not: about an hour and a half of Opus in stereo.
SOUND_OCTETS_MAX: Final = 32_000_000
MESSAGES_MAX: Final = 2000


class _Sound(NamedTuple):
    """The recording as a data URL, empty without one, when it begins, and what is to be said of it."""

    url: str
    start_us: int
    note: str


class _Shown(NamedTuple):
    """A message of the bundle."""

    time: str
    time_us: int
    label: str
    src: str
    dst: str
    repeat: bool
    shown: str


def bundle(parcel: Parcel) -> bytes:
    """Write the file; sound that is longer than SOUND_OCTETS_MAX and messages beyond MESSAGES_MAX are left out."""
    sound = _sound(parcel)
    entries = transcribe(Flow(parcel.call_id, list(parcel.messages[:MESSAGES_MAX]), [])).messages
    style, script = ((STATIC / name).read_text() for name in ("bundle.css", "bundle.js"))
    # The ladder is ours and escaped already; style and script are files of this package.
    page = fragment(
        "bundle.html",
        parcel=parcel,
        findings=diagnose(call_of(parcel.call_id, parcel.messages, parcel.chunks)),
        entries=[_shown(entry) for entry in entries],
        ladder=Markup(ladder_svg(parcel, MESSAGES_MAX, linked=True)),  # noqa: S704
        audio=sound.url,
        start_us=sound.start_us,
        sound_note=sound.note,
        style=Markup(style),  # noqa: S704
        script=Markup(script),  # noqa: S704
        style_hash=_hash(style),
        script_hash=_hash(script),
    )
    return page.encode("utf-8", "replace")


def _shown(entry: Entry) -> _Shown:
    lines = entry.text.replace("\r\n", "\n").split("\n")
    text = "\n".join(visible(line.replace("\t", " ")) for line in lines)
    return _Shown(entry.time, entry.time_us, entry.label, entry.src, entry.dst, entry.repeat, text)


def _sound(parcel: Parcel) -> _Sound:
    with recording_of(parcel) as recording:
        if isinstance(recording, str):
            return _Sound("", 0, f"No sound: {recording}")
        wav = WavFile(recording)
        try:
            made = Rendering.of(recording, form_of("opus"), parcel.call_id)
            length, parts, kind = made.length_octets, made.iterate(), "audio/ogg"
        except NoEncoder:
            length, parts, kind = wav.length_octets, wav.iterate(), "audio/wav"
        note = f"Recording: {wav.completeness.text}."
        if length > SOUND_OCTETS_MAX:
            return _Sound("", 0, f"The sound is left out: {length} octets, allowed: {SOUND_OCTETS_MAX}. {note}")
        return _Sound(f"data:{kind};base64,{_base64(parts)}", wav.recording.start_us, note)


def _base64(parts: Iterable[bytes]) -> str:
    return base64.b64encode(b"".join(parts)).decode("ascii")


def _hash(text: str) -> str:
    return f"sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode('ascii')}"
