"""Callbacks of providers: a nudge at most, in any order, however often, whoever sends them."""

import json
from collections.abc import AsyncIterator, Mapping
from typing import Any
from urllib.parse import urlsplit

import httpx
import msgspec
import pytest

import backend.app
from backend.dev.services import LocalServices
from backend.failures.codes import CONTENT_REFUSED, PROVIDER_FAILED
from backend.jobs.service import JobRef
from backend.providers.provider import (
    AnswerLost,
    Finished,
    ProviderFailed,
    ProviderJob,
    ProviderUnavailable,
    RequestUnknown,
    Running,
    SubmitRequest,
)
from backend.renderers.base import Renderer
from backend.submissions import routes
from backend.submissions.callback_tokens import CallbackToken, sign_callback, verify_callback
from tests.backend.worker.hosted import (
    COST,
    STAGE,
    FakeProvider,
    finished,
    hosted_app,
    hosted_job,
    poller_of,
    queued,
    run_once,
    status_of,
    statuses,
    submissions,
)
from tests.backend.worker.job_state import failure_code
from tests.conftest import PREVIOUS_SECRET, SECRET, settings_for
from tests.hosted_engines import app_with
from tests.running_app import OTHER_SHOP, SHOP, RunningApp, cloned_database, open_running_app
from tests.scenarios import emptied_app, refusal

TOKEN = CallbackToken(shop=SHOP, shop_id=1, job_id="J", stage="compose", number=1, provider="fake")


@pytest.fixture(scope="module")
async def shared_app(
    services: LocalServices, template: str, renderer: Renderer
) -> AsyncIterator[RunningApp]:
    """An installation with a public address, whose web process has the provider too."""
    provider = FakeProvider()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(backend.app, "hosted_providers", lambda *_: {STAGE: provider})
        async with cloned_database(services.postgres.url(), template) as url:
            settings = settings_for(services, url)
            public = msgspec.structs.replace(settings, public_url="https://atelier.example")
            async with open_running_app(public, renderer) as running_app:
                yield hosted_app(running_app, provider)


app = pytest.fixture(emptied_app)


@pytest.fixture
def provider(app: RunningApp) -> FakeProvider:
    """The provider of both processes, as new."""
    found = app.worker_context.providers[STAGE]
    assert isinstance(found, FakeProvider)
    vars(found).clear()  # also the methods that a test has replaced
    vars(found).update(vars(FakeProvider()))
    return found


async def call_back(
    app: RunningApp, url: str, job_id: Any = "fake-1", headers: Mapping[str, str] | None = None
) -> httpx.Response:
    """The provider reports to the address that the request has named."""
    body = json.dumps({"id": job_id}).encode()
    return await app.http.post(urlsplit(url).path, content=body, headers=headers)


def address(provider: FakeProvider, number: int = 0) -> str:
    """Where the provider was told to report."""
    url = provider.requests[number].callback_url
    assert url is not None
    assert url.startswith("https://atelier.example/callbacks/fake/")
    return url


async def is_due(app: RunningApp, ref: JobRef) -> bool:
    """Whether the poller looks at the job's submission now."""
    sql = "SELECT wake_at <= now() AS due FROM submissions WHERE job_id = :j"
    return bool((await app.rows(sql, j=ref.public_id))[-1]["due"])


async def test_a_callback_makes_the_request_due_and_is_followed_by_a_poll(
    app: RunningApp, provider: FakeProvider
) -> None:
    ref = await hosted_job(app)
    await run_once(app, ref)
    await app.execute("UPDATE submissions SET wake_at = now() + interval '1 hour'")
    assert (await call_back(app, address(provider))).status_code == 200
    assert await is_due(app, ref)
    assert await statuses(app, ref) == ["SUBMITTED"], "nothing in it is believed"
    await poller_of(app).look()
    assert (await queued(app), provider.polls) == ([], 1)
    provider.answers["fake-1"] = finished()
    assert (await call_back(app, address(provider))).status_code == 200
    await poller_of(app).look()
    assert await queued(app) == [ref.public_id]


async def test_callbacks_that_come_twice_or_late_change_nothing(
    app: RunningApp, provider: FakeProvider
) -> None:
    ref = await hosted_job(app)
    await run_once(app, ref)
    provider.answers["fake-1"] = finished()
    for _ in range(2):
        assert (await call_back(app, address(provider))).status_code == 200
    await poller_of(app).look()
    await run_once(app, ref)
    before = await submissions(app, ref)
    assert (await call_back(app, address(provider))).status_code == 200
    assert await submissions(app, ref) == before
    assert await poller_of(app).look() == 0
    assert (await status_of(app, ref), len(provider.requests)) == ("SUCCESS", 1)


