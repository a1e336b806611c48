"""Rules of the house: what README, packaging, notebooks and modules promise each other."""

import ast
import json
import re
import statistics
import subprocess
import sys
import tomllib
from configparser import ConfigParser
from pathlib import Path

import pytest
import yaml
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from site_check import Site, directives, list_faults, lost_words, page_of

HOUSE = Path(__file__).resolve().parent.parent
MODULES = sorted(path for path in (HOUSE / "yelp_tl").glob("*.py") if not path.name.startswith("_"))
NOTEBOOKS = sorted(path for path in (HOUSE / "nbs").rglob("*.ipynb") if ".ipynb_checkpoints" not in path.parts)
COURSE = HOUSE / "nbs" / "course"  # pages that export nothing
LECTURES = sorted(COURSE.glob("[0-9]*.ipynb"))
README = (HOUSE / "README.md").read_text(encoding="utf-8")
RUN_LINE = (
    'python3 -m venv .venv && . .venv/bin/activate && pip install -c constraints.txt -e ".[offline]"'
    " && yelp_tl compare"
)
TEST_LINE = (
    'python3 -m venv .venv && . .venv/bin/activate && pip install -c constraints.txt -e ".[dev,offline]"'
    " && nbdev_test --n_workers 1 && pytest"
)
SITE = Site.of(HOUSE)
each_module = pytest.mark.parametrize("module", MODULES, ids=lambda path: path.stem)
each_notebook = pytest.mark.parametrize("notebook", NOTEBOOKS, ids=lambda path: path.stem)
each_lecture = pytest.mark.parametrize("lecture", LECTURES, ids=lambda path: path.stem)


def settings():
    parser = ConfigParser(delimiters=["="])
    parser.read(HOUSE / "settings.ini", encoding="utf-8")
    return parser["DEFAULT"]


def text_of(name):
    return (HOUSE / name).read_text(encoding="utf-8")


def cells(notebook, kind):
    """Sources of the cells of one kind, in order."""
    found = json.loads(notebook.read_text(encoding="utf-8"))["cells"]
    return ["".join(cell["source"]) for cell in found if cell["cell_type"] == kind]


def outputs(notebook):
    """Every stored output of a notebook."""
    found = json.loads(notebook.read_text(encoding="utf-8"))["cells"]
    return [output for cell in found if cell["cell_type"] == "code" for output in cell["outputs"]]


def shown_text(output):
    """The words of an output, without the bytes of pictures."""
    data = {kind: value for kind, value in output.get("data", {}).items() if not kind.startswith("image/")}
    return json.dumps({**output, "data": data})


def tree(path):
    return ast.parse(path.read_text(encoding="utf-8"))


def functions(path):
    """Every function and method of a module, with the name of the class it is in, if any."""
    for node in tree(path).body:
        if isinstance(node, ast.FunctionDef):
            yield "", node
        if isinstance(node, ast.ClassDef):
            yield from ((node.name, inner) for inner in node.body if isinstance(inner, ast.FunctionDef))


# README, .ci/run and the home page


def test_readme_holds_each_line_once():
    lines = README.splitlines()
    assert lines.count(RUN_LINE) == 1
    assert lines.count(TEST_LINE) == 1


def test_ci_takes_its_line_from_the_readme():
    script = text_of(".ci/run")
    pattern = re.search(r"^pattern='(.+)'$", script, re.M).group(1)
    assert [line for line in README.splitlines() if re.search(pattern, line)] == [TEST_LINE]
    assert "pip install" not in script, "the installation is the README's, not a second one"
    assert "set -euo pipefail" in script


@pytest.mark.parametrize("name", ["results", "simulated"])
def test_readme_has_one_place_for_each_file_of_results(name):
    assert re.findall(rf"<!-- {name}:\w+ -->", README) == [f"<!-- {name}:begin -->", f"<!-- {name}:end -->"]


def test_readme_and_home_page_open_with_the_same_words():
    opening = README.split("\n## ")[0].strip()
    assert "\n\n".join(cells(HOUSE / "nbs" / "index.ipynb", "markdown")).startswith(opening)


def test_readme_example_runs(tmp_path, monkeypatch, capsys):
    blocks = re.findall(r"```python\n(.*?)```", README, re.S)
    assert len(blocks) == 1
    monkeypatch.chdir(tmp_path)  # it needs no file beside it
    exec(compile(blocks[0], "README.md", "exec"), {"__name__": "__main__"})
    shown = capsys.readouterr().out
    assert re.fullmatch(r"right: [01]\.\d\d, 95% interval [01]\.\d\d to [01]\.\d\d, 20 rows\n", shown)


