//! Real clusters in network namespaces, under load, with faults: `chaos/run`. One seed makes one run.
//!
//! The process that is started makes the namespaces, plays nothing itself, and removes everything however the one that
//! it starts inside comes to its end.

mod administrator;
mod arguments;
mod clients;
mod cluster;
mod faults;
mod invariants;
mod network;
mod programs;
mod pulse;
mod record;
mod report;
mod scenarios;
mod stage;
#[path = "../tests/support/mod.rs"]
#[expect(dead_code, reason = "the tests of behaviour use the rest")]
mod support;
mod tickets;

use arguments::Arguments;
use cluster::Settings;
use network::{Network, Place, REMEDY};
use rand::rngs::SmallRng;
use rand::seq::SliceRandom;
use rand::{RngExt, SeedableRng};
use report::{Played, say};
use scenarios::{Part, Scenario};
use stage::Stage;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::io::Read;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::process::{ExitCode, Stdio};
use std::time::{Duration, Instant};

fn main() -> ExitCode {
    let arguments = match Arguments::read(std::env::args().skip(1)) {
        Ok(arguments) => arguments,
        Err(why) => {
            say(&format!("error: {why}"));
            return ExitCode::from(2);
        }
    };
    match arguments.inside {
        _ if arguments.list => list(),
        _ if arguments.self_test => self_test(),
        Some(owner) => inside(&arguments, owner),
        None => outside(&arguments),
    }
}

fn list() -> ExitCode {
    for scenario in scenarios::ALL {
        let part = match scenario.part {
            Part::Always => "always",
            Part::Drawn => "",
            Part::Named(_) => "named",
            Part::WithOlder => "older",
        };
        say(&format!("{:4} {:22} {:6} {}", scenario.row, scenario.name, part, scenario.says));
        match scenario.part {
            Part::Named(why) => say(&format!("{:34} in no slice yet: {why}", "")),
            Part::WithOlder => {
                say(&format!("{:34} only with --older FILE, a program of an earlier build", ""));
            }
            Part::Always | Part::Drawn => {}
        }
    }
    ExitCode::SUCCESS
}

fn self_test() -> ExitCode {
    match invariants::self_test() {
        Ok(lines) => {
            for line in lines {
                say(&format!("caught by {line}"));
            }
            say(&format!("every one of {} checkers catches its planted defect", invariants::ALL.len()));
            ExitCode::SUCCESS
        }
        Err(why) => {
            say(&format!("error: {why}"));
            ExitCode::FAILURE
        }
    }
}

/// Everything that was made goes away with this value.
struct Made(Network);

impl Drop for Made {
    fn drop(&mut self) {
        self.0.remove();
    }
}

fn outside(arguments: &Arguments) -> ExitCode {
    match arguments.older.as_deref().map(programs::check_older) {
        Some(Ok(both)) => say(&both),
        Some(Err(why)) => {
            say(&format!("error: {why}"));
            return ExitCode::from(2);
        }
        None => {}
    }
    let made = match Network::make() {
        Ok(network) => Made(network),
        Err(why) => {
            say(&format!("error: {why}\n{REMEDY}"));
            return ExitCode::FAILURE;
        }
    };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let code = runtime.expect("a process has room for one").block_on(supervise(arguments, &made.0));
    drop(made);
    ExitCode::from(code)
}

async fn supervise(arguments: &Arguments, network: &Network) -> u8 {
    use tokio::signal::unix::{SignalKind, signal};
    let program = std::env::current_exe().expect("this program was started from a file");
    let mut command = network.at(Place::Clients, &program);
    command.args(arguments.again(std::process::id())).stdin(Stdio::piped());
    let mut child =
        tokio::process::Command::from(command).kill_on_drop(true).spawn().expect("it runs already");
    // Held until the end: waiting would close it.
    let held = child.stdin.take();
    let mut terminated = signal(SignalKind::terminate()).expect("there is such a signal");
    let ended = tokio::select! {
        ended = child.wait() => ended.ok().and_then(|status| status.code()),
        _ = tokio::signal::ctrl_c() => None,
        _ = terminated.recv() => None,
    };
    // 130: it was interrupted.
    let code = ended.and_then(|code| u8::try_from(code).ok()).unwrap_or(130);
    let _ = child.kill().await;
    drop(held);
    code
}

fn inside(arguments: &Arguments, owner: u32) -> ExitCode {
    // The other end is the process outside: without it nobody would clean up.
    std::thread::spawn(|| {
        let _ = std::io::stdin().read_to_end(&mut Vec::new());
        std::process::exit(130);
    });
    say(&format!("seed {}: chaos/run --seed {} makes this run again", arguments.seed, arguments.seed));
    let network = Network::of(owner);
    let all = play_all(arguments, &network);
    if let Some(path) = &arguments.junit
        && let Err(error) = report::junit(path, arguments.seed, &all)
    {
        say(&format!("error: cannot write {}: {error}", path.display()));
        return ExitCode::FAILURE;
    }
    let bad: Vec<&str> = all.iter().filter(|played| !played.is_good()).map(|played| played.name).collect();
    if bad.is_empty() {
        say(&format!("{} scenarios, all well (seed {})", all.len(), arguments.seed));
        return ExitCode::SUCCESS;
    }
    say(&format!(
        "{} of {} scenarios failed (seed {}): {}",
        bad.len(),
        all.len(),
        arguments.seed,
        bad.join(", ")
    ));
    ExitCode::FAILURE
}

