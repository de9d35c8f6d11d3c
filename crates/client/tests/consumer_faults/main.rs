//! Push consumers under faults (rows R4, R6, R7, R11, R12, R20 to R22 and R27), in memory and on the paused clock, so that what is
//! measured is exact. What a group does under random faults is in `histories`.

mod blocking;
#[path = "../common/mod.rs"]
mod common;
mod disagreement;
mod dropped;
mod eviction;
mod hand_over;
mod listeners;
mod locks;
mod many_queues;
mod members;
mod offsets;
mod overtaking;
mod records;
mod recovery;
mod rest;
mod retries;
mod routes;
mod server_side;
mod shutdown;
mod slow_line;
