//! Behaviour, at the places where a user sees it: a lab of real node processes on loopback, the command
//! line, and clients that are not ours. Run it with `tests/run`, which installs those.

#[path = "../support/mod.rs"]
mod support;

mod administrators;
mod attacks;
mod audit;
mod authorization;
mod backup;
mod bad_configuration;
mod bad_input;
mod certificates;
mod cloud;
mod cloud_renewal;
mod connections;
mod cost;
mod curl;
mod descriptions;
mod directory;
mod disk;
mod endpoints;
mod events;
mod failover;
mod footprint;
mod golden;
mod help;
mod join;
mod kept_answers;
mod kerberos;
mod kerberos_keys;
mod lab_command;
mod leadership;
mod limits;
mod logins;
mod nodes;
mod pooled;
mod ports;
mod power_cuts;
mod python_clients;
mod readings;
mod recovery;
mod remote_procedures;
mod sealed;
mod sequences;
mod service_trouble;
mod simulator;
mod spoofing;
mod status;
mod terminal;
mod tokens;
mod upstreams;
mod winbind;
mod witness;
