//! Events about a node's disk that begin and end, by number.

use super::{Description, Level};

/// What a disk does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Disks {
    /// It is full.
    Full,
    /// It has room again.
    HasRoom,
    /// It takes nothing, and does not say that it cannot.
    StandsStill,
    /// It takes what is written again.
    GoesOn,
}

impl Disks {
    /// The row of the catalogue.
    pub(super) const fn description(self) -> Description {
        let (number, level, words, remedy) = match self {
            Disks::Full => (
                4010,
                Level::Warning,
                "the disk is full: this node takes no changes of the table, and relays on",
                "make room on the disk of the data folder; the node goes on by itself",
            ),
            Disks::HasRoom => {
                (4011, Level::Information, "the disk has room again: this node takes changes", "")
            }
            Disks::StandsStill => (
                4013,
                Level::Warning,
                "the disk stands still: what this node writes is not taken",
                "look after the disk of the data folder, or what it stands on; the node goes on by itself",
            ),
            Disks::GoesOn => (4014, Level::Information, "the disk takes again what this node writes", ""),
        };
        Description { number, level, words, remedy }
    }
}
