"""The report: complete, harmless, readable by eyes and by programs, and the same each time."""
import re
import shutil
import subprocess
from base64 import b64encode
from hashlib import sha256
from html.parser import HTMLParser
from importlib.resources import files
from xml.etree import ElementTree

import numpy as np
import pytest
from conftest import ENTRY, PAIR
from hypothesis import given
from hypothesis import strategies as st
from matplotlib.figure import Figure

import yelp_tl.report as report
from yelp_tl.data import clean_text
from yelp_tl.errors import Slice, error_slices, list_mistakes
from yelp_tl.evaluation import compare_pair, score
from yelp_tl.explanation import Explanation, explanation_html
from yelp_tl.report import (
    COST,
    Column,
    answer_sentence,
    best_models,
    confusion_svg,
    describe_confusion,
    epochs_section,
    epochs_table,
    explained_card,
    find_pair,
    flatten,
    folded_text,
    models_table,
    pairs_table,
    plain_sentence,
    plot_accuracies,
    plot_epochs,
    probability_strip,
    ranking,
    read_pair,
    show,
    show_interval,
    show_p,
    show_seconds,
    simulated_sentence,
    slices_table,
    words_section,
    write_report,
)

VOID = {"meta", "br", "img", "link", "input", "hr"}
NASTY = ['<script>alert("1")</script>', "\"quoted\" & 'single' <b>bold</b>", "</blockquote></article></main>",
         "&lt;&amp;",
         "null \0 byte", "line\\nbreak and \\\"quote\\\"", "\u202eright to left", "<img src=x onerror=alert(1)>",
         "long " * 200 + "</details><script>late()</script>", "☃ \U0001f600 é $title ${answer}",
         "\ud800 lone surrogate", ""]


