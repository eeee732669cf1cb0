"""Sites count their own rows; the audit of their counts is that of their rows."""

import json
import shutil
from dataclasses import replace

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from audit import AuditSettings, InputError, cli, run_audit
from audit.contract import TALLY_KEY
from audit.histograms import FRAMES
from audit.lines import append_line
from audit.marked import KINDS, Mark
from audit.merging import merge_sites
from audit.notes import WITHHELD
from audit.sites import tally_site
from audit.synthetic import Plant, synthetic_predictions
from audit.tally_file import _digest, is_tally, read_tally, write_tally
from reports.html import write_report

BY = ("race", "gender_true", "age_group")
LEAN = AuditSettings(by=("race", "gender_true"), depth=1, model="one")
LATER = AuditSettings(depth=1)
THREE = {"A": 0.5, "B": 0.3, "C": 0.2}


def faces(n=600, *, seed=1, **how):
    """Rows with something of everything to say a note about, and none that breaks the contract."""
    table = synthetic_predictions(n, seed=seed, races=THREE, **how)
    table = table.astype({"race": object, "gender_true": object})
    rng = np.random.default_rng(seed)
    hit = rng.random((6, n)) < 0.05
    table["age_std"] = np.where(hit[0], np.nan, 4.0)
    table.loc[hit[1], "age_pred"] = np.nan
    table.loc[hit[2], "gender_true"] = None
    table.loc[hit[3], "race"] = None
    table.loc[hit[4], "age_low"] = np.nan
    table.loc[hit[5], "age_true"] = rng.choice([200.0, np.nan], hit[5].sum())
    table["split"] = np.where(rng.random(n) < 0.1, "train", "test")
    return table


def parts_of(table, people=None, n=3):
    """A table cut into sites so that nobody is at two."""
    who = table["sample_id"] if people is None else table[people]
    return [table[who % n == i] for i in range(n)]


def merged_of(parts, settings, **how):
    return merge_sites({f"s{i}": tally_site(p, settings, **how) for i, p in enumerate(parts)})


def body(result, *, without=()):
    """What must be equal between equal audits: everything but `info.run`, and `without`."""
    whole = json.loads(result.to_json())
    whole["info"].pop("run")
    return json.dumps({k: v for k, v in whole.items() if k not in without})


def same(ours, theirs):
    for name in FRAMES:
        pd.testing.assert_frame_equal(getattr(ours.tally, name), getattr(theirs.tally, name))
    frames = {name: getattr(theirs.tally, name) for name in FRAMES}
    assert replace(ours.tally, **frames) == theirs.tally
    assert (ours.facts, ours.settings, ours.sites) == (theirs.facts, theirs.settings, theirs.sites)


@pytest.fixture(scope="module")
def table():
    return faces()


@pytest.fixture(scope="module")
def site(table):
    return tally_site(table, LEAN)


@pytest.fixture
def path(site, tmp_path):
    return write_tally(site, tmp_path / "site.parquet")


# The law


@pytest.mark.parametrize("photos", [1, 3])
def test_the_audit_of_the_merged_counts_is_that_of_the_pooled_rows_byte_for_byte(photos, tmp_path):
    table = faces(photos_per_person=photos, planted=[Plant({"race": "B"}, age_scale=1.6)])
    parts = parts_of(table, "subject_id" if photos > 1 else None)
    pooled = run_audit(table, settings=LEAN)
    write_tally(merged_of(parts, LEAN), tmp_path / "all.parquet")
    counted = run_audit(tmp_path / "all.parquet", settings=LATER)
    assert len(pooled.worst)
    assert counted.worst.empty
    assert body(counted, without=["worst"]) == body(pooled, without=["worst"])
    assert len(counted.info["notes"]) > 5
    write_tally(merged_of(parts, LEAN, faces=True), tmp_path / "faces.parquet")
    assert body(run_audit(tmp_path / "faces.parquet", settings=LATER)) == body(pooled)


