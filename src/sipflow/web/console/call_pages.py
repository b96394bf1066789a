"""The pages of one call: its ladder and sound, one message of it, two messages side by side, which two."""

from collections.abc import Callable, Mapping
from typing import Final

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from sipflow.errors import BadQuery, CallUnknown
from sipflow.query.ladder import draw
from sipflow.query.source import CallSource
from sipflow.web.asked import only
from sipflow.web.call_path import split_path
from sipflow.web.compared import Sought, asked_number, compared, messages_of, sought
from sipflow.web.console.choice import ALIKE_MAX, choices
from sipflow.web.console.detail import Detail, Twins, detail_of
from sipflow.web.console.dossier import Dossier, Dossiers
from sipflow.web.console.downloads import offered
from sipflow.web.console.drawing import draw_ladder
from sipflow.web.console.lanes import Style
from sipflow.web.console.negotiated import negotiated
from sipflow.web.console.render import render
from sipflow.web.console.urls import Urls
from sipflow.wire.packet import Message

PREFIX: Final = "/calls"
# More messages than these are fetched one by one: a page of all of them taken apart would be megabytes.
INLINE_MAX: Final = 30

View = Callable[[Request, str], Response]


class CallPages:
    """Routes of /calls/{id}; `more` are further views, by the last part of their paths."""

    def __init__(
        self,
        history: CallSource,
        dossiers: Dossiers,
        aliases: Mapping[str, str] | None = None,
        more: Mapping[str, View] | None = None,
    ) -> None:
        """Read calls from a history; `aliases` name endpoints and hosts on the lanes."""
        self._history = history
        self._dossiers = dossiers
        self._urls = Urls()
        self._aliases = dict(aliases or {})
        self._views: dict[str, View] = {"": self.page, "message": self.message, "compare": self.compare, **(more or {})}
        self.routes = [Route(PREFIX + "/{rest:anything}", self.one)]

    def one(self, request: Request) -> Response:
        """Answer a page of a call. Raises CallUnknown, or BadQuery when the path names none."""
        call_id, view = split_path(request, PREFIX, self._views)
        if not call_id:
            raise BadQuery(f"the path names no call; allowed: {PREFIX}/ID")
        return self._views[view](request, call_id)

    def page(self, request: Request, call_id: str) -> Response:
        """Answer the page of a call."""
        only(request, ("group", "repeats", "colour"))
        dossier = self._dossiers.of(call_id)
        style = self._style(request)
        drawing = draw_ladder(dossier.ladder, dossier.dialogs, dossier.bands, dossier.announcements.holds(), style)
        numbers = {(message.time_us, message.src): number for number, message in enumerate(dossier.messages, 1)}
        inline = len(dossier.messages) <= INLINE_MAX
        playable = dossier.completeness is not None
        return render(
            request,
            "call.html",
            twin=self._urls.call_json(call_id),
            call=dossier.call,
            call_id=call_id,
            dossier=dossier,
            drawing=drawing,
            style=style,
            inline=inline,
            opened=False,
            details=_details(dossier) if inline else [],
            negotiated=negotiated(dossier.announcements, dossier.bands, numbers),
            downloads=offered(playable=playable),
            playable=playable,
        )

    def message(self, request: Request, call_id: str) -> Response:
        """Answer one message; with `part` only what the page of the call puts into its panel."""
        only(request, ("n", "part"))
        messages = self._history.flow(call_id).messages
        if not messages:
            raise CallUnknown(call_id)
        number = asked_number(request, "n", len(messages))
        detail = detail_of(messages, draw(messages), Twins(messages), number)
        name = "message_part.html" if request.query_params.get("part") else "message.html"
        twin = self._urls.call_json(call_id, "flow")
        return render(request, name, twin=twin, call_id=call_id, detail=detail, count=len(messages), opened=True)

    def compare(self, request: Request, call_id: str) -> Response:
        """Answer two messages side by side, or those that message `a` can be compared with until one is chosen."""
        seek = sought(self._history, request, call_id)
        try:
            messages = messages_of(self._history, seek.b_call)
        except CallUnknown as error:
            return _choose(request, seek, [], str(error), 404)
        if seek.named and not request.query_params.get("b"):
            return _choose(request, seek, messages)
        try:
            found = compared(request, seek, messages)
        except BadQuery as error:
            return _choose(request, seek, messages, str(error), 400)
        twin = self._urls.compare_json(call_id, found.a.number, found.b.number, found.b.call_id)
        return render(request, "compare.html", twin=twin, call_id=call_id, found=found)

    def _style(self, request: Request) -> Style:
        asked = request.query_params
        return Style(
            by_host=_one_of(asked.get("group"), "group", ("endpoint", "host")) == "host",
            hide_repeats=_one_of(asked.get("repeats"), "repeats", ("show", "hide")) == "hide",
            by_dialog=_one_of(asked.get("colour"), "colour", ("status", "dialog")) == "dialog",
            aliases=self._aliases,
        )


def _choose(request: Request, seek: Sought, messages: list[Message], wrong: str = "", status: int = 200) -> Response:
    """Answer the messages of the other call, as a list to choose from; `wrong` is what was wrong with the choice."""
    listed = choices(seek.one, messages)
    return render(
        request,
        "choose.html",
        status,
        twin=Urls().call_json(seek.b_call, "flow") if messages else "",
        seek=seek,
        listed=listed,
        alike=[each for each in listed if each.alike][:ALIKE_MAX],
        number=request.query_params.get("b") or "",
        wrong=wrong,
    )


def _details(dossier: Dossier) -> list[Detail]:
    twins = Twins(dossier.messages)
    return [
        detail_of(dossier.messages, dossier.ladder, twins, number) for number in range(1, len(dossier.messages) + 1)
    ]


def _one_of(text: str | None, name: str, allowed: tuple[str, ...]) -> str:
    if not text:
        return allowed[0]
    if text not in allowed:
        raise BadQuery(f"{name}: found {text!r}; allowed: {', '.join(allowed)}")
    return text
