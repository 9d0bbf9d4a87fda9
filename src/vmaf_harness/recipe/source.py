"""Python text read as data: names bound to literals and to what is built from them; nothing is ever executed."""

from __future__ import annotations

import ast
import functools
import operator
import os
import re
import reprlib
import string
import warnings
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import NoReturn, TypeVar

from vmaf_harness.errors import RecipeError
from vmaf_harness.recipe.positions import Place, format_place, line_of_place, place_of_node
from vmaf_workspace.errors import WorkspaceError

_T = TypeVar("_T")
_MAX_ITEMS = 1_000_000  # characters or items
_MAX_BITS = 10_000  # 3 010 decimal digits; Python writes 4 300
_LONG_NUMBER = re.compile(rb"0[xXoObB][0-9a-fA-F_]{2000}")
ALLOWED = "literals, names bound above, +, string formatting, os.path.join and VmafConfig.*_path"


@dataclass(frozen=True, slots=True, kw_only=True)
class Literals:
    """The names that a file binds, in its order, and which of them its own expressions use."""

    path: Path
    values: dict[str, object]
    used: frozenset[str]
    tree: ast.Module = field(repr=False)

    def error(self, place: Place, problem: str) -> RecipeError:
        """An error at this place, with the line where that value is written."""
        return RecipeError(self.path, problem, line=line_of_place(self.tree, place), place=format_place(place))


def near_file(path: Path) -> str | None:
    """The name of a file beside *path*, which is not there, that was perhaps meant; `new-dataset` ends it so, too."""
    from difflib import get_close_matches

    if os.path.lexists(path):
        return None
    try:
        names = sorted(name for name in os.listdir(path.parent) if name.endswith(".py"))
    except OSError:
        return None
    whole = f"{path.stem}_dataset.py"
    return whole if whole in names else next(iter(get_close_matches(path.name, names, n=1)), None)


def read_literals(path: Path) -> Literals:
    """Evaluate a file of assignments.

    Raises RecipeError, with the line, for a file that cannot be read and for whatever would have to be executed.
    """
    try:
        source = path.read_bytes()
    except OSError as error:
        near = near_file(path)
        remedy = f"is {near} meant?" if near else "name a file that can be read"
        raise RecipeError(path, f"{error.strerror}; {remedy}") from error
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # '\d' in a path of someone's file is no business of ours
            tree = ast.parse(source)
    except SyntaxError as error:
        raise RecipeError(path, f"not Python: {error.msg}", line=error.lineno) from error
    except (ValueError, RecursionError, MemoryError) as error:  # NUL bytes; brackets nested without end
        raise RecipeError(path, f"not Python: {str(error) or 'nested too deeply'}") from error
    _check_spellable(path, source, tree)
    reader = _Reader(path)
    for statement in tree.body:
        try:
            reader.read(statement)
        except _RefusedError as refused:
            place = place_of_node(statement, refused.node)
            raise RecipeError(path, refused.problem, line=refused.node.lineno, place=place) from refused.__cause__
        except RecursionError as error:
            raise RecipeError(path, "nested too deeply", line=statement.lineno) from error
    return Literals(path=path, values=reader.values, used=frozenset(reader.used), tree=tree)


def _check_spellable(path: Path, source: bytes, tree: ast.Module) -> None:
    """Raise RecipeError for a number that Python reads and does not write: no error could show where it stands.

    Decimal ones of more than 4300 digits are no Python; hexadecimal, octal and binary ones have no limit.
    """
    if not _LONG_NUMBER.search(source):  # to walk every tree would cost as much as reading it
        return
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, int) and node.value.bit_length() > _MAX_BITS:
            raise RecipeError(path, "a number of thousands of digits", line=node.lineno)


class _RefusedError(Exception):
    """This node is not data."""

    def __init__(self, node: ast.expr | ast.stmt, problem: str) -> None:
        super().__init__(problem)
        self.node, self.problem = node, problem


