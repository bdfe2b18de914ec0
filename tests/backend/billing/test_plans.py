"""The plans file: everything is checked at start, and each problem says what to do."""

import json
import os
import subprocess
import sys
from decimal import Decimal
from pathlib import Path

import msgspec
import pytest
import structlog

from backend.billing.plans import price_list, read_plans_file, require_billing_settings
from backend.errors import ConfigurationError
from backend.settings import Settings
from backend.shops.admin_api import AdminApi
from backend.shops.partner_api import partner_api
from backend.shops.token_encryption import generate_key
from tests.prepaid_apps import MANAGED

EXAMPLE = Path(__file__).parents[3] / "deploy/plans.toml"
PLAN: dict[str, object] = {"handle": "pro", "name": "Pro", "price": "9.00", "credits": 10}


@pytest.fixture
def settings_without_services() -> Settings:
    """Of a deployment that is not there."""
    return Settings(
        database_url="postgresql://atelier@127.0.0.1:9/atelier",
        s3_bucket="b",
        shopify_api_key="k",
        shopify_api_secret="s",
    )


def problems(tmp_path: Path, document: object) -> str:
    """What is said about a JSON file with this content."""
    path = tmp_path / "plans.json"
    path.write_text(json.dumps(document))
    with pytest.raises(ConfigurationError) as refused:
        read_plans_file(path)
    return str(refused.value)


def test_the_example_is_valid() -> None:
    found = read_plans_file(EXAMPLE)
    assert [plan.handle for plan in found.plans] == ["starter", "studio", "studio-annual"]
    assert found.plans[0].price == Decimal("9.00")
    assert found.plans[2].interval == "ANNUAL"
    assert [pack.credits for pack in found.packs] == [100, 1000]


def test_a_json_file_may_have_numbers_as_prices(tmp_path: Path) -> None:
    path = tmp_path / "plans.json"
    path.write_text('{"packs": [{"handle": "p", "name": "Pp", "price": 0.50, "credits": 5}]}')
    assert read_plans_file(path).packs[0].price == Decimal("0.50")


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"price": "0.49"}, "plans[0].price: must be a number from 0.50"),
        ({"price": 9.005}, "plans[0].price"),
        ({"price": "NaN"}, "plans[0].price"),
        ({"price": "1e-999999999"}, "plans[0].price"),
        ({"price": True}, "plans[0].price"),
        ({"currency": "usd"}, "plans[0].currency: must be three capital letters"),
        ({"interval": "MONTHLY"}, 'plans[0].interval: must be "EVERY_30_DAYS" or "ANNUAL"'),
        ({"credits": 0}, "plans[0].credits: must be a whole number of at least 1"),
        ({"handle": "Pro Plan"}, "plans[0].handle: must be lower-case"),
        ({"name": "two\nlines"}, "plans[0].name: must be a text"),
        ({"trial_days": 7}, "plan pro: set both trial_days and trial_credits, or neither"),
        ({"credit": 5}, "plans[0].credit: is not known; use handle, name"),
    ],
)
def test_a_wrong_field_is_named(tmp_path: Path, change: dict[str, object], said: str) -> None:
    assert said in problems(tmp_path, {"plans": [{**PLAN, **change}]})


def test_all_problems_are_told_at_once(tmp_path: Path) -> None:
    said = problems(
        tmp_path,
        {
            "plans": [PLAN, {**PLAN, "name": "Other"}, {"handle": "x"}],
            "packs": "none",
            "plan": [],
        },
    )
    for each in (
        "plan: is not known",
        "plans[1].handle: is used twice",
        "plans[2].name: is missing",
        "plans[2].price: is missing",
        "packs: must be a list",
    ):
        assert each in said
    assert said.count("\n  ") == 6


def test_a_file_that_sells_nothing_is_refused(tmp_path: Path) -> None:
    assert "neither plans nor packs" in problems(tmp_path, {})


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match=r"absent\.toml cannot be read"):
        read_plans_file(tmp_path / "absent.toml")


