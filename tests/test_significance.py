"""Planning, McNemar from marginals, seeds and slopes, against statsmodels, scipy, brute force and simulation."""
import json
from math import comb

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from matplotlib.figure import Figure
from scipy import stats
from scipy.optimize import brentq
from statsmodels.formula.api import ols
from statsmodels.stats.anova import anova_lm
from statsmodels.stats.contingency_tables import mcnemar
from statsmodels.stats.weightstats import DescrStatsW

from yelp_tl.data import InputError
from yelp_tl.evaluation import mcnemar_p
from yelp_tl.significance import (
    gap_slope,
    mcnemar_from_marginals,
    plot_rows_needed,
    power_of,
    rows_needed,
    seed_interval,
    slope_interval,
    two_way_difference,
    two_way_interval,
)

quick = settings(max_examples=40, deadline=None)  # no deadline: a busy machine is no failure
seeds_of_chance = st.integers(0, 2**32 - 1)
SIZES = [60, 125, 250, 500, 1000, 2000, 4000]


# power and rows

def exact_p(only_a, only_b):
    """McNemar's p for one table, by counting coin tosses."""
    total = only_a + only_b
    return min(1.0, 2 * sum(comb(total, k) for k in range(min(only_a, only_b) + 1)) / 2**total)


def power_by_all_tables(rows, difference, disagreement, level):
    """Every table that can occur, weighed with its probability."""
    shares = [(disagreement + difference) / 2, (disagreement - difference) / 2, 1 - disagreement]
    tables = [(a, b, rows - a - b) for a in range(rows + 1) for b in range(rows + 1 - a)]
    significant = [table for table in tables if exact_p(*table[:2]) <= level]
    return stats.multinomial.pmf(significant, rows, shares).sum() if significant else 0.0


@pytest.mark.parametrize(("rows", "difference", "disagreement", "level"), [
    (1, 0.5, 0.5, 0.05), (6, 1, 1, 0.05), (25, 0.3, 0.5, 0.05), (25, -0.3, 0.5, 0.05), (40, 0.2, 0.2, 0.05),
    (40, 0, 0.6, 0.05), (30, 0.25, 0.9, 0.3), (30, 0.25, 0.9, 0.001), (12, 0.6, 0.7, 0.0625),
])
def test_power_equals_the_sum_over_all_tables(rows, difference, disagreement, level):
    expected = power_by_all_tables(rows, difference, disagreement, level)
    assert power_of(rows, difference, disagreement, level) == pytest.approx(expected, abs=1e-10)


@pytest.mark.parametrize(("rows", "difference", "disagreement"), [(500, 0.05, 0.3), (1000, 0.03, 0.1), (5000, 0, 0.2)])
def test_power_equals_how_often_simulated_pairs_are_significant(rows, difference, disagreement):
    shares = [(disagreement + difference) / 2, (disagreement - difference) / 2, 1 - disagreement]
    drawn = np.random.default_rng(3).multinomial(rows, shares, size=20_000)
    found = stats.binom.cdf(drawn[:, :2].min(axis=1), drawn[:, :2].sum(axis=1), 0.5) <= 0.025
    assert np.mean(found) == pytest.approx(power_of(rows, difference, disagreement), abs=0.012)
    for only_a, only_b, _ in drawn[:20]:  # and that is what our test says
        a_stars = np.repeat([1, 0, 1], [only_a, only_b, rows - only_a - only_b])
        b_stars = np.repeat([0, 1, 1], [only_a, only_b, rows - only_a - only_b])
        ours = mcnemar_p(np.ones(rows, int), a_stars, b_stars)
        assert ours == pytest.approx(min(1, 2 * stats.binom.cdf(min(only_a, only_b), only_a + only_b, 0.5)))


def plans():
    return st.floats(0.05, 1).flatmap(lambda most: st.tuples(st.floats(0.02, most), st.just(most)))


