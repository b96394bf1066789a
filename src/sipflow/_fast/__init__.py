"""The C core: one extension, re-exported here; nothing else imports it."""

from sipflow._fast._core import SENDER_BUDGET, TALKER_TAIL, Sender, Talker, frame_encode

__all__ = ["SENDER_BUDGET", "TALKER_TAIL", "Sender", "Talker", "frame_encode"]
