"""The two ends of a call: the telephone that calls and the exchange that it calls through."""

import random
from dataclasses import dataclass, replace

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
        caller = telephone(rng, holes, TELEPHONES[variant % len(TELEPHONES)], ipv6=ipv6)
        called = rng.choice(
            (
                holes.decimal(1000, 9000),
                f"+49301{holes.decimal(0, 10**6, width=6)}",
                f"00{holes.decimal(0, 10**9, width=9)}",
            )
        )
        exchange = exchange_for(rng, holes, called, ipv6=ipv6)
        call_id = caller.vendor.call_id(holes, caller.host.strip("[]"))
        return cls(caller, exchange, called, call_id, holes.hex(12))

    @classmethod
    def joined(cls, rng: random.Random, holes: Holes, other: "Parties", variant: int, *, ipv6: bool) -> "Parties":
        """Cast a dialog of the same call: the exchange calls another telephone on behalf of the first caller."""
        phone = telephone(rng, holes, TELEPHONES[variant % len(TELEPHONES)], ipv6=ipv6)
        exchange = replace(
            exchange_for(rng, holes, other.caller.user, ipv6=ipv6),
            name=other.caller.name,
        )
        call_id = EXCHANGE.call_id(holes, exchange.host.strip("[]"))
        return cls(exchange, phone, phone.user, call_id, other.charging)

    @classmethod
    def consulting(cls, holes: Holes, other: "Parties", phone: Party) -> "Parties":
        """Cast a second call of the same telephone, to another one, with tags and ports of its own."""
        caller = replace(
            other.caller,
            media=Address(other.caller.media.ip, holes.decimal(50_000, 5_000, step=2)),
            tag=other.caller.vendor.tag(holes),
        )
        called = replace(
            phone,
            media=Address(phone.media.ip, holes.decimal(40_000, 5_000, step=2)),
            tag=phone.vendor.tag(holes),
        )
        call_id = caller.vendor.call_id(holes, caller.host.strip("[]"))
        return cls(caller, called, phone.user, call_id, holes.hex(12))


def telephone(rng: random.Random, holes: Holes, vendor: Vendor, *, ipv6: bool) -> Party:
    """Cast a telephone of the network."""
    if ipv6:
        ip = f"2001:db8:20::{holes.hex_number(0x1000, 0xE000)}"
    else:
        ip = f"10.20.{'.'.join(holes.decimal(*rng.choice((_TENS, _HUNDREDS))) for _ in range(2))}"
    return Party(
        user=holes.decimal(1000, 9000),
        name=f"{rng.choice(_GIVEN_NAMES)} {rng.choice(_FAMILY_NAMES)}",
        vendor=vendor,
        signalling=Address(ip, rng.choice(("5060", "5060", "5062", holes.decimal(20_000, 40_000)))),
        media=Address(ip, holes.decimal(10_000, 10_000, step=2)),
        tag=vendor.tag(holes),
    )


def exchange_for(rng: random.Random, holes: Holes, user: str, *, ipv6: bool) -> Party:
    """Cast the exchange, as it stands for `user`."""
    relay_ip = f"2001:db8:1::2{rng.randrange(4)}" if ipv6 else f"192.0.2.2{rng.randrange(4)}"
    return Party(
        user=user,
        name="",
        vendor=EXCHANGE,
        signalling=Address("2001:db8:1::10" if ipv6 else "192.0.2.10", "5060"),
        media=Address(relay_ip, holes.decimal(30_000, 15_000, step=2)),
        tag=EXCHANGE.tag(holes),
    )
