"""Where in a file a value is written; looked up only when there is an error to report."""

from __future__ import annotations

import ast

Place = tuple[str | int, ...]  # ("dis_videos", 3, "crf")


def format_place(place: Place) -> str:
    """``dis_videos[3].crf`` of its parts."""
    return "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in place).removeprefix(".")


def place_of_node(statement: ast.stmt, target: ast.AST) -> str | None:
    """Where in an assignment a node stands, such as ``dis_videos[3].path``."""
    if (bound := _bound(statement)) is None:
        return None
    name, node = bound
    place: list[str | int] = [name]
    while inner := [(part, child) for part, child in _items(node) if any(each is target for each in ast.walk(child))]:
        part, node = inner[0]
        place.append(part)
    return format_place(tuple(place))


def line_of_place(tree: ast.Module, place: Place) -> int | None:
    """The line of a value: as deep as the file spells it out, else of its assignment."""
    bound = [found for statement in tree.body if (found := _bound(statement)) is not None and found[0] == place[0]]
    if not bound:
        return None
    node = bound[-1][1]
    for part in place[1:]:
        node = dict(_items(node)).get(part, node)
    return node.lineno


def _bound(statement: ast.stmt) -> tuple[str, ast.expr] | None:
    match statement:
        case ast.Assign(targets=[ast.Name(id=name)], value=node):
            return name, node
        case ast.AnnAssign(target=ast.Name(id=name), value=ast.expr() as node):
            return name, node
    return None


def _items(node: ast.expr) -> list[tuple[str | int, ast.expr]]:
    """What a list or a dictionary holds, by position or key."""
    if isinstance(node, (ast.List, ast.Tuple)):
        return list(enumerate(node.elts))
    if isinstance(node, ast.Dict):
        pairs = zip(node.keys, node.values, strict=True)
        return [(str(key.value), item) for key, item in pairs if isinstance(key, ast.Constant)]
    return []
