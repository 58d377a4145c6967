"""Sealed secrets open where they belong, and nowhere else."""

import json
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
from cryptography.hazmat.primitives.serialization import load_pem_private_key
from hypothesis import given
from hypothesis import strategies as st

from store import envelope
from store.envelope import keyfiles
from store.envelope.unseal import Unsealable, UnsealingKey, unseal

HERE = envelope.Context("accounts", "1", "credential")
_VECTORS = json.loads((Path(__file__).parent / "envelope_vectors.json").read_text())
_contexts = st.builds(envelope.Context, st.text(), st.text(), st.text())


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory) -> tuple[envelope.SealingKey, list[UnsealingKey]]:
    paths = keyfiles.create_pair(tmp_path_factory.mktemp("keys"))
    return envelope.SealingKey.load(paths.public), [UnsealingKey.load(paths.private)]


@pytest.mark.parametrize("size", [0, 1, 15, 16, 17, 5000])
def test_what_was_sealed_opens(pair: tuple[envelope.SealingKey, list[UnsealingKey]], size: int) -> None:
    sealed = envelope.seal(b"x" * size, HERE, pair[0])
    assert unseal(sealed, HERE, pair[1]) == b"x" * size


def test_every_flipped_bit_fails_with_the_same_error(
    pair: tuple[envelope.SealingKey, list[UnsealingKey]],
) -> None:
    sealed = envelope.seal(b"a secret", HERE, pair[0])
    texts = set()
    for bit in range(len(sealed) * 8):
        flipped = bytearray(sealed)
        flipped[bit // 8] ^= 1 << bit % 8
        with pytest.raises(Unsealable) as error:
            unseal(bytes(flipped), HERE, pair[1])
        texts.add(str(error.value))
    assert len(texts) == 1


@pytest.mark.parametrize(
    "other",
    [
        envelope.Context("accounts", "2", "credential"),
        envelope.Context("accounts", "1", "other"),
        envelope.Context("account", "s1", "credential"),
        envelope.Context("", "", ""),
    ],
)
def test_another_context_fails(
    pair: tuple[envelope.SealingKey, list[UnsealingKey]], other: envelope.Context
) -> None:
    with pytest.raises(Unsealable):
        unseal(envelope.seal(b"a secret", HERE, pair[0]), other, pair[1])


def test_every_cut_fails(pair: tuple[envelope.SealingKey, list[UnsealingKey]]) -> None:
    sealed = envelope.seal(b"a secret", HERE, pair[0])
    for end in range(len(sealed)):
        with pytest.raises(Unsealable):
            unseal(sealed[:end], HERE, pair[1])


def test_the_private_key_is_for_its_owner_alone(tmp_path: Path) -> None:
    paths = keyfiles.create_pair(tmp_path)
    assert paths.private.stat().st_mode & 0o777 == 0o600
    before = paths.private.read_bytes()
    assert keyfiles.create_pair(tmp_path).private.read_bytes() == before


@pytest.fixture(scope="module")
def vector_key() -> UnsealingKey:
    private = load_pem_private_key(_VECTORS["private_key"].encode(), password=None)
    assert isinstance(private, RSAPrivateKey)
    return UnsealingKey(private, envelope.SealingKey.of(private.public_key()).id)


@pytest.mark.parametrize("vector", _VECTORS["vectors"], ids=lambda vector: vector["plaintext"] or "empty")
def test_vectors_made_apart_from_this_code_open(vector_key: UnsealingKey, vector: dict[str, str]) -> None:
    context = envelope.Context(vector["table"], vector["row"], vector["column"])
    opened = unseal(bytes.fromhex(vector["sealed"]), context, [vector_key])
    assert opened == bytes.fromhex(vector["plaintext"])


@given(plaintext=st.binary(max_size=200), context=_contexts, other=_contexts)
def test_any_secret_opens_where_it_belongs_and_nowhere_else(
    vector_key: UnsealingKey, plaintext: bytes, context: envelope.Context, other: envelope.Context
) -> None:
    sealed = envelope.seal(plaintext, context, envelope.SealingKey.of(vector_key.private.public_key()))
    assert unseal(sealed, context, [vector_key]) == plaintext
    if other != context:
        with pytest.raises(Unsealable):
            unseal(sealed, other, [vector_key])


@given(st.binary(max_size=400))
def test_what_was_never_sealed_fails_with_the_same_error(vector_key: UnsealingKey, junk: bytes) -> None:
    with pytest.raises(Unsealable, match=r"^the secret can't be unsealed$"):
        unseal(junk, HERE, [vector_key])
