"""Blobs copied, moved and deleted by the store itself; folders blob by blob, which nothing makes atomic."""

import asyncio
from contextlib import suppress
from functools import partial
from urllib.parse import urlencode

from connectors.azure import documents
from connectors.azure.container import Container
from connectors.azure.signing import Fields, Query
from connectors.http1 import Response
from connectors.interface import (
    NotEmpty,
    NotFound,
    PreconditionFailed,
    StoreError,
    TimedOut,
    Unavailable,
    Unsupported,
)
from connectors.interface.paths import TEMPORARY
from connectors.objects import for_each

_AT_ONCE = 8
_FIRST_PAUSE, _LONGEST_PAUSE = 0.1, 5.0
_ABORT_WITHIN = 10.0
_WITH_SNAPSHOTS = {"x-ms-delete-snapshots": "include"}


async def copy_blob(container: Container, source: str, target: str, condition: Fields) -> str:
    """Copies one version of the blob, its tags too; the entity tag of that version.

    Args:
        container: where both are.
        source: a blob's name.
        target: the other's.
        condition: what has to hold for what is at the target now.

    Raises:
        PreconditionFailed: the source changed meanwhile, or the condition does not hold.
    """
    found = await container.act("HEAD", source)
    etag = found.header(b"etag") or "*"
    fields = {"x-ms-copy-source": container.source(source), "x-ms-source-if-match": etag, **condition}
    if documents.number(found.header(b"x-ms-tag-count")):
        fields["x-ms-tags"] = urlencode(await tags(container, source))
    copying = container.act("PUT", target, (), fields)
    answer = await container.leavers.made(copying, partial(_let_be, container, target))
    if _goes_on(answer):
        await _settle(container, target, answer)
    return etag


async def _let_be(container: Container, target: str, answer: Response) -> None:
    """Ends a copy whose caller left before the store's answer."""
    if _goes_on(answer):
        await _abort(container, target, _copy_id(answer))


def _goes_on(answer: Response) -> bool:
    return answer.header(b"x-ms-copy-status") != "success"


def _copy_id(answer: Response) -> str:
    return answer.header(b"x-ms-copy-id") or ""


async def _settle(container: Container, target: str, answer: Response) -> None:
    """Waits for a copy that the store makes in its own time. Cancelled, or failed, it leaves nothing."""
    copy = _copy_id(answer)
    try:
        await _watch(container, target, copy)
    except PreconditionFailed:
        raise  # something else is at the target now
    except BaseException:
        await asyncio.shield(asyncio.ensure_future(_abort(container, target, copy)))
        raise


async def _watch(container: Container, target: str, copy: str) -> None:
    pause, progress = _FIRST_PAUSE, None
    clock = asyncio.get_running_loop().time
    moved = clock()
    while True:
        found = await container.act("HEAD", target)
        if found.header(b"x-ms-copy-id") != copy:
            raise PreconditionFailed("the target changed while the file was copied")
        status, now = found.header(b"x-ms-copy-status"), found.header(b"x-ms-copy-progress")
        if status == "success":
            return
        if status != "pending":
            raise Unavailable("the store gave up copying the file")
        if now != progress:
            progress, moved = now, clock()
        elif clock() - moved > container.idle_timeout:
            raise TimedOut("the store does not get on with copying the file")
        await asyncio.sleep(pause)
        pause = min(pause * 2, _LONGEST_PAUSE)


async def _abort(container: Container, target: str, copy: str) -> None:
    """Ends a copy that runs and removes the empty blob that is left of it, or tries to."""
    with suppress(StoreError, TimeoutError):
        async with asyncio.timeout(_ABORT_WITHIN):
            with suppress(StoreError):  # it failed by itself
                query = [("comp", "copy"), ("copyid", copy)]
                await container.act("PUT", target, query, {"x-ms-copy-action": "abort"})
            left = await container.act("HEAD", target)
            if left.header(b"x-ms-copy-id") == copy:
                await delete(container, target, etag=left.header(b"etag"))


