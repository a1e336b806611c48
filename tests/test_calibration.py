"""Calibration against scikit-learn, scipy, statsmodels and the definitions themselves."""
import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from matplotlib.figure import Figure
from scipy.optimize import brentq
from scipy.special import softmax
from sklearn.calibration import CalibratedClassifierCV, calibration_curve
from sklearn.frozen import FrozenEstimator
from sklearn.linear_model import LogisticRegression
from statsmodels.stats.proportion import proportion_confint

from yelp_tl.calibration import (
    apply_temperature,
    calibration_error_by_chance,
    expected_calibration_error,
    fit_temperature,
    plot_reliability,
    reliability_bins,
)
from yelp_tl.data import InputError
from yelp_tl.evaluation import log_loss

quick = settings(max_examples=40, deadline=None)  # no deadline: a busy machine is no failure
seeds = st.integers(0, 2**32 - 1)


def calibrated(seed, n=500, sharpness=1.5):
    """Probabilities, and labels drawn from them."""
    rng = np.random.default_rng(seed)
    probabilities = softmax(sharpness * rng.normal(size=(n, 5)), axis=1)
    labels = (rng.random((n, 1)) > probabilities.cumsum(axis=1)).sum(axis=1).clip(0, 4)
    return labels, probabilities


def confidence_and_right(labels, probabilities):
    return probabilities.max(axis=1), probabilities.argmax(axis=1) == labels


# bins

@quick
@given(seeds, st.integers(1, 40), st.integers(1, 300))
def test_bins_equal_scikit_learn(seed, bins, n):
    labels, probabilities = calibrated(seed, n)
    confidence, right = confidence_and_right(labels, probabilities)
    theirs_right, theirs_claimed = calibration_curve(right, confidence, n_bins=bins, strategy="uniform")
    filled = [row for row in reliability_bins(labels, probabilities, bins) if row["count"]]
    assert [row["accuracy"] for row in filled] == pytest.approx(theirs_right)
    assert [row["confidence"] for row in filled] == pytest.approx(theirs_claimed)


@quick
@given(seeds, st.integers(1, 40))
def test_bins_hold_each_row_once_between_their_edges(seed, bins):
    labels, probabilities = calibrated(seed, 100)
    confidence, right = confidence_and_right(labels, probabilities)
    table = reliability_bins(labels, probabilities, bins)
    assert len(table) == bins and (table[0]["low"], table[-1]["high"]) == (0, 1)
    for row in table:
        inside = (row["low"] < confidence) & (confidence <= row["high"])
        assert row["count"] == inside.sum()
        if row["count"]:
            theirs = proportion_confint(right[inside].sum(), inside.sum(), method="wilson")
            assert row["accuracy_interval"] == pytest.approx(theirs, abs=1e-12)
        else:
            assert row["confidence"] is row["accuracy"] is row["accuracy_interval"] is None


def test_a_claim_on_a_border_belongs_to_the_lower_bin():
    table = reliability_bins([0, 1], [[0.5, 0.5, 0, 0, 0], [0.5, 0.5, 0, 0, 0]], bins=2)
    assert [row["count"] for row in table] == [2, 0]
    assert table[0]["accuracy"] == 0.5  # the lower star is named at a tie


def test_single_precision_above_one_stays_in_the_last_bin():
    table = reliability_bins([0], np.array([[1.00002, 0, 0, 0, 0]], np.float32))
    assert table[-1]["count"] == 1


def test_bins_go_into_json():
    table = reliability_bins(*calibrated(1, 30))
    assert json.loads(json.dumps(table, allow_nan=False)) == table


@quick
@given(seeds, st.integers(1, 40))
def test_error_equals_the_definition(seed, bins):
    labels, probabilities = calibrated(seed, 200)
    confidence, right = confidence_and_right(labels, probabilities)
    expected = 0
    for low in np.arange(bins) / bins:
        inside = (confidence > low) & (confidence <= low + 1 / bins)
        if inside.any():
            expected += inside.mean() * abs(right[inside].mean() - confidence[inside].mean())
    assert expected_calibration_error(labels, probabilities, bins) == pytest.approx(expected)
    assert type(expected_calibration_error(labels, probabilities, bins)) is float


@quick
@given(seeds)
def test_one_bin_compares_two_means_and_more_bins_hide_less(seed):
    labels, probabilities = calibrated(seed, 200)
    confidence, right = confidence_and_right(labels, probabilities)
    errors = [expected_calibration_error(labels, probabilities, bins) for bins in (1, 5, 15, 45)]
    assert errors[0] == pytest.approx(abs(confidence.mean() - right.mean()))
    assert all(coarse <= fine + 1e-12 for coarse, fine in zip(errors, errors[1:], strict=False))  # each cut of the last


