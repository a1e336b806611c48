"""Files that are read and written piece by piece: the same rows, the same messages, and memory that does not grow."""
import contextlib
import csv
import gzip
import io
import json
import os
import random
import signal
import tracemalloc
from pathlib import Path
from unittest.mock import MagicMock, call

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from conftest import empty_report
from hypothesis import given, settings
from hypothesis import strategies as st

from yelp_tl import cli, comparison, data, finetuning, simulation
from yelp_tl.data import (
    InputError,
    in_parts,
    load_reviews,
    load_texts,
    rows_sha256,
    stream_reviews,
    stream_texts,
    write_tables,
)

HOUSE = Path(__file__).resolve().parent.parent
NAMES = ["a.csv", "a.tsv", "a.jsonl", "a.json", "a.parquet", "a.csv.gz", "a.jsonl.gz", "a.json.gz"]


@pytest.fixture(autouse=True)
def restored():
    "The command catches SIGTERM and silences libraries for its process; here it shares one with other tests."
    from transformers.utils import logging

    handler, verbosity = signal.getsignal(signal.SIGTERM), logging.get_verbosity()
    yield
    signal.signal(signal.SIGTERM, handler)
    logging.set_verbosity(verbosity)
    logging.enable_progress_bar()


@pytest.fixture
def small_pieces(monkeypatch):
    "Pieces of three rows, and buffers of a few bytes."
    for name, value in (("_PIECE_ROWS", 3), ("_PIECE_LETTERS", 200), ("_BLOCK", 7), ("_BUFFER", 2**10)):
        monkeypatch.setattr(data, name, value)


def write_rows(path, texts, labels, column="label"):
    """Write rows with the libraries that others use."""
    kind = path.name.removesuffix(".gz").rsplit(".", 1)[1]
    if kind == "parquet":
        pq.write_table(pa.table({"text": texts, column: labels}), path, compression="none", use_dictionary=False,
                       data_page_size=2**15, write_batch_size=50)
        return path
    if kind in ("csv", "tsv"):
        buffer = io.StringIO(newline="")
        writer = csv.writer(buffer, delimiter="," if kind == "csv" else "\t")
        writer.writerows([("text", column), *zip(texts, labels, strict=True)])
        content = buffer.getvalue()
    else:
        rows = [{"text": text, column: label} for text, label in zip(texts, labels, strict=True)]
        content = json.dumps(rows, indent=1) if kind == "json" else "".join(json.dumps(row) + "\n" for row in rows)
    path.write_bytes(gzip.compress(content.encode()) if path.name.endswith(".gz") else content.encode())
    return path


def some_rows(n, letters=40, seed=0):
    """Texts that differ and hardly shrink, and labels 0-4."""
    chance = random.Random(seed)
    texts = [f"{row} " + "".join(chance.choices("abcdefghij klmno\"',\\n{}[]é", k=letters)) for row in range(n)]
    return texts, [row % 5 for row in range(n)]


# the same rows


@pytest.mark.parametrize("name", NAMES)
def test_pieces_hold_the_rows_of_the_whole_file(name, tmp_path, small_pieces, capsys):
    texts, labels = some_rows(20)
    path = write_rows(tmp_path / name, texts, labels)
    whole, stream = load_reviews(path), stream_reviews(path)
    assert (whole["text"][:], whole["label"][:]) == (texts, labels)
    assert list(stream) == list(stream) == list(stream_texts(path)) == load_texts(path) == texts
    assert stream.labels.tolist() == labels and stream.n == 20
    assert len(list(stream.pieces())) > 5
    assert rows_sha256(stream) == rows_sha256(whole)
    assert capsys.readouterr() == ("", "")


@pytest.mark.parametrize("name", ["a.txt", "a.txt.gz"])
def test_lines_of_plain_text(name, tmp_path, small_pieces):
    texts = [f"line {number}" for number in range(20)]
    content = "\n\n".join(texts).encode()
    (tmp_path / name).write_bytes(gzip.compress(content) if name.endswith(".gz") else content)
    assert list(stream_texts(tmp_path / name)) == load_texts(tmp_path / name) == texts


def test_stars_are_known_at_the_end_alone(tmp_path, small_pieces, capsys):
    path = write_rows(tmp_path / "a.csv", [f"text {row}" for row in range(10)], [1] * 9 + [5])
    assert stream_reviews(path).labels.tolist() == [0] * 9 + [4]
    assert "stars 1-5 are read as labels 0-4" in capsys.readouterr().err
    path = write_rows(tmp_path / "b.csv", [f"text {row}" for row in range(10)], [5] + [1] * 8 + [0])
    with pytest.raises(InputError, match="b.csv, line 2: expected a label, a whole number from 0 to 4, found '5'"):
        stream_reviews(path)


