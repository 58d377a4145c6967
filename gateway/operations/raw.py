"""Requests in a store's own API that the worker sends for a caller, streamed both ways."""

from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from dataclasses import dataclass

from connectors import http1
from gateway.operations import wire
from gateway.operations.messages import AccountRef

type Send = Callable[..., Awaitable[http1.Response]]
"""Calls an operation by name, with arguments, a body and its length; gives the answer, its body unread."""


@dataclass(slots=True)
class RawAnswer:
    """A store's own answer; `chunks` may be iterated once, and `aclose` is always called.

    Attributes:
        fields: its headers, names in lower case, without those of the connection, the framing, cookies and
            challenges.
        length: bytes of the body; None where the store does not say.
    """

    status: int
    fields: Sequence[tuple[str, str]]
    length: int | None
    chunks: AsyncIterator[bytes]
    aclose: Callable[[], Awaitable[None]]


class RawRequests:
    """Calls a worker about them."""

    def __init__(self, send: Send) -> None:
        self._send = send

    async def send(
        self,
        account: AccountRef,
        method: str,
        uri: str,
        fields: Sequence[tuple[str, str]],
        *,
        actor: str,
        body: AsyncIterator[bytes] | None = None,
        length: int | None = None,
    ) -> RawAnswer:
        """The store's answer to the request with the account's authorisation; redirects are not followed.

        Args:
            account: whose store.
            method: as it is sent.
            uri: absolute at one of the account's origins, or relative to the first (RFC 3986, 5.2).
            fields: headers, names in lower case, without Host and framing.
            actor: who asks, as the audit log names callers.
            body: pieces; None for no body. An error of it cancels the request.
            length: of the pieces, when known.

        Raises:
            NotPermitted: the URI is not within what is the account's.
            Unsupported: the connector does not speak HTTP, or can't authorise such a request.
            InvalidName: this is no HTTP request.
            BadCredential: the store does not accept the account's credential.
            While chunks are read: Unavailable when the answer breaks.
        """
        arguments = {
            "account": account,
            "method": method,
            "uri": uri,
            "fields": list(fields),
            "actor": actor,
            "body": body is not None,
            "length": length,
        }
        response = await self._send("raw", arguments, body, length)
        found = wire.unpack(dict(response.headers)[wire.RESULT])
        return RawAnswer(
            found["status"],
            [(name, value) for name, value in found["fields"]],
            found["length"],
            response.chunks(),
            response.aclose,
        )
