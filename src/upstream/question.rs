//! All that an answer can depend on, but for the bytes of the request: the very head that is sent, and who the connector
//! is there.

use super::{Outgoing, Upstream};
use http::HeaderName;

impl Upstream {
    /// The same for two requests only if they are sent to the same place, by the same account or client, with the same
    /// headers. `None`: it cannot be sent.
    #[must_use]
    pub fn question(&self, outgoing: &Outgoing) -> Option<Vec<u8>> {
        let (uri, headers) = self.head(outgoing).ok()?;
        let mut question = Vec::new();
        let mut part = |bytes: &[u8]| {
            // With its length, no part can be taken for another.
            question.extend_from_slice(&(bytes.len() as u64).to_be_bytes());
            question.extend_from_slice(bytes);
        };
        // Every setting of the kind: none can be forgotten, and none of them is a secret.
        part(format!("{:?}", self.config.kind).as_bytes());
        part(uri.as_bytes());
        let mut sent: Vec<_> = headers.iter().filter(|(name, _)| !is_of_the_way(name)).collect();
        sent.sort_by_key(|(name, _)| name.as_str());
        for (name, value) in sent {
            part(name.as_str().as_bytes());
            part(value.as_bytes());
        }
        Some(question)
    }
}

/// Which request it is and through which nodes it came: no service answers otherwise for that.
fn is_of_the_way(name: &HeaderName) -> bool {
    matches!(name.as_str(), "x-rmsc-request-id" | "x-rmsc-front-node" | "x-rmsc-relay-node" | "x-rmsc-via")
}

#[cfg(test)]
mod tests {
    use super::super::tests::{config, outgoing};
    use super::super::{AccountConfig, Config, Kind, Metrics, Proof, Protocol, Tokens};
    use super::*;
    use crate::tasks::Tasks;
    use std::time::Duration;

    fn question(config: &Config, outgoing: &Outgoing) -> Vec<u8> {
        let metrics = Metrics::register(&mut prometheus_client::registry::Registry::default());
        let upstream = Upstream::new(config.clone(), Tokens::new().0, metrics, Tasks::new()).unwrap();
        upstream.question(outgoing).unwrap()
    }

    fn changed(change: impl FnOnce(&mut Outgoing)) -> Outgoing {
        let mut outgoing = outgoing(Duration::from_secs(1));
        change(&mut outgoing);
        outgoing
    }

    #[tokio::test]
    async fn every_header_that_is_sent_makes_another_question() {
        let config = config("http://127.0.0.1:1");
        let base = question(&config, &changed(|_| {}));
        let others = [
            changed(|it| it.path = "/_wmcs/certification/server.asmx"),
            changed(|it| it.content_type = "application/soap+xml".into()),
            changed(|it| it.soap_action = "\"a\"".into()),
            changed(|it| it.user_agent = "Exchange".into()),
            changed(|it| it.accept_encoding = "gzip".into()),
            changed(|it| it.on_behalf_of.caller = "S-1-5-21-9".into()),
            changed(|it| it.on_behalf_of.entry = "S-1-5-21-9".into()),
            changed(|it| it.on_behalf_of.role = "sharepoint"),
        ];
        for other in others {
            assert_ne!(question(&config, &other), base);
        }
        let same = changed(|it| {
            it.request_id = "1".repeat(32);
            it.on_behalf_of.front_node = "node-2".into();
        });
        let elsewhere = Config { node: "node-2".into(), ..config };
        assert_eq!(question(&elsewhere, &same), base);
    }

    #[tokio::test]
    async fn whoever_the_connector_is_makes_another_question() {
        let account = AccountConfig {
            name: "CONTOSO\\connector".into(),
            proof: Proof::Password("/etc/rmsc/password".into()),
            protocol: Protocol::Negotiate,
            realm: Some("CONTOSO.TEST".into()),
            kdcs: Vec::new(),
            service: "HTTP/rms.contoso.test".into(),
            roles: vec!["exchange"],
            connections_max: 4,
        };
        let ask = |kind, base| question(&Config { kind, ..config(base) }, &changed(|_| {}));
        let here = "http://127.0.0.1:1";
        let base = ask(Kind::AdRms(account.clone()), here);
        let with = |change: fn(&mut AccountConfig)| {
            let mut account = account.clone();
            change(&mut account);
            Kind::AdRms(account)
        };
        for other in [
            with(|it| it.name = "CONTOSO\\other".into()),
            with(|it| it.proof = Proof::Keytab("/etc/rmsc/password".into())),
            with(|it| it.realm = None),
            with(|it| it.service = "HTTP/other.contoso.test".into()),
            Kind::Chained(account.clone()),
            Kind::Simulated,
        ] {
            assert_ne!(ask(other, here), base);
        }
        assert_ne!(ask(Kind::AdRms(account.clone()), "http://127.0.0.1:2"), base);
        assert_eq!(ask(Kind::AdRms(account), here), base);
    }
}
