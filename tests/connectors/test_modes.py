"""Mode bits as grants and back: the table that local and SFTP share."""

import stat

import pytest

from connectors.interface import Permission, Role, Unsupported, Who
from connectors.interface.modes import Modes

OWNER = Permission(Who.USER, Role.OWNER, "ann")
TEAM_WRITES, TEAM_READS = (Permission(Who.GROUP, role, "team") for role in (Role.WRITER, Role.READER))
ALL_WRITE, ALL_READ = (Permission(Who.ANYONE, role) for role in (Role.WRITER, Role.READER))


def file(mode: int) -> Modes:
    return Modes(stat.S_IFREG | mode, ("ann", "1000"), ("team", "100"))


def folder(mode: int) -> Modes:
    return Modes(stat.S_IFDIR | mode, ("ann", "1000"), ("team", "100"))


@pytest.mark.parametrize(
    ("entry", "grants"),
    [
        (file(0o600), [OWNER]),
        (file(0o644), [OWNER, TEAM_READS, ALL_READ]),
        (file(0o664), [OWNER, TEAM_WRITES, ALL_READ]),
        (file(0o755), [OWNER, TEAM_READS, ALL_READ]),
        (file(0o000), [OWNER]),
        (file(0o622), [OWNER]),  # who may write but not read is neither reader nor writer
        (folder(0o755), [OWNER, TEAM_READS, ALL_READ]),
        (folder(0o777), [OWNER, TEAM_WRITES, ALL_WRITE]),
        (folder(0o744), [OWNER]),  # names without a way to the files
        (folder(0o1777), [OWNER, TEAM_WRITES, ALL_WRITE]),
    ],
)
def test_bits_as_grants_and_back(entry: Modes, grants: list[Permission]) -> None:
    assert entry.grants() == grants
    changed = entry.changed(grants, replace=True)
    assert Modes(stat.S_IFMT(entry.mode) | changed, entry.owner, entry.group).grants() == grants


@pytest.mark.parametrize(
    ("entry", "grants", "replace", "mode"),
    [
        (file(0o600), [ALL_READ], False, 0o604),
        (file(0o640), [ALL_READ], True, 0o604),
        (file(0o644), [TEAM_WRITES], False, 0o664),
        (file(0o666), [TEAM_READS], True, 0o640),
        (file(0o755), [OWNER, TEAM_READS], True, 0o750),  # still a program, for whom it is there
        (file(0o4755), [ALL_READ], False, 0o4755),
        (folder(0o700), [TEAM_READS], False, 0o750),
        (folder(0o2770), [TEAM_READS, ALL_READ], True, 0o2755),
        (file(0o644), [], False, 0o644),
        (file(0o644), [], True, 0o600),
        (file(0o600), [Permission(Who.GROUP, Role.READER, "100")], False, 0o640),
    ],
)
def test_what_grants_make_of_the_bits(
    entry: Modes, grants: list[Permission], replace: bool, mode: int
) -> None:
    assert oct(entry.changed(grants, replace=replace)) == oct(mode)


@pytest.mark.parametrize(
    "grant",
    [
        Permission(Who.USER, Role.READER, "bob"),
        Permission(Who.USER, Role.OWNER, "bob"),
        Permission(Who.USER, Role.READER, "ann"),
        Permission(Who.GROUP, Role.READER, "others"),
        Permission(Who.GROUP, Role.OWNER, "team"),
        Permission(Who.ANYONE, Role.OWNER),
    ],
)
def test_what_no_bits_express_is_refused(grant: Permission) -> None:
    with pytest.raises(Unsupported):
        file(0o644).changed([grant], replace=False)
