"""Measure what predicting many reviews costs: python tests/prediction.py --out results/engine_prediction.json

Writes simulated reviews to files, and lets the command read them, each time in a process of its own: `predict` and
`evaluate` with a tiny network, to see whether memory grows with the rows, and `predict` with MiniLM on texts of about
the length of Yelp's, to see how many reviews a second it answers. Linux only: its /proc tells the memory of a process.
"""
import argparse
import csv
import gzip
import json
import os
import platform
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import pyarrow as pa

from yelp_tl.comparison import Experiment, compare, describe_environment, write_json
from yelp_tl.data import in_parts, load_texts, stream_texts, write_tables
from yelp_tl.finetuning import TrainingSettings
from yelp_tl.pretrained import find_checkpoint, load_tokenizer, make_tiny_checkpoint
from yelp_tl.simulation import simulate_review
from yelp_tl.tokenization import tokenize_windows

FEW, MANY = 10_000, 100_000  # rows for the tiny network, where memory is the question
FEW_REAL, MANY_REAL = 200, 2_000  # rows for MiniLM, where time is the question
JOINED, JOINED_REAL = 4, 8  # simulated reviews in a text, at most: for the tiny network, and as long as Yelp's
BOUND = 32  # megabytes by which memory may grow from FEW to MANY rows, which hold twice as much more
POOL = 5_000  # simulated reviews that the rows are made of
FORMATS = (".csv", ".tsv", ".jsonl", ".json", ".txt", ".parquet", ".csv.gz")


def rows(n, joined, seed):
    """(text, label): some simulated reviews one after another, with the stars of the first."""
    pool, rng = [simulate_review("test", row) for row in range(POOL)], np.random.default_rng(seed)
    for row in range(n):
        picks = [row % POOL, *rng.integers(0, POOL, rng.integers(0, joined))]
        yield f"{row}. " + " ".join(pool[pick].text for pick in picks), pool[picks[0]].label


def write_csv(path, n, joined, seed):
    """Write rows with the columns text and label."""
    schema = pa.schema({"text": pa.string(), "label": pa.int64()})
    parts = in_parts(rows(n, joined, seed), lambda row: 1, 1000, 1000)
    write_tables(path, schema, (pa.table([*map(list, zip(*part, strict=True))], schema=schema) for part in parts))
    return path


def in_other_formats(path):
    """The texts of a csv file, written in each format. Yields path after path; each is gone when the next is made."""
    texts = stream_texts(path)
    for ending in FORMATS:
        other = path.with_name(f"other{ending}")
        if ending in (".jsonl", ".parquet"):
            schema = pa.schema({"text": pa.string()})
            write_tables(other, schema, (pa.table([piece], schema=schema) for piece in texts.pieces()))
        else:
            write_plain(other, texts)
        yield other
        other.unlink()


def write_plain(path, texts):
    """Write texts as lines, as one JSON list, or with separators."""
    open_file = gzip.open if path.suffix == ".gz" else open
    with open_file(path, "wt", encoding="utf-8", newline="") as file:
        if path.suffix == ".txt":
            file.writelines(f"{text}\n" for text in texts)
        elif path.suffix == ".json":
            file.write("[")
            file.writelines(("," if number else "") + json.dumps({"text": text}) for number, text in enumerate(texts))
            file.write("]")
        else:
            writer = csv.writer(file, delimiter="\t" if path.suffix == ".tsv" else ",")
            writer.writerow(["text"])
            writer.writerows([text] for text in texts)


def own_memory(process):
    """Megabytes of a process that are in no file (proc(5), RssAnon); 0 when it has ended."""
    try:
        lines = Path(f"/proc/{process}/status").read_text(encoding="utf-8").splitlines()
    except OSError:
        return 0.0
    return next((int(line.split()[1]) for line in lines if line.startswith("RssAnon")), 0) / 1024


def watch(*words):
    """Run Python with these words. Returns seconds, seconds of the processor, and the most own memory."""
    before, start, peak = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter(), 0.0
    with tempfile.TemporaryFile() as said:
        running = subprocess.Popen([sys.executable, *map(str, words)], stdout=said, stderr=subprocess.STDOUT)
        while running.poll() is None:
            peak = max(peak, own_memory(running.pid))
            time.sleep(0.02)
        seconds = time.perf_counter() - start
        if running.returncode:
            said.seek(0)
            sys.exit(f"{' '.join(map(str, words))} ended with {running.returncode}: {said.read().decode()[-800:]}")
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return {"seconds": round(seconds, 2), "cpu_seconds": round(cpu, 2), "peak_own_megabytes": round(peak, 1)}


