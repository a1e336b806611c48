"""Metrics, intervals and paired tests, against scikit-learn, statsmodels, scipy and the definitions themselves."""
import json
import socket
import subprocess
import sys

import numpy as np
import pytest
import sklearn.metrics as reference
from hypothesis import given, settings
from hypothesis import strategies as st
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure
from scipy import stats
from statsmodels.stats.contingency_tables import mcnemar
from statsmodels.stats.proportion import proportion_confint

from yelp_tl.evaluation import (
    accuracy,
    axes_or_new,
    bootstrap_difference,
    compare_pair,
    compute_metrics,
    confusion_matrix,
    log_loss,
    macro_f1,
    make_star_metric,
    mcnemar_p,
    mean_absolute_error,
    mistake_costs,
    plot_confusion,
    plot_intervals,
    quadratic_weighted_kappa,
    score,
    star_metrics,
    wilson_interval,
    within_one,
)

OF_STARS = [accuracy, within_one, mean_absolute_error, quadratic_weighted_kappa, macro_f1, confusion_matrix,
            mistake_costs]
STARS = range(5)

quick = settings(max_examples=60, deadline=None)  # no deadline: a busy machine is no failure
star = st.integers(0, 4)
star_pairs = st.lists(st.tuples(star, star), min_size=1, max_size=60).map(lambda rows: np.array(rows).T)
star_triples = st.lists(st.tuples(star, star, star), min_size=1, max_size=60).map(lambda rows: np.array(rows).T)


def random_scores(seed, n=200):
    """Labels and probabilities that know a little about them."""
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, 5, n)
    weights = rng.gamma(0.5, size=(n, 5)) + 1e-6
    weights[np.arange(n), labels] += 0.3
    return labels, weights / weights.sum(axis=1, keepdims=True)


# figures from stars

@quick
@given(star_pairs)
def test_figures_equal_scikit_learn(rows):
    labels, predictions = rows
    assert accuracy(labels, predictions) == pytest.approx(reference.accuracy_score(labels, predictions))
    assert mean_absolute_error(labels, predictions) == pytest.approx(
        reference.mean_absolute_error(labels, predictions))
    assert macro_f1(labels, predictions) == pytest.approx(
        reference.f1_score(labels, predictions, average="macro", zero_division=0))
    assert confusion_matrix(labels, predictions).tolist() == (
        reference.confusion_matrix(labels, predictions, labels=STARS).tolist())


@quick
@given(star_pairs)
def test_within_one_equals_top_of_a_count(rows):
    labels, predictions = rows
    assert within_one(labels, predictions) == pytest.approx(
        sum(abs(int(a) - int(b)) < 2 for a, b in zip(labels, predictions, strict=True)) / len(labels))


@quick
@given(star_pairs)
def test_mistake_costs_add_up_to_scikit_learns_errors(rows):
    labels, predictions = rows
    table = mistake_costs(labels, predictions)
    distances = np.abs(labels - predictions)
    assert [row["distance"] for row in table] == [0, 1, 2, 3, 4]
    assert [row["count"] for row in table] == [int((distances == distance).sum()) for distance in STARS]
    assert sum(row["share"] for row in table) == pytest.approx(1)
    assert sum(row["mae_part"] for row in table) == pytest.approx(
        reference.mean_absolute_error(labels, predictions))
    assert sum(row["squared_part"] for row in table) == pytest.approx(
        reference.mean_squared_error(labels, predictions))
    for row in table:
        only = np.where(distances == row["distance"], distances, 0)
        assert (row["mae_part"], row["squared_part"]) == pytest.approx((only.mean(), (only**2).mean()))
    assert json.loads(json.dumps(table, allow_nan=False)) == table


