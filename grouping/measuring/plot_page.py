"""Pictures of a grouping as one HTML file: a map, heat map or dendrogram with hover text, and a table below.

The page has no scripts and loads nothing (its own policy forbids both). All user-written text is escaped by `_text`.
Every point links to its row of the table, so that it can be reached by keyboard, and shows its text when hovered or
focused.
"""

from __future__ import annotations

import base64
import html
import io
from collections.abc import Iterator
from itertools import pairwise
from typing import TYPE_CHECKING, Any

from mocoop.cli import printable
from mocoop.grouping.measuring import layout, measures
from mocoop.grouping.measuring.audit import template_texts
from mocoop.grouping.measuring.plot import COLOURS, MARKERS, Picture, look, refuse_single

if TYPE_CHECKING:
    from mocoop.grouping.measuring.measures import Array

_POLICY = "default-src 'none'; style-src 'unsafe-inline'; img-src data:; base-uri 'none'; form-action 'none'"
_STYLE = """
body { font: 15px/1.45 system-ui, sans-serif; margin: 2rem auto; max-width: 72rem; padding: 0 1rem;
  color: #222; background: #fff }
h1 { font-size: 1.3rem; margin: 0 } .sub { color: #555; margin: .2rem 0 1rem }
.pic { position: relative; border: 1px solid #bbb; margin: 0 0 .5rem }
.map { height: 36rem; margin: 0 } .map .in { position: absolute; inset: 1.2rem }
.p { position: absolute; width: 14px; height: 14px; margin: -7px 0 0 -7px; display: block }
.p.i { width: 22px; height: 22px; margin: -11px 0 0 -11px }
.p.i svg { stroke: #000; stroke-width: 1.1 }
svg.m { width: 100%; height: 100%; display: block; overflow: visible; fill: currentColor }
.p span, .b span, .r span { display: none; position: absolute; left: 1.4rem; top: -.4rem; width: max-content;
  max-width: 24rem; background: #fff; color: #222; border: 1px solid #555; padding: .15rem .5rem; font-size: .85rem }
.p.e span, .b.e span { left: auto; right: 1.4rem }
a:hover, a:focus { z-index: 9 } a:hover > span, a:focus > span { display: block }
a:focus { outline: 3px solid #0072B2; outline-offset: 1px }
.heat { max-width: 46rem; aspect-ratio: 1; margin-left: 1.6rem }
.heat img { width: 100%; height: 100%; display: block; image-rendering: pixelated }
.b { position: absolute; box-shadow: 0 0 0 .5px #fff }
.b:hover, .b:focus { box-shadow: 0 0 0 2px #D55E00 }
.r { position: absolute; left: -1.4rem; width: 1.1rem; background: currentColor }
.tree { height: var(--h); margin-right: 18rem } .tree > svg { position: absolute; width: 100%; height: 100% }
.leaf { position: absolute; left: 100%; transform: translateY(-50%); padding-left: .6rem; white-space: nowrap;
  color: #222; text-decoration: none } .leaf svg.m { display: inline-block; width: 12px; height: 12px }
ul.key { list-style: none; padding: 0; display: flex; flex-wrap: wrap; gap: .2rem 1.1rem }
ul.key svg.m, td svg.m { display: inline-block; width: 12px; height: 12px; vertical-align: -1px; margin-right: .3rem }
table { border-collapse: collapse; width: 100%; font-size: .9rem }
th, td { text-align: left; padding: .25rem .6rem; border-bottom: 1px solid #ddd; overflow-wrap: anywhere }
td.n { text-align: right; white-space: nowrap } tr:target { background: #fff3c4 }
.scale { background: linear-gradient(90deg, #00224e, #575d6d, #a59c74, #fee838); height: .8rem; max-width: 20rem }
"""
_SHAPES = {
    "o": '<circle r="5"/>',
    "s": '<path d="M-4.5-4.5h9v9h-9z"/>',
    "^": '<path d="M0-5.5 5.2 4.5H-5.2z"/>',
    "D": '<path d="M0-6 6 0 0 6-6 0z"/>',
    "v": '<path d="M0 5.5 5.2-4.5H-5.2z"/>',
    "P": '<path d="M-2-5.5h4v3.5h3.5v4H2v3.5h-4V2h-3.5v-4H-2z"/>',
    "X": '<path d="M0-2 3-5 5-3 2 0 5 3 3 5 0 2-3 5-5 3-2 0-5-3-3-5z"/>',
    "p": '<path d="M0-5.6 5.3-1.7 3.3 4.5H-3.3L-5.3-1.7z"/>',
    "<": '<path d="M-5.5 0 4.5-5.2V5.2z"/>',
    ">": '<path d="M5.5 0-4.5-5.2V5.2z"/>',
}
_HEADING = {
    "map": "Map of the templates",
    "heatmap": "Likeness of the templates",
    "dendrogram": "How the groups would merge",
}
_ABOUT = {
    "map": "Near points mean alike. A larger, outlined one starts its expert.",
    "heatmap": "Bright cells mean alike; white lines part the groups. The strip at the left has a piece for each row.",
    "dendrogram": "Groups that join further left mean more alike.",
}


