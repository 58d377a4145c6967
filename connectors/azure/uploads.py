"""Content on its way into the container: one request, or blocks, never half a blob.

A name holds its former blob, or none, until a list of blocks is committed (Microsoft's pages "Put Block" and
"Put Block List"). Blocks that nobody commits can't be deleted one by one; the store drops them after a week,
or as soon as anything else is committed under the name.
"""

import secrets
from base64 import b64encode, urlsafe_b64decode, urlsafe_b64encode
from collections.abc import AsyncGenerator, AsyncIterator, Iterable
from contextlib import suppress
from dataclasses import dataclass
from typing import Self

from connectors.azure import documents
from connectors.azure.container import Container
from connectors.azure.signing import Fields
from connectors.interface import AlreadyExists, InvalidName, NotFound, Unavailable
from connectors.interface.paths import TEMPORARY
from connectors.objects import Source, replayed, total

_MIB = 1024 * 1024
SMALL = _MIB
"""Bytes of a known length up to which a file is one request, its content held in memory meanwhile."""

MOST_BLOCKS = 50_000
_FIRST_BLOCK = 4 * _MIB  # of a content of unknown length: held in memory
_GROWS_AFTER = 5_000
_LARGEST_HELD = 512 * _MIB
_STREAMED_BLOCK = 64 * _MIB  # of a known length: nowhere held
_PART = 8 * _MIB
_UNKNOWN_PART = 16 * _MIB
_LONGEST_STATE = 4096
_FREE = "if-none-match"


async def store(
    container: Container,
    name: str,
    chunks: AsyncIterator[bytes],
    size: int | None,
    mime_type: str,
    condition: Fields,
) -> None:
    """Stores the content under the name.

    Args:
        container: where.
        name: the blob's whole name.
        chunks: the content; its errors are passed on.
        size: bytes, or None. An unknown length costs memory for one block: 4 MiB, more beyond 20 GB.
        mime_type: kept with the blob.
        condition: If-Match or If-None-Match; the store checks it when the last byte is there.
    """
    source = Source(chunks)
    if size is not None and size > SMALL:
        await _put_blocks(container, name, _streamed(source, size), mime_type, condition)
        return
    first = await source.fill(_FIRST_BLOCK if size is None else size)
    if not source.ended:
        if size is not None:
            raise _other_length()
        await _put_blocks(container, name, _held(source, first), mime_type, condition)
    elif size is not None and total(first) != size:
        raise _other_length()
    else:
        await _put(container, name, first, mime_type, condition)


async def _put(
    container: Container, name: str, pieces: list[bytes], mime_type: str, condition: Fields
) -> None:
    fields = {"x-ms-blob-type": "BlockBlob", "x-ms-blob-content-type": mime_type, **condition}
    length = total(pieces)
    try:
        await container.act("PUT", name, (), fields, body=replayed(pieces), length=length)
    except AlreadyExists:
        if _FREE not in condition or await exists(container, name):
            raise
        # some stores (Azurite) take the uncommitted blocks of an upload that still runs for a blob
        portions = _once((replayed(pieces), length))
        await _put_blocks(container, name, portions, mime_type, condition)


async def _put_blocks(
    container: Container, name: str, portions: "AsyncIterator[_Portion]", mime_type: str, condition: Fields
) -> None:
    upload, ids = new_upload(), list[str]()
    async for pieces, length in portions:
        ids.append(await stage(container, name, upload, len(ids) + 1, pieces, length))
    await commit(container, name, ids, mime_type, condition)


async def exists(container: Container, name: str) -> bool:
    """Whether there is such a blob; uncommitted blocks make none."""
    try:
        await container.act("HEAD", name)
    except NotFound:
        return False
    return True


# content in portions


type _Portion = tuple[AsyncIterator[bytes], int]


async def _held(source: Source, pieces: list[bytes]) -> AsyncGenerator[_Portion]:
    """Portions of a content of unknown length: the store wants each block's length before its bytes."""
    number = 1
    while pieces:
        yield replayed(pieces), total(pieces)
        number += 1
        pieces = await source.fill(held_block(number))


