"""The review page in a real browser: from opening to saving by mouse and by keyboard, hostile files, other tabs."""

from __future__ import annotations

import contextlib
import json
import re

import pytest
from browser import accessibility_faults, browser, page, watched  # noqa: F401
from review_page import reviewing

from mocoop.groupfile.groups import load_groups
from mocoop.grouping.editing import drafts

pytestmark = pytest.mark.browser

GROUPS = {
    "schema_version": 1,
    "domain": "birds",
    "groups": [
        {"id": "plain", "title": "Plain", "templates": ["a photo of a {}.", "a picture of the {}."]},
        {"id": "night", "title": "Night", "templates": ["a {} at night.", "a {} after dark.", "a {} in thick fog."]},
        {"id": "fog", "title": "Fog", "templates": ["a {} in mist.", "a {} in the thick fog."]},
    ],
}


@pytest.fixture
def path(written):
    return written("groups.json", json.dumps(GROUPS))


def card(page, text):  # noqa: F811
    return page.locator("li.card", has=page.get_by_role("button", name=text, exact=True))


def column(page, title):  # noqa: F811
    return page.get_by_role("region", name=re.compile(f"^{title}"))


def cards(page, title):  # noqa: F811
    return column(page, title).locator("li.card .words").all_inner_texts()


def drag(page, text, title):  # noqa: F811
    """Drag a card to a column, or to the small target that shows while one drags where the board is too wide."""
    card(page, text).evaluate("card => card.scrollIntoView({block: 'center', inline: 'nearest'})")
    start, target = card(page, text).locator(".words").bounding_box(), column(page, title)
    page.mouse.move(start["x"] + 20, start["y"] + 10)
    page.mouse.down()
    page.mouse.move(start["x"] + 40, start["y"] + 30, steps=3)
    if page.locator("#tray").is_visible():
        target = page.locator("#tray").get_by_text(title, exact=True)
    end = target.bounding_box()
    page.mouse.move(end["x"] + end["width"] / 2, end["y"] + end["height"] / 2, steps=5)
    page.mouse.up()


@contextlib.contextmanager
def opened(page, path, *options, **environment):  # noqa: F811
    """The page of a file; it is left before the server ends, which it would tell."""
    with reviewing(path, *options, **environment) as server:
        page.goto(server.address)
        page.locator(".card").first.wait_for()
        yield server
        page.goto("about:blank")


def texts(path):
    return {group.id: list(group.texts) for group in load_groups(path).groups}


def test_by_mouse_from_opening_to_saving(page, path):  # noqa: F811
    before = path.read_bytes()
    with opened(page, path) as server:
        drag(page, "a {} in thick fog.", "Fog")
        page.get_by_role("button", name="Save …").wait_for()
        assert cards(page, "Fog") == ["a {} in mist.", "a {} in the thick fog.", "a {} in thick fog."]
        assert path.read_bytes() == before
        page.get_by_text("G104 a twin").first.wait_for()
        card(page, "a {} in mist.").dblclick()
        page.get_by_label("Words of the template").fill("a {} in a mist")
        page.get_by_label("Words of the template").press("Enter")
        card(page, "a {} in a mist").wait_for()
        drag(page, "a {} after dark.", "Excluded")
        column(page, "Excluded").get_by_text("a {} after dark.").wait_for(state="attached")
        page.get_by_role("button", name="Save …").click()
        page.get_by_text('moved "a {} in thick fog." from night to fog').wait_for()
        page.get_by_role("button", name="Save", exact=True).click()
        page.get_by_role("button", name="Saved").wait_for()
        assert texts(path)["fog"] == ["a {} in a mist", "a {} in the thick fog.", "a {} in thick fog."]
        assert json.loads(path.read_bytes())["excluded"] == [{"text": "a {} after dark.", "by": "person"}]
        page.goto("about:blank")
        assert server.end() == 0
        assert server.said[-1].endswith("2 of 6 templates reviewed\n")


