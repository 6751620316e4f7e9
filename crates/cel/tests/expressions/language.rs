//! The language: operators, types, missing fields, optionals, macros.

use crate::table::{compile_error, fault, holds};

#[test]
fn literals_and_operators() {
    holds(&[
        "1 + 2 * 3 == 7",
        "-9223372036854775808 < 0",
        "0xff == 255",
        "7u % 4u == 3u",
        "-7 / 2 == -3",
        "-7 % 2 == -1",
        "1.5 * 2.0 == 3.0",
        "6.02e23 > 1e3",
        ".5 == 0.5",
        "'a' + \"b\" == 'ab'",
        "r'\\d' == '\\\\d'",
        "'\\x41\\u0042\\U00000043\\103' == 'ABCC'",
        "'''a\nb''' == 'a\\nb'",
        "b'\\xff' + b'a' == b'\\xffa'",
        "b'ab' < b'b'",
        "size(b'ä') == 2 && size('ä') == 1",
        "[1, 2] + [3] == [1, 2, 3]",
        "{'a': 1, 'b': 2} == {'b': 2, 'a': 1}",
        "!false && (true || false)",
        "true ? 1 == 1 : false",
        "1 in [1, 2] && !(3 in [1, 2]) && 'a' in {'a': 1}",
        "false < true",
        "'Z' < 'a'",
        "[1, 2,] == [1, 2]",
        "// a comment\n true",
        "type(1) == int && type('') == string && type(null) == null_type && type([]) == list",
        "type(1u) == uint && type(1.0) == double && type({}) == map && type(true) == bool",
        "type(duration('1s')) == google.protobuf.Duration && type(type(1)) == type",
    ]);
}

#[test]
fn numbers_compare_across_types() {
    holds(&[
        "1 < 1.5 && 2u > 1 && 1.0 <= 1u",
        "dyn(1) == dyn(1.0) && dyn(1u) == dyn(1) && dyn(1) != dyn(1.5)",
        "dyn(9223372036854775807) != dyn(9223372036854775808.0)",
        "object.whole == object.fraction / 1.5",
        "dyn('1') != dyn(1) && dyn(null) != dyn(0) && dyn([1]) == dyn([1.0])",
        "double('NaN') != double('NaN') && !(double('NaN') < 1.0)",
        "{1: 'a'}[dyn(1.0)] == 'a' && {1u: 'a'}[dyn(1)] == 'a'",
    ]);
    fault(&[
        ("object.whole + object.fraction == 1.0", "no such overload"),
        ("9223372036854775807 + 1 == 0", "integer overflow"),
        ("-(-9223372036854775808) == 0", "overflow"),
        ("0u - 1u == 0u", "unsigned integer overflow"),
        ("1 / 0 == 0", "division by zero"),
        ("1 % 0 == 0", "modulus by zero"),
        ("object.text < object.whole", "no order"),
    ]);
}

#[test]
fn fields_that_are_missing() {
    holds(&[
        "object.name == 'x' && object['name'] == 'x' && object.`name` == 'x'",
        "has(object.name) && !has(object.missing) && has(object.nothing)",
        "!has(object.name.deeper) && !has(object.nothing.deeper)",
        "object.labels['a/b'] == 'c' && 'a/b' in object.labels",
        "object.list[0] == 1 && object.list[dyn(1.0)] == 2",
    ]);
    fault(&[
        ("object.missing == 1", "no such key: missing"),
        ("has(object.missing.deeper)", "no such key: missing"),
        ("object.name.deeper == 1", "no such key: deeper"),
        ("object.labels['x'] == 'y'", "no such key: x"),
        ("object.list[9] == 1", "index out of bounds: 9"),
        ("object.list[-1] == 1", "index out of bounds: -1"),
        ("object.whole[0] == 1", "no such overload"),
    ]);
}

