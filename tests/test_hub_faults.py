"""The real client libraries against a local Hub: what works, every fault, and everything again with a filled cache.

The environment decides where the libraries look, and they read it when they are imported. So the calls are made in
other processes: one that is online, one that is offline, and one whose Hub does not exist.
"""
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
from hub_client import HubClient
from local_hub import LocalHub, LocalProxy, add_lecture

from yelp_tl.hub import HUB_REVIEWS
from yelp_tl.pretrained import HUB_CHECKPOINTS, MINILM_SHA256, bundled_folder

DISTILBERT, MINILM = HUB_CHECKPOINTS["distilbert"], HUB_CHECKPOINTS["minilm"]
COMMIT = "0123456789abcdef0123456789abcdef01234567"
CALLS = {
    "model": ("yelp_tl.pretrained:fetch_checkpoint", "distilbert"),
    "dataset": ("yelp_tl.hub:hub_reviews", "test"),
}
LARGE_FILE = {"model": "model.safetensors", "dataset": ".parquet"}


class Client(HubClient):
    """The process that calls for us, with what a test asks of a call: its result, or its one message."""

    def result(self, call: tuple, **more):
        return self.call(*call, **more)

    def message(self, call: tuple, **more) -> str:
        answer = self.ask(*call, **more)
        assert answer["error"] is not None, answer
        kind, message = answer["error"]
        assert kind == "InputError" and "\n" not in message, answer
        return message


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    with LocalHub(redirect=True) as running:
        home = tmp_path_factory.mktemp("repositories")
        add_lecture(running, home, 120, 80, minilm="none")
        for name, options in (("somebody/private", {"private": True}), ("somebody/gated", {"gated": True})):
            running.add("model", name, COMMIT, home / "distilbert", **options)
        yield running


@pytest.fixture(scope="module")
def client(server, tmp_path_factory):
    with Client(server.endpoint, tmp_path_factory.mktemp("online")) as running:
        yield running


@pytest.fixture(scope="module")
def offline(server, tmp_path_factory):
    with Client(server.endpoint, tmp_path_factory.mktemp("offline"), HF_HUB_OFFLINE="1") as running:
        yield running


@pytest.fixture(scope="module")
def nowhere(tmp_path_factory):
    with Client("http://127.0.0.1:9", tmp_path_factory.mktemp("nowhere")) as running:  # nothing listens there
        yield running


@pytest.fixture(scope="module")
def filled(client, server, tmp_path_factory):
    """A cache that holds the model and both sides of the dataset."""
    cache = tmp_path_factory.mktemp("filled")
    for call in (*CALLS.values(), ("yelp_tl.hub:hub_reviews", "train")):
        client.result(call, cache=cache)
    return cache


@pytest.fixture(autouse=True)
def no_fault(request):
    yield
    if "server" in request.fixturenames:
        request.getfixturevalue("server").clear()


def asked_for(server, part: str, since: int) -> int:
    """How often a file was asked for by GET."""
    return sum(method == "GET" and part in path and "/resolve/" in path for method, path in server.requests[since:])


def whole_files_only(cache: Path) -> None:
    """No part of a file lies in a cache."""
    assert list(cache.rglob("*.incomplete")) == []


# what works


@pytest.mark.parametrize("kind", CALLS)
def test_fetched_once_then_from_the_cache(kind, client, server, tmp_path):
    client.result(CALLS[kind], cache=tmp_path)
    whole_files_only(tmp_path)
    before = len(server.requests)
    client.result(CALLS[kind], cache=tmp_path)
    assert len(server.requests) == before


def test_rows_are_those_that_load_dataset_gives(client, server, tmp_path):
    """The lecture reads its rows with load_dataset, shuffles with seed 42 and takes the first ones."""
    code = ("from datasets import load_dataset; import json; from yelp_tl.data import load_reviews, split_reviews;"
            f"theirs = load_dataset({HUB_REVIEWS.name!r}, split='train', revision={HUB_REVIEWS.commit!r})"
            ".shuffle(seed=42).select(range(100));"
            "ours = split_reviews(load_reviews('hub'), n_train=100, n_validation=0, n_test=0, seed=42).train;"
            "print(json.dumps([theirs['text'][:] == ours['text'][:], theirs['label'][:] == ours['label'][:]]))")
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=300, env={
        **{name: value for name, value in os.environ.items() if not name.startswith("HF_")},
        "HF_HOME": str(tmp_path), "HF_ENDPOINT": server.endpoint, "HF_HUB_DISABLE_TELEMETRY": "1",
        "HF_HUB_DISABLE_XET": "1"})
    assert done.returncode == 0, done.stderr[-1500:]
    assert json.loads(done.stdout.splitlines()[-1]) == [True, True]


# what the Hub refuses


