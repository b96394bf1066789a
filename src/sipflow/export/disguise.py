"""Messages and media under pseudonyms: headers, URIs, session descriptions, Call-IDs; Content-Length is corrected.

What is known to be harmless stays; what is known to be a name is replaced; whatever a header is that nobody knows, its
words are replaced too. Other bodies than session descriptions are written over with x. Audio stays what it is.
"""

import re
from collections.abc import Callable
from typing import Final

import msgspec
import numpy as np
from numpy.typing import NDArray

from sipflow.export.pseudonym import Pseudonyms
from sipflow.wire.endpoint import Endpoint
from sipflow.wire.header import COMPACT
from sipflow.wire.packet import Chunk, Message, StreamKey

# Headers whose values name nobody.
_HARMLESS: Final = frozenset(
    {
        "accept", "accept-encoding", "accept-language", "allow", "allow-events", "content-disposition",
        "content-encoding", "content-length", "content-type", "cseq", "date", "event", "expires", "max-forwards",
        "mime-version", "min-expires", "min-se", "priority", "privacy", "proxy-require", "rack", "require",
        "retry-after", "rseq", "server", "session-expires", "subscription-state", "supported", "timestamp",
        "unsupported", "user-agent",
    }
)  # fmt: skip
_ADDRESSES: Final = frozenset(
    {
        "from", "to", "contact", "route", "record-route", "refer-to", "referred-by", "p-asserted-identity",
        "p-preferred-identity", "remote-party-id", "diversion", "history-info", "path", "service-route", "reply-to",
        "p-called-party-id", "p-associated-uri",
    }
)  # fmt: skip
_CREDENTIALS: Final = frozenset(
    {"authorization", "proxy-authorization", "www-authenticate", "proxy-authenticate", "authentication-info"}
)
_CALL_IDS: Final = frozenset({"call-id", "in-reply-to"})
_HOPS: Final = frozenset({"via"})
_SENTENCES: Final = frozenset({"reason", "warning"})
_KEPT_CREDENTIALS: Final = frozenset({"algorithm", "qop", "stale", "nc"})
_URI: Final = re.compile(r"(?i)\b(sips?|tel|im|pres|xmpp|mailto):([^\s<>\",;?]+)")
_ANGLED: Final = re.compile(r"<([^<>]*)>")
_REQUEST: Final = re.compile(r"(\S+\s+)(.*\S)(\s+SIP/2\.0\s*)\Z", re.IGNORECASE | re.DOTALL)
_HOST_PORT: Final = re.compile(r"(\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9.\-_]+)(:\d{1,5})?\Z")
_IP4: Final = re.compile(r"(?<![\d.])(?:\d{1,3}\.){3}\d{1,3}(?![\d.])", re.ASCII)
_IP6: Final = re.compile(r"(?<![\w:.])(?:[0-9A-Fa-f]{0,4}:){2,7}[0-9A-Fa-f]{0,4}(?:%\w+)?(?![\w:.])", re.ASCII)
_WORD: Final = re.compile(r"[^\W_]+(?:[._@+-][^\W_]+)*")
_PARAMETER: Final = re.compile(r"(?i)(;\s*)([\w-]+)(\s*=\s*)(\"[^\"]*\"|[^;,\s>]+)")
_NAMING: Final = frozenset(
    {"tag", "branch", "received", "maddr", "from-tag", "to-tag", "call-id", "+sip.instance", "icid-value", "ob",
     "rinstance", "gr", "cause-text", "text", "ftag", "did", "lskpmc", "x-afi", "originating", "epid", "reg-id"}
)  # fmt: skip
_COOKIE: Final = "z9hG4bK"
_NO_ROWS: Final = np.zeros(0, np.void)
_TEXT: Final = ("utf-8", "surrogateescape")


