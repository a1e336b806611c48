"""The checks of the four labs. A check that fails says where to look; it does not hold the answer.

A notebook calls them through `report`, which prints and never stops the run. Graders and tests call them directly.
"""

import traceback
from collections.abc import Callable, Iterable, Sequence

import numpy as np


class CheckFailed(AssertionError):
    "An answer that is not right yet, with a hint."


def report(
    check: Callable,  # one of the checks below
    *answers: object,  # what it looks at
) -> None:
    "Run a check and print what came of it. Nothing is raised, so that Run All goes on."
    name = check.__name__.removeprefix("check_").replace("_", " ")
    try:
        check(*answers)
    except CheckFailed as found:
        print(f"{name}: not yet. {found}")
    except Exception as error:  # a slip in an answer that no check foresaw
        print(f"{name}: not yet. The check stopped with {type(error).__name__}: {error}")
    else:
        print(f"{name}: passed.")


def try_out(
    show: Callable,  # a function of the notebook that uses your answers and prints
) -> None:
    "Call a function that needs your answers; if they are not ready, say so and go on."
    try:
        show()
    except Exception as error:
        print(f"This cell needs your answers above. It stopped with {type(error).__name__}: {error}")


def expect(
    holds: bool,  # what must be true
    hint: str,  # where to look if it is not
) -> None:
    "Fail with a hint."
    if not holds:
        raise CheckFailed(hint)


def is_open(
    answer: object,
) -> bool:  # True for the dots of an answer that nobody has written yet
    "Whether an answer is missing."
    return answer is ... or answer is None


def number(
    answer: object,
    name: str,  # what the message calls it
) -> float:
    "The answer as a number."
    expect(not is_open(answer), f"{name}: still open. Write a number in place of the dots.")
    expect(isinstance(answer, int | float | np.number) and not isinstance(answer, bool),
           f"{name}: expected one number, found {type(answer).__name__}.")
    return float(answer)


def call(
    function: Callable,  # a student's function
    *arguments: object,
) -> object:  # what it gives back
    "Call a student's function; an error in it becomes a failed check that names the line."
    name = getattr(function, "__name__", "the function")
    try:
        found = function(*arguments)
    except CheckFailed:
        raise
    except Exception as error:
        line = traceback.extract_tb(error.__traceback__)[-1]
        where = f", at `{line.line.strip()}`" if line.line else ""
        raise CheckFailed(f"{name} stopped with {type(error).__name__}: {error}{where}.") from error
    expect(not is_open(found), f"{name} gives nothing back yet. Put your lines in place of the dots, with a return.")
    return found


def near(
    found: float,
    expected: float,
    tolerance: float = 1e-6,
) -> bool:
    "Whether two numbers are the same, up to rounding."
    return bool(abs(found - expected) <= tolerance)


# Lab 1


