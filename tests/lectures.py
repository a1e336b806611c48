"""Run the course's lectures as a teacher would, and write down what they cost and found.

    python tests/lectures.py --out results/lectures.json

runs each lecture as it stands (LIVE = False) and once more live. --only NAME and --size live or tested run less;
what is not run is kept as it stands in the file. The time is processor time: other work on the machine changes it
little. The predictions of the first lecture's live run go into a file of their own, which the last lecture reads.
"""
import argparse
import json
import os
import re
import sys
import time
from pathlib import Path

import nbformat
from nbclient import NotebookClient

from yelp_tl.comparison import describe_environment, describe_machine, write_json

HOUSE = Path(__file__).resolve().parent.parent
COURSE = HOUSE / "nbs" / "course"
LECTURES = {path.stem.partition("_")[2]: path for path in sorted(COURSE.glob("[0-9]*.ipynb"))}
# what to keep of a live run: a Python expression for each lecture, evaluated after its last cell
FOUND = {
    "whole_game": """{
        "data": "simulated reviews", "n_train": n_train, "n_test": n_test, "seed": experiment.seed,
        "models": scores, "epochs": tuned.epochs, "seconds": tuned.seconds, "tokens": tuned.tokens_computed,
        "pair": compare_pair(test_labels, predicted, "fine_tuned", "naive_bayes", seed=experiment.seed),
        "examples": [read_review(text) for text in EXAMPLES],
    }""",
}
PREDICTIONS = """{
    side: np.round(predict_probabilities(tuned.model, tuned.tokenizer, getattr(split, side)["text"][:]), 5).tolist()
    for side in ("validation", "test")
}"""
REPORT = """
import json as _json
import resource as _resource
import sys as _sys
import time as _time
_spent = _time.process_time()
_peak = _resource.getrusage(_resource.RUSAGE_SELF).ru_maxrss / (2**20 if _sys.platform == "darwin" else 2**10)
print("\\nREPORT" + _json.dumps({"seconds": _spent, "megabytes": _peak, "found": FOUND, "predictions": PREDICTIONS}))
"""


def sized(notebook: nbformat.NotebookNode, live: bool) -> nbformat.NotebookNode:
    """The same notebook with its one setting as asked, without the cells that only show something in a browser."""
    changed = 0
    for cell in notebook.cells:
        if cell.cell_type == "code" and "#| eval: false" in cell.source:
            cell.source = ""
        if cell.cell_type == "code":
            cell.source, times = re.subn(r"^LIVE = (True|False)", f"LIVE = {live}", cell.source, flags=re.M)
            changed += times
    assert changed == 1, "expected one line that sets LIVE"
    return notebook


def run(name: str, live: bool) -> tuple[dict, dict | None]:
    """Run one lecture; what it cost and found, and the predictions of its rows where it keeps them."""
    notebook = sized(nbformat.read(LECTURES[name], 4), live)
    found = FOUND.get(name, "None") if live else "None"
    predictions = PREDICTIONS if live and name == "whole_game" else "None"
    report = REPORT.replace("FOUND", found).replace("PREDICTIONS", predictions)
    notebook.cells.append(nbformat.v4.new_code_cell(report))
    start = time.perf_counter()
    NotebookClient(notebook, timeout=None, resources={"metadata": {"path": str(COURSE)}}).execute()
    wall = time.perf_counter() - start
    printed = "".join(output.text for output in notebook.cells[-1].outputs if output.output_type == "stream")
    kept = json.loads(printed.partition("\nREPORT")[2])
    cell = {"lecture": name, "live": live, "processor_seconds": round(kept["seconds"], 1),
            "wall_seconds": round(wall, 1), "peak_megabytes": round(kept["megabytes"]), "found": kept["found"]}
    return cell, kept["predictions"]


def header(command: str, note: str) -> dict:
    """What every file in results/ says of its origin."""
    return {"schema": 1, "command": command, "note": note, "machine": describe_machine(),
            "environment": describe_environment("auto"), "data": {"source": ["simulated reviews"]}}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, required=True, help="file to write; cells in it are replaced or kept")
    parser.add_argument("--only", choices=[*LECTURES], action="append", help="run this lecture; may be repeated")
    parser.add_argument("--size", choices=["tested", "live"], action="append", help="run this size; may be repeated")
    chosen = parser.parse_args()
    os.environ["HF_HUB_OFFLINE"] = "1"
    command = "python tests/lectures.py --out results/lectures.json"
    note = ("Other work ran on the machine: the processor's seconds count, the wall's do not. The figures are about "
            "simulated reviews.")
    kept = json.loads(chosen.out.read_text(encoding="utf-8"))["cells"] if chosen.out.exists() else []
    for name in chosen.only or LECTURES:
        for size in chosen.size or ["tested", "live"]:
            cell, predictions = run(name, size == "live")
            print({key: value for key, value in cell.items() if key != "found"}, file=sys.stderr, flush=True)
            kept = [one for one in kept if (one["lecture"], one["live"]) != (name, size == "live")] + [cell]
            kept.sort(key=lambda one: (list(LECTURES).index(one["lecture"]), one["live"]))
            write_json(chosen.out, header(command, note) | {"cells": kept})
            if predictions is not None:
                rows = {side: "\n" + ",\n".join(map(json.dumps, values)) for side, values in predictions.items()}
                top = json.dumps(header(command, "probabilities of the fine-tuned network of the first lecture"))
                body = ",\n".join(f'"{side}": [{text}]' for side, text in rows.items())
                chosen.out.with_name("lecture_predictions.json").write_text(f"{top[:-1]},\n{body}}}\n", "utf-8")


if __name__ == "__main__":
    main()
