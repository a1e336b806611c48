"""A pickle can run any program when it is opened. One is planted in every file of a run and of a checkpoint."""
import io
import os
import pickle
import shutil
import signal
from contextlib import suppress

import pytest
import torch
from conftest import empty_report
from safetensors import SafetensorError

import yelp_tl.comparison as comparison
import yelp_tl.finetuning as finetuning
from yelp_tl import cli
from yelp_tl.data import InputError, example_reviews
from yelp_tl.finetuning import TrainingSettings, fine_tune
from yelp_tl.pretrained import find_checkpoint

pytestmark = pytest.mark.filterwarnings("ignore:.*pin_memory.*")


class Mark:
    "When its pickle is opened, a folder appears."

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return os.mkdir, (str(self.path),)


def pickled(path):
    return pickle.dumps(Mark(path))


def zipped(path):
    "As torch.save() writes it."
    buffer = io.BytesIO()
    torch.save({"state": Mark(path)}, buffer)
    return buffer.getvalue()


@pytest.fixture(params=[pickled, zipped])
def planted(request, tmp_path):
    "A pickle's bytes, and the folder that appears when it is opened."
    mark = tmp_path / "opened"
    return request.param(mark), mark


@pytest.fixture(autouse=True)
def restored(monkeypatch):
    "As in the command's other tests: its process stays as it was, and no time goes into plots."
    from transformers.utils import logging

    monkeypatch.setattr(comparison, "write_report", empty_report)
    monkeypatch.setattr(comparison, "explain_test_rows", lambda *_: None)
    handler, verbosity = signal.getsignal(signal.SIGTERM), logging.get_verbosity()
    yield
    signal.signal(signal.SIGTERM, handler)
    logging.set_verbosity(verbosity)
    logging.enable_progress_bar()


def test_the_planted_pickles_work(planted):
    "Otherwise the tests below would show nothing."
    content, mark = planted
    with pytest.raises(pickle.UnpicklingError, match="[Ww]eights"):
        torch.load(io.BytesIO(content), weights_only=True)
    assert not mark.exists()
    with suppress(RuntimeError):  # a plain pickle is opened first, and found to be none of torch's then
        torch.load(io.BytesIO(content), weights_only=False)
    assert mark.exists()


# a finished run


@pytest.fixture(scope="module")
def options(tiny_folder, tmp_path_factory):
    data = tmp_path_factory.mktemp("data") / "reviews.parquet"
    example_reviews().to_parquet(data)
    example_reviews().select(range(40)).to_parquet(data.with_name("others.parquet"))  # as far as evaluate can tell
    return ["--data", str(data), "--model", str(tiny_folder), "--n-train", "30", "--n-validation", "10", "--n-test",
            "20", "--epochs", "1", "--max-length", "32", "--precision", "fp32"]


@pytest.fixture(scope="module")
def finished(options, tmp_path_factory):
    folder = tmp_path_factory.mktemp("finished") / "run"
    write_report, comparison.write_report = comparison.write_report, empty_report
    try:
        assert cli.main(["compare", *options, "--out", str(folder)]) == 0
    finally:
        comparison.write_report = write_report
    return folder


FILES = [
    "results.json", "run.json", "predictions.parquet", "report.html", "log.jsonl",
    "model/README.md", "model/config.json", "model/model.safetensors", "model/tokenizer.json",
    "model/tokenizer_config.json", "baseline/majority.json", "baseline/majority.safetensors",
    "baseline/naive_bayes.json", "baseline/naive_bayes.safetensors",
    "baseline/logistic_regression.json", "baseline/logistic_regression.safetensors",
]
REFUSED = [name for name in FILES
           if name == "results.json" or name.startswith(("model/", "baseline/")) and not name.endswith(".md")]
EXTRA = ["model/pytorch_model.bin", "model/training_args.bin", "model/optimizer.pt", "model/tf_model.h5",
         "model/adapter_model.bin", "model/tokenizer.pkl", "baseline/naive_bayes.pkl", "baseline/naive_bayes.joblib",
         "model.pkl", "plots/stars.svg", "checkpoints/checkpoint-8/optimizer.pt"]


