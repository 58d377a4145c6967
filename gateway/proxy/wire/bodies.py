"""Bodies of HTTP/1 whose length is known: a piece passes as it came, but for the last.

mitmproxy has h11's reader copy each into a buffer, out of it, and once more into bytes, to count them.
"""

from typing import Any

from h11._readers import ContentLengthReader
from mitmproxy.proxy import events, layer
from mitmproxy.proxy.layers.http._base import ReceiveHttp
from mitmproxy.proxy.layers.http._http1 import Http1Connection


class PassesWhole(Http1Connection):
    """A connection that passes pieces of a body on without a copy; all else it does as mitmproxy's."""

    def _handle_event(self, event: events.Event) -> layer.CommandGenerator[Any]:
        if isinstance(event, events.DataReceived) and self._counts(len(event.data)):
            yield ReceiveHttp(self.ReceiveData(self.stream_id or 0, event.data))
        else:
            yield from super()._handle_event(event)

    def _counts(self, size: int) -> bool:
        """Whether the next bytes are of a body that goes on behind them; they are counted then."""
        if self.state != self.read_body or self.buf:
            return False
        reader = self.body_reader
        if not isinstance(reader, ContentLengthReader) or size >= reader._remaining:  # noqa: SLF001
            return False
        reader._remaining -= size  # noqa: SLF001  h11 is locked to a version
        return True
