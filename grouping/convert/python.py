"""Lists of templates in Python source, as in open_clip, CLIP and CLIP_benchmark. The source is never executed.

Supported are lists and tuples of texts ("a photo of a {}.") and of functions of the class name
(lambda c: f"a photo of a {c}."), assigned to a name or contained in a dict. A list without any slot (class names) is
not a list of templates; an item that would have to be executed is an error with its position.
"""

from __future__ import annotations

import ast
import warnings
from collections.abc import Iterator

from mocoop.grouping.convert.checks import has_slot
from mocoop.grouping.convert.listing import Listing, Sentence, finding, flat, refusal, refuse

MAX_CHARACTERS = 1024 * 1024  # open_clip's own file has 50,000
_ITEM_HINT = 'write it as "a photo of a {}." or lambda c: f"a photo of a {c}."; nothing in the file is run'


def read_python(text: str, source: str) -> list[Listing]:
    """Read the lists of templates in Python source. Raises GroupFileError for invalid Python and computed items."""
    tree, lines = _parsed(text, source), text.split("\n")
    found = [(name, items) for name, items in _lists(tree) if any(map(_is_template, items))]
    wrong = [item for _, items in found for item in items if _template(item) is None]
    if wrong:
        places = [(item.lineno, _column(lines, item)) for item in wrong]
        raise refusal(source, [finding("G022", "an item that is computed", _ITEM_HINT, source, *at) for at in places])
    notices = tuple(_computed(tree))
    if not found:
        hint = 'a list is written TEMPLATES = ["a photo of a {}.", ...]'
        raise refuse("G022", "; ".join(["there is no list of templates in it", *notices]), hint, source)
    return [flat([_sentence(lines, item) for item in items], name, notices) for name, items in found]


def _parsed(text: str, source: str) -> ast.Module:
    if len(text) > MAX_CHARACTERS:
        raise refuse("G002", f"longer than {MAX_CHARACTERS:,} characters", "this is no list of templates", source)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # about escapes such as "\d", which do not matter here
            return ast.parse(text)
    except SyntaxError as error:
        place = (max(error.lineno or 1, 1), max(error.offset or 1, 1))
        raise refuse("G004", f"the Python is not well formed: {error.msg}", "mend it there", source, *place) from error
    except (RecursionError, MemoryError) as error:
        raise refuse("G005", "the Python is nested too deep", "no list of templates needs that", source) from error
    except ValueError as error:  # a NUL
        raise refuse("G004", f"the Python is not well formed: {error}", "is it Python?", source) from error


def _lists(tree: ast.Module) -> Iterator[tuple[str, list[ast.expr]]]:
    """The name and items of each list that is assigned to a name, or is in a dict that is."""
    for name, value in _assigned(tree):
        if isinstance(value, (ast.List, ast.Tuple, ast.Set)):
            yield name, value.elts
        elif isinstance(value, ast.Dict):
            yield from _of_dict(name, value)


def _of_dict(name: str, value: ast.Dict) -> Iterator[tuple[str, list[ast.expr]]]:
    """The lists of a dict by key; a dict of single templates, as in CoOp, is one list."""
    single = [item for item in value.values if _is_template(item)]
    if single:
        yield name, list(value.values)
        return
    for key, item in zip(value.keys, value.values, strict=True):
        if isinstance(item, (ast.List, ast.Tuple, ast.Set)):
            yield str(key.value) if isinstance(key, ast.Constant) else name, item.elts


def _assigned(tree: ast.Module) -> Iterator[tuple[str, ast.expr]]:
    for node in ast.walk(tree):
        if isinstance(node, (ast.Assign, ast.AnnAssign)) and node.value is not None:
            target = node.targets[0] if isinstance(node, ast.Assign) else node.target
            yield getattr(target, "id", None) or getattr(target, "attr", None) or "list", node.value
        elif isinstance(node, ast.Expr):
            yield "", node.value


def _computed(tree: ast.Module) -> Iterator[str]:
    """Notices about names that look like templates but are computed at run time, so that the omission is reported."""
    for name, value in _assigned(tree):
        literal = isinstance(value, (ast.List, ast.Tuple, ast.Set, ast.Dict, ast.Constant))
        if not literal and ("template" in name.lower() or "prompt" in name.lower()):
            yield f"line {value.lineno}: {name} is computed, and is not read"


def _is_template(item: ast.expr) -> bool:
    text = _template(item)
    return text is not None and has_slot(text)


def _template(item: ast.expr) -> str | None:
    """The sentence of an item, with {} for the class name; None if it would have to be executed."""
    if isinstance(item, ast.Constant):
        return item.value if isinstance(item.value, str) else None
    if isinstance(item, ast.Lambda):
        arguments = item.args.args
        return _body(item.body, arguments[0].arg) if len(arguments) == 1 else None
    return None


def _body(body: ast.expr, name: str) -> str | None:
    """The text of a function's body: f"a {c}", "a {}".format(c), "a %s" % c, or "a " + c."""
    if isinstance(body, ast.JoinedStr):
        return _joined([_filled(part) for part in body.values], name)
    if isinstance(body, ast.BinOp) and isinstance(body.op, ast.Add):
        return _joined(_summands(body), name)
    if isinstance(body, ast.BinOp) and isinstance(body.op, ast.Mod) and _is_name(body.right, name):
        return _template(body.left)
    if isinstance(body, ast.Call) and isinstance(body.func, ast.Attribute) and body.func.attr == "format":
        given = [*body.args, *(keyword.value for keyword in body.keywords)]
        return _template(body.func.value) if len(given) == 1 and _is_name(given[0], name) else None
    return _joined([body], name)


def _filled(part: ast.expr) -> ast.expr:
    """The expression in a {...} of an f-string, if it has no conversion (!r) or format."""
    plain = isinstance(part, ast.FormattedValue) and part.conversion == -1 and part.format_spec is None
    return part.value if isinstance(part, ast.FormattedValue) and plain else part


def _summands(body: ast.expr) -> list[ast.expr]:
    """The operands of a sum, from left to right."""
    parts: list[ast.expr] = []
    while isinstance(body, ast.BinOp) and isinstance(body.op, ast.Add):
        parts.append(body.right)
        body = body.left
    return [body, *reversed(parts)]


def _joined(parts: list[ast.expr], name: str) -> str | None:
    texts = ["{}" if _is_name(part, name) else _template(part) for part in parts]
    return None if None in texts else "".join(text for text in texts if text is not None)


def _is_name(node: ast.expr, name: str) -> bool:
    return isinstance(node, ast.Name) and node.id == name


def _sentence(lines: list[str], item: ast.expr) -> Sentence:
    return Sentence(_template(item) or "", item.lineno, _column(lines, item))


def _column(lines: list[str], item: ast.expr) -> int:
    """The column in characters; `ast` counts bytes."""
    before = lines[item.lineno - 1].encode()[: item.col_offset] if item.lineno <= len(lines) else b""
    return len(before.decode(errors="ignore")) + 1