_PLAIN = frozenset({str, int, float, bool, type(None)})
_NUMBERS = frozenset({int, float, bool})
_ARITHMETIC: dict[type[ast.operator], Callable[[object, object], object]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: operator.truediv,
    ast.FloorDiv: operator.floordiv,
    ast.Mod: operator.mod,
}
_FUNCTIONS: dict[str, Callable[..., object]] = {
    **{f"os.path.{name}": getattr(os.path, name)
       for name in ("join", "dirname", "basename", "abspath", "realpath", "normpath")},
    "float": float,  # float('nan') among raw scores
    "int": int,
    "str": str,
}  # fmt: skip
_CONSTANTS = {"math.nan": float("nan"), "math.inf": float("inf"), "numpy.nan": float("nan"), "numpy.inf": float("inf")}
_CONFIG_CLASSES = frozenset({"VmafConfig", "VmafPrivateConfig"})
_CONFIG_METHODS = frozenset(
    (
        *("workspace_path", "workdir_path", "encode_path", "encode_store_path", "file_result_store_path"),
        *("root_path", "resource_path", "test_resource_path"),
    )
)
# Widths of four digits and more are refused: '%999999999d' is a string of a gigabyte.
_PERCENT = re.compile(r"%(?:%|(?:\(\w+\))?[#0\- +]*\d{0,3}(?:\.\d{0,3})?[sdifgeEGxX])")
_FORMAT_SPEC = re.compile(r"[^{}\d]*\d{0,3}(?:\.\d{0,3})?[a-zA-Z%]?")


