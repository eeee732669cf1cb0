"""Other people's ONNX models, described in TOML: known networks give the known answer."""

import json
import re
from dataclasses import fields
from pathlib import Path

import numpy as np
import onnx
import pandas as pd
import pyarrow.parquet as pq
import pytest
from onnx import TensorProto, helper, numpy_helper
from PIL import Image
from tiny_training import tiny_faces, tiny_settings

from audit import cli
from audit.age_bins import ages_of_bins
from audit.errors import InputError
from model.decode import mean_age
from model.export import export
from model.faces import read_faces
from model.foreign import (
    AGE_KINDS,
    COLOURS,
    GENDER_KINDS,
    LAYOUTS,
    STD_KINDS,
    Age,
    Gender,
    Input,
    Std,
    read_foreign,
)
from model.pictures import RESIZES
from model.predict import open_model, predict
from model.stress import read_corrupted
from model.train import train

SIDE = 16
FACES = {  # name -> one colour throughout, so that every mean is known
    "20_0_0_a.png": (20, 40, 200),
    "30_1_1_b.png": (30, 90, 100),
    "60_0_2_c.png": (60, 10, 250),
    "77_1_3_d.png": (77, 200, 5),
    "8_1_4_e.png": (8, 128, 64),
}
BINS = ["0-2", "3-9", "10-19", "20-39", "40-69", "70+"]


@pytest.fixture(scope="module")
def table(tmp_path_factory):
    folder = tmp_path_factory.mktemp("faces")
    for name, colour in FACES.items():
        Image.new("RGB", (20, 20), colour).save(folder / name)
    return read_faces(folder)


def save_model(
    path, nodes, outputs, *, shape=("faces", 3, SIDE, SIDE), kind=None, gives=None, **constants
):
    """An ONNX file with one input `x`, which `nodes` and `constants` turn into `outputs`."""
    kind, gives = kind or TensorProto.FLOAT, gives or TensorProto.FLOAT
    graph = helper.make_graph(
        nodes,
        "theirs",
        [helper.make_tensor_value_info("x", kind, shape)],
        [helper.make_tensor_value_info(n, gives, s) for n, s in outputs.items()],
        [numpy_helper.from_array(np.asarray(v), k) for k, v in constants.items()],
    )
    made = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    onnx.checker.check_model(made, full_check=True)
    onnx.save(made, path)
    return path


def channel_means(*, layout="NCHW"):
    """Nodes: `x` -> `means` [N, 3], the mean of each channel."""
    axes = [2, 3] if layout == "NCHW" else [1, 2]
    return [helper.make_node("ReduceMean", ["x"], ["means"], axes=axes, keepdims=0)]


def linear(name, source="means"):
    """Node: `source` [N, 3] @ `name`_w [3, K] -> `name` [N, K]."""
    return helper.make_node("MatMul", [source, f"{name}_w"], [name])


def weights(*columns):
    return np.array(columns, dtype=np.float32).T


RED, GREEN, BLUE = [1, 0, 0], [0, 1, 0], [0, 0, 1]


def describe(path, text):
    path.write_text(text)
    return path


def rows_of(model, toml, table, tmp_path, name="p.parquet"):
    out = predict(model, table, out=tmp_path / name, pre_processing=toml)
    return pd.read_parquet(out).set_index("image")


def red_age(path, **changed):
    """Age is the mean of the first channel, P(female) the second's over 255."""
    layout = changed.pop("layout", "NCHW")
    nodes = [*channel_means(layout=layout), linear("age"), linear("female")]
    sizes = {"age": ("faces", 1), "female": ("faces", 1)}
    shape = ("faces", 3, SIDE, SIDE) if layout == "NCHW" else ("faces", SIDE, SIDE, 3)
    how = {"shape": shape, **changed}
    return save_model(
        path, nodes, sizes, age_w=weights(RED), female_w=weights(np.array(GREEN) / 255), **how
    )


HEADS = '[age]\noutput = "age"\n[gender]\noutput = "female"\n'


