"""Train in two processes and in one, and compare; then kill one of two and resume.

    python tests/processes.py --out results/engine_processes.json

Two gloo processes on this machine's CPU, started by torchrun. Linux only.
"""
import argparse
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import torch
from safetensors.torch import load_file

from yelp_tl.comparison import describe_machine, write_json
from yelp_tl.pretrained import make_tiny_checkpoint

# 33 rows: the last batch of an epoch holds one row, which two processes can't share
WORDS = ["finetune", "--n-train", "33", "--n-validation", "11", "--n-test", "17", "--epochs", "3", "--batch-size", "8",
         "--learning-rate", "1e-3", "--max-length", "64", "--precision", "fp32"]
WATCH = """
import json, os, sys
from yelp_tl import cli, finetuning
from yelp_tl.finetuning import ReviewTrainer

place, *words = sys.argv[1:]
rank, notes = os.environ.get("RANK", "0"), {"rows": [], "tokenized": 0, "written": [], "scored": 0}
out = os.path.abspath(words[words.index("--out") + 1])

def note_file(event, details):
    if event == "open" and isinstance(details[0], str) and (details[2] or 0) & (os.O_WRONLY | os.O_RDWR):
        path = os.path.abspath(details[0])
        if path.startswith(out + os.sep):
            notes["written"].append(os.path.relpath(path, out))

sys.addaudithook(note_file)
step, tokenize, score = ReviewTrainer.training_step, finetuning.tokenize_reviews, finetuning.run_batches

def training_step(self, model, inputs, *others):
    numbers = {tuple(ids): row for row, ids in enumerate(self.train_dataset["input_ids"][:])}
    kept = inputs["labels"].tolist()
    rows = [numbers[tuple(token for token, mask in zip(ids, masks) if mask)] for ids, masks in
            zip(inputs["input_ids"].tolist(), inputs["attention_mask"].tolist())]
    notes["rows"].append([row for row, label in zip(rows, kept) if label != -100])
    return step(self, model, inputs, *others)

def tokenize_reviews(*arguments):
    notes["tokenized"] += 1
    return tokenize(*arguments)

def run_batches(model, collate, token_ids, *others, **options):
    notes["scored"] += len(token_ids)
    return score(model, collate, token_ids, *others, **options)

ReviewTrainer.training_step = training_step
finetuning.tokenize_reviews, finetuning.run_batches = tokenize_reviews, run_batches
code = cli.main(words)
with open(f"{place}/rank-{rank}.json", "w") as file:
    json.dump(notes, file)
sys.exit(code)
"""


def command(place, network, folder, count, *more, watched=True):
    """Words that start the training in one or several processes."""
    start = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", str(count)] if count > 1 else []
    entry = [str(place / "watch.py"), str(place / f"notes-{folder.name}")] if watched else ["-m", "yelp_tl.cli"]
    return [sys.executable, *start, *entry, *WORDS, "--model", str(network), "--out", str(folder), *more]


def start(place, *arguments, **options):
    """Start a training. What it says goes to two files."""
    folder = arguments[1]
    (place / f"notes-{folder.name}").mkdir(exist_ok=True)
    surroundings = os.environ | {"GLOO_SOCKET_IFNAME": "lo", "OMP_NUM_THREADS": "1"}
    with open(f"{folder}.out", "w") as out, open(f"{folder}.err", "w") as error:
        return subprocess.Popen(command(place, *arguments, **options), env=surroundings, stdout=out, stderr=error)


def make_network(folder, dropout):
    """A tiny random network with this much dropout."""
    config = make_tiny_checkpoint(folder) / "config.json"
    chance = {"hidden_dropout_prob": dropout, "attention_probs_dropout_prob": dropout}
    config.write_text(json.dumps(json.loads(config.read_text()) | chance))
    return folder


def losses(folder):
    """(step, loss) and (step, score) of log.jsonl."""
    lines = [json.loads(line) for line in (folder / "log.jsonl").read_text().splitlines()]
    found = [(line["step"], line.get("loss", line.get("eval_loss"))) for line in lines]
    return [(step, loss) for step, loss in found if loss is not None]


def figures(folder):
    """What is measured on the test rows, and the epochs' records."""
    entry = json.loads((folder / "results.json").read_text())["models"]["fine_tuned"]
    cost = ("fit_seconds", "predict_seconds", "tokens_computed")  # each process pads its own share
    return {key: value for key, value in entry.items() if key not in cost}


