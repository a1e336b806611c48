"""Tokens, batches and orders: checked against the tokenizers library, Hugging Face's collator and plain loops."""
import gc
import logging
import sys
import tempfile
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import pytest
import torch
from datasets import Dataset, Features, Value, enable_progress_bars
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tokenizers import Tokenizer
from transformers import DataCollatorWithPadding, PreTrainedTokenizerFast

from yelp_tl.data import InputError, example_reviews, reviews_from_lists
from yelp_tl.pretrained import find_checkpoint, load_tokenizer
from yelp_tl.tokenization import (
    EpochSampler,
    computed_tokens,
    count_truncated,
    make_collator,
    padding_costs,
    plot_token_lengths,
    tokenize_reviews,
    tokenize_windows,
)

LENGTHS = st.lists(st.integers(3, 512), max_size=200)


@pytest.fixture(scope="module")
def tokenizer(tiny_checkpoint):
    return load_tokenizer(tiny_checkpoint)


@pytest.fixture(scope="module")
def free(tiny_folder):
    """The same vocabulary in the bare library, which never cuts or pads unless told to."""
    bare = Tokenizer.from_file(str(tiny_folder / "tokenizer.json"))
    bare.no_truncation()
    bare.no_padding()
    return bare


@pytest.fixture(scope="module")
def stretched():
    """Example reviews, some of them long, one of exactly 512 tokens and one of 513."""
    texts = example_reviews()["text"][:20]
    texts = [text * (1 + row % 5 * 4) for row, text in enumerate(texts)]
    return reviews_from_lists([*texts, "a " * 510, "a " * 511], [row % 5 for row in range(22)])


@pytest.fixture
def carrying_policy(tiny_folder):
    """A tokenizer whose file cuts and pads to 8 tokens, as MiniLM's does to 128."""
    bare = Tokenizer.from_file(str(tiny_folder / "tokenizer.json"))
    bare.enable_truncation(8)
    bare.enable_padding(length=8, pad_id=bare.token_to_id("[PAD]"))
    return PreTrainedTokenizerFast(
        tokenizer_object=bare, cls_token="[CLS]", sep_token="[SEP]", pad_token="[PAD]", unk_token="[UNK]"
    )


def cut_by_hand(ids, max_length):
    return ids if len(ids) <= max_length else [*ids[: max_length - 1], ids[-1]]


# ---- tokens


@pytest.mark.parametrize("max_length", [3, 17, 64, 512, 5000])
def test_tokens_equal_the_bare_library_cut_by_hand(stretched, tokenizer, free, max_length):
    whole = [encoding.ids for encoding in free.encode_batch(stretched["text"][:])]
    tokens = tokenize_reviews(stretched, tokenizer, max_length)
    assert tokens["input_ids"][:] == [cut_by_hand(ids, max_length) for ids in whole]
    assert tokens["full_length"][:] == [len(ids) for ids in whole]
    assert tokens["length"][:] == [min(len(ids), max_length) for ids in whole]
    assert tokens["label"][:] == stretched["label"][:]
    assert count_truncated(tokens) == sum(len(ids) > max_length for ids in whole)


def test_512_tokens_are_kept_whole_and_513_are_cut(stretched, tokenizer):
    tokens = tokenize_reviews(stretched, tokenizer)
    assert tokens["full_length"][-2:] == [512, 513] and tokens["length"][-2:] == [512, 512]
    assert tokens[-1]["input_ids"][-1] == tokenizer.sep_token_id


def test_a_policy_stored_in_the_tokenizer_is_overruled(stretched, tokenizer, carrying_policy):
    assert len(carrying_policy.backend_tokenizer.encode("a " * 100).ids) == 8  # it does carry one
    ours, plain = tokenize_reviews(stretched, carrying_policy), tokenize_reviews(stretched, tokenizer)
    assert ours["input_ids"][:] == plain["input_ids"][:]
    assert ours["full_length"][:] == plain["full_length"][:]


