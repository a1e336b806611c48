"""Files that are damaged, misnamed, odd or hostile: each is read as it is, or refused with one line that says why."""
import gzip
import io
import json
import os
import signal
import socket
import sys
import tracemalloc

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from yelp_tl import cli
from yelp_tl.data import InputError, load_reviews, load_texts, printable

GOOD = "label,text\n4,good\n0,bad\n"
LINES = '{"label":4,"text":"good"}\n{"label":0,"text":"bad"}\n'
PAIRS = [("good", 4), ("bad", 0)]
SECRET = "our private anniversary dinner"  # a text that no message may show
LONG = "word " * 2_000_000 + "end"  # 10 MB
posix = pytest.mark.skipif(sys.platform == "win32", reason="Windows has no such files")


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
def folder(tmp_path, monkeypatch):
    "The working folder, with one good file beside."
    monkeypatch.chdir(tmp_path)
    (tmp_path / "good.csv").write_text(GOOD, encoding="utf-8")
    return tmp_path


def make(name, content):
    data = content() if callable(content) else content
    with open(name, "wb") as file:
        file.write(data.encode("utf-8") if isinstance(data, str) else data)


def parquet(*columns, names=("text", "label"), **options):
    buffer = io.BytesIO()
    pq.write_table(pa.table(list(columns), names=list(names)), buffer, **options)
    return buffer.getvalue()


def refused(name, *expected, capsys):
    """The one line with which a file is refused, the same from Python and from the command, with nothing written."""
    before = sorted(os.listdir())
    with pytest.raises(InputError) as caught:
        load_reviews(name)
    message = str(caught.value)
    capsys.readouterr()
    assert cli.main(["baseline", f"--data={name}", "--n-train", "2", "--n-validation", "0", "--n-test", "1"]) == 2
    out, error = capsys.readouterr()
    assert (out, error) == ("", f"yelp_tl: {message}\n")
    assert message.isprintable() and SECRET not in message and len(message) < 1000
    assert sorted(os.listdir()) == before
    for part in expected:
        assert part in message
    return message


# what is refused

UTF_16 = "expected UTF-8 text, found UTF-16 or UTF-32 text. Save it as UTF-8."
KIND = "expected UTF-8 text, found"
CUT = "expected a Parquet file, found something else or only a part of one. Copy the file again."
NO_PARQUET = "expected a Parquet file, found"
OBJECT = "expected a JSON object with text and label, found"
ONE_OBJECT = "expected one JSON object a line, or one list of objects, found something else"
ONE_LIST = "expected one list of JSON objects, found something else"
LABEL = "expected a label, a whole number from 0 to 4, found"
STARS = "expected stars, a whole number from 1 to 5, found"
ALONE = "Write a number alone: 1-5 in a column stars, or 0-4 in a column label."
NO_TEXT = "expected a text, found an empty one. Fill it in or take the row out."
TEXTS = "expected texts in the column text, found"
NUL = "a NUL character. Copy the file again, save it as UTF-8, or take the row out."


def dictionary(*values):
    return pa.array(values).dictionary_encode()


