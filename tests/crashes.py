"""Kill a training run with SIGKILL at random moments, resume it, and compare it with a run that nobody disturbed.

    python tests/crashes.py --kills 30 --out results/engine_crashes.json

The libraries are imported once; each run is a fork of this process, so a run takes a second. Linux and macOS only.
"""
import argparse
import contextlib
import io
import json
import os
import random
import re
import signal
import sys
import tempfile
import threading
import time
from collections import Counter
from importlib.metadata import version
from pathlib import Path

import pyarrow.parquet as pq
import torch
from safetensors.torch import load_file
from tqdm import tqdm

from yelp_tl import cli, comparison, finetuning
from yelp_tl.comparison import describe_machine, write_json
from yelp_tl.finetuning import ReviewTrainer
from yelp_tl.pretrained import make_tiny_checkpoint

# dropout is on (the tiny checkpoint's own, 0.1), rows are grouped by length (the default)
WORDS = ["finetune", "--n-train", "122", "--n-validation", "40", "--n-test", "60", "--epochs", "3", "--batch-size", "4",
         "--learning-rate", "1e-3", "--max-length", "64", "--precision", "fp32"]
PHASES = {  # phase -> functions in which a run is in that phase
    "steps": [(ReviewTrainer, "training_step")],
    "save": [(ReviewTrainer, "_save_checkpoint"), (comparison, "save_classifier")],
    "evaluation": [(ReviewTrainer, "evaluate"), (comparison, "predict_probabilities")],
    "preprocessing": [(comparison, "draw_rows"), (finetuning, "tokenize_reviews")],
    "results": [(comparison, "write_predictions"), (comparison, "write_report"), (comparison, "write_json")],
}


class Diary:
    """Writes when a phase begins and ends, at once, so that it tells where a killed run was."""

    def __init__(self, path, alarm=None, target=None):
        self.file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
        self.alarm, self.target, self.counts = alarm, target, Counter()

    def wrap(self, place, name, phase):
        plain = getattr(place, name)

        def watched(*arguments, **options):
            self.counts[phase] += 1
            if (phase, self.counts[phase]) == self.target:
                os.write(self.alarm, b"!")
            os.write(self.file, f"enter {phase} {time.perf_counter()}\n".encode())
            try:
                return plain(*arguments, **options)
            finally:
                os.write(self.file, f"leave {phase} {time.perf_counter()}\n".encode())

        setattr(place, name, watched)


def start(folder, network, *, resume, diary=None, alarm=None, target=None):
    """Fork, and run the command in the child. Returns the child's number."""
    child = os.fork()
    if child:
        return child
    code = 1
    try:
        screen = os.open(f"{folder}.txt", os.O_WRONLY | os.O_CREAT | os.O_APPEND)
        os.dup2(screen, 1)
        os.dup2(screen, 2)
        # forks share the bars' lock, and one that was killed may have held it
        tqdm.set_lock(threading.RLock())
        finetuning.SAVE_SECONDS = 0  # a checkpoint at every tenth step, too
        if diary:
            notes = Diary(diary, alarm, target)
            for phase, places in PHASES.items():
                for place, name in places:
                    notes.wrap(place, name, phase)
        code = cli.main([*WORDS, "--model", str(network), "--out", str(folder), *(["--resume"] if resume else [])])
    finally:
        os._exit(code)


def end(child):
    """Wait for a child. Returns its exit code, or minus the signal that ended it."""
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def read_diary(path):
    """(phase, seconds) of each time a phase was gone through, and the phase in which the run ended."""
    spans, opened = [], []
    for line in path.read_text().splitlines():
        word, phase, moment = line.split()
        if word == "enter":
            opened.append((phase, float(moment)))
        else:
            phase, since = opened.pop()
            spans.append((phase, float(moment) - since))
    return spans, opened[-1][0] if opened else "between"


def kill_once(folder, network, target, delay, *, resume):
    """Start the command, kill it some time after a phase begins. Returns where it was, or None if it ended before."""
    listen, alarm = os.pipe()
    diary = folder.with_suffix(".diary")
    child = start(folder, network, resume=resume, diary=diary, alarm=alarm, target=target)
    os.close(alarm)
    if os.read(listen, 1):  # nothing comes if the child ends first
        until = time.perf_counter() + delay
        while time.perf_counter() < until:
            time.sleep(min(0.0005, delay))
        os.kill(child, signal.SIGKILL)
    os.close(listen)
    code = end(child)
    return read_diary(diary)[1] if code == -signal.SIGKILL else None


