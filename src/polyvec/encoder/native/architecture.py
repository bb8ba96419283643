"""config.json of a backbone -> the few numbers that its forward pass depends on.

BERT, RoBERTa and XLM-R, the rotary XLM-R of Jina, and ModernBERT, as transformers and as their authors write them. Whatever the
kernels do not compute is refused in one line that names polyvec[torch].
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from polyvec.errors import MissingExtraError, ModelError

Config = dict[str, Any]

_PUBLISHED_ROTARY_BASE = 10000.0  # of Jina's own code where config.json says nothing
_HF_ROTARY_BASE = 20000.0  # of transformers' JinaEmbeddingsV3Config
_MODERN_BASES = {"full_attention": 160000.0, "sliding_attention": 10000.0}
_MOST = 1 << 20  # of any width or count in a configuration


class NotNativeError(MissingExtraError):
    """A model that the native forward pass does not compute; `polyvec[torch]` may."""


def not_native(name: str, what: str) -> NotNativeError:
    """The one line for a model that needs torch."""
    return NotNativeError(f"{name}: {what} is not in the native encoder. Install torch: pip install 'polyvec[torch]'.")


@dataclass(frozen=True, slots=True)
class Architecture:
    """A backbone: how wide and deep, where its norms stand, how it knows positions.

    family: how its weights are named · windows, tables: one a layer; how far a token sees (0: everywhere) and which rotary table
    turns its queries and keys (-1: none) · first_position: row of the position table that the first token has.
    """

    family: str
    vocabulary: int
    hidden: int
    heads: int
    feed: int
    eps: float
    max_length: int
    windows: tuple[int, ...]
    tables: tuple[int, ...]
    rotary_bases: tuple[float, ...] = ()
    absolute: bool = False
    first_position: int = 0
    norm_first: bool = False
    gated: bool = False

    @property
    def layers(self) -> int:
        """Number of layers."""
        return len(self.windows)


def architecture_of(config: Config, name: str, *, published_jina: bool = False) -> Architecture:
    """Read config.json.

    Args:
        config: its content.
        name: of the model, for messages.
        published_jina: whether the weights carry the names of Jina's own code, which reads other keys.

    Raises:
        NotNativeError: for a backbone, or a setting of one, that the kernels do not compute.
        ModelError: for numbers that cannot be.
    """
    kind = "jina" if published_jina else config.get("model_type")
    if kind is None:
        raise ModelError(f"{name}: config.json does not say model_type. Is the download complete?")
    if kind not in _READERS:
        raise not_native(name, f"model_type={config.get('model_type')!r}")
    found = _READERS[kind](_Reader(config, name))
    if found.hidden % found.heads or (found.rotary_bases and found.hidden // found.heads % 2):
        raise ModelError(f"{name}: hidden size {found.hidden} does not divide into {found.heads} heads.")
    return found


class _Reader:
    """The values of a configuration, checked as they are asked for."""

    def __init__(self, config: Config, name: str) -> None:
        self.config, self.name = config, name

    def count(self, key: str, default: int) -> int:
        value = self.config.get(key)
        value = default if value is None else value
        if type(value) is not int or not 1 <= value <= _MOST:
            raise ModelError(
                f"{self.name}: config.json says {key}={value!r}, expected a whole number from 1 to {_MOST:,}."
            )
        return value

    def number(self, key: str, default: float) -> float:
        value = self.config.get(key)
        value = default if value is None else value
        if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0 <= value < float("inf"):
            raise ModelError(f"{self.name}: config.json says {key}={value!r}, expected a number, 0 or more.")
        return float(value)

    def only(self, key: str, usual: Any) -> None:
        value = self.config.get(key, usual)
        if value is not None and value != usual:
            raise not_native(self.name, f"{key}={value!r}")

    def rope(self, parameters: Any, default: float) -> float:
        """The base of one rotary table."""
        parameters = {} if parameters is None else parameters
        if not isinstance(parameters, dict) or parameters.get("rope_type", "default") != "default":
            raise not_native(self.name, f"rope_parameters={parameters!r}")
        return _Reader({"rope_theta": parameters.get("rope_theta")}, self.name).number("rope_theta", default)


def _post_norm(read: _Reader, family: str, **more: Any) -> Architecture:
    """What BERT and its descendants have in common."""
    read.only("hidden_act", "gelu")
    layers = read.count("num_hidden_layers", 12)
    rotary = "rotary_bases" in more
    return Architecture(
        family=family,
        vocabulary=read.count("vocab_size", 30522),
        hidden=read.count("hidden_size", 768),
        heads=read.count("num_attention_heads", 12),
        feed=read.count("intermediate_size", 3072),
        eps=read.number("layer_norm_eps", 1e-12),
        windows=(0,) * layers,
        tables=(0 if rotary else -1,) * layers,
        **more,
    )


def _bert(read: _Reader) -> Architecture:
    read.only("position_embedding_type", "absolute")
    read.only("is_decoder", False)
    return _post_norm(read, "bert", absolute=True, max_length=read.count("max_position_embeddings", 512))


def _roberta(read: _Reader) -> Architecture:
    """Position tables begin after the row of the padding token."""
    read.only("position_embedding_type", "absolute")
    read.only("is_decoder", False)
    first = 1 + int(read.number("pad_token_id", 1))
    length = read.count("max_position_embeddings", 512) - first
    if length < 1:
        raise ModelError(f"{read.name}: config.json leaves no positions after pad_token_id={first - 1}.")
    return _post_norm(read, "bert", absolute=True, max_length=length, first_position=first)


def _rotary(read: _Reader) -> Architecture:
    base = read.rope(read.config.get("rope_parameters"), _HF_ROTARY_BASE)
    return _post_norm(read, "rotary", max_length=read.count("max_position_embeddings", 8194), rotary_bases=(base,))


def _published_jina(read: _Reader) -> Architecture:
    read.only("position_embedding_type", "rotary")
    read.only("rotary_emb_fraction", 1.0)
    read.only("rotary_emb_interleaved", False)
    read.only("rotary_emb_scale_base", None)
    base = read.number("rotary_emb_base", _PUBLISHED_ROTARY_BASE)
    return _post_norm(read, "jina", max_length=read.count("max_position_embeddings", 8194), rotary_bases=(base,))


def _modern(read: _Reader) -> Architecture:
    read.only("hidden_activation", "gelu")
    for key in ("norm_bias", "attention_bias", "mlp_bias"):
        read.only(key, False)
    layers = read.count("num_hidden_layers", 22)
    every = read.count("global_attn_every_n_layers", 3)
    kinds = read.config.get("layer_types") or [
        "sliding_attention" if i % every else "full_attention" for i in range(layers)
    ]
    if not isinstance(kinds, list) or len(kinds) != layers or not set(kinds) <= _MODERN_BASES.keys():
        raise not_native(read.name, f"layer_types={kinds!r}")
    parameters = read.config.get("rope_parameters") or {}
    if not isinstance(parameters, dict):
        raise not_native(read.name, f"rope_parameters={parameters!r}")
    old_names = {"full_attention": "global_rope_theta", "sliding_attention": "local_rope_theta"}
    bases = tuple(
        read.rope(parameters.get(kind), read.number(old_names[kind], usual)) for kind, usual in _MODERN_BASES.items()
    )
    window = read.count("local_attention", 128) // 2
    return Architecture(
        family="modernbert",
        vocabulary=read.count("vocab_size", 50368),
        hidden=read.count("hidden_size", 768),
        heads=read.count("num_attention_heads", 12),
        feed=read.count("intermediate_size", 1152),
        eps=read.number("norm_eps", 1e-5),
        max_length=read.count("max_position_embeddings", 8192),
        windows=tuple(window if kind == "sliding_attention" else 0 for kind in kinds),
        tables=tuple(int(kind == "sliding_attention") for kind in kinds),
        rotary_bases=bases,
        norm_first=True,
        gated=True,
    )


_READERS = {
    "bert": _bert,
    "roberta": _roberta,
    "xlm-roberta": _roberta,
    "camembert": _roberta,
    "jina_embeddings_v3": _rotary,
    "jina": _published_jina,
    "modernbert": _modern,
}
