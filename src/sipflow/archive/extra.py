"""Libraries that not every installation has: imported when they are needed, named when they are missing."""

import importlib
from typing import Any

from sipflow.errors import MissingExtra

ANALYTICS = "analytics"


def extra(module: str, name: str = ANALYTICS) -> Any:
    """Import a library of an extra. Raises MissingExtra, whose text says how to get it."""
    try:
        return importlib.import_module(module)
    except ImportError:
        raise MissingExtra(module.partition(".")[0], name) from None
