//! A proxy that ends TLS and hands requests on over a few connections that all of its clients share: nginx, with the
//! node's own certificate, which makes channel bindings hold on both sides.

use super::cluster::NewDir;
use super::lab::Node;
use super::wait::{self, PATIENCE};
use std::fs::{self, File};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::process::{Child, Command, Stdio};

/// A running nginx.
pub struct Pool {
    process: Child,
    address: SocketAddr,
    dir: NewDir,
}

impl Pool {
    /// In front of a node, with at most so many idle connections to it.
    #[track_caller]
    pub fn start(node: &Node, connections: usize) -> Self {
        let dir = NewDir::made();
        let held = TcpListener::bind("127.0.0.1:0").expect("there are free ports");
        let address = held.local_addr().expect("it is bound");
        let settings = settings(&dir, address, node, connections);
        let file = dir.path().join("nginx.conf");
        fs::write(&file, settings).expect("the temporary folder can be written");
        drop(held);
        let errors = File::create(dir.path().join("said")).expect("the temporary folder can be written");
        let mut process = Command::new("nginx")
            .args(["-p", &dir.path().display().to_string(), "-e", "errors", "-c"])
            .arg(&file)
            .stdin(Stdio::null())
            .stderr(errors)
            .spawn()
            .expect("nginx is not installed: tests/run installs what tests need");
        wait::until("the pool listens", PATIENCE, || {
            let ended = process.try_wait().expect("a child can be asked");
            let said = || fs::read_to_string(dir.path().join("said")).unwrap_or_default();
            assert!(ended.is_none(), "nginx ended: {}", said());
            TcpStream::connect(address).ok()
        });
        Pool { process, address, dir }
    }

    /// By the name that the certificate has.
    pub fn url(&self) -> String {
        format!("https://localhost:{}", self.address.port())
    }

    /// How many requests went over a connection that was there already, and how many over a new one.
    pub fn carried(&self) -> [usize; 2] {
        let text = fs::read_to_string(self.dir.path().join("carried")).unwrap_or_default();
        let shared = text.lines().filter(|line| *line == "0.000").count();
        [shared, text.lines().count() - shared]
    }
}

impl Drop for Pool {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

fn settings(dir: &NewDir, address: SocketAddr, node: &Node, connections: usize) -> String {
    let dir = dir.path().display();
    let own = node.config.parent().expect("the file is in the node's folder").display();
    let node = node.https.trim_start_matches("https://");
    // One process and no master, so that it ends with its first process. The node's own answers are passed on.
    format!(
        "daemon off; master_process off; pid {dir}/pid; error_log {dir}/errors warn;
events {{ worker_connections 512; }}
http {{
    log_format carried $upstream_connect_time;
    access_log {dir}/carried carried;
    client_body_temp_path {dir}/b; proxy_temp_path {dir}/p; fastcgi_temp_path {dir}/f;
    uwsgi_temp_path {dir}/u; scgi_temp_path {dir}/s;
    large_client_header_buffers 4 72k; proxy_buffer_size 128k; proxy_buffers 4 128k; proxy_busy_buffers_size 128k;
    keepalive_requests 1000000;
    upstream nodes {{ server {node}; keepalive {connections}; keepalive_requests 1000000; }}
    server {{
        listen {address} ssl;
        ssl_certificate {own}/front.pem; ssl_certificate_key {own}/front.key;
        location / {{
            proxy_pass https://nodes; proxy_http_version 1.1; proxy_ssl_server_name on; proxy_ssl_name localhost;
            proxy_set_header Connection \"\"; proxy_set_header Host $host;
        }}
    }}
}}
"
    )
}
