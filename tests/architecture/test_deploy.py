"""The reference deployment in `deploy/` matches the code; `make faults` tests its behaviour."""

import configparser
import json
import re
import shutil
import subprocess
import tomllib
from pathlib import Path

import msgspec
import pytest
import yaml
from packaging.specifiers import SpecifierSet

from backend.app import DEFAULT_MAX_BODY_BYTES, KEEP_ALIVE_SECONDS
from backend.imaging.weights import U2NETP_SHA256
from backend.settings import Settings
from backend.storage.erasures import ERASURES
from backend.storage.keys import ARTIFACT_PREFIX, UPLOAD_PREFIX
from backend.uploads.form import MAX_UPLOAD_BODY_BYTES as MAX_UPLOAD
from tests.running_app import RunningApp
from tests.source_tree import ROOT, litestar_app
from webhooks.routes import MAX_WEBHOOK_BYTES as MAX_DELIVERY

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
    """What nginx passes on, by a regular expression for the beginning of the path; and how."""
    found = re.findall(
        r"^    location (?:~ \^)?(/\S+) \{\n(.*?)^    \}", SITE, re.MULTILINE | re.DOTALL
    )
    return {path: body for path, body in found if "proxy_pass" in body}


def test_nginx_serves_every_route_of_the_app(settings: Settings) -> None:
    beginnings = [re.compile(path) for path in locations()]
    paths = [route.path for route in litestar_app(settings).routes]
    unserved = [path for path in paths if not any(each.match(path) for each in beginnings)]
    assert unserved == []


@pytest.mark.parametrize(
    ("path", "limit"), [("/v1/uploads", MAX_UPLOAD), ("/webhooks", MAX_DELIVERY)]
)
def test_nginx_has_the_routes_own_body_limit(path: str, limit: int) -> None:
    assert f"client_max_body_size {limit};" in locations()[path]


def test_nginx_has_the_default_body_limit_elsewhere() -> None:
    others = set(locations()) - {"/v1/uploads", "/webhooks", "/callbacks/"}
    assert f"\n    client_max_body_size {DEFAULT_MAX_BODY_BYTES};" in SITE
    assert not any("client_max_body_size" in locations()[path] for path in others)


def test_nginx_timeouts_fit_keep_alive_and_long_polls() -> None:
    kept = re.search(r"^    keepalive_timeout (\d+)s;", HTTP, re.MULTILINE)
    waits = re.search(r"^    proxy_read_timeout (\d+)s;", SITE, re.MULTILINE)
    assert kept and int(kept[1]) < KEEP_ALIVE_SECONDS
    assert waits and int(waits[1]) > 25


@pytest.mark.parametrize("unit", SERVICES, ids=lambda unit: unit.name)
def test_a_unit_is_hardened_and_contains_no_secret(unit: Path) -> None:
    parser = configparser.RawConfigParser(strict=False)
    parser.optionxform = str  # type: ignore[assignment, method-assign]
    parser.read(unit)
    service = dict(parser["Service"])
    assert {name: service.get(name) for name in HARDENING} == HARDENING
    assert "Environment" not in service
    assert service["ExecStart"].startswith("/opt/atelier/.venv/bin/atelier ")


@pytest.mark.skipif(not shutil.which("systemd-analyze"), reason="needs systemd")
def test_systemd_accepts_every_line_of_the_units() -> None:
    units = sorted((DEPLOY / "systemd").iterdir())
    found = subprocess.run(
        ["systemd-analyze", "verify", *units], capture_output=True, text=True, check=False
    )
    missing = "Command /opt/atelier/.venv/bin/atelier is not executable: No such file or directory"
    complaints = [line for line in found.stderr.splitlines() if not line.endswith(missing)]
    assert complaints == []


@pytest.mark.skipif(not shutil.which("systemd-analyze"), reason="needs systemd")
@pytest.mark.parametrize("unit", SERVICES, ids=lambda unit: unit.name)
def test_systemd_rates_the_units_as_safe(unit: Path) -> None:
    command = ["systemd-analyze", "security", "--offline=true", "--threshold=20", str(unit)]
    found = subprocess.run(command, capture_output=True, text=True, check=False)
    assert found.returncode == 0, found.stdout[-200:]


@pytest.mark.parametrize("role", ["web", "worker"])
def test_a_bucket_policy_names_only_our_prefixes_and_no_wildcard_action(role: str) -> None:
    policy = json.loads((DEPLOY / "s3" / f"{role}.json").read_text())
    named = json.dumps(policy)
    assert "s3:*" not in named
    resources = set(re.findall(r"arn:aws:s3:::atelier-example/([^\"]*)", named))
    of_worker = {f"{ERASURES}*"} if role == "worker" else set()
    assert resources == {f"{ARTIFACT_PREFIX}*", f"{UPLOAD_PREFIX}*"} | of_worker


def test_the_bucket_lifecycle_expires_nothing_by_age() -> None:
    """What goes when is the database's to say; the bucket only forgets what is overwritten."""
    rules = json.loads((DEPLOY / "s3" / "lifecycle.json").read_text())["Rules"]
    assert not any("Days" in rule.get("Expiration", {}) for rule in rules)


async def test_the_queries_in_the_operations_manual_run(running_app: RunningApp) -> None:
    manual = (ROOT / "docs" / "operations.md").read_text()
    blocks = re.findall(r"```sql\n(.*?)```", manual, re.DOTALL)
    queries = [query for block in blocks for query in block.split(";") if query.strip()]
    assert queries
    for query in queries:
        await running_app.rows(query)


