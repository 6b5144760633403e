"""The rules of the house, read from the files: tests mirror modules, imports go one way, files stay small.

A room imports only rooms that stand before it in `ROOMS`.
"""

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
ROOMS = (
    *("losses", "streams", "corpora", "modalities", "evaluation", "hub", "training", "objectives", "few_labels"),
    *("testing", "app"),
)
SIBLINGS = ("modalities", "objectives")  # rooms whose packages do not import one another
NEIGHBOURS = {"modalities.image_text": {"modalities.image", "modalities.text"}}  # but these may
MAX_FILE_LINES, MAX_FUNCTION_LINES, MAX_RECIPE_LINES = 300, 60, 79
LARGER_FILES = {"training/trainer.py": 400}

Imports = list[tuple[str, bool]]  # the module imported, and whether for the type checker alone


def sources_of(package: Path) -> dict[str, Path]:
    """Path inside the package -> file, of all modules but the stand-ins of old paths."""
    paths = {path.relative_to(package).as_posix(): path for path in sorted(package.rglob("*.py"))}
    return {name: path for name, path in paths.items() if not name.startswith(("_moved/", "_shipped/"))}


def module_name(name: str) -> str:
    """`streams/loader.py` -> `streams.loader`, `streams/__init__.py` -> `streams`, `__init__.py` -> ``."""
    return name.removesuffix(".py").removesuffix("__init__").rstrip("/").replace("/", ".")


def imports_of(package: Path) -> dict[str, Imports]:
    """What each module imports of the package, wherever in the file it stands; names without the package's own."""
    sources = sources_of(package)
    modules = {module_name(name): ast.parse(path.read_text()) for name, path in sources.items()}
    found: dict[str, Imports] = {}
    for name in sources:
        module = module_name(name)
        typing_only = {
            inner
            for node in ast.walk(modules[module])
            if isinstance(node, ast.If) and ast.unparse(node.test).endswith("TYPE_CHECKING")
            for statement in node.body
            for inner in ast.walk(statement)
        }
        parents = (module if name.endswith("__init__.py") else module.rpartition(".")[0]).split(".")
        found[module] = [
            (target, node in typing_only)
            for node in ast.walk(modules[module])
            for target in targets_of(node, parents, package.name, modules)
        ]
    return found


def targets_of(node: ast.AST, parents: list[str], package: str, modules: dict[str, ast.Module]) -> list[str]:
    if isinstance(node, ast.Import):
        names = [alias.name.split(".") for alias in node.names]
        return [".".join(rest) for first, *rest in names if first == package]
    if not isinstance(node, ast.ImportFrom):
        return []
    base = (node.module or "").split(".") if node.module else []
    if node.level:
        above = [part for part in parents if part]
        base = [*above[: len(above) - node.level + 1], *base]
    elif base[:1] == [package]:
        base = base[1:]
    else:
        return []
    # a name is a module of its own, or something in the module it is imported from
    names = [".".join([*base, alias.name]) for alias in node.names]
    return list(dict.fromkeys(name if name in modules else ".".join(base) for name in names))


def without_tests(package: Path, tests: Path) -> set[str]:
    """Modules with no test file at their own path."""
    missing = set()
    for name in sources_of(package):
        folder, stem = (tests / name).parent, Path(name).stem
        if stem in ("__init__", "settings") or name.startswith("testing/"):
            continue
        if not (folder / f"test_{stem}.py").exists() and not list(folder.glob(f"test_{stem}_*.py")):
            missing.add(name)
    return missing


def against_the_order(package: Path) -> set[str]:
    """Imports of rooms that stand below one's own, of rooms that stand nowhere, and of the root."""
    bad = set()
    for module, targets in imports_of(package).items():
        room = module.partition(".")[0]
        if not room:
            continue  # the root itself, whose imports are lazy
        if room not in ROOMS:
            bad.add(f"{module} is in no room")
            continue
        for target, _ in targets:
            theirs = target.partition(".")[0]
            if theirs not in ROOMS[: ROOMS.index(room) + 1]:
                bad.add(f"{module} -> {target or 'the root'}")
    return bad


def between_siblings(package: Path) -> set[str]:
    """Imports of one modality's package by another's, or of one objective's by another's."""
    bad = set()
    for module, targets in imports_of(package).items():
        ours = sibling_of(module, package)
        for target, _ in targets:
            theirs = sibling_of(target, package)
            same_room = ours and theirs and ours.partition(".")[0] == theirs.partition(".")[0]
            if same_room and theirs not in {ours, *NEIGHBOURS.get(ours, ())}:
                bad.add(f"{module} -> {target}")
    return bad


def sibling_of(module: str, package: Path) -> str | None:
    """The package of a modality or an objective that a module is of."""
    room, *rest = module.split(".")
    is_package = room in SIBLINGS and bool(rest) and (package / room / rest[0]).is_dir()
    return f"{room}.{rest[0]}" if is_package else None


def circles(package: Path) -> set[str]:
    """Modules that import one another, however many lie between them: strongly connected components."""
    graph = {
        module: {target for target, typing_only in targets if not typing_only and target != module}
        for module, targets in imports_of(package).items()
    }
    reached = {module: reachable_from(module, graph) for module in graph}
    components = {
        frozenset({module, *(other for other in reached[module] if module in reached.get(other, ()))})
        for module in graph
        if module in reached[module]
    }
    return {" <-> ".join(sorted(name or "the root" for name in component)) for component in components}


