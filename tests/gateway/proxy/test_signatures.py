"""Signatures as botocore's own signers make them, and as Amazon's pages print them; and ways to be wrong."""

from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import quote, urlsplit

import pytest
from botocore.auth import S3SigV4Auth, S3SigV4QueryAuth, SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials
from hypothesis import given
from hypothesis import strategies as st

from gateway.access import tokens
from gateway.access.placeholders import Placeholder, placeholder
from gateway.proxy.signing.signatures import Head, Refused, Signed, checked

KEYS = placeholder(tokens.digest("a token"))
OTHERS = placeholder(tokens.digest("another token"))
EXAMPLE = Placeholder("AKIAIOSFODNN7EXAMPLE", "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY")  # of Amazon's pages
THEN = datetime(2013, 5, 24, tzinfo=UTC)
HOST = "store.example"


def now() -> datetime:
    return datetime.now(UTC)


def head_of(request: AWSRequest, **changed: Any) -> Head:
    """What of a request that botocore made is sent."""
    parts = urlsplit(request.url)
    target = parts.path + (f"?{parts.query}" if parts.query else "")
    fields = {"host": parts.netloc, **{name.lower(): str(value) for name, value in request.headers.items()}}
    given = {"method": request.method, "target": target, "fields": list(fields.items())}
    return Head(**(given | changed))


def signed(
    method: str = "PUT", path: str = "/bucket/key", keys: Placeholder = KEYS, **headers: str
) -> AWSRequest:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    request = AWSRequest(method, f"http://{HOST}{path}", named, data=b"content")
    credentials = Credentials(keys.access_key_id, keys.secret_access_key)
    S3SigV4Auth(credentials, "s3", "eu-north-1").add_auth(request)
    return request


def presigned(method: str = "GET", path: str = "/bucket/key", expires: int = 60) -> AWSRequest:
    request = AWSRequest(method, f"http://{HOST}{path}")
    credentials = Credentials(KEYS.access_key_id, KEYS.secret_access_key)
    S3SigV4QueryAuth(credentials, "s3", "eu-north-1", expires=expires).add_auth(request)
    return request


def refusal(head: Head, at: datetime | None = None, keys: Placeholder = KEYS) -> str:
    with pytest.raises(Refused) as refused:
        checked(head, keys, at or now())
    return refused.value.code


def test_keys_follow_from_the_tokens_digest_and_differ() -> None:
    assert placeholder(tokens.digest("a token")) == KEYS
    assert len(KEYS.access_key_id) == 20
    assert len(KEYS.secret_access_key) == 40
    assert {KEYS.access_key_id, KEYS.secret_access_key}.isdisjoint(
        {OTHERS.access_key_id, OTHERS.secret_access_key}
    )
    assert KEYS.secret_access_key not in repr(KEYS)


def test_what_is_not_signed_is_let_be() -> None:
    assert checked(Head("GET", "/bucket/key?list-type=2", [("host", HOST)]), KEYS, now()) is None
    basic = [("host", HOST), ("authorization", "Basic abc")]
    assert checked(Head("GET", "/bucket/key", basic), KEYS, now()) is None


def test_botocores_header_is_right_and_says_what_the_body_is() -> None:
    found = checked(head_of(signed()), KEYS, now())
    assert isinstance(found, Signed)
    assert found.payload == "UNSIGNED-PAYLOAD" or len(found.payload) == 64
    assert found.scope.endswith("/eu-north-1/s3/aws4_request")
    assert KEYS.secret_access_key not in repr(found)


def test_botocores_presigned_url_is_right() -> None:
    found = checked(head_of(presigned()), KEYS, now())
    assert found is not None
    assert found.payload == "UNSIGNED-PAYLOAD"


