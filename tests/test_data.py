"""Reviews are read as they were written, or refused with one message that names the place."""
import csv
import gzip
import hashlib
import io
import json
import os
import subprocess
import sys
import unicodedata

import numpy as np
import pandas
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from datasets import ClassLabel, Dataset, DatasetDict
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from matplotlib.figure import Figure

from yelp_tl.data import (
    STAR_NAMES,
    InputError,
    check_reviews,
    example_reviews,
    file_sha256,
    label_counts,
    load_reviews,
    plot_stars,
    plot_word_counts,
    reviews_from_lists,
    rows_sha256,
    shuffled_rows,
    split_reviews,
    unescape,
    word_counts,
)

SECRET = "our private anniversary dinner"  # a text that no message may show


@pytest.fixture
def write(tmp_path):
    """Write bytes or text to a file and return its path."""

    def write_file(name, content):
        path = tmp_path / name
        path.write_bytes(content.encode() if isinstance(content, str) else content)
        return path

    return write_file


def refusal(path):
    """The one message with which a file is refused."""
    with pytest.raises(InputError) as caught:
        load_reviews(path)
    message = str(caught.value)
    assert "\n" not in message and SECRET not in message and len(message) < 500
    assert str(path) in message, "the message names the file"
    return message


def as_pairs(reviews):
    return list(zip(reviews["text"][:], reviews["label"][:], strict=True))


def parquet_bytes(**columns):
    buffer = io.BytesIO()
    pq.write_table(pa.table(columns), buffer)
    return buffer.getvalue()


# --- what is read --------------------------------------------------------------------------------------------------

READABLE = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), min_size=1, max_size=40).filter(
    lambda text: any(unicodedata.category(sign)[0] != "Z" and unicodedata.category(sign) not in ("Cc", "Cf")
                     for sign in text)
)
ROWS = st.lists(st.tuples(READABLE, st.integers(0, 4)), min_size=2, max_size=8).filter(
    lambda rows: len({label for _, label in rows}) > 1
)


def write_rows(path, rows, starred):
    """Write rows with independent writers: csv, json and pyarrow."""
    name = "stars" if starred else "label"
    rows = [(text, label + starred) for text, label in rows]
    ending = path.name.removesuffix(".gz").rsplit(".", 1)[1]
    if ending == "parquet":
        pq.write_table(pa.table({"text": [text for text, _ in rows], name: [label for _, label in rows]}), path)
        return
    buffer = io.StringIO(newline="")
    if ending in ("csv", "tsv"):
        writer = csv.writer(buffer, delimiter="," if ending == "csv" else "\t")
        writer.writerow([name, "text"])
        writer.writerows((label, text) for text, label in rows)
    elif ending == "json":
        json.dump([{"text": text, name: label} for text, label in rows], buffer, indent=1)
    else:
        buffer.writelines(json.dumps({name: label, "text": text}, ensure_ascii=False) + "\n" for text, label in rows)
    content = buffer.getvalue().encode()
    path.write_bytes(gzip.compress(content) if path.name.endswith(".gz") else content)


@pytest.mark.parametrize("name", ["r.csv", "r.tsv", "r.json", "r.jsonl", "r.parquet", "r.csv.gz", "r.jsonl.gz"])
@given(rows=ROWS, starred=st.booleans())
@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_rows_come_back_as_they_were_written(tmp_path, name, rows, starred):
    path = tmp_path / name
    write_rows(path, rows, starred)
    assert as_pairs(load_reviews(path)) == rows


def test_zhangs_file_without_a_header(write, capsys):
    path = write("train.csv", '"5","dr. ""G"" is\\n\\ngreat, really"\n"1","Said \\""no\\""."\n')
    assert as_pairs(load_reviews(path)) == [('dr. "G" is\\n\\ngreat, really', 4), ('Said \\"no\\".', 0)]
    said = capsys.readouterr()
    assert said.out == "" and "stars 1-5" in said.err and str(path) in said.err and said.err.count("\n") == 1


def test_zhangs_file_reads_as_pandas_reads_it(write):
    path = write("zhang.csv", '"3","a ""b"" c"\n"1","line\nline"\n"5","\\n \\"", x"\n')
    expected = pandas.read_csv(path, header=None, names=["stars", "text"])
    got = load_reviews(path)
    assert got["text"][:] == expected["text"].tolist()
    assert got["label"][:] == (expected["stars"] - 1).tolist()


