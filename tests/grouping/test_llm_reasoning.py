"""Models that think aloud, servers that take less than OpenAI's, and addresses with a query."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import llm_server
import pytest
from grouping_cli import Typed
from llm_server import LlmServer, Slow, error, says

from mocoop.errors import ConfigError, RemoteError
from mocoop.grouping.llm.prompts import Context, aspects_prompt, groups_prompt, places_prompt, templates_prompt
from mocoop.grouping.llm.replies import UnusableReply, object_in
from mocoop.grouping.llm.retry import Client
from mocoop.grouping.llm.settings import Key, Settings

PROMPT = aspects_prompt(Context("cats", "object"), 3)
DOMAIN = "satellite imagery"
SMALL = ("--groups", "3", "--per-group", "3", "--no-cache")


def aspects(*titles: str) -> str:
    return json.dumps({"aspects": [{"id": t, "title": t, "description": t, "fits_when": t} for t in titles]})


GOOD, DRAFT, OTHER = aspects("haze", "season"), aspects("draft"), '{"verdict": "fine", "aspects": 2}'
FORM = '{"aspects": [{"id": "string", "title": "string", "description": "string", "fits_when": "string"}]}'

THOUGHTS = {
    "a block": f"<think>perhaps {DRAFT}?</think>{GOOD}",
    "a lone end": f"Let me see: {DRAFT}, or so.\n</think>\n\n{GOOD}",
    "several blocks": f"<think>{DRAFT}</think>Hm.<think>again {DRAFT}</think>{GOOD}",
    "a lone end, then a block": f"{DRAFT}</think>Now:<think>{DRAFT}</think>\n{GOOD}",
    "a block after the answer": f"{GOOD}\n<think>was {DRAFT} better?</think>",
    "a block that never ends, after the answer": f"{GOOD}\n<think>was {DRAFT} better",
    "Mistral's": f"[THINK]say {DRAFT}[/THINK]{GOOD}",
    "Mistral's lone end": f"say {DRAFT}[/THINK]{GOOD}",
    "other names": f"<thinking>{DRAFT}</thinking><reasoning>{DRAFT}</reasoning><thought>{DRAFT}</thought>{GOOD}",
    "a thought between bars": f"<|begin_of_thought|>{DRAFT}<|end_of_thought|><|begin_of_solution|>{GOOD}",
    "harmony": f"<|channel|>analysis<|message|>so {DRAFT}<|end|><|start|>assistant<|channel|>final<|message|>{GOOD}",
    "harmony, whole": "<|start|>assistant<|channel|>analysis<|message|>hm<|end|><|start|>assistant"
    f"<|channel|>commentary<|message|>{DRAFT}<|end|><|start|>assistant<|channel|>final <|constrain|>json<|message|>"
    f"{GOOD}<|return|>",
    "harmony, the final first": f"<|channel|>final<|message|>{GOOD}<|end|><|channel|>analysis<|message|>{DRAFT}",
    "harmony without its marks": f"analysisThe user wants {DRAFT}.assistantfinal{GOOD}",
    "a draft in prose": f"First I would say {DRAFT}. Better is:\n```json\n{GOOD}\n```",
    "the form repeated": f"The form is {FORM}\n{GOOD}",
    "an object of another form behind": f"{GOOD}\n{OTHER}",
    "lone braces in the thought": f'<think>a slot is {{, a quote is "</think>{GOOD}',
    "a lone brace in prose": f"A slot begins with {{ and the answer is:\n{GOOD}",
    "a draft in braces of prose": f"{{ say: {DRAFT} }}, or better: {GOOD}",
    "a lone brace and its end around": f"{{ the answer: {GOOD} }}",
}  # fmt: skip


@pytest.mark.parametrize("text", THOUGHTS.values(), ids=THOUGHTS)
def test_the_last_object_of_the_questions_form_is_the_answer(text: str) -> None:
    assert object_in(text, "", PROMPT.schema) == json.loads(GOOD)


@pytest.mark.parametrize(
    "text",
    [
        f"<think>{DRAFT}</think>",
        f"<think>{DRAFT}</think>I cannot say.",
        f"<think>so {DRAFT}, or",
        f"{DRAFT}</think>",
        f"<|channel|>analysis<|message|>{DRAFT}<|end|>",
    ],
)
def test_a_draft_in_a_thought_is_never_the_answer(text: str) -> None:
    with pytest.raises(UnusableReply, match="thought"):
        object_in(text, "raw", PROMPT.schema)


def test_several_objects_of_which_none_has_the_form_are_refused() -> None:
    with pytest.raises(UnusableReply, match='holds 2 JSON objects, none of the form asked for: with a list "aspects"'):
        object_in(f'{OTHER}{{"aspects": [1]}}', "", PROMPT.schema)


def test_the_form_of_every_question_is_known() -> None:
    """Answers that the readers take, though a little short of the schema, come before what follows them."""
    cases = [
        (templates_prompt(Context("cats", "object"), "t", "d", "f", 2, []), {"templates": ["a {}.", "the {}."]}),
        (templates_prompt(Context("cats", "object"), "t", "d", "f", 2, []), {"templates": [{"text": "a {}."}]}),
        (PROMPT, {"aspects": [{"title": "haze"}]}),
        (groups_prompt("cats", ["a {}."], "1", []), {"groups": [{"title": "a", "templates": [1]}]}),
        (places_prompt("cats", ["a {}."], 1, []), {"places": [{"template": "1", "group": "a"}]}),
    ]
    for prompt, answer in cases:
        text = f"{prompt.system.splitlines()[-1]}\n{json.dumps(answer)}\n{json.dumps({'note': [answer]})}"
        assert object_in(text, "", prompt.schema) == answer


def test_a_heap_of_braces_ends_in_time() -> None:
    for heap in ("{" * 200_000, "{a" * 100_000 + "}" * 100_000, '{"a":' * 60_000, "{x}" * 60_000, '{"' * 100_000):
        with pytest.raises(UnusableReply):
            object_in(heap, "", PROMPT.schema)


def test_a_long_answer_behind_lone_braces_is_still_read() -> None:
    answer = {"aspects": [{**json.loads(GOOD)["aspects"][0], "description": "x" * 100_000}] * 20}
    assert object_in("a slot is { and " * 30 + json.dumps(answer), "", PROMPT.schema) == answer


def test_a_thinking_model_writes_a_file(typed: Typed, server: LlmServer, tmp_path: Path) -> None:
    def thinks(handler: llm_server.Handler, asked: llm_server.Asked) -> None:
        answer = json.dumps(llm_server.good_answer(asked.data))
        handler.send_json(200, llm_server.completion(f"draft: {answer.replace('a view', 'a draft')}</think>{answer}"))

    out = tmp_path / "o.json"
    server.mode = thinks
    done = typed("generate", "--domain", DOMAIN, "--base-url", server.url, *SMALL, "-o", out)
    assert done.code == 0, done.err
    assert "a view" in out.read_text()
    assert "a draft" not in out.read_text()
    assert len(server.asked) == 3


# ---- the limit per answer


def client(server: LlmServer, told: list[str] | None = None, **settings: Any) -> Client:
    tell = (lambda text: None) if told is None else told.append
    return Client(Settings(**{"base_url": server.url, **settings}), Key(), seed=7, wait=Slow(), tell=tell)


def chat(asking: Client) -> Any:
    reply = asking.chat(PROMPT.messages, PROMPT.schema, PROMPT.name, PROMPT.most_tokens)
    return object_in(reply.text, reply.raw, PROMPT.schema)


EATEN = {
    "a field of its own": ("", {"reasoning_content": "hm, well"}),
    "a field of another name": (None, {"reasoning": "hm, well"}),
    "a thought that never ends": ("<think>hm, well", {}),
    "Mistral's": ("[THINK]hm, well", {}),
    "harmony": ("<|channel|>analysis<|message|>hm, well", {}),
}


@pytest.mark.parametrize(("content", "fields"), EATEN.values(), ids=EATEN)
def test_a_thought_that_used_up_the_limit_is_named(
    content: str | None, fields: dict[str, str], server: LlmServer
) -> None:
    server.mode = says(content, finish="length", **fields)
    with pytest.raises(UnusableReply, match="the thought used up the limit of 1,500 tokens") as caught:
        chat(client(server))
    assert caught.value.cut
    assert "--max-answer-tokens" in str(caught.value.hint)


def test_a_thought_that_only_the_counts_tell_of_is_named(server: LlmServer) -> None:
    """OpenAI's own reasoning models send no thought, only its tokens."""
    usage = {"prompt_tokens": 9, "completion_tokens": 1500, "completion_tokens_details": {"reasoning_tokens": 1500}}
    server.mode = llm_server.sends(200, {**llm_server.completion("", finish="length"), "usage": usage})
    with pytest.raises(UnusableReply, match="the thought used up the limit"):
        chat(client(server))