def make_run(folder, model, seed):
    """Fine-tune a network for a moment: what it has learned changes nothing in what predicting costs."""
    experiment = Experiment(model=str(model), n_train=32, n_validation=0, n_test=20, seed=seed,
                            models=("naive_bayes", "fine_tuned"), training=TrainingSettings(epochs=1))
    compare(experiment, folder, progress=False)
    return folder


def command(name, run, path):
    """The words of a command that reads a file."""
    if name == "predict":
        out = path.with_suffix(".predicted.csv")
        return ["-m", "yelp_tl.cli", "predict", run, "--file", path, "--out", out, "--force"]
    return ["-m", "yelp_tl.cli", "evaluate", run, "--data", path, "--json"]


READ = "import sys; from yelp_tl.data import stream_texts; print(sum(map(len, stream_texts(sys.argv[1]).pieces())))"


def measure(place, seed, sizes):
    """All cells: one for each process that was watched."""
    few, many, few_real, many_real = sizes
    cells = []

    def note(what, network, n, file_format, found):
        cells.append({"command": what, "network": network, "rows": n, "format": file_format, **found,
                      "load": round(os.getloadavg()[0], 1)})
        print(cells[-1], file=sys.stderr, flush=True)

    files = {n: write_csv(place / f"{n}.csv", n, JOINED, seed) for n in (few, many)}
    real_files = {n: write_csv(place / f"real-{n}.csv", n, JOINED_REAL, seed) for n in (few_real, many_real)}
    tiny = make_run(place / "tiny-run", make_tiny_checkpoint(place / "tiny"), seed)
    for name in ("predict", "evaluate"):
        for n in (few, many):
            note(name, "tiny", n, "csv", watch(*command(name, tiny, files[n])))
    for n in (few, many):
        for path in in_other_formats(files[n]):
            note("read twice", "none", n, path.name.removeprefix("other."), watch("-c", READ, path))
    real = make_run(place / "minilm-run", "minilm", seed)
    for n in (few_real, many_real):
        note("predict", "minilm", n, "csv", watch(*command("predict", real, real_files[n])))
    windows, _ = tokenize_windows(load_texts(real_files[many_real]), load_tokenizer(find_checkpoint()), 512, 64)
    added = (files[many].stat().st_size - files[few].stat().st_size) / 2**20
    return cells, {"tokens_each": round(sum(map(len, windows)) / many_real, 1), "added_megabytes": round(added, 1)}


def summarize(cells):
    """What is claimed: growth of memory, and reviews a second without the start of the command."""
    def pair(what, network, file_format):
        return sorted((cell for cell in cells if (cell["command"], cell["network"], cell["format"])
                       == (what, network, file_format)), key=lambda cell: cell["rows"])

    kinds = dict.fromkeys((cell["command"], cell["network"], cell["format"]) for cell in cells)
    found = []
    for kind in kinds:
        small, large = pair(*kind)
        more = large["rows"] - small["rows"]
        seconds = large["seconds"] - small["seconds"]  # where other work ran, the larger one may have been quicker
        found.append({
            "command": kind[0], "network": kind[1], "format": kind[2], "rows": [small["rows"], large["rows"]],
            "grown_megabytes": round(large["peak_own_megabytes"] - small["peak_own_megabytes"], 1),
            "reviews_per_second": round(more / seconds, 1) if seconds > 0 else None,
            "reviews_per_cpu_second": round(more / (large["cpu_seconds"] - small["cpu_seconds"]), 1)})
    return found


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, help="JSON file to write")
    parser.add_argument("--seed", type=int, default=42)
    parser.add_argument("--rows", type=int, nargs=4, default=(FEW, MANY, FEW_REAL, MANY_REAL),
                        help="few and many rows for the tiny network, few and many for MiniLM")
    options = parser.parse_args()
    if platform.system() != "Linux":
        sys.exit("expected Linux, whose /proc tells the memory of a process")
    with tempfile.TemporaryDirectory() as place:
        cells, found_data = measure(Path(place), options.seed, tuple(options.rows))
    environment = describe_environment("auto")
    found = {"schema": 1, "command": "python tests/prediction.py --out results/engine_prediction.json",
             "note": "other work ran beside it: seconds belong to this moment, seconds of the processor less so",
             "machine": environment["machine"], "environment": environment, "seed": options.seed,
             "data": {"source": ["simulated reviews"], "simulated": True, **found_data},
             "bound_megabytes": BOUND, "summary": summarize(cells), "cells": cells}
    if options.out:
        write_json(options.out, found)
    print(json.dumps(found["summary"], indent=1))


if __name__ == "__main__":
    main()