BAD_DELIMITED = {  # name of the case: file, content, what the message says
    "text column twice": ("a.csv", f"text,label,text\n{SECRET},4,b\n", "expected one column text, found 2. Keep one."),
    "label column twice": ("a.csv", "label,text,label\n4,a,0\n", "expected one column label, found 2. Keep one."),
    "stars column twice": ("a.tsv", "stars\tstars\ttext\n1\t5\ta\n", "expected one column stars, found 2. Keep one."),
    "semicolons": ("a.csv", "label;text\n4;good, really\n",
                   "line 1: expected commas between the columns, found semicolons. Save it with commas."),
    "semicolons and quotes": ("a.csv", '"label";"text"\n"4";"good, really"\n', "found semicolons"),
    "semicolons without a header": ("a.csv", f'5;"{SECRET}"\n1;"bad"\n', "found semicolons"),
    "tabs in csv": ("a.csv", "label\ttext\n4\tgood\n", "found tabs. End its name in .tsv."),
    "commas in tsv": ("a.tsv", GOOD, "expected tabs between the columns, found commas. End its name in .csv."),
    "vertical bars": ("a.csv", "label|text\n4|good\n", "found vertical bars. Save it with commas."),
    "NUL in a text": ("a.csv", f"label,text\n4,a\n0,{SECRET}\0\n", f"line 3: expected a text, found {NUL}"),
    "NUL alone": ("a.csv", "label,text\n4,a\n0,\0\n", f"line 3: expected a text, found {NUL}"),
    "NULs at the end": ("a.csv", GOOD + "\0" * 4096, f"line 4: expected 2 columns, found 1, and {NUL}"),
    "NULs alone": ("a.csv", "\0" * 4096, f"{KIND} NUL bytes. Copy the file again."),
    "lone returns, Latin-1": ("a.csv", "label,text\r4,a\r0,café\r".encode("latin-1"), f"line 3: {KIND} other bytes"),
    "stars in words": ("a.csv", "label,text\n5 stars,good\n", f"line 2: {LABEL} '5 stars'. {ALONE}"),
    "stars in signs": ("a.csv", "stars,text\n★★★★★,good\n", f"line 2: {STARS} a text. {ALONE}"),
    "number with a line below": ("a.csv", "label,text\n0_4,good\n", f"line 2: {LABEL} a text. {ALONE}"),
    "white space": ("a.csv", 'label,text\n4,a\n0," \t\u00a0\u3000\r\n"\n', f"line 3: {NO_TEXT}"),
    "surrogate bytes": ("a.csv", b"label,text\n4,a\n0,b\xed\xa0\x80\n", f"line 3: {KIND} other bytes"),
    "control characters in a column's name": ("a.csv", '"la\nbel\x1b[31m",text\n4,a\n', r"'la\nbel\x1b[31m', 'text'."),
}
BAD_JSON = {
    "key twice": ("a.jsonl", f'{LINES}{{"label":4,"text":"a","text":"{SECRET}"}}\n',
                  f"line 3: {OBJECT} an object with a name twice"),
    "key twice in a list": ("a.json", '[{"label":4,"text":"a"},{"label":4,"text":"b","label":0}]',
                            f"row 2: {OBJECT} an object with a name twice"),
    "NUL in a text": ("a.jsonl", '{"label":4,"text":"a\\u0000"}\n', f"line 1: expected a text, found {NUL}"),
    "signs without width": ("a.jsonl", '{"label":4,"text":"\\u200b\\ufeff\\u2060"}\n', f"line 1: {NO_TEXT}"),
    "low surrogate": ("a.json", '[{"label":4,"text":"a"},\n{"label":0,"text":"\\udc00 a"}]',
                      rf"row 2: {KIND} half a character (\ud800 to \udfff). Take it out."),
    "list among lines": ("a.json", LINES + '[{"label":4,"text":"a"}]\n', f"line 3: {OBJECT} a list."),
    "null among lines": ("a.jsonl", LINES + "null\n", f"line 3: {OBJECT} nothing."),
    "lines after a list": ("a.json", f'[{{"label":4,"text":"{SECRET}"}}]\n{LINES}', f"line 2: {ONE_LIST}"),
    "a list a line": ("a.jsonl", '["a",4]\n["b",0]\n', f"line 2: {ONE_LIST}"),
    "object over many lines": ("a.json", json.dumps({"label": 4, "text": SECRET}, indent=1), f"line 1: {ONE_OBJECT}"),
    "columns of values": ("a.json", json.dumps({"text": [SECRET], "label": [4]}), "expected a text, found a list."),
    "rows inside an object": ("a.json", json.dumps({"data": [{"text": "a", "label": 4}]}), "found 'data'."),
    "nested text": ("a.jsonl", '{"label":4,"text":{"a":"b"}}\n', "line 1: expected a text, found an object."),
    "nested list": ("a.jsonl", f'{LINES}{{"label":4,"text":["b"]}}\n', "line 3: expected a text, found a list."),
    "nested label": ("a.jsonl", '{"label":{"a":4},"text":"a"}\n', f"line 1: {LABEL} an object."),
    "text that is NaN": ("a.jsonl", '{"label":4,"text":NaN}\n', "line 1: expected a text, found nan."),
    "label that is NaN": ("a.jsonl", LINES + '{"label":NaN,"text":"a"}\n', f"line 3: {LABEL} nan."),
    "label that is infinite": ("a.json", '[{"label":-Infinity,"text":"a"}]', f"row 1: {LABEL} -inf."),
    "label of 5,000 digits": ("a.jsonl", '{"label":' + "1" * 5000 + ',"text":"a"}\n', f"line 1: {ONE_OBJECT}"),
}
BAD_PARQUET = {
    "column twice": (lambda: parquet(["a"], [4], ["b"], names=("text", "label", "text")),
                     "expected one column text, found 2. Keep one."),
    "NUL in a text": (lambda: parquet(["a", "b\0"], [4, 0]), f"row 2: expected a text, found {NUL}"),
    "stars in words": (lambda: parquet(["a", "b"], dictionary("4 stars", "1 star")), f"{LABEL} '4 stars'. {ALONE}"),
    "surrogate bytes": (lambda: parquet([b"a", b"\xed\xa0\x80"], [4, 0]), f"row 2: {KIND} other bytes"),
    "null in a dictionary": (lambda: parquet(dictionary("a", None), [4, 0]), "row 2: expected a text, found none."),
    "dictionary of numbers": (lambda: parquet(dictionary(1, 2), [4, 0]), f"{TEXTS} int64. Name another column text."),
    "null labels": (lambda: parquet(["a"], pa.nulls(1)), f"row 1: {LABEL} nothing."),
    "null texts": (lambda: parquet(pa.nulls(1), [4]), "row 1: expected a text, found none."),
    "list texts": (lambda: parquet([["a"], ["b"]], [4, 0]), f"{TEXTS} list<"),
    "struct texts": (lambda: parquet([{"a": "b"}], [4]), f"{TEXTS} struct<"),
    "list labels": (lambda: parquet(["a", "b"], [[4], [0]]), f"row 1: {LABEL} a list."),
    "bytes as labels": (lambda: parquet(["a", "b"], [b"good", b"bad"]), f"row 1: {LABEL} a value of type bytes."),
    "dates as labels": (lambda: parquet(["a"], pa.array([1], pa.timestamp("s"))), f"row 1: {LABEL} a value of type "),
    "no columns": (lambda: parquet(names=()), "found none. Rename the columns of your file."),
    "no end": (lambda: parquet(["a"] * 9, [4] * 9)[:-20], CUT),
    "no start": (lambda: parquet(["a"] * 9, [4] * 9)[20:], CUT),
    "zeros inside": (lambda: b"PAR1" + bytes(60) + parquet(["a", "b"], [4, 0], compression="none")[64:], CUT),
    "gzip": (lambda: gzip.compress(parquet(["a"], [4])),
             f"{NO_PARQUET} a gzip file. Unpack it, or end its name in .gz."),
    "web page": (lambda: "<html></html>", f"{NO_PARQUET} a web page. Fetch the file itself."),
    "pointer": (lambda: "version https://git-lfs.github.com/spec/v1\noid sha256:0\n",
                f"{NO_PARQUET} a pointer of Git LFS. Fetch the file itself with git lfs pull."),
}
WRONG_KINDS = {
    "UTF-16": ("a.csv", GOOD.encode("utf-16"), UTF_16),
    "UTF-16, other order": ("a.csv", b"\xfe\xff" + GOOD.encode("utf-16-be"), UTF_16),
    "UTF-16 without a mark": ("a.csv", GOOD.encode("utf-16-le"), UTF_16),
    "UTF-16 without a mark, other order": ("a.tsv", GOOD.replace(",", "\t").encode("utf-16-be"), UTF_16),
    "UTF-16, json": ("a.json", LINES.encode("utf-16"), UTF_16),
    "UTF-16, packed": ("a.csv.gz", gzip.compress(GOOD.encode("utf-16")), UTF_16),
    "UTF-32": ("a.jsonl", LINES.encode("utf-32"), UTF_16),
    "gzip": ("a.csv", gzip.compress(GOOD.encode()), f"{KIND} a gzip file. Unpack it, or end its name in .gz."),
    "gzip in gzip": ("a.csv.gz", gzip.compress(gzip.compress(GOOD.encode())), f"{KIND} a gzip file. Unpack it"),
    "gzip with more behind": ("a.csv.gz", gzip.compress(GOOD.encode()) + b"more", "expected a gzip file, found "),
    "workbook": ("a.csv", b"PK\x03\x04\x14\0\6\0",
                 f"{KIND} a zip archive or a workbook. Unpack the archive, or save the sheet as CSV in UTF-8."),
    "zstd": ("a.jsonl", b"\x28\xb5\x2f\xfd\x24\x1a", f"{KIND} a packed file. Unpack it."),
    "xz": ("a.csv", b"\xfd7zXZ\0\0\4", f"{KIND} a packed file. Unpack it."),
    "bzip2": ("a.csv", b"BZh91AY&SY", f"{KIND} a packed file. Unpack it."),
    "parquet": ("a.csv", parquet(["a"], [4]), f"{KIND} a Parquet file. End its name in .parquet."),
    "web page": ("a.csv", "\n<!DOCTYPE html>\n<html><title>404, not found</title></html>", f"{KIND} a web page."),
}
BAD_FILES = BAD_DELIMITED | {f"{case}, json": row for case, row in BAD_JSON.items()}
BAD_FILES |= {f"{case}, parquet": ("a.parquet", *row) for case, row in BAD_PARQUET.items()}
BAD_FILES |= {f"{case}, misnamed": row for case, row in WRONG_KINDS.items()}


