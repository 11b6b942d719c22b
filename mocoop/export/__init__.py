"""A trained run as one file that needs no torch, and the engine that runs it.

`graph` is what is exported, from pixels to probabilities; `onnx` and `torchexport` write it; `check` compares what was
written with the run on real images; `writing` is what `mocoop export` does. `record` is what a file says of itself,
`onnxfile` reads a stranger's file, and `engine` answers with it on onnxruntime, NumPy and Pillow alone: these three
import no torch.
"""
