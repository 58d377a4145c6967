"""One container as requests see it: where it is, what lets us in, what its refusals mean."""

import asyncio
import copy
import random
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from email.utils import formatdate
from typing import Self
from urllib.parse import quote

from connectors.azure import documents
from connectors.azure.authorising import Authoriser
from connectors.azure.documents import Blob, Listing
from connectors.azure.errors import refusal
from connectors.azure.settings import AzureSettings
from connectors.azure.signing import Fields, Query, SharedKey
from connectors.http1 import Response
from connectors.http1.callers import added_headers
from connectors.http1.connection import Body
from connectors.http1.places import client_of
from connectors.http1.secure import tls_context
from connectors.interface import Context, Unsupported
from connectors.interface.leavers import Leavers

VERSION = "2021-12-02"
"""Of the protocol: the first that every rule below holds in; Azure goes on to serve old ones."""

_MOST_CONNECTIONS = 128
_LARGEST_ANSWER = 32 * 1024 * 1024
_PARSE_ASIDE = 256 * 1024  # bytes of XML from which parsing goes to a thread
_MOST_LISTED = 5000
_ATTEMPTS = 3
_FIRST_PAUSE = 0.2
_OURS = frozenset(
    {
        *("host", "authorization", "date", "connection", "content-length", "transfer-encoding", "trailer"),
        *("te", "upgrade", "expect", "range", "if-match", "if-none-match", "if-modified-since"),
        *("if-unmodified-since", "accept-encoding", "content-encoding", "content-language", "content-md5"),
        *("content-type", "x-ms-date", "x-ms-version", "x-ms-range", "x-ms-tags", "x-ms-delete-snapshots"),
        *("x-ms-blob-type", "x-ms-blob-content-type", "x-ms-meta-hdi_isfolder"),
    }
)
_OURS_FROM = ("x-ms-copy-", "x-ms-source-")


