#!/usr/bin/env python3
"""Writes the list of components of a program as CycloneDX 1.5 JSON.

    scripts/release/sbom.py MANIFEST PACKAGE VERSION TARGET... > FILE

Contains what is compiled into the program for the targets: no development dependencies. Reads
`cargo metadata` and Cargo.lock, offline; the same lock file gives the same bytes.
"""

import json
import os
import subprocess
import sys
import tomllib
import uuid
from datetime import datetime, timezone
from pathlib import Path


def metadata(manifest: str, targets: list[str]) -> dict:
    command = ["cargo", "metadata", "--format-version=1", "--locked", "--offline"]
    command += ["--manifest-path", manifest]
    for target in targets:
        command += ["--filter-platform", target]
    done = subprocess.run(command, stdout=subprocess.PIPE, check=False)
    if done.returncode != 0:
        sys.exit("sbom: cargo metadata failed")
    return json.loads(done.stdout)


def checksums(lock: Path) -> dict[tuple[str, str], str]:
    packages = tomllib.loads(lock.read_text())["package"]
    return {(it["name"], it["version"]): it["checksum"] for it in packages if "checksum" in it}


def reachable(nodes: dict[str, dict], root: str) -> dict[str, list[str]]:
    """What each package is built from, over everything that `root` is built from."""
    found: dict[str, list[str]] = {}
    waiting = [root]
    while waiting:
        package = waiting.pop()
        if package in found:
            continue
        needs = [
            dependency["pkg"]
            for dependency in nodes[package]["deps"]
            if any(kind["kind"] != "dev" for kind in dependency["dep_kinds"])
        ]
        found[package] = sorted(needs)
        waiting.extend(needs)
    return found


def licence(text: str | None) -> list[dict]:
    # `/` is the old form of OR in Cargo.toml.
    return [{"expression": text.replace("/", " OR ").replace("  ", " ")}] if text else []


def main() -> None:
    if len(sys.argv) < 4:
        sys.exit(__doc__)
    manifest, name, version, *targets = sys.argv[1:]
    data = metadata(manifest, targets)
    packages = {package["id"]: package for package in data["packages"]}
    nodes = {node["id"]: node for node in data["resolve"]["nodes"]}
    root = next(id for id, it in packages.items() if it["name"] == name and it["source"] is None)
    sums = checksums(Path(data["workspace_root"]) / "Cargo.lock")
    needs = reachable(nodes, root)

    def reference(id: str) -> str:
        package = packages[id]
        own = version if package["source"] is None else package["version"]
        return f"pkg:cargo/{package['name']}@{own}"

    def component(id: str) -> dict:
        package = packages[id]
        made = {
            "type": "application" if id == root else "library",
            "bom-ref": reference(id),
            "name": package["name"],
            "version": reference(id).rsplit("@", 1)[1],
            "licenses": licence(package["license"]),
            "purl": reference(id),
        }
        checksum = sums.get((package["name"], package["version"]))
        if checksum:
            made["hashes"] = [{"alg": "SHA-256", "content": checksum}]
        if not made["licenses"]:
            del made["licenses"]
        return made

    lines = sorted((reference(id) for id in needs))
    time = int(os.environ.get("SOURCE_DATE_EPOCH", "0"))
    document = {
        "$schema": "http://cyclonedx.org/schema/bom-1.5.schema.json",
        "bomFormat": "CycloneDX",
        "specVersion": "1.5",
        # From the content: the same components have the same number.
        "serialNumber": uuid.uuid5(uuid.NAMESPACE_URL, "\n".join([*lines, *targets])).urn,
        "version": 1,
        "metadata": {
            "timestamp": datetime.fromtimestamp(time, timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ"),
            "component": component(root),
            "properties": [{"name": "cargo:target", "value": target} for target in targets],
        },
        "components": sorted(
            (component(id) for id in needs if id != root), key=lambda it: it["bom-ref"]
        ),
        "dependencies": sorted(
            (
                {"ref": reference(id), "dependsOn": sorted({reference(n) for n in of})}
                for id, of in needs.items()
            ),
            key=lambda it: it["ref"],
        ),
    }
    json.dump(document, sys.stdout, indent=2)
    print()


if __name__ == "__main__":
    main()
