"""Text in many languages -> a tokenizer: a unigram vocabulary in which no script is left out, learned or taken over.

Text is lower-cased and NFKC-normalized, split at spaces, punctuation and numbers; what the vocabulary cannot spell falls
back to bytes. The layout is XLM-R's, `<s> marker tokens </s>`, with the two markers and the mask token in the vocabulary.
"""

from __future__ import annotations

import json
import math
import random
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from polyvec.errors import InputError

SPECIAL = ["<s>", "<pad>", "</s>", "<unk>", "<mask>", "[QueryMarker]", "[DocumentMarker]"]
_BYTES = [f"<0x{byte:02X}>" for byte in range(256)]
_BYTE_SCORE = -20.0  # of a byte piece: worse than any learned one, better than an unknown character


def balanced(texts: Iterable[tuple[str, str]], characters: int, *, power: float, seed: int) -> list[str]:
    """A sample of (language, text) pairs in which a language with n characters has a share that goes with n ** power.

    Args:
        characters: Of the whole sample.
        power: 1 keeps the proportions, 0 gives every language the same. A language never gives more than it has.
    """
    by_language: dict[str, list[str]] = defaultdict(list)
    for code, text in texts:
        by_language[code].append(text)
    sizes = {code: sum(map(len, kept)) for code, kept in by_language.items()}
    if not sizes:
        raise InputError("There is no text to learn a vocabulary from. Check the files that the recipe names.")
    shares = {code: size**power for code, size in sizes.items()}
    scale = characters / sum(shares.values())
    chosen: list[str] = []
    generator = random.Random(seed)
    for code in sorted(by_language):
        kept, budget = by_language[code], shares[code] * scale
        generator.shuffle(kept)
        for text in kept:
            if budget <= 0:
                break
            chosen.append(text)
            budget -= len(text)
    return chosen


def train_vocabulary(texts: list[str], size: int, *, max_length: int = 8192) -> Any:
    """A transformers fast tokenizer with at most `size` entries, special tokens and 256 bytes included.

    The pieces depend on `texts` and their order alone; numbers and weights of rare single characters may differ between runs.
    """
    from tokenizers import Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, trainers

    learner = Tokenizer(models.Unigram())
    learner.normalizer = normalizers.Sequence(
        [normalizers.NFKC(), normalizers.Lowercase(), normalizers.Replace(Regex(r"\s+"), " ")]
    )
    learner.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(r" ?\p{P}"), "isolated"),
            pre_tokenizers.Split(Regex(r" ?\p{Nd}+"), "isolated"),
            pre_tokenizers.Metaspace(prepend_scheme="first"),
        ]
    )
    learner.decoder = decoders.Sequence([decoders.ByteFallback(), decoders.Metaspace()])
    trainer = trainers.UnigramTrainer(
        vocab_size=size - len(SPECIAL) - 256, unk_token="<unk>", special_tokens=["<unk>"], max_piece_length=16,
        show_progress=False,
    )  # fmt: skip
    learner.train_from_iterator(_lines(texts), trainer)
    return _with_bytes(learner, max_length)


def kept_vocabulary(source: Any, texts: list[str], size: int, *, max_length: int = 8192) -> Any:
    """The `size` entries of a unigram tokenizer that are used most, special tokens and 256 bytes included.

    A piece counts by its probability in the source and its share of `texts`, added; single characters that `texts`
    have come first.

    Raises:
        InputError: Another kind of tokenizer.
    """
    from tokenizers import Tokenizer

    description: dict[str, Any] = json.loads(source.backend_tokenizer.to_str()) if source.is_fast else {"model": {}}
    kind = description["model"].get("type")
    if kind != "Unigram":
        raise InputError(f"vocabulary.learned = false needs a unigram tokenizer, such as XLM-R's; this one is {kind}.")
    vocabulary: list[list[Any]] = description["model"]["vocab"]
    used: Counter[int] = Counter()
    for start in range(0, len(texts), 1000):
        for row in source.backend_tokenizer.encode_batch(texts[start : start + 1000], add_special_tokens=False):
            used.update(row.ids)
    total = max(sum(used.values()), 1)
    roles = {*source.all_special_tokens, *SPECIAL, *_BYTES}
    ranked = sorted(
        (len(piece) == 1 and used[i] > 0, math.exp(score) + used[i] / total, -i)
        for i, (piece, score) in enumerate(vocabulary)
        if piece not in roles
    )
    kept = sorted(-i for *_, i in ranked[len(SPECIAL) + 256 - size :])
    description["model"]["vocab"] = [["<unk>", 0.0], *[vocabulary[i] for i in kept]]
    description["model"]["unk_id"] = 0
    description["added_tokens"] = []
    description["post_processor"] = None
    description["decoder"] = {"type": "Sequence", "decoders": [{"type": "ByteFallback"}, description["decoder"]]}
    return _with_bytes(Tokenizer.from_str(json.dumps(description)), max_length)


def _lines(texts: list[str]) -> Iterator[str]:
    for text in texts:
        yield from text.split("\n")


def _with_bytes(learned: Any, max_length: int) -> Any:
    """The learned pieces behind the special tokens and the 256 bytes, as a tokenizer that transformers loads."""
    from tokenizers import Tokenizer, processors
    from transformers import PreTrainedTokenizerFast

    description = json.loads(learned.to_str())
    pieces = [[piece, score] for piece, score in description["model"]["vocab"] if piece not in SPECIAL]
    head = [[token, 0.0] for token in SPECIAL] + [[piece, _BYTE_SCORE] for piece in _BYTES]
    pieces.sort(key=lambda piece: (-piece[1], piece[0]))  # the trainer leaves equal ones in any order
    description["model"] |= {"vocab": head + pieces, "unk_id": SPECIAL.index("<unk>"), "byte_fallback": True}
    description["added_tokens"] = []
    tokenizer = Tokenizer.from_str(json.dumps(description))
    tokenizer.add_special_tokens(SPECIAL)
    tokenizer.post_processor = processors.TemplateProcessing(
        single="<s> $A </s>", pair="<s> $A </s> </s> $B </s>", special_tokens=[("<s>", 0), ("</s>", 2)]
    )
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, bos_token="<s>", eos_token="</s>", cls_token="<s>", sep_token="</s>", unk_token="<unk>",
        pad_token="<pad>", mask_token="<mask>", additional_special_tokens=["[QueryMarker]", "[DocumentMarker]"],
        model_max_length=max_length, model_input_names=["input_ids", "attention_mask"],
    )  # fmt: skip


def save_vocabulary(tokenizer: Any, folder: Path) -> None:
    """Write the tokenizer's files into a folder."""
    folder.mkdir(parents=True, exist_ok=True)
    tokenizer.save_pretrained(str(folder))
