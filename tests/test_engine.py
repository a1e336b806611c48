"""The engine: what the plain Trainer gets wrong, seen here, and what ours does; crashes, full disks, two processes."""
import dataclasses
import errno
import json
import os
import shutil
import signal
import subprocess
import sys
import threading
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from accelerate.commands.launch import _validate_launch_command, launch_command_parser
from accelerate.utils.launch import prepare_simple_launcher_cmd_env
from conftest import empty_report
from datasets import Dataset
from packaging.requirements import Requirement
from transformers import AutoModel, Trainer, TrainerCallback, TrainingArguments, trainer_jit_checkpoint

from yelp_tl import cli, comparison, finetuning
from yelp_tl.comparison import lock_folder
from yelp_tl.data import InputError, example_reviews
from yelp_tl.evaluation import compute_metrics
from yelp_tl.finetuning import (
    BatchShare,
    EpochSampler,
    ReviewTrainer,
    SaveError,
    TrainingSettings,
    build_classifier,
    check_share,
    fine_tune,
    join_processes,
    mean_loss,
    names_in,
    newest_checkpoint,
    run_network,
    save_classifier,
    write_whole,
)
from yelp_tl.pretrained import load_tokenizer
from yelp_tl.tokenization import make_collator, tokenize_reviews

HOUSE = Path(__file__).resolve().parent.parent
SETTINGS = TrainingSettings(epochs=2, batch_size=8, learning_rate=1e-3, max_length=24, precision="fp32")
pytestmark = pytest.mark.filterwarnings("ignore:.*pin_memory.*")
linux = pytest.mark.skipif(sys.platform != "linux", reason="gloo over the loopback device, fork, /proc")


@pytest.fixture(autouse=True)
def on_the_cpu(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: False)


@pytest.fixture(scope="module")
def train():
    return example_reviews().shuffle(seed=0).select(range(21))


@pytest.fixture(scope="module")
def tokenizer(tiny_checkpoint):
    return load_tokenizer(tiny_checkpoint)


@pytest.fixture(scope="module")
def rows(train, tokenizer):
    return tokenize_reviews(train, tokenizer, 24)


def plain(network, rows, tokenizer, folder, *, callbacks=(), **options):
    """The lecture's Trainer, with a head that was seeded."""
    arguments = {"num_train_epochs": 2, "per_device_train_batch_size": 8, "save_strategy": "epoch",
                 "learning_rate": 1e-3, "logging_steps": 1, "seed": 1}
    return Trainer(
        build_classifier(network, 1),
        TrainingArguments(str(folder), use_cpu=True, report_to="none", disable_tqdm=True, dataloader_pin_memory=False,
                          **(arguments | options)),
        train_dataset=rows, data_collator=make_collator(tokenizer), callbacks=list(callbacks),
        eval_dataset=rows, compute_metrics=compute_metrics,
    )


def weights(model):
    return {name: value.clone() for name, value in model.state_dict().items()}


def same(one, other):
    return all(torch.equal(one[name], other[name]) for name in one)


def lines(folder):
    return [json.loads(line) for line in (folder / "log.jsonl").read_text(encoding="utf-8").splitlines()]


def flip(path):
    content = bytearray(path.read_bytes())
    content[-100] ^= 64  # within the numbers of the last weight
    path.write_bytes(content)


# checkpoints: DESIGN 3, item 3

DAMAGES = {
    "a bit of the weights": lambda folder: flip(folder / "model.safetensors"),
    "no optimizer": lambda folder: (folder / "optimizer.pt").unlink(),
    "no random state": lambda folder: (folder / "rng_state.pth").unlink(),
    "half of the weights": lambda folder: os.truncate(folder / "model.safetensors", 2000),
    "no weights": lambda folder: (folder / "model.safetensors").unlink(),
    "empty": lambda folder: [path.unlink() for path in folder.iterdir()],
}


@pytest.fixture(scope="module")
def plain_run(tiny_checkpoint, rows, tokenizer, tmp_path_factory):
    """A plain run, its weights, and its folder with the checkpoints of three epochs."""
    folder = tmp_path_factory.mktemp("plain")
    trainer = plain(tiny_checkpoint, rows, tokenizer, folder, num_train_epochs=3)
    trainer.train()
    return weights(trainer.model), folder


