"""Who makes a request: an application by its key, accounts by their tokens, a developer by a Meta token.

Look-ups are remembered for a second, so that a burst of requests costs one query, and a revoked token is
dead a second later.
"""

import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import datetime

from gateway.access import tokens
from store.engine import Database
from store.queries import accounts as account_queries
from store.queries import applications, developers
from store.queries import tokens as token_queries
from store.tables import Account

_REMEMBERED = 1.0
_MOST_REMEMBERED = 10_000
_MOST_TOKENS = 20


class Refused(Exception):
    """No or bad key or token: 401, with what to send instead."""


class NotYours(Exception):
    """Not there, or another's: both read the same."""


@dataclass(frozen=True, slots=True)
class TokenFacts:
    """What GET /oauth/token tells of a Bearer token."""

    client_id: str
    account_id: int
    scope: str
    expires: datetime | None


@dataclass(frozen=True, slots=True)
class Caller:
    """Who is asking. An application has every account of its own; tokens have theirs alone."""

    application_id: str | None = None
    accounts: tuple[Account, ...] = ()
    tokens: tuple[TokenFacts, ...] = ()
    developer_id: int | None = None


class Callers:
    """Resolves `Authorization` headers, and the accounts in a path."""

    def __init__(self, database: Database, clock: Callable[[], float] = time.monotonic) -> None:
        self._database = database
        self._clock = clock
        self._known: dict[object, tuple[float, object]] = {}

    async def resolve(self, authorization: str | None) -> Caller:
        """The caller. Raises Refused."""
        if not authorization:
            raise Refused("send an Authorization header: 'APIKey KEY' or 'Bearer TOKEN'")
        scheme, _, value = authorization.strip().partition(" ")
        resolver = self._schemes().get(scheme.lower())
        if resolver is None or not value.strip():
            raise Refused("the Authorization header must read 'APIKey KEY' or 'Bearer TOKEN'")
        return await resolver(value.strip())

    async def accounts(self, caller: Caller, ids: str) -> list[Account]:
        """The accounts that a path names (`1`, `1,2`, `me`), in its order. Raises NotYours."""
        if ids == "me":
            if not caller.accounts:
                raise NotYours
            return list(caller.accounts)
        wanted = ids.split(",")
        if len(wanted) > _MOST_TOKENS or not all(w.isascii() and w.isdigit() and len(w) < 19 for w in wanted):
            raise NotYours
        found = {account.id: account for account in caller.accounts}
        if caller.application_id is not None:
            for number in {int(w) for w in wanted}:
                if (account := await self._owned(caller.application_id, number)) is not None:
                    found[number] = account
        try:
            return [found[int(w)] for w in wanted]
        except KeyError:
            raise NotYours from None

    def forget(self) -> None:
        """Drops what is remembered: something changed in this process."""
        self._known.clear()

    def _schemes(self) -> dict[str, Callable[[str], Awaitable[Caller]]]:
        return {
            "apikey": self._application,
            "bearer": self._bearer,
            "accountkey": self._bearer,
            "developerkey": self._developer,
        }

    async def _application(self, key: str) -> Caller:
        async def look() -> str | None:
            async with self._database.session() as session:
                found = await applications.by_key(session, tokens.digest(key))
            return None if found is None else found.id

        application_id = await self._remembered(("key", key), look)
        if application_id is None:
            raise Refused("the API key is not valid")
        return Caller(application_id=application_id)

    async def _bearer(self, value: str) -> Caller:
        given = [token.strip() for token in value.split(",")]
        if len(given) > _MOST_TOKENS:
            raise Refused(f"at most {_MOST_TOKENS} tokens a request")
        found = [await self._token(token) for token in given]
        if any(pair is None for pair in found):
            if len(given) == 1:
                return await self._developer(value)
            raise Refused("a token is not valid")
        pairs = [pair for pair in found if pair is not None]
        return Caller(accounts=tuple(a for a, _ in pairs), tokens=tuple(facts for _, facts in pairs))

    async def _token(self, token: str) -> tuple[Account, TokenFacts] | None:
        async def look() -> tuple[Account, TokenFacts] | None:
            async with self._database.session() as session:
                found = await token_queries.by_digest(session, tokens.digest(token))
            if found is None:
                return None
            row, account, application = found
            return account, TokenFacts(application.id, account.id, row.scope, row.expires)

        return await self._remembered(("token", token), look)

    async def _developer(self, key: str) -> Caller:
        async def look() -> int | None:
            async with self._database.session() as session:
                found = await developers.by_key(session, tokens.digest(key))
            return None if found is None else found.id

        developer_id = await self._remembered(("developer", key), look)
        if developer_id is None:
            raise Refused("the token is not valid")
        return Caller(developer_id=developer_id)

    async def _owned(self, application_id: str, account_id: int) -> Account | None:
        async def look() -> Account | None:
            async with self._database.session() as session:
                found = await account_queries.fetch(session, account_id)
            return found if found is not None and found.application_id == application_id else None

        return await self._remembered(("account", application_id, account_id), look)

    async def _remembered[T](self, key: object, look: Callable[[], Awaitable[T]]) -> T:
        now = self._clock()
        there = self._known.get(key)
        if there is not None and now - there[0] < _REMEMBERED:
            return there[1]  # type: ignore[return-value]  # the key's first part says its type
        value = await look()
        if len(self._known) >= _MOST_REMEMBERED:
            self._known.clear()
        self._known[key] = (now, value)
        return value
