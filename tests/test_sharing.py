"""Sharing: a card that machines and people can read, whatever a file is called, and nothing of the reviews in it."""
import json
import re
import shutil
from copy import deepcopy
from pathlib import Path

import pytest
import yaml
from conftest import ENTRY, PAIR, empty_report
from hub_client import HubClient
from huggingface_hub import ModelCard
from huggingface_hub.repocard import metadata_load
from huggingface_hub.repocard_data import eval_results_to_model_index, model_index_to_eval_results
from local_hub import LocalHub
from markdown_it import MarkdownIt

import yelp_tl.comparison as comparison
import yelp_tl.sharing as sharing
from yelp_tl.comparison import Experiment, compare
from yelp_tl.data import STAR_NAMES, InputError, example_reviews
from yelp_tl.finetuning import TrainingSettings
from yelp_tl.hub import HUB_REVIEWS
from yelp_tl.pretrained import HUB_CHECKPOINTS
from yelp_tl.sharing import (
    code_span,
    difference_sentence,
    evaluation_results,
    files_to_share,
    find_token,
    limits_part,
    model_card,
    push_run,
    rows_lines,
    settings_part,
    write_model_card,
)


@pytest.fixture(scope="module")
def finished(tiny_folder, tmp_path_factory):
    "Results and folder of one finished run; tests that change it take a copy."
    place = tmp_path_factory.mktemp("sharing")
    example_reviews().to_pandas().to_csv(place / "reviews.csv", index=False)
    settings = TrainingSettings(epochs=1, batch_size=8, max_length=64, precision="fp32")
    experiment = Experiment(str(place / "reviews.csv"), model=str(tiny_folder), n_train=30, n_validation=10, n_test=20,
                            models=("naive_bayes", "fine_tuned"), training=settings)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(comparison, "write_report", empty_report)
        patch.setattr(comparison, "explain_test_rows", lambda *_: None)
        return compare(experiment, place / "run", progress=False)


@pytest.fixture
def results(finished):
    return deepcopy(finished[0])


@pytest.fixture
def run(finished, tmp_path):
    return shutil.copytree(finished[1], tmp_path / "run")


def of_network(results, model):
    "The same results as if the network came from the Hub."
    results["config"]["model"] = model
    del results["config"]["model_sha256"]
    return results


def of_source(results, data, title, revision, test=None):
    "The same results as if the rows came from elsewhere."
    results["config"] |= {"data": data, "test": test}
    results["data"] |= {"source": [title], "revision_or_sha256": [revision], "simulated": data == "sample"}
    return results


def metadata(card):
    return yaml.safe_load(card.split("\n---\n")[0].removeprefix("---\n"))


# what machines read


def test_compare_writes_the_card_beside_the_weights(finished):
    found = (finished[1] / "model" / "README.md").read_text(encoding="utf-8")
    assert found == model_card(finished[0])
    assert found == model_card(json.loads((finished[1] / "results.json").read_text(encoding="utf-8")))


def test_card_survives_the_librarys_round_trip(finished):
    path = finished[1] / "model" / "README.md"
    card = ModelCard.load(path)
    assert str(card) == path.read_text(encoding="utf-8")
    assert card.data.eval_results == evaluation_results(finished[0])
    assert metadata_load(path) == card.data.to_dict()


def test_model_index_round_trip(finished):
    index = metadata_load(finished[1] / "model" / "README.md")["model-index"]
    name, found = model_index_to_eval_results(index)
    assert found == evaluation_results(finished[0])
    assert eval_results_to_model_index(name, found) == index


def test_each_figure_has_value_and_rows(results):
    entry = results["models"]["fine_tuned"]
    found = {one.metric_type: one for one in evaluation_results(results)}
    assert {name: one.metric_value for name, one in found.items()} == {
        "accuracy": entry["accuracy"], "within_one_star": entry["within_one"], "mae": entry["mae"],
        "quadratic_weighted_kappa": entry["quadratic_weighted_kappa"], "f1": entry["macro_f1"]}
    assert all("20 test reviews" in one.metric_name for one in found.values())
    low, high = entry["accuracy_interval"]
    assert f"95% interval {low:.3f} to {high:.3f}" in found["accuracy"].metric_name


