//! What the log and the collector are told of a request at the node that relays it.

use super::{Answered, Failure, Head, Relay};
use crate::trace::{Kind, Span, TraceContext};

/// A request that is being relayed.
pub(super) struct Traced<'a> {
    head: &'a Head,
    trace: TraceContext,
    span: Span,
}

impl<'a> Traced<'a> {
    pub(super) fn begin(relay: &Relay, head: &'a Head) -> Self {
        let trace = head.trace.child();
        let mut span = relay.spans.begin("relay", Kind::Server, trace, Some(head.trace));
        span.note("rmsc.request_id", || head.request_id.clone());
        span.note("rmsc.front_node", || head.front_node.clone());
        Traced { head, trace, span }
    }

    pub(super) fn ended(mut self, result: &Result<Answered, Failure>) {
        if let Err(failure) = result {
            self.span.failed(if failure.is_of_the_caller() { "refused" } else { "failed" });
        }
        self.span.note("rmsc.operation", || {
            self.head.course.facts().operation.map(|it| it.name().to_owned()).unwrap_or_default()
        });
        let Head { request_id, front_node, attempt, .. } = self.head;
        tracing::debug!(
            request_id,
            trace_id = self.trace.trace_id(),
            span_id = self.trace.span_id(),
            front_node,
            attempt,
            answered = result.is_ok(),
            "relayed"
        );
    }
}
