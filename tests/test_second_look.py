"""Below an opened face and on the Slices page: neighbours, a second look, clusters."""

import io
import json
from base64 import b64decode
from pathlib import Path

import numpy as np
import pytest
from audit_folder import write_audit_folder
from dashboard_app import words
from example_result import example_faces, example_result
from PIL import Image
from tiny_training import tiny_faces, tiny_settings

from audit.embeddings import embeddings_beside, neighbours, read_embeddings, write_embeddings
from audit.errors import InputError
from audit.face_look import Occlusion, Reading
from audit.result import AuditResult
from audit.rows import open_rows
from audit.run import run_audit
from model.export import export
from model.predict import predict
from model.train import train
from reports import beside, serve
from reports.reread import map_words, tinted, worse_pictures

ROOT = Path(__file__).parents[1]
HOSTILE = "<img src=x onerror=alert(1)>"


def galleries(app):
    found = [json.loads(g.proto.json) for g in app.main.get("bidi_component")]
    drawn = [one["cards"] for one in found if isinstance(one, dict)]  # not the face's own keyboard
    return [[card["id"] for card in cards] for cards in drawn]


def write_vectors(folder, faces, vectors, **changed):
    given = {"ids": faces.sample_id, "age_pred": faces.age_pred}
    given |= {"gender_score": faces.gender_score} | changed
    return write_embeddings(embeddings_beside(folder / "predictions.parquet"), vectors, **given)


@pytest.fixture(scope="module")
def planted(tmp_path_factory):
    """An audit of 2,400 faces in blobs of look-alikes, one of which is read badly."""
    folder = tmp_path_factory.mktemp("planted") / "audit"
    faces = example_faces(2400)
    rng = np.random.default_rng(1)
    blob = rng.integers(0, 8, len(faces))
    faces.loc[blob == 3, "age_pred"] += 25
    faces["error"] = faces.age_pred - faces.age_true
    faces.loc[0, "sample_id"] = HOSTILE
    write_audit_folder(folder, faces=faces, pictures=0, tested=False)
    middles = rng.normal(0, 2, (8, 16))
    write_vectors(folder, faces, middles[blob] + rng.normal(0, 0.5, (len(faces), 16)))
    return folder, faces.assign(blob=blob)


# Neighbours and clusters ---------------------------------------------------------------------


def test_an_opened_face_shows_its_nearest_neighbours_and_one_of_them_opens(planted, visit):
    folder, faces = planted
    face = faces.sample_id[5]
    app = visit(folder, page="errors", face=face)
    assert not app.exception
    near = [
        n
        for n, _ in neighbours(
            read_embeddings(embeddings_beside(folder / "predictions.parquet")), face
        )
    ]
    assert galleries(app) == [near]
    assert "Labelled" in words(app)


def test_a_confirmed_cluster_has_a_contact_sheet_and_leads_to_all_its_faces(planted, visit):
    folder, faces = planted
    app = visit(folder, page="slices")
    assert not app.exception
    assert "are worse on the other half too" in words(app)
    blob = faces.set_index("sample_id").blob
    sheet = galleries(app)[0]
    assert set(blob[sheet]) == {3}
    app.button(key="see cluster 0").click().run()
    assert not app.exception
    assert app.query_params["lookalikes"] == "1"
    assert "cluster <b>1</b>" in words(app)
    again = visit(folder, page="errors", lookalikes="1")
    assert galleries(again) == galleries(app)
    assert HOSTILE not in words(again)
    again.button(key="chip lookalikes").click().run()
    assert "All 2\u202f400 faces" in words(again)


def test_without_embeddings_the_panel_says_how_to_get_them(tmp_path, visit):
    folder = tmp_path / "audit"
    faces = write_audit_folder(folder, n=100, pictures=0)
    app = visit(folder, page="errors", face=faces.sample_id[0])
    assert not app.exception
    assert (
        "<code>faceaudit predict RUN FACES --out predictions.parquet --embeddings</code>"
        in words(app)
    )
    assert "start the dashboard with <code>--run RUN</code>" in words(app)


@pytest.mark.parametrize("fault", ["cut", "other network"])
def test_embeddings_that_do_not_fit_are_said_not_used(tmp_path, visit, fault):
    folder = tmp_path / "audit"
    faces = write_audit_folder(folder, n=100, pictures=0)
    changed = {"age_pred": faces.age_pred + 1} if fault != "cut" else {}
    path = write_vectors(folder, faces, np.ones((100, 4)), **changed)
    if fault == "cut":
        path.write_bytes(path.read_bytes()[:100])
    app = visit(folder, page="errors", face=faces.sample_id[0])
    assert not app.exception
    said = {"cut": "is cut or holds no embeddings", "other network": "of another network than"}
    assert said[fault] in words(app)