def test_plain_metadata(results):
    found = metadata(model_card(results))
    assert found["language"] == "en" and found["library_name"] == "transformers"
    assert found["pipeline_tag"] == "text-classification" and found["metrics"] == ["accuracy", "mae", "f1"]
    assert "yelp_tl" in found["tags"]
    # a network from a folder: nothing is known about it; rows from a file: they may be anybody's
    assert {"license", "base_model", "base_model_revision", "datasets"}.isdisjoint(found)


@pytest.mark.parametrize("name", HUB_CHECKPOINTS)
def test_network_of_the_hub_has_its_name_commit_and_licence(name, results):
    network = HUB_CHECKPOINTS[name]
    card = model_card(of_network(results, name))
    found = metadata(card)
    assert (found["base_model"], found["license"]) == (network.name, "apache-2.0")
    assert (found["base_model_relation"], found["base_model_revision"]) == ("finetune", network.commit)
    assert f"commit `{network.commit}`" in card and "Apache License 2.0" in card.split("## Licence")[1]


def test_unknown_network_has_no_licence(results):
    card = model_card(of_network(results, "somebody/network@" + "a" * 40))
    found = metadata(card)
    assert found["base_model"] == "somebody/network" and "license" not in found
    assert "not known here" in card.split("## Licence")[1] and "Apache" not in card.split("## Licence")[1]


def test_folder_called_minilm_is_not_minilm(results):
    results["config"]["model"] = "minilm"
    found = metadata(model_card(results))
    assert {"license", "base_model"}.isdisjoint(found)


def test_dataset_is_named_only_where_the_rows_came_from_it(results):
    local = metadata(model_card(results))["model-index"][0]["results"][0]["dataset"]
    assert local == {"type": "file", "name": "reviews.csv"}
    card = model_card(of_source(results, "hub", HUB_REVIEWS.name, HUB_REVIEWS.commit))
    assert metadata(card)["datasets"] == [HUB_REVIEWS.name]
    assert metadata(card)["model-index"][0]["results"][0]["dataset"] == {
        "type": HUB_REVIEWS.name, "name": HUB_REVIEWS.name, "split": "test", "revision": HUB_REVIEWS.commit}
    assert f"split train, revision `{HUB_REVIEWS.commit}`" in card and "split test" in card
    # a file of that name is a file
    found = metadata(model_card(of_source(results, "yelp_review_full.parquet", "yelp_review_full.parquet", "0" * 64)))
    assert "datasets" not in found


def test_simulated_rows_say_nothing_about_yelp(results):
    results["models"]["ceiling"] = dict(results["models"]["fine_tuned"], accuracy=0.7)
    card = model_card(of_source(results, "sample", "simulated reviews", "yelp_tl 0.1.0"))
    assert "simulated-data" in metadata(card)["tags"] and "datasets" not in metadata(card)
    assert sharing.SIMULATED_NOTE in card.split("## How to use it")[0], "before the first figure is used"
    assert "nothing about Yelp" in card.split("## Limits")[1]
    assert "simulated by yelp_tl" in card.split("## Licence")[1]


def test_trained_on_simulated_rows_and_tested_on_a_file(results):
    results = of_source(results, "sample", "simulated reviews", "yelp_tl 0.1.0", test="real.csv")
    results["data"] |= {"source": ["simulated reviews", "real.csv"], "revision_or_sha256": ["yelp_tl 0.1.0", "f" * 64]}
    card = model_card(results)
    assert sharing.SIMULATED_NOTE not in card, "its figures are those of the file"
    assert "nothing about Yelp" in card.split("## Limits")[1] and "Yelp's own dataset terms" in card
    assert metadata(card)["model-index"][0]["results"][0]["dataset"] == {"type": "file", "name": "real.csv"}


