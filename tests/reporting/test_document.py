"""Numbers as they are written."""

from __future__ import annotations

import pytest

from mocoop.reporting.document import Document, Number, Section, Table, Words, number
from mocoop.reporting.statistics import Spread


@pytest.mark.parametrize(
    ("given", "text"),
    [
        (Number(71.256), "71.26"),
        (Number(71.256, 0.449), "71.26 ± 0.45"),
        (Number(-0.001), "0.00"),
        (Number(0.3, signed=True), "+0.30"),
        (Number(-0.3, signed=True), "-0.30"),
        (Number(-0.001, signed=True), "0.00"),
        (Number(0.25, digits=0), "0"),
        (Number(100.0, 0.0, 1), "100.0 ± 0.0"),
    ],
)
def test_a_number_is_written_with_its_digits(given, text):
    assert str(given) == text


def test_a_spread_is_its_mean_and_deviation():
    assert number(Spread(50.0, 1.5, 3)) == Number(50.0, 1.5)
    assert number(Spread(50.0, None, 1), digits=1) == Number(50.0, None, 1)
    assert number(None) is None


def test_a_document_knows_its_tables_in_order():
    tables = [Table(name, ("a",), (), "") for name in "xyz"]
    sections = [Section("1", "1", [tables[0], Words("w")]), Section("2", "2", [tables[1], tables[2]])]
    assert Document("d", sections).tables() == tables