def test_by_keyboard_from_opening_to_saving(page, path):  # noqa: F811
    with opened(page, path) as server:
        press = page.keyboard.press
        live = page.locator("#live")
        press("?")
        page.get_by_role("dialog", name="Keys").wait_for()
        press("Escape")
        page.locator("#board").press("Tab")
        assert page.evaluate("document.activeElement.textContent") == "Plain"
        for key in ("ArrowRight", "ArrowDown", "ArrowDown", "ArrowDown", "Space"):
            press(key)
        page.get_by_text("1 template picked up.").wait_for()
        press("ArrowRight")
        page.get_by_text("Fog, 2 templates").wait_for()
        press("Space")
        page.get_by_text("1 template moved to Fog").wait_for()
        assert cards(page, "Fog")[-1] == "a {} in thick fog."
        assert page.evaluate("document.activeElement.textContent") == "a {} in thick fog."  # the focus went along
        press("i")
        card(page, "a {} in thick fog.").get_by_text("init").wait_for()
        press("l")
        card(page, "a {} in thick fog.").get_by_text("locked").wait_for()
        press("Delete")
        page.get_by_role("alert").get_by_text("is locked").wait_for()
        press("l")
        card(page, "a {} in thick fog.").get_by_text("locked").wait_for(state="hidden")
        press("Enter")
        words = page.get_by_label("Words of the template")
        words.fill("no slot")
        page.get_by_text("G030").wait_for()
        words.press("Enter")
        page.locator(".said").get_by_text("has no slot").wait_for()
        words.fill("a {} in dense fog.")
        words.press("Enter")
        card(page, "a {} in dense fog.").wait_for()
        press("n")
        page.keyboard.type("denser")
        press("Enter")
        card(page, "a {} in dense fog.").get_by_text("note").wait_for()
        press("a")
        page.keyboard.type("a {} in fog at dawn.")
        press("Enter")
        card(page, "a {} in fog at dawn.").wait_for()
        press("Escape")
        press("ArrowUp")
        press("Delete")
        page.get_by_role("region", name="Excluded").get_by_text("a {} in fog at dawn.").wait_for(state="attached")
        press("Control+z")
        card(page, "a {} in fog at dawn.").wait_for()
        assert page.evaluate("document.activeElement.textContent") == "a {} in dense fog."  # where it was
        press("m")
        page.get_by_role("dialog").get_by_role("button", name="Night night").click()
        column(page, "Night").get_by_role("button", name="a {} in dense fog.").wait_for()
        press("Control+z")
        column(page, "Fog").get_by_role("button", name="a {} in dense fog.").wait_for()
        assert page.evaluate("document.activeElement.textContent") == "a {} in dense fog."  # it went along
        press("/")
        page.keyboard.type("dawn")
        live.get_by_text("1 template shown").wait_for()
        page.locator("#found").get_by_text("1 template shown").wait_for()
        press("Escape")
        page.locator("#top").get_by_role("button", name="Save …").wait_for()
        press("Control+s")
        page.get_by_role("dialog", name="Save these changes?").wait_for()
        press("Enter")
        page.get_by_role("button", name="Saved").wait_for()
        saved = json.loads(path.read_bytes())["groups"][2]
        assert saved["init"] == "a {} in dense fog."
        assert saved["templates"][2:] == [{"text": "a {} in dense fog.", "note": "denser"}, "a {} in fog at dawn."]
        assert live.text_content() is not None
        assert server.ask("api/state")["unsaved"] is False


def test_a_person_who_types_no_commands_finds_the_way(page, path):  # noqa: F811
    page.set_viewport_size({"width": 1100, "height": 700})
    with opened(page, path, "--lexical"):
        card(page, "a {} at night.").locator(".words").click()
        page.get_by_role("button", name="Move …").click()
        page.get_by_label("Find a group").fill("pla")
        page.get_by_label("Find a group").press("Enter")
        column(page, "Plain").get_by_text("a {} at night.").wait_for()
        assert page.get_by_role("dialog").count() == 0  # that Enter pressed nothing else
        column(page, "Night").locator("button.title").click()
        page.get_by_role("button", name="Split …").click()
        page.get_by_label("a {} after dark.").check()
        page.get_by_role("button", name="Split off").click()
        page.get_by_role("alert").get_by_text("Give the new group a title.").wait_for()
        page.keyboard.press("Escape")
        column(page, "Plain").locator("button.title").click()
        page.get_by_role("dialog").get_by_role("button", name="Lock").click()
        column(page, "Plain").get_by_text("locked").wait_for()
        drag(page, "a photo of a {}.", "Night")
        page.get_by_text("Unlock it first.").wait_for()
        assert "mocoop-groups" not in page.locator("#toast").inner_text()
        drag(page, "a {} in thick fog.", "Excluded")
        column(page, "Excluded").get_by_text("a {} in thick fog.").wait_for(state="attached")
        assert page.locator("#board").evaluate("board => board.scrollLeft") == 0  # one goes on where one was
        page.get_by_label("Search templates").fill("mist")
        page.locator("#found").get_by_text("1 template shown").wait_for()
        found = card(page, "a {} in mist.").bounding_box()
        assert found["x"] + found["width"] <= page.locator("#panel").bounding_box()["x"]  # the board went there


