"""What every operation of the worker is given, and how entries look to whoever asked."""

from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Final, Literal, Self

from connectors.interface import CanSendHeaders, Entry, InvalidName, Kind, NotAFolder, Unsupported
from gateway.access import Attempts
from gateway.operations import AccountRef, Attempt, EntryView, ParentView
from gateway.settings import Settings
from gateway.worker.accounts import Accounts, OpenAccount
from gateway.worker.audit.trail import Trail
from gateway.worker.audit.uses import Uses
from gateway.worker.content.turns import Turns
from gateway.worker.content.walks import Bounds
from gateway.worker.feeds import Collecting, Feeds
from gateway.worker.outside.fetching import Fetcher
from gateway.worker.outside.ways import Way, Ways
from gateway.worker.tasks import Progress, Tasks
from store.engine import Database
from store.envelope import unseal

if TYPE_CHECKING:
    from gateway.tunnel import Hub

type Arguments = dict[str, Any]

_FAILURES: Final = 10
_WINDOW: Final = 60.0


@dataclass(frozen=True, slots=True)
class Desk:
    """The worker's parts, and what its operations may cost.

    Attributes:
        resume_within: seconds for which a broken read is tried again.
        upload_expiry: seconds that an upload in parts may take.
        walking: what one walk may cost.
        files_at_once: of one copy that streams.
        store_tls: who speaks TLS with the stores of proxied requests, where both could.
        feeds: the accounts' events.
        collecting: how often and how far stores are looked through for events.
        attempts: failed ones by kind: so many a minute, for each address.
    """

    database: Database
    accounts: Accounts
    hub: "Hub"
    private: list[unseal.UnsealingKey]
    resume_within: float
    upload_expiry: float
    tasks: Tasks
    trail: Trail
    fetcher: Fetcher
    walking: Bounds
    files_at_once: int
    uses: Uses
    ways: Ways
    store_tls: Literal["proxy", "worker"]
    feeds: Feeds
    collecting: Collecting
    turns: Turns = field(default_factory=Turns)
    attempts: Mapping[Attempt, Attempts] = field(
        default_factory=lambda: {kind: Attempts(_FAILURES, _WINDOW) for kind in Attempt}
    )

    @classmethod
    def furnished(
        cls,
        settings: Settings,
        *,
        database: Database,
        accounts: Accounts,
        hub: "Hub",
        private: list[unseal.UnsealingKey],
    ) -> Self:
        """A desk with what the settings say."""
        uses = Uses(database)
        return cls(
            database=database,
            accounts=accounts,
            hub=hub,
            private=private,
            resume_within=settings.session_linger,
            upload_expiry=settings.multipart_expiry,
            tasks=Tasks(
                database,
                most_running=settings.tasks_running,
                most_waiting=settings.tasks_waiting,
                kept=settings.tasks_kept,
            ),
            fetcher=Fetcher(settings),
            walking=Bounds(settings.walk_entries, settings.walk_seconds),
            files_at_once=settings.copy_files_at_once,
            uses=uses,
            trail=Trail(uses),
            ways=Ways(settings, hub),
            store_tls=settings.proxy_store_tls,
            feeds=Feeds(database),
            collecting=Collecting(
                interval=settings.events_interval,
                entries=settings.events_entries,
                at_once=settings.events_at_once,
                kept=settings.events_kept,
            ),
        )

    async def account(self, arguments: Arguments) -> OpenAccount:
        """The account that the operation is for, open, as the request wishes it.

        Raises Unsupported when the request has headers for the store and the connector can't send them.
        """
        account = await self.accounts.require(AccountRef(**arguments["account"]))
        headers, raw = arguments.get("headers"), arguments.get("raw", False)
        if not headers and not raw:
            return account
        connector = account.connector
        if headers:
            if not isinstance(connector, CanSendHeaders):
                raise lacks(account, "send X-Kloudless-Raw-Headers")
            connector = connector.with_headers(headers)
        return replace(account, connector=connector, shows_raw=raw, shared=account)

    async def other_account(self, arguments: Arguments, first: OpenAccount) -> OpenAccount:
        """The account in `target`, open; the first one itself when it is the same, or none is named."""
        target = arguments.get("target")
        if target is None or target["id"] == first.id:
            return first
        return await self.accounts.require(AccountRef(**target))

    async def able[C](self, arguments: Arguments, protocol: type[C], verb: str) -> tuple[OpenAccount, C]:
        """The account, and its connector as one that can do this. Raises Unsupported."""
        account = await self.account(arguments)
        if not isinstance(account.connector, protocol):
            raise lacks(account, verb)
        return account, account.connector


type Operation = Callable[[Desk, Arguments], Awaitable[Any]]
type Upload = Callable[[Desk, Arguments, AsyncIterator[bytes]], Awaitable[Any]]
type Dial = Callable[[Desk, Arguments], Awaitable[Way]]
type Long = Callable[[Desk, Arguments, Progress], Coroutine[Any, Any, Any]]


@contextmanager
def busy(account: OpenAccount) -> Iterator[None]:
    """While inside, the account is not closed as idle."""
    with (account.shared or account).in_use():
        yield


def view(account: OpenAccount, entry: Entry) -> EntryView:
    """The entry with public ids. For a path-based store the path is the raw id."""
    parent = None
    if entry.parent is not None:
        name = readable(entry.parent).rstrip("/").rpartition("/")[2] or "/"
        parent = ParentView(account.ids.make(entry.parent, Kind.FOLDER), name)
    return EntryView(
        id=account.ids.make(entry.raw_id, entry.kind),
        raw_id=readable(entry.raw_id),
        name=readable(entry.name) or "/",
        type=entry.kind,
        path="/" + readable(entry.raw_id).rstrip("/"),
        parent=parent,
        size=entry.size,
        modified=entry.modified,
        created=entry.created,
        etag=entry.etag,
        mime_type=entry.mime_type,
        owner=entry.owner,
        raw=dict(entry.raw) if account.shows_raw and entry.raw is not None else None,
    )


def readable(name: str) -> str:
    """A name as JSON can hold it: bytes that are no UTF-8 become U+FFFD. The entry's id still has them."""
    return name if name.isascii() else name.encode("utf-8", "surrogateescape").decode("utf-8", "replace")


async def expect(account: OpenAccount, raw_id: str, kind: Kind) -> Entry:
    """The entry, if it is of that kind; else NotAFolder."""
    entry = await account.connector.stat(raw_id)
    if entry.kind is not kind:
        raise NotAFolder(f"this is a {entry.kind.value}, not a {kind.value}")
    return entry


def lacks(account: OpenAccount, verb: str) -> Unsupported:
    """The connector can't do that."""
    return Unsupported(f"the {account.connector.name} connector can't {verb}")


def not_into_itself(entry: Entry, parent: str) -> None:
    """Raises InvalidName when a folder is to go below itself."""
    inside = f"{parent.rstrip('/')}/".startswith(f"{entry.raw_id.rstrip('/')}/")
    if entry.kind is Kind.FOLDER and inside:
        raise InvalidName("a folder can't be put into itself")
