"""The description of the API holds for made-up requests; `make attack` makes many more of them."""

from __future__ import annotations

import importlib.util

import pytest

from tests.serve.contract import check, passed


@pytest.mark.heavy
@pytest.mark.skipif(importlib.util.find_spec("schemathesis") is None, reason="needs schemathesis")
def test_made_up_requests() -> None:
    output = check(25, seed=1)
    assert passed(output), output