@pytest.mark.parametrize("layout", ["NCHW", "NHWC"])
@pytest.mark.parametrize(("colours", "channel"), [("RGB", 0), ("BGR", 2)])
def test_layout_and_order_of_colours_decide_which_channel_is_read(
    layout, colours, channel, table, tmp_path
):
    model = red_age(tmp_path / "theirs.onnx", layout=layout)
    text = f'[input]\nsize = {SIDE}\nlayout = "{layout}"\ncolours = "{colours}"\n{HEADS}'
    rows = rows_of(model, describe(tmp_path / "theirs.toml", text), table, tmp_path)
    for name, colour in FACES.items():
        assert rows["age_pred"][name] == pytest.approx(colour[channel], abs=1e-3)
        assert rows["gender_score"][name] == pytest.approx(colour[1] / 255, abs=1e-6)
        assert rows["age_true"][name] == int(name.split("_")[0])
    assert not {"age_low", "age_high", "split"} & set(rows), "nobody knows those"


def test_scale_mean_and_std_are_of_the_model_s_own_order_of_colours(table, tmp_path):
    nodes = [*channel_means(), linear("age")]
    model = save_model(
        tmp_path / "m.onnx", nodes, {"age": ("faces", 3)}, age_w=np.eye(3, dtype="f4")
    )
    text = (
        f'[input]\nsize = {SIDE}\ncolours = "BGR"\nscale = 0.00392156862745098\n'
        'mean = [0.1, 0.2, 0.3]\nstd = [0.5, 0.25, 0.125]\n[age]\noutput = "age"\nfirst = FIRST\n'
    )
    for channel, (mean, std) in enumerate([(0.1, 0.5), (0.2, 0.25), (0.3, 0.125)]):
        toml = describe(tmp_path / "m.toml", text.replace("FIRST", str(channel)))
        rows = rows_of(model, toml, table, tmp_path)
        for name, colour in FACES.items():
            expected = (colour[2 - channel] / 255 - mean) / std
            assert rows["age_pred"][name] == pytest.approx(expected, abs=1e-3)


@pytest.mark.parametrize("kind", ["uint8", "float16", "double"])
def test_other_numbers_at_the_input_are_given_as_the_model_wants_them(kind, table, tmp_path):
    wanted = {
        "uint8": TensorProto.UINT8,
        "float16": TensorProto.FLOAT16,
        "double": TensorProto.DOUBLE,
    }
    nodes = [
        helper.make_node("Cast", ["x"], ["f"], to=TensorProto.FLOAT),
        helper.make_node("ReduceMean", ["f"], ["means"], axes=[2, 3], keepdims=0),
        linear("age"),
    ]
    model = save_model(
        tmp_path / "m.onnx", nodes, {"age": ("faces", 1)}, kind=wanted[kind], age_w=weights(RED)
    )
    toml = describe(tmp_path / "m.toml", f'[input]\nsize = {SIDE}\n[age]\noutput = "age"\n')
    rows = rows_of(model, toml, table, tmp_path)
    assert rows["age_pred"].to_dict() == {name: c[0] for name, c in FACES.items()}
    assert "gender_score" not in rows
    if kind == "uint8":
        toml.write_text(toml.read_text().replace("[age]", "scale = 0.004\n[age]"))
        with pytest.raises(InputError, match=r"make fractions, and input 'x' takes whole pixels"):
            open_model(model, pre_processing=toml)


@pytest.mark.parametrize("batch", [1, 2, 4])
def test_a_model_of_a_fixed_batch_is_given_full_ones(batch, table, tmp_path):
    free, fixed = (
        red_age(tmp_path / f"{n}.onnx", shape=(n, 3, SIDE, SIDE)) for n in ("faces", batch)
    )
    toml = describe(tmp_path / "m.toml", f"[input]\nsize = {SIDE}\n{HEADS}")
    ours, theirs = (rows_of(model, toml, table, tmp_path) for model in (fixed, free))
    pd.testing.assert_frame_equal(ours, theirs)


def bins_model(path, *, softmax):
    """Shares of six bins: logits are 8 × how near the red is to a bin's tenth of the scale."""
    w = np.zeros((3, 6), dtype=np.float32)
    w[0] = np.linspace(-0.05, 0.05, 6)
    nodes = [*channel_means(), linear("logits")]
    outputs = {"logits": ("faces", 6)}
    if softmax:
        nodes.append(helper.make_node("Softmax", ["logits"], ["shares"], axis=1))
        outputs = {"shares": ("faces", 6)}
    return save_model(path, nodes, outputs, logits_w=w)


def known_shares(names):
    red = np.array([FACES[name][0] for name in names], dtype=np.float64)
    logits = red[:, None] * np.linspace(-0.05, 0.05, 6)
    return np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)


