"""Errors: the right rows in the right order, slices with honest intervals, and what near-duplicates can say."""
import ast
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from matplotlib.figure import Figure
from sklearn import metrics
from statsmodels.stats.proportion import confint_proportions_2indep, proportion_confint

import yelp_tl.errors as errors
from yelp_tl.data import InputError
from yelp_tl.errors import (
    NearDuplicate,
    Slice,
    confident_mistakes,
    cut_counts,
    error_slices,
    label_agreement,
    list_mistakes,
    near_duplicates,
    newcombe_interval,
    plot_slices,
    read_slice,
    row_losses,
    rows_models_agree_against,
    slice_masks,
    text_measures,
    word_shingles,
    worst_mistakes,
)

SEEDS = st.integers(0, 2**32 - 1)


def made_up(seed, n=60):
    "Labels and probabilities at random."
    rng = np.random.default_rng(seed)
    return rng.integers(0, 5, n), rng.dirichlet(np.ones(5), n)


def words_at_random(seed, n=60, longest=40):
    "Texts of a few words, some of them negations and contrasts."
    rng = np.random.default_rng(seed)
    words = ["good", "bad", "not", "never", "but", "however", "soup", "the", "WOW!", "isn't", "Nothing"]
    return [" ".join(rng.choice(words, rng.integers(1, longest))) for _ in range(n)]


# which rows


@pytest.mark.parametrize("seed", range(3))
def test_row_losses_by_scikit_learn(seed):
    labels, probabilities = made_up(seed, 12)
    expected = [metrics.log_loss([label], [row], labels=range(5))
                for label, row in zip(labels, probabilities, strict=True)]
    assert row_losses(labels, probabilities) == pytest.approx(expected, rel=1e-9)


def test_no_loss_is_infinite():
    assert np.isfinite(row_losses([0], [[0, 0, 0, 0, 1]])).all()


@pytest.mark.parametrize("find", [row_losses, worst_mistakes, confident_mistakes])
@pytest.mark.parametrize("labels, probabilities, message", [
    ([5], [[1, 0, 0, 0, 0]], "labels: expected whole numbers from 0"),
    ([0, 1], [[1, 0, 0, 0, 0]], "expected 2 rows of 5 stars"),
    ([0], [[0.5, 0, 0, 0, 0]], "sum to 1"),
])
def test_what_makes_no_sense_is_refused(find, labels, probabilities, message):
    with pytest.raises(ValueError, match=message):
        find(labels, probabilities)


@given(SEEDS)
@settings(max_examples=40, deadline=None)
def test_worst_mistakes_against_a_plain_sort(seed):
    labels, probabilities = made_up(seed, 30)
    losses = [(-np.log(p[label]), i) for i, (p, label) in enumerate(zip(probabilities, labels, strict=True))
              if p.argmax() != label]
    expected = [i for _, i in sorted(losses, key=lambda pair: -pair[0])]
    assert worst_mistakes(labels, probabilities).tolist() == expected[:10]
    assert worst_mistakes(labels, probabilities, None).tolist() == expected


@given(SEEDS)
@settings(max_examples=40, deadline=None)
def test_confident_mistakes_against_a_plain_sort(seed):
    labels, probabilities = made_up(seed, 30)
    wrong = [i for i in range(30) if probabilities[i].argmax() != labels[i]]
    expected = sorted(wrong, key=lambda i: -probabilities[i].max())
    assert confident_mistakes(labels, probabilities, None).tolist() == expected
    assert confident_mistakes(labels, probabilities, 3).tolist() == expected[:3]


def test_loss_and_confidence_ask_different_things():
    labels = [0, 0]
    probabilities = [[0.01, 0.25, 0.25, 0.24, 0.25], [0.2, 0.8, 0, 0, 0]]  # in doubt; sure of a near miss
    assert worst_mistakes(labels, probabilities).tolist() == [0, 1]
    assert confident_mistakes(labels, probabilities).tolist() == [1, 0]


