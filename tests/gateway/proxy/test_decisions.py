"""The proxy's decisions alone: masking in pieces, hosts and paths, and what its process can't do."""

import subprocess
import sys
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from connectors.interface import Origin
from gateway.access.scopes import BadScope, Scope
from gateway.access.scrubbing import LARGEST_BODY, Scrubber
from gateway.proxy.grants import Denied, Grant, covers, names, plain_host
from gateway.proxy.messages import without_folds

SECRET = "c2VjcmV0OnNlY3JldA=="
STORE = Origin("https", "store.example", 443, "/dav/")
FLAT = Origin("https", "flat.example", 443, "/b/bucket/", flat_names=True)


def taken(scrubber: Scrubber, pieces: list[bytes]) -> bytes:
    return b"".join(scrubber.take(piece) for piece in pieces if piece) + scrubber.take(b"")


@given(st.lists(st.sampled_from([SECRET, SECRET[:7], "text ", "="]), max_size=12), st.data())
def test_a_secret_is_masked_wherever_the_pieces_part_it(words: list[str], data: st.DataObject) -> None:
    text = "".join(words)
    cuts = sorted(data.draw(st.lists(st.integers(0, len(text)), max_size=6)))
    parts = [text[a:b].encode() for a, b in zip([0, *cuts], [*cuts, len(text)], strict=True)]
    masked = taken(Scrubber([SECRET]), parts)
    wanted = text.replace(SECRET, "*" * len(SECRET)).encode()
    assert masked.replace(b"=", b"*") == wanted.replace(b"=", b"*"), "of the padding some may be left"


def test_a_large_text_passes_as_it_is_behind_its_first_mebibyte() -> None:
    large = [b"x" * 65536] * (LARGEST_BODY // 65536) + [SECRET.encode()]
    assert taken(Scrubber([SECRET]), large).endswith(SECRET.encode())


def test_what_is_no_text_is_not_looked_at() -> None:
    scrubber = Scrubber([SECRET])
    assert scrubber.body({"content-type": "image/png"}.get) is True
    assert scrubber.body({"content-type": "application/vnd.api+json"}.get) == scrubber.take
    assert Scrubber(["short"]).body({"content-type": "text/plain"}.get) is True


def test_a_folded_header_of_a_store_can_not_begin_another() -> None:
    assert without_folds("a\r\n Set-Cookie: b\0") == "a Set-Cookie: b"


@pytest.mark.parametrize(
    ("host", "plain"),
    [
        ("Store.Example.", "store.example"),
        ("[::FFFF:127.0.0.1]", plain_host("::ffff:7f00:1")),
        ("0x7f.1", "0x7f.1"),  # no spelling of a number becomes an address here: only equal names are equal
    ],
)
def test_a_host_has_one_form(host: str, plain: str) -> None:
    assert plain_host(host) == plain


@pytest.mark.parametrize(
    ("field", "same"),
    [
        *(("store.example", True), ("STORE.example:443", True), ("store.example:80", False)),
        *(
            ("store.example:", False),
            ("a.store.example", False),
            ("store.example:443:443", False),
            (f"store.example:{'9' * 5000}", False),
            ("", False),
        ),
    ],
)
def test_a_host_header_names_the_origin(field: str, same: bool) -> None:
    assert names(field, STORE) is same


@pytest.mark.parametrize(
    ("scheme", "host", "port", "target", "allowed"),
    [
        ("https", "store.example", 443, "/dav/a?b=/../c", True),
        ("https", "store.example", 443, "/dav", True),
        ("https", "store.example", 443, "/david", False),
        ("https", "store.example", 443, "/dav/../x", False),
        ("https", "store.example", 443, "/dav/%2e%2e/x", False),
        ("https", "store.example", 443, "/dav/a%5c..%5c..", False),
        ("http", "store.example", 443, "/dav/a", False),
        ("https", "store.example", 8443, "/dav/a", False),
        ("https", "evil.example", 443, "/dav/a", False),
        ("https", "store.example", 443, "*", False),
    ],
)
def test_only_the_accounts_origin_is_let_through(
    scheme: str, host: str, port: int, target: str, allowed: bool
) -> None:
    grant = Grant(1, 0, "test")

    def ask() -> Origin:
        return grant.require([STORE], method="GET", scheme=scheme, host=host, port=port, target=target)

    if allowed:
        assert ask() == STORE
    else:
        with pytest.raises(Denied):
            ask()


@pytest.mark.parametrize(
    ("name", "allowed"),
    [
        ("in%2Fa.txt", True),
        ("100%25", True),
        ("%2e%2e%2Fother%2Fa", False),
        ("..%2Fother", False),
        ("a%5C..%5Cb", False),
        ("a%00b", False),
    ],
)
@pytest.mark.parametrize("paths", [(), ("/b/bucket",)])
def test_names_without_folders_may_have_slashes_written_so(
    name: str, allowed: bool, paths: tuple[str, ...]
) -> None:
    """As Google's and Azure's SDKs write them; they stay below the account's path and the token's."""
    grant = Grant(1, 0, "test", paths=paths)

    def ask(origin: Origin) -> Origin:
        target = f"{origin.path}{name}"
        return grant.require(
            [origin], method="GET", scheme="https", host="flat.example", port=443, target=target
        )

    if allowed:
        assert ask(FLAT) == FLAT
    else:
        with pytest.raises(Denied):
            ask(FLAT)
    with pytest.raises(Denied):
        ask(replace(FLAT, flat_names=False))


def test_a_prefix_covers_itself_and_what_is_below() -> None:
    assert [covers("/a/", path) for path in ("/a", "/a/", "/a/b", "/ab", "/")] == [
        True,
        True,
        True,
        False,
        False,
    ]


@pytest.mark.parametrize(
    "wrong", [{"hosts": ["a b"]}, {"methods": ["GET /"]}, {"paths": ["a"]}, {"paths": ["/a"] * 51}]
)
def test_a_scope_that_can_not_be_kept_is_refused(wrong: dict[str, list[str]]) -> None:
    with pytest.raises(BadScope):
        Scope.checked(**wrong)  # type: ignore[arg-type]  # lists of one field each


def test_the_process_has_nothing_that_unseals() -> None:
    program = "import sys; import gateway.proxy.main; print('\\n'.join(sys.modules))"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    loaded = set(done.stdout.split())
    assert "mitmproxy.master" in loaded
    assert not {name for name in loaded if name.startswith(("store.envelope.unseal", "gateway.worker"))}
