"""sipflow: records every SIP message and RTP packet a PBX mirrors, and shows any call."""

from sipflow.version import __version__

__all__ = ["__version__"]