def test_mistakes_hold_what_a_reader_needs():
    labels = np.array([4, 0, 1])
    probabilities = np.array([[0.7, 0.1, 0.1, 0.05, 0.05], [1, 0, 0, 0, 0], [0.5, 0.5, 0, 0, 0]])
    first, second = list_mistakes(["a", "b", "c"], labels, probabilities)
    assert (first.row, first.label, first.predicted, first.distance, first.text) == (0, 4, 0, 4, "a")
    assert (first.confidence, first.chance_of_label) == (0.7, 0.05) and first.loss == pytest.approx(-np.log(0.05))
    assert (second.row, second.predicted, second.distance) == (2, 0, 1)  # a tie goes to the lower star
    assert list_mistakes(["a", "b", "c"], labels, probabilities, 1) == [first]


@pytest.mark.parametrize("call", [list_mistakes, error_slices, lambda texts, labels, _: slice_masks(texts, labels)])
def test_one_text_for_each_label(call):
    with pytest.raises(InputError, match="found 1 texts and 2 labels"):
        call(["a"], [0, 1], np.eye(5)[:2])


# slices


@pytest.mark.parametrize("text, name, count", [
    ("Don't", "negation words", 1), ("DON\u2019T, won\u2019t", "negation words", 2),
    ("knot note nottingham ant", "negation words", 0), ("good\\nnot", "negation words", 1),
    ("No. NEVER; nor", "negation words", 3), ("can't cannot", "negation words", 2),
    ("BUT butter, although!", "contrast words", 2), ("Wow!!", "exclamation marks", 2),
    ("I AM so MAD at the BBQ", "words in capitals", 2), ("\u00c9T\u00c9 caf\u00e9", "words in capitals", 0),
    ("", "words", 0), (" \u3000 \n ", "words", 0), ("a\\nb \u00a0c", "words", 3),
])
def test_measures(text, name, count):
    assert text_measures([text])[name].tolist() == [count]


def test_measures_of_nothing():
    assert all(counts.shape == (0,) for counts in text_measures([]).values())


@given(st.lists(st.integers(0, 12), min_size=1), st.sets(st.integers(1, 12)))
@settings(max_examples=60, deadline=None)
def test_ranges_hold_every_row_once(counts, starts):
    starts = sorted(starts)
    ranges = cut_counts(np.array(counts), starts)
    assert (np.sum(list(ranges.values()), axis=0) == 1).all() and all(inside.any() for inside in ranges.values())
    for inside in ranges.values():
        values = np.array(counts)[inside]
        assert not any(values.min() < start <= values.max() for start in starts)


def test_names_of_ranges():
    assert list(cut_counts(np.arange(3000), (1, 3, 4, 1000))) == ["none", "1 to 2", "3", "4 to 999", "1,000 or more"]
    assert list(cut_counts(np.array([3, 9]), (5, 20))) == ["up to 4", "5 to 19"]
    assert list(cut_counts(np.array([3, 9]), ())) == ["0 or more"]


@given(SEEDS)
@settings(max_examples=25, deadline=None)
def test_masks_hold_every_row_once(seed):
    texts = words_at_random(seed)
    masks = slice_masks(texts, made_up(seed)[0])
    for parts in masks.values():
        assert len(parts) > 1 and (np.sum(list(parts.values()), axis=0) == 1).all()
        assert all(inside.any() and not inside.all() for inside in parts.values())


def test_a_range_of_few_rows_joins_the_one_below():
    texts = ["fine"] * 30 + ["not fine"] * 25 + ["not not not fine"] * 5
    labels = np.arange(60) % 5
    assert list(slice_masks(texts, labels)["negation words"]) == ["none", "1 or more"]
    assert list(slice_masks(texts, labels, at_least=5)["negation words"]) == ["none", "1 to 2", "3 or more"]
    assert "negation words" not in slice_masks(texts, labels, at_least=40)


def test_rows_that_are_all_alike_make_no_slice():
    assert slice_masks(["same words"] * 30, [2] * 30) == {}
    assert error_slices(["same words"] * 30, [2] * 30, np.eye(5)[[1] * 30]) == []


@given(st.integers(1, 60), st.integers(1, 60), st.data())
@settings(max_examples=60, deadline=None)
def test_newcombe_by_statsmodels(n, other_n, data):
    hits, other_hits = data.draw(st.integers(0, n)), data.draw(st.integers(0, other_n))
    confidence = data.draw(st.sampled_from([0.8, 0.95, 0.9975]))
    expected = confint_proportions_2indep(hits, n, other_hits, other_n, method="newcomb", compare="diff",
                                          alpha=1 - confidence)
    assert newcombe_interval(hits, n, other_hits, other_n, confidence) == pytest.approx(expected, abs=1e-9)


