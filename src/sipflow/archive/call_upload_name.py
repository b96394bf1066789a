"""Names of the files of single calls, as RustPBX gives them; a Call-ID may hold anything, a name may not."""

import hashlib
from typing import Final, Literal, NamedTuple

from sipflow.clock import to_datetime

Kind = Literal["media", "signaling"]
KINDS: Final[tuple[Kind, ...]] = ("media", "signaling")
SUFFIXES: Final[dict[Kind, str]] = {"media": ".wav", "signaling": ".jsonl"}
# Left as they are: letters, digits, and these. Slashes make directories, the rest has a meaning to some store.
_PLAIN: Final = frozenset(b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_.@+=:,;!$&'() ")
# File systems take names of 255 octets; the suffix needs some.
_LONGEST: Final = 200


class CallName(NamedTuple):
    """Where a file of a call goes: its key below the root, and the name it bears."""

    key: str
    file: str


def name_of(call_id: str, start_us: int, kind: Kind) -> CallName:
    """Name a file of a call: YYYYMMDD/CALLID.wav by the UTC date of its beginning, as RustPBX does.

    What a key cannot hold is written as %XX, and a name that is too long ends in a hash, so that two calls never share
    one.
    """
    file = plain(call_id) + SUFFIXES[kind]
    return CallName(f"{to_datetime(start_us):%Y%m%d}/{file}", file)


def plain(call_id: str) -> str:
    """Write a Call-ID as a name of a file."""
    octets = call_id.encode("utf-8", "surrogatepass")
    text = "".join(chr(octet) if octet in _PLAIN else f"%{octet:02X}" for octet in octets)
    if len(text) <= _LONGEST:
        return text
    return f"{text[: _LONGEST - 33]}-{hashlib.blake2b(octets, digest_size=16).hexdigest()}"