# what people read


def test_every_model_stands_with_interval_and_rows(results):
    card = model_card(results)
    for name, entry in results["models"].items():
        low, high = entry["accuracy_interval"]
        row = next(line for line in card.splitlines() if line.startswith(f"| {sharing.model_title(name)} |"))
        assert f"| 20 | {entry['accuracy']:.3f} | {low:.3f} to {high:.3f} |" in row


@pytest.mark.parametrize(("interval", "unclear"), [([0.1, 0.3], False), ([-0.3, -0.1], False), ([-0.1, 0.3], True)])
def test_difference_says_whether_it_may_be_luck(interval, unclear, results):
    results["pairs"] = [{"a": "fine_tuned", "b": "naive_bayes", "accuracy_difference": sum(interval) / 2,
                         "interval": interval, "mcnemar_p": 0.5}]
    assert ("includes 0" in model_card(results)) == unclear


def test_a_better_model_is_named(results):
    results["models"]["naive_bayes"]["accuracy"] = 0.9
    results["models"]["fine_tuned"]["accuracy"] = 0.2
    assert "Fine-tuned does not have the highest accuracy" in model_card(results)


def test_fine_tuned_alone(results):
    del results["models"]["naive_bayes"]
    results["pairs"] = []
    card = model_card(results)
    assert "Naive Bayes" not in card and ModelCard(card).data.eval_results


def test_without_validation_rows(results):
    results["data"] |= {"n_validation": 0}
    results["data"]["label_counts"]["validation"] = [0] * 5
    results["config"]["test_each_epoch"] = True
    card = model_card(results)
    assert "Validation reviews: none" in card and "for reading only" in card and "| validation |" not in card


def test_the_card_counts_each_side(results):
    lines = rows_lines(results)
    assert lines[0].startswith("Training reviews: the first 30 of the file `reviews.csv`")
    assert "default_rng(42)" in lines[0]
    assert lines[1:3] == ["Validation reviews: the next 10 of that order",
                          "Test reviews: the next 20 of the same order"]


def test_the_card_tells_the_share_within_one_star(results):
    results["models"]["fine_tuned"] |= ENTRY
    assert "On 20 test reviews, a share of 0.820 of them is right or one star off" in limits_part(results)


def test_the_card_tells_who_leads(results):
    told = difference_sentence(results | {"pairs": [PAIR]})
    assert told.endswith("on the same 20 test reviews: 0.200 (95% interval 0.100 to 0.300).")


def test_the_card_tells_seconds_to_fit_and_to_predict(results):
    results["models"]["fine_tuned"] |= {"fit_seconds": 12.0, "predict_seconds": 3.0}
    assert "12.0 to fit, 3.0 to predict the test reviews" in settings_part(results)


def test_the_cards_own_lines_load_the_model(finished):
    card = (finished[1] / "model" / "README.md").read_text(encoding="utf-8")
    lines = re.search(r"```python\n(.*?)```", card, re.S)[1]
    lines = lines.replace("OWNER/NAME", (finished[1] / "model").as_posix()).replace("\nstars(", "\nanswer = stars(")
    names = {}
    exec(lines, names)
    assert names["answer"][0]["label"] in STAR_NAMES
    answers = names["stars"]("long " * 900, truncation=True, max_length=64, top_k=None)
    assert {answer["label"] for answer in answers} == set(STAR_NAMES)


def test_no_review_and_no_path_of_the_machine(finished):
    card = (finished[1] / "model" / "README.md").read_text(encoding="utf-8")
    for text in example_reviews()["text"]:
        assert text not in card and text[:25] not in card
    for folder in (finished[1].parent, Path.cwd(), Path.home()):
        assert folder.as_posix() not in card and str(folder) not in card