# compose.yaml and the Dockerfile; at work: `make image`.

COMPOSE = yaml.safe_load((ROOT / "compose.yaml").read_text())["services"]
DOCKERFILE = (ROOT / "Dockerfile").read_text()
OURS = ("web-1", "web-2", "worker", "migrate", "bucket")
LIMITS = ("MemoryMax", "TimeoutStopSec")
FOREIGN = re.compile(r"AWS_\w+|POSTGRES_PASSWORD|(OWNER|WEB|WORKER)_PASSWORD|ATELIER_HOST")


def test_compose_and_the_image_set_only_what_the_code_reads() -> None:
    fields = {field.name.upper() for field in msgspec.structs.fields(Settings)}
    script = (DEPLOY / "compose" / "new_secrets.sh").read_text()
    named = {name for service in COMPOSE.values() for name in service.get("environment", {})}
    named |= set(re.findall(r"\b([A-Z][A-Z_]+)=", script))
    named |= set(re.findall(r"^    ([A-Z_]+)=", DOCKERFILE, re.MULTILINE))
    named -= {"HOME", "PYTHONDONTWRITEBYTECODE", "PYTHONUNBUFFERED"}
    assert {"DATABASE_URL", "S3_BUCKET", "TOKEN_KEYS", "SEGMENT_MODEL_PATH"} <= named
    assert {name for name in named - fields if not FOREIGN.fullmatch(name)} == set()


@pytest.mark.parametrize("name", OURS)
def test_a_container_of_ours_is_confined(name: str) -> None:
    service = COMPOSE[name]
    assert service["read_only"] and service["cap_drop"] == ["ALL"]
    assert service["security_opt"] == ["no-new-privileges:true"]
    assert not {"privileged", "user", "ports", "cap_add"} & service.keys()
    assert service["mem_limit"] and service["pids_limit"]


def test_only_nginx_is_published_and_only_on_this_machine() -> None:
    ports = {name: service["ports"] for name, service in COMPOSE.items() if "ports" in service}
    assert list(ports) == ["nginx"]
    assert all(port.startswith("127.0.0.1:") for port in ports["nginx"])


@pytest.mark.parametrize(("unit", "name"), [("web", "web-1"), ("web", "web-2"), ("worker",) * 2])
def test_containers_have_the_limits_of_the_units(unit: str, name: str) -> None:
    text = (DEPLOY / "systemd" / f"atelier-{unit}@.service").read_text()
    memory, stop = (re.search(rf"^{key}=(\w+)$", text, re.MULTILINE) for key in LIMITS)
    assert memory and stop
    assert COMPOSE[name]["mem_limit"] == memory[1].lower()
    assert COMPOSE[name]["stop_grace_period"] == f"{stop[1]}s"


def test_secrets_are_in_files_that_git_and_the_image_leave_out() -> None:
    ignored = (ROOT / ".gitignore").read_text().split()
    files = {file for service in COMPOSE.values() for file in service.get("env_file", ())}
    assert files and all(file.startswith("secrets/") for file in files)
    assert "secrets/" in ignored
    assert not re.search(r"SECRET|PASSWORD|KEY", "".join(map(str, COMPOSE["web-1"]["environment"])))


def test_the_build_context_has_the_product_alone() -> None:
    lines = (ROOT / ".dockerignore").read_text().splitlines()
    rules = [line for line in lines if line and not line.startswith("#")]
    assert rules[0] == "*"
    admitted = {rule.removeprefix("!") for rule in rules if rule.startswith("!")}
    assert admitted == {
        *("backend", "migrations", "webhooks", "pyproject.toml", "README.md", "LICENSE", "NOTICE"),
        *("models.lock", "requirements.lock", "requirements-build.lock"),
        "requirements-openvino.lock",
    }
    assert "backend/dev" in rules[rules.index("!backend") :]


def test_the_image_is_built_from_the_lock_files_and_runs_as_nobody() -> None:
    copied = re.findall(r"^COPY (requirements.*)$", DOCKERFILE, re.MULTILINE)
    locks = "requirements-build.lock requirements.lock requirements-openvino.lock models.lock"
    assert copied == [f"{locks} ./"]
    assert DOCKERFILE.count(" -r ") == 4 and DOCKERFILE.count("--require-hashes") == 3
    assert "-r requirements.lock -r requirements-openvino.lock" in DOCKERFILE
    assert U2NETP_SHA256 in DOCKERFILE
    assert re.search(r"^USER 10001:10001$", DOCKERFILE, re.MULTILINE)


def test_the_python_of_the_image_fits_the_project() -> None:
    """Debian 13 has Python 3.13."""
    assert "ARG BASE=debian:trixie-slim" in DOCKERFILE
    wanted = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["requires-python"]
    assert SpecifierSet(wanted).contains("3.13")


def test_nginx_in_compose_differs_from_the_reference_by_what_its_script_replaces() -> None:
    """Each pattern of nginx.sh is found, so nothing of the reference is left as it was."""
    script = (DEPLOY / "compose" / "nginx.sh").read_text()
    replaced = re.findall(r"[\"']s\|(.+?)\|", script)
    assert len(replaced) == 5
    missing = [
        each
        for each in replaced
        if not re.search(each.replace(r"\(", "(").replace(r"\)", ")"), HTTP + SITE)
    ]
    assert missing == []
