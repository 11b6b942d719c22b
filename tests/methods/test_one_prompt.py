"""CoOp, KgCoOp, ProGrad and LASP: losses and two whole steps against `naive`, written from their papers."""

from __future__ import annotations

import naive
import pytest
import torch
from towers import write_clip_folder
from worlds import CLASSNAMES, GROUPS

from mocoop.backbone.backbone import load_backbone
from mocoop.config import preset
from mocoop.data.templates import own_template
from mocoop.errors import ConfigError
from mocoop.groupfile.groups import dump_groups
from mocoop.methods import method_named

NAMES = CLASSNAMES[:4]
TEMPLATES = [text for group in GROUPS["groups"] for text in group["templates"]]


@pytest.fixture(scope="module")
def backbone(tmp_path_factory):
    folder = write_clip_folder(tmp_path_factory.mktemp("tiny") / "clip")
    return load_backbone(f"local-dir:{folder}", device="cpu", precision="float32")


@pytest.fixture(scope="module")
def scale(backbone):
    return backbone.logit_scale


def config_of(method, **changes):
    return preset("recommended", method, **naive.quick(**changes))


def coop_loss(backbone, template, x, labels):
    def loss(tensors):
        h = naive.prompt_features(backbone, tensors["ctx"], template, NAMES)
        return naive.cross_entropy(backbone.logit_scale * x @ h.T, labels)

    return naive.of_loss(loss)


@pytest.mark.parametrize(
    ("position", "template"),
    [("before", "a photo of a {}."), ("middle", "a photo {} of a."), ("after", "{} a photo of a.")],
)
def test_coop_with_its_words_before_around_and_after_the_name(backbone, position, template):
    x, labels = naive.examples(4)
    config = config_of("coop", ctx_position=position)
    start = {"ctx": naive.words(backbone, "a photo of a")}
    values, losses = naive.descend(start, coop_loss(backbone, template, x, labels), config)
    naive.agree(naive.trained(backbone, config, x, labels), values, losses, start)


def test_coop_from_sixteen_random_tokens(backbone):
    x, labels = naive.examples(4)
    config = config_of("coop", ctx_init=None)
    fresh = naive.trained(backbone, config.replace(lr=1e-12, warmup_lr=1e-12), x, labels, seed=7).learned.tensors["ctx"]
    assert fresh.shape == (16, naive.WIDTH)
    assert fresh.std() == pytest.approx(0.02, rel=0.1)
    assert fresh.mean() == pytest.approx(0, abs=0.003)
    template = " ".join(["x"] * 16) + " {}."
    values, losses = naive.descend({"ctx": fresh}, coop_loss(backbone, template, x, labels), config)
    naive.agree(naive.trained(backbone, config, x, labels, seed=7), values, losses, {"ctx": fresh})
    other = naive.trained(backbone, config.replace(lr=1e-12, warmup_lr=1e-12), x, labels, seed=8).learned.tensors["ctx"]
    assert not torch.equal(fresh, other)


def test_coop_with_a_ctx_for_each_class(backbone, scale):
    x, labels = naive.examples(4)
    config = config_of("coop", class_ctx=True)

    def loss(tensors):
        parts = tensors["ctx"].split(4)
        h = [
            naive.prompt_features(backbone, ctx, "a photo of a {}.", [name])[0]
            for ctx, name in zip(parts, NAMES, strict=True)
        ]
        return naive.cross_entropy(scale * x @ torch.stack(h).T, labels)

    start = {"ctx": naive.words(backbone, "a photo of a").repeat(4, 1)}
    values, losses = naive.descend(start, naive.of_loss(loss), config)
    naive.agree(naive.trained(backbone, config, x, labels), values, losses, start)


