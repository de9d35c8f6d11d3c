use std::{collections::VecDeque, sync::Arc, time::Duration};

use parking_lot::Mutex;
use tokio::sync::{Notify, oneshot};

/// What may be in flight at once, by count and by bytes. A send waits for its place, first come, first served; the place is given
/// back when its future ends or is dropped. The line is as long as there are sends that wait, each within its deadline.
#[derive(Clone, Debug)]
#[doc(alias = "backPressureForAsyncSendNum")]
pub(crate) struct Window {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    max_count: usize,
    max_bytes: usize,
    state: Mutex<State>,
    drained: Notify,
}

#[derive(Debug, Default)]
struct State {
    count: usize,
    bytes: usize,
    line: VecDeque<(usize, oneshot::Sender<Place>)>,
    /// Sends that wait for their turn, and come for a place then.
    expected: usize,
    /// Somebody waits until nothing is in flight.
    is_draining: bool,
}

impl State {
    fn is_empty(&self) -> bool {
        self.count == 0 && self.line.is_empty() && self.expected == 0
    }
}

/// A send that will come for a place. A drain waits for it.
#[derive(Debug)]
pub(crate) struct Expected {
    inner: Arc<Inner>,
}

/// A place in the window.
#[derive(Debug)]
pub(crate) struct Place {
    inner: Arc<Inner>,
    bytes: usize,
}

impl Window {
    pub(crate) fn new(max_count: usize, max_bytes: usize) -> Self {
        let inner = Inner { max_count, max_bytes, state: Mutex::default(), drained: Notify::new() };
        Self { inner: Arc::new(inner) }
    }

    /// Takes a place, if there is one and nobody waits for it.
    pub(crate) fn try_enter(&self, bytes: usize) -> Option<Place> {
        let mut state = self.inner.state.lock();
        if state.line.is_empty() { self.inner.take(&mut state, self.weight(bytes)) } else { None }
    }

    /// Whether [`try_enter`](Self::try_enter) would give a place right now: for what is over at once, and needs none.
    pub(crate) fn has_room(&self, bytes: usize) -> bool {
        let state = self.inner.state.lock();
        state.line.is_empty() && self.inner.fits(&state, self.weight(bytes))
    }

    /// Waits for a place. `None` when none came free in time. The place in the line is taken when this is first polled.
    pub(crate) async fn enter(&self, bytes: usize, limit: Duration) -> Option<Place> {
        let bytes = self.weight(bytes);
        // However this ends, also when it is dropped: who gave up must not stand in the way of those behind.
        let _line = Line(&self.inner);
        let place = {
            let mut state = self.inner.state.lock();
            if state.line.is_empty()
                && let Some(place) = self.inner.take(&mut state, bytes)
            {
                return Some(place);
            }
            let (sender, place) = oneshot::channel();
            state.line.push_back((bytes, sender));
            place
        };
        tokio::time::timeout(limit, place).await.ok()?.ok()
    }

    /// Says that a send will come for a place.
    pub(crate) fn expect(&self) -> Expected {
        self.inner.state.lock().expected += 1;
        Expected { inner: self.inner.clone() }
    }

    /// How many are in flight, and how many bytes.
    pub(crate) fn in_flight(&self) -> (usize, usize) {
        let state = self.inner.state.lock();
        (state.count, state.bytes)
    }

    /// Waits until nothing is in flight. `false` when the time was over first.
    pub(crate) async fn drain(&self, limit: Duration) -> bool {
        let drained = async {
            loop {
                let drained = self.inner.drained.notified();
                {
                    let mut state = self.inner.state.lock();
                    if state.is_empty() {
                        return;
                    }
                    state.is_draining = true;
                }
                drained.await;
            }
        };
        tokio::time::timeout(limit, drained).await.is_ok()
    }

    /// A message larger than the window takes all of it.
    fn weight(&self, bytes: usize) -> usize {
        bytes.clamp(1, self.inner.max_bytes)
    }
}

impl Inner {
    fn take(self: &Arc<Self>, state: &mut State, bytes: usize) -> Option<Place> {
        self.fits(state, bytes).then(|| {
            state.count += 1;
            state.bytes += bytes;
            Place { inner: self.clone(), bytes }
        })
    }

    fn fits(&self, state: &State, bytes: usize) -> bool {
        state.count < self.max_count && state.bytes + bytes <= self.max_bytes
    }

