"""The Hub: one commit, one try, one message; nothing half-written is taken for whole."""
import re
import shutil
import time
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from huggingface_hub import constants
from huggingface_hub.errors import FileMetadataError, HFValidationError, LocalEntryNotFoundError

from yelp_tl import hub
from yelp_tl.data import STAR_NAMES, InputError, file_sha256, load_reviews, split_reviews
from yelp_tl.hub import (
    HUB_REVIEWS,
    HubFault,
    Repository,
    ask_hub,
    cached_folder,
    cached_sides,
    check_cached,
    fetch,
    git_sha1,
    has_fingerprint,
    hub_answer,
    hub_fault,
    hub_reviews,
    missing_pieces,
    one_try,
    watched,
    within,
)

MODEL = Repository("model", "organisation/name", "0123456789abcdef0123456789abcdef01234567")


@pytest.fixture
def cache(tmp_path, monkeypatch):
    """An empty cache of the Hub, and the function that puts files into it as the Hub's library does."""
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hub"))

    def put(repository: Repository, files: dict[str, bytes]) -> Path:
        home = tmp_path / "hub" / f"{repository.kind}s--{repository.name.replace('/', '--')}"
        folder = home / "snapshots" / repository.commit
        (home / "blobs").mkdir(parents=True, exist_ok=True)
        for name, content in files.items():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            draft = home / "draft"
            draft.write_bytes(content)
            blob = draft.rename(home / "blobs" / file_sha256(draft))
            (folder / name).symlink_to(blob)
        return folder

    return put


def parquet(path: Path, texts: list[str], labels: list[int]) -> bytes:
    """A Parquet file with its columns in the Hub's order."""
    pq.write_table(pa.table({"label": pa.array(labels, pa.int64()), "text": texts}), path)
    return path.read_bytes()


# waiting


def test_within_gives_back_what_the_call_gives():
    assert within(30, lambda: "soup") == "soup"
    with pytest.raises(ZeroDivisionError):
        within(30, lambda: 1 / 0)


def test_within_does_not_wait_longer():
    start = time.monotonic()
    with pytest.raises(HubFault, match="no answer within 0.05 seconds"):
        within(0.05, lambda: time.sleep(20))
    assert time.monotonic() - start < 15


def test_watched_passes_a_slow_but_steady_file(monkeypatch):
    clock = iter(range(100))  # a second a look
    monkeypatch.setattr(hub.time, "monotonic", lambda: next(clock))
    chunks = [bytes(1200)] * 20
    assert list(watched(iter(chunks), patience=3)) == chunks


def test_watched_stops_a_trickle(monkeypatch):
    clock = iter(range(100))
    monkeypatch.setattr(hub.time, "monotonic", lambda: next(clock))
    with pytest.raises(HubFault, match="sent only 4 bytes in 3 seconds"):
        list(watched(iter([b"x"] * 20), patience=3))


def test_watched_names_what_broke():
    def chunks():
        yield b"half"
        raise ConnectionResetError("peer is gone")

    with pytest.raises(HubFault, match=r"broke off in the middle of a file \(peer is gone\)"):
        list(watched(chunks(), patience=3))


def test_one_try_leaves_nothing_behind():
    before = constants.HF_HUB_DISABLE_XET, constants.HF_HUB_DISABLE_TELEMETRY
    with one_try():
        client = hub.get_session()
        assert constants.HF_HUB_DISABLE_XET and constants.HF_HUB_DISABLE_TELEMETRY
        assert client.send.__name__ == "send_once"
    assert before == (constants.HF_HUB_DISABLE_XET, constants.HF_HUB_DISABLE_TELEMETRY)
    assert hub.get_session() is not client and hub.get_session().send.__name__ == "send"


# one message


@pytest.fixture
def online(monkeypatch):
    monkeypatch.setattr(hub, "is_offline_mode", lambda: False)


@pytest.mark.parametrize(("error", "said"), [
    (HubFault("gave no answer within 5 seconds"), "gave no answer within 5 seconds. Connect to the network"),
    (FileMetadataError("no etag"), "is no Hub. Open a web page first"),
    (HFValidationError("bad name"), "is no Hub"),
    (OSError(28, "No space left on device"), "can't be used .No space left on device.. Make room there"),
    (PermissionError(13, "Permission denied"), "can't be used .Permission denied."),
    (OSError("Consistency check failed: file should be of size 9 but has size 4"), "sent only a part of a file"),
    (KeyError("odd"), "did not give it .KeyError."),
], ids=lambda value: type(value).__name__ if isinstance(value, Exception) else "")
def test_every_error_becomes_one_message(error, said, online):
    message = str(hub_fault(error, MODEL))
    assert message.startswith("the model organisation/name (commit 0123456) is not on this machine, and ")
    assert "\n" not in message and message.endswith("give --model a folder.")
    assert re.search(said, message)


