"""MoCoOp: each preset, each switch alone and the routing controls, two whole steps against `naive`."""

from __future__ import annotations

import copy

import naive
import pytest
import torch
import torch.nn.functional as F
from towers import write_clip_folder
from worlds import CLASSNAMES, GROUPS

from mocoop.backbone.backbone import load_backbone
from mocoop.config import preset
from mocoop.groupfile.groups import dump_groups
from mocoop.methods import method_named

CLASSES = 4
DOCUMENT = dump_groups(GROUPS)
TEXTS = [group["templates"] for group in GROUPS["groups"]]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return f"local-dir:{write_clip_folder(tmp_path_factory.mktemp('tiny') / 'clip')}"


@pytest.fixture(scope="module")
def backbone(folder):
    return load_backbone(folder, device="cpu", precision="float32")


def start_of(backbone, config, hard, seed=1):
    """Tensors of the first step: the words of each init, the router as the settings say."""
    inits = [texts[0].removesuffix(".") if config.drop_full_stop else texts[0] for texts in TEXTS]
    ctx = torch.cat([naive.words(backbone, init.replace("{}", "")) for init in inits])
    weight, bias = torch.zeros(3, naive.DIM), torch.zeros(3)
    if config.router_form == "correction" and config.routing in ("learned", "reference"):
        pass  # what is learned starts from nothing
    elif config.routing == "random" or (config.routing == "learned" and config.router_init == "random"):
        generator = torch.Generator().manual_seed(seed)
        for tensor in (weight, bias):
            tensor.uniform_(-(naive.DIM**-0.5), naive.DIM**-0.5, generator=generator)
    elif config.routing in ("learned", "reference"):
        weight = torch.stack([naive.unit(features[:, :CLASSES].flatten(0, 1).mean(0)) for features in hard])
    start = {"ctx": ctx, "router.linear.weight": weight, "router.linear.bias": bias}
    return start | ({"text_offset": torch.zeros(naive.DIM)} if config.text_offset else {})


def mixture_loss(backbone, config, hard, names, x, labels, plain=None):
    """Eq. 10 an image, an expert and a class at a time. `x` may be a function, as where the image tower learns.

    `plain` are the training images' features where x is one.
    """
    scale = backbone.logit_scale
    tau_class, tau_text = (tau or 1 / scale for tau in (config.tau_class, config.tau_text))
    tau_gate = config.tau_gate or config.gate_softness / scale
    corrected = config.router_form == "correction" and config.routing in ("learned", "reference")
    training = [naive.unit(image) for image in (x if plain is None else plain)]
    centre = sum(training) / len(training) if corrected else torch.zeros(naive.DIM)
    spread = sum((image - centre).norm() for image in training) / len(training)
    inits = [texts[0].removesuffix(".") if config.drop_full_stop else texts[0] for texts in TEXTS]
    sizes = [naive.size(init.replace("{}", "")) for init in inits]

    def loss(tensors):
        images = x(tensors) if callable(x) else x
        contexts = tensors["ctx"].split(sizes)
        offset = tensors.get("text_offset", 0)
        h = [naive.prompt_features(backbone, *one, names, offset) for one in zip(contexts, inits, strict=True)]
        weight, bias = tensors["router.linear.weight"], tensors["router.linear.bias"]
        logits, router = [], 0
        for image, label in zip(images, labels.tolist(), strict=True):
            cosines = []
            for features in hard:  # Eq. 5-6
                seen = features[:, :CLASSES]
                seen = seen[:, [label]] if config.gate_prototypes == "true-class" else seen
                cosines.append((image - centre) @ naive.unit(seen.flatten(0, 1).mean(0)) / tau_gate)
            cosines = torch.stack(cosines)
            if corrected:
                r = cosines + weight @ (image - centre) / spread + bias
            else:
                own = 1 / tau_gate if config.routing == "reference" else scale if config.router_scale else 1
                r = own * (weight @ image + bias)  # Eq. 1
            chosen = range(3)
            if config.routing != "uniform" and config.top_k != "all":
                chosen = r.argsort(descending=True)[: config.top_k].tolist()
            shares = {e: r[e].exp() / sum(r[k].exp() for k in chosen) for e in chosen}
            row = []
            for c in range(CLASSES):
                mix = sum(share * h[e][c] for e, share in shares.items())  # Eq. 2
                row.append(image @ (naive.unit(mix) if config.renormalise_mix else mix) / tau_class)  # Eq. 3
            logits.append(torch.stack(row))
            if config.gate_target == "two-hot":
                cosines = cosines + 10 * F.one_hot(cosines.topk(2).indices, 3).sum(0)
            p, q = r.softmax(0), cosines.softmax(0)  # Eq. 7
            distance = {
                "kl": sum(p[e] * (p[e].log() - q[e].log()) for e in range(3)),
                "kl-reversed": sum(q[e] * (q[e].log() - p[e].log()) for e in range(3)),
                "mse": sum((p[e] - q[e]) ** 2 for e in range(3)) / 3,
            }
            router = router + distance[config.router_loss] / len(images)
        text = 0
        for g, features in enumerate(hard):  # Eq. 8-9
            for y in range(len(names)):
                if config.text_target == "mean-template":
                    mean = torch.stack([naive.unit(features[:, c].mean(0)) for c in range(len(names))])
                    p = (mean @ h[g][y] / tau_text).softmax(0)[y]
                else:
                    p = sum((one @ h[g][y] / tau_text).softmax(0)[y] for one in features) / len(features)
                text = text - p.log() / (len(hard) * len(names))
        total = naive.cross_entropy(torch.stack(logits), labels)
        routed = config.lambda_router * router if config.routing == "learned" else 0
        return total + routed + config.lambda_text * text

    return loss