@pytest.mark.parametrize("softmax", [False, True])
@pytest.mark.parametrize("said", ["bins", "edges"])
def test_a_classifier_over_age_bins_gives_expected_ages_and_intervals(
    softmax, said, table, tmp_path
):
    """As Hugging Face's age classifiers do: `logits` over labels such as 0-2 and 70+."""
    model = bins_model(tmp_path / "m.onnx", softmax=not softmax)
    output = "logits" if softmax else "shares"
    named = (
        f"bins = {json.dumps(BINS)}" if said == "bins" else "edges = [0, 3, 10, 20, 40, 70, 101]"
    )
    text = f'[input]\nsize = {SIDE}\n[age]\noutput = "{output}"\nkind = "bins"\n{named}\n'
    text += f"softmax = {str(softmax).lower()}\n"
    rows = rows_of(model, describe(tmp_path / "m.toml", text), table, tmp_path)
    expected = ages_of_bins(pd.DataFrame(known_shares(rows.index), columns=BINS))
    for name in ("age_pred", "age_low", "age_high"):
        assert rows[name].to_numpy() == pytest.approx(expected[name].to_numpy(), abs=2e-3)
    assert (rows["age_low"] < rows["age_high"]).all()


def test_centres_of_bins_give_the_expected_age_and_no_interval(table, tmp_path):
    model = bins_model(tmp_path / "m.onnx", softmax=True)
    centres = [1, 6, 15, 30, 55, 80]
    text = f'[input]\nsize = {SIDE}\n[age]\noutput = "shares"\nkind = "bins"\ncentres = {centres}\n'
    rows = rows_of(model, describe(tmp_path / "m.toml", text), table, tmp_path)
    assert rows["age_pred"].to_numpy() == pytest.approx(
        known_shares(rows.index) @ centres, abs=2e-3
    )
    assert "age_low" not in rows


def test_a_softmax_over_years_has_its_mean_and_its_quantiles(table, tmp_path):
    """All mass on two neighbouring years around the red value, counted from `youngest`."""
    years = np.arange(101, dtype=np.float32)
    nodes = [  # logit of year k: 2 k red - k², highest at the red value: a rounded normal
        *channel_means(), linear("line"), helper.make_node("Sub", ["line", "square"], ["logits"])
    ]  # fmt: skip
    w = np.zeros((3, 101), np.float32)
    w[0] = 2 * years / 8
    model = save_model(
        tmp_path / "m.onnx", nodes, {"logits": ("faces", 101)}, line_w=w, square=years**2 / 8
    )
    text = (
        f'[input]\nsize = {SIDE}\n[age]\noutput = "logits"\nkind = "each year"\nsoftmax = true\n'
        "youngest = 1\n"
    )
    rows = rows_of(model, describe(tmp_path / "m.toml", text), table, tmp_path)
    for name, colour in FACES.items():
        assert rows["age_pred"][name] == pytest.approx(colour[0] + 1, abs=0.02)  # σ is 2 years
        assert rows["age_high"][name] - rows["age_low"][name] == pytest.approx(6, abs=1)


GENDERS = [
    ('kind = "logit"', RED, lambda c: 1 / (1 + np.exp(-c[0] / 50))),
    ('kind = "logit"\nof = "male"', RED, lambda c: 1 - 1 / (1 + np.exp(-c[0] / 50))),
]


@pytest.mark.parametrize(("said", "channel", "expected"), GENDERS)
def test_a_logit_of_either_gender_becomes_p_female(said, channel, expected, table, tmp_path):
    nodes = [*channel_means(), linear("g")]
    w = weights(np.array(channel) / 50)
    model = save_model(tmp_path / "m.onnx", nodes, {"g": ("faces", 1)}, g_w=w)
    text = f'[input]\nsize = {SIDE}\n[gender]\noutput = "g"\n{said}\n'
    rows = rows_of(model, describe(tmp_path / "m.toml", text), table, tmp_path)
    for name, colour in FACES.items():
        assert rows["gender_score"][name] == pytest.approx(expected(colour), abs=2e-6)
    assert "age_pred" not in rows