@pytest.fixture(scope="module")
def our_run(tiny_checkpoint, train, tmp_path_factory):
    folder = tmp_path_factory.mktemp("ours")
    tuned = fine_tune(tiny_checkpoint, train, dataclasses.replace(SETTINGS, epochs=3), 1, folder=folder, progress=False)
    return weights(tuned.model), folder


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_checkpoint(damage, plain_run, our_run, tiny_checkpoint, train, rows, tokenizer, tmp_path, capsys):
    whole, folder = plain_run
    shutil.copytree(folder, tmp_path / "plain")
    shutil.rmtree(tmp_path / "plain" / "checkpoint-9")  # as if the run had been stopped in the third epoch
    DAMAGES[damage](tmp_path / "plain" / "checkpoint-6")
    trainer = plain(tiny_checkpoint, rows, tokenizer, tmp_path / "plain", num_train_epochs=3)
    try:
        trainer.train(resume_from_checkpoint=True)
        outcome = "other weights, and not a word" if not same(whole, trainer.model.state_dict()) else "equal"
    except Exception:
        outcome = "fails"
    assert outcome == ("fails" if damage in ("half of the weights", "no weights", "empty")
                       else "other weights, and not a word")

    undisturbed, folder = our_run
    shutil.copytree(folder, tmp_path / "ours")
    DAMAGES[damage](tmp_path / "ours" / "checkpoints" / "checkpoint-9")  # of the two that are kept
    tuned = fine_tune(tiny_checkpoint, train, dataclasses.replace(SETTINGS, epochs=3), 1, folder=tmp_path / "ours",
                      resume=True, progress=False)
    assert same(undisturbed, tuned.model.state_dict())
    assert "checkpoint-9 is not whole (" in capsys.readouterr().err


class Dies(Exception):
    """Stands for a process that ends in the middle of a save."""


def test_a_save_that_is_cut_short(tiny_checkpoint, train, rows, tokenizer, tmp_path, monkeypatch):
    "The plain Trainer leaves a half checkpoint with the highest number; ours leaves none."
    def dies(self, folder):
        if self.state.global_step == 6:
            raise Dies
        return plain_save(self, folder)

    with monkeypatch.context() as patch:
        plain_save = Trainer._save_optimizer_and_scheduler
        patch.setattr(Trainer, "_save_optimizer_and_scheduler", dies)
        with pytest.raises(Dies):
            plain(tiny_checkpoint, rows, tokenizer, tmp_path / "plain").train()
        with pytest.raises(Dies):
            fine_tune(tiny_checkpoint, train, SETTINGS, 1, folder=tmp_path, progress=False)
    assert (tmp_path / "plain" / "checkpoint-6" / "model.safetensors").exists()
    with pytest.raises(FileNotFoundError):
        plain(tiny_checkpoint, rows, tokenizer, tmp_path / "plain").train(resume_from_checkpoint=True)
    assert [path.name for path in (tmp_path / "checkpoints").iterdir()] == ["checkpoint-3"]


def test_new_checkpoints_stay_beside_damaged_ones_with_more_steps(tiny_checkpoint, train, tmp_path, monkeypatch):
    settings = dataclasses.replace(SETTINGS, epochs=5)
    fine_tune(tiny_checkpoint, train, settings, 1, folder=tmp_path, progress=False)
    kept = tmp_path / "checkpoints"
    for path in kept.iterdir():
        flip(path / "model.safetensors")
    assert {path.name for path in kept.iterdir()} == {"checkpoint-12", "checkpoint-15"}
    watch = finetuning.RunLog.on_log

    def stop(self, args, state, control, **options):
        watch(self, args, state, control, **options)
        if state.global_step == 7:
            raise KeyboardInterrupt

    monkeypatch.setattr(finetuning.RunLog, "on_log", stop)
    with pytest.raises(KeyboardInterrupt):
        fine_tune(tiny_checkpoint, train, settings, 1, folder=tmp_path, resume=True, progress=False)
    assert {path.name for path in kept.iterdir()} == {"checkpoint-3", "checkpoint-6"}
    assert newest_checkpoint(kept) == str(kept / "checkpoint-6")