@pytest.mark.parametrize("weight", [8.0, 0.5])
def test_kgcoop(backbone, scale, weight):
    x, labels = naive.examples(4)
    config = config_of("kgcoop", template="{} texture.", lambda_knowledge=weight)
    known = naive.template_features(backbone, "{} texture.", NAMES)

    def loss(tensors):
        h = naive.prompt_features(backbone, tensors["ctx"], "a photo of a {}.", NAMES)
        cosines = [a @ b for a, b in zip(h, known, strict=True)]
        return naive.cross_entropy(scale * x @ h.T, labels) + weight * (1 - sum(cosines) / len(cosines))

    start = {"ctx": naive.words(backbone, "a photo of a")}
    values, losses = naive.descend(start, naive.of_loss(loss), config)
    fitted = naive.trained(backbone, config, x, labels)
    naive.agree(fitted, values, losses, start)
    assert fitted.history[0].loss == pytest.approx(
        fitted.history[0].class_loss + weight * fitted.history[0].text_loss, rel=1e-5
    )


def prograd(backbone, known, template, x, labels, strength, found):
    """ProGrad's gradient, and in `found` whether the two gradients agreed at each step."""

    def gradients(tensors):
        ctx = tensors["ctx"]
        logits = backbone.logit_scale * x @ naive.prompt_features(backbone, ctx, template, NAMES).T
        ce = naive.cross_entropy(logits, labels)
        kl = 0
        for row, other in zip(logits, backbone.logit_scale * x @ known.T, strict=True):
            p, q = other.softmax(0), row.softmax(0)
            kl = kl + sum(p[c] * (p[c].log() - q[c].log()) for c in range(len(p))) / len(logits)
        (g_ce,) = torch.autograd.grad(ce, ctx, retain_graph=True)
        (g_kl,) = torch.autograd.grad(kl, ctx)
        dot = float((g_ce * g_kl).sum())
        found.append(dot > 0)
        if dot < 0:
            g_ce = g_ce - strength * dot * g_kl / float((g_kl**2).sum())
        return ce, {"ctx": g_ce}

    return gradients


@pytest.mark.parametrize("strength", [1.0, 0.8])
@pytest.mark.parametrize("agreeing", [True, False])
def test_prograd_follows_the_projected_gradient(backbone, agreeing, strength):
    """Labels as zero-shot would give them make the gradients agree; labels against it make them disagree."""
    template = "a photo of a {}."
    known = naive.template_features(backbone, "{} texture.", NAMES)
    x, _ = naive.examples(4)
    guesses = x @ known.T
    labels = guesses.argmax(1) if agreeing else guesses.argmin(1)
    config = config_of("prograd", template="{} texture.", lambda_projection=strength)
    # "{} texture." with its name last is "a texture of {}.": three tokens after thirteen zeros.
    start = {"ctx": torch.cat([torch.zeros(13, naive.WIDTH), naive.words(backbone, "a texture of")])}
    found = []
    template = " ".join(["x"] * 13) + " a texture of {}."
    steps = prograd(backbone, known, template, x, labels, strength, found)
    values, losses = naive.descend(start, steps, config)
    assert found[0] is agreeing
    naive.agree(naive.trained(backbone, config, x, labels), values, losses, start)


def test_prograd_in_several_chunks_of_classes_is_the_same(backbone, monkeypatch):
    x, labels = naive.examples(4)
    config = config_of("prograd", template="{} texture.")
    whole = naive.trained(backbone, config, x, labels)
    prepare = backbone.text.prepare
    monkeypatch.setattr(backbone.text, "prepare", lambda rows: prepare(rows, chunk_tokens=30))
    parts = naive.trained(backbone, config, x, labels)
    torch.testing.assert_close(parts.learned.tensors["ctx"], whole.learned.tensors["ctx"], rtol=0, atol=1e-5)


def test_prograd_takes_its_own_templates_and_its_gentler_weight():
    method, config = method_named("prograd"), preset("paper", "prograd")
    adapted = {
        (name, shots): method.adapt(config, name, shots)
        for name in ("oxford_pets", "dtd", "eurosat", "oxford_flowers", "food101", "imagenet")
        for shots in (4, 8, 16)
    }
    assert adapted["oxford_pets", 16].template == "a type of pet, a photo of a {}."
    assert adapted["dtd", 16].template == "a texture of {}."
    assert adapted["food101", 16].template == "a type of food, a photo of {}."
    assert adapted["eurosat", 16].template == "a centered satellite photo of {}."
    gentle = {key for key, one in adapted.items() if one.lambda_projection == 0.8}
    assert gentle == {(name, shots) for name in ("dtd", "eurosat", "oxford_flowers") for shots in (8, 16)}
    assert method.adapt(config.replace(lambda_projection=0.3), "dtd", 16).lambda_projection == 0.3
    assert method.adapt(config.replace(template="my {}."), "dtd", 16).template == "my {}."


