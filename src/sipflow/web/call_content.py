"""The files of a call that are uploaded: its sound as WAV, its messages as lines of JSON, as RustPBX has them."""

from collections.abc import Iterator

import msgspec

from sipflow.archive.call_upload_name import Kind
from sipflow.archive.call_upload_sound import Resampled
from sipflow.destination import Upload
from sipflow.errors import BadQuery, NothingToPlay
from sipflow.media.riff import Riff
from sipflow.query.answer import Flow
from sipflow.query.expiry import have_expired
from sipflow.query.source import CallSource
from sipflow.query.wanted import Wanted
from sipflow.web.recorded import Recordings, unreadable
from sipflow.web.rustpbx import flow_item


class UploadContent:
    """Makes them of a history: the whole call, both legs, whatever times somebody names."""

    def __init__(self, history: CallSource, recordings: Recordings, upload: Upload) -> None:
        """Read messages of `history`, and sound by `recordings`, in the form that `upload` asks for."""
        self._history = history
        self._recordings = recordings
        self._upload = upload

    def pieces(self, call_id: str, kind: Kind) -> Iterator[bytes] | None:
        """Give the octets of a file; None for a call without. Raises CallUnknown, Expired, StorageError."""
        return self._sound(call_id) if kind == "media" else self._messages(call_id)

    def _sound(self, call_id: str) -> Iterator[bytes] | None:
        parts = self._history.media(call_id)
        try:
            if self._upload.force_pcm:
                recording = self._recordings.open(parts).recording
                rate = self._upload.pcm_sample_rate
                return Riff(call_id, recording if recording.rate == rate else Resampled(recording, rate)).iterate()
            try:
                return self._recordings.open(parts, Wanted(copy=True)).wav.iterate()
            except BadQuery:
                # Not all of one G.711 law: then there is nothing to copy.
                return self._recordings.open(parts).wav.iterate()
        except NothingToPlay:
            return None

    def _messages(self, call_id: str) -> Iterator[bytes] | None:
        flow = self._history.flow(call_id)
        if flow.messages:
            return _lines(flow)
        if flow.faults and not have_expired(flow.faults):
            raise unreadable(flow.faults)
        self._history.call(call_id)  # one that is not here at all is CallUnknown, or Expired
        return None


def _lines(flow: Flow) -> Iterator[bytes]:
    """Write a line per message, none behind the last."""
    for seq, message in enumerate(flow.messages):
        yield (b"\n" if seq else b"") + msgspec.json.encode(flow_item(seq, message))
