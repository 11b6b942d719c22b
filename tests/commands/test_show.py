"""`mocoop show` with a page: which options belong to it, and what each does to it."""

from __future__ import annotations

import json
import re
import shutil
import socket
import sys

import pytest
import torch
from command_line import call
from geotiffs import converted, thirteen_bands
from hostile import CLASSES, hostile_world, put_photos
from starlette.testclient import TestClient


@pytest.fixture(scope="module")
def hostile(tmp_path_factory):
    return hostile_world(tmp_path_factory.mktemp("hostile"))


@pytest.fixture
def page(hostile, tmp_path):
    """Write a page, and give its content and what was said."""

    def write(*more, data=None):
        out = tmp_path / "page.html"
        where = ("--data", data or hostile["data"], "-o", out)
        told = call("show", hostile["run"].path, *where, "--device", "cpu", "--no-cache", *more)
        assert told.code == 0, told.err
        assert f"page: {out}" in told.err
        found = re.search(r'<script type="application/json" id="content">(.*?)</script>', out.read_text())
        return json.loads(found[1]), told

    return write


def test_a_page_is_written_with_sets_and_doubt(page):
    content, told = page("--coverage", 0.8, "--unsure-below", 0.3, "--threads", 1)
    assert (content["coverage"], content["unsure_below"]) == (0.8, 0.3)
    assert content["corrections"] is None
    assert len(content["pictures"]) == len(content["images"]["name"]) == 22
    assert told.out == ""


def test_without_them_sets_hold_the_class_in_90_of_100_and_half_is_sure(page):
    content, _ = page()
    assert (content["coverage"], content["unsure_below"]) == (0.9, 0.5)


def test_only_so_many_pictures(page):
    content, _ = page("--most-images", 4)
    assert len(content["pictures"]) == 4
    assert len(content["images"]["name"]) == 22
    assert any(note.startswith("This file has the pictures of 4 of 22 images") for note in content["notes"])


def test_a_page_that_cannot_be_written_is_refused_before_the_work(hostile, tmp_path):
    out = tmp_path / "missing" / "page.html"
    told = call("show", hostile["run"].path, "--data", tmp_path / "not looked at", "-o", out)
    assert told.code == 6
    assert f"cannot write {out}" in told.err


def test_a_coverage_that_cannot_be_had_is_refused(hostile, tmp_path):
    told = call("show", hostile["run"].path, "--data", hostile["data"], "--coverage", 0.999, "-o", tmp_path / "p.html")
    assert (told.code, "ask for a smaller --coverage" in told.err) == (2, True)


def test_names_and_bad_images_are_as_for_other_commands(page, hostile, tmp_path):
    photos = put_photos(tmp_path / "photos")
    (photos / "test" / "dog" / "00.png").write_bytes(b"no picture")
    (photos / "test" / "sea snake").rename(photos / "test" / "snake")
    (photos / "train" / "sea snake").rename(photos / "train" / "snake")
    (photos / "val" / "sea snake").rename(photos / "val" / "snake")
    names = tmp_path / "names.json"
    names.write_text(json.dumps({**{name: name for name in CLASSES if name != "sea snake"}, "snake": "sea snake"}))
    content, _ = page("--class-names", names, "--on-bad-image", "skip", "--max-skipped", 0.2, data=photos)
    assert len(content["images"]["name"]) == 21
    assert "sea snake" in content["classes"]


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (("--data", "x"), "--data belongs to a page"),
        (("--port", 1), "--port belongs to a page"),
        (("--coverage", 0.9), "--coverage belongs to a page"),
        (("-o", "x.html", "--data", "x", "--port", 0), "--port belongs to --web"),
        (("-o", "x.html", "--data", "x", "--no-browser"), "--no-browser belongs to --web"),
        (("--web", "--data", "x", "--most-images", 9), "--most-images belongs to a file"),
        (("--web",), "a page shows images\n  hint: name them with --data"),
        (("-o", "x.html"), "a page shows images\n  hint: name them with --data"),
        (("--web", "--data", "x", "--json"), "--json prints, --web and -o show a page"),
    ],
)
def test_options_that_do_not_belong_together_are_refused(hostile, options, said):
    told = call("show", hostile["run"].path, *options)
    assert told.code == 2
    assert said in told.err


def test_without_what_a_server_needs_it_says_how_to_get_it(hostile, monkeypatch):
    monkeypatch.setitem(sys.modules, "starlette", None)
    told = call("show", hostile["run"].path, "--data", hostile["data"], "--web")
    assert (told.code, "pip install '.[web]'" in told.err) == (2, True)


def web(hostile, *more):
    return call("show", hostile["run"].path, "--data", hostile["data"], "--device", "cpu", "--no-cache", "--web", *more)


def test_an_address_that_others_reach_is_noted_and_one_that_is_taken_is_refused(hostile):
    with socket.socket() as taken:
        taken.bind(("0.0.0.0", 0))
        taken.listen()
        told = web(hostile, "--host", "0.0.0.0", "--port", taken.getsockname()[1])
    assert told.code == 2
    assert "note: whoever reaches 0.0.0.0 and knows the address sees these images" in told.err
    assert "cannot serve on 0.0.0.0 port" in told.err


