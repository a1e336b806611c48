"""Figures, labels and settings arrive where a reader sees them: each for a fault that no other test would find."""
import json
import re
from dataclasses import asdict, replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from matplotlib.figure import Figure

import yelp_tl.comparison as comparison
import yelp_tl.experiments as experiments
import yelp_tl.finetuning as finetuning
import yelp_tl.pretraining as pretraining
import yelp_tl.recipes as recipes
import yelp_tl.report as report
import yelp_tl.sharing as sharing
from yelp_tl.calibration import (
    apply_temperature,
    calibration_error_by_chance,
    expected_calibration_error,
    fit_temperature,
    reliability_bins,
)
from yelp_tl.cli import main
from yelp_tl.data import (
    InputError,
    Split,
    example_reviews,
    file_sha256,
    plot_stars,
    plot_word_counts,
    reviews_from_lists,
    split_reviews,
)
from yelp_tl.errors import Slice
from yelp_tl.evaluation import accuracy, log_loss, score, wilson_interval
from yelp_tl.finetuning import TrainingSettings
from yelp_tl.significance import mcnemar_from_marginals
from yelp_tl.simulation import write_simulated

# data

def test_every_side_is_prepared():
    rows = reviews_from_lists([f"good\\nfood {row}" for row in range(60)], [row % 5 for row in range(60)])
    split = split_reviews(rows, n_train=20, n_validation=20, n_test=20, seed=0, prepare=comparison.unescape_reviews)
    for side in (split.train, split.validation, split.test):
        assert len(side) == 20 and not any("\\n" in text for text in side["text"][:])


def test_bars_of_stars_stand_in_order():
    ax = plot_stars(reviews_from_lists(list("abcdef"), [0, 0, 0, 3, 3, 4]), Figure().subplots())
    assert [(round(bar.get_x() + bar.get_width() / 2), bar.get_height()) for bar in ax.patches] == [
        (1, 3), (2, 0), (3, 0), (4, 2), (5, 1)]


def test_the_line_is_the_median():
    ax = plot_word_counts(reviews_from_lists(["a", "a b", "a " * 30], [0, 1, 2]), Figure().subplots())
    assert ax.lines[0].get_xdata()[0] == 2 and ax.get_legend().get_texts()[0].get_text() == "median 2"


# evaluation, significance

def test_the_first_bad_row_is_named():
    with pytest.raises(ValueError, match="found 5 in row 1$"):
        accuracy([0, 5, 7], [0, 1, 2])
    with pytest.raises(ValueError, match="in row 1$"):
        log_loss([0, 1, 2], [[0.2] * 5, [0.3] * 5, [0.4] * 5])


def test_probabilities_sum_to_one():
    with pytest.raises(ValueError, match="sum to 1"):
        log_loss([0], [[0.2, 0.2, 0.2, 0.2, 0.21]])


def test_a_p_at_the_level_is_significant():
    # 5 rows, all one way: the exact p is 2 / 2**5
    assert mcnemar_from_marginals(100, 55, 50, level=0.0625)["significant_up_to"] == 5


# experiments

def test_figures_after_the_temperature_are_after_it():
    rng = np.random.default_rng(3)
    def drawn(n, sharp):
        true = rng.dirichlet(np.ones(5), n)
        labels = (true.cumsum(axis=1) < rng.random((n, 1))).sum(axis=1)
        return labels, true**sharp / (true**sharp).sum(axis=1, keepdims=True)
    (validation_labels, validation), (labels, test) = drawn(400, 3), drawn(300, 3)
    found = experiments.calibration_record(validation_labels, validation, labels, test)
    after = apply_temperature(test, fit_temperature(validation_labels, validation))
    assert found["temperature"] > 1.5 and found["error"] == expected_calibration_error(labels, test)
    assert found["error_after"] == expected_calibration_error(labels, after) < found["error"]
    assert found["log_loss_after"] == log_loss(labels, after) < log_loss(labels, test)
    assert found["bins"] == reliability_bins(labels, test) and found["bins_after"] == reliability_bins(labels, after)
    assert found["by_chance_after"] == calibration_error_by_chance(after, seed=0)


