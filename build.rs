//! Turns `proto/` into code, with no `protoc` on the machine.

use prost::Message;
use std::path::PathBuf;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    println!("cargo:rerun-if-changed=proto");
    let descriptors = protox::compile(FILES, ["proto"])?;
    let out = PathBuf::from(std::env::var("OUT_DIR")?);
    std::fs::write(out.join("descriptors.bin"), descriptors.encode_to_vec())?;
    tonic_prost_build::configure()
        .bytes(".rmsc.peer.v1.RelayFrame")
        .skip_debug(SECRET)
        .compile_fds(descriptors)?;
    Ok(())
}

/// Messages with secrets in them: nothing may print one.
const SECRET: [&str; 10] = [
    ".rmsc.control.v1.ImportCertificateRequest",
    ".rmsc.control.v1.LoginCertificate",
    ".rmsc.control.v1.LoginCloudRequest",
    ".rmsc.state.v1.CloudCertificate",
    ".rmsc.state.v1.CloudEnrolment",
    ".rmsc.state.v1.CloudToken",
    ".rmsc.state.v1.FrontCertificate",
    ".rmsc.state.v1.FrontCertificateRequest",
    ".rmsc.state.v1.FrontTicketKey",
    ".rmsc.state.v1.FrontTicketKeys",
];

const FILES: [&str; 20] = [
    "rmsc/control/v1/administrators.proto",
    "rmsc/control/v1/authorization.proto",
    "rmsc/control/v1/backups.proto",
    "rmsc/control/v1/balance.proto",
    "rmsc/control/v1/certificates.proto",
    "rmsc/control/v1/cloud.proto",
    "rmsc/control/v1/cluster.proto",
    "rmsc/control/v1/directory.proto",
    "rmsc/control/v1/kerberos.proto",
    "rmsc/control/v1/nodes.proto",
    "rmsc/control/v1/tokens.proto",
    "rmsc/peer/v1/join.proto",
    "rmsc/peer/v1/node.proto",
    "rmsc/peer/v1/raft.proto",
    "rmsc/peer/v1/relay.proto",
    "rmsc/state/v1/backup.proto",
    "rmsc/state/v1/cloud.proto",
    "rmsc/state/v1/front.proto",
    "rmsc/state/v1/identity.proto",
    "rmsc/state/v1/state.proto",
];
