"""A whole call, made from a few numbers and made again from them whenever it is asked for."""

from dataclasses import dataclass

from sipflow.load.bank import VoiceBank
from sipflow.load.course import VARIANTS, mould_of
from sipflow.load.draw import Draw, call_key, draw_below
from sipflow.load.mould import Mould
from sipflow.load.scenario import Scenario
from sipflow.load.stream import Stream
from sipflow.load.style import PLAIN, Style
from sipflow.wire.packet import Packet


@dataclass(frozen=True)
class Script:
    """Everything that is said in a call: SIP messages and media streams, each in order of time."""

    messages: tuple[Packet, ...]
    streams: tuple[Stream, ...]


@dataclass(frozen=True)
class Call:
    """One planned call: begins at `start_us` (since the epoch) and is over `span_us` later at the latest.

    `seed`, `number` and `style` decide everything else; equal calls are equal packet by packet.
    """

    seed: int
    number: int
    scenario: Scenario
    start_us: int
    span_us: int
    style: Style = PLAIN

    @property
    def end_us(self) -> int:
        """Tell when the last packet of the call has been captured."""
        return self.start_us + self.span_us

    @property
    def key(self) -> int:
        """Give the key of everything random in the call."""
        return call_key(self.seed, self.number)

    @property
    def variant(self) -> int:
        """Tell which mould of its scenario the call is made of."""
        return draw_below(self.key, Draw.VARIANT, VARIANTS)

    @property
    def status(self) -> int:
        """Tell the status by which the call is refused, 0 when its scenario decides."""
        return self.style.refusal(self.key) if self.scenario is Scenario.REFUSED else 0

    @property
    def mould(self) -> Mould:
        """Give the mould that the call is made of."""
        return mould_of(self.seed, self.scenario, self.variant, self.style, self.status)

    @property
    def call_ids(self) -> tuple[str, ...]:
        """Give the Call-ID of each of its dialogs."""
        return self.mould.call_ids(self.key)

    @property
    def call_id(self) -> str:
        """Give the Call-ID of its first dialog."""
        return self.call_ids[0]

    def bank(self) -> VoiceBank:
        """Give the voices that are heard in it."""
        return VoiceBank.make(self.seed, self.style.codings)

    def script(self) -> Script:
        """Write the whole call."""
        return Script(tuple(self.messages()), tuple(self.streams()))

    def messages(self) -> list[Packet]:
        """Write the SIP messages of the call, in order of capture."""
        return list(self.mould.messages(self.key, self.start_us, self.span_us))

    def streams(self) -> list[Stream]:
        """Plan the media streams of the call."""
        return list(self.mould.streams(self.key, self.start_us, self.span_us))
