"""URLs that anyone may use until they expire: V4 signatures with the service account's key.

https://cloud.google.com/storage/docs/access-control/signing-urls-manually and, for the canonical request,
https://cloud.google.com/storage/docs/authentication/canonical-requests.
"""

import hashlib
from datetime import UTC, datetime
from urllib.parse import quote, urlencode

from connectors.gcs.credentials import ServiceAccount
from connectors.interface import Origin

LONGEST = 7 * 24 * 3600
"""Seconds that a URL may be good for."""

_ALGORITHM = "GOOG4-RSA-SHA256"


def presigned(
    account: ServiceAccount, origin: Origin, method: str, bucket: str, name: str, expires: int, now: datetime
) -> str:
    """The URL of one request with that method for an object, from `now` on for `expires` seconds."""
    path = quote(f"/{bucket}/{name}", safe="/~")
    time = now.astimezone(UTC).strftime("%Y%m%dT%H%M%SZ")
    scope = f"{time[:8]}/auto/storage/goog4_request"
    query = {
        "X-Goog-Algorithm": _ALGORITHM,
        "X-Goog-Credential": f"{account.email}/{scope}",
        "X-Goog-Date": time,
        "X-Goog-Expires": str(expires),
        "X-Goog-SignedHeaders": "host",
    }
    encoded = urlencode(query, quote_via=quote, safe="")  # in the order of names, as it has to be
    signature = account.sign(_to_sign(method, path, encoded, origin.authority, time, scope)).hex()
    return f"{origin.scheme}://{origin.authority}{path}?{encoded}&X-Goog-Signature={signature}"


def _to_sign(method: str, path: str, query: str, host: str, time: str, scope: str) -> bytes:
    canonical = f"{method}\n{path}\n{query}\nhost:{host}\n\nhost\nUNSIGNED-PAYLOAD"
    return f"{_ALGORITHM}\n{time}\n{scope}\n{hashlib.sha256(canonical.encode()).hexdigest()}".encode()