def test_yelps_own_json(write, capsys):
    path = write("review.json", '{"review_id":"x","stars":5.0,"text":"a\\nb","useful":1}\n{"stars":1.0,"text":"c"}\n')
    assert as_pairs(load_reviews(path)) == [("a\nb", 4), ("c", 0)]
    assert "stars 1-5" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("labels", "expected", "said"),
    [([0, 4, 2], [0, 4, 2], ""), ([1, 5, 3], [0, 4, 2], "r.csv: stars 1-5 are read as labels 0-4"),
     ([1, 2, 4], [1, 2, 4], "neither 0 nor 5, so 1-4 are read as labels, 2 to 5 stars"), ([0, 3], [0, 3], "")],
)
def test_a_label_column_of_stars_is_recognised_and_said(write, capsys, labels, expected, said):
    path = write("r.csv", "text,label\n" + "".join(f"t{label},{label}\n" for label in labels))
    assert load_reviews(path)["label"][:] == expected
    told = capsys.readouterr().err
    assert said in told and bool(said) == bool(told)


@pytest.mark.parametrize(
    "content",
    [
        b"\xef\xbb\xbflabel,text\n4,<b>good</b>\n0,bad\n",
        b"label,text\r\n4,<b>good</b>\r\n\r\n0,bad\r\n\r\n",
        b' Label , TEXT ,x\n"4","<b>good</b>",\n0.0,bad,1\n',
        b"label,text\n4,<b>good</b>\n0,bad",
    ],
    ids=["mark", "blank lines", "names and more columns", "no last newline"],
)
def test_csv_variants(write, content):
    assert as_pairs(load_reviews(write("r.csv", content))) == [("<b>good</b>", 4), ("bad", 0)]


def test_jsonl_with_mark_and_blank_lines(write):
    path = write("r.jsonl", b'\xef\xbb\xbf\n{"label": "4", "text": "good"}\n\n{"label": 0, "text": "bad"}\n\n')
    assert as_pairs(load_reviews(path)) == [("good", 4), ("bad", 0)]


@pytest.mark.parametrize(
    "kind",
    [pa.string(), pa.large_string(), pa.string_view(), pa.binary(), pa.dictionary(pa.int32(), pa.large_string())],
    ids=str,
)
@pytest.mark.parametrize("label_kind", [pa.int8(), pa.int64(), pa.float64(), pa.string()], ids=str)
def test_parquet_types(write, kind, label_kind):
    texts, labels = pa.array(["café", "bad"]).cast(kind), pa.array([4, 0]).cast(label_kind)
    reviews = load_reviews(write("r.parquet", parquet_bytes(text=texts, label=labels, other=[1, 2])))
    assert as_pairs(reviews) == [("café", 4), ("bad", 0)]
    assert reviews.data.schema.field("text").type == pa.string()
    assert reviews.features["label"] == ClassLabel(names=STAR_NAMES)


def test_a_file_written_by_datasets(tmp_path):
    examples = example_reviews()
    examples.to_parquet(tmp_path / "r.parquet")
    examples.to_json(tmp_path / "r.json")
    examples.to_csv(tmp_path / "r.csv")
    for name in ("r.parquet", "r.json", "r.csv"):
        assert rows_sha256(load_reviews(tmp_path / name)) == rows_sha256(examples)


def test_reading_writes_nothing(write, tmp_path):
    paths = [
        write("R.CSV", "label,text\n4,good\n0,bad\n"),
        write("r.jsonl", '{"label":4,"text":"good"}\n{"label":0,"text":"bad"}\n'),
        write("r.parquet", parquet_bytes(text=["good", "bad"], label=[4, 0])),
    ]
    before = sorted(tmp_path.rglob("*"))
    for path in paths:
        reviews = load_reviews(path)
        split = split_reviews(reviews, n_train=2, n_validation=0, n_test=0, seed=0)
        assert reviews.cache_files == split.train.cache_files == []
    assert sorted(tmp_path.rglob("*")) == before


