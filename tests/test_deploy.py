"""What `deploy/` holds, as far as it can be looked at without a container: names, files, rules and secrets."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import typer
import yaml

from genre.serving.drift import LARGE, Window

ROOT = Path(__file__).parent.parent
DEPLOY = ROOT / "deploy"
COMPOSE = yaml.safe_load((DEPLOY / "compose.yaml").read_text(encoding="utf-8"))
PROMETHEUS = yaml.safe_load((DEPLOY / "prometheus.yml").read_text(encoding="utf-8"))
RULES = [
    rule
    for group in yaml.safe_load((DEPLOY / "alerts.yml").read_text(encoding="utf-8"))["groups"]
    for rule in group["rules"]
]
DASHBOARD = json.loads((DEPLOY / "grafana" / "dashboards" / "genre.json").read_text(encoding="utf-8"))
PANELS = [panel for panel in DASHBOARD["panels"] if panel["type"] != "row"]
QUERIES = [target["expr"] for panel in PANELS for target in panel["targets"]]
OPERATE = (ROOT / "docs" / "operate.md").read_text(encoding="utf-8")
SUFFIXES = {"counter": ["_total"], "gauge": [""], "histogram": ["_bucket", "_sum", "_count"]}
GIVEN = {"job", "instance", "le"}
"""Labels that Prometheus adds, and the bounds of a histogram."""
WORDS = {"and", "or", "unless", "bool"}
promtool = pytest.mark.skipif(
    shutil.which("promtool") is None, reason="promtool is missing: install Debian's prometheus"
)


def instructions() -> list[tuple[str, str]]:
    text = (DEPLOY / "Dockerfile").read_text(encoding="utf-8")
    lines = [line for line in text.splitlines() if line.strip() and not line.lstrip().startswith("#")]
    whole = re.sub(r"\\\n\s*", "", "\n".join(lines)).splitlines()
    return [(line.split(maxsplit=1)[0], line.split(maxsplit=1)[1]) for line in whole]


def of(word: str) -> list[str]:
    return [rest for found, rest in instructions() if found == word]


def known_metrics() -> dict[str, set[str]]:
    """Return every sample of the service's page, with its labels."""
    from genre.serving.metrics import Metrics

    metrics = Metrics()
    labels = {one._name: set(one._labelnames) for one in vars(metrics).values() if hasattr(one, "_labelnames")}
    return {
        f"{family.name}{suffix}": labels.get(family.name, set())
        for family in metrics.registry.collect()
        for suffix in SUFFIXES.get(family.type, [""])
    } | {"up": set()}


def used(query: str) -> Iterator[tuple[str, set[str]]]:
    """Yield the metrics of a query with the labels that it asks of them."""
    query = re.sub(r'"[^"]*"', '""', query)
    query = re.sub(r"\b(by|on|without|ignoring|group_left|group_right) ?\([^)]*\)", "", query)
    query = re.sub(r"\[[^\]]*\]|offset \w+", "", query)
    for name, chosen in re.findall(r"\b([a-zA-Z_:][\w:]*)\b(?!\s*\()\s*(\{[^}]*\})?", query):
        if name not in WORDS:
            yield name, set(re.findall(r"(\w+)\s*[=!]", chosen))


def test_the_queries_are_understood() -> None:
    query = 'sum by (le) (rate(a_bucket{x="y z", b!~"c.*"}[5m] offset 1h)) / on (d) group_left () b_total > 0 unless up'
    assert list(used(query)) == [("a_bucket", {"x", "b"}), ("b_total", set()), ("up", set())]


@pytest.mark.parametrize("query", [*QUERIES, *(rule["expr"] for rule in RULES)])
def test_what_is_asked_of_metrics_is_told_by_them(query: str) -> None:
    known = known_metrics()
    found = list(used(query))
    assert found
    for name, labels in found:
        assert name in known
        assert labels <= known[name] | GIVEN, name


