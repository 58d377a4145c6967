"""An upload in parts, as the store knows it: begun, parts in any order, completed or abandoned."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Upload:
    """An upload that was begun.

    Attributes:
        state: what the connector needs to go on with it, in another process or after a restart: at most
            4096 ASCII characters, without a secret.
        part_size: bytes of every part but the last, which may be shorter.
        parallel: whether parts may be written at the same time.
    """

    state: str
    part_size: int
    parallel: bool = True


@dataclass(frozen=True, slots=True)
class Part:
    """A part that the store has: its number from 1, its bytes, and what `write_part` returned for it."""

    number: int
    size: int
    tag: str
