import gzip
import os
import signal
import threading
from functools import partial

import duckdb
import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from audit.config import AuditSettings
from audit.errors import InputError, MachineError
from audit.predictions import open_predictions
from audit.source import open_source, reading_error
from audit.synthetic import synthetic_predictions
from audit.tally import tally_predictions

LINES = ["sample_id,age_true,age_pred,race", "a,30,31.5,Black", "b,40,38,White", "c,50,50,Black"]


@pytest.fixture
def faces():
    return synthetic_predictions(400, seed=3).astype({"race": str, "gender_true": str})


def fingerprint(source, **settings):
    chosen = AuditSettings(**settings)
    return tally_predictions(open_predictions(source, chosen), chosen).fingerprint


def write(path, text):
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return path


def in_every_form(faces, folder):
    """The same rows as DataFrame, CSV, CSV.gz, TSV, Parquet, glob of CSVs, folder of Parquets."""
    faces.to_csv(folder / "t.csv", index=False)
    faces.to_csv(folder / "t.csv.gz", index=False)
    faces.to_csv(folder / "t.tsv", index=False, sep="\t")
    faces.to_parquet(folder / "t.parquet", index=False)
    (folder / "parts").mkdir()
    (folder / "some").mkdir()
    for i, rows in enumerate(np.array_split(np.arange(len(faces)), 3)):
        faces.iloc[rows].to_parquet(folder / "parts" / f"p{i}.parquet", index=False)
        faces.iloc[rows].to_csv(folder / "some" / f"p{i}.csv", index=False)
    names = ("t.csv", "t.csv.gz", "t.tsv", "t.parquet", "parts", "some/p*.csv")
    return [faces, *(folder / name for name in names)]


def test_equal_rows_tally_alike_in_any_form(faces, tmp_path):
    prints = [fingerprint(source) for source in in_every_form(faces, tmp_path)]
    assert len(set(prints)) == 1


def test_a_32_bit_float_is_read_as_the_decimal_that_numpy_prints():
    rng = np.random.default_rng(2)
    given = [rng.random(20_000) * 120, rng.random(20_000), -9.125, np.nan, np.inf, -np.inf, 0]
    given += [np.exp(-25 * rng.random(20_000)), 47.1328125, 61.726562]  # halves go to even digits
    floats = np.concatenate([np.atleast_1d(g) for g in given]).astype(np.float32)
    source = open_source(pd.DataFrame({"x": floats}))
    read = source.frame(f"SELECT {source.columns[0].number} AS x FROM raw ORDER BY row_at")["x"]
    np.testing.assert_array_equal(
        read.fillna(-1), [-1 if np.isnan(x) else float(str(x)) for x in floats]
    )


def test_another_row_changes_the_fingerprint(faces):
    changed = faces.assign(age_pred=faces.age_pred.where(faces.index != 17, faces.age_pred + 1))
    assert fingerprint(faces) != fingerprint(changed)


def test_a_csv_too_long_to_hold_tallies_as_a_short_one(faces, tmp_path, monkeypatch):
    faces.to_csv(tmp_path / "t.csv", index=False)
    held = fingerprint(tmp_path / "t.csv")
    monkeypatch.setattr("audit.source.HELD_BYTES", 0)
    assert fingerprint(tmp_path / "t.csv") == held


@pytest.mark.parametrize(
    "dtype", ["int64", "int8", "float64", "float32", "str", "category", "object", "Int64"]
)
def test_levels_do_not_depend_on_the_type_of_their_column(faces, tmp_path, dtype):
    site = pd.Series(np.arange(len(faces)) % 5)
    plain = fingerprint(faces.assign(site=site))
    typed = faces.assign(site=site.astype(dtype))
    assert fingerprint(typed) == plain
    typed.to_parquet(tmp_path / "t.parquet")
    assert fingerprint(tmp_path / "t.parquet") == plain


