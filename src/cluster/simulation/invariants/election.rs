//! At most one node leads in a term (Raft, "election safety").

use super::super::model::Model;
use super::super::record::Record;

pub(super) fn check(record: &Record, _model: &Model) -> Result<(), String> {
    match record.leaders.iter().find(|(_, leaders)| leaders.len() > 1) {
        Some((term, leaders)) => Err(format!("the nodes {leaders:?} led in term {term}")),
        None => Ok(()),
    }
}