def test_prograd_refuses_a_template_longer_than_its_ctx(backbone):
    x, labels = naive.examples(4)
    config = config_of("prograd", template="a type of pet, a photo of a {}.", ctx_tokens=8)
    with pytest.raises(ConfigError, match="are 9 tokens, ctx_tokens is 8"):
        naive.trained(backbone, config, x, labels)


def test_kgcoop_has_a_template_of_its_own_for_textures_only():
    assert own_template("dtd", "kgcoop") == "a photo of a {}, a type of texture."
    assert own_template("oxford_pets", "kgcoop") == "a photo of a {}, a type of pet."
    assert own_template("dtd") == "{} texture."


def lasp_loss(backbone, config, template, x, labels, names):
    """Cross-entropy of the classes trained on, and L_text over all templates and all names."""
    hard = torch.stack([naive.template_features(backbone, text, names) for text in TEMPLATES])  # (T, C', D)
    tau = config.tau_text or 1 / backbone.logit_scale

    def loss(tensors):
        h = naive.prompt_features(backbone, tensors["ctx"], template, names, tensors.get("text_offset", 0))
        trained_on = h[: len(NAMES)]
        text = 0
        for y in range(len(names)):
            if config.text_target == "mean-template":
                mean = torch.stack([naive.unit(hard[:, c].mean(0)) for c in range(len(names))])
                text = text - (mean @ h[y] / tau).softmax(0)[y].log() / len(names)
            else:
                p = sum((features @ h[y] / tau).softmax(0)[y] for features in hard) / len(hard)
                text = text - p.log() / len(names)
        return naive.cross_entropy(backbone.logit_scale * x @ trained_on.T, labels) + config.lambda_text * text

    return naive.of_loss(loss)


def test_lasp(backbone):
    x, labels = naive.examples(4)
    config = config_of("lasp")
    start = {"ctx": naive.words(backbone, "a photo of a")}
    values, losses = naive.descend(start, lasp_loss(backbone, config, "a photo of a {}.", x, labels, NAMES), config)
    naive.agree(naive.trained(backbone, config, x, labels, groups=dump_groups(GROUPS)), values, losses, start)


def test_lasp_as_the_released_code_has_it(backbone):
    """All but the image tower, which tests/methods/test_mixture.py tunes: names, offset, targets, stop, clip."""
    x, labels = naive.examples(4)
    config = preset("official", "lasp", **naive.quick(tune_layer_norm=False, extra_class_names=CLASSNAMES[4:]))
    assert (config.text_target, config.tau_text, config.clip_norm) == ("mean-template", 1.0, 1.0)
    start = {"ctx": naive.words(backbone, "a photo of a"), "text_offset": torch.zeros(naive.DIM)}
    loss = lasp_loss(backbone, config, "a photo of a {}", x, labels, CLASSNAMES)
    values, losses = naive.descend(start, loss, config)
    naive.agree(naive.trained(backbone, config, x, labels, groups=dump_groups(GROUPS)), values, losses, start)


@pytest.mark.parametrize("name", ["recommended", "official"])
def test_lasp_is_mocoop_with_one_expert(backbone, name):
    """Without the full stop, which LASP keeps as written and an expert learns, the two are one."""
    x, labels = naive.examples(4)
    more = {"drop_full_stop": True, "tune_layer_norm": False}
    one = {"schema_version": 1, "domain": "things", "groups": [{"id": "all", "templates": TEMPLATES}]}
    lasp = naive.trained(backbone, preset(name, "lasp", **naive.quick(**more)), x, labels, groups=dump_groups(GROUPS))
    mixture = naive.trained(
        backbone, preset(name, "mocoop", **naive.quick(**more, top_k=1)), x, labels, groups=dump_groups(one)
    )
    torch.testing.assert_close(lasp.learned.tensors["ctx"], mixture.learned.tensors["ctx"], rtol=0, atol=1e-6)
    assert [a.loss for a in lasp.history] == pytest.approx([b.loss for b in mixture.history], rel=1e-5)
