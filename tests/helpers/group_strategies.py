"""Valid group files for property tests: documents of every form that a person or a tool may have written."""

from __future__ import annotations

from typing import Any

from hypothesis import strategies as st

_WORDS = ["a", "photo", "of", "the", "at night", "in fog", "Ölbild", "blurry,", "#1", "* star", 'the "old"', "日本の"]
_IDS = st.from_regex(r"[a-z0-9][a-z0-9_-]{0,6}", fullmatch=True)
_NOTES = st.one_of(st.integers(), st.text("ab ", max_size=5), st.lists(st.booleans(), max_size=2), st.none())
_PLAIN = st.text("abc .", min_size=1, max_size=8).filter(str.strip)


@st.composite
def template_texts(draw: st.DrawFn) -> str:
    """A template: words around one slot, odd ones among them."""
    before = draw(st.lists(st.sampled_from(_WORDS), max_size=4))
    after = draw(st.lists(st.sampled_from(_WORDS), min_size=0 if before else 1, max_size=3))
    return " ".join([*before, "{}", *after]) + draw(st.sampled_from(["", ".", " !"]))


def _maybe(key: str, values: st.SearchStrategy[Any]) -> st.SearchStrategy[dict[str, Any]]:
    return st.one_of(st.just({}), values.map(lambda value: {key: value}))


@st.composite
def _template(draw: st.DrawFn, text: str, locks: bool) -> Any:
    if draw(st.booleans()):
        return text
    locked = draw(_maybe("locked", st.booleans())) if locks else {}
    facts = [draw(_maybe("note", _PLAIN)), draw(_maybe("origin", st.sampled_from(["llm", "manual"]))), locked]
    return {**draw(_maybe("x-score", _NOTES)), "text": text, **{k: v for fact in facts for k, v in fact.items()}}


@st.composite
def _group(draw: st.DrawFn, group_id: str, texts: list[str], locks: bool) -> dict[str, Any]:
    return {
        **draw(_maybe("x-first", _NOTES)),
        "id": group_id,
        **draw(_maybe("title", _PLAIN)),
        **draw(_maybe("init", st.sampled_from(texts))),
        **(draw(_maybe("locked", st.booleans())) if locks else {}),
        **draw(_maybe("reviewed", st.booleans())),
        "templates": [draw(_template(text, locks)) for text in texts],
        **draw(_maybe("x-last", _NOTES)),
        **draw(_maybe("metrics", st.just({"cohesion": 0.5, "nearest_group": "a"}))),
    }


@st.composite
def group_documents(draw: st.DrawFn, *, locks: bool = False, min_groups: int = 1) -> dict[str, Any]:
    """A valid document of 1 to 4 groups; with `locks`, some groups and templates may be locked."""
    ids = draw(st.lists(_IDS, min_size=min_groups, max_size=4, unique=True))
    texts = draw(st.lists(template_texts(), min_size=len(ids), max_size=len(ids) + 6, unique=True))
    left_out = draw(st.lists(template_texts(), max_size=2, unique=True))
    cuts = sorted(draw(st.permutations(range(1, len(texts))))[: len(ids) - 1])
    parts = [texts[start:end] for start, end in zip([0, *cuts], [*cuts, len(texts)], strict=True)]
    excluded = [{"text": text, "by": "person"} for text in left_out if text not in texts]
    return {
        **draw(_maybe("$schema", st.just("groups.v1.json"))),
        "schema_version": 1,
        "domain": draw(_PLAIN),
        **draw(_maybe("x-team", _NOTES)),
        "groups": [draw(_group(group_id, part, locks)) for group_id, part in zip(ids, parts, strict=True)],
        **({"excluded": excluded} if excluded else {}),
        **draw(_maybe("metrics", st.just({"embedder": "m", "silhouette": 0.1}))),
        **draw(_maybe("provenance", st.just({"steps": [{"step": "generate"}]}))),
    }