class _Reader:
    """Binds the names of one file, statement by statement."""

    def __init__(self, path: Path) -> None:
        self.values: dict[str, object] = {}
        self.used: set[str] = set()
        self._file = os.fspath(path.absolute())
        self._imported: dict[str, str] = {}  # local name -> dotted name
        self._config: dict[str, str] = {}  # method -> its answer without components
        self._evaluators: dict[type[ast.expr], Callable[..., object]] = {
            ast.Constant: self._constant,
            ast.Name: self._name,
            ast.Dict: self._dict,
            ast.List: self._list,
            ast.Tuple: lambda node: tuple(self._list(node)),
            ast.Set: lambda node: tuple(self._list(node)),
            ast.BinOp: self._binary,
            ast.UnaryOp: self._unary,
            ast.Call: self._call,
            ast.JoinedStr: self._joined,
            ast.Attribute: self._attribute,
        }

    def read(self, statement: ast.stmt) -> None:
        match statement:
            case ast.Assign(targets=targets, value=node):
                value = self.value(node)
                for target in targets:
                    self._bind(target, value)
            case ast.AnnAssign(target=ast.Name() as target, value=ast.expr() as node):
                self._bind(target, self.value(node))
            case ast.AugAssign(target=ast.Name(id=name) as target, op=op, value=node):
                before = ast.copy_location(ast.Name(id=name, ctx=ast.Load()), target)
                self._bind(target, self._combine(statement, op, self._name(before), self.value(node)))
            case ast.Import() | ast.ImportFrom():
                self._import(statement)
            case ast.Expr(value=ast.Constant()) | ast.Pass():
                pass  # a docstring
            case ast.Expr(value=node):
                self.value(node)  # names the call that is refused
                raise _RefusedError(node, "has no effect: nothing is executed; remove it")
            case _:
                kind = type(statement).__name__.lower()
                raise _RefusedError(statement, f"a recipe is read as data, and {kind!r} would have to be executed")

    def _import(self, statement: ast.Import | ast.ImportFrom) -> None:
        """Remember what a name stands for; no module is loaded."""
        module = f"{statement.module}." if isinstance(statement, ast.ImportFrom) and statement.module else ""
        for alias in statement.names:
            if alias.name == "*":
                raise _RefusedError(statement, "import * hides which names come in; name them")
            whole = isinstance(statement, ast.ImportFrom) or alias.asname  # plain `import a.b` binds `a`
            name = alias.name if whole else alias.name.partition(".")[0]
            self._imported[alias.asname or name] = module + name
            self.values.pop(alias.asname or name, None)

    def _bind(self, target: ast.expr, value: object) -> None:
        if isinstance(target, ast.Name):
            self.values[target.id] = value
            self._imported.pop(target.id, None)
        elif (
            isinstance(target, (ast.Tuple, ast.List))
            and isinstance(value, (list, tuple))
            and len(target.elts) == len(value)
        ):
            for part, item in zip(target.elts, value, strict=True):
                self._bind(part, item)
        else:
            _refuse(target, "cannot be assigned to as data; bind plain names")

    def value(self, node: ast.expr) -> object:
        evaluate = self._evaluators.get(type(node))
        if evaluate is None:
            _refuse(node)
        return evaluate(node)

    def _constant(self, node: ast.Constant) -> object:
        if type(node.value) not in _PLAIN:
            raise _RefusedError(node, f"expected text or a number, got {node.value!r}")
        return node.value

    def _name(self, node: ast.Name) -> object:
        name = node.id
        if name in self.values:
            self.used.add(name)
            return self.values[name]
        if name == "__file__":
            return self._file
        return self._attribute(node)

    def _dict(self, node: ast.Dict) -> dict[object, object]:
        found: dict[object, object] = {}
        inherited: frozenset[object] = frozenset()
        for key_node, item in zip(node.keys, node.values, strict=True):
            if key_node is None:  # {**common, 'path': …}
                merged = self.value(item)
                if not isinstance(merged, dict):
                    raise _RefusedError(item, "only a dictionary can be merged with **")
                found.update(merged)
                inherited = frozenset(found)
                continue
            key = key_node.value if type(key_node) is ast.Constant else self.value(key_node)
            if type(key) not in _PLAIN:
                raise _RefusedError(key_node, "a key is text or a number")
            if key in found and key not in inherited:
                raise _RefusedError(item, f"{key!r} is given twice")
            if type(item) is ast.Constant and type(item.value) in _PLAIN:  # most are: spare the call
                found[key] = item.value
            else:
                found[key] = self.value(item)
        return found

    def _list(self, node: ast.List | ast.Tuple | ast.Set) -> list[object]:
        items: list[object] = []
        for item in node.elts:
            if type(item) is ast.Constant and type(item.value) in _PLAIN:
                items.append(item.value)
            elif isinstance(item, ast.Starred):
                more = self.value(item.value)
                if not isinstance(more, (list, tuple)):
                    raise _RefusedError(item, "only a list can be unpacked with *")
                items.extend(more)
            else:
                items.append(self.value(item))
        return _check_size(node, items)

    def _unary(self, node: ast.UnaryOp) -> object:
        value = self.value(node.operand)
        if not isinstance(value, (int, float)) or not isinstance(node.op, (ast.USub, ast.UAdd)):
            _refuse(node)
        return -value if isinstance(node.op, ast.USub) else +value

    def _binary(self, node: ast.BinOp) -> object:
        return self._combine(node, node.op, self.value(node.left), self.value(node.right))

    def _combine(self, node: ast.expr | ast.stmt, op: ast.operator, left: object, right: object) -> object:
        operate = _ARITHMETIC.get(type(op))
        left_type = type(left)
        if operate is operator.add and left_type is type(right) and left_type in (str, list, tuple):
            return _check_size(node, operate(left, right))
        if operate is operator.mod and isinstance(left, str):
            inserted = right if isinstance(right, tuple) else right.values() if isinstance(right, dict) else (right,)
            if "%" in _PERCENT.sub("", left) or any(type(item) not in _PLAIN for item in inserted):
                raise _RefusedError(node, "only plain %s, %d and the like are read in a string")
        elif operate is None or left_type not in _NUMBERS or type(right) not in _NUMBERS:
            _refuse(node)
        try:
            return _check_size(node, operate(left, right))
        except (TypeError, ValueError, ArithmeticError, LookupError) as error:
            raise _RefusedError(node, f"cannot be evaluated: {error}") from error

    def _joined(self, node: ast.JoinedStr) -> str:
        text = ""
        for part in node.values:
            if isinstance(part, ast.FormattedValue):
                spec = self._joined(part.format_spec) if isinstance(part.format_spec, ast.JoinedStr) else ""
                conversion = chr(part.conversion) if part.conversion > 0 else None
                text += _format_value(part.value, self.value(part.value), spec, conversion)
            else:
                text += str(self.value(part))
        return _check_size(node, text)

    def _call(self, node: ast.Call) -> object:
        function = node.func
        # 'a{}'.format(…): the text may be a literal or a name bound above
        if isinstance(function, ast.Attribute) and function.attr == "format" and self._dotted(function) is None:
            return self._format(node, self.value(function.value))
        name = self._dotted(function)
        called = _FUNCTIONS.get(name) if name else None
        owner, _, method = (name or "").rpartition(".")
        if owner.rpartition(".")[2] in _CONFIG_CLASSES and method in _CONFIG_METHODS:
            called = functools.partial(self._config_path, node, method)
        if called is None:
            text = f"calls {ast.unparse(function)}(): a recipe is read as data, never executed; allowed are {ALLOWED}"
            raise _RefusedError(node, text)
        if node.keywords:
            raise _RefusedError(node, f"{ast.unparse(function)}() takes no keywords here")
        arguments = [self.value(argument) for argument in node.args]
        takes_paths = "." in (name or "")  # all but int, float and str do
        for argument in arguments:
            if takes_paths and not isinstance(argument, str):
                _refuse(node, f"expected text, got {reprlib.repr(argument)}")
            if type(argument) not in _PLAIN:
                _refuse(node)
        try:
            return _check_size(node, called(*arguments))
        except (TypeError, ValueError, OverflowError, OSError) as error:
            raise _RefusedError(node, f"cannot be evaluated: {error}") from error

    def _config_path(self, node: ast.expr, method: str, *components: str) -> str:
        if method not in self._config:
            from vmaf_workspace.config import VmafConfig

            configured: Callable[..., str] = getattr(VmafConfig, method)
            try:
                configured(*components)  # its error names what is looked for
                self._config[method] = configured()
            except WorkspaceError as error:
                raise _RefusedError(node, str(error)) from error
        return os.path.join(self._config[method], *components)

    def _format(self, node: ast.Call, template: object) -> str:
        if not isinstance(template, str):
            _refuse(node)
        positional = [self.value(argument) for argument in node.args]
        named = {keyword.arg: self.value(keyword.value) for keyword in node.keywords if keyword.arg}
        text, automatic = "", 0
        try:
            for literal, name, spec, conversion in string.Formatter().parse(template):
                text += literal
                if name is None:
                    continue
                if name == "":
                    name, automatic = str(automatic), automatic + 1
                value = positional[int(name)] if name.isdecimal() else named[name]  # no '{0.__class__}': not a key
                text += _format_value(node, value, spec or "", conversion)
        except (LookupError, ValueError) as error:
            raise _RefusedError(node, f"format() lacks a value, or asks for more than a plain one: {error}") from error
        return _check_size(node, text)

    def _attribute(self, node: ast.Attribute | ast.Name) -> object:
        name = self._dotted(node)
        if name in _CONSTANTS:
            return _CONSTANTS[name]
        if name and name.split(".")[-2:] == ["config", "ROOT"]:  # the checkout, in upstream's older recipes
            return self._config_path(node, "root_path")
        if isinstance(node, ast.Attribute):
            _refuse(node)
        raise _RefusedError(node, f"{node.id} is not bound above; allowed are {ALLOWED}")

    def _dotted(self, node: ast.expr) -> str | None:
        """What an imported or built-in name means, such as ``os.path.join``; None for anything else."""
        attributes: list[str] = []
        while isinstance(node, ast.Attribute):
            attributes.append(node.attr)
            node = node.value
        if not isinstance(node, ast.Name) or node.id in self.values:
            return None
        root = self._imported.get(node.id) or (node.id if not attributes else None)
        return ".".join([root, *reversed(attributes)]) if root else None


def _refuse(node: ast.expr | ast.stmt, why: str = "") -> NoReturn:
    text = ast.unparse(node)
    text = text if len(text) <= 60 else f"{text[:57]}..."
    raise _RefusedError(node, f"{text}: {why or f'not data; allowed are {ALLOWED}'}")


def _check_size(node: ast.expr | ast.stmt, value: _T) -> _T:
    """Refuse what doubles line by line (``a = a + a``) before it fills the memory."""
    if isinstance(value, int):
        too_much = value.bit_length() > 64
    else:
        too_much = isinstance(value, (str, list, tuple)) and len(value) > _MAX_ITEMS
    if too_much:
        raise _RefusedError(node, "grows beyond any recipe")
    return value


def _format_value(node: ast.expr, value: object, spec: str, conversion: str | None) -> str:
    if type(value) not in _PLAIN or not _FORMAT_SPEC.fullmatch(spec) or conversion not in (None, "s", "r"):
        raise _RefusedError(node, "only plain values with a plain width are formatted")
    try:
        return format(repr(value) if conversion == "r" else str(value) if conversion == "s" else value, spec)
    except ValueError as error:
        raise _RefusedError(node, f"cannot be formatted: {error}") from error
