"""Site pages and report, looked at by axe-core in Chromium: no serious fault for those who cannot see or click.

The page is loaded with axe-core inside; its findings take the page's place, and Chromium prints them. What pandoc shows
has no theme, so colours of the site stay unseen here; the report is looked at in its light and its dark colours.
"""
import json
import os
import re
import shutil
import subprocess
import sys
from html import unescape
from pathlib import Path

import pytest
from site_check import HOUSE

from yelp_tl import cli
from yelp_tl.data import example_reviews

CHROMIUM = next(filter(None, map(shutil.which, ["chromium", "chromium-browser", "google-chrome", "chrome"])), None)
AXE = Path(os.environ.get("AXE", HOUSE / "node_modules" / "axe-core" / "axe.min.js"))
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(CHROMIUM is None, reason="needs Chromium or Chrome on the PATH"),
    pytest.mark.skipif(not AXE.is_file(), reason="needs axe-core: npm install --no-save axe-core, or its file in AXE"),
]
ASK = """<script>{axe}</script><script>
addEventListener("load", () => axe.run({{resultTypes: ["violations"]}}).then(
  found => document.documentElement.textContent = JSON.stringify({{
    found: found.violations, passes: found.passes.length, dark: matchMedia("(prefers-color-scheme: dark)").matches}}),
  error => document.documentElement.textContent = JSON.stringify({{error: String(error)}})));
</script>"""


def ask_axe(page: Path, folder: Path, dark: bool = False) -> dict:
    "What axe-core finds on a page, with pictures and files beside it."
    text = page.read_text(encoding="utf-8")
    text = re.sub(r'<meta http-equiv="Content-Security-Policy"[^>]*>', "", text)  # it would keep axe-core out
    asked = page.with_name(f"asked-{page.name}")
    asked.write_text(text + ASK.format(axe=AXE.read_text(encoding="utf-8")), encoding="utf-8")
    words = [CHROMIUM, "--headless", "--no-sandbox", "--disable-gpu", "--disable-background-networking",
             "--disable-component-update", "--disable-sync", "--no-first-run", f"--user-data-dir={folder / 'profile'}",
             f"--blink-settings=preferredColorScheme={0 if dark else 1}", "--virtual-time-budget=60000", "--dump-dom",
             asked.as_uri()]
    done = subprocess.run(words, capture_output=True, text=True, encoding="utf-8", timeout=600)
    asked.unlink()
    assert done.returncode == 0, done.stderr
    answer = json.loads(unescape(re.sub(r"</?html[^>]*>|<!DOCTYPE[^>]*>", "", done.stdout)))
    assert "error" not in answer and answer["dark"] == dark, answer
    return answer


def serious(answer: dict) -> list[str]:
    "What bars somebody from a part of the page: rule, place, and what axe-core says."
    return [f"{one['id']} ({one['impact']}): {node['target']}: {node['failureSummary']}"
            for one in answer["found"] if one["impact"] in ("serious", "critical") for node in one["nodes"]]


@pytest.fixture(scope="module")
def pages(tmp_path_factory):
    "The pages of the site as pandoc shows them, with the signatures of functions."
    folder = tmp_path_factory.mktemp("pages")
    words = [sys.executable, str(HOUSE / "tests" / "site_check.py"), "--keep", str(folder)]
    subprocess.run(words, cwd=HOUSE, check=True)
    return folder


@pytest.fixture(scope="module")
def report(tiny_folder, tmp_path_factory):
    "The report of a tiny run."
    folder = tmp_path_factory.mktemp("report")
    example_reviews().to_parquet(folder / "reviews.parquet")
    words = ["compare", "--data", str(folder / "reviews.parquet"), "--model", str(tiny_folder), "--n-train", "30",
             "--n-validation", "10", "--n-test", "20", "--epochs", "1", "--out", str(folder / "run")]
    assert cli.main(words) == 0
    return folder / "run" / "report.html"


def test_a_planted_fault_is_found(tmp_path):
    page = tmp_path / "page.html"
    page.write_text('<!DOCTYPE html><html><head><title>t</title></head><body><main><h1>t</h1><img src="data:,">'
                    '<p style="color: #999; background: #fff">pale</p></main></body></html>', encoding="utf-8")
    found = serious(ask_axe(page, tmp_path))
    assert sorted(line.split()[0] for line in found) == ["color-contrast", "html-has-lang", "image-alt"]


def test_no_page_of_the_site_bars_anybody(pages, tmp_path):
    found = {}
    for page in sorted(pages.rglob("*.html")):
        if lines := serious(ask_axe(page, tmp_path)):
            found[page.relative_to(pages).as_posix()] = lines
    assert found == {}, json.dumps(found, indent=1)


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
def test_the_report_bars_nobody(report, dark, tmp_path):
    assert serious(ask_axe(report, tmp_path, dark)) == []