@pytest.mark.parametrize("case", BAD_FILES)
def test_a_bad_file_is_one_line(case, folder, capsys):
    name, content, expected = BAD_FILES[case]
    make(name, content)
    assert refused(name, expected, capsys=capsys).startswith(name)


# what is read as it is

GOOD_FILES = {
    "mark in front": ("a.csv", "\ufeff" + GOOD, PAIRS),
    "mark in front, jsonl": ("a.jsonl", "\ufeff" + LINES, PAIRS),
    "newlines in a text": ("a.csv", 'label,text\n4,"a\r\nb\n\nc"\n0,"d\re"\n', [("a\r\nb\n\nc", 4), ("d\re", 0)]),
    "lone returns": ("a.csv", GOOD.replace("\n", "\r"), PAIRS),
    "lone returns, tsv": ("a.tsv", 'label\ttext\r4\t"a\rb"\r0\tbad\r', [("a\rb", 4), ("bad", 0)]),
    "lone returns, jsonl": ("a.jsonl", LINES.replace("\n", "\r"), PAIRS),
    "lone returns, json": ("a.json", '[{"label":4,"text":"good"},\r{"label":0,"text":"bad"}]\r', PAIRS),
    "all kinds of line ends": ("a.csv", "label,text\r\n4,good\r0,bad\n", PAIRS),
    "HTML": ("a.csv", 'label,text\n4,"<script>alert(1)</script>"\n0,&lt;b&gt;\n',
             [("<script>alert(1)</script>", 4), ("&lt;b&gt;", 0)]),
    "formulas": ("a.csv", "label,text\n4,=cmd|'/C calc'!A0\n0,@SUM(1)\n1,+1\n2,-1\n3,\"\t=1\"\n",
                 [("=cmd|'/C calc'!A0", 4), ("@SUM(1)", 0), ("+1", 1), ("-1", 2), ("\t=1", 3)]),
    "semicolons in texts": ("a.csv", "5,a; text; b\n1,bad; text\n", [("a; text; b", 4), ("bad; text", 0)]),
    "list": ("a.jsonl", f"[{LINES.strip().replace(chr(10), ',')}]", PAIRS),
    "lines": ("a.json", LINES, PAIRS),
    "pair of surrogates": ("a.jsonl", '{"label":4,"text":"\\ud83d\\ude00"}\n{"label":0,"text":"bad"}\n',
                           [("😀", 4), ("bad", 0)]),
    "other columns twice": ("a.csv", "label,x,text,x\n4,a,good,b\n0,c,bad,d\n", PAIRS),
    "label and stars": ("a.csv", "stars,label,text\n5,4,good\n1,0,bad\n", PAIRS),
    "dictionaries": ("a.parquet", lambda: parquet(pa.array(["good", "bad"]).dictionary_encode(),
                                                  pa.array(["4", "0"]).dictionary_encode()), PAIRS),
    "null column beside": ("a.parquet", lambda: parquet(["good", "bad"], [4, 0], pa.nulls(2), [[1], [2]],
                                                        names=("text", "label", "x", "y")), PAIRS),
    "gzip in two parts": ("a.csv.gz", gzip.compress(GOOD[:15].encode()) + gzip.compress(GOOD[15:].encode()), PAIRS),
    "10 MB, csv": ("a.csv", lambda: f"label,text\n4,{LONG}\n0,bad\n", [(LONG, 4), ("bad", 0)]),
    "10 MB, jsonl": ("a.jsonl", lambda: json.dumps({"label": 4, "text": LONG}) + '\n{"label":0,"text":"bad"}\n',
                     [(LONG, 4), ("bad", 0)]),
    "10 MB, parquet": ("a.parquet", lambda: parquet([LONG, "bad"], [4, 0], compression="none", use_dictionary=False),
                       [(LONG, 4), ("bad", 0)]),
}


