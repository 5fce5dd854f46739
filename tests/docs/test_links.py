"""Links to other sites: https, well formed, one address for each subject."""

import re
from urllib.parse import urlsplit

import pytest

from tests.docs.pages import ROOT, SHOWN, text_of

FOLDERS = [ROOT / name for name in ("bench", "data", "docs", "experiments", "jobs", "nets")]
FOLDERS += [ROOT / name for name in ("tests", "train")]
TEXTS = sorted(
    {
        *SHOWN,
        *ROOT.glob("*.py"),
        *ROOT.glob("*.toml"),
        *(
            path
            for folder in FOLDERS
            for kind in ("py", "toml")
            for path in folder.rglob(f"*.{kind}")
        ),
        *(ROOT / ".github").rglob("*.yml"),
    }
)
ADDRESS = re.compile(r"https?://[^\s)>\]\"'`]*")
LINK = re.compile(r"(?<!!)\[([^\]]+)\]\((https?://[^)\s]+)\)")
LOCAL = ("localhost", "127.0.0.1")


def problem(address):
    """Why an address is not that of a page of another site; empty when it is."""
    parts = urlsplit(address.rstrip(".,;:"))
    if parts.scheme != "https":
        return "is not https"
    if not re.fullmatch(r"([a-z0-9-]+\.)+[a-z]{2,}", parts.netloc):
        return "has no name of a site"
    return ""


def addresses():
    """All addresses of other sites, with their files; those in the tests are made up."""
    for path in TEXTS:
        if ROOT / "tests" not in path.parents:
            for address in ADDRESS.findall(text_of(path)):
                if urlsplit(address).hostname not in LOCAL:
                    yield path.relative_to(ROOT), address


def test_addresses_of_other_sites_are_well_formed():
    found = list(addresses())
    assert found
    wrong = [f"{path}: {address} {why}" for path, address in found if (why := problem(address))]
    assert not wrong


@pytest.mark.parametrize(
    ("address", "why"),
    [
        ("http://a.org/b", "is not https"),
        ("https://a/b", "has no name"),
        ("https://a..org", "has no name"),
        ("https://a.org/b.", ""),
    ],
)
def test_a_wrong_address_is_found(address, why):
    assert why in problem(address)
    assert bool(why) == bool(problem(address))


def test_one_subject_has_one_address_and_one_address_one_form():
    by_text, by_form = {}, {}
    for path in SHOWN:
        for text, address in LINK.findall(text_of(path)):
            by_text.setdefault(text, set()).add(address)
    for _, address in addresses():
        by_form.setdefault(address.rstrip("/.,;:").lower(), set()).add(address.rstrip("/.,;:"))
    assert by_text
    assert [found for found in (*by_text.values(), *by_form.values()) if len(found) > 1] == []
