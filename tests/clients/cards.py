"""Runs the Python examples of a run's model cards, as they stand, with the real clients.

    python cards.py RUN DMDX_RUN [--without optimum] [--web NODE_MODULES]

RUN holds student/ and bundle/. Each block runs in its own process in the card's folder. Needs diffusers, transformers, torch,
onnxruntime and pillow; the optimum block also optimum-onnx (`--without optimum` leaves it out and says so), the browser block
node and the folder of node modules that has onnxruntime-web (left out without `--web`). The blocks that draw noise of their
own are run again with that of `dmdx-run` in its place, and must then be within 1/255 of its picture.
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

import noise as own_noise

HERE = pathlib.Path(__file__).resolve().parent
parser = argparse.ArgumentParser()
parser.add_argument("run", type=pathlib.Path)
parser.add_argument("dmdx_run")
parser.add_argument("--without", action="append", default=[], choices=["diffusers", "optimum"])
parser.add_argument("--web", type=pathlib.Path, help="node_modules with onnxruntime-web")
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


def blocks(folder, language):
    return re.findall(rf"```{language}\n(.*?)```", (folder / "README.md").read_text(), re.S)


def own_picture(bundle, prompt):
    png = bundle / "own.png"
    command = [asked.dmdx_run, "generate", str(bundle), "--prompt", prompt, "--seed", "1", "-o", str(png), "--force"]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    return np.asarray(Image.open(png)).astype(int)


def near(kind, drawn, own):
    worst = abs(drawn - own).max()
    if worst > 1:
        sys.exit(f"{asked.run}: the {kind} block draws {worst}/255 away from dmdx-run")
    return f"{worst}/255 from dmdx-run"


def in_browser(code, bundle):
    """The pixels of the module, run by node on WebAssembly, from the noise of picture 0 of seed 1."""
    manifest = json.loads((bundle / "dmdx.json").read_text())
    size = int(np.prod(manifest["latent_shape"]))
    values = own_noise.standard_normal(1, 0, size).tolist()
    for step in range(len(manifest["steps"])):
        values += own_noise.between_steps(1, 0, step, size).tolist()
    (bundle / "node_modules").symlink_to(asked.web.resolve())
    line = re.search(r"^const normal = .*$", code, re.M)[0]
    own = f"const own = {json.dumps(values)}; let at = 0; const normal = () => own[at++];"
    tail = 'import fs from "fs";\nfs.writeFileSync("pixels.json", JSON.stringify([width, Array.from(pixels)]));\n'
    for name, text in (("as-is.mjs", code), ("own.mjs", code.replace(line, own) + tail)):
        (bundle / name).write_text(text)
        done = subprocess.run(["node", name], cwd=bundle, capture_output=True, text=True)
        if done.returncode:
            sys.exit(f"{bundle}: the block fails:\n{code}\n{done.stderr[-2000:]}")
    width, pixels = json.loads((bundle / "pixels.json").read_text())
    return np.array(pixels).reshape(-1, width, 4)[:, :, :3]


def run(code, folder):
    done = subprocess.run([sys.executable, "-c", code], cwd=folder, capture_output=True, text=True)
    if done.returncode:
        sys.exit(f"{folder}: the block fails:\n{code}\n{done.stderr[-2000:]}")


ran = []
with tempfile.TemporaryDirectory() as place:
    for name in ("student", "bundle"):
        copy = pathlib.Path(place) / name
        shutil.copytree(asked.run / name, copy)
        prompt = None
        for code in blocks(copy, "python"):
            kind = re.search(r'save\("(\w+)\.png"', code)[1]
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
                drawn = np.asarray(Image.open(copy / "onnxruntime.png")).astype(int)
                ran.append(near(kind, drawn, own_picture(copy, prompt)))
        for code in blocks(copy, "js"):
            if asked.web is None:
                print(f"{name}: onnxruntime-web left out")
                continue
            ran.append(f"{name}/onnxruntime-web")
            ran.append(near("onnxruntime-web", in_browser(code, copy), own_picture(copy, prompt)))
print(f"{asked.run}: {', '.join(ran)}")
