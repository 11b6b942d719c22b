"""Which experts are used, from rows and for single images with a run."""

from __future__ import annotations

import pytest
from datafiles import encoded, pixels, put_classes
from PIL import Image
from result_rows import drawn_rows
from worlds import plan_for, write_world

from mocoop.config import preset
from mocoop.errors import DataError
from mocoop.reporting import routing
from mocoop.reporting.document import Tiles
from mocoop.reporting.results import lines_of
from mocoop.runs.train import train


@pytest.fixture
def cells():
    return next(iter(lines_of(drawn_rows(methods=("mocoop",), datasets=("dtd",))).values()))


def test_use_is_averaged_over_seeds_base_first(cells):
    found = routing.expert_use(cells, "dtd")
    assert found.classes == ("airport (base)", "beach (base)", "canal (new)", "dam (new)")
    assert (found.seeds, found.of, len(found.group_ids)) == (3, 4, 8)
    rows = list(cells.values())
    assert found.shares[2] == pytest.approx(
        [sum(row["expert_use"]["new"]["canal"][e] for row in rows) / 3 for e in range(8)]
    )
    assert all(sum(shares) == pytest.approx(1) for shares in found.shares)
    assert routing.expert_use(cells, "eurosat") is None


def test_seeds_with_other_groups_are_other_experts(cells):
    last = cells["dtd", 3]
    cells["dtd", 3] = {**last, "groups": {**last["groups"], "ids": list(reversed(last["groups"]["ids"]))}}
    assert routing.expert_use(cells, "dtd").seeds == 2


def test_of_many_classes_the_most_telling_stay(cells):
    plain, odd = [0.125] * 8, [1.0] + [0.0] * 7
    use = {"all": {f"class {n:03}": odd if n == 77 else plain for n in range(100)}}
    found = routing.expert_use({("dtd", 1): {**cells["dtd", 1], "expert_use": use}}, "dtd")
    assert (len(found.classes), found.of) == (routing.MOST_CLASSES, 100)
    assert "class 077" in found.classes


def test_the_router_in_numbers():
    lines = lines_of(drawn_rows())
    table = routing.router_table("r", lines, "")
    assert [row[0] for row in table.rows] == ["MoCoOp"]  # the others have one prompt
    rows = [row for line, cells in lines.items() if line.method == "mocoop" for row in cells.values()]
    assert table.rows[0][-2].value == pytest.approx(sum(row["router"]["entropy"] for row in rows) / 6)
    assert routing.router_table("r", lines_of(drawn_rows(methods=("coop",))), "") is None


def test_images_are_taken_evenly(tmp_path):
    for number in range(10):
        (tmp_path / "deep").mkdir(exist_ok=True)
        (tmp_path / "deep" / f"{number}.png").write_bytes(b"")
    (tmp_path / "notes.txt").write_text("")
    assert [path.name for path in routing.images_below(tmp_path, 3)] == ["0.png", "3.png", "6.png"]
    assert len(routing.images_below(tmp_path, 99)) == 10
    (tmp_path / "empty").mkdir()
    with pytest.raises(DataError, match="holds no image"):
        routing.images_below(tmp_path / "empty", 3)


def test_images_with_the_templates_a_run_chose(tmp_path):
    photos = put_classes(tmp_path / "photos", {f"{part}/{name}": 4 for part in ("train", "test") for name in "ab"})
    config = preset("recommended", epochs=1)
    run = train(plan_for(write_world(tmp_path), tmp_path / "run", config, data=photos, shots=4))
    seen = tmp_path / "seen"
    seen.mkdir()
    (seen / "1.png").write_bytes(encoded(pixels(1, 300, 400), "PNG"))
    (seen / "2.png").write_bytes(b"no picture")
    (tmp_path / "small").mkdir()
    found = routing.predictions(run, routing.images_below(seen, 9))
    section = routing.routing_section(run, found, tmp_path / "small")
    tiles, table = section.blocks[-2:]
    assert isinstance(tiles, Tiles)
    assert len(tiles.pictures) == 1
    assert max(Image.open(tiles.pictures[0][0]).size) <= 192
    rows = [row for row in table.rows if row[0] == "1.png"]
    assert len(rows) == len(run.groups.ids)
    assert sum(row[4].value for row in rows) == pytest.approx(100, abs=0.2)
    groups = {group.id: " / ".join(group.texts) for group in run.groups.groups}
    assert all(row[5] == groups[row[3]] for row in rows)
    assert next(row for row in table.rows if row[0] == "2.png")[1].startswith("not read: ")
