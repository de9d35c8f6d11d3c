//! Single operations of the crates above the codec, to be counted.

use std::{hint::black_box, time::Duration};

use bytes::Bytes;
use ferrocket_consumer::{AllocateQueues, Allocation};
use ferrocket_model::{BrokerName, Group, Message, MessageQueue, Topic, properties};
use ferrocket_protocol::body::TopicRoute;
use ferrocket_route::{FaultTable, LatencyClasses, QueueChooser, queue_of_key};

use crate::inputs;

/// The next queue of sixteen on four brokers; with `troubled`, while one broker is slow and the last attempt failed on another.
pub fn choose_queue(troubled: bool, times: usize, ready: impl FnOnce()) {
    let queues = queues(4, 4);
    let chooser = QueueChooser::starting_at(0);
    let mut faults = FaultTable::new(LatencyClasses::default());
    let last = troubled.then(|| BrokerName::from("broker-1"));
    if troubled {
        faults.succeeded(&BrokerName::from("broker-0"), Duration::from_secs(5), Duration::ZERO);
    }
    ready();
    for _ in 0..times {
        black_box(chooser.choose(black_box(&queues), last.as_ref(), &faults, Duration::from_secs(1)));
    }
}

/// The queue of a sharding key of 12 characters.
pub fn queue_of_sharding_key(times: usize, ready: impl FnOnce()) {
    let queues = queues(4, 4);
    ready();
    for _ in 0..times {
        black_box(queue_of_key(black_box(&queues), black_box("order-000471")));
    }
}

/// A route as a name server writes it, from the body to the queues for sending and for receiving.
pub fn read_route(times: usize, ready: impl FnOnce()) {
    let body = inputs::route();
    let topic = Topic::from(inputs::TOPIC);
    ready();
    for _ in 0..times {
        let route = TopicRoute::read_body(black_box(body.as_bytes())).expect("a good route");
        black_box((route.publish_queues(&topic), route.subscribe_queues(&topic)));
    }
}

/// One member's share of the queues of so many brokers, of all members in turn.
pub fn allocate(
    strategy: &dyn AllocateQueues,
    (brokers, each): (u32, u32),
    members: usize,
    times: usize,
    ready: impl FnOnce(),
) {
    let (group, topic) = (Group::from("bench-group"), Topic::from(inputs::TOPIC));
    let queues = queues(brokers, each);
    let members: Vec<String> = (0..members).map(|number| format!("10.0.0.{number}@4711#{number}")).collect();
    ready();
    for me in members.iter().cycle().take(times) {
        let allocation = Allocation::new(&group, &topic, me, black_box(&queues), &members);
        black_box(strategy.allocate(&allocation));
    }
}

/// A message with a tag, a key and two properties, checked as a send does it.
pub fn build_message(times: usize, ready: impl FnOnce()) {
    let topic = Topic::from(inputs::TOPIC);
    let body = Bytes::from_static(&[b'x'; 1024]);
    ready();
    for _ in 0..times {
        let message = Message::new(topic.clone(), body.clone())
            .with_tag("paid")
            .with_key("order-47110")
            .with_property("trace", "on")
            .with_property("region", "eu-1");
        message.check().expect("a good message");
        black_box(message.wire_properties());
    }
}

/// The last property of those of a stored message.
pub fn find_property(times: usize, ready: impl FnOnce()) {
    ready();
    for _ in 0..times {
        black_box(properties::find(black_box(inputs::PROPERTIES), black_box("trace"))).expect("it is there");
    }
}

fn queues(brokers: u32, each: u32) -> Vec<MessageQueue> {
    let topic = Topic::from(inputs::TOPIC);
    let of = |broker: u32| (0..each).map(move |id| (format!("broker-{broker}"), id));
    (0..brokers).flat_map(of).map(|(broker, id)| MessageQueue::new(&topic, broker.as_str(), id)).collect()
}
