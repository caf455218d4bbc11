"""Who may use the Studio: a browser on this machine that was given the token, on the Studio's own pages.

The address that is printed holds the token; it is exchanged for a cookie that scripts and other sites do not get. Any
other name for this machine is refused, so that no foreign site can lead a browser here under a name of its own, and so
is whatever a page of another origin asks for.
"""

from __future__ import annotations

import hmac
import secrets
from collections.abc import Mapping
from dataclasses import dataclass, field
from http.cookies import CookieError, SimpleCookie

NAMES = ("127.0.0.1", "localhost")
"""What this machine is called here."""


@dataclass(frozen=True)
class Access:
    """The secret of one Studio, at its `port` on the loopback interface."""

    port: int
    token: str = field(default_factory=lambda: secrets.token_hex(24), repr=False)

    @property
    def address(self) -> str:
        """What a person opens."""
        return f"http://127.0.0.1:{self.port}/?token={self.token}"

    @property
    def cookie(self) -> str:
        """The header that lets a browser in: for this port's Studio, for this site only, hidden from scripts."""
        return f"{self._cookie_name}={self.token}; Path=/; HttpOnly; SameSite=Strict"

    @property
    def _cookie_name(self) -> str:
        return f"spikeloom-studio-{self.port}"

    def is_token(self, given: str) -> bool:
        """Whether somebody knows the token; in the same time whatever is wrong."""
        return hmac.compare_digest(given.encode("utf-8", "replace"), self.token.encode())

    def foreign(self, headers: Mapping[str, str], *, writes: bool) -> str | None:
        """Why a request does not come from the Studio's own page on this machine; None where it does.

        What `writes` must name its origin, as browsers do.
        """
        own = [f"{name}:{self.port}" for name in NAMES]
        if headers.get("Host", "") not in own:
            return f"the Studio is opened as {own[0]}: this request names another host"
        origin = headers.get("Origin")
        if origin is None:
            return "what changes something names its origin: this request does not" if writes else None
        if origin not in [f"http://{name}" for name in own]:
            return "the Studio serves its own page alone: this request comes from another origin"
        return None

    def knows(self, headers: Mapping[str, str]) -> bool:
        """Whether a request has the cookie."""
        try:
            cookies = SimpleCookie(headers.get("Cookie", ""))
        except CookieError:
            return False
        found = cookies.get(self._cookie_name)
        return found is not None and self.is_token(found.value)
