"""The pages that show faces: the gallery, its order and pages, one face opened."""

import re

import numpy as np
from audit_folder import write_audit_folder
from dashboard_app import HOSTILE, cards_of, words

from audit.words import score
from reports.faces_page import PAGE_SIZE
from reports.gallery import age_words, error_words


def test_without_rows_the_errors_page_says_what_to_do(tmp_path, visit):
    write_audit_folder(tmp_path / "audit", n=100, pictures=0)
    (tmp_path / "audit" / "predictions.parquet").unlink()
    assert "run the audit again" in words(visit(tmp_path / "audit", page="errors"))


def test_the_gallery_lists_a_page_of_faces_the_most_wrong_first(audit, visit):
    folder, faces = audit
    order = faces.assign(size=-faces.error.abs()).sort_values(["size", "sample_id"]).sample_id
    app = visit(folder, page="errors")
    assert [c["id"] for c in cards_of(app)] == order[:PAGE_SIZE].tolist()
    app.button(key="next_top").click().run()
    assert [c["id"] for c in cards_of(app)] == order[PAGE_SIZE : 2 * PAGE_SIZE].tolist()
    assert app.query_params["page"] == "2"


def test_a_change_of_order_begins_at_the_first_page(audit, visit):
    app = visit(audit[0], page="errors")
    app.button(key="next_top").click().run()
    app.selectbox(key="sort").select("old").run()
    assert app.session_state["page"] == 1
    assert all(c["error"].startswith("+") for c in cards_of(app))


def test_a_page_past_the_end_is_the_last_one(audit, visit):
    app = visit(audit[0], page="errors", race="Other")
    app.session_state["page"] = 99
    app.run()
    assert cards_of(app)


def test_pictures_that_were_moved_are_told_and_found_where_one_says(tmp_path, visit):
    folder = tmp_path / "audit"
    write_audit_folder(folder, n=100)
    moved = (tmp_path / "audit-faces").rename(tmp_path / "moved <b>")
    app = visit(folder, page="errors")
    assert "audit-faces, is not there" in words(app)
    assert "--images FOLDER" in words(app)
    app = visit(folder, "", moved, page="errors")
    assert any(card["picture"] for card in cards_of(app))
    assert "--images" not in words(app)


def test_pictures_are_shown_and_can_be_hidden_everywhere(audit, visit):
    folder, _ = audit
    shown = cards_of(visit(folder, page="data"))
    assert any(c["picture"] for c in shown)
    app = visit(folder, page="data", pictures="hidden")
    assert app.toggle(key="hide pictures").value
    assert {c["picture"] for c in cards_of(app)} == {None}
    assert {c["missing"] for c in cards_of(app)} == {"picture hidden"}


def test_the_overview_shows_no_face(audit, visit):
    app = visit(audit[0])
    assert not app.main.get("bidi_component")
    assert "image/jpeg" not in words(app)


def test_an_opened_face_says_all_of_its_row(audit, visit):
    folder, faces = audit
    face = faces.iloc[5]
    app = visit(folder, page="errors")
    app.session_state["face"] = face.sample_id
    text = words(app.run())
    assert f">{age_words(face)} ({error_words(face)})</h1>" in text
    for value in (face.race, face.sample_id, face.image, face.gender_true):
        assert str(value) in text
    app.button(key="face_back").click().run()
    assert len(cards_of(app)) == PAGE_SIZE


def test_a_face_that_is_not_there_is_said_not_shown(audit, visit):
    app = visit(audit[0], page="errors")
    app.session_state["face"] = HOSTILE
    text = words(app.run())
    assert "No face in this audit has the id" in text
    assert HOSTILE not in text


def test_the_heading_of_an_opened_face_can_be_heard(audit, visit):
    folder, faces = audit
    first = faces.iloc[0]
    shown = words(visit(folder, page="errors", face=first.sample_id))
    [heard] = re.findall(r'<h1 class="reading" aria-label="([^"]*)">', shown)
    assert heard.startswith(f"Face {first.sample_id}; aged {first.age_true:g}, read ")
    assert heard.endswith(f"P(female) {score(first.gender_score)}")


def test_numbers_of_the_picture_stand_in_words_with_their_unit(tmp_path, visit):
    faces = write_audit_folder(tmp_path / "audit", n=100, pictures=0)
    path = tmp_path / "audit" / "predictions.parquet"
    sides = [128.0, 256.0] * 50
    faces.assign(picture_ita=np.linspace(-30, 60, 100), picture_side=sides).to_parquet(path)
    app = visit(tmp_path / "audit", page="errors", face=faces.sample_id[0])
    assert "<dt>Skin tone angle (ITA), degrees</dt><dd>−30</dd>" in words(app)
    assert "<dt>Shorter side of the picture, pixels</dt><dd>128</dd>" in words(app)
    labels = [s.label.replace("\\", "") for s in app.slider]
    assert {"skin tone angle (ITA), degrees", "shorter side of the picture, pixels"} <= set(labels)
