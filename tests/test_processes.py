"""Training in two processes: the same losses as in one, every row once in an epoch."""

import json
import os
import subprocess
import sys

import pytest

SCRIPT = """
import json, os, sys
import torch
from transformers import TrainingArguments
from yelp_tl.data import example_reviews
from yelp_tl.finetuning import ReviewTrainer, build_classifier
from yelp_tl.pretrained import find_checkpoint, load_tokenizer
from yelp_tl.tokenization import EpochSampler, make_collator, tokenize_reviews

network, out = sys.argv[1:]
checkpoint = find_checkpoint(network)
tokenizer = load_tokenizer(checkpoint)
rows = tokenize_reviews(example_reviews().shuffle(seed=0).select(range(40)), tokenizer, 24)
model = build_classifier(checkpoint, 1)
for module in model.modules():
    if isinstance(module, torch.nn.Dropout):
        module.p = 0.0
seen = []
model.register_forward_pre_hook(
    lambda net, _, options: seen.extend(options["input_ids"].tolist()) if net.training else None, with_kwargs=True)
trainer = ReviewTrainer(
    model=model, sampler=EpochSampler(rows["length"][:], 8, 1), train_dataset=rows,
    data_collator=make_collator(tokenizer),
    args=TrainingArguments(out, use_cpu=True, report_to="none", disable_tqdm=True, dataloader_pin_memory=False,
                           logging_steps=1, save_strategy="no", learning_rate=1e-3, num_train_epochs=2, seed=1,
                           per_device_train_batch_size=8 // int(os.environ.get("WORLD_SIZE", "1"))))
trainer.train()
numbers = {tuple(ids): row for row, ids in enumerate(rows["input_ids"][:])}
kept = [tuple(token for token in ids if token != tokenizer.pad_token_id) for ids in seen]
rank = os.environ.get("RANK", "0")
with open(f"{out}/rank-{rank}.json", "w") as file:
    json.dump({"losses": [record["loss"] for record in trainer.state.log_history if "loss" in record],
               "rows": [numbers[ids] for ids in kept]}, file)
"""


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="gloo over the loopback device")
def test_two_processes_of_four_equal_one_of_eight(tiny_folder, tmp_path):
    script = tmp_path / "train.py"
    script.write_text(SCRIPT, encoding="utf-8")
    found = {}
    for processes, start in [(1, []), (2, ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"])]:
        out = tmp_path / f"out-{processes}"
        out.mkdir()
        surroundings = os.environ | {"GLOO_SOCKET_IFNAME": "lo", "OMP_NUM_THREADS": "1"}
        done = subprocess.run([sys.executable, *start, str(script), str(tiny_folder), str(out)], env=surroundings,
                              capture_output=True, text=True, timeout=600)
        assert done.returncode == 0, done.stderr[-2000:]
        found[processes] = [json.loads(path.read_text()) for path in sorted(out.glob("rank-*.json"))]
    assert len(found[2]) == 2
    assert found[2][0]["losses"] == pytest.approx(found[1][0]["losses"], rel=1e-5)
    first_epoch = [rank["rows"][: len(rank["rows"]) // 2] for rank in found[2]]
    assert sorted(first_epoch[0] + first_epoch[1]) == list(range(40))