def test_validation_figures_come_from_validation_rows():
    rng = np.random.default_rng(1)
    sides = [reviews_from_lists(["x"] * n, rng.integers(0, 5, n).tolist()) for n in (30, 40)]
    pool = experiments.Pool(sides[0], np.array([0]), None, np.array([], dtype=int), *sides, frozenset())
    run = recipes.RecipeRun(rng.dirichlet(np.ones(5), 30), rng.dirichlet(np.ones(5), 40), {}, [])
    cell = experiments.Cell("naive_bayes", recipes.make_recipes()["naive_bayes"], 20, 1)
    record = experiments.cell_record(cell, "0" * 16, run, pool)
    expected = score(sides[0]["label"][:], run.validation)
    assert record["validation"] == {name: expected[name] for name in record["validation"]}
    assert record["accuracy"] == score(sides[1]["label"][:], run.test)["accuracy"]


def made_up_results():
    labels, cells = np.arange(50) % 5, []
    for recipe, share in (("naive_bayes", 0.2), ("fine_tuned", 0.6)):
        for size in (20, 80):
            for seed in (1, 2):
                rng = np.random.default_rng([seed, size, len(recipe)])
                stars = np.where(rng.random(50) < share + size / 800, labels, (labels + 2) % 5)
                figures = score(labels, np.eye(5)[stars])
                cells.append({"recipe": recipe, "n_train": size, "seed": seed, **figures, "fit_seconds": 60.0 * seed,
                              "predict_seconds": 6.0, "cpu_seconds": 600.0 * seed, "peak_memory_bytes": 2e9 * seed,
                              "tokens_computed": 1000 * seed, "parameters_trained": 7,
                              "predicted": experiments.digits(stars)})
    place = {"machine": "m", "device": "cpu", "precision": "fp32", "threads": 1}
    return {"command": "yelp_tl ladder", "settings": {"seeds": [1, 2], "model": "minilm"}, "environment": place,
            "data": {"source": ["a.csv"], "simulated": False}, "labels": experiments.digits(labels),
            "what": {}, "cells": cells}


def table_of(text):
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in text.splitlines() if line.startswith("|")]


def test_each_column_of_the_curve_has_its_name():
    results = made_up_results()
    head, _, *rows = table_of(experiments.curve_table(results))
    assert head == ["training rows", "Naive Bayes", "fine-tuned"]
    for row in rows:
        for name, found in zip(("naive_bayes", "fine_tuned"), row[1:], strict=True):
            assert found == experiments.band_text(experiments.right_answers(results, name, int(row[0])))


def ladder():
    results = made_up_results()
    return results | {"cells": [cell for cell in results["cells"] if cell["n_train"] == 80]}


def test_each_column_of_the_ladder_has_its_figure():
    results = ladder()
    head, _, *rows = table_of(experiments.ladder_table(results))
    for row, name in zip(rows, ("naive_bayes", "fine_tuned"), strict=True):
        runs = [cell for cell in results["cells"] if cell["recipe"] == name]
        for heading, key in (("within one star", "within_one"), ("MAE", "mae")):
            assert row[head.index(heading)] == f"{np.mean([run[key] for run in runs]):.3f}"


def test_the_ladder_shows_means_over_seeds():
    for row in experiments.ladder_rows(ladder()):
        runs = [cell for cell in ladder()["cells"] if cell["recipe"] == row["recipe"]]
        assert row["mae"] == pytest.approx(np.mean([run["mae"] for run in runs])) != runs[0]["mae"]
        assert (row["cpu_minutes"], row["peak_memory_gb"], row["tokens_computed"]) == (15, 3, 1500)


def test_minutes_to_train_are_those_of_training():
    assert [row["minutes"] for row in experiments.ladder_rows(ladder())] == [1.5, 1.5]


def test_bands_reach_from_end_to_end():
    results = made_up_results()
    axes = experiments.plot_curve(results, Figure().subplots())
    for name, band in zip(("naive_bayes", "fine_tuned"), axes.collections, strict=True):
        ends = [experiments.two_way_interval(experiments.right_answers(results, name, size), seed=0)["interval"]
                for size in (20, 80)]
        seen = band.get_paths()[0].vertices
        assert sorted({round(y, 9) for _, y in seen}) == sorted({round(end, 9) for pair in ends for end in pair})
    assert [line.get_label() for line in axes.lines] == ["Naive Bayes", "fine-tuned"]


def test_too_few_rows_for_the_largest_size_are_told_first(tmp_path):
    write_simulated(tmp_path / "reviews.csv", 60, "train", progress=False)
    settings = experiments.CurveSettings(data=str(tmp_path / "reviews.csv"), n_validation=10, n_test=10,
                                         recipes=("naive_bayes",), sizes=(20, 5000), seeds=(1,))
    with pytest.raises(InputError, match="at least 5,000 training rows"):
        experiments.run_experiment(settings, tmp_path / "cells", progress=False)
    assert not list(tmp_path.glob("cells/*"))  # before the first run, not after it


