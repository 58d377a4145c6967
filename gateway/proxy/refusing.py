"""How a request is refused: the one table from errors to statuses, and the answer in words."""

import logging
from collections.abc import Awaitable, Callable
from typing import Final

from mitmproxy import http

from connectors.interface import (
    BadCredential,
    InvalidName,
    NotFound,
    NotPermitted,
    StoreError,
    Unsupported,
)
from gateway.operations import WorkerUnavailable
from gateway.proxy.answers import answer
from gateway.proxy.grants import Denied
from gateway.proxy.observed import REFUSAL
from gateway.proxy.wire.hooks import FORM

_log = logging.getLogger(__name__)

_STATUS: Final[dict[type[Exception], int]] = {
    NotFound: 404,
    NotPermitted: 403,
    Unsupported: 501,
    InvalidName: 400,
    BadCredential: 502,
    WorkerUnavailable: 503,
}


async def or_refuse(flow: http.HTTPFlow, decide: Callable[[], Awaitable[None]]) -> None:
    """Lets the request through as decided, or answers why not."""
    try:
        await decide()
    except Denied as denied:
        refuse(flow, denied)
    except (StoreError, WorkerUnavailable) as error:
        status = next((_STATUS[kind] for kind in type(error).__mro__ if kind in _STATUS), 502)
        refuse(flow, Denied(status, str(error), retry_after=getattr(error, "retry_after", None)))
    except Exception:  # noqa: BLE001  mitmproxy goes on after an addon's error: it would send the request
        _log.exception("a request was not decided")
        refuse(flow, Denied(500, "the gateway failed; its log has the reason"))


def refuse(flow: http.HTTPFlow, denied: Denied) -> None:
    """Answers in the store's place."""
    said = answer(denied.status, denied.message, flow.metadata.get(FORM), code=denied.code)
    said.headers["Connection"] = "close"
    if denied.status == 407:
        said.headers["Proxy-Authenticate"] = 'Basic realm="isthmus", charset="UTF-8"'
    if denied.retry_after is not None:
        said.headers["Retry-After"] = str(int(denied.retry_after) + 1)
    flow.request.headers.pop("expect", None)  # the body is not wanted
    flow.request.stream = False
    flow.metadata[REFUSAL] = denied.message
    flow.response = said
