"""Uploads in parts: a hidden file beside the name, each part written at its own offset."""

import json
import secrets
from collections.abc import AsyncIterator, Sequence
from dataclasses import asdict, dataclass

from connectors.interface import BadSpan, NotFound, Part, Upload
from connectors.interface.paths import TEMPORARY
from connectors.smb.messages import FILE, Access, Sharing
from connectors.smb.names import Place
from connectors.smb.share import Share, absent
from connectors.smb.transfer import store

_MIB = 1024 * 1024
_PART_SIZE = 8 * _MIB
_MOST_PARTS = 10_000


@dataclass(frozen=True, slots=True)
class Begun:
    """An upload that was begun, as its state tells: where, for which name, and the hidden file's name."""

    parent: str
    name: str
    temporary: str
    part_size: int
    replace: bool

    @classmethod
    def of(cls, state: str) -> "Begun":
        """Reads what `state` wrote. Raises NotFound for anything else."""
        try:
            begun = cls(**json.loads(state))
        except (ValueError, TypeError):
            raise NotFound("there is no such upload") from None
        if not begun.temporary.startswith(TEMPORARY) or not begun.temporary.removeprefix(TEMPORARY).isalnum():
            raise NotFound("there is no such upload")
        return begun

    @property
    def upload(self) -> Upload:
        """What the caller is given."""
        return Upload(json.dumps(asdict(self), separators=(",", ":")), self.part_size)


async def begin(
    share: Share, folder: Place, parent: str, name: str, size: int | None, replace: bool
) -> Begun:
    """Makes the hidden file, which stays when the connection ends. Raises NotFound (no such folder)."""
    temporary = TEMPORARY + secrets.token_hex(16)
    await share.make_file(folder.child(temporary).path)
    fair = -(-(size or 0) // _MOST_PARTS)
    return Begun(parent, name, temporary, max(_PART_SIZE, -(-fair // _MIB) * _MIB), replace)


async def write(share: Share, path: str, begun: Begun, number: int, chunks: AsyncIterator[bytes]) -> str:
    """Writes one part; its tag. Raises NotFound for an upload that is over."""
    async with share.opened(path, Access.WRITE, Sharing.ALL, options=FILE) as file:
        size = await store(file, _bounded(chunks, begun.part_size), (number - 1) * begun.part_size)
    return f"{number}-{size}"


async def complete(share: Share, path: str, begun: Begun, parts: Sequence[Part], target: str) -> None:
    """Cuts the file after its last part and gives it its name. Raises AlreadyExists, NotFound, BadSpan.

    Nobody else may have the file open: a part that is still being written would go on in the new file.
    """
    numbers = [part.number for part in parts]
    whole = all(part.size == begun.part_size for part in parts[:-1])
    if not parts or numbers != list(range(1, len(parts) + 1)) or not whole:
        raise BadSpan("the parts leave a gap: all but the last have the upload's part size")
    access = Access.WRITE | Access.DELETE
    async with share.opened(path, access, Sharing.NOTHING, options=FILE) as file:
        await file.resize(sum(part.size for part in parts))
        await file.rename(target, replace=begun.replace)


async def abandon(share: Share, path: str) -> None:
    """Removes the hidden file; nothing if it is gone."""
    try:
        with absent():
            await share.remove(path)
    except NotFound:
        pass


async def _bounded(chunks: AsyncIterator[bytes], most: int) -> AsyncIterator[bytes]:
    """The chunks. Raises BadSpan before one that would reach into the next part's place."""
    async for chunk in chunks:
        most -= len(chunk)
        if most < 0:
            raise BadSpan("the part is longer than the upload's part size")
        yield chunk
