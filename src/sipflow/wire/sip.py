"""The head of a SIP message as Python sees it (RFC 3261)."""

from functools import lru_cache
from typing import Final

import msgspec

from sipflow._fast import sip_head, sip_looks_like

# Each view of a call reads the heads of its messages again: those of a long call are kept.
_HEADS_REMEMBERED: Final = 8192


class SipHead(msgspec.Struct, frozen=True):
    """What the start line and the main headers of a message say; empty or None where they say nothing.

    `status` is None for a request; `body` is the offset of the body [octets].
    """

    is_request: bool
    method: str
    uri: str
    status: int | None
    reason: str
    call_id: str | None
    from_uri: str
    from_user: str
    from_tag: str
    to_uri: str
    to_user: str
    to_tag: str
    cseq: int | None
    cseq_method: str
    user_agent: str
    branch: str
    content_type: str
    content_length: int | None
    body: int

    @property
    def label(self) -> str:
        """Name the message as a ladder does: its method, or status and reason."""
        return self.method if self.is_request else f"{self.status} {self.reason}".rstrip()


@lru_cache(maxsize=_HEADS_REMEMBERED)
def parse_head(message: bytes) -> SipHead:
    """Scan the head of a message; never fails, a header that is not there leaves its field empty."""
    values = [value.decode("utf-8", "replace") if isinstance(value, bytes) else value for value in sip_head(message)]
    return SipHead(*values)  # type: ignore[arg-type]  # RawSipHead fixes them


def looks_like_sip(octets: bytes) -> bool:
    """Tell whether octets begin like a SIP message, on whatever port they came."""
    return sip_looks_like(octets)
