"""The data check finds what was planted, counts what is there, and says it safely."""

import json
import re
import shutil
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from browser import open_browser, show_as_printed
from tiny_faces import picture, save_face, save_faces

from audit import cli
from model.check import check_faces, check_words
from model.faces import FaceTable, read_faces
from model.heaping import age_heaping
from reports.check import render_check

MARKUP = "25_0_0_<img src=x onerror=alert(1)>.jpg"


def heaped(*, n=200, heap=None, size=1000):
    ages = np.repeat(np.arange(0, 100), n)
    return pd.Series(np.concatenate([ages, np.full(size if heap is not None else 0, heap or 0)]))


def test_even_ages_have_no_heap_and_a_whipple_index_of_one_hundred():
    found = age_heaping(heaped())
    assert found["heaps"] == []
    assert found["heaped_share"] == 0
    assert found["whipple"] == pytest.approx(100)
    assert found["counts"] == [200] * 100


def test_whipples_index_is_five_hundred_when_every_age_is_round():
    assert age_heaping(pd.Series([25, 30, 35, 40, 60] * 9))["whipple"] == 500


@pytest.mark.parametrize("age", [0, 1, 26, 50, 99])
def test_a_planted_heap_is_named_with_what_was_expected(age):
    found = age_heaping(heaped(heap=age))
    (heap,) = found["heaps"]
    assert (heap["age"], heap["n"], heap["expected"]) == (age, 1200, 200)
    assert heap["share"] == pytest.approx(1200 / 21000)
    assert found["heaped_share"] == pytest.approx(1000 / 21000)


def test_chance_makes_no_heaps():
    rng = np.random.default_rng(0)
    named = [age_heaping(pd.Series(rng.integers(0, 90, 2000)))["heaps"] for _ in range(50)]
    assert sum(map(len, named)) == 0  # 4,500 ages looked at


def test_ages_outside_whipples_range_have_no_index():
    assert age_heaping(pd.Series([1, 2, 3]))["whipple"] is None


def many(counts):
    """A table of faces from {(age, gender, race): n}, made without pictures."""
    rows = [label for label, n in counts.items() for _ in range(n)]
    faces = pd.DataFrame(rows, columns=["age", "gender", "race"])
    faces["image"] = [f"{i:05}.jpg" for i in range(len(faces))]
    faces["subject_id"] = [f"{i:05}" for i in range(len(faces))]
    faces["content_hash"] = faces["subject_id"]
    faces = faces.assign(dhash=np.uint64(0), width=40, height=40, bytes=100, conflict=False)
    faces["copy_group"] = pd.Series(pd.NA, index=faces.index, dtype="Int64")
    faces["copy_kind"] = pd.Series(None, index=faces.index, dtype="str")
    return table_of(faces)


def table_of(faces, root=Path()):
    nothing = pd.DataFrame(columns=["image", "status", "reason"], dtype="str")
    return FaceTable(root, faces, nothing, 0, subjects_given=False, subjects_merged=0)


def test_small_cells_are_marked_and_empty_ones_are_shown():
    counts = {(5, "female", "A"): 29, (9, "male", "A"): 30, (25, "male", "B"): 149}
    counts |= {(25, "female", "B"): 150, (70, "male", None): 1}
    data = check_faces(many(counts))["cells"]
    assert data["features"] == ["age_group", "gender", "race"]
    assert len(data["cells"]) == 9 * 2 * 3
    found = {(c["age_group"], c["gender"], c["race"]): (c["n"], c["status"]) for c in data["cells"]}
    assert found["3-9", "female", "A"] == (29, "sparse")
    assert found["3-9", "male", "A"] == (30, "thin")
    assert found["20-29", "male", "B"] == (149, "thin")
    assert found["20-29", "female", "B"] == (150, "ok")
    assert found["70+", "male", "unknown"] == (1, "sparse")
    assert found["0-2", "male", "B"] == (0, "empty")
    assert (data["empty"], data["sparse"], data["thin"], data["ok"]) == (49, 2, 2, 1)
    assert sum(cell["n"] for cell in data["cells"]) == 359


