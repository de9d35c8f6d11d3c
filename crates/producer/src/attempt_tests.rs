use super::*;

const MS: Duration = Duration::from_millis(1);

fn policy() -> RetryPolicy {
    RetryPolicy {
        max_attempts: 3,
        attempt_timeout: 2_000 * MS,
        retry_unknown: true,
        retry_not_ok: false,
        retry_codes: Vec::new(),
    }
}

fn answered(code: i32, applied: Applied) -> Failure {
    Failure::new(ErrorKind::Server, "send").with_answer(ServerCode::Remoting(code), "").with_applied(applied)
}

fn decide(failure: &Failure, policy: &RetryPolicy) -> Decision {
    let mut attempts = Attempts::new(3, 3_000 * MS);
    attempts.begin(Duration::ZERO, policy).unwrap();
    attempts.failed(&"b".into(), MS, failure, policy, false, 0.0)
}

#[test]
fn pro_send_05_an_attempt_that_others_may_follow_is_capped_and_the_last_gets_what_is_left() {
    let mut attempts = Attempts::new(3, 3_000 * MS);
    assert_eq!(attempts.begin(Duration::ZERO, &policy()), Some(2_000 * MS));
    assert_eq!(attempts.begin(2_000 * MS, &policy()), Some(1_000 * MS));
    assert_eq!(attempts.begin(2_100 * MS, &policy()), Some(900 * MS));
    assert_eq!(attempts.begin(2_200 * MS, &policy()), None);
}

#[test]
fn pro_send_04_nothing_begins_after_the_deadline() {
    let mut attempts = Attempts::new(3, 3_000 * MS);
    assert_eq!(attempts.begin(3_000 * MS, &policy()), None);
    assert_eq!(attempts.begin(4_000 * MS, &policy()), None);
}

#[test]
fn pro_send_03_the_codes_of_the_java_client_are_retried_and_others_are_not() {
    for code in [17, 14, 1, 2, 16, 204, 205, 1500] {
        assert!(matches!(decide(&answered(code, Applied::No), &policy()), Decision::Again { .. }), "{code}");
    }
    for code in [13, 215, 29, 3, 26] {
        assert_eq!(decide(&answered(code, Applied::No), &policy()), Decision::GiveUp, "{code}");
    }
    let policy = RetryPolicy { retry_codes: vec![215], ..policy() };
    assert!(matches!(decide(&answered(215, Applied::No), &policy), Decision::Again { .. }));
}

#[test]
fn an_unknown_outcome_is_retried_only_where_duplicates_are_allowed() {
    let timeout = Failure::new(ErrorKind::Timeout, "send");
    assert_eq!(timeout.applied(), Applied::Unknown);
    assert!(matches!(decide(&timeout, &policy()), Decision::Again { .. }));
    let once = RetryPolicy { retry_unknown: false, ..policy() };
    assert_eq!(decide(&timeout, &once), Decision::GiveUp);
    let refused = Failure::new(ErrorKind::BrokerUnreachable, "send");
    assert!(matches!(decide(&refused, &once), Decision::Again { .. }), "nothing was sent: no duplicate can come of it");
}

#[test]
fn a_connect_failure_asks_for_a_fresh_route_and_gives_the_same_broker_a_moment() {
    let refused = Failure::new(ErrorKind::BrokerUnreachable, "send");
    let mut attempts = Attempts::new(3, 3_000 * MS);
    attempts.begin(Duration::ZERO, &policy()).unwrap();
    let again = attempts.failed(&"b".into(), MS, &refused, &policy(), true, 0.0);
    assert_eq!(again, Decision::Again { pause: SAME_BROKER_PAUSE, refresh_route: true });
}

#[test]
fn the_worst_attempt_says_whether_the_message_is_stored() {
    let mut attempts = Attempts::new(9, 3_000 * MS);
    assert_eq!(attempts.applied(), Applied::No);
    for (failure, expected) in [
        (answered(2, Applied::No), Applied::No),
        (answered(1, Applied::Unknown), Applied::Unknown),
        (answered(2, Applied::No), Applied::Unknown),
    ] {
        attempts.begin(MS, &policy()).unwrap();
        attempts.failed(&"b".into(), MS, &failure, &policy(), false, 0.0);
        assert_eq!(attempts.applied(), expected);
    }
}
