"""A shop's endpoints: which URLs they may have, how many, and what can be changed."""

import asyncio
import json
import uuid

import httpx
import pytest
from sqlalchemy import text

from backend.jobs.ids import new_public_id
from backend.webhook_endpoints.schemas import MOST_ENDPOINTS
from backend.webhook_endpoints.service import ENDPOINTS_LOCK
from backend.webhook_endpoints.urls import url_problem
from tests.backend.webhook_endpoints.receiver import Receiver, add, deliveries, one, send_test
from tests.running_app import RunningApp
from tests.scenarios import refusal
from tests.wait import wait_until

URL = "https://hooks.example.com/atelier"
HTTPS = frozenset({443})
# What another process does that adds one at the same time.
LOCKED = text("SELECT pg_advisory_xact_lock(:lock + id) FROM shops")
COPIED = text(
    "INSERT INTO webhook_endpoints SELECT (jsonb_populate_record(one, CAST(:new AS jsonb))).* "
    "FROM webhook_endpoints AS one LIMIT 1"
)
WAITING_LOCKS = (
    "SELECT 1 FROM pg_locks JOIN pg_database ON pg_database.oid = database "
    "WHERE locktype = 'advisory' AND NOT granted AND datname = current_database()"
)
REFUSED_URLS = [
    "http://hooks.example.com/",
    "ftp://hooks.example.com/",
    "hooks.example.com",
    "https://",
    "https://hooks.example.com:8443/",
    "https://hooks.example.com:80/",
    "https://user:word@hooks.example.com/",
    "https://user@hooks.example.com/",
    "https://hooks.example.com/#here",
    "https://localhost/",
    "https://intranet/",
    "https://127.0.0.1/",
    "https://10.0.0.1/",
    "https://192.168.1.1/",
    "https://169.254.169.254/latest/meta-data",
    "https://100.64.0.1/",
    "https://[::1]/",
    "https://[fd00:ec2::254]/",
    "https://[::ffff:127.0.0.1]/",
    "https://xn--a.com/",  # no valid IDN
    "https://[2002:7f00:1::]/",
    "https://127.1/",
    "https://hooks example.com/",
    "https://hooks..example.com/",
    "https://hooks.example.com%00/",
]


async def post(shop_app: RunningApp, **body: object) -> httpx.Response:
    """Ask for an endpoint."""
    return await shop_app.http.post("/v1/webhook-endpoints", json=body, headers=shop_app.bearer())


@pytest.mark.parametrize("url", REFUSED_URLS)
def test_a_url_that_could_lead_inside_is_refused(url: str) -> None:
    assert url_problem(url, HTTPS) is not None


@pytest.mark.parametrize(
    "url",
    [
        URL,
        "https://hooks.example.com:443/a?b=c",
        "https://8.8.8.8/",
        "https://bücher.example",
        "https://Hook_1.example.com./",
    ],
)
def test_a_public_https_url_is_accepted(url: str) -> None:
    assert url_problem(url, HTTPS) is None


def test_other_ports_are_accepted_where_the_operator_says_so() -> None:
    assert url_problem("https://hooks.example.com:8443/", frozenset({443, 8443})) is None


async def test_a_refused_url_is_named_in_the_answer(shop_app: RunningApp) -> None:
    answer = await post(shop_app, url="http://10.0.0.1/")
    assert answer.status_code == 422
    assert answer.json()["detail"][0]["loc"] == ["body", "url"]
    created = await add(shop_app, URL)
    changed = await shop_app.http.patch(
        f"/v1/webhook-endpoints/{created['id']}",
        json={"url": "https://10.0.0.1/"},
        headers=shop_app.bearer(),
    )
    assert changed.status_code == 422
    assert (await one(shop_app, created["id"]))["url"] == URL


async def test_a_shop_has_ten_endpoints_at_most(shop_app: RunningApp) -> None:
    answers = await asyncio.gather(*(post(shop_app, url=URL) for _ in range(MOST_ENDPOINTS + 2)))
    assert sorted(answer.status_code for answer in answers) == [201] * 10 + [409] * 2
    refused = next(answer for answer in answers if answer.status_code == 409)
    assert refused.json()["error"]["code"] == "TOO_MANY_WEBHOOK_ENDPOINTS"
    kept = next(answer for answer in answers if answer.status_code == 201)
    removed = await shop_app.http.delete(kept.headers["Location"], headers=shop_app.bearer())
    assert removed.status_code == 204
    assert (await post(shop_app, url=URL)).status_code == 201


async def test_two_requests_at_once_do_not_share_the_last_place(shop_app: RunningApp) -> None:
    for _ in range(MOST_ENDPOINTS - 1):
        await add(shop_app, URL)
    async with shop_app.owner.transaction() as connection:
        await connection.execute(LOCKED, {"lock": ENDPOINTS_LOCK})
        await connection.execute(COPIED, {"new": json.dumps({"id": new_public_id()})})
        second = asyncio.create_task(post(shop_app, url=URL))
        await wait_until(lambda: second.done() or waits_for_lock(shop_app))
    assert (await second).status_code == 409


async def waits_for_lock(shop_app: RunningApp) -> bool:
    """Whether a request waits for an advisory lock."""
    return bool(await shop_app.rows(WAITING_LOCKS))


