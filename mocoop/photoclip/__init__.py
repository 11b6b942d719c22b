"""photoclip: the small backbone inside the package for photographs.

Its image tower is EfficientNet-Lite0, trained by others on ImageNet's photographs and frozen here, with a projection;
its text tower is a small causal transformer with CLIP's tokens, distilled from the sentence model MiniLM. It is a small
model of ours and not CLIP: docs/photoclip.md says what it has seen, and how well it knows that.

`words`, `looks`, `pictures` and `gallery` are what it is trained on; `scene`, `layouts`, `landnames` and `models` are
land from above; `teachers` are the two models it learns from. `texttower` and `imagehead` are the two trainings,
`pretrain` the script that runs them; `weights` reads the file that came of it, `scorecard` says how well it does.
`mocoop.backbone.backbone` loads it as a backbone.
"""
