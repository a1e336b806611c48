"""Simulated reviews: the same rows everywhere, a ceiling that is right, texts without slips."""

import csv
import hashlib
import re
from collections import Counter
from importlib import resources

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from scipy.stats import norm, poisson_binom

import yelp_tl.data as data
import yelp_tl.simulation as simulation
from yelp_tl.data import InputError, load_reviews, rows_sha256, shuffled_rows
from yelp_tl.simulation import (
    LONGEST,
    OWN_ASPECTS,
    SAMPLE_ROWS,
    SHARED_ASPECTS,
    SHORTEST,
    Dice,
    Form,
    Process,
    SimulatedReviews,
    Writer,
    ceiling_probabilities,
    forms,
    level_shares,
    lexicon,
    mood_ceiling,
    parts,
    sample_reviews,
    say,
    simulate_review,
    star_posterior,
    star_shares,
    star_thresholds,
    statement_shares,
    text_ceiling,
    unseen_share,
    write_simulated,
)

LEVELS = (-2, -1, 0, 1, 2)
LETTERS = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=15)
READABLE = st.tuples(LETTERS, LETTERS).map("a".join)
FIRST_HUNDRED = {
    "train": "abd661c38a464616bf25e04db281b71201a548e37f3185dbdecd205c2c5fe9ab",
    "test": "4e35b6d98085a5d3e25bcf619aaccb1f3acd775695f1a44752257347a77f34b4",
}


@pytest.fixture(scope="module")
def reviews():
    return [simulate_review("train", row) for row in range(1500)]


# the same rows everywhere


@pytest.mark.parametrize("split", SAMPLE_ROWS)
def test_first_hundred_rows_are_pinned(split):
    assert rows_sha256(SimulatedReviews(split).select(range(100))) == FIRST_HUNDRED[split]


def test_chance_is_pinned():
    dice = Dice("pinned", 1)
    throws = [dice.throw() for _ in range(3)]
    assert throws == [0.26390824620773534, 0.0699045679207645, 0.326326726377105]


def test_a_row_depends_on_split_and_number_alone():
    forwards = [simulate_review("train", row) for row in range(20)]
    backwards = [simulate_review("train", row) for row in reversed(range(20))][::-1]
    assert forwards == backwards
    assert SimulatedReviews("train").select([7, 3, 7])["text"][:] == [forwards[row].text for row in (7, 3, 7)]
    assert {review.text for review in forwards}.isdisjoint(simulate_review("test", row).text for row in range(20))


def test_only_selected_rows_are_made(monkeypatch):
    made = []
    real = simulate_review
    monkeypatch.setattr("yelp_tl.simulation.simulate_review", lambda split, row: made.append(row) or real(split, row))
    source = SimulatedReviews("train")
    source.select(np.array([5, 19_999]))
    assert made == [5, 19_999] and len(source) == 20_000 and len(SimulatedReviews("test")) == 5_000
    again = source.select([19_999, 7, 5, 7])
    assert made == [5, 19_999, 7]  # each once
    assert again["text"][:] == [real("train", row).text for row in (19_999, 7, 5, 7)]


def test_no_two_of_many_rows_are_alike(reviews):
    assert len({review.text for review in reviews}) == len(reviews)


@pytest.mark.slow
def test_no_two_of_all_rows_are_alike():
    texts = sample_reviews("train")["text"][:] + sample_reviews("test")["text"][:]
    assert len(set(texts)) == len(texts) == 25_000


# the process


def test_stars_are_equally_frequent_and_follow_the_mood(reviews):
    labels = np.array([review.label for review in reviews])
    assert np.all(np.abs(np.bincount(labels, minlength=5) / len(labels) - 0.2) < 0.04)
    assert np.corrcoef(labels, [review.mood for review in reviews])[0, 1] > 0.9


def brute_force(process, n, rng):
    """Moods, labels and the levels of three aspects, drawn with numpy alone; each cut draws luck of its own."""
    moods = rng.normal(size=n)
    labels = np.searchsorted(star_thresholds(process), moods + rng.normal(0, process.leniency, n))
    above = [moods[:, None] + rng.normal(0, process.spread, (n, 3)) > cut for cut in process.cuts]
    levels = np.sum(above, axis=0) - 2
    return moods, labels, levels


