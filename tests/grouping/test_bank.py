"""The template bank and the domain profiles that ship: every template obeys the rules, every name leads somewhere."""

from __future__ import annotations

import json
import re
from itertools import chain
from pathlib import Path

import pytest

from mocoop.groupfile.findings import Finding
from mocoop.groupfile.groups import check, dump_groups, parse_groups
from mocoop.groupfile.tokens import count_tokens
from mocoop.grouping.bank import Aspect, load_bank
from mocoop.grouping.domains import GENERAL, load_profiles, match_domain
from mocoop.grouping.fields import FieldAspect, Medium, load_fields
from mocoop.grouping.generate import KINDS
from mocoop.grouping.paper import paper_groups, paper_names
from mocoop.grouping.subject import Subject
from mocoop.miniclip import captions
from mocoop.miniclip.styles import STYLES

ASPECTS = load_bank().aspects
PROFILES = load_profiles()


def findings_of(aspects: list[Aspect], kind: str) -> list[Finding]:
    """What the rules say of aspects as one group file; how many groups there are does not matter here."""
    groups = [{"id": aspect.name, "templates": list(aspect.templates)} for aspect in aspects]
    document = {"schema_version": 1, "domain": "x", "class_kind": kind, "groups": groups}
    return [finding for finding in check(dump_groups(document)) if finding.code not in ("G110", "G111", "G112")]


# ---- the bank


def test_the_whole_bank_is_a_file_without_errors_or_warnings() -> None:
    # plain_scene is plain_photo without articles: one file holds either
    assert findings_of([aspect for aspect in ASPECTS if aspect.name != "plain_scene"], "mixed") == []


@pytest.mark.parametrize("aspect", ASPECTS, ids=lambda aspect: aspect.name)
def test_an_aspect_suits_every_kind_of_class_it_claims(aspect: Aspect) -> None:
    assert aspect.class_kinds
    for kind in aspect.class_kinds:
        assert findings_of([aspect], kind) == []


@pytest.mark.parametrize("aspect", ASPECTS, ids=lambda aspect: aspect.name)
def test_templates_are_written_alike(aspect: Aspect) -> None:
    for text in aspect.templates:
        assert re.fullmatch(r"[a-z0-9{][a-z0-9{}',/ -]*\.", text), text
        assert text.isascii()
        assert count_tokens(text.replace("{}", "")) <= 12
    assert len(aspect.templates) >= 6


def test_names_are_ids_and_kinds_are_known() -> None:
    names = [aspect.name for aspect in ASPECTS]
    assert len(set(names)) == len(names)
    assert all(re.fullmatch("[a-z][a-z_]*", name) for name in names)
    assert set(chain.from_iterable(aspect.class_kinds for aspect in ASPECTS)) <= set(KINDS)
    assert all(aspect.description.endswith(".") and aspect.family and aspect.domains for aspect in ASPECTS)


def test_a_title_is_the_name_for_people() -> None:
    assert load_bank().aspect("time_of_day").title == "Time of day"


def test_search_finds_words_in_any_case() -> None:
    assert load_bank().aspect("overhead_map").search("CARTO") == ("a flat cartographic illustration of {}.",)
    assert load_bank().aspect("overhead_map").search("giraffe") == ()


def test_the_drawn_tiles_read_the_words_of_the_bank() -> None:
    texts = {aspect.name: aspect.templates for aspect in ASPECTS}
    assert captions.bank() == texts
    assert {style.aspect for style in STYLES.values()} <= set(texts)


# ---- profiles


def test_profiles_name_aspects_that_are_there_and_no_aspect_is_left_over() -> None:
    named = list(chain.from_iterable(profile.aspects for profile in PROFILES))
    assert set(named) | {"plain_picture"} == {aspect.name for aspect in ASPECTS} | load_fields().aspects.keys()
    for profile in PROFILES:
        assert len(set(profile.aspects)) == len(profile.aspects)
        assert 1 < profile.suggested_groups <= len(profile.aspects)
        assert profile.class_kind in KINDS


def test_a_keyword_leads_to_one_profile_only() -> None:
    keywords = list(chain.from_iterable(profile.match for profile in PROFILES))
    assert len(set(keywords)) == len(keywords)
    for profile in PROFILES:
        for keyword in profile.match:
            assert keyword == keyword.lower()
            assert match_domain(keyword.rstrip("*")).profiles[0] is profile, keyword


@pytest.mark.parametrize(
    ("domain", "names", "words"),
    [
        ("satellite imagery", ["satellite"], ["satellite"]),
        ("Satellite_Images of LAND-USE", ["satellite"], ["Satellite"]),
        ("chest X Rays", ["radiology"], ["X Rays"]),
        ("sports cars", ["vehicles"], ["cars"]),  # a kind of car; no sport
        ("cars and sports", ["actions", "vehicles"], ["sports", "cars"]),
        ("whale tail photos of a boat trip", [GENERAL], []),
        ("lobsters on a boat", [GENERAL], []),  # where they are, not what
        ("fabric defects", ["inspection", "textiles"], ["defects", "fabric"]),
        ("textile", ["textiles"], ["textile"]),
        ("cloth quality control", ["inspection", "textiles"], ["quality control", "cloth"]),
        ("factory camera images", ["inspection"], ["factory"]),
        ("concrete bridges", ["structures"], ["bridges"]),  # which covers textures
        ("vineyard leaf mildew", ["plant_disease"], ["leaf"]),
        ("leaves of trees", ["plants"], ["leaves"]),
        ("thermal drone images", ["thermal", "aerial"], ["thermal", "drone"]),
        ("brain scans", ["radiology"], ["brain scans"]),  # a scan by itself is a document's
        ("camera trap photos", ["camera_traps"], ["camera trap"]),
        ("dermatoscopic pictures", ["clinical"], ["dermatoscopic"]),
        ("carcinoma", [GENERAL], []),
        ("a scar", [GENERAL], []),
        ("kimono patterns", [GENERAL], []),
        ("İstanbul: satellite views", ["satellite"], ["satellite"]),  # lower-casing it would shift every place
        ("cats, dogs, cars and satellites", ["satellite", "animals"], ["satellites", "cats"]),
    ],
)
def test_a_text_calls_for_the_profiles_of_its_words(domain: str, names: list[str], words: list[str]) -> None:
    match = match_domain(domain)
    assert [profile.name for profile in match.profiles] == names
    assert list(match.words) == words


