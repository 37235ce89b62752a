"""What onnx, its shape inference and ONNX Runtime make of exported files. See README.md beside this file.

    python onnx_files.py FOLDER...      (exports of dmdx-export: bundles or components)

Every .onnx file below a folder passes the checker and strict shape inference; every value has a stated type, whose sizes
are those that ONNX Runtime computes, at two sets of sizes; weights under a name of the reference are the reference's.
"""

import ast
import json
import pathlib
import sys

import numpy as np
import onnx
import onnxruntime
from onnx import TensorProto, shape_inference

NUMPY = {TensorProto.FLOAT: np.float32, TensorProto.INT64: np.int64}


def dims(value):
    shape = value.type.tensor_type.shape.dim
    return [d.dim_value if d.HasField("dim_value") else d.dim_param for d in shape]


def evaluate(text, sizes):
    """The value of an expression such as height*width/16+1."""
    if isinstance(text, int):
        return text
    value = eval(compile(ast.parse(text, mode="eval"), text, "eval"), {"__builtins__": {}}, sizes)
    assert value == int(value), (text, sizes)
    return int(value)


def symbols(model):
    found = []
    for value in model.graph.input:
        for d in dims(value):
            if isinstance(d, str) and d.isidentifier() and d not in found:
                found.append(d)
    return found


def given(model, sizes):
    random = np.random.default_rng(0)
    ranges = json.loads({p.key: p.value for p in model.metadata_props}["dmdx.inputs"])
    feeds = {}
    for value in model.graph.input:
        shape = [evaluate(d, sizes) for d in dims(value)]
        dtype = NUMPY[value.type.tensor_type.elem_type]
        span = ranges.get(value.name)
        if span:
            feeds[value.name] = random.integers(span["min"], span["max"] + 1, shape).astype(dtype)
        else:
            feeds[value.name] = random.standard_normal(shape).astype(dtype)
    return feeds


def check(path):
    model = onnx.load(path)
    onnx.checker.check_model(str(path), full_check=True)
    inferred = shape_inference.infer_shapes(model, strict_mode=True, check_type=True, data_prop=True)
    outputs = {o.name for o in model.graph.output}
    stated = {v.name: v for v in model.graph.value_info}
    results = [name for node in model.graph.node for name in node.output]
    missing = [name for name in results if name not in outputs and name not in stated]
    assert not missing, f"{path}: no type of {missing[:5]}"
    unnamed = [v.name for v in stated.values() if any(d in (0, "") for d in dims(v))]
    assert not unnamed, f"{path}: open sizes of {unnamed[:5]}"
    # Everything that ONNX's own inference finds as a number is what the file states.
    for value in inferred.graph.value_info:
        for own, theirs in zip(dims(stated.get(value.name, value)), dims(value)):
            assert not (isinstance(own, int) and isinstance(theirs, int)) or own == theirs, (value.name, own, theirs)
    shown = [v for v in stated.values() if v.type.tensor_type.elem_type in (1, 7)]
    model.graph.output.extend(shown)
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    options.log_severity_level = 3
    target = pathlib.Path(path).with_suffix(".all.onnx")
    onnx.save(model, target)
    try:
        session = onnxruntime.InferenceSession(str(target), options, providers=["CPUExecutionProvider"])
    finally:
        target.unlink()
    fixed = {"batch": 2, "timesteps": 1, "sequence": 5, "point_sets": 2, "points": 3}
    units = {p.key: p.value for p in model.metadata_props}["dmdx.sizes"].split(",")
    unit = {u.split("=")[0]: int(u.split("=")[1].split("*")[0]) if "*" in u else 1 for u in units if u}
    for more in (0, 1):
        sizes = {name: fixed.get(name, unit.get(name, 1) * (2 + 2 * more)) for name in symbols(model)}
        names = [o.name for o in session.get_outputs()]
        for name, array in zip(names, session.run(names, given(model, sizes))):
            value = stated.get(name) or next(o for o in model.graph.output if o.name == name)
            wanted = [evaluate(d, sizes) for d in dims(value)]
            assert list(array.shape) == wanted, f"{path}: {name} is {array.shape}, stated {dims(value)} = {wanted}"
    io = ", ".join(f"{v.name}{dims(v)}" for v in model.graph.input) + " -> " + ", ".join(f"{n}" for n in outputs)
    print(f"{path}: {len(results)} values, {io}")


def main(folders):
    paths = [p for folder in folders for p in sorted(pathlib.Path(folder).rglob("*.onnx"))]
    assert paths, "no .onnx files there"
    for path in paths:
        check(path)


if __name__ == "__main__":
    main(sys.argv[1:])
