"""A model folder -> everything its writer said: backbone, projections, markers, lengths, skiplist, padding of queries.

Reads the five kinds of folders that polyvec knows, from their files alone; a caller's options come on top (`layout.py`).
"""

from __future__ import annotations

import string
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from polyvec.encoder.locate import Located
from polyvec.encoder.model_folder.artifact import HEAD_FOLDER, ROOT_HEAD, read_artifact
from polyvec.encoder.model_folder.files import read_json, read_object
from polyvec.encoder.model_folder.kind import Kind, kind_of
from polyvec.encoder.model_folder.license import tell_license
from polyvec.encoder.model_folder.tensors import read_tensors
from polyvec.encoder.native.architecture import Architecture, architecture_of, not_native
from polyvec.encoder.native.bigrams import Bigrams
from polyvec.encoder.native.tokenizer import FolderTokenizer
from polyvec.encoder.native.weights import Floats, Projection, Weight, read_weights
from polyvec.encoder.pooling import TokenPooling
from polyvec.encoder.skiplist import skiplist_pieces
from polyvec.errors import ModelError

_TRANSFORMER_FILES = tuple(f"sentence_{kind}_config.json" for kind in ("bert", "roberta", "camembert", "xlm-roberta"))
_IDENTITY = frozenset({"torch.nn.modules.linear.Identity", "torch.nn.Identity"})
_QUERY_LENGTH = 32


@dataclass(slots=True)
class Head:
    """One of a step's projections."""

    kind: str  # as sentence-transformers calls its module
    sizes: dict[int, Projection]
    active: int


@dataclass(slots=True)
class Spec:
    """What a folder says. query_expansion: strategy, length, attend and token, as sentence-transformers has them; None for none."""

    located: Located
    kind: Kind
    config: dict[str, Any]
    architecture: Architecture
    weights: dict[str, Weight]
    tokenizer: FolderTokenizer
    heads: list[Head] = field(default_factory=list)
    prompts: dict[str, str] = field(default_factory=dict)
    default_prompt: str | None = None
    document_length: int | None = None
    query_expansion: dict[str, Any] | None = None
    skiplist: list[str] = field(default_factory=list)
    skiplist_tasks: tuple[str, ...] = ("document",)
    bigrams: dict[str, Any] | None = None  # weight, special_ids, weight_at
    poolings: list[TokenPooling] = field(default_factory=list)
    unusual: list[str] = field(default_factory=list)

    @property
    def dim(self) -> int:
        """Dimensions of a token vector."""
        return self.heads[-1].active if self.heads else self.architecture.hidden

    def bigrams_of(self, dim: int) -> Bigrams | None:
        """The bigrams in vectors of this size."""
        if self.bigrams is None:
            return None
        weight = self.bigrams["weight_at"].get(str(dim), self.bigrams["weight"])
        return Bigrams(weight, tuple(sorted(set(self.bigrams["special_ids"]))))


def read_spec(located: Located) -> Spec:
    """Read a model folder.

    Raises:
        NotNativeError: for a model that needs torch.
        ModelError: for a folder that is no model, or whose files are broken.
    """
    folder, name = located.folder, located.name
    kind = kind_of(folder)
    if kind in ("native", "pylate"):
        return _from_modules(located, kind)
    weights = read_weights(folder, name)
    config = read_object(folder / "config.json")
    architecture = architecture_of(config, name, published_jina=kind == "jina")
    spec = Spec(located, kind, config, architecture, weights, FolderTokenizer(folder, name))
    if kind in ("stanford", "jina"):
        _read_published(spec)
    else:
        spec.unusual.append("it has no projection: token vectors are its hidden states")
    return spec


# -- sentence-transformers and PyLate ----------------------------------------------------------------------------------


