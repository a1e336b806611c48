"""Explanation: scores that add up, against truths that are known, on any text, and nothing that a browser would run."""
import sys
from html.parser import HTMLParser
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from matplotlib import pyplot as plt
from matplotlib.figure import Figure

import yelp_tl.explanation as explanation
from yelp_tl.data import InputError, example_reviews
from yelp_tl.explanation import (
    Explanation,
    ExplanationSettings,
    expected_stars,
    explain_review,
    explanation_html,
    find_words,
    marked_text,
    plot_explanation,
    show_score,
    strongest_words,
    summary_sentence,
    words_table,
)
from yelp_tl.finetuning import build_classifier, predict_probabilities
from yelp_tl.pretrained import find_checkpoint, load_tokenizer, make_tiny_checkpoint
from yelp_tl.tokenization import tokenize_windows

REVIEW = "The soup was cold, and the waiter didn't come. But my daughter loved the cake!"
ODD = ["", " \t\n", "...", "caf\u00e9 cafe\u0301 na\u00efve", "don't won\u2019t 'quoted' o'clock's '",
       "\u4f60\u597d world", "\U0001f44d\U0001f3fd ok \U0001f600\U0001f600", "a\u200bb\x00c \ufeff",
       "[SEP] in a [MASK] text [CLS] [PAD]", "line\\nbreak \\\"quote\\\"",
       "\u202eright to left \u05e9\u05dc\u05d5\u05dd", "\u0130stanbul \u00df \ufb01ne \u00bd",
       "$5 & <b>5/5</b> 100%", "e\u0301\u0301\u0301", "\u0301 alone", "x" * 300]


@pytest.fixture(scope="module", params=["bert", "distilbert"])
def network(request, tmp_path_factory):
    "A tiny network with ten times its weights, because else it gives nearly the same to every text."
    folder = make_tiny_checkpoint(tmp_path_factory.mktemp("explained"), request.param)
    checkpoint = find_checkpoint(str(folder))
    model = build_classifier(checkpoint, seed=1).eval()
    with torch.no_grad():
        for weight in model.parameters():
            weight.mul_(10 if weight.ndim == 2 else 1)
    return model, load_tokenizer(checkpoint)


@pytest.fixture(scope="module")
def tokenizer(tiny_checkpoint):
    return load_tokenizer(tiny_checkpoint)


class BagOfTokens(torch.nn.Module):
    "Logits along one direction: the sum of a number for each token, so the right scores are known exactly."

    device = torch.device("cpu")

    def __init__(self, size, seed=0):
        super().__init__()
        random = torch.Generator().manual_seed(seed)
        self.embeddings = torch.nn.Embedding(size, 6, _weight=torch.randn(size, 6, generator=random))
        self.weight = torch.randn(6, generator=random) / 4
        self.direction = torch.tensor([-1.0, -0.5, 0.0, 0.4, 1.2])

    def get_input_embeddings(self):
        return self.embeddings

    def forward(self, input_ids, attention_mask):
        total = (self.embeddings(input_ids) @ self.weight * attention_mask).sum(dim=1)
        return SimpleNamespace(logits=total[:, None] * self.direction)

    def values(self, ids):
        return (self.embeddings(torch.tensor(ids)) @ self.weight).detach().double().numpy()


# scores


@pytest.mark.parametrize("text", [REVIEW, "good", *example_reviews()["text"][:40:20]])
@pytest.mark.parametrize("baseline", ["mask", "pad"])
def test_scores_of_a_model_whose_scores_are_known(text, baseline, tokenizer):
    "The output depends on a sum alone, so each token's score is its share of the way."
    model = BagOfTokens(len(tokenizer))
    found = explain_review(model, tokenizer, text, settings=ExplanationSettings(baseline, tolerance=1e-3))
    encoding = tokenizer(text).encodings[0]
    filler = {"mask": tokenizer.mask_token_id, "pad": tokenizer.pad_token_id}[baseline]
    moved = model.values(encoding.ids[1:-1]) - model.values([filler])[0]
    expected = moved / moved.sum() * (found.stars - found.empty_stars)
    spans, word_of = find_words(text, encoding)
    by_word = [expected[word_of[1:-1] == word].sum() for word in range(len(spans))]
    assert found.complete and found.scores == pytest.approx(by_word, abs=2e-3)


