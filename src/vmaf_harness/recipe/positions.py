"""Where in a file a value is written; looked up only when there is an error to report."""

from __future__ import annotations

import ast

Place = tuple[str | int, ...]  # ("dis_videos", 3, "crf")


def format_place(place: Place) -> str:
    """``dis_videos[3].crf`` of its parts."""
    return "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in place).removeprefix(".")


def place_of_node(statement: ast.stmt, target: ast.AST) -> str | None:
    """Where in an assignment a node stands, such as ``dis_videos[3].path``; looked up only for an error."""
    match statement:
        case ast.Assign(targets=[ast.Name(id=name)], value=ast.expr() as node):
            pass
        case ast.AnnAssign(target=ast.Name(id=name), value=ast.expr() as node):
            pass
        case _:
            return None
    place: list[str | int] = [name]
    while True:
        children: list[tuple[str | int, ast.expr]] = []
        if isinstance(node, ast.Dict):
            children = [
                (str(key.value), item)
                for key, item in zip(node.keys, node.values, strict=True)
                if isinstance(key, ast.Constant)
            ]
        elif isinstance(node, (ast.List, ast.Tuple)):
            children = list(enumerate(node.elts))
        for part, child in children:
            if any(inner is target for inner in ast.walk(child)):
                place.append(part)
                node = child
                break
        else:
            return format_place(tuple(place))


def line_of_place(tree: ast.Module, place: Place) -> int | None:
    """The line of a value: as deep as the file spells it out, else of its assignment."""
    found: ast.expr | None = None
    for statement in tree.body:
        match statement:
            case ast.Assign(targets=[ast.Name(id=name)], value=node) if name == place[0]:
                found = node
            case ast.AnnAssign(target=ast.Name(id=name), value=ast.expr() as node) if name == place[0]:
                found = node
            case _:
                pass
    if found is None:
        return None
    line = found.lineno
    for part in place[1:]:
        if isinstance(found, (ast.List, ast.Tuple)) and isinstance(part, int) and part < len(found.elts):
            found = found.elts[part]
        elif isinstance(found, ast.Dict):
            spelled = {
                key.value: item
                for key, item in zip(found.keys, found.values, strict=True)
                if isinstance(key, ast.Constant)
            }
            if part not in spelled:
                break
            found = spelled[part]
        else:
            break
        line = found.lineno
    return line
