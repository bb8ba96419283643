"""When an index is put in order by itself: which segments a writing call merges, and when a codec is trained.

Pure decisions over token counts, so that the same calls end in the same files on every machine. docs/living-index.md states
them for users. Knows nothing about files.
"""

from __future__ import annotations

from collections.abc import Sequence

from polyvec.index.catalog.catalog import SegmentRecord
from polyvec.index.catalog.settings import CodecRecord
from polyvec.index.codec.training import centroid_count
from polyvec.index.upkeep.drift import DRIFT_THRESHOLD, drift_of

BUFFER_TOKENS = 65_536  # a call of at most this many tokens is written together with the small segments before it
MERGED_TOKENS = 1 << 24  # automatic merging makes no segment larger than this; `compact` does
RATIO = 4  # a segment is left alone while it is larger than this many times all that came after it
TRAIN_FROM = 1 << 17  # tokens: an index of codes trains its codec once it holds as many, 32 MB of fp16 at dim 128
GROWTH = 2.5  # times: a codec is trained anew when the index has grown so much since
_SETTLED = centroid_count(1 << 62)  # centroids that no growth adds to


def absorbed(records: Sequence[SegmentRecord], tokens: int) -> list[SegmentRecord]:
    """The newest segments that an addition of `tokens` tokens is written together with, by the rule of `merge_due`."""
    return _unsettled(records, tokens, BUFFER_TOKENS)


def merge_due(records: Sequence[SegmentRecord], dead: Sequence[int]) -> list[SegmentRecord]:
    """Neighboring segments to write anew as one after a commit; empty where there are none.

    The newest segments are merged from the first one on that is at most RATIO times as large as all after it. Then a segment of
    which more than half is deleted is written alone.

    A query pays for each further segment, so n tokens are in at most 1 + log_5(n) of them. What makes a segment be copied adds a
    quarter to it or more, so that a token is copied once, and at most log_1.25(n) times again.

    Args:
        records: All live segments, in row order.
        dead: How many rows of each segment are deleted.
    """
    if records and (tail := _unsettled(records[:-1], records[-1].n_tokens, MERGED_TOKENS)):
        return [*tail, records[-1]]
    for record, count in zip(records, dead, strict=True):
        if 2 * count > record.n_documents:
            return [record]
    return []


def training_due(codec_record: CodecRecord | None, tokens: int) -> bool:
    """Whether to train a codec now.

    The first at TRAIN_FROM tokens; a new one after GROWTH-fold growth, until no growth adds centroids; and one where what
    was added since is at least as much as the codec was trained on and fits it badly.

    Args:
        codec_record: The present codec, as the catalog has it; None where there is none.
        tokens: Live tokens in the index.
    """
    if codec_record is None:
        return tokens >= TRAIN_FROM
    trained = max(codec_record.tokens, 1)
    if centroid_count(trained) < _SETTLED and tokens >= GROWTH * max(trained, TRAIN_FROM / GROWTH):
        return True
    return codec_record.added_tokens >= max(trained, TRAIN_FROM) and drift_of(codec_record) > DRIFT_THRESHOLD


def expected_tokens(tokens: int, added: int) -> int:
    """How many tokens a codec that is trained on `tokens` live tokens gets centroids for.

    An index most of which was there before the last call is one that grows: its codec is made for the middle, in
    proportion, of what it will see until the next one, so that lists are never much longer than in an index built at once.

    Args:
        tokens: Live tokens in the index, or in all shards.
        added: Those that the last call added.
    """
    return round(tokens * GROWTH**0.5) if 2 * added < tokens else tokens


def _unsettled(records: Sequence[SegmentRecord], tokens: int, most: int) -> list[SegmentRecord]:
    """The newest records, from the first one on that is at most RATIO times as large as all after it and `tokens` new tokens.

    most: how many tokens they may have in all, with the new ones.
    """
    first = len(records)
    for number in reversed(range(len(records))):
        size = records[number].n_tokens
        if size + tokens > most:
            break
        if size <= RATIO * tokens:
            first = number
        tokens += size
    return list(records[first:])
