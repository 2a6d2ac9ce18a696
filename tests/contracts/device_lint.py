"""What a line of a training step does that makes a device wait, or mixes devices, read off the source.

It knows names, not types: a value is a tensor where the code says so (annotations, buffers, what torch and a tensor's
methods give). Constructors may do what they like: modules are moved afterwards. The pretended GPU finds what this
cannot see (`test_pretended_gpu.py`); this finds what no test runs there.
"""

import ast
from collections.abc import Iterator
from typing import NamedTuple

READING = {"item", "cpu", "tolist", "numpy", "nonzero", "argwhere", "unique", "masked_select", "equal", "allclose"}
READING |= {"bincount", "is_nonzero", "unique_consecutive"}  # as methods, or as functions of torch
MAKING = {"zeros", "ones", "empty", "full", "eye", "tensor", "as_tensor", "asarray", "from_numpy", "scalar_tensor"}
MAKING |= {"arange", "range", "linspace", "logspace", "rand", "randn", "randint", "randperm", "normal", "empty_strided"}
MAKING |= {"tril_indices", "triu_indices", "hann_window", "hamming_window", "kaiser_window", "frombuffer"}
PLAIN = {"shape", "ndim", "device", "dtype", "is_meta", "requires_grad", "layout", "itemsize", "nbytes", "is_leaf"}
PLAIN |= {"size", "dim", "numel", "stride", "element_size", "is_floating_point", "is_contiguous", "data_ptr", *READING}
NO_TENSORS = {"autocast", "no_grad", "enable_grad", "inference_mode", "device", "finfo", "iinfo", "promote_types"}
NO_TENSORS |= {"Generator", "is_tensor", "is_grad_enabled", "get_default_dtype", "Size", "Tensor"}
NUMBERS = {"bool", "int", "float", "complex"}
TORCH_BUFFERS = {"running_mean", "running_var", "num_batches_tracked"}


class Finding(NamedTuple):
    """A line that is not allowed.

    Attributes:
        function: in which it stands, with its class; "" at the top of the file.
        line: its number.
        what: it does.
    """

    function: str
    line: int
    what: str


def findings(source: str) -> list[Finding]:
    """All of a file, in its order."""
    tree = ast.parse(source)
    buffers = TORCH_BUFFERS | {
        node.args[0].value
        for node in ast.walk(tree)
        if isinstance(node, ast.Call)
        and isinstance(node.func, ast.Attribute)
        and node.func.attr == "register_buffer"
        and isinstance(node.args[0], ast.Constant)
    }
    buffers |= {
        node.target.attr
        for node in ast.walk(tree)
        if isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Attribute) and _says_tensor(node.annotation)
    }
    buffers |= {
        statement.target.id
        for node in ast.walk(tree)
        if isinstance(node, ast.ClassDef)
        for statement in node.body
        if isinstance(statement, ast.AnnAssign)
        and isinstance(statement.target, ast.Name)
        and _says_tensor(statement.annotation)
    }
    found = [
        Finding(function, *finding)
        for function, body, parameters in _scopes(tree)
        for finding in _Scope(buffers, parameters).of(body)
    ]
    return sorted(found, key=lambda finding: finding.line)


def _scopes(tree: ast.Module) -> Iterator[tuple[str, list[ast.stmt], list[ast.arg]]]:
    """Name, statements and parameters of the file's top and of each outermost function but constructors."""

    def walk(name: str, body: list[ast.stmt]) -> Iterator[tuple[str, list[ast.stmt], list[ast.arg]]]:
        plain = []
        for statement in body:
            if isinstance(statement, ast.ClassDef):
                yield from walk(f"{name}.{statement.name}".strip("."), statement.body)
            elif isinstance(statement, (ast.FunctionDef, ast.AsyncFunctionDef)):
                if statement.name != "__init__":
                    given = statement.args
                    parameters = [*given.posonlyargs, *given.args, *given.kwonlyargs]
                    yield f"{name}.{statement.name}".strip("."), statement.body, parameters
            else:
                plain.append(statement)
        yield name, plain, []

    return walk("", tree.body)


def _says_tensor(annotation: ast.expr | None) -> bool:
    """`Tensor`, `torch.Tensor`, or one of these or None; not what holds them."""
    if isinstance(annotation, ast.BinOp):
        return _says_tensor(annotation.left) or _says_tensor(annotation.right)
    return annotation is not None and ast.unparse(annotation) in ("Tensor", "torch.Tensor")