# recipes

def test_random_weights_alone_are_not_pretrained():
    known = recipes.make_recipes()
    assert [name for name, one in known.items() if not one.pretrained] == ["random_weights"]


def test_longer_trains_twice_as_long_with_layer_decay():
    known = recipes.make_recipes()
    assert {name: one.layer_decay for name, one in known.items() if one.layer_decay != 1} == {"longer": 0.8}
    assert known["longer"].settings == replace(TrainingSettings(), epochs=2 * TrainingSettings().epochs)


def test_head_only_trains_the_head():
    known = recipes.make_recipes()
    assert {name: one.trained for name, one in known.items() if one.trained != "all"} == {
        "head_only": "head", "last_two_layers": "last_two_layers", "lora": "lora"}
    assert [name for name, one in known.items() if one.pooling == "mean"] == ["mean_pooling"]


def test_the_seed_reaches_the_linear_svm(monkeypatch):
    seen, real = [], recipes.LinearSVC
    monkeypatch.setattr(recipes, "LinearSVC", lambda **options: seen.append(options["random_state"]) or real(**options))
    split = split_reviews(example_reviews(), n_train=30, n_validation=0, n_test=10, seed=1)
    recipes.run_linear_svm(split, 7)
    assert seen == [7]


# finetuning

def test_scoring_is_no_training_time(monkeypatch):
    clock = iter([100.0, 130.0, 140.0])
    monkeypatch.setattr(finetuning.time, "perf_counter", lambda: next(clock))
    state, watch = SimpleNamespace(log_history=[{"seconds": 5.0}]), finetuning.Stopwatch()
    watch.on_train_begin(None, state, None)
    for logs in ({"loss": 1.0, "eval_runtime": 20.0}, {"loss": 1.0}):
        state.log_history.append(dict(logs))
        watch.on_log(None, state, None, logs)
    assert [record["seconds"] for record in state.log_history] == [5.0, 5 + 30 - 20, 5 + 40 - 20]


def test_an_accuracy_becomes_a_whole_number_of_rows():
    figures = {f"eval_{name}": 0.5 for name in ("loss", "within_one", "mae", "quadratic_weighted_kappa", "macro_f1")}
    history = [{"epoch": 1.0, "loss": 1.0}, {"epoch": 1.0, **figures, "eval_accuracy": 29 / 100}]
    record, = finetuning.epoch_records(history, 100, "validation")  # 0.29 * 100 is a hair below 29
    assert record["accuracy_interval"] == list(wilson_interval(29, 100))


# comparison

def test_evaluate_refuses_the_training_file_and_no_test_file(tmp_path, monkeypatch):
    train, test = (tmp_path / name for name in ("train.csv", "test.csv"))
    train.write_text("text,label\na,0\nb,4\n")
    test.write_text("text,label\nc,0\nd,4\n")
    monkeypatch.setattr(comparison, "read_run", lambda _: {"data": {"revision_or_sha256": [
        file_sha256(train), file_sha256(test)]}})
    with pytest.raises(InputError, match="train.csv: expected reviews that are new"):
        comparison.score_run(tmp_path, str(train), progress=False)


def test_what_counts_is_whether_test_rows_are_simulated(tmp_path):
    write_simulated(tmp_path / "a.csv", 40, "train", progress=False)
    rows = {"n_train": 20, "n_validation": 0, "n_test": 10}
    file = str(tmp_path / "a.csv")
    for data, test, simulated in ((file, "sample", True), ("sample", file, False)):
        asked = comparison.Experiment(data=data, test=test, shared_texts="count", **rows)
        assert comparison.describe_data(asked, comparison.draw_rows(asked))["simulated"] is simulated


ENTRY = {"accuracy": 0.51, "accuracy_interval": [0.41, 0.61], "within_one": 0.82, "mae": 0.73,
         "quadratic_weighted_kappa": 0.64, "fit_seconds": 2.0, "predict_seconds": 0.5}


def test_each_cell_of_the_table_has_its_figure():
    assert comparison.table_cells(ENTRY) == {
        "accuracy": "0.510 [0.410, 0.610]", "within_one": "0.820", "mae": "0.730", "quadratic_weighted_kappa": "0.640",
        "seconds": "2.5"}


