"""No expression with `co_await` has a temporary that g++ 12 would destroy twice.

It does so to lambdas that capture by value, to aggregates, and to what `?:` makes of class type. The
types are not known here, so the rule is about what is written: such an expression has no lambda that
captures by value, no braces and no `?`. Default arguments are part of it: what returns Async<T> has
none of braces.
"""
import pathlib
import re

import pytest

SOURCE = pathlib.Path(__file__).resolve().parents[2] / "src"
TOKEN = re.compile(
    r"""(?P<skip>\s+|//[^\n]*|/\*.*?\*/|^[ \t]*\#(?:\\\n|[^\n])*)
      |(?P<text>R"(?P<mark>[^(]*)\(.*?\)(?P=mark)"|"(?:\\.|[^"\\])*"|'(?:\\.|[^'\\])*')
      |(?P<word>\w(?:\w|'\w|::(?=\w))*)
      |(?P<sign>->|.)""", re.S | re.M | re.X)
CLOSING = {"(": ")", "[": "]", "{": "}"}
CONTROL = {"if", "while", "for", "switch", "catch", "constexpr"}
BEFORE_BLOCK = {")", ";", "{", "}", ":", "else", "do", "try", "const", "noexcept", "override", ""}
SCOPE = {"namespace", "class", "struct", "union", "enum", "extern"}


class Code:
    """The tokens of a source, the partner of each bracket, and which braces hold statements."""

    def __init__(self, source):
        self.tokens, self.lines, self.partner, self.blocks = [], [], {}, set()
        line = 1
        for match in TOKEN.finditer(source):
            if match.lastgroup != "skip":
                self.tokens.append("text" if match["text"] else match[0])
                self.lines.append(line)
            line += match[0].count("\n")
        self.pair_brackets()

    def at(self, i):
        return self.tokens[i] if 0 <= i < len(self.tokens) else ""

    def pair_brackets(self):
        open_ = []
        for i, token in enumerate(self.tokens):
            if token in CLOSING:
                if token == "{" and self.is_block(i, open_[-1] if open_ else None):
                    self.blocks.add(i)
                open_.append(i)
            elif token in CLOSING.values():
                opening = open_.pop()
                self.partner.update({i: opening, opening: i})
                if opening in self.blocks:
                    self.blocks.add(i)

    def is_block(self, brace, around):
        """`around`: the innermost bracket that is open there."""
        if self.lambda_of(brace) is not None:
            return True
        if around is not None and around not in self.blocks:
            return False
        i = brace - 1
        if self.at(i) in BEFORE_BLOCK:
            return True
        while self.at(i) not in SCOPE | {";", "{", "}", "(", ""}:
            i -= 1
        return self.at(i) in SCOPE

    def lambda_of(self, brace):
        """The `[` of the lambda whose body begins there, None if that is no lambda's."""
        i = brace - 1
        while self.at(i) not in {")", "]", ";", "{", "}", "(", ",", ""}:
            i -= 1  # over what stands between the parameters and the body
        if self.at(i) == ")" and (i == brace - 1 or self.at(i + 1) in {"->", "mutable", "noexcept"}):
            i = self.partner[i] - 1
        elif i != brace - 1:
            return None
        if self.at(i) != "]":
            return None
        opening = self.partner[i]
        before = self.at(opening - 1)
        is_subscript = re.match(r"[\w)\]]", before) and before not in {"return", "co_return"}
        return None if is_subscript else opening

    def is_statement(self, bracket):
        """Of a block's brace: that it is not the body of a lambda."""
        opening = min(bracket, self.partner[bracket])
        return bracket in self.blocks and self.lambda_of(opening) is None

    def expression_around(self, i):
        """Where the full expression that has the token begins, and where it is over."""
        begin = i
        while begin > 0:
            token, opening = self.tokens[begin - 1], self.partner.get(begin - 1, begin - 1)
            if token in {";", "else", "do"} or token == "{" and begin - 1 in self.blocks:
                break
            if token == "}" and self.is_statement(begin - 1):
                break
            if token in {"(", ")"} and self.at(min(opening, begin - 1) - 1) in CONTROL:
                break
            begin = min(opening, begin - 1)
        end = i
        while end < len(self.tokens):
            token = self.tokens[end]
            if token == ";" or token == "{" and self.is_statement(end):
                break
            if token in CLOSING.values() and self.partner[end] < begin:
                break
            end = self.partner[end] + 1 if token in CLOSING else end + 1
        return begin, end


