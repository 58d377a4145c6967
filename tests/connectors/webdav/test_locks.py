"""Locks, copies and properties as Apache has them."""

import http.client
import os
import shutil
from base64 import b64encode
from pathlib import Path

import pytest

from connectors.conformance.kit import put, whole
from connectors.interface import (
    AlreadyExists,
    InvalidName,
    NotPermitted,
    StoreError,
    Unsupported,
)
from connectors.webdav import WebdavConnector
from tests.connectors.webdav.stores import store
from tests.servers import rclone as other_servers
from tests.servers.apache import PASSWORD, USER, Apache

LOCK = (
    '<?xml version="1.0"?><D:lockinfo xmlns:D="DAV:"><D:lockscope><D:exclusive/></D:lockscope>'
    "<D:locktype><D:write/></D:locktype></D:lockinfo>"
)


def locked(server: Apache, path: str) -> str:
    """What another program does: LOCK, by another client than ours. The lock's token."""
    return other_program(server, "LOCK", path, LOCK, {"Timeout": "Second-60", "Depth": "infinity"})


def unlocked(server: Apache, path: str, token: str) -> None:
    other_program(server, "UNLOCK", path, None, {"Lock-Token": token})


def other_program(server: Apache, method: str, path: str, body: str | None, headers: dict[str, str]) -> str:
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=10)
    login = b64encode(f"{USER}:{PASSWORD}".encode()).decode()
    connection.request(method, path, body, {"Authorization": f"Basic {login}", **headers})
    answer = connection.getresponse()
    assert answer.status in (200, 204), answer.status
    connection.close()
    return answer.headers.get("Lock-Token", "")


async def test_a_locked_file_is_left_alone(basic_server: Apache, connector: WebdavConnector) -> None:
    await connector.mkdir("", "desk")
    await put(connector, "desk", "locked", b"theirs")
    await put(connector, "desk", "free", b"ours")
    token = locked(basic_server, "/desk/locked")
    for verb in (
        put(connector, "desk", "locked", b"overwritten", replace=True),
        connector.delete("desk/locked"),
        connector.delete("desk", recursive=True),
        connector.move("desk/locked", "", "elsewhere"),
        connector.move("desk/free", "desk", "locked", replace=True),
        connector.set_properties("desk/locked", {"colour": "blue"}),
    ):
        with pytest.raises(NotPermitted, match="locked"):
            await verb
    assert await whole(connector, "desk/locked") == b"theirs"
    assert await whole(connector, "desk/free") == b"ours"
    assert sorted(path.name for path in (basic_server.data / "desk").iterdir() if path.is_file()) == [
        "free",
        "locked",
    ]
    unlocked(basic_server, "/desk/locked", token)
    await put(connector, "desk", "locked", b"overwritten", replace=True)
    await connector.delete("desk", recursive=True)


async def test_a_locked_folder_takes_no_file(basic_server: Apache, connector: WebdavConnector) -> None:
    await connector.mkdir("", "cabinet")
    token = locked(basic_server, "/cabinet")
    for verb in (put(connector, "cabinet", "file"), connector.mkdir("cabinet", "below")):
        with pytest.raises(NotPermitted, match="locked"):
            await verb
    assert [path for path in (basic_server.data / "cabinet").iterdir() if path.is_file()] == []
    unlocked(basic_server, "/cabinet", token)
    await put(connector, "cabinet", "file")


async def test_the_holder_of_a_lock_may_send_its_token(
    basic_server: Apache, connector: WebdavConnector
) -> None:
    """By a header of the caller's own: the lock is the caller's, not ours."""
    entry = await put(connector, "", "mine", b"before")
    token = locked(basic_server, "/mine")
    holder = connector.with_headers({"If": f"<{basic_server.url}mine> ({token})"})
    with pytest.raises(NotPermitted, match="locked"):
        await connector.delete(entry.raw_id)
    await holder.delete(entry.raw_id)


async def test_a_folder_is_not_copied_into_itself(connector: WebdavConnector) -> None:
    await connector.mkdir("", "itself")
    for to in ("itself", "itself/below"):
        with pytest.raises(InvalidName):
            await connector.copy("itself", to, "copy")


async def test_a_copy_that_fails_half_way_leaves_nothing(
    basic_server: Apache, connector: WebdavConnector
) -> None:
    """One file of the folder can't be read by the server."""
    await connector.mkdir("", "partly")
    for name in ("a", "b", "c"):
        await put(connector, "partly", name)
    hidden = basic_server.data / "partly" / "b"
    hidden.chmod(0)
    if os.getuid() == 0:  # as root we start it as another user
        shutil.chown(hidden, "root", "root")
    with pytest.raises(StoreError):
        await connector.copy("partly", "", "copy")
    left = [path.name for path in basic_server.data.iterdir()]
    assert not [name for name in left if "copy" in name or "isthmus" in name]


async def test_a_file_is_not_moved_onto_a_folder(connector: WebdavConnector) -> None:
    await connector.mkdir("", "kept folder")
    inside = await put(connector, "kept folder", "inside")
    await put(connector, "", "mover", replace=True)
    with pytest.raises(AlreadyExists):
        await connector.move("mover", "", "kept folder", replace=True)
    assert await whole(connector, inside.raw_id) == b"x"


async def test_new_bytes_keep_the_properties(connector: WebdavConnector) -> None:
    await put(connector, "", "kept", b"one")
    await connector.set_properties("kept", {"colour": "blue"})
    await put(connector, "", "kept", b"two", replace=True)
    assert await connector.properties("kept") == {"colour": "blue"}
    await connector.copy("kept", "", "copied")
    await connector.move("copied", "", "moved")
    assert await connector.properties("moved") == {"colour": "blue"}


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("a b:c/d<e>", "x"),
        ("_5f_p-", "%41 %"),
        ("世界", "\t leading and trailing \r\n"),
        ("0", "\0\x1b\x7f\u0085"),
        ("k" * 253, "v" * 20_000),
        ("markup", "<I:p-other>]]>&amp;</I:p-other>"),
    ],
)
async def test_keys_and_values_are_any_text(connector: WebdavConnector, key: str, value: str) -> None:
    await put(connector, "", "any", replace=True)
    assert (await connector.set_properties("any", {key: value}))[key] == value
    assert key not in await connector.set_properties("any", {key: None})


@pytest.mark.parametrize(("key", "value"), [("", "x"), ("k" * 254, "x"), ("\udc80", "x"), ("k", "\udc80")])
async def test_what_is_no_text_is_refused(connector: WebdavConnector, key: str, value: str) -> None:
    await put(connector, "", "refused", replace=True)
    with pytest.raises(InvalidName):
        await connector.set_properties("refused", {key: value})


async def test_a_server_that_keeps_no_properties(tmp_path: Path) -> None:
    """rclone answers that all is well, and keeps nothing."""
    with other_servers.rclone(tmp_path / "rclone", "webdav") as server:
        async with store(server.url, other_servers.USER, other_servers.PASSWORD).opened() as other:
            assert isinstance(other, WebdavConnector)
            await put(other, "", "file")
            with pytest.raises(Unsupported, match="properties"):
                await other.set_properties("file", {"colour": "blue"})
            assert await other.properties("file") == {}
            with pytest.raises(Unsupported, match="room"):
                await other.quota()
