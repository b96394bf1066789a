"""Where the answers of a command come from: a data directory on this machine, or a server."""

import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Protocol

from sipflow.archive.opening import node_of, open_place
from sipflow.archive.remote_adoption import adopt_missing
from sipflow.archive.remote_opening import open_remote
from sipflow.client import SipflowClient
from sipflow.cluster.cluster import Cluster
from sipflow.config import TOKEN_VARIABLE, load
from sipflow.media.assessment import Assessment
from sipflow.media.encoder import form_of
from sipflow.media.figures import StreamReport
from sipflow.media.rendering import Progress, Rendering
from sipflow.media.riff import Riff
from sipflow.query.answer import CallPage, CallSummary, Criteria, Fault, Flow
from sipflow.query.diagnosed import Diagnosis, diagnosed
from sipflow.query.expiry import have_expired
from sipflow.query.history import History
from sipflow.query.wanted import Wanted
from sipflow.query.window import Window
from sipflow.storage.layout import CATALOG, find_buckets
from sipflow.web.console.aliases import names_of
from sipflow.web.exports import EXPORTS, packed
from sipflow.web.recorded import Recordings
from sipflow.web.sound import Sound

ALWAYS = Window()


class Origin(Protocol):
    """What a command can ask for, from wherever.

    `unread` tells what the last recording lacks because it could not be read, `note` how complete it is and why; both
    are known with its first part.
    """

    unread: list[str]
    note: str

    def close(self) -> None:
        """Let go of files and connections."""
        ...

    def calls(self, criteria: Criteria) -> CallPage:
        """List calls, newest first."""
        ...

    def call(self, call_id: str) -> CallSummary:
        """Sum a call up. Raises CallUnknown."""
        ...

    def flow(self, call_id: str, window: Window = ...) -> Flow:
        """Give the messages of a call. Raises CallUnknown."""
        ...

    def audio(
        self, call_id: str, form: str, wanted: Wanted, window: Window = ..., progress: Progress | None = ...
    ) -> Iterator[bytes]:
        """Give what is wanted of a call's sound in a form (wav, opus, ...), in parts.

        `progress` is told how much is done of how much. Raises NothingToPlay, BadQuery, NoEncoder.
        """
        ...

    def streams(self, call_id: str, window: Window = ...) -> tuple[StreamReport, list[Fault]]:
        """Measure the streams of a call. Raises CallUnknown."""
        ...

    def diagnosis(self, call_id: str) -> Diagnosis:
        """Say why a call went as it did. Raises CallUnknown."""
        ...

    def export(
        self, call_id: str, view: str, *, pseudonyms: bool = False, hide_digits: bool = False
    ) -> Iterator[bytes]:
        """Give a file of a call (one of web.exports.EXPORTS) in parts. Raises CallUnknown, NoEncoder."""
        ...

    def assess(self, call_id: str, window: Window = ...) -> tuple[Assessment, list[Fault]]:
        """Give the quality of a call's streams and the verdict on its media. Raises CallUnknown."""
        ...


class LocalOrigin:
    """Asks a history on this machine, or nodes put together by it."""

    def __init__(self, history: History | Cluster, aliases: Mapping[str, str] | None = None) -> None:
        """Ask a history or a cluster; `aliases` name the addresses of what is exported."""
        self._history = history
        self._aliases = aliases
        self._recordings = Recordings(history)
        self.unread: list[str] = []
        self.note = ""

    def close(self) -> None:
        """Close the history, and what decoded it."""
        self._recordings.close()
        self._history.close()

    def calls(self, criteria: Criteria) -> CallPage:
        """List calls, newest first."""
        return self._history.calls(criteria)

    def call(self, call_id: str) -> CallSummary:
        """Sum a call up. Raises CallUnknown."""
        return self._history.call(call_id)

    def flow(self, call_id: str, window: Window = ALWAYS) -> Flow:
        """Give the messages of a call; none in the window is an answer, an unknown call is CallUnknown."""
        flow = self._history.flow(call_id, window)
        if not flow.messages and (not flow.faults or have_expired(flow.faults)):
            self._history.call(call_id)
        return flow

    def audio(
        self, call_id: str, form: str, wanted: Wanted, window: Window = ALWAYS, progress: Progress | None = None
    ) -> Iterator[bytes]:
        """Render what is wanted of a call's sound. Raises NothingToPlay, CallUnknown, BadQuery, NoEncoder."""
        encoder = None if form == "wav" else form_of(form)
        found = self._recordings.open(self._history.media(call_id, window), wanted)
        self.unread, self.note = found.faults, found.wav.completeness.text
        if encoder is not None:
            yield from Rendering.of(found.shaped(wanted), encoder, call_id, progress).iterate()
            return
        body = found.wav if wanted.whole else Riff(call_id, found.shaped(wanted))
        done = 0
        for part in body.iterate():
            yield part
            done += len(part)
            if progress is not None:
                progress(done, body.length_octets)

    def streams(self, call_id: str, window: Window = ALWAYS) -> tuple[StreamReport, list[Fault]]:
        """Measure the streams of a call. Raises CallUnknown, StorageError when nothing of them could be read."""
        return Sound(self._history, self._recordings).report(self._history.media(call_id, window))

    def assess(self, call_id: str, window: Window = ALWAYS) -> tuple[Assessment, list[Fault]]:
        """Measure and judge the media of a call. Raises CallUnknown, StorageError."""
        return Sound(self._history, self._recordings).assess(call_id, window)

    def diagnosis(self, call_id: str) -> Diagnosis:
        """Say why a call went as it did. Raises CallUnknown."""
        return diagnosed(self._history, call_id)

    def export(
        self, call_id: str, view: str, *, pseudonyms: bool = False, hide_digits: bool = False
    ) -> Iterator[bytes]:
        """Write a file of a call in parts. Raises CallUnknown, NoEncoder."""
        found = packed(self._history, call_id, hide_digits=hide_digits, pseudonyms=pseudonyms, aliases=self._aliases)
        yield from EXPORTS[view].write(found)


def open_origin(root: Path | None, url: str | None, config: Path | None = None) -> Origin:
    """Open a server when a URL is given, else the data directory, that of the settings in `config` when none is named.

    With settings that name an archive what went there is read from there. Raises ConfigError, StorageError,
    ArchiveError.
    """
    if url is not None:
        return SipflowClient(url, os.environ.get(TOKEN_VARIABLE) or None)
    settings = load(config, environment={})
    chosen = settings.root if root is None else root
    if settings.upload is not None and not (chosen / CATALOG).exists() and next(find_buckets(chosen), None) is None:
        # Nothing was ever recorded here, or the machine is a new one: the archive alone tells.
        adopt_missing(chosen, open_place(settings.upload), node_of(settings.node))
    return LocalOrigin(History.open(chosen, open_remote(chosen, settings)), names_of(settings.aliases))
