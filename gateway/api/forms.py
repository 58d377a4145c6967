"""Uploads as multipart/form-data: a part `metadata`, then a part `file`, which is never kept anywhere."""

from collections import deque
from collections.abc import AsyncGenerator, AsyncIterator
from typing import TYPE_CHECKING, Any

from python_multipart import MultipartParser
from python_multipart.exceptions import FormParserError
from python_multipart.multipart import parse_options_header

from gateway.api.errors import ApiError, invalid
from gateway.api.parameters import object_of

if TYPE_CHECKING:
    from python_multipart.multipart import MultipartCallbacks

_MOST_METADATA = 64 * 1024


class Form:
    """Reads the form from the body's pieces; holds what one piece held, and the metadata.

    Call `metadata` first, then iterate `content` once.

    Args:
        content_type: of the request, with the boundary.
        body: the request's pieces.
    """

    def __init__(self, content_type: str, body: AsyncIterator[bytes]) -> None:
        _, options = parse_options_header(content_type)
        boundary = options.get(b"boundary", b"")
        self._parts = _Parts()
        try:
            self._parser = MultipartParser(boundary or _no_boundary(), self._parts.callbacks())
        except FormParserError:
            raise invalid("Content-Type", "the boundary is too long") from None
        self._body = body

    async def metadata(self) -> dict[str, Any]:
        """The JSON object of the part `metadata`; stops at the first byte of `file`.

        Raises ApiError when the file comes first, and for a body that is no such form.
        """
        given: bytearray | None = None
        name = b""
        while (seen := await self._next()) is not None:
            kind, data = seen
            if kind == "part":
                name = data
                if name == b"file":
                    break
                if name == b"metadata":
                    given = bytearray()
            elif given is not None and name == b"metadata":
                given += data
                if len(given) > _MOST_METADATA:
                    raise invalid("metadata", f"is longer than {_MOST_METADATA} bytes")
        if name != b"file":
            raise invalid("file", "the form has no such part")
        if given is None:
            raise invalid("metadata", "the form must have this part before 'file'")
        return object_of(bytes(given), "metadata")

    async def content(self) -> AsyncGenerator[bytes, None]:
        """The bytes of the part `file`. Raises ApiError when the form ends before its closing boundary."""
        inside = True
        while (seen := await self._next()) is not None:
            kind, data = seen
            if kind == "part":
                if data == b"file":
                    raise invalid("file", "the form has two such parts")
                inside = False
            elif inside:
                yield data
        if not self._parts.whole:
            raise ApiError(400, "bad_request", "body: the form ends before its closing boundary")

    async def _next(self) -> tuple[str, bytes] | None:
        """The next thing that the parser saw; None at the body's end."""
        seen = self._parts.seen
        while not seen:
            piece = await anext(self._body, None)
            if piece is None:
                return None
            try:
                self._parser.write(piece)
            except FormParserError:
                raise ApiError(400, "bad_request", "body: is not multipart/form-data") from None
        return seen.popleft()


class _Parts:
    """Takes the parser's callbacks down as ("part", name) and ("data", bytes)."""

    def __init__(self) -> None:
        self.seen: deque[tuple[str, bytes]] = deque()
        self.whole = False
        self._header = bytearray()
        self._value = bytearray()
        self._name = b""

    def callbacks(self) -> "MultipartCallbacks":
        return {
            "on_part_begin": self._part_begin,
            "on_header_field": self._header_field,
            "on_header_value": self._header_value,
            "on_header_end": self._header_end,
            "on_headers_finished": self._headers_finished,
            "on_part_data": self._part_data,
            "on_end": self._end,
        }

    def _part_begin(self) -> None:
        self._name = b""

    def _header_field(self, data: bytes, start: int, end: int) -> None:
        self._header += data[start:end]

    def _header_value(self, data: bytes, start: int, end: int) -> None:
        self._value += data[start:end]

    def _header_end(self) -> None:
        if bytes(self._header).lower() == b"content-disposition":
            self._name = parse_options_header(bytes(self._value))[1].get(b"name", b"")
        self._header.clear()
        self._value.clear()

    def _headers_finished(self) -> None:
        self.seen.append(("part", self._name))

    def _part_data(self, data: bytes, start: int, end: int) -> None:
        self.seen.append(("data", data[start:end]))

    def _end(self) -> None:
        self.whole = True


def _no_boundary() -> bytes:
    raise invalid("Content-Type", "multipart/form-data needs a boundary")