def test_a_checkpoint_in_the_middle_of_an_epoch(tiny_checkpoint, train, tmp_path, monkeypatch):
    settings = dataclasses.replace(SETTINGS, batch_size=2, accumulation=1)  # 11 steps an epoch
    undisturbed = fine_tune(tiny_checkpoint, train, settings, 1, scored=train, folder=tmp_path / "a", progress=False)
    monkeypatch.setattr(finetuning, "SAVE_SECONDS", 0)
    watch = finetuning.RunLog.on_log

    def stop(self, args, state, control, **options):
        watch(self, args, state, control, **options)
        if state.global_step == 17:
            raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(finetuning.RunLog, "on_log", stop)
        with pytest.raises(KeyboardInterrupt):
            fine_tune(tiny_checkpoint, train, settings, 1, scored=train, folder=tmp_path / "b", progress=False)
    kept = tmp_path / "b" / "checkpoints"
    assert {path.name for path in kept.iterdir()} == {"checkpoint-10", "checkpoint-11"}
    shutil.rmtree(kept / "checkpoint-11")  # so that it goes on from step 10 of 11
    assert [line["step"] for line in lines(tmp_path / "b") if "loss" in line][-1] == 17
    resumed = fine_tune(tiny_checkpoint, train, settings, 1, scored=train, folder=tmp_path / "b", resume=True,
                        progress=False)
    assert same(undisturbed.model.state_dict(), resumed.model.state_dict())
    assert resumed.epochs == undisturbed.epochs
    figures = [[(line["step"], line.get("loss"), line.get("eval_loss")) for line in lines(tmp_path / name)]
               for name in "ab"]
    assert figures[0] == figures[1]  # each step once, each score once


# what is written appears whole or not at all


FULL = OSError(28, "No space left on device")


@pytest.mark.parametrize("trouble", [KeyboardInterrupt, FULL, RuntimeError("unexpected")])
def test_a_file_or_folder_that_cannot_be_finished(trouble, tmp_path):
    (tmp_path / "file").write_text("before")
    with write_whole(tmp_path / "folder") as draft:
        draft.mkdir()
        (draft / "part").write_text("before")
    for name in ("file", "folder"):
        expected = KeyboardInterrupt if trouble is KeyboardInterrupt else SaveError
        with pytest.raises(expected) as found, write_whole(tmp_path / name) as draft:
            if name == "folder":
                draft.mkdir()
            (draft / "part" if name == "folder" else draft).write_text("after")
            raise trouble
        if isinstance(trouble, OSError):
            assert f"{name} can't be written: No space left on device." in str(found.value)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["file", "folder"]
    assert (tmp_path / "file").read_text() == (tmp_path / "folder" / "part").read_text() == "before"


def test_a_draft_of_a_killed_process_does_no_harm(tmp_path):
    (tmp_path / ".part-folder" / "folder").mkdir(parents=True)
    (tmp_path / ".part-folder" / "folder" / "half").write_text("half")
    with write_whole(tmp_path / "folder", {"step": 1}) as draft:
        draft.mkdir()
        (draft / "whole").write_text("whole")
    assert sorted(path.name for path in tmp_path.rglob("*")) == ["folder", "manifest.json", "whole"]


def test_a_file_never_replaces_a_folder_nor_a_folder_a_file(tmp_path):
    (tmp_path / "runs").mkdir()
    (tmp_path / "runs" / "results.json").write_text("mine")
    file, folder = (pytest.raises(InputError, match=f"expected a {kind} to replace") for kind in ("file", "folder"))
    with file, write_whole(tmp_path / "runs") as draft:
        draft.write_text("{}")
    with folder, write_whole(tmp_path / "runs" / "results.json") as draft:
        draft.mkdir()
    assert (tmp_path / "runs" / "results.json").read_text() == "mine"
    assert sorted(path.name for path in tmp_path.rglob("*")) == ["results.json", "runs"]


@pytest.mark.parametrize("trouble", [KeyboardInterrupt, PermissionError(13, "Access is denied")])
def test_a_folder_comes_back_when_its_successor_cannot_be_named(trouble, tmp_path, monkeypatch):
    """A virus scanner that holds a file does this on Windows; a kill between the two names does, too."""
    def write(text):
        with write_whole(tmp_path / "model", {"step": 1}) as draft:
            draft.mkdir()
            (draft / "weights").write_text(text)

    def stopped(source, target):
        if Path(target) == tmp_path / "model" and Path(source).name == "model":
            raise trouble
        real(source, target)

    write("old")
    real = os.replace
    with monkeypatch.context() as patch:
        patch.setattr(os, "replace", stopped)
        with pytest.raises(KeyboardInterrupt if trouble is KeyboardInterrupt else SaveError):
            write("new")
    assert (tmp_path / "model" / "weights").read_text() == "old"
    assert [path.name for path in tmp_path.iterdir()] == ["model"]
    (tmp_path / ".part-model").mkdir()
    os.replace(tmp_path / "model", tmp_path / ".part-model" / "model.earlier")
    with pytest.raises(SaveError), write_whole(tmp_path / "model", {"step": 1}):
        raise FULL
    assert (tmp_path / "model" / "weights").read_text() == "old"
    write("new")
    assert sorted(path.name for path in tmp_path.rglob("*")) == ["manifest.json", "model", "weights"]


