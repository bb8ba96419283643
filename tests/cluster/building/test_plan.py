"""A plan as it is stored; what is not continued, test_build.py has."""

from __future__ import annotations

import json
from pathlib import Path

from polyvec.cluster.building.plan import Plan, begin
from tests.cluster.building.test_documents import staged_in
from tests.cluster.builds import rows, write_lines


def test_a_plan_is_stored_once(tmp_path: Path) -> None:
    write_lines(tmp_path / "docs" / "a.jsonl", rows(5))
    work, plan, _ = staged_in(tmp_path)
    assert Plan.from_json(json.loads(json.dumps(plan.to_json()))) == plan
    assert not begin(work, plan)
    assert begin(work, plan)
