"""How often nearly the same review has the same stars: python tests/disagreement.py --data FILE --out FILE.json"""

import argparse
import time
from dataclasses import asdict
from pathlib import Path

from yelp_tl.comparison import describe_environment, write_json
from yelp_tl.data import file_sha256, load_reviews
from yelp_tl.errors import label_agreement, near_duplicates


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True, help="file of reviews")
    parser.add_argument("--threshold", type=float, default=0.7, help="smallest cosine of two texts")
    parser.add_argument("--out", type=Path, required=True, help="JSON file to write; it holds no text")
    options = parser.parse_args()
    reviews, start = load_reviews(options.data), time.perf_counter()
    pairs = near_duplicates(reviews["text"][:], options.threshold)
    seconds, found = time.perf_counter() - start, label_agreement(pairs, reviews["label"][:])
    environment = describe_environment("auto")
    write_json(options.out, {
        "schema": 1, "machine": environment["machine"], "versions": environment["versions"],
        "command": f"python tests/disagreement.py --data {options.data.name} --threshold {options.threshold}",
        "data": {"source": [options.data.name], "revision_or_sha256": [file_sha256(options.data)]},
        "rows": len(reviews), "threshold": options.threshold, "seconds": seconds,
        **{name: list(value) if isinstance(value, tuple) else value for name, value in asdict(found).items()},
    })
    print(f"{found.pairs} pairs, {found.groups} groups, {found.agree} agree")


if __name__ == "__main__":
    main()