@given(st.integers(1, 40), st.integers(1, 40), st.data())
@settings(max_examples=40, deadline=None)
def test_newcombe_turned_round(n, other_n, data):
    hits, other_hits = data.draw(st.integers(0, n)), data.draw(st.integers(0, other_n))
    low, high = newcombe_interval(hits, n, other_hits, other_n)
    assert newcombe_interval(other_hits, other_n, hits, n) == pytest.approx((-high, -low))
    assert -1 <= low <= hits / n - other_hits / other_n <= high <= 1


def test_newcombe_keeps_its_promise():
    "Of 500 rows, a slice of 100: the 95% interval holds the true difference in 93 to 97 of 100 draws."
    rng = np.random.default_rng(5)
    for share, other in [(0.5, 0.5), (0.9, 0.55), (0.3, 0.6)]:
        draws = zip(rng.binomial(100, share, 400), rng.binomial(400, other, 400), strict=True)
        ends = np.array([newcombe_interval(hits, 100, other_hits, 400) for hits, other_hits in draws])
        held = ((ends[:, 0] <= share - other) & (share - other <= ends[:, 1])).mean()
        assert 0.92 < held < 0.98, (share, other, held)


@pytest.mark.parametrize("seed", range(2))
def test_slices_by_other_libraries(seed):
    texts, (labels, probabilities) = words_at_random(seed), made_up(seed)
    masks, stars = slice_masks(texts, labels), probabilities.argmax(axis=1)
    slices = error_slices(texts, labels, probabilities)
    assert [(one.group, one.name) for one in slices] == [(group, name) for group in masks for name in masks[group]]
    for one in slices:
        inside = masks[one.group][one.name]
        hits = stars == labels
        assert (one.rows, one.all_rows) == (inside.sum(), 60)
        assert one.accuracy == metrics.accuracy_score(labels[inside], stars[inside])
        assert one.accuracy_interval == pytest.approx(
            proportion_confint(hits[inside].sum(), inside.sum(), method="wilson"), abs=1e-12)
        assert one.loss == pytest.approx(metrics.log_loss(labels[inside], probabilities[inside], labels=range(5)))
        assert one.mae == pytest.approx(metrics.mean_absolute_error(labels[inside], stars[inside]))
        assert one.difference == pytest.approx(hits[inside].mean() - hits[~inside].mean())
        for alpha, ends in ((0.05, one.interval), (0.05 / one.looks, one.joint_interval)):
            assert ends == pytest.approx(confint_proportions_2indep(
                hits[inside].sum(), inside.sum(), hits[~inside].sum(), (~inside).sum(), method="newcomb",
                compare="diff", alpha=alpha), abs=1e-9)


def test_a_group_of_two_is_one_look():
    labels, probabilities = made_up(0)
    halves, thirds = np.arange(60) < 30, np.arange(60) % 3
    masks = {"half": {"first": halves, "second": ~halves}, "third": {str(i): thirds == i for i in range(3)}}
    slices = error_slices([""] * 60, labels, probabilities, masks)
    assert {one.looks for one in slices} == {1 + 3}
    first, second = slices[:2]
    assert first.interval == pytest.approx((-second.interval[1], -second.interval[0]))


@pytest.mark.parametrize("mask", [np.zeros(60, bool), np.ones(60, bool), np.ones(59, bool), np.arange(60)])
def test_masks_that_make_no_slice_are_refused(mask):
    labels, probabilities = made_up(0)
    with pytest.raises(InputError, match="slice mine part: expected 60 marks true or false, some of each"):
        error_slices([""] * 60, labels, probabilities, {"mine": {"part": mask}})


def found_slice(interval, joint, name="x"):
    return Slice("group", name, 50, 200, 0.5, (0.4, 0.6), 1.0, 0.5, sum(interval) / 2, interval, joint, 20)


