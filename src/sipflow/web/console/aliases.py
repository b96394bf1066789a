"""What people call the addresses of their network."""

from collections.abc import Iterable

from sipflow.config import Alias


def names_of(aliases: Iterable[Alias]) -> dict[str, str]:
    """Give the names by address, as the lanes of a ladder take them."""
    return {alias.ip: alias.name for alias in aliases}