def reachable_from(module: str, graph: dict[str, set[str]]) -> set[str]:
    seen: set[str] = set()
    waiting = [*graph[module]]
    while waiting:
        target = waiting.pop()
        if target not in seen:
            seen.add(target)
            waiting.extend(graph.get(target, ()))
    return seen


def long_files(package: Path) -> set[str]:
    """Files of more lines than are read at a sitting."""
    return {
        name
        for name, path in sources_of(package).items()
        if len(path.read_text().splitlines()) > LARGER_FILES.get(name, MAX_FILE_LINES)
    }


def long_functions(package: Path) -> set[str]:
    """Functions whose bodies, without their docstrings, are longer than a screen."""
    bad = set()
    for name, path in sources_of(package).items():
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                body = node.body[1:] if ast.get_docstring(node) is not None else node.body
                if body and node.body[-1].end_lineno - body[0].lineno + 1 > MAX_FUNCTION_LINES:
                    bad.add(f"{name}:{node.name}")
    return bad


def long_recipes(recipes: Path) -> set[str]:
    """Scripts that are longer than what people copy."""
    return {
        path.relative_to(recipes).as_posix()
        for path in recipes.rglob("*.py")
        if len(path.read_text().splitlines()) > MAX_RECIPE_LINES
    }


PACKAGE = ROOT / "hf_unlab"
RULES = {
    "mirror": (
        "each module <path>/<name>.py has tests/<path>/test_<name>.py, or a test_<name>_*.py there",
        lambda: without_tests(PACKAGE, ROOT / "tests"),
    ),
    "order": (
        f"a room imports only rooms that stand before it, and never the root: {', '.join(ROOMS)}",
        lambda: against_the_order(PACKAGE),
    ),
    "siblings": (
        "no modality's or objective's package imports another's, but image_text those of image and text",
        lambda: between_siblings(PACKAGE),
    ),
    "circles": ("no modules import one another, not even inside functions", lambda: circles(PACKAGE)),
    "files": (
        f"a file has at most {MAX_FILE_LINES} lines, but {LARGER_FILES}",
        lambda: long_files(PACKAGE),
    ),
    "functions": (
        f"a function has at most {MAX_FUNCTION_LINES} lines, its docstring not counted",
        lambda: long_functions(PACKAGE),
    ),
    "recipes": ("a recipe's script has fewer than 80 lines", lambda: long_recipes(ROOT / "recipes")),
}


@pytest.mark.parametrize("name", RULES)
def test_the_house_keeps_its_rule(name):
    assert imports_of(PACKAGE)
    rule, find = RULES[name]
    offenders = sorted(find())
    assert not offenders, "\n  ".join([f"The rule is that {rule}. Against it:", *offenders])


def write_package(folder: Path, files: dict[str, str]) -> Path:
    for name, text in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return folder


def test_every_rule_finds_what_is_against_it(tmp_path):
    """Else the tests above would say nothing."""
    package = write_package(
        tmp_path / "hf_unlab",
        {
            "__init__.py": "from hf_unlab.app import cli",
            "streams/__init__.py": "",
            "streams/a.py": "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    from . import c",
            "streams/b.py": "def f():\n    from hf_unlab.streams import c\n    import hf_unlab.training.d",
            "streams/c.py": "from . import b\nfrom .a import name\nimport numpy, hf_unlab.losses",
            "streams/settings.py": "from hf_unlab import Source",
            "losses/__init__.py": "",
            "training/d.py": "#\n" * 301,
            "attic/e.py": "",
            "modalities/image_text/__init__.py": "from .. import common\nimport hf_unlab.modalities.text",
            "modalities/text/f.py": "import hf_unlab.modalities.image_text",
            "modalities/common.py": f'def f():\n    """{"a" * 9}\n\n\n"""\n' + "    pass\n" * 60,
            "objectives/masked_lm/__init__.py": "import hf_unlab.objectives.wav2vec2, hf_unlab.modalities.text",
            "objectives/wav2vec2/__init__.py": "",
            "app/cli.py": "def f():\n" + "    pass\n" * 61,
        },
    )
    tests = write_package(
        tmp_path / "tests",
        {"streams/test_a.py": "", "streams/test_b_more.py": "", "test_c.py": "", "streams/test_c/x.py": ""},
    )
    assert without_tests(package, tests) == {
        *("streams/c.py", "training/d.py", "attic/e.py", "modalities/text/f.py", "modalities/common.py", "app/cli.py"),
    }
    assert against_the_order(package) == {
        "streams.b -> training.d",
        "streams.settings -> the root",
        "attic.e is in no room",
    }
    assert between_siblings(package) == {
        "modalities.text.f -> modalities.image_text",
        "objectives.masked_lm -> objectives.wav2vec2",
    }
    assert circles(package) == {"streams.b <-> streams.c"}
    assert long_files(package) == {"training/d.py"}
    assert long_functions(package) == {"app/cli.py:f"}
    recipes = write_package(tmp_path / "recipes", {"a/long.py": "#\n" * 80, "a/short.py": "#\n" * 79})
    assert long_recipes(recipes) == {"a/long.py"}
