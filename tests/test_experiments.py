"""Curve and ladder: nested rows, no shared text, cells that are kept, and intervals that can be checked."""
import errno
import json
import shutil
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace

import numpy as np
import pytest
from filelock import FileLock
from matplotlib.figure import Figure
from matplotlib.text import Text

from yelp_tl import comparison, experiments
from yelp_tl.calibration import (
    apply_temperature,
    calibration_error_by_chance,
    expected_calibration_error,
    fit_temperature,
    reliability_bins,
)
from yelp_tl.cli import ExperimentOutput, main, parse_options
from yelp_tl.data import InputError, file_sha256, load_reviews, reviews_from_lists
from yelp_tl.evaluation import log_loss, score
from yelp_tl.experiments import (
    Cell,
    CurveSettings,
    LadderSettings,
    Pool,
    RowSettings,
    balanced_order,
    band_text,
    calibration_record,
    cell_key,
    cell_record,
    check_folder_is_free,
    curve_cells,
    curve_table,
    digits,
    draw_training_rows,
    draw_unlabelled_rows,
    enough_epochs,
    experiment_command,
    experiment_folder,
    finished_seeds,
    from_digits,
    ladder_cells,
    ladder_rows,
    ladder_table,
    machines_note,
    network_fingerprint,
    open_pool,
    pareto_front,
    plot_curve,
    plot_pareto,
    right_answers,
    run_cells,
    run_experiment,
    take_up,
    write_experiment,
    write_names,
)
from yelp_tl.finetuning import SaveError, TrainingSettings
from yelp_tl.recipes import Recipe, RecipeRun, make_recipes
from yelp_tl.significance import two_way_interval
from yelp_tl.simulation import write_simulated


@dataclass(frozen=True)
class Command:
    rows: CurveSettings
    training: TrainingSettings
    output: ExperimentOutput


CLASSICAL = ("naive_bayes", "logistic_regression")
SMALL = TrainingSettings(epochs=1, batch_size=8, max_length=32)


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """A file of reviews, and one of further reviews that repeats some of the first."""
    folder = tmp_path_factory.mktemp("files")
    write_simulated(folder / "reviews.csv", 300, "train")
    write_simulated(folder / "more.csv", 500, "train")  # its first 300 rows are those of the other file
    return folder


@pytest.fixture(scope="module")
def rows(files):
    return {"data": str(files / "reviews.csv"), "n_validation": 30, "n_test": 100}


@pytest.fixture(scope="module")
def curve(rows, tmp_path_factory):
    settings = CurveSettings(**rows, recipes=CLASSICAL, sizes=(20, 80), seeds=(1, 2, 3))
    return run_experiment(settings, tmp_path_factory.mktemp("cells"), progress=False)


@pytest.fixture(scope="module")
def ladder(rows, tiny_folder, tmp_path_factory):
    settings = LadderSettings(**rows, model=str(tiny_folder), n_train=24, seeds=(1, 2),
                              recipes=("majority", "naive_bayes", "linear_svm", "padded_512", "fine_tuned"))
    return run_experiment(settings, tmp_path_factory.mktemp("cells"), SMALL, progress=False)


# rows


def test_training_rows_are_nested_and_never_scored(files, rows):
    pool = open_pool(RowSettings(**rows, more=str(files / "more.csv")))
    aside = set(pool.validation["text"][:]) | set(pool.test["text"][:])
    assert len(pool.validation) == 30 and len(pool.test) == 100
    for seed in (1, 2):
        drawn = [draw_training_rows(pool, size, seed)["text"][:] for size in (10, 50, len(pool.rows), 220)]
        for small, large in zip(drawn, drawn[1:], strict=False):
            assert large[: len(small)] == small
        assert aside.isdisjoint(drawn[-1]) and len(set(drawn[-1])) == 220
    assert drawn[0] != draw_training_rows(pool, 10, 1)["text"][:]


def test_further_rows_come_evenly_and_repeat_none(files, rows):
    pool = open_pool(RowSettings(**rows, more=str(files / "more.csv")))
    own = len(pool.rows)
    drawn = draw_training_rows(pool, own + 50, 4)
    labels = drawn["label"][own:]
    assert np.bincount(labels, minlength=5).tolist() == [10] * 5
    first = set(load_reviews(files / "reviews.csv")["text"][:])
    assert first.isdisjoint(drawn["text"][own:])


def test_rows_without_stars_are_none_of_the_others(files, rows):
    for more, most, found in ((None, 50, 50), (None, 5000, 170 - 60), ("more.csv", 5000, 170 - 60 + 200)):
        pool = open_pool(RowSettings(**rows, more=more and str(files / more)))
        train = draw_training_rows(pool, 60, 3)
        drawn = draw_unlabelled_rows(pool, train, most, 3)
        others = {*train["text"][:], *pool.validation["text"][:], *pool.test["text"][:]}
        assert drawn.column_names == ["text"] and len(drawn) == len(set(drawn["text"][:])) == found
        assert others.isdisjoint(drawn["text"][:])
    pool = open_pool(RowSettings(**rows, more=str(files / "more.csv")))
    train = draw_training_rows(pool, 220, 3)  # some of the further rows have their stars read
    assert set(train["text"][:]).isdisjoint(draw_unlabelled_rows(pool, train, 5000, 3)["text"][:])
    few, other = (draw_unlabelled_rows(pool, train, 20, seed)["text"][:] for seed in (3, 4))
    assert few != other


def test_test_rows_depend_on_their_own_seed_alone(rows):
    first, again, other = (open_pool(RowSettings(**rows, rows_seed=seed)) for seed in (42, 42, 43))
    assert first.test["text"][:] == again.test["text"][:] != other.test["text"][:]


def test_repeated_and_shared_texts_are_left_out(tmp_path):
    lines = ["text,label"] + [f"review number {number % 90} is this,{number % 5}" for number in range(100)]
    (tmp_path / "twice.csv").write_text("\n".join(lines))
    pool = open_pool(RowSettings(data=str(tmp_path / "twice.csv"), n_validation=5, n_test=15))
    kept = pool.train.select(pool.rows)["text"][:]
    assert len(set(kept)) == len(kept) == 80 - pool.left_out
    assert set(kept).isdisjoint([*pool.validation["text"][:], *pool.test["text"][:]])
    assert pool.left_out > 0


