"""URLs that are botocore's own, byte for byte, and stay the same for as long as their window."""

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any
from urllib.parse import quote

import pytest
from botocore.auth import SIGV4_TIMESTAMP, S3SigV4QueryAuth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from backend.settings import Settings
from backend.storage.presign import LIFETIME, WINDOW, Presigner, Signer

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
    BotocoreAt(credentials, "s3", "eu-central-1", expires=LIFETIME).add_auth(request)
    return str(request.url)


@pytest.mark.parametrize("base", BASES)
@pytest.mark.parametrize("credentials", CREDENTIALS, ids=["user", "role"])
@hypothesis_settings(max_examples=20)
@given(
    key=st.text(st.characters(codec="utf-8", exclude_characters="/"), min_size=1, max_size=40),
    content_type=st.sampled_from(["image/jpeg", "image/svg+xml", "text/plain; charset=utf-8"]),
    filename=st.text(st.characters(codec="utf-8"), max_size=20),
)
def test_a_url_is_the_one_that_botocore_signs(
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


def test_a_url_stays_the_same_within_its_window_and_then_changes(presigner_at: Any) -> None:
    presigner, times = presigner_at(10 * WINDOW)
    first = presigner.sign("artifacts/a.jpg", "image/jpeg")
    times[0] = 11 * WINDOW - 1
    assert presigner.sign("artifacts/a.jpg", "image/jpeg") == first
    assert first.expires_at.timestamp() - times[0] >= 600, "ten minutes are left at the very end"
    times[0] = 11 * WINDOW
    assert presigner.sign("artifacts/a.jpg", "image/jpeg").url != first.url


def test_one_key_is_signed_for_each_type_on_its_own(presigner_at: Any) -> None:
    presigner, _ = presigner_at(10 * WINDOW)
    jpeg = presigner.sign("artifacts/a", "image/jpeg").url
    assert presigner.sign("artifacts/a", "image/png").url != jpeg
    assert presigner.sign("artifacts/a", "image/jpeg").url == jpeg
