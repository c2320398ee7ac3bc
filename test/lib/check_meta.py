#!/usr/bin/env python3
"""Checks META.json:  check_meta.py SOURCE_TREE

It must be valid JSON with what PGXN requires, the version must be a semantic version, the places inside the file that repeat it
must agree, the files it names must exist, and CHANGELOG.md must speak about the version.
"""
import json
import pathlib
import re
import sys

REQUIRED = ("name", "version", "abstract", "maintainer", "license", "provides", "meta-spec")


def complaints(tree):
    """Every reason why the META.json of this source tree must not be released."""
    meta = json.loads((tree / "META.json").read_text(encoding="utf-8"))
    for field in REQUIRED:
        if field not in meta:
            yield f'META.json: "{field}" is missing'
    version = meta.get("version", "")
    if not re.fullmatch(r"\d+\.\d+\.\d+(-[0-9A-Za-z.-]+)?", version):
        yield f'META.json: version "{version}" is not a semantic version'
    for name, extension in meta.get("provides", {}).items():
        if extension.get("version") != version:
            yield f'META.json: provides {name} says version {extension.get("version")}, the distribution {version}'
        if extension.get("file") != f"sql/{name}--{version}.sql":
            yield f'META.json: provides {name} names the script {extension.get("file")}, make builds sql/{name}--{version}.sql'
        if not (tree / extension.get("docfile", "")).is_file():
            yield f'META.json: provides {name} names the document {extension.get("docfile")}, which does not exist'
    if f"## {version}" not in (tree / "CHANGELOG.md").read_text(encoding="utf-8"):
        yield f"CHANGELOG.md: no section for version {version}"


def main():
    found = list(complaints(pathlib.Path(sys.argv[1] if len(sys.argv) > 1 else ".")))
    for complaint in found:
        print(complaint, file=sys.stderr)
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
