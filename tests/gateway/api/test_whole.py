"""What only shows when api and worker are both the real ones."""

from datetime import datetime

import pytest
import requests

from tests.gateway.api.folder_doubles import PlainDouble
from tests.gateway.api.whole import Whole


@pytest.mark.parametrize(
    ("raw_id", "headers", "away", "status"),
    [
        ("nothing", {}, False, 404),
        ("a.txt", {"Range": "bytes=5-"}, False, 416),
        ("a.txt", {"Range": "bytes=4-"}, False, 206),
        ("a.txt", {}, True, 502),
    ],
)
def test_a_read_that_fails_says_how(
    http: requests.Session,
    whole: Whole,
    monkeypatch: pytest.MonkeyPatch,
    raw_id: str,
    headers: dict[str, str],
    away: bool,
    status: int,
) -> None:
    mine = whole.connect(service="plain_double")
    (whole.folder(mine) / "a.txt").write_bytes(b"bytes")
    encoded = http.post(
        f"{whole.url}/v1/accounts/me/encode_raw_id", json={"raw_id": raw_id}, headers=mine.bearer
    ).json()["id"]
    monkeypatch.setattr(PlainDouble, "away", away)
    found = http.get(whole.storage(mine, f"files/{encoded}/contents"), headers={**mine.bearer, **headers})
    assert found.status_code == status, found.text


def test_dates_of_what_we_keep_are_in_utc(http: requests.Session, whole: Whole) -> None:
    mine = whole.connect(service="parts_double")
    session = http.post(
        whole.storage(mine, "multipart"), json={"parent_id": "root", "name": "a"}, headers=mine.bearer
    ).json()
    begun, ends = (datetime.fromisoformat(session[name]) for name in ("created", "expires"))
    assert abs((ends - begun).total_seconds() - whole.settings.multipart_expiry) < 1
    assert session["expires"].endswith("Z")