@pytest.mark.parametrize("process", [Process(), Process(leniency=0.5, spread=0.8, cuts=(-2.0, -0.5, 0.2, 1.0))])
def test_shares_agree_with_brute_force(process):
    moods, labels, levels = brute_force(process, 400_000, np.random.default_rng(1))
    near = np.abs(moods - 0.3) < 0.02
    assert np.allclose(star_shares([0.3], process)[0], np.bincount(labels[near], minlength=5) / near.sum(), atol=0.02)
    found = np.bincount(levels[near].ravel() + 2, minlength=5) / (3 * near.sum())
    assert np.allclose(level_shares([0.3], process)[0], found, atol=0.02)


class FixedMood(Dice):
    """Dice whose first number from the normal distribution, the mood of a visit, is given."""

    def __init__(self, mood, *key):
        super().__init__(*key)
        self.left = [mood]

    def normal(self, width=1.0):
        return self.left.pop() if self.left else super().normal(width)


@pytest.mark.parametrize("process", [Process(), Process(spread=0.8, cuts=(-2.0, -0.5, 0.2, 1.0))])
@pytest.mark.parametrize("mood", [-0.8, 0.0, 1.2])
def test_level_shares_are_those_of_the_visits(mood, process):
    visits = [simulation._visit(FixedMood(mood, "levels", row), process) for row in range(1000)]
    assert {visit[0] for visit in visits} == {mood}
    found = [level + 2 for visit in visits for level in visit[3].values()]
    expected = level_shares([mood], process)[0]
    errors = np.sqrt(expected * (1 - expected) / len(found))
    assert np.all(np.abs(np.bincount(found, minlength=5) / len(found) - expected) < 4 * errors + 2 / len(found))


def test_level_shares_are_the_poisson_binomial_distribution():
    process, moods = Process(), [-3.0, -0.4, 0.1, 2.0]
    chances = norm.cdf((np.array(moods)[:, None] - process.cuts) / process.spread)
    expected = [poisson_binom.pmf(range(5), list(row)) for row in chances]
    assert np.allclose(level_shares(moods, process), expected)
    assert np.allclose(level_shares(np.linspace(-6, 6, 50)).sum(axis=1), 1)


@pytest.mark.parametrize("told", [(0, 0, 0), (1, 1, 2), (-2, -1, -1), (2, 2, 2)])
def test_posterior_agrees_with_brute_force(told):
    _, labels, levels = brute_force(Process(), 300_000, np.random.default_rng(2))
    same = np.all(np.sort(levels, axis=1) == sorted(told), axis=1)
    assert np.allclose(star_posterior(told), np.bincount(labels[same], minlength=5) / same.sum(), atol=0.02)


@pytest.mark.parametrize("leniency", [0.1, 0.2, 0.6])
def test_mood_ceiling_agrees_with_brute_force(leniency):
    process = Process(leniency=leniency)
    moods, labels, _ = brute_force(process, 300_000, np.random.default_rng(3))
    assert abs(np.mean(star_shares(moods, process).argmax(axis=1) == labels) - mood_ceiling(process)) < 0.004


def test_text_ceiling_is_what_the_ideal_reader_reaches():
    visits = [simulation._visit(Dice("train", row)) for row in range(20_000)]
    told = [tuple(sorted(levels.values())) for *_, levels in visits]
    posteriors = {levels: star_posterior(levels) for levels in set(told)}
    right = [posteriors[levels].argmax() == label for levels, (_, label, *_) in zip(told, visits, strict=True)]
    certainty = [posteriors[levels].max() for levels in told]
    for found in (right, certainty):  # what it reaches, and what it expects of itself
        assert abs(np.mean(found) - text_ceiling()) < 3 * np.std(found) / np.sqrt(len(found))


def test_ceilings_lie_in_their_bands_and_fall_with_leniency_and_spread():
    assert 0.70 <= mood_ceiling() <= 0.85 and 0.60 <= text_ceiling() <= 0.80
    assert mood_ceiling(Process(leniency=0.3)) < mood_ceiling() and text_ceiling(Process(spread=0.6)) < text_ceiling()
    assert abs(sum(statement_shares().values()) - 1) < 1e-12


def test_ceiling_probabilities_use_the_levels_that_the_text_tells():
    for row in range(50):
        review = simulate_review("test", row)
        assert np.allclose(ceiling_probabilities("test", [row])[0], star_posterior(review.levels))
    assert ceiling_probabilities("test", []).shape == (0, 5)


