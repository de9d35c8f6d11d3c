/// Java's `String.hashCode`: over UTF-16 units, `h = 31 * h + unit`, wrapping.
///
/// Brokers filter tags by it, and the queue of a sharding key is chosen by it, so that Java and Rust members of one
/// fleet agree.
#[doc(alias = "hashCode")]
pub fn java_string_hash(text: &str) -> i32 {
    text.encode_utf16().fold(0i32, |hash, unit| hash.wrapping_mul(31).wrapping_add(i32::from(unit)))
}