def captures_by_value(captures):
    """`captures`: the tokens between the brackets of a lambda."""
    first, names = True, []
    for token in captures:
        if first:
            names.append(token)
        first = token == ","
    return any(name not in {"&", "this"} for name in names)


def temporaries(source):
    """(line, what) of each temporary that an expression with `co_await` must not have."""
    code = Code(source)
    found = set()
    for i, token in enumerate(code.tokens):
        if token == "co_await":
            found |= set(of_expression(code, *code.expression_around(i)))
        elif token == "Async" and code.at(i + 1) == "<":
            found |= set(of_default_arguments(code, i))
    return sorted(found)


def of_expression(code, i, end):
    while i < end:
        token = code.tokens[i]
        if token == "{" and i in code.blocks:  # a lambda's body: expressions of its own
            opening = code.lambda_of(i)
            if captures_by_value(code.tokens[opening + 1:code.partner[opening]]):
                yield code.lines[opening], "a lambda that captures by value"
            i = code.partner[i]
        elif token == "{":
            yield code.lines[i], "braces"
        elif token == "?":
            yield code.lines[i], "?:"
        i += 1


def of_default_arguments(code, i):
    depth = 0
    for i in range(i + 1, len(code.tokens)):
        depth += {"<": 1, ">": -1}.get(code.at(i), 0)
        if depth == 0:
            break
    while re.match(r"\w|~", code.at(i + 1)):
        i += 1
    if code.at(i + 1) != "(":
        return
    for i in range(i + 2, code.partner[i + 1]):
        if code.tokens[i] == "{" and i not in code.blocks:
            yield code.lines[i], "a default argument of braces"


@pytest.mark.parametrize("code", [
    "co_await f([x] { g(); });",
    "const int a = co_await f([=]() mutable { g(); }) + 1;",
    "co_await f([&, n = x](int i) -> int { return i; });",
    "co_return co_await f([x] {});",
    "if (co_await f({x, 1})) g();",
    "for (;;) { g(); co_await f(Spec{x}); }",
    "const Spec a{x, co_await f()};",
    "co_await f(a ? b : c);",
    "[&] { co_await f(Spec{.a = 1}); };",
    "g([&] { h(); }, {x}, co_await f());",
    "Async<void> f(int a, Options b = {});",
])
def test_temporaries_are_found(code):
    assert temporaries(f"void function() {{\n{code}\n}}")


@pytest.mark.parametrize("code", [
    "co_await f([&] { g({x}); });",
    "co_await f([this] { return x ? y : z; });",
    "auto f = [x] { g(); }; co_await h(std::move(f));",
    "if (co_await f()) { g({x}); } else { h(x ? y : z); }",
    "g({x}); co_await f();",
    "co_await f(); const Spec a{x};",
    "while (co_await f()) g({x});",
    "if (x ? y : z) co_await f();",
    "spawn([x]() -> Async<void> { co_await f(); });",
    "for (int i : {1, 2}) co_await f(i);",
    "co_await f(R\"(a ? {b})\");  // why? {}",
    "Async<Spec> f(int a = 0) { co_return Spec{a}; }",
])
def test_other_code_is_left_alone(code):
    assert temporaries(f"void function() {{\n{code}\n}}") == []


def test_no_expression_with_co_await_has_a_temporary_that_is_destroyed_twice():
    wrong = [f"src/{path.relative_to(SOURCE)}:{line}: {what}"
             for path in sorted(SOURCE.rglob("*")) if path.suffix in {".h", ".cpp"}
             for line, what in temporaries(path.read_text())]
    assert not wrong, "\n".join(wrong)
