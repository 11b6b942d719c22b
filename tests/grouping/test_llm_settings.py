"""Settings of a language model: options over a file over defaults, the key by its variable's name only."""

from __future__ import annotations

import base64
import html
import json
import urllib.parse
from collections.abc import Callable
from dataclasses import fields
from importlib.resources import files
from pathlib import Path
from typing import Any

import pytest
from grouping_cli import Typed
from jsonschema import Draft202012Validator

from mocoop.errors import ConfigError, RemoteError, UsageError
from mocoop.grouping.llm.settings import NAMES, Key, Settings, key_of, reachable, resolve, warnings

KEY = 'sk-proj-0123"456/789abcdef'


def written(path: Path, **content: Any) -> Path:
    path.write_text(json.dumps(content))
    return path


def test_options_win_over_the_file_and_the_file_over_the_defaults(tmp_path: Path) -> None:
    file = written(tmp_path / "llm.json", model="small", timeout=5, **{"x-note": "mine", "$schema": "llm.v1.json"})
    settings = resolve({"model": "large", "timeout": None, "temperature": 0.5}, file)
    assert (settings.model, settings.timeout, settings.temperature) == ("large", 5, 0.5)
    assert settings.total_timeout == Settings().total_timeout == 300
    assert Settings().timeout == 60


GOOD = [
    {"model": "m"},
    {"base_url": "http://localhost:11434/v1"},
    {"base_url": "https://[::1]:80/v1/"},
    {"base_url": None, "key_env": None, "temperature": None},
    {"key_env": "MY_KEY"},
    {"structured": "text"},
    {"temperature": 0},
    {"timeout": 3600, "total_timeout": 86400, "max_tokens": 1},
    {"max_answer_tokens": 30000},
    {"max_answer_tokens": None},
    {"base_url": "http://h/v1?api-version=2024-02-01&x"},
    {"base_url": "http://h/v1?"},
    {"base_url": "http://h?zip_code=1&design=a/b"},
]
BAD = [
    {"model": ""},
    {"model": 3},
    {"model": "a" * 201},
    {"base_url": "localhost:80"},
    {"base_url": "ftp://h/v1"},
    {"base_url": "http://user:pw@h/v1"},
    {"base_url": "http://h/v1?key=1"},
    {"base_url": "http://h/v1?a=1&Subscription-Key=1"},
    {"base_url": "http://h/v1?ACCESS_TOKEN"},
    {"base_url": "http://h/v1?code=1"},
    {"base_url": "http://h/v1?a&sig=1"},
    {"base_url": "http://h/v1?a=1#part"},
    {"base_url": "http:///v1"},
    {"base_url": 7},
    {"key_env": "sk-abc"},
    {"key_env": ""},
    {"structured": "xml"},
    {"temperature": -1},
    {"temperature": True},
    {"timeout": 0},
    {"timeout": "60"},
    {"total_timeout": 1e9},
    {"max_tokens": 0},
    {"max_tokens": 1.5},
    {"max_answer_tokens": 0},
    {"nonsense": 1},
]


def schema() -> dict[str, Any]:
    content: dict[str, Any] = json.loads(files("mocoop.schemas").joinpath("llm.v1.json").read_text())
    return content


@pytest.mark.parametrize("content", GOOD + BAD, ids=str)
def test_the_schema_and_the_code_agree(content: dict[str, Any], tmp_path: Path) -> None:
    valid = Draft202012Validator(schema()).is_valid(content)
    assert valid == (content in GOOD)
    file = written(tmp_path / "llm.json", **content)
    if valid:
        resolve({}, file)
    else:
        with pytest.raises(ConfigError, match=r"llm\.json"):
            resolve({}, file)


def test_the_schema_is_printed_and_its_place_told(typed: Typed) -> None:
    assert json.loads(typed("schema", "llm").out) == schema()
    assert json.loads(Path(typed("schema", "llm", "--path").out.strip()).read_text()) == schema()


def test_the_schema_has_every_setting_with_its_default() -> None:
    properties = schema()["properties"]
    assert set(properties) == {*NAMES, "$schema"}
    assert {f.name: f.default for f in fields(Settings)} == {n: properties[n]["default"] for n in NAMES}


@pytest.mark.parametrize("name", ["key", "api_key", "API_KEY", "token"])
def test_a_key_in_a_file_is_refused_and_not_shown(name: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="does not belong in a file") as caught:
        resolve({}, written(tmp_path / "llm.json", **{name: KEY}))
    assert KEY not in str(caught.value)


@pytest.mark.parametrize("options", [("--key-env", KEY), ("--base-url", f"http://user:{KEY}@host/v1")])
def test_a_key_typed_where_none_belongs_is_refused_and_not_shown(options: tuple[str, str], typed: Typed) -> None:
    done = typed("generate", "--domain", "cats", *options)
    assert done.code == 2
    assert KEY not in done.err
    assert "hint" in done.err


