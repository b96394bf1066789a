"""What a run of sipflow-load came to, as --json writes it (docs/LOAD.md)."""

from typing import Literal

import msgspec

from sipflow.load.report import Report
from sipflow.load.verdict import Verdict

RIGHT, WRONG, IMPOSSIBLE = 0, 1, 2  # exit statuses


class Outcome(msgspec.Struct, frozen=True):
    """A run: what was asked for, what was sent, and whether it is stored.

    `speed` is the calls' clock per real time, 0 for as fast as the socket takes it; `rate` packets per second that were
    sent; `cpu_share` processors that sending took. `verdict` is null without --verify; `conclusion` says it in words,
    `status` is how the program exits: 0 all is there, or nothing was compared; 1 there are differences.
    """

    profile: str
    seed: int
    speed: float
    rate: float
    cpu_share: float
    format: Literal["sf", "hep"]
    nodes: list[str]
    sent: Report
    verdict: Verdict | None
    conclusion: str
    status: int
