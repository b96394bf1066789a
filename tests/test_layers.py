"""The layers of the design: a module imports only from lower ranks, or its own package without a circle."""

import ast
import graphlib
from pathlib import Path

import pytest

SOURCE = Path(__file__).parents[1] / "src" / "sipflow"

RANKS = {
    name: rank
    for rank, names in enumerate(
        (
            ("version", "errors", "clock", "placement", "thread", "orders", "server_log"),
            ("amount", "leap"),
            ("given",),
            ("destination", "node"),
            ("config",),
            ("effective", "own_node"),
            ("_fast",),
            ("wire",),
            ("ingest", "storage"),
            ("media",),
            ("diagnose",),
            ("query",),
            ("export", "archive", "cluster"),
            ("web", "client"),
            ("ports", "child", "renewal"),
            ("reader_process", "archiver_process", "origin", "hep"),
            ("recorder", "reader", "archiver", "importer", "server_options", "mirror"),
            ("cli", "onlooker", "load"),
            ("server", "demo", "pytest_plugin", "__main__", ""),
        )
    )
    for name in names
}
MODULES = sorted(path for path in SOURCE.rglob("*.py"))


def name_of(path: Path) -> str:
    parts = path.relative_to(SOURCE).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def imports_of(path: Path) -> list[tuple[str, ast.stmt]]:
    found: list[tuple[str, ast.stmt]] = []
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] == "sipflow":
            found.append(((node.module or "")[len("sipflow") :].lstrip("."), node))
        elif isinstance(node, ast.Import):
            names = (name.name for name in node.names if name.name.split(".")[0] == "sipflow")
            found += [(name[len("sipflow") :].lstrip("."), node) for name in names]
    return found


def package_of(module: str) -> str:
    return module.split(".", maxsplit=1)[0]


@pytest.mark.parametrize("path", MODULES, ids=name_of)
def test_imports_go_down(path: Path) -> None:
    importer = package_of(name_of(path))
    for module, _ in imports_of(path):
        package = package_of(module)
        if package != importer:
            assert RANKS[package] < RANKS[importer], f"{name_of(path)} imports sipflow.{module}"


# A recorder loads nothing of what answers questions; only a server that records nothing does.
LATE = {"server": 1}


@pytest.mark.parametrize("path", MODULES, ids=name_of)
def test_imports_stand_at_the_top(path: Path) -> None:
    tree = ast.parse(path.read_text())
    inside = [
        node.lineno
        for function in ast.walk(tree)
        if isinstance(function, ast.FunctionDef | ast.AsyncFunctionDef)
        for node in ast.walk(function)
        if isinstance(node, ast.Import | ast.ImportFrom)
    ]
    assert len(inside) == LATE.get(name_of(path), 0), inside


def test_only_one_module_imports_the_extension() -> None:
    importers = {name_of(path) for path in MODULES if "_fast._core" in [module for module, _ in imports_of(path)]}
    assert importers == {"_fast"}


def test_there_are_no_circles() -> None:
    known = {name_of(path) for path in MODULES}
    graph = {name_of(path): {module for module, _ in imports_of(path) if module in known} for path in MODULES}
    graphlib.TopologicalSorter(graph).prepare()


def test_names_say_the_thing() -> None:
    vague = {"utils", "util", "helpers", "helper", "common", "misc", "manager", "handlers", "handler", "base"}
    assert [name for name in map(name_of, MODULES) if vague & set(name.split("."))] == []