def test_validation_and_test_rows_share_no_text(tmp_path):
    lines = ["text,label"] + [f"review number {number // 2} is this,{number % 5}" for number in range(120)]
    (tmp_path / "pairs.csv").write_text("\n".join(lines))
    settings = RowSettings(data=str(tmp_path / "pairs.csv"), n_validation=30, n_test=30)
    pool = open_pool(settings)
    texts = pool.validation["text"][:]
    assert set(texts).isdisjoint(pool.test["text"][:]) and len(set(texts)) == len(texts) < 30
    assert pool.left_out == 60 - len(pool.rows) + 30 - len(texts)
    (tmp_path / "same.csv").write_text("text,label\n" + "\n".join(f"word,{number % 5}" for number in range(100)))
    with pytest.raises(InputError, match="validation rows with a text of their own, found 0"):
        open_pool(replace(settings, data=str(tmp_path / "same.csv")))


def test_too_few_rows_are_told(files, rows):
    with pytest.raises(InputError, match="at least 9,999 test rows, found 5,000"):
        open_pool(RowSettings(n_validation=2, n_test=9999))
    with pytest.raises(InputError, match="set aside"):
        open_pool(RowSettings(**rows | {"n_test": 299}))
    pool = open_pool(RowSettings(**rows))
    with pytest.raises(InputError, match="at least 5,000 training rows, found 170.*--more"):
        draw_training_rows(pool, 5000, 1)
    with pytest.raises(InputError, match="further training rows"):
        draw_training_rows(open_pool(RowSettings(**rows, more=str(files / "more.csv"))), 5000, 1)


def test_too_few_rows_for_the_largest_size_are_told_first(rows, tmp_path):
    settings = CurveSettings(**rows, recipes=("naive_bayes",), sizes=(20, 5000), seeds=(1,))
    with pytest.raises(InputError, match="at least 5,000 training rows"):
        run_experiment(settings, tmp_path / "cells", progress=False)
    assert not list(tmp_path.glob("cells/*"))  # before the first run, not after it


def test_a_simulated_training_row_that_is_also_a_test_row_is_refused():
    pool = open_pool(RowSettings(n_validation=2, n_test=5))
    forbidden = frozenset(experiments.text_digests(draw_training_rows(pool, 3, 1)).tolist())
    with pytest.raises(InputError, match="Take another seed"):
        draw_training_rows(replace(pool, forbidden=forbidden), 3, 1)


def test_balanced_order_takes_turns():
    labels = np.array([0] * 9 + [1] * 5 + [2] * 4 + [3] * 3 + [4] * 8)
    order = balanced_order(labels, np.random.default_rng(0))
    assert len(order) == 15 == len(set(order.tolist()))
    assert all(sorted(labels[order[start : start + 5]]) == [0, 1, 2, 3, 4] for start in (0, 5, 10))


# cells


def test_a_key_changes_with_all_that_decides(rows, tiny_checkpoint):
    pool = open_pool(RowSettings(**rows))
    network = network_fingerprint(tiny_checkpoint.path)
    train = draw_training_rows(pool, 20, 1)
    base = Cell("fine_tuned", make_recipes()["fine_tuned"], 20, 1)
    other_pool = open_pool(RowSettings(**rows | {"n_test": 99}))
    keys = [cell_key(base, train, pool, network),
            cell_key(replace(base, seed=2), train, pool, network),
            cell_key(replace(base, recipe=replace(base.recipe, loss="corn")), train, pool, network),
            cell_key(replace(base, recipe=replace(base.recipe, settings=TrainingSettings(epochs=9))), train, pool,
                     network),
            cell_key(base, draw_training_rows(pool, 21, 1), pool, network),
            cell_key(base, train, other_pool, network), cell_key(base, train, pool, "another network")]
    assert len(set(keys)) == len(keys)
    # how a recipe is called and described decides nothing
    assert cell_key(replace(base, name="x", recipe=replace(base.recipe, what="y")), train, pool, network) == keys[0]
    distilled = replace(base, recipe=make_recipes()["distilled_seeds"], n_unlabelled=9)
    further = [draw_unlabelled_rows(pool, train, number, 1) for number in (9, 10)]
    assert len({cell_key(distilled, train, pool, network, texts) for texts in (None, *further)}) == 3
    classical = Cell("naive_bayes", make_recipes()["naive_bayes"], 20, 1)
    assert cell_key(classical, train, pool, network) == cell_key(classical, train, pool, "another network")


def test_finished_cells_are_read_and_an_interrupted_experiment_goes_on(rows, tmp_path, monkeypatch):
    settings = CurveSettings(**rows, recipes=CLASSICAL, sizes=(20, 80), seeds=(1,))
    real, calls = experiments.run_recipe, []

    def interrupted(recipe, *rest):
        calls.append(recipe)
        if len(calls) == 3:
            raise KeyboardInterrupt
        return real(recipe, *rest)

    monkeypatch.setattr(experiments, "run_recipe", interrupted)
    with pytest.raises(KeyboardInterrupt):
        run_experiment(settings, tmp_path, progress=False)
    assert len(list(tmp_path.glob("*.json"))) == 2
    results = run_experiment(settings, tmp_path, progress=False)
    assert len(calls) == 3 + 2 and len(results["cells"]) == 4
    assert run_experiment(settings, tmp_path, progress=False)["cells"] == results["cells"] and len(calls) == 5


def test_a_cell_of_another_process_is_left_to_it(rows, tmp_path, capsys):
    settings = CurveSettings(**rows, recipes=("naive_bayes",), sizes=(20, 80), seeds=(1,))
    pool, cells = open_pool(settings), curve_cells(settings)
    key = cell_key(cells[0], draw_training_rows(pool, 20, 1), pool, "")
    with FileLock(tmp_path / f"{key}.lock"):
        results = run_experiment(settings, tmp_path, progress=False)
    assert [cell["n_train"] for cell in results["cells"]] == [80]
    assert "1 of 2 runs are not finished, or another process is at work" in capsys.readouterr().err
    assert len(run_experiment(settings, tmp_path, progress=False)["cells"]) == 2


