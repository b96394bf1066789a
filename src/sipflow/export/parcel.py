"""What is exported of a call: its messages and media, digits hidden and names replaced if that is asked for."""

import secrets
from collections.abc import Mapping, Sequence

import msgspec

from sipflow.export.disguise import Disguise
from sipflow.export.pseudonym import Pseudonyms
from sipflow.media.announcement import Announcements
from sipflow.media.hidden import masked_chunks, masked_message
from sipflow.media.keypad import silences
from sipflow.media.stream import Stream, streams
from sipflow.query.answer import Flow, MediaParts
from sipflow.wire.packet import Chunk, Message

_KEY_OCTETS = 16


class Parcel(msgspec.Struct, frozen=True):
    """A call ready to leave.

    `notes` say what was left out or changed, one sentence each; `aliases` are names by address.
    """

    call_id: str
    messages: tuple[Message, ...]
    chunks: tuple[Chunk, ...]
    notes: tuple[str, ...]
    aliases: Mapping[str, str] = {}


def parcel(
    flow: Flow,
    media: MediaParts,
    *,
    hide_digits: bool = False,
    pseudonyms: bool = False,
    aliases: Mapping[str, str] | None = None,
) -> Parcel:
    """Put a call together for export.

    `pseudonyms` replaces names by ones that are made for this export alone; datagrams that are no RTP are left out
    then, because RTCP names its sender, and so are aliases, which give hosts away.
    """
    messages, chunks = tuple(flow.messages), tuple(media.chunks)
    notes = [f"Not everything could be read: {fault.where}: {fault.what}." for fault in {*flow.faults, *media.faults}]
    if hide_digits:
        messages, chunks = without_digits(messages, chunks)
        notes.append("Digits are hidden.")
    call_id = flow.call_id
    if pseudonyms:
        disguise = Disguise(Pseudonyms(secrets.token_bytes(_KEY_OCTETS)))
        notes = [*notes[:0], *(("Not everything could be read.",) if flow.faults or media.faults else ())]
        notes += ["Digits are hidden."] * hide_digits
        notes.append("Names, numbers, hosts and addresses are pseudonyms; audio is as it was, RTCP is left out.")
        messages = tuple(map(disguise.message, messages))
        chunks = tuple(new for chunk in chunks if (new := disguise.chunk(chunk)) is not None)
        call_id = disguise.call_id(call_id)
    return Parcel(call_id, messages, chunks, tuple(notes), {} if pseudonyms else dict(aliases or {}))


def without_digits(
    messages: Sequence[Message], chunks: Sequence[Chunk]
) -> tuple[tuple[Message, ...], tuple[Chunk, ...]]:
    """Mask the keys that were pressed in a call, in its messages and its media; nothing changes its length."""
    announcements = Announcements.of(messages)
    payloads = announcements.everything()
    found = streams(chunks)
    quiet = silences(chunks, messages, announcements)
    # What is no RTP belongs to no stream with packets, and carries no digits.
    other = [chunk for chunk in chunks if chunk.key.ssrc is None]
    masked = [new for stream in found if _is_rtp(stream) for new in masked_chunks(stream, payloads, quiet)]
    return tuple(map(masked_message, messages)), (*masked, *other)


def _is_rtp(stream: Stream) -> bool:
    return stream.key.ssrc is not None
