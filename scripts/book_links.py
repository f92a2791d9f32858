#!/usr/bin/env python3
"""A preprocessor of mdBook: links of the pages that lead out of docs/ lead to the repository.

`output.html.git-repository-url` in book.toml is its address; without one, such a link is plain text.
"""

import json
import posixpath
import re
import sys

LINK = re.compile(r"\[([^\]]*)\]\(((?:\.\./)+[^)\s]*)\)")


def rewrite(text: str, page: str, address: str) -> str:
    def one(match: re.Match) -> str:
        label, target = match.groups()
        path = posixpath.normpath(posixpath.join("docs", posixpath.dirname(page), target))
        return f"[{label}]({address}/blob/HEAD/{path})" if address else label

    return LINK.sub(one, text)


def walk(items: list, address: str) -> None:
    for item in items:
        chapter = item.get("Chapter") if isinstance(item, dict) else None
        if chapter:
            chapter["content"] = rewrite(chapter["content"], chapter["path"] or "", address)
            walk(chapter["sub_items"], address)


def main() -> None:
    if sys.argv[1:2] == ["supports"]:
        return
    context, book = json.load(sys.stdin)
    html = context["config"].get("output", {}).get("html", {})
    walk(book.get("items") or book.get("sections") or [], html.get("git-repository-url", ""))
    json.dump(book, sys.stdout)


if __name__ == "__main__":
    main()
