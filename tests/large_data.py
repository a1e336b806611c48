"""Measure what 650,000 reviews cost: python tests/large_data.py --out results/large_data.json

Makes a dataset of the Hub's size out of simulated reviews, serves it from a local Hub, and lets new processes fetch,
load, check, draw and tokenize it, once with a tenth of the training rows and once with all of them.
"""
import argparse
import json
import os
import platform
import resource
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from local_hub import LocalHub, yelp_from_parquet

SIDES = {"train": (650_000, 20_000), "test": (50_000, 5_000)}  # rows, and simulated reviews they are made of


def write_side(path: Path, split: str, seed: int) -> None:
    """Rows of about the length of Yelp's: one to eight simulated reviews in a row, with the stars of the first."""
    from yelp_tl.simulation import simulate_review

    n, n_reviews = SIDES[split]
    rng = np.random.default_rng(seed)
    reviews = [simulate_review(split, row) for row in range(n_reviews)]
    schema = pa.schema({"label": pa.int64(), "text": pa.string()})
    with pq.ParquetWriter(path, schema) as writer:
        for start in range(0, n, 1000):
            texts, labels = [], []
            for row in range(start, start + 1000):
                picks = [row % n_reviews, *rng.integers(0, n_reviews, rng.integers(0, 8))]
                texts.append(f"{row}. " + " ".join(reviews[pick].text for pick in picks))
                labels.append(reviews[picks[0]].label)
            writer.write_table(pa.table([labels, texts], schema=schema))


def own_memory() -> float:
    """Megabytes of this process that are in no file (proc(5), RssAnon)."""
    lines = Path("/proc/self/status").read_text(encoding="utf-8").splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("RssAnon")) / 1024


class Meter:
    """Seconds, and the most memory, of each step."""

    def __init__(self):
        self.steps, self.peak = [], 0.0
        threading.Thread(target=self._watch, daemon=True).start()

    def _watch(self) -> None:
        while True:
            self.peak = max(self.peak, own_memory())
            time.sleep(0.02)

    def step(self, name: str, rows: int, call):
        start, self.peak = time.perf_counter(), own_memory()
        result = call()
        seconds = time.perf_counter() - start
        self.steps.append({"step": name, "rows": rows, "seconds": round(seconds, 2),
                           "rows_per_second": round(rows / seconds), "peak_own_megabytes": round(self.peak)})
        print(self.steps[-1], file=sys.stderr, flush=True)
        return result


def measure(n: int, seed: int) -> dict:
    """Load both sides, draw n training rows, and tokenize them; in this process."""
    from yelp_tl.comparison import describe_environment
    from yelp_tl.data import load_reviews, rows_sha256, split_reviews
    from yelp_tl.pretrained import find_checkpoint, load_tokenizer
    from yelp_tl.tokenization import tokenize_reviews

    meter = Meter()
    environment = describe_environment("auto")
    tokenizer = load_tokenizer(find_checkpoint())
    train = meter.step("load and check the training side", SIDES["train"][0], lambda: load_reviews("hub", "train"))
    test = meter.step("load and check the test side", SIDES["test"][0], lambda: load_reviews("hub", "test"))
    n_test = SIDES["test"][0]
    split = meter.step("draw rows and look for shared texts", n + n_test, lambda: split_reviews(
        train, test, n_train=n, n_validation=0, n_test=n_test, seed=seed))
    meter.step("fingerprint of the training rows", n, lambda: rows_sha256(split.train))
    rows = meter.step("tokenize the training rows", n, lambda: tokenize_reviews(split.train, tokenizer))
    peak = max(step["peak_own_megabytes"] for step in meter.steps)
    tokens = round(float(np.mean(rows["length"][:])), 1)
    return {"n_train": n, "seed": seed, "tokens_each": tokens, "steps": meter.steps,
            "peak_own_megabytes": peak, "environment": environment,
            "peak_with_mapped_files_megabytes": round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=Path("large_data.json"))
    parser.add_argument("--seed", type=int, default=42)
    parser.add_argument("--measure", type=int, help="measure with so many training rows, in this process")
    options = parser.parse_args()
    sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
    if options.measure:
        print(json.dumps(measure(options.measure, options.seed)))
        return
    if platform.system() != "Linux":
        sys.exit("expected Linux, whose /proc tells the memory of a process")
    with tempfile.TemporaryDirectory() as folder, LocalHub(redirect=True) as hub:
        for split in SIDES:
            write_side(Path(folder, f"{split}.parquet"), split, options.seed)
        from yelp_tl.hub import HUB_REVIEWS

        hub.add("dataset", HUB_REVIEWS.name, HUB_REVIEWS.commit, yelp_from_parquet(folder))
        clean = {name: value for name, value in os.environ.items() if not name.startswith("HF_")}
        surroundings = clean | {"HF_HOME": str(Path(folder, "home")), "HF_ENDPOINT": hub.endpoint,
                                "HF_HUB_DISABLE_TELEMETRY": "1"}
        cells = []
        for note, n in (("fetched and unpacked first", 65_000), ("", 65_000), ("", 650_000)):
            done = subprocess.run([sys.executable, __file__, "--measure", str(n), "--seed", str(options.seed)],
                                  env=surroundings, stdout=subprocess.PIPE, text=True, check=True)
            cells.append({"note": note} | json.loads(done.stdout))
    environment = cells[0].pop("environment")
    for cell in cells[1:]:
        cell.pop("environment")
    content = {"schema": 1, "command": "python tests/large_data.py --out results/large_data.json",
               "note": "simulated reviews, joined to about the length of Yelp's; other work may have run beside it",
               "machine": environment["machine"], "environment": environment, "cells": cells,
               "data": {"source": ["simulated reviews"], "simulated": True, "seed": options.seed,
                        "n_train": SIDES["train"][0], "n_test": SIDES["test"][0]}}
    options.out.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