def test_no_card_without_a_fine_tuned_model(results, tmp_path):
    del results["models"]["fine_tuned"]
    assert write_model_card(tmp_path, results) is None and list(tmp_path.iterdir()) == []
    with pytest.raises(InputError, match="fine-tuned model"):
        model_card(results)


# names from strangers

NAMES = [
    "a.csv\n---\nlicense: mit\n---\n# Best\n<script>alert(1)</script>", "x`y``z```.csv", "`", "```\n```sh",
    "<img src=//x.example/p.png>", "[click](https://x.example)", "![p](https://x.example/p.png)",
    "https://x.example/a.csv", "a | b | c.csv", "- item", "# Title", "    indented", "*bold* _under_ ~~no~~",
    "&lt;b&gt;", "a\\`b\\|c", "'\"", "license: mit", "{a: b}", "!!python/object:os.system", "\u202egnp.csv",
    "half\udcff.csv", "\x00\x1b[31m", "été 日本.csv", "x" * 255,
]


@pytest.mark.parametrize("name", NAMES)
def test_name_of_a_file_stays_text(name, results):
    clean = deepcopy(results)
    for found, word in ((results, name), (clean, "plain")):
        found["config"] |= {"data": word, "model": word}
        found["data"]["source"] = [word]
        found["command"] = f"yelp_tl compare --data {word}"
        found["environment"]["machine"] = word
    card, plain = model_card(results), model_card(clean)
    card.encode("utf-8")
    assert set(metadata(card)) == set(metadata(plain)), "no key more"
    assert str(ModelCard(card)) == card
    assert shape(ModelCard(card).text) == shape(ModelCard(plain).text), "the same headings, lists, links, tables"


def shape(markdown):
    "Which elements a text has in which order, without their words, as CommonMark and GitHub's tables have it."
    def kinds(tokens):
        return [(token.type, dict(token.attrs), kinds(token.children or [])) for token in tokens
                if token.type not in ("text", "softbreak")]

    return kinds(MarkdownIt("commonmark").enable(["table", "strikethrough"]).parse(markdown))


def test_code_span_holds_any_text():
    for name in NAMES:
        assert shape(f"a {code_span(name)} b") == shape("a `plain` b")


# what leaves the machine


def test_only_what_is_on_the_list_is_shared(run):
    for name in ("report.html", "notes.txt", "model/training_args.bin", "model/reviews.csv"):
        (run / name).write_text("a review")
    found = files_to_share(run)
    assert set(found) == {"README.md", "config.json", "model.safetensors", "tokenizer.json", "tokenizer_config.json",
                          "results.json"}
    texts = example_reviews()["text"][:]
    for path in found.values():
        content = path.read_bytes().decode("utf-8", "ignore")
        assert not [text for text in texts if text in content]


def test_card_of_an_earlier_release_is_written(run, results):
    (run / "model" / "README.md").unlink()
    assert files_to_share(run)["README.md"].read_text(encoding="utf-8") == model_card(results)


def test_words_that_somebody_added_are_kept(run):
    path = run / "model" / "README.md"
    added = path.read_text(encoding="utf-8") + "\n## Thanks\n\nTo the class of 2026.\n"
    path.write_text(added, encoding="utf-8")
    assert files_to_share(run)["README.md"].read_text(encoding="utf-8") == added


def broken(run, part):
    "Damage a run in one way."
    if part == "unfinished":
        (run / "results.json").unlink()
    elif part == "no network":
        shutil.rmtree(run / "model")
    elif part == "weights cut short":
        path = run / "model" / "model.safetensors"
        path.write_bytes(path.read_bytes()[:-100])
    elif part == "card without metadata":
        (run / "model" / "README.md").write_text("# My model\n")
    elif part == "card that can't be read":
        (run / "model" / "README.md").write_text("---\na: [b\n---\n")
    elif part == "baselines alone":
        results = json.loads((run / "results.json").read_text())
        del results["models"]["fine_tuned"]
        (run / "results.json").write_text(json.dumps(results))


