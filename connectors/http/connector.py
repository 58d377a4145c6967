"""The HTTP connector: files are what GET answers, everything else is the API's own business."""

import re
from collections.abc import AsyncIterator, Sequence
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import ClassVar, NoReturn, Self
from urllib.parse import quote

from connectors.http.errors import refusal
from connectors.http.server import Server
from connectors.http.settings import HttpSettings
from connectors.http1 import Response
from connectors.http1.spans import cut
from connectors.interface import (
    Authorised,
    BadAnswer,
    BadCredential,
    BadSpan,
    Capability,
    Connector,
    Content,
    Context,
    Entry,
    Held,
    Kind,
    NotAFolder,
    Origin,
    Page,
    PreconditionFailed,
    Request,
    Settings,
    Span,
    Unsupported,
)
from connectors.interface.paths import Parts, parent_of, split

_AS_IT_IS = (b"accept-encoding", b"identity")
_STRONG = re.compile(r'"([\x21\x23-\x7e\x80-\xff]*)"')  # RFC 9110, 8.8.3
_RANGE = re.compile(r"bytes (\d+)-(\d+)/(\d+|\*)", re.IGNORECASE)  # RFC 9110, 14.4


class HttpConnector(Connector):
    """One HTTP API or file tree; an id is a path below its URL."""

    name: ClassVar[str] = "http"
    friendly_name: ClassVar[str] = "HTTP API"
    settings: ClassVar[type[Settings]] = HttpSettings
    capabilities: ClassVar[frozenset[Capability]] = frozenset({Capability.RAW})

    def __init__(self, server: Server) -> None:
        self._server = server

    @classmethod
    async def open(cls, settings: Settings, context: Context) -> Self:
        """Connects at the first verb."""
        assert isinstance(settings, HttpSettings)  # noqa: S101  the registry pairs them
        return cls(Server(settings, context))

    async def aclose(self) -> None:
        """Closes every connection."""
        await self._server.aclose()

    def origins(self) -> Sequence[Origin]:
        """The account's URL."""
        return [self._server.place]

    async def authorise(self, request: Request, *, refused: str | None = None) -> Authorised:
        """As the settings declare; after a refusal by a new token, one for all who had the old."""
        return await self._server.authorise(request, refused)

    async def stat(self, raw_id: str) -> Entry:
        """A file as HEAD tells of it; the root is a folder, if the API takes the credential at all."""
        parts = split(raw_id)
        if not parts:
            await self._try()
            return Entry("", "", Kind.FOLDER, None)
        answer = await self._looked_at(self._path(parts))
        if answer.status not in (200, 204):
            raise await refusal(answer)
        await answer.aclose()
        return _entry(parts, answer, _length(answer))

    async def read(self, raw_id: str, span: Span | None = None, *, etag: str | None = None) -> Content:
        """What GET answers; of a server that knows no ranges the span is cut out."""
        parts = split(raw_id)
        if not parts:
            raise NotAFolder("this is a folder, not a file")
        asked = [_AS_IT_IS]
        if span is not None:
            last = "" if span.last is None else span.last
            asked.append((b"range", f"bytes={span.first}-{last}".encode()))
        if etag is not None:
            asked.append((b"if-match", f'"{etag}"'.encode("latin-1")))
        answer = await self._server.request("GET", self._path(parts), asked)
        try:
            if answer.status == 206 and span is not None:
                return self._opened(parts, answer, _whole(answer, span), etag)
            if answer.status not in (200, 204):
                raise await refusal(answer)
            content = self._opened(parts, answer, _length(answer), etag)
            size = content.entry.size
            if span is not None and size is not None and span.first >= size:
                raise BadSpan("the span starts at or after the file's end")
        except BaseException:
            await answer.aclose()
            raise
        return content if span is None else Content(content.entry, Held(cut(answer, span), answer.aclose))

    async def list(self, folder: str, cursor: str | None, limit: int) -> Page:
        """HTTP has no listings."""
        _lacks("list folders")

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
        """A PUT does not say that half a file never has the name, and may mean anything to an API."""
        _lacks("store files")

    async def delete(self, raw_id: str, *, recursive: bool = False) -> None:
        """What a DELETE takes with it is the API's own to say."""
        _lacks("delete")

    def _path(self, parts: Parts) -> str:
        return self._server.place.path + quote("/".join(parts), errors="surrogateescape")

    async def _try(self) -> None:
        """Raises BadCredential if the account's URL refuses the account; any other answer will do."""
        answer = await self._server.request("HEAD", self._server.root)
        await answer.aclose()
        if answer.status in (401, 403):
            raise BadCredential("the API does not accept the account's credential")

    async def _looked_at(self, path: str) -> Response:
        answer = await self._server.request("HEAD", path, [_AS_IT_IS])
        if answer.status not in (405, 501):
            return answer
        await answer.aclose()
        return await self._server.request("GET", path, [_AS_IT_IS])

    def _opened(self, parts: Parts, answer: Response, size: int | None, etag: str | None) -> Content:
        if answer.header(b"content-encoding") not in (None, "identity"):
            raise BadAnswer("the API packs its answers although it was asked not to")
        entry = _entry(parts, answer, size)
        if etag is not None and entry.etag != etag:
            raise PreconditionFailed("the file is another version now")
        return Content(entry, answer.chunks())


def _lacks(what: str) -> NoReturn:
    raise Unsupported(
        f"HTTP itself has no way to {what}, only an API of its own has: use raw requests or the native proxy"
    )


def _entry(parts: Parts, answer: Response, size: int | None) -> Entry:
    strong = _STRONG.fullmatch(answer.header(b"etag") or "")  # a weak one may stay though the bytes change
    return Entry(
        "/".join(parts),
        parts[-1],
        Kind.FILE,
        parent_of(parts),
        size=size,
        modified=_time(answer.header(b"last-modified")),
        etag=strong[1] if strong else None,
        mime_type=(answer.header(b"content-type") or "").partition(";")[0].strip() or None,
    )


def _time(told: str | None) -> datetime | None:
    try:
        return parsedate_to_datetime(told).astimezone(UTC) if told else None
    except ValueError:
        return None


def _length(answer: Response) -> int | None:
    told = answer.header(b"content-length")
    return int(told) if told is not None and told.isdigit() else None


def _whole(answer: Response, span: Span) -> int | None:
    """Bytes of the file of which this is a part. Raises BadAnswer for another part than was asked for."""
    told = _RANGE.fullmatch(answer.header(b"content-range") or "")
    if told is None or int(told[1]) != span.first or (span.last is not None and int(told[2]) > span.last):
        raise BadAnswer("the API answered with another range than it was asked for")
    return None if told[3] == "*" else int(told[3])