async def test_a_callback_before_the_answer_to_the_request_is_harmless(
    app: RunningApp, provider: FakeProvider
) -> None:
    ref = await hosted_job(app)
    submit = provider.submit

    async def report_first(request: SubmitRequest) -> ProviderJob | Finished:
        answer = await submit(request)
        assert (await call_back(app, address(provider))).status_code == 200
        return answer

    provider.submit = report_first  # type: ignore[method-assign]
    await run_once(app, ref)
    [stored] = await submissions(app, ref)
    assert (stored["status"], stored["provider_job_id"]) == ("SUBMITTED", "fake-1")


async def test_a_callback_finds_a_request_whose_answer_was_lost(
    app: RunningApp, provider: FakeProvider
) -> None:
    ref = await hosted_job(app)
    provider.faults.append(AnswerLost("cut"))
    await run_once(app, ref)
    assert (await call_back(app, address(provider))).status_code == 200
    await poller_of(app).look()
    assert await queued(app) == [ref.public_id]
    await run_once(app, ref)
    [stored] = await submissions(app, ref)
    assert (stored["status"], stored["provider_job_id"]) == ("SUBMITTED", "fake-1")
    provider.answers["fake-1"] = finished()
    await run_once(app, ref)
    assert (await status_of(app, ref), len(provider.requests)) == ("SUCCESS", 1)
    assert await app.rows("SELECT 1 FROM submissions WHERE possible_double_cost") == []


async def test_a_named_job_that_the_provider_does_not_confirm_is_not_taken(
    app: RunningApp, provider: FakeProvider
) -> None:
    ref = await hosted_job(app)
    provider.faults.append(AnswerLost("cut"))
    await run_once(app, ref)
    provider.answers["invented"] = RequestUnknown(PROVIDER_FAILED)
    assert (await call_back(app, address(provider), "invented")).status_code == 200
    await run_once(app, ref)
    [stored] = await submissions(app, ref)
    assert (stored["status"], stored["provider_job_id"]) == ("INTENDED", None)


async def test_a_callback_settles_a_refused_request_whose_answer_was_lost(
    app: RunningApp, provider: FakeProvider
) -> None:
    """It is not repeated: the provider has refused it for good."""
    ref = await hosted_job(app)
    provider.faults.append(AnswerLost("cut"))
    await run_once(app, ref)
    provider.answers["fake-1"] = ProviderFailed(CONTENT_REFUSED, cost=COST)
    assert (await call_back(app, address(provider))).status_code == 200
    await run_once(app, ref)
    await run_once(app, ref)
    [stored] = await submissions(app, ref)
    assert (stored["status"], stored["amount_micros"]) == ("FAILED", COST.amount_micros)
    assert (await failure_code(app, ref), len(provider.requests)) == (CONTENT_REFUSED.code, 1)


async def test_a_callback_during_a_poll_stays_due(app: RunningApp, provider: FakeProvider) -> None:
    """The answer of the poll is older than it."""
    ref = await hosted_job(app)
    await run_once(app, ref)
    poll = provider.poll

    async def report_meanwhile(job: ProviderJob) -> Running | Finished:
        answer = await poll(job)
        assert (await call_back(app, address(provider))).status_code == 200
        return answer

    provider.poll = report_meanwhile  # type: ignore[method-assign]
    await app.execute("UPDATE submissions SET wake_at = now()")
    assert await poller_of(app).look() == 1
    assert await is_due(app, ref)
    await app.execute("UPDATE submissions SET wake_at = now() + interval '1 hour'")
    await run_once(app, ref)
    assert await is_due(app, ref), "also if the job has asked"


async def test_a_named_job_of_another_request_is_not_taken(
    app: RunningApp, provider: FakeProvider
) -> None:
    """Or one shop's picture would end up in another's job."""
    others = await hosted_job(app, shop=OTHER_SHOP)
    await run_once(app, others)
    ref = await hosted_job(app)
    provider.faults.append(AnswerLost("cut"))
    await run_once(app, ref)
    assert (await call_back(app, address(provider, 1), "fake-1")).status_code == 200
    await run_once(app, ref)
    [stored] = await submissions(app, ref)
    assert (stored["status"], stored["provider_job_id"]) == ("INTENDED", None)


async def test_a_callback_about_another_job_of_the_provider_changes_nothing(
    app: RunningApp, provider: FakeProvider
) -> None:
    ref = await hosted_job(app)
    await run_once(app, ref)
    await app.execute("UPDATE submissions SET wake_at = now() + interval '1 hour'")
    assert (await call_back(app, address(provider), "fake-2")).status_code == 200
    assert not await is_due(app, ref)


