"""The steps of a build on Ray: blocks through a pool of encoders with Ray Data, files and shards as tasks.

What is wrong with documents, models or disks comes back as an answer and is raised here as what it was. What befalls machines is
Ray's: it runs a task again elsewhere.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from polyvec import errors
from polyvec.cluster.building.encoding import BlockEncoder, MakeEncoder
from polyvec.cluster.ray_session import nodes_of
from polyvec.errors import PolyvecError, ServerError

_MOST_PARTS = 5_000  # of the tasks that Ray Data keeps account of at once
_TRIES = 10  # of a task whose machine or process is lost
_THREADS = 4  # of an encoder on processors, at most


@dataclass(frozen=True)
class Pool:
    """Encoders that work at once.

    Attributes:
        encoders: How many.
        threads: Processors of each.
        gpus: Of each.
    """

    encoders: int
    threads: int
    gpus: int


def pool_of(ray: Any, encoders: int | None) -> Pool:
    """A pool that fits the cluster: an encoder for each GPU, or else one for every four processors of a machine.

    Args:
        ray: The module, connected.
        encoders: How many; None for as many as fit.

    Raises:
        ServerError: No machine of the cluster has a processor for one.
    """
    resources = [node["Resources"] for node in nodes_of(ray)]
    gpus = int(sum(one.get("GPU", 0) for one in resources))
    processors = [int(one.get("CPU", 0)) for one in resources if one.get("CPU", 0) >= 1]
    if not processors:
        raise ServerError("No machine of the Ray cluster offers a processor. Start one with `ray start --num-cpus`.")
    if gpus and (encoders is None or encoders <= gpus):
        return Pool(gpus if encoders is None else encoders, 1, 1)
    threads = min(_THREADS, *processors)
    if encoders is not None:
        threads = max(1, min(threads, sum(processors) // encoders))
    return Pool(encoders or sum(count // threads for count in processors), threads, 0)


def encoded(
    ray: Any, tasks: Sequence[Mapping[str, Any]], pool: Pool, url: str, plan: Mapping[str, Any], make: MakeEncoder
) -> Iterator[tuple[int, dict[str, Any]]]:
    """Let a pool of encoders do tasks.

    Args:
        ray: The module, connected.
        tasks: As `BlockEncoder.run` takes them.
        pool: Of the encoders.
        url: What the build keeps.
        plan: Of the build, as JSON.
        make: Makes the model.

    Yields:
        The number of each task and its answer, as they are done.

    Raises:
        PolyvecError: One cannot be done.
    """
    if not tasks:
        return
    import ray.data as ray_data

    context = ray_data.DataContext.get_current()
    context.enable_progress_bars = False
    context.verbose_stats_logs = False
    logging.getLogger("ray.data").setLevel(logging.CRITICAL)
    items = [{"number": number, "task": json.dumps(task)} for number, task in enumerate(tasks)]
    answers = ray_data.from_items(items, override_num_blocks=min(len(items), _MOST_PARTS)).map_batches(
        _Encoding,
        fn_constructor_args=(url, dict(plan), make, pool.threads),
        batch_size=1,
        compute=ray_data.ActorPoolStrategy(size=min(pool.encoders, len(items))),
        num_cpus=pool.threads,
        num_gpus=pool.gpus or None,
    )
    with _ray_errors(ray):
        for row in answers.iter_rows():
            yield int(row["number"]), _answer(json.loads(row["answer"]))


def each(
    ray: Any, function: Callable[..., dict[str, Any]], arguments: Sequence[tuple[Any, ...]]
) -> Iterator[tuple[int, dict[str, Any]]]:
    """Call a function once for each of several arguments, on whatever machines have room.

    Args:
        ray: The module, connected.
        function: Of a module; gives plain JSON values.
        arguments: Of each call.

    Yields:
        The number of each call and its result, as they are done.

    Raises:
        PolyvecError: One cannot be done.
    """
    remote = ray.remote(num_cpus=1, max_retries=_TRIES, scheduling_strategy="SPREAD")(_answered)
    with _ray_errors(ray):
        waiting = {remote.remote(function, one): number for number, one in enumerate(arguments)}
        try:
            while waiting:
                (done, *_), _ = ray.wait(list(waiting), num_returns=1)
                number = waiting.pop(done)
                yield number, _answer(ray.get(done))
        finally:
            for one in waiting:
                ray.cancel(one)


class _Encoding:
    """A `BlockEncoder` as Ray Data calls it."""

    def __init__(self, *arguments: Any) -> None:
        self._encoder = BlockEncoder(*arguments)

    def __call__(self, batch: dict[str, Any]) -> dict[str, Any]:
        answers = [_answered(self._encoder.run, (json.loads(str(task)),)) for task in batch["task"]]
        return {"number": batch["number"], "answer": [json.dumps(answer) for answer in answers]}


def _answered(function: Callable[..., dict[str, Any]], arguments: tuple[Any, ...]) -> dict[str, Any]:
    try:
        return {"answer": function(*arguments)}
    except PolyvecError as error:
        return {"raised": type(error).__name__, "message": str(error)}
    except MemoryError:
        return {"raised": "StorageError", "message": "A machine is out of memory. Use fewer encoders, or larger ones."}


def _answer(given: dict[str, Any]) -> dict[str, Any]:
    if "raised" in given:
        raise getattr(errors, given["raised"], errors.StorageError)(given["message"])
    answer: dict[str, Any] = given["answer"]
    return answer


class _ray_errors:
    """What Ray itself raises, as one line."""

    def __init__(self, ray: Any) -> None:
        self._kinds = (ray.exceptions.RayError,)

    def __enter__(self) -> None:
        pass

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: object) -> None:
        if error is not None and isinstance(error, self._kinds):
            lines = [line.strip() for line in str(error).splitlines() if line.strip()] or [type(error).__name__]
            raise ServerError(
                f"The Ray cluster could not go on: {lines[-1][:300].rstrip('.')}. The same command goes on with what is done."
            ) from error
