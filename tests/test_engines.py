"""Another engine counts what DuckDB counts, to the last bit, and what it cannot read is named."""

import json
import math
import os
import re
import subprocess
import sys
import unicodedata
from collections import namedtuple
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from browser import clean_environment
from engines_here import BY, DATAFUSION, SPARK, here_or_skip, table_of_nuisances

from audit.cli import main
from audit.columns import EMPTY_WORDS, Column
from audit.config import AuditSettings
from audit.contract import id_text, map_names
from audit.engines import engine_named, open_table
from audit.errors import InputError
from audit.levels import code_sql
from audit.merging import merge_sites
from audit.normalised import write_normalised
from audit.predictions import open_predictions
from audit.run import run_audit
from audit.scan import scan
from audit.shards import key_of, key_sql, shard_of, sharded
from audit.sites import tally_site
from audit.tally import tally_predictions

SETTINGS = AuditSettings(by=BY)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("engines")
    rows = table_of_nuisances()
    rows.to_parquet(folder / "t.parquet")
    rows.to_csv(folder / "t.csv", index=False)
    (folder / "parts").mkdir()
    for i in range(3):
        rows[i::3].to_parquet(folder / "parts" / f"{i}.parquet")
    return folder


@pytest.fixture(scope="module")
def ours(folder):
    return audited(folder / "t.parquet", "duckdb", folder / "ours")


@pytest.fixture(params=[SPARK, DATAFUSION])
def engine(request):
    return here_or_skip(request.param)


def audited(path, engine, out):
    """The tally's fingerprint, result.json without `info.run`, and the rows' file as bytes."""
    scanned = scan(path, SETTINGS, engine=engine)
    result = run_audit(scanned, out=out)
    assert result.info["run"]["engine"].split()[0] in engine
    assert result.info["rows_audited"] > 400
    info = {name: value for name, value in result.info.items() if name != "run"}
    text = replace(result, info=info).to_json()
    return scanned.tally.fingerprint, text, (out / "predictions.parquet").read_bytes()


# The whole audit ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("engine", "name"), [(SPARK, "t.parquet"), (SPARK, "t.csv"), (DATAFUSION, "t.parquet")]
)
def test_an_audit_is_byte_for_byte_that_of_duckdb(folder, ours, tmp_path, engine, name):
    fingerprint, text, rows = audited(folder / name, here_or_skip(engine), tmp_path)
    assert fingerprint == ours[0]
    assert text == ours[1]
    if engine == SPARK:  # DataFusion's rows have no order: they are written by sample_id
        assert rows == ours[2]


def test_of_a_table_too_long_to_write_the_same_rows_are_drawn(folder, tmp_path):
    written = []
    for engine in ("duckdb", here_or_skip(SPARK)):
        read = open_predictions(folder / "t.parquet", AuditSettings(by=("race",)), engine=engine)
        errors = tally_predictions(read, AuditSettings()).errors
        assert 0 < write_normalised(read, tmp_path / engine[:5], errors, most=200) < 300
        written.append((tmp_path / engine[:5]).read_bytes())
    assert written[0] == written[1]


def test_many_files_are_counted_as_one(folder, ours):
    tally = scan(folder / "parts", SETTINGS, engine=here_or_skip(SPARK)).tally
    assert tally.fingerprint == ours[0]


@pytest.mark.parametrize("engine", ["duckdb", SPARK])
@pytest.mark.parametrize("kind", ["parquet", "csv"])
def test_a_file_is_read_by_its_name_whatever_it_means_to_a_shell(tmp_path, engine, kind):
    names = ["a b", "p[1]", "p*", "q{a,b}", "ü%20", "p?"]
    decoys = ["p1", "pp", "qa", "ü "]  # what those names would match, or say
    for i, name in enumerate([*names, *decoys]):
        ids = range(100 * i, 100 * i + 30)
        rows = pd.DataFrame({"sample_id": ids, "age_true": 30, "age_pred": 30 + i})
        rows.to_parquet(tmp_path / f"{name}.parquet")
        rows.to_csv(tmp_path / f"{name}.csv", index=False)
    reader = here_or_skip(engine) if engine == SPARK else engine
    for i, name in enumerate(names):
        tally = scan(tmp_path / f"{name}.{kind}", AuditSettings(), engine=reader).tally
        assert (tally.rows_read, tally.cells["age_err"].sum()) == (30, 3000 * i)
    if kind == "parquet":
        several = scan(tmp_path, AuditSettings(), engine=reader)
        assert several.tally.rows_read == 300
    if kind == "parquet" and engine == "duckdb":  # row numbers, whatever the way to the files
        (tmp_path / "x [1]").mkdir()
        (tmp_path / "a").mkdir()
        for name in ("1", "2"):
            rows.drop(columns="sample_id").to_parquet(tmp_path / "x [1]" / f"{name}.parquet")
        numbered = open_predictions(tmp_path / "a" / ".." / "x [1]", AuditSettings())
        ids = numbered.source.frame("SELECT DISTINCT sample_id FROM faces")["sample_id"]
        assert len(ids) == 60