@pytest.mark.parametrize("text", [REVIEW, example_reviews()["text"][7]])
def test_scores_add_up(text, network):
    found = explain_review(*network, text)
    assert found.complete and abs(found.gap) <= 0.02
    assert sum(found.scores) == pytest.approx(found.stars - found.empty_stars, abs=0.02)
    assert found.gap == pytest.approx(sum(found.scores) - (found.stars - found.empty_stars), abs=1e-9)
    assert max(map(abs, found.scores)) > 0.01  # something was explained


def test_the_prediction_is_that_of_the_network(network):
    model, tokenizer = network
    probabilities = predict_probabilities(model, tokenizer, [REVIEW])[0]
    found = explain_review(model, tokenizer, REVIEW)
    assert found.probabilities == pytest.approx(probabilities.tolist(), abs=1e-5)
    assert found.stars == pytest.approx(probabilities @ np.arange(1, 6), abs=1e-4)
    assert found.prediction == probabilities.argmax() and found.text == REVIEW


def test_scores_by_an_integral_of_our_own(network):
    "Midpoints of 400 equal parts, straight from the network: no captum, no shortcut in the last layer."
    model, tokenizer = network
    encoding = tokenizer(REVIEW).encodings[0]
    ids = torch.tensor([encoding.ids])
    empty = torch.where(torch.tensor([encoding.special_tokens_mask]).bool(), ids, tokenizer.mask_token_id)
    with torch.no_grad():
        end, start = model.get_input_embeddings()(ids), model.get_input_embeddings()(empty)
    points = ((torch.arange(400) + 0.5) / 400)[:, None, None]
    way = (start + points * (end - start)).requires_grad_()
    logits = model(inputs_embeds=way, attention_mask=torch.ones(400, ids.shape[1])).logits
    stars = logits.softmax(1) @ torch.arange(1.0, 6)
    slopes = torch.autograd.grad(stars.sum(), way)[0].mean(dim=0)
    tokens = ((end - start)[0] * slopes).sum(dim=1).numpy()
    spans, word_of = find_words(REVIEW, encoding)
    expected = [tokens[word_of == word].sum() for word in range(len(spans))]
    found = explain_review(model, tokenizer, REVIEW, settings=ExplanationSettings(tolerance=1e-3, max_steps=1024))
    assert found.scores == pytest.approx(expected, abs=5e-3)


def test_more_steps_are_taken_until_the_scores_add_up(tokenizer):
    model = BagOfTokens(len(tokenizer))
    rough = explain_review(model, tokenizer, REVIEW, settings=ExplanationSettings(steps=1, max_steps=1, tolerance=1e-6))
    fine = explain_review(model, tokenizer, REVIEW, settings=ExplanationSettings(steps=1, tolerance=1e-3))
    assert not rough.complete and rough.steps == 1 and "do not rely on them" in summary_sentence(rough)
    assert fine.complete and fine.steps > 1 and "add up to the difference" in summary_sentence(fine)
    assert np.log2(fine.steps) == int(np.log2(fine.steps))


@pytest.mark.parametrize("tokens", [1, 40, 100])
def test_how_much_is_computed_at_a_time_does_not_matter(tokens, network, monkeypatch):
    whole = explain_review(*network, REVIEW)
    monkeypatch.setattr(explanation, "TOKENS_AT_ONCE", tokens)
    parts = explain_review(*network, REVIEW)
    assert parts.scores == pytest.approx(whole.scores, abs=1e-4) and parts.steps == whole.steps


def test_a_network_in_training_mode_is_explained_without_dropout(network):
    model, tokenizer = network
    model.train()
    first, second = explain_review(model, tokenizer, REVIEW), explain_review(model, tokenizer, REVIEW)
    assert first == second and not model.training


