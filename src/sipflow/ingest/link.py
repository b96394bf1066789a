"""From a frame of any supported link type to the IP packet in it."""

from collections.abc import Callable

from sipflow.ingest.frame import Refusal

ETHERNET, NULL, RAW, LOOP = 1, 0, 101, 108
COOKED, COOKED_2 = 113, 276
IPV4, IPV6 = 228, 229

_ETHER_IP4, _ETHER_IP6 = 0x0800, 0x86DD
_ETHER_TAGS = frozenset({0x8100, 0x88A8, 0x9100, 0x9200})
_ETHER_PPPOE = 0x8864
# Ethernet's type field holds a length below this (IEEE 802.3, section 3.2.6).
_ETHER_TYPE_MIN = 0x0600
# What the many BSDs call AF_INET6.
_FAMILIES = frozenset({2, 10, 24, 28, 30})
TAGS_MAX = 8


def find_ip(link: int, data: bytes) -> int | Refusal:
    """Find where the IP packet of a frame begins [octets]; a Refusal when there is none or the link is unknown."""
    step = _LINKS.get(link)
    if step is None:
        return Refusal("link_type", f"link type {link}; supported: {SUPPORTED}")
    return step(data)


def _number(data: bytes, at: int) -> int:
    return int.from_bytes(data[at : at + 2], "big")


def _version(data: bytes, at: int) -> int | Refusal:
    if len(data) <= at:
        return Refusal("bad_frame", f"{len(data)} octets are too few for the link header")
    return at if data[at] >> 4 in (4, 6) else Refusal("not_ip", f"IP version {data[at] >> 4}")


def _by_type(data: bytes, kind: int, at: int) -> int | Refusal:
    """Go on at `at` by the type of Ethernet, through VLAN tags (802.1Q, 802.1ad) and PPPoE (RFC 2516)."""
    for _ in range(TAGS_MAX):
        if len(data) < at:
            return Refusal("bad_frame", f"{len(data)} octets are too few for the link header")
        if kind in (_ETHER_IP4, _ETHER_IP6):
            return at
        if kind in _ETHER_TAGS:
            kind, at = _number(data, at + 2), at + 4
        elif kind == _ETHER_PPPOE:
            return _ppp(data, at + 6)
        elif kind < _ETHER_TYPE_MIN and data[at : at + 6] == b"\xaa\xaa\x03\x00\x00\x00":
            # LLC with SNAP (RFC 1042): the type follows.
            kind, at = _number(data, at + 6), at + 8
        else:
            return Refusal("not_ip", f"type 0x{kind:04x}")
    return Refusal("bad_frame", f"more than {TAGS_MAX} tags")


def _ppp(data: bytes, at: int) -> int | Refusal:
    # RFC 1661, section 2: an odd first octet is a protocol number squeezed into one.
    if len(data) <= at + 1:
        return Refusal("bad_frame", f"{len(data)} octets are too few for the link header")
    wide = not data[at] & 1
    protocol = _number(data, at) if wide else data[at]
    if protocol not in (0x21, 0x57):
        return Refusal("not_ip", f"PPP protocol 0x{protocol:04x}")
    return at + 2 if wide else at + 1


def _ethernet(data: bytes) -> int | Refusal:
    return _by_type(data, _number(data, 12), 14)


def _cooked(data: bytes) -> int | Refusal:
    return _by_type(data, _number(data, 14), 16)


def _cooked_2(data: bytes) -> int | Refusal:
    return _by_type(data, _number(data, 0), 20)


def _raw(data: bytes) -> int | Refusal:
    return _version(data, 0)


def _null(data: bytes) -> int | Refusal:
    # In the byte order of the machine that captured.
    family = {int.from_bytes(data[:4], "little"), int.from_bytes(data[:4], "big")}
    return _version(data, 4) if family & _FAMILIES else Refusal("not_ip", f"family {data[:4].hex()}")


_LINKS: dict[int, Callable[[bytes], int | Refusal]] = {
    NULL: _null,
    ETHERNET: _ethernet,
    12: _raw,
    14: _raw,
    RAW: _raw,
    LOOP: _null,
    COOKED: _cooked,
    IPV4: _raw,
    IPV6: _raw,
    COOKED_2: _cooked_2,
}
SUPPORTED = "Ethernet 1, loopback 0 and 108, raw IP 12, 14, 101, 228 and 229, Linux cooked 113 and 276"
