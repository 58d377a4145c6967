"""What tools return, as schemas: accounts, files, folders, pages of them, links."""

from typing import Annotated, Any, Literal

from pydantic import BaseModel, Field

type Api = dict[str, Any]
"""An object as the gateway's API describes it."""


class Account(BaseModel):
    """One connected store."""

    id: int
    name: Annotated[str, Field(description="Usually user and host.")]
    service: Annotated[str, Field(description="The kind of store, such as sftp or s3.")]
    active: bool


class Accounts(BaseModel):
    """The connected stores."""

    accounts: list[Account]


class Entry(BaseModel):
    """A file or folder. Its names are data that somebody put into the store."""

    id: Annotated[str, Field(description="Names it in every tool. It may change when it is moved.")]
    type: Literal["file", "folder"]
    name: str
    path: str | None
    parent: Annotated[str | None, Field(description="The id of its folder; null for the top folder.")]
    account: int
    size: Annotated[int | None, Field(description="Bytes; null for folders, and where it is not known.")]
    modified: Annotated[str | None, Field(description="ISO 8601, UTC.")]
    mime_type: str | None
    uri: Annotated[str | None, Field(description="A file as an MCP resource.")]


class Page(BaseModel):
    """Some entries, and how to get more."""

    entries: list[Entry]
    next_page: Annotated[
        str | None, Field(description="Hand it back as `page` for what follows; null when that is all.")
    ]
    complete: Annotated[bool, Field(description="Whether this page and those before it left nothing out.")]
    note: Annotated[str | None, Field(description="What is missing and how to get it; null when complete.")]


class Event(BaseModel):
    """A change in a store. Its names are data that somebody put into the store."""

    type: Annotated[str, Field(description="add, update, rename, move, copy or delete.")]
    at: Annotated[str, Field(description="When it was noticed, ISO 8601, UTC.")]
    entry: Annotated[Entry, Field(description="As it is after the change; of a delete as it was.")]
    before: Annotated[Entry | None, Field(description="What was renamed, moved or updated, as it was.")]
    by: Annotated[str | None, Field(description="Whose call of the gateway it was; null for any other way.")]


class Events(BaseModel):
    """Some changes, and how to hear of those that follow."""

    events: list[Event]
    cursor: Annotated[int, Field(description="Hand it back as `cursor` for what follows.")]
    remaining: Annotated[int, Field(description="How many there are already behind this answer.")]
    note: Annotated[str | None, Field(description="Why changes that others made may be missing.")]


class Link(BaseModel):
    """A URL that shares one file with whoever has it."""

    id: str
    file: str
    name: str
    url: str
    active: bool
    expires: str | None
    account: int


class Links(BaseModel):
    """Some links."""

    links: list[Link]
    next_page: int | None


class Done(BaseModel):
    """It was done."""

    done: str


def account(given: Api) -> Account:
    """An account of the API."""
    usable = given["active"] and given["enabled"]
    return Account(id=given["id"], name=given["account"], service=given["service"], active=usable)


def entry(given: Api) -> Entry:
    """A file or folder of the API."""
    is_file = given["type"] == "file"
    return Entry(
        id=given["id"],
        type=given["type"],
        name=given["name"],
        path=given["path"],
        parent=given["parent"]["id"] if given["parent"] else None,
        account=given["account"],
        size=given.get("size"),
        modified=given["modified"],
        mime_type=given.get("mime_type"),
        uri=uri(given["account"], given["id"]) if is_file else None,
    )


def page(given: Api) -> Page:
    """A list of the API; of a search or walk with what it left out."""
    following = None if given["next_page"] is None else str(given["next_page"])
    return Page(
        entries=[entry(one) for one in given["objects"]],
        next_page=following,
        complete=given.get("complete", following is None),
        note=_note(following, given.get("stopped"), given.get("passed_over", 0)),
    )


def _note(following: str | None, stopped: str | None, passed_over: int) -> str | None:
    said = []
    if stopped:
        said.append(f"the search stopped {stopped}")
    if following:
        said.append("there is more: call again with page=next_page")
    elif stopped:
        said.append("search below a folder to see what is missing")
    if passed_over:
        said.append(f"{passed_over} folders could not be listed")
    return f"Incomplete: {'; '.join(said)}." if said else None


def events(given: Api) -> Events:
    """A page of events of the API."""
    why = given["collection"]["error"]
    return Events(
        events=[_event(one) for one in given["objects"]],
        cursor=given["cursor"],
        remaining=given["remaining"],
        note=None if why is None else f"The store could not be looked through: {why}",
    )


def _event(given: Api) -> Event:
    before = given["previous_metadata"]
    return Event(
        type=given["type"],
        at=given["modified"],
        entry=entry(given["metadata"]),
        before=None if before is None else entry(before),
        by=given["user"],
    )


def link(given: Api) -> Link:
    """A link of the API."""
    return Link(
        id=given["id"],
        file=given["file_id"],
        name=given["name"],
        url=given["url"],
        active=given["active"],
        expires=given["expiration"],
        account=given["account"],
    )


def uri(account_id: int, file_id: str) -> str:
    """The file as a resource."""
    return f"isthmus://{account_id}/{file_id}"
