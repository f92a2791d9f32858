#!/usr/bin/env python3
"""Runs the demo in a terminal of 100 columns and draws what it prints as an SVG.

    scripts/capture-demo.py [GREENLOOP] [SVG]     default: target/debug/greenloop docs/demo.svg

Python's standard library only. Long output is cut in the middle, and the cut is marked.
"""

import html
import os
import pty
import re
import struct
import subprocess
import sys
import tempfile
import fcntl
import termios

COLUMNS = 100
HEAD, TAIL = 74, 62
SGR = re.compile(r"\x1b\[([0-9;]*)m")
OTHER = re.compile(r"\x1b\[[0-9;?]*[A-Za-ln-z]|\x1b\][^\x07]*\x07|\r")
COLOURS = {
    30: "#484f58", 31: "#ff7b72", 32: "#7ee787", 33: "#e3b341", 34: "#79c0ff",
    35: "#d2a8ff", 36: "#76e3ea", 37: "#c9d1d9", 90: "#8b949e", 91: "#ffa198",
    92: "#9be9a8", 93: "#f2cc60", 94: "#a5d6ff", 95: "#e2c5ff", 96: "#b3f0ff", 97: "#ffffff",
}


def run(program, folder):
    """What the demo prints on a terminal, live progress left out."""
    leader, follower = pty.openpty()
    fcntl.ioctl(follower, termios.TIOCSWINSZ, struct.pack("HHHH", 50, COLUMNS, 0, 0))
    environment = {**os.environ, "COLUMNS": str(COLUMNS), "TERM": "xterm-256color"}
    for name in ("NO_COLOR", "TF_BUILD", "CI"):
        environment.pop(name, None)
    command = [program, "demo", "--folder", folder, "--output", "human"]
    with open(os.devnull, "wb") as nowhere:
        process = subprocess.Popen(
            command, stdin=nowhere, stdout=follower, stderr=nowhere, env=environment
        )
    os.close(follower)
    data = b""
    while True:
        try:
            piece = os.read(leader, 65536)
        except OSError:
            break
        if not piece:
            break
        data += piece
    if process.wait() != 0:
        sys.exit(f"the demo ended with {process.returncode}")
    subprocess.run([program, "demo", "--stop", "--folder", folder], check=True,
                   stdout=subprocess.DEVNULL)
    return OTHER.sub("", data.decode("utf-8", "replace")).replace(folder, "/tmp/greenloop-demo")


def spans(line, style):
    """The pieces of a line with their style, and the style that the next line begins with."""
    out, at = [], 0
    for match in [*SGR.finditer(line), None]:
        text = line[at : match.start() if match else len(line)]
        if text:
            out.append((dict(style), text))
        if match is None:
            break
        at = match.end()
        codes = [int(code or 0) for code in match.group(1).split(";")]
        while codes:
            code = codes.pop(0)
            if code == 0:
                style = {}
            elif code == 1:
                style["font-weight"] = "bold"
            elif code == 2:
                style["opacity"] = ".65"
            elif code == 4:
                style["text-decoration"] = "underline"
            elif code == 7:
                style["inverse"] = "1"
            elif code in COLOURS:
                style["fill"] = COLOURS[code]
            elif code == 39:
                style.pop("fill", None)
            elif code in (38, 48):
                del codes[: 2 if codes[:1] == [5] else 4]
    return out, style


def draw(lines):
    """The lines as a self-contained SVG."""
    height, top = 17, 26
    body, style = [], {}
    for number, line in enumerate(lines):
        pieces, style = spans(line, style)
        text = ""
        for look, piece in pieces:
            look = {name: value for name, value in look.items() if name != "inverse"}
            attributes = "".join(f' {name}="{value}"' for name, value in look.items())
            text += f"<tspan{attributes}>{html.escape(piece)}</tspan>"
        body.append(f'<text x="16" y="{top + number * height}" xml:space="preserve">{text}</text>')
    width, tall = COLUMNS * 8 + 32, top + len(lines) * height + 8
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {tall}" width="{width}" '
        f'height="{tall}" role="img" aria-label="The demo in a terminal">'
        f'<rect width="100%" height="100%" rx="8" fill="#0d1117"/>'
        '<g font-family="ui-monospace,SFMono-Regular,Menlo,Consolas,monospace" font-size="13" '
        'fill="#c9d1d9">' + "\n".join(body) + "</g></svg>\n"
    )


def main():
    program = os.path.realpath(sys.argv[1] if len(sys.argv) > 1 else "target/debug/greenloop")
    target = sys.argv[2] if len(sys.argv) > 2 else "docs/demo.svg"
    with tempfile.TemporaryDirectory() as work:
        text = run(program, os.path.join(work, "demo"))
    lines = text.rstrip().split("\n")
    if len(lines) > HEAD + TAIL:
        cut = len(lines) - HEAD - TAIL
        lines = [*lines[:HEAD], "", f"\x1b[2m   ⋮  {cut} lines are left out here\x1b[0m", "",
                 *lines[-TAIL:]]
    with open(target, "w", encoding="utf-8") as file:
        file.write(draw(lines))
    print(f"{target}: {len(lines)} lines")


main()
