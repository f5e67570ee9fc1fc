"""The compiled evaluation of a forest: LLVM's intermediate code, written here and finished for the machine it runs on.

llvmlite turns it into machine code in a fraction of a second, so nothing compiled has to be kept between starts: no
cache to find, to fit to a processor, or to race for. One row takes one lane of a vector, every step of a tree is the
same few instructions for all of them, and blocks of rows walked side by side hide how long each instruction takes.
Where the processor has AVX-512BW a tree's nodes lie in registers and a step looks them up there; elsewhere they are
loaded one by one.

Depths are added in float64, tree after tree, by plain additions: the bits are those of any other way to do it in order.
"""

from __future__ import annotations

import ctypes
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import cache
from typing import Any

import numpy as np
from llvmlite import binding, ir
from numpy.typing import NDArray

from aml.forest_tables import CODES, LEVELS, TreeGroup

_LANES = 32
_PIECE = 1 << 16  # rows whose codes are held at once

_I16, _I32, _I64 = ir.IntType(16), ir.IntType(32), ir.IntType(64)
_F32, _F64 = ir.FloatType(), ir.DoubleType()
_POINTER = ir.PointerType()
_ROWS = ir.VectorType(_I16, _LANES)
_DEPTHS = 8  # float64 in one vector
_SEARCHED = 16  # float32 in one vector
_NODES = 1 << LEVELS

# Blocks walked side by side: as many as were fastest, with nodes in registers and without.
_IN_REGISTERS, _IN_MEMORY = 6, 2
_TILE = 8  # times as many blocks, whose codes and depths stay in the first-level cache while a tree is applied to them

Value = Any
"""A value of the intermediate code; llvmlite has no type information."""


