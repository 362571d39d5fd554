"""The table of docs/composition.md says what happens."""

from pathlib import Path

import pytest
from composition_cases import COLUMNS, QUANTISERS, outcome, read

PAGE = Path(__file__).parents[2] / "docs" / "composition.md"
TABLE = read(PAGE.read_text())


def test_the_page_has_every_row_and_column():
    assert TABLE[0] == ["weights", *COLUMNS]
    assert [row[0] for row in TABLE[1:]] == list(QUANTISERS)


@pytest.mark.parametrize("column", COLUMNS)
def test_the_page_says_what_happens(column):
    said = {row[0]: row[1 + COLUMNS.index(column)] for row in TABLE[1:]}
    assert {row: outcome(row, column) for row in QUANTISERS} == said
