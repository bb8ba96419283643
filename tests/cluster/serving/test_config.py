"""Settings are checked, and the file that they make is one that Ray takes."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import pytest

from polyvec.cli import main
from polyvec.cluster.serving.config import ClusterServeConfig
from polyvec.errors import InputError

SOURCE = Path(__file__).parents[3]


def test_defaults_are_left_out_and_come_back() -> None:
    config = ClusterServeConfig(collection="s3://bucket/wiki")
    assert config.to_dict() == {"collection": "s3://bucket/wiki"}
    assert (config.replicas, config.front) == (2, 2)
    assert config.serve_config().read_only
    other = ClusterServeConfig(
        collection="s3://bucket/wiki", replicas=3, ingress_replicas=1, every="1m", try_timeout="500ms",  # type: ignore[arg-type]
        http={"max_k": 50},
    )  # fmt: skip
    assert (other.every, other.patience.try_s, other.front) == (60.0, 0.5, 1)
    assert ClusterServeConfig.from_dict(other.to_dict()) == other
    assert other.serve_config().max_k == 50


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({}, "collection is missing"),
        ({"collection": "ftp://x/y"}, "url='ftp://x/y'"),
        ({"collection": "s3://b/n", "replicas": 0}, "replicas=0"),
        ({"collection": "s3://b/n", "replicas": "two"}, "replicas='two'"),
        ({"collection": "s3://b/n", "ingress_replicas": -1}, "ingress_replicas=-1"),
        ({"collection": "s3://b/n", "cpus": -1}, "cpus=-1"),
        ({"collection": "s3://b/n", "every": "soon"}, "every='soon'"),
        ({"collection": "s3://b/n", "hedge_after": 0}, "hedge_after=0"),
        ({"collection": "s3://b/n", "copies": " "}, "copies=' '"),
        ({"collection": "s3://b/n", "http": {"prot": 1}}, "http: unknown setting 'prot'"),
        ({"collection": "s3://b/n", "http": {"port": "x"}}, "port='x'"),
        ({"collection": "s3://b/n", "http": 3}, "http=3"),
        ({"collection": "s3://b/n", "shards": 3}, "unknown setting 'shards'; expected some of"),
    ],
)
def test_what_makes_no_sense_is_refused(values: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError) as error:
        ClusterServeConfig.from_dict(values)
    assert message in str(error.value)


def ray_takes(values: Any) -> Any:
    """The settings, as Ray's own schema reads them."""
    pytest.importorskip("ray", reason="Ray is not installed: pip install 'polyvec[ray]'")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of pydantic, in Ray
        from ray.serve.schema import ServeDeploySchema
    return ServeDeploySchema.model_validate(values)


def test_the_file_is_one_that_serve_deploy_takes(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    yaml = pytest.importorskip("yaml", reason="PyYAML comes with Ray: pip install 'polyvec[ray]'")
    pytest.importorskip("ray", reason="Ray is not installed: pip install 'polyvec[ray]'")
    file = tmp_path / "serve.yaml"
    command = [
        "cluster",
        "serve",
        "s3://bucket/wiki",
        "--replicas",
        "3",
        "--every",
        "30s",
        "--host",
        "0.0.0.0",
        "--port",
        "80",
    ]
    assert main([*command, "--write-config", str(file)]) == 2
    assert "open to other machines" in capsys.readouterr().err
    assert main([*command, "--token-file", "/etc/polyvec/tokens.toml", "--write-config", str(file)]) == 0
    values = yaml.safe_load(file.read_text(encoding="utf-8"))
    read = ray_takes(values)
    assert (read.http_options.host, read.http_options.port) == ("0.0.0.0", 80)
    (application,) = read.applications
    assert application.import_path == "polyvec.cluster.serving.serve:build"
    config = ClusterServeConfig.from_dict(application.args)
    assert (config.collection, config.replicas, config.every) == ("s3://bucket/wiki", 3, 30.0)
    assert config.http == {"host": "0.0.0.0", "port": 80, "token_file": "/etc/polyvec/tokens.toml"}


def test_the_example_for_kubernetes_is_one_that_ray_takes() -> None:
    yaml = pytest.importorskip("yaml", reason="PyYAML comes with Ray: pip install 'polyvec[ray]'")
    file = SOURCE / "deploy" / "kuberay.yaml"
    if not file.is_file():
        pytest.skip("the tests of an installed package come without deploy/")
    objects = {one["kind"]: one for one in yaml.safe_load_all(file.read_text(encoding="utf-8"))}
    service = objects["RayService"]["spec"]
    (application,) = ray_takes(yaml.safe_load(service["serveConfigV2"])).applications
    config = ClusterServeConfig.from_dict(application.args)
    workers = service["rayClusterConfig"]["workerGroupSpecs"][0]["replicas"]
    assert max(config.replicas, config.front) <= workers, "each replica of a shard needs a machine of its own"