def test_neither_the_order_nor_the_grouping_of_merges_changes_a_byte(table, tmp_path):
    a, b, c = (tally_site(part, LEAN, faces=True) for part in parts_of(table))
    merges = [
        merge_sites({"a": a, "b": b, "c": c}),
        merge_sites({"c": c, "a": a, "b": b}),
        merge_sites({"bc": merge_sites({"c": c, "b": b}), "a": a}),
    ]
    written = [write_tally(m, tmp_path / f"{i}.parquet") for i, m in enumerate(merges)]
    assert len({p.read_bytes() for p in written}) == 1
    same(merge_sites({"a": a}), a)


def test_a_tally_read_again_is_the_tally(site, path, table):
    same(read_tally(path), site)
    with_faces = tally_site(table, LEAN, faces=True)
    again = read_tally(write_tally(with_faces, path)).faces
    assert list(again["best"]) == list(with_faces.faces["best"])
    assert list(again["sample_id"]) == list(with_faces.faces["sample_id"])


@pytest.mark.parametrize(
    "asked",
    [
        {"by": ("gender_true",)},
        {"by": ("age_group", "race"), "depth": 2},
        {"by": ("race",), "control": ("gender_true",), "seed": 3, "model": "other"},
    ],
)
def test_fewer_features_or_another_order_can_be_audited_than_were_counted(asked, table, tmp_path):
    counted = write_tally(tally_site(table, LEAN.replace(by=BY)), tmp_path / "t.parquet")
    settings = AuditSettings(**{"depth": 1, "model": "one"} | asked)
    ours = run_audit(counted, settings=settings)
    theirs = run_audit(table, settings=settings)
    assert body(ours, without=["worst"]) == body(theirs, without=["worst"])


def test_sites_may_name_their_columns_and_their_model_each_in_its_way(table):
    first, second = parts_of(table, n=2)
    foreign = second.rename(columns={"age_pred": "their_age"})
    theirs = tally_site(foreign, LEAN.replace(columns={"age_pred": "their_age"}, model=None))
    merged = merge_sites({"b": theirs, "a": tally_site(first, LEAN)})
    same(merged, replace(merged_of([first, second], LEAN), sites=merged.sites))


def test_where_only_one_site_knows_its_people_the_others_rows_are_people_of_their_own(table):
    first, second = parts_of(table, n=2)
    named = first.assign(subject_id=[f"p{i // 2}" for i in range(len(first))])
    merged = merged_of([named, second], LEAN)
    pooled = tally_site(pd.concat([named, second]), LEAN)
    assert merged.facts.notes == pooled.facts.notes
    assert any("no subject_id" in note for note in merged.facts.notes)
    assert merged.tally.subjects == pooled.tally.subjects


def test_people_at_two_sites_make_the_number_of_people_an_upper_limit_and_it_is_said(tmp_path):
    table = faces(photos_per_person=3)
    parts = [table[table["sample_id"] % 2 == i] for i in (0, 1)]
    merged, pooled = merged_of(parts, LEAN), tally_site(table, LEAN)
    assert merged.tally.subjects > pooled.tally.subjects
    for name in FRAMES:  # a person's photos fall into one shard, at whichever site
        pd.testing.assert_frame_equal(getattr(merged.tally, name), getattr(pooled.tally, name))
    result = run_audit(write_tally(merged, tmp_path / "all.parquet"))
    said = " ".join(result.info["run"]["sites"]["notes"])
    assert "upper limit" in said
    assert "2 sites" in said


def test_one_constant_reading_is_noted_only_where_every_site_has_it(table):
    parts = parts_of(table, n=2)
    alike = merged_of([p.assign(age_pred=30.0) for p in parts], LEAN)
    assert any("read as 30 years old" in note for note in alike.facts.notes)
    unlike = merged_of([p.assign(age_pred=30.0 + i) for i, p in enumerate(parts)], LEAN)
    assert not any("years old" in note for note in unlike.facts.notes)


# Small cells


