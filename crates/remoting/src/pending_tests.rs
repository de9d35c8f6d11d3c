use bytes::BytesMut;
use ferrocket_protocol::{Frame, HeaderFormat, NoFields, ResponseCode, encode_response, limits};
use proptest::prelude::*;

use super::*;

fn answer(opaque: i32) -> Command {
    let mut wire = BytesMut::new();
    let head = encode_response(
        opaque,
        ResponseCode::SUCCESS,
        None,
        &NoFields,
        bytes::Bytes::new(),
        HeaderFormat::Binary,
        &mut wire,
    );
    assert!(head.unwrap().body.is_none());
    Command::read(Frame::decode(&mut wire, limits::MAX_FRAME_BYTES).unwrap().unwrap()).unwrap()
}

fn at(epoch: Instant, ms: u64) -> Instant {
    epoch + Duration::from_millis(ms)
}

#[test]
fn r_i10_an_answer_completes_its_own_request_only() {
    let epoch = Instant::now();
    let mut pending = Pending::new(10, epoch);
    let first = pending.insert(at(epoch, 100), 0).unwrap();
    pending.remove(first);
    let second = pending.insert(at(epoch, 100), 0).unwrap();
    assert_eq!(first.index, second.index, "the slot is used again");
    assert!(pending.complete(answer(first.opaque())).is_err(), "a late answer meets nobody");
    assert!(pending.complete(answer(second.opaque())).is_ok());
    assert!(pending.complete(answer(second.opaque())).is_err(), "a second answer meets nobody");
    assert!(matches!(pending.poll(second, Waker::noop()), Progress::Answered(_)));
    assert_eq!(pending.len(), 0);
}

#[test]
fn r17_opaques_that_were_never_given_out_meet_nobody() {
    let epoch = Instant::now();
    let mut pending = Pending::new(10, epoch);
    let key = pending.insert(at(epoch, 100), 0).unwrap();
    for opaque in [0, -1, i32::MIN, i32::MAX, key.opaque() + 1, key.opaque() + (1 << INDEX_BITS)] {
        assert!(pending.complete(answer(opaque)).is_err(), "{opaque}");
    }
    assert!(key.opaque() > 0);
}

#[test]
fn r17_generations_start_anew_and_opaques_stay_positive() {
    let epoch = Instant::now();
    let mut pending = Pending::new(1, epoch);
    for _ in 0..3 * LAST_GENERATION {
        let key = pending.insert(at(epoch, 100), 0).unwrap();
        assert!(key.opaque() > 0);
        pending.remove(key);
    }
}

#[test]
fn a_full_table_takes_nothing_until_a_slot_is_free() {
    let epoch = Instant::now();
    let mut pending = Pending::new(2, epoch);
    let one = pending.insert(at(epoch, 5), 0).unwrap();
    pending.insert(at(epoch, 5), 0).unwrap();
    assert!(pending.insert(at(epoch, 5), 0).is_none());
    pending.remove(one);
    assert!(pending.insert(at(epoch, 5), 0).is_some());
}

#[test]
fn nothing_ends_before_its_deadline() {
    let epoch = Instant::now();
    let mut pending = Pending::new(2, epoch);
    let deadline = epoch + Duration::from_micros(1_500);
    let key = pending.insert(deadline, 0).unwrap();
    let mut wakers = Vec::new();
    assert_eq!(pending.expire(at(epoch, 1), &mut wakers), 0);
    assert_eq!(pending.next_deadline(), Some(at(epoch, 2)));
    assert_eq!(pending.expire(at(epoch, 2), &mut wakers), 1);
    assert!(matches!(pending.poll(key, Waker::noop()), Progress::Expired));
    assert_eq!(pending.next_deadline(), None);
}

#[derive(Clone, Debug)]
enum Step {
    Insert(u64),
    Complete(usize),
    Remove(usize),
    Expire(u64),
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        (0u64..50).prop_map(Step::Insert),
        any::<usize>().prop_map(Step::Complete),
        any::<usize>().prop_map(Step::Remove),
        (0u64..60).prop_map(Step::Expire),
    ]
}

proptest! {
    /// Against a plain list: the same requests wait, the same ones end, and the earliest deadline is the same.
    #[test]
    fn any_schedule_agrees_with_a_list(steps in proptest::collection::vec(step(), 0..200)) {
        let epoch = Instant::now();
        let mut pending = Pending::new(20, epoch);
        let mut model: Vec<(Key, u64)> = Vec::new();
        let mut now = 0;
        for step in steps {
            match step {
                Step::Insert(ms) => {
                    let key = pending.insert(at(epoch, now + ms), 0);
                    prop_assert_eq!(key.is_some(), model.len() < 20);
                    model.extend(key.map(|key| (key, now + ms)));
                }
                Step::Complete(n) if !model.is_empty() => {
                    let (key, _) = model.remove(n % model.len());
                    prop_assert!(pending.complete(answer(key.opaque())).is_ok());
                    prop_assert!(matches!(pending.poll(key, Waker::noop()), Progress::Answered(_)));
                }
                Step::Remove(n) if !model.is_empty() => {
                    let (key, _) = model.remove(n % model.len());
                    pending.remove(key);
                }
                Step::Expire(ms) => {
                    now += ms;
                    let (gone, left): (Vec<_>, Vec<_>) = model.into_iter().partition(|(_, deadline)| *deadline <= now);
                    model = left;
                    prop_assert_eq!(pending.expire(at(epoch, now), &mut Vec::new()), gone.len());
                    for (key, _) in gone {
                        prop_assert!(matches!(pending.poll(key, Waker::noop()), Progress::Expired));
                    }
                }
                _ => {}
            }
            prop_assert_eq!(pending.len(), model.len());
            prop_assert_eq!(pending.next_deadline(), model.iter().map(|(_, ms)| at(epoch, *ms)).min());
        }
    }
}
