"""rclone through the proxy, its remotes told by environment variables that hold no credential."""

import sys
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest

from tests.gateway.proxy.behind_a_firewall.conftest import BUCKET, CONTAINER, MARKS, Office
from tests.gateway.proxy.trees import digests, some_files
from tests.servers.azurite_blob import ACCOUNT

pytestmark = MARKS

RCLONE = Path(sys.executable).with_name("rclone")
LARGE = 120 * 1024 * 1024


COMMANDS = """
once() { "$RCLONE" --config /dev/null --retries 1 --low-level-retries 1 "$@"; }
once copy "$FILES" "$PLACE"
once lsf --recursive --files-only "$PLACE"
rm -r "$FILES/in/deeper"
echo changed > "$FILES/a.txt"
once sync "$FILES" "$PLACE"
once copy "$PLACE" "$BACK"
"""


def webdav(office: Office) -> dict[str, str]:
    return {"type": "webdav", "vendor": "other", "url": office.webdav.url}


def s3(office: Office) -> dict[str, str]:
    return {
        "type": "s3",
        "provider": "SeaweedFS",
        "env_auth": "true",
        "endpoint": office.s3.endpoint,
        "upload_cutoff": "16M",
        "chunk_size": "8M",
    }


def azure(office: Office) -> dict[str, str]:
    return {"type": "azureblob", "account": ACCOUNT, "endpoint": office.azure.url, "chunk_size": "8M"}


def google(office: Office) -> dict[str, str]:
    return {"type": "gcs", "endpoint": f"{office.gcs.endpoint}/storage/v1/", "bucket_policy_only": "true"}


def settings(remote: Mapping[str, str]) -> dict[str, str]:
    """The remote `store:` as rclone reads it from the environment."""
    return {f"RCLONE_CONFIG_STORE_{name.upper()}": value for name, value in remote.items()}


@pytest.mark.parametrize(
    ("account", "remote", "place"),
    [
        ("files", webdav, "store:rclone"),
        ("objects", s3, f"store:{BUCKET}/rclone"),
        ("blobs", azure, f"store:{CONTAINER}/rclone"),
        ("google", google, f"store:{BUCKET}/rclone"),
    ],
    ids=["webdav", "s3", "azureblob", "gcs"],
)
def test_a_folder_goes_there_is_kept_the_same_and_comes_back(
    office: Office, account: str, remote: Callable[[Office], dict[str, str]], place: str, tmp_path: Path
) -> None:
    files, back = some_files(tmp_path / "files", large=LARGE), tmp_path / "back"
    names = digests(files).keys()
    env = {"RCLONE": str(RCLONE), "FILES": str(files), "BACK": str(back), "PLACE": place}
    done = office.proxied.exec(
        getattr(office, account), "sh", "-ec", COMMANDS, env={**env, **settings(remote(office))}
    )
    assert done.returncode == 0, done.stderr
    assert set(done.stdout.splitlines()) == names
    assert digests(back) == digests(files)
    assert len(names) == len(digests(files)) + 1


def test_the_other_accounts_store_is_refused(office: Office) -> None:
    listing = (RCLONE, "--config", "/dev/null", "--retries", "1", "lsf", "store:")
    done = office.proxied.exec(office.objects, *listing, env=settings(webdav(office)))
    assert done.returncode != 0
    assert "Forbidden" in done.stderr
