"""The site without Quarto: no fault in this checkout's pages, and each kind of fault is found where it is planted."""
import importlib
import inspect
import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from site_check import HOUSE, Site, built_faults, list_faults, notebook_faults, page_of

SETTINGS = """[DEFAULT]
repo = school
lib_name = school
user = teacher
branch = main
version = 1.2.0
title = school
description = pages with faults
author = A teacher
copyright = A teacher
license = apache2
status = 3
min_python = 3.11
keywords = x
audience = x
language = English
doc_host = https://teacher.github.io
doc_baseurl = /school
git_url = https://github.com/teacher/school
doc_path = _docs
nbs_path = nbs
lib_path = school
recursive = True
custom_sidebar = True
"""
PICTURE = "data:image/gif;base64,R0lGODlhAQABAAAAACwAAAAAAQABAAA="
CLEAN = {
    "index": "See [rows](00_rows.ipynb#what-a-row-is), [the first lesson](course/01_first.ipynb), [this](#here-again), "
             "[the same](https://teacher.github.io/school/rows.html#what-a-row-is), [no page](https://example.org), "
             "[a file](https://github.com/teacher/school/blob/main/settings.ini), [by mail](mailto:a@example.org).\n\n"
             "[Open in Colab](https://colab.research.google.com/github/teacher/school/blob/v1.2.0/nbs/00_rows.ipynb)\n\n"
             "## Here\n\n## Here\n\n## Here again\n\n::: {.callout-note}\n## A title\nWords, and $x_1 < 2$.\n:::\n\n"
             "![Two dots](plots/dots.svg)",
    "00_rows": "## What a row is\n\nCode that looks like markdown: `a[0](1)` and `:::`.",
    "course/01_first": "Back to [rows](../00_rows.ipynb#what-a-row-is) or [home](../index.ipynb).",
}
PLANTED = {  # notebook: what is wrong in it, and how it is told
    "01_link": ("[x](02_nothing.ipynb)", r"link.html:\d+: broken link: 02_nothing.ipynb"),
    "02_anchor": ("[x](00_rows.ipynb#what-is-a-row)", r"anchor.html:\d+: broken anchor: rows.html#what-is-a-row"),
    "03_address": ("[x](https://teacher.github.io/school/row.html)", r"address.html:\d+: broken link: https://.*/row.html"),
    "04_image": ("![A plot](plots/none.png)", r"image.html:\d+: broken picture: plots/none.png"),
    "05_callout": ("::: {.callout-tip}\nWords.\n\n## The next part", r"05_callout.ipynb: Div at .* unclosed .*"),
    "06_fence": ("Words.\n::: {.callout-tip}\nMore.\n:::", r"fence.html:\d+: markdown that was not understood: .*"),
    "07_formula": (r"An $\unknowncommand{x}$.", r"07_formula.ipynb: Could not convert TeX math .*"),
    "08_script": ('<script src="https://example.org/a.js"></script>', r"script.html:\d+: loads from another .*"),
    "09_style": ("<style>@import url(https://example.org/a.css);</style>", r"style.html:\d+: a style loads from .*"),
    "10_words": (f'<img src="{PICTURE}">', r"words.html:\d+: a picture without a text: img needs alt"),
    "11_file": ("[x](https://github.com/teacher/school/blob/main/none.py)", r"file.html:\d+: no such file in .*"),
    "12_colab": ("[x](https://colab.research.google.com/github/teacher/school/blob/v1.1.0/nbs/00_rows.ipynb)",
                 r"colab.html:\d+: Colab opens v1.1.0, settings.ini has version 1.2.0: .*"),
    "13_double": ('<b id="one"></b><b id="one"></b>[x](#one)', r"double.html:\d+: 2 places have this .*: #one"),
}
LONELY, TWINS = "14_lonely", ("15_twin", "16_twin")


def write_notebook(path: Path, *cells: tuple[str, str]) -> None:
    made = [{"cell_type": kind, "id": f"cell{number}", "metadata": {}, "source": source}
            | ({"execution_count": None, "outputs": []} if kind == "code" else {})
            for number, (kind, source) in enumerate(cells)]
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps({"cells": made, "metadata": {}, "nbformat": 4, "nbformat_minor": 5}), encoding="utf-8")