@pytest.mark.parametrize("bins", [0, -1, 2.5])
def test_impossible_bins_are_refused(bins):
    labels, probabilities = calibrated(0, 10)
    for figure in (reliability_bins, expected_calibration_error):
        with pytest.raises(InputError, match="whole number of at least 1"):
            figure(labels, probabilities, bins)
    with pytest.raises(InputError, match="whole number of at least 1"):
        calibration_error_by_chance(probabilities, seed=0, bins=bins)


@pytest.mark.parametrize("figure", [reliability_bins, expected_calibration_error, fit_temperature, plot_reliability])
@pytest.mark.parametrize(("labels", "probabilities", "says"), [
    ([], np.zeros((0, 5)), "at least one row"),
    ([0, 5], [[0.2] * 5] * 2, "found 5 in row 1"),
    ([0, 1], [[0.2] * 5], "expected 2 rows"),
    ([0, 1], [[0.2] * 5, [0.3] * 5], "in row 1"),
    ([0], [[np.nan, 0, 0, 0, 1]], "in row 0"),
    ([0], [[2.0, -1.0, 0, 0, 0]], "in row 0"),
])
def test_bad_rows_are_refused(figure, labels, probabilities, says):
    with pytest.raises(ValueError, match=says):
        figure(labels, probabilities)


# what chance does

def convolved(chances):
    """Distribution of the number of heads of coins with these chances."""
    total = np.ones(1)
    for chance in chances:
        total = np.convolve(total, [1 - chance, chance])
    return total


@pytest.mark.parametrize(("seed", "n", "bins"), [(0, 12, 1), (1, 40, 1), (2, 40, 5), (3, 200, 15)])
def test_error_by_chance_equals_the_exact_mean(seed, n, bins):
    _, probabilities = calibrated(seed, n)
    confidence = probabilities.max(axis=1)
    expected = 0
    for number in range(bins):
        inside = confidence[(confidence > number / bins) & (confidence <= (number + 1) / bins)]
        heads = convolved(inside)
        expected += heads @ np.abs(np.arange(len(heads)) - inside.sum()) / n
    found = calibration_error_by_chance(probabilities, seed=seed, bins=bins, draws=4000)
    assert found["mean"] == pytest.approx(expected, rel=0.05)


def test_percentile_by_chance_equals_the_exact_one():
    _, probabilities = calibrated(4, 300)
    confidence = probabilities.max(axis=1)
    heads = convolved(confidence)
    distance = np.abs(np.arange(len(heads)) - confidence.sum()) / len(confidence)
    order = np.argsort(distance)
    exact = distance[order][np.searchsorted(heads[order].cumsum(), 0.95)]
    found = calibration_error_by_chance(probabilities, seed=0, bins=1, draws=4000)
    assert found["percentile_95"] == pytest.approx(exact, abs=2 / 300)


@pytest.mark.parametrize("n", [500, 2000])
def test_true_probabilities_stay_below_the_percentile_as_often_as_it_says(n):
    rng = np.random.default_rng(11)
    _, probabilities = calibrated(12, n)
    chance = calibration_error_by_chance(probabilities, seed=0)
    borders = probabilities.cumsum(axis=1)
    errors = [expected_calibration_error((rng.random((n, 1)) > borders).sum(axis=1).clip(0, 4), probabilities)
              for _ in range(600)]
    assert 0.92 < np.mean(np.array(errors) <= chance["percentile_95"]) < 0.975
    assert np.mean(errors) == pytest.approx(chance["mean"], rel=0.05)


def test_error_by_chance_depends_on_the_seed_alone():
    _, probabilities = calibrated(0, 50)
    first = calibration_error_by_chance(probabilities, seed=1, draws=50)
    before = np.random.get_state()[1].copy()
    assert calibration_error_by_chance(probabilities, seed=1, draws=50) == first
    assert calibration_error_by_chance(probabilities, seed=2, draws=50) != first
    assert (np.random.get_state()[1] == before).all()
    with pytest.raises(InputError, match="draws"):
        calibration_error_by_chance(probabilities, seed=1, draws=0)
    with pytest.raises(TypeError):
        calibration_error_by_chance(probabilities, 1)  # a bare number could be bins as well


# temperature

@quick
@given(seeds, st.floats(0.05, 20))
def test_apply_equals_the_softmax_of_scaled_logits(seed, temperature):
    logits = np.random.default_rng(seed).normal(0, 3, (20, 5))
    probabilities = softmax(logits, axis=1)
    scaled = apply_temperature(probabilities, temperature)
    assert scaled == pytest.approx(softmax(logits / temperature, axis=1), abs=1e-9)
    assert (scaled.argmax(axis=1) == probabilities.argmax(axis=1)).all()
    assert scaled.sum(axis=1) == pytest.approx(1)


@pytest.mark.parametrize("seed", range(4))
def test_temperature_equals_scikit_learn(seed):
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, 5, 700)
    features = labels[:, None] + rng.normal(0, 1.5, (700, 6))
    model = LogisticRegression(C=0.3, max_iter=500).fit(features[:60], labels[:60])  # nothing below 2.2e-16
    theirs = CalibratedClassifierCV(FrozenEstimator(model), method="temperature").fit(features[60:400], labels[60:400])
    temperature = fit_temperature(labels[60:400], model.predict_proba(features[60:400]))
    ours = apply_temperature(model.predict_proba(features[400:]), temperature)
    assert ours == pytest.approx(theirs.predict_proba(features[400:]), abs=1e-4)


