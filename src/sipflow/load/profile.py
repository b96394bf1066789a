"""Profiles: what the traffic of a kind of exchange is made of."""

from dataclasses import dataclass

from sipflow.errors import ConfigError
from sipflow.load.codec import G722, G729, OPUS, PCMA, PCMU, Choices
from sipflow.load.impairment import PERFECT, Impairment
from sipflow.load.length import Length
from sipflow.load.scenario import USUAL, Mix, Scenario
from sipflow.load.status import USUAL_REFUSALS, Refusals


@dataclass(frozen=True)
class Profile:
    """What calls a run has, where its options do not say otherwise.

    `talk_s` is the mean length of an answered call, `codecs` those that are spoken (none: each telephone's own),
    `impairments` what happens to the streams from and to the caller.
    """

    name: str
    about: str
    mix: Mix
    talk_s: float = 30.0
    length: Length = Length.EVEN
    codecs: Choices = ()
    ptimes: tuple[int, ...] = ()
    impairments: tuple[Impairment, Impairment] = (PERFECT, PERFECT)
    refusals: Refusals = USUAL_REFUSALS
    sip_only: bool = False


_PROFILES = (
    Profile("office", "telephones of every kind at one exchange; what is sent unless another profile is named", USUAL),
    Profile(
        "carrier",
        "trunks: every answered call has two legs, many attempts fail, calls last as Erlang had them",
        Mix(
            (
                (Scenario.B2BUA, 38),
                (Scenario.ANSWERED, 10),
                (Scenario.EARLY_MEDIA, 8),
                (Scenario.UNANSWERED, 16),
                (Scenario.BUSY, 7),
                (Scenario.REFUSED, 18),
                (Scenario.ONE_WAY, 1),
                (Scenario.OPTIONS, 2),
            )
        ),
        talk_s=110.0,
        length=Length.EXPONENTIAL,
        codecs=((PCMA, 55), (PCMU, 20), (G729, 20), (G722, 5)),
        ptimes=(20,),
        impairments=(Impairment(loss=0.003, burst=2, jitter_us=3_000), PERFECT),
        refusals=((404, 20), (480, 20), (484, 5), (486, 10), (488, 3), (500, 5), (502, 4), (503, 18), (603, 15)),
    ),
    Profile(
        "contact-center",
        "an announcement first, keys by RFC 4733 and INFO, transfers with and without consultation, agents on Opus",
        Mix(
            (
                (Scenario.EARLY_MEDIA, 24),
                (Scenario.DIGITS, 22),
                (Scenario.INFO_DIGITS, 6),
                (Scenario.TRANSFER, 12),
                (Scenario.ATTENDED, 8),
                (Scenario.B2BUA, 10),
                (Scenario.UNANSWERED, 10),
                (Scenario.LOSSY, 2),
                (Scenario.REGISTER, 4),
                (Scenario.REFUSED, 2),
            )
        ),
        talk_s=180.0,
        length=Length.LOGNORMAL,
        codecs=((PCMU, 30), (PCMA, 30), (OPUS, 40)),
        ptimes=(20,),
        impairments=(PERFECT, Impairment(loss=0.005, burst=3, jitter_us=12_000, reorder=0.002)),
        refusals=((480, 5), (486, 3), (503, 2)),
    ),
    Profile(
        "register-storm",
        "after a power cut every telephone registers at once; few have time for a call",
        Mix(((Scenario.REGISTER, 88), (Scenario.OPTIONS, 7), (Scenario.REFUSED, 3), (Scenario.BUSY, 2))),
        refusals=((503, 8), (500, 1), (480, 1)),
    ),
    Profile(
        "sip-only",
        "the calls of the office and the transfers of the contact center, without their media",
        Mix(
            (*USUAL.weights, (Scenario.REFUSED, 6), (Scenario.B2BUA, 8), (Scenario.TRANSFER, 3), (Scenario.ATTENDED, 1))
        ),
        sip_only=True,
    ),
)
PROFILES = {profile.name: profile for profile in _PROFILES}
OFFICE = PROFILES["office"]


def profile_of(name: str) -> Profile:
    """Find a profile. Raises ConfigError."""
    if name not in PROFILES:
        raise ConfigError("--profile", name, ", ".join(PROFILES))
    return PROFILES[name]
