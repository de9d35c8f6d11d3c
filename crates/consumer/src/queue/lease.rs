use std::time::Duration;

use tokio::{sync::watch, time::Instant};

/// How long a lock holds for sure after it was asked for. Brokers keep it 60 s from when they answered (CON-ORD-02, CON-ORD-03).
const LEASE: Duration = Duration::from_secs(30);

/// The lock of one queue, as far as it can be proven: counted from when it was asked for, not from when the answer came.
#[derive(Debug)]
pub(crate) struct Lease {
    state: watch::Sender<State>,
}

#[derive(Clone, Copy, Debug)]
struct State {
    /// When it ends, unless it is kept.
    until: Instant,
    /// Since when it is in doubt: its broker may have forgotten it.
    doubted: Option<Instant>,
}

impl Lease {
    /// A lock that was asked for at `asked`, and won.
    pub(crate) fn won(asked: Instant) -> Self {
        Self { state: watch::Sender::new(State { until: asked + LEASE, doubted: None }) }
    }

    /// The lock was asked for again, and kept. One that has ended stays so: somebody may have had it in between.
    pub(crate) fn kept(&self, asked: Instant, now: Instant) {
        self.state.send_modify(|state| {
            if now < state.until {
                state.until = state.until.max(asked + LEASE);
                state.doubted.take_if(|since| *since <= asked);
            }
        });
    }

    /// The broker may have forgotten it. It holds again when the broker confirms it.
    pub(crate) fn doubt(&self, now: Instant) {
        self.state.send_modify(|state| _ = state.doubted.get_or_insert(now));
    }

    /// The broker has given it to somebody else.
    pub(crate) fn lost(&self, now: Instant) {
        self.state.send_modify(|state| state.until = now.min(state.until));
    }

    /// When it was asked for last.
    pub(crate) fn asked(&self) -> Instant {
        self.until().checked_sub(LEASE).unwrap_or_else(Instant::now)
    }

    /// When it ends, unless it is kept.
    pub(crate) fn until(&self) -> Instant {
        self.state.borrow().until
    }

    /// Whether it has ended.
    pub(crate) fn has_ended(&self, now: Instant) -> bool {
        now >= self.until()
    }

    /// Whether nobody else can have the queue.
    pub(crate) fn holds(&self, now: Instant) -> bool {
        let state = *self.state.borrow();
        now < state.until && state.doubted.is_none()
    }

    /// Waits until it ends.
    pub(crate) async fn ended(&self) {
        self.wait(|_| false).await;
    }

    /// Waits until it is in no doubt. `false`: it has ended.
    pub(crate) async fn certain(&self) -> bool {
        self.wait(|state| state.doubted.is_none()).await
    }

    /// Waits until the state is as wanted, or the lease has ended; says which.
    async fn wait(&self, is_wanted: impl Fn(&State) -> bool) -> bool {
        let mut changes = self.state.subscribe();
        loop {
            let state = *changes.borrow_and_update();
            if Instant::now() >= state.until {
                return false;
            }
            if is_wanted(&state) {
                return true;
            }
            // The sender is ours, so a change is the only other way out.
            let _ = tokio::time::timeout_at(state.until, changes.changed()).await;
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[tokio::test(start_paused = true)]
    async fn a_lease_counts_from_when_it_was_asked_for_and_ends_for_good() {
        let began = Instant::now();
        let lease = Lease::won(began);
        assert!(lease.holds(began + 29 * SECOND) && !lease.holds(began + 30 * SECOND));
        // Asked for after 10 s; the answer came after 25 s.
        lease.kept(began + 10 * SECOND, began + 25 * SECOND);
        assert!(lease.holds(began + 39 * SECOND) && !lease.holds(began + 40 * SECOND));
        // An answer that came too late proves nothing.
        lease.kept(began + 39 * SECOND, began + 41 * SECOND);
        assert!(!lease.holds(began + 41 * SECOND));
        lease.ended().await;
        assert_eq!(began.elapsed(), 40 * SECOND);
    }

    #[tokio::test(start_paused = true)]
    async fn who_waits_for_the_end_sees_it_move_and_come() {
        let began = Instant::now();
        let lease = Lease::won(began);
        let changes = async {
            tokio::time::sleep(20 * SECOND).await;
            lease.kept(Instant::now(), Instant::now());
            tokio::time::sleep(25 * SECOND).await;
            lease.lost(Instant::now());
        };
        tokio::join!(lease.ended(), changes);
        assert_eq!(began.elapsed(), 45 * SECOND);
        assert!(!lease.holds(Instant::now()));
    }

    #[test]
    fn a_lease_in_doubt_does_not_hold_until_it_is_confirmed_by_a_later_question() {
        let began = Instant::now();
        let lease = Lease::won(began);
        lease.doubt(began + 5 * SECOND);
        lease.doubt(began + 7 * SECOND);
        assert!(!lease.holds(began + 8 * SECOND) && !lease.has_ended(began + 8 * SECOND));
        lease.kept(began + 4 * SECOND, began + 9 * SECOND);
        assert!(!lease.holds(began + 9 * SECOND), "asked before: it says nothing of now");
        lease.kept(began + 8 * SECOND, began + 9 * SECOND);
        assert!(lease.holds(began + 9 * SECOND));
    }

    proptest! {
        /// R-I5: whatever is asked and answered when, a lease that holds was asked for less than 30 s ago, and none holds again
        /// once it has not.
        #[test]
        fn a_lease_that_holds_was_asked_for_less_than_30_s_ago(
            steps in proptest::collection::vec((0u32..40, 0u32..40, 0u8..8), 1..40)
        ) {
            let began = Instant::now();
            let lease = Lease::won(began);
            let (mut now, mut asked_last, mut has_ended) = (began, began, false);
            for (later, takes, what) in steps {
                now += SECOND * later;
                has_ended |= !lease.holds(now);
                let asked = now;
                now += SECOND * takes;
                has_ended |= !lease.holds(now);
                if what == 0 {
                    lease.lost(now);
                    has_ended = true;
                } else {
                    if !has_ended {
                        asked_last = asked;
                    }
                    lease.kept(asked, now);
                }
                prop_assert_eq!(lease.holds(now), !has_ended && now < asked_last + LEASE);
            }
        }
    }
}
