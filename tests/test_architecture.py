"""The floor plan: who may import whom. A wrong import fails here, by name."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
FLOORS = [  # a module may import only modules of an earlier line
    {"audit.errors", "audit.terminal", "audit.file_lock"},
    {"audit.files", "audit.words", "audit.metrics", "audit.shards", "audit.lines", "audit.recent"},
    {"audit.exit_codes"},
    {"audit.small_work"},
    {"audit.columns"},
    {"audit.csv_header", "audit.gzip_blocks", "audit.parquet_pictures"},
    {"audit.tar_members"},
    {"audit.held"},
    {"audit.translate"},
    {"audit.engine", "audit.checksums", "audit.picture_limits"},
    {"audit.config", "audit.harm_words", "audit.embeddings", "audit.face_look"},
    {"audit.result", "audit.synthetic", "audit.source", "audit.exact_sums", "audit.where"},
    {"audit.age_bins", "audit.rows", "audit.spark", "audit.warehouse"},
    {"audit.engines"},
    {"audit.intervals", "audit.standardise", "audit.levels", "audit.recalibration"},
    {"audit.evidence", "audit.resample", "audit.contract", "audit.conformal"},
    {"audit.apart", "audit.marked", "audit.table_words"},
    {
        "audit.features",
        "audit.difference_words",
        "audit.slices",
        "audit.notes",
        "audit.breaches",
        "audit.corrections",
        "audit.paired",
    },
    {"audit.predictions", "audit.packed", "audit.clusters"},
    {"audit.histograms", "audit.corrected", "audit.images"},
    {"audit.tally"},
    {"audit.worst", "audit.normalised"},
    {"audit.sites"},
    {"audit.merging", "audit.tally_file"},
    {"audit.scan", "audit.rungs"},
    {"audit.groups"},
    {"audit.halves", "audit.readings"},
    {"audit.calibration", "audit.coverage", "audit.weakness", "audit.findings"},
    {"audit.fairness", "audit.signed_calibration"},
    {"audit.counts", "audit.histogram_tests", "audit.smooth_ece"},
    {"audit.reliability", "audit.thresholds", "audit.age_limits", "audit.pit"},
    {"audit.score_tests", "audit.cohorts"},
    {"audit.disparity", "audit.judging"},
    {"audit.heads"},
    {"audit.proposals"},
    {"audit.choosing"},
    {"audit.run", "audit.recalibrating", "audit.stress"},
    {"audit"},
    # The two wings: they stand on `audit` and never meet.
    {"model.threads"},
    {"model.labels", "model.split", "model.duplicates", "model.heaping"},
    {"model.settings", "model.decode", "model.losses", "model.schedule", "model.interruption"},
    {"model.muon", "model.options"},
    {"model.face_shapes", "model.pictures", "model.network", "model.augment"},
    {"model.transfer", "model.balance"},
    {"model.state"},
    {"model.parallel", "model.progress", "model.run_folder", "model.evaluate", "model.foreign"},
    {"model.place"},
    {"model.scan", "model.face_traits", "model.ready", "model.face_rows", "model.label_files"},
    {"model.shard_faces"},
    {"model.face_sources"},
    {"model.faces", "model.face_lots", "model.face_features", "model.face_hair"},
    {"model.face_painter"},
    {"model.drawn_faces", "model.conditions"},
    {"model.check", "model.material", "model.corruptions"},
    {"model.batches", "model.finish", "model.ready_onnx", "model.ready_run", "model.carried_map"},
    {"model.epochs", "model.pace", "model.scoring", "model.ready_foreign"},
    {"model.pieces", "model.prediction_table"},
    {"model.train"},
    {"model.predict", "model.export", "model.face_look"},
    {"model.stress"},
    {"model", "reports"},
    {"reports.plot", "reports.names", "reports.downloads", "reports.markup"},
    {"reports.theme", "reports.lookup", "reports.thumbnails", "reports.curves_svg"},
    {"reports.templates", "reports.narrowed"},
    {
        "reports.tables",
        "reports.faces",
        "reports.opening",
        "reports.forest",
        "reports.marks",
        "reports.panels",
    },
    {
        "reports.heatmap",
        "reports.counts_table",
        "reports.curves",
        "reports.reliability",
        "reports.groups",
    },
    {"reports.reread"},
    {"reports.intervals", "reports.pit", "reports.thresholds", "reports.proposals"},
    {"reports.age_limits"},
    {"reports.figures", "reports.ranges", "reports.gallery"},
    {"reports.asking"},
    {"reports.filters"},
    {"reports.view", "reports.pointing", "reports.kept", "reports.cohort_table"},
    {"reports.charts", "reports.frame", "reports.cohort_names"},
    {"reports.face_map", "reports.beside", "reports.second_look", "reports.marking"},
    {"reports.faces_page"},
    {"reports.calibration_page", "reports.cluster_page", "reports.cohorts_page"},
    {"reports.stress"},
    {"reports.html", "reports.check", "reports.pages"},
    {"reports.serve"},
    # The roots: nobody imports them but the one above.
    {"audit.options"},
    {"audit.command_steps"},
    {"audit.commands"},
    {"audit.cli"},
    {"audit.__main__", "streamlit_app"},
]
HOME = {
    "torch": "model",
    "torchvision": "model",
    "onnx": "model",
    "onnxruntime": "model",
    "plotly": "reports",
    "streamlit": "reports",
    "fairlearn": "audit",
    "duckdb": "audit",
    "threadpoolctl": "audit",
    "pyspark": "audit",
    "ibis": "audit",
    "sqlglot": "audit",
}
OURS = ("audit", "model", "reports")
PATHS = [
    *(p for top in OURS for p in sorted((ROOT / top).rglob("*.py"))),
    ROOT / "streamlit_app.py",
]
KNOWN = set().union(*FLOORS)


def module_name(path):
    return ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")


def floor(name):
    for level, modules in enumerate(FLOORS):
        if name in modules:
            return level
    raise AssertionError(f"{name} is not in the floor plan; add it to FLOORS")


def imported(path):
    """Modules a file imports, in functions too; `from audit import run` counts as `audit.run`."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {a.name for a in node.names}
        elif isinstance(node, ast.ImportFrom):
            deep = {f"{node.module}.{a.name}" for a in node.names} & KNOWN
            found |= deep or {node.module}
    return found


