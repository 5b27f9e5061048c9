//! A span: a part of a request's way that took its time, for a collector outside. Without one nothing is kept.

use super::TraceContext;
use std::fmt;
use std::time::{Duration, Instant, SystemTime};
use tokio::sync::mpsc;

/// On which side of a call a span is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Who is called.
    Server,
    /// Who calls.
    Client,
}

/// A span that is over.
#[derive(Clone, Debug)]
pub struct Ended {
    /// Which one it is.
    pub context: TraceContext,
    /// What it is a part of.
    pub parent: Option<TraceContext>,
    /// What was done.
    pub name: &'static str,
    /// On which side.
    pub kind: Kind,
    /// When it began.
    pub begun_at: SystemTime,
    /// How long it took.
    pub took: Duration,
    /// Why it failed, if it did.
    pub failed: Option<&'static str>,
    /// What else is known. There are no names of accounts in it, and no addresses.
    pub attributes: Vec<(&'static str, String)>,
}

/// Takes spans. Clones are the same.
#[derive(Clone, Default)]
pub struct Spans(Option<mpsc::Sender<Ended>>);

/// A span that goes on; it is over when it is dropped.
pub struct Span {
    sink: Option<(mpsc::Sender<Ended>, Instant, Box<Ended>)>,
}

impl Spans {
    /// Hands spans to this queue. What does not fit is lost: no request waits for a collector.
    #[must_use]
    pub fn to(queue: mpsc::Sender<Ended>) -> Self {
        Spans(Some(queue))
    }

    /// A part of a request begins.
    #[must_use]
    pub fn begin(
        &self,
        name: &'static str,
        kind: Kind,
        context: TraceContext,
        parent: Option<TraceContext>,
    ) -> Span {
        let sink = self.0.clone().filter(|_| context.is_sampled()).map(|queue| {
            let ended = Ended {
                context,
                parent,
                name,
                kind,
                begun_at: SystemTime::now(),
                took: Duration::ZERO,
                failed: None,
                attributes: Vec::new(),
            };
            (queue, Instant::now(), Box::new(ended))
        });
        Span { sink }
    }
}

impl Span {
    /// Adds what is known. It is worded only where somebody listens.
    pub fn note(&mut self, name: &'static str, value: impl FnOnce() -> String) {
        if let Some((_, _, ended)) = &mut self.sink {
            ended.attributes.push((name, value()));
        }
    }

    /// It failed, for this reason.
    pub fn failed(&mut self, why: &'static str) {
        if let Some((_, _, ended)) = &mut self.sink {
            ended.failed = Some(why);
        }
    }
}

impl Drop for Span {
    fn drop(&mut self) {
        if let Some((queue, begun, mut ended)) = self.sink.take() {
            ended.took = begun.elapsed();
            let _ = queue.try_send(*ended);
        }
    }
}

impl fmt::Debug for Spans {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.0.is_some() { "Spans(told)" } else { "Spans(not told)" })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_span_is_told_when_it_is_over_and_only_if_somebody_wants_it() {
        let (queue, mut told) = mpsc::channel(1);
        let spans = Spans::to(queue);
        let context = TraceContext::begin(7);
        let mut span = spans.begin("relay", Kind::Server, context.child(), Some(context));
        span.note("node", || "node-1".into());
        span.failed("overdue");
        assert!(told.try_recv().is_err());
        drop(span);
        let ended = told.try_recv().unwrap();
        assert_eq!((ended.parent, ended.failed), (Some(context), Some("overdue")));
        assert_eq!(ended.attributes, [("node", "node-1".to_owned())]);
        let unwanted =
            TraceContext::parse("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-00").unwrap();
        drop(spans.begin("relay", Kind::Server, unwanted, None));
        assert!(told.try_recv().is_err());
        // Full is no reason to wait.
        (0..3).for_each(|_| drop(spans.begin("relay", Kind::Server, context, None)));
        assert!(told.try_recv().is_ok() && told.try_recv().is_err());
        drop(Spans::default().begin("relay", Kind::Server, context, None));
    }
}