@quick
@given(star_pairs)
@pytest.mark.filterwarnings("ignore")  # scikit-learn warns where kappa is 0 / 0
def test_kappa_equals_scikit_learn_and_the_sum_over_all_pairs(rows):
    labels, predictions = rows
    theirs = reference.cohen_kappa_score(labels, predictions, weights="quadratic", labels=STARS)
    ours = quadratic_weighted_kappa(labels, predictions)
    by_chance = np.mean((labels[:, None] - predictions[None, :]) ** 2)
    if by_chance == 0:
        assert np.isnan(theirs) and ours == 0.0
    else:
        assert ours == pytest.approx(theirs, abs=1e-12)
        assert ours == pytest.approx(1 - np.mean((labels - predictions) ** 2) / by_chance, abs=1e-12)


def test_kappa_with_one_star_on_either_side_is_zero():
    assert quadratic_weighted_kappa([3] * 5, [0, 1, 2, 3, 4]) == pytest.approx(0)
    assert quadratic_weighted_kappa([0, 1, 2, 3, 4], [3] * 5) == pytest.approx(0)
    assert quadratic_weighted_kappa([3] * 5, [3] * 5) == 0


def test_kappa_ends():
    assert quadratic_weighted_kappa([0, 1, 2, 3, 4], [0, 1, 2, 3, 4]) == 1
    assert quadratic_weighted_kappa([0, 4], [4, 0]) == -1


def test_figures_of_many_rows_equal_scikit_learn():
    labels, probabilities = random_scores(seed=3, n=5000)
    predictions = probabilities.argmax(axis=1)
    figures = star_metrics(labels, predictions)
    assert figures["macro_f1"] == pytest.approx(reference.f1_score(labels, predictions, average="macro"))
    assert figures["quadratic_weighted_kappa"] == pytest.approx(
        reference.cohen_kappa_score(labels, predictions, weights="quadratic"))


@pytest.mark.parametrize("figure", OF_STARS)
@pytest.mark.parametrize("labels, predictions, says", [
    ([], [], "at least one row"),
    ([0, 1], [0], "2 labels and 1 predictions"),
    ([0, 5], [0, 1], "labels: .* found 5 in row 1"),
    ([0, 1], [0, -1], "predictions: .* found -1 in row 1"),
    ([0, np.nan], [0, 1], "found nan in row 1"),
    ([0, 1], [0, 0.5], "found 0.5 in row 1"),
    ([0, 1], [0, np.inf], "found inf in row 1"),
    ([0, None], [0, 1], "of type object"),
    (["0", "1"], [0, 1], "of type <U1"),
    ([True, False], [0, 1], "of type bool"),
    ([[0, 1]], [0, 1], r"shape \(1, 2\)"),
    (3, 3, r"shape \(\)"),
])
def test_bad_stars_are_refused(figure, labels, predictions, says):
    with pytest.raises(ValueError, match=says):
        figure(labels, predictions)


def test_stars_may_come_as_any_list_of_whole_numbers():
    from datasets import Dataset

    column = Dataset.from_dict({"label": [0, 4, 2]})["label"]
    for labels in ([0, 4, 2], (0, 4, 2), np.array([0, 4, 2], dtype=np.uint8), np.array([0.0, 4.0, 2.0]), column):
        assert accuracy(labels, [0, 4, 1]) == pytest.approx(2 / 3)


# log loss and score

@pytest.mark.parametrize("seed", range(5))
def test_log_loss_equals_scikit_learn(seed):
    labels, probabilities = random_scores(seed)
    assert log_loss(labels, probabilities) == pytest.approx(
        reference.log_loss(labels, probabilities, labels=STARS))


def test_log_loss_of_a_zero_is_cut_off_as_in_scikit_learn():
    labels, probabilities = [0, 1], [[1.0, 0, 0, 0, 0], [1.0, 0, 0, 0, 0]]
    assert log_loss(labels, probabilities) == pytest.approx(reference.log_loss(labels, probabilities, labels=STARS))
    assert log_loss([0], [[1, 0, 0, 0, 0]]) == 0
    assert log_loss([1], [[1, 0, 0, 0, 0]]) == pytest.approx(36.04, abs=0.01)