class Page(HTMLParser):
    "Reads a page, checks that tags are balanced, and keeps what the tests ask for."

    def __init__(self, html):
        super().__init__(convert_charrefs=True)
        self.open, self.tags, self.words = [], [], []
        self.feed(html)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag, attributes):
        names = [name for name, _ in attributes]
        assert len(names) == len(set(names)), (tag, names)
        self.tags.append((tag, dict(attributes)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attributes):
        self.tags.append((tag, dict(attributes)))

    def handle_endtag(self, tag):
        assert self.open and self.open[-1] == tag, (tag, self.open)
        self.open.pop()

    def handle_data(self, data):
        if self.open and self.open[-1] not in ("style", "script"):
            self.words.append(data)

    def named(self, tag):
        return [attributes for name, attributes in self.tags if name == tag]

    @property
    def text(self):
        return "".join(self.words)


def made_up(names, n=24, seed=0, epochs=True):
    "Results, labels and probabilities of a run with these models, better and better."
    rng = np.random.default_rng(seed)
    labels = np.arange(n) % 5
    probabilities, models = {}, {}
    for strength, name in enumerate(names):
        raw = rng.random((n, 5)) + 0.15 * strength * np.eye(5)[labels]
        probabilities[name] = raw / raw.sum(axis=1, keepdims=True)
        models[name] = score(labels, probabilities[name]) | {
            "fit_seconds": 1.5, "predict_seconds": 0.01, "parameters_trained": 22_700_000, "tokens_computed": None}
    if epochs and "fine_tuned" in names:
        models["fine_tuned"]["epochs"] = [
            {"epoch": float(i), "train_loss": 1.5 / i, "scored_on": "validation", "n": 50, "loss": 1.2, "accuracy": 0.5,
             "accuracy_interval": [0.4, 0.6], "within_one": 0.9, "mae": 0.6, "quadratic_weighted_kappa": 0.7,
             "macro_f1": 0.5} for i in (1, 2, 3)]
    predictions = {name: found.argmax(axis=1) for name, found in probabilities.items()}
    pairs = [compare_pair(labels, predictions, b, a, seed=1) for a, b in zip(names, names[1:], strict=False)]
    results = {"schema": 1, "command": 'yelp_tl compare --data "a&b.csv"',
               "config": {"seed": 42, "preset": None, "training": {"learning_rate": 1e-4, "grouped": True}},
               "data": {"source": "a&b.csv", "revision_or_sha256": "ab" * 32, "n_test": n,
                        "label_counts": {"train": [1, 2, 3, 4, 5], "test": [5, 5, 5, 5, 4]}},
               "environment": {"versions": {"torch": "2.13.0"}, "device": "cpu", "precision": None},
               "models": models, "pairs": pairs}
    return results, labels, probabilities


ALL = ["majority", "naive_bayes", "logistic_regression", "frozen_features", "fine_tuned"]


def explained(text, probabilities, **changes):
    "An explanation of a text by hand: its words up and down in turn."
    spans = tuple((found.start(), found.end()) for found in re.finditer(r"\S+", text))
    scores = tuple((0.6, -0.4, 0.01)[number % 3] / (1 + number) for number in range(len(spans)))
    stars = float(probabilities @ np.arange(1, 6))
    fields = {"text": text, "spans": spans, "scores": scores, "probabilities": tuple(probabilities.tolist()),
              "stars": stars, "empty_stars": stars - sum(scores), "baseline": "mask", "gap": 0.001, "tolerance": 0.02,
              "steps": 32, "read_until": len(text)}
    return Explanation(**fields | changes)


def write(folder, names=ALL, texts=None, explain=True, **settings):
    results, labels, probabilities = made_up(names, **settings)
    texts = [f"text {i}" for i in range(len(labels))] if texts is None else texts
    found = {row: explained(texts[row], probabilities["fine_tuned"][row]) for row in (0, 5, 13)
             } if explain and "fine_tuned" in names else None
    return write_report(folder, results, labels, probabilities, texts, np.arange(len(labels)) + 1000, found)


@pytest.fixture(scope="module")
def path(tmp_path_factory):
    texts = (NASTY * 2)[:24]
    return write(tmp_path_factory.mktemp("run") / "new" / "folder", texts=texts)


@pytest.fixture(scope="module")
def html(path):
    return path.read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def page(html):
    return Page(html)


def test_page_has_one_of_everything_it_needs(page):
    tags = [name for name, _ in page.tags]
    assert [tags.count(tag) for tag in ("html", "head", "title", "body", "header", "h1", "main", "footer")] == [1] * 8
    assert page.named("html")[0]["lang"] == "en"
    assert {"name": "viewport", "content": "width=device-width, initial-scale=1"} in page.named("meta")
    assert "$" not in page.text.replace("$title ${answer}", "")


SCRIPT = files("yelp_tl").joinpath("report_table.js").read_text(encoding="utf-8")


def test_page_fetches_nothing_and_runs_one_script_of_ours(html, page):
    # no address with or without a scheme
    assert "//" not in re.sub(r'"data:image/png;base64,[^"]+"|\'sha256-[^\']+\'', "", html)
    assert not {"link", "iframe", "object", "embed", "base", "form"} & {name for name, _ in page.tags}
    assert re.findall(r"<script\b(.*?)>(.*?)</script>", html, flags=re.S) == [("", SCRIPT)]
    for name, attributes in page.tags:
        assert not any(key.startswith("on") for key in attributes), (name, attributes)
        for key in ("src", "href", "action", "data"):
            value = attributes.get(key, "#")
            assert value.startswith("#") or (name == "image" and value.startswith("data:image/png")), (name, value)
    style = re.search(r"<style>(.*?)</style>", html, flags=re.S).group(1)
    assert "url(" not in style and "@import" not in style


def test_policy_of_the_page_forbids_all_other_scripts(page):
    policy = next(meta["content"] for meta in page.named("meta") if meta.get("http-equiv"))
    parts = dict(part.strip().split(" ", 1) for part in policy.split(";"))
    digest = b64encode(sha256(SCRIPT.encode()).digest()).decode()
    assert parts["default-src"] == "'none'" and parts["script-src"] == f"'sha256-{digest}'"


def test_script_writes_no_html_and_asks_no_server():
    forbidden = ("innerHTML", "outerHTML", "insertAdjacentHTML", "document.write", "eval", "Function(", "fetch",
                 "XMLHttpRequest", "import(", "localStorage", "cookie", "</", "<!--", "$", "`")
    assert [word for word in forbidden if word in SCRIPT] == []


@pytest.mark.parametrize("texts", [NASTY[:6], NASTY[6:]])
def test_strange_texts_stay_text(texts, tmp_path):
    "Every row is wrong, so every text is shown; it is read back as it was and makes no tag."
    results, labels, _ = made_up(["naive_bayes"], n=len(texts))
    wrong = {"naive_bayes": np.eye(5)[(labels + 1) % 5]}
    page = Page(write_report(tmp_path, results, labels, wrong, texts, range(len(texts))).read_text(encoding="utf-8"))
    assert not {"img", "b"} & {name for name, _ in page.tags} and len(page.named("script")) == 1
    assert len(page.named("blockquote")) == len(texts)
    readable = {"null \0 byte": "null \ufffd byte", "\ud800 lone surrogate": "? lone surrogate",
                "line\\nbreak and \\\"quote\\\"": 'line\nbreak and "quote"'}
    for text in texts:
        assert readable.get(text, text) in page.text


OWNED = "document.title='owned';document.body.dataset.owned='1'"
ATTACKS = [
    f"<script>{OWNED}</script>", f'<img src="x" onerror="{OWNED}">', f"</script></style><script>{OWNED}</script>",
    f"--><svg onload={OWNED}>\u2028<script>{OWNED}</script>", f"<<script\n>{OWNED}//<</script\n>",
    f'" onmouseover="{OWNED}" x="', f"<iframe srcdoc='<script>{OWNED}</script>'></iframe>",
    f"</blockquote></article></main></body></html></title></svg><script>{OWNED}</script>",
    f"<a href=javascript:{OWNED}>javascript:{OWNED}</a>", f"&lt;script&gt;{OWNED}&lt;/script&gt; {{{{7*7}}}} ${{7*7}}",
    f"</td></tr></tbody></table></div><script>{OWNED}</script>", f"</summary></details><details ontoggle={OWNED} open>",
    f"</span></mark><math><mtext></table><img src=x onerror={OWNED}>", f"</option></select><svg onload={OWNED}>",
    f"</script><!--<script>{OWNED}</script>-->", f"5 stars\" data-column=\"equal\" onclick=\"{OWNED}",
]


def write_attacked(folder):
    "A report in which every review and every name is an attack."
    results, labels, _ = made_up(["naive_bayes", "fine_tuned"], n=len(ATTACKS))
    wrong = dict.fromkeys(results["models"], np.eye(5)[(labels + 1) % 5])
    for number, part in enumerate((results, results["config"], results["data"], results["environment"])):
        part |= {key: ATTACKS[number] for key, value in part.items() if isinstance(value, str | None)}
    results["config"][ATTACKS[0]] = results["environment"]["versions"][ATTACKS[1]] = ATTACKS[2]
    results["data"]["source"] = "<script>a.csv\u2028"
    found = {row: explained(text, wrong["fine_tuned"][row], read_until=len(text) // 2 if row % 2 else len(text))
             for row, text in enumerate(ATTACKS)}
    return write_report(folder, results, labels, wrong, ATTACKS, range(len(labels)), found)


def names_of_tags(html):
    "Names of all elements of a page, and of all their attributes."
    found, attributes = set(), set()
    parser = HTMLParser()
    parser.handle_starttag = lambda tag, pairs: (found.add(tag), attributes.update(name for name, _ in pairs))
    parser.feed(html)
    parser.close()
    return found, attributes


def test_attacks_make_no_element_and_no_attribute(html, tmp_path):
    attacked = write_attacked(tmp_path).read_text(encoding="utf-8")
    expected, attributes = names_of_tags(html)
    found, more = names_of_tags(attacked)
    assert found <= expected | {"strong"} and more <= attributes
    assert not {"img", "iframe"} & found and not any(name.startswith("on") for name in more)
    page = Page(attacked)
    assert len(page.named("script")) == 1 and SCRIPT in attacked
    assert all(page.text.count(attack) >= 1 for attack in ATTACKS)


CHROMIUM = next(filter(None, map(shutil.which, ["chromium", "chromium-browser", "google-chrome", "chrome"])), None)


@pytest.mark.slow
@pytest.mark.skipif(CHROMIUM is None, reason="needs Chromium or Chrome on the PATH")
@pytest.mark.parametrize("policy", [True, False])
def test_a_real_browser_runs_no_attack(policy, tmp_path):
    "With the page's own policy against scripts, and without it: the texts are escaped, too."
    path, clean = write_attacked(tmp_path), write(tmp_path / "clean", ["naive_bayes", "fine_tuned"])
    for page in (path, clean):
        text = page.read_text(encoding="utf-8")
        page.write_text(text if policy else re.sub(r"<meta http-equiv[^>]+>", "", text, count=1), encoding="utf-8")
    control = tmp_path / "control.html"
    control.write_text(f"<title>fine</title><body>{ATTACKS[0]}", encoding="utf-8")
    shown, owned, harmless = (open_in_browser(page, tmp_path) for page in (path, control, clean))
    assert "<title>owned</title>" in owned  # so that an attack would be seen
    assert "<title>From reviews to stars" in shown and "data-owned" not in shown
    assert "16 of 16 rows shown" in shown  # our own script ran
    (expected, attributes), (found, more) = names_of_tags(harmless), names_of_tags(shown)
    assert found <= expected | {"strong", "details", "summary"} and more <= attributes
    assert all(attack in Page(shown).text for attack in ATTACKS)


@pytest.mark.slow
@pytest.mark.skipif(CHROMIUM is None, reason="needs Chromium or Chrome on the PATH")
def test_a_real_browser_sorts_and_filters(tmp_path):
    "A script of the test presses what a reader would press, and notes the rows that are shown."
    page = write(tmp_path, ["naive_bayes"], texts=[f"text {i} " + "word " * i for i in range(24)])
    plain = re.sub(r"<meta http-equiv[^>]+>", "", page.read_text(encoding="utf-8"), count=1)
    steps = """<script>
    const rows = () => [...document.querySelectorAll("table.browse tbody tr")].filter((row) => !row.hidden)
      .map((row) => [0, 1, 6].map((place) => row.cells[place].textContent).join(":")).join(" ");
    const note = (name) => { document.body.dataset[name] = rows(); };
    const set = (place, value) => {
      const one = document.querySelectorAll(".filters select, .filters input")[place];
      one.value = value; one.dispatchEvent(new Event("input")); };
    const press = () => document.querySelectorAll("table.browse thead button")[6].click();
    note("start"); press(); note("down"); press(); note("up");
    set(0, "3"); note("threes"); set(0, ""); set(4, "TEXT 1"); note("found"); set(4, "");
    note("all");
    </script></body>"""
    page.write_text(plain.replace("</body>", steps), encoding="utf-8")
    body = next(attributes for name, attributes in Page(open_in_browser(page, tmp_path)).tags if name == "body")
    seen = {name: [row.split(":") for row in re.findall(r"\d+:\d stars?:\d+", body[f"data-{name}"])]
            for name in ("start", "down", "up", "threes", "found", "all")}
    words = {name: [int(row[2]) for row in rows] for name, rows in seen.items()}
    assert len(words["start"]) > 5 and words["down"] == sorted(words["start"], reverse=True)
    assert words["up"] == words["all"] == sorted(words["start"])
    assert seen["threes"] == [row for row in seen["up"] if row[1] == "3 stars"] != []
    assert [int(row[0]) - 1000 for row in seen["found"]] == [
        int(row[0]) - 1000 for row in seen["up"] if row[0] == "1001" or row[0] >= "1010" and row[0] < "1020"]


def open_in_browser(path, folder):
    "The page as a browser has it after its scripts ran."
    done = subprocess.run(
        [CHROMIUM, "--headless", "--no-sandbox", "--disable-gpu", "--disable-background-networking",
         "--disable-component-update", "--disable-sync", "--no-first-run", f"--user-data-dir={folder / 'profile'}",
         "--virtual-time-budget=3000", "--dump-dom", path.as_uri()],
        capture_output=True, text=True, encoding="utf-8", timeout=120)
    assert done.returncode == 0, done.stderr
    return done.stdout


@given(st.text())
def test_clean_text_is_read_back_as_it_was(text):
    read = []
    parser = HTMLParser(convert_charrefs=True)
    parser.handle_starttag = parser.handle_startendtag = lambda *_: pytest.fail("a tag got through")
    parser.handle_data = read.append
    parser.feed(clean_text(text))
    parser.close()
    expected = text.replace("\0", "\ufffd").encode("utf-8", "replace").decode()
    assert "".join(read) == expected
    assert '"' not in clean_text(text) and "'" not in clean_text(text)


def test_every_picture_has_a_text_and_a_caption(page):
    pictures = page.named("svg")
    assert len(pictures) == len(page.named("figure")) == len(page.named("figcaption")) == 1 + 5 + 2 + 1
    assert all(picture["role"] == "img" and len(picture["aria-label"]) > 40 for picture in pictures)
    assert len({picture["aria-label"] for picture in pictures}) == len(pictures)


def test_ids_are_unique_and_references_lead_somewhere(html, page):
    ids = [attributes["id"] for _, attributes in page.tags if "id" in attributes]
    assert len(ids) == len(set(ids))
    wanted = re.findall(r'href="#([^"]+)"|url\(#([^)]+)\)|aria-labelledby="([^"]+)"', html)
    assert wanted and {a or b or c for a, b, c in wanted} <= set(ids)


def test_tables_have_captions_and_scopes(page):
    assert len(page.named("caption")) == len(page.named("table"))
    assert all(heading.get("scope") in ("row", "col") for heading in page.named("th"))
    boxes = [attributes for attributes in page.named("div") if "scroll" in attributes.get("class", "")]
    assert boxes and all(box["tabindex"] == "0" and box["aria-label"] for box in boxes)


def test_rows_of_tables_are_equally_long(html):
    for table in re.findall(r"<table.*?</table>", html, flags=re.S):
        assert len({len(re.findall(r"<t[hd]\b", row)) for row in re.findall(r"<tr\b.*?</tr>", table, flags=re.S)}) == 1


def test_headings_do_not_skip_a_level(page):
    levels = [int(name[1]) for name, _ in page.tags if re.fullmatch("h[1-6]", name)]
    assert levels[0] == 1 and all(after - before <= 1 for before, after in zip(levels, levels[1:], strict=False))


def test_nothing_measured_is_a_dash_never_none(page):
    assert "None" not in page.text and "nan" not in page.text.split()
    computed = page.text[page.text.index("Computed tokens"):]
    assert "–" in computed[:300]


def test_plots_are_files_that_open(path):
    plots = sorted((path.parent / "plots").iterdir())
    assert [plot.name for plot in plots] == sorted(
        ["accuracy.svg", "accuracy_fine_tuned.svg", "loss_fine_tuned.svg", "slices.svg",
         *(f"confusion_{name}.svg" for name in ALL)])
    for plot in plots:
        root = ElementTree.fromstring(plot.read_bytes())
        assert root.tag.endswith("svg") and root.get("aria-label")
        assert any(element.tag.endswith("text") for element in root.iter())  # text is text, not outlines
        assert b"<dc:date>" not in plot.read_bytes()


def test_same_run_same_bytes(path, tmp_path):
    other = write(tmp_path, texts=(NASTY * 2)[:24])
    assert other.read_bytes() == path.read_bytes()
    for plot in (path.parent / "plots").iterdir():
        assert (tmp_path / "plots" / plot.name).read_bytes() == plot.read_bytes()


@pytest.mark.parametrize("names", [["majority"], ["naive_bayes", "fine_tuned"], ["majority", "naive_bayes"]])
def test_a_part_of_the_models_will_do(names, tmp_path):
    page = Page(write(tmp_path, names, epochs=False).read_text(encoding="utf-8"))
    assert len(page.named("svg")) == 1 + len(names) + 1
    assert "No model of this run was trained in epochs." in page.text
    assert ("Frozen features" in page.text) is False
    assert ("No two models were compared" in page.text) is (len(names) == 1)


def test_half_empty_results_will_do(tmp_path):
    results, labels, probabilities = made_up(["naive_bayes", "fine_tuned"])
    for key in ("pairs", "config", "data", "environment", "command"):
        results.pop(key)
    results["models"]["fine_tuned"]["epochs"] = [{"epoch": 1, "train_loss": 1.0, "scored_on": None, "loss": None}]
    results["models"]["naive_bayes"]["epochs"] = None
    results["models"]["ceiling"] = score(labels, np.eye(5)[labels])
    page = Page(write_report(tmp_path, results, labels, probabilities, ["x"] * 24, range(24))
                .read_text(encoding="utf-8"))
    assert "epoch by epoch, scored on no rows" in page.text and "Ceiling" in page.text


def test_no_mistake_no_card(tmp_path):
    results, labels, _ = made_up(["fine_tuned"])
    page = Page(write_report(tmp_path, results, labels, {"fine_tuned": np.eye(5)[labels]}, ["x"] * 24, range(24))
                .read_text(encoding="utf-8"))
    assert "made no mistake" in page.text and not page.named("article")
    assert not [table for table in page.named("table") if table.get("class") == "browse"]


def test_rows_that_do_not_belong_together_are_refused(tmp_path):
    results, labels, probabilities = made_up(["majority"])
    with pytest.raises(ValueError, match="same length.*'texts': 3"):
        write_report(tmp_path, results, labels, probabilities, ["x"] * 3, range(24))
    assert list(tmp_path.iterdir()) == []


def test_mistakes_show_source_rows_and_the_whole_text(tmp_path):
    texts = [f"start{i} " + "word " * 100 + f"end{i}" for i in range(24)]
    results, labels, probabilities = made_up(["naive_bayes"])
    html = write_report(tmp_path, results, labels, probabilities, texts, np.arange(24) + 1000).read_text("utf-8")
    worst = list_mistakes(texts, labels, probabilities["naive_bayes"])
    rows = re.findall(r'<tr role="row"><th role="rowheader" scope="row">(\d+)</th>(.*?)</tr>', html, flags=re.S)
    assert [int(row) for row, _ in rows] == [1000 + one.row for one in worst]
    for one, (_, cells) in zip(worst, rows, strict=True):
        shown = re.findall(r'<td role="cell">(.*?)</td>', cells)
        assert int(shown[0][0]) - 1 == one.label and int(shown[1][0]) - 1 == one.predicted
        assert shown[2:] == [str(one.distance), f"{one.confidence:.1%}", f"{one.loss:.2f}", "102", "–"]
        assert f"end{one.row}" in cells
    assert f"All {len(worst)} wrong predictions of Naive Bayes" in Page(html).text


def test_a_long_list_of_mistakes_is_cut_and_says_so(tmp_path, monkeypatch):
    monkeypatch.setattr(report, "MISTAKES_SHOWN", 4)
    html = write(tmp_path, ["naive_bayes"]).read_text("utf-8")
    assert html.count('<tr role="row"><th role="rowheader"') == 4
    assert re.search(r"The 4 of \d+ wrong predictions of Naive Bayes with the largest loss", Page(html).text)


def test_rows_that_all_models_agree_against_are_marked(tmp_path):
    results, labels, _ = made_up(["majority", "naive_bayes", "fine_tuned"])
    wrong = np.eye(5)[np.where(np.arange(24) < 3, (labels + 2) % 5, labels)]
    probabilities = {"majority": np.eye(5)[[0] * 24], "naive_bayes": wrong, "fine_tuned": wrong}
    page = write_report(tmp_path, results, labels, probabilities, ["x"] * 24, range(24)).read_text("utf-8")
    assert re.findall(r'<td role="cell">(yes|–)</td>', page) == ["yes"] * 3
    assert ("On 3 of 24 test reviews (12.5%, 95% interval 4.3% to 31.0%) all of Naive Bayes and Fine-tuned name the "
            "same star, and the label is another.") in Page(page).text


def test_one_model_that_reads_has_nobody_to_agree_with(tmp_path):
    assert "and the label is another" not in Page(write(tmp_path, ["majority", "naive_bayes"]).read_text("utf-8")).text


def test_slices_are_those_of_the_best_model(tmp_path):
    texts = ["not good but fine " * (1 + i) for i in range(24)]
    results, labels, probabilities = made_up(ALL)
    page = write_report(tmp_path, results, labels, probabilities, texts, range(24)).read_text("utf-8")
    slices = error_slices(texts, labels, probabilities[ranking(results)[0]])
    table = next(found for found in re.findall(r"<table.*?</table>", page, flags=re.S) if "Kinds of reviews" in found)
    rows = re.findall(r'<tr><th scope="row">(.*?)</th>(.*?)</tr>', table, flags=re.S)
    assert [name for name, _ in rows] == [f"{one.group}: {one.name}" for one in slices]
    for one, (_, cells) in zip(slices, rows, strict=True):
        assert show(one.accuracy) in cells and show_interval(one.interval) in cells and str(one.rows) in cells
    assert f"{slices[0].looks} comparisons were made" in Page(page).text


def test_rows_that_are_all_alike_have_no_slices(tmp_path):
    results, labels, probabilities = made_up(["naive_bayes"], n=1)
    page = write_report(tmp_path, results, labels, probabilities, ["x"], [0]).read_text("utf-8")
    assert "too few or too much alike" in Page(page).text and not (tmp_path / "plots" / "slices.svg").exists()


def test_explained_reviews_are_cards_with_words_and_numbers(html, page):
    articles = re.findall(r"<article.*?</article>", html, flags=re.S)
    assert len(articles) == len(page.named("article")) == 3
    assert all("Words that counted most" in article and "Expected stars" in article for article in articles)
    assert [re.search(r"Row (\d+) of the source", article)[1] for article in articles] == ["1000", "1005", "1013"]
    assert "Stars added" in page.text


@pytest.mark.parametrize("right", [True, False])
def test_a_card_says_whether_the_network_was_right(right):
    card = explained_card(explained("good food", np.eye(5)[4]), 7, 4 if right else 0)
    assert ("Rightly predicted 5 stars" in card) is right and ("Truly 1 star" in card) is not right
    assert ("predicted 5 stars</span>" in card)


def test_without_captum_the_report_says_how_to_get_it(tmp_path):
    page = Page(write(tmp_path, explain=False).read_text("utf-8"))
    assert 'pip install "yelp_tl[evidence]"' in page.text and not page.named("article")


def test_without_a_network_no_word_is_said_about_words(tmp_path):
    page = Page(write(tmp_path, ["majority", "naive_bayes"]).read_text("utf-8"))
    assert "Which words counted?" not in page.text and "Stars added" not in page.text


def test_no_review_could_be_explained():
    assert "No review of this run was explained" in words_section(np.array([]), np.array([]), {}).body


def run_of(accuracies, interval=None):
    models = {name: {"accuracy": value, "accuracy_interval": [value - 0.02, value + 0.02]}
              for name, value in accuracies.items()}
    names = list(accuracies)
    pairs = [] if interval is None else [{"a": names[0], "b": names[1], "interval": interval, "mcnemar_p": 0.5,
                                          "accuracy_difference": accuracies[names[0]] - accuracies[names[1]]}]
    return {"models": models, "pairs": pairs}


def test_answer_names_winner_amount_interval_and_rows():
    answer = answer_sentence(run_of({"fine_tuned": 0.55, "naive_bayes": 0.43}, [0.1, 0.14]), 3000)
    assert answer == ("Fine-tuned won: on 3,000 test reviews its accuracy is 0.550, which is 0.120 more than "
                      "Naive Bayes, the next best (95% interval 0.100 to 0.140).")


def test_answer_does_not_depend_on_the_direction_of_the_pair():
    answer = answer_sentence(run_of({"naive_bayes": 0.43, "fine_tuned": 0.55}, [-0.14, -0.1]), 3000)
    assert "Fine-tuned won" in answer and "0.100 to 0.140" in answer


@pytest.mark.parametrize("interval", [[-0.01, 0.05], [0.0, 0.05], [-0.02, 0.0]])
def test_answer_claims_no_winner_where_the_interval_includes_zero(interval):
    answer = answer_sentence(run_of({"fine_tuned": 0.45, "naive_bayes": 0.43}, interval), 100)
    assert "too close to call" in answer and "won" not in answer


def test_answer_without_pairs_and_ceiling_never_wins():
    results = run_of({"naive_bayes": 0.43, "ceiling": 0.7})
    assert ranking(results) == ["naive_bayes"]
    assert answer_sentence(results, 10).startswith("Naive Bayes reached the accuracy 0.430 on 10 test reviews (95%")
    assert plain_sentence(results) == ""


def test_plain_sentence_names_naive_bayes_once():
    sentence = plain_sentence(run_of({"fine_tuned": 0.55, "naive_bayes": 0.43}, [0.1, 0.14]))
    assert sentence == ("Of every 100 reviews, Fine-tuned gets right about 12.0 more than Naive Bayes "
                        "(between 10.0 and 14.0).")


@pytest.mark.parametrize("interval, words", [
    ([-0.0123, 0.0525], "between 1.2 fewer and 5.2 more"), ([0.0, 0.0525], "between 0.0 fewer and 5.2 more"),
    ([-0.0123, 0.0], "between 1.2 fewer and 0.0 more"), ([0.004, 0.0525], "about 2.0 more")])
def test_plain_sentence_says_more_only_where_it_is_certain(interval, words):
    sentence = plain_sentence(run_of({"fine_tuned": 0.45, "naive_bayes": 0.43}, interval))
    assert sentence.startswith(f"Of every 100 reviews, Fine-tuned gets right {words} than Naive Bayes")
    assert ("about" in sentence) is (interval[0] > 0)


def test_a_pair_is_named_in_the_order_of_its_difference():
    html = pairs_table({"pairs": [PAIR]}, 20)
    assert '<th scope="row">Fine-tuned minus Naive Bayes</th>' in html
    assert re.findall(r'class="number">(.*?)<', html) == ["0.200", "0.100 to 0.300", "0.010"]


def test_the_better_of_a_pair_is_named():
    said = [read_pair(PAIR | {"interval": interval}).partition(":")[0] for interval in (
        [0.1, 0.3], [-0.3, -0.1], [0.0, 0.3], [-0.3, 0.0])]
    assert said == ["Fine-tuned is better", "Naive Bayes is better"] + ["Too close to call"] * 2


def test_pairs_and_epochs_say_which_rows_they_are_about(page):
    captions = [attributes["aria-label"] for attributes in page.named("div") if "aria-label" in attributes]
    assert "Differences on the same 24 test reviews" in captions
    assert "Fine-tuned, epoch by epoch, scored on validation (50 rows)" in captions
    assert "Loss on scored rows" in page.text and "differ this much or more by chance" in page.text


@pytest.mark.parametrize("scored_on", ["validation", "test, for reading"])
def test_figures_for_reading_are_explained_where_there_are_any(scored_on):
    results, _, _ = made_up(["fine_tuned"])
    for row in results["models"]["fine_tuned"]["epochs"]:
        row["scored_on"] = scored_on
    shown = epochs_section(results, {"loss_fine_tuned": "<svg ></svg>", "accuracy_fine_tuned": "<svg ></svg>"}).body
    assert ("were shown and used for no decision" in shown) is (scored_on == "test, for reading")


def test_simulated_reviews_are_called_so_and_the_ceiling_is_no_competitor():
    results = run_of({"fine_tuned": 0.55, "naive_bayes": 0.43, "ceiling": 0.7}, [0.1, 0.14])
    assert simulated_sentence(results) == ""
    results["data"] = {"simulated": True}
    sentence = simulated_sentence(results)
    assert sentence.startswith("These reviews are simulated: no figure on them is a figure about Yelp.")
    assert "0.700 (95% interval 0.680 to 0.720), 0.150 more than the best model" in sentence
    ax = plot_accuracies({"Fine-tuned": results["models"]["fine_tuned"]}, results["models"]["ceiling"],
                         Figure().subplots())
    assert [label.get_text() for label in ax.get_yticklabels()] == ["Fine-tuned"]
    assert ax.lines[-1].get_xdata()[0] == 0.7


def test_find_pair_turns_the_pair_round():
    results = run_of({"a": 0.5, "b": 0.4}, [0.05, 0.15])
    assert find_pair(results, "b", "a")[1] == [-0.15, -0.05]
    assert find_pair(results, "a", "c") is None


@pytest.mark.parametrize("value, expected", [(0.12345, "0.123"), (1234567, "1,234,567"), (None, "–"),
                                             (float("nan"), "–"), (-0.5, "−0.500"), (0, "0")])
def test_show(value, expected):
    assert show(value) == expected


def test_show_others():
    assert show_interval(None) == show_p(None) == show_seconds(None) == "–"
    assert [show_p(0.0009), show_p(0.001), show_p(1.0)] == ["below 0.001", "0.001", "1.000"]
    assert [show_seconds(0), show_seconds(0.1), show_seconds(99.94), show_seconds(1234.5)] == [
        "below 0.1", "0.1", "99.9", "1,234"]


def test_flatten_and_its_values():
    assert flatten({"a_b": {"c": {"d": True}}, "e": [1, None], "f": [], "g": 1e-5}) == [
        ("a b c d", "yes"), ("e", "1, –"), ("f", "–"), ("g", "1e-05")]


def test_best_models_knows_ties_gaps_and_directions():
    models = {"a": {"x": 1.0}, "b": {"x": 2.0}, "c": {"x": 2.0}, "d": {"x": None}, "e": {}, "ceiling": {"x": 9.0}}
    assert best_models(models, Column("x", "", better="high")) == {"b", "c"}
    assert best_models(models, Column("x", "", better="low")) == {"a"}
    assert best_models(models, Column("x", "")) == set()
    assert best_models({"a": {"x": 1.0}}, Column("x", "", better="low")) == set()
    with pytest.raises(ValueError, match="larger"):
        Column("x", "", better="larger")


def test_each_column_marks_its_own_best():
    models = {"majority": {"accuracy": 0.5, "mae": 0.4}, "fine_tuned": {"accuracy": 0.6, "mae": 0.7}}
    columns = (Column("accuracy", "Accuracy", better="high"), Column("mae", "MAE", better="low"))
    html = models_table("Quality", {"models": models}, columns)
    assert re.findall(r'<td class="best">(.*?)</td>', html) == ["0.400", "0.600"]


def row_under_headings(html):
    "Each row of a table as heading and figure."
    heads = re.findall(r'<th scope="col">(.*?)</th>', html)
    return [dict(zip(heads[1:], re.findall(r"<td.*?>(.*?)</td>", row), strict=True))
            for row in re.findall(r"<tr><th scope=\"row\">.*?</tr>", html)]


def test_each_column_of_the_epochs_has_its_figure():
    epoch = {"epoch": 1, "train_loss": 1.5, "loss": 1.2, **{key: ENTRY[key] for key in (
        "accuracy", "accuracy_interval", "within_one", "mae", "quadratic_weighted_kappa")}, "macro_f1": 0.45}
    row, = row_under_headings(epochs_table("fine_tuned", [epoch]))
    assert list(row.items()) == [
        ("Training loss", "1.500"), ("Loss on scored rows", "1.200"), ("Accuracy", "0.510"),
        ("95% interval", "0.410 to 0.610"), ("Within one star", "0.820"), ("Mean absolute error", "0.730"),
        ("Quadratic weighted kappa", "0.640"), ("Macro F1", "0.450")]


def test_each_column_of_the_slices_has_its_figure():
    one = Slice("words", "up to 9", 50, 200, 0.5, (0.4, 0.6), 1.25, 0.75, 0.2, (0.1, 0.3), (0.02, 0.4), 20)
    row, = re.findall(r'<tr><th scope="row">.*?</tr>', slices_table([one]))
    assert re.findall(r"<td.*?>(.*?)</td>", row) == [
        "50", "0.500", "0.400 to 0.600", "0.750", "1.25", "0.200", "0.100 to 0.300", "clearly better"]


def test_each_column_of_the_costs_has_its_figure():
    results = {"models": {"fine_tuned": ENTRY | {"parameters_trained": 7, "tokens_computed": 9}}}
    row, = row_under_headings(models_table("Cost", results, COST))
    assert row == {"Seconds to fit": "2.0", "Seconds to predict": "0.5", "Trained parameters": "7",
                   "Computed tokens": "9"}


def test_the_strip_runs_from_one_star_to_five():
    strip = probability_strip(np.array([0.01, 0.04, 0.05, 0.2, 0.7]), label=0)
    assert re.findall(r"<td.*?>(.*?)</td>", strip) == ["1.0%", "4.0%", "5.0%", "20.0%", "70.0%"]
    assert re.findall(r'<th scope="col" class="(.*?)">', strip) == ["true", "", "", "", "predicted"]


def test_describe_confusion_names_the_largest_mistake():
    matrix = np.diag([5, 5, 5, 5, 5])
    matrix[3, 4] = 4
    assert describe_confusion(matrix) == "25 of 29 right; most often 4 stars taken for 5 stars (4 reviews)."


def test_the_picture_of_mistakes_has_true_stars_in_rows():
    matrix = np.arange(25).reshape(5, 5)
    svg = confusion_svg("fine_tuned", matrix)
    shown = re.findall(r">(\d+)</text>", svg)
    assert "".join(map(str, range(25))) in "".join(shown)  # row by row, as in the matrix


def test_folded_text_cuts_at_a_word_and_keeps_all():
    text = "wonderful " * 60
    html = folded_text(text)
    Page(html)
    assert html.count("wonderful") == 60 + 27 and "wonderf " not in html
    assert "\n" in folded_text("one\\ntwo")


def test_folded_text_of_one_endless_word():
    Page(folded_text("x" * 5000))


def test_plot_epochs_without_scores():
    ax = plot_epochs([{"epoch": 1, "train_loss": 1.0}, {"epoch": 2, "train_loss": 0.5}], Figure().subplots())
    assert [line.get_label() for line in ax.lines] == ["training rows"]
    assert plot_epochs([{"epoch": 1, "train_loss": 1.0}], Figure().subplots(), "accuracy").get_title().startswith("Acc")


def test_intervals_belong_to_the_accuracy():
    epochs = [{"epoch": 1, "train_loss": 1.5, "loss": 1.2, "accuracy": 0.5, "accuracy_interval": [0.4, 0.6]}]
    drawn = {what: [line.get_ydata()[:].tolist() if hasattr(line.get_ydata(), "tolist") else list(line.get_ydata())
                    for line in plot_epochs(epochs, Figure().subplots(), what).lines]
             for what in ("loss", "accuracy")}
    assert drawn == {"loss": [[1.5], [1.2]], "accuracy": [[0.5], [0.4, 0.6]]}


def test_marked_words_have_enough_contrast():
    "The strongest colour behind a word, on a card by day and by night, and the line below against the card (3 to 1)."
    styles = [explanation_html(explained("up down", np.eye(5)[4], scores=(sign, 0.0))) for sign in (1.0, -1.0)]
    themes = re.findall(r":root \{(.*?)\}", files("yelp_tl").joinpath("report_template.html").read_text("utf-8"), re.S)
    for style in styles:
        red, green, blue, strength = re.search(r"rgba\((\d+), (\d+), (\d+), ([\d.]+)\)", style).groups()
        mark = [int(part) for part in (red, green, blue)]
        for theme in themes:
            colours = dict(re.findall(r"--(\w+): (#\w{6})", theme))
            card = [int(colours["card"][i:i + 2], 16) for i in (1, 3, 5)]
            behind = [round(float(strength) * one + (1 - float(strength)) * other)
                      for one, other in zip(mark, card, strict=True)]
            for ink, ground, least in ((colours["ink"], behind, 4.5), ("#{:02x}{:02x}{:02x}".format(*mark), card, 3)):
                light, dark = sorted([_luminance(ink), _luminance("#{:02x}{:02x}{:02x}".format(*ground))], reverse=True)
                assert (light + 0.05) / (dark + 0.05) >= least, (theme, ink, ground)


def test_template_is_package_data_and_made_for_dark_phones_and_paper():
    template = files("yelp_tl").joinpath("report_template.html").read_text(encoding="utf-8")
    for needed in ("prefers-color-scheme: dark", "@media print", "overflow-x: auto", "system-ui"):
        assert needed in template
    phone, paper = (template.index(media) for media in ("@media (max-width: 34rem)", "@media print"))
    assert "nth-child(n + 11 of :not([hidden]))" in template[paper:]
    assert ".browse, .browse tbody { display: block; }" in template[phone:paper]
    rows = ".models th:first-child, .pairs th:first-child { position: "
    assert rows + "sticky" in template[phone:paper] and rows + "static" in template[paper:]


def _luminance(colour):
    parts = [int(colour[i:i + 2], 16) / 255 for i in (1, 3, 5)]
    linear = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def test_colours_have_enough_contrast():
    "At least 4.5 to 1 (WCAG 2.2, 1.4.3) for every text colour on page and card, by day, by night and on paper."
    template = files("yelp_tl").joinpath("report_template.html").read_text(encoding="utf-8")
    themes = re.findall(r":root \{(.*?)\}", template, flags=re.S)
    assert len(themes) == 3
    for theme in themes:
        colours = dict(re.findall(r"--(\w+): (#\w{6})", theme))
        for text in ("ink", "quiet", "accent", "wrong", "right"):
            for ground in ("page", "card"):
                light, dark = sorted([_luminance(colours[text]), _luminance(colours[ground])], reverse=True)
                assert (light + 0.05) / (dark + 0.05) >= 4.5, (text, ground)


def test_a_tie_has_no_minus_zero():
    assert show(-0.0) == show(-0.0004) == show(0.0) == "0.000"