def test_an_earlier_result_is_taken_up(curve, rows, tmp_path, monkeypatch):
    settings = CurveSettings(**rows, recipes=CLASSICAL, sizes=(20, 80), seeds=(1, 2, 3))
    assert run_experiment(settings, tmp_path / "cells", progress=False, finished_only=True)["cells"] == []
    (tmp_path / "results.json").write_text(json.dumps(curve))
    assert take_up(tmp_path / "results.json", tmp_path / "cells") == 12
    assert take_up(tmp_path / "results.json", tmp_path / "cells") == 0
    monkeypatch.setattr(experiments, "run_recipe", None)
    assert run_experiment(settings, tmp_path / "cells", progress=False)["cells"] == json.loads(
        json.dumps(curve["cells"]))


@pytest.mark.parametrize("content", ["", "[]", '{"cells": 3}', '{"cells": [{"key": "../../x"}]}', '{"cells": [{}]}'])
def test_a_file_that_holds_no_experiment_is_refused(content, tmp_path):
    (tmp_path / "results.json").write_text(content)
    with pytest.raises(InputError, match=r"results\.json: expected"):
        take_up(tmp_path / "results.json", tmp_path / "cells")
    with pytest.raises(InputError, match=r"none\.json"):
        take_up(tmp_path / "none.json", tmp_path / "cells")
    assert not (tmp_path / "cells").exists()


def test_a_cell_keeps_figures_and_no_text(curve, rows):
    labels = from_digits(curve["labels"])
    for cell in curve["cells"]:
        predicted = from_digits(cell["predicted"])
        assert cell["accuracy"] == pytest.approx((predicted == labels).mean())
        assert cell["mae"] == pytest.approx(np.abs(predicted - labels).mean())
        assert cell["epochs"] is None and cell["tokens_computed"] is None
    words = json.dumps(curve)
    assert not any(text[:30] in words for text in load_reviews(rows["data"])["text"][:])
    assert "/" not in "".join(curve["settings"]["data"] + curve["command"])


def test_validation_figures_come_from_validation_rows():
    rng = np.random.default_rng(1)
    sides = [reviews_from_lists(["x"] * n, rng.integers(0, 5, n).tolist()) for n in (30, 40)]
    pool = Pool(sides[0], np.array([0]), None, np.array([], dtype=int), *sides, frozenset())
    run = RecipeRun(rng.dirichlet(np.ones(5), 30), rng.dirichlet(np.ones(5), 40), {}, [])
    cell = Cell("naive_bayes", make_recipes()["naive_bayes"], 20, 1)
    record = cell_record(cell, "0" * 16, run, pool)
    expected = score(sides[0]["label"][:], run.validation)
    assert record["validation"] == {name: expected[name] for name in record["validation"]}
    assert record["accuracy"] == score(sides[1]["label"][:], run.test)["accuracy"]


def test_calibration_is_that_of_the_kept_probabilities(rows, tmp_path):
    settings = CurveSettings(**rows, recipes=("naive_bayes",), sizes=(80,), seeds=(1,))
    cell, = run_experiment(settings, tmp_path, progress=False)["cells"]
    pool, found = open_pool(settings), cell["calibration"]
    with np.load(tmp_path / f"{cell['key']}.npz", allow_pickle=False) as kept:
        validation, test = (kept[side].astype(float) for side in ("validation", "test"))
    labels = [np.array(side["label"][:]) for side in (pool.validation, pool.test)]

    def loss(temperature):
        logs = np.log(validation) / temperature
        return -np.mean(logs[np.arange(30), labels[0]] - np.log(np.exp(logs).sum(axis=1)))

    grid = np.exp(np.linspace(-4, 4, 4001))
    assert found["temperature"] == pytest.approx(grid[np.argmin([loss(one) for one in grid])], rel=5e-3)
    assert sum(one["count"] for one in found["bins"]) == 100
    right = (test.argmax(axis=1) == labels[1]).mean()
    assert sum(one["count"] * one["accuracy"] for one in found["bins_after"] if one["count"]) == pytest.approx(
        100 * right)  # a temperature changes no answer
    assert found["error_after"] >= 0 and found["by_chance"]["mean"] > 0


def test_figures_after_the_temperature_are_after_it():
    rng = np.random.default_rng(3)

    def drawn(n, sharp):
        true = rng.dirichlet(np.ones(5), n)
        labels = (true.cumsum(axis=1) < rng.random((n, 1))).sum(axis=1)
        return labels, true**sharp / (true**sharp).sum(axis=1, keepdims=True)

    (validation_labels, validation), (labels, test) = drawn(400, 3), drawn(300, 3)
    found = calibration_record(validation_labels, validation, labels, test)
    after = apply_temperature(test, fit_temperature(validation_labels, validation))
    assert found["temperature"] > 1.5 and found["error"] == expected_calibration_error(labels, test)
    assert found["error_after"] == expected_calibration_error(labels, after) < found["error"]
    assert found["log_loss_after"] == log_loss(labels, after) < log_loss(labels, test)
    assert found["bins"] == reliability_bins(labels, test) and found["bins_after"] == reliability_bins(labels, after)
    assert found["by_chance_after"] == calibration_error_by_chance(after, seed=0)


def test_probabilities_are_kept_beside_the_cell(rows, tmp_path):
    settings = CurveSettings(**rows, recipes=("logistic_regression",), sizes=(80,), seeds=(1,))
    cell, = run_experiment(settings, tmp_path, progress=False)["cells"]
    with np.load(tmp_path / f"{cell['key']}.npz", allow_pickle=False) as kept:
        assert kept["validation"].shape == (30, 5) and digits(kept["test"].argmax(axis=1)) == cell["predicted"]


def test_a_machine_without_probabilities_has_no_log_loss(ladder):
    for cell in ladder["cells"]:
        assert (cell["log_loss"] is None) == (cell["recipe"] == "linear_svm")


# which runs