async def test_a_wrong_token_is_the_same_404_whatever_is_wrong(
    app: RunningApp, provider: FakeProvider
) -> None:
    ref = await hosted_job(app)
    await run_once(app, ref)
    await app.execute("UPDATE submissions SET wake_at = now() + interval '1 hour'")
    path = urlsplit(address(provider)).path
    head, _, token = path.rpartition("/")
    other = msgspec.structs.replace(TOKEN, provider="other")
    wrong = [
        f"{head}/{token[:-2]}",
        f"{head}/{'A' * 400}",
        f"{head}/{sign_callback(TOKEN, b'another secret')}",
        f"/callbacks/other/{token}",
        f"/callbacks/other/{sign_callback(other, SECRET.encode())}",
        f"{head}/%00",
    ]
    answers = [await app.http.post(each, content=b'{"id": "fake-1"}') for each in wrong]
    assert {refusal(answer) for answer in answers} == {(404, "NOT_FOUND")}
    bodies = [answer.json()["error"]["message"] for answer in answers]
    assert len(set(bodies)) == 1
    assert not await is_due(app, ref)


async def test_a_bad_signature_is_a_401_and_changes_nothing(
    app: RunningApp, provider: FakeProvider
) -> None:
    ref = await hosted_job(app)
    await run_once(app, ref)
    await app.execute("UPDATE submissions SET wake_at = now() + interval '1 hour'")
    answer = await call_back(app, address(provider), headers={"X-Signature": "forged"})
    assert refusal(answer) == (401, "UNAUTHENTICATED")
    assert not await is_due(app, ref)


async def test_a_callback_that_cannot_be_verified_now_is_a_503(
    app: RunningApp, provider: FakeProvider
) -> None:
    ref = await hosted_job(app)
    await run_once(app, ref)

    async def away(_headers: Mapping[str, str], _body: bytes) -> str:
        raise ProviderUnavailable("its keys")

    provider.callback = away  # type: ignore[method-assign,assignment]
    assert refusal(await call_back(app, address(provider))) == (503, "UNAVAILABLE")


@pytest.mark.parametrize("job_id", ["", "x" * 501, "a\0b"], ids=["empty", "long", "NUL"])
async def test_an_impossible_id_is_refused(
    app: RunningApp, provider: FakeProvider, job_id: str
) -> None:
    ref = await hosted_job(app)
    provider.faults.append(AnswerLost("cut"))
    await run_once(app, ref)
    assert refusal(await call_back(app, address(provider), job_id)) == (400, "BAD_REQUEST")


async def test_a_body_beyond_the_limit_is_refused(app: RunningApp, provider: FakeProvider) -> None:
    ref = await hosted_job(app)
    await run_once(app, ref)
    path = urlsplit(address(provider)).path
    body = b'{"id": "fake-1"}' + b" " * routes.MAX_CALLBACK_BYTES
    assert (await app.http.post(path, content=body)).status_code == 413


async def test_callbacks_are_limited_for_each_shop(
    app: RunningApp, monkeypatch: pytest.MonkeyPatch
) -> None:
    paths = [
        f"/callbacks/fake/{sign_callback(token, SECRET.encode())}"
        for token in (TOKEN, TOKEN, msgspec.structs.replace(TOKEN, shop=OTHER_SHOP))
    ]
    monkeypatch.setattr(routes, "CALLBACK_RATE", "1/minute")
    async with app_with(app) as limited:
        answers = [await limited.http.post(path, content=b'{"id": "fake-1"}') for path in paths]
    assert [answer.status_code for answer in answers] == [200, 429, 200]


async def test_a_token_of_a_shop_reaches_no_submission_of_another(
    app: RunningApp, provider: FakeProvider
) -> None:
    """Even one that we had signed by mistake: the web process has entered the token's shop."""
    await app.install(OTHER_SHOP)
    ref = await hosted_job(app)
    await run_once(app, ref)
    await app.execute("UPDATE submissions SET wake_at = now() + interval '1 hour'")
    mixed = CallbackToken(
        shop=OTHER_SHOP,
        shop_id=ref.shop_id,
        job_id=ref.public_id,
        stage=STAGE,
        number=1,
        provider="fake",
    )
    path = f"/callbacks/fake/{sign_callback(mixed, SECRET.encode())}"
    assert (await app.http.post(path, content=b'{"id": "fake-1"}')).status_code == 200
    assert not await is_due(app, ref)


def test_a_token_is_read_as_it_was_signed_also_with_the_previous_secret() -> None:
    secrets = (SECRET.encode(), PREVIOUS_SECRET.encode())
    for secret in secrets:
        assert verify_callback(sign_callback(TOKEN, secret), "fake", secrets) == TOKEN
    assert verify_callback(sign_callback(TOKEN, secrets[1]), "fake", secrets[:1]) is None


def test_a_changed_token_is_not_ours() -> None:
    signed = sign_callback(TOKEN, SECRET.encode())
    for position in range(len(signed) - 1):
        other = "A" if signed[position] != "A" else "B"
        changed = signed[:position] + other + signed[position + 1 :]
        assert verify_callback(changed, "fake", [SECRET.encode()]) is None
