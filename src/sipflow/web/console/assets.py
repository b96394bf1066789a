"""Files of the console that never change under their address: style sheets, modules, icons."""

from pathlib import PurePath
from typing import Final

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from sipflow.errors import BadQuery
from sipflow.web.console.render import SECURITY_HEADERS
from sipflow.web.console.static_files import STATIC, content, version_of

_TYPES: Final = {
    ".css": "text/css; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".svg": "image/svg+xml",
}
PREFIX: Final = "/static/"
# With its version in the query an address names this content and no other; without, it has to be asked for again.
_FOREVER = "public, max-age=31536000, immutable"
_ASK_AGAIN = "no-cache"


class Assets:
    """The route of /static/."""

    def __init__(self) -> None:
        self._names = frozenset(path.name for path in STATIC.iterdir() if path.suffix in _TYPES)
        self.routes = [Route(PREFIX + "{name}", self.file)]

    def file(self, request: Request) -> Response:
        """Answer a file; only those that were there at the start."""
        name = request.path_params["name"]
        if name not in self._names:
            raise BadQuery(f"there is no file {name!r} here")
        version = version_of(name)
        tag = f'"{version}"'
        headers = {
            **SECURITY_HEADERS,
            "ETag": tag,
            "Cache-Control": _FOREVER if request.query_params.get("v") == version else _ASK_AGAIN,
        }
        if request.headers.get("if-none-match") == tag:
            return Response(status_code=304, headers=headers)
        return Response(content(name), headers=headers, media_type=_TYPES[PurePath(name).suffix])