def test_hearsay_tells_nothing_about_the_visit():
    good = {word for (_, level, _), words in lexicon().items() if level > 0 for word in words}
    found = [(review.label, statement.words[0] in good) for review in (simulate_review("train", n) for n in range(4000))
             for statement in review.statements if statement.aspect == "hearsay"]
    assert len(found) > 800
    assert abs(np.corrcoef(np.array(found, dtype=float).T)[0, 1]) < 0.1


@pytest.mark.parametrize("changes", [{"leniency": 0.0}, {"spread": -1.0}, {"verdict": 1.5}, {"cuts": (0.0, 1.0)},
                                     {"cuts": (1.0, 0.0, 2.0, 3.0)}, {"more_aspects": ()}, {"more_aspects": (5,)}])
def test_a_process_that_makes_no_sense_is_refused(changes):
    with pytest.raises(InputError, match="found"):
        Process(**changes)


# words


def test_lexicon_is_wide_and_orderly():
    entries = Counter()
    for (aspect, level, kind), words in lexicon().items():
        assert aspect in {a for own in OWN_ASPECTS.values() for a in own} | {*SHARED_ASPECTS, "verdict"}
        assert level in LEVELS and kind in ("adjective", "predicate", "idiom")
        assert len(words) == len(set(words)), (aspect, level, kind)
        entries.update({(word, kind): 1 for word in words})
    assert 1900 <= len({word for word, _ in entries}) <= 2100
    assert not [word for word, _ in entries if re.search(r"\bstars?\b", word)]  # a text must not name its label


def test_no_word_has_two_signs_for_one_aspect():
    signs = {}
    for (aspect, level, kind), words in lexicon().items():
        for word in words:
            signs.setdefault((aspect, kind, word), set()).add(np.sign(level))
    assert {key: found for key, found in signs.items() if len(found) > 1} == {}


@pytest.mark.parametrize("business", OWN_ASPECTS)
def test_every_level_of_every_aspect_can_be_said(business):
    for aspect in (*OWN_ASPECTS[business], *SHARED_ASPECTS, "verdict"):
        for level in LEVELS:
            said = [say(Dice(business, aspect, level, n), business, aspect, level) for n in range(40)]
            assert all(statement.text and statement.level == level for statement in said)
            assert len({statement.text for statement in said}) > 8
    for kind in ("opener", "filler", "closer", "hearsay", "expectation", "name"):
        assert parts(kind, business)


def test_forms_take_their_words_from_the_side_that_they_need():
    for level in LEVELS:
        for form in forms(level):
            if form.name in ("negation", "comparison"):
                assert np.sign(form.word[0]) == -np.sign(level) != 0
            elif form.name != "both sides":
                assert form.word == (level,)


def test_a_form_checks_itself():
    with pytest.raises(ValueError, match="expected a known kind"):
        Form("plain", 1, ("{word}",), (1,), kind="noun")


def test_test_reviews_hold_words_that_training_never_showed():
    for seed in (0, 1, 2):
        train = [simulate_review("train", int(row)) for row in shuffled_rows(20_000, seed)[:1000]]
        test = [simulate_review("test", int(row)) for row in shuffled_rows(5_000, seed)[:300]]
        assert unseen_share(train, test) >= 0.08


# texts


def test_texts_have_the_right_length(reviews):
    words = [len(review.text.split()) for review in reviews]
    assert min(words) >= SHORTEST == 15 and max(words) <= LONGEST == 80 and np.mean(words) <= 50


SLIPS = re.compile(r"[{}\t\n]|  |\.\.|[,;:]\.| [.,;!?]|[!?][.!]|\b(the the|a a|they was|we was|i were|it were)\b"
                   r"|\ba (?!one|once|use|uni)[aeiou]\w", re.I)


def test_texts_have_no_slips(reviews):
    for review in reviews:
        assert not SLIPS.search(review.text), (SLIPS.search(review.text), review.text)
        assert review.text == review.text.lower() or not re.search(r"[.!?] [a-z]", review.text), review.text
        assert review.text[-1] in '.!?"'
        assert not re.search(r"\bstars?\b(?! rating)", review.text), review.text