def test_two_processes_write_into_one_folder(tmp_path):
    code = ("import sys; from pathlib import Path; from yelp_tl.finetuning import write_whole\n"
            "for number in range(100):\n"
            "    with write_whole(Path(sys.argv[1]) / f'{sys.argv[2]}-{number}') as draft:\n"
            "        draft.write_text(sys.argv[2])\n")
    both = [subprocess.Popen([sys.executable, "-c", code, str(tmp_path), name]) for name in ("one", "other")]
    assert [process.wait() for process in both] == [0, 0]
    assert {path.name for path in tmp_path.iterdir()} == {f"{name}-{k}" for name in ("one", "other")
                                                          for k in range(100)}


@pytest.mark.parametrize(("trouble", "advice"), [
    (FULL, "Make room"), (RuntimeError("unexpected pos 1"), "Make room"), (PermissionError(13, "No"), "Put that right"),
    (OSError(errno.EFBIG, "too large"), "Make room"), (OSError(errno.EINVAL, "No space left on device"), "Make room")])
def test_what_to_do_fits_what_was_found(trouble, advice, tmp_path):
    with pytest.raises(SaveError, match=advice), write_whole(tmp_path / "file"):
        raise trouble


def test_what_counts_as_standing_in_a_folder(tmp_path):
    for name in (".DS_Store", "Thumbs.db", "desktop.ini", "mine"):
        (tmp_path / name).touch()
    (tmp_path / ".part-mine").mkdir()
    assert names_in(tmp_path) == {"mine"} and names_in(tmp_path / "none") == set()
    with pytest.raises(OSError):  # what can't be looked into is not taken for empty
        names_in(tmp_path / "mine")


def test_an_earlier_folder_is_back_while_its_successor_is_written(tmp_path):
    (tmp_path / ".part-model" / "model.earlier").mkdir(parents=True)
    with write_whole(tmp_path / "model"):
        assert (tmp_path / "model").is_dir()


@pytest.mark.parametrize("path", [Path(), Path(".."), Path("..") / ".."])
def test_the_working_folder_is_never_replaced(path, tmp_path, monkeypatch):
    (tmp_path / "here" / "below").mkdir(parents=True)
    monkeypatch.chdir(tmp_path / "here" / "below")
    with pytest.raises(InputError, match="found the working folder or one above it"), write_whole(path) as draft:
        draft.mkdir()
    assert [entry.name for entry in sorted(tmp_path.rglob("*"))] == ["here", "below"]


@linux
def test_a_path_through_a_link_stays_as_it_is(tmp_path):
    (tmp_path / "target" / "below").mkdir(parents=True)
    (tmp_path / "link").symlink_to(tmp_path / "target" / "below")
    with write_whole(tmp_path / "link" / ".." / "file") as draft:
        draft.write_text("new")
    assert (tmp_path / "target" / "file").read_text() == "new" and not (tmp_path / "file").exists()


def test_a_network_never_replaces_other_files(tiny_checkpoint, tokenizer, tmp_path):
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.txt").write_text("all of it")
    with pytest.raises(InputError, match="thesis.txt. Give another folder"):
        save_classifier(build_classifier(tiny_checkpoint, 1), tokenizer, tmp_path / "mine")
    assert [path.name for path in (tmp_path / "mine").iterdir()] == ["thesis.txt"]
    for _ in range(2):  # an earlier network is replaced
        save_classifier(build_classifier(tiny_checkpoint, 1), tokenizer, tmp_path / "model")


# the command


@pytest.fixture
def words(tiny_folder):
    return ["finetune", "--model", str(tiny_folder), "--n-train", "32", "--n-validation", "10", "--n-test", "20",
            "--epochs", "2", "--batch-size", "8", "--max-length", "32", "--precision", "fp32"]


@pytest.fixture(autouse=True)
def without_plots(monkeypatch):
    monkeypatch.setattr(comparison, "write_report", empty_report)
    monkeypatch.setattr(comparison, "explain_test_rows", lambda *_: None)


@pytest.fixture(autouse=True)
def handlers():
    handler = signal.getsignal(signal.SIGTERM)
    yield
    signal.signal(signal.SIGTERM, handler)


