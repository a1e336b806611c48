"""The bench: the same rows and steps for every recipe, ratios by hand, and a process left as it was."""
import ctypes
import json
import random
import sys
import threading

import numpy as np
import pytest
import torch
from transformers import AutoConfig, Trainer
from transformers.utils import logging

from yelp_tl import bench, cli, finetuning
from yelp_tl.bench import (
    PARTS,
    RECIPES,
    Bench,
    BenchSettings,
    Counter,
    bench_command,
    bench_recipes,
    bench_table,
    layer_widths,
    matmul_rate,
    needed_operations,
    prepare,
    profile_recipe,
    randomness_restored,
    ratio,
    reached_share,
    run_bench,
)
from yelp_tl.data import InputError
from yelp_tl.finetuning import ReviewTrainer, TrainingSettings, build_classifier
from yelp_tl.pretrained import find_checkpoint, make_tiny_checkpoint

SMALL = {"repetitions": 2, "steps": 3, "scored": 9, "batch_size": 4, "max_length": 256}

pytestmark = pytest.mark.usefixtures("on_the_cpu")


@pytest.fixture(scope="module")
def settings(tiny_folder):
    return BenchSettings(model=str(tiny_folder), **SMALL)


@pytest.fixture(scope="module")
def watched(settings):
    """All recipes, with every batch that a network saw while it was trained, and the calls to the C library."""
    seen, told, build = [], [], build_classifier

    def build_and_watch(checkpoint, seed, attention_dropout=True):
        model = build(checkpoint, seed, attention_dropout)
        start = {name: weight.clone() for name, weight in model.state_dict().items()}
        batches, scored = [], []
        model.register_forward_pre_hook(
            lambda network, _, inputs: (batches if network.training else scored).append(inputs["input_ids"].clone()),
            with_kwargs=True)
        seen.append((start, batches, scored))
        return model

    class Library:
        def mallopt(self, name, value):
            told.append((name, value))

        def malloc_trim(self, pad):
            told.append("trim")

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(torch.cuda, "is_available", lambda: False)
        patch.setattr(torch.backends.mps, "is_available", lambda: False)
        patch.setattr(bench, "build_classifier", build_and_watch)
        patch.setattr(finetuning, "_glibc", lambda: Library())
        results = run_bench(settings, progress=False)
    return results, seen, told


@pytest.fixture(scope="module")
def results(watched):
    return watched[0]


def test_every_recipe_runs_in_every_repetition_and_takes_turns(results):
    order = [cell["recipe"] for cell in results["cells"]]
    assert order[: len(RECIPES)] == list(RECIPES)
    assert order[len(RECIPES) :] == [*RECIPES[1:], RECIPES[0]]
    assert [cell["repetition"] for cell in results["cells"]] == [0] * len(RECIPES) + [1] * len(RECIPES)


def test_same_rows_steps_and_start_for_every_recipe(watched):
    results, seen, _ = watched
    runs = [run for run in seen if run[1]][1 : 1 + 2 * len(RECIPES)]  # the first is thrown away
    assert len(runs) == len(results["cells"])

    def rows(batches):
        return sorted(tuple(token for token in row if token) for batch in batches for row in batch.tolist())

    for cell, (start, batches, scored) in zip(results["cells"], runs, strict=True):
        assert [len(batch) for batch in batches] == [4, 4, 4]
        assert rows(batches) == rows(runs[0][1]) and rows(scored) == rows(runs[0][2])
        assert cell["train_tokens"] == sum(batch.numel() for batch in batches)
        assert cell["score_tokens"] == sum(batch.numel() for batch in scored)
        assert all(torch.equal(start[name], runs[0][0][name]) for name in start)
    assert results["tokens"] == {"train": sum(map(len, rows(runs[0][1]))), "score": sum(map(len, rows(runs[0][2])))}


def test_tokens_fall_along_the_ladder(results):
    tokens = {cell["recipe"]: (cell["train_tokens"], cell["score_tokens"]) for cell in results["cells"]}
    assert tokens["lecture"] == (12 * 256, 9 * 256)
    assert tokens["lecture"] > tokens["plain_trainer"] > tokens["ours"] >= tuple(results["tokens"].values())
    assert len({tokens[name] for name in RECIPES[2:]}) == 1


def test_only_the_recipes_that_keep_memory_ask_for_it(watched):
    wanting = [name for name, recipe in bench_recipes().items() if recipe.settings.keep_memory]
    assert wanting == ["memory", "unread", "bf16", "wide_attention", "ours"]
    told = watched[2]
    trainings = 2 * len(wanting) + 2  # the run that is thrown away, and the profile of the last recipe
    assert told.count("trim") == told.count((-4, 0)) == told.count((-4, 65_536)) == trainings


