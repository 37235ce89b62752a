"""Loads a run's low-rank factors into its teacher by stock diffusers, as the card beside them shows, and compares the pictures
with those of stock diffusers on the student that they were merged into, from the same noise.

    python lora.py RUN TEACHER [--prompt TEXT] [--count N] [--allow N]

RUN holds lora/ and student/; TEACHER is the pipeline that was distilled. Needs diffusers 0.36 with peft, transformers, torch.
Pictures must be within 2/255 (both truncate to 8 bits), and the teacher without the factors must draw others. The card's
example is run as it stands, but for the teacher's place.
"""
import argparse
import json
import pathlib
import re
import subprocess
import sys
import tempfile

import diffusers
import numpy as np
import torch

parser = argparse.ArgumentParser()
parser.add_argument("run", type=pathlib.Path)
parser.add_argument("teacher", type=pathlib.Path)
parser.add_argument("--prompt", default="a blue four")
parser.add_argument("--count", type=int, default=4)
parser.add_argument("--allow", type=int, default=2)
asked = parser.parse_args()
student, lora = asked.run / "student", asked.run / "lora"
stated = json.loads((lora / "dmdx_student.json").read_text())["diffusers"]
index = json.loads((student / "model_index.json").read_text())
pipeline, scheduler = getattr(diffusers, index["_class_name"]), getattr(diffusers, stated["scheduler"])


def drawn(pipe):
    pipe.set_progress_bar_config(disable=True)
    pictures = []
    for seed in range(asked.count):
        torch.manual_seed(100 + seed)
        generator = torch.Generator().manual_seed(seed)
        made = pipe(asked.prompt, generator=generator, output_type="np", **stated["call"])
        pictures.append((made.images if hasattr(made, "images") else made.frames)[0])
    return np.trunc(np.stack(pictures) * 255).astype(int)


merged = drawn(pipeline.from_pretrained(student))
teacher = pipeline.from_pretrained(asked.teacher)
teacher.scheduler = scheduler.from_pretrained(lora, subfolder="scheduler")
without = drawn(teacher)
teacher.load_lora_weights(lora, weight_name="pytorch_lora_weights.safetensors")
loaded = drawn(teacher)
worst, moved = abs(loaded - merged).max(), abs(without - merged).max()
assert moved > 2 * asked.allow, f"the factors change nothing that can be seen ({moved}/255)"

example = re.search(r"```python\n(.*?)```", (lora / "README.md").read_text(), re.S)[1]
example, count = re.subn(r'from_pretrained\("[^"]*"\)(?=  # its teacher)', f"from_pretrained({str(asked.teacher.resolve())!r})", example)
assert count == 1, example
with tempfile.TemporaryDirectory() as place:
    for name in ["pytorch_lora_weights.safetensors", "scheduler"]:
        (pathlib.Path(place) / name).symlink_to((lora / name).resolve())
    subprocess.run([sys.executable, "-c", example], cwd=place, check=True, stdout=subprocess.DEVNULL)
    assert (pathlib.Path(place) / "diffusers.png").exists()

print(f"{asked.run}: loaded into the teacher at most {worst}/255 from the merged student; the teacher alone is {moved}/255 away")
sys.exit(int(worst > asked.allow))
