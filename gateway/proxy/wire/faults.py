"""What went wrong with a request on its way, as mitmproxy's events; ours say it in words for the client."""

from dataclasses import dataclass

from mitmproxy.proxy.layers.http._events import ResponseProtocolError

from connectors.interface import ErrorForm


class StoreFault(ResponseProtocolError):
    """What is wrong with a store's answer: nothing that the store sent is in it."""


@dataclass
class Unanswered(ResponseProtocolError):
    """Why a client gets no answer of a store, and in which form it reads that."""

    form: ErrorForm | None = None
