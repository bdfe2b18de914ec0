"""A cached body is sent only while it is what the database would say now."""

from collections.abc import Awaitable, Callable
from itertools import pairwise
from typing import Any

import msgspec
import pytest

from backend.jobs import conditional_get
from backend.jobs.body_cache import ENTRY_BYTES, BodyCache, CacheKey
from backend.jobs.erasure import erase_jobs
from backend.jobs.service import JobRef
from backend.storage.presign import SIGNING_WINDOW, Presigner
from tests.running_app import OTHER_SHOP, SHOP, RunningApp
from tests.scenarios import (
    claimed_job,
    finished_job,
    make_stage,
    new_shop,
    open_shared_app,
    refusal,
    waiting_job,
)

shared_app = pytest.fixture(open_shared_app, scope="module")
shop = pytest.fixture(new_shop)
READS = ["/v1/jobs/{}", "/v1/jobs/{}/events", "/v1/jobs/{}/events?since=2"]
BODY = msgspec.Raw(b"x" * 1000)


def key_of(public_id: str) -> CacheKey:
    """A key that differs in the job only."""
    return CacheKey(SHOP, public_id, "detail")


def test_the_body_used_longest_ago_is_dropped_first() -> None:
    cache = BodyCache(limit=3 * (1000 + ENTRY_BYTES))
    for public_id in ("a", "b", "c"):
        cache.put(key_of(public_id), "1", BODY)
    assert cache.get(key_of("a"), 0) == ("1", BODY)
    cache.put(key_of("d"), "1", BODY)
    assert [key.public_id for key in cache.bodies] == ["c", "a", "d"]
    assert cache.size == cache.limit


def test_a_newer_body_takes_the_place_of_the_older() -> None:
    cache = BodyCache()
    for etag in ("1", "2"):
        cache.put(key_of("a"), etag, BODY)
    assert cache.get(key_of("a"), 0) == ("2", BODY)
    assert cache.size == 1000 + ENTRY_BYTES


def test_a_body_larger_than_the_cache_is_not_kept() -> None:
    cache = BodyCache(limit=1000)
    cache.put(key_of("a"), "1", BODY)
    assert (len(cache.bodies), cache.size) == (0, 0)


def test_nothing_is_kept_into_the_next_signing_window() -> None:
    cache = BodyCache()
    cache.put(key_of("a"), "1", BODY)
    assert cache.get(key_of("b"), SIGNING_WINDOW) is None
    assert (len(cache.bodies), cache.size) == (0, 0)


async def read(shared_app: RunningApp, path: str, shop: str = SHOP) -> Any:
    """The body, and the headers that depend on the job."""
    answer = await shared_app.http.get(path, headers=shared_app.bearer(shop))
    assert answer.status_code == 200, answer.text
    return answer.json(), answer.headers["etag"]


async def read_anew(shared_app: RunningApp, path: str, patch: pytest.MonkeyPatch) -> Any:
    """The same, without the cache."""
    with patch.context() as without_cache:
        without_cache.setattr(BodyCache, "get", lambda *_key: None)
        return await read(shared_app, path)


@pytest.fixture
def same_window(monkeypatch: pytest.MonkeyPatch) -> int:
    """The signing window, which does not end."""
    window = 10 * SIGNING_WINDOW
    monkeypatch.setattr(Presigner, "current_window", lambda _self: window)
    return window


@pytest.mark.usefixtures("same_window")
@pytest.mark.parametrize("path", READS)
async def test_an_unchanged_body_is_not_made_again(
    shared_app: RunningApp, path: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    ref, _ = await finished_job(shared_app)
    url = path.format(ref.public_id)
    first = await read(shared_app, url)

    async def unexpected(*_args: Any, **_how: Any) -> None:
        raise AssertionError("it was read again")

    for name in ("job_detail", "job_events"):
        monkeypatch.setattr(conditional_get, name, unexpected)
    assert await read(shared_app, url) == first


@pytest.mark.usefixtures("same_window")
@pytest.mark.parametrize("path", READS)
async def test_every_change_of_a_job_changes_its_body(
    shared_app: RunningApp, path: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    begun = await claimed_job(shared_app)
    url = path.format(begun.ref.public_id)
    bodies = []

    async def look() -> None:
        shown = await read(shared_app, url)
        assert shown == await read_anew(shared_app, url, monkeypatch)
        bodies.append(shown[0])

    await look()
    await make_stage(shared_app, begun, "segment")
    await look()
    await make_stage(shared_app, begun, "encode", role="final", pictures=2)
    await look()
    await shared_app.http.post(
        f"/v1/jobs/{begun.ref.public_id}/cancel", headers=shared_app.bearer()
    )
    await look()
    assert all(before != after for before, after in pairwise(bodies))


@pytest.mark.parametrize("path", READS)
async def test_a_new_signing_window_has_new_urls(
    shared_app: RunningApp, path: str, monkeypatch: pytest.MonkeyPatch, same_window: int
) -> None:
    ref, _ = await finished_job(shared_app)
    url = path.format(ref.public_id)
    before = await read(shared_app, url)
    monkeypatch.setattr(Presigner, "current_window", lambda _self: same_window + SIGNING_WINDOW)
    after = await read(shared_app, url)
    assert after[1] != before[1]
    assert after[0] != before[0]


async def uninstalled(shared_app: RunningApp, ref: JobRef) -> None:
    """Its shop removes the app."""
    await shared_app.execute(
        "UPDATE shops SET status = 'uninstalled' WHERE id = :id", id=ref.shop_id
    )


async def erased(shared_app: RunningApp, ref: JobRef) -> None:
    """The shop's jobs are erased."""
    await erase_jobs(shared_app.database, shared_app.worker_context.store, ref.shop_id)


End = Callable[[RunningApp, JobRef], Awaitable[None]]
ENDS: dict[End, tuple[int, str]] = {
    uninstalled: (401, "SHOP_NOT_INSTALLED"),
    erased: (404, "JOB_NOT_FOUND"),
}


@pytest.mark.usefixtures("same_window")
@pytest.mark.parametrize("path", READS)
@pytest.mark.parametrize("end", ENDS)
async def test_what_has_gone_is_not_sent_from_the_cache(
    shared_app: RunningApp,
    shop: str,
    path: str,
    end: End,
) -> None:
    ref, _ = await finished_job(shared_app, shop=shop)
    url = path.format(ref.public_id)
    await read(shared_app, url, shop)
    await end(shared_app, ref)
    answer = await shared_app.http.get(url, headers=shared_app.bearer(shop))
    assert refusal(answer) == ENDS[end]


@pytest.mark.parametrize("path", READS)
async def test_another_shop_does_not_get_a_cached_body(shared_app: RunningApp, path: str) -> None:
    await shared_app.install(OTHER_SHOP)
    ref = await waiting_job(shared_app)
    url = path.format(ref.public_id)
    await read(shared_app, url)
    answer = await shared_app.http.get(url, headers=shared_app.bearer(OTHER_SHOP))
    assert refusal(answer) == (404, "JOB_NOT_FOUND")
