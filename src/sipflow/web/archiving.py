"""How far archiving is: what the archiver last said of itself, as an answer, as notes, and for the counters."""

from enum import StrEnum
from pathlib import Path
from typing import Final

import msgspec
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from sipflow.amount import size_text
from sipflow.archive.state import ArchiveState, Lag, read_state
from sipflow.clock import SECOND_US, now_us, to_datetime
from sipflow.config import Settings
from sipflow.destination import HOUR_US
from sipflow.web.asked import only
from sipflow.web.reply import Refusal, reply

# It says something every five seconds, and while it waits for a place that fails a quarter of an hour may pass.
_SILENCE_US = 20 * 60 * SECOND_US
_NAMED_MOST: Final = 3
_NOT_BEGUN: Final = "the archiver has not begun yet"


class Pace(StrEnum):
    """How the archive keeps up."""

    NOT_BEGUN = "not begun"
    FAILING = "failing"
    FALLING_BEHIND = "falling behind"
    CATCHING_UP = "catching up"
    SENDING = "sending"
    ALL_SENT = "keeps up"


class ArchiveTold(msgspec.Struct, frozen=True):
    """The archive in short: `parts` of `octets` wait, the oldest from `oldest_us`; `notes` say what is not well.

    The first of them waits since `waiting_us`. `archived_parts` of `archived_octets` were archived since the archiver
    started, the last at `archived_us`; `given_up_parts` were given up, ever, because too much waited.
    """

    pace: Pace
    where: str
    parts: int
    octets: int
    oldest_us: int | None
    archived_parts: int
    archived_octets: int
    archived_us: int | None
    notes: list[str]
    waiting_us: int | None = None
    given_up_parts: int = 0


class Archiving:
    """The route of the archive's state, and what others tell of it."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._root = Path(settings.root)
        self.routes = [Route("/api/v1/archive", self.json)]

    def json(self, request: Request) -> Response:
        """Answer the state; 404 where nothing is archived."""
        only(request, ())
        state = self.state()
        if state is None:
            return reply(Refusal("nothing is archived here: there is no [sipflow.upload], or it has not begun"), 404)
        return reply(state)

    def state(self) -> ArchiveState | None:
        """Read what the archiver last said; None where nothing is to be archived, or it has not begun."""
        return None if self._settings.upload is None else read_state(self._root)

    def told(self) -> ArchiveTold | None:
        """Tell in short whether archiving keeps up; None where nothing is to be archived."""
        upload, state = self._settings.upload, self.state()
        if upload is None:
            return None
        if state is None:
            return ArchiveTold(Pace.NOT_BEGUN, upload.where, 0, 0, None, 0, 0, None, [_NOT_BEGUN])
        return ArchiveTold(
            _pace(state), state.where, state.parts, state.octets, state.oldest_us, state.archived_parts,
            state.archived_octets, state.archived_us, _notes(state), state.waiting_us, state.given_up_parts,
        )  # fmt: skip

    def notes(self) -> list[str]:
        """Tell in sentences what an operator should know: recording goes on all the same."""
        if self._settings.upload is None:
            return []
        state = self.state()
        return [_NOT_BEGUN] if state is None else _notes(state)


def _pace(state: ArchiveState) -> Pace:
    if _faults(state):
        return Pace.FAILING
    if state.lag is not Lag.NONE:
        return Pace(state.lag)
    return Pace.SENDING if state.parts else Pace.ALL_SENT


def _notes(state: ArchiveState) -> list[str]:
    notes = _faults(state)
    if state.lag is not Lag.NONE and state.waiting_us is not None:
        hours = (now_us() - state.waiting_us) / HOUR_US
        notes.append(
            f"archiving to {state.where} is {state.lag}: {state.parts} parts ({size_text(state.octets)}) wait here, "
            f"the first of them for {hours:.1f} h"
        )
    if state.given_up:
        named = ", ".join(state.given_up[:_NAMED_MOST])
        more = len(state.given_up) - _NAMED_MOST
        notes.append(
            f"given up, because more waited than queue_limit allows, and in no archive: {named}"
            f"{f' and {more} more' if more > 0 else ''}; `sipflow archive push` archives what is still here"
        )
    return notes


def _faults(state: ArchiveState) -> list[str]:
    notes = [f"a part is not archived: {sentence}" for sentence in state.refused]
    silent_us = now_us() - state.updated_us
    if silent_us > _SILENCE_US:
        notes.append(f"the archiver gave no sign of life for {silent_us // SECOND_US} s")
    if state.error:
        waiting = f"{state.parts} parts ({size_text(state.octets)}) wait here"
        since = "" if state.oldest_us is None else f", the oldest from {_when(state.oldest_us)}"
        again = "" if state.next_us is None else f"; next attempt at {_when(state.next_us)}"
        notes.append(f"{state.error}; {waiting}{since}{again}")
    return notes


def _when(time_us: int) -> str:
    return f"{to_datetime(time_us):%Y-%m-%d %H:%M:%S} UTC"
