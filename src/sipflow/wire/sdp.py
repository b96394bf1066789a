"""Session descriptions (RFC 8866) as SIP carries them, and how to find them in a message body.

Real senders break the grammar in many small ways, so reading is lenient: a line that cannot be understood is left out
and named in `Description.faults`; everything else is kept.
"""

import re
from collections.abc import Callable
from ipaddress import ip_address

import msgspec

from sipflow.errors import WireError

# Nothing legitimate comes near; both bound the work one hostile message can cause.
MEDIA_MAX = 64
PORT_COUNT_MAX = 64
MULTIPART_DEPTH = 4
PARTS_MAX = 32
FAULTS_MAX = 16

DIRECTIONS = frozenset({"sendrecv", "sendonly", "recvonly", "inactive"})


class Connection(msgspec.Struct, frozen=True):
    """A c= line: where media is to be sent. `address` is text, an IP address or a host name."""

    family: int
    address: str

    @property
    def unspecified(self) -> bool:
        """Tell whether the address is 0.0.0.0 or ::, the old way to put a call on hold (RFC 3264, section 8.4)."""
        try:
            return ip_address(self.address).is_unspecified
        except ValueError:
            return False


class Origin(msgspec.Struct, frozen=True):
    """An o= line: who described the session, and which version of the description this is."""

    user: str
    session_id: str
    version: str
    family: int
    address: str


class Codec(msgspec.Struct, frozen=True):
    """What a payload type means: a=rtpmap, or RFC 3551 for the static types. `clock_rate` in Hz."""

    payload_type: int
    name: str
    clock_rate: int
    channels: int = 1


class Crypto(msgspec.Struct, frozen=True):
    """An a=crypto line (RFC 4568): SDES keys. `keys` are the key parameters as written, e.g. inline:..."""

    tag: int
    suite: str
    keys: tuple[str, ...]
    parameters: tuple[str, ...] = ()


class Candidate(msgspec.Struct, frozen=True):
    """An a=candidate line (RFC 8839): one address ICE may choose. `component` 1 is RTP, 2 RTCP."""

    component: int
    transport: str
    address: str
    port: int
    kind: str


class Rtcp(msgspec.Struct, frozen=True):
    """An a=rtcp line (RFC 3605): where RTCP goes when not to the next port; `address` None is that of the media."""

    port: int
    address: str | None = None


class Attribute(msgspec.Struct, frozen=True):
    """One a= line as written; `value` is empty for a flag."""

    name: str
    value: str = ""


class Media(msgspec.Struct, frozen=True):
    """One m= line and what follows it, with the session's c= and direction filled in where it has none of its own.

    `port` 0 is a refused or disabled medium. `codecs` lists what formats mean, in order of preference; formats that
    name no codec are left out of it. `fmtp` maps payload types to their parameters. `ptime` and `maxptime` in ms.
    """

    kind: str
    port: int
    port_count: int
    protocol: str
    formats: tuple[str, ...]
    connection: Connection | None
    direction: str = "sendrecv"
    codecs: tuple[Codec, ...] = ()
    fmtp: dict[int, str] = {}
    ptime: float | None = None
    maxptime: float | None = None
    rtcp: Rtcp | None = None
    rtcp_mux: bool = False
    cryptos: tuple[Crypto, ...] = ()
    candidates: tuple[Candidate, ...] = ()
    attributes: tuple[Attribute, ...] = ()

    @property
    def ports(self) -> tuple[int, ...]:
        """List the RTP ports: every second one from `port` on (RFC 8866, section 5.14); empty when refused."""
        if self.port == 0:
            return ()
        step = 2 if self.is_rtp else 1
        return tuple(port for port in range(self.port, self.port + step * self.port_count, step) if port <= 65535)

    @property
    def is_rtp(self) -> bool:
        """Tell whether the protocol is a profile of RTP (RTP/AVP, RTP/SAVPF, UDP/TLS/RTP/SAVPF, ...)."""
        return "RTP/" in self.protocol.upper()

    @property
    def secure(self) -> bool:
        """Tell whether the payload is encrypted: a secure profile, or SDES keys beside a plain one."""
        return "SAVP" in self.protocol.upper() or bool(self.cryptos)

    def codec(self, payload_type: int) -> Codec | None:
        """Find what a payload type means here; None when neither the description nor RFC 3551 says."""
        for codec in self.codecs:
            if codec.payload_type == payload_type:
                return codec
        return STATIC_CODECS.get(payload_type)


