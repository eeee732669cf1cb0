"""The one SQL text of an audit, written in DuckDB's words, as another engine says it.

sqlglot knows how dialects spell what they share. What they do not share is written here in words
that every engine has, so that all of them count alike: what a number in a text is, which doubles
are finite, what stands at a place of a list, what is trimmed off a word.
"""

from collections.abc import Callable, Collection, Mapping
from typing import Any

import sqlglot
from sqlglot import ErrorLevel, exp

Node = Any  # an expression of sqlglot's

_LARGEST = "1.7976931348623157e308"
# What DuckDB trims off a word (the separators of Unicode), and off a text that may be a number.
_SPACES = " \u00a0\u1680\u2000\u2001\u2002\u2003\u2004\u2005\u2006\u2007\u2008\u2009\u200a\u202f"
_SPACES += "\u205f\u3000"
_BLANKS = " \t\n\v\f\r"
_DIGITS = "[0-9]+(_[0-9]+)*"
_NUMBER = rf"[+-]?({_DIGITS}[.]?({_DIGITS})?|[.]{_DIGITS})([eE][+-]?{_DIGITS})?"
_NO_NUMBERS = ("nan", "+nan", "-nan")
_BELOW_ALL = ("-inf", "-infinity")


def translated(sql: str, dialect: Any, *, doubles: Collection[str] = ()) -> str:
    """A query in DuckDB's SQL as the query of another engine that gives the same rows.

    dialect: of sqlglot, by name or class. doubles: columns of `raw` that hold 64-bit floats, whose
    texts engines spell differently. Columns of the answer that have no name get one.
    """
    tree = sqlglot.parse_one(sql, read="duckdb")
    if _name(dialect) == "spark":
        tree = _everywhere(tree, {exp.Cast: _converted})
    tree = _everywhere(tree, _rules(doubles))
    if _name(dialect) == "datafusion":
        tree = _everywhere(tree, _DATAFUSION)
    _name_columns(tree)
    return str(tree.sql(dialect=dialect, identify=True, unsupported_level=ErrorLevel.RAISE))


def relations_in(sql: str, known: Collection[str]) -> set[str]:
    """Which of the `known` relations a query in DuckDB's SQL reads."""
    tables = sqlglot.parse_one(sql, read="duckdb").find_all(exp.Table)
    return {table.name for table in tables} & set(known)


def order_of(sql: str) -> list[tuple[int, bool]]:
    """The columns that the rows of a query are sorted by: place among its columns, descending.

    Empty where it sorts by what it does not show.
    """
    tree = sqlglot.parse_one(sql, read="duckdb")
    order = tree.args.get("order")
    names = [column.alias_or_name for column in tree.expressions]
    keys = order.expressions if order else []
    if not all(isinstance(key.this, exp.Literal) or key.this.name in names for key in keys):
        return []
    places = []
    for key in keys:
        by = key.this
        place = int(by.name) - 1 if isinstance(by, exp.Literal) else names.index(by.name)
        places.append((place, bool(key.args.get("desc"))))
    return places


def _name(dialect: Any) -> str:
    return str(dialect if isinstance(dialect, str) else dialect.__name__).lower()


def _everywhere(tree: Node, rules: Mapping[type, Callable[[Node], Node]]) -> Node:
    """Each rule on every node of its kind, the inner ones first."""
    for node in reversed([*tree.dfs()]):
        rule = rules.get(type(node))
        if rule is not None and (new := rule(node)) is not node:
            node.replace(new)
    return tree


def _rules(doubles: Collection[str]) -> dict[type, Callable[[Node], Node]]:
    return {
        exp.Anonymous: _function,
        exp.Bracket: _looked_up,
        exp.Cast: lambda node: _cast(node, doubles),
        exp.TryCast: _number_in_text,
        exp.Nullif: _without_nan,
        exp.RegexpFullMatch: lambda n: _matches(n.this, n.expression.name),
        exp.Filter: _filtered,
        exp.IntDiv: _whole_quotient,
        exp.Literal: _as_double,
        exp.Trim: lambda n: _trimmed(n.this, _SPACES),
        **dict.fromkeys(
            (exp.BitwiseXor, exp.BitwiseAnd, exp.BitwiseLeftShift, exp.BitwiseRightShift), _apart
        ),
    }


