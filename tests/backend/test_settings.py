"""Settings: what is missing or unsafe is refused with a sentence that says what to set."""

import pytest

from backend.errors import ConfigurationError
from backend.settings import Settings

COMPLETE = {
    "DATABASE_URL": "postgresql://localhost/atelier",
    "S3_BUCKET": "atelier",
    "SHOPIFY_API_KEY": "key",
    "SHOPIFY_API_SECRET": "shpss_0123456789abcdef0123456789abcdef",
}


def test_the_minimum_is_enough() -> None:
    settings = Settings.from_env(COMPLETE)
    settings.require_real_secrets()
    assert settings.shopify_secrets == (COMPLETE["SHOPIFY_API_SECRET"].encode(),)


@pytest.mark.parametrize("name", COMPLETE)
@pytest.mark.parametrize("blank", ["", "   ", None])
def test_each_missing_or_blank_setting_is_named(name: str, blank: str | None) -> None:
    environ = {key: value for key, value in COMPLETE.items() if key != name}
    if blank is not None:
        environ[name] = blank
    with pytest.raises(ConfigurationError, match=name):
        Settings.from_env(environ)


@pytest.mark.parametrize(
    "secret", ["secret", "hush", "CHANGEME", "atelier-demo-0123456789abcdef0123456789abcdef"]
)
@pytest.mark.parametrize("name", ["SHOPIFY_API_SECRET", "SHOPIFY_API_SECRET_PREVIOUS"])
def test_a_secret_that_everybody_knows_is_refused(name: str, secret: str) -> None:
    with pytest.raises(ConfigurationError, match=rf"{name} is a demo value\. Set it to"):
        Settings.from_env({**COMPLETE, name: secret}).require_real_secrets()


@pytest.mark.parametrize(
    ("name", "value"),
    [("DATABASE_URL", "mysql://localhost/x"), ("S3_ENDPOINT_URL", "localhost:9000")],
)
def test_a_url_of_the_wrong_kind_is_refused(name: str, value: str) -> None:
    with pytest.raises(ConfigurationError, match=name):
        Settings.from_env({**COMPLETE, name: value})


def test_nothing_of_the_settings_is_in_their_repr() -> None:
    settings = Settings.from_env({**COMPLETE, "TOKEN_KEYS": "a:b"})
    assert repr(settings) == "Settings(…)"


def test_the_previous_secret_opens_the_doors_after_the_current_one() -> None:
    settings = Settings.from_env({**COMPLETE, "SHOPIFY_API_SECRET_PREVIOUS": "older"})
    assert settings.shopify_secrets == (COMPLETE["SHOPIFY_API_SECRET"].encode(), b"older")
