"""The command line: one line for what is wrong, the right exit code, nothing written by mistake, results on stdout."""
import csv
import gzip
import json
import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
from io import BytesIO, TextIOWrapper

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from conftest import empty_report
from safetensors.numpy import load_file, save_file

import yelp_tl.comparison as comparison
import yelp_tl.finetuning as finetuning
from yelp_tl import cli
from yelp_tl.baseline import BASELINES
from yelp_tl.comparison import MODEL_NAMES, Experiment, command_line, predict_with_run
from yelp_tl.data import example_reviews, file_sha256
from yelp_tl.finetuning import TrainingSettings, predict_probabilities
from yelp_tl.simulation import SAMPLE_ROWS

SIZES = ["--n-train", "30", "--n-validation", "10", "--n-test", "20"]
SIGNALS = [signal.SIGINT, *([signal.SIGTERM] if sys.platform != "win32" else [])]


@pytest.fixture(autouse=True)
def restored():
    "The command silences libraries and catches SIGTERM for its process; here it shares one with other tests."
    from transformers.utils import logging

    handler, verbosity = signal.getsignal(signal.SIGTERM), logging.get_verbosity()
    yield
    signal.signal(signal.SIGTERM, handler)
    logging.set_verbosity(verbosity)
    logging.enable_progress_bar()


@pytest.fixture(autouse=True)
def without_report(monkeypatch):
    "Plots and explanations take most of a small run's time; the run in a process of its own has its report."
    monkeypatch.setattr(comparison, "write_report", empty_report)
    monkeypatch.setattr(comparison, "explain_test_rows", lambda *_: None)


