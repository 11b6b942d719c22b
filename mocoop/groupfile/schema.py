"""The JSON Schema of group files, and a plain message for each way of violating it.

Only the bundled schema is used, in a closed registry: nothing is ever fetched. What the schema cannot express (equal
ids, an `init` that is not a member, tokens) is in `mocoop.groupfile.rules`.
"""

from __future__ import annotations

import difflib
import json
from collections.abc import Iterator
from functools import lru_cache
from importlib import resources
from typing import TYPE_CHECKING, Any, NamedTuple

from mocoop.groupfile.findings import Problem, place_name, quote
from mocoop.groupfile.templatetext import character_problems, template_problems
from mocoop.strictjson import Path

if TYPE_CHECKING:
    from jsonschema import Draft202012Validator
    from jsonschema.exceptions import ValidationError

SCHEMA_VERSION = 1
MAX_GROUPS = 64  # as in the schema; a test checks that they agree
MAX_TEMPLATES = 200
MAX_TEMPLATE_LENGTH = 200
MAX_UNKNOWN_KEYS = 20  # reported in one object

_TYPES = {
    "object": "an object { ... }",
    "array": "a list [ ... ]",
    "string": "text",
    "number": "a number",
    "integer": "a whole number",
    "boolean": "true or false",
    "null": "null",
}
_PATTERNS = {
    "slug": ("an id", 'lower-case letters, digits, "-" and "_", a letter or digit first, as in "low_detail"'),
    "sha256": ("a SHA-256", "64 hexadecimal digits in lower case; leave the key out if you have none"),
    "language tag": ("a language tag", 'write it as in "en" or "pt-BR"'),
}
_EXAMPLES = {
    "schema_version": '"schema_version": 1',
    "domain": '"domain": "satellite imagery"',
    "groups": '"groups": [{"id": "plain", "templates": ["a photo of a {}."]}]',
    "id": '"id": "low_detail"',
    "templates": '"templates": ["a photo of a {}."]',
    "text": '"text": "a photo of a {}."',
    "embedder": '"embedder": "ViT-B-16", the model that measured',
    "step": '"step": "edit"',
}


@lru_cache(maxsize=1)
def schema_bytes() -> bytes:
    """The content of the bundled schema file."""
    return resources.files("mocoop.schemas").joinpath("groups.v1.json").read_bytes()


@lru_cache(maxsize=1)
def schema() -> dict[str, Any]:
    """The bundled schema; must not be modified."""
    loaded: dict[str, Any] = json.loads(schema_bytes())
    return loaded


def shape_problems(document: Any) -> list[Problem]:
    """All schema violations of a JSON value, in the schema's order."""
    newer = _newer_version(document)
    if newer:
        return [newer]
    found: list[Problem] = []
    for error in _validator().iter_errors(_shortened(document)):
        found.extend(_explain(_violation(error), document))
    return _without_echoes(list(dict.fromkeys(found)))


@lru_cache(maxsize=1)
def _validator() -> Draft202012Validator:
    from jsonschema import Draft202012Validator
    from referencing import Registry

    closed: Registry[Any] = Registry()
    return Draft202012Validator(schema(), registry=closed)


def _newer_version(document: Any) -> Problem | None:
    version = document.get("schema_version") if isinstance(document, dict) else None
    if isinstance(version, bool) or not isinstance(version, (int, float)) or version <= SCHEMA_VERSION:
        return None
    return Problem(
        "G008",
        ("schema_version",),
        f"schema_version is {version}, this software reads {SCHEMA_VERSION}",
        "upgrade mocoop",
    )


def _shortened(document: Any) -> Any:
    """The document with lists truncated just above their limits, so that huge files stay cheap to check."""
    if not isinstance(document, dict) or not isinstance(document.get("groups"), list):
        return document
    groups = [
        {**group, "templates": group["templates"][: MAX_TEMPLATES + 1]}
        if isinstance(group, dict) and isinstance(group.get("templates"), list)
        else group
        for group in document["groups"][: MAX_GROUPS + 1]
    ]
    return {**document, "groups": groups}


class _Violation(NamedTuple):
    """One error of jsonschema, reduced to what the messages need."""

    path: Path
    keyword: str
    limit: Any  # the keyword's value in the schema
    instance: Any
    schema: dict[str, Any]

    @property
    def name(self) -> str:
        return place_name(self.path)


def _violation(error: ValidationError) -> _Violation:
    schema: Any = error.schema
    return _Violation(tuple(error.absolute_path), str(error.validator), error.validator_value, error.instance, schema)


