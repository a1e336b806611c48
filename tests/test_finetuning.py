"""Fine-tuning: the Trainer's faults shown and mended, the same run twice, and predictions checked by hand."""
import dataclasses
import json
import math
import random
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from datasets import Dataset
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from safetensors.torch import load_file, save_file
from tokenizers import Tokenizer
from torch.nn import functional
from transformers import AutoModelForSequenceClassification, Trainer, TrainerCallback, TrainingArguments, pipeline
from transformers.modeling_outputs import ModelOutput

from yelp_tl import finetuning
from yelp_tl.data import STAR_NAMES, InputError, example_reviews
from yelp_tl.evaluation import score, wilson_interval
from yelp_tl.finetuning import (
    ReviewTrainer,
    TrainingSettings,
    build_classifier,
    choose_device,
    choose_precision,
    describe_device,
    epoch_records,
    fine_tune,
    first_token_only,
    fit_on_features,
    frozen_features,
    load_classifier,
    mean_loss,
    mean_of_tokens,
    memory_kept,
    newest_checkpoint,
    predict_probabilities,
    read_manifest,
    run_network,
    save_classifier,
    train_plain,
    training_arguments,
    wide_attention,
    without_waste,
    write_whole,
)
from yelp_tl.pretrained import Checkpoint, find_checkpoint, load_tokenizer, make_tiny_checkpoint
from yelp_tl.tokenization import EpochSampler, make_collator, tokenize_reviews

WIDTH = 24
ROWS = 21  # 2 batches of 8 and one of 5: not divisible
SETTINGS = TrainingSettings(epochs=3, batch_size=8, learning_rate=1e-3, max_length=WIDTH, precision="fp32")

pytestmark = [pytest.mark.filterwarnings("ignore:.*pin_memory.*"), pytest.mark.usefixtures("on_the_cpu")]


@pytest.fixture(scope="module")
def checkpoints(tmp_path_factory):
    """Tiny checkpoints with larger weights, so that their answers differ from text to text."""
    found = {}
    for architecture in ("bert", "distilbert"):
        folder = make_tiny_checkpoint(tmp_path_factory.mktemp(architecture), architecture)
        weights = load_file(folder / "model.safetensors")
        larger = {name: value * 6 if value.ndim > 1 else value for name, value in weights.items()}
        save_file(larger, folder / "model.safetensors", metadata={"format": "pt"})
        config = json.loads((folder / "config.json").read_text())
        (folder / "config.json").write_text(json.dumps(config | {"initializer_range": 0.12}))
        found[architecture] = find_checkpoint(str(folder))
    return found


@pytest.fixture(scope="module")
def checkpoint(checkpoints):
    return checkpoints["bert"]


@pytest.fixture(scope="module")
def tokenizer(checkpoint):
    return load_tokenizer(checkpoint)


@pytest.fixture(scope="module")
def reviews():
    """Reviews whose lengths differ within the window: every third is short."""
    rows = example_reviews().shuffle(seed=0)
    texts = [" ".join(text.split()[: 4 + 5 * (row % 3)]) for row, text in enumerate(rows["text"])]
    return Dataset.from_dict({"text": texts, "label": rows["label"][:]})


@pytest.fixture(scope="module")
def train(reviews):
    return reviews.select(range(ROWS))


@pytest.fixture(scope="module")
def scored(reviews):
    return reviews.select(range(ROWS, ROWS + 19))


@pytest.fixture(scope="module")
def rows(train, tokenizer):
    tokenized = tokenize_reviews(train, tokenizer, WIDTH)
    assert len({tuple(ids) for ids in tokenized["input_ids"]}) == ROWS  # so that a row is known by its tokens
    assert len(set(tokenized["length"][:])) > 5
    return tokenized


@pytest.fixture(scope="module")
def whole(checkpoint, train, scored, tmp_path_factory):
    """A run that nobody disturbs, and its folder."""
    folder = tmp_path_factory.mktemp("whole")
    return fine_tune(checkpoint, train, SETTINGS, 42, scored=scored, folder=folder, progress=False), folder


def without_dropout(model):
    for module in model.modules():
        if isinstance(module, torch.nn.Dropout):
            module.p = 0.0
    model.train()
    inputs = torch.arange(12).reshape(2, 6)
    assert torch.equal(model(input_ids=inputs).logits, model(input_ids=inputs).logits)
    return model


def same_weights(a, b) -> bool:
    a, b = a.state_dict(), b.state_dict()
    return a.keys() == b.keys() and all(torch.equal(a[name], b[name]) for name in a)


def disturb(seed: int) -> None:
    """What another program may have done to the random states of this process."""
    torch.manual_seed(seed)
    np.random.seed(seed)
    random.seed(seed)


def record_batches(model) -> list:
    """The input_ids of every training batch, added as the network sees them."""
    seen = []
    model.register_forward_pre_hook(
        lambda network, _, inputs: seen.append(inputs["input_ids"].clone()) if network.training else None,
        with_kwargs=True,
    )
    return seen


def rows_seen(batches: list, rows: Dataset, tokenizer) -> list[int]:
    """Row numbers in the order in which the network saw them."""
    number = {tuple(ids): row for row, ids in enumerate(rows["input_ids"])}
    return [number[tuple(token for token in ids if token != tokenizer.pad_token_id)]
            for batch in batches for ids in batch.tolist()]


def make_trainer(kind, model, rows, tokenizer, folder, *, sampler=None, callbacks=(), **arguments):
    """A plain or our own Trainer with the same arguments."""
    options = {
        "model": model, "train_dataset": rows, "data_collator": make_collator(tokenizer), "callbacks": list(callbacks),
        "args": TrainingArguments(
            output_dir=str(folder), use_cpu=True, report_to="none", disable_tqdm=True, dataloader_pin_memory=False,
            logging_steps=1, **({"save_strategy": "no", "learning_rate": 1e-3} | arguments),
        ),
    }
    return Trainer(**options) if kind == "plain" else ReviewTrainer(sampler=sampler, **options)


def logged(trainer, key: str = "loss") -> list[float]:
    return [record[key] for record in trainer.state.log_history if key in record]


# settings


BAD_SETTINGS = [
    ("epochs", 0, "at least 1"), ("batch_size", 0, "at least 1"), ("batch_size", -8, "at least 1"),
    ("accumulation", 0, "at least 1"), ("evaluation_batch_size", 0, "at least 1"),
    ("learning_rate", 0.0, "between 0 and 1"), ("learning_rate", -1e-4, "between 0 and 1"),
    ("learning_rate", 1.0, "between 0 and 1"), ("learning_rate", math.nan, "between 0 and 1"),
    ("warmup", -0.1, "at least 0 and below 1"), ("warmup", 1.0, "at least 0 and below 1"),
    ("warmup", math.nan, "at least 0 and below 1"), ("weight_decay", -0.01, "at least 0"),
    ("weight_decay", math.nan, "at least 0"), ("max_length", 7, "at least 8"),
    ("padding", "random", "grouped, longest or max_length"), ("padding", "", "grouped, longest or max_length"),
    ("precision", "int8", "auto, fp32, bf16 or fp16"), ("precision", "FP32", "auto, fp32, bf16 or fp16"),
]


@pytest.mark.parametrize(("name", "value", "expected"), BAD_SETTINGS)
def test_settings_check_themselves(name, value, expected):
    with pytest.raises(InputError, match=f"^{name}: expected .*{expected}.*, found {value!r}$"):
        TrainingSettings(**{name: value})


@pytest.mark.parametrize("name", ["epochs", "batch_size", "accumulation", "max_length", "evaluation_batch_size"])
def test_counts_must_be_whole_numbers(name):
    with pytest.raises(InputError, match=f"^{name}: .*found 16.5$"):
        TrainingSettings(**{name: 16.5})


@pytest.mark.parametrize(("name", "value"), [
    ("epochs", 1), ("batch_size", 1), ("warmup", 0.0), ("warmup", 0.99), ("weight_decay", 0.0), ("max_length", 8),
    ("learning_rate", 1e-9), ("padding", "longest"), ("precision", "bf16"),
])
def test_settings_accept_their_edges(name, value):
    assert getattr(TrainingSettings(**{name: value}), name) == value


