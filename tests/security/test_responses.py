"""What no response reveals: keys, buckets, access for other origins (T-24 to T-26, T-48)."""

import re
from collections.abc import Iterator
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest

from backend.jobs.etags import Version, matches
from backend.storage.presign import SIGNING_WINDOW
from tests.backend.uploads.multipart_forms import picture
from tests.conftest import BUCKET
from tests.running_app import SHOP, RunningApp
from tests.scenarios import deliver, finished_job, open_shared_app

shared_app = pytest.fixture(open_shared_app, scope="module")

KEY = re.compile(r"^(artifacts|uploads)/[0-9a-z.]{26,40}$")
READS = [
    "/v1/jobs/{}",
    "/v1/jobs/{}/events?since=0",
    "/v1/jobs",
    "/v1/jobs/{}/publication",
    "/v1/jobs/{}/lineage",
    "/v1/renders",
    "/v1/renders/{}",
    "/v1/catalog/models",
    "/v1/batches",
    "/v1/settings",
    "/v1/operations",
    "/schema/openapi.json",
    "/health/ready",
]


def texts(value: Any, place: str = "") -> Iterator[tuple[str, str]]:
    """Every text of a JSON value, names included, with the name of the field it stands in."""
    if isinstance(value, dict):
        for name, item in value.items():
            yield place, name
            yield from texts(item, name)
    elif isinstance(value, list):
        for item in value:
            yield from texts(item, place)
    else:
        yield place, str(value)


async def keys_stored(shared_app: RunningApp) -> list[str]:
    """The keys of all objects that there are rows for."""
    rows = await shared_app.rows("SELECT key FROM artifacts UNION SELECT key FROM uploads")
    return [row["key"] for row in rows]


async def test_only_image_urls_contain_keys_or_the_bucket(shared_app: RunningApp) -> None:
    ref, _ = await finished_job(shared_app)
    upload = await shared_app.http.post(
        "/v1/uploads", files={"file": picture()}, headers=shared_app.bearer(SHOP)
    )
    answers = [upload]
    for path in READS:
        answers.append(
            await shared_app.http.get(path.format(ref.public_id), headers=shared_app.bearer(SHOP))
        )
    keys = await keys_stored(shared_app)
    assert keys and all(KEY.fullmatch(key) for key in keys)
    told = [
        (str(answer.url.path), place, text)
        for answer in answers
        for place, text in texts(answer.json())
        if place != "image_url"
        if BUCKET in text or any(key in text or key.partition("/")[2] in text for key in keys)
    ]
    assert told == []
    urls = [
        text for answer in answers for place, text in texts(answer.json()) if place == "image_url"
    ]
    assert len(urls) > 2, "and these do"


async def test_an_image_url_lives_for_15_minutes_and_fixes_its_content_type(
    shared_app: RunningApp,
) -> None:
    ref, _ = await finished_job(shared_app)
    detail = (await shared_app.detail(ref.public_id)).json()
    query = parse_qs(urlsplit(detail["result"][0]["image_url"]).query)
    assert query["X-Amz-Expires"] == ["900"]
    assert query["response-content-type"] == ["image/png"]
    assert query["response-content-disposition"][0].startswith("inline; filename=")
    assert query["X-Amz-SignedHeaders"] == ["host"]


def test_an_etag_changes_with_the_signing_window() -> None:
    """T-25: a URL is signed for 15 minutes at its window's start, and a window lasts 5."""
    version = Version(attempt=1, last_seq=4, status="SUCCESS", seconds_a_stage=None)
    then = version.etag(0)
    assert matches(then, version.etag(0))
    assert not matches(then, version.etag(SIGNING_WINDOW))


@pytest.mark.parametrize("origin", ["null", "https://evil.example", f"https://{SHOP}", "http://x"])
@pytest.mark.parametrize("method", ["GET", "OPTIONS"])
async def test_no_response_allows_another_origin(
    shared_app: RunningApp, origin: str, method: str
) -> None:
    ref, _ = await finished_job(shared_app)
    headers = {
        **shared_app.bearer(SHOP),
        "Origin": origin,
        "Access-Control-Request-Method": "GET",
        "Access-Control-Request-Headers": "authorization",
    }
    for path in (f"/v1/jobs/{ref.public_id}", "/v1/jobs", "/health/live", "/schema/openapi.json"):
        answer = await shared_app.http.request(method, path, headers=headers)
        assert not [name for name in answer.headers if name.startswith("access-control-")]


# The order in which a delivery is dealt with


async def test_an_unsigned_body_is_refused_before_it_is_parsed(
    shared_app: RunningApp,
) -> None:
    """T-09: unauthenticated bytes cost one HMAC and no more."""
    unreadable = b"[" * 100_000
    answer = await deliver(shared_app, unreadable, secret="somebody-elses-secret")
    assert answer.status_code == 401
    assert (await deliver(shared_app, unreadable)).status_code == 400


async def test_a_delivery_that_was_not_committed_is_not_acknowledged(
    running_app: RunningApp,
) -> None:
    """T-11: Shopify sends again whatever was not answered with 200."""
    await running_app.install()
    await running_app.execute(
        "CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS "
        "$$ BEGIN RAISE EXCEPTION 'no room' USING ERRCODE = '53100'; END $$"
    )
    await running_app.execute(
        "CREATE CONSTRAINT TRIGGER refuse AFTER INSERT ON webhook_deliveries "
        "DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION refuse()"
    )
    answer = await deliver(running_app, b'{"id": 1}')
    assert answer.status_code == 503
    assert await running_app.rows("SELECT 1 FROM webhook_deliveries") == []