def write_tree(tree: Path, pages: dict[str, str], outside_sidebar: tuple[str, ...] = ()) -> Site:
    """A checkout with these pages: each has its title in a cell of its own."""
    (tree / "settings.ini").parent.mkdir(parents=True, exist_ok=True)
    (tree / "settings.ini").write_text(SETTINGS, encoding="utf-8")
    for name, markdown in pages.items():
        write_notebook(tree / "nbs" / f"{name}.ipynb", ("markdown", f"# {name}\n\n> Words."), ("markdown", markdown))
    plots = tree / "nbs" / "plots"
    plots.mkdir()
    (plots / "dots.svg").write_text('<svg xmlns="http://www.w3.org/2000/svg"/>', encoding="utf-8")
    render = [f"{name}.ipynb" for name in pages]
    listed = [f"{name}.ipynb" for name in pages if name not in outside_sidebar]
    website = {"navbar": {"left": [{"text": "Home", "href": "index.ipynb"}]},
               "sidebar": {"contents": [listed[0], {"section": "All", "contents": listed[1:]}]}}
    quarto = {"lang": "en", "project": {"render": render}, "website": website}
    (tree / "_quarto.yml").write_text(yaml.safe_dump(quarto), encoding="utf-8")
    return Site.of(tree)


@pytest.fixture(scope="module")
def checked(tmp_path_factory):
    "One look at this checkout and at one full of faults: what is told of each, and the folder of both sites' pages."
    tree, keep = tmp_path_factory.mktemp("school"), tmp_path_factory.mktemp("pages")
    planted = {name: markdown for name, (markdown, _) in PLANTED.items()}
    write_tree(tree, CLEAN | planted | dict.fromkeys([LONELY, *TWINS], "Words."), outside_sidebar=(LONELY,))
    write_notebook(tree / "nbs" / "17_title.ipynb", ("markdown", "# title\n\n> Words.\n\nLost words."))
    write_notebook(tree / "nbs" / "18_settings.ipynb", ("markdown", "# settings\n\n> Words."),
                   ("code", "#| fig-alt: Two lines: one up.\nplot()"))
    quarto = yaml.safe_load((tree / "_quarto.yml").read_text(encoding="utf-8"))
    for listed in (quarto["project"]["render"], quarto["website"]["sidebar"]["contents"]):
        listed += ["17_title.ipynb", "18_settings.ipynb"]
    quarto["website"]["sidebar"]["contents"].append("19_nothing.ipynb")
    (tree / "_quarto.yml").write_text(yaml.safe_dump(quarto), encoding="utf-8")
    found = [notebook_faults(Site.of(place), keep / name, execute=False)
             for place, name in ((HOUSE, "here"), (tree, "there"))]
    return found, keep


def test_nothing_is_wrong_with_the_pages_of_this_checkout(checked):
    (here, _), _ = checked
    assert here == []


def has_pages_functions_and_links(folder):
    site = Site.of(HOUSE)
    pages = {path.relative_to(folder).as_posix() for path in folder.rglob("*.html")}
    assert pages == {page_of(name) for name in site.notebooks} and len(pages) >= 15
    page = (folder / "comparison.html").read_text(encoding="utf-8")
    assert '<h3 id="compare">' in page  # nbdev's heading of a function, and its link from a name in backticks
    assert f'href="{site.address}/comparison.html#collect_runs"' in page
    assert "<figure><img" in page
    return page


def test_every_notebook_has_a_page_with_its_functions_and_links(checked):
    _, keep = checked
    has_pages_functions_and_links(keep / "here")
    assert "<math" in (keep / "there" / "index.html").read_text(encoding="utf-8")


@pytest.mark.slow
def test_pages_with_signatures(tmp_path):
    "As the site's build makes them: exported cells are executed, and every library is imported."
    words = [sys.executable, str(HOUSE / "tests" / "site_check.py"), "--keep", str(tmp_path)]
    done = subprocess.run(words, capture_output=True, text=True, encoding="utf-8", cwd=HOUSE)
    assert (done.returncode, done.stdout) == (0, "nothing wrong\n"), done.stdout + done.stderr[-2000:]
    assert "Returns" in has_pages_functions_and_links(tmp_path)


@pytest.mark.parametrize("name", [path.stem for path in (HOUSE / "yelp_tl").glob("[!_]*.py")])
def test_every_exported_name_can_be_shown(name):
    "Else the build of the site fails: the signature of a class from another package may not be readable here."
    from nbdev.showdoc import show_doc

    module = importlib.import_module(f"yelp_tl.{name}")
    for exported in module.__all__:
        value = getattr(module, exported)
        if inspect.isfunction(value) or inspect.isclass(value):
            assert exported in show_doc(value)._repr_markdown_()