def test_windows_overrule_a_stored_policy(stretched, tokenizer, carrying_policy):
    texts = stretched["text"][:]
    assert tokenize_windows(texts, carrying_policy) == tokenize_windows(texts, tokenizer)


def test_one_call_leaves_no_trace_in_the_next(stretched, tokenizer):
    before = tokenize_reviews(stretched, tokenizer)["input_ids"][:]
    tokenize_windows(stretched["text"][:], tokenizer, 20, 5)
    tokenize_reviews(stretched, tokenizer, 9)
    tokenizer(stretched["text"][:], padding="max_length", truncation=True, max_length=30)
    assert tokenize_reviews(stretched, tokenizer)["input_ids"][:] == before


def test_minilm_gives_the_whole_review_although_its_file_says_128():
    checkpoint = find_checkpoint("minilm")
    bare = Tokenizer.from_file(f"{checkpoint.path}/tokenizer.json")
    text = "The gnocchi were unforgettable. " * 40
    assert bare.truncation["max_length"] == 128 and len(bare.encode(text).ids) == 128
    bare.no_truncation()
    bare.no_padding()
    whole = bare.encode(text).ids
    carrying = PreTrainedTokenizerFast(tokenizer_file=f"{checkpoint.path}/tokenizer.json")
    for tokenizer in (load_tokenizer(checkpoint), carrying):
        tokens = tokenize_reviews(reviews_from_lists([text], [0]), tokenizer)
        assert tokens["full_length"][:] == [len(whole)] == [402]
        assert tokens["input_ids"][:] == [whole]


def test_literal_backslash_n_breaks_the_next_word():
    tokenizer = load_tokenizer(find_checkpoint("minilm"))
    ids = tokenize_reviews(reviews_from_lists([r"\nservice"], [0]), tokenizer)[0]["input_ids"]
    assert tokenizer.convert_ids_to_tokens(ids) == ["[CLS]", "\\", "ns", "##er", "##vic", "##e", "[SEP]"]


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(texts=st.lists(st.text(min_size=1), min_size=1, max_size=5), max_length=st.integers(3, 30))
def test_any_text_has_its_full_length_and_its_closing_token(tokenizer, free, texts, max_length):
    reviews = Dataset.from_dict({"text": texts})
    tokens = tokenize_reviews(reviews, tokenizer, max_length)
    for row, encoding in zip(tokens, free.encode_batch(texts), strict=True):
        assert row["full_length"] == len(encoding.ids)
        assert row["input_ids"] == cut_by_hand(encoding.ids, max_length)


def test_columns_and_types(stretched, tokenizer):
    tokens = tokenize_reviews(stretched, tokenizer)
    assert set(tokens.column_names) == {"input_ids", "label", "length", "full_length"}
    assert tokens.features["label"] == stretched.features["label"]


def test_labels_may_be_missing_and_other_columns_go(tokenizer):
    tokens = tokenize_reviews(Dataset.from_dict({"text": ["good", "bad"], "place": ["x", "y"]}), tokenizer)
    assert set(tokens.column_names) == {"input_ids", "length", "full_length"}


def test_no_rows_give_no_rows(tokenizer, stretched):
    nothing = tokenize_reviews(stretched.select([]), tokenizer)
    assert len(nothing) == 0 and nothing.features == tokenize_reviews(stretched, tokenizer).features
    assert count_truncated(nothing) == 0
    empty = Dataset.from_dict({"text": []}, features=Features({"text": Value("string")}))
    assert "label" not in tokenize_reviews(empty, tokenizer).column_names


def test_an_empty_review_has_its_special_tokens(tokenizer):
    tokens = tokenize_reviews(Dataset.from_dict({"text": ["", "good"]}), tokenizer)
    assert tokens[0]["input_ids"] == [tokenizer.cls_token_id, tokenizer.sep_token_id]