def test_no_torch_and_nothing_in_hf_home(tmp_path):
    """A fresh Python imports the module and uses it, without torch and without a file in the cache folder."""
    path = tmp_path / "r.csv"
    path.write_text("label,text\n" + "".join(f"{row % 5},text {row}\n" for row in range(20)))
    code = (
        "import sys, yelp_tl.data as data\n"
        f"reviews = data.load_reviews({str(path)!r})\n"
        "split = data.split_reviews(reviews, n_train=10, n_validation=5, n_test=5, seed=0)\n"
        "data.rows_sha256(split.test)\n"
        "print(sorted(name for name in ('torch', 'transformers', 'tensorflow', 'sklearn') if name in sys.modules))\n"
    )
    home = tmp_path / "home"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True,
                          env=os.environ | {"HF_HOME": str(home)})
    assert (done.returncode, done.stdout.strip()) == (0, "[]"), done.stderr
    assert not [file for file in home.rglob("*") if file.is_file()]


# --- what is refused -----------------------------------------------------------------------------------------------

BAD_FILES = {
    "missing column": ("r.csv", f"text,label_name\n{SECRET},4\n", "columns text and label"),
    "missing column, json": ("r.jsonl", '{"text": "a", "rating": 3}\n', "'rating'"),
    "missing column, parquet": ("r.parquet", parquet_bytes(text=["a"], rating=[3]), "'rating'"),
    "header is a review": ("r.csv", f"{SECRET}\nbad\n", "a longer name"),
    "column twice": ("r.csv", "text,label,Text\na,4,b\n", "one column text, found 2"),
    "above the range": ("r.csv", "label,text\n0,a\n4,b\n5,c\n", "line 4: expected a label, a whole number from 0 to 4"),
    "below the range": ("r.csv", "label,text\n4,a\n-1,b\n", "line 3:"),
    "stars above": ("r.csv", '"5","a"\n"6","b"\n', "line 2: expected stars, a whole number from 1 to 5, found '6'"),
    "stars of zero": ("r.jsonl", '{"stars":0,"text":"a"}\n{"stars":5,"text":"b"}\n', "line 1:"),
    "fraction": ("r.csv", "label,text\n4,a\n\n3.5,b\n", "line 4: expected a label, a whole number from 0 to 4, found"),
    "fraction, parquet": ("r.parquet", parquet_bytes(text=["a", "b"], label=[4, 0.5]), "row 2:"),
    "label in words": ("r.csv", f"label,text\n4,a\n{SECRET},b\n", "line 3: expected a label"),
    "label missing": ("r.csv", "label,text\n4,a\n,b\n", "line 3:"),
    "label null": ("r.parquet", parquet_bytes(text=["a", "b"], label=[4, None]), "row 2:"),
    "label nan": ("r.jsonl", '{"label":NaN,"text":"a"}\n', "line 1:"),
    "label infinite": ("r.csv", "label,text\ninf,a\n4,b\n", "line 2:"),
    "label true": ("r.jsonl", '{"label":4,"text":"a"}\n{"label":true,"text":"b"}\n', "line 2:"),
    "label beyond float": ("r.jsonl", '{"label":1' + "0" * 400 + ',"text":"a"}\n', "line 1:"),
    "label key missing": ("r.jsonl", '{"label":4,"text":"a"}\n{"text":"b"}\n', "line 2:"),
    "text empty": ("r.csv", 'label,text\n4,"a\nb"\n0,""\n', "line 4: expected a text, found an empty one"),
    "text blank": ("r.tsv", "label\ttext\n4\ta\n0\t \u00a0\n", "line 3:"),
    "text null": ("r.parquet", parquet_bytes(text=["a", None], label=[4, 0]), "row 2: expected a text, found none"),
    "text key missing": ("r.json", '[{"label":4,"text":"a"},{"label":0}]', "row 2: expected a text, found none"),
    "text is a number": ("r.jsonl", '{"label":4,"text":"a"}\n{"label":0,"text":7}\n', "line 2: expected a text, found"),
    "texts are numbers": ("r.parquet", parquet_bytes(text=[1, 2], label=[4, 0]), "found int64"),
    "texts all null": ("r.parquet", parquet_bytes(text=pa.nulls(2), label=[4, 0]), "row 1:"),
    "half a character": ("r.jsonl", '{"label":4,"text":"a"}\n{"label":0,"text":"\\ud83d"}\n', "line 2:"),
    "one class": ("r.csv", "label,text\n4,a\n4,b\n", "found 5 stars in every row"),
    "one row": ("r.csv", "label,text\n4,a\n", "different stars"),
    "latin-1": ("r.csv", "label,text\n4,a\n0,café\n".encode("latin-1"), "line 3: expected UTF-8"),
    "cut inside a character": ("r.jsonl", '{"label":4,"text":"a"}\n{"text":"é'.encode()[:-1], "line 2: expected UTF-8"),
    "latin-1, gz": ("r.csv.gz", gzip.compress("label,text\n4,é\n".encode("latin-1")), "line 2: expected UTF-8"),
    "quote not closed at the end": ("r.csv", f'label,text\n4,a\n0,"{SECRET}\n', "line 3: expected matching quotes"),
    "quote not closed inside": ("r.csv", f'label,text\n4,"{SECRET}\n0,"b"\n', "line 2: expected matching quotes"),
    "quote not doubled": ("r.csv", f'label,text\n4,"a"\n0,"say "{SECRET}" now"\n', "line 3: expected matching quotes"),
    "quote swallows the file": ("r.csv", 'label,text\n4,"a\n' + "0,b\n" * 40_000, "line 2: expected matching quotes"),
    "comma without quotes": ("r.csv", f"label,text\n4,a\n0,{SECRET}, b\n", "line 3: expected 2 columns, found 3"),
    "cell missing": ("r.csv", f"label,text\n4,a\n{SECRET}\n", "line 3: expected 2 columns, found 1"),
    "json cut short": ("r.jsonl", '{"label":4,"text":"a"}\n{"label":0,"te', "line 2: expected one JSON object a line"),
    "json list cut short": ("r.json", '[{"label":4,"text":"a"},\n{"label":0,"te', "line 2: expected one list"),
    "json of another kind": ("r.json", '{"rows":\n[]}', "line 1:"),
    "json that is csv": ("r.jsonl", f"label,text\n4,{SECRET}\n", "line 1:"),
    "json of numbers": ("r.jsonl", "1\n2\n", "line 1: expected a JSON object"),
    "json too deep": ("r.json", "[" * 100_000, "line 1:"),
    "parquet that is csv": ("r.parquet", f"label,text\n4,{SECRET}\n", "expected a Parquet file"),
    "empty parquet": ("r.parquet", b"", "expected a Parquet file"),
    "gz that is csv": ("r.csv.gz", f"label,text\n4,{SECRET}\n", "expected a gzip file"),
    "no rows, csv": ("r.csv", "label,text\n", "found no rows"),
    "no rows, json": ("r.json", "[]", "found no rows"),
    "no rows, parquet": ("r.parquet", parquet_bytes(text=pa.array([], pa.string()), label=pa.array([], pa.int64())),
                         "found no rows"),
    "empty csv": ("r.csv", "", "found no rows"),
    "empty jsonl": ("r.jsonl", "\n \n", "found no rows"),
    "ending": ("r.xlsx", "PK", "found .xlsx"),
    "no ending": ("reviews", "label,text\n", "no ending"),
    "only gz": ("reviews.gz", "label,text\n", "found .gz"),
    "parquet in gz": ("r.parquet.gz", gzip.compress(b"PAR1"), "found .gz"),
}


