"""What the import needs to know of a SIP message: its call, its dialog and its body."""

import re
from typing import NamedTuple

# The compact names (RFC 3261, section 7.3.3) of the fields read here.
_NAMES = {b"i": "call-id", b"f": "from", b"t": "to", b"c": "content-type", b"l": "content-length"}
_WANTED = frozenset({"call-id", "from", "to", "cseq", "content-type", "content-length"})
_TAG = re.compile(r";\s*tag\s*=\s*([^;,\s>]+)", re.IGNORECASE)
_CSEQ = re.compile(r"\s*\d+\s+(\S+)")
_STATUS = re.compile(rb"SIP/\d+\.\d+[ \t]+(\d{3})", re.IGNORECASE)


class SipHead(NamedTuple):
    """The parts of one message; `method` is that of CSeq for a response, `status` 0 for a request."""

    method: str
    status: int
    call_id: str
    from_tag: str
    to_tag: str
    content_type: str
    body: bytes


def read_head(payload: bytes) -> SipHead:
    """Read the head of a payload that begins as SIP does; what is missing or broken is left empty."""
    message = payload.lstrip(b"\r\n")
    split = re.split(rb"\r\n\r\n|\n\n|\r\r", message, maxsplit=1)
    head, body = split[0], split[1] if len(split) == 2 else b""
    lines = re.split(rb"\r\n|\n|\r", re.sub(rb"(?:\r\n|\n|\r)[ \t]+", b" ", head))
    fields: dict[str, str] = {}
    for line in lines[1:]:
        name, colon, value = line.partition(b":")
        key = name.strip().lower()
        word = _NAMES.get(key) or key.decode("latin-1")
        if colon and word in _WANTED and word not in fields:
            fields[word] = value.strip().decode("utf-8", "replace")
    status = _STATUS.match(lines[0])
    cseq = _CSEQ.match(fields.get("cseq", ""))
    length = fields.get("content-length", "")
    if length.isascii() and length.isdigit() and len(length) < 6:
        body = body[: int(length)]
    first = lines[0].split(None, 1)[0].decode("latin-1") if lines[0] else ""
    return SipHead(
        method=(cseq[1] if cseq else "") if status else first,
        status=int(status[1]) if status else 0,
        call_id=fields.get("call-id", ""),
        from_tag=_tag(fields.get("from", "")),
        to_tag=_tag(fields.get("to", "")),
        content_type=fields.get("content-type", ""),
        body=body,
    )


def _tag(value: str) -> str:
    # A tag inside the angle brackets belongs to the URI.
    match = _TAG.search(value[value.rfind(">") + 1 :])
    return match[1] if match else ""
