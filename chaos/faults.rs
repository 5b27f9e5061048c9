//! What can be broken, one kind a file. Each is undone by its own other half, or when its value is dropped.

pub mod clock;
pub mod damage;
pub mod freeze;
pub mod full_disk;
pub mod half_open;
pub mod kill;
pub mod loss;
pub mod narrow_line;
pub mod partition;
pub mod resources;
pub mod slow_disk;
pub mod slow_line;
