"""Signature Version 4 by botocore's signers, which do no I/O (S3's API reference, "Authenticating Requests").

botocore takes a third of a second to import: nothing but the opening of an account imports this module.
"""

import logging
from collections.abc import Mapping
from typing import Any

from botocore.auth import S3SigV4Auth, S3SigV4QueryAuth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials

from connectors.s3.settings import S3Settings

# at level DEBUG it writes what it signs, a session token included
logging.getLogger("botocore.auth").setLevel(logging.INFO)


class _GivenPayload(S3SigV4Auth):  # type: ignore[misc]  # botocore has no types
    """Signs the payload's digest as it is given."""

    def payload(self, request: AWSRequest) -> str:
        given: str = request.context["payload"]
        return given


class Signer:
    """Signs for one key in one region."""

    def __init__(self, settings: S3Settings) -> None:
        token = settings.session_token.get_secret_value() if settings.session_token else None
        secret = settings.secret_access_key.get_secret_value()
        self._region = settings.region
        self._credentials = Credentials(settings.access_key_id, secret, token)
        self._headers = _GivenPayload(self._credentials, "s3", self._region)

    def signed(self, method: str, url: str, headers: Mapping[str, str], payload: str) -> dict[str, str]:
        """The headers with the signature's own, names in lower case; all of them are signed.

        Args:
            method: of the request.
            url: the whole of it, encoded as it is sent.
            headers: with Host.
            payload: the body's digest, or UNSIGNED-PAYLOAD.
        """
        request = AWSRequest(method, url, dict(headers))
        request.context["payload"] = payload
        self._headers.add_auth(request)
        return _plain(request.headers)

    def presigned(self, method: str, url: str, expires: int) -> str:
        """The URL with a signature in its query, good for that many seconds."""
        request = AWSRequest(method, url)
        S3SigV4QueryAuth(self._credentials, "s3", self._region, expires=expires).add_auth(request)
        found: str = request.url
        return found


def _plain(headers: Any) -> dict[str, str]:  # botocore's own kind of message
    return {name.lower(): str(value) for name, value in headers.items()}