def test_the_dashboard_shows_every_metric() -> None:
    shown = {name for query in QUERIES for name, _ in used(query)}
    for name in {name for name in known_metrics() if name.startswith("genre_")}:
        family = re.sub(r"_(total|bucket|sum|count)$", "", name)
        assert any(one.startswith(family) for one in shown), name
    assert len({panel["id"] for panel in DASHBOARD["panels"]}) == len(DASHBOARD["panels"])
    for panel in PANELS:
        assert panel["title"]
        assert panel["fieldConfig"]["defaults"]["unit"]
    places = [panel["gridPos"] for panel in DASHBOARD["panels"]]
    taken = [
        (x, y) for at in places for x in range(at["x"], at["x"] + at["w"]) for y in range(at["y"], at["y"] + at["h"])
    ]
    assert len(taken) == len(set(taken))
    assert max(x for x, _ in taken) < 24
    sources = yaml.safe_load((DEPLOY / "grafana/provisioning/datasources/prometheus.yml").read_text(encoding="utf-8"))
    assert {panel["datasource"]["uid"] for panel in PANELS} == {sources["datasources"][0]["uid"]}
    provided = yaml.safe_load((DEPLOY / "grafana/provisioning/dashboards/genre.yml").read_text(encoding="utf-8"))
    path = provided["providers"][0]["options"]["path"]
    assert f"./grafana/dashboards:{path}:ro" in COMPOSE["services"]["grafana"]["volumes"]


def test_every_alert_says_how_bad_it_is_and_stands_in_the_page_for_operators() -> None:
    assert len({rule["alert"] for rule in RULES}) == len(RULES)
    for rule in RULES:
        assert rule["labels"]["severity"] in {"warning", "critical"}
        assert rule["annotations"]["summary"]
        assert f"`{rule['alert']}`" in OPERATE


def test_every_alert_is_seen_to_fire() -> None:
    told = yaml.safe_load((DEPLOY / "alerts_test.yml").read_text(encoding="utf-8"))["tests"]
    fired = {one["alertname"] for test in told for one in test["alert_rule_test"] if one["exp_alerts"]}
    assert fired == {rule["alert"] for rule in RULES}


def test_drift_is_told_by_the_index_that_its_bound_is_about() -> None:
    (rule,) = [one for one in RULES if one["alert"] == "GenreDrift"]
    (chosen,) = re.findall(r'what=~"([^"]+)"', rule["expr"])
    index = Window(2, 2, [5, 5])
    index.add(np.array([0, 0]))
    assert [name for name in index.gauges("score", 1) if re.fullmatch(chosen, name)] == ["drift_psi_score"]
    assert rule["expr"].endswith(f"> {LARGE}")