@pytest.mark.parametrize(("part", "said"), [
    ("unfinished", "finished run"), ("no network", "no config.json"), ("weights cut short", "model"),
    ("card without metadata", "README.md"), ("card that can't be read", "README.md"),
    ("baselines alone", "fine-tuned model"),
])
def test_broken_run_is_refused_before_anybody_is_asked(part, said, run, monkeypatch):
    broken(run, part)
    monkeypatch.setattr(sharing, "find_token", lambda token: "hf_x")
    monkeypatch.setattr(sharing, "find_target", lambda *_: pytest.fail("asked the Hub"))
    with pytest.raises(InputError, match=re.escape(said)) as caught:
        push_run(run, "me/stars")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("name", ["", "two words", "a/b/c", "-stars", "stars.git", "a--b", "../x", "x" * 97, "é", "a/"])
def test_impossible_name_is_refused_first(name, tmp_path):
    with pytest.raises(InputError, match="repository's name"):
        push_run(tmp_path, name)


def test_hub_switched_off(finished):
    with pytest.raises(InputError, match="HF_HUB_OFFLINE is set"):
        push_run(finished[1], "me/stars")


def test_nobody_logged_in(monkeypatch):
    monkeypatch.setattr(sharing, "is_offline_mode", lambda: False)
    monkeypatch.setattr(sharing, "get_token", lambda: None)
    with pytest.raises(InputError, match="hf auth login.*HF_TOKEN"):
        find_token()
    assert find_token("hf_given") == "hf_given"


# the way to the Hub: the real library in a process of its own, and a Hub on this machine


@pytest.fixture(scope="module")
def server():
    with LocalHub() as hub:
        yield hub


@pytest.fixture
def hub(server):
    "The local Hub without repositories and faults."
    yield server
    server.clear()
    server.repos.clear()
    server.pushed.clear()
    server.requests.clear()
    server._uploads.clear()  # else large files that are known are not sent again


@pytest.fixture(scope="module")
def client(server, tmp_path_factory):
    with HubClient(server.endpoint, tmp_path_factory.mktemp("home"), HF_TOKEN="hf_good_writer") as process:
        yield process


@pytest.fixture
def push(client):
    "Push in the other process: its whole answer."
    def call(run, name, **options):
        settings = {"yelp_tl.sharing:UPLOAD_PATIENCE": 2.0} | options.pop("settings", {})
        return client.ask("yelp_tl.sharing:push_run", str(run), name, settings=settings, **options)

    return call


def refusal(answer):
    "The message of a refused push: one line, no token, no review."
    assert answer["error"] and answer["error"][0] == "InputError", answer
    message = answer["error"][1]
    assert "\n" not in message and "hf_good" not in message and "hf_other" not in message
    assert not [text for text in example_reviews()["text"] if text in message]
    return message


def commits(hub, name):
    "How many commits a repository has; None where there is no such repository."
    repo = hub.repos.get(("model", name))
    return repo and len(repo.commits)


def test_push_makes_a_private_repository_in_one_commit(hub, push, run):
    answer = push(run, "stars")
    assert answer["error"] is None and answer["result"] == f"{hub.endpoint}/student/stars"
    assert hub.repos["model", "student/stars"].private
    assert hub.pushed["student/stars"] == {name: path.read_bytes() for name, path in files_to_share(run).items()}
    assert commits(hub, "student/stars") == 2, "the Hub's own, and ours"
    assert [path for path in hub.paths("POST") if "/commit/" in path] == ["/api/models/student/stars/commit/main"]
    assert len(hub.paths("PUT")) == 1 and not [path for path in hub.paths() if "xet" in path]


