"""What a client is answered in the store's place, in the form in which the store's own programs read errors.

They show it to their users then: `aws` says "An error occurred (AccessDenied) ...: isthmus proxy: this token
is read-only", and for a line of text no more than "(403) ... Forbidden". All else reads the line.
"""

import json
from collections.abc import Callable
from http import HTTPStatus
from typing import Final
from xml.sax.saxutils import escape

from mitmproxy.http import Response

from connectors.interface import ErrorForm

_XML: Final = '<?xml version="1.0" encoding="UTF-8"?>\n'
_NAMED: Final = {
    (ErrorForm.S3, 403): "AccessDenied",
    (ErrorForm.AZURE, 403): "AuthorizationFailure",
    (ErrorForm.AZURE, 503): "ServerBusy",
}
"""Where the store's own name for a status is another than the status's own."""


def answer(status: int, why: str, form: ErrorForm | None = None, *, code: str | None = None) -> Response:
    """An answer that says why there is no other.

    Args:
        status: the answer's.
        why: in words for whoever runs the program.
        form: None is a line of text.
        code: the store's name for what is wrong; else one that goes with the status.
    """
    said = f"isthmus proxy: {why}"
    if form is None:
        return _made(status, "text/plain; charset=utf-8", f"{said}\n")
    return _FORMS[form](status, code or _NAMED.get((form, status)) or _name(status), said)


def _s3(status: int, code: str, said: str) -> Response:
    """Amazon S3 API Reference, "Error responses", REST error responses."""
    document = f"{_XML}<Error><Code>{escape(code)}</Code><Message>{escape(said)}</Message></Error>"
    return _made(status, "application/xml", document)


def _azure(status: int, code: str, said: str) -> Response:
    """Azure Storage REST API, "Status and error codes": as S3, and a header for where there is no body."""
    made = _s3(status, code, said)
    made.headers["x-ms-error-code"] = code
    return made


def _google(status: int, code: str, said: str) -> Response:
    """Cloud Storage JSON API, "HTTP status and error codes"."""
    reason = code[:1].lower() + code[1:]
    errors = [{"domain": "global", "reason": reason, "message": said}]
    error = {"code": status, "message": said, "errors": errors}
    return _made(status, "application/json; charset=utf-8", json.dumps({"error": error}))


_FORMS: Final[dict[ErrorForm, Callable[[int, str, str], Response]]] = {
    ErrorForm.S3: _s3,
    ErrorForm.AZURE: _azure,
    ErrorForm.GOOGLE: _google,
}


def _made(status: int, content_type: str, body: str) -> Response:
    return Response.make(status, body, {"Content-Type": content_type})


def _name(status: int) -> str:
    """As "BadGateway"."""
    return "".join(HTTPStatus(status).phrase.split())