def test_settings_are_frozen():
    settings = TrainingSettings()
    with pytest.raises(dataclasses.FrozenInstanceError):
        settings.epochs = 9
    with pytest.raises(InputError, match="^epochs"):
        dataclasses.replace(settings, epochs=0)


def test_the_lectures_settings():
    assert dataclasses.asdict(TrainingSettings.lecture()) == {
        "epochs": 3, "learning_rate": 5e-5, "warmup": 0.0, "batch_size": 8, "accumulation": 1, "weight_decay": 0.0,
        "max_length": 512, "padding": "max_length", "precision": "fp32", "evaluation_batch_size": 8,
        "attention_dropout": True, "fused_optimizer": False, "keep_memory": False, "skip_unread": False,
        "wide_attention": False,
    }
    assert TrainingSettings.lecture(epochs=1).epochs == 1
    with pytest.raises(InputError, match="^epochs"):
        TrainingSettings.lecture(epochs=0)


# device and precision


@pytest.mark.parametrize(("cuda", "mps", "device"), [(True, True, "cuda"), (False, True, "mps"), (False, False, "cpu")])
def test_device_is_the_trainers_choice(cuda, mps, device, monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: cuda)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: mps)
    assert choose_device() == device


def test_device_is_said(monkeypatch):
    assert describe_device("cuda", "bf16") == "GPU, bf16"
    for count, words in ((1, "1 thread"), (2, "2 threads")):
        monkeypatch.setattr(torch, "get_num_threads", lambda count=count: count)
        assert describe_device("cpu", "fp32") == f"CPU, {words}, fp32"
    assert "differ" in describe_device("mps", "fp32") and "differ" not in describe_device("cuda", "fp32")


@pytest.mark.parametrize(("features", "precision"), [
    ({}, "fp32"), ({"avx512": True, "avx512_f": True}, "fp32"), ({"avx512_bf16": True}, "bf16"),
    ({"amx_bf16": True}, "bf16"), ({"avx512_bf16": False, "amx_bf16": False}, "fp32"),
    ({"avx512_bf16": True, "cpu_name": "AMD EPYC"}, "bf16"),
    ({"avx512_bf16": True, "cpu_name": "Intel Xeon"}, "fp32"),  # half the speed of 32 bits, measured
    ({"avx512_bf16": True, "amx_bf16": True, "cpu_name": "Intel Xeon"}, "bf16"),
])
def test_precision_on_a_cpu_asks_the_processor(features, precision, monkeypatch):
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: features)
    assert choose_precision("auto", "cpu") == precision


@pytest.mark.parametrize("native", [True, False])
def test_precision_on_a_gpu_asks_the_gpu(native, monkeypatch):
    # a GPU without the instructions still emulates bf16, slowly
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda including_emulation=True: native or including_emulation)
    assert choose_precision("auto", "cuda") == ("bf16" if native else "fp32")


def test_precision_on_mps_is_32_bits(monkeypatch):
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: {"avx512_bf16": True})
    assert choose_precision("auto", "mps") == "fp32"


@pytest.mark.parametrize("device", ["cpu", "mps", "cuda"])
def test_requested_precision_is_kept(device):
    assert [choose_precision(name, device) for name in ("fp32", "bf16")] == ["fp32", "bf16"]


def test_fp16_needs_a_gpu():
    assert choose_precision("fp16", "cuda") == "fp16"
    for device in ("cpu", "mps"):
        with pytest.raises(InputError, match=f"fp16 needs a CUDA GPU, found {device}. Use --precision auto"):
            choose_precision("fp16", device)


def test_arguments_carry_the_settings(tmp_path):
    settings = TrainingSettings(epochs=4, learning_rate=3e-4, warmup=0.25, batch_size=6, accumulation=3,
                                weight_decay=0.02, precision="bf16", evaluation_batch_size=11)
    arguments = training_arguments(settings, 7, tmp_path)
    assert (arguments.num_train_epochs, arguments.learning_rate, arguments.weight_decay) == (4, 3e-4, 0.02)
    assert (arguments.per_device_train_batch_size, arguments.gradient_accumulation_steps) == (6, 3)
    assert (arguments.per_device_eval_batch_size, arguments.seed) == (11, 7)
    assert (arguments.bf16, arguments.fp16) == (True, False)
    assert arguments.get_warmup_steps(100) == 25
    assert arguments.use_cpu and not arguments.report_to
    assert (arguments.eval_strategy, arguments.save_strategy, arguments.save_total_limit) == ("epoch", "epoch", 2)
    neither = training_arguments(settings, 7, tmp_path, score=False, save=False)
    assert (neither.eval_strategy, neither.save_strategy) == ("no", "no")


# the new head


@pytest.mark.parametrize("architecture", ["bert", "distilbert"])
def test_the_head_comes_from_the_seed_alone(architecture, checkpoints):
    heads = []
    for noise, seed in enumerate([42, 42, 43]):
        disturb(noise)
        heads.append(build_classifier(checkpoints[architecture], seed))
    assert same_weights(heads[0], heads[1])
    assert not torch.equal(heads[0].classifier.weight, heads[2].classifier.weight)
    assert torch.equal(heads[0].get_input_embeddings().weight, heads[2].get_input_embeddings().weight)
    assert {weight.dtype for weight in heads[0].parameters()} == {torch.float32}
    assert heads[0].config.id2label == dict(enumerate(STAR_NAMES))
    assert heads[0].config.label2id == {name: star for star, name in enumerate(STAR_NAMES)}


def test_building_leaves_the_random_states_alone(checkpoint):
    before = torch.get_rng_state(), np.random.get_state()[1].tolist(), random.getstate()
    build_classifier(checkpoint, 42)
    after = torch.get_rng_state(), np.random.get_state()[1].tolist(), random.getstate()
    assert torch.equal(before[0], after[0])
    assert before[1:] == after[1:]


def test_plain_order_gives_two_heads_for_one_seed_and_ours_one(checkpoint, rows, tokenizer, tmp_path):
    def head_first():
        model = AutoModelForSequenceClassification.from_pretrained(checkpoint.path, num_labels=5)
        trainer = make_trainer("plain", model, rows, tokenizer, tmp_path, seed=42)  # sets the seed, too late
        return trainer.model.classifier.weight

    def seed_first():
        return build_classifier(checkpoint, 42).classifier.weight

    heads = {}
    for build in (head_first, seed_first):
        disturb(1)
        first = build()
        disturb(2)
        heads[build.__name__] = torch.equal(first, build())
    assert heads == {"head_first": False, "seed_first": True}


def test_weights_are_32_bits_even_where_the_file_holds_16(checkpoint, tmp_path):
    model = build_classifier(checkpoint, 0).to(torch.bfloat16)
    save_classifier(model, load_tokenizer(checkpoint), tmp_path)
    assert {value.dtype for value in load_file(tmp_path / "model.safetensors").values()} == {torch.bfloat16}
    assert {weight.dtype for weight in load_classifier(tmp_path)[0].parameters()} == {torch.float32}


# the loss under accumulation


@pytest.mark.parametrize("num_items", [None, 3, torch.tensor(7)])
def test_mean_loss_by_hand(num_items):
    logits, labels = torch.randn(3, 5, generator=torch.Generator().manual_seed(0)), torch.tensor([0, 4, 2])
    by_hand = -sum(math.log(math.exp(row[star]) / sum(map(math.exp, row)))
                   for row, star in zip(logits.tolist(), labels.tolist(), strict=True))
    found = mean_loss(ModelOutput(logits=logits), labels, num_items)
    assert float(found) == pytest.approx(by_hand / (3 if num_items is None else int(num_items)), rel=1e-5)


