//! What a connection promises, against a server by hand, on the paused clock.

mod peer;

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use ferrocket_protocol::{ResponseCode, request::MembersChanged};
use ferrocket_remoting::{CallError, CloseCause, Connection, Options, Pool};
use futures_core::future::BoxFuture;
use tokio::{sync::mpsc, task::JoinSet, time::Instant};

use peer::{ADDRESS, Echo, Echoed, Network, Peer, network, options, pool, soon, within};

const SECOND: Duration = Duration::from_secs(1);

async fn open(options: Options) -> (Pool, Connection, Peer, Network) {
    let (pool, mut network) = pool(options);
    let connection = pool.connection(ADDRESS, within(3)).await.expect("it connects");
    let peer = network.accept().await;
    (pool, connection, peer, network)
}

/// Pipes that are full soon.
async fn open_narrow(options: Options) -> (Pool, Connection, Peer) {
    let (dialer, mut network) = network(1024);
    let pool = Pool::new(dialer, options, None).expect("options that work");
    let connection = pool.connection(ADDRESS, within(3)).await.expect("it connects");
    let peer = network.accept().await;
    (pool, connection, peer)
}

/// A call in a task of its own.
fn start(connection: &Connection, request: Echo, timeout: Duration) -> BoxFuture<'static, Result<Echoed, CallError>> {
    let connection = connection.clone();
    let task = tokio::spawn(async move { connection.call(&request, timeout).await });
    Box::pin(async move { soon(task).await.expect("no panic") })
}

#[tokio::test(start_paused = true)]
async fn many_calls_in_flight_over_one_connection_are_answered_each_with_its_own_answer_in_any_order() {
    let (pool, connection, mut peer, _network) = open(Options::default()).await;
    let mut calls = JoinSet::new();
    for n in 0..1000 {
        let connection = connection.clone();
        calls.spawn(async move {
            let request = Echo::new(format!("call {n}"));
            let answer = connection.call(&request, 10 * SECOND).await.expect("an answer");
            assert_eq!(answer.0, request.0);
        });
    }
    let mut requests = Vec::new();
    for _ in 0..1000 {
        requests.push(peer.request().await);
    }
    assert_eq!(connection.in_flight(), 1000);
    for request in requests.iter().rev() {
        peer.echo(request).await;
    }
    while let Some(call) = soon(calls.join_next()).await {
        call.expect("no panic");
    }
    assert_eq!(connection.in_flight(), 0);
    assert_eq!(pool.stats().opened, 1);
    assert_eq!(pool.stats().late_answers, 0);
}

#[tokio::test(start_paused = true)]
async fn r1_a_dead_connection_gives_every_waiter_the_same_cause() {
    let (pool, connection, mut peer, _network) = open(Options::default()).await;
    let calls: Vec<_> = (0..50).map(|n| start(&connection, Echo::new(n.to_string()), 10 * SECOND)).collect();
    for _ in 0..50 {
        peer.request().await;
    }
    drop(peer);
    let ended = connection.closed_because();
    assert!(ended.is_none());
    let cause = soon(connection.closed()).await;
    assert!(matches!(*cause, CloseCause::ByPeer), "{cause}");
    for call in calls {
        match call.await {
            Err(CallError::Closed { written: true, cause: mine }) => assert!(Arc::ptr_eq(&mine, &cause)),
            other => panic!("{other:?}"),
        }
    }
    assert_eq!(pool.stats().lost, 1);
    match connection.call(&Echo::new("later"), SECOND).await {
        Err(CallError::Closed { written: false, cause: mine }) => assert!(Arc::ptr_eq(&mine, &cause)),
        other => panic!("{other:?}"),
    }
}

#[tokio::test(start_paused = true)]
async fn r1_a_request_that_never_reached_the_socket_is_reported_as_not_written() {
    let (_pool, connection, mut peer) = open_narrow(Options::default()).await;
    let first = start(&connection, Echo::large(100_000), 10 * SECOND);
    let second = start(&connection, Echo::new("behind it"), 10 * SECOND);
    while connection.in_flight() < 2 {
        tokio::task::yield_now().await;
    }
    // Some of the first one has gone, and nothing of the second.
    let mut some = [0; 64];
    peer.read_exactly(&mut some).await;
    drop(peer);
    assert!(matches!(first.await, Err(CallError::Closed { written: true, .. })));
    assert!(matches!(second.await, Err(CallError::Closed { written: false, .. })));
}

