#![doc = include_str!("docs/architecture.md")]

pub mod cli;
pub mod config;
pub mod lab;
pub mod node;

pub mod front;
pub mod relay;

pub mod backup;
pub mod control;
pub mod enrolment;
pub mod renewal;

pub mod cluster;
pub mod state;

pub mod directory;
pub mod identity;
pub mod listener;
pub mod rms;
pub mod seal;
pub mod simulator;
pub mod storage;
pub mod telemetry;
pub mod tls;
pub mod upstream;

pub mod event;
pub mod metrics;
pub mod principal;
pub mod proto;
pub mod secret;
pub mod tasks;
pub mod trace;
