"""Commands about models: doctor, convert, encode."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import click
from rich.table import Table

from polyvec.cli.lines import printable
from polyvec.cli.options import (
    COUNT,
    EXISTING_PATH,
    NAME,
    NUMBER,
    PATH,
    PATH_OR_DASH,
    dim_option,
    json_option,
    model_option,
)
from polyvec.cli.render import console, human_bytes, line, print_done, print_json, progress_bar


@click.command()
@click.argument("checkpoint", metavar="[CHECKPOINT]", type=NAME, required=False)
@dim_option
@click.option("--backend", type=click.Choice(["auto", "native", "torch"]), default="auto", show_default=True)
@json_option
def doctor(checkpoint: str | None, dim: int | None, backend: str, as_json: bool) -> int:
    """Show what a checkpoint says of itself, and test it.

    It must load as what it says. CHECKPOINT is a folder or a hub name; without it, the default model. Exit 1 where a
    test fails.
    """
    from polyvec.encoder import Encoder
    from polyvec.encoder.doctor import examine

    report = examine(Encoder(checkpoint, dim=dim, backend=backend))  # type: ignore[arg-type]  # checked by click
    if as_json:
        print_json(report.to_dict())
        return 0 if report.ok else 1
    facts = Table(box=None, pad_edge=False, padding=(0, 2), show_header=False)
    facts.add_column(style="cyan", no_wrap=True)
    facts.add_column(overflow="fold")
    for fact in report.facts:
        facts.add_row(printable(fact.what), line(fact.value, (f"  {fact.source}", "dim")))
    console.print(facts)
    for note in report.unusual:
        console.print(line(("! ", "bold yellow"), note))
    for check in report.checks:
        mark = ("✓ ", "bold green") if check.ok else ("✗ ", "bold red")
        console.print(line(mark, check.what, (f"  {check.detail}", "dim")))
    return 0 if report.ok else 1


@click.command()
@click.argument("checkpoint", metavar="CHECKPOINT", type=NAME)
@click.argument("out", metavar="OUT", type=PATH)
@click.option(
    "--to",
    "layout",
    type=click.Choice(["native", "packed", "pylate", "rotary"]),
    default="native",
    show_default=True,
    help="native: sentence-transformers' own. packed: native at a quarter of its size. pylate: PyLate's. "
    "rotary: BERT or XLM-R with rotary positions.",
)
@dim_option
@click.option("--tokenizer", type=EXISTING_PATH, help="rotary: take this folder's vocabulary.")
@click.option("--rotary-base", type=NUMBER, default=10000.0, show_default=True, help="rotary: base of the wavelengths.")
@click.option("--max-length", type=COUNT, default=8192, show_default=True, help="rotary: tokens the model shall take.")
@json_option
def convert(
    checkpoint: str,
    out: Path,
    layout: str,
    dim: int | None,
    tokenizer: Path | None,
    rotary_base: float,
    max_length: int,
    as_json: bool,
) -> None:
    """Write CHECKPOINT to the new folder OUT in another layout."""
    from polyvec.atomic import check_new_folder

    check_new_folder(out)
    if layout == "rotary":
        from polyvec.encoder.checkpoint import locate
        from polyvec.encoder.rotary import convert_to_rotary

        if dim is not None:
            raise click.UsageError("--dim is for a model with heads; a rotary backbone has none.")
        rows = convert_to_rotary(
            locate(checkpoint).folder, out, tokenizer=tokenizer, rotary_base=rotary_base, max_length=max_length
        )
        detail = f"vocabulary: {rows['copied']:,} rows copied, {rows['averaged']:,} averaged, {rows['random']:,} drawn"
        result: dict[str, object] = {"out": str(out), "layout": layout, "vocabulary": rows}
    else:
        from polyvec.encoder import Encoder
        from polyvec.encoder.convert import save_pylate
        from polyvec.encoder.packed import save_packed

        if tokenizer is not None:
            raise click.UsageError("--tokenizer goes with --to rotary.")
        encoder = Encoder(checkpoint, dim=dim)
        if layout == "native":
            encoder.save(out)
        elif layout == "packed":
            save_packed(encoder.loaded, out)
        else:
            save_pylate(encoder.loaded, out)
        detail = f"{encoder.dim} dimensions"
        result = {"out": str(out), "layout": layout, "dim": encoder.dim}
    if as_json:
        print_json(result)
    else:
        print_done(f"{layout} folder in ", (out, "bold"), (f" ({detail})", "dim"))


@click.command()
@click.argument("source", metavar="TEXTS", type=PATH_OR_DASH)
@click.argument("out", metavar="OUT", type=PATH)
@click.option("--queries", is_flag=True, help="TEXTS are queries, not documents.")
@model_option
@dim_option
@click.option(
    "--pool-factor", type=NUMBER, default=1.0, show_default=True, help="Keep about 1/F of a document's vectors."
)
@json_option
def encode(
    source: Path, out: Path, queries: bool, model: str | None, dim: int | None, pool_factor: float, as_json: bool
) -> None:
    """Turn TEXTS into token vectors in the file OUT.

    OUT is a .npz or .safetensors file. TEXTS is what `polyvec index` takes, or with --queries what `polyvec search`
    takes. OUT holds `vectors` (tokens x dim, float32), `doclens` (vectors of each text), `token_ids`, and the texts'
    `ids`.
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
            encoder.encode_queries(texts, progress=advance)
            if queries
            else encoder.encode_documents(texts, progress=advance)
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


__all__ = ["convert", "doctor", "encode"]