def test_parts_counted_by_three_engines_add_up_to_the_whole(folder, tmp_path):
    settings = SETTINGS.replace(by=("race", "gender_true"), columns={"lit": "light"})
    engines = ["duckdb", here_or_skip(SPARK), here_or_skip(DATAFUSION)]
    parts = {
        engine: tally_site(folder / "parts" / f"{i}.parquet", settings, engine=engine, faces=True)
        for i, engine in enumerate(engines)
    }
    merged = merge_sites(parts)
    whole = tally_site(folder / "t.parquet", settings, faces=True)
    assert merged.tally.fingerprint == whole.tally.fingerprint
    pd.testing.assert_frame_equal(merged.faces, whole.faces)


def test_small_cells_are_withheld_alike(folder, engine):
    settings = SETTINGS.replace(by=("race", "gender_true", "camera"))
    theirs, own = (
        tally_site(folder / "t.parquet", settings, min_cell=8, engine=where)
        for where in (engine, "duckdb")
    )
    assert own.tally.rows_left_out["withheld: a cell of fewer than 8 people"] > 5
    assert theirs.tally.fingerprint == own.tally.fingerprint
    assert theirs.facts == own.facts


# One rewrite at a time ------------------------------------------------------------------------

TEXTS = [
    *(
        "",
        " ",
        "nan",
        "NaN",
        "-nan",
        "None",
        "12",
        " 12 ",
        "\t12\n",
        "12\n",
        "+5",
        "-0",
        ".5",
        "5.",
    ),
    *("1.e3", "1e5", "1E-5", "1e400", "-1e400", "inf", "-inf", "Infinity", "+inf", "-infinity"),
    *("1_000", "1__0", "_1", "1_", "0x10", "12d", "12f", "1e", "--5", "1,5", "a b", "١٢", "1 2"),
    *("999999999999999999", "1000000000000000000", "31.005", "0.1", "é 𝄞", "\u00a0x\u2003", "007"),
    *("12.0", "12.0\n", "0.0", ".0", "1.00", "O'Brien", "back\\slash", "%", "person 0042"),
]
DOUBLES = [0.0, -0.0, 1.0, 12.0, -7.0, 0.1, 31.005, 4.315, 1e14, 123456789.0, 0.05, 99.995, 2.5e-3]
DOUBLES += [math.nan, math.inf, -math.inf, 120.0, 120.00000000000001, 1.7976931348623157e308]
WHOLE = [0, 1, 9, 10, 11, 12345, 1_000_000, 2**40, 3, 4, 5, 6, 7, 8, 19, 20, 21, 99, 100, 100_000]
SINGLES = [31.005, 0.1, 0.5, 1 / 3, 2.0**-27, 47.1328125, 61.726562, -9.125, 1e-3, 99.995]
SPACES = "".join(chr(i) for i in range(0x3001) if unicodedata.category(chr(i)) == "Zs")
LIMITS = {"red": "warm", "O'Brien": "warm", "12": "cold", "": "none"}
LEVELS = ("cold", "none", "warm")


def number(text):
    """What a cell of a column of numbers holds; infinite where it holds none."""
    if text is None or text.strip(SPACES).lower() in EMPTY_WORDS:
        return None
    bare = text.strip(" \t\n\v\f\r")
    digits = "[0-9]+"  # 1_000 is none, though engines read it
    if re.fullmatch(rf"[+-]?({digits}\.?({digits})?|\.{digits})([eE][+-]?{digits})?", bare):
        return float(bare)
    found = {"-inf": -math.inf, "-infinity": -math.inf, "-nan": math.nan, "+nan": math.nan}
    return found.get(bare.lower(), math.inf)


