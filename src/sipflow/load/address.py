"""Addresses with holes: as text, as the two ends of a frame, and as one call has them."""

from dataclasses import dataclass

from sipflow.load.hole import Field, Holes, Patch, Stamp, is_hole, template
from sipflow.wire.endpoint import Endpoint


@dataclass(frozen=True)
class Address:
    """An IP address and a port, either of which may have holes: whole parts of an IPv4 address, the last of an IPv6."""

    ip: str
    port: str

    @property
    def family(self) -> int:
        """Give 4 or 6."""
        return 6 if ":" in self.ip else 4

    def endpoint(self, stamp: Stamp) -> Endpoint:
        """Give the address of one call."""
        return Endpoint(stamp.fill(self.ip), int(stamp.fill(self.port)))

    def lowest(self, fields: list[Field]) -> Endpoint:
        """Give an address of this form, whichever call has it."""
        return Endpoint(template(self.ip, fields)[0].decode(), int(template(self.port, fields)[0]))

    def patches(self, holes: Holes, ip_at: int, port_at: int) -> list[Patch]:
        """Make the holes of the address where it stands in a frame, in octets: the IP address, and the port."""
        size, parts = (16, self.ip.rsplit(":", 1)[1:]) if self.family == 6 else (4, self.ip.split("."))
        width = 2 if self.family == 6 else 1
        first = ip_at + size - width * len(parts)
        found = [Patch(first + width * i, holes.binary(part, width)) for i, part in enumerate(parts) if is_hole(part)]
        if is_hole(self.port):
            found.append(Patch(port_at, holes.binary(self.port, 2)))
        return found
