"""Which folder the pictures of a table lie in where nobody says, and how an audit notes it."""

import os
from pathlib import Path

from audit.contract import IMAGES_KEY
from audit.picture_limits import holds_all, is_remote
from audit.predictions import Predictions


def images_of(predictions: Predictions) -> Path | None:
    """Where the pictures of a table lie if nobody says; None where it names none or is no file.

    The folder that `predict` stored in a Parquet, if it exists on this machine and does not hold
    all that a user has (`picture_limits.holds_all`); else the table's own folder.
    """
    if "image" not in predictions.columns or not predictions.source.files:
        return None
    stored = predictions.metadata.get(IMAGES_KEY)
    if stored and not (is_remote(stored) or holds_all(Path(stored))) and Path(stored).is_dir():
        return Path(stored)
    return Path(predictions.source.files[0]).parent


def seen_from(folder: Path | None, images: Path) -> Path:
    """`images` as it is noted in an audit in `folder`: a relative path leads from there.

    So the two can be moved together, and be looked at from anywhere.
    """
    if folder is None or images.is_absolute():
        return images
    try:
        return Path(os.path.relpath(images, folder))
    except ValueError:  # two drives of Windows
        return images.resolve()
