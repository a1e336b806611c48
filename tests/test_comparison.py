"""One experiment: the promised files and figures, nothing of the reviews but in the report, and never a lost folder."""
import csv
import html
import json
import math
import os
import re
import shutil
import threading
import time
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from conftest import ENTRY, empty_report
from safetensors.numpy import load_file, save_file
from sklearn import metrics
from statsmodels.stats.contingency_tables import mcnemar
from statsmodels.stats.proportion import proportion_confint

import yelp_tl.comparison as comparison
import yelp_tl.finetuning as finetuning
from yelp_tl.baseline import BASELINES, fit_baseline
from yelp_tl.comparison import (
    MODEL_NAMES,
    Experiment,
    all_pairs,
    collect_runs,
    compare,
    default_folder,
    describe_data,
    difference_line,
    draw_rows,
    explain_with_run,
    format_table,
    mean_over_seeds,
    open_folder,
    open_predictors,
    predict_with_run,
    read_run,
    recipe_name,
    results_section,
    rows_to_explain,
    run_frozen_features,
    run_identity,
    score_run,
    summary_table,
    table_cells,
    throw_away,
    write_json,
)
from yelp_tl.data import (
    STAR_NAMES,
    InputError,
    example_reviews,
    file_sha256,
    label_counts,
    reviews_from_lists,
    rows_sha256,
    unescape,
)
from yelp_tl.evaluation import score, wilson_interval
from yelp_tl.explanation import ExplanationSettings
from yelp_tl.finetuning import TrainingSettings
from yelp_tl.report import answer_sentence, model_title

EXPLAIN = comparison.explain_test_rows  # most tests go without
FIGURES = ("accuracy", "accuracy_interval", "within_one", "mae", "quadratic_weighted_kappa", "macro_f1", "log_loss")
COSTS = ("fit_seconds", "predict_seconds", "parameters_trained", "tokens_computed", "epochs")
EPOCH = {"epoch", "train_loss", "scored_on", "n", "loss", "accuracy", "accuracy_interval", "within_one", "mae",
         "quadratic_weighted_kappa", "macro_f1"}
RUN_FILES = {"results.json", "run.json", "predictions.parquet", "report.html", "log.jsonl", "model/config.json",
             "model/README.md", "model/model.safetensors", "model/tokenizer.json", "model/tokenizer_config.json"}


def strict(text):
    "JSON as every reader accepts it: no NaN, no Infinity."
    def refuse(word):
        raise AssertionError(f"{word} is no JSON")

    return json.loads(text, parse_constant=refuse)