def test_what_the_library_met_first_is_told(online):
    wrapped = LocalEntryNotFoundError("not cached")
    wrapped.__cause__ = HubFault("answered with status 503")
    assert hub_answer(wrapped)[0].endswith("answered with status 503")


def test_a_message_of_our_own_stays_as_it_is():
    error = InputError("said already")
    assert hub_fault(error, MODEL) is error


def test_remedies_fit_what_is_missing(online):
    assert 'pip install "yelp_tl[offline]"' in str(hub_fault(HubFault("x"), MODEL))
    assert "give --data a file" in str(hub_fault(HubFault("x"), HUB_REVIEWS))
    assert str(hub_fault(HubFault("x"), "push to a/b")).startswith("push to a/b: the Hub at ")


@pytest.mark.parametrize("error", [ConnectionResetError("reset"), RuntimeError("odd"), TimeoutError("slow")])
def test_whatever_the_library_raises_is_an_input_error(error, cache, monkeypatch):
    monkeypatch.setattr(hub, "snapshot_download", lambda *args, **options: (_ for _ in ()).throw(
        LocalEntryNotFoundError("no") if options.get("local_files_only") else error))
    with pytest.raises(InputError, match="is not on this machine") as caught:
        fetch(MODEL, ["*.json"], ["config.json"])
    assert caught.value.__cause__ is error


def test_offline_nobody_is_asked(cache):
    assert constants.HF_HUB_OFFLINE
    with pytest.raises(InputError, match="HF_HUB_OFFLINE is set, so the Hub was not asked"):
        load_reviews("hub")
    assert ask_hub([HUB_REVIEWS, MODEL]) == [
        "HF_HUB_OFFLINE is set, so the Hub was not asked. Unset HF_HUB_OFFLINE where there is a network, "
        "or let HF_HOME name a cache that holds it"]


# the cache


def test_pieces_are_counted():
    assert missing_pieces([]) == 0
    assert missing_pieces(["train-00001-of-00003.parquet", "test-00000-of-00001.parquet"]) == 2
    assert missing_pieces(["model-00001-of-00002.safetensors", "model-00002-of-00002.safetensors"]) == 1  # from 0 or 1


def test_fingerprints(tmp_path):
    path = tmp_path / "a.txt"
    path.write_bytes(b"hello\n")
    assert has_fingerprint(path, "ce013625030ba8dba906f756967f9e9ca394464a")  # git hash-object says so
    assert has_fingerprint(path, file_sha256(path))
    note = f"version https://git-lfs.github.com/spec/v1\noid sha256:{file_sha256(path)}\nsize 6\n".encode()
    assert has_fingerprint(path, git_sha1(note))
    path.write_bytes(b"hallo\n")
    for expected in ("ce013625030ba8dba906f756967f9e9ca394464a", git_sha1(note), "0" * 64):
        assert not has_fingerprint(path, expected)


def test_a_part_is_not_taken_for_the_whole(cache):
    assert cached_folder(MODEL, ["*.json"], ["config.json"]) is None
    folder = cache(MODEL, {"config.json": b"{}"})
    assert cached_folder(MODEL, ["*.json"], ["config.json"]) == folder
    assert cached_folder(MODEL, ["*.json"], ["config.json", "tokenizer.json"]) is None


def test_a_missing_piece_is_seen(cache):
    cache(MODEL, {"config.json": b"{}", "model-00000-of-00002.safetensors": b"1"})
    patterns = ["*.json", "model*.safetensors"]
    assert cached_folder(MODEL, patterns, patterns) is None
    folder = cache(MODEL, {"model-00001-of-00002.safetensors": b"2"})
    assert cached_folder(MODEL, patterns, patterns) == folder


