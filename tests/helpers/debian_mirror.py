"""A mirror of Debian on this disk: a few small packages, and an index that a key of its own has signed."""

import hashlib
import shutil
import subprocess
from pathlib import Path


def deb(folder: Path, name: str, files: dict[str, str]) -> Path:
    """A package `name` in `folder`; `files` are its programs by path, each a shell script."""
    tree = folder / name
    (tree / "DEBIAN").mkdir(parents=True)
    for path, script in files.items():
        (tree / path).parent.mkdir(parents=True, exist_ok=True)
        (tree / path).write_text(f"#!/bin/sh\n{script}\n")
        (tree / path).chmod(0o755)
    (tree / "DEBIAN" / "control").write_text(
        f"Package: {name}\nVersion: 1\nArchitecture: amd64\nMaintainer: A Test <test@example.org>\nDescription: small\n"
    )
    subprocess.run(["dpkg-deb", "--build", tree, folder], check=True, capture_output=True)
    shutil.rmtree(tree)
    return folder / f"{name}_1_amd64.deb"


def suite(mirror: Path, name: str, packages: list[Path], gnupg: Path) -> Path:
    """The suite `name` of `mirror` with these packages; returns the keyring that its signature is held against.

    `gnupg` is a folder for the key: a short path, for gpg's agent puts its socket there.
    """
    entries = []
    for package in packages:
        control = subprocess.run(["dpkg-deb", "--field", package], capture_output=True, text=True, check=True).stdout
        about = f"Filename: {package.relative_to(mirror)}\nSize: {package.stat().st_size}\nSHA256: {_sha256(package)}\n"
        entries.append(control + about)
    folder = mirror / "dists" / name
    index = folder / "main" / "binary-amd64" / "Packages"
    index.parent.mkdir(parents=True)
    index.write_text("\n".join(entries))
    listed = f" {_sha256(index)} {index.stat().st_size} {index.relative_to(folder)}\n"
    (folder / "Release").write_text(
        f"Origin: Debian\nSuite: {name}\nCodename: {name}\nArchitectures: amd64\nComponents: main\n"
        f"Date: Thu, 01 Jan 2026 00:00:00 UTC\nSHA256:\n{listed}"
    )
    gpg = ["gpg", "--homedir", gnupg, "--batch", "--quiet", "--passphrase", ""]
    gnupg.chmod(0o700)
    subprocess.run([*gpg, "--quick-generate-key", "test@example.org", "ed25519"], check=True, capture_output=True)
    subprocess.run([*gpg, "--output", folder / "InRelease", "--clearsign", folder / "Release"], check=True)
    subprocess.run([*gpg, "--output", mirror / "keyring.gpg", "--export"], check=True)
    subprocess.run(["gpgconf", "--homedir", gnupg, "--kill", "all"], check=True)
    return mirror / "keyring.gpg"


def _sha256(file: Path) -> str:
    return hashlib.sha256(file.read_bytes()).hexdigest()
