use ferrocket_model::{BrokerName, Group, Topic};

use crate::{Command, DecodeError, Response, field};

super::request! {
    /// Takes a timer message back before it is delivered. Brokers refuse it unless `recallMessageEnable` is set.
    #[doc(alias = "RECALL_MESSAGE")]
    pub struct RecallMessage(RECALL_MESSAGE) -> Recalled {
        /// The broker's name, for proxies.
        opt broker: String = "bname",
        /// The producer group.
        opt group: Group = "producerGroup",
        /// What the send's answer gave.
        req handle: String = "recallHandle",
        /// The topic.
        req topic: Topic = "topic",
    }
}

field::header_fields! {
    /// The answer to a [`RecallMessage`].
    pub struct Recalled {
        /// The unique id of the message that was taken back.
        req message_id: String = "msgId",
    }
}

impl Response for Recalled {
    fn read(command: Command) -> Result<Self, DecodeError> {
        Self::read_fields(&command)
    }
}

/// What a recall handle says: URL-safe base64 of `v1 TOPIC BROKER TIMESTAMP ID` (PRO-RCL-01).
#[derive(Clone, Debug, PartialEq, Eq)]
#[doc(alias = "RecallMessageHandle")]
pub struct RecallTarget {
    /// The topic.
    pub topic: Topic,
    /// The broker that keeps the message.
    pub broker: BrokerName,
    /// When it is to be delivered, Unix milliseconds as text.
    pub timestamp: String,
    /// The message's unique id.
    pub message_id: String,
}

impl RecallTarget {
    /// Reads a handle. `None` when it is none.
    pub fn read(handle: &str) -> Option<Self> {
        let bytes = decode_base64url(handle.trim_end_matches('='))?;
        let text = String::from_utf8(bytes).ok()?;
        let mut parts = text.split(' ');
        if parts.next() != Some("v1") {
            return None;
        }
        let (topic, broker, timestamp, id) = (parts.next()?, parts.next()?, parts.next()?, parts.next()?);
        (!topic.is_empty() && !broker.is_empty()).then(|| Self {
            topic: topic.into(),
            broker: broker.into(),
            timestamp: timestamp.to_owned(),
            message_id: id.to_owned(),
        })
    }

    /// Writes a handle, as a broker does.
    pub fn write(&self) -> String {
        let Self { topic, broker, timestamp, message_id } = self;
        encode_base64url(format!("v1 {topic} {broker} {timestamp} {message_id}").as_bytes())
    }
}

const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

/// 64 letters are six bits each. A dozen lines, instead of a dependency of every user.
fn encode_base64url(bytes: &[u8]) -> String {
    let letter = |bits: u32| char::from(ALPHABET.get(bits as usize & 63).copied().unwrap_or_default());
    let mut out = String::with_capacity(bytes.len().div_ceil(3) * 4);
    for chunk in bytes.chunks(3) {
        let byte = |at: usize| u32::from(chunk.get(at).copied().unwrap_or_default());
        let bits = byte(0) << 16 | byte(1) << 8 | byte(2);
        for place in 0..4 {
            // Java pads handles.
            out.push(if place <= chunk.len() { letter(bits >> (18 - 6 * place)) } else { '=' });
        }
    }
    out
}

fn decode_base64url(text: &str) -> Option<Vec<u8>> {
    let mut out = Vec::with_capacity(text.len() / 4 * 3 + 2);
    let (mut bits, mut count) = (0u32, 0);
    for letter in text.bytes() {
        let value = ALPHABET.iter().position(|known| *known == letter)? as u32;
        bits = bits << 6 | value;
        count += 6;
        if count >= 8 {
            count -= 8;
            out.push((bits >> count) as u8);
            bits &= (1 << count) - 1;
        }
    }
    Some(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_recall_handle_survives_both_directions_and_garbage_is_none() {
        for id in ["A", "AB", "ABC", "7F0000015E8E14DAD5DC9B4E2C210000"] {
            let target = RecallTarget {
                topic: "Reminders".into(),
                broker: "broker-a".into(),
                timestamp: "1700000000000".to_owned(),
                message_id: id.to_owned(),
            };
            assert_eq!(RecallTarget::read(&target.write()), Some(target));
        }
        for bad in ["", "djE", "!!!", "djIgVG9waWMgYnJva2VyLWEgMSBh", "=", "\u{e9}"] {
            assert_eq!(RecallTarget::read(bad), None, "{bad}");
        }
    }
}
