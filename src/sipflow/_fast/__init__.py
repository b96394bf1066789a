"""The C core; the only module that imports the extension."""

from sipflow._fast._core import mix_g711

__all__ = ["mix_g711"]