def test_small_sizes_get_enough_steps():
    settings = CurveSettings(recipes=("naive_bayes", "fine_tuned"), sizes=(60, 1000, 4000), seeds=(1, 2))
    cells = curve_cells(settings)
    assert len(cells) == 12 and [cell.seed for cell in cells] == [1] * 6 + [2] * 6
    for cell in cells:
        if cell.recipe.kind == "network":
            batch, epochs = cell.recipe.settings.batch_size, cell.recipe.settings.epochs
            steps = -(-cell.n_train // batch)
            assert epochs * steps >= 375 and (epochs == 3 or (epochs - 1) * steps < 375)
    accumulating = Recipe("x", settings=TrainingSettings(batch_size=8, accumulation=2))
    assert enough_epochs(accumulating, 160, 375, 3).settings.epochs == 38  # ten steps an epoch


def test_a_missing_library_is_told_before_the_first_run(rows, tmp_path, monkeypatch):
    monkeypatch.setattr(experiments, "find_spec", lambda name: None)
    with pytest.raises(InputError, match=r'peft. Install it: pip install "yelp_tl\[evidence\]".*--recipes'):
        run_experiment(LadderSettings(**rows, n_train=24, recipes=("naive_bayes", "lora")), tmp_path, progress=False)
    assert not list(tmp_path.iterdir())
    shown = run_experiment(LadderSettings(**rows, n_train=24, recipes=("lora",)), tmp_path, progress=False,
                           finished_only=True)
    assert shown["cells"] == []  # to read what is finished needs no library


def test_no_reviews_for_distilling_is_told_before_the_first_run(rows, tiny_folder, tmp_path):
    every_row = LadderSettings(**rows, model=str(tiny_folder), n_train=170, seeds=(1,),
                               recipes=("naive_bayes", "distilled_seeds"))
    with pytest.raises(InputError, match="distilled_seeds with 170 training rows: expected further reviews.*--more"):
        run_experiment(every_row, tmp_path, SMALL, progress=False)
    assert not list(tmp_path.iterdir())


def test_a_distilled_cell_keeps_how_many_reviews_it_read(rows, tiny_folder, tmp_path):
    settings = LadderSettings(**rows, model=str(tiny_folder), n_train=24, seeds=(1,), recipes=("distilled_seeds",),
                              n_unlabelled=30)
    cell = run_experiment(settings, tmp_path, SMALL, progress=False)["cells"][0]
    assert cell["n_unlabelled"] == 30 and cell["steps"] == 3 * 3 + 3 * 7  # batches of 8; the student, three times


def test_names_keep_clear_of_each_other_and_of_points_and_bars():
    points = {"one": (1.0, 0.5), "a second": (1.2, 0.5), "third": (1.3, 0.505), "the fourth": (30.0, 0.49)}
    bars = {name: (height - 0.1, height + 0.1) for name, (_, height) in points.items()}
    axes = Figure(figsize=(7, 4)).subplots()
    axes.set(xscale="log")
    for place, height in points.values():
        axes.errorbar(place, height, [[0.1], [0.1]], fmt="o")
    write_names(axes, points, bars).figure.draw_without_rendering()
    boxes = [Text.get_window_extent(text) for text in axes.texts]
    assert len(boxes) == 4
    assert not any(one.overlaps(other) for number, one in enumerate(boxes) for other in boxes[number + 1:])
    for name, (place, _) in points.items():
        (x, low), (_, high) = axes.transData.transform([(place, end) for end in bars[name]])
        assert not any(box.x0 < x < box.x1 and box.y0 < high and low < box.y1 for box in boxes)


def test_a_slow_recipe_takes_one_seed(ladder):
    count = {name: sum(cell["recipe"] == name for cell in ladder["cells"]) for name in ladder["what"]}
    assert count == {"majority": 2, "naive_bayes": 2, "linear_svm": 2, "padded_512": 1, "fine_tuned": 2}
    assert len(ladder_cells(LadderSettings(recipes=("padded_512",), seeds=(5, 6)))) == 1


@pytest.mark.parametrize("options", [
    {"recipes": ("bayes",)}, {"recipes": ()}, {"recipes": ("majority", "majority")},
    {"seeds": ()}, {"seeds": (1, 1)}, {"seeds": (-1,)}, {"n_test": 0},
    {"n_validation": 1}, {"rows_seed": -1}, {"sizes": ()}, {"sizes": (2, 60)}, {"sizes": (60, 30)},
    {"sizes": (60, 60)}, {"least_steps": 0}, {"least_epochs": 0}])
def test_settings_check_themselves(options):
    with pytest.raises(InputError, match="expected"):
        CurveSettings(**options)
    with pytest.raises(InputError, match="expected"):
        LadderSettings(n_train=4)


def test_the_command_makes_the_same_settings(rows, files):
    settings = CurveSettings(**rows, more=str(files / "more.csv"), sizes=(20, 40), seeds=(7,))
    training = TrainingSettings(epochs=2, attention_dropout=True, fused_optimizer=False)
    words = experiment_command(settings, training).split()
    assert words[:2] == ["yelp_tl", "curve"] and "reviews.csv" in words

    default = Command(CurveSettings(), TrainingSettings(), ExperimentOutput())
    parsed = parse_options(Command, "curve", words[2:], default)
    assert parsed.training == training
    assert asdict(parsed.rows) | {"data": "", "more": ""} == asdict(settings) | {"data": "", "more": ""}


# figures


def test_lists_and_a_single_name_make_the_same_settings_as_a_tuple():
    settings = LadderSettings(recipes=["naive_bayes"], seeds=[1, 2])
    assert settings == LadderSettings(recipes="naive_bayes", seeds=(1, 2)) and settings.recipes == ("naive_bayes",)
    assert experiment_command(settings) == experiment_command(LadderSettings(recipes=("naive_bayes",), seeds=(1, 2)))


def test_right_answers_come_in_the_order_of_the_seeds(curve):
    shuffled = curve | {"cells": curve["cells"][::-1]}
    right = right_answers(curve, "naive_bayes", 80)
    assert right.shape == (3, 100) and np.array_equal(right, right_answers(shuffled, "naive_bayes", 80))
    by_seed = {cell["seed"]: cell["accuracy"] for cell in curve["cells"]
               if cell["recipe"] == "naive_bayes" and cell["n_train"] == 80}
    assert right.mean(axis=1).tolist() == pytest.approx([by_seed[1], by_seed[2], by_seed[3]])
    assert right_answers(curve, "naive_bayes", 999).shape == (0, 100)
    chosen = right_answers(curve, "naive_bayes", 80, seeds=(3, 9, 1))
    assert np.array_equal(chosen[[0, 2]], right[[2, 0]]) and np.isnan(chosen[1]).all()
    assert finished_seeds(curve, "naive_bayes", 80) == [1, 2, 3] and finished_seeds(curve, "naive_bayes", 999) == []


def test_tables_show_every_cell_once(curve, ladder):
    table = curve_table(curve).splitlines()
    assert [line.split("|")[1].strip() for line in table[2:4]] == ["20", "80"] and "simulated" not in table[-1]
    rows = ladder_rows(ladder)
    assert [row["recipe"] for row in rows] == list(ladder["what"])
    for row, line in zip(rows, ladder_table(ladder).splitlines()[2:], strict=False):
        assert f"{row['accuracy']:.3f}" in line and f"--recipes {row['recipe']}" in line
        assert line.count("|") == 12
    fewer = curve | {"cells": [cell for cell in curve["cells"] if not (cell["seed"] == 3 and cell["n_train"] == 80)]}
    assert "(seeds: 2)" in curve_table(fewer)


def test_a_row_of_the_ladder_names_the_command_that_makes_it(ladder):
    command = "yelp_tl ladder --data mine.csv --recipes naive_bayes majority --n-train 24 --seeds 7 --epochs 2"
    table = ladder_table(ladder | {"command": command})
    assert "`yelp_tl ladder --data mine.csv --n-train 24 --seeds 7 --epochs 2 --recipes linear_svm`" in table


def test_the_note_names_every_machine(curve, rows, tmp_path):
    here, cells = curve["environment"], json.loads(json.dumps(curve["cells"]))
    assert all(cell["environment"] == here for cell in cells)  # words alone: no network, so no precision
    assert machines_note(curve) == f"{here['machine']}; {here['device']}, threads: {here['threads']}."
    (tmp_path / "results.json").write_text(json.dumps(curve | {
        "environment": here | {"machine": "Another machine", "precision": "fp32"},
        "cells": [{name: value for name, value in cells[0].items() if name != "environment"}]}))
    assert take_up(tmp_path / "results.json", tmp_path / "cells") == 1  # an earlier result, before cells told it
    settings = CurveSettings(**rows, recipes=CLASSICAL, sizes=(20, 80), seeds=(1, 2, 3))
    note = curve_table(run_experiment(settings, tmp_path / "cells", progress=False))
    assert f"1 of {len(cells)} (Another machine; {here['device']}, threads: {here['threads']})" in note
    assert f"{len(cells) - 1} of {len(cells)} ({here['machine']}; " in note
    del cells[0]["environment"]  # where it was made is not known, least of all from the machine that draws the table
    assert f"1 of {len(cells)} (machine not recorded)" in machines_note(curve | {"cells": cells})


def test_a_cell_tells_the_precision_that_it_had(ladder, rows, tiny_folder, tmp_path):
    "Whatever this machine would choose: the two that are compared differ in it."
    for precision in ("fp32", "bf16"):
        settings = LadderSettings(**rows, model=str(tiny_folder), n_train=16, seeds=(1,), recipes=("head_only",))
        results = run_experiment(settings, tmp_path, replace(SMALL, precision=precision), progress=False)
        assert results["cells"][0]["environment"]["precision"] == precision
        assert f", networks in {precision}." in ladder_table(results)
    (padded,) = [cell for cell in ladder["cells"] if cell["recipe"] == "padded_512"]
    assert padded["environment"]["precision"] == "fp32"


def test_finished_cells_ask_nothing_of_this_machine(rows, tiny_folder, tmp_path, monkeypatch):
    settings = LadderSettings(**rows, model=str(tiny_folder), n_train=16, seeds=(1,), recipes=("frozen_features",))
    fp16 = replace(SMALL, precision="fp16")
    with pytest.raises(InputError, match="needs a CUDA GPU"), monkeypatch.context() as patch:
        patch.setattr(experiments, "choose_device", lambda: "cpu")
        run_experiment(settings, tmp_path, fp16, progress=False)
    (cell,) = ladder_cells(settings, fp16)
    pool = open_pool(settings)
    key = cell_key(cell, draw_training_rows(pool, 16, 1), pool, network_fingerprint(tiny_folder))
    (tmp_path / f"{key}.json").write_text('{"made": "elsewhere"}')
    (found,) = run_experiment(settings, tmp_path, fp16, progress=False)["cells"]
    assert found["made"] == "elsewhere"


def test_another_network_of_the_same_name_is_another_experiment(rows, tiny_folder, tmp_path):
    one, two = tmp_path / "one" / "tiny", tmp_path / "two" / "tiny"
    for folder in (one, two):
        shutil.copytree(tiny_folder, folder)
    with (two / "config.json").open("a") as file:
        file.write("\n")
    settings = LadderSettings(**rows, model=str(one), n_train=16, seeds=(1,), recipes=("majority",))
    write_experiment(run_experiment(settings, tmp_path / "cells", progress=False), tmp_path / "made")
    check_folder_is_free(settings, tmp_path / "made")
    other = replace(settings, model=str(two))
    assert experiment_command(other) == experiment_command(settings)
    with pytest.raises(InputError, match="found something else"):
        check_folder_is_free(other, tmp_path / "made")


def test_nothing_on_the_front_is_dominated():
    rng = np.random.default_rng(5)
    for _ in range(50):
        rows = [{"recipe": str(number), "accuracy": round(rng.random(), 1), "cpu_minutes": int(rng.integers(1, 6))}
                for number in range(8)]

        def dominated(row, rows=rows):
            return any(other["accuracy"] >= row["accuracy"] and other["cpu_minutes"] <= row["cpu_minutes"]
                       and (other["accuracy"], -other["cpu_minutes"]) != (row["accuracy"], -row["cpu_minutes"])
                       for other in rows)

        front = pareto_front(rows)
        best = {(row["accuracy"], row["cpu_minutes"]) for row in rows if not dominated(row)}
        assert {(row["accuracy"], row["cpu_minutes"]) for row in rows if row["recipe"] in front} == best


def test_plots_take_and_return_their_axes(curve, ladder):
    axes = Figure().subplots()
    assert plot_curve(curve, axes) is axes and len(axes.lines) == 2
    assert axes.lines[0].get_ydata()[1] == pytest.approx(right_answers(curve, "naive_bayes", 80).mean())
    other = Figure().subplots()
    assert plot_pareto(ladder_rows(ladder), other) is other
    assert {text.get_text() for text in other.texts} >= {"majority", "Naive Bayes", "fine-tuned"}


def test_a_part_of_the_costs_is_drawn_with_the_front_of_all():
    names = ("majority", "naive_bayes", "head_only", "fine_tuned", "lora")
    rows = [{"recipe": name, "seeds": 2, "cpu_minutes": cost, "accuracy": right,
             "accuracy_interval": [right - 0.02, right + 0.02]}
            for name, cost, right in zip(names, (0.01, 0.1, 4, 9, 10), (0.2, 0.4, 0.3, 0.5, 0.45), strict=True)]
    axes = plot_pareto(rows, Figure().subplots(), between=(2, 10))
    assert {text.get_text() for text in axes.texts} == {"head only", "fine-tuned"}
    assert [bar.lines[0].get_marker() for bar in axes.containers] == ["s", "o"]  # a cheaper one beats the head alone
    assert 1 < axes.get_xlim()[0] < 4 and axes.get_xlim()[1] < 100  # the front goes on outside
    (front,) = [artist for artist in axes.lines if len(artist.get_xdata()) == 3]
    assert list(front.get_xdata()) == [0.01, 0.1, 9]


def made_up_results():
    "Two recipes, two sizes and two seeds, without a run."
    labels, cells = np.arange(50) % 5, []
    for recipe, share in (("naive_bayes", 0.2), ("fine_tuned", 0.6)):
        for size in (20, 80):
            for seed in (1, 2):
                rng = np.random.default_rng([seed, size, len(recipe)])
                stars = np.where(rng.random(50) < share + size / 800, labels, (labels + 2) % 5)
                figures = score(labels, np.eye(5)[stars])
                cells.append({"recipe": recipe, "n_train": size, "seed": seed, **figures, "fit_seconds": 60.0 * seed,
                              "predict_seconds": 6.0, "cpu_seconds": 600.0 * seed, "peak_memory_bytes": 2e9 * seed,
                              "tokens_computed": 1000 * seed, "parameters_trained": 7, "predicted": digits(stars)})
    place = {"machine": "m", "device": "cpu", "precision": "fp32", "threads": 1}
    return {"command": "yelp_tl ladder", "settings": {"seeds": [1, 2], "model": "minilm"}, "machine": "m",
            "environment": place, "data": {"source": ["a.csv"], "simulated": False}, "labels": digits(labels),
            "what": {}, "cells": cells}


def made_up_ladder():
    "The same with the larger size alone."
    results = made_up_results()
    return results | {"cells": [cell for cell in results["cells"] if cell["n_train"] == 80]}


def table_of(text):
    "The cells of a table in Markdown, row by row."
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in text.splitlines() if line.startswith("|")]