@pytest.mark.parametrize("interval, joint, words, out", [
    ((0.1, 0.3), (0.02, 0.4), "clearly better", True),
    ((-0.3, -0.1), (-0.4, -0.02), "clearly worse", True),
    ((-0.3, -0.1), (-0.4, 0.01), "perhaps worse", False),
    ((0.01, 0.1), (-0.1, 0.2), "perhaps better", False),
    ((-0.1, 0.1), (-0.2, 0.2), "no clear difference", False),
    ((0.0, 0.1), (-0.1, 0.2), "no clear difference", False),
])
def test_slices_are_read_aloud(interval, joint, words, out):
    assert read_slice(found_slice(interval, joint)) == words
    assert found_slice(interval, joint).stands_out is out


def test_joint_intervals_hold_together():
    "Where no slice is special, all joint intervals hold in about 95 of 100 experiments, the others far less often."
    texts = words_at_random(3, 500)
    masks = slice_masks(texts, np.arange(500) % 5)
    rng = np.random.default_rng(4)
    alone = together = 0
    for _ in range(40):
        hits = rng.random(500) < 0.5
        slices = error_slices(texts, np.full(500, 2), np.eye(5)[np.where(hits, 2, 3)], masks)
        alone += any(one.interval[0] > 0 or one.interval[1] < 0 for one in slices)
        together += any(one.stands_out for one in slices)
    assert together <= 6 < 12 <= alone


def test_plot_of_slices():
    slices = [found_slice((0.1, 0.3), (0.02, 0.4), "clear"), found_slice((-0.1, 0.1), (-0.2, 0.2), "unclear")]
    ax = Figure().subplots()
    assert plot_slices(slices, ax) is ax
    assert [label.get_text() for label in ax.get_yticklabels()] == ["group: clear  (50)", "group: unclear  (50)"]
    dots = [line for line in ax.lines if line.get_marker() == "o"]
    assert [dot.get_markerfacecolor() for dot in dots] == ["tab:blue", "white"]
    assert "all rows, 0.350" in ax.get_xlabel() and ax.yaxis_inverted()  # 50 rows at 0.5, 150 at 0.3


# labels


def cosine(first, second, size=3):
    "Written anew, with Python's sets."
    one, other = set(word_shingles(first, size)), set(word_shingles(second, size))
    return len(one & other) / (len(one) * len(other)) ** 0.5 if one and other else 0.0


@given(st.lists(st.text("abc .", max_size=14), max_size=12), st.sampled_from([0.2, 0.5, 0.7, 1.0]), st.integers(1, 5))
@settings(max_examples=60, deadline=None)
def test_near_duplicates_by_brute_force(texts, threshold, rows_at_once):
    found = near_duplicates(texts, threshold, rows_at_once=rows_at_once)
    expected = {(i, j): cosine(texts[i], texts[j]) for j in range(len(texts)) for i in range(j)
                if cosine(texts[i], texts[j]) >= threshold - 1e-6}
    assert {(pair.first, pair.second) for pair in found} == set(expected) and len(found) == len(expected)
    assert [pair.similarity for pair in found] == pytest.approx(
        [expected[pair.first, pair.second] for pair in found], abs=1e-5)
    assert [pair.similarity for pair in found] == sorted((pair.similarity for pair in found), reverse=True)


@pytest.mark.parametrize("size", [1, 2, 5])
def test_shingles_of_any_size(size):
    texts = ["a b c d e f", "a b c d e g", "f e d c b a", "a b"]
    found = near_duplicates(texts, 0.5, size=size)
    assert [(pair.first, pair.second) for pair in found] == sorted(
        ((i, j) for j in range(4) for i in range(j) if cosine(texts[i], texts[j], size) >= 0.5),
        key=lambda pair: -cosine(texts[pair[0]], texts[pair[1]], size))


def test_texts_without_words_are_copies_of_nothing():
    assert near_duplicates(["", "...", "!!!", " "]) == near_duplicates([]) == near_duplicates(["one"]) == []


def test_escapes_and_case_do_not_matter():
    assert near_duplicates(["Good food.\\nGood mood", "good FOOD!\ngood mood"])[0].similarity == 1


@pytest.mark.parametrize("options", [{"threshold": 0}, {"threshold": 1.1}, {"size": 0}, {"rows_at_once": 0}])
def test_near_duplicates_check_their_options(options):
    with pytest.raises(InputError, match="expected a threshold above 0 and at most 1"):
        near_duplicates(["a", "b"], **options)


