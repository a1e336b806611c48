"""Reading on without stars: which tokens are hidden, which texts are left out, and what comes out."""
import json
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from datasets import Dataset
from hypothesis import given
from hypothesis import strategies as st
from torch.nn import functional
from transformers import AutoModel

from yelp_tl.cli import main
from yelp_tl.data import InputError, example_reviews
from yelp_tl.finetuning import build_classifier, open_network
from yelp_tl.pretrained import find_checkpoint, load_tokenizer
from yelp_tl.pretraining import (
    MaskedLanguageModel,
    Pretrained,
    PretrainingSettings,
    continue_pretraining,
    mask_tokens,
    masking_collator,
    run_pretraining,
    save_pretrained,
    unlabelled_texts,
)
from yelp_tl.tokenization import tokenize_reviews


@pytest.fixture(scope="module")
def file(tmp_path_factory):
    path = tmp_path_factory.mktemp("texts") / "reviews.csv"
    example_reviews().to_csv(path)
    return str(path)


@pytest.fixture
def small(file, tiny_folder):
    return PretrainingSettings(file, model=str(tiny_folder), batch_size=8, max_length=32)


def rows_of(tokenizer, texts):
    return [{"input_ids": ids} for ids in tokenizer(texts)["input_ids"]]


# hidden tokens

@given(st.integers(1, 8), st.integers(1, 40), st.floats(0.01, 0.99), st.integers(0, 2**32))
def test_only_chosen_tokens_change(rows, tokens, share, seed):
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        ids = torch.randint(10, 50, (rows, tokens))
        fixed = torch.rand(rows, tokens) < 0.3
        before = ids.clone()
        changed, chosen = mask_tokens(ids, fixed, mask_id=3, vocabulary=50, share=share)
    assert torch.equal(ids, before) and not (chosen & fixed).any()
    assert torch.equal(changed[~chosen], ids[~chosen]) and changed.min() >= 0 and changed.max() < 50


def test_the_shares_are_those_of_the_paper():
    "15 in 100 are chosen; of those 80 are hidden, 10 exchanged and 10 stay; allowed are four standard errors."
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        ids = torch.full((400, 500), 7)
        changed, chosen = mask_tokens(ids, torch.zeros_like(ids, dtype=torch.bool), mask_id=3, vocabulary=30_000)
    found = changed[chosen]
    shares = [(chosen, 0.15), (found == 3, 0.8), (found == 7, 0.1)]
    for those, expected in shares:
        n = those.numel()
        assert abs(those.float().mean() - expected) < 4 * (expected * (1 - expected) / n) ** 0.5


def test_a_batch_names_the_true_tokens_and_leaves_special_ones(tiny_checkpoint):
    tokenizer = load_tokenizer(tiny_checkpoint)
    rows = rows_of(tokenizer, ["the soup was cold", "warm bread and kind staff in a small place"])
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(1)
        for _ in range(20):
            batch = masking_collator(tokenizer, 0.5)(rows)
            whole = tokenizer.pad({"input_ids": [row["input_ids"] for row in rows]}, return_tensors="pt")
            true, told = whole["input_ids"].flatten(), batch["input_ids"].flatten()
            assert torch.equal(true[batch["places"]], batch["labels"])
            assert not torch.isin(batch["labels"], torch.tensor(tokenizer.all_special_ids)).any()
            others = torch.ones(len(true), dtype=torch.bool)
            others[batch["places"]] = False
            assert torch.equal(true[others], told[others])
            assert torch.equal(batch["attention_mask"], whole["attention_mask"])


def test_a_batch_in_which_nothing_was_chosen_still_has_something_to_guess(tiny_checkpoint):
    tokenizer = load_tokenizer(tiny_checkpoint)
    batch = masking_collator(tokenizer, 1e-9)(rows_of(tokenizer, ["cold soup"]))
    assert len(batch["labels"]) == len(tokenizer("cold soup")["input_ids"]) - 2


# the head

