//! Faults to order, and servers that stop, come back or go silent.

mod client;

use std::{sync::Arc, time::Duration};

use bytes::{BufMut, BytesMut};
use client::{Client, bodies, in_memory, long_pull, send_request, soon};
use ferrocket_model::{MessageQueue, OffsetId};
use ferrocket_protocol::{
    HeaderFormat, RequestHead, ResponseCode,
    body::LockData,
    encode_request,
    request::{
        CommitOffset, EndTransaction, GetRoute, LockBatch, RecallMessage, SendBack, SendForm, SendMessage,
        TransactionEnding, UnlockBatch,
    },
};
use ferrocket_testkit::{Action, Call, Fault, TestCluster};
use parking_lot::Mutex;
use tokio::net::TcpStream;

#[tokio::test]
async fn a_scripted_answer_hits_as_often_as_it_was_ordered() {
    let cluster = in_memory().await;
    let mut client = Client::to_broker(&cluster).await;
    let busy = cluster.fault(Fault::on(Call::Send).skip(1).times(1).answer(ResponseCode::SYSTEM_BUSY, "busy"));
    assert!(client.send("Orders", 0, "a", "1").await.is_ok());
    assert_eq!(client.send("Orders", 0, "a", "2").await, Err(ResponseCode::SYSTEM_BUSY));
    assert!(client.send("Orders", 0, "a", "3").await.is_ok());
    assert_eq!((busy.hits(), cluster.messages("Orders").len(), cluster.requests(Call::Send)), (1, 2, 3));
    let gone = cluster.fault(Fault::on(Call::Send).answer(ResponseCode::SYSTEM_BUSY, "busy"));
    assert!(client.send("Orders", 0, "a", "4").await.is_err());
    gone.clone().remove();
    assert!(client.send("Orders", 0, "a", "5").await.is_ok());
    assert_eq!(gone.hits(), 1);
}

#[tokio::test]
async fn a_fault_waits_for_its_own_broker() {
    let cluster = TestCluster::builder().in_memory().brokers(2).topic("Orders", 1).start().await.unwrap();
    let fault = Fault::on(Call::Send).on_broker("broker-1").answer(ResponseCode::SYSTEM_BUSY, "busy");
    cluster.fault(fault);
    let mut zero = Client::to_broker(&cluster).await;
    let mut one = Client::to(&cluster, &cluster.broker("broker-1").address()).await;
    assert!(zero.send("Orders", 0, "a", "1").await.is_ok());
    assert!(one.send("Orders", 0, "a", "1").await.is_err());
}

#[tokio::test]
async fn a_disconnect_comes_without_the_work_or_after_it() {
    let cluster = in_memory().await;
    cluster.fault(Fault::on(Call::Send).times(1).disconnect());
    cluster.fault(Fault::on(Call::Send).times(1).apply_then_disconnect());
    for stored in [0, 1] {
        let mut client = Client::to_broker(&cluster).await;
        assert!(client.answer(&send_request("Orders", 0, "", "1")).await.is_none());
        assert_eq!(cluster.messages("Orders").len(), stored);
    }
}

#[tokio::test]
async fn answers_before_a_disconnect_are_still_written() {
    let cluster = in_memory().await;
    cluster.fault(Fault::on(Call::Send).skip(1).disconnect());
    let mut client = Client::to_broker(&cluster).await;
    let mut both = BytesMut::new();
    for opaque in [1, 2] {
        let head = RequestHead::new(opaque, HeaderFormat::Binary);
        let _ = encode_request(&send_request("Orders", 0, "", "1"), &head, &[], &mut both).unwrap();
    }
    client.write_raw(&both).await;
    assert_eq!(client.read().await.unwrap().opaque, 1);
    assert!(client.read().await.is_none());
}

#[tokio::test(start_paused = true)]
async fn a_delayed_answer_comes_late_though_the_work_is_done() {
    let cluster = in_memory().await;
    cluster.fault(Fault::on(Call::Send).delay(Duration::from_secs(7)));
    let mut client = Client::to_broker(&cluster).await;
    let before = tokio::time::Instant::now();
    client.write(&send_request("Orders", 0, "", "1")).await;
    soon(cluster.until_requests(Call::Send, 1)).await;
    assert_eq!(cluster.messages("Orders").len(), 1);
    assert!(client.read().await.unwrap().is_response());
    assert_eq!(before.elapsed().as_secs(), 7);
}

