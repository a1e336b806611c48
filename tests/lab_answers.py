"""Wrong answers to the tasks of the labs, and words of the hint that each must get.

An entry is: lab, task, words, code. The check that students see must find the mistake. Where the code begins with
"# hidden", that check lets it through and the one with other values finds it.
"""

WRONG = [
    # lab 1
    ("lab1", "rows", "on two sides", """
def draw_row_numbers(n_rows, n_train, n_validation, n_test, seed):
    rng = np.random.default_rng(seed)
    return [rng.choice(n_rows, size, replace=True) for size in (n_train, n_validation, n_test * 1)][:2] + [
        np.arange(n_test)]
"""),
    ("lab1", "rows", "on two sides", """
def draw_row_numbers(n_rows, n_train, n_validation, n_test, seed):
    order = np.random.default_rng(seed).permutation(n_rows)
    return order[:n_train], order[:n_validation], order[:n_test]
"""),
    ("lab1", "rows", "same seed", """
def draw_row_numbers(n_rows, n_train, n_validation, n_test, seed):
    order = np.random.default_rng().permutation(n_rows)
    return order[:n_train], order[n_train:n_train + n_validation], order[n_train + n_validation:][:n_test]
"""),
    ("lab1", "rows", "Where is the seed used", """
def draw_row_numbers(n_rows, n_train, n_validation, n_test, seed):
    order = np.random.default_rng(42).permutation(n_rows)
    return order[:n_train], order[n_train:n_train + n_validation], order[n_train + n_validation:][:n_test]
"""),
    ("lab1", "rows", "first half", """
def draw_row_numbers(n_rows, n_train, n_validation, n_test, seed):
    order = np.random.default_rng(seed).permutation(n_train + n_validation + n_test)
    return order[:n_train], order[n_train:n_train + n_validation], order[n_train + n_validation:]
"""),
    ("lab1", "rows", "Count each side", """
def draw_row_numbers(n_rows, n_train, n_validation, n_test, seed):
    order = np.random.default_rng(seed).permutation(n_rows)
    return order[:n_train], order[n_train:n_train + n_validation], order[n_train + n_validation:]
"""),
    ("lab1", "guessing", "accuracy, always 3: count again", """
accuracy_3, within_one_3, distance_3, accuracy_1, within_one_1, distance_1 = 0.5, 0.6, 1.2, 0.2, 0.4, 2
"""),
    ("lab1", "guessing", "within_one, always 3: count again", """
accuracy_3, within_one_3, distance_3, accuracy_1, within_one_1, distance_1 = 0.2, 0.4, 1.2, 0.2, 0.4, 2
"""),
    ("lab1", "guessing", "a share lies between 0 and 1", """
accuracy_3, within_one_3, distance_3, accuracy_1, within_one_1, distance_1 = 20, 60, 1.2, 20, 40, 2
"""),
    ("lab1", "guessing", "mean_distance, always 1", """# hidden
accuracy_3, within_one_3, distance_3, accuracy_1, within_one_1, distance_1 = 0.2, 0.6, 1.2, 0.2, 0.4, 1.2
"""),
    ("lab1", "guessing", "found str", """
accuracy_3, within_one_3, distance_3, accuracy_1, within_one_1, distance_1 = "0.2", "0.6", "1.2", 0.2, 0.4, 2
"""),
    ("lab1", "network", "Labels start at 0", """
def fit_network(reviews, seed):
    tuned = fine_tune(checkpoint, reviews, settings, seed, progress=False)
    return lambda texts: predict_probabilities(tuned.model, tuned.tokenizer, texts).argmax(axis=1)
"""),
    ("lab1", "network", "Does it learn from the reviews", """
def fit_network(reviews, seed):
    return lambda texts: np.full(len(texts), 3)
"""),
    ("lab1", "network", "no whole numbers", """
def fit_network(reviews, seed):
    tuned = fine_tune(checkpoint, reviews, settings, seed, progress=False)
    return lambda texts: predict_probabilities(tuned.model, tuned.tokenizer, texts).max(axis=1)
"""),
    ("lab1", "network", "must give back a function", """
def fit_network(reviews, seed):
    return fine_tune(checkpoint, reviews, settings, seed, progress=False)
"""),
    ("lab1", "network", "shape", """
def fit_network(reviews, seed):
    return lambda texts: np.ones((len(texts), 5), dtype=int)
"""),
    ("lab1", "network", "Does it learn from the reviews", """# hidden
def fit_network(reviews, seed):
    return lambda texts: np.ones(len(texts), dtype=int)
"""),
    ("lab1", "fair", "learned from", """
def compare_models(split, fits, seed):
    found = {}
    for name, fit in fits.items():
        reviews = split.train if name == "network" else concatenate_datasets([split.train, split.validation])
        answers = np.asarray(fit(reviews, seed)(split.test["text"][:]))
        found[name] = float(np.mean(answers == np.asarray(split.test["label"][:]) + 1))
    return found
"""),
    ("lab1", "fair", "was scored on", """
def compare_models(split, fits, seed):
    found = {}
    for name, fit in fits.items():
        scored = split.validation if name == "network" else split.test
        answers = np.asarray(fit(split.train, seed)(scored["text"][:]))
        found[name] = float(np.mean(answers == np.asarray(scored["label"][:]) + 1))
    return found
"""),
    ("lab1", "fair", "what does each count from", """
def compare_models(split, fits, seed):
    found = {}
    for name, fit in fits.items():
        answers = np.asarray(fit(split.train, seed)(split.test["text"][:]))
        found[name] = float(np.mean(answers == np.asarray(split.test["label"][:])))
    return found
"""),
    ("lab1", "fair", "was not fitted", """# hidden
def compare_models(split, fits, seed):
    found = {}
    for name in ("naive_bayes", "network"):
        answers = np.asarray(fits[name](split.train, seed)(split.test["text"][:])) if name in fits else 0
        found[name] = float(np.mean(answers == np.asarray(split.test["label"][:]) + 1))
    return found
"""),
    ("lab1", "interval", "times too wide", """
def read_result(right, rows):
    share = right / rows
    half = 1.96 * np.sqrt(share * (1 - share))
    return share, share - half, share + half, share - half > 0.2
"""),
    ("lab1", "interval", "on how many sides", """
def read_result(right, rows):
    share = right / rows
    half = np.sqrt(share * (1 - share) / rows)
    return share, share - half, share + half, share - half > 0.2
"""),
    ("lab1", "interval", "not at its middle", """
def read_result(right, rows):
    share = right / rows
    half = 1.96 * np.sqrt(share * (1 - share) / rows)
    return share, share - half, share + half, share > 0.2
"""),
    ("lab1", "interval", "share of the rows", """
def read_result(right, rows):
    share = 100 * right / rows
    half = 196 * np.sqrt(right / rows * (1 - right / rows) / rows)
    return share, share - half, share + half, share - half > 20
"""),
    ("lab1", "interval", "times too wide", """# hidden
def read_result(right, rows):
    share = right / rows
    half = 1.96 * np.sqrt(share * (1 - share) / 1000)
    return share, share - half, share + half, share - half > 0.2
"""),
    ("lab1", "runs", "at least two runs", "runs = [run_once(60, 60, 42)]"),
    ("lab1", "runs", "2 settings differ", """
runs = [{"n_train": 60, "n_test": 60, "seed": 1, "network": 9, "naive_bayes": 12},
        {"n_train": 80, "n_test": 60, "seed": 2, "network": 9, "naive_bayes": 12}]
"""),
    ("lab1", "runs", "next to nothing", """
runs = [{"n_train": 60, "n_test": 10, "seed": seed, "network": 2, "naive_bayes": 3} for seed in (1, 2)]
"""),
    ("lab1", "runs", "more rows than there are", """
runs = [{"n_train": 60, "n_test": 60, "seed": seed, "network": 61, "naive_bayes": 3} for seed in (1, 2)]
"""),
    ("lab1", "runs", "counts typed", """# hidden
runs = [{"n_train": 60, "n_test": 60, "seed": seed, "network": 60, "naive_bayes": 60} for seed in (1, 2)]
"""),
    # lab 2
    ("lab2", "pieces", "look at piece 1", """
waiters, overpriced, unwaited = ["un", "##ers"], ["over", "##price", "##d"], ["un", "##wait", "##ed"]
overcooked, priced, cookers = ["over", "##cook", "##ed"], ["[UNK]"], ["cook", "##ers"]
"""),
    ("lab2", "pieces", "look at piece 2", """
waiters, overpriced, unwaited = ["wait", "##er", "##s"], ["over", "##price", "##d"], ["un", "##wait", "##ed"]
overcooked, priced, cookers = ["over", "##cook", "##ed"], ["[UNK]"], ["cook", "##ers"]
"""),
    ("lab2", "pieces", "no piece 'ers'", """
waiters, overpriced, unwaited = ["wait", "ers"], ["over", "price", "d"], ["un", "wait", "ed"]
overcooked, priced, cookers = ["over", "cook", "ed"], ["[UNK]"], ["cook", "ers"]
"""),
    ("lab2", "pieces", "do not spell the whole word", """
waiters, overpriced, unwaited = ["wait"], ["over", "##price", "##d"], ["un", "##wait", "##ed"]
overcooked, priced, cookers = ["over", "##cook", "##ed"], ["[UNK]"], ["cook", "##ers"]
"""),
    ("lab2", "pieces", "priced: look at piece 1", """# hidden
waiters, overpriced, unwaited = ["wait", "##ers"], ["over", "##price", "##d"], ["un", "##wait", "##ed"]
overcooked, priced, cookers = ["over", "##cook", "##ed"], ["##price", "##d"], ["cook", "##ers"]
"""),
    ("lab2", "reaches", "Pair 1, naive_bayes", """
same_for_naive_bayes, same_for_network = [False] * 6, [False] * 6
"""),
    ("lab2", "reaches", "Pair 1, network", """
same_for_naive_bayes, same_for_network = [True, False, True, True, False, True], [True] * 6
"""),
    ("lab2", "reaches", "Pair 2, naive_bayes", """
same_for_naive_bayes = [True] * 6
same_for_network = [False, False, True, False, True, False]
"""),
    ("lab2", "reaches", "list of 6", "same_for_naive_bayes = same_for_network = [True, False, True]"),
    ("lab2", "reaches", "Pair 5, naive_bayes", """# hidden
same_for_naive_bayes, same_for_network = [True, False, True, True, True, True], [False, False, True, False, True, False]
"""),
    ("lab2", "collate", "not 0 where there is only filler", """
def collate(rows, filler):
    width = max(len(row["input_ids"]) for row in rows)
    ids = torch.tensor([row["input_ids"] + [filler] * (width - len(row["input_ids"])) for row in rows])
    return {"input_ids": ids, "attention_mask": torch.ones_like(ids),
            "labels": torch.tensor([row["label"] for row in rows])}
"""),
    ("lab2", "collate", "how long is the longest", """
def collate(rows, filler):
    ids = torch.tensor([row["input_ids"] + [filler] * (512 - len(row["input_ids"])) for row in rows])
    return {"input_ids": ids, "attention_mask": (ids != filler).long(),
            "labels": torch.tensor([row["label"] for row in rows])}
"""),
    ("lab2", "collate", "at the start or at the end", """
def collate(rows, filler):
    width = max(len(row["input_ids"]) for row in rows)
    gaps = [width - len(row["input_ids"]) for row in rows]
    return {"input_ids": torch.tensor([[filler] * gap + row["input_ids"] for gap, row in zip(gaps, rows)]),
            "attention_mask": torch.tensor([[0] * gap + [1] * (width - gap) for gap in gaps]),
            "labels": torch.tensor([row["label"] for row in rows])}
"""),
    ("lab2", "collate", "rows that came in have changed", """
def collate(rows, filler):
    lengths = [len(row["input_ids"]) for row in rows]
    for row in rows:
        row["input_ids"] += [filler] * (max(lengths) - len(row["input_ids"]))
    return {"input_ids": torch.tensor([row["input_ids"] for row in rows]),
            "attention_mask": torch.tensor([[1] * length + [0] * (max(lengths) - length) for length in lengths]),
            "labels": torch.tensor([row["label"] for row in rows])}
"""),
    ("lab2", "collate", "type of each tensor", """
def collate(rows, filler):
    width = max(len(row["input_ids"]) for row in rows)
    ids = torch.tensor([row["input_ids"] + [filler] * (width - len(row["input_ids"])) for row in rows])
    return {"input_ids": ids, "attention_mask": (ids != filler).float(),
            "labels": torch.tensor([row["label"] for row in rows])}
"""),
    ("lab2", "collate", "hides a token of the text", """# hidden
def collate(rows, filler):
    width = max(len(row["input_ids"]) for row in rows)
    ids = torch.tensor([row["input_ids"] + [filler] * (width - len(row["input_ids"])) for row in rows])
    return {"input_ids": ids, "attention_mask": (ids != filler).long(),
            "labels": torch.tensor([row["label"] for row in rows])}
"""),
    ("lab2", "collate", "With what should it be filled", """# hidden
def collate(rows, filler):
    width = max(len(row["input_ids"]) for row in rows)
    gaps = [width - len(row["input_ids"]) for row in rows]
    return {"input_ids": torch.tensor([row["input_ids"] + [0] * gap for gap, row in zip(gaps, rows)]),
            "attention_mask": torch.tensor([[1] * (width - gap) + [0] * gap for gap in gaps]),
            "labels": torch.tensor([row["label"] for row in rows])}
"""),
    ("lab2", "padding_test", "at every row", """
def padding_moves(answer, rows, filler):
    return (answer(collate(rows, filler))[0] - answer(collate(rows[:1], filler))[0]).abs().max().item() + (
        answer(collate(rows, filler))[2] - answer(collate(rows[2:], filler))[0]).abs().max().item()
"""),
    ("lab2", "padding_test", "read alone once", """
def padding_moves(answer, rows, filler):
    together = answer(collate(rows, filler))
    return (together - answer(collate(rows, filler))).abs().max().item()
"""),
    ("lab2", "padding_test", "at the largest change", """
def padding_moves(answer, rows, filler):
    alone = torch.cat([answer(collate([row], filler)) for row in rows])
    return (answer(collate(rows, filler)) - alone).abs().mean().item()
"""),
    ("lab2", "padding_test", "Is that a change", """
def padding_moves(answer, rows, filler):
    alone = torch.cat([answer(collate([row], filler)) for row in rows])
    return (answer(collate(rows, filler)) - alone).max().item()
"""),
    ("lab2", "mask", "Which vectors go into it", "def average_tokens(vectors, mask): return vectors.mean(dim=1)"),
    ("lab2", "mask", "By what do you divide", """
def average_tokens(vectors, mask):
    return (vectors * mask.unsqueeze(-1)).mean(dim=1)
"""),
    ("lab2", "mask", "the same for every row", """
def average_tokens(vectors, mask):
    return (vectors * mask.unsqueeze(-1)).sum(dim=1) / mask.sum() * len(mask)
"""),
    ("lab2", "mask", "one vector of 2 numbers", """
def average_tokens(vectors, mask):
    return (vectors * mask.unsqueeze(-1)).sum(dim=-1) / mask.sum(dim=1, keepdim=True)
"""),
    ("lab2", "cost", "is not right", """
def count_computed(lengths, order, batch_size, width=None):
    return sum(lengths) if width is None else width * len(lengths)
"""),
    ("lab2", "cost", "is not right", """
def count_computed(lengths, order, batch_size, width=None):
    return len(order) * (max(lengths) if width is None else width)
"""),
    ("lab2", "cost", "How many rows has the last batch", """
def count_computed(lengths, order, batch_size, width=None):
    batches = [[lengths[row] for row in order[at:at + batch_size]] for at in range(0, len(order), batch_size)]
    return sum(batch_size * (width or max(batch)) for batch in batches)
"""),
    ("lab2", "cost", "in which order do the rows come", """
def count_computed(lengths, order, batch_size, width=None):
    batches = [lengths[at:at + batch_size] for at in range(0, len(lengths), batch_size)]
    return sum(len(batch) * (width or max(batch)) for batch in batches)
"""),
    ("lab2", "order", "are filler", """
def my_order(lengths, batch_size, seed):
    return np.random.default_rng(seed).permutation(len(lengths))
"""),
    ("lab2", "order", "the same batches in every epoch", """
def my_order(lengths, batch_size, seed): return np.argsort(lengths)
"""),
    ("lab2", "order", "Some are missing or double", """
def my_order(lengths, batch_size, seed):
    return np.random.default_rng(seed).integers(len(lengths), size=len(lengths))
"""),
    ("lab2", "order", "In which order come the batches", """
def my_order(lengths, batch_size, seed):
    return np.argsort(np.asarray(lengths) * np.random.default_rng(seed).uniform(0.9, 1.1, len(lengths)))
"""),
    ("lab2", "order", "gave two orders", """
def my_order(lengths, batch_size, seed):
    by_length = np.argsort(np.asarray(lengths) * np.random.default_rng().uniform(0.9, 1.1, len(lengths)))
    return by_length.reshape(-1, batch_size)[np.random.default_rng().permutation(len(lengths) // batch_size)].ravel()
"""),
    # lab 3
    ("lab3", "counts", "classifier: is it needed", """
embeddings = encoder = pooler = classifier = "pretrained"
head_only, head_and_pooler, with_last_layer = 165, 1221, 9765
"""),
    ("lab3", "counts", "head only: 2 tables", """
embeddings = encoder = pooler = "pretrained"
classifier, head_only, head_and_pooler, with_last_layer = "new", 160, 1221, 9765
"""),
    ("lab3", "counts", 'write "pretrained" or "new"', """
embeddings = encoder = pooler = "frozen"
classifier, head_only, head_and_pooler, with_last_layer = "new", 165, 1221, 9765
"""),
    ("lab3", "counts", "head and pooler: 4 tables", """# hidden
embeddings = encoder = pooler = "pretrained"
classifier, head_only, head_and_pooler, with_last_layer = "new", 165, 165 + 32 * 32, 9765
"""),
    ("lab3", "counts", "last layer: 20 tables", """# hidden
embeddings = encoder = pooler = "pretrained"
classifier, head_only, head_and_pooler, with_last_layer = "new", 165, 1221, 9765 - 128
"""),
    ("lab3", "lora", "is not right", """
def lora_weights(tables, rank): return sum(rank * height for height, width in tables)
"""),
    ("lab3", "lora", "is not right", """
def lora_weights(tables, rank):
    return sum(height * width for height, width in tables)
"""),
    ("lab3", "lora", "(1536, 384)", """
def lora_weights(tables, rank):
    return sum(2 * rank * height for height, width in tables)
"""),
    ("lab3", "lora", "rank 4", """# hidden
def lora_weights(tables, rank):
    return {1: 6144, 3: 6912}[len(tables)] if len(tables) in (1, 3) else 0
"""),
    ("lab3", "loop", "gradient of the step before", """
def train(network, batches, scored, learning_rate, epochs):
    optimizer, losses, accuracies = torch.optim.AdamW(network.parameters(), lr=learning_rate), [], []
    for _ in range(epochs):
        network.train()
        for inputs, labels in batches:
            loss = functional.cross_entropy(network(inputs), labels)
            loss.backward()
            optimizer.step()
            losses.append(loss.item())
        network.eval()
        accuracies.append((network(scored[0]).argmax(dim=1) == scored[1]).float().mean().item())
    return losses, accuracies
"""),
    ("lab3", "loop", "in after it was scored", """
def train(network, batches, scored, learning_rate, epochs):
    optimizer, losses, accuracies = torch.optim.AdamW(network.parameters(), lr=learning_rate), [], []
    network.train()
    for _ in range(epochs):
        for inputs, labels in batches:
            optimizer.zero_grad()
            loss = functional.cross_entropy(network(inputs), labels)
            loss.backward()
            optimizer.step()
            losses.append(loss.item())
        network.eval()
        accuracies.append((network(scored[0]).argmax(dim=1) == scored[1]).float().mean().item())
    return losses, accuracies
"""),
    ("lab3", "loop", "In which mode should it answer", """
def train(network, batches, scored, learning_rate, epochs):
    optimizer, losses, accuracies = torch.optim.AdamW(network.parameters(), lr=learning_rate), [], []
    network.train()
    for _ in range(epochs):
        for inputs, labels in batches:
            optimizer.zero_grad()
            loss = functional.cross_entropy(network(inputs), labels)
            loss.backward()
            optimizer.step()
            losses.append(loss.item())
        accuracies.append((network(scored[0]).argmax(dim=1) == scored[1]).float().mean().item())
    return losses, accuracies
"""),
    ("lab3", "loop", "between backward and step", """
def train(network, batches, scored, learning_rate, epochs):
    optimizer = torch.optim.AdamW(network.parameters(), lr=learning_rate, weight_decay=0)
    losses, accuracies = [], []
    for _ in range(epochs):
        network.train()
        for inputs, labels in batches:
            loss = functional.cross_entropy(network(inputs), labels)
            loss.backward()
            optimizer.zero_grad()
            optimizer.step()
            losses.append(loss.item())
        network.eval()
        accuracies.append((network(scored[0]).argmax(dim=1) == scored[1]).float().mean().item())
    return losses, accuracies
"""),
    ("lab3", "loop", "gradient of the step before", """
def train(network, batches, scored, learning_rate, epochs):
    optimizer, losses, accuracies = torch.optim.AdamW(network.parameters(), lr=learning_rate), [], []
    for _ in range(epochs):
        network.train()
        optimizer.zero_grad()
        for inputs, labels in batches:
            loss = functional.cross_entropy(network(inputs), labels)
            loss.backward()
            optimizer.step()
            losses.append(loss.item())
        network.eval()
        accuracies.append((network(scored[0]).argmax(dim=1) == scored[1]).float().mean().item())
    return losses, accuracies
"""),
    ("lab3", "seeds", "no distance from itself", """
def moved(one, other): return float(np.abs(one + other).max())
sources = {"nothing": 0.0, "head": 0.2, "order": 0.3, "dropout": 0.4}
"""),
    ("lab3", "seeds", "in both directions", """
def moved(one, other): return float((one - other).mean())
sources = {"nothing": 0.0, "head": 0.2, "order": 0.3, "dropout": 0.4}
"""),
    ("lab3", "seeds", "at the largest difference", """
def moved(one, other): return float(np.abs(one - other).mean())
sources = {"nothing": 0.0, "head": 0.2, "order": 0.3, "dropout": 0.4}
"""),
    ("lab3", "seeds", "Nothing was changed", """
def moved(one, other): return float(np.abs(one - other).max())
sources = {"nothing": 0.1, "head": 0.2, "order": 0.3, "dropout": 0.4}
"""),
    ("lab3", "seeds", "order: the two runs are the same", """
def moved(one, other): return float(np.abs(one - other).max())
sources = {"nothing": 0.0, "head": 0.2, "order": 0.0, "dropout": 0.4}
"""),
    ("lab3", "seeds", "exactly the same distance", """
def moved(one, other): return float(np.abs(one - other).max())
sources = {"nothing": 0.0, "head": 0.2, "order": 0.2, "dropout": 0.4}
"""),
    ("lab3", "seeds", "made again", """# hidden
def moved(one, other): return float(np.abs(one - other).max())
sources = {"nothing": 0.0, "head": 0.2, "order": 0.3, "dropout": 0.4}
"""),
    ("lab3", "curves", "A: look at both lines", """
curve_a, curve_b, curve_c, curve_d = "fits", "too small", "fits", "too large"
"""),
    ("lab3", "curves", "B: look at both lines", """
curve_a, curve_b, curve_c, curve_d = "overfitting", "fits", "fits", "too large"
"""),
    ("lab3", "curves", "B: write one of", """
curve_a, curve_b, curve_c, curve_d = "overfitting", "small", "fits", "too large"
"""),
    ("lab3", "curves", "D: look at both lines", """# hidden
curve_a, curve_b, curve_c, curve_d = "overfitting", "too small", "fits", "overfitting"
"""),
    ("lab3", "recipe", "takes longer", """
def choose_recipe(ladder, minutes):
    return max(ladder, key=lambda cell: cell["accuracy"])["recipe"]
"""),
    ("lab3", "recipe", "What if no recipe is quick enough", """
def choose_recipe(ladder, minutes):
    affordable = [cell for cell in ladder if cell["minutes"] <= minutes]
    top = max(cell["accuracy"] for cell in affordable)
    alike = [cell for cell in affordable if cell["accuracy_interval"][1] >= top]
    return min(alike, key=lambda cell: cell["minutes"])["recipe"]
"""),
    ("lab3", "recipe", "is there a cheaper one", """
def choose_recipe(ladder, minutes):
    affordable = [cell for cell in ladder if cell["minutes"] <= minutes]
    return max(affordable, key=lambda cell: cell["accuracy"])["recipe"] if affordable else None
"""),
    ("lab3", "recipe", "is not the best choice", """
def choose_recipe(ladder, minutes):
    affordable = [cell for cell in ladder if cell["minutes"] <= minutes]
    return min(affordable, key=lambda cell: cell["minutes"])["recipe"] if affordable else None
"""),
    ("lab3", "recipe", "expected the name of a recipe", """# hidden
def choose_recipe(ladder, minutes):
    return "D" if minutes >= 90 else "B" if minutes >= 6 else "A" if minutes >= 0.1 else None
"""),
    ("lab3", "rates", "two learning rates", "rate_losses = {0.001: [1.6, 1.7, 1.8]}"),
    ("lab3", "rates", "One seed is one draw", "rate_losses = {0.001: [1.6], 0.01: [1.7]}"),
    ("lab3", "rates", "no learning rate", "rate_losses = {1: [1.6, 1.7, 1.8], 2: [1.6, 1.7, 1.8]}"),
    ("lab3", "rates", "exactly the same", "rate_losses = {0.001: [1.6, 1.6, 1.6], 0.01: [1.6, 1.7, 1.8]}"),
    ("lab3", "rates", "another figure", "# hidden\nrate_losses = {0.001: [1.6, 1.7, 1.8], 0.01: [1.6, 1.7, 1.8]}"),
    # lab 4
    ("lab4", "near_misses", "within_one of", """
def near_misses(matrix):
    return {"within_one": np.trace(matrix) / matrix.sum(), "mean_absolute_error": 0.0, "kappa": 1.0}
"""),
    ("lab4", "near_misses", "mean_absolute_error of", """
def near_misses(matrix):
    off = np.abs(np.subtract.outer(np.arange(5), np.arange(5)))
    return {"within_one": matrix[off <= 1].sum() / matrix.sum(),
            "mean_absolute_error": (off**2 * matrix).sum() / matrix.sum(), "kappa": 1.0}
"""),
    ("lab4", "near_misses", "kappa of", """
def near_misses(matrix):
    off = np.abs(np.subtract.outer(np.arange(5), np.arange(5)))
    chance = np.outer(matrix.sum(axis=1), matrix.sum(axis=0)) / matrix.sum()
    return {"within_one": matrix[off <= 1].sum() / matrix.sum(),
            "mean_absolute_error": (off * matrix).sum() / matrix.sum(),
            "kappa": 1 - (off * matrix).sum() / (off * chance).sum()}
"""),
    ("lab4", "near_misses", "kappa of", """
def near_misses(matrix):
    off = np.abs(np.subtract.outer(np.arange(5), np.arange(5)))
    chance = np.outer(matrix.sum(axis=1), matrix.sum(axis=0))
    return {"within_one": matrix[off <= 1].sum() / matrix.sum(),
            "mean_absolute_error": (off * matrix).sum() / matrix.sum(),
            "kappa": 1 - (off**2 * matrix).sum() / (off**2 * chance).sum()}
"""),
    ("lab4", "paired", "Count rows in which", """
def right_alone(labels, a, b):
    only_a, only_b = int((a == labels).sum()), int((b == labels).sum())
    return only_a, only_b, binomtest(only_a, only_a + only_b).pvalue
"""),
    ("lab4", "paired", "if the other model were ahead", """
def right_alone(labels, a, b):
    only_a, only_b = int(((a == labels) & (b != labels)).sum()), int(((b == labels) & (a != labels)).sum())
    return only_a, only_b, binomtest(only_a, only_a + only_b, alternative="greater").pvalue
"""),
    ("lab4", "paired", "How many coins are thrown", """
def right_alone(labels, a, b):
    only_a, only_b = int(((a == labels) & (b != labels)).sum()), int(((b == labels) & (a != labels)).sum())
    return only_a, only_b, binomtest(only_a, len(labels)).pvalue
"""),
    ("lab4", "paired", "rows are not right", """
def right_alone(labels, a, b):
    only_a, only_b = int(((a == labels) & (b != labels)).sum()), int(((b == labels) & (a != labels)).sum())
    return only_b, only_a, binomtest(only_a, only_a + only_b).pvalue
"""),
    ("lab4", "paired", "right_alone stopped", """# hidden
def right_alone(labels, a, b):
    only_a, only_b = int(((a == labels) & (b != labels)).sum()), int(((b == labels) & (a != labels)).sum())
    return only_a, only_b, binomtest(only_a, only_a + only_b).pvalue
"""),
    ("lab4", "leak", "Overlooked", """
def find_shared(train, test):
    return [row for row, text in enumerate(test) if text in train]
"""),
    ("lab4", "leak", "Overlooked: ['A kind waiter.']", """
def find_shared(train, test):
    seen = {text.lower().strip() for text in train}
    return [row for row, text in enumerate(test) if text.lower().strip() in seen]
"""),
    ("lab4", "leak", "Not shared", """
def find_shared(train, test):
    return [row for row, text in enumerate(test) if any(text.lower().split()[0] in other.lower() for other in train)]
"""),
    ("lab4", "leak", "Not shared: ['ab']", """# hidden
def find_shared(train, test):
    seen = {"".join(text.lower().split()) for text in train}
    return [row for row, text in enumerate(test) if "".join(text.lower().split()) in seen]
"""),
    ("lab4", "choice", "looks best on the test rows", """
def choose_and_report(validation_right, test_right):
    best = test_right.mean(axis=1).argmax()
    return int(best), float(test_right[best].mean())
"""),
    ("lab4", "choice", "The reported accuracy", """
def choose_and_report(validation_right, test_right):
    best = validation_right.mean(axis=1).argmax()
    return int(best), float(validation_right[best].mean())
"""),
    ("lab4", "choice", "meant for choosing", """
def choose_and_report(validation_right, test_right):
    best = validation_right.mean(axis=1).argmin()
    return int(best), float(test_right[best].mean())
"""),
    ("lab4", "choice", "The reported accuracy", """
def choose_and_report(validation_right, test_right):
    best = validation_right.mean(axis=1).argmax()
    return int(best), float(test_right.mean(axis=1).max())
"""),
    ("lab4", "choice", "Which model is best", """# hidden
def choose_and_report(validation_right, test_right):
    return 3, float(test_right[3].mean())
"""),
    ("lab4", "calibration", "on which side of the diagonal", """
a_is, a_accuracy_after, a_confidence_after = "not sure enough", 0.544, "lower"
b_is, b_accuracy_after, b_confidence_after = "not sure enough", 0.528, "lower"
"""),
    ("lab4", "calibration", "Which of the five is the largest", """
a_is, a_accuracy_after, a_confidence_after = "too sure", 0.272, "lower"
b_is, b_accuracy_after, b_confidence_after = "not sure enough", 0.528, "lower"
"""),
    ("lab4", "calibration", "before and after", """
a_is, a_accuracy_after, a_confidence_after = "too sure", 0.544, "higher"
b_is, b_accuracy_after, b_confidence_after = "not sure enough", 0.528, "lower"
"""),
    ("lab4", "calibration", "B: on which side", """# hidden
a_is, a_accuracy_after, a_confidence_after = "too sure", 0.544, "lower"
b_is, b_accuracy_after, b_confidence_after = "too sure", 0.528, "lower"
"""),
    ("lab4", "ceiling", "Where does the way begin", """
def share_of_the_way(accuracy, ceiling): return accuracy / ceiling
"""),
    ("lab4", "ceiling", "where does it end", "def share_of_the_way(accuracy, ceiling): return (accuracy - 0.2) / 0.8"),
    ("lab4", "ceiling", "What can be said then", """
def share_of_the_way(accuracy, ceiling):
    return (accuracy - 0.2) / (ceiling - 0.2)
"""),
    ("lab4", "ceiling", "What can be said then", """
def share_of_the_way(accuracy, ceiling):
    return (accuracy - 0.2) / ((ceiling or 1.0) - 0.2)
"""),
    ("lab4", "fool", "4 to 60 words", """
fools_naive_bayes, stars_1, fools_network, stars_2 = "Revolting.", 1, "The lobby was filthy and the restroom nasty.", 1
"""),
    ("lab4", "fool", "Which words does it lean on", """
fools_naive_bayes, stars_1 = "The lobby was completely filthy.", 1
fools_network, stars_2 = "The lobby was filthy and the restroom was nasty.", 1
"""),
    ("lab4", "fool", "either", """
fools_naive_bayes, stars_1 = "The carpet was revolting.", 5
fools_network, stars_2 = "The lobby was filthy and the restroom was nasty.", 1
"""),
    ("lab4", "fool", "how many stars a person would give", """
fools_naive_bayes, stars_1 = "The carpet was revolting.", 0
fools_network, stars_2 = "The lobby was filthy and the restroom was nasty.", 1
"""),
    ("lab4", "fool", "among the training or test rows", """
fools_naive_bayes, stars_1 = max(test_texts, key=len).upper(), 1
fools_network, stars_2 = "The lobby was filthy and the restroom was nasty.", 1
"""),
    ("lab4", "fool", "among the training or test rows", """
fools_naive_bayes, stars_1 = train_texts[0].upper(), train_labels[0] + 1
fools_network, stars_2 = "The lobby was filthy and the restroom was nasty.", 1
"""),
]