def test_every_file_of_a_run_is_in_the_list(finished):
    there = {path.relative_to(finished).as_posix() for path in finished.rglob("*") if path.is_file()}
    assert there <= set(FILES) and set(FILES) - there <= {"report.html"}  # the report is left out here


def run_all(folder, options, capsys):
    "Exit codes of the commands that read a finished run, and the lines with which they refuse it."
    codes, lines = [], []
    others = options[1].replace("reviews", "others")
    for words in (["predict", str(folder), "Good soup."], ["evaluate", str(folder), "--data", others],
                  ["compare", *options, "--out", str(folder), "--resume"]):
        capsys.readouterr()
        codes.append(cli.main(words))
        out, error = capsys.readouterr()
        if codes[-1]:
            assert out == "" and error.count("\n") == 1 and len(error) < 1000, error
            lines.append(error)
    return codes, lines


@pytest.mark.parametrize("name", FILES)
def test_a_pickle_in_a_run_is_never_opened(name, finished, options, tmp_path, capsys):
    mark = tmp_path / "opened"
    content = pickled(mark)
    folder = tmp_path / "run"
    shutil.copytree(finished, folder)
    (folder / name).write_bytes(content)
    codes, lines = run_all(folder, options, capsys)
    assert not mark.exists()
    predicting = name in REFUSED and not name.startswith("baseline/")  # the network predicts, where there is one
    assert codes[:2] == [2 * predicting, 2 * (name in REFUSED)], lines
    assert codes[2] == 2 * (name in ("results.json", "run.json")), lines


def test_a_pickle_beside_the_files_of_a_run_is_never_opened(planted, finished, options, tmp_path, capsys):
    content, mark = planted
    folder = tmp_path / "run"
    shutil.copytree(finished, folder)
    for name in EXTRA:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(content)
    codes, lines = run_all(folder, options, capsys)
    assert not mark.exists() and codes == [0, 0, 0], lines


def test_a_network_that_is_only_a_pickle_is_refused(planted, finished, options, tmp_path, capsys):
    content, mark = planted
    folder = tmp_path / "run"
    shutil.copytree(finished, folder)
    (folder / "model" / "model.safetensors").unlink()
    (folder / "model" / "pytorch_model.bin").write_bytes(content)
    codes, lines = run_all(folder, options, capsys)
    assert not mark.exists() and codes[:2] == [2, 2] and "only a pickle" in lines[0]


# a checkpoint to go on from

SETTINGS = TrainingSettings(epochs=2, batch_size=8, max_length=16, precision="fp32")


@pytest.fixture(scope="module")
def stopped(tiny_folder, tmp_path_factory):
    "A training that was stopped after its first epoch: folder, its reviews, and the weights of an undisturbed one."
    folder = tmp_path_factory.mktemp("stopped")
    train = example_reviews().select(range(0, 60, 4))
    network = fine_tune(find_checkpoint(str(tiny_folder)), train, SETTINGS, 1, folder=folder, progress=False).model
    shutil.rmtree(folder / "checkpoints" / "checkpoint-4")
    return folder, train, network.state_dict()


def files_of_checkpoint(folder):
    return {path.name for path in (folder / "checkpoints" / "checkpoint-2").iterdir()}


# each file that a resumed training reads, with the error by which its library refuses a pickle in its place
WEIGHTS_ONLY = (pickle.UnpicklingError, "Weights only load failed")
LOADED = {
    "model.safetensors": (SafetensorError, "header"),
    "optimizer.pt": WEIGHTS_ONLY, "scheduler.pt": WEIGHTS_ONLY, "rng_state.pth": WEIGHTS_ONLY,
    "trainer_state.json": (UnicodeDecodeError, "utf-8"), "config.json": (UnicodeDecodeError, "utf-8"),
}
NOT_LOADED = ["training_args.bin", "pytorch_model.bin", "tokenizer.json", "README.md"]


def resume_from(folder, stopped, tiny_folder, monkeypatch):
    "Go on from a checkpoint without any look at its files before."
    monkeypatch.setattr(finetuning, "newest_checkpoint", lambda *_, **__: str(folder / "checkpoints" / "checkpoint-2"))
    return fine_tune(find_checkpoint(str(tiny_folder)), stopped[1], SETTINGS, 1, folder=folder, resume=True,
                     progress=False).model.state_dict()


