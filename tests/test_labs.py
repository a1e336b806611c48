"""The labs: solutions pass, starters and wrong answers do not, and what students get holds no answer."""

import ast
import json
import re
import sys

import pytest
from lab_answers import WRONG
from labs import HOUSE, LABS, MASTERS, NAMES, Play, call_test, cells_of, questions_of

sys.path.insert(0, str(HOUSE / "course"))

import grade_labs  # noqa: E402
import make_labs  # noqa: E402

LAB = {name.split("_")[0]: name for name in NAMES}
EVERY_TASK = [(name, task) for name in NAMES for task, question in questions_of(name).items() if not question.manual]
each_lab = pytest.mark.parametrize("name", NAMES)
each_task = pytest.mark.parametrize(("name", "task"), EVERY_TASK, ids=[f"{lab[:4]}-{task}" for lab, task in EVERY_TASK])


@pytest.fixture(scope="module")
def play():
    "Labs that were run, each once with its solution and once as a student gets it."
    played = {}

    def once(name, solved):
        if (name, solved) not in played:
            played[name, solved] = Play(name, solved)
        return played[name, solved]

    return once


def failure(source, names):
    "What a test cell says of an answer; None if it passes."
    from lab_checks import CheckFailed

    try:
        call_test(source, names)
    except CheckFailed as found:
        return str(found)
    return None


# solution and starter


@each_task
def test_solution_passes_every_test(play, name, task):
    solved = play(name, True)
    for source, _ in solved.questions[task].tests:
        assert failure(source, solved.names) is None


@each_task
def test_starter_passes_no_test(play, name, task):
    starter = play(name, False)
    for source, _ in starter.questions[task].tests:
        assert failure(source, starter.names) is not None


@each_task
def test_check_in_the_notebook_agrees_with_the_test(play, name, task):
    for solved, word in ((True, "passed."), (False, "not yet.")):
        played = play(name, solved)
        shown = "".join(played.shown[cell["id"]] for cell in played.questions[task].given)
        assert word in shown
        assert ("not yet." if solved else "passed.") not in shown


# wrong answers


@pytest.mark.parametrize(("lab", "task", "words", "code"), WRONG, ids=[f"{lab}-{task}" for lab, task, *_ in WRONG])
def test_wrong_answer_gets_the_hint_that_is_meant_for_it(play, lab, task, words, code):
    solved, hidden = play(LAB[lab], True), code.startswith("# hidden")
    names = solved.answer(task, code)
    said = {is_hidden: failure(source, names) for source, is_hidden in solved.questions[task].tests}
    assert said[hidden] is not None and words in said[hidden]
    if hidden:
        assert said[False] is None, "the check that students see should let this one through"


@each_task
def test_each_task_has_three_wrong_answers_or_more(name, task):
    planted = [code for lab, about, _, code in WRONG if (LAB[lab], about) == (name, task)]
    assert len(planted) >= 3
    assert len({code.strip() for code in planted}) == len(planted)


def test_every_wrong_answer_is_one_to_a_task():
    assert {(LAB[lab], task) for lab, task, *_ in WRONG} == set(EVERY_TASK)


def test_hints_do_not_say_the_numbers_that_were_asked_for(play):
    asked = {("lab1", "guessing"): ["0.2", "0.6", "1.2"], ("lab3", "counts"): ["165", "1221", "1,221", "9765", "9,765"],
             ("lab4", "calibration"): ["0.54", "0.52"],
             ("lab3", "lora"): ["6144", "6912"], ("lab4", "near_misses"): ["0.96", "0.75"]}
    for lab, task, _, code in WRONG:
        if (lab, task) in asked:
            solved = play(LAB[lab], True)
            names = solved.answer(task, code)
            said = " ".join(failure(source, names) or "" for source, _ in solved.questions[task].tests)
            assert [number for number in asked[lab, task] if number in said.replace("always 3", "")] == [], said


# masters


def tables(name):
    "The table of tasks at the top of a lab: rows of cells."
    text = next(cell["source"] for cell in cells_of(LABS / f"{name}.ipynb") if "| task | form |" in cell["source"])
    lines = text.split("| task | form |")[1].splitlines()[2:]
    return [[each.strip() for each in line.strip("|").split("|")] for line in lines]


@each_lab
def test_table_of_tasks_agrees_with_the_questions(name):
    points = []
    for question in questions_of(name).values():
        if question.manual:  # the text that belongs to the task before
            points[-1] += f" + {question.points:g}"
        else:
            points.append(f"{question.points:g}")
    assert [row[3] for row in tables(name)] == points
    assert {row[1] for row in tables(name)} == {"predict", "fix a bug", "fill in", "free work"}


@each_lab
def test_each_task_names_its_objective_and_has_a_public_and_a_hidden_test(name):
    in_table = {number for row in tables(name) for number in re.findall(r"\b\d\.\d\b", row[2])}
    in_text = set(re.findall(r"\b\d\.\d\b", " ".join(re.findall(
        r"Objectives? ([\d. and]+)\.", "\n".join(cell["source"] for cell in cells_of(LABS / f"{name}.ipynb"))))))
    assert in_table == in_text
    for question in questions_of(name).values():
        assert sorted(hidden for _, hidden in question.tests) == ([] if question.manual else [False, True])
        assert question.texts if question.manual else question.answers


