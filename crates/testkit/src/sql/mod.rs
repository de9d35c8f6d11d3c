//! SQL92 filters as brokers of RocketMQ 5 read them, with their oddities, because those are what a consumer meets.
//!
//! What surprises most: `NOT` binds tighter than a comparison; what follows a whole expression is ignored; `!=` does not exist;
//! a property that is no number of the literal's kind makes the whole expression fail, and then the message does not pass.
//! Properties with digits of other scripts or with hexadecimal fractions, which Java reads as numbers, are none here.

mod evaluate;
mod lexer;
mod node;
mod parser;
mod value;

use node::Node;
use value::Value;

/// Longer expressions are refused.
const MAX_BYTES: usize = 64 * 1024;

/// An expression that brokers would take.
#[derive(Debug)]
pub(crate) struct Expression {
    root: Node,
}

impl Expression {
    /// Reads an expression; an error is what a broker would tell the client.
    pub(crate) fn compile(text: &str) -> Result<Self, String> {
        if text.len() > MAX_BYTES {
            return Err(format!("the expression has more than {MAX_BYTES} bytes"));
        }
        parser::parse(text).map(|root| Self { root })
    }

    /// Whether a message with these properties passes: only if the expression is true, not if it is unknown or fails.
    pub(crate) fn accepts(&self, properties: &str) -> bool {
        matches!(evaluate::evaluate(&self.root, properties), Ok(Value::Bool(true)))
    }
}

#[cfg(test)]
mod tests {
    use super::{Expression, MAX_BYTES};

    fn refusal(text: &str) -> String {
        Expression::compile(text).expect_err("it should be refused")
    }

    #[test]
    fn deep_expressions_are_refused_and_long_ones_are_not() {
        for open in ["(", "NOT ", "- ", "+"] {
            let error = refusal(&open.repeat(MAX_BYTES / open.len()));
            assert!(error.contains("deep"), "{open:?}: {error}");
        }
        for chain in ["a = ", "a <> "] {
            let error = refusal(&(chain.repeat(10_000) + "a"));
            assert!(error.contains("deep"), "{chain:?}: {error}");
        }
        assert!(refusal(&format!("a{}", " IS NULL".repeat(5000))).contains("deep"));
        for joint in [" AND ", " OR "] {
            let long = vec!["a = 3"; MAX_BYTES / 10 - 5].join(joint);
            assert!(Expression::compile(&long).unwrap().accepts("a\u{1}3"), "{joint:?}");
        }
        let list = format!("a IN ('x'{})", ", 'y'".repeat(10_000));
        assert!(Expression::compile(&list).unwrap().accepts("a\u{1}y"));
        assert!(refusal(&"a".repeat(MAX_BYTES + 1)).contains("bytes"));
    }

    #[test]
    fn errors_say_where() {
        assert_eq!(refusal("a ="), "Encountered the end at line 1, column 4, where a value was expected.");
        assert_eq!(refusal("a = 1 AND\n  ) x"), "Encountered \")\" at line 2, column 3, where a value was expected.");
        assert_eq!(refusal("日 = 3"), "Cannot read \"日\" at line 1, column 1.");
        assert_eq!(
            refusal("a NOT 5"),
            "Encountered \"5\" at line 1, column 7, where BETWEEN, IN, CONTAINS, STARTSWITH or ENDSWITH was expected."
        );
    }

    /// Any text is either read or refused.
    #[test]
    fn no_text_makes_it_panic() {
        let mut random = fastrand::Rng::with_seed(7);
        const PIECES: [&str; 33] = [
            "a",
            "b",
            " ",
            "'",
            "''",
            "'x'",
            "1",
            "0",
            ".",
            "e",
            "1e9",
            "L",
            "=",
            "<",
            ">",
            "<>",
            "(",
            ")",
            ",",
            "-",
            "+",
            "--",
            "/*",
            "*/",
            "\n",
            " NOT ",
            " AND ",
            " OR ",
            " BETWEEN ",
            " IN ",
            " IS ",
            "NULL",
            "日",
        ];
        let mut read = 0;
        for _ in 0..20_000 {
            let count = random.usize(0..12);
            let text: String = (0..count).map(|_| PIECES[random.usize(..PIECES.len())]).collect();
            if let Ok(expression) = Expression::compile(&text) {
                read += 1;
                let _ = expression.accepts("a\u{1}1\u{2}b\u{1}x\u{2}");
            }
        }
        assert!(read > 100, "only {read} were read");
    }
}
