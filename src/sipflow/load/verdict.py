"""What came of a comparison, for programs and in words."""

import msgspec

from sipflow.load.totals import Totals


class Found(msgspec.Struct, frozen=True):
    """What one Call-ID was compared on at a node; `differences` says in words what is not as sent.

    `dropped` counts RTP packets that were left out on purpose and must be missing.
    """

    call_id: str
    messages: int
    streams: int
    packets: int
    differences: list[str]
    scenario: str = ""
    node: str = ""
    dropped: int = 0

    @property
    def text(self) -> str:
        """Tell in one line which call differs and how."""
        at = f" at {self.node}" if self.node else ""
        return f"{self.call_id} ({self.scenario}){at}: {'; '.join(self.differences)}"


class Verdict(msgspec.Struct, frozen=True):
    """The comparison of a run: of `calls`, which have `dialogs` Call-IDs, those in `wrong` have differences.

    `dropped` RTP packets were lost on purpose and are missing as they must; `totals` is what became of all packets;
    `silent` says of nodes that did not answer why.
    """

    calls: int
    messages: int
    streams: int
    packets: int
    settled_s: float
    wrong: list[Found]
    totals: Totals | None = None
    dialogs: int = 0
    dropped: int = 0
    silent: list[str] = []

    @property
    def right(self) -> bool:
        """Tell whether no difference was found."""
        return not self.wrong and not self.silent and (self.totals is None or self.totals.right)

    @property
    def text(self) -> str:
        """Give the verdict in words."""
        if self.calls == 0:
            return "there was no call to compare"
        sentences = []
        if self.wrong:
            first = self.wrong[0]
            sentences.append(
                f"{len(self.wrong)} of {self.dialogs} Call-IDs differ from what was sent, first {first.call_id}: "
                f"{first.differences[0]}"
            )
        else:
            media = f", {self.streams} streams of {self.packets} packets" if self.streams else ""
            sentences.append(f"everything is there: {self.calls} calls, {self.messages} messages{media}")
            if self.dropped:
                sentences.append(f"{self.dropped} packets are missing on purpose")
        if self.totals is not None and not self.totals.right:
            sentences.append(self.totals.text)
        if self.silent:
            sentences.append(f"silent: {', '.join(self.silent)}")
        return "; ".join(sentences)
