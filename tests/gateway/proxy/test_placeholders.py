"""What `isthmus exec` makes of the variables of Azure's and Google's programs."""

from base64 import b64decode

import pytest

from gateway.cli.placeholders import AZURE_KEY, environment

CONNECTION = "AZURE_STORAGE_CONNECTION_STRING"
PLACE = "AccountName=a;BlobEndpoint=https://blobs.example/a"


def test_the_key_has_the_form_of_azures_own() -> None:
    assert len(b64decode(AZURE_KEY, validate=True)) == 64


@pytest.mark.parametrize(
    "connection",
    [
        f"AccountKey=c2VjcmV0;{PLACE}",
        f"{PLACE};SharedAccessSignature=sv=2021-12-02&sig=secret;",
        f"{PLACE}; AccountKey=c2VjcmV0",
        PLACE,
    ],
)
def test_a_connection_string_names_the_same_place_with_the_key_that_opens_nothing(connection: str) -> None:
    expected = f"{PLACE};DefaultEndpointsProtocol=https;AccountKey={AZURE_KEY}"
    assert environment({CONNECTION: connection})[CONNECTION] == expected


def test_a_connection_string_keeps_the_protocol_that_it_names() -> None:
    given = f"DefaultEndpointsProtocol=http;{PLACE};AccountKey=c2VjcmV0"
    expected = f"DefaultEndpointsProtocol=http;{PLACE};AccountKey={AZURE_KEY}"
    assert environment({CONNECTION: given})[CONNECTION] == expected


def test_secrets_are_gone_and_the_rest_stays() -> None:
    given = {
        "AZURE_STORAGE_KEY": "secret",
        "AZURE_STORAGE_SAS_TOKEN": "secret",
        "AZURE_STORAGE_ACCOUNT": "reports",
        "RCLONE_AZUREBLOB_SAS_URL": "secret",
        "GOOGLE_APPLICATION_CREDENTIALS": "secret",
        "STORAGE_EMULATOR_HOST": "https://objects.example",
    }
    made = environment(given)
    assert "secret" not in made.values()
    assert made["AZURE_STORAGE_ACCOUNT"] == "reports"
    assert made["STORAGE_EMULATOR_HOST"] == "https://objects.example"


def test_nothing_is_made_of_a_connection_string_that_is_not_there() -> None:
    assert CONNECTION not in environment({})