@pytest.mark.parametrize("case", GOOD_FILES)
def test_an_odd_file_is_read_as_it_is(case, folder):
    name, content, expected = GOOD_FILES[case]
    make(name, content)
    reviews = load_reviews(name)
    assert list(zip(reviews["text"][:], reviews["label"][:], strict=True)) == expected


# files that are no files, and odd names


def link(target):
    return lambda path: os.symlink(target, path)


def listen(path):
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(path)


NO_FILES = {
    "pipe": ("a.csv", lambda path: os.mkfifo(path), "found a pipe or a device. Write its content to a file."),
    "pipe, parquet": ("a.parquet", lambda path: os.mkfifo(path), "found a pipe or a device"),
    "pipe, packed": ("a.csv.gz", lambda path: os.mkfifo(path), "found a pipe or a device"),
    "socket": ("a.csv", listen, "found a pipe or a device"),
    "device without end": ("a.csv", link("/dev/zero"), "found a pipe or a device"),
    "circle of links": ("a.csv", link("a.csv"), "found a link that leads to no file. Check the path."),
    "link to nothing": ("a.csv", link("nowhere.csv"), "found a link that leads to no file. Check the path."),
    "link to a folder": ("a.csv", link("."), "found a folder. Name one file in it"),
}


@posix
@pytest.mark.parametrize("case", NO_FILES)
def test_what_is_no_file_is_refused_before_it_is_opened(case, folder, capsys):
    name, build, expected = NO_FILES[case]
    build(name)
    refused(name, f"{name}: expected a file", expected, capsys=capsys)
    with pytest.raises(InputError, match=expected.split(".")[0]):
        load_texts(name)


