"""The list of nodes read again while a server runs, at SIGHUP: checked as a whole before anything of it is used."""

import dataclasses
import logging
import signal
from collections.abc import Callable
from types import FrameType

from sipflow.config import Settings
from sipflow.errors import ConfigError
from sipflow.own_node import settled

LOG = logging.getLogger("sipflow.server")


class Renewal:
    """Reads the settings again when it was asked to; only the list of nodes is taken from them."""

    def __init__(self, settings: Settings, read: Callable[[], Settings]) -> None:
        """Begin with the settings that are in force; `read` reads them anew and raises ConfigError."""
        self.settings = settings
        self._read = read
        self._asked = False

    def listen(self) -> None:
        """Have SIGHUP ask for it. Main thread only."""

        def ask(_signal: int, _frame: FrameType | None) -> None:
            self._asked = True

        signal.signal(signal.SIGHUP, ask)

    def due(self) -> bool:
        """Tell whether there is another list, in `settings` from now on; one that cannot be used is logged, no more."""
        if not self._asked:
            return False
        self._asked = False
        try:
            found = self._found()
        except ConfigError as error:
            LOG.error("the list of nodes stays as it is: %s", error)
            return False
        renewed = dataclasses.replace(self.settings, nodes=found.nodes)
        if found != renewed:
            LOG.warning("the list of nodes is read again; what else has changed in the settings takes a restart")
        self.settings = renewed
        return True

    def _found(self) -> Settings:
        found, now = settled(self._read()), self.settings
        if not now.nodes or not found.nodes:
            raise ConfigError("nodes", "a server without a list of nodes, before or now", "a restart for that")
        if (found.type, found.node) != (now.type, now.node):
            raise ConfigError("node", f"{found.type} {found.node}", f"{now.type} {now.node}, or a restart")
        return found
