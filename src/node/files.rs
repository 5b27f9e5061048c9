//! How many files and connections this process may have open: a service often starts with a soft limit of 1,024.

use crate::event::Event;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// Raises the soft limit so far that there is room for so many clients; says if the hard limit is lower.
pub(super) fn raise(connections_max: usize) {
    let needed = connections_max as u64 + OTHERS;
    let Rlimit { current, maximum } = getrlimit(Resource::Nofile);
    if current.is_none_or(|current| current >= needed) {
        return;
    }
    let possible = maximum.map_or(needed, |maximum| maximum.min(needed));
    let raised = setrlimit(Resource::Nofile, Rlimit { current: Some(possible), maximum });
    let has = if raised.is_ok() { Some(possible) } else { current };
    if let Some(has) = has.filter(|has| *has < needed) {
        Event::FewOpenFiles { has, needed }.log();
    }
}

/// Connections to the service, to other nodes and of monitors, the store, and room to refuse.
const OTHERS: u64 = 2_000;
