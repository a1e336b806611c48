"""A process that calls the real client libraries of the Hub, and the class that talks to it.

They read HF_ENDPOINT and HF_HOME when they are imported, and take seconds for it: so one process serves many calls.
A command is one line of JSON, so is its answer:

    {"call": "module:function", "args": [...], "kwargs": {...}, "cache": FOLDER or null, "patience": seconds or null,
     "set": {"module:NAME": value}, "env": {"NAME": value or null}}
    {"result": ..., "error": [type, message] or null, "cause": the same of what it came from, "seconds": s,
     "printed": "..."}

A class on the way to the function is made without arguments: huggingface_hub:HfApi.whoami is HfApi().whoami.
"cache" is where files of the Hub go in this call, and below it what datasets makes of them; "patience" is
yelp_tl.hub's. "set" and "env" hold for this call alone. A result that JSON does not know comes back as its repr.
"""

import contextlib
import importlib
import io
import json
import os
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent


class HubClient:
    """The process, seen from a test: `with HubClient(hub.endpoint, folder) as client: client.call(...)`."""

    def __init__(self, endpoint: str, home: str | Path, limit: float = 120.0, **environment: str | None):
        """`environment` is added to the process's own; None takes a name out. It is ended after `limit` seconds."""
        dropped = ("HF_HUB_OFFLINE", "HF_TOKEN", "HF_HUB_CACHE", "HF_DATASETS_CACHE", "HF_DATASETS_OFFLINE",
                   "TRANSFORMERS_OFFLINE", "HF_HUB_DISABLE_XET", "HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY")
        kept = {name: value for name, value in os.environ.items() if name.upper() not in dropped}
        settings = {"HF_ENDPOINT": endpoint, "HF_HOME": str(home), "HF_HUB_DISABLE_TELEMETRY": "1",
                    "HF_HUB_DISABLE_PROGRESS_BARS": "1", "TOKENIZERS_PARALLELISM": "false", "PYTHONUTF8": "1",
                    "PYTHONPATH": os.pathsep.join([str(HERE.parent), os.environ.get("PYTHONPATH", "")]), **environment}
        self.environment = {name: value for name, value in (kept | settings).items() if value is not None}
        self.limit = limit
        self.process: subprocess.Popen | None = None

    def __enter__(self) -> "HubClient":
        self.process = subprocess.Popen([sys.executable, str(Path(__file__).resolve())], env=self.environment,
                                        stdin=subprocess.PIPE, stdout=subprocess.PIPE, encoding="utf-8")
        return self

    def __exit__(self, *_) -> None:
        with contextlib.suppress(OSError):
            self.process.stdin.close()
        try:
            self.process.wait(10)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        self.process.stdout.close()

    def ask(self, call: str, *args: Any, cache: str | Path | None = None, patience: float | None = None,
            settings: dict[str, Any] | None = None, env: dict[str, str | None] | None = None, **kwargs: Any) -> dict:
        """Call a function there, and give the whole answer; `settings` is the command's "set"."""
        command = {"call": call, "args": args, "kwargs": kwargs, "cache": cache and str(cache), "patience": patience,
                   "set": settings or {}, "env": env or {}}
        watch = threading.Timer(self.limit, self.process.kill)
        watch.start()
        try:
            self.process.stdin.write(json.dumps(command, default=str) + "\n")
            self.process.stdin.flush()
            line = self.process.stdout.readline()
        finally:
            watch.cancel()
        if not line:
            raise RuntimeError(f"the client ended without an answer to {call}, or took over {self.limit:g} seconds")
        return json.loads(line)

    def call(self, call: str, *args: Any, **options: Any) -> Any:
        """Call a function there, and give its result; its error becomes a RuntimeError."""
        answer = self.ask(call, *args, **options)
        if answer["error"]:
            raise RuntimeError(": ".join(answer["error"]))
        return answer["result"]


# functions to call that give more than a repr


def dataset_rows(*args: Any, **kwargs: Any) -> dict:
    """Rows and features of each split that load_dataset gives."""
    from datasets import load_dataset

    loaded = load_dataset(*args, **kwargs)
    return {name: {"columns": split.column_names, "features": {key: repr(one) for key, one in split.features.items()},
                   "rows": split.to_dict()} for name, split in loaded.items()}