def test_no_gradient_is_left_behind(network):
    model, tokenizer = network
    explain_review(model, tokenizer, REVIEW)
    assert all(weight.grad is None and weight.requires_grad for weight in model.parameters())


# words


@pytest.mark.parametrize("text", ODD, ids=range(len(ODD)))
def test_any_text_is_explained(text, network):
    model, tokenizer = network
    found = explain_review(model, tokenizer, text, settings=ExplanationSettings(max_steps=32))
    assert len(found.spans) == len(found.scores) == len(found.words)
    assert all(0 <= start < end <= len(text) for start, end in found.spans)
    assert all(end <= start for (_, end), (start, _) in zip(found.spans, found.spans[1:], strict=False))
    assert np.isfinite(found.scores).all() and found.read_until == len(text)
    Balanced(explanation_html(found))


@pytest.mark.parametrize("text", ["", " \n ", "\u200b"])
def test_a_text_without_words_is_compared_with_itself(text, network):
    found = explain_review(*network, text)
    assert (found.spans, found.scores, found.steps) == ((), (), 0)
    assert found.stars == found.empty_stars and found.gap == 0 and found.complete
    assert "There is no word to explain." in summary_sentence(found) and "<table" not in explanation_html(found)


@pytest.mark.parametrize("text, words", [
    ("don't go", ["don't", "go"]), ("DON\u2019T", ["DON\u2019T"]), ("'no'", ["'", "no", "'"]),
    ("the cooks' oven", ["the", "cooks", "'", "oven"]), ("rock'n'roll", ["rock'n'roll"]),
    ("it's o'clock's", ["it's", "o'clock's"]), ("5'9 a'5", ["5", "'", "9", "a", "'", "5"]), ("a ' b", ["a", "'", "b"]),
    ("cafe\u0301s cafe\u0301", ["cafe\u0301s", "cafe\u0301"]), ("e-mail!!", ["e", "-", "mail", "!", "!"]),
    ("\u4f60\u597d", ["\u4f60", "\u597d"]), ("unbelievable", ["unbelievable"]), ("$4.50", ["$", "4", ".", "50"]),
])
def test_pieces_become_words(text, words, tokenizer):
    spans, word_of = find_words(text, tokenizer(text).encodings[0])
    assert [text[start:end] for start, end in spans] == words
    assert word_of[0] == word_of[-1] == -1 and set(word_of[1:-1].tolist()) == set(range(len(words)))
    assert (np.diff(word_of[1:-1]) >= 0).all()


@given(st.text(st.characters(exclude_categories=["Cs"]), max_size=40))
@settings(max_examples=60, deadline=None)
def test_every_token_has_its_word(tiny_tokenizer, text):
    encoding = tiny_tokenizer(text).encodings[0]
    spans, word_of = find_words(text, encoding)
    assert (word_of[np.array(encoding.special_tokens_mask) == 0] >= 0).all()
    for token, word in enumerate(word_of):
        if word >= 0:
            assert spans[word][0] <= encoding.offsets[token][1] and encoding.offsets[token][0] <= spans[word][1]


@pytest.fixture(scope="module", name="tiny_tokenizer")
def _tiny_tokenizer(tokenizer):
    return tokenizer


def test_lone_surrogates_are_replaced(network):
    found = explain_review(*network, "good \ud800 food")
    assert found.text == "good \ufffd food" and "good" in found.words


def test_special_tokens_in_a_text_are_words_of_it(tokenizer):
    "Only the tokenizer's own [CLS] and [SEP] stay in the empty text."
    model = BagOfTokens(len(tokenizer))
    found = explain_review(model, tokenizer, "good [SEP] food [MASK]")
    assert found.words == ("good", "[SEP]", "food", "[MASK]")
    assert found.scores[1] != 0 and found.scores[3] == 0  # [MASK] is what the empty text has there, too


# long texts


