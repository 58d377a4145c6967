"""Who is there: `Proxy-Authorization: Basic ACCOUNT:TOKEN`, looked up in the database for every request.

A token is the account's access token, or one made for the proxy that may less. Look-ups are remembered for a
second, so a revoked token is dead a second later, also on connections that are open.
"""

import binascii
import json
import time
from base64 import b64decode
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

from connectors.interface import Origin
from gateway.access import Attempts, neighbours, tokens
from gateway.access.reads import reading
from gateway.access.remembered import Remembered
from gateway.operations import AccountRef, Operations
from gateway.proxy.grants import Denied, Grant
from store.engine import Database
from store.queries import proxy_tokens
from store.queries import tokens as access_tokens
from store.tables import Account, ProxyToken

_REMEMBERED: Final = 1.0
_ORIGINS_REMEMBERED: Final = 10.0
_MOST_REMEMBERED = 10_000
_FAILURES, _WINDOW = 20, 60.0
_ASK = "send Proxy-Authorization: Basic, the account's ID as user name and its token as password"


@dataclass(frozen=True, slots=True)
class Proof:
    """What a client said of itself; the token only as its digest."""

    account: str
    digest: bytes


class Access:
    """Resolves proofs to grants, and accounts to their origins.

    Args:
        database: where tokens are looked up.
        operations: the worker's, which knows origins.
        clock: seconds, monotonic.
        of: processes that share the limit on wrong tokens; each takes its part of it.
    """

    def __init__(
        self,
        database: Database,
        operations: Operations,
        clock: Callable[[], float] = time.monotonic,
        *,
        of: int = 1,
    ) -> None:
        self._database = database
        self._operations = operations
        self._attempts = Attempts(_FAILURES // of, _WINDOW, clock)
        self._grants: Remembered[bytes, Grant] = Remembered(_REMEMBERED, _MOST_REMEMBERED, clock)
        self._origins: Remembered[tuple[int, int], Sequence[Origin]] = Remembered(
            _ORIGINS_REMEMBERED, _MOST_REMEMBERED, clock
        )

    async def grant(self, address: str, field: str | None) -> tuple[Proof, Grant]:
        """The grant of a `Proxy-Authorization` field that came from the address.

        Raises Denied: 407 without a valid token, 429 after too many wrong ones from the address.
        """
        if field is None:  # clients first ask what is wanted
            raise Denied(407, _ASK)
        try:
            proof = parsed(field)
            return proof, await self.again(proof)
        except Denied as denied:
            raise self._counted(address, denied) from None

    def _counted(self, address: str, denied: Denied) -> Denied:
        """A wrong token; one too many from its address says so. A right one is let through all the same."""
        from_here = neighbours(address)
        if (left := self._attempts.wait(from_here)) is not None:
            return Denied(429, "too many wrong tokens from this address", retry_after=left)
        self._attempts.failed(from_here)
        return denied

    async def again(self, proof: Proof) -> Grant:
        """The grant as it is now: an open connection's token may have ended meanwhile. Raises Denied."""

        async def ask() -> Grant | None:
            return await self._look_up(proof.digest)

        found = await self._grants.find(proof.digest, ask)
        if found is None or str(found.account) != proof.account:
            raise Denied(407, "the token is not valid for this account: it is wrong, expired or revoked")
        return found

    async def origins(self, grant: Grant) -> Sequence[Origin]:
        """Where the account's store lives. Raises what the operation does."""

        async def ask() -> Sequence[Origin]:
            found = await self._operations.grants.origins(AccountRef(grant.account, grant.revision))
            return found.origins

        return await self._origins.find((grant.account, grant.revision), ask) or ()

    async def _look_up(self, digest: bytes) -> Grant | None:
        async with reading(self._database) as session:
            scoped = await proxy_tokens.by_digest(session, digest)
            if scoped is not None:
                return _scoped(*scoped)
            whole = await access_tokens.by_digest(session, digest)
        if whole is None or not _usable(whole[1]):
            return None
        token, account, _ = whole
        return Grant(account.id, account.revision, actor=f"access token {token.id}")


def parsed(field: str) -> Proof:
    """What the field says. Raises Denied for anything but Basic with a user name and a password."""
    scheme, _, value = field.strip().partition(" ")
    try:
        account, colon, token = b64decode(value.strip(), validate=True).decode().partition(":")
    except (binascii.Error, UnicodeDecodeError):
        raise Denied(407, _ASK) from None
    if scheme.lower() != "basic" or not colon or not token:
        raise Denied(407, _ASK)
    return Proof(account, tokens.digest(token))


def _scoped(token: ProxyToken, account: Account) -> Grant | None:
    if not _usable(account):
        return None
    return Grant(
        account.id,
        account.revision,
        actor=f"proxy token {token.id}",
        hosts=tuple(json.loads(token.hosts)),
        methods=tuple(json.loads(token.methods)),
        paths=tuple(json.loads(token.paths)),
        read_only=token.read_only,
    )


def _usable(account: Account) -> bool:
    return account.enabled and account.active
