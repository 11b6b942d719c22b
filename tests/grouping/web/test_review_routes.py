"""The addresses of the review page: what changed since, refusals as answers, checks as one types, who may ask."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from starlette.testclient import TestClient

from mocoop.groupfile.groups import check
from mocoop.grouping.clustering.embed import EmbedderChoice
from mocoop.grouping.commands.model import ModelChoice, open_session
from mocoop.grouping.editing import drafts
from mocoop.grouping.measuring.audit import embedding_problems
from mocoop.grouping.measuring.meaning import vectors_of
from mocoop.grouping.web import checking as checking_module
from mocoop.grouping.web.checking import Checking
from mocoop.grouping.web.kept import Kept
from mocoop.grouping.web.routes import Desk
from mocoop.grouping.web.session import Session
from mocoop.grouping.web.writing import Writing
from mocoop.web.page import make_page

PAGES = Path(__file__).parents[3] / "grouping" / "web" / "pages"
DOCUMENT = {
    "schema_version": 1,
    "domain": "birds",
    "groups": [
        {"id": "plain", "templates": ["a photo of a {}.", {"text": "a  picture of a {}.", "note": "short"}]},
        {
            "id": "night",
            "title": "Night",
            "init": "a {} at night.",
            "templates": ["a {} after dark.", "a {} at night."],
        },
        {"id": "fog", "templates": ["a {} in thick fog.", "a {} in the thick fog.", "a {} in mist."]},
    ],
    "excluded": [{"text": "a {} in rain.", "by": "person"}],
}
MOVE = {"operation": "move", "texts": ["a {} in mist."], "to": "night"}
WORDING = EmbedderChoice(embedder="tfidf")


class Page:
    """A page's client, session and checks, without a server."""

    def __init__(self, path, choice=None, names=None, model=None):
        self.session = Session.open(str(path), Kept(path), names)
        self.checking = Checking(self.session, choice)
        self.desk = Desk(self.session, self.checking, choice, drafts.take_line(str(path)))
        self.desk.writing = model and Writing(self.session, model)
        app = make_page("mocoop.grouping.web", self.desk.routes(), secret="s")
        self.client = TestClient(app, base_url="http://127.0.0.1:1")

    def get(self, address):
        return self.client.get(f"/s/api/{address}").json()

    def post(self, address, **body):
        return self.client.post(f"/s/api/{address}", json=body).json()

    def do(self, operation, version=None):
        return self.post("do", operation=operation, version=version or self.session.version)


@pytest.fixture
def path(written):
    return written("groups.json", json.dumps(DOCUMENT))


@pytest.fixture
def desk(path):
    return Page(path)


def test_the_state_is_all_of_it_and_an_answer_only_what_changed(desk):
    whole = desk.get("state")
    assert whole["order"] == ["plain", "night", "fog"]
    assert whole["groups"]["night"]["templates"][1] == {"text": "a {} at night.", "tokens": 6, "init": True}
    assert whole["groups"]["plain"]["templates"][1]["note"] == "short"
    assert whole["excluded"] == [{"text": "a {} in rain.", "reason": None}]
    answer = desk.do(MOVE)
    assert answer["groups"].keys() == {"night", "fog"}
    assert "excluded" not in answer
    assert (answer["unsaved"], answer["version"]) == (True, 2)
    assert answer["undo"].startswith('moved "a {} in mist." from fog to night')


def test_news_tell_a_second_tab_what_the_first_did(desk):
    desk.do(MOVE)
    desk.do({"operation": "lock-group", "group": "plain"})
    news = desk.get("news?version=1&findings=0")
    assert (news["version"], news["groups"].keys()) == (3, {"plain", "night", "fog"})
    assert desk.get("news?version=2")["groups"].keys() == {"plain"}
    assert desk.get("news?version=99")["whole"] is True  # of a page that an earlier server gave
    assert desk.get("news?version=nothing")["whole"] is True


def test_nothing_new_is_said_after_a_moment(desk, monkeypatch):
    monkeypatch.setattr("mocoop.grouping.web.routes.WAIT", 0.05)
    assert "groups" not in desk.get("news?version=1")


def test_an_outdated_operation_is_refused_with_what_is_new(desk):
    desk.do(MOVE, version=1)
    late = desk.do({"operation": "lock-group", "group": "fog"}, version=1)
    assert late["refused"]["error"].startswith("another tab")
    assert late["groups"].keys() == {"night", "fog"}
    assert late["version"] == 2