@pytest.mark.slow
def test_groups_are_renamed_split_merged_locked_and_made_in_dialogs(page, path, server, written):  # noqa: F811
    config = written("model.json", json.dumps({"base_url": server.url, "model": "mine"}))
    with opened(page, path, "--llm-config", config):
        menu = lambda group, item: (  # noqa: E731
            column(page, group).locator("button.title").click(),
            page.get_by_role("dialog").get_by_role("button", name=item, exact=True).click(),
        )
        menu("Night", "Rename …")
        page.get_by_label("Title").fill("After sunset")
        page.get_by_role("button", name="Rename", exact=True).click()
        column(page, "After sunset").wait_for()
        menu("After sunset", "Split …")
        page.get_by_label("a {} in thick fog.").check()
        page.get_by_label("Title").fill("Thick fog")
        assert page.get_by_label("Id (names").input_value() == "thick_fog"
        page.get_by_role("button", name="Split off").click()
        column(page, "Thick fog").wait_for()
        assert cards(page, "Thick fog") == ["a {} in thick fog."]
        menu("Thick fog", "Merge into …")
        page.get_by_role("dialog").get_by_role("button", name="Fog fog").click()
        column(page, "Thick fog").wait_for(state="detached")
        assert cards(page, "Fog")[-1] == "a {} in thick fog."
        menu("Fog", "Mark as reviewed")
        column(page, "Fog").get_by_text("3/3 reviewed").wait_for()
        menu("Fog", "Lock")
        column(page, "Fog").get_by_text("locked").wait_for()
        page.locator("#top").get_by_role("button", name="Undo").click()
        column(page, "Fog").get_by_text("locked").wait_for(state="detached")
        card(page, "a {} in mist.").locator(".words").click()
        card(page, "a {} in thick fog.").locator(".words").click(modifiers=["Control"])
        page.get_by_text("2 templates chosen").wait_for()
        page.get_by_role("button", name="New group …").click()
        page.get_by_label("Title").fill("Haze")
        page.keyboard.press("Enter")
        column(page, "Haze").wait_for()
        assert cards(page, "Haze") == ["a {} in mist.", "a {} in thick fog."]
        menu("Haze", "Exclude the group …")
        page.get_by_role("dialog").get_by_role("button", name="Exclude").click()
        column(page, "Haze").wait_for(state="detached")
        page.locator("#board").get_by_text("a {} in mist.").first.click()
        page.get_by_role("button", name="Restore to …").click()
        page.get_by_role("dialog", name="Restore 1 template to").get_by_role("button", name="Plain plain").click()
        column(page, "Plain").get_by_role("button", name="a {} in mist.", exact=True).wait_for()
        assert cards(page, "Plain")[-1] == "a {} in mist."
        menu("Plain", "More like these …")
        added = page.get_by_role("dialog").locator(".found li").first
        text = added.locator("bdi").inner_text()
        added.get_by_role("button").click()
        added.get_by_text("Added").wait_for()
        before = page.get_by_role("dialog").locator(".found li").count()
        page.get_by_role("dialog").get_by_role("button", name="Ask mine at").click()
        page.get_by_role("dialog").locator(".found li").nth(before).wait_for()
        assert len(server.asked) == 1
        page.get_by_role("button", name="Done").click()
        card(page, text).wait_for()
        assert cards(page, "Plain")[-1] == text


HOSTILE = (
    "<img src=x onerror=alert(1)> {}",
    "<script>alert(2)</script>{}",
    "{} &lt;b&gt; &amp; \"'`",
    "\u05d0\u05d1\u05d2 {} \u0645\u0631\u062d\u0628\u0627",
    "javascript:alert(3) $(alert(4)) {}",
    f"{'w' * 196} {{}}.",
)


