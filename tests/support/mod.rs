//! What tests of behaviour stand on: a lab of real node processes, and clients that are not ours.

pub mod certificates;
pub mod cluster;
pub mod disk;
pub mod domain;
pub mod files;
pub mod host;
pub mod http;
pub mod keytab;
pub mod lab;
pub mod load;
pub mod log;
pub mod pool;
pub mod processes;
pub mod program;
pub mod shared;
pub mod sign_in;
pub mod simulator;
pub mod sink;
pub mod soap;
pub mod stored;
pub mod terminal;
pub mod turn;
pub mod uploads;
pub mod wait;
pub mod witness;
