//! What a pool promises: one connection per address, dialed once, and not too often.

mod peer;

use std::{
    io,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use bytes::Bytes;
use ferrocket_protocol::ResponseCode;
use ferrocket_remoting::{CallError, CloseCause, ConnectError, Options, Pool, PoolError};
use tokio::{io::DuplexStream, task::JoinSet, time::Instant};

use peer::{ADDRESS, Echo, pool, soon, within};

const SECOND: Duration = Duration::from_secs(1);

/// A dialer that is refused, and counts.
fn refused() -> (Pool, Arc<AtomicUsize>) {
    let dials = Arc::new(AtomicUsize::new(0));
    let counter = dials.clone();
    let dialer = move |_: String| {
        counter.fetch_add(1, Ordering::SeqCst);
        async { Err::<DuplexStream, _>(io::Error::from(io::ErrorKind::ConnectionRefused)) }
    };
    (Pool::new(Arc::new(dialer), Options::default(), None).expect("options that work"), dials)
}

fn call(pool: &Pool, text: &str) -> tokio::task::JoinHandle<Result<Bytes, PoolError>> {
    let (pool, request) = (pool.clone(), Echo::new(text));
    tokio::spawn(async move { pool.call(ADDRESS, &request, within(3)).await.map(|answer| answer.0) })
}

#[tokio::test(start_paused = true)]
async fn fifty_callers_share_one_dial() {
    let (pool, mut network) = pool(Options::default());
    let mut calls = JoinSet::new();
    for n in 0..50 {
        let pool = pool.clone();
        calls.spawn(
            async move { pool.call(ADDRESS, &Echo::new(n.to_string()), within(3)).await.map(|answer| answer.0) },
        );
    }
    tokio::spawn(network.accept().await.serve());
    while let Some(answer) = soon(calls.join_next()).await {
        answer.expect("no panic").expect("an answer");
    }
    assert_eq!(network.dials(), 1);
    assert_eq!(pool.stats().opened, 1);
}

#[tokio::test(start_paused = true)]
async fn fifty_callers_share_one_dial_that_fails() {
    let (pool, dials) = refused();
    let mut calls = JoinSet::new();
    for n in 0..50 {
        let pool = pool.clone();
        calls.spawn(
            async move { pool.call(ADDRESS, &Echo::new(n.to_string()), within(3)).await.map(|answer| answer.0) },
        );
    }
    while let Some(answer) = soon(calls.join_next()).await {
        let error = answer.expect("no panic").expect_err("nobody listens");
        assert!(matches!(&error, PoolError::Connect(cause) if matches!(**cause, ConnectError::Io { .. })), "{error:?}");
    }
    assert_eq!(dials.load(Ordering::SeqCst), 1);
    assert_eq!(pool.stats().failed_dials, 1);
}

#[tokio::test(start_paused = true)]
async fn r_i13_calls_dial_at_most_once_per_250_ms_when_nothing_listens() {
    let (pool, dials) = refused();
    let began = Instant::now();
    for _ in 0..100 {
        let error = pool.call(ADDRESS, &Echo::new("x"), within(3)).await.expect_err("nobody listens");
        assert!(matches!(error, PoolError::Connect(_)), "{error:?}");
        tokio::time::advance(Duration::from_millis(10)).await;
    }
    let allowed = began.elapsed().as_millis() / 250 + 1;
    let dials = dials.load(Ordering::SeqCst) as u128;
    assert!((3..=allowed).contains(&dials), "{dials} dials");
}

#[tokio::test(start_paused = true)]
async fn r_i13_who_can_wait_waits_for_the_backoff_and_learns_the_cause_at_the_deadline() {
    let (pool, dials) = refused();
    let began = Instant::now();
    let mut error = None;
    while began.elapsed() < 60 * SECOND {
        let failed = pool.reconnect(ADDRESS, began + 60 * SECOND).await.expect_err("nobody listens");
        assert!(matches!(failed, PoolError::Connect(_)), "{failed:?}");
        error = Some(failed);
    }
    assert!(error.is_some());
    // Eight dials until the ceiling of 5 s, then one every 2.5 s on average; a loop without backoff would make thousands.
    let dials = dials.load(Ordering::SeqCst);
    assert!((10..150).contains(&dials), "{dials} dials");
}

/// Found by a history of an orderly group. Seen to fail when the backoff alone said how long to wait.
#[tokio::test(start_paused = true)]
async fn who_waits_for_the_backoff_is_not_kept_waiting_by_those_in_a_hurry() {
    let (pool, _) = refused();
    let hurrying = async {
        loop {
            let _ = pool.call(ADDRESS, &Echo::new("x"), within(3)).await;
            tokio::time::sleep(SECOND).await;
        }
    };
    let waiting = async {
        // Until the pauses are long.
        tokio::time::sleep(20 * SECOND).await;
        for _ in 0..10 {
            let began = Instant::now();
            pool.reconnect(ADDRESS, began + 60 * SECOND).await.expect_err("nobody listens");
            assert!(began.elapsed() <= 6 * SECOND, "{:?}", began.elapsed());
        }
    };
    tokio::select! {
        () = hurrying => {}
        () = waiting => {}
    }
}

#[tokio::test(start_paused = true)]
async fn a_dial_that_hangs_ends_with_the_connect_timeout() {
    let dialer = |_: String| std::future::pending::<io::Result<DuplexStream>>();
    let pool = Pool::new(Arc::new(dialer), Options::default(), None).expect("options that work");
    let began = Instant::now();
    let error = pool.call(ADDRESS, &Echo::new("x"), within(10)).await.expect_err("it hangs");
    assert!(
        matches!(&error, PoolError::Connect(cause) if matches!(**cause, ConnectError::Timeout { .. })),
        "{error:?}"
    );
    assert_eq!(began.elapsed().as_secs(), 3);
    let began = Instant::now();
    let error = pool.call(ADDRESS, &Echo::new("x"), within(1)).await.expect_err("it hangs");
    assert!(matches!(error, PoolError::ConnectTimeout(after) if after == SECOND), "{error:?}");
    assert_eq!(began.elapsed(), SECOND);
}

#[tokio::test(start_paused = true)]
async fn a_dial_goes_on_for_the_next_caller_when_the_first_one_is_dropped() {
    let (pool, mut network) = pool(Options::default());
    let first = call(&pool, "dropped");
    while network.dials() == 0 {
        tokio::task::yield_now().await;
    }
    first.abort();
    tokio::spawn(network.accept().await.serve());
    assert_eq!(soon(call(&pool, "second")).await.expect("no panic").expect("an answer"), "second");
    assert_eq!(network.dials(), 1);
}

#[tokio::test(start_paused = true)]
async fn go_away_is_retried_once_over_a_new_connection() {
    let (pool, mut network) = pool(Options::default());
    let answer = call(&pool, "x");
    let mut old = network.accept().await;
    let request = old.request().await;
    old.answer(request.opaque, ResponseCode::GO_AWAY, Bytes::new()).await;
    let mut new = network.accept().await;
    let request = new.request().await;
    new.echo(&request).await;
    assert_eq!(soon(answer).await.expect("no panic").expect("an answer"), "x");
    assert_eq!(network.dials(), 2);
    assert!(old.read().await.is_none(), "the old connection is closed when nobody uses it");
}

#[tokio::test(start_paused = true)]
async fn go_away_twice_is_an_error_and_not_a_loop() {
    let (pool, mut network) = pool(Options::default());
    let answer = call(&pool, "x");
    for _ in 0..2 {
        let mut peer = network.accept().await;
        let request = peer.request().await;
        peer.answer(request.opaque, ResponseCode::GO_AWAY, Bytes::new()).await;
    }
    let error = soon(answer).await.expect("no panic").expect_err("it was sent away twice");
    let PoolError::Call(error) = error else { panic!("{error:?}") };
    assert!(matches!(*error, CallError::Answer { code: ResponseCode::GO_AWAY, .. }), "{error:?}");
    assert_eq!(network.dials(), 2);
}

#[tokio::test(start_paused = true)]
async fn after_go_away_calls_in_flight_on_the_old_connection_are_still_answered() {
    let (pool, mut network) = pool(Options::default());
    let slow = call(&pool, "slow");
    let mut old = network.accept().await;
    let slow_request = old.request().await;
    let sent_away = call(&pool, "sent away");
    let request = old.request().await;
    old.answer(request.opaque, ResponseCode::GO_AWAY, Bytes::new()).await;
    tokio::spawn(network.accept().await.serve());
    assert_eq!(soon(sent_away).await.expect("no panic").expect("an answer"), "sent away");
    old.echo(&slow_request).await;
    assert_eq!(soon(slow).await.expect("no panic").expect("an answer"), "slow");
}

#[tokio::test(start_paused = true)]
async fn r1_a_lost_connection_is_dialed_anew_by_the_next_call() {
    let (pool, mut network) = pool(Options::default());
    let first = pool.connection(ADDRESS, within(3)).await.expect("it connects");
    drop(network.accept().await);
    soon(first.closed()).await;
    let again = call(&pool, "again");
    tokio::spawn(network.accept().await.serve());
    assert_eq!(soon(again).await.expect("no panic").expect("an answer"), "again");
    assert_eq!((network.dials(), pool.stats().lost), (2, 1));
}

#[tokio::test(start_paused = true)]
async fn closing_the_pool_ends_calls_and_dials_and_refuses_new_ones() {
    let (pool, mut network) = pool(Options::default());
    let waiting = call(&pool, "x");
    let mut peer = network.accept().await;
    peer.request().await;
    soon(pool.close()).await;
    let error = soon(waiting).await.expect("no panic").expect_err("it was closed");
    let PoolError::Call(error) = error else { panic!("{error:?}") };
    assert!(matches!(&*error, CallError::Closed { cause, .. } if matches!(**cause, CloseCause::ByUs)), "{error:?}");
    assert!(peer.read().await.is_none());
    assert!(matches!(pool.call(ADDRESS, &Echo::new("y"), within(3)).await, Err(PoolError::Closed)));
}

#[tokio::test(start_paused = true)]
async fn dropping_the_last_handle_of_the_pool_closes_its_connections() {
    let (pool, mut network) = pool(Options::default());
    drop(pool.connection(ADDRESS, within(3)).await.expect("it connects"));
    let mut peer = network.accept().await;
    drop(pool);
    assert!(peer.read().await.is_none());
}