@pytest.mark.parametrize("photos", [1, 2])
def test_small_cells_are_withheld_in_every_table_as_if_their_rows_were_not_there(photos):
    table = faces(photos_per_person=photos)
    settings = LEAN.replace(by=BY)
    ours = tally_site(table, settings, min_cell=8)
    rows = table[(table["split"] != "train") & table["age_true"].between(0, 120)]
    rows = rows[rows["age_pred"].notna() | rows["gender_true"].notna()]
    groups = pd.cut(rows["age_true"], [0, 3, 10, 20, 30, 40, 50, 60, 70, 121], right=False)
    cells = [rows["race"].fillna("-"), rows["gender_true"].fillna("-"), groups.astype(str)]
    who = rows["sample_id" if photos == 1 else "subject_id"]
    people = who.groupby(cells).transform("nunique")
    assert (people < 8).any()
    theirs = tally_site(rows[people >= 8], settings)
    for name in FRAMES:
        pd.testing.assert_frame_equal(getattr(ours.tally, name), getattr(theirs.tally, name))
    assert ours.tally.rows_left_out["withheld: a cell of fewer than 8 people"] == (people < 8).sum()
    assert (
        ours.facts.counts[WITHHELD]
        == rows[people < 8].groupby([c[people < 8] for c in cells]).ngroups
    )


def test_what_is_withheld_is_counted_noted_and_never_named(table, tmp_path):
    rare = table.assign(race=table["race"].where(table["sample_id"] != 7, "Rarest"))
    rare.loc[rare["sample_id"] == 7, ["age_true", "split"]] = [30.0, "test"]
    rare.loc[rare["sample_id"] == 8, ["age_true", "split", "gender_true"]] = [30.0, "test", "Odd"]
    kept = write_tally(tally_site(rare, LEAN), tmp_path / "kept.parquet")
    assert b"Rarest" in kept.read_bytes()
    assert b"Odd" in kept.read_bytes()
    parts = parts_of(rare, n=2)
    merged = merged_of(parts, LEAN, min_cell=5)
    held = write_tally(merged, tmp_path / "held.parquet")
    assert b"Rarest" not in held.read_bytes()
    assert b"Odd" not in held.read_bytes()
    info = run_audit(held).info
    assert info["rows_read"] == info["rows_audited"] + sum(info["rows_left_out"].values())
    assert any("withheld where they were read" in note for note in info["notes"])
    same(tally_site(table, LEAN, min_cell=1), tally_site(table, LEAN))


def test_withholding_is_no_fault_even_when_strict_but_nothing_left_is(table):
    clean = synthetic_predictions(300, seed=2, races=THREE)
    strict = LEAN.replace(by=BY, strict=True)
    assert tally_site(clean, strict, min_cell=5).tally.rows_left_out
    with pytest.raises(InputError, match="none of the 300 rows can be audited"):
        tally_site(clean, strict, min_cell=10_000)
    with pytest.raises(InputError, match="--min-cell is 0"):
        tally_site(clean, strict, min_cell=0)


# What cannot be added up


def test_a_number_must_be_cut_where_every_site_cuts_it(table):
    lit = table.assign(light=np.linspace(0, 1, len(table)))
    with pytest.raises(InputError, match=r"own quintiles.*--cuts light=a,b,c"):
        tally_site(lit, LEAN.replace(by=("race", "light")))
    cuts = LEAN.replace(by=("race", "light"), cuts={"light": (0.1, 1 / 3)})
    merged = merged_of(parts_of(lit), cuts)
    same(replace(merged, sites=()), replace(tally_site(lit, cuts), sites=()))


def test_rows_named_by_their_number_are_refused(table):
    with pytest.raises(InputError, match="no sample_id"):
        tally_site(table.drop(columns="sample_id"), LEAN)


@pytest.mark.parametrize(
    ("other", "words"),
    [
        ({"by": ("gender_true", "race")}, "different --by"),
        ({"control": ("age_group",)}, "different --control"),
        ({"age_groups": (0, 18, 40)}, "different --age-groups .*0,3,10.*; 0,18,40"),
        ({"threshold": 0.7}, "different --threshold"),
        ({"split": "test"}, "different --split"),
        ({"model": "two"}, "different models .one; two."),
    ],
)
def test_sites_that_counted_otherwise_are_named_with_what_differs(table, other, words):
    first, second = parts_of(table, n=2)
    parts = {
        "north.parquet": tally_site(first, LEAN),
        "south.parquet": tally_site(second, LEAN.replace(**other)),
    }
    with pytest.raises(InputError, match=f"north.parquet and south.parquet .*{words}"):
        merge_sites(parts)


