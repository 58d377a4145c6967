"""Authorities that are handed in: the certificates alone are kept, and what can't be trusted is refused."""

import pytest

from connectors.azure.settings import AzureSettings
from connectors.ftp.settings import FtpSettings
from connectors.gcs.settings import GcsSettings
from connectors.interface import Settings
from connectors.s3.settings import S3Settings
from connectors.sftp.settings import SftpSettings
from connectors.webdav.settings import WebdavSettings
from gateway.access.authorities import BadAuthorities, checked, described
from tests.servers.issuer import Issuer

ONE, OTHER = Issuer("One"), Issuer("Other")


def test_what_stands_around_them_and_what_is_there_twice_is_dropped() -> None:
    kept = checked(f"Subject: One\n{ONE.certificate}\n# again\n{OTHER.certificate}{ONE.certificate}")
    assert kept == ONE.certificate + OTHER.certificate
    assert [found.subject for found in described(kept)] == ["CN=One", "CN=Other"]


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ("", "no PEM certificates"),
        ("-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n", "no PEM certificates"),
        (Issuer("Old", expired=True).certificate, "CN=Old expired on"),
        (ONE.certificate + ONE.issue("server").key, "private key"),
        (ONE.certificate * 200_000, "larger than 256 KiB"),
        ("".join(Issuer(f"Number {n}").certificate for n in range(65)), "65 certificates"),
    ],
    ids=["nothing", "malformed", "expired", "key", "large", "many"],
)
def test_what_is_refused(given: str, said: str) -> None:
    with pytest.raises(BadAuthorities, match=said):
        checked(given)


@pytest.mark.parametrize("kind", [WebdavSettings, S3Settings, AzureSettings, GcsSettings, FtpSettings])
def test_every_connector_with_tls_takes_them(kind: type[Settings]) -> None:
    """Its own setting goes before them. What the settings say besides is not looked at here."""
    assert kind.model_construct().trusting("PEM").model_dump(include={"ca"}) == {"ca": "PEM"}
    assert kind.model_construct(ca="own").trusting("PEM").model_dump(include={"ca"}) == {"ca": "own"}
    assert kind.model_construct(ca=None).trusting(None).model_dump(include={"ca"}) == {"ca": None}


def test_one_without_tls_is_left_as_it_is() -> None:
    settings = SftpSettings.model_construct()
    assert settings.trusting("PEM") is settings
