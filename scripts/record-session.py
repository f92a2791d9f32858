#!/usr/bin/env python3
"""Records a session at a terminal, from `greenloop init` to a verified run, as docs/session.svg.

    scripts/record-session.py [--greenloop target/debug/greenloop] [--output docs/session.svg]

A shell runs in a pseudo-terminal, in a repository with the two source files of examples/python; the
commands are typed and answered as by a person. The picture shows what the terminal held: a line
appears when it has got its last content, pauses are shortened, and the window scrolls. Viewers
without animations show the last screen. The folder of the session is shown as ~/fleet; other values
(times, ids, ports) are those of the recording.

Needs the package pyte, which tests/distribution/requirements.txt pins:

    ./scripts/test-distribution.sh --install && target/tools/python/bin/python scripts/record-session.py
"""

import argparse
import fcntl
import os
import pty
import re
import select
import shutil
import signal
import socket
import struct
import subprocess
import sys
import tempfile
import termios
import time
from pathlib import Path

import pyte

from terminal_picture import BAR, CELL, EDGE, LINE, SIZE, draw, frame

ROOT = Path(__file__).resolve().parent.parent
COLUMNS, ROWS = 100, 32
PROMPT = "$ "
# Seconds: the longest pause that is shown, the end of typing a command, the least between lines.
PAUSE, THINK, STEP = 1.2, 0.9, 0.05
# Seconds that the shell may print nothing before the recording is given up.
SILENCE = 60
COLOURS = {"red": 31, "green": 32, "brown": 33, "blue": 34, "magenta": 35, "cyan": 36}

# What is typed, and what has to be on the screen before: a prompt, or a question.
SESSION = [
    (PROMPT, "ls"),
    (PROMPT, "greenloop init"),
    ("[y/N]", "y"),
    (PROMPT, "git add --all && git commit --quiet --message 'Deploy with Greenloop'"),
    (PROMPT, "greenloop run"),
    (PROMPT, "curl 'http://127.0.0.1:{port}/range?fuel=40'; echo"),
    (PROMPT, "greenloop status"),
]


class Recording:
    """The terminal's content line by line, with the time when each line was last changed."""

    def __init__(self):
        self.screen = pyte.HistoryScreen(COLUMNS, ROWS, history=10_000, ratio=0.5)
        self.stream = pyte.ByteStream(self.screen)
        self.changed: dict[int, tuple[str, float]] = {}
        self.start = time.monotonic()

    def feed(self, data: bytes):
        self.stream.feed(data)
        now = time.monotonic() - self.start
        for number, line in enumerate(self.lines()):
            if self.changed.get(number, ("", 0))[0] != line:
                self.changed[number] = (line, now)

    def lines(self) -> list[str]:
        rows = [*self.screen.history.top, *(self.screen.buffer[y] for y in range(ROWS))]
        return [coloured(row) for row in rows]

    def waits_for(self, text: str) -> bool:
        """Whether the cursor stands behind `text`, and behind nothing else."""
        row = self.screen.display[self.screen.cursor.y][: self.screen.cursor.x]
        return row == text if text == PROMPT else row.rstrip().endswith(text)


def coloured(row) -> str:
    """A row of the screen as text with the escape sequences that `terminal_picture` draws."""
    out, before = "", ()
    for column in range(COLUMNS):
        cell = row[column]
        style = (1,) * cell.bold + (7,) * cell.reverse + ((COLOURS[cell.fg],) if cell.fg in COLOURS else ())
        if style != before:
            out += "\x1b[0m" + "".join(f"\x1b[{code}m" for code in style)
            before = style
        out += cell.data
    return re.sub(r"( |\x1b\[0m)+$", "", out)


def free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return found.getsockname()[1]


def repository(folder: Path, greenloop: str) -> tuple[Path, dict[str, str]]:
    """A repository with sources and nothing else, and the variables of a shell in it."""
    home, tree, programs = folder / "home", folder / "fleet", folder / "bin"
    for path in (home, tree, programs):
        path.mkdir()
    (programs / "greenloop").symlink_to(greenloop)
    for name in ("server.py", "test_server.py"):
        shutil.copy(ROOT / "examples/python" / name, tree)
    (home / ".gitconfig").write_text("[user]\nname = You\nemail = you@example.org\n[init]\ndefaultBranch = main\n")
    env = {
        "HOME": str(home),
        "PATH": f"{programs}:/usr/local/bin:/usr/bin:/bin",
        "TERM": "xterm-256color",
        "LANG": "C.UTF-8",
        "PS1": PROMPT,
        "PS2": "",
    }
    subprocess.run(["git", "init", "--quiet", tree], env=env, check=True)
    return tree, env