def test_what_is_said_about_stars_is_one_line(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    name = "a\x1b[31m\nb.csv"
    try:
        write_rows(tmp_path / name, ["good", "bad"], [5, 1])
    except OSError:
        pytest.skip("this file system has no such names")
    load_reviews(name)
    assert capsys.readouterr().err == "a\\x1b[31m\\nb.csv: stars 1-5 are read as labels 0-4\n"


JSON_VALUES = st.recursive(st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
                           lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner), max_leaves=8)


def list_of(text, monkeypatch, block):
    "The items of a JSON list as the reader finds them, or the line that it names."
    monkeypatch.setattr(data, "_BLOCK", block)
    try:
        found = list(data._JsonList(io.StringIO(text), "a.json"))
    except InputError as error:
        return int(str(error).split("line ")[1].split(":")[0])
    return [item for _, item, _ in found]


@given(items=st.lists(JSON_VALUES), indent=st.sampled_from([None, 0, 1]), block=st.integers(1, 50),
       ascii_only=st.booleans(), cut=st.none() | st.integers(0, 200), junk=st.sampled_from(["", ",", "]", "\n1", '"']))
@settings(max_examples=100, deadline=None)
def test_a_json_list_is_read_as_json_reads_it(items, indent, block, ascii_only, cut, junk):
    text = json.dumps(items, indent=indent, ensure_ascii=ascii_only) + "\n"
    text = text if cut is None else text[: max(1, cut)] + junk
    try:
        expected = data._JSON.decode(text)
    except json.JSONDecodeError as error:
        expected = error.lineno
    with pytest.MonkeyPatch.context() as patch:
        found = list_of(text, patch, block)
    assert repr(found) == repr(expected)


# the same messages


@pytest.mark.parametrize("name", NAMES)
def test_a_bad_row_far_down_is_named(name, tmp_path, small_pieces):
    texts, labels = some_rows(30)
    texts[25] = "  "
    path = write_rows(tmp_path / name, texts, labels)
    place = {"parquet": "row 26", "json": "row 26", "jsonl": "line 26"}.get(name.removesuffix(".gz").split(".")[1],
                                                                            "line 27")
    for read in (load_reviews, load_texts, stream_reviews, stream_texts):
        with pytest.raises(InputError, match=f"{place}: expected a text, found an empty one"):
            read(path)
    texts[25], labels[25] = "fine", 9
    write_rows(path, texts, labels)
    for read in (load_reviews, stream_reviews):
        with pytest.raises(InputError, match=f"{place}: expected a label, a whole number from 0 to 4, found '?9"):
            read(path)


def test_bytes_that_are_not_utf8_far_down_in_parquet(tmp_path, small_pieces):
    texts = [b"fine"] * 30
    texts[25] = b"caf\xe9"
    pq.write_table(pa.table({"text": texts}), tmp_path / "a.parquet")
    with pytest.raises(InputError, match="row 26: expected UTF-8 text, found other bytes"):
        stream_texts(tmp_path / "a.parquet")


@pytest.mark.parametrize("change", ["longer", "other time", "gone"])
def test_a_file_that_changes_while_it_is_read(change, tmp_path, small_pieces):
    path = write_rows(tmp_path / "a.csv", *some_rows(9))
    stream = stream_texts(path)
    pieces = stream.pieces()
    assert len(next(pieces)) == 3
    if change == "longer":
        with open(path, "a", encoding="utf-8") as file:
            file.write("more,4\n")
    elif change == "other time":
        os.utime(path, ns=(0, 0))
    else:
        path.rename(tmp_path / "b.csv")
    with pytest.raises(InputError, match=r"a\.csv: expected the file as it was checked, found that it has changed"):
        list(pieces)


# memory


@given(sizes=st.lists(st.integers(0, 30), max_size=40), rows=st.integers(1, 6), letters=st.integers(1, 40))
def test_a_part_holds_no_more_than_was_asked_for(sizes, rows, letters):
    texts = ["x" * size for size in sizes]
    parts = list(in_parts(iter(texts), len, rows, letters))
    assert sum(parts, []) == texts
    assert all(0 < len(part) <= rows and (len(part) == 1 or sum(map(len, part)) <= letters) for part in parts)
    # and no less: the next text would not have fitted
    for part, after in zip(parts, parts[1:], strict=False):
        assert len(part) == rows or sum(map(len, part)) + len(after[0]) > letters