def without_seconds(results):
    """What must be equal: everything that is measured on rows, nothing that is measured in seconds."""
    entry = {key: value for key, value in results["models"]["fine_tuned"].items() if not key.endswith("seconds")}
    return {"models": entry, "pairs": results["pairs"], "data": results["data"], "config": results["config"]}


def read_log(folder):
    """(step, loss or score) of every line of log.jsonl, in order."""
    lines = map(json.loads, (folder / "log.jsonl").read_text().splitlines())
    return [(line["step"], line.get("loss"), line.get("eval_loss")) for line in lines]


def same(one, other):
    """Which parts of two finished run folders are equal."""
    weights = [load_file(folder / "model" / "model.safetensors") for folder in (one, other)]
    results = [without_seconds(json.loads((folder / "results.json").read_text())) for folder in (one, other)]
    tables = [pq.read_table(folder / "predictions.parquet") for folder in (one, other)]
    left = {path.name for path in other.iterdir()} ^ {path.name for path in one.iterdir()}
    return {
        "weights": weights[0].keys() == weights[1].keys()
        and all(torch.equal(weights[0][name], weights[1][name]) for name in weights[0]),
        "results": results[0] == results[1], "predictions": tables[0].equals(tables[1]),
        "log": read_log(one) == read_log(other), "files": not left,
    }


def crash(number, place, network, spans, rng):
    """One run that is killed, sometimes twice, and then resumed. Returns what happened."""
    folder = place / f"run-{number}"
    aimed = list(PHASES)[number % len(PHASES)]
    killed_in = []
    for attempt in range(1 + (rng.random() < 0.3)):
        phase = aimed if attempt == 0 else rng.choice(list(PHASES))
        durations = [seconds for name, seconds in spans if name == phase]
        which = rng.randrange(len(durations))
        where = kill_once(folder, network, (phase, which + 1), rng.uniform(0, durations[which]), resume=attempt > 0)
        killed_in += [where] if where else []
    with contextlib.redirect_stderr(io.StringIO()):
        start_of = Path(finetuning.newest_checkpoint(folder / "checkpoints") or "the beginning").name
    screen = Path(f"{folder}.txt")
    before = len(screen.read_text())
    code = end(start(folder, network, resume=True))
    said = screen.read_text()[before:]
    found = {"aimed_at": aimed, "killed_in": killed_in, "exit_code": code, "resumed_from": start_of,
             "skipped": re.findall(r"(checkpoint-\d+) is not whole", said)}
    return found | {"equal": same(place / "undisturbed", folder) if code == 0 else {}}


def run(kills, seed, place):
    """All crashes: the content of results/engine_crashes.json."""
    network = make_tiny_checkpoint(place / "tiny")
    whole, diary = place / "undisturbed", place / "undisturbed.diary"
    if code := end(start(whole, network, resume=False, diary=diary)):
        sys.exit(f"the undisturbed run ended with {code}: {Path(f'{whole}.txt').read_text()[-500:]}")
    spans, rng, found = read_diary(diary)[0], random.Random(seed), []
    for number in range(kills):
        found.append(crash(number, place, network, spans, rng))
        print(number, found[-1], file=sys.stderr, flush=True)
    counts = Counter(where for one in found for where in one["killed_in"])
    equal = sum(one["exit_code"] == 0 and all(one["equal"].values()) for one in found)
    results = json.loads((whole / "results.json").read_text())
    versions = results["environment"]["versions"] | {"filelock": version("filelock")}
    return {
        "schema": 1, "command": f"python tests/crashes.py --kills {kills} --seed {seed}", "seed": seed,
        "run": " ".join(["yelp_tl", *WORDS]), "network": "make_tiny_checkpoint, dropout 0.1",
        "machine": describe_machine(), "versions": versions,
        "data": results["data"], "killed_runs": len(found), "equal_runs": equal,
        "kills_by_phase": {phase: counts[phase] for phase in [*PHASES, "between"]}, "runs": found,
    }


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--kills", type=int, default=30, help="runs to kill")
    parser.add_argument("--seed", type=int, default=5, help="of the random moments")
    parser.add_argument("--out", type=Path, help="JSON file to write; without it the figures are printed")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as place:
        found = run(options.kills, options.seed, Path(place))
    if options.out:
        write_json(options.out, found)
    print(json.dumps({name: found[name] for name in ("killed_runs", "equal_runs", "kills_by_phase")}))
    sys.exit(found["equal_runs"] != found["killed_runs"])


if __name__ == "__main__":
    main()
