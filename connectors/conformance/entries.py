"""Entries and listings: what is there, under which name, and that no id leads out."""

import pytest

from connectors.conformance.kit import (
    BAD_IDS,
    BAD_NAMES,
    NAMES,
    FullConnector,
    Kit,
    Store,
    joined,
    names,
    put,
    whole,
)
from connectors.interface import (
    Connector,
    InvalidName,
    Kind,
    NotAFolder,
    NotEmpty,
    NotFound,
    Settings,
    implemented,
    settings_schema,
)

_SECRETS = (
    "password",
    "passphrase",
    "private_key",
    "secret",
    "secret_access_key",
    "token",
    "account_key",
    "credentials",
)


@pytest.mark.asyncio
class EntryTests(Kit):
    """What every connector says of files and folders."""

    # what is declared

    async def test_declares_exactly_what_it_implements(self, connector: Connector) -> None:
        assert connector.capabilities == implemented(type(connector))

    async def test_every_setting_is_described(self, store: Store) -> None:
        fields = settings_schema(store.kind)["properties"]
        assert [name for name, field in fields.items() if not field.get("description")] == []
        assert not [name for name in fields if name in _SECRETS and not fields[name].get("writeOnly")]

    async def test_the_name_shown_has_no_secret(self, store: Store) -> None:
        settings = store.kind.settings.model_validate(store.settings)
        secret = [v for k, v in settings.revealed().items() if "SecretStr" in str(_annotation(settings, k))]
        assert not [v for v in secret if v and str(v) in settings.display_name() + repr(settings)]

    # entries

    async def test_the_root_is_a_folder_without_a_parent(self, connector: Connector) -> None:
        root = await connector.stat("")
        assert (root.raw_id, root.kind, root.parent) == ("", Kind.FOLDER, None)

    async def test_a_file_is_described(self, connector: Connector, folder: str) -> None:
        entry = await put(connector, folder, "note.txt", b"twelve bytes")
        assert entry == await connector.stat(entry.raw_id)
        assert (entry.name, entry.kind, entry.parent, entry.size) == ("note.txt", Kind.FILE, folder, 12)
        assert entry.modified is None or entry.modified.tzinfo is not None
        assert entry.mime_type is None or entry.mime_type.startswith("text/plain")

    async def test_what_is_not_there_is_not_found(self, connector: Connector, folder: str) -> None:
        for raw_id in (joined(folder, "nothing"), joined(folder, "no/where")):
            with pytest.raises(NotFound):
                await connector.stat(raw_id)
            with pytest.raises(NotFound):
                await connector.list(raw_id, None, 10)
            with pytest.raises(NotFound):
                await connector.read(raw_id)
            with pytest.raises(NotFound):
                await connector.delete(raw_id)
            with pytest.raises(NotFound):
                await put(connector, raw_id, "x")

    @pytest.mark.parametrize("raw_id", BAD_IDS)
    async def test_no_id_leads_out(self, connector: Connector, raw_id: str) -> None:
        for verb in (connector.stat(raw_id), connector.read(raw_id), connector.list(raw_id, None, 10)):
            with pytest.raises(NotFound):
                await verb
        with pytest.raises(NotFound):
            await connector.delete(raw_id, recursive=True)
        with pytest.raises(NotFound):
            await put(connector, raw_id, "x")

    @pytest.mark.parametrize("name", NAMES)
    async def test_names_come_back_as_they_went(self, connector: Connector, folder: str, name: str) -> None:
        content = name.encode()
        if name in self.unsupported_names:
            with pytest.raises(InvalidName):
                await put(connector, folder, name, content)
            return
        entry = await put(connector, folder, name, content)
        assert entry.name == name
        assert await names(connector, folder) == [name]
        listed = (await connector.list(folder, None, 10)).entries[0]
        assert listed.raw_id == entry.raw_id
        assert await whole(connector, listed.raw_id) == content
        await connector.delete(entry.raw_id)
        assert await names(connector, folder) == []

    @pytest.mark.parametrize("name", BAD_NAMES)
    async def test_impossible_names_are_refused(self, full: FullConnector, folder: str, name: str) -> None:
        with pytest.raises(InvalidName):
            await put(full, folder, name)
        with pytest.raises(InvalidName):
            await full.mkdir(folder, name)
        assert await names(full, folder) == []

    # listings

    async def test_pages_have_each_entry_once(self, full: FullConnector, folder: str) -> None:
        expected = [f"file {number:02}" for number in range(23)]
        for name in expected[:-1]:
            await put(full, folder, name)
        await full.mkdir(folder, expected[-1])
        for limit in (1, 10, 22, 23, 1000):
            found = await names(full, folder, limit)
            assert sorted(found) == expected
            assert found == await names(full, folder)

    async def test_an_entry_that_goes_between_pages_harms_none(
        self, connector: Connector, folder: str
    ) -> None:
        for name in "abcdef":
            await put(connector, folder, name)
        page = await connector.list(folder, None, 3)
        await connector.delete(page.entries[-1].raw_id)
        rest = await connector.list(folder, page.next_cursor, 10)
        assert sorted(e.name for e in [*page.entries, *rest.entries]) == list("abcdef")

    async def test_a_file_is_no_folder(self, connector: Connector, folder: str) -> None:
        entry = await put(connector, folder, "file")
        with pytest.raises((NotAFolder, NotFound)):
            await connector.list(entry.raw_id, None, 10)
        with pytest.raises((NotAFolder, NotFound)):
            await put(connector, entry.raw_id, "below")
        with pytest.raises(NotAFolder):
            await connector.read(folder)

    # removing

    async def test_removing(self, full: FullConnector, folder: str) -> None:
        below = await full.mkdir(folder, "below")
        entry = await put(full, below.raw_id, "file")
        with pytest.raises(NotEmpty):
            await full.delete(below.raw_id)
        assert await whole(full, entry.raw_id) == b"x"
        await full.delete(entry.raw_id)
        await full.delete(below.raw_id)
        for raw_id in (entry.raw_id, below.raw_id):
            with pytest.raises(NotFound):
                await full.stat(raw_id)

    async def test_removing_a_tree(self, full: FullConnector, folder: str) -> None:
        top = await full.mkdir(folder, "top")
        inner = await full.mkdir(top.raw_id, "inner")
        await put(full, inner.raw_id, "file")
        await full.delete(top.raw_id, recursive=True)
        assert await names(full, folder) == []

    # accounts

    async def test_two_accounts_see_the_same(self, store: Store, connector: Connector, folder: str) -> None:
        entry = await put(connector, folder, "shared", b"seen by both")
        async with store.opened() as other:
            assert await whole(other, entry.raw_id) == b"seen by both"


def _annotation(settings: Settings, name: str) -> object:
    return type(settings).model_fields[name].annotation
