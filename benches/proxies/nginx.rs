//! nginx before the service: one worker, connections kept on both sides. What is asked on a new connection it answers
//! itself, as rmsc does.

use super::Contestant;
use super::certificates::Certificates;
use super::haproxy::{await_listener, free, run};
use super::processors::Processes;
use std::net::SocketAddr;
use std::path::Path;

pub fn start(folder: &Path, certificates: &Certificates, service: SocketAddr) -> anyhow::Result<Contestant> {
    let (clear, tls) = (free()?, free()?);
    let path = folder.join("nginx.conf");
    let own = folder.join("nginx");
    std::fs::create_dir_all(&own)?;
    let own = own.display();
    let configuration = format!(
        "daemon off;\nworker_processes 1;\npid {own}/pid;\nerror_log {own}/error.log;\nuser root;\n\
         worker_rlimit_nofile 40000;\nevents {{ worker_connections 20000; }}\n\
         http {{\n  access_log off;\n  client_body_temp_path {own}/body;\n  proxy_temp_path {own}/proxy;\n  \
         fastcgi_temp_path {own}/fastcgi;\n  uwsgi_temp_path {own}/uwsgi;\n  scgi_temp_path {own}/scgi;\n  \
         keepalive_requests 1000000;\n  client_body_buffer_size 128k;\n  proxy_buffers 32 4k;\n  \
         upstream service {{ server {service}; keepalive 64; keepalive_requests 1000000; }}\n  \
         server {{\n    listen {clear};\n    listen {tls} ssl;\n    ssl_certificate {};\n    \
         ssl_certificate_key {};\n    ssl_protocols TLSv1.2 TLSv1.3;\n    \
         location = /none {{ return 404; }}\n    location / {{ proxy_pass http://service; proxy_http_version 1.1; proxy_set_header Connection \"\"; }}\n  \
         }}\n}}\n",
        certificates.front_certificate.display(),
        certificates.front_key.display(),
    );
    let id = run("nginx", &["-c"], &path, &configuration)?;
    await_listener(clear);
    await_listener(tls);
    let processes = Processes::with_children(&[id]);
    Ok(Contestant { name: "nginx", hop: false, clear, tls: vec![tls], login: None, processes })
}
