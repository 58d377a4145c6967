"""Developers and their Meta tokens."""

import pytest

from store.engine import Database
from store.errors import Duplicate
from store.queries import developers
from tests.store.rows import digest


async def test_a_developer_is_found_by_e_mail_and_by_token(database: Database) -> None:
    async with database.session() as session:
        made = await developers.create(
            session, "ann@example.com", "$argon2id$x", key_digest=digest("k"), key_sealed=b"sealed"
        )
    async with database.session() as session:
        by_email = await developers.by_email(session, "ann@example.com")
        by_key = await developers.by_key(session, digest("k"))
    assert by_email is not None
    assert by_key is not None
    assert by_email.id == by_key.id == made.id
    assert by_email.password_hash == "$argon2id$x"
    assert by_email.created == made.created
    assert by_email.created.tzinfo is not None


async def test_who_is_not_there_is_none(database: Database) -> None:
    async with database.session() as session:
        assert await developers.by_email(session, "nobody@example.com") is None
        assert await developers.by_key(session, digest("unknown")) is None
        assert await developers.by_key(session, b"") is None


@pytest.mark.parametrize(
    ("email", "key"), [("ann@example.com", "other"), ("bob@example.com", "k")], ids=["e-mail", "token"]
)
async def test_an_e_mail_and_a_token_belong_to_one(database: Database, email: str, key: str) -> None:
    async with database.session() as session:
        await developers.create(session, "ann@example.com", None, key_digest=digest("k"), key_sealed=b"1")
    with pytest.raises(Duplicate):
        async with database.session() as session:
            await developers.create(session, email, None, key_digest=digest(key), key_sealed=b"2")
    async with database.session() as session:
        assert await developers.by_email(session, "bob@example.com") is None  # both or neither
        assert await developers.by_key(session, digest("other")) is None
