"""The reference deployment in `deploy/` matches the code; `make faults` tests its behaviour."""

import configparser
import json
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from backend.app import KEEP_ALIVE, MAX_BODY
from backend.settings import Settings
from backend.storage.erasures import ERASURES
from backend.storage.keys import PREFIX, UPLOADS
from backend.uploads.form import MAX_BODY as MAX_UPLOAD
from tests.running_app import RunningApp
from tests.source_tree import ROOT, litestar_app
from webhooks.routes import MAX_BODY as MAX_DELIVERY

DEPLOY = ROOT / "deploy"
SITE = (DEPLOY / "nginx" / "site.conf").read_text()
HTTP = (DEPLOY / "nginx" / "http.conf").read_text()
SERVICES = sorted((DEPLOY / "systemd").glob("*.service"))
# Those of these that a unit leaves out, it has to leave out here as well.
HARDENING = {
    "NoNewPrivileges": "yes",
    "DynamicUser": "yes",
    "ProtectSystem": "strict",
    "ProtectHome": "yes",
    "PrivateTmp": "yes",
    "PrivateDevices": "yes",
    "CapabilityBoundingSet": "",
    "RestrictAddressFamilies": "AF_UNIX AF_INET AF_INET6",
    "RestrictNamespaces": "yes",
}


def locations() -> dict[str, str]:
    """What nginx passes on, by the beginning of the path; and how."""
    found = re.findall(r"^    location (/\S+) \{\n(.*?)^    \}", SITE, re.MULTILINE | re.DOTALL)
    return {path: body for path, body in found if "proxy_pass" in body}


def test_nginx_serves_each_route_of_the_app(settings: Settings) -> None:
    beginnings = tuple(locations())
    paths = [route.path for route in litestar_app(settings).routes]
    unserved = [path for path in paths if not path.startswith(beginnings)]
    assert unserved == []


@pytest.mark.parametrize(
    ("path", "limit"), [("/v1/uploads", MAX_UPLOAD), ("/webhooks", MAX_DELIVERY)]
)
def test_nginx_lets_through_what_a_route_takes_and_no_more(path: str, limit: int) -> None:
    assert f"client_max_body_size {limit};" in locations()[path]


def test_nginx_lets_through_what_other_routes_take_and_no_more() -> None:
    others = set(locations()) - {"/v1/uploads", "/webhooks"}
    assert f"\n    client_max_body_size {MAX_BODY};" in SITE
    assert not any("client_max_body_size" in locations()[path] for path in others)


def test_nginx_lets_go_of_a_connection_before_the_app_does_and_waits_out_a_long_poll() -> None:
    kept = re.search(r"^    keepalive_timeout (\d+)s;", HTTP, re.MULTILINE)
    waits = re.search(r"^    proxy_read_timeout (\d+)s;", SITE, re.MULTILINE)
    assert kept and int(kept[1]) < KEEP_ALIVE
    assert waits and int(waits[1]) > 25


@pytest.mark.parametrize("unit", SERVICES, ids=lambda unit: unit.name)
def test_a_unit_is_hardened_and_holds_no_secret(unit: Path) -> None:
    parser = configparser.RawConfigParser(strict=False)
    parser.optionxform = str  # type: ignore[assignment, method-assign]
    parser.read(unit)
    service = dict(parser["Service"])
    assert {name: service.get(name) for name in HARDENING} == HARDENING
    assert "Environment" not in service
    assert service["ExecStart"].startswith("/opt/atelier/.venv/bin/atelier ")


@pytest.mark.skipif(not shutil.which("systemd-analyze"), reason="needs systemd")
def test_systemd_understands_every_line_of_the_units() -> None:
    units = sorted((DEPLOY / "systemd").iterdir())
    found = subprocess.run(
        ["systemd-analyze", "verify", *units], capture_output=True, text=True, check=False
    )
    missing = "Command /opt/atelier/.venv/bin/atelier is not executable: No such file or directory"
    complaints = [line for line in found.stderr.splitlines() if not line.endswith(missing)]
    assert complaints == []


@pytest.mark.skipif(not shutil.which("systemd-analyze"), reason="needs systemd")
@pytest.mark.parametrize("unit", SERVICES, ids=lambda unit: unit.name)
def test_systemd_finds_little_that_a_unit_could_do_to_its_machine(unit: Path) -> None:
    command = ["systemd-analyze", "security", "--offline=true", "--threshold=20", str(unit)]
    found = subprocess.run(command, capture_output=True, text=True, check=False)
    assert found.returncode == 0, found.stdout[-200:]


@pytest.mark.parametrize("role", ["web", "worker"])
def test_a_policy_names_the_prefixes_of_the_code_and_no_wildcard_of_deeds(role: str) -> None:
    policy = json.loads((DEPLOY / "s3" / f"{role}.json").read_text())
    named = json.dumps(policy)
    assert "s3:*" not in named
    resources = set(re.findall(r"arn:aws:s3:::atelier-example/([^\"]*)", named))
    of_worker = {f"{ERASURES}*"} if role == "worker" else set()
    assert resources == {f"{PREFIX}*", f"{UPLOADS}*"} | of_worker


def test_nothing_of_ours_expires_by_its_age() -> None:
    """What goes when is the database's to say; the bucket only forgets what is overwritten."""
    rules = json.loads((DEPLOY / "s3" / "lifecycle.json").read_text())["Rules"]
    assert not any("Days" in rule.get("Expiration", {}) for rule in rules)


async def test_the_queries_of_the_operators_manual_run(running_app: RunningApp) -> None:
    manual = (ROOT / "docs" / "operations.md").read_text()
    [block] = re.findall(r"```sql\n(.*?)```", manual, re.DOTALL)
    queries = [query for query in block.split(";") if query.strip()]
    assert queries
    for query in queries:
        await running_app.rows(query)