def test_what_goes_where_is_told_before_it_goes(hub, push, run):
    hub.fault("status", "/api/validate-yaml", status=503)
    answer = push(run, "stars")
    told = answer["printed"]
    refusal(answer)
    assert not [path for path in hub.paths() if path not in ("/api/whoami-v2", "/api/models/student/stars",
                                                             "/api/validate-yaml")]
    assert told.index(f"uploading to {hub.endpoint}/student/stars (private, new)") < told.index("stays here:")
    assert all(f"  {name} " in told for name in files_to_share(run))
    kept = told.split("stays here:")[1]
    assert "predictions.parquet" in kept and "log.jsonl" in kept


def test_pushed_again_there_is_nothing_to_do(hub, push, run):
    push(run, "stars")
    again = push(run, "stars")
    assert again["error"] is None and "all there already" in again["printed"] and commits(hub, "student/stars") == 2


def test_another_run_replaces_the_first_and_its_leftovers(hub, push, run):
    earlier = {"README.md": "# Old\n", "model-00001-of-00002.safetensors": b"old", "photo.png": b"kept",
               "model_of_others/model.safetensors": b"kept"}
    hub.add("model", "school/stars", "a" * 40, earlier, private=True)
    answer = push(run, "school/stars")
    assert answer["error"] is None, answer
    files = hub.repos["model", "school/stars"].commits[hub.repos["model", "school/stars"].main]
    assert set(files) == {*files_to_share(run), "photo.png", "model_of_others/model.safetensors"}
    assert "model-00001-of-00002.safetensors is taken out" in re.sub(" +", " ", answer["printed"])


def test_public_only_if_it_is_said(hub, push, run):
    assert push(run, "seen", public=True)["error"] is None
    assert not hub.repos["model", "student/seen"].private
    push(run, "hidden")
    before = commits(hub, "student/seen"), commits(hub, "student/hidden")
    assert "is public. Add --public" in refusal(push(run, "seen"))
    assert "is private. Leave --public out" in refusal(push(run, "hidden", public=True))
    assert (commits(hub, "student/seen"), commits(hub, "student/hidden")) == before


def test_nobody_is_logged_in(hub, push, run):
    assert "hf auth login" in refusal(push(run, "stars", env={"HF_TOKEN": None})) and hub.requests == []


def test_switched_off(hub, push, run):
    off = {"huggingface_hub.constants:HF_HUB_OFFLINE": True}
    assert "HF_HUB_OFFLINE is set" in refusal(push(run, "stars", settings=off)) and hub.requests == []


def test_token_that_is_unknown_or_may_only_read(hub, push, run):
    assert "status 401" in refusal(push(run, "stars", token="hf_other"))
    assert "may only read" in refusal(push(run, "stars", token="hf_read_only"))
    assert hub.repos == {} and set(hub.paths()) == {"/api/whoami-v2"}


def test_repository_of_somebody_else(hub, push, run):
    for name in ("stranger/new", "stranger/there"):
        if name.endswith("there"):
            hub.add("model", name, "a" * 40, {"README.md": "# Mine\n"})
        message = refusal(push(run, name, public=True))
        assert "belongs to stranger" in message and "student" in message and "status 403" in message
    assert hub.pushed == {} and commits(hub, "stranger/new") is None and commits(hub, "stranger/there") == 1


STEPS = {  # what is asked -> method, and what of the repository is there if it fails
    "/api/whoami-v2": ("GET", None), "/api/models/student/stars": ("GET", None), "/api/validate-yaml": ("POST", None),
    "/api/repos/create": ("POST", None), "/preupload/": ("POST", 1), "/objects/batch": ("POST", 1),
    "/upload/": ("PUT", 1), "/lfs/verify": ("POST", 1), "/commit/": ("POST", 1),
}


UNREAD = {"/api/validate-yaml", "/upload/", "/lfs/verify"}  # the library looks at the status of these answers alone
FAULTS = [(step, "status") for step in STEPS]
FAULTS += [("/api/whoami-v2", "html"), ("/upload/", "reset"), ("/commit/", "html")]
MORE = [pytest.param(step, fault, marks=pytest.mark.slow) for step in STEPS for fault in ("reset", "html")
        if (step, fault) not in FAULTS and not (fault == "html" and step in UNREAD)]


