"""Answers: JSON by msgspec, and one shape for every refusal."""

from collections.abc import Mapping
from typing import Literal

import msgspec
from starlette.responses import Response


class Refusal(msgspec.Struct, frozen=True):
    """What every error looks like, whatever its status code: RustPBX's own shape."""

    message: str
    status: Literal["error"] = "error"


def reply(answer: msgspec.Struct, status: int = 200, headers: Mapping[str, str] | None = None) -> Response:
    """Answer with a value as JSON. Nothing is ever cached: a live call grows while it is looked at."""
    return Response(
        msgspec.json.encode(answer),
        status_code=status,
        headers={"Cache-Control": "no-store", **(headers or {})},
        media_type="application/json",
    )
