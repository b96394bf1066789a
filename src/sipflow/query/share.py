"""Which calls a node counts where several have copies of each, so that every call is counted once."""

from functools import cache

import msgspec

from sipflow.placement import Placement


class Share(msgspec.Struct, frozen=True):
    """What the node `own` counts of what it has: calls whose first owner it is, of those that are `answering`.

    A call that does not belong here by the list of today came before it was changed, and is counted where it is.
    """

    slots: tuple[str | None, ...]
    replicas: int
    own: str
    answering: tuple[str, ...]

    def counts(self, call_id: str) -> bool:
        """Tell whether a call is counted here."""
        owners = _placement(self.slots, self.replicas).owners(call_id)
        if self.own not in owners:
            return True
        return next(name for name in owners if name == self.own or name in self.answering) == self.own


@cache
def _placement(slots: tuple[str | None, ...], replicas: int) -> Placement:
    return Placement(slots, replicas)