def test_an_answer_cut_behind_its_thought_says_both(server: LlmServer) -> None:
    server.mode = says(f"<think>hm</think>{GOOD[:30]}", finish="length")
    with pytest.raises(UnusableReply, match="thought and answer together passed the limit of 1,500 tokens") as caught:
        chat(client(server))
    assert "--max-answer-tokens" in str(caught.value.hint)
    server.mode = says(GOOD[:30], finish="length")
    with pytest.raises(UnusableReply, match="the answer was cut off at the limit of 1,500 tokens") as caught:
        chat(client(server))
    assert "--max-answer-tokens" in str(caught.value.hint)


def test_a_thought_without_an_answer_is_not_called_only_empty(server: LlmServer) -> None:
    server.mode = says(None, reasoning_content="hm, well")
    with pytest.raises(UnusableReply, match="a thought came and no answer"):
        chat(client(server))


def test_the_limit_per_answer_is_an_option(typed: Typed, server: LlmServer, tmp_path: Path) -> None:
    command = ("generate", "--domain", DOMAIN, "--base-url", server.url, *SMALL)
    assert typed(*command, "--max-answer-tokens", "6000").code == 0
    assert [asked.body["max_tokens"] for asked in server.asked] == [6000] * 3
    plan = typed(*command, "--max-answer-tokens", "6000", "--dry-run")
    assert "output at most 18,000 tokens" in plan.err
    server.mode = says("", finish="length", reasoning_content="hm")
    done = typed(*command, "-o", tmp_path / "o.json")
    assert done.code == 5
    assert "the thought used up the limit of 1,500 tokens" in done.err
    assert "--max-answer-tokens" in done.err
    over = typed(*command, "--max-answer-tokens", "30000")
    assert "may take 30,000 output tokens, and 0 of 24,000 output tokens are used" in over.err