def test_refusals_are_answers_with_what_is_wrong_and_what_to_do(desk):
    refused = desk.do({"operation": "add", "texts": ["no slot"], "to": "fog"})["refused"]
    assert refused["error"] == 'the template has no slot {}: "no slot"'
    assert refused["hint"].startswith("write {} for the class name")
    assert desk.post("undo", version=1)["refused"]["error"] == "there is nothing to undo"
    assert desk.post("save", version=1)["refused"]["error"] == "there is nothing to save"
    assert desk.post("settle", version=1, choice="mine")["refused"]["error"] == "the file is as it was read"


def test_the_whole_way_to_a_saved_file(desk, path):
    desk.do(MOVE)
    assert desk.post("undo", version=2)["unsaved"] is False
    assert desk.post("redo", version=3)["unsaved"] is True
    (change, *_) = desk.get("difference")["mine"]
    assert change == {"kind": "moved", "sentence": 'moved "a {} in mist." from fog to night'}
    saved = desk.post("save", version=4)
    assert (saved["unsaved"], saved["notice"]) == (False, None)
    assert json.loads(path.read_bytes())["groups"][1]["templates"][-1] == "a {} in mist."
    assert desk.get("difference") == {"mine": [], "theirs": []}


@pytest.mark.parametrize(
    ("address", "body", "status"),
    [
        ("do", {"version": 1}, 400),
        ("do", {"version": 1, "operation": "move"}, 400),
        ("do", {"version": 1, "operation": {"operation": "replace", "document": {}}}, 400),
        ("settle", {"version": 1, "choice": "none"}, 400),
        ("check", {"text": 1}, 400),
        ("check", {"text": "\ud800 {}"}, 400),
        ("typing", {"prompt": "words:", "about": "\ud800", "typed": "t"}, 400),
        ("more", {"texts": []}, 400),
        ("more", {"texts": [1]}, 400),
    ],
)
def test_what_no_page_of_ours_sends_is_refused(desk, address, body, status):
    content = json.dumps(body).encode()
    sent = desk.client.post(f"/s/api/{address}", content=content, headers={"content-type": "application/json"})
    assert sent.status_code == status


def test_odd_versions_are_stale(desk):
    for version in (None, True, "1", 1.5, [], -1, 10**30):
        assert "another tab" in desk.post("do", operation=MOVE, version=version)["refused"]["error"]


def test_who_may_ask(desk):
    ask = desk.client.post
    body = {"version": 1, "operation": MOVE}
    assert ask("/wrong/api/do", json=body).status_code == 404
    assert ask("/s/api/do", json=body, headers={"origin": "http://elsewhere.example"}).status_code == 403
    assert ask("/s/api/do", json=body, headers={"origin": "null"}).status_code == 403
    assert ask("/s/api/do", json=body, headers={"host": "elsewhere.example"}).status_code == 400
    assert ask("/s/api/do", content=json.dumps(body), headers={"content-type": "text/plain"}).status_code == 415
    assert desk.session.version == 1


def test_every_file_of_the_page_is_served_under_a_policy_without_inline_code(desk):
    page = desk.client.get("/s/")
    assert "script-src 'self'; style-src 'self'" in page.headers["content-security-policy"]
    for name in [one.name for one in PAGES.iterdir()]:
        address = "" if name == "index.html" else name
        assert desk.client.get(f"/s/{address}").status_code == 200, name


# ---- checks


def test_what_is_typed_is_checked_by_the_rules_of_validate(desk):
    for text in ("a  hazy view of {}.", "no slot", "{} \u200b here", "{}", "x " * 150 + "{}"):
        part = {"schema_version": 1, "domain": "birds", "groups": [{"id": "typed", "templates": [text]}]}
        said = {one.code: one.message for one in check(json.dumps(part).encode()) if "templates" in one.pointer}
        wanted = {(code, told.replace("`groups[0].templates[0]`", "the template")) for code, told in said.items()}
        found = desk.post("check", text=text)["findings"]
        assert {(one["code"], one["message"]) for one in found} == wanted
        assert wanted
    assert desk.post("check", text="a fine {}.") == {"findings": [], "tokens": 5}


