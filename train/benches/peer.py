"""One ADM iteration of a student of several steps in PyTorch, by diffusers' own networks, on a recipe of ours: what
`cargo bench --bench iteration -- --recipe RECIPE` is held beside.

    python peer.py RECIPE [--threads N] [--iterations N]

Needs torch, diffusers 0.36, transformers. The same definitions, networks, batch, times, heads and optimizer as ours;
pictures of the SD3 kind (flow) and videos of the CogVideoX kind (v). The prints are one line of seconds per iteration.
The calls of the student that are trained go round, 0 to the last, so whole rounds have the mean cost of drawn ones.
"""
import argparse
import itertools
import pathlib
import resource
import time
import tomllib

import torch
import torch.nn.functional as F
from torch import nn

parser = argparse.ArgumentParser()
parser.add_argument("recipe", type=pathlib.Path)
parser.add_argument("--threads", type=int, default=1)
parser.add_argument("--iterations", type=int, default=8)
asked = parser.parse_args()
torch.set_num_threads(asked.threads)
torch.manual_seed(0)
recipe = tomllib.loads(asked.recipe.read_text())
adm, heads_of = recipe["adm"], recipe.get("discriminator", {})
teacher_path = asked.recipe.parent / recipe["teacher"]["path"]
batch, offset = adm["batch"], recipe["student"].get("guidance_offset")
low, high = recipe["teacher"]["guidance"]
values = recipe["prompts"]["values"]
assert list(values) and "template" in recipe["prompts"], "prompts by a template"
prompts = [recipe["prompts"]["template"].format(**dict(zip(values, each))) for each in itertools.product(*values.values())]