def test_a_text_of_600_words_is_read_as_far_as_the_network_reads(network):
    model, tokenizer = network
    text = " ".join(f"w{i}" for i in range(600))
    found = explain_review(model, tokenizer, text, max_length=64, settings=ExplanationSettings(max_steps=32))
    tokens = tokenize_windows([text], tokenizer, 64, stride=0)[0][0]
    assert 0 < found.read_until < len(text) and found.spans[-1][1] == found.read_until
    assert tokens == tokenizer(text[: found.read_until]).input_ids
    expected = predict_probabilities(model, tokenizer, [text], max_length=64)[0]
    assert found.probabilities == pytest.approx(expected.tolist(), abs=1e-5)
    html = marked_text(found)
    read, rest = html.split("<strong>[The network read no further.]</strong>")
    assert "w599" in rest and "w599" not in read and "w0" in read


def test_the_longest_text_that_is_read_at_once(network):
    model, tokenizer = network
    text = "the food was good and " * 130
    found = explain_review(model, tokenizer, text, settings=ExplanationSettings(steps=8, max_steps=8))
    assert len(tokenize_windows([text], tokenizer, 512)[0][0]) == 512 and found.read_until < len(text)


def test_the_tokenizer_is_left_as_it_was(network):
    model, tokenizer = network
    before = tokenizer("word " * 100).input_ids
    explain_review(model, tokenizer, "word " * 100, max_length=16, settings=ExplanationSettings(steps=2, max_steps=2))
    assert tokenizer.backend_tokenizer.truncation is None and tokenizer("word " * 100).input_ids == before


def test_a_longer_text_than_the_network_reads_is_refused(network):
    with pytest.raises(InputError, match="max_length: this network reads at most 512 tokens"):
        explain_review(*network, REVIEW, max_length=513)


# refusals


def test_without_captum_it_says_what_to_install(network, monkeypatch):
    monkeypatch.setitem(sys.modules, "captum.attr", None)
    with pytest.raises(InputError, match=r'pip install "yelp_tl\[evidence\]"'):
        explain_review(*network, REVIEW)


@pytest.mark.parametrize("options, message", [
    ({"baseline": "zero"}, "baseline: expected mask or pad, found 'zero'"),
    ({"steps": 0}, "steps: expected at least 1"), ({"tolerance": 0.0}, "tolerance: expected"),
    ({"steps": 64, "max_steps": 32}, "at most max_steps, found 64 and 32"),
    ({"tolerance": float("nan")}, "tolerance: expected"),
])
def test_settings_check_themselves(options, message):
    with pytest.raises(InputError, match=message):
        ExplanationSettings(**options)


def test_a_tokenizer_without_a_mask_is_refused(network, monkeypatch):
    model, tokenizer = network
    monkeypatch.setattr(tokenizer, "_special_tokens_map", tokenizer._special_tokens_map | {"mask_token": None})
    with pytest.raises(InputError, match="this tokenizer has no mask token. Give the other one"):
        explain_review(model, tokenizer, REVIEW)


# shown


def made_up(words=("good", "cold", "the"), scores=(0.5, -0.25, 0.01), **changes):
    text, spans, place = " ".join(words), [], 0
    for word in words:
        spans.append((place, place + len(word)))
        place += len(word) + 1
    fields = {"text": text, "spans": tuple(spans), "scores": tuple(scores), "probabilities": (0.1, 0.1, 0.1, 0.3, 0.4),
              "stars": 3.8, "empty_stars": 3.54, "baseline": "mask", "gap": 0.0, "tolerance": 0.02, "steps": 32,
              "read_until": len(text)}
    return Explanation(**fields | changes)


class Balanced(HTMLParser):
    "Reads a part of a page and keeps its tags and its words."

    def __init__(self, html):
        super().__init__(convert_charrefs=True)
        self.open, self.tags, self.words = [], [], []
        self.feed(html)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag, attributes):
        self.open.append(tag)
        self.tags.append((tag, dict(attributes)))

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.words.append(data)


def test_expected_stars():
    logits = torch.log(torch.tensor([[0.1, 0.2, 0.3, 0.2, 0.2], [1e-9, 1e-9, 1e-9, 1e-9, 1.0]]))
    assert expected_stars(logits).tolist() == pytest.approx([3.2, 5.0], abs=1e-4)


