"""What does each choice of the training do? Small models from one start, each with one thing changed, judged alike.

    python benchmarks/findings.py DATA WORK [--page docs/findings.md]

DATA holds train/ and eval/ as the recipes name them. A vocabulary of 16,000 pieces is learned, the model goes through a short
transfer, and every arm trains it with stage pairs, two seeds each. What is done is in WORK/findings.jsonl, and a run begun again
goes on after it. Under an hour on two cores.
"""

from __future__ import annotations

import argparse
import json
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from statistics import mean
from typing import Any

from polyvec.evaluation.dataset import load_dataset
from polyvec.evaluation.encodings import Encodings
from polyvec.evaluation.evaluation import evaluate
from polyvec.training.rows import read_rows

LANGUAGES = ["ar", "de", "el", "en", "es", "hi", "pl", "ru", "th", "tr", "vi", "zh"]
MIXED = ["en", "zh"]  # of xquad-mixed
SAME = ["arcd-ar", "poquad-pl"]
HEADS = [32, 64, 96, 128]
SEEDS = (1, 2)
INSTRUCTION = "Find a passage that answers the question: "
TRANSFER_STEPS, PAIRS_STEPS = 100, 40
SCORED_EVERY = 10  # of the questions are scored for stage distill
BEGIN, END = "<!-- findings: begin -->", "<!-- findings: end -->"
EVERY = 3  # of the mixed questions are asked


@dataclass(frozen=True)
class Arm:
    """One thing changed: tables of the recipe of stage pairs, or where that stage starts."""

    what: str
    tables: dict[str, dict[str, Any]] = field(default_factory=dict)
    start: str = "rotary-transfer"
    trained: bool = True
    dims: tuple[int, ...] = (128,)
    then: str = ""  # a stage after it, of as many steps


ARMS = {
    "base": Arm("all stages, untied heads, no padding, mean scores, rotary positions", dims=(128, 96, 64, 32)),
    "tied": Arm("heads are slices of one", {"model": {"tied": True}}, dims=(128, 96, 64, 32)),
    "mask": Arm("queries padded to 32 with mask tokens", {"model": {"query_length": 32}}),
    "blind": Arm("the same, not attended to", {"model": {"query_length": 32, "attend_to_mask": False}}),
    "sum": Arm(
        "scores are sums over query tokens, temperature 0.3", {"objective": {"normalize": False, "temperature": 0.3}}
    ),
    "instruction": Arm("an instruction before every query", start="instruction"),
    "untransferred": Arm("no stage transfer", start="rotary"),
    "unpaired": Arm("no stage pairs", trained=False),
    "absolute": Arm("absolute positions", start="absolute-transfer"),
    "masked": Arm("stage mlm before transfer", start="rotary-mlm-transfer"),
    "longer": Arm("stage pairs twice", then="pairs"),
    "distilled": Arm("stage distill after pairs, candidates scored by polyvec-mini", then="distill"),
    "bigrams": Arm("hashed bigrams in the vectors, weight 0.65", {"model": {"bigrams": 0.65}}),
}


def data(folder: Path, *, kind: str) -> list[dict[str, Any]]:
    """[[data]] of a recipe: translations, or the mix of stage pairs."""
    parallel, qa = folder / "train/parallel", folder / "train/qa"
    ntrex = {"path": f"{parallel}/ntrex.jsonl.zst", "languages": LANGUAGES}
    if kind != "pairs":
        others = [code for code in LANGUAGES if code != "en"]  # English is the other side
        return [{**ntrex, "kind": "parallel", "languages": others}]
    asked = {"kind": "versions", "group_field": "group", "passage_tokens": 72}
    questions = [
        {"path": f"{qa}/{name}.jsonl.zst", "kind": "pairs"}
        for name in ("drcd", "arcd", "poquad", "tquad", "fairytaleqa")
    ]
    return [*questions, {**ntrex, **asked, "weight": 4.0}]


def toml(tables: dict[str, Any]) -> str:
    """A recipe's file: values that JSON and TOML write alike, one level of tables, and [[data]]."""

    def lines(values: dict[str, Any]) -> list[str]:
        return [f"{key} = {json.dumps(value)}" for key, value in values.items()]

    written = lines({key: value for key, value in tables.items() if key != "data" and not isinstance(value, dict)})
    for key, value in tables.items():
        written += ["", f"[{key}]", *lines(value)] if isinstance(value, dict) else []
    for one in tables["data"]:
        written += ["", "[[data]]", *lines(one)]
    return "\n".join(written) + "\n"