fn play_all(arguments: &Arguments, network: &Network) -> Vec<Played> {
    let begun = Instant::now();
    let mut rng = SmallRng::seed_from_u64(arguments.seed);
    let mut all = Vec::new();
    for (number, scenario) in chosen(arguments, &mut rng).into_iter().enumerate() {
        let nodes = arguments.nodes.unwrap_or_else(|| sized(scenario, &mut rng));
        let over = arguments.minutes.is_some_and(|minutes| begun.elapsed() + ROOM > minutes);
        if over && !is_always(scenario, arguments) {
            continue;
        }
        let folder = network.folder().join(format!("{number}"));
        let older = arguments.older.clone().filter(|_| scenario.part == Part::WithOlder);
        let settings = Settings { older, ..(scenario.settings)(nodes) };
        let played = play_until_decided(scenario, network, &folder, &(settings, arguments.seed));
        say(&played.text());
        if !played.is_good() {
            keep(&folder, scenario.name, arguments.seed);
        }
        let _ = std::fs::remove_dir_all(&folder);
        all.push(played);
    }
    all
}

/// Those that every slice has, then all others in the order of the seed.
fn chosen(arguments: &Arguments, rng: &mut SmallRng) -> Vec<&'static Scenario> {
    if let Some(name) = &arguments.scenario {
        let named = |scenario: &&Scenario| scenario.name == name || scenario.row.eq_ignore_ascii_case(name);
        return scenarios::ALL
            .iter()
            .filter(named)
            .filter(|scenario| can_play(scenario, arguments))
            .collect();
    }
    // Not each can be played with any number of nodes.
    let fitting = |scenario: &&Scenario| arguments.nodes.is_none_or(|nodes| scenario.nodes.contains(&nodes));
    let (mut always, mut others): (Vec<_>, Vec<_>) =
        scenarios::ALL.iter().filter(fitting).partition(|scenario| is_always(scenario, arguments));
    others.retain(|scenario| scenario.part == Part::Drawn);
    others.shuffle(rng);
    always.append(&mut others);
    always
}

/// Who has made a program of an earlier build wants to see it played.
fn is_always(scenario: &Scenario, arguments: &Arguments) -> bool {
    scenario.part == Part::Always || scenario.part == Part::WithOlder && arguments.older.is_some()
}

/// Asked for by the row of the matrix, it is left out if there is nothing to play it with.
fn can_play(scenario: &Scenario, arguments: &Arguments) -> bool {
    let can = scenario.part != Part::WithOlder || arguments.older.is_some();
    if !can {
        say(&format!("{} is left out: it needs --older FILE, a program of an earlier build", scenario.name));
    }
    can
}

/// Mostly three nodes.
fn sized(scenario: &Scenario, rng: &mut SmallRng) -> usize {
    let usual = scenario.nodes.iter().find(|nodes| **nodes == 3).filter(|_| rng.random_bool(0.6));
    let any = scenario.nodes.get(rng.random_range(0..scenario.nodes.len()));
    usual.or(any).copied().unwrap_or(3)
}

/// A play in which the host took the processors for what is over a budget shows neither that the nodes keep to it nor
/// that they do not. Only one that keeps to it is good.
fn play_until_decided(
    scenario: &'static Scenario,
    network: &Network,
    folder: &std::path::Path,
    run: &(Settings, u64),
) -> Played {
    let mut before = Vec::new();
    loop {
        let mut played = play(scenario, network, folder, run.clone());
        match played.undecided.take() {
            Some(why) if before.len() < AGAIN_MAX => {
                say(&format!("{}\nplayed again: {why}", played.text()));
                let _ = std::fs::remove_dir_all(folder);
                before.push(why);
            }
            _ => return Played { before, ..played },
        }
    }
}

fn play(
    scenario: &'static Scenario,
    network: &Network,
    folder: &std::path::Path,
    run: (Settings, u64),
) -> Played {
    let (settings, seed) = run;
    let nodes = settings.nodes;
    say(&format!("---- {} {} with {nodes} nodes: {}", scenario.row, scenario.name, scenario.says));
    let begun = Instant::now();
    let mut hasher = DefaultHasher::new();
    (seed, scenario.name).hash(&mut hasher);
    let record = catch_unwind(AssertUnwindSafe(|| {
        let mut stage = Stage::set(network, folder, settings, hasher.finish());
        (scenario.play)(&mut stage);
        stage.end()
    }));
    let (checks, undecided) = match record {
        Ok(record) => {
            let checks = Played::checked(&record, &scenario.budget);
            let undecided = Played::undecided(&checks, &record, &scenario.budget);
            (checks, undecided)
        }
        Err(panic) => {
            let text = panic.downcast_ref::<String>().cloned();
            let text = text.or_else(|| panic.downcast_ref::<&str>().map(|text| (*text).to_owned()));
            (vec![("played", Err(text.unwrap_or_else(|| "it broke off".into())))], None)
        }
    };
    let (name, row, took) = (scenario.name, scenario.row, begun.elapsed());
    Played { name, row, nodes, took, checks, undecided, before: Vec::new() }
}

/// The logs of a scenario that failed stay, to be read.
fn keep(folder: &std::path::Path, name: &str, seed: u64) {
    let kept = std::env::temp_dir().join(format!("rmsc-chaos-failed-{seed}-{name}"));
    let logs = std::fs::read_dir(folder).into_iter().flatten().flatten().filter_map(|entry| {
        let log = entry.path().join("node.log");
        log.exists().then(|| (entry.file_name(), log))
    });
    let _ = std::fs::create_dir_all(&kept);
    for (node, log) in logs {
        let _ = std::fs::copy(log, kept.join(node).with_extension("log"));
    }
    say(&format!("the nodes' logs are in {}", kept.display()));
}

/// A host that takes the processors in each of three plays is no machine to measure on: then it counts as it is.
const AGAIN_MAX: usize = 2;
/// What a scenario may take: none is begun that would end too late.
const ROOM: Duration = Duration::from_secs(25);
