"""Shards of faces for tests: tar files and Parquet made of a folder or of bytes."""

import io
import tarfile

import pyarrow as pa
import pyarrow.parquet as pq
from tiny_faces import picture


def jpeg(seed, **options):
    """Bytes of a soft picture."""
    data = io.BytesIO()
    picture(seed, **options).save(data, "JPEG", quality=90)
    return data.getvalue()


def write_tar(path, members, *, mode="w"):
    """A tar of `members`: (name, bytes) or TarInfo; the path."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with tarfile.open(path, mode, format=tarfile.PAX_FORMAT) as tar:
        for member in members:
            if isinstance(member, tarfile.TarInfo):
                tar.addfile(member)
                continue
            name, data = member
            info = tarfile.TarInfo(name)
            info.size = len(data)
            tar.addfile(info, io.BytesIO(data))
    return path


def members_of(folder):
    """(name, bytes) of every file of a folder, by name."""
    return [(path.name, path.read_bytes()) for path in sorted(folder.iterdir())]


def write_parquet(path, pictures, *, struct=True, rows_a_group=7, metadata=None, **columns):
    """Parquet with a column `image` of `pictures` ((name, bytes)), and `columns` beside it."""
    if struct:
        image = pa.array([{"bytes": data, "path": name} for name, data in pictures])
    else:
        image = pa.array([data for _, data in pictures], type=pa.binary())
    table = pa.table({"image": image, **columns}).replace_schema_metadata(metadata)
    path.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(table, path, row_group_size=rows_a_group)
    return path


def left_out(table):
    """image -> (status, reason) of what a face table left out."""
    return {row.image: (row.status, row.reason) for row in table.left_out.itertuples()}