def model_facts(name: str, revision: str, text: str) -> dict:
    """What a model and its tokenizer, both fetched, make of a text."""
    import torch
    from transformers import AutoModel, AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(name, revision=revision)
    model = AutoModel.from_pretrained(name, revision=revision, dtype="float32")
    batch = tokenizer(text, return_tensors="pt")
    with torch.inference_mode():
        states = model(**batch).last_hidden_state
    total = float(states.abs().double().sum())
    return {"class": type(model).__name__, "ids": batch["input_ids"][0].tolist(), "sum": total}


def tree_paths(*args: Any, endpoint: str | None = None, **kwargs: Any) -> list[str]:
    """Paths that list_repo_tree gives."""
    from huggingface_hub import HfApi

    return [one.path for one in HfApi(endpoint).list_repo_tree(*args, **kwargs)]


def check_model_card(text: str) -> str:
    """Let the Hub check a card."""
    from huggingface_hub import ModelCard

    ModelCard(text).validate()
    return "valid"


def ping() -> str:
    return "pong"


# the process


def found(place: str) -> tuple[Any, str]:
    """Object and name of its attribute that module:NAME means."""
    module, _, path = place.partition(":")
    *way, name = path.split(".")
    at = importlib.import_module(module)
    for step in way:
        at = getattr(at, step)
        at = at() if isinstance(at, type) else at
    return at, name


@contextlib.contextmanager
def changed(settings: dict[str, Any], env: dict[str, str | None]):
    """Settings and environment for one call."""
    places = [(*found(place), value) for place, value in settings.items()]
    before = [(at, name, getattr(at, name)) for at, name, _ in places]
    outside = {name: os.environ.get(name) for name in env}

    def put(names: dict[str, str | None]) -> None:
        for name, value in names.items():
            os.environ.pop(name, None)
            if value is not None:
                os.environ[name] = value

    try:
        put(env)
        for at, name, value in places:
            setattr(at, name, value)
        yield
    finally:
        for at, name, value in before:
            setattr(at, name, value)
        put(outside)


def settings_of(command: dict) -> dict[str, Any]:
    settings = dict(command.get("set") or {})
    if command.get("cache"):
        settings |= {"huggingface_hub.constants:HF_HUB_CACHE": command["cache"],
                     "datasets.config:HF_DATASETS_CACHE": Path(command["cache"]) / "made_by_datasets"}
    if command.get("patience") is not None:
        with contextlib.suppress(ModuleNotFoundError):
            importlib.import_module("yelp_tl.hub")
            settings["yelp_tl.hub:PATIENCE"] = command["patience"]
    return settings


def plain(value: Any) -> Any:
    """A value that JSON knows."""
    if isinstance(value, Path):
        return str(value)
    try:
        json.dumps(value)
        return value
    except (TypeError, ValueError):
        return repr(value)


def answer(command: dict) -> dict:
    printed, result, error, cause = io.StringIO(), None, None, None
    with contextlib.redirect_stdout(printed), contextlib.redirect_stderr(printed):
        start = time.monotonic()
        try:
            at, name = found(command["call"])
            with changed(settings_of(command), command.get("env") or {}):
                start = time.monotonic()  # what is imported does not count
                result = getattr(at, name)(*command.get("args") or [], **command.get("kwargs") or {})
                result = plain(result)
        except BaseException as problem:  # whatever it is, the test sees it
            result, error = None, [type(problem).__name__, str(problem)]
            cause = problem.__cause__ and [type(problem.__cause__).__name__, str(problem.__cause__)]
        seconds = time.monotonic() - start
    return {"result": result, "error": error, "cause": cause, "seconds": seconds, "printed": printed.getvalue()}


def main() -> None:
    out = sys.stdout
    for line in sys.stdin:
        out.write(json.dumps(answer(json.loads(line))) + "\n")
        out.flush()
    os._exit(0)  # at once: nothing here needs an orderly end


if __name__ == "__main__":
    main()