def test_cells_count_people_not_pictures():
    table = many({(25, "male", "A"): 100})
    table.faces["subject_id"] = [str(i // 10) for i in range(100)]
    (cell,) = [cell for cell in check_faces(table)["cells"]["cells"] if cell["n"]]
    assert (cell["n"], cell["subjects"], cell["status"]) == (100, 10, "sparse")


@pytest.fixture
def folder(tmp_path):
    """Twelve photos; one twice with one label, one thrice with others, one broken, one rejected."""
    names = [f"{20 + i}_{i % 2}_{i % 5}_{i}.jpg" for i in range(12)]
    save_faces(tmp_path, names)
    shutil.copy(tmp_path / names[0], tmp_path / "20_0_0_again.jpg")
    shutil.copy(tmp_path / names[1], tmp_path / "51_0_1_other.jpg")
    image = picture(list(names[1].encode()))
    image.save(tmp_path / "21_1_3_near.jpg", quality=50)
    (tmp_path / "40_0_0_cut.jpg").write_bytes((tmp_path / names[3]).read_bytes()[:200])
    save_face(tmp_path / "61_3_20170109.jpg")
    return tmp_path


def test_copies_and_the_labels_they_differ_in_are_told_apart(folder):
    copies = check_faces(read_faces(folder))["copies"]
    assert (copies["groups"], copies["files"]) == (2, 5)
    assert (copies["identical_groups"], copies["near_groups"]) == (1, 1)
    assert copies["differing_groups"] == copies["conflict_groups"] == 1
    assert copies["conflict_files"] == 3
    assert copies["differs_in"] == {"age": 1, "gender": 1, "race": 1}
    assert copies["left_for_training"] == 15 - 1 - 3
    worst, harmless = copies["listed"]
    assert {face["image"] for face in worst["faces"]} == {
        "21_1_1_1.jpg",
        "21_1_3_near.jpg",
        "51_0_1_other.jpg",
    }
    assert (worst["conflict"], worst["differs"]) == (True, ["age", "gender", "race"])
    assert (harmless["conflict"], harmless["differs"], harmless["kind"]) == (False, [], "identical")


def test_what_was_left_out_adds_up_with_its_reasons(folder):
    data = check_faces(read_faces(folder))
    assert data["faces"] == 15
    left = data["left_out"]
    assert left["n"] == sum(row["n"] for row in left["by_status"]) == 2
    assert [row["status"] for row in left["by_status"]] == ["decode_error", "name"]
    assert left["by_status"][1]["image"] == "61_3_20170109.jpg"


def test_copies_across_a_given_split_are_a_leak(folder):
    table = read_faces(folder)
    split = pd.Series("train", index=table.faces.index)
    assert check_faces(table, split=split)["leaks"]["subjects"] == 0
    split[table.faces["image"] == "51_0_1_other.jpg"] = "test"
    leaks = check_faces(table, split=split)["leaks"]
    assert (leaks["split_given"], leaks["subjects"], leaks["files"]) == (True, 1, 3)
    (leak,) = leaks["listed"]
    assert leak["sides"] == ["test", "train"]
    assert {(face["image"], face["split"]) for face in leak["faces"]} == {
        ("21_1_1_1.jpg", "train"),
        ("21_1_3_near.jpg", "train"),
        ("51_0_1_other.jpg", "test"),
    }
    words = check_words(check_faces(table, split=split))
    assert "1 person on both sides of the given split (3 files)" in words


def test_a_split_column_of_a_label_file_is_checked_for_people_on_both_sides(tmp_path):
    rows = [("a.jpg", "ann", "train"), ("b.jpg", "ann", "test"), ("c.jpg", "bob", "test")]
    for image, _, _ in rows:
        save_face(tmp_path / image)
    frame = pd.DataFrame(rows, columns=["image", "subject_id", "split"])
    frame.assign(age=30, gender="f").to_csv(tmp_path / "labels.csv", index=False)
    leaks = check_faces(read_faces(tmp_path / "labels.csv"))["leaks"]
    assert [(leak["subject_id"], leak["sides"]) for leak in leaks["listed"]] == [
        ("ann", ["test", "train"])
    ]


def test_our_own_split_never_leaks_and_a_random_one_is_expected_to(folder):
    data = check_faces(read_faces(folder))
    assert data["leaks"] == {
        "split_given": False,
        "random": pytest.approx((1 - 0.64 - 0.04) + (1 - 0.512 - 0.008)),
    }
    assert sum(data["split"].values()) == data["faces"]


def test_the_check_is_plain_json_and_depends_on_the_files_alone(folder, tmp_path_factory):
    other = tmp_path_factory.mktemp("other") / folder.name
    other.mkdir()
    for path in sorted(folder.iterdir(), reverse=True):
        shutil.copy(path, other / path.name)
    tables = [read_faces(root) for root in (folder, other)]
    texts = [json.dumps(check_faces(table, seed=1), allow_nan=False) for table in tables]
    assert texts[0] == texts[1]


def test_the_sample_is_one_face_a_person_and_the_seed_decides_it():
    table = many({(25, "male", "A"): 200})
    table.faces["subject_id"] = [str(i // 2) for i in range(200)]
    first, again, other = (check_faces(table, seed=seed)["sample"] for seed in (1, 1, 2))
    assert first == again != other
    assert len({int(face["image"][:5]) // 2 for face in first}) == len(first) == 24


def test_the_terminal_gets_every_count(folder):
    words = check_words(check_faces(read_faces(folder)))
    assert "15, 12 photos (one person each is assumed)" in words
    assert "left out   2" in words
    assert "1 name: '61_3_20170109.jpg': gender is '3', not 0 (male) or 1 (female)" in words
    assert "2 photos occur more than once (5 files; 1 identical, 1 near-identical)" in words
    assert "1 contradict each other (3 files not learned from)" in words


def test_one_photo_that_occurs_twice_is_told_in_the_singular():
    table = many({(25, "male", "A"): 40})
    data = check_faces(table)
    data["copies"] |= {"groups": 1, "files": 2}
    assert "1 photo occurs more than once (2 files;" in check_words(data)


# The page ------------------------------------------------------------------------------------


class Page(HTMLParser):
    """Tags with their attributes, and the text of a page."""

    def __init__(self, html):
        super().__init__()
        self.tags, self.text = [], ""
        self.feed(html)

    def handle_starttag(self, tag, attributes):
        self.tags.append((tag, dict(attributes)))

    def handle_data(self, data):
        self.text += data


def page_of(table, **options):
    return Page(render_check(check_faces(table, **options), root=table.root))


def test_the_page_says_what_was_found(folder):
    text = page_of(read_faces(folder)).text
    assert f"Data check of {folder.name}" in text
    assert "1 photo carries labels that contradict each other" in text
    assert "2 files are not used" in text
    assert "61_3_20170109.jpg" in text


def test_the_page_has_no_script_and_asks_for_nothing(folder):
    page = page_of(read_faces(folder))
    forbidden = {"script", "iframe", "object", "form", "base"}
    assert not [tag for tag, _ in page.tags if tag in forbidden]
    assert [tag for tag, a in page.tags for name in a if name.startswith("on")] == []
    links = [a.get("src") or a.get("href") for _, a in page.tags if a.get("src") or a.get("href")]
    assert links
    assert all(link.startswith(("data:", "#")) for link in links)
    (policy,) = [a["content"] for tag, a in page.tags if a.get("http-equiv")]
    assert "default-src 'none'" in policy
    assert "script-src" not in policy


def test_pictures_come_with_alternative_text_and_a_notice_and_can_be_left_away(folder):
    table = read_faces(folder)
    page = page_of(table)
    alts = [a["alt"] for tag, a in page.tags if tag == "img"]
    assert "Face labelled 21, female, Black" in alts
    assert "Faces are people." in page.text
    without = Page(render_check(check_faces(table), root=table.root, pictures=False))
    assert not [tag for tag, _ in without.tags if tag == "img"]


def test_a_hostile_name_stays_text(tmp_path):
    save_faces(tmp_path, [MARKUP, "26_3_<script>alert(1)<!--.jpg", "27_5_a\nb\u202egpj.jpg"])
    save_faces(tmp_path, [f"{i}_0_1_{i}.jpg" for i in range(30)])
    table = read_faces(tmp_path)
    split = pd.Series("train", index=table.faces.index)
    page = page_of(table, split=split)
    assert not [tag for tag, _ in page.tags if tag == "script"]
    assert not [a for tag, a in page.tags if a.get("src") == "x"]
    assert "26_3_<script>alert(1)<!--.jpg" in page.text
    assert "27_5_a\\nb\\u202egpj.jpg" in page.text


def test_a_leak_is_the_first_thing_the_page_says(folder):
    table = read_faces(folder)
    split = pd.Series("train", index=table.faces.index)
    split[table.faces["image"] == "51_0_1_other.jpg"] = "test"
    html = render_check(check_faces(table, split=split), root=table.root)
    assert re.search(r'class="verdict">1 person is on both sides of the split', html)


def test_a_clean_folder_is_called_so():
    table = many({(a, g, None): 200 for a in range(0, 80, 1) for g in ("female", "male")})
    html = render_check(check_faces(table), root=table.root, pictures=False)
    assert "No photo occurs twice, no age stands out" in html


def test_a_page_is_the_same_for_the_same_data(folder):
    data = check_faces(read_faces(folder))
    again = json.loads(json.dumps(data))
    assert render_check(data, root=folder) == render_check(again, root=folder)


def test_the_page_stays_small_however_many_copies_there_are(tmp_path):
    for i in range(60):
        path = save_face(tmp_path / f"30_0_0_{i}.jpg", i, size=(400, 400), quality=98)
        shutil.copy(path, tmp_path / f"60_1_1_{i}.jpg")
    table = read_faces(tmp_path)
    html = render_check(check_faces(table), root=table.root)
    assert "18 of 60 photos with different labels" in html
    assert len(html) < 1_000_000


@pytest.mark.browser
def test_on_paper_the_page_keeps_its_shades_and_unfolds_what_is_folded(folder):
    save_face(folder / "62_3_20170109.jpg")  # a reason that two files share: a fold
    page = folder / "check.html"
    data = check_faces(read_faces(folder))
    page.write_text(render_check(data, root=folder), encoding="utf-8")
    with open_browser() as browser:
        browser.get(page.as_uri())
        show_as_printed(browser)
        kept, folded = browser.execute_script(
            "return [[...document.querySelectorAll('.heat td span, .key i')]"
            ".map(e => getComputedStyle(e).printColorAdjust),"
            "[...document.querySelectorAll('details:not([open]) table')]"
            ".map(e => e.checkVisibility({contentVisibilityAuto: true}) && e.clientHeight)]"
        )
    assert set(kept) == {"exact"}
    assert folded
    assert min(folded) > 0


def test_a_check_interrupted_leaves_no_page_of_other_faces(tmp_path, monkeypatch):
    def interrupted(*_, **__):
        raise KeyboardInterrupt

    faces = save_faces(tmp_path / "faces", [f"{20 + i}_{i % 2}_0_{i}.jpg" for i in range(12)])
    argv = ["check", str(faces), "--out", str(tmp_path / "out")]
    assert cli.main(argv) == 0
    monkeypatch.setattr("reports.check.render_check", interrupted)
    assert cli.main(argv) == 130
    assert {p.name for p in (tmp_path / "out").iterdir()} == {"check.json", "left_out.csv"}
