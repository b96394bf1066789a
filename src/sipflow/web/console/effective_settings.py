"""The configuration as it is in force, its secrets left out, and the names of addresses."""

from collections.abc import Callable
from typing import Final

import msgspec
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from sipflow.config import Settings
from sipflow.destination import bare_url
from sipflow.effective import SECRETS, Value, written
from sipflow.web.asked import only
from sipflow.web.console.aliases import names_of
from sipflow.web.console.render import render
from sipflow.web.console.urls import Urls
from sipflow.web.reply import reply

MASK: Final = "set, not shown"
_NOT_SET = "not set"


class SettingTold(msgspec.Struct, frozen=True):
    """A setting by its key: its value as the configuration has it, and whether somebody changed it."""

    key: str
    value: str
    changed: bool


class SettingsAnswer(msgspec.Struct, frozen=True):
    """The answer of /api/v1/settings."""

    settings: list[SettingTold]
    aliases: dict[str, str]
    without_effect: list[str]


class EffectiveSettings:
    """Routes of the settings."""

    def __init__(self, settings: Callable[[], Settings]) -> None:
        """Show what `settings` gives by now: the list of nodes may change."""
        self._settings = settings
        self.routes = [Route(Urls.settings, self.page), Route(Urls.settings_json, self.json)]

    def page(self, request: Request) -> Response:
        """Answer the page."""
        only(request, ())
        return render(request, "settings.html", twin=Urls.settings_json, told=told(self._settings()))

    def json(self, request: Request) -> Response:
        """Answer the same as JSON."""
        only(request, ())
        return reply(told(self._settings()))


def told(settings: Settings) -> SettingsAnswer:
    """Write settings for people; of a secret only that there is one."""
    now, usual = written(settings), written(Settings())
    keys = list(dict.fromkeys([*now, "token", *usual]))
    rows = [
        SettingTold(
            key, MASK if key in SECRETS and key in now else _text(key, now.get(key)), now.get(key) != usual.get(key)
        )
        for key in keys
        if key != "aliases"
    ]
    return SettingsAnswer(rows, names_of(settings.aliases), list(settings.without_effect))


def _node(node: dict[str, str | bool]) -> str:
    """Write a node for people; its token is as secret as ours."""
    if node.get("removed"):
        return "(an empty slot)"
    return f"{node['name']} (udp {node['udp']}, {node['http'] or 'no http'}{', a token' if 'token' in node else ''})"


def _text(key: str, value: Value | None) -> str:
    match value:
        case str() if key == "upload.url":
            return bare_url(value)
        case None | []:
            return _NOT_SET
        case bool():
            return str(value).lower()
        case list():
            return ", ".join(one if isinstance(one, str) else _node(one) for one in value)
        case _:
            return str(value)
