#!/usr/bin/python3
"""The style rules that a program can check. Run by ctest; prints every violation as file:line: rule.

Rules: production files <= 600 lines, functions <= 70 lines, headers open with a comment, #pragma once, includes only
along the arrows of docs/architecture.md, no clock/socket/file/thread call outside common/, one class of a name (two in
different files are one to the linker, which takes either's code), every proto message, enum, field and value has a
comment, no left-over words (TODO and its kin).
"""
import pathlib
import re
import sys

ROOT = pathlib.Path(__file__).resolve().parents[2]
MAX_FILE_LINES = 600
MAX_FUNCTION_LINES = 70
PRODUCTION = ["common", "client", "broker", "controller", "tools"]

# Folder -> folders it may include from (itself always). Longest prefix wins.
ARROWS = {
    "common": ["common"],
    "client": ["common"],
    "controller": ["common"],
    "broker/log": ["common"],
    "broker/replica": ["common", "broker/log"],
    "broker/group": ["common", "broker/log", "broker/replica"],
    "broker/server": ["common", "broker/log", "broker/replica", "broker/group", "controller"],
    "tools": ["common", "client", "broker/log", "broker/group", "broker/server"],
}
OUTSIDE_WORLD = re.compile(
    r"std::(thread|mutex|this_thread|random_device)\b|\b(gettimeofday|clock_gettime)\(|"
    r"(steady|system)_clock::now\(|\brand\(\)|(?<![\w:.>])::(open|socket|pwrite|pread|fsync|fdatasync)\(")
# Seams that main itself may touch: signals, the daemon's fork and a terminal are the process's own business.
OUTSIDE_WORLD_EXEMPT = {"broker/server/server_main.cc", "broker/server/server_stop.cc", "broker/server/process.cc"}
LEFT_OVER = re.compile(r"\b(TODO|FIXME|XXX|HACK)\b")

violations = []


def report(path, line, rule):
    violations.append(f"{path.relative_to(ROOT)}:{line}: {rule}")


def sources(folder, *suffixes):
    return [p for p in sorted((ROOT / folder).rglob("*")) if p.suffix in suffixes]


def layer_of(path):
    relative = str(path.relative_to(ROOT))
    fits = [folder for folder in ARROWS if relative.startswith(folder + "/")]
    return max(fits, key=len) if fits else None


def check_includes(path, lines):
    layer = layer_of(path)
    if layer is None:
        return
    allowed = ARROWS[layer] + [layer]
    for number, line in enumerate(lines, 1):
        match = re.match(r'\s*#include "([^"]+)"', line)
        if not match or match[1].startswith("tidemark/v1/"):
            continue
        included = match[1]
        if not any(included.startswith(folder + "/") for folder in allowed):
            report(path, number, f"{layer} may not include {included}")


def strip(line):
    """The line without string and character literals and without its // comment."""
    line = re.sub(r'"(\\.|[^"\\])*"', '""', line)
    line = re.sub(r"'(\\.|[^'\\])'", "''", line)
    return re.sub(r"//.*", "", line)


def check_functions(path, lines):
    """A function body is a block opened by a line that ends a parameter list; its length is brace to brace."""
    depth_open = []
    in_raw = False
    for number, raw in enumerate(lines, 1):
        if in_raw or 'R"' in raw:
            in_raw = 'R"' in raw and ')"' not in raw.split('R"', 1)[1] if not in_raw else ')"' not in raw
            continue
        line = strip(raw)
        for position, character in enumerate(line):
            if character == "{":
                head = line[:position].rstrip()
                is_scope = re.search(r"\b(namespace|class|struct|enum|union|extern)\b", head) or head.endswith("=")
                depth_open.append((number, not is_scope and (head.endswith(")") or re.search(
                    r"\)\s*(const|noexcept|override|final|mutable|\s|->\s*[\w:<>,&* ]+)*$", head) is not None)))
            elif character == "}" and depth_open:
                start, is_function = depth_open.pop()
                length = number - start + 1
                if is_function and length > MAX_FUNCTION_LINES and not any(f for _, f in depth_open):
                    report(path, start, f"function of {length} lines (at most {MAX_FUNCTION_LINES})")


def check_cpp():
    for folder in PRODUCTION:
        for path in sources(folder, ".cc", ".h"):
            lines = path.read_text().splitlines()
            if len(lines) > MAX_FILE_LINES:
                report(path, len(lines), f"file of {len(lines)} lines (at most {MAX_FILE_LINES})")
            if path.suffix == ".h":
                if not lines or not lines[0].startswith("//"):
                    report(path, 1, "a header opens with a comment that says what it is")
                if "#pragma once" not in lines:
                    report(path, 1, "#pragma once is missing")
            check_includes(path, lines)
            check_functions(path, lines)
            name = str(path.relative_to(ROOT))
            for number, line in enumerate(lines, 1):
                if not name.startswith("common/") and name not in OUTSIDE_WORLD_EXEMPT and \
                        OUTSIDE_WORLD.search(strip(line)):
                    report(path, number, "the outside world is reached through the Environment only")
                if LEFT_OVER.search(line):
                    report(path, number, "left for later by its own words")


def check_class_names():
    """Classes at namespace level, outside unnamed namespaces: the linker knows them by name alone."""
    first = {}
    for folder in PRODUCTION:
        for path in sources(folder, ".cc", ".h"):
            spaces = []
            for number, line in enumerate(path.read_text().splitlines(), 1):
                if opened := re.match(r"namespace ([\w:]*) ?\{", line):
                    spaces.append(opened[1])
                elif line.startswith("}  // namespace") and spaces:
                    spaces.pop()
                match = re.match(r"(?:class|struct) (\w+)(?: final)?\b(?!::)[^;]*\{", line)
                if not match or "" in spaces:
                    continue
                name = "::".join(spaces + [match[1]])
                if first.setdefault(name, (path, number))[0] != path:
                    known, known_line = first[name]
                    report(path, number, f"{name} is also at {known.relative_to(ROOT)}:{known_line}")


def check_protos():
    item = re.compile(r"^\s*((optional|repeated)\s+)?(map<[^>]+>|[\w.]+)\s+\w+\s*=\s*-?\d+\s*(\[.*\])?;|"
                      r"^\s*[A-Z][A-Z0-9_]*\s*=\s*-?\d+;|^\s*(message|enum)\s+\w+")
    for path in sources("proto", ".proto"):
        lines = path.read_text().splitlines()
        for number, line in enumerate(lines, 1):
            if line.startswith(("import", "package", "syntax")) or not item.match(line):
                continue
            previous = lines[number - 2].strip() if number > 1 else ""
            if "//" not in line and not previous.startswith("//"):
                report(path, number, "every message, enum, field and value has a comment")


def main():
    check_cpp()
    check_class_names()
    check_protos()
    for violation in violations:
        print(violation)
    print(f"style: {len(violations)} violations")
    return 1 if violations else 0


if __name__ == "__main__":
    sys.exit(main())