def test_rows_keep_their_order_over_many_batches(tokenizer):
    texts = ["good " * (row % 7 + 1) for row in range(2500)]  # a table holds 1,000 rows
    tokens = tokenize_reviews(reviews_from_lists(texts, [row % 5 for row in range(2500)]), tokenizer)
    one = len(tokenizer.tokenize("good"))
    assert tokens["length"][:] == [one * (row % 7 + 1) + 2 for row in range(2500)]
    assert tokens["label"][:] == [row % 5 for row in range(2500)]


def test_the_library_is_called_once_a_table(tokenizer):
    calls = []

    class Counting:
        truncation, padding = None, None
        no_truncation = no_padding = enable_truncation = lambda self, *_, **__: None

        def encode_batch_fast(self, texts):
            calls.append(len(texts))
            return tokenizer.backend_tokenizer.encode_batch_fast(texts)

    class Wrapped:
        is_fast, num_special_tokens_to_add = True, tokenizer.num_special_tokens_to_add
        truncation_side, backend_tokenizer = "right", Counting()

    tokenize_reviews(Dataset.from_dict({"text": ["good"] * 2500}), Wrapped())
    assert calls == [1000, 1000, 500]


def test_the_rule_of_the_file_comes_back(stretched, carrying_policy):
    backend = carrying_policy.backend_tokenizer
    before = backend.truncation, backend.padding
    tokenize_reviews(stretched, carrying_policy, 20)
    tokenize_windows(stretched["text"][:], carrying_policy, 20, 5)
    assert (backend.truncation, backend.padding) == before
    with pytest.raises(TypeError):  # also where the library refuses what it was given
        tokenize_windows([None], carrying_policy)
    assert (backend.truncation, backend.padding) == before


def same_rows(one, other):
    assert one.features == other.features
    assert all(one[name][:] == other[name][:] for name in one.column_names)


def test_many_rows_lie_in_a_file_that_goes_with_them(stretched, tokenizer, tmp_path, monkeypatch):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    in_memory = tokenize_reviews(stretched, tokenizer, mapped_from=len(stretched) + 1)
    assert in_memory.cache_files == [] and list(tmp_path.iterdir()) == []
    mapped = tokenize_reviews(stretched, tokenizer, mapped_from=len(stretched))
    same_rows(mapped, in_memory)
    assert [Path(file["filename"]).is_relative_to(tmp_path) for file in mapped.cache_files] == [True]
    chosen = mapped.select([3, 1])
    del mapped
    gc.collect()
    if sys.platform != "win32":  # there the file stays as long as it is mapped
        assert list(tmp_path.iterdir()) == []
    assert chosen["input_ids"][:] == [in_memory[3]["input_ids"], in_memory[1]["input_ids"]]


def test_a_file_that_is_not_finished_goes(tokenizer, tmp_path, monkeypatch):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    reviews = Dataset.from_dict({"text": ["good"] * 1500 + [None]})  # the second table fails
    with pytest.raises(TypeError):
        tokenize_reviews(reviews, tokenizer, mapped_from=10)
    assert list(tmp_path.iterdir()) == []


def test_rows_in_another_order_and_format_are_read_as_they_stand(stretched, tokenizer):
    plain = tokenize_reviews(stretched, tokenizer)
    turned = tokenize_reviews(stretched.select(range(21, -1, -1)).with_format("numpy"), tokenizer)
    same_rows(turned, plain.select(range(21, -1, -1)))


def test_nothing_is_written_and_the_input_stays(stretched, tokenizer, tmp_path):
    before = stretched["text"][:]
    Dataset.from_dict({"text": before}).save_to_disk(tmp_path / "rows")
    on_disk = Dataset.load_from_disk(str(tmp_path / "rows"))
    files = sorted(path.name for path in (tmp_path / "rows").iterdir())
    tokens = tokenize_reviews(on_disk, tokenizer)
    assert tokens.cache_files == []
    assert sorted(path.name for path in (tmp_path / "rows").iterdir()) == files
    tokenize_reviews(stretched, tokenizer)
    assert stretched["text"][:] == before and stretched.column_names == ["text", "label"]


