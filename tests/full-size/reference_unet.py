#!/usr/bin/env python3
"""What diffusers computes with a full-size SDXL UNet, in float32 on the CPU.

    reference_unet.py FOLDER IO.safetensors [--side 64] [--seed 1]

FOLDER is a checkpoint of make_checkpoint.py. The file that is written is what `dmdx-train check FOLDER IO.safetensors`
reads: inputs, the output and the results of the blocks. Needs torch and diffusers, and 16 GB of memory.
"""
import argparse
import json
import resource
import time
from pathlib import Path

import torch
from diffusers import UNet2DConditionModel
from safetensors.torch import save_file

BLOCKS = ["conv_in", "time_embedding", "add_embedding", "down_blocks.1.attentions.0", "mid_block", "up_blocks.0", "up_blocks.2"]


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("io", type=Path)
    parser.add_argument("--side", type=int, default=64)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    unet = UNet2DConditionModel.from_pretrained(options.folder, torch_dtype=torch.float32).eval()
    draw = torch.Generator().manual_seed(options.seed)
    inputs = {
        "sample": torch.randn(1, unet.config.in_channels, options.side, options.side, generator=draw),
        "timestep": torch.tensor([601.0]),
        "encoder_hidden_states": torch.randn(1, 77, unet.config.cross_attention_dim, generator=draw),
        "text_embeds": torch.randn(1, 1280, generator=draw),
        "time_ids": torch.tensor([[512.0, 512.0, 0.0, 0.0, 512.0, 512.0]]),
    }
    results = {f"in.{name}": value for name, value in inputs.items()}

    def keep(name):
        def hook(_module, _inputs, output):
            first = output[0] if isinstance(output, tuple) else output
            results[f"act.{name}"] = first.detach().clone().contiguous()

        return hook

    for name in BLOCKS:
        unet.get_submodule(name).register_forward_hook(keep(name))
    added = {name: inputs[name] for name in ("text_embeds", "time_ids")}
    began = time.time()
    with torch.no_grad():
        output = unet(inputs["sample"], inputs["timestep"], inputs["encoder_hidden_states"], added_cond_kwargs=added).sample
    seconds = time.time() - began
    results["out.sample"] = output.contiguous()
    arguments = ["sample", "timestep", "encoder_hidden_states", "text_embeds", "time_ids"]
    save_file(results, options.io, {"args": json.dumps(arguments), "outs": '["sample"]', "name": "unet_sdxl_base", "tag": ""})
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6
    for name, value in results.items():
        print(f"{name}: {list(value.shape)}, largest {value.abs().max():.4g}")
    print(f"forward {seconds:.1f} s with {torch.get_num_threads()} threads, peak {peak:.1f} GB")


if __name__ == "__main__":
    main()