def use_predictor(monkeypatch, predict):
    monkeypatch.setattr(comparison, "open_predictors", lambda *_, **__: {"stub": predict})


def most_memory(path, monkeypatch, tmp_path, texts_of=lambda path: stream_texts(path)):
    """Predict a file in windows of ten rows: the largest window, and the most bytes of Python's and of Arrow's."""
    windows, arrow, start = [], [], pa.total_allocated_bytes()

    def predict(texts):
        windows.append(len(texts))
        arrow.append(pa.total_allocated_bytes() - start)
        return np.full((len(texts), 5), 0.2)

    use_predictor(monkeypatch, predict)
    monkeypatch.setitem(comparison.predict_in_parts.__kwdefaults__, "size", 10)
    tracemalloc.start()
    try:
        comparison.predict_to_file("run", texts_of(path), tmp_path / "out.csv", progress=False)
        return max(windows), sum(windows), tracemalloc.get_traced_memory()[1], max(arrow)
    finally:
        tracemalloc.stop()


TEN_TIMES = (150, 1500)


def grown(name, monkeypatch, tmp_path, **options):
    """How many bytes more ten times the rows take: Python's and Arrow's."""
    for setting, value in (("_PIECE_ROWS", 10), ("_BLOCK", 2**12), ("_BUFFER", 2**12)):
        monkeypatch.setattr(data, setting, value)
    monkeypatch.setattr(gzip, "READ_BUFFER_SIZE", 2**12, raising=False)  # since Python 3.12, and then 128 KiB
    found = []
    for n in TEN_TIMES:
        path = write_rows(tmp_path / f"{n}{name}", *some_rows(n, letters=600))
        found.append(most_memory(path, monkeypatch, tmp_path, **options))
    assert [(rows, total) for rows, total, *_ in found] == [(10, n) for n in TEN_TIMES]
    return found[1][2] - found[0][2], found[1][3] - found[0][3]


@pytest.mark.parametrize("name", ["a.csv", "a.jsonl", "a.json", "a.parquet", "a.csv.gz"])
def test_memory_does_not_grow_with_the_rows(name, monkeypatch, tmp_path):
    most_memory(write_rows(tmp_path / name, *some_rows(20)), monkeypatch, tmp_path)  # what is made once
    python, arrow = grown(name, monkeypatch, tmp_path)
    assert python < 100_000 and arrow < 100_000  # the texts of the added rows take 800,000


def test_the_test_of_memory_would_see_rows_that_are_kept(monkeypatch, tmp_path):
    python, _ = grown("a.csv", monkeypatch, tmp_path, texts_of=load_texts)
    assert python > 800_000


def test_scoring_keeps_answers_alone(monkeypatch, tmp_path):
    monkeypatch.setattr(data, "_PIECE_ROWS", 10)
    monkeypatch.setattr(comparison, "PART_ROWS", 10)
    windows, most = [], []
    use_predictor(monkeypatch, lambda texts: windows.append(len(texts)) or np.full((len(texts), 5), 0.2))
    for n in TEN_TIMES:
        path = write_rows(tmp_path / f"{n}.csv", *some_rows(n, letters=600))
        tracemalloc.start()
        stream = stream_reviews(path)
        found = comparison.predict_with_run("run", stream, total=stream.n, progress=False)["stub"]
        most.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
        assert found.shape == (n, 5)
    assert max(windows) == 10
    assert most[1] - most[0] < 400_000  # 40 bytes a row are kept, and doubled where they are joined


@contextlib.contextmanager
def noted(notes):
    notes.append("begin")
    try:
        yield lambda: notes.append("back")
    finally:
        notes.append("end")


def test_large_pieces_go_back_while_texts_are_predicted(monkeypatch):
    # without that, the gaps between freed pieces grew by 200 MB from 10,000 to 100,000 rows
    notes, texts = [], [f"text {number}" for number in range(25)]
    use_predictor(monkeypatch, lambda texts: notes.append(len(texts)) or np.full((len(texts), 5), 0.2))
    monkeypatch.setattr(comparison, "memory_returned", lambda: noted(notes))
    monkeypatch.setattr(comparison, "PART_ROWS", 10)
    comparison.predict_with_run("run", texts, progress=False)
    assert notes == ["begin", 10, "back", 10, "back", 5, "back", "end"]
    notes.clear()
    parts = comparison.predict_in_parts("run", texts, size=10, progress=False)
    next(parts)
    parts.close()
    assert notes == ["begin", 10, "end"]


