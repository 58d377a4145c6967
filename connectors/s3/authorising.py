"""Requests to the bucket that somebody else made: their signature is taken off, and the account's put on.

S3's API reference, "Authenticating Requests (AWS Signature Version 4)". Whose signature it was, if any, and
whether it was right, is not looked at here: it is gone from headers and query. The native proxy has looked,
and has taken apart what was signed in chunks.
"""

import hashlib
import re
from typing import TYPE_CHECKING
from urllib.parse import quote, urlsplit

from connectors.http1.others import Query, below, encoded, joined, kept, pairs, require_origin, values
from connectors.interface import (
    Authorised,
    ErrorForm,
    NotPermitted,
    Origin,
    Payload,
    Request,
    Signing,
    Unsupported,
)
from connectors.s3.settings import S3Settings

if TYPE_CHECKING:
    from connectors.s3.signing import Signer

_DIGEST = "x-amz-content-sha256"
_SIGNATURE_FIELDS = (_DIGEST, "date", "x-amz-date", "x-amz-security-token", "x-amz-s3session-token")
# of presigned URLs, versions 4 and 2; in lower case
_SIGNATURE_QUERY = frozenset(
    {
        *("x-amz-algorithm", "x-amz-credential", "x-amz-date", "x-amz-expires", "x-amz-signedheaders"),
        *("x-amz-signature", "x-amz-security-token", "x-amz-s3session-token", _DIGEST),
        *("awsaccesskeyid", "signature", "expires"),
    }
)
_UNSIGNED = "UNSIGNED-PAYLOAD"
_NOTHING = hashlib.sha256().hexdigest()
_SHA256 = re.compile(r"[0-9a-f]{64}")
_SIGNED_BESIDE = frozenset({"host", "content-type", "content-md5"})
_COPY_SOURCE = "x-amz-copy-source"
# what a bucket may be asked for by an account that is a folder of it: ListObjects, ListObjectsV2,
# ListObjectVersions and ListMultipartUploads, and only with the folder as their prefix
_LISTING = frozenset(
    {
        *("prefix", "delimiter", "encoding-type", "max-keys", "marker", "list-type", "continuation-token"),
        *("start-after", "fetch-owner", "versions", "key-marker", "version-id-marker", "uploads"),
        *("upload-id-marker", "max-uploads", "x-id"),
    }
)
_GLOBAL = "s3.amazonaws.com"  # as older programs name the first region's endpoint
_HOST_LABEL = re.compile(r"[a-z0-9][a-z0-9-]{1,61}[a-z0-9]")


def origins(settings: S3Settings) -> tuple[Origin, ...]:
    """The bucket, as the account names it and by its path; at Amazon in the host's name too.

    Elsewhere a server that knows nothing of buckets in hosts' names would take the first part of such a
    request's path for the bucket, and any bucket's name can stand there.
    """
    url = urlsplit(settings.origin())
    host, port = url.hostname or "", url.port or (443 if url.scheme == "https" else 80)
    hosts = [host]
    if host == "s3.us-east-1.amazonaws.com":
        hosts.append(_GLOBAL)
    in_path = [_origin(url.scheme, one, port, f"/{settings.bucket}/", settings.ca) for one in hosts]
    fits = _HOST_LABEL.fullmatch(settings.bucket) and not (":" in host or host.replace(".", "").isdigit())
    if not fits or not (settings.in_host() or not settings.endpoint):
        return tuple(in_path)
    in_host = [_origin(url.scheme, f"{settings.bucket}.{one}", port, "/", settings.ca) for one in hosts]
    return (*in_host, *in_path) if settings.in_host() else (*in_path, *in_host)


def _origin(scheme: str, host: str, port: int, path: str, ca: str | None) -> Origin:
    return Origin(scheme, host, port, path, ca, signing=Signing.AWS4, flat_names=True, errors=ErrorForm.S3)


