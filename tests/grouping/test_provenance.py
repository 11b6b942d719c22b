"""Steps are appended, nothing else moves, and times can be fixed."""

from __future__ import annotations

import re

import pytest

from mocoop.errors import UsageError
from mocoop.grouping.provenance import TOOL, now, with_step


def test_a_step_is_appended_and_the_document_given_is_left_alone():
    before = {
        "domain": "birds",
        "provenance": {"created": "2026-01-01T00:00:00Z", "steps": [{"step": "generate"}]},
        "x-n": 1,
    }
    after = with_step(before, "move", at=None, group="far")
    assert [*after] == ["domain", "provenance", "x-n"]
    assert after["provenance"] == {
        "created": "2026-01-01T00:00:00Z",
        "steps": [{"step": "generate"}, {"step": "move", "group": "far"}],
        "tool": TOOL,
    }
    assert before["provenance"]["steps"] == [{"step": "generate"}]


def test_a_document_without_provenance_gets_one():
    assert with_step({"domain": "birds"}, "edit")["provenance"] == {"tool": TOOL, "steps": [{"step": "edit"}]}


def test_the_time_is_utc_or_what_source_date_epoch_says(monkeypatch):
    monkeypatch.delenv("SOURCE_DATE_EPOCH", raising=False)
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", now())
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "86400")
    assert now() == "1970-01-02T00:00:00Z"


@pytest.mark.parametrize("fixed", ["", "soon", "1e9", "9" * 30])
def test_a_bad_source_date_epoch_is_a_usage_error(fixed, monkeypatch):
    monkeypatch.setenv("SOURCE_DATE_EPOCH", fixed)
    with pytest.raises(UsageError, match="SOURCE_DATE_EPOCH"):
        now()