@pytest.mark.parametrize("female", [0, 1])
def test_one_output_may_hold_both_heads_beside_others(female, table, tmp_path):
    """As InsightFace's genderage does: two logits of gender, then a hundredth of the age."""
    nodes = [*channel_means(), linear("fc1")]
    w = weights(np.array(BLUE) / 90, np.array(GREEN) / 90, np.array(RED) / 100)
    model = save_model(tmp_path / "m.onnx", nodes, {"fc1": ("faces", 3)}, fc1_w=w)
    text = (
        f'[input]\nsize = {SIDE}\n[age]\noutput = "fc1"\nfirst = 2\ntimes = 100\n'
        f'[gender]\noutput = "fc1"\nkind = "classes"\nfemale = {female}\n'
        "first = 0\nsoftmax = true\n"
    )
    rows = rows_of(model, describe(tmp_path / "m.toml", text), table, tmp_path)
    for name, (red, green, blue) in FACES.items():
        sure = (blue - green) / 90 if female == 0 else (green - blue) / 90
        assert rows["gender_score"][name] == pytest.approx(1 / (1 + np.exp(-sure)), abs=2e-6)
        assert rows["age_pred"][name] == pytest.approx(red, abs=2e-3)


@pytest.mark.parametrize(
    ("kind", "expected"),
    [("std", lambda g: g / 10), ("variance", lambda g: (g / 10) ** 0.5),
     ("log variance", lambda g: np.exp(g / 20))],
)  # fmt: skip
def test_the_spread_of_the_age_becomes_age_std(kind, expected, table, tmp_path):
    nodes = [*channel_means(), linear("age"), linear("spread")]
    model = save_model(
        tmp_path / "m.onnx", nodes, {"age": ("faces", 1), "spread": ("faces", 1)},
        age_w=weights(RED), spread_w=weights(np.array(GREEN) / 10),
    )  # fmt: skip
    text = (
        f'[input]\nsize = {SIDE}\n[age]\noutput = "age"\n'
        f'[age_std]\noutput = "spread"\nkind = "{kind}"\n'
    )
    rows = rows_of(model, describe(tmp_path / "m.toml", text), table, tmp_path)
    for name, colour in FACES.items():
        assert rows["age_std"][name] == pytest.approx(expected(colour[1]), rel=1e-3, abs=1e-3)


@pytest.mark.parametrize(
    ("resize", "red"), [("fit", 0.5 * 200 + 0.5 * 128), ("crop", 200), ("squash", 200)]
)
def test_a_long_picture_is_fitted_cropped_or_pressed(resize, red, tmp_path):
    """200 red in the middle, 100 in the outer quarters of a picture twice as wide as high."""
    picture = np.full((32, 64, 3), 100, np.uint8)
    picture[:, 16:48] = 200
    (tmp_path / "f").mkdir()
    Image.fromarray(picture).save(tmp_path / "f" / "30_1_0_x.png")
    model = red_age(tmp_path / "m.onnx")
    text = f'[input]\nsize = {SIDE}\nresize = "{resize}"\n{HEADS}'
    toml = describe(tmp_path / "m.toml", text)
    rows = rows_of(model, toml, read_faces(tmp_path / "f"), tmp_path)
    red = {"fit": 0.5 * 150 + 0.5 * 128, "crop": 200, "squash": 150}[resize]
    assert rows["age_pred"].iloc[0] == pytest.approx(red, abs=0.6)


