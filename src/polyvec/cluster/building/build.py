"""Documents -> shards, built by many machines: read, train one codec, encode, write; then the shards appear at once.

Ray places the work and runs it again where a process or a machine is lost. Every result is an object whose name and content follow
from the documents, so that nothing is there twice or missing. The codes are those of an index that one machine builds of the same
documents. Run again, an interrupted build goes on.
"""

from __future__ import annotations

import contextlib
import logging
import os
import shutil
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from polyvec.arguments import flag, function, shown, whole_number
from polyvec.atomic import check_new_folder
from polyvec.cluster.building.codec import Sampling, needs_count, train
from polyvec.cluster.building.documents import File, Staged, check_staged, stage_file
from polyvec.cluster.building.encoding import DefaultEncoder, MakeEncoder
from polyvec.cluster.building.inputs import inputs_at
from polyvec.cluster.building.plan import PLAN, Plan, begin
from polyvec.cluster.building.tasks import Pool, each, encoded, pool_of
from polyvec.cluster.building.work import Block, Work
from polyvec.cluster.building.writing import RESULT, write_shard
from polyvec.cluster.ray_session import need_ray, ray_session
from polyvec.collection.settings import DEFAULT_NBITS, new_settings
from polyvec.errors import InputError, StorageError
from polyvec.index.catalog.settings import CodecRecord
from polyvec.index.format import sync_folder
from polyvec.index.place import absolute
from polyvec.index.writing.writer import Writer
from polyvec.publish.published_shards import BUILD, ShardVersion, check_place, publish_together
from polyvec.publish.store import Store, parsed_url
from polyvec.shards.manifest import Manifest
from polyvec.shards.routing import MOST_SHARDS
from polyvec.shards.shards import finish_folder, new_manifest
from polyvec.shards.upkeep import measure

log = logging.getLogger(__name__)

BLOCK_DOCUMENTS = 512
Progress = Callable[[str, int, int | None], None]


@dataclass(frozen=True)
class Built:
    """What a build made.

    Attributes:
        target: Where the shards are, in one spelling.
        version: Of the published shards; None for a folder.
        shards: How many.
        documents: In all shards.
        tokens: Token vectors of those.
        truncated: Documents that were cut at the model's limit.
        empty: Documents without text and title, which were left out.
        known: Documents that an earlier run had encoded.
        size_bytes: Of all shards.
    """

    target: str
    version: int | None
    shards: int
    documents: int
    tokens: int
    truncated: int
    empty: int
    known: int
    size_bytes: int


def build_shards(
    docs: str | os.PathLike[str],
    target: str | os.PathLike[str],
    *,
    shards: int = 4,
    encoder: MakeEncoder | None = None,
    nbits: int = DEFAULT_NBITS,
    encoders: int | None = None,
    address: str | None = None,
    restart: bool = False,
    progress: Progress | None = None,
    block_documents: int = BLOCK_DOCUMENTS,
) -> Built:
    """Build shards of documents on a Ray cluster.

    Machines share nothing but `target`, and `docs` where it is an address. What an interrupted run has done is not done again.

    Args:
        docs: A file or folder of documents on this machine, or an address: s3://, gs://, az://, file://.
        target: A folder that is free, which `Shards.open` opens then and which all machines have to see; or an address, where the
            shards are published as a new version.
        shards: How many, from 1 to 64.
        encoder: Makes the model on each machine, and takes how many threads it may use; None for the default model.
        nbits: Bits a dimension of a stored token vector: 1, 2, 4, 8 or 16.
        encoders: How many models encode at once; None for as many as fit the cluster.
        address: Of the Ray cluster, as `ray_session` has it.
        restart: Whether what an interrupted run has left is deleted first.
        progress: Called with what is done, how much of it, and how much there is in all, where that is known.
        block_documents: Documents that are encoded as one task, at most.

    Returns:
        What was made.

    Raises:
        InputError: Documents cannot be stored, an id comes twice, there are none, or an option makes no sense.
        StorageError: The target is taken or cannot be written, or an interrupted build there is another one.
        ServerError: The Ray cluster cannot be reached, or is lost.
        MissingExtraError: Ray is not installed.
    """
    need_ray()
    function("encoder", encoder)
    function("progress", progress)
    count = whole_number("shards", shards, most=MOST_SHARDS, of="shards")
    most = None if encoders is None else whole_number("encoders", encoders, of="encoders")
    size = whole_number("block_documents", block_documents, of="documents")
    flag("restart", restart)
    inputs = inputs_at(_text("docs", docs))
    place = _Target(_text("target", target))
    make = encoder or DefaultEncoder()
    settings = new_settings(encoder=make(1), dim=None, nbits=nbits, state="ready", source=None)
    assert settings.model is not None
    plan = Plan(
        inputs=tuple(inputs),
        target=place.name,
        published=place.folder is None,
        shards=count,
        dim=settings.dim,
        nbits=settings.nbits,
        model=settings.model,
        block_documents=size,
    )
    work = place.opened(restart)
    resumed = begin(work, plan)
    job = _Job(work, plan, make, most, progress or _unseen)
    try:
        files = job.read_here()
        with ray_session(address) as ray:
            built = job.run(ray, files)
    except InputError:
        if not resumed:
            with contextlib.suppress(StorageError):
                place.cleared(work)  # what is read anew is another build
        raise
    return place.finished(work, built)