@pytest.mark.slow
@promtool
def test_prometheus_understands_its_files(tmp_path: Path) -> None:
    text = (DEPLOY / "prometheus.yml").read_text(encoding="utf-8")
    key = PROMETHEUS["scrape_configs"][0]["authorization"]["credentials_file"]
    (tmp_path / "key").write_text("genre_0_0", encoding="utf-8")
    (tmp_path / "prometheus.yml").write_text(text.replace(key, str(tmp_path / "key")), encoding="utf-8")
    shutil.copy(DEPLOY / "alerts.yml", tmp_path)
    for command in (
        ["check", "config", str(tmp_path / "prometheus.yml")],
        ["test", "rules", str(DEPLOY / "alerts_test.yml")],
    ):
        done = subprocess.run(["promtool", *command], capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout + done.stderr


@promtool
@pytest.mark.parametrize("query", QUERIES)
def test_prometheus_understands_the_queries_of_the_dashboard(query: str, tmp_path: Path) -> None:
    plain = query.replace("$__rate_interval", "1m")
    rules = {"groups": [{"name": "panels", "rules": [{"record": "panel", "expr": plain}]}]}
    (tmp_path / "rules.yml").write_text(yaml.safe_dump(rules), encoding="utf-8")
    done = subprocess.run(
        ["promtool", "check", "rules", str(tmp_path / "rules.yml")], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_image_is_built_from_what_is_there() -> None:
    allowed = {line[1:] for line in (DEPLOY / "Dockerfile.dockerignore").read_text().splitlines() if line[:1] == "!"}
    for rest in of("COPY"):
        *sources, _ = [word for word in rest.split() if not word.startswith("--")]
        if "--from=" not in rest:
            for source in sources:
                assert (ROOT / source).exists(), source
                assert source in allowed, f"{source} is kept from the builder"
    for image in of("FROM"):
        assert re.fullmatch(r"python:\$\{PYTHON\}-slim( AS build)?", image)
    assert re.fullmatch(r"PYTHON=3\.\d+", of("ARG")[0])
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    (wanted,) = re.findall(r"genre-rec\[([\w,]+)\]", " ".join(of("RUN")))
    assert set(wanted.split(",")) <= set(extras)
    torch = next(line for line in (ROOT / "constraints.txt").read_text().splitlines() if line.startswith("torch=="))
    assert "+" not in torch, "the constraints leave open for what torch was built"


def test_the_image_runs_as_nobody_special_and_holds_no_secret() -> None:
    last = [word for word, _ in instructions()][::-1].index("FROM")
    final = instructions()[-last - 1 :]
    users = [rest for word, rest in final if word == "USER"]
    assert users == ["10001:10001"]
    assert [word for word, _ in final][-1] == "CMD"
    for rest in [*of("ENV"), *of("ARG")]:
        assert not re.search(r"password|secret|token|credential|api_?key", rest, re.IGNORECASE), rest
    assert "/health/live" in of("HEALTHCHECK")[0]


@pytest.mark.parametrize("arguments", [json.loads(of("CMD")[0]), COMPOSE["services"]["genre"]["command"]])
def test_the_command_is_one_of_genre_s(arguments: list[str]) -> None:
    from genre.cli import app

    name, *options = arguments
    command = typer.main.get_command(app).commands[name]  # type: ignore[attr-defined]
    with command.make_context(name, list(options)) as context:
        assert context.params["host"] == "0.0.0.0"  # noqa: S104
        assert context.params["demo"] or context.params["runs"]


def test_passwords_come_from_files(tmp_path: Path) -> None:
    (tmp_path / "genre").write_text('#!/bin/sh\necho "$PGPASSWORD:$*"\n')
    (tmp_path / "genre").chmod(0o755)
    (tmp_path / "password").write_text("it's $HOME\n")
    environment = {"PATH": f"{tmp_path}:{os.environ['PATH']}", "PGPASSWORD_FILE": str(tmp_path / "password")}
    command = ["sh", str(DEPLOY / "entrypoint.sh"), "keys", "list"]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    assert done.stdout == "it's $HOME:keys list\n"
    gone = subprocess.run(command, env={**environment, "PGPASSWORD_FILE": "/nowhere"}, capture_output=True, check=False)
    assert gone.returncode != 0


@pytest.mark.parametrize("name", COMPOSE["services"])
def test_what_a_service_uses_is_declared(name: str) -> None:
    service: dict[str, Any] = COMPOSE["services"][name]
    assert not re.search(r":latest$|^[^:]+$", service["image"])
    for kind in ("secrets", "networks"):
        assert set(service.get(kind, [])) <= set(COMPOSE[kind])
    for volume in service.get("volumes", []):
        source, _, options = volume.partition(":")
        if source.startswith("."):
            assert (DEPLOY / source).exists()
            assert options.endswith(":ro")
        else:
            assert source in COMPOSE["volumes"]
    assert set(service.get("depends_on", [])) <= set(COMPOSE["services"])
    assert "healthcheck" in service or "build" in service, "the image of the service has its own"
    for port in service.get("ports", []):
        assert port.startswith("127.0.0.1:"), "what others can reach stands behind a proxy"
    assert not service.get("privileged")
    assert "no-new-privileges:true" in service["security_opt"]


def test_there_is_no_password_to_begin_with() -> None:
    for service in COMPOSE["services"].values():
        for variable, value in service.get("environment", {}).items():
            if re.search("password|secret|key", variable, re.IGNORECASE):
                assert str(value).startswith("/run/secrets/")
                assert value.removeprefix("/run/secrets/") in service["secrets"]
    ignored = (DEPLOY / ".gitignore").read_text().splitlines()
    for secret in COMPOSE["secrets"].values():
        assert secret["file"].startswith("./secrets/")
        assert f"{secret['file']}" in (DEPLOY / "compose.yaml").read_text()
    assert "/secrets/" in ignored


def test_prometheus_asks_the_service_with_its_key() -> None:
    (job,) = [one for one in PROMETHEUS["scrape_configs"] if one["job_name"] == "genre"]
    key = job["authorization"]["credentials_file"]
    assert key.removeprefix("/run/secrets/") in COMPOSE["services"]["prometheus"]["secrets"]
    (target,) = job["static_configs"][0]["targets"]
    host, port = target.split(":")
    assert host in COMPOSE["services"]
    assert f"EXPOSE {port}" in (DEPLOY / "Dockerfile").read_text()
    assert set(COMPOSE["services"][host]["networks"]) & set(COMPOSE["services"]["prometheus"]["networks"])
