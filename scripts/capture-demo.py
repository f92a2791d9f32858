#!/usr/bin/env python3
"""Runs the demo in a terminal of 100 columns and draws its output to docs/demo.svg.

    scripts/capture-demo.py [--greenloop target/debug/greenloop] [--output docs/demo.svg] [--all]

The demo really runs, in a temporary folder, and is stopped afterwards. The picture shows the beginning
with the first failure and its repair, the rejected review, and the summary; the rest is cut, and each
cut shows the number of lines (--all cuts nothing). The temporary folder and the port, which differ from
run to run, are replaced by the defaults of `greenloop demo`.
"""

import argparse
import fcntl
import html
import os
import pty
import re
import struct
import subprocess
import sys
import tempfile
import termios
import unicodedata
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
COLUMNS = 100
# Column, line, edge and title bar, in pixels.
CELL, LINE, EDGE, BAR = 8.4, 19, 20, 36
SIZE = 14
PAPER, INK, FRAME, BAR_PAPER = "#0d1117", "#d1d9e0", "#30363d", "#161b22"
COLOURS = {31: "#ff7b72", 32: "#56d364", 33: "#e3b341", 34: "#79c0ff", 35: "#d2a8ff", 36: "#56d4dd"}


def capture(greenloop, folder):
    """What the demo prints, as bytes with escape sequences."""
    terminal, inside = pty.openpty()
    fcntl.ioctl(inside, termios.TIOCSWINSZ, struct.pack("HHHH", 50, COLUMNS, 0, 0))
    unwanted = ("NO_COLOR", "RUST_BACKTRACE", "TF_BUILD", "GREENLOOP_CONFIG")
    env = {name: value for name, value in os.environ.items() if name not in unwanted}
    # Only stdout is a terminal: the live progress at the foot goes to stderr and is not wanted.
    demo = subprocess.Popen(
        [greenloop, "demo", "--output", "human", "--folder", folder],
        cwd=ROOT,
        env=env,
        stdin=subprocess.DEVNULL,
        stdout=inside,
        stderr=subprocess.DEVNULL,
    )
    os.close(inside)
    printed = b""
    while True:
        try:
            piece = os.read(terminal, 1 << 16)
        except OSError:  # The other side is closed.
            break
        if not piece:
            break
        printed += piece
    os.close(terminal)
    if demo.wait() != 0:
        sys.stderr.write(printed.decode(errors="replace"))
        sys.exit(f"the demo ended with {demo.returncode}")
    return printed.decode()


def settled(text, folder):
    """With the folder and the port that the demo takes by itself."""
    text = text.replace(f" --folder {folder}", "").replace(folder, "/tmp/greenloop-demo")
    address = re.search(r"curl http://127\.0\.0\.1:(\d+)/", text)
    return text.replace(f"127.0.0.1:{address[1]}", "127.0.0.1:8088") if address else text


def bare(line):
    return re.sub(r"\x1b\[[0-9;]*m", "", line)


def interesting(lines):
    """The lines to draw; a number stands for that many lines that are left out."""
    text = [bare(line) for line in lines]

    def first(pattern, start=0):
        return next(n for n in range(start, len(text)) if re.match(pattern, text[n]))

    second = first("▸ Iteration 2 ")
    rejected = first(r"  review +✗ rejected")
    proposed = max(n for n in range(rejected) if re.match(r"  author +\S", text[n]))
    after = first("$", rejected)
    summary = first("────")
    failures = [n for n in range(summary, len(text)) if re.match("  ✗ ", text[n])]
    shown = [(0, second + 1), (proposed, after), (summary, failures[1]), (failures[2], len(text))]
    out, at = [], 0
    for start, end in shown:
        if start > at:
            out.append(start - at)
        out += lines[start:end]
        at = end
    return out


class Style:
    def __init__(self):
        self.colour, self.bold, self.dim, self.inverted = None, False, False, False

    def apply(self, codes):
        for code in codes:
            if code == 0:
                self.__init__()
            elif code == 1:
                self.bold = True
            elif code == 2:
                self.dim = True
            elif code == 7:
                self.inverted = True
            elif code in COLOURS:
                self.colour = COLOURS[code]

    def attributes(self):
        fill = PAPER if self.inverted else self.colour
        out = f' fill="{fill}"' if fill else ""
        out += ' font-weight="bold"' if self.bold else ""
        return out + (' opacity=".6"' if self.dim else "")


def columns(text):
    wide = sum(unicodedata.east_asian_width(c) in "WF" for c in text)
    return len(text) + wide - sum(bool(unicodedata.combining(c)) for c in text)