class Container:
    """Sends authorised requests for blobs of the account's container.

    Attributes:
        base: what the names of all of the account's blobs begin with; empty, or ends with `/`.
        idle_timeout: seconds that the store may be silent, or stand still at a copy.
        leavers: requests whose caller left.
        others: authorises requests that others send.
    """

    def __init__(self, settings: AzureSettings, context: Context) -> None:
        self._path = settings.path()
        self._name = settings.container
        self.base = f"{settings.prefix}/" if settings.prefix else ""
        self.idle_timeout = context.idle_timeout
        key, token = settings.account_key, settings.sas_token
        self._key = SharedKey(settings.account_name, key.get_secret_value()) if key else None
        self._token = token.get_secret_value() if token else ""
        self.others = Authoriser(settings, self._key, self._token, VERSION)
        place = self.others.origin
        self._origin = f"{place.scheme}://{place.authority}"
        tls = tls_context(settings.ca) if place.scheme == "https" else None
        self._client = client_of(place, context, tls, max_connections=_MOST_CONNECTIONS)
        self.leavers = Leavers()
        self._extra: dict[str, str] = {}

    async def aclose(self) -> None:
        """Closes every connection."""
        await self.leavers.aclose()
        await self._client.aclose()

    def with_fields(self, fields: Fields) -> Self:
        """The same container, over the same connections; its requests carry these headers too.

        Raises Unsupported for headers that a request's meaning, framing or signature hangs on.
        """
        extra = added_headers(fields, _OURS, _OURS_FROM)
        clone = copy.copy(self)
        clone._extra = {**self._extra, **extra}  # noqa: SLF001  # its own kind
        return clone

    # requests

    async def request(
        self,
        method: str,
        name: str = "",
        query: Query = (),
        fields: Fields | None = None,
        *,
        body: Body = None,
        length: int | None = None,
    ) -> Response:
        """The answer, of a status from 200 to 299; its body is yet to be read.

        Args:
            method: GET and HEAD are repeated when the store fails for the moment; others never.
            name: the blob's whole name; empty for the container itself.
            query: names and values, plain.
            fields: headers, names in lower case.
            body: bytes, or pieces.
            length: of the pieces; the store takes none without.

        Raises:
            What `Client.request` raises, and what the store's refusal means.
        """
        pause = _FIRST_PAUSE
        for attempt in range(_ATTEMPTS):
            answer = await self._send(method, name, query, fields or {}, body, length)
            if answer.status < 300:
                return answer
            if method not in ("GET", "HEAD") or answer.status < 500 or attempt == _ATTEMPTS - 1:
                break
            await answer.aclose()
            await asyncio.sleep(pause * (1 + random.random()))  # noqa: S311  # spreads the load, hides nothing
            pause *= 2
        raise await refusal(answer)

    async def act(
        self,
        method: str,
        name: str,
        query: Query = (),
        fields: Fields | None = None,
        *,
        body: Body = None,
        length: int | None = None,
    ) -> Response:
        """As `request`, for what says all in its headers: whatever body it has is read."""
        answer = await self.request(method, name, query, fields, body=body, length=length)
        await answer.read(_LARGEST_ANSWER)
        return answer

    async def _send(
        self, method: str, name: str, query: Query, fields: Fields, body: Body, length: int | None
    ) -> Response:
        path = self._target(name)
        framed = {**self._extra, **fields, "x-ms-version": VERSION}
        if self._key is not None:
            framed["x-ms-date"] = formatdate(usegmt=True)
            size = len(body) if isinstance(body, bytes) else length or 0
            signed = {**framed, "content-length": str(size)}
            framed["authorization"] = self._key.authorization(method, path, query, signed)
        headers = [(field.encode(), value.encode()) for field, value in framed.items()]
        asked = "&".join([f"{quote(k, safe='')}={quote(v, safe='')}" for k, v in query])
        target = "?".join(filter(None, (path, "&".join(filter(None, (asked, self._token))))))
        return await self._client.request(method, target, headers, body=body, length=length)

    def _target(self, name: str) -> str:
        return f"{self._path}/{quote(name, safe='/~')}" if name else self._path

    # addresses

    def source(self, name: str) -> str:
        """The blob's address for x-ms-copy-source, with the token, if there is one: a secret then."""
        address = self._origin + self._target(name)
        return f"{address}?{self._token}" if self._token else address

    def presigned(self, name: str, permissions: str, expires: int) -> str:
        """An address by which anyone may do that with the blob for so many seconds.

        Raises Unsupported without a key.
        """
        if self._key is None:
            raise Unsupported("an account with a SAS token can't sign URLs: that takes an account key")
        if expires <= 0:
            raise Unsupported("a presigned URL is good for a second at least")
        query = self._key.blob_sas(
            self._name,
            name,
            permissions=permissions,
            expires=datetime.now(UTC) + timedelta(seconds=expires),
            version=VERSION,
            https=self._origin.startswith("https:"),
        )
        return f"{self._origin}{self._target(name)}?{query}"

    # listings

    async def page(
        self,
        prefix: str,
        *,
        delimiter: str = "",
        include: str = "",
        marker: str | None = None,
        limit: int = _MOST_LISTED,
    ) -> Listing:
        """A page of blobs whose names begin with the prefix, by name. It may be empty and not the last."""
        query = [("restype", "container"), ("comp", "list"), ("maxresults", str(min(limit, _MOST_LISTED)))]
        named = {"prefix": prefix, "delimiter": delimiter, "include": include, "marker": marker or ""}
        query += [(key, value) for key, value in named.items() if value]
        answer = await (await self.request("GET", "", query)).read(_LARGEST_ANSWER)
        aside = len(answer) > _PARSE_ASIDE
        return await asyncio.to_thread(documents.listing, answer) if aside else documents.listing(answer)

    async def pages(self, prefix: str, *, include: str = "") -> AsyncIterator[list[Blob]]:
        """Every blob whose name begins with the prefix, by name, page by page."""
        marker = None
        while True:
            found = await self.page(prefix, include=include, marker=marker)
            yield found.blobs
            if (marker := found.marker) is None:
                return

    async def first_below(self, prefix: str) -> Blob | None:
        """The first blob whose name begins with the prefix."""
        marker = None
        while True:
            found = await self.page(prefix, marker=marker, limit=1)
            if found.blobs:
                return found.blobs[0]
            if (marker := found.marker) is None:
                return None