@pytest.mark.parametrize("architecture", ["bert", "distilbert"])
def test_two_batches_of_4_make_the_step_of_one_of_8(architecture, checkpoints, rows, tokenizer, tmp_path):
    def run(kind, batch_size, accumulation):
        model = without_dropout(build_classifier(checkpoints[architecture], 1)).double()
        trainer = make_trainer(
            kind, model, rows, tokenizer, tmp_path, sampler=EpochSampler(rows["length"], batch_size, 1, grouped=False),
            num_train_epochs=2, per_device_train_batch_size=batch_size, gradient_accumulation_steps=accumulation,
            seed=1,
        )
        trainer.train()
        return trainer

    eight, ours = run("ours", 8, 1), run("ours", 4, 2)
    assert len(logged(eight)) == 6  # 8 + 8 + 5 rows, twice
    np.testing.assert_allclose(logged(ours), logged(eight), rtol=1e-5)
    np.testing.assert_allclose(logged(ours, "grad_norm"), logged(eight, "grad_norm"), rtol=1e-4)
    for name, weights in eight.model.named_parameters():
        torch.testing.assert_close(ours.model.get_parameter(name), weights, rtol=0, atol=1e-5, msg=name)
    moved = max((weights - before.double()).abs().max().item() for weights, before in zip(
        eight.model.parameters(), build_classifier(checkpoints[architecture], 1).parameters(), strict=True))
    assert moved > 1e-3  # there was something to agree about

    # on the plain Trainer the same checks fail: loss and gradient are twice as large
    plain_eight, plain = run("plain", 8, 1), run("plain", 4, 2)
    for key in ("loss", "grad_norm"):
        with pytest.raises(AssertionError):
            np.testing.assert_allclose(logged(plain, key), logged(plain_eight, key), rtol=1e-4)
        assert logged(plain, key)[0] == pytest.approx(2 * logged(plain_eight, key)[0], rel=1e-4)
    assert np.median(np.array(logged(plain)) / logged(plain_eight)) == pytest.approx(2, abs=0.2)


# a run that is stopped and resumed


class StopAfterSaving(TrainerCallback):
    """Ends a run as Ctrl-C does, just after its checkpoint was written."""

    def on_save(self, args, state, control, **_):
        raise KeyboardInterrupt


def whole_and_resumed(make, folder: Path):
    """An undisturbed run, and one stopped in the middle of epoch 2; with the batches that each saw."""
    options = {"num_train_epochs": 3, "per_device_train_batch_size": 4, "save_strategy": "steps", "save_steps": 8,
               "seed": 5}
    disturb(0)
    undisturbed = make(folder / "whole", **options)
    batches = record_batches(undisturbed.model)
    undisturbed.train()
    stopped = make(folder / "stopped", callbacks=[StopAfterSaving()], **options)
    batches_stopped = record_batches(stopped.model)
    with pytest.raises(KeyboardInterrupt):
        stopped.train()
    assert stopped.state.global_step == 8  # 6 steps an epoch
    disturb(99)
    resumed = make(folder / "stopped", **options)
    batches_stopped += record_batches(resumed.model)
    batches_resumed = record_batches(resumed.model)
    resumed.train(resume_from_checkpoint=str(folder / "stopped" / "checkpoint-8"))
    return undisturbed, resumed, batches, batches_stopped + batches_resumed


@pytest.mark.parametrize("grouped", [True, False])
def test_resumed_in_the_middle_of_an_epoch_equals_undisturbed(grouped, checkpoint, rows, tokenizer, tmp_path):
    def make(folder, **options):
        return make_trainer("ours", build_classifier(checkpoint, 5), rows, tokenizer, folder,
                            sampler=EpochSampler(rows["length"], 4, 5, grouped=grouped), **options)

    undisturbed, resumed, batches, batches_resumed = whole_and_resumed(make, tmp_path)
    assert same_weights(undisturbed.model, resumed.model)
    assert logged(undisturbed) == logged(resumed)
    order = rows_seen(batches, rows, tokenizer)
    assert rows_seen(batches_resumed, rows, tokenizer) == order
    sampler = EpochSampler(rows["length"], 4, 5, grouped=grouped)
    for epoch in range(3):  # every row once an epoch, in the sampler's order
        sampler.set_epoch(epoch)
        assert order[epoch * ROWS : (epoch + 1) * ROWS] == list(sampler)
    assert resumed.model.training  # dropout was on


def test_plain_trainer_resumes_to_something_else(checkpoint, rows, tokenizer, tmp_path):
    def make(folder, **options):
        # dropout off, so that the order of the rows is the only thing drawn
        return make_trainer("plain", without_dropout(build_classifier(checkpoint, 5)), rows, tokenizer, folder,
                            train_sampling_strategy="group_by_length", **options)

    undisturbed, resumed, batches, batches_resumed = whole_and_resumed(make, tmp_path)
    first = rows_seen(batches, rows, tokenizer)
    second = rows_seen(batches_resumed, rows, tokenizer)
    assert first[: 8 * 4 - 3] == second[: 8 * 4 - 3]  # until the stop; the last batch of an epoch holds one row
    assert first != second
    assert len(set(second[ROWS : 2 * ROWS])) < ROWS  # some rows twice in the epoch of the stop, some never
    assert not same_weights(undisturbed.model, resumed.model)


def stop_at(step: int, monkeypatch) -> None:
    """Press Ctrl-C when this step is logged."""
    watch = finetuning.RunLog.on_log

    def on_log(self, args, state, control, **options):
        watch(self, args, state, control, **options)
        if state.global_step == step:
            raise KeyboardInterrupt

    monkeypatch.setattr(finetuning.RunLog, "on_log", on_log)


def test_fine_tune_goes_on_from_the_last_whole_epoch(whole, checkpoint, train, scored, tmp_path, monkeypatch):
    def tune(**options):
        return fine_tune(checkpoint, train, SETTINGS, 42, scored=scored, folder=tmp_path, progress=False,
                         **options)

    with monkeypatch.context() as patch:
        stop_at(5, patch)  # the second step of epoch 2
        with pytest.raises(KeyboardInterrupt):
            tune()
    assert [path.name for path in (tmp_path / "checkpoints").iterdir()] == ["checkpoint-3"]
    # the scoring before the stop took hours: it is no part of the time after it
    state = tmp_path / "checkpoints" / "checkpoint-3" / "trainer_state.json"
    history = json.loads(state.read_text())
    next(record for record in history["log_history"] if "eval_runtime" in record)["eval_runtime"] = 36_000.0
    with write_whole(state.parent, {"step": 3, "made_with": read_manifest(state.parent)["made_with"]}) as draft:
        shutil.copytree(state.parent, draft, ignore=lambda *_: ["manifest.json"])
        (draft / "trainer_state.json").write_text(json.dumps(history))
    disturb(7)
    resumed, undisturbed = tune(resume=True), whole[0]
    assert same_weights(undisturbed.model, resumed.model)
    assert resumed.step_losses == undisturbed.step_losses
    assert resumed.epochs == undisturbed.epochs
    assert [record["epoch"] for record in resumed.epochs] == [1, 2, 3]
    assert resumed.tokens_computed == undisturbed.tokens_computed
    assert resumed.seconds > 0


def test_resuming_a_finished_run_changes_nothing(whole, checkpoint, train, scored):
    finished, folder = whole
    again = fine_tune(checkpoint, train, SETTINGS, 42, scored=scored, folder=folder, resume=True, progress=False)
    assert same_weights(finished.model, again.model)
    assert again.epochs == finished.epochs
    assert again.step_losses == finished.step_losses


def test_resuming_where_nothing_was_saved_starts_afresh(whole, checkpoint, train, scored, tmp_path):
    fresh = fine_tune(checkpoint, train, SETTINGS, 42, scored=scored, folder=tmp_path / "new", resume=True,
                      progress=False)
    assert same_weights(whole[0].model, fresh.model)


# fine_tune as a whole


