"""One call of the API as its view sees it: the request, the gateway's parts, who asks for which account."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route
from starlette.types import Receive, Scope, Send

from gateway.access import Caller, Callers, NotYours, neighbours
from gateway.api.errors import ApiError, invalid
from gateway.api.parameters import LONGEST_ID
from gateway.api.raw_headers import raw_headers
from gateway.operations import AccountRef, Operations, Wishes, wishes
from gateway.settings import Settings
from store import envelope
from store.engine import Database
from store.tables import Account, Developer

PARTS = "isthmus.parts"


@dataclass(frozen=True, slots=True)
class Parts:
    """What the api is made of; every view reaches it through its call."""

    settings: Settings
    database: Database
    operations: Operations
    callers: Callers
    sealing: envelope.SealingKey
    hashing: asyncio.Semaphore  # each password costs 64 MiB and a core for its time


class Call(Request):
    """A request with the gateway's parts."""

    _actor: str | None = None

    @cached_property
    def parts(self) -> Parts:
        """What the api is made of."""
        found: Parts = self.scope[PARTS]
        return found

    @cached_property
    def base(self) -> str:
        """`{base_url}/v1` as the client sees it."""
        public = self.parts.settings.public_url
        if public:
            return f"{public.rstrip('/')}/v1"
        host = self.headers.get("host") or "{}:{}".format(*self.scope["server"])
        return f"{self.scope['scheme']}://{host}/v1"

    @cached_property
    def wants_raw(self) -> bool:
        """Whether `X-Kloudless-Raw-Data` asks for the store's own description."""
        return self.headers.get("x-kloudless-raw-data", "").lower() == "true"

    @cached_property
    def counted_as(self) -> str:
        """Whose failed attempts this client's are counted with."""
        return neighbours(self.client.host) if self.client else ""

    async def caller(self) -> Caller:
        """Who asks. Raises Refused."""
        asking = await self.parts.callers.resolve(self.headers.get("authorization"))
        self._actor = asking.actor
        return asking

    async def developer(self) -> Developer:
        """The developer who asks; a key of another kind is a 403."""
        found = (await self.caller()).developer
        if found is None:
            raise ApiError(403, "forbidden", "the Meta API takes a developer's Meta token")
        return found

    async def accounts(self) -> list[Account]:
        """The accounts in the path. Raises NotYours for any that the caller may not know of."""
        return await self.parts.callers.accounts(await self.caller(), self.path_params["accounts"])

    async def account(self) -> Account:
        """The one account in the path."""
        found = await self.accounts()
        if len(found) != 1:
            raise invalid("account", "this takes one account, not several")
        return found[0]

    async def stores(self) -> list[Account]:
        """The accounts in the path, each ready for operations."""
        return [self._usable(account) for account in await self.accounts()]

    async def store(self, *, as_task: bool = False) -> Account:
        """The one account in the path, ready for operations; `as_task` where a task can do them."""
        return self._usable(await self.account(), as_task=as_task)

    async def other_store(self, given: Mapping[str, Any], here: Account) -> Account | None:
        """The account that a body's `account` names, ready for operations; None for this one, or none.

        Raises NotYours unless the caller has that one too.
        """
        named = given.get("account")
        if named is None or named in ("me", here.id, str(here.id)):
            return None
        if isinstance(named, bool) or not isinstance(named, int | str) or "," in str(named):
            raise invalid("account", "must be an account's id")
        found = await self.parts.callers.accounts(await self.caller(), str(named))
        return self._usable(found[0], as_task=True)

    @property
    def wants_task(self) -> bool:
        """Whether the client wants to poll for the outcome instead of waiting for it."""
        asynchronous = self.headers.get("x-kloudless-async", "").lower() == "true"
        return asynchronous or self.query_params.get("return_type") == "task"

    @property
    def entry_id(self) -> str:
        """The id of a file or folder in the path; what is longer than any of ours is NotYours."""
        given: str = self.path_params["id"]
        if len(given) > LONGEST_ID:
            raise NotYours
        return given

    def _usable(self, account: Account, *, as_task: bool = False) -> Account:
        if not (account.enabled and account.active):
            raise ApiError(403, "forbidden", f"account {account.id} is switched off")
        # a client that asks for more than we can must not take our answer for it
        if self.wants_task and not as_task:
            raise not_implemented("X-Kloudless-Async (return_type=task) for this call")
        if "x-kloudless-as-user" in self.headers:
            raise ApiError(403, "forbidden", "X-Kloudless-As-User: this is not an admin account")
        address = None if self.client is None else self.client.host
        wishes.current.set(Wishes(self.wants_raw, raw_headers(self), self._actor, address))
        return account


type View = Callable[[Call], Awaitable[Response]]


class Resource:
    """One path of the API: a view for each method that it has. HEAD goes where GET does."""

    def __init__(self, path: str, views: dict[str, View]) -> None:
        self.path = path
        self._views = views if "GET" not in views else {"HEAD": views["GET"], **views}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answers one request, or raises the 405 that says what there is."""
        view = self._views.get(scope["method"])
        if view is None:
            raise MethodNotAllowed(self._views)
        response = await view(Call(scope, receive, send))
        await response(scope, receive, send)


class MethodNotAllowed(ApiError):
    """The path has no such method."""

    def __init__(self, allowed: dict[str, View]) -> None:
        names = ", ".join(sorted(allowed))
        super().__init__(405, "not_allowed", f"this takes {names}", headers={"Allow": names})


def resource(path: str, **views: View) -> Route:
    """The route of a path: `resource("/v1/x/{id}", GET=show, DELETE=remove)`."""
    return Route(path, Resource(path, views))


def ref(account: Account) -> AccountRef:
    """The account as operations name it."""
    return AccountRef(account.id, account.revision)


def not_implemented(what: str) -> ApiError:
    """501 that says what is missing."""
    return ApiError(501, "not_implemented", f"{what} is not implemented by this gateway")
