"""What a run sent, and how well it kept its pace."""

import os
from collections.abc import Mapping, Sequence

import msgspec


class Report(msgspec.Struct, frozen=True):
    """The count of a run: frames by kind, datagrams and octets the kernel took, and the senders' own performance.

    `wall_s` is the time spent sending, `cpu_s` the processor time of the sending threads alone, `planning_s` that of
    the thread that plans calls, `late_ticks` ticks begun more than one tick after their time, `unsent` datagrams given
    up after `errors`.
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
    senders: int = 1

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
        """Give the share of one processor that the sending threads took."""
        return self.cpu_s / self.wall_s if self.wall_s else 0.0

    @property
    def cost_us(self) -> float:
        """Give the processor time of the sending threads for each frame [us]."""
        return 1e6 * self.cpu_s / self.records if self.records else 0.0

    @property
    def whole_processor(self) -> float:
        """Give the frames per second that a processor would send which did nothing else."""
        return self.records / self.cpu_s if self.cpu_s else 0.0

    def lines(self) -> list[tuple[str, str]]:
        """Give the report as a person reads it: what, and how much."""
        kinds = ", ".join(f"{name} {count}" for name, count in sorted(self.scenarios.items()))
        found = [
            ("calls", f"{self.calls} ({kinds})"),
            ("sent", f"{self.records} packets: {self.sip} SIP, {self.rtp} RTP"),
            ("datagrams", f"{self.datagrams}, {self.octets / 1e6:.1f} MB"),
            ("rate", f"{self.rate:.0f} packets/s over {self.wall_s:.2f} s"),
            (
                "sender",
                f"{100 * self.cpu_share:.0f} % of a processor, {self.cost_us:.2f} us a packet: "
                f"{self.whole_processor:,.0f}/s for a whole one",
            ),
            ("late ticks", f"{self.late_ticks} of {self.ticks}, worst {self.worst_late_us / 1000:.1f} ms"),
        ]
        if self.errors:
            found.append(("send errors", f"{self.errors} ({self.last_error}), {self.unsent} datagrams not sent"))
        return found


def report_of(lanes: Sequence[Mapping[str, int] | None], scenarios: dict[str, int], planning_s: float = 0.0) -> Report:
    """Add up senders' counters; `scenarios` counts the calls given to them, `planning_s` is what planning took."""
    sent = [lane for lane in lanes if lane is not None]
    failed = max((lane["last_errno"] for lane in sent), default=0)
    return Report(
        calls=sum(scenarios.values()),
        scenarios=dict(scenarios),
        sip=sum(lane["sip"] for lane in sent),
        rtp=sum(lane["rtp"] for lane in sent),
        datagrams=sum(lane["datagrams"] for lane in sent),
        octets=sum(lane["octets"] for lane in sent),
        errors=sum(lane["errors"] for lane in sent),
        unsent=sum(lane["unsent"] for lane in sent),
        last_error=os.strerror(failed) if failed else "",
        ticks=sum(lane["ticks"] for lane in sent),
        late_ticks=sum(lane["late_ticks"] for lane in sent),
        worst_late_us=max((lane["worst_us"] for lane in sent), default=0),
        wall_s=max((lane["wall_ns"] for lane in sent), default=0) / 1e9,
        cpu_s=sum(lane["cpu_ns"] for lane in sent) / 1e9,
        planning_s=planning_s,
        senders=len(lanes),
    )