@settings(max_examples=20, deadline=None)
@given(plans(), st.floats(0.5, 0.95), st.sampled_from([0.01, 0.05, 0.1]))
def test_rows_needed_is_where_the_power_is_reached(plan, power, level):
    difference, disagreement = plan
    rows = rows_needed(difference, disagreement, power, level)
    assert power_of(rows, difference, disagreement, level) >= power
    assert rows == 1 or power_of(rows - 1, difference, disagreement, level) < power
    assert rows_needed(-difference, disagreement, power, level) == rows


@pytest.mark.parametrize(("difference", "disagreement"), [(0.2, 0.4), (0.15, 0.2), (0.3, 0.3)])
def test_rows_needed_is_found_by_counting_up(difference, disagreement):
    powers = [power_of(rows, difference, disagreement) for rows in range(1, 200)]
    first = 1 + next(place for place, power in enumerate(powers) if power >= 0.8)
    assert rows_needed(difference, disagreement) == first


@pytest.mark.parametrize(("difference", "disagreement", "power", "level"), [
    (0.01, 0.1, 0.8, 0.05), (0.01, 0.4, 0.9, 0.01), (0.004, 0.2, 0.8, 0.05), (0.0005, 0.001, 0.8, 0.05),
])
def test_rows_needed_is_near_the_normal_approximation(difference, disagreement, power, level):
    # a row adds +1, -1 or 0 to the difference: the mean of such numbers is nearly normal
    def reached(rows):
        error = np.sqrt((disagreement - difference**2) / rows)
        critical = stats.norm.isf(level / 2) * np.sqrt(disagreement / rows)
        return stats.norm.sf((critical - difference) / error)

    rows = rows_needed(difference, disagreement, power, level)
    assert reached(rows) == pytest.approx(power, abs=0.03)
    assert reached(rows) > power  # the exact test is a little stricter


@pytest.mark.parametrize("plan", [(0.1, 0.05), (0.1, 0), (0.1, 1.1), (0, 0.1), (0.00001, 0.1), (np.nan, 0.1)])
def test_impossible_plans_are_refused(plan):
    with pytest.raises(InputError, match="difference"):
        rows_needed(*plan)


@pytest.mark.parametrize("wrong", [{"level": 0}, {"level": 5}, {"power": 1}, {"power": 0.01}])
def test_impossible_levels_and_powers_are_refused(wrong):
    with pytest.raises(InputError, match="level"):
        rows_needed(0.1, 0.2, **wrong)


def test_power_refuses_what_cannot_be():
    with pytest.raises(InputError, match="rows"):
        power_of(0, 0.1, 0.2)
    with pytest.raises(InputError, match="difference"):
        power_of(100, 0.3, 0.2)


def test_plot_shows_the_rows_for_each_disagreement():
    axes = Figure().subplots()
    assert plot_rows_needed(axes, disagreements=[0.05], marks=[700]) is axes
    differences, rows = {line.get_label(): line for line in axes.lines}["5%"].get_data()
    assert differences[-1] == pytest.approx(0.05)  # a difference is no larger than the disagreement
    assert rows[::3].tolist() == [rows_needed(difference, 0.05) for difference in differences[::3]]
    assert [text.get_text() for text in axes.texts] == ["700 rows"]
    assert (axes.get_xscale(), axes.get_yscale()) == ("log", "log")


# McNemar from marginals

@settings(max_examples=30, deadline=None)
@given(st.integers(1, 40).flatmap(lambda n: st.tuples(st.just(n), st.integers(0, n), st.integers(0, n))),
       st.booleans())