def record(tree: Path, env: dict[str, str]) -> Recording:
    child, terminal = pty.fork()
    if child == 0:
        os.chdir(tree)
        os.execve("/bin/bash", ["bash", "--noprofile", "--norc", "--noediting", "-i"], env)
    fcntl.ioctl(terminal, termios.TIOCSWINSZ, struct.pack("HHHH", ROWS, COLUMNS, 0, 0))
    recording = Recording()
    try:
        for wanted, text in SESSION:
            read_until(terminal, recording, wanted)
            port = re.search(r"127\.0\.0\.1:(\d+)", read(tree / "greenloop.yaml"))
            os.write(terminal, (text.format(port=port[1] if port else "") + "\n").encode())
        read_until(terminal, recording, PROMPT)
        return recording
    finally:
        os.kill(child, signal.SIGHUP)
        os.close(terminal)
        os.waitpid(child, 0)


def read(path: Path) -> str:
    return path.read_text() if path.exists() else ""


def read_until(terminal: int, recording: Recording, wanted: str):
    """Reads until the terminal waits behind `wanted`, and has printed something since."""
    printed = False
    while True:
        ready, _, _ = select.select([terminal], [], [], 0.3 if printed else SILENCE)
        if ready:
            recording.feed(os.read(terminal, 1 << 16))
            printed = True
        elif recording.waits_for(wanted):
            return
        elif not printed or not select.select([terminal], [], [], SILENCE)[0]:
            sys.exit(f"the session stands still before {wanted!r}:\n" + "\n".join(recording.screen.display))


def timeline(recording: Recording, folder: Path) -> list[tuple[str, float]]:
    """Every line with the second at which it appears; none before the one above it."""
    lines = [line.replace(f"{folder}/fleet", "~/fleet") for line in recording.lines()]
    while lines and lines[-1] in ("", PROMPT.strip()):
        lines.pop()
    shown, now, before = [], 0.5, 0.0
    for number, line in enumerate(lines):
        at = max(recording.changed.get(number, ("", before))[1], before)
        now += min(at - before, PAUSE) if at - before > STEP else STEP
        now += THINK if line.startswith(PROMPT) else 0
        shown.append((line, now))
        before = at
    return shown


def svg(shown: list[tuple[str, float]]) -> str:
    """The picture: lines that appear, in a window that scrolls."""
    end = shown[-1][1]
    width, height = 2 * EDGE + COLUMNS * CELL, BAR + 2 * EDGE + ROWS * LINE
    scrolled = max(len(shown) - ROWS, 0)
    steps = "".join(
        f"{100 * shown[number + ROWS][1] / end:.2f}%{{transform:translateY({-(number + 1) * LINE}px)}}"
        for number in range(scrolled)
    )
    style = (
        f".s{{transform:translateY({-scrolled * LINE}px);animation:s {end:.2f}s step-end}}"
        f"@keyframes s{{0%{{transform:none}}{steps}}}"
        "g g{animation:a .01s backwards}@keyframes a{from{opacity:0}}"
        "@media(prefers-reduced-motion:reduce){.s,g g{animation:none}}"
    )
    title = "greenloop init writes a configuration, greenloop run deploys and verifies the service"
    out = frame(width, height, title, "~/fleet", style)
    view = f'x="0" y="{BAR + EDGE}" width="{width:.0f}" height="{ROWS * LINE}"'
    out.append(f'<clipPath id="v"><rect {view}/></clipPath><g clip-path="url(#v)"><g class="s">')
    for number, (line, at) in enumerate(shown):
        drawn = draw(line, BAR + EDGE + SIZE + number * LINE)
        if drawn:
            out.append(f'<g style="animation-delay:{at:.2f}s">{"".join(drawn)}</g>')
    return "\n".join([*out, "</g></g></svg>", ""])


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--greenloop", default=str(ROOT / "target" / "debug" / "greenloop"))
    parser.add_argument("--output", default=str(ROOT / "docs" / "session.svg"))
    options = parser.parse_args()
    greenloop = str(Path(options.greenloop).resolve(strict=True))
    with tempfile.TemporaryDirectory(prefix="g", dir="/tmp") as work:
        folder = Path(work)
        tree, env = repository(folder, greenloop)
        try:
            shown = timeline(record(tree, env), folder)
        finally:
            stop = [greenloop, "stop", "--yes"]
            subprocess.run(stop, cwd=tree, env=env, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, check=False)
    Path(options.output).write_text(svg(shown), encoding="utf-8")
    print(f"{options.output}: {len(shown)} lines, {shown[-1][1]:.0f} s")


if __name__ == "__main__":
    main()
