"""The Hub for tests is faithful: what the real client libraries and plain HTTP get from it."""

import http.client
import json
import os
import re
import subprocess
import sys
import threading
import time
from pathlib import Path
from urllib.parse import urlsplit

import pyarrow.parquet as pq
import pytest
from hub_client import HubClient
from local_hub import FAULTS, WRONG_COMMIT, Content, LocalHub, LocalProxy, git_sha1, yelp_from_parquet

MODEL, MODEL_COMMIT = "school/tiny", "1" * 40
DATASET, DATASET_COMMIT = "Yelp/yelp_review_full", "2" * 40
LETTERS = bytes(range(65, 91)) * 40  # 1,040 bytes
CARD = """---
license: apache-2.0
language: en
pipeline_tag: text-classification
model-index:
- name: stars
  results:
  - task: {type: text-classification}
    dataset: {name: simulated reviews, type: simulated}
    metrics: [{type: accuracy, value: 0.5}]
---
# Stars
"""


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    return tmp_path_factory.mktemp("hub")


@pytest.fixture(scope="module")
def hub():
    with LocalHub() as started:
        yield started
        # what the libraries asked for is emulated
        assert [one for one in started.unknown if one[1] != "/api/nothing"] == []


@pytest.fixture(scope="module")
def client(hub, place):
    with HubClient(hub.endpoint, place / "home", HF_HUB_DISABLE_XET="1") as started:
        yield started


@pytest.fixture(scope="module")
def reviews(hub, client, place):
    """The dataset's folder, which is served."""
    folder = Path(client.call("local_hub:yelp_dataset", str(place / "reviews"), 30, 20))
    hub.add("dataset", DATASET, DATASET_COMMIT, folder)
    return folder


@pytest.fixture(scope="module")
def tiny(hub, client, place):
    """A checkpoint's folder, which is served."""
    folder = Path(client.call("yelp_tl.pretrained:make_tiny_checkpoint", str(place / "tiny"), "distilbert"))
    hub.add("model", MODEL, MODEL_COMMIT, folder)
    return folder


@pytest.fixture
def letters(hub):
    """A repository with a small file and a large one; faults are over afterwards."""
    hub.add("model", "school/letters", "3" * 40, {"small.txt": LETTERS, "big.safetensors": LETTERS, "in/a.json": "{}"})
    hub.requests.clear()
    yield "/school/letters/resolve/main"
    hub.clear()


def ask(hub, method, path, body=None, token=None, timeout=5.0, **headers):
    """Plain HTTP: status, headers and body."""
    connection = http.client.HTTPConnection(urlsplit(hub.endpoint).netloc, timeout=timeout)
    try:
        headers = {name.replace("_", "-"): value for name, value in headers.items()}
        connection.request(method, path, body, headers | ({"Authorization": f"Bearer {token}"} if token else {}))
        answer = connection.getresponse()
        return answer.status, answer.headers, answer.read()
    finally:
        connection.close()


def wait_until(condition):
    """Wait for another thread."""
    end = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.01)


def files_in(folder):
    paths = [path for path in Path(folder).rglob("*") if path.is_file()]
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in paths}


# fetching


def test_a_snapshot_holds_the_same_files(client, hub, tiny, tmp_path):
    hub.requests.clear()
    got = client.call("huggingface_hub:snapshot_download", MODEL, revision=MODEL_COMMIT, max_workers=1, cache=tmp_path)
    assert Path(got).name == MODEL_COMMIT
    assert files_in(got) == files_in(tiny)
    assert hub.requests[0] == ("GET", f"/api/models/{MODEL}/tree/{MODEL_COMMIT}?recursive=true&expand=false")
    assert {method for method, _ in hub.requests} == {"GET", "HEAD"}
    # a file's place in the cache is its fingerprint, of git's kind for small files
    blobs = {path.name for path in tmp_path.glob("models--*/blobs/*") if path.is_file()}
    expected = {Content(data).sha256 if name.endswith(".safetensors") else git_sha1(data)
                for name, data in files_in(tiny).items()}
    assert blobs == expected or os.name == "nt"  # Windows may have no links, and so no blobs