def test_mirror_averages_both_views(tmp_path):
    """A model that looks at the left half alone sees the whole face with its mirror image."""
    picture = np.zeros((SIDE, SIDE, 3), np.uint8)
    picture[:, : SIDE // 2] = 80
    (tmp_path / "f").mkdir()
    Image.fromarray(picture).save(tmp_path / "f" / "30_1_0_x.png")
    half = np.zeros((1, 3, SIDE, SIDE), np.float32)
    half[:, 0, :, : SIDE // 2] = 2 / SIDE**2
    nodes = [
        helper.make_node("Mul", ["x", "half"], ["seen"]),
        helper.make_node("ReduceSum", ["seen", "axes"], ["age"], keepdims=0),
    ]
    model = save_model(
        tmp_path / "m.onnx", nodes, {"age": ("faces",)}, half=half, axes=np.array([1, 2, 3])
    )
    faces = read_faces(tmp_path / "f")
    for mirror, age in (("false", 80), ("true", 40)):
        text = f'[input]\nsize = {SIDE}\nmirror = {mirror}\n[age]\noutput = "age"\n'
        rows = rows_of(model, describe(tmp_path / "m.toml", text), faces, tmp_path)
        assert rows["age_pred"].iloc[0] == pytest.approx(age, abs=0.01)


def test_the_table_names_the_model_and_is_audited_and_stressed(table, tmp_path):
    model = red_age(tmp_path / "theirs.onnx")
    toml = describe(tmp_path / "t.toml", f'name = "their reader"\n[input]\nsize = {SIDE}\n{HEADS}')
    out = tmp_path / "p.parquet"
    words = ["predict", str(model), str(table.root), "--pre-processing", str(toml)]
    assert cli.main([*words, "--out", str(out), "--quiet"]) == 0
    about = json.loads(pq.read_schema(out).metadata[b"faceaudit"])
    assert about["model"].startswith("their reader ")
    first = out.read_bytes()
    assert cli.main([*words, "--out", str(out), "--quiet", "--resume"]) == 0
    assert out.read_bytes() == first
    audited = ["audit", str(out), "--out", str(tmp_path / "a"), "--by", "gender_true", "--quiet"]
    assert cli.main(audited) == 0
    found = read_corrupted(
        model, table, pre_processing=toml, corruptions=["darkness"], severities=[5], split="all"
    )
    ages = found.readings.pivot_table(index="image", columns="corruption", values="age_pred")
    assert (ages["darkness"] < ages["clean"]).all(), "red is darker in the dark"


def test_our_own_network_described_as_a_stranger_says_what_it_says_as_our_own(tmp_path):
    """The judge is the other way through the house: run folder, export, its own reading."""
    table = tiny_faces(tmp_path / "faces", 60)
    run = train(table, out=tmp_path / "run", settings=tiny_settings(epochs=1))
    own = open_model(export(run, to=tmp_path / "own.onnx").path)
    stranger = onnx.load(tmp_path / "own.onnx")
    stranger.ClearField("metadata_props")
    onnx.save(stranger, tmp_path / "stranger.onnx")
    toml = describe(
        tmp_path / "stranger.toml",
        "[input]\nsize = 32\nscale = 0.00392156862745098\nmean = 0.5\nstd = 0.25\nmirror = true\n"
        '[age]\noutput = "age"\nkind = "each year"\nsoftmax = true\n'
        '[gender]\noutput = "gender"\nkind = "logit"\n',
    )
    pictures = np.random.default_rng(0).integers(0, 256, (9, 32, 32, 3), dtype=np.uint8)
    shares, female = own.score(pictures)
    ages, theirs = open_model(tmp_path / "stranger.onnx", pre_processing=toml).score(pictures)
    assert ages[:, 0] == pytest.approx(mean_age(shares), abs=1e-3)
    assert theirs == pytest.approx(female, abs=1e-5)


# What is refused -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("[inptu]\nsize = 16\n", "there is no key or section 'inptu'; did you mean 'input'?"),
        (
            "[input]\nsise = 16\n[age]\noutput = 'age'\n",
            "[input] there is no key 'sise'; did you mean 'size'?",
        ),
        ("[input]\nlayout = 'NCHW'\n[age]\noutput = 'age'\n", "[input] size is missing"),
        (
            "[input]\nsize = '16'\n[age]\noutput = 'age'\n",
            "[input] size is '16', not a whole number",
        ),
        (
            "[input]\nsize = 16\nlayout = 'HWC'\n[age]\noutput = 'age'\n",
            "layout is 'HWC'; it can be NCHW, NHWC",
        ),
        ("[input]\nsize = 16\nstd = [0.5, 0.0, 0.5]\n[age]\noutput = 'age'\n", "std holds a 0"),
        ("[input]\nsize = 16\nscale = 0\n[age]\noutput = 'age'\n", "scale is 0"),
        ("[input]\nsize = 16\nmean = nan\n[age]\noutput = 'age'\n", "mean is nan, not a finite"),
        ("[input]\nsize = 16\nstd = [1, 1, inf]\n[age]\noutput = 'age'\n", "std is inf, not a"),
        (
            "[input]\nsize = 16\n[age]\noutput = 'age'\nyoungest = 1\n",
            "youngest: not with this kind",
        ),
        (
            "[input]\nsize = 16\n[age]\noutput = 'age'\nkind = 'each year'\nyoungest = -3\n",
            "youngest is -3; nobody is younger than 0",
        ),
        ("[input]\nsize = 16\nmean = [1, 2]\n[age]\noutput = 'age'\n", "mean has 2 numbers"),
        ("[age]\noutput = 'age'\n", "section [input] is missing"),
        ("[input]\nsize = 16\n", "neither [age] nor [gender]"),
        ("[input]\nsize = 16\n[age]\nkind = 'years'\n", "[age] output is missing"),
        (
            "[input]\nsize = 16\n[age]\noutput = 'age'\nkind = 'bins'\n",
            "wants one of bins, edges and centres",
        ),
        (
            "[input]\nsize = 16\n[age]\noutput = 'age'\nkind = 'bins'\nbins = ['0-9', '5-20']\n",
            "age bins overlap",
        ),
        ("[input]\nsize = 16\n[age]\noutput = 'age'\nsoftmax = true\n", "softmax: not with kind"),
        (
            "[input]\nsize = 16\n[gender]\noutput = 'female'\nkind = 'classes'\n",
            "wants female = 0 or female = 1",
        ),
        ("[input]\nsize = 16\n[gender]\noutput = 'female'\nkind = 'odds'\n", "kind is 'odds'"),
        ("size = 16\n", "there is no key or section 'size'"),
        ("[input\n", "is not TOML"),
    ],
)
def test_a_wrong_description_is_one_line_that_names_file_section_and_key(
    text, words, table, tmp_path, capsys
):
    model = red_age(tmp_path / "theirs.onnx")
    toml = describe(tmp_path / "theirs.toml", text)
    out = tmp_path / "p.parquet"
    asked = ["predict", str(model), str(table.root), "--pre-processing", str(toml)]
    assert cli.main([*asked, "--out", str(out), "--quiet"]) == 2
    err = capsys.readouterr().err
    assert err.count("\n") == 1
    assert "theirs.toml" in err
    assert words in err
    assert not out.exists()


