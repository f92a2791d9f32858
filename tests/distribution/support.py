"""What the tests of this folder share."""

import functools
import http.server
import os
import shutil
import subprocess
import sys
import tempfile
import threading
import unittest
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
GREENLOOP = Path(os.environ.get("GREENLOOP", ROOT / "target/debug/greenloop"))


def tool(name: str) -> str:
    """A tool of this Python's environment, or of the machine."""
    beside = Path(sys.executable).parent / name
    found = str(beside) if beside.exists() else shutil.which(name)
    if not found:
        raise unittest.SkipTest(f"{name} is not installed")
    return found


def run(*command, check: bool = True, **more) -> subprocess.CompletedProcess:
    """Runs a command; a failure shows everything that it printed."""
    done = subprocess.run(
        [str(word) for word in command],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
        **more,
    )
    if check and done.returncode != 0:
        raise AssertionError(f"{command} ended with {done.returncode}:\n{done.stdout}")
    return done


class Scratch(unittest.TestCase):
    """A test with a folder of its own."""

    def setUp(self):
        self.folder = Path(tempfile.mkdtemp(prefix="greenloop-"))
        self.addCleanup(shutil.rmtree, self.folder)


class Server:
    """Serves a folder on 127.0.0.1; `cut` names files that end in the middle."""

    def __init__(self, folder: Path):
        self.asked: list[str] = []
        self.cut: set[str] = set()
        outer = self

        class Handler(http.server.SimpleHTTPRequestHandler):
            def do_GET(self):
                outer.asked.append(self.path)
                if self.path.rsplit("/", 1)[-1] not in outer.cut:
                    return super().do_GET()
                content = Path(self.translate_path(self.path)).read_bytes()
                self.send_response(200)
                self.send_header("Content-Length", str(len(content)))
                self.end_headers()
                self.wfile.write(content[: len(content) // 2])
                self.close_connection = True
                return None

            def log_message(self, *_):
                pass

        handler = functools.partial(Handler, directory=str(folder))
        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def close(self):
        self.server.shutdown()
        self.server.server_close()


def repository(folder: Path) -> Path:
    """A copy of what is committed or changed here, as a repository with one commit."""
    folder.mkdir(parents=True)
    listed = run(
        "git", "-C", ROOT, "ls-files", "--cached", "--others", "--exclude-standard", "-z"
    ).stdout.split("\0")
    for name in filter(None, listed):
        source = ROOT / name
        if source.is_file() and not source.is_symlink() and not name.startswith("tests/fixtures/"):
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(source, folder / name)
    for command in (
        ["init", "--quiet", "--initial-branch=main"],
        ["add", "--all"],
        ["commit", "--quiet", "--message=start"],
    ):
        run("git", "-C", folder, *IDENTITY, *command)
    for key, value in (("user.name", "t"), ("user.email", "t@example.org")):
        run("git", "-C", folder, "config", key, value)
    return folder


IDENTITY = ["-c", "user.name=t", "-c", "user.email=t@example.org", "-c", "commit.gpgsign=false"]


def program(folder: Path, version: str) -> Path:
    """A static program that answers like greenloop: what packs it needs no more."""
    source, made = folder / "program.c", folder / "program"
    source.write_text(
        """
#include <stdio.h>
#include <string.h>
int main(int n, char **a) {
    if (n > 1 && !strcmp(a[1], "--version")) { puts("greenloop VERSION"); return 0; }
    if (n > 2 && !strcmp(a[1], "completions")) { printf("completions for %s\\n", a[2]); return 0; }
    if (n > 2 && !strcmp(a[1], "man")) {
        char path[4096];
        snprintf(path, sizeof path, "%s/greenloop.1", a[2]);
        FILE *page = fopen(path, "w");
        if (!page) return 1;
        fputs(".TH greenloop 1\\n", page);
        return fclose(page);
    }
    return 2;
}
""".replace("VERSION", version)
    )
    run("cc", "-static", "-o", made, source)
    return made
