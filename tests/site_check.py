"""Checks the pages of the site: links, anchors, pictures, sidebar, names of pages, callouts.

    python tests/site_check.py                   the notebooks of this checkout, shown by pandoc, without Quarto
    python tests/site_check.py --html _docs      the pages that Quarto built

Quarto and nbdev stay silent about most of what is looked for here. Heading ids are those of the built site, because
Quarto uses pandoc as well. What only Quarto knows stays unseen without it: theme, search, its own messages.
"""
import argparse
import base64
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections import Counter
from configparser import ConfigParser
from dataclasses import dataclass
from html import escape
from html.parser import HTMLParser
from pathlib import Path, PurePosixPath
from posixpath import dirname, normpath
from urllib.parse import unquote, urlsplit

import yaml

HOUSE = Path(__file__).resolve().parent.parent
VOID = {"area", "base", "br", "col", "embed", "hr", "img", "input", "link", "meta", "param", "source", "track", "wbr"}
LITERAL = {"pre", "code", "script", "style", "math", "annotation", "textarea"}  # words in these are no markdown
TARGETS = {"a": ["href"], "area": ["href"], "link": ["href"], "img": ["src"], "script": ["src"], "source": ["src"],
           "iframe": ["src"], "embed": ["src"], "audio": ["src"], "video": ["src", "poster"], "object": ["data"]}
LOADING = {"stylesheet", "preload", "modulepreload", "icon"}  # kinds of link that a browser fetches unasked
ELSEWHERE = re.compile(r"@import[^;]{0,9}(?:https?:)?//|url\(\s*[\"']?(?:https?:)?//")


# the site as settings.ini and _quarto.yml describe it


@dataclass(frozen=True)
class Site:
    """What a tree with settings.ini, _quarto.yml and nbs/ promises."""

    tree: Path
    address: str  # where the pages will be
    repository: str  # where the tree is
    branch: str
    version: str
    quarto: dict

    @classmethod
    def of(cls, tree: Path) -> "Site":
        parser = ConfigParser(delimiters=["="])
        parser.read(tree / "settings.ini", encoding="utf-8")
        names = parser["DEFAULT"]
        quarto = yaml.safe_load((tree / "_quarto.yml").read_text(encoding="utf-8"))
        return cls(tree, (names["doc_host"] + names["doc_baseurl"]).rstrip("/"), names["git_url"].rstrip("/"),
                   names["branch"], names["version"], quarto)

    @property
    def notebooks(self) -> list[str]:
        """Notebooks that nbdev makes pages of, as paths inside nbs/."""
        found = [path.relative_to(self.tree / "nbs") for path in (self.tree / "nbs").rglob("*.ipynb")]
        return sorted(path.as_posix() for path in found if not any(part[0] in "._" for part in path.parts))


def page_of(notebook: str) -> str:
    """The page's file: nbdev takes the number off the name."""
    path = PurePosixPath(notebook)
    return path.with_name(re.sub(r"^\d+[a-zA-Z0-9]*_", "", path.stem) + ".html").as_posix()


def entries(items: list):
    """Every page that a sidebar or navbar names, at any depth."""
    for item in items:
        if isinstance(item, str):
            yield item
            continue
        yield from [item["href"]] if "href" in item else []
        yield from entries(item.get("contents", []) + item.get("menu", []))


def list_faults(site: Site) -> list[str]:
    """Pages that render list or sidebar leave out, name twice, or name in vain; pages of one name."""
    website = site.quarto["website"]
    there = site.notebooks
    faults = []
    for place, listed in (("render", site.quarto["project"]["render"]),
                          ("sidebar", entries(website["sidebar"]["contents"]))):
        count = Counter(name for name in listed if "://" not in name and name.strip("-"))
        faults += [f"_quarto.yml: {place} lacks {name}" for name in there if not count[name]]
        faults += [f"_quarto.yml: {place} names {name}, which is no notebook" for name in sorted({*count} - {*there})]
        faults += [f"_quarto.yml: {place} names {name} {n} times" for name, n in count.items() if n > 1]
    bars = [item for side in ("left", "right") for item in website["navbar"].get(side, [])]
    faults += [f"_quarto.yml: navbar names {name}, which is no notebook" for name in entries(bars)
               if "://" not in name and name not in there]
    same = Counter(page_of(name).lower() for name in there)  # some disks take capitals for the same letters
    faults += [f"{name}: its page {page_of(name)} is another notebook's too" for name in there
               if same[page_of(name).lower()] > 1]
    return faults


# pages as a browser reads them


