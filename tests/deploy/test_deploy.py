"""deploy/: every file parses, and speaks of metrics, options and paths that the server really has."""

from __future__ import annotations

import configparser
import json
import re
import urllib.request
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("fastapi", reason="the extra `serve` is not installed")
pytest.importorskip("yaml")

import yaml
from prometheus_client.parser import text_string_to_metric_families

from polyvec.cli.serve import serve
from polyvec.collection.index import Index
from polyvec.index.upkeep.drift import DRIFT_THRESHOLD
from polyvec.serve.config import ServeConfig
from tests.conftest import WordEncoder
from tests.serve.in_thread import served

DEPLOY = Path(__file__).parents[2] / "deploy"
OPTIONS = {name for parameter in serve.params for name in parameter.opts if name.startswith("--")}

pytestmark = pytest.mark.skipif(not DEPLOY.is_dir(), reason="the tests of an installed package come without deploy/")


def _text(name: str) -> str:
    return (DEPLOY / name).read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def exported(tmp_path_factory: pytest.TempPathFactory) -> dict[str, set[str]]:
    """Names that the server exports, as an expression has them, and the labels of each."""
    path = tmp_path_factory.mktemp("deploy") / "c.polyvec"
    with Index.create(path, encoder=WordEncoder()) as index:
        index.add([{"id": "1", "text": "alpha"}])
    with served([path], encoder=WordEncoder()) as url:
        request = urllib.request.Request(
            f"{url}/v1/search", data=b'{"query": "alpha"}', headers={"content-type": "application/json"}
        )
        urllib.request.urlopen(request).close()
        with urllib.request.urlopen(f"{url}/metrics") as answer:
            text = answer.read().decode()
    found: dict[str, set[str]] = {}
    for family in text_string_to_metric_families(text):
        ending = {"counter": ["_total"], "histogram": ["_bucket", "_sum", "_count"], "info": ["_info"]}
        for suffix in ending.get(family.type, [""]):
            found[family.name + suffix] = set()
        for sample in family.samples:
            found.setdefault(sample.name, set()).update(sample.labels)
    return found


def _expressions() -> dict[str, str]:
    rules = [rule for group in yaml.safe_load(_text("alerts.yaml"))["groups"] for rule in group["rules"]]
    found = {rule["alert"]: rule["expr"] for rule in rules}
    for panel in json.loads(_text("grafana-dashboard.json"))["panels"]:
        found.update({f"{panel['title']} {target['refId']}": target["expr"] for target in panel["targets"]})
    return found


@pytest.mark.parametrize(("name", "expression"), _expressions().items() if DEPLOY.is_dir() else [])
def test_every_metric_is_exported(exported: dict[str, set[str]], name: str, expression: str) -> None:
    used = set(re.findall(r"\bpolyvec_\w+", expression))
    assert used <= exported.keys(), f"{name} asks for what the server does not export"
    assert used or "up{" in expression
    labels = {label for block in re.findall(r"\{([^}]*)\}", expression) for label in re.findall(r"(\w+)\s*[=!]", block)}
    known = {"instance", "job", "reason", "le"}.union(*(exported[one] for one in used))
    assert labels <= known, f"{name} asks for labels that these metrics do not have"
    assert expression.count("(") == expression.count(")")


def test_alerts_say_what_to_do() -> None:
    rules = [rule for group in yaml.safe_load(_text("alerts.yaml"))["groups"] for rule in group["rules"]]
    assert len({rule["alert"] for rule in rules}) == len(rules) >= 5
    for rule in rules:
        assert rule["annotations"].keys() == {"summary", "description"}
        assert rule["labels"]["severity"] in ("page", "ticket")
        assert "for" in rule
    assert f"polyvec_codec_drift > {DRIFT_THRESHOLD}" in _text("alerts.yaml")


def test_the_dashboard_is_one() -> None:
    board = json.loads(_text("grafana-dashboard.json"))
    panels = board["panels"]
    assert len({panel["id"] for panel in panels}) == len(panels)
    assert {one["name"] for one in board["templating"]["list"]} == {"source", "instance"}
    for panel in panels:
        place = panel["gridPos"]
        assert 0 <= place["x"] <= place["x"] + place["w"] <= 24
        assert panel["datasource"]["uid"] == "${source}"


def _instructions() -> list[tuple[str, str]]:
    joined = re.sub(r"\\\n\s*", " ", _text("Dockerfile"))
    lines = [line for line in joined.splitlines() if line.strip() and not line.startswith("#")]
    return [(line.split(None, 1)[0], line.split(None, 1)[1]) for line in lines]