@pytest.mark.parametrize("name", LOADED)
def test_a_pickle_in_a_checkpoint_is_refused(name, planted, stopped, tiny_folder, tmp_path, monkeypatch):
    content, mark = planted
    folder = tmp_path / "run"
    shutil.copytree(stopped[0], folder)
    assert name in files_of_checkpoint(folder)
    (folder / "checkpoints" / "checkpoint-2" / name).write_bytes(content)
    error, said = LOADED[name]
    with pytest.raises(error, match=said):
        resume_from(folder, stopped, tiny_folder, monkeypatch)
    assert not mark.exists()


def test_only_a_pickle_as_weights_of_a_checkpoint_is_refused(planted, stopped, tiny_folder, tmp_path, monkeypatch):
    content, mark = planted
    folder = tmp_path / "run"
    shutil.copytree(stopped[0], folder)
    (folder / "checkpoints" / "checkpoint-2" / "model.safetensors").unlink()
    (folder / "checkpoints" / "checkpoint-2" / "pytorch_model.bin").write_bytes(content)
    error, said = WEIGHTS_ONLY
    with pytest.raises(error, match=said):
        resume_from(folder, stopped, tiny_folder, monkeypatch)
    assert not mark.exists()


def test_what_a_checkpoint_holds_besides_is_never_opened(planted, stopped, tiny_folder, tmp_path, monkeypatch):
    content, mark = planted
    folder = tmp_path / "run"
    shutil.copytree(stopped[0], folder)
    for name in NOT_LOADED:
        (folder / "checkpoints" / "checkpoint-2" / name).write_bytes(content)
    loaded = []
    load = torch.load

    def record(file, *args, **options):
        loaded.append((os.path.basename(file), options.get("weights_only")))
        return load(file, *args, **options)

    monkeypatch.setattr(torch, "load", record)
    weights = resume_from(folder, stopped, tiny_folder, monkeypatch)
    assert not mark.exists()
    assert sorted(loaded) == [("optimizer.pt", True), ("rng_state.pth", True), ("scheduler.pt", True)]
    assert all(torch.equal(weights[name], values) for name, values in stopped[2].items())


def test_the_lists_name_every_file_of_a_checkpoint(stopped):
    assert files_of_checkpoint(stopped[0]) <= {*LOADED, *NOT_LOADED, "manifest.json"}


def test_the_command_resumes_no_pickle(planted, options, tmp_path, monkeypatch, capsys):
    content, mark = planted
    folder = tmp_path / "run"
    monkeypatch.setattr(comparison, "write_predictions", stop)
    words = ["finetune", *options, "--epochs", "2", "--out", str(folder)]
    assert cli.main(words) == 75
    monkeypatch.undo()
    for checkpoint in (folder / "checkpoints").iterdir():
        for name in ("optimizer.pt", "scheduler.pt", "rng_state.pth", "training_args.bin"):
            (checkpoint / name).write_bytes(content)
    monkeypatch.setattr(comparison, "write_report", empty_report)
    monkeypatch.setattr(comparison, "explain_test_rows", lambda *_: None)
    capsys.readouterr()
    code = cli.main([*words, "--resume"])
    error = capsys.readouterr().err
    assert not mark.exists() and "Traceback" not in error
    assert code in (0, 1, 2)


def stop(*_):
    raise KeyboardInterrupt


# a pretrained network


def test_a_pretrained_network_with_pickles_beside_it_is_read_without_them(planted, tiny_folder, tmp_path):
    content, mark = planted
    folder = tmp_path / "network"
    shutil.copytree(tiny_folder, folder)
    for name in ("pytorch_model.bin", "training_args.bin", "optimizer.pt", "rust_model.ot"):
        (folder / name).write_bytes(content)
    finetuning.build_classifier(find_checkpoint(str(folder)), 1)
    (folder / "model.safetensors").unlink()
    with pytest.raises(InputError, match="only a pickle"):
        find_checkpoint(str(folder))
    assert not mark.exists()