@pytest.mark.parametrize("name", PLANTED)
def test_a_planted_fault_is_found(name, checked):
    (_, there), _ = checked
    page = page_of(f"{name}.ipynb")
    told = [line for line in there if line.startswith((f"{page}:", f"{name}.ipynb:"))]
    assert len(told) == 1 and re.fullmatch(PLANTED[name][1], told[0]), told


@pytest.mark.parametrize("told", [
    f"_quarto.yml: sidebar lacks {LONELY}.ipynb",
    "_quarto.yml: sidebar names 19_nothing.ipynb, which is no notebook",
    *[f"{name}.ipynb: its page twin.html is another notebook's too" for name in TWINS],
    "17_title.ipynb: the site drops what follows the title in its cell: 'Lost words.'",
    "18_settings.ipynb: settings of a cell that are no YAML; quotes around them help: "
    "'#| fig-alt: Two lines: one up.\\nplot()'",
])
def test_other_faults_are_found(told, checked):
    (_, there), _ = checked
    assert there.count(told) == 1, there


def test_nothing_else_is_called_a_fault(checked):
    (_, there), _ = checked
    assert len(there) == len(PLANTED) + 6, there


# the pages that Quarto built


def built_page(title: str, body: str, listed: list[str], up: str = "./") -> str:
    """A page in the shape that Quarto gives it: files beside it, a sidebar, buttons with empty links."""
    items = "".join(f'<li><a href="{up}{name}" class="sidebar-link"><span>{name}</span></a></li>' for name in listed)
    return f"""<!DOCTYPE html>
<html lang="en"><head><meta charset="utf-8"><title>{title}</title>
<link href="{up}site_libs/bootstrap/bootstrap.css" rel="stylesheet"><link href="{up}rows.html" rel="next">
<script src="{up}site_libs/quarto.js"></script></head>
<body><a href="" class="quarto-color-scheme-toggle" onclick="return false;">Dark</a>
<nav id="quarto-sidebar" class="sidebar"><ul>{items}</ul></nav>
<main><h1 class="title">{title}</h1>{body}
<section id="what-a-row-is" class="level2"><h2 class="anchored">What a row is</h2>
<div class="callout callout-style-default callout-note"><div class="callout-header">A title</div>
<div class="callout-body-container"><p>Words.</p></div></div></section>
<section id="after" class="level2"><h2>After</h2></section></main></body></html>
"""


@pytest.fixture
def built(tmp_path):
    "A tree, and its site as Quarto would have built it."
    site = write_tree(tmp_path / "tree", CLEAN)
    folder = tmp_path / "_docs"
    style = folder / "site_libs" / "bootstrap" / "bootstrap.css"
    style.parent.mkdir(parents=True)
    style.write_text("body { background: url(data:x) }", encoding="utf-8")
    (folder / "site_libs" / "quarto.js").write_text("", encoding="utf-8")
    listed = [page_of(name) for name in site.notebooks]
    for name in listed:
        up = "../" if "/" in name else "./"
        (folder / name).parent.mkdir(exist_ok=True)
        body = f'<p><a href="{up}rows.html#what-a-row-is">row</a> <img src="{up}plots/dots.svg" alt="Dots"></p>'
        (folder / name).write_text(built_page(name, body, listed, up), encoding="utf-8")
    shutil.copytree(site.tree / "nbs" / "plots", folder / "plots")
    return site, folder


def test_a_built_site_without_faults(built):
    assert built_faults(*built) == []


CALLOUT = "<p>Words.</p></div></div></section>"
CHANGES = {  # what is changed on the page rows.html, and how it is told
    "link": ("./rows.html#what", "./row.html#what", r"rows.html:\d+: broken link: ./row.html#what-a-row-is"),
    "anchor": ("#what-a-row-is", "#a-row", r"rows.html:\d+: broken anchor: ./rows.html#a-row"),
    "image": ("plots/dots.svg", "plots/dot.svg", r"rows.html:\d+: broken picture: ./plots/dot.svg"),
    "callout": (CALLOUT, "<p>Words.</p>", r"rows.html:\d+: a heading inside a callout, which is perhaps not closed"),
    "fence": ("<p>Words.", "<p>::: Words.", r"rows.html:\d+: markdown that was not understood: '::: Words.'"),
    "script": ("./site_libs/quarto.js", "https://example.org/a.js", r"rows.html:\d+: loads from another server: .*"),
    "typeface": ("./site_libs/bootstrap/bootstrap.css", "//example.org/a.css", r"rows.html:\d+: loads from another .*"),
    "style file": ("bootstrap.css", "none.css", r"rows.html:\d+: broken link: ./site_libs/bootstrap/none.css"),
}