def draw(line, y):
    """The elements of one line. Each piece is put at its column, whatever the font's width is."""
    style, column, out = Style(), 0, []
    for n, piece in enumerate(re.split(r"\x1b\[([0-9;]*)m", line)):
        if n % 2:
            style.apply(int(code or 0) for code in piece.split(";"))
            continue
        width = columns(piece)
        if not piece.strip() and not style.inverted:
            column += width
            continue
        if style.inverted:
            out.append(
                f'<rect x="{EDGE + column * CELL:.1f}" y="{y - LINE + 5:.1f}" width="{width * CELL:.1f}"'
                f' height="{LINE}" fill="{style.colour or INK}"/>'
            )
        # Leading spaces are columns, not text, and inner ones do not break: viewers merge spaces.
        text = piece.lstrip(" ")
        column, width = column + len(piece) - len(text), width - len(piece) + len(text)
        text = text.rstrip(" ").replace(" ", "\N{NO-BREAK SPACE}")
        out.append(
            f'<text x="{EDGE + column * CELL:.1f}" y="{y:.1f}" textLength="{columns(text) * CELL:.1f}"'
            f'{style.attributes()}>{html.escape(text, quote=False)}</text>'
        )
        column += width
    return out


def svg(lines):
    longest = max(columns(bare(line)) for line in lines if isinstance(line, str))
    width = 2 * EDGE + max(COLUMNS, longest) * CELL
    height = BAR + 2 * EDGE + len(lines) * LINE
    out = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width:.0f} {height}" width="{width:.0f}"'
        f' height="{height}" font-size="{SIZE}" fill="{INK}" font-family="ui-monospace,'
        " SFMono-Regular, Menlo, Consolas, 'DejaVu Sans Mono', 'Liberation Mono', monospace\">",
        "<title>greenloop demo: three failures healed, one patch rejected, the service deployed</title>",
        f'<rect x=".5" y=".5" width="{width - 1:.0f}" height="{height - 1}" rx="10" fill="{PAPER}" stroke="{FRAME}"/>',
        f'<path d="M.5 {BAR}V10.5a10 10 0 0 1 10-10H{width - 10.5:.1f}a10 10 0 0 1 10 10V{BAR}z" fill="{BAR_PAPER}"'
        f' stroke="{FRAME}"/>',
    ]
    for n, colour in enumerate(["#ff5f57", "#febc2e", "#28c840"]):
        out.append(f'<circle cx="{EDGE + 2 + n * 20}" cy="{BAR / 2:.0f}" r="6" fill="{colour}"/>')
    out.append(
        f'<text x="{width / 2:.0f}" y="{BAR / 2 + 5:.0f}" text-anchor="middle" opacity=".6">cargo run -- demo</text>'
    )
    y = BAR + EDGE + SIZE
    for line in lines:
        if isinstance(line, int):
            middle, text = y - 4.5, f" {line} lines "
            start, end = width / 2 - 50, width / 2 + 50
            for x1, x2 in ((EDGE, start), (end, width - EDGE)):
                out.append(
                    f'<path d="M{x1:.0f} {middle}H{x2:.0f}" stroke="{FRAME}" stroke-dasharray="2 6" stroke-width="2"/>'
                )
            out.append(
                f'<text x="{width / 2:.0f}" y="{y:.1f}" text-anchor="middle" font-size="12" opacity=".5">{text}</text>'
            )
        else:
            out += draw(line, y)
        y += LINE
    return "\n".join([*out, "</svg>", ""])


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--greenloop", default=str(ROOT / "target" / "debug" / "greenloop"))
    parser.add_argument("--output", default=str(ROOT / "docs" / "demo.svg"))
    parser.add_argument("--all", action="store_true", help="cut nothing")
    options = parser.parse_args()
    greenloop = str(Path(options.greenloop).resolve())
    with tempfile.TemporaryDirectory(prefix="greenloop-capture-") as work:
        folder = f"{work}/demo"
        try:
            text = settled(capture(greenloop, folder), folder)
        finally:
            stop = [greenloop, "demo", "--stop", "--folder", folder]
            subprocess.run(stop, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, timeout=60, check=False)
    lines = text.replace("\r", "").rstrip("\n").split("\n")
    if not options.all:
        lines = interesting(lines)
    Path(options.output).write_text(svg(lines), encoding="utf-8")
    print(f"{options.output}: {len(lines)} lines")


if __name__ == "__main__":
    main()
