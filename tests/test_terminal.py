"""What a terminal cannot show is said plainly: figures are never lost to an encoding."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

import audit.terminal  # registers the handler
from audit.synthetic import Plant, synthetic_predictions
from audit.terminal import lines, one_line

ROOT = Path(__file__).parents[1]


def run(encoding, *args):
    return subprocess.run(
        [sys.executable, *args],
        capture_output=True,
        cwd=ROOT,
        env=os.environ | {"PYTHONIOENCODING": encoding},
        check=False,
    )


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("age −0.3 [−0.5, −0.1] · race × age", "age -0.3 [-0.5, -0.1] - race x age"),
        ("María, Jürgen", "Maria, Jurgen"),
        ("人 left out", "? left out"),
        ("L2² 2½ x³", "L2^2 2 1/2 x?"),
        ("93.3\u202f%", "93.3 %"),
    ],
)
def test_signs_are_said_in_plainer_ones(text, shown):
    assert text.encode("ascii", "plainer").decode() == shown


def test_a_byte_that_is_no_text_stays_that_byte():
    assert "a\udcff−.jpg".encode("utf-8", "plainer") == b"a\xff\xe2\x88\x92.jpg"
    assert "a\udcff−.jpg".encode("ascii", "plainer") == b"a\xff-.jpg"


def test_only_encoding_is_mended():
    with pytest.raises(UnicodeDecodeError):
        b"\xff".decode("utf-8", audit.terminal.plainer.__name__)


@pytest.mark.parametrize("encoding", ["cp1252", "ascii", "utf-8"])
def test_an_audit_tells_its_figures_whatever_the_pipe_takes(encoding, tmp_path):
    table = tmp_path / "p.csv"
    synthetic_predictions(300, seed=1).to_csv(table, index=False)
    done = run(encoding, "-m", "audit", "audit", str(table), "--out", str(tmp_path / "o"))
    assert done.returncode == 0, done.stderr.decode()
    said = done.stdout.decode(encoding)
    sign = "−" if encoding == "utf-8" else "-"
    [line] = [line for line in said.splitlines() if line.startswith("Mean signed age error")]
    assert f"[{sign}" in line
    assert said.splitlines()[-1] == str(tmp_path / "o" / "report.html")


@pytest.mark.parametrize(
    ("before", "after"),
    [(["audit", "audit"], []), (["model.train"], []), (["model.predict"], ["faces"])],
)
def test_a_refusal_names_files_of_any_script(before, after, tmp_path):
    there = [str(tmp_path / "人−"), *after, "--out", str(tmp_path / "out.csv")]
    done = run("ascii", "-m", *before, *there)
    assert done.returncode == 2
    assert b"?-" in done.stderr
    assert b"Traceback" not in done.stderr


def test_what_a_table_says_is_no_order_to_the_terminal():
    hostile = "Black\x1b]0;T\x07\u202e\nfaceaudit: all good\r"
    assert one_line(hostile) == r"Black\x1b]0;T\x07\u202e\nfaceaudit: all good\r"
    assert lines("a\tb\nc\x1b[8m") == "a\tb\nc\\x1b[8m"
    assert one_line("María 人 \u200d 93.3\u202f%") == "María 人 \u200d 93.3\u202f%"


def test_a_level_with_escapes_is_shown_as_text(tmp_path):
    table = synthetic_predictions(3000, seed=1, planted=[Plant({"race": "Black"}, age_scale=3)])
    table["race"] = table["race"].astype(str).replace("Black", "Black\x1b[8m\u202e")
    table.to_csv(tmp_path / "p.csv", index=False)
    done = run(
        "utf-8", "-m", "audit", "audit", str(tmp_path / "p.csv"), "--out", str(tmp_path / "o")
    )
    assert done.returncode == 0
    said = done.stdout.decode() + done.stderr.decode()
    assert r"Black\x1b[8m\u202e" in said
    assert "\x1b" not in said