class Authoriser:
    """Signs others' requests for keys of the account."""

    def __init__(self, settings: S3Settings, signer: "Signer") -> None:
        self.origins = origins(settings)
        self._name = settings.bucket
        self._base = f"{settings.prefix}/" if settings.prefix else ""
        self._signer = signer
        token = settings.session_token.get_secret_value() if settings.session_token else ""
        self._spellings = (token, quote(token, safe="")) if token else ()

    def authorise(self, request: Request) -> Authorised:
        """The request, signed by the account's key; as `CanAuthorise.authorise`.

        Path and query come back as signatures want them written; they mean what they meant.
        """
        require_origin(request, self.origins)
        path, _, query = request.target.partition("?")
        key = below(path, request.origin.path)
        asked = [(name, value) for name, value in pairs(query) if name.lower() not in _SIGNATURE_QUERY]
        self._require_ours(request, key, asked)
        payload = _payload(request, pairs(query))
        fields = [
            (name, self._source(value) if name == _COPY_SOURCE else value)
            for name, value in kept(request, _SIGNATURE_FIELDS)
        ]
        signed = joined((n, v) for n, v in fields if n in _SIGNED_BESIDE or n.startswith("x-amz-"))
        target = path if not key else request.origin.path + quote(key, safe="/~", errors="surrogateescape")
        if asked:
            target += f"?{encoded(asked)}"
        url = f"{request.origin.scheme}://{request.origin.authority}{target}"
        made = self._signer.signed(request.method, url, signed, payload)
        fields += [(name, value) for name, value in made.items() if name not in signed]
        header = made["authorization"]
        return Authorised(target, fields, (header, header.rpartition("Signature=")[2], *self._spellings))

    def _require_ours(self, request: Request, key: str, query: Query) -> None:
        """Raises NotPermitted for what reaches beyond the account's keys."""
        if any(name.lower().startswith(_COPY_SOURCE) for name, _ in query):
            raise NotPermitted(f"{_COPY_SOURCE} belongs into a header")
        if not self._base or (key and key.startswith(self._base)):
            return
        if key or not self._is_fit_listing(request.method, query):
            raise NotPermitted("this reaches beyond the account's folder of the bucket")

    def _source(self, value: str) -> str:
        """The source of a copy, encoded in the one way that nobody reads as another key: `+` is no space.

        Raises NotPermitted for what is not the account's.
        """
        plain, mark, version = value.partition("?")
        key = below(f"/{plain.removeprefix('/')}", f"/{self._name}/")
        if not key or not key.startswith(self._base):
            raise NotPermitted("the source of the copy is not the account's")
        return f"/{self._name}/{quote(key, safe='/~', errors='surrogateescape')}{mark}{version}"

    def _is_fit_listing(self, method: str, query: Query) -> bool:
        names = [name for name, _ in query]
        if method == "HEAD":
            return not names
        if method != "GET" or not _LISTING.issuperset(names):
            return names == ["location"] and method == "GET"
        prefixes = [value for name, value in query if name == "prefix"]
        return len(prefixes) == 1 and prefixes[0].startswith(self._base)


def _payload(request: Request, query: Query) -> str:
    """What is signed in the body's place: its digest where it is known or promised, or that it is not.

    A promised digest is the store's to check. Chunks that are signed one by one are signed by a key that
    the store does not know, and can't be passed on.
    """
    told = values(request, _DIGEST) or [v for k, v in query if k.lower() == _DIGEST]
    promised = told[0] if told else ""
    if promised.startswith("STREAMING-"):
        if promised == "STREAMING-UNSIGNED-PAYLOAD-TRAILER":
            return promised
        raise Unsupported(
            "the chunks of this upload are signed one by one, which can't be done anew: have its program "
            "send UNSIGNED-PAYLOAD or the body's digest, or sign with a token's keys and go through the proxy"
        )
    if request.payload is Payload.NONE:
        return _NOTHING
    if request.payload is Payload.DIGEST and request.digest is not None:
        return request.digest
    return promised if _SHA256.fullmatch(promised) else _UNSIGNED
