"""Recipes: every loss against a plain loop, what is trained and what stays, and costs that are counted right."""
import builtins
import re
from dataclasses import replace

import numpy as np
import pytest
import torch
from datasets import Dataset
from hypothesis import given
from hypothesis import strategies as st
from safetensors.torch import load_file
from scipy.stats import truncnorm
from sklearn.svm import LinearSVC
from torch.nn import functional
from transformers.modeling_outputs import SequenceClassifierOutput

from yelp_tl.data import InputError, example_reviews, split_reviews
from yelp_tl.finetuning import TrainingSettings, fine_tune, make_trainer
from yelp_tl.recipes import (
    AVERAGED,
    FINE_TUNED,
    LADDER,
    LOSSES,
    ORDINAL,
    RECIPE_NAMES,
    TRAINED,
    MeanPooled,
    Recipe,
    add_lora,
    build_network,
    corn_loss,
    corn_probabilities,
    distil,
    encoder_layers,
    head_names,
    layer_depths,
    layerwise_optimizer,
    make_recipes,
    memory_watched,
    regression_loss,
    regression_probabilities,
    run_linear_svm,
    run_recipe,
    soft_label_loss,
    soft_targets,
    star_probabilities,
    target_loss,
    train_network,
)

SMALL = TrainingSettings(epochs=1, learning_rate=1e-3, batch_size=8, max_length=48)
some_logits = st.integers(1, 12).flatmap(lambda rows: st.tuples(
    st.lists(st.lists(st.floats(-20, 20, width=32), min_size=4, max_size=4), min_size=rows, max_size=rows),
    st.lists(st.integers(0, 4), min_size=rows, max_size=rows)))


@pytest.fixture(scope="module")
def split():
    return split_reviews(example_reviews(), n_train=30, n_validation=10, n_test=20, seed=1)


@pytest.fixture(scope="module")
def unlabelled():
    return Dataset.from_dict({"text": [f"a review without stars, number {number}" for number in range(40)]})


# losses


def plain_corn_loss(logits, labels):
    """Question by question, as the paper's text tells it."""
    total, asked = 0.0, 0
    for question in range(4):
        reached = [row for row, label in enumerate(labels) if label > question - 1]
        for row in reached:
            sure = 1 / (1 + np.exp(-np.float64(logits[row][question])))
            yes = labels[row] > question
            total -= np.log(max(sure if yes else 1 - sure, 1e-300))
            asked += 1
    return total / asked


@given(some_logits)
def test_corn_loss_equals_the_plain_loop(drawn):
    logits, labels = drawn
    found = corn_loss(torch.tensor(logits, dtype=torch.float64), torch.tensor(labels))
    assert found.item() == pytest.approx(plain_corn_loss(logits, labels), rel=1e-6, abs=1e-8)


@given(some_logits)
def test_corn_probabilities_equal_the_plain_products(drawn):
    logits = np.array(drawn[0])
    answers = 1 / (1 + np.exp(-logits))
    for row, found in enumerate(corn_probabilities(logits)):
        at_least = [1.0]
        for answer in answers[row]:
            at_least.append(at_least[-1] * answer)
        assert found == pytest.approx([at_least[k] - (at_least[k + 1] if k < 4 else 0) for k in range(5)], abs=1e-12)
        assert (found >= 0).all() and found.sum() == pytest.approx(1)


def test_corn_never_has_more_than_three_likelier_than_more_than_two():
    rng = np.random.default_rng(0)
    beyond = 1 - np.cumsum(corn_probabilities(rng.normal(0, 5, (500, 4))), axis=1)
    assert (np.diff(beyond, axis=1) <= 1e-12).all()


@pytest.mark.parametrize("spread", [0.2, 0.8, 3.0])
def test_regression_probabilities_are_areas_under_the_curve(spread):
    rng = np.random.default_rng(1)
    outputs = rng.normal(0, 2, (50, 1))
    for row, found in zip(outputs, regression_probabilities(outputs, spread), strict=True):
        drawn = np.round(rng.normal(np.clip(2 + row[0], 0, 4), spread, 60_000))
        drawn = drawn[(drawn >= 0) & (drawn <= 4)].astype(int)  # beyond one or five stars: drawn anew
        assert found == pytest.approx(np.bincount(drawn, minlength=5) / len(drawn), abs=0.02)
    a, b = -2.8 / spread, 2.2 / spread
    expected = truncnorm(a, b, loc=2.3, scale=spread).cdf([0.5, 1.5, 2.5, 3.5, 4.5])
    assert regression_probabilities(np.array([[0.3]]), spread)[0] == pytest.approx(np.diff(expected, prepend=0))


