"""Rows of bulk prediction: those of `mocoop predict`, from every kind of source, with bad pictures among good ones."""

from __future__ import annotations

import json

import numpy as np
import pytest
from datafiles import encoded, pixels
from sources import png, put_parquet, put_tar

from mocoop.bulk import predictor as predictor_module
from mocoop.bulk.items import Item
from mocoop.bulk.options import Options
from mocoop.bulk.predictor import BulkPredictor
from mocoop.bulk.trained import RunTower
from mocoop.data.images import list_images
from mocoop.errors import DataError
from mocoop.files import sha256_file
from mocoop.runs.predict import predict_images

SEEDS = range(150)  # more than two batches


@pytest.fixture(scope="module")
def pictures():
    """Of all of them every tenth is cut."""
    found = {f"{seed:03d}.png": encoded(pixels(seed, 6, 6), "PNG") for seed in SEEDS}
    return {name: data[:-20] if int(name[:3]) % 10 == 7 else data for name, data in found.items()}


@pytest.fixture(scope="module")
def folder(pictures, tmp_path_factory):
    folder = tmp_path_factory.mktemp("some")
    for name, data in pictures.items():
        (folder / name).write_bytes(data)
    return folder


@pytest.fixture(scope="module")
def expected(run, folder):
    """What `mocoop predict` says of them, by name, without templates."""
    found = {}
    for row in predict_images(run, list_images(folder).images, backbone=run.load_backbone("cpu"), on_bad_image="skip"):
        name = row.pop("path").rsplit("/", 1)[1]
        found[name] = row
        if "experts" in row:
            row["experts"] = [{key: one[key] for key in ("id", "weight")} for one in row["experts"]]
    return found


def as_folder(folder, pictures, tmp_path):
    return folder


def as_table(folder, pictures, tmp_path):
    table = tmp_path / "list.csv"
    (tmp_path / "links").symlink_to(folder)
    rows = "".join(f"links/{name}\n" for name in pictures)
    table.write_text(f"path\n{rows}")
    return table


def as_bytes(folder, pictures, tmp_path):
    columns = {"image": list(pictures.values()), "path": list(pictures)}
    return put_parquet(tmp_path / "a.parquet", columns, rows_a_group=100)


def as_structs(folder, pictures, tmp_path):
    return put_parquet(tmp_path / "a.parquet", {"image": [{"bytes": b, "path": n} for n, b in pictures.items()]})


def as_tar(folder, pictures, tmp_path):
    return put_tar(tmp_path / "a.tar", pictures)


@pytest.mark.parametrize("form", ["jsonl", "parquet"])
@pytest.mark.parametrize("source", [as_folder, as_table, as_bytes, as_structs, as_tar])
def test_the_rows_are_those_of_predict(bulk, folder, pictures, expected, tmp_path, source, form):
    source = source(folder, pictures, tmp_path)
    follow = source.suffix == ".csv"
    bulk(source, tmp_path / "out", form=form, part_size=128, follow_links=follow)
    rows = read_back(tmp_path / "out", form)
    assert [row["path"].rsplit("/", 1)[1] for row in rows] == list(pictures)
    for row in rows:
        assert {k: v for k, v in row.items() if k != "path"} == expected[row["path"].rsplit("/", 1)[1]]
    assert sum("error" in row for row in rows) == 15


def read_back(out, form):
    """All rows, as whoever uses them reads them; what is null is left out."""
    if form == "jsonl":
        return [json.loads(line) for part in sorted(out.glob("*.jsonl")) for line in part.read_text().splitlines()]
    from pyarrow import parquet

    rows = parquet.read_table(out).to_pylist()  # as pandas reads a folder
    return [{key: value for key, value in row.items() if value is not None} for row in rows]


def items_of(pictures):
    return [Item(name, data) for name, data in pictures.items()]


@pytest.fixture(scope="module")
def backbone(run):
    return run.load_backbone("cpu")


def ready(options, backbone):
    return BulkPredictor(options, RunTower(options, backbone))


def test_as_much_is_said_of_the_experts_as_asked_for(run, backbone):
    def row(**asked):
        return next(ready(Options(run.path, **asked), backbone).rows([Item("a", png(0))]))

    assert "experts" not in row(experts="none")
    assert row(experts="ids")["experts"][0].keys() == {"id", "weight"}
    assert row(experts="full")["experts"][0].keys() == {"id", "weight", "templates"}
    assert len(row(top=2)["top_k"]) == 2
    others = row(classnames=("zebra", "dog"))
    assert {guess["class"] for guess in others["top_k"]} == {"zebra", "dog"}


def test_a_bad_picture_can_be_an_end(run, backbone, pictures):
    with pytest.raises(DataError, match=r"007\.png: damaged or cut PNG"):
        list(ready(Options(run.path, on_bad_image="fail"), backbone).rows(items_of(pictures)))


def test_a_picture_trained_on_is_marked(run, backbone):
    photos = (run.path.parent / "photos" / "train").rglob("*.png")
    first = next(path for path in photos if sha256_file(path) in run.trained_images)
    one, other = ready(Options(run.path), backbone).rows([Item("a", first), Item("b", png(0))])
    assert one["trained_on"] is True
    assert "trained_on" not in other


def test_no_more_pictures_are_held_than_a_batch_or_so_many_bytes(run, backbone, monkeypatch):
    asked = []

    def endless():
        for number in range(10_000):
            asked.append(number)
            yield Item(str(number), png(number % 7))

    batches = ready(Options(run.path, batch_size=8), backbone).batches(endless())
    assert len(next(batches)) == 8
    assert len(asked) <= 2 * 8 + 1
    batches.close()
    asked.clear()
    monkeypatch.setattr(predictor_module, "MAX_HELD", 1)
    next(ready(Options(run.path, batch_size=8), backbone).batches(endless()))
    assert len(asked) == 8


def test_remarks_are_kept_for_a_note(bulk, tmp_path):
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "dark.png").write_bytes(encoded(np.zeros((8, 8, 3), np.uint8), "PNG"))
    _, notes = bulk(tmp_path / "in", tmp_path / "out")
    assert any(note.startswith("nearly black: ") for note in notes)