def page(picture: Picture, kind: str) -> str:
    """The complete HTML page. Raises UsageError for a dendrogram of one group."""
    drawn = {"map": _map, "heatmap": _heatmap, "dendrogram": _dendrogram}[kind](picture)
    notices = "".join(f'<p class="sub">{_text(notice)}</p>' for notice in picture.embedding.notices)
    title = f"{_HEADING[kind]}: {picture.title}"
    return "\n".join(
        [
            '<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">',
            f'<meta http-equiv="Content-Security-Policy" content="{_POLICY}">',
            '<meta name="viewport" content="width=device-width, initial-scale=1">',
            f"<title>{_text(title)}</title>\n<style>{_STYLE}{_colours(len(picture.file.groups))}</style>\n</head>\n<body>",
            _symbols(),
            f"<h1>{_HEADING[kind]}</h1>",
            f'<p class="sub">{_text(picture.file.domain)}, by {_text(picture.embedding.name)}. {_ABOUT[kind]}</p>',
            f'{notices}<p><a href="#table">Skip to the table</a></p>',
            *drawn,
            _key(picture),
            *_table(picture),
            "</body>\n</html>\n",
        ]
    )


def _text(value: object) -> str:
    """Escape anything that users may have written, for use in text and in quoted attributes."""
    return html.escape(printable(value), quote=True)


def _colours(groups: int) -> str:
    return "".join(f".g{index} {{ color: {look(index)[0]} }}\n" for index in range(min(groups, len(COLOURS))))


def _symbols() -> str:
    drawn = enumerate(_SHAPES[name] for name in MARKERS)
    shapes = "".join(f'<symbol id="m{n}" viewBox="-6 -6 12 12">{shape}</symbol>' for n, shape in drawn)
    return f'<svg width="0" height="0" style="position:absolute" aria-hidden="true">{shapes}</svg>'


def _marker(index: int) -> str:
    return f'<svg class="m g{index % len(COLOURS)}" aria-hidden="true"><use href="#m{index % len(MARKERS)}"/></svg>'


def _map(picture: Picture) -> Iterator[str]:
    places, shares = layout.plane(picture.embedding.space)
    low, span = places.min(axis=0), places.max(axis=0) - places.min(axis=0)
    yield '<div class="pic map"><div class="in">'
    for number, (index, text) in enumerate(_members(picture)):
        x, y = (100 * (places[number] - low) / span.clip(1e-12)).tolist() if span.any() else (50.0, 50.0)
        group = picture.file.groups[index]
        kinds = ["p", *(["i"] if text == group.init else []), *(["e"] if x > 55 else [])]
        yield (
            f'<a class="{" ".join(kinds)}" href="#t{number}" style="left:{x:.2f}%;top:{100 - y:.2f}%">{_marker(index)}'
            f"<span>{_text(text)} &middot; {_text(group.id)}</span></a>"
        )
    yield "</div></div>"
    yield (
        f'<p class="sub">Across: the first main axis, {shares[0]:.0%} of the variance. Up: the second, '
        f"{shares[1]:.0%}.</p>"
    )


def _heatmap(picture: Picture) -> Iterator[str]:
    found = layout.heat(picture.embedding.space, picture.labels)
    rows, edges = found.edges[-1], found.edges
    yield f'<div class="pic heat"><img alt="Heat map of {rows} by {rows} cosines" src="{_png(found.cosines)}">'
    yield from _strips(picture, found)
    bounds = [(100 * a / rows, 100 * (b - a) / rows) for a, b in pairwise(edges)]
    for one, (top, high) in enumerate(bounds):
        for other, (left, wide) in enumerate(bounds):
            mean = float(found.cosines[edges[one] : edges[one + 1], edges[other] : edges[other + 1]].mean())
            names = f"{_text(picture.file.groups[one].id)} and {_text(picture.file.groups[other].id)}"
            yield (
                f'<a class="b{" e" if left > 50 else ""}" href="#g{one}" style="left:{left:.3f}%;top:{top:.3f}%;'
                f'width:{wide:.3f}%;height:{high:.3f}%"><span>{names}: mean cosine {mean:.2f}</span></a>'
            )
    shared = "" if found.per_row == 1 else f" A row is the mean of up to {found.per_row} templates of one group."
    yield f'</div><div class="scale"></div><p class="sub">Cosine from -0.5 (dark) to 1 (bright).{shared}</p>'