def test_strongest_words_whichever_their_sign():
    assert strongest_words(made_up()) == [0, 1, 2] and strongest_words(made_up(scores=(0.1, -0.9, 0.0)), 2) == [1, 0]


@pytest.mark.parametrize("score, expected", [
    (0.256, "+0.26"), (-0.256, "\u22120.26"), (0.0, "+0.00"), (-0.0, "+0.00"), (-0.001, "+0.00")])
def test_scores_are_shown_with_their_sign(score, expected):
    assert show_score(score) == expected


def test_marks_tell_the_sign_without_colour():
    tags = [attributes["style"] for tag, attributes in Balanced(marked_text(made_up())).tags if tag == "span"]
    assert len(tags) == 2 and "solid" in tags[0] and "wavy" in tags[1]  # the weak word stays plain
    assert "".join(Balanced(marked_text(made_up())).words) == "good cold the"


def test_equal_zeros_are_plain():
    assert marked_text(made_up(scores=(0.0, 0.0, 0.0))) == "good cold the"


def test_html_has_headings_for_its_table_and_the_numbers():
    page = Balanced(explanation_html(made_up()))
    names = [tag for tag, _ in page.tags]
    assert names.count("table") == names.count("caption") == 1
    assert all(attributes.get("scope") in ("row", "col") for tag, attributes in page.tags if tag == "th")
    assert "+0.50" in page.words and "\u22120.25" in page.words
    assert "Expected stars 3.80; 3.54 for an empty text of [MASK] tokens." in page.words[0]


ATTACKS = ["<script>steal()</script>", '" onmouseover="steal()" x="', "</span></blockquote></div><script>x</script>",
           "<img src=x onerror=steal()>", "&lt;script&gt;", "--><svg onload=steal()>", "\0 null", "a-b --"]


@pytest.mark.parametrize("attack", ATTACKS)
def test_attacks_stay_text(attack):
    page = Balanced(explanation_html(made_up(words=(attack, attack, "x"))))
    assert {tag for tag, _ in page.tags} <= {"div", "p", "blockquote", "span", "table", "caption", "thead", "tbody",
                                             "tr", "th", "td"}
    assert not any(name.startswith("on") for _, attributes in page.tags for name in attributes)
    shown = attack.replace("\0", "\ufffd")
    assert "".join(page.words).count(shown) == 4  # twice in the text, twice in the table


def test_a_table_of_many_words_is_cut():
    words = tuple(f"w{i}" for i in range(40))
    table = words_table(made_up(words=words, scores=np.linspace(-1, 1, 40)), 8)
    assert table.count("<tr>") == 1 + 8


def test_plot_adds_up_and_takes_axes():
    ax = Figure().subplots()
    words = tuple(f"w{i}" for i in range(20))
    found = made_up(words=words, scores=tuple(np.linspace(-1, 0.9, 20)))
    assert plot_explanation(found, ax, n=5) is ax
    assert [label.get_text() for label in ax.get_yticklabels()][-1] == "15 other words"
    assert sum(bar.get_width() for bar in ax.patches) == pytest.approx(sum(found.scores))
    assert [bar.get_width() > 0 for bar in ax.patches[:5]] == sorted(
        [bar.get_width() > 0 for bar in ax.patches[:5]], reverse=True)


def test_plot_takes_the_current_axes_and_any_word():
    figure, ax = plt.subplots()
    try:
        assert plot_explanation(made_up(words=("$5 $", "a\nb", "x" * 90))) is ax
        labels = [label.get_text() for label in ax.get_yticklabels()]
        figure.canvas.draw()  # a dollar sign is no formula
        assert "$5 $" in labels and r"a\nb" in labels and max(map(len, labels)) <= 24
    finally:
        plt.close(figure)


def test_plot_of_nothing():
    ax = Figure().subplots()
    assert plot_explanation(made_up(words=(), scores=()), ax) is ax and not ax.patches