def test_home_page_links_are_absolute():
    # the same words stand on the site and in the repository, so a relative link is broken in one of them
    targets = re.findall(r"\]\(([^)]+)\)", "\n".join(cells(HOUSE / "nbs" / "index.ipynb", "markdown")))
    assert targets
    assert all(target.startswith("https://") for target in targets)


@pytest.mark.parametrize("name", ["README.md", "CONTRIBUTING.md", "CHANGELOG.md", "CITATION.cff", "_quarto.yml"])
def test_links_into_the_repository_point_to_files(name):
    address = f"https://github.com/{settings()['user']}/{settings()['repo']}"
    for link in re.findall(r"https://github\.com/[^\s)\"']+", text_of(name)):
        assert link.startswith(address), link
        inside = link.removeprefix(address).removeprefix(f"/blob/{settings()['branch']}").strip("/")
        assert (HOUSE / inside).exists(), link


def test_links_to_the_site_use_its_address():
    site = settings()["doc_host"] + settings()["doc_baseurl"]
    page = "\n".join(cells(HOUSE / "nbs" / "index.ipynb", "markdown"))
    links = re.findall(r"https://[\w.-]+\.github\.io[^\s)]*", README + page + text_of("CITATION.cff"))
    there = {page_of(name).removesuffix(".html") for name in SITE.notebooks}
    for link in links:
        assert link.startswith(site), link
        assert link.removeprefix(site).strip("/").removesuffix(".html") in there | {""}, link


# version and dependencies


def test_version_is_the_same_everywhere():
    version = settings()["version"]
    assert text_of("yelp_tl/__init__.py").strip() == f'__version__ = "{version}"'
    assert yaml.safe_load(text_of("CITATION.cff"))["version"] == version
    assert re.search(r"^## (\S+)", text_of("CHANGELOG.md"), re.M).group(1) == version


def constraints():
    lines = [line for line in text_of("constraints.txt").splitlines() if line and not line.startswith("#")]
    return {canonicalize_name(name): version for name, version in (line.split("==") for line in lines)}


def requirements():
    kinds = ("requirements", *(f"{extra}_requirements" for extra in ("offline", "evidence", "course", "dev")))
    return [Requirement(one) for kind in kinds for one in settings()[kind].split()]


@pytest.mark.parametrize("requirement", requirements(), ids=str)
def test_constraints_satisfy_settings(requirement):
    version = constraints()[canonicalize_name(requirement.name)]
    assert requirement.specifier.contains(version)


def test_constraints_are_exact_and_name_no_local_build():
    assert len(constraints()) > 100
    assert all(re.fullmatch(r"[0-9][0-9a-z.]*", version) for version in constraints().values())
    assert constraints()["torch"] == "2.13.0"