# The network beside the audit ----------------------------------------------------------------


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A whole audit of tiny faces: DIR/run with the network, its table and its embeddings."""
    folder = tmp_path_factory.mktemp("trained") / "audit"
    table = tiny_faces(folder.parent / "faces", 80)
    run = train(table, out=folder / "run", settings=tiny_settings(epochs=1))
    rows = predict(run, table, out=run / "predictions.parquet", embeddings=True)
    run_audit(rows, out=folder, images=table.root)
    return folder


def test_what_lies_beside_an_audit_is_found(trained, tmp_path):
    result = AuditResult.load(trained)
    rows = open_rows(trained)
    found = beside.load_embeddings(beside.embeddings_file(result, trained), rows)
    assert len(found.ids) == rows.total
    assert beside.network_file(result, trained, None) == trained / "run"
    assert beside.network_file(result, trained, tmp_path) == tmp_path
    assert beside.why_not_run(trained / "run") == ""
    bare = example_result()
    assert beside.network_file(bare, tmp_path, None) is None
    assert beside.embeddings_file(bare, tmp_path) is None


def test_a_package_that_is_missing_is_named(trained, monkeypatch):
    monkeypatch.setattr(beside, "find_spec", lambda _: None)
    assert 'pip install "faceaudit[model]"' in beside.why_not_run(trained / "run")
    assert 'pip install "faceaudit[onnx]"' in beside.why_not_run(trained / "result.json")


def test_a_face_is_read_again_on_request(trained, visit):
    app = visit(trained, page="errors")
    face = galleries(app)[0][0]
    app = visit(trained, page="errors", face=face)
    assert "some seconds on one processor" in words(app)
    app.toggle(key="look again").set_value(True).run()
    assert not app.exception
    assert words(app).count('class="map"') == 2
    assert "what the table says" not in words(app)  # it is the network that made the table


def test_an_exported_network_reads_the_face_as_its_run_did(trained, visit, tmp_path):
    exported = export(trained / "run", to=tmp_path / "model.onnx").path
    face = galleries(visit(trained, page="errors"))[0][0]
    app = visit(trained, exported, page="errors", face=face)
    app.toggle(key="look again").set_value(True).run()
    assert not app.exception
    assert words(app).count('class="map"') == 2
    assert "what the table says" not in words(app)


def test_another_network_is_said_to_be_another(trained, visit, tmp_path):
    other = train(
        tiny_faces(tmp_path / "faces", 80, seed=5),
        out=tmp_path / "other",
        settings=tiny_settings(epochs=1, seed=9),
    )
    face = galleries(visit(trained, page="errors"))[0][0]
    app = visit(trained, other, page="errors", face=face)
    app.toggle(key="look again").set_value(True).run()
    assert not app.exception
    assert "another network, or the table was recalibrated" in words(app)


def test_hidden_pictures_stay_hidden_in_the_maps(trained, visit, monkeypatch):
    given = []
    monkeypatch.setattr(
        "reports.second_look.tinted", lambda picture, *_, **__: given.append(picture) or "data:"
    )
    face = galleries(visit(trained, page="errors"))[0][0]
    app = visit(trained, page="errors", face=face, pictures="hidden")
    app.toggle(key="look again").set_value(True).run()
    assert given == [None, None]


def test_a_run_that_is_not_there_is_refused_before_anything_starts(trained):
    with pytest.raises(InputError, match="no such run folder"):
        serve.serve(trained, run=trained / "nowhere", browser=False)


# Pictures of a reading -----------------------------------------------------------------------


def test_a_map_is_blue_where_covering_raises_and_orange_where_it_lowers():
    change = np.zeros((32, 32))
    change[:8, :8], change[-8:, -8:] = 5, -5
    source = tinted(None, Occlusion(change, change / 100, 8, 4), "years", in_dark=False)
    pixels = np.asarray(Image.open(io.BytesIO(b64decode(source.partition(",")[2])))).astype(int)
    upper, lower, middle = pixels[20, 20], pixels[-20, -20], pixels[160, 160]
    assert upper[2] - upper[0] > 60
    assert lower[0] - lower[2] > 100
    assert np.ptp(middle) < 10
    said = map_words(change, what="years")
    assert said == (
        "Covering the upper left (blue) raises it most, by 5.0 years; covering the lower right "
        "(orange) lowers it most, by 5.0 years."
    )
    assert map_words(change * 0, what="years") == "No patch changes this reading noticeably."


def test_worse_pictures_show_the_error_with_its_sign_and_without_a_label_the_age():
    readings = [Reading("clean", 0, "Clean", "as it is", 30, 0.9)]
    readings += [Reading("blur", s, "Blur", f"{s} px", 30 + s, 0.9 - s / 10) for s in (1, 2)]
    error, female = worse_pictures(readings, 28.0)
    assert error.table.value.tolist() == [2, 3, 4]
    assert "Blur +2.0, +3.0, +4.0" in error.alt
    assert female.table.value.tolist() == pytest.approx([0.9, 0.8, 0.7])
    plain, _ = worse_pictures(readings, None)
    assert plain.table.value.tolist() == [30, 31, 32]
    for drawn in (error, female, plain):
        assert drawn.figure.checked.data