class Page(HTMLParser):
    """Ids, links and visible words of one page, and what its callouts and its sidebar hold."""

    def __init__(self, text: str):
        super().__init__(convert_charrefs=True)
        self.ids, self.links, self.faults, self.sidebar = Counter(), [], [], set()
        self.open: list[tuple[str, str]] = []  # tags not closed yet, and what each opens: sidebar, callout, words
        self.feed(text)
        self.close()

    def fault(self, said: str) -> None:
        self.faults.append(f"{self.getpos()[0]}: {said}")

    def within(self, kind: str) -> bool:
        return any(opened == kind for _, opened in self.open)

    def handle_starttag(self, tag: str, attributes: list) -> None:
        values = {name: value or "" for name, value in attributes}
        for name in {values.get("id"), values.get("name") if tag == "a" else None} - {None, ""}:
            self.ids[name] += 1
        for name in TARGETS.get(tag, []):
            if name in values:
                self.links.append((self.getpos()[0], tag, values.get("rel", ""), values[name]))
        if tag == "a" and self.within("sidebar"):
            self.sidebar.add(values.get("href", ""))
        if tag == "img" and "alt" not in values:
            self.fault("a picture without a text: img needs alt")
        if tag in ("h1", "h2") and self.within("callout"):
            self.fault("a heading inside a callout, which is perhaps not closed")
        if ELSEWHERE.search(values.get("style", "")):
            self.fault("a style loads from another server")
        if tag not in VOID:
            classes = values.get("class", "").split()
            kind = "sidebar" if values.get("id") == "quarto-sidebar" else "callout" if "callout" in classes else ""
            self.open.append((tag, kind or ("literal" if tag in LITERAL else "")))

    def handle_endtag(self, tag: str) -> None:
        if tag in (names := [name for name, _ in self.open]):
            del self.open[len(names) - 1 - names[::-1].index(tag) :]

    def handle_data(self, data: str) -> None:
        if self.open and self.open[-1][0] == "style":
            if ELSEWHERE.search(data):
                self.fault("a style loads from another server")
        elif not self.within("literal") and (raw := re.search(r":::|\]\(|\{\{<", data)):
            self.fault(f"markdown that was not understood: {data[max(0, raw.start() - 30) : raw.end() + 30].strip()!r}")


def repository_fault(site: Site, target: str) -> str | None:
    """Why a link into the repository, or to Colab, leads nowhere."""
    colab = "https://colab.research.google.com/github/" + site.repository.removeprefix("https://github.com/")
    if target.startswith(f"{colab}/blob/"):
        mark, _, name = unquote(target.removeprefix(f"{colab}/blob/")).partition("/")
        if mark != f"v{site.version}":
            return f"Colab opens {mark}, settings.ini has version {site.version}"
    elif match := re.fullmatch(re.escape(site.repository) + r"/(?:blob|tree|raw)/([^/]+)/([^#?]*).*", target):
        mark, name = match[1], unquote(match[2])
        if mark not in (site.branch, f"v{site.version}"):
            return None
    else:
        return None
    return None if (site.tree / name).exists() else f"no such file in the repository: {name}"


def link_fault(site: Site, pages: dict[str, Page], folder: Path, page: str, tag: str, kind: str, target: str):
    """Why a link of a page leads nowhere, or None."""
    if (target + "/").startswith(site.address + "/"):  # the site's own pages by their full address
        target, page = target.removeprefix(site.address).lstrip("/") or "index.html", "index.html"
    parts = urlsplit(target)
    if parts.scheme or parts.netloc:
        loads = tag not in ("a", "area", "link") or not {*kind.split()}.isdisjoint(LOADING)
        if loads and parts.scheme != "data":
            return "loads from another server"
        return repository_fault(site, target)
    name = normpath(f"{dirname(page)}/{unquote(parts.path)}".lstrip("/")) if parts.path else page
    if (folder / name).is_dir():
        name = normpath(f"{name}/index.html")
    if name.startswith("..") or not (folder / name).is_file():
        return "broken picture" if tag == "img" else "broken link"
    anchor = unquote(parts.fragment)
    if name not in pages or anchor in ("", "top"):
        return None
    found = pages[name].ids[anchor]
    return None if found == 1 else "broken anchor" if not found else f"{found} places have this anchor's id"


def page_faults(site: Site, folder: Path) -> list[str]:
    """What is wrong in a folder of finished pages."""
    pages = {path.relative_to(folder).as_posix(): Page(path.read_text(encoding="utf-8"))
             for path in sorted(folder.rglob("*.html")) if "site_libs" not in path.relative_to(folder).parts}
    faults = [f"no page for {name}" for name in site.notebooks if page_of(name) not in pages]
    for name, page in pages.items():
        faults += [f"{name}:{said}" for said in page.faults]
        for line, tag, kind, target in page.links:
            if said := link_fault(site, pages, folder, name, tag, kind, target):
                faults.append(f"{name}:{line}: {said}: {target}")
    faults += [f"{path.relative_to(folder).as_posix()}: loads from another server"
               for path in sorted(folder.rglob("*.css")) if ELSEWHERE.search(path.read_text(encoding="utf-8"))]
    return faults