def imported(path, top=None):
    """Names of the packages that a file imports, at any depth of the file, or in a part of it."""
    for node in ast.walk(top or tree(path)):
        if isinstance(node, ast.Import):
            yield from (alias.name.split(".")[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.level == 0:
            yield node.module.split(".")[0]


@each_module
def test_module_imports_only_what_is_declared(module):
    declared = {canonicalize_name(Requirement(one).name) for one in settings()["requirements"].split()}
    declared |= {"yelp-tl", "pandas"}  # datasets requires pandas
    other_names = {"sklearn": "scikit-learn"}
    used = {canonicalize_name(other_names.get(name, name)) for name in imported(module)}
    # what an extra brings is imported where it is used, so that the module opens without it
    extra = {canonicalize_name(Requirement(one).name) for one in settings()["evidence_requirements"].split()}
    later = {name for node in ast.walk(tree(module)) if isinstance(node, ast.FunctionDef)
             for name in imported(module, node)}
    at_once = {name for node in tree(module).body if not isinstance(node, ast.FunctionDef | ast.ClassDef)
               for name in imported(module, node)}
    used -= extra & later - at_once
    assert used - declared - {canonicalize_name(name) for name in sys.stdlib_module_names} == set()


@each_module
def test_module_loads_no_pickle(module):
    forbidden = {"pickle", "dill", "joblib", "cloudpickle", "shelve", "marshal"}
    assert forbidden.isdisjoint(imported(module))
    assert not re.search(
        r"trust_remote_code\s*=\s*True|weights_only\s*=\s*False|allow_pickle\s*=\s*True",
        module.read_text(encoding="utf-8"),
    )


def test_package_data_is_in_the_manifest():
    suffixes = {path.suffix for path in (HOUSE / "yelp_tl").iterdir() if path.is_file()} - {".py"}
    named = set(re.findall(r"yelp_tl/\*(\.\w+)", text_of("MANIFEST.in")))
    assert suffixes <= named


# the site


def test_sidebar_render_list_and_notebooks_agree_and_page_names_are_unique():
    assert list_faults(SITE) == []


def test_the_cell_of_a_title_holds_no_more_than_the_site_shows():
    assert lost_words(SITE) == []


@pytest.mark.parametrize("name", ["test.yaml", "docs.yaml"])
def test_workflow_pins_its_actions(name):
    jobs = yaml.safe_load(text_of(f".github/workflows/{name}"))["jobs"]
    used = [step["uses"] for job in jobs.values() for step in job["steps"] if "uses" in step]
    assert used
    assert all(re.fullmatch(r"[\w.-]+/[\w./-]+@v\d+", action) for action in used)


def test_the_weekly_workflow_asks_for_known_holes():
    jobs = yaml.safe_load(text_of(".github/workflows/test.yaml"))["jobs"]
    lines = [step["run"] for step in jobs["audit"]["steps"] if "run" in step]
    # without --strict, a version that nobody could be asked about counts as one without a hole
    assert re.fullmatch(r"pip-audit --strict .*-r constraints\.txt.*", lines[-1])
    assert "\n".join(lines) in text_of("CONTRIBUTING.md")


# notebooks


@each_notebook
def test_notebook_opens_with_title_and_summary(notebook):
    first = cells(notebook, "markdown")[0].splitlines()
    name = re.sub(r"^\d+_", "", notebook.stem)
    if notebook.parent == HOUSE / "nbs":
        assert first[0] == f"# {'yelp_tl' if name == 'index' else name}"
    else:  # a page of the course has a title in words
        assert re.fullmatch(r"# \S.{4,60}", first[0])
    assert first[1] == ""
    assert re.fullmatch(r"> \S.{20,150}", first[2])


@each_notebook
def test_notebook_names_its_module_and_imports_alone(notebook):
    sources = cells(notebook, "code")
    modules = [match for source in sources for match in re.findall(r"^#\| default_exp (\w+)$", source, re.M)]
    if not notebook.stem[0].isdigit() or notebook.parent != HOUSE / "nbs":  # a page that only shows
        assert modules == [] and not any(re.match(r"#\| export\b", source) for source in sources)
        return
    assert modules == [re.sub(r"^\d+_", "", notebook.stem)]
    exported = [ast.parse(source) for source in sources if re.match(r"#\| export\b", source)]
    importing = [any(isinstance(node, ast.Import | ast.ImportFrom) for node in cell.body) for cell in exported]
    assert importing == [True] + [False] * (len(exported) - 1), "one export cell holds the imports, and comes first"
    assert all(isinstance(node, ast.Import | ast.ImportFrom) for node in exported[0].body)


@each_notebook
def test_notebook_outputs_are_small_and_clean(notebook):
    stored = outputs(notebook)
    assert len(json.dumps(stored)) < 200_000
    assert [output for output in stored if output["output_type"] == "error"] == []
    # a path of the machine that ran it, in any of the usual places
    paths = re.compile(r"/(home|Users|root|work|tmp|mnt|opt|usr|var)/\w|\b[A-Z]:\\\\")
    assert [found.group() for output in stored for found in paths.finditer(shown_text(output))] == []


@each_notebook
def test_notebook_outputs_need_no_script_and_no_other_server(notebook):
    allowed = {"text/plain", "text/markdown", "text/html", "image/png", "image/svg+xml"}
    for output in outputs(notebook):
        data = output.get("data", {})
        assert set(data) <= allowed
        shown = "".join("".join(data.get(kind, "")) for kind in ("text/html", "text/markdown", "image/svg+xml"))
        assert not re.search(r"<script|<link|\bsrc=.?(https?:)?//", shown)


@each_notebook
def test_notebook_binds_no_exported_name_twice(notebook):
    names = []
    for source in cells(notebook, "code"):
        if re.match(r"#\| export\b", source):
            body = ast.parse(source).body
            names += [node.name for node in body if isinstance(node, ast.FunctionDef | ast.ClassDef)]
    assert len(names) == len(set(names))


@each_notebook
def test_notebook_describes_its_figures(notebook):
    found = json.loads(notebook.read_text(encoding="utf-8"))["cells"]
    drawn = [cell for cell in found if "image/png" in json.dumps(cell.get("outputs", []))]
    assert all(directives("".join(cell["source"]))[0].get("fig-alt") for cell in drawn)


# lectures


def number_of(lecture):
    return int(lecture.stem.partition("_")[0])


def section(lecture, heading):
    """The text of the markdown cell that starts with a heading."""
    found = [text for text in cells(lecture, "markdown") if text.startswith(f"## {heading}\n")]
    assert len(found) == 1, heading
    return found[0]


def rounded_costs(lecture):
    """What a lecture's first table must say, from the measured runs: live, as tested, memory."""
    measured = json.loads(text_of("results/lectures.json"))["cells"]
    live, tested = ({cell["live"]: cell for cell in measured if f"{number_of(lecture):02}_{cell['lecture']}" ==
                     lecture.stem}[size] for size in (True, False))
    minutes = max(1, round(live["processor_seconds"] / 60))
    peak = max(live["peak_megabytes"], tested["peak_megabytes"]) / 1000
    return [f"{minutes} minute{'s' if minutes > 1 else ''}", f"{round(tested['processor_seconds'])} seconds",
            f"{peak:.1f} GB"]


@each_lecture
def test_lecture_says_first_what_it_costs(lecture):
    table = cells(lecture, "markdown")[1].splitlines()
    assert table[0] == "| to teach | to run, live | to run, as tested | memory |"
    teach, *costs = [one.strip() for one in table[2].strip("| ").split("|")]
    assert re.fullmatch(r"[3-5]\d minutes", teach)
    assert costs == rounded_costs(lecture), "as measured by tests/lectures.py"


@each_lecture
def test_lecture_runs_as_tested_in_forty_seconds_and_live_in_minutes(lecture):
    measured = {cell["live"]: cell for cell in json.loads(text_of("results/lectures.json"))["cells"]
                if cell["lecture"] == lecture.stem.partition("_")[2]}
    assert measured[False]["processor_seconds"] <= 40
    assert measured[True]["processor_seconds"] <= 300


@each_lecture
def test_lecture_has_one_visible_setting(lecture):
    sources = cells(lecture, "code")
    assert re.fullmatch(r"LIVE = False  # True: .+; False: .+", sources[0])
    assert sum(bool(re.search(r"^LIVE\b", source, re.M)) for source in sources) == 1
    assert sum(bool(re.search(r"\bif (not )?LIVE\b", source)) for source in sources) >= 1


@each_lecture
def test_lecture_has_questions_objectives_and_key_points(lecture):
    number = number_of(lecture)
    headings = [text.split("\n")[0] for text in cells(lecture, "markdown") if text.startswith("## ")]
    parts = ["## Questions", "## Objectives", "## Key points", "## Where each objective is checked"]
    assert [heading for heading in headings if heading in parts] == parts
    questions = re.findall(r"^- .+$", section(lecture, "Questions"), re.M)
    assert len(questions) >= 3 and all(question.endswith("?") for question in questions)
    objectives = re.findall(r"^- \*\*(\d\.\d)\*\* \w.+[;.]$", section(lecture, "Objectives"), re.M)
    assert objectives == [f"{number}.{i + 1}" for i in range(len(objectives))] and len(objectives) >= 4
    assert len(re.findall(r"^- .+\.$", section(lecture, "Key points"), re.M)) >= 4
    # every objective has an exercise: a prediction of the lecture or a task of its lab
    table = section(lecture, "Where each objective is checked")
    checked = dict(re.findall(r"^\| (\d\.\d) .+? \| (.+) \|$", table, re.M))
    assert list(checked) == objectives
    assert all(re.search(r"Prediction|lab \d", exercise) for exercise in checked.values())
    asked = {mention for exercise in checked.values() for mention in re.findall(r"\d\.\d", exercise)}
    assert asked <= {number for number, _ in predictions(lecture)}


def predictions(lecture):
    """Number and place of each prediction of a lecture; a place is the cell's position."""
    found = json.loads(lecture.read_text(encoding="utf-8"))["cells"]
    for place, cell in enumerate(found):
        for number in re.findall(r"^### Prediction (\d\.\d)$", "".join(cell["source"]), re.M):
            yield number, place


@each_lecture
def test_lecture_asks_before_it_shows(lecture):
    found = json.loads(lecture.read_text(encoding="utf-8"))["cells"]
    asked = list(predictions(lecture))
    assert [number for number, _ in asked] == [f"{number_of(lecture)}.{i + 1}" for i in range(len(asked))]
    assert len(asked) >= 3
    for number, place in asked:
        name = f"prediction_{number.replace('.', '_')}"
        answer = found[place + 1]
        assert answer["cell_type"] == "code" and answer["outputs"] == []
        assert re.fullmatch(rf"{name} = None  # .+", "".join(answer["source"])), "an answer cell, left empty"
        later = ["".join(cell["source"]) for cell in found[place + 2 :] if cell["cell_type"] == "code"]
        assert any(name in source for source in later), "the answer stands beside the result"


@each_lecture
def test_lecture_explains_its_code(lecture):
    words = sum(len(text.split()) for text in cells(lecture, "markdown"))
    lines = sum(bool(line.strip()) and not line.startswith("#|")
                for source in cells(lecture, "code") for line in source.splitlines())
    assert 8 <= words / lines <= 20


def glossary_entries():
    texts = cells(COURSE / "glossary.ipynb", "markdown")
    return dict(re.fullmatch(r"### (.+)\n\n(.+)", text).groups() for text in texts if text.startswith("### "))


@each_lecture
def test_lecture_links_to_the_glossary(lecture):
    # whether the entries exist is checked with all other links of the site
    linked = re.findall(r"\]\(glossary\.ipynb#([\w.-]+)\)", "\n".join(cells(lecture, "markdown")))
    assert len(set(linked)) >= 5


def test_glossary_is_in_order_and_has_the_words_of_the_report():
    from yelp_tl.report import GLOSSARY

    entries = glossary_entries()
    names = [re.sub(r"^[^a-z]+", "", term.lower()) for term in entries]
    assert names == sorted(names)
    assert {term: entries.get(term) for term, _ in GLOSSARY} == dict(GLOSSARY)


# modules


def numbers():
    """The number of each module, read from the name of its notebook."""
    names = [re.fullmatch(r"(\d+)_(\w+)", path.stem) for path in NOTEBOOKS if path.parent == HOUSE / "nbs"]
    return {match.group(2): int(match.group(1)) for match in names if match}


def test_every_module_has_its_notebook():
    assert {path.stem for path in MODULES} <= set(numbers())


@each_module
def test_module_imports_only_from_lower_numbers(module):
    numbered = numbers()
    for node in ast.walk(tree(module)):
        if isinstance(node, ast.ImportFrom) and (node.level or (node.module or "").startswith("yelp_tl.")):
            # nbdev writes an import of one line as a relative one
            name = node.module.removeprefix("yelp_tl.")
            assert numbered[name] < numbered[module.stem], name
        if isinstance(node, ast.Import):
            assert not any(alias.name.startswith("yelp_tl.") for alias in node.names), "import names, not modules"


def test_a_public_name_stands_in_one_module():
    """Two functions of one name are told apart by nobody who reads a page or an import."""
    homes = {}
    for module in MODULES:
        for node in ast.parse(module.read_text(encoding="utf-8")).body:
            if isinstance(node, ast.FunctionDef | ast.ClassDef) and not node.name.startswith("_"):
                homes.setdefault(node.name, []).append(module.stem)
    assert len(homes) > 200
    assert {name: found for name, found in homes.items() if len(found) > 1} == {}


@each_module
def test_no_function_is_above_forty_lines(module):
    long = {node.name: node.end_lineno - node.lineno + 1 for _, node in functions(module)}
    assert {name: lines for name, lines in long.items() if lines > 40} == {}


def test_functions_are_short():
    lengths = [node.end_lineno - node.lineno + 1 for module in MODULES for _, node in functions(module)]
    assert statistics.median(lengths) <= 14


def speaks_for_itself(annotation):
    """Whether a type needs no comment: nothing, or a class by name, such as Dataset or Axes."""
    if isinstance(annotation, ast.Name | ast.Attribute):
        return ast.unparse(annotation).split(".")[-1][0].isupper()
    return isinstance(annotation, ast.Constant)


def faults(node, lines):
    """What a public function leaves unsaid."""
    arguments = [*node.args.posonlyargs, *node.args.args, *node.args.kwonlyargs]
    arguments = [argument for argument in arguments if argument.arg not in ("self", "cls")]
    places = {argument.arg: (argument.annotation, argument.lineno) for argument in arguments}
    places["return"] = (node.returns, node.returns.lineno if node.returns else node.lineno)
    if not ast.get_docstring(node):
        yield f"{node.name}: no docstring"
    for name, (annotation, place) in places.items():
        if annotation is None:
            yield f"{node.name}: no type for {name}"
        elif name == "return" and ast.unparse(annotation) == "str":
            continue  # the docstring says which words come back
        elif not speaks_for_itself(annotation) and "#" not in lines[place - 1]:
            yield f"{node.name}: no comment for {name}"


@each_module
def test_public_functions_explain_themselves(module):
    lines = module.read_text(encoding="utf-8").splitlines()
    public = [node for owner, node in functions(module) if not owner and not node.name.startswith("_")]
    assert [fault for node in public for fault in faults(node, lines)] == []


@each_module
def test_comments_in_a_signature_hold_no_backtick(module):
    # the site would turn a name in backticks into a link, which shows as raw markdown inside code
    lines = module.read_text(encoding="utf-8").splitlines()
    public = [node for owner, node in functions(module) if not (owner or node.name).startswith("_")]
    found = [f"{node.name}: {line.strip()}" for node in public
             for line in lines[node.lineno - 1 : node.body[0].lineno - 1] if "`" in line.partition("#")[2]]
    assert found == []


@each_module
def test_public_classes_have_a_docstring_and_settings_are_frozen(module):
    for node in tree(module).body:
        if not isinstance(node, ast.ClassDef):
            continue
        assert node.name.startswith("_") or ast.get_docstring(node), node.name
        methods = [inner for inner in node.body if isinstance(inner, ast.FunctionDef)]
        bare = [inner.name for inner in methods if not inner.name.startswith("_") and not ast.get_docstring(inner)]
        assert node.name.startswith("_") or bare == [], node.name
        for mark in map(ast.unparse, node.decorator_list):
            assert "dataclass" not in mark or "frozen=True" in mark, node.name


@each_module
def test_module_imports_no_star_and_sets_no_seed_at_import(module):
    for node in ast.walk(tree(module)):
        assert not (isinstance(node, ast.ImportFrom) and node.names[0].name == "*")
    for node in tree(module).body:
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Call):
            assert "seed" not in ast.unparse(node.value.func)


def test_nothing_is_left_for_later():
    # the words are put together here, so that this file does not find itself
    words = ["TO" + "DO", "FIX" + "ME", "XX" + "X", "NotImplemented" + "Error"]
    places = [*MODULES, *sorted((HOUSE / "tests").glob("*.py")), HOUSE / "README.md"]
    texts = {path.name: path.read_text(encoding="utf-8") for path in places}
    # of a notebook the cells alone: the letters of a picture can spell anything
    texts |= {path.name: "\n".join(cells(path, "code") + cells(path, "markdown")) for path in NOTEBOOKS}
    found = {name: word for name, text in texts.items() for word in words if re.search(rf"\b{word}\b", text)}
    assert found == {}


def test_ruff_and_pytest_read_their_settings_from_one_file():
    tool = tomllib.loads(text_of("pyproject.toml"))["tool"]
    assert tool["ruff"]["line-length"] == 120
    assert "not slow" in tool["pytest"]["ini_options"]["addopts"]
    assert not (HOUSE / "pytest.ini").exists()
    assert not (HOUSE / "ruff.toml").exists()


@each_notebook
def test_cells_that_import_do_nothing_else(notebook):
    # the site's build runs cells with an import before anything else, so they cannot use what other cells made
    for source in cells(notebook, "code"):
        body = ast.parse(source).body
        imports = [node for node in body if isinstance(node, ast.Import | ast.ImportFrom)]
        assert not imports or len(imports) == len(body), source


def test_ruff_finds_nothing():
    done = subprocess.run([sys.executable, "-m", "ruff", "check", "."], cwd=HOUSE, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout


@pytest.mark.parametrize(("name", "file"), [("results", "compare.json"), ("simulated", "simulated.json")])
def test_readme_shows_the_committed_results(name, file):
    from yelp_tl.comparison import results_section

    shown = README.split(f"<!-- {name}:begin -->")[1].split(f"<!-- {name}:end -->")[0].strip()
    assert shown == results_section(json.loads(text_of(f"results/{file}"))).strip()


def test_committed_results_say_where_they_come_from():
    for path in (HOUSE / "results").glob("*.json"):
        content = json.loads(path.read_text(encoding="utf-8"))
        assert {"schema", "command", "machine", "data"} <= set(content), path.name
        assert "versions" in content or "versions" in content["environment"], path.name
        assert not re.search(r"/(home|root|tmp|work|Users)/", path.read_text(encoding="utf-8")), path.name