def test_a_difference_is_told_with_its_interval_in_order():
    pairs = [{"a": "fine_tuned", "b": "naive_bayes", "accuracy_difference": d, "interval": [d - 0.05, d + 0.07]}
             for d in (0.1, 0.2)]
    assert comparison.difference_line([*pairs, {**pairs[0], "a": "majority"}]).endswith(
        ": 0.100 [0.050, 0.170], 0.200 [0.150, 0.270]; mean 0.150.")


def test_settings_have_their_own_heading():
    named = [comparison.recipe_name({"config": {"training": asdict(one)}}) for one in (
        TrainingSettings(), TrainingSettings.lecture(), TrainingSettings(epochs=9))]
    assert named[0].startswith("default settings: 5 epochs, learning rate 0.0001, warm-up 0.1, batch size 16, grouped")
    assert named[1].startswith("the lecture's settings: 3 epochs") and named[2].startswith("other settings: 9 epochs")


def test_a_half_emptied_folder_is_still_a_run(tmp_path, monkeypatch):
    for name in ("run.json", "results.json", "run.lock"):
        (tmp_path / name).write_text("{}")
    (tmp_path / "model").mkdir()
    def fails(_):
        raise PermissionError
    with monkeypatch.context() as patch:
        patch.setattr(comparison.shutil, "rmtree", fails)
        with pytest.raises(PermissionError):
            comparison.throw_away(tmp_path)
    assert (tmp_path / "run.json").exists()  # still known as a run's, so --force works again
    comparison.throw_away(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["run.lock"]


def test_a_star_that_training_lacks_shifts_no_other(monkeypatch):
    rng = np.random.default_rng(0)
    monkeypatch.setattr(comparison, "frozen_features", lambda _, texts, *rest: (rng.normal(size=(len(texts), 4)), 1))
    train, test = (reviews_from_lists(["x"] * len(labels), labels) for labels in ([1, 2, 4] * 10, [0, 1, 2, 3, 4]))
    split = Split(train, train.select([]), test, *[np.array([], dtype=int)] * 3)
    found = comparison.run_frozen_features(None, split, TrainingSettings(), progress=False).probabilities
    assert (found[:, [0, 3]] == 0).all() and (found[:, [1, 2, 4]] > 0).all()


def test_an_explanation_reads_as_far_as_the_run(monkeypatch, tmp_path):
    seen = []
    monkeypatch.setattr(comparison, "load_classifier", lambda _: (None, None))
    monkeypatch.setattr(comparison, "explain_review", lambda *_, **options: seen.append(options.get("max_length")))
    test = reviews_from_lists(["good soup", "bad soup"], [0, 4])
    split = Split(test, test.select([]), test, *[np.array([], dtype=int)] * 3)
    asked = comparison.Experiment(training=TrainingSettings(max_length=33))
    comparison.explain_test_rows(asked, split, {"fine_tuned": np.eye(5)[[1, 4]]}, tmp_path, False)
    assert seen == [33, 33]


def test_a_prediction_reads_as_far_as_the_run(monkeypatch, tmp_path):
    training = asdict(TrainingSettings(max_length=33, evaluation_batch_size=7, precision="fp32"))
    monkeypatch.setattr(comparison, "read_run", lambda _: {
        "models": {"fine_tuned": {}}, "config": {"training": training, "unescape": False}})
    monkeypatch.setattr(comparison, "load_classifier", lambda _: (None, None))
    options = comparison.open_predictors(tmp_path)["fine_tuned"].keywords
    assert (options["max_length"], options["batch_size"], options["precision"]) == (33, 7, "fp32")


# pretraining

def test_first_and_last_losses_are_those(monkeypatch, tmp_path, tiny_folder):
    (tmp_path / "a.txt").write_text("one\ntwo\n")
    body = SimpleNamespace(config=SimpleNamespace(vocab_size=9))
    monkeypatch.setattr(pretraining, "continue_pretraining", lambda *_: pretraining.Pretrained(
        body, None, list(map(float, range(200, 0, -1))), 5))
    monkeypatch.setattr(pretraining, "save_pretrained", lambda *_: None)
    settings = pretraining.PretrainingSettings(str(tmp_path / "a.txt"), model=str(tiny_folder))
    record = pretraining.run_pretraining(settings, tmp_path / "out", progress=False)
    assert (record["loss_of_first_steps"], record["loss_of_last_steps"]) == (175.5, 25.5)


def test_the_seed_decides_pretraining(monkeypatch, tiny_checkpoint):
    seen = []
    def stop(model, tokenizer, rows, training, seed, **_):
        seen.append((seed, model.transform[0].weight.sum().item()))
        raise KeyboardInterrupt
    monkeypatch.setattr(pretraining, "make_trainer", stop)
    for seed in (7, 7, 8):
        with pytest.raises(KeyboardInterrupt):
            pretraining.continue_pretraining(tiny_checkpoint, ["good soup"], pretraining.PretrainingSettings(
                "a.csv", seed=seed, max_length=32), progress=False)
    assert [seed for seed, _ in seen] == [7, 7, 8] and seen[0] == seen[1] and seen[0][1] != seen[2][1]


def test_half_a_network_is_never_left(monkeypatch, tmp_path, tiny_checkpoint):
    part = SimpleNamespace(save_pretrained=lambda folder: Path(folder).mkdir(parents=True, exist_ok=True))
    monkeypatch.setattr(pretraining, "write_json", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
    with pytest.raises(KeyboardInterrupt):
        pretraining.save_pretrained(pretraining.Pretrained(part, part, [], 0), tiny_checkpoint, tmp_path / "new", {})
    assert list(tmp_path.iterdir()) == []


# sharing

def card_results():
    return {"command": "yelp_tl compare", "environment": {"machine": "m", "device": "cpu", "precision": "fp32",
                                                          "threads": 1, "versions": {"yelp_tl": "1"}},
            "config": {"data": "a.csv", "test": None, "seed": 42, "training": {"max_length": 64}, "model": "x"},
            "data": {"source": ["a.csv"], "revision_or_sha256": ["ab"], "n_train": 31, "n_validation": 11, "n_test": 21,
                     "shared_texts": 0, "rows_sha256": {}, "label_counts": {}},
            "models": {"fine_tuned": ENTRY | {"fit_seconds": 12.0, "predict_seconds": 3.0}},
            "pairs": [{"a": "fine_tuned", "b": "naive_bayes", "accuracy_difference": 0.2, "interval": [0.1, 0.3]}]}


def test_the_card_counts_each_side():
    lines = sharing.rows_lines(card_results())
    assert lines[0].startswith("Training reviews: the first 31 of the file `a.csv`") and "default_rng(42)" in lines[0]
    assert lines[1:3] == ["Validation reviews: the next 11 of that order",
                          "Test reviews: the next 21 of the same order"]


def test_the_card_tells_the_share_within_one_star():
    told = "On 21 test reviews, a share of 0.820 of them is right or one star off"
    assert told in sharing.limits_part(card_results())


def test_the_card_tells_who_leads():
    assert sharing.difference_sentence(card_results()).endswith(
        "on the same 21 test reviews: 0.200 (95% interval 0.100 to 0.300).")


def test_the_card_tells_seconds_to_fit_and_to_predict():
    assert "12.0 to fit, 3.0 to predict the test reviews" in sharing.settings_part(card_results())


# report

PAIR = {"a": "fine_tuned", "b": "naive_bayes", "accuracy_difference": 0.2, "interval": [0.1, 0.3], "mcnemar_p": 0.01}


def test_a_pair_is_named_in_the_order_of_its_difference():
    html = report.pairs_table({"pairs": [PAIR]}, 20)
    assert '<th scope="row">Fine-tuned minus Naive Bayes</th>' in html
    assert re.findall(r'class="number">(.*?)<', html) == ["0.200", "0.100 to 0.300", "0.010"]


def test_the_better_of_a_pair_is_named():
    said = [report.read_pair(PAIR | {"interval": interval}).partition(":")[0] for interval in (
        [0.1, 0.3], [-0.3, -0.1], [0.0, 0.3], [-0.3, 0.0])]
    assert said == ["Fine-tuned is better", "Naive Bayes is better"] + ["Too close to call"] * 2


def row_under_headings(html):
    heads = re.findall(r'<th scope="col">(.*?)</th>', html)
    return [dict(zip(heads[1:], re.findall(r"<td.*?>(.*?)</td>", row), strict=True))
            for row in re.findall(r"<tr><th scope=\"row\">.*?</tr>", html)]


def test_each_column_of_the_epochs_has_its_figure():
    epoch = {"epoch": 1, "train_loss": 1.5, "loss": 1.2, **{key: ENTRY[key] for key in (
        "accuracy", "accuracy_interval", "within_one", "mae", "quadratic_weighted_kappa")}, "macro_f1": 0.45}
    row, = row_under_headings(report.epochs_table("fine_tuned", [epoch]))
    assert list(row.items()) == [
        ("Training loss", "1.500"), ("Loss on scored rows", "1.200"), ("Accuracy", "0.510"),
        ("95% interval", "0.410 to 0.610"), ("Within one star", "0.820"), ("Mean absolute error", "0.730"),
        ("Quadratic weighted kappa", "0.640"), ("Macro F1", "0.450")]


def test_each_column_of_the_slices_has_its_figure():
    one = Slice("words", "up to 9", 50, 200, 0.5, (0.4, 0.6), 1.25, 0.75, 0.2, (0.1, 0.3), (0.02, 0.4), 20)
    row, = re.findall(r'<tr><th scope="row">.*?</tr>', report.slices_table([one]))
    assert re.findall(r"<td.*?>(.*?)</td>", row) == [
        "50", "0.500", "0.400 to 0.600", "0.750", "1.25", "0.200", "0.100 to 0.300", "clearly better"]


def test_each_column_of_the_costs_has_its_figure():
    results = {"models": {"fine_tuned": ENTRY | {"parameters_trained": 7, "tokens_computed": 9}}}
    row, = row_under_headings(report.models_table("Cost", results, report.COST))
    assert row == {"Seconds to fit": "2.0", "Seconds to predict": "0.5", "Trained parameters": "7",
                   "Computed tokens": "9"}


def test_the_strip_runs_from_one_star_to_five():
    strip = report.probability_strip(np.array([0.01, 0.04, 0.05, 0.2, 0.7]), label=0)
    assert re.findall(r"<td.*?>(.*?)</td>", strip) == ["1.0%", "4.0%", "5.0%", "20.0%", "70.0%"]
    assert re.findall(r'<th scope="col" class="(.*?)">', strip) == ["true", "", "", "", "predicted"]


def test_the_picture_of_mistakes_has_true_stars_in_rows():
    matrix = np.arange(25).reshape(5, 5)
    svg = report.confusion_svg("fine_tuned", matrix)
    shown = re.findall(r">(\d+)</text>", svg)
    assert "".join(map(str, range(25))) in "".join(shown)  # row by row, as in the matrix


def test_each_column_marks_its_own_best():
    models = {"majority": {"accuracy": 0.5, "mae": 0.4}, "fine_tuned": {"accuracy": 0.6, "mae": 0.7}}
    columns = (report.Column("accuracy", "Accuracy", better="high"), report.Column("mae", "MAE", better="low"))
    html = report.models_table("Quality", {"models": models}, columns)
    assert re.findall(r'<td class="best">(.*?)</td>', html) == ["0.400", "0.600"]


def test_intervals_belong_to_the_accuracy():
    epochs = [{"epoch": 1, "train_loss": 1.5, "loss": 1.2, "accuracy": 0.5, "accuracy_interval": [0.4, 0.6]}]
    drawn = {what: [line.get_ydata()[:].tolist() if hasattr(line.get_ydata(), "tolist") else list(line.get_ydata())
                    for line in report.plot_epochs(epochs, Figure().subplots(), what).lines]
             for what in ("loss", "accuracy")}
    assert drawn == {"loss": [[1.5], [1.2]], "accuracy": [[0.5], [0.4, 0.6]]}


# the command

def test_simulate_writes_the_side_that_was_asked_for(monkeypatch, tmp_path):
    seen = []
    monkeypatch.setattr("yelp_tl.simulation.write_simulated", lambda *words: seen.append(words))
    assert main(["simulate", "--out", str(tmp_path / "a.csv"), "--n", "30", "--split", "test"]) == 0
    assert seen == [(tmp_path / "a.csv", 30, "test")]


def test_reuse_takes_an_earlier_result_up(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    write_simulated(tmp_path / "reviews.csv", 100, "train", progress=False)
    words = ["curve", "--data", "reviews.csv", "--recipes", "naive_bayes", "--sizes", "20", "--seeds", "1",
             "--n-validation", "20", "--n-test", "40"]
    assert main([*words, "--cells", "here", "--out", "made"]) == 0
    assert main([*words, "--cells", "there", "--reuse", "made/results.json", "--finished", "--out", "again"]) == 0
    made, again = (json.loads((tmp_path / name / "results.json").read_text())["cells"] for name in ("made", "again"))
    assert made == again