class Description(msgspec.Struct, frozen=True):
    """One session description; `faults` names the lines that were left out."""

    origin: Origin | None
    name: str
    connection: Connection | None
    direction: str | None
    media: tuple[Media, ...]
    attributes: tuple[Attribute, ...] = ()
    faults: tuple[str, ...] = ()


def _static(payload_type: int, name: str, clock_rate: int, channels: int = 1) -> tuple[int, Codec]:
    return payload_type, Codec(payload_type, name, clock_rate, channels)


# RFC 3551, tables 4 and 5. G722 is written with 8000 although it samples at 16000 (section 4.5.2).
STATIC_CODECS: dict[int, Codec] = dict(
    (
        _static(0, "PCMU", 8000),
        _static(3, "GSM", 8000),
        _static(4, "G723", 8000),
        _static(5, "DVI4", 8000),
        _static(6, "DVI4", 16000),
        _static(7, "LPC", 8000),
        _static(8, "PCMA", 8000),
        _static(9, "G722", 8000),
        _static(10, "L16", 44100, 2),
        _static(11, "L16", 44100),
        _static(12, "QCELP", 8000),
        _static(13, "CN", 8000),
        _static(14, "MPA", 90000),
        _static(15, "G728", 8000),
        _static(16, "DVI4", 11025),
        _static(17, "DVI4", 22050),
        _static(18, "G729", 8000),
        _static(25, "CelB", 90000),
        _static(26, "JPEG", 90000),
        _static(28, "nv", 90000),
        _static(31, "H261", 90000),
        _static(32, "MPV", 90000),
        _static(33, "MP2T", 90000),
        _static(34, "H263", 90000),
    )
)


def parse_sdp(body: bytes) -> Description:
    """Read one description; line ends may be CRLF, LF or CR. Raises WireError when nothing in it is one."""
    lines = [line for line in re.split(r"\r\n|\n|\r", body.decode("utf-8", "replace")) if line.strip()]
    known = [_split_line(line) for line in lines]
    if not any(kind in ("v", "m", "o") for kind, _ in known):
        raise WireError("not_a_session_description", 0)
    return _Reader().read(zip(lines, known, strict=True))


def find_descriptions(content_type: str, body: bytes) -> list[Description]:
    """Read every description of a message body, also inside (nested) multipart; an unreadable one is left out.

    A body without Content-Type is taken as a description when it begins like one.
    """
    found: list[Description] = []
    for part in _parts(content_type, body, 0):
        try:
            found.append(parse_sdp(part))
        except WireError:
            continue
    return found


def _parts(content_type: str, body: bytes, depth: int) -> list[bytes]:
    media_type = content_type.partition(";")[0].strip().lower()
    if media_type == "application/sdp" or (not media_type and body.lstrip()[:2].lower() == b"v="):
        return [body]
    if not media_type.startswith("multipart/") or depth == MULTIPART_DEPTH:
        return []
    match = _BOUNDARY.search(content_type)
    if match is None:
        return []
    # RFC 2046, section 5.1.1: the boundary stands at the beginning of a line; the text before the first is no part.
    mark = (
        rb"(?:^|\r\n|\n|\r)--"
        + re.escape((match[1] or match[2]).encode("utf-8", "replace"))
        + rb"(--)?[ \t]*(?=\r|\n|$)"
    )
    found: list[bytes] = []
    start: int | None = None
    for count, border in enumerate(re.finditer(mark, body)):
        if start is not None:
            found += _part(body[start : border.start()], depth)
        start = border.end()
        if border[1] or count == PARTS_MAX:
            return found
    # The last part of a message that was cut short.
    if start is not None:
        found += _part(body[start:], depth)
    return found