def test_a_twin_of_what_is_typed_is_named_with_its_group(desk):
    (found,) = desk.post("check", text="A {} in mist.")["findings"]
    assert (found["code"], 'group "fog"' in found["message"]) == ("G104", True)
    assert desk.post("check", text="A {} in mist.", instead_of="a {} in mist.")["findings"] == []
    (same,) = desk.post("check", text="a {} in mist.")["findings"]
    assert (same["code"], same["severity"]) == ("G103", "error")


def test_the_findings_are_those_of_validate_at_their_cards(path):
    page = Page(path, names=("photo booth", "owl"))
    page.checking.check_now()
    found = page.get("state")["findings"]
    told = [one for place in ("groups", "cards") for listed in found[place].values() for one in listed] + found["file"]
    expected = check(path.read_bytes(), class_names=("photo booth", "owl"))
    rules = {(one.code, one.message, one.hint) for one in expected}
    assert rules <= {(one["code"], one["message"], one["hint"]) for one in told}
    assert found["cards"]["a  picture of a {}."][0]["code"] == "G114"
    assert [one["code"] for one in found["cards"]["a {} in the thick fog."]] == ["G104"]


def test_a_large_file_is_checked_by_a_process_with_the_same_findings(path, monkeypatch):
    page = Page(path, names=("photo booth", "owl"))
    page.checking.check_now()
    here = page.checking.found
    monkeypatch.setattr(checking_module, "LARGE", 0)
    page.checking.check_now()
    there = page.checking.found
    assert (there.file, there.groups, there.cards) == (here.file, here.groups, here.cards)
    assert there.cards


def test_meanings_are_those_of_validate_embed(path):
    page = Page(path, WORDING)
    page.checking.check_now()
    file = page.checking._session.base.file
    seen = vectors_of(file, WORDING)
    expected = {one.message for one in embedding_problems(file, seen.embedding, seen.means)}
    found = page.checking.found
    told = {one["message"] for listed in found.cards.values() for one in listed if one["code"] in ("G107", "G108")}
    assert told | {m for m in expected if "means of groups" in m} == expected
    assert found.compared == "compared by tfidf (lexical, not semantic)"
    assert found.places.keys() == {t["text"] for g in page.get("state")["groups"].values() for t in g["templates"]}
    assert all(-1 <= x <= 1 and -1 <= y <= 1 for x, y in found.places.values())


def test_the_map_stays_unless_texts_come_or_go(path):
    page = Page(path, WORDING)
    page.checking.check_now()
    first = page.get("state")["findings"]
    page.do(MOVE)
    page.checking.check_now()
    moved = page.get(f"news?version=2&findings={first['number']}&map={first['map_number']}")["findings"]
    assert (moved["version"], moved["map_number"]) == (2, first["map_number"])
    assert "places" not in moved
    page.do({"operation": "add", "texts": ["a {} in snow."], "to": "fog"})
    page.checking.check_now()
    more = page.get(f"news?version=3&findings={moved['number']}&map={first['map_number']}")["findings"]
    assert "a {} in snow." in more["places"]


def test_without_a_model_and_for_very_many_templates_it_is_said(path, monkeypatch):
    page = Page(path)
    page.checking.check_now()
    assert page.checking.found.compared == "compared by wording only"
    monkeypatch.setattr(checking_module, "MOST_COMPARED", 3)
    page.checking.check_now()
    assert page.checking.found.compared.startswith("7 templates are too many")
    assert page.post("near", text="a {} in mist.") == {"nearest": [], "groups": []}


def test_the_thread_checks_after_every_change_and_ends(path):
    page = Page(path)
    page.checking.start()
    page.do({"operation": "add", "texts": ["a  {} in snow."], "to": "fog"})
    for _ in range(100):
        news = page.get(f"news?version={page.session.version}&findings={page.checking.found.number}")
        if "a  {} in snow." in page.checking.found.cards and page.checking.found.version == page.session.version:
            break
    assert page.checking.found.cards["a  {} in snow."][0]["code"] == "G114", news
    assert page.checking.end()


# ---- what is near, and more like it


def test_what_is_near_a_template(path):
    near = Page(path, WORDING).post("near", text="a {} in the thick fog.")
    assert near["nearest"][0]["text"] == "a {} in thick fog."
    assert near["groups"][0]["id"] == "fog"
    by_letters = Page(path).post("near", text="a {} in the thick fog.")
    assert by_letters["nearest"][0] == {"text": "a {} in thick fog.", "group": "fog", "value": 1.0}
    assert by_letters["groups"] == []
    assert "no longer there" in Page(path).post("near", text="gone {}.")["refused"]["error"]


