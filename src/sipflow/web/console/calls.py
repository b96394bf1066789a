"""The list of calls: a search box, its form, pages, files of it, and the list as it grows."""

from collections import Counter
from collections.abc import Iterable
from typing import Final

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response, StreamingResponse
from starlette.routing import Route

from sipflow.errors import BadQuery, CallUnknown, StorageError
from sipflow.query.answer import STATES, CallPage, CallSummary, Criteria
from sipflow.query.search import KEYS
from sipflow.query.source import CallSource
from sipflow.web.asked import only
from sipflow.web.console.export import CALLS_MAX, as_csv, as_json_lines, every_call
from sipflow.web.console.inquiry import BOX, LAST, PAGE_SIZES, PARTS, Inquiry, read_inquiry, text_of_form
from sipflow.web.console.render import SECURITY_HEADERS, render
from sipflow.web.console.tail import Tail
from sipflow.web.console.urls import Urls
from sipflow.web.download import disposition

# How long a page may take to look for calls; it says how far it came.
_PATIENCE_S: Final = 1.0
_VALUES_MAX: Final = 12


class CallList:
    """Routes of the list of calls."""

    def __init__(self, history: CallSource) -> None:
        self._history = history
        self._urls = Urls()
        self.routes = [
            Route("/calls", self.page),
            Route("/calls.csv", self.csv),
            Route("/calls.jsonl", self.json_lines),
            Route("/calls.tail", Tail(history).stream),
        ]

    def page(self, request: Request) -> Response:
        """Answer the page; a form that was sent leads to the address of the same search in the box."""
        asked = request.query_params
        if any(name in PARTS for name in asked):
            only(request, (*BOX, *PARTS))
            text = " ".join(part for part in (asked.get("q", "").strip(), text_of_form(asked)) if part)
            return RedirectResponse(self._urls.calls(q=text, limit=asked.get("limit")), 303)
        inquiry = read_inquiry(request, _PATIENCE_S)
        wrong, page = inquiry.wrong, CallPage([], None, [])
        if not wrong:
            try:
                page = self._found(inquiry)
            except BadQuery as error:
                wrong = str(error)
        criteria = inquiry.criteria
        twin = "" if wrong else self._urls.calls_json(q=inquiry.text, limit=criteria.limit, after=criteria.after)
        return render(
            request, "calls.html", 400 if wrong else 200, twin=twin, inquiry=inquiry, wrong=wrong, page=page,
            keys=KEYS, last=LAST, states=STATES, sizes=PAGE_SIZES, most=CALLS_MAX, values=_values(page.calls),
        )  # fmt: skip

    def _found(self, inquiry: Inquiry) -> CallPage:
        if inquiry.bare and inquiry.criteria.after is None:
            # Somebody pasted a Call-ID: that is found at once, wherever it is.
            try:
                return CallPage([self._history.call(inquiry.bare)], None, [])
            except (CallUnknown, StorageError):
                pass  # a word, then; the list names what it could not read, and one that expired is said to have
        return self._history.calls(inquiry.criteria)

    def csv(self, request: Request) -> Response:
        """Answer all calls of a search as CSV."""
        return _file(as_csv(every_call(self._history, _criteria(request))), "calls.csv", "text/csv; charset=utf-8")

    def json_lines(self, request: Request) -> Response:
        """Answer all calls of a search as JSON, one a line."""
        lines = as_json_lines(every_call(self._history, _criteria(request)))
        return _file(lines, "calls.jsonl", "application/jsonl; charset=utf-8")


def _criteria(request: Request) -> Criteria:
    inquiry = read_inquiry(request, None)
    if inquiry.wrong:
        raise BadQuery(inquiry.wrong)
    return inquiry.criteria


def _file(parts: Iterable[bytes], name: str, media_type: str) -> Response:
    headers = {**SECURITY_HEADERS, "Cache-Control": "no-store", "Content-Disposition": disposition(name)}
    return StreamingResponse(parts, 200, headers, media_type)


def _values(calls: list[CallSummary]) -> dict[str, list[str]]:
    """Collect what the box may suggest: the values of the calls on the page, most frequent first."""
    found = {
        "from": [call.from_user for call in calls],
        "to": [call.to_user for call in calls],
        "user": [user for call in calls for user in (call.from_user, call.to_user)],
        "ua": [call.user_agent.split("/")[0].split(" ")[0] for call in calls],
        "ip": [end.rpartition(":")[0].strip("[]") for call in calls for end in (call.src, call.dst)],
        "method": [call.method for call in calls],
    }
    often = {
        key: [one for one, _ in Counter(filter(None, some)).most_common(_VALUES_MAX)] for key, some in found.items()
    }
    codes = sorted({str(call.status) for call in calls if call.status is not None})
    return {**often, "status": [*STATES, "4xx", "5xx", "6xx", *codes]}