def test_long_reviews_raise_no_warning_and_progress_shows(tiny_checkpoint, capsys):
    messages = []
    handler = logging.Handler()
    handler.emit = lambda record: messages.append(record.getMessage())
    logger = logging.getLogger("transformers")
    logger.addHandler(handler)
    was = logger.level
    logger.setLevel(logging.WARNING)
    enable_progress_bars()
    try:
        tokenizer = load_tokenizer(tiny_checkpoint)
        tokens = tokenize_reviews(Dataset.from_dict({"text": ["a " * 3000]}), tokenizer)
        windows, _ = tokenize_windows(["a " * 3000], tokenizer)
        assert messages == []
        tokenizer("a " * 3000)  # the plain call does warn, so the silence above means something
        assert "longer than" in messages[0]
    finally:
        logger.removeHandler(handler)
        logger.setLevel(was)
    # 510 tokens of text in the first window, 446 new ones in each further window
    assert tokens["full_length"][:] == [3002] and len(windows) == 7
    assert "Tokenizing" in capsys.readouterr().err


def test_missing_text_column(tokenizer):
    with pytest.raises(InputError, match="'text'.*review"):
        tokenize_reviews(Dataset.from_dict({"review": ["good"]}), tokenizer)


@pytest.mark.parametrize("max_length", [2, 1, 0, -5])
def test_no_room_for_text(stretched, tokenizer, max_length):
    with pytest.raises(InputError, match=f"above 2.*found {max_length}"):
        tokenize_reviews(stretched, tokenizer, max_length)
    with pytest.raises(InputError, match="max_length above 2"):
        tokenize_windows(["good"], tokenizer, max_length, 0)


def test_a_slow_tokenizer_is_refused(stretched):
    class Slow:
        is_fast = False

    with pytest.raises(InputError, match="fast tokenizer.*Slow"):
        tokenize_reviews(stretched, Slow())


# ---- windows


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(sizes=st.lists(st.integers(0, 60), min_size=1, max_size=4), max_length=st.integers(3, 25), data=st.data())
def test_windows_cover_every_token_once_beside_the_overlap(tokenizer, free, sizes, max_length, data):
    stride = data.draw(st.integers(0, max_length - 3))
    texts = [" ".join("abcdefghij"[place % 10] for place in range(size)) for size in sizes]
    windows, owner = tokenize_windows(texts, tokenizer, max_length, stride)
    assert sorted(set(owner)) == list(range(len(texts))) and owner == sorted(owner)
    for review, encoding in enumerate(free.encode_batch(texts)):
        pieces = [window for window, which in zip(windows, owner, strict=True) if which == review]
        assert all(len(piece) <= max_length for piece in pieces)
        assert all(len(piece) == max_length for piece in pieces[:-1])
        assert all(piece[0] == tokenizer.cls_token_id and piece[-1] == tokenizer.sep_token_id for piece in pieces)
        rebuilt = pieces[0][1:-1]
        for piece in pieces[1:]:
            assert rebuilt[len(rebuilt) - stride :] == piece[1:-1][:stride]
            rebuilt += piece[1:-1][stride:]
        assert rebuilt == encoding.ids[1:-1]


def test_a_review_that_fits_gives_one_window(tokenizer):
    windows, owner = tokenize_windows(["a " * 510, "a " * 511, ""], tokenizer)
    assert owner == [0, 1, 1, 2] and [len(window) for window in windows] == [512, 512, 2 + 65, 2]


def test_no_texts_give_no_windows(tokenizer):
    assert tokenize_windows([], tokenizer) == ([], [])


@pytest.mark.parametrize("stride", [-1, 8, 100])
def test_an_overlap_that_never_moves_on(tokenizer, stride):
    with pytest.raises(InputError, match=f"stride from 0 to 7.*found {stride}"):
        tokenize_windows(["good"], tokenizer, 10, stride)


