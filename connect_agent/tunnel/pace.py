"""How fast a link is."""

_OVER = 0.1


class Pace:
    """The link's rate, as far as sending without a pause tells: over a tenth of a second at a time.

    A single slow message says nothing: the machine may have been busy with something else.
    """

    def __init__(self) -> None:
        self._since: float | None = None
        self._bytes = 0

    def idle(self) -> None:
        """There was nothing to send: what was measured so far has no meaning."""
        self._since = None

    def sent(self, size: int, now: float) -> float | None:
        """Counts a message that the link took; bytes a second when enough were."""
        if self._since is None:
            self._since, self._bytes = now, 0
            return None
        self._bytes += size
        took = now - self._since
        if took < _OVER:
            return None
        rate = self._bytes / took
        self._since, self._bytes = now, 0
        return rate
