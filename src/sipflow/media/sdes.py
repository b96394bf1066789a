"""SDES master keys as SDP carries them (RFC 4568, section 6.1)."""

import base64
import binascii
from dataclasses import dataclass
from typing import Final

from sipflow.wire.sdp import Crypto

_INLINE: Final = "inline:"
_WIDEST_MKI: Final = 128
# Parameters that change which bits of a packet are encrypted, and how (RFC 4568, section 6.3).
_CHANGING: Final = ("KDR", "UNENCRYPTED_SRTP", "UNAUTHENTICATED_SRTP", "FEC_ORDER", "FEC_KEY")


class UnusableKey(ValueError):
    """Keys that no packet can be decrypted with; the text says why, and never holds the key."""


@dataclass(frozen=True, slots=True)
class MasterKey:
    """One master key and salt of a crypto line.

    `lifetime` counts packets (None: the suite's own), `mki` is the octets that name the key in each packet.
    """

    octets: bytes
    lifetime: int | None = None
    mki: bytes = b""

    def __repr__(self) -> str:
        """Show everything but the key."""
        return f"MasterKey({len(self.octets)} octets, lifetime={self.lifetime}, mki={self.mki.hex()!r})"


def master_keys(crypto: Crypto, key_octets: int) -> tuple[MasterKey, ...]:
    """Read the keys of a line, each of `key_octets` (key and salt). Raises UnusableKey."""
    for parameter in crypto.parameters:
        name, _, value = parameter.partition("=")
        if name.upper() in _CHANGING and (name.upper(), value) != ("KDR", "0"):
            raise UnusableKey(f"{crypto.suite} with {name} is not decrypted here")
    if not crypto.keys:
        raise UnusableKey(f"{crypto.suite} without a key")
    return tuple(_master_key(crypto.suite, text, key_octets) for text in crypto.keys)


def _master_key(suite: str, text: str, key_octets: int) -> MasterKey:
    if not text.lower().startswith(_INLINE):
        raise UnusableKey(f"{suite}: the key method is not inline")
    encoded, *rest = text[len(_INLINE) :].split("|")
    try:
        octets = base64.b64decode(encoded + "=" * (-len(encoded) % 4), validate=True)
    except (binascii.Error, ValueError):
        raise UnusableKey(f"{suite}: the key is not base64") from None
    if len(octets) != key_octets:
        raise UnusableKey(f"{suite}: key and salt have {len(octets)} octets; {key_octets} are needed")
    lifetime, mki = None, b""
    for field in rest:
        if ":" in field:
            mki = _mki(suite, field)
        else:
            lifetime = _lifetime(suite, field)
    return MasterKey(octets, lifetime, mki)


def _mki(suite: str, field: str) -> bytes:
    value, _, length = field.partition(":")
    if not (value.isdecimal() and length.isdecimal() and len(length) <= 3 and 1 <= int(length) <= _WIDEST_MKI):
        raise UnusableKey(f"{suite}: MKI {field[:40]!r} is not number:length")
    try:
        return int(value[:400]).to_bytes(int(length))
    except OverflowError:
        raise UnusableKey(f"{suite}: MKI {field[:40]!r} does not fit its length") from None


def _lifetime(suite: str, field: str) -> int:
    number = field.removeprefix("2^")
    if not (number.isdecimal() and len(number) <= 15) or (number != field and int(number) > 48):
        raise UnusableKey(f"{suite}: lifetime {field[:40]!r} is neither a number nor 2^n")
    return int(number) if number == field else 1 << int(number)
