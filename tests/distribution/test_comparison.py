"""The table of docs/comparison.md: every command of it is run where it says that it works."""

import re
import shutil
import unittest
from pathlib import Path

from support import GREENLOOP, IDENTITY, ROOT, run
from test_examples import Deployed

LOG = """\
   Compiling fleet v0.1.0
error[E0308]: mismatched types
  --> src/main.rs:7:18
   |
7  |     let n: u32 = "x";
   |                  ^^^ expected `u32`, found `&str`
error: could not compile `fleet`
"""
PATCH = """\
diff --git a/server.py b/server.py
--- a/server.py
+++ b/server.py
@@ -1,1 +1,1 @@
-\"\"\"Says how far a vehicle comes: GET /range?fuel=LITRES.\"\"\"
+\"\"\"Says how far a vehicle comes: GET /range?fuel=LITRES\"\"\"
"""


OTHERS = {"nextest", "skaffold", "gh", "Renovate", "Nx", "ado-aw", "Argo Rollouts"}


def rows() -> list[tuple[str, str, str, str]]:
    """Of every area: what it is, whether Greenloop has it, what shows it, who else has it."""
    text = (ROOT / "docs/comparison.md").read_text().split("## Point by point")[1].split("\n## ")[0]
    found = re.findall(r"^\| (.+?) \| (.*?) \| (.*?) ?\| (.*?) \|$", text, re.M)
    return [row for row in found if row[1] != "Greenloop"]


def shown(row) -> list[str]:
    return re.findall(r"`([^`]+)`", row[2])


class Comparison(Deployed):
    def test_every_row_says_yes_with_a_proof_or_no_without_one(self):
        self.assertGreater(len(rows()), 70)
        for row in rows():
            with self.subTest(row[0]):
                self.assertIn(row[1], ("yes", "no"))
                self.assertEqual(row[1] == "yes", bool(shown(row)))
                # Nothing beside commands and tests stands there.
                self.assertEqual(re.sub(r"`[^`]+`|, ", "", row[2]), "")
                for proof in shown(row):
                    self.assertRegex(proof, r"^(greenloop( .*)?|\S+\.(rs|py)::\S+)$")

    def test_others_are_those_that_the_page_introduces(self):
        for row in rows():
            with self.subTest(row[0]):
                names = re.sub(r" ?\([^)]*\)", "", row[3])
                if names != "—":
                    self.assertLessEqual(set(names.split(", ")), OTHERS)

    def test_every_named_test_of_this_folder_exists(self):
        # tests/reliability.rs looks for the others.
        named = [proof for row in rows() for proof in shown(row) if ".py::" in proof]
        self.assertGreater(len(named), 15)
        for proof in named:
            with self.subTest(proof):
                path, test = proof.split("::", 1)
                self.assertEqual(Path(path).parent, Path("tests/distribution"))
                name = f"{Path(path).stem}.{test.replace('::', '.')}"
                self.assertEqual(unittest.defaultTestLoader.loadTestsFromName(name).countTestCases(), 1)

    @unittest.skipUnless(GREENLOOP.exists(), f"{GREENLOOP} is not built")
    def test_every_command_shows_it(self):
        self.take("python")
        (self.tree / "build.log").write_text(LOG)
        (self.tree / "fix.diff").write_text(PATCH)
        shutil.copy(ROOT / "examples/tasks/ten-agents.yaml", self.tree / "tasks.yaml")
        self.commit("Add what the commands read")
        self.deploy("local")
        head = run("git", "-C", self.tree, *IDENTITY, "rev-parse", "HEAD").stdout
        (run_id,) = [path.name for path in (self.tree / "logs/runs").iterdir() if path.is_dir()]
        commands = [it for row in rows() for it in shown(row) if it.split()[0] == "greenloop"]
        self.assertGreater(len(commands), 20)
        for command in commands:
            with self.subTest(command):
                words = command.replace("RUN", run_id).split()[1:]
                done = self.greenloop(*words)
                # What a fresh machine lacks, `doctor` says with its exit code.
                codes = (0, 3) if words[:1] == ["doctor"] else (0,)
                self.assertIn(done.returncode, codes, done.stdout)
                self.assertTrue(done.stdout.strip())
        # Nothing that is only to be shown changes anything.
        self.assertEqual(head, run("git", "-C", self.tree, "rev-parse", "HEAD").stdout)
        self.assertEqual("", run("git", "-C", self.tree, "status", "--porcelain").stdout)


if __name__ == "__main__":
    unittest.main()
