"""The docs name every command, option, metric and table there is, and nothing that is not."""

import argparse
import dataclasses
import re
from pathlib import Path

import pytest
from example_result import example_result

from audit import cli, options
from audit.config import AuditSettings
from audit.metrics import METRICS
from audit.result import COLUMNS, AuditResult
from audit.synthetic import synthetic_predictions

ROOT = Path(__file__).parents[1]
COMMANDS_PAGE = (ROOT / "docs/commands.md").read_text(encoding="utf-8")
RESULT_PAGE = (ROOT / "docs/result.md").read_text(encoding="utf-8")
README = (ROOT / "README.md").read_text(encoding="utf-8")


def subparsers():
    parser = cli.build_parser()
    action = next(a for a in parser._actions if isinstance(a, argparse._SubParsersAction))
    return action.choices


def section(command):
    parts = re.split(r"^## ", COMMANDS_PAGE, flags=re.MULTILINE)
    found = [p for p in parts if p.startswith(f"{command}\n")]
    assert found, f"docs/commands.md has no section for {command}"
    return found[0]


@pytest.mark.parametrize("command", list(options.ARGUMENTS))
def test_every_option_of_a_command_is_documented(command):
    words = section(command)
    for action in subparsers()[command]._actions:
        for name in action.option_strings:
            if name.startswith("--") and name not in ("--help", "--quiet"):
                assert f"`{name}" in words, f"{command} {name} is not in docs/commands.md"


@pytest.mark.parametrize("command", list(options.ARGUMENTS))
def test_no_documented_option_is_missing(command):
    known = {o for a in subparsers()[command]._actions for o in a.option_strings}
    shared = {"--quiet", "--help"}
    for name in re.findall(r"`(--[a-z-]+)", section(command)):
        assert name in known | shared, f"docs/commands.md: {command} has no {name}"


@pytest.mark.parametrize("command", list(options.ARGUMENTS))
def test_the_readme_shows_every_command(command):
    assert f"faceaudit {command}" in README


def test_the_settings_file_shown_is_one_and_holds_every_key(tmp_path):
    shown = re.search(r"```toml\n(.*?)```", section("A settings file"), flags=re.DOTALL)
    path = tmp_path / "settings.toml"
    path.write_text(shown[1], encoding="utf-8")
    settings = AuditSettings.load(path)
    assert settings.given == {f.name for f in dataclasses.fields(settings)} - {"given"}


@pytest.mark.parametrize(
    ("verdict", "code"),
    [("disparity", 1), ("no disparity found", 0), ("insufficient evidence", 3), (None, 3)],
)
def test_the_lines_that_fail_a_build_run_as_printed(tmp_path, monkeypatch, verdict, code):
    page = (ROOT / "docs/questions.md").read_text(encoding="utf-8")
    lines = re.search(r"```python\n(.*?)```", page, flags=re.DOTALL)
    example_result().save(tmp_path / "audit")
    monkeypatch.chdir(tmp_path)
    result = AuditResult.load("audit")
    asked = (result.disparities.feature == "race") & (result.disparities.metric == "age_mae")
    result.disparities.loc[asked, "verdict"] = verdict
    result.save("audit")
    with pytest.raises(SystemExit) as ended:
        exec(lines[1], {})
    assert ended.value.code == code


def test_the_python_of_the_readme_runs_as_printed(tmp_path, monkeypatch):
    lines = re.search(r"```python\n(.*?)```", README, flags=re.DOTALL)
    monkeypatch.chdir(tmp_path)
    table = synthetic_predictions(300, seed=2).rename(columns={"age_pred": "their_age"})
    table.to_csv("predictions.csv", index=False)
    exec(lines[1], {})
    written = {path.name for path in Path("audit").iterdir()}
    assert written == {"predictions.parquet", "report.html", "result.json"}


def test_every_metric_is_documented():
    for key in METRICS:
        assert f"`{key}`" in RESULT_PAGE


def test_every_table_is_documented():
    for name in COLUMNS:
        assert f"| `{name}` |" in RESULT_PAGE


def test_every_file_the_docs_link_to_exists():
    for page in [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]:
        links = re.findall(r"\]\((?!https?:|#)([^)#]+)", page.read_text(encoding="utf-8"))
        for link in links:
            assert (page.parent / link).exists(), f"{page.name} links to {link}, which is missing"