def test_nothing_is_left_changed_in_the_process(settings, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    before = torch.get_rng_state(), np.random.get_state()[1].tolist(), random.getstate()
    state = (torch.get_num_threads(), torch.get_default_dtype(), torch.are_deterministic_algorithms_enabled(),
             logging.get_verbosity(), threading.active_count())
    run_bench(BenchSettings(**{**SMALL, "model": settings.model, "recipes": ("plain_trainer", "ours"),
                               "repetitions": 1, "profile": False}), progress=False)
    assert torch.equal(before[0], torch.get_rng_state())
    assert before[1:] == (np.random.get_state()[1].tolist(), random.getstate())
    assert state == (torch.get_num_threads(), torch.get_default_dtype(), torch.are_deterministic_algorithms_enabled(),
                     logging.get_verbosity(), threading.active_count())
    assert list(tmp_path.iterdir()) == []  # and nothing in the working folder


def test_random_states_come_back_after_an_error():
    before = torch.get_rng_state(), np.random.get_state()[1].tolist(), random.getstate()
    with pytest.raises(KeyboardInterrupt), randomness_restored():
        torch.manual_seed(1), np.random.seed(1), random.seed(1)
        raise KeyboardInterrupt
    assert torch.equal(before[0], torch.get_rng_state())
    assert before[1:] == (np.random.get_state()[1].tolist(), random.getstate())


def test_the_ladder_changes_one_thing_a_rung():
    recipes = bench_recipes(16, 128)
    changed = {}
    names = ["lecture", "grouped", "attention", "optimizer", "memory", "unread", "bf16", "wide_attention"]
    for one, other in zip(names, names[1:], strict=False):
        a, b = vars(recipes[one].settings), vars(recipes[other].settings)
        changed[other] = {name for name in a if a[name] != b[name]}
    assert changed == {"grouped": {"padding", "evaluation_batch_size"}, "attention": {"attention_dropout"},
                       "optimizer": {"fused_optimizer"}, "memory": {"keep_memory"}, "unread": {"skip_unread"},
                       "bf16": {"precision"}, "wide_attention": {"wide_attention"}}
    assert {recipe.settings.batch_size for recipe in recipes.values()} == {16}
    assert recipes["ours"].settings == TrainingSettings(epochs=1, batch_size=16, max_length=128)
    assert recipes["lecture"].settings == TrainingSettings.lecture(epochs=1, batch_size=16, max_length=128)


def test_the_plain_trainer_is_hugging_faces_own(settings, tiny_checkpoint, results, tmp_path):
    from yelp_tl.bench import Experiment, open_bench
    from yelp_tl.comparison import draw_rows

    split = draw_rows(Experiment(model=settings.model, n_train=12, n_validation=0, n_test=9))
    opened = open_bench(settings, split, tmp_path)
    assert isinstance(opened, Bench)
    plain, _ = prepare(bench_recipes(4, 64)["plain_trainer"], opened, opened.train)
    ours, _ = prepare(bench_recipes(4, 64)["ours"], opened, opened.train)
    assert type(plain) is Trainer and type(ours) is ReviewTrainer
    assert not plain.args.bf16 and plain.args.train_sampling_strategy == "random"
    assert plain.model.config.attention_probs_dropout_prob == 0.1
    assert list(tmp_path.iterdir()) == []
    listed = profile_recipe(bench_recipes(4, 64)["ours"], opened, steps=1, most=5)
    assert len(listed) == 5 and [each["share"] for each in listed] == sorted((e["share"] for e in listed), reverse=True)
    assert 0 < sum(each["share"] for each in listed) <= 1


# ratios


def cells(**seconds):
    return [{"recipe": name, "repetition": number, "precision": "fp32", "train_seconds": train, "score_seconds": score,
             "train_cpu_seconds": train / 2, "score_cpu_seconds": score, "train_tokens": 10, "score_tokens": 5}
            for name, every in seconds.items() for number, (train, score) in reversed(list(enumerate(every)))]


def test_ratios_by_hand():
    rows = cells(lecture=[(10, 2), (20, 4), (14, 2)], ours=[(2, 1), (4, 1), (2, 2)])
    assert ratio(rows, "ours", "lecture") == (16 / 4, 12 / 3, 24 / 5)
    assert ratio(rows, "ours", "lecture", "train") == (14 / 2, 5, 7)
    assert ratio(rows, "ours", "lecture", "score") == (2 / 1, 1, 4)
    assert ratio(rows, "ours", "lecture", "cpu") == pytest.approx((9 / 3, 3, 14 / 3))
    assert ratio(rows, "lecture", "lecture") == (1, 1, 1)
    assert set(PARTS) == {"total", "train", "score", "cpu"}


def test_share_of_the_rate_by_hand():
    found = {"cells": cells(ours=[(2, 1), (4, 1), (5, 1)]), "needed_operations": {"train": 100},
             "matmul_rates": [{"fp32": 100.0}, {"fp32": 50.0}, {"fp32": 40.0}]}
    assert reached_share(found, "ours") == 0.5


@pytest.mark.parametrize("architecture", ["bert", "distilbert"])
def test_needed_operations_are_those_of_the_network(architecture, tmp_path):
    folder = make_tiny_checkpoint(tmp_path, architecture)
    config = AutoConfig.from_pretrained(folder)
    width, inner = layer_widths(config)
    model = build_classifier(find_checkpoint(str(folder)), 0)
    linear = [module.weight.numel() for name, module in model.named_modules()
              if isinstance(module, torch.nn.Linear) and ".layer." in name]
    assert sum(linear) == config.num_hidden_layers * (4 * width**2 + 2 * width * inner)
    # of one token there is nothing to skip
    assert needed_operations(config, [1]) == 2 * (sum(linear) + config.num_hidden_layers * 2 * width)
    assert needed_operations(config, [3, 5]) == needed_operations(config, [3]) + needed_operations(config, [5])


def test_matmul_rate_is_a_rate(tiny_folder):
    rate = matmul_rate(AutoConfig.from_pretrained(tiny_folder), "fp32", "cpu", tokens=64, trials=3)
    assert 1e6 < rate < 1e16


def test_counter_counts_padding_too():
    counter = Counter(lambda rows: {"input_ids": torch.zeros(len(rows), 7)})
    counter([{}, {}]), counter([{}])
    assert counter.tokens == 21


def test_table_has_ratios_and_no_bare_seconds(results):
    table = bench_table(results)
    lines = [line for line in table.splitlines() if line.startswith("|")]
    assert len(lines) == 2 + len(RECIPES)
    assert lines[0].count("vs lecture") == lines[0].count("vs plain_trainer") == 3
    assert "1.00 [1.00, 1.00]" in lines[2]
    assert "GPU was not measured" in table and "2 repetitions" in table
    alone = bench_table(results | {"what": {"ours": "", "grouped": ""}})
    assert "vs ours" in alone and "vs lecture" not in alone


# settings and command


@pytest.mark.parametrize(("name", "value"), [
    ("repetitions", 0), ("steps", 0), ("scored", 0), ("batch_size", 0), ("seed", -1), ("recipes", ("turbo",)),
    ("recipes", ()), ("recipes", ("ours", "ours")), ("max_length", 3),
])
def test_bad_settings_are_refused(name, value):
    with pytest.raises(InputError, match=f"^{name}: expected"):
        BenchSettings(**{name: value})


def test_the_command_repeats_the_bench(tmp_path):
    (tmp_path / "mine.csv").touch()
    settings = BenchSettings(data=str(tmp_path / "mine.csv"), recipes=("lecture", "ours"), steps=3, profile=False)
    assert bench_command(settings) == "yelp_tl bench --data mine.csv --recipes lecture ours --steps 3 --no-profile"
    assert bench_command(BenchSettings()) == "yelp_tl bench"
    assert bench_command(BenchSettings(recipes=["lecture", "ours"])) == "yelp_tl bench --recipes lecture ours"


def test_bench_from_the_command_line(settings, tmp_path, monkeypatch, capsys):
    words = ["bench", "--model", settings.model, "--recipes", "lecture", "ours", "--repetitions", "1", "--steps", "2",
             "--scored", "3", "--batch-size", "2", "--max-length", "32", "--no-profile", "--out"]
    verbosity = logging.get_verbosity()
    try:
        assert cli.main([*words, str(tmp_path / "bench.json")]) == 0
        shown = capsys.readouterr().out
        assert "total vs lecture" in shown and "| ours |" in shown
        written = json.loads((tmp_path / "bench.json").read_text(encoding="utf-8"))
        assert {"schema", "command", "machine", "data", "environment", "settings", "cells"} <= set(written)
        assert str(tmp_path) not in json.dumps(written) and written["profile"] == {}
        for place in ("bench.json", "no/bench.json"):
            assert cli.main([*words, str(tmp_path / place)]) == 2
            assert "bench.json: expected" in capsys.readouterr().err
        assert cli.main([*words, str(tmp_path), "--force"]) == 2
        assert "expected the name of a file, found a folder" in capsys.readouterr().err
        if sys.platform == "linux":  # told before the work
            monkeypatch.setattr(bench, "run_bench", lambda *_: pytest.fail("the work began"))
            assert cli.main([*words, "/proc/bench.json"]) == 2
            assert "expected a folder that can be written" in capsys.readouterr().err
        assert [path.name for path in tmp_path.iterdir()] == ["bench.json"]
    finally:
        logging.set_verbosity(verbosity)
        logging.enable_progress_bar()


@pytest.mark.skipif(finetuning._glibc() is None, reason="another C library, or its settings are chosen")
def test_the_c_library_takes_the_settings():
    library = ctypes.CDLL(None)
    assert library.mallopt(finetuning._TRIM_THRESHOLD, 64 * 2**20) == 1  # 1: it knows the name
    assert library.mallopt(finetuning._MMAP_THRESHOLD, 32 * 2**20) == 1
    assert library.mallopt(finetuning._MMAP_MAX, 65_536) == 1