def test_patterns_choose_files_and_main_is_the_last_commit(client, tiny, tmp_path):
    got = client.call("huggingface_hub:snapshot_download", MODEL, allow_patterns=["tokenizer*"], cache=tmp_path)
    assert Path(got).name == MODEL_COMMIT
    assert set(files_in(got)) == {name for name in files_in(tiny) if name.startswith("tokenizer")}
    one = client.call("huggingface_hub:hf_hub_download", MODEL, "config.json", cache=tmp_path)
    assert Path(one).read_bytes() == (tiny / "config.json").read_bytes()


def test_load_dataset_gives_the_rows_of_the_parquet(client, reviews, tmp_path):
    loaded = client.call("hub_client:dataset_rows", DATASET, revision=DATASET_COMMIT, cache=tmp_path)
    assert list(loaded) == ["train", "test"]
    for split, part in loaded.items():
        file = reviews / "yelp_review_full" / f"{split}-00000-of-00001.parquet"
        assert part["rows"] == pq.read_table(file).to_pydict()
        assert part["columns"] == ["label", "text"]
        assert part["features"]["label"] == "ClassLabel(names=['1 star', '2 star', '3 stars', '4 stars', '5 stars'])"
    assert len(loaded["train"]["rows"]["text"]) == 30


def test_load_dataset_compares_the_rows_with_the_card(client, hub, reviews, tmp_path):
    # as the real card does, ours says how many rows there are
    files = {name: data.replace(b"num_examples: 30", b"num_examples: 31") for name, data in files_in(reviews).items()}
    hub.add("dataset", "school/short", "4" * 40, files)
    answer = client.ask("hub_client:dataset_rows", "school/short", revision="4" * 40, cache=tmp_path)
    assert answer["error"][0] == "NonMatchingSplitsSizesError"


def test_yelp_from_parquet_serves_the_files_of_a_folder(reviews):
    files = yelp_from_parquet(reviews)
    assert files["yelp_review_full/train-00000-of-00001.parquet"].parent == reviews / "yelp_review_full"
    assert "num_examples: 30" in files["README.md"]
    assert "num_examples: 20" in files["README.md"]


def test_auto_classes_open_what_was_fetched(client, tiny, tmp_path):
    fetched = client.call("hub_client:model_facts", MODEL, MODEL_COMMIT, "good food", cache=tmp_path)
    assert fetched["class"] == "DistilBertModel"
    assert fetched == client.call("hub_client:model_facts", str(tiny), "main", "good food")


def test_infos_and_trees(client, hub, letters):
    for kind in ("model", "repo"):
        info = client.call(f"huggingface_hub:HfApi.{kind}_info", "school/letters", files_metadata=True)
        assert f"sha='{'3' * 40}'" in info
        assert Content(LETTERS).sha256 in info
    assert client.call("hub_client:tree_paths", "school/letters", recursive=True) == [
        "in", "big.safetensors", "in/a.json", "small.txt"]
    assert client.call("hub_client:tree_paths", "school/letters", "in", expand=True) == ["in/a.json"]
    assert client.call("hub_client:tree_paths", "school/letters") == ["in", "big.safetensors", "small.txt"]


def test_the_fingerprint_of_a_large_file_in_git_is_that_of_its_pointer(hub, letters):
    # so the oid of a tree's entry is not the fingerprint of the file
    tree = {entry["path"]: entry for entry in json.loads(ask(hub, "GET", "/api/models/school/letters/tree/main")[2])}
    assert tree["small.txt"]["oid"] == git_sha1(LETTERS)
    assert "lfs" not in tree["small.txt"]
    assert tree["big.safetensors"]["oid"] == git_sha1(Content(LETTERS).pointer) != git_sha1(LETTERS)
    assert tree["big.safetensors"]["lfs"] == {"oid": Content(LETTERS).sha256, "size": 1040, "pointerSize": 129}


def test_a_long_tree_comes_in_pages(client):
    with LocalHub(page=2) as hub:
        hub.add("dataset", "school/many", "5" * 40, {f"{number}.txt": "x" for number in range(5)})
        paths = client.call("hub_client:tree_paths", "school/many", repo_type="dataset", endpoint=hub.endpoint)
        assert paths == [f"{number}.txt" for number in range(5)]
        assert len(hub.requests) == 3