@pytest.mark.parametrize("content", [b"{", b"{} ", b"[]"], ids=["cut", "longer", "changed"])
def test_damaged_file_is_named_and_taken_out(content, cache):
    folder = cache(MODEL, {"config.json": b"{}", "other.json": b"[1]"})
    assert fetch(MODEL, ["*.json"], ["config.json"]) == folder
    (folder / "config.json").resolve().write_bytes(content)
    with pytest.raises(InputError, match="^config.json of the model organisation/name .* taken out of the cache"):
        fetch(MODEL, ["*.json"], ["config.json"])
    assert not (folder / "config.json").is_symlink() and (folder / "other.json").is_file()
    with pytest.raises(InputError, match="HF_HUB_OFFLINE"):  # now it is missing, not wrong
        fetch(MODEL, ["*.json"], ["config.json"])


def test_pinned_fingerprint_is_the_last_word(cache):
    folder = cache(MODEL, {"config.json": b"{}"})
    check_cached(folder, MODEL, {"config.json": file_sha256(folder / "config.json"), "absent.json": "0" * 64})
    with pytest.raises(InputError, match="^config.json .* fingerprint is not 00000"):
        fetch(MODEL, ["*.json"], ["config.json"], {"config.json": "0" * 64})


# the lecture's dataset


def test_reviews_come_from_the_cache(cache, tmp_path, monkeypatch):
    monkeypatch.setattr("datasets.config.HF_DATASETS_CACHE", tmp_path / "arrow")
    assert cached_sides() == []
    sides = {"train": (["good soup", "cold tea", "warm bread"], [4, 0, 3]), "test": (["fine", "bad"], [2, 1])}
    for side, (texts, labels) in sides.items():
        cache(HUB_REVIEWS, {f"yelp_review_full/{side}-00000-of-00001.parquet": parquet(tmp_path / side, texts, labels)})
    assert cached_sides() == ["train", "test"]
    for side, (texts, labels) in sides.items():
        reviews = load_reviews("hub", side)
        assert (reviews["text"][:], reviews["label"][:]) == (texts, labels)
        assert reviews.features["label"].names == STAR_NAMES
        assert reviews.info.dataset_name == "yelp_review_full"
    split = split_reviews(load_reviews("hub"), load_reviews("hub", "test"), n_train=2, n_validation=1, n_test=2, seed=0)
    assert sorted(split.train["text"][:] + split.validation["text"][:]) == sorted(sides["train"][0])


def test_rows_of_the_hub_pass_the_same_check(cache, tmp_path, monkeypatch):
    monkeypatch.setattr("datasets.config.HF_DATASETS_CACHE", tmp_path / "arrow")
    content = parquet(tmp_path / "train", ["good soup", " ", "warm bread"], [4, 0, 3])
    cache(HUB_REVIEWS, {"yelp_review_full/train-00000-of-00001.parquet": content})
    with pytest.raises(InputError, match="^Yelp/yelp_review_full, row 2: expected a text, found an empty one"):
        hub_reviews("train")


def test_a_file_that_is_no_parquet_is_one_message(cache, tmp_path, monkeypatch):
    monkeypatch.setattr("datasets.config.HF_DATASETS_CACHE", tmp_path / "arrow")
    cache(HUB_REVIEWS, {"yelp_review_full/train-00000-of-00001.parquet": b"PAR1 and no more"})
    with pytest.raises(InputError, match="^the dataset Yelp/yelp_review_full .* can't be unpacked") as caught:
        hub_reviews("train")
    assert "\n" not in str(caught.value)


def test_another_side_is_refused():
    with pytest.raises(InputError, match="expected the split train or test, found 'dev'"):
        hub_reviews("dev")


def test_rows_stay_in_their_file(cache, tmp_path, monkeypatch):
    """Texts are read where they lie: no copy of them stands in Arrow's memory."""
    monkeypatch.setattr("datasets.config.HF_DATASETS_CACHE", tmp_path / "arrow")
    texts = [f"{number} " + "word " * 2000 for number in range(2000)]  # 20 MB
    content = parquet(tmp_path / "train", texts, [number % 5 for number in range(2000)])
    cache(HUB_REVIEWS, {"yelp_review_full/train-00000-of-00001.parquet": content})
    hub_reviews("train")  # unpacks
    before = pa.total_allocated_bytes()
    reviews = hub_reviews("train")
    split_reviews(reviews, n_train=1500, n_validation=0, n_test=500, seed=1)
    assert pa.total_allocated_bytes() - before < 2_000_000
    shutil.rmtree(tmp_path / "arrow", ignore_errors=True)