def test_marginals_equal_going_through_all_overlaps(counts, exact):
    n, right_a, right_b = counts
    ps = {}
    for both in range(max(0, right_a + right_b - n), min(right_a, right_b) + 1):
        only_a, only_b = right_a - both, right_b - both
        table = [[both, only_a], [only_b, n - both - only_a - only_b]]
        total = only_a + only_b
        ps[total] = mcnemar(table, exact=exact, correction=False).pvalue if total else 1.0
    found = mcnemar_from_marginals(n, right_a, right_b, exact=exact)
    assert found["difference"] == pytest.approx((right_a - right_b) / n)
    assert (found["fewest"], found["most"]) == (min(ps), max(ps))
    assert (found["smallest_p"], found["largest_p"]) == pytest.approx((min(ps.values()), max(ps.values())))
    significant = [total for total, p in ps.items() if p <= 0.05]
    assert found["significant_up_to"] == max(significant, default=None)
    assert all(p <= 0.05 for total, p in ps.items() if significant and total <= max(significant))
    assert json.loads(json.dumps(found, allow_nan=False)) == found


def test_marginals_of_the_lecture():
    epochs = mcnemar_from_marginals(1000, 588, 579)
    assert (epochs["fewest"], epochs["most"], epochs["significant_up_to"]) == (9, 833, 17)
    assert stats.binomtest(13, 17).pvalue <= 0.05 < stats.binomtest(14, 19).pvalue
    approximate = mcnemar_from_marginals(1000, 588, 579, exact=False)
    assert approximate["significant_up_to"] == 21
    assert stats.chi2.sf(81 / 21, 1) <= 0.05 < stats.chi2.sf(81 / 23, 1)
    assert mcnemar_from_marginals(1000, 588, 438)["largest_p"] == pytest.approx(stats.binomtest(562, 974).pvalue)
    assert mcnemar_from_marginals(1000, 579, 588)["difference"] == -0.009


def test_marginals_at_another_level():
    assert mcnemar_from_marginals(1000, 588, 579, level=0.01)["significant_up_to"] == 9
    assert mcnemar_from_marginals(1000, 500, 500)["significant_up_to"] is None


def test_a_p_at_the_level_is_significant():
    # 5 rows, all one way: the exact p is 2 / 2**5
    assert mcnemar_from_marginals(100, 55, 50, level=0.0625)["significant_up_to"] == 5


@pytest.mark.parametrize("counts", [(0, 0, 0), (10, 11, 5), (10, 5, -1), (1000, 0.588, -0.579)])
def test_impossible_marginals_are_refused(counts):
    with pytest.raises(InputError, match="rows right"):
        mcnemar_from_marginals(*counts)


# seeds

@quick
@given(st.lists(st.floats(0, 1), min_size=2, max_size=12), st.floats(0.5, 0.99))
def test_seed_interval_equals_statsmodels(values, confidence):
    found = seed_interval(values, confidence)
    theirs = DescrStatsW(values).tconfint_mean(alpha=1 - confidence)
    assert found["mean"] == pytest.approx(np.mean(values))
    assert found["interval"] == pytest.approx(theirs, abs=1e-12)
    assert (found["seeds"], found["covers"]) == (len(values), "seeds")
    assert json.loads(json.dumps(found, allow_nan=False)) == found


@pytest.mark.parametrize("number", [2, 5])
def test_seed_interval_holds_the_truth_as_often_as_it_says(number):
    drawn = np.random.default_rng(4).normal(0.55, 0.02, (1500, number))
    ends = np.array([seed_interval(values)["interval"] for values in drawn])
    assert 0.935 < np.mean((ends[:, 0] <= 0.55) & (ends[:, 1] >= 0.55)) < 0.965


@pytest.mark.parametrize("values", [[], [0.5], [0.5, np.nan], [[0.5, 0.6]], 0.5])
def test_seed_interval_refuses_what_says_nothing(values):
    with pytest.raises(InputError, match="at least two seeds"):
        seed_interval(values)


@pytest.mark.parametrize("interval", [
    lambda confidence: seed_interval([0.4, 0.5], confidence),
    lambda confidence: two_way_interval([[0, 1], [1, 1]], seed=0, confidence=confidence),
    lambda confidence: slope_interval([1, 2], [[0, 1], [0, 1]], confidence),
])
@pytest.mark.parametrize("confidence", [0, 1, 95])
def test_impossible_confidence_is_refused(interval, confidence):
    with pytest.raises(InputError, match="confidence"):
        interval(confidence)