def test_the_usual_memory_comes_back(monkeypatch):
    library = MagicMock()
    monkeypatch.setattr(finetuning, "_glibc", lambda: library)
    with contextlib.suppress(KeyboardInterrupt), finetuning.memory_returned() as give_back:
        library.mallopt.assert_called_once_with(finetuning._MMAP_THRESHOLD, 2**20)
        library.malloc_trim.assert_not_called()
        give_back()
        library.malloc_trim.assert_called_once_with(0)
        raise KeyboardInterrupt
    assert library.mallopt.call_args_list[1:] == [call(finetuning._MMAP_MAX, 65_536), call(
        finetuning._MMAP_THRESHOLD, 32 * 2**20), call(finetuning._TRIM_THRESHOLD, 64 * 2**20)]
    assert library.malloc_trim.call_count == 2
    monkeypatch.setattr(finetuning, "_glibc", lambda: None)
    with finetuning.memory_returned() as give_back:
        give_back()  # nothing to do, and no error


def test_the_committed_figures_say_the_same():
    found = json.loads((HOUSE / "results" / "engine_prediction.json").read_text(encoding="utf-8"))
    flat = [row for row in found["summary"] if row["network"] != "minilm"]
    assert {(row["command"], row["format"]) for row in flat} >= {("predict", "csv"), ("evaluate", "csv")}
    assert all(row["rows"] == [10_000, 100_000] for row in flat)
    # what is kept of the added rows, if any, is less than their texts alone
    assert max(row["grown_megabytes"] for row in flat) < found["bound_megabytes"] < found["data"]["added_megabytes"]


# writing


class Stop(Exception):
    pass


@pytest.mark.parametrize("ending", data._WRITERS)
@pytest.mark.parametrize("error", [KeyboardInterrupt, Stop, RuntimeError, OSError])
def test_a_file_appears_whole_or_not_at_all(ending, error, tmp_path):
    path, schema = tmp_path / f"out{ending}", pa.schema({"stars": pa.int64()})

    def tables():
        for stars in range(3):
            yield pa.table({"stars": [stars]}, schema=schema)
        raise error("in the middle")

    with pytest.raises(error, match="in the middle"):  # what goes wrong elsewhere is not blamed on the file
        write_tables(path, schema, tables())
    assert list(tmp_path.iterdir()) == []
    path.write_text("before", encoding="utf-8")
    with contextlib.suppress(error):
        write_tables(path, schema, tables())
    assert path.read_text(encoding="utf-8") == "before" and list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("ending", data._WRITERS)
def test_a_full_disk_is_one_line(ending, tmp_path, monkeypatch):
    def full(handle):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    table = pa.table({"stars": [1]})
    with pytest.raises(InputError, match=f"out{ending}: expected a file that can be written, found: No space left"):
        write_tables(tmp_path / f"out{ending}", table.schema, [table])
    assert list(tmp_path.iterdir()) == []


# the commands


@pytest.fixture(scope="module")
def run_folder(tmp_path_factory):
    "A finished run of Naive Bayes."
    folder = tmp_path_factory.mktemp("place") / "run"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(comparison, "write_report", empty_report)
        experiment = comparison.Experiment(n_train=60, n_validation=0, n_test=20, models=("naive_bayes",))
        comparison.compare(experiment, folder, progress=False)
    return folder


@pytest.fixture
def run(capsys):
    def call(*words):
        capsys.readouterr()
        return cli.main([str(word) for word in words]), *capsys.readouterr()

    return call


@pytest.mark.parametrize("ending", [".csv", ".jsonl", ".parquet"])
def test_predictions_in_a_file_are_those_on_the_screen(ending, run, run_folder, tmp_path, monkeypatch):
    monkeypatch.setitem(comparison.predict_in_parts.__kwdefaults__, "size", 4)
    path, out = write_rows(tmp_path / "a.csv", *some_rows(11)), tmp_path / f"out{ending}"
    said = [json.loads(line) for line in run("predict", run_folder, "First.", "--file", path, "--json")[1].splitlines()]
    code, told, error = run("predict", run_folder, "First.", "--file", path, "--out", out)
    assert (code, told, error) == (0, f"{out}: 12 predictions\n", "")
    if ending == ".parquet":
        rows = pq.read_table(out).to_pylist()
    elif ending == ".jsonl":
        rows = [json.loads(line) for line in out.read_text(encoding="utf-8").splitlines()]
    else:
        with out.open(encoding="utf-8", newline="") as file:
            rows = list(csv.DictReader(file))
    assert len(rows) == len(said) == 12
    for row, line in zip(rows, said, strict=True):
        assert (int(row["stars"]), row["model"]) == (line["stars"], "naive_bayes") and line["model"] == "naive_bayes"
        assert [float(row[f"probability_{star}"]) for star in range(1, 6)] == line["probabilities"]
    assert sorted(os.listdir(tmp_path)) == sorted([out.name, path.name])


