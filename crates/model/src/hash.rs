use std::cmp::Ordering;

/// Java's `String.hashCode`: over UTF-16 units, `h = 31 * h + unit`, wrapping.
///
/// Brokers filter tags by it, and the queue of a sharding key is chosen by it, so that Java and Rust members of one
/// fleet agree.
#[doc(alias = "hashCode")]
pub fn java_string_hash(text: &str) -> i32 {
    text.encode_utf16().fold(0i32, |hash, unit| hash.wrapping_mul(31).wrapping_add(i32::from(unit)))
}

/// Java's `String.compareTo`: by UTF-16 units, which is not the order of Rust's texts.
///
/// Members of a group sort the list of members before each takes its share of the queues, so all must sort alike.
#[doc(alias = "compareTo")]
pub fn java_string_order(one: &str, two: &str) -> Ordering {
    one.encode_utf16().cmp(two.encode_utf16())
}
