"""URLs that are botocore's own, byte for byte, and stay the same for as long as their window."""

import asyncio
import threading
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import quote

import boto3
import pytest
from botocore.auth import SIGV4_TIMESTAMP, S3SigV4QueryAuth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials, RefreshableCredentials
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from backend.settings import Settings
from backend.storage import presign
from backend.storage.presign import SIGNING_WINDOW, URL_LIFETIME, Presigner, Signer
from tests.wait import wait_until

AT = datetime(2026, 11, 25, 12, 35, tzinfo=UTC)
BASES = [
    "https://pictures.s3.eu-central-1.amazonaws.com",
    "http://127.0.0.1:9000/pictures",
    "https://s3.example.com:443/pictures",
    "http://s3.example.com:80/deep/pictures",
    "https://S3.Example.com/pictures",
]
CREDENTIALS = [
    Credentials("AKIDEXAMPLE", "secret/with+signs="),
    Credentials("ASIAEXAMPLE", "another", token="a token/with+signs=="),
]


class BotocoreAt(S3SigV4QueryAuth):
    """botocore's signer with the clock held still."""

    def add_auth(self, request: AWSRequest) -> None:
        """The steps of its own, at `AT` rather than now."""
        signer: Any = self
        request.context["timestamp"] = AT.strftime(SIGV4_TIMESTAMP)
        signer._modify_request_before_signing(request)
        text = self.string_to_sign(request, self.canonical_request(request))
        signer._inject_signature_to_request(request, self.signature(text, request))


def by_botocore(
    credentials: Credentials, base: str, key: str, content_type: str, filename: str
) -> str:
    """The URL as botocore signs it."""
    request = AWSRequest(
        method="GET",
        url=f"{base}/{quote(key)}",
        params={
            "response-content-type": content_type,
            "response-content-disposition": f'inline; filename="{filename}"',
        },
    )
    BotocoreAt(credentials, "s3", "eu-central-1", expires=URL_LIFETIME).add_auth(request)
    return str(request.url)


@pytest.mark.parametrize("base", BASES)
@pytest.mark.parametrize("credentials", CREDENTIALS, ids=["user", "role"])
@hypothesis_settings(max_examples=20)
@given(
    key=st.text(st.characters(codec="utf-8", exclude_characters="/"), min_size=1, max_size=40),
    content_type=st.sampled_from(["image/jpeg", "image/svg+xml", "text/plain; charset=utf-8"]),
    filename=st.text(st.characters(codec="utf-8"), max_size=20),
)
def test_a_url_equals_the_one_botocore_signs(
    base: str, credentials: Credentials, key: str, content_type: str, filename: str
) -> None:
    signer = Signer(credentials.get_frozen_credentials(), region="eu-central-1", base=base, at=AT)
    ours = signer.url(f"artifacts/{key}", content_type=content_type, filename=filename)
    theirs = by_botocore(credentials, base, f"artifacts/{key}", content_type, filename)
    assert ours == theirs


@pytest.fixture
def presigner_at(settings: Settings) -> Callable[[float], tuple[Presigner, list[float]]]:
    """A presigner and its clock, which stands still until it is set."""

    def made(now: float) -> tuple[Presigner, list[float]]:
        times = [now]
        return Presigner(settings, clock=lambda: times[0]), times

    return made


def test_a_url_is_stable_within_its_window_and_then_changes(presigner_at: Any) -> None:
    presigner, times = presigner_at(10 * SIGNING_WINDOW)
    first = presigner.sign("artifacts/a.jpg", "image/jpeg")
    times[0] = 11 * SIGNING_WINDOW - 1
    assert presigner.sign("artifacts/a.jpg", "image/jpeg") == first
    assert first.expires_at.timestamp() - times[0] >= 600, "ten minutes are left at the very end"
    times[0] = 11 * SIGNING_WINDOW
    assert presigner.sign("artifacts/a.jpg", "image/jpeg").url != first.url


def test_one_key_is_signed_separately_for_each_content_type(presigner_at: Any) -> None:
    presigner, _ = presigner_at(10 * SIGNING_WINDOW)
    jpeg = presigner.sign("artifacts/a", "image/jpeg").url
    assert presigner.sign("artifacts/a", "image/png").url != jpeg
    assert presigner.sign("artifacts/a", "image/jpeg").url == jpeg


class Role:
    """An instance role whose credentials are about to end, and which is slow to give others."""

    def __init__(self) -> None:
        self.threads: list[int] = []
        self.grant = threading.Event()
        self.credentials: Any = RefreshableCredentials.create_from_metadata(
            self.metadata("FIRST", minutes=60), refresh_using=self.refresh, method="test"
        )

    def metadata(self, name: str, *, minutes: int) -> dict[str, str]:
        """As the instance's metadata service answers."""
        ends_at = datetime.now(UTC) + timedelta(minutes=minutes)
        return {
            "access_key": f"ASIA{name}",
            "secret_key": "secret",
            "token": "token",
            "expiry_time": ends_at.isoformat(),
        }

    def refresh(self) -> dict[str, str]:
        """A call over the network, in the thread that wants it."""
        self.threads.append(threading.get_ident())
        assert self.grant.wait(10)
        return self.metadata("SECOND", minutes=60)

    def is_about_to_end(self) -> None:
        """Five minutes are left: botocore lets nobody sign without other credentials."""
        self.credentials._expiry_time = datetime.now(UTC) + timedelta(minutes=5)


async def test_a_slow_credential_renewal_does_not_block_the_loop(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    role = Role()
    monkeypatch.setattr(boto3.Session, "get_credentials", lambda _self: role.credentials)
    monkeypatch.setattr(presign, "RENEWAL_INTERVAL", 0.01)
    times = [10 * SIGNING_WINDOW]
    presigner = Presigner(settings, clock=lambda: times[0])
    role.is_about_to_end()
    async with presigner.renewing():
        await wait_until(lambda: role.threads, 5)
        assert "ASIAFIRST" in presigner.sign("artifacts/a", "image/png").url
        assert threading.get_ident() not in role.threads, "where all requests are answered"
        role.grant.set()
        await wait_until(lambda: presigner.frozen.access_key == "ASIASECOND", 5)
        times[0] += SIGNING_WINDOW
        assert "ASIASECOND" in presigner.sign("artifacts/a", "image/png").url
    assert threading.get_ident() not in role.threads


async def test_a_failed_credential_renewal_is_retried_while_urls_are_signed(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    role = Role()
    monkeypatch.setattr(boto3.Session, "get_credentials", lambda _self: role.credentials)
    monkeypatch.setattr(presign, "RENEWAL_INTERVAL", 0.01)
    presigner = Presigner(settings)
    role.is_about_to_end()
    role.grant.set()
    answers: list[Any] = [OSError("no route to the metadata service"), role.refresh()]

    def refresh() -> Any:
        answer = answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer

    role.credentials._refresh_using = refresh
    async with presigner.renewing(), asyncio.timeout(5):
        while presigner.frozen.access_key != "ASIASECOND":
            assert presigner.sign("artifacts/a", "image/png").url
            await asyncio.sleep(0.01)
    assert answers == []
