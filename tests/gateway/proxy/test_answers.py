"""Answers in the stores' place, as their own SDKs read them."""

import json
from typing import Any

import pytest
from botocore.parsers import create_parser
from google.api_core.exceptions import from_http_response
from requests import Request as Asked
from requests import Response as Received

from connectors.interface import ErrorForm
from gateway.proxy.answers import answer

WHY = "this token is <read-only> & more"
SAID = f"isthmus proxy: {WHY}"


def test_without_a_form_it_is_a_line() -> None:
    made = answer(403, WHY)
    assert (made.status_code, made.text) == (403, f"{SAID}\n")
    assert made.headers["content-type"] == "text/plain; charset=utf-8"


@pytest.mark.parametrize(
    ("status", "given", "code"),
    [
        (403, None, "AccessDenied"),
        (403, "InvalidAccessKeyId", "InvalidAccessKeyId"),
        (502, None, "BadGateway"),
    ],
)
def test_s3s_programs_read_code_and_message(status: int, given: str | None, code: str) -> None:
    made = answer(status, WHY, ErrorForm.S3, code=given)
    received: dict[str, Any] = {"body": made.content, "headers": {}, "status_code": made.status_code}
    read = create_parser("rest-xml").parse(received, None)
    assert (read["Error"]["Code"], read["Error"]["Message"]) == (code, SAID)


def test_azures_programs_find_the_code_where_there_is_no_body() -> None:
    made = answer(503, WHY, ErrorForm.AZURE)
    assert made.headers["x-ms-error-code"] == "ServerBusy"


def test_googles_programs_read_the_message() -> None:
    made, received = answer(403, WHY, ErrorForm.GOOGLE), Received()
    received.status_code, received.request = made.status_code, Asked("GET", "http://a.example").prepare()
    received._content = made.content
    error = from_http_response(received)  # type: ignore[no-untyped-call]  # Google's
    assert error.message.endswith(SAID)
    assert error.errors == [{"domain": "global", "reason": "forbidden", "message": SAID}]
    assert json.loads(made.text or "")["error"]["code"] == 403