@pytest.mark.parametrize(("name", "said"), [
    (f"somebody/nothing@{COMMIT}", "knows no such repository, or it is private"),
    (f"somebody/private@{COMMIT}", "knows no such repository, or it is private"),
    (f"somebody/gated@{COMMIT}", "wants its terms accepted first"),
    (f"{DISTILBERT.name}@{'f' * 40}", "has it, but not this commit"),
])
def test_refusals(name, said, client, server, tmp_path):
    message = client.message(("yelp_tl.pretrained:fetch_checkpoint", name), cache=tmp_path)
    assert said in message and server.endpoint in message and name.split("@")[0] in message
    assert 'pip install "yelp_tl[offline]"' in message


# faults


FAULTS = {
    "silent": "gave no answer within 1 seconds", "slow": "bytes in 1 seconds", "cut": "broke off in the middle",
    "truncated": "sent only a part of a file", "flipped": "is not the expected file", "reset": "could not be reached",
}


@pytest.mark.parametrize("kind", CALLS)
@pytest.mark.parametrize("fault", FAULTS)
def test_fault_in_a_file(fault, kind, client, server, tmp_path):
    """One message after one try; afterwards the cache holds no wrong file, and the same call succeeds."""
    server.fault(fault, path_part=LARGE_FILE[kind], seconds=0.2)
    before = len(server.requests)
    message = client.message(CALLS[kind], cache=tmp_path, patience=1)
    assert FAULTS[fault] in message, message
    assert asked_for(server, LARGE_FILE[kind], before) <= 1
    whole_files_only(tmp_path)
    server.clear()
    client.result(CALLS[kind], cache=tmp_path)


STATUS = {"busy": (503, "answered with status 503"), "too many": (429, "answered with status 429"),
          "broken": (500, "answered with status 500"), "denied": (403, "status 403"),
          "proxy": (407, "the proxy wants a password (status 407)")}


@pytest.mark.parametrize("name", STATUS)
def test_fault_in_an_answer(name, client, server, tmp_path):
    status, said = STATUS[name]
    server.fault("status", status=status)
    before = len(server.requests)
    assert said in client.message(CALLS["dataset"], cache=tmp_path, patience=1)
    assert len(server.requests) - before == 1
    server.clear()
    client.result(CALLS["dataset"], cache=tmp_path)


@pytest.mark.parametrize("fault", ["silent", "slow", "reset", "html"])
def test_fault_of_the_whole_server(fault, client, server, tmp_path):
    server.fault(fault, seconds=0.2)
    said = {"html": "is no Hub", "reset": "could not be reached"}.get(fault, "gave no answer within")
    before = len(server.requests)
    assert said in client.message(CALLS["model"], cache=tmp_path, patience=1)
    assert len(server.requests) - before <= 1
    server.clear()
    client.result(CALLS["model"], cache=tmp_path)


def test_files_of_another_commit_are_not_taken(client, server, tmp_path):
    server.fault("wrong_commit")
    assert "has no config.json" in client.message(CALLS["model"], cache=tmp_path)
    server.clear()
    client.result(CALLS["model"], cache=tmp_path)


def test_no_server(nowhere, tmp_path):
    message = nowhere.message(CALLS["dataset"], cache=tmp_path)
    assert "the Hub at http://127.0.0.1:9 could not be reached" in message
    for remedy in ("HTTPS_PROXY", "HF_ENDPOINT", "a file of reviews", "simulated"):
        assert remedy in message


def test_pinned_fingerprint_beats_the_server(client, server, tmp_path):
    """A mirror that serves other bytes, and lists them as its own, is not believed."""
    wrong = tmp_path / "wrong"
    shutil.copytree(bundled_folder(), wrong)
    config = json.loads((wrong / "config.json").read_text(encoding="utf-8"))
    (wrong / "config.json").write_text(json.dumps(config | {"hidden_act": "relu"}), encoding="utf-8")
    call, cache = ("yelp_tl.pretrained:fetch_checkpoint", "minilm"), tmp_path / "cache"
    server.add("model", MINILM.name, MINILM.commit, wrong)
    message = client.message(call, cache=cache)
    assert message.startswith("config.json of the model") and MINILM_SHA256["config.json"] in message
    server.add("model", MINILM.name, MINILM.commit, bundled_folder())
    client.result(call, cache=cache)


# with a filled cache, and offline


@pytest.mark.parametrize("kind", CALLS)
@pytest.mark.parametrize("fault", ["silent", "slow", "cut", "truncated", "flipped", "reset", "html", "status"])
def test_a_filled_cache_needs_no_server(fault, kind, client, server, filled):
    server.fault(fault, **({"status": 503} if fault == "status" else {}))
    before = len(server.requests)
    client.result(CALLS[kind], cache=filled, patience=1)
    assert len(server.requests) == before


@pytest.mark.parametrize("kind", CALLS)
def test_offline(kind, offline, server, filled, tmp_path):
    before = len(server.requests)
    message = offline.message(CALLS[kind], cache=tmp_path)
    assert "HF_HUB_OFFLINE is set, so the Hub was not asked" in message
    offline.result(CALLS[kind], cache=filled)
    assert len(server.requests) == before


