"""Connecting to Ray: what is missing or cannot be reached is one line."""

from __future__ import annotations

import os

import pytest

from polyvec.cluster.ray_session import need_ray, nodes_of, ray_session
from polyvec.errors import MissingExtraError, ServerError


def test_ray_absent(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("polyvec.cluster.ray_session.find_spec", lambda name: None)
    with pytest.raises(MissingExtraError, match=r"polyvec\[ray\]"):
        need_ray()
    with pytest.raises(MissingExtraError), ray_session():
        pass


@pytest.mark.heavy
@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning", "ignore::ResourceWarning")
@pytest.mark.parametrize("address", ["127.0.0.1:1", "ray://127.0.0.1:1", "127.0.0.1:99999", "nowhere.invalid:6379"])
def test_no_cluster_is_there(address: str, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("ray", reason="a cluster needs Ray: pip install 'polyvec[ray]'")
    with pytest.raises(ServerError, match=f"{address} cannot be used") as raised, ray_session(address):
        pass
    assert len(str(raised.value).splitlines()) == 1
    monkeypatch.setenv("RAY_ADDRESS", address)
    with pytest.raises(ServerError, match=f"{address} cannot be used"), ray_session():
        pass


@pytest.mark.heavy
@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning", "ignore::ResourceWarning")
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_ray_of_this_machine_ends_with_the_block(monkeypatch: pytest.MonkeyPatch) -> None:
    ray = pytest.importorskip("ray", reason="a cluster needs Ray: pip install 'polyvec[ray]'")
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    with ray_session(num_cpus=1, object_store_memory=100_000_000) as started:
        assert started is ray
        assert len(nodes_of(ray)) == 1
        with ray_session("elsewhere:1"):  # the connection that is there is used
            pass
        assert ray.is_initialized()
        assert os.environ["RAY_USAGE_STATS_ENABLED"] == "0"
    assert not ray.is_initialized()
