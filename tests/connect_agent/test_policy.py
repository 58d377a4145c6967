"""What the allow-list decides, and the words that it finds for it."""

from ipaddress import ip_address

import pytest
from hypothesis import given
from hypothesis import strategies as st

from connect_agent.policy import Entry, Policy, PolicyError


def decide(entries: list[str], host: str, port: int, address: str | None = None) -> bool:
    policy = Policy.parse(entries)
    if not policy.may_resolve(host, port).allowed:
        return False
    return policy.may_dial(host, port, ip_address(address or host)).allowed


@pytest.mark.parametrize(
    ("entry", "written"),
    [
        ("Files.Corp.Example:445", "files.corp.example:445"),
        ("files.corp.example.:445", "files.corp.example:445"),
        ("*.corp.example:22", "*.corp.example:22"),
        ("10.1.2.3:22", "10.1.2.3:22"),
        ("10.1.0.0/16:8000-8099", "10.1.0.0/16:8000-8099"),
        ("[fd12::7]:22", "[fd12::7]:22"),
        ("[fd12::]/32:*", "[fd12::]/32:*"),
        ("[fd12::/32]:443", "[fd12::]/32:443"),
        ("[::ffff:10.0.0.1]:22", "10.0.0.1:22"),
        ("bücher.example:443", "xn--bcher-kva.example:443"),
        ("nas_1:445", "nas_1:445"),
    ],
)
def test_an_entry_is_read_and_written_in_one_form(entry: str, written: str) -> None:
    assert str(Entry.parse(entry)) == written
    assert Entry.parse(written) == Entry.parse(entry)


@pytest.mark.parametrize(
    "entry",
    [
        "", "files", "files:", ":22", "files:0", "files:65536", "files:9-8", "files:x", "files:1-", "*:22",
        "a.*.b:22", "10.0.0.1/8:22", "10.0.0.0/33:22", "300.1.1.1:22", "fd12::7:22", "[fd12::7:22",
        "[fd12::7]x:22", "-a:22", "a..b:22", "http://files:22", "fi les:22", "user@files:22", "a\n:22",
        "1.2.3:22", "files:²",
    ],
)  # fmt: skip
def test_a_bad_entry_is_told_how_to_be_written(entry: str) -> None:
    with pytest.raises(PolicyError) as caught:
        Entry.parse(entry)
    assert "write" in str(caught.value) or "ports go from" in str(caught.value)


def test_localhost_must_be_written_as_an_address() -> None:
    with pytest.raises(PolicyError, match=r"write 127\.0\.0\.1:22 or \[::1\]:22"):
        Entry.parse("localhost:22")


def test_nothing_is_allowed_by_default() -> None:
    decision = Policy().may_resolve("files.corp.example", 445)
    assert not decision.allowed
    assert "empty" in decision.why


@pytest.mark.parametrize(
    ("entries", "host", "port", "address", "allowed"),
    [
        (["files.corp:445"], "files.corp", 445, "10.0.0.1", True),
        (["files.corp:445"], "FILES.corp.", 445, "10.0.0.1", True),
        (["files.corp:445"], "files.corp", 446, "10.0.0.1", False),
        (["files.corp:445"], "other.corp", 445, "10.0.0.1", False),
        (["files.corp:445"], "10.0.0.1", 445, None, False),
        (["*.corp:445"], "a.b.corp", 445, "10.0.0.1", True),
        (["*.corp:445"], "corp", 445, "10.0.0.1", False),
        (["*.corp:445"], "evilcorp", 445, "10.0.0.1", False),
        (["*.corp:445"], "a.corp.evil", 445, "10.0.0.1", False),
        (["10.0.0.0/8:22"], "10.200.0.1", 22, None, True),
        (["10.0.0.0/8:22"], "[::ffff:10.200.0.1]", 22, "::ffff:10.200.0.1", True),
        (["10.0.0.0/8:22"], "11.0.0.1", 22, None, False),
        (["10.0.0.0/8:22"], "files.corp", 22, "10.9.9.9", True),
        (["10.0.0.0/8:22"], "files.corp", 22, "192.168.0.1", False),
        (["10.0.0.0/8:22"], "files.corp", 23, "10.9.9.9", False),
        (["[fd12::]/32:22"], "[fd12::9]", 22, "fd12::9", True),
        (["[fd12::]/32:22"], "fd13::9", 22, None, False),
        (["files.corp:*"], "files.corp", 65535, "10.0.0.1", True),
        (["files.corp:8000-8002"], "files.corp", 8002, "10.0.0.1", True),
        (["files.corp:8000-8002"], "files.corp", 8003, "10.0.0.1", False),
        (["files.corp:*"], "files.corp", 0, "10.0.0.1", False),
        (["files.corp:*"], "files.corp", 65536, "10.0.0.1", False),
        (["0.0.0.0/0:22", "[::]/0:22"], "no such/name", 22, "10.0.0.1", False),
    ],
)
def test_the_decision(entries: list[str], host: str, port: int, address: str | None, allowed: bool) -> None:
    bare = host.strip("[]") if address is None else address
    assert decide(entries, host, port, bare) is allowed


