"""The connector: what a plugin is, and the five verbs that each one has."""

import asyncio
from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field
from typing import ClassVar, Self
from weakref import WeakValueDictionary

from pydantic import BaseModel, ConfigDict, SecretStr, model_validator

from connectors.interface.capabilities import Capability
from connectors.interface.entry import Content, Entry, Kind, Page, Span
from connectors.interface.identity import Identity
from connectors.interface.network import Dialer
from connectors.interface.renewals import Alone, Renewals

CHUNK = 256 * 1024

type Locks = WeakValueDictionary[str, asyncio.Lock]


class Settings(BaseModel):
    """Base of every connector's settings: the connect form, the CLI's options and the import's check.

    Secrets are `SecretStr` fields; everything in here is sealed as one credential.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    def display_name(self) -> str:
        """The account's name for people, such as `user@host`; never a secret."""
        return type(self).__name__

    def trusting(self, authorities: str | None) -> Self:
        """These settings, where they leave open whom to trust for TLS: with these authorities (PEM).

        A connector takes part by a setting `ca` of the kind `values.Certificates`.
        """
        if authorities is None or "ca" not in type(self).model_fields or getattr(self, "ca", None):
            return self
        return self.model_copy(update={"ca": authorities})

    @model_validator(mode="after")
    def _one_identity(self) -> Self:
        self.identity()
        return self

    def identity(self) -> Identity | None:
        """The client certificate that the account shows to its store, if it has one.

        A connector takes part by settings `client_certificate` and `client_key` of the kinds in `identity`.
        """
        return Identity.of(getattr(self, "client_certificate", None), getattr(self, "client_key", None))

    def revealed(self) -> dict[str, object]:
        """The settings as plain values, secrets in the clear: only ever to be sealed."""
        return {
            name: value.get_secret_value() if isinstance(value, SecretStr) else value
            for name, value in self.model_dump().items()
        }


@dataclass(frozen=True, slots=True)
class Context:
    """What the gateway lends an open connector.

    Attributes:
        dialer: reaches the store.
        idle_timeout: seconds that a store may be silent before TimedOut.
        remember: stores a change of settings durably (a host key that was trusted on first use); the
            mapping is merged into the account's sealed settings before the call returns.
        locks: by raw id, for a connector that has to look before it writes. The account's connectors share
            them: when an agent leaves, a former one ends its transfers beside the new one.
        leaving: what is called when an agent leaves that connections run through. Who keeps several for later
            adds what gives them up: idle ones at once, others as soon as their request has ended. A connector
            that keeps one need not: it is closed when nothing runs on it.
        renewals: for tokens that are renewed: one asks for one, and all who have the account open share it.
    """

    dialer: Dialer
    idle_timeout: float
    remember: Callable[[dict[str, str]], Awaitable[None]]
    locks: Locks = field(default_factory=WeakValueDictionary)
    leaving: list[Callable[[], None]] = field(default_factory=list)
    renewals: Renewals = field(default_factory=Alone)


class Connector(ABC):
    """One open account on a store. Safe to use from several asyncio tasks at once.

    Every verb raises a `StoreError` leaf and nothing else on purpose.
    """

    name: ClassVar[str]
    friendly_name: ClassVar[str]
    category: ClassVar[str] = "file_store"
    settings: ClassVar[type[Settings]]
    on_gateway: ClassVar[bool] = False
    """Whether it opens the gateway's own machine: then only who runs that connects accounts."""
    capabilities: ClassVar[frozenset[Capability]] = frozenset()

    @classmethod
    def normal_id(cls, raw_id: str, kind: Kind) -> str:
        """The raw id as this connector writes it, of one as people write it: `/docs/` is `docs`."""
        return raw_id.strip("/")

    @classmethod
    @abstractmethod
    async def open(cls, settings: Settings, context: Context) -> Self:
        """An open account. Connects lazily or at once; raises BadCredential, UntrustedHost, Unavailable."""

    @abstractmethod
    async def aclose(self) -> None:
        """Gives up every connection; running verbs fail with Unavailable."""

    @abstractmethod
    async def stat(self, raw_id: str) -> Entry:
        """The entry with this raw id (`""` is the root). Raises NotFound."""

    async def child(self, parent: str, name: str) -> Entry:
        """The entry of that name in a folder. Raises NotFound. As here where a path is the id."""
        return await self.stat(f"{parent}/{name}" if parent else name)

    @abstractmethod
    async def list(self, folder: str, cursor: str | None, limit: int) -> Page:
        """At most `limit` entries of a folder, each once, in a stable order. Raises NotFound, NotAFolder."""

    @abstractmethod
    async def read(self, raw_id: str, span: Span | None = None, *, etag: str | None = None) -> Content:
        """The file's bytes, all or a span (cut at the end of the file).

        Args:
            raw_id: the file.
            span: None is the whole file.
            etag: when given, only this version: PreconditionFailed if the file is another one now.

        Raises:
            NotFound, NotAFolder, BadSpan (the span starts at or after the end), PreconditionFailed.
            While chunks are read: Unavailable (may be resumed), TimedOut, PreconditionFailed (it changed).
        """

    @abstractmethod
    async def write(
        self,
        parent: str,
        name: str,
        chunks: AsyncIterator[bytes],
        *,
        size: int | None,
        replace: bool,
        etag: str | None = None,
    ) -> Entry:
        """The new file, after its last byte is stored. An error of `chunks` is passed on as it is.

        Until the end the name does not exist, or holds its former bytes: the content goes to a temporary
        name beside it. On any error, cancellation included, the temporary file is removed.

        Args:
            parent: the folder.
            name: the file's name.
            chunks: the bytes, in pieces of any size.
            size: bytes, when known beforehand.
            replace: False raises AlreadyExists when the name is taken.
            etag: when given, replace only this version, else PreconditionFailed.
        """

    @abstractmethod
    async def delete(self, raw_id: str, *, recursive: bool = False) -> None:
        """Removes a file, or a folder (NotEmpty unless empty or `recursive`). Raises NotFound."""