# seeds and rows

def simulated_answers(number, rows, spread, rng, skill=0.2, noise=0.6):
    """Rows of shared hardness, seeds of some luck, answers with some noise; the true mean comes with them."""
    hardness, luck = rng.normal(size=rows), spread * rng.normal(size=(number, 1))
    right = skill + luck - hardness + noise * rng.normal(size=(number, rows)) > 0
    return right.astype(int), stats.norm.cdf(skill / np.sqrt(1 + noise**2 + spread**2))


@pytest.mark.parametrize(("number", "rows"), [(2, 30), (3, 40), (6, 15)])
def test_seed_spread_equals_statsmodels_analysis_of_variance(number, rows):
    rng = np.random.default_rng(number)
    right, _ = simulated_answers(number, rows, 0.9, rng)
    seed, row = np.indices(right.shape)
    model = ols("right ~ C(seed) + C(row)", {"right": right.ravel(), "seed": seed.ravel(), "row": row.ravel()}).fit()
    squares = anova_lm(model)["mean_sq"]
    expected = max(squares["C(seed)"] - squares["Residual"], 0) / rows
    assert two_way_interval(right, seed=0, draws=10)["seed_spread"] ** 2 == pytest.approx(expected, abs=1e-12)
    assert expected > 0  # or nothing was compared


def test_seed_spread_is_right_on_average():
    rng = np.random.default_rng(5)
    variances = []
    for _ in range(300):
        right = (rng.random((4, 200)) < 0.5 + rng.choice([-0.1, 0.1], (4, 1))).astype(int)
        variances.append(two_way_interval(right, seed=0, draws=1)["seed_spread"] ** 2)
    assert np.mean(variances) == pytest.approx(0.01, rel=0.1)


@pytest.mark.parametrize("seed", range(3))
def test_one_seed_gives_the_bootstrap_over_rows(seed):
    right, _ = simulated_answers(1, 300, 0, np.random.default_rng(seed))
    found = two_way_interval(right, seed=seed)
    theirs = stats.bootstrap((right[0],), np.mean, n_resamples=5000, method="percentile",
                             rng=np.random.default_rng(seed)).confidence_interval
    assert found["interval"] == pytest.approx(theirs, abs=0.006)
    assert (found["covers"], found["seed_spread"], found["seeds"], found["rows"]) == ("rows", None, 1, 300)


@pytest.mark.parametrize(("number", "spread", "seed"), [(3, 0.1, 1), (5, 0.1, 2), (4, 0, 3), (4, 0, 4)])
def test_seeds_and_rows_equal_the_integral_over_the_unknown_spread(number, spread, seed):
    right, _ = simulated_answers(number, 1500, spread, np.random.default_rng(seed), noise=1.5)
    found = two_way_interval(right, seed=0, draws=30_000)
    seen = right.mean(axis=1).var(ddof=1)
    by_row = right.mean(axis=0).var() / 1500  # many rows: nearly normal
    squares = right.var() * right.size - right.mean(axis=0).var() * right.size - right.mean(axis=1).var() * right.size
    noise = squares / ((number - 1) * 1499) / 1500
    # each spread in turn, from the quantiles of chi-square; given the spread, all is normal
    chi = stats.chi2.ppf((np.arange(20_000) + 0.5) / 20_000, number - 1)
    widths = np.sqrt(by_row + np.maximum(seen * (number - 1) / chi - noise, 0) / number)
    half = brentq(lambda end: stats.norm.cdf(end / widths).mean() - 0.975, 0, 10)
    assert found["interval"] == pytest.approx([right.mean() - half, right.mean() + half], abs=0.06 * half)
    assert found["covers"] == "seeds and rows"


