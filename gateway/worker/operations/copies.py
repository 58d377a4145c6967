"""Operations that copy and move, within one account and from one to another."""

import logging
from contextlib import ExitStack
from typing import Any

from connectors.interface import (
    CanCopy,
    Entry,
    InvalidName,
    Kind,
    PreconditionFailed,
    StoreError,
    Unsupported,
)
from gateway.worker.accounts import OpenAccount
from gateway.worker.content.copying import Copying, free_name, require_free
from gateway.worker.desk import Arguments, Desk, Long, busy, expect, not_into_itself, view
from gateway.worker.operations import entries, kept
from gateway.worker.tasks import Progress

_log = logging.getLogger(__name__)


async def copy(desk: Desk, arguments: Arguments, progress: Progress) -> Any:
    """A copy under a free name: by the store where it can and both ends are in it, else streamed."""
    source = await desk.account(arguments)
    target = await desk.other_account(arguments, source)
    raw_id, kind = source.ids.read(arguments["id"], arguments["kind"])
    parent, _ = target.ids.read(arguments["parent_id"], Kind.FOLDER)
    with _busy(source, target):
        entry = await expect(source, raw_id, kind)
        wanted = arguments["name"] or entry.name
        if not wanted:
            raise InvalidName("name: the root folder has none, so its copy needs one")
        name = await free_name(target.connector, parent, wanted)
        copied = None
        if target is source:
            not_into_itself(entry, parent)
            copied = await _by_store(source, entry, parent, name)
            progress.entries = 0 if copied is None else 1
        if copied is None:
            copied = await _copying(desk, source, target, progress).entry(entry, parent, name)
    await kept.copied(desk, source, entry, target, copied)
    return _shown(target, copied)


async def move_across(desk: Desk, arguments: Arguments, progress: Progress) -> Any:
    """The entry in another account: copied, its sizes checked, the source looked at again, then deleted.

    A failure leaves the source whole and removes the copy; only where the source may be half deleted already
    does the copy stay.
    """
    source = await desk.account(arguments)
    target = await desk.other_account(arguments, source)
    raw_id, kind = source.ids.read(arguments["id"], arguments["kind"])
    parent, _ = target.ids.read(arguments["parent_id"], Kind.FOLDER)
    with _busy(source, target):
        entry = await expect(source, raw_id, kind)
        if entry.parent is None:
            raise InvalidName("the root folder can't be moved or renamed")
        name = arguments["name"] or entry.name
        await require_free(target.connector, parent, name)
        copying = _copying(desk, source, target, progress)
        made = await copying.entry(entry, parent, name)
        try:
            if not await copying.unchanged(entry):
                raise PreconditionFailed("it changed while it was moved, and was left where it is")
        except BaseException:
            await copying.undo(made)
            raise
        await _delete(source, entry, copying, made)
    await kept.copied(desk, source, entry, target, made)
    await kept.deleted(desk, source, entry)
    return {**_shown(target, made), "previous": view(source, entry).to_json()}


async def move(desk: Desk, arguments: Arguments, progress: Progress) -> Any:
    """`entries.move` as a task."""
    moved = await entries.move(desk, arguments)
    progress.entries = 1
    return moved


async def delete(desk: Desk, arguments: Arguments, progress: Progress) -> Any:
    """`entries.delete` as a task."""
    deleted = await entries.delete(desk, arguments)
    progress.entries = 1
    return deleted


async def _by_store(account: OpenAccount, entry: Entry, parent: str, name: str) -> Entry | None:
    """The copy, if the store makes it."""
    if not isinstance(account.connector, CanCopy):
        return None
    try:
        return await account.connector.copy(entry.raw_id, parent, name)
    except Unsupported as error:
        _log.info("the store does not copy; it is streamed", extra={"cause": error.message})
        return None


async def _delete(source: OpenAccount, entry: Entry, copying: Copying, made: Entry) -> None:
    """Removes what was copied. A file that is still there after a refusal loses its copy instead."""
    try:
        await source.connector.delete(entry.raw_id, recursive=entry.kind is Kind.FOLDER)
    except StoreError:
        if entry.kind is Kind.FILE and await _is_there(source, entry):
            await copying.undo(made)
        raise


async def _is_there(account: OpenAccount, entry: Entry) -> bool:
    try:
        await account.connector.stat(entry.raw_id)
    except StoreError:
        return False
    return True


def _copying(desk: Desk, source: OpenAccount, target: OpenAccount, progress: Progress) -> Copying:
    return Copying(source.connector, target.connector, progress, desk.files_at_once, desk.resume_within)


def _busy(*accounts: OpenAccount) -> ExitStack:
    stack = ExitStack()
    for account in accounts:
        stack.enter_context(busy(account))
    return stack


def _shown(account: OpenAccount, entry: Entry) -> Any:
    return {"entry": view(account, entry).to_json(), "account": account.id}


LONG: dict[str, Long] = {"/copy": copy, "/move_across": move_across}
RUNNABLE: dict[str, Long] = {"copy": copy, "move_across": move_across, "move": move, "delete": delete}
