use std::{borrow::Cow, cmp::Ordering};

/// What an expression comes to.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Value<'a> {
    /// Unknown, or a property that a message has not.
    Null,
    Bool(bool),
    /// Every property is a text.
    Text(Cow<'a, str>),
    /// A whole number within 32 bits. Its kind counts: a text beside it has to be one, too.
    Int(i32),
    Long(i64),
    Double(f64),
}

/// Two values that cannot be compared. No message passes then.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Incomparable;

impl Value<'_> {
    pub(super) fn is_number(&self) -> bool {
        matches!(self, Self::Int(_) | Self::Long(_) | Self::Double(_))
    }
}

/// How two values that are not null compare. A text beside a number is read as a number of that very kind, and beside a truth
/// value as one. Values that have nothing in common are "less", whichever comes first.
pub(super) fn compare(left: &Value<'_>, right: &Value<'_>) -> Result<Ordering, Incomparable> {
    use Value::{Bool, Double, Int, Long, Text};
    Ok(match (left, right) {
        (Bool(left), Bool(right)) => left.cmp(right),
        (Text(left), Text(right)) => left.cmp(right),
        (Int(left), Int(right)) => left.cmp(right),
        (Long(left), Long(right)) => left.cmp(right),
        (Int(left), Long(right)) => i64::from(*left).cmp(right),
        (Long(left), Int(right)) => left.cmp(&i64::from(*right)),
        (Double(left), Double(right)) => doubles(*left, *right),
        (Int(left), Double(right)) => doubles(f64::from(*left), *right),
        (Double(left), Int(right)) => doubles(*left, f64::from(*right)),
        (Long(left), Double(right)) => doubles(*left as f64, *right),
        (Double(left), Long(right)) => doubles(*left, *right as f64),
        (Text(text), Int(right)) => whole::<i32>(text)?.cmp(right),
        (Int(left), Text(text)) => left.cmp(&whole::<i32>(text)?),
        (Text(text), Long(right)) => whole::<i64>(text)?.cmp(right),
        (Long(left), Text(text)) => left.cmp(&whole::<i64>(text)?),
        (Text(text), Double(right)) => doubles(double(text)?, *right),
        (Double(left), Text(text)) => doubles(*left, double(text)?),
        (Text(text), Bool(right)) => text.eq_ignore_ascii_case("true").cmp(right),
        // The other way round a broker trips over its own cast.
        (Bool(_), Text(_)) => return Err(Incomparable),
        _ => Ordering::Less,
    })
}

/// For `<` and its like: two texts have to be numbers.
pub(super) fn compare_sizes(left: &Value<'_>, right: &Value<'_>) -> Result<Ordering, Incomparable> {
    match (left, right) {
        (Value::Text(left), Value::Text(right)) => Ok(doubles(double(left)?, double(right)?)),
        _ => compare(left, right),
    }
}

/// In Java's order: -0.0 before 0.0, and NaN behind everything.
fn doubles(left: f64, right: f64) -> Ordering {
    match left.partial_cmp(&right) {
        Some(Ordering::Equal) => right.is_sign_negative().cmp(&left.is_sign_negative()),
        Some(order) => order,
        None => left.is_nan().cmp(&right.is_nan()),
    }
}

/// A sign and digits, within the kind's range.
fn whole<N: std::str::FromStr>(text: &str) -> Result<N, Incomparable> {
    text.parse().map_err(|_| Incomparable)
}

/// As Java reads a double: blanks around it and one of `fFdD` behind it do no harm.
fn double(text: &str) -> Result<f64, Incomparable> {
    let text = text.trim_matches(|character| character <= ' ');
    let unsigned = text.strip_prefix(['+', '-']).unwrap_or(text);
    if matches!(unsigned, "NaN" | "Infinity") {
        return text.parse().map_err(|_| Incomparable);
    }
    let text = text.strip_suffix(['f', 'F', 'd', 'D']).unwrap_or(text);
    // Names of numbers that Rust knows and Java does not.
    if text.bytes().any(|byte| !matches!(byte, b'0'..=b'9' | b'+' | b'-' | b'.' | b'e' | b'E')) {
        return Err(Incomparable);
    }
    text.parse().map_err(|_| Incomparable)
}

#[cfg(test)]
mod tests {
    use super::{Incomparable, double, doubles};
    use std::cmp::Ordering;

    #[test]
    fn doubles_are_read_as_java_reads_them() {
        for (text, wanted) in [("5", 5.0), (" 5.\t", 5.0), ("-.5f", -0.5), ("1E3D", 1000.0), ("+1e-3", 0.001)] {
            assert_eq!(double(text), Ok(wanted), "{text:?}");
        }
        assert!(double("NaN").unwrap().is_nan() && double("-Infinity") == Ok(f64::NEG_INFINITY));
        for text in ["", ".", "e5", "inf", "nan", "infinity", "1_0", "1 0", "5ff", "NaNf", "-", "0b1"] {
            assert_eq!(double(text), Err(Incomparable), "{text:?}");
        }
    }

    #[test]
    fn doubles_have_the_order_of_java() {
        let ordered = [f64::NEG_INFINITY, -1.0, -0.0, 0.0, 1.0, f64::INFINITY, f64::NAN];
        for (left, value) in ordered.iter().enumerate() {
            for (right, other) in ordered.iter().enumerate() {
                assert_eq!(doubles(*value, *other), left.cmp(&right), "{value} {other}");
            }
        }
        assert_eq!(doubles(2.5, 2.5), Ordering::Equal);
    }
}
