"""Names in place of names: every number, user, host and address of an export replaced, the same ones by the same.

Made by HMAC-SHA-256 under a key of the export, so that nobody can go back, or compare two exports, without it.
"""

import hashlib
import hmac
import re
from collections.abc import Callable
from ipaddress import IPv4Address, IPv6Address, IPv6Network, ip_address
from typing import Final

_DIGITS: Final = "0123456789"
_LETTERS: Final = "abcdefghijkmnpqrstuvwxyz"
_TRIES_MAX: Final = 1000
# RFC 5737 and, where those are used up, RFC 2544; RFC 3849.
_NETWORKS: Final = (("192.0.2.0", 256), ("198.51.100.0", 256), ("203.0.113.0", 256))
_MORE: Final = (int(IPv4Address("198.18.0.0")), 1 << 17)
_DOCUMENTATION_6: Final = IPv6Network("2001:db8::/32")
_NUMBER: Final = re.compile(r"[+*#]?[0-9][0-9*#().\-]*\Z", re.ASCII)


class Pseudonyms:
    """Gives pseudonyms: within one object the same text always has the same, and two texts never share one."""

    def __init__(self, key: bytes) -> None:
        """Take the secret of an export, best 16 random octets or more."""
        self._key = key
        self._given: dict[tuple[str, str], str] = {}
        self._taken: set[tuple[str, str]] = set()

    def user(self, name: str) -> str:
        """Replace the user of an address: a number by a number of the same form, any other name by letters."""
        return self.number(name) if _NUMBER.match(name) else self.word(name)

    def number(self, text: str) -> str:
        """Replace each digit; everything else, the number of digits and leading zeros stay."""
        digits = "".join(char for char in text if char in _DIGITS)
        new = iter(self._pseudonym("number", digits, lambda stream: _renumbered(digits, stream)))
        return "".join(next(new) if char in _DIGITS else char for char in text)

    def word(self, text: str) -> str:
        """Replace a name or token by letters and digits of the same kind, at least 4, at most 32 of them."""
        if not text:
            return text
        count = min(max(len(text), 4), 32)
        return self._pseudonym(
            "word", text, lambda stream: "".join(_LETTERS[n % len(_LETTERS)] for n in stream[:count])
        )

    def host(self, name: str) -> str:
        """Replace a host: an address by one for documentation, a name by one below example.com."""
        bare = name[1:-1] if name.startswith("[") and name.endswith("]") else name
        try:
            ip_address(bare)
        except ValueError:
            if not name:
                return name
            lower = name.lower()
            return self._pseudonym("host", lower, lambda stream: f"h{_hex(stream, 6)}.example.com")
        address = self.address(bare)
        return f"[{address}]" if bare != name else address

    def address(self, text: str) -> str:
        """Replace an IP address; 0.0.0.0 and loopback, which name nobody, stay. Gives back what is no address."""
        try:
            parsed = ip_address(text)
        except ValueError:
            return text
        if parsed.is_unspecified or parsed.is_loopback:
            return text
        make = _documentation_4 if isinstance(parsed, IPv4Address) else _documentation_6
        return self._pseudonym("address", str(parsed), make)

    def is_pseudonym(self, address: str) -> bool:
        """Tell an address that stands for another."""
        return ("address", address) in self._taken

    def _pseudonym(self, kind: str, text: str, make: Callable[[bytes], str]) -> str:
        known = self._given.get((kind, text))
        if known is not None:
            return known
        for turn in range(_TRIES_MAX):
            found = make(self._stream(kind, text, turn))
            if (kind, found) not in self._taken:
                break
        self._taken.add((kind, found))
        self._given[kind, text] = found
        return found

    def _stream(self, kind: str, text: str, turn: int) -> bytes:
        """Give 64 octets that nobody can foretell without the key; `turn` above 0 after a collision."""
        message = f"{kind}\0{turn}\0{text}".encode("utf-8", "surrogatepass")
        first = hmac.digest(self._key, message, hashlib.sha256)
        # Once everything short is taken, what comes of later turns may be longer: see _documentation_4.
        return first + hmac.digest(self._key, first, hashlib.sha256)[:31] + bytes([min(turn, 255)])


def _renumbered(digits: str, stream: bytes) -> str:
    """Choose as many digits; the zeros in front, which mean trunk and country, stay, and the next digit is none."""
    zeros = len(digits) - len(digits.lstrip("0"))
    rest = [stream[place % 63] for place in range(len(digits) - zeros)]
    return "0" * zeros + "".join(_DIGITS[value % 10 if place else 1 + value % 9] for place, value in enumerate(rest))


def _hex(stream: bytes, count: int) -> str:
    return stream.hex()[:count]


def _documentation_4(stream: bytes) -> str:
    value = int.from_bytes(stream[:4], "big")
    if stream[-1] < 200:  # tries before the small networks count as full
        network, size = _NETWORKS[value % 3]
        return str(IPv4Address(int(IPv4Address(network)) + 1 + (value // 3) % (size - 2)))
    base, size = _MORE
    return str(IPv4Address(base + value % size))


def _documentation_6(stream: bytes) -> str:
    host = int.from_bytes(stream[:8], "big")
    return str(IPv6Address(int(_DOCUMENTATION_6.network_address) + host))