def _from_modules(located: Located, kind: Kind) -> Spec:
    folder, name = located.folder, located.name
    settings = read_object(folder / "config_sentence_transformers.json")
    modules = read_json(folder / "modules.json")
    if not isinstance(modules, list) or not all(
        isinstance(m, dict) and isinstance(m.get("path"), str) for m in modules
    ):
        raise ModelError(f"{folder / 'modules.json'} is not a list of modules with a path each.")
    types = [str(module.get("type")).rpartition(".")[2] for module in modules]
    if not types or types[0] != "Transformer":
        raise not_native(name, f"a model that begins with {types[0] if types else 'nothing'}")
    root = _inside(folder, modules[0]["path"])
    config = read_object(root / "config.json")
    spec = Spec(
        located, kind, config, architecture_of(config, name), read_weights(root, name), FolderTokenizer(root, name)
    )
    _read_transformer(spec, root, settings)
    done = False
    for module, type_name in zip(modules[1:], types[1:], strict=True):
        done |= type_name not in ("Dense", "MatryoshkaHeads")
        if done and type_name in ("Dense", "MatryoshkaHeads"):
            raise not_native(name, f"{type_name} behind other modules")
        _read_module(spec, type_name, _inside(folder, module["path"]))
    _read_prompts(spec, settings)
    if kind == "pylate" and "MultiVectorMask" not in types:
        words = settings.get("skiplist_words")
        spec.skiplist = [str(word) for word in (string.punctuation if words is None else words)]
    return spec


def _inside(folder: Path, path: str) -> Path:
    found = (folder / path).resolve()
    if folder.resolve() not in (found, *found.parents):
        raise ModelError(f"{folder / 'modules.json'} names {path!r}, which lies outside of the model's folder.")
    return found


def _read_transformer(spec: Spec, root: Path, settings: dict[str, Any]) -> None:
    """Lengths and padding of queries, from the module's own file, else from PyLate's keys on top."""
    own = next((found for file in _TRANSFORMER_FILES if (found := read_object(root / file))), {})
    if own.get("max_seq_length") is not None:
        spec.tokenizer.model_max_length = _length(own["max_seq_length"], "max_seq_length", spec)
    markers = {
        "query_prefix",
        "document_prefix",
        "do_query_expansion",
        "attend_to_expansion_tokens",
        "attend_to_mask_tokens",
    }
    markers |= {"query_length", "document_length", "query_expansion", "skiplist_words"}
    said = {key: settings[key] for key in ("document_length", "query_expansion") if settings.get(key) is not None}
    if "query_expansion" not in settings and markers & settings.keys():
        expands = settings.get("do_query_expansion") is not False
        attend = settings.get("attend_to_expansion_tokens", settings.get("attend_to_mask_tokens"))
        length = settings.get("query_length") or _QUERY_LENGTH
        said["query_expansion"] = {"strategy": "fixed", "length": length, "attend": bool(attend)} if expands else None
    settings_given = {**said, **own}
    if settings_given.get("document_length") is not None:
        spec.document_length = _length(settings_given["document_length"], "document_length", spec)
    expansion = settings_given.get("query_expansion")
    if expansion is not None:
        if not isinstance(expansion, dict) or expansion.get("strategy") not in ("fixed", "min"):
            raise not_native(spec.located.name, f"query_expansion={expansion!r}")
        length = _length(expansion.get("length", _QUERY_LENGTH), "query_expansion length", spec)
        attend = bool(expansion.get("attend", False))
        spec.query_expansion = {**expansion, "length": length, "attend": attend, "token": expansion.get("token")}


def _length(value: Any, what: str, spec: Spec) -> int:
    if type(value) is not int or value < 1:
        raise ModelError(f"{spec.located.name}: {what}={value!r}, expected a whole number, at least 1.")
    return value


def _read_module(spec: Spec, type_name: str, folder: Path) -> None:
    if type_name != "Normalize" and not folder.is_dir():  # which needs no files, and so no folder
        raise ModelError(f"{folder} is missing, which modules.json names. Is the download complete?")
    config, name = read_object(folder / "config.json"), spec.located.name
    if type_name == "Dense":
        spec.heads.append(_dense(folder, config, spec.dim, name))
    elif type_name == "MatryoshkaHeads":
        spec.heads.append(_matryoshka(folder, config, spec.dim, name))
    elif type_name == "HashedBigrams":
        spec.bigrams = _bigrams(config, folder)
    elif type_name == "MultiVectorMask":
        if config.get("keep_only_token_ids") is not None:
            raise not_native(name, "keep_only_token_ids")
        tasks = config.get("skiplist_tasks") or ["document"]
        spec.skiplist = [str(word) for word in config.get("skiplist_words") or []]
        spec.skiplist_tasks = tuple([tasks] if isinstance(tasks, str) else tasks)
    elif type_name == "HierarchicalTokenPooling":
        spec.poolings.append(_pooling(config, folder))
    elif type_name != "Normalize":
        raise not_native(name, f"a module of type {type_name}")


