"""The two ends of a call: the telephone that calls and the exchange that it calls through."""

import random
from dataclasses import dataclass

from sipflow.load.vendor import EXCHANGE, TELEPHONES, Vendor
from sipflow.wire.endpoint import Endpoint

DOMAIN = "wherry.example"
REALM = "wherry"

_FAMILY_NAMES = ("Aalto", "Brandt", "Costa", "Dvořák", "Eriksen", "Fontaine", "Grieve", "Hollis", "Ilves", "Jansen")
_GIVEN_NAMES = ("Ada", "Bruno", "Clara", "Dov", "Elif", "Finn", "Gaia", "Hana", "Ivo", "June", "Karel", "Lena")


@dataclass(frozen=True)
class Party:
    """One end: who it is, what it runs, where it signals and where it sends and receives audio."""

    user: str
    name: str
    vendor: Vendor
    signalling: Endpoint
    media: Endpoint
    tag: str

    @property
    def host(self) -> str:
        """Give the address as a URI or Via writes it, IPv6 in brackets."""
        return f"[{self.signalling.ip}]" if self.signalling.family == 6 else self.signalling.ip


@dataclass(frozen=True)
class Parties:
    """Everything about a call that does not depend on its course."""

    caller: Party
    exchange: Party
    called: str
    call_id: str
    password: str

    @classmethod
    def draw(cls, rng: random.Random, *, ipv6: bool = False) -> "Parties":
        """Cast a call: a telephone of the network calls someone through the exchange."""
        vendor = rng.choice(TELEPHONES)
        station = rng.randrange(1, 60_000)
        phone_ip = f"2001:db8:20::{station:x}" if ipv6 else f"10.20.{station >> 8}.{station & 255}"
        exchange_ip = "2001:db8:1::10" if ipv6 else "192.0.2.10"
        relay_ip = f"2001:db8:1::2{rng.randrange(4)}" if ipv6 else f"192.0.2.2{rng.randrange(4)}"
        caller = Party(
            user=str(rng.randrange(1000, 9999)),
            name=f"{rng.choice(_GIVEN_NAMES)} {rng.choice(_FAMILY_NAMES)}",
            vendor=vendor,
            signalling=Endpoint(phone_ip, rng.choice((5060, 5060, 5062, rng.randrange(20_000, 60_000)))),
            media=Endpoint(phone_ip, rng.randrange(10_000, 30_000, 2)),
            tag=vendor.tag(rng),
        )
        called = rng.choice(
            (str(rng.randrange(1000, 9999)), f"+49301{rng.randrange(10**6):06d}", f"00{rng.randrange(10**9):09d}")
        )
        exchange = Party(
            user=called,
            name="",
            vendor=EXCHANGE,
            signalling=Endpoint(exchange_ip, 5060),
            media=Endpoint(relay_ip, rng.randrange(30_000, 60_000, 2)),
            tag=EXCHANGE.tag(rng),
        )
        return cls(caller, exchange, called, vendor.call_id(rng, caller.host.strip("[]")), f"{rng.getrandbits(40):x}")
