"""What every test shares: no network, one thread, a tiny checkpoint."""
import os

# before any library reads them; one thread, because two processes run tests side by side
os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("HF_HUB_DISABLE_TELEMETRY", "1")
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
os.environ.setdefault("MPLBACKEND", "agg")

import gc

import pytest

# figures of a model, no two of them equal, and a pair of models, as in results.json
ENTRY = {"accuracy": 0.51, "accuracy_interval": [0.41, 0.61], "within_one": 0.82, "mae": 0.73,
         "quadratic_weighted_kappa": 0.64, "fit_seconds": 2.0, "predict_seconds": 0.5}
PAIR = {"a": "fine_tuned", "b": "naive_bayes", "accuracy_difference": 0.2, "interval": [0.1, 0.3], "mcnemar_p": 0.01}


@pytest.fixture(scope="module", autouse=True)
def fast_garbage_collection():
    """The Trainer collects garbage at every start, which takes longer than a tiny run; leave the libraries out."""
    gc.collect()
    gc.freeze()
    yield
    gc.unfreeze()


@pytest.fixture
def on_the_cpu(monkeypatch):
    """The same device on every machine, so that weights can be compared bit by bit."""
    import torch

    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: False)


@pytest.fixture(scope="session")
def tiny_folder(tmp_path_factory):
    """A folder that holds a tiny random BERT with a real WordPiece tokenizer."""
    from yelp_tl.pretrained import make_tiny_checkpoint

    return make_tiny_checkpoint(tmp_path_factory.mktemp("tiny"))


@pytest.fixture(scope="session")
def tiny_checkpoint(tiny_folder):
    from yelp_tl.pretrained import find_checkpoint

    return find_checkpoint(str(tiny_folder))


def empty_report(folder, *_):
    "In place of `write_report`, where a test is about something else."
    path = folder / "report.html"
    path.write_text("")
    return path
