"""A real browser shows hostile pages: no script of theirs ran, nothing is wider than the window, in both themes.

Method: Chromium without a window opens the page inside one of ours, at 360 and at 1280 pixels, measures it and leaves
what it found in the document that `--dump-dom` prints. Skipped where there is no Chromium; .ci/run installs it.
"""

import html
import json
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

from runner import report
from tests.unit.report.folders import HOSTILE, write_run, write_sweep

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")

pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="no Chromium here (apt-get install chromium)")

WATCH = """<!doctype html><meta charset="utf-8"><body><script>
"use strict";
const widths = [360, 1280], found = [];
const look = (width) => new Promise((done) => {
  const frame = document.createElement("iframe");
  frame.style.cssText = `width:${width}px;height:900px;border:0`;
  frame.onload = () => {
    const inner = frame.contentWindow, page = inner.document, root = page.documentElement;
    const wide = [...page.querySelectorAll("body *")].filter((item) =>
      item.getBoundingClientRect().right > width + 1 && !item.closest(".scroll, svg"));
    const plot = page.querySelector("svg[data-x]"), head = page.querySelector("table[data-sort] th button");
    const cells = () => [...(head?.closest("table").tBodies[0].rows ?? [])].map((row) => row.cells[0].textContent);
    const before = cells();
    head?.click(); head?.click();
    if (plot) {
      plot.dispatchEvent(new inner.KeyboardEvent("keydown", {key: "+"}));
      plot.dispatchEvent(new inner.KeyboardEvent("keydown", {key: "ArrowRight"}));
    }
    found.push({
      width, ran: "ran" in inner || page.title === "owned", scroll: root.scrollWidth,
      wide: wide.slice(0, 5).map((item) => item.outerHTML.slice(0, 200)),
      sorted: String(before) !== String(cells()), zoomed: plot?.getAttribute("viewBox") ?? "",
      said: plot?.closest("figure").querySelector("output").textContent ?? "",
      ink: inner.getComputedStyle(page.body).color, paper: inner.getComputedStyle(page.body).backgroundColor,
    });
    done();
  };
  frame.src = "PAGE";
  document.body.append(frame);
});
(async () => {
  for (const width of widths) await look(width);
  document.body.replaceChildren(Object.assign(document.createElement("pre"), {textContent: JSON.stringify(found)}));
})();
</script>"""


def seen(page: Path, tmp_path: Path, *words: str) -> list[dict[str, Any]]:
    """What the browser measured, for each width."""
    watch = tmp_path / "watch.html"
    watch.write_text(WATCH.replace("PAGE", page.as_uri()))
    command = [
        str(CHROMIUM), "--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--no-first-run",
        "--disable-background-networking", "--allow-file-access-from-files", "--virtual-time-budget=20000",
        f"--user-data-dir={tmp_path / 'browser'}", *words, "--dump-dom", watch.as_uri(),
    ]  # fmt: skip
    done = subprocess.run(command, capture_output=True, text=True, timeout=120)
    match = re.search(r"<pre>(.*?)</pre>", done.stdout, re.DOTALL)
    assert match, done.stderr[-2000:]
    found: list[dict[str, Any]] = json.loads(html.unescape(match[1]))
    assert [item["width"] for item in found] == [360, 1280]
    return found


def test_a_hostile_run_is_shown_in_its_width_and_runs_nothing(tmp_path: Path) -> None:
    run = write_run(tmp_path / "r", 20, HOSTILE)
    for item in seen(report.write(run), tmp_path):
        assert not item["ran"]
        assert item["wide"] == []
        assert item["scroll"] <= item["width"]
        assert item["zoomed"] == "250 0 500 200"
        assert "tokens/s" in item["said"]


def test_a_hostile_sweep_is_shown_in_its_width_sorts_and_has_a_dark_theme(tmp_path: Path) -> None:
    page = report.write_sweep(write_sweep(tmp_path / "s", text=HOSTILE["source"]))
    for item in seen(page, tmp_path, "--blink-settings=preferredColorScheme=0"):
        assert (item["ran"], item["wide"], item["sorted"]) == (False, [], True)
        assert item["scroll"] <= item["width"]
        assert (item["ink"], item["paper"]) == ("rgb(231, 234, 238)", "rgb(17, 20, 24)")


def test_the_rig_sees_a_script_that_runs_and_a_text_that_is_too_wide(tmp_path: Path) -> None:
    page = tmp_path / "planted.html"
    page.write_text("<!doctype html><body><script>window.ran = 1</script><p style='width:2000px'>wide</p>")
    for item in seen(page, tmp_path):
        assert item["ran"]
        assert item["wide"]
