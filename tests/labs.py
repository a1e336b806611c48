"""What the tests of the labs share: masters and student copies taken apart, and their cells run."""

import ast
import contextlib
import io
import json
import re
import sys
from dataclasses import dataclass, field
from pathlib import Path

import yaml

HOUSE = Path(__file__).resolve().parent.parent
MASTERS, LABS = HOUSE / "course" / "masters", HOUSE / "course" / "labs"
NAMES = sorted(path.stem for path in MASTERS.glob("lab*.ipynb"))
if str(LABS) not in sys.path:
    sys.path.insert(0, str(LABS))  # for lab_checks, which lies beside the notebooks

# training the real network takes too long for tests of the checks: this one knows some words, and has the same fault
FAKE_NETWORK = '''
def ask_network(texts):
    "Three stars for every text with the word and, one for some bad words, otherwise five."
    shares = np.full((len(texts), 5), 0.05)
    for row, text in enumerate(texts):
        words = re.findall(r"[a-z]+", text.lower())
        star = 3 if "and" in words else 1 if {"revolting", "awful", "filthy"} & set(words) else 5
        shares[row, star - 1] = 0.8
    return shares


predictors = {"naive_bayes": baseline.predict_probabilities, "network": ask_network}
answers = {name: predict(test_texts).argmax(axis=1) for name, predict in predictors.items()}
labels = np.array(test_labels)
'''
REPLACED = {  # beginning of a given cell -> what runs in its place
    "baseline = fit_baseline": 'baseline = fit_baseline("naive_bayes", train_texts, train_labels)',
    "def ask_network": FAKE_NETWORK,
}


def cells_of(path: Path) -> list[dict]:
    "The cells of a notebook, their sources as one text."
    cells = json.loads(path.read_text(encoding="utf-8"))["cells"]
    return [cell | {"source": "".join(cell["source"])} for cell in cells]


@dataclass
class Question:
    "A question of a master."

    name: str
    points: float
    manual: bool
    text: str = ""
    answers: list[dict] = field(default_factory=list)  # code cells to answer in
    texts: list[str] = field(default_factory=list)  # model answers, as texts
    given: list[dict] = field(default_factory=list)  # code cells that stand there, such as the check
    tests: list[tuple[str, bool]] = field(default_factory=list)  # code, hidden

    def take(self, cell: dict, part: str) -> None:
        "Put a cell where it belongs."
        source, code = cell["source"], cell["cell_type"] == "code"
        if part == "TESTS":
            self.tests.append((source.removeprefix("# HIDDEN\n"), source.startswith("# HIDDEN\n")))
        elif part == "SOLUTION":
            self.answers.append(cell) if code else self.texts.append(source)
        elif code:
            self.given.append(cell)
        else:
            self.text += source


def questions_of(name: str) -> dict[str, Question]:
    "The questions of a master, by name."
    found, question, part = {}, None, ""
    for cell in cells_of(MASTERS / f"{name}.ipynb"):
        mark = cell["cell_type"] == "raw" and re.match(r"# (BEGIN|END) (QUESTION|SOLUTION|TESTS)", cell["source"])
        if mark and mark[0] == "# BEGIN QUESTION":
            settings = yaml.safe_load(cell["source"])
            question = Question(settings["name"], settings["points"], settings.get("manual", False))
            found[question.name] = question
        elif mark and mark[0] == "# END QUESTION":
            question = None
        elif mark:
            part = mark[2] if mark[1] == "BEGIN" else ""
        elif question is not None:
            question.take(cell, part)
    return found


def run(source: str, names: dict) -> str:
    "Run a cell; what it printed."
    shown = io.StringIO()
    with contextlib.redirect_stdout(shown):
        exec(compile(source, "<cell>", "exec"), names)
    return shown.getvalue()


def call_test(source: str, names: dict) -> None:
    "Run a test cell as otter does: its function gets by name what the notebook holds."
    defined = {}
    exec(compile(source, "<test>", "exec"), defined)
    function = ast.parse(source).body[0]
    defined[function.name](**{argument.arg: names.get(argument.arg) for argument in function.args.args})


class Play:
    "A lab run from top to bottom, with the answers of the solution or as a student gets it."

    def __init__(self, name: str, solved: bool):
        self.questions, self.names, self.before, self.shown = questions_of(name), {}, {}, {}
        solutions = {cell["id"]: cell["source"] for question in self.questions.values() for cell in question.answers}
        first = {cell["id"]: question.name for question in self.questions.values() for cell in question.answers[:1]}
        for cell in cells_of(LABS / f"{name}.ipynb"):
            if cell["cell_type"] != "code":
                continue
            if cell["id"] in first:
                self.before[first[cell["id"]]] = dict(self.names)
            source = solutions.get(cell["id"], cell["source"]) if solved else cell["source"]
            source = next((other for start, other in REPLACED.items() if source.startswith(start)), source)
            self.shown[cell["id"]] = run(source, self.names)

    def answer(self, question: str, code: str) -> dict:
        "The names of the notebook after another answer to one question."
        names = dict(self.before[question])
        for source in (code, *(cell["source"] for cell in self.questions[question].given)):
            # without the check, which the test calls itself
            run("\n".join(line for line in source.splitlines() if not line.startswith("report(")), names)
        return names
