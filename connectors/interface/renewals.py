"""Tokens that a server gives for a while, where several may have the same account open."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Protocol


@dataclass(frozen=True, slots=True)
class Renewed:
    """What a token server gave, as all who have the account open share it.

    Attributes:
        token: the access token.
        until: POSIX seconds until which it is used; its end is somewhat later.
        refresh_token: the next exchange's; `""` where there is none.
    """

    token: str = field(repr=False)
    until: float
    refresh_token: str = field(default="", repr=False)

    def serves(self, spent: str) -> bool:
        """Whether it is good for a while, and not the token that is spent."""
        return self.token != spent and time.time() < self.until


type Exchange = Callable[[str], Awaitable[Renewed]]
"""Asks the token server; the argument is the refresh token that is good now."""


class Renewals(Protocol):
    """Lets one at a time ask an account's token server, whoever else has the account open.

    A server that gives a new refresh token with each access token takes the second use of a former one for
    theft, and ends the whole consent (RFC 9700, 4.14.2).
    """

    async def renewed(self, consent: str, spent: str, exchange: Exchange) -> Renewed:
        """A token that is not `spent`: another's, if there is one by now, or what `exchange` gives.

        What `exchange` gives is kept durably before it is returned; its refresh token is the next exchange's,
        as long as the consent is the same.

        Args:
            consent: the refresh token of the account's settings; `""` where the client acts for itself.
            spent: the caller's last token; `""` at first.
            exchange: is called at most once.

        Raises what `exchange` raises, TimedOut when another's does not end, Unavailable when the account's
        settings are others by now.
        """
        ...


class Alone:
    """In memory: for tests, and for whoever has the account open alone."""

    def __init__(self) -> None:
        self._turn = asyncio.Lock()
        self._consent = ""
        self._kept: Renewed | None = None

    async def renewed(self, consent: str, spent: str, exchange: Exchange) -> Renewed:
        """As `Renewals`; nothing is durable."""
        async with self._turn:
            if consent != self._consent:
                self._consent, self._kept = consent, None
            if self._kept is None or not self._kept.serves(spent):
                self._kept = await exchange(self._kept.refresh_token if self._kept else consent)
            return self._kept