async def test_an_endpoint_can_be_changed_field_by_field(shop_app: RunningApp) -> None:
    created = await add(shop_app, URL, description="Ours", event_types=["job.failed"])
    path = f"/v1/webhook-endpoints/{created['id']}"
    for change in (
        {"description": "Theirs"},
        {"event_types": None},
        {"credits_low_below": 7},
        {"enabled": False},
    ):
        answer = await shop_app.http.patch(path, json=change, headers=shop_app.bearer())
        assert answer.status_code == 200, answer.text
        assert answer.json().items() >= change.items()
    found = await one(shop_app, created["id"])
    assert (found["url"], found["disabled_reason"]) == (URL, "REQUESTED")
    wrong = await shop_app.http.patch(path, json={"name": "x"}, headers=shop_app.bearer())
    assert wrong.status_code == 422


async def repeated(shop_app: RunningApp, key: str, **body: object) -> httpx.Response:
    """Ask for an endpoint with this Idempotency-Key."""
    headers = {**shop_app.bearer(), "Idempotency-Key": key}
    return await shop_app.http.post("/v1/webhook-endpoints", json=body, headers=headers)


async def test_a_repeated_request_gets_the_endpoint_that_it_made(shop_app: RunningApp) -> None:
    key = uuid.uuid4().hex
    answers = await asyncio.gather(*(repeated(shop_app, key, url=URL) for _ in range(3)))
    assert {answer.status_code for answer in answers} == {201}
    assert len({answer.content for answer in answers}) == 1
    assert len({answer.headers["location"] for answer in answers}) == 1
    replays = [answer.headers.get("idempotency-replayed") for answer in answers]
    assert sorted(replays, key=str) == [None, "true", "true"]
    assert len(await shop_app.rows("SELECT id FROM webhook_endpoints")) == 1
    other = await repeated(shop_app, key, url=f"{URL}/other")
    assert refusal(other) == (422, "IDEMPOTENCY_KEY_REUSED")
    another = await repeated(shop_app, uuid.uuid4().hex, url=URL)
    assert another.json()["id"] != answers[0].json()["id"]


async def test_the_stored_answer_to_a_repeatable_request_has_no_secret(
    shop_app: RunningApp,
) -> None:
    key = uuid.uuid4().hex
    created = (await repeated(shop_app, key, url=URL)).json()
    [stored] = await shop_app.rows("SELECT answer FROM idempotency_keys WHERE key = :k", k=key)
    assert stored["answer"] == {"id": created["id"]}


async def test_a_repeated_request_gets_the_current_secret_and_404_after_the_removal(
    shop_app: RunningApp,
) -> None:
    key = uuid.uuid4().hex
    created = (await repeated(shop_app, key, url=URL)).json()
    path = f"/v1/webhook-endpoints/{created['id']}"
    rotated = await shop_app.http.post(f"{path}/secret/rotate", headers=shop_app.bearer())
    again = await repeated(shop_app, key, url=URL)
    assert again.json() == {**created, "secret": rotated.json()["secret"]}
    await shop_app.http.delete(path, headers=shop_app.bearer())
    assert refusal(await repeated(shop_app, key, url=URL)) == (404, "WEBHOOK_ENDPOINT_NOT_FOUND")
    assert (await repeated(shop_app, uuid.uuid4().hex, url=URL)).status_code == 201


async def test_a_refused_request_keeps_no_key(shop_app: RunningApp) -> None:
    key = uuid.uuid4().hex
    full = [(await post(shop_app, url=URL)).json()["id"] for _ in range(MOST_ENDPOINTS)]
    assert refusal(await repeated(shop_app, key, url=URL)) == (409, "TOO_MANY_WEBHOOK_ENDPOINTS")
    path = f"/v1/webhook-endpoints/{full[0]}"
    await shop_app.http.delete(path, headers=shop_app.bearer())
    made = await repeated(shop_app, key, url=URL)
    assert (made.status_code, made.headers.get("idempotency-replayed")) == (201, None)
    assert (await repeated(shop_app, key, url=URL)).json() == made.json(), "with ten endpoints"


async def test_an_unknown_event_type_is_refused(shop_app: RunningApp) -> None:
    assert (await post(shop_app, url=URL, event_types=["job.deleted"])).status_code == 422
    assert (await post(shop_app, url=URL, event_types=[])).status_code == 422


async def test_a_removed_endpoint_keeps_no_secret_and_gets_nothing(
    shop_app: RunningApp, receiver: Receiver
) -> None:
    created = await add(shop_app, receiver.url)
    await send_test(shop_app, created["id"])
    path = f"/v1/webhook-endpoints/{created['id']}"
    assert (await shop_app.http.delete(path, headers=shop_app.bearer())).status_code == 204
    await shop_app.drain()
    assert receiver.requests == []
    for method, end in (("GET", ""), ("GET", "/secret"), ("GET", "/deliveries"), ("DELETE", "")):
        answer = await shop_app.http.request(method, path + end, headers=shop_app.bearer())
        assert answer.status_code == 404
    [row] = await shop_app.rows("SELECT secret, previous_secret FROM webhook_endpoints")
    assert row == {"secret": "", "previous_secret": None}


async def test_the_delivery_log_is_read_page_by_page(shop_app: RunningApp) -> None:
    created = await add(shop_app, URL)
    sent = [await send_test(shop_app, created["id"]) for _ in range(3)]
    path = f"/v1/webhook-endpoints/{created['id']}/deliveries?limit=2"
    found = []
    while path:
        page = await shop_app.http.get(path, headers=shop_app.bearer())
        found += [each["event_id"] for each in page.json()["deliveries"]]
        path = page.links["next"]["url"] if "next" in page.links else ""
    assert sorted(found) == sorted(sent)
    assert len(await deliveries(shop_app, created["id"])) == 3
