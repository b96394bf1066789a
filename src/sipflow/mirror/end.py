"""The ends of a packet as programs name them."""

from typing import TypeAlias

from sipflow.wire.endpoint import UNSPECIFIED, Endpoint, parse_endpoint

# None: unknown, which frames write as 0.0.0.0:0.
EndpointLike: TypeAlias = Endpoint | tuple[str, int] | str | None


def endpoint_of(end: EndpointLike) -> Endpoint:
    """Read an end: ("192.0.2.1", 5060), "192.0.2.1:5060", "[2001:db8::1]:5060". Raises ValueError."""
    if end is None:
        return UNSPECIFIED
    if isinstance(end, str):
        return parse_endpoint(end)
    ip, port = end
    if not 0 <= port <= 65535:
        raise ValueError(f"port: found {port}; allowed: 0 to 65535")
    return Endpoint(ip.strip("[]"), port)
