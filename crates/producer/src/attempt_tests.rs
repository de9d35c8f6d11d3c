use proptest::prelude::*;

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

/// What may come of an attempt.
fn failure() -> impl Strategy<Value = Failure> {
    let applied = prop_oneof![Just(Applied::No), Just(Applied::Unknown)];
    let code = prop_oneof![Just(1), Just(2), Just(14), Just(17), Just(215), Just(1500), 0..300i32];
    prop_oneof![
        (code, applied).prop_map(|(code, applied)| answered(code, applied)),
        Just(Failure::new(ErrorKind::Timeout, "send")),
        Just(Failure::new(ErrorKind::BrokerUnreachable, "send")),
        Just(Failure::new(ErrorKind::BrokerUnreachable, "send").with_applied(Applied::Unknown)),
        Just(Failure::new(ErrorKind::Busy, "send")),
        Just(Failure::new(ErrorKind::Rejected, "send")),
        Just(Failure::new(ErrorKind::PermissionDenied, "send").with_remedy(Remedy::RefreshRoute)),
    ]
}

proptest! {
    /// PRO-SEND-04, PRO-SEND-05, R-I2, R-I7: whatever happens when, there are no more attempts and there is no more time than was
    /// given, what may have been stored is never called not stored, and what must not be doubled is not sent again. What another broker may
    /// take is tried again while attempts are left; seen to fail with a policy that never retries.
    #[test]
    fn any_send_keeps_within_its_attempts_and_its_time_and_never_makes_an_outcome_better_than_it_was(
        limit in 1u32..6,
        deadline_ms in 1u32..10_000,
        cap_ms in 1u32..5_000,
        retry_unknown in any::<bool>(),
        happenings in proptest::collection::vec((failure(), 0u32..3_000, any::<bool>(), 0.0..1.0f64), 1..10),
    ) {
        let policy = RetryPolicy { retry_unknown, attempt_timeout: cap_ms * MS, max_attempts: limit, ..policy() };
        let deadline = deadline_ms * MS;
        let mut attempts = Attempts::new(limit, deadline);
        let (mut elapsed, mut made, mut worst) = (Duration::ZERO, 0, Applied::No);
        for (failure, took_ms, same_broker, random) in happenings {
            let Some(time) = attempts.begin(elapsed, &policy) else {
                prop_assert!(elapsed >= deadline || made == limit);
                break;
            };
            made += 1;
            prop_assert!(made <= limit && !time.is_zero());
            let is_last = made == limit;
            prop_assert_eq!(time, if is_last { deadline - elapsed } else { (deadline - elapsed).min(cap_ms * MS) });
            let took = (took_ms * MS).min(time);
            elapsed += took;
            let decision = attempts.failed(&"b".into(), took, &failure, &policy, same_broker, random);
            if failure.applied() == Applied::Unknown {
                worst = Applied::Unknown;
            }
            prop_assert_eq!(attempts.applied(), worst);
            match decision {
                Decision::GiveUp => {
                    let is_free = retry_unknown || failure.applied() != Applied::Unknown;
                    let kind = failure.kind();
                    let helps = matches!(kind, ErrorKind::Timeout | ErrorKind::BrokerUnreachable);
                    prop_assert!(is_last || !is_free || !helps, "another attempt may help after {kind:?}");
                    break;
                }
                Decision::Again { pause, .. } => {
                    prop_assert!(!is_last, "an attempt that is not there");
                    prop_assert!(retry_unknown || failure.applied() != Applied::Unknown, "it might be stored twice");
                    prop_assert!(failure.kind() != ErrorKind::Rejected, "nobody else would decide otherwise");
                    prop_assert!(pause <= SAME_BROKER_PAUSE);
                    elapsed += pause;
                }
            }
        }
        prop_assert_eq!(attempts.made(), made);
        prop_assert_eq!(attempts.records(|| None).len() as u32, made, "each one is told");
    }
}
