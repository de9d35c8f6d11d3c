use std::{borrow::Cow, cmp::Ordering};

use ferrocket_model::properties;

use super::{
    node::{Kind, Node, Place, Size},
    value::{Incomparable, Value, compare, compare_sizes},
};

/// The value of a node for a message with these properties. An error ends the whole evaluation.
pub(super) fn evaluate<'a>(node: &'a Node, properties: &'a str) -> Result<Value<'a>, Incomparable> {
    Ok(match &node.kind {
        Kind::Constant(value) => value.clone(),
        Kind::Property(name) => match properties::find(properties, name) {
            Some(text) => Value::Text(Cow::Borrowed(text)),
            None => Value::Null,
        },
        Kind::Negate(number) => match evaluate(number, properties)? {
            Value::Int(number) => Value::Int(number.wrapping_neg()),
            Value::Long(number) => Value::Long(number.wrapping_neg()),
            Value::Double(number) => Value::Double(-number),
            _ => Value::Null,
        },
        Kind::Not(truth) => match evaluate(truth, properties)? {
            Value::Bool(truth) => Value::Bool(!truth),
            _ => Value::Null,
        },
        Kind::Truth(property) => match evaluate(property, properties)? {
            Value::Null => Value::Null,
            // A property is a text, and no text is true, "true" neither.
            _ => Value::Bool(false),
        },
        Kind::All(nodes) => join(nodes, properties, false)?,
        Kind::Any(nodes) => join(nodes, properties, true)?,
        Kind::Equal(sides) => equal(&evaluate(&sides[0], properties)?, &evaluate(&sides[1], properties)?)?,
        Kind::Compare(size, sides) => {
            let left = evaluate(&sides[0], properties)?;
            // Looked at only if it matters: it may fail.
            let right = if left == Value::Null { Value::Null } else { evaluate(&sides[1], properties)? };
            match right {
                Value::Null => Value::Null,
                right => Value::Bool(size.holds(compare_sizes(&left, &right)?)),
            }
        }
        Kind::In { property, list, not } => match properties::find(properties, property) {
            Some(text) => Value::Bool(list.iter().any(|listed| listed == text) != *not),
            None => Value::Null,
        },
        // Never unknown: who has no text has nothing in it, and does not lack it either.
        Kind::Find { place, within, text, not } => match evaluate(within, properties)? {
            Value::Text(within) if !text.is_empty() => Value::Bool(place.finds(&within, text) != *not),
            _ => Value::Bool(false),
        },
    })
}

/// AND (`decisive` is false) or OR: the first decisive value counts, and what comes behind it is not looked at.
fn join<'a>(nodes: &'a [Node], properties: &'a str, decisive: bool) -> Result<Value<'a>, Incomparable> {
    let mut unknown = false;
    for node in nodes {
        match evaluate(node, properties)? {
            Value::Bool(truth) if truth == decisive => return Ok(Value::Bool(decisive)),
            Value::Bool(_) => {}
            _ => unknown = true,
        }
    }
    Ok(if unknown { Value::Null } else { Value::Bool(!decisive) })
}

/// Two unknowns are equal, which makes `IS NULL` of it. Something beside an unknown is not, but an unknown beside something is
/// unknown.
fn equal(left: &Value<'_>, right: &Value<'_>) -> Result<Value<'static>, Incomparable> {
    Ok(match (left, right) {
        (Value::Null, Value::Null) => Value::Bool(true),
        (Value::Null, _) => Value::Null,
        (_, Value::Null) => Value::Bool(false),
        (left, right) => Value::Bool(compare(left, right)? == Ordering::Equal),
    })
}

impl Size {
    fn holds(self, order: Ordering) -> bool {
        match self {
            Self::Less => order.is_lt(),
            Self::AtMost => order.is_le(),
            Self::Greater => order.is_gt(),
            Self::AtLeast => order.is_ge(),
        }
    }
}

impl Place {
    fn finds(self, within: &str, text: &str) -> bool {
        match self {
            Self::Anywhere => within.contains(text),
            Self::Start => within.starts_with(text),
            Self::End => within.ends_with(text),
        }
    }
}
