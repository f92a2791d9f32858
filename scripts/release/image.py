#!/usr/bin/env python3
"""Writes a container image with one static program, without an engine and without a base image.

    scripts/release/image.py PROGRAM ARCHITECTURE NAME:TAG [CERTIFICATES] > IMAGE.tar

The archive is an OCI image layout and what `docker save` writes at once: `docker load`, `podman
load`, `skopeo copy oci-archive:` and `crane push` read it. It runs as user 65532, without a shell.
The same program gives the same digest (SOURCE_DATE_EPOCH, default 0).
"""

import gzip
import hashlib
import io
import json
import os
import sys
import tarfile
from datetime import datetime, timezone
from pathlib import Path

TIME = int(os.environ.get("SOURCE_DATE_EPOCH", "0"))
USER = 65532


def add(archive: tarfile.TarFile, name: str, content: bytes | None, mode: int, owner: int = 0):
    entry = tarfile.TarInfo(name)
    entry.mtime, entry.mode, entry.uid, entry.gid = TIME, mode, owner, owner
    if content is None:
        entry.type = tarfile.DIRTYPE
        archive.addfile(entry)
    else:
        entry.size = len(content)
        archive.addfile(entry, io.BytesIO(content))


def layer(program: bytes, certificates: bytes | None) -> bytes:
    made = io.BytesIO()
    with tarfile.open(fileobj=made, mode="w", format=tarfile.USTAR_FORMAT) as archive:
        # Users that programs look up, and a folder for temporary files.
        add(archive, "etc", None, 0o755)
        passwd = f"root:x:0:0::/:/\ngreenloop:x:{USER}:{USER}::/work:/\n".encode()
        add(archive, "etc/passwd", passwd, 0o644)
        add(archive, "etc/group", f"root:x:0:\ngreenloop:x:{USER}:\n".encode(), 0o644)
        if certificates is not None:
            for folder in ("etc/ssl", "etc/ssl/certs"):
                add(archive, folder, None, 0o755)
            add(archive, "etc/ssl/certs/ca-certificates.crt", certificates, 0o644)
        add(archive, "tmp", None, 0o1777)
        add(archive, "work", None, 0o755, USER)
        add(archive, "greenloop", program, 0o755)
    return made.getvalue()


def described(kind: str, content: bytes) -> dict:
    return {
        "mediaType": f"application/vnd.oci.image.{kind}",
        "digest": "sha256:" + hashlib.sha256(content).hexdigest(),
        "size": len(content),
    }


def main() -> None:
    if len(sys.argv) not in (4, 5):
        sys.exit(__doc__)
    program, architecture, name = Path(sys.argv[1]).read_bytes(), sys.argv[2], sys.argv[3]
    if b"/ld-linux" in program[:4096] or b"/ld-musl" in program[:4096]:
        sys.exit(f"image: {sys.argv[1]} is not static: an image without a C library cannot run it")
    certificates = Path(sys.argv[4]).read_bytes() if len(sys.argv) == 5 else None
    plain = layer(program, certificates)
    packed = gzip.compress(plain, mtime=0)
    config = json.dumps(
        {
            "architecture": architecture,
            "os": "linux",
            "created": datetime.fromtimestamp(TIME, timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ"),
            "config": {
                "User": f"{USER}:{USER}",
                "WorkingDir": "/work",
                "Entrypoint": ["/greenloop"],
                "Labels": {"org.opencontainers.image.version": name.rsplit(":", 1)[-1]},
            },
            "rootfs": {
                "type": "layers",
                "diff_ids": ["sha256:" + hashlib.sha256(plain).hexdigest()],
            },
            "history": [{"created_by": "scripts/release/image.py"}],
        }
    ).encode()
    blobs = {}

    def blob(kind: str, content: bytes) -> dict:
        known = described(kind, content)
        blobs["blobs/" + known["digest"].replace(":", "/")] = content
        return known

    in_layer = blob("layer.v1.tar+gzip", packed)
    in_config = blob("config.v1+json", config)
    manifest = {
        "schemaVersion": 2,
        "mediaType": "application/vnd.oci.image.manifest.v1+json",
        "config": in_config,
        "layers": [in_layer],
    }
    in_manifest = blob("manifest.v1+json", json.dumps(manifest).encode())
    in_manifest["platform"] = {"architecture": architecture, "os": "linux"}
    in_manifest["annotations"] = {
        "io.containerd.image.name": name,
        "org.opencontainers.image.ref.name": name.rsplit(":", 1)[-1],
    }
    path = lambda known: "blobs/" + known["digest"].replace(":", "/")
    files = {
        "oci-layout": b'{"imageLayoutVersion": "1.0.0"}',
        "index.json": json.dumps(
            {
                "schemaVersion": 2,
                "mediaType": "application/vnd.oci.image.index.v1+json",
                "manifests": [in_manifest],
            }
        ).encode(),
        "manifest.json": json.dumps(
            [{"Config": path(in_config), "RepoTags": [name], "Layers": [path(in_layer)]}]
        ).encode(),
        **blobs,
    }
    with tarfile.open(fileobj=sys.stdout.buffer, mode="w|", format=tarfile.USTAR_FORMAT) as archive:
        for folder in ("blobs", "blobs/sha256"):
            add(archive, folder, None, 0o755)
        for file, content in sorted(files.items()):
            add(archive, file, content, 0o644)
    print(f"image: {name} for {architecture}: {in_manifest['digest']}", file=sys.stderr)


if __name__ == "__main__":
    main()