async def move_blob(container: Container, source: str, target: str, condition: Fields) -> None:
    """A copy and then a deletion of the very version that was copied."""
    etag = await copy_blob(container, source, target, condition)
    await delete(container, source, etag=etag)


async def delete(container: Container, name: str, *, etag: str | None = None) -> None:
    """Deletes the blob, or the one version of it. Raises NotFound; NotPermitted if it has snapshots."""
    await container.act("DELETE", name, (), {"if-match": etag} if etag else {})


async def tags(container: Container, name: str) -> dict[str, str]:
    """The blob's index tags."""
    answer = await container.request("GET", name, [("comp", "tags")])
    return documents.tags(await answer.read(256 * 1024))


async def set_tags(container: Container, name: str, given: Fields) -> None:
    """Gives the blob exactly these tags."""
    fields = {"content-type": "application/xml; charset=UTF-8"}
    await container.act("PUT", name, [("comp", "tags")], fields, body=documents.tag_set(given))


# folders


async def copy_tree(container: Container, source: str, target: str) -> None:
    """Copies all below one prefix to the other, neither of which may begin with the other."""

    async def copy(name: str) -> None:
        if not _is_upload(name):
            await copy_blob(container, name, target + name.removeprefix(source), {})

    async for page in container.pages(source):
        await for_each((one.name for one in page), copy)


async def move_tree(container: Container, source: str, target: str) -> None:
    """As `copy_tree`, each blob deleted once it is copied: a broken move is in two places, and whole.

    Uploads in parts into the folder are abandoned by it.
    """

    async def move(name: str) -> None:
        if _is_upload(name):
            await delete(container, name)
        else:
            await move_blob(container, name, target + name.removeprefix(source), {})

    async for page in container.pages(source):
        await for_each((one.name for one in page), move)


async def delete_tree(container: Container, folder: str, *, recursive: bool) -> None:
    """Deletes all below the folder, or its markers and those of uploads into it.

    Raises NotEmpty for other blobs unless `recursive`; nothing is deleted then.
    """
    if not recursive:
        async for page in container.pages(folder):
            if not all(_is_marker(one.name, folder) for one in page):
                raise NotEmpty("the folder is not empty")

    async def remove(name: str) -> None:
        with suppress(NotFound):  # somebody else was faster
            await delete(container, name)

    async for page in container.pages(folder):
        names = (one.name for one in page)
        await for_each((name for name in names if recursive or _is_marker(name, folder)), remove)


def _is_marker(name: str, folder: str) -> bool:
    return name == folder or (_is_upload(name) and "/" not in name.removeprefix(folder))


def _is_upload(name: str) -> bool:
    return name.rpartition("/")[2].startswith(TEMPORARY)


# older versions


async def purge(container: Container, name: str, *, below: bool) -> bool:
    """Deletes a blob, or all that begin with the name, with snapshots and every version; whether any was.

    What the store keeps of it for a time that its owner chose (soft delete) stays until then.
    """

    async def remove(doomed: tuple[str, Query]) -> None:
        with suppress(NotFound):
            await container.act("DELETE", doomed[0], doomed[1], {} if doomed[1] else _WITH_SNAPSHOTS)

    found = False
    for include in ("", "versions"):  # a current version is deleted into an older one
        with suppress(Unsupported):  # an account that can't keep versions has none
            async for page in container.pages(name, include=include):
                mine = [one for one in page if below or one.name == name]
                found = found or bool(mine)
                queries = [[("versionid", one.version)] if include else [] for one in mine]
                doomed = [(one.name, query) for one, query in zip(mine, queries, strict=True)]
                await for_each((d for d in doomed if not include or d[1][0][1]), remove)
                if len(mine) < len(page):  # a blob's own come first of all that begin with its name
                    break
    return found
