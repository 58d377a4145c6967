"""A token for some paths, and what else a request may be about: other places named in its headers."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest

from connectors.interface import Origin, Signing
from gateway.proxy.grants import Denied, Grant
from tests.gateway.proxy.proxied import Account, Proxied
from tests.gateway.proxy.speaking import Double

HOST = Origin("https", "dav.example", 443)
LIMITED = Grant(1, 1, "a token", paths=("/mine",))
WHOLE = Grant(1, 1, "a token")

BEYOND = [
    "/yours/a",
    "/mine/../yours",
    "/mine/%2e%2e/yours",
    "/mine%2f..%2fyours",
    "/mines",
    "mine/a",
    "",
    "//dav.example/yours",
    "///mine/a",
    "https://dav.example/yours/a",
    "https://dav.example:444/mine/a",
    "http://dav.example/mine/a",
    "https://elsewhere.example/mine/a",
    "https://dav.example@elsewhere.example/mine/a",
    "https://[/mine/a",
    "https:/mine/a",
    "/mine/.\t./yours",
    "/mine/..;/yours",
    "/mine\\..\\yours",
]


@pytest.mark.parametrize("name", ["destination", "x-ms-copy-source", "x-ms-rename-source"])
@pytest.mark.parametrize("place", BEYOND)
def test_a_second_place_beyond_the_tokens_paths_is_refused(name: str, place: str) -> None:
    with pytest.raises(Denied) as denied:
        LIMITED.require_second_places(HOST, "MOVE", [(name, place)])
    assert denied.value.status in (400, 403)


@pytest.mark.parametrize(
    "place", ["/mine", "/mine/a%20b", "https://dav.example/mine/a", "HTTPS://DAV.example:443/mine"]
)
def test_a_second_place_within_them_is_fine(place: str) -> None:
    LIMITED.require_second_places(HOST, "MOVE", [("destination", place)])


IN_PATH = Origin("https", "s3.example", 443, "/bucket/", signing=Signing.AWS4, flat_names=True)
IN_HOST = Origin("https", "bucket.s3.example", 443, "/", signing=Signing.AWS4, flat_names=True)


@pytest.mark.parametrize(("origin", "path"), [(IN_PATH, "/bucket/my+dir"), (IN_HOST, "/my+dir")])
@pytest.mark.parametrize(
    ("source", "fine"),
    [
        ("bucket/my+dir/a", True),
        ("/bucket/my%2Bdir/a%20b?versionId=1", True),
        ("bucket/my%2Bdir%2Fa", True),
        ("bucket/my%20dir/a", False),
        ("bucket/mydir/a", False),
        ("bucket/my+dir/../yours", False),
        ("bucket/my+dir/%2e%2e/yours", False),
        ("bucket/my+dirs/a", False),
        ("my+dir/a", False),
        ("//bucket/my+dir/a", False),
        ("arn:aws:s3:eu-north-1:1:accesspoint/my+dir/a", False),
        ("", False),
        ("bucket", False),
    ],
)
def test_the_source_of_a_copy_in_s3(origin: Origin, path: str, source: str, fine: bool) -> None:
    limited = Grant(1, 1, "a token", paths=(path,))
    if fine:
        limited.require_second_places(origin, "PUT", [("x-amz-copy-source", source)])
    else:
        with pytest.raises(Denied):
            limited.require_second_places(origin, "PUT", [("x-amz-copy-source", source)])


@pytest.mark.parametrize("name", ["x-amz-copy-source", "x-amz-rename-source", "x-goog-copy-source"])
def test_a_source_in_the_stores_own_way_is_refused(name: str) -> None:
    with pytest.raises(Denied):
        LIMITED.require_second_places(HOST, "PUT", [(name, "/mine/a")])


@pytest.mark.parametrize(
    ("act", "fine"),
    [
        ("", True),
        ("/acl", True),
        ("/rewriteTo/b/bucket/o/yours%2Fb", False),
        ("/copyTo/b/bucket/o/yours%2Fb?alt=json", False),
        ("/moveTo/o/yours%2Fb", False),
        ("/compose", False),
    ],
)
def test_googles_acts_on_a_second_object_are_beyond_some_paths(act: str, fine: bool) -> None:
    place = Origin("https", "storage.example", 443, "/storage/v1/b/bucket/", flat_names=True)
    limited = Grant(1, 1, "a token", paths=("/storage/v1/b/bucket/o/mine",))
    target = f"/storage/v1/b/bucket/o/mine%2Fa{act}"
    asked: dict[str, Any] = {
        "method": "POST",
        "scheme": "https",
        "host": "storage.example",
        "port": 443,
        "target": target,
    }
    if fine:
        assert limited.require([place], **asked) is place
    else:
        with pytest.raises(Denied, match="a second object"):
            limited.require([place], **asked)
    assert replace(limited, paths=()).require([place], **asked) is place


@pytest.mark.parametrize("method", ["SEARCH", "REPORT", "BIND", "REBIND"])
def test_a_method_that_names_places_in_its_body_is_refused(method: str) -> None:
    with pytest.raises(Denied):
        LIMITED.require_second_places(HOST, method, [])
    WHOLE.require_second_places(HOST, method, [])


def test_without_limits_everything_of_the_host_is_there() -> None:
    WHOLE.require_second_places(HOST, "PUT", [("destination", "/yours/a"), ("x-amz-copy-source", "b/k")])


@pytest.mark.server
@pytest.mark.journey
@pytest.mark.parametrize(
    ("fields", "code"),
    [
        (["Destination: {url}mine/b"], 200),
        (["Destination: {url}yours/b"], 403),
        (["Destination: {url}mine/b", "Destination: {url}yours/b"], 403),
    ],
)
def test_the_store_is_not_asked(
    guarded: Proxied, lied_to: Account, lying: Double, fields: Sequence[str], code: int
) -> None:
    token = guarded.isthmus("proxy", "token", "create", "--account", str(lied_to.id), "--path", "/mine")[
        "token"
    ]
    before = len(lying.requests)
    words = [word for field in fields for word in ("-H", field.format(url=lying.url))]
    assert guarded.curl(lied_to, "-X", "MOVE", *words, f"{lying.url}mine/a", token=token)[0] == code
    assert len(lying.requests) - before == (code == 200)


def test_another_target_in_a_header_is_dropped(guarded: Proxied, lied_to: Account, lying: Double) -> None:
    fields = ("-H", "X-Original-URL: /yours/b", "-H", "X-Rewrite-URL: /yours/b")
    assert guarded.curl(lied_to, *fields, f"{lying.url}mine/a")[0] == 200
    names = {name for name, _ in lying.requests[-1][0].headers}
    assert not {b"x-original-url", b"x-rewrite-url"} & names
