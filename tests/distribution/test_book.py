"""The documentation as a site, built by mdBook: every page, every link, the search."""

import json
import re
import unittest
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote

from support import ROOT, Scratch, run, tool


class Page(HTMLParser):
    def __init__(self, text: str):
        super().__init__()
        self.links, self.ids, self.pictures = [], set(), []
        self.feed(text)

    def handle_starttag(self, tag, attributes):
        values = dict(attributes)
        if values.get("id"):
            self.ids.add(values["id"])
        if tag == "a" and values.get("href"):
            self.links.append(values["href"])
        if tag == "img" and values.get("src"):
            self.pictures.append(values["src"])


class Book(Scratch):
    def build(self, **env) -> dict[Path, Page]:
        site = self.folder / "site"
        done = run(tool("mdbook"), "build", "--dest-dir", site, ROOT)
        self.assertNotRegex(done.stdout, r"(?i)\b(warn|error)\b")
        return {path: Page(path.read_text()) for path in site.rglob("*.html")}

    def test_every_page_is_there_and_every_link_leads_somewhere(self):
        pages = self.build()
        site = self.folder / "site"
        summary = (ROOT / "docs/SUMMARY.md").read_text()
        listed = re.findall(r"\]\(([\w-]+)\.md\)", summary)
        self.assertGreater(len(listed), 25)
        for name in listed:
            self.assertIn(site / f"{name}.html", pages)
        checked, broken = 0, []
        # What the frame of each page links to is the same everywhere.
        for path, page in pages.items():
            if path.name in ("print.html", "toc.html", "404.html"):
                continue
            for link in {*page.links, *page.pictures}:
                if "://" in link or link.startswith(("mailto:", "javascript:")):
                    continue
                checked += 1
                file, _, anchor = unquote(link).partition("#")
                target = (path.parent / file).resolve() if file else path
                if target.is_dir():
                    target = target / "index.html"
                there = target.is_file() and target.is_relative_to(site)
                if there and anchor and target.suffix == ".html":
                    there = anchor in pages[target].ids
                if not there:
                    broken.append(f"{path.name}: {link}")
        self.assertGreater(checked, 300)
        self.assertEqual(broken, [])

    def test_the_search_finds_pages(self):
        self.build()
        (index,) = (self.folder / "site").glob("searchindex*.js")
        text = index.read_text()
        for word in ("rollback", "merge queue", "seccomp"):
            self.assertIn(word, text)

    def test_links_out_of_the_book_lead_to_the_repository(self):
        page = {"Chapter": {"content": "[a](../A.md#b) [c](c.md)", "path": "p.md", "sub_items": []}}
        for address, expect in [
            ("https://x/y", "[a](https://x/y/blob/HEAD/A.md#b) [c](c.md)"),
            ("", "a [c](c.md)"),
        ]:
            html = {"git-repository-url": address} if address else {}
            given = json.dumps([{"config": {"output": {"html": html}}}, {"items": [page]}])
            done = run("python3", ROOT / "scripts/book_links.py", input=given)
            content = json.loads(done.stdout)["items"][0]["Chapter"]["content"]
            self.assertEqual(content, expect)


if __name__ == "__main__":
    unittest.main()