# ---- collator


def same_batch(ours, theirs):
    assert set(ours) == set(theirs)
    for name, values in ours.items():
        assert values.dtype == theirs[name].dtype
        assert torch.equal(values, theirs[name])


@pytest.mark.parametrize("padding", ["longest", "max_length"])
@pytest.mark.parametrize("side", ["right", "left"])
def test_collator_equals_hugging_face(stretched, tiny_checkpoint, padding, side):
    tokenizer = load_tokenizer(tiny_checkpoint)
    tokenizer.padding_side = side
    rows = list(tokenize_reviews(stretched, tokenizer, 100))
    theirs = DataCollatorWithPadding(tokenizer, padding=padding, max_length=120)
    wanted = ("input_ids", "label")
    for chosen in (rows, rows[:3], rows[5:6]):
        same_batch(
            make_collator(tokenizer, padding, 120)(chosen),
            dict(theirs([{name: row[name] for name in wanted} for row in chosen])),
        )


def test_collator_takes_windows_without_label_and_mask(tokenizer):
    windows, _ = tokenize_windows(["one two three four five", "six"], tokenizer, 8, 2)
    rows = [{"input_ids": window} for window in windows]
    same_batch(make_collator(tokenizer)(rows), dict(DataCollatorWithPadding(tokenizer)(rows)))


def test_collator_keeps_a_mask_that_is_there(tokenizer):
    row = {"input_ids": [2, 5, 3, 0, 0], "attention_mask": [1, 1, 1, 0, 0], "label": 0}
    longer = {"input_ids": [2, 5, 5, 5, 5, 3], "attention_mask": [1] * 6, "label": 4}
    batch = make_collator(tokenizer)([row, longer])
    assert batch["attention_mask"].tolist() == [[1, 1, 1, 0, 0, 0], [1] * 6]
    assert batch["labels"].tolist() == [0, 4]


def test_collator_leaves_the_rows_as_they_were(tokenizer):
    rows = [{"input_ids": [2, 5, 3], "attention_mask": [1, 1, 1]}, {"input_ids": [2, 3], "attention_mask": [1, 1]}]
    make_collator(tokenizer, "max_length", 9)(rows)
    assert rows[1] == {"input_ids": [2, 3], "attention_mask": [1, 1]}


def test_collator_refuses_what_it_cannot_do(tokenizer, tiny_checkpoint):
    with pytest.raises(ValueError, match="'longest' or 'max_length', found 'longets'"):
        make_collator(tokenizer, "longets")
    with pytest.raises(ValueError, match="at most 4 tokens, found 5"):
        make_collator(tokenizer, "max_length", 4)([{"input_ids": [2, 5, 5, 5, 3]}])
    without = load_tokenizer(tiny_checkpoint)
    without.pad_token = None
    with pytest.raises(InputError, match="padding token"):
        make_collator(without)


@pytest.mark.parametrize("architecture", ["bert", "distilbert"])
def test_padding_changes_no_logit(tmp_path, architecture):
    from transformers import AutoConfig, AutoModelForSequenceClassification

    from yelp_tl.pretrained import make_tiny_checkpoint

    checkpoint = find_checkpoint(str(make_tiny_checkpoint(tmp_path, architecture)))
    tokenizer = load_tokenizer(checkpoint)
    torch.manual_seed(0)
    config = AutoConfig.from_pretrained(checkpoint.path, num_labels=5, initializer_range=0.3)
    network = AutoModelForSequenceClassification.from_config(config).eval()
    rows = list(tokenize_reviews(example_reviews().select(range(0, 60, 12)), tokenizer).remove_columns("label"))
    alone, longest, widest = make_collator(tokenizer), make_collator(tokenizer), make_collator(tokenizer, "max_length")
    with torch.inference_mode():
        truth = torch.cat([network(**alone([row])).logits for row in rows])
        for batch in (longest(rows), widest(rows)):
            torch.testing.assert_close(network(**batch).logits, truth, atol=1e-5, rtol=0)
        unmasked = network(**{**widest(rows), "attention_mask": torch.ones(len(rows), 512, dtype=torch.long)}).logits
    assert (unmasked - truth).abs().max() > 1e-3