class Flow:
    """SD3: x_t = (1 - t) x0 + t eps, the network says eps - x0, t in 0..1."""

    def __init__(self, pipe):
        self.pipe, config = pipe, pipe.transformer.config
        self.shape, self.scale = (config.in_channels, config.sample_size, config.sample_size), 1 / 1000
        self.taps = [f"transformer_blocks.{i}" for i in range(config.num_layers)]
        self.grid = (config.sample_size // config.patch_size,) * 2
        with torch.no_grad():
            empty = {f"negative_prompt{n}": [""] * len(prompts) for n in ("", "_2", "_3")}
            length = recipe["teacher"].get("max_sequence_length", 256)
            encoded = pipe.encode_prompt(prompts, prompts, prompts, device="cpu", max_sequence_length=length, **empty)
        self.conditional, self.empty = (encoded[0], encoded[2]), (encoded[1], encoded[3])

    def steps(self, count):
        shift = self.pipe.scheduler.config.shift
        return [shift * s / (1 + (shift - 1) * s) for s in (1 - i / count for i in range(count))]

    def coefficients(self, t):
        t = t.view(-1, 1, 1, 1)
        return 1 - t, t

    def original(self, o, x, t):
        return x - t.view(-1, 1, 1, 1) * o

    def step(self, o, x, t, s):
        return x + (s - t).view(-1, 1, 1, 1) * o

    def target(self, x0, eps, t):
        return eps - x0

    def any_times(self, count):
        return torch.rand(count)

    def times(self, count, low, high):
        return torch.rand(count) * (high - low) + low

    def call(self, network, x, t, c):
        return network(x, encoder_hidden_states=c[0], pooled_projections=c[1], timestep=1000 * t, return_dict=False)[0]

    def feature(self, out):
        return out[1].transpose(1, 2).unflatten(2, self.grid)


class Velocity:
    """CogVideoX: table of alpha and sigma, the network says v = alpha eps - sigma x0, t in 0..999."""

    def __init__(self, pipe):
        self.pipe, config = pipe, pipe.transformer.config
        frames = (config.sample_frames - 1) // config.temporal_compression_ratio + 1
        self.shape, self.scale = (frames, config.in_channels, config.sample_height, config.sample_width), 1
        self.taps = [f"transformer_blocks.{i}" for i in range(2, config.num_layers, 3)]
        self.grid = (frames, config.sample_height // config.patch_size, config.sample_width // config.patch_size)
        product = pipe.scheduler.alphas_cumprod.double()
        self.alpha, self.sigma = product.sqrt().float(), (1 - product).sqrt().float()
        with torch.no_grad():
            length = config.max_text_seq_length
            encoded = pipe.encode_prompt(prompts, [""] * len(prompts), max_sequence_length=length, device="cpu")
        self.conditional, self.empty = (encoded[0],), (encoded[1],)

    def steps(self, count):
        return [round(1000 * (1 - i / count)) - 1 for i in range(count)]

    def coefficients(self, t):
        return self.alpha[t].view(-1, 1, 1, 1, 1), self.sigma[t].view(-1, 1, 1, 1, 1)

    def original(self, o, x, t):
        alpha, sigma = self.coefficients(t)
        return alpha * x - sigma * o

    def step(self, o, x, t, s):
        (alpha, sigma), (alpha_s, sigma_s) = self.coefficients(t), self.coefficients(s)
        return (alpha_s * alpha + sigma_s * sigma) * x + (sigma_s * alpha - alpha_s * sigma) * o

    def target(self, x0, eps, t):
        alpha, sigma = self.coefficients(t)
        return alpha * eps - sigma * x0

    def any_times(self, count):
        return torch.randint(0, 1000, (count,))

    def times(self, count, low, high):
        return torch.randint(low, high + 1, (count,))

    def call(self, network, x, t, c):
        return network(x, encoder_hidden_states=c[0], timestep=t, return_dict=False)[0]

    def feature(self, out):
        return out[0].transpose(1, 2).unflatten(2, self.grid)


class OnFrames(nn.Conv2d):
    def forward(self, x):
        b, _, t, _, _ = x.shape
        return super().forward(x.transpose(1, 2).flatten(0, 1)).unflatten(0, (b, t)).transpose(1, 2)


def head(channels, grid):
    width, groups = heads_of.get("head_width", 256), heads_of.get("head_groups", 32)
    smallest, size, layers = heads_of.get("head_min_size", 4), min(grid[-2:]), []
    norm = lambda: [nn.GroupNorm(groups, width), nn.SiLU()]
    if len(grid) == 3:
        while not layers or size > smallest:
            layers += [nn.Conv3d(channels, width, 3, padding=1), OnFrames(width, width, 3, 2, 1), *norm()]
            channels, size = width, -(-size // 2)
        return nn.Sequential(*layers, nn.Conv3d(width, 1, 1))
    while size > smallest:
        layers += [nn.Conv2d(channels, width, 4, 2, 1), *norm()]
        channels, size = width, size // 2
    kernel = 1 if heads_of.get("head_output") == "map" else min(smallest, size)
    return nn.Sequential(*layers, nn.Conv2d(channels, width, kernel, kernel), *norm(), nn.Conv2d(width, 1, 1))


def main():
    import diffusers

    diffusers.utils.logging.disable_progress_bar()
    pipe = diffusers.DiffusionPipeline.from_pretrained(teacher_path, torch_dtype=torch.float32)
    kind = {"StableDiffusion3Pipeline": Flow, "CogVideoXPipeline": Velocity}[type(pipe).__name__](pipe)
    fresh = lambda: type(pipe.transformer).from_pretrained(teacher_path / "transformer", torch_dtype=torch.float32)
    teacher, generator, fake_score = fresh().requires_grad_(False), fresh(), fresh()
    features = {}
    for name in kind.taps:
        keep = lambda module, given, out, name=name: features.__setitem__(name, kind.feature(out))
        teacher.get_submodule(name).register_forward_hook(keep)
    width = pipe.transformer.config.num_attention_heads * pipe.transformer.config.attention_head_dim
    heads = nn.ModuleList(head(width, kind.grid) for _ in kind.taps)
    adam = lambda network, rate: torch.optim.AdamW(network.parameters(), lr=rate, betas=(0.0, 0.99), weight_decay=0.0)
    optimizers = [adam(generator, adm["lr_generator"]), adam(fake_score, adm["lr_fake"]), adam(heads, adm["lr_discriminator"])]
    for_generator, for_fake, for_heads = optimizers
    student = recipe["student"]
    steps = student.get("times") or [time / kind.scale for time in kind.steps(student["steps"])]
    steps = [time * kind.scale for time in steps]
    shaped = lambda weights: weights.view(-1, *[1] * len(kind.shape))
    noise = lambda: torch.randn(batch, *kind.shape)
    pick = lambda rows, which: tuple(row[which] for row in rows)
    draw_weights = lambda: torch.rand(batch) * (high - low) + low
    told = lambda time: torch.full((batch,), time)

    def guided(network, x, t, conditions, weights):
        both = [torch.cat(pair) for pair in zip(conditions[1], conditions[0])]
        without, given = kind.call(network, torch.cat([x, x]), torch.cat([t, t]), both).chunk(2)
        return without + shaped(weights) * (given - without)

    def answer(x, t, conditions, weights):
        if weights is None:
            return kind.call(generator, x, t, conditions[0])
        return guided(generator, x, t, conditions, weights)

    def walk(x, calls, conditions, weights):
        for index in range(calls):
            t = told(steps[index])
            o = answer(x, t, conditions, weights)
            last = index + 1 == len(steps)
            x = kind.original(o, x, t) if last else kind.step(o, x, t, told(steps[index + 1]))
        return x

    def noised(x0, t, eps):
        alpha, sigma = kind.coefficients(t)
        return alpha * x0 + sigma * eps

    def batch_of():
        which = torch.randint(0, len(prompts), (batch,))
        return pick(kind.conditional, which), pick(kind.empty, which)

    def logits(x, t, condition):
        features.clear()
        kind.call(teacher, x, t, condition)
        return dict(features)

    def update(optimizer, loss):
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        optimizer.step()

    # A table has whole steps.
    whole = round if isinstance(kind, Velocity) else lambda time: time
    defaults = {"dt_steps": 15.625, "t_min": 20, "t_max": 980}
    dt, t_min, t_max = (whole(adm.get(key, value) * kind.scale) for key, value in defaults.items())

    def iteration(call):
        conditions = batch_of()
        weights = None if offset is None else draw_weights() - offset
        with torch.no_grad():
            x0 = walk(noise(), len(steps), conditions, weights)
        t, eps = kind.any_times(batch), noise()
        said = kind.call(fake_score, noised(x0, t, eps), t, conditions[0])
        update(for_fake, F.mse_loss(said, kind.target(x0, eps, t)))

        conditions, weights = batch_of(), draw_weights()
        own = None if offset is None else weights - offset
        with torch.no_grad():
            x = walk(noise(), call, conditions, own)
        t = told(steps[call])
        x0 = kind.original(answer(x, t, conditions, own), x, t)
        t = kind.times(batch, t_min + dt, t_max)
        later = t - dt
        x_t = noised(x0, t, noise())
        fake_score.requires_grad_(False)
        x_fake = kind.step(kind.call(fake_score, x_t, t, conditions[0]), x_t, t, later)
        with torch.no_grad():
            x_real = kind.step(guided(teacher, x_t, t, conditions, weights), x_t, t, later)
        heads.requires_grad_(False)
        of_fake = logits(x_fake, later, conditions[0])
        loss = -sum(head(of_fake[name]).mean() for head, name in zip(heads, kind.taps)) / len(heads)
        update(for_generator, loss)
        fake_score.requires_grad_(True)
        heads.requires_grad_(True)
        with torch.no_grad():
            of_real = logits(x_real, later, conditions[0])
        hinge = lambda head, name: (
            F.relu(1 + head(of_fake[name].detach())).mean() + F.relu(1 - head(of_real[name])).mean()
        )
        update(for_heads, sum(hinge(head, name) for head, name in zip(heads, kind.taps)) / len(heads))

    iteration(len(steps) - 1)
    processor = lambda: sum(resource.getrusage(resource.RUSAGE_SELF)[:2])
    started, used, times = time.time(), processor(), []
    for index in range(asked.iterations):
        before = time.time()
        iteration(index % len(steps))
        times.append(time.time() - before)
    count = asked.iterations
    mean, used = (time.time() - started) / count, (processor() - used) / count
    print(f"ADM: {mean:.3f} s per iteration, least {min(times):.3f}, median {sorted(times)[count // 2]:.3f}, processor {used:.3f}")


main()