def test_a_hostile_file_is_text(page, written):  # noqa: F811
    marks = "<svg onload=alert(5)> \u05d0 \" ' </script>"
    groups = [
        {"id": "constructor", "title": f"{marks[:30]}{'w' * 50}", "description": marks, "templates": list(HOSTILE)},
        {"id": "__proto__"[2:7] + "-x", "title": "<b>bold</b>", "templates": [{"text": "a {}.", "note": marks}]},
    ]
    document = {
        "schema_version": 1,
        "domain": marks,
        "groups": groups,
        "excluded": [{"text": "<i>{}", "reason": marks}],
    }
    path = written("<b>groups<b>.json", json.dumps(document))
    with opened(page, path):
        assert page.locator("#board .card .words").all_inner_texts() == [*HOSTILE, "a {}.", "<i>{}"]
        assert page.locator("h1 bdi").first.inner_text() == "<b>groups<b>.json"
        assert column(page, re.escape(marks[:10])).count() == 1
        card(page, "a {}.").locator(".words").click()
        assert page.locator("#note").input_value() == marks
        page.get_by_role("heading", name="Templates near it").wait_for()
        assert page.evaluate("[panel.scrollWidth <= panel.clientWidth, innerWidth > 1000]") == [True, True]
        page.get_by_role("button", name="Exclude", exact=True).click()
        page.get_by_role("alert").get_by_text("would leave the group").wait_for()
        card(page, HOSTILE[0]).locator(".words").click()
        page.locator("#chosen").get_by_role("button", name="Exclude").click()
        page.locator("#top").get_by_role("button", name="Save …").click()
        page.get_by_role("dialog").get_by_text("<img src=x onerror=alert(1)>").first.wait_for()
        page.keyboard.press("Escape")
        assert page.evaluate("document.querySelectorAll('#board img, #board script, #board b, #board svg').length") == 0
        assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")


def test_what_changes_elsewhere_takes_no_typing_away(page, path):  # noqa: F811
    with opened(page, path) as server:
        card(page, "a {} in mist.").dblclick()
        words = page.get_by_label("Words of the template")
        words.fill("a {} in thin mist.")
        version = server.ask("api/state")["version"]
        note = {"operation": "annotate", "text": "a {} in mist.", "note": "thin"}
        version = server.do(version, **note)["version"]
        page.locator(".mark.note").wait_for(state="attached")
        server.do(version, operation="move", texts=["a {} in mist."], to="plain")
        column(page, "Plain").get_by_text("3 reviewed").wait_for()
        assert words.input_value() == "a {} in thin mist."
        words.press("Enter")
        card(page, "a {} in thin mist.").wait_for()
        assert cards(page, "Plain")[-1] == "a {} in thin mist."
        assert page.locator(".typing").count() == 0


def test_a_half_typed_line_without_a_place_is_shown_once(page, path):  # noqa: F811
    drafts.keep_line(str(path), drafts.Line("words:", "a {} that is gone.", "a {} that was half typ"))
    with opened(page, path) as server:
        page.get_by_role("alert").get_by_text("a {} that was half typ").wait_for()
        for _ in range(100):
            if "line" not in server.ask("api/state"):
                break
            page.wait_for_timeout(50)
    assert drafts.take_line(str(path)) is None


def test_a_note_that_is_being_typed_is_among_the_changes_of_a_save(page, path):  # noqa: F811
    with opened(page, path):
        card(page, "a {} in mist.").locator(".words").click()
        leaves = "dispatchEvent(new Event('beforeunload', {cancelable: true}))"
        assert page.evaluate(leaves)
        page.locator("#note").fill("thin")
        assert not page.evaluate(leaves)
        page.keyboard.press("Control+s")
        page.get_by_role("dialog").get_by_text("thin").wait_for()
        page.locator("#save-now").click()
        page.get_by_role("button", name="Saved").wait_for()
        assert page.evaluate(leaves)
        assert "thin" in path.read_text()


def test_a_double_click_saves_once_and_what_has_no_answer_is_said(page, path):  # noqa: F811
    with opened(page, path) as server:
        card(page, "a {} in mist.").locator(".words").click()
        page.keyboard.press("l")
        page.locator("#save:not([disabled])").dblclick()
        page.locator("#save-now").wait_for()  # one dialog, not two
        page.locator("#save-now").dblclick()
        page.get_by_role("alert").get_by_text("Saved.").wait_for()
        column(page, "Fog").locator("button.title").click()
        refused = {"refused": {"error": "the model is gone", "hint": ""}}
        page.route("**/api/more", lambda route: route.fulfill(json=refused))
        page.get_by_role("button", name="More like these …").click()
        page.get_by_role("dialog").get_by_text("There was no answer.").wait_for()
        assert server.ask("api/difference") == {"mine": [], "theirs": []}


