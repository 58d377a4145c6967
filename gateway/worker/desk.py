"""What every operation of the worker is given, and how entries look to whoever asked."""

from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from connectors.interface import Entry, InvalidName, Kind, NotAFolder, Unsupported
from gateway.operations import AccountRef, EntryView, ParentView
from gateway.worker.accounts import Accounts, OpenAccount
from gateway.worker.turns import Turns
from store.engine import Database
from store.envelope import unseal

if TYPE_CHECKING:
    from gateway.tunnel import Hub

type Arguments = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Desk:
    """The worker's parts.

    Attributes:
        resume_within: seconds for which a broken read is tried again.
        upload_expiry: seconds that an upload in parts may take.
    """

    database: Database
    accounts: Accounts
    hub: "Hub"
    private: list[unseal.UnsealingKey]
    resume_within: float
    upload_expiry: float
    turns: Turns = field(default_factory=Turns)

    async def account(self, arguments: Arguments) -> OpenAccount:
        """The account that the operation is for, open."""
        return await self.accounts.require(AccountRef(*arguments["account"]))

    async def able[C](self, arguments: Arguments, protocol: type[C], verb: str) -> tuple[OpenAccount, C]:
        """The account, and its connector as one that can do this. Raises Unsupported."""
        account = await self.account(arguments)
        if not isinstance(account.connector, protocol):
            raise lacks(account, verb)
        return account, account.connector


type Operation = Callable[[Desk, Arguments], Awaitable[Any]]
type Upload = Callable[[Desk, Arguments, AsyncIterator[bytes]], Awaitable[Any]]


@contextmanager
def busy(account: OpenAccount) -> Iterator[None]:
    """While inside, the account is not closed as idle."""
    account.running += 1
    try:
        yield
    finally:
        account.running -= 1


def view(account: OpenAccount, entry: Entry) -> EntryView:
    """The entry with public ids. For a path-based store the path is the raw id."""
    parent = None
    if entry.parent is not None:
        name = entry.parent.rstrip("/").rpartition("/")[2] or "/"
        parent = ParentView(account.ids.make(entry.parent, Kind.FOLDER), name)
    return EntryView(
        id=account.ids.make(entry.raw_id, entry.kind),
        raw_id=entry.raw_id,
        name=entry.name or "/",
        type=entry.kind,
        path="/" + entry.raw_id.rstrip("/"),
        parent=parent,
        size=entry.size,
        modified=entry.modified,
        created=entry.created,
        etag=entry.etag,
        mime_type=entry.mime_type,
        owner=entry.owner,
    )


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