def test_log_loss_takes_single_precision():
    labels, probabilities = random_scores(seed=1)
    single = probabilities.astype(np.float32)
    assert log_loss(labels, single) == pytest.approx(log_loss(labels, probabilities), rel=1e-5)


@pytest.mark.parametrize("figure", [log_loss, score])
@pytest.mark.parametrize("probabilities, says", [
    ([[0.2] * 5], r"expected 2 rows of 5 stars, found shape \(1, 5\)"),
    ([[0.25] * 4] * 2, r"found shape \(2, 4\)"),
    ([0.5, 0.5], r"found shape \(2,\)"),
    ([[0.2] * 5, [0.3] * 5], "in row 1"),
    ([[0.2] * 5, [1.2, -0.2, 0, 0, 0]], "in row 1"),
    ([[np.nan, 0, 0, 0, 1], [0.2] * 5], "in row 0"),
    ([[3.1, -1.0, 0.4, 0.2, 0.1]] * 2, "in row 0"),  # logits are no probabilities
])
def test_bad_probabilities_are_refused(figure, probabilities, says):
    with pytest.raises(ValueError, match=says):
        figure([0, 1], probabilities)


def test_the_first_bad_row_is_named():
    with pytest.raises(ValueError, match="found 5 in row 1$"):
        accuracy([0, 5, 7], [0, 1, 2])
    with pytest.raises(ValueError, match="in row 1$"):
        log_loss([0, 1, 2], [[0.2] * 5, [0.3] * 5, [0.4] * 5])


def test_probabilities_sum_to_one():
    with pytest.raises(ValueError, match="sum to 1"):
        log_loss([0], [[0.2, 0.2, 0.2, 0.2, 0.21]])


def test_score_has_the_seven_figures_and_goes_into_json():
    labels, probabilities = random_scores(seed=5)
    figures = score(labels, probabilities)
    predictions = probabilities.argmax(axis=1)
    right = int((labels == predictions).sum())
    assert list(figures) == ["accuracy", "accuracy_interval", "within_one", "mae", "quadratic_weighted_kappa",
                             "macro_f1", "log_loss"]
    assert figures["accuracy_interval"] == list(wilson_interval(right, len(labels)))
    assert figures["log_loss"] == log_loss(labels, probabilities)
    assert {name: figures[name] for name in star_metrics(labels, predictions)} == star_metrics(labels, predictions)
    assert all(type(value) is float for name, value in figures.items() if name != "accuracy_interval")
    assert json.loads(json.dumps(figures, allow_nan=False)) == figures


def test_score_takes_the_lower_star_at_a_tie():
    assert score([1], [[0, 0.5, 0.5, 0, 0]])["accuracy"] == 1
    assert score([2], [[0, 0.5, 0.5, 0, 0]])["accuracy"] == 0


# intervals

@quick
@given(st.integers(1, 3000).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n))), st.floats(0.5, 0.999))
def test_wilson_equals_statsmodels(result, confidence):
    successes, n = result
    theirs = proportion_confint(successes, n, alpha=1 - confidence, method="wilson")
    assert wilson_interval(successes, n, confidence) == pytest.approx(theirs, abs=1e-12)


@quick
@given(st.integers(1, 3000).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n))))
def test_wilson_holds_the_share_and_stays_between_zero_and_one(result):
    successes, n = result
    low, high = wilson_interval(successes, n)
    assert 0 <= low <= successes / n <= high <= 1
    assert wilson_interval(n - successes, n) == pytest.approx((1 - high, 1 - low))


@pytest.mark.parametrize("truth", [0.2, 0.5, 0.59, 0.95])
def test_wilson_holds_the_truth_as_often_as_it_says(truth):
    drawn = np.random.default_rng(20).binomial(500, truth, size=4000)
    ends = {right: wilson_interval(int(right), 500) for right in np.unique(drawn)}
    held = np.mean([ends[right][0] <= truth <= ends[right][1] for right in drawn])
    assert 0.935 < held < 0.965


