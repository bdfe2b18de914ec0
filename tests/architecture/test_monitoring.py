"""The dashboard, the alert rules and the manual show the metrics that the code has, and no others.

`promtool` comes with Debian's package `prometheus`, or name it in `PROMTOOL`.
"""

import json
import os
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
from prometheus_client import REGISTRY

import backend.metrics
from tests.source_tree import ROOT

MONITORING = ROOT / "deploy" / "monitoring"
DASHBOARD = json.loads((MONITORING / "grafana.json").read_text())
RULES = (MONITORING / "alerts.yml").read_text()
MANUAL = (ROOT / "docs" / "operations.md").read_text().partition("\n## Metrics\n")[2]
NAME = re.compile(r"\batelier_[a-z_]+\b")
SUFFIXES = {
    "counter": ("_total",),
    "gauge": ("",),
    "histogram": ("_bucket", "_count", "_sum"),
}
PROMTOOL = os.environ.get("PROMTOOL") or shutil.which("promtool")
needs_promtool = pytest.mark.skipif(not PROMTOOL, reason="needs promtool (Debian: prometheus)")


def panels() -> list[dict[str, Any]]:
    """Those that show something."""
    return [panel for panel in DASHBOARD["panels"] if panel["type"] != "row"]


def expressions() -> list[str]:
    """What the dashboard asks Prometheus."""
    return [target["expr"] for panel in panels() for target in panel["targets"]]


def served() -> dict[str, set[str]]:
    """The names of each metric's samples, as Prometheus stores them."""
    assert backend.metrics
    return {
        family.name: {f"{family.name}{suffix}" for suffix in SUFFIXES[family.type]}
        for family in REGISTRY.collect()
        if family.name.startswith("atelier_")
    }


def promtool(*arguments: str | Path) -> str:
    """What it prints. A finding is an error."""
    assert PROMTOOL
    done = subprocess.run([PROMTOOL, *arguments], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_dashboard_and_rules_name_only_metrics_that_are_served() -> None:
    samples = set[str]().union(*served().values())
    named = set(NAME.findall(" ".join([RULES, *expressions()])))
    assert named - samples == set()


def test_every_metric_is_on_the_dashboard() -> None:
    named = set(NAME.findall(" ".join(expressions())))
    assert [metric for metric, samples in served().items() if not samples & named] == []


def test_every_metric_and_alert_is_in_the_manual() -> None:
    alerts = set(re.findall(r"alert: (\w+)", RULES))
    assert len(alerts) > 10
    assert alerts - set(re.findall(r"`(\w+)`", MANUAL)) == set()
    documented = {
        name.removesuffix("_total") for name in NAME.findall(MANUAL.partition("\n## ")[0])
    }
    assert documented == set(served())


def test_the_manual_says_what_to_do_when_each_alert_fires() -> None:
    rows = MANUAL.partition("**When an alert fires.**")[2].partition("\n\n**")[0]
    alerts = re.findall(r"alert: (\w+)", RULES)
    assert sorted(re.findall(r"^\| `(\w+)`", rows, re.MULTILINE)) == sorted(alerts)


def test_every_alert_has_a_unit_test() -> None:
    tested = set(re.findall(r"alertname: (\w+)", (MONITORING / "alerts.test.yml").read_text()))
    assert tested == set(re.findall(r"alert: (\w+)", RULES))


def test_every_panel_has_a_place_and_an_explanation_of_its_own() -> None:
    assert len({panel["id"] for panel in DASHBOARD["panels"]}) == len(DASHBOARD["panels"])
    places = [tuple(panel["gridPos"][side] for side in "xy") for panel in panels()]
    assert len(set(places)) == len(places)
    assert all(panel["description"] for panel in panels())


@needs_promtool
def test_promtool_accepts_rules_and_configuration() -> None:
    promtool("check", "rules", MONITORING / "alerts.yml")
    promtool("check", "config", MONITORING / "prometheus.yml")


@needs_promtool
def test_each_alert_fires_when_it_should_and_only_then() -> None:
    promtool("test", "rules", MONITORING / "alerts.test.yml")


@needs_promtool
def test_promtool_understands_every_expression_of_the_dashboard(tmp_path: Path) -> None:
    asked = [expression.replace("$__rate_interval", "5m") for expression in expressions()]
    rules = [{"record": f"panel:{n}", "expr": each} for n, each in enumerate(asked)]
    file = tmp_path / "dashboard.yml"
    file.write_text(json.dumps({"groups": [{"name": "dashboard", "rules": rules}]}))
    assert f"{len(rules)} rules found" in promtool("check", "rules", file)
