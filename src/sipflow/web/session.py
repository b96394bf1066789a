"""A browser's proof that it knew the token: a cookie that the server can check without remembering anything."""

import hashlib
import hmac
from http.cookies import CookieError, SimpleCookie
from typing import Final

COOKIE: Final = "sipflow-session"
LIFETIME_S: Final = 7 * 86_400
_PURPOSE = b"sipflow session until "


class Session:
    """Issues and checks proofs; they end with their time, or when the token changes."""

    def __init__(self, token: bytes) -> None:
        self._token = token

    def issue(self, now_s: int) -> str:
        """Give a proof that holds for LIFETIME_S from now."""
        until_s = now_s + LIFETIME_S
        return f"{until_s}.{self._mark(until_s)}"

    def holds(self, proof: str, now_s: int) -> bool:
        """Tell whether a proof is one of ours and of this time."""
        until, _, mark = proof.partition(".")
        if not (until.isascii() and until.isdigit() and len(until) <= 12):
            return False
        # The mark is compared first, so that what takes long does not tell which of both was wrong.
        genuine = hmac.compare_digest(mark.encode("utf-8", "replace"), self._mark(int(until)).encode())
        return genuine and now_s < int(until)

    def header(self, now_s: int, *, secure: bool) -> str:
        """Write the Set-Cookie of a new proof: no script reads it, no other site makes a browser send it."""
        proof = self.issue(now_s)
        limits = f"Path=/; Max-Age={LIFETIME_S}; HttpOnly; SameSite=Strict"
        return f"{COOKIE}={proof}; {limits}{'; Secure' if secure else ''}"

    def _mark(self, until_s: int) -> str:
        return hmac.new(self._token, _PURPOSE + str(until_s).encode(), hashlib.sha256).hexdigest()


def proof_in(cookies: str) -> str | None:
    """Find the proof in a Cookie header."""
    try:
        found = SimpleCookie(cookies).get(COOKIE)
    except CookieError:
        return None
    return None if found is None else found.value
