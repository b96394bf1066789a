"""Pages: templates filled in, with headers under which hostile text stays text."""

from collections.abc import Mapping
from typing import Final

from jinja2 import Environment, PackageLoader, StrictUndefined
from starlette.requests import Request
from starlette.responses import Response

from sipflow.version import __version__
from sipflow.web.console.arrow_markup import arrow_marks, arrow_times
from sipflow.web.console.urls import Urls
from sipflow.web.console.wording import FILTERS, status_tone

# Nothing from anywhere else, nothing inline; pictures and files that a module has drawn may be blobs.
CSP: Final = (
    "default-src 'self'; img-src 'self' data: blob:; media-src 'self' blob:; "
    "object-src 'none'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'"
)
SECURITY_HEADERS: Final = {
    "Content-Security-Policy": CSP,
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
}
THEME_COOKIE: Final = "sipflow-theme"
THEMES: Final = ("light", "dark")


def _environment() -> Environment:
    environment = Environment(
        loader=PackageLoader("sipflow.web.console"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters.update(FILTERS)
    environment.globals.update(
        urls=Urls(),
        version=__version__,
        status_tone=status_tone,
        arrow_times=arrow_times,
        arrow_marks=arrow_marks,
    )
    return environment


TEMPLATES: Final = _environment()


def render(request: Request, name: str, status: int = 200, *, twin: str = "", **context: object) -> Response:
    """Answer with the page of a template; never cached, because what it shows grows.

    `twin` is the address of the same as JSON, which its head names.
    """
    theme = request.cookies.get(THEME_COOKIE)
    page = TEMPLATES.get_template(name).render(
        request=request, path=request.url.path, theme=theme if theme in THEMES else "", twin=twin, **context
    )
    headers = {"Cache-Control": "no-store", "Vary": "Accept, Cookie", **SECURITY_HEADERS}
    return Response(page, status, headers, media_type="text/html")


def wants_page(request: Request) -> bool:
    """Tell whether a browser asks, which is to be answered with a page, errors too."""
    return "text/html" in request.headers.get("accept", "")


def error_page(request: Request, message: str, status: int, headers: Mapping[str, str] | None = None) -> Response:
    """Answer an error for people: what is wrong, in the words of the API."""
    answer = render(request, "error.html", status, message=message, status_code=status)
    answer.headers.update(headers or {})
    return answer


def fragment(name: str, **context: object) -> str:
    """Fill in a template that is a part of a page."""
    return TEMPLATES.get_template(name).render(**context)
