//! The command line: one file a noun. The only printing to stdout.

mod administrator;
mod authorization;
mod backup;
mod certificate;
mod cloud;
mod cluster;
mod config;
mod dev;
mod directory;
mod effect;
mod host;
mod init;
mod join;
mod kerberos;
mod lb;
mod leave;
mod node;
mod output;
mod owner;
mod prompt;
mod recover;
mod server;
mod simulate;
mod status;
mod token;
mod usage;
mod witness;
mod words;

use crate::backup::RestoreError;
use crate::control::{Client, ConnectError, Context, WriteContextError};
use crate::enrolment::{InitError, JoinError, TokenTextError};
use crate::event::with_causes;
use crate::node::StartError;
use clap::{Parser, Subcommand};
use output::Format;
use std::path::PathBuf;
use std::process::ExitCode;

/// A Rights Management (RMS) connector as a cluster, with no external load balancer.
#[derive(Debug, Parser)]
#[command(name = "rmsc", version, propagate_version = true, max_term_width = 110)]
pub struct Arguments {
    #[command(subcommand)]
    command: Command,
    #[command(flatten)]
    global: Global,
}

#[derive(Debug, clap::Args)]
struct Global {
    /// How to print: a table for people, JSON for programs.
    #[arg(short, long, global = true, value_enum, default_value = "table", env = "RMSC_OUTPUT")]
    output: Format,
    /// The administrator's context file: where the cluster is, and the certificate to call it with.
    #[arg(long, global = true, env = "RMSC_CONTEXT", value_name = "FILE")]
    context: Option<PathBuf>,
    /// An admin address to call instead of the context's.
    #[arg(long, global = true, env = "RMSC_ENDPOINT", value_name = "HOST:PORT")]
    endpoint: Option<String>,
}

#[derive(Debug, Subcommand)]
enum Command {
    Server(server::Server),
    Witness(witness::Witness),
    Init(init::Init),
    Join(join::Join),
    Leave(leave::Leave),
    #[command(subcommand)]
    Token(token::TokenCommand),
    #[command(subcommand)]
    Admin(administrator::Admin),
    Dev(dev::Dev),
    #[command(subcommand)]
    Authz(authorization::Authorization),
    #[command(subcommand)]
    Directory(directory::Directory),
    Status(status::Status),
    #[command(subcommand)]
    Node(node::Node),
    #[command(subcommand)]
    Lb(lb::Lb),
    #[command(subcommand)]
    Kerberos(kerberos::Kerberos),
    #[command(subcommand)]
    Cert(certificate::Certificate),
    #[command(subcommand)]
    Cloud(cloud::Cloud),
    #[command(subcommand)]
    Cluster(cluster::Cluster),
    #[command(subcommand)]
    Backup(backup::Backup),
    #[command(subcommand)]
    Simulate(simulate::Simulate),
    #[command(subcommand)]
    Config(config::ConfigCommand),
}

/// How the process ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exit {
    /// 0: fine.
    Fine,
    /// 1: failed.
    Failed,
    /// 2: the command or the node file is wrong.
    Usage,
    /// 3: it works, with warnings.
    Warnings,
    /// 4: refused, or not confirmed.
    Refused,
    /// 5: the cluster cannot accept changes.
    NoQuorum,
    /// 6: this administrator may not.
    NotAuthorized,
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        ExitCode::from(match exit {
            Exit::Fine => 0,
            Exit::Failed => 1,
            Exit::Usage => 2,
            Exit::Warnings => 3,
            Exit::Refused => 4,
            Exit::NoQuorum => 5,
            Exit::NotAuthorized => 6,
        })
    }
}

/// Runs the command that the process was started with, and gives its exit code. It is here and not in the program, which
/// would be compiled for as long as all of this once more.
#[must_use]
pub fn execute() -> ExitCode {
    let arguments = usage::read(std::env::args_os()).unwrap_or_else(|error| error.exit());
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            complain(&anyhow::Error::new(error).context("cannot start the runtime"));
            return Exit::Failed.into();
        }
    };
    let result = runtime.block_on(run(arguments));
    // Nothing that still blocks may keep the process: everything that matters was waited for.
    runtime.shutdown_background();
    match result {
        Ok(exit) => exit.into(),
        Err(error) => {
            complain(&error);
            exit_of(&error).into()
        }
    }
}

