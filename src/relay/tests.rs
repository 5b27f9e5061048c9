//! A relay by itself: what it does when the bytes of a request do not come.

use super::*;
use crate::principal::{Account, AccountName, Binding, Channel, Mechanism};
use crate::rms;
use crate::state::{Entry, Kind as EntryKind, Role, Table, Timestamp};
use crate::tasks::Tasks;
use crate::upstream::{self, Hosts, Tokens};
use bytes::Bytes;
use http_body::Frame;
use http_body_util::StreamBody;
use prometheus_client::registry::Registry;

fn sid() -> Sid {
    Sid::new(5, &[21, 1, 2, 3, 1]).unwrap()
}

/// One that lets one account in, and whose service nobody is.
fn relay(registry: &mut Registry) -> Relay {
    let mut table = Table::default();
    table.entries.add(Entry {
        sid: sid(),
        name: "LAB\\exch01$".into(),
        kind: EntryKind::Computer,
        role: Role::Exchange,
        note: "".into(),
        added_by: "".into(),
        added_at: Timestamp(0),
    });
    let state = State { table: Arc::new(table), ..State::default() };
    let base: http::Uri = "http://127.0.0.1:1".parse().unwrap();
    let hosts = Hosts::new(base.host());
    let kind = upstream::Kind::Simulated;
    let config = upstream::Config { kind, base, authority: None, proxy: None, hosts, node: "node-1".into() };
    let metrics = upstream::Metrics::register(&mut Registry::default());
    let upstream = Upstream::new(config, Tokens::new().0, metrics, Tasks::new()).unwrap();
    let settings = Settings {
        ntlm: NtlmRules::default(),
        kept: KeptConfig { folder: std::env::temp_dir().join("rmsc-never-kept"), age_max: None },
        service_locations: ServiceLocations::Connector,
        mark: Mark::of("a", b"secret"),
        spans: Spans::default(),
    };
    let (_, state) = watch::channel(Arc::new(state));
    let (_, serving) = watch::channel(Serving::Until(Deadline::after(Duration::from_secs(60))));
    Relay::new(state, serving, upstream, settings, Metrics::register(registry))
}

fn head(path: &str, action: &str) -> Head {
    Head {
        request_id: "0".repeat(32),
        caller: Arc::new(Caller {
            account: Account {
                sid: sid(),
                name: AccountName::new("LAB", "exch01$").unwrap(),
                groups: Vec::new(),
            },
            mechanism: Mechanism::Kerberos,
            binding: Binding::Channel,
            channel: Channel::Https,
            computer: "10.0.0.1".into(),
        }),
        endpoint: rms::route(path).unwrap(),
        content_type: "text/xml; charset=utf-8".into(),
        soap_action: action.into(),
        user_agent: String::new(),
        accept_encoding: String::new(),
        base: "https://rms".into(),
        front_node: "node-1".into(),
        attempt: 1,
        kept_only: false,
        via: Via::default(),
        body_bytes: None,
        course: Course::default(),
        trace: TraceContext::begin(1),
    }
}

/// A body whose end does not come.
fn endless(message: &str) -> Body {
    let beginning = Bytes::from(message[..message.len() - 20].to_owned());
    let frames = futures::stream::iter([Ok(Frame::data(beginning))]);
    StreamBody::new(futures::StreamExt::chain(frames, futures::stream::pending())).boxed_unsync()
}

#[tokio::test]
async fn a_body_that_does_not_end_is_waited_for_until_the_deadline_and_no_longer() {
    for (path, action, message) in [
        (
            "/_wmcs/certification/server.asmx",
            "http://microsoft.com/DRM/ServerService/GetServerInfo",
            include_str!("../../tests/golden/requests/exchange_get_server_info.xml"),
        ),
        (
            "/_wmcs/licensing/server.asmx",
            "http://microsoft.com/DRM/ServerService/FindServiceLocations",
            include_str!("../../tests/golden/requests/exchange_find_service_locations.xml"),
        ),
    ] {
        let mut registry = Registry::default();
        let (relay, head) = (relay(&mut registry), head(path, action));
        let deadline = Deadline::after(Duration::from_millis(300));
        let handled = relay.handle(&head, endless(message), deadline, || {});
        let handled = tokio::time::timeout(Duration::from_secs(10), handled).await;
        assert_eq!(handled.expect("nobody waits so long").err(), Some(Failure::Overdue), "{action}");
        let mut text = String::new();
        prometheus_client::encoding::text::encode(&mut text, &registry).unwrap();
        assert!(text.contains("rmsc_relay_in_flight 0\n"), "{text}");
    }
}
