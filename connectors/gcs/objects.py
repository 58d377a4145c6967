"""The JSON API's verbs on objects, by whole names (https://cloud.google.com/storage/docs/json_api/v1/objects)."""

from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any

from connectors.gcs.bucket import LARGEST_ANSWER, Bucket
from connectors.gcs.entries import Object
from connectors.interface import BadAnswer

NO_OBJECT = "0"
"""As a generation to match: there must be no such object."""

type Names = list[tuple[str, Object | None]]
"""Names in their order; a common prefix has no object."""

_MOST = 1000  # of a listing; the store gives no more


@dataclass(frozen=True, slots=True)
class Listing:
    """A page of a listing, in the order of names; `token` is None on the last."""

    objects: list[Object]
    prefixes: list[str]
    token: str | None


async def look(bucket: Bucket, name: str) -> Object:
    """The object's current generation. Raises NotFound."""
    return Object.of(await bucket.document("GET", bucket.objects(name)))


async def page(
    bucket: Bucket,
    prefix: str,
    *,
    delimiter: str = "",
    start: str = "",
    token: str | None = None,
    limit: int = _MOST,
    versions: bool = False,
) -> Listing:
    """Objects whose names begin with the prefix, from the name `start` on.

    A page may have fewer than `limit` of them, even none, although it is not the last.
    """
    query = {"prefix": prefix, "maxResults": str(min(limit, _MOST))}
    optional = {"delimiter": delimiter, "startOffset": start, "pageToken": token or ""}
    query |= {name: value for name, value in optional.items() if value}
    if versions:
        query["versions"] = "true"
    found = await bucket.document("GET", bucket.objects(), query)
    return Listing(
        objects=[Object.of(one) for one in _items(found, "items")],
        prefixes=[str(one) for one in _items(found, "prefixes")],
        token=found.get("nextPageToken") or None,
    )


async def names(
    bucket: Bucket, prefix: str, cursor: str | None, limit: int, *, delimiter: str = ""
) -> tuple[Names, bool]:
    """At most `limit` names below a prefix and after the cursor, sorted, and whether there are more.

    The object or common prefix that is the prefix itself is left out. The cursor is a name, not the store's
    token: a listing that goes on hangs on nothing that the store keeps. Only the last page can be empty.
    """
    token, after = None, cursor or prefix
    limit = min(limit, _MOST - 2)
    while True:
        # two more: the prefix itself and the cursor's own name may come first, and are left out
        found = await page(bucket, prefix, delimiter=delimiter, start=after, token=token, limit=limit + 2)
        listed: dict[str, Object | None] = dict.fromkeys(found.prefixes)
        listed |= {one.name: one for one in found.objects}
        new = sorted(name for name in listed if name > after)
        if new or found.token is None:
            more = len(new) > limit or found.token is not None
            return [(name, listed[name]) for name in new[:limit]], more
        token = found.token


async def pages(bucket: Bucket, prefix: str, *, versions: bool = False) -> AsyncIterator[list[Object]]:
    """Every object whose name begins with the prefix, a page at a time."""
    token = None
    while True:
        found = await page(bucket, prefix, token=token, versions=versions)
        yield found.objects
        if (token := found.token) is None:
            return


async def some(bucket: Bucket, prefix: str, count: int) -> list[Object]:
    """The first objects whose names begin with the prefix: `count` of them, or all there are."""
    found: list[Object] = []
    token = None
    while True:
        listing = await page(bucket, prefix, token=token, limit=count)
        found += listing.objects
        if len(found) >= count or (token := listing.token) is None:
            return found[:count]


async def make_empty(bucket: Bucket, name: str) -> None:
    """Makes an object without bytes. Raises PreconditionFailed where there is one."""
    query = {"uploadType": "media", "name": name, "ifGenerationMatch": NO_OBJECT}
    fields = {"content-type": "application/x-directory"}
    answer = await bucket.request("POST", "/upload" + bucket.objects(), query, fields, body=b"")
    await answer.read(LARGEST_ANSWER)


async def delete(bucket: Bucket, name: str, *, generation: str = "", only: str | None = None) -> None:
    """Deletes the object; where the bucket keeps versions, its bytes stay as one of them.

    Args:
        bucket: where it is.
        name: the whole name.
        generation: when given, deletes that one for good, current or not.
        only: when given, PreconditionFailed unless this is the current generation.

    Raises:
        NotFound: there is no such object, or generation.
    """
    query = {"generation": generation} if generation else {}
    if only is not None:
        query["ifGenerationMatch"] = only
    answer = await bucket.request("DELETE", bucket.objects(name), query)
    await answer.read(LARGEST_ANSWER)


async def set_metadata(bucket: Bucket, name: str, changes: dict[str, str | None]) -> Object:
    """The object after the changes (None removes a key), applied by the store in one step."""
    # as a rule the answer has the access list too, which takes a permission more
    query, body = {"projection": "noAcl"}, {"metadata": changes}
    return Object.of(await bucket.document("PATCH", bucket.objects(name), query, body=body))


async def rewrite(bucket: Bucket, source: Object, target: str, *, match: str | None) -> Object:
    """The copy that the store made, of this generation of the source, with its metadata.

    A copy across storage classes or locations takes several requests, each with the token of the one before
    (https://cloud.google.com/storage/docs/json_api/v1/objects/rewrite).

    Raises:
        NotFound: the source is gone.
        PreconditionFailed: the source is another generation, or the target is not the one to `match`.
    """
    query = {"ifSourceGenerationMatch": source.generation}
    if match is not None:
        query["ifGenerationMatch"] = match
    path = f"{bucket.objects(source.name)}/rewriteTo{bucket.objects(target).removeprefix('/storage/v1')}"
    while True:
        told = await bucket.document("POST", path, query)
        if told.get("done"):
            return Object.of(told.get("resource") or {})
        token = told.get("rewriteToken")
        if not token or not isinstance(token, str):
            raise BadAnswer("the store has not finished a copy, and does not say how to go on")
        query["rewriteToken"] = token


def _items(found: dict[str, Any], name: str) -> list[Any]:
    items = found.get(name) or []
    if not isinstance(items, list):
        raise BadAnswer("the store's listing is not what its API describes")
    return items