def test_a_wrong_option_is_a_usage_error_and_a_wrong_file_names_itself(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="timeout is no number"):
        resolve({"timeout": 0})
    (tmp_path / "llm.json").write_text("{ ]")
    with pytest.raises(ConfigError, match=r"llm\.json:1:3: .*key"):
        resolve({}, tmp_path / "llm.json")


@pytest.mark.parametrize(
    ("url", "host"),
    [
        (None, "api.openai.com"),
        ("http://localhost:11434/v1", "localhost:11434"),
        ("http://[::1]:8000/a/b", "[::1]:8000"),
        ("https://h.example/secret-path/v1", "h.example"),
    ],
)
def test_only_the_host_is_shown(url: str | None, host: str) -> None:
    assert Settings(base_url=url).host == host


def test_which_server_gets_which_key() -> None:
    environ = {"OPENAI_API_KEY": "openai", "MINE": "mine"}
    assert key_of(Settings(), environ).value == "openai"
    assert key_of(Settings(base_url="https://api.openai.com/v1"), environ).value == "openai"
    assert key_of(Settings(base_url="http://api.openai.com/v1"), environ).value is None
    assert key_of(Settings(base_url="https://api.openai.com.evil.example/v1"), environ).value is None
    assert key_of(Settings(base_url="http://localhost/v1"), environ).value is None
    assert key_of(Settings(base_url="http://localhost/v1", key_env="MINE"), environ).value == "mine"
    with pytest.raises(RemoteError, match="MISSING is not set"):
        key_of(Settings(base_url="http://localhost/v1", key_env="MISSING"), environ)


def test_auto_needs_a_key_or_a_server() -> None:
    assert not reachable(Settings(), {})
    assert not reachable(Settings(), {"OPENAI_API_KEY": " "})
    assert reachable(Settings(), {"OPENAI_API_KEY": "k"})
    assert reachable(Settings(base_url="http://localhost/v1"), {})


def test_a_key_over_an_open_line_is_told() -> None:
    told = warnings(Settings(base_url="http://far.example/v1", key_env="K"), Key("abc", "K"), {})
    assert told == ["the key of K goes to far.example over a connection that is not encrypted"]
    assert not warnings(Settings(base_url="http://127.0.0.1/v1", key_env="K"), Key("abc", "K"), {})


AS_JSON, AS_URL = json.dumps(KEY), "sk-proj-0123%22456%2F789abcdef"


@pytest.mark.parametrize("form", [KEY, AS_JSON, AS_JSON.replace("/", "\\/"), KEY[:15], KEY[:-3] + "...", AS_URL])
def test_a_key_is_taken_out_in_every_spelling(form: str) -> None:
    shown = Key(KEY, "K").redact(f"Incorrect key: {form} again {form}")
    assert not [at for at in range(len(KEY) - 4) if KEY[at : at + 5] in shown]
    assert "789abcdef" not in shown
    assert shown.count("[key]") == 2
    assert shown.startswith("Incorrect key: ")


@pytest.mark.parametrize("length", [5, 6, 11])
@pytest.mark.parametrize("spelt", [str, urllib.parse.quote_plus, html.escape, lambda part: json.dumps(part)[1:-1]])
def test_its_end_and_its_middle_are_taken_out_as_well(length: int, spelt: Callable[[str], str]) -> None:
    for at in range(len(KEY) - length + 1):
        run = spelt(KEY[at : at + length])
        assert Key(KEY, "K").redact(f"a ({run}) b, {run}{run} c") in (
            "a ([key]) b, [key] c",
            "a ([key]) b, [key][key] c",
        )


@pytest.mark.parametrize("before", ["", "u:", "me:"])
def test_a_part_of_it_in_base64_is_taken_out(before: str) -> None:
    encoded = base64.b64encode((before + KEY).encode()).decode()
    shown = Key(KEY, "K").redact(f"Basic {encoded}; {encoded[8:20]}")
    assert not [at for at in range(8, len(KEY)) if encoded[at : at + 8] in shown]


def test_four_characters_and_words_of_placeholders_stay() -> None:
    assert Key(KEY, "K").redact(f"ends in {KEY[-4:]}, begins with {KEY[:4]}") == "ends in cdef, begins with sk-p"
    said = "a studio photo of a {}, no model required"
    for placeholder in ("lm-studio", "sk-no-key-required", "local-model", "not-needed"):
        assert Key(placeholder, "K").redact(f"{said}: {placeholder}") == f"{said}: [key]"


def test_a_key_is_not_in_its_own_print() -> None:
    assert KEY not in repr(Key(KEY, "K"))
    assert Key(None).redact("as it is") == "as it is"


def test_a_placeholder_for_a_key_is_no_secret() -> None:
    assert Key("none", "K").redact("none of it") == "none of it"
    assert Key("12345678", "K").redact("is 12345678") == "is [key]"