#[test]
fn a_fault_gives_way_to_a_decision() {
    holds(&[
        "object.missing == 1 || true",
        "!(object.missing == 1 && false)",
        "object.list.exists(x, x == 1 || x.missing)",
        "object.list.exists(x, object.missing == x || x == 2)",
        "!object.list.all(x, object.missing == x && x == 2)",
        "!object.mixed.all(x, x.missing == 1)  || true",
        "true || object.name",
    ]);
    fault(&[
        ("object.missing == 1 || false", "no such key"),
        ("object.missing == 1 && true", "no such key"),
        ("object.list.all(x, x.missing == 1)", "no such key"),
        ("object.list.all(x, object.labels)", "no such overload"),
        ("object.name && true", "no such overload"),
        ("[object.list].isSorted()", "no such overload"),
        ("[object.list].min() == []", "no such overload"),
        ("object.list.exists_one(x, x.missing)", "no such key"),
        ("object.list.filter(x, x.missing) == []", "no such key"),
    ]);
}

#[test]
fn optionals() {
    holds(&[
        "object.?name.orValue('') == 'x' && object.?missing.orValue('y') == 'y'",
        "object.?missing.?deeper.orValue(1) == 1 && object.?missing.deeper.orValue(1) == 1",
        "object.?labels['a/b'].orValue('') == 'c' && object.?labels[?'x'].orValue('') == ''",
        "object.labels[?'a/b'].hasValue() && !object.list[?9].hasValue()",
        "object.?name.value() == 'x' && object.?missing.or(object.?name).value() == 'x'",
        "object.?nothing.hasValue() && object.?nothing.?deeper.orValue(true)",
        "object.?name.?deeper.orValue(true)",
        "optional.of(1).value() == 1 && !optional.none().hasValue()",
        "!optional.ofNonZeroValue('').hasValue() && optional.ofNonZeroValue(1).hasValue()",
        "[dyn(1), ?object.?missing, ?object.?whole] == [1, 3]",
        "{'a': dyn(1), ?'b': object.?missing} == {'a': 1}",
        "object.?whole.optMap(x, x + 1).value() == 4 && !object.?missing.optMap(x, x).hasValue()",
        "object.?labels.optFlatMap(x, x[?'a/b']).orValue('') == 'c'",
        "[optional.of(1), optional.none()].unwrapOpt() == [1]",
        "optional.of(1) == optional.of(1) && optional.of(1) != optional.none()",
        "has(object.?labels.a) == false",
        // The field lets `orValue` stand on what is there for sure.
        "object.name.orValue('y') == 'x'",
    ]);
    fault(&[
        ("object.?missing.value() == 1", "optional.none() dereference"),
        ("object.name.or(optional.of(1)).hasValue()", "no such overload"),
        ("object.name.hasValue()", "no such overload"),
        ("[?object.name] == []", "no such overload"),
    ]);
    compile_error(&[
        ("'a'.or(optional.of(1)).hasValue()", "optional"),
        ("[?1] == [1]", "optional"),
    ]);
}