def test_seeds_far_apart_give_students_t():
    lucky = np.zeros((3, 4000))
    for line, share in zip(lucky, (0.35, 0.5, 0.45), strict=True):
        line[np.random.default_rng(int(10 * share)).permutation(4000)[: int(4000 * share)]] = 1
    interval = np.array(two_way_interval(lucky, seed=0, draws=20_000)["interval"])
    by_seeds = np.array(seed_interval(lucky.mean(axis=1))["interval"])
    assert np.diff(interval) == pytest.approx(np.diff(by_seeds), rel=0.06)  # the rows add next to nothing


def test_an_accuracy_has_no_interval_beyond_its_scale():
    rng = np.random.default_rng(4)
    far = np.array([rng.random(60) < 0.9, rng.random(60) < 0.1]).astype(int)
    assert two_way_interval(far, seed=0)["interval"] == [0, 1]
    low, high = two_way_difference(far, far[::-1], seed=0)["interval"]
    assert low < -1 and high > 1  # a difference says that two seeds tell nothing


def test_seeds_that_do_not_differ_leave_the_rows():
    row = np.random.default_rng(0).integers(0, 2, 200)
    found = two_way_interval(np.tile(row, (4, 1)), seed=3)
    assert found["seed_spread"] == 0
    assert found["interval"] == two_way_interval(row[None], seed=3)["interval"]


def test_the_difference_is_the_interval_of_answers_subtracted():
    rng = np.random.default_rng(2)
    (a, _), (b, _) = (simulated_answers(3, 400, 0.1, rng, skill) for skill in (0.3, 0.1))
    found, swapped = (two_way_difference(*pair, seed=1, draws=30_000) for pair in ((a, b), (b, a)))
    assert found["difference"] == pytest.approx(a.mean() - b.mean())
    assert swapped["interval"] == pytest.approx([-end for end in found["interval"][::-1]], rel=0.1)
    assert json.loads(json.dumps(found, allow_nan=False)) == found
    # answers that are the same for both add nothing but rows
    padded = [np.hstack([side, np.ones((3, 400))]) for side in (a, b)]
    assert two_way_difference(*padded, seed=1)["difference"] == pytest.approx(found["difference"] / 2)


def held(truth, intervals):
    return np.mean([low <= truth <= high for low, high in intervals])


def coverage_of_mean(number, rows, spread, experiments, draws):
    rng = np.random.default_rng(number * 1000 + rows)
    found = []
    for experiment in range(experiments):
        right, truth = simulated_answers(number, rows, spread, rng)
        found.append(two_way_interval(right, seed=experiment, draws=draws)["interval"])
    return held(truth, found)


def coverage_of_difference(number, rows, spread, experiments, draws):
    """Two recipes whose seeds are lucky apart; hardness is shared."""
    rng = np.random.default_rng(number * 1000 + rows)
    scale = np.sqrt(1 + 0.6**2 + spread**2)
    truth = stats.norm.cdf(0.3 / scale) - stats.norm.cdf(0.1 / scale)
    found = []
    for experiment in range(experiments):
        hardness = rng.normal(size=rows)
        a, b = (skill + spread * rng.normal(size=(number, 1)) - hardness + 0.6 * rng.normal(size=(number, rows)) > 0
                for skill in (0.3, 0.1))
        found.append(two_way_difference(a, b, seed=experiment, draws=draws)["interval"])
    return held(truth, found)


@pytest.mark.parametrize("coverage", [coverage_of_mean, coverage_of_difference])
def test_seeds_and_rows_hold_the_truth_as_often_as_they_say(coverage):
    assert 0.95 < coverage(3, 500, 0.03, experiments=400, draws=300) < 0.997