def test_a_browser_is_opened_unless_told(hostile, monkeypatch):
    """What is handed to the server of pages, which tests/web runs and tests/looking looks at."""
    asked = []
    monkeypatch.setattr("mocoop.web.page.show_page", lambda *_, **options: asked.append(options))
    assert web(hostile, "--no-browser", "--port", 8123).code == 0
    assert web(hostile).code == 0
    assert [(one["host"], one["port"], one["browser"]) for one in asked] == [
        ("127.0.0.1", 8123, False),
        ("127.0.0.1", 0, True),
    ]


def test_a_name_to_serve_on_is_one_to_ask_by(hostile, monkeypatch):
    pages = []
    monkeypatch.setattr("mocoop.web.page.show_page", lambda *page, **_: pages.append(page))
    assert web(hostile, "--no-browser", "--host", "desk.example").code == 0
    ((app, secret),) = pages
    assert TestClient(app, base_url="http://desk.example:8123").get(f"/{secret}/").status_code == 200


def test_labels_that_cannot_be_corrected_are_noted(hostile, monkeypatch, tmp_path):
    (hostile["data"].parent / "photos-corrected.csv").write_text("mine")
    monkeypatch.setattr("mocoop.web.page.show_page", lambda *_, **options: None)
    try:
        told = web(hostile, "--no-browser")
    finally:
        (hostile["data"].parent / "photos-corrected.csv").unlink()
    assert told.code == 0
    assert "note: labels cannot be corrected: " in told.err


def test_a_table_that_was_spoiled_meanwhile_is_noted_at_the_end(hostile, monkeypatch):
    table = hostile["data"].parent / "photos-corrections.csv"
    monkeypatch.setattr("mocoop.web.page.show_page", lambda *_, **options: table.write_text("a;b"))
    try:
        told = web(hostile, "--no-browser")
    finally:
        table.unlink()
    assert told.code == 0
    assert f"note: corrected labels cannot be read: {table} is no table of corrections" in told.err


class TestTheImagesAreReadAsByOtherCommands:
    """On the small world of all commands."""

    @pytest.fixture
    def looked(self, runs, tmp_path):
        def look(data, *more):
            out = tmp_path / "page.html"
            told = call("show", runs["all"], "--data", data, "--device", "cpu", "-o", out, *more)
            assert told.code == 0, told.err
            return json.loads(re.search(r'id="content">(.*?)</script>', out.read_text())[1])

        return look

    def test_bands_and_range_choose_what_is_seen(self, world, looked, tmp_path):
        photos = converted(world["photos"], tmp_path / "photos", thirteen_bands)
        own = looked(world["photos"])
        bands = looked(photos, "--bands", "4,3,2", "--range", "0,4095")
        assert bands["pictures"] == own["pictures"]
        assert bands["images"]["gate"] == own["images"]["gate"]
        assert looked(photos, "--bands", "9,8,7", "--range", "0,4095")["pictures"] != own["pictures"]

    def test_tables_links_and_lists_of_names(self, world, looked, tmp_path):
        photos = shutil.copytree(world["photos"], tmp_path / "photos")
        one = next(iter(sorted((photos / "test").rglob("*.png"))))
        shutil.move(one, tmp_path / "elsewhere.png")
        one.symlink_to(tmp_path / "elsewhere.png")
        rows = [
            (str(path.relative_to(photos)), path.parent.name, path.parent.parent.name) for path in photos.rglob("*.png")
        ]
        table = photos / "photos.csv"
        table.write_text("where,which,part\n" + "".join(f"{','.join(row)}\n" for row in sorted(rows)))
        names = tmp_path / "names.txt"
        names.write_text("\n".join(name.replace("_", " ").upper() for name in sorted({row[1] for row in rows})))
        options = ("--columns", "path=where,label=which,split=part", "--class-names", names, "--names-by-position")
        assert len(looked(table, *options, "--follow-links")["images"]["name"]) == len(
            looked(world["photos"])["images"]["name"]
        )
        with pytest.raises(AssertionError, match="a link that leaves"):
            looked(table, *options)

    def test_features_are_kept_unless_told(self, world, looked, monkeypatch, tmp_path):
        monkeypatch.setenv("MOCOOP_CACHE", str(tmp_path / "cache"))
        looked(world["photos"], "--no-cache", "--threads", 1)
        assert not list((tmp_path / "cache").rglob("*.npy"))
        assert torch.get_num_threads() == 1
        looked(world["photos"])
        assert list((tmp_path / "cache").rglob("*"))

    @pytest.mark.parametrize(
        ("option", "value"), [("--backbone", "local-dir:none"), ("--pretrained", "none"), ("--device", "cuda:99")]
    )
    def test_another_backbone_is_looked_for_where_told(self, world, runs, tmp_path, option, value):
        told = call("show", runs["all"], "--data", world["photos"], "-o", tmp_path / "x.html", option, value)
        assert told.code == 2
        assert not (tmp_path / "x.html").exists()