#[tokio::test(start_paused = true)]
async fn r2_a_call_to_a_silent_peer_ends_at_its_deadline_and_the_connection_after_the_silence_timeout() {
    let (pool, connection, _peer, _network) = open(options(|o| o.silence_timeout = 15 * SECOND)).await;
    let began = Instant::now();
    let error = connection.call(&Echo::new("hello?"), 3 * SECOND).await.expect_err("nobody answers");
    assert!(matches!(error, CallError::Timeout { after, queued: true } if after == 3 * SECOND), "{error:?}");
    let took = began.elapsed();
    assert!((3 * SECOND..3 * SECOND + SECOND / 100).contains(&took), "{took:?}");
    assert!(connection.is_usable(), "one call in vain proves nothing");
    let cause = soon(connection.closed()).await;
    assert!(matches!(*cause, CloseCause::Silent(after) if after == 15 * SECOND), "{cause}");
    let took = began.elapsed();
    assert!((15 * SECOND..15 * SECOND + SECOND / 10).contains(&took), "{took:?}");
    assert_eq!(pool.stats().lost, 1);
}

#[tokio::test(start_paused = true)]
async fn r2_after_a_silent_peer_the_next_call_dials_anew() {
    let (pool, connection, _peer, mut network) = open(options(|o| o.silence_timeout = 5 * SECOND)).await;
    connection.call(&Echo::new("hello?"), SECOND).await.expect_err("nobody answers");
    soon(connection.closed()).await;
    let again = tokio::spawn({
        let pool = pool.clone();
        async move { pool.call(ADDRESS, &Echo::new("again"), within(3)).await }
    });
    tokio::spawn(network.accept().await.serve());
    assert_eq!(soon(again).await.expect("no panic").expect("an answer").0, "again");
}

#[tokio::test(start_paused = true)]
async fn r2_a_slow_peer_that_answers_others_keeps_its_connection() {
    let (_pool, connection, mut peer, _network) = open(options(|o| o.silence_timeout = 5 * SECOND)).await;
    let never = start(&connection, Echo::new("never"), SECOND);
    peer.request().await;
    assert!(matches!(never.await, Err(CallError::Timeout { queued: true, .. })));
    for _ in 0..10 {
        tokio::time::advance(SECOND).await;
        let call = start(&connection, Echo::new("quick"), SECOND);
        let request = peer.request().await;
        peer.echo(&request).await;
        call.await.expect("an answer");
    }
    assert!(connection.is_usable());
}

#[tokio::test(start_paused = true)]
async fn r2_a_call_ends_at_its_deadline_while_the_peer_reads_nothing() {
    let (_pool, connection, _peer) = open_narrow(Options::default()).await;
    connection.send_one_way(&Echo::large(100_000), SECOND).await.expect("it is buffered");
    // Until the driver has filled the pipe.
    for _ in 0..10 {
        tokio::task::yield_now().await;
    }
    let began = Instant::now();
    let error = soon(connection.call(&Echo::new("behind it"), 2 * SECOND)).await.expect_err("nobody reads");
    assert!(matches!(error, CallError::Timeout { queued: true, .. }), "{error:?}");
    let took = began.elapsed();
    assert!(took < 3 * SECOND, "{took:?}");
}

#[tokio::test(start_paused = true)]
async fn r2_a_shorter_deadline_behind_a_longer_one_holds_while_the_peer_reads_nothing() {
    let (_pool, connection, _peer) = open_narrow(Options::default()).await;
    let long = start(&connection, Echo::large(100_000), 10 * SECOND);
    for _ in 0..10 {
        tokio::task::yield_now().await;
    }
    let began = Instant::now();
    let error = soon(connection.call(&Echo::new("behind it"), SECOND)).await.expect_err("nobody reads");
    assert!(matches!(error, CallError::Timeout { queued: true, .. }), "{error:?}");
    let took = began.elapsed();
    assert!(took < 2 * SECOND, "{took:?}");
    drop(long);
}

