"""How often G108 doubts a template of a hand-made group, and how often it finds one that was put elsewhere.

    python benchmarks/misfits.py [--backbone miniclip] [--seed 0]

The groups are those that the bank gives for each domain profile; then the bank's aspects that the sentence space was
not learned from. False: the share of templates that are doubted as the groups are. Found: the share that is doubted
after it alone was put into another group, drawn by the seed.
"""

from __future__ import annotations

import argparse
import random
from collections.abc import Iterator

import numpy as np

from mocoop.grouping.clustering.embed import EmbedderChoice, embed
from mocoop.grouping.clustering.sentencespace import measured_aspects
from mocoop.grouping.domains import load_profiles
from mocoop.grouping.generate import Wanted, generate_from_bank
from mocoop.grouping.keep import texts_of
from mocoop.grouping.measuring import measures

MARGINS = (0.0, 0.05, 0.1, 0.15, 0.2, 0.3)
Groups = list[tuple[str, ...]]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--backbone", help="compare by its text space, not by the sentence model")
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    choice = EmbedderChoice(backbone=given.backbone)
    print("margin\t" + "\t".join(map(str, MARGINS)))
    for name, groupings in (("profiles", list(profile_groups())), ("not learned from", list(held_out_groups()))):
        doubted, found, count = shares(groupings, choice, random.Random(given.seed))
        print(f"{name}, {count} templates, false\t" + "\t".join(f"{share:.3f}" for share in doubted))
        print(f"{name}, {count} templates, found\t" + "\t".join(f"{share:.3f}" for share in found))


def profile_groups() -> Iterator[Groups]:
    for profile in load_profiles():
        document = generate_from_bank(Wanted("anything", profiles=[profile.name])).document
        yield [tuple(texts_of(group)) for group in document["groups"]]


def held_out_groups() -> Iterator[Groups]:
    for far in (True, False):
        yield [aspect.templates for aspect in measured_aspects() if ("remote_sensing" in aspect.domains) == far]


def shares(groupings: list[Groups], choice: EmbedderChoice, rng: random.Random) -> tuple[list[float], list[float], int]:
    """For each margin the share that is doubted in its place, and the share that is found elsewhere."""
    placed: list[float] = []
    moved: list[float] = []
    for groups in groupings:
        texts = [text for group in groups for text in group]
        labels = np.repeat(np.arange(len(groups)), [len(group) for group in groups])
        space = embed(texts, choice).space
        placed += margins(space, labels).tolist()
        for place in range(len(texts)):
            elsewhere = labels.copy()
            elsewhere[place] = rng.choice([label for label in range(len(groups)) if label != labels[place]])
            if len(set(elsewhere)) == len(groups):
                moved.append(float(margins(space, elsewhere)[place]))
    return over(placed), over(moved), len(placed)


def margins(space: measures.Array, labels: measures.Labels) -> measures.Array:
    """By how much the nearest other group is nearer than the own; none in a group of one."""
    own, others = measures.fit(space, labels)
    return np.nan_to_num(others.max(axis=1) - own, nan=-np.inf)


def over(values: list[float]) -> list[float]:
    return [float(np.mean([value > margin for value in values])) for margin in MARGINS]


if __name__ == "__main__":
    main()