def test_more_like_it_comes_from_the_bank_without_what_is_here_or_was_taken_out(desk):
    more = desk.post("more", texts=["a blurry photo of a {}."])["templates"]
    assert len(more) == 8
    assert any("blur" in one["text"] for one in more)
    first = more[0]["text"]
    desk.do({"operation": "add", "texts": [first], "to": "fog"})
    assert first not in [one["text"] for one in desk.post("more", texts=["a blurry photo of a {}."])["templates"]]
    desk.do({"operation": "exclude", "texts": [first]})
    assert first not in [one["text"] for one in desk.post("more", texts=["a blurry photo of a {}."])["templates"]]


def test_a_language_model_writes_for_a_group_when_it_is_asked(path, server, written):
    config = written("model.json", json.dumps({"base_url": server.url, "model": "mine"}))
    model = open_session(ModelChoice({}, config, cache=True, refresh=False), seed=0, offline=False, out=path)
    page = Page(path, names=("owl",), model=model)
    assert page.get("state")["model"] == f"mine at {server.url.removeprefix('http://').removesuffix('/v1')}"
    assert not server.asked
    listed = page.post("write", group="fog")["templates"]
    (asked,) = server.asked
    assert (asked.data["aspect"]["title"], asked.data["other_groups"]) == ("fog", ["plain", "Night"])
    assert asked.data["some_class_names"] == ["owl"]
    assert listed
    first = listed[0]["text"]
    page.do({"operation": "add", "texts": [first], "to": "fog"})
    assert first not in [one["text"] for one in page.post("write", group="fog")["templates"]]
    assert len(server.asked) == 1  # the answer was kept
    assert "no group is called" in page.post("write", group="gone")["refused"]["error"]


def test_a_language_model_that_fails_is_told_and_without_one_there_is_no_address(path, server, written):
    config = written("model.json", json.dumps({"base_url": "http://127.0.0.1:9/v1", "timeout": 1, "total_timeout": 2}))
    model = open_session(ModelChoice({}, config, cache=False, refresh=False), seed=0, offline=True, out=path)
    assert Page(path, model=model).post("write", group="fog")["refused"]["error"]
    none = Page(path)
    assert none.get("state")["model"] is None
    assert none.client.post("/s/api/write", json={"group": "fog"}).status_code == 404


def test_a_group_is_parted_by_meaning_as_a_proposal(path):
    page = Page(path, WORDING)
    parts = page.post("parts", group="fog", count=2)["parts"]
    assert sorted(text for part in parts for text in part) == sorted(DOCUMENT["groups"][2]["templates"])
    assert page.session.version == 1
    page.do({"operation": "split-into", "group": "fog", "parts": parts})
    assert page.get("state")["order"] == ["plain", "night", "fog", "fog-2"]
    assert "--lexical" in Page(path).post("parts", group="fog", count=2)["refused"]["error"]


def test_what_is_being_typed_outlives_the_page(path):
    page = Page(path)
    page.post("typing", prompt="words:", about="a {} in mist.", typed="a {} in thin mi")
    assert page.get("state")["line"] == {"about": "a {} in mist.", "prompt": "words:", "typed": "a {} in thin mi"}
    again = Page(path)
    assert again.get("state")["line"]["typed"] == "a {} in thin mi"
    assert "line" not in Page(path).get("state")  # once
    again.post("typing", prompt="words:", about="a {} in mist.", typed="again")
    again.post("typing", prompt="words:", about="a {} in mist.", typed="")
    assert "line" not in Page(path).get("state")


# ---- the page's own code


def test_nothing_a_file_holds_can_become_html():
    forbidden = re.compile(r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|DOMParser|createContextualFragment"
                           r"|srcdoc|eval\(|new Function|setHTML|\.setAttribute\(\s*[\"']style")  # fmt: skip
    for file in PAGES.glob("*.js"):
        assert not forbidden.search(file.read_text(encoding="utf-8")), file.name
    page = (PAGES / "index.html").read_text(encoding="utf-8")
    assert not re.search(r"<script(?![^>]*\bsrc=)|<style|\son\w+=|\sstyle=", page)


def test_the_page_asks_nothing_of_another_server():
    for file in PAGES.iterdir():
        found = set(re.findall(r"https?://[^\s\"'`)]+", file.read_text(encoding="utf-8")))
        assert found <= {"http://www.w3.org/2000/svg"}, file.name
