"""Requests that somebody else sends with an account's authorisation: what they ask a worker about them."""

from dataclasses import dataclass, replace
from typing import Any, Self

import orjson

from connectors.interface import Authorised, ErrorForm, Origin, Request, Signing
from gateway.operations.messages import AccountRef
from gateway.operations.uploads import Ask


@dataclass(frozen=True, slots=True)
class NetworkView:
    """The private network that an account's store is in."""

    id: int
    name: str


@dataclass(frozen=True, slots=True)
class OriginsView:
    """Where an account's requests go, and nowhere else; `network` None is reached from the gateway itself."""

    origins: tuple[Origin, ...]
    network: NetworkView | None

    @classmethod
    def from_json(cls, value: dict[str, Any]) -> Self:
        """The view that the worker sent."""
        network = value["network"]
        return cls(
            tuple(_origin(one) for one in value["origins"]),
            NetworkView(**network) if network else None,
        )


def _origin(value: dict[str, Any]) -> Origin:
    signing, errors = value["signing"], value["errors"]
    named = {
        "signing": Signing(signing) if signing else None,
        "errors": ErrorForm(errors) if errors else None,
    }
    return Origin(**{**value, **named})


class Grants:
    """Calls a worker about authorisation.

    Every method raises Unsupported where the connector has no HTTP API of the store's own to offer.
    """

    def __init__(self, ask: Ask) -> None:
        self._ask = ask

    async def origins(self, account: AccountRef) -> OriginsView:
        """The account's origins, the one of relative URIs first. Nothing secret: it may be remembered."""
        return OriginsView.from_json(await self._ask("origins", account=account))

    async def passage(self, account: AccountRef, host: str, port: int, *, actor: str) -> None:
        """Returns when `Dialing.past` would be tried for this place; each call is one row of the audit log.

        Raises NotPermitted when the worker does not list the place, it is the account's own, or it has an
        address that the gateway does not go to.
        """
        await self._ask("passage", account=account, host=host, port=port, actor=actor)

    async def authorise(
        self, account: AccountRef, request: Request, *, actor: str, refused: str | None = None
    ) -> Authorised:
        """The request's head with the account's authorisation; each call is one row of the audit log.

        What comes back holds a secret, good for this one request: it is sent at once and not kept.

        Args:
            account: whose authorisation.
            request: its origin is one of `origins`.
            actor: who sends it, as the audit log names callers.
            refused: the WWW-Authenticate of a 401 to the same request before.

        Raises:
            NotPermitted: the origin or path is not the account's.
            Unsupported: it can't be authorised as it is; the message says why.
            BadCredential: the store has refused the best that we have.
        """
        body = orjson.dumps(replace(request, origin=replace(request.origin, ca=None)))
        found = await self._ask("grant", body, len(body), account=account, actor=actor, refused=refused)
        return Authorised(
            found["target"],
            [(name, value) for name, value in found["fields"]],
            tuple(found["secrets"]),
            found["expires"],
        )
