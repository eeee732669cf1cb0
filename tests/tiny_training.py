"""Faces a network can learn in seconds: bright is old, red is female; and settings for them."""

import numpy as np
from PIL import Image

from model.faces import read_faces
from model.settings import settings_for

SIZE = 32


def write_tiny_faces(folder, n=160, *, seed=0):
    """`n` pictures of 32 × 32 whose brightness tells the age and whose colour the gender."""
    folder.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(seed)
    for number in range(n):
        age, female = int(rng.integers(0, 100)), int(rng.integers(0, 2))
        texture = Image.fromarray(rng.integers(0, 90, (8, 8, 3), dtype=np.uint8))
        pixels = np.asarray(texture.resize((SIZE, SIZE), Image.Resampling.BICUBIC)).astype(float)
        pixels += 20 + age
        pixels[..., 0 if female else 2] += 60
        picture = Image.fromarray(np.clip(pixels, 0, 255).astype(np.uint8))
        picture.save(folder / f"{age}_{female}_{number % 5}_{seed}{number:05}.png")
    return folder


def tiny_faces(folder, n=160, *, seed=0):
    """The face table of `write_tiny_faces`."""
    return read_faces(write_tiny_faces(folder, n, seed=seed))


def tiny_settings(**changed):
    """A training of a second or two, always in float32 on one thread."""
    fixed = {"size": SIZE, "width": 1.0, "epochs": 3, "batch": 16, "threads": 1}
    fixed["precision"] = "float32"
    return settings_for(changed.pop("network", "compact"), **{**fixed, **changed})
