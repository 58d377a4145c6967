"""What a client is told when there is no answer of a store: a line of text, and not mitmproxy's page."""

from mitmproxy.http import Response


def answer(status: int, why: str) -> Response:
    """An answer in words of ours."""
    fields = {"Content-Type": "text/plain; charset=utf-8"}
    return Response.make(status, f"isthmus proxy: {why}\n", fields)
