"""An account behind a whole gateway, whose store's own API is asked by raw requests."""

from dataclasses import dataclass
from typing import Any

import requests

from tests.gateway.api.served import Connected
from tests.gateway.api.whole import Whole
from tests.servers.seaweedfs import ACCESS_KEY, SECRET_KEY, SeaweedFS

BUCKET, OTHER_BUCKET, PREFIX = "files", "others", "team"


@dataclass(frozen=True)
class Mine:
    """An account behind a served gateway, and a session to use it by."""

    whole: Whole
    connected: Connected
    http: requests.Session

    def send(self, method: str, uri: str, body: Any = None, **headers: str) -> requests.Response:
        """The answer to a raw request; headers are given as `if_match`."""
        fields = {name.replace("_", "-"): value for name, value in headers.items()}
        told = {"X-Kloudless-Raw-Method": method, "X-Kloudless-Raw-URI": uri}
        return self.http.post(
            f"{self.whole.url}/v1/accounts/{self.connected.account_id}/raw",
            data=body,
            headers={**self.connected.bearer, **told, **fields},
            timeout=30,
        )


def s3_settings(weed: SeaweedFS, **more: str) -> dict[str, str]:
    keys = {"access_key_id": ACCESS_KEY, "secret_access_key": SECRET_KEY}
    return {"endpoint": weed.endpoint, "bucket": BUCKET, **keys, **more}