def test_a_few_copies_among_many_are_found():
    rng = np.random.default_rng(0)
    words = [f"word{i}" for i in range(2000)]
    texts = [" ".join(rng.choice(words, 60)) for _ in range(1500)]
    changed = texts[7].split()
    changed[30] = "other"
    texts[1400], texts[900] = " ".join(changed), texts[3]
    assert [(pair.first, pair.second) for pair in near_duplicates(texts)] == [(3, 900), (7, 1400)]


def test_each_group_of_copies_counts_once():
    pairs = [NearDuplicate(0, 1, 0.9), NearDuplicate(0, 2, 0.8), NearDuplicate(1, 2, 1.0), NearDuplicate(5, 6, 0.7)]
    found = label_agreement(pairs, [0, 3, 3, 0, 0, 4, 1])
    assert (found.pairs, found.different, found.groups, found.agree) == (4, 3, 2, 1)
    assert found.share == 0.5 and found.interval == pytest.approx(proportion_confint(1, 2, method="wilson"))
    assert found.ceiling == (0.5, 0.5**0.5)
    assert found.ceiling_interval == pytest.approx((found.interval[0], found.interval[1] ** 0.5))


@given(SEEDS, st.sampled_from([0.1, 1.0, 10.0]))
@settings(max_examples=60, deadline=None)
def test_the_best_accuracy_lies_between_agreement_and_its_root(seed, spread):
    shares = np.random.default_rng(seed).dirichlet(np.full(5, spread), 20)
    agreement, best = (shares**2).sum(axis=1).mean(), shares.max(axis=1).mean()
    assert agreement <= best <= agreement**0.5


@given(SEEDS, st.integers(2, 4))
@settings(max_examples=30, deadline=None)
def test_agreement_of_models_by_brute_force(seed, count):
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, 5, 80)
    predictions = {f"model {i}": np.where(rng.random(80) < 0.5, labels, rng.integers(0, 5, 80)) for i in range(count)}
    found = rows_models_agree_against(labels, predictions)
    rows = [row for row in range(80) if len({stars[row] for stars in predictions.values()}) == 1
            and predictions["model 0"][row] != labels[row]]
    assert found.rows == tuple(rows) and found.stars == tuple(predictions["model 0"][rows]) and found.n == 80
    expected = 0.0
    for true in set(labels.tolist()):
        among = labels == true
        for star in set(range(5)) - {true}:
            expected += among.mean() * np.prod([(stars[among] == star).mean() for stars in predictions.values()])
    assert found.expected == pytest.approx(expected)
    assert found.interval == pytest.approx(proportion_confint(len(rows), 80, method="wilson"), abs=1e-12)


def test_chance_is_what_unrelated_models_reach():
    rng = np.random.default_rng(1)
    labels = rng.integers(0, 5, 20_000)
    predictions = {name: np.where(rng.random(20_000) < 0.5, labels, rng.integers(0, 5, 20_000)) for name in "abc"}
    found = rows_models_agree_against(labels, predictions)
    assert found.interval[0] < found.expected < found.interval[1]


@pytest.mark.parametrize("predictions, error, message", [
    ({"a": [0, 1]}, InputError, "two models or more, found 1"), ({}, InputError, "two models or more, found 0"),
    ({"a": [0, 1], "b": [0]}, ValueError, "found 2 labels and 1 predictions"),
    ({"a": [0, 1], "b": [0, 9]}, ValueError, "whole numbers from 0"),
])
def test_models_that_cannot_agree_are_refused(predictions, error, message):
    with pytest.raises(error, match=message):
        rows_models_agree_against([0, 1], predictions)


def test_no_torch():
    "Of this package only modules that need no torch, as their own tests show, and no other library that brings it."
    source = ast.parse(Path(errors.__file__).read_text(encoding="utf-8"))
    names = {(node.level * "." + node.module) if isinstance(node, ast.ImportFrom) else node.names[0].name
             for node in ast.walk(source) if isinstance(node, ast.Import | ast.ImportFrom)}
    ours = {name for name in names if name.startswith((".", "yelp_tl"))}
    assert ours <= {".data", ".evaluation", "yelp_tl.data", "yelp_tl.evaluation"}
    assert {name.split(".")[0] for name in names - ours} <= {
        "re", "collections", "dataclasses", "numpy", "matplotlib", "scipy", "sklearn"}
