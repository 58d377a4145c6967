"""The tools that change something, offered with `--write` alone. A docstring is what the model reads."""

import base64
import binascii
import json
from typing import Annotated, Any, Literal

from mcp.server.mcpserver import Context
from pydantic import Field

from gateway.mcp import entries
from gateway.mcp.client import Failed, Gateway
from gateway.mcp.places import checked, find, place
from gateway.mcp.reading import MOST, AccountId, Where

Name = Annotated[str, Field(min_length=1, max_length=255, description="A name, without any slash.")]
Taken = Annotated[
    Literal["error", "rename", "replace"],
    Field(
        description="When the name is taken: fail, take a free one such as 'a (1).txt', or replace the file."
    ),
]
_TAKEN: dict[str, dict[str, str]] = {
    "error": {"conflict_if_exists": "true"},
    "rename": {"overwrite": "false"},
    "replace": {"overwrite": "true"},
}


class Writing:
    """What clients may do that are allowed to write."""

    def __init__(self, gateway: Gateway) -> None:
        self._gateway = gateway

    async def create_folder(self, parent: Where, name: Name, account: AccountId = None) -> entries.Entry:
        """Create a folder in `parent`; one that is there already is given back."""
        number = await self._gateway.account(account)
        body = {"parent_id": await place(self._gateway, number, parent), "name": name}
        made = await self._gateway.call("POST", f"accounts/{number}/storage/folders", body=body)
        return entries.entry(made)

    async def write_file(
        self,
        parent: Where,
        name: Name,
        text: Annotated[str | None, Field(description="The content as text; or give `data`.")] = None,
        data: Annotated[str | None, Field(description="The content as base64; or give `text`.")] = None,
        if_taken: Taken = "error",
        account: AccountId = None,
    ) -> entries.Entry:
        """Write a file of at most 262144 bytes in the folder `parent`. Larger ones: upload_from_url, copy."""
        number = await self._gateway.account(account)
        content = _content(text, data)
        described = {"parent_id": await place(self._gateway, number, parent), "name": name}
        made = await self._gateway.call(
            "POST",
            f"accounts/{number}/storage/files",
            query=_TAKEN[if_taken],
            content=content,
            headers={
                "x-kloudless-metadata": json.dumps(described),
                "content-type": "application/octet-stream",
            },
        )
        return entries.entry(made)

    async def upload_from_url(
        self,
        url: Annotated[str, Field(description="A public http or https URL; the gateway fetches it itself.")],
        parent: Where,
        name: Name,
        context: Context[Any, Any],
        if_taken: Taken = "error",
        account: AccountId = None,
    ) -> entries.Entry:
        """Write what a URL gives into a file in the folder `parent`. Private addresses are refused."""
        number = await self._gateway.account(account)
        body = {"url": url, "parent_id": await place(self._gateway, number, parent), "name": name}
        made = await self._gateway.long(
            "POST", number, "files", context.report_progress, query=_TAKEN[if_taken], body=body
        )
        return entries.entry(made)

    async def move(
        self,
        entry: Where,
        context: Context[Any, Any],
        parent: Annotated[
            str | None, Field(description="The folder it goes to, id or path; left out: it stays in its own.")
        ] = None,
        name: Annotated[str | None, Field(description="Its new name; left out: it keeps its own.")] = None,
        account: AccountId = None,
        to_account: Annotated[int | None, Field(description="Another account, in which `parent` is.")] = None,
    ) -> entries.Entry:
        """Move or rename a file or folder, also to another account. Its id may change. A taken name fails."""
        number = await self._gateway.account(account)
        source = await find(self._gateway, number, entry)
        body = await self._going(number, parent, name, to_account)
        path = f"{source['type']}s/{source['id']}"
        moved = await self._gateway.long("PATCH", number, path, context.report_progress, body=body)
        return entries.entry(moved)

    async def copy(
        self,
        entry: Where,
        parent: Annotated[str, Field(description="The folder that the copy goes to, id or path.")],
        context: Context[Any, Any],
        name: Annotated[str | None, Field(description="The copy's name; left out: the same.")] = None,
        account: AccountId = None,
        to_account: Annotated[int | None, Field(description="Another account, in which `parent` is.")] = None,
    ) -> entries.Entry:
        """Copy a file or folder, also to another account. A taken name gives the copy a free one."""
        number = await self._gateway.account(account)
        source = await find(self._gateway, number, entry)
        body = await self._going(number, parent, name, to_account)
        path = f"{source['type']}s/{source['id']}/copy"
        copied = await self._gateway.long("POST", number, path, context.report_progress, body=body)
        return entries.entry(copied)

    async def delete(
        self,
        entry: Where,
        confirm: Annotated[
            str, Field(description="The exact name of what is to be deleted, as `stat` tells it.")
        ],
        context: Context[Any, Any],
        recursive: Annotated[bool, Field(description="A folder with all that is in it.")] = False,
        account: AccountId = None,
    ) -> entries.Done:
        """Delete a file or folder. There may be no way back: only do what the user asked for.

        Nothing is deleted unless `confirm` is its name. A folder that is not empty needs `recursive`.
        """
        number = await self._gateway.account(account)
        found = await find(self._gateway, number, entry)
        if confirm != found["name"]:
            raise Failed(
                "nothing was deleted: `confirm` is not the name of this entry, look at it by `stat`", 409
            )
        query = {"recursive": "true" if recursive else "false"}
        path = f"{found['type']}s/{found['id']}"
        await self._gateway.long("DELETE", number, path, context.report_progress, query=query)
        return entries.Done(done=f"deleted the {found['type']} {found['id']}")

    async def create_link(
        self,
        file: Where,
        expires: Annotated[str | None, Field(description="ISO 8601; left out: it never expires.")] = None,
        direct: Annotated[
            bool, Field(description="The URL gives the bytes at once, without a page.")
        ] = False,
        account: AccountId = None,
    ) -> entries.Link:
        """Make a URL that shares a file with whoever has it: only do what the user asked for."""
        number = await self._gateway.account(account)
        body = {"file_id": await place(self._gateway, number, file), "expiration": expires, "direct": direct}
        return entries.link(await self._gateway.call("POST", f"accounts/{number}/storage/links", body=body))

    async def list_links(
        self, account: AccountId = None, page: Annotated[int, Field(ge=1)] = 1
    ) -> entries.Links:
        """List the URLs that share files of an account. Each of them opens its file to whoever has it."""
        number = await self._gateway.account(account)
        found = await self._gateway.call("GET", f"accounts/{number}/storage/links", query={"page": page})
        return entries.Links(
            links=[entries.link(one) for one in found["objects"]], next_page=found["next_page"]
        )

    async def remove_link(
        self, link: Annotated[str, Field(description="A link's id.")], account: AccountId = None
    ) -> entries.Done:
        """End a link: its URL shares nothing any more. The file stays."""
        number = await self._gateway.account(account)
        await self._gateway.call("DELETE", f"accounts/{number}/storage/links/{checked(link)}")
        return entries.Done(done=f"the link {link} is gone")

    async def _going(
        self, account: int, parent: str | None, name: str | None, to_account: int | None
    ) -> dict[str, Any]:
        """The body that says where something goes."""
        there = account if to_account is None else await self._gateway.account(to_account)
        given = {
            "parent_id": None if parent is None else await place(self._gateway, there, parent),
            "name": name,
            "account": None if there == account else there,
        }
        return {field: value for field, value in given.items() if value is not None}


def _content(text: str | None, data: str | None) -> bytes:
    if (text is None) == (data is None):
        raise Failed("give the content either as `text` or as `data`", 400)
    try:
        content = text.encode() if text is not None else base64.b64decode(data or "", validate=True)
    except (binascii.Error, ValueError):
        raise Failed("`data` is no base64, or `text` no Unicode", 400) from None
    if len(content) > MOST:
        raise Failed(f"{len(content)} bytes are too much for one call: at most {MOST}", 413)
    return content