@pytest.mark.parametrize("successes, n, confidence", [
    (0, 0, 0.95), (-1, 10, 0.95), (11, 10, 0.95), (5, 10, 0), (5, 10, 1), (5, 10, 95), (float("nan"), 10, 0.95),
])
def test_wilson_refuses_the_impossible(successes, n, confidence):
    with pytest.raises(ValueError, match="expected"):
        wilson_interval(successes, n, confidence)


# pairs of models

def made_up_models(seed, n=400, shared=0.7):
    """Labels and two models that are right on much the same rows."""
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, 5, n)
    hardness = shared * rng.normal(size=n)
    stars = [np.clip(np.rint(labels + hardness + spread * rng.normal(size=n)), 0, 4).astype(int)
             for spread in (0.3, 0.6)]
    return labels, *stars


@quick
@given(star_triples)
def test_mcnemar_equals_statsmodels(rows):
    labels, a, b = rows
    a_right, b_right = a == labels, b == labels
    table = [[np.sum(a_right & b_right), np.sum(a_right & ~b_right)],
             [np.sum(~a_right & b_right), np.sum(~a_right & ~b_right)]]
    theirs = 1.0 if table[0][1] + table[1][0] == 0 else mcnemar(table, exact=True).pvalue
    assert mcnemar_p(labels, a, b) == pytest.approx(theirs)
    assert mcnemar_p(labels, b, a) == mcnemar_p(labels, a, b)


@pytest.mark.parametrize("seed", range(20))
def test_mcnemar_equals_coin_tosses_counted_by_hand(seed):
    labels, a, b = made_up_models(seed, n=60)
    only_a, only_b = np.sum((a == labels) & (b != labels)), np.sum((b == labels) & (a != labels))
    tosses = stats.binom(only_a + only_b, 0.5)
    assert mcnemar_p(labels, a, b) == pytest.approx(min(1, 2 * tosses.cdf(min(only_a, only_b))))


def test_mcnemar_of_a_model_with_itself_is_one():
    assert mcnemar_p([0, 1, 2], [0, 1, 1], [0, 1, 1]) == 1.0


@pytest.mark.parametrize("seed", range(3))
def test_bootstrap_equals_drawing_rows(seed):
    labels, a, b = made_up_models(seed)
    a_right, b_right = (a == labels).astype(float), (b == labels).astype(float)
    theirs = stats.bootstrap((a_right, b_right), lambda x, y, axis: x.mean(axis=axis) - y.mean(axis=axis),
                             paired=True, n_resamples=5000, method="percentile", rng=np.random.default_rng(seed))
    assert bootstrap_difference(labels, a, b, seed) == pytest.approx(theirs.confidence_interval, abs=0.006)


@pytest.mark.parametrize("confidence", [0.8, 0.95])
def test_bootstrap_is_as_wide_as_the_normal_interval_of_the_row_differences(confidence):
    labels, a, b = made_up_models(seed=8, n=4000)
    by_row = (a == labels).astype(float) - (b == labels)
    half = stats.norm.ppf((1 + confidence) / 2) * by_row.std() / np.sqrt(len(labels))
    expected = (by_row.mean() - half, by_row.mean() + half)
    assert bootstrap_difference(labels, a, b, 0, confidence=confidence) == pytest.approx(expected, abs=0.002)


def test_bootstrap_holds_the_true_difference_as_often_as_it_says():
    rng = np.random.default_rng(1)
    shares = np.array([0.20, 0.10, 0.70])  # only a right, only b right, no difference
    kinds = rng.choice(3, p=shares, size=(600, 500))
    held = []
    for number, kind in enumerate(kinds):
        low, high = bootstrap_difference(np.zeros(500, int), np.where(kind == 1, 1, 0), np.where(kind == 0, 1, 0),
                                         seed=number, n_resamples=1000)
        held.append(low <= 0.10 <= high)
    assert 0.92 < np.mean(held) < 0.975