class _Renamed(Chunk):
    """A chunk under another key; its content is read when asked for."""

    __slots__ = ("_chunk",)

    def __init__(self, chunk: Chunk, key: StreamKey) -> None:
        super().__init__(key, _NO_ROWS, b"", chunk.clock_skew)
        self._chunk = chunk

    def content(self) -> tuple[NDArray[np.void], bytes]:
        return self._chunk.content()

    @property
    def packets(self) -> int:
        return self._chunk.packets

    @property
    def last_us(self) -> int:
        return self._chunk.last_us

    def first_us(self, *, by_arrival: bool = False) -> int:
        return self._chunk.first_us(by_arrival=by_arrival)


class Disguise:
    """Writes messages and chunks again under the pseudonyms of one export."""

    def __init__(self, pseudonyms: Pseudonyms) -> None:
        """Share the pseudonyms with everything else of the export."""
        self._names = pseudonyms

    def call_id(self, call_id: str) -> str:
        """Replace a Call-ID, what stands behind an @ as a host."""
        local, at, host = call_id.partition("@")
        return self._names.word(local) + (f"@{self._host_port(host)}" if at else "")

    def endpoint(self, endpoint: Endpoint) -> Endpoint:
        """Replace the address; the port stays."""
        return Endpoint(self._names.address(endpoint.ip), endpoint.port)

    def chunk(self, chunk: Chunk) -> Chunk | None:
        """Replace the ends of a stream; None for what is no RTP: RTCP names its sender (RFC 3550, section 6.5)."""
        key = chunk.key
        if key.ssrc is None:
            return None
        ends = {"src": self.endpoint(key.src), "dst": self.endpoint(key.dst), "call_id": self.call_id(key.call_id)}
        return _Renamed(chunk, msgspec.structs.replace(key, **ends))

    def message(self, message: Message) -> Message:
        """Replace every name in a message, and give it the right Content-Length."""
        text = message.payload.decode(*_TEXT)
        border = re.search(r"\r\n\r\n|\n\n|\r\r", text)
        head, gap, body = (text, "", "") if border is None else (
            text[: border.start()], border[0], text[border.end() :]
        )  # fmt: skip
        end = "\r\n" if "\r\n" in head else "\n"
        lines = re.split(r"\r\n|\n|\r", re.sub(r"(?:\r\n|\n|\r)[ \t]+", " ", head))
        kind = next((v for n, v in map(_parted, lines[1:]) if n == "content-type"), "")
        new_body = self._swept(self._body(kind, body))
        octets = len(new_body.encode(*_TEXT))
        written = [self._start(lines[0]), *(self._line(line, octets, len(body.encode(*_TEXT))) for line in lines[1:])]
        payload = (self._swept(end.join(written)) + gap + new_body).encode(*_TEXT)
        return msgspec.structs.replace(
            message,
            call_id=self.call_id(message.call_id),
            src=self.endpoint(message.src),
            dst=self.endpoint(message.dst),
            payload=payload,
        )

    def _start(self, line: str) -> str:
        if line[:4].upper() == "SIP/":
            return self._addresses_in(line)
        found = _REQUEST.match(line)
        if found is None:
            return self._addresses_and_uris(line)
        uri = found[2]
        # A URI with blanks in it is none: its words are replaced, and it stays as wrong as it was.
        new = self._addresses_and_uris(uri) if re.search(r"\s", uri) else self._uri(uri)
        return f"{found[1]}{new}{found[3]}"

    def _line(self, line: str, octets: int, were: int) -> str:
        name, colon, value = line.partition(":")
        key = _parted(line)[0]
        if not colon:
            return self._words(line)
        pad = value[: len(value) - len(value.lstrip())]
        value = value.strip()
        if key == "content-length":
            # A wrong length is worth seeing: it stays as wrong as it was.
            given = int(value) if value.isascii() and value.isdigit() and len(value) < 9 else None
            return f"{name}:{pad}{octets + given - were}" if given is not None else line
        return f"{name}:{pad}{self._value(key, value)}"

    def _value(self, key: str, value: str) -> str:
        ways: tuple[tuple[frozenset[str], Callable[[str], str]], ...] = (
            (_CALL_IDS, self.call_id),
            (_HARMLESS, self._addresses_in),
            (_HOPS, self._via),
            (_ADDRESSES, self._name_addr),
            (_CREDENTIALS, self._credentials),
            (_SENTENCES, self._addresses_and_uris),
        )
        return next((way for keys, way in ways if key in keys), self._words)(value)

    def _via(self, value: str) -> str:
        def hop(text: str) -> str:
            head, semicolon, rest = text.partition(";")
            sent, _, place = head.rstrip().rpartition(" ")
            return f"{sent} {self._host_port(place.strip())}{self._parameters(semicolon + rest)}"

        return ", ".join(hop(part.strip()) for part in value.split(","))

    def _name_addr(self, value: str) -> str:
        """Replace display names, URIs and parameters of a list of addresses."""
        if "<" not in value:
            head, semicolon, rest = value.partition(";")
            return self._uri(head) + self._parameters(semicolon + rest)
        pieces, at = [], 0
        for found in _ANGLED.finditer(value):
            pieces += [self._between(value[at : found.start()]), f"<{self._uri(found[1])}>"]
            at = found.end()
        return "".join([*pieces, self._between(value[at:])])

    def _between(self, text: str) -> str:
        """Replace what stands outside of angle brackets: parameters of the address before, the name of the next."""
        comma = text.rfind(",") + 1 if text.lstrip().startswith((";", ",")) else 0
        return self._parameters(text[:comma] if comma else text if text.lstrip()[:1] == ";" else "") + (
            self._words(text[comma:]) if comma or text.lstrip()[:1] != ";" else ""
        )

    def _parameters(self, text: str) -> str:
        def one(found: re.Match[str]) -> str:
            name, value = found[2].lower(), found[4]
            bare = value.strip('"')
            quote = '"' if value.startswith('"') else ""
            if name in ("received", "maddr"):
                bare = self._host_port(bare)
            elif name == "branch" and bare.startswith(_COOKIE):
                bare = _COOKIE + self._names.word(bare[len(_COOKIE) :])
            elif name in _NAMING or quote:
                bare = self._names.word(bare)
            else:
                bare = self._addresses_in(bare)
            return f"{found[1]}{found[2]}{found[3]}{quote}{bare}{quote}"

        return _PARAMETER.sub(one, text)

    def _uri(self, uri: str) -> str:
        scheme, colon, rest = uri.partition(":")
        if not colon or scheme.lower() not in ("sip", "sips", "tel", "im", "pres", "xmpp", "mailto"):
            return self._words(uri)
        head = re.split(r"([;?])", rest, maxsplit=1)
        place, tail = head[0], "".join(head[1:])
        user, at, host = place.rpartition("@")
        if scheme.lower() == "tel" or not at:
            new = self._names.user(place) if scheme.lower() == "tel" else self._host_port(host)
        else:
            name, has_password, password = user.partition(":")
            secret = f":{self._names.word(password)}" if has_password else ""
            new = f"{self._names.user(name)}{secret}@{self._host_port(host)}"
        if tail[:1] == "?":
            return f"{scheme}:{new}?{self._words(tail[1:])}"
        return f"{scheme}:{new}{self._uri_parameters(tail)}"

    def _uri_parameters(self, text: str) -> str:
        kept = ("transport", "user", "method", "ttl", "lr", "phone-context")
        return _PARAMETER.sub(
            lambda found: self._addresses_in(found[0]) if found[2].lower() in kept
            else f"{found[1]}{found[2]}{found[3]}{self._names.word(found[4].strip(chr(34)))}",
            text,
        )  # fmt: skip

    def _host_port(self, place: str) -> str:
        found = _HOST_PORT.match(place)
        if found is None:
            return self._names.address(place) if ":" in place else self._names.word(place)
        return self._names.host(found[1]) + (found[2] or "")

    def _credentials(self, value: str) -> str:
        return re.sub(r"(?i)([\w-]+)(\s*=\s*)(\"[^\"]*\"|[^,\s]+)", self._credential, value)

    def _credential(self, found: re.Match[str]) -> str:
        if found[1].lower() in _KEPT_CREDENTIALS:
            return found[0]
        bare = found[3].strip('"')
        quote = '"' if found[3].startswith('"') else ""
        name = found[1].lower()
        new = self._uri(bare) if name == "uri" else self._names.user(bare) if name == "username" else (
            self._host_port(bare) if name in ("realm", "domain") else self._names.word(bare)
        )  # fmt: skip
        return f"{found[1]}{found[2]}{quote}{new}{quote}"

    def _words(self, text: str) -> str:
        """Replace every word of a text of which nothing is known; addresses and URIs as what they are."""

        def one(found: re.Match[str]) -> str:
            parts = found[0].split("@")
            return "@".join(self._names.address(p) if _IP4.fullmatch(p) else self._names.user(p) for p in parts)

        parts, at = [], 0
        for found in _URI.finditer(text):
            parts += [_WORD.sub(one, text[at : found.start()]), self._uri(found[0])]
            at = found.end()
        return "".join([*parts, _WORD.sub(one, text[at:])])

    def _addresses_and_uris(self, text: str) -> str:
        return self._addresses_in(_URI.sub(lambda found: self._uri(found[0]), text))

    def _addresses_in(self, text: str) -> str:
        address: Callable[[re.Match[str]], str] = lambda found: self._names.address(found[0])  # noqa: E731
        return _IP6.sub(address, _IP4.sub(address, text))

    def _swept(self, text: str) -> str:
        """Replace the addresses that are left: in lines that are none, and wherever else nobody looks."""

        def one(found: re.Match[str]) -> str:
            return found[0] if self._names.is_pseudonym(found[0]) else self._names.address(found[0])

        return _IP6.sub(one, _IP4.sub(one, text))

    def _body(self, kind: str, body: str) -> str:
        if not body:
            return body
        if kind.partition(";")[0].strip().lower() == "application/sdp" or (not kind and body.startswith("v=")):
            ends = re.findall(r"\r\n|\n|\r|\Z", body)
            lines = re.split(r"\r\n|\n|\r", body)
            return "".join(self._sdp(line) + end for line, end in zip(lines, ends, strict=False))
        return re.sub(r"[^\W_]", "x", body)

    def _sdp(self, line: str) -> str:
        name, _, value = line.partition("=")
        match name.strip().lower():
            case "o":
                words = value.split(" ")
                fixed = len(words) == 6
                user = "-" if words[0] == "-" else self._names.word(words[0])
                return f"o={' '.join([user, *words[1:5], self._host_port(words[5])])}" if fixed else self._words(line)
            case "c":
                words = value.split(" ")
                address, slash, reach = words[-1].partition("/")
                return f"c={' '.join([*words[:-1], self._host_port(address) + slash + reach])}"
            case "s" | "i" | "u" | "e" | "p" | "k":
                return line if value.strip() in ("-", "") else f"{name}={self._words(value)}"
            case "a":
                return f"a={self._attribute(value)}"
        return self._addresses_in(line)

    def _attribute(self, value: str) -> str:
        name, colon, rest = value.partition(":")
        match name.lower():
            case "crypto":
                return name + colon + re.sub(r"(?i)(inline:)[^\s|;]+", r"\1hidden", rest)
            case "ssrc":
                number, _, said = rest.partition(" ")
                what, has, word = said.partition(":")
                return f"{name}:{number} {what}{has}{self._words(word)}" if said else value
            case (
                "ice-ufrag"
                | "ice-pwd"
                | "fingerprint"
                | "msid"
                | "identity"
                | "label"
                | "content"
                | "cname"
                | "setup-id"
            ):
                return f"{name}{colon}{self._names.word(rest)}" if rest else value
        return self._addresses_in(value)


def _parted(line: str) -> tuple[str, str]:
    """Give the full name of a header in small letters, and its value."""
    name, _, value = line.partition(":")
    lower = name.strip().lower()
    return COMPACT.get(lower, lower), value.strip()