def largest_difference(one, other):
    """Largest relative difference of numbers in two nested structures of one shape."""
    if isinstance(one, dict):
        assert one.keys() == other.keys()
        return max((largest_difference(one[key], other[key]) for key in one), default=0.0)
    if isinstance(one, list | tuple):
        assert len(one) == len(other)
        return max((largest_difference(a, b) for a, b in zip(one, other, strict=True)), default=0.0)
    if isinstance(one, int | float):
        return abs(one - other) / max(abs(one), abs(other), 1e-12)
    assert one == other
    return 0.0


def compare_counts(place):
    """One process and two, dropout off."""
    network, folders = make_network(place / "dry", 0.0), {count: place / f"count-{count}" for count in (1, 2)}
    for count, folder in folders.items():
        if code := start(place, network, folder, count).wait(600):
            sys.exit(f"{count} processes ended with {code}: {Path(f'{folder}.err').read_text()[-800:]}")
    notes = {count: [json.loads(path.read_text()) for path in sorted((place / f"notes-{folder.name}").iterdir())]
             for count, folder in folders.items()}
    steps, rows = -(-33 // 8), []
    for epoch in range(3):
        part = [row for rank in notes[2] for step in rank["rows"][epoch * steps : (epoch + 1) * steps] for row in step]
        rows.append(sorted(part) == list(range(33)))
    batches = [[sorted(sum(shares, [])) for shares in zip(*(rank["rows"] for rank in notes[count]), strict=True)]
               for count in (1, 2)]
    said = Path(f"{folders[2]}.out").read_text().splitlines()
    return {
        "largest_relative_difference_of_losses": largest_difference(losses(folders[1]), losses(folders[2])),
        "largest_relative_difference_of_figures": largest_difference(figures(folders[1]), figures(folders[2])),
        "accuracy_equal": figures(folders[1])["accuracy"] == figures(folders[2])["accuracy"],
        "every_row_once_in_each_epoch": all(rows), "same_batches": batches[0] == batches[1],
        "rows_scored": [sum(rank["scored"] for rank in notes[count]) for count in (1, 2)],
        "tokenized_by_rank": [rank["tokenized"] for rank in notes[2]],
        "files_written_by_rank": [len(rank["written"]) for rank in notes[2]],
        "tables_printed": sum(line.startswith("fine_tuned") for line in said),
        "lines_on_stdout": [len(Path(f"{folder}.out").read_text().splitlines()) for folder in folders.values()],
    }


def children(process):
    """Numbers of the processes that a process has started."""
    return list(map(int, Path(f"/proc/{process}/task/{process}/children").read_text().split()))


def kill_one(place):
    """Two processes, dropout on: one is killed, the other must end; resumed, the run equals one left alone."""
    network, folders = make_network(place / "wet", 0.1), {name: place / name for name in ("alone", "killed")}
    if code := start(place, network, folders["alone"], 2).wait(600):
        sys.exit(f"two processes ended with {code}")
    log, running = folders["killed"] / "log.jsonl", start(place, network, folders["killed"], 2)
    while running.poll() is None and not (log.exists() and len(log.read_text().splitlines()) > 7):  # in epoch 2
        time.sleep(0.002)
    ranks = children(running.pid)
    os.kill(ranks[-1], signal.SIGKILL)
    code = running.wait(120)
    left = [rank for rank in ranks if Path(f"/proc/{rank}").exists()]
    kept = sorted(path.name for path in (folders["killed"] / "checkpoints").glob("checkpoint-*"))
    resumed = start(place, network, folders["killed"], 2, "--resume").wait(600)
    weights = [load_file(folder / "model" / "model.safetensors") for folder in folders.values()]
    return {
        "exit_code_after_kill": code, "processes_left": len(left), "checkpoints_kept": kept,
        "exit_code_resumed": resumed,
        "weights_equal": all(torch.equal(weights[0][name], weights[1][name]) for name in weights[0]),
        "figures_equal": figures(folders["alone"]) == figures(folders["killed"]),
        "log_equal": losses(folders["alone"]) == losses(folders["killed"]),
    }


def run(place):
    """The content of results/engine_processes.json."""
    (place / "watch.py").write_text(WATCH, encoding="utf-8")
    counts, killed = compare_counts(place), kill_one(place)
    results = json.loads((place / "count-2" / "results.json").read_text())
    return {"schema": 1, "command": "python tests/processes.py", "run": " ".join(["yelp_tl", *WORDS]), "seed": 42,
            "started_with": "torchrun --standalone --nproc-per-node 2", "machine": describe_machine(),
            "versions": results["environment"]["versions"], "data": results["data"],
            "one_and_two": counts, "one_of_two_killed": killed}


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, help="JSON file to write")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as place:
        found = run(Path(place))
    if options.out:
        write_json(options.out, found)
    print(json.dumps({name: found[name] for name in ("one_and_two", "one_of_two_killed")}, indent=1))


if __name__ == "__main__":
    main()