def _strips(picture: Picture, found: layout.Heat) -> Iterator[str]:
    """A strip segment for each row, in its group's colour, with the text of its templates."""
    rows, row, number = found.edges[-1], 0, 0
    for index, group in enumerate(picture.file.groups):
        for start in range(0, len(group.texts), found.per_row):
            texts = "; ".join(group.texts[start : start + found.per_row])
            yield (
                f'<a class="r g{index % len(COLOURS)}" href="#t{number + start}" style="top:{100 * row / rows:.3f}%;'
                f'height:{100 / rows:.3f}%"><span>{_text(texts)} &middot; {_text(group.id)}</span></a>'
            )
            row += 1
        number += len(group.texts)


def _png(cosines: Array) -> str:
    """The cosines as a PNG data URL, one pixel each."""
    from matplotlib.image import imsave

    buffer = io.BytesIO()
    imsave(buffer, cosines, cmap="cividis", vmin=-0.5, vmax=1, format="png")
    return f"data:image/png;base64,{base64.b64encode(buffer.getvalue()).decode('ascii')}"


def _dendrogram(picture: Picture) -> Iterator[str]:
    refuse_single(picture.file)
    found = layout.tree(picture.embedding.space, picture.labels)
    far = max(x for corners in found.joins for x, _ in corners) or 1.0
    count = len(found.order)
    lines = ""
    for corners in found.joins:
        points = " ".join(f"{100 - 100 * x / far:.3f},{100 * (y + 0.5) / count:.3f}" for x, y in corners)
        lines += f'<polyline points="{points}"/>'
    yield f'<div class="pic tree" style="--h:{1.7 * count:.1f}rem;border:0">'
    yield (
        '<svg viewBox="0 0 100 100" preserveAspectRatio="none" fill="none" stroke="#333" stroke-width="1.5" '
        f'aria-hidden="true"><style>polyline{{vector-effect:non-scaling-stroke}}</style>{lines}</svg>'
    )
    for place, index in enumerate(found.order):
        group = picture.file.groups[index]
        yield (
            f'<a class="leaf" href="#g{index}" style="top:{100 * (place + 0.5) / count:.3f}%" '
            f'title="{_text("; ".join(group.texts[:8]))}">{_marker(index)} {_text(group.id)} ({len(group.texts)})</a>'
        )
    yield f'</div><p class="sub">From right to left: 1 minus the cosine of the groups\' means, 0 to {far:.2f}.</p>'


def _key(picture: Picture) -> str:
    entries = (f"<li>{_marker(index)}{_text(group.id)}</li>" for index, group in enumerate(picture.file.groups))
    return f'<ul class="key" aria-label="Groups">{"".join(entries)}</ul>'


def _table(picture: Picture) -> Iterator[str]:
    """Each template with its figures; links to a group lead to its first row."""
    import numpy as np

    labels, space = picture.labels, picture.embedding.space
    silhouettes = measures.silhouettes(space, labels)
    _, others = measures.fit(space, labels)
    yield '<table id="table"><thead><tr><th>Group</th><th>Template</th><th>Starts the expert</th>'
    yield "<th>Silhouette</th><th>Nearest other group (cosine)</th></tr></thead>"
    last = -1
    for number, (index, text) in enumerate(_members(picture)):
        group, nearest = picture.file.groups[index], int(others[number].argmax())
        value = others[number, nearest]
        told = f"{_text(picture.file.groups[nearest].id)} ({value:.2f})" if np.isfinite(value) else "none"
        start = f'<tbody id="g{index}">' if index != last else ""
        shown = f"{silhouettes[number]:.2f}" if np.isfinite(silhouettes[number]) else "-"
        yield (
            f'{start}<tr id="t{number}"><td>{_marker(index)}{_text(group.id)}</td><td>{_text(text)}</td>'
            f'<td>{"yes" if text == group.init else ""}</td><td class="n">{shown}</td><td>{told}</td></tr>'
        )
        last = index
    yield "</tbody></table>"


def _members(picture: Picture) -> Iterator[tuple[int, Any]]:
    """The group's index and the text of each template, in order."""
    return iter(zip(picture.labels.tolist(), template_texts(picture.file), strict=True))
