//! Hostile expressions end with an error, in bounded time.

use std::time::{Duration, Instant};

use proptest::prelude::*;

/// Generous, because tests run on busy machines; without bounds these would run for years.
const LONGEST: Duration = Duration::from_secs(20);

#[test]
fn costly_expressions_run_out_of_budget() {
    let list = "lists.range(200)";
    let nested =
        format!("{list}.all(a, {list}.all(b, {list}.all(c, {list}.all(d, a + b + c + d >= 0))))");
    let doubling =
        (0..40).fold("'xxxxxxxxxx'".to_owned(), |inner, _| format!("cel.bind(x, {inner}, x + x)"));
    let comparing =
        (0..40).fold("[1]".to_owned(), |inner, _| format!("cel.bind(x, {inner}, [x, x])"));
    let printing = format!("'%s'.format([{comparing}]) == ''");
    for expression in [
        nested,
        format!("{doubling} == ''"),
        format!("cel.bind(y, {comparing}, y == {comparing})"),
        printing,
        "lists.range(9223372036854775807).size() > 0".to_owned(),
        format!(
            "{list}.map(x, 'aaaaaaaaaaaaaaaaaaaa').join('b').replace('', 'cccccccccc').replace('', 'ddddddddddddd').replace('', 'eeeeeeeeeeeeeeee').replace('', 'fffffffffffff') == ''"
        ),
        format!(
            "{list}.all(x, {list}.all(y, 'aaaa'.matches('(a|b|c){{0,100}}|' + string(x * y))))"
        ),
        format!("{list}.map(x, {list}.map(y, {list})).flatten(5).distinct().size() > {}", i64::MAX),
    ] {
        let start = Instant::now();
        let found = crate::table::evaluate(&expression).expect_err(&expression);
        assert!(found.contains("costs more than it may"), "{expression}: {found}");
        assert!(start.elapsed() < LONGEST, "{expression}: {:?}", start.elapsed());
    }
}

#[test]
fn deep_and_long_expressions_are_refused() {
    let deep = |open: &str, close: &str, count: usize| {
        format!("{}1{}", open.repeat(count), close.repeat(count))
    };
    for expression in [
        deep("(", ")", 50_000),
        deep("[", "]", 50_000),
        deep("{1:", "}", 20_000),
        deep("!", "", 50_000),
        deep("- ", "", 40_000),
        deep("size(", ")", 10_000),
        deep("true ? ", " : 1", 5_000),
        deep("", " + 1", 20_000),
        deep("", ".a", 20_000),
        deep("", "[0]", 20_000),
        "x".repeat(200_000),
    ] {
        crate::table::compile(&expression).expect_err("refused");
    }
    // Chains of logic are one level, however long.
    let long = vec!["object.yes"; 5_000].join(" && ");
    assert_eq!(crate::table::evaluate(&long), Ok(true.into()));
    // What is just below the limit runs on a thread of usual size.
    for shallow in [
        deep("(", ")", 190),
        deep("[", "]", 190),
        deep("", " + 1", 190),
        deep("size([", "]) + object.whole", 60),
        deep("[1].map(x, ", ")", 60),
        deep("cel.bind(x, ", ", x)", 60),
    ] {
        crate::table::evaluate(&shallow).expect(&shallow);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(20_000))]

    /// Whatever is written, compiling and evaluating it ends without a panic.
    #[test]
    fn any_text_ends(text in "[\\PC\\n]{0,60}") {
        let _ = crate::table::evaluate(&text);
    }

    /// The same for what is made of the language's own pieces, which comes further.
    #[test]
    fn any_tokens_end(pieces in prop::collection::vec(prop::sample::select(PIECES), 0..14)) {
        let _ = crate::table::evaluate(&pieces.join(""));
        let _ = crate::table::evaluate(&pieces.join(" "));
    }
}

const PIECES: &[&str] = &[
    "object",
    ".name",
    ".list",
    ".?missing",
    "[0]",
    "[?1]",
    ".all(x, ",
    ".map(x, ",
    ".exists(i, v, ",
    "x",
    "v",
    ")",
    "(",
    "[",
    "]",
    "{",
    "}",
    ":",
    ",",
    "?",
    "1",
    "-9223372036854775808",
    "0u",
    "1.5",
    "1e308",
    "'a'",
    "b'\\xff'",
    "r'\\'",
    "null",
    "true",
    "+",
    "-",
    "*",
    "/",
    "%",
    "==",
    "<",
    "in",
    "&&",
    "||",
    "!",
    "has(object.name)",
    "size(",
    "string(",
    "int(",
    "duration('1s')",
    "timestamp(0)",
    ".orValue(",
    ".matches('a')",
    ".split('')",
    ".format([1])",
    ".substring(1)",
    "quantity('1Ki')",
    ".add(",
    "cel.bind(x, ",
    "math.greatest(",
    "sets.contains(",
    ".flatten()",
    ".sort()",
    "lists.range(5)",
    ".transformMap(k, v, ",
    "type(",
    "optional.of(",
    "ip('::1')",
];
