"""What a network makes of a stream: losses, delays, overtaking, duplicates."""

import math
from dataclasses import dataclass

from sipflow._fast import JITTER_MAX_US
from sipflow.errors import ConfigError

FORM = (
    "loss=SHARE%, burst=PACKETS, jitter=TIMEms, reorder=SHARE%, duplicate=SHARE%, with commas between; "
    f"shares up to 50%, bursts 1 to 50, jitter up to {JITTER_MAX_US // 1000}ms"
)
_WHOLE = 1 << 32
_SHARES = ("loss", "reorder", "duplicate")


@dataclass(frozen=True)
class Impairment:
    """Shares of a stream's packets (0 to 0.5) that are lost, overtaken and doubled, and how long they are delayed.

    Each packet is delayed by 0 to `jitter_us`, evenly, behind what is in the queue before it. With `burst` losses come
    in runs of so many packets on average (Gilbert's model), without it each for itself. What happens to which packet
    follows from the stream alone (script.h).
    """

    loss: float = 0.0
    burst: float = 0.0
    jitter_us: int = 0
    reorder: float = 0.0
    duplicate: float = 0.0

    @classmethod
    def parse(cls, text: str, option: str = "impairment") -> "Impairment":
        """Read a list such as loss=2%,jitter=30ms. Raises ConfigError that names the option."""
        found: dict[str, float] = {}
        for part in filter(None, (part.strip() for part in text.split(","))):
            name, _, value = part.partition("=")
            unit = {"burst": "", "jitter": "ms"}.get(name, "%")
            try:
                number = float(value.removesuffix(unit)) if unit else float(value)
            except ValueError:
                number = math.nan
            most = {"burst": 50.0, "jitter": JITTER_MAX_US / 1000}.get(name, 50.0)
            known = name in (*_SHARES, "burst", "jitter") and name not in found
            if not known or not (1.0 if name == "burst" else 0.0) <= number <= most:
                raise ConfigError(option, part, FORM)
            found[name] = number
        if "burst" in found and "loss" not in found:
            raise ConfigError(option, text, f"burst only with loss; {FORM}")
        shares = {name: found.get(name, 0.0) / 100 for name in _SHARES}
        return cls(burst=found.get("burst", 0.0), jitter_us=int(found.get("jitter", 0.0) * 1000), **shares)

    @property
    def perfect(self) -> bool:
        """Tell whether nothing happens to any packet."""
        return not any((self.loss, self.jitter_us, self.reorder, self.duplicate))

    @property
    def delay_us(self) -> int:
        """Give the longest time by which a packet of 60 ms is late."""
        return self.jitter_us + (156_000 if self.reorder else 0) + (3_000 if self.duplicate else 0)

    @property
    def record(self) -> tuple[int, int, int, int, int]:
        """Give the fields of struct sf_impairment (script.h)."""
        # A burst goes on with `stays`; the chance that one begins makes the share of lost packets the one asked for.
        stays = 1 - 1 / self.burst if self.burst else self.loss
        begins = self.loss * (1 - stays) / (1 - self.loss)
        loss, burst, reorder, duplicate = (
            min(_WHOLE - 1, int(share * _WHOLE)) for share in (begins, stays, self.reorder, self.duplicate)
        )
        return loss, burst if loss else 0, self.jitter_us, reorder, duplicate

    def text(self) -> str:
        """Write it as parse() reads it."""
        parts = [f"{name}={100 * getattr(self, name):g}%" for name in _SHARES if getattr(self, name)]
        parts += [f"burst={self.burst:g}"] if self.burst else []
        parts += [f"jitter={self.jitter_us / 1000:g}ms"] if self.jitter_us else []
        return ",".join(parts)


PERFECT = Impairment()
POOR = Impairment(loss=0.036, burst=3, jitter_us=8_000, reorder=0.01, duplicate=0.008)
