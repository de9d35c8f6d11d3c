//! The properties of a message as they go on the wire.

use ferrocket_model::{
    Message,
    properties::{self, name},
};

/// What may come to what the message has: the id and its name, and whether the broker is to wait.
pub(crate) const ADDED_BYTES: usize = 80;

/// Those of one message, with an id, unless it is empty, and more.
pub(crate) fn of(message: &Message, id: &str, more: &str) -> String {
    let mut text = String::with_capacity(message.wire_properties().len() + more.len() + id.len() + 24);
    push(message, id, &mut text);
    text.push_str(more);
    text
}

/// Appends those of a message.
pub(crate) fn push(message: &Message, id: &str, text: &mut String) {
    text.push_str(message.wire_properties());
    if !id.is_empty() {
        properties::push(text, name::UNIQ_KEY, id);
    }
    // Nothing is stored of a reply, so there is nothing to wait for; Java leaves it out, too.
    if !message.says_whether_to_wait() && !message.is_reply() {
        properties::push(text, name::WAIT, "true");
    }
}

#[cfg(test)]
mod tests {
    use ferrocket_model::IdGenerator;

    use super::*;

    /// Seen to fail with room for ids of IPv4 hosts only.
    #[test]
    fn what_is_added_at_most_has_room_for_the_id_of_an_ipv6_host() {
        let ids = IdGenerator::new("fd00::1".parse().unwrap(), 1, 2);
        let message = Message::new("Orders", "x").with_key("order-4711");
        let text = of(&message, ids.next(1_700_000_000_000).as_str(), "");
        assert_eq!(text.matches("UNIQ_KEY").count() + text.matches("WAIT").count(), 2, "{text}");
        assert!(text.len() <= message.wire_properties().len() + ADDED_BYTES, "{}", text.len());
    }
}
