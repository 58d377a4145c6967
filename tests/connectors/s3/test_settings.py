"""Settings of S3's accounts: endpoints, buckets, what can not be, and their page."""

import importlib
import importlib.util
import subprocess
import sys
from pathlib import Path

import pytest
from pydantic import ValidationError

import connectors.s3
from connectors.s3.settings import S3CompatibleSettings, S3Settings
from tests.connectors.s3.scripted import settings

PAGE = Path(connectors.s3.__file__).parents[2] / "docs" / "connectors" / "s3.md"


@pytest.mark.parametrize(
    ("region", "origin"),
    [
        ("us-east-1", "https://s3.us-east-1.amazonaws.com"),
        ("cn-north-1", "https://s3.cn-north-1.amazonaws.com.cn"),
        ("eusc-de-east-1", "https://s3.eusc-de-east-1.amazonaws.eu"),
    ],
)
def test_the_endpoint_of_a_region(region: str, origin: str) -> None:
    assert S3Settings.model_validate(settings(region=region)).origin() == origin


@pytest.mark.parametrize(
    ("bucket", "path_style", "in_host"),
    [
        ("reports", False, True),
        ("reports", True, False),
        ("my.reports", False, False),
        ("Reports", False, False),
    ],
)
def test_where_the_bucket_stands(bucket: str, path_style: bool, in_host: bool) -> None:
    made = S3Settings.model_validate(settings(bucket=bucket, path_style=path_style))
    assert made.in_host() is in_host


def test_a_compatible_store_has_an_endpoint_and_paths() -> None:
    with pytest.raises(ValidationError, match="endpoint"):
        S3CompatibleSettings.model_validate(settings())
    made = S3CompatibleSettings.model_validate(settings(endpoint="http://files.inside:9000/", prefix="/a/b/"))
    assert (made.endpoint, made.prefix, made.in_host()) == ("http://files.inside:9000", "a/b", False)
    assert made.display_name() == "reports/a/b@files.inside"
    assert "S3CR3T" not in repr(made)


@pytest.mark.parametrize(
    "wrong",
    [
        {"endpoint": "files.inside"},
        {"endpoint": "https://u:p@files.inside"},
        {"endpoint": "https://files.inside/path"},
        {"endpoint": "https://files.inside:99999"},
        {"bucket": "a/b"},
        {"bucket": "?x="},
        {"region": "eu west"},
        {"prefix": "a//b"},
        {"prefix": "../b"},
        {"access_key_id": ""},
        {"ca": "not a certificate"},
    ],
)
def test_settings_that_can_not_be(wrong: dict[str, str]) -> None:
    with pytest.raises(ValidationError):
        S3Settings.model_validate(settings(**wrong))


@pytest.mark.parametrize("name", sorted(S3CompatibleSettings.model_fields))
def test_every_setting_is_on_its_page(name: str) -> None:
    assert f"`{name}`" in PAGE.read_text()


def test_botocore_is_imported_only_for_an_account() -> None:
    """Its import takes long, and the list of connectors loads all of them."""
    code = (
        "import sys, connectors.s3; assert 'connectors.s3' in sys.modules and 'botocore' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_without_botocore_the_connector_is_missing_and_says_why(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(ImportError) as told:
        importlib.reload(connectors.s3)
    assert told.value.name == "botocore"