def _part(octets: bytes, depth: int) -> list[bytes]:
    octets = re.sub(rb"\A(\r\n|\n|\r)", b"", octets)
    head, body = b"", octets
    # A part without headers begins with the empty line itself.
    if not re.match(rb"\r\n|\n|\r", octets):
        split = re.split(rb"\r\n\r\n|\n\n|\r\r", octets, maxsplit=1)
        head, body = split[0], split[1] if len(split) == 2 else b""
    match = _CONTENT_TYPE.search(head)
    text = match[1].decode("utf-8", "replace") if match else ""
    return _parts(re.sub(r"[\r\n]+[ \t]+", " ", text), body, depth + 1)


_BOUNDARY = re.compile(r";\s*boundary\s*=\s*(?:\"([^\"]{1,200})\"|([^\s;\"]{1,200}))", re.IGNORECASE)
_CONTENT_TYPE = re.compile(rb"^(?:content-type|c)[ \t]*:[ \t]*((?:.|\r?\n[ \t])*)", re.IGNORECASE | re.MULTILINE)


def _split_line(line: str) -> tuple[str, str]:
    # RFC 8866, section 5 allows no blanks around the equals sign; some senders write them.
    kind, equals, value = line.partition("=")
    return (kind.strip().lower(), value.strip()) if equals else ("", line.strip())


class _Section:
    """What is gathered for the session or for one medium, while it is read."""

    def __init__(self, head: tuple[str, int, int, str, tuple[str, ...]] | None = None) -> None:
        self.head = head
        self.connection: Connection | None = None
        self.direction: str | None = None
        self.maps: dict[int, Codec] = {}
        self.fmtp: dict[int, str] = {}
        self.ptime: float | None = None
        self.maxptime: float | None = None
        self.rtcp: Rtcp | None = None
        self.rtcp_mux = False
        self.cryptos: list[Crypto] = []
        self.candidates: list[Candidate] = []
        self.attributes: list[Attribute] = []

    def media(self, session: "_Section") -> Media:
        """Close a medium: fill in what it takes over from the session."""
        assert self.head is not None
        kind, port, count, protocol, formats = self.head
        types = [int(text) for text in formats if text.isascii() and text.isdigit() and len(text) <= 3]
        codecs = [codec for number in types if (codec := self.maps.get(number) or STATIC_CODECS.get(number))]
        codecs += [codec for number, codec in self.maps.items() if number not in types]
        return Media(
            kind=kind,
            port=port,
            port_count=count,
            protocol=protocol,
            formats=formats,
            connection=self.connection or session.connection,
            direction=self.direction or session.direction or "sendrecv",
            codecs=tuple(codecs) if "RTP/" in protocol.upper() else (),
            fmtp=self.fmtp,
            ptime=self.ptime if self.ptime is not None else session.ptime,
            maxptime=self.maxptime if self.maxptime is not None else session.maxptime,
            rtcp=self.rtcp,
            rtcp_mux=self.rtcp_mux,
            cryptos=tuple(self.cryptos or session.cryptos),
            candidates=tuple(self.candidates),
            attributes=tuple(self.attributes),
        )


class _Reader:
    """Reads the lines of one description in order."""

    def __init__(self) -> None:
        self.session = _Section()
        self.section: _Section | None = self.session
        self.media: list[_Section] = []
        self.origin: Origin | None = None
        self.name = ""
        self.faults: list[str] = []

    def read(self, lines: "zip[tuple[str, tuple[str, str]]]") -> Description:
        for line, (kind, value) in lines:
            try:
                self._line(kind, value)
            except (ValueError, IndexError):
                if len(self.faults) < FAULTS_MAX:
                    self.faults.append(line[:120])
        return Description(
            origin=self.origin,
            name=self.name,
            connection=self.session.connection,
            direction=self.session.direction,
            media=tuple(section.media(self.session) for section in self.media),
            attributes=tuple(self.session.attributes),
            faults=tuple(self.faults),
        )

    def _line(self, kind: str, value: str) -> None:
        if kind == "m":
            # A medium that cannot be read takes the lines below it along: they must not fall to the one before.
            self.section = None
            self.section = _Section(_media_head(value))
            if len(self.media) == MEDIA_MAX:
                raise ValueError("too many media")
            self.media.append(self.section)
        elif kind == "o":
            self.origin = _origin(value)
        elif kind == "s":
            self.name = value
        elif kind == "c" and self.section is not None:
            self.section.connection = _connection(value)
        elif kind == "a" and self.section is not None:
            name, _, rest = value.partition(":")
            _attribute(self.section, name.strip(), rest.strip())
        elif kind not in _OTHER_LINES:
            raise ValueError("no line of a session description")