#[tokio::test(start_paused = true)]
async fn a_dropped_request_is_never_answered() {
    let cluster = in_memory().await;
    cluster.fault(Fault::on(Call::Send).times(1).drop_request());
    let mut client = Client::to_broker(&cluster).await;
    let request = send_request("Orders", 0, "", "1");
    assert!(tokio::time::timeout(Duration::from_secs(10), client.answer(&request)).await.is_err());
    assert!(client.send("Orders", 0, "a", "2").await.is_ok());
    assert_eq!(cluster.messages("Orders").len(), 1);
}

#[tokio::test(start_paused = true)]
async fn an_answer_is_cut_in_the_middle_or_replaced_by_garbage() {
    let cluster = in_memory().await;
    cluster.fault(Fault::on(Call::Send).times(1).cut_answer_after(11));
    let mut client = Client::to_broker(&cluster).await;
    assert!(client.answer(&send_request("Orders", 0, "", "1")).await.is_none());
    assert_eq!((client.left_over().len(), cluster.messages("Orders").len()), (11, 1));
    cluster.fault(Fault::on(Call::Send).times(1).garbage(&b"\0\0"[..]));
    let mut client = Client::to_broker(&cluster).await;
    client.write(&send_request("Orders", 0, "", "1")).await;
    assert!(tokio::time::timeout(Duration::from_secs(10), client.read()).await.is_err());
    assert_eq!(client.left_over(), b"\0\0");
}

#[tokio::test]
async fn a_hook_sees_every_request_and_decides() {
    let cluster = in_memory().await;
    cluster.intercept(|request| match (request.broker(), request.call()) {
        (None, Some(Call::Route)) => Action::Answer(ResponseCode::SYSTEM_BUSY, "busy".to_owned()),
        _ => Action::Pass,
    });
    let mut names = Client::to(&cluster, &cluster.name_servers()).await;
    assert_eq!(names.call(&GetRoute::new("Orders")).await, Err(ResponseCode::SYSTEM_BUSY));
    let mut client = Client::to_broker(&cluster).await;
    assert!(client.send("Orders", 0, "a", "1").await.is_ok());
}

#[tokio::test]
async fn a_hook_hears_which_connector_a_request_came_from() {
    let cluster = in_memory().await;
    let origins = Arc::new(Mutex::new(Vec::new()));
    let log = origins.clone();
    cluster.intercept(move |request| {
        log.lock().push(request.origin().map(str::to_owned));
        Action::Pass
    });
    let address = cluster.broker("broker-0").address();
    let mut named = Client::over(cluster.connector().named("one").connect(&address).await.unwrap());
    named.send("Orders", 0, "a", "1").await.unwrap();
    Client::to_broker(&cluster).await.send("Orders", 0, "a", "2").await.unwrap();
    assert_eq!(*origins.lock(), [Some("one".to_owned()), None]);
}

/// R7. Seen to fail where the log, the offsets, or what waits for its time is kept.
#[tokio::test(start_paused = true)]
async fn an_erased_broker_has_its_topics_and_nothing_else() {
    let builder = TestCluster::builder().in_memory().topic("Orders", 2).retry_delay(Duration::from_secs(10));
    let cluster = builder.start().await.unwrap();
    let mut client = Client::to_broker(&cluster).await;
    client.join("c1", "shop", "Orders", "*").await;
    client.send("Orders", 0, "a", "old").await.unwrap();
    client.call(&SendBack::new(0, "shop", 0, false)).await.unwrap();
    client.call(&CommitOffset::new(1u64, "shop", 0u32, "Orders")).await.unwrap();
    cluster.broker("broker-0").erase();
    assert!(!cluster.broker("broker-0").is_running());
    cluster.broker("broker-0").restart().await.unwrap();
    let mut client = Client::to_broker(&cluster).await;
    client.join("c1", "shop", "Orders", "*").await;
    tokio::time::sleep(Duration::from_secs(20)).await;
    assert!(cluster.messages("Orders").is_empty() && cluster.messages("%RETRY%shop").is_empty());
    assert_eq!(cluster.committed_offset("shop", &MessageQueue::new("Orders", "broker-0", 0)), None);
    let moved = client.pull("shop", "Orders", 1).await.unwrap();
    assert_eq!((moved.code, moved.next_offset), (ResponseCode::PULL_OFFSET_MOVED, 0));
    let first = client.send("Orders", 0, "a", "new").await.unwrap();
    assert_eq!((first.queue_offset, client.send("Orders", 1, "a", "new").await.unwrap().queue_offset), (0, 0));
}

