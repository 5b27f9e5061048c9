//! HAProxy before the service, by itself or with the hop: three processes, of which the first hands two of three requests
//! to the others over mutual TLS, as a cluster of rmsc does. All three take callers, and know one another's tickets.

use super::Contestant;
use super::certificates::Certificates;
use super::processors::Processes;
use super::support::wait;
use anyhow::Context as _;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

pub fn start(
    folder: &Path,
    certificates: &Certificates,
    service: SocketAddr,
    hop: bool,
) -> anyhow::Result<Contestant> {
    let name = if hop { "haproxy, hop" } else { "haproxy" };
    let (clear, tls) = (free()?, free()?);
    let relays = if hop { vec![free()?, free()?] } else { Vec::new() };
    let front = if hop { front_with_keys(folder, certificates)? } else { front(certificates) };
    let mut fronts = vec![tls];
    let mut servers = format!("  server here {service}\n");
    let mut ids = Vec::new();
    for (number, relay) in relays.iter().enumerate() {
        let (hop, authority) = (certificates.hop.display(), certificates.hop_authority.display());
        servers += &format!(
            "  server there{number} {relay} ssl verify required verifyhost hop.test ca-file {authority} crt {hop}\n"
        );
        let bind = format!("{relay} ssl crt {hop} ca-file {authority} verify required");
        // Callers that come back find a front here too.
        let tls = free()?;
        fronts.push(tls);
        let path = folder.join(format!("haproxy-relay{number}.cfg"));
        let text = configuration(&[&bind, &format!("{tls} {front}")], &format!("  server here {service}\n"));
        ids.push(run("haproxy", &["-f"], &path, &text)?);
    }
    let bind = format!("{tls} {front}");
    let path = folder.join(format!("haproxy{}.cfg", if hop { "-hop" } else { "" }));
    ids.push(run("haproxy", &["-f"], &path, &configuration(&[&clear.to_string(), &bind], &servers))?);
    for address in relays.iter().chain(&fronts).chain([&clear]) {
        await_listener(*address);
    }
    let processes = Processes::with_children(&ids);
    Ok(Contestant { name, hop, clear, tls: fronts, login: None, processes })
}

fn front(certificates: &Certificates) -> String {
    format!("ssl crt {}", certificates.front.display())
}

/// The same with keys for tickets that all processes have.
fn front_with_keys(folder: &Path, certificates: &Certificates) -> anyhow::Result<String> {
    let path = folder.join("ticket-keys");
    let key = || STANDARD.encode([rand::random::<[u8; 24]>(), rand::random()].concat());
    std::fs::write(&path, format!("{}\n{}\n{}\n", key(), key(), key()))?;
    Ok(format!("{} tls-ticket-keys {}", front(certificates), path.display()))
}

/// What is asked on a new connection is answered here, as rmsc does.
fn configuration(binds: &[&str], servers: &str) -> String {
    let binds: String = binds.iter().map(|bind| format!("  bind {bind}\n")).collect();
    format!(
        "global\n  nbthread 1\n  maxconn 9900\n  ssl-default-bind-options ssl-min-ver TLSv1.2\n\
         defaults\n  mode http\n  timeout connect 5s\n  timeout client 60s\n  timeout server 60s\n  \
         http-reuse always\n  option http-keep-alive\n\
         frontend front\n{binds}  monitor-uri /none\n  default_backend back\nbackend back\n  balance roundrobin\n{servers}"
    )
}

/// Starts a program with this configuration; it ends with the thread that started it.
pub fn run(program: &str, arguments: &[&str], path: &Path, configuration: &str) -> anyhow::Result<u32> {
    std::fs::write(path, configuration)?;
    let mut command = Command::new("setpriv");
    command.args(["--pdeathsig", "TERM", program]).args(arguments).arg(path).stdin(Stdio::null());
    let child = command
        .spawn()
        .with_context(|| format!("cannot start {program}: benches/run-proxies installs it"))?;
    Ok(child.id())
}

pub fn free() -> anyhow::Result<SocketAddr> {
    Ok(TcpListener::bind("127.0.0.1:0")?.local_addr()?)
}

pub fn await_listener(address: SocketAddr) {
    wait::until_true(&format!("somebody listens at {address}"), Duration::from_secs(10), || {
        TcpStream::connect(address).is_ok()
    });
}
