"""What a run sent, and how well it kept its pace."""

import os

import msgspec

from sipflow._fast import Sender


class Report(msgspec.Struct, frozen=True):
    """The count of a run: frames by kind, datagrams and octets the kernel took, and the sender's own performance.

    `wall_s` is the time spent sending, `cpu_s` the processor time of the sending thread alone, `planning_s` that of the
    thread that plans calls, `late_ticks` ticks begun more than one tick after their time, `unsent` datagrams given up
    after `errors`.
    """

    calls: int
    scenarios: dict[str, int]
    sip: int
    rtp: int
    datagrams: int
    octets: int
    errors: int
    unsent: int
    last_error: str
    ticks: int
    late_ticks: int
    worst_late_us: int
    wall_s: float
    cpu_s: float
    planning_s: float

    @property
    def records(self) -> int:
        """Count the frames of both kinds."""
        return self.sip + self.rtp

    @property
    def rate(self) -> float:
        """Give the achieved rate [frames per second]."""
        return self.records / self.wall_s if self.wall_s else 0.0

    @property
    def cpu_share(self) -> float:
        """Give the share of one processor that the sending thread took."""
        return self.cpu_s / self.wall_s if self.wall_s else 0.0

    @property
    def cost_us(self) -> float:
        """Give the processor time of the sending thread for each frame [us]."""
        return 1e6 * self.cpu_s / self.records if self.records else 0.0

    def lines(self) -> list[tuple[str, str]]:
        """Give the report as a person reads it: what, and how much."""
        kinds = ", ".join(f"{name} {count}" for name, count in sorted(self.scenarios.items()))
        found = [
            ("calls", f"{self.calls} ({kinds})"),
            ("sent", f"{self.records} packets: {self.sip} SIP, {self.rtp} RTP"),
            ("datagrams", f"{self.datagrams}, {self.octets / 1e6:.1f} MB"),
            ("rate", f"{self.rate:.0f} packets/s over {self.wall_s:.2f} s"),
            ("sender", f"{100 * self.cpu_share:.0f} % of a processor, {self.cost_us:.2f} us a packet"),
            ("late ticks", f"{self.late_ticks} of {self.ticks}, worst {self.worst_late_us / 1000:.1f} ms"),
        ]
        if self.errors:
            found.append(("send errors", f"{self.errors} ({self.last_error}), {self.unsent} datagrams not sent"))
        return found


def report_of(sender: Sender, scenarios: dict[str, int], planning_s: float = 0.0) -> Report:
    """Read a sender's counters; `scenarios` counts the calls given to it, `planning_s` is what planning them took."""
    sent = sender.sent
    return Report(
        calls=sum(scenarios.values()),
        scenarios=dict(scenarios),
        sip=sent["sip"],
        rtp=sent["rtp"],
        datagrams=sent["datagrams"],
        octets=sent["octets"],
        errors=sent["errors"],
        unsent=sent["unsent"],
        last_error=os.strerror(sent["last_errno"]) if sent["last_errno"] else "",
        ticks=sent["ticks"],
        late_ticks=sent["late_ticks"],
        worst_late_us=sent["worst_us"],
        wall_s=sent["wall_ns"] / 1e9,
        cpu_s=sent["cpu_ns"] / 1e9,
        planning_s=planning_s,
    )
