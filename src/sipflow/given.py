"""Settings as somebody gave them, and the checks that many of them share."""

import difflib
from collections.abc import Callable
from typing import NamedTuple

from sipflow.amount import AGE_FORM, SIZE_FORM, parse_age, parse_size
from sipflow.errors import ConfigError


class Given(NamedTuple):
    """A value as the user gave it: `key` in the user's own spelling, `where` the file and line, if any."""

    value: object
    key: str
    where: str = ""

    def wrong(self, allowed: str) -> ConfigError:
        """Give the error that says what stood here and what is allowed."""
        return ConfigError(self.key, self.value, allowed, self.where)

    def secretly_wrong(self, allowed: str) -> ConfigError:
        """Give the same error for a value that must not be shown: it tells its length or type."""
        found = f"{len(self.value)} characters" if isinstance(self.value, str) else type(self.value).__name__
        return ConfigError(self.key, found, allowed, self.where)


def nearest(name: str, known: list[str]) -> str:
    """Say which known name was probably meant, or list them all."""
    close = difflib.get_close_matches(name.lower(), known, n=1)
    return f"{close[0]} (did you mean that?)" if close else ", ".join(sorted(known))


def one_of(item: Given, choices: tuple[str, ...], reason: str = "") -> str:
    """Read one of some words, in whichever case. Raises ConfigError."""
    if isinstance(item.value, str) and item.value.lower() in choices:
        return item.value.lower()
    raise item.wrong(" or ".join(f'"{choice}"' for choice in choices) + (f" ({reason})" if reason else ""))


def choice(*choices: str) -> Callable[[Given], str]:
    """Make a reader of one of some words."""
    return lambda item: one_of(item, choices)


def whole(low: int, high: int) -> Callable[[Given], int]:
    """Make a reader of whole numbers between two, both included."""

    def read(item: Given) -> int:
        # bool is an int in Python; `flush_count = true` is a mistake all the same.
        if isinstance(item.value, int) and not isinstance(item.value, bool) and low <= item.value <= high:
            return item.value
        raise item.wrong(f"a whole number from {low} to {high}")

    return read


def flag(item: Given) -> bool:
    """Read true or false. Raises ConfigError."""
    if isinstance(item.value, bool):
        return item.value
    raise item.wrong("true or false")


def age(least_us: int, least: str) -> Callable[[Given], int | None]:
    """Make a reader of ages [us] of at least so much, which `least` says in words; "none" is None."""

    def read(item: Given) -> int | None:
        if item.value == "none":
            return None
        try:
            age_us = parse_age(item.value) if isinstance(item.value, str) else -1
        except ValueError:
            age_us = -1
        if age_us < least_us:
            raise item.wrong(f'{AGE_FORM}, {least}; or "none"')
        return age_us

    return read


def size(item: Given) -> int | None:
    """Read a number of octets, or None for "none". Raises ConfigError."""
    if item.value == "none":
        return None
    if isinstance(item.value, int) and not isinstance(item.value, bool) and item.value > 0:
        return item.value
    try:
        octets = parse_size(item.value) if isinstance(item.value, str) else 0
    except ValueError:
        octets = 0
    if octets == 0:
        raise item.wrong(f'{SIZE_FORM}, more than none; or "none"')
    return octets
