"""polyvec convert: a checkpoint in another layout."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from polyvec.cli.command import command
from polyvec.cli.options import COUNT, EXISTING_PATH, NAME, NUMBER, PATH, dim_option, json_option
from polyvec.cli.render import print_done, print_json

if TYPE_CHECKING:
    from polyvec.encoder import Encoder


@command(
    examples=[
        "polyvec convert jinaai/jina-colbert-v2 jina-folder",
        "polyvec convert my-model pylate-folder --to pylate",
    ]
)
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
    from polyvec.encoder.installed import need_torch
    from polyvec.encoder.locate import locate
    from polyvec.encoder.model_folder.packing import save_packed_copy

    if tokenizer is not None and layout != "rotary":
        raise click.UsageError("--tokenizer goes with --to rotary.")
    result: dict[str, object] = {"out": str(out), "layout": layout}
    if layout == "rotary":
        from polyvec.encoder.checkpoints.rotary import convert_to_rotary

        if dim is not None:
            raise click.UsageError("--dim is for a model with heads; a rotary backbone has none.")
        need_torch("--to rotary")
        rows = convert_to_rotary(
            locate(checkpoint).folder, out, tokenizer=tokenizer, rotary_base=rotary_base, max_length=max_length
        )
        detail = f"vocabulary: {rows['copied']:,} rows copied, {rows['averaged']:,} averaged, {rows['random']:,} drawn"
        result["vocabulary"] = rows
    else:
        from polyvec.encoder import Encoder

        encoder = Encoder(checkpoint, dim=dim)
        source = encoder.description
        whole = source.kind in ("native", "pylate") and any(source.folder.glob("model*.safetensors"))
        if layout == "packed" and dim is None and whole:
            save_packed_copy(source.folder, out)
        else:
            need_torch(f"--to {layout} of this checkpoint")
            _save(encoder, out, layout)
        detail = f"{encoder.dim} dimensions"
        result["dim"] = encoder.dim
    if as_json:
        print_json(result)
    else:
        print_done(f"{layout} folder in ", (out, "bold"), (f" ({detail})", "dim"))


def _save(encoder: Encoder, out: Path, layout: str) -> None:
    from polyvec.encoder.checkpoints.convert import save_pylate
    from polyvec.encoder.checkpoints.packed import save_packed

    if layout == "native":
        encoder.save(out)
    elif layout == "packed":
        save_packed(encoder.loaded, out)
    else:
        save_pylate(encoder.loaded, out)
