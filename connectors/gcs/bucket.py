"""One bucket as requests see it: where it is, what they carry, what its refusals mean."""

import asyncio
import copy
import json
import random
import ssl
from collections.abc import Mapping
from typing import Any, Self
from urllib.parse import quote, urlencode

from connectors.gcs.authorising import Authoriser
from connectors.gcs.errors import refusal
from connectors.gcs.settings import GcsSettings
from connectors.gcs.tokens import tokens_of
from connectors.http1 import Response
from connectors.http1.callers import added_headers
from connectors.http1.connection import Body
from connectors.http1.places import client_of
from connectors.interface import BadAnswer, Context, Origin
from connectors.interface.leavers import Leavers

type Query = Mapping[str, str]
type Fields = Mapping[str, str]
type Document = dict[str, Any]  # what the store says, as JSON has it

LARGEST_ANSWER = 16 * 1024 * 1024
"""Bytes of an answer that is no content."""

_MOST_CONNECTIONS = 128
_PARSE_ASIDE = 256 * 1024  # bytes of JSON from which parsing goes to a thread
_ATTEMPTS = 3
_FIRST_PAUSE = 0.2
_OURS = frozenset(
    {
        *("host", "authorization", "connection", "content-length", "transfer-encoding", "trailer", "te"),
        *("upgrade", "expect", "range", "content-range", "content-type", "content-encoding"),
        *("accept-encoding", "x-http-method-override"),
    }
)
_OURS_FROM = ("if-", "x-goog-if-", "x-goog-copy-source", "x-goog-resumable", "x-upload-", "x-goog-upload-")


class Bucket:
    """Sends requests in the account's name.

    Attributes:
        name: the bucket's.
        base: what the names of all of the account's objects begin with; empty, or ends with `/`.
        origin: the endpoint.
        leavers: requests whose caller left.
        others: authorises requests that others send.
    """

    def __init__(self, settings: GcsSettings, context: Context) -> None:
        tls = ssl.create_default_context(cadata=settings.ca)
        self.origin = Origin.of(settings.endpoint, settings.ca)
        self.name = settings.bucket
        self.base = f"{settings.prefix}/" if settings.prefix else ""
        self.account = settings.service_account()
        self._client = client_of(self.origin, context, tls, max_connections=_MOST_CONNECTIONS)
        self._tokens = None if self.account is None else tokens_of(self.account, context, tls)
        self.others = Authoriser(settings, self.origin, self._tokens)
        self.leavers = Leavers()
        self._extra: dict[str, str] = {}

    async def aclose(self) -> None:
        """Closes every connection."""
        await self.leavers.aclose()
        await self._client.aclose()
        if self._tokens is not None:
            await self._tokens.aclose()

    def with_fields(self, fields: Fields) -> Self:
        """The same bucket, over the same connections; its requests carry these headers too.

        Raises Unsupported for headers that a request's meaning, framing or authentication hangs on.
        """
        extra = added_headers(fields, _OURS, _OURS_FROM)
        clone = copy.copy(self)
        clone._extra = {**self._extra, **extra}  # noqa: SLF001  # its own kind
        return clone

    def objects(self, *path: str) -> str:
        """The path of the bucket's objects in the JSON API, or of what is below them."""
        return "/".join([f"/storage/v1/b/{quote(self.name, safe='')}/o", *(quote(p, safe="") for p in path)])

    async def request(
        self,
        method: str,
        path: str,
        query: Query | None = None,
        fields: Fields | None = None,
        *,
        body: bytes | None = None,
    ) -> Response:
        """The answer, of a status from 200 to 299.

        Args:
            method: GET is repeated when the store fails for the moment, if it does not say for how long;
                others never.
            path: percent-encoded.
            query: names and values, plain.
            fields: headers, names in lower case.
            body: the whole of it.

        Raises:
            What `Client.request` raises, and what the store's refusal means.
        """
        target = f"{path}?{urlencode(query, quote_via=quote)}" if query else path
        pause = _FIRST_PAUSE
        for attempt in range(_ATTEMPTS):
            answer = await self._authorised(method, target, fields or {}, body)
            told_when = answer.header(b"retry-after") is not None
            if method != "GET" or answer.status < 500 or told_when or attempt == _ATTEMPTS - 1:
                break
            await answer.aclose()
            await asyncio.sleep(pause * (1 + random.random()))  # noqa: S311  # spreads the load, hides nothing
            pause *= 2
        if answer.status >= 300:
            raise await refusal(answer)
        return answer

    async def document(
        self,
        method: str,
        path: str,
        query: Query | None = None,
        *,
        body: Mapping[str, object] | None = None,
    ) -> Document:
        """The JSON object that a request answers with. Raises as `request`."""
        fields, sent = {}, None
        if body is not None:
            fields, sent = {"content-type": "application/json"}, json.dumps(body).encode()
        return await parsed(await self.request(method, path, query, fields, body=sent))

    async def send(
        self, method: str, target: str, fields: Fields, body: Body = None, length: int | None = None
    ) -> Response:
        """The answer to a single request, whatever its status; without the account's authorisation."""
        named = {**self._extra, **fields}
        headers = [(name.encode(), value.encode()) for name, value in named.items()]
        return await self._client.request(method, target, headers, body=body, length=length)

    async def _authorised(self, method: str, target: str, fields: Fields, body: bytes | None) -> Response:
        """The answer. A token that is not accepted is renewed, once."""
        if self._tokens is None:
            return await self.send(method, target, fields, body)
        for final in (False, True):
            token = await self._tokens.current()
            answer = await self.send(method, target, {**fields, "authorization": f"Bearer {token}"}, body)
            if answer.status != 401:
                break
            self._tokens.refused(token)
            if not final:
                await answer.aclose()
        return answer


async def parsed(answer: Response) -> Document:
    """The answer's JSON object. Raises BadAnswer for anything else."""
    text = await answer.read(LARGEST_ANSWER)
    try:
        told = await asyncio.to_thread(json.loads, text) if len(text) > _PARSE_ASIDE else json.loads(text)
    except ValueError:
        raise BadAnswer("the store's answer is not JSON") from None
    if not isinstance(told, dict):
        raise BadAnswer("the store's answer is not what its API describes")
    return told
