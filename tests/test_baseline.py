"""The three baselines: to the letter, with exact probabilities, saved without a pickle."""
import json
import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from matplotlib.figure import Figure
from sklearn.dummy import DummyClassifier
from sklearn.feature_extraction.text import ENGLISH_STOP_WORDS, TfidfVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.naive_bayes import MultinomialNB
from sklearn.pipeline import make_pipeline

from yelp_tl.baseline import (
    BASELINES,
    fit_baseline,
    load_baseline,
    parameters,
    plot_top_words,
    remove_stop_words,
    save_baseline,
    top_words,
)
from yelp_tl.data import InputError

OPINIONS = ["awful cold rude never", "poor slow not worth", "fine okay average plain", "good nice warm friendly",
            "lovely perfect amazing best"]


def made_up(n, seed=0):
    "n texts whose words lean towards their star, and the labels; every star occurs."
    rng = np.random.default_rng(seed)
    labels = np.concatenate([np.arange(5), rng.integers(0, 5, n - 5)])
    texts = []
    for label in labels:
        opinion, filler = rng.choice(OPINIONS[label].split(), 3), rng.choice(["the", "was", "not", "soup\\nThe"], 4)
        texts.append(" ".join([*opinion, *filler]))
    return texts, labels


@pytest.fixture(scope="module")
def rows():
    return made_up(60)


@pytest.fixture(scope="module")
def fitted(rows):
    return {name: fit_baseline(name, *rows) for name in BASELINES}


@given(st.text())
def test_stop_words_to_the_letter(text):
    assert remove_stop_words(text) == " ".join(w for w in text.lower().split() if w not in ENGLISH_STOP_WORDS)


def test_stop_words_keep_what_touches_punctuation():
    assert remove_stop_words("The soup was NOT good, not. I left\n not") == "soup good, not. left"


def test_naive_bayes_is_the_lectures(rows, fitted):
    texts, labels = rows
    prepared = [remove_stop_words(text) for text in texts]
    lecture = make_pipeline(TfidfVectorizer(), MultinomialNB()).fit(prepared, labels)
    assert np.array_equal(fitted["naive_bayes"].predict_probabilities(texts), lecture.predict_proba(prepared))


def test_logistic_regression_is_the_designs(rows, fitted):
    texts, labels = rows
    other = make_pipeline(TfidfVectorizer(sublinear_tf=True, ngram_range=(1, 2), min_df=2),
                          LogisticRegression(C=10, max_iter=500)).fit(texts, labels)
    assert np.array_equal(fitted["logistic_regression"].predict_probabilities(texts), other.predict_proba(texts))


def test_majority_equals_scikit_learns(rows, fitted):
    texts, labels = rows
    dummy = DummyClassifier(strategy="prior").fit(texts, labels)
    assert np.allclose(fitted["majority"].predict_probabilities(texts), dummy.predict_proba(texts), rtol=0, atol=1e-15)


@pytest.mark.parametrize("name", BASELINES)
def test_probabilities_are_probabilities(name, rows, fitted):
    probabilities = fitted[name].predict_probabilities([*rows[0], "", "words never seen", "é ☃ \\n"])
    assert probabilities.shape == (63, 5) and probabilities.dtype == np.float64
    assert (probabilities >= 0).all() and np.allclose(probabilities.sum(axis=1), 1, atol=1e-12)


@pytest.mark.parametrize("name", BASELINES)
def test_no_texts_give_no_rows(name, fitted):
    assert fitted[name].predict_probabilities([]).shape == (0, 5)


@settings(max_examples=15, deadline=None)
@given(st.sets(st.integers(0, 4), min_size=2), st.sampled_from(BASELINES))
def test_absent_stars_have_probability_zero_and_survive_saving(tmp_path_factory, stars, name):
    texts, labels = made_up(50, seed=1)
    kept = [i for i, label in enumerate(labels) if label in stars]
    model = fit_baseline(name, [texts[i] for i in kept], labels[kept])
    probabilities = model.predict_probabilities(texts)
    assert set(np.flatnonzero(probabilities.max(axis=0) > 0)) == stars
    folder = tmp_path_factory.mktemp("saved")
    save_baseline(model, folder)
    assert np.array_equal(load_baseline(name, folder).predict_probabilities(texts), probabilities)


@pytest.mark.parametrize("name", BASELINES)
def test_order_of_other_rows_does_not_matter(name, rows, fitted):
    texts = rows[0]
    alone = np.vstack([fitted[name].predict_probabilities([text]) for text in texts])
    assert np.allclose(alone, fitted[name].predict_probabilities(texts), rtol=0, atol=1e-12)


@pytest.mark.parametrize("name", BASELINES)
def test_two_fits_agree_and_files_are_reproducible(name, rows, fitted, tmp_path):
    first, second = tmp_path / "a", tmp_path / "b"
    save_baseline(fitted[name], first)
    save_baseline(fit_baseline(name, *rows), second)
    for suffix in (".json", ".safetensors"):
        file = f"baseline/{name}{suffix}"
        assert (first / file).read_bytes() == (second / file).read_bytes()
    assert {path.suffix for path in (first / "baseline").iterdir()} == {".json", ".safetensors"}


