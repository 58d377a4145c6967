"""What programs on Azure's and Google's SDKs are told, so that they need no credential of their own.

Azure's sign each request, for which they want a key. This one is the same for everybody and opens nothing:
what was signed with it is taken off, and signed anew, without being looked at. Google's ask a server of
Google's for a token first, which is no store of the account, unless they are told to go without.
"""

from base64 import b64encode
from collections.abc import Mapping
from typing import Final

AZURE_KEY: Final = b64encode(b"isthmus: this key opens nothing, the gateway has the one to sign").decode()
"""As long as Azure's own, 64 bytes."""
_CONNECTION = "AZURE_STORAGE_CONNECTION_STRING"
_KEYS = ("AZURE_STORAGE_KEY", "RCLONE_AZUREBLOB_KEY")
_PROTOCOL = "DefaultEndpointsProtocol"
_SECRETS = ("AccountKey", "SharedAccessSignature")  # of a connection string
_WITHOUT = (
    *("AZURE_STORAGE_SAS_TOKEN", "RCLONE_AZUREBLOB_SAS_URL", "RCLONE_AZUREBLOB_CONNECTION_STRING"),
    *(
        "GOOGLE_APPLICATION_CREDENTIALS",
        "RCLONE_GCS_SERVICE_ACCOUNT_FILE",
        "RCLONE_GCS_SERVICE_ACCOUNT_CREDENTIALS",
    ),
)
_GOOGLE = "https://storage.googleapis.com"


def environment(given: Mapping[str, str]) -> dict[str, str]:
    """What is given, its secrets of these stores replaced or gone.

    Where Google's storage is stays what it was; told, its SDK for Python sends no credentials.
    """
    made = {name: value for name, value in given.items() if name not in _WITHOUT}
    if connection := made.get(_CONNECTION):
        made[_CONNECTION] = _with_placeholder(connection)
    anonymous = {"RCLONE_GCS_ANONYMOUS": "true"}
    return {"STORAGE_EMULATOR_HOST": _GOOGLE, **made, **dict.fromkeys(_KEYS, AZURE_KEY), **anonymous}


def _with_placeholder(connection: str) -> str:
    """A connection string of Azure's, with the key that opens nothing in place of what it had.

    Microsoft's page "Configure Azure Storage connection strings". One with a SAS may name no protocol;
    with a key, Azure's SDK for Node.js wants one.
    """
    pairs = [
        pair for pair in connection.split(";") if pair and pair.partition("=")[0].strip() not in _SECRETS
    ]
    if not any(pair.partition("=")[0].strip() == _PROTOCOL for pair in pairs):
        pairs.append(f"{_PROTOCOL}=https")
    return ";".join([*pairs, f"AccountKey={AZURE_KEY}"])
