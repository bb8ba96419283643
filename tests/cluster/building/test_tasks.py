"""How many encoders fit a cluster, and how errors travel; the tasks themselves run in test_build_on_ray.py."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from polyvec.cluster.building import tasks
from polyvec.cluster.building.tasks import Pool, pool_of
from polyvec.errors import FilterError, InputError, ServerError, StorageError


def cluster(*resources: dict[str, float]) -> Any:
    nodes = [{"Alive": True, "Resources": one} for one in resources] + [{"Alive": False, "Resources": {"CPU": 99}}]
    return SimpleNamespace(nodes=lambda: nodes)


@pytest.mark.parametrize(
    ("resources", "encoders", "pool"),
    [
        ([{"CPU": 16}], None, Pool(4, 4, 0)),
        ([{"CPU": 16}, {"CPU": 6}], None, Pool(5, 4, 0)),
        ([{"CPU": 2}, {"CPU": 1}], None, Pool(3, 1, 0)),
        ([{"CPU": 16}], 16, Pool(16, 1, 0)),
        ([{"CPU": 2}], 5, Pool(5, 1, 0)),
        ([{"CPU": 8}, {}], 2, Pool(2, 4, 0)),
        ([{"CPU": 8, "GPU": 2}, {"CPU": 8}], None, Pool(2, 1, 1)),
        ([{"CPU": 8, "GPU": 2}], 1, Pool(1, 1, 1)),
        ([{"CPU": 8, "GPU": 1}], 4, Pool(4, 2, 0)),
    ],
)
def test_encoders_that_fit(resources: list[dict[str, float]], encoders: int | None, pool: Pool) -> None:
    assert pool_of(cluster(*resources), encoders) == pool


def test_a_cluster_without_processors() -> None:
    with pytest.raises(ServerError, match="No machine"):
        pool_of(cluster({"GPU": 1}), None)


@pytest.mark.parametrize(
    ("raised", "kind"),
    [(InputError("x"), InputError), (FilterError("x"), FilterError), (MemoryError(), StorageError)],
)
def test_an_error_comes_back_as_what_it_was(raised: BaseException, kind: type[Exception]) -> None:
    def fails() -> dict[str, Any]:
        raise raised

    with pytest.raises(kind):
        tasks._answer(tasks._answered(fails, ()))
    assert tasks._answer(tasks._answered(lambda: {"error": 1}, ())) == {"error": 1}


def test_what_ray_raises_is_one_line() -> None:
    class RayError(Exception):
        pass

    ray: Any = SimpleNamespace(exceptions=SimpleNamespace(RayError=RayError))
    said = pytest.raises(ServerError, match=r"could not go on: the last line\. The same command")
    with said as raised, tasks._ray_errors(ray):
        raise RayError("a trace\n  of lines\nthe last line.\n")
    assert len(str(raised.value).splitlines()) == 1
    with pytest.raises(KeyError), tasks._ray_errors(ray):
        raise KeyError