def test_a_whole_number_beside_missing_ones_is_still_whole(faces, tmp_path):
    site = (pd.Series(np.arange(len(faces))) % 3).astype(float)
    site[::10] = np.nan
    faces = faces.assign(site=site)
    faces.to_csv(tmp_path / "t.csv", index=False)
    assert "0.0" in (tmp_path / "t.csv").read_text()
    for source in (faces, tmp_path / "t.csv"):
        feature = open_predictions(source, AuditSettings(by=("site",))).features[0]
        assert feature.levels == ("0", "1", "2", "unknown")
    assert fingerprint(faces) == fingerprint(tmp_path / "t.csv")


def test_truth_values_are_one_level_in_any_spelling(faces, tmp_path):
    faces = faces.assign(glasses=np.arange(len(faces)) % 3 == 0)
    faces.to_csv(tmp_path / "t.csv", index=False)
    assert "True" in (tmp_path / "t.csv").read_text()
    assert fingerprint(faces) == fingerprint(tmp_path / "t.csv")


def test_a_32_bit_float_is_the_number_a_csv_shows(tmp_path):
    rng = np.random.default_rng(0)
    pred = np.round(rng.uniform(20, 60, 3000), 3).astype(np.float32)  # many end in a half of 1/100
    faces = pd.DataFrame({"sample_id": np.arange(3000), "age_true": 40, "age_pred": pred})
    faces.to_csv(tmp_path / "t.csv", index=False)
    assert fingerprint(faces) == fingerprint(tmp_path / "t.csv")


def test_a_byte_order_mark_semicolons_and_decimal_commas_are_read(tmp_path):
    plain = write(tmp_path / "a.csv", "\n".join(LINES) + "\n")
    swapped = "\r\n".join(line.replace(",", ";").replace(".", ",") for line in LINES)
    excel = write(tmp_path / "b.csv", b"\xef\xbb\xbf" + swapped.encode())
    assert fingerprint(plain) == fingerprint(excel)


def test_quoted_cells_may_hold_commas_quotes_and_line_ends(tmp_path):
    text = 'sample_id,age_true,age_pred,race\n"a,1",3,4,"two\nlines"\n"b""2",3,5,"x, y"\n'
    opened = open_predictions(write(tmp_path / "t.csv", text), AuditSettings())
    assert opened.features[0].levels == ("two\nlines", "x, y")
    ids = opened.con.execute("SELECT sample_id FROM faces ORDER BY 1").fetchall()
    assert ids == [("a,1",), ('b"2',)]


def test_foreign_words_and_hostile_names_are_only_text(tmp_path):
    faces = pd.DataFrame(
        {
            "sample_id": ["a'; DROP VIEW raw; --", "😀", "é"],
            "age_true": [1, 2, 3],
            "age_pred": [1, 2, 3],
            "ra'ce\"; --": ["<img onerror=x>", "O'Hara", "é"],
            "Race": ["x", "y", "x"],
        }
    )
    faces.to_csv(tmp_path / "t.csv", index=False)
    for source in (faces, tmp_path / "t.csv"):
        opened = open_predictions(source, AuditSettings())
        assert opened.features[0].name == "ra'ce\"; --"
        assert opened.features[0].levels == ("<img onerror=x>", "O'Hara", "é")
        assert opened.features[1].name == "Race"


def test_columns_that_differ_in_case_only_stay_two(tmp_path):
    faces = pd.DataFrame(
        {
            "sample_id": range(4),
            "age_true": 5,
            "age_pred": 6,
            "Site": list("aabb"),
            "site": list("xyxy"),
        }
    )
    faces.to_csv(tmp_path / "t.csv", index=False)
    pq.write_table(pa.Table.from_pandas(faces), tmp_path / "t.parquet")
    for source in (faces, tmp_path / "t.csv", tmp_path / "t.parquet"):
        features = {f.name: f.levels for f in open_predictions(source, AuditSettings()).features}
        assert features["Site"] == ("a", "b")
        assert features["site"] == ("x", "y")


