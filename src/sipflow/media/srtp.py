"""SRTP whose keys were announced in SDP (RFC 3711 and 7714, keyed by RFC 4568), decrypted by libsrtp."""

import contextlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from sipflow.media.sdes import MasterKey, UnusableKey, master_keys
from sipflow.wire.rtp import parse_rtp
from sipflow.wire.sdp import Crypto

MISSING: str | None
try:
    import pylibsrtp
except ImportError:
    MISSING = "pylibsrtp is not installed"
else:
    MISSING = None

# A capture may bring packets late by more than libsrtp's usual 128.
_WINDOW_PACKETS: Final = 1024


@dataclass(frozen=True, slots=True)
class Suite:
    """A crypto suite: libsrtp's name of it, octets of master key and salt, octets of the tag behind an MKI."""

    profile: str
    key_octets: int
    tag_octets: int


SUITES: Final = {
    "AES_CM_128_HMAC_SHA1_80": Suite("SRTP_PROFILE_AES128_CM_SHA1_80", 30, 10),
    "AES_CM_128_HMAC_SHA1_32": Suite("SRTP_PROFILE_AES128_CM_SHA1_32", 30, 4),
    "AES_256_CM_HMAC_SHA1_80": Suite("SRTP_PROFILE_AES256_CM_SHA1_80", 46, 10),
    "AES_256_CM_HMAC_SHA1_32": Suite("SRTP_PROFILE_AES256_CM_SHA1_32", 46, 4),
    # In AEAD the tag belongs to what is encrypted, and an MKI follows it (RFC 7714, section 5).
    "AEAD_AES_128_GCM": Suite("SRTP_PROFILE_AEAD_AES_128_GCM", 28, 0),
    "AEAD_AES_256_GCM": Suite("SRTP_PROFILE_AEAD_AES_256_GCM", 44, 0),
}


class _Session:
    """One master key at work; it holds a rollover counter per SSRC."""

    def __init__(self, suite: Suite, key: MasterKey) -> None:
        policy = pylibsrtp.Policy(
            key=key.octets,
            ssrc_type=pylibsrtp.Policy.SSRC_ANY_INBOUND,
            srtp_profile=getattr(pylibsrtp.Policy, suite.profile),
        )
        policy.window_size = _WINDOW_PACKETS
        self._session = pylibsrtp.Session(policy)
        self._tag_octets = suite.tag_octets
        self._mki = key.mki

    def unprotect(self, packet: bytes) -> bytes:
        """Decrypt. Raises pylibsrtp.Error or ValueError."""
        if self._mki:
            end = len(packet) - self._tag_octets
            if packet[end - len(self._mki) : end] != self._mki:
                raise ValueError("another key was named")
            packet = packet[: end - len(self._mki)] + packet[end:]
        opened: bytes = self._session.unprotect(packet)
        return opened


class Unprotect:
    """Decrypts the packets of one direction by what SDP announced for it. One thread at a time.

    Packets must come in order of arrival: the upper part of a packet's index is not in it (RFC 3711, section 3.3.1).
    """

    def __init__(self, cryptos: Sequence[Crypto]) -> None:
        """Take the lines that may hold; which of them does is found by trying. See `reason`."""
        self.opened = 0
        self.refused = 0
        self.repeated = 0
        self._why: list[str] = []
        self._sessions: list[_Session] = []
        if MISSING is not None:
            self._why.append(MISSING)
            return
        for crypto in cryptos:
            try:
                self._sessions += _sessions(crypto)
            except UnusableKey as error:
                self._why.append(str(error))

    @property
    def reason(self) -> str | None:
        """Tell why packets stay encrypted, in words for a person; None when all were opened, or none came yet."""
        if not self._sessions:
            return f"encrypted: {'; '.join(self._why) or 'no key was announced'}"
        if self.refused:
            total = self.refused + self.opened
            return f"encrypted: {self.refused} of {total} packets do not fit the announced keys"
        return None

    def packet(self, octets: bytes) -> bytes | None:
        """Give an SRTP packet as RTP; None, and counted, when no key fits it or it came before."""
        for session in self._sessions:
            try:
                opened = session.unprotect(octets)
            except pylibsrtp.Error as error:
                if str(error).startswith("replay"):
                    self.repeated += 1
                    return None
            except ValueError:
                continue
            else:
                if session is not self._sessions[0]:
                    self._sessions.remove(session)
                    self._sessions.insert(0, session)
                self.opened += 1
                return opened
        self.refused += 1
        return None

    def payload(self, octets: bytes) -> bytes | None:
        """Give the payload of an SRTP packet without header, CSRC list, extension and padding; None as `packet`.

        The padding of a packet is known only now: its length was encrypted.
        """
        opened = self.packet(octets)
        head = None if opened is None else parse_rtp(opened)
        return None if head is None else head.payload


def _sessions(crypto: Crypto) -> list[_Session]:
    suite = SUITES.get(crypto.suite.upper())
    if suite is None or not hasattr(pylibsrtp.Policy, suite.profile):
        raise UnusableKey(f"the suite {crypto.suite} is not decrypted by pylibsrtp {pylibsrtp.__version__}")
    sessions = []
    for key in master_keys(crypto, suite.key_octets):
        with contextlib.suppress(pylibsrtp.Error):
            sessions.append(_Session(suite, key))
    if not sessions:
        raise UnusableKey(f"libsrtp was built without {crypto.suite}")
    return sessions