def _pooling(config: dict[str, Any], folder: Path) -> TokenPooling:
    """A pooling as sentence-transformers saves it. A folder that does not say so leaves rows as they are, not normalized."""
    factor, protected = config.get("pool_factor", 1.0), config.get("num_protected_tokens", 1)
    tasks = config.get("tasks") or ["document"]
    tasks = [tasks] if isinstance(tasks, str) else tasks
    numbers = type(factor) in (int, float) and 1 <= factor < float("inf") and type(protected) is int and protected >= 0
    if not numbers or not isinstance(tasks, list) or not all(isinstance(task, str) for task in tasks):
        raise ModelError(
            f"{folder / 'config.json'}: pool_factor={factor!r}, num_protected_tokens={protected!r}, tasks={tasks!r}."
        )
    return TokenPooling(factor, protected, bool(config.get("normalize_embeddings", False)), tuple(tasks))


def read_head(folder: Path, width: int, name: str) -> Head:
    """A projection from `width` dimensions in a folder of its own."""
    return _dense(folder, read_object(folder / "config.json"), width, name)


def _dense(folder: Path, config: dict[str, Any], width: int, name: str) -> Head:
    activation = config.get("activation_function")
    if activation not in _IDENTITY:
        raise not_native(name, f"a projection with activation_function={activation!r}")
    if config.get("module_input_name", "token_embeddings") != "token_embeddings":
        raise not_native(name, f"a projection of {config['module_input_name']}")
    weights = _floats(folder)
    size, residual = config.get("out_features"), bool(config.get("use_residual"))
    wanted: dict[str, Any] = {"linear.weight": (size, width)}
    if config.get("bias", True):
        wanted["linear.bias"] = (size,)
    if residual and size != width:
        wanted["residual.weight"] = (size, width)
    _check_shapes(folder, weights, wanted)
    projection = Projection(
        weights["linear.weight"], weights.get("linear.bias"), weights.get("residual.weight"), residual and size == width
    )
    return Head("Dense", {int(str(size)): projection}, int(str(size)))


def _matryoshka(folder: Path, config: dict[str, Any], width: int, name: str) -> Head:
    sizes = config.get("sizes")
    if not isinstance(sizes, list) or not sizes or not all(type(size) is int and size >= 1 for size in sizes):
        raise ModelError(f"{folder / 'config.json'}: sizes={sizes!r}, expected a list of vector sizes.")
    weights = _floats(folder)
    _check_shapes(folder, weights, {f"heads.{size}.weight": (size, width) for size in sizes})
    active = config.get("active") or max(sizes)
    if active not in sizes:
        raise ModelError(f"{folder / 'config.json'}: active={active!r}, expected one of {sizes}.")
    return Head(
        "MatryoshkaHeads", {size: Projection(weights[f"heads.{size}.weight"]) for size in sorted(sizes)}, active
    )


def _floats(folder: Path) -> dict[str, Floats]:
    found: dict[str, Floats] = {}
    for path in sorted(folder.glob("*.safetensors")):
        found |= {key: tensor.float32() for key, tensor in read_tensors(path).items()}
    if not found:
        raise ModelError(f"{folder} holds no weights: no *.safetensors. Is the download complete?")
    return found


def _check_shapes(folder: Path, weights: dict[str, Floats], wanted: dict[str, Any]) -> None:
    have = {key: weight.shape for key, weight in weights.items()}
    if have != wanted:
        raise ModelError(f"The weights of {folder} do not fit its configuration: they are {have}, expected {wanted}.")


def _bigrams(config: dict[str, Any], folder: Path) -> dict[str, Any]:
    weight, special, places = config.get("weight"), config.get("special_ids"), config.get("weight_at") or {}
    numbers = [weight, *places.values()] if isinstance(places, dict) else [None]
    if not all(isinstance(one, (int, float)) and 0 < one < float("inf") for one in numbers):
        raise ModelError(f"{folder / 'config.json'}: expected positive weights, not {weight!r} and {places!r}.")
    if not isinstance(special, list) or not all(type(number) is int for number in special):
        raise ModelError(f"{folder / 'config.json'}: special_ids={special!r}, expected token numbers.")
    return {
        "weight": float(str(weight)),
        "special_ids": special,
        "weight_at": {str(k): float(v) for k, v in places.items()},
    }


