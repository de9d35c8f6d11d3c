use super::*;

fn rates() -> (TopicRates, impl Fn(u64) -> Instant) {
    let start = Instant::now();
    (TopicRates::new(start), move |second| start + Duration::from_secs(second))
}

const MS: Duration = Duration::from_millis(1);

/// CON-STAT-02: over first to last of the notes; the first moments count as one step.
#[test]
fn the_first_seconds_count_as_ten() {
    let (rates, at) = rates();
    assert_eq!(rates.snapshot(at(0)), Pace::default());
    rates.pulled(at(0), 30, 4 * MS);
    rates.pulled(at(1), 20, 2 * MS);
    let pace = rates.snapshot(at(1));
    assert_eq!((pace.pulled_per_second, pace.pull_ms), (5.0, 3.0));
    assert_eq!(rates.snapshot(at(20)).pulled_per_second, 2.5);
}

/// CON-STAT-02.
#[test]
fn a_steady_rate_is_what_it_is_at_every_moment() {
    let (rates, at) = rates();
    for second in 0..500 {
        rates.handled(at(second), 7 * MS, 8, 0);
        let pace = rates.snapshot(at(second + 1));
        if second >= 10 {
            assert!((pace.consumed_per_second - 8.0).abs() < 0.2, "{second}: {pace:?}");
        }
        assert_eq!(pace.consume_ms, 7.0);
    }
}

/// CON-STAT-03: a minute after the last message the rates are 0, the average is that of the hour, and failures of an hour
/// are counted.
#[test]
fn what_was_longer_ago_than_the_window_is_forgotten() {
    let (rates, at) = rates();
    rates.handled(at(5), 9 * MS, 1, 3);
    rates.pulled(at(5), 4, MS);
    // At least a minute is seen, and at most ten seconds more.
    let pace = rates.snapshot(at(65));
    assert!(pace.consumed_per_second > 0.0 && pace.failed_per_second > 0.0 && pace.pulled_per_second > 0.0);
    let pace = rates.snapshot(at(75));
    assert_eq!((pace.consumed_per_second, pace.failed_per_second, pace.pulled_per_second), (0.0, 0.0, 0.0));
    assert_eq!((pace.consume_ms, pace.failed_messages, pace.pull_ms), (9.0, 3, 0.0));
    let pace = rates.snapshot(at(3_605));
    assert_eq!((pace.consume_ms, pace.failed_messages), (9.0, 3));
    assert_eq!(rates.snapshot(at(4_205)), Pace::default());
}

/// Nobody notes anything while nothing is recorded; the note that comes late says what a timer would have noted.
#[test]
fn a_message_after_a_pause_is_not_spread_over_the_pause() {
    let (rates, at) = rates();
    rates.handled(at(1), MS, 600, 0);
    rates.handled(at(100_000), MS, 6, 0);
    let pace = rates.snapshot(at(100_000));
    assert!((0.08..=0.12).contains(&pace.consumed_per_second), "{pace:?}");
    rates.handled(at(u64::from(u32::MAX)), MS, 0, 1);
    assert_eq!(rates.snapshot(at(u64::from(u32::MAX))).failed_messages, 1);
}

/// Threads read the clock, and record later; a time from before the last note does no harm.
#[test]
fn a_time_from_before_counts_as_now() {
    let (rates, at) = rates();
    rates.handled(at(1_000), MS, 0, 1);
    rates.handled(at(500), MS, 0, 1);
    let pace = rates.snapshot(at(10));
    assert_eq!(pace.failed_messages, 2);
    assert!(pace.failed_per_second <= 0.2, "{pace:?}");
}

/// The same against a list of everything that was recorded: nothing within the last minute is missed, and nothing older
/// than seventy seconds is counted; likewise for the hour.
#[test]
fn windows_hold_what_happened_within_them() {
    for seed in 0..200 {
        let mut random = seed * 2 + 1;
        let mut next = |below: u64| {
            random = u64::wrapping_mul(random, 6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (random >> 33) % below
        };
        let (rates, at) = rates();
        let (mut now, mut log) = (0, Vec::new());
        for _ in 0..60 {
            let most = [3, 30, 300, 3_000][next(4) as usize];
            now += next(most);
            let messages = next(10);
            rates.handled(at(now), MS, 0, messages as usize);
            log.push((now, messages));
            now += next(most);
            let within = |seconds: u64| -> u64 {
                log.iter().filter(|(then, _)| then + seconds > now).map(|(_, messages)| messages).sum()
            };
            let pace = rates.snapshot(at(now));
            let hour = within(3_600)..=within(4_201);
            assert!(hour.contains(&pace.failed_messages), "seed {seed}: {pace:?} is not in {hour:?}");
            let (least, most) = (within(60) as f64 / 70.0, within(71) as f64 / 10.0);
            assert!(pace.failed_per_second >= least - 1e-9, "seed {seed}: {pace:?} is below {least}");
            assert!(pace.failed_per_second <= most + 1e-9, "seed {seed}: {pace:?} is above {most}");
        }
    }
}

#[test]
fn topics_are_kept_until_they_are_not_wanted_any_more() {
    let start = Instant::now();
    let rates = Rates::new(start);
    let (one, two) = (Topic::from("one"), Topic::from("two"));
    rates.of(&one).handled(start, MS, 10, 0);
    rates.of(&one).handled(start, MS, 10, 0);
    rates.of(&two).handled(start, MS, 0, 1);
    let found = rates.snapshot(start);
    assert_eq!(found.keys().collect::<Vec<_>>(), [&one, &two]);
    assert_eq!((found[&one].consumed_per_second, found[&two].failed_messages), (2.0, 1));
    rates.retain(|topic| *topic == two);
    assert_eq!(rates.snapshot(start).len(), 1);
    assert!(size_of::<TopicRates>() < 1_024, "{}", size_of::<TopicRates>());
}

/// Many record at once; nothing is lost.
#[test]
fn threads_that_record_at_once_lose_nothing() {
    let (rates, at) = rates();
    std::thread::scope(|scope| {
        for thread in 0..4 {
            let (rates, at) = (&rates, &at);
            scope.spawn(move || (0..1_000).for_each(|step| rates.handled(at(step / 4 + thread), MS, 0, 1)));
        }
    });
    assert_eq!(rates.snapshot(at(300)).failed_messages, 4_000);
}
