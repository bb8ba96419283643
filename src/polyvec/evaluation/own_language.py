"""A run -> how often the first hits are in the question's own language, and how often they should be.

A system that prefers a language finds passages in it which are no better than those in others. Where judgments count passages in
every language alike, the share among the hits should be the share among what is judged right.
"""

from __future__ import annotations

from collections.abc import Mapping

from polyvec.data import Qrels, Run

TOP = 10  # hits counted


def own_language(
    qrels: Qrels, run: Run, query_languages: Mapping[str, str], document_languages: Mapping[str, str]
) -> dict[str, dict[str, float]]:
    """By language of the query: `found`, the share of its language among the first ten hits, and `judged`, among what is right.

    Args:
        qrels: Judgments; a grade above 0 is right.
        run: Hits by query.
        query_languages: Of queries with judgments; others are left out.
        document_languages: Of documents; hits without one are left out.

    Returns:
        Means over queries, "all" over all of them; nothing where the documents are not in several languages.
    """
    if len(set(document_languages.values())) < 2:
        return {}
    shares: dict[str, list[tuple[float, float]]] = {}
    for query, lang in query_languages.items():
        right = [document_languages[d] for d, grade in qrels[query].items() if grade > 0 and d in document_languages]
        ranked = sorted(run.get(query, {}).items(), key=lambda hit: -hit[1])
        hits = [document_languages[d] for d, _ in ranked if d in document_languages][:TOP]
        if right and hits:
            shares.setdefault(lang, []).append((hits.count(lang) / len(hits), right.count(lang) / len(right)))
    groups = dict(sorted(shares.items()))
    if groups:
        groups["all"] = [pair for found in shares.values() for pair in found]
    return {
        lang: {
            name: round(sum(pair[place] for pair in pairs) / len(pairs), 6)
            for place, name in ((0, "found"), (1, "judged"))
        }
        for lang, pairs in groups.items()
    }