def write_reviews(path, texts, labels):
    with open(path, "w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([("text", "label"), *zip(texts, labels, strict=True)])
    return path


@pytest.fixture(scope="module")
def reviews():
    return example_reviews()


@pytest.fixture(scope="module")
def place(reviews, tiny_folder, tmp_path_factory):
    "A folder with reviews.csv and a tiny network that tells texts apart, because its weights are forty times larger."
    folder = tmp_path_factory.mktemp("place")
    write_reviews(folder / "reviews.csv", reviews["text"][:], reviews["label"][:])
    shutil.copytree(tiny_folder, folder / "lively")
    weights = load_file(folder / "lively" / "model.safetensors")
    weights = {name: values * (40 if values.ndim == 2 else 1) for name, values in weights.items()}
    save_file(weights, folder / "lively" / "model.safetensors", metadata={"format": "pt"})
    return folder


@pytest.fixture(scope="module")
def options(place):
    return ["--data", str(place / "reviews.csv"), "--model", str(place / "lively"), *SIZES, "--epochs", "2",
            "--learning-rate", "1e-3", "--batch-size", "8", "--max-length", "128", "--precision", "fp32"]


@pytest.fixture
def run(capsys):
    "Run the command in this process: exit code, stdout, stderr."
    def call(*words):
        capsys.readouterr()
        try:
            code = cli.main([str(word) for word in words])
        except SystemExit as exit:  # from the parser of options
            code = exit.code
        return code, *capsys.readouterr()

    return call


@pytest.fixture(scope="module")
def finished(place, options):
    "One finished comparison, run as a user runs it: folder, exit code, stdout, stderr."
    words = [sys.executable, "-m", "yelp_tl.cli", "compare", *options, "--out", "run"]
    done = subprocess.run(words, cwd=place, capture_output=True, text=True, encoding="utf-8",
                          env=os.environ | {"PYTHONIOENCODING": "utf-8"})
    return place / "run", done.returncode, done.stdout, done.stderr


@pytest.fixture(scope="module")
def baselines(place, options):
    "A finished run of the baselines alone."
    assert cli.main(["baseline", *options, "--out", str(place / "baselines")]) == 0
    return place / "baselines"


def listing(folder):
    "What a folder holds: every file with its content and its time."
    return {path.relative_to(folder).as_posix(): (file_sha256(path), path.stat().st_mtime_ns) if path.is_file() else ""
            for path in folder.rglob("*")}


def only_line(found):
    "The one line of a refusal: exit code 2, nothing on stdout."
    code, out, error = found
    assert (code, out) == (2, ""), (code, out, error)
    lines = error.splitlines()
    assert len(lines) == 1 and lines[0].startswith("yelp_tl: ") and "Traceback" not in error, error
    return lines[0]


def strict(text):
    "JSON as every reader accepts it."
    def refuse(word):
        raise AssertionError(f"{word} is no JSON")

    return json.loads(text, parse_constant=refuse)


def probabilities_of(folder, name):
    table = pq.read_table(folder / "predictions.parquet")
    return np.stack([table[f"{name}_{star}"].to_numpy() for star in range(1, 6)], axis=1)


# help, and what is no command


def test_help_imports_no_heavy_library():
    "So it answers at once."
    code = ("import sys, yelp_tl.cli as cli; code = cli.main(['--help']); "
            "heavy = {'torch', 'transformers', 'datasets', 'sklearn', 'matplotlib', 'pyarrow'} & set(sys.modules); "
            "sys.exit(str(heavy) if heavy else code)")
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")
    assert all(re.search(rf"^  {command} ", done.stdout, re.MULTILINE) for command in cli.COMMANDS)


@pytest.mark.parametrize("word", ["--help", "-h", "help"])
def test_help(word, run):
    code, out, error = run(word)
    assert (code, error) == (0, "") and out.startswith("usage: yelp_tl COMMAND")


def test_version(run):
    code, out, error = run("--version")
    assert (code, error) == (0, "") and re.fullmatch(r"yelp_tl \d+\.\d+\.\d+\S*\n", out)


def test_no_command_shows_the_commands(run):
    code, out, error = run()
    assert code == 2 and "commands:" in out + error


@pytest.mark.parametrize("command", cli.COMMANDS)
def test_each_command_has_help(command, run):
    code, out, _ = run(command, "--help")
    assert code == 0 and out.startswith(f"usage: yelp_tl {command}")


def test_help_of_compare_names_every_option(run):
    _, out, _ = run("compare", "--help")
    for name in ("data", "test", "model", "n-train", "n-validation", "n-test", "seed", "epochs", "learning-rate",
                 "batch-size", "max-length", "precision", "preset", "out", "resume", "force", "json", "debug",
                 "models"):
        assert f"--{name}" in out, name
    assert "raises" not in out.lower()  # help is for users


def test_unknown_command(run, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    line = only_line(run("comapre", "--data", "a.csv"))
    assert "comapre" in line and all(command in line for command in cli.COMMANDS)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("words", [
    ["--data"], ["--data", "reviews.csv", "--bogus", "1"], ["--data", "reviews.csv", "--n-train", "many"],
    ["--data", "reviews.csv", "--n-train", "0"], ["--data", "reviews.csv", "--n-test", "-3"],
    ["--data", "reviews.csv", "--seed", "-1"], ["--data", "reviews.csv", "--epochs", "0"],
    ["--data", "reviews.csv", "--epochs", "2.5"], ["--data", "reviews.csv", "--learning-rate", "0"],
    ["--data", "reviews.csv", "--learning-rate", "nan"], ["--data", "reviews.csv", "--batch-size", "0"],
    ["--data", "reviews.csv", "--max-length", "3"], ["--data", "reviews.csv", "--warmup", "1"],
    ["--data", "reviews.csv", "--precision", "int8"], ["--data", "reviews.csv", "--padding", "none"],
    ["--data", "reviews.csv", "--models", "bert"], ["--data", "reviews.csv", "--models"],
    ["--data", "reviews.csv", "--preset", "fast"], ["--data", "reviews.csv", "--preset"],
    ["--data", "reviews.csv", "more"],
])
def test_wrong_options(words, run, place, tmp_path, monkeypatch):
    shutil.copy(place / "reviews.csv", tmp_path)
    monkeypatch.chdir(tmp_path)
    before = listing(tmp_path)
    code, out, error = run("compare", *words)
    assert (code, out) == (2, "") and error.count("\n") == 1 and "Traceback" not in error
    assert error.startswith("yelp_tl: ") and "experiment" not in error  # the option's name, not the program's
    wrong = words[-1] if len(words) > 2 else "--data"
    assert wrong.lstrip("-").split("-")[0] in error
    assert listing(tmp_path) == before


@pytest.mark.parametrize("model", ["nothing", "sentence-transformers/nothing", "distilbert", "reviews.csv", "folder"])
def test_unknown_model(model, run, place, tmp_path, monkeypatch):
    shutil.copy(place / "reviews.csv", tmp_path)
    (tmp_path / "folder").mkdir()
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(comparison, "find_checkpoint", offline(comparison.find_checkpoint))
    before = listing(tmp_path)
    assert model in only_line(run("compare", "--data", "reviews.csv", *SIZES, "--model", model, "--out", "run"))
    assert listing(tmp_path) == before


def offline(find):
    "The Hub is switched off in tests and nothing is cached; another setting would make them wait for it."
    assert os.environ["HF_HUB_OFFLINE"] == "1"
    return find


# bad input


def parquet(texts, labels):
    file = BytesIO()
    pq.write_table(pa.table({"text": texts, "label": labels}), file)
    return file.getvalue()


GOOD = "text,label\nGood,1\nBad,0\n"
BAD_FILES = {  # name of the case: file, content, what the line must say
    "missing column": ("a.csv", "text,other\nGood,1\nBad,2\n", "label"),
    "stars out of range": ("a.csv", "stars,text\n1,Good\n6,Bad\n", "line 3"),
    "zero stars": ("a.jsonl", '{"stars": 1, "text": "Good"}\n{"stars": 0, "text": "Bad"}\n', "line 2"),
    "label out of range": ("a.csv", "text,label\nGood,1\nBad,7\n", "line 3"),
    "fractional": ("a.csv", "stars,text\n1,Good\n2.5,Bad\n", "line 3"),
    "stars in words": ("a.tsv", "stars\ttext\n1\tGood\nfour\tBad\n", "line 3"),
    "no stars": ("a.csv", "text,label\nGood,1\nBad,\n", "line 3"),
    "empty text": ("a.csv", "text,label\nGood,1\n,2\n", "line 3"),
    "blank text": ("a.csv", "text,label\nGood,1\n   ,2\n", "line 3"),
    "missing text": ("a.jsonl", '{"text": "Good", "label": 1}\n{"text": null, "label": 2}\n', "line 2"),
    "text left out": ("a.jsonl", '{"text": "Good", "label": 1}\n{"label": 2}\n', "line 2"),
    "missing text in parquet": ("a.parquet", parquet(["Good", None, "Bad"], [1, 2, 3]), "row 2"),
    "fraction in parquet": ("a.parquet", parquet(["Good", "Bad"], [1, 2.5]), "row 2"),
    "only one class": ("a.csv", "text,label\nGood,1\nBad,1\n", "2 star"),
    "not UTF-8": ("a.csv", b"text,label\nGood,1\nCaf\xe9,2\n", "line 3"),
    "unclosed quote": ("a.csv", 'text,label\nGood,1\n"Bad,2\nUgly,3\n', "line 3"),
    "too many cells": ("a.csv", "text,label\nGood,1\nBad, really,2\n", "line 3"),
    "truncated parquet": ("a.parquet", parquet(["Good", "Bad"], [1, 2])[:-9], "Parquet"),
    "truncated json": ("a.json", '[{"text": "Good", "label": 1}, {"te', "line 1"),
    "truncated gzip": ("a.csv.gz", gzip.compress(GOOD.encode())[:-9], "gzip"),
    "wrong format": ("a.parquet", GOOD, "Parquet"),
    "wrong ending": ("a.docx", GOOD, ".docx"),
    "no rows": ("a.csv", "text,label\n", "no rows"),
    "empty file": ("a.csv", "", "no rows"),
    "fewer rows than asked for": ("a.csv", GOOD, "60"),
    "a directory": ("a.csv", None, "folder"),
    "no such file": ("nowhere.csv", None, "no such file"),
}


@pytest.fixture
def bad_file(request, tmp_path, monkeypatch):
    "Make a bad file: its name, and what the message must say."
    name, content, said = BAD_FILES[request.param]
    monkeypatch.chdir(tmp_path)
    if content is not None:
        (tmp_path / name).write_bytes(content if isinstance(content, bytes) else content.encode())
    elif name == "a.csv":
        (tmp_path / name).mkdir()
    return name, said


@pytest.mark.parametrize("bad_file", BAD_FILES, indirect=True)
def test_bad_data(bad_file, run, tmp_path):
    before = listing(tmp_path)
    line = only_line(run("compare", "--data", bad_file[0], *SIZES))
    assert bad_file[0] in line and bad_file[1] in line
    assert listing(tmp_path) == before


@pytest.mark.parametrize("bad_file", ["fractional", "fewer rows than asked for", "no such file"], indirect=True)
def test_bad_test_file(bad_file, run, place, tmp_path):
    before = listing(tmp_path)
    line = only_line(run("compare", "--data", place / "reviews.csv", "--test", bad_file[0], *SIZES))
    assert bad_file[0] in line and bad_file[1].replace("60", "20") in line
    assert listing(tmp_path) == before


@pytest.mark.parametrize("bad_file", ["fractional", "not UTF-8", "empty file", "a directory"], indirect=True)
def test_bad_file_to_evaluate(bad_file, run, baselines, tmp_path):
    before = listing(tmp_path)
    line = only_line(run("evaluate", baselines, "--data", bad_file[0]))
    assert bad_file[0] in line and bad_file[1] in line
    assert listing(tmp_path) == before


@pytest.mark.parametrize("bad_file", ["empty text", "not UTF-8", "empty file", "wrong ending", "no such file"],
                         indirect=True)
def test_bad_file_to_predict(bad_file, run, baselines, tmp_path):
    line = only_line(run("predict", baselines, "--file", bad_file[0]))
    assert bad_file[0] in line and (bad_file[1] in line or "none" in line)


def test_shared_texts_name_both_places(run, place, reviews, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    write_reviews(tmp_path / "test.csv", reviews["text"][:], reviews["label"][:])
    before = listing(tmp_path)
    line = only_line(run("compare", "--data", place / "reviews.csv", "--test", "test.csv", *SIZES))
    assert "shared" in line and "reviews.csv row" in line and "test.csv row" in line
    assert listing(tmp_path) == before


def test_refusals_show_no_review(run, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "a.csv").write_text("stars,text\n1,Good\nNobody should read this sentence aloud,Bad\n")
    (tmp_path / "b.csv").write_text("Nobody should read this sentence aloud,at all\nGood,1\n")
    for name in ("a.csv", "b.csv"):
        assert "sentence" not in only_line(run("baseline", "--data", name, *SIZES))


# a run


def test_a_whole_run_in_a_process_of_its_own(finished):
    folder, code, out, error = finished
    assert code == 0, error
    lines = out.splitlines()
    assert [line.split()[0] for line in lines[1:6]] == list(MODEL_NAMES)
    assert lines[0].split()[0] == "model" and "95% interval" in lines[0]
    assert lines[-1].split() == ["report:", str(os.path.join("run", "report.html"))]
    assert (folder / "report.html").is_file() and (folder / "results.json").is_file()
    # progress stands on stderr, and nothing of libraries about themselves
    told = [line for line in re.split(r"[\r\n]+", error) if line and not re.search(r"\d+%\|", line)]
    assert told[0].startswith("30 training, 10 validation and 20 test rows")
    assert [line.partition(":")[0] for line in told if ": accuracy" in line] == list(MODEL_NAMES)
    assert not re.search("warning|traceback|deprecat|not initialized", error, re.IGNORECASE)
    assert re.search(r"training: +100%", error)


def test_the_same_again_prints_the_same_and_writes_nothing(finished, options, run, place, monkeypatch):
    monkeypatch.chdir(place)
    before = listing(finished[0])
    assert run("compare", *options, "--out", "run") == (0, finished[2], "")
    assert run("compare", *options, "--out", "run", "--resume")[:2] == (0, finished[2])
    assert listing(finished[0]) == before


def test_json_alone_on_stdout(finished, options, run):
    code, out, _ = run("compare", *options, "--out", finished[0], "--json")
    assert code == 0 and strict(out) == strict((finished[0] / "results.json").read_text(encoding="utf-8"))


def test_json_of_a_new_run(options, run, tmp_path):
    code, out, error = run("baseline", *options, "--out", tmp_path / "run", "--json")
    assert code == 0 and strict(out) == strict((tmp_path / "run" / "results.json").read_text(encoding="utf-8"))
    assert error.count("accuracy") == len(BASELINES)


def test_other_settings_in_the_same_folder(finished, options, run):
    before = listing(finished[0])
    for more in (["--seed", "43"], ["--epochs", "3"], ["--unescape"], ["--models", "majority"]):
        line = only_line(run("compare", *options, *more, "--out", finished[0]))
        assert "--force" in line and "another" in line
    assert "--force" in only_line(run("baseline", *options, "--out", finished[0]))
    assert listing(finished[0]) == before


def test_force_replaces_a_run(options, run, tmp_path):
    words = ["compare", *options, "--models", "majority", "--out", tmp_path / "run"]
    assert run(*words)[0] == 0
    before = listing(tmp_path / "run")
    assert only_line(run(*words, "--seed", "43"))
    code, out, _ = run(*words, "--seed", "43", "--force")
    assert code == 0 and "seed 43" in out
    after = listing(tmp_path / "run")
    assert set(before) == set(after) and before["results.json"] != after["results.json"]
    assert strict((tmp_path / "run" / "results.json").read_text())["config"]["seed"] == 43


@pytest.mark.parametrize("force", [[], ["--force"]])
def test_foreign_files_are_kept(force, options, run, tmp_path):
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.txt").write_text("all of it")
    (tmp_path / "file").write_text("mine, too")
    before = listing(tmp_path)
    for name in ("mine", "file", "file/below"):
        assert str(tmp_path / name.split("/")[0]) in only_line(
            run("baseline", *options, "--out", tmp_path / name, *force))
    assert listing(tmp_path) == before


def test_default_folder(options, run, place, tmp_path, monkeypatch):
    (tmp_path / "copy").mkdir()
    shutil.copy(place / "reviews.csv", tmp_path / "copy")
    monkeypatch.chdir(tmp_path)
    words = ["baseline", *options, "--models", "majority"]
    code, out, _ = run(*words)
    first, = (tmp_path / "runs").iterdir()
    assert code == 0 and re.fullmatch(r"baseline-[0-9a-f]{8}", first.name)
    assert out.splitlines()[-1].split()[-1] == str(os.path.join("runs", first.name, "report.html"))
    before = listing(first)
    words[words.index("--data") + 1] = "copy/reviews.csv"  # the same content and name in another place
    assert run(*words)[:2] == (0, out)
    assert listing(tmp_path / "runs")[f"{first.name}/results.json"] == before["results.json"]
    assert run(*words, "--seed", "1")[0] == 0
    assert len(list((tmp_path / "runs").iterdir())) == 2


def test_finetune_and_baseline_are_parts_of_compare(finished, baselines, options, run, tmp_path):
    code, out, _ = run("finetune", *options, "--out", tmp_path / "run")
    assert code == 0 and out.splitlines()[1].startswith("fine_tuned")
    results = strict((tmp_path / "run" / "results.json").read_text())
    assert list(results["models"]) == ["fine_tuned"] and results["pairs"] == []
    assert results["command"].startswith("yelp_tl finetune ")
    np.testing.assert_array_equal(probabilities_of(tmp_path / "run", "fine_tuned"),
                                  probabilities_of(finished[0], "fine_tuned"))
    assert list(strict((baselines / "results.json").read_text())["models"]) == list(BASELINES)
    for name in BASELINES:
        np.testing.assert_array_equal(probabilities_of(baselines, name), probabilities_of(finished[0], name))


def test_unescape_changes_the_rows(baselines, options, run, tmp_path):
    code, out, _ = run("baseline", *options, "--unescape", "--json", "--out", tmp_path / "run")
    results = strict(out)
    assert code == 0 and results["config"]["unescape"] is True and "--unescape" in results["command"]
    raw = strict((baselines / "results.json").read_text())
    assert results["data"]["rows_sha256"] != raw["data"]["rows_sha256"]
    assert results["data"]["revision_or_sha256"] == raw["data"]["revision_or_sha256"]


# presets and the recorded command


def test_preset_lecture():
    words = ["--data", "a.csv", "--preset", "lecture"]
    experiment, _ = cli.read_experiment("compare", words)
    assert experiment == Experiment.lecture("a.csv")
    assert cli.read_experiment("compare", ["--preset=lecture", "--data=a.csv"])[0] == experiment
    assert cli.read_experiment("compare", ["--data", "a.csv", "--preset", "default"])[0] == Experiment("a.csv")
    changed, _ = cli.read_experiment("finetune", [*words, "--epochs", "1", "--n-validation", "9", "--model", "minilm"])
    assert changed == Experiment.lecture("a.csv", n_validation=9, model="minilm", models=("fine_tuned",),
                                         training=TrainingSettings.lecture(epochs=1))


@pytest.mark.parametrize(("command", "words"), [
    ("compare", []), ("compare", ["--preset", "lecture"]), ("compare", ["--models", "majority", "fine_tuned"]),
    ("baseline", ["--models", "naive_bayes"]), ("finetune", ["--warmup", "0", "--accumulation", "2"]),
    ("compare", ["--unescape", "--test-each-epoch", "--shared-texts", "count", "--seed", "7", "--test", "t.csv"]),
    ("compare", ["--data", "my reviews.csv"]), ("compare", ["--model", "organisation/name@" + "0" * 40]),
])
def test_recorded_command_makes_the_same_experiment(command, words):
    experiment, _ = cli.read_experiment(command, [*([] if "--data" in words else ["--data", "a.csv"]), *words])
    first, again, *rest = shlex.split(command_line(command, experiment))
    assert (first, again) == ("yelp_tl", command)
    assert cli.read_experiment(command, rest)[0] == experiment


def test_lecture_preset_counts_shared_texts_and_reads_test_rows(place, reviews, run, tmp_path):
    write_reviews(tmp_path / "twice.csv", reviews["text"][:] * 2, reviews["label"][:] * 2)
    words = ["finetune", "--preset", "lecture", "--data", tmp_path / "twice.csv", "--model", place / "lively",
             "--n-train", "60", "--n-test", "60", "--epochs", "1", "--batch-size", "20", "--max-length", "32"]
    code, out, error = run(*words, "--json", "--out", tmp_path / "run")
    assert code == 0, error
    results = strict(out)
    assert results["data"]["shared_texts"] > 0 and results["data"]["n_validation"] == 0
    assert [record["scored_on"] for record in results["models"]["fine_tuned"]["epochs"]] == ["test, for reading"]
    assert results["config"]["training"]["padding"] == "max_length"
    assert results["models"]["fine_tuned"]["tokens_computed"] == 60 * 32
    if results["environment"]["device"] == "cpu":
        assert "slow on a CPU" in error
    assert "shared" in only_line(run(*words, "--shared-texts", "refuse", "--out", tmp_path / "other"))


# interrupted, and other trouble


@pytest.fixture(autouse=True)
def interruptible():
    """Ctrl-C interrupts, even where the tests were started by something that ignores it."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


def stop_at(step, number, monkeypatch):
    "Let this process get a signal in the middle of training."
    def on_step_end(self, args, state, control, **_):
        if state.global_step == step:
            signal.raise_signal(number)

    monkeypatch.setattr(finetuning.RunLog, "on_step_end", on_step_end)


@pytest.mark.parametrize("number", SIGNALS)
def test_interrupted_run_says_how_to_go_on(number, finished, options, run, tmp_path, monkeypatch):
    words = ["finetune", *options, "--out", tmp_path / "run"]
    with monkeypatch.context() as patch:
        stop_at(6, number, patch)  # in the second epoch
        code, out, error = run(*words)
    assert (code, out) == (75, "")
    said = [line for line in re.split(r"[\r\n]+", error) if "yelp_tl: " in line]
    assert len(said) == 1 and said[0].startswith("yelp_tl: ")  # a line of its own, not at the end of a bar
    assert "--resume" in said[0] and "Traceback" not in error
    assert not (tmp_path / "run" / "results.json").exists()
    assert "--resume" in only_line(run(*words))
    if number == SIGNALS[-1]:
        assert run(*words, "--resume")[0] == 0
        np.testing.assert_array_equal(probabilities_of(tmp_path / "run", "fine_tuned"),
                                      probabilities_of(finished[0], "fine_tuned"))
        theirs, ours = (strict((folder / "results.json").read_text())["models"]["fine_tuned"]
                        for folder in (finished[0], tmp_path / "run"))
        assert {**theirs, "fit_seconds": 0, "predict_seconds": 0} == {**ours, "fit_seconds": 0, "predict_seconds": 0}


def test_training_that_fails_is_one_line(options, run, tmp_path, monkeypatch):
    "The loss is no number: the message stands on its own line below the bar."
    def fail(self, args, state, control, **_):
        raise FloatingPointError("the loss is nan at step 2")

    monkeypatch.setattr(finetuning.RunLog, "on_step_end", fail)
    code, out, error = run("finetune", *options, "--out", tmp_path / "run")
    said = [line for line in re.split(r"[\r\n]+", error) if "yelp_tl: " in line]
    assert (code, out, len(said)) == (1, "", 1) and said[0].startswith("yelp_tl: FloatingPointError: the loss is nan")


def test_unexpected_trouble_is_one_line(options, run, tmp_path, monkeypatch):
    def fail(*_, **__):
        raise RuntimeError("no memory\nThe soup was cold and the waiter laughed.")

    monkeypatch.setattr(comparison, "run_models", fail)
    words = ["compare", *options, "--out", tmp_path / "run"]
    code, out, error = run(*words)
    *_, last = error.splitlines()
    assert (code, out) == (1, "")
    assert last.startswith("yelp_tl: RuntimeError: no memory") and "--debug" in last
    assert "Traceback" not in error and "soup" not in error
    with pytest.raises(RuntimeError):
        run(*words, "--resume", "--debug")


def test_debug_shows_where_bad_input_was_found(run, tmp_path):
    from yelp_tl.data import InputError

    with pytest.raises(InputError):
        run("compare", "--data", tmp_path / "nowhere.csv", "--debug")


# evaluate


@pytest.fixture(scope="module")
def test_rows(finished, place, reviews):
    "The test rows of the finished run, in their order, as a file."
    rows = pq.read_table(finished[0] / "predictions.parquet")["row"].to_pylist()
    return write_reviews(place / "rows.csv", [reviews["text"][row] for row in rows],
                         [reviews["label"][row] for row in rows])


def test_evaluate_agrees_with_compare(finished, test_rows, run):
    before = listing(finished[0])
    code, out, error = run("evaluate", finished[0], "--data", test_rows, "--json")
    assert code == 0, error
    scored, results = strict(out), strict((finished[0] / "results.json").read_text())
    assert list(scored["models"]) == [*BASELINES, "fine_tuned"]
    for name, entry in scored["models"].items():
        for key in ("accuracy", "accuracy_interval", "within_one", "mae", "quadratic_weighted_kappa", "macro_f1"):
            assert entry[key] == results["models"][name][key], (name, key)
        assert entry["log_loss"] == pytest.approx(results["models"][name]["log_loss"], abs=1e-6)
    code, out, _ = run("evaluate", finished[0], "--data", test_rows)
    assert code == 0 and [line.split()[0] for line in out.splitlines()[1:5]] == [*BASELINES, "fine_tuned"]
    for line in out.splitlines()[1:5]:
        assert f"{results['models'][line.split()[0]]['accuracy']:.3f} [" in line
    assert listing(finished[0]) == before  # it writes nothing


def test_evaluate_refuses_what_the_run_learned_from(finished, place, run):
    before = listing(finished[0])
    line = only_line(run("evaluate", finished[0], "--data", place / "reviews.csv"))
    assert "reviews.csv: expected reviews that are new to the run" in line
    assert listing(finished[0]) == before


def test_a_precision_that_this_machine_lacks_leaves_no_folder(run, options, tmp_path, monkeypatch):
    monkeypatch.setattr(comparison, "choose_device", lambda: "cpu")
    words = [*options, "--models", "fine_tuned", "--precision", "fp16", "--out", tmp_path / "run"]
    assert "needs a CUDA GPU" in only_line(run("compare", *words))
    assert list(tmp_path.iterdir()) == []


def test_a_file_without_stars_is_asked_for_its_texts_alone(run, baselines, tmp_path):
    (tmp_path / "mine.csv").write_text("review,date\nGood soup,today\n")
    line = only_line(run("predict", baselines, "--file", tmp_path / "mine.csv"))
    assert "expected a column text, or two columns without a header (stars, then text); found 'review', 'date'" in line


def test_an_interruption_in_the_middle_of_an_import(capsys, monkeypatch):
    "Nothing may be imported then: what is half imported breaks in other ways."
    monkeypatch.setattr("builtins.__import__", lambda name, *_: pytest.fail(f"{name} was imported"))
    code = cli.explain_error(KeyboardInterrupt(), "compare")
    monkeypatch.undo()
    assert code == 75 and "interrupted; the same command with --resume goes on" in capsys.readouterr().err


def test_a_pipe_that_knows_few_letters(place, options):
    "On Windows a redirected stdout knows no minus sign; all is told, with another sign where one is missing."
    words = [sys.executable, "-m", "yelp_tl.cli", "baseline", *options, "--out", "few-letters-\u2212"]
    done = subprocess.run(words, cwd=place, capture_output=True, env=os.environ | {"PYTHONIOENCODING": "cp1252"})
    assert done.returncode == 0, done.stderr
    assert b"report: few-letters-\\u2212" in done.stdout


@pytest.mark.parametrize("words", [["compare", "--seed", "4294967296"], ["compare", "--seed", "-1"],
                                   ["ladder", "--seeds", "1", "4294967295"], ["bench", "--seed", "4294967296"],
                                   ["pretrain", "--data", "reviews.csv", "--out", "x", "--seed", "-3"]])
def test_a_seed_that_no_training_takes(words, run):
    assert re.search(r"seeds?: expected .*found -?\d+(\.|$)", only_line(run(*words)))


@pytest.mark.parametrize("words", [["evaluate", "--data", "reviews.csv"], ["predict", "A text."]])
@pytest.mark.parametrize("folder", ["nowhere", "empty", "lively", "reviews.csv"])
def test_a_folder_without_a_run(words, folder, run, place, tmp_path, monkeypatch):
    shutil.copytree(place / "lively", tmp_path / "lively")
    shutil.copy(place / "reviews.csv", tmp_path)
    (tmp_path / "empty").mkdir()
    monkeypatch.chdir(tmp_path)
    before = listing(tmp_path)
    assert folder in only_line(run(words[0], folder, *words[1:]))
    assert listing(tmp_path) == before


# predict


def test_predict_says_what_the_run_said(finished, test_rows, reviews, run):
    rows = pq.read_table(finished[0] / "predictions.parquet")["row"].to_pylist()
    texts = [reviews["text"][row] for row in rows]
    chosen = sorted(range(len(texts)), key=lambda number: len(texts[number]))[:3]  # short ones are read whole
    code, out, _ = run("predict", finished[0], *(texts[number] for number in chosen), "--json")
    assert code == 0
    for line, number in zip(out.splitlines(), chosen, strict=True):
        found, expected = strict(line), probabilities_of(finished[0], "fine_tuned")[number]
        assert found["model"] == "fine_tuned" and found["stars"] == expected.argmax() + 1
        np.testing.assert_allclose(found["probabilities"], expected, atol=1e-6)


def test_predict_prints_a_line_for_each_text(finished, run):
    code, out, error = run("predict", finished[0], "The soup was cold.", "-5 stars, never again", "A gem!")
    lines = out.splitlines()
    assert (code, len(lines), error) == (0, 3, "")
    for line in lines:
        shares = re.findall(r"(\d): (\d\.\d\d)", line)
        assert line[:8].strip() in ("1 star", "2 stars", "3 stars", "4 stars", "5 stars")
        assert [star for star, _ in shares] == ["1", "2", "3", "4", "5"]
        assert sum(float(share) for _, share in shares) == pytest.approx(1, abs=0.03)


def test_predict_reads_long_texts_whole(finished, run):
    long = "The soup was cold. " * 300
    one, other = (strict(run("predict", finished[0], text, "--json")[1])["probabilities"]
                  for text in (long, long + "Never again, a shame and a waste. " * 100))
    assert sum(one) == pytest.approx(1) and not np.allclose(one, other, atol=1e-4)


def test_predict_files(baselines, finished, run, tmp_path):
    (tmp_path / "lines.txt").write_text("The soup was cold.\n\nA gem!\n", encoding="utf-8")
    (tmp_path / "table.csv").write_text('id,text\n1,The soup was cold.\n2,A gem!\n', encoding="utf-8")
    for folder, model in ((finished[0], "fine_tuned"), (baselines, "logistic_regression")):
        said = run("predict", folder, "The soup was cold.", "A gem!", "--json")
        assert said[0] == 0 and [strict(line)["model"] for line in said[1].splitlines()] == [model] * 2
        for name in ("lines.txt", "table.csv"):
            assert run("predict", folder, "--file", tmp_path / name, "--json") == said
        code, out, _ = run("predict", folder, "First.", "--file", tmp_path / "lines.txt")
        assert code == 0 and len(out.splitlines()) == 3


def test_predict_gives_out_one_part_before_it_reads_the_next(finished, monkeypatch, tmp_path):
    told, texts = [], [f"The soup was cold {number} times. " * (1 + number % 9) for number in range(9)]
    whole = list(predict_with_run(finished[0], texts, long_reviews="windows", progress=False).values())[-1]

    def tell(model, tokenizer, part, **options):
        told.append(len(part))
        return predict_probabilities(model, tokenizer, part, **options)

    monkeypatch.setattr(comparison, "predict_probabilities", tell)
    found = []
    for name, part in comparison.predict_in_parts(finished[0], texts, size=4, progress=False):
        found.append(part)
        assert name == "fine_tuned" and told == [4, 4, 1][: len(found)]
    np.testing.assert_allclose(np.concatenate(found), whole, atol=1e-5)


@pytest.mark.parametrize("words", [[], [""], ["   "], ["Good.", ""], ["\n"], ["Good \udcff"]])
def test_no_text_to_predict(words, baselines, run):
    assert "text" in only_line(run("predict", baselines, *words))


# explain


TEXT = "The soup was cold, but the waiter didn't mind."


def test_explain_shows_words_that_add_up(finished, run):
    code, out, error = run("explain", finished[0], TEXT, "--words", "3")
    lines = out.splitlines()
    assert (code, error) == (0, "") and len(lines) == 3 + 3 + 1
    assert re.match(r"[1-5] stars? ", lines[0]) and lines[1].startswith("Expected stars ")
    assert "add up to the difference" in lines[1] and lines[-1].endswith("(8 other words)")
    expected, empty = map(float, re.findall(r"(?:stars|;) (\d\.\d\d)", lines[1])[:2])
    scores = [float(line.split()[0]) for line in lines[3:]]
    assert sum(scores) == pytest.approx(expected - empty, abs=0.05)
    assert np.abs(scores[:3]).tolist() == sorted(np.abs(scores[:3]), reverse=True)


def test_explain_in_json_holds_all_words_and_says_what_predict_says(finished, run):
    code, out, _ = run("explain", finished[0], TEXT, "A gem! \U0001f600", "--json")
    first, second = map(strict, out.splitlines())
    said = strict(run("predict", finished[0], TEXT, "--json")[1])
    assert code == 0 and first["stars"] == said["stars"] and first["model"] == "fine_tuned"
    assert first["probabilities"] == pytest.approx(said["probabilities"], abs=1e-5)
    assert [TEXT[word["start"]:word["end"]] for word in first["words"]] == [word["word"] for word in first["words"]]
    assert "didn't" in [word["word"] for word in first["words"]] and first["complete"]
    total = sum(word["stars_added"] for word in first["words"])
    assert total == pytest.approx(first["expected_stars"] - first["empty_stars"] + first["gap"])
    assert "\U0001f600" in [word["word"] for word in second["words"]]


def test_explain_says_where_the_network_stopped_to_read(finished, run):
    code, out, _ = run("explain", finished[0], "good food " * 200, "--steps", "2", "--max-steps", "2")
    assert code == 0 and re.search(r"read no further than \d+ characters; 1,\d+ more had no influence", out)


def test_explain_prints_what_the_terminal_can_show(monkeypatch):
    monkeypatch.setattr(sys, "stdout", TextIOWrapper(BytesIO(), encoding="cp1252"))
    assert cli.for_terminal("caf\u00e9 \U0001f600 \x1b[31m") == "caf\u00e9 \\U0001f600 \\x1b[31m"


def test_explain_reads_texts_of_a_file(finished, run, tmp_path):
    (tmp_path / "lines.txt").write_text(f"{TEXT}\nA gem!\n", encoding="utf-8")
    assert run("explain", finished[0], "--file", tmp_path / "lines.txt") == run("explain", finished[0], TEXT, "A gem!")


def test_explain_without_captum(finished, run, monkeypatch):
    monkeypatch.setitem(sys.modules, "captum.attr", None)
    assert 'pip install "yelp_tl[evidence]"' in only_line(run("explain", finished[0], TEXT))


@pytest.mark.parametrize("words", [
    [], [""], ["  "], ["Good \udcff"], [TEXT, "--words", "0"], [TEXT, "--baseline", "zero"],
    [TEXT, "--steps", "64", "--max-steps", "8"], [TEXT, "--tolerance", "0"]])
def test_nothing_to_explain(words, finished, run):
    only_line(run("explain", finished[0], *words))


def test_explain_needs_a_network(baselines, run, tmp_path):
    assert "a run with a fine-tuned network, found only majority" in only_line(run("explain", baselines, TEXT))
    only_line(run("explain", tmp_path, TEXT))


def test_nothing_saved_to_predict_with(options, run, tmp_path, test_rows):
    assert run("compare", *options, "--models", "frozen_features", "--out", tmp_path / "run")[0] == 0
    assert str(tmp_path / "run") in only_line(run("predict", tmp_path / "run", "A text."))
    assert str(tmp_path / "run") in only_line(run("evaluate", tmp_path / "run", "--data", test_rows))


def cut(path):
    path.write_bytes(path.read_bytes()[:-100])


def overwrite(path):
    path.write_bytes(b"no model at all")


def remove(path):
    path.unlink()


DAMAGES = [(cut, "model/model.safetensors"), (overwrite, "model/model.safetensors"),
           (remove, "model/model.safetensors"), (overwrite, "model/config.json"), (remove, "model/tokenizer.json"),
           (overwrite, "results.json"), (remove, "results.json")]


@pytest.mark.parametrize(("damage", "file"), DAMAGES)
def test_damaged_network(damage, file, finished, run, tmp_path):
    shutil.copytree(finished[0], tmp_path / "run")
    damage(tmp_path / "run" / file)
    assert only_line(run("predict", tmp_path / "run", "A text."))


@pytest.mark.parametrize("damage", [cut, overwrite, remove])
@pytest.mark.parametrize("end", ["json", "safetensors"])
def test_damaged_baseline(damage, end, baselines, run, tmp_path):
    shutil.copytree(baselines, tmp_path / "run")
    file, = (tmp_path / "run").rglob(f"logistic_regression.{end}")
    damage(file)
    assert "logistic_regression" in only_line(run("predict", tmp_path / "run", "A text."))


# doctor


def test_doctor(run):
    code, out, error = run("doctor", "--json")
    report = strict(out)
    assert (code, error) == (0, "")
    assert {"machine", "device", "precision", "threads", "python", "yelp_tl", "torch", "transformers"} <= set(report)
    assert {"network minilm", "network distilbert", "Hub"} <= set(report)
    assert report["Hub"].startswith("HF_HUB_OFFLINE is set, so the Hub was not asked")
    code, out, error = run("doctor")
    assert (code, error) == (0, "") and all(name in out and str(what) in out for name, what in report.items())


# simulated reviews


def test_without_data_the_reviews_are_simulated(run, tmp_path, monkeypatch):
    words = ["--n-train", "60", "--n-validation", "0", "--n-test", "40", "--out", tmp_path / "run"]
    code, out, error = run("baseline", *words)
    assert code == 0, error
    assert "simulated: no figure on them is a figure about Yelp" in out and "ceiling" in out
    results = json.loads((tmp_path / "run" / "results.json").read_text(encoding="utf-8"))
    assert results["command"] == "yelp_tl baseline --n-train 60 --n-validation 0 --n-test 40"
    assert results["data"]["simulated"] is True and results["data"]["source"] == ["simulated reviews"]
    assert "ceiling" in results["models"] and "ceiling" not in {pair["a"] for pair in results["pairs"]}
    monkeypatch.setitem(SAMPLE_ROWS, "test", 60)  # all 5,000 take seconds
    code, out, error = run("evaluate", tmp_path / "run", "--data", "sample")
    assert code == 0 and "60 test rows" in out and "simulated" in out and "ceiling" in out, error


def test_simulate_writes_a_file_and_keeps_an_old_one(run, tmp_path):
    path = tmp_path / "reviews.csv"
    code, out, _ = run("simulate", "--out", path, "--n", "30", "--split", "test")
    assert code == 0 and "30 simulated test reviews" in out
    before = path.read_bytes()
    assert "--force" in only_line(run("simulate", "--out", path, "--n", "20"))
    assert path.read_bytes() == before
    assert run("simulate", "--out", path, "--n", "20", "--force")[0] == 0 and path.read_bytes() != before
    assert "reviews.txt" in only_line(run("simulate", "--out", tmp_path / "reviews.txt"))
    assert list(listing(tmp_path)) == ["reviews.csv"]


def test_simulate_writes_the_side_that_was_asked_for(run, monkeypatch, tmp_path):
    seen = []
    monkeypatch.setattr("yelp_tl.simulation.write_simulated", lambda *words: seen.append(words))
    assert run("simulate", "--out", tmp_path / "a.csv", "--n", "30", "--split", "test")[0] == 0
    assert seen == [(tmp_path / "a.csv", 30, "test")]


@pytest.mark.parametrize("box", [
    "╭─ Value error ──╮\n│ Error parsing experiment.training: max_length: │\n│ expected a whole number, found 3.  │\n"
    "│ ────── │\n│ For full helptext, see yelp_tl compare --help │\n╰────────╯\n",
    " Value error  \n ------------ \n  Error parsing experiment.training: max_length:  \n"
    "  expected a whole number, found 3 \n  --------\n  For full helptext, see yelp_tl compare --help \n   \n",
])
def test_a_wrong_option_is_one_line_in_any_terminal(box):
    assert cli.first_paragraph(box) == "--max-length: expected a whole number, found 3"


@pytest.mark.parametrize(("words", "wanted"), [
    ("--data hub", True), ("--data=hub", True), ("--preset lecture", True), ("--preset=lecture --seed 3", True),
    ("--preset lecture --data a.csv", False), ("--preset lecture --data=sample", False), ("--data a.csv", False),
    ("", False), ("--test hub --data a.csv", False),
])
def test_words_that_ask_for_the_hub(words, wanted):
    assert cli.wants_hub(words.split()) is wanted
