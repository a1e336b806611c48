"""Make what students and graders get from the masters in course/masters/.

    python course/make_labs.py                 the student copies in course/labs/, which are committed
    python course/make_labs.py --out dist      for each lab: student folder, solution, autograder.zip

It needs the extra course (otter-grader).
"""

import argparse
import json
import shutil
import subprocess
import sys
from hashlib import sha256
from pathlib import Path
from tempfile import TemporaryDirectory

COURSE = Path(__file__).resolve().parent
MASTERS, LABS = COURSE / "masters", COURSE / "labs"
CHECKS = LABS / "lab_checks.py"
MADE_FROM = LABS / "made_from.json"
ANSWER_HERE = "_Type your answer here, replacing this text._"  # otter's words for a text that a student writes


def fingerprint(
    path: Path,
) -> str:  # SHA-256 of its text; line ends do not count, since git may change them
    "What a file is known by."
    return sha256("\n".join(path.read_text(encoding="utf-8").splitlines()).encode()).hexdigest()


def run_otter(
    master: Path,
    result: Path,  # folder for what otter makes
    grade: bool,  # run the solution through the autograder, too
) -> None:
    "Let otter make its copies from a master; the checks lie beside it, as for a student."
    with TemporaryDirectory() as scratch:
        for path in (master, CHECKS):
            shutil.copy(path, scratch)
        command = [sys.executable, "-m", "otter", "assign", master.name, str(result.resolve()), "--no-pdfs"]
        done = subprocess.run(command + ([] if grade else ["--no-run-tests"]), cwd=scratch, capture_output=True,
                              text=True)
    if done.returncode:
        raise SystemExit(f"{master.name}: otter stopped with this message:\n{done.stdout}{done.stderr}")


def tidy(
    notebook: dict,  # a student copy as otter makes it
    name: str,  # of the lab
    manual: list[str],  # names of the questions that a person grades, in their order
) -> dict:  # the same without tests, with cell ids that do not change from run to run
    "Take out what a student does not need, and mark the cells for texts."
    notebook["metadata"].pop("otter", None)  # the tests: a student calls lab_checks
    texts = iter(manual)
    known = {cell["id"] for cell in json.loads((MASTERS / f"{name}.ipynb").read_text(encoding="utf-8"))["cells"]}
    for place, cell in enumerate(notebook["cells"]):
        if cell["id"] not in known:  # made by otter, with a random id
            cell["id"] = sha256(f"{name} {place}".encode()).hexdigest()[:8]
        # otter: the name of the question that a grader checks after this cell
        kept = {key: cell["metadata"][key] for key in ("editable", "deletable", "otter") if key in cell["metadata"]}
        answer = "".join(cell["source"]) == ANSWER_HERE
        cell["metadata"] = kept | ({"tags": [f"answer:{next(texts)}"]} if answer else {})
    return notebook


def manual_questions(
    master: Path,
) -> list[str]:  # names, in their order
    "Questions of a master that a person grades."
    cells = json.loads(master.read_text(encoding="utf-8"))["cells"]
    begins = ["".join(cell["source"]).splitlines() for cell in cells if cell["cell_type"] == "raw"]
    return [line.removeprefix("name: ") for lines in begins if "manual: true" in lines
            for line in lines if line.startswith("name: ")]


def make_student_copy(
    result: Path,  # folder that otter filled
    master: Path,
    target: Path,  # notebook to write
) -> None:
    "Write the tidied student copy."
    made = json.loads((result / "student" / master.name).read_text(encoding="utf-8"))
    notebook = tidy(made, master.stem, manual_questions(master))
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_text(json.dumps(notebook, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")


def masters() -> list[Path]:
    "All masters, in the order of the labs."
    return sorted(MASTERS.glob("lab*.ipynb"))


def make_committed() -> None:
    "Make the student copies in course/labs/ anew, and note which masters they were made from."
    made_from = {}
    for master in masters():
        with TemporaryDirectory() as scratch:
            run_otter(master, Path(scratch), grade=False)
            make_student_copy(Path(scratch), master, LABS / master.name)
        made_from[master.stem] = {"master": fingerprint(master), "student": fingerprint(LABS / master.name)}
        print(f"course/labs/{master.name}")
    MADE_FROM.write_text(json.dumps(made_from, indent=1) + "\n", encoding="utf-8")


def make_for_teacher(
    out: Path,  # folder; a lab's own folder in it is replaced
    names: list[str],  # of labs, such as lab1; none: all
) -> None:
    "Make student folder, solution and autograder of labs, and grade the solution, which must get full marks."
    chosen = [master for master in masters() if not names or master.stem.split("_")[0] in names]
    if not chosen:
        raise SystemExit(f"no such lab: {', '.join(names)}. Expected some of lab1, lab2, lab3, lab4.")
    for master in chosen:
        folder = out / master.stem
        shutil.rmtree(folder, ignore_errors=True)
        with TemporaryDirectory() as scratch:
            run_otter(master, Path(scratch), grade=True)
            make_student_copy(Path(scratch), master, folder / "student" / master.name)
            shutil.copy(CHECKS, folder / "student")
            shutil.copy(Path(scratch) / "autograder" / master.name, folder / f"{master.stem}_solution.ipynb")
            shutil.copy(next((Path(scratch) / "autograder").glob("*.zip")), folder / "autograder.zip")
        print(f"{folder}: the solution got full marks")


def main() -> None:
    "Read the command line."
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("labs", nargs="*", help="with --out: lab1, lab2, lab3, lab4; none: all")
    parser.add_argument("--out", type=Path, help="folder for what a teacher needs")
    options = parser.parse_args()
    if options.out is None:
        make_committed()
    else:
        make_for_teacher(options.out, options.labs)


if __name__ == "__main__":
    main()
