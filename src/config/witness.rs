//! The file of a witness: that of a node without all that is about requests.

use super::file::{Fault, Reader};
use super::{Basics, Cluster, Config, Listen, LoadError, Log, Node, sections};
use crate::seal;
use std::path::Path;
use std::time::Duration;

/// The file of a witness, checked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Witness {
    /// `[node]`.
    pub node: Node,
    /// `[listen]`, without `https` and `http`.
    pub listen: Listen,
    /// `[cluster]`.
    pub cluster: Cluster,
    /// `[drain] deadline`.
    pub drain_timeout: Duration,
    /// `[secrets]`.
    pub secrets: seal::Config,
    /// `[log]`.
    pub log: Log,
}

/// The file of a host of either kind, for what is the same for both.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Any {
    /// It is to relay.
    Relay(Box<Config>),
    /// It is to be a witness.
    Witness(Box<Witness>),
}

impl Any {
    /// Reads and checks a node file, whichever kind it is.
    ///
    /// # Errors
    /// [`LoadError`] with every fault that a node which relays would have.
    pub fn load(path: &Path) -> Result<Self, LoadError> {
        super::load(path, |text| match (Config::parse(text), Witness::parse(text)) {
            (Ok(config), _) => Ok(Any::Relay(Box::new(config))),
            (Err(_), Ok(witness)) => Ok(Any::Witness(Box::new(witness))),
            (Err(faults), Err(_)) => Err(faults),
        })
    }

    /// What every kind of node has.
    #[must_use]
    pub fn basics(&self) -> Basics<'_> {
        match self {
            Any::Relay(config) => config.basics(),
            Any::Witness(witness) => witness.basics(),
        }
    }
}

impl Witness {
    /// Reads and checks the file of a witness.
    ///
    /// # Errors
    /// [`LoadError`] with every fault.
    pub fn load(path: &Path) -> Result<Self, LoadError> {
        super::load(path, Witness::parse)
    }

    /// Checks the text of the file of a witness.
    ///
    /// # Errors
    /// Every fault.
    pub fn parse(text: &str) -> Result<Self, Vec<Fault>> {
        let reader = Reader::new(text).map_err(|fault| vec![fault])?;
        for section in ["identity", "upstream", "relay", "front", "limits"] {
            reader.refuse_section(section, "a witness takes and relays no requests; take the section out");
        }
        let node = sections::node(&reader);
        let listen = sections::listen(&reader, sections::Front::None);
        let cluster = sections::cluster(&reader);
        let secrets = sections::secrets(&reader, node.as_ref());
        let drain_timeout = sections::drain(&reader);
        let log = sections::log(&reader);
        let faults = reader.faults();
        match (node, listen, cluster) {
            (Some(node), Some(listen), Some(cluster)) if faults.is_empty() => {
                Ok(Witness { node, listen, cluster, drain_timeout, secrets, log })
            }
            _ => Err(faults),
        }
    }

    /// What every kind of node has.
    #[must_use]
    pub fn basics(&self) -> Basics<'_> {
        let Witness { node, listen, cluster, secrets, .. } = self;
        Basics { node, listen, cluster, secrets, drain_timeout: self.drain_timeout }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: &str = r#"
[node]
name = "witness-1"
[listen]
peer = "10.1.0.13:8700"
admin = "10.1.0.13:8701"
[cluster]
service_name = "rmsconnector.contoso.com"
"#;

    #[test]
    fn needs_nothing_about_requests() {
        let witness = Witness::parse(GOOD).unwrap();
        assert_eq!((witness.listen.https, witness.listen.http), (None, None));
    }

    #[test]
    fn refuses_what_is_about_requests() {
        let text = GOOD.replace("peer =", "https = \"0.0.0.0:443\"\ncertificate = \"c\"\npeer =");
        let text = format!("{text}[upstream]\nkind = \"simulated\"\n[identity]\naccounts_file = \"a\"\n");
        let faults: Vec<String> =
            Witness::parse(&text).unwrap_err().iter().map(ToString::to_string).collect();
        assert_eq!(faults.len(), 4, "{faults:#?}");
        for key in ["listen.https", "listen.certificate", "upstream", "identity"] {
            assert!(faults.iter().any(|fault| fault.contains(&format!("{key}: a witness"))), "{faults:#?}");
        }
    }
}