def write_reviews(path, texts, labels):
    "A small csv file with the columns text and label."
    path.parent.mkdir(parents=True, exist_ok=True)
    with open(path, "w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([("text", "label"), *zip(texts, labels, strict=True)])
    return path


def files(folder):
    "Every file of a folder by its name in it, with its content's fingerprint and its time."
    return {path.relative_to(folder).as_posix(): (file_sha256(path), path.stat().st_mtime_ns)
            for path in Path(folder).rglob("*") if path.is_file()}


def probabilities_of(folder, name):
    "(n, 5) probabilities of one model, read from predictions.parquet."
    table = pq.read_table(Path(folder) / "predictions.parquet")
    return np.stack([table[f"{name}_{star}"].to_numpy() for star in range(1, 6)], axis=1)


def figures_of(results):
    "All that must be equal when an experiment is run again: everything but seconds."
    return {name: {key: value for key, value in entry.items() if not key.endswith("seconds")}
            for name, entry in results["models"].items()} | {"pairs": results["pairs"]}


def strings(value):
    "Every text in nested dicts and lists, keys too."
    if isinstance(value, dict):
        value = [*value, *value.values()]
    return [value] if isinstance(value, str) else (
        [text for part in value for text in strings(part)] if isinstance(value, list) else [])


@pytest.fixture(autouse=True)
def without_report(monkeypatch):
    "Plots and explanations take most of a small run's time; the module's finished run, made before, has its report."
    monkeypatch.setattr(comparison, "write_report", empty_report)
    monkeypatch.setattr(comparison, "explain_test_rows", lambda *_: None)


@pytest.fixture(scope="module")
def reviews():
    return example_reviews()


@pytest.fixture(scope="module")
def data(reviews, tmp_path_factory):
    return write_reviews(tmp_path_factory.mktemp("data") / "reviews.csv", reviews["text"][:], reviews["label"][:])


@pytest.fixture(scope="module")
def lively_folder(tiny_folder, tmp_path_factory):
    "The tiny checkpoint with forty times its weights, because else it gives nearly the same to every text."
    folder = tmp_path_factory.mktemp("network") / "lively"
    shutil.copytree(tiny_folder, folder)
    weights = load_file(folder / "model.safetensors")
    weights = {name: values * (40 if values.ndim == 2 else 1) for name, values in weights.items()}
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
    return folder


@pytest.fixture(scope="module")
def experiment(data, lively_folder):
    settings = TrainingSettings(epochs=2, learning_rate=1e-3, batch_size=8, max_length=128, precision="fp32")
    return Experiment(str(data), model=str(lively_folder), n_train=30, n_validation=10, n_test=20, training=settings)


@pytest.fixture(scope="module")
def tuned_only(experiment):
    return replace(experiment, models=("fine_tuned",))


@pytest.fixture(scope="module")
def finished(experiment, tmp_path_factory):
    "Results and folder of one finished run; tests only read it."
    return compare(experiment, tmp_path_factory.mktemp("finished") / "run", progress=False)


@pytest.fixture(scope="module")
def results(finished):
    return strict((finished[1] / "results.json").read_text(encoding="utf-8"))


@pytest.fixture(scope="module")
def split(experiment):
    return draw_rows(experiment)


# results.json


def test_results_file_is_what_compare_returns(finished, results):
    assert results == json.loads(json.dumps(finished[0]))


def test_results_hold_exactly_the_promised_keys(results):
    assert set(results) == {"schema", "command", "config", "data", "environment", "models", "pairs"}
    assert results["schema"] == 1
    assert set(results["data"]) == {"source", "revision_or_sha256", "rows_sha256", "n_train", "n_validation", "n_test",
                                    "simulated", "label_counts", "shared_texts"}
    assert set(results["environment"]) == {"versions", "machine", "device", "precision", "threads", "processes"}
    assert list(results["models"]) == list(MODEL_NAMES)
    for entry in results["models"].values():
        assert set(entry) == {*FIGURES, *COSTS}
    for pair in results["pairs"]:
        assert set(pair) == {"a", "b", "accuracy_difference", "interval", "mcnemar_p"}
    assert {"data", "test", "model", "n_train", "n_validation", "n_test", "seed", "unescape", "shared_texts",
            "test_each_epoch", "models", "training"} <= set(results["config"])


def test_figures_have_their_types_and_bounds(results):
    for entry in results["models"].values():
        low, high = entry["accuracy_interval"]
        assert 0 <= low <= entry["accuracy"] <= high <= 1
        assert 0 <= entry["within_one"] <= 1 and 0 <= entry["mae"] <= 4 and 0 <= entry["macro_f1"] <= 1
        assert -1 <= entry["quadratic_weighted_kappa"] <= 1 and entry["log_loss"] >= 0
        assert all(isinstance(entry[key], float) and entry[key] >= 0 for key in ("fit_seconds", "predict_seconds"))
        assert isinstance(entry["parameters_trained"], int) and entry["parameters_trained"] > 0


def test_what_does_not_apply_is_null(results):
    models = results["models"]
    for name in BASELINES:
        assert models[name]["tokens_computed"] is None and models[name]["epochs"] is None
    assert models["frozen_features"]["epochs"] is None
    assert models["frozen_features"]["tokens_computed"] > 30
    assert models["fine_tuned"]["tokens_computed"] > models["frozen_features"]["tokens_computed"]  # two epochs
    assert results["config"]["test"] is None


def test_epochs_are_scored_on_validation_rows(results):
    epochs = results["models"]["fine_tuned"]["epochs"]
    assert [record["epoch"] for record in epochs] == [1, 2]
    for record in epochs:
        assert set(record) == EPOCH
        assert record["scored_on"] == "validation" and record["n"] == 10
        assert record["accuracy"] * 10 == pytest.approx(round(record["accuracy"] * 10))
        assert record["accuracy_interval"][0] <= record["accuracy"] <= record["accuracy_interval"][1]
        assert math.isfinite(record["train_loss"]) and math.isfinite(record["loss"])


def test_trained_parameters(results, tiny_checkpoint):
    from transformers import AutoModelForSequenceClassification

    network = AutoModelForSequenceClassification.from_pretrained(tiny_checkpoint.path, num_labels=5)
    models = results["models"]
    assert models["fine_tuned"]["parameters_trained"] == sum(weight.numel() for weight in network.parameters())
    assert models["frozen_features"]["parameters_trained"] == 5 * network.config.hidden_size + 5
    assert models["majority"]["parameters_trained"] == 5


def test_no_path_of_the_machine(finished, results, data, lively_folder):
    assert "/" not in results["command"] and "\\" not in results["command"]
    for file in ("results.json", "run.json", "log.jsonl", "model/config.json", "model/tokenizer_config.json"):
        content = (finished[1] / file).read_text(encoding="utf-8")
        for folder in (data.parent, lively_folder.parent, finished[1].parent, Path.cwd(), Path.home()):
            assert folder.as_posix() + "/" not in content.replace("\\\\", "/"), (file, folder)
    assert not [text for text in strings(results["config"]) + strings(results["data"]) if "/" in text or "\\" in text]


def test_command_names_what_differs_from_the_defaults(results):
    assert results["command"].split() == [
        "yelp_tl", "compare", "--data", "reviews.csv", "--model", "lively", "--n-train", "30", "--n-validation",
        "10", "--n-test", "20", "--epochs", "2", "--learning-rate", "0.001", "--batch-size", "8", "--max-length", "128",
        "--precision", "fp32"]


def test_data_is_described(results, split, data):
    found = results["data"]
    assert found["source"] == ["reviews.csv"] and found["revision_or_sha256"] == [file_sha256(data)]
    assert (found["n_train"], found["n_validation"], found["n_test"], found["shared_texts"]) == (30, 10, 20, 0)
    for side in ("train", "validation", "test"):
        assert found["rows_sha256"][side] == rows_sha256(getattr(split, side))
        assert found["label_counts"][side] == label_counts(getattr(split, side))
        assert sum(found["label_counts"][side]) == found[f"n_{side}"]


def test_environment_names_versions(results):
    import torch

    environment = results["environment"]
    assert environment["versions"]["torch"] == torch.__version__
    assert {"python", "yelp_tl", "torch", "transformers", "datasets", "scikit-learn"} <= set(environment["versions"])
    assert environment["device"] in ("cpu", "cuda", "mps") and environment["precision"] == "fp32"
    assert environment["threads"] == torch.get_num_threads() and environment["machine"]


def test_all_json_is_strict(finished):
    folder = finished[1]
    for path in folder.rglob("*.json"):
        strict(path.read_text(encoding="utf-8"))
    lines = (folder / "log.jsonl").read_text(encoding="utf-8").splitlines()
    assert len([record for record in map(strict, lines) if "loss" in record]) == 8  # two epochs of 30 rows by 8


# predictions and figures


def test_predictions_hold_numbers_alone(finished):
    table = pq.read_table(finished[1] / "predictions.parquet")
    assert table.column_names == ["row", "label", *(f"{name}_{star}" for name in MODEL_NAMES for star in range(1, 6))]
    assert all(pa.types.is_integer(kind) or pa.types.is_floating(kind) for kind in table.schema.types)
    assert table.num_rows == 20
    for name in MODEL_NAMES:
        values = probabilities_of(finished[1], name)
        assert (values >= 0).all()
        np.testing.assert_allclose(values.sum(axis=1), 1, atol=1e-9)


def test_predictions_point_to_rows_of_the_source(finished, reviews):
    table = pq.read_table(finished[1] / "predictions.parquet")
    rows = table["row"].to_numpy()
    assert [reviews["label"][row] for row in rows.tolist()] == table["label"].to_pylist()
    assert rows.tolist() == np.random.default_rng(42).permutation(60)[40:60].tolist()


@pytest.mark.parametrize("name", MODEL_NAMES)
def test_figures_by_scikit_learn(name, finished, results):
    labels = pq.read_table(finished[1] / "predictions.parquet")["label"].to_numpy()
    values = probabilities_of(finished[1], name)
    stars = values.argmax(axis=1)
    entry = results["models"][name]
    right = int((stars == labels).sum())
    assert entry["accuracy"] == pytest.approx(metrics.accuracy_score(labels, stars))
    assert entry["accuracy_interval"] == pytest.approx(proportion_confint(right, len(labels), method="wilson"))
    assert entry["within_one"] == pytest.approx(np.mean(np.abs(stars - labels) <= 1))
    assert entry["mae"] == pytest.approx(metrics.mean_absolute_error(labels, stars))
    assert entry["macro_f1"] == pytest.approx(metrics.f1_score(labels, stars, average="macro", zero_division=0))
    assert entry["log_loss"] == pytest.approx(metrics.log_loss(labels, values / values.sum(axis=1, keepdims=True),
                                                               labels=range(5)))
    kappa = metrics.cohen_kappa_score(labels, stars, labels=range(5), weights="quadratic")
    assert entry["quadratic_weighted_kappa"] == pytest.approx(kappa)


def test_models_differ(finished):
    "The other tests would not see a mixed-up column if all models said the same."
    said = {name: tuple(probabilities_of(finished[1], name).argmax(axis=1)) for name in MODEL_NAMES}
    assert len(set(said.values())) == len(said)
    assert probabilities_of(finished[1], "fine_tuned").std(axis=0).min() > 1e-3  # nor a mixed-up row


def test_a_star_that_training_lacks_shifts_no_other(split, monkeypatch):
    rng = np.random.default_rng(0)
    monkeypatch.setattr(comparison, "frozen_features", lambda _, texts, *rest: (rng.normal(size=(len(texts), 4)), 1))
    train, test = (reviews_from_lists(["x"] * len(labels), labels) for labels in ([1, 2, 4] * 10, [0, 1, 2, 3, 4]))
    found = run_frozen_features(None, replace(split, train=train, test=test), TrainingSettings(), progress=False)
    assert (found.probabilities[:, [0, 3]] == 0).all() and (found.probabilities[:, [1, 2, 4]] > 0).all()


@pytest.mark.parametrize("name", BASELINES)
def test_baselines_are_those_of_the_training_rows(name, finished, split):
    baseline = fit_baseline(name, split.train["text"][:], split.train["label"][:])
    expected = baseline.predict_probabilities(split.test["text"][:])
    np.testing.assert_array_equal(probabilities_of(finished[1], name), expected)


def test_pairs_by_statsmodels(finished, results):
    labels = pq.read_table(finished[1] / "predictions.parquet")["label"].to_numpy()
    right = {name: probabilities_of(finished[1], name).argmax(axis=1) == labels for name in MODEL_NAMES}
    assert {frozenset((pair["a"], pair["b"])) for pair in results["pairs"]} == {
        frozenset((a, b)) for a in MODEL_NAMES for b in MODEL_NAMES if a != b}
    assert len(results["pairs"]) == 10
    for pair in results["pairs"]:
        a, b = right[pair["a"]], right[pair["b"]]
        assert MODEL_NAMES.index(pair["a"]) > MODEL_NAMES.index(pair["b"])  # the heavier one first
        assert pair["accuracy_difference"] == pytest.approx(a.mean() - b.mean())
        assert pair["interval"][0] <= pair["accuracy_difference"] <= pair["interval"][1]
        table = [[np.sum(a & b), np.sum(a & ~b)], [np.sum(~a & b), np.sum(~a & ~b)]]
        assert pair["mcnemar_p"] == pytest.approx(mcnemar(table, exact=True).pvalue)


def test_pairs_of_one_model_are_none():
    assert all_pairs(np.array([0, 1]), {"naive_bayes": np.eye(5)[[0, 1]]}, 0) == []


def test_the_answer_is_told_beside_the_majority_where_that_comes_next():
    labels = np.array([0] * 10 + [1] * 10)
    said = {"majority": np.eye(5)[np.zeros(20, dtype=int)], "fine_tuned": np.eye(5)[[0] * 11 + [1] + [0] * 8]}
    models = {name: score(labels, values) for name, values in said.items()}
    sentence = answer_sentence({"models": models, "pairs": all_pairs(labels, said, 0)}, 20)
    assert "Fine-tuned and Majority are too close to call" in sentence


def test_saved_model_opens_in_a_pipeline(finished, split):
    from transformers import pipeline

    classify = pipeline("text-classification", str(finished[1] / "model"), top_k=None, device="cpu")
    texts = split.test["text"][:3]
    for found, expected in zip(classify(texts, truncation=True, max_length=128),
                               probabilities_of(finished[1], "fine_tuned")[:3], strict=True):
        shares = {part["label"]: part["score"] for part in found}
        np.testing.assert_allclose([shares[name] for name in STAR_NAMES], expected, atol=1e-5)


# the run folder


def test_folder_holds_what_is_promised_and_no_more(finished):
    plots = {f"plots/confusion_{name}.svg" for name in MODEL_NAMES} | {"plots/accuracy.svg"}
    saved = {f"baseline/{name}.{end}" for name in BASELINES for end in ("json", "safetensors")}
    found = set(files(finished[1]))
    drawn = {name for name in found if re.fullmatch(r"plots/\w+\.svg", name)}
    assert plots < drawn  # and the curves of the epochs
    assert found - drawn == RUN_FILES | saved
    assert not (finished[1] / "checkpoints").exists()


def test_no_text_of_a_review_but_in_the_report(finished, reviews):
    folder = finished[1]
    parts = set()
    for text in reviews["text"][:]:
        words = text.lower().split()
        parts |= {" ".join(words[start : start + 4]) for start in range(len(words) - 3)}
    report = html.unescape((folder / "report.html").read_text(encoding="utf-8")).lower()
    assert sum(part in report for part in parts) > 20  # so the search would find what it looks for
    for path in folder.rglob("*"):
        if path.is_file() and path.name != "report.html":
            content = path.read_bytes().decode("utf-8", errors="replace").lower()
            assert not [part for part in parts if part in content], path.name


def test_report_shows_which_words_counted(finished, split):
    page = (finished[1] / "report.html").read_text(encoding="utf-8")
    labels, probabilities = np.asarray(split.test["label"][:]), probabilities_of(finished[1], "fine_tuned")
    rows = rows_to_explain(labels, probabilities, split.test["text"][:])
    assert re.findall(r"Row (\d+) of the source", page) == [str(split.test_rows[row]) for row in rows] != []
    assert page.count("Words that counted most") == len(rows)


def test_rows_to_explain_are_short_sure_and_of_every_star():
    labels = np.array([0, 0, 1, 2, 3, 4, 4, 4, 4])
    sure = np.array([0.5, 0.9, 0.8, 0.7, 0.6, 0.9, 0.8, 0.7, 0.99])
    stars = np.array([1, 1, 1, 3, 4, 4, 0, 1, 0])
    probabilities = np.where(np.eye(5)[stars] == 1, sure[:, None], (1 - sure[:, None]) / 4)
    texts = ["word " * (300 if row == 8 else 10) for row in range(9)]
    assert rows_to_explain(labels, probabilities, texts) == [1, 3, 4, 6, 5]  # 2 stars: no mistake; 1 and 3: none right


def test_without_captum_the_report_goes_without_words(experiment, finished, split, monkeypatch):
    probabilities = {"fine_tuned": probabilities_of(finished[1], "fine_tuned")}
    monkeypatch.setattr(comparison, "find_spec", lambda name: None)
    assert EXPLAIN(experiment, split, probabilities, finished[1], False) is None
    assert EXPLAIN(experiment, split, {}, finished[1], False) == {}  # no network, nothing to explain


def test_a_network_that_cannot_be_explained_costs_no_run(experiment, finished, split, monkeypatch, capsys):
    def fail(*_, **__):
        raise RuntimeError("no embeddings")

    monkeypatch.setattr(comparison, "explain_review", fail)
    probabilities = {"fine_tuned": probabilities_of(finished[1], "fine_tuned")}
    assert EXPLAIN(experiment, split, probabilities, finished[1], False) == {}
    assert "goes without the words that counted (RuntimeError)" in capsys.readouterr().err


def test_explain_with_run_reads_as_the_run_did(finished, split):
    text = split.test["text"][0]
    (found,) = explain_with_run(finished[1], [text], ExplanationSettings(steps=4, max_steps=4))
    assert found.probabilities == pytest.approx(predict_with_run(finished[1], [text])["fine_tuned"][0], abs=1e-5)
    assert found.text == text


def test_an_explanation_reads_as_far_as_the_run(experiment, split, monkeypatch, tmp_path):
    seen = []
    monkeypatch.setattr(comparison, "load_classifier", lambda _: (None, None))
    monkeypatch.setattr(comparison, "explain_review", lambda *_, **options: seen.append(options.get("max_length")))
    two = replace(split, test=reviews_from_lists(["good soup", "bad soup"], [0, 4]))
    asked = replace(experiment, training=TrainingSettings(max_length=33))
    EXPLAIN(asked, two, {"fine_tuned": np.eye(5)[[1, 4]]}, tmp_path, False)
    assert seen == [33, 33]


def test_the_same_again_is_read_and_not_run(experiment, finished, monkeypatch):
    before = files(finished[1])
    monkeypatch.setattr(comparison, "run_models", lambda *_, **__: pytest.fail("it ran again"))
    again, folder = compare(experiment, finished[1], progress=False)
    assert again == json.loads(json.dumps(finished[0])) and folder == finished[1]
    assert compare(experiment, finished[1], resume=True, progress=False)[0] == again
    assert files(finished[1]) == before


def test_same_seed_same_figures(experiment, finished, tmp_path):
    again, folder = compare(experiment, tmp_path / "again", progress=False)
    assert figures_of(again) == figures_of(finished[0])
    assert pq.read_table(folder / "predictions.parquet").equals(pq.read_table(finished[1] / "predictions.parquet"))


@pytest.mark.parametrize(("models", "found"), [
    ((), "found none"), (None, "found None"), (3, "found 3"), (("bayes",), "found bayes"), ("bayes", "found bayes"),
    (("majority", "majority"), "expected each once")])
def test_models_are_different_known_names(models, found):
    with pytest.raises(InputError, match=f"^models: .*{found}"):
        Experiment(models=models)
    assert Experiment(models=["majority"]) == Experiment(models="majority") == Experiment(models=("majority",))


def test_another_seed_other_rows(experiment, finished, tmp_path):
    other, folder = compare(replace(experiment, seed=43, models=BASELINES), tmp_path / "other", progress=False)
    assert other["data"]["rows_sha256"] != finished[0]["data"]["rows_sha256"]
    rows = pq.read_table(folder / "predictions.parquet")["row"].to_numpy()
    assert rows.tolist() == np.random.default_rng(43).permutation(60)[40:60].tolist()
    assert other["data"]["revision_or_sha256"] == finished[0]["data"]["revision_or_sha256"]


def test_subset_keeps_its_figures_and_its_order(experiment, finished, tmp_path):
    wanted = replace(experiment, models=("frozen_features", "naive_bayes"))
    results, folder = compare(wanted, tmp_path / "some", progress=False)
    assert list(results["models"]) == ["naive_bayes", "frozen_features"]  # simple to heavy, however they were named
    for name in results["models"]:
        np.testing.assert_array_equal(probabilities_of(folder, name), probabilities_of(finished[1], name))
    assert [(pair["a"], pair["b"]) for pair in results["pairs"]] == [("frozen_features", "naive_bayes")]
    assert not (folder / "model").exists() and not (folder / "log.jsonl").exists()
    assert sorted(path.name for path in (folder / "baseline").iterdir()) == [
        "naive_bayes.json", "naive_bayes.safetensors"]


def test_command_names_a_subset_of_models(experiment, split):
    wanted = replace(experiment, models=("majority", "naive_bayes"))
    command = run_identity("compare", wanted, describe_data(wanted, split))["command"]
    assert "--models majority naive_bayes" in command


def identity_of(experiment):
    return run_identity("compare", experiment, describe_data(experiment, draw_rows(experiment)))


def test_default_folder_depends_on_settings_and_data_alone(experiment, data, reviews, tmp_path, monkeypatch):
    folder = default_folder("compare", identity_of(experiment))
    assert re.fullmatch(r"runs/compare-[0-9a-f]{8}", folder.as_posix())
    copy = tmp_path / "elsewhere" / "reviews.csv"
    copy.parent.mkdir()
    shutil.copy(data, copy)
    monkeypatch.chdir(copy.parent)
    for path in (str(copy), "reviews.csv"):
        assert default_folder("compare", identity_of(replace(experiment, data=path))) == folder
    other = write_reviews(tmp_path / "other" / "reviews.csv", reversed(reviews["text"][:]), reviews["label"][:])
    changed = [replace(experiment, data=str(other)), replace(experiment, seed=43), replace(experiment, n_train=29),
               replace(experiment, unescape=True), replace(experiment, models=BASELINES),
               replace(experiment, training=replace(experiment.training, epochs=3))]
    names = {default_folder("compare", identity_of(one)) for one in changed}
    assert len(names) == len(changed) and folder not in names


def test_other_weights_are_another_experiment(experiment, tmp_path):
    from yelp_tl.pretrained import make_tiny_checkpoint

    first, second = (make_tiny_checkpoint(tmp_path / place / "model", seed=seed) for seed, place in enumerate("ab"))
    assert identity_of(replace(experiment, model=str(first))) != identity_of(replace(experiment, model=str(second)))


# folders that may not be overwritten


@pytest.fixture
def identity():
    return {"schema": 1, "command": "yelp_tl compare --data a.csv", "config": {"seed": 1}, "data": {"n_train": 3}}


def test_new_and_empty_folders_are_taken(identity, tmp_path):
    for folder in (tmp_path / "a" / "b", tmp_path / "empty"):
        if folder.name == "empty":
            folder.mkdir()
        assert open_folder(folder, identity) is None
        assert strict((folder / "run.json").read_text(encoding="utf-8")) == identity
        assert sorted(files(folder)) == ["run.json"]


@pytest.mark.parametrize("resume", [False, True])
def test_a_run_that_was_killed_while_it_wrote_its_marker(resume, identity, tmp_path):
    (tmp_path / ".part-run.json").mkdir()
    for name in ("run.lock", ".part-run.json/run.json", ".DS_Store"):
        (tmp_path / name).touch()
    assert open_folder(tmp_path, identity, resume=resume) is None
    assert sorted(files(tmp_path)) == [".DS_Store", "run.json", "run.lock"]


def test_unfinished_folder_asks_for_resume(identity, tmp_path):
    open_folder(tmp_path / "run", identity)
    (tmp_path / "run" / "log.jsonl").write_text("{}\n")
    before = files(tmp_path)
    with pytest.raises(InputError, match="unfinished.*--resume"):
        open_folder(tmp_path / "run", identity)
    assert files(tmp_path) == before
    assert open_folder(tmp_path / "run", identity, resume=True) is None
    assert (tmp_path / "run" / "log.jsonl").read_text() == "{}\n"


@pytest.mark.parametrize("resume", [False, True])
def test_another_runs_folder_is_kept(resume, identity, tmp_path):
    open_folder(tmp_path / "run", identity)
    before = files(tmp_path)
    with pytest.raises(InputError, match="another run.*--force"):
        open_folder(tmp_path / "run", identity | {"config": {"seed": 2}}, resume=resume)
    assert files(tmp_path) == before


def test_force_throws_the_earlier_run_away(identity, tmp_path):
    open_folder(tmp_path / "run", identity)
    (tmp_path / "run" / "results.json").write_text("{}")
    other = identity | {"config": {"seed": 2}}
    assert open_folder(tmp_path / "run", other, force=True) is None
    assert sorted(files(tmp_path / "run")) == ["run.json"]
    assert json.loads((tmp_path / "run" / "run.json").read_text()) == other


def test_a_half_emptied_folder_is_still_a_run(tmp_path, monkeypatch):
    for name in ("run.json", "results.json", "run.lock"):
        (tmp_path / name).write_text("{}")
    (tmp_path / "model").mkdir()

    def fails(_):
        raise PermissionError

    with monkeypatch.context() as patch:
        patch.setattr(comparison.shutil, "rmtree", fails)
        with pytest.raises(PermissionError):
            throw_away(tmp_path)
    assert (tmp_path / "run.json").exists()  # still known as a run's, so --force works again
    throw_away(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["run.lock"]


@pytest.mark.parametrize("force", [False, True])
@pytest.mark.parametrize("marker", [None, "", "{", "[]", "null", '{"command": "train.py"}', '{"schema": 1}'])
def test_foreign_folder_is_never_touched(marker, force, identity, tmp_path):
    (tmp_path / "thesis.txt").write_text("all of it")
    if marker is not None:
        (tmp_path / "run.json").write_text(marker)  # a common name; other programs write it, too
    before = files(tmp_path)
    with pytest.raises(InputError, match=re.escape(str(tmp_path))):
        open_folder(tmp_path, identity, force=force)
    assert files(tmp_path) == before


def test_force_does_not_take_foreign_files_along(identity, tmp_path):
    "Somebody keeps notes in the run folder."
    open_folder(tmp_path / "run", identity)
    (tmp_path / "run" / "notes.txt").write_text("a week of work")
    with pytest.raises(InputError, match="notes.txt"):
        open_folder(tmp_path / "run", identity, force=True)
    assert (tmp_path / "run" / "notes.txt").read_text() == "a week of work"


def test_a_file_is_no_folder(identity, tmp_path):
    (tmp_path / "run").write_text("mine")
    for force in (False, True):
        with pytest.raises(InputError, match="expected a folder.*found a file"):
            open_folder(tmp_path / "run", identity, force=force)
    assert (tmp_path / "run").read_text() == "mine"


def test_damaged_results_of_the_same_run_are_said(identity, tmp_path):
    open_folder(tmp_path / "run", identity)
    (tmp_path / "run" / "results.json").write_text('{"schema": 1, "mod')
    with pytest.raises(InputError, match="results.json"):
        open_folder(tmp_path / "run", identity)


def test_json_is_written_whole_or_not_at_all(tmp_path):
    write_json(tmp_path / "a.json", {"one": 1})
    with pytest.raises(TypeError):
        write_json(tmp_path / "a.json", {"two": object()})
    assert json.loads((tmp_path / "a.json").read_text()) == {"one": 1}
    assert [path.name for path in tmp_path.iterdir()] == ["a.json"]


@pytest.mark.parametrize(("changes", "message"), [
    ({"data": "nowhere.csv"}, "nowhere.csv"),
    ({"test": "nowhere.csv"}, "nowhere.csv"),
    ({"n_train": 31}, "at least 61 rows"),
    ({"model": "nothing"}, "no such model"),
    ({"training": TrainingSettings(max_length=513)}, "at most 512 tokens"),
])
def test_nothing_is_written_for_what_cannot_run(changes, message, experiment, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(InputError, match=message):
        compare(replace(experiment, **changes), progress=False)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(("name", "value"), [
    ("n_train", 1), ("n_validation", -1), ("n_test", 0), ("seed", -1), ("models", ()), ("models", ("ceiling",)),
    ("models", ("majority", "x"))])
def test_experiments_check_themselves(name, value):
    with pytest.raises(InputError, match=name):
        Experiment("a.csv", **{name: value})


# interrupted


class Stop:
    "Lets training go on for some steps, then interrupts it as Ctrl-C does."

    def __init__(self, step, seconds):
        self.step, self.seconds = step, seconds

    def __call__(self, log, args, state, control, **_):
        time.sleep(self.seconds)
        if state.global_step == self.step:
            raise KeyboardInterrupt


def interrupt(experiment, folder, step, monkeypatch, slow_steps=0.0):
    with monkeypatch.context() as patch:
        stop = Stop(step, slow_steps)
        patch.setattr(finetuning.RunLog, "on_step_end", lambda *found, **more: stop(*found, **more))
        with pytest.raises(KeyboardInterrupt):
            compare(experiment, folder, progress=False)


def test_resumed_equals_uninterrupted(experiment, finished, tmp_path, monkeypatch):
    experiment = replace(experiment, models=("majority", "fine_tuned"))
    folder = tmp_path / "run"
    interrupt(experiment, folder, 6, monkeypatch)  # in the second epoch; each has 4 steps
    assert not (folder / "results.json").exists() and not (folder / "model").exists()
    assert [path.name for path in folder.glob("checkpoints/*")] == ["checkpoint-4"]
    with pytest.raises(InputError, match="--resume"):
        compare(experiment, folder, progress=False)
    results, _ = compare(experiment, folder, resume=True, progress=False)
    for name in results["models"]:
        np.testing.assert_array_equal(probabilities_of(folder, name), probabilities_of(finished[1], name))
        assert figures_of(results)[name] == figures_of(finished[0])[name]
    assert not (folder / "checkpoints").exists()
    assert compare(experiment, folder, progress=False)[0] == json.loads(json.dumps(results))


def test_seconds_of_a_resumed_run_hold(tuned_only, tmp_path, monkeypatch):
    "All training that is in the result counts, the part before the interruption too; scoring does not."
    def slow(found, plain=finetuning.compute_metrics):
        time.sleep(0.3)
        return plain(found)

    with monkeypatch.context() as patch:
        patch.setattr(finetuning, "compute_metrics", slow)
        interrupt(tuned_only, tmp_path / "run", 6, monkeypatch, slow_steps=0.3)
    results, _ = compare(tuned_only, tmp_path / "run", resume=True, progress=False)
    assert results["models"]["fine_tuned"]["fit_seconds"] > 4 * 0.3  # the four steps of the epoch that was kept


# the lecture's experiment, other files, unescape


def test_test_rows_after_each_epoch_are_for_reading(tuned_only, reviews, tmp_path):
    texts, labels = np.array(reviews["text"][:]), np.array(reviews["label"][:])
    train = write_reviews(tmp_path / "train.csv", texts[::2], labels[::2])
    test = write_reviews(tmp_path / "test.csv", texts[1::2], labels[1::2])
    wrong = write_reviews(tmp_path / "wrong.csv", texts[1::2], 4 - labels[1::2])
    asked = replace(tuned_only, data=str(train), n_validation=0, test_each_epoch=True)
    (results, first), (other, second) = (compare(replace(asked, test=str(one)), tmp_path / one.stem, progress=False)
                                         for one in (test, wrong))
    epochs = results["models"]["fine_tuned"]["epochs"]
    assert [(record["scored_on"], record["n"]) for record in epochs] == [("test, for reading", 20)] * 2
    assert set(epochs[0]) == EPOCH
    # the last epoch is the result
    assert epochs[-1]["accuracy"] == pytest.approx(results["models"]["fine_tuned"]["accuracy"])
    assert epochs[-1]["loss"] == pytest.approx(results["models"]["fine_tuned"]["log_loss"], abs=1e-4)
    # other figures were seen on the way, and nothing has read them back
    assert [record["loss"] for record in other["models"]["fine_tuned"]["epochs"]] != [one["loss"] for one in epochs]
    np.testing.assert_array_equal(probabilities_of(first, "fine_tuned"), probabilities_of(second, "fine_tuned"))
    assert results["data"]["n_validation"] == 0 and "validation" not in results["data"]["rows_sha256"]


def test_without_scored_rows_epochs_hold_the_training_loss(tuned_only, tmp_path):
    asked = replace(tuned_only, n_validation=0, training=replace(tuned_only.training, epochs=1))
    results, _ = compare(asked, tmp_path / "run", progress=False)
    record, = results["models"]["fine_tuned"]["epochs"]
    assert record["epoch"] == 1 and record["train_loss"] > 0
    assert all(record.get(name) is None for name in EPOCH - {"epoch", "train_loss"})


def test_the_lectures_experiment():
    lecture = Experiment.lecture("a.csv")
    assert (lecture.model, lecture.n_train, lecture.n_validation, lecture.n_test, lecture.seed) == (
        "distilbert", 1000, 0, 1000, 42)
    assert (lecture.shared_texts, lecture.test_each_epoch, lecture.models) == ("count", True, MODEL_NAMES)
    training = lecture.training
    assert (training.epochs, training.learning_rate, training.batch_size, training.padding, training.max_length) == (
        3, 5e-5, 8, "max_length", 512)
    assert Experiment.lecture("a.csv", n_test=7, model="minilm").n_test == 7


def test_shared_texts_are_refused_or_counted(experiment, reviews, tmp_path):
    both = write_reviews(tmp_path / "both.csv", reviews["text"][:] * 2, reviews["label"][:] * 2)
    asked = replace(experiment, data=str(both), n_train=60, n_validation=0, n_test=60, models=("majority",))
    with pytest.raises(InputError, match="shared"):
        compare(asked, tmp_path / "run", progress=False)
    assert not (tmp_path / "run").exists()
    results, _ = compare(replace(asked, shared_texts="count"), tmp_path / "run", progress=False)
    rows = np.random.default_rng(42).permutation(120) % 60
    assert results["data"]["shared_texts"] == len(set(rows[:60]) & set(rows[60:])) > 0


def test_test_rows_of_another_file(experiment, reviews, tmp_path):
    texts, labels = reviews["text"][:], reviews["label"][:]
    train = write_reviews(tmp_path / "train.csv", texts[::2], labels[::2])
    test = write_reviews(tmp_path / "test.csv", texts[1::2], labels[1::2])
    asked = replace(experiment, data=str(train), test=str(test), n_train=20, n_validation=5, models=("naive_bayes",))
    results, folder = compare(asked, tmp_path / "run", progress=False)
    assert results["data"]["source"] == ["train.csv", "test.csv"]
    assert results["data"]["revision_or_sha256"] == [file_sha256(train), file_sha256(test)]
    table = pq.read_table(folder / "predictions.parquet")
    rows = np.random.default_rng(42).permutation(30)[:20]
    assert table["row"].to_pylist() == rows.tolist()
    assert table["label"].to_pylist() == [labels[1::2][row] for row in rows]
    assert "--test test.csv" in results["command"]
    scored = score_run(folder, str(test), progress=False)  # the run did not learn from it
    assert scored["data"]["source"] == ["test.csv"] and scored["data"]["n_test"] == 30


def test_what_counts_is_whether_test_rows_are_simulated(data):
    sizes = {"n_train": 20, "n_validation": 0, "n_test": 10}
    for source, test, simulated in ((str(data), "sample", True), ("sample", str(data), False)):
        asked = Experiment(data=source, test=test, shared_texts="count", **sizes)
        assert describe_data(asked, draw_rows(asked))["simulated"] is simulated


def test_unescaped_runs_learn_and_predict_unescaped(experiment, reviews, tmp_path):
    plain = replace(experiment, models=("logistic_regression",))
    (raw, _), (clean, folder) = (compare(replace(plain, unescape=flag), tmp_path / str(flag), progress=False)
                                 for flag in (False, True))
    assert raw["data"]["rows_sha256"] != clean["data"]["rows_sha256"]
    assert "\\n" in "".join(reviews["text"][:])  # so the option has work to do
    split = draw_rows(replace(plain, unescape=True))
    assert not [text for text in split.train["text"][:] + split.test["text"][:] if "\\n" in text or '\\"' in text]
    # n of a literal backslash-n would stick to the word: "ngood"
    found, same = (predict_with_run(folder, [text])["logistic_regression"]
                   for text in ("Very\\ngood \\\"food\\\"", unescape("Very\\ngood \\\"food\\\"")))
    np.testing.assert_array_equal(found, same)


def test_numbers_of_numpy_are_numbers():
    assert Experiment(n_train=np.int64(100), seed=np.uint32(3)) == Experiment(n_train=100, seed=3)
    assert type(Experiment(n_train=np.int64(100)).n_train) is int
    for wrong in ({"seed": True}, {"n_train": 30.5}, {"n_test": "20"}, {"seed": None}):
        with pytest.raises(InputError, match="expected a whole number"):
            Experiment(**wrong)
    with pytest.raises(InputError, match="expected refuse or count, found 'x'"):
        Experiment(shared_texts="x")


def test_a_finished_run_is_read_on_a_machine_that_could_not_make_it(experiment, tmp_path, monkeypatch):
    asked = replace(experiment, models=("majority",), training=replace(experiment.training, precision="fp16"))
    monkeypatch.setattr(comparison, "choose_precision", lambda *_: "fp32")
    made, folder = compare(asked, tmp_path / "run", progress=False)
    monkeypatch.undo()
    assert compare(asked, folder, progress=False)[0] == made


def test_texts_that_unescaping_makes_equal_are_shared(tmp_path):
    texts = [f"good{sign}food {number}" for number in range(30) for sign in ("\\n", "\n")]
    rows = write_reviews(tmp_path / "twice.csv", texts, [number // 2 % 5 for number in range(60)])
    asked = Experiment(data=str(rows), n_train=30, n_validation=10, n_test=20)
    assert draw_rows(asked).shared == 0
    with pytest.raises(InputError, match="Expected texts on one side only"):
        draw_rows(replace(asked, unescape=True))
    assert draw_rows(replace(asked, unescape=True, shared_texts="count")).shared > 0


# finished runs: read, predict, score, collect


def test_score_run_on_the_same_rows_gives_the_same_figures(finished, split, tmp_path):
    test = write_reviews(tmp_path / "rows.csv", split.test["text"][:], split.test["label"][:])
    scored = score_run(finished[1], str(test), progress=False)
    assert list(scored["models"]) == [*BASELINES, "fine_tuned"]  # frozen features are not saved
    for name, entry in scored["models"].items():
        for key in FIGURES:
            assert entry[key] == pytest.approx(finished[0]["models"][name][key], abs=1e-6), (name, key)
    assert scored["data"]["source"] == ["rows.csv"] and scored["data"]["n_test"] == 20
    assert scored["data"]["rows_sha256"]["test"] == finished[0]["data"]["rows_sha256"]["test"]
    assert "/" not in scored["command"]
    strict(json.dumps(scored))
    known = {(pair["a"], pair["b"]): pair for pair in finished[0]["pairs"]}
    for pair in scored["pairs"]:
        assert pair == known[(pair["a"], pair["b"])]


def test_scored_run_makes_a_table(finished, split, tmp_path):
    test = write_reviews(tmp_path / "rows.csv", split.test["text"][:], split.test["label"][:])
    table = format_table(score_run(finished[1], str(test), progress=False)).splitlines()
    assert [line.split()[0] for line in table[1:5]] == [*BASELINES, "fine_tuned"]
    assert "seconds" not in "\n".join(table)  # nothing was measured
    assert table[0].split()[-1] == "kappa" and table[5].endswith("kappa is quadratic weighted")


def test_run_without_a_saved_model_cannot_predict(experiment, tmp_path):
    "Frozen features keep no network: that is said, and no empty table is shown."
    _, folder = compare(replace(experiment, models=("frozen_features",)), tmp_path / "run", progress=False)
    with pytest.raises(InputError, match="frozen_features|no model"):
        predict_with_run(folder, ["Good."], progress=False)


def test_a_prediction_reads_as_far_as_the_run(monkeypatch, tmp_path):
    training = asdict(TrainingSettings(max_length=33, evaluation_batch_size=7, precision="fp32"))
    monkeypatch.setattr(comparison, "read_run", lambda _: {
        "models": {"fine_tuned": {}}, "config": {"training": training, "unescape": False}})
    monkeypatch.setattr(comparison, "load_classifier", lambda _: (None, None))
    options = open_predictors(tmp_path)["fine_tuned"].keywords
    assert (options["max_length"], options["batch_size"], options["precision"]) == (33, 7, "fp32")


@pytest.mark.parametrize("content", [None, "", "{", "[]", "1", "{}", '{"schema": 2}', '{"schema": 1}', b"\xff\xfe"])
def test_a_folder_without_results_is_said(content, tmp_path):
    if content is not None:
        (tmp_path / "results.json").write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(InputError, match=re.escape(tmp_path.name)):
        read_run(tmp_path)


def test_table_shows_every_model(finished):
    lines = format_table(finished[0]).splitlines()
    assert [line.split()[0] for line in lines[1:6]] == list(MODEL_NAMES)
    for line, entry in zip(lines[1:6], finished[0]["models"].values(), strict=True):
        low, high = entry["accuracy_interval"]
        assert f"{entry['accuracy']:.3f} [{low:.3f}, {high:.3f}]" in line
        assert f"{entry['quadratic_weighted_kappa']:.3f}" in line
    assert "30 training rows, 20 test rows, seed 42" in lines[6]
    assert lines[0].split()[-1] == "seconds" and lines[6].endswith("seconds are fit and predict")
    assert len({len(line) for line in lines[:6]}) == 1  # columns stand under each other


def test_each_cell_of_the_table_has_its_figure():
    assert table_cells(ENTRY) == {
        "accuracy": "0.510 [0.410, 0.610]", "within_one": "0.820", "mae": "0.730", "quadratic_weighted_kappa": "0.640",
        "seconds": "2.5"}


@pytest.fixture(scope="module")
def two_seeds(experiment, tmp_path_factory):
    "Two runs of the baselines with different seeds: results and folders."
    folder = tmp_path_factory.mktemp("seeds")
    return [compare(replace(experiment, seed=seed, models=BASELINES), folder / str(seed), progress=False)
            for seed in (42, 43)]


def test_collected_runs_agree_with_the_runs(two_seeds):
    collected = collect_runs([folder for _, folder in two_seeds])
    assert collected["schema"] == 1 and collected["machine"] == two_seeds[0][0]["environment"]["machine"]
    assert collected["command"] == [results["command"] for results, _ in two_seeds]
    assert len(collected["cells"]) == 6 and len(collected["pairs"]) == 6
    for cell in collected["cells"]:
        results = next(results for results, _ in two_seeds if results["config"]["seed"] == cell["seed"])
        assert {"recipe", "model", "n_train", "seed"} <= set(cell)
        assert {key: cell[key] for key in (*FIGURES, *COSTS)} == results["models"][cell["model"]]
    strict(json.dumps(collected))


def test_collected_runs_hold_no_text_and_no_path(two_seeds, reviews):
    collected = collect_runs([folder for _, folder in two_seeds])
    words = " ".join(strings(collected)).lower()
    assert not [text for text in reviews["text"][:] if text.lower()[:20] in words]
    assert str(two_seeds[0][1].parent) not in words and "/" not in " ".join(collected["command"])


def test_collecting_needs_finished_runs(tmp_path):
    with pytest.raises(InputError, match="finished run"):
        collect_runs([tmp_path])


def test_summary_table_shows_means_over_seeds(two_seeds):
    collected = collect_runs([folder for _, folder in two_seeds])
    head, rule, *rows = [line.strip("| ").split(" | ") for line in summary_table(collected["cells"]).splitlines()]
    assert len({len(row) for row in (head, rule, *rows)}) == 1
    assert [row[0] for row in rows] == [model_title(name) for name in BASELINES]
    for row, name in zip(rows, BASELINES, strict=True):
        entries = [results["models"][name] for results, _ in two_seeds]
        for seed, entry in zip((42, 43), entries, strict=True):
            assert row[head.index(f"accuracy, seed {seed}")].startswith(f"{entry['accuracy']:.3f} [")
        for column, key in (("within one star", "within_one"), ("MAE", "mae"), ("kappa", "quadratic_weighted_kappa")):
            assert row[head.index(column)] == f"{np.mean([entry[key] for entry in entries]):.3f}"
        reached = [entry["accuracy"] for entry in entries]
        assert row[head.index("mean of the seeds")] == mean_over_seeds(
            reached, [entry["accuracy_interval"] for entry in entries])


def test_a_mean_ends_where_there_is_nothing_beyond():
    assert mean_over_seeds([0.3, 0.5], [(0.2, 0.4), (0.4, 0.6)]) == "0.400 [0.000, 1.000]"  # 12.706 * 0.1
    assert mean_over_seeds([0.3, 0.5], [(0.2, 0.4), (0.4, 0.6)], -1) == "0.400 [-0.875, 1.000]"
    assert mean_over_seeds([0.4, 0.4], [(0.3, 0.5), (0.2, 0.6)]) == "0.400 [0.250, 0.550]"  # the rows' luck alone
    assert mean_over_seeds([0.4], [(0.3, 0.5)]) == ""


@pytest.mark.parametrize("spread", [0, 0.01, 0.04])
@pytest.mark.parametrize("shared", [False, True])
def test_the_interval_of_a_mean_holds_the_truth_often_enough(spread, shared):
    "Three seeds with 500 test rows each, the same ones or others; the truth is 0.5."
    rng, held = np.random.default_rng(0), 0
    for _ in range(1000):
        luck = rng.normal(0, (0.25 / 500) ** 0.5, 1 if shared else 3)
        reached = np.clip(0.5 + rng.normal(0, spread, 3) + luck, 0, 1)
        told = mean_over_seeds(reached.tolist(), [wilson_interval(round(500 * one), 500) for one in reached])
        low, high = map(float, told.split("[")[1].strip("]").split(", "))
        held += low <= 0.5 <= high
    assert held >= 935  # 950 are asked for; 15 fewer by chance are two standard errors


def test_a_model_that_one_seed_lacks_leaves_a_gap(two_seeds):
    cells = collect_runs([folder for _, folder in two_seeds])["cells"]
    head, _, *rows = [line.split("|") for line in summary_table(cells[1:]).splitlines()]
    assert {len(row) for row in rows} == {len(head)}
    last = rows[-1]  # the first model of the first seed is gone, and so it comes last
    assert last[1].strip() == model_title(cells[0]["model"]) and last[2].strip() == "" and "[" in last[3]


def test_results_section_names_rows_seeds_and_machine(experiment, finished, tmp_path):
    collected = collect_runs([finished[1]], note="A note.")
    page = results_section(collected)
    pair = next(pair for pair in finished[0]["pairs"] if (pair["a"], pair["b"]) == ("fine_tuned", "naive_bayes"))
    for part in ("reviews.csv", "30 training", "10 validation", "20 test", "seed 42", collected["machine"], "A note.",
                 summary_table(collected["cells"]), f": {pair['accuracy_difference']:.3f} ["):
        assert part in page
    assert "mean" not in page  # of one seed
    again = {**collected, "cells": collected["cells"] + [cell | {"seed": 43} for cell in collected["cells"]]}
    assert "A mean has one for other seeds" in results_section(again)
    assert "Fine-tuned minus" not in results_section({**collected, "pairs": []})


def test_a_difference_is_told_with_its_interval_in_order():
    pairs = [{"a": "fine_tuned", "b": "naive_bayes", "accuracy_difference": d, "interval": [d - 0.05, d + 0.07]}
             for d in (0.1, 0.2)]
    assert difference_line([*pairs, {**pairs[0], "a": "majority"}]).endswith(
        ": 0.100 [0.050, 0.170], 0.200 [0.150, 0.270]; mean of the seeds 0.150 [-0.488, 0.788].")  # 12.706 * 0.05, 0.06
    assert difference_line(pairs, a="majority") == ""


def test_settings_have_their_own_heading():
    named = [recipe_name({"config": {"training": asdict(one)}}) for one in (
        TrainingSettings(), TrainingSettings.lecture(), TrainingSettings(epochs=9))]
    assert named[0].startswith("default settings: 5 epochs, learning rate 0.0001, warm-up 0.1, batch size 16, grouped")
    assert named[1].startswith("the lecture's settings: 3 epochs") and named[2].startswith("other settings: 9 epochs")


def test_runs_of_different_machines_or_data_are_not_collected(two_seeds, tmp_path):
    folders = [folder for _, folder in two_seeds]
    for part, name, value in [("environment", "machine", "another"), ("environment", "precision", "bf17"),
                              ("data", "revision_or_sha256", ["0" * 64])]:
        other = json.loads((folders[1] / "results.json").read_text(encoding="utf-8"))
        other[part][name] = value
        (tmp_path / name).mkdir()
        (tmp_path / name / "results.json").write_text(json.dumps(other), encoding="utf-8")
        with pytest.raises(InputError, match=name):
            collect_runs([folders[0], tmp_path / name])


def test_a_run_goes_on_with_the_precision_and_threads_of_its_start(identity, tmp_path, capsys):
    threads = torch.get_num_threads()
    started = {"precision": "fp32", "threads": threads, "processes": 1, "device": "cpu"}
    comparison.open_folder(tmp_path / "run", identity)
    assert comparison.keep_environment(tmp_path / "run", started) == started
    assert comparison.open_folder(tmp_path / "run", identity, resume=True) is None
    try:
        now = started | {"precision": "bf16", "threads": threads + 1}
        assert comparison.keep_environment(tmp_path / "run", now) == started
        assert torch.get_num_threads() == threads
        assert "going on with fp32" in capsys.readouterr().err
        now = started | {"processes": 2}
        assert comparison.keep_environment(tmp_path / "run", now) == now
        assert "started with 1 processes, going on with 2" in capsys.readouterr().err
    finally:
        torch.set_num_threads(threads)


def test_a_folder_called_minilm_is_not_what_a_run_records(experiment, tiny_folder, tmp_path, monkeypatch):
    """The short name means the bundled network, whatever stands in the working folder."""
    shutil.copytree(tiny_folder, tmp_path / "minilm")
    monkeypatch.chdir(tmp_path)
    named = run_identity("compare", replace(experiment, model="minilm"), {})
    given = run_identity("compare", replace(experiment, model="./minilm"), {})
    assert "model_sha256" not in named["config"] and "model_sha256" in given["config"]
    assert "--model ./minilm" in given["command"] and "--model" not in named["command"]  # each makes itself again


def test_another_configuration_is_another_network(experiment, tiny_folder, tmp_path):
    """The same weights in fewer layers answer otherwise: an earlier run is not taken for it."""
    copy = tmp_path / "tiny"
    shutil.copytree(tiny_folder, copy)
    one = run_identity("compare", replace(experiment, model=str(copy)), {})
    config = json.loads((copy / "config.json").read_text())
    (copy / "config.json").write_text(json.dumps(config | {"num_hidden_layers": 1}))
    other = run_identity("compare", replace(experiment, model=str(copy)), {})
    assert one != other and one["command"] == other["command"]


def test_a_second_one_waits_for_the_lock(tmp_path):
    inside, left = threading.Event(), []

    def first():
        with comparison.lock_folder(tmp_path):
            inside.set()
            time.sleep(0.3)
            left.append("first")

    other = threading.Thread(target=first)
    other.start()
    inside.wait()
    with comparison.lock_folder(tmp_path, seconds=30):
        assert left == ["first"]
    other.join()
    assert list(tmp_path.iterdir()) == []


@pytest.mark.skipif(os.name != "posix" or os.geteuid() == 0, reason="everybody may read there")
def test_a_folder_that_cannot_be_read_is_not_empty(identity, tmp_path):
    comparison.open_folder(tmp_path, identity)
    tmp_path.chmod(0o300)
    try:
        with pytest.raises(InputError, match="expected a folder that can be read"):
            comparison.open_folder(tmp_path, identity | {"command": "another"})
    finally:
        tmp_path.chmod(0o700)
