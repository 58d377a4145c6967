"""A contract double of Google Cloud Storage and its token server: what fake-gcs-server does not check.

Tokens, generation preconditions, resumable sessions to the byte, signatures of presigned URLs, faults on
demand. It is no emulator: what the connector has no business to send is a complaint, and a test that leaves
complaints has failed. Each rule stands with the vendor's page that states it, here or in `gcs_bucket`.
"""

import gzip
import hashlib
import json
import re
import secrets
import threading
import time
from base64 import urlsafe_b64decode
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, parse_qsl, unquote, urlsplit

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric import padding, rsa
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from tests.servers.gcs_bucket import Bucket, Refusal

EMAIL = "isthmus@project.iam.gserviceaccount.example"
GRAIN = 256 * 1024
_KNOWN = {  # what a request may say in its query
    "list": "prefix delimiter startOffset pageToken maxResults versions",
    "object": "generation ifGenerationMatch",
    "patch": "projection",
    "media": "alt ifGenerationMatch",
    "rewrite": "ifSourceGenerationMatch ifGenerationMatch rewriteToken",
    "begin": "uploadType name ifGenerationMatch",
    "session": "uploadType upload_id",
}
_OBJECT = re.compile(r"/storage/v1/b/([^/]+)/o/([^/]+)")
_OBJECTS = re.compile(r"/storage/v1/b/([^/]+)/o")
_REWRITE = re.compile(r"/storage/v1/b/([^/]+)/o/([^/]+)/rewriteTo/b/([^/]+)/o/([^/]+)")
_UPLOAD = re.compile(r"/upload/storage/v1/b/([^/]+)/o")


@dataclass
class Fault:
    """An answer instead of the right one, for the next requests that it is for."""

    for_: Callable[[str, str], bool]
    status: int
    reason: str = ""
    headers: dict[str, str] = field(default_factory=dict)
    times: int = 1


@dataclass
class Session:
    """A resumable upload: https://cloud.google.com/storage/docs/performing-resumable-uploads."""

    bucket: Bucket
    name: str
    content_type: str
    query: dict[str, str]
    content: bytearray = field(default_factory=bytearray)