def test_headers_of_a_file(hub, letters):
    for name, mark in (("small.txt", git_sha1(LETTERS)), ("big.safetensors", Content(LETTERS).sha256)):
        status, headers, body = ask(hub, "HEAD", f"{letters}/{name}")
        assert (status, body) == (200, b"")
        assert headers["ETag"] == f'"{mark}"'
        assert headers["X-Repo-Commit"] == "3" * 40
        assert headers["Content-Length"] == "1040"
        assert not [header for header in headers if header.lower().startswith("x-xet")]
        assert headers["X-Linked-Size"] == ("1040" if name == "big.safetensors" else None)
        assert headers["X-Linked-Etag"] == (f'"{mark}"' if name == "big.safetensors" else None)


@pytest.mark.parametrize(("asked", "part"), [("bytes=10-19", LETTERS[10:20]), ("bytes=1030-", LETTERS[1030:]),
                                             ("bytes=-5", LETTERS[-5:]), ("bytes=1000-9999", LETTERS[1000:])])
def test_a_part_of_a_file(hub, letters, asked, part):
    status, headers, body = ask(hub, "GET", f"{letters}/big.safetensors", Range=asked)
    start = LETTERS.rindex(part) if asked != "bytes=10-19" else 10
    assert (status, body) == (206, part)
    assert headers["Content-Range"] == f"bytes {start}-{start + len(part) - 1}/1040"


def test_a_part_that_does_not_exist(hub, letters):
    status, headers, _ = ask(hub, "GET", f"{letters}/small.txt", Range="bytes=1040-")
    assert (status, headers["Content-Range"]) == (416, "bytes */1040")


# what is refused


def test_each_refusal_has_its_exception(client, hub, letters, tmp_path):
    hub.add("model", "school/secret", "6" * 40, {"config.json": "{}"}, private=True)
    hub.add("model", "school/gated", "7" * 40, {"config.json": "{}"}, gated=True)

    def error(name, file="config.json", **options):
        answer = client.ask("huggingface_hub:hf_hub_download", name, file, cache=tmp_path, **options)
        return answer["error"] and answer["error"][0]

    assert error("school/none") == "RepositoryNotFoundError"
    assert error("school/none", token="hf_good") == "RepositoryNotFoundError"
    assert error("school/letters") == "RemoteEntryNotFoundError"
    assert error("school/letters", revision="8" * 40) == "RevisionNotFoundError"
    assert error("school/letters", "small.txt", token="hf_wrong") == "HfHubHTTPError"
    assert error("school/gated") == "GatedRepoError"
    assert error("school/gated", token="hf_good") == "GatedRepoError"
    assert error("school/secret") == "RepositoryNotFoundError"
    assert error("school/secret", token="hf_read") is None


@pytest.mark.parametrize(("path", "token", "status", "code"), [
    ("/api/models/school/none", None, 401, "RepoNotFound"),
    ("/api/models/school/none", "hf_good", 404, "RepoNotFound"),
    ("/api/models/school/letters/revision/none", None, 404, "RevisionNotFound"),
    ("/api/models/school/letters/tree/main/none", None, 404, "EntryNotFound"),
    ("/api/models/school/letters", "hf_wrong", 401, None),
    ("/api/nothing", None, 404, None),
])
def test_a_refusal_says_why(hub, letters, path, token, status, code):
    got, headers, body = ask(hub, "GET", path, token=token)
    assert (got, headers["X-Error-Code"]) == (status, code)
    assert json.loads(body)["error"] == headers["X-Error-Message"] != ""


def test_whoami(client):
    assert client.call("huggingface_hub:HfApi.whoami", token="hf_good")["name"] == "student"
    role = client.call("huggingface_hub:HfApi.whoami", token="hf_read")["auth"]["accessToken"]["role"]
    assert role == "read"
    answer = client.ask("huggingface_hub:HfApi.whoami", token="other")
    assert answer["error"] == ["HfHubHTTPError", "Invalid user token."]
    assert client.call("huggingface_hub:HfApi.whoami", env={"HF_TOKEN": "hf_good"})["orgs"][0]["name"] == "school"


# pushes


@pytest.fixture
def fresh(hub, client, request):
    """Name of a repository of this test alone, made by its user."""
    name = f"student/{request.node.name.replace('_', '-')[:60]}"
    client.call("huggingface_hub:HfApi.create_repo", name, token="hf_good", private=True)
    return name


