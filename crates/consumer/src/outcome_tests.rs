use super::*;
use crate::vectors::case;

fn level(delay: Duration) -> Option<Redelivery> {
    Outcome::retry("failed").after(delay).redelivery()
}

/// `retry.json`: the table of a broker that was not configured otherwise.
#[test]
fn a_delay_is_rounded_up_to_the_next_level_of_the_broker() {
    let table = case("retry", "table", "delay levels of the broker");
    let levels = table["out"]["levels"].as_array().unwrap();
    let ms = Duration::from_millis(1);
    for entry in levels {
        let number = u8::try_from(entry["level"].as_u64().unwrap()).unwrap();
        let delay = Duration::from_millis(entry["ms"].as_u64().unwrap());
        assert_eq!(level(delay), Some(Redelivery::AfterLevel(number)), "{entry}");
        assert_eq!(level(delay - ms), Some(Redelivery::AfterLevel(number)), "just below {entry}");
        let next = (number + 1).min(18);
        assert_eq!(level(delay + ms), Some(Redelivery::AfterLevel(next)), "just above {entry}");
    }
    assert_eq!(levels.len(), 18);
    assert_eq!(level(Duration::ZERO), Some(Redelivery::AfterLevel(1)), "level 0 would mean: by the attempt");
    assert_eq!(level(Duration::MAX), Some(Redelivery::AfterLevel(18)), "no level is longer");
}

#[test]
fn without_a_delay_the_broker_counts_and_a_dead_letter_is_not_delayed() {
    assert_eq!(Outcome::retry("failed").redelivery(), Some(Redelivery::ByAttempt));
    assert_eq!(Outcome::dead_letter("never").redelivery(), Some(Redelivery::DeadLetter));
    let hour = Duration::from_secs(3600);
    assert_eq!(Outcome::dead_letter("never").after(hour).redelivery(), Some(Redelivery::DeadLetter));
    assert_eq!(Outcome::consumed().after(hour).redelivery(), None);
}

fn consumed(outcomes: &[Outcome]) -> Vec<bool> {
    outcomes.iter().map(Outcome::is_consumed).collect()
}

#[test]
fn of_a_batch_the_first_are_consumed_and_the_rest_comes_again() {
    for (first, expected) in [(0, [false, false]), (1, [true, false]), (2, [true, true]), (usize::MAX, [true, true])] {
        assert_eq!(consumed(&BatchOutcome::first(first, "full").into_outcomes(2)), expected, "{first}");
    }
}

/// R-I3: what a listener says nothing of is not skipped.
#[test]
fn a_batch_has_one_outcome_per_message_whatever_the_listener_returned() {
    let short = BatchOutcome::each([Outcome::consumed()]).into_outcomes(3);
    assert_eq!(consumed(&short), [true, false, false]);
    let long = BatchOutcome::each((0..5).map(|_| Outcome::consumed())).into_outcomes(2);
    assert_eq!(consumed(&long), [true, true]);
    let minute = Duration::from_secs(60);
    for outcome in BatchOutcome::all(Outcome::retry("busy").after(minute)).into_outcomes(3) {
        assert_eq!(outcome.redelivery(), Some(Redelivery::AfterLevel(5)));
        assert_eq!(outcome.reason().map(ToString::to_string).as_deref(), Some("busy"));
    }
}
