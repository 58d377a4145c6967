"""mitmproxy's hooks: each request is refused, or authorised by the worker and sent on its way.

Everything that says where a request goes must say the same: the CONNECT line, the TLS server name, the
request's own target, `Host`. Who it is, is asked for every request anew. Answers lose what was put in.
"""

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final
from weakref import WeakKeyDictionary

from mitmproxy import connection, http

from connectors.interface import (
    Origin,
    Request,
    StoreError,
)
from gateway.access.placeholders import placeholder
from gateway.access.scrubbing import Scrubber
from gateway.operations import AccountRef, Operations, WorkerUnavailable
from gateway.operations.dialing import Dialing
from gateway.proxy.access import Access, Proof
from gateway.proxy.authority.leaves import NotCovered
from gateway.proxy.grants import Denied, Grant, names, origin_at, plain_host
from gateway.proxy.messages import asked, put_on, shown
from gateway.proxy.observed import REFUSAL, note
from gateway.proxy.passing.passages import Passages
from gateway.proxy.refusing import or_refuse, refuse
from gateway.proxy.signing.payloads import Through, admit
from gateway.proxy.wire.certificates import Certificates, Place
from gateway.proxy.wire.hooks import AGAIN, FORM, THROUGH, WHY_REFUSED, WORKER_TLS, Wanted
from gateway.proxy.wire.websockets import PASSES, wanted

if TYPE_CHECKING:
    from collections.abc import MutableMapping

_log = logging.getLogger(__name__)

_SENT: Final = "isthmus sent"
_PROOF: Final = "isthmus proof"


@dataclass(slots=True)
class Sent:
    """A request that went to the store: what its answer must not show, and what authorised it."""

    grant: Grant
    request: Request
    secrets: tuple[str, ...]


