//! Seeds that failed once. Every run plays them first.
//!
//! What a seed plays changes with every draw that is added to the simulation, so a bug that was found here also gets a test of its own
//! where it can be said in one; the seed stays all the same.

use crate::world::Kind;

pub(crate) const fn that_failed(kind: Kind) -> &'static [u64] {
    match kind {
        Kind::Concurrent => &[],
        Kind::Broadcast => &[24],
        Kind::Orderly => &[0, 3, 5, 26, 198],
    }
}
