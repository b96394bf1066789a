"""The two ends of a call: the telephone that calls and the exchange that it calls through."""

import random
from dataclasses import dataclass

from sipflow.load.address import Address
from sipflow.load.hole import Holes
from sipflow.load.vendor import EXCHANGE, TELEPHONES, Vendor

DOMAIN = "wherry.example"
REALM = "wherry"

_FAMILY_NAMES = ("Aalto", "Brandt", "Costa", "Dvořák", "Eriksen", "Fontaine", "Grieve", "Hollis", "Ilves", "Jansen")
_GIVEN_NAMES = ("Ada", "Bruno", "Clara", "Dov", "Elif", "Finn", "Gaia", "Hana", "Ivo", "June", "Karel", "Lena")
_TENS, _HUNDREDS = (10, 90), (100, 134)  # octets of an address, by how many digits they have


@dataclass(frozen=True)
class Party:
    """One end: who it is, what it runs, where it signals and where it sends and receives audio."""

    user: str
    name: str
    vendor: Vendor
    signalling: Address
    media: Address
    tag: str

    @property
    def host(self) -> str:
        """Give the address as a URI or Via writes it, IPv6 in brackets."""
        return f"[{self.signalling.ip}]" if self.signalling.family == 6 else self.signalling.ip


@dataclass(frozen=True)
class Parties:
    """Everything about a call that does not depend on its course, with holes for what is each call's own."""

    caller: Party
    exchange: Party
    called: str
    call_id: str
    charging: str

    @classmethod
    def cast(cls, rng: random.Random, holes: Holes, variant: int, *, ipv6: bool = False) -> "Parties":
        """Cast the calls of a mould: a telephone of the network calls someone through the exchange."""
        vendor = TELEPHONES[variant % len(TELEPHONES)]
        if ipv6:
            phone_ip = f"2001:db8:20::{holes.hex_number(0x1000, 0xE000)}"
        else:
            phone_ip = f"10.20.{'.'.join(holes.decimal(*rng.choice((_TENS, _HUNDREDS))) for _ in range(2))}"
        exchange_ip = "2001:db8:1::10" if ipv6 else "192.0.2.10"
        relay_ip = f"2001:db8:1::2{rng.randrange(4)}" if ipv6 else f"192.0.2.2{rng.randrange(4)}"
        caller = Party(
            user=holes.decimal(1000, 9000),
            name=f"{rng.choice(_GIVEN_NAMES)} {rng.choice(_FAMILY_NAMES)}",
            vendor=vendor,
            signalling=Address(phone_ip, rng.choice(("5060", "5060", "5062", holes.decimal(20_000, 40_000)))),
            media=Address(phone_ip, holes.decimal(10_000, 10_000, step=2)),
            tag=vendor.tag(holes),
        )
        called = rng.choice(
            (
                holes.decimal(1000, 9000),
                f"+49301{holes.decimal(0, 10**6, width=6)}",
                f"00{holes.decimal(0, 10**9, width=9)}",
            )
        )
        exchange = Party(
            user=called,
            name="",
            vendor=EXCHANGE,
            signalling=Address(exchange_ip, "5060"),
            media=Address(relay_ip, holes.decimal(30_000, 15_000, step=2)),
            tag=EXCHANGE.tag(holes),
        )
        call_id = vendor.call_id(holes, caller.host.strip("[]"))
        return cls(caller, exchange, called, call_id, holes.hex(12))
