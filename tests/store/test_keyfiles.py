"""Key files: made whole, made once, and nobody else reads the private one."""

import subprocess
import sys
from pathlib import Path

import pytest

from store import envelope
from store.envelope import keyfiles
from store.envelope.unseal import UnsealingKey, unseal

HERE = envelope.Context("accounts", "1", "credential")


def test_a_lost_public_half_is_made_again_from_the_private_one(tmp_path: Path) -> None:
    paths = keyfiles.create_pair(tmp_path)
    before = paths.public.read_bytes()
    paths.public.unlink()
    assert keyfiles.create_pair(tmp_path).public.read_bytes() == before


def test_several_that_make_a_pair_at_once_get_the_same(tmp_path: Path) -> None:
    program = (
        "import sys; from pathlib import Path; from store.envelope import keyfiles;"
        "keyfiles.create_pair(Path(sys.argv[1]))"
    )
    running = [subprocess.Popen([sys.executable, "-c", program, str(tmp_path)]) for _ in range(4)]
    assert [process.wait(60) for process in running] == [0, 0, 0, 0]
    paths = keyfiles.create_pair(tmp_path)
    sealed = envelope.seal(b"a secret", HERE, envelope.SealingKey.load(paths.public))
    assert unseal(sealed, HERE, [UnsealingKey.load(paths.private)]) == b"a secret"
    assert {path.name for path in tmp_path.iterdir()} == {paths.private.name, paths.public.name}


@pytest.mark.parametrize(
    ("mode", "reader"), [(0o600, None), (0o640, "group"), (0o604, "everyone")], ids=["owner", "group", "all"]
)
def test_a_mode_that_lets_others_read_is_seen(tmp_path: Path, mode: int, reader: str | None) -> None:
    private = keyfiles.create_pair(tmp_path).private
    private.chmod(mode)
    found = " ".join(keyfiles.other_readers(private))
    assert found == "" if reader is None else reader in found


def test_an_acl_that_lets_another_user_read_is_seen(tmp_path: Path) -> None:
    paths = keyfiles.create_pair(tmp_path)
    keyfiles.protect(paths, worker_user="nobody", api_user="daemon")
    assert keyfiles.other_readers(paths.private) == ["user nobody"]
    public = subprocess.run(
        ["getfacl", "--absolute-names", str(paths.public)], capture_output=True, text=True, check=True
    ).stdout
    assert "user:daemon:r--" in public
