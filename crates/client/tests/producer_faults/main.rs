//! The producer under faults (rows R1, R3, R4, R6, R19, R22, R23 and R26), in memory and on the paused clock. Every case keeps a
//! [`ledger`] of its sends and holds the invariants R-I1, R-I2, R-I7 and R-I10 against what the brokers stored.

mod batches;
mod codes;
#[path = "../common/mod.rs"]
mod common;
mod cuts;
mod interceptors;
mod ledger;
mod order;
mod outages;
mod refusals;
mod requests;
mod shutdown;
mod tolerance;
mod transactions;
