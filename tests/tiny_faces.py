"""Small pictures for tests, drawn from a seed: soft random blotches, no two seeds alike."""

import numpy as np
from PIL import Image


def picture(seed, *, size=(48, 48), cells=6):
    """A soft RGB picture. Equal seeds give equal pictures at any size, up to resampling."""
    rng = np.random.default_rng(seed)
    coarse = Image.fromarray(rng.integers(0, 256, (cells, cells, 3), dtype=np.uint8))
    return coarse.resize(size, Image.Resampling.BICUBIC)


def save_face(path, seed=None, *, quality=90, **options):
    """Write a picture at `path` (its seed from the name unless given) and return the path."""
    path.parent.mkdir(parents=True, exist_ok=True)
    seed = seed if seed is not None else list(path.name.encode())
    image = picture(seed, **options)
    kind = {".png": "PNG", ".webp": "WEBP"}.get(path.suffix.lower(), "JPEG")
    image.save(path, kind, quality=quality)
    return path


def save_faces(folder, names):
    """Write one picture per name."""
    for name in names:
        save_face(folder / name)
    return folder