def test_the_likeliest_star_of_a_regression_is_the_nearest():
    outputs = np.linspace(-4, 4, 161)[:, None] + 0.01
    nearest = np.clip(np.round(2 + outputs[:, 0]), 0, 4)
    assert regression_probabilities(outputs, 0.6).argmax(axis=1).tolist() == nearest.tolist()


def test_regression_loss_is_the_mean_squared_error():
    outputs, labels = torch.tensor([[0.5], [-2.0], [1.0]]), torch.tensor([2, 1, 4])
    assert regression_loss(outputs, labels).item() == pytest.approx((0.25 + 1 + 1) / 3)


def test_soft_labels_fall_with_distance_and_their_loss_is_smallest_at_the_target():
    for label in range(5):
        target = soft_targets(torch.tensor([label]))[0]
        order = sorted(range(5), key=lambda star: abs(star - label))
        assert all(target[near] >= target[far] for near, far in zip(order, order[1:], strict=False))
        labels = torch.tensor([label])
        best = soft_label_loss(target.log()[None], labels)
        for other in torch.randn(20, 1, 5, generator=torch.Generator().manual_seed(0)):
            assert soft_label_loss(other, labels) > best


@pytest.mark.parametrize("loss", LOSSES)
def test_a_loss_pulls_the_outputs_to_the_label(loss):
    """Gradient descent on the outputs alone ends at the right star."""
    from yelp_tl.recipes import batch_loss

    labels = torch.arange(5)
    outputs = torch.zeros(5, LOSSES[loss], requires_grad=True)
    optimizer = torch.optim.Adam([outputs], lr=0.2)
    for _ in range(200):
        optimizer.zero_grad()
        batch_loss(loss)(type("Outputs", (), {"logits": outputs}), labels, num_items_in_batch=5).backward()
        optimizer.step()
    assert star_probabilities(loss, outputs.detach().numpy(), 0.5).argmax(axis=1).tolist() == labels.tolist()


def test_a_network_with_a_sure_head_is_not_hurt_by_large_outputs():
    for loss, count in LOSSES.items():
        made = star_probabilities(loss, np.full((2, count), 1e4, dtype=np.float32))
        assert np.isfinite(made).all() and made.sum(axis=1) == pytest.approx([1, 1])


# what is trained


@pytest.fixture(scope="module")
def networks(tiny_checkpoint):
    "The network of each recipe that trains one, before its training."
    return {name: build_network(recipe, tiny_checkpoint, 3) for name, recipe in make_recipes(SMALL).items()
            if recipe.kind in FINE_TUNED}


@pytest.mark.parametrize("trained", TRAINED)
def test_only_the_part_that_should_change_changes(tiny_checkpoint, split, trained):
    recipe = make_recipes(SMALL)[{"all": "fine_tuned", "head": "head_only"}.get(trained, trained)]
    before = {name: weight.detach().clone() for name, weight in build_network(recipe, tiny_checkpoint, 3)
              .named_parameters()}
    after = dict(train_network(recipe, tiny_checkpoint, split.train, 3, progress=False).model.named_parameters())
    changed = {name for name in before if not torch.equal(before[name], after[name])}
    expected = {
        "all": lambda name: True, "head": lambda name: "pooler" in name or "classifier" in name,
        "last_two_layers": lambda name: "pooler" in name or "classifier" in name or ".layer." in name,
        "lora": lambda name: "lora_" in name or "modules_to_save" in name}[trained]
    allowed = {name for name in before if expected(name)}
    assert changed <= allowed
    # the embedding of padding, and of words that do not occur, gets no gradient
    assert {name for name in allowed - changed if "embeddings" not in name} <= {
        name for name in before if "key.bias" in name}  # adding the same to all keys changes no attention
    if trained != "all":
        assert any("embeddings" in name for name in set(before) - changed)


def test_head_only_last_two_layers_and_lora_alone_keep_weights(networks):
    kept = {name for name, network in networks.items()
            if not all(weight.requires_grad for weight in network.parameters())}
    assert kept == {"head_only", "last_two_layers", "lora"}