def test_a_file_that_is_no_toml_is_named(tmp_path: Path) -> None:
    path = tmp_path / "plans.toml"
    path.write_text("[[plans]\n")
    with pytest.raises(ConfigurationError, match=r"is not valid TOML: "):
        read_plans_file(path)


def test_what_cannot_be_sold_is_refused_at_start(settings_without_services: Settings) -> None:
    for changes, said in (
        ({"billing": "manual"}, "BILLING=manual needs PLANS_FILE"),
        ({"billing": "manual", "plans_file": "/absent.toml"}, "cannot be read"),
        ({"billing": "app_pricing"}, "BILLING=app_pricing needs PLANS_FILE"),
        (
            {"billing": "app_pricing", "plans_file": str(EXAMPLE), "partner_app_id": "7"},
            "needs SHOPIFY_APP_HANDLE, PARTNER_ORGANIZATION_ID, PARTNER_API_TOKEN",
        ),
        (
            {**MANAGED, "plans_file": str(EXAMPLE), "shopify_app_handle": "my/app"},
            "SHOPIFY_APP_HANDLE must be",
        ),
    ):
        with pytest.raises(ConfigurationError, match=said):
            require_billing_settings(msgspec.structs.replace(settings_without_services, **changes))


def test_app_pricing_needs_plans_and_leaves_packs_out(
    settings_without_services: Settings, tmp_path: Path
) -> None:
    file = tmp_path / "plans.json"
    settings = msgspec.structs.replace(
        settings_without_services, **{**MANAGED, "plans_file": str(file)}
    )
    file.write_text(json.dumps({"packs": [PLAN]}))
    with pytest.raises(ConfigurationError, match="sells plans only"):
        require_billing_settings(settings)
    unpriced = {"handle": "pro", "name": "Pro", "credits": 10}
    file.write_text(json.dumps({"plans": [unpriced], "packs": [PLAN]}))
    with structlog.testing.capture_logs() as logged:
        require_billing_settings(settings)
    assert [(line["event"], line["packs"]) for line in logged] == [("packs_not_sold", ["pro"])]
    sold = price_list(settings)
    assert [(plan.handle, plan.price) for plan in sold.plans] == [("pro", None)]
    assert sold.packs == ()


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"partner_app_id": "my-app"}, "PARTNER_APP_ID must be a number"),
        ({"partner_organization_id": "acme"}, "PARTNER_ORGANIZATION_ID must be a number"),
        ({"partner_api_token": ""}, "needs PARTNER_API_TOKEN too"),
    ],
)
def test_a_wrong_setting_of_the_partner_api_is_named(
    settings_without_services: Settings, change: dict[str, str], said: str
) -> None:
    given = {"token_keys": generate_key(), **MANAGED, **change}
    settings = msgspec.structs.replace(settings_without_services, **given)
    with pytest.raises(ConfigurationError, match=said):
        partner_api(settings, AdminApi(settings, None))


def test_an_app_that_charges_nothing_needs_no_file(settings_without_services: Settings) -> None:
    require_billing_settings(settings_without_services)


@pytest.mark.slow
def test_no_process_starts_with_a_wrong_plans_file(tmp_path: Path) -> None:
    path = tmp_path / "plans.toml"
    path.write_text(EXAMPLE.read_text().replace('"9.00"', '"0.10"'))
    environment = {
        "PATH": os.environ["PATH"],
        "PYTHONPATH": os.environ.get("PYTHONPATH", ""),
        "DATABASE_URL": "postgresql://atelier@127.0.0.1:9/atelier",
        "S3_BUCKET": "b",
        "SHOPIFY_API_KEY": "k",
        "SHOPIFY_API_SECRET": "a-secret-that-nobody-knows",
        "TOKEN_KEYS": generate_key(),
        "BILLING": "manual",
        "PLANS_FILE": str(path),
    }
    for command in ("serve", "worker"):
        ended = subprocess.run(
            [sys.executable, "-m", "backend.cli", command],
            env=environment,
            capture_output=True,
            text=True,
            check=False,
        )
        assert ended.returncode != 0
        assert "plans[0].price: must be a number from 0.50" in ended.stderr