@pytest.mark.parametrize(("step", "fault"), [*FAULTS, *MORE])
def test_fault_at_any_step_publishes_nothing(step, fault, hub, push, run):
    method, left = STEPS[step]
    hub.fault(fault, step, method=method, status=500)
    message = refusal(push(run, "stars"))
    assert hub.endpoint in message
    assert commits(hub, "student/stars") == left and hub.pushed == {}
    assert sum(step in path for asked, path in hub.requests if asked == method) == 1, "asked once"
    assert ("student/stars was made (private) and is empty" in message) == (left is not None)


def test_after_a_fault_the_same_command_does_it(hub, push, run):
    hub.fault("reset", "/commit/", times=1)
    refusal(push(run, "stars"))
    assert push(run, "stars")["error"] is None and commits(hub, "student/stars") == 2


@pytest.mark.parametrize("step", ["/api/whoami-v2", "/commit/"])
def test_silent_hub(step, hub, push, run):
    hub.fault("silent", step)
    answer = push(run, "stars", patience=0.5, settings={"yelp_tl.sharing:UPLOAD_PATIENCE": 0.5})
    assert "no answer within 0.5 seconds" in refusal(answer) and hub.pushed == {}


def test_lost_answer(hub, push, run):
    hub.fault("cut", "/commit/")
    assert "Unless only the Hub's answer was lost" in refusal(push(run, "stars"))
    hub.clear()
    again = push(run, "stars")
    assert again["error"] is None and "all there already" in again["printed"] and commits(hub, "student/stars") == 2


def test_somebody_was_faster(hub, push, run):
    push(run, "stars")
    before = dict(hub.pushed["student/stars"])
    (run / "model" / "README.md").write_text("---\nlicense: mit\n---\n# Changed\n", encoding="utf-8")
    hub.fault("status", "/commit/", status=412)
    message = refusal(push(run, "stars"))
    assert "status 412" in message and "student/stars is as it was" in message
    assert hub.pushed["student/stars"] == before


def test_card_that_the_hub_refuses(hub, push, run):
    path = run / "model" / "README.md"
    path.write_text(path.read_text(encoding="utf-8").replace("language: en", "language: en\nlicense: nonsense"),
                    encoding="utf-8")
    message = refusal(push(run, "stars"))
    assert "does not accept the card" in message and "license" in message and hub.repos == {}


def test_every_kind_of_card_is_valid(hub, client, results):
    yelp = of_source(deepcopy(results), "hub", HUB_REVIEWS.name, HUB_REVIEWS.commit)
    simulated = of_source(deepcopy(results), "sample", "simulated reviews", "yelp_tl 0.1.0")
    odd = of_source(deepcopy(results), NAMES[0], NAMES[0], "0" * 64)
    for found in (results, of_network(yelp, "minilm"), of_network(simulated, "distilbert"), odd):
        assert client.call("hub_client:check_model_card", model_card(found)) == "valid"
    assert hub.paths("POST") == ["/api/validate-yaml"] * 4
    with pytest.raises(RuntimeError, match="license"):
        client.call("hub_client:check_model_card", "---\nlicense: nonsense\n---\n")


def test_command(hub, client, run, results):
    done = client.ask("yelp_tl.cli:main", ["push", str(run), "school/stars", "--public", "--json"])
    assert done["result"] == 0
    assert json.loads(done["printed"].splitlines()[-1]) == {"url": f"{hub.endpoint}/school/stars", "public": True}
    refused = client.ask("yelp_tl.cli:main", ["push", str(run), "two words"])
    assert refused["result"] == 2 and re.fullmatch(r"yelp_tl: 'two words': expected .*\n", refused["printed"])
