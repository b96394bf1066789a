"""The recording of what is exported."""

from collections.abc import Iterator
from contextlib import contextmanager

from sipflow.errors import NothingToPlay
from sipflow.export.parcel import Parcel
from sipflow.media.announcement import Announcements
from sipflow.media.decoding import Decoding
from sipflow.media.decoding_process import DecodingProcess
from sipflow.media.recording import Recording


@contextmanager
def recording_of(parcel: Parcel) -> Iterator[Recording | str]:
    """Open the recording of a parcel, or say why there is none; it is decoded in a process of its own."""
    decoders = DecodingProcess()
    try:
        announced = Announcements.of(parcel.messages)
        try:
            found: Recording | str = Recording.open(
                parcel.call_id, parcel.chunks, announced, decoding=Decoding(decoders.open)
            )
        except NothingToPlay as nothing:
            found = str(nothing)
        yield found
    finally:
        decoders.close()