def trained(work: Path, name: str, tables: dict[str, Any]) -> Path:
    """The folder of a model, trained unless it is there; what an interrupted run left is thrown away."""
    folder = work / name
    if folder.exists():
        return folder
    shutil.rmtree(work / f"{name}.training", ignore_errors=True)
    recipe = work / f"{name}.toml"
    recipe.write_text(toml({"output": str(folder), **tables}), encoding="utf-8")
    print(f"{time.strftime('%H:%M:%S')} {name}", flush=True)
    subprocess.run([sys.executable, "-m", "polyvec", "train", str(recipe)], check=True, stdout=subprocess.DEVNULL)
    shutil.rmtree(work / f"{name}.cache", ignore_errors=True)
    return folder


def stage(kind: str, start: Path | str, folder: Path, steps: int, seed: int = 0) -> dict[str, Any]:
    """The tables that all arms share."""
    return {
        "stage": kind,
        "seed": seed,
        "model": {"start": str(start), "heads": HEADS},
        "batches": {"rows": 32, "tokens": 2560, "language_power": 0.3, "query_tokens": 40, "document_tokens": 80},
        "optimizer": {"steps": steps, "rate": 3e-4, "embedding_rate": 1e-3, "warmup": 0.1, "precision": "bf16"},
        "objective": {"temperature": 0.03},
        "checkpoints": {"every": 10_000},
        "data": data(folder, kind=kind),
    }


def scored(work: Path, folder: Path) -> Path:
    """Questions of five languages with candidates that polyvec-mini found and scored."""
    asked, mined, made = (work / f"{name}.jsonl" for name in ("asked", "mined", "scored"))
    if not made.exists():
        with asked.open("w", encoding="utf-8") as file:
            for one in data(folder, kind="pairs")[:-1]:
                for row in islice(read_rows(Path(one["path"])), 0, None, SCORED_EVERY):
                    file.write(json.dumps(row, ensure_ascii=False) + "\n")
        for command in (("mine", asked, mined), ("teach", mined, made, "--late", "polyvec-mini")):
            print(f"{time.strftime('%H:%M:%S')} {command[0]}", flush=True)
            subprocess.run([sys.executable, "-m", "polyvec", *map(str, command)], check=True, stdout=subprocess.DEVNULL)
    return made


def second(kind: str, start: Path, work: Path, folder: Path, seed: int) -> dict[str, Any]:
    """The tables of a stage that follows stage pairs."""
    tables = stage("pairs", start, folder, PAIRS_STEPS, seed + 100)  # other batches than the first
    if kind == "distill":
        tables |= {"stage": kind, "data": [{"path": str(scored(work, folder)), "kind": "scored"}]}
        tables["batches"]["rows"] = 8  # with eight candidates each
    return tables


def begun(work: Path, folder: Path, name: str) -> Path:
    """Where an arm starts: an untrained model of either kind of positions, after the stages in its name, or with an instruction."""
    if name == "instruction":
        made = work / name
        if not made.exists():
            shutil.copytree(begun(work, folder, "rotary-transfer"), made)
            path = made / "config_sentence_transformers.json"
            config = json.loads(path.read_text(encoding="utf-8"))
            config["prompts"]["query"] += INSTRUCTION
            path.write_text(json.dumps(config), encoding="utf-8")
        return made
    before, _, last = name.rpartition("-")
    if before:
        return trained(work, name, stage(last, begun(work, folder, before), folder, TRANSFER_STEPS))
    model = {"heads": HEADS, "positions": name, "max_length": 512, "document_length": 256}
    vocabulary = {"size": 16_000, "characters": 4_000_000, "language_power": 0.3}
    return trained(
        work, name, {"stage": "start", "model": model, "vocabulary": vocabulary, "data": data(folder, kind="start")}
    )