#[tokio::test(start_paused = true)]
async fn closing_hangs_up_at_once_while_the_peer_reads_nothing() {
    // The driver is the only task. Anything that the peer does would wake it: so look at the task, not at the pipe.
    let tasks = || tokio::runtime::Handle::current().metrics().num_alive_tasks();
    let (_pool, connection, _peer) = open_narrow(Options::default()).await;
    connection.send_one_way(&Echo::large(100_000), SECOND).await.expect("it is buffered");
    assert_eq!(tasks(), 1);
    for _ in 0..10 {
        tokio::task::yield_now().await;
    }
    connection.send_one_way(&Echo::new("behind it"), SECOND).await.expect("it is buffered");
    for _ in 0..10 {
        tokio::task::yield_now().await;
    }
    connection.close();
    for _ in 0..10 {
        tokio::task::yield_now().await;
    }
    assert_eq!(tasks(), 0);
}

#[tokio::test(start_paused = true)]
async fn r3_beyond_max_in_flight_a_call_waits_and_then_times_out_without_having_been_queued() {
    let (_pool, connection, mut peer, _network) = open(options(|o| {
        o.max_in_flight = 2;
        o.silence_timeout = 600 * SECOND;
    }))
    .await;
    let first = start(&connection, Echo::new("1"), 60 * SECOND);
    let second = start(&connection, Echo::new("2"), 60 * SECOND);
    let requests = [peer.request().await, peer.request().await];
    let began = Instant::now();
    let error = connection.call(&Echo::new("3"), SECOND).await.expect_err("there is no room");
    assert!(matches!(error, CallError::Timeout { queued: false, after } if after == SECOND), "{error:?}");
    assert_eq!(began.elapsed(), SECOND);
    for request in &requests {
        peer.echo(request).await;
    }
    first.await.expect("an answer");
    second.await.expect("an answer");
    // What comes next is not the one that found no room.
    let fourth = start(&connection, Echo::new("4"), SECOND);
    let request = peer.request().await;
    assert_eq!(request.body(), "4");
    peer.echo(&request).await;
    fourth.await.expect("an answer");
}

#[tokio::test(start_paused = true)]
async fn r3_a_call_that_waits_for_room_goes_on_when_an_answer_makes_some() {
    let (_pool, connection, mut peer, _network) = open(options(|o| o.max_in_flight = 1)).await;
    let calls: Vec<_> = (0..20).map(|n| start(&connection, Echo::new(n.to_string()), 10 * SECOND)).collect();
    for _ in 0..20 {
        let request = peer.request().await;
        assert_eq!(connection.in_flight(), 1);
        peer.echo(&request).await;
    }
    for (n, call) in calls.into_iter().enumerate() {
        assert_eq!(call.await.expect("an answer").0, n.to_string());
    }
}

#[tokio::test(start_paused = true)]
async fn r3_beyond_max_buffered_bytes_a_call_waits_and_then_times_out_without_having_been_queued() {
    let (_pool, connection, mut peer) = open_narrow(options(|o| {
        o.max_buffered_bytes = 4096;
        o.silence_timeout = 600 * SECOND;
    }))
    .await;
    let first = start(&connection, Echo::large(8192), 60 * SECOND);
    while connection.in_flight() < 1 {
        tokio::task::yield_now().await;
    }
    let error = connection.call(&Echo::new("no room"), SECOND).await.expect_err("there is no room");
    assert!(matches!(error, CallError::Timeout { queued: false, .. }), "{error:?}");
    let error = connection.send_one_way(&Echo::new("no room"), SECOND).await.expect_err("there is no room");
    assert!(matches!(error, CallError::Timeout { queued: false, .. }), "{error:?}");
    let waiting = start(&connection, Echo::new("waits"), 60 * SECOND);
    let request = peer.request().await;
    assert_eq!(request.body().len(), 8192);
    let next = peer.request().await;
    assert_eq!(next.body(), "waits");
    peer.echo(&next).await;
    peer.echo(&request).await;
    assert_eq!(waiting.await.expect("an answer").0, "waits");
    first.await.expect("an answer");
}

#[tokio::test(start_paused = true)]
async fn r17_dropping_a_call_frees_its_slot_and_its_late_answer_is_counted_and_meets_nobody() {
    let (pool, connection, mut peer, _network) = open(options(|o| o.max_in_flight = 1)).await;
    let request = Echo::new("dropped");
    let dropped = tokio::time::timeout(SECOND, connection.call(&request, 60 * SECOND)).await;
    assert!(dropped.is_err());
    assert_eq!(connection.in_flight(), 0);
    let first = peer.request().await;
    let next = start(&connection, Echo::new("next"), 60 * SECOND);
    let second = peer.request().await;
    assert_ne!(first.opaque, second.opaque, "R-I10: the slot is the same, the generation is not");
    peer.echo(&first).await;
    peer.echo(&second).await;
    assert_eq!(next.await.expect("an answer").0, "next");
    assert_eq!(pool.stats().late_answers, 1);
    assert!(connection.is_usable());
}

