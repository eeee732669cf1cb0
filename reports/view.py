"""What a page of the dashboard is given: the audit, its faces, and what the person asked for."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from audit.clusters import Cluster
from audit.embeddings import Embeddings
from audit.face_look import FaceLook
from audit.result import AuditResult
from audit.rows import FaceRows
from audit.where import Where
from reports.asking import Filter


@dataclass(frozen=True)
class View:
    """One viewer's look at one audit folder.

    stamp: changes when the audit is written again.
    rows: None where the folder holds no predictions.parquet (`why_no_rows` says so).
    where: what is asked for; remaining: how many faces hold it, on pages that follow the filter.
    images: the folder of the pictures, None where it is not known or not there.
    embeddings: what the network holds of the faces; None says why in `why_no_embeddings`.
    clusters: of look-alikes, as far as they were searched.
    look: reads a picture once more with the network; None says why in `why_no_look`.
    """

    folder: Path
    stamp: tuple[int, int]
    result: AuditResult
    rows: FaceRows | None
    why_no_rows: str
    filters: tuple[Filter, ...]
    where: Where
    remaining: int
    images: Path | None
    hide_pictures: bool
    embeddings: Embeddings | None = None
    why_no_embeddings: str = ""
    clusters: Sequence[Cluster] = ()
    look: Callable[[Path], FaceLook] | None = None
    why_no_look: str = ""

    @property
    def cache(self) -> Path:
        """Where thumbnails are kept."""
        return self.folder / "cache" / "thumbs"

    @property
    def lost_images(self) -> str:
        """The folder of pictures that the audit noted, where it is not there; else nothing."""
        noted = (self.result.info["run"].get("paths") or {}).get("images")
        return "" if self.images or self.hide_pictures or not noted else str(noted)

    @property
    def missing(self) -> str:
        """What a card says in the place of a picture that is not shown."""
        if self.hide_pictures:
            return "picture hidden"
        return "no picture" if self.images else "no folder of pictures"


def stamp_of(path: Path) -> tuple[int, int]:
    """What changes when a file is written again; zeros where there is none."""
    try:
        stat = path.stat()
    except OSError:
        return 0, 0
    return stat.st_mtime_ns, stat.st_size
