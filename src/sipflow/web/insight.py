"""Views of what is to be known of a call under /api/v1/calls/ID: its diagnosis."""

from starlette.requests import Request
from starlette.responses import Response

from sipflow.query.diagnosed import diagnosed
from sipflow.query.source import CallSource
from sipflow.web.asked import only
from sipflow.web.audio import Postponed, View
from sipflow.web.reply import reply


class Insight:
    """The views, by the last part of their paths."""

    def __init__(self, history: CallSource) -> None:
        self._history = history
        self.views: dict[str, View] = {"diagnosis": self.diagnosis}

    def diagnosis(self, request: Request, call_id: str) -> Response | Postponed:
        """Answer what was found of a call."""
        only(request, ())
        return Postponed(lambda: reply(diagnosed(self._history, call_id)))