def test_the_image_is_small_and_safe() -> None:
    instructions = _instructions()
    known = {
        "FROM",
        "RUN",
        "WORKDIR",
        "COPY",
        "ENV",
        "USER",
        "EXPOSE",
        "HEALTHCHECK",
        "STOPSIGNAL",
        "ENTRYPOINT",
        "CMD",
    }
    assert {name for name, _ in instructions} <= known
    bases = [value for name, value in instructions if name == "FROM"]
    assert len(bases) == 2, "one stage compiles, the other one runs"
    assert all(re.match(r"python:3\.\d+\.\d+-slim-\w+( AS \w+)?$", base) for base in bases), "the tag names a version"
    last = instructions[max(i for i, (name, _) in enumerate(instructions) if name == "FROM") :]
    assert ("USER", "10001:10001") in last
    assert not any("apt-get" in value for _, value in last), "no compiler in what runs"
    assert any(name == "HEALTHCHECK" and "/readyz" in value for name, value in last)
    for name, value in instructions:
        if name in ("CMD", "ENTRYPOINT"):
            assert isinstance(json.loads(value), list), "in the form that passes signals on"
        if name == "RUN" and "apt-get install" in value:
            assert "--no-install-recommends" in value
            assert "rm -rf /var/lib/apt/lists/*" in value
    ignored = _text("Dockerfile.dockerignore").splitlines()
    assert "*" in ignored
    for name in ("pyproject.toml", "constraints.txt", "CMakeLists.txt", "README.md", "LICENSE", "src", "native"):
        assert f"!{name}" in ignored
        assert (DEPLOY.parent / name).exists()


def _options_of(words: list[str]) -> set[str]:
    return {word for word in words if word.startswith("--")}


def test_compose() -> None:
    service = yaml.safe_load(_text("compose.yaml"))["services"]["polyvec"]
    assert service["read_only"] is True
    assert service["cap_drop"] == ["ALL"]
    assert service["ports"] == ["127.0.0.1:8000:8000"], "only this machine reaches it"
    assert "/tmp" in service["tmpfs"], "uploads wait there"
    assert service["command"][0] == "serve"
    assert _options_of(service["command"]) <= OPTIONS
    assert (DEPLOY / service["build"]["context"] / service["build"]["dockerfile"]).resolve() == DEPLOY / "Dockerfile"
    assert int(service["stop_grace_period"].rstrip("s")) > ServeConfig().stop_timeout


def _unit() -> configparser.RawConfigParser:
    unit = configparser.RawConfigParser(strict=False, delimiters=("=",), comment_prefixes=("#",))
    unit.optionxform = str  # type: ignore[assignment, method-assign]
    unit.read_string(_text("polyvec.service"))
    return unit


def test_the_unit_is_hardened() -> None:
    unit = _unit()
    assert unit.sections() == ["Unit", "Service", "Install"]
    service: Any = unit["Service"]
    assert _options_of(service["ExecStart"].split()) <= OPTIONS
    assert float(service["TimeoutStopSec"]) > ServeConfig().stop_timeout
    wanted = {
        "NoNewPrivileges": "yes", "ProtectSystem": "strict", "ProtectHome": "yes", "PrivateTmp": "yes", "DynamicUser": "yes",
        "CapabilityBoundingSet": "",
    }  # fmt: skip
    assert {name: service[name] for name in wanted} == wanted


def test_the_proxy_passes_what_the_server_takes() -> None:
    text = _text("nginx.conf")
    lines = [line.partition("#")[0].strip() for line in text.splitlines()]
    assert all(line.endswith((";", "{", "}")) for line in lines if line)
    assert text.count("{") == text.count("}")
    config = ServeConfig()
    upload = text[text.index("location = /v1/documents") :]
    upload = upload[: upload.index("}")]
    assert "proxy_request_buffering off;" in upload
    assert "proxy_buffering off;" in upload
    assert int(re.findall(r"client_max_body_size (\d+)g", upload)[0]) * 2**30 >= config.max_upload
    assert int(re.findall(r"proxy_read_timeout (\d+)s", upload)[0]) > config.write_timeout
    whole = text[text.index("location / ") :]
    assert int(re.findall(r"proxy_read_timeout (\d+)s", whole)[0]) > config.timeout
    assert int(re.findall(r"client_max_body_size (\d+)m", text)[0]) * 2**20 >= config.max_body
    for option in re.findall(r"--[a-z-]+", text):
        assert option in OPTIONS
