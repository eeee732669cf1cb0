"""Pictures are found without being asked for: as `predict` stored them, or beside the table."""

from pathlib import Path

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

from audit.cli import main
from audit.contract import IMAGES_KEY
from audit.images import seen_from
from audit.result import AuditResult
from audit.run import run_audit
from reports.beside import embeddings_file, network_file
from reports.thumbnails import images_folder

N = 60


@pytest.fixture
def faces(tmp_path):
    folder = tmp_path / "faces"
    folder.mkdir()
    for i in range(N):
        Image.new("RGB", (32, 32), (4 * i, 90, 200)).save(folder / f"{i}.jpg")
    return folder


def rows():
    return pd.DataFrame(
        {
            "sample_id": [f"s{i}" for i in range(N)],
            "image": [f"{i}.jpg" for i in range(N)],
            "age_true": [20.0 + i for i in range(N)],
            "age_pred": [22.0 + i % 7 * 3 for i in range(N)],
            "race": ["Black", "White"] * (N // 2),
        }
    )


def stored_with(path, folder):
    table = pa.Table.from_pandas(rows(), preserve_index=False)
    metadata = {**table.schema.metadata, IMAGES_KEY.encode(): str(folder).encode()}
    path.parent.mkdir(exist_ok=True)
    pq.write_table(table.replace_schema_metadata(metadata), path)
    return path


def noted(out):
    return AuditResult.load(out).info["run"]["paths"]["images"]


def test_the_folder_that_predict_stored_is_used(faces, tmp_path, capsys):
    table = stored_with(tmp_path / "run" / "p.parquet", faces)
    assert main(["audit", str(table), "--out", str(tmp_path / "a"), "--thumbnails", "3"]) == 0
    assert noted(tmp_path / "a") == str(faces)
    assert "data:image/jpeg" in (tmp_path / "a" / "report.html").read_text(encoding="utf-8")


def test_a_stored_folder_that_is_gone_leaves_the_tables_own(faces, tmp_path):
    table = stored_with(faces / "p.parquet", tmp_path / "gone")
    run_audit(table, out=tmp_path / "a")
    assert noted(tmp_path / "a") == str(faces)


def test_a_table_beside_its_pictures_needs_no_option_and_any_place_to_look_from(
    faces, tmp_path, monkeypatch, capsys
):
    rows().to_csv(faces / "p.csv", index=False)
    monkeypatch.chdir(tmp_path)
    assert main(["audit", "faces/p.csv", "--out", "a", "--thumbnails", "3"]) == 0
    assert noted(tmp_path / "a") == str(Path("..", "faces"))
    assert "data:image/jpeg" in Path("a/report.html").read_text(encoding="utf-8")
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    monkeypatch.chdir(elsewhere)
    found = images_folder(AuditResult.load(tmp_path / "a"), tmp_path / "a")
    assert found is not None
    assert found.resolve() == faces
    assert main(["report", str(tmp_path / "a"), "--thumbnails", "3"]) == 0
    assert "data:image/jpeg" in (tmp_path / "a/report.html").read_text(encoding="utf-8")


def test_without_a_column_of_pictures_or_a_file_no_folder_is_made_up(faces, tmp_path):
    rows().drop(columns="image").to_csv(faces / "p.csv", index=False)
    run_audit(faces / "p.csv", out=tmp_path / "a")
    run_audit(rows(), out=tmp_path / "b")
    assert noted(tmp_path / "a") is None
    assert noted(tmp_path / "b") is None


def test_a_named_folder_goes_before_all(faces, tmp_path):
    run_audit(stored_with(tmp_path / "p.parquet", tmp_path), out=tmp_path / "a", images=faces)
    assert noted(tmp_path / "a") == str(faces)


def test_a_relative_folder_is_noted_from_the_audit_where_there_is_one(tmp_path):
    assert seen_from(None, Path("faces")) == Path("faces")
    assert seen_from(Path("out/a"), Path("faces")) == Path("../../faces")
    assert seen_from(Path("out"), tmp_path) == tmp_path


@pytest.mark.parametrize("wide", ["/", "~", "~/.."])
def test_a_file_may_not_name_all_that_a_user_has(wide, faces, tmp_path, monkeypatch):
    monkeypatch.setattr(Path, "home", lambda: tmp_path)
    folder = wide.replace("~", str(tmp_path))
    held = rows().assign(image=[f"faces/{i}.jpg" for i in range(N)])
    table = pa.Table.from_pandas(held).replace_schema_metadata({IMAGES_KEY: folder})
    theirs = tmp_path / "theirs" / "p.parquet"
    theirs.parent.mkdir()
    pq.write_table(table, theirs)
    out = tmp_path / "theirs" / "out"
    result = run_audit(theirs, out=out)
    assert result.info["run"]["paths"]["images"] == str(theirs.parent)
    result.info["run"]["paths"]["images"] = folder
    assert images_folder(result, out) is None


def test_who_works_in_their_home_sees_the_pictures_that_lie_there(faces, tmp_path, monkeypatch):
    monkeypatch.setattr(Path, "home", lambda: tmp_path)
    monkeypatch.chdir(tmp_path)
    rows().assign(image=[f"faces/{i}.jpg" for i in range(N)]).to_csv("p.csv", index=False)
    run_audit("p.csv", out="out")
    assert images_folder(AuditResult.load("out"), Path("out")).resolve() == tmp_path


@pytest.mark.parametrize("share", ["//server/share", r"\\server\share"])
def test_another_machine_is_not_asked_for_pictures(share, tmp_path, monkeypatch):
    table = pa.Table.from_pandas(rows()).replace_schema_metadata({IMAGES_KEY: share})
    pq.write_table(table, tmp_path / "p.parquet")
    asked, is_dir = [], Path.is_dir
    monkeypatch.setattr(Path, "is_dir", lambda path: asked.append(str(path)) or is_dir(path))
    result = run_audit(tmp_path / "p.parquet")
    result.info["run"]["paths"]["images"] = share
    assert images_folder(result, tmp_path) is None
    assert not [path for path in asked if "server" in path]


def test_what_lies_beside_a_table_is_found_from_anywhere_and_nothing_else(tmp_path, monkeypatch):
    home, elsewhere = tmp_path / "home", tmp_path / "elsewhere"
    for folder in (home, elsewhere):  # a training of other faces, where somebody stands by chance
        folder.mkdir()
        for name in ("model.safetensors", "p.embeddings.npz"):
            (folder / name).touch()
    monkeypatch.chdir(home)
    rows().to_csv("p.csv", index=False)
    run_audit("p.csv", out="out")
    monkeypatch.chdir(elsewhere)
    moved = home.rename(tmp_path / "moved")
    for folder in (moved / "out", Path("..", "moved", "out")):
        result = AuditResult.load(folder)
        found = (embeddings_file(result, folder), network_file(result, folder, None))
        assert [path.resolve() for path in found] == [moved / "p.embeddings.npz", moved]
