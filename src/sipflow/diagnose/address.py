"""Addresses that a message gives beside the one it comes from: NAT, and replies that go nowhere."""

import re
from collections.abc import Iterator
from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network
from typing import Final

from sipflow.diagnose.dialogue import Dialogue, Step
from sipflow.diagnose.fields import parameter
from sipflow.diagnose.words import label
from sipflow.media.finding import Finding, Severity

# RFC 1918, RFC 6598, loopback, link-local, RFC 4193. Not what the library calls private: that has 192.0.2.0/24 as well.
_PRIVATE: Final = tuple(map(ip_network, (
    "10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "100.64.0.0/10", "169.254.0.0/16", "127.0.0.0/8",
    "::1/128", "fc00::/7", "fe80::/10",
)))  # fmt: skip
_HOST: Final = re.compile(r"sips?:(?:[^@\s>;,]*@)?(\[[0-9A-Fa-f:.]+\]|[0-9.]+)", re.IGNORECASE)
_SENT_BY: Final = re.compile(r"SIP\s*/\s*2\.0\s*/\s*[A-Za-z]+\s+(\[[0-9A-Fa-f:.]+\]|[0-9.]+)", re.IGNORECASE)
_DIALOG: Final = frozenset({"INVITE", "UPDATE", "SUBSCRIBE", "REGISTER"})


def private_contact(dialogue: Dialogue) -> Iterator[Finding]:
    """Name a Contact that only its own network can reach, given from a public address."""
    told: set[tuple[str, str]] = set()
    for step in dialogue.steps:
        # A registrar lists the contacts of its user, not its own.
        if step.method not in _DIALOG or step.status >= 300 or (step.status and step.method == "REGISTER"):
            continue
        source = step.message.src.ip
        for value in step.fields.every("contact")[:1]:
            found = _HOST.search(value)
            contact = _address(found[1]) if found is not None else None
            if contact is None or not is_private(contact) or is_private(_address(source)):
                continue
            if (source, str(contact)) in told or step.fields.every("record-route"):
                continue
            told.add((source, str(contact)))
            yield Finding(
                "private-contact", Severity.WARNING,
                f"{label(step.head)} comes from {source} but gives {contact} as its Contact, which is private: ACK, "
                "BYE and later requests sent there do not arrive. Is NAT handled?",
                "RFC 3261 section 8.1.1.8; RFC 5626; RFC 1918", (step.time_us,),
            )  # fmt: skip


def nat_in_via(dialogue: Dialogue) -> Iterator[Finding]:
    """Name a sender that stands behind NAT: its Via gives another address than its packets have."""
    told: set[tuple[str, str]] = set()
    for step in dialogue.steps:
        if not step.head.is_request:
            continue
        via = step.fields.first("via")
        found = _SENT_BY.match(via)
        sent_by = _address(found[1]) if found is not None else None
        source = _address(step.message.src.ip)
        if sent_by is None or source is None or sent_by == source or source.is_unspecified:
            continue
        if (str(source), str(sent_by)) in told:
            continue
        told.add((str(source), str(sent_by)))
        yield _behind_nat(step, str(sent_by), str(source), rport=parameter(via, "rport") is not None)


def _behind_nat(step: Step, sent_by: str, source: str, *, rport: bool) -> Finding:
    return Finding(
        "nat", Severity.NOTE if rport else Severity.WARNING,
        f"{label(step.head)} comes from {source} while its Via says {sent_by}: the sender is behind NAT or has several "
        "addresses. " + ("It asks for rport, so responses find back." if rport else
                         "It does not ask for rport: responses go to the port it names, which NAT may not let in."),
        "RFC 3581 section 4; RFC 3261 section 18.2.1", (step.time_us,),
    )  # fmt: skip


def is_private(address: IPv4Address | IPv6Address | None) -> bool:
    """Tell whether an address is not routed in the public network."""
    if isinstance(address, IPv6Address) and address.ipv4_mapped is not None:
        address = address.ipv4_mapped
    return address is not None and any(
        address.version == network.version and address in network for network in _PRIVATE
    )


def _address(text: str) -> IPv4Address | IPv6Address | None:
    try:
        return ip_address(text.strip("[]"))
    except ValueError:
        return None