def frozen(gradients, kept):
    """The same gradients without those of tensors that do not learn."""

    def without(tensors):
        loss, found = gradients(tensors)
        return loss, {name: gradient for name, gradient in found.items() if name not in kept}

    return without


def compare(backbone, config, *, seed=1):
    config = method_named("mocoop").settle(config)
    names = [*CLASSNAMES[:CLASSES], *config.extra_class_names]
    hard = [torch.stack([naive.template_features(backbone, text, names) for text in texts]) for texts in TEXTS]
    x, labels = naive.examples(CLASSES)
    start = start_of(backbone, config, hard, seed)
    kept = () if config.routing == "learned" else ("router.linear.weight", "router.linear.bias")
    loss = mixture_loss(backbone, config, hard, names, x, labels)

    def gradients(tensors):
        value = loss(tensors)
        found = torch.autograd.grad(value, list(tensors.values()), allow_unused=True)
        return value, {
            n: g if g is not None else torch.zeros_like(tensors[n]) for n, g in zip(tensors, found, strict=True)
        }

    values, losses = naive.descend(start, frozen(gradients, kept), config)
    fitted = naive.trained(backbone, config, x, labels, groups=DOCUMENT, seed=seed)
    naive.agree(fitted, values, losses)
    for name in kept:
        torch.testing.assert_close(fitted.learned.tensors[name], start[name], rtol=0, atol=1e-6)
    return fitted


WITHOUT_IMAGE_TOWER = {"tune_layer_norm": False}


@pytest.mark.parametrize("name", ["recommended", "paper", "official"])
def test_a_preset(backbone, name):
    more = {"extra_class_names": CLASSNAMES[CLASSES:]} if name == "official" else {}
    compare(backbone, preset(name, **naive.quick(**WITHOUT_IMAGE_TOWER, **more)))


LINEAR = {"router_form": "linear", "top_k": 2}
# What `official` changes, each alone on `recommended` or on its router in the paper's form; and the paper's ablations.
SWITCHES = [
    LINEAR,
    {"tau_class": 0.07},
    {"tau_text": 1.0},
    {"tau_gate": 1.0},
    {"gate_softness": 1.0},
    {"router_lr": None},
    {"router_init": "random", **LINEAR},
    {"router_scale": False, **LINEAR},
    {"gate_prototypes": "true-class", **LINEAR},
    {"gate_target": "two-hot", **LINEAR},
    {"router_loss": "kl-reversed"},
    {"router_loss": "mse"},  # Table 5
    {"renormalise_mix": False},
    {"text_target": "mean-template"},
    {"text_classes": "all", "extra_class_names": CLASSNAMES[CLASSES:]},
    {"text_offset": True},
    {"drop_full_stop": True},
    {"clip_norm": 1.0},
    {"lambda_router": 0.0},
    {"lambda_text": 0.0},
    {"top_k": 1},
    {"top_k": 2},
    {"top_k": 3},
]


@pytest.mark.parametrize("switch", SWITCHES, ids=lambda switch: "-".join(map(str, next(iter(switch.items())))))
def test_a_switch_alone(backbone, switch):
    compare(backbone, preset("recommended", **naive.quick(**switch)))


@pytest.mark.parametrize("form", ["linear", "correction"])
def test_the_reference_gate_as_a_router_that_does_not_learn(backbone, form):
    fitted = compare(backbone, preset("recommended", **naive.quick(routing="reference", router_form=form)))
    assert not any("router" in note for note in fitted.notes)