def test_each_column_of_the_curve_has_its_name():
    results = made_up_results()
    head, _, *rows = table_of(curve_table(results))
    assert head == ["training rows", "Naive Bayes", "fine-tuned"]
    for row in rows:
        for name, found in zip(("naive_bayes", "fine_tuned"), row[1:], strict=True):
            assert found == band_text(right_answers(results, name, int(row[0])))


def test_each_column_of_the_ladder_has_its_figure():
    results = made_up_ladder()
    head, _, *rows = table_of(ladder_table(results))
    for row, name in zip(rows, ("naive_bayes", "fine_tuned"), strict=True):
        runs = [cell for cell in results["cells"] if cell["recipe"] == name]
        for heading, key in (("within one star", "within_one"), ("MAE", "mae")):
            assert row[head.index(heading)] == f"{np.mean([run[key] for run in runs]):.3f}"


def test_the_ladder_shows_means_over_seeds():
    for row in ladder_rows(made_up_ladder()):
        runs = [cell for cell in made_up_ladder()["cells"] if cell["recipe"] == row["recipe"]]
        assert row["mae"] == pytest.approx(np.mean([run["mae"] for run in runs])) != runs[0]["mae"]
        assert (row["cpu_minutes"], row["peak_memory_gb"], row["tokens_computed"]) == (15, 3, 1500)