def test_a_filled_cache_works_where_there_is_no_server(nowhere, filled):
    assert nowhere.result(("yelp_tl.hub:cached_sides",), cache=filled) == ["train", "test"]
    nowhere.result(CALLS["dataset"], cache=filled)


def test_damaged_file_in_a_filled_cache_is_fetched_again(client, server, filled, tmp_path):
    cache = tmp_path / "cache"
    shutil.copytree(filled, cache, symlinks=True)
    weights = next(cache.rglob("snapshots/*/model.safetensors"))
    weights.resolve().write_bytes(weights.read_bytes()[:-1])
    assert "was taken out of the cache; run the same command again" in client.message(CALLS["model"], cache=cache)
    client.result(CALLS["model"], cache=cache)


# behind a proxy, and the whole experiment


def test_a_proxy_is_used_and_may_want_a_password(client, server, tmp_path):
    with LocalProxy() as proxy:
        client.result(CALLS["dataset"], cache=tmp_path / "one", env={"HTTP_PROXY": proxy.endpoint})
        assert len(proxy.log) == 3  # the list of files, and one of them asked for and taken
    with LocalProxy("student", "secret") as proxy:
        before = len(server.requests)
        message = client.message(CALLS["dataset"], cache=tmp_path / "two", env={"HTTP_PROXY": proxy.endpoint})
        assert "status 407" in message and "HTTPS_PROXY" in message and len(server.requests) == before
        client.result(CALLS["dataset"], cache=tmp_path / "two", env={"HTTP_PROXY": proxy.with_password})
    message = client.message(CALLS["dataset"], cache=tmp_path / "three", env={"HTTP_PROXY": proxy.endpoint})
    assert "could not be reached" in message  # the proxy is gone


def preset(run: Path, *options: str) -> list[str]:
    """The command of the lecture's experiment."""
    return ["compare", "--preset", "lecture", "--out", str(run), "--json", *options]


def test_the_preset_runs_end_to_end(client, tmp_path):
    run = tmp_path / "run"
    words = preset(run, "--n-train", "24", "--n-test", "20", "--epochs", "1", "--models", "naive_bayes", "fine_tuned")
    answer = client.ask("yelp_tl.cli:main", words, cache=tmp_path / "cache")
    assert (answer["error"], answer["result"]) == (None, 0), answer["printed"][-2000:]
    results = json.loads((run / "results.json").read_text(encoding="utf-8"))
    assert results["command"].startswith("yelp_tl compare --data hub")
    assert results["data"]["source"] == [HUB_REVIEWS.name]
    assert results["data"]["revision_or_sha256"] == [HUB_REVIEWS.commit] and not results["data"]["simulated"]
    assert set(results["models"]) == {"naive_bayes", "fine_tuned"}
    rows = pq.read_table(run / "predictions.parquet")["row"].to_pylist()
    assert rows == np.random.default_rng(42).permutation(80)[:20].tolist()


@pytest.mark.slow
def test_the_preset_with_its_own_numbers(tmp_path):
    """As a user runs it: 1,000 and 1,000 rows, three epochs, five models; only the network is a tiny one."""
    clean = {name: value for name, value in os.environ.items() if not name.startswith("HF_")}
    with LocalHub(redirect=True) as running:
        add_lecture(running, tmp_path / "repositories", 1200, 1100, minilm="none")
        done = subprocess.run(
            [sys.executable, "-m", "yelp_tl.cli", *preset(tmp_path / "run")],
            capture_output=True, text=True, timeout=900,
            env=clean | {"HF_HOME": str(tmp_path), "HF_ENDPOINT": running.endpoint, "HF_HUB_DISABLE_TELEMETRY": "1"})
    assert done.returncode == 0, done.stderr[-2000:]
    results = json.loads(done.stdout)
    assert (results["data"]["n_train"], results["data"]["n_validation"], results["data"]["n_test"]) == (1000, 0, 1000)
    assert len(results["models"]["fine_tuned"]["epochs"]) == 3 and len(results["models"]) == 5
    rows = pq.read_table(tmp_path / "run" / "predictions.parquet")["row"].to_pylist()
    assert rows == np.random.default_rng(42).permutation(1100)[:1000].tolist()


# what the doctor asks


def test_the_hub_is_asked_one_question_each(client, nowhere, server):
    before = len(server.requests)
    answer = client.ask("yelp_tl.cli:main", ["doctor", "--json"])
    report = json.loads(answer["printed"])
    assert [key for key in report if key.startswith("Hub")] == ["Hub 1", "Hub 2", "Hub 3"]
    assert f"the Hub at {server.endpoint} has it" in report["Hub 1"]
    assert f"{DISTILBERT}: the Hub at {server.endpoint} has it" == report["Hub 3"]
    assert len(server.requests) - before == 3