# ---- servers that take less


STATUSES = (400, 404, 405, 415, 422, 500, 501, 503)


@pytest.mark.parametrize("status", STATUSES)
@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("temperature", "Unsupported value: 'temperature' does not support 1 with this model"),
        ("seed", "Extra inputs are not permitted: body.seed"),
        ("response_format", "response_format is not available"),
        ("max_tokens", "Unsupported parameter: 'max_tokens'. Use 'max_completion_tokens' instead."),
    ],
)
def test_any_status_that_names_what_was_sent_is_answered_with_less(
    status: int, name: str, words: str, server: LlmServer
) -> None:
    server.modes = [error(status, words)] * (2 if name == "response_format" else 1)
    assert chat(client(server, temperature=1))["aspects"]
    assert name in server.asked[0].body
    assert name not in server.asked[-1].body
    assert len(server.asked) == len([*server.asked[:-1]]) + 1 == (3 if name == "response_format" else 2)
    assert {"model", "messages"} < set(server.asked[-1].body)


@pytest.mark.parametrize("status", [401, 402, 403, 408, 429])
def test_a_refusal_that_has_a_cause_of_its_own_must_say_unsupported(status: int, server: LlmServer) -> None:
    server.modes = [error(status, "the parameter temperature is not supported here")]
    assert chat(client(server, temperature=1))["aspects"]
    assert len(server.asked) == 2
    server.mode = error(status, "your rate is max_tokens of all requests", headers={"retry-after": "9999"})
    with pytest.raises(RemoteError):
        chat(client(server))
    assert len(server.asked) == 3


@pytest.mark.parametrize(
    "words",
    [
        "max_tokens is too large: 1500. This model supports at most 1024 completion tokens",
        "max_tokens must be less than or equal to 1024",
        "'max_tokens' of 1500 exceeds the maximum of 1024",
    ],
)
def test_a_limit_that_is_too_large_is_not_called_by_another_name(words: str, server: LlmServer) -> None:
    server.mode = error(400, words)
    with pytest.raises(RemoteError, match="1024") as caught:
        chat(client(server))
    assert "--max-answer-tokens" in str(caught.value.hint)
    assert len(server.asked) == 1