#[tokio::test(start_paused = true)]
async fn r17_an_answer_after_the_deadline_is_counted_and_does_no_harm() {
    let (pool, connection, mut peer, _network) = open(Options::default()).await;
    let late = start(&connection, Echo::new("late"), SECOND);
    let request = peer.request().await;
    assert!(matches!(late.await, Err(CallError::Timeout { queued: true, .. })));
    peer.echo(&request).await;
    let call = start(&connection, Echo::new("next"), SECOND);
    let request = peer.request().await;
    peer.echo(&request).await;
    assert_eq!(call.await.expect("an answer").0, "next");
    assert_eq!(pool.stats().late_answers, 1);
}

#[tokio::test(start_paused = true)]
async fn r17_doubled_and_unsolicited_answers_are_counted_and_the_connection_stays() {
    let (pool, connection, mut peer, _network) = open(Options::default()).await;
    for opaque in [i32::MIN, -1, 0, 1, 65_535, 65_536, i32::MAX] {
        peer.answer(opaque, ResponseCode::SUCCESS, Bytes::from_static(b"who asked?")).await;
    }
    for n in 0..3 {
        let call = start(&connection, Echo::new(n.to_string()), SECOND);
        let request = peer.request().await;
        peer.echo(&request).await;
        peer.echo(&request).await;
        assert_eq!(call.await.expect("an answer").0, n.to_string());
    }
    let call = start(&connection, Echo::new("last"), SECOND);
    let request = peer.request().await;
    peer.echo(&request).await;
    call.await.expect("an answer");
    assert_eq!(pool.stats().late_answers, 7 + 3);
    assert_eq!(pool.stats().lost, 0);
}

#[tokio::test(start_paused = true)]
async fn r14_a_frame_that_claims_2_gib_closes_the_connection_with_a_protocol_error() {
    let (_pool, connection, mut peer, _network) = open(Options::default()).await;
    let call = start(&connection, Echo::new("x"), 10 * SECOND);
    peer.request().await;
    peer.write_raw(&[0x7F, 0xFF, 0xFF, 0xFF, 0, 0, 0, 10]).await;
    let cause = soon(connection.closed()).await;
    assert!(matches!(*cause, CloseCause::Protocol(_)), "{cause}");
    assert!(matches!(call.await, Err(CallError::Closed { written: true, cause: mine }) if Arc::ptr_eq(&mine, &cause)));
    assert!(peer.read().await.is_none(), "the socket is closed");
}

#[tokio::test(start_paused = true)]
async fn r14_text_instead_of_frames_closes_the_connection_with_a_protocol_error() {
    let (_pool, connection, mut peer, _network) = open(Options::default()).await;
    peer.write_raw(b"HTTP/1.1 400 Bad Request\r\n\r\n").await;
    let cause = soon(connection.closed()).await;
    assert!(matches!(*cause, CloseCause::Protocol(_)), "{cause}");
}

#[tokio::test(start_paused = true)]
async fn r14_an_answer_in_single_bytes_is_read() {
    let (_pool, connection, peer) = open_narrow(Options::default()).await;
    let mut peer = peer;
    let call = start(&connection, Echo::new("slowly"), 10 * SECOND);
    let request = peer.request().await;
    let json = format!("{{\"code\":0,\"flag\":1,\"language\":\"JAVA\",\"opaque\":{},\"version\":1}}", request.opaque);
    let mut frame = ((json.len() + 4 + 2) as u32).to_be_bytes().to_vec();
    frame.extend_from_slice(&(json.len() as u32).to_be_bytes());
    frame.extend_from_slice(json.as_bytes());
    frame.extend_from_slice(b"ok");
    for byte in frame {
        peer.write_raw(&[byte]).await;
        tokio::task::yield_now().await;
    }
    assert_eq!(call.await.expect("an answer").0, "ok");
}

