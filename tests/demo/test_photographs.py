"""The photographs at the end of the demonstration."""

from __future__ import annotations

from pathlib import Path

from mocoop.demo.photographs import AUTHORS, NAMES, name_photographs


def test_they_are_there_and_named_and_the_flower_is_one():
    found = {Path(one["path"]).name: one["top_k"] for one in name_photographs()}
    assert found.keys() == AUTHORS.keys()
    assert found["flower.jpg"][0]["class"] == "flower"
    assert "temple" in [guess["class"] for guess in found["china.jpg"][:2]]
    for guesses in found.values():
        assert {guess["class"] for guess in guesses} <= set(NAMES)
        assert [guess["probability"] for guess in guesses] == sorted((g["probability"] for g in guesses), reverse=True)
