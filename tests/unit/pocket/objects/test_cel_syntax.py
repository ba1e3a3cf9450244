import cel
import pytest
from hypothesis import given
from hypothesis import strategies as st
from trireme.pocket.objects.cel_syntax import Expression, parse


def name(text):
    return Expression("name", text)


def operator(symbol, *parts):
    return Expression("operator", symbol, parts)


A, B, C = name("a"), name("b"), name("c")


@pytest.mark.parametrize(
    ("text", "tree"),
    [
        ("a || b && c", operator("||", A, operator("&&", B, C))),
        ("a - b - c", operator("-", operator("-", A, B), C)),
        ("a + b * c < c", operator("<", operator("+", A, operator("*", B, C)), C)),
        ("!(a in b)", operator("!", operator("in", A, B))),
        ("a ? b : c ? a : b", operator("?:", A, B, operator("?:", C, A, B))),
        ("a.b[c].size()", Expression("method", "size", (
            Expression("index", "", (Expression("select", "b", (A,)), C)),))),
        ("has(a.b)", Expression("call", "has", (Expression("select", "b", (A,)),))),
        ("a.all(b, c)", Expression("method", "all", (A, B, C))),
        ("[a, b,]", Expression("list", "", (A, B))),
        ("{a: b}", Expression("map", "", (A, B))),
        ("r'\\d' // why", Expression("literal", "r'\\d'")),
        ("true", Expression("literal", "true")),
        ("1.5e3", Expression("literal", "1.5e3")),
    ],
)  # fmt: skip
def test_parses(text, tree):
    assert parse(text) == tree


@pytest.mark.parametrize("text", ["", "a b", "a.", "(a", "a ?", "a ? b", "[a", "#", "a.all(b c)"])
def test_refuses(text):
    with pytest.raises(ValueError, match=r"."):
        parse(text)


operands = st.sampled_from(["self.a", "1", "'x'", "size(self)", "self[0]"])
expressions = st.recursive(
    operands,
    lambda inner: (
        st.builds("({} {} {})".format, inner, st.sampled_from(["||", "&&", "==", "<", "+", "-", "*", "in"]), inner)
        | st.builds("self.all(x, {})".format, inner)
        | st.builds("({} ? {} : {})".format, inner, inner, inner)
        | st.builds("!{}".format, inner)
    ),
    max_leaves=6,
)


@given(expressions)
def test_reads_whatever_the_library_reads(text):
    cel.compile(text)
    parse(text)