SHAPES = "it takes x [faces, 3, 16, 16]; it gives age [faces, 1], female [faces, 1]"


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("[input]\nsize = 32\n" + HEADS, "takes no input of shape [2, 3, 32, 32]"),
        ("[input]\nsize = 16\nlayout = 'NHWC'\n" + HEADS, "takes no input of shape [2, 16, 16, 3]"),
        ("[input]\nsize = 16\nname = 'y'\n" + HEADS, "[input] names 'y'"),
        ("[input]\nsize = 16\n[age]\noutput = 'agee'\n", "[age] names 'agee'; did you mean 'age'?"),
        ("[input]\nsize = 16\n[age]\noutput = 'age'\nkind = 'bins'\nbins = ['0-9', '10+']\n",
         "[age] wants 2 columns of output 'age', which gives 1 a face"),
        ("[input]\nsize = 16\n[age]\noutput = 'age'\nfirst = 3\n",
         "[age] wants columns 3 to 3 of output 'age', which gives 1 a face"),
        ("[input]\nsize = 16\n[age]\noutput = 'age'\nkind = 'each year'\nfirst = 5\n",
         "[age] wants columns from 5 on of output 'age', which gives 1 a face"),
    ],
)  # fmt: skip
def test_what_does_not_fit_is_explained_by_the_model_s_own_inputs_and_outputs(
    text, words, tmp_path
):
    model = red_age(tmp_path / "theirs.onnx")
    toml = describe(tmp_path / "theirs.toml", text)
    with pytest.raises(InputError) as failure:
        open_model(model, pre_processing=toml)
    assert words in str(failure.value)
    assert SHAPES in str(failure.value)
    assert "theirs.toml does not fit theirs.onnx" in str(failure.value)


@pytest.mark.parametrize(
    ("node", "shape", "kind", "words"),
    [
        (helper.make_node("ReduceMean", ["x"], ["age"], keepdims=0), (), TensorProto.FLOAT,
         "output 'age' has the shape [] for 2 faces, not one row a face"),
        (helper.make_node("Transpose", ["means"], ["age"]), (3, "faces"), TensorProto.FLOAT,
         "output 'age' has the shape [3, 2] for 2 faces"),
        (helper.make_node("Cast", ["means"], ["age"], to=TensorProto.STRING), ("faces", 3),
         TensorProto.STRING, "[age] output 'age' is tensor(string), no numbers"),
    ],
)  # fmt: skip
def test_an_output_without_a_row_of_numbers_a_face_is_refused(node, shape, kind, words, tmp_path):
    model = save_model(tmp_path / "m.onnx", [*channel_means(), node], {"age": shape}, gives=kind)
    toml = describe(tmp_path / "m.toml", f'[input]\nsize = {SIDE}\n[age]\noutput = "age"\n')
    with pytest.raises(InputError, match=re.escape(words)):
        open_model(model, pre_processing=toml)