SPECIAL = [
    "127.0.0.1", "127.8.8.8", "::1", "::ffff:127.0.0.1", "0.0.0.0", "0.1.2.3", "::", "169.254.169.254",
    "169.254.1.1", "fe80::1", "224.0.0.1", "ff02::1", "255.255.255.255", "fd00:ec2::254", "100.100.100.200",
    "168.63.129.16", "::ffff:169.254.169.254", "64:ff9b::7f00:1", "64:ff9b::a9fe:a9fe", "2002:7f00:1::",
]  # fmt: skip


@pytest.mark.parametrize("address", SPECIAL)
def test_a_name_that_is_rebound_to_a_special_address_is_refused(address: str) -> None:
    policy = Policy.parse(["files.corp:22", "0.0.0.0/0:22", "[::]/0:22"])
    decision = policy.may_dial("files.corp", 22, ip_address(address))
    assert not decision.allowed
    assert "listed by address" in decision.why


@pytest.mark.parametrize("address", SPECIAL)
def test_a_special_address_is_allowed_when_it_is_listed_by_address(address: str) -> None:
    written = f"[{address}]:22" if ":" in address else f"{address}:22"
    assert Policy.parse([written]).may_dial(address, 22, ip_address(address)).allowed


def test_a_name_may_resolve_to_a_special_address_that_is_listed() -> None:
    assert decide(["127.0.0.0/8:22"], "localhost", 22, "127.0.0.1")
    assert not decide(["127.0.0.0/8:22"], "localhost", 22, "::1")


def test_a_name_that_nothing_could_allow_is_not_even_resolved() -> None:
    assert not Policy.parse(["files.corp:22", "10.0.0.0/8:443"]).may_resolve("other.corp", 22).allowed


def test_the_reason_names_the_port_when_only_that_is_wrong() -> None:
    decision = Policy.parse(["files.corp:22"]).may_resolve("files.corp", 23)
    assert decision.why == "files.corp:22 has the host, but not port 23"


def test_the_deciding_entry_is_named() -> None:
    policy = Policy.parse(["10.0.0.0/8:22", "*.corp:445"])
    assert policy.may_dial("a.corp", 445, ip_address("10.0.0.1")).entry == "*.corp:445"
    assert policy.may_dial("10.0.0.1", 22, ip_address("10.0.0.1")).entry == "10.0.0.0/8:22"


def test_entries_are_kept_once_and_in_order() -> None:
    assert Policy.parse(["b:1", "a:1", "B:1"]).texts() == ["b:1", "a:1"]


@given(st.text(max_size=40))
def test_any_text_is_an_entry_or_a_policy_error(text: str) -> None:
    try:
        entry = Entry.parse(text)
    except PolicyError:
        return
    assert Entry.parse(str(entry)) == entry


@given(st.text(max_size=40), st.integers(), st.ip_addresses())
def test_any_question_gets_an_answer(host: str, port: int, address: object) -> None:
    policy = Policy.parse(["*.corp:22", "10.0.0.0/8:*"])
    policy.may_resolve(host, port)
    policy.may_dial(host, port, ip_address(str(address)))
