"""Failed attempts, counted by the worker: so one limit holds, however many api processes there are."""

from enum import StrEnum

from gateway.operations.uploads import Ask


class Attempt(StrEnum):
    """What was tried."""

    ENROLMENT = "enrolment"
    LINK_PASSWORD = "link_password"  # noqa: S105  the name of a kind


class Attempts:
    """Asks a worker. `who` is the address, with what it is tried on where that is counted apart."""

    def __init__(self, ask: Ask) -> None:
        self._ask = ask

    async def wait(self, kind: Attempt, who: str) -> float | None:
        """Seconds until they may try again; None: now."""
        left: float | None = (await self._ask("attempt_wait", kind=kind, who=who))["seconds"]
        return left

    async def failed(self, kind: Attempt, who: str) -> None:
        """Counts a failure."""
        await self._ask("attempt_failed", kind=kind, who=who)