class _Scope:
    """Reads the statements of one function.

    Args:
        buffers: attributes of `self` that are tensors.
        parameters: of the function.
    """

    def __init__(self, buffers: set[str], parameters: list[ast.arg]) -> None:
        self.buffers = buffers
        self.tensors = {parameter.arg for parameter in parameters if _says_tensor(parameter.annotation)}
        self.masks: set[str] = set()

    def of(self, body: list[ast.stmt]) -> Iterator[tuple[int, str]]:
        nodes = [node for statement in body for node in ast.walk(statement)]
        self._learn(nodes)
        for node in nodes:
            for what in self._wrong(node):
                yield getattr(node, "lineno", body[0].lineno), what  # a comprehension has no line of its own

    def _learn(self, nodes: list[ast.AST]) -> None:
        """Which local names are tensors, and which of these masks: those that are given one somewhere."""
        for node in nodes:
            if isinstance(node, ast.arg) and _says_tensor(node.annotation):  # of functions within
                self.tensors.add(node.arg)
        for _ in range(2):  # a name may be given a tensor below the line that uses it
            for node in nodes:
                for name, value in _given(node):
                    self.tensors |= {name} if self.is_tensor(value) else set()
                    self.masks |= {name} if self.is_mask(value) else set()

    def is_tensor(self, node: ast.expr | None) -> bool:
        """As far as names tell."""
        match node:
            case ast.Name(id=name):
                return name in self.tensors
            case ast.Attribute(value=ast.Name(id="self"), attr=name):
                return name in self.buffers
            case ast.Attribute(value=value, attr=name):
                return name not in PLAIN and self.is_tensor(value)
            case ast.Call(func=ast.Attribute(value=ast.Name(id="torch"), attr=name)):
                return name not in NO_TENSORS | READING and not name.startswith(("is_", "get_", "set_"))
            case ast.Call(func=ast.Attribute(value=value, attr=name)):
                return name not in PLAIN and self.is_tensor(value)
            case ast.Subscript(value=value):
                return self.is_tensor(value)
            case ast.Compare(left=left, ops=[operator], comparators=[right]):
                by_value = not isinstance(operator, (ast.Is, ast.IsNot, ast.In, ast.NotIn))
                return by_value and (self.is_tensor(left) or self.is_tensor(right))
            case ast.BinOp(left=left, right=right):
                return self.is_tensor(left) or self.is_tensor(right)
            case ast.UnaryOp(op=ast.Invert() | ast.USub(), operand=operand):
                return self.is_tensor(operand)
        return False

    def is_mask(self, node: ast.expr) -> bool:
        """A tensor of truth."""
        match node:
            case ast.Name(id=name):
                return name in self.masks
            case ast.Compare():
                return self.is_tensor(node)
            case ast.UnaryOp(op=ast.Invert(), operand=operand):
                return self.is_mask(operand)
            case ast.BinOp(op=ast.BitAnd() | ast.BitOr() | ast.BitXor(), left=left, right=right):
                return self.is_mask(left) or self.is_mask(right)
            case ast.Call(func=ast.Attribute(attr="bool", value=value)):
                return self.is_tensor(value)
        return False

    def _wrong(self, node: ast.AST) -> Iterator[str]:
        match node:
            case ast.Call(func=ast.Name(id=name), args=[value]) if name in NUMBERS and self.is_tensor(value):
                yield f"{name}() of a tensor waits for its value"
            case ast.Call(func=ast.Attribute(value=ast.Name(id="torch"), attr="where"), args=[_], keywords=[]):
                yield "torch.where of a mask alone waits for the number of places"
            case ast.Call(func=ast.Attribute(value=value, attr=name)) if name in READING:
                yield f".{name}() waits for values of the device"
            case ast.Call(func=ast.Attribute(value=ast.Name(id="torch"), attr=name)) if name in MAKING:
                if all(keyword.arg != "device" for keyword in node.keywords):
                    yield f"torch.{name} without device= makes a tensor on the CPU"
            case ast.Call(func=ast.Attribute(attr=name)) if name in ("to", "cuda"):
                if name == "cuda" or self._sends(node):
                    yield f".{name}() to a device: a CPU tensor waits there; let Draws send it"
            case ast.Subscript(slice=index) if any(self.is_mask(part) for part in _parts(index)):
                yield "a mask as an index waits for the number of places"
            case ast.If(test=test) | ast.While(test=test) | ast.IfExp(test=test) | ast.Assert(test=test):
                yield from self._truths(test)
            case ast.comprehension(ifs=tests):
                for test in tests:
                    yield from self._truths(test)
            case ast.BoolOp(values=values):
                for value in values:
                    yield from self._truths(value)
            case ast.UnaryOp(op=ast.Not(), operand=operand):
                yield from self._truths(operand)

    def _truths(self, test: ast.expr) -> Iterator[str]:
        if self.is_tensor(test):
            yield "the truth of a tensor waits for its value"

    def _sends(self, call: ast.Call) -> bool:
        """Whether `.to` is given a device, or a tensor to follow, rather than a type."""
        first = call.args[0] if call.args else None
        named = isinstance(first, ast.Constant) and isinstance(first.value, str)
        of_a_module = isinstance(first, ast.Attribute) and first.attr == "device"
        alone = isinstance(first, ast.Name) and ("device" in first.id or first.id in self.tensors)
        buffer = first is not None and not isinstance(first, ast.Call) and self.is_tensor(first)
        return named or of_a_module or alone or buffer or any(word.arg in ("device", "other") for word in call.keywords)


def _given(node: ast.AST) -> Iterator[tuple[str, ast.expr]]:
    """Names that a statement gives a value, and that; where one value is taken apart, it stands for its parts."""
    for target in node.targets if isinstance(node, ast.Assign) else []:
        names = target.elts if isinstance(target, ast.Tuple) else [target]
        values = node.value.elts if isinstance(node.value, ast.Tuple) else [node.value] * len(names)
        yield from ((name.id, value) for name, value in zip(names, values, strict=False) if isinstance(name, ast.Name))


def _parts(index: ast.expr) -> list[ast.expr]:
    return index.elts if isinstance(index, ast.Tuple) else [index]
