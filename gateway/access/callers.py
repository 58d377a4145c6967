"""Who makes a request: an application by its key, accounts by their tokens, a developer by a Meta token.

Look-ups are remembered for a second, so that a burst of requests costs one query. What one api process
revokes is dead in all of them at once, by their board; what the command line changes, a second later. Keys
and tokens themselves are not remembered: the memory knows them by their digests.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from gateway.access import tokens
from gateway.access.reads import reading
from gateway.access.remembered import Remembered
from gateway.board import Board
from store.engine import Database
from store.queries import accounts as account_queries
from store.queries import applications, developers
from store.queries import tokens as token_queries
from store.tables import Account, Developer

_REMEMBERED = 1.0
_MOST_REMEMBERED = 10_000
_MOST_ACCOUNTS = 20
_LARGEST_ID = 2**31 - 1  # what the column holds on every database


class Refused(Exception):
    """No or bad key or token: 401, with what to send instead."""


class NotYours(Exception):
    """Not there, or another's: both read the same."""


@dataclass(frozen=True, slots=True)
class TokenFacts:
    """What GET /oauth/token tells of a Bearer token, and the id of its row."""

    id: int
    client_id: str
    account_id: int
    scope: str
    expires: datetime | None


@dataclass(frozen=True, slots=True)
class Caller:
    """Who is asking. An application has every account of its own; tokens have theirs alone.

    `actor` is how the audit log names them.
    """

    actor: str
    application_id: str | None = None
    accounts: tuple[Account, ...] = ()
    tokens: tuple[TokenFacts, ...] = ()
    developer: Developer | None = None


class Callers:
    """Resolves `Authorization` headers, and the accounts in a path.

    Args:
        database: where they are looked up.
        board: by which it is known that another process changed something.
        clock: seconds, monotonic.
    """

    def __init__(self, database: Database, board: Board, clock: Callable[[], float] = time.monotonic) -> None:
        def memory() -> Remembered[Any, Any]:
            return Remembered(_REMEMBERED, _MOST_REMEMBERED, clock, lambda: board.version)

        self._database = database
        self._board = board
        self._keys: Remembered[bytes, str] = memory()
        self._tokens: Remembered[bytes, tuple[Account, TokenFacts]] = memory()
        self._developers: Remembered[bytes, Developer] = memory()
        self._accounts: Remembered[tuple[str, int], Account] = memory()
        self._schemes = {
            "apikey": self._application,
            "bearer": self._bearer,
            "accountkey": self._bearer,
            "developerkey": self._developer,
        }

    async def resolve(self, authorization: str | None) -> Caller:
        """The caller. Raises Refused."""
        if not authorization:
            raise Refused("send an Authorization header: 'APIKey KEY' or 'Bearer TOKEN'")
        scheme, _, value = authorization.strip().partition(" ")
        resolver = self._schemes.get(scheme.lower())
        if resolver is None or not (value := value.strip()):
            raise Refused("the Authorization header must read 'APIKey KEY' or 'Bearer TOKEN'")
        return await resolver(value)

    async def accounts(self, caller: Caller, ids: str) -> list[Account]:
        """The accounts that a path names (`1`, `1,2`, `me`), each once, in its order. Raises NotYours."""
        if ids == "me":
            if not caller.accounts:
                raise NotYours
            return list(caller.accounts)
        wanted = list(dict.fromkeys(ids.split(",")))
        if len(wanted) > _MOST_ACCOUNTS or not all(map(_is_id, wanted)):
            raise NotYours
        return [await self._one(caller, int(number)) for number in wanted]

    def forget(self) -> None:
        """Drops what is remembered, in every process: this one changed something, and it is committed."""
        self._board.change()
        for memory in (self._keys, self._tokens, self._developers, self._accounts):
            memory.forget()

    async def _application(self, key: str) -> Caller:
        digest = tokens.digest(key)

        async def ask() -> str | None:
            async with reading(self._database) as session:
                found = await applications.by_key(session, digest)
            return None if found is None else found.id

        application_id = await self._keys.find(digest, ask)
        if application_id is None:
            raise Refused("the API key is not valid")
        return Caller(f"application {application_id}", application_id=application_id)

    async def _bearer(self, value: str) -> Caller:
        given = [token.strip() for token in value.split(",")]
        if len(given) > _MOST_ACCOUNTS:
            raise Refused(f"at most {_MOST_ACCOUNTS} tokens a request")
        found = [await self._token(token) for token in given]
        if len(given) == 1 and found[0] is None:
            return await self._developer(value)
        known = [pair for pair in found if pair is not None]
        if len(known) < len(given):
            raise Refused("one of the tokens is not valid")
        actor = f"access token {', '.join(str(facts.id) for _, facts in known)}"
        return Caller(actor, accounts=tuple(a for a, _ in known), tokens=tuple(facts for _, facts in known))

    async def _token(self, token: str) -> tuple[Account, TokenFacts] | None:
        digest = tokens.digest(token)

        async def ask() -> tuple[Account, TokenFacts] | None:
            async with reading(self._database) as session:
                found = await token_queries.by_digest(session, digest)
            if found is None:
                return None
            row, account, application = found
            return account, TokenFacts(row.id, application.id, account.id, row.scope, row.expires)

        return await self._tokens.find(digest, ask)

    async def _developer(self, key: str) -> Caller:
        digest = tokens.digest(key)

        async def ask() -> Developer | None:
            async with reading(self._database) as session:
                return await developers.by_key(session, digest)

        developer = await self._developers.find(digest, ask)
        if developer is None:
            raise Refused("the token is not valid")
        return Caller(f"developer {developer.id}", developer=developer)

    async def _one(self, caller: Caller, account_id: int) -> Account:
        for account in caller.accounts:
            if account.id == account_id:
                return account
        if caller.application_id is None:
            raise NotYours
        owned = await self._owned(caller.application_id, account_id)
        if owned is None:
            raise NotYours
        return owned

    async def _owned(self, application_id: str, account_id: int) -> Account | None:
        async def ask() -> Account | None:
            async with reading(self._database) as session:
                found = await account_queries.fetch(session, account_id)
            return found if found is not None and found.application_id == application_id else None

        return await self._accounts.find((application_id, account_id), ask)


def _is_id(text: str) -> bool:
    return text.isascii() and text.isdigit() and len(text) <= 10 and int(text) <= _LARGEST_ID
