"""A session description explained line by line, in plain words (RFC 8866 and the attributes in daily use)."""

import re
from collections.abc import Callable
from typing import Final, NamedTuple

from sipflow.errors import WireError
from sipflow.wire.sdp import STATIC_CODECS, parse_sdp
from sipflow.wire.visible import visible

LINES_MAX: Final = 1000

_DIRECTIONS: Final = {
    "sendrecv": "sound may go both ways",
    "sendonly": "only sends, and hears nothing: the other side is on hold",
    "recvonly": "only listens: it was put on hold, or is an announcement's listener",
    "inactive": "neither sends nor receives: on hold",
}
_FLAGS: Final = {
    "rtcp-mux": "RTCP shares the port of the media (RFC 5761)",
    "rtcp-mux-only": "RTCP only on the port of the media (RFC 8858)",
    "rtcp-rsize": "short RTCP reports are allowed (RFC 5506)",
    "ice-lite": "answers connectivity checks, but makes none (ICE lite, RFC 8445)",
    "end-of-candidates": "no more ICE candidates follow",
    "extmap-allow-mixed": "one- and two-byte header extensions may be mixed (RFC 8285)",
    "msid-semantic": "how streams are grouped for a browser",
}
_ACRONYMS: Final = {
    "ptime": "wants {0} ms of sound in each packet",
    "maxptime": "takes at most {0} ms of sound in a packet",
    "minptime": "takes no less than {0} ms of sound in a packet",
    "ice-ufrag": "user name for ICE checks (RFC 8839)",
    "ice-pwd": "password for ICE checks (RFC 8839)",
    "ice-options": "ICE options: {0}",
    "fingerprint": "fingerprint of the certificate for DTLS-SRTP (RFC 8122)",
    "mid": "this medium is called {0} (RFC 5888)",
    "group": "media that belong together: {0} (RFC 5888)",
    "label": "label {0} (RFC 4574)",
    "content": "what the medium shows: {0} (RFC 4796)",
    "ssrc": "RTP source {0} (RFC 5576)",
    "extmap": "RTP header extension: {0} (RFC 8285)",
    "rtcp-fb": "feedback it understands: {0} (RFC 4585)",
    "framerate": "wants {0} pictures a second",
    "imageattr": "picture sizes: {0} (RFC 6236)",
    "tool": "made by {0}",
    "type": "kind of conference: {0}",
    "charset": "character set {0}",
    "sdplang": "language of the description: {0}",
    "lang": "language of the session: {0}",
    "silencesupp": "silence suppression: {0} (RFC 3108)",
    "msid": "browser's stream and track: {0}",
    "key-mgmt": "key management: {0} (RFC 4567)",
    "tcap": "transports it could use instead: {0} (RFC 5939)",
    "pcfg": "configuration it could use instead: {0} (RFC 5939)",
    "acfg": "configuration that was taken: {0} (RFC 5939)",
    "t38faxversion": "T.38 version {0}",
    "t38maxbitrate": "fax at most {0} bit/s",
    "t38faxratemanagement": "fax rate management: {0}",
    "t38faxudpec": "fax error correction: {0}",
    "t38faxmaxbuffer": "fax buffer: {0} octets",
    "t38faxmaxdatagram": "fax datagram at most {0} octets",
}
_SETUP: Final = {
    "actpass": "leaves it to the other side who begins DTLS",
    "active": "begins DTLS itself",
    "passive": "waits for the other side to begin DTLS",
    "holdconn": "no DTLS for now",
}
_CANDIDATES: Final = {
    "host": "an address of its own",
    "srflx": "the address a NAT gives it, as a STUN server saw it",
    "prflx": "an address its peer saw",
    "relay": "an address on a TURN relay",
}


class Explained(NamedTuple):
    """One line, and what it means; empty where nothing is known of it."""

    line: str
    words: str


def explain(body: str) -> list[Explained]:
    """Explain a description; never fails, a line that says nothing understandable has no words."""
    names = _names(body)
    lines = [line for line in re.split(r"\r\n|\n|\r", body) if line.strip()][:LINES_MAX]
    return [Explained(visible(line), visible(_words(line, names))) for line in lines]


def _names(body: str) -> dict[str, str]:
    """Say what each payload type of a description means, types used twice by their first meaning."""
    try:
        description = parse_sdp(body.encode("utf-8", "replace"))
    except WireError:
        return {}
    found: dict[str, str] = {}
    for media in description.media:
        for codec in media.codecs:
            found.setdefault(str(codec.payload_type), codec.name)
    return found


def _words(line: str, names: dict[str, str]) -> str:
    kind, _, value = line.partition("=")
    speak = _LINES.get(kind.strip().lower())
    try:
        return speak(value.strip(), names) if speak is not None else ""
    except (IndexError, ValueError):
        return "this line does not follow the grammar"


def _origin(value: str, _names: dict[str, str]) -> str:
    *user, session, version, _, _, address = value.split()
    who = " ".join(user)
    maker = f"{who} at {address}" if who not in ("", "-") else address
    return f"made by {maker}; session {session}, version {version}: the version rises when something changes"


def _connection(value: str, _names: dict[str, str]) -> str:
    address = value.split()[2].partition("/")[0]
    if address in ("0.0.0.0", "::"):  # noqa: S104 - a value that means "hold", nothing binds it
        return "nowhere: the old way to put a call on hold (RFC 3264, section 8.4)"
    return f"media is to be sent to {address}"