# ---- order of the rows


def cut(order, size):
    return [order[start : start + size] for start in range(0, len(order), size)]


@settings(max_examples=150, deadline=None)
@given(LENGTHS, st.integers(1, 40), st.integers(0, 2**31), st.integers(0, 20), st.booleans())
def test_every_row_exactly_once(lengths, batch_size, seed, epoch, grouped):
    sampler = EpochSampler(lengths, batch_size, seed, grouped)
    sampler.set_epoch(epoch)
    order = list(sampler)
    assert sorted(order) == list(range(len(lengths))) and len(sampler) == len(order)
    assert all(type(row) is int for row in order)
    assert list(sampler) == order  # asked twice in one epoch, the same order
    if grouped and len(lengths) >= batch_size:
        assert max(lengths[row] for row in order[:batch_size]) == max(lengths)


def test_rows_of_a_batch_have_similar_length():
    lengths = np.random.default_rng(0).integers(3, 513, 1003)
    batches = cut(list(EpochSampler(lengths, 16, 0)), 16)
    spread = [np.ptp(lengths[batch]) for batch in batches]
    assert len(batches[-1]) == 1003 % 16
    # 800 rows of a pool over 510 lengths: 16 neighbours lie about 10 apart, 203 rows about 40
    assert max(spread) < 100 and np.mean(spread) < 30


def test_order_of_batches_is_random_where_many_rows_are_cut():
    # a third of the rows at the limit: only one batch of them may be moved to the front
    lengths = np.where(np.arange(900) % 3 == 0, 512, 40)
    heads = np.array([lengths[batch].max() for batch in cut(list(EpochSampler(lengths, 10, 1)), 10)])
    assert heads[0] == 512
    assert 0 < (heads[1:20] == 512).sum() < 19


def test_batches_are_mixed_anew_each_epoch():
    lengths = np.arange(3, 2003)
    sampler = EpochSampler(lengths, 8, 0)
    first = {frozenset(batch) for batch in cut(list(sampler), 8)}
    sampler.set_epoch(1)
    assert len(first & {frozenset(batch) for batch in cut(list(sampler), 8)}) < 5  # of 250


def test_the_short_batch_takes_all_kinds_of_length():
    lengths = np.arange(3, 3 + 103)
    means = []
    for epoch in range(60):
        sampler = EpochSampler(lengths, 10, 0)
        sampler.set_epoch(epoch)
        last = lengths[list(sampler)[-3:]]
        assert np.ptp(last) == 2 and lengths.max() not in last
        means.append(last.mean())
    assert min(means) < 25 and max(means) > 85


def test_order_depends_on_seed_and_epoch_alone():
    lengths = np.random.default_rng(1).integers(3, 513, 300)
    orders = set()
    for seed in range(3):
        for epoch in range(3):
            sampler = EpochSampler(lengths, 8, seed)
            sampler.set_epoch(epoch)
            orders.add(tuple(sampler))
            fresh = EpochSampler(lengths.tolist(), 8, seed)
            list(fresh)  # an epoch read before changes nothing
            fresh.set_epoch(epoch)
            torch.rand(1)
            assert tuple(fresh) == tuple(sampler)
    assert len(orders) == 9


@pytest.mark.parametrize("grouped", [True, False])
def test_global_random_state_stays(grouped):
    import random

    torch_state, numpy_state, python_state = torch.get_rng_state(), np.random.get_state()[1].copy(), random.getstate()
    list(EpochSampler([5, 9, 7, 7, 30], 2, 0, grouped))
    assert torch.equal(torch_state, torch.get_rng_state())
    assert np.array_equal(numpy_state, np.random.get_state()[1]) and random.getstate() == python_state