def _function(node: Node) -> Node:
    """Functions that only DuckDB has."""
    name, args = str(node.this).lower(), node.expressions
    if name == "isfinite":
        return exp.Paren(this=exp.LTE(this=exp.Abs(this=args[0]), expression=_double(_LARGEST)))
    if name == "hash":  # counted as DISTINCT: the value itself, for want of a hash that all share
        return args[0]
    if name == "bit_count" and str(args[0].this).lower() == "bitstring_agg":
        return exp.Count(this=exp.Distinct(expressions=[args[0].expressions[0]]))
    return node


def _looked_up(node: Node) -> Node:
    """`([a, b])[i]`, counted from 1, as a CASE; of `list_position`, by the values themselves."""
    listed, [at] = node.this.unnest(), node.expressions
    if isinstance(listed, exp.Bracket):  # sqlglot reads a list of its own in brackets so
        listed = listed.this
    case = exp.Case()
    if isinstance(at, exp.Anonymous) and str(at.this).lower() == "list_position":
        keys, value = at.expressions
        for code in dict.fromkeys(listed.expressions):
            held = [
                k for k, c in zip(keys.expressions, listed.expressions, strict=True) if c == code
            ]
            case = case.when(exp.In(this=value.copy(), expressions=held), code)
        return case
    for place, one in enumerate(listed.expressions):
        case = case.when(exp.EQ(this=exp.Paren(this=at.copy()), expression=_whole(place + 1)), one)
    return case


def _cast(node: Node, doubles: Collection[str]) -> Node:
    this, kind = node.this.unnest(), node.to.this
    if _is_hexadecimal(node):
        return _hexadecimal(this.expression)
    if kind == exp.DType.TEXT and isinstance(this, exp.Column) and this.name in doubles:
        return _text_of_double(this)
    return node


def _is_hexadecimal(node: Node) -> bool:
    this = node.this.unnest()
    whole = node.to.this == exp.DType.BIGINT
    return whole and isinstance(this, exp.DPipe) and this.this.name == "0x"


def _hexadecimal(digits: Node) -> Node:
    """`left(text, n)` of hexadecimal digits as a whole number: digit by digit, as all can."""
    text, n = digits.this, int(digits.expression.name)
    total: Node = None
    for i in range(n):
        digit = exp.Substring(this=text.copy(), start=_whole(i + 1), length=_whole(1))
        place = exp.StrPosition(this=exp.Literal.string("0123456789abcdef"), substr=digit)
        whole = exp.Cast(this=place, to=exp.DataType.build("bigint"))
        less = exp.Paren(this=exp.Sub(this=whole, expression=_whole(1)))
        term = exp.Mul(this=less, expression=_whole(16 ** (n - 1 - i)))
        total = term if total is None else exp.Add(this=total, expression=term)
    return exp.Paren(this=total)


def _converted(node: Node) -> Node:
    """The same in Spark, which would work the md5 out anew for every digit."""
    if not _is_hexadecimal(node):
        return node
    digits = node.this.unnest().expression
    decimal = exp.func("conv", digits, _whole(16), _whole(10))
    return exp.Cast(this=decimal, to=exp.DataType.build("bigint"))


def _text_of_double(column: Node) -> Node:
    """A double as DuckDB spells it, but for the exponents of very large and very small ones."""

    def text(this: Node) -> Node:
        return exp.Cast(this=this, to=exp.DataType.build("text"))

    def below(this: Node, end: str) -> Node:
        return exp.LT(this=this, expression=_double(end))

    largest = _double(_LARGEST)
    whole = exp.and_(
        exp.EQ(this=column.copy(), expression=exp.Floor(this=column.copy())),
        below(exp.Abs(this=column.copy()), "1e15"),
    )
    bigint = exp.Cast(this=column.copy(), to=exp.DataType.build("bigint"))
    return (
        exp.Case()
        .when(exp.IsNan(this=column.copy()), exp.Literal.string("nan"))
        .when(exp.GT(this=column.copy(), expression=largest), exp.Literal.string("inf"))
        .when(below(column.copy(), "-" + _LARGEST), exp.Literal.string("-inf"))
        .when(whole, exp.DPipe(this=text(bigint), expression=exp.Literal.string(".0"), safe=True))
        .else_(text(column.copy()))
    )


