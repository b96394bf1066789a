"""Invented makers of telephones: each writes SIP in its own hand."""

import random
import uuid
from dataclasses import dataclass

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

    `codecs` are payload types in the order offered, `packet_ms` the packet time it sends, `compact` whether it writes
    short header names, `suppresses` whether it is silent while its user is, `call_ids` the form of its Call-IDs.
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

    def header(self, name: str) -> str:
        """Write a header's name as this vendor does."""
        return _COMPACT.get(name, name) if self.compact else name

    def call_id(self, rng: random.Random, host: str) -> str:
        """Make up a Call-ID."""
        if self.call_ids == "uuid":
            return str(uuid.UUID(int=rng.getrandbits(128), version=4))
        if self.call_ids == "host":
            return f"{rng.getrandbits(64):016x}@{host}"
        return f"{rng.randrange(10**9):09d}-{rng.randrange(10**5):05d}-{rng.randrange(100)}@{host}"

    def tag(self, rng: random.Random) -> str:
        """Make up a tag, at least 32 random bits (RFC 3261, section 19.3)."""
        return f"as{rng.getrandbits(32):08x}" if self.compact else f"{rng.getrandbits(48):012x}"


TELEPHONES = (
    Vendor("Larkphone L40/5.2.1.88", (0, 8), 20, "INVITE, ACK, CANCEL, BYE, OPTIONS, INFO, NOTIFY", session="Lark"),
    Vendor("Quill-Desk Q300 3.0.4", (8, 0), 20, "INVITE,ACK,OPTIONS,CANCEL,BYE,REFER,NOTIFY", "host", session="Quill"),
    Vendor("Mossbell Softphone 2.11 (windows)", (0, 8), 20, "ACK, BYE, CANCEL, INVITE, OPTIONS", suppresses=True),
    Vendor("Tarnhelm-GW/7.4.0", (8,), 30, "INVITE,BYE,CANCEL,ACK,PRACK,UPDATE,OPTIONS", "number", session="TarnhelmGW"),
    Vendor("ostler-ua 1.9", (0,), 20, "INVITE,ACK,BYE,CANCEL,OPTIONS", "host", compact=True, rport=False),
    Vendor("Pennywhistle ATA PW-2/1.0.37", (0, 8), 10, "INVITE, ACK, BYE, CANCEL, OPTIONS, INFO", "number"),
    Vendor("Heron Video 9.1.2", (8, 0), 40, "INVITE, ACK, BYE, CANCEL, OPTIONS, UPDATE, MESSAGE", session="call"),
    Vendor("BarnOwl DECT 12.60.1", (8, 0), 60, "INVITE,ACK,CANCEL,BYE,OPTIONS,INFO,REFER", "host", session="BarnOwl"),
)
EXCHANGE = Vendor(
    "Wherry PBX 4.3.0", (0, 8), 20, "INVITE, ACK, BYE, CANCEL, OPTIONS, REGISTER, REFER, NOTIFY, INFO", session="Wherry"
)