_OTHER_LINES = frozenset("vituepcbzkra")


def _media_head(value: str) -> tuple[str, int, int, str, tuple[str, ...]]:
    words = value.split()
    port, slash, count = words[1].partition("/")
    number, repeats = _number(port, 65535), _number(count, PORT_COUNT_MAX) if slash else 1
    return words[0].lower(), number, max(repeats, 1), words[2], tuple(words[3:])


def _number(text: str, most: int) -> int:
    if not text.isascii() or not text.isdigit() or len(text) > 10 or int(text) > most:
        raise ValueError(f"not a number up to {most}: {text!r}")
    return int(text)


def _connection(value: str) -> Connection:
    words = value.split()
    # The part after a slash is the reach and number of multicast addresses.
    return Connection(family=_family(words), address=words[2].partition("/")[0].strip("[]"))


def _family(words: list[str]) -> int:
    if words[0].upper() != "IN" or words[1].upper() not in ("IP4", "IP6"):
        raise ValueError("neither IN IP4 nor IN IP6")
    return 4 if words[1].upper() == "IP4" else 6


def _origin(value: str) -> Origin:
    words = value.split()
    # A user name may hold blanks in practice: the five last words are the fixed ones.
    user, fixed = " ".join(words[:-5]), words[-5:]
    return Origin(user, fixed[0], fixed[1], _family(fixed[2:]), fixed[4].strip("[]"))


def _attribute(section: _Section, name: str, value: str) -> None:
    section.attributes.append(Attribute(name, value))
    name = name.lower()
    if name in DIRECTIONS:
        section.direction = name
    elif name in ("rtcp-mux", "rtcp-mux-only"):  # RFC 5761; RFC 8858
        section.rtcp_mux = True
    elif name in _ATTRIBUTES:
        _ATTRIBUTES[name](section, value)


def _rtpmap(section: _Section, value: str) -> None:
    number, encoding = value.split(None, 1)
    parts = [part.strip() for part in encoding.split("/")]
    channels = _number(parts[2], 255) if len(parts) > 2 and parts[2] else 1
    codec = Codec(_number(number, 127), parts[0], _number(parts[1], 10_000_000), max(channels, 1))
    section.maps[codec.payload_type] = codec


def _fmtp(section: _Section, value: str) -> None:
    number, *parameters = value.split(None, 1)
    section.fmtp[_number(number, 127)] = parameters[0] if parameters else ""


def _milliseconds(value: str) -> float:
    if not re.fullmatch(r"\d{1,6}(\.\d{1,6})?", value, re.ASCII):
        raise ValueError(f"not milliseconds: {value!r}")
    return float(value)


def _ptime(section: _Section, value: str) -> None:
    section.ptime = _milliseconds(value)


def _maxptime(section: _Section, value: str) -> None:
    section.maxptime = _milliseconds(value)


def _rtcp(section: _Section, value: str) -> None:
    words = value.split()
    section.rtcp = Rtcp(_number(words[0], 65535), words[3].strip("[]") if len(words) >= 4 else None)


def _crypto(section: _Section, value: str) -> None:
    words = value.split()
    section.cryptos.append(
        Crypto(_number(words[0], 999_999_999), words[1], tuple(words[2].split(";")), tuple(words[3:]))
    )


def _candidate(section: _Section, value: str) -> None:
    words = value.split()
    kind = words[words.index("typ") + 1]
    section.candidates.append(
        Candidate(_number(words[1], 256), words[2].lower(), words[4], _number(words[5], 65535), kind)
    )


_ATTRIBUTES: dict[str, Callable[[_Section, str], None]] = {
    "rtpmap": _rtpmap,
    "fmtp": _fmtp,
    "ptime": _ptime,
    "maxptime": _maxptime,
    "rtcp": _rtcp,
    "crypto": _crypto,
    "candidate": _candidate,
}