def test_a_pushed_folder_can_be_fetched_back(client, hub, tiny, fresh, tmp_path):
    folder = tmp_path / "push"
    (folder / "plots").mkdir(parents=True)
    for name, data in (files_in(tiny) | {"README.md": CARD.encode(), "plots/a.svg": b"<svg/>"}).items():
        (folder / name).write_bytes(data)
    before = len(hub.requests)
    info = client.call("huggingface_hub:HfApi.upload_folder", repo_id=fresh, folder_path=str(folder), token="hf_good",
                       commit_message="Add a model")
    assert hub.pushed[fresh] == files_in(folder)
    methods = [(method, re.sub(r".*/", "", path.partition("?")[0])) for method, path in hub.requests[before:]]
    assert ("POST", "validate-yaml") in methods
    assert [method for method, _ in methods].count("PUT") == 1  # the one large file
    commit = hub.repos["model", fresh].main
    assert f"/{fresh}/commit/{commit}" in info
    got = client.call("huggingface_hub:snapshot_download", fresh, token="hf_good", cache=tmp_path / "cache")
    back = files_in(got)
    assert back.pop(".gitattributes")
    assert back == files_in(folder)
    # nothing has changed, so nothing is committed
    client.call("huggingface_hub:HfApi.upload_folder", repo_id=fresh, folder_path=str(folder), token="hf_good")
    assert hub.repos["model", fresh].main == commit


def test_one_file_is_pushed_and_deleted(client, hub, fresh, tmp_path):
    (tmp_path / "note.txt").write_bytes(LETTERS)
    for path in ("note.txt", "in/note.txt"):
        client.call("huggingface_hub:HfApi.upload_file", path_or_fileobj=str(tmp_path / "note.txt"), path_in_repo=path,
                    repo_id=fresh, token="hf_good")
    assert hub.pushed[fresh] == {"note.txt": LETTERS, "in/note.txt": LETTERS}
    assert len(hub.repos["model", fresh].commits) == 3
    client.call("huggingface_hub:HfApi.delete_folder", "in", fresh, token="hf_good")
    assert hub.pushed[fresh] == {"note.txt": LETTERS}
    assert client.ask("huggingface_hub:HfApi.delete_file", "none.txt", fresh, token="hf_good")["error"]


def test_who_may_push(client, hub, fresh, tmp_path):
    (tmp_path / "note.txt").write_text("x")

    def push(token, name=fresh, **options):
        answer = client.ask("huggingface_hub:HfApi.upload_file", path_or_fileobj=str(tmp_path / "note.txt"),
                            path_in_repo="note.txt", repo_id=name, token=token, **options)
        return answer["error"]

    def create(token, name):
        return client.ask("huggingface_hub:HfApi.create_repo", name, token=token)["error"]

    assert "403" in push("hf_read")[1]
    assert "403" in create("hf_read", "student/other")[1]
    assert "403" in create("hf_good", "stranger/other")[1]
    assert "401" in create("hf_wrong", "student/other")[1]
    assert "401" in create(False, "student/other")[1]
    assert "409" in create("hf_good", fresh)[1]
    assert push(False)[0] == push("hf_good", "student/none")[0] == "RepositoryNotFoundError"
    assert "412" in push("hf_good", parent_commit="9" * 40)[1]
    assert hub.pushed.get(fresh) is None
    assert create("hf_good", "school/other") is None  # an organisation of this user
    assert ("model", "school/other") in hub.repos


def test_a_push_over_xet_is_refused_at_once(client, fresh, tmp_path):
    (tmp_path / "model.safetensors").write_bytes(LETTERS)
    answer = client.ask("huggingface_hub:HfApi.upload_file", path_or_fileobj=str(tmp_path / "model.safetensors"),
                        path_in_repo="model.safetensors", repo_id=fresh, token="hf_good",
                        settings={"huggingface_hub.constants:HF_HUB_DISABLE_XET": False})
    assert "xet-write-token" in answer["error"][1]


