//! A collector of the test's own: HTTP/2, and whatever bytes come.

use super::*;
use crate::trace::TraceContext;
use http::{HeaderMap, HeaderValue, Request, Response};
use http_body_util::{BodyExt, StreamBody};
use hyper::body::{Bytes, Frame, Incoming};
use hyper::server::conn::http2;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use std::convert::Infallible;
use tokio::net::TcpListener;

#[tokio::test]
async fn a_collector_hears_of_a_span() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = format!("http://{}", listener.local_addr().unwrap());
    let (heard, mut calls) = mpsc::channel(1);
    drop(tokio::spawn(async move {
        let stream = listener.accept().await.unwrap().0;
        let service = service_fn(move |request: Request<Incoming>| {
            let heard = heard.clone();
            async move {
                let path = request.uri().path().to_owned();
                let bytes = request.into_body().collect().await.unwrap().to_bytes();
                heard.send((path, bytes)).await.unwrap();
                // An empty message, and that all is well.
                let mut trailers = HeaderMap::new();
                trailers.insert("grpc-status", HeaderValue::from_static("0"));
                let frames = [Frame::data(Bytes::from_static(&[0; 5])), Frame::trailers(trailers)];
                let frames = frames.map(Ok::<_, Infallible>);
                let body = StreamBody::new(futures::stream::iter(frames));
                Ok::<_, Infallible>(
                    Response::builder().header("content-type", "application/grpc").body(body).unwrap(),
                )
            }
        });
        let _ =
            http2::Builder::new(TokioExecutor::new()).serve_connection(TokioIo::new(stream), service).await;
    }));
    let tasks = Tasks::new();
    let spans = start(&address, "node-1", &tasks).unwrap();
    let front = TraceContext::begin(0x0af7_6519_16cd_43dd_8448_eb21_1c80_319c);
    let relay = front.child();
    let mut span = spans.begin("relay", Kind::Server, relay, Some(front));
    span.note("rmsc.front_node", || "node-2".into());
    drop(span);
    let (path, bytes) = tokio::time::timeout(EXPORT_TIMEOUT, calls.recv()).await.unwrap().unwrap();
    assert_eq!(path, "/opentelemetry.proto.collector.trace.v1.TraceService/Export");
    let has = |part: &[u8]| bytes.windows(part.len()).any(|it| it == part);
    let ((trace_id, own), (_, parent)) = (relay.ids(), front.ids());
    assert!(has(&trace_id.to_be_bytes()) && has(&own.to_be_bytes()) && has(&parent.to_be_bytes()));
    for word in ["rmsc", "node-1", "relay", "rmsc.front_node", "node-2"] {
        assert!(has(word.as_bytes()), "{word}");
    }
    assert!(tasks.drain(EXPORT_TIMEOUT).await.is_ok());
}