def test_features_that_the_tables_themselves_offer_must_be_the_same(table):
    first, second = parts_of(table, n=2)
    open_ = LEAN.replace(by=None)
    parts = {"a": tally_site(first, open_), "b": tally_site(second.drop(columns="race"), open_)}
    with pytest.raises(InputError, match="a and b: tallies differ in their features"):
        merge_sites(parts)


def test_the_same_site_twice_is_refused_also_inside_a_merge(table):
    first, second = (tally_site(part, LEAN) for part in parts_of(table, n=2))
    both = merge_sites({"a": first, "b": second})
    with pytest.raises(InputError, match="all and b hold the counts of the same rows"):
        merge_sites({"all": both, "b": second})
    with pytest.raises(InputError, match="no tally"):
        merge_sites({})


@pytest.mark.parametrize(
    ("asked", "words"),
    [
        ({"age_groups": (0, 18)}, "--age-groups is settled when rows are counted"),
        ({"cuts": {"light": (0.5,)}}, "--cuts is settled"),
        ({"columns": {"age_pred": "x"}}, "--column is settled"),
        ({"strict": True}, "--strict is settled"),
        ({"by": ("rase",)}, "does not count by 'rase'; did you mean 'race'"),
        ({"control": ("age_group",)}, "does not count by 'age_group'"),
    ],
)
def test_what_shaped_the_counts_cannot_be_asked_of_them(path, asked, words):
    with pytest.raises(InputError, match=words):
        run_audit(path, settings=AuditSettings(**asked))


def test_a_setting_given_at_its_default_is_not_taken_for_one_left_out(tmp_path, table):
    path = tmp_path / "tally.parquet"
    write_tally(tally_site(table, LEAN.replace(threshold=0.7)), path)
    assert run_audit(path).info["settings"]["threshold"] == 0.7
    with pytest.raises(InputError, match=r"--threshold is settled when rows .*: 0\.7"):
        run_audit(path, settings=AuditSettings().replace(threshold=0.5))
    assert "given" not in run_audit(path).info["settings"]


# Damage


def test_a_cut_file_a_foreign_file_a_folder_and_none_are_told_apart(path, tmp_path, table):
    whole = path.read_bytes()
    for size in (0, 3, 4, len(whole) // 2, len(whole) - 1):
        path.write_bytes(whole[:size])
        with pytest.raises(InputError, match="is no tally, or not the whole of one"):
            read_tally(path)
        assert not is_tally(path)
    table.to_parquet(tmp_path / "rows.parquet")
    with pytest.raises(InputError, match="is no tally"):
        read_tally(tmp_path / "rows.parquet")
    with pytest.raises(InputError, match="is a folder"):
        read_tally(tmp_path)
    with pytest.raises(InputError, match="no such file"):
        read_tally(tmp_path / "none.parquet")
    with pytest.raises(InputError, match="is a folder; name a file in it"):
        write_tally(tally_site(table, LEAN), tmp_path)


def test_a_flipped_bit_never_changes_a_count_in_silence(path, site):
    whole = path.read_bytes()
    refused = 0
    for place in np.random.default_rng(0).integers(4, len(whole) - 8, 60):
        bad = bytearray(whole)
        bad[place] ^= 1 << (place % 8)
        path.write_bytes(bytes(bad))
        try:
            same(read_tally(path), site)
        except InputError:
            refused += 1
    assert refused > 30


def altered(path, change):
    """The tally at `path` with its JSON changed and its checksum made to fit."""
    stacked = pq.read_table(path)
    about = json.loads(pq.read_metadata(path).metadata[TALLY_KEY.encode()])
    about.pop("sha256")
    changed = change(about, stacked)
    stacked = changed if isinstance(changed, pa.Table) else stacked
    about["sha256"] = _digest(about)
    stacked = stacked.replace_schema_metadata({TALLY_KEY: json.dumps(about)})
    with pq.ParquetWriter(path, stacked.schema) as writer:
        for name in stacked["table"].unique():
            writer.write_table(stacked.filter(pa.compute.equal(stacked["table"], name)))


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda about, _: about.update(schema=2), "which counted otherwise"),
        (lambda about, _: about.update(counted="other bins"), "which counted otherwise"),
        (lambda about, _: about.pop("facts"), "is damaged"),
        (lambda about, _: about.update(settings={"dept": 3}), "is damaged"),
        (lambda about, _: about["features"][0].update(levels=["A"]), "is damaged"),
        (lambda about, _: about["tables"].pop("cells"), "is damaged"),
        (lambda about, _: about.update(rows_read=7), "is damaged"),
        (lambda _, stacked: stacked.slice(0, len(stacked) - 1), "is damaged"),
        (lambda _, stacked: stacked.append_column("x", pa.nulls(len(stacked))), None),
    ],
)
def test_a_file_made_to_fit_its_checksum_is_still_not_believed(path, change, words):
    altered(path, change)
    if words is None:
        read_tally(path)
        return
    with pytest.raises(InputError, match=words):
        read_tally(path)


