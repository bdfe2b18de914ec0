"""Settings: what is missing or unsafe is refused with a sentence that says what to set."""

from datetime import UTC, datetime
from pathlib import Path
from urllib.parse import urlencode

import pytest

from backend.errors import ConfigurationError
from backend.settings import Settings
from tests.commands import COMPLETE_ENVIRONMENT

CURRENT = COMPLETE_ENVIRONMENT["SHOPIFY_API_SECRET"].encode()
ROTATION = {
    "SHOPIFY_API_SECRET_PREVIOUS": "older",
    "SHOPIFY_API_SECRET_PREVIOUS_NOT_AFTER": "2026-11-25T12:00:00Z",
}
NOON = datetime(2026, 11, 25, 12, tzinfo=UTC).timestamp()


def test_the_required_settings_are_enough() -> None:
    settings = Settings.from_env(COMPLETE_ENVIRONMENT)
    settings.require_real_secrets()
    assert settings.shopify_secrets(NOON) == (CURRENT,)


@pytest.mark.parametrize("name", COMPLETE_ENVIRONMENT)
@pytest.mark.parametrize("blank", ["", "   ", None])
def test_each_missing_or_blank_setting_is_named(name: str, blank: str | None) -> None:
    environ = {key: value for key, value in COMPLETE_ENVIRONMENT.items() if key != name}
    if blank is not None:
        environ[name] = blank
    with pytest.raises(ConfigurationError, match=name):
        Settings.from_env(environ)


@pytest.mark.parametrize(
    "secret", ["secret", "hush", "CHANGEME", "atelier-demo-0123456789abcdef0123456789abcdef"]
)
@pytest.mark.parametrize("name", ["SHOPIFY_API_SECRET", "SHOPIFY_API_SECRET_PREVIOUS"])
def test_a_well_known_secret_is_refused(name: str, secret: str) -> None:
    with pytest.raises(ConfigurationError, match=rf"{name} is a demo value\. Set it to"):
        Settings.from_env({**COMPLETE_ENVIRONMENT, **ROTATION, name: secret}).require_real_secrets()


@pytest.mark.parametrize("name", ["SHOPIFY_API_SECRET", "SHOPIFY_API_SECRET_PREVIOUS"])
def test_a_secret_that_is_too_short_is_refused(name: str) -> None:
    environ = {**COMPLETE_ENVIRONMENT, **ROTATION, name: "0123456789abcde"}
    with pytest.raises(ConfigurationError, match=f"{name} is too short.*16") as refused:
        Settings.from_env(environ).require_real_secrets()
    assert environ[name] not in refused.value.message
    long = {**environ, "SHOPIFY_API_SECRET_PREVIOUS": "0123456789abcdef", name: "0123456789abcdef"}
    Settings.from_env(long).require_real_secrets()


@pytest.mark.parametrize(
    ("name", "value"),
    [("DATABASE_URL", "mysql://localhost/x"), ("S3_ENDPOINT_URL", "localhost:9000")],
)
def test_a_url_of_the_wrong_scheme_is_refused(name: str, value: str) -> None:
    with pytest.raises(ConfigurationError, match=name):
        Settings.from_env({**COMPLETE_ENVIRONMENT, name: value})


@pytest.mark.parametrize(
    "parameters", ["sslmode", "sslmode=", "sslmode=require&", "&sslmode=require", "=require"]
)
def test_a_parameter_of_the_database_without_a_value_is_refused(parameters: str) -> None:
    environ = {**COMPLETE_ENVIRONMENT, "DATABASE_URL": f"postgresql://a:b@host/c?{parameters}"}
    with pytest.raises(ConfigurationError, match="DATABASE_URL has a parameter without a value"):
        Settings.from_env(environ)


def test_the_end_of_a_password_is_not_repeated() -> None:
    environ = {**COMPLETE_ENVIRONMENT, "DATABASE_URL": "postgresql://user:12?canary@host/a"}
    with pytest.raises(ConfigurationError, match="of the password as %3F") as refused:
        Settings.from_env(environ)
    assert "canary" not in refused.value.message


@pytest.mark.parametrize("name", ["sslrootcert", "sslcert", "sslkey", "sslcrl"])
def test_a_file_of_the_database_that_cannot_be_read_is_named(name: str, tmp_path: Path) -> None:
    file = tmp_path / "a file"
    for missing in (file, tmp_path, tmp_path / ("a" * 300)):
        environ = {**COMPLETE_ENVIRONMENT, "DATABASE_URL": url_with_file(name, missing)}
        with pytest.raises(ConfigurationError, match=f"cannot be read: {name}={missing}[.]"):
            Settings.from_env(environ)
    file.write_text("a certificate")
    Settings.from_env({**COMPLETE_ENVIRONMENT, "DATABASE_URL": url_with_file(name, file)})


def url_with_file(name: str, file: Path) -> str:
    """A URL of Postgres with a parameter that names the file."""
    return f"postgresql://a:b@host/c?sslmode=verify-full&{urlencode({name: file})}"


def test_an_unknown_kind_of_billing_is_answered_with_those_there_are() -> None:
    with pytest.raises(ConfigurationError) as refused:
        Settings.from_env({**COMPLETE_ENVIRONMENT, "BILLING": "maual"})
    expected = "BILLING is invalid: it must be one of none, manual, app_pricing."
    assert refused.value.message == expected


@pytest.mark.parametrize(
    ("billing", "is_prepaid"), [("", False), ("none", False), ("manual", True)]
)
def test_jobs_are_paid_with_credits_unless_nobody_charges(billing: str, is_prepaid: bool) -> None:
    environ = {**COMPLETE_ENVIRONMENT, "BILLING": billing}
    assert Settings.from_env(environ).quotas.prepaid == is_prepaid


def test_settings_do_not_appear_in_their_repr() -> None:
    settings = Settings.from_env({**COMPLETE_ENVIRONMENT, "TOKEN_KEYS": "a:b"})
    assert repr(settings) == "Settings(…)"


def test_the_previous_secret_is_valid_until_its_end() -> None:
    settings = Settings.from_env({**COMPLETE_ENVIRONMENT, **ROTATION})
    assert settings.shopify_secrets(NOON - 0.001) == (CURRENT, b"older")
    assert settings.shopify_secrets(NOON) == (CURRENT,)


@pytest.mark.parametrize("not_after", ["", "soon", "2026-11-25T12:00:00", "2026-11-25"])
def test_a_previous_secret_needs_an_end_with_a_time_zone(not_after: str) -> None:
    environ = {
        **COMPLETE_ENVIRONMENT,
        **ROTATION,
        "SHOPIFY_API_SECRET_PREVIOUS_NOT_AFTER": not_after,
    }
    with pytest.raises(ConfigurationError, match=r"(?i)shopify_api_secret_previous_not_after"):
        Settings.from_env(environ)


def test_a_previous_secret_without_an_end_is_not_used() -> None:
    """However the settings were made."""
    settings = Settings(
        database_url="",
        s3_bucket="",
        shopify_api_key="key",
        shopify_api_secret="newer",
        shopify_api_secret_previous="older",
    )
    assert settings.shopify_secrets(NOON) == (b"newer",)


def test_a_setting_of_the_wrong_type_is_named_but_not_shown() -> None:
    with pytest.raises(ConfigurationError, match="STOREFRONT_DAILY_CAP") as caught:
        Settings.from_env({**COMPLETE_ENVIRONMENT, "STOREFRONT_DAILY_CAP": "a-secret-by-mistake"})
    assert "mistake" not in caught.value.message