#[test]
fn macros() {
    holds(&[
        "[1, 2, 3].all(x, x > 0) && [].all(x, x > 0)",
        "[1, 2, 3].exists(x, x == 2) && !object.empty.exists(x, true)",
        "[1, 2, 3].exists_one(x, x > 2) && ![1, 1].exists_one(x, x == 1)",
        "[1, 2, 3].existsOne(x, x > 2)",
        "[1, 2].map(x, x * 2) == [2, 4] && [1, 2].map(x, x > 1, x * 2) == [4]",
        "[1, 2, 3].filter(x, x != 2) == [1, 3]",
        "object.labels.exists(key, key.startsWith('a/')) && {'a': 1}.map(k, k) == ['a']",
        "[[1, 2], [3]].all(x, x.all(y, y > 0 && size(x) > 0))",
        "[1, 2].all(x, [3].map(x, x) == [3] && x < 3)",
        "[10, 20].all(i, v, v == (i + 1) * 10) && {'a': 1}.all(k, v, k == 'a' && v == 1)",
        "{'a': 1, 'b': 2}.exists(k, v, v == 2) && {'a': 1}.existsOne(k, v, v == 1)",
        "[5, 6].transformList(i, v, i + v) == [5, 7]",
        "[5, 6].transformList(i, v, i > 0, v) == [6]",
        "{'a': 1, 'b': 2}.transformList(k, v, k) == ['a', 'b']",
        "{'a': 1, 'b': 2}.transformMap(k, v, v > 1, v * 2) == {'b': 4}",
        "[5].transformMap(i, v, v) == {0: 5}",
        "{'a': 'b'}.transformMapEntry(k, v, {v: k}) == {'b': 'a'}",
        "cel.bind(x, object.whole, x + x == 6)",
        "cel.bind(x, 1, cel.bind(y, x + 1, [x, y])) == [1, 2]",
        "['b', 'a'].sortBy(x, x) == ['a', 'b'] && [{'n': 2}, {'n': 1}].sortBy(x, x.n)[0].n == 1",
        "[object].all(object, has(object.name))",
    ]);
    fault(&[
        ("object.name.all(x, true)", "no such overload"),
        ("{'a': 1, 'b': 1}.transformMapEntry(k, v, {v: k}) == {}", "made twice"),
        ("{'a': 1, object.labels['a/b'] == 'c' ? 'a' : 'b': 2} == {}", "twice"),
    ]);
}

#[test]
fn what_cannot_be_compiled() {
    compile_error(&[
        ("objekt.name", "undeclared reference to `objekt`"),
        ("Object.name", "did you mean `object`"),
        ("object.name.shout()", "unknown function `shout`"),
        ("'a'.startsWith(1)", "no overload of `startsWith`"),
        ("1 + 'a'", "`+` cannot take `int` and `string`"),
        ("1 == 1.0", "`==` cannot take `int` and `double`"),
        ("'a' == null", "`==`"),
        ("[1, 'a']", "must be of type `int`, not `string`"),
        ("{'a': 1, 'b': 'c'}", "must be of type"),
        ("true ? 1 : 'a'", "must be of type"),
        ("!1", "`!` cannot take `int`"),
        ("1 && true", "must be of type `bool`"),
        ("[1].all(x, x)", "must be of type `bool`"),
        ("[1].all(x.y, true)", "must be a simple name"),
        ("[1].all(x, x, true)", "two names"),
        ("1x", "must end before"),
        ("(1).all(x, true)", "has no elements"),
        ("has(object)", "`has` takes a field"),
        ("'a'.b", "has no field"),
        ("object.name.matches('(')", "no regular expression"),
        ("duration('x') == duration('1s')", "no duration"),
        ("timestamp('x') == timestamp('y')", "no timestamp"),
        ("", "empty"),
        ("1 +", "too early"),
        ("(1", "expected `)`"),
        ("[1, 2", "expected `,` or `]`"),
        ("1 2", "should end before"),
        ("'a", "does not end"),
        ("'\\q'", "unknown escape"),
        ("a.in", "expected the name of a field"),
        ("namespace", "reserved"),
        ("#", "unexpected character `#`"),
        ("9223372036854775808", "out of range"),
        ("99999999999999999999", "no integer of 64 bits"),
        ("Pod{name: 'x'}", "cannot be made"),
        ("variables.missing", "undeclared reference to `variables.missing`"),
    ]);
}

#[test]
fn an_error_says_where() {
    let error = crate::table::compile("object.a ==\n  objekt.b").unwrap_err();
    assert_eq!((error.line, error.column), (2, 3));
    assert_eq!(
        error.to_string(),
        "undeclared reference to `objekt` (at 2:3 of `object.a ==\n  objekt.b`)"
    );
}

#[test]
fn declared_names_with_dots() {
    holds(&["variables.count == 3 && has(variables.count)", "variables.count + 1 == 4"]);
}