def _read_prompts(spec: Spec, settings: dict[str, Any]) -> None:
    prompts = settings.get("prompts") or {}
    if not isinstance(prompts, dict):
        raise ModelError(f"{spec.located.name}: prompts={prompts!r}, expected texts by name.")
    prompts = {str(key): str(value or "") for key, value in prompts.items()}
    prefixes = []
    for key, role in (("query_prefix", "query"), ("document_prefix", "document")):
        if key in settings:
            prefix = str(settings[key] or "")
            prompts[role] = prefix + prompts.get(role, "").removeprefix(prefix)
            prefixes.append(prefix)
    spec.prompts, spec.default_prompt = prompts, settings.get("default_prompt_name")
    for prefix in prefixes:
        _register_prefix(spec.tokenizer, prefix)


def _register_prefix(tokenizer: FolderTokenizer, prefix: str) -> None:
    """Make a marker that the vocabulary has one token, as it was in training."""
    if not prefix.split():
        return
    vocabulary = tokenizer.get_vocab()
    for marker in (prefix, prefix.split(None, 1)[0]):
        if marker in vocabulary:
            if tokenizer.tokenize(marker) != [marker]:
                tokenizer.add_special_token(marker)
            return


# -- Stanford and Jina -------------------------------------------------------------------------------------------------


def _read_published(spec: Spec) -> None:
    """A projection beside the backbone's weights, and settings in artifact.metadata."""
    if spec.kind == "jina":
        tell_license(spec.located)
    folder, name, hidden = spec.located.folder, spec.located.name, spec.architecture.hidden
    said = read_artifact(folder, spec.unusual)
    if spec.kind == "jina" and spec.config.get("rotary_emb_base") is None:
        base = spec.architecture.rotary_bases[0]
        spec.unusual.append(
            f"config.json does not say rotary_emb_base: {base:g}, the published code's default, is used"
        )
    sizes = {weight.shape[0]: weight.float32() for key, weight in spec.weights.items() if ROOT_HEAD.match(key)}
    spec.weights = {key: weight for key, weight in spec.weights.items() if not ROOT_HEAD.match(key)}
    for path in sorted(folder.iterdir()):
        named = HEAD_FOLDER.match(path.name)
        if named is not None and path.is_dir():
            sizes[int(named[1])] = _floats(path)["linear.weight"]
    if not sizes:
        raise ModelError(f"{name} has no projection: linear.weight is missing from its weights.")
    wrong = {size: weight.shape for size, weight in sizes.items() if weight.shape != (size, hidden)}
    if wrong:
        raise ModelError(f"The projection of {name} has shape {wrong}, expected (size, {hidden}).")
    wanted = said.get("dim")
    active = wanted if wanted in sizes else max(sizes)
    kind = "MatryoshkaHeads" if len(sizes) > 1 else "Dense"
    spec.heads = [Head(kind, {size: Projection(sizes[size]) for size in sorted(sizes)}, active)]
    spec.document_length = _length(said["doc_maxlen"], "doc_maxlen", spec)
    length, attend = _length(said["query_maxlen"], "query_maxlen", spec), bool(said.get("attend_to_mask_tokens", False))
    spec.query_expansion = {"strategy": "fixed", "length": length, "attend": attend, "token": None}
    markers = {"query": str(said["query_token_id"]), "document": str(said["doc_token_id"])}
    for role, marker in markers.items():
        number = spec.tokenizer.convert_tokens_to_ids(marker)
        if number is None or number == spec.tokenizer.unk_token_id or number >= spec.architecture.vocabulary:
            raise ModelError(
                f"The {role} marker {marker!r} of {name} is not in its vocabulary of {spec.architecture.vocabulary} tokens."
            )
        if spec.tokenizer.tokenize(marker) != [marker]:
            spec.tokenizer.add_special_token(marker)
    spec.prompts = {role: f"{marker} " for role, marker in markers.items()}
    spec.skiplist = skiplist_pieces(spec.tokenizer, "stanford" if said.get("mask_punctuation", True) else "none")