def _explain(broken: _Violation, document: Any) -> Iterator[Problem]:
    """Turn one schema error into problems with our own messages."""
    keyword = broken.keyword
    if keyword == "required":
        yield from _missing_keys(broken)
    elif keyword == "additionalProperties":
        yield from _unknown_keys(broken)
    elif keyword == "type":
        yield _wrong_type(broken)
    elif keyword in ("enum", "const"):
        yield _not_allowed(broken)
    elif keyword == "pattern":
        yield from _wrong_pattern(broken)
    elif keyword[:3] in ("max", "min"):
        yield _wrong_size(broken, document)
    else:
        raise AssertionError(f"the schema uses a keyword without words for it: {keyword}")


def _missing_keys(broken: _Violation) -> Iterator[Problem]:
    # jsonschema gives one error for each missing key without naming it: equal lists, deduplicated later
    for key in broken.limit:
        if key not in broken.instance:
            yield Problem("G020", broken.path, f"{broken.name} lacks the key `{key}`", f"add {_EXAMPLES[key]}")


def _unknown_keys(broken: _Violation) -> Iterator[Problem]:
    known = list(broken.schema["properties"])
    unknown = [key for key in broken.instance if key not in known and not key.startswith(("x-", "_comment"))]
    for key in unknown[:MAX_UNKNOWN_KEYS]:
        near = nearest(key, known)
        hint = f"did you mean `{near}`?" if near else "take it out, or start its name with x- to keep a note"
        yield Problem("G021", (*broken.path, key), f"{broken.name} has no key {quote(key)}", hint, at_key=True)
    if len(unknown) > MAX_UNKNOWN_KEYS:
        message = f"{broken.name} has {len(unknown) - MAX_UNKNOWN_KEYS:,} more unknown keys"
        yield Problem("G021", broken.path, message, "is this a group file?")


def _wrong_type(broken: _Violation) -> Problem:
    allowed = broken.limit if isinstance(broken.limit, list) else [broken.limit]
    wanted = " or ".join(_TYPES[kind] for kind in allowed)
    if broken.schema.get("title") == "template object":
        wanted = 'text, or an object with the key "text"'
    message = f"{broken.name} is {_describe(broken.instance)}"
    return Problem("G022", broken.path, message, f"it should be {wanted}")


def _describe(value: Any) -> str:
    if isinstance(value, str):
        return f"the text {quote(value)}"
    if isinstance(value, (dict, list)):
        return "an object" if isinstance(value, dict) else "a list"
    return json.dumps(value)[:40]


def _not_allowed(broken: _Violation) -> Problem:
    allowed = [broken.limit] if broken.keyword == "const" else broken.limit
    near = nearest(broken.instance, allowed) if isinstance(broken.instance, str) and len(allowed) > 1 else None
    listed = ", ".join(json.dumps(value) for value in allowed)
    hint = f"allowed: {listed}" if len(allowed) > 1 else f"write {listed}"
    if near:
        hint = f"did you mean `{near}`? {hint}"
    return Problem("G023", broken.path, f"{broken.name} is {_describe(broken.instance)}", hint)


def _wrong_pattern(broken: _Violation) -> Iterator[Problem]:
    title, text = broken.schema.get("title", ""), broken.instance
    if title in _PATTERNS:
        what, how = _PATTERNS[title]
        yield Problem("G025", broken.path, f"{broken.name} is not {what}: {quote(text)}", how)
    elif title.startswith("template"):  # several patterns; equal problems are deduplicated later
        yield from template_problems(text, broken.path, broken.name)
    else:
        yield from character_problems(text, broken.path, broken.name, line_breaks=title == "prose")


def _wrong_size(broken: _Violation, document: Any) -> Problem:
    bound = f"at {'most' if broken.keyword.startswith('max') else 'least'} {broken.limit:,}"
    if isinstance(broken.instance, str):
        message = f"{broken.name} is {len(broken.instance):,} characters long: {quote(broken.instance)}"
        return Problem("G024", broken.path, message, f"{bound} characters here")
    things = "keys" if isinstance(broken.instance, dict) else "items"
    size = len(_at(document, broken.path))  # the instance itself may have been truncated
    return Problem("G024", broken.path, f"{broken.name} has {size:,} {things}", f"{bound} here")


def _without_echoes(found: list[Problem]) -> list[Problem]:
    """Drop missing-key problems that a misspelt key in the same object explains."""
    misspelt = {(problem.path[:-1], problem.hint) for problem in found if problem.code == "G021"}
    return [
        problem
        for problem in found
        if problem.code != "G020"
        or (problem.path, f"did you mean {problem.message.rpartition(' ')[2]}?") not in misspelt
    ]


def nearest(word: str, known: list[str]) -> str | None:
    """The known word that a misspelt one is closest to."""
    matches = difflib.get_close_matches(word[:100].lower(), known, n=1, cutoff=0.6)
    return matches[0] if matches else None


def _at(document: Any, path: Path) -> Any:
    for step in path:
        document = document[step]
    return document
