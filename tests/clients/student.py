"""Draws with the student of a run by stock diffusers, by the very call that its dmdx_student.json states, and compares the
pictures with those of `dmdx-run generate` on the bundle, from the same noise.

    python student.py RUN DMDX_RUN [--prompt TEXT] [--count N] [--allow N]

RUN holds student/ and bundle/; DMDX_RUN is the binary. Needs diffusers 0.36, transformers, torch, pillow. A student of one
step must be within 1/255 (both truncate to 8 bits); `--allow` is the limit. A student without a scheduler must refuse to
draw.
"""
import argparse
import json
import pathlib
import subprocess
import sys
import tempfile

import diffusers
import numpy as np
import torch
from PIL import Image

import noise

parser = argparse.ArgumentParser()
parser.add_argument("run", type=pathlib.Path)
parser.add_argument("dmdx_run")
parser.add_argument("--prompt", default="a blue four")
parser.add_argument("--count", type=int, default=4)
parser.add_argument("--seed", type=int, default=1)
parser.add_argument("--allow", type=int, default=1)
asked = parser.parse_args()
student, bundle = asked.run / "student", asked.run / "bundle"
info = json.loads((student / "dmdx_student.json").read_text())
manifest = json.loads((bundle / "dmdx.json").read_text())
shape = manifest["latent_shape"]
size = int(np.prod(shape))
is_video = len(shape) == 4

for folder in (student, bundle):
    index = json.loads((folder / "model_index.json").read_text())
    drawer = info["diffusers"].get("scheduler")
    assert index["scheduler"][1] == drawer, (folder, index["scheduler"], drawer)
pipeline = getattr(diffusers, manifest["pipeline"])
if drawer is None:
    try:
        pipeline.from_pretrained(student)(asked.prompt, num_inference_steps=1, guidance_scale=1)
    except Exception as error:
        print(f"{asked.run}: refused as stated ({info['diffusers']['no_scheduler']}): {type(error).__name__}: {error}")
        sys.exit(0)
    sys.exit(f"{asked.run}: drew without a scheduler")
pipe = pipeline.from_pretrained(student)
pipe.set_progress_bar_config(disable=True)

with tempfile.TemporaryDirectory() as place:
    png = pathlib.Path(place) / "own.png"
    command = [asked.dmdx_run, "generate", str(bundle), "--prompt", asked.prompt, "--count", str(asked.count)]
    # Pictures side by side in one row; of videos the frames, one video below the other.
    columns = [] if is_video else ["--columns", str(asked.count)]
    subprocess.run([*command, "--seed", str(asked.seed), *columns, "-o", str(png)], check=True)
    own = np.asarray(Image.open(png)).astype(int)

start = noise.latents(asked.seed, asked.count, shape)
worst = []
for picture in range(asked.count):
    # What a scheduler draws between its steps becomes our own fresh noise.
    drawn = iter(range(100))
    fresh = lambda *_, **__: torch.from_numpy(noise.between_steps(asked.seed, picture, next(drawn), size)).reshape(1, *shape)
    diffusers.schedulers.scheduling_lcm.randn_tensor = fresh
    original, torch.randn_like = torch.randn_like, fresh
    try:
        made = pipe(asked.prompt, latents=torch.from_numpy(start[picture])[None], output_type="np", **info["diffusers"]["call"])
    finally:
        torch.randn_like = original
    if is_video:
        theirs = np.trunc(np.concatenate(list(made.frames[0]), axis=1) * 255).astype(int)
        height = theirs.shape[0]
        worst.append(abs(theirs - own[picture * height : (picture + 1) * height]))
        continue
    theirs = np.trunc(made.images[0] * 255).astype(int)
    width = theirs.shape[1]
    worst.append(abs(theirs - own[:, picture * width : (picture + 1) * width]))
worst = np.stack(worst)
print(
    f"{asked.run}: {drawer}, {info['diffusers']['call']}: at most {worst.max()}/255, mean {worst.mean():.4f}/255,"
    f" {(worst > 0).mean():.2%} of bytes differ; {info['diffusers'].get('note', 'the same steps')}"
)
sys.exit(int(worst.max() > asked.allow))
