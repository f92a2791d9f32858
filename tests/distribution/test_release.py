"""`scripts/release.sh` from a program that is built already, and `install.sh` with its files."""

import hashlib
import json
import os
import shutil
import subprocess
import tarfile
import unittest
from pathlib import Path

from support import ROOT, Scratch, Server, program, repository, run, tool

VERSION = "9.8.7"
MUSL = "x86_64-unknown-linux-musl"


class Files(unittest.TestCase):
    """What a release consists of: made once, looked at by every test."""

    @classmethod
    def setUpClass(cls):
        import tempfile

        cls.folder = Path(tempfile.mkdtemp(prefix="greenloop-"))
        cls.addClassCleanup(shutil.rmtree, cls.folder)
        cls.tree = repository(cls.folder / "tree")
        cls.program = program(cls.folder, VERSION)
        cls.key = cls.folder / "key"
        run("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "", "-f", cls.key)
        cls.dist = cls.release(cls.folder / "dist", "--sign", cls.key)

    @classmethod
    def release(cls, out: Path, *options) -> Path:
        run(
            cls.tree / "scripts/release.sh", VERSION, "--dry-run", "--out", out,
            "--program", f"{MUSL}={cls.program}",
            "--program", f"aarch64-unknown-linux-musl={cls.program}",
            "--url", "http://127.0.0.1:1/releases", "--repository", "https://example.org/greenloop",
            *options,
        )  # fmt: skip
        return out

    def test_names_every_file_in_the_checksums(self):
        names = {path.name for path in self.dist.iterdir()}
        self.assertEqual(
            names,
            {
                f"greenloop-{VERSION}-{MUSL}.tar.gz",
                f"greenloop-{VERSION}-aarch64-unknown-linux-musl.tar.gz",
                f"greenloop_{VERSION}_amd64.deb",
                f"greenloop_{VERSION}_arm64.deb",
                f"greenloop-{VERSION}-image-amd64.tar",
                f"greenloop-{VERSION}-image-arm64.tar",
                f"greenloop-{VERSION}.cdx.json",
                f"greenloop-{VERSION}.intoto.json",
                f"greenloop-{VERSION}.md",
                "install.sh",
                "SHA256SUMS",
                "SHA256SUMS.sig",
            },
        )
        summed = {line.split()[1] for line in (self.dist / "SHA256SUMS").read_text().splitlines()}
        self.assertEqual(summed, names - {"SHA256SUMS", "SHA256SUMS.sig"})

    def test_is_the_same_when_made_again(self):
        again = self.release(self.folder / "again", "--sign", self.key)
        self.assertEqual(
            (self.dist / "SHA256SUMS").read_text(), (again / "SHA256SUMS").read_text()
        )

    def test_the_archive_has_the_program_completions_and_pages(self):
        with tarfile.open(self.dist / f"greenloop-{VERSION}-{MUSL}.tar.gz") as archive:
            top = f"greenloop-{VERSION}-{MUSL}"
            inside = {name.removeprefix(f"{top}/") for name in archive.getnames()} - {top}
            self.assertEqual(
                inside,
                {
                    "greenloop", "README.md", "CHANGELOG.md", "LICENSE-APACHE", "LICENSE-MIT",
                    "completions", "completions/greenloop.bash", "completions/_greenloop",
                    "completions/greenloop.fish", "completions/greenloop.ps1",
                    "man", "man/greenloop.1",
                },  # fmt: skip
            )
            entry = archive.getmember(f"{top}/greenloop")
            self.assertEqual((entry.mode, entry.uid), (0o755, 0))
            self.assertEqual(archive.extractfile(entry).read(), self.program.read_bytes())

    def test_the_debian_package_installs_what_it_says(self):
        package = self.dist / f"greenloop_{VERSION}_amd64.deb"
        fields = run("dpkg-deb", "--field", package).stdout
        self.assertIn(f"Version: {VERSION}\n", fields)
        self.assertIn("Architecture: amd64\n", fields)
        # A static program needs no library.
        self.assertNotIn("Depends:", fields)
        at = self.folder / "installed"
        run("dpkg-deb", "--extract", package, at)
        self.assertIn(VERSION, run(at / "usr/bin/greenloop", "--version").stdout)
        for path in (
            "usr/share/man/man1/greenloop.1.gz",
            "usr/share/bash-completion/completions/greenloop",
            "usr/share/zsh/vendor-completions/_greenloop",
            "usr/share/fish/vendor_completions.d/greenloop.fish",
            "usr/share/doc/greenloop/copyright",
            "usr/share/doc/greenloop/changelog.gz",
        ):
            self.assertTrue((at / path).is_file(), path)

    def test_a_program_for_this_c_library_depends_on_it(self):
        dynamic = self.folder / "dynamic"
        source = self.folder / "program.c"
        run("cc", "-o", dynamic, source)
        out = self.folder / "gnu"
        run(
            self.tree / "scripts/release.sh", VERSION, "--dry-run", "--out", out,
            "--program", f"x86_64-unknown-linux-gnu={dynamic}",
        )  # fmt: skip
        fields = run("dpkg-deb", "--field", out / f"greenloop_{VERSION}_amd64.deb").stdout
        self.assertRegex(fields, r"Depends: libc6 \(>= 2\.\d+\), libgcc-s1\n")
        # It could not start in an image without a C library.
        self.assertFalse(list(out.glob("*.tar")))

    def test_the_image_is_one_static_program_for_nobody(self):
        path = self.dist / f"greenloop-{VERSION}-image-amd64.tar"
        with tarfile.open(path) as archive:
            read = lambda name: archive.extractfile(name).read()
            index = json.loads(read("index.json"))
            for file in archive.getmembers():
                if file.name.startswith("blobs/sha256/"):
                    digest = hashlib.sha256(read(file.name)).hexdigest()
                    self.assertEqual(file.name, f"blobs/sha256/{digest}")
            blob = lambda known: read("blobs/" + known["digest"].replace(":", "/"))
            manifest = json.loads(blob(index["manifests"][0]))
            config = json.loads(blob(manifest["config"]))
            self.assertEqual(config["config"]["User"], "65532:65532")
            self.assertEqual(config["config"]["Entrypoint"], ["/greenloop"])
            layer = self.folder / "layer.tar.gz"
            layer.write_bytes(blob(manifest["layers"][0]))
            # What an engine before OCI layouts reads.
            (old,) = json.loads(read("manifest.json"))
            self.assertEqual(old["RepoTags"], [f"greenloop:{VERSION}"])
            self.assertIn(old["Config"], archive.getnames())
        with tarfile.open(layer) as inside:
            names = inside.getnames()
            self.assertIn("etc/ssl/certs/ca-certificates.crt", names)
            self.assertFalse([name for name in names if name.startswith(("bin", "usr"))])
            self.assertEqual(
                inside.extractfile("greenloop").read(), self.program.read_bytes()
            )

    def test_an_engine_loads_and_runs_the_image(self):
        if "GREENLOOP_TEST_DOCKER" not in os.environ:
            self.skipTest("no Docker Engine: scripts/services.sh run FOLDER starts one")
        docker = [tool("docker"), "--host", os.environ["GREENLOOP_TEST_DOCKER"]]
        path = self.dist / f"greenloop-{VERSION}-image-amd64.tar"
        run(*docker, "load", "--input", path)
        self.addCleanup(run, *docker, "image", "rm", "--force", f"greenloop:{VERSION}")
        done = run(
            *docker, "run", "--rm", "--network=none", "--read-only", "--cap-drop=ALL",
            f"greenloop:{VERSION}", "--version",
        )  # fmt: skip
        self.assertEqual(done.stdout, f"greenloop {VERSION}\n")

    def test_the_list_of_components_is_what_the_lock_file_says(self):
        path = self.dist / f"greenloop-{VERSION}.cdx.json"
        document = json.loads(path.read_text())
        try:
            from cyclonedx.schema import SchemaVersion
            from cyclonedx.validation.json import JsonStrictValidator
        except ImportError:
            print("skipped: cyclonedx-python-lib is not installed: the SBOM's schema is not checked")
        else:
            self.assertIsNone(JsonStrictValidator(SchemaVersion.V1_5).validate_str(path.read_text()))
        self.assertEqual(document["metadata"]["component"]["purl"], f"pkg:cargo/greenloop@{VERSION}")
        lock = (self.tree / "Cargo.lock").read_text()
        known = {it["bom-ref"] for it in document["components"]} | {f"pkg:cargo/greenloop@{VERSION}"}
        for component in document["components"]:
            if component["name"].startswith("greenloop-"):
                self.assertEqual(component["version"], VERSION)
                continue
            (sum,) = component["hashes"]
            self.assertIn(f'name = "{component["name"]}"\nversion = "{component["version"]}"', lock)
            self.assertIn(f'checksum = "{sum["content"]}"', lock)
        names = {it["name"] for it in document["components"]}
        self.assertIn("tokio", names)
        # Only tests use them.
        self.assertFalse({"wiremock", "proptest", "criterion"} & names)
        for entry in document["dependencies"]:
            self.assertLessEqual({entry["ref"], *entry["dependsOn"]}, known)

    def test_the_provenance_names_the_commit_and_every_file(self):
        statement = json.loads((self.dist / f"greenloop-{VERSION}.intoto.json").read_text())
        self.assertEqual(statement["_type"], "https://in-toto.io/Statement/v1")
        self.assertEqual(statement["predicateType"], "https://slsa.dev/provenance/v1")
        commit = run("git", "-C", self.tree, "rev-parse", "HEAD").stdout.strip()
        build = statement["predicate"]["buildDefinition"]
        self.assertEqual(build["resolvedDependencies"][0]["digest"], {"gitCommit": commit})
        subjects = {it["name"]: it["digest"]["sha256"] for it in statement["subject"]}
        for name, digest in subjects.items():
            content = (self.dist / name).read_bytes()
            self.assertEqual(hashlib.sha256(content).hexdigest(), digest, name)
        rest = {path.name for path in self.dist.iterdir()} - set(subjects)
        self.assertEqual(
            rest, {f"greenloop-{VERSION}.intoto.json", "SHA256SUMS", "SHA256SUMS.sig"}
        )

    def test_the_signature_is_verified_as_documented(self):
        public = " ".join((self.folder / "key.pub").read_text().split()[:2])
        signers = self.folder / "signers"
        signers.write_text(f"greenloop {public}\n")
        verify = [
            "ssh-keygen", "-Y", "verify", "-f", str(signers), "-I", "greenloop",
            "-n", "greenloop-release", "-s", str(self.dist / "SHA256SUMS.sig"),
        ]  # fmt: skip
        sums = (self.dist / "SHA256SUMS").read_bytes()
        done = subprocess.run(verify, input=sums, capture_output=True, check=False)
        self.assertEqual(done.returncode, 0, done)
        done = subprocess.run(verify, input=sums + b"x", capture_output=True, check=False)
        self.assertNotEqual(done.returncode, 0)

    def test_binstall_finds_the_archive_by_its_name(self):
        import tomllib

        package = tomllib.loads((ROOT / "Cargo.toml").read_text())["package"]
        how = package["metadata"]["binstall"]
        self.assertEqual(how["pkg-fmt"], "tgz")
        values = {"repo": "R", "version": VERSION, "name": "greenloop", "target": MUSL}
        values |= {"bin": "greenloop", "binary-ext": ""}
        filled = {}
        for key in ("pkg-url", "bin-dir"):
            text = how[key]
            for name, value in values.items():
                text = text.replace("{ %s }" % name, value)
            self.assertNotIn("{", text)
            filled[key] = text
        archive = self.dist / filled["pkg-url"].rsplit("/", 1)[1]
        self.assertTrue(archive.is_file(), archive)
        self.assertIn(f"/download/v{VERSION}/", filled["pkg-url"])
        with tarfile.open(archive) as inside:
            self.assertIn(filled["bin-dir"], inside.getnames())


class Refusals(Scratch):
    def test_what_cannot_be_released_is_refused_and_changes_nothing(self):
        tree = repository(self.folder / "tree")
        before = run("git", "-C", tree, "rev-parse", "HEAD").stdout
        fake = program(self.folder, VERSION)
        release = tree / "scripts/release.sh"
        for arguments, says in [
            (["1.2"], "is not a version"),
            ([VERSION, "--program", fake], "only with --dry-run"),
            ([VERSION, "--dry-run", "--program", fake, "--check-reproducible"], "cannot be used"),
            (["1.2.3", "--dry-run", "--program", fake], "says 'greenloop 9.8.7'"),
            ([VERSION, "--dry-run", "--sign", tree / "README.md"], "no private key"),
            ([VERSION, "--dry-run", "--url", "ftp://x"], "not an http(s) URL"),
        ]:
            done = run(release, *arguments, "--out", self.folder / "dist", check=False)
            self.assertEqual(done.returncode, 2, done.stdout)
            self.assertIn(says, done.stdout)
        (tree / "README.md").write_text("changed\n")
        done = run(release, VERSION, check=False)
        self.assertIn("the work tree is not clean", done.stdout)
        self.assertEqual(before, run("git", "-C", tree, "rev-parse", "HEAD").stdout)
        self.assertFalse((self.folder / "dist").exists())


class Reproducible(Scratch):
    """The build itself, on a crate that compiles in a second."""

    def crate(self, main: str) -> Path:
        crate = self.folder / "crate"
        (crate / "src").mkdir(parents=True)
        (crate / "Cargo.toml").write_text(
            '[package]\nname = "small"\nversion = "0.1.0"\nedition = "2021"\n[workspace]\n'
        )
        (crate / "Cargo.lock").write_text('version = 4\n\n[[package]]\nname = "small"\nversion = "0.1.0"\n')
        (crate / "src/main.rs").write_text(main)
        return crate

    def build(self, crate: Path, out: Path, *more) -> subprocess.CompletedProcess:
        host = next(
            line.split()[1] for line in run("rustc", "-vV").stdout.splitlines() if "host:" in line
        )
        env = {key: value for key, value in os.environ.items() if key != "CARGO_TARGET_DIR"}
        env["SOURCE_DATE_EPOCH"] = "1700000000"
        script = ROOT / "scripts/release/build.sh"
        return run(script, crate, "small", host, out, *more, env=env, check=False)

    def test_the_same_sources_give_the_same_bytes(self):
        # A panic's message names the file: its path must not be this machine's.
        crate = self.crate('fn main() { std::env::args().nth(9).expect(file!()); }')
        done = self.build(crate, self.folder / "one", "--twice")
        self.assertEqual(done.returncode, 0, done.stdout)
        self.assertIn("reproducible", done.stdout)
        self.assertNotIn(str(self.folder).encode(), (self.folder / "one").read_bytes())

    def test_a_program_that_knows_where_it_was_built_is_found(self):
        crate = self.crate('fn main() { println!("{}", env!("CARGO_MANIFEST_DIR")); }')
        done = self.build(crate, self.folder / "one", "--twice")
        self.assertEqual(done.returncode, 1, done.stdout)
        self.assertIn("not reproducible", done.stdout)


class Install(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        import tempfile

        cls.folder = Path(tempfile.mkdtemp(prefix="greenloop-"))
        cls.addClassCleanup(shutil.rmtree, cls.folder)
        cls.tree = repository(cls.folder / "tree")
        cls.program = program(cls.folder, VERSION)
        cls.plain = cls.folder / "plain"
        cls.release(cls.plain)

    @classmethod
    def release(cls, out: Path, *options):
        run(
            cls.tree / "scripts/release.sh", VERSION, "--dry-run", "--out", out,
            "--program", f"{MUSL}={cls.program}", *options,
        )  # fmt: skip

    def setUp(self):
        import tempfile

        self.at = Path(tempfile.mkdtemp(dir=self.folder))
        self.served = self.at / "served"
        self.served.mkdir()
        self.server = Server(self.served)
        self.addCleanup(self.server.close)
        self.home = self.at / "bin"

    def publish(self, *options):
        """A release where a server of releases has it: by its number, and as the latest."""
        out = self.served / "download" / f"v{VERSION}"
        if options:
            self.release(out, "--url", self.server.url, *options)
        else:
            shutil.copytree(self.plain, out)
        (self.served / "latest").mkdir()
        (self.served / "latest/download").symlink_to(out)
        return out

    def install(self, *arguments, script=ROOT / "install.sh", check=False, **env):
        env = {"PATH": os.environ["PATH"], "HOME": str(self.at), "TMPDIR": str(self.at)} | env
        return run("sh", script, "--to", self.home, *arguments, env=env, check=check)

    def assert_nothing_installed(self, done, says):
        self.assertEqual(done.returncode, 1, done.stdout)
        self.assertIn(says, done.stdout)
        self.assertFalse(self.home.exists() and list(self.home.iterdir()), done.stdout)
        self.assertFalse(list(self.at.glob("tmp.*")), "a folder was left")

    def test_the_latest_release_and_a_given_one(self):
        self.publish()
        done = self.install("--from", self.server.url, check=True)
        self.assertIn(f"greenloop {VERSION} is installed", done.stdout)
        self.assertIn("the signature is not verified", done.stdout)
        self.assertIn(f"add {self.home} to your PATH", done.stdout)
        self.assertIn(VERSION, run(self.home / "greenloop", "--version").stdout)
        self.assertEqual([path.name for path in self.home.iterdir()], ["greenloop"])
        for version in (VERSION, f"v{VERSION}"):
            self.install("--from", self.server.url, "--version", version, check=True)
        self.assertIn(f"/download/v{VERSION}/SHA256SUMS", self.server.asked)
        done = self.install("--from", self.server.url, "--version", "1.0.0")
        self.assertIn("could not download", done.stdout)

    def test_the_script_of_a_release_knows_its_place_and_its_key(self):
        key = self.at / "key"
        run("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", key)
        out = self.publish("--sign", key)
        done = self.install(script=out / "install.sh", check=True)
        self.assertNotIn("not verified", done.stdout)
        self.assertIn("/latest/download/SHA256SUMS.sig", self.server.asked)

    def test_each_kind_of_signature(self):
        ssh, other = self.at / "ssh", self.at / "other"
        for path in (ssh, other):
            run("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", path)
        pem = self.at / "pem"
        run("openssl", "genpkey", "-algorithm", "ed25519", "-out", pem)
        public = subprocess.run(
            ["openssl", "pkey", "-in", pem, "-pubout", "-outform", "DER"],
            stdout=subprocess.PIPE, check=True,
        ).stdout  # fmt: skip
        import base64

        keys = [
            (ssh, (self.at / "ssh.pub").read_text().strip(), "SHA256SUMS.sig"),
            (pem, base64.b64encode(public).decode(), "SHA256SUMS.ed25519"),
        ]
        if shutil.which("minisign"):
            mini = self.at / "mini"
            run("minisign", "-G", "-W", "-s", mini, "-p", self.at / "mini.pub")
            keys.append(
                (mini, (self.at / "mini.pub").read_text().splitlines()[1], "SHA256SUMS.minisig")
            )
        else:
            print("skipped: minisign is not installed")
        for key, public, signature in keys:
            with self.subTest(signature):
                shutil.rmtree(self.served)
                self.served.mkdir()
                out = self.publish("--sign", key)
                self.install("--from", self.server.url, "--key", public, check=True)
                shutil.rmtree(self.home)
                # Signed by another key, changed after the signature, not signed.
                stranger = (self.at / "other.pub").read_text().strip()
                if signature.endswith(".sig"):
                    done = self.install("--from", self.server.url, "--key", stranger)
                    self.assert_nothing_installed(done, "not by the given key")
                with (out / "SHA256SUMS").open("a") as sums:
                    sums.write(f"{'0' * 64}  another\n")
                done = self.install("--from", self.server.url, "--key", public)
                self.assert_nothing_installed(done, "not by the given key")
                (out / signature).unlink()
                done = self.install("--from", self.server.url, "--key", public)
                self.assert_nothing_installed(done, "the release is not signed")

    def test_a_changed_archive_is_refused(self):
        out = self.publish()
        archive = next(out.glob("*.tar.gz"))
        content = bytearray(archive.read_bytes())
        content[len(content) // 2] ^= 1
        archive.write_bytes(content)
        done = self.install("--from", self.server.url)
        self.assert_nothing_installed(done, "the checksum is wrong")

    def test_a_download_that_breaks_off_is_refused(self):
        out = self.publish()
        self.server.cut.add(next(out.glob("*.tar.gz")).name)
        done = self.install("--from", self.server.url)
        self.assert_nothing_installed(done, "could not download")

    def test_an_installed_program_stays_when_its_update_fails(self):
        out = self.publish()
        self.install("--from", self.server.url, check=True)
        before = (self.home / "greenloop").read_bytes()
        next(out.glob("*.tar.gz")).write_bytes(b"no archive")
        self.assertEqual(self.install("--from", self.server.url).returncode, 1)
        self.assertEqual((self.home / "greenloop").read_bytes(), before)

    def test_platforms_without_a_release(self):
        self.publish()
        fake = self.at / "fake"
        fake.mkdir()
        for system, machine, says in [
            ("Darwin", "arm64", "no release for Darwin"),
            ("Linux", "riscv64", "no release for riscv64"),
            ("Linux", "aarch64", "no program for aarch64"),
        ]:
            uname = fake / "uname"
            uname.write_text(f'#!/bin/sh\n[ "$1" = -s ] && echo {system} || echo {machine}\n')
            uname.chmod(0o755)
            path = f"{fake}:{os.environ['PATH']}"
            done = self.install("--from", self.server.url, PATH=path)
            self.assert_nothing_installed(done, says)

    def test_no_place_and_unknown_arguments(self):
        self.assert_nothing_installed(self.install(), "where do releases lie?")
        self.assert_nothing_installed(self.install("--verison", "1"), "unknown argument")

    def test_a_script_that_was_cut_off_does_nothing(self):
        self.publish()
        text = (ROOT / "install.sh").read_text()
        for part in (len(text) // 3, len(text) // 2, len(text) - len('main "$@"\n')):
            script = self.at / "cut.sh"
            script.write_text(text[:part])
            self.install("--from", self.server.url, script=script)
            self.assertFalse(self.home.exists())


if __name__ == "__main__":
    unittest.main()
