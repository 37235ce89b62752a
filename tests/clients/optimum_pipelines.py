"""What optimum-onnx makes of a bundle beside what diffusers makes of the checkpoint it was exported from. See README.md.

    python optimum_pipelines.py CHECKPOINT BUNDLE

Text to picture and picture to picture: eight pictures at once, with and without guidance, from the same noise; a
checkpoint of the SDXL, Stable Diffusion or SD3 kind. The largest difference of pictures (-1 to 1) is at most 1e-3.
"""

import importlib
import json
import sys

import numpy as np
import torch

TOLERANCE = 1e-3
SIZE = {"height": 32, "width": 32}


def load(module, name, folder, **options):
    pipeline = getattr(importlib.import_module(module), name).from_pretrained(folder, **options)
    pipeline.set_progress_bar_config(disable=True)
    return pipeline


def main(checkpoint, bundle):
    name = json.load(open(f"{bundle}/model_index.json"))["_class_name"]
    image = name.replace("Pipeline", "Img2ImgPipeline")
    prompts = ["a red seven", "a blue four"] * 4
    start = torch.from_numpy(np.random.default_rng(0).uniform(0, 1, (8, 3, 32, 32)).astype(np.float32))
    failures = 0
    for kind, extra in [(name, dict(SIZE)), (image, {"image": start, "strength": 0.6})]:
        reference = load("diffusers", kind, checkpoint)
        # There is one class of ORT pipelines for each of diffusers'.
        ours = load("optimum.onnxruntime", "ORT" + kind, bundle, provider="CPUExecutionProvider")
        for guidance in (1.0, 4.0):
            pictures = []
            for pipeline in (reference, ours):
                options = {"num_inference_steps": 5, "guidance_scale": guidance, "output_type": "np"}
                generator = torch.Generator().manual_seed(0)
                made = pipeline(prompts, generator=generator, **options, **extra).images
                pictures.append(2 * np.asarray(made, np.float64) - 1)
            error = float(np.abs(pictures[0] - pictures[1]).max())
            failures += not error <= TOLERANCE
            print(f"{kind}, {len(prompts)} pictures, guidance {guidance}: differs by at most {error:.1e}")
    assert failures == 0, f"{failures} differ by more than {TOLERANCE}"


if __name__ == "__main__":
    main(*sys.argv[1:])
