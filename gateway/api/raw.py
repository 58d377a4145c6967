"""Requests in a store's own API (API.md 2): the caller says what is asked, the worker who asks."""

from contextlib import aclosing

from starlette.responses import Response

from gateway.api import parameters
from gateway.api.bodies import pieces
from gateway.api.call import Call, ref, resource
from gateway.api.errors import invalid
from gateway.api.raw_headers import raw_headers
from gateway.api.streamed import Streamed
from gateway.operations import Wishes, wishes

METHOD, URI = "X-Kloudless-Raw-Method", "X-Kloudless-Raw-URI"
_LONGEST_METHOD = 32
# what frames the caller's own request, who it is to us, and what proxies said of it
_OURS = frozenset(
    {
        *("host", "authorization", "cookie", "content-length", "expect", "connection", "keep-alive"),
        *("proxy-connection", "te", "trailer", "transfer-encoding", "upgrade", "accept-encoding"),
        *("forwarded", "via", "x-real-ip", "x-request-id"),
    }
)
_OURS_FROM = ("x-kloudless-", "x-forwarded-", "proxy-")


async def send(call: Call) -> Response:
    """The store's own answer, whatever its status; 403 for a URI that is not the account's."""
    account = await call.store()
    method, uri = _said(call, METHOD), _said(call, URI)
    if len(method) > _LONGEST_METHOD:
        raise invalid(METHOD, "is no HTTP method")
    if query := call.url.query:
        uri += f"{'&' if '?' in uri else '?'}{query}"
    fields = [*_callers(call), *((name.lower(), value) for name, value in raw_headers(call).items())]
    wishes.current.set(Wishes())  # they are in the fields
    length = parameters.content_length(call)
    bodiless = length in (None, 0) and "transfer-encoding" not in call.headers
    async with aclosing(pieces(call)) as body:
        answer = await call.parts.operations.raw.send(
            ref(account),
            method.upper(),
            uri,
            fields,
            actor=(await call.caller()).actor,
            body=None if bodiless else body,
            length=length,
        )
    head = [(name.encode(), value.encode("latin-1")) for name, value in answer.fields]
    if answer.length is not None and answer.status not in (204, 304):
        head.append((b"content-length", str(answer.length).encode()))
    return Streamed(answer, answer.status, head, call.parts.settings.idle_timeout)


def _said(call: Call, name: str) -> str:
    given = call.headers.getlist(name)
    if len(given) != 1 or not given[0]:
        raise invalid(name, "must be given, once")
    return given[0]


def _callers(call: Call) -> list[tuple[str, str]]:
    """The caller's headers that are for the store."""
    named = {
        token.strip().lower() for value in call.headers.getlist("connection") for token in value.split(",")
    }
    every = [(name.decode("latin-1").lower(), value.decode("latin-1")) for name, value in call.headers.raw]
    return [
        (name, value)
        for name, value in every
        if name not in _OURS and name not in named and not name.startswith(_OURS_FROM)
    ]


ROUTES = [resource("/v1/accounts/{accounts}/raw", POST=send)]
