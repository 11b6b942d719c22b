"""Pictures of groupings: the same bytes each time, every name harmless, large files quick."""

from __future__ import annotations

import itertools
import re
import xml.etree.ElementTree as ET
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from grouping_cli import Typed
from PIL import Image

from mocoop.errors import UsageError
from mocoop.groupfile.groups import dump_groups, parse_groups
from mocoop.grouping.clustering.embed import Embedding
from mocoop.grouping.clustering.vectors import centred
from mocoop.grouping.measuring import layout
from mocoop.grouping.measuring.plot import KINDS, Picture, draw, look
from mocoop.grouping.measuring.plot_page import page

NASTY = "<script>alert(1)</script> \"'&{} $x_1$ </style> <img src=x onerror=alert(2)>"


def picture(*sizes: int, text: str = "picture {n} of {{}}.", **keys: Any) -> Picture:
    numbers = itertools.count()
    groups = [
        {"id": f"group-{g}", "templates": [text.format(n=next(numbers)) for _ in range(size)]}
        for g, size in enumerate(sizes)
    ]
    file = parse_groups(dump_groups({"schema_version": 1, "domain": "birds", "groups": groups, **keys}))
    generator = np.random.default_rng(0)
    labels = np.repeat(np.arange(len(sizes)), sizes)
    vectors = generator.normal(size=(sum(sizes), 8)) + 2 * generator.normal(size=(len(sizes), 8))[labels]
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    return Picture(file, Embedding("a model", "sentence", vectors, centred(vectors)))


def words(path: Path) -> list[str]:
    root = ET.parse(path).getroot()
    return ["".join(element.itertext()) for element in root.iter("{http://www.w3.org/2000/svg}text")]


class Read(HTMLParser):
    """Tags with their attributes, and the text of a page."""

    def __init__(self, content: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.open: list[str] = []
        self.text: list[str] = []
        self.feed(content)

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attributes)))

    def handle_data(self, data: str) -> None:
        self.text.append(data)


# ---- layout


def test_the_plane_is_the_principal_one_and_its_signs_are_fixed() -> None:
    space = picture(5, 6, 7).embedding.space
    places, shares = layout.plane(space)
    moved = space - space.mean(axis=0)
    values = np.sort(np.linalg.eigvalsh(moved.T @ moved))[::-1]
    np.testing.assert_allclose((places**2).sum(axis=0), values[:2])
    np.testing.assert_allclose(shares, values[:2] / values.sum())
    assert all(places[np.abs(places[:, axis]).argmax(), axis] > 0 for axis in (0, 1))
    turned = layout.plane(-space)[0]  # the same axes, and again the farthest template at the positive end
    np.testing.assert_allclose(np.abs(turned), np.abs(places), atol=1e-9)
    assert all(turned[np.abs(turned[:, axis]).argmax(), axis] > 0 for axis in (0, 1))


def test_the_quick_way_to_the_plane_gives_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    space = picture(5, 6, 7).embedding.space
    exact, shares = layout.plane(space)
    monkeypatch.setattr(layout, "_EXACT", 2)
    quick, quick_shares = layout.plane(space)
    np.testing.assert_allclose(quick, exact, atol=1e-8)
    np.testing.assert_allclose(quick_shares, shares)


@pytest.mark.parametrize("space", [np.zeros((3, 4)), np.ones((1, 4)), np.eye(2), np.array([[1.0], [-1.0]])])
def test_a_plane_of_almost_nothing(space: np.ndarray) -> None:
    places, shares = layout.plane(space)
    assert places.shape == (len(space), 2)
    assert np.isfinite(places).all()
    assert 0 <= sum(shares) <= 1 + 1e-9


def test_heat_rows_are_templates_or_their_means(monkeypatch: pytest.MonkeyPatch) -> None:
    drawn = picture(5, 1, 4)
    space = drawn.embedding.space
    found = layout.heat(space, drawn.labels)
    np.testing.assert_allclose(found.cosines, space @ space.T)
    assert (found.edges, found.per_row) == ((0, 5, 6, 10), 1)
    monkeypatch.setattr(layout, "MOST_CELLS", 6)
    found = layout.heat(space, drawn.labels)
    assert (found.edges, found.per_row) == ((0, 3, 4, 6), 2)
    pieces = [space[0:2], space[2:4], space[4:5], space[5:6], space[6:8], space[8:10]]
    naive = [[(one @ other.T).mean() for other in pieces] for one in pieces]
    np.testing.assert_allclose(found.cosines, naive)


def test_the_tree_joins_the_nearest_groups_first() -> None:
    space = np.array([[1, 0, 0], [0, 1, 0], [0.9, 0.1, 0], [0, 0.2, 1.0]])
    found = layout.tree(space / np.linalg.norm(space, axis=1, keepdims=True), np.arange(4))
    assert sorted(found.order) == [0, 1, 2, 3]
    assert abs(found.order.index(0) - found.order.index(2)) == 1
    assert len(found.joins) == 3
    assert min(max(x for x, _ in join) for join in found.joins) == pytest.approx(1 - 0.9 / np.hypot(0.9, 0.1))


def test_no_two_of_64_groups_look_the_same() -> None:
    assert len({look(index) for index in range(64)}) == 64


# ---- SVG and PNG


@pytest.mark.parametrize("kind", KINDS)
def test_a_picture_is_the_same_file_each_time_and_names_its_groups(kind: str, tmp_path: Path) -> None:
    for name in ("a", "b"):
        draw(picture(3, 4, 1), kind, tmp_path / f"{name}.svg")
    assert (tmp_path / "a.svg").read_bytes() == (tmp_path / "b.svg").read_bytes()
    told = " ".join(words(tmp_path / "a.svg"))
    assert all(f"group-{index}" in told for index in range(3))
    assert "birds, by a model" in told
    draw(picture(3, 4, 1), kind, tmp_path / "a.png")
    with Image.open(tmp_path / "a.png") as image:
        assert len(image.convert("RGB").getcolors(1 << 24) or []) > 10


