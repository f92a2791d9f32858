"""Every link of the site leads to a file of it."""

import sys
from html.parser import HTMLParser
from pathlib import Path

SITE = Path(__file__).parent / "site"


class Links(HTMLParser):
    def __init__(self):
        super().__init__()
        self.found = []

    def handle_starttag(self, tag, attributes):
        for name, value in attributes:
            if name in ("href", "src") and value and "://" not in value and not value.startswith("#"):
                self.found.append((self.getpos()[0], value))


broken = 0
for page in sorted(SITE.glob("**/*.html")):
    links = Links()
    links.feed(page.read_text())
    for line, link in links.found:
        if not (page.parent / link.split("#")[0]).is_file():
            print(f"{page.relative_to(SITE.parent)}:{line}: error: {link} leads nowhere")
            broken += 1
sys.exit(1 if broken else 0)
