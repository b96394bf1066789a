"""An IP address and a port, and how they are written."""

from functools import lru_cache
from ipaddress import ip_address
from socket import AF_INET, AF_INET6, inet_ntop
from typing import NamedTuple


class Endpoint(NamedTuple):
    """One end of a packet: an address in text and a port. IPv6 addresses carry no brackets here."""

    ip: str
    port: int

    def __str__(self) -> str:
        """Write as ip:port, IPv6 in brackets (RFC 3986, section 3.2.2)."""
        return f"[{self.ip}]:{self.port}" if ":" in self.ip else f"{self.ip}:{self.port}"

    @property
    def family(self) -> int:
        """Tell the family as the wire format numbers it: 4 or 6."""
        return 6 if ":" in self.ip else 4

    @property
    def packed(self) -> bytes:
        """Give the address in network order: 4 or 16 octets."""
        return ip_address(self.ip).packed


UNSPECIFIED = Endpoint("0.0.0.0", 0)  # noqa: S104 - a value that means "unknown", nothing binds it


# Written as the C core writes them into the index, whatever ipaddress makes of mapped addresses.
# The same few endpoints stand in every message; the text of an address takes ten times as long to make.
@lru_cache(maxsize=65536)
def from_packed(ip: bytes, port: int) -> Endpoint:
    """Build an endpoint from 4 or 16 octets in network order."""
    return Endpoint(inet_ntop(AF_INET if len(ip) == 4 else AF_INET6, ip), port)


def parse_endpoint(text: str) -> Endpoint:
    """Read ip:port or [ip]:port; a bare IPv6 address before the last colon is accepted. Raises ValueError."""
    host, colon, port = text.rpartition(":")
    if not colon or not port.isascii() or not port.isdigit() or int(port) > 65535:
        raise ValueError(f"not an address and port: {text!r}; allowed: 192.0.2.1:5060 or [2001:db8::1]:5060")
    bare = host[1:-1] if host.startswith("[") and host.endswith("]") else host
    try:
        return Endpoint(str(ip_address(bare)), int(port))
    except ValueError:
        raise ValueError(
            f"not an IP address: {host!r} in {text!r}; allowed: 192.0.2.1:5060 or [2001:db8::1]:5060"
        ) from None