def test_a_batch_of_one_may_lose_its_axis(table, tmp_path):
    nodes = [*channel_means(), helper.make_node("Squeeze", ["means"], ["all"])]
    model = save_model(tmp_path / "m.onnx", nodes, {"all": (3,)}, shape=(1, 3, SIDE, SIDE))
    text = f'[input]\nsize = {SIDE}\n[age]\noutput = "all"\nfirst = 2\n'
    rows = rows_of(model, describe(tmp_path / "m.toml", text), table, tmp_path)
    assert rows["age_pred"].to_dict() == {name: c[2] for name, c in FACES.items()}


@pytest.mark.parametrize("kind", ["std", "variance"])
def test_a_spread_below_0_is_refused(kind, tmp_path):
    nodes = [*channel_means(), linear("age"), helper.make_node("Neg", ["age"], ["spread"])]
    sizes = {"age": ("faces", 1), "spread": ("faces", 1)}
    model = save_model(tmp_path / "m.onnx", nodes, sizes, age_w=weights(RED))
    heads = f'[age]\noutput = "age"\n[age_std]\noutput = "spread"\nkind = "{kind}"\n'
    toml = describe(tmp_path / "m.toml", f"[input]\nsize = {SIDE}\n{heads}")
    words = rf'\[age_std\] gives -\d+, .* no {kind}; .*"log variance"'
    with pytest.raises(InputError, match=words):
        open_model(model, pre_processing=toml)


@pytest.mark.parametrize("kind", ["logit", "probability", "classes"])
def test_a_face_without_a_number_is_missing_and_a_model_without_any_refused(kind, tmp_path):
    """A model that divides by a picture's own spread gives none for a picture of one colour."""
    ends = [
        helper.make_node(f"Reduce{end}", ["x"], [end], axes=[1, 2, 3], keepdims=0)
        for end in ("Max", "Min")
    ]
    nodes = [
        *ends,
        helper.make_node("Sub", ["Max", "Min"], ["spread"]),
        helper.make_node("Div", ["spread", "spread"], ["one"]),
        helper.make_node("Unsqueeze", ["one", "axis"], ["age"]),
        helper.make_node("Sub", ["age", "age"], ["zero"]),
        helper.make_node("Concat", ["age", "zero"], ["gender"], axis=1),
    ]
    model = save_model(
        tmp_path / "m.onnx", nodes, {"age": ("f", 1), "gender": ("f", 2)}, axis=np.array([1])
    )
    said = "female = 0" if kind == "classes" else "first = 0"
    heads = f'[age]\noutput = "age"\n[gender]\noutput = "gender"\nkind = "{kind}"\n{said}\n'
    toml = describe(tmp_path / "m.toml", f"[input]\nsize = {SIDE}\n{heads}")
    flat = np.full((1, SIDE, SIDE, 3), 9, dtype=np.uint8)
    age, female = open_model(model, pre_processing=toml).score(flat)
    assert np.isnan([age[0, 0], female[0]]).all()
    toml = describe(tmp_path / "m.toml", f"[input]\nsize = {SIDE}\nmean = 1e30\n{heads}")
    with pytest.raises(InputError, match=r"\[age\] gives nan for a grey picture"):
        open_model(model, pre_processing=toml)


def test_logits_that_are_called_probabilities_are_found(table, tmp_path):
    model = bins_model(tmp_path / "m.onnx", softmax=False)
    for kind in (f"bins = {json.dumps(BINS)}", "centres = [1, 6, 15, 30, 55, 80]"):
        text = f'[input]\nsize = {SIDE}\n[age]\noutput = "logits"\nkind = "bins"\n{kind}\n'
        with pytest.raises(InputError, match="softmax = true"):
            open_model(model, pre_processing=describe(tmp_path / "m.toml", text))
    model = red_age(tmp_path / "g.onnx")
    text = f'[input]\nsize = {SIDE}\n[gender]\noutput = "age"\n'
    with pytest.raises(InputError, match=r"gives 128, which is no probability.*logit"):
        open_model(model, pre_processing=describe(tmp_path / "m.toml", text))


