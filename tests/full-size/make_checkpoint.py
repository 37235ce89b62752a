#!/usr/bin/env python3
"""Writes a full-size checkpoint with random weights, a few megabytes of memory at a time.

    make_checkpoint.py LIST.json FOLDER [--seed N] [--shard-gigabytes G]

LIST.json is one of fixtures/full: a configuration with the name and shape of every tensor. FOLDER gets config.json and
safetensors files in float16, in the layout of diffusers (one file, or shards with an index). Every matrix is scaled by
the root of its inputs, norms stand near 1, so that a forward pass stays finite. Needs numpy.
"""
import argparse
import json
import math
import struct
from pathlib import Path

import numpy as np

BLOCK = 1 << 24


def scale_and_offset(name, shape):
    if len(shape) >= 2:
        return 1 / math.sqrt(math.prod(shape[1:])), 0.0
    return (0.02, 1.0) if name.endswith("weight") else (0.02, 0.0)


def write_tensor(file, name, shape, noise, start):
    scale, offset = scale_and_offset(name, shape)
    left = math.prod(shape)
    while left:
        part = noise[start : start + min(left, len(noise) - start)]
        file.write((part * np.float32(scale) + np.float32(offset)).astype(np.float16).tobytes())
        left -= len(part)
        start = 0 if start + len(part) == len(noise) else start + len(part)
    return start


def flat(tensors):
    """Names and shapes of a list that is split at the dots of its names."""
    for name, below in tensors.items():
        if isinstance(below, list):
            yield name, below
        else:
            yield from ((f"{name}.{rest}", shape) for rest, shape in flat(below))


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("list", type=Path)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--shard-gigabytes", type=float, default=10.0)
    options = parser.parse_args()
    described = json.loads(options.list.read_text())
    shapes = dict(flat(described["tensors"]))
    options.folder.mkdir(parents=True)
    (options.folder / "config.json").write_text(json.dumps(described["config"], indent=2) + "\n")

    shards, room = [[]], options.shard_gigabytes * 1e9
    for name, shape in shapes.items():
        size = 2 * math.prod(shape)
        if size > room and shards[-1]:
            shards.append([])
            room = options.shard_gigabytes * 1e9
        shards[-1].append((name, shape))
        room -= size
    # A prime length, so that the repeated block meets every tensor at another place.
    noise = np.random.default_rng(options.seed).standard_normal(BLOCK - 3, dtype=np.float32)
    start, where, total = 0, {}, 0
    stem = "diffusion_pytorch_model"
    for number, shard in enumerate(shards, 1):
        file_name = f"{stem}.safetensors" if len(shards) == 1 else f"{stem}-{number:05}-of-{len(shards):05}.safetensors"
        header, offset = {}, 0
        for name, shape in shard:
            end = offset + 2 * math.prod(shape)
            header[name] = {"dtype": "F16", "shape": shape, "data_offsets": [offset, end]}
            where[name], offset = file_name, end
        total += offset
        text = json.dumps(header).encode()
        text += b" " * (-len(text) % 8)
        with open(options.folder / file_name, "wb") as file:
            file.write(struct.pack("<Q", len(text)) + text)
            for name, shape in shard:
                start = write_tensor(file, name, shape, noise, start)
    if len(shards) > 1:
        index = {"metadata": {"total_size": total}, "weight_map": where}
        (options.folder / f"{stem}.safetensors.index.json").write_text(json.dumps(index, indent=2) + "\n")
    print(f"{len(shapes)} tensors, {total / 1e9:.2f} GB in {len(shards)} file(s)")


if __name__ == "__main__":
    main()
