"""Token counts equal open_clip's own, and are had without torch."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mocoop.groupfile import tokens

ROOT = Path(__file__).parents[2]

SENTENCES = [
    "",
    "   ",
    "a photo of a cat.",
    "A Photo of a CAT.",
    "a photo of a  double   spaced\tcat .",
    "it's we'll I'd they're I've I'm can't don't 'tis o'clock",
    "0 1 12 123 1,234.5 3.14159 2024-01-01 50% Sentinel-2 B737-800",
    "a low-resolution, close-up (cropped) photo -- of the {}!?",
    "an earth-observation tile labelled annual crop land.",
    "naïve café — déjà vu… “quoted” ‘single’",
    "日本の写真。 한국어 русский العربية עברית हिन्दी ไทย",
    "😀 emoji 👩‍👩‍👧‍👦 family 🇫🇷 flag ❤️",
    "ＦＵＬＬ ｗｉｄｔｈ ﬁ ligature ½ ² Ⅷ ٣",
    "&lt;b&gt; &amp;amp; &eacute; &#233;",
    "sÃ© mojibake â€œquotesâ€\u009d",
    "<start_of_text> a <end_of_text> <END_OF_TEXT> <|endoftext|>",
    "aaaaaaaaaaaaaaaaaaaa hahahahaha antidisestablishmentarianism pneumonoultramicroscopic",
    "control \x1b[31mred\x1b[0m \x07 \x00 chars\r\nnew line\u2028separator",
    "İstanbul straße ǅ Ω K ſ",
    "_snake_case_ camelCase http://example.org/a?b=c#d",
]


@pytest.fixture(scope="module")
def reference() -> Any:
    open_clip = pytest.importorskip("open_clip")
    return open_clip.get_tokenizer("ViT-B-16")


def reference_pieces(tokenizer: Any, text: str) -> list[str]:
    return [tokenizer.decoder[token] for token in tokenizer.encode(text)]


@pytest.mark.parametrize("sentence", SENTENCES)
def test_equal_to_open_clip(reference: Any, sentence: str) -> None:
    assert tokens.pieces(sentence) == reference_pieces(reference, sentence)
    assert tokens.count_tokens(sentence) == len(reference.encode(sentence))


@settings(max_examples=500, deadline=None)
@given(
    st.text(st.characters(exclude_categories=["Cs"]), max_size=30)
    | st.lists(
        st.sampled_from(["a", "photo", "of", "'s", "'RE", "7", "&", "amp;", "<", "end_of_text>", "é", ".", " "])
    ).map("".join)
)
def test_equal_to_open_clip_on_any_text(reference: Any, text: str) -> None:
    assert tokens.pieces(text) == reference_pieces(reference, text)


def test_the_whole_vocabulary_is_reached(reference: Any) -> None:
    """Words of the table's last merges: a table cut too short would split them."""
    whole = [piece.removesuffix("</w>") for piece in list(reference.encoder)[-3000:-2] if piece.endswith("</w>")]
    words = [word for word in whole if word.isascii() and word.isalpha()]
    assert len(words) > 500
    assert all(tokens.pieces(word) == reference_pieces(reference, word) for word in words)
    assert sum(tokens.count_tokens(word) == 1 for word in words) > 0.9 * len(words)


def test_available_here() -> None:
    assert tokens.available()


def test_no_torch_is_imported() -> None:
    code = (
        "import sys; from mocoop.groupfile import tokens; assert tokens.count_tokens('naïve café &amp; {}') > 4;"
        "print([name for name in ('torch', 'open_clip', 'numpy', 'transformers') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, timeout=60)
    assert done.stdout.strip() == "[]", done.stderr


def test_without_open_clip(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tokens, "_table_path", lambda: None)
    tokens._ranks.cache_clear()
    assert not tokens.available()
    with pytest.raises(RuntimeError, match="available"):
        tokens._ranks()
    monkeypatch.undo()
    tokens._ranks.cache_clear()
