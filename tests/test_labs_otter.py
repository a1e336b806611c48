"""The labs through otter-grader: made, graded, and run as a student runs them. Minutes, so all of it is slow."""

import csv
import json
import re
import shutil
import subprocess
import sys
import zipfile

import nbformat
import pytest
from labs import HOUSE, LABS, NAMES, questions_of
from nbclient import NotebookClient

sys.path.insert(0, str(HOUSE / "course"))

import grade_labs  # noqa: E402
import make_labs  # noqa: E402

pytestmark = pytest.mark.slow
each_lab = pytest.mark.parametrize("name", NAMES)


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    "Folder with what a teacher makes of a lab; making it grades the solution, which must get full marks."
    out, done = tmp_path_factory.mktemp("dist"), set()

    def folder(name):
        if name not in done:
            make_labs.make_for_teacher(out, [name.split("_")[0]])
            done.add(name)
        return out / name

    return folder


def points_of(name):
    "Points that the autograder can give in a lab."
    return sum(question.points for question in questions_of(name).values() if not question.manual)


@each_lab
def test_solution_gets_full_marks_and_the_starter_none(made, name):
    folder = made(name)
    for notebook, share in ((folder / f"{name}_solution.ipynb", 1), (folder / "student" / f"{name}.ipynb", 0)):
        points = grade_labs.points_by_task(grade_labs.run_notebook(folder / "autograder.zip", notebook, 600))
        assert set(points) == {task for task, question in questions_of(name).items() if not question.manual}
        assert sum(most for _, most in points.values()) == pytest.approx(points_of(name))
        assert all(score == pytest.approx(share * most) for score, most in points.values()), points


@each_lab
def test_committed_copy_is_what_the_master_makes(made, name):
    fresh = (made(name) / "student" / f"{name}.ipynb").read_text(encoding="utf-8")
    assert (LABS / f"{name}.ipynb").read_text(encoding="utf-8") == fresh


@each_lab
def test_student_folder_holds_two_files_and_the_autograder_the_hidden_tests(made, name):
    folder = made(name)
    assert sorted(path.name for path in (folder / "student").iterdir()) == [f"{name}.ipynb", "lab_checks.py"]
    with zipfile.ZipFile(folder / "autograder.zip") as zipped:
        inside = {path: zipped.read(path).decode() for path in zipped.namelist() if path.startswith("tests/")}
    tasks = {task for task, question in questions_of(name).items() if not question.manual}
    assert {path.removeprefix("tests/").removesuffix(".py") for path in inside} == tasks
    assert all("hidden=True" in text and "hidden=False" in text for text in inside.values())


@each_lab
def test_starter_runs_to_its_end_and_every_check_says_not_yet(tmp_path, name):
    for path in (LABS / f"{name}.ipynb", make_labs.CHECKS):
        shutil.copy(path, tmp_path)
    notebook = nbformat.read(tmp_path / f"{name}.ipynb", 4)
    where = {"metadata": {"path": str(tmp_path)}}
    NotebookClient(notebook, timeout=600, kernel_name="python3", resources=where).execute()
    shown = "".join(output.get("text", "") for cell in notebook.cells if cell.cell_type == "code"
                    for output in cell.outputs)
    assert "passed." not in shown
    assert shown.count("not yet.") >= len([question for question in questions_of(name).values() if not question.manual])


def test_a_class_is_graded(made, tmp_path):
    name = next(name for name in NAMES if name.startswith("lab2"))
    folder, handed_in = made(name), tmp_path / "handed_in"
    handed_in.mkdir()
    shutil.copy(folder / f"{name}_solution.ipynb", handed_in / "ann.ipynb")
    student = json.loads((folder / "student" / f"{name}.ipynb").read_text(encoding="utf-8"))
    texts = [cell for cell in student["cells"] if cell["metadata"].get("tags") == ["answer:order_text"]]
    texts[0]["source"] = ["My order sorts by length."]
    (handed_in / "bob.ipynb").write_text(json.dumps(student), encoding="utf-8")
    (handed_in / "eve.ipynb").write_text("no notebook", encoding="utf-8")
    grade_labs.grade_all(folder / "autograder.zip", handed_in, tmp_path / "grades", 600)
    with (tmp_path / "grades" / "grades.csv").open(encoding="utf-8", newline="") as file:
        rows = {row["student"]: row for row in csv.DictReader(file)}
    assert (rows["ann"]["total"], rows["ann"]["of"], rows["ann"]["cost"]) == ("13", "13", "2")
    assert (rows["bob"]["total"], rows["bob"]["order_text"]) == ("0", "")
    assert rows["eve"]["total"] == "did not run"
    assert "My order sorts by length." in (tmp_path / "grades" / "texts.md").read_text(encoding="utf-8")
    hints = (tmp_path / "grades" / "hints" / "bob.txt").read_text(encoding="utf-8")
    assert "gives nothing back yet" in hints and "/" + "tmp" not in hints


def test_wheel_holds_no_file_of_the_labs(tmp_path):
    left_out = shutil.ignore_patterns(".git", ".venv", "build", "dist", "*.egg-info", "runs")
    shutil.copytree(HOUSE, tmp_path / "source", ignore=left_out)
    command = [sys.executable, "-m", "pip", "wheel", "--no-deps", "--no-build-isolation", "-w", str(tmp_path)]
    subprocess.run([*command, str(tmp_path / "source")], check=True, capture_output=True)
    with zipfile.ZipFile(next(tmp_path.glob("*.whl"))) as wheel:
        names = wheel.namelist()
        texts = "".join(wheel.read(each).decode() for each in names if each.endswith((".py", ".csv", ".html")))
    assert "yelp_tl/evaluation.py" in names
    assert [each for each in names if re.search(r"lab\d|lab_|course|masters", each)] == []
    answers = "\n".join(cell["source"] for name in NAMES for question in questions_of(name).values()
                        for cell in question.answers)
    functions = set(re.findall(r"^def \w+", answers, re.M)) - {"def train", "def collate"}  # the package has its own
    assert len(functions) > 10 and not [each for each in functions if f"{each}(" in texts]
