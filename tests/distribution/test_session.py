"""What the README shows and measures: its recorded session, and its way to a first deployment."""

import getpass
import re
import socket
import sys
import unittest
import xml.etree.ElementTree as ET

from support import GREENLOOP, ROOT, Scratch, run, tool


def lines(picture) -> list[str]:
    """The text of a picture, one string for what stands in one line."""
    rows: dict[float, list[str]] = {}
    for it in ET.fromstring(picture.read_bytes()).iter("{http://www.w3.org/2000/svg}text"):
        rows.setdefault(float(it.get("y")), []).append((it.text or "").replace("\N{NO-BREAK SPACE}", " "))
    return [" ".join(row) for row in rows.values()]


class Session(Scratch):
    def shows_a_verified_run(self, picture):
        self.assertLess(picture.stat().st_size, 200_000)
        text = "\n".join(lines(picture))
        commands = re.findall(r"^\$ greenloop (\w+)", text, re.M)
        self.assertEqual(commands, ["init", "run", "status"])
        self.assertRegex(text, r"(?m)^wrote greenloop\.yaml$")
        self.assertIn("Deployed and verified", text)
        self.assertIn("500 km", text)
        for path in ("/tmp/", "/root", "/home", str(ROOT)):
            self.assertNotIn(path, text)
        for name in (rf"\b{re.escape(getpass.getuser())}@", rf"@{re.escape(socket.gethostname())}\b"):
            self.assertNotRegex(text, name)

    def test_the_committed_one(self):
        self.shows_a_verified_run(ROOT / "docs/session.svg")

    @unittest.skipUnless(GREENLOOP.exists(), f"{GREENLOOP} is not built")
    def test_made_again(self):
        made = self.folder / "session.svg"
        script = ROOT / "scripts/record-session.py"
        run(sys.executable, script, "--greenloop", GREENLOOP, "--output", made)
        self.shows_a_verified_run(made)


@unittest.skipUnless(GREENLOOP.exists(), f"{GREENLOOP} is not built")
class FirstDeployment(unittest.TestCase):
    def test_each_kind_of_service_is_verified_after_the_commands_of_the_readme(self):
        for name in ("python3", "node", "cargo"):
            tool(name)
        done = run(ROOT / "scripts/first-deployment.py", "--greenloop", GREENLOOP, "--runs", "1")
        rows = re.findall(r"^\| ([A-Z][\w ]+) \| (\d+) \|", done.stdout, re.M)
        self.assertEqual(rows, [(name, "3") for name in ("Python", "Node", "Rust", "Static files")])


if __name__ == "__main__":
    unittest.main()