class CompiledForest:
    """Evaluates the groups of a forest; safe for use by several threads at once, and without Python's lock held.

    Args:
        groups: what `tabulate` returned.
        features: number of columns of the rows.
        in_registers: whether to use AVX-512BW; by default where the processor has it.
    """

    def __init__(self, groups: Sequence[TreeGroup], features: int, in_registers: bool | None = None) -> None:
        self._groups = groups
        self._features = features
        if in_registers is None:
            in_registers = binding.get_host_cpu_features().get("avx512bw", False)
        self._code = _machine_code(features, in_registers)

    def depths(self, features: NDArray[np.float32]) -> NDArray[np.float64]:
        """The sum over all trees of what each row's leaf holds; rows are (n, features) and never NaN, result (n,)."""
        pieces = [self._piece(features[at : at + _PIECE]) for at in range(0, len(features), _PIECE)]
        return np.concatenate([np.zeros(0), *pieces])

    def _piece(self, features: NDArray[np.float32]) -> NDArray[np.float64]:
        padded = -(-len(features) // self._code.rows_at_once) * self._code.rows_at_once
        rows = np.zeros((padded, self._features), dtype=np.float32)
        rows[: len(features)] = features
        codes = np.empty((padded // _LANES, self._features, _LANES), dtype=np.uint16)
        depths = np.zeros(padded)
        for group in self._groups:
            self._code.encode(rows.ctypes.data, group.thresholds.ctypes.data, padded, codes.ctypes.data)
            tables = group.nodes.ctypes.data, group.leaves.ctypes.data, len(group.nodes)
            self._code.walk(codes.ctypes.data, *tables, padded, depths.ctypes.data)
        return depths[: len(features)]


class _MachineCode:
    """The two functions for rows of so many features, which take whole multiples of `rows_at_once`."""

    def __init__(self, features: int, in_registers: bool) -> None:
        binding.initialize_native_target()
        binding.initialize_native_asmprinter()
        side_by_side = _IN_REGISTERS if in_registers else _IN_MEMORY
        self.rows_at_once = _LANES * side_by_side
        machine = binding.Target.from_default_triple().create_target_machine(
            cpu=binding.get_host_cpu_name(), features=binding.get_host_cpu_features().flatten(), opt=2, jit=True
        )
        module = binding.parse_assembly(_module(features, side_by_side, in_registers))
        module.verify()
        # What is written below is as fast without LLVM's optimising passes, which would double the time this takes.
        self._engine = binding.create_mcjit_compiler(module, machine)
        self._engine.finalize_object()
        address, number = ctypes.c_void_p, ctypes.c_int64
        encode = ctypes.CFUNCTYPE(None, address, address, number, address)
        walk = ctypes.CFUNCTYPE(None, address, address, address, number, number, address)
        self.encode = encode(self._engine.get_function_address("encode"))
        self.walk = walk(self._engine.get_function_address("walk"))


@cache
def _machine_code(features: int, in_registers: bool) -> _MachineCode:
    return _MachineCode(features, in_registers)


def _module(features: int, side_by_side: int, in_registers: bool) -> str:
    module = ir.Module("forest")
    _write_encode(module, features)
    _write_walk(module, features, side_by_side, in_registers)
    return str(module)


def _write_encode(module: ir.Module, features: int) -> None:
    """encode(rows, thresholds, n, codes): the code of every value times 8, by binary search without branches.

    rows are float32 (n, features), thresholds (features, CODES), codes uint16 (n / lanes, features, lanes).
    """
    b, (rows, thresholds, count, codes) = _function(module, "encode", [_POINTER, _POINTER, _I64, _POINTER])
    with _loop(b, _I64(0), count, _SEARCHED) as row, _loop(b, _I64(0), _I64(features), 1) as feature:
        table = b.gep(thresholds, [b.mul(feature, _I64(CODES))], source_etype=_F32)
        first = b.add(b.mul(row, _I64(features)), feature)
        value = _loaded(b, _F32, rows, [b.add(first, _I64(lane * features)) for lane in range(_SEARCHED)])
        below = _all(_I32, 0, _SEARCHED)
        step = CODES // 2
        while step:
            probe = b.add(below, _all(_I32, step - 1, _SEARCHED))
            is_below = b.fcmp_ordered("<", _loaded(b, _F32, table, _lanes(b, probe, _SEARCHED)), value)
            below = b.add(below, b.select(is_below, _all(_I32, step, _SEARCHED), _all(_I32, 0, _SEARCHED)))
            step //= 2
        code = b.trunc(b.shl(below, _all(_I32, 3, _SEARCHED)), ir.VectorType(_I16, _SEARCHED))
        block = b.add(b.mul(b.udiv(row, _I64(_LANES)), _I64(features)), feature)
        place = b.add(b.mul(block, _I64(_LANES)), b.urem(row, _I64(_LANES)))
        b.store(code, b.gep(codes, [place], source_etype=_I16), align=2)
    b.ret_void()


def _write_walk(module: ir.Module, features: int, side_by_side: int, in_registers: bool) -> None:
    """walk(codes, nodes, leaves, trees, n, depths): adds every tree's leaf to the depth of every row, tree by tree."""
    arguments = [_POINTER, _POINTER, _POINTER, _I64, _I64, _POINTER]
    b, (codes, nodes, leaves, trees, count, depths) = _function(module, "walk", arguments)
    at_once = _LANES * side_by_side
    with _loop(b, _I64(0), count, _TILE * at_once) as first:
        beyond = b.add(first, _I64(_TILE * at_once))
        last = b.select(b.icmp_unsigned("<", beyond, count), beyond, count)
        with _loop(b, _I64(0), trees, 1) as tree:
            start = b.mul(tree, _I64(_NODES))
            tree_leaves = b.gep(leaves, [start], source_etype=_F64)
            lookup = (_Registers if in_registers else _Memory)(b, module, b.gep(nodes, [start], source_etype=_I16))
            with _loop(b, first, last, at_once) as row:
                starts = [b.add(row, _I64(_LANES * side)) for side in range(side_by_side)]
                values = [_block(b, codes, at, features) for at in starts]
                ends = _steps(b, lookup, values)
                for at, end in zip(starts, ends, strict=True):
                    _add_leaves(b, tree_leaves, end, b.gep(depths, [at], source_etype=_F64))
    b.ret_void()


def _steps(b: ir.IRBuilder, lookup: _Registers | _Memory, values: Sequence[Sequence[Value]]) -> list[Value]:
    """The leaf, from 0, at which each block of rows ends."""
    position = [_all(_I16, 1, _LANES) for _ in values]
    for level in range(LEVELS):
        for side, columns in enumerate(values):
            node = lookup.nodes(level, position[side])
            # Codes end in three zero bits and ranks in the feature: "above" is right without taking them apart.
            right = b.zext(b.icmp_unsigned(">", _chosen(b, node, columns), node), _ROWS)
            position[side] = b.add(b.add(position[side], position[side]), right)
    return [b.and_(end, _all(_I16, _NODES - 1, _LANES)) for end in position]


def _chosen(b: ir.IRBuilder, node: Value, columns: Sequence[Value]) -> Value:
    """Of each row the code of the feature that its node asks for, whose number stands in the node's lowest bits."""
    left, bit = list(columns), 1
    while len(left) > 1:
        is_set = b.icmp_unsigned("!=", b.and_(node, _all(_I16, bit, _LANES)), _all(_I16, 0, _LANES))
        pairs = [b.select(is_set, odd, even) for even, odd in zip(left[::2], left[1::2], strict=False)]
        left = pairs + left[len(left) // 2 * 2 :]
        bit *= 2
    return left[0]


def _block(b: ir.IRBuilder, codes: Value, row: Value, features: int) -> list[Value]:
    start = b.mul(row, _I64(features))  # blocks of `lanes` rows follow each other, each with all of its features
    places = [b.add(start, _I64(_LANES * feature)) for feature in range(features)]
    return [b.load(b.gep(codes, [at], source_etype=_I16), align=2, typ=_ROWS) for at in places]


def _add_leaves(b: ir.IRBuilder, leaves: Value, end: Value, depths: Value) -> None:
    vector = ir.VectorType(_F64, _DEPTHS)
    lanes = _lanes(b, end, _LANES)
    for at in range(0, _LANES, _DEPTHS):
        place = b.gep(depths, [_I64(at)], source_etype=_F64)
        total = b.fadd(b.load(place, align=8, typ=vector), _loaded(b, _F64, leaves, lanes[at : at + _DEPTHS]))
        b.store(total, place, align=8)


class _Memory:
    """A tree's nodes, each loaded from where it stands."""

    def __init__(self, b: ir.IRBuilder, module: ir.Module, nodes: Value) -> None:
        self._b = b
        self._nodes = nodes

    def nodes(self, level: int, position: Value) -> Value:
        return _loaded(self._b, _I16, self._nodes, _lanes(self._b, position, _LANES))


class _Registers:
    """A tree's nodes in eight vector registers of AVX-512, from which one instruction picks for all rows.

    The instructions look at the lowest five or six bits of a position, which is where a level begins in its registers.
    """

    def __init__(self, b: ir.IRBuilder, module: ir.Module, nodes: Value) -> None:
        self._b = b
        places = [b.gep(nodes, [_I64(_LANES * number)], source_etype=_I16) for number in range(_NODES // _LANES)]
        self._tables = [b.load(place, align=2, typ=_ROWS) for place in places]
        self._of_32 = _intrinsic(module, "llvm.x86.avx512.permvar.hi.512", 2)
        self._of_64 = _intrinsic(module, "llvm.x86.avx512.vpermi2var.hi.512", 3)

    def nodes(self, level: int, position: Value) -> Value:
        b, tables = self._b, self._tables
        if level <= 5:
            return b.call(self._of_32, [tables[level // 5], position])
        if level == 6:
            return b.call(self._of_64, [tables[2], position, tables[3]])
        low, high = (b.call(self._of_64, [tables[at], position, tables[at + 1]]) for at in (4, 6))
        upper = b.icmp_unsigned("!=", b.and_(position, _all(_I16, 64, _LANES)), _all(_I16, 0, _LANES))
        return b.select(upper, high, low)


def _intrinsic(module: ir.Module, name: str, vectors: int) -> Value:
    return module.globals.get(name) or ir.Function(module, ir.FunctionType(_ROWS, [_ROWS] * vectors), name)


def _function(module: ir.Module, name: str, arguments: Sequence[Value]) -> tuple[ir.IRBuilder, Sequence[Value]]:
    """A new function without a result; its pointers never overlap, which every caller here keeps to."""
    function = ir.Function(module, ir.FunctionType(ir.VoidType(), arguments), name)
    for argument in function.args:
        if argument.type == _POINTER:
            argument.add_attribute("noalias")
    return ir.IRBuilder(function.append_basic_block()), function.args


@contextmanager
def _loop(b: ir.IRBuilder, start: Value, stop: Value, step: int) -> Iterator[Value]:
    """`for number in range(start, stop, step)`: what is written inside is the body."""
    before, head, body, after = b.block, *(b.append_basic_block() for _ in range(3))
    b.branch(head)
    b.position_at_end(head)
    number = b.phi(_I64)
    number.add_incoming(start, before)
    b.cbranch(b.icmp_unsigned("<", number, stop), body, after)
    b.position_at_end(body)
    yield number
    number.add_incoming(b.add(number, _I64(step)), b.block)
    b.branch(head)
    b.position_at_end(after)


def _all(kind: Value, value: int, lanes: int) -> Value:
    return ir.Constant(ir.VectorType(kind, lanes), [value] * lanes)


def _lanes(b: ir.IRBuilder, vector: Value, lanes: int) -> list[Value]:
    return [b.zext(b.extract_element(vector, _I32(lane)), _I64) for lane in range(lanes)]


def _loaded(b: ir.IRBuilder, kind: Value, table: Value, indices: Sequence[Value]) -> Value:
    """A vector of the elements of a table at these indices."""
    vector = ir.Constant(ir.VectorType(kind, len(indices)), ir.Undefined)
    for lane, index in enumerate(indices):
        element = b.load(b.gep(table, [index], source_etype=kind), typ=kind)
        vector = b.insert_element(vector, element, _I32(lane))
    return vector
