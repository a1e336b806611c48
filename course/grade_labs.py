"""Grade a folder of notebooks that students handed in.

    python course/grade_labs.py dist/lab1_whole_game/autograder.zip handed_in/ --out grades

Each notebook is run from top to bottom with `otter run`, in a process of its own. The folder grades then holds
grades.csv (points for each task), one file of hints for each student, and texts.md, with what a person grades.
It needs the extra course (otter-grader). It runs the students' code on this machine: see course/README.md.
"""

import argparse
import csv
import json
import re
import subprocess
import sys
from pathlib import Path
from tempfile import TemporaryDirectory

SECONDS = 600  # for one notebook


def run_notebook(
    autograder: Path,
    notebook: Path,
    seconds: int,  # then it is stopped
) -> list[dict]:  # one for each test: name, score, max_score, output
    "Run a notebook and its tests; an empty list if it did not come to an end."
    with TemporaryDirectory() as scratch:
        command = [sys.executable, "-m", "otter", "run", str(notebook.resolve()), "-a", str(autograder.resolve()),
                   "-o", scratch, "--no-logo"]
        try:
            subprocess.run(command, cwd=scratch, capture_output=True, timeout=seconds, check=True)
            results = json.loads((Path(scratch) / "results.json").read_text(encoding="utf-8"))
        except (subprocess.SubprocessError, OSError, ValueError):
            return []
    return [test for test in results["tests"] if test.get("max_score")]


def points_by_task(
    tests: list[dict],  # of run_notebook
) -> dict[str, tuple[float, float]]:  # task -> points, of how many
    "Add up the tests of each task."
    found = {}
    for test in tests:
        task = re.sub(r" - \d+$", "", test["name"])
        score, most = found.get(task, (0.0, 0.0))
        found[task] = score + test["score"], most + test["max_score"]
    return found


def answers_in(
    notebook: Path,
) -> dict[str, str]:  # task -> text
    "The texts that a person grades; they stand in cells that carry a tag."
    found = {}
    try:
        cells = json.loads(notebook.read_text(encoding="utf-8"))["cells"]
    except (OSError, ValueError, KeyError):
        return found
    for cell in cells:
        for tag in cell.get("metadata", {}).get("tags", []):
            if tag.startswith("answer:"):
                found[tag.removeprefix("answer:")] = "".join(cell["source"])
    return found


def hints(
    tests: list[dict],  # of run_notebook
) -> str:
    "What the tests said, for the student."
    if not tests:
        return "The notebook did not run to its end.\n"
    return "\n\n".join(f"{test['name']}: {test['score']:g} of {test['max_score']:g}\n{test.get('output', '').strip()}"
                       for test in tests) + "\n"


def grade_all(
    autograder: Path,
    folder: Path,  # with notebooks
    out: Path,
    seconds: int,
) -> None:
    "Grade every notebook of a folder and write the results."
    notebooks = sorted(folder.glob("*.ipynb"))
    if not notebooks:
        raise SystemExit(f"{folder}: expected notebooks (*.ipynb), found none.")
    (out / "hints").mkdir(parents=True, exist_ok=True)
    rows, texts = [], []
    for place, notebook in enumerate(notebooks, start=1):
        tests = run_notebook(autograder, notebook, seconds)
        points, written = points_by_task(tests), answers_in(notebook)
        total, most = (sum(each[side] for each in points.values()) for side in (0, 1))
        row = {"student": notebook.stem} | {task: f"{score:g}" for task, (score, _) in points.items()}
        row |= {"total": f"{total:g}" if tests else "did not run", "of": f"{most:g}"}
        rows.append(row | dict.fromkeys(written, ""))  # empty: the points that a person gives
        (out / "hints" / f"{notebook.stem}.txt").write_text(hints(tests), encoding="utf-8")
        texts += [f"## {notebook.stem}, {task}\n\n{text}\n" for task, text in written.items()]
        print(f"{place} of {len(notebooks)}: {notebook.stem}: {rows[-1]['total']} of {rows[-1]['of']}", flush=True)
    columns = list(dict.fromkeys(name for row in sorted(rows, key=len, reverse=True) for name in row))
    with (out / "grades.csv").open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, columns, restval="")
        writer.writeheader()
        writer.writerows(rows)
    (out / "texts.md").write_text("\n".join(texts), encoding="utf-8")


def main() -> None:
    "Read the command line."
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("autograder", type=Path, help="autograder.zip of the lab, from make_labs.py --out")
    parser.add_argument("folder", type=Path, help="folder with the notebooks, one for each student")
    parser.add_argument("--out", type=Path, default=Path("grades"), help="folder for the results")
    parser.add_argument("--seconds", type=int, default=SECONDS, help="for one notebook, then it is stopped")
    options = parser.parse_args()
    if not options.autograder.is_file():
        parser.error(f"{options.autograder}: no such file. Make it with: python course/make_labs.py --out dist")
    grade_all(options.autograder, options.folder, options.out, options.seconds)


if __name__ == "__main__":
    main()