def test_only_the_columns_needed_are_read(tmp_path):
    faces = pd.DataFrame(
        {"sample_id": range(9), "age_true": 5, "age_pred": 6, "note": "long " * 50}
    )
    faces.to_parquet(tmp_path / "t.parquet")
    opened = open_predictions(tmp_path / "t.parquet", AuditSettings(by=("age_group",)))
    plan = opened.con.execute("EXPLAIN SELECT sum(error) FROM faces").fetchall()[0][1]
    assert "age_pred" in plan
    assert "note" not in plan


def test_nested_and_nameless_columns_are_passed_over_and_said(tmp_path):
    nested = pa.table(
        {"sample_id": [1, 2], "age_true": [3, 4], "age_pred": [3, 4], "box": [[1, 2], [3, 4]]}
    )
    pq.write_table(nested, tmp_path / "t.parquet")
    notes = open_predictions(tmp_path / "t.parquet", AuditSettings()).notes
    assert any("'box'" in note for note in notes)
    nameless = write(tmp_path / "t.csv", ",sample_id,age_true,age_pred\n0,a,3,4\n1,b,4,5\n")
    notes = open_predictions(nameless, AuditSettings()).notes
    assert any("column 1" in note for note in notes)


def test_the_index_of_pandas_is_no_feature(tmp_path, faces):
    odd = faces.iloc[::2]
    odd.to_parquet(tmp_path / "t.parquet", index=True)
    odd.reset_index(names="Unnamed: 0").to_csv(tmp_path / "t.csv", index=False)
    for name in ("t.parquet", "t.csv"):
        read = open_predictions(tmp_path / name, AuditSettings())
        assert [f.name for f in read.features] == ["race", "gender_true", "age_group"]
        assert any("index of pandas" in note for note in read.notes)
    assert fingerprint(tmp_path / "t.csv") == fingerprint(odd)


def refused(source, **settings):
    with pytest.raises(InputError) as error:
        open_predictions(source, AuditSettings(**settings))
    words = str(error.value)
    assert "\n" not in words
    return words


@pytest.mark.parametrize("ending", [b"d,60", b'd,60,61,"Bla', b"d,60,61"])
def test_a_csv_cut_in_mid_line_names_file_and_line(tmp_path, ending):
    cut = write(tmp_path / "cut.csv", "\n".join(LINES).encode() + b"\n" + ending)
    words = refused(cut)
    assert "cut.csv, line 5" in words
    assert "cut off" in words


def test_a_csv_with_a_cell_too_many_names_the_line(tmp_path):
    words = refused(write(tmp_path / "t.csv", "\n".join([*LINES, "d,1,2,x,9"])))
    assert "line 5: 5 fields where the header has 4" in words


