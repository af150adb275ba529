"""Imports run one way, files and functions are short: read from the syntax trees."""

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
NETWORKS = {"alexnet", "vgg16", "googlenet", "resnet34", "zoo"}
TOP = {
    "architecture",
    "class_names",
    "errors",
    "machine",
    "processor",
    "distribution",
    "recipe",
    "settings",
    "style",
    "lazy",
    "progress",
}
BOTTOM = {"nn", "input", "runs"}
BELOW = {  # what each package of common/ may import beside its own modules and those at the top
    "training": BOTTOM,
    "evaluation": BOTTOM,
    "weights": BOTTOM | {"evaluation"},  # an exported network crops as a test does
    "visualization": BOTTOM | {"evaluation"},
    "report": BOTTOM | {"evaluation", "training"},
}


def module(path: Path) -> str:
    """`common.nn.layers` of common/nn/layers.py; a package is called by its name."""
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


FILES = {
    module(path): path
    for pattern in ("*.py", "cli/**/*.py", "common/**/*.py", "data/**/*.py", "zoo/**/*.py")
    for path in ROOT.glob(pattern)
}


def is_type_checking(node: ast.AST) -> bool:
    return isinstance(node, ast.If) and isinstance(node.test, ast.Name) and node.test.id == "TYPE_CHECKING"


def imported(tree: ast.AST, lazy: bool) -> set[str]:
    """The project's modules that a file imports, not for types alone; `lazy`: within functions and by `lazy()` too."""
    found, pending = set(), [tree]
    while pending:
        node = pending.pop()
        if is_type_checking(node) or (not lazy and isinstance(node, ast.FunctionDef | ast.Lambda)):
            continue
        if isinstance(node, ast.If) and "__main__" in ast.unparse(node.test):
            continue
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            for alias in node.names:
                inner = f"{node.module}.{alias.name}"
                found.add(inner if inner in FILES else node.module)
        elif lazy and isinstance(node, ast.Call) and getattr(node.func, "id", "") == "lazy":
            found.add(ast.literal_eval(node.args[0]))
        pending += ast.iter_child_nodes(node)
    return found & FILES.keys()


def edges(lazy: bool) -> dict[str, set[str]]:
    return {name: imported(ast.parse(path.read_text(encoding="utf-8")), lazy) for name, path in FILES.items()}


def layer(name: str) -> str:
    """`top`, or the package within common/."""
    parts = name.split(".")
    return parts[1] if len(parts) > 1 and parts[1] not in TOP else "top"


def test_the_table_of_files_is_not_empty():
    assert {"train", "cli.setup", "common.nn.layers", "data.prepare"} <= FILES.keys()
    assert "common.nn.layers" in imported(ast.parse("def f():\n    from common.nn import layers"), lazy=True)
    assert imported(ast.parse("def f():\n    from common.nn import layers"), lazy=False) == set()


def test_common_knows_no_network_no_flag_and_nothing_above_it():
    for name, targets in edges(lazy=True).items():
        if name.split(".")[0] == "common":
            above = {target for target in targets if target.split(".")[0] != "common"}
            assert not above, f"{name} imports {above}"


def test_packages_of_common_import_downwards():
    for name, targets in edges(lazy=True).items():
        if name.split(".")[0] != "common" or name == "common":
            continue
        own = layer(name)
        for target in targets:
            if layer(target) == own or layer(target) == "top":
                continue
            assert layer(target) in BELOW.get(own, ()), f"{name} imports {target}"


def test_networks_import_the_vocabulary_alone():
    for name, targets in edges(lazy=True).items():
        if name.split(".")[0] in NETWORKS:
            strange = {one for one in targets if one.split(".")[0] in ("cli", "data", "train")}
            assert not strange, f"{name} imports {strange}"


@pytest.mark.parametrize("top", ["cli", "data", "common", "zoo"])
def test_no_circle(top):
    graph = edges(lazy=False)
    done: set[str] = set()

    def visit(name: str, path: tuple[str, ...]) -> None:
        assert name not in path, " -> ".join((*path, name))
        if name not in done:
            for target in sorted(graph[name]):
                visit(target, (*path, name))
            done.add(name)

    for name in sorted(graph):
        if name.split(".")[0] == top:
            visit(name, ())


def test_files_have_at_most_300_lines_and_functions_60():
    folders = ("cli", "common", "data", "zoo", "benchmarks", "experiments", "docs", "tests")
    for path in [*ROOT.glob("*.py"), *(path for folder in folders for path in (ROOT / folder).rglob("*.py"))]:
        text = path.read_text(encoding="utf-8")
        assert len(text.splitlines()) <= 300, path
        for node in ast.walk(ast.parse(text)):
            if isinstance(node, ast.FunctionDef):
                assert node.end_lineno - node.lineno < 60, f"{path}: {node.name}"
