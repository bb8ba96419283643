"""A run and judgments -> a value a query and measure, by ir-measures, over every judged query."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from polyvec.arguments import list_of, shown
from polyvec.data import Qrels, Run
from polyvec.data.judged import check_scores
from polyvec.errors import InputError, MissingExtraError


def compute_measures(qrels: Qrels, run: Run, measures: Sequence[str]) -> dict[str, dict[str, float]]:
    """Values by query and measure name. A judged query without hits counts 0; a query without judgments is left out.

    Args:
        measures: Names as ir-measures spells them, such as nDCG@10, RR@10, R@100. Ties in a run rank as trec_eval
            ranks them.

    Raises:
        InputError: An unknown measure.
        MissingExtraError: Ir-measures is not installed.
    """
    check_scores("qrels", qrels, whole=True)
    check_scores("run", run)
    measures = [name if isinstance(name, str) else shown(name) for name in list_of("measures", measures, ordered=True)]
    if not measures:
        raise InputError("measures: none given. Expected names such as nDCG@10, RR@10, R@100.")
    try:
        import ir_measures
    except ImportError as error:
        raise MissingExtraError("Measures need ir-measures. Run: pip install 'polyvec[eval]'") from error
    wanted = []
    for name in measures:
        try:
            wanted.append(ir_measures.parse_measure(name))
        except (NameError, SyntaxError, ValueError) as error:
            raise InputError(
                f"measures: {shown(name)} is none that ir-measures has. Expected names such as nDCG@10, RR@10, R@100."
            ) from error
    judgments = [
        ir_measures.Qrel(query_id, document_id, grade)
        for query_id, grades in qrels.items()
        for document_id, grade in grades.items()
    ]
    scored = [
        ir_measures.ScoredDoc(query_id, document_id, -float(rank))
        for query_id, scores in run.items()
        for rank, document_id in enumerate(ranked(scores), start=1)
    ]
    values = {query_id: dict.fromkeys(measures, 0.0) for query_id in qrels}
    names = dict(zip(map(str, wanted), measures, strict=True))
    if scored:  # ir-measures would warn of an empty run
        for metric in ir_measures.iter_calc(wanted, judgments, scored):
            values[metric.query_id][names[str(metric.measure)]] = float(metric.value)
    return values


def ranked(scores: Mapping[str, float]) -> list[str]:
    """Document ids best first, as trec_eval ranks them: scores as float32, ties by id, the later in the alphabet first.

    ir-measures hands each measure to another program, and these break ties in different ways; ranks leave them no tie.
    """
    return sorted(scores, key=lambda document_id: (np.float32(scores[document_id]), document_id), reverse=True)