@pytest.mark.slow
@pytest.mark.parametrize("coverage", [coverage_of_mean, coverage_of_difference])
@pytest.mark.parametrize("number", [2, 3, 5])
@pytest.mark.parametrize("rows", [500, 1500])
@pytest.mark.parametrize("spread", [0, 0.03, 0.1, 0.3])  # the last: accuracies of seeds differ by 0.1
def test_seeds_and_rows_hold_the_truth_wherever_the_luck_lies(coverage, number, rows, spread):
    share = coverage(number, rows, spread, experiments=600, draws=600)
    assert share > 0.92
    assert share < (0.985 if spread == 0.3 else 1.01)  # where noise rules, few seeds leave it too wide


@pytest.mark.parametrize(("right", "says"), [
    ([0, 1], "seeds, rows"), ([[]], "seeds, rows"), ([[0, 2]], "1 for right"), ([[0, np.nan]], "nan"),
])
def test_answers_that_are_none_are_refused(right, says):
    with pytest.raises(InputError, match=says):
        two_way_interval(right, seed=0)
    with pytest.raises(InputError, match=says):
        two_way_difference(right, right, seed=0)


def test_recipes_must_have_the_same_seeds_and_rows():
    with pytest.raises(InputError, match="same seeds"):
        two_way_difference([[0, 1]], [[0, 1], [1, 1]], seed=0)
    with pytest.raises(InputError, match="draws"):
        two_way_interval([[0, 1]], seed=0, draws=0)


def test_intervals_depend_on_the_seed_alone():
    right, _ = simulated_answers(3, 50, 0.3, np.random.default_rng(0))
    first = two_way_interval(right, seed=7)
    before = np.random.get_state()[1].copy()
    assert two_way_interval(right, seed=7) == first
    assert two_way_interval(right.astype(bool), seed=7) == first
    assert two_way_interval(right, seed=8)["interval"] != first["interval"]
    assert (np.random.get_state()[1] == before).all()
    with pytest.raises(TypeError):
        two_way_interval(right, 100, 7)  # which of the two bare numbers is the seed?


# slopes

def gaps_with_holes(seed, number=4):
    rng = np.random.default_rng(seed)
    gaps = rng.normal(0.1, 0.05, (number, len(SIZES)))
    holes = rng.random(gaps.shape) < 0.3
    holes[:, [1, 4]] = False  # two sizes for each seed
    return np.where(holes, np.nan, gaps)


@quick
@given(seeds_of_chance)
def test_slopes_equal_scipy_seed_by_seed(seed):
    gaps = gaps_with_holes(seed)
    known = ~np.isnan(gaps)
    slopes = [stats.linregress(np.log2(SIZES)[mask], own[mask]).slope for own, mask in zip(gaps, known, strict=True)]
    found = slope_interval(SIZES, gaps)
    theirs = stats.ttest_1samp(slopes, 0).confidence_interval(0.95)
    assert found["by_seed"] == pytest.approx(slopes)
    assert found["slope"] == pytest.approx(np.mean(slopes))
    assert found["interval"] == pytest.approx([theirs.low, theirs.high])
    assert (found["seeds"], found["covers"]) == (4, "seeds")
    lifted = slope_interval(SIZES, gaps + np.array([[0], [1], [-2], [3]]))
    assert lifted["by_seed"] == pytest.approx(found["by_seed"])  # the level of a seed does not matter


def simulated_curves(rng, number=3, rows=500, spread=0.05):
    """Answers of two models at all sizes, and the true slope of their gap."""
    skills = np.array([np.linspace(0, 0.6, len(SIZES)), np.linspace(-0.3, 0.5, len(SIZES))])
    noise = 0.6
    hardness = rng.normal(size=rows)
    luck = spread * rng.normal(size=(2, number, len(SIZES), 1))
    answers = skills[:, None, :, None] + luck - hardness + noise * rng.normal(size=(2, number, len(SIZES), rows)) > 0
    accuracies = stats.norm.cdf(skills / np.sqrt(1 + noise**2 + spread**2))
    return *answers.astype(float), np.polyfit(np.log2(SIZES), accuracies[0] - accuracies[1], 1)[0]