def test_a_file_to_write_that_will_not_do_is_refused_first(run, run_folder, tmp_path):
    path = write_rows(tmp_path / "a.csv", *some_rows(5))
    before = path.read_bytes()
    (tmp_path / "taken.csv").write_text("mine", encoding="utf-8")
    for out, more, expected in (
        ("taken.csv", (), "expected a new file, found one that exists. Give another --out, or --force."),
        ("a.csv", ("--force",), "expected another file than the one that is read"),
        ("missing/b.csv", (), "expected a file in a folder that exists"), ("b.txt", (), "found .txt"),
        ("b", (), "found no ending"), (".", ("--force",), "found a folder"),
    ):
        code, said, error = run("predict", run_folder, "--file", path, "--out", tmp_path / out, *more)
        assert (code, said) == (2, "") and expected in error and error.count("\n") == 1, error
    assert sorted(os.listdir(tmp_path)) == ["a.csv", "taken.csv"] and path.read_bytes() == before
    assert run("predict", run_folder, "--file", path, "--out", tmp_path / "taken.csv", "--force")[0] == 0
    assert (tmp_path / "taken.csv").read_text(encoding="utf-8").count("\n") == 6


@pytest.mark.parametrize("words", [(), ("--json",), ("--out", "out.csv")])
def test_a_bad_row_at_the_end_stops_all_before_the_first_answer(words, run, run_folder, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    texts, labels = some_rows(3000)
    write_rows(tmp_path / "a.csv", [*texts, " "], [*labels, 0])
    code, out, error = run("predict", run_folder, "--file", "a.csv", *words)
    assert (code, out) == (2, "") and "a.csv, line 3002: expected a text, found an empty one" in error
    assert os.listdir() == ["a.csv"]


def interrupt_after(parts):
    "A predictor that is interrupted in the part after these."
    done = []

    def predict(texts):
        done.append(len(texts))
        if len(done) > parts:
            raise KeyboardInterrupt
        return np.full((len(texts), 5), 0.2)

    return predict


def test_an_interrupted_prediction_leaves_what_was_there(run, run_folder, tmp_path, monkeypatch):
    monkeypatch.setitem(comparison.predict_in_parts.__kwdefaults__, "size", 4)
    path = write_rows(tmp_path / "a.csv", *some_rows(11))
    (tmp_path / "out.csv").write_text("before", encoding="utf-8")
    use_predictor(monkeypatch, interrupt_after(2))
    code, out, error = run("predict", "run", "--file", path, "--out", tmp_path / "out.csv", "--force")
    assert (code, out) == (75, "") and "interrupted" in error
    assert sorted(os.listdir(tmp_path)) == ["a.csv", "out.csv"]
    assert (tmp_path / "out.csv").read_text(encoding="utf-8") == "before"
    use_predictor(monkeypatch, interrupt_after(2))
    code, out, error = run("predict", "run", "--file", path, "--json")
    assert code == 75 and len([json.loads(line) for line in out.splitlines()]) == 8  # whole lines, none lost


def test_an_interrupted_simulation_leaves_nothing(run, tmp_path, monkeypatch):
    plain, made = simulation.simulate_review, []

    def slow(split, row):
        made.append(row)
        if len(made) > 1500:
            raise KeyboardInterrupt
        return plain(split, row)

    monkeypatch.setattr(simulation, "simulate_review", slow)
    code, out, error = run("simulate", "--out", tmp_path / "a.csv", "--n", "3000")
    assert (code, out) == (75, "") and "interrupted; the same command starts anew" in error
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("ending", data._WRITERS)
@pytest.mark.parametrize("command", ["simulate", "predict"])
def test_a_name_that_is_not_utf8_can_be_written(command, ending, run, run_folder, tmp_path):
    name = tmp_path / f"a\udcff{ending}"
    try:
        name.touch()
        name.unlink()
    except (OSError, UnicodeEncodeError):
        pytest.skip("this file system has no such names")
    words = ("--n", "3") if command == "simulate" else (run_folder, "A text.", "Another one.")
    code, out, error = run(command, *words, "--out", name)
    assert code == 0 and out.startswith(str(tmp_path / "a\\udcff")) and out.count("\n") == 1, error
    assert os.listdir(tmp_path) == [name.name] and name.stat().st_size > 0
