"""What became of captured packets: offered = queued + sent + dropped, always."""

import os

import msgspec

from sipflow._fast import Outbox


class Drops(msgspec.Struct, frozen=True):
    """Packets that were not sent, by reason.

    `store_refused` found no room in the pool of a data root, `closed` were offered after the end, `forked` to a local
    capture in a child process, which must not write the parent's data root.
    """

    queue_full: int = 0
    too_large: int = 0
    send_failed: int = 0
    store_refused: int = 0
    closed: int = 0
    forked: int = 0

    @property
    def total(self) -> int:
        """Add all up."""
        return sum(msgspec.structs.astuple(self))


class NodeAccount(msgspec.Struct, frozen=True):
    """One node: packets and datagrams for it; `errors` counts refusals of the socket, `error` is the last in words.

    `received` is how many packets the node says it has of this client, None when it was not asked or did not answer.
    """

    name: str
    queued: int
    sent: int
    datagrams: int
    octets: int
    dropped: Drops
    errors: int
    error: str
    received: int | None = None


class Account(msgspec.Struct, frozen=True):
    """All of it. With two replicas each packet counts twice, once for each node."""

    queued: int
    sent: int
    datagrams: int
    dropped: Drops
    nodes: list[NodeAccount]


class Overseen(msgspec.Struct, frozen=True):
    """What others than the outbox know of a node: a fault in words, packets that arrived or that its pool refused."""

    name: str
    fault: str = ""
    received: int | None = None
    refused: int = 0


def account_of(outbox: Outbox, overseen: list[Overseen]) -> Account:
    """Add up an outbox with what else is known of each node."""
    nodes = [_node(one, known) for one, known in zip(outbox.sums(), overseen, strict=True)]
    reason, refused = outbox.refusals
    dropped = [sum(column) for column in zip(*(msgspec.structs.astuple(node.dropped) for node in nodes), strict=True)]
    return Account(
        sum(node.queued for node in nodes),
        sum(node.sent for node in nodes),
        sum(node.datagrams for node in nodes),
        msgspec.structs.replace(Drops(*dropped), **{reason: refused}),
        nodes,
    )


def _node(one: dict[str, int], known: Overseen) -> NodeAccount:
    return NodeAccount(
        known.name,
        one["queued"],
        one["sent"] - known.refused,
        one["datagrams"],
        one["octets"],
        Drops(one["full"], one["too_large"], one["lost"], known.refused),
        one["errors"],
        known.fault or (os.strerror(one["last_errno"]) if one["last_errno"] else ""),
        known.received,
    )