@pytest.mark.parametrize("padding", ["grouped", "longest", "max_length"])
@pytest.mark.parametrize("accumulation", [1, 2])
def test_tokens_and_order_are_those_of_the_run(padding, accumulation, checkpoint, train, rows, tokenizer,
                                               monkeypatch):
    batches = []

    def build(*arguments):
        model = build_classifier(*arguments)
        batches.append(record_batches(model))
        return model

    monkeypatch.setattr(finetuning, "build_classifier", build)
    settings = dataclasses.replace(SETTINGS, epochs=2, padding=padding, batch_size=4, accumulation=accumulation)
    tuned = fine_tune(checkpoint, train, settings, 42, progress=False)
    assert tuned.tokens_computed == sum(batch.numel() for batch in batches[0])
    assert len(tuned.step_losses) == 2 * math.ceil(6 / accumulation)
    order = rows_seen(batches[0], rows, tokenizer)
    sampler = EpochSampler(rows["length"], 4, 42, grouped=padding == "grouped")
    for epoch in range(2):
        sampler.set_epoch(epoch)
        assert order[epoch * ROWS : (epoch + 1) * ROWS] == list(sampler)
    assert order[:ROWS] != order[ROWS:]
    if padding == "max_length":
        assert {batch.shape[1] for batch in batches[0]} == {WIDTH}


def test_same_seed_same_figures(whole, checkpoint, train, scored, tmp_path):
    disturb(3)
    again = fine_tune(checkpoint, train, SETTINGS, 42, scored=scored, progress=False)
    assert again.step_losses == whole[0].step_losses
    assert again.epochs == whole[0].epochs
    assert same_weights(again.model, whole[0].model)
    assert not again.model.training


def test_another_seed_other_figures(whole, checkpoint, train, scored):
    other = fine_tune(checkpoint, train, SETTINGS, 43, scored=scored, progress=False)
    assert other.step_losses != whole[0].step_losses
    assert not same_weights(other.model, whole[0].model)


def test_training_learns(checkpoint, train):
    settings = dataclasses.replace(SETTINGS, epochs=18, learning_rate=1e-2)
    tuned = fine_tune(checkpoint, train, settings, 42, progress=False)
    probabilities = predict_probabilities(tuned.model, tuned.tokenizer, train["text"][:], max_length=WIDTH)
    assert score(train["label"][:], probabilities)["accuracy"] > 0.9  # it has learned these rows by heart


def test_records_of_the_epochs_hold(whole, scored):
    tuned = whole[0]
    assert [record["epoch"] for record in tuned.epochs] == [1, 2, 3]
    for epoch, record in enumerate(tuned.epochs):
        assert record["train_loss"] == pytest.approx(np.mean(tuned.step_losses[3 * epoch : 3 * epoch + 3]))
        assert (record["scored_on"], record["n"]) == ("validation", 19)
    last, labels = tuned.epochs[-1], scored["label"][:]
    probabilities = predict_probabilities(tuned.model, tuned.tokenizer, scored["text"][:], max_length=WIDTH)
    by_hand = score(labels, probabilities)
    for name in ("accuracy", "within_one", "mae", "quadratic_weighted_kappa", "macro_f1"):
        assert last[name] == pytest.approx(by_hand[name], abs=1e-6)
    assert last["loss"] == pytest.approx(by_hand["log_loss"], abs=1e-4)
    assert last["accuracy_interval"] == pytest.approx(by_hand["accuracy_interval"])


def test_test_rows_are_named_for_reading(checkpoint, train, scored):
    settings = dataclasses.replace(SETTINGS, epochs=1)
    tuned = fine_tune(checkpoint, train, settings, 42, scored=scored, scored_on="test, for reading",
                      progress=False)
    assert [record["scored_on"] for record in tuned.epochs] == ["test, for reading"]


def test_without_scored_rows_there_are_only_losses(checkpoint, train):
    tuned = fine_tune(checkpoint, train, dataclasses.replace(SETTINGS, epochs=2), 42, progress=False)
    assert [sorted(record) for record in tuned.epochs] == [["epoch", "train_loss"]] * 2


def test_epoch_records_by_hand():
    figures = {"eval_loss": 1.5, "eval_accuracy": 0.6, "eval_within_one": 0.9, "eval_mae": 0.5,
               "eval_quadratic_weighted_kappa": 0.7, "eval_macro_f1": 0.55}
    history = [
        {"epoch": 0.5, "loss": 2.0}, {"epoch": 1.0, "loss": 1.0}, {"epoch": 1.0, **figures},
        {"epoch": 1.5, "loss": 0.5}, {"epoch": 2.0, "loss": 0.25}, {"epoch": 2.0, **figures, "eval_accuracy": 0.8},
        {"epoch": 2.0, "train_loss": 0.9, "train_runtime": 3.0},
    ]
    first, second = epoch_records(history, 10, "validation")
    assert (first["train_loss"], first["accuracy"], first["loss"]) == (1.5, 0.6, 1.5)
    assert (second["train_loss"], second["accuracy"], second["n"]) == (0.375, 0.8, 10)
    assert first["accuracy_interval"] == list(wilson_interval(6, 10))
    assert second["accuracy_interval"] == list(wilson_interval(8, 10))


def test_an_accuracy_becomes_a_whole_number_of_rows():
    figures = {f"eval_{name}": 0.5 for name in ("loss", "within_one", "mae", "quadratic_weighted_kappa", "macro_f1")}
    history = [{"epoch": 1.0, "loss": 1.0}, {"epoch": 1.0, **figures, "eval_accuracy": 29 / 100}]
    record, = epoch_records(history, 100, "validation")  # 0.29 * 100 is a hair below 29
    assert record["accuracy_interval"] == list(wilson_interval(29, 100))


def test_log_is_one_json_object_a_line(whole):
    lines = (whole[1] / "log.jsonl").read_text(encoding="utf-8").splitlines()
    records = [json.loads(line) for line in lines]
    assert [record["loss"] for record in records if "loss" in record] == whole[0].step_losses
    assert [record["step"] for record in records if "eval_loss" in record] == [3, 6, 9]


def test_run_folder_holds_no_more_than_two_checkpoints(whole):
    assert sorted(path.name for path in whole[1].iterdir()) == ["checkpoints", "log.jsonl"]
    assert sorted(path.name for path in (whole[1] / "checkpoints").iterdir()) == ["checkpoint-6", "checkpoint-9"]


