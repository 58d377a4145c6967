"""Folders as wholes: everything whose name begins with one, a page of the listing at a time.

None of it is one step for the store. What breaks in the middle has done a part, every object of it whole.
"""

from contextlib import suppress

from connectors.gcs import objects
from connectors.gcs.bucket import Bucket
from connectors.gcs.entries import Object
from connectors.interface import NotFound
from connectors.objects import for_each


async def copy_tree(bucket: Bucket, source: str, target: str) -> None:
    """Copies all below one prefix to the other, neither of which may begin with the other.

    Raises PreconditionFailed when an object changed meanwhile, or somebody else writes at the target.
    """

    async def copy(one: Object) -> None:
        await objects.rewrite(bucket, one, _moved(one, source, target), match=objects.NO_OBJECT)

    async for batch in objects.pages(bucket, source):
        await for_each(batch, copy)


async def move_tree(bucket: Bucket, source: str, target: str) -> None:
    """As `copy_tree`; each object is deleted once it is copied, unless it is another generation by then."""

    async def move(one: Object) -> None:
        await objects.rewrite(bucket, one, _moved(one, source, target), match=objects.NO_OBJECT)
        await _delete(bucket, one, only=one.generation)

    async for batch in objects.pages(bucket, source):
        await for_each(batch, move)


async def delete_tree(bucket: Bucket, prefix: str) -> None:
    """Deletes all below the prefix, a request each; what others deleted first is no error."""
    async for batch in objects.pages(bucket, prefix):
        await for_each(batch, lambda one: _delete(bucket, one))


async def purge(bucket: Bucket, name: str, *, below: bool) -> bool:
    """Deletes every generation of an object, or of all whose names begin with it; whether there was any."""
    found = False
    async for batch in objects.pages(bucket, name, versions=True):
        doomed = [one for one in batch if below or one.name == name]
        await for_each(doomed, lambda one: _delete(bucket, one, generation=one.generation))
        found = found or bool(doomed)
        if len(doomed) < len(batch):  # an object's own generations come before those of longer names
            break
    return found


async def _delete(bucket: Bucket, one: Object, *, generation: str = "", only: str | None = None) -> None:
    with suppress(NotFound):  # somebody else was first
        await objects.delete(bucket, one.name, generation=generation, only=only)


def _moved(one: Object, source: str, target: str) -> str:
    return target + one.name.removeprefix(source)
