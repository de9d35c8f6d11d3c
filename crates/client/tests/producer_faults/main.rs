//! The producer under faults (row R1), in memory and on the paused clock. Every case keeps a
//! [`ledger`] of its sends and holds the invariants R-I1, R-I2, R-I7 and R-I10 against what the brokers stored.

mod cuts;
mod ledger;

mod wire;
