"""CSV and JSON-lines manifests: what they give, and errors that name the line."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest
from datafiles import put_classes, put_image

from mocoop.data.sources import open_dataset
from mocoop.errors import DataError, UsageError

IMAGES = [f"img/{name}{number}.png" for name in "ab" for number in range(6)]


@pytest.fixture
def home(tmp_path: Path) -> Path:
    for seed, name in enumerate(IMAGES):
        put_image(tmp_path / "set" / name, seed)
    return tmp_path / "set"


def write(home: Path, lines: list[str], name: str = "m.csv") -> Path:
    path = home / name
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


def rows(split: bool = True) -> list[str]:
    parts = ["train", "train", "train", "valid", "test", "test"] * 2
    return [
        f"{image},class_{image[4]}" + (f",{part}" if split else "") for image, part in zip(IMAGES, parts, strict=True)
    ]


def test_csv_with_splits(home):
    dataset = open_dataset(write(home, ["path,label,split", *rows()]))
    assert dataset.name == "m"
    assert dataset.classnames == ("class a", "class b")
    assert [dataset.counts(split) for split in ("train", "val", "test")] == [(3, 3), (1, 1), (2, 2)]
    assert dataset.train[0].path == home / "img/a0.png"
    assert dataset.notes == ()


def test_csv_without_splits_is_split_here(home):
    dataset = open_dataset(write(home, ["path,label", *rows(split=False)]))
    assert [dataset.counts(split) for split in ("train", "val", "test")] == [(3, 3), (1, 1), (2, 2)]
    assert any("50/20/30" in note for note in dataset.notes)


def test_json_lines_give_the_same(home):
    table = open_dataset(write(home, ["path,label,split", *rows()]))
    keys = ("path", "label", "split")
    lines = [json.dumps(dict(zip(keys, row.split(","), strict=True))) for row in rows()]
    assert open_dataset(write(home, lines, "m.jsonl")) == table


def test_a_missing_val_is_taken_from_train(home):
    dataset = open_dataset(write(home, ["path,label,split", *(row.replace("valid", "train") for row in rows())]))
    assert dataset.counts("val") == (1, 1)
    assert dataset.counts("train") == (3, 3)


def test_mark_quotes_blank_lines_and_line_ends(home):
    put_image(home / "img/a, b.png", 50)
    text = "\ufeffpath,label\r\n\r\n" + "\r\n".join(rows(split=False)) + '\r\n"img/a, b.png",class_a\r\n'
    (home / "m.csv").write_bytes(text.encode())
    dataset = open_dataset(home / "m.csv")
    assert sum(map(len, (dataset.train, dataset.val, dataset.test))) == 13


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        ([], "no images are listed"),
        (["path,label"], "no images are listed"),
        (["pfad,label", "img/a0.png,x"], r'm.csv:1: no column "path"'),
        (
            ["path,label,splt", "img/a0.png,x,train"],
            r'm.csv:1: unknown column "splt" \(did you mean "split"\?\)',
        ),
        (["path", "img/a0.png"], 'm.csv:1: no column "label"'),
        (["path,label,path", "img/a0.png,x,y"], "m.csv:1: a column is given twice"),
        (["path|label", "img/a0.png|x"], r'm.csv:1: no column "path" among path\|label \('),
        (["Bild,Klasse", "img/a0.png,x"], r'm.csv:1: no column "path" among Bild, Klasse \('),
        (["img/a0.png,x", "img/a1.png,y"], r'm.csv:1: no column "path" among img/a0.png, x \('),  # no header
        (["path,label", "img/a0.png,x", "img/a1.png"], "m.csv:3: 1 cells under 2 columns"),
        (["path,label", "img/a0.png,x", "img/a1.png,"], "m.csv:3: an empty label"),
        (["path,label,split", "img/a0.png,x,trian"], r'm.csv:2: split "trian" \(did you mean "train"\?\)'),
        (["path,label,split", "img/a0.png,x,train", "img/a1.png,x,"], "m.csv:3: an empty split"),
        (["path,label", 'img/a0.png,"x'], "m.csv:2: "),
        (["path,label", "../secret.png,x"], r"m.csv:2: the path '../secret.png' climbs out"),
        (["path,label", "/etc/passwd,x"], "m.csv:2: the path '/etc/passwd' is absolute"),
        (["path,label", "..\\a0.png,x"], r"m.csv:2: the path .* climbs out"),
        (["path,label", "C:\\img\\a0.png,x"], r"m.csv:2: the path .* is absolute"),
        (["path,label", "C:img/a0.png,x"], "m.csv:2: the path .* is absolute"),
        (["path,label", "img/a0.png,x", "img/a1.png,x"], "one class only"),
        (["path,label", "img/a0.png,x", "./img//a0.png,y"], "listed under two classes"),
        (
            ["path,label,split", "img/a0.png,x,train", "img/a0.png,x,test", "img/b0.png,y,test"],
            "is in train and in test",
        ),
        (["path,label", "no/1.png,x", "no/2.png,y"], "2 of 2 listed images are missing"),
    ],
)
def test_bad_csv(home, lines, message):
    with pytest.raises(DataError, match=message):
        open_dataset(write(home, lines))


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("{", r"m.jsonl:2:\d+: "),
        ("[1]", "m.jsonl:2: not an object"),
        ('{"path": "img/a0.png"}', 'm.jsonl:2: no column "label"'),
        ('{"path": "img/a0.png", "label": 3.5}', "m.jsonl:2: label is no string"),
        ('{"path": "img/a0.png", "label": null}', "m.jsonl:2: an empty label"),
        ('{"path": "img/a0.png", "label": ["a", "b"]}', "m.jsonl:2: label is a list"),
        ('{"path": "img/a0.png", "label": true}', "m.jsonl:2: label is no string"),
        ('{"path": "img/a0.png", "label": "x", "label": "y"}', "m.jsonl:2:.*twice"),
        ('{"path": "img/a\\u00000.png", "label": "x"}', "m.jsonl:2: .*NUL"),
        ('{"path": "img/a0.png", "label": "x", "split": "train"}', "m.jsonl:2: some lines have a split"),
        ('{"path": "img/a0.png", "label": "x\\u0001y"}', "control characters"),
    ],
)
def test_bad_json_lines(home, line, message):
    good = '{"path": "img/a1.png", "label": "a"}'
    with pytest.raises(DataError, match=message):
        open_dataset(write(home, [good, line, '{"path": "img/b1.png", "label": "b"}'], "m.jsonl"))


def test_a_manifest_that_is_not_utf8_names_the_line(home):
    (home / "m.csv").write_bytes(b"path,label\nimg/a0.png,for\xeat\n")
    with pytest.raises(DataError, match=r'm\.csv:2: not UTF-8 .*UTF-8, in Excel as "CSV UTF-8"'):
        open_dataset(home / "m.csv")


def test_some_missing_images_are_noted_with_the_other_case(home):
    lines = ["path,label", *rows(split=False), "img/A0.png,class_a", "img/gone.png,class_b"]
    note = next(note for note in open_dataset(write(home, lines)).notes if "missing" in note)
    assert note.startswith("2 of 14 listed images are missing")
    assert "(img/a0.png is there, in other case)" in note


@pytest.mark.parametrize(
    ("written", "said"),
    [
        ("img/habror.png", "(img/harbor.png is there: is that meant?)"),
        ("imgs/harbor.png", "(img/harbor.png is there: is that meant?)"),
        ("img/Br\u00fccke.png", "(img/Bru\u0308cke.png is there, with its accents in other Unicode characters)"),
        ("img/a00.png", None),  # what is like it is listed itself
        ("img/quite-another.png", None),
    ],
)
def test_what_a_missing_image_may_be_a_slip_of_is_named(home, written, said):
    for seed, name in enumerate(("harbor", "Bru\u0308cke")):
        put_image(home / f"img/{name}.png", seed)
    if (home / written).exists():
        pytest.skip("this file system does not tell the two spellings apart")
    lines = ["path,label", *rows(split=False), f"{written},class_a"]
    note = next(note for note in open_dataset(write(home, lines)).notes if "missing" in note)
    assert note == f"1 of 13 listed images are missing: {home / written}" + (f" {said}" if said else "")


def test_if_all_images_are_missing_the_folder_that_was_meant_is_named(home):
    lines = ["path,label", *(row.replace("img/", "imgs/") for row in rows(split=False))]
    with pytest.raises(DataError, match=r"12 of 12 .*\(img/a0.png is there: is that meant\?\)"):
        open_dataset(write(home, lines))


def test_a_label_with_a_slip_of_the_pen_is_noted(home):
    def slips(rare: str, common: str, count: int = 10) -> list[str]:
        images = [f"more/{number}.png" for number in range(count + 1)]
        for seed, image in enumerate(images):
            put_image(home / image, seed + 20)
        more = [f"{image},{common}" for image in images[1:]]
        lines = ["path,label", *rows(split=False), f"{images[0]},{rare}", *more]
        return [note for note in open_dataset(write(home, lines)).notes if "slip of the pen" in note]

    assert slips("habor", "harbor") == [
        "'habor' (1 image) is spelt nearly as 'harbor': a slip of the pen? each is a class of its own here"
    ]
    assert slips("harbour", "beach") == []
    assert slips("kind_1", "kind_2") == []  # numbered
    assert slips("habor", "harbor", 9) == []  # not so much larger


def test_an_image_listed_twice_in_one_split_is_noted(home):
    dataset = open_dataset(write(home, ["path,label,split", *rows(), rows()[0]]))
    assert any(note.startswith("listed more than once") for note in dataset.notes)


def test_a_link_in_a_manifest_may_not_leave(home, tmp_path, monkeypatch):
    (home / "img" / "out.png").symlink_to(put_image(tmp_path / "secret.png", 9))
    path = write(home, ["path,label", *rows(split=False), "img/out.png,class_a"])
    with pytest.raises(DataError, match=rf"m.csv:14: .*out.png is a link that leaves {home}"):
        open_dataset(path)
    monkeypatch.chdir(home)
    with pytest.raises(DataError, match=r"m.csv:14: .*out.png is a link that leaves this folder"):
        open_dataset(path.name)
    assert open_dataset(path, follow_links=True)


def table(home, header, lines, name="m.csv"):
    return open_dataset(write(home, [header, *lines], name))


def places(dataset):
    return {
        (path.name, dataset.classnames[label]) for s in ("train", "val", "test") for path, label, _ in dataset.split(s)
    }


WHOLE = {(image[4:], f"class {image[4]}") for image in IMAGES}


@pytest.mark.parametrize("path", ["filepath", "file_name", "filename", "image", "img", "path", "Image Path"])
@pytest.mark.parametrize("label", ["label", "class", "target", "category", "y", "Label"])
def test_usual_names_of_columns(home, path, label):
    dataset = table(home, f"{path},{label}", rows(split=False))
    assert places(dataset) == WHOLE
    renamed = [note for note in dataset.notes if note.startswith("columns: ")]
    assert bool(renamed) == ((path, label) != ("path", "label"))


@pytest.mark.parametrize("column", ["set", "subset", "fold", "partition", "Split"])
def test_usual_names_of_the_split_and_its_words(home, column):
    words = {",train": ",training", ",valid": ",dev", ",test": ",Testing"}
    lines = [row[: row.rindex(",")] + words[row[row.rindex(",") :]] for row in rows()]
    dataset = table(home, f"path,label,{column}", lines)
    assert [dataset.counts(split) for split in ("train", "val", "test")] == [(3, 3), (1, 1), (2, 2)]


def test_folds_are_no_splits(home):
    dataset = table(home, "path,label,fold", [f"{row},{i % 5}" for i, row in enumerate(rows(split=False))])
    assert "the column fold names no splits and is not used" in dataset.notes
    assert any("50/20/30" in note for note in dataset.notes)


def test_other_columns_and_an_index_are_not_used_and_said(home):
    lines = [f"{number},{row},640" for number, row in enumerate(rows(split=False))]
    for index in ("", "Unnamed: 0"):
        dataset = table(home, f"{index},path,label,width", lines)
        assert places(dataset) == WHOLE
        shown = index or "the one without a name"
        assert f"columns not used: {shown}, width" in dataset.notes


def test_columns_named_by_the_user(home):
    path = write(home, ["id,where,kind,label", *(f"7,{row},x" for row in rows(split=False))])
    assert places(open_dataset(path, columns={"path": "where", "label": "kind"})) == WHOLE
    with pytest.raises(DataError, match=r'no column "knd" .did you mean "kind"'):
        open_dataset(path, columns={"path": "where", "label": "knd"})
    with pytest.raises(UsageError, match="'pth' is none of path, label and split"):
        open_dataset(path, columns={"pth": "where"})
    with pytest.raises(UsageError, match="is no table"):
        open_dataset(home, columns={"path": "where"})


@pytest.mark.parametrize(("mark", "name"), [(";", "m.csv"), ("\t", "m.csv"), ("\t", "m.tsv"), (",", "m.tsv")])
def test_separators_are_found_out(home, mark, name):
    lines = [row.replace(",", mark) for row in rows()]
    assert places(table(home, mark.join(("path", "label", "split")), lines, name)) == WHOLE


@pytest.mark.parametrize("form", ["list", "columns", "frame"])
def test_json_tables(home, form):
    records = [dict(zip(("file_name", "label"), row.split(","), strict=True)) for row in rows(split=False)]
    columns = {key: [record[key] for record in records] for key in records[0]}
    value = {
        "list": records,
        "columns": columns,
        "frame": {key: dict(enumerate(cells)) for key, cells in columns.items()},
    }[form]
    (home / "m.json").write_text(json.dumps(value))
    assert places(open_dataset(home / "m.json")) == WHOLE


def test_ndjson_is_json_lines(home):
    lines = [json.dumps(dict(zip(("path", "label"), row.split(","), strict=True))) for row in rows(split=False)]
    assert places(open_dataset(write(home, lines, "m.ndjson"))) == WHOLE


def test_label_indexes_are_ordered_by_value_and_named_by_a_list(home):
    lines = [f"{image},{number % 12}" for number, image in enumerate(IMAGES)]
    names = home / "names.txt"
    names.write_text("\n".join(f"thing {chr(97 + i)}" for i in range(12)))
    dataset = open_dataset(write(home, ["path,label", *lines]), class_names=names)
    assert dataset.keys == tuple(map(str, range(12)))
    assert dataset.classnames == tuple(f"thing {chr(97 + i)}" for i in range(12))
    records = [json.dumps({"path": image, "label": number % 2}) for number, image in enumerate(IMAGES)]
    assert open_dataset(write(home, records, "m.jsonl")).keys == ("0", "1")


def test_absolute_paths_inside_the_folder_and_backslashes(home, tmp_path):
    (tmp_path / "link").symlink_to(home, target_is_directory=True)
    for root in (home, tmp_path / "link"):
        assert places(table(root, "path,label", [f"{root}/{row}" for row in rows(split=False)])) == WHOLE
    dataset = table(home, "path,label", [row.replace("/", "\\") for row in rows(split=False)])
    assert places(dataset) == WHOLE
    assert "12 paths have backslashes, read as /" in dataset.notes
    with pytest.raises(DataError, match="climbs out"):
        table(home, "path,label", [f"{home}/../set/{row}" for row in rows(split=False)])


def test_parquet(home):
    arrow = pytest.importorskip("pyarrow")
    from pyarrow import parquet

    cells = [row.split(",") for row in rows()]
    columns = {name: [cell[i] for cell in cells] for i, name in enumerate(("path", "label", "split"))}
    parquet.write_table(arrow.table({**columns, "width": [3] * 12}), home / "m.parquet")
    dataset = open_dataset(home / "m.parquet")
    assert places(dataset) == WHOLE
    assert [dataset.counts(split) for split in ("train", "val", "test")] == [(3, 3), (1, 1), (2, 2)]
    assert dataset.notes == ("columns not used: width",)
    parquet.write_table(arrow.table({"image": [b"x"], "label": [1]}), home / "p.parquet")
    with pytest.raises(DataError, match='the column "image" holds the pictures themselves'):
        open_dataset(home / "p.parquet")
    (home / "bad.parquet").write_bytes(b"PAR1 no")
    with pytest.raises(DataError, match="no Parquet file that can be read"):
        open_dataset(home / "bad.parquet")


def test_parquet_without_pyarrow_says_how_to_get_it(home, monkeypatch):
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    (home / "m.parquet").touch()
    with pytest.raises(DataError, match=r"needs pyarrow \(pip install pyarrow"):
        open_dataset(home / "m.parquet")


@pytest.mark.parametrize("name", ["metadata.csv", "metadata.jsonl"])
def test_an_image_folder_with_metadata(tmp_path, name):
    for split, word in (("train", "x"), ("validation", "y"), ("test", "z")):
        home = tmp_path / "set" / split
        records = [{"file_name": f"{word}{i}.png", "label": f"class_{'ab'[i % 2]}", "width": 4} for i in range(6)]
        for i, record in enumerate(records):
            put_image(home / record["file_name"], ord(word) * 100 + i)
        lines = ["file_name,label,width", *(f"{r['file_name']},{r['label']},4" for r in records)]
        text = "\n".join(lines if name.endswith("csv") else map(json.dumps, records))
        (home / name).write_text(text + "\n")
    dataset = open_dataset(tmp_path / "set")
    assert dataset.classnames == ("class a", "class b")
    assert [dataset.counts(split) for split in ("train", "val", "test")] == [(3, 3), (3, 3), (3, 3)]
    assert dataset.test[0].path == tmp_path / "set/test/z0.png"


def test_metadata_without_labels_leaves_the_class_folders(tmp_path):
    put_classes(tmp_path / "set", {"train/a": 3, "train/b": 3, "test/a": 1, "test/b": 1})
    (tmp_path / "set" / "train" / "metadata.csv").write_text("file_name,text\na/00.png,a photo\n")
    assert open_dataset(tmp_path / "set").classnames == ("a", "b")


def test_a_split_file_of_any_data_set_beside_its_images(home):
    items = [[image[4:], "ab".index(image[4]), f"class_{image[4]}"] for image in IMAGES]
    (home / "split_mine.json").write_text(json.dumps({"train": items[::2], "val": [], "test": items[1::2]}))
    for given in (home / "split_mine.json", home):  # the images are in the folder img
        dataset = open_dataset(given)
        assert places(dataset) == WHOLE
        assert dataset.counts("test") == (3, 3)


def test_columns_of_a_metadata_folder_can_be_named(tmp_path):
    put_classes(tmp_path / "set", {"all": 6})
    rows = [f"all/{n:02}.png,{'ab'[n % 2]},{'cd'[n // 3]}" for n in range(6)]
    (tmp_path / "set/metadata.csv").write_text("\n".join(["file_name,kind,shape", *rows]) + "\n")
    assert open_dataset(tmp_path / "set", columns={"label": "kind"}).classnames == ("a", "b")
    assert open_dataset(tmp_path / "set", columns={"label": "shape"}).classnames == ("c", "d")


def test_an_image_folder_object(home):
    class ImageFolder:
        root, classes = str(home), ["class_b", "class_a"]
        samples = [(str(home / image), "ba".index(image[4])) for image in IMAGES]

    dataset = open_dataset(ImageFolder())
    assert (dataset.name, dataset.classnames) == ("set", ("class b", "class a"))
    assert places(dataset) == WHOLE


def test_a_parquet_table_that_unpacks_to_more_than_may_be_is_refused(tmp_path, monkeypatch):
    """One long text that every row repeats: a few kilobytes on disk, whatever the file says of its size."""
    import pyarrow
    from pyarrow import parquet

    from mocoop.data import tablerows

    path = tmp_path / "rows.parquet"
    parquet.write_table(pyarrow.table({"path": ["a" * 1000] * 5000, "label": ["x"] * 5000}), path)
    assert path.stat().st_size < 20_000
    monkeypatch.setattr(tablerows, "MAX_BYTES", 1_000_000)
    with pytest.raises(DataError, match="larger than 1,000,000 bytes"):
        list(tablerows.read_rows(path, lambda columns, _where: columns))
    monkeypatch.setattr(tablerows, "MAX_BYTES", 10_000_000)
    assert len(list(tablerows.read_rows(path, lambda columns, _where: columns))) == 5000