def test_last_two_layers_leave_a_third_one_alone(tmp_path):
    from transformers import BertConfig, BertForSequenceClassification

    from yelp_tl.recipes import freeze

    model = BertForSequenceClassification(BertConfig(
        vocab_size=50, hidden_size=16, num_hidden_layers=3, num_attention_heads=2, intermediate_size=32, num_labels=5))
    freeze(model, "last_two_layers")
    free = {name for name, weight in model.named_parameters() if weight.requires_grad}
    assert not any(".layer.0." in name or "embeddings" in name for name in free)
    assert all(any(f".layer.{number}." in name for name in free) for number in (1, 2))


@pytest.mark.parametrize("kind", ["bert", "distilbert"])
def test_parts_of_both_networks_are_found(kind):
    from transformers import (
        BertConfig,
        BertForSequenceClassification,
        DistilBertConfig,
        DistilBertForSequenceClassification,
    )

    if kind == "bert":
        model = BertForSequenceClassification(BertConfig(
            vocab_size=50, hidden_size=16, num_hidden_layers=3, num_attention_heads=2, intermediate_size=32))
    else:
        model = DistilBertForSequenceClassification(DistilBertConfig(
            vocab_size=50, dim=16, n_layers=3, n_heads=2, hidden_dim=32))
    assert len(encoder_layers(model)) == 3
    depths = layer_depths(model)
    assert {depths[name] for name in head_names(model)} == {0}
    assert {depth for name, depth in depths.items() if "embeddings" in name} == {4}
    for number in range(3):
        assert {depth for name, depth in depths.items() if f"layer.{number}." in name} == {3 - number}
    with_lora = add_lora(model)
    free = {name for name, weight in with_lora.named_parameters() if weight.requires_grad}
    assert sum("lora_A" in name for name in free) == 6 and any("classifier" in name for name in free)


def test_rates_fall_with_depth_and_only_matrices_decay(tiny_checkpoint):
    model = build_network(Recipe("all"), tiny_checkpoint, 1)
    settings = TrainingSettings(learning_rate=1e-3, weight_decay=0.1)
    optimizer = layerwise_optimizer(model, settings, 0.5)
    rates = {id(weight): (group["lr"], group["weight_decay"]) for group in optimizer.param_groups
             for weight in group["params"]}
    assert len(rates) == len(list(model.parameters()))
    depths = layer_depths(model)
    for name, weight in model.named_parameters():
        assert rates[id(weight)] == pytest.approx((1e-3 * 0.5 ** depths[name], 0.1 if weight.ndim > 1 else 0.0))


def test_layer_decay_reaches_the_training(tiny_checkpoint, split):
    def moved(decay):
        recipe = Recipe("decay", settings=SMALL, layer_decay=decay)
        start = build_network(recipe, tiny_checkpoint, 3)
        end = train_network(recipe, tiny_checkpoint, split.train, 3, progress=False).model
        name = "bert.embeddings.word_embeddings.weight"
        return (start.get_parameter(name) - end.get_parameter(name)).abs().sum().item()

    assert moved(0.1) < 0.05 * moved(1.0)


@pytest.mark.parametrize("name", [name for name, recipe in make_recipes().items() if recipe.kind == "network"])
def test_longer_alone_takes_more_steps_and_learns_less_below(name, tiny_checkpoint, split, monkeypatch):
    made = []
    monkeypatch.setattr("yelp_tl.recipes.make_trainer",
                        lambda *words, **options: made.append(make_trainer(*words, **options)) or made[0])
    recipe = make_recipes(replace(SMALL, learning_rate=1e-4))[name]
    train_network(recipe, tiny_checkpoint, split.train.select(range(SMALL.batch_size)), 3, progress=False)
    steps, rates = {"longer": (2, [1e-4 * 0.8**depth for depth in (3, 2, 1, 0)]), "head_only": (1, [1e-3]),
                    "lora": (1, [1e-3])}.get(name, (1, [1e-4]))
    assert made[0].state.global_step == steps
    assert sorted({group["initial_lr"] for group in made[0].optimizer.param_groups}) == pytest.approx(rates)


def test_random_weights_are_those_of_a_new_network(tiny_checkpoint):
    told, new = (build_network(Recipe("x", pretrained=pretrained), tiny_checkpoint, 5) for pretrained in (True, False))
    name = "bert.embeddings.word_embeddings.weight"
    assert not torch.equal(told.get_parameter(name), new.get_parameter(name))
    assert new.get_parameter(name).std().item() == pytest.approx(new.config.initializer_range, rel=0.1)
    again = build_network(Recipe("x", pretrained=False), tiny_checkpoint, 5)
    assert torch.equal(new.get_parameter(name), again.get_parameter(name))


