"""Real pictures with captions for the roads that learn from some: scikit-learn's handwritten digits, enlarged to 28×28,
padded to 32×32 and tinted, one of every digit in one of six colours, as the digits teachers were trained on.

    python3 digits.py FOLDER

Needs scikit-learn and pillow.
"""
import json
import pathlib
import sys

import numpy as np
from PIL import Image
from sklearn.datasets import load_digits

COLOURS = {"red": (1.0, 0.15, 0.1), "green": (0.1, 0.9, 0.2), "blue": (0.15, 0.3, 1.0), "yellow": (1.0, 0.9, 0.1),
           "cyan": (0.1, 0.9, 0.95), "magenta": (0.95, 0.15, 0.9)}
DIGITS = ["zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine"]

folder = pathlib.Path(sys.argv[1])
folder.mkdir(parents=True)
raw, lines = load_digits(), []
for index, (image, digit) in enumerate(zip(raw.images, raw.target)):
    grey = Image.fromarray((image / 16).astype(np.float32)).resize((28, 28), Image.Resampling.BICUBIC)
    grey = np.pad(np.clip(np.asarray(grey), 0, 1), 2)
    colour = list(COLOURS)[index % len(COLOURS)]
    picture = np.round(grey[..., None] * np.array(COLOURS[colour]) * 255).astype(np.uint8)
    Image.fromarray(picture).save(folder / f"{index:05}.png")
    lines.append(json.dumps({"file_name": f"{index:05}.png", "text": f"a {colour} {DIGITS[digit]}"}))
(folder / "metadata.jsonl").write_text("\n".join(lines) + "\n")