def test_the_head_reads_the_chosen_places_and_shares_the_table_of_tokens(tiny_checkpoint):
    tokenizer = load_tokenizer(tiny_checkpoint)
    torch.manual_seed(0)
    model = MaskedLanguageModel(open_network(AutoModel, tiny_checkpoint.path)).eval()
    batch = masking_collator(tokenizer)(rows_of(tokenizer, ["the soup was cold and late", "kind staff"]))
    logits = model(**batch).logits
    hidden = model.body(batch["input_ids"], attention_mask=batch["attention_mask"]).last_hidden_state
    all_logits = functional.linear(model.transform(hidden), model.body.get_input_embeddings().weight, model.bias)
    assert torch.allclose(logits, all_logits.flatten(0, 1)[batch["places"]], atol=1e-5)
    names = [name for name, weight in model.named_parameters() if weight.shape[0] == model.config.vocab_size]
    assert len(names) == 2, "one table and one bias"


# texts

def test_texts_of_the_other_file_and_repeated_ones_are_left_out(small, tmp_path):
    texts = example_reviews()["text"][:]
    more = tmp_path / "more.jsonl"
    more.write_text("".join(json.dumps({"text": text}) + "\n" for text in [*texts, *texts[:5], "only here"]),
                    encoding="utf-8")
    settings = replace(small, data=str(more))
    assert sorted(unlabelled_texts(settings)) == sorted([*texts, "only here"])
    assert unlabelled_texts(replace(settings, without=small.data)) == ["only here"]
    with pytest.raises(InputError, match=r"at least 2 different texts to read, found 1\. .*--rows"):
        unlabelled_texts(replace(settings, without=small.data, rows=2))
    with pytest.raises(InputError, match="found 0"):
        unlabelled_texts(replace(small, without=small.data))


def test_a_seed_draws_the_texts(small):
    few = replace(small, rows=10)
    assert unlabelled_texts(few) == unlabelled_texts(few) != unlabelled_texts(replace(few, seed=1))
    assert unlabelled_texts(few) == unlabelled_texts(replace(small, rows=20))[:10]


@pytest.mark.parametrize(("change", "found"), [
    ({"rows": 0}, "rows"), ({"share": 0.0}, "share"), ({"share": 1.0}, "share"), ({"epochs": 0}, "epochs"),
    ({"learning_rate": 2.0}, "learning_rate")])
def test_settings_check_themselves(change, found):
    with pytest.raises(InputError, match=f"^{found}: expected"):
        PretrainingSettings("reviews.csv", **change)


# training

def test_a_seed_repeats_the_weights_and_the_body_changes(small, tiny_checkpoint, on_the_cpu):
    texts = unlabelled_texts(replace(small, rows=24))
    one, two = (continue_pretraining(tiny_checkpoint, texts, small, progress=False) for _ in range(2))
    start = open_network(AutoModel, tiny_checkpoint.path).state_dict()
    weights, again = one.body.state_dict(), two.body.state_dict()
    assert one.losses == two.losses and all(torch.equal(weights[name], again[name]) for name in weights)
    changed = [name for name in weights if name in start and not torch.equal(weights[name], start[name])]
    assert any("word_embeddings" in name for name in changed) and any("layer.0" in name for name in changed)


def test_what_comes_out_is_a_network_like_the_one_that_went_in(small, tiny_folder, tmp_path):
    record = run_pretraining(small, tmp_path / "reader", progress=False)
    assert record == json.loads((tmp_path / "reader" / "pretraining.json").read_text(encoding="utf-8"))
    assert record["texts"] == len(unlabelled_texts(small)) and record["settings"]["seed"] == 42
    lengths = tokenize_reviews(Dataset.from_dict({"text": unlabelled_texts(small)}),
                               load_tokenizer(find_checkpoint(str(tiny_folder))), small.max_length)["length"][:]
    assert small.epochs * sum(lengths) <= record["tokens_computed"] <= small.epochs * len(lengths) * small.max_length
    assert record["fit_seconds"] > 0 and record["cpu_seconds"] > 0
    old, new = (json.loads((folder / "config.json").read_text(encoding="utf-8"))
                for folder in (tiny_folder, tmp_path / "reader"))
    assert new["attention_probs_dropout_prob"] == old.get("attention_probs_dropout_prob", 0.1) > 0
    model = build_classifier(find_checkpoint(str(tmp_path / "reader")), seed=0)
    assert model.config.num_labels == 5
    written = "".join(path.read_text(encoding="utf-8") for path in (tmp_path / "reader").glob("*.json"))
    assert not any(text in written for text in example_reviews()["text"][:]), "no review goes along"