def test_orders_are_pinned():
    """A change of these rows changes every fine-tuned figure: it must be a decision."""
    lengths = [10, 90, 12, 80, 33, 34, 60, 5, 41, 77]
    assert list(EpochSampler(lengths, 4, 42, grouped=False)) == [5, 6, 0, 7, 3, 2, 4, 9, 1, 8]
    assert list(EpochSampler(lengths, 4, 42)) == [1, 6, 8, 5, 4, 2, 0, 7, 3, 9]


@pytest.mark.parametrize(("batch_size", "seed"), [(0, 1), (-3, 1), (8, -1)])
def test_sampler_refuses_bad_numbers(batch_size, seed):
    with pytest.raises(ValueError, match=f"found {batch_size} and {seed}"):
        EpochSampler([5, 6], batch_size, seed)


def test_a_data_loader_gives_the_batches_that_were_counted(stretched, tokenizer):
    tokens = tokenize_reviews(stretched, tokenizer)
    for grouped in (True, False):
        sampler = EpochSampler(tokens["length"][:], 4, 7, grouped)
        loader = torch.utils.data.DataLoader(tokens, 4, sampler=sampler, collate_fn=make_collator(tokenizer))
        batches = list(loader)
        assert sum(batch["input_ids"].numel() for batch in batches) == computed_tokens(tokens["length"], sampler, 4)
        assert torch.cat([batch["labels"] for batch in batches]).tolist() == [tokens[row]["label"] for row in sampler]


# ---- what padding costs


@settings(max_examples=100, deadline=None)
@given(LENGTHS, st.integers(1, 40), st.randoms(use_true_random=False))
def test_computed_tokens_equal_a_plain_loop(lengths, batch_size, chance):
    order = list(range(len(lengths)))
    chance.shuffle(order)
    total = 0
    for batch in cut(order, batch_size):
        total += len(batch) * max(lengths[row] for row in batch)
    assert computed_tokens(lengths, order, batch_size) == total
    assert computed_tokens(lengths, iter(order), batch_size, pad_to=600) == 600 * len(lengths)


def test_rows_wider_than_the_padding_are_refused():
    with pytest.raises(ValueError, match="at most 10 tokens, found 11"):
        computed_tokens([3, 11], [0, 1], 2, pad_to=10)


@settings(max_examples=60, deadline=None)
@given(LENGTHS, st.integers(1, 40), st.integers(0, 100))
def test_costs_are_ordered(lengths, batch_size, seed):
    costs = padding_costs(lengths, batch_size, seed)
    assert list(costs) == ["max_length", "longest", "grouped", "no padding"]
    assert all(type(computed) is int for computed in costs.values())
    assert costs["no padding"] == sum(lengths) and costs["max_length"] == 512 * len(lengths)
    assert costs["no padding"] <= costs["longest"] <= costs["max_length"]
    assert costs["no padding"] <= costs["grouped"] <= costs["max_length"]
    assert padding_costs(lengths, 1, seed)["grouped"] == sum(lengths)


def test_grouping_saves_most_padding_of_review_like_lengths():
    lengths = np.clip(np.random.default_rng(3).lognormal(np.log(134), 0.8, 3000), 3, 512).astype(int)
    costs = padding_costs(lengths, 16, 42)
    assert costs["grouped"] < 1.06 * costs["no padding"]
    assert costs["longest"] > 2 * costs["no padding"]


# ---- plot


def test_plot_marks_the_limit_and_counts_what_is_above():
    figure, ax = plt.subplots()
    assert plot_token_lengths([10, 20, 128, 129, 600], ax, mark=128) is ax
    assert sum(patch.get_height() for patch in ax.patches) == 5
    assert ax.lines[0].get_xdata()[0] == 128
    assert ax.get_legend().get_texts()[0].get_text() == "128 tokens: 2 of 5 are longer"
    plt.close(figure)