def test_the_map_marks_what_starts_an_expert_and_the_axes_shares(tmp_path: Path) -> None:
    draw(picture(3, 4), "map", tmp_path / "a.svg")
    told = words(tmp_path / "a.svg")
    assert "starts its expert" in told
    assert any(re.fullmatch(r"first main axis, \d+% of the variance", word) for word in told)


@pytest.mark.parametrize("kind", KINDS)
def test_odd_names_are_drawn_as_they_are(kind: str, tmp_path: Path) -> None:
    draw(picture(2, 2, domain="$x_1^{2$ <b>&"), kind, tmp_path / "a.svg")
    assert "$x_1^{2$ <b>&, by a model" in words(tmp_path / "a.svg")


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("suffix", ["svg", "html"])
def test_one_group_and_one_template(kind: str, suffix: str, tmp_path: Path) -> None:
    def made(drawn: Picture) -> Any:
        return page(drawn, kind) if suffix == "html" else draw(drawn, kind, tmp_path / "a.svg")

    if kind == "dendrogram":
        with pytest.raises(UsageError, match="there is one only"):
            made(picture(3))
    else:
        made(picture(3))
        made(picture(1))
    made(picture(1, 1))


@pytest.mark.parametrize("kind", KINDS)
def test_the_largest_file_is_drawn(kind: str, tmp_path: Path) -> None:
    largest = picture(*[200] * 64)
    draw(largest, kind, tmp_path / "a.png")
    content = page(largest, kind)
    assert len(content) < 20_000_000
    assert content.count("<tr id=") == 12_800


# ---- HTML


@pytest.mark.parametrize("kind", KINDS)
def test_a_page_asks_for_nothing_and_runs_nothing(kind: str) -> None:
    content = page(picture(3, 4, 1, text=f"picture {{n}} {NASTY.replace('{}', '{{}}')}", domain="<script>x"), kind)
    read = Read(content)
    assert "script" not in {tag for tag, _ in read.tags}
    assert {tag for tag, _ in read.tags} <= {
        "html", "head", "meta", "title", "style", "body", "svg", "symbol", "circle", "path", "use", "polyline", "h1",
        "p", "a", "div", "img", "span", "ul", "li", "table", "thead", "tbody", "tr", "th", "td",
    }  # fmt: skip
    for _, attributes in read.tags:
        assert not [name for name in attributes if name.startswith("on")]
        for name in ("src", "href", "xlink:href"):
            assert (attributes.get(name) or "#").startswith(("#", "data:image/png;base64,"))
    assert "http:" not in content.replace("http-equiv", "")
    assert "https:" not in content
    policies = [attributes for tag, attributes in read.tags if tag == "meta" and "http-equiv" in attributes]
    assert (policies[0]["content"] or "").startswith("default-src 'none'")
    told = "".join(read.text)
    assert "<script>alert(1)</script>" in told  # as words
    assert told.count("picture 7") >= 1


@pytest.mark.parametrize("kind", KINDS)
def test_every_link_leads_to_a_row_and_every_template_stands_in_the_table(kind: str) -> None:
    drawn = picture(3, 4, 1)
    read = Read(page(drawn, kind))
    ids = [attributes["id"] for _, attributes in read.tags if "id" in attributes]
    assert len(ids) == len(set(ids))
    links = [str(attributes["href"])[1:] for tag, attributes in read.tags if tag == "a"]
    assert links
    assert set(links) <= set(ids)
    assert {f"t{n}" for n in range(8)} <= set(ids)
    if kind != "dendrogram":
        assert {f"t{n}" for n in range(8)} <= set(links)
    told = "".join(read.text)
    assert all(text in told for group in drawn.file.groups for text in group.texts)


def test_a_point_tells_its_template_and_group() -> None:
    content = page(picture(2, 2), "map")
    assert "<span>picture 0 of {} &middot; group-0</span>" in content.replace("picture 0 of {}.", "picture 0 of {}")
    assert content == page(picture(2, 2), "map")
    assert content.count('class="p i') == 2


# ---- as it is typed


def test_plot_as_it_is_typed(typed: Typed, tmp_path: Path) -> None:
    groups, out = tmp_path / "groups.json", tmp_path / "map.html"
    groups.write_bytes(dump_groups(picture(3, 3).file.document))
    done = typed("plot", groups, "-o", out, "--embedder", "tfidf")
    assert (done.code, done.out) == (0, "")
    assert "map of 2 groups, by tfidf (lexical, not semantic)" in done.err
    assert "these groups are lexical" in out.read_text()
    assert typed("plot", groups, "-o", out, "--embedder", "tfidf").code == 2
    before = out.read_bytes()
    assert typed("plot", groups, "-o", out, "--embedder", "tfidf", "--force").code == 0
    assert out.read_bytes() == before
    for kind in KINDS:
        assert typed("plot", groups, "-o", tmp_path / f"{kind}.svg", "--kind", kind, "--embedder", "tfidf").code == 0
        assert words(tmp_path / f"{kind}.svg")


@pytest.mark.parametrize("name", ["map.gif", "map", "-"])
def test_a_picture_of_no_known_kind_is_refused_before_anything_is_computed(name: str, typed: Typed) -> None:
    done = typed("plot", "missing.json", "-o", name)
    assert (done.code, "end the name with one of .html, .svg" in done.err) == (2, True)
    assert done.out == ""