def test_minutes_to_train_are_those_of_training():
    assert [row["minutes"] for row in ladder_rows(made_up_ladder())] == [1.5, 1.5]


def test_bands_reach_from_end_to_end():
    results = made_up_results()
    axes = plot_curve(results, Figure().subplots())
    for name, band in zip(("naive_bayes", "fine_tuned"), axes.collections, strict=True):
        ends = [two_way_interval(right_answers(results, name, size), seed=0)["interval"] for size in (20, 80)]
        seen = band.get_paths()[0].vertices
        assert sorted({round(y, 9) for _, y in seen}) == sorted({round(end, 9) for pair in ends for end in pair})
    assert [line.get_label() for line in axes.lines] == ["Naive Bayes", "fine-tuned"]


# folders and the command


def test_a_result_is_written_and_another_one_is_not_overwritten(curve, rows, tmp_path):
    settings = CurveSettings(**rows, recipes=CLASSICAL, sizes=(20, 80), seeds=(1, 2, 3))
    folder = tmp_path / "made"
    assert write_experiment(curve, folder) == curve_table(curve)
    assert json.loads((folder / "results.json").read_text()) == json.loads(json.dumps(curve))
    assert b"<svg" in (folder / "plot.svg").read_bytes()
    check_folder_is_free(settings, folder)
    (tmp_path / "killed" / ".part-results.json").mkdir(parents=True)  # while it wrote its first file
    (tmp_path / "killed" / "run.lock").touch()
    check_folder_is_free(settings, tmp_path / "killed")
    check_folder_is_free(settings, tmp_path / "new")
    for other in (replace(settings, seeds=(1,)), LadderSettings()):
        with pytest.raises(InputError, match="found something else"):
            check_folder_is_free(other, folder)
    with pytest.raises(InputError, match="found something else"):
        check_folder_is_free(settings, folder, TrainingSettings(epochs=9))
    (tmp_path / "notes").mkdir()
    (tmp_path / "notes" / "mine.txt").write_text("x")
    with pytest.raises(InputError, match="found something else"):
        check_folder_is_free(settings, tmp_path / "notes")
    assert experiment_folder(settings) != experiment_folder(settings, TrainingSettings(epochs=9))
    plot = (folder / "plot.svg").read_bytes()
    write_experiment(curve, folder)
    assert (folder / "plot.svg").read_bytes() == plot


