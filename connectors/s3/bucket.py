"""One bucket as requests see it: where it is, what of them is signed, what its refusals mean.

What is streamed is sent as UNSIGNED-PAYLOAD. Its digest would have to be known before the first byte, and
the signature of each chunk in its place costs a SHA-256 of all content. Over https TLS keeps the bytes whole;
over plain http whoever can change an upload can change each download as well, which no request's signature
keeps whole. Bodies that we make ourselves are signed.
"""

import asyncio
import copy
import hashlib
import random
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Self
from urllib.parse import quote, urlsplit

from connectors.http1 import Response
from connectors.http1.callers import added_headers
from connectors.http1.connection import Body
from connectors.http1.places import client_of
from connectors.http1.secure import tls_context
from connectors.interface import BadAnswer, Context, InvalidName, Origin
from connectors.interface.leavers import Leavers
from connectors.s3 import documents
from connectors.s3.authorising import Authoriser
from connectors.s3.documents import Document, Listing, Version, Versions
from connectors.s3.errors import meaning, refusal
from connectors.s3.settings import S3Settings

if TYPE_CHECKING:
    from connectors.s3.signing import Signer

type Query = Sequence[tuple[str, str]]
type Fields = Mapping[str, str]

_UNSIGNED = "UNSIGNED-PAYLOAD"
_MOST_CONNECTIONS = 128
_LARGEST_ANSWER = 16 * 1024 * 1024
_PARSE_ASIDE = 256 * 1024  # bytes of XML from which parsing goes to a thread
_MOST_KEYS = 1000  # of a listing and of a deletion
_ATTEMPTS = 3
_FIRST_PAUSE = 0.2
_LAST = "\U0010ffff"  # sorts after whatever follows a prefix
# proxies between us and the store may change these, and a caller's own are no business of the signature
_UNSIGNED_FIELDS = frozenset({"accept-encoding", "expect"})
_OURS = frozenset(
    {
        *("host", "authorization", "date", "connection", "content-length", "transfer-encoding", "trailer"),
        *("te", "upgrade", "expect", "range", "if-match", "if-none-match", "if-modified-since"),
        *("if-unmodified-since", "accept-encoding", "content-encoding", "content-md5", "content-type"),
        *("x-amz-date", "x-amz-content-sha256", "x-amz-security-token", "x-amz-decoded-content-length"),
        *("x-amz-metadata-directive", "x-amz-tagging", "x-amz-tagging-directive", "x-amz-trailer"),
    }
)
_OURS_FROM = ("x-amz-copy-source",)
# what a store makes another character of, by the name that it gives itself
_ALTERED = {"SeaweedFS": "\\"}