class Injection:
    """The addon. Nothing of a flow outlives it.

    Args:
        keeps_cookies: whether cookies pass between client and store; else both directions lose them.
    """

    def __init__(
        self,
        access: Access,
        operations: Operations,
        dialing: Dialing,
        certificates: Certificates,
        passages: Passages,
        *,
        keeps_cookies: bool,
    ) -> None:
        self._access = access
        self._operations = operations
        self._dialing = dialing
        self._certificates = certificates
        self._passages = passages
        self._keeps_cookies = keeps_cookies
        # who opened a CONNECT, and what it may
        self._opened: MutableMapping[connection.Client, tuple[Proof, Grant]] = WeakKeyDictionary()
        self._asking: MutableMapping[connection.Client, Grant] = WeakKeyDictionary()
        # whether the worker speaks TLS there; once for a client's connection, or a head could go out in clear
        self._worker_tls: MutableMapping[connection.Client, dict[Place, bool]] = WeakKeyDictionary()

    # the client asks

    async def http_connect(self, flow: http.HTTPFlow) -> None:
        """CONNECT: the client is somebody, and something of its account is there; else it gets no tunnel."""

        async def decide() -> None:
            proof, grant = await self._who(flow)
            note(flow, grant)
            place = plain_host(flow.request.host), flow.request.port
            origins = await self._access.origins(grant)
            if self._passages.covers(origins, *place):
                await self._passages.begin(flow, proof, grant, *place)
                return
            grant.require_host(origins, *place)
            self._require_certificate(origins, *place)
            self._opened[flow.client_conn] = proof, grant

        await or_refuse(flow, decide)

    def _require_certificate(self, origins: Sequence[Origin], host: str, port: int) -> None:
        """Raises Denied for a place of TLS for which clients would take no certificate of ours."""
        origin = origin_at(origins, host, port)
        if origin is None or origin.scheme != "https":
            return
        try:
            self._certificates.require(host)
        except NotCovered as error:
            _log.warning("%s", error)
            raise Denied(503, str(error)) from None

    async def requestheaders(self, flow: http.HTTPFlow) -> None:
        """A request's head: refused, or replaced by what the worker says."""
        if flow.error is not None:  # malformed; mitmproxy answers that itself
            return

        async def decide() -> None:
            opened = self._opened.get(flow.client_conn)
            if opened is None:
                proof, grant = await self._who(flow)
            else:
                proof = opened[0]
                grant = await self._access.again(proof)
            flow.metadata[_PROOF] = proof
            note(flow, grant)
            origin = await self._origin(flow, grant)
            through = _signature_checked(flow.request, origin, proof)
            request = asked(flow.request, origin, keeps_cookies=self._keeps_cookies)
            ref = AccountRef(grant.account, grant.revision)
            authorised = await self._operations.grants.authorise(ref, request, actor=grant.actor)
            flow.metadata[_SENT] = Sent(grant, request, tuple(authorised.secrets))
            self._send_there(flow, grant, origin)
            put_on(authorised, flow.request, origin)
            flow.request.stream, flow.metadata[THROUGH] = True, through

        await or_refuse(flow, decide)

    def body_refused(self, flow: http.HTTPFlow) -> None:
        """The body is not what its head promised: its sender is told why."""
        refuse(flow, flow.metadata[WHY_REFUSED])

    async def _who(self, flow: http.HTTPFlow) -> tuple[Proof, Grant]:
        address = flow.client_conn.peername[0]
        fields = flow.request.headers.get_all("proxy-authorization")
        if len(fields) > 1:
            raise Denied(407, "several Proxy-Authorization headers")
        return await self._access.grant(address, fields[0] if fields else None)

    async def _origin(self, flow: http.HTTPFlow, grant: Grant) -> Origin:
        """The account's origin that the request is for. Raises Denied unless all that names it agrees."""
        request = flow.request
        host, origins = plain_host(request.host), await self._access.origins(grant)
        if (near := origin_at(origins, host, request.port)) is not None:
            flow.metadata[FORM] = near.errors
        origin = grant.require(
            origins,
            method=request.method,
            scheme=request.scheme,
            host=host,
            port=request.port,
            target=request.path,
        )
        grant.require_plain_method(name.lower() for name in request.headers)
        fields = [(n.decode("latin-1").lower(), v.decode("latin-1")) for n, v in request.headers.fields]
        grant.require_second_places(origin, request.method, fields)
        hosts = request.headers.get_all("host")
        said = [*hosts, request.authority] if request.authority else hosts
        if not said or len(hosts) > 1 or not all(names(one, origin) for one in said):
            raise Denied(421, "the Host header is for another host than the request")
        name = flow.client_conn.sni
        if name is not None and flow.client_conn in self._opened and plain_host(name) != host:
            raise Denied(421, "the TLS server name is for another host than the CONNECT line")
        if grant.read_only and wanted(request):
            raise Denied(403, "this token is read-only: a websocket may carry anything")
        return origin

    def _send_there(self, flow: http.HTTPFlow, grant: Grant, origin: Origin) -> None:
        """What the connection to the store is to be; it is the worker's to open, for this account."""
        before = self._asking.setdefault(flow.client_conn, grant)
        if before.account != grant.account:
            raise Denied(403, "this connection is for another account: open one of its own")
        place = flow.request.host, flow.request.port
        self._certificates.trust(flow.client_conn, place, origin.ca)
        decided = self._worker_tls.setdefault(flow.client_conn, {})
        flow.metadata[WORKER_TLS] = decided.setdefault(place, origin.worker_tls)

    async def store_wanted(self, wanted: Wanted) -> None:
        """A connection for a request that was let through: the worker opens it, or says why not."""
        if (passage := self._passages.of(wanted.client)) is not None:
            await wanted.take(self._dialing.past(passage.ref, passage.host, passage.port))
            return
        grant, place = self._asking.get(wanted.client), wanted.server.address
        if grant is None or place is None:
            return
        host, port = place
        origin = origin_at(await self._access.origins(grant), plain_host(host), port)
        if origin is None:
            return
        ref, tls = AccountRef(grant.account, grant.revision), self._worker_tls[wanted.client][place]
        await wanted.take(self._dialing.store(ref, origin.host, origin.port, tls=tls))

    # the store answers

    async def authorisation_refused(self, flow: http.HTTPFlow) -> None:
        """A 401: the worker learns of it, and may have a better answer: a nonce aged, a token was revoked."""
        sent = flow.metadata.get(_SENT)
        challenge = ", ".join(flow.response.headers.get_all("www-authenticate")) if flow.response else ""
        if sent is None:  # a 401 without a challenge is one too, whatever RFC 9110, 15.5.2 says
            return
        ref = AccountRef(sent.grant.account, sent.grant.revision)
        try:
            authorised = await self._operations.grants.authorise(
                ref, sent.request, actor=sent.grant.actor, refused=challenge
            )
        except (StoreError, WorkerUnavailable) as error:
            _log.info("a store refused what the worker has: %s", error)
            return
        sent.secrets += tuple(authorised.secrets)  # a body can't be sent again: then this refusal goes on
        put_on(authorised, flow.request, sent.request.origin)
        flow.metadata[AGAIN] = True

    def responseheaders(self, flow: http.HTTPFlow) -> None:
        """An answer's head, without what was put in; its body streams."""
        response, sent = flow.response, flow.metadata.get(_SENT)
        if response is None or REFUSAL in flow.metadata:
            return
        scrubber = Scrubber(sent.secrets if sent else ())
        response.reason = scrubber.text(response.reason)
        response.headers = shown(response.headers, scrubber, keeps_cookies=self._keeps_cookies)
        response.stream = scrubber.body(response.headers.get)

    async def websocket_passes(self, flow: http.HTTPFlow) -> None:
        """An open websocket's token is asked about again; not when that fails."""
        flow.metadata[PASSES] = False
        try:
            await self._access.again(flow.metadata[_PROOF])
        except Denied as denied:
            _log.info("a websocket ends: %s", denied.message)
        else:
            flow.metadata[PASSES] = True


def _signature_checked(request: http.Request, origin: Origin, proof: Proof) -> Through | None:
    """What the body goes through; None is as it is. Raises Denied for a signature that is not right."""
    if origin.signing is None:
        return None
    return admit(request, placeholder(proof.digest), datetime.now(UTC))
