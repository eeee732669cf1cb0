"""The models of docs/models.md: two small ONNX files as other people might have made them.

`python docs/make_models.py FOLDER` draws 1,500 faces, learns from 1,200 of them, and writes
`faces/` and `faces.tar` (the other 300), `theirs.onnx` (hundredths of the age and two classes of
gender, from BGR pictures, channels last) and `bins.onnx` (a classifier over nine age bins, with the
names that Hugging Face's exports have). Both are linear in the pixels: they show the way, not how
well ages can be read.
"""

import sys
import tarfile
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
import pandas as pd
from onnx import TensorProto, helper, numpy_helper

from model.drawn_faces import write_drawn_faces
from model.faces import read_faces
from model.pictures import read_picture

SIDE = 24
EDGES = (3, 10, 20, 30, 40, 50, 60, 70)  # left edges of the bins but for the first
Floats = npt.NDArray[np.float64]


def fit(x: Floats, y: Floats, *, strength: float) -> tuple[Floats, Floats]:
    """Ridge regression of y [n, k] on x [n, p]: weights [p, k] and offsets [k]."""
    middle, level = x.mean(axis=0), y.mean(axis=0)
    gram = (x - middle).T @ (x - middle) + strength * np.eye(x.shape[1])
    w = np.linalg.solve(gram, (x - middle).T @ (y - level))
    return w, level - middle @ w


def save(
    path: Path, w: Floats, b: Floats, *, takes: tuple[str, list[Any]], gives: dict[str, int]
) -> None:
    """Write x -> x w + b as an ONNX file, its columns dealt to the outputs `gives`."""
    nodes = [
        helper.make_node("Flatten", [takes[0]], ["flat"]),
        helper.make_node("Gemm", ["flat", "w", "b"], ["all"]),
        helper.make_node("Split", ["all", "sizes"], list(gives), axis=1),
    ]
    numbers = {"w": w.astype("f4"), "b": b.astype("f4"), "sizes": np.array(list(gives.values()))}
    batch = takes[1][0]
    graph = helper.make_graph(
        nodes,
        path.stem,
        [helper.make_tensor_value_info(takes[0], TensorProto.FLOAT, takes[1])],
        [helper.make_tensor_value_info(n, TensorProto.FLOAT, [batch, k]) for n, k in gives.items()],
        [numpy_helper.from_array(value, name) for name, value in numbers.items()],
    )
    opset = [helper.make_opsetid("", 17)]
    onnx.save(helper.make_model(graph, opset_imports=opset, ir_version=9), path)


def material(folder: Path) -> tuple[npt.NDArray[np.uint8], pd.DataFrame]:
    """Pictures uint8 [n, SIDE, SIDE, 3] and labels of 1,200 faces, drawn into `folder`."""
    faces = read_faces(write_drawn_faces(folder, n=1200, seed=7) / "labels.csv").faces
    paths = [folder / image for image in faces["image"]]
    return np.stack([read_picture(path, size=SIDE, resize="squash") for path in paths]), faces


def main(folder: Path) -> None:
    """Draw, fit, write."""
    with tempfile.TemporaryDirectory() as other:
        pictures, faces = material(Path(other) / "faces")
    age = faces["age"].to_numpy(dtype=np.float64)
    female = (faces["gender"] == "female").to_numpy(dtype=np.float64)
    n = len(faces)

    folder.mkdir(parents=True, exist_ok=True)
    sure = 6 * female - 3
    w, b = fit(
        pictures[..., ::-1].reshape(n, -1) / 1.0,
        np.column_stack([age / 100, -sure, sure]),
        strength=3e6,
    )
    takes: tuple[str, list[Any]] = ("image", ["n", SIDE, SIDE, 3])
    save(folder / "theirs.onnx", w, b, takes=takes, gives={"age": 1, "gender": 2})

    scaled = (pictures.transpose(0, 3, 1, 2).reshape(n, -1) / 255 - 0.5) / 0.5
    bins = np.eye(len(EDGES) + 1)[np.searchsorted(EDGES, age, side="right")]
    w, b = fit(scaled, 6 * bins, strength=100)
    takes = ("pixel_values", ["batch", 3, SIDE, SIDE])
    save(folder / "bins.onnx", w, b, takes=takes, gives={"logits": len(EDGES) + 1})

    write_drawn_faces(folder / "faces", n=300, seed=8)
    with tarfile.open(folder / "faces.tar", "w") as tar:
        for path in sorted((folder / "faces").glob("*.jpg")):
            tar.add(path, arcname=path.name)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