# The audit's folder


def test_an_audit_without_rows_leaves_no_rows_of_an_earlier_one_and_says_where_faces_are(
    table, path, tmp_path
):
    out = tmp_path / "out"
    run_audit(table, settings=LEAN, out=out)
    assert (out / "predictions.parquet").is_file()
    result = run_audit(path, out=out)
    assert not (out / "predictions.parquet").exists()
    page = write_report(result, out, thumbnails=6).read_text(encoding="utf-8")
    assert "none of its rows was read here" in page
    assert "No face is listed" in page
    assert result.info["run"]["sites"]["parts"][0]["rows_read"] == len(table)


def test_a_tally_in_the_folder_of_its_audit_stays_whatever_it_is_called(site, tmp_path):
    path = write_tally(site, tmp_path / "predictions.parquet")
    run_audit(path, settings=LATER, out=tmp_path)
    same(read_tally(path), site)


def test_a_tally_holds_no_id_and_no_line_of_a_table(table, tmp_path):
    marked = table.assign(
        sample_id=[f"id-{i}" for i in range(len(table))], image="secret.jpg", subject_id="somebody"
    )
    marked.to_csv(tmp_path / "site-rows.csv", index=False)
    raw = write_tally(tally_site(tmp_path / "site-rows.csv", LEAN), tmp_path / "t.parquet")
    for word in (b"id-", b"secret", b"somebody", b"site-rows", b"line "):
        assert word not in raw.read_bytes()


# The commands