class Bucket:
    """Sends signed requests for keys of the account's bucket.

    Attributes:
        base: the key that all of the account's keys begin with; empty, or ends with `/`.
        leavers: requests whose caller left.
        others: authorises requests that others send.
    """

    def __init__(self, settings: S3Settings, context: Context, signer: "Signer") -> None:
        url = urlsplit(settings.origin())
        host, port = url.hostname or "", url.port or (443 if url.scheme == "https" else 80)
        if settings.in_host() and not _is_address(host):
            host, self._path = f"{settings.bucket}.{host}", "/"
        else:
            self._path = f"/{settings.bucket}/"
        place = Origin(url.scheme, host, port)
        self._host = place.authority
        self._origin = f"{url.scheme}://{self._host}"
        self._name = settings.bucket
        self._conditional = settings.conditional_writes
        self.base = f"{settings.prefix}/" if settings.prefix else ""
        tls = tls_context(settings.ca, settings.identity()) if url.scheme == "https" else None
        self._client = client_of(place, context, tls, max_connections=_MOST_CONNECTIONS)
        self._signer = signer
        self.others = Authoriser(settings, signer)
        self.leavers = Leavers()
        self._extra: dict[str, str] = {}
        self._altered = ""

    async def aclose(self) -> None:
        """Closes every connection."""
        await self.leavers.aclose()
        await self._client.aclose()

    def with_fields(self, fields: Fields) -> Self:
        """The same bucket, over the same connections; its requests carry these headers too.

        Raises Unsupported for headers that a request's meaning, framing or signature hangs on.
        """
        extra = added_headers(fields, _OURS, _OURS_FROM)
        clone = copy.copy(self)
        clone._extra = {**self._extra, **extra}  # noqa: SLF001  # its own kind
        return clone

    def condition(self, *, replace: bool, etag: str | None = None) -> Fields:
        """The header by which the store itself refuses to write: over another version, or a taken name."""
        if not self._conditional or (replace and etag is None):
            return {}
        return {"if-none-match": "*"} if etag is None else {"if-match": f'"{etag}"'}

    def check_characters(self, name: str) -> None:
        """Raises InvalidName for a name that this store would keep as another; known after an answer."""
        if set(name) & set(self._altered):
            raise InvalidName(f"this store can't hold {self._altered} in a name")

    # requests

    async def request(
        self,
        method: str,
        key: str = "",
        query: Query = (),
        fields: Fields | None = None,
        *,
        body: Body = None,
        length: int | None = None,
    ) -> Response:
        """The answer, of a status from 200 to 299.

        Args:
            method: GET and HEAD are repeated when the store fails for the moment, if it does not say for how
                long; others never.
            key: the whole key; empty for the bucket itself.
            query: names and values, plain.
            fields: headers, names in lower case.
            body: bytes (their digest is signed) or pieces (UNSIGNED-PAYLOAD).
            length: of the pieces.

        Raises:
            What `Client.request` raises, and what the store's refusal means.
        """
        pause = _FIRST_PAUSE
        for attempt in range(_ATTEMPTS):
            answer = await self._send(method, key, query, fields or {}, body, length)
            if answer.status < 300:
                return answer
            told_when = answer.header(b"retry-after") is not None
            safe = method in ("GET", "HEAD") and answer.status >= 500
            if not safe or told_when or attempt == _ATTEMPTS - 1:
                break
            await answer.aclose()
            await asyncio.sleep(pause * (1 + random.random()))  # noqa: S311  # spreads the load, hides nothing
            pause *= 2
        if method == "HEAD" and answer.status in (400, 403):
            return await self._explained(answer, key)
        raise await refusal(answer)

    async def document(
        self,
        method: str,
        key: str,
        query: Query,
        fields: Fields | None = None,
        *,
        body: bytes | None = None,
    ) -> Document:
        """The XML that a request answers with. A failure may come after a status of 200: it is raised too."""
        answer = await self.request(method, key, query, fields, body=body)
        status, text = answer.status, await answer.read(_LARGEST_ANSWER)
        found = (
            await asyncio.to_thread(Document.parse, text)
            if len(text) > _PARSE_ASIDE
            else Document.parse(text)
        )
        if found.name == "Error":
            raise meaning(500 if status == 200 else status, found.text("Code"))
        return found

    def presigned(self, method: str, key: str, expires: int) -> str:
        """A URL that anyone may send that request to, for so many seconds."""
        return self._signer.presigned(method, self._origin + self._target(key), expires)

    def source(self, key: str) -> str:
        """The key as x-amz-copy-source wants it."""
        return quote(f"/{self._name}/{key}", safe="/")

    async def _send(
        self, method: str, key: str, query: Query, fields: Fields, body: Body, length: int | None
    ) -> Response:
        target = self._target(key)
        if query:
            target += "?" + "&".join(f"{quote(k, safe='')}={quote(v, safe='')}" for k, v in query)
        unsigned = {k: v for k, v in fields.items() if k in _UNSIGNED_FIELDS}
        signed = {"host": self._host, **{k: v for k, v in fields.items() if k not in _UNSIGNED_FIELDS}}
        for name, value in self._extra.items():
            # the store wants its own kind of header under the signature
            (signed if name.startswith("x-amz-") else unsigned)[name] = value
        payload = _UNSIGNED
        if body is None or isinstance(body, bytes):
            payload = hashlib.sha256(body or b"").hexdigest()
        framed = {**self._signer.signed(method, self._origin + target, signed, payload), **unsigned}
        del framed["host"]  # the client's own
        headers = [(name.encode(), value.encode()) for name, value in framed.items()]
        answer = await self._client.request(method, target, headers, body=body, length=length)
        server = answer.header(b"server") or ""
        self._altered = next((chars for name, chars in _ALTERED.items() if server.startswith(name)), "")
        return answer

    async def _explained(self, refused: Response, key: str) -> Response:
        """Raises what a refused HEAD meant: its answer has no body, so the first byte is asked for."""
        await refused.aclose()
        answer = await self._send("GET", key, (), {"range": "bytes=0-0"}, None, None)
        if answer.status >= 300:
            raise await refusal(answer)
        await answer.aclose()
        raise meaning(refused.status, "")

    def _target(self, key: str) -> str:
        path = self._path + quote(key, safe="/~")
        return path if key or self._path == "/" else path.removesuffix("/")

    # listings

    async def list(
        self, prefix: str, *, delimiter: str = "", cursor: str | None = None, limit: int = _MOST_KEYS
    ) -> tuple[Listing, str | None]:
        """A page of keys that begin with the prefix, and the cursor of the next one.

        The cursor is the store's own token. Not every store writes a token that XML can hold (SeaweedFS's is
        the last key as it is): then it is the last key, by which start-after goes on.
        """
        query = [("list-type", "2"), ("prefix", prefix), ("encoding-type", "url")]
        query.append(("max-keys", str(min(limit, _MOST_KEYS))))
        if delimiter:
            query.append(("delimiter", delimiter))
        if cursor is not None:
            query.append(("continuation-token" if cursor[:1] == "t" else "start-after", cursor[1:]))
        found = documents.listing(await self.document("GET", "", query))
        if found.token is None:
            return found, None
        last = max(
            [*(one.key for one in found.objects), *(one + _LAST for one in found.prefixes)], default=""
        )
        if found.token and "\ufffd" not in found.token:
            return found, "t" + found.token
        if not last:
            raise BadAnswer("the store says that its listing goes on, but not where")
        return found, "a" + last

    async def versions(self, prefix: str, key_marker: str = "", id_marker: str = "") -> Versions:
        """A page of the versions of keys that begin with the prefix."""
        query = [("versions", ""), ("prefix", prefix), ("encoding-type", "url")]
        if key_marker:
            query += [("key-marker", key_marker), ("version-id-marker", id_marker)]
        return documents.versions(await self.document("GET", "", query))

    # deletions

    async def delete(self, key: str, version: str = "") -> None:
        """Deletes the key, or one version of it; nothing where there is none."""
        query = [("versionId", version)] if version else []
        await (await self.request("DELETE", key, query)).aclose()

    async def delete_all(self, doomed: Sequence[Version]) -> None:
        """Deletes these, at most 1000, in one request; one by one those whose keys XML can't hold."""
        fit = [one for one in doomed if documents.writable(one.key)]
        if len(fit) == 1:
            await self.delete(fit[0].key, fit[0].id)
        elif fit:
            body = documents.deletion(fit)
            fields = {"content-md5": documents.md5(body), "content-type": "application/xml"}
            told = await self.document("POST", "", [("delete", "")], fields, body=body)
            for failed in told.all("Error"):
                if (code := failed.text("Code")) not in ("NoSuchKey", "NoSuchVersion"):
                    raise meaning(500, code)
        for one in doomed:
            if not documents.writable(one.key):
                await self.delete(one.key, one.id)


def after(key: str) -> str | None:
    """The cursor that begins a listing after the key; None where it is empty.

    A listing of a folder begins after the folder's own marker, which is no entry of it: SeaweedFS counts it
    among the first page's keys, and with a limit of 1 then says that there are no more.
    """
    return f"a{key}" if key else None


def _is_address(host: str) -> bool:
    return ":" in host or host.replace(".", "").isdigit()