def test_the_table_and_the_plot_appear_whole_or_not_at_all(curve, tmp_path, monkeypatch):
    write_experiment(curve, tmp_path)
    before = (tmp_path / "plot.svg").read_bytes()

    def full_disk(path, content):
        path.open("wb").write(content[:4])
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("pathlib.Path.write_bytes", full_disk)
    with pytest.raises(SaveError, match="plot.svg can't be written"):
        write_experiment(curve, tmp_path)
    assert (tmp_path / "plot.svg").read_bytes() == before and not list(tmp_path.glob(".part-*"))
    (tmp_path / "table.md").unlink()
    (tmp_path / "table.md").mkdir()
    with pytest.raises(InputError, match="table.md: expected a file to replace, found a folder"):
        write_experiment(curve, tmp_path)


def test_another_file_of_the_same_name_is_another_experiment(curve, rows, files, tmp_path):
    (tmp_path / "reviews.csv").write_bytes((files / "more.csv").read_bytes())
    settings = CurveSettings(**rows, recipes=CLASSICAL, sizes=(20, 80), seeds=(1, 2, 3))
    other = replace(settings, data=str(tmp_path / "reviews.csv"))
    assert experiment_command(settings) == experiment_command(other)
    write_experiment(curve, tmp_path / "made")
    with pytest.raises(InputError, match="found something else"):
        check_folder_is_free(other, tmp_path / "made")
    assert experiment_folder(other) != experiment_folder(settings)


def test_the_same_settings_have_the_same_folder(files, monkeypatch):
    monkeypatch.chdir(files)
    one = CurveSettings(data="reviews.csv", seeds=[1, 2, 3], sizes=[np.int64(20), 80])
    other = CurveSettings(data="./reviews.csv", sizes=(20, 80))
    assert experiment_folder(one) == experiment_folder(other)
    assert experiment_command(one) == "yelp_tl curve --data reviews.csv --sizes 20 80"
    json.dumps(experiments.shown_settings(one))  # numpy's numbers can't be written


def test_a_file_that_changes_during_the_runs(rows, files, tmp_path, monkeypatch):
    "What is recorded is the file that was read."
    data = tmp_path / "reviews.csv"
    data.write_bytes((files / "reviews.csv").read_bytes())
    before, run = file_sha256(data), experiments.run_cells

    def slowly(*given):
        data.write_text("text,stars\n")
        return run(*given)

    monkeypatch.setattr(experiments, "run_cells", slowly)
    settings = CurveSettings(**rows | {"data": str(data)}, recipes=("majority",), sizes=(20,), seeds=(1,))
    results = run_experiment(settings, tmp_path / "cells", progress=False)
    assert results["revisions"] == results["data"]["revision_or_sha256"] == [before]


def test_a_name_with_a_blank_stays_one_word(files, tmp_path):
    (tmp_path / "my reviews.csv").write_bytes((files / "reviews.csv").read_bytes())
    assert experiment_command(CurveSettings(data=str(tmp_path / "my reviews.csv"))) == (
        "yelp_tl curve --data 'my reviews.csv'")