def inside(name):
    "The name that a weight of the embeddings or layers has in every network; None for a head."
    found = re.search(r"(embeddings|encoder)\..*", name.replace(".base_layer", ""))
    return found and found[0]


def test_random_weights_alone_are_not_pretrained(networks, tiny_folder):
    known = {inside(name): weight for name, weight in load_file(tiny_folder / "model.safetensors").items()
             if weight.ndim > 1 and inside(name)}
    assert any("embeddings" in name for name in known) and any("layer.1" in name for name in known)
    for name, network in networks.items():
        weights = {inside(name): weight for name, weight in network.named_parameters()}
        same = [torch.equal(weights[key], weight) for key, weight in known.items()]
        assert not any(same) if name == "random_weights" else all(same), name


def test_mean_pooling_ignores_padding(tiny_checkpoint, networks):
    assert [name for name, network in networks.items() if isinstance(network, MeanPooled)] == ["mean_pooling"]
    model = build_network(make_recipes(SMALL)["mean_pooling"], tiny_checkpoint, 1).eval()
    ids = torch.tensor([[2, 7, 8, 3]])
    padded = functional.pad(ids, (0, 5))
    mask = torch.tensor([[1] * 4 + [0] * 5])
    with torch.no_grad():
        alone = model(input_ids=ids, attention_mask=torch.ones_like(ids)).logits
        assert torch.allclose(alone, model(input_ids=padded, attention_mask=mask).logits, atol=1e-6)
        hidden = model.body(input_ids=ids, attention_mask=torch.ones_like(ids)).last_hidden_state[0]
        assert torch.allclose(alone[0], model.head(hidden.mean(0)), atol=1e-6)


def test_building_leaves_the_random_state_alone(tiny_checkpoint):
    torch.manual_seed(11)
    expected = torch.rand(3)
    torch.manual_seed(11)
    build_network(Recipe("x", pretrained=False, pooling="mean"), tiny_checkpoint, 5)
    assert torch.equal(torch.rand(3), expected)


# runs


def test_the_default_recipe_is_fine_tune(tiny_checkpoint, split):
    """The recipe fine_tuned and the function fine_tune end at the same weights."""
    ours = train_network(make_recipes(SMALL)["fine_tuned"], tiny_checkpoint, split.train, 3, progress=False)
    theirs = fine_tune(tiny_checkpoint, split.train, SMALL, 3, progress=False)
    for (name, weight), other in zip(ours.model.named_parameters(), theirs.model.parameters(), strict=True):
        assert torch.equal(weight, other), name
    assert ours.losses == theirs.step_losses and ours.tokens == theirs.tokens_computed


@pytest.mark.parametrize("name", RECIPE_NAMES)
def test_every_recipe_runs_and_counts_its_costs(tiny_checkpoint, split, unlabelled, name):
    recipe = make_recipes(SMALL)[name]
    run = run_recipe(recipe, tiny_checkpoint, split, 3, progress=False, unlabelled=unlabelled)
    assert run.validation.shape == (10, 5) and run.test.shape == (20, 5)
    assert run.test.sum(axis=1) == pytest.approx(np.ones(20), abs=1e-5) and (run.test >= 0).all()
    assert run.costs["rows_predicted"] == 30 and run.costs["fit_seconds"] >= 0 and run.costs["cpu_seconds"] > 0
    networks = {"network": 1, "averaged_networks": AVERAGED, "distilled_networks": AVERAGED}.get(recipe.kind, 0)
    student = 3 * 9 if recipe.kind == "distilled_networks" else 0  # 30 rows and 40 more, three times
    assert (run.costs["tokens_computed"] is None) == (not networks and recipe.kind != "frozen_features")
    assert len(run.losses) == networks * 4 * recipe.settings.epochs + student
    assert run.costs["parameters_trained"] > 0 or not networks


