//! Brokers that say different things about who is in the group, so that members want the same queues.

use std::{
    collections::BTreeSet,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
};

use bytes::BytesMut;
use ferrocket::{Client, Message, MessageQueue, Outcome, PushConsumer};
use ferrocket_protocol::{
    HeaderFormat, NoFields, encode_response,
    request::{ConsumerList, MembersChanged},
};
use ferrocket_testkit::{Action, Call, ResponseCode, TestCluster};
use tokio::time::{Instant, sleep};

use crate::{
    common::{SECOND, brokers, soon},
    members::{GROUP, Handled, Log, client, consumer, owned, until},
};

/// While this is true, three answers of four name one member only, the one or the other, or somebody else in front of both.
fn disagree(cluster: &TestCluster, members: [&Client; 2]) -> Arc<AtomicBool> {
    let (disagrees, asked) = (Arc::new(AtomicBool::new(true)), AtomicUsize::new(0));
    let [one, two] = members.map(|client| client.client_id().to_owned());
    let lists = [vec![one.clone()], vec![two.clone()], vec!["!".to_owned(), one, two]];
    let on = disagrees.clone();
    cluster.intercept(move |request| {
        if request.call() != Some(Call::ConsumerList) || !on.load(Ordering::SeqCst) {
            return Action::Pass;
        }
        // Out of step with members and topics, which ask in turn.
        let asked = asked.fetch_add(1, Ordering::SeqCst);
        let Some(list) = lists.get(asked.wrapping_mul(0x9E37_79B9) as u32 as usize >> 30) else { return Action::Pass };
        let list = ConsumerList { consumer_id_list: list.clone() };
        let (opaque, mut frame) = (request.command().opaque, BytesMut::new());
        let (code, json) = (ResponseCode::SUCCESS, HeaderFormat::Json);
        let encoded = encode_response(opaque, code, None, &NoFields, list.to_body(), json, &mut frame);
        frame.extend_from_slice(&encoded.expect("it is short").body.unwrap_or_default());
        Action::Garbage(frame.freeze())
    });
    disagrees
}

fn queues() -> impl Iterator<Item = MessageQueue> {
    (0..4).map(|number| MessageQueue::new("Orders", format!("broker-{}", number / 2), number % 2))
}

/// Two members ask twice a second, and are told different lists for a minute. Then they agree. Gives back what came of each queue.
async fn play(orderly: bool) -> Vec<Vec<Handled>> {
    let (cluster, log) = (brokers(2).start().await.expect("it starts"), Log::default());
    let (one, _wire) = client(&cluster, "one").await;
    let (two, _wire) = client(&cluster, "two").await;
    let disagrees = disagree(&cluster, [&one, &two]);
    let changes = Arc::new(AtomicUsize::new(0));
    let join = async |client: &Client, who| -> PushConsumer {
        let listener = log.listener(who, |_| async {
            sleep(SECOND / 40).await;
            Outcome::consumed()
        });
        let counted = changes.clone();
        let builder = consumer(client).commit_interval(SECOND).concurrency(1);
        let builder = builder.on_assignment(move |_| _ = counted.fetch_add(1, Ordering::SeqCst));
        match orderly {
            true => builder.orderly(listener).build().await.expect("it builds"),
            false => builder.concurrent(listener).build().await.expect("it builds"),
        }
    };
    let (first, second) = (join(&one, "one").await, join(&two, "two").await);
    let producer = one.producer("shop").build().await.expect("it builds");
    let (began, mut sent, mut shared) = (Instant::now(), 0, 0);
    while began.elapsed() < 60 * SECOND {
        for queue in queues().flat_map(|queue| [queue.clone(), queue]) {
            let message = Message::new("Orders", queue.to_string());
            soon(producer.send(message).to_queue(&queue)).await.expect("it is stored");
        }
        sent += 2;
        for member in [&one, &two] {
            cluster.tell_client(member.client_id(), &MembersChanged::new(GROUP));
        }
        sleep(SECOND / 2).await;
        shared += usize::from(owned(&first) + owned(&second) > 4);
    }
    assert_eq!(orderly, shared == 0, "both had one queue {shared} times");
    disagrees.store(false, Ordering::SeqCst);
    let took = until(&cluster, || owned(&first) == 2 && owned(&second) == 2).await;
    assert!(took <= 21 * SECOND, "they agree after {took:?}");
    for queue in queues() {
        let message = Message::new("Orders", queue.to_string());
        soon(producer.send(message).to_queue(&queue)).await.expect("it is stored");
    }
    sent += 1;
    let has_last = || log.all().iter().filter(|handled| handled.offset == sent - 1).count() >= 4;
    until(&cluster, has_last).await;
    soon(first.shutdown()).await.expect("it ends");
    soon(second.shutdown()).await.expect("it ends");
    let all = log.all();
    let seen = queues().map(|queue| {
        let seen: Vec<_> = all.iter().filter(|handled| handled.body == queue.to_string()).cloned().collect();
        let offsets: BTreeSet<_> = seen.iter().map(|handled| handled.offset).collect();
        assert_eq!(offsets, (0..sent).collect(), "{queue}");
        assert_eq!(cluster.committed_offset(GROUP, &queue), Some(sent), "{queue}");
        seen
    });
    let (seen, changes) = (seen.collect(), changes.load(Ordering::SeqCst));
    assert!(changes > 30, "{changes} changes of shares");
    seen
}

/// J#841, CON-BUG-32: side by side two members have one queue meanwhile; messages come twice, and none is lost. Seen to fail with offsets
/// that are stored as soon as messages are there.
#[tokio::test(start_paused = true)]
async fn member_lists_that_differ_lose_nothing_side_by_side() {
    play(false).await;
}

/// J#841, CON-BUG-32, R-I5: where an order is kept the broker's lock decides: each queue is handled in order, one message at a time, and
/// nothing comes twice. Seen to fail without locks.
#[tokio::test(start_paused = true)]
async fn member_lists_that_differ_keep_every_queue_in_order_with_one_listener_at_a_time() {
    for handled in play(true).await {
        for pair in handled.windows(2) {
            assert!(pair[0].ended.is_some_and(|ended| ended <= pair[1].began), "{pair:?}");
            assert_eq!(pair[0].offset + 1, pair[1].offset, "{pair:?}");
        }
    }
}