@pytest.mark.parametrize("case", BAD_FILES)
def test_a_bad_file_is_refused_and_the_place_named(write, case):
    name, content, expected = BAD_FILES[case]
    assert expected in refusal(write(name, content))


def test_parquet_bytes_that_are_not_utf8(write):
    content = pa.array([b"good", None, b"caf\xe9"], pa.binary())
    assert "row 3: expected UTF-8" in refusal(write("r.parquet", parquet_bytes(text=content, label=[4, 0, 1])))


def test_a_folder_and_a_missing_file(tmp_path):
    (tmp_path / "r.csv").mkdir()
    assert "found a folder" in refusal(tmp_path / "r.csv")
    assert "no such file" in refusal(tmp_path / "there.csv")
    with pytest.raises(InputError, match="no such file"):
        load_reviews(tmp_path / ("x" * 5000 + ".csv"))


@pytest.mark.parametrize("name", ["r.parquet", "r.csv.gz", "r.json"])
def test_a_file_cut_short_anywhere_is_refused(tmp_path, name):
    write_rows(tmp_path / name, [("good food", 4), ("cold soup", 0)], starred=False)
    whole = (tmp_path / name).read_bytes()
    path = tmp_path / f"cut-{name}"
    for length in range(0, len(whole) - 1, max(1, len(whole) // 60)):
        path.write_bytes(whole[:length])
        refusal(path)


def test_a_damaged_gz_is_refused_before_its_rows_are_read(tmp_path):
    write_rows(tmp_path / "r.csv.gz", [(f"good food {row}", row % 5) for row in range(50)], starred=False)
    content = bytearray((tmp_path / "r.csv.gz").read_bytes())
    content[len(content) // 2] ^= 1
    (tmp_path / "r.csv.gz").write_bytes(content)
    assert "expected a gzip file" in refusal(tmp_path / "r.csv.gz")


@given(content=st.binary(max_size=60), name=st.sampled_from(["r.csv", "r.json", "r.jsonl", "r.parquet", "r.tsv.gz"]))
@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_bytes_give_rows_or_an_input_error(tmp_path, content, name):
    path = tmp_path / name
    path.write_bytes(content)
    try:
        assert len(load_reviews(path)) > 1
    except InputError as error:
        assert str(path) in str(error)


def test_a_file_that_may_not_be_read(write, monkeypatch):
    path = write("r.csv", "label,text\n4,a\n0,b\n")

    def refuse(*_):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr("yelp_tl.data._open_binary", refuse)
    assert "Permission denied" in refusal(path)


# --- rows in memory ------------------------------------------------------------------------------------------------


def test_rows_from_lists():
    reviews = reviews_from_lists(np.array(["a", "b"]).tolist(), np.array([0, 4]))
    assert as_pairs(reviews) == [("a", 0), ("b", 4)]
    assert len(reviews_from_lists([], [])) == 0
    for texts, labels in [(["a"], [0, 1]), (["a"], [5]), (["a"], [0.5]), ([None, 3], [0, 1]), (["\ud800"], [0])]:
        with pytest.raises(InputError):
            reviews_from_lists(texts, labels)


def test_check_of_rows_in_memory():
    rows = Dataset.from_dict({"label": [0, 4, 4], "text": ["a", "b", "c"], "more": [1, 2, 3]})
    checked = check_reviews(rows.select([2, 0]))
    assert as_pairs(checked) == [("c", 4), ("a", 0)] and checked.column_names == ["text", "label"]
    assert checked.features["label"].names == STAR_NAMES
    with pytest.raises(InputError, match="mine: expected columns"):
        check_reviews(rows.remove_columns("label"), "mine")
    with pytest.raises(InputError, match="mine, row 2: expected a text"):
        check_reviews(Dataset.from_dict({"label": [0, 4], "text": ["a", " "]}), "mine")
    with pytest.raises(InputError, match="mine, row 1: expected a label"):
        check_reviews(Dataset.from_dict({"label": [5, 1], "text": ["a", "b"]}), "mine")
    with pytest.raises(InputError, match="mine: expected reviews with different stars"):
        check_reviews(rows.select([1, 2]), "mine")


def test_the_examples():
    examples = example_reviews()
    assert label_counts(examples) == [12] * 5
    assert len(set(examples["text"][:])) == 60
    words = word_counts(examples["text"][:])
    assert words.min() >= 15 and words.max() <= 60
    assert sum("\\n" in text for text in examples["text"][:]) >= 2
    assert sum('\\"' in text for text in examples["text"][:]) >= 2


def test_counts_words_and_backslashes():
    assert label_counts(reviews_from_lists(["a"], [3])) == [0, 0, 0, 1, 0]
    assert word_counts([]).tolist() == [] and word_counts(["a\nb\t c"]).tolist() == [3]
    assert unescape("a\\nb\\\"c\\\" d") == 'a\nb"c" d'
    assert unescape("plain \n text") == "plain \n text"


def test_plots_return_their_axes():
    examples = example_reviews()
    for plot in (plot_stars, plot_word_counts):
        ax = Figure().subplots()
        assert plot(examples, ax) is ax
        assert sum(bar.get_height() for bar in ax.patches) == 60


def test_bars_of_stars_stand_in_order():
    ax = plot_stars(reviews_from_lists(list("abcdef"), [0, 0, 0, 3, 3, 4]), Figure().subplots())
    assert [(round(bar.get_x() + bar.get_width() / 2), bar.get_height()) for bar in ax.patches] == [
        (1, 3), (2, 0), (3, 0), (4, 2), (5, 1)]


def test_the_line_is_the_median():
    ax = plot_word_counts(reviews_from_lists(["a", "a b", "a " * 30], [0, 1, 2]), Figure().subplots())
    assert ax.lines[0].get_xdata()[0] == 2 and ax.get_legend().get_texts()[0].get_text() == "median 2"


# --- which rows ----------------------------------------------------------------------------------------------------


def numbered(n, start=0):
    """n rows with texts that occur once."""
    return reviews_from_lists([f"review {start + row}" for row in range(n)], [row % 5 for row in range(n)])


def test_pinned_rows_of_the_public_dataset():
    assert shuffled_rows(650_000, 42)[:10].tolist() == [
        553156, 61021, 523601, 309467, 243579, 185391, 86037, 273387, 371015, 490464]
    assert shuffled_rows(50_000, 42)[:10].tolist() == [
        712, 24774, 45142, 27119, 21139, 19129, 6433, 38854, 22489, 31104]


def test_the_lectures_own_line_draws_the_same_rows():
    lecture = DatasetDict(train=numbered(300), test=numbered(200, start=1000)).shuffle(seed=42)
    split = split_reviews(numbered(300), numbered(200, start=1000), n_train=100, n_validation=0, n_test=90, seed=42)
    assert split.train["text"][:] == lecture["train"].select(range(100))["text"][:]
    assert split.test["text"][:] == lecture["test"].select(range(90))["text"][:]
    assert len(split.validation) == 0 and split.shared == 0


@given(
    sizes=st.tuples(st.integers(2, 30), st.integers(0, 20), st.integers(0, 20)),
    spare=st.integers(0, 10), seed=st.integers(0, 2**32), two_files=st.booleans(),
)
@settings(max_examples=40, deadline=None)
def test_sides_have_their_sizes_and_share_no_row(sizes, spare, seed, two_files):
    n_train, n_validation, n_test = sizes
    reviews = reviews_from_lists([f"t{row}" for row in range(sum(sizes) + spare)],
                                 [row % 5 for row in range(sum(sizes) + spare)])
    test = numbered(n_test + 1, start=10_000) if two_files else None
    options = dict(n_train=n_train, n_validation=n_validation, n_test=n_test, seed=seed)
    try:
        split = split_reviews(reviews, test, **options)
    except InputError as error:
        assert "different stars" in str(error)
        return
    order = np.random.default_rng(seed).permutation(len(reviews))
    assert split.train_rows.tolist() == order[:n_train].tolist()
    assert split.validation_rows.tolist() == order[n_train:n_train + n_validation].tolist()
    if not two_files:
        assert split.test_rows.tolist() == order[n_train + n_validation:sum(sizes)].tolist()
    for side, rows, source in [(split.train, split.train_rows, reviews), (split.test, split.test_rows, test or reviews),
                               (split.validation, split.validation_rows, reviews)]:
        assert side["text"][:] == [source[int(row)]["text"] for row in rows]
    texts = [text for side in (split.train, split.validation, split.test) for text in side["text"][:]]
    assert len(set(texts)) == len(texts) == sum(sizes)
    again = split_reviews(reviews, test, **options)
    assert rows_sha256(again.train) == rows_sha256(split.train)


def test_validation_rows_never_come_out_of_the_training_rows():
    sizes = dict(n_train=40, n_test=20, seed=7)
    small, large = (split_reviews(numbered(200), n_validation=n, **sizes) for n in (0, 100))
    assert small.train_rows.tolist() == large.train_rows.tolist() and len(large.validation) == 100


def test_every_side_is_prepared():
    split = split_reviews(numbered(60), n_train=20, n_validation=20, n_test=20, seed=0, prepare=lambda rows:
                          reviews_from_lists([f"{text}!" for text in rows["text"][:]], rows["label"][:]))
    for side in (split.train, split.validation, split.test):
        assert len(side) == 20 and all(text.endswith("!") for text in side["text"][:])


def test_too_few_rows():
    with pytest.raises(InputError, match=r"at least 2,500 rows \(1,000 training \+ 500 validation \+ 1,000 test\)"):
        split_reviews(numbered(2499), n_train=1000, n_validation=500, n_test=1000, seed=0)
    with pytest.raises(InputError, match=r"at least 11 rows \(11 test\), found 10"):
        split_reviews(numbered(100), numbered(10, 500), n_train=50, n_validation=50, n_test=11, seed=0)


def test_too_few_rows_names_the_file(write):
    path = write("few.csv", "label,text\n4,a\n0,b\n")
    with pytest.raises(InputError, match="few.csv: expected at least 3 rows"):
        split_reviews(load_reviews(path), n_train=2, n_validation=0, n_test=1, seed=0)


def test_shared_texts_are_refused_with_their_places_or_counted(write):
    train = load_reviews(write("train.csv", f"label,text\n4,a\n0,{SECRET}\n1,c\n"))
    test = load_reviews(write("test.csv", f"label,text\n0,{SECRET}\n1,x\n2,c\n"))
    sizes = dict(n_train=3, n_validation=0, n_test=3, seed=0)
    with pytest.raises(InputError) as caught:
        split_reviews(train, test, **sizes)
    message = str(caught.value)
    assert SECRET not in message and "found 2 shared" in message
    assert ("train.csv row 2 (training) and test.csv row 1 (test)" in message
            or "train.csv row 3 (training) and test.csv row 3 (test)" in message)
    assert split_reviews(train, test, **sizes, shared_texts="count").shared == 2


def test_shared_texts_between_any_two_sides_are_seen():
    order = shuffled_rows(9, 0)
    for first, second in [(0, 3), (0, 6), (3, 6)]:
        texts = [f"t{row}" for row in range(9)]
        texts[order[second]] = texts[order[first]]
        reviews = reviews_from_lists(texts, [row % 5 for row in range(9)])
        sizes = dict(n_train=3, n_validation=3, n_test=3, seed=0)
        assert split_reviews(reviews, **sizes, shared_texts="count").shared == 1
        with pytest.raises(InputError, match=f"row {order[first] + 1} .* row {order[second] + 1} "):
            split_reviews(reviews, **sizes)


def test_a_text_twice_on_one_side_is_not_shared():
    reviews = reviews_from_lists(["same", "same", "x", "y"], [0, 4, 1, 2])
    seed = next(seed for seed in range(100) if set(shuffled_rows(4, seed)[:2]) == {0, 1})
    assert split_reviews(reviews, n_train=2, n_validation=1, n_test=1, seed=seed).shared == 0


@pytest.mark.parametrize(
    "wrong", [{"n_train": 0}, {"n_validation": -1}, {"n_test": 1.5}, {"seed": -1}, {"n_train": True},
              {"seed": "42"}, {"shared_texts": "ignore"}], ids=str)
def test_impossible_sizes_are_refused(wrong):
    options = dict(n_train=5, n_validation=5, n_test=5, seed=0) | wrong
    with pytest.raises(InputError, match=next(iter(wrong))):
        split_reviews(numbered(50), **options)


def test_training_rows_with_the_same_stars_are_refused():
    with pytest.raises(InputError, match="different stars"):
        split_reviews(numbered(50), n_train=1, n_validation=0, n_test=5, seed=0)


# --- fingerprints --------------------------------------------------------------------------------------------------


def test_file_fingerprint(write):
    path = write("x.bin", b"abc" * 1000)
    assert file_sha256(path) == file_sha256(str(path)) == hashlib.sha256(b"abc" * 1000).hexdigest()


def test_row_fingerprint():
    rows = reviews_from_lists(["é\n", "b"], [4, 0])
    assert rows_sha256(rows) == hashlib.sha256(b'["\\u00e9\\n", 4]\n["b", 0]\n').hexdigest()
    others = [(["b", "é\n"], [0, 4]), (["é\n", "b"], [0, 4]), (["é\nb", ""], [4, 0]), (["é\n"], [4])]
    digests = {rows_sha256(rows), *(rows_sha256(reviews_from_lists(*other)) for other in others)}
    assert len(digests) == 5


def test_a_very_long_review_is_read(tmp_path):
    path = tmp_path / "long.csv"
    path.write_text(f"label,text\n0,{'x' * 500_000}\n4,Short.\n", encoding="utf-8")
    assert len(load_reviews(path)["text"][0]) == 500_000
