"""The capture client: mirrors packets of a PBX to a data root or a cluster, and asks about its calls."""

from sipflow.mirror.account import Account, Drops, NodeAccount
from sipflow.mirror.capture import Capture, Stream, capture
from sipflow.mirror.remote import RemoteOptions, RemoteSettings

__all__ = ["Account", "Capture", "Drops", "NodeAccount", "RemoteOptions", "RemoteSettings", "Stream", "capture"]
