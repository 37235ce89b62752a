"""The table of tests/roads: reads its lines from standard input and every run's score.json below the folder that is named.

    python3 roads.py FOLDER < LINES
"""
import json
import pathlib
import re
import sys
import types

out = pathlib.Path(sys.argv[1])
# What bars call the numbers of score.json.
WORDS = {"digit_accuracy": "digit", "colour_accuracy": "colour", "frechet": "to_data", "frechet_to_teacher": "to_teacher"}
COLUMNS = {"digit": 3, "colour": 3, "to_data": 1, "to_teacher": 1, "coverage": 3, "density": 2, "spread": 3}
HEADS = ["digit", "colour", "Fréchet to data", "to teacher", "coverage", "density", "spread"]


def numbers(score):
    return types.SimpleNamespace(**{WORDS.get(name, name): value for name, value in score.items()})


def cells(score):
    return [f"{getattr(score, name):.{digits}f}" if hasattr(score, name) else "" for name, digits in COLUMNS.items()]


def steps(name):
    return int(re.match(r"(?:teacher|student)_(\d+)", name)[1])


def words(count):
    return f"{count} step" if count == 1 else f"{count} steps"


print("| road | steps | " + " | ".join(HEADS) + " | minutes | bars |")
print("|---|---|" + "---|" * len(HEADS) + "---|---|")
holds, teachers = True, {}
for line in sys.stdin:
    name, recipe, bars = (part.strip() for part in line.split("|"))
    file = out / name / "score.json"
    if not file.is_file():
        print(f"| {name} | not run |" + " |" * (len(HEADS) + 2))
        continue
    scores = json.loads(file.read_text())
    students = [key for key in scores if key.startswith("student")]
    last = next(key for key in students if "_after_" not in key)
    before = [key for key in students if key != last]
    count = steps(last)
    full = max((key for key in scores if key.startswith("teacher")), key=steps)
    s, b = numbers(scores[last]), numbers(scores[full])
    t = numbers(scores.get(f"teacher_{count}", {}))
    p = numbers(scores[before[-1]]) if before else types.SimpleNamespace()
    # A teacher once, before its first student.
    folder = recipe.split("/")[0]
    for key in sorted((key for key in scores if key.startswith("teacher")), key=steps, reverse=True):
        row = cells(numbers(scores[key]))
        if teachers.setdefault((folder, key), row) is row:
            print(f"| teacher of {folder} | {steps(key)} | " + " | ".join(row) + " | | |")
    for key in before:
        print(f"| {name}, after {key.split('_after_')[1]} | {count} | " + " | ".join(cells(numbers(scores[key]))) + " | | |")
    said, names = [], {"t": t, "b": b, "p": p, **vars(s)}
    for bar in filter(None, map(str.strip, bars.split(";"))):
        left, relation, right = bar.split(" ", 2)
        try:
            limit = eval(right, names)
            held = eval(f"{left} {relation} {limit!r}", names)
            said.append(f"{left} {names[left]:.3f} {relation} {limit:.3f} {'holds' if held else '**does not hold**'}")
        except (AttributeError, NameError, KeyError) as missing:
            held = False
            said.append(f"{bar} **cannot be told** ({missing})")
        holds &= held
    seconds = out / f"{name}.seconds"
    minutes = f"{int(seconds.read_text()) / 60:.0f}" if seconds.is_file() else ""
    print(f"| **{name}** | {count} | " + " | ".join(cells(s)) + f" | {minutes} | {'; '.join(said)} |")
sys.exit(not holds)
