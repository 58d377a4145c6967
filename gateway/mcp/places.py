"""Which file or folder a tool means: an id from an answer, or a path that is walked step by step."""

import re
import unicodedata

from gateway.mcp.client import Failed, Gateway
from gateway.mcp.entries import Api

_ID = re.compile(r"[A-Za-z0-9_=-]{1,8192}")
_PAGE = 1000
_MOST_PAGES = 20


async def place(gateway: Gateway, account: int, given: str) -> str:
    """The id of what is meant; an id is not looked up. Raises Failed."""
    if not given.startswith("/"):
        return checked(given)
    found = await _walked(gateway, account, given)
    return "root" if found is None else str(found["id"])


async def find(gateway: Gateway, account: int, given: str) -> Api:
    """The file or folder that is meant. Raises Failed."""
    if given.startswith("/"):
        found = await _walked(gateway, account, given)
        if found is not None:
            return found
        given = "root"
    storage = f"accounts/{account}/storage"
    if checked(given) != "root":
        try:
            return dict(await gateway.call("GET", f"{storage}/files/{given}"))
        except Failed as failed:
            if failed.status != 404:
                raise
    return dict(await gateway.call("GET", f"{storage}/folders/{given}"))


def checked(given: str) -> str:
    """The id, if it looks like one: it goes into a URL, and nothing else may."""
    if not _ID.fullmatch(given):
        raise Failed("this is no id: take one from an answer, or give a path that begins with '/'", 400)
    return given


async def _walked(gateway: Gateway, account: int, path: str) -> Api | None:
    """What is at the path; None for the top folder."""
    found: Api | None = None
    done = ""
    for name in filter(None, path.split("/")):
        if name in (".", ".."):
            raise Failed("a path begins at the top folder and has no '.' or '..'", 400)
        if found is not None and found["type"] != "folder":
            raise Failed(f"{done} is a file, not a folder", 404)
        found = await _child(gateway, account, "root" if found is None else found["id"], name)
        if found is None:
            raise Failed(f"there is no {name!r} in {done or '/'}", 404)
        done = f"{done}/{name}"
    return found


async def _child(gateway: Gateway, account: int, folder: str, name: str) -> Api | None:
    """The entry of that name, however its accents are composed; the exact name comes first within a page."""
    page: object = 1
    path, wanted = f"accounts/{account}/storage/folders/{folder}/contents", unicodedata.normalize("NFC", name)
    for _ in range(_MOST_PAGES):
        listed = await gateway.call("GET", path, query={"page": page, "page_size": _PAGE})
        alike = [one for one in listed["objects"] if unicodedata.normalize("NFC", one["name"]) == wanted]
        if alike:
            return dict(next((one for one in alike if one["name"] == name), alike[0]))
        page = listed["next_page"]
        if page is None:
            return None
    raise Failed(
        f"no {name!r} among the first {_MOST_PAGES * _PAGE} entries of its folder: search for it", 404
    )
