//! Network namespaces of a run: each node, the service and the clients have an address of their own on one bridge.
//!
//! Their names hold the process that made them, so that what a killed run left behind is found by the next one.

use crate::support::processes;
use crate::support::program::run;
use std::fs;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::process::Command;

/// Somebody with an address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// A node, from 1 on.
    Node(usize),
    Service,
    /// The clients, the administrators, and this process.
    Clients,
}

/// The namespaces that belong to one process.
#[derive(Clone, Debug)]
pub struct Network {
    owner: u32,
}

impl Place {
    pub fn ip(self) -> IpAddr {
        let last = match self {
            Place::Node(number) => 10 + u8::try_from(number).expect("at most five nodes"),
            Place::Service => 2,
            Place::Clients => 3,
        };
        IpAddr::V4(Ipv4Addr::new(10, 77, 0, last))
    }

    pub fn address(self, port: u16) -> SocketAddr {
        SocketAddr::new(self.ip(), port)
    }

    fn word(self) -> String {
        match self {
            Place::Node(number) => format!("n{number}"),
            Place::Service => "s".into(),
            Place::Clients => "c".into(),
        }
    }
}

impl Network {
    /// Makes them, after removing what killed runs have left.
    pub fn make() -> Result<Self, String> {
        remove_leftovers();
        let network = Network { owner: std::process::id() };
        let made = network.make_all();
        if made.is_err() {
            network.remove();
        }
        made.map(|()| network)
    }

    /// The namespaces that the process above this one has made.
    pub fn of(owner: u32) -> Self {
        Network { owner }
    }

    fn make_all(&self) -> Result<(), String> {
        let folder = self.folder();
        fs::create_dir_all(&folder).map_err(|error| error.to_string())?;
        // In memory: what a disk does wrong is to be our doing, and not that of who else uses this machine's.
        let disk = run(Command::new("mount").args(["-t", "tmpfs", "-o", DISK, "rmsc-chaos"]).arg(&folder));
        if disk.code != Some(0) {
            return Err(format!("mount: {}", disk.stderr.trim()));
        }
        let hub = self.name("hub");
        add(&hub)?;
        ip(&["-n", &hub, "link", "add", "bridge", "type", "bridge"])?;
        ip(&["-n", &hub, "link", "set", "bridge", "up"])?;
        for place in places() {
            let (word, name) = (place.word(), self.name(&place.word()));
            add(&name)?;
            let cable = ["link", "add", "eth0", "netns", &name, "type", "veth", "peer", "name", &word];
            ip(&[&cable[..], &["netns", &hub]].concat())?;
            ip(&["-n", &hub, "link", "set", &word, "master", "bridge", "up"])?;
            ip(&["-n", &name, "address", "add", &format!("{}/24", place.ip()), "dev", "eth0"])?;
            ip(&["-n", &name, "link", "set", "eth0", "up"])?;
            ip(&["-n", &name, "link", "set", "lo", "up"])?;
        }
        Ok(())
    }

    /// A program that will run at a place; its process id is that of the command.
    pub fn at(&self, place: Place, program: &Path) -> Command {
        let mut command = Command::new("nsenter");
        command
            .arg(format!("--net={}", namespace(&self.name(&place.word())).display()))
            .arg("--")
            .arg(program);
        command
    }

    /// Puts these rules in the place of all that a place has.
    #[track_caller]
    pub fn filter(&self, place: Place, rules: &str) {
        let file = self.folder().join("rules");
        fs::write(&file, format!("flush ruleset\n{rules}")).expect("the temporary folder can be written");
        run(self.at(place, Path::new("nft")).arg("-f").arg(&file)).check_code(0);
    }

    /// Takes all rules of a place away.
    #[track_caller]
    pub fn open(&self, place: Place) {
        self.filter(place, "");
    }

    /// Where this run keeps its files.
    pub fn folder(&self) -> PathBuf {
        folder(self.owner)
    }

    /// Ends every process in the namespaces, and removes them and the folder.
    pub fn remove(&self) {
        remove(self.owner);
    }

    fn name(&self, word: &str) -> String {
        format!("{PREFIX}{}-{word}", self.owner)
    }
}

fn places() -> impl Iterator<Item = Place> {
    [Place::Service, Place::Clients].into_iter().chain((1..=NODES_MAX).map(Place::Node))
}

/// A command of iproute2; `ip` and `nft` are the only programs that need more than this machine's usual ones.
fn ip(arguments: &[&str]) -> Result<(), String> {
    let ran = Command::new("ip").args(arguments).output();
    let why = match ran {
        Ok(output) if output.status.success() => return Ok(()),
        Ok(output) => String::from_utf8_lossy(&output.stderr).trim().to_owned(),
        Err(error) => error.to_string(),
    };
    Err(format!("ip {}: {why}", arguments.join(" ")))
}

fn add(name: &str) -> Result<(), String> {
    ip(&["netns", "add", name])
}

fn namespace(name: &str) -> PathBuf {
    Path::new("/run/netns").join(name)
}

fn folder(owner: u32) -> PathBuf {
    std::env::temp_dir().join(format!("{PREFIX}{owner}"))
}

fn remove_leftovers() {
    let names = fs::read_dir("/run/netns").into_iter().flatten().flatten();
    let names = names.filter_map(|entry| entry.file_name().into_string().ok());
    let folders = fs::read_dir(std::env::temp_dir()).into_iter().flatten().flatten();
    let folders = folders.filter_map(|entry| entry.file_name().into_string().ok());
    let owner = |name: String| name.strip_prefix(PREFIX)?.split('-').next()?.parse().ok();
    let mut owners: Vec<u32> = names.chain(folders).filter_map(owner).collect();
    owners.sort_unstable();
    owners.dedup();
    for owner in owners.into_iter().filter(|owner| !processes::is_alive(*owner)) {
        remove(owner);
    }
}

fn remove(owner: u32) {
    let prefix = format!("{PREFIX}{owner}-");
    let entries = fs::read_dir("/run/netns").into_iter().flatten().flatten();
    let names = entries.filter_map(|entry| entry.file_name().into_string().ok());
    for name in names.filter(|name| name.starts_with(&prefix)) {
        let inside = run(Command::new("ip").args(["netns", "pids", &name])).stdout;
        for pid in inside.split_whitespace().filter_map(|pid| pid.parse::<u32>().ok()) {
            processes::try_signal(pid, rustix::process::Signal::KILL);
        }
        // An error says that it is gone.
        let _ = ip(&["netns", "delete", &name]);
    }
    let folder = folder(owner);
    let mounts = fs::read_to_string("/proc/self/mounts").unwrap_or_default();
    let points = mounts.lines().filter_map(|line| line.split(' ').nth(1));
    for point in points.filter(|point| Path::new(point).starts_with(&folder)) {
        run(Command::new("umount").args(["--lazy", point]));
    }
    let _ = fs::remove_dir_all(folder);
}

/// What to do where namespaces cannot be made.
pub const REMEDY: &str = "chaos makes network namespaces and rules: run it as root (sudo chaos/run), in a container with \
                          --privileged; it needs: apt-get install -y iproute2 nftables util-linux strace libfaketime";
const DISK: &str = "size=1g,mode=0700";
const PREFIX: &str = "rmsc-chaos-";
pub const NODES_MAX: usize = 5;
