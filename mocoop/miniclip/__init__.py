"""miniclip: the small backbone inside the package, and the drawn land-cover tiles it was trained on.

It is a stand-in, so that the whole pipeline runs in minutes, on any machine, without a download. It has seen
drawings and the wording of our own template bank: it proves nothing about CLIP, and what holds here must be
measured again on a real backbone.

`materials`, `layouts`, `styles` and `scenes` draw; `captions` words what is drawn; `pretrain` is the script
that trained `miniclip.safetensors`; `weights` reads that file. Loading it as a backbone is not here: see
`mocoop.backbone.backbone`.
"""
