"""Six calls worth looking at, one of each kind a telephone engineer is asked about."""

from sipflow.clock import SECOND_US
from sipflow.load.call import Call
from sipflow.load.scenario import Scenario

SEED = 1906  # the year of the first broadcast of speech

_CALLS = (  # scenario, begins after [s], lasts [s]
    (Scenario.ANSWERED, 0.0, 12.0),
    (Scenario.BUSY, 1.5, 2.0),
    (Scenario.UNANSWERED, 2.5, 9.0),
    (Scenario.CHALLENGED, 4.0, 10.0),
    (Scenario.ONE_WAY, 5.0, 11.0),
    (Scenario.LOSSY, 6.0, 12.0),
)
SAMPLES_SPAN_US = int(max(after + lasts for _, after, lasts in _CALLS) * SECOND_US)


def sample_calls(start_us: int) -> list[Call]:
    """Plan the six demonstration calls from `start_us` on; all have ended SAMPLES_SPAN_US later.

    With a start that lies that far back they can be sent at once, with the present time they are sent as they happen.
    Starts a second or more apart give distinct calls of the same voices.
    """
    first = start_us // SECOND_US * len(_CALLS)
    return [
        Call(SEED, first + number, scenario, start_us + int(after * SECOND_US), int(lasts * SECOND_US))
        for number, (scenario, after, lasts) in enumerate(_CALLS)
    ]
