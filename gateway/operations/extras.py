"""What a store may know beside bytes and names: properties, permissions, room, upload URLs."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Self

import orjson

from connectors.interface import Permission, Presigned, Quota, Role, Who
from gateway.operations.messages import AccountRef
from gateway.operations.uploads import Ask


@dataclass(frozen=True, slots=True)
class PropertyView:
    """A key and a value of a caller's own; times are None where the store keeps it and does not say."""

    key: str
    value: str
    created: datetime | None = None
    modified: datetime | None = None

    @classmethod
    def from_json(cls, value: dict[str, Any]) -> Self:
        """The view that the worker sent."""
        created, modified = value["created"], value["modified"]
        return cls(
            value["key"],
            value["value"],
            datetime.fromisoformat(created) if created else None,
            datetime.fromisoformat(modified) if modified else None,
        )


def permission_from_json(value: dict[str, Any]) -> Permission:
    """A grant as it crossed the wire."""
    return Permission(Who(value["who"]), Role(value["role"]), value["id"], value["email"])


class Extras:
    """Calls a worker about these. Entries that are gone are NotFound, what a store lacks is Unsupported."""

    def __init__(self, ask: Ask) -> None:
        self._ask = ask

    async def properties(self, account: AccountRef, file_id: str) -> list[PropertyView]:
        """Every property of the file, by key."""
        return _properties(await self._ask("properties", account=account, id=file_id))

    async def set_properties(
        self, account: AccountRef, file_id: str, changes: Mapping[str, str | None]
    ) -> list[PropertyView]:
        """Every property after the changes; None removes one. Raises InvalidName for what can't be kept."""
        body = orjson.dumps(changes)
        return _properties(await self._ask("set_properties", body, len(body), account=account, id=file_id))

    async def clear_properties(self, account: AccountRef, file_id: str) -> None:
        """Removes every property of the file."""
        await self._ask("clear_properties", account=account, id=file_id)

    async def permissions(self, account: AccountRef, entry_id: str, kind: str) -> list[Permission]:
        """Every grant on the entry."""
        return _permissions(await self._ask("permissions", account=account, id=entry_id, kind=kind))

    async def set_permissions(
        self, account: AccountRef, entry_id: str, kind: str, grants: Sequence[Permission], *, replace: bool
    ) -> list[Permission]:
        """Every grant afterwards; without `replace` others than the given stay."""
        body = orjson.dumps(grants)
        set_now = await self._ask(
            "set_permissions", body, len(body), account=account, id=entry_id, kind=kind, replace=replace
        )
        return _permissions(set_now)

    async def quota(self, account: AccountRef) -> Quota:
        """The account's room, in bytes."""
        return Quota(**await self._ask("quota", account=account))

    async def upload_url(
        self, account: AccountRef, parent_id: str, name: str, *, replace: bool, expires: int
    ) -> Presigned:
        """A request that uploads to the store itself. Raises AlreadyExists unless `replace`."""
        signed = await self._ask(
            "upload_url", account=account, parent_id=parent_id, name=name, replace=replace, expires=expires
        )
        return Presigned(**signed)


def _properties(value: dict[str, Any]) -> list[PropertyView]:
    return [PropertyView.from_json(one) for one in value["properties"]]


def _permissions(value: dict[str, Any]) -> list[Permission]:
    return [permission_from_json(one) for one in value["permissions"]]
