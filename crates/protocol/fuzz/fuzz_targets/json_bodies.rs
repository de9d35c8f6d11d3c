//! JSON bodies: no panic, standard JSON is taken and stays as it is, and what was read comes back when it is written again.
#![no_main]

use std::borrow::Cow;

use bytes::Bytes;
use ferrocket_protocol::{
    Command, Frame, HeaderFormat, ReadRequest, Response,
    body::{DirectResult, HeartbeatData, LockedQueues, RunningInfo, TopicRoute},
    limits, normalize_json,
    request::{CheckClient, ConsumerList, ConsumerStatus, LockBatch, ResetOffsets, ResetOffsetsHeader},
};
use libfuzzer_sys::fuzz_target;
use serde_json::Value;

fn depth(value: &Value) -> usize {
    match value {
        Value::Array(items) => 1 + items.iter().map(depth).max().unwrap_or(0),
        Value::Object(fields) => 1 + fields.values().map(depth).max().unwrap_or(0),
        _ => 0,
    }
}

fuzz_target!(|data: &[u8]| {
    let standard = normalize_json(data);
    if let Ok(value) = serde_json::from_slice::<Value>(data)
        && depth(&value) + 1 < limits::MAX_JSON_DEPTH
        && !data.is_empty()
    {
        assert!(matches!(standard, Ok(Cow::Borrowed(text)) if text == data), "{standard:?}");
    }
    if let Ok(standard) = &standard {
        // What is standard already stays as it is.
        if let Ok(value) = serde_json::from_slice::<Value>(standard)
            && depth(&value) + 1 < limits::MAX_JSON_DEPTH
        {
            assert_eq!(&*normalize_json(standard).unwrap(), &**standard);
        }
    }
    if let Ok(route) = TopicRoute::read_body(data) {
        let again = TopicRoute::read_body(&route.to_body()).unwrap();
        assert_eq!((&again.brokers, &again.queue_data), (&route.brokers, &route.queue_data));
        assert_eq!(again.order_conf, route.order_conf);
        for broker in &route.brokers {
            let _ = (broker.any(), broker.address(0), broker.address(1), broker.address(u64::MAX));
        }
        if route.queue_data.len() < 4 && route.order_conf.as_ref().is_none_or(|conf| conf.len() < 16) {
            let topic = "T".into();
            let _ = (route.publish_queues(&topic), route.subscribe_queues(&topic));
        }
    }
    if let Ok(data) = HeartbeatData::read(data) {
        assert_eq!(HeartbeatData::read(&data.to_body()).unwrap(), data);
    }
    if let Ok(info) = RunningInfo::read_body(data) {
        let mut again = RunningInfo::read_body(&info.to_body()).unwrap();
        // They are written in their order.
        assert_eq!(again.subscriptions.len(), info.subscriptions.len());
        again.subscriptions.clone_from(&info.subscriptions);
        assert_eq!(again, info);
    }
    if let Ok(result) = DirectResult::read_body(data) {
        assert_eq!(DirectResult::read_body(&result.to_body()), Ok(result));
    }
    let header = ResetOffsetsHeader::new("G", false, 0, "T");
    let reset = ResetOffsets { header, body: Bytes::copy_from_slice(data) };
    if let Ok(offsets) = reset.offsets() {
        assert_eq!(ResetOffsets::new(reset.header.clone(), &offsets).offsets().as_ref(), Ok(&offsets));
        assert_eq!(ResetOffsets::for_cpp(reset.header, &offsets).offsets(), Ok(offsets));
    }
    let frame = Frame {
        format: HeaderFormat::Json,
        header: Bytes::from_static(b"{\"code\":0,\"flag\":1}"),
        body: Bytes::copy_from_slice(data),
    };
    let command = Command::read(frame).unwrap();
    if let Ok(data) = LockBatch::read_request(&command).unwrap().data() {
        assert_eq!(LockBatch::new(&data).data(), Ok(data));
    }
    if let Ok(data) = CheckClient::read_request(&command).unwrap().data() {
        assert_eq!(CheckClient::new(&data).data(), Ok(data));
    }
    let _ = (LockedQueues::read(command.clone()), ConsumerStatus::read(command.clone()));
    let _ = ConsumerList::read(command);
});