class _Target:
    """Where shards go, and what a build keeps until they are there.

    Attributes:
        name: In one spelling.
        folder: On this disk; None where they are published.
    """

    def __init__(self, target: str) -> None:
        if "://" in target:
            self.name, folder = parsed_url(target)
            if folder is not None:
                self.name = folder.as_uri()  # a folder that stands for an object store
            self.folder: Path | None = None
            self.work = f"{self.name}/{BUILD}"
        else:
            self.folder = absolute(target)
            self.name = str(self.folder)
            self.work = str(self.folder.with_name(f".{self.folder.name}.building"))

    def opened(self, restart: bool) -> Work:
        """What an earlier run has left, or a new place for it. Raises StorageError where something else is in the way."""
        if self.folder is None:
            check_place(Store(self.name, make=True))
        else:
            check_new_folder(self.folder)
            if not self.folder.parent.is_dir():
                self.folder.parent.mkdir(parents=True)
        work = Work(self.work, make=True)
        begun = work.store.found(PLAN) is not None
        if not begun and work.store.listed(""):
            raise StorageError(f"{self.work} is in the way, and no build has left it. Move it elsewhere.")
        if begun and restart:
            self.cleared(work)
            work = Work(self.work, make=True)
        return work

    def cleared(self, work: Work) -> None:
        """Remove what the build keeps."""
        work.clear()
        if "://" not in work.url:
            shutil.rmtree(work.url, ignore_errors=True)

    def finished(self, work: Work, made: _Made) -> Built:
        """Let the shards appear, whole."""
        manifest = made.manifest
        version = None
        if self.folder is None:
            parts = [
                ShardVersion(one["name"], one["version"], one["publication"], one["documents"], one["tokens"])
                for one in made.shards
            ]
            version = publish_together(Store(self.name), manifest, parts).version
        else:
            result = Path(work.url) / RESULT
            for path in result.iterdir():  # of writers that were cut off
                if path.name not in manifest.shards:
                    shutil.rmtree(path)
            with contextlib.ExitStack() as held:
                writers = [held.enter_context(contextlib.closing(Writer(result / name))) for name in manifest.shards]
                measure(writers, manifest.dim)
            finish_folder(result, manifest)
            check_new_folder(self.folder)
            if self.folder.is_dir():
                self.folder.rmdir()
            os.rename(result, self.folder)
            sync_folder(self.folder.parent)
        try:
            self.cleared(work)
        except StorageError as error:
            log.warning("the shards are there, but %s could not be cleared: %s", work.url, error)
        return replace(made.built, version=version)


@dataclass(frozen=True)
class _Made:
    """Shards that nobody sees yet. manifest: of all of them · shards: what became of each · built: what will be said of them."""

    manifest: Manifest
    shards: list[dict[str, Any]]
    built: Built


