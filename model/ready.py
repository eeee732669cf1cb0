"""A model that is ready to read faces, whatever runs it, and what an exported file says of itself.

No torch: an exported model is read where there is none.
"""

import hashlib
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from audit.corrections import SCHEMA, Recalibration
from audit.errors import InputError
from model.decode import OLDEST, Floats
from model.pictures import DECODE_RULE, FIT, Pixels

FORMAT = 1  # of what an exported file says of itself
HASH_DIGITS = 16  # of a picture's SHA-256; 64 bits tell any two of a billion pictures apart
NEEDED = ("format", "network", "run_id", "size", "mean", "std", "decode", "recalibration", "seen")
LEARNED_FROM = ("train", "valid")  # every other face is `test`, so these alone need be known


@dataclass(frozen=True)
class Ready:
    """A trained network with all that reading faces takes.

    config: network, run_id, size (pixels) and decode (a rule of `model.decode.choose_rule`).
    seen: content_hash and split of the faces it was trained on; None where nobody knows.
    score: pictures, uint8 [N, size, size, 3] -> age ([N, 121] shares or [N] years) and P(female)
        [N], averaged over each picture and its mirror image.
    embed: the same, and the layer before the heads, float32 [N, D], averaged alike; None for a
        model that does not show it.
    resize: how a picture becomes a square (`model.pictures.RESIZES`).
    computes_on: kind of device; another rounds otherwise.
    """

    config: Mapping[str, Any]
    seen: pd.DataFrame | None
    score: Callable[[Pixels], tuple[Floats, Floats]]
    embed: Callable[[Pixels], tuple[Floats, ...]] | None = None
    resize: str = FIT
    computes_on: str = "cpu"


def refuse_unembedded(model: Ready, *, source: Path) -> None:
    """Raise InputError, naming `source`, where the layer before the heads is not shown."""
    if model.embed is None:
        raise InputError(
            f"--embeddings: {source} does not hold the layer before its heads; give the run folder"
        )


def about_model(
    config: Mapping[str, Any], split: pd.DataFrame, recalibration: Recalibration | None = None
) -> dict[str, Any]:
    """What an exported file says of itself: all that `predict` needs, in JSON values.

    `config` is that of a run folder, `split` its `split.csv`, `recalibration` the map it carries.
    """
    shares = config["decode"]["age"] != "value"
    return {
        "format": FORMAT,
        "network": config["network"],
        "run_id": config["run_id"],
        "size": config["size"],
        "mean": config["mean"],
        "std": config["std"],
        "picture": DECODE_RULE,
        "input": "pictures, float32 [faces, 3, size, size]: RGB, (pixel / 255 - mean) / std",
        "outputs": {
            "age": "logits of the ages" if shares else "years",
            "gender": "logit of P(female)",
        },
        "ages": list(range(int(OLDEST) + 1)) if shares else None,
        "labels": {
            "age": "years",
            "gender_score": "P(female): 1 is female, 0 is male; called female from 0.5 on",
        },
        "decode": config["decode"],
        "flip_averaged": True,
        "recalibration": None if recalibration is None else dict(recalibration.data),
        "metrics": config.get("metrics"),
        "seen": {part: _joined_hashes(split, part) for part in LEARNED_FROM},
    }


def _joined_hashes(split: pd.DataFrame, part: str) -> str:
    """Shortened content hashes of a part, sorted (their order says nothing) and joined."""
    hashes = split["content_hash"][split["split"] == part].str[:HASH_DIGITS]
    return "".join(sorted(set(hashes)))


def seal(about: Mapping[str, Any], graph: bytes) -> dict[str, str]:
    """`about` as entries of metadata: its JSON, which names the bytes it belongs to, and a seal.

    `graph` is the exported network without them; `unseal` finds a flipped bit in either.
    """
    bound = {"graph_bytes": len(graph), "graph_sha256": hashlib.sha256(graph).hexdigest()}
    text = json.dumps({**about, **bound}, ensure_ascii=False)
    return {"faceaudit": text, "faceaudit.sha256": hashlib.sha256(text.encode()).hexdigest()}


def unseal(entries: Mapping[str, str], data: bytes, *, source: Path) -> dict[str, Any]:
    """What `seal` wrote into the file `source` with the bytes `data`.

    Raises InputError: no metadata of ours, another format, altered since it was exported, or a
    recalibration of another version, which must not be passed over.
    """
    text = entries.get("faceaudit")
    if text is None:
        raise InputError(
            f"{source} lacks the metadata of `faceaudit export` (normalisation, reading of ages): "
            "export the run folder again, or describe other people's with --pre-processing"
        )
    intact = hashlib.sha256(text.encode()).hexdigest() == entries.get("faceaudit.sha256")
    about = json.loads(text) if intact else {}
    graph = data[: about.get("graph_bytes", 0)]
    if not intact or hashlib.sha256(graph).hexdigest() != about["graph_sha256"]:
        raise InputError(f"{source} was altered since it was exported; export the run folder again")
    lacking = [key for key in NEEDED if key not in about]
    if lacking or about["format"] != FORMAT:
        raise InputError(f"{source} was exported by another version; export the run folder again")
    if about["recalibration"] is not None and about["recalibration"].get("schema") != SCHEMA:
        raise InputError(f"{source} holds a recalibration that this version cannot apply")
    found: dict[str, Any] = about
    return found


def seen_faces(about: Mapping[str, Any]) -> pd.DataFrame:
    """`Ready.seen` of an exported file."""
    rows = [
        (joined[start : start + HASH_DIGITS], part)
        for part, joined in about["seen"].items()
        for start in range(0, len(joined), HASH_DIGITS)
    ]
    return pd.DataFrame(rows, columns=["content_hash", "split"], dtype="str")