@pytest.mark.parametrize("name", CHANGES)
def test_a_planted_fault_of_a_built_page_is_found(name, built):
    site, folder = built
    before, after, told = CHANGES[name]
    text = (folder / "rows.html").read_text(encoding="utf-8")
    assert text.count(before) == 1
    (folder / "rows.html").write_text(text.replace(before, after), encoding="utf-8")
    found = built_faults(site, folder)
    assert len(found) == 1 and re.fullmatch(told, found[0]), found


def test_a_built_page_that_is_missing_or_not_in_the_sidebar(built):
    site, folder = built
    text = (folder / "index.html").read_text(encoding="utf-8").replace("./course/first.html", "./rows.html")
    (folder / "index.html").write_text(text, encoding="utf-8")
    assert built_faults(site, folder) == ["index.html: its sidebar lacks course/first.html"]
    (folder / "course" / "first.html").unlink()
    assert "no page for course/01_first.ipynb" in built_faults(site, folder)


def test_a_built_style_that_loads_from_elsewhere(built):
    site, folder = built
    path = folder / "site_libs" / "bootstrap" / "bootstrap.css"
    path.write_text("@import url('https://example.org/typeface.css');", encoding="utf-8")
    assert built_faults(site, folder) == ["site_libs/bootstrap/bootstrap.css: loads from another server"]


def test_two_notebooks_of_one_page_are_told_of_a_built_site_too(built):
    site, folder = built
    shutil.copy2(site.tree / "nbs" / "00_rows.ipynb", site.tree / "nbs" / "07_rows.ipynb")
    assert "07_rows.ipynb: its page rows.html is another notebook's too" in built_faults(site, folder)
    assert list_faults(site)[:2] == [f"_quarto.yml: {place} lacks 07_rows.ipynb" for place in ("render", "sidebar")]


# what the site loads


def test_site_names_files_that_exist_and_loads_nothing_from_elsewhere():
    site = Site.of(HOUSE)
    html = site.quarto["format"]["html"]
    assert html["html-math-method"] == "mathml"
    for themes in html["theme"].values():
        assert [name for name in themes if name.endswith(".scss")] == ["theme.scss"]
    theme = (HOUSE / "nbs" / "theme.scss").read_text(encoding="utf-8")
    assert "$web-font-path: false;" in theme  # else both themes fetch a typeface
    settings = (HOUSE / "_quarto.yml").read_text(encoding="utf-8")
    assert not re.search(r"analytics|cookie-consent|comments:|include-(in-header|before|after)|\.js\b|font", settings)
    assert not re.search(r"@import|https?:|//[\w.-]+\.\w+/", re.sub(r"^//.*", "", theme, flags=re.MULTILINE))
    inside = yaml.safe_load((HOUSE / "nbs" / "_quarto.yml").read_text(encoding="utf-8"))
    assert inside == {"metadata-files": ["../_quarto.yml", "nbdev.yml"]}


# what a teacher follows


def test_colab_opens_the_released_version_of_every_lecture():
    site = Site.of(HOUSE)
    start = "https://colab.research.google.com/github/" + site.repository.removeprefix("https://github.com/") + "/blob/"
    texts = [path.read_text(encoding="utf-8") for path in [HOUSE / "README.md", *(HOUSE / "nbs").rglob("*.ipynb")]]
    marks = {mark for text in texts for mark in re.findall(re.escape(start) + r"([^/\s]+)/", text)}
    assert marks <= {f"v{site.version}", "v{yelp_tl.__version__}"} and f"v{site.version}" in marks
    opened = set(re.findall(re.escape(f"{start}v{site.version}/") + r"([\w./]+)", "".join(texts)))
    lectures = {path.relative_to(HOUSE).as_posix() for path in (HOUSE / "nbs" / "course").glob("[0-9]*.ipynb")}
    assert opened == lectures and lectures


def test_the_readme_leads_a_teacher_to_files_that_exist():
    part = (HOUSE / "README.md").read_text(encoding="utf-8").split("## Teach with it\n")[1].split("\n## ")[0]
    named = re.findall(r"(?:nbs|course)/[\w./]+", part)
    assert len(named) >= 5 and [name for name in named if not (HOUSE / name).exists()] == []
