"""The proxy's authorities on disk and their constraints, judged by OpenSSL and curl."""

import subprocess
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)

from gateway.proxy.authority import ca, rotation
from gateway.proxy.authority.ca import Authority
from gateway.proxy.authority.leaves import LIFETIME, Leaves, NotCovered, Signing, named
from gateway.proxy.authority.rotation import NotNow
from tests.gateway.proxy.proxied import ENVIRONMENT
from tests.servers.sshd import free_port, wait_for_port

MONTH = timedelta(days=30)


# constraints


def by_hand(authority: Authority, key: str, name: x509.GeneralName, folder: Path) -> Path:
    """A leaf for any name, as whoever stole the key would make it; with its own key, in one file."""
    mine = ec.generate_private_key(ec.SECP256R1())
    signing = load_pem_private_key(key.encode(), password=None)
    assert isinstance(signing, ec.EllipticCurvePrivateKey)
    now = datetime.now(UTC)
    issuer = x509.SubjectKeyIdentifier.from_public_key(signing.public_key())
    made = (
        x509.CertificateBuilder()
        .subject_name(x509.Name([]))
        .issuer_name(authority.certificate.subject)
        .public_key(mine.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(hours=1))
        .not_valid_after(now + timedelta(hours=1))
        .add_extension(x509.SubjectAlternativeName([name]), critical=True)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_subject_key_identifier(issuer), critical=False)
        .sign(signing, hashes.SHA256())
    )
    secret = mine.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    file = folder / "leaf.pem"
    file.write_bytes(made.public_bytes(Encoding.PEM) + secret)
    return file


def verified(authority: Authority, leaf: Path) -> str:
    trusted = leaf.with_name("trusted.pem")
    trusted.write_text(authority.pem)
    words = ("openssl", "verify", "-x509_strict", "-CAfile", str(trusted), str(leaf))
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    return done.stdout + done.stderr


@pytest.mark.parametrize(
    ("hosts", "name", "accepted"),
    [
        (["files.example"], "files.example", True),
        (["files.example"], "deep.files.example", True),
        (["files.example"], "evilfiles.example", False),
        (["files.example"], "bank.example", False),
        (["files.example"], "192.0.2.1", False),
        (["192.0.2.1"], "192.0.2.1", True),
        (["192.0.2.1"], "192.0.2.2", False),
        (["192.0.2.1"], "2001:db8::1", False),
        (["192.0.2.1"], "files.example", False),
        (["2001:DB8::1", "Files.Example."], "2001:db8::1", True),
        (["2001:DB8::1", "Files.Example."], "files.example", True),
        (None, "bank.example", True),
    ],
)
def test_openssl_and_we_agree_on_what_is_covered(
    tmp_path: Path, hosts: Sequence[str] | None, name: str, accepted: bool
) -> None:
    authority, key = ca.make(hosts)
    assert authority.covers(name) is accepted
    said = verified(authority, by_hand(authority, key, named(name), tmp_path))
    assert (": OK" in said) is accepted, said
    if not accepted:
        assert "permitted subtree violation" in said or "excluded subtree violation" in said, said


