"""Answers that are done with once they are read: whether what was asked for was done."""

from typing import Final

from connectors.http1 import Response
from connectors.webdav.multistatus import failure
from connectors.webdav.server import refusal, refused

LARGEST: Final = 64 * 1024 * 1024
"""Bytes of an answer in XML."""


async def done(answer: Response, *good: int) -> None:
    """Reads the answer to an end. A multistatus tells which part failed, or that none did.

    Apache sends it with status 424, not 207, when one part alone failed.
    """
    if answer.status not in (*good, 207, 424):
        raise await refusal(answer)
    body = await answer.read(LARGEST)
    if answer.status in (207, 424) and (status := failure(body)) is not None:
        raise refused(status)
    if answer.status == 424:
        raise refused(424)