#[tokio::test(start_paused = true)]
async fn an_idle_connection_is_closed_after_the_idle_timeout_and_not_counted_as_lost() {
    let (pool, connection, mut peer, _network) = open(options(|o| o.idle_timeout = 30 * SECOND)).await;
    let began = Instant::now();
    let cause = soon(connection.closed()).await;
    assert!(matches!(*cause, CloseCause::Idle(after) if after == 30 * SECOND), "{cause}");
    assert_eq!(began.elapsed().as_secs(), 30);
    assert!(peer.read().await.is_none());
    assert_eq!(pool.stats().lost, 0);
    assert_eq!(pool.states()[0].last_error, None, "nothing is wrong with the peer");
}

#[tokio::test(start_paused = true)]
async fn a_connection_that_was_lost_says_why_until_there_is_another() {
    let (pool, connection, peer, _network) = open(Options::default()).await;
    assert_eq!(pool.states()[0].last_error, None);
    drop(peer);
    soon(connection.closed()).await;
    assert_eq!(pool.states()[0].last_error.as_deref(), Some("the peer closed the connection"));
    assert_eq!(pool.stats().lost, 1);
}

#[tokio::test(start_paused = true)]
async fn traffic_puts_the_idle_timeout_off() {
    let (_pool, connection, mut peer, _network) = open(options(|o| o.idle_timeout = 30 * SECOND)).await;
    tokio::time::advance(20 * SECOND).await;
    let call = start(&connection, Echo::new("x"), SECOND);
    let request = peer.request().await;
    peer.echo(&request).await;
    call.await.expect("an answer");
    let began = Instant::now();
    soon(connection.closed()).await;
    assert_eq!(began.elapsed().as_secs(), 30);
}

#[tokio::test(start_paused = true)]
async fn r18_a_request_of_the_server_that_nobody_takes_is_answered_with_3() {
    let (pool, _connection, mut peer, _network) = open(Options::default()).await;
    peer.ask(&Echo::new("do you know this?"), 77).await;
    let answer = peer.request().await;
    assert!(answer.is_response());
    assert_eq!((answer.opaque, answer.response_code()), (77, ResponseCode::REQUEST_CODE_NOT_SUPPORTED));
    assert_eq!(pool.stats().refused_events, 1);
}

#[tokio::test(start_paused = true)]
async fn r18_a_request_of_the_server_that_finds_the_queue_full_is_answered_with_2() {
    let (dialer, mut network) = network(64 * 1024);
    let (events, mut inbox) = mpsc::channel(1);
    let pool = Pool::new(dialer, Options::default(), Some(events)).expect("options that work");
    let _connection = pool.connection(ADDRESS, within(3)).await.expect("it connects");
    let mut peer = network.accept().await;
    peer.ask(&MembersChanged::new("g"), 1).await;
    peer.ask(&MembersChanged::new("g"), 2).await;
    let answer = peer.request().await;
    assert_eq!((answer.opaque, answer.response_code()), (2, ResponseCode::SYSTEM_BUSY));
    let inbound = soon(inbox.recv()).await.expect("the first one");
    assert_eq!((inbound.command.opaque, &*inbound.address), (1, ADDRESS));
    inbound.respond(ResponseCode::SUCCESS, None, &ferrocket_protocol::NoFields, Bytes::new()).expect("it fits");
    let answer = peer.request().await;
    assert_eq!((answer.opaque, answer.response_code()), (1, ResponseCode::SUCCESS));
}

#[tokio::test(start_paused = true)]
async fn the_opaque_of_a_server_request_does_not_meet_a_call_of_ours() {
    let (_pool, connection, mut peer, _network) = open(Options::default()).await;
    let call = start(&connection, Echo::new("mine"), 10 * SECOND);
    let request = peer.request().await;
    peer.ask(&Echo::new("theirs"), request.opaque).await;
    assert!(peer.request().await.is_response());
    peer.echo(&request).await;
    assert_eq!(call.await.expect("an answer").0, "mine");
}

#[tokio::test(start_paused = true)]
async fn a_request_that_is_too_large_fails_alone_and_leaves_the_connection_as_it_was() {
    let (_pool, connection, mut peer, _network) = open(Options::default()).await;
    let error = connection.call(&Echo::large(17 << 20), SECOND).await.expect_err("it does not fit");
    assert!(matches!(error, CallError::TooLarge(_)), "{error:?}");
    assert_eq!(connection.in_flight(), 0);
    let call = start(&connection, Echo::new("fits"), SECOND);
    let request = peer.request().await;
    peer.echo(&request).await;
    assert_eq!(call.await.expect("an answer").0, "fits");
}