def test_bootstrap_depends_on_the_seed_alone():
    labels, a, b = made_up_models(seed=2)
    first = bootstrap_difference(labels, a, b, seed=7)
    before = np.random.get_state()[1].copy()
    assert bootstrap_difference(labels, a, b, seed=7) == first
    assert any(bootstrap_difference(labels, a, b, seed=other) != first for other in range(5))
    assert (np.random.get_state()[1] == before).all()


def test_bootstrap_of_a_model_with_itself_is_zero():
    labels, a, _ = made_up_models(seed=2)
    assert bootstrap_difference(labels, a, a, seed=0) == (0, 0)


@pytest.mark.parametrize("bad", [{"confidence": 95}, {"confidence": 0}, {"n_resamples": 0}])
def test_bootstrap_refuses_impossible_settings(bad):
    with pytest.raises(ValueError, match="expected a confidence"):
        bootstrap_difference([0, 1], [0, 1], [0, 1], seed=0, **bad)


@pytest.mark.parametrize("compare", [mcnemar_p, lambda *stars: bootstrap_difference(*stars, seed=0)])
def test_pairs_need_one_prediction_each(compare):
    with pytest.raises(ValueError, match="3 labels and 2 predictions"):
        compare([0, 1, 2], [0, 1, 2], [0, 1])


def test_compare_pair():
    labels, a, b = made_up_models(seed=4)
    pair = compare_pair(labels, {"x": a, "y": b}, "x", "y", seed=9)
    assert list(pair) == ["a", "b", "accuracy_difference", "interval", "mcnemar_p"]
    assert (pair["a"], pair["b"]) == ("x", "y")
    assert pair["accuracy_difference"] == accuracy(labels, a) - accuracy(labels, b)
    assert pair["interval"] == list(bootstrap_difference(labels, a, b, seed=9))
    assert pair["mcnemar_p"] == mcnemar_p(labels, a, b)
    assert json.loads(json.dumps(pair, allow_nan=False)) == pair
    with pytest.raises(ValueError, match="models x, y, found 'z'"):
        compare_pair(labels, {"x": a, "y": b}, "x", "z", seed=9)


# plots

def contrast(text, background):
    """Contrast ratio of two colours (WCAG 2)."""
    def luminance(colour):
        parts = np.array(to_rgb(colour))
        linear = np.where(parts <= 0.04045, parts / 12.92, ((parts + 0.055) / 1.055) ** 2.4)
        return linear @ [0.2126, 0.7152, 0.0722]

    low, high = sorted([luminance(text), luminance(background)])
    return (high + 0.05) / (low + 0.05)


def test_plot_confusion_writes_every_count_readably():
    matrix = np.zeros((5, 5), int)
    for row in range(4):  # the last star has no row
        matrix[row] = [100 - 10 * row, 55, 60 + row, 6 * row, 0]
    ax = plot_confusion(matrix, Figure().subplots(), "a title")
    assert [int(text.get_text()) for text in ax.texts] == matrix.ravel().tolist()
    assert (ax.get_title(), ax.get_xlabel(), ax.get_ylabel()) == ("a title", "predicted stars", "true stars")
    assert [label.get_text() for label in ax.get_xticklabels()] == ["1", "2", "3", "4", "5"]
    image = ax.images[0]
    shares = np.asarray(image.get_array())
    assert shares.sum(axis=1) == pytest.approx([1, 1, 1, 1, 0])
    for text, share in zip(ax.texts, shares.ravel(), strict=True):
        assert contrast(text.get_color(), image.cmap(image.norm(share))) > 4


@pytest.mark.parametrize("share", np.linspace(0, 1, 21))
def test_counts_are_readable_on_every_shade(share):
    matrix = np.zeros((5, 5))
    matrix[0, :2] = share, 1 - share
    ax = plot_confusion(matrix, Figure().subplots())
    image = ax.images[0]
    assert contrast(ax.texts[0].get_color(), image.cmap(image.norm(share))) > 4