@pytest.mark.parametrize(
    ("head", "signature"),
    [
        (  # "Example: GET Object"
            Head(
                "GET",
                "/test.txt",
                [
                    ("host", "examplebucket.s3.amazonaws.com"),
                    ("range", "bytes=0-9"),
                    (
                        "x-amz-content-sha256",
                        "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
                    ),
                    ("x-amz-date", "20130524T000000Z"),
                ],
            ),
            "f0e8bdb87c964420e857bd35b5d6ed310bd44f0170aba48dd91039c6036bdb41",
        ),
        (  # "Example: GET Bucket (List Objects)"
            Head(
                "GET",
                "/?max-keys=2&prefix=J",
                [
                    ("host", "examplebucket.s3.amazonaws.com"),
                    (
                        "x-amz-content-sha256",
                        "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
                    ),
                    ("x-amz-date", "20130524T000000Z"),
                ],
            ),
            "34b48302e7b5fa45bde8084f4b7868a86f0a534bc59db6670ed5711ef69dc6f7",
        ),
        (  # "Example: PUT Object"
            Head(
                "PUT",
                "/test%24file.text",
                [
                    ("date", "Fri, 24 May 2013 00:00:00 GMT"),
                    ("host", "examplebucket.s3.amazonaws.com"),
                    (
                        "x-amz-content-sha256",
                        "44ce7dd67c959e0d3524ffac1771dfbba87d2b6b4b4e99e42034a8b803f8b072",
                    ),
                    ("x-amz-date", "20130524T000000Z"),
                    ("x-amz-storage-class", "REDUCED_REDUNDANCY"),
                ],
            ),
            "98ad721746da40c64f1a55b78f14c238d841ea1380cd77a1b5971af0ece108bd",
        ),
    ],
)
def test_amazons_own_examples(head: Head, signature: str) -> None:
    names = ";".join(name for name, _ in head.fields)
    scope = f"{EXAMPLE.access_key_id}/20130524/us-east-1/s3/aws4_request"
    field = f"AWS4-HMAC-SHA256 Credential={scope},SignedHeaders={names},Signature={signature}"
    asked = Head(head.method, head.target, [*head.fields, ("authorization", field)])
    assert checked(asked, EXAMPLE, THEN) is not None
    assert refusal(asked, THEN + timedelta(minutes=16), EXAMPLE) == "RequestTimeTooSkewed"


def test_amazons_example_of_a_presigned_url() -> None:
    asked = Head(
        "GET",
        "/test.txt?X-Amz-Algorithm=AWS4-HMAC-SHA256"
        "&X-Amz-Credential=AKIAIOSFODNN7EXAMPLE%2F20130524%2Fus-east-1%2Fs3%2Faws4_request"
        "&X-Amz-Date=20130524T000000Z&X-Amz-Expires=86400&X-Amz-SignedHeaders=host"
        "&X-Amz-Signature=aeeed9bbccd4d02ee5c0109b86d86835f995330da4c265957d157751f604d404",
        [("host", "examplebucket.s3.amazonaws.com")],
    )
    assert checked(asked, EXAMPLE, THEN + timedelta(hours=23)) is not None
    assert refusal(asked, THEN + timedelta(hours=24, seconds=1), EXAMPLE) == "AccessDenied"
    assert refusal(asked, THEN - timedelta(minutes=16), EXAMPLE) == "AccessDenied"


KEY = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=20)


@given(key=KEY, names=st.dictionaries(KEY, KEY, max_size=4), value=st.text("aZ09 \t~é", max_size=20))
def test_any_key_query_and_header(key: str, names: dict[str, str], value: str) -> None:
    query = "&".join(f"{quote(n, safe='')}={quote(v, safe='')}" for n, v in names.items())
    ours = {name.lower() for name in names}
    if any(name.startswith("x-amz-") or name in ("awsaccesskeyid", "signature") for name in ours):
        return
    path = f"/bucket/{quote(key, safe='/~')}" + (f"?{query}" if query else "")
    request = signed("PUT", path, x_amz_meta_a=value)
    sent = {name.lower(): text.encode().decode("latin-1") for name, text in request.headers.items()}
    head = head_of(request, fields=[("host", HOST), *sent.items()])
    assert checked(head, KEYS, now()) is not None
    assert checked(head_of(presigned("GET", path)), KEYS, now()) is not None


def test_any_change_of_what_was_signed_is_refused() -> None:
    request = signed(path="/bucket/a%20b?tagging=&x=1", x_amz_meta_a="one", content_type="text/plain")
    head = head_of(request)
    assert checked(head, KEYS, now()) is not None
    changed = [
        Head("POST", head.target, head.fields),
        Head(head.method, head.target.replace("a%20b", "a%20c"), head.fields),
        Head(head.method, head.target + "&versionId=1", head.fields),
        Head(head.method, head.target.replace("x=1", "x=2"), head.fields),
        Head(head.method, "/bucket/a%20b?tagging=", head.fields),
    ]
    for name, _ in head.fields:
        if name not in ("authorization",):
            fields = [(n, f"{v}0" if n == name else v) for n, v in head.fields]
            changed.append(Head(head.method, head.target, fields))
        if name.startswith(("x-amz-meta", "content-type")):
            changed.append(Head(head.method, head.target, [(n, v) for n, v in head.fields if n != name]))
            changed.append(Head(head.method, head.target, [*head.fields, (name, "two")]))
    for one in changed:
        assert refusal(one) in ("SignatureDoesNotMatch", "AccessDenied", "InvalidArgument"), one