def test_the_average_is_that_of_its_seeds(tiny_checkpoint, split):
    known = make_recipes(SMALL)
    alone = [run_recipe(known["fine_tuned"], tiny_checkpoint, split, seed, progress=False) for seed in (3, 1003, 2003)]
    together = run_recipe(known["averaged_seeds"], tiny_checkpoint, split, 3, progress=False)
    assert np.array_equal(together.test, np.mean([run.test for run in alone], axis=0))
    assert not np.array_equal(alone[0].test, alone[1].test)
    assert together.losses == [loss for run in alone for loss in run.losses]
    for name in ("tokens_computed", "parameters_trained"):
        assert together.costs[name] == sum(run.costs[name] for run in alone)


def test_the_seed_reaches_the_linear_svm(split, monkeypatch):
    seen = []
    monkeypatch.setattr("yelp_tl.recipes.LinearSVC",
                        lambda **options: seen.append(options["random_state"]) or LinearSVC(**options))
    run_linear_svm(split, 7)
    assert seen == [7]


@pytest.mark.parametrize("loss", LOSSES)
def test_batches_that_are_added_up_make_the_step_of_one(loss, tiny_checkpoint):
    """Two batches of 4 for each step, or one of 8: the same losses, but for dropout and CORN's unequal questions."""
    split = split_reviews(example_reviews(), n_train=16, n_validation=2, n_test=2, seed=1)
    recipes = [Recipe("x", loss=loss, settings=replace(SMALL, padding="longest", **sizes))
               for sizes in ({}, {"batch_size": 4, "accumulation": 2})]
    whole, parts = (train_network(recipe, tiny_checkpoint, split.train, 1, progress=False).losses
                    for recipe in recipes)
    assert len(whole) == len(parts) == 2
    assert parts == pytest.approx(whole, rel=0.2)


def test_a_target_counts_as_part_of_its_step():
    targets, logits = np.eye(5), torch.from_numpy(np.random.default_rng(1).normal(size=(4, 5)))
    compute, rows = target_loss(targets), torch.tensor([0, 1, 2, 3])
    whole = compute(SequenceClassifierOutput(logits=logits), rows, num_items_in_batch=4)
    halves = [compute(SequenceClassifierOutput(logits=logits[part]), rows[part], num_items_in_batch=torch.tensor(4))
              for part in (slice(2), slice(2, 4))]
    assert sum(halves).item() == pytest.approx(whole.item())


def test_target_loss_takes_the_target_of_each_row():
    rng = np.random.default_rng(2)
    targets, logits, rows = rng.dirichlet(np.ones(5), 9), torch.from_numpy(rng.normal(size=(4, 5))), [8, 0, 3, 3]
    surprise = -torch.log_softmax(logits, 1).numpy()
    found = target_loss(targets)(SequenceClassifierOutput(logits=logits), torch.tensor(rows))
    assert found.item() == pytest.approx(np.mean([targets[row] @ surprise[place] for place, row in enumerate(rows)]))


def test_a_student_learns_labels_and_what_teachers_say(tiny_checkpoint):
    """Each row has the target that belongs to it, in whatever order and length the rows come."""
    rng, words = np.random.default_rng(4), ("good", "bad", "room", "eat", "the")
    texts = [" ".join([words[star]] * rng.integers(2, 30)) for star in np.repeat(range(5), 16)]
    stars, order = np.repeat(range(5), 16), rng.permutation(80)
    train, further = order[:20], order[20:]
    shifted = (stars + 1) % 5  # what the teachers say is wrong on purpose
    rows = Dataset.from_dict({"text": [texts[row] for row in train], "label": shifted[train]})
    split = split_reviews(example_reviews(), n_train=30, n_validation=10, n_test=20, seed=1)
    student = distil(Recipe("x", "distilled_networks", replace(SMALL, epochs=60, learning_rate=1e-2)), tiny_checkpoint,
                     replace(split, train=rows), Dataset.from_dict({"text": [texts[row] for row in further]}),
                     np.eye(5)[shifted[further]] * 0.8 + 0.04, 3, progress=False)
    assert student.recipe.settings.epochs == 15 and student.recipe.loss == "cross_entropy"
    outputs = torch.from_numpy(student.outputs(texts)).softmax(1).numpy()
    assert (outputs.argmax(1) == shifted).mean() > 0.95
    assert 0.7 < outputs.max(1).mean() < 0.95  # of 80 targets, 20 are sure and 60 say 0.84


