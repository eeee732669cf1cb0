"""Embeddings: written and read back, matched with a table, and who is near."""

import numpy as np
import pandas as pd
import pytest
from tiny_training import tiny_faces, tiny_settings

from audit.embeddings import (
    Embeddings,
    embeddings_beside,
    neighbours,
    of_these_faces,
    read_embeddings,
    write_embeddings,
)
from audit.errors import InputError
from model.evaluate import score_and_embed
from model.network import build_network
from model.predict import open_model, predict
from model.ready import Ready
from model.settings import NETWORKS
from model.train import train


def held(n=50, d=8, *, seed=0):
    vectors = np.random.default_rng(seed).normal(3, 1, (n, d)).astype(np.float32)
    figures = np.arange(n) / n
    return Embeddings(tuple(f"s{i}" for i in range(n)), vectors, figures * 100, figures)


def written(path, embeddings):
    return write_embeddings(
        path,
        embeddings.vectors,
        ids=embeddings.ids,
        age_pred=embeddings.age_pred,
        gender_score=embeddings.gender_score,
    )


def test_what_is_written_is_read_back_and_bytes_repeat(tmp_path):
    path = written(tmp_path / "a.embeddings.npz", held())
    back = read_embeddings(path)
    assert back.ids == held().ids
    assert np.array_equal(back.vectors, held().vectors.astype(np.float16))
    assert np.array_equal(back.age_pred, held().age_pred)
    assert path.read_bytes() == written(tmp_path / "b.embeddings.npz", held()).read_bytes()


@pytest.mark.parametrize("fault", ["cut", "text", "foreign", "pickle", "short", "nan"])
def test_a_file_that_holds_no_whole_embeddings_is_refused(tmp_path, fault):
    path = written(tmp_path / "x.npz", held())
    parts = dict(np.load(path))
    if fault == "cut":
        path.write_bytes(path.read_bytes()[:-200])
    elif fault == "text":
        path.write_text("no archive")
    elif fault == "foreign":
        np.savez(path, other=np.zeros(3))
    elif fault == "pickle":
        np.savez(path, **parts | {"sample_id": np.array([{"a": 1}] * 50, dtype=object)})
    elif fault == "short":
        np.savez(path, **parts | {"age_pred": np.zeros(3)})
    else:
        np.savez(path, **parts | {"embedding": np.full((50, 8), np.nan, np.float16)})
    with pytest.raises(InputError, match="predict again"):
        read_embeddings(path)


def test_neighbours_are_those_of_a_plain_cosine_about_the_mean():
    embeddings = held()
    about = embeddings.vectors - embeddings.vectors.mean(axis=0)
    cosine = (
        about @ about.T / np.linalg.norm(about, axis=1)[:, None] / np.linalg.norm(about, axis=1)
    )
    np.fill_diagonal(cosine, -2)
    wanted = np.argsort(-cosine[7])[:5]
    found = neighbours(embeddings, "s7", most=5)
    assert [name for name, _ in found] == [f"s{i}" for i in wanted]
    assert [near for _, near in found] == pytest.approx(cosine[7, wanted].tolist(), abs=1e-5)
    assert neighbours(embeddings, "nobody") == []
    assert len(neighbours(held(3), "s0", most=8)) == 2


def test_a_table_is_matched_by_id_and_one_of_another_network_is_refused():
    embeddings = held()
    ids = [f"s{i}" for i in (30, 4, 99, 11)]
    ages = [60.0, 8.0, 1.0, 22.001]
    found = of_these_faces(embeddings, ids=ids, age_pred=ages)
    assert found.ids == ("s4", "s11", "s30")
    with pytest.raises(InputError, match="1 of 3 faces were read otherwise"):
        of_these_faces(embeddings, ids=ids, age_pred=[60.0, 8.0, 1.0, 23.0])
    with pytest.raises(InputError, match="other faces"):
        of_these_faces(embeddings, ids=["t1"])


@pytest.mark.parametrize("name", NETWORKS)
def test_every_network_shows_the_layer_that_its_heads_read(name):
    import torch  # noqa: PLC0415

    torch.manual_seed(0)
    network = build_network(name, size=32).eval()
    pictures = np.random.default_rng(1).integers(0, 256, (3, 32, 32, 3), dtype=np.uint8)
    how = {"mean": torch.zeros(3), "std": torch.ones(3), "device": torch.device("cpu")}
    how |= {"precision": "float32"}
    _, gender, vectors = score_and_embed(network, pictures, flip=False, **how)
    assert vectors.shape[0] == 3
    layer = network.get_submodule(network.HEADS[-1])
    with torch.inference_mode():
        again = torch.sigmoid(layer(torch.from_numpy(vectors))[:, -1]).numpy()
    assert again == pytest.approx(gender, abs=1e-5)
    both = score_and_embed(network, pictures, flip=True, **how)[2]
    mirrored = score_and_embed(network, pictures[:, :, ::-1], flip=False, **how)[2]
    assert both == pytest.approx((vectors + mirrored) / 2, abs=1e-4)


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    folder = tmp_path_factory.mktemp("embeddings")
    table = tiny_faces(folder / "faces", 80)
    run = train(table, out=folder / "run", settings=tiny_settings(epochs=1))
    return folder, table, run


def test_predict_writes_them_on_request_and_the_table_stays_as_it_is(made):
    folder, table, run = made
    plain = predict(run, table, out=folder / "plain.parquet")
    out = predict(run, table, out=folder / "with.parquet", embeddings=True)
    assert not embeddings_beside(plain).exists()
    assert out.read_bytes() == plain.read_bytes()
    rows = pd.read_parquet(out)
    found = read_embeddings(embeddings_beside(out))
    assert found.ids == tuple(rows.sample_id)
    assert found.vectors.shape == (len(rows), 256)
    assert of_these_faces(found, ids=rows.sample_id, age_pred=rows.age_pred).ids == found.ids


def test_a_model_that_does_not_show_the_layer_is_refused_before_the_work(made, monkeypatch):
    folder, table, run = made
    ready = open_model(run)
    monkeypatch.setattr(
        "model.predict.open_model", lambda *_, **__: Ready(ready.config, ready.seen, ready.score)
    )
    with pytest.raises(InputError, match="give the run folder"):
        predict(run, table, out=folder / "none.parquet", embeddings=True)
    assert not (folder / "none.parquet").exists()
