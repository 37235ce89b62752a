import json, os
import numpy as np, onnxruntime
from PIL import Image
from transformers import AutoTokenizer

folder, prompt = ".", @PROMPT@  # this folder
sessions = {}

def run(name, **inputs):
    if name not in sessions:
        sessions[name] = onnxruntime.InferenceSession(f"{folder}/{name}/model.onnx", providers=["CPUExecutionProvider"])
    outputs = [output.name for output in sessions[name].get_outputs()]
    return dict(zip(outputs, sessions[name].run(None, inputs)))

def ids(tokenizer, text, **more):
    tokens = AutoTokenizer.from_pretrained(f"{folder}/{tokenizer}")
    return tokens([text], padding="max_length", truncation=True, return_tensors="np", **more).input_ids.astype(np.int64)

def last_but_one(results):
    hidden = [int(name.split(".")[1]) for name in results if name.startswith("hidden_states.")]
    return results[f"hidden_states.{max(hidden) - 1}"]

@ENCODE@
def ask(x, time, conditions):
    return run("@NETWORK@", **{"@SAMPLE@": x, "@TIME@": np.full(1, time, np.float32)}, **conditions)["@OUTPUT@"]

@CONDITIONS@
noise = np.random.default_rng(0)
x = noise.standard_normal((1, @SHAPE@)).astype(np.float32)
@WALK@
latents = @LATENTS@
picture = run("vae_decoder", latent_sample=latents)["sample"][0]
pixels = np.clip((picture + 1) * 127.5, 0, 255).astype(np.uint8)
Image.fromarray(pixels.transpose(1, 2, 0)).save("onnxruntime.png")