@pytest.mark.parametrize("path", PATHS, ids=module_name)
def test_imports_point_down(path):
    name = module_name(path)
    for other in {m for m in imported(path) if m.split(".")[0] in OURS}:
        assert floor(other) < floor(name), f"{name} imports {other}, which is not below it"
        wings = {name.split(".")[0], other.split(".")[0]}
        assert wings != {"model", "reports"}, f"{name} imports {other}; the two wings do not meet"


@pytest.mark.parametrize("path", PATHS, ids=module_name)
def test_heavy_libraries_stay_at_home(path):
    if path.name == "streamlit_app.py":
        return
    for library in {m.split(".")[0] for m in imported(path)} & HOME.keys():
        assert path.parts[-2] == HOME[library], f"{module_name(path)} imports {library}"


def test_every_module_of_the_plan_exists():
    assert {module_name(p) for p in PATHS} == KNOWN


@pytest.mark.parametrize("module", ["audit", "audit.cli"])
def test_importing_the_audit_or_its_command_is_light(module):
    code = f"import sys, {module}; print(*sys.modules)"
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    heavy = {"torch", "plotly", "streamlit", "fairlearn", "pandas", "pyspark", "ibis", "sqlglot"}
    assert not heavy & set(out.stdout.split())


def test_an_exported_model_is_read_without_loading_torch():
    code = "import sys, model.predict, model.faces; print(*sys.modules)"
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert not {"torch", "torchvision", "safetensors", "onnx"} & set(out.stdout.split())