/// Runs one command.
///
/// # Errors
/// What went wrong, for [`complain`] and [`exit_of`].
async fn run(arguments: Arguments) -> anyhow::Result<Exit> {
    let global = arguments.global;
    match arguments.command {
        Command::Server(server) => server.run().await,
        Command::Witness(witness) => witness.run().await,
        Command::Init(init) => init.run(global.output),
        Command::Join(join) => join.run(global.output).await,
        Command::Leave(leave) => leave.run(&global).await,
        Command::Token(token) => token.run(&global).await,
        Command::Admin(admin) => admin.run(&global).await,
        Command::Dev(dev) => dev.run(global.output).await,
        Command::Authz(authorization) => authorization.run(&global).await,
        Command::Directory(directory) => directory.run(&global).await,
        Command::Status(status) => status.run(&global).await,
        Command::Node(node) => node.run(&global).await,
        Command::Lb(lb) => lb.run(&global).await,
        Command::Kerberos(kerberos) => kerberos.run(&global).await,
        Command::Cert(certificate) => certificate.run(&global).await,
        Command::Cloud(cloud) => cloud.run(&global).await,
        Command::Cluster(cluster) => cluster.run(&global).await,
        Command::Backup(backup) => backup.run(&global).await,
        Command::Simulate(simulate) => simulate.run().await,
        Command::Config(config) => config.run(),
    }
}

/// Prints an error for a person, with its causes.
#[expect(clippy::print_stderr, reason = "this is where errors are printed")]
fn complain(error: &anyhow::Error) {
    let status = error.downcast_ref::<tonic::Status>();
    // What a node says has no cause here: the connection ended.
    let cut = status.filter(|status| status.message() != TIMED_OUT).and_then(std::error::Error::source);
    match (status, cut) {
        (Some(_), Some(cause)) => eprintln!(
            "Error: the connection ended before there was an answer ({}); check that the address is a node's admin \
             address (endpoints in the context, or --endpoint)",
            with_causes(cause)
        ),
        (Some(status), None) => eprintln!("Error: {}", status.message()),
        (None, _) => eprintln!("Error: {error:#}"),
    }
}

/// As tonic words it.
const TIMED_OUT: &str = "Timeout expired";

/// The exit code that an error means.
#[must_use]
fn exit_of(error: &anyhow::Error) -> Exit {
    if error.is::<crate::config::LoadError>() {
        return Exit::Usage;
    }
    if error.downcast_ref::<StartError>().is_some_and(StartError::is_final) || error.is::<TokenTextError>() {
        return Exit::Usage;
    }
    match error.downcast_ref::<RestoreError>() {
        Some(RestoreError::NotEmpty { .. } | RestoreError::Alive { .. }) => return Exit::Refused,
        Some(RestoreError::Init(InitError::Already { .. })) => return Exit::Refused,
        Some(_) | None => {}
    }
    if let Some(WriteContextError::Taken { .. }) = error.downcast_ref() {
        return Exit::Refused;
    }
    if let Some(InitError::Already { .. }) = error.downcast_ref() {
        return Exit::Refused;
    }
    match error.downcast_ref::<JoinError>() {
        Some(JoinError::NotWelcome { again: true, .. }) => return Exit::NoQuorum,
        Some(JoinError::NotWelcome { .. } | JoinError::OtherCluster { .. }) => return Exit::Refused,
        Some(_) | None => {}
    }
    match error.downcast_ref::<tonic::Status>().map(tonic::Status::code) {
        Some(tonic::Code::Unavailable | tonic::Code::DeadlineExceeded | tonic::Code::ResourceExhausted) => {
            Exit::NoQuorum
        }
        Some(tonic::Code::Unauthenticated | tonic::Code::PermissionDenied) => Exit::NotAuthorized,
        Some(tonic::Code::AlreadyExists | tonic::Code::FailedPrecondition) => Exit::Refused,
        _ => Exit::Failed,
    }
}

impl Global {
    async fn client(&self) -> Result<Client, ConnectError> {
        self.client_besides(None).await
    }

    /// One whose calls may take as long as a person does.
    async fn patient_client(&self, call_timeout: std::time::Duration) -> Result<Client, ConnectError> {
        Client::connect_for(&self.loaded_context()?, call_timeout).await
    }

    fn loaded_context(&self) -> Result<Context, ConnectError> {
        let mut context = Context::load(&self.context.clone().unwrap_or_else(default_context))?;
        if let Some(endpoint) = &self.endpoint {
            context.endpoints = vec![endpoint.clone()];
        }
        Ok(context)
    }

    /// Another node than the one with this admin address, if the context has one.
    async fn client_besides(&self, admin_address: Option<&str>) -> Result<Client, ConnectError> {
        let mut context = self.loaded_context()?;
        if self.endpoint.is_none()
            && context.endpoints.iter().any(|endpoint| Some(endpoint.as_str()) != admin_address)
        {
            context.endpoints.retain(|endpoint| Some(endpoint.as_str()) != admin_address);
        }
        Client::connect(&context).await
    }
}

/// `~/.config/rmsc/context.toml`.
fn default_context() -> PathBuf {
    let config = std::env::var_os("XDG_CONFIG_HOME").map(PathBuf::from);
    let home = std::env::var_os("HOME").map(|home| PathBuf::from(home).join(".config"));
    config.or(home).unwrap_or_default().join("rmsc/context.toml")
}