@pytest.mark.parametrize("name", BASELINES)
def test_reloads_to_identical_model(name, rows, fitted, tmp_path):
    path = save_baseline(fitted[name], tmp_path)
    again = load_baseline(name, tmp_path)
    fresh = made_up(40, seed=5)[0]
    assert path == tmp_path / "baseline" / f"{name}.json"
    assert np.array_equal(again.predict_probabilities(fresh), fitted[name].predict_probabilities(fresh))
    assert parameters(again) == parameters(fitted[name])


def test_parameters_counted_by_hand(rows, fitted):
    assert parameters(fitted["majority"]) == 5
    terms = len(fitted["naive_bayes"].vectorizer.vocabulary_)
    assert parameters(fitted["naive_bayes"]) == terms + 5 * terms + 5
    terms = len(fitted["logistic_regression"].vectorizer.vocabulary_)
    assert parameters(fitted["logistic_regression"]) == terms + 5 * terms + 5


@pytest.mark.parametrize("part", [".json", ".safetensors"])
@pytest.mark.parametrize("name", BASELINES)
def test_every_kind_of_damage_is_noticed(name, part, fitted, tmp_path):
    path = save_baseline(fitted[name], tmp_path).with_suffix(part)
    sound = path.read_bytes()
    middle = len(sound) // 2
    changed = sound[:middle] + bytes([sound[middle] ^ 1]) + sound[middle + 1:]
    for content in (b"", sound[:middle], changed, b"[]", b"null", b"\xff\xfe\x00"):
        path.write_bytes(content)
        with pytest.raises(InputError, match="fit the baseline again"):
            load_baseline(name, tmp_path)
    path.unlink()
    with pytest.raises(InputError, match="found no file"):
        load_baseline(name, tmp_path)


def test_another_schema_is_refused(fitted, tmp_path):
    path = save_baseline(fitted["majority"], tmp_path)
    path.write_text(json.dumps(json.loads(path.read_text()) | {"schema": 2}))
    with pytest.raises(InputError, match="expected schema 1 .* found 2"):
        load_baseline("majority", tmp_path)


def test_another_models_file_is_refused(fitted, tmp_path):
    path = save_baseline(fitted["majority"], tmp_path)
    for suffix in (".json", ".safetensors"):
        path.with_suffix(suffix).rename(path.with_name("naive_bayes" + suffix))
    with pytest.raises(InputError, match="holds 'majority'"):
        load_baseline("naive_bayes", tmp_path)


@pytest.mark.parametrize("labels", [[0], [0, 5], [-1, 2], [0.5, 1.0], ["a", "b"], []])
def test_bad_labels_get_one_clear_sentence(labels):
    with pytest.raises(InputError, match="expected .* found .*;"):
        fit_baseline("naive_bayes", ["good soup", "bad soup"], labels)


def test_texts_without_words_get_one_clear_sentence():
    with pytest.raises(InputError, match="naive_bayes could not be fitted on 2 texts"):
        fit_baseline("naive_bayes", ["the", "and not"], [0, 4])


def test_logistic_regression_needs_two_stars():
    with pytest.raises(InputError, match="two different stars"):
        fit_baseline("logistic_regression", ["good soup"] * 3, [2, 2, 2])


def test_unknown_name_and_single_text_are_refused(fitted):
    with pytest.raises(InputError, match="found 'bayes'"):
        fit_baseline("bayes", ["a", "b"], [0, 1])
    with pytest.raises(InputError, match="found 'bayes'"):
        load_baseline("bayes", "anywhere")
    with pytest.raises(InputError, match=r"put it in a list: \[text\]"):
        fitted["majority"].predict_probabilities("one text")


@pytest.mark.parametrize("name", ["naive_bayes", "logistic_regression"])
def test_top_words_come_from_the_stars_own_words(name, fitted):
    for label, words in enumerate(OPINIONS):
        found = top_words(fitted[name], label, 2)
        assert all(set(term.split()) & set(words.split()) for term, _ in found)
        assert found[0][1] >= found[1][1] > 0


def test_top_words_with_two_stars_have_the_right_sign():
    model = fit_baseline("logistic_regression", ["cold soup", "cold tea", "warm soup", "warm tea"], [0, 0, 4, 4])
    assert top_words(model, 0, 1)[0][0] == "cold" and top_words(model, 4, 1)[0][0] == "warm"


def test_top_words_need_words_and_a_known_star(fitted):
    with pytest.raises(InputError, match="majority"):
        top_words(fitted["majority"], 0)
    with pytest.raises(InputError, match="choose from"):
        top_words(fitted["naive_bayes"], 7)


def test_plot_shows_strongest_word_on_top(fitted):
    ax = Figure().subplots()
    assert plot_top_words(fitted["naive_bayes"], 4, ax, n=3) is ax
    widths = [bar.get_width() for bar in ax.patches]
    names = [tick.get_text() for tick in ax.get_yticklabels()]
    assert widths == sorted(widths) and names[-1] == top_words(fitted["naive_bayes"], 4, 1)[0][0]
    assert ax.get_title() == "5 stars"


def test_needs_no_torch():
    code = "import sys, yelp_tl.baseline; assert not {'torch', 'transformers'} & set(sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)