def test_two_profiles_give_their_aspects_in_turn() -> None:
    match = match_domain("thermal drone images")
    first, second = match.profiles
    assert match.aspects[:4] == (first.aspects[0], second.aspects[0], first.aspects[1], second.aspects[1])
    assert set(match.aspects) == {*first.aspects, *second.aspects}
    assert len(set(match.aspects)) == len(match.aspects)
    assert match.class_kind == "object"
    assert match.suggested_groups == 6


def test_profiles_refer_to_each_other_by_name() -> None:
    names = {profile.name for profile in PROFILES}
    media = {medium.name for medium in load_fields().media}
    for profile in PROFILES:
        assert {*profile.covers, *filter(None, [profile.flawed])} <= names - {profile.name}
        assert not profile.medium or profile.medium in media
        assert profile.about


# ---- the field bank

SUBJECTS = [Subject(), Subject(noun="road", head="road", modifier="road damage", place="on the coast"),
            Subject(Medium("x-ray", (), False), True, "old coin", "coin", "old coin", "in the museum")]  # fmt: skip


@pytest.mark.parametrize("aspect", load_fields().aspects.values(), ids=lambda aspect: aspect.name)
def test_a_field_aspect_is_written_like_the_banks(aspect: FieldAspect) -> None:
    assert set(aspect.class_kinds) <= set(KINDS)
    assert aspect.media in ("any", "optical", "other")
    assert aspect.description.endswith(".")
    assert len(aspect.templates) >= 4
    for text in aspect.templates:
        assert set(re.findall("<[^>]*>", text)) <= {"<medium>", "<noun>", "<head>", "<subject>", "<place>"}
    for subject in SUBJECTS:
        filled = [text for text in map(subject.fill, aspect.templates) if text]
        for text in filled:
            assert re.fullmatch(r"[a-z0-9{][a-z0-9{}',/: -]*\.", text), text
            assert count_tokens(text.replace("{}", "")) <= 16
    assert len(filled) == len(aspect.templates)
    assert len(set(filled)) == len(filled)


def test_every_condition_is_about_a_template_that_exists() -> None:
    texts = [text for aspect in (*ASPECTS, *load_fields().aspects.values()) for text in aspect.templates]
    bank = load_fields()
    for condition in chain(bank.only_for, *bank.families):
        for phrase in condition.phrases:
            assert any(phrase in text for text in texts), phrase


@pytest.mark.parametrize(
    ("template", "domain", "suits"),
    [
        ("a chest radiograph with {}.", "dental x-rays", False),
        ("a chest radiograph with {}.", "chest x-rays", True),
        ("an mri scan showing {}.", "chest x-rays", False),  # another member of the family is named
        ("an mri scan showing {}.", "medical scans", True),  # none is named
        ("a photo of a {}, a breed of pet.", "bird watching", False),
        ("a photo of a {}, a breed of pet.", "dog shows", True),
        ("a photo of a {}.", "anything", True),
    ],
)
def test_templates_for_other_domains_do_not_suit(template: str, domain: str, suits: bool) -> None:
    assert load_fields().suits(template, domain) is suits


# ---- the paper's groups


def test_the_papers_fifteen_data_sets_ship() -> None:
    assert len(paper_names()) == 15


@pytest.mark.parametrize("name", paper_names())
def test_a_paper_file_validates_and_is_written_as_we_write(name: str) -> None:
    data = paper_groups(name)
    loaded = parse_groups(data, source=name)
    assert dump_groups(loaded.document) == data
    assert loaded.name == name.replace("_", "-")
    assert all(group.init == group.texts[0] for group in loaded.groups)  # the released code starts from the first
    # The wording is the paper's: twins, and things where the classes are textures or activities.
    assert {finding.code for finding in loaded.findings} <= {"G104", "G110", "G113"}


def test_the_papers_groups_are_those_of_its_code(test_data: Path) -> None:
    sets = json.loads((test_data / "paper_groups.json").read_text("utf-8"))
    assert set(sets) == set(paper_names())
    for name, entry in sets.items():
        shipped = [list(group.texts) for group in parse_groups(paper_groups(name)).groups]
        released = [[" ".join(text.split()) for text in group] for group in entry["groups"]]  # food101 has two spaces
        assert shipped == released
        assert len(shipped) == entry["n_experts"]


def test_food101_starts_with_one_space_before_the_slot() -> None:
    assert parse_groups(paper_groups("food101")).groups[0].texts == ("a photo of a {}.",)