def _timing(value: str, _names: dict[str, str]) -> str:
    begin, end = value.split()[:2]
    return "begins now, with no end planned" if (begin, end) == ("0", "0") else f"from {begin} to {end} (NTP seconds)"


def _bandwidth(value: str, _names: dict[str, str]) -> str:
    kind, _, amount = value.partition(":")
    unit = "bit/s" if kind.upper() in ("TIAS", "RS", "RR") else "kbit/s"
    use = {"RS": " for RTCP of senders", "RR": " for RTCP of receivers"}.get(kind.upper(), "")
    return f"at most {amount} {unit}{use}"


def _media(value: str, names: dict[str, str]) -> str:
    kind, port, protocol, *formats = value.split()
    if port == "0":
        return f"{kind} is refused, or switched off"
    known = [names.get(each) or _static(each) or each for each in formats]
    how = "encrypted, " if "SAVP" in protocol.upper() else ""
    return f"wants {kind} at port {port} ({how}{protocol}), in this order: {', '.join(known) or 'nothing'}"


def _static(payload_type: str) -> str:
    codec = STATIC_CODECS.get(int(payload_type)) if payload_type.isascii() and payload_type.isdigit() else None
    return codec.name if codec is not None else ""


def _attribute(value: str, names: dict[str, str]) -> str:
    name, _, rest = value.partition(":")
    name, rest = name.strip().lower(), rest.strip()
    if name in _DIRECTIONS:
        return _DIRECTIONS[name]
    if name in _FLAGS:
        return _FLAGS[name]
    if name in _SPOKEN:
        return _SPOKEN[name](rest, names)
    return _ACRONYMS[name].replace("{0}", rest) if name in _ACRONYMS else ""


def _rtpmap(value: str, _names: dict[str, str]) -> str:
    number, encoding = value.split(None, 1)
    name, rate, *channels = encoding.split("/")
    if name.lower() == "telephone-event":
        return f"payload type {number} carries keys that are pressed (DTMF, RFC 4733)"
    if name.upper() == "CN":
        return f"payload type {number} is comfort noise for pauses (RFC 3389)"
    many = f", {channels[0]} channels" if channels and channels[0] != "1" else ""
    return f"payload type {number} is {name} at {rate} Hz{many}"


def _fmtp(value: str, names: dict[str, str]) -> str:
    number, parameters = value.split(None, 1)
    name = names.get(number, f"payload type {number}")
    if name.lower() == "telephone-event":
        return f"keys it understands, by number: {parameters} (0-9 are digits, 10 is *, 11 is #, 12-15 are A-D)"
    said = [_PARAMETERS.get(part.strip().lower(), part.strip()) for part in parameters.split(";") if part.strip()]
    return f"{name}: {', '.join(said)}"


_PARAMETERS: Final = {
    "useinbandfec=1": "repairs losses from the next packet (useinbandfec)",
    "useinbandfec=0": "no repair from the next packet (useinbandfec)",
    "usedtx=1": "sends nothing in pauses (usedtx)",
    "stereo=1": "stereo welcome",
    "stereo=0": "mono only",
    "annexb=no": "no silence suppression (annexb=no)",
    "annexb=yes": "silence suppression (annexb=yes)",
    "octet-align=1": "octet-aligned frames (octet-align)",
    "octet-align=0": "bandwidth-efficient frames (octet-align=0)",
    "mode=20": "frames of 20 ms",
    "mode=30": "frames of 30 ms",
}


def _rtcp(value: str, _names: dict[str, str]) -> str:
    words = value.split()
    where = f" of {words[3]}" if len(words) > 3 else ""
    return f"RTCP goes to port {words[0]}{where} (RFC 3605)"


def _crypto(value: str, _names: dict[str, str]) -> str:
    tag, suite = value.split()[:2]
    return f"key number {tag} for SRTP with {suite}: whoever reads this line can listen (RFC 4568)"


def _candidate(value: str, _names: dict[str, str]) -> str:
    words = value.split()
    kind = words[words.index("typ") + 1]
    use = {"1": "media", "2": "RTCP"}.get(words[1], f"component {words[1]}")
    return f"could be reached for {use} at {words[4]}:{words[5]} by {words[2].upper()}: {_CANDIDATES.get(kind, kind)}"


def _setup(value: str, _names: dict[str, str]) -> str:
    return _SETUP.get(value.lower(), "")


_Speak = Callable[[str, dict[str, str]], str]
_SPOKEN: Final[dict[str, _Speak]] = {
    "rtpmap": _rtpmap,
    "fmtp": _fmtp,
    "rtcp": _rtcp,
    "crypto": _crypto,
    "candidate": _candidate,
    "setup": _setup,
}
_LINES: Final[dict[str, _Speak]] = {
    "v": lambda value, _: "version of SDP" if value == "0" else f"version {value}, of which there is only 0",
    "o": _origin,
    "s": lambda value, _: "no name" if value in ("-", "") else f"the session is called {value}",
    "i": lambda value, _: f"about: {value}",
    "u": lambda value, _: f"more at {value}",
    "e": lambda value, _: f"e-mail {value}",
    "p": lambda value, _: f"telephone {value}",
    "c": _connection,
    "b": _bandwidth,
    "t": _timing,
    "k": lambda *_: "an encryption key, in a form that must not be used any more",
    "m": _media,
    "a": _attribute,
}