def test_the_stars_of_further_reviews_are_never_read(tiny_checkpoint, split, unlabelled):
    recipe = make_recipes(SMALL)["distilled_seeds"]
    first = run_recipe(recipe, tiny_checkpoint, split, 3, progress=False, unlabelled=unlabelled)
    again = run_recipe(recipe, tiny_checkpoint, split, 3, progress=False,
                       unlabelled=unlabelled.add_column("label", [4] * 40))
    assert np.array_equal(first.test, again.test) and first.losses == again.losses
    teachers = run_recipe(make_recipes(SMALL)["averaged_seeds"], tiny_checkpoint, split, 3, progress=False)
    assert first.losses[: len(teachers.losses)] == teachers.losses
    assert first.costs["tokens_computed"] > teachers.costs["tokens_computed"]


@pytest.mark.parametrize("found", [None, Dataset.from_dict({"text": []})])
def test_distilling_without_further_reviews_is_refused(tiny_checkpoint, split, found):
    with pytest.raises(InputError, match="needs reviews beyond the training rows.*--more"):
        run_recipe(make_recipes(SMALL)["distilled_seeds"], tiny_checkpoint, split, 3, progress=False, unlabelled=found)


def test_padding_costs_tokens(tiny_checkpoint, split):
    wide = replace(SMALL, max_length=128)
    tokens = {name: run_recipe(make_recipes(wide)[name], tiny_checkpoint, split, 3, progress=False)
              .costs["tokens_computed"] for name in ("padded_512", "longest", "grouped")}
    assert tokens["padded_512"] == 30 * 128
    assert tokens["grouped"] <= tokens["longest"] < tokens["padded_512"]


def test_a_run_repeats_bit_for_bit(tiny_checkpoint, split):
    recipe = Recipe("corn", loss="corn", settings=SMALL, pooling="mean", layer_decay=0.9)
    first, second, other = (run_recipe(recipe, tiny_checkpoint, split, seed, progress=False) for seed in (3, 3, 4))
    assert np.array_equal(first.test, second.test) and first.losses == second.losses
    assert not np.array_equal(first.test, other.test)


def test_the_spread_of_a_regression_is_the_error_on_validation_rows(tiny_checkpoint, split):
    recipe = Recipe("regression", loss="regression", settings=SMALL)
    run = run_recipe(recipe, tiny_checkpoint, split, 3, progress=False)
    outputs = train_network(recipe, tiny_checkpoint, split.train, 3, progress=False).outputs(
        split.validation["text"][:])
    spread = np.sqrt(np.mean((outputs[:, 0] + 2 - np.array(split.validation["label"][:])) ** 2))
    assert run.validation == pytest.approx(regression_probabilities(outputs, spread), abs=1e-5)
    with pytest.raises(InputError, match="needs validation rows"):
        run_recipe(recipe, tiny_checkpoint, replace(split, validation=split.validation.select([])), 3, progress=False)


# checks


@pytest.mark.parametrize("options", [{"kind": "svm"}, {"loss": "corm"}, {"trained": "some"}, {"pooling": "max"},
                                     {"layer_decay": 0.0}, {"layer_decay": 1.1},
                                     {"trained": "lora", "layer_decay": 0.5}])
def test_a_recipe_checks_itself(options):
    with pytest.raises(InputError, match="expected"):
        Recipe("x", **options)


def test_lora_without_peft_says_what_to_install(tiny_checkpoint, monkeypatch):
    real = builtins.__import__
    monkeypatch.setattr(builtins, "__import__", lambda name, *rest, **more: (_ for _ in ()).throw(ImportError(name))
                        if name == "peft" else real(name, *rest, **more))
    with pytest.raises(InputError, match=r'pip install "yelp_tl\[evidence\]"'):
        build_network(Recipe("x", trained="lora"), tiny_checkpoint, 1)


def test_the_ladder_holds_what_it_should():
    recipes = make_recipes()
    assert {*LADDER, *ORDINAL, "distilled_seeds"} == set(recipes)
    assert recipes["fine_tuned"].settings == TrainingSettings()
    assert recipes["padded_512"].settings.padding == "max_length" and recipes["padded_512"].one_seed
    assert {recipes[name].loss for name in ORDINAL} == set(LOSSES)


def test_memory_is_watched_until_the_end():
    with memory_watched(0.001) as peak:
        start = peak()
        block = np.ones(30_000_000)
        held = peak()
        while peak() < start + 200_000_000:  # the watcher looks every millisecond
            held = peak()
        del block
        assert peak() >= start + 200_000_000 >= held or peak() >= held
