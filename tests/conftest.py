"""What every test shares: no network, one thread, a tiny checkpoint."""
import os

# before any library reads them
os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("HF_HUB_DISABLE_TELEMETRY", "1")
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
os.environ.setdefault("MPLBACKEND", "agg")

import pytest


@pytest.fixture(scope="session")
def tiny_folder(tmp_path_factory):
    """A folder that holds a tiny random BERT with a real WordPiece tokenizer."""
    from yelp_tl.pretrained import make_tiny_checkpoint

    return make_tiny_checkpoint(tmp_path_factory.mktemp("tiny"))


@pytest.fixture(scope="session")
def tiny_checkpoint(tiny_folder):
    from yelp_tl.pretrained import find_checkpoint

    return find_checkpoint(str(tiny_folder))