@pytest.fixture
def sites(table, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for i, part in enumerate(parts_of(table)):
        part.to_csv(f"s{i}.csv", index=False)
    return tmp_path


def test_from_rows_to_the_report_of_all_sites(sites, capsys):
    by = ["--by", "race", "gender_true"]
    for i in range(3):
        assert cli.main(["tally", f"s{i}.csv", "--out", f"t/{i}.parquet", *by]) == 0
    assert capsys.readouterr().out.splitlines()[-1] == "t/2.parquet"
    tallies = [f"t/{i}.parquet" for i in range(3)]
    assert cli.main(["merge", *tallies, "--out", "all.parquet"]) == 0
    assert capsys.readouterr().out.startswith("3 sites: 600 rows read")
    assert cli.main(["audit", "all.parquet", "--out", "out", "--depth", "1"]) == 0
    assert capsys.readouterr().out.splitlines()[-1] == "out/report.html"


def test_a_site_of_one_row_is_counted_and_named_so(sites, capsys):
    pd.read_csv("s0.csv")[:1].to_csv("one.csv", index=False)
    assert cli.main(["tally", "one.csv", "--out", "one.parquet", "--by", "race"]) == 0
    assert capsys.readouterr().out.startswith("1 site: 1 row read, 1 counted")


@pytest.mark.parametrize(
    ("argv", "words"),
    [
        (["tally", "s0.csv", "--out", "s0.csv"], "--out s0.csv is what is read"),
        (["tally", "s[0-1].csv", "--out", "s1.csv"], "--out s1.csv is what is read"),
        (["tally", ".", "--out", "v.parquet"], "lies in the folder that is read"),
        (["tally", "s0.csv", "--out", "."], "is a folder"),
        (["tally", "s0.csv", "--out", "t.CSV"], "t.CSV: a tally is a Parquet; name it t.parquet"),
        (["merge", "t.parquet", "u.parquet", "--out", "v.csv"], "name it v.parquet"),
        (["tally", "s0.csv", "--out", "x", "--min-cel", "5"], "did you mean '--min-cell'"),
        (["tally", "s0.csv", "--out", "x", "--by", "rase"], "did you mean 'race'"),
        (["tally", "t.parquet", "--out", "x"], "holds a tally, counts without rows"),
        (["recalibrate", "t.parquet", "--out", "x"], "holds a tally, counts without rows"),
        (["audit", "*.parquet", "--out", "x"], "holds a tally, counts without rows"),
        (["merge", "t.parquet", "s1.csv", "--out", "x"], "s1.csv is no tally"),
        (["merge", "t.parquet", "t.parquet", "--out", "x"], "t.parquet is named twice"),
        (["merge", "t.parquet", "u.parquet", "--out", "x"], "hold the counts of the same rows"),
        (["merge", "t.parquet", "--out", "t.parquet"], "is what is read"),
        (["merge", "nix.parquet", "--out", "x"], "nix.parquet: no such file"),
        (["merg", "t.parquet"], "did you mean 'merge'"),
    ],
)
def test_a_mistake_is_one_line_and_leaves_nothing(sites, capsys, argv, words):
    write_tally(tally_site("s0.csv", LEAN), sites / "t.parquet")
    shutil.copy("t.parquet", "u.parquet")
    before = {p.name: p.read_bytes() for p in sites.iterdir()}
    assert cli.main(argv) == 2
    said = capsys.readouterr().err
    assert words in said
    assert len(said.splitlines()) == 1
    assert {p.name: p.read_bytes() for p in sites.iterdir()} == before


@pytest.mark.parametrize("at", ["audit.sites.tally_predictions", "audit.tally_file.fingerprint_of"])
def test_interrupted_while_counting_or_adding_up_nothing_is_left(sites, capsys, monkeypatch, at):
    def given_up(*_, **__):
        raise KeyboardInterrupt

    write_tally(tally_site("s0.csv", LEAN), sites / "t.parquet")
    before = {p.name: p.read_bytes() for p in sites.iterdir()}
    monkeypatch.setattr(at, given_up)
    command = ["tally", "s0.csv"] if "sites" in at else ["merge", "t.parquet"]
    assert cli.main([*command, "--out", "x.parquet"]) == 130
    assert capsys.readouterr().err == "faceaudit: interrupted\n"
    assert {p.name: p.read_bytes() for p in sites.iterdir()} == before


def test_marks_are_settled_where_the_rows_are_and_no_tally_tells_their_path(tmp_path):
    table = synthetic_predictions(300, seed=6)
    marks = tmp_path / "marks.jsonl"
    append_line(
        marks, Mark("2026-01-01T00:00:00Z", str(table.sample_id[7]), KINDS[0], "x").record()
    )
    settings = AuditSettings(by=("race",), without_marked=str(marks))
    counted = tally_site(table, settings)
    assert counted.tally.rows_left_out == {f"marked {KINDS[0]}": 1}
    path = write_tally(counted, tmp_path / "t.parquet")
    assert b"marks.jsonl" not in path.read_bytes()
    result = run_audit(path)
    pooled = run_audit(table, settings=settings)
    assert result.info["rows_left_out"] == pooled.info["rows_left_out"]
    assert [n for n in result.info["notes"] if "by hand" in n]
    with pytest.raises(InputError, match="--without-marked is settled when rows are counted"):
        run_audit(path, settings=AuditSettings(without_marked=str(marks)))
