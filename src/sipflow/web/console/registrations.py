"""The page of registrations: for each user what its last REGISTER came to."""

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from sipflow.errors import BadQuery
from sipflow.query.registrations import USERS_MAX
from sipflow.query.source import CallSource
from sipflow.web.asked import only, window
from sipflow.web.console.render import render
from sipflow.web.console.statistics import RANGES, shown_window
from sipflow.web.console.urls import Urls
from sipflow.web.reply import reply

_LIMIT = 50


class RegistrationsPage:
    """The routes of /registrations and its JSON twin."""

    def __init__(self, history: CallSource) -> None:
        self._history = history
        self._urls = Urls()
        self.routes = [Route("/registrations", self.page), Route("/api/v1/registrations", self.answer)]

    def answer(self, request: Request) -> Response:
        """Answer the users of a window as JSON."""
        only(request, ("since", "until", "user", "limit"))
        asked = request.query_params
        limit = _limit(asked.get("limit"))
        return reply(self._history.registrations(window(request, "since", "until"), asked.get("user") or None, limit))

    def page(self, request: Request) -> Response:
        """Answer the page."""
        only(request, ("range", "user", "since", "until"))
        span, chosen = shown_window(request)
        user = request.query_params.get("user") or None
        found = self._history.registrations(span, user, _LIMIT)
        return render(
            request, "registrations.html", twin=self._urls.registrations_json(span, user),
            found=found, chosen=chosen, ranges=list(RANGES), user=user or "",
        )  # fmt: skip


def _limit(text: str | None) -> int:
    if not text:
        return _LIMIT
    if text.isascii() and text.isdigit() and len(text) < 6 and 1 <= int(text) <= USERS_MAX:
        return int(text)
    raise BadQuery(f"limit: found {text!r}; allowed: 1 to {USERS_MAX}")
