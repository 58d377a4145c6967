"""What a link's URL shows to whoever has it: a page, a form for the password, the bytes. No key is needed.

An unknown link, one that is switched off or expired, and one whose file is gone, all read the same: 404.
"""

import asyncio
import time
from urllib.parse import parse_qsl

from starlette.responses import Response

from connectors.interface import StoreError
from gateway.access import NotYours, passes, passwords, tokens
from gateway.access.reads import reading
from gateway.api import contents, errors, pages
from gateway.api.bodies import pieces
from gateway.api.call import Call, Parts, View, ref, resource
from gateway.api.errors import ApiError
from gateway.api.links import path
from gateway.operations import Attempt, Wishes, WorkerUnavailable, wishes
from store.queries import links
from store.tables import Account, Link

_COOKIE = "isthmus_link"
_PASS_LASTS = 900
_MOST_FORM = 16 * 1024
_KEPT = ("retry-after", "content-range", "allow")
_BYTES = {
    "cache-control": "private, no-cache",
    # what a browser shows in spite of "attachment" has no origin and runs nothing
    "content-security-policy": "default-src 'none'; sandbox",
    "referrer-policy": "no-referrer",
    "x-robots-tag": "noindex, nofollow",
}


def public(view: View) -> View:
    """The view with its errors as pages that tell no detail."""

    async def guarded(call: Call) -> Response:
        try:
            return await view(call)
        except (StoreError, NotYours, WorkerUnavailable, ApiError) as error:
            answer = errors.answer(error)
            if answer is None:
                raise
            kept = {name: answer.headers[name] for name in _KEPT if name in answer.headers}
            return pages.failure(answer.status_code, kept)

    return guarded


async def show(call: Call) -> Response:
    """The file's page, or its bytes when the link is direct; before that the password, if there is one."""
    link, account = await _link(call)
    if _locked(call, link):
        return pages.ask_password(wrong=False)
    if link.direct:
        return await _bytes(call, link, account)
    file = await call.parts.operations.stat(ref(account), link.file_id, "file")
    return pages.offer(file.name, file.size, f"{path(call, call.path_params['token'])}/download")


async def download(call: Call) -> Response:
    """The bytes."""
    link, account = await _link(call)
    if _locked(call, link):
        return _go(path(call, call.path_params["token"]))
    return await _bytes(call, link, account)


async def enter(call: Call) -> Response:
    """Takes the password; the right one opens the link for a quarter of an hour."""
    link, _ = await _link(call)
    here = path(call, call.path_params["token"])
    if link.password_hash is None:
        return _go(here)
    if not await _right(call, link, link.password_hash, await _given(call)):
        return pages.ask_password(wrong=True)
    issued = passes.issue(link.password_hash, link.digest, int(time.time()) + _PASS_LASTS)
    response = _go(here)
    response.set_cookie(
        _COOKIE,
        issued,
        max_age=_PASS_LASTS,
        path=here,
        secure=call.base.startswith("https:"),
        httponly=True,
        samesite="lax",
    )
    return response


async def _link(call: Call) -> tuple[Link, Account]:
    async with reading(call.parts.database) as session:
        found = await links.by_digest(session, tokens.digest(call.path_params["token"]))
    if found is None:
        raise NotYours
    wishes.current.set(Wishes(actor=f"link {found[0].id}"))
    return found


def _locked(call: Call, link: Link) -> bool:
    if link.password_hash is None:
        return False
    given = call.cookies.get(_COOKIE, "")
    return not passes.holds(given, link.password_hash, link.digest, time.time())


async def _right(call: Call, link: Link, password_hash: str, given: str) -> bool:
    """Whether it is the password. Raises a 429 after too many wrong ones from this address for this link."""
    who = f"{link.id} {call.counted_as}"
    # to its end, though the visitor leaves: else a guess would not be counted, and cost a core all the same
    wait, right = await asyncio.shield(asyncio.ensure_future(_checked(call.parts, who, password_hash, given)))
    if wait is not None:
        raise ApiError(429, "too_many_requests", "too many wrong passwords", retry_after=wait)
    return right


async def _checked(parts: Parts, who: str, password_hash: str, given: str) -> tuple[float | None, bool]:
    """Seconds until they may try again (None: they might now), and whether it is the password."""
    attempts = parts.operations.attempts
    async with parts.hashing:  # asked within: a burst must not pass before its first failure is counted
        if (wait := await attempts.wait(Attempt.LINK_PASSWORD, who)) is not None:
            return wait, False
        right = await asyncio.to_thread(passwords.matches, given, password_hash)
        if not right:
            await attempts.failed(Attempt.LINK_PASSWORD, who)
    return None, right


async def _given(call: Call) -> str:
    """The form's password; empty when it has none."""
    body = bytearray()
    async for piece in pieces(call):
        body += piece
        if len(body) > _MOST_FORM:
            raise ApiError(413, "too_large", f"body: a form may have at most {_MOST_FORM} bytes")
    return dict(parse_qsl(body.decode("utf-8", "replace"))).get("password", "")


async def _bytes(call: Call, link: Link, account: Account) -> Response:
    response = await contents.send_file(call, ref(account), link.file_id)
    response.headers.update(_BYTES)
    return response


def _go(where: str) -> Response:
    return Response(status_code=303, headers={**pages.HEADERS, "Location": where})


ROUTES = [
    resource("/links/{token}", GET=public(show), POST=public(enter)),
    resource("/links/{token}/download", GET=public(download)),
]