async def _streamed(source: Source, size: int) -> AsyncGenerator[_Portion]:
    """Portions of a content of known length, handed on as they come."""
    each = max(_STREAMED_BLOCK, _enough(size))
    for start in range(0, size, each):
        length = min(each, size - start)
        yield source.take(length), length
    if await source.more():
        raise _other_length()


def held_block(number: int) -> int:
    """Bytes of the block of that number where the whole is not known: twice as many after each 5,000.

    So 20 GB pass in blocks of 4 MiB, and what 50,000 hold is more than 7 TB.
    """
    return int(min(_FIRST_BLOCK << ((number - 1) // _GROWS_AFTER), _LARGEST_HELD))


def part_size(size: int | None) -> int:
    """Bytes of each part of an upload of that size, in whole MiB, so that 50,000 are enough."""
    return _UNKNOWN_PART if size is None else max(_PART, _enough(size))


def _enough(size: int) -> int:
    return -(-size // MOST_BLOCKS // _MIB) * _MIB


async def _once(portion: _Portion) -> AsyncGenerator[_Portion]:
    yield portion


def _other_length() -> Unavailable:
    return Unavailable("the content has another length than was declared")


# blocks


def new_upload() -> str:
    """An id that tells an upload's blocks from those of others under the same name."""
    return secrets.token_hex(16)


def block_id(upload: str, number: int) -> str:
    """The block's id: all of a name's have to be of one length."""
    return b64encode(f"{upload}{number:05}".encode()).decode()


async def stage(
    container: Container, name: str, upload: str, number: int, pieces: AsyncIterator[bytes], length: int
) -> str:
    """The id of the block, once the store has its bytes."""
    if not 0 < number <= MOST_BLOCKS:
        raise InvalidName(f"the store takes at most {MOST_BLOCKS} parts, numbered from 1")
    made = block_id(upload, number)
    query = [("comp", "block"), ("blockid", made)]
    await container.act("PUT", name, query, body=pieces, length=length)
    return made


async def commit(
    container: Container, name: str, ids: Iterable[str], mime_type: str, condition: Fields
) -> None:
    """Makes the blob of these blocks. PreconditionFailed also where something else dropped the blocks."""
    fields = {"x-ms-blob-content-type": mime_type, "content-type": "application/xml", **condition}
    await container.act("PUT", name, [("comp", "blocklist")], fields, body=documents.block_list(ids))


# uploads in parts


@dataclass(frozen=True, slots=True)
class Ticket:
    """What an upload in parts is known by between requests.

    The store knows no uploads, only blocks. That one is neither completed nor abandoned is said by a marker:
    an empty blob beside the file's place, under a hidden name.
    """

    upload: str
    raw_id: str
    replace: bool

    def written(self) -> str:
        """As ASCII, at most 4096 characters. Raises InvalidName for an id of more than 3,000 bytes or so."""
        text = "\0".join((self.upload, "replace" if self.replace else "", self.raw_id))
        written = urlsafe_b64encode(text.encode()).decode()
        if len(written) > _LONGEST_STATE:
            raise InvalidName("the name is too long for an upload in parts")
        return written

    @classmethod
    def read(cls, state: str) -> Self:
        """The ticket again. Raises NotFound for a state that is none of ours."""
        try:
            upload, replace, raw_id = urlsafe_b64decode(state.encode()).decode().split("\0")
        except ValueError:
            raise NotFound("there is no such upload") from None
        return cls(upload, raw_id, bool(replace))

    def marker(self) -> str:
        """The marker's raw id."""
        return f"{self.raw_id.rpartition('/')[0]}/{TEMPORARY}{self.upload}".removeprefix("/")


async def mark(container: Container, name: str) -> None:
    """Makes an upload's marker, which is removed when the caller is gone by then."""
    marking = container.act("PUT", name, (), {"x-ms-blob-type": "BlockBlob"}, body=b"")
    await container.leavers.made(marking, lambda _: unmark(container, name))


async def require_mark(container: Container, name: str) -> None:
    """Raises NotFound for an upload that was completed or abandoned."""
    if not await exists(container, name):
        raise NotFound("the upload was completed or abandoned")


async def unmark(container: Container, name: str) -> None:
    """Removes an upload's marker; nothing if it is gone already."""
    with suppress(NotFound):
        await container.act("DELETE", name)
