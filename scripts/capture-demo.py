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
import os
import pty
import re
import struct
import subprocess
import sys
import tempfile
import termios
from pathlib import Path

from terminal_picture import BAR, CELL, EDGE, FRAME, LINE, SIZE, bare, columns, draw, frame

ROOT = Path(__file__).resolve().parent.parent
COLUMNS = 100


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


def svg(lines):
    longest = max(columns(bare(line)) for line in lines if isinstance(line, str))
    width = 2 * EDGE + max(COLUMNS, longest) * CELL
    height = BAR + 2 * EDGE + len(lines) * LINE
    title = "greenloop demo: three failures healed, one patch rejected, the service deployed"
    out = frame(width, height, title, "cargo run -- demo")
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
