"""miniclip: the small backbone inside the package, and the drawn land-cover tiles it was trained on.

It is a stand-in, so that the whole pipeline runs in minutes, on any machine, without a download. It was trained on
drawings and the wording of our own template bank: it proves nothing about CLIP, and any result must be measured
again on a real backbone.

`materials`, `layouts`, `styles` and `scenes` draw; `captions` describes the drawings; `pretrain` is the script that
trained `miniclip.safetensors`; `weights` reads that file. `mocoop.backbone.backbone` loads it as a backbone.
"""
