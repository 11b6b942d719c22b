"""The page as one file that needs no server: modules and style inlined, content as JSON, pictures as data: addresses.

Its content security policy names the one script and the one style by their hashes and allows no address but data:, so
that nothing else runs and no request leaves the file, whatever a template, a class or a file is called.
"""

from __future__ import annotations

import base64
import hashlib
import html
import json
import re
from collections.abc import Callable, Mapping, Sequence
from importlib.resources import files
from typing import Any

MOST_PICTURES = 2_000
MOST_BYTES = 15_000_000  # of all pictures together
_START = "main.js"
_IMPORT = re.compile(r'^import \{[^}]*\} from "\./([a-z]+\.js)";\n', re.MULTILINE)
_EXPORT = re.compile(r"^export (?=(?:async )?function |const |class )", re.MULTILINE)


def one_file(content: Mapping[str, Any], picture: Callable[[int], bytes | None], most: int = MOST_PICTURES) -> str:
    """The page. `picture` gives an image's small copy, at most `most` of which are in the file.

    Where they are fewer than the images, those of wrong answers come first, the surest first, then the others, a class
    in turn and the least sure first. Raises what `picture` raises.
    """
    pictures, held = {}, 0
    order = picture_order(content["images"])
    for number in order[:most]:
        copy = picture(number)
        if copy is None:
            continue
        held += len(copy)
        if held > MOST_BYTES:
            break
        pictures[number] = f"data:image/jpeg;base64,{base64.b64encode(copy).decode()}"
    told = {
        **content,
        "corrections": None,
        "pictures": pictures,
        "notes": [*content["notes"], *_left_out(order, pictures)],
    }
    page = files("mocoop.looking").joinpath("pages")
    style, script = page.joinpath("style.css").read_text("utf-8"), joined_modules()
    policy = (
        f"default-src 'none'; script-src {_hash(script)}; style-src {_hash(style)}; img-src data:; "
        "base-uri 'none'; form-action 'none'"
    )
    head = (
        f'<meta http-equiv="Content-Security-Policy" content="{html.escape(policy)}">\n<style>{style}</style>'
        f'\n<script type="application/json" id="content">{script_json(told)}</script>'
        f'\n<script type="module">{script}</script>'
    )
    text = page.joinpath("index.html").read_text("utf-8")
    found = re.subn(r"<!-- files -->.*?<!-- /files -->", lambda _: head, text, flags=re.DOTALL)
    assert found[1] == 1
    return found[0]


def picture_order(images: Mapping[str, Any]) -> list[int]:
    """The numbers of the images that have a picture, in the order in which they go into a file."""
    numbers = [number for number, there in enumerate(images["picture"]) if there]
    sure = [top[0][1] for top in images["top"]]
    wrong = [n for n in numbers if images["guess"][n] != images["label"][n]]
    right = sorted((n for n in numbers if images["guess"][n] == images["label"][n]), key=lambda n: sure[n])
    turn: dict[int, int] = {}
    rounds = []
    for n in right:
        label = images["label"][n]
        turn[label] = turn.get(label, -1) + 1
        rounds.append((turn[label], label, n))
    return [*sorted(wrong, key=lambda n: -sure[n]), *(n for *_, n in sorted(rounds))]


def _left_out(order: Sequence[int], pictures: Mapping[int, str]) -> list[str]:
    if len(pictures) == len(order):
        return []
    how = "those of wrong answers first, the surest first, then the least sure of each class in turn"
    return [f"This file has the pictures of {len(pictures):,} of {len(order):,} images: {how}. Its numbers are of all."]


def script_json(value: object) -> str:
    """JSON that can stand inside a script element: ASCII, without anything that HTML would read."""
    text = json.dumps(value, ensure_ascii=True, separators=(",", ":"), allow_nan=False)
    return text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")


def joined_modules() -> str:
    """The page's modules as one, each after those that it imports, without `import` and `export`.

    So no two of them may have a top-level name in common, and imports have the one form that is known here.
    """
    folder = files("mocoop.looking").joinpath("pages")
    done: dict[str, str] = {}

    def add(name: str) -> None:
        if name in done:
            return
        text = folder.joinpath(name).read_text("utf-8")
        for other in _IMPORT.findall(text):
            add(other)
        done[name] = _EXPORT.sub("", _IMPORT.sub("", text))

    add(_START)
    return "\n".join(done.values())


def _hash(text: str) -> str:
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"