def test_what_is_no_onnx_has_no_pre_processing(table, tmp_path):
    toml = describe(tmp_path / "m.toml", f"[input]\nsize = {SIDE}\n{HEADS}")
    with pytest.raises(InputError, match=r"describes an \.onnx file"):
        open_model(tmp_path, pre_processing=toml)
    with pytest.raises(InputError, match="no such file"):
        open_model(tmp_path / "none.onnx", pre_processing=toml)
    with pytest.raises(InputError, match="no such file; --pre-processing wants a TOML file"):
        open_model(red_age(tmp_path / "m.onnx"), pre_processing=tmp_path / "none.toml")
    with pytest.raises(InputError, match="does not hold the layer before its heads"):
        predict(
            tmp_path / "m.onnx", table, out=tmp_path / "p.csv", pre_processing=toml, embeddings=True
        )


def test_a_description_may_begin_with_the_mark_that_editors_write(tmp_path):
    text = f'\ufeff[input]\nsize = {SIDE}\n[age]\noutput = "age"\n'
    (tmp_path / "m.toml").write_text(text, encoding="utf-8")
    assert read_foreign(tmp_path / "m.toml").input.size == SIDE


def test_a_description_has_defaults_and_takes_one_number_for_three(tmp_path):
    text = f'[input]\nsize = {SIDE}\nmean = 127.5\nstd = 128\n[age]\noutput = "age"\n'
    found = read_foreign(describe(tmp_path / "m.toml", text))
    assert (found.input.mean, found.input.std, found.input.resize) == ((127.5,), (128.0,), "fit")
    assert (found.gender, found.name) == (None, "")


# The docs ------------------------------------------------------------------------------------

PAGE = (Path(__file__).parents[1] / "docs/models.md").read_text(encoding="utf-8")


def test_every_description_in_the_docs_is_read(tmp_path):
    blocks = re.findall(r"```toml\n(.*?)```", PAGE, flags=re.DOTALL)
    assert len(blocks) == 2
    for block in blocks:
        assert read_foreign(describe(tmp_path / "m.toml", block)).heads


@pytest.mark.parametrize("section", [Input, Age, Gender, Std])
def test_every_key_and_every_word_of_a_description_is_in_the_docs(section):
    for field in fields(section):
        assert f"`{field.name}`" in PAGE, field.name
    for word in (*LAYOUTS, *COLOURS, *RESIZES, *AGE_KINDS, *GENDER_KINDS, *STD_KINDS):
        assert f"`{word}`" in PAGE, word


def test_a_model_that_cannot_be_run_says_why(tmp_path):
    toml = describe(tmp_path / "m.toml", f"[input]\nsize = {SIDE}\n{HEADS}")
    made = onnx.load(red_age(tmp_path / "m.onnx"))
    newer, own = onnx.ModelProto(), onnx.ModelProto()
    newer.CopyFrom(made)
    newer.ir_version = 99
    own.CopyFrom(made)
    own.graph.node[0].op_type = "Sharpen"
    for model, words in [(newer, "Unsupported model IR version: 99"), (own, "Sharpen")]:
        onnx.save(model, tmp_path / "odd.onnx")
        with pytest.raises(InputError, match=rf"odd.onnx cannot be run by onnxruntime.*{words}"):
            open_model(tmp_path / "odd.onnx", pre_processing=toml)
    for data in (b"", b"no model", (tmp_path / "m.onnx").read_bytes()[:-9]):
        (tmp_path / "odd.onnx").write_bytes(data)
        with pytest.raises(InputError, match=r"odd.onnx is cut or no ONNX model; export it again$"):
            open_model(tmp_path / "odd.onnx", pre_processing=toml)


def test_a_model_reads_no_other_file_however_it_names_it(table, tmp_path, monkeypatch):
    made = onnx.load(red_age(tmp_path / "m.onnx"))
    monkeypatch.chdir(tmp_path)
    onnx.save_model(
        made, "apart.onnx", save_as_external_data=True, location="secret.bin", size_threshold=0
    )
    assert Path("secret.bin").stat().st_size > 0
    toml = describe(tmp_path / "m.toml", f"[input]\nsize = {SIDE}\n{HEADS}")
    with pytest.raises(InputError, match="keeps its weights in other files; save it as one file"):
        open_model(Path("apart.onnx"), pre_processing=toml)
