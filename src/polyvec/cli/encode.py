"""polyvec encode: texts -> a file of token vectors."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import click

from polyvec.cli.command import command
from polyvec.cli.options import PATH, PATH_OR_DASH, dim_option, json_option, model_option, pool_factor_option
from polyvec.cli.render import human_bytes, print_done, print_json, progress_bar


@command(
    examples=[
        "polyvec encode docs.jsonl vectors.npz",
        "polyvec encode questions.txt queries.safetensors --as-queries",
    ]
)
@click.argument("source", metavar="TEXTS", type=PATH_OR_DASH)
@click.argument("out", metavar="OUT", type=PATH)
@click.option("--as-queries", "queries", is_flag=True, help="TEXTS are queries, not documents.")
@model_option
@dim_option
@pool_factor_option
@json_option
def encode(
    source: Path, out: Path, queries: bool, model: str | None, dim: int | None, pool_factor: float, as_json: bool
) -> None:
    """Turn TEXTS into token vectors in the file OUT.

    OUT is a .npz or .safetensors file. TEXTS is what `polyvec index` takes, or with --as-queries what `polyvec search
    --queries` takes. OUT holds `vectors` (tokens x dim, float32), `doclens` (vectors of each text), `token_ids`, and the
    texts' `ids`.
    """
    from polyvec.encoder import Encoder
    from polyvec.encoder.vectors_file import check_target, write_vectors

    check_target(out)
    encoder = Encoder(model, dim=dim, pool_factor=pool_factor)
    with progress_bar("texts") as bar:
        task = bar.add_task("encoding", total=None, done="0", rate="")
        done = 0

        def advance(n: int) -> None:
            nonlocal done
            done += n
            bar.update(task, advance=n, done=f"{done:,}")

        ids, texts = _ids_and_texts(source, queries)
        stream = (
            encoder.stream_queries(texts, progress=advance)
            if queries
            else encoder.stream_documents(texts, progress=advance)
        )
        written = write_vectors(out, stream, ids, dim=encoder.dim, model=encoder.name)
    result = {"out": str(out), "texts": written.texts, "vectors": written.vectors, "dim": encoder.dim}
    if as_json:
        print_json({**result, "size_bytes": out.stat().st_size})
        return
    size = human_bytes(out.stat().st_size)
    print_done(f"{written.texts:,} texts, {written.vectors:,} vectors, {size} in ", (out, "bold"))


def _ids_and_texts(source: Path, queries: bool) -> tuple[list[str], Iterable[str]]:
    """Ids, which fill as the texts are read, and the texts."""
    from polyvec.data import read_documents, read_queries

    ids: list[str] = []

    def texts() -> Iterable[str]:
        if queries:
            for query in read_queries(source):
                ids.append(query.id)
                yield query.text
        else:
            for document in read_documents(source):
                ids.append(document.id)
                yield document.encoded_text

    return ids, texts()