def test_the_commands_run_and_go_on(rows, tiny_folder, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    words = ["curve", "--data", rows["data"], "--recipes", "naive_bayes", "--sizes", "20", "80", "--seeds", "1",
             "--n-validation", "30", "--n-test", "100"]
    assert main(words) == 0
    shown = capsys.readouterr().out
    assert "| 80 |" in shown and "results: runs" in shown
    assert main([*words, "--json"]) == 0
    assert len(json.loads(capsys.readouterr().out)["cells"]) == 2
    assert main(["ladder", "--data", rows["data"], "--recipes", "head_only", "--seeds", "1", "--n-validation", "30",
                 "--n-test", "20", "--n-train", "16", "--epochs", "1", "--max-length", "16", "--model",
                 str(tiny_folder), "--out", "here"]) == 0
    assert "head only" in capsys.readouterr().out and (tmp_path / "here" / "plot.svg").exists()
    assert main([*words, "--out", "here"]) == 2
    assert "found something else" in capsys.readouterr().err


def test_reuse_takes_an_earlier_result_up(rows, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    words = ["curve", "--data", rows["data"], "--recipes", "naive_bayes", "--sizes", "20", "--seeds", "1",
             "--n-validation", "30", "--n-test", "100"]
    assert main([*words, "--cells", "here", "--out", "made"]) == 0
    assert main([*words, "--cells", "there", "--reuse", "made/results.json", "--finished", "--out", "again"]) == 0
    made, again = (json.loads((tmp_path / name / "results.json").read_text())["cells"] for name in ("made", "again"))
    assert made == again != []


def test_a_result_is_never_replaced_by_less(rows, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    words = ["curve", "--data", rows["data"], "--recipes", "naive_bayes", "--sizes", "20", "80", "--seeds", "1",
             "--n-validation", "30", "--n-test", "100", "--out", "made"]
    assert main([*words, "--cells", "cells"]) == 0
    whole = (tmp_path / "made" / "results.json").read_bytes()
    for force in ([], ["--force"]):
        assert main([*words, "--cells", "others", "--finished", *force]) == 2
        assert "expected finished runs, at least 2, found 0. Nothing was written" in capsys.readouterr().err
    next((tmp_path / "cells").glob("*.json")).unlink()
    assert main([*words, "--cells", "cells", "--finished"]) == 2
    assert (tmp_path / "made" / "results.json").read_bytes() == whole
    assert main([*words, "--cells", "cells", "--finished", "--force"]) == 0
    assert main([*words, "--cells", "cells"]) == 0 and len(json.loads(whole)["cells"]) == 2
    assert main([*words[:-1], "new", "--cells", "others", "--finished"]) == 2 and not (tmp_path / "new").exists()


def test_a_run_with_a_model_is_never_written_over(rows, tmp_path, capsys):
    (tmp_path / "run.json").write_text("{}")
    assert main(["curve", "--data", rows["data"], "--out", str(tmp_path), "--force"]) == 2
    assert "found a run with a model" in capsys.readouterr().err
    assert [path.name for path in tmp_path.iterdir()] == ["run.json"]


@pytest.mark.parametrize("reuse", [False, True])
def test_a_folder_of_cells_that_cannot_be_made_is_told_by_its_option(reuse, curve, rows, tmp_path, capsys):
    (tmp_path / "file").write_text("mine")
    (tmp_path / "earlier.json").write_text(json.dumps(curve))
    words = ["ladder", "--data", rows["data"], "--recipes", "majority", "--n-train", "16", "--n-validation", "30",
             "--n-test", "100", "--out", str(tmp_path / "new"), *["--reuse", str(tmp_path / "earlier.json")] * reuse]
    assert main([*words, "--cells", str(tmp_path / "file")]) == 2
    assert "Give another --cells." in capsys.readouterr().err
    assert (tmp_path / "file").read_text() == "mine" and not (tmp_path / "new" / "results.json").exists()


@pytest.mark.parametrize("words", [["curve"], ["ladder"], ["pretrain", "--epochs", "1"]])
def test_a_folder_that_cannot_be_made_is_told_first(words, rows, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(experiments, "run_experiment", lambda *_, **__: pytest.fail("the work began"))
    monkeypatch.setattr("yelp_tl.pretraining.run_pretraining", lambda *_, **__: pytest.fail("the work began"))
    (tmp_path / "file").write_text("mine")
    assert main([*words, "--data", rows["data"], "--out", str(tmp_path / "file" / "below")]) == 2
    assert "expected a folder that can be written" in capsys.readouterr().err
    assert (tmp_path / "file").read_text() == "mine" and len(list(tmp_path.iterdir())) == 1


@pytest.mark.parametrize("change", [{"n_train": 20.5}, {"n_test": 99.0}, {"seeds": (True,)}, {"seeds": (1.5,)},
                                    {"n_validation": True}, {"seeds": ()}, {"n_train": 4}, {"n_unlabelled": "10"},
                                    {"seeds": 3}, {"seeds": (experiments.HIGHEST_SEED,)}])
def test_what_is_no_number_of_rows_or_seed_is_refused(change):
    with pytest.raises(InputError, match=f"^{next(iter(change))}: expected"):
        LadderSettings(**change)


@pytest.mark.parametrize(("words", "message"), [
    (["curve", "--data", "missing.csv"], "missing.csv"), (["ladder", "--recipes", "bayes"], "expected some of"),
    (["curve", "--sizes", "60", "20"], "growing numbers"), (["ladder", "--seeds", "1", "1"], "different numbers")])
def test_bad_input_is_one_line_and_exit_code_two(words, message, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(experiments, "run_cells", lambda *_, **__: pytest.fail("the work began"))
    assert main(words) == 2
    error = capsys.readouterr().err.strip()
    assert message in error and "Traceback" not in error and not (tmp_path / "runs").exists()


def test_an_interruption_can_be_resumed_with_the_same_command(rows, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(experiments, "run_recipe", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
    assert main(["curve", "--data", rows["data"], "--sizes", "20", "--seeds", "1", "--n-validation", "30",
                 "--n-test", "100", "--recipes", "naive_bayes"]) == 75
    assert "the same command goes on" in capsys.readouterr().err


def test_progress_counts_work_and_not_cells(rows, tmp_path, capsys):
    settings = CurveSettings(**rows, recipes=("naive_bayes",), sizes=(20, 80), seeds=(1,))
    cells = curve_cells(settings)
    run_cells(cells, open_pool(settings), None, tmp_path, "curve")
    shown = capsys.readouterr().err
    assert "curve 2/2: naive_bayes, 80 rows, seed 1" in shown and "left" in shown
    costs = {name: Cell(name, recipe, 1000, 1).cost for name, recipe in make_recipes().items()}
    assert costs["majority"] < costs["frozen_features"] < costs["head_only"] < costs["fine_tuned"] < costs["padded_512"]


@pytest.fixture
def small_curve(rows, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return ["curve", "--data", rows["data"], "--recipes", "naive_bayes", "--sizes", "20", "--seeds", "1",
            "--n-validation", "30", "--n-test", "100", "--cells", "cells", "--out", "out"]


def test_a_result_is_written_under_a_lock(small_curve, monkeypatch, capsys):
    def watched(results, folder, write=experiments.write_experiment):
        with pytest.raises(InputError, match="another run is at work"), comparison.lock_folder(folder):
            pytest.fail("nobody kept it out")
        return write(results, folder)

    monkeypatch.setattr(experiments, "write_experiment", watched)
    assert main(small_curve) == 0


def test_more_that_came_while_it_waited_is_kept(small_curve, tmp_path, monkeypatch, capsys):
    @contextmanager
    def late(folder, lock=comparison.lock_folder, **more):
        with lock(folder, **more):
            (folder / "results.json").write_text('{"cells": [1, 2]}')
            yield

    monkeypatch.setattr(comparison, "lock_folder", late)
    assert main(small_curve) == 2 and "at least 2, found 1" in capsys.readouterr().err
    assert json.loads((tmp_path / "out" / "results.json").read_text()) == {"cells": [1, 2]}


def test_half_of_the_probabilities_is_never_left(small_curve, tmp_path, monkeypatch, capsys):
    def full(path, **_):
        path.write_bytes(b"half")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(experiments.np, "savez", full)
    assert main(small_curve) == 1
    assert not [path.name for path in (tmp_path / "cells").iterdir() if path.suffix != ".lock"]


def test_a_network_that_changes_during_the_runs_spoils_no_cell(rows, tiny_folder, tmp_path, monkeypatch):
    network = tmp_path / "network"
    shutil.copytree(tiny_folder, network)

    def changing(*given, run=experiments.run_recipe):
        found = run(*given)
        config = json.loads((network / "config.json").read_text())
        (network / "config.json").write_text(json.dumps(config | {"num_hidden_layers": 1}))
        return found

    monkeypatch.setattr(experiments, "run_recipe", changing)
    settings = LadderSettings(**rows, model=str(network), n_train=16, seeds=(1,), recipes=("frozen_features",))
    with pytest.raises(InputError, match="found that it has changed"):
        run_experiment(settings, tmp_path / "cells", SMALL, progress=False)
    assert not list((tmp_path / "cells").glob("*.json"))


def test_a_list_of_recipes_makes_no_other_command():
    assert experiment_command(CurveSettings(recipes=list(experiments.CURVE_RECIPES))) == "yelp_tl curve"