#[tokio::test]
async fn a_stopped_broker_is_gone_and_comes_back_elsewhere_with_its_messages() {
    for in_memory in [true, false] {
        let builder = TestCluster::builder().topic("Orders", 1);
        let builder = if in_memory { builder.in_memory() } else { builder };
        let cluster = builder.start().await.unwrap();
        let mut names = Client::to(&cluster, &cluster.name_servers()).await;
        let mut client = Client::to_broker(&cluster).await;
        client.send("Orders", 0, "a", "kept").await.unwrap();
        client.join("c1", "shop", "Orders", "*").await;
        client.write(&long_pull("shop", "Orders", 1, Duration::from_secs(60))).await;
        let before = cluster.broker("broker-0").address();
        cluster.broker("broker-0").stop();
        assert_eq!(names.call(&GetRoute::new("Orders")).await, Err(ResponseCode::TOPIC_NOT_EXIST));
        while client.read().await.is_some() {}
        assert!(cluster.members("shop").is_empty());
        let refused = cluster.connector().connect(&before).await.unwrap_err();
        assert_eq!(refused.kind(), std::io::ErrorKind::ConnectionRefused);
        if !in_memory {
            assert!(TcpStream::connect(&before).await.is_err());
        }
        cluster.broker("broker-0").restart().await.unwrap();
        let after = cluster.broker("broker-0").address();
        assert_ne!(before, after);
        let route = names.call(&GetRoute::new("Orders")).await.unwrap();
        assert_eq!(route.brokers[0].master, Some(after));
        let mut client = Client::to_broker(&cluster).await;
        client.join("c1", "shop", "Orders", "*").await;
        assert_eq!(bodies(&client.pull("shop", "Orders", 0).await.unwrap()), ["kept"]);
        let address = cluster.broker("broker-0").address();
        cluster.broker("broker-0").restart_on_same_port().await.unwrap();
        assert_eq!(cluster.broker("broker-0").address(), address);
        let mut client = Client::to_broker(&cluster).await;
        assert!(client.send("Orders", 0, "a", "2").await.is_ok());
    }
}

#[tokio::test]
async fn the_name_server_comes_back_at_its_address() {
    for in_memory in [true, false] {
        let builder = TestCluster::builder().topic("Orders", 1);
        let builder = if in_memory { builder.in_memory() } else { builder };
        let cluster = builder.start().await.unwrap();
        let mut names = Client::to(&cluster, &cluster.name_servers()).await;
        cluster.name_server_stop();
        assert!(names.read().await.is_none());
        assert!(cluster.connector().connect(&cluster.name_servers()).await.is_err());
        cluster.name_server_restart().await.unwrap();
        let mut names = Client::to(&cluster, &cluster.name_servers()).await;
        assert!(names.call(&GetRoute::new("Orders")).await.is_ok());
    }
}

#[tokio::test(start_paused = true)]
async fn a_paused_broker_accepts_and_stays_silent_until_it_goes_on() {
    let cluster = in_memory().await;
    let mut client = Client::to_broker(&cluster).await;
    cluster.broker("broker-0").pause();
    let mut late = Client::to_broker(&cluster).await;
    late.write(&send_request("Orders", 0, "", "1")).await;
    client.write(&send_request("Orders", 0, "", "2")).await;
    assert!(tokio::time::timeout(Duration::from_secs(10), client.read()).await.is_err());
    assert!(cluster.messages("Orders").is_empty());
    cluster.broker("broker-0").resume();
    assert!(client.read().await.unwrap().is_response());
    assert!(late.read().await.unwrap().is_response());
    assert_eq!(cluster.messages("Orders").len(), 2);
}