def test_large_files_need_their_own_way(hub, client, fresh):
    token, place = "hf_good", f"/{fresh}.git/info/lfs"
    data = LETTERS[::-1]  # not uploaded before
    oid = Content(data).sha256
    wanted = {"operation": "upload", "transfers": ["basic"], "objects": [{"oid": oid, "size": 1040}]}
    only_multipart = json.dumps(wanted | {"transfers": ["multipart"]})
    assert ask(hub, "POST", f"{place}/objects/batch", only_multipart, token)[0] == 422
    one = json.loads(ask(hub, "POST", f"{place}/objects/batch", json.dumps(wanted), token)[2])["objects"][0]
    upload = one["actions"]["upload"]["href"].removeprefix(hub.endpoint)
    check = json.dumps({"oid": oid, "size": 1040})
    assert ask(hub, "POST", f"{place}/verify", check, token)[0] == 404
    assert ask(hub, "PUT", upload.partition("?")[0], data)[0] == 403  # not signed
    assert ask(hub, "PUT", upload, data[:-1])[0] == 400
    line = {"key": "lfsFile", "value": {"path": "a.safetensors", "algo": "sha256", "oid": oid, "size": 1040}}
    assert ask(hub, "POST", f"/api/models/{fresh}/commit/main", json.dumps(line), token)[0] == 400
    assert ask(hub, "PUT", upload, data)[0] == 200
    assert ask(hub, "POST", f"{place}/verify", check, token)[0] == 200
    assert ask(hub, "POST", f"/api/models/{fresh}/commit/main", json.dumps(line), token)[0] == 200
    assert hub.pushed[fresh] == {"a.safetensors": data}


@pytest.mark.parametrize(("old", "new", "told"), [
    ("apache-2.0", "mine", '"license" must be one of'), ("language: en", "language: English", '"language"'),
    (", value: 0.5", "", "metrics[0].value"), ("license:", "license: [", "bad YAML"),
    ("type: simulated}", "kind: simulated}", "dataset.type")])
def test_a_card_is_checked(client, old, new, told):
    assert client.call("hub_client:check_model_card", CARD) == "valid"
    # ModelCard reads YAML itself, so a wrong one is sent as it stands
    answer = client.ask("huggingface_hub:HfApi._validate_yaml", CARD.replace(old, new))
    assert answer["error"][0] == "ValueError"
    assert told in answer["error"][1]


# faults


def test_a_silent_server_answers_nothing_until_it_is_cleared(hub, letters):
    hub.fault("silent", "small")
    with pytest.raises(TimeoutError):
        ask(hub, "GET", f"{letters}/small.txt", timeout=0.2)
    assert ask(hub, "GET", f"{letters}/in/a.json")[2] == b"{}"  # others are answered
    seen = []
    waiting = threading.Thread(target=lambda: seen.append(pytest.raises(
        http.client.RemoteDisconnected, ask, hub, "GET", f"{letters}/small.txt", timeout=60)))
    waiting.start()
    wait_until(lambda: len(hub.requests) == 3)
    hub.clear()
    waiting.join(60)
    assert len(seen) == 1


def test_closing_does_not_wait_for_silent_or_idle_connections():
    before = threading.active_count()
    hub = LocalHub().start()
    hub.fault("silent")
    idle = http.client.HTTPConnection(urlsplit(hub.endpoint).netloc)
    idle.connect()
    asking = http.client.HTTPConnection(urlsplit(hub.endpoint).netloc)
    asking.request("GET", "/api/whoami-v2")
    wait_until(lambda: hub.requests)
    closing = threading.Thread(target=hub.close)
    closing.start()
    closing.join(60)
    assert not closing.is_alive()
    with pytest.raises((http.client.HTTPException, OSError)):
        asking.getresponse()
    wait_until(lambda: threading.active_count() <= before)  # nobody waits on
    idle.close()
    asking.close()


def test_a_slow_server_sends_single_bytes(hub, letters):
    hub.fault("slow", "small", seconds=0.05)
    connection = http.client.HTTPConnection(urlsplit(hub.endpoint).netloc, timeout=60)
    start = time.monotonic()
    connection.request("GET", f"{letters}/small.txt")
    answer = connection.getresponse()
    assert answer.headers["Content-Length"] == "1040"
    assert answer.read(4) == LETTERS[:4]
    assert time.monotonic() - start > 0.1
    hub.clear()  # the rest comes at once
    assert answer.read() == LETTERS[4:]
    connection.close()


