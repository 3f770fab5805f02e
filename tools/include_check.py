#!/usr/bin/env python3
"""Proves that the folders under src/ include each other in one direction only.

usage: include_check.py --layers cmake/layers.txt SRC

Prints `file:line: [rule] what is wrong` for each violation of the layers file and exits 1 if there is
any. The rules:

    layer        a folder includes one that its line does not reach
    factory      an implementation's subfolder is included by others than itself and the factory
    third-party  a library is seen outside the places it is confined to
    pure         a folder that may do no I/O and read no clock has such a header or word
    path         an #include in quotes that does not start at src/
"""
import argparse
import fnmatch
import re
import sys
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Iterator, NamedTuple


class Violation(NamedTuple):
    file: str
    line: int
    rule: str
    message: str

    def __str__(self) -> str:
        return f"{self.file}:{self.line}: [{self.rule}] {self.message}"


@dataclass
class Layers:
    direct: dict[str, list[str]] = field(default_factory=dict)
    closure: dict[str, set[str]] = field(default_factory=dict)
    factory: set[str] = field(default_factory=set)
    only: list[tuple[list[str], list[str]]] = field(default_factory=list)  # (header patterns, places)
    pure: set[str] = field(default_factory=set)
    impure_headers: list[str] = field(default_factory=list)
    impure_words: list[str] = field(default_factory=list)

    @staticmethod
    def read(path: Path) -> "Layers":
        layers = Layers()
        for number, text in enumerate(path.read_text().splitlines(), 1):
            text = text.split("#", 1)[0].strip()
            if not text:
                continue
            if text.startswith("@"):
                keyword, _, rest = text.partition(" ")
                layers._add_rule(f"{path}:{number}", keyword, rest)
                continue
            folder, colon, may = text.partition(":")
            if not colon or not re.fullmatch(r"[a-z_]+", folder):
                sys.exit(f"{path}:{number}: expected `folder: folders it may include`")
            # Only folders named on an earlier line: the order has no circles.
            unknown = [name for name in may.split() if name not in layers.direct]
            if unknown:
                sys.exit(f"{path}:{number}: '{folder}' names '{unknown[0]}' before its own line")
            layers.direct[folder] = may.split()
            layers.closure[folder] = set(may.split()).union(*(layers.closure[b] for b in may.split()))
        return layers

    def _add_rule(self, where: str, keyword: str, rest: str) -> None:
        if keyword == "@factory":
            self.factory |= set(rest.split())
        elif keyword == "@only":
            places, _, headers = rest.partition(":")
            self.only.append((headers.split(), places.split()))
        elif keyword == "@pure":
            self.pure |= set(rest.split())
        elif keyword == "@impure":
            for word in rest.split():
                if word.startswith("<"):
                    self.impure_headers.append(word.strip("<>"))
                else:
                    self.impure_words.append(word)
        else:
            sys.exit(f"{where}: unknown rule {keyword}")


# Raw strings first: they may hold quotes and comment marks of their own.
NOT_CODE = re.compile(
    r'R"(?P<tag>[^()\\\s]{0,16})\(.*?\)(?P=tag)"'
    r"|/\*.*?\*/|//(?:\\\n|[^\n])*"
    r'|"(?:\\.|[^"\\\n])*"'
    r"|(?<![0-9a-fA-F])'(?:\\.|[^'\\\n])*'",
    re.DOTALL,
)
INCLUDE = re.compile(r'^\s*#\s*include\s*(?:"(?P<quoted>[^"]+)"|<(?P<angled>[^>]+)>)')


def without_comments(text: str, keep_strings: bool) -> str:
    """Blanks comments (and strings), keeping line numbers."""

    def blank(match: re.Match[str]) -> str:
        if keep_strings and not match[0].startswith("/"):
            return match[0]
        return re.sub(r"[^\n]", " ", match[0])

    return NOT_CODE.sub(blank, text)


def matches(header: str, patterns: list[str]) -> bool:
    return any(fnmatch.fnmatchcase(header, pattern) for pattern in patterns)


def inside(file: PurePosixPath, place: str) -> bool:
    return PurePosixPath(place) in file.parents


class Check:
    def __init__(self, layers: Layers, root: Path):
        self.layers = layers
        self.root = root
        impure = "|".join(re.escape(word) for word in layers.impure_words)
        self.impure = re.compile(rf"\b({impure})\b") if impure else None

    def run(self) -> Iterator[Violation]:
        for path in sorted(self.root.rglob("*")):
            if path.suffix in (".h", ".cc") and path.is_file():
                yield from self.check_file(path)

    def check_file(self, path: Path) -> Iterator[Violation]:
        file = PurePosixPath(path.relative_to(self.root).as_posix())
        folder = file.parts[0]
        text = path.read_text(errors="replace")
        if folder not in self.layers.direct:
            yield Violation(str(path), 1, "layer", f"'{folder}' has no line in the layers file")
            return
        for number, line in enumerate(without_comments(text, keep_strings=True).split("\n"), 1):
            include = INCLUDE.match(line)
            if include:
                for rule, message in self.check_include(file, include["quoted"], include["angled"]):
                    yield Violation(str(path), number, rule, message)
        if folder in self.layers.pure and self.impure:
            for number, line in enumerate(without_comments(text, keep_strings=False).split("\n"), 1):
                found = self.impure.search(line)
                if found:
                    yield Violation(
                        str(path), number, "pure",
                        f"'{folder}' does no I/O and is told the time and the seed, but says {found[0]}")

    def check_include(
        self, file: PurePosixPath, quoted: str | None, angled: str | None
    ) -> Iterator[tuple[str, str]]:
        header = quoted or angled or ""
        folder = file.parts[0]
        target = header.split("/")
        layers = self.layers

        for patterns, places in layers.only:
            if matches(header, patterns):
                if not any(inside(file, place) for place in places):
                    yield "third-party", f"{header} may be included only in {', '.join(places)}"
                return

        if len(target) > 1 and target[0] in layers.direct:
            if target[0] != folder and target[0] not in layers.closure[folder]:
                yield "layer", f"'{folder}' must not include '{target[0]}' ({header})"
            elif target[0] in layers.factory and len(target) > 2:
                home = "/".join(target[:2])
                if not inside(file, home) and str(file) != f"{target[0]}/factory.cc":
                    yield "factory", f"{home}/ is for {target[0]}/factory.cc and itself ({header})"
        elif quoted:
            yield "path", f'"{header}": write it from src/, as "{folder}/..."'

        if folder in layers.pure and matches(header, layers.impure_headers):
            yield "pure", f"'{folder}' does no I/O and reads no clock, but includes <{header}>"


def main() -> int:
    parser = argparse.ArgumentParser(description="Proves the one-way order of src/.")
    parser.add_argument("--layers", type=Path, required=True)
    parser.add_argument("src", type=Path)
    arguments = parser.parse_args()
    if not arguments.src.is_dir():
        parser.error(f"{arguments.src} is no folder")
    violations = list(Check(Layers.read(arguments.layers), arguments.src).run())
    for violation in violations:
        print(violation)
    return 1 if violations else 0


if __name__ == "__main__":
    sys.exit(main())