def test_without_a_folder_nothing_is_written(checkpoint, train, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    fine_tune(checkpoint, train, dataclasses.replace(SETTINGS, epochs=1), 42, progress=False)
    assert list(tmp_path.iterdir()) == []


def test_progress_shows_every_step(checkpoint, train, capsys):
    fine_tune(checkpoint, train, dataclasses.replace(SETTINGS, epochs=1), 42)
    shown = capsys.readouterr().err
    assert "training: 100%" in shown and "3/3" in shown and "loss=" in shown


@pytest.mark.parametrize("bad", [math.nan, math.inf])
def test_a_loss_that_is_no_number_stops_the_run(bad, checkpoint, train, tmp_path, monkeypatch):
    calls = []

    def spoiled(outputs, labels, num_items_in_batch=None):
        calls.append(None)
        return mean_loss(outputs, labels, num_items_in_batch) * (bad if len(calls) == 5 else 1.0)

    monkeypatch.setattr(finetuning, "mean_loss", spoiled)
    with pytest.raises(FloatingPointError, match=f"^the loss is {bad} at step 5. Try a smaller --learning-rate"):
        fine_tune(checkpoint, train, SETTINGS, 42, folder=tmp_path, progress=False)
    assert len(calls) == 5

    def refuse(constant):
        raise AssertionError(f"{constant} is not JSON")

    lines = (tmp_path / "log.jsonl").read_text(encoding="utf-8").splitlines()
    assert [json.loads(line, parse_constant=refuse)["step"] for line in lines][-1] == 5


def test_max_length_above_the_networks_limit_is_refused(checkpoint, train):
    settings = TrainingSettings(max_length=513, precision="fp32")
    for use in (lambda: fine_tune(checkpoint, train, settings, 42, progress=False),
                lambda: frozen_features(checkpoint, ["soup"], settings)):
        with pytest.raises(InputError, match="reads at most 512 tokens, found 513. Give --max-length 512 or less"):
            use()


def test_truncated_reviews_are_counted_and_said_before_training(checkpoint, train, tokenizer, capsys, monkeypatch):
    texts = [*train["text"][:6], "soup " * 30, "soup " * 22, "soup " * 23]  # 32, 24 and 25 tokens
    pieces = len(tokenizer.tokenize("soup"))
    limit = 22 * pieces + 2
    rows = Dataset.from_dict({"text": texts, "label": [0, 1, 2, 3, 4, 0, 1, 2, 3]})
    settings = dataclasses.replace(SETTINGS, epochs=1, max_length=limit)
    assert fine_tune(checkpoint, rows, settings, 0, progress=False).truncated == 2
    assert "longer" not in capsys.readouterr().err
    monkeypatch.setattr(ReviewTrainer, "train", lambda *_, **__: pytest.fail("training started"))
    with pytest.raises(pytest.fail.Exception, match="training started"):
        fine_tune(checkpoint, rows, settings, 0)
    said = (f"2 of 9 training reviews are longer than {limit} tokens; "
            f"only their first {limit} tokens are read")
    assert said in capsys.readouterr().err.splitlines()


def test_half_precision_keeps_weights_in_32_bits(checkpoint, train):
    settings = dataclasses.replace(SETTINGS, epochs=1)
    exact = fine_tune(checkpoint, train, settings, 42, progress=False)
    half = fine_tune(checkpoint, train, dataclasses.replace(settings, precision="bf16"), 42, progress=False)
    assert {weight.dtype for weight in half.model.parameters()} == {torch.float32}
    assert half.step_losses != exact.step_losses
    np.testing.assert_allclose(half.step_losses, exact.step_losses, rtol=0.02)


# what makes it faster, and changes nothing else


def other_settings():
    """The lecture's choices for speed."""
    return dataclasses.replace(SETTINGS, attention_dropout=True, fused_optimizer=False, keep_memory=False,
                               skip_unread=False, wide_attention=False)


@pytest.mark.parametrize("architecture", ["bert", "distilbert"])
def test_skipping_what_nobody_reads_changes_no_logit_and_no_gradient(architecture, checkpoints, rows, tokenizer):
    batch = make_collator(tokenizer)([rows[row] for row in range(6)])
    assert 0 in batch["attention_mask"]
    found = []
    for wanted in (True, False):
        model = without_dropout(build_classifier(checkpoints[architecture], 0)).double()
        with first_token_only(model, wanted):
            outputs = model(**batch, output_hidden_states=True)
            outputs.loss.backward()
        assert outputs.hidden_states[-1].shape[1] == (1 if wanted else batch["input_ids"].shape[1])
        found.append((outputs.logits, {name: weight.grad for name, weight in model.named_parameters()}))
    torch.testing.assert_close(found[0][0], found[1][0])
    assert found[0][1].keys() == found[1][1].keys()
    for name, gradient in found[0][1].items():
        torch.testing.assert_close(gradient, found[1][1][name], msg=name)
    with first_token_only(model):
        pass
    assert model(**batch, output_hidden_states=True).hidden_states[-1].shape[1] > 1  # afterwards it is as before


@pytest.mark.parametrize("architecture", ["bert", "distilbert"])
def test_in_the_last_layer_only_the_first_token_looks_around(architecture, checkpoints, rows, tokenizer, monkeypatch,
                                                             tmp_path):
    batch = make_collator(tokenizer)([rows[row] for row in range(6)])
    model, asked = build_classifier(checkpoints[architecture], 0).eval(), []
    attend = torch.nn.functional.scaled_dot_product_attention
    monkeypatch.setattr(torch.nn.functional, "scaled_dot_product_attention",
                        lambda query, *rest, **options: asked.append(query.shape[2]) or attend(query, *rest, **options))
    width, layers = batch["input_ids"].shape[1], model.config.num_hidden_layers
    expected = model(**batch).logits
    with first_token_only(model), wide_attention(model), torch.autocast("cpu", dtype=torch.bfloat16):
        model(**batch).loss.backward()
    with first_token_only(model):
        with first_token_only(model):  # as when rows are scored in the middle of a training
            torch.testing.assert_close(model(**batch).logits, expected)
        model.save_pretrained(tmp_path)
        torch.testing.assert_close(model(**batch).logits, expected)
    model(**batch)
    one_of_them = [width] * (layers - 1) + [1]
    assert asked == [width] * layers + one_of_them * 3 + [width] * layers
    assert "first_token" not in (tmp_path / "config.json").read_text(encoding="utf-8")


def test_another_attention_is_left_alone(checkpoint, rows, tokenizer):
    batch = make_collator(tokenizer)([rows[row] for row in range(6)])
    model = build_classifier(checkpoint, 0).eval()
    model.set_attn_implementation("eager")
    expected = model(**batch).logits
    with first_token_only(model):
        torch.testing.assert_close(model(**batch).logits, expected)


def test_a_network_that_is_not_known_is_left_alone(checkpoint, rows, tokenizer):
    body = AutoModelForSequenceClassification.from_pretrained(checkpoint.path).base_model.eval()
    batch = make_collator(tokenizer)([{"input_ids": ids} for ids in rows["input_ids"][:2]])
    with first_token_only(body):
        assert body(**batch).last_hidden_state.shape[:2] == batch["input_ids"].shape


@pytest.mark.parametrize("architecture", ["bert", "distilbert"])
def test_wide_attention_comes_closer_to_32_bits_than_bf16_does(architecture, checkpoints, rows, tokenizer):
    batch = make_collator(tokenizer)([rows[row] for row in range(6)])
    assert 0 in batch["attention_mask"]
    model = without_dropout(build_classifier(checkpoints[architecture], 0))

    def gradients(half, wanted):
        model.zero_grad()
        with wide_attention(model, wanted), torch.autocast("cpu", dtype=torch.bfloat16, enabled=half):
            outputs = model(**batch)
        outputs.loss.backward()
        return torch.cat([weight.grad.flatten() for weight in model.parameters()]), outputs.logits

    exact, logits = gradients(half=False, wanted=False)
    wide, plain = gradients(half=True, wanted=True), gradients(half=True, wanted=False)
    assert not torch.equal(wide[0], plain[0])  # it was used
    assert torch.nn.functional.cosine_similarity(wide[0], exact, dim=0) > 0.99
    torch.testing.assert_close(wide[1].float(), logits, rtol=0.05, atol=0.02)
    torch.testing.assert_close(gradients(half=False, wanted=True), (exact, logits))  # with 32 bits it changes nothing


def test_wide_attention_is_for_training_alone_and_leaves_no_trace(checkpoint, rows, tokenizer, tmp_path):
    batch = make_collator(tokenizer)([rows[row] for row in range(6)])
    model = build_classifier(checkpoint, 0).eval()
    with torch.no_grad(), torch.autocast("cpu", dtype=torch.bfloat16):
        expected = model(**batch).logits
        with wide_attention(model):
            torch.testing.assert_close(model(**batch).logits, expected, rtol=0, atol=0)
            model.save_pretrained(tmp_path)  # as a checkpoint in the middle of training
    with pytest.raises(KeyboardInterrupt), wide_attention(model):
        raise KeyboardInterrupt
    assert model.config._attn_implementation == "sdpa"
    assert "attention_with_32_bits" not in (tmp_path / "config.json").read_text(encoding="utf-8")
    for other in (torch.nn.Linear(2, 2), build_classifier(checkpoint, 0)):
        before = getattr(getattr(other, "config", None), "_attn_implementation", None)
        with wide_attention(other, wanted=False):
            assert getattr(getattr(other, "config", None), "_attn_implementation", None) == before


@pytest.mark.parametrize(("changes", "used"), [({"precision": "bf16"}, True), ({"precision": "fp32"}, False),
                                               ({"precision": "bf16", "attention_dropout": True}, False),
                                               ({"precision": "bf16", "wide_attention": False}, False)])
def test_wide_attention_is_used_where_it_pays(changes, used, checkpoint):
    model = build_classifier(checkpoint, 0)
    with without_waste(model, dataclasses.replace(SETTINGS, **changes)):
        assert (model.config._attn_implementation == "attention_with_32_bits") == used
    assert model.config._attn_implementation == "sdpa"


@pytest.mark.parametrize(("architecture", "name"), [("bert", "attention_probs_dropout_prob"),
                                                    ("distilbert", "attention_dropout")])
def test_attention_dropout_goes_and_the_other_stays(architecture, name, checkpoints):
    def chances(model):
        return sorted(module.p for module in model.modules() if isinstance(module, torch.nn.Dropout))

    kept = build_classifier(checkpoints[architecture], 0)
    gone = build_classifier(checkpoints[architecture], 0, attention_dropout=False)
    assert getattr(kept.config, name) == 0.1 and getattr(gone.config, name) == 0.0
    layers = kept.config.num_hidden_layers
    assert chances(gone) == sorted([0.0] * layers + chances(kept)[layers:])
    assert same_weights(kept, gone)


def test_a_broken_config_is_still_an_input_error(checkpoint, tmp_path):
    for path in Path(checkpoint.path).iterdir():
        (tmp_path / path.name).write_bytes(path.read_bytes())
    (tmp_path / "config.json").write_text("{", encoding="utf-8")
    for attention_dropout in (True, False):
        with pytest.raises(InputError, match="the network can't be read"):
            build_classifier(Checkpoint("broken", str(tmp_path), None, False), 0, attention_dropout)


def test_fused_optimizer_and_memory_change_no_figure(checkpoint, train, whole):
    kept = fine_tune(checkpoint, train, dataclasses.replace(SETTINGS, keep_memory=False), 42, progress=False)
    np.testing.assert_array_equal(kept.step_losses, whole[0].step_losses)
    plain = fine_tune(checkpoint, train, dataclasses.replace(SETTINGS, fused_optimizer=False), 42, progress=False)
    np.testing.assert_allclose(plain.step_losses, whole[0].step_losses, rtol=1e-4)


def test_the_lectures_choices_reach_the_training(checkpoint, train, monkeypatch):
    seen = []

    def train_nothing(self, **options):
        seen.append((self.args.optim, self.model.config.attention_probs_dropout_prob))
        raise KeyboardInterrupt

    monkeypatch.setattr(ReviewTrainer, "train", train_nothing)
    for settings in (SETTINGS, other_settings()):
        with pytest.raises(KeyboardInterrupt):
            fine_tune(checkpoint, train, settings, 42, progress=False)
    assert seen == [("adamw_torch_fused", 0.0), ("adamw_torch", 0.1)]


class FakeLibrary:
    """Writes down what the C library was told."""

    def __init__(self):
        self.told = []

    def mallopt(self, name, value):
        self.told.append((name, value))

    def malloc_trim(self, pad):
        self.told.append("trim")


def test_memory_is_kept_for_a_while_only(monkeypatch):
    library = FakeLibrary()
    monkeypatch.setattr(finetuning, "_glibc", lambda: library)
    with memory_kept(False):
        assert library.told == []
    with pytest.raises(KeyboardInterrupt), memory_kept():
        assert library.told == [(-4, 0), (-1, 2**31 - 1)]
        raise KeyboardInterrupt
    assert library.told[2:] == [(-4, 65_536), (-3, 2**25), (-1, 2**26), "trim"]


@pytest.mark.parametrize(("system", "libc", "environment", "found"), [
    ("Linux", "glibc", {}, True), ("Linux", "musl", {}, False), ("Windows", "", {}, False), ("Darwin", "", {}, False),
    ("Linux", "glibc", {"MALLOC_ARENA_MAX": "2"}, False),
    ("Linux", "glibc", {"GLIBC_TUNABLES": "glibc.malloc.trim_threshold=9"}, False),
    ("Linux", "glibc", {"GLIBC_TUNABLES": "glibc.cpu.x86_rep_movsb_threshold=9"}, True),
])
def test_memory_settings_are_for_one_library_and_respect_the_user(system, libc, environment, found, monkeypatch):
    for name in ("MALLOC_ARENA_MAX", "GLIBC_TUNABLES"):
        monkeypatch.delenv(name, raising=False)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(finetuning.platform, "system", lambda: system)
    monkeypatch.setattr(finetuning.platform, "libc_ver", lambda: (libc, "2.36"))
    monkeypatch.setattr(finetuning.ctypes, "CDLL", lambda name: "library")
    assert (finetuning._glibc() == "library") is found


# the plain loop


@pytest.mark.parametrize("architecture", ["bert", "distilbert"])
def test_plain_loop_equals_the_trainer_step_by_step(architecture, checkpoints, train, rows, tokenizer, monkeypatch):
    settings = dataclasses.replace(SETTINGS, epochs=2, learning_rate=5e-3, warmup=0.3, weight_decay=0.1)
    monkeypatch.setattr(finetuning, "build_classifier",
                        lambda *arguments: without_dropout(build_classifier(*arguments)))
    trained = fine_tune(checkpoints[architecture], train, settings, 42, progress=False)
    model = without_dropout(build_classifier(checkpoints[architecture], 42))
    losses = train_plain(model, rows, make_collator(tokenizer), EpochSampler(rows["length"], 8, 42), settings)
    assert len(losses) == 6
    np.testing.assert_allclose(losses, trained.step_losses, rtol=0, atol=1e-5)
    assert np.ptp(losses) > 0.05  # they did change on the way
    assert all(isinstance(loss, float) for loss in losses)


@pytest.mark.parametrize("change", [{"warmup": 0.0}, {"weight_decay": 0.0}, {"learning_rate": 4e-3}])
def test_plain_loop_heeds_its_settings(change, checkpoint, rows, tokenizer):
    settings = dataclasses.replace(SETTINGS, epochs=2, learning_rate=5e-3, warmup=0.3, weight_decay=0.9)

    def losses(settings):
        model = without_dropout(build_classifier(checkpoint, 42))
        return train_plain(model, rows, make_collator(tokenizer), EpochSampler(rows["length"], 8, 42), settings)

    assert np.abs(np.array(losses(settings)) - losses(dataclasses.replace(settings, **change))).max() > 1e-4


# prediction


@pytest.fixture(scope="module")
def classifier(whole):
    return whole[0].model, whole[0].tokenizer


@pytest.fixture(scope="module")
def long_text(reviews):
    words = " ".join(example_reviews()["text"]).split()
    return " ".join((words * (5000 // len(words) + 1))[:5000])


def read_logits(outputs, mask):
    return outputs.logits


@pytest.mark.parametrize("batch_size", [1, 3, 64])
def test_run_network_keeps_the_order_in_every_batch_size(batch_size, classifier, rows):
    model, tokenizer = classifier
    ids = rows["input_ids"][:]
    with torch.inference_mode():
        alone = np.concatenate([model(input_ids=torch.tensor([row])).logits.numpy() for row in ids])
    found = run_network(model, tokenizer, ids, read_logits, batch_size=batch_size)
    np.testing.assert_allclose(found, alone, atol=1e-5)
    assert np.abs(alone - alone[::-1]).max() > 0.1  # a wrong order would show


def test_run_network_gives_the_mask_and_turns_dropout_off(classifier, rows):
    model, tokenizer = classifier
    ids = rows["input_ids"][:]
    model.train()
    counted = run_network(model, tokenizer, ids, lambda outputs, mask: mask.sum(1, keepdim=True), batch_size=4)
    assert counted[:, 0].tolist() == rows["length"][:]
    assert not model.training


def test_half_precision_predicts_nearly_the_same(classifier, reviews):
    exact = predict_probabilities(*classifier, reviews["text"][:8])
    half = predict_probabilities(*classifier, reviews["text"][:8], precision="bf16")
    assert not np.array_equal(exact, half)
    np.testing.assert_allclose(half, exact, atol=0.02)


ODD_TEXTS = ["", " ", "\n\t", "!!!", "🍜🍣👍🏽", "Schönes Café, très bon", "食べ物は美味しい", "\x00\x01", "a" * 3000,
             "\\n\\n \\\"good\\\"", "<b>soup</b> & [MASK] [SEP]"]


@pytest.mark.parametrize("long_reviews", ["truncate", "windows"])
def test_any_text_gets_probabilities(long_reviews, classifier, long_text):
    texts = [*ODD_TEXTS, long_text]
    found = predict_probabilities(*classifier, texts, long_reviews=long_reviews)
    assert found.shape == (len(texts), 5) and found.dtype == np.float64
    assert (found > 0).all()
    np.testing.assert_allclose(found.sum(axis=1), 1, atol=1e-12)


@pytest.mark.parametrize("long_reviews", ["truncate", "windows"])
def test_no_texts_no_rows(long_reviews, classifier):
    assert predict_probabilities(*classifier, [], long_reviews=long_reviews).shape == (0, 5)


def test_long_text_is_the_weighted_mean_of_its_windows(classifier, checkpoint, long_text):
    model, tokenizer = classifier
    bare = Tokenizer.from_file(str(Path(checkpoint.path, "tokenizer.json")))
    bare.no_truncation()
    ids = bare.encode(long_text, add_special_tokens=False).ids
    room, stride = 510, 64
    starts = [0]
    while starts[-1] + room < len(ids):
        starts.append(starts[-1] + room - stride)
    windows = [[tokenizer.cls_token_id, *ids[start : start + room], tokenizer.sep_token_id] for start in starts]
    assert len(windows) > 10 and len(windows[-1]) < 512
    with torch.inference_mode():
        each = np.array([model(input_ids=torch.tensor([window])).logits.double().softmax(1)[0].numpy()
                         for window in windows])
    by_hand = np.average(each, axis=0, weights=[len(window) for window in windows])
    found = predict_probabilities(model, tokenizer, ["soup", long_text, "soup"], long_reviews="windows", batch_size=3)
    np.testing.assert_allclose(found[1], by_hand, atol=1e-6)
    np.testing.assert_allclose(found[0], found[2], atol=1e-6)
    cut = predict_probabilities(model, tokenizer, [long_text])
    np.testing.assert_allclose(cut[0], each[0], atol=1e-6)
    assert np.abs(cut[0] - found[1]).max() > 1e-3


def test_short_texts_do_not_care_about_windows(classifier, reviews):
    texts = reviews["text"][:9]
    np.testing.assert_array_equal(predict_probabilities(*classifier, texts),
                                  predict_probabilities(*classifier, texts, long_reviews="windows"))


def test_windows_work_at_every_max_length(classifier, long_text):
    for max_length in (8, 32, 66, 67):
        found = predict_probabilities(*classifier, [long_text[:2000]], long_reviews="windows", max_length=max_length)
        np.testing.assert_allclose(found.sum(axis=1), 1)


def test_predictions_are_those_of_pytorch(classifier, reviews):
    model, tokenizer = classifier
    texts = reviews["text"][:5]
    batch = tokenizer(texts, padding=True, return_tensors="pt")
    with torch.inference_mode():
        wanted = functional.softmax(model(**batch).logits, dim=1).numpy()
    np.testing.assert_allclose(predict_probabilities(model, tokenizer, texts), wanted, atol=1e-6)


@given(texts=st.lists(st.text(st.characters(exclude_categories=["Cs"]), max_size=60), min_size=1, max_size=6),
       batch_size=st.integers(1, 8), neighbour=st.integers(1, 3000))
@hypothesis_settings(max_examples=25, deadline=None)
def test_predictions_depend_on_neither_batch_nor_padding(classifier, long_text, texts, batch_size, neighbour):
    model, tokenizer = classifier
    alone = np.concatenate([predict_probabilities(model, tokenizer, [text], batch_size=1) for text in texts])
    among = predict_probabilities(model, tokenizer, [long_text[:neighbour], *texts], batch_size=batch_size)[1:]
    batch = tokenizer(texts, padding="max_length", max_length=512, truncation=True, return_tensors="pt")
    with torch.inference_mode():
        padded = functional.softmax(model(**batch).logits, dim=1).numpy()
    np.testing.assert_allclose(among, alone, rtol=0, atol=1e-5)
    np.testing.assert_allclose(padded, alone, rtol=0, atol=1e-5)


# saving


@pytest.fixture(scope="module")
def saved(classifier, tmp_path_factory):
    folder = tmp_path_factory.mktemp("saved") / "model"
    save_classifier(*classifier, folder)
    return folder


def test_saved_classifier_comes_back_the_same(saved, classifier, reviews, long_text):
    model, tokenizer = load_classifier(saved)
    assert same_weights(model, classifier[0])
    assert not model.training
    texts = [*reviews["text"][:9], *ODD_TEXTS, long_text]
    for long_reviews in ("truncate", "windows"):
        np.testing.assert_array_equal(predict_probabilities(model, tokenizer, texts, long_reviews=long_reviews),
                                      predict_probabilities(*classifier, texts, long_reviews=long_reviews))


def test_saved_folder_holds_no_pickle(saved):
    assert {path.suffix for path in saved.rglob("*") if path.is_file()} <= {".json", ".safetensors", ".txt"}
    assert (saved / "model.safetensors").is_file() and (saved / "tokenizer.json").is_file()


def test_pipeline_opens_it_and_names_all_stars(saved, classifier, reviews):
    stars = pipeline("text-classification", str(saved), device="cpu", top_k=None)
    text = reviews["text"][0]
    answers = {answer["label"]: answer["score"] for answer in stars([text])[0]}
    assert sorted(answers) == sorted(STAR_NAMES)
    wanted = predict_probabilities(*classifier, [text])[0]
    np.testing.assert_allclose([answers[name] for name in STAR_NAMES], wanted, atol=1e-6)


LABELS = {
    "two stars": {0: "NEGATIVE", 1: "POSITIVE"},
    "no names": {star: f"LABEL_{star}" for star in range(5)},
    "other order": dict(enumerate(reversed(STAR_NAMES))),
    "a sixth": dict(enumerate([*STAR_NAMES, "6 stars"])),
}


@pytest.mark.parametrize("names", LABELS.values(), ids=LABELS)
def test_network_with_other_outputs_is_refused(names, checkpoint, tokenizer, tmp_path):
    model = AutoModelForSequenceClassification.from_pretrained(checkpoint.path, num_labels=len(names))
    model.config.id2label = names
    model.config.label2id = {name: star for star, name in names.items()}
    save_classifier(model, tokenizer, tmp_path / "other")
    with pytest.raises(InputError, match=f"^other: expected a network that predicts 1 star.*found .*{names[0]}"):
        load_classifier(tmp_path / "other")


def test_classifier_without_its_head_is_refused(saved, tmp_path):
    folder = tmp_path / "headless"
    folder.mkdir()
    for path in saved.iterdir():
        (folder / path.name).write_bytes(path.read_bytes())
    weights = load_file(folder / "model.safetensors")
    save_file({name: value for name, value in weights.items() if not name.startswith("classifier")},
              folder / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(InputError, match="headless"):
        load_classifier(folder)


def test_loading_from_nowhere_is_refused(tmp_path):
    with pytest.raises(InputError, match="config.json, tokenizer.json, model.safetensors"):
        load_classifier(tmp_path / "nothing here")


# frozen features


def test_mean_of_tokens_by_a_loop():
    generator = torch.Generator().manual_seed(0)
    states = torch.randn(4, 7, 3, generator=generator)
    mask = torch.tensor([[1] * 7, [1] * 3 + [0] * 4, [0] * 5 + [1] * 2, [1] + [0] * 6])
    wanted = torch.zeros(4, 3)
    for row in range(4):
        kept = [states[row, place] for place in range(7) if mask[row, place]]
        wanted[row] = sum(kept) / len(kept)
    found = mean_of_tokens(ModelOutput(last_hidden_state=states), mask)
    torch.testing.assert_close(found, wanted)
    spoiled = states.masked_fill(mask.unsqueeze(-1) == 0, 1e6)  # what stands on the padding plays no part
    torch.testing.assert_close(mean_of_tokens(ModelOutput(last_hidden_state=spoiled), mask), wanted)


@pytest.mark.parametrize("architecture", ["bert", "distilbert"])
def test_features_do_not_depend_on_the_batch(architecture, checkpoints, reviews, tokenizer):
    texts = [*reviews["text"][:10], ""]
    found = {}
    for batch_size in (1, 3, 64):
        settings = TrainingSettings(max_length=WIDTH, precision="fp32", evaluation_batch_size=batch_size)
        found[batch_size], tokens = frozen_features(checkpoints[architecture], texts, settings)
        lengths = sorted((min(len(ids), WIDTH) for ids in tokenizer(texts)["input_ids"]), reverse=True)
        pieces = [lengths[start : start + batch_size] for start in range(0, len(texts), batch_size)]
        assert tokens == sum(len(piece) * max(piece) for piece in pieces)
    assert found[1].shape == (11, 32) and found[1].dtype == np.float32
    for batch_size in (3, 64):
        np.testing.assert_allclose(found[batch_size], found[1], atol=1e-5)


def test_features_come_from_the_checkpoint_alone(checkpoint, reviews):
    settings = TrainingSettings(max_length=WIDTH, precision="fp32")
    disturb(1)
    first = frozen_features(checkpoint, reviews["text"][:5], settings)[0]
    disturb(2)
    np.testing.assert_array_equal(first, frozen_features(checkpoint, reviews["text"][:5], settings)[0])


def test_logistic_regression_on_features():
    rng = np.random.default_rng(0)
    labels = np.repeat(np.arange(5), 20)
    features = (rng.normal(size=(100, 4)) * 0.1 + labels[:, None] * [1.0, -1.0, 0.5, 0.0]) * 1000 + 5
    fitted = fit_on_features(features.astype(np.float32), labels.tolist())
    probabilities = fitted.predict_proba(features)
    assert probabilities.shape == (100, 5)
    np.testing.assert_allclose(probabilities.sum(axis=1), 1)
    assert (probabilities.argmax(axis=1) == labels).mean() > 0.95
    assert list(fitted.classes_) == [0, 1, 2, 3, 4]
    # each feature is scaled, so its unit makes no difference
    other_unit = fit_on_features(features * [1, 1e-3, 1e3, 7], labels).predict_proba(features * [1, 1e-3, 1e3, 7])
    np.testing.assert_allclose(other_unit, probabilities, atol=1e-3)


def test_the_checkpoint_of_a_fine_tuned_network_can_be_tuned_again(saved, train):
    tuned = fine_tune(Checkpoint("again", str(saved), None, False), train, dataclasses.replace(SETTINGS, epochs=1), 0,
                      progress=False)
    assert len(tuned.step_losses) == 3


def test_scoring_leaves_no_trace_in_training(checkpoints, reviews):
    settings = dataclasses.replace(SETTINGS, epochs=2)
    watched = fine_tune(checkpoints["bert"], reviews, settings, 1, scored=reviews, progress=False)
    alone = fine_tune(checkpoints["bert"], reviews, settings, 1, progress=False)
    assert watched.step_losses == alone.step_losses
    assert all(torch.equal(a, b) for a, b in zip(watched.model.state_dict().values(),
                                                 alone.model.state_dict().values(), strict=True))


def seal(folder: Path, step: int, **content) -> Path:
    """A small checkpoint as a run leaves it."""
    with write_whole(folder / f"checkpoint-{step}", {"step": step, "made_with": content}) as draft:
        draft.mkdir(parents=True)
        for name in ("model.safetensors", "optimizer.pt", "rng_state.pth", "trainer_state.json"):
            (draft / name).write_bytes(name.encode() * 50)
    return folder / f"checkpoint-{step}"


def flip(path: Path) -> None:
    """Turn one bit in the middle of a file."""
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


DAMAGES = {
    "missing": lambda folder, name: (folder / name).unlink(),
    "cut": lambda folder, name: (folder / name).write_bytes((folder / name).read_bytes()[:-1]),
    "empty": lambda folder, name: (folder / name).write_bytes(b""),
    "bit": lambda folder, name: flip(folder / name),
}


@pytest.mark.parametrize("damage", DAMAGES)
@pytest.mark.parametrize("name", ["model.safetensors", "optimizer.pt", "rng_state.pth", "manifest.json"])
def test_a_damaged_checkpoint_is_named_and_skipped(damage, name, tmp_path, capsys):
    for step in (9, 18, 108):
        seal(tmp_path, step)
    (tmp_path / "checkpoint-200.earlier").mkdir()  # no checkpoint
    assert newest_checkpoint(tmp_path).endswith("checkpoint-108")  # by number, not by name
    DAMAGES[damage](tmp_path / "checkpoint-108", name)
    assert newest_checkpoint(tmp_path).endswith("checkpoint-18")
    said = capsys.readouterr().err
    assert said.startswith("checkpoint-108 is not whole (") and len(said.splitlines()) == 1
    assert name in said or (name == "manifest.json" and "manifest" in said)
    assert newest_checkpoint(tmp_path / "nowhere") is None


def test_every_bit_of_a_manifest_counts(tmp_path):
    path = seal(tmp_path, 9, seed=3) / "manifest.json"
    whole = path.read_bytes()
    for place in range(0, len(whole), 7):
        path.write_bytes(whole[:place] + bytes([whole[place] ^ 4]) + whole[place + 1 :])
        assert path.read_bytes() == whole or newest_checkpoint(tmp_path, {"seed": 3}) is None


def test_other_settings_are_refused_by_name(tmp_path):
    seal(tmp_path, 9, seed=3, rows="a")
    assert newest_checkpoint(tmp_path, {"seed": 3, "rows": "a"}) is not None
    with pytest.raises(InputError, match="checkpoint-9 was made with other rows. Train anew"):
        newest_checkpoint(tmp_path, {"seed": 3, "rows": "b"})


def test_fine_tuning_goes_on_with_its_own_settings_rows_and_network_alone(checkpoints, train, scored, tmp_path):
    settings = dataclasses.replace(SETTINGS, epochs=1)
    fine_tune(checkpoints["bert"], train, settings, 1, scored=scored, folder=tmp_path, progress=False)
    others = {
        "settings": dict(settings=dataclasses.replace(settings, learning_rate=2e-3)), "seed": dict(seed=2),
        "rows": dict(train=train.select(range(ROWS - 1))), "network": dict(checkpoint=checkpoints["distilbert"]),
        "scored rows": dict(scored=None),
    }
    same = dict(checkpoint=checkpoints["bert"], train=train, settings=settings, seed=1, scored=scored)
    for name, change in others.items():
        with pytest.raises(InputError, match=f"made with other {name}. Train anew"):
            fine_tune(**(same | change), folder=tmp_path, resume=True, progress=False)


def test_resume_past_an_unfinished_checkpoint_equals_undisturbed(checkpoint, tmp_path):
    reviews = example_reviews().select(range(32))
    settings = TrainingSettings(epochs=3, batch_size=8, max_length=32, precision="fp32")
    undisturbed = fine_tune(checkpoint, reviews, settings, 1, folder=tmp_path / "a", progress=False)
    fine_tune(checkpoint, reviews, settings, 1, folder=tmp_path / "b", progress=False)
    newest = max((tmp_path / "b" / "checkpoints").iterdir(), key=lambda path: int(path.name.rpartition("-")[2]))
    for path in newest.iterdir():  # as if the process had ended while it was written
        if path.name != "config.json":
            path.unlink()
    resumed = fine_tune(checkpoint, reviews, settings, 1, folder=tmp_path / "b", resume=True, progress=False)
    assert resumed.step_losses == undisturbed.step_losses
    for one, other in zip(undisturbed.model.parameters(), resumed.model.parameters(), strict=True):
        assert torch.equal(one, other)