def test_a_cut_gzip_is_named(tmp_path):
    whole = gzip.compress("\n".join([*LINES, *(f"x{i},1,2,x" for i in range(9999))]).encode())
    assert "cut.csv.gz" in refused(write(tmp_path / "cut.csv.gz", whole[: len(whole) // 2]))


def test_a_cut_parquet_is_named(tmp_path, faces):
    faces.to_parquet(tmp_path / "t.parquet")
    raw = (tmp_path / "t.parquet").read_bytes()
    words = refused(write(tmp_path / "cut.parquet", raw[: len(raw) // 2]))
    assert "cut.parquet cannot be read, is it cut off or damaged?" in words
    assert "0 bytes" in refused(write(tmp_path / "none.parquet", b""))


def test_a_damaged_page_of_a_parquet_is_named(tmp_path, faces):
    pq.write_table(pa.Table.from_pandas(faces), tmp_path / "t.parquet", compression="zstd")
    raw = bytearray((tmp_path / "t.parquet").read_bytes())
    raw[200:400] = bytes(200)
    words = refused(write(tmp_path / "bad.parquet", bytes(raw)))
    assert "bad.parquet cannot be read" in words


def test_text_in_another_encoding_is_named(tmp_path):
    assert "UTF-8" in refused(write(tmp_path / "t.csv", ("\n".join(LINES) + "é").encode("latin-1")))
    assert "UTF-8" in refused(write(tmp_path / "h.csv", "né,age_true\n".encode("latin-1")))


@pytest.mark.parametrize("text", ["", "\n", "sample_id,age_true,age_pred\n"])
def test_a_table_without_rows_is_said(tmp_path, text):
    assert "no rows" in refused(write(tmp_path / "t.csv", text))


def test_an_empty_frame_has_no_rows():
    assert "no rows" in refused(pd.DataFrame({"age_true": [], "age_pred": []}))


def test_missing_files_empty_folders_and_mixtures_are_named(tmp_path, faces):
    assert "no such file" in refused(tmp_path / "none.csv")
    assert "no file matches" in refused(tmp_path / "none*.csv")
    assert "no .parquet" in refused(tmp_path)
    faces.to_parquet(tmp_path / "a.parquet")
    faces.to_csv(tmp_path / "b.csv")
    assert "mixes" in refused(tmp_path / "*")


def test_csv_parts_must_share_their_header(tmp_path):
    write(tmp_path / "a.csv", "\n".join(LINES))
    write(tmp_path / "b.csv", "\n".join(LINES).replace("race", "site"))
    assert "differ in their header" in refused(tmp_path / "*.csv")


def test_two_columns_of_one_name_are_refused(tmp_path):
    assert "two columns named 'x'" in refused(write(tmp_path / "t.csv", "x,x,age_true\n1,2,3\n"))


def test_a_row_is_named_by_its_place_in_its_own_file(tmp_path):
    for name, ids in (("a", "xy"), ("b", "zx")):
        frame = pd.DataFrame({"sample_id": list(ids), "age_true": 3, "gender_true": "F"})
        frame.assign(gender_score=[0.2, 7 if name == "b" else 0.1]).to_parquet(
            tmp_path / f"{name}.parquet"
        )
    assert "first: b.parquet row 2, '7.0'" in refused(tmp_path / "*.parquet")


def test_metadata_of_the_parquet_is_kept(tmp_path, faces):
    table = pa.Table.from_pandas(faces).replace_schema_metadata({"model": "compact"})
    pq.write_table(table, tmp_path / "t.parquet")
    assert open_source(tmp_path / "t.parquet").metadata["model"] == "compact"


def test_want_of_memory_is_the_machines_fault_and_a_wrong_query_is_ours():
    full = duckdb.OutOfMemoryException("could not allocate")
    assert isinstance(reading_error(full, "t"), MachineError)
    bug = duckdb.BinderException("no such column")
    assert reading_error(bug, "t") is bug


@pytest.mark.parametrize("way", ["rows", "frame", "hold"])
def test_a_query_that_memory_does_not_hold_is_told_whichever_way_it_is_asked(faces, way):
    source = open_source(faces)
    source.con.execute("SET temp_directory = ''")
    source.con.execute("SET memory_limit = '10MB'")
    ask = partial(source.hold, "held_once") if way == "hold" else getattr(source, way)
    with pytest.raises(MachineError, match="not enough memory to scan"):
        ask("SELECT list(i) AS all_of_them FROM range(10_000_000) AS t(i)")


@pytest.fixture
def heard_ctrl_c():
    """SIGINT as a terminal sends it; who is started in the background ignores it."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.mark.usefixtures("heard_ctrl_c")
def test_ctrl_c_ends_a_query_at_once_and_leaves_the_connection_whole():
    source = open_source(pd.DataFrame({"a": [1, 2]}))
    hours = "SELECT count(*) AS n FROM range(100000000000000) t(a) WHERE a % 7 = 3"
    threading.Timer(0.3, lambda: os.kill(os.getpid(), signal.SIGINT)).start()
    with pytest.raises(KeyboardInterrupt):
        source.one(hours)
    assert source.one("SELECT count(*) AS n FROM raw") == {"n": 2}