@posix
def test_a_pipe_of_texts_is_refused_before_it_is_opened(folder):
    os.mkfifo("a.txt")
    with pytest.raises(InputError, match="a.txt: expected a file .* found a pipe or a device"):
        load_texts("a.txt")


@posix
def test_a_link_to_a_file_is_followed(folder):
    os.symlink("good.csv", "a.csv")
    assert load_reviews("a.csv")["text"][:] == ["good", "bad"]


@pytest.mark.parametrize("name", [
    "", "  ", ".", "..", "a\0.csv", "x" * 300 + ".csv", "good.csv/a.csv", "https://example.com/a.csv", "~/a.csv",
    "a\nb.csv", "\x1b[31ma.csv", "\u202ea.csv", "\ud800.csv",
])
def test_an_odd_path_is_one_line(name, folder, capsys):
    message = refused(name, capsys=capsys)
    assert ("expected a file" in message and printable(name) in message) or "the name of a file" in message
    with pytest.raises(InputError, match="xpected .* found"):
        load_texts(name)


NAMES = ["a b.csv", " a.csv", "-a.csv", "..csv", "a.b.csv", "A.CSV", "ünïcödé ☕.csv", "$(a)%s{0}'.csv", "[a].csv"]
NOT_ON_WINDOWS = ["a\nb.csv", "\x1b[31ma.csv", 'a".csv', "*.csv", "a?b.csv", "a\\b.csv", "\udcff.csv"]