    /// Lets those in who have waited longest and fit.
    fn serve(self: &Arc<Self>) {
        // Places of those who went away meanwhile are given back after the lock.
        let mut unwanted = Vec::new();
        let mut state = self.state.lock();
        while let Some((bytes, waiting)) = state.line.front() {
            if waiting.is_closed() {
                state.line.pop_front();
                continue;
            }
            let bytes = *bytes;
            let Some(place) = self.take(&mut state, bytes) else { break };
            if let Some((_, waiting)) = state.line.pop_front() {
                unwanted.extend(waiting.send(place).err());
            }
        }
        // Those in the line may all have gone, and then nobody gives a place back any more.
        let is_drained = state.is_draining && state.is_empty();
        drop(state);
        if is_drained {
            self.drained.notify_waiters();
        }
    }
}

struct Line<'a>(&'a Arc<Inner>);

impl Drop for Line<'_> {
    fn drop(&mut self) {
        self.0.serve();
    }
}

impl Drop for Expected {
    fn drop(&mut self) {
        let mut state = self.inner.state.lock();
        state.expected -= 1;
        let is_drained = state.is_draining && state.is_empty();
        drop(state);
        if is_drained {
            self.inner.drained.notify_waiters();
        }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut state = self.inner.state.lock();
        state.count -= 1;
        state.bytes -= self.bytes;
        let (has_line, is_drained) = (!state.line.is_empty(), state.is_draining && state.is_empty());
        drop(state);
        if has_line {
            self.inner.serve();
        }
        if is_drained {
            self.inner.drained.notify_waiters();
        }
    }
}

#[cfg(test)]
#[path = "window_props.rs"]
mod props;

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[tokio::test(start_paused = true)]
    async fn who_waits_longest_enters_first_and_late_comers_do_not_overtake() {
        let window = Window::new(2, 100);
        let first = window.try_enter(60).expect("an empty window");
        let large = tokio::spawn({
            let window = window.clone();
            async move { window.enter(90, SECOND).await }
        });
        tokio::task::yield_now().await;
        assert!(window.try_enter(1).is_none(), "it would overtake");
        drop(first);
        let large = large.await.expect("no panic").expect("there is room now");
        assert_eq!(window.in_flight(), (1, 90));
        drop(large);
        assert_eq!(window.in_flight(), (0, 0));
    }

    #[tokio::test(start_paused = true)]
    async fn who_gives_up_does_not_stand_in_the_way_of_those_behind() {
        let window = Window::new(8, 100);
        let place = window.try_enter(50).expect("an empty window");
        let patient = window.clone();
        let (large, small) = tokio::join!(window.enter(100, SECOND), async move {
            tokio::task::yield_now().await;
            patient.enter(10, 2 * SECOND).await
        });
        assert!(large.is_none(), "it never fitted");
        assert!(small.is_some(), "nobody is before it any more");
        drop(place);
    }

    #[tokio::test(start_paused = true)]
    async fn a_wait_that_is_dropped_gives_back_the_place_that_it_got() {
        let window = Window::new(1, 100);
        let place = window.try_enter(1).expect("an empty window");
        {
            let mut waiting = std::pin::pin!(window.enter(1, SECOND));
            let polled = std::future::poll_fn(|cx| std::task::Poll::Ready(waiting.as_mut().poll(cx))).await;
            assert!(polled.is_pending());
            drop(place);
            assert_eq!(window.in_flight().0, 1, "it was let in");
        }
        assert_eq!(window.in_flight(), (0, 0));
    }

    #[tokio::test(start_paused = true)]
    async fn a_wait_that_is_dropped_lets_those_behind_in() {
        let window = Window::new(8, 100);
        let place = window.try_enter(50).expect("an empty window");
        let poll = |waiting: std::pin::Pin<&mut dyn Future<Output = Option<Place>>>| {
            waiting.poll(&mut std::task::Context::from_waker(std::task::Waker::noop()))
        };
        let mut large = Box::pin(window.enter(100, SECOND));
        assert!(poll(large.as_mut()).is_pending());
        let mut small = Box::pin(window.enter(10, SECOND));
        assert!(poll(small.as_mut()).is_pending());
        drop(large);
        assert!(small.await.is_some());
        drop(place);
    }

    /// Between giving the last place back and serving the line, a drain may begin.
    #[tokio::test(start_paused = true)]
    async fn draining_ends_when_the_last_one_in_the_line_turns_out_to_have_gone() {
        let window = Window::new(1, 100);
        let (gone, _) = oneshot::channel();
        window.inner.state.lock().line.push_back((1, gone));
        let (drained, ()) = tokio::join!(window.drain(SECOND), async { window.inner.serve() });
        assert!(drained);
    }

    #[tokio::test(start_paused = true)]
    async fn draining_ends_when_the_last_place_is_given_back_or_the_time_is_over() {
        let window = Window::new(4, 100);
        assert!(window.drain(SECOND).await);
        let place = window.try_enter(1).expect("an empty window");
        assert!(!window.drain(SECOND).await);
        let (drained, ()) = tokio::join!(window.drain(SECOND), async move { drop(place) });
        assert!(drained);
    }
}