def test_any_change_of_a_presigned_url_is_refused() -> None:
    head = head_of(presigned(path="/bucket/key?response-content-type=text%2Fplain"))
    for old, new in (
        ("/key", "/kez"),
        ("text%2Fplain", "text%2Fhtml"),
        ("X-Amz-Expires=60", "X-Amz-Expires=61"),
        ("X-Amz-SignedHeaders=host", "X-Amz-SignedHeaders=host%3Bdate"),
        ("eu-north-1", "eu-north-2"),
        ("X-Amz-Signature=", "X-Amz-Signature=0"),
    ):
        assert old in head.target
        assert refusal(Head("GET", head.target.replace(old, new), head.fields)) == "SignatureDoesNotMatch"
    assert refusal(Head("PUT", head.target, head.fields)) == "SignatureDoesNotMatch"
    assert refusal(Head("GET", head.target, [("host", "other.example")])) == "SignatureDoesNotMatch"


def test_amazons_headers_that_are_not_signed_are_refused() -> None:
    for request in (signed(), presigned()):
        head = head_of(request)
        more = [*head.fields, ("x-amz-meta-b", "put in")]
        assert refusal(Head(head.method, head.target, more)) == "AccessDenied"


def test_a_list_of_signed_headers_without_host_is_refused() -> None:
    head = head_of(signed())
    fields = [(name, value.replace("host;", "")) for name, value in head.fields]
    assert refusal(Head(head.method, head.target, fields)) == "AccessDenied"


def test_keys_of_another_token_are_refused_by_name() -> None:
    assert refusal(head_of(signed(keys=OTHERS))) == "InvalidAccessKeyId"
    stolen = Placeholder(KEYS.access_key_id, OTHERS.secret_access_key)
    assert refusal(head_of(signed(keys=stolen))) == "SignatureDoesNotMatch"


def test_a_clock_may_be_fifteen_minutes_off() -> None:
    head = head_of(signed())
    for off in (-14, 14):
        assert checked(head, KEYS, now() + timedelta(minutes=off)) is not None
    for off in (-16, 16):
        assert refusal(head, now() + timedelta(minutes=off)) == "RequestTimeTooSkewed"


@pytest.mark.parametrize(
    ("target", "field"),
    [
        ("/bucket/key", "AWS AKID:c2lnbmF0dXJl"),
        ("/bucket/key?AWSAccessKeyId=AKID&Expires=1&Signature=x", None),
        (
            "/bucket/key",
            "AWS4-ECDSA-P256-SHA256 Credential=A/20130524/s3/aws4_request,SignedHeaders=a,Signature=b",
        ),
        ("/bucket/key?X-Amz-Algorithm=AWS4-ECDSA-P256-SHA256&X-Amz-Signature=x", None),
        ("/bucket/key", "AWS4-HMAC-SHA256"),
        ("/bucket/key", "AWS4-HMAC-SHA256 Credential=A/b,SignedHeaders=host"),
        ("/bucket/key", "aws4-hmac-sha256 Credential=A/b,SignedHeaders=host,Signature=00"),
        ("/bucket/key?X-Amz-Signature=00", None),
        (
            "/bucket/key?X-Amz-Signature=%ff%0a",
            "AWS4-HMAC-SHA256 Credential=A,SignedHeaders=host,Signature=0",
        ),
    ],
)
def test_other_kinds_of_signatures_and_malformed_ones_are_refused(target: str, field: str | None) -> None:
    more = [("authorization", field)] if field else []
    with pytest.raises(Refused) as refused:
        checked(Head("GET", target, [("host", HOST), *more]), KEYS, now())
    assert refused.value.status == 400


def test_a_request_that_is_signed_twice_is_refused() -> None:
    head = head_of(signed())
    for target, fields in (
        (head_of(presigned()).target, head.fields),
        (head.target, [*head.fields, ("authorization", dict(head.fields)["authorization"])]),
    ):
        assert refusal(Head(head.method, target, fields)) == "InvalidArgument"


def test_another_services_signature_is_refused() -> None:
    request = AWSRequest("GET", f"http://{HOST}/", {"x-amz-content-sha256": "UNSIGNED-PAYLOAD"})
    credentials = Credentials(KEYS.access_key_id, KEYS.secret_access_key)
    SigV4Auth(credentials, "sts", "eu-north-1").add_auth(request)
    assert refusal(head_of(request)) == "AuthorizationHeaderMalformed"
