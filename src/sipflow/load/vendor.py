"""Invented makers of telephones: each writes SIP in its own hand."""

from dataclasses import dataclass

from sipflow.load.hole import Holes

_COMPACT = {  # RFC 3261, section 20; RFC 4028
    "Via": "v",
    "From": "f",
    "To": "t",
    "Call-ID": "i",
    "Contact": "m",
    "Content-Type": "c",
    "Content-Length": "l",
    "Supported": "k",
}


@dataclass(frozen=True)
class Vendor:
    """A maker and its habits.

    `codecs` are payload types in the order offered, `also` those it can do and never gets; `packet_ms` is the packet
    time it sends, `compact` whether it writes short header names, `suppresses` whether it is silent while its user is,
    `call_ids` the form of its Call-IDs, `instance` whether its contacts name the device (RFC 5626).
    """

    agent: str
    codecs: tuple[int, ...]
    packet_ms: int
    allow: str
    call_ids: str = "uuid"
    compact: bool = False
    suppresses: bool = False
    session: str = "-"
    rport: bool = True
    also: tuple[int, ...] = (9, 18)
    instance: bool = True
    supported: str = "replaces, timer, path, outbound, histinfo, norefersub"

    def header(self, name: str) -> str:
        """Write a header's name as this vendor does."""
        return _COMPACT.get(name, name) if self.compact else name

    def call_id(self, holes: Holes, host: str) -> str:
        """Make up a Call-ID."""
        if self.call_ids == "uuid":  # version 4 (RFC 9562, section 5.4)
            return f"{holes.hex(8)}-{holes.hex(4)}-4{holes.hex(3)}-a{holes.hex(3)}-{holes.hex(12)}"
        if self.call_ids == "host":
            return f"{holes.hex(16)}@{host}"
        return "-".join(holes.decimal(0, 10**digits, width=digits) for digits in (9, 5, 2)) + f"@{host}"

    def tag(self, holes: Holes) -> str:
        """Make up a tag, at least 32 random bits (RFC 3261, section 19.3)."""
        return f"as{holes.hex(8)}" if self.compact else holes.hex(12)


TELEPHONES = (
    Vendor("Larkphone L40/5.2.1.88", (0, 8), 20, "INVITE, ACK, CANCEL, BYE, OPTIONS, INFO, NOTIFY", session="Lark"),
    Vendor("Quill-Desk Q300 3.0.4", (8, 0), 20, "INVITE,ACK,OPTIONS,CANCEL,BYE,REFER,NOTIFY", "host", session="Quill"),
    Vendor(
        "Mossbell Softphone 2.11 (windows)",
        (0, 8),
        20,
        "ACK, BYE, CANCEL, INVITE, OPTIONS",
        suppresses=True,
        also=(9, 3, 97),
    ),
    Vendor("Tarnhelm-GW/7.4.0", (8,), 30, "INVITE,BYE,CANCEL,ACK,PRACK,UPDATE,OPTIONS", "number", session="TarnhelmGW"),
    Vendor(
        "ostler-ua 1.9",
        (0,),
        20,
        "INVITE,ACK,BYE,CANCEL,OPTIONS",
        "host",
        compact=True,
        rport=False,
        also=(),
        instance=False,
        supported="timer",
    ),
    Vendor("Pennywhistle ATA PW-2/1.0.37", (0, 8), 10, "INVITE, ACK, BYE, CANCEL, OPTIONS, INFO", "number"),
    Vendor("Heron Video 9.1.2", (8, 0), 40, "INVITE, ACK, BYE, CANCEL, OPTIONS, UPDATE, MESSAGE", session="call"),
    Vendor("BarnOwl DECT 12.60.1", (8, 0), 60, "INVITE,ACK,CANCEL,BYE,OPTIONS,INFO,REFER", "host", session="BarnOwl"),
)
EXCHANGE = Vendor(
    "Wherry PBX 4.3.0",
    (0, 8),
    20,
    "INVITE, ACK, BYE, CANCEL, OPTIONS, REGISTER, REFER, NOTIFY, INFO",
    session="Wherry",
    instance=False,
    supported="timer, path, replaces",
)