def test_a_tokenizer_without_masks_is_refused(small, tiny_checkpoint, monkeypatch):
    tokenizer = load_tokenizer(tiny_checkpoint)
    tokenizer.mask_token = None
    monkeypatch.setattr("yelp_tl.pretraining.load_tokenizer", lambda _: tokenizer)
    with pytest.raises(InputError, match="token for masks"):
        continue_pretraining(tiny_checkpoint, ["cold soup"], small, progress=False)


def test_first_and_last_losses_are_those(small, monkeypatch, tmp_path):
    body = SimpleNamespace(config=SimpleNamespace(vocab_size=9))
    made = Pretrained(body, None, list(map(float, range(200, 0, -1))), 5)
    monkeypatch.setattr("yelp_tl.pretraining.continue_pretraining", lambda *_: made)
    monkeypatch.setattr("yelp_tl.pretraining.save_pretrained", lambda *_: None)
    record = run_pretraining(small, tmp_path / "out", progress=False)
    assert (record["loss_of_first_steps"], record["loss_of_last_steps"]) == (175.5, 25.5)


def test_the_seed_decides_pretraining(small, tiny_checkpoint, monkeypatch):
    seen = []

    def stop(model, tokenizer, rows, training, seed, **_):
        seen.append((seed, model.transform[0].weight.sum().item()))
        raise KeyboardInterrupt

    monkeypatch.setattr("yelp_tl.pretraining.make_trainer", stop)
    for seed in (7, 7, 8):
        with pytest.raises(KeyboardInterrupt):
            continue_pretraining(tiny_checkpoint, ["good soup"], replace(small, seed=seed), progress=False)
    assert [seed for seed, _ in seen] == [7, 7, 8] and seen[0] == seen[1] and seen[0][1] != seen[2][1]


def test_half_a_network_is_never_left(monkeypatch, tmp_path, tiny_checkpoint):
    def stop(*_):
        raise KeyboardInterrupt

    part = SimpleNamespace(save_pretrained=lambda folder: Path(folder).mkdir(parents=True, exist_ok=True))
    monkeypatch.setattr("yelp_tl.pretraining.write_json", stop)
    with pytest.raises(KeyboardInterrupt):
        save_pretrained(Pretrained(part, part, [], 0), tiny_checkpoint, tmp_path / "new", {})
    assert list(tmp_path.iterdir()) == []


# the command

def test_the_command_writes_a_network_for_the_others(file, tiny_folder, tmp_path, capsys):
    out = tmp_path / "reader"
    words = ["pretrain", "--data", file, "--model", str(tiny_folder), "--rows", "30", "--batch-size", "8",
             "--out", str(out)]
    assert main([*words, "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["texts"] == 30
    before = sorted(path.name for path in out.iterdir())
    assert main(words) == 2  # the folder is there
    assert "expected a new folder" in capsys.readouterr().err and sorted(path.name for path in out.iterdir()) == before
    assert main(["finetune", "--data", file, "--model", str(out), "--n-train", "30", "--n-validation", "0", "--n-test",
                 "20", "--epochs", "1", "--out", str(tmp_path / "run")]) == 0


@pytest.mark.parametrize(("words", "found"), [
    (["--data", "missing.csv", "--out", "reader"], "missing.csv"), (["--data", "x.csv"], "--out"),
    (["--out", "reader"], "--data"), (["--data", "x.csv", "--out", "reader", "--share", "2"], "share")])
def test_a_wrong_command_is_refused_in_a_line_and_writes_nothing(words, found, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert main(["pretrain", *words]) == 2
    error = capsys.readouterr().err
    assert found in error and "Traceback" not in error and len(error.splitlines()) == 1 and not list(tmp_path.iterdir())