def one_line(error):
    said = [line for line in error.replace("\r", "\n").splitlines() if line.startswith("yelp_tl: ")]
    assert len(said) == 1 and "Traceback" not in error, error
    return said[0]


@pytest.mark.skipif(sys.platform == "win32", reason="no limit on the size of files")
def test_a_disk_that_is_full(words, tmp_path, monkeypatch, capsys):
    "A limit on the size of files stands for a full disk, from the second checkpoint on."
    import resource

    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    save = ReviewTrainer._save_checkpoint

    def limited(self, *arguments):
        if self.state.global_step == 8:
            resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, limits[1]))
        return save(self, *arguments)

    out = tmp_path / "run"
    try:
        with monkeypatch.context() as patch:
            patch.setattr(ReviewTrainer, "_save_checkpoint", limited)
            code = cli.main([*words, "--out", str(out)])
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    said = one_line(capsys.readouterr().err)
    assert code == 1 and "checkpoint-8 can't be written" in said and "--resume" in said
    assert newest_checkpoint(out / "checkpoints").endswith("checkpoint-4")
    assert {path.name for path in out.iterdir()} == {"run.json", "log.jsonl", "checkpoints"}  # no model, no draft
    assert [path.name for path in (out / "checkpoints").iterdir()] == ["checkpoint-4"]
    assert cli.main([*words, "--out", str(out), "--resume"]) == 0


def test_a_second_run_in_the_same_folder(words, tmp_path, capsys):
    out = tmp_path / "run"
    with lock_folder(out):
        for more in ([], ["--resume"], ["--force"]):
            assert cli.main([*words, "--out", str(out), *more]) == 2
            assert "another run is at work in this folder" in one_line(capsys.readouterr().err)
        assert [path.name for path in out.iterdir()] == ["run.lock"]
    assert list(out.iterdir()) == []


@linux
def test_a_folder_that_cannot_be_made(words, tmp_path, capsys):
    (tmp_path / "file").write_text("mine")
    for out in ("/proc/nothing", tmp_path / "file" / "run", tmp_path / "file"):
        assert cli.main([*words, "--out", str(out)]) == 2
        assert str(out) in one_line(capsys.readouterr().err)
    assert (tmp_path / "file").read_text() == "mine"