def _number_in_text(node: Node) -> Node:
    """`TRY_CAST(text AS DOUBLE)`: what DuckDB takes for a number, whatever else an engine would."""
    if node.to.this != exp.DType.DOUBLE:
        return node
    text = _trimmed(node.this, _BLANKS)
    plain = exp.Replace(
        this=text.copy(), expression=exp.Literal.string("_"), replacement=exp.Literal.string("")
    )

    def one_of(words: Collection[str]) -> Node:
        lower = exp.Lower(this=text.copy())
        return exp.In(this=lower, expressions=[exp.Literal.string(w) for w in words])

    return (
        exp.Case()
        .when(_matches(text.copy(), _NUMBER), exp.Cast(this=plain, to=exp.DataType.build("double")))
        .when(one_of(_BELOW_ALL), _double("-inf"))
        .when(one_of(_NO_NUMBERS), _double("nan"))
    )


def _without_nan(node: Node) -> Node:
    """`nullif(x, 'nan')` where NaN may not equal itself."""
    other = node.expression
    if not (isinstance(other, exp.Cast) and other.this.name == "nan"):
        return node
    is_nan = exp.IsNan(this=node.this.copy())
    return exp.Case().when(exp.Not(this=exp.Paren(this=is_nan)), node.this)


def _matches(text: Node, pattern: str) -> Node:
    """Whether the whole of a text matches; in Java, `$` would let a line's end stand after it."""
    ends = exp.Like(this=text.copy(), expression=exp.Literal.string("%\n"))
    found = exp.RegexpLike(this=text, expression=exp.Literal.string(f"^({pattern})$"))
    return exp.Paren(this=exp.and_(found, exp.Not(this=ends)))


def _whole_quotient(node: Node) -> Node:
    """`a // b` of whole numbers below 2^53, none negative."""
    top, bottom = exp.Paren(this=node.this), _double(node.expression.name)
    quotient = exp.Floor(this=exp.Div(this=top, expression=bottom))
    return exp.Cast(this=quotient, to=exp.DataType.build("bigint"))


def _filtered(node: Node) -> Node:
    """`count(*) FILTER (c)` and `sum(x) FILTER (c)` as aggregates of a CASE."""
    aggregate, condition = node.this, node.expression.this
    value = _whole(1) if isinstance(aggregate.this, exp.Star) else aggregate.this
    aggregate.set("this", exp.Case().when(condition, value))
    return aggregate


def _as_double(node: Node) -> Node:
    """A number with a point is a double: a decimal of some engine would be rounded otherwise."""
    if node.is_string or node.name.isdecimal():
        return node
    inside = node.parent
    if isinstance(inside, exp.Cast) and inside.to.this == exp.DType.DOUBLE:
        return exp.Literal.string(node.name)
    return _double(node.name)


def _trimmed(text: Node, characters: str) -> Node:
    return exp.Trim(this=text, expression=exp.Literal.string(characters), position="BOTH")


def _apart(node: Node) -> Node:
    """Bits and their operands in brackets: engines differ in what binds first."""
    for side in ("this", "expression"):
        operand = node.args[side]
        if isinstance(operand, exp.Binary):
            node.set(side, exp.Paren(this=operand))
    return exp.Paren(this=node.copy())


def _without_minus_zero(node: Node) -> Node:
    """DataFusion holds -0.0 to be less than 0.0: adding 0.0 makes it 0.0."""
    if node.to.this != exp.DType.DOUBLE or isinstance(node.this, (exp.Literal, exp.Null)):
        return node
    return exp.Paren(this=exp.Add(this=node.copy(), expression=_double("0")))


def _counted_exactly(node: Node) -> Node:
    """DataFusion has no sketch of a column that its file holds as a dictionary."""
    return exp.Count(this=exp.Distinct(expressions=[node.this]))


_DATAFUSION = {exp.Cast: _without_minus_zero, exp.ApproxDistinct: _counted_exactly}


def _name_columns(tree: Node) -> None:
    for i, column in enumerate(tree.expressions):
        if not isinstance(column, (exp.Column, exp.Alias, exp.Star)):
            column.replace(exp.alias_(column.copy(), f"column{i}"))


def _double(number: str) -> Node:
    return exp.Cast(this=exp.Literal.string(number), to=exp.DataType.build("double"))


def _whole(number: int) -> Node:
    return exp.Literal.number(number)
