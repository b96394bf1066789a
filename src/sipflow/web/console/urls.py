"""Where everything is: the only place that writes a URL of the console."""

from collections.abc import Mapping
from typing import Final, NamedTuple
from urllib.parse import urlencode

from sipflow.clock import format_time
from sipflow.query.window import Window
from sipflow.web.call_path import segment
from sipflow.web.console.static_files import address, imported


class Section(NamedTuple):
    """An entry of the navigation: its name, where it leads, and the key that goes there after `g`, empty for none."""

    name: str
    url: str
    key: str = ""

    def holds(self, path: str) -> bool:
        """Tell whether a page is of this section: the one that it leads to, or one below."""
        return path == self.url or (self.url != Urls.now and path.startswith(self.url + "/"))


class Urls:
    """Builds every URL, each a path on this server; templates know it as `urls`."""

    now: Final = "/"
    now_part: Final = "/?part"
    now_again: Final = "/?every"
    now_json: Final = "/api/v1/now"
    nodes: Final = "/nodes"
    nodes_part: Final = "/nodes?part"
    nodes_json: Final = "/api/v1/nodes"
    archive_json: Final = "/api/v1/archive"
    settings: Final = "/settings"
    settings_json: Final = "/api/v1/settings"
    sign_in: Final = "/sign-in"

    @property
    def sections(self) -> tuple[Section, ...]:
        """Give the entries of the navigation."""
        return (
            Section("Now", self.now, "n"),
            Section("Calls", self.calls(), "c"),
            Section("Statistics", self.statistics(), "s"),
            Section("Registrations", self.registrations(), "r"),
            Section("Nodes", self.nodes),
            Section("Settings", self.settings),
        )

    def static(self, name: str) -> str:
        """Give the address of a file of `static/`, which changes with its content."""
        return address(name)

    def imported(self, name: str) -> list[str]:
        """Give the addresses of all that a module of `static/` imports."""
        return [address(one) for one in imported(name)]

    def calls(self, **asked: str | int | None) -> str:
        """Give the page of calls, with the parameters that are not None or empty."""
        return _with("/calls", asked)

    def calls_json(self, **asked: str | int | None) -> str:
        """Give the same list as JSON."""
        return _with("/api/v1/calls", asked)

    def calls_csv(self, **asked: str | int | None) -> str:
        """Give all of the list as a CSV file."""
        return _with("/calls.csv", asked)

    def calls_file(self, **asked: str | int | None) -> str:
        """Give all of the list as a file with a JSON object per line."""
        return _with("/calls.jsonl", asked)

    def tail(self, **asked: str | int | None) -> str:
        """Give the stream of calls as they begin."""
        return _with("/calls.tail", asked)

    def call(self, call_id: str) -> str:
        """Give the page of a call."""
        return f"/calls/{segment(call_id)}"

    def call_at(self, call_id: str, number: int) -> str:
        """Give the page of a call, opened at one of its messages."""
        return f"{self.call(call_id)}#m{number}"

    def quality(self, call_id: str) -> str:
        """Give the page of a call's quality."""
        return self.call(call_id) + "/quality"

    def message(self, call_id: str, number: int, *, part: bool = False) -> str:
        """Give the page of one message of a call, or only the part that another page shows."""
        return _with(self.call(call_id) + "/message", {"n": number, "part": 1 if part else None})

    def messages(self, call_id: str) -> str:
        """Give what the addresses of a call's messages begin with; the number of the message follows."""
        return self.message(call_id, 0).removesuffix("0")

    def comparing(self, call_id: str) -> str:
        """Give where a form sends the other message that one of a call is to be compared with."""
        return self.call(call_id) + "/compare"

    def compare(self, call_id: str, a: int, b: int, other: str = "") -> str:
        """Give the page that shows two messages side by side, the second of another call if that is named."""
        return _with(self.comparing(call_id), _compared(call_id, a, b, other))

    def choose(self, call_id: str, a: int, other: str) -> str:
        """Give the page that lists the messages of a call, to compare one of them with message `a` of the first."""
        return _with(self.comparing(call_id), {"a": a, "with": other})

    def call_json(self, call_id: str, view: str = "") -> str:
        """Give a call as JSON, or one view of it (flow, streams, peaks, ...)."""
        return f"/api/v1/calls/{segment(call_id)}{'/' * bool(view)}{view}"

    def compare_json(self, call_id: str, a: int, b: int, other: str = "") -> str:
        """Give the same difference as JSON."""
        return _with(self.call_json(call_id, "compare"), _compared(call_id, a, b, other))

    def statistics(self, **asked: str | None) -> str:
        """Give the page of statistics, with the parameters that are not None or empty."""
        return _with("/statistics", asked)

    def statistics_json(self, span: Window, of: str = "") -> str:
        """Give the statistics of a window as JSON, all or those of a group."""
        return _with("/api/v1/statistics", {**_bounds(span), "of": of})

    def registrations(self, **asked: str | None) -> str:
        """Give the page of registrations, with the parameters that are not None or empty."""
        return _with("/registrations", asked)

    def registrations_json(self, span: Window, user: str | None) -> str:
        """Give the registrations of a window as JSON, all or those of a user."""
        return _with("/api/v1/registrations", {**_bounds(span), "user": user})

    def recording(self, call_id: str, form: str = "wav", **wanted: str | int | float | None) -> str:
        """Give the sound of a call as a file of a form (wav, opus, mp3), or a part of it."""
        return _with(self.call_json(call_id, f"media.{form}"), wanted)


def _compared(call_id: str, a: int, b: int, other: str) -> dict[str, str | int]:
    return {"a": a, "b": b, "with": "" if other == call_id else other}


def _bounds(span: Window) -> dict[str, str | None]:
    return {
        "since": None if span.start_us is None else format_time(span.start_us),
        "until": None if span.end_us is None else format_time(span.end_us),
    }


def _with(path: str, asked: Mapping[str, str | int | float | None]) -> str:
    written = urlencode({name: value for name, value in asked.items() if value not in (None, "")})
    return f"{path}?{written}" if written else path