@contextmanager
def tls_server(leaf: Path) -> Iterator[int]:
    port = free_port()
    words = (
        "openssl",
        "s_server",
        "-accept",
        str(port),
        "-cert",
        str(leaf),
        "-key",
        str(leaf),
        "-www",
        "-quiet",
    )
    with subprocess.Popen(words, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as running:
        try:
            wait_for_port(port)
            yield port
        finally:
            running.kill()


@pytest.mark.server
def test_curl_refuses_what_the_stolen_key_signs_for_another_host(tmp_path: Path) -> None:
    authority, key = ca.make(["files.example"])
    (tmp_path / "ca.pem").write_text(authority.pem)
    for name, status in (("files.example", 0), ("bank.example", 60)):
        with tls_server(by_hand(authority, key, x509.DNSName(name), tmp_path)) as port:
            place = ("--resolve", f"{name}:{port}:127.0.0.1", f"https://{name}:{port}/")
            words = ("curl", "-sS", "--max-time", "10", "--cacert", str(tmp_path / "ca.pem"), *place)
            done = subprocess.run(words, capture_output=True, text=True, check=False, env=ENVIRONMENT)
        assert done.returncode == status, done.stderr


@pytest.mark.parametrize("hosts", [[], [""], ["a b"], ["*.example"], ["http://files.example"]])
def test_what_is_no_host_is_refused(hosts: list[str]) -> None:
    with pytest.raises(ValueError, match="host"):
        ca.make(hosts)


# leaves


def test_a_leaf_lives_a_week_is_kept_and_has_no_key_of_the_authority(tmp_path: Path) -> None:
    rotation.create(tmp_path)
    leaves = Leaves(Signing(tmp_path, MONTH))
    leaf = leaves.of(["files.example", "192.0.2.1"])
    assert leaves.of(["files.example", "192.0.2.1"]) is leaf
    left = leaf.certificate.not_valid_after_utc - datetime.now(UTC)
    assert LIFETIME - timedelta(minutes=1) < left <= LIFETIME
    assert leaf.key.public_key() != leaf.issuer.public_key()
    secret = leaf.key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    (tmp_path / "leaf.pem").write_bytes(leaf.certificate.public_bytes(Encoding.PEM) + secret)
    assert ": OK" in verified(Authority(leaf.issuer), tmp_path / "leaf.pem")


def test_names_outside_are_left_out_and_none_is_an_error_that_says_what_to_do(tmp_path: Path) -> None:
    rotation.create(tmp_path)
    rotation.rotate(tmp_path, MONTH, ["files.example"])
    rotation.finish(tmp_path, MONTH)
    leaves = Leaves(Signing(tmp_path, MONTH))
    shown = leaves.of(["bank.example", "files.example"]).certificate
    names = shown.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert names.get_values_for_type(x509.DNSName) == ["files.example"]
    with pytest.raises(NotCovered, match="isthmus proxy ca rotate --for-accounts"):
        leaves.of(["bank.example"])


# rotation


def given_out(folder: Path) -> list[str]:
    found = x509.load_pem_x509_certificates((folder / rotation.BUNDLE).read_bytes())
    return [Authority(one).fingerprint for one in found]


def test_the_steps_of_a_rotation(tmp_path: Path) -> None:
    rotation.create(tmp_path)
    first = rotation.state(tmp_path, MONTH).signs
    found = rotation.rotate(tmp_path, MONTH)
    assert (found.signs, found.old) == (first, ())
    assert found.next is not None
    assert given_out(tmp_path) == [first.fingerprint, found.next.fingerprint]
    with pytest.raises(NotNow, match="--finish"):
        rotation.rotate(tmp_path, MONTH)
    finished = rotation.finish(tmp_path, MONTH)
    assert (finished.signs, finished.next, finished.old) == (found.next, None, (first,))
    assert given_out(tmp_path) == [found.next.fingerprint, first.fingerprint]
    assert len(rotation.key_files(tmp_path)) == 1, "the former's key is gone"
    assert rotation.retire(tmp_path, MONTH).all == [found.next]
    for step in (rotation.retire, rotation.finish):
        with pytest.raises(NotNow):
            step(tmp_path, MONTH)
    rotation.create(tmp_path)  # as 'isthmus init' does: what is there stays
    assert given_out(tmp_path) == [found.next.fingerprint]


def test_again_replaces_the_next_one_alone(tmp_path: Path) -> None:
    rotation.create(tmp_path)
    wrong = rotation.rotate(tmp_path, MONTH, ["wrong.example"]).next
    right = rotation.rotate(tmp_path, MONTH, ["right.example"], again=True).next
    assert wrong is not None
    assert right is not None
    assert right.hosts == ["right.example"]
    assert wrong.fingerprint not in given_out(tmp_path)
    assert len(rotation.key_files(tmp_path)) == 2


def test_the_next_one_signs_by_itself_when_the_overlap_is_over(tmp_path: Path) -> None:
    rotation.create(tmp_path)
    following = rotation.rotate(tmp_path, MONTH).next
    assert following is not None
    later = datetime.now(UTC) + MONTH + timedelta(seconds=2)
    assert rotation.state(tmp_path, MONTH, later).signs == following
    signing = Signing(tmp_path, timedelta(0))
    deadline = datetime.now(UTC) + timedelta(seconds=5)
    while signing.now()[0] != following:
        assert datetime.now(UTC) < deadline
    assert rotation.finish(tmp_path, timedelta(0)).signs == following
    assert len(rotation.key_files(tmp_path)) == 1


class Killed(BaseException):
    """Stands for SIGKILL: nothing is cleaned up behind it but what `finally` does."""


@pytest.mark.parametrize("step", ["rotate", "finish", "retire"])
@pytest.mark.parametrize("at", ["_publish", "_sweep"])
def test_whoever_is_killed_in_between_leaves_a_state_that_works(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, step: str, at: str
) -> None:
    """Before the bundle is replaced, and before keys are deleted; the step is then done again."""
    rotation.create(tmp_path)
    before: dict[str, Sequence[Callable[..., Any]]] = {
        "rotate": (),
        "finish": (rotation.rotate,),
        "retire": (rotation.rotate, rotation.finish),
    }
    for earlier in before[step]:
        earlier(tmp_path, MONTH)
    signing, act = Signing(tmp_path, MONTH), getattr(rotation, step)
    with monkeypatch.context() as patched:

        def killed(*_: object) -> None:
            raise Killed

        patched.setattr(rotation, at, killed)
        with pytest.raises(Killed):
            act(tmp_path, MONTH)
    found, (signs, key) = rotation.state(tmp_path, MONTH), signing.now()
    assert signs == found.signs
    assert key.public_key() == signs.certificate.public_key()
    Leaves(Signing(tmp_path, MONTH)).of(["files.example"])
    try:
        act(tmp_path, MONTH)
    except NotNow:  # it was done but for the keys
        assert at == "_sweep"
        return
    assert len(rotation.key_files(tmp_path)) == (2 if step == "rotate" else 1)


def test_an_authority_that_can_not_be_read_anew_leaves_the_former(tmp_path: Path) -> None:
    rotation.create(tmp_path)
    signing = Signing(tmp_path, MONTH)
    before = signing.now()
    (tmp_path / rotation.BUNDLE).write_text("half a certificate")
    assert signing.now() == before


def test_one_that_ends_soon_is_warned_of_once_a_day(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ca, "LIFETIME", timedelta(days=20))
    rotation.create(tmp_path)
    signing = Signing(tmp_path, MONTH)
    for _ in range(3):
        signing.now()
    warned = [record.message for record in caplog.records if record.levelname == "WARNING"]
    assert warned == ["the proxy's authority ends in 19 days: run 'isthmus proxy ca rotate'"]