#[tokio::test]
async fn what_is_no_frame_closes_the_connection_and_harms_nobody() {
    let cluster = in_memory().await;
    for bad in
        [&b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"[..], &[0, 0, 0, 1, 0, 0, 0, 0], &[0, 0, 0, 8, 9, 0, 0, 4, 1, 2, 3, 4]]
    {
        let mut client = Client::to_broker(&cluster).await;
        client.write_raw(bad).await;
        assert!(client.read().await.is_none());
    }
    let mut client = Client::to_broker(&cluster).await;
    let mut empty = BytesMut::new();
    empty.put_u32(6);
    empty.put_u32(2);
    empty.put_slice(b"{}");
    client.write_raw(&empty).await;
    assert_eq!(client.read().await.unwrap().response_code(), ResponseCode::REQUEST_CODE_NOT_SUPPORTED);
    for code in [10, 11, 14, 15, 17, 29, 30, 31, 33, 34, 35, 36, 38, 310, 320, 361] {
        let header = format!("{{\"code\":{code},\"flag\":0,\"opaque\":{code},\"extFields\":{{\"queueId\":\"x\"}}}}");
        let mut frame = BytesMut::new();
        frame.put_u32(header.len() as u32 + 4);
        frame.put_u32(header.len() as u32);
        frame.put_slice(header.as_bytes());
        client.write_raw(&frame).await;
        assert_eq!(client.read().await.unwrap().response_code(), ResponseCode::SYSTEM_ERROR, "{code}");
    }
}

#[tokio::test]
async fn nothing_runs_on_after_the_cluster_is_dropped() {
    for in_memory in [true, false] {
        let builder = TestCluster::builder().brokers(2).topic("Orders", 1);
        let builder = if in_memory { builder.in_memory() } else { builder };
        let cluster = builder.start().await.unwrap();
        let mut client = Client::to_broker(&cluster).await;
        client.join("c1", "shop", "Orders", "*").await;
        client.write(&long_pull("shop", "Orders", 0, Duration::from_secs(60))).await;
        client.call(&send_request("Orders", 0, "DELAY\u{1}18\u{2}", "later")).await.unwrap();
        cluster.broker("broker-1").pause();
        assert!(tokio::runtime::Handle::current().metrics().num_alive_tasks() > 0);
        drop(cluster);
        soon(async {
            while tokio::runtime::Handle::current().metrics().num_alive_tasks() > 0 {
                tokio::task::yield_now().await;
            }
        })
        .await;
        while client.read().await.is_some() {}
    }
}

/// Each new kind of request has its own name for faults, on the broker that gets it.
#[tokio::test]
async fn ends_replies_recalls_and_locks_can_be_told_apart_and_hit() {
    let cluster = in_memory().await;
    let seen = Arc::new(Mutex::new(Vec::new()));
    let log = seen.clone();
    cluster.intercept(move |request| {
        log.lock().push(request.call());
        Action::Pass
    });
    let half = "TRAN_MSG\u{1}true\u{2}PGROUP\u{1}payers\u{2}UNIQ_KEY\u{1}K\u{2}";
    let mut client = Client::to_broker(&cluster).await;
    let sent = client.call(&send_request("Orders", 0, half, "1")).await.unwrap();
    let place = OffsetId::parse(&sent.message_id).unwrap().commit_log_offset;
    let end = EndTransaction::new(place, TransactionEnding::Commit.code(), false, "K", "payers", 0);
    cluster.fault(Fault::on(Call::EndTransaction).times(1).apply_then_disconnect());
    assert!(client.answer(&end).await.is_none());
    assert_eq!(cluster.messages("Orders").len(), 1, "committed, though the producer cannot know");
    let mut client = Client::to_broker(&cluster).await;
    let busy = |call| cluster.fault(Fault::on(call).answer(ResponseCode::SYSTEM_BUSY, "busy"));
    let faults = [Call::Reply, Call::Recall, Call::Lock, Call::Unlock].map(busy);
    let SendMessage { header, body, .. } = send_request("TestCluster_REPLY_TOPIC", 0, "", "x");
    let reply = SendMessage { form: SendForm::Reply, header, body };
    let nobody = LockData::default();
    let busy = Some(ResponseCode::SYSTEM_BUSY);
    assert_eq!(client.call(&reply).await.err(), busy);
    assert_eq!(client.call(&RecallMessage::new("h", "Orders")).await.err(), busy);
    assert_eq!(client.call(&LockBatch::new(&nobody)).await.err(), busy);
    assert_eq!(client.call(&UnlockBatch::new(&nobody)).await.err(), busy);
    assert_eq!(faults.map(|fault| fault.hits()), [1; 4]);
    assert_eq!(seen.lock()[..], [Some(Call::Send)], "hooks see what no fault acts on");
}

#[tokio::test(start_paused = true)]
async fn work_that_is_done_later_is_overtaken_and_done_though_nobody_waits() {
    let cluster = in_memory().await;
    cluster.fault(Fault::on(Call::Send).times(2).apply_later(Duration::from_secs(7)));
    let mut client = Client::to_broker(&cluster).await;
    client.write(&send_request("Orders", 0, "", "1")).await;
    let mut other = Client::to_broker(&cluster).await;
    other.write(&send_request("Orders", 0, "", "2")).await;
    soon(cluster.until_requests(Call::Send, 2)).await;
    drop(other);
    let before = tokio::time::Instant::now();
    assert!(Client::to_broker(&cluster).await.send("Orders", 0, "a", "3").await.is_ok());
    assert_eq!((cluster.messages("Orders").len(), before.elapsed().as_secs()), (1, 0));
    assert!(client.read().await.unwrap().is_response());
    assert_eq!(before.elapsed().as_secs(), 7);
    soon(cluster.until(|cluster| cluster.messages("Orders").len() == 3)).await;
}
