"""Which node of a cluster stores a call: jump consistent hash of the Call-ID.

Bit-exact with what RustPBX senders compute (Lamping and Veach, "A Fast, Minimal Memory, Consistent Hash Algorithm",
with a base-31 polynomial as the seed), because every party must pick the same node for the same ordered node list.

A cluster is an ordered list of slots, each with the name of a node; the place in the list is what is hashed to, the
name is what people see. A slot whose node was taken away stays in the list, empty, so that no other call moves: its
calls go on to further slots, tried in an order that each call has of its own (`Placement.owners`).
"""

from collections.abc import Iterator, Sequence

_MASK = (1 << 64) - 1
_LCG = 2862933555777941757
_GOLDEN = 0x9E3779B97F4A7C15

REMOVED = "-"
REPLICAS_MAX = 2


def node_index(call_id: str, nodes: int) -> int:
    """Pick the node, 0 to nodes - 1, that stores `call_id`. Raises ValueError when there is no node."""
    if nodes < 1:
        raise ValueError(f"nodes: found {nodes}; allowed: 1 or more")
    return _jump(_seed(call_id), nodes)


class Placement:
    """The slots of a cluster, and which nodes keep a call.

    With every slot taken the first owner is `node_index`, as every RustPBX sender computes it.
    """

    def __init__(self, slots: Sequence[str | None], replicas: int = 1) -> None:
        """Take the names of the nodes in the order of their slots, None for a node that was taken away.

        `replicas` is how many nodes keep each call, 1 or 2. Raises ValueError: no node at all, a name twice.
        """
        self.slots = tuple(slots)
        self.replicas = replicas
        names = [name for name in self.slots if name is not None]
        if not names:
            raise ValueError("nodes: found none; allowed: one or more")
        for name in names:
            if not name or name == REMOVED or names.count(name) > 1:
                raise ValueError(f'nodes: found {name!r}; allowed: each name once, "{REMOVED}" for a removed node')
        if not 1 <= replicas <= REPLICAS_MAX:
            raise ValueError(f"replicas: found {replicas}; allowed: 1 or {REPLICAS_MAX}")
        self._alive = len(names)

    @classmethod
    def parse(cls, text: str, replicas: int = 1) -> "Placement":
        """Read names between commas, `-` for a slot whose node was taken away. Raises ValueError."""
        names = [name.strip() for name in text.split(",")]
        return cls([None if name == REMOVED else name for name in names], replicas)

    def owners(self, call_id: str) -> tuple[str, ...]:
        """Name the nodes that keep a call, the first owner first: as many as `replicas`, or as there are."""
        return tuple(name for name in map(self.slots.__getitem__, self.owner_slots(call_id)) if name is not None)

    def owner_slots(self, call_id: str) -> tuple[int, ...]:
        """Give the slots of the nodes that keep a call, the first owner first."""
        if self.replicas == 1 and self._alive == len(self.slots):
            return (node_index(call_id, len(self.slots)),)
        wanted = min(self.replicas, self._alive)
        owners: list[int] = []
        for slot in self.tried(call_id):
            if self.slots[slot] is not None and slot not in owners:
                owners.append(slot)
                if len(owners) == wanted:
                    break
        return tuple(owners)

    def tried(self, call_id: str) -> Iterator[int]:
        """Give the slots that a call tries, the first by `node_index`; every slot comes up, some several times.

        Try k > 0 is a jump hash as well, of the seed mixed with k (Steele, Lea and Flood, "Fast Splittable
        Pseudorandom Number Generators", the finalizer of SplitMix64), so that a slot which is added or emptied moves
        only calls that it takes or had.
        """
        seed, slots = _seed(call_id), len(self.slots)
        # What so many tries leave out (of 100 slots one in e^10) comes up after them, in order.
        for k in range(10 * slots):
            yield _jump(_mixed(seed + k * _GOLDEN) if k else seed, slots)
        yield from range(slots)


def _seed(call_id: str) -> int:
    seed = 0
    for octet in call_id.encode():
        seed = (seed * 31 + octet) & _MASK
    return seed


def _jump(state: int, nodes: int) -> int:
    bucket, jump = 0, 0
    while jump < nodes:
        bucket = jump
        state = (state * _LCG + 1) & _MASK
        # Product first, then the division: the order decides the low bits of the double.
        jump = int(float(bucket + 1) * 2147483648.0 / float((state >> 33) + 1))
    return bucket


def _mixed(number: int) -> int:
    number &= _MASK
    number = ((number ^ number >> 30) * 0xBF58476D1CE4E5B9) & _MASK
    number = ((number ^ number >> 27) * 0x94D049BB133111EB) & _MASK
    return number ^ number >> 31
