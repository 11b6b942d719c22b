"""A server that fails in every way it can: the exit code, the requests it saw, the time, the words, and no file."""

from __future__ import annotations

import email.utils
import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple

import llm_server
import pytest
from grouping_cli import Done, Typed, process
from hypothesis import given, settings
from hypothesis import strategies as st
from llm_server import LlmServer, Mode, completion, error, good_answer, says, sends, texts

from mocoop.errors import MoCoOpError
from mocoop.grouping.llm import answers as llm_answers
from mocoop.grouping.llm import retry as llm
from mocoop.grouping.llm import wire as llm_wire
from mocoop.grouping.llm.replies import object_in, read_reply
from mocoop.grouping.llm.session import OutOfRules
from mocoop.grouping.llm.settings import Key

SENTINEL = 'sk-proj-Zq8+Vw/3:SENTINEL"7f4e9b1c2d_end'
DOMAIN = "satellite imagery"
SMALL = ("--groups", "3", "--per-group", "3")


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Short pauses; that the real ones end within 30 s is a test of its own."""
    monkeypatch.setattr(llm, "PAUSES", (0.01, 0.02, 0.03))


@pytest.fixture
def ask(typed: Typed, server: LlmServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Any]:
    """Generates with the server into out.json, with a key in the environment."""
    monkeypatch.setenv("TEST_KEY", SENTINEL)
    monkeypatch.chdir(tmp_path)

    def run(*options: str) -> Any:
        command = ("generate", "--domain", DOMAIN, "--backend", "llm", "--base-url", server.url, *SMALL)
        return typed(*command, "-o", "out.json", "--key-env", "TEST_KEY", *options)

    return run


class Case(NamedTuple):
    mode: Mode
    requests: int
    said: str
    options: tuple[str, ...] = ()
    raw_kept: bool = False
    seconds: float = 5.0


def twice(mode: Mode, said: str) -> Case:
    """A reply that cannot be used: asked once more, then kept aside."""
    return Case(mode, 2, said, raw_kept=True)


def in_an_hour(handler, asked):
    """Asks to wait until an hour from the question, not from the start of the tests, which may take long."""
    date = email.utils.formatdate(time.time() + 3600, usegmt=True)
    return error(429, "slow", headers={"retry-after": date})(handler, asked)


TWO = json.dumps({"aspects": []}) + "\n" + json.dumps({"aspects": [1]})
QUICK = ("--timeout", "0.6")

CASES = {
    "key rejected": Case(error(401, "bad key"), 1, "rejected the key in TEST_KEY (401)"),
    "forbidden": Case(error(403, "no"), 1, "rejected the key in TEST_KEY (403)"),
    "unknown model": Case(error(404, "no such model", code="model_not_found"), 1, 'knows no model "gpt-4.1" (404)'),
    "bad request": Case(error(400, "context too long"), 1, 'refused the request (400): "context too long"'),
    "no credit": Case(error(402, "pay"), 1, "the quota is used up (402)"),
    "quota": Case(error(429, "quota", code="insufficient_quota"), 1, "the quota is used up (429)"),
    "rate limit": Case(error(429, "slow down"), 4, 'too many requests (429): "slow down"'),
    "retry soon": Case(error(429, "slow", headers={"retry-after": "0.02"}), 4, "too many requests (429)"),
    "retry in 10 min": Case(error(429, "slow", headers={"retry-after": "600"}), 1, "asks to wait 600 s; 300 of"),
    "retry at a date": Case(in_an_hour, 1, "asks to wait 3,"),
    "retry nonsense": Case(error(429, "slow", headers={"retry-after": "-7 bananas"}), 4, "too many requests"),
    "broken": Case(error(500, "oops"), 4, "failed (500)"),
    "bad gateway": Case(sends(502, b"<html>bad gateway</html>"), 4, "failed (502)"),
    "overloaded": Case(error(503, "busy", headers={"retry-after": "900"}), 1, "asks to wait 900 s"),
    "hangs": Case(llm_server.hangs, 2, "no answer within 0.6 s", QUICK),
    "drips": Case(llm_server.drips, 2, "no complete answer within 0.6 s", QUICK),
    "time is up": Case(llm_server.hangs, 1, "0 of the 0.7 s for all calls are left", ("--total-timeout", "0.7")),
    "closes": Case(llm_server.closes, 4, "closed the connection before its answer was complete"),
    "closes midway": Case(llm_server.closes_midway, 4, "closed the connection before its answer was complete"),
    "floods": Case(llm_server.floods, 1, "sent more than 4 MiB"),
    "redirects": Case(sends(307, b"", {"location": "http://other.example/v1"}), 1, 'redirects to "other.example"'),
    "web page": twice(sends(200, b"<!doctype html><p>Sign in"), "the answer is a web page"),
    "no json": twice(sends(200, b"hello"), "not the JSON that such a server sends"),
    "bytes": twice(sends(200, b"\xff\xfe\x00"), "not the JSON that such a server sends"),
    "deep": twice(sends(200, b"[" * 100_000), "not the JSON that such a server sends"),
    "error with 200": twice(sends(200, {"error": {"message": "no capacity"}}), 'no choices: "no capacity"'),
    "no choices": twice(sends(200, {"choices": []}), "the answer holds no choices"),
    "null content": twice(says(None), "the answer is empty"),
    "blank content": twice(says("  \n "), "the answer is empty"),
    "refusal": twice(says(None, refusal="I cannot help"), 'the model refused: "I cannot help"'),
    "filter": twice(says("", finish="content_filter"), "content filter stopped the answer"),
    "cut": twice(says('{"aspects": [{"id": "a', finish="length"), "the answer was cut off"),
    "prose": twice(says("Here are some aspects: light, and shade."), "the answer holds no JSON object"),
    "half an object": twice(says('{"aspects": [{"id": "a"'), "the answer holds no JSON object"),
    "two objects": twice(says(TWO), "the answer holds 2 JSON objects"),
    "two equal keys": twice(says('{"aspects": [], "aspects": []}'), 'the key "aspects" is given twice'),
    "nested": twice(says('{"aspects":' + "[" * 5000 + "]" * 5000 + "}"), "brackets nested more than"),
    "wrong member": twice(says('{"aspect": []}'), 'the object has no list "aspects"'),
    "no aspects": twice(says('{"aspects": []}'), "0 usable aspects are too few"),
    "1,000 groups": twice(says(json.dumps({"aspects": [{"title": f"t{n}"} for n in range(1000)]})), "1000 aspects"),
}  # fmt: skip


@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
def test_every_failure_ends_in_time_with_one_clear_line_and_no_file(
    case: Case, ask: Callable[..., Any], server: LlmServer, tmp_path: Path
) -> None:
    server.mode = case.mode
    begun = time.monotonic()
    done = ask(*case.options)
    assert time.monotonic() - begun < case.seconds
    assert done.code == 5, done.err
    assert case.said in done.err
    assert "Traceback" not in done.err
    assert done.out == ""
    assert len(server.asked) == case.requests
    assert sorted(path.name for path in tmp_path.iterdir()) == ["out.json.rejected.txt"] * case.raw_kept
    if case.raw_kept:
        assert "the reply is in out.json.rejected.txt" in done.err
    assert_key_is_nowhere(done, tmp_path)


def assert_key_is_nowhere(done: Any, tmp_path: Path) -> None:
    """No five characters of the key in a row in any output, no eight in any file (a hash may hold five)."""
    for text in (done.out, done.err):
        assert not [run for run in runs_of(SENTINEL, 5) if run in text]
    for folder in (tmp_path, Path(os.environ["MOCOOP_CACHE"]), Path(os.environ["HOME"])):
        for path in folder.rglob("*"):
            if path.is_file():
                content = path.read_bytes()
                assert not [run for run in runs_of(SENTINEL, 8) if run.encode() in content], path


def runs_of(key: str, length: int) -> list[str]:
    return [key[at : at + length] for at in range(len(key) - length + 1)]


def test_what_fails_at_once_ends_within_30_s_with_the_real_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.undo()
    assert sum(llm.PAUSES) < 30


def test_a_passing_failure_is_got_over(ask: Callable[..., Any], server: LlmServer) -> None:
    server.modes = [error(500, "a"), error(429, "b", headers={"retry-after": "0.05"}), llm_server.closes]
    assert ask().code == 0
    assert len(server.asked) == 3 + 3


def test_a_bad_answer_is_mended_once_by_telling_what_was_wrong(ask: Callable[..., Any], server: LlmServer) -> None:
    server.modes = [llm_server.well, texts("no slot", "a {} and a {}", "http://x.example {}"), llm_server.well]
    done = ask()
    assert done.code == 0, done.err
    assert "asking once more" in done.err
    first, repair = server.asked[1].body["messages"], server.asked[2].body["messages"]
    assert repair[: len(first)] == first
    assert "only 0 of 3 templates can be used" in repair[-1]["content"]
    assert "1 dropped: an address" in repair[-1]["content"]
    assert "x.example" not in repair[-1]["content"]  # the bad answer itself is not sent again


def test_an_answer_that_was_cut_is_asked_for_in_half(ask: Callable[..., Any], server: LlmServer) -> None:
    server.modes = [llm_server.well, says('{"templates": [{"te', finish="length")]
    assert ask().code == 0
    assert server.asked[1].data["task"] == "write 5 templates"
    assert server.asked[2].data["task"] == "write 3 templates"
    assert '{"te' not in json.dumps(server.asked[2].body["messages"])


def test_the_raw_reply_is_kept_without_the_key_and_not_without_end(
    ask: Callable[..., Any], server: LlmServer, tmp_path: Path
) -> None:
    server.mode = says(f"{SENTINEL} and {SENTINEL[:20]} no object " + "x" * 300_000)
    done = ask()
    kept = (tmp_path / "out.json.rejected.txt").read_text()
    assert "[key] and [key] no object" in kept
    assert len(kept) < 70_000
    assert_key_is_nowhere(done, tmp_path)


def test_finished_aspects_are_kept_and_a_rerun_goes_on_from_there(
    ask: Callable[..., Any], server: LlmServer, tmp_path: Path
) -> None:
    server.modes, server.mode = [llm_server.well, llm_server.well], error(500, "down")
    assert ask().code == 5
    seen = len(server.asked)
    server.mode = llm_server.well
    done = ask()
    assert done.code == 0
    assert len(server.asked) - seen == 1
    assert "3 answers, 2 of them kept from before" in done.err
    whole = (tmp_path / "out.json").read_bytes()
    assert ask("--force", "--refresh").code == 0
    assert (tmp_path / "out.json").read_bytes() == whole
    assert len(server.asked) - seen == 1 + 3


# ---- the key


MODES: dict[str, Mode] = {
    "echoes the key in 401": llm_server.echoes_key,
    "echoes it in 500": lambda handler, asked: handler.send_json(500, {"error": {"message": str(asked.headers)}}),
    "echoes it as an answer": lambda handler, asked: handler.send_json(200, completion(str(asked.headers))),
    "writes it into templates": lambda handler, asked: handler.send_json(200, completion(json.dumps(leaked(asked)))),
    "refuses with it": says(None, refusal=f"no, {SENTINEL}"),
    "names the model by it": lambda handler, asked: handler.send_json(
        200, {**completion(json.dumps(good_answer(asked.data))), "model": SENTINEL}
    ),
    "cuts it": error(401, f"Incorrect API key provided: {SENTINEL[:22]}"),
    "tells its end": error(401, f"the key that ends in {SENTINEL[-9:]} is wrong"),
    "tells its middle": error(403, f"unknown key ...{SENTINEL[12:24]}..."),
    "answers with its end": says(f"{SENTINEL[-12:]} no object"),
    "redirects with it": sends(302, b"", {"location": f"http://x.example/?k={SENTINEL[:16]}"}),
}


def leaked(asked: llm_server.Asked) -> dict[str, Any]:
    key = asked.headers["authorization"].removeprefix("Bearer ")
    answer = good_answer(asked.data)
    for item in answer.get("templates", []):
        item["text"] = f"{key} {item['text']}"
    for item in answer.get("aspects", []):
        item["description"] = f"key {key}"
    return answer


@pytest.mark.parametrize("mode", MODES.values(), ids=MODES)
@pytest.mark.parametrize("debug", [False, True])
def test_the_key_is_sent_and_shown_nowhere(
    mode: Mode, debug: bool, ask: Callable[..., Any], typed: Typed, server: LlmServer, tmp_path: Path
) -> None:
    server.mode = mode
    if debug:
        command = ("generate", "--domain", DOMAIN, "--backend", "llm", "--base-url", server.url, *SMALL)
        done = typed("--debug", *command, "-o", "out.json", "--key-env", "TEST_KEY")
    else:
        done = ask()
    assert done.code in (0, 5)
    assert server.asked[0].headers["authorization"] == f"Bearer {SENTINEL}"
    assert_key_is_nowhere(done, tmp_path)


def test_the_openai_key_is_not_sent_to_another_host_unless_named(
    typed: Typed, server: LlmServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", SENTINEL)
    monkeypatch.setenv("OPENAI_ORG_ID", "org-secret")
    monkeypatch.setenv("OPENAI_PROJECT_ID", "proj-secret")
    command = ("generate", "--domain", DOMAIN, "--base-url", server.url, *SMALL, "--no-cache")
    assert typed(*command).code == 0
    assert all("authorization" not in asked.headers for asked in server.asked)
    assert not any("secret" in str(asked.headers) for asked in server.asked)
    assert typed(*command, "--key-env", "OPENAI_API_KEY").code == 0
    assert server.asked[-1].headers["authorization"] == f"Bearer {SENTINEL}"


def test_a_redirect_is_not_followed_with_the_key_or_without(
    typed: Typed, ask: Callable[..., Any], server: LlmServer
) -> None:
    with llm_server.running() as other:
        server.mode = sends(307, b"", {"location": f"{other.url}/chat/completions"})
        assert ask().code == 5
        assert other.asked == []


def test_openai_base_url_in_the_environment_redirects_nothing(
    typed: Typed, server: LlmServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    with llm_server.running() as other:
        monkeypatch.setenv("OPENAI_BASE_URL", other.url)
        done = typed("generate", "--domain", DOMAIN, "--base-url", server.url, *SMALL)
        assert other.asked == []
    assert done.code == 0
    assert "OPENAI_BASE_URL is set and not used" in done.err


@pytest.mark.parametrize("value", ["sk-abc\ndef", "sk-äöü", "sk-\x00", "two words"])
def test_a_key_that_cannot_be_sent_is_refused_by_its_name(
    value: str, typed: Typed, server: LlmServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "environ", {**os.environ, "TEST_KEY": value})
    monkeypatch.setattr("mocoop.grouping.llm.settings.key_of.__defaults__", (os.environ,))
    done = typed("generate", "--domain", DOMAIN, "--base-url", server.url, "--key-env", "TEST_KEY")
    assert done.code == 5
    assert "the key in TEST_KEY holds a character that no key has" in done.err
    assert value not in done.err
    assert server.asked == []


def test_no_key_names_the_variable_the_server_option_and_the_bank(typed: Typed) -> None:
    done = typed("generate", "--domain", DOMAIN, "--backend", "llm")
    assert done.code == 5
    for part in ("OPENAI_API_KEY is not set", "--base-url", "--backend bank"):
        assert part in done.err


def test_without_the_openai_package_one_line_says_what_helps(
    ask: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(__import__("sys").modules, "openai", None)
    done = ask()
    assert done.code == 5
    assert "pip install openai" in done.err


# ---- places where nobody answers


def test_a_port_where_nobody_listens(typed: Typed, tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{taken.getsockname()[1]}/v1"
        done = typed("generate", "--domain", DOMAIN, "--base-url", url, *SMALL, "-o", tmp_path / "out.json")
    assert done.code == 5
    assert "refused the connection; does it run?" in done.err
    assert not (tmp_path / "out.json").exists()


def test_a_name_nobody_knows(typed: Typed, monkeypatch: pytest.MonkeyPatch) -> None:
    def unknown(*_: Any, **__: Any) -> Any:
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", unknown)
    done = typed("generate", "--domain", DOMAIN, "--base-url", "http://nowhere.example/v1", *SMALL)
    assert done.code == 5
    assert "nowhere.example gave no answer: its name is not known to the network" in done.err


def test_a_server_without_the_encryption_that_was_asked_for(typed: Typed, server: LlmServer) -> None:
    done = typed("generate", "--domain", DOMAIN, "--base-url", server.url.replace("http:", "https:"), *SMALL)
    assert done.code == 5
    assert "its certificate or encryption was not accepted" in done.err


PROXIES = {
    "no port": f"http://user:{SENTINEL[8:16]}@127.0.0.1:port",
    "unknown scheme": "weird://user:secret-word@127.0.0.1:1",
    "nobody there": "http://user:secret-word@127.0.0.1:1",
}


@pytest.mark.parametrize("address", PROXIES.values(), ids=PROXIES)
def test_a_proxy_that_is_no_good_is_named_and_its_password_is_not(
    address: str, typed: Typed, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HTTP_PROXY", address)
    monkeypatch.setenv("http_proxy", address)
    command = ("generate", "--domain", DOMAIN, "--base-url", "http://far.example/v1", *SMALL)
    done = typed("--debug", *command)
    assert done.code == 5, done.err
    assert "the proxy" in done.err
    assert "secret-word" not in done.err
    assert SENTINEL[8:16] not in done.err


def test_a_client_that_is_told_to_log_everything_logs_no_key(server: LlmServer, tmp_path: Path) -> None:
    server.mode = llm_server.echoes_key
    environ = {**os.environ, "OPENAI_LOG": "debug", "TEST_KEY": SENTINEL}
    command = ("generate", "--domain", DOMAIN, "--base-url", server.url, "--key-env", "TEST_KEY", *SMALL)
    done = process(*command, env=environ)
    assert done.returncode == 5
    assert_key_is_nowhere(Done(5, done.stdout.decode(), done.stderr.decode()), tmp_path)
    assert b"DEBUG" not in done.stderr


def test_an_interruption_ends_at_once_and_keeps_what_was_finished(server: LlmServer, tmp_path: Path) -> None:
    server.modes, server.mode = [llm_server.well], llm_server.hangs
    command = [sys.executable, "-m", "mocoop.grouping.commands", "generate", "--domain", DOMAIN]
    command += ["--base-url", server.url, *SMALL, "-o", str(tmp_path / "out.json")]
    running = subprocess.Popen(command, stderr=subprocess.PIPE)
    while len(server.asked) < 2:
        time.sleep(0.02)
    running.send_signal(signal.SIGINT)
    _, told = running.communicate(timeout=10)
    assert running.returncode == 130
    assert b"interrupted" in told
    assert list(tmp_path.iterdir()) == []
    assert len(list((Path(os.environ["MOCOOP_CACHE"]) / "answers").iterdir())) == 1


# ---- any bytes


@given(body=st.binary(max_size=400))
@settings(max_examples=200)
def test_any_bytes_as_a_body_give_a_reply_or_our_own_error(body: bytes) -> None:
    with suppress(MoCoOpError):
        read_reply(body, Key(SENTINEL), {})


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=12,
)
SHAPED = st.fixed_dictionaries(
    {},
    optional={
        "choices": JSON | st.lists(st.fixed_dictionaries({}, optional={"message": JSON, "finish_reason": JSON})),
        "usage": JSON,
        "model": JSON,
        "error": JSON,
    },
)


@given(value=JSON | SHAPED)
@settings(max_examples=200)
def test_any_json_as_a_body_gives_a_reply_or_our_own_error(value: Any) -> None:
    with suppress(MoCoOpError):
        read_reply(json.dumps(value).encode("utf-8", "surrogatepass"), Key(), {})


@given(text=st.text(alphabet=st.characters(), max_size=200) | st.text(alphabet='{}[]",:\\a1 ', max_size=80))
@settings(max_examples=300)
def test_any_text_as_an_answer_gives_an_object_or_our_own_error(text: str) -> None:
    with suppress(MoCoOpError):
        assert isinstance(object_in(text, text), dict)


ITEM = JSON | st.fixed_dictionaries(
    {}, optional=dict.fromkeys(("id", "title", "text", "description", "templates", "template", "group"), JSON)
)
ANSWER = st.dictionaries(
    st.sampled_from(["aspects", "templates", "groups", "places"]), JSON | st.lists(ITEM, max_size=5)
)


@given(answer=ANSWER)
@settings(max_examples=200)
def test_any_object_as_an_answer_is_taken_or_named_out_of_rules(answer: dict[str, Any]) -> None:
    for check in (
        lambda: llm_answers.read_aspects(answer, 2),
        lambda: llm_answers.read_templates(answer, 2),
        lambda: llm_answers.read_groups(answer, 3, ["a"], 2),
        lambda: llm_answers.read_names(answer, [], 2),
        lambda: llm_answers.read_places(answer, range(1, 3), ["a"]),
    ):
        with suppress(OutOfRules):
            check()


def test_a_body_is_bounded_while_it_is_read() -> None:
    pieces = (b"x" * (1 << 20) for _ in range(1 << 30))
    with pytest.raises(llm_wire._TooLarge):
        llm_wire._bounded(pieces)


@pytest.mark.parametrize("text", ["{" * 400_000, '{"a":' * 100_000, "{}" * 200_000, '{"' * 200_000])
def test_answers_of_many_braces_are_read_in_one_pass(text: str) -> None:
    with pytest.raises(MoCoOpError):
        object_in(text, "")
