"""The template of CLIP's zero-shot classifier by data set; for some data sets a method has its own.

From the published recipes of CoOp, KgCoOp and ProGrad (docs/method.md).
"""

from __future__ import annotations

PLAIN = "a photo of a {}."
_CLIP = {
    "oxford_pets": "a photo of a {}, a type of pet.",
    "oxford_flowers": "a photo of a {}, a type of flower.",
    "fgvc_aircraft": "a photo of a {}, a type of aircraft.",
    "dtd": "{} texture.",
    "eurosat": "a centered satellite photo of {}.",
    "food101": "a photo of {}, a type of food.",
    "ucf101": "a photo of a person doing {}.",
}
_OTHERWISE = {
    ("kgcoop", "dtd"): "a photo of a {}, a type of texture.",
}


def own_template(dataset: str, method: str = "zero-shot") -> str:
    """A data set's own template, by its name as in CoOp's layout; "a photo of a {}." for any other."""
    template = _OTHERWISE.get((method, dataset), _CLIP.get(dataset, PLAIN))
    return name_last(template) if method == "prograd" else template


def name_last(template: str) -> str:
    """A template with the part after the class name moved to the front, as in ProGrad's templates.

    "a photo of a {}, a type of pet." becomes "a type of pet, a photo of a {}.", "{} texture." "a texture of {}.".
    """
    lead, _, rest = template.partition("{}")
    lead, phrase = lead.strip(), rest.strip(" ,.")
    if not phrase:
        return f"{lead} {{}}.".lstrip()
    return f"{phrase}, {lead} {{}}." if lead else f"a {phrase} of {{}}."