def test_plot_intervals_puts_the_first_model_on_top():
    scores = {name: score(*random_scores(seed)) for seed, name in enumerate(["naive_bayes", "fine_tuned"])}
    ax = plot_intervals(scores, Figure().subplots())
    assert [label.get_text() for label in ax.get_yticklabels()] == ["naive bayes", "fine tuned"]
    bottom, top = ax.get_ylim()
    assert bottom > top
    assert [text.get_text() for text in ax.texts] == [f"{figures['accuracy']:.3f}" for figures in scores.values()]
    assert ax.lines[0].get_xdata().tolist() == scores["naive_bayes"]["accuracy_interval"]


def test_axes_are_used_as_given_or_made():
    import matplotlib.pyplot as plt

    ax = Figure().subplots()
    assert axes_or_new(ax) is ax
    made = axes_or_new(None)
    assert plt.gcf() is made.figure and made is not axes_or_new(None)
    plt.close("all")


# the Trainer's metric

def test_compute_metrics_of_what_the_trainer_hands_over():
    from transformers import EvalPrediction

    labels, probabilities = random_scores(seed=6)
    expected = star_metrics(labels, probabilities.argmax(axis=1))
    logits = np.log(probabilities).astype(np.float32) * 7 + 3
    assert compute_metrics(EvalPrediction(predictions=logits, label_ids=labels)) == expected
    assert compute_metrics(((logits, np.zeros((200, 3))), labels)) == expected  # hidden states come along
    assert list(expected) == ["accuracy", "within_one", "mae", "quadratic_weighted_kappa", "macro_f1"]


def test_compute_metrics_refuses_nan():
    with pytest.raises(ValueError, match="learning rate"):
        compute_metrics((np.full((2, 5), np.nan), [0, 1]))


@pytest.fixture(scope="module")
def star_metric():
    return make_star_metric()


def test_star_metric_equals_the_plain_functions_without_network(star_metric, monkeypatch):
    import evaluate

    def no_network(*address):
        raise AssertionError(f"tried to reach {address}")

    monkeypatch.setattr(socket.socket, "connect", no_network)
    monkeypatch.setattr(socket, "getaddrinfo", no_network)
    labels, predictions = np.random.default_rng(0).integers(0, 5, (2, 90))
    expected = star_metrics(labels, predictions)
    assert star_metric.compute(predictions=predictions, references=labels) == expected
    for start in range(0, 90, 30):
        star_metric.add_batch(predictions=predictions[start:start + 30], references=labels[start:start + 30])
    assert star_metric.compute() == expected
    for label, prediction in zip(labels, predictions, strict=True):
        star_metric.add(prediction=prediction, reference=label)
    assert star_metric.compute() == expected
    both = evaluate.combine([star_metric, make_star_metric()])
    assert expected["accuracy"] in both.compute(predictions=predictions, references=labels).values()


@pytest.mark.parametrize("rows", [
    {"predictions": [0.5, 1], "references": [0, 1]},
    {"predictions": [0, 1], "references": [0, 5]},
    {"predictions": [0, None], "references": [0, 1]},
    {"predictions": [0, 1], "references": [0]},
    {"predictions": [[0.2] * 5], "references": [0]},
    {"predictions": [], "references": []},
    {},
])
def test_star_metric_refuses_and_then_goes_on(star_metric, rows):
    with pytest.raises(ValueError):
        star_metric.compute(**rows)
    assert star_metric.compute(predictions=[0, 1], references=[0, 0])["accuracy"] == 0.5  # nothing was left behind


def test_import_is_light():
    heavy = ["torch", "transformers", "datasets", "evaluate", "pyarrow", "matplotlib.pyplot"]
    code = f"import sys, yelp_tl.evaluation; print([name for name in {heavy} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
