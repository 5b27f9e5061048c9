//! A node's process stands still and keeps its sockets: SIGSTOP, and SIGCONT after a while. A host that swaps, or a
//! virtual machine that is moved, looks like this.

use crate::stage::Stage;
use rustix::process::Signal;
use std::time::Duration;

/// Whether all nodes can be well right after it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rejoin {
    AtOnce,
    Later,
}

pub fn for_a_while(stage: &mut Stage, number: usize, span: Duration, rejoin: Rejoin) {
    stage.without_front(number, |stage| {
        stage.cut_off(number, |stage| {
            stage.broken(|stage| {
                stage.cluster.signal(number, Signal::STOP);
                stage.hold(span);
                stage.cluster.signal(number, Signal::CONT);
            });
            if rejoin == Rejoin::AtOnce {
                stage.recover();
            }
        });
    });
}