@pytest.mark.parametrize("seed", range(8))
def test_temperature_is_where_the_slope_of_the_loss_is_zero(seed):
    labels, probabilities = calibrated(seed, 300, sharpness=1 + seed)
    logs = np.log(probabilities)

    def slope(inverse):
        expected = (softmax(inverse * logs, axis=1) * logs).sum(axis=1)
        return (expected - logs[np.arange(300), labels]).mean()

    assert fit_temperature(labels, probabilities) == pytest.approx(1 / brentq(slope, 0.01, 100, xtol=1e-12), rel=1e-5)


@pytest.mark.parametrize("factor", [0.3, 1, 4])
def test_temperature_undoes_what_was_done(factor):
    labels, probabilities = calibrated(5, 20_000)
    assert fit_temperature(labels, apply_temperature(probabilities, 1 / factor)) == pytest.approx(factor, rel=0.03)


@quick
@given(seeds, st.floats(0.2, 5))
def test_no_other_temperature_has_a_smaller_loss(seed, factor):
    labels, probabilities = calibrated(seed, 100, sharpness=1)
    labels[:2] = 4 - probabilities[:2].argmax(axis=1)  # some are wrong
    try:
        temperature = fit_temperature(labels, probabilities)
    except InputError:
        return  # a few rows may know nothing at all; the next tests look at that
    best = log_loss(labels, apply_temperature(probabilities, temperature))
    assert best <= log_loss(labels, apply_temperature(probabilities, temperature * factor)) + 1e-12
    assert best <= log_loss(labels, probabilities) + 1e-12


def test_zero_probabilities_have_a_finite_price():
    labels = np.array([0, 0, 0, 4])
    probabilities = np.tile([0.7, 0.3, 0, 0, 0], (4, 1))
    temperature = fit_temperature(labels, probabilities)
    assert temperature > 5  # the star that was ruled out came true
    scaled = apply_temperature(probabilities, temperature)
    assert np.isfinite(scaled).all() and (scaled[:, 4] > 0.01).all()
    assert log_loss(labels, scaled) < log_loss(labels, probabilities)


@pytest.mark.parametrize(("labels", "probabilities", "says"), [
    ([0, 1, 2], np.eye(5)[:3] * 0.5 + 0.1, "in 3 rows: the surer the better"),
    ([0, 1, 2], np.eye(5)[:3], "the surer the better"),
    ([0, 1, 2], np.full((3, 5), 0.2), "too little"),
    ([1, 2, 3], np.eye(5)[:3] * 0.5 + 0.1, "too little"),
    ([0] * 99 + [1], np.tile([0.2001, 0.2, 0.2, 0.2, 0.1999], (100, 1)), "the surer the better"),  # best below 0.01
])
def test_no_best_temperature_is_refused(labels, probabilities, says):
    with pytest.raises(InputError, match=says):
        fit_temperature(labels, probabilities)


@pytest.mark.parametrize("temperature", [0, -1, np.nan, np.inf])
def test_impossible_temperatures_are_refused(temperature):
    with pytest.raises(InputError, match="above 0"):
        apply_temperature([[0.2] * 5], temperature)


def test_single_precision_gives_the_same_temperature():
    labels, probabilities = calibrated(6)
    single = probabilities.astype(np.float32)
    assert fit_temperature(labels, single) == pytest.approx(fit_temperature(labels, probabilities), rel=1e-4)


# the plot

def test_plot_shows_counts_points_and_intervals():
    labels, probabilities = calibrated(7)
    axes = Figure().subplots()
    assert plot_reliability(labels, probabilities, axes, bins=10) is axes
    filled = [row for row in reliability_bins(labels, probabilities, 10) if row["count"]]
    assert [text.get_text() for text in axes.texts] == [str(row["count"]) for row in filled]
    points, _, (bars,) = axes.containers[1]
    assert points.get_xdata().tolist() == [row["confidence"] for row in filled]
    assert points.get_ydata().tolist() == [row["accuracy"] for row in filled]
    ends = np.array([segment[:, 1] for segment in bars.get_segments()])
    assert ends == pytest.approx(np.array([row["accuracy_interval"] for row in filled]))
    heights = np.array([bar.get_height() for bar in axes.containers[0]])
    counts = np.array([row["count"] for row in filled])
    assert heights / heights.sum() == pytest.approx(counts / counts.sum())


def test_plot_makes_its_own_figure_and_takes_one_row():
    import matplotlib.pyplot as plt

    axes = plot_reliability([0], [[1.0, 0, 0, 0, 0]])
    assert [text.get_text() for text in axes.texts] == ["1"]
    plt.close(axes.figure)