# SQL on a table of t (text), x (double), n (whole), s (32-bit float), and the same in Python.
REWRITES = {
    "finite": ("isfinite({x})", lambda r: math.isfinite(r.x)),
    "no NaN": ("nullif({x}, 'nan'::DOUBLE)", lambda r: None if math.isnan(r.x) else r.x),
    "in": ("CAST({x} AS DOUBLE) BETWEEN 0 AND 120", lambda r: 0 <= r.x <= 120),
    "fixed": ("CASE WHEN abs({x}) < 1e9 THEN floor({x} * 100 + 0.5)::BIGINT END",
              lambda r: math.floor(r.x * 100 + 0.5) if abs(r.x) < 1e9 else None),
    "decimals": ("{x} / 0.05", lambda r: r.x / 0.05),
    "reached": ("CASE WHEN isfinite({x}) THEN (CAST({x} AS DOUBLE) >= 0.0)::SMALLINT ELSE 7 END",
                lambda r: int(r.x >= 0) if math.isfinite(r.x) else 7),
    "spelt": (
        """CASE WHEN abs({x}) < 1e15 OR NOT isfinite({x})
        THEN replace(CAST({x} AS VARCHAR), '-0.0', '0.0') END""",
        lambda r: repr(r.x + 0.0) if abs(r.x) < 1e15 or not math.isfinite(r.x) else None,
    ),
    "quotient": ("(abs({n}) + 9) // 10", lambda r: (abs(r.n) + 9) // 10),
    "division": ("{n} / 100", lambda r: r.n / 100),
    "bits": ("xor({n}, {n} >> 2) + ({n} & 3) + (({n} > 5)::BIGINT << 31)",
             lambda r: (r.n ^ (r.n >> 2)) + (r.n & 3) + ((r.n > 5) << 31)),
    "place": ("(['a', 'O''Brien', 'c\\d'])[({n} % 5) + 1]",
              lambda r: dict(enumerate(["a", "O'Brien", "c\\d"])).get(r.n % 5)),
    "trimmed": ("trim({t})", lambda r: r.t and r.t.strip(SPACES)),
    "digits": ("regexp_full_match({t}, '[0-9]{{1,18}}')",
               lambda r: None if r.t is None else bool(re.fullmatch("[0-9]{1,18}", r.t))),
    "number": (Column("t", "{t}", "text").number,
               lambda r: number(r.t)),
    "single": (Column("s", "{s}", "single").number, lambda r: float(str(np.float32(r.s)))),
}  # fmt: skip


Row = namedtuple("Row", "id t x n s")


@pytest.fixture(scope="module")
def zoo(tmp_path_factory):
    """Awkward values in a Parquet: every text, double, whole number and 32-bit float above."""
    size = max(map(len, (TEXTS, DOUBLES, WHOLE, SINGLES))) + 1
    columns = {
        "id": range(size),
        "t": [*TEXTS, *[None] * (size - len(TEXTS))],
        "x": [DOUBLES[i % len(DOUBLES)] for i in range(size)],
        "n": [WHOLE[i % len(WHOLE)] for i in range(size)],
        "s": [np.float32(SINGLES[i % len(SINGLES)]) for i in range(size)],
    }
    path = tmp_path_factory.mktemp("zoo") / "zoo.parquet"
    table = pa.table({name: pa.array([*values]) for name, values in columns.items()})
    pq.write_table(table, path)
    return path, [Row(*values) for values in zip(*columns.values(), strict=True)]


@pytest.fixture(scope="module")
def sources(zoo):
    opened = {}

    def of(engine):
        if engine not in opened:
            opened[engine] = open_table(zoo[0], engine=engine)
        return opened[engine]

    return of


def alike(a, b):
    if isinstance(a, float) and isinstance(b, float) and math.isnan(a):
        return math.isnan(b)
    return a == b and (a is None) == (b is None)


@pytest.mark.parametrize("engine", ["duckdb", SPARK, DATAFUSION])
def test_every_rewrite_gives_what_python_works_out(zoo, sources, engine):
    source = sources(engine if engine == "duckdb" else here_or_skip(engine))
    names = {c.name: c.sql for c in source.columns}
    sql = ", ".join(
        f"{text.format(**names)} AS r{i}" for i, (text, _) in enumerate(REWRITES.values())
    )
    found = source.rows(f"SELECT {names['id']}, {sql} FROM raw ORDER BY 1")
    assert len(found) == len(zoo[1])
    for row, (_, *got) in zip(zoo[1], found, strict=True):
        for (name, (_, truth)), value in zip(REWRITES.items(), got, strict=True):
            assert alike(truth(row), value), f"{name} of {row}: {value!r}, not {truth(row)!r}"


@pytest.mark.parametrize("engine", ["duckdb", SPARK, DATAFUSION])
def test_keys_shards_and_levels_are_those_of_python(zoo, sources, engine):
    source = sources(engine if engine == "duckdb" else here_or_skip(engine))
    column = next(c for c in source.columns if c.name == "t")
    code = code_sql(column, {**LIMITS, None: "unknown"}, (*LEVELS, "unknown"))
    rows = sharded("raw", key_sql(column.sql))
    found = source.rows(f"SELECT c0, key, shard, {code} FROM {rows} ORDER BY 1")
    for row, (_, key, shard, level) in zip(zoo[1], found, strict=True):
        assert (key, shard) == ((None, None) if row.t is None else (key_of(row.t), shard_of(key)))
        assert level == (*LEVELS, "unknown").index(LIMITS.get(row.t, "unknown"))


def test_aggregates_count_only_the_rows_they_are_told_to(zoo, sources, engine):
    sql = (
        "SELECT count(*) FILTER (c3 > 10) AS a, "
        "sum(c3) FILTER (c3 > 10 AND c1 IS NOT NULL)::BIGINT AS b, count(DISTINCT hash(c1)) AS c, "
        "bit_count(bitstring_agg(c0, 0, 99)) AS d FROM raw"
    )
    rows = zoo[1]
    assert sources(engine).one(sql) == {
        "a": sum(r.n > 10 for r in rows),
        "b": sum(r.n for r in rows if r.n > 10 and r.t is not None),
        "c": len({r.t for r in rows} - {None}),
        "d": len(rows),
    }


def test_whole_ids_that_pandas_made_floats_are_the_ids_they_were(tmp_path, engine):
    ids = [1.0, 12.0, 123456789.0, 1e14, None]
    path = tmp_path / "t.parquet"
    pd.DataFrame(
        {"sample_id": list("abcde"), "subject_id": ids, "age_true": 1.0, "age_pred": 2.0}
    ).to_parquet(path)
    source = open_table(path, engine=engine)
    table = map_names(source, AuditSettings())
    found = source.rows(f"SELECT c0, {id_text(table, 'subject_id')} FROM raw ORDER BY 1")
    assert [text for _, text in found] == ["1", "12", "123456789", "100000000000000", None]


# What cannot be read --------------------------------------------------------------------------


def refusal(path, engine):
    with pytest.raises(InputError) as caught:
        open_predictions(path, AuditSettings(), engine=engine)
    return str(caught.value)


FAULTS = {
    "score": ("gender_score", 1.5),
    "low": ("age_low", 500.0),
    "id": ("sample_id", "photo 00008 of the long table é"),
}


@pytest.mark.parametrize("fault", FAULTS)
@pytest.mark.parametrize("name", ["t.parquet", "t.csv"])
def test_spark_refuses_a_table_in_the_words_of_duckdb(tmp_path, fault, name):
    rows = table_of_nuisances(200)
    column, value = FAULTS[fault]
    rows.loc[40, column] = value
    rows.to_parquet(tmp_path / "t.parquet")
    rows.to_csv(tmp_path / "t.csv", index=False)
    words = refusal(tmp_path / name, here_or_skip(SPARK))
    assert words == refusal(tmp_path / name, "duckdb")
    assert fault == "id" or re.search(r"row 41|line 42", words)


def test_a_table_without_order_names_the_face_that_breaks_it(tmp_path):
    rows = table_of_nuisances(200)
    rows.loc[40, "gender_score"] = 1.5
    rows.to_parquet(tmp_path / "t.parquet")
    words = refusal(tmp_path / "t.parquet", here_or_skip(DATAFUSION))
    assert f"sample_id {rows['sample_id'][40]}, '1.5'" in words
    rows.drop(columns="sample_id").to_parquet(tmp_path / "nameless.parquet")
    assert "give each face an id" in refusal(tmp_path / "nameless.parquet", DATAFUSION)


def test_a_line_cut_short_is_refused_by_spark(tmp_path):
    path = tmp_path / "t.csv"
    table_of_nuisances(200).to_csv(path, index=False)
    path.write_bytes(path.read_bytes()[:-40])
    assert "cut off or damaged" in refusal(path, here_or_skip(SPARK))


def test_what_is_not_there_is_named(tmp_path):
    assert "no_such_table" in refusal(Path("table:no_such_table"), here_or_skip(SPARK))
    assert "no_such_table" in refusal(Path("no_such_table"), here_or_skip(DATAFUSION))
    assert "no such file" in refusal(tmp_path / "t.csv", SPARK)


def test_a_table_of_the_catalogue_is_read_by_its_name(folder, ours):
    open_table(folder / "t.parquet", engine=here_or_skip(SPARK))  # starts Spark
    from pyspark.sql import SparkSession  # noqa: PLC0415  (Spark may not be here)

    spark = SparkSession.getActiveSession() or SparkSession.builder.getOrCreate()
    spark.read.parquet(str(folder / "t.parquet")).createOrReplaceGlobalTempView("theirs")
    tally = scan(Path("table:global_temp.theirs"), SETTINGS, engine=SPARK).tally
    assert tally.fingerprint == ours[0]


def test_spark_without_java_says_what_to_install(folder):
    here_or_skip(SPARK)
    command = [sys.executable, "-m", "audit", "tally", str(folder / "t.csv"), "--engine", "spark"]
    nowhere = clean_environment() | {"PATH": str(folder), "JAVA_HOME": ""}
    done = subprocess.run(
        [*command, "--out", os.devnull], env=nowhere, capture_output=True, text=True, check=False
    )
    assert done.returncode == 2
    assert done.stderr.count("\n") == 1
    assert "openjdk-17" in done.stderr


@pytest.mark.parametrize(
    ("given", "words"),
    [
        (["--engine", "sparc"], "did you mean 'spark'?"),
        (["--engine", "oracle"], "duckdb, spark, ibis:URL"),
        (["--master", "local[2]"], "--engine spark"),
        (["--engine", "ibis:nonsense://x"], "nonsense"),
    ],
)
def test_an_engine_that_does_not_exist_is_refused_with_a_hint(folder, capsys, given, words):
    if given[1].startswith("ibis"):
        here_or_skip(DATAFUSION)
    code = main(["tally", str(folder / "t.csv"), "--out", str(folder / "no.parquet"), *given])
    assert code == 2
    said = capsys.readouterr().err
    assert words in said
    assert said.count("\n") == 1


def test_an_engine_without_sql_is_refused_in_plain_words(folder, monkeypatch):
    here_or_skip(DATAFUSION)
    ibis = pytest.importorskip("ibis")
    monkeypatch.setattr(ibis, "connect", lambda url: SimpleNamespace(name="polars"))
    with pytest.raises(InputError, match="polars takes no SQL"):
        open_table(folder / "t.parquet", engine="ibis:polars://")


def test_sqlite_is_refused_before_it_counts(folder, monkeypatch):
    here_or_skip(DATAFUSION)
    ibis = pytest.importorskip("ibis")
    monkeypatch.setattr(ibis, "connect", lambda url: SimpleNamespace(name="sqlite", raw_sql=None))
    with pytest.raises(InputError, match=r"sqlite lacks functions .* write the table as Parquet"):
        open_table(Path("t"), engine="ibis:sqlite://x.db")


def test_a_tally_is_counted_already_and_needs_no_engine(folder, tmp_path, capsys):
    tally, out = str(tmp_path / "tally.parquet"), str(tmp_path / "o")
    assert main(["tally", str(folder / "t.parquet"), "--out", tally, "--by", "race"]) == 0
    capsys.readouterr()
    assert main(["audit", tally, "--out", out, "--engine", "spark"]) == 2
    assert "tally.parquet is a tally" in capsys.readouterr().err
    here_or_skip(DATAFUSION)
    assert main(["tally", tally, "--out", out, "--engine", DATAFUSION]) == 2
    assert "tally.parquet holds a tally, counts without rows" in capsys.readouterr().err


def test_what_a_parquet_says_of_its_model_is_read_by_every_engine(folder, engine):
    table = pq.read_table(folder / "t.parquet")
    about = folder / "about.parquet"
    pq.write_table(table.replace_schema_metadata({"model": "theirs é"}), about)
    assert open_table(about, engine=engine).metadata["model"] == "theirs é"


def test_a_master_goes_with_spark():
    assert engine_named("spark", "local[3]") == "spark:local[3]"
    assert engine_named("duckdb") == "duckdb"


def test_a_dataframe_is_read_by_duckdb_alone():
    with pytest.raises(InputError, match="DuckDB alone"):
        scan(pd.DataFrame({"age_true": [1], "age_pred": [1]}), engine="spark")


def test_the_command_writes_the_result_of_any_engine(folder, tmp_path, capsys, engine):
    results = {}
    name, _, master = engine.partition(":")
    given = {
        "duckdb": [],
        engine: ["--engine", name, "--master", master] if name == "spark" else ["--engine", engine],
    }
    for where, options in given.items():
        out = tmp_path / where[:4]
        code = main(
            [
                "audit",
                str(folder / "t.parquet"),
                "--out",
                str(out),
                "--by",
                "race",
                "--quiet",
                *options,
            ]
        )
        assert code == 0, capsys.readouterr().err
        assert capsys.readouterr().out.splitlines()[-1] == str(out / "report.html")
        results[where] = json.loads((out / "result.json").read_text(encoding="utf-8"))
        results[where]["info"].pop("run")
    assert results["duckdb"] == results[engine]