@each_lab
def test_every_objective_of_the_lecture_is_assessed(name):
    lecture, = (HOUSE / "nbs" / "course").glob(f"0{name[3]}_*.ipynb")
    text = "\n".join(cell["source"] for cell in cells_of(lecture))
    objectives = set(re.findall(r"^- \*\*(\d\.\d)\*\*", text, re.M))
    assert objectives
    assert objectives == {number for row in tables(name) for number in re.findall(r"\b\d\.\d\b", row[2])}


@pytest.mark.parametrize("folder", [MASTERS, LABS], ids=["master", "student"])
@each_lab
def test_notebook_is_clean(folder, name):
    path = folder / f"{name}.ipynb"
    notebook = json.loads(path.read_text(encoding="utf-8"))
    assert (notebook["nbformat"], notebook["nbformat_minor"]) == (4, 5)
    assert len({cell["id"] for cell in notebook["cells"]}) == len(notebook["cells"])
    code = [cell for cell in cells_of(path) if cell["cell_type"] == "code"]
    assert all(cell["outputs"] == [] and cell["execution_count"] is None for cell in code)
    for cell in code:
        body = ast.parse(cell["source"]).body
        imports = [node for node in body if isinstance(node, ast.Import | ast.ImportFrom)]
        assert not imports or len(imports) == len(body), "imports stand alone"
    first = next(cell["source"] for cell in cells_of(path) if cell["cell_type"] == "markdown")
    title, empty, summary = first.splitlines()
    assert title.startswith(f"# Lab {name[3]}: ") and empty == "" and re.fullmatch(r"> \S.{20,150}", summary)


# what students get


def removed_lines(name):
    "Everything that a master holds and its student copy must not: lines of answers, model answers, hidden tests."
    student = {cell["id"]: cell["source"] for cell in cells_of(LABS / f"{name}.ipynb")}
    for question in questions_of(name).values():
        for cell in question.answers:
            left = {line.strip() for line in student[cell["id"]].splitlines()}
            lines = [line.split("# SOLUTION")[0].strip() for line in cell["source"].splitlines()]
            yield from (line for line in lines if line not in left and "SOLUTION" not in line and "PROMPT" not in line)
        for text in question.texts:
            yield from re.split(r"(?<=[.?!]) ", text)
        for source, hidden in question.tests:
            yield from (line.strip() for line in source.splitlines() if hidden and "import" not in line)


def squeezed(text):
    "Letters and signs without spaces and quotes, so that JSON and line breaks hide nothing."
    return re.sub(r"""[\s\\"']+""", "", text)


EVERYDAY = {"rng = np.random.default_rng(seed)"}  # stands in given cells, too, and answers nothing


def leaks(name, text):
    "Lines of a master, twelve signs or more, that stand in a text."
    wanted = [line for line in removed_lines(name) if len(squeezed(line)) >= 12 and line not in EVERYDAY]
    assert len(wanted) > 20, "there must be something to look for"
    return [line for line in wanted if squeezed(line) in squeezed(text)]


STUDENT_FILES = sorted(path for path in LABS.iterdir() if path.is_file())


@pytest.mark.parametrize("path", STUDENT_FILES, ids=lambda path: path.name)
@each_lab
def test_no_answer_and_no_hidden_test_in_what_students_get(path, name):
    text = path.read_text(encoding="utf-8")
    assert leaks(name, text) == []
    assert not re.search(r"SOLUTION|HIDDEN|BEGIN TESTS|ASSIGNMENT CONFIG", text)