class GcsDouble:
    """The state, and what a test may turn.

    Attributes:
        seen: method and path (with query) of each request, in their order.
        issued: access tokens, in their order.
        keep: bytes that the next requests of a session are cut to, one by one.
        cut_downloads: the next downloads break off after half of their bytes.
        cut_answers: the next finished uploads lose the answer.
        rewrite_requests: how many requests one copy takes.
    """

    def __init__(self) -> None:
        self.key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
        self.buckets = {
            "plain": Bucket("plain", versioned=False),
            "versioned": Bucket("versioned", versioned=True),
        }
        self.sessions: dict[str, Session] = {}
        self.finished: dict[str, dict[str, Any]] = {}  # they answer to the question what became of them
        self.cancelled: list[str] = []
        self.seen: list[str] = []
        self.sent: list[dict[str, str]] = []
        self.complaints: list[str] = []
        self.faults: list[Fault] = []
        self.issued: list[str] = []
        self.accepted: set[str] = set()
        self.token_lives = 3600
        self.keep: list[int] = []
        self.cut_downloads = 0
        self.cut_answers = 0
        self.rewrite_requests = 1
        self.endpoint = ""
        self._copies: dict[str, int] = {}

    def credentials(self, **changes: str) -> str:
        """A key file that the double's token server accepts."""
        pem = self.key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()
        told = {"type": "service_account", "private_key_id": "k1", "private_key": pem, "client_email": EMAIL}
        return json.dumps({**told, "token_uri": f"{self.endpoint}/token", **changes})

    def fail(self, method: str, part: str, status: int, reason: str = "", **more: Any) -> None:
        """The next requests with that method and that part in their path answer so."""

        def asked(its_method: str, path: str) -> bool:
            return its_method == method and part in path

        self.faults.append(Fault(asked, status, reason, **more))

    def revoke(self) -> None:
        """Every token that was issued is over."""
        self.accepted.clear()

    def requests(self, method: str, part: str = "") -> list[str]:
        """Those seen with that method and that part in their path."""
        return [one for one in self.seen if one.startswith(method + " ") and part in one]

    # the token server: https://developers.google.com/identity/protocols/oauth2/service-account#httprest

    def exchange(self, form: dict[str, str]) -> dict[str, Any]:
        """A token for an assertion. The grant type is RFC 7523's, the signature RS256."""
        head, claims, signature = form["assertion"].split(".")
        told = json.loads(_plain(claims))
        now = time.time()
        right = (
            form["grant_type"] == "urn:ietf:params:oauth:grant-type:jwt-bearer"
            and json.loads(_plain(head)) == {"alg": "RS256", "typ": "JWT", "kid": "k1"}
            and told["iss"] == EMAIL
            and told["aud"] == f"{self.endpoint}/token"
            and told["scope"] == "https://www.googleapis.com/auth/devstorage.full_control"
            and now - 60 < told["iat"] <= now + 1
            and told["exp"] - told["iat"] == 3600
        )
        if not right or not self._signed(_plain(signature), f"{head}.{claims}".encode()):
            raise Refusal(400, "invalid_grant")
        token = secrets.token_urlsafe(20)
        self.issued.append(token)
        self.accepted.add(token)
        return {"access_token": token, "expires_in": self.token_lives, "token_type": "Bearer"}

    def _signed(self, signature: bytes, text: bytes) -> bool:
        try:
            self.key.public_key().verify(signature, text, padding.PKCS1v15(), SHA256())
        except InvalidSignature:
            return False
        return True

    def check_token(self, header: str | None) -> None:
        """Raises the refusal of a token that is missing, unknown or over."""
        if header is None or header.removeprefix("Bearer ") not in self.accepted:
            raise Refusal(401, "authError")

    def check_signature(self, method: str, target: str, host: str) -> None:
        """https://cloud.google.com/storage/docs/authentication/canonical-requests, with `host` signed."""
        url = urlsplit(target)
        unsigned, _, signature = url.query.partition("&X-Goog-Signature=")
        told = dict(parse_qsl(unsigned, strict_parsing=True))
        when = datetime.strptime(told["X-Goog-Date"], "%Y%m%dT%H%M%SZ").replace(tzinfo=UTC)
        scope = f"{told['X-Goog-Date'][:8]}/auto/storage/goog4_request"
        canonical = f"{method}\n{url.path}\n{unsigned}\nhost:{host}\n\nhost\nUNSIGNED-PAYLOAD"
        digest = hashlib.sha256(canonical.encode()).hexdigest()
        text = f"GOOG4-RSA-SHA256\n{told['X-Goog-Date']}\n{scope}\n{digest}"
        if told["X-Goog-Credential"] != f"{EMAIL}/{scope}" or not self._signed(
            bytes.fromhex(signature), text.encode()
        ):
            raise Refusal(403, "signatureDoesNotMatch")
        if datetime.now(UTC) > when + timedelta(seconds=int(told["X-Goog-Expires"])):
            raise Refusal(400, "expiredToken")

    # verbs

    def bucket(self, quoted: str) -> Bucket:
        found = self.buckets.get(unquote(quoted))
        if found is None:
            raise Refusal(404, "notFound")
        return found

    def rewrite(self, source: tuple[str, str], target: tuple[str, str], query: dict[str, str]) -> Any:
        """In as many calls as are wanted: https://cloud.google.com/storage/docs/json_api/v1/objects/rewrite."""
        bucket, name = self.bucket(source[0]), unquote(source[1])
        with bucket.lock:
            found = bucket.find(name, {})
            bucket.check(name, query, "ifSource")
            there = self.bucket(target[0])
            there.check(unquote(target[1]), query)
            token = query.get("rewriteToken") or secrets.token_hex(8)
            if "rewriteToken" in query and token not in self._copies:
                raise Refusal(400, "invalid")
            self._copies[token] = calls = self._copies.get(token, 0) + 1
            if calls < self.rewrite_requests:
                return {"kind": "storage#rewriteResponse", "done": False, "rewriteToken": token}
            made = there.put(
                unquote(target[1]),
                found.content,
                found.content_type,
                query,
                content_encoding=found.content_encoding,
                metadata=dict(found.metadata),
            )
        return {"kind": "storage#rewriteResponse", "done": True, "resource": made.resource(there.name)}

    def begin(self, bucket: Bucket, query: dict[str, str], told: dict[str, str]) -> str:
        """The session's address. Preconditions are looked at here, and again when it is finished."""
        bucket.check(query["name"], query)
        number = secrets.token_hex(8)
        self.sessions[number] = Session(bucket, query["name"], told["contentType"], query)
        return f"https://elsewhere.example/upload/storage/v1/b/{bucket.name}/o?uploadType=resumable&upload_id={number}"

    def go_on(self, number: str, content_range: str, body: bytes, *, whole: bool) -> Any:
        """The finished object's resource, or how many bytes there are.

        Requests but the last have multiples of 256 KiB, and the store may keep less than it was sent.
        """
        session = self.sessions.get(number)
        if number in self.finished and content_range.startswith("bytes */"):
            return self.finished[number]
        if session is None:
            raise Refusal(404, "notFound")
        told = re.fullmatch(r"bytes (?:(\d+)-(\d+)|\*)/(\d+|\*)", content_range)
        assert told is not None, content_range
        total = None if told[3] == "*" else int(told[3])
        if told[1] is not None:
            first, last = int(told[1]), int(told[2])
            if first != len(session.content) or (whole and len(body) != last - first + 1):
                raise Refusal(400, "invalid")
            if total is None and (last + 1 - first) % GRAIN:
                raise Refusal(400, "invalid")
        if self.keep and told[1] is not None:
            body, whole = body[: self.keep.pop(0)], False
        elif not whole:
            body = body[: len(body) // GRAIN * GRAIN]
        session.content += body
        if total is None or len(session.content) < total or (told[1] is not None and not whole):
            return len(session.content)
        del self.sessions[number]
        made = session.bucket.put(session.name, bytes(session.content), session.content_type, session.query)
        self.finished[number] = made.resource(session.bucket.name)
        return self.finished[number]

    def cancel(self, number: str) -> None:
        if self.sessions.pop(number, None) is None:
            raise Refusal(404, "notFound")
        self.cancelled.append(number)
        raise Refusal(499, "cancelled")


@contextmanager
def gcs_double() -> Iterator[GcsDouble]:
    """The double on a free port, until the context ends. Raises when it has complaints."""
    double = GcsDouble()

    class Bound(_Handler):
        state = double

    with ThreadingHTTPServer(("127.0.0.1", 0), Bound) as server:
        server.daemon_threads = True
        double.endpoint = f"http://localhost:{server.server_address[1]}"
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
        thread.start()
        try:
            yield double
        finally:
            server.shutdown()
            thread.join()
    assert double.complaints == [], double.complaints


class _Handler(BaseHTTPRequestHandler):
    """Routes requests to the state, and says its answers as the vendor does."""

    state: GcsDouble
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    wbufsize = -1

    def handle(self) -> None:
        with suppress(ConnectionError):  # clients that leave are what some tests are about
            super().handle()

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002  # the base class's name
        pass

    def _answer(self) -> None:
        state = self.state
        state.seen.append(f"{self.command} {self.path}")
        state.sent.append({name.lower(): value for name, value in self.headers.items()})
        url = urlsplit(self.path)
        query = dict(parse_qsl(url.query, keep_blank_values=True))
        body, whole = self._body()
        try:
            for fault in state.faults:
                if fault.times and fault.for_(self.command, self.path):
                    fault.times -= 1
                    self._refuse(Refusal(fault.status, fault.reason), fault.headers)
                    return
            self._route(url.path, query, body, whole=whole)
        except Refusal as refused:
            self._refuse(refused, {})
        except ConnectionError:
            raise
        except Exception as error:
            state.complaints.append(f"{self.command} {self.path}: {error!r}")
            raise

    do_GET = do_POST = do_PUT = do_DELETE = do_PATCH = _answer  # noqa: N815  # as the base class looks for them

    def _body(self) -> tuple[bytes, bool]:
        """The body as far as it came, and whether that is all of it."""
        length, read = int(self.headers.get("content-length") or 0), bytearray()
        while len(read) < length and (piece := self.rfile.read(min(65536, length - len(read)))):
            read += piece
        return bytes(read), len(read) == length

    def _route(self, path: str, query: dict[str, str], body: bytes, *, whole: bool) -> None:
        state, method = self.state, self.command
        if path == "/token" and method == "POST":
            form = {name: values[0] for name, values in parse_qs(body.decode()).items()}
            self._tell(state.exchange(form))
            return
        if "X-Goog-Signature" in query:
            self._signed(path, query, body)
            return
        if (found := _UPLOAD.fullmatch(path)) and "upload_id" in query:
            self._session(query, body, whole=whole)
            return
        state.check_token(self.headers.get("authorization"))
        if found:
            self._begin(state.bucket(found[1]), query, body)
        elif found := _REWRITE.fullmatch(path):
            self._expect("POST", "rewrite", query)
            self._tell(state.rewrite((found[1], found[2]), (found[3], found[4]), query))
        elif found := _OBJECT.fullmatch(path):
            self._object(state.bucket(found[1]), unquote(found[2]), query, body)
        elif found := _OBJECTS.fullmatch(path):
            self._expect("GET", "list", query)
            self._tell(state.bucket(found[1]).list(query))
        else:
            raise LookupError("no such path")

    def _expect(self, method: str, kind: str, query: dict[str, str]) -> None:
        unknown = set(query) - set(_KNOWN[kind].split())
        if self.command != method or unknown:
            raise LookupError(f"{self.command} and {unknown} are not expected here")

    def _object(self, bucket: Bucket, name: str, query: dict[str, str], body: bytes) -> None:
        if "alt" in query:
            self._expect("GET", "media", query)
            self._media(bucket, name, query)
            return
        if self.command == "DELETE":
            self._expect("DELETE", "object", query)
            bucket.delete(name, query)
            self._send(204, {}, b"")
        elif self.command == "PATCH":
            self._expect("PATCH", "patch", query)
            if query.get("projection") != "noAcl":  # else the whole access list is told, to whom may see it
                raise Refusal(403, "forbidden")
            self._tell(bucket.patch(name, json.loads(body)["metadata"]).resource(bucket.name))
        else:
            self._expect("GET", "object", query)
            self._tell(bucket.find(name, query).resource(bucket.name))

    def _media(self, bucket: Bucket, name: str, query: dict[str, str]) -> None:
        """A span is of the stored bytes, but unpacked bytes are whole.

        https://cloud.google.com/storage/docs/transcoding
        """
        found = bucket.find(name, query)
        bucket.check(name, query)
        content, status = found.content, 200
        headers = {"x-goog-generation": str(found.generation), "content-type": found.content_type}
        if found.content_encoding == "gzip" and "gzip" not in self.headers.get("accept-encoding", ""):
            content = gzip.decompress(content)
        elif told := re.fullmatch(r"bytes=(\d+)-(\d*)", self.headers.get("range", "")):
            first, last = int(told[1]), min(int(told[2] or len(content)), len(content) - 1)
            if first >= len(content):
                raise Refusal(416, "requestedRangeNotSatisfiable")
            headers["content-range"] = f"bytes {first}-{last}/{len(content)}"
            content, status = content[first : last + 1], 206
        if self.state.cut_downloads:
            self.state.cut_downloads -= 1
            self._send(status, headers, content[: len(content) // 2], length=len(content))
            self.close_connection = True
        else:
            self._send(status, headers, content)

    def _begin(self, bucket: Bucket, query: dict[str, str], body: bytes) -> None:
        self._expect("POST", "begin", query)
        if query["uploadType"] == "media":
            made = bucket.put(query["name"], body, self.headers["content-type"], query)
            self._tell(made.resource(bucket.name))
        else:
            self._send(200, {"location": self.state.begin(bucket, query, json.loads(body))}, b"")

    def _session(self, query: dict[str, str], body: bytes, *, whole: bool) -> None:
        self._expect(self.command, "session", query)
        if "authorization" in self.headers:
            raise LookupError("a session's address needs no token, and the token could be over by then")
        if self.command == "DELETE":
            self.state.cancel(query["upload_id"])
        self._expect("PUT", "session", query)
        told = self.state.go_on(query["upload_id"], self.headers["content-range"], body, whole=whole)
        if isinstance(told, int):  # no Range header where nothing is kept
            self._send(308, {"range": f"bytes=0-{told - 1}"} if told else {}, b"")
        elif self.state.cut_answers:
            self.state.cut_answers -= 1
            self.close_connection = True
        else:
            self._tell(told)

    def _signed(self, path: str, query: dict[str, str], body: bytes) -> None:
        """The XML API by path: https://cloud.google.com/storage/docs/xml-api/put-object-upload."""
        self.state.check_signature(self.command, self.path, self.headers["host"])
        _, quoted, name = path.split("/", 2)
        bucket = self.state.bucket(quoted)
        if self.command == "PUT":
            bucket.put(
                unquote(name), body, self.headers.get("content-type") or "application/octet-stream", {}
            )
            self._send(200, {}, b"")
        else:
            self._media(bucket, unquote(name), {})

    # answers

    def _tell(self, told: dict[str, Any]) -> None:
        self._send(200, {"content-type": "application/json; charset=UTF-8"}, json.dumps(told).encode())

    def _refuse(self, refused: Refusal, headers: dict[str, str]) -> None:
        told = {"domain": "global", "reason": refused.reason, "message": "words of the store: secret"}
        body = json.dumps({"error": {"code": refused.status, "message": "secret", "errors": [told]}})
        self._send(refused.status, headers, body.encode())

    def _send(self, status: int, headers: dict[str, str], body: bytes, *, length: int | None = None) -> None:
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        if status != 204:
            self.send_header("content-length", str(len(body) if length is None else length))
        self.end_headers()
        self.wfile.write(body)
        self.wfile.flush()


def _plain(text: str) -> bytes:
    return urlsafe_b64decode(text + "=" * (-len(text) % 4))