def built_faults(site: Site, folder: Path) -> list[str]:
    """What is wrong with the site that Quarto built: its pages, and a sidebar without one of them."""
    faults = list_faults(site) + page_faults(site, folder)
    if not (folder / "index.html").is_file():
        return [*faults, "no index.html"]
    home = Page((folder / "index.html").read_text(encoding="utf-8"))
    listed = {normpath(unquote(urlsplit(target).path)) for target in home.sidebar}
    return faults + [f"index.html: its sidebar lacks {page_of(name)}" for name in site.notebooks
                     if page_of(name) not in listed]


# notebooks as nbdev gives them to Quarto, shown by pandoc


def process(tree: Path, into: Path, execute: bool) -> Path:
    """The notebooks of a tree after nbdev's filters, made in a copy: links, no hidden cells, signatures if executed."""
    import nbdev.config
    import nbdev.serve

    for name in ("settings.ini", "_quarto.yml"):
        shutil.copy2(tree / name, into / name)
    shutil.copytree(tree / "nbs", into / "nbs", ignore=shutil.ignore_patterns(".*", "nbdev.yml"))
    if not execute:
        with open(into / "settings.ini", "a", encoding="utf-8") as file:
            file.write("\nskip_procs = exec_show_docs\n")
    nbdev.config.get_config.cache_clear()
    before = Path.cwd()
    os.chdir(into)
    try:
        return Path(nbdev.serve.proc_nbs(n_workers=0, force=True)).resolve()
    finally:
        os.chdir(before)
        nbdev.config.get_config.cache_clear()


def directives(source: str) -> tuple[dict, str]:
    """The lines of a code cell that start with #| as Quarto reads them, together as YAML, and the rest of the cell."""
    lines = source.splitlines()
    told = [line.lstrip()[2:] for line in lines if line.lstrip().startswith("#|")]
    found = yaml.safe_load("\n".join(line.removeprefix(" ") for line in told if ":" in line)) or {}
    return found, "\n".join(line for line in lines if not line.lstrip().startswith("#|"))


def flatten_output(output: dict, told: dict, save) -> str:
    """One stored output as markdown; `save` writes a picture and gives its file name."""
    data = {kind: "".join(value) for kind, value in output.get("data", {}).items() if isinstance(value, str | list)}
    if output["output_type"] == "error":
        return f"```\n{output['ename']}: {output['evalue']}\n```"
    if output["output_type"] == "stream":
        text = "".join(output["text"])
        return text if told.get("output") == "asis" else f"```\n{text}\n```"
    if "text/html" in data:
        return f"```{{=html}}\n{data['text/html']}\n```"
    if "text/markdown" in data:
        return data["text/markdown"]
    for kind, ending in (("image/svg+xml", "svg"), ("image/png", "png")):
        if kind in data:
            content = data[kind].encode() if ending == "svg" else base64.b64decode(data[kind])
            alt = escape(str(told.get("fig-alt", "")), quote=True)
            label = f' id="{told["label"]}"' if "label" in told else ""
            return f'```{{=html}}\n<figure{label}><img src="{save(content, ending)}" alt="{alt}"></figure>\n```'
    return f"```\n{data.get('text/plain', '')}\n```"


def flatten(notebook: dict, save, fault) -> tuple[dict, str]:
    """The page's front matter, and the rest of a processed notebook as one markdown text."""
    front, parts = {}, []
    for cell in notebook["cells"]:
        source = "".join(cell["source"])
        if cell["cell_type"] == "raw":
            if match := re.fullmatch(r"---\n(.*?)\n---\s*", source.strip(), re.DOTALL):
                front |= yaml.safe_load(match[1]) or {}
        elif cell["cell_type"] == "markdown":
            parts.append(source)
        else:
            try:
                told, code = directives(source)
            except yaml.YAMLError:
                fault(f"settings of a cell that are no YAML; quotes around them help: {source[:60]!r}")
                continue
            if told.get("include") is False:
                continue
            if not cell.get("outputs") and (name := re.fullmatch(r"show_doc\((\w+)\)", code.strip())):
                parts.append(f"### {name[1]}")  # nbdev's heading, where nothing was executed
            if code.strip() and told.get("echo") is not False:
                parts.append(f"```python\n{code}\n```")
            if told.get("output") is not False:
                parts += [flatten_output(output, told, save) for output in cell.get("outputs", [])]
    return front, "\n\n".join(parts)