def test_equal_weights_for_all_experts(backbone):
    fitted = compare(backbone, preset("recommended", **naive.quick(routing="uniform")))
    prediction = fitted.learned.classifier(fitted.learned.classnames, fitted.class_features).predict(
        naive.examples(4)[0]
    )
    torch.testing.assert_close(prediction.gate, torch.full((12, 3), 1 / 3))


@pytest.mark.parametrize("seed", [1, 5])
def test_a_random_router_stays_as_it_was_drawn(backbone, seed):
    fitted = compare(backbone, preset("recommended", **naive.quick(routing="random")), seed=seed)
    assert not any("router" in note for note in fitted.notes)


@pytest.mark.parametrize("whole", [False, True], ids=["alone", "with-all-of-official"])
def test_layer_norms_learn_at_their_own_rate_with_the_image_tower_in_the_loop(folder, whole):
    """Against a copy of the whole model, whose LayerNorms are found by name and moved by hand.

    Here at 20 times the rate, since a tenth (the default) moves so small a tower by less than rounding.
    """
    assert preset("official").layer_norm_lr == 0.1
    changes = naive.quick(views="online", tune_layer_norm=True, layer_norm_lr=20.0)
    changes |= {"extra_class_names": CLASSNAMES[CLASSES:]} if whole else {}
    config = preset("official" if whole else "recommended", **changes)
    backbone = load_backbone(folder, device="cpu", precision="float32")
    own = copy.deepcopy(backbone.model)
    pixels = torch.randn(12, 3, 32, 32, generator=torch.Generator().manual_seed(2))
    labels = torch.arange(12) % CLASSES
    names = [*CLASSNAMES[:CLASSES], *config.extra_class_names]
    hard = [torch.stack([naive.template_features(backbone, text, names) for text in texts]) for texts in TEXTS]

    norms = {
        f"image.transformer.resblocks.{block}.{norm}.{part}": getattr(
            getattr(own.visual.transformer.resblocks[block], norm), part
        )
        for block in range(2)
        for norm in ("ln_1", "ln_2")
        for part in ("weight", "bias")
    }

    def images(tensors):
        changed = {name.removeprefix("image."): tensors[name] for name in norms}
        features = torch.func.functional_call(own.visual, changed, (pixels,))
        return torch.stack([naive.unit(feature) for feature in features])

    start = {**start_of(backbone, config, hard), **{name: norm.detach().clone() for name, norm in norms.items()}}
    plain = images(norms).detach()
    loss = mixture_loss(backbone, config, hard, names, images, labels, plain)
    values, losses = naive.descend(start, naive.of_loss(loss), config, slow=norms)

    def batch(_epoch, index):
        return F.normalize(backbone.image_features(pixels[index]), dim=-1)

    fitted = naive.trained(backbone, config, None, labels, groups=DOCUMENT, batch=batch, plain=plain)
    naive.agree(fitted, values, losses)
    assert set(fitted.learned.layer_norms) == {name.removeprefix("image.") for name in norms}
    assert any((values[name] - start[name]).abs().max() > 1e-3 for name in norms)
    tuned = {f"image.{name}": value for name, value in backbone.block_layer_norms().items()}
    torch.testing.assert_close({name: tuned[name].detach() for name in norms}, {n: values[n] for n in norms})


@pytest.mark.parametrize("share", [0.0, 0.4, 1.0])
def test_classes_without_images_are_partly_what_the_templates_say(backbone, share):
    """A share of the direction is the mean of the expert's templates; classes trained on are not touched by it."""
    config = preset("recommended", **naive.quick(template_share=share))
    learned = naive.trained(backbone, config, *naive.examples(CLASSES), groups=DOCUMENT).learned
    names = [CLASSNAMES[CLASSES], *CLASSNAMES[1:3], *CLASSNAMES[CLASSES + 1 :]]
    found = method_named("mocoop").class_features(learned, names, backbone)
    plain = learned.class_features(names, backbone)
    for g, texts in enumerate(TEXTS):
        for c, name in enumerate(names):
            templates = [naive.template_features(backbone, text, [name])[0] for text in texts]
            mean = naive.unit(sum(templates) / len(templates))
            own = naive.unit(plain[g, c])
            expected = own if name in CLASSNAMES[:CLASSES] else naive.unit((1 - share) * own + share * mean)
            torch.testing.assert_close(found[g, c], expected, rtol=0, atol=2e-6)


def test_only_our_preset_asks_the_templates_about_new_classes():
    shares = {name: preset(name).template_share for name in ("recommended", "paper", "official")}
    assert shares == {"recommended": 0.25, "paper": 0.0, "official": 0.0}
    assert preset("recommended", "blend").template_share == 0.25