def test_gap_slope_is_the_slope_of_the_gaps():
    a, b, _ = simulated_curves(np.random.default_rng(0))
    a[1:, -1], b[0, 0] = np.nan, np.nan
    found = gap_slope(a, b, SIZES, seed=0, draws=50)
    other = slope_interval(SIZES, a.mean(axis=2) - b.mean(axis=2))
    assert found["slope"] == pytest.approx(other["slope"])
    assert found["by_seed"] == pytest.approx(other["by_seed"])
    assert (found["seeds"], found["rows"], found["covers"]) == (3, 500, "seeds and rows")
    assert json.loads(json.dumps(found, allow_nan=False)) == found


def test_gap_slope_of_one_seed_equals_lines_through_drawn_rows():
    a, b, _ = simulated_curves(np.random.default_rng(1), number=1)
    a[:, 3] = np.nan
    known = [0, 1, 2, 4, 5, 6]

    def slope_on(rows):
        gaps = a[0][:, rows].mean(axis=1) - b[0][:, rows].mean(axis=1)
        return np.polyfit(np.log2(SIZES)[known], gaps[known], 1)[0]

    rng = np.random.default_rng(2)
    drawn = [slope_on(rng.integers(0, 500, 500)) for _ in range(3000)]
    found = gap_slope(a, b, SIZES, seed=0, draws=3000)
    assert found["interval"] == pytest.approx(np.quantile(drawn, [0.025, 0.975]), abs=0.0015)
    assert found["covers"] == "rows"


def coverage_of_slope(experiments, **curves):
    rng = np.random.default_rng(9)
    found = []
    for experiment in range(experiments):
        a, b, truth = simulated_curves(rng, **curves)
        found.append(gap_slope(a, b, SIZES, seed=experiment, draws=200)["interval"])
    return held(truth, found)


def test_gap_slope_holds_the_truth_as_often_as_it_says():
    assert 0.93 < coverage_of_slope(120) < 1


@pytest.mark.slow
@pytest.mark.parametrize("curves", [{}, {"spread": 0}, {"spread": 0.2}, {"number": 5}, {"number": 1, "spread": 0}])
def test_gap_slope_holds_the_truth_wherever_the_luck_lies(curves):
    assert 0.93 < coverage_of_slope(600, **curves) < 0.998


@pytest.mark.parametrize(("sizes", "gaps", "says"), [
    ([60, 125], [[0.1, 0.2]], "two seeds"),
    ([60, 125], [0.1, 0.2], "seeds, sizes"),
    ([60, 125, 250], [[0.1, 0.2]] * 2, "2 different numbers"),
    ([60, 60], [[0.1, 0.2]] * 2, "2 different numbers"),
    ([0, 60], [[0.1, 0.2]] * 2, "2 different numbers"),
    ([60, np.nan], [[0.1, 0.2]] * 2, "2 different numbers"),
    ([60, 125], [[0.1, 0.2], [np.nan, 0.2]], "found 1 for seed number 1"),
])
def test_lines_that_cannot_be_drawn_are_refused(sizes, gaps, says):
    with pytest.raises(InputError, match=says):
        slope_interval(sizes, gaps)


def test_curves_that_do_not_fit_together_are_refused():
    a, b, _ = simulated_curves(np.random.default_rng(3), rows=20)
    with pytest.raises(InputError, match="same seeds, sizes and rows"):
        gap_slope(a, b[:, :, :10], SIZES, seed=0)
    with pytest.raises(InputError, match="7 different numbers"):
        gap_slope(a, b, SIZES[:6], seed=0)
    with pytest.raises(InputError, match="seeds, sizes, rows"):
        gap_slope(a[0], b[0], SIZES, seed=0)
    a[0, 2, 5] = np.nan  # one answer of many
    with pytest.raises(InputError, match="nan alone"):
        gap_slope(a, b, SIZES, seed=0)
