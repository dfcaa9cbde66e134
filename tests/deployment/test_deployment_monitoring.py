"""Alerts and dashboard ask for metrics that exist, by labels that these have."""

import json
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from edgeproxy.message import CacheOutcome
from edgeproxy.metrics import COUNTERS, GAUGES, HISTOGRAMS

SCRAPED = {"job", "instance"}  # what Prometheus itself adds
PROCESS = {"process_cpu_seconds_total", "process_resident_memory_bytes", "up"}
SELECTOR = re.compile(r"\b((?:edgeproxy|process)_[a-z0-9_]+|up)(?:\{([^}]*)\})?")


def labels_of(name: str) -> set[str] | None:
    """The labels of a metric as Prometheus names it, None if there is none of that name."""
    if name in PROCESS:
        return SCRAPED
    name = name.removeprefix("edgeproxy_")
    for table in (COUNTERS, GAUGES):
        if name in table:
            return {*table[name].labels, *SCRAPED}
    base, _, part = name.rpartition("_")
    if base in HISTOGRAMS and part in ("bucket", "sum", "count"):
        return {*HISTOGRAMS[base].labels, *SCRAPED, *(["le"] if part == "bucket" else [])}
    return None


def problems(expression: str) -> list[str]:
    """Why an expression can never give anything."""
    found, known = [], set(SCRAPED)
    for name, matchers in SELECTOR.findall(expression):
        labels = labels_of(name)
        if labels is None:
            found.append(f"no metric {name}")
            continue
        known |= labels
        for label, value in re.findall(r'([a-z_]+)\s*(?:=|!=|=~|!~)\s*"([^"]*)"', matchers):
            if label not in labels:
                found.append(f"{name} has no label {label}")
            if label == "cache":
                found += [f"no outcome {one}" for one in value.split("|") if one not in set(CacheOutcome)]
    for group in re.findall(r"\bby \(([^)]*)\)", expression):
        found += [
            f"nothing has a label {one.strip()}" for one in group.split(",") if one.strip() not in known
        ]
    return found


def expressions_of_rules(configs: Path) -> Iterator[tuple[str, str]]:
    for group in yaml.safe_load((configs / "prometheus-rules.yml").read_text())["groups"]:
        for rule in group["rules"]:
            yield rule.get("alert") or rule["record"], rule["expr"]


def panels(configs: Path) -> list[dict[str, Any]]:
    board = json.loads((configs / "grafana-dashboard.json").read_text())
    return [panel for panel in board["panels"] if panel["type"] != "row"]


def test_every_alert_asks_for_what_exists(configs: Path) -> None:
    rules = dict(expressions_of_rules(configs))
    assert len(rules) > 10
    assert {name: found for name, expr in rules.items() if (found := problems(expr))} == {}


def test_every_panel_asks_for_what_exists(configs: Path) -> None:
    asked = [(panel["title"], target["expr"]) for panel in panels(configs) for target in panel["targets"]]
    assert len(asked) > 20
    assert {title: found for title, expr in asked if (found := problems(expr))} == {}


def test_every_metric_of_trouble_raises_an_alert_or_is_on_the_dashboard(configs: Path) -> None:
    text = "".join(expr for _, expr in expressions_of_rules(configs))
    text += "".join(target["expr"] for panel in panels(configs) for target in panel["targets"])
    trouble = [
        name for name in COUNTERS if re.search(r"error|mismatch|corrupt|dropped|refused_total|lies", name)
    ]
    assert [name for name in trouble if f"edgeproxy_{name}" not in text] == []


def test_every_alert_says_how_urgent_it_is_and_what_is_the_matter(configs: Path) -> None:
    groups = yaml.safe_load((configs / "prometheus-rules.yml").read_text())["groups"]
    alerts = [rule for group in groups for rule in group["rules"] if "alert" in rule]
    for alert in alerts:
        assert alert["labels"]["severity"] in ("page", "ticket")
        assert alert["annotations"]["summary"]
    assert len({alert["alert"] for alert in alerts}) == len(alerts)


def test_alerts_name_in_their_text_only_labels_they_have(configs: Path) -> None:
    groups = yaml.safe_load((configs / "prometheus-rules.yml").read_text())["groups"]
    for rule in (rule for group in groups for rule in group["rules"] if "alert" in rule):
        kept = re.findall(r"\bby \(([^)]*)\)", rule["expr"])
        has = {one.strip() for group in kept for one in group.split(",")}
        if not kept:
            has = set().union(*(labels_of(name) or set() for name, _ in SELECTOR.findall(rule["expr"])))
        named = set(re.findall(r"\$labels\.([a-z_]+)", json.dumps(rule["annotations"])))
        assert named <= has, rule["alert"]


def test_panels_do_not_overlap(configs: Path) -> None:
    board = json.loads((configs / "grafana-dashboard.json").read_text())
    taken: set[tuple[int, int]] = set()
    for panel in board["panels"]:
        at = panel["gridPos"]
        cells = {(at["x"] + x, at["y"] + y) for x in range(at["w"]) for y in range(at["h"])}
        assert at["x"] + at["w"] <= 24
        assert not taken & cells, panel["title"]
        taken |= cells
    assert len({panel["id"] for panel in board["panels"]}) == len(board["panels"])


def test_prometheus_itself_takes_the_rules(configs: Path) -> None:
    program = shutil.which("promtool")
    if program is None:
        pytest.skip("promtool is not installed")
    done = subprocess.run(
        [program, "check", "rules", configs / "prometheus-rules.yml"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize(
    ("expression", "wrong"),
    [
        ('rate(edgeproxy_requests_total{cache="hit"}[5m])', []),
        ("sum by (site, le) (rate(edgeproxy_request_seconds_bucket[5m]))", []),
        ("edgeproxy_nothing", ["no metric edgeproxy_nothing"]),
        ("rate(edgeproxy_request_seconds[5m])", ["no metric edgeproxy_request_seconds"]),
        ('edgeproxy_connections{site="a"}', ["edgeproxy_connections has no label site"]),
        ('edgeproxy_requests_total{cache="hits"}', ["no outcome hits"]),
        ("sum by (color) (edgeproxy_connections)", ["nothing has a label color"]),
    ],
)
def test_the_rule_itself_tells_right_from_wrong(expression: str, wrong: list[str]) -> None:
    assert problems(expression) == wrong
