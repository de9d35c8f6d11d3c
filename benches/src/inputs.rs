//! The fixed bytes that operations are measured on.

use std::net::{Ipv4Addr, SocketAddr};

use bytes::{Bytes, BytesMut};
use ferrocket_protocol::{
    Command, Frame,
    limits::MAX_FRAME_BYTES,
    message::{StoredParts, SysFlag, write_stored},
    request::{SendForm, SendHeader, SendMessage},
};

/// The topic.
pub const TOPIC: &str = "BenchTopic";
/// Messages of a pull answer.
pub const BATCH: usize = 32;
/// 88 bytes of properties in wire form.
pub const PROPERTIES: &str = "KEYS\u{1}order-47110\u{2}TAGS\u{1}paid\u{2}UNIQ_KEY\u{1}7F00000142A918B4AAC20B6C8F5D0001\u{2}WAIT\u{1}true\u{2}trace\u{1}on\u{2}";
/// What every request carries besides its own fields, in the reference measurement.
pub const EXTRA: [(&str, &str); 1] = [("bname", "broker-a")];
/// The answer of a broker to a send: header JSON, 5 ext fields.
const SEND_ANSWER: &str = "{\"code\":0,\"extFields\":{\"queueId\":\"2\",\"TRACE_ON\":\"true\",\"MSG_REGION\":\"DefaultRegion\",\
    \"msgId\":\"7F00000100002A9F0000000000012345\",\"queueOffset\":\"1234567\"},\"flag\":1,\"language\":\"JAVA\",\
    \"opaque\":4711,\"serializeTypeCurrentRPC\":\"JSON\",\"version\":495}";

/// A send with the fields a to n. The body is empty: what is measured is the header.
pub fn send() -> SendMessage<'static> {
    SendMessage {
        form: SendForm::Message,
        header: SendHeader {
            group: "bench-group",
            topic: TOPIC,
            default_topic: "TBW102",
            default_topic_queues: 4,
            queue_id: 2,
            sys_flag: 0,
            born_ms: 1_760_000_000_123,
            flag: 0,
            properties: PROPERTIES,
            reconsume_times: 0,
            unit_mode: false,
            max_reconsume_times: Some(16),
            batch: false,
            broker: "broker-a",
        },
        body: Bytes::new(),
    }
}

/// The frame of the answer to a send.
pub fn send_answer() -> Bytes {
    let mut frame = BytesMut::new();
    frame.extend_from_slice(&(SEND_ANSWER.len() as u32 + 4).to_be_bytes());
    frame.extend_from_slice(&(SEND_ANSWER.len() as u32).to_be_bytes());
    frame.extend_from_slice(SEND_ANSWER.as_bytes());
    frame.freeze()
}

/// The same, read as far as its header.
///
/// # Panics
///
/// When the protocol crate cannot read its own example.
pub fn send_answer_command() -> Command {
    let mut bytes = BytesMut::from(&send_answer()[..]);
    let frame = Frame::decode(&mut bytes, MAX_FRAME_BYTES).expect("good lengths").expect("a whole frame");
    Command::read(frame).expect("a good header")
}

/// A route of four brokers with four queues each, as name servers write it: brokers in no order, ids of brokers without quotes.
pub fn route() -> String {
    let brokers = ["broker-2", "broker-0", "broker-3", "broker-1"];
    let addresses = |name: &str| {
        format!(
            "{{\"brokerAddrs\":{{0:\"10.0.0.1:10911\",1:\"10.0.0.2:10911\"}},\"brokerName\":\"{name}\",\
             \"cluster\":\"DefaultCluster\",\"enableActingMaster\":false}}"
        )
    };
    let queues = |name: &str| {
        format!("{{\"brokerName\":\"{name}\",\"perm\":6,\"readQueueNums\":4,\"topicSysFlag\":0,\"writeQueueNums\":4}}")
    };
    format!(
        "{{\"brokerDatas\":[{}],\"filterServerTable\":{{}},\"queueDatas\":[{}]}}",
        brokers.map(addresses).join(","),
        brokers.map(queues).join(",")
    )
}

/// Stored messages with bodies of so many bytes, one behind the other, from this offset on.
pub fn stored(first_offset: i64, count: usize, body: usize) -> Bytes {
    let host = SocketAddr::from((Ipv4Addr::LOCALHOST, 10_911));
    let body = vec![b'x'; body];
    let mut out = BytesMut::new();
    for offset in (first_offset..).take(count) {
        let parts = StoredParts {
            queue_id: 0,
            flag: 0,
            queue_offset: offset,
            commit_log_offset: offset * 1_300,
            sys_flag: SysFlag::default(),
            born_ms: 1_760_000_000_123,
            born_host: host,
            stored_ms: 1_760_000_000_124,
            store_host: host,
            reconsume_times: 0,
            prepared_offset: 0,
            body: &body,
            topic: TOPIC,
            properties: PROPERTIES,
        };
        write_stored(&parts, &mut out);
    }
    out.freeze()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn properties_are_as_long_as_in_the_reference_measurement() {
        assert_eq!(PROPERTIES.len(), 88);
    }

    #[test]
    fn the_route_can_be_read() {
        let route = ferrocket_protocol::body::TopicRoute::read_body(route().as_bytes()).expect("a route");
        let topic = ferrocket_model::Topic::from(TOPIC);
        assert_eq!((route.publish_queues(&topic).len(), route.subscribe_queues(&topic).len()), (16, 16));
        assert!(route.brokers.iter().all(|broker| broker.slaves.len() == 1));
    }

    #[test]
    fn the_answer_can_be_read() {
        use ferrocket_protocol::{Response, request::SendAnswer};
        let answer = SendAnswer::read(send_answer_command()).expect("a send answer");
        assert_eq!((answer.queue_id, answer.queue_offset), (2, 1_234_567));
    }
}
