//! Tickets of a real domain, for callers that prove themselves with Kerberos: got once, before the load begins. The domain
//! is not there any more when they are used, as a node needs none for them.

use crate::support::domain::Domain;
use crate::support::lab::Account;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use rmsc::identity::ChannelBinding;
use rmsc::identity::kerberos_client::{Moment, ServiceTicket};
use std::fs;
use std::path::Path;
use time::OffsetDateTime;

/// A caller with a ticket.
pub struct Ticket {
    /// As tables and records name it; nobody knows its password.
    pub account: Account,
    pub sid: String,
    ticket: ServiceTicket,
}

impl Ticket {
    /// A header for one request: it proves itself in one leg, bound to the connection.
    pub fn proof(&self, binding: Option<&ChannelBinding>) -> String {
        let moment = Moment { confounder: rand::random(), now: OffsetDateTime::now_utc() };
        format!("Negotiate {}", STANDARD.encode(self.ticket.negotiate_token(binding, moment)))
    }
}

/// Makes the domain, gets a ticket for each of its servers, and puts the service's keys into a file.
#[track_caller]
pub fn get(keytab: &Path) -> Vec<Ticket> {
    let domain = Domain::alone();
    fs::copy(domain.keytab(), keytab).expect("the folder of the run can be written");
    let of = |name: &&str| {
        let tickets = domain.login(name);
        tickets.version(SERVICE);
        let cache = fs::read(tickets.cache()).expect("kinit wrote it");
        Ticket {
            account: Account { name: format!("CONTOSO\\{name}"), password: String::new() },
            sid: domain.sid(name),
            ticket: ServiceTicket::of_cache(&cache, SERVICE).expect("kvno got the ticket"),
        }
    };
    SERVERS.iter().map(of).collect()
}

/// Under which name it is called.
pub const TARGET: &str = "rms.contoso.test";
const SERVICE: &str = "HTTP/rms.contoso.test";
const SERVERS: [&str; 2] = ["EXCH01$", "FS01$"];