@each_lab
def test_an_answer_would_be_found_wherever_it_stood(name):
    notebook = json.loads((LABS / f"{name}.ipynb").read_text(encoding="utf-8"))
    lines = [line for line in removed_lines(name) if len(squeezed(line)) >= 12]
    places = [lambda line: notebook["metadata"].update(otter={"tests": {"rows": f"    {line}"}}),
              lambda line: notebook["cells"][5]["metadata"].update(tags=[line]),
              lambda line: notebook["cells"][5].update(outputs=[{"text": [f"{line}\n"]}]),
              lambda line: notebook["cells"][7].update(source=[f"x = 1\n{line}"])]
    for place, line in zip(places, [lines[0], lines[3], lines[-1], lines[len(lines) // 2]], strict=True):
        place(line)
        assert line in leaks(name, json.dumps(notebook))


@each_lab
def test_student_copy_holds_nothing_but_cells(name):
    notebook = json.loads((LABS / f"{name}.ipynb").read_text(encoding="utf-8"))
    assert set(notebook["metadata"]) == {"kernelspec", "language_info"}
    allowed = {"editable", "deletable", "tags", "otter"}
    assert all(set(cell["metadata"]) <= allowed for cell in notebook["cells"])
    named = [cell["metadata"]["otter"] for cell in notebook["cells"] if "otter" in cell["metadata"]]
    assert named == [{"tests": [task]} for lab, task in EVERY_TASK if lab == name]
    tags = [tag for cell in notebook["cells"] for tag in cell["metadata"].get("tags", [])]
    assert tags == [f"answer:{question.name}" for question in questions_of(name).values() if question.manual]
    assert all(cell["cell_type"] != "raw" for cell in notebook["cells"])


def test_student_copies_were_made_from_these_masters():
    # to be right again after a change: python course/make_labs.py
    made_from = json.loads(make_labs.MADE_FROM.read_text(encoding="utf-8"))
    assert made_from == {name: {"master": make_labs.fingerprint(MASTERS / f"{name}.ipynb"),
                                "student": make_labs.fingerprint(LABS / f"{name}.ipynb")} for name in NAMES}


def test_nothing_of_the_labs_is_packed():
    packed = (HOUSE / "setup.py").read_text(encoding="utf-8")
    assert 'find_packages(include=["yelp_tl", "yelp_tl.*"])' in packed  # and the slow test looks into a real wheel
    assert not [path for path in (HOUSE / "yelp_tl").rglob("*") if path.name.startswith("lab")]


# the checks themselves


def test_report_never_raises_and_names_the_check(capsys):
    from lab_checks import expect, report

    def check_fine(answer):
        expect(answer == 1, "Look at one.")

    def check_broken(answer):
        return 1 / answer

    report(check_fine, 1)
    report(check_fine, 2)
    report(check_broken, 0)
    assert capsys.readouterr().out.splitlines() == [
        "fine: passed.", "fine: not yet. Look at one.",
        "broken: not yet. The check stopped with ZeroDivisionError: division by zero"]


def test_try_out_goes_on_when_an_answer_is_missing(capsys):
    from lab_checks import try_out

    try_out(lambda: print("shown"))
    try_out(lambda: ... + 1)
    shown, failed = capsys.readouterr().out.splitlines()
    assert shown == "shown" and failed.startswith("This cell needs your answers above. It stopped with TypeError")


def test_every_check_is_used_in_a_lab():
    import lab_checks

    defined = {name for name in vars(lab_checks) if name.startswith("check_")}
    used = {word for name in NAMES for cell in cells_of(LABS / f"{name}.ipynb")
            for word in re.findall(r"\bcheck_\w+", cell["source"])}
    assert used == defined


def test_checks_file_follows_the_rules_of_the_house():
    source = (LABS / "lab_checks.py").read_text(encoding="utf-8")
    functions = [node for node in ast.walk(ast.parse(source)) if isinstance(node, ast.FunctionDef)]
    assert all(node.end_lineno - node.lineno < 40 for node in functions)
    assert all(ast.get_docstring(node) for node in ast.parse(source).body
               if isinstance(node, ast.FunctionDef | ast.ClassDef))
    assert not re.search(r"\bpickle\b|https?://|urllib|requests", source)


def test_grades_add_up_and_texts_are_found(tmp_path):
    tests = [{"name": "rows - 1", "score": 1.0, "max_score": 1.0, "output": "fine"},
             {"name": "rows - 2", "score": 0.0, "max_score": 1.0, "output": "look"},
             {"name": "cost - 1", "score": 0.5, "max_score": 0.5}]
    assert grade_labs.points_by_task(tests) == {"rows": (1.0, 2.0), "cost": (0.5, 0.5)}
    assert grade_labs.hints(tests).startswith("rows - 1: 1 of 1\nfine\n\nrows - 2: 0 of 1\nlook")
    assert "did not run" in grade_labs.hints([])
    assert list(grade_labs.answers_in(LABS / f"{NAMES[0]}.ipynb")) == ["report_text"]
    (tmp_path / "broken.ipynb").write_text("{", encoding="utf-8")
    assert grade_labs.answers_in(tmp_path / "broken.ipynb") == {}


def test_a_wrong_word_on_the_command_line_is_told(tmp_path, monkeypatch, capsys):
    with pytest.raises(SystemExit, match="no such lab: lab9. Expected some of lab1"):
        make_labs.make_for_teacher(tmp_path, ["lab9"])
    with pytest.raises(SystemExit, match="expected notebooks"):
        grade_labs.grade_all(tmp_path / "autograder.zip", tmp_path, tmp_path / "grades", 1)
    monkeypatch.setattr(sys, "argv", ["grade_labs.py", str(tmp_path / "no.zip"), str(tmp_path)])
    with pytest.raises(SystemExit) as stopped:
        grade_labs.main()
    assert stopped.value.code == 2 and "make_labs.py --out dist" in capsys.readouterr().err


def test_minutes_of_the_tasks_add_up():
    for name in NAMES:
        text = "\n".join(cell["source"] for cell in cells_of(LABS / f"{name}.ipynb"))
        tasks = [int(number) for number in re.findall(r"points?[^.\n]*, (\d+) minutes", text)]
        assert len(tasks) == len(tables(name)) and f"| {sum(tasks)} minutes |" in text