def test_the_second_half_of_a_double_click_does_not_close_what_the_first_opened(page, path):  # noqa: F811
    at_once = """new Promise((done) => {
        new MutationObserver(() => {
            const shown = document.querySelector("dialog[open]");
            if (!shown) return;
            shown.click();
            done(shown.open);
        }).observe(document.body, { subtree: true, attributes: true });
        document.getElementById("save").click();
    })"""
    with opened(page, path):
        card(page, "a {} in mist.").locator(".words").click()
        page.keyboard.press("l")
        page.locator("#save:not([disabled])").wait_for()
        assert page.evaluate(at_once)
        page.wait_for_timeout(600)
        page.mouse.click(5, 5)  # beside it, later: it closes
        page.locator("dialog").wait_for(state="detached")


def test_groups_may_go_while_one_types_or_holds_a_card_of_theirs(page, path):  # noqa: F811
    groups = [*GROUPS["groups"], {"id": "constructor", "title": "Sites", "templates": ["a {} on a site."]}]
    path.write_text(json.dumps({**GROUPS, "groups": groups}))
    with opened(page, path) as server:

        def merged(group, to):
            version = server.ask("api/state")["version"]
            assert "refused" not in server.do(version, operation="merge", groups=[group, to], to=to)

        words = page.get_by_label("Words of the template")
        card(page, "a {} on a site.").dblclick()
        words.fill("a {} on a building site.")
        merged("constructor", "fog")
        column(page, "Sites").wait_for(state="detached")
        column(page, "Fog").get_by_label("Words of the template").wait_for()  # it goes on where the card is now
        assert words.input_value() == "a {} on a building site."
        page.get_by_role("button", name="Move …").click()
        page.get_by_role("dialog").get_by_role("button", name="Night night").click()
        column(page, "Night").get_by_text("a {} on a site.").wait_for()
        words.press("Escape")
        assert page.get_by_text("a {} on a site.", exact=True).locator("visible=true").count() == 2  # card and panel
        column(page, "Fog").get_by_role("button", name="+ Add a template").click()
        page.get_by_label("New template").fill("a {} in haze.")
        card(page, "a photo of a {}.").locator(".words").focus()
        page.keyboard.press("Space")
        page.get_by_text("1 template picked up.").wait_for()
        merged("fog", "night")
        page.get_by_role("alert").get_by_text("a {} in haze.").wait_for()
        page.keyboard.press("ArrowRight")
        page.keyboard.press("ArrowRight")
        page.get_by_text("a new group").wait_for()
        page.keyboard.press("Escape")


def test_a_second_tab_sees_the_first_and_cannot_undo_it_unseen(page, path):  # noqa: F811
    with opened(page, path) as server:
        other = page.context.new_page()
        said = watched(other)
        other.goto(server.address)
        other.locator(".card").first.wait_for()
        drag(page, "a {} in thick fog.", "Fog")
        column(other, "Fog").get_by_role("button", name="a {} in thick fog.").wait_for()
        other.get_by_role("button", name="Undo").click()
        column(page, "Night").get_by_role("button", name="a {} in thick fog.").wait_for()
        assert server.do(1, operation="lock-group", group="fog")["refused"]["error"].startswith("another tab")
        other.close()
        assert not said


def test_a_file_that_changes_meanwhile_is_not_overwritten(page, path):  # noqa: F811
    with opened(page, path):
        drag(page, "a {} in thick fog.", "Fog")
        page.get_by_role("button", name="Save …").wait_for()
        theirs = {**GROUPS, "groups": [*GROUPS["groups"][:2], {**GROUPS["groups"][2], "title": "Haze"}]}
        path.write_text(json.dumps(theirs))
        page.get_by_role("button", name="Look at both …").click()
        page.get_by_text('title of fog: "Fog" -> "Haze"').wait_for()
        page.get_by_text('moved "a {} in thick fog." from night to fog').wait_for()
        assert json.loads(path.read_bytes()) == theirs
        page.get_by_role("button", name="Mine on top of it").click()
        column(page, "Haze").get_by_role("button", name="a {} in thick fog.").wait_for()
        page.keyboard.press("Control+s")
        page.get_by_role("button", name="Save", exact=True).click()
        page.get_by_role("button", name="Saved").wait_for()
        assert load_groups(path).groups[2].title == "Haze"
        assert texts(path)["fog"][-1] == "a {} in thick fog."


