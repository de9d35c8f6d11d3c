use std::borrow::Cow;

use crate::{Group, Topic, system};

/// A namespace of the first kind (CFG-50): a prefix `NAMESPACE%` on topics and groups, put on for the servers and taken off for
/// users. Prefixes of retry and dead-letter topics stay in front; names that belong to the servers are left alone.
#[derive(Clone, Debug, PartialEq, Eq)]
#[doc(alias = "NamespaceUtil")]
pub struct Namespace(String);

impl Namespace {
    /// A namespace; an empty one changes no name. Must not contain `%`: whoever takes it from a user checks that.
    pub fn new(name: impl Into<String>) -> Self {
        Self(name.into())
    }

    /// Its name.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// A topic's or group's name with the namespace.
    pub fn wrap<'a>(&self, name: &'a str) -> Cow<'a, str> {
        let (derived, bare) = split(name);
        let belongs_to_servers = system::is_system_topic(name) || system::is_system_group(name);
        if self.0.is_empty() || name.is_empty() || belongs_to_servers || self.strip(bare).is_some() {
            return Cow::Borrowed(name);
        }
        Cow::Owned(format!("{derived}{}%{bare}", self.0))
    }

    /// The name as users know it. Other namespaces are shown as they are.
    pub fn unwrap<'a>(&self, name: &'a str) -> Cow<'a, str> {
        let (derived, bare) = split(name);
        match self.strip(bare) {
            _ if self.0.is_empty() => Cow::Borrowed(name),
            Some(rest) if derived.is_empty() => Cow::Borrowed(rest),
            Some(rest) => Cow::Owned(format!("{derived}{rest}")),
            None => Cow::Borrowed(name),
        }
    }

    /// A topic with the namespace.
    pub fn wrap_topic(&self, topic: &Topic) -> Topic {
        Topic::from(&*self.wrap(topic.as_str()))
    }

    /// A group with the namespace.
    pub fn wrap_group(&self, group: &Group) -> Group {
        Group::from(&*self.wrap(group.as_str()))
    }

    fn strip<'a>(&self, bare: &'a str) -> Option<&'a str> {
        bare.strip_prefix(self.0.as_str())?.strip_prefix('%')
    }
}

/// The prefix of a retry or dead-letter topic, and the rest.
fn split(name: &str) -> (&'static str, &str) {
    for prefix in [system::RETRY_PREFIX, system::DEAD_LETTER_PREFIX] {
        if let Some(rest) = name.strip_prefix(prefix) {
            return (prefix, rest);
        }
    }
    ("", name)
}