def mixed(work: Path, folder: Path) -> Path:
    """xquad-mixed in some of its languages: a question against all of them, its passage in each counts."""
    source, made = folder / "eval/xquad-mixed", work / "mixed"
    (made / "qrels").mkdir(parents=True, exist_ok=True)

    def spoken(line: str) -> bool:
        return json.loads(line)["lang"] in MIXED

    def rows(name: str) -> Iterator[str]:
        return iter((source / name).read_text(encoding="utf-8").splitlines(keepends=True))

    (made / "corpus.jsonl").write_text("".join(filter(spoken, rows("corpus.jsonl"))), encoding="utf-8")
    asked = list(filter(spoken, rows("queries.jsonl")))[::EVERY]
    (made / "queries.jsonl").write_text("".join(asked), encoding="utf-8")
    ids = {json.loads(line)["_id"] for line in asked}
    head, *judged = rows("qrels/test.tsv")
    kept = [line for line in judged if line.split("\t")[0] in ids and line.split("\t")[1].split("-")[0] in MIXED]
    (made / "qrels/test.tsv").write_text(head + "".join(kept), encoding="utf-8")
    return made


def measured(model: Path, dims: tuple[int, ...], sets: list[Path]) -> dict[int, list[float]]:
    """nDCG@10 of each set through the index, 4 bits, by head; texts go through the model once."""
    encodings = Encodings(str(model), dims)
    found: dict[int, list[float]] = {dim: [] for dim in dims}
    for one in map(load_dataset, sets):
        for dim in dims:
            measures = evaluate(one, encoder=encodings.encoder(dim)).measures
            found[dim].append(round(measures["nDCG@10"], 4))
    return found


def table(found: list[dict[str, Any]]) -> str:
    """Arms with what was measured of them: seed by seed, then the mean."""
    lines = [
        "| what is changed | dims | same language | mean | mixed | mean |",
        "| --- | --- | --- | --- | --- | --- |",
    ]
    for name, arm in ARMS.items():
        for dim in arm.dims:
            rows = [row for row in found if row["arm"] == name and row["dim"] == dim]
            if not rows:
                continue
            cells = []
            for key in ("same", "mixed"):
                values = [row[key] for row in rows]
                cells += [" · ".join(f"{value:.3f}" for value in values), f"{mean(values):.3f}"]
            lines.append(f"| {arm.what} | {dim} | {' | '.join(cells)} |")
    return "\n".join(lines)


def write(path: Path, found: list[dict[str, Any]]) -> None:
    """Put the table between its marks; what somebody wrote about it stays as it is."""
    before, mark, rest = path.read_text(encoding="utf-8").partition(BEGIN)
    _, end, after = rest.partition(END)
    if not (mark and end):
        raise SystemExit(f"{path} has no place for the table. Write {BEGIN} and {END} into it.")
    path.write_text(f"{before}{BEGIN}\n\n{table(found)}\n\n{END}{after}", encoding="utf-8")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("data", type=Path)
    parser.add_argument("work", type=Path)
    parser.add_argument("--page", type=Path)
    given = parser.parse_args()
    given.work.mkdir(parents=True, exist_ok=True)
    done = given.work / "findings.jsonl"
    found = [json.loads(line) for line in done.read_text(encoding="utf-8").splitlines()] if done.exists() else []
    sets = [given.data / "eval" / name for name in SAME] + [mixed(given.work, given.data)]
    for seed in SEEDS:
        for name, arm in ARMS.items():
            if not arm.trained and seed != SEEDS[0]:  # it would be the same model
                continue
            if {row["dim"] for row in found if row["arm"] == name and row["seed"] == seed} >= set(arm.dims):
                continue
            model = begun(given.work, given.data, arm.start)
            if arm.trained:
                tables = stage("pairs", model, given.data, PAIRS_STEPS, seed)
                for table, values in arm.tables.items():
                    tables[table] = {**tables[table], **values}
                if arm.then:
                    model = trained(given.work, f"base-{seed}", tables)
                    tables = second(arm.then, model, given.work, given.data, seed)
                model = trained(given.work, f"{name}-{seed}", tables)
            rows = []
            for dim, (*same, between) in measured(model, arm.dims, sets).items():
                rows.append({"arm": name, "seed": seed, "dim": dim, "same": mean(same), "mixed": between, "sets": same})
            with done.open("a", encoding="utf-8") as file:
                file.write("".join(json.dumps(row) + "\n" for row in rows))
            found += rows
            if given.page:
                write(given.page, found)


if __name__ == "__main__":
    main()
