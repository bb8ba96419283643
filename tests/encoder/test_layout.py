"""How a model's folder says to read texts is part of its fingerprint, whatever the backend, and kept by saving."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from polyvec.encoder import Encoder
from tests.encoder.toy_checkpoints import copy_saying, make_jina


@pytest.mark.parametrize(
    ("setting", "text"),
    [
        ("fold_capitals", "HELLO WORLD"),
        ("restore_marks", "toi muon hoc tieng anh"),
        ("greek_question_mark", "Πού είναι η Αθήνα;"),
    ],
)
def test_an_index_of_the_one_is_not_of_the_other_and_saving_keeps_it(tmp_path: Path, setting: str, text: str) -> None:
    make_jina(tmp_path / "plain")
    folder = copy_saying(tmp_path / "plain", tmp_path / "saying", **{setting: True})
    plain, saying = Encoder(tmp_path / "plain"), Encoder(folder)
    assert plain.fingerprint != saying.fingerprint
    assert Encoder(folder, backend="torch").fingerprint == saying.fingerprint
    saying.save(tmp_path / "saved")
    again = Encoder(tmp_path / "saved")
    assert getattr(again.layout, setting)
    assert not getattr(plain.layout, setting)
    np.testing.assert_allclose(again.encode_query(text), saying.encode_query(text), atol=1e-5)
