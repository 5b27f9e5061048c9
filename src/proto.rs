//! The generated code, one module a proto package.

pub use generated::{control, peer, state};

#[expect(
    missing_docs,
    unused_qualifications,
    clippy::too_many_lines,
    reason = "generated; the .proto files hold the words"
)]
mod generated {
    pub mod control {
        pub mod v1 {
            tonic::include_proto!("rmsc.control.v1");
        }
    }
    pub mod peer {
        pub mod v1 {
            tonic::include_proto!("rmsc.peer.v1");
        }
    }
    pub mod state {
        pub mod v1 {
            tonic::include_proto!("rmsc.state.v1");
        }
    }
}

/// The descriptors of all packages, for gRPC reflection.
pub const DESCRIPTORS: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/descriptors.bin"));
