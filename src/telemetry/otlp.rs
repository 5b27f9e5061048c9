//! Tells a collector of spans, in batches: OTLP over gRPC. What it does not take is lost, and no request waits for it.

use crate::tasks::Tasks;
use crate::trace::{Ended, Kind, Spans};
use opentelemetry::trace::{SpanContext, SpanId, SpanKind, Status, TraceFlags, TraceId, TraceState};
use opentelemetry::{InstrumentationScope, KeyValue};
use opentelemetry_otlp::{SpanExporter, WithExportConfig};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::trace::{SpanData, SpanEvents, SpanExporter as _, SpanLinks};
use std::error::Error;
use std::time::Duration;
use tokio::sync::mpsc;

/// Tells this collector until the tasks drain.
pub(super) fn start(address: &str, node: &str, tasks: &Tasks) -> Result<Spans, Box<dyn Error + Send + Sync>> {
    let mut exporter =
        SpanExporter::builder().with_tonic().with_endpoint(address).with_timeout(EXPORT_TIMEOUT).build()?;
    let resource = Resource::builder_empty().with_attributes([
        KeyValue::new("service.name", "rmsc"),
        KeyValue::new("service.version", env!("CARGO_PKG_VERSION")),
        KeyValue::new("service.instance.id", node.to_owned()),
    ]);
    exporter.set_resource(&resource.build());
    let (queue, ended) = mpsc::channel(SPANS_QUEUED_MAX);
    tasks.spawn("spans", tell(exporter, ended, tasks.clone()));
    Ok(Spans::to(queue))
}

async fn tell(exporter: SpanExporter, mut ended: mpsc::Receiver<Ended>, tasks: Tasks) {
    let mut batch = Vec::new();
    while !tasks.is_draining() {
        tokio::select! {
            received = ended.recv_many(&mut batch, BATCH_MAX) => if received == 0 { return },
            () = tasks.draining() => return,
        }
        // More may come with the same call.
        tokio::time::sleep(GATHER).await;
        while batch.len() < BATCH_MAX
            && let Ok(next) = ended.try_recv()
        {
            batch.push(next);
        }
        let spans = batch.drain(..).map(span).collect();
        if let Err(error) = exporter.export(spans).await {
            tracing::debug!(%error, "the collector does not take spans");
        }
    }
}

fn span(ended: Ended) -> SpanData {
    let Ended { context, parent, name, kind, begun_at, took, failed, attributes } = ended;
    let (trace_id, span_id) = context.ids();
    let context = SpanContext::new(
        TraceId::from(trace_id),
        SpanId::from(span_id),
        TraceFlags::SAMPLED,
        false,
        TraceState::default(),
    );
    SpanData {
        span_context: context,
        parent_span_id: parent.map_or(SpanId::INVALID, |parent| SpanId::from(parent.ids().1)),
        parent_span_is_remote: kind == Kind::Server,
        span_kind: match kind {
            Kind::Server => SpanKind::Server,
            Kind::Client => SpanKind::Client,
        },
        name: name.into(),
        start_time: begun_at,
        end_time: begun_at + took,
        attributes: attributes.into_iter().map(|(name, value)| KeyValue::new(name, value)).collect(),
        dropped_attributes_count: 0,
        events: SpanEvents::default(),
        links: SpanLinks::default(),
        status: failed.map_or(Status::Unset, Status::error),
        instrumentation_scope: InstrumentationScope::builder("rmsc").build(),
    }
}

/// A busy node ends some thousands a second.
const SPANS_QUEUED_MAX: usize = 8_192;
const BATCH_MAX: usize = 512;
const GATHER: Duration = Duration::from_millis(200);
const EXPORT_TIMEOUT: Duration = Duration::from_secs(5);

#[cfg(test)]
mod tests;
