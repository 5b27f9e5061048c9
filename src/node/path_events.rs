//! Says when this node has no way to the service, and when it has one again.

use crate::event::Event;
use crate::tasks::Tasks;
use tokio::sync::watch;

pub(super) async fn log(mut cut: watch::Receiver<Option<String>>, tasks: Tasks) {
    let mut was_cut = false;
    loop {
        let reason = cut.borrow_and_update().clone();
        match (was_cut, &reason) {
            (false, Some(reason)) => Event::ServiceOutOfReach { reason }.log(),
            (true, None) => Event::ServiceInReach.log(),
            (true, Some(_)) | (false, None) => {}
        }
        was_cut = reason.is_some();
        tokio::select! {
            changed = cut.changed() => if changed.is_err() { return },
            () = tasks.draining() => return,
        }
    }
}
