"""Uploads in parts for stores that write at an offset: one hidden file that takes each part at its place.

No I/O in here: what such an upload is, where a part goes, and what makes a file whole.
"""

import base64
import json
from collections.abc import AsyncIterator, Sequence
from dataclasses import asdict, dataclass
from typing import Self

from connectors.interface.errors import InvalidName, NotFound, PreconditionFailed
from connectors.interface.parts import Part, Upload
from connectors.interface.paths import TEMPORARY, check_name, split, temporary_name

PART_SIZE = 16 * 1024 * 1024
_LONGEST_STATE = 4096


@dataclass(frozen=True, slots=True)
class Staged:
    """An upload that was begun: its hidden file lies in the folder where the file shall be.

    Attributes:
        parent: the folder's raw id.
        name: the file's name in the end.
        temporary: the hidden file's name.
        replace: whether the name may be taken at the end.
        part_size: bytes of every part but the last. In the state, so that an upload outlives a new default.
    """

    parent: str
    name: str
    temporary: str
    replace: bool
    part_size: int = PART_SIZE

    @classmethod
    def begin(cls, parent: str, name: str, *, replace: bool) -> Self:
        """A new one. Raises NotFound (an impossible parent), InvalidName."""
        split(parent)
        check_name(name)
        return cls(parent, name, temporary_name(), replace)

    @classmethod
    def of(cls, state: str) -> Self:
        """The upload of a state. Raises NotFound for what is none, or what would lead out of the root."""
        try:
            staged = cls(**json.loads(base64.b85decode(state).decode("utf-8", "surrogateescape")))
        except (ValueError, TypeError):
            raise NotFound("there is no such upload") from None
        split(staged.parent)
        if "/" in staged.temporary or not staged.temporary.startswith(TEMPORARY):
            raise NotFound("there is no such upload")
        return staged

    def upload(self) -> Upload:
        """As the interface has it. Raises InvalidName where the path is too long for a state."""
        text = json.dumps(asdict(self), ensure_ascii=False, separators=(",", ":"))
        state = base64.b85encode(text.encode("utf-8", "surrogateescape")).decode("ascii")
        if len(state) > _LONGEST_STATE:
            raise InvalidName("the path is too long for an upload in parts")
        return Upload(state, self.part_size)

    def offset(self, number: int, size: int) -> int:
        """Where the part begins. Raises PreconditionFailed for one that would reach into the next."""
        if number < 1 or not 0 <= size <= self.part_size:
            raise PreconditionFailed(f"parts are numbered from 1 and have at most {self.part_size} bytes")
        return (number - 1) * self.part_size

    def length(self, parts: Sequence[Part]) -> int:
        """Bytes of the whole file. Raises PreconditionFailed when a part is missing or has a wrong size."""
        for number, part in enumerate(parts, 1):
            if part.number != number:
                raise PreconditionFailed(f"part {number} of the upload is missing")
            if number < len(parts) and part.size != self.part_size:
                raise PreconditionFailed(f"part {number} has {part.size} bytes instead of {self.part_size}")
        return sum(part.size for part in parts)


async def exactly(chunks: AsyncIterator[bytes], size: int) -> AsyncIterator[bytes]:
    """The chunks, which have to be `size` bytes in all; PreconditionFailed before a byte too many."""
    left = size
    async for chunk in chunks:
        left -= len(chunk)
        if left < 0:
            break
        yield chunk
    if left:
        raise PreconditionFailed(f"the part has {'more' if left < 0 else 'less'} than its {size} bytes")
