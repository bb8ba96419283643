"""Two model folders of one shape -> one whose weights lie between theirs.

What a stage learned and what it forgot of the stages before do not weigh alike: a point between the two models is often better
than either. Knows nothing about data or training.
"""

from __future__ import annotations

import shutil
from pathlib import Path

from safetensors.torch import load_file, save_file

from polyvec.arguments import number
from polyvec.atomic import staged
from polyvec.data.files import as_path
from polyvec.errors import InputError


def average(before: Path, after: Path, output: Path, *, share: float = 0.5) -> None:
    """Write `output`: share of the weights of `after`, the rest of `before`, in the precision of `after`.

    Both are folders of unpacked models; everything but the weights is that of `after`.

    Raises:
        InputError: Models whose weights differ in names or shapes and for a share outside 0 to 1.
        StorageError: Something is in the way.
    """
    share = number("share", share, "a number from 0 (before) to 1 (after)", lambda value: 0 <= value <= 1)
    before, after = as_path(before, "a folder of a model"), as_path(after, "a folder of a model")
    files = sorted(path.relative_to(after) for path in after.rglob("*.safetensors"))
    if not files or any(path.name.startswith("packed-") for path in files):
        raise InputError(f"{after} holds no unpacked weights. Write it unpacked first: polyvec convert MODEL OUT.")
    with staged(output) as staging:
        shutil.copytree(after, staging, dirs_exist_ok=True)
        for name in files:
            if not (before / name).is_file():
                raise InputError(f"{before} has no {name}, which {after} has. Average two stages of one model.")
            old, new = load_file(before / name), load_file(after / name)
            odd = sorted(key for key in old.keys() | new.keys() if _shape(old.get(key)) != _shape(new.get(key)))
            if odd:
                raise InputError(
                    f"{before} and {after} differ in the shape of {odd[0]}. Average two stages of one model."
                )
            mixed = {
                key: ((1 - share) * old[key].float() + share * value.float()).to(value.dtype)
                for key, value in new.items()
            }
            save_file(mixed, staging / name, metadata={"format": "pt"})


def _shape(tensor: object) -> object:
    return getattr(tensor, "shape", None)