def check_rows(
    draw: Callable,  # draw_row_numbers
    n_rows: int = 5000,  # rows in the file
    sizes: Sequence[int] = (60, 20, 30),  # training, validation and test rows
    seeds: tuple[int, int] = (3, 4),  # two different ones
) -> None:
    "Three sides of row numbers: as many as asked for, apart from each other, decided by the seed."
    parts = call(draw, n_rows, *sizes, seeds[0])
    expect(len(parts) == 3, f"Expected three sides, found {len(parts)} things.")
    sides = [np.asarray(part).tolist() for part in parts]
    lengths = [len(side) for side in sides]
    expect(lengths == list(sizes), f"Asked for {list(sizes)} rows, the sides have {lengths}. Count each side.")
    rows = [row for side in sides for row in side]
    expect(all(isinstance(row, int) and 0 <= row < n_rows for row in rows),
           f"A row number is not a whole number from 0 to {n_rows - 1}. Where do the numbers come from?")
    expect(len(set(rows)) == len(rows), "A row stands on two sides, or twice on one. Which rows are still free when "
                                        "you fill the second side?")
    again = [np.asarray(part).tolist() for part in call(draw, n_rows, *sizes, seeds[0])]
    expect(again == sides, "Two calls with the same seed gave different rows. What decides your chance?")
    other = [np.asarray(part).tolist() for part in call(draw, n_rows, *sizes, seeds[1])]
    expect(other != sides, "Two different seeds gave the same rows. Where is the seed used?")
    expect(max(rows) > n_rows // 2, "All rows come from the first half of the file. May every row be drawn?")


def check_guessing(
    guesses: dict[int, dict[str, float]],  # stars always said -> figure -> predicted value
    programs: Iterable[int] = (3,),  # which of them are looked at
) -> None:
    "Predicted figures of a program that always says the same, on as many rows of each star."
    stars = np.repeat(np.arange(1, 6), 200)
    looks = {
        "accuracy": (lambda off: off == 0, "how many of the five stars are the one that it says"),
        "within_one": (lambda off: off <= 1, "which of the five stars are at most one away from what it says"),
        "mean_distance": (lambda off: off, "how far each of the five stars is from what it says"),
    }
    for said in programs:
        for name, (measure, look) in looks.items():
            found = number(guesses[said][name], f"{name}, always {said}")
            expect(found >= 0 and (found <= 1 or name == "mean_distance"),
                   f"{name}, always {said}: a share lies between 0 and 1. Divide by the number of rows.")
            expect(near(found, measure(np.abs(stars - said)).mean(), 1e-3),
                   f"{name}, always {said}: count again {look}. All five are equally frequent.")


def check_network(
    fit: Callable,  # fit_network
    stars: int = 1,  # of every training review of the check
    texts: Sequence[str] = ("The soup was cold.", "A lovely evening, and a kind waiter."),
) -> None:
    "A function that learns from the rows it is given and answers in stars."
    from yelp_tl.data import reviews_from_lists

    reviews = reviews_from_lists([f"Visit {visit} was like the others." for visit in range(12)], [stars - 1] * 12)
    predict = call(fit, reviews, 7)
    expect(callable(predict), f"fit_network must give back a function, found {type(predict).__name__}.")
    found = np.asarray(call(predict, list(texts)))
    expect(found.shape == (len(texts),),
           f"{len(texts)} texts went in, and an array of shape {found.shape} came out. Expected one answer for each.")
    expect(found.dtype.kind in "iu", "The answers are no whole numbers. Which of the five probabilities is largest?")
    expect(not (found == stars - 1).all(), "Every training review of this check had the same stars, and your answers "
                                           "are one less. Labels start at 0. Where do stars start?")
    expect((found == stars).all(), "Every training review of this check had the same stars, but your network answers "
                                   "something else. Does it learn from the reviews that it is given?")


def _watched_fits(
    names: Sequence[str],  # of models; the last one errs in the last row
    seen: dict,  # filled with what each model learned from and was scored on
) -> dict[str, Callable]:  # name -> function, as compare_models takes them
    "Models that look up their answers, and note which rows they get."
    def make_fit(name):
        def fit(reviews, seed):
            seen[name, "learned from"] = list(reviews["text"])

            def predict(texts):
                seen[name, "was scored on"] = list(texts)
                stars = [int(text.split()[1]) % 5 + 1 for text in texts]
                return [*stars[:-1], 0 if name == names[-1] else stars[-1]]
            return predict
        return fit

    return {name: make_fit(name) for name in names}


def check_fair(
    compare: Callable,  # compare_models
    names: Sequence[str] = ("naive_bayes", "network"),  # of the models
    sizes: Sequence[int] = (6, 3, 4),  # training, validation and test rows
) -> None:
    "Each model learns from the training rows and is scored on the test rows, in the same unit."
    from types import SimpleNamespace

    from yelp_tl.data import reviews_from_lists

    split = SimpleNamespace(**{side: reviews_from_lists([f"{side} {row}" for row in range(size)],
                                                        [row % 5 for row in range(size)])
                               for side, size in zip(("train", "validation", "test"), sizes, strict=True)})
    seen = {}
    found = call(compare, split, _watched_fits(names, seen), 5)
    for name in names:
        expect(set(found) >= {name} and (name, "was scored on") in seen, f"{name} was not fitted and scored.")
        for done, rows in (("learned from", split.train), ("was scored on", split.test)):
            expect(seen[name, done] == list(rows["text"]), f"{name}: look at the rows that it {done}. Are they the "
                                                           "same as for the other models, and meant for this?")
        right = sizes[2] - (name == names[-1])
        expect(near(found[name], right / sizes[2]),
               f"{name} answered {right} of {sizes[2]} rows right, and the figure says {found[name]:.2f}. Compare one "
               "answer and one label by eye: what does each count from?")


def check_interval(
    read: Callable,  # read_result
    cases: Sequence[tuple[int, int]] = ((588, 1000), (215, 1000)),  # right, rows
) -> None:
    "Accuracy, its 95% interval, and whether guessing could reach it."
    from yelp_tl.evaluation import wilson_interval

    for right, rows in cases:
        found, where = call(read, right, rows), f"{right} right of {rows}"
        expect(isinstance(found, tuple) and len(found) == 4,
               f"{where}: expected four things: accuracy, low, high, above_guessing.")
        accuracy, low, high = (number(each, where) for each in found[:3])
        expect(near(accuracy, right / rows), f"{where}: the accuracy is a share of the rows.")
        expect(low < accuracy < high, f"{where}: the accuracy should lie inside its interval.")
        wide = (high - low) / np.subtract(*wilson_interval(right, rows)[::-1])
        expect(wide < 1.1, f"{where}: the interval is {wide:.1f} times too wide. Does it get narrower with more rows? "
                           "With the square root of their number?")
        expect(wide > 0.9, f"{where}: the interval has {wide:.1f} times the width it should have. How many standard "
                           "errors hold 95%, and on how many sides?")
        expect(all(near(*pair, 0.006) for pair in zip((low, high), wilson_interval(right, rows), strict=True)),
               f"{where}: the width is right, the place is not.")
        expect(isinstance(found[3], bool | np.bool_), f"{where}: above_guessing is True or False.")
        above = wilson_interval(right, rows)[0] > 0.2
        expect(bool(found[3]) == above, f"{where}: could a program that guesses among five stars show this? Look at "
                                        "the whole interval, not at its middle.")


SETTINGS = ("n_train", "n_test", "seed")


def check_runs(
    runs: Sequence[dict],  # what run_once gave back, two or more times
    again: Callable | None = None,  # run_once: then the first run is made again
) -> None:
    "At least two runs that differ in one setting, with counts that can be."
    expect(not is_open(runs) and len(runs) >= 2, "Expected at least two runs in a list.")
    for run in runs:
        expect(isinstance(run, dict) and {*SETTINGS, "network", "naive_bayes"} <= set(run),
               "Each run is what run_once gave back, unchanged.")
        expect(run["n_test"] >= 50, f"{run['n_test']} test rows say next to nothing. Take at least 50.")
        expect(all(0 <= run[model] <= run["n_test"] for model in ("network", "naive_bayes")),
               "A model cannot be right on more rows than there are.")
    for run in runs[1:]:
        changed = [name for name in SETTINGS if run[name] != runs[0][name]]
        expect(len(changed) == 1, f"Compared with your first run, {len(changed)} settings differ "
                                  f"({', '.join(changed) or 'none'}). If one differs, you know what made the change.")
    if again is not None:
        fresh = again(**{name: runs[0][name] for name in SETTINGS})
        expect(all(fresh[model] == runs[0][model] for model in ("network", "naive_bayes")),
               "The first run, made again, gave other counts. Were the counts typed?")


# Lab 2


def check_pieces(
    cuts: dict[str, list[str]],  # word -> predicted pieces
    vocabulary: Iterable[str],
    words: Iterable[str] | None = None,  # which words are looked at; None: all
) -> None:
    "Predicted pieces of words against a real WordPiece tokenizer with this vocabulary."
    from tokenizers.models import WordPiece

    pieces = ["[UNK]", *sorted(set(vocabulary) - {"[UNK]"})]
    model = WordPiece({piece: place for place, piece in enumerate(pieces)}, unk_token="[UNK]")
    for word in cuts if words is None else words:
        found = cuts[word]
        expect(not is_open(found), f"{word}: still open. Write a list of pieces in place of the dots.")
        expect(isinstance(found, list) and all(isinstance(piece, str) for piece in found),
               f"{word}: expected a list of texts, such as [\"over\", \"##cook\"].")
        for piece in found:
            expect(piece in pieces, f"{word}: there is no piece {piece!r} in the vocabulary. Which pieces may stand "
                                    "inside a word, and what happens if no piece fits?")
        expected = [token.value for token in model.tokenize(word)]
        for place, (mine, theirs) in enumerate(zip(found, expected, strict=False), start=1):
            expect(mine == theirs, f"{word}: look at piece {place}. Of all pieces that fit at this place, which does "
                                   "the rule take?")
        expect(len(found) == len(expected), f"{word}: the pieces do not spell the whole word, or they spell more.")


def check_reaches(
    same: dict[str, list[bool]],  # "naive_bayes" and "network" -> for each pair whether both texts give the same input
    pairs: Sequence[tuple[str, str]],  # texts
    tokenizer: object,  # the network's
    looked_at: Iterable[int] | None = None,  # numbers of pairs from 1; None: all
) -> None:
    "What reaches each model of two texts, predicted and tried out."
    from sklearn.feature_extraction.text import TfidfVectorizer

    from yelp_tl.baseline import remove_stop_words

    for model, found in same.items():
        expect(isinstance(found, list) and len(found) == len(pairs),
               f"{model}: write a list of {len(pairs)} answers, True or False.")
    for place in range(1, len(pairs) + 1) if looked_at is None else looked_at:
        one, two = pairs[place - 1]
        counts = TfidfVectorizer().fit_transform([remove_stop_words(text) for text in (one, two)]).toarray()
        truth = {"naive_bayes": bool(np.allclose(*counts)),
                 "network": tokenizer(one)["input_ids"] == tokenizer(two)["input_ids"]}
        for model, hint in (("naive_bayes", "It counts words. Which words are left, and does it keep their order, "
                             "endings, signs and accents?"),
                            ("network", "It gets every piece in its order. What does its tokenizer change before?")):
            found = same[model][place - 1]
            expect(isinstance(found, bool), f"Pair {place}, {model}: write True or False.")
            expect(found == truth[model], f"Pair {place}, {model}: think again. {hint}")


def check_collate(
    collate: Callable,
    rows: Sequence[tuple[list[int], int]] = (([5, 6, 7, 8], 1), ([9, 4], 3), ([3, 3, 3], 0)),  # tokens, label
    filler: int = 0,
) -> None:
    "A batch: as wide as its longest row, filled up at the end, with a mask and labels."
    import torch

    given = [{"input_ids": list(tokens), "label": label} for tokens, label in rows]
    batch = call(collate, given, filler)
    names = ("input_ids", "attention_mask", "labels")
    expect(isinstance(batch, dict) and set(batch) == set(names), f"Expected a dictionary with {', '.join(names)}.")
    expect(all(isinstance(values, torch.Tensor) for values in batch.values()), "Each of the three is a torch.tensor.")
    expect(all(not values.is_floating_point() and values.dtype != torch.bool for values in batch.values()),
           "Tokens, mask and labels are whole numbers. Look at the type of each tensor.")
    longest = max(len(tokens) for tokens, _ in rows)
    for name in names[:2]:
        expect(tuple(batch[name].shape) == (len(rows), longest),
               f"{name} has the shape {tuple(batch[name].shape)}. How many rows came in, and how long is the longest?")
    for place, (tokens, label) in enumerate(rows):
        ids, mask = batch["input_ids"][place].tolist(), batch["attention_mask"][place].tolist()
        expect(ids[: len(tokens)] == list(tokens), f"Row {place} does not begin with its own tokens. Where do you fill "
                                                   "up, at the start or at the end?")
        expect(set(ids[len(tokens) :]) <= {filler}, f"Row {place}: the gap holds {ids[len(tokens):]}. With what should "
                                                    f"it be filled? This call said filler={filler}.")
        expect(sum(mask[: len(tokens)]) == len(tokens), f"Row {place}: the mask hides a token of the text. How do you "
                                                        "tell text from filler if a text holds the filler's number?")
        expect(not any(mask[len(tokens) :]), f"Row {place}: the mask is not 0 where there is only filler.")
        expect(batch["labels"].tolist()[place] == label, f"Row {place}: another label than came in.")
    expect(given == [{"input_ids": list(tokens), "label": label} for tokens, label in rows],
           "The rows that came in have changed. The same rows come again in the next epoch: make new lists.")


def check_padding_moves(
    moves: Callable,  # padding_moves
    lengths: Sequence[int] = (6, 2, 4),  # tokens of the rows
    filler: int = 3,
) -> None:
    "The largest change of an answer between a row alone and the row in a batch, on answers with known changes."
    rows = [{"input_ids": [1 + place] * length, "label": 0} for place, length in enumerate(lengths)]
    gap = max(lengths) - min(lengths)

    def masked(batch):
        return (batch["input_ids"] * batch["attention_mask"]).sum(dim=1, keepdim=True).float()

    def unmasked(batch):
        return batch["input_ids"].sum(dim=1, keepdim=True).float()

    def negative(batch):
        return -unmasked(batch)

    found = number(call(moves, masked, rows, filler), "A network that obeys the mask")
    expect(found < 1e-6, "A network that obeys the mask was said to move. What do you compare with what?")
    found = number(call(moves, unmasked, rows, filler), "A network that ignores the mask")
    expect(found > 0, "A network that ignores the mask was said not to move. Is each row really read alone once?")
    expect(near(found, filler * gap), f"A network that adds up the filler moved by {found:g} in your test. Do you look "
                                      "at every row, and at the largest change?")
    expect(near(number(call(moves, negative, rows, filler), "A network whose answers get smaller"), filler * gap),
           "The answers of this network get smaller by padding. Is that a change, too?")


def check_average(
    average: Callable,  # average_tokens
    lengths: Sequence[int] = (3, 1, 4),  # tokens of the rows
    width: int = 2,  # numbers for each token
) -> None:
    "The mean over the tokens of the text, whatever stands in the padding."
    import torch

    longest = max(lengths)
    vectors = torch.arange(len(lengths) * longest * width, dtype=torch.float32).reshape(len(lengths), longest, width)
    mask = torch.tensor([[1] * length + [0] * (longest - length) for length in lengths])
    found = call(average, vectors, mask)
    expect(tuple(found.shape) == (len(lengths), width),
           f"Expected one vector of {width} numbers for each row, found the shape {tuple(found.shape)}.")
    changed = call(average, torch.where(mask.unsqueeze(-1) == 1, vectors, torch.tensor(1e4)), mask)
    expect(torch.allclose(found, changed), "Other numbers in the padding change the mean. Which vectors go into it?")
    for place, length in enumerate(lengths):
        alone = call(average, vectors[place : place + 1, :length], mask[place : place + 1, :length])
        expect(torch.allclose(found[place], alone[0]), f"Row {place} has another mean alone than in the batch. By what "
                                                       "do you divide, and is it the same for every row?")
    ones = call(average, torch.ones_like(vectors), mask)
    expect(torch.allclose(ones, torch.ones_like(ones)), "The mean of ones is not 1. By what do you divide?")


def check_cost(
    count: Callable,  # count_computed
    cases: Sequence[tuple] = (([5, 2, 9, 4, 1], [0, 1, 2, 3, 4], 2, None, 29), ([5, 2, 9, 4, 1], [2, 0, 3, 1, 4], 2,
                                                                                None, 27),
                              ([5, 2, 9, 4, 1], [0, 1, 2, 3, 4], 2, 10, 50)),  # lengths, order, batch, width, tokens
) -> None:
    "Tokens computed, padding included."
    for lengths, order, batch_size, width, expected in cases:
        found = number(call(count, lengths, order, batch_size, width), "count_computed")
        hint = "Each batch has the width that is given" if width else "Each batch is as wide as its own longest row"
        expect(near(found, expected), f"Lengths {lengths} in the order {order}, batches of {batch_size}, "
                                      f"width {width}: {found:g} is not right. {hint}. How many rows has the last "
                                      "batch, and in which order do the rows come?")


def check_order(
    order: Callable,  # my_order
    lengths: Sequence[int] | None = None,  # tokens of each row
    batch_size: int = 8,
) -> None:
    "An order of rows that wastes little and is still random."
    from yelp_tl.tokenization import computed_tokens

    if lengths is None:
        lengths = np.random.default_rng(0).lognormal(4.8, 0.7, 640).astype(int).clip(5, 512).tolist()
    first, second = (np.asarray(call(order, list(lengths), batch_size, seed)).tolist() for seed in (1, 2))
    expect(sorted(first) == list(range(len(lengths))), "In an epoch every row comes once. Some are missing or double.")
    repeated = np.asarray(call(order, list(lengths), batch_size, 1)).tolist()
    expect(repeated == first, "The same seed gave two orders. What decides your chance?")
    together = {frozenset(first[at : at + batch_size]) for at in range(0, len(first), batch_size)}
    other = {frozenset(second[at : at + batch_size]) for at in range(0, len(second), batch_size)}
    expect(len(together & other) < len(together) / 2, "Two seeds put the same rows into the same batches. Then the "
                                                      "network sees the same batches in every epoch.")
    places = np.argsort(first)
    expect(abs(np.corrcoef(places, lengths)[0, 1]) < 0.5, "Short rows come first and long rows last, or the other way "
                                                          "round. In which order come the batches?")
    wasted = 1 - sum(lengths) / computed_tokens(lengths, first, batch_size)
    expect(wasted < 0.15, f"{wasted:.0%} of the computed tokens are filler. Which rows should share a batch?")


# Lab 3


def check_parts(
    kinds: dict[str, str],  # part of the network -> "pretrained" or "new"
    network: object,  # a classifier
) -> None:
    "Which parts were in the checkpoint."
    body = {name.split(".")[0] for name, _ in network.base_model.named_parameters()}
    for part, kind in kinds.items():
        expect(kind in ("pretrained", "new"), f"{part}: write \"pretrained\" or \"new\".")
        expect((kind == "pretrained") == (part in body), f"{part}: is it needed to read text, or only to give stars?")


def check_counts(
    counts: dict[str, int],  # what is trained -> how many weights
    network: object,  # a classifier with two layers
    looked_at: Iterable[str] = ("head only",),
) -> None:
    "How many weights are trained, predicted and counted."
    starts = {"head only": ("classifier.",), "head and pooler": ("classifier.", "bert.pooler."),
              "head, pooler and last layer": ("classifier.", "bert.pooler.", "bert.encoder.layer.1.")}
    for what in looked_at:
        found = number(counts[what], what)
        trained = {name: weight.numel() for name, weight in network.named_parameters() if name.startswith(starts[what])}
        expect(near(found, sum(trained.values())),
               f"{what}: {len(trained)} tables and rows of numbers are trained. Multiply the sizes of each table, and "
               "do not forget the constants (bias).")


def check_lora(
    count: Callable,  # lora_weights
    cases: Sequence[tuple] = (([(384, 384)], 8, 6144), ([(384, 384), (384, 384), (1536, 384)], 2, 6912)),
) -> None:
    "Weights that LoRA trains beside some tables, for a rank."
    for tables, rank, expected in cases:
        found = number(call(count, tables, rank), "lora_weights")
        expect(near(found, expected), f"Tables {tables}, rank {rank}: {found:g} is not right. Two narrow tables stand "
                                      "beside each wide one. How many rows and columns has each of the two?")


class _Watched:
    "A small network, a few batches, and a record of what a training loop does with them."

    def __init__(self, seed: int, n_batches: int):
        import torch

        self.random = torch.Generator().manual_seed(seed)
        self.network = torch.nn.Sequential(torch.nn.Linear(4, 6), torch.nn.Dropout(0.5), torch.nn.Linear(6, 5))
        self.batches = [self.batch() for _ in range(n_batches)]
        self.scored = self.batch()
        self.modes, self.own, self.kept, self.weights = [], [], [], []
        weight = self.network[0].weight
        weight.register_hook(lambda gradient: self.own.append(gradient.clone()))
        weight.register_post_accumulate_grad_hook(lambda whole: self.kept.append(whole.grad.clone()))
        self.network.register_forward_pre_hook(self.look)

    def batch(self) -> tuple:
        "Inputs and labels."
        import torch

        return torch.randn(3, 4, generator=self.random), torch.randint(0, 5, (3,), generator=self.random)

    def look(self, network, inputs) -> None:
        "Note before each forward pass what is read, in which mode, and with which weights."
        self.modes.append((inputs[0] is self.scored[0], network.training))
        self.weights.append(network[0].weight.detach().clone())


def check_loop(
    train: Callable,
    n_batches: int = 3,
    epochs: int = 2,
    seed: int = 0,
) -> None:
    "A training loop: gradients of one batch a step, the right mode at each moment, and weights that move."
    import torch

    watched = _Watched(seed, n_batches)
    watched.network.eval()  # a loop must not rely on the mode in which a network comes
    losses, accuracies = call(train, watched.network, watched.batches, watched.scored, 0.1, epochs)
    steps = n_batches * epochs
    expect(len(losses) == steps and len(accuracies) == epochs,
           f"{n_batches} batches and {epochs} epochs: expected {steps} losses and {epochs} accuracies, found "
           f"{len(losses)} and {len(accuracies)}.")
    expect(all(any(not torch.equal(watched.weights[0], later) for later in watched.weights[start:])
               for start in (1, n_batches)), "The weights do not move. What stands between backward and step?")
    alike = [torch.allclose(own, kept) for own, kept in zip(watched.own, watched.kept, strict=True)]
    expect(all(alike), f"In step {alike.index(False) + 1 if False in alike else 0} the gradient is not that of its own "
                       "batch. Where is the gradient of the step before?")
    training = [mode for scored, mode in watched.modes if not scored]
    expect(all(training), f"In training step {training.index(False) + 1 if False in training else 0} dropout is off. "
                          "Which mode is the network in after it was scored?")
    scoring = [mode for scored, mode in watched.modes if scored]
    expect(scoring and not any(scoring), "Dropout is on while the network is scored. In which mode should it answer?")


def check_distance(
    distance: Callable,  # moved
) -> None:
    "How far two runs are apart: the largest difference of a probability."
    one = np.array([[0.7, 0.1, 0.1, 0.05, 0.05], [0.2, 0.2, 0.2, 0.2, 0.2]])
    two = np.array([[0.7, 0.1, 0.1, 0.05, 0.05], [0.1, 0.2, 0.2, 0.2, 0.3]])
    expect(near(number(call(distance, one, one.copy()), "moved"), 0), "A run is no distance from itself.")
    found = number(call(distance, one, two), "moved")
    expect(near(found, 0.1), f"Two runs that differ in one row gave {found:g}. Look at the largest difference, and at "
                             "differences in both directions.")
    expect(near(number(call(distance, two[:, ::-1], one[:, ::-1]), "moved"), 0.1), "The order of the two runs counts "
                                                                                  "in your distance. Should it?")


SOURCES = ("nothing", "head", "order", "dropout")


def check_sources(
    found: dict[str, float],  # what was changed -> how far the run moved
    train_once: Callable | None = None,  # then one of the runs is made again
) -> None:
    "One source of chance changed at a time."
    expect(not is_open(found) and set(found) == set(SOURCES),
           f"Expected a figure for each of {', '.join(SOURCES)}. Change one source at a time.")
    values = {name: number(value, name) for name, value in found.items()}
    expect(values["nothing"] == 0, "Nothing was changed, and still the runs differ. Were all three seeds the same?")
    for name in SOURCES[1:]:
        expect(values[name] > 0, f"{name}: the two runs are the same. Was this seed another one in the second run?")
    expect(len(set(values.values())) == len(values), "Two sources gave exactly the same distance. Was another seed "
                                                     "changed in each run?")
    if train_once is not None:
        base = train_once(head=1, order=1, dropout=1)
        moved = np.abs(base - train_once(head=1, order=2, dropout=1)).max()
        expect(near(values["order"], moved, 1e-6), "order: made again, the distance is another one. Leave two seeds at "
                                                   "1, and set one to 2.")


def check_curves(
    names: dict[str, str],  # letter -> what the curve shows
    curves: dict[str, dict[str, list[float]]],  # letter -> training and validation losses
    looked_at: Iterable[str] = ("A", "B"),
) -> None:
    "What loss curves say."
    kinds = ("too small", "too large", "overfitting", "fits")
    for letter in looked_at:
        found = names[letter]
        expect(found in kinds, f"{letter}: write one of {', '.join(kinds)}.")
        train, validation = (np.array(curves[letter][side]) for side in ("training", "validation"))
        # each kind is one that the others exclude
        truth = ("too large" if train[1:].max() > train[0] + 0.1 else
                 "too small" if train[0] - train[-1] < 0.1 else
                 "overfitting" if validation[-1] > validation.min() + 0.1 else "fits")
        expect(found == truth, f"{letter}: look at both lines. Does the training loss fall, stay or jump? And does the "
                               "validation loss follow it to the end?")


LADDER = (
    {"recipe": "A", "accuracy": 0.40, "accuracy_interval": [0.37, 0.43], "minutes": 0.1},
    {"recipe": "B", "accuracy": 0.52, "accuracy_interval": [0.49, 0.55], "minutes": 6.0},
    {"recipe": "C", "accuracy": 0.53, "accuracy_interval": [0.50, 0.56], "minutes": 30.0},
    {"recipe": "D", "accuracy": 0.60, "accuracy_interval": [0.57, 0.63], "minutes": 90.0},
)


def check_recipe(
    choose: Callable,  # choose_recipe
    ladder: Sequence[dict] = LADDER,
    cases: Sequence[tuple[float, str | None]] = ((5, "A"), (30, "B"), (100, "D"), (0.01, None)),  # minutes, recipe
) -> None:
    "The cheapest recipe whose accuracy lies in the interval of the best one that the time allows."
    for minutes, expected in cases:
        try:
            found = choose([dict(cell) for cell in ladder], minutes)
        except Exception as error:
            raise CheckFailed(f"{minutes} minutes: choose_recipe stopped with {type(error).__name__}: {error}. What if "
                              "no recipe is quick enough?") from error
        expect(found is not ..., "choose_recipe: still open.")
        cost = {cell["recipe"]: cell["minutes"] for cell in ladder}
        expect(found is None or found in cost, f"{minutes} minutes: expected the name of a recipe, found {found!r}.")
        expect((found is None) == (expected is None), f"{minutes} minutes: found {found!r}. Which recipes can be "
                                                      "finished in this time, and what if there is none?")
        expect(found is None or cost[found] <= minutes, f"{minutes} minutes: {found} takes longer.")
        expect(found == expected, f"{minutes} minutes: {found} is not the best choice. First find the most accurate of "
                                  "those that fit. Then: is there a cheaper one whose accuracy lies in its interval?")


def check_rates(
    results: dict[float, list[float]],  # learning rate -> loss of each seed
    again: Callable | None = None,  # then one of the runs is made again
) -> None:
    "Two or more learning rates, each with three or more seeds."
    expect(not is_open(results) and len(results) >= 2, "Expected at least two learning rates.")
    for rate, losses in results.items():
        expect(0 < number(rate, "learning rate") < 1, f"{rate} is no learning rate. Take a number between 0 and 1.")
        expect(len(losses) >= 3, f"Learning rate {rate}: {len(losses)} seeds. One seed is one draw; take at least 3.")
        expect(len(set(losses)) == len(losses), f"Learning rate {rate}: two seeds gave exactly the same. Was the seed "
                                                "another one?")
    if again is not None:
        rate = next(iter(results))
        expect(any(near(again(rate, seed), results[rate][0], 1e-6) for seed in (1, 0, 42)),
               "The first run, made again, gave another figure. Begin with seed 1.")


# Lab 4


def check_near_misses(
    figures: Callable,  # near_misses
    cases: Sequence[tuple] = (
        ([[2, 0, 0, 0, 0], [0, 2, 0, 0, 0], [0, 0, 2, 0, 0], [0, 0, 0, 2, 0], [0, 0, 0, 0, 2]], 1.0, 0.0, 1.0),
        ([[4, 1, 0, 0, 0], [1, 2, 2, 0, 0], [0, 1, 3, 1, 0], [0, 0, 2, 1, 2], [1, 0, 0, 0, 4]], 0.96, 0.56, 0.75),
    ),  # matrix, within one, mean absolute error, kappa
) -> None:
    "Three figures from a confusion matrix."
    hints = {"within_one": "Which cells of the matrix are at most one star off?",
             "mean_absolute_error": "Each row counts with its distance, not with the square of it.",
             "kappa": "The cost by chance comes from the sums of rows and columns. Is its total the same as that of "
                      "the matrix? And is each distance squared?"}
    for matrix, *expected in cases:
        found = call(figures, np.array(matrix))
        expect(isinstance(found, dict) and set(found) == set(hints), f"Expected a dictionary with {', '.join(hints)}.")
        for (name, hint), value in zip(hints.items(), expected, strict=True):
            mine = number(found[name], name)
            expect(near(mine, value, 5e-4), f"{name} of {np.array(matrix).tolist()}: {mine:.3f} is not right. {hint}")


def check_paired(
    compare: Callable,  # right_alone
    cases: Sequence[tuple] = ((40, 20, 9, 3), (100, 50, 5, 5)),  # both right, both wrong, only a, only b
) -> None:
    "Rows that one model has right alone, and how often equal models would differ as much."
    from scipy.stats import binomtest

    for both, neither, only_a, only_b in cases:
        labels = np.array([row % 5 for row in range(both + neither + only_a + only_b)])
        wrong = (labels + 1) % 5
        kinds = np.repeat([0, 1, 2, 3], [both, neither, only_a, only_b])
        a, b = np.where(np.isin(kinds, (0, 2)), labels, wrong), np.where(np.isin(kinds, (0, 3)), labels, wrong)
        found = call(compare, labels, a, b)
        expect(isinstance(found, tuple) and len(found) == 3, "Expected three things: only_a, only_b, p.")
        expect((int(found[0]), int(found[1])) == (only_a, only_b),
               f"{tuple(map(int, found[:2]))} rows are not right. Count rows in which one model is right and the other "
               "is wrong.")
        p = number(found[2], "p")
        expect(0 <= p <= 1 + 1e-9, "p is a probability.")
        truth = binomtest(only_a, only_a + only_b).pvalue if only_a + only_b else 1.0
        expect(near(p, truth, 1e-6),
               f"{only_a} against {only_b} rows: p = {p:.3f} is not right. How many coins are thrown? And would you be "
               "as surprised if the other model were ahead?")


def check_leak(
    find: Callable,  # find_shared
    train: Sequence[str] = ("Good soup.", "Never again!", "A  kind\nwaiter.", "Cold."),
    test: Sequence[str] = ("good soup.", "Good soups.", "A kind waiter.", "never again! ", "Cold tea."),
    shared: Sequence[int] = (0, 2, 3),  # rows of test that stand in train
) -> None:
    "Test rows that are training rows, up to what a reader would not notice."
    found = call(find, list(train), list(test))
    rows = sorted(int(row) for row in found)
    expect(all(0 <= row < len(test) for row in rows), "Row numbers of the test side are asked for, from 0.")
    missed = [test[row] for row in shared if row not in rows]
    expect(not missed, f"Overlooked: {missed[:1]}. How does it differ from its training row, and does a reader care?")
    wrong = [test[row] for row in rows if row not in shared]
    expect(not wrong, f"Not shared: {wrong[:1]}. It is another text.")
    expect(len(rows) == len(set(rows)), "A row is named twice.")


def check_choice(
    choose: Callable,  # choose_and_report
    seed: int = 0,
    models: int = 20,
    rows: int = 200,
) -> None:
    "Chosen on validation rows, reported on test rows."
    rng = np.random.default_rng(seed)
    validation, test = rng.random((models, rows)) < 0.5, rng.random((models, rows)) < 0.5
    best, lucky = (3 + seed) % models, (7 + seed) % models
    validation[best] = rng.random(rows) < 0.9
    test[lucky] = rng.random(rows) < 0.9
    found = call(choose, validation, test)
    expect(isinstance(found, tuple) and len(found) == 2, "Expected two things: number of the model, accuracy.")
    expect(int(found[0]) != lucky, "The chosen model is the one that looks best on the test rows. Which rows may be "
                                   "used for choosing?")
    expect(int(found[0]) == best, "Which model is best on the rows that are meant for choosing?")
    expect(near(number(found[1], "accuracy"), test[best].mean()), "The reported accuracy is not that of the chosen "
                                                                  "model on the rows that nobody chose by.")


def check_calibration(
    said: dict[str, dict],  # model -> "sure", "accuracy_after", "confidence_after"
    models: dict[str, dict],  # model -> labels (n,) and logits (n, 5)
    looked_at: Iterable[str] = ("A",),
) -> None:
    "What a model's confidence is worth, and what temperature 2 changes, predicted and computed."
    def figures(logits, labels):
        shares = np.exp(logits - logits.max(axis=1, keepdims=True))
        shares /= shares.sum(axis=1, keepdims=True)
        return shares.max(axis=1).mean(), (shares.argmax(axis=1) == labels).mean()

    for name in looked_at:
        labels, logits = np.array(models[name]["labels"]), np.array(models[name]["logits"])
        confidence, accuracy = figures(logits, labels)
        cooler, after = figures(logits / 2, labels)
        sure = said[name]["sure"]
        expect(sure in ("too sure", "not sure enough"), f"{name}: write \"too sure\" or \"not sure enough\".")
        expect((sure == "too sure") == (confidence > accuracy), f"{name}: on which side of the diagonal lie its "
                                                                "points, and which axis is which?")
        expect(near(number(said[name]["accuracy_after"], f"{name}, accuracy_after"), after, 5e-3),
               f"{name}: all logits are divided by the same number. Which of the five is the largest then?")
        way = said[name]["confidence_after"]
        expect(way in ("higher", "lower", "the same"), f"{name}: write \"higher\", \"lower\" or \"the same\".")
        truth = "higher" if cooler > confidence else "lower" if cooler < confidence else "the same"
        expect(way == truth, f"{name}: work out the five probabilities of one row before and after.")


def check_ceiling(
    share: Callable,  # share_of_the_way
    cases: Sequence[tuple] = ((0.5, 0.8, 0.5), (0.2, 0.7, 0.0), (0.7, 0.7, 1.0)),  # accuracy, ceiling, share
) -> None:
    "How far a model has come from guessing to the ceiling."
    for accuracy, ceiling, expected in cases:
        found = number(call(share, accuracy, ceiling), "share_of_the_way")
        expect(near(found, expected, 1e-6), f"Accuracy {accuracy}, ceiling {ceiling}: {found:.3f} is not right. Where "
                                            "does the way begin, and where does it end?")
    try:
        found = share(0.5, None)
    except Exception as error:
        raise CheckFailed(f"An unknown ceiling (None) stopped it with {type(error).__name__}. What can be said "
                          "then?") from error
    expect(found is None, f"The ceiling is not known, and still {found!r} came out. What can be said then?")


def check_fool(
    reviews: dict[str, tuple[str, int]],  # whom it fools -> text, and the stars that a person would give it
    predictors: dict[str, Callable],  # "naive_bayes" and "network": texts to (n, 5) probabilities
    known: Iterable[str] = (),  # sentences that do not count: those of the training and test rows
) -> None:
    "One review that fools Naive Bayes alone, and one that fools the network alone."
    seen = {" ".join(text.lower().split()) for text in known}
    for fooled, other in (("naive_bayes", "network"), ("network", "naive_bayes")):
        text, stars = reviews[fooled]
        expect(isinstance(text, str), f"Fools {fooled}: still open. Write a review in place of the dots.")
        expect(stars in (1, 2, 3, 4, 5), f"Fools {fooled}: say how many stars a person would give, 1 to 5.")
        expect(4 <= len(text.split()) <= 60, f"Fools {fooled}: write 4 to 60 words.")
        expect(" ".join(text.lower().split()) not in seen, f"Fools {fooled}: this sentence is among the training or "
                                                           "test rows. Write your own.")
        shares = {name: np.asarray(predict([text]))[0] for name, predict in predictors.items()}
        said = {name: int(share.argmax()) + 1 for name, share in shares.items()}
        expect(said[other] == stars, f"Fools {fooled}: but {other} says {said[other]}, not {stars}, either.")
        expect(abs(said[fooled] - stars) >= 2, f"Fools {fooled}: it says {said[fooled]}. Fooled means two stars off or "
                                               "more. Which words does it lean on?")
        first, second = np.sort(shares["network"])[[-1, -2]]
        expect(first - second >= 0.05, f"Fools {fooled}: the network hesitates ({first:.2f} and {second:.2f}), so "
                                       "another machine may see it another way. Make the case clearer.")

