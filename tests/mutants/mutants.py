#!/usr/bin/env python3
"""Makes plausible mistakes in a copy of the repository and names the recorded tensor that catches each; see README.md."""
import argparse
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

from mistakes import MISTAKES

ROOT = Path(__file__).resolve().parents[2]

# The order in which an iteration computes what is recorded.
PHASES = [("value.f.", "grad.fake_score", "new.fake_score"), ("value.g.", "grad.generator", "new.generator"),
          ("value.d.", "grad.heads", "new.heads"), ("check.", "new.target")]
VALUES = ["net_t", "index", "c_skip", "c_out", "w_", "rollout", "s", "x_s", "x0_noised", "v", "o_student", "pred", "x0", "x0_hat", "x_t",
          "o_fake", "x_fake", "o_real", "x_real", "mu", "normaliser", "dm_grad", "tap_rms", "logit", "loss", "grad"]


def order(key):
    for place, prefixes in enumerate(PHASES):
        for part, prefix in enumerate(prefixes):
            if key.startswith(prefix):
                rest = key[len(prefix):]
                near = [i for i, name in enumerate(VALUES) if rest.startswith(name)]
                return place, part, max(near, default=len(VALUES)) if part == 0 else 0, key
    return len(PHASES), 0, 0, key


def replaced(texts, file, old, new):
    if texts[file].count(old) != 1:
        sys.exit(f"{file} has {texts[file].count(old)} places with:\n{old}")
    texts[file] = texts[file].replace(old, new)


def mutated(texts, numbered):
    """All mistakes in one tree: the environment variable MISTAKE chooses the one that is made."""
    for _, mistake in numbered:
        for edit in mistake.setup:
            replaced(texts, *edit)
    for number, mistake in numbered:
        for file, pattern, new in mistake.edits:
            before, old, after = re.split("[«»]", pattern)
            choice = f'(if std::env::var_os("MISTAKE").is_some_and(|chosen| chosen == "{number}") {{ {new} }} else {{ {old} }})'
            replaced(texts, file, before + old + after, before + choice + after)


def copy(tree, numbered):
    """The tracked files as they are in the working tree, with the mistakes; what is the same already stays untouched."""
    listed = subprocess.run(["git", "ls-files", "-z", "--", ":!fixtures"], cwd=ROOT, check=True, capture_output=True).stdout
    names = [name.decode() for name in listed.split(b"\0") if name]
    texts = {file: (ROOT / file).read_text() for _, mistake in numbered for file, *_ in mistake.edits + mistake.setup}
    mutated(texts, numbered)
    for name in names:
        source, place = ROOT / name, tree / name
        if source.is_file():
            wanted = texts[name].encode() if name in texts else source.read_bytes()
            place.parent.mkdir(parents=True, exist_ok=True)
            if not (place.exists() and place.read_bytes() == wanted):
                place.write_bytes(wanted)
                shutil.copymode(source, place)


def build(scratch, cargo):
    command = cargo + ["build", "--release", "--workspace", "--locked", "--bin", "dmdx-train"]
    environment = dict(os.environ, CARGO_TARGET_DIR=str(scratch / "target"))
    run = subprocess.run(command, cwd=scratch / "tree", env=environment, capture_output=True, text=True)
    if run.returncode:
        sys.exit(f"the mistakes do not compile:\n{run.stderr[-6000:]}")
    return scratch / "target/release/dmdx-train"


def replay(program, trace, zoo, number):
    """The rows that failed, first computed first, and how many there are; or what the program said instead."""
    environment = dict(os.environ, MISTAKE=str(number))
    run = subprocess.run([program, "replay", trace, "--zoo", zoo], env=environment, capture_output=True, text=True)
    rows = re.findall(r"^  (\S+) +(\S+)  of +(\S+)  (ok|FAILED)$", run.stdout, re.M)
    if not rows:
        return None, (run.stderr.strip().splitlines() or ["nothing"])[-1]
    failed = [(key, error, limit) for key, error, limit, verdict in rows if verdict == "FAILED"]
    return sorted(failed, key=lambda row: order(row[0])), len(rows)


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("names", nargs="*", help="parts of names of mistakes; all if none")
    parser.add_argument("--traces", type=Path, required=True, help="folder of recorded iterations")
    parser.add_argument("--zoo", type=Path, required=True, help="folder of the networks that they start from")
    parser.add_argument("--scratch", type=Path, required=True, help="folder for the copy and what is built of it")
    parser.add_argument("--cargo", default="cargo", help="how cargo is called")
    given = parser.parse_args()
    traces, zoo, scratch = (path.resolve() for path in (given.traces, given.zoo, given.scratch))
    numbered = list(enumerate(MISTAKES, 1))
    copy(scratch / "tree", numbered)
    program = build(scratch, given.cargo.split())
    missed = []
    chosen = [(number, m) for number, m in numbered if not given.names or any(name in m.name for name in given.names)]
    for trace in sorted({name for _, mistake in chosen for name in mistake.traces if (traces / f"{name}.safetensors").exists()}):
        failed, said = replay(program, traces / f"{trace}.safetensors", zoo, 0)
        if failed is None or failed:
            sys.exit(f"{trace} is not repeated without a mistake either: {failed or said}")
    print("| mistake | where | trace | first caught by | error | limit | off |\n|---|---|---|---|---|---|---|", flush=True)
    for number, mistake in chosen:
        file, pattern, _ = mistake.edits[0]
        text = (ROOT / file).read_text()
        place = text.find(re.sub("[«»]", "", pattern))
        where = f"{file}:{text[:place].count(chr(10)) + 1}" if place >= 0 else file
        for trace in mistake.traces:
            if not (traces / f"{trace}.safetensors").exists():
                continue
            failed, said = replay(program, traces / f"{trace}.safetensors", zoo, number)
            row = f"| {mistake.name} | {where} | {trace} |"
            if failed is None:
                print(f"{row} refused: {said} | | | |", flush=True)
            elif failed:
                key, error, limit = failed[0]
                print(f"{row} `{key}` | {error} | {limit} | {len(failed)} of {said} |", flush=True)
            else:
                missed.append(f"{mistake.name} ({trace})")
                print(f"{row} **nothing** | | | 0 of {said} |", flush=True)
    if missed:
        sys.exit("not caught: " + "; ".join(missed))


if __name__ == "__main__":
    main()