def test_resuming_with_other_settings_or_data(words, tmp_path, monkeypatch, capsys):
    out = tmp_path / "run"
    with monkeypatch.context() as patch:
        patch.setattr(comparison, "save_classifier", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
        assert cli.main([*words, "--out", str(out)]) == 75
    assert "--resume goes on" in one_line(capsys.readouterr().err)
    for change in (["--learning-rate", "2e-3"], ["--seed", "7"], ["--n-train", "31"]):
        assert cli.main([*words, *change, "--out", str(out), "--resume"]) == 2
        assert "holds another run" in one_line(capsys.readouterr().err)
    assert not (out / "model").exists() and (out / "checkpoints").exists()
    assert cli.main([*words, "--seed", "7", "--out", str(out), "--force"]) == 0


@pytest.mark.parametrize("left", ["checkpoints", ".part-plots", "run.lock"])
def test_a_finished_run_is_tidied_up(left, words, tmp_path, monkeypatch, capsys):
    "A process that was killed after results.json was written leaves its lock and its checkpoints."
    out = tmp_path / "run"
    assert cli.main([*words, "--out", str(out)]) == 0
    kept = {path.name for path in out.iterdir()}
    (out / left).touch() if left == "run.lock" else (out / left).mkdir()
    assert cli.main([*words, "--out", str(out), "--resume"]) == 0
    assert {path.name for path in out.iterdir()} == kept


@pytest.mark.parametrize("bad", ["loss", "gradient", "weights"])
def test_what_is_no_number_stops_the_run(bad, words, tmp_path, monkeypatch, capsys):
    "The plain Trainer hides it: it writes down the mean of the losses before."
    def spoil(self, model, inputs, *others, step=ReviewTrainer.training_step):
        found = step(self, model, inputs, *others)
        if self.state.global_step == 4:  # the fifth step
            weight = next(self.model.parameters())
            if bad == "gradient":
                weight.grad[0] = float("nan")
            if bad == "weights":
                self.optimizer.param_groups[0]["lr"] = float("inf")
        return found * float("nan") if bad == "loss" and self.state.global_step == 4 else found

    monkeypatch.setattr(ReviewTrainer, "training_step", spoil)
    out = tmp_path / "run"
    assert cli.main([*words, "--out", str(out)]) == 1
    said = one_line(capsys.readouterr().err)
    assert f"{'loss' if bad == 'weights' else bad} is nan at step {6 if bad == 'weights' else 5}" in said
    assert not (out / "model").exists()
    assert [path.name for path in (out / "checkpoints").iterdir()] == ["checkpoint-4"]


def test_the_plain_trainer_hides_a_loss_that_is_no_number(tiny_checkpoint, rows, tokenizer, tmp_path, monkeypatch):
    def spoil(self, model, inputs, *others, step=Trainer.training_step):
        return step(self, model, inputs, *others) * (float("nan") if self.state.global_step == 4 else 1)

    monkeypatch.setattr(Trainer, "training_step", spoil)
    trainer = plain(tiny_checkpoint, rows, tokenizer, tmp_path, save_strategy="no", logging_steps=3)
    trainer.train()
    losses = [record["loss"] for record in trainer.state.log_history if "loss" in record]
    assert len(losses) == 2 and all(loss == loss and loss > 0 for loss in losses)


# scoring draws no random number and is no training time


class Draws(TrainerCallback):
    """Notes the random state after each epoch's scoring."""

    def __init__(self):
        self.states = []

    def on_epoch_begin(self, *_, **__):
        self.states.append(torch.get_rng_state())


def test_scoring_changes_plain_training_alone(tiny_checkpoint, rows, tokenizer, train, tmp_path):
    states = []
    for strategy in ("no", "epoch"):
        watch = Draws()
        plain(tiny_checkpoint, rows, tokenizer, tmp_path, callbacks=[watch], save_strategy="no", eval_strategy=strategy,
              train_sampling_strategy="sequential").train()
        states.append(watch.states[1])
    assert not torch.equal(*states)
    losses = [fine_tune(tiny_checkpoint, train, SETTINGS, 1, scored=scored, progress=False).step_losses
              for scored in (None, train)]
    assert losses[0] == losses[1]


def test_scoring_is_no_training_time(monkeypatch):
    clock = iter([100.0, 130.0, 140.0])
    monkeypatch.setattr(finetuning.time, "perf_counter", lambda: next(clock))
    state, watch = SimpleNamespace(log_history=[{"seconds": 5.0}]), finetuning.Stopwatch()
    watch.on_train_begin(None, state, None)
    for logs in ({"loss": 1.0, "eval_runtime": 20.0}, {"loss": 1.0}):
        state.log_history.append(dict(logs))
        watch.on_log(None, state, None, logs)
    assert [record["seconds"] for record in state.log_history] == [5.0, 5 + 30 - 20, 5 + 40 - 20]


# a polite end: DESIGN 3, item 6


class Ends(TrainerCallback):
    """Sends this process SIGTERM in the second step."""

    def on_step_end(self, args, state, control, **_):
        if state.global_step == 2:
            signal.raise_signal(signal.SIGTERM)


@pytest.mark.skipif(sys.platform == "win32", reason="no SIGTERM")
def test_sigterm(tiny_checkpoint, rows, tokenizer, words, tmp_path, monkeypatch, capsys):
    class AtOnce(threading.Timer):
        def start(self):
            self.function()

    with monkeypatch.context() as patch:
        patch.setattr(trainer_jit_checkpoint.threading, "Timer", AtOnce)  # it waits three seconds else
        trainer = plain(tiny_checkpoint, rows, tokenizer, tmp_path / "plain", enable_jit_checkpoint=True,
                        callbacks=[Ends()])
        trainer.train()  # comes back as if all were done, so a script ends with 0
    assert trainer.state.global_step < trainer.state.max_steps == 6

    monkeypatch.setattr(finetuning, "watchers", lambda *_: [finetuning.Stopwatch(), Ends()])
    assert cli.main([*words, "--out", str(tmp_path / "run")]) == 75
    assert "--resume goes on" in one_line(capsys.readouterr().err)
    assert not (tmp_path / "run" / "model").exists()


# reviews side by side: DESIGN 3, item 7


def test_packed_reviews_are_mixed_and_padded_ones_are_not(tiny_checkpoint, tokenizer):
    network = AutoModel.from_pretrained(tiny_checkpoint.path, attn_implementation="sdpa").eval()
    with torch.no_grad():
        for weight in network.parameters():
            weight *= 8  # a tiny random network says nearly the same to everything
        one, two = (tokenizer(text)["input_ids"] for text in ("The soup was cold.", "A gem, and cheap!"))
        alone = network(torch.tensor([one])).last_hidden_state[0]
        positions = torch.tensor([[*range(len(one)), *range(len(two))]])
        packed = network(torch.tensor([one + two]), position_ids=positions).last_hidden_state[0, : len(one)]
        assert (packed - alone).abs().max() > 1e-2  # and not a word about it
        padded = run_network(network, tokenizer, [one, two * 3], lambda outputs, _: outputs.last_hidden_state[:, :4])
    torch.testing.assert_close(torch.from_numpy(padded[0]), alone[:4], atol=1e-4, rtol=1e-4)


# names that are gone, and names that are misspelt: DESIGN 3, item 8


@pytest.mark.parametrize("name", ["evaluation_strategy", "no_cuda", "warmup_ratio", "group_by_length",
                                  "overwrite_output_dir", "logging_dir"])
def test_names_of_the_lecture_that_are_gone(name, tmp_path):
    with pytest.raises(TypeError, match=name):
        TrainingArguments(str(tmp_path), **{name: None})
    for path in (HOUSE / "yelp_tl").glob("*.py"):
        assert f"{name}=" not in path.read_text(encoding="utf-8"), path.name


def test_a_misspelt_order_of_rows(tiny_checkpoint, rows, tokenizer, tmp_path):
    trainer = plain(tiny_checkpoint, rows, tokenizer, tmp_path, train_sampling_strategy="group_by_lenght")
    assert type(trainer._get_train_sampler()).__name__ == "RandomSampler"  # and not a word about it
    with pytest.raises(InputError, match="padding: expected grouped"):
        TrainingSettings(padding="gruoped")


# the hole in weights_only: DESIGN 3, item 9


def test_torch_with_the_hole_is_refused():
    line = next(line for line in (HOUSE / "settings.ini").read_text().splitlines() if line.startswith("requirements"))
    torch_needed = next(need for need in map(Requirement, line.partition("=")[2].split()) if need.name == "torch")
    assert not torch_needed.specifier.contains("2.9.1") and torch_needed.specifier.contains("2.10.0")


# several processes: DESIGN 3, items 1, 2 and 5


def test_accelerate_starts_one_process_where_two_were_asked_for(monkeypatch):
    words = ["--cpu", "--num_processes", "2", "--num_machines", "1", "--mixed_precision", "no", "train.py"]
    options, *_ = _validate_launch_command(launch_command_parser().parse_args(words))
    started, surroundings = prepare_simple_launcher_cmd_env(options)
    assert started == [sys.executable, "train.py"] and not {"WORLD_SIZE", "RANK", "LOCAL_RANK"} & set(surroundings)
    for name in ("ACCELERATE_USE_CPU", "MASTER_ADDR"):
        monkeypatch.setenv(name, surroundings[name])
    with pytest.raises(InputError, match="starts one process, however many it is asked for. Use torchrun"):
        join_processes()


@pytest.mark.parametrize("count", [2, 3, 8])
@pytest.mark.parametrize("n", [1, 8, 33, 40])
def test_shares_are_the_batches_of_one_process(count, n):
    sampler = EpochSampler([5 + row % 7 for row in range(n)], 8, seed=3)
    shares = [list(BatchShare(sampler, 8, number, count)) for number in range(count)]
    assert len({len(share) for share in shares}) == 1  # the same number of steps, or one would wait for ever
    together = [sorted(sum(parts, [])) for parts in zip(*shares, strict=True)]
    order = list(sampler)
    assert together == [sorted(order[start : start + 8]) for start in range(0, n, 8)]


def test_gradients_of_two_shares_are_those_of_the_batch(tiny_checkpoint, rows, tokenizer, tmp_path):
    "One share may be empty: it stands for one row that does not count."
    model = build_classifier(tiny_checkpoint, 1).double().eval()
    trainer = ReviewTrainer(model=model, sampler=EpochSampler(rows["length"][:], 8, 1), train_dataset=rows,
                            data_collator=make_collator(tokenizer),
                            args=TrainingArguments(str(tmp_path), use_cpu=True, report_to="none"))

    def gradient(parts):
        model.zero_grad()
        n = sum(map(len, parts))
        for part in parts:
            batch = trainer.collate_share([rows[row] for row in part])
            labels = batch.pop("labels")
            mean_loss(model(**batch), labels, n).backward()
        return torch.cat([weight.grad.flatten() for weight in model.parameters()])

    whole = gradient([[0, 1, 2, 3, 4]])
    for parts in ([[0, 2, 4], [1, 3]], [[0, 1, 2, 3, 4], []]):
        torch.testing.assert_close(gradient(parts), whole, rtol=1e-9, atol=1e-12)
    assert whole.abs().max() > 1e-4


def test_a_batch_that_cannot_be_shared(monkeypatch):
    monkeypatch.setattr(finetuning, "process_count", lambda: 3)
    check_share(9)
    with pytest.raises(InputError, match="3 processes share each batch.*multiple of 3, found 16. Give --batch-size 18"):
        check_share(16)


def test_rows_travel_without_a_pickle(rows, monkeypatch):
    monkeypatch.setattr(finetuning, "process_count", lambda: 2)
    monkeypatch.setattr(finetuning, "share_bytes", lambda content: content)
    sent = finetuning.share_rows(lambda: rows.select([3, 1, 2]))
    assert isinstance(sent, Dataset) and sent["length"][:] == [rows["length"][row] for row in (3, 1, 2)]
    assert sent["input_ids"][:] == [rows["input_ids"][row] for row in (3, 1, 2)] and "label" in sent.column_names


def test_only_the_first_process_speaks(monkeypatch, capsys):
    for rank, errors in (("0", 3), ("1", 1)):
        monkeypatch.setenv("RANK", rank)
        codes = [cli.explain_error(error, "finetune")
                 for error in (InputError("wrong"), KeyboardInterrupt(), RuntimeError("no memory"))]
        said = capsys.readouterr().err.splitlines()
        assert codes == [2, 75, 1] and len([line for line in said if line.strip()]) == errors
    assert "yelp_tl, process 1: RuntimeError" in said[-1]


# killed


def run_script(name, *words):
    done = subprocess.run([sys.executable, str(HOUSE / "tests" / name), *words], capture_output=True, text=True,
                          env=os.environ | {"OMP_NUM_THREADS": "1"})
    assert done.returncode == 0, done.stdout + done.stderr[-3000:]
    return done.stdout


@linux
def test_a_run_that_is_killed_and_resumed_equals_one_left_alone(tmp_path):
    assert json.loads(run_script("crashes.py", "--kills", "1", "--seed", "1"))["equal_runs"] == 1


@linux
@pytest.mark.slow
def test_thirty_runs_that_are_killed(tmp_path):
    run_script("crashes.py", "--kills", "30", "--seed", "6", "--out", str(tmp_path / "found.json"))
    found = json.loads((tmp_path / "found.json").read_text())
    assert found["equal_runs"] == found["killed_runs"] == 30
    assert all(found["kills_by_phase"][phase] for phase in ("steps", "save", "evaluation", "preprocessing"))


@linux
@pytest.mark.slow
def test_two_processes_and_one(tmp_path):
    run_script("processes.py", "--out", str(tmp_path / "found.json"))
    found = json.loads((tmp_path / "found.json").read_text())
    one_and_two, killed = found["one_and_two"], found["one_of_two_killed"]
    assert one_and_two["largest_relative_difference_of_losses"] < 1e-6
    assert one_and_two["largest_relative_difference_of_figures"] < 1e-6 and one_and_two["accuracy_equal"]
    assert one_and_two["every_row_once_in_each_epoch"] and one_and_two["same_batches"]
    assert one_and_two["rows_scored"][0] == one_and_two["rows_scored"][1]
    assert one_and_two["tokenized_by_rank"][1] == one_and_two["files_written_by_rank"][1] == 0
    assert one_and_two["tables_printed"] == 1 and len(set(one_and_two["lines_on_stdout"])) == 1
    assert killed["exit_code_after_kill"] != 0 and killed["processes_left"] == 0 and killed["exit_code_resumed"] == 0
    assert killed["weights_equal"] and killed["figures_equal"] and killed["log_equal"]


@pytest.mark.parametrize("name", ["engine_crashes.json", "engine_processes.json"])
def test_the_committed_figures_say_the_same(name):
    found = json.loads((HOUSE / "results" / name).read_text(encoding="utf-8"))
    if name == "engine_crashes.json":
        assert found["equal_runs"] == found["killed_runs"] == len(found["runs"]) >= 30
        assert all(all(one["equal"].values()) and one["exit_code"] == 0 for one in found["runs"])
    else:
        assert found["one_and_two"]["largest_relative_difference_of_losses"] < 1e-6
        assert found["one_of_two_killed"]["weights_equal"]