@pytest.mark.parametrize("name", [*NAMES, *(pytest.param(name, marks=posix) for name in NOT_ON_WINDOWS)], ids=ascii)
def test_an_odd_name_is_a_name(name, folder, capsys):
    try:
        make(name, GOOD)
    except OSError:
        pytest.skip("this file system has no such names")
    assert load_reviews(name)["text"][:] == load_texts(name) == ["good", "bad"]
    make(name, "label,text\n9,a\n")
    refused(name, f"{printable(name)}, line 2: expected a label", capsys=capsys)


def test_a_message_is_one_line_that_a_terminal_only_shows():
    assert str(InputError("a\r\n\x1b[2J\x07\u2028\u202e\ud800 é 😀")) == r"a\r\n\x1b[2J\x07\u2028\u202e\ud800 é 😀"


# bombs


def zeros(path):
    with gzip.open(path, "wb") as file:
        for _ in range(66):
            file.write(bytes(2**20))


def same_lines(path):
    with gzip.open(path, "wb") as file:
        for _ in range(66):
            file.write(LINES.encode() * 20_000)


def same_rows(path):
    "Six million rows in less than a hundred kilobytes."
    rows = np.zeros(6_000_000, np.int8)
    text = pa.DictionaryArray.from_arrays(rows, ["good food"])
    pq.write_table(pa.table({"text": text, "label": rows}), path)


def same_long_text(path, **options):
    "A thousand million letters in a few kilobytes."
    text = pa.DictionaryArray.from_arrays(pa.array([0] * 10_000, pa.int32()), ["x" * 100_000])
    pq.write_table(pa.table({"text": text, "label": pa.array([4, 0] * 5000, pa.int8())}), path, **options)


BOMBS = {
    "zeros": ("a.csv.gz", zeros),
    "the same lines": ("a.jsonl.gz", same_lines),
    "the same rows": ("a.parquet", same_rows),
    "the same long text": ("a.parquet", same_long_text),
    "the same long text, plain type": ("a.parquet", lambda path: same_long_text(path, store_schema=False)),
}


@pytest.mark.parametrize("case", BOMBS)
def test_a_bomb_is_refused(case, folder, capsys):
    name, build = BOMBS[case]
    build(name)
    before = pa.default_memory_pool().max_memory()
    refused(name, "expected a packed file of at most 100 times its size, found more than 64 MiB inside.",
            "If you trust it, unpack it and give the plain file.", capsys=capsys)
    assert pa.default_memory_pool().max_memory() - before < 2**28  # the long text alone would take four times that


def test_a_bomb_of_zeros_is_unpacked_in_small_pieces(folder):
    zeros("a.csv.gz")
    tracemalloc.start()
    try:
        with pytest.raises(InputError, match="found more than 64 MiB inside"):
            load_texts("a.csv.gz")
        assert tracemalloc.get_traced_memory()[1] < 2**24
    finally:
        tracemalloc.stop()


def test_a_small_file_may_shrink_as_much_as_it_likes(folder):
    make("a.csv.gz", lambda: gzip.compress(("label,text\n" + "4,good\n0,bad\n" * 20_000).encode()))
    assert os.path.getsize("a.csv.gz") * 100 < 260_000 and len(load_reviews("a.csv.gz")) == 40_000


# texts to predict


def test_texts_name_their_line(folder):
    make("a.txt", "good\n\nfine\0\n")
    with pytest.raises(InputError, match="a.txt, line 3: expected a text, found a NUL character"):
        load_texts("a.txt")
    make("a.txt", "good\n\u200b\n")
    with pytest.raises(InputError, match="a.txt, line 2: expected a text, found an empty one"):
        load_texts("a.txt")
    make("a.txt", "\n \n")
    with pytest.raises(InputError, match="a.txt: expected texts, found none"):
        load_texts("a.txt")
    make("a.txt", GOOD.encode("utf-16"))
    with pytest.raises(InputError, match="a.txt: expected UTF-8 text, found UTF-16"):
        load_texts("a.txt")
