"""sipflow-server: the command that records and answers."""

import logging
import sys
from collections.abc import Sequence
from functools import partial

from sipflow.errors import ConfigError, SipflowError
from sipflow.own_node import settled
from sipflow.recorder import record
from sipflow.renewal import Renewal
from sipflow.server_log import set_up_log
from sipflow.server_options import parse_arguments, read_again

LOG = logging.getLogger("sipflow.server")


def main(argv: Sequence[str] | None = None) -> None:
    """Run the server until SIGTERM or SIGINT; exits 2 for a setting that cannot be used, 1 when it cannot start."""
    arguments = sys.argv[1:] if argv is None else argv
    settings = parse_arguments(arguments)
    set_up_log(settings.log_level)
    for sentence in settings.without_effect:
        LOG.warning("%s", sentence)
    try:
        if settings.type == "remote":
            # A recorder has no use for what answers questions, which is half of its memory at rest.
            from sipflow.onlooker import look_on  # noqa: PLC0415

            look_on(Renewal(settings, partial(read_again, arguments)))
        else:
            record(Renewal(settled(settings), partial(read_again, arguments)))
    except ConfigError as error:
        sys.exit(_say(error, 2))
    except SipflowError as error:
        sys.exit(_say(error, 1))


def _say(error: SipflowError, code: int) -> int:
    sys.stderr.write(f"sipflow-server: {error}\n")
    return code


if __name__ == "__main__":
    main()
