"""What is read out of a domain's text: the kind of picture, the thing, and where."""

from __future__ import annotations

import pytest

from mocoop.grouping.subject import article, read_subject, singular


@pytest.mark.parametrize(
    ("domain", "medium", "noun", "modifier", "place"),
    [
        ("textile", "photo", "textile", "textile", ""),
        ("cloth quality control", "photo", "cloth", "cloth quality control", ""),
        ("factory camera images", "camera image", "", "factory", ""),
        ("fabric defects", "photo", "fabric", "fabric defect", ""),
        ("Dental X-Rays", "x-ray", "", "dental", ""),
        ("weld inspection", "photo", "weld", "weld inspection", ""),
        ("printed circuit boards", "photo", "printed circuit board", "printed circuit board", ""),
        ("museum paintings", "photo", "painting", "museum painting", "in the museum"),
        ("online shoe shop", "photo", "shoe", "online shoe shop", ""),
        ("thermal images of warehouse parcels", "thermal image", "parcel", "warehouse parcel", "in the warehouse"),
        ("sonar scans of the seabed", "sonar image", "", "seabed", "on the seabed"),
        ("photos of birds in my garden", "photo", "bird", "bird", "in my garden"),
        ("helmets on construction sites", "photo", "helmet", "helmet", "on construction sites"),
        ("parts under glass", "photo", "part", "part", "under the glass"),
        ("camera_trap wildlife", "camera-trap photo", "wild animal", "wildlife", ""),
        ("horse riding lessons", "photo", "horse", "horse riding lesson", ""),
        ("knee arthroscopy", "arthroscopy image", "knee", "knee", ""),
        ("leaves and flowers", "photo", "", "", ""),  # two things are no noun
        ("衣類の写真", "photo", "", "", ""),
        ("photos", "photo", "", "", ""),
        ("{} <noun> 12", "photo", "noun", "noun", ""),
    ],
)
def test_the_parts_of_a_domain(domain: str, medium: str, noun: str, modifier: str, place: str) -> None:
    subject = read_subject(domain)
    assert (subject.medium.name, subject.noun, subject.modifier, subject.place) == (medium, noun, modifier, place)
    assert subject.head == noun.rpartition(" ")[2]


def test_marks_are_filled_with_the_right_article() -> None:
    subject = read_subject("x-rays of old umbrellas")
    assert subject.fill("a <medium> of a {}, a kind of <noun>.") == "an x-ray of a {}, a kind of old umbrella."
    assert subject.fill("a <subject> <medium> with a <head>.") == "an old umbrella x-ray with an umbrella."
    assert subject.fill("a {} <place>.") is None


@pytest.mark.parametrize(
    ("plural", "one"),
    [
        ("boards", "board"), ("leaves", "leaf"), ("galaxies", "galaxy"), ("dishes", "dish"), ("boxes", "box"),
        ("series", "series"), ("glass", "glass"), ("ads", "ad"), ("gas", "gas"), ("lens", "lens"), ("shoes", "shoe"),
        ("buses", "bus"),
        ("mosquitoes", "mosquito"), ("canoes", "canoe"), ("houses", "house"), ("teeth", "tooth"),
        ("textile", "textile"),
    ],
)  # fmt: skip
def test_the_singular(plural: str, one: str) -> None:
    assert singular(plural) == one


@pytest.mark.parametrize(
    ("word", "expected"),
    [("x-ray", "an"), ("mri scan", "an"), ("image", "an"), ("unit", "a"), ("ultrasound image", "an"), ("uav", "a"),
     ("european coin", "a"), ("one-way street", "a"), ("hour", "an"), ("photo", "a"), ("underwater photo", "an"),
     ("user interface", "a"), ("urban street", "an"), ("university", "a"), ("unidentified object", "an")],
)  # fmt: skip
def test_articles_go_by_sound(word: str, expected: str) -> None:
    assert article(word) == expected
