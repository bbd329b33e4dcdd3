//! The black-box tests, one module per area, in one binary.

mod architecture;
mod cli;
mod crash;
mod disk;
mod docker;
mod docs;
mod drivers;
mod exclusive;
mod front;
mod login;
mod psql;
mod secrets;
mod slt;
mod values;