SYSTEMLESS = [
    (400, "System role not supported"),
    (400, "Developer instruction is not enabled for models/gemma-3-27b-it"),
    (400, "Unsupported value: 'messages[0].role' does not support 'system' with this model."),
    (422, "messages.0.role: Input should be 'user' or 'assistant'"),
    (500, "Conversation roles must alternate user/assistant/user/assistant/..."),
    (500, "Only user and assistant roles are supported!"),
    (400, "role 'system' is not allowed"),
]


@pytest.mark.parametrize(("status", "words"), SYSTEMLESS)
def test_without_a_system_role_its_text_goes_into_the_users_message(status: int, words: str, server: LlmServer) -> None:
    def strict(handler: llm_server.Handler, asked: llm_server.Asked) -> None:
        if [message["role"] for message in asked.body["messages"]] != ["user"]:
            error(status, words)(handler, asked)
        else:
            llm_server.well(handler, asked)

    told: list[str] = []
    server.mode = strict
    asking = client(server, told)
    assert len(chat(asking)["aspects"]) == 3
    (message,) = server.asked[1].body["messages"]
    system, user = (part["content"] for part in PROMPT.messages)
    assert message == {"role": "user", "content": f"{system}\n\n{user}"}
    assert told == [f"{asking.settings.host} takes no system role: its text goes into the user's message"]
    chat(asking)
    assert len(server.asked) == 3  # learned for good
    again = (*PROMPT.messages, {"role": "user", "content": "Answer anew."})
    asking.chat(again, PROMPT.schema, PROMPT.name, 100)
    assert server.asked[-1].body["messages"] == [{"role": "user", "content": f"{system}\n\n{user}\n\nAnswer anew."}]


def test_a_server_that_refuses_even_the_folded_message_is_not_asked_for_ever(server: LlmServer) -> None:
    server.mode = error(400, "System role not supported")
    with pytest.raises(RemoteError, match="System role not supported"):
        chat(client(server))
    assert len(server.asked) == 2


# ---- an address with a query


@pytest.mark.parametrize("end", ["/v1?api-version=1", "/v1/?api-version=1"])
def test_a_query_of_the_address_goes_behind_the_path(end: str, server: LlmServer) -> None:
    asking = client(server, base_url=server.url.removesuffix("/v1") + end)
    assert chat(asking)["aspects"]
    assert server.asked[0].path == "/v1/chat/completions?api-version=1"
    assert "?" not in asking.settings.host


def test_a_query_is_sent_as_it_was_written(server: LlmServer) -> None:
    chat(client(server, base_url=server.url + "?api-version=2024-02-01%20x&flag=&b=1%262"))
    assert server.asked[0].path == "/v1/chat/completions?api-version=2024-02-01+x&flag=&b=1%262"


@pytest.mark.parametrize(
    "query", ["key=1", "api-key=1", "a=1&Subscription-Key=2", "ACCESS_TOKEN=1", "sig=1", "code=1", "password=x"]
)
def test_a_secret_in_a_query_is_refused_and_not_shown(query: str) -> None:
    with pytest.raises(ConfigError, match="may be a secret") as caught:
        Settings(base_url=f"http://h/v1?{query}")
    assert query not in str(caught.value)


@pytest.mark.parametrize("end", ["?a=1#part", "#part", "?a=1&a=2"])
def test_an_address_with_a_fragment_or_a_name_given_twice_is_refused(end: str) -> None:
    with pytest.raises(ConfigError):
        Settings(base_url=f"http://h/v1{end}")


def test_the_doctor_asks_at_the_same_address(typed: Typed, server: LlmServer, monkeypatch: pytest.MonkeyPatch) -> None:
    paths = []

    def do_get(handler: llm_server.Handler) -> None:
        paths.append(handler.path)
        handler.send_json(200, {"data": [{"id": "mine"}]})

    monkeypatch.setattr(llm_server.Handler, "do_GET", do_get, raising=False)
    done = typed("doctor", "--base-url", server.url + "?api-version=1")
    assert paths == ["/v1/models?api-version=1"]
    assert "mine" in done.out
