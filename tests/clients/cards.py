"""Runs the Python examples of a run's model cards, as they stand, with the real clients.

    python cards.py RUN DMDX_RUN

RUN holds student/ and bundle/. Each block runs in its own process in the card's folder. Needs diffusers, transformers, torch,
onnxruntime and pillow; the optimum block also optimum-onnx (`--without optimum` leaves it out and says so). The picture of
the onnxruntime block, which draws its noise by numpy, is compared with that of diffusers or optimum only in size; that the
numbers are right is checked by running the block again with the noise of `dmdx-run` in numpy's place.
"""
import argparse
import json
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile

import numpy as np
from PIL import Image

HERE = pathlib.Path(__file__).resolve().parent
parser = argparse.ArgumentParser()
parser.add_argument("run", type=pathlib.Path)
parser.add_argument("dmdx_run")
parser.add_argument("--without", action="append", default=[], choices=["diffusers", "optimum"])
asked = parser.parse_args()

# The block's generator gives the noise of `dmdx-run generate --seed 1`, the start first, then what is drawn between steps.
OWN_NOISE = f"""
import sys; sys.path.insert(0, {str(HERE)!r})
import noise as own_noise
class Drawn:
    def __init__(self): self.step = -1
    def standard_normal(self, shape):
        size = int(np.prod(shape))
        values = own_noise.standard_normal(1, 0, size) if self.step < 0 else own_noise.between_steps(1, 0, self.step, size)
        self.step += 1
        return values.reshape(shape)
np.random.default_rng = lambda _: Drawn()
"""


def blocks(folder):
    return re.findall(r"```python\n(.*?)```", (folder / "README.md").read_text(), re.S)


def run(code, folder):
    done = subprocess.run([sys.executable, "-c", code], cwd=folder, capture_output=True, text=True)
    if done.returncode:
        sys.exit(f"{folder}: the block fails:\n{code}\n{done.stderr[-2000:]}")


ran = []
with tempfile.TemporaryDirectory() as place:
    copies = {name: pathlib.Path(place) / name for name in ("student", "bundle")}
    for name, copy in copies.items():
        shutil.copytree(asked.run / name, copy)
        for code in blocks(copy):
            kind = re.search(r'save\("(\w+)\.png"\)', code)[1]
            if kind in asked.without:
                print(f"{name}: {kind} left out")
                continue
            run(code, copy)
            size = Image.open(copy / f"{kind}.png").size
            ran.append(f"{name}/{kind} {size[0]}x{size[1]}")
            if kind == "onnxruntime":
                head, rest = code.split("folder, prompt", 1)
                run(f"{head}{OWN_NOISE}folder, prompt{rest}", copy)
                prompt = json.loads(re.search(r'prompt = "\.", (".*?")  #', code)[1])
                png = pathlib.Path(place) / "own.png"
                command = [asked.dmdx_run, "generate", str(copy), "--prompt", prompt, "--seed", "1", "-o", str(png)]
                subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
                pair = [np.asarray(Image.open(path)).astype(int) for path in (copy / "onnxruntime.png", png)]
                worst = abs(pair[0] - pair[1]).max()
                ran.append(f"{worst}/255 from dmdx-run")
                if worst > 1:
                    sys.exit(f"{asked.run}: the onnxruntime block draws {worst}/255 away from dmdx-run")
print(f"{asked.run}: {', '.join(ran)}")