def test_a_kill_loses_nothing_that_was_done_or_typed(browser, path):  # noqa: F811
    before = path.read_bytes()
    context = browser.new_context(viewport={"width": 1280, "height": 800})
    page = context.new_page()  # noqa: F811  # its server goes, which its console tells
    with reviewing(path, MOCOOP_SIGNAL_AT="SIGKILL:review-save:1") as server:
        page.goto(server.address)
        drag(page, "a {} in thick fog.", "Fog")
        card(page, "a {} in mist.").dblclick()
        page.get_by_label("Words of the template").fill("a {} in thin mi")
        page.wait_for_timeout(500)
        page.keyboard.press("Control+s")
        page.get_by_role("button", name="Save", exact=True).click()
        page.get_by_text("The server does not answer. What you did is kept").wait_for()
        assert server.process.wait() == -9
    assert path.read_bytes() == before
    with reviewing(path) as server:
        assert any("1 unsaved change of last time is taken up" in line for line in server.said)
        page.goto(server.address)
        column(page, "Fog").get_by_role("button", name="a {} in thick fog.").wait_for()
        assert page.get_by_label("Words of the template").input_value() == "a {} in thin mi"
        page.get_by_label("Words of the template").press("Escape")
        asked = []
        page.on("dialog", lambda shown: (asked.append(shown.type), shown.accept()))
        with page.expect_event("close"):
            page.close(run_before_unload=True)
        assert asked == ["beforeunload"]
        assert server.end() == 0
        assert any("what is not saved is kept; the same command takes it up" in line for line in server.said)
    context.close()


@pytest.mark.parametrize("scheme", ["light", pytest.param("dark", marks=pytest.mark.slow)])
def test_axe_finds_no_serious_fault(page, path, scheme):  # noqa: F811
    page.emulate_media(color_scheme=scheme)
    with opened(page, path):
        page.get_by_text("G104 a twin").first.wait_for()
        card(page, "a {} in thick fog.").locator(".words").click()
        page.get_by_text("Templates near it").wait_for()
        assert accessibility_faults(page) == []
        card(page, "a {} in mist.").dblclick()
        page.get_by_label("Words of the template").fill("no slot")
        page.get_by_text("G030").wait_for()
        assert accessibility_faults(page) == []
        page.get_by_label("Words of the template").press("Escape")
        page.get_by_role("button", name="Keys").first.click()
        assert accessibility_faults(page) == []


@pytest.mark.slow
def test_a_finger_drags_after_it_has_rested(browser, path):  # noqa: F811
    context = browser.new_context(viewport={"width": 1280, "height": 800}, has_touch=True)
    page = context.new_page()  # noqa: F811
    with opened(page, path):
        finger = context.new_cdp_session(page)
        start, end = card(page, "a {} in thick fog.").bounding_box(), column(page, "Fog").bounding_box()

        def touch(kind, *at):
            finger.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": [{"x": x, "y": y} for x, y in at]})

        touch("touchStart", (start["x"] + 30, start["y"] + 12))
        page.locator(".ghost").wait_for()
        for share in (0.3, 0.6, 1):
            touch("touchMove", (start["x"] + 30 + share * (end["x"] - start["x"]), start["y"] + 30))
        touch("touchEnd")
        column(page, "Fog").get_by_role("button", name="a {} in thick fog.").wait_for()
    context.close()


@pytest.mark.slow
def test_narrow_windows_and_two_hundred_percent_scroll_one_way_only(page, path):  # noqa: F811
    with opened(page, path):
        for width, height in ((640, 400), (320, 640)):  # 1280 by 800 at 200 %, and at 400 %
            page.set_viewport_size({"width": width, "height": height})
            assert page.evaluate("document.documentElement.scrollWidth <= innerWidth"), width
            drag(page, "a {} in thick fog.", "Fog")
            page.locator("#top").get_by_role("button", name="Undo").wait_for()
            column(page, "Fog").get_by_role("button", name="a {} in thick fog.").wait_for()
            page.locator("#top").get_by_role("button", name="Undo").click()
            column(page, "Night").get_by_role("button", name="a {} in thick fog.").wait_for()