@pytest.mark.parametrize("name", ["small.txt", "big.safetensors"])
def test_faults_of_the_body(hub, letters, name):
    path = f"{letters}/{name}"
    hub.fault("cut", name, times=1)
    with pytest.raises(http.client.IncompleteRead) as broken:
        ask(hub, "GET", path)
    assert (len(broken.value.partial), broken.value.expected) == (520, 520)
    hub.fault("truncated", name, times=1)
    status, headers, body = ask(hub, "GET", path)
    assert (status, headers["Content-Length"], body) == (200, "520", LETTERS[:520])
    hub.fault("flipped", name, times=1)
    status, headers, body = ask(hub, "GET", path)
    assert (status, len(body)) == (200, 1040)
    assert sum(one != other for one, other in zip(body, LETTERS, strict=True)) == 1
    assert ask(hub, "GET", path)[2] == LETTERS  # over
    for kind in ("cut", "truncated", "flipped", "slow"):  # they leave the headers alone
        hub.fault(kind, name)
        assert ask(hub, "HEAD", path)[1]["Content-Length"] == "1040"
        hub.clear()


@pytest.mark.parametrize("status", [403, 407, 429, 500, 503])
def test_any_status(hub, letters, status):
    hub.fault("status", status=status, headers={"Retry-After": "7"})
    got, headers, body = ask(hub, "GET", f"{letters}/small.txt")
    assert (got, headers["Retry-After"], body) == (status, "7", b"Not now.\n")
    assert headers["X-Error-Code"] is None


def test_reset_html_and_wrong_commit(hub, letters):
    hub.fault("reset", times=1)
    with pytest.raises(ConnectionError) as broken:
        ask(hub, "GET", f"{letters}/small.txt")
    assert not isinstance(broken.value, http.client.RemoteDisconnected)  # that would be a mere end
    hub.fault("html", times=1)
    status, headers, body = ask(hub, "GET", "/api/models/school/letters")
    assert (status, headers["Content-Type"]) == (200, "text/html; charset=utf-8")
    assert body.startswith(b"<!DOCTYPE html>")
    hub.fault("wrong_commit")
    assert ask(hub, "HEAD", f"{letters}/small.txt")[1]["X-Repo-Commit"] == WRONG_COMMIT
    assert json.loads(ask(hub, "GET", "/api/models/school/letters")[2])["sha"] == WRONG_COMMIT


def test_a_fault_hits_what_it_was_set_for(hub, letters):
    hub.fault("status", "small", after=1, times=2, method="GET", status=500)
    asked = [("HEAD", "small.txt"), ("GET", "in/a.json"), *[("GET", "small.txt")] * 4]
    statuses = [ask(hub, method, f"{letters}/{name}")[0] for method, name in asked]
    assert statuses == [200, 200, 200, 500, 500, 200]
    assert hub.requests == [(method, f"{letters}/{name}") for method, name in asked]
    with pytest.raises(ValueError, match=FAULTS[0]):
        hub.fault("quiet")


def test_the_library_sees_the_faults(client, hub, letters, tmp_path):
    def fetch(number):
        return client.ask("huggingface_hub:hf_hub_download", "school/letters", "big.safetensors",
                          cache=tmp_path / str(number))

    hub.fault("truncated", "big")
    assert fetch(1)["error"][1].startswith("Consistency check failed: file should be of size 1040 but has size 520")
    hub.clear()
    hub.fault("cut", "big", times=1)  # the library asks for the rest
    assert Path(fetch(2)["result"]).read_bytes() == LETTERS
    hub.fault("flipped", "big")  # it compares no fingerprints
    assert sum(one != two for one, two in zip(Path(fetch(3)["result"]).read_bytes(), LETTERS, strict=True)) == 1
    hub.clear()
    hub.fault("wrong_commit")
    assert Path(fetch(4)["result"]).parent.name == WRONG_COMMIT
    hub.clear()
    hub.fault("html")
    assert fetch(5)["error"][0] == "LocalEntryNotFoundError"


# the way to the Hub


def test_large_files_behind_a_redirect_get_no_token(client, tmp_path):
    with LocalHub(redirect=True) as hub:
        hub.add("model", "school/letters", "3" * 40, {"small.txt": LETTERS, "big.safetensors": LETTERS}, private=True)
        got = client.call("huggingface_hub:snapshot_download", "school/letters", token="hf_good", cache=tmp_path,
                          endpoint=hub.endpoint)
        assert files_in(got) == {"small.txt": LETTERS, "big.safetensors": LETTERS}
        assert [path for path in hub.paths() if path.startswith("/cdn/")]
        assert ask(hub, "GET", f"/cdn/school/letters/{Content(LETTERS).sha256}", token="hf_good")[0] == 400
        status, headers, _ = ask(hub, "HEAD", "/school/letters/resolve/main/big.safetensors", token="hf_good")
        assert (status, headers["X-Linked-Size"]) == (302, "1040")


