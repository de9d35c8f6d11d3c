//! Property tests of the model.

use std::{
    collections::{BTreeMap, HashSet},
    net::{IpAddr, Ipv4Addr},
    sync::Mutex,
};

use ferrocket_model::{
    DeliveryTime, Filter, IdGenerator, Message, OffsetId, Topic, UniqueIdParts, java_string_hash, month_start_ms,
    properties,
};
use proptest::prelude::*;

/// Short names, so that the same one comes again; some share a beginning.
fn name() -> impl Strategy<Value = String> {
    prop_oneof![
        prop::sample::select(vec!["a", "aa", "ab", "KEYS", "TAGS", "WAIT", "é", "键", "😀", "a b"])
            .prop_map(str::to_owned),
        "[a-c😀é]{1,3}",
    ]
}

fn value() -> impl Strategy<Value = String> {
    any::<String>().prop_map(|text| text.replace(['\u{1}', '\u{2}'], "x") + "v")
}

#[derive(Clone, Debug)]
enum Step {
    Set(String, String),
    Remove(String),
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![3 => (name(), value()).prop_map(|(name, value)| Step::Set(name, value)), 1 => name().prop_map(Step::Remove)]
}

proptest! {
    /// Set, find and remove do what a map does.
    #[test]
    fn properties_behave_like_a_map(steps in prop::collection::vec(step(), 0..40)) {
        let (mut text, mut model) = (String::new(), BTreeMap::new());
        for step in steps {
            match step {
                Step::Set(name, value) => {
                    properties::set(&mut text, &name, &value);
                    model.insert(name, value);
                }
                Step::Remove(name) => {
                    properties::remove(&mut text, &name);
                    model.remove(&name);
                }
            }
            let pairs: Vec<_> = properties::pairs(&text).collect();
            prop_assert_eq!(pairs.len(), model.len());
            for (name, value) in &model {
                prop_assert_eq!(properties::find(&text, name), Some(value.as_str()));
            }
            for (name, value) in pairs {
                prop_assert_eq!(model.get(name).map(String::as_str), Some(value));
            }
        }
    }

    /// On any text, a look-up finds what going through the pairs finds last.
    #[test]
    fn a_look_up_agrees_with_going_through(text in "[ab\u{1}\u{2}é]{0,24}", name in "[ab\u{1}\u{2}é]{0,3}") {
        let last = properties::pairs(&text).filter(|(other, _)| *other == name).last().map(|(_, value)| value);
        prop_assert_eq!(properties::find(&text, &name), last);
    }

    /// Whatever the text, nothing of the name is left after `remove`, and everything else is.
    #[test]
    fn remove_takes_out_one_name_only(text in "[ab\u{1}\u{2}]{0,24}", name in "[ab]{1,2}") {
        let mut after = text.clone();
        properties::remove(&mut after, &name);
        prop_assert_eq!(properties::find(&after, &name), None);
        let kept: Vec<_> = properties::pairs(&text).filter(|(other, _)| *other != name).collect();
        let left: Vec<_> = properties::pairs(&after).collect();
        prop_assert_eq!(kept, left);
    }

    /// What a message takes without complaint is found again; what would corrupt the set is refused.
    #[test]
    fn a_message_keeps_its_properties_or_is_refused(pairs in prop::collection::vec((any::<String>(), any::<String>()), 0..6)) {
        let mut message = Message::new("T", "x");
        let mut model = BTreeMap::new();
        let mut fine = true;
        for (name, value) in pairs {
            fine &= !name.trim().is_empty()
                && !value.trim().is_empty()
                && properties::is_clean(&name)
                && properties::is_clean(&value)
                && !properties::is_reserved(&name);
            message.set_property(&name, &value);
            model.insert(name, value);
        }
        prop_assert_eq!(message.check().is_ok(), fine);
        if fine {
            prop_assert_eq!(message.properties().count(), model.len());
            for (name, value) in &model {
                prop_assert_eq!(message.property(name), Some(value.as_str()));
            }
        }
    }

    /// Nothing in the setters panics, and the last delivery time wins.
    #[test]
    fn setters_take_any_text(tag: String, key: String, sharding: String, level: u8) {
        let message = Message::new(tag.as_str(), "x")
            .with_tag(&tag)
            .with_key(&key)
            .with_sharding_key(&sharding)
            .deliver_after(std::time::Duration::from_secs(1))
            .with_delay_level(level);
        let expected = if level == 0 { DeliveryTime::Now } else { DeliveryTime::Level(level) };
        prop_assert_eq!(message.delivery(), expected);
        let _ = message.check();
    }

    /// R9: ids never repeat within one generator, whatever the clock does.
    #[test]
    fn r9_ids_are_unique_when_the_clock_jumps(
        start in 1_500_000_000_000u64..2_000_000_000_000,
        jumps in prop::collection::vec(prop_oneof![Just(0i64), -100_000i64..100_000, -3_000_000_000i64..3_000_000_000], 1..200),
    ) {
        let ids = IdGenerator::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 7, 9);
        let (mut now, mut newest, mut seen) = (start, 0, HashSet::new());
        for jump in jumps {
            now = now.saturating_add_signed(jump);
            for _ in 0..3 {
                let id = ids.next(now);
                newest = newest.max(now);
                let parts = UniqueIdParts::parse(id.as_str()).unwrap();
                prop_assert_eq!((parts.process_id, parts.process_number), (7, 9));
                // The time in the id is the newest that the clock ever showed, so ids of one month grow.
                let since = newest - month_start_ms(newest);
                prop_assert!(u64::from(parts.ms_in_month) >= since && u64::from(parts.ms_in_month) <= since + 1);
                prop_assert!(seen.insert((month_start_ms(newest), id)), "an id came twice");
            }
        }
    }

    /// Offset ids come back as they were written.
    #[test]
    fn offset_ids_round_trip(ip: IpAddr, port: u32, commit_log_offset: i64) {
        let id = OffsetId { ip, port, commit_log_offset };
        let text = id.to_string();
        prop_assert_eq!(text.len(), if ip.is_ipv4() { 32 } else { 56 });
        prop_assert_eq!(OffsetId::parse(&text), Some(id));
        prop_assert_eq!(OffsetId::parse(&text.to_lowercase()), Some(id));
    }

    /// No text makes the readers of ids panic.
    #[test]
    fn odd_ids_are_refused_without_panic(text: String, hex in "[0-9a-fA-Fg+ ]{0,70}") {
        for text in [text, hex] {
            let readable = matches!(text.len(), 32 | 56) && text.bytes().all(|byte| byte.is_ascii_hexdigit());
            prop_assert_eq!(OffsetId::parse(&text).is_some(), readable);
            prop_assert_eq!(UniqueIdParts::parse(&text).is_some(), readable);
        }
    }

    /// The day of a month start is the first, and it is at most 31 days away.
    #[test]
    fn a_month_start_is_near_and_stays(now in 0u64..=253_402_300_799_999) {
        let start = month_start_ms(now);
        prop_assert!(start <= now && now - start < 31 * 86_400_000);
        prop_assert_eq!(start % 86_400_000, 0);
        prop_assert_eq!(month_start_ms(start), start);
        if start > 0 {
            prop_assert!(month_start_ms(start - 1) < start);
        }
    }

    /// The hash is the sum over UTF-16 units that Java defines.
    #[test]
    fn hashes_are_those_of_utf16_units(text: String) {
        let mut hash = 0i64;
        for unit in text.encode_utf16() {
            hash = (hash * 31 + i64::from(unit)) & 0xFFFF_FFFF;
        }
        prop_assert_eq!(java_string_hash(&text), hash as u32 as i32);
    }

    /// A filter made from tags accepts exactly these.
    #[test]
    fn a_filter_accepts_its_tags(tags in prop::collection::btree_set("[a-c]{1,2}", 1..4), other in "[a-d]{1,2}") {
        let filter = Filter::tags(&tags);
        prop_assert_eq!(filter.check(), Ok(()));
        prop_assert_eq!(filter.accepts_tag(Some(&other)), tags.contains(&other));
        prop_assert!(!filter.accepts_tag(None));
        let again = Filter::from(filter.expression());
        prop_assert_eq!(again, filter);
    }

    /// Any text can be asked whether it is a name.
    #[test]
    fn names_are_checked_without_panic(text: String) {
        let topic = Topic::from(text.as_str());
        let legal = |character: char| character.is_ascii_alphanumeric() || "%|-_".contains(character);
        let fine = !text.is_empty() && text.chars().all(legal) && text.len() <= Topic::MAX_LENGTH;
        prop_assert_eq!(topic.check().is_ok(), fine);
        prop_assert_eq!(text.parse::<Topic>().is_ok(), fine);
    }
}