def test_writers_have_habits(reviews):
    assert 0.02 < np.mean([review.text == review.text.lower() for review in reviews]) < 0.09
    assert 0.05 < np.mean(["!" in review.text for review in reviews]) < 0.35
    assert any("n't" in review.text for review in reviews) and any(" not " in review.text for review in reviews)
    assert {Writer.meet(Dice("writer", n), "gym").together for n in range(9)} == {True, False}
    assert not any(Writer.meet(Dice("writer", n), "salon").together for n in range(9))


# as rows and files


def test_load_reviews_gives_the_sample():
    rows = load_reviews("sample", "test")
    assert len(rows) == 5_000
    assert rows[17]["text"] == simulate_review("test", 17).text
    with pytest.raises(InputError, match="split train or test"):
        load_reviews("sample", "validation")


@pytest.mark.parametrize("name", ["reviews.csv", "reviews.jsonl", "reviews.parquet"])
def test_written_files_hold_the_same_rows(tmp_path, name):
    write_simulated(tmp_path / name, 1200, "test", progress=False)
    assert rows_sha256(load_reviews(tmp_path / name)) == rows_sha256(SimulatedReviews("test").select(range(1200)))
    assert [path.name for path in tmp_path.iterdir()] == [name]


FORMULA = ("=", "+", "-", "@", "\t", "\r")  # a cell that starts so can run as a formula in a spreadsheet


def test_no_part_of_a_review_starts_as_a_formula():
    # a review starts with a frame or a neutral sentence, and these start with a word or with a slot for one
    constants = [value for value in vars(simulation).values() if isinstance(value, tuple)]
    pieces = [text for constant in constants for text in constant if isinstance(text, str)]
    pieces += [text for texts in lexicon().values() for text in texts]
    with (resources.files("yelp_tl") / "review_parts.csv").open(encoding="utf-8", newline="") as file:
        pieces += [row["text"] for row in csv.DictReader(file)]
    assert len(pieces) > 1500
    assert [text for text in pieces if not re.match(r'[A-Za-z0-9"{]', text)] == []


def test_no_cell_of_a_written_file_runs_as_a_formula(tmp_path):
    write_simulated(tmp_path / "reviews.csv", 1200, "train", progress=False)
    with (tmp_path / "reviews.csv").open(encoding="utf-8", newline="") as file:
        cells = [cell for row in csv.reader(file) for cell in row]
    with (resources.files("yelp_tl") / "example_reviews.csv").open(encoding="utf-8", newline="") as file:
        cells += [cell for row in csv.reader(file) for cell in row]
    assert len(cells) == 2 * (1201 + 61)
    assert [cell for cell in cells if cell.startswith(FORMULA) or not cell[0].isprintable()] == []


@pytest.mark.parametrize("ending", data._WRITERS)
@given(texts=st.lists(READABLE, min_size=2, max_size=8), draw=st.data())
@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_the_writers_keep_any_text(tmp_path, ending, texts, draw):
    "The generator writes plain texts; its writers would not spoil others."
    labels = [0, 4, *draw.draw(st.lists(st.integers(0, 4), min_size=len(texts) - 2, max_size=len(texts) - 2))]
    table = pa.table({"text": texts, "label": labels})
    path = tmp_path / f"any{ending}"
    data.write_tables(path, table.schema, [table])
    rows = load_reviews(path)
    assert (rows["text"][:], rows["label"][:]) == (texts, labels)


@pytest.mark.parametrize(("name", "n", "split"), [("reviews.txt", 5, "train"), ("reviews.csv", 0, "train"),
                                                  ("reviews.csv", 5, "dev"), ("missing/reviews.csv", 5, "train")])
def test_files_that_cannot_be_written_are_refused(tmp_path, name, n, split):
    with pytest.raises(InputError, match=r"[Ee]xpected"):
        write_simulated(tmp_path / name, n, split, progress=False)
    assert list(tmp_path.iterdir()) == []


def test_an_interrupted_writer_leaves_the_old_file(tmp_path, monkeypatch):
    path = tmp_path / "reviews.csv"
    write_simulated(path, 5, progress=False)
    before = hashlib.sha256(path.read_bytes()).hexdigest()
    monkeypatch.setattr("yelp_tl.simulation.simulate_review", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
    with pytest.raises(KeyboardInterrupt):
        write_simulated(path, 10, progress=False)
    assert hashlib.sha256(path.read_bytes()).hexdigest() == before and list(tmp_path.iterdir()) == [path]
