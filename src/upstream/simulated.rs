//! `simulated`: the service in this program. It likes to know who asked, and through which nodes.

use super::OnBehalfOf;

/// The headers that only the simulated service is sent.
pub(super) fn headers<'a>(node: &'a str, asked: &'a OnBehalfOf) -> [(&'static str, &'a str); 5] {
    [
        ("x-rmsc-relay-node", node),
        ("x-rmsc-front-node", &asked.front_node),
        ("x-rmsc-caller-sid", &asked.caller),
        ("x-rmsc-entry-sid", &asked.entry),
        ("x-rmsc-role", asked.role),
    ]
}