PAGE = """<!DOCTYPE html>
<html lang="{lang}">
<head><meta charset="utf-8"><meta name="viewport" content="width=device-width"><title>{title}</title></head>
<body><main>
<header><h1>{title}</h1><p>{description}</p></header>
{body}
</main></body>
</html>
"""


def page_text(body: str, front: dict, lang: str, notebook: str, names: set[str]) -> str:
    """A whole page around what pandoc made; a link to a notebook becomes one to its page, as Quarto does it."""
    def to_page(match: re.Match) -> str:
        name = normpath(f"{dirname(notebook)}/{unquote(match[1])}".lstrip("/"))
        return f'href="{page_of(match[1])}{match[2] or ""}"' if name in names else match[0]

    body = re.sub(r'href="([^":#]+\.ipynb)(#[^"]*)?"', to_page, body)
    return PAGE.format(lang=lang, title=escape(str(front.get("title", ""))), body=body,
                       description=escape(str(front.get("description", ""))))


def show(site: Site, processed: Path, folder: Path) -> list[str]:
    """Write the page of every processed notebook into a folder; what pandoc or nbdev found wrong."""
    import pypandoc

    faults, names = [], set(site.notebooks)
    for name in site.notebooks:
        target = folder / page_of(name)
        target.parent.mkdir(parents=True, exist_ok=True)
        count = iter(range(1000))

        def save(content: bytes, ending: str, target=target, count=count) -> str:
            picture = target.with_name(f"{target.stem}-{next(count)}.{ending}")
            picture.write_bytes(content)
            return picture.name

        def fault(said: str, name=name, faults=faults) -> None:
            faults.append(f"{name}: {said}")

        front, markdown = flatten(json.loads((processed / name).read_text(encoding="utf-8")), save, fault)
        if front.get("output-file", target.name) != target.name:
            faults.append(f"{name}: nbdev names its page {front['output-file']}, not {target.name}")
        words = [pypandoc.get_pandoc_path(), "--from", "markdown", "--to", "html5", "--mathml", "--wrap", "preserve"]
        done = subprocess.run(words, input=markdown, capture_output=True, text=True, encoding="utf-8", check=True)
        faults += [f"{name}: {line.removeprefix('[WARNING] ')}" for line in done.stderr.splitlines()
                   if line.startswith("[WARNING]")]
        text = page_text(done.stdout, front, site.quarto.get("lang", ""), name, names)
        target.write_text(text, encoding="utf-8")
    return faults


def copy_other_files(site: Site, folder: Path) -> None:
    """Pictures and other files beside the notebooks, which Quarto copies."""
    for path in (site.tree / "nbs").rglob("*"):
        inside = path.relative_to(site.tree / "nbs")
        if path.is_file() and path.suffix not in (".ipynb", ".py", ".yml", ".scss") and inside.parts[0][0] not in "._":
            (folder / inside).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(path, folder / inside)


def lost_words(site: Site) -> list[str]:
    """nbdev makes the page's title of the first cell that has one, and drops what else stands in that cell."""
    faults = []
    for name in site.notebooks:
        for cell in json.loads((site.tree / "nbs" / name).read_text(encoding="utf-8"))["cells"]:
            source = "".join(cell["source"])
            if cell["cell_type"] == "markdown" and re.search(r"^#\s+\S", source, re.MULTILINE):
                if rest := re.sub(r"^[#>]\s+\S.*$", "", source, flags=re.MULTILINE).strip():
                    faults.append(f"{name}: the site drops what follows the title in its cell: {rest[:40]!r}")
                break
    return faults


def notebook_faults(site: Site, folder: Path, execute: bool = True) -> list[str]:
    """What is wrong with the notebooks of a tree; their pages are left in the folder.

    Executing makes the signatures of exported functions, and imports every library. Without it their headings stand
    there alone, which is enough for links.
    """
    faults = list_faults(site) + lost_words(site)
    with tempfile.TemporaryDirectory() as copy:
        processed = process(site.tree, Path(copy), execute)
        faults += show(site, processed, folder)
    copy_other_files(site, folder)
    return faults + page_faults(site, folder)


def main(words: list[str]) -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--html", type=Path, help="a folder of built pages to look at instead of the notebooks")
    parser.add_argument("--keep", type=Path, help="an empty folder that the notebooks' pages are left in")
    options = parser.parse_args(words)
    site = Site.of(HOUSE)
    with tempfile.TemporaryDirectory() as made:
        faults = built_faults(site, options.html) if options.html else notebook_faults(site, options.keep or Path(made))
    print("\n".join(faults) or "nothing wrong")
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