class _Job:
    """The steps of one build."""

    def __init__(self, work: Work, plan: Plan, make: MakeEncoder, encoders: int | None, progress: Progress) -> None:
        self._work, self._plan, self._make = work, plan, make
        self._encoders, self._progress = encoders, progress

    def read_here(self) -> dict[int, File]:
        """Read the files that this machine alone may have."""
        done = 0

        def reached(count: int) -> None:
            nonlocal done
            done += count
            self._progress("reading", done, None)

        local = [number for number, one in enumerate(self._plan.inputs) if one.is_local]
        return {number: stage_file(self._work, self._plan, number, reached) for number in local}

    def run(self, ray: Any, files: dict[int, File]) -> _Made:
        """Everything else."""
        work, plan = self._work, self._plan
        stored = plan.to_json()
        far = [number for number in range(len(plan.inputs)) if number not in files]
        for place, answer in each(ray, _stage, [(work.url, stored, number) for number in far]):
            files[far[place]] = File(**answer)
            self._progress("reading", sum(file.documents for file in files.values()), None)
        staged = Staged(tuple(files[number] for number in range(len(plan.inputs))))
        check_staged(work, plan, staged)
        pool = pool_of(ray, self._encoders)
        codec = None if plan.nbits == 16 else self._train(ray, pool, staged)
        tokens, truncated, known = self._encode(ray, pool, staged)
        shards: list[dict[str, Any]] = [{}] * plan.shards
        arguments = [(work.url, stored, [asdict(file) for file in staged.files], n, tokens) for n in range(plan.shards)]
        self._progress("writing", 0, plan.shards)
        for done, (number, facts) in enumerate(each(ray, _write, arguments), start=1):
            shards[number] = facts
            self._progress("writing", done, plan.shards)
        if sum(facts["documents"] for facts in shards) != staged.documents:
            raise StorageError(f"{work.url}: the shards do not hold what was read. Build anew with --restart.")
        empty = sum(file.empty for file in staged.files)
        if empty:
            first = next(file.first_empty for file in staged.files if file.empty)
            log.warning("%s documents have neither text nor title and are left out, %r first.", f"{empty:,}", first)
        manifest = replace(
            new_manifest(plan.settings(), plan.shards), codecs=() if codec is None else (codec.checksum,)
        )
        size = sum(facts["size_bytes"] for facts in shards)
        built = Built(plan.target, None, plan.shards, staged.documents, tokens, truncated, empty, known, size)
        return _Made(manifest, shards, built)

    def _train(self, ray: Any, pool: Pool, staged: Staged) -> CodecRecord:
        """Encode a sample, and train the codec on it."""
        work, plan = self._work, self._plan
        if (stored := work.find_json("codec.json")) is not None:
            return CodecRecord.from_json(stored)
        sampling = Sampling(work, staged)
        while tasks := sampling.next_tasks():
            self._progress("sampling", sampling.tokens, None)
            answers: list[dict[str, Any]] = [{}] * len(tasks)
            for number, answer in self._encoded(ray, pool, tasks):
                answers[number] = answer
            sampling.take(answers)
        expected = sampling.tokens if sampling.is_whole else round(sampling.mean_tokens * staged.documents)
        if needs_count(sampling, staged):
            counted = self._counted(ray, pool, staged.all_blocks())
            expected = expected if counted is None else counted
        self._progress("training", 0, None)
        ((_, answer),) = each(ray, _train, [(work.url, plan.nbits, sampling.parts, expected)])
        return CodecRecord.from_json(answer)

    def _counted(self, ray: Any, pool: Pool, blocks: list[Block]) -> int | None:
        """How many token vectors there will be; None where only encoding shows it."""
        tokens = 0
        tasks = [{"do": "count", "block": asdict(block)} for block in blocks]
        for done, (_, answer) in enumerate(self._encoded(ray, pool, tasks), start=1):
            if answer["tokens"] is None:
                return None
            tokens += answer["tokens"]
            self._progress("counting", done, len(blocks))
        return tokens

    def _encode(self, ray: Any, pool: Pool, staged: Staged) -> tuple[int, int, int]:
        """Encode every block. Returns token vectors, documents that were cut, and documents that an earlier run had encoded."""
        blocks = staged.all_blocks()
        tokens = truncated = known = done = 0
        before = self._work.names("pieces/")
        ready = [block for block in blocks if block.name in before]
        waiting = [block for block in blocks if block.name not in before]
        tasks = [{"do": "encode", "block": asdict(block)} for block in [*waiting, *ready]]
        self._progress("encoding", 0, staged.documents)
        for number, answer in self._encoded(ray, pool, tasks):
            tokens += answer["tokens"]
            truncated += answer["truncated"]
            known += answer["documents"] if number >= len(waiting) else 0
            done += answer["documents"]
            self._progress("encoding", done, staged.documents)
        there = self._work.names("pieces/")
        if missing := [block for block in blocks if block.name not in there]:
            raise StorageError(
                f"{self._work.url}: {len(missing):,} encoded blocks are missing. Run the same command again."
            )
        return tokens, truncated, known

    def _encoded(self, ray: Any, pool: Pool, tasks: list[dict[str, Any]]) -> Iterator[tuple[int, dict[str, Any]]]:
        return encoded(ray, tasks, pool, self._work.url, self._plan.to_json(), self._make)


def _stage(url: str, plan: dict[str, Any], number: int) -> dict[str, Any]:
    return asdict(stage_file(Work(url), Plan.from_json(plan), number))


def _train(url: str, nbits: int, parts: list[tuple[str, list[int]]], expected: int) -> dict[str, Any]:
    return train(Work(url), nbits, parts, expected).to_json()


def _write(url: str, plan: dict[str, Any], files: list[dict[str, Any]], shard: int, tokens: int) -> dict[str, Any]:
    staged = Staged(tuple(File(**file) for file in files))
    return write_shard(Work(url), Plan.from_json(plan), staged, shard, tokens)


def _text(name: str, value: str | os.PathLike[str]) -> str:
    try:
        text = os.fspath(value)
    except TypeError as error:
        raise InputError(f"{name}={shown(value)}: expected a path or an address.") from error
    if not isinstance(text, str) or not text:
        raise InputError(f"{name}={shown(value)}: expected a path or an address, as text.")
    return text


def _unseen(what: str, done: int, total: int | None) -> None:
    pass
