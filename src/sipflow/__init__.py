"""sipflow: records every SIP message and RTP packet a PBX mirrors, and shows any call."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from sipflow.version import __version__

if TYPE_CHECKING:
    from sipflow.mirror import Capture, capture

__all__ = ["Capture", "__version__", "capture"]


def __getattr__(name: str) -> Any:
    # Whoever needs the version only, or a module of ours, does not pay for the capture client.
    if name in ("Capture", "capture"):
        return getattr(import_module("sipflow.mirror"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