/// R9: the counter has 16 bits; with a clock that stands still it runs over into the next millisecond instead of around.
#[test]
fn r9_ids_are_unique_when_the_clock_stands_still() {
    let ids = IdGenerator::new("10.0.0.9".parse().unwrap(), 1, 2);
    let made: HashSet<_> = (0..200_000).map(|_| ids.next(1_700_000_000_000)).collect();
    assert_eq!(made.len(), 200_000);
}

/// R9: a clock that goes back, also by a month, does not bring ids back.
#[test]
fn r9_ids_are_unique_when_the_clock_goes_back() {
    let ids = IdGenerator::new("::1".parse().unwrap(), 1, 2);
    let clock = [1_700_000_000_000, 1_699_999_999_999, 1_690_000_000_000, 0, 1_700_000_000_000, 1_700_000_000_001];
    let made: Vec<_> = clock.iter().cycle().take(600).map(|now| ids.next(*now)).collect();
    assert_eq!(made.iter().collect::<HashSet<_>>().len(), made.len());
}

/// R9: threads share one generator.
#[test]
fn r9_ids_are_unique_across_threads() {
    let ids = IdGenerator::new("10.0.0.9".parse().unwrap(), 1, 2);
    let all = Mutex::new(HashSet::new());
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                let made: Vec<_> = (0..20_000).map(|_| ids.next(1_700_000_000_000)).collect();
                all.lock().unwrap().extend(made);
            });
        }
    });
    assert_eq!(all.into_inner().unwrap().len(), 80_000);
}

/// A clock beyond what 48 bits of milliseconds hold makes no panic.
#[test]
fn ids_are_made_at_any_time() {
    let ids = IdGenerator::new("10.0.0.9".parse().unwrap(), 1, 2);
    for now in [0, 1, u64::from(u32::MAX), (1 << 48) - 2, u64::MAX] {
        assert_eq!(ids.next(now).as_str().len(), 32, "{now}");
    }
}
