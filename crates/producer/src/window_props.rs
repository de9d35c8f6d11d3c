//! The window against a model of it: a line in which everybody has a size. Futures are polled by hand, and dropped at any moment.

use std::{
    pin::Pin,
    task::{Context, Poll, Waker},
};

use proptest::prelude::*;

use super::*;

const COUNT: usize = 4;
const BYTES: usize = 100;

#[derive(Clone, Copy, Debug)]
enum Step {
    TryEnter(usize),
    Enter(usize),
    /// Whoever waits looks whether it may.
    Look(usize),
    /// A place is given back.
    Leave(usize),
    /// A send that waits is dropped.
    GiveUp(usize),
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        // Some larger than the window, some of nothing.
        (0usize..150).prop_map(Step::TryEnter),
        (0usize..150).prop_map(Step::Enter),
        any::<usize>().prop_map(Step::Look),
        any::<usize>().prop_map(Step::Leave),
        any::<usize>().prop_map(Step::GiveUp),
    ]
}

struct Waiting {
    entering: Pin<Box<dyn Future<Output = Option<Place>>>>,
    bytes: usize,
    /// Whether it has a place, seen or not.
    is_in: bool,
}

impl Waiting {
    fn look(&mut self) -> Poll<Option<Place>> {
        self.entering.as_mut().poll(&mut Context::from_waker(Waker::noop()))
    }
}

#[derive(Default)]
struct Model {
    held: Vec<(Place, usize)>,
    line: Vec<Waiting>,
    count: usize,
    bytes: usize,
}

impl Model {
    fn fits(&self, bytes: usize) -> bool {
        self.count < COUNT && self.bytes + bytes <= BYTES
    }

    fn nobody_waits(&self) -> bool {
        self.line.iter().all(|waiting| waiting.is_in)
    }

    fn add(&mut self, bytes: usize) {
        self.count += 1;
        self.bytes += bytes;
    }

    fn take_off(&mut self, bytes: usize) {
        self.count -= 1;
        self.bytes -= bytes;
    }

    /// First come, first served, and nobody overtakes one that does not fit yet.
    fn serve(&mut self) {
        for index in 0..self.line.len() {
            let (bytes, is_in) = (self.line[index].bytes, self.line[index].is_in);
            if is_in {
                continue;
            }
            if !self.fits(bytes) {
                break;
            }
            self.line[index].is_in = true;
            self.add(bytes);
        }
    }
}

fn play(window: &Window, steps: Vec<Step>) -> Result<(), TestCaseError> {
    let mut model = Model::default();
    for step in steps {
        match step {
            Step::TryEnter(bytes) => {
                let place = window.try_enter(bytes);
                let bytes = bytes.clamp(1, BYTES);
                prop_assert_eq!(place.is_some(), model.nobody_waits() && model.fits(bytes));
                if let Some(place) = place {
                    model.add(bytes);
                    model.held.push((place, bytes));
                }
            }
            Step::Enter(bytes) => {
                let entering = window.clone();
                let entering = async move { entering.enter(bytes, Duration::from_secs(1)).await };
                let bytes = bytes.clamp(1, BYTES);
                let mut waiting = Waiting { entering: Box::pin(entering), bytes, is_in: false };
                let enters = model.nobody_waits() && model.fits(bytes);
                match waiting.look() {
                    Poll::Ready(place) => {
                        prop_assert!(enters && place.is_some());
                        model.add(bytes);
                        model.held.extend(place.map(|place| (place, bytes)));
                    }
                    Poll::Pending => {
                        prop_assert!(!enters);
                        model.line.push(waiting);
                    }
                }
            }
            Step::Look(pick) if !model.line.is_empty() => {
                let index = pick % model.line.len();
                let waiting = &mut model.line[index];
                match waiting.look() {
                    Poll::Ready(place) => {
                        prop_assert!(waiting.is_in && place.is_some());
                        let waiting = model.line.remove(index);
                        model.held.extend(place.map(|place| (place, waiting.bytes)));
                    }
                    Poll::Pending => prop_assert!(!waiting.is_in),
                }
            }
            Step::Leave(pick) if !model.held.is_empty() => {
                let (place, bytes) = model.held.swap_remove(pick % model.held.len());
                drop(place);
                model.take_off(bytes);
                model.serve();
            }
            Step::GiveUp(pick) if !model.line.is_empty() => {
                let waiting = model.line.remove(pick % model.line.len());
                if waiting.is_in {
                    model.take_off(waiting.bytes);
                }
                drop(waiting);
                model.serve();
            }
            _ => {}
        }
        prop_assert_eq!(window.in_flight(), (model.count, model.bytes));
        prop_assert!(model.count <= COUNT && model.bytes <= BYTES);
    }
    drop(model);
    prop_assert_eq!(window.in_flight(), (0, 0), "every place came back");
    prop_assert!(window.try_enter(BYTES).is_some(), "nobody stands in the way");
    Ok(())
}

proptest! {
    /// R-I6, R23: over any order of comings, goings and givings up the window lets in who is next and fits, never more than it may,
    /// and loses no place.
    #[test]
    fn the_window_is_a_line_and_never_overfull(steps in proptest::collection::vec(step(), 0..80)) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
        runtime.block_on(async { play(&Window::new(COUNT, BYTES), steps) })?;
    }
}
