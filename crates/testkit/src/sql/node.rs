use std::cmp::Ordering;

use super::value::{Value, compare};

/// Higher trees are refused, so that walking one never takes much stack.
const MAX_HEIGHT: usize = 256;

/// A node of an expression and everything below it. Made by functions that refuse what brokers refuse.
#[derive(Clone, Debug)]
pub(super) struct Node {
    pub(super) kind: Kind,
    height: usize,
}

#[derive(Clone, Debug)]
pub(super) enum Kind {
    Constant(Value<'static>),
    Property(String),
    Negate(Box<Node>),
    Not(Box<Node>),
    /// A property where a truth value is wanted.
    Truth(Box<Node>),
    All(Vec<Node>),
    Any(Vec<Node>),
    Equal(Box<[Node; 2]>),
    Compare(Size, Box<[Node; 2]>),
    In {
        property: String,
        list: Vec<String>,
        not: bool,
    },
    Find {
        place: Place,
        within: Box<Node>,
        text: String,
        not: bool,
    },
}

/// `<` and its like.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Size {
    Less,
    AtMost,
    Greater,
    AtLeast,
}

/// Where a text is looked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Place {
    Anywhere,
    Start,
    End,
}

impl Node {
    fn new(kind: Kind) -> Result<Self, String> {
        let below: &[Self] = match &kind {
            Kind::Constant(_) | Kind::Property(_) | Kind::In { .. } => &[],
            Kind::Negate(node) | Kind::Not(node) | Kind::Truth(node) | Kind::Find { within: node, .. } => {
                std::slice::from_ref(node)
            }
            Kind::All(nodes) | Kind::Any(nodes) => nodes,
            Kind::Equal(nodes) | Kind::Compare(_, nodes) => &nodes[..],
        };
        let height = 1 + below.iter().map(|node| node.height).max().unwrap_or(0);
        if height > MAX_HEIGHT { Err(too_deep()) } else { Ok(Self { kind, height }) }
    }

    pub(super) fn constant(value: Value<'static>) -> Self {
        Self { kind: Kind::Constant(value), height: 1 }
    }

    pub(super) fn property(name: &str) -> Self {
        Self { kind: Kind::Property(name.to_owned()), height: 1 }
    }

    pub(super) fn negate(self) -> Result<Self, String> {
        Self::new(Kind::Negate(Box::new(self)))
    }

    pub(super) fn not(self) -> Result<Self, String> {
        Self::new(Kind::Not(Box::new(self.truth()?)))
    }

    /// Joined by AND: one node, however many they are.
    pub(super) fn all(nodes: Vec<Self>) -> Result<Self, String> {
        Self::new(Kind::All(nodes))
    }

    /// Joined by OR.
    pub(super) fn any(nodes: Vec<Self>) -> Result<Self, String> {
        Self::new(Kind::Any(nodes))
    }

    pub(super) fn equal(self, other: Self) -> Result<Self, String> {
        for side in [&self, &other] {
            if matches!(side.kind, Kind::Constant(Value::Null)) {
                return Err("NULL cannot be compared.".to_owned());
            }
        }
        match (&self.kind, &other.kind) {
            (Kind::Constant(Value::Bool(_)), Kind::Constant(value)) if !matches!(value, Value::Bool(_)) => {
                Err("A truth value cannot be compared with a literal of another kind.".to_owned())
            }
            _ => Self::new(Kind::Equal(Box::new([self, other]))),
        }
    }

    pub(super) fn null_test(self) -> Result<Self, String> {
        Self::new(Kind::Equal(Box::new([self, Self::constant(Value::Null)])))
    }

    pub(super) fn compare(self, size: Size, other: Self) -> Result<Self, String> {
        for side in [&self, &other] {
            let has_size = match &side.kind {
                Kind::Constant(value) => value.is_number(),
                _ => !side.is_truth(),
            };
            if !has_size {
                return Err("Only numbers and properties can be compared by size.".to_owned());
            }
        }
        Self::new(Kind::Compare(size, Box::new([self, other])))
    }

    pub(super) fn between(self, low: Self, high: Self) -> Result<Self, String> {
        if let (Kind::Constant(low), Kind::Constant(high)) = (&low.kind, &high.kind) {
            if matches!(low, Value::Null) || matches!(high, Value::Null) {
                return Err("The values of BETWEEN cannot be NULL.".to_owned());
            }
            if !matches!(compare(high, low), Ok(Ordering::Equal | Ordering::Greater)) {
                return Err("The first value of BETWEEN must not be greater than the second.".to_owned());
            }
        }
        Self::all(vec![self.clone().compare(Size::AtLeast, low)?, self.compare(Size::AtMost, high)?])
    }

    /// The values may be in any order here.
    pub(super) fn not_between(self, low: Self, high: Self) -> Result<Self, String> {
        Self::any(vec![self.clone().compare(Size::Less, low)?, self.compare(Size::Greater, high)?])
    }

    pub(super) fn within(self, list: Vec<String>, not: bool) -> Result<Self, String> {
        match self.kind {
            Kind::Property(property) => Self::new(Kind::In { property, list, not }),
            _ => Err("IN needs a property before it.".to_owned()),
        }
    }

    pub(super) fn find(self, place: Place, text: String, not: bool) -> Result<Self, String> {
        Self::new(Kind::Find { place, within: Box::new(self), text, not })
    }

    /// Whether it is true, false or unknown by its form. A property is not.
    fn is_truth(&self) -> bool {
        match &self.kind {
            Kind::Constant(value) => matches!(value, Value::Bool(_) | Value::Null),
            Kind::Property(_) | Kind::Negate(_) => false,
            _ => true,
        }
    }

    /// It stands where a truth value is wanted.
    pub(super) fn truth(self) -> Result<Self, String> {
        match self.kind {
            Kind::Property(_) => Self::new(Kind::Truth(Box::new(self))),
            _ if self.is_truth() => Ok(self),
            _ => Err("The expression does not result in a truth value.".to_owned()),
        }
    }
}

pub(super) fn too_deep() -> String {
    "The expression is too deep.".to_owned()
}