def test_the_library_goes_through_a_proxy(client, hub, letters, tmp_path):
    def fetch(cache, way):
        client.call("huggingface_hub.utils:close_session")  # the next one reads the environment
        answer = client.ask("huggingface_hub:hf_hub_download", "school/letters", "small.txt", cache=tmp_path / cache,
                            endpoint="http://hub.test", env={"HTTP_PROXY": way, "http_proxy": way})
        client.call("huggingface_hub.utils:close_session")
        return answer

    with LocalProxy(hosts={"hub.test": hub.endpoint}) as proxy:
        assert Path(fetch("a", proxy.endpoint)["result"]).read_bytes() == LETTERS
        assert proxy.log == [(method, f"http://hub.test{letters}/small.txt") for method in ("HEAD", "GET")]
    with LocalProxy("reader", "word", hosts={"hub.test": hub.endpoint}) as proxy:
        assert fetch("b", proxy.endpoint)["error"]
        assert proxy.log == []
        assert Path(fetch("c", proxy.with_password)["result"]).read_bytes() == LETTERS


def test_a_proxy_passes_faults_on(hub, letters):
    with LocalProxy() as proxy:
        address = f"{hub.endpoint}{letters}/small.txt"
        assert ask(proxy, "GET", address)[2] == LETTERS
        hub.fault("cut", times=1)
        with pytest.raises(http.client.IncompleteRead):
            ask(proxy, "GET", address)
        hub.fault("reset", times=1)
        assert ask(proxy, "GET", address)[0] == 502
        assert ask(proxy, "GET", "/no/address")[0] == 400
    with LocalProxy("reader") as proxy:
        assert ask(proxy, "GET", address)[0] == 407


# the client


def test_the_client_tells_of_errors_and_what_was_printed(client):
    assert client.call("hub_client:ping") == "pong"
    assert client.ask("json:loads", "{")["error"][0] == "JSONDecodeError"
    assert client.ask("nowhere:nothing")["error"][0] == "ModuleNotFoundError"
    assert client.ask("builtins:print", "hello")["printed"] == "hello\n"
    name = "huggingface_hub.constants:HF_HUB_OFFLINE"
    assert client.call("huggingface_hub:is_offline_mode", settings={name: True}) is True
    assert client.call("huggingface_hub:is_offline_mode") is False
    assert client.call("os:getenv", "SOME_NAME", env={"SOME_NAME": "x"}) == "x"
    assert client.call("os:getenv", "SOME_NAME") is None


@pytest.mark.slow
def test_by_hand(tmp_path):
    command = [sys.executable, "-u", str(Path(__file__).with_name("local_hub.py")), "--train", "12", "--test", "11",
               "--fault", "status", "--path", "README", "--status", "500"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    try:
        lines = [process.stdout.readline() for _ in range(3)]
        while not lines[-1].startswith("HF_ENDPOINT="):
            assert lines[-1], lines
            lines.append(process.stdout.readline())
        endpoint = re.match(r"HF_ENDPOINT=(\S+)", lines[-1])[1]
        with HubClient(endpoint, tmp_path, HF_HUB_DISABLE_XET="1") as client:
            name, revision = "Yelp/yelp_review_full", "c1f9ee939b7d05667af864ee1cb066393154bf85"
            got = client.call("huggingface_hub:snapshot_download", name, repo_type="dataset", revision=revision,
                              allow_patterns=["*.parquet"])
            assert len(files_in(got)) == 2
            refused = client.ask("huggingface_hub:hf_hub_download", name, "README.md", repo_type="dataset")
            assert refused["error"][0] == "LocalEntryNotFoundError"
            assert "500" in refused["cause"][1]
            name, revision = "distilbert/distilbert-base-uncased", "12040accade4e8a0f71eabdb258fecc2e7e948be"
            facts = client.call("hub_client:model_facts", name, revision, "good")
            assert facts["class"] == "DistilBertModel"
    finally:
        process.kill()
        process.communicate()
