"""The documentation site is built without a warning, and its pages are right in a browser."""

import json
import re
import shutil
import subprocess

import pytest

from tests.conftest import ROOT

# the load event waits for all frames and their pictures
PROBE = """<!doctype html><title>probe</title>FRAMES<script>
addEventListener("load", () => {
  const found = {};
  for (const frame of document.querySelectorAll("iframe")) {
    const page = frame.contentDocument, faults = [];
    const width = page.documentElement.scrollWidth;
    if (width > 390) faults.push(`${width} pixels wide`);
    for (const image of page.images) {
      if (!image.naturalWidth) faults.push(`${image.src} does not load`);
      if (!image.alt) faults.push(`${image.src} has no text`);
    }
    if (faults.length) found[frame.getAttribute("src")] = faults;
  }
  document.body.textContent = JSON.stringify(found);
});
</script>
"""
FRAME = '<iframe width="390" height="800" src="{}"></iframe>'


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    """Folder of the built site."""
    recipe = re.search(r"^docs:.*\n\t(.*)$", (ROOT / "Makefile").read_text(), re.M)[1]
    program, *words = recipe.split()
    assert program == "$(BIN)/python"
    assert {"-W", "docs/_build"} <= set(words)
    built = tmp_path_factory.mktemp("site")
    words = [str(built) if word == "docs/_build" else word for word in words]
    python = ROOT / ".venv" / "bin" / "python"
    done = subprocess.run([python, *words], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return built


def test_the_site_is_built_without_a_warning(site):
    for name in ("index.html", "search.html", "README.html", "docs/lectures.html"):
        assert (site / name).is_file()
    page = (site / "docs" / "systems" / "b2.html").read_text(encoding="utf-8")
    assert "60,850" in page
    assert "LeCun et al. 1998" in page  # a published value, beside ours
    page = (site / "docs" / "api" / "nets.recurrent.html").read_text(encoding="utf-8")
    assert 'id="nets.recurrent.LSTMCell"' in page


def in_browser(page):
    """Body of a page after its scripts, and what Chromium wrote to the console."""
    options = ["--headless", "--no-sandbox", "--disable-gpu", "--allow-file-access-from-files"]
    options += ["--enable-logging=stderr", "--dump-dom"]
    command = ["chromium", *options, page.as_uri()]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300, check=True)
    return re.search(r"<body>(.*)</body>", done.stdout, re.S)[1], done.stderr


@pytest.mark.skipif(not shutil.which("chromium"), reason="needs chromium: see .ci/chromium.sh")
def test_pages_fit_a_telephone_and_load_their_pictures(site):
    paths = [path.relative_to(site) for path in site.rglob("*.html") if "_" not in path.parts[0]]
    pages = sorted(path.as_posix() for path in paths)
    assert len(pages) > 80
    frames = "".join(map(FRAME.format, pages))
    (site / "probe.html").write_text(PROBE.replace("FRAMES", frames), encoding="utf-8")
    body, log = in_browser(site / "probe.html")
    assert json.loads(body) == {}
    assert "CONSOLE" not in log, log
